// SPDX-License-Identifier: LGPL-2.1-or-later
/* gmem_vm_handle_exit() with guests that ask, fault, and go on: what each exit comes to. */
#include "exits-kit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REASONS 64u

static void a_hypercall_converts(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	guest_asks(&stand, 0, RAM_PAGE + 8, 16, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, 0);
	assert_int_equal(report.stage, GMEM_STAGE_DONE);
	assert_int_equal(report.converted, 16 * stand.rig.page);
	assert_int_equal(stand.attribute_calls, 1);
	assert_int_equal(guest_is_told(&stand, 0), 0);
	assert_int_equal(state_of(&stand, RAM_PAGE + 8, 16), GMEM_PRIVATE);
	assert_int_equal(state_of(&stand, RAM_PAGE, 8), GMEM_SHARED);
	assert_int_equal(state_of(&stand, RAM_PAGE + 24, RAM_PAGES - 24), GMEM_SHARED);
	assert_int_equal(guest_touches(&stand, 0, RAM_PAGE + 8, GMEM_PRIVATE), 0);
	rig_compare(&stand.rig);
	guest_asks(&stand, 1, RAM_PAGE + 10, 2, TO_SHARED);
	assert_int_equal(handle_call(&stand, 1, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.converted, 2 * stand.rig.page);
	assert_int_equal(guest_is_told(&stand, 1), 0);
	assert_int_equal(state_of(&stand, RAM_PAGE + 10, 2), GMEM_SHARED);
	assert_int_equal(guest_touches(&stand, 1, RAM_PAGE + 10, GMEM_SHARED), 0);
	assert_int_equal(stand.prefault_count, 0);
	expect_no_message(stand.rig.logs);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void a_fault_converts(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	guest_faults(&stand, 0, RAM_PAGE + 3, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, 0);
	assert_int_equal(report.stage, GMEM_STAGE_DONE);
	assert_int_equal(report.converted, stand.rig.page);
	assert_int_equal(state_of(&stand, RAM_PAGE + 3, 1), GMEM_PRIVATE);
	assert_int_equal(state_of(&stand, RAM_PAGE, 3), GMEM_SHARED);
	assert_int_equal(state_of(&stand, RAM_PAGE + 4, RAM_PAGES - 4), GMEM_SHARED);
	assert_int_equal(guest_touches(&stand, 0, RAM_PAGE + 3, GMEM_PRIVATE), 0);
	rig_compare(&stand.rig);
	guest_faults(&stand, 1, RAM_PAGE + 3, GMEM_SHARED);
	assert_int_equal(handle_fault(&stand, 1, &report), GMEM_EXIT_RESUME);
	assert_int_equal(state_of(&stand, RAM_PAGE, RAM_PAGES), GMEM_SHARED);
	assert_int_equal(guest_touches(&stand, 1, RAM_PAGE + 3, GMEM_SHARED), 0);
	expect_no_message(stand.rig.logs);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void a_fault_converts_whole_pages(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	uint64_t page;

	stand_open_with_ram(&stand, mode, NULL);
	page = stand.rig.page;
	make_fault(&stand, 0, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, (RAM_PAGE + 3) * page + 8, page);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.converted, 2 * page);
	assert_int_equal(state_of(&stand, RAM_PAGE + 3, 2), GMEM_PRIVATE);
	make_fault(&stand, 0, 0, (RAM_PAGE + 4) * page + page - 1, 1);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.converted, page);
	assert_int_equal(state_of(&stand, RAM_PAGE + 3, 1), GMEM_PRIVATE);
	assert_int_equal(state_of(&stand, RAM_PAGE + 4, 1), GMEM_SHARED);
	/* One that has both states is not as anybody wants it. */
	make_fault(&stand, 0, 0, (RAM_PAGE + 2) * page, 3 * page);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.converted, page);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

/* Whatever kvm_run holds: nothing is done, nothing written, nothing said. */
static void expect_not_mine(struct stand *stand, int run_error)
{
	static const struct gmem_report nothing = { .stage = GMEM_STAGE_DONE,
						    .operation = GMEM_OPERATION_CONVERT };
	const uint32_t calls = stand->attribute_calls;
	const struct sim_kvm_run before = *stand->run[0];
	struct gmem_report report;

	memset(&report, 0xff, sizeof(report));
	assert_int_equal(gmem_vm_handle_exit(stand->rig.vm, stand->vcpu_fd[0], stand->run[0],
					     run_error, &report),
			 GMEM_EXIT_NOT_MINE);
	assert_memory_equal(&report, &nothing, sizeof(report));
	assert_memory_equal(stand->run[0], &before, sizeof(before));
	assert_int_equal(stand->attribute_calls, calls);
	assert_int_equal(gmem_vm_handle_exit(stand->rig.vm, stand->vcpu_fd[0], stand->run[0],
					     run_error, NULL),
			 GMEM_EXIT_NOT_MINE);
	assert_int_equal(stats_of(stand).exits, 0);
	expect_no_message(stand->rig.logs);
}

/* An exit that would convert, with one thing changed at a time. */
static void make_call(struct stand *stand)
{
	struct sim_kvm_run *run = stand->run[0];

	run->exit_reason = GMEM_KVM_EXIT_HYPERCALL;
	run->hypercall.nr = GMEM_KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = RAM_PAGE * stand->rig.page;
	run->hypercall.args[1] = stand->rig.page / 4096;
	run->hypercall.args[2] = TO_PRIVATE;
}

static void make_private_fault(struct stand *stand)
{
	make_fault(stand, 0, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, RAM_PAGE * stand->rig.page,
		   stand->rig.page);
}

static void other_exits_are_not_mine(void **state)
{
	static const int errors[] = { 0, EFAULT, EINTR, EAGAIN, EHWPOISON, EINVAL };
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int reason, i;

	stand_open_with_ram(&stand, mode, NULL);
	for (reason = 0; reason < REASONS; reason++) {
		if (reason == GMEM_KVM_EXIT_HYPERCALL || reason == GMEM_KVM_EXIT_MEMORY_FAULT)
			continue;
		for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
			make_call(&stand);
			stand.run[0]->exit_reason = reason;
			expect_not_mine(&stand, errors[i]);
			make_private_fault(&stand);
			stand.run[0]->exit_reason = reason;
			expect_not_mine(&stand, errors[i]);
		}
	}
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void other_hypercalls_are_not_mine(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 11, 13, UINT64_C(1) << 32 | 12, UINT64_MAX };
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		make_call(&stand);
		stand.run[0]->hypercall.nr = numbers[i];
		expect_not_mine(&stand, 0);
	}
	stand_close(&stand);
}

/* After EINTR and other errors exit_reason is an old one. */
static void stale_exits_are_not_mine(void **state)
{
	static const int for_call[] = { EINTR, EAGAIN, EFAULT, EHWPOISON, ENOMEM, EIO };
	static const int for_fault[] = { 0, EINTR, EAGAIN, EHWPOISON, ENOMEM, EIO };
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	for (i = 0; i < sizeof(for_call) / sizeof(for_call[0]); i++) {
		make_call(&stand);
		expect_not_mine(&stand, for_call[i]);
		make_private_fault(&stand);
		expect_not_mine(&stand, for_fault[i]);
	}
	assert_int_equal(state_of(&stand, RAM_PAGE, RAM_PAGES), GMEM_SHARED);
	stand_close(&stand);
}

static void an_entry_that_is_interrupted(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	guest_asks(&stand, 0, RAM_PAGE, 1, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	stand.run[0]->immediate_exit = 1;
	assert_int_equal(guest_touches(&stand, 0, RAM_PAGE + 1, GMEM_PRIVATE), -EINTR);
	/* The exit before is still there to be seen. */
	assert_int_equal(stand.run[0]->exit_reason, GMEM_KVM_EXIT_HYPERCALL);
	assert_int_equal(gmem_vm_handle_exit(stand.rig.vm, stand.vcpu_fd[0], stand.run[0], EINTR,
					     &report),
			 GMEM_EXIT_NOT_MINE);
	assert_int_equal(stats_of(&stand).exits, 1);
	stand.run[0]->immediate_exit = 0;
	if (mode_has_faults(mode))
		assert_int_equal(guest_touches(&stand, 0, RAM_PAGE + 1, GMEM_PRIVATE), -EFAULT);
	stand_close(&stand);
}

static void faults_of_other_kinds_are_not_mine(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int bit;

	stand_open_with_ram(&stand, mode, NULL);
	for (bit = 0; bit < 64; bit++) {
		if (UINT64_C(1) << bit == GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE)
			continue;
		make_private_fault(&stand);
		stand.run[0]->memory_fault.flags |= UINT64_C(1) << bit;
		expect_not_mine(&stand, EFAULT);
		stand.run[0]->memory_fault.flags = UINT64_C(1) << bit;
		expect_not_mine(&stand, EFAULT);
	}
	stand_close(&stand);
}

static void poison_is_not_mine(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	int guest_memfd;

	stand_open_with_ram(&stand, mode, NULL);
	guest_memfd = guest_memfd_of(&stand);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(guest_touches(&stand, 0, RAM_PAGE, GMEM_PRIVATE), 0);
	assert_int_equal(gmem_sim_poison(stand.rig.sim, guest_memfd, 0), 0);
	assert_int_equal(guest_touches(&stand, 0, RAM_PAGE, GMEM_PRIVATE), -EHWPOISON);
	assert_int_equal(stand.run[0]->exit_reason, GMEM_KVM_EXIT_MEMORY_FAULT);
	expect_not_mine(&stand, EHWPOISON);
	stand_close(&stand);
}

/* There the hypercall is a notice, for who migrates, and a fault is a mistake of the VMM's. */
static void nothing_is_mine_without_private_memory(void **state)
{
	struct mode mode = *(const struct mode *)*state;
	struct gmem_vm_config *config;
	struct stand stand;

	mode.vm_type = GMEM_VM_TYPE_DEFAULT;
	mode.backing = GMEM_BACKING_PLAIN;
	config = stand_config(&mode);
	gmem_vm_config_set_tracking(config, GMEM_TRACKING_NONE);
	stand_open_with_ram(&stand, &mode, config);
	guest_asks(&stand, 0, RAM_PAGE, 1, TO_PRIVATE);
	expect_not_mine(&stand, 0);
	guest_asks(&stand, 0, RAM_PAGE, 1, TO_SHARED);
	expect_not_mine(&stand, 0);
	make_private_fault(&stand);
	expect_not_mine(&stand, EFAULT);
	stand_close(&stand);
}

static int refuse(uint32_t event, const struct gmem_run *run, void *opaque)
{
	(void)event;
	(void)run;
	(void)opaque;
	return -EBUSY;
}

static struct gmem_vm_config *config_without_patience(const struct mode *mode)
{
	struct gmem_vm_config *config = stand_config(mode);

	gmem_vm_config_set_retry(config, 0, NULL, NULL, NULL);
	return config;
}

/* A request for four pages that fails: what the caller, the report and the guest are told. */
static void expect_refused_call(struct stand *stand, uint32_t to, int error, uint64_t answer)
{
	const struct gmem_vm_stats before = stats_of(stand);
	struct gmem_report report;

	guest_asks(stand, 0, RAM_PAGE, 4, to == GMEM_PRIVATE ? TO_PRIVATE : TO_SHARED);
	assert_int_equal(handle_call(stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, error);
	assert_true(report.stage != GMEM_STAGE_DONE);
	assert_int_equal(stand->run[0]->hypercall.ret, answer);
	/* KVM takes it; an SNP guest ends, and is told nothing. */
	assert_int_equal(guest_is_told(stand, 0), answer);
	assert_int_equal(stats_of(stand).exits, before.exits + 1);
	assert_int_equal(stats_of(stand).exits_refused, before.exits_refused + 1);
	rig_compare(&stand->rig);
}

static void the_guest_is_told_to_come_again(void **state)
{
	const struct mode *mode = *state;
	struct gmem_pin pin;
	struct stand stand;

	stand_open_with_ram(&stand, mode, config_without_patience(mode));
	assert_int_equal(gmem_vm_pin(stand.rig.vm, (RAM_PAGE + 1) * stand.rig.page, 1, 0, &pin), 0);
	expect_refused_call(&stand, GMEM_PRIVATE, -EAGAIN, EAGAIN);
	gmem_vm_unpin(stand.rig.vm, &pin);
	stand_close(&stand);
}

static void the_guest_is_told_of_no_memory(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	fail_attributes(&stand, 1, -ENOMEM);
	expect_refused_call(&stand, GMEM_PRIVATE, -ENOMEM, EAGAIN);
	stand_close(&stand);
}

static void the_guest_is_told_of_a_failure(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	fail_attributes(&stand, 1, -EIO);
	expect_refused_call(&stand, GMEM_PRIVATE, -EIO, EINVAL);
	fail_attributes(&stand, 1, -EPERM);
	guest_faults(&stand, 1, RAM_PAGE, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 1, &report), -EIO);
	assert_int_equal(report.kernel_error, -EPERM);
	/* It was the host's kernel, once. */
	assert_int_equal(handle_fault(&stand, 1, &report), GMEM_EXIT_RESUME);
	stand_close(&stand);
}

static void the_guest_is_told_that_a_listener_refused(void **state)
{
	const struct mode *mode = *state;
	struct gmem_listener *listener;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	assert_int_equal(gmem_listener_new(stand.rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   refuse, NULL, NULL, &listener),
			 0);
	expect_refused_call(&stand, GMEM_PRIVATE, -ECANCELED, EINVAL);
	assert_int_equal(state_of(&stand, RAM_PAGE, RAM_PAGES), GMEM_SHARED);
	guest_faults(&stand, 1, RAM_PAGE, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 1, &report), -ECANCELED);
	assert_int_equal(report.error, -ECANCELED);
	gmem_listener_free(listener);
	assert_int_equal(handle_fault(&stand, 1, &report), GMEM_EXIT_RESUME);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void faults_that_cannot_be_served(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct gmem_pin pin;
	struct stand stand;
	uint64_t page;

	stand_open_with_ram(&stand, mode, config_without_patience(mode));
	page = stand.rig.page;
	/* A hole. */
	guest_faults(&stand, 0, RAM_PAGE - 1, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), -ENOENT);
	assert_int_equal(report.error, -ENOENT);
	assert_int_equal(report.gpa, (RAM_PAGE - 1) * page);
	/* No memory for KVM to allocate. */
	fail_attributes(&stand, 1, -ENOMEM);
	guest_faults(&stand, 0, RAM_PAGE, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), -ENOMEM);
	/* In use. */
	assert_int_equal(gmem_vm_pin(stand.rig.vm, RAM_PAGE * page, 1, 0, &pin), 0);
	assert_int_equal(handle_fault(&stand, 0, &report), -EAGAIN);
	gmem_vm_unpin(stand.rig.vm, &pin);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(stats_of(&stand).exits, 4);
	assert_int_equal(stats_of(&stand).exits_refused, 3);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

/* Memory that can never be private, which only a VM that says what it wants can mistake. */
static void plain_memory_cannot_be_private(void **state)
{
	const struct mode *mode = *state;
	struct gmem_region_config *config;
	struct gmem_report report;
	struct gmem_region *plain;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(stand.rig.vm, 4 * stand.rig.page, config, &plain), 0);
	gmem_region_config_free(config);
	rig_map(&stand.rig, RAM_PAGE + RAM_PAGES, plain, 0, 4);
	guest_faults(&stand, 0, RAM_PAGE + RAM_PAGES, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), -EACCES);
	assert_int_equal(report.gpa, (RAM_PAGE + RAM_PAGES) * stand.rig.page);
	guest_asks(&stand, 0, RAM_PAGE + RAM_PAGES, 1, TO_SHARED);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(guest_is_told(&stand, 0), 0);
	guest_asks(&stand, 0, RAM_PAGE + RAM_PAGES - 1, 2, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, -EACCES);
	assert_int_equal(report.converted, 0);
	assert_int_equal(guest_is_told(&stand, 0), EINVAL);
	rig_compare(&stand.rig);
	gmem_region_free(plain);
	stand_close(&stand);
}

/* Unplugged: the guest was told to leave it alone. */
static void absent_memory_is_not_converted(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	uint64_t page;

	stand_open_with_ram(&stand, mode, NULL);
	page = stand.rig.page;
	assert_int_equal(gmem_vm_discard(stand.rig.vm, (RAM_PAGE + 4) * page, 4 * page,
					 GMEM_DISCARD_ABSENT, NULL),
			 0);
	guest_asks(&stand, 0, RAM_PAGE, RAM_PAGES, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, -EACCES);
	assert_int_equal(report.gpa, (RAM_PAGE + 4) * page);
	assert_int_equal(guest_is_told(&stand, 0), EINVAL);
	make_fault(&stand, 1, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, (RAM_PAGE + 5) * page, page);
	assert_int_equal(handle_fault(&stand, 1, &report), -EACCES);
	make_fault(&stand, 1, 0, (RAM_PAGE + 5) * page, page);
	assert_int_equal(handle_fault(&stand, 1, &report), -EACCES);
	assert_int_equal(stand.attribute_calls, 0);
	assert_int_equal(gmem_vm_populate(stand.rig.vm, (RAM_PAGE + 4) * page, 4 * page, 0, NULL),
			 0);
	guest_faults(&stand, 1, RAM_PAGE + 5, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 1, &report), GMEM_EXIT_RESUME);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void wrong_arguments(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	make_call(&stand);
	assert_int_equal(gmem_vm_handle_exit(NULL, -1, stand.run[0], 0, &report), -EINVAL);
	assert_int_equal(report.error, -EINVAL);
	assert_int_equal(report.stage, GMEM_STAGE_PLAN);
	assert_int_equal(gmem_vm_handle_exit(stand.rig.vm, -1, NULL, 0, &report), -EINVAL);
	assert_int_equal(report.error, -EINVAL);
	assert_int_equal(report.stage, GMEM_STAGE_PLAN);
	expect_one_message(stand.rig.logs, GMEM_LOG_ERROR, "gmem_vm_handle_exit", "kvm_run");
	assert_int_equal(gmem_vm_handle_exit(stand.rig.vm, -1, NULL, 0, NULL), -EINVAL);
	assert_int_equal(stats_of(&stand).exits, 0);
	stand_close(&stand);
}

/* As system calls give errors inside of libraries, and KVM_RUN does not. */
static void errors_that_are_negative(void **state)
{
	static const int errors[] = { -1, -EFAULT, -EINTR, INT_MIN };
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	size_t i;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 1;
	make_fault(&stand, 0, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, RAM_PAGE * stand.rig.page,
		   stand.rig.page);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		assert_int_equal(gmem_vm_handle_exit(stand.rig.vm, -1, stand.run[0], errors[i],
						     &report),
				 -EINVAL);
		assert_int_equal(report.error, -EINVAL);
		assert_int_equal(report.stage, GMEM_STAGE_PLAN);
		expect_one_message(stand.rig.logs, GMEM_LOG_ERROR, "gmem_vm_handle_exit",
				   "run_error", "positive");
	}
	/* However often the guest has the program do so. */
	for (i = 0; i < 30; i++)
		assert_int_equal(gmem_vm_handle_exit(stand.rig.vm, -1, stand.run[0], -EFAULT, NULL),
				 -EINVAL);
	assert_int_equal(logs_count(stand.rig.logs), 6);
	assert_int_equal(state_of(&stand, RAM_PAGE, 1), GMEM_SHARED);
	assert_int_equal(stats_of(&stand).exits, 0);
	stand_close(&stand);
}

/* The exit's numbers are KVM's own, but nothing may break on others. */
static void faults_that_make_no_sense(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	uint64_t page;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	page = stand.rig.page;
	const struct gmem_range wrong[] = {
		{ RAM_PAGE * page, 0 },          { RAM_PAGE * page, UINT64_MAX }, { UINT64_MAX, 1 },
		{ UINT64_MAX - page + 1, page }, { UINT64_MAX - page, page },     { 0, 0 },
	};

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		make_fault(&stand, 0, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, wrong[i].gpa,
			   wrong[i].size);
		assert_int_equal(handle_fault(&stand, 0, &report), -EINVAL);
		assert_int_equal(report.error, -EINVAL);
		assert_int_equal(report.stage, GMEM_STAGE_PLAN);
		assert_int_equal(report.gpa, wrong[i].gpa);
		assert_int_equal(report.size, wrong[i].size);
		expect_one_message(stand.rig.logs, GMEM_LOG_DEBUG, "fault", "EINVAL");
	}
	/* All there is, and more. */
	make_fault(&stand, 0, 0, 0, UINT64_C(1) << 60);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(stand.attribute_calls, 1);
	stand_close(&stand);
}

struct nested {
	struct stand *stand;
	struct gmem_report report;
	int rc;
};

static int handle_inside(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct nested *nested = opaque;

	(void)run;
	if (event == GMEM_EVENT_REMOVE)
		nested->rc = handle_fault(nested->stand, 0, &nested->report);
	return 0;
}

static void callbacks_may_not_handle_exits(void **state)
{
	const struct mode *mode = *state;
	struct gmem_listener *listener;
	struct nested nested = { 0 };
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	nested.stand = &stand;
	guest_faults(&stand, 0, RAM_PAGE + 9, GMEM_PRIVATE);
	assert_int_equal(gmem_listener_new(stand.rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   handle_inside, &nested, NULL, &listener),
			 0);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(nested.rc, -EDEADLK);
	assert_int_equal(nested.report.error, -EDEADLK);
	/* What the guest asked for. */
	assert_int_equal(nested.report.gpa, (RAM_PAGE + 9) * stand.rig.page);
	assert_int_equal(nested.report.size, stand.rig.page);
	gmem_listener_free(listener);
	assert_int_equal(handle_fault(&stand, 0, NULL), GMEM_EXIT_RESUME);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void a_child_handles_nothing(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	int status;
	pid_t child;

	stand_open_with_ram(&stand, mode, NULL);
	make_call(&stand);
	child = fork();
	if (!child) {
		int rc = handle_call(&stand, 0, &report);
		int enable = gmem_vm_enable_exits(stand.rig.vm);

		_exit(rc == -EIO && report.error == -EIO && enable == -EIO ? 0 : 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	stand_close(&stand);
}

static void gaps_as_configured(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config = stand_config(mode);
	struct gmem_report report;
	struct stand stand;

	gmem_vm_config_set_flags(config, GMEM_VM_GAPS_REFUSE);
	stand_open_with_ram(&stand, mode, config);
	guest_asks(&stand, 0, RAM_PAGE + RAM_PAGES - 1, 2, TO_SHARED);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, -ENOENT);
	assert_int_equal(guest_is_told(&stand, 0), EINVAL);
	stand_close(&stand);
	config = stand_config(mode);
	gmem_vm_config_set_flags(config, GMEM_VM_GAPS_SKIP);
	stand_open_with_ram(&stand, mode, config);
	guest_asks(&stand, 0, RAM_PAGE + RAM_PAGES - 1, 2, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.converted, stand.rig.page);
	assert_int_equal(guest_is_told(&stand, 0), 0);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void counts_are_right(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_stats stats;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	guest_asks(&stand, 1, RAM_PAGE, 8, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 1, NULL), GMEM_EXIT_RESUME);
	guest_faults(&stand, 0, RAM_PAGE + 9, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, NULL), GMEM_EXIT_RESUME);
	guest_asks(&stand, 1, RAM_PAGE, 2, TO_SHARED);
	assert_int_equal(handle_call(&stand, 1, NULL), GMEM_EXIT_RESUME);
	/* There already, but who knows: the kernel is told. */
	guest_asks(&stand, 1, RAM_PAGE, 2, TO_SHARED);
	assert_int_equal(handle_call(&stand, 1, NULL), GMEM_EXIT_RESUME);
	guest_asks(&stand, 1, RAM_PAGE - 1, 2, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 1, NULL), GMEM_EXIT_RESUME);
	stats = stats_of(&stand);
	assert_int_equal(stats.exits, 5);
	assert_int_equal(stats.exits_refused, 1);
	assert_int_equal(stats.messages_dropped, 0);
	assert_int_equal(stats.conversions, 5);
	assert_int_equal(stats.conversions_failed, 1);
	assert_int_equal(stats.bytes_private, 9 * stand.rig.page);
	assert_int_equal(stats.bytes_shared, 2 * stand.rig.page);
	assert_int_equal(stats.ioctls, 4);
	assert_int_equal(stats.ioctls, stand.attribute_calls);
	stand_close(&stand);
}

static struct gmem_vm_config *config_with_prefault(const struct mode *mode, uint64_t limit)
{
	struct gmem_vm_config *config = stand_config(mode);

	gmem_vm_config_set_prefault(config, limit);
	return config;
}

static void open_for_prefault(struct stand *stand, const struct mode *mode, uint64_t pages)
{
	uint64_t page = mode->page_size ? mode->page_size : 4096;

	stand_open_with_ram(stand, mode, config_with_prefault(mode, pages * page));
}

static uint32_t is_allocated(struct stand *stand, uint64_t page)
{
	struct gmem_sim_page info;

	assert_int_equal(gmem_sim_get_page(stand->rig.sim, guest_memfd_of(stand),
					   page * stand->rig.page, &info),
			 0);
	return info.allocated;
}

static void prefault_has_a_limit(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;

	open_for_prefault(&stand, mode, 4);
	guest_asks(&stand, 0, RAM_PAGE, 16, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand.prefault_count, 1);
	assert_int_equal(stand.prefaults[0].gpa, RAM_PAGE * stand.rig.page);
	assert_int_equal(stand.prefaults[0].size, 4 * stand.rig.page);
	if (mode->vm_type != GMEM_VM_TYPE_SNP) {
		assert_int_equal(stand.prefaults[0].result, 0);
		assert_true(is_allocated(&stand, 0) && is_allocated(&stand, 3));
		assert_false(is_allocated(&stand, 4));
	} else {
		/* Not before the launch is over. */
		assert_int_equal(stand.prefaults[0].result, -EOPNOTSUPP);
	}
	assert_int_equal(guest_is_told(&stand, 0), 0);
	/* Less than the limit is no more than was asked for. */
	guest_faults(&stand, 0, RAM_PAGE + 20, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand.prefault_count, 2);
	assert_int_equal(stand.prefaults[1].gpa, (RAM_PAGE + 20) * stand.rig.page);
	assert_int_equal(stand.prefaults[1].size, stand.rig.page);
	expect_no_message(stand.rig.logs);
	stand_close(&stand);
}

static void prefault_goes_on_after_a_part(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	open_for_prefault(&stand, mode, 8);
	stand.prefault_most = 3 * stand.rig.page;
	guest_asks(&stand, 0, RAM_PAGE, 16, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand.prefault_count, 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(stand.prefaults[i].gpa, (RAM_PAGE + 3 * i) * stand.rig.page);
		assert_int_equal(stand.prefaults[i].size, (8 - 3 * i) * stand.rig.page);
	}
	assert_true(is_allocated(&stand, 7));
	assert_false(is_allocated(&stand, 8));
	stand_close(&stand);
}

/* It is a convenience: what becomes of it is nobody's business, and it is not insisted on. */
static void prefault_that_fails(void **state)
{
	static const int errors[] = { -EINTR, -EAGAIN, -ENOMEM, -EOPNOTSUPP, -ENOENT, -EIO };
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	unsigned int i;

	open_for_prefault(&stand, mode, 8);
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		stand.prefault_count = 0;
		stand.prefault_error = errors[i];
		guest_asks(&stand, 0, RAM_PAGE + i, 1, TO_PRIVATE);
		assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
		assert_int_equal(report.error, 0);
		assert_int_equal(guest_is_told(&stand, 0), 0);
		assert_int_equal(stand.prefault_count, 1);
	}
	/* A success that gets nowhere is the end too. */
	stand.prefault_error = 0;
	stand.prefault_stuck = true;
	stand.prefault_count = 0;
	guest_asks(&stand, 0, RAM_PAGE + 9, 2, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(stand.prefault_count, 1);
	expect_no_message(stand.rig.logs);
	stand_close(&stand);
}

static void prefault_where_there_is_none(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config;
	struct stand stand;

	open_for_prefault(&stand, mode, 8);
	/* Memory that is shared again, a request that failed, and a vCPU that is not named. */
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 4, GMEM_PRIVATE, 0, NULL), 0);
	guest_asks(&stand, 0, RAM_PAGE, 4, TO_SHARED);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	guest_asks(&stand, 0, RAM_PAGE, 4, TO_PRIVATE);
	assert_int_equal(gmem_vm_handle_exit(stand.rig.vm, -1, stand.run[0], 0, NULL),
			 GMEM_EXIT_RESUME);
	guest_asks(&stand, 0, RAM_PAGE - 1, 4, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand.prefault_count, 0);
	stand_close(&stand);
	/* Less than a page. */
	config = config_with_prefault(mode, 4095);
	stand_open_with_ram(&stand, mode, config);
	guest_asks(&stand, 0, RAM_PAGE, 4, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand.prefault_count, 0);
	stand_close(&stand);
	/* No whole number of pages. */
	config = config_with_prefault(mode, UINT64_C(3) * 65536 - 1);
	stand_open_with_ram(&stand, mode, config);
	guest_asks(&stand, 0, RAM_PAGE, RAM_PAGES, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand.prefaults[0].size % stand.rig.page, 0);
	assert_int_equal(stand.prefaults[0].size, UINT64_C(3) * 65536 - stand.rig.page);
	stand_close(&stand);
}

static void prefault_of_a_kernel_without_it(void **state)
{
	struct mode mode = *(const struct mode *)*state;
	struct stand stand;

	mode.preset = GMEM_SIM_LINUX_6_8;
	mode.backing = GMEM_BACKING_SPLIT;
	mode.tracking = GMEM_TRACKING_VM;
	open_for_prefault(&stand, &mode, 8);
	guest_asks(&stand, 0, RAM_PAGE, 4, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(guest_is_told(&stand, 0), 0);
	assert_int_equal(stand.prefault_count, 0);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

/* What a VMM writes into its log when a vCPU cannot go on. */
static void the_report_as_text(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	char text[400], part[24];
	struct stand stand;
	int length;

	stand_open_with_ram(&stand, mode, NULL);
	guest_faults(&stand, 0, RAM_PAGE - 1, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), -ENOENT);
	length = gmem_report_format(&report, text, sizeof(text));
	assert_int_equal(length, strlen(text));
	snprintf(part, sizeof(part), "gpa %#llx", (RAM_PAGE - 1ULL) * stand.rig.page);
	assert_non_null(strstr(text, part));
	assert_non_null(strstr(text, "ENOENT while planning"));
	assert_int_equal(gmem_report_format(&report, part, sizeof(part)), length);
	assert_int_equal(strlen(part), sizeof(part) - 1);
	assert_memory_equal(part, text, sizeof(part) - 1);
	assert_int_equal(gmem_report_format(&report, NULL, 0), length);
	guest_faults(&stand, 0, RAM_PAGE, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "done"));
	assert_int_equal(gmem_report_format(NULL, text, sizeof(text)), -EINVAL);
	assert_int_equal(gmem_report_format(&report, NULL, 1), -EINVAL);
	stand_close(&stand);
}

static void exits_are_enabled(void **state)
{
	struct mode mode = *(const struct mode *)*state;
	struct stand stand;

	stand_open(&stand, &mode, NULL);
	logs_reset(stand.rig.logs);
	if (!mode_has_faults(&mode))
		assert_int_equal(gmem_sim_guest_map_gpa_range(stand.rig.sim, stand.vcpu_fd[0], 0, 1,
							      0),
				 -EOPNOTSUPP);
	assert_int_equal(gmem_vm_enable_exits(stand.rig.vm), 0);
	assert_int_equal(stand.enable_calls, 1);
	assert_int_equal(stand.enabled, 1u << GMEM_KVM_HC_MAP_GPA_RANGE);
	guest_asks_for(&stand, 0, 0, 1, 0);
	/* Again is as good. */
	assert_int_equal(gmem_vm_enable_exits(stand.rig.vm), 0);
	expect_no_message(stand.rig.logs);
	assert_int_equal(gmem_sim_fail(stand.rig.sim, GMEM_SYS_IOCTL, GMEM_KVM_ENABLE_CAP, 1,
				       -EINVAL, 0),
			 0);
	assert_int_equal(gmem_vm_enable_exits(stand.rig.vm), -EIO);
	expect_one_message(stand.rig.logs, GMEM_LOG_ERROR, "KVM_CAP_EXIT_HYPERCALL", "EINVAL");
	assert_int_equal(gmem_vm_enable_exits(NULL), -EINVAL);
	stand_close(&stand);
}

static int open_plain_vm(struct gmem_sim *sim, struct logs *logs, struct gmem_ctx **ctx,
			 struct gmem_vm **vm)
{
	struct gmem_kernel kernel;
	int fd;

	assert_int_equal(gmem_sim_get_kernel(sim, &kernel), 0);
	*ctx = logs_new_ctx(logs, &kernel);
	fd = gmem_sim_create_vm(sim, GMEM_VM_TYPE_DEFAULT);
	assert_true(fd >= 0);
	assert_int_equal(gmem_vm_new(*ctx, fd, NULL, vm), 0);
	return fd;
}

static void exits_that_this_kernel_has_not(void **state)
{
	const uint64_t others = UINT64_MAX >> 32 & ~(UINT64_C(1) << GMEM_KVM_HC_MAP_GPA_RANGE);
	const struct mode *mode = *state;
	struct logs *logs = logs_new();
	struct gmem_sim *sim;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	int fd;

	assert_int_equal(gmem_sim_new(mode->preset, &sim), 0);
	assert_int_equal(gmem_sim_set(sim, GMEM_SIM_CAPABILITY,
				      (uint64_t)GMEM_KVM_CAP_EXIT_HYPERCALL << 32 |
					      (others & 0x7fffffff)),
			 0);
	fd = open_plain_vm(sim, logs, &ctx, &vm);
	logs_reset(logs);
	assert_int_equal(gmem_vm_enable_exits(vm), -EOPNOTSUPP);
	expect_one_message(logs, GMEM_LOG_ERROR, "MAP_GPA_RANGE", "bit 12");
	gmem_vm_free(vm);
	gmem_ctx_free(ctx);
	close(fd);
	gmem_sim_free(sim);
	logs_free(logs);
}

static void exits_without_kvm(void **state)
{
	struct gmem_vm *vm;

	(void)state;
	assert_int_equal(gmem_vm_new(NULL, -1, NULL, &vm), 0);
	assert_int_equal(gmem_vm_enable_exits(vm), -EOPNOTSUPP);
	gmem_vm_free(vm);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(a_hypercall_converts, IN_ALL_MODES),
		RIG_CASE(a_fault_converts, IN_ALL_MODES),
		RIG_CASE(a_fault_converts_whole_pages, IN_ALL_MODES),
		RIG_CASE(other_exits_are_not_mine, IN_ALL_MODES),
		RIG_CASE(other_hypercalls_are_not_mine, IN_ALL_MODES),
		RIG_CASE(stale_exits_are_not_mine, IN_ALL_MODES),
		RIG_CASE(an_entry_that_is_interrupted, IN_ALL_MODES),
		RIG_CASE(faults_of_other_kinds_are_not_mine, IN_ALL_MODES),
		RIG_CASE(poison_is_not_mine, IN_ALL_MODES),
		RIG_CASE(nothing_is_mine_without_private_memory, SMALL_PAGES),
		RIG_CASE(the_guest_is_told_to_come_again, IN_ALL_MODES),
		RIG_CASE(the_guest_is_told_of_no_memory, IN_ALL_MODES),
		RIG_CASE(the_guest_is_told_of_a_failure, IN_ALL_MODES),
		RIG_CASE(the_guest_is_told_that_a_listener_refused, IN_ALL_MODES),
		RIG_CASE(faults_that_cannot_be_served, IN_ALL_MODES),
		RIG_CASE(plain_memory_cannot_be_private, IN_ALL_MODES),
		RIG_CASE(absent_memory_is_not_converted, IN_ALL_MODES),
		RIG_CASE(errors_that_are_negative, IN_ALL_MODES),
		RIG_CASE(wrong_arguments, IN_ALL_MODES),
		RIG_CASE(faults_that_make_no_sense, IN_ALL_MODES),
		RIG_CASE(callbacks_may_not_handle_exits, IN_ALL_MODES),
		RIG_CASE(a_child_handles_nothing, IN_ALL_MODES),
		RIG_CASE(gaps_as_configured, IN_ALL_MODES),
		RIG_CASE(counts_are_right, IN_ALL_MODES),
		RIG_CASE(prefault_has_a_limit, IN_ALL_MODES),
		RIG_CASE(prefault_goes_on_after_a_part, SMALL_PAGES),
		RIG_CASE(prefault_that_fails, IN_ALL_MODES),
		RIG_CASE(prefault_where_there_is_none, IN_ALL_MODES),
		RIG_CASE(prefault_of_a_kernel_without_it, SMALL_PAGES),
		RIG_CASE(the_report_as_text, SMALL_PAGES),
		RIG_CASE(exits_are_enabled, IN_ALL_MODES),
		RIG_CASE(exits_that_this_kernel_has_not, SMALL_PAGES),
		RIG_CASE(exits_without_kvm, SMALL_PAGES),
	};

	return rig_run("exits", cases, sizeof(cases) / sizeof(cases[0]));
}
