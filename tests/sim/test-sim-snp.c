// SPDX-License-Identifier: LGPL-2.1-or-later
/* KVM_MEMORY_ENCRYPT_OP of the simulator up to FINISH: who may call what when, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "test-sim-snp-guest.h"

/* Nothing is mapped there. */
#define UNMAPPED ((void *)8)

static void init2_once(void **state)
{
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_init2(&guest, 0), -EPERM);
	guest_free(&guest);
}

static void init2_before_any_vcpu(void **state)
{
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	guest_add_vcpu(&guest);
	assert_int_equal(guest_init2(&guest, 0), -EINVAL);
	guest_free(&guest);
}

static void init2_arguments(void **state)
{
	static const struct snp_init refused[] = {
		{ .flags = 1 },
		{ .vmsa_features = 1 }, /* SNP active: KVM's to add */
		{ .vmsa_features = 1 << 4 },
		{ .vmsa_features = UINT64_C(1) << 63 },
		{ .ghcb_version = 1 },
		{ .ghcb_version = 3 },
	};
	struct snp_init good = { .vmsa_features = GUEST_FEATURES & ~UINT64_C(1),
				 .ghcb_version = 2 };
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct snp_init init = refused[i];

		assert_int_equal(guest_command(&guest, SNP_CMD_INIT2, &init, NULL), -EINVAL);
	}
	assert_int_equal(guest_command(&guest, SNP_CMD_INIT2, UNMAPPED, NULL), -EFAULT);
	assert_int_equal(guest_command(&guest, SNP_CMD_INIT2, &good, NULL), 0);
	guest_free(&guest);
}

/* Those of SEV and SEV-ES are numbers below START's. */
static void commands_of_others(void **state)
{
	static const uint32_t sev[] = { 0, 1, 2, 7, 21, 22, 99 };
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(guest_command(&guest, 0, NULL, NULL), -EINVAL);
	assert_int_equal(guest_command(&guest, 104, NULL, NULL), -EINVAL);
	assert_int_equal(guest_init2(&guest, 0), 0);
	for (size_t i = 0; i < sizeof(sev) / sizeof(sev[0]); i++)
		assert_int_equal(guest_command(&guest, sev[i], NULL, NULL), -EPERM);
	assert_int_equal(guest_command(&guest, 104, NULL, NULL), -EINVAL);
	assert_int_equal(guest_command(&guest, UINT32_MAX, NULL, NULL), -EINVAL);
	guest_free(&guest);
}

static void command_out_of_reach(void **state)
{
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(guest_ioctl(&guest, guest.vm, SIM_KVM_MEMORY_ENCRYPT_OP, UNMAPPED),
			 -EFAULT);
	/* The question whether there is SEV at all. */
	assert_int_equal(guest_ioctl(&guest, guest.vm, SIM_KVM_MEMORY_ENCRYPT_OP, NULL), 0);
	guest_free(&guest);
}

static int64_t get_attribute(struct guest *guest, int fd, uint32_t request, uint64_t number,
			     uint64_t *value)
{
	struct gmem_kvm_device_attr attribute = {
		.group = GMEM_KVM_X86_GROUP_SEV,
		.attr = number,
		.addr = (uint64_t)(uintptr_t)value,
	};

	return guest_ioctl(guest, fd, request, &attribute);
}

/* A kernel without the exit. */
static void certs_are_refused(void **state)
{
	struct guest guest;
	uint64_t value = 7;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(get_attribute(&guest, guest.vm, GMEM_KVM_GET_DEVICE_ATTR,
				       SNP_ATTRIBUTE_REQ_CERTS, &value),
			 -ENXIO);
	assert_int_equal(guest_command(&guest, SNP_CMD_ENABLE_REQ_CERTS, NULL, NULL), -EINVAL);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_ENABLE_REQ_CERTS, NULL, NULL), -EINVAL);
	assert_int_equal(gmem_sim_guest_request_certs(guest.sim, guest_add_vcpu(&guest), GUEST_BASE,
						      1),
			 -EOPNOTSUPP);
	guest_free(&guest);
}

/* E5 */
static void certs_are_asked_for(void **state)
{
	static const uint64_t legal[] = { 0, ENOSPC, EAGAIN, EIO };
	struct sim_kvm_run *run;
	struct guest guest;
	uint64_t value, i;
	uint8_t byte;
	int vcpu;

	guest_new(&guest, GUEST_IN_PLACE);
	assert_int_equal(get_attribute(&guest, guest.vm, GMEM_KVM_GET_DEVICE_ATTR,
				       SNP_ATTRIBUTE_REQ_CERTS, &value),
			 0);
	assert_int_equal(value, 1);
	assert_int_equal(guest_command(&guest, SNP_CMD_ENABLE_REQ_CERTS, NULL, NULL), -EINVAL);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_ENABLE_REQ_CERTS, NULL, NULL), 0);
	vcpu = gmem_sim_create_vcpu(guest.sim, guest.vm, (void **)&run);
	assert_true(vcpu >= 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_ENABLE_REQ_CERTS, NULL, NULL), -EINVAL);
	assert_int_equal(gmem_sim_guest_request_certs(guest.sim, vcpu, 1, 1), -EINVAL);
	assert_int_equal(gmem_sim_guest_request_certs(NULL, vcpu, 0, 1), -EINVAL);
	assert_int_equal(gmem_sim_guest_request_certs(guest.sim, guest.vm, 0, 1), -EBADF);
	for (i = 0; i < 4; i++) {
		assert_int_equal(gmem_sim_guest_request_certs(guest.sim, vcpu, GUEST_BASE, 5 + i),
				 1);
		assert_int_equal(run->exit_reason, SIM_KVM_EXIT_SNP_REQ_CERTS);
		assert_int_equal(run->snp_req_certs.gpa, GUEST_BASE);
		assert_int_equal(run->snp_req_certs.npages, 5 + i);
		assert_int_equal(run->snp_req_certs.ret, 0);
		run->snp_req_certs.ret = legal[i];
		assert_int_equal(gmem_sim_guest_access(guest.sim, vcpu, i * 8, &byte, 1, 0), 1);
		assert_int_equal(gmem_sim_guest_get_result(guest.sim, vcpu, &value), 0);
		assert_int_equal(value, legal[i]);
	}
	assert_int_equal(gmem_sim_guest_request_certs(guest.sim, vcpu, GUEST_BASE, 1), 1);
	run->snp_req_certs.ret = EPERM;
	assert_int_equal(gmem_sim_guest_access(guest.sim, vcpu, 0, &byte, 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(guest.sim, vcpu, i * 8, &byte, 1, 0), 1);
	close(vcpu);
	guest_free(&guest);
}

static void commands_before_init2(void **state)
{
	uint8_t digest[SNP_DIGEST_SIZE];
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	guest_add_slot(&guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), -ENOTTY);
	assert_int_equal(guest_update(&guest, SNP_PAGE_ZERO, GUEST_BASE, NULL, 4096, NULL),
			 -EINVAL);
	assert_int_equal(guest_finish(&guest, NULL), -ENOTTY);
	assert_int_equal(gmem_sim_get_snp_digest(guest.sim, guest.vm, digest), -EPROTO);
	guest_free(&guest);
}

static void commands_before_start(void **state)
{
	uint8_t digest[SNP_DIGEST_SIZE];
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	guest_add_slot(&guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_update(&guest, SNP_PAGE_ZERO, GUEST_BASE, NULL, 4096, NULL),
			 -EINVAL);
	assert_int_equal(guest_finish(&guest, NULL), -EINVAL);
	assert_int_equal(gmem_sim_get_snp_digest(guest.sim, guest.vm, digest), -EPROTO);
	guest_free(&guest);
}

static void start_once(void **state)
{
	struct guest guest;

	guest_launch(&guest, GUEST_LEGACY);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), -EINVAL);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), -EINVAL);
	guest_free(&guest);
}

static void start_arguments(void **state)
{
	struct snp_launch_start flags = { .policy = GUEST_POLICY, .flags = 1 };
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_START, &flags, NULL), -EINVAL);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_START, UNMAPPED, NULL), -EFAULT);
	assert_int_equal(guest_start(&guest, 0x10000), -EINVAL);
	assert_int_equal(guest_start(&guest, GUEST_POLICY | 1 << 18), -EINVAL);
	assert_int_equal(guest_start(&guest, GUEST_POLICY | UINT64_C(1) << 63), -EINVAL);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	guest_free(&guest);
}

static void start_policy_of_this_host(void **state)
{
	struct guest guest;

	guest_new_with(&guest, GUEST_LEGACY, GMEM_SIM_SNP_POLICY, 0x3ffff);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_start(&guest, GUEST_POLICY | 1 << 19), -EINVAL);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	guest_free(&guest);
}

/* A firmware that is older than the policy asks for refuses, and START can be tried again. */
static void start_refused_by_the_firmware(void **state)
{
	struct snp_launch_start start = { .policy = GUEST_POLICY | 0xff00 };
	struct guest guest;
	uint32_t error = 0;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_START, &start, &error), -EIO);
	assert_int_equal(error, 0x7);
	start.policy = GUEST_POLICY | 0x0101;
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_START, &start, &error), 0);
	assert_int_equal(error, 0);
	guest_free(&guest);
}

static void start_without_the_device(void **state)
{
	struct guest guest;
	int sev_fd;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(guest_init2(&guest, 0), 0);
	sev_fd = guest.sev_fd;
	guest.sev_fd = -1;
	assert_int_equal(guest_start(&guest, GUEST_POLICY), -EBADF);
	guest.sev_fd = sev_fd;
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	guest_free(&guest);
}

static void start_without_firmware_context(void **state)
{
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(gmem_sim_fail(guest.sim, GMEM_SYS_IOCTL,
				       (uint64_t)SNP_CMD_LAUNCH_START << 32 |
					       SIM_KVM_MEMORY_ENCRYPT_OP,
				       1, -ENOTTY, 0),
			 0);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), -ENOTTY);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	guest_free(&guest);
}

static void digest_starts_as_zeros(void **state)
{
	static const uint8_t zeros[SNP_DIGEST_SIZE];
	uint8_t digest[SNP_DIGEST_SIZE];
	struct guest guest;

	guest_launch(&guest, GUEST_IN_PLACE);
	guest_get_digest(&guest, digest);
	assert_memory_equal(digest, zeros, sizeof(zeros));
	guest_free(&guest);
}

static void check_attributes(struct guest *guest, int fd)
{
	uint64_t value = 0;

	assert_int_equal(get_attribute(guest, fd, GMEM_KVM_HAS_DEVICE_ATTR, 0, NULL), 0);
	assert_int_equal(get_attribute(guest, fd, GMEM_KVM_GET_DEVICE_ATTR, 0, &value), 0);
	assert_int_equal(value, GUEST_FEATURES & ~UINT64_C(1));
	assert_int_equal(get_attribute(guest, fd, GMEM_KVM_HAS_DEVICE_ATTR, 1, NULL), 0);
	assert_int_equal(get_attribute(guest, fd, GMEM_KVM_GET_DEVICE_ATTR, 1, &value), 0);
	assert_int_equal(value, 0xbffff);
	assert_int_equal(get_attribute(guest, fd, GMEM_KVM_HAS_DEVICE_ATTR, 3, NULL), -ENXIO);
	assert_int_equal(get_attribute(guest, fd, GMEM_KVM_GET_DEVICE_ATTR, 3, &value), -ENXIO);
}

static void attributes(void **state)
{
	struct guest guest;
	int system;

	guest_new_with(&guest, GUEST_LEGACY, GMEM_SIM_SNP_POLICY, 0xbffff);
	check_attributes(&guest, guest.vm);
	system = gmem_sim_open_system(guest.sim);
	assert_true(system >= 0);
	check_attributes(&guest, system);
	assert_int_equal(guest.kernel.call(GMEM_SYS_CLOSE,
					   (uint64_t[GMEM_SYS_ARGUMENTS]){ (uint64_t)system },
					   guest.kernel.opaque),
			 0);
	guest_free(&guest);
}

static void prefault_waits_for_finish(void **state)
{
	struct sim_kvm_pre_fault_memory range = { .gpa = GUEST_BASE, .size = SNP_PAGE_SIZE };
	struct guest guest;
	int vcpu;

	guest_launch(&guest, GUEST_LEGACY);
	vcpu = guest_add_vcpu(&guest);
	assert_int_equal(guest_ioctl(&guest, vcpu, SIM_KVM_PRE_FAULT_MEMORY, &range), -EOPNOTSUPP);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	assert_int_equal(guest_ioctl(&guest, vcpu, SIM_KVM_PRE_FAULT_MEMORY, &range), 0);
	guest_free(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init2_once),
		cmocka_unit_test(init2_before_any_vcpu),
		cmocka_unit_test(init2_arguments),
		cmocka_unit_test(commands_of_others),
		cmocka_unit_test(command_out_of_reach),
		cmocka_unit_test(certs_are_refused),
		cmocka_unit_test(certs_are_asked_for),
		cmocka_unit_test(commands_before_init2),
		cmocka_unit_test(commands_before_start),
		cmocka_unit_test(start_once),
		cmocka_unit_test(start_arguments),
		cmocka_unit_test(start_policy_of_this_host),
		cmocka_unit_test(start_refused_by_the_firmware),
		cmocka_unit_test(start_without_the_device),
		cmocka_unit_test(start_without_firmware_context),
		cmocka_unit_test(digest_starts_as_zeros),
		cmocka_unit_test(attributes),
		cmocka_unit_test(prefault_waits_for_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
