// SPDX-License-Identifier: LGPL-2.1-or-later
/* vCPUs of the simulator: hypercalls, KVM_RUN, prefaulting, and registers. */
#include "sim-kit.h"

#include <errno.h>
#include <string.h>

#define PAGES 16
#define SIZE (PAGES * PAGE)

static void enable_hypercall(struct kit *kit)
{
	struct sim_kvm_enable_cap capability = { .cap = GMEM_KVM_CAP_EXIT_HYPERCALL,
						 .args = { 1 << GMEM_KVM_HC_MAP_GPA_RANGE } };

	assert_int_equal(kit_ioctl(kit, kit->vm, SIM_KVM_ENABLE_CAP, &capability), 0);
	capability.args[0] |= 1;
	assert_int_equal(kit_ioctl(kit, kit->vm, SIM_KVM_ENABLE_CAP, &capability), -EINVAL);
}

/* E1 */
static void hypercall(void **state)
{
	uint64_t result = 0;
	uint8_t value;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_guest_map_gpa_range(NULL, kit.vcpu, 0, 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vm, 0, 1, 0), -EBADF);
	assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 0), -EOPNOTSUPP);
	enable_hypercall(&kit);
	assert_int_equal(gmem_sim_guest_get_result(NULL, kit.vcpu, &result), -EINVAL);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, NULL), -EINVAL);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vm, &result), -EBADF);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), -ENOENT);
	assert_int_equal(
		gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, UINT64_MAX, UINT64_MAX, 17), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_HYPERCALL);
	assert_int_equal(kit.run->hypercall.nr, 12);
	assert_int_equal(kit.run->hypercall.args[0], UINT64_MAX);
	assert_int_equal(kit.run->hypercall.args[1], UINT64_MAX);
	assert_int_equal(kit.run->hypercall.args[2], 17);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), -ENOENT);
	kit.run->hypercall.ret = 5;
	kit.run->immediate_exit = 1;
	assert_int_equal(kit_guest_read(&kit, 0, &value, 0), -EINTR);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_HYPERCALL);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), 0);
	assert_int_equal(result, 5);
	assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 0), -EINTR);
	kit.run->immediate_exit = 0;
	kit_free(&kit);
}

static void hypercall_of_snp(void **state)
{
	static const uint64_t results[] = { 0, EAGAIN, EINVAL, 1, (uint64_t)-EINVAL };
	uint64_t result;
	uint8_t value;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		struct kit kit;

		kit_new(&kit, GMEM_SIM_IN_PLACE, SNP);
		assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 16), 1);
		kit.run->hypercall.ret = results[i];
		if (i >= 3) {
			assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 16),
					 -EIO);
		} else {
			assert_int_equal(kit_guest_read(&kit, 0, &value, 0), 1);
			assert_int_equal(kit.run->exit_reason,
					 i == 0 ? SIM_KVM_EXIT_MMIO : SIM_KVM_EXIT_SYSTEM_EVENT);
			assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), 0);
			assert_int_equal(result, results[i]);
		}
		kit_free(&kit);
	}
}

static void kvm_run(void **state)
{
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, GMEM_KVM_RUN, NULL), 0);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_HLT);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, GMEM_KVM_RUN, (void *)1), -EINVAL);
	kit.run->immediate_exit = 1;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, GMEM_KVM_RUN, NULL), -EINTR);
	kit_free(&kit);
}

static int pre_fault(struct kit *kit, uint64_t gpa, uint64_t size, uint64_t *left)
{
	struct sim_kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	int result = kit_ioctl(kit, kit->vcpu, SIM_KVM_PRE_FAULT_MEMORY, &range);

	*left = range.size;
	return result;
}

/* E4 */
static void pre_fault_memory(void **state)
{
	struct sim_kvm_pre_fault_memory flags = { .size = PAGE, .flags = 1 };
	struct kit kit;
	uint64_t left;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_convert(&kit, fd, PAGE, PAGE, false, NULL), 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, NULL, fd, 0), 0);
	assert_int_equal(pre_fault(&kit, 0, 4 * PAGE, &left), 0);
	assert_int_equal(left, 0);
	assert_int_equal(kit_page(&kit, fd, 0).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, PAGE).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, 4 * PAGE).allocated, 0);
	assert_int_equal(pre_fault(&kit, SIZE - PAGE, 4 * PAGE, &left), 0);
	assert_int_equal(left, 3 * PAGE);
	assert_int_equal(pre_fault(&kit, SIZE, PAGE, &left), -ENOENT);
	assert_int_equal(pre_fault(&kit, 1, PAGE, &left), -EINVAL);
	assert_int_equal(pre_fault(&kit, 0, 1, &left), -EINVAL);
	assert_int_equal(pre_fault(&kit, 0, 0, &left), -EINVAL);
	assert_int_equal(pre_fault(&kit, UINT64_MAX - PAGE + 1, PAGE, &left), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_PRE_FAULT_MEMORY, &flags), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_PRE_FAULT_MEMORY, NULL), -EFAULT);
	kit_close(&kit, fd);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_LINUX_6_8, SW);
	assert_int_equal(pre_fault(&kit, 0, PAGE, &left), -EINVAL);
	kit_free(&kit);
}

static void registers(void **state)
{
	struct {
		struct sim_kvm_msrs head;
		struct sim_kvm_msr_entry entry[2];
	} msrs = { { 2, 0 }, { { 0x277, 0, 5 }, { 0x10, 0, 0 } } };
	struct {
		struct sim_kvm_cpuid2 head;
		struct sim_kvm_cpuid_entry2 entry[2];
	} cpuid = { { 2, 0 }, { { .function = 1, .eax = 7 }, { .function = 2 } } };
	struct sim_kvm_sregs sregs;
	struct sim_kvm_regs regs;
	struct sim_kvm_xcrs xcrs;
	struct sim_kvm_fpu fpu;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_REGS, &regs), 0);
	assert_int_equal(regs.rip, 0xfff0);
	regs.rax = 9;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_REGS, &regs), 0);
	regs.rax = 0;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_REGS, &regs), 0);
	assert_int_equal(regs.rax, 9);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cs.type, 0xa);
	assert_int_equal(sregs.ds.type, 3);
	assert_int_equal(sregs.tr.type, 3);
	sregs.cr3 = 0x1000;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cr3, 0x1000);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_FPU, &fpu), 0);
	assert_int_equal(fpu.mxcsr, 0x1f80);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_FPU, &fpu), 0);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_XCRS, &xcrs), 0);
	assert_int_equal(xcrs.xcrs[0].value, 1);
	xcrs.xcrs[0].value = 7;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_XCRS, &xcrs), 0);
	xcrs.nr_xcrs = 17;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_XCRS, &xcrs), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_MSRS, &msrs), 1);
	msrs.entry[0].data = 0;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_MSRS, &msrs), 1);
	assert_int_equal(msrs.entry[0].data, 5);
	msrs.head.nmsrs = 256;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_MSRS, &msrs), -E2BIG);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_CPUID2, &cpuid), 0);
	memset(&cpuid.entry, 0, sizeof(cpuid.entry));
	cpuid.head.nent = 1;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_CPUID2, &cpuid), -E2BIG);
	assert_int_equal(cpuid.head.nent, 2);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_CPUID2, &cpuid), 0);
	assert_int_equal(cpuid.entry[0].eax, 7);
	cpuid.head.nent = 257;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_CPUID2, &cpuid), -E2BIG);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_CPUID2, NULL), -EFAULT);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_REGS, NULL), -EFAULT);
	kit_free(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hypercall), cmocka_unit_test(hypercall_of_snp),
		cmocka_unit_test(kvm_run),   cmocka_unit_test(pre_fault_memory),
		cmocka_unit_test(registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
