// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the simulator's guest sees: whose memory its accesses reach, and the exits they make. */
#include "sim-kit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16
#define SIZE (PAGES * PAGE)

static void access_arguments(void **state)
{
	uint8_t byte = 0;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_guest_access(NULL, kit.vcpu, 0, &byte, 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, NULL, 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 0, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, GIB + 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, UINT64_MAX, &byte, 1, 0),
			 -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 1, 16), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 1, GMEM_SIM_SMM),
			 -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vm, 0, &byte, 1, 0), -EBADF);
	assert_int_equal(gmem_sim_guest_access(kit.sim, -1, 0, &byte, 1, 0), -EBADF);
	kit_free(&kit);
}

static void mmio(void **state)
{
	uint8_t bytes[13];
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	memcpy(bytes, "abcdefghijklm", 13);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, GMEM_SIM_WRITE),
			 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	assert_int_equal(kit.run->mmio.phys_addr, MIB);
	assert_int_equal(kit.run->mmio.len, 8);
	assert_int_equal(kit.run->mmio.is_write, 1);
	assert_memory_equal(kit.run->mmio.data, "abcdefgh", 8);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, GMEM_SIM_WRITE),
			 1);
	assert_int_equal(kit.run->mmio.phys_addr, MIB + 8);
	assert_int_equal(kit.run->mmio.len, 5);
	assert_memory_equal(kit.run->mmio.data, "ijklm", 5);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, GMEM_SIM_WRITE),
			 0);
	/* Again from the start. */
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 1);
	assert_int_equal(kit.run->mmio.is_write, 0);
	memcpy(kit.run->mmio.data, "ABCDEFGH", 8);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 1);
	memcpy(kit.run->mmio.data, "IJKLM", 5);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 0);
	assert_memory_equal(bytes, "ABCDEFGHIJKLM", 13);
	/* Another access does not take it up. */
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 1);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 12, 0), 1);
	assert_int_equal(kit.run->mmio.phys_addr, MIB);
	kit_free(&kit);
}

static void readonly_slot(void **state)
{
	uint8_t *memory = kit_memory(PAGE), value = 0;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	memory[1] = 6;
	assert_int_equal(kit_set_slot(&kit, 0, GMEM_KVM_MEM_READONLY, 0, PAGE, memory, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 1, &value, 0), 0);
	assert_int_equal(value, 6);
	assert_int_equal(kit_guest_write(&kit, 1, 7, 0), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	assert_int_equal(memory[1], 6);
	munmap(memory, PAGE);
	kit_free(&kit);
}

/* S4 */
static void unmapped_user_memory(void **state)
{
	uint8_t *memory = kit_memory(PAGE), value = 0;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, memory, -1, 0), 0);
	munmap(memory, PAGE);
	kit.run->exit_reason = 99;
	assert_int_equal(kit_guest_read(&kit, 0, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_UNKNOWN);
	assert_int_equal(kit_guest_read(&kit, 0, &value, GMEM_SIM_EMULATE), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(kit.run->internal.suberror, SIM_KVM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(kit_guest_read(&kit, PAGE, &value, GMEM_SIM_EMULATE), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	kit_free(&kit);
}

/* S3, S4: the file's pages by the file, KVM's accesses and plain slots by the mapping. */
static void in_place_sides(void **state)
{
	uint8_t *map, value = 0;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, SIZE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, SIZE);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, map, fd, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 1, 0, MIB, SIZE, map, -1, 0), 0);
	map[3] = 1;
	assert_int_equal(kit_guest_read(&kit, 3, &value, 0), 0);
	assert_int_equal(value, 1);
	assert_int_equal(kit_guest_write(&kit, MIB + 3, 2, 0), 0);
	assert_int_equal(map[3], 2);
	assert_int_equal(kit_guest_read(&kit, 3, &value, GMEM_SIM_EMULATE), 0);
	assert_int_equal(value, 2);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, true, NULL), 0);
	assert_int_equal(kit_guest_read(&kit, 3, &value, 0), 0);
	assert_int_equal(value, 2);
	assert_int_equal(kit_guest_read(&kit, 3, &value, GMEM_SIM_EMULATE), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_INTERNAL_ERROR);
	/* E2: not to be converted */
	assert_int_equal(kit_guest_read(&kit, MIB + 3, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_UNKNOWN);
	/* S6: gone for the guest */
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 3, &value, 0), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	kit_unmap(&kit, map, SIZE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* V2, S6: two pages at one address; attributes that outlive the slot */
static void per_vm_sides(void **state)
{
	uint8_t *memory = kit_memory(SIZE), value = 0;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_LINUX_6_18, SW);
	fd = kit_create(&kit, SIZE, 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, 5, 1, 0), 0);
	assert_int_equal(memory[5], 1);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, PRIVATE_BIT), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 0);
	assert_int_equal(kit_guest_write(&kit, 5, 2, 0), 0);
	assert_int_equal(memory[5], 1);
	assert_int_equal(kit_page(&kit, fd, 0).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, PAGE).allocated, 0);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 1);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, PRIVATE_BIT), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 2);
	assert_int_equal(kit_punch(&kit, fd, 0, PAGE), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.flags, 8);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.flags, 8);
	kit_close(&kit, fd);
	munmap(memory, SIZE);
	kit_free(&kit);
}

/* S5 */
static void lost_file(void **state)
{
	static const struct {
		uint32_t preset;
		uint64_t flags;
		bool is_shared_now;
	} all[] = {
		{ GMEM_SIM_LINUX_6_18, 0, false },
		{ GMEM_SIM_IN_PLACE, MMAP_FLAG, false },
		{ GMEM_SIM_IN_PLACE, 0, true },
	};
	size_t i;
	int through_door;

	(void)state;
	for (i = 0; i < 6; i++) {
		uint8_t *memory = kit_memory(SIZE), value = 0;
		struct kit kit;
		int fd;

		through_door = i < 3;
		kit_new(&kit, all[i % 3].preset, SW);
		fd = kit_create(&kit, SIZE, all[i % 3].flags);
		assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, fd, 0), 0);
		kit_set_attributes(&kit, 0, SIZE, PRIVATE_BIT);
		assert_int_equal(kit_guest_write(&kit, 5, 1, 0), 0);
		memory[5] = 2;
		if (through_door)
			kit_close(&kit, fd);
		else
			close(fd);
		if (all[i % 3].is_shared_now) {
			assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
			assert_int_equal(value, 2);
		} else {
			assert_int_equal(kit_guest_read(&kit, 5, &value, 0), -EFAULT);
			assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
		}
		munmap(memory, SIZE);
		kit_free(&kit);
	}
}

/* F7 */
static void default_vm(void **state)
{
	uint8_t *map, value = 0;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, 0);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, NULL, fd, 0), 0);
	assert_int_equal(kit_guest_read(&kit, PAGE + 5, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.flags, 0);
	assert_int_equal(kit.run->memory_fault.gpa, PAGE);
	assert_int_equal(kit.run->memory_fault.size, PAGE);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	kit_close(&kit, fd);
	fd = kit_create(&kit, SIZE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, SIZE);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, map, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, PAGE + 5, 3, 0), 0);
	assert_int_equal(map[PAGE + 5], 3);
	/* The second address space has its own slots. */
	assert_int_equal(kit_guest_read(&kit, PAGE + 6, &value, GMEM_SIM_SMM), 1);
	assert_int_equal(kit_set_slot(&kit, 1 << 16, 0, 0, SIZE, map, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, PAGE + 5, &value, GMEM_SIM_SMM), 0);
	assert_int_equal(value, 3);
	kit_unmap(&kit, map, SIZE);
	kit_close(&kit, fd);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_LINUX_6_18, 0);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, NULL, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, 7, 1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 7, &value, 0), 0);
	assert_int_equal(value, 1);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* S6, E2: the guest's word against the tracking's */
static void snp_faults(void **state)
{
	static const uint32_t presets[] = { GMEM_SIM_LINUX_6_18, GMEM_SIM_IN_PLACE };
	uint8_t value = 0;
	struct kit kit;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint8_t *memory = kit_memory(SIZE);

		kit_new(&kit, presets[i], SNP);
		fd = kit_create(&kit, SIZE, 0);
		assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, fd, 0), 0);
		if (i == 0)
			assert_int_equal(kit_set_attributes(&kit, 0, SIZE, PRIVATE_BIT), 0);
		assert_int_equal(kit_guest_write(&kit, 9, 4, GMEM_SIM_PRIVATE), 0);
		assert_int_equal(kit_page(&kit, fd, 0).assigned, 1);
		assert_int_equal(kit_guest_read(&kit, 9, &value, 0), -EFAULT);
		assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
		assert_int_equal(kit.run->memory_fault.flags, 0);
		if (i == 0)
			assert_int_equal(kit_set_attributes(&kit, 0, SIZE, 0), 0);
		else
			assert_int_equal(kit_convert(&kit, fd, 0, SIZE, false, NULL), 0);
		memory[9] = 8;
		assert_int_equal(kit_guest_read(&kit, 9, &value, 0), 0);
		assert_int_equal(value, 8);
		assert_int_equal(kit_guest_read(&kit, 9, &value, GMEM_SIM_PRIVATE), -EFAULT);
		assert_int_equal(kit.run->memory_fault.flags, 8);
		assert_int_equal(kit_guest_read(&kit, MIB, &value, GMEM_SIM_PRIVATE), -EFAULT);
		assert_int_equal(kit.run->memory_fault.gpa, MIB);
		assert_int_equal(kit_guest_read(&kit, MIB, &value, 0), 1);
		kit_close(&kit, fd);
		munmap(memory, SIZE);
		kit_free(&kit);
	}
}

static void across_pages(void **state)
{
	uint8_t out[3 * PAGE], in[3 * PAGE];
	struct kit kit;
	unsigned int i;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_convert(&kit, fd, PAGE, PAGE, false, NULL), 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 2 * PAGE, NULL, fd, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 1, 0, 2 * PAGE, 2 * PAGE, NULL, fd, 4 * PAGE), 0);
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(
		gmem_sim_guest_access(kit.sim, kit.vcpu, 100, out, sizeof(out), GMEM_SIM_WRITE), 0);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 100, in, sizeof(in), 0), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(kit_page(&kit, fd, 2 * PAGE).allocated, 0);
	assert_int_equal(kit_page(&kit, fd, 4 * PAGE).allocated, 1);
	assert_int_equal(gmem_sim_poison(kit.sim, fd, 4 * PAGE), 0);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 100, in, sizeof(in), 0),
			 -EHWPOISON);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.gpa, 2 * PAGE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(access_arguments), cmocka_unit_test(mmio),
		cmocka_unit_test(readonly_slot),    cmocka_unit_test(unmapped_user_memory),
		cmocka_unit_test(in_place_sides),   cmocka_unit_test(per_vm_sides),
		cmocka_unit_test(lost_file),        cmocka_unit_test(default_vm),
		cmocka_unit_test(snp_faults),       cmocka_unit_test(across_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
