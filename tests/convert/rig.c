// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM on the simulator for tests of conversion. */
#include "rig.h"

#include "libgmem/uapi/kvm.h"
#include "tests/support/faults.h"
#include "tests/support/support.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct mode modes[] = {
	{ "per-vm", GMEM_SIM_LINUX_6_18, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_SPLIT, 0,
	  GMEM_TRACKING_VM },
	{ "in-place", GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_GUEST_MEMFD, 0,
	  GMEM_TRACKING_FILE },
	{ "in-place-split", GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_SPLIT, 0,
	  GMEM_TRACKING_FILE },
	{ "per-vm-64k", GMEM_SIM_LINUX_6_18, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_SPLIT, 65536,
	  GMEM_TRACKING_VM },
	{ "in-place-64k", GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_GUEST_MEMFD,
	  65536, GMEM_TRACKING_FILE },
	{ "per-vm-snp", GMEM_SIM_LINUX_6_18, GMEM_VM_TYPE_SNP, GMEM_BACKING_SPLIT, 0,
	  GMEM_TRACKING_VM },
	{ "in-place-snp", GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SNP, GMEM_BACKING_GUEST_MEMFD, 0,
	  GMEM_TRACKING_FILE },
	{ "in-place-tdx", GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_TDX, GMEM_BACKING_GUEST_MEMFD, 0,
	  GMEM_TRACKING_FILE },
	{ 0 },
};

const struct mode *mode_called(const char *name)
{
	const struct mode *mode;

	for (mode = modes; mode->name; mode++) {
		if (!strcmp(mode->name, name))
			return mode;
	}
	fail_msg("no mode is called %s", name);
	return NULL;
}

static void note_call(struct rig *rig, int fd, uint64_t start, uint64_t size, uint64_t attributes,
		      int64_t result)
{
	uint32_t index = atomic_fetch_add(&rig->call_count, 1);

	if (index >= RIG_CALLS)
		return;
	rig->calls[index] = (struct attribute_call){
		.fd = fd,
		.start = start,
		.size = size,
		.to_private = attributes == GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE,
		.result = (int)result,
	};
}

static void record(uint32_t nr, const uint64_t *arg, int64_t result, void *opaque)
{
	struct rig *rig = opaque;
	const void *argument = (const void *)(uintptr_t)arg[2];

	if (nr == GMEM_SYS_IOCTL && (uint32_t)arg[1] == GMEM_KVM_SET_MEMORY_ATTRIBUTES) {
		const struct gmem_kvm_memory_attributes *request = argument;

		note_call(rig, (int)arg[0], request->address, request->size, request->attributes,
			  result);
	} else if (nr == GMEM_SYS_IOCTL && (uint32_t)arg[1] == GMEM_KVM_SET_MEMORY_ATTRIBUTES2) {
		const struct gmem_kvm_memory_attributes2 *request = argument;

		note_call(rig, (int)arg[0], request->offset, request->size, request->attributes,
			  result);
	} else if (nr == GMEM_SYS_FUTEX || nr == GMEM_SYS_CLOCK_GETTIME) {
		atomic_fetch_add(&rig->wait_calls, 1);
		atomic_fetch_add(&rig->futex_calls, nr == GMEM_SYS_FUTEX);
	} else {
		atomic_fetch_add(&rig->other_calls, 1);
	}
}

/* The simulator is linked in as the library is: its allocations are not what tests fail. */
static int64_t call_simulator(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct rig *rig = opaque;
	int64_t result = atomic_load(&rig->futex_error);

	if (nr == GMEM_SYS_FUTEX && result) {
		atomic_fetch_add(&rig->futex_failed, 1);
		record(nr, arg, result, rig);
		return result;
	}
	allocations_pause();
	result = rig->simulated.call(nr, arg, rig->simulated.opaque);
	allocations_resume();
	return result;
}

unsigned int rig_open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

struct gmem_vm_config *rig_config(const struct mode *mode)
{
	struct gmem_vm_config *config;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	return config;
}

void rig_open_with(struct rig *rig, const struct mode *mode, struct gmem_vm_config *config)
{
	struct gmem_vm_config *own = config ? NULL : rig_config(mode);
	struct gmem_vm_info info;

	memset(rig, 0, sizeof(*rig));
	rig->descriptors = rig_open_descriptors();
	rig->mode = mode;
	rig->calls = support_new(RIG_CALLS * sizeof(*rig->calls));
	rig->logs = logs_new();
	assert_int_equal(gmem_sim_new(mode->preset, &rig->sim), 0);
	if (mode->page_size)
		assert_int_equal(gmem_sim_set(rig->sim, GMEM_SIM_PAGE_SIZE, mode->page_size), 0);
	if (mode->vm_type == GMEM_VM_TYPE_TDX)
		assert_int_equal(gmem_sim_set(rig->sim, GMEM_SIM_VM_TYPES,
					      1u << GMEM_VM_TYPE_DEFAULT | 1u << GMEM_VM_TYPE_TDX),
				 0);
	assert_int_equal(gmem_sim_get_kernel(rig->sim, &rig->simulated), 0);
	rig->kernel = (struct gmem_kernel){ .call = call_simulator, .opaque = rig };
	rig->ctx = logs_new_ctx(rig->logs, &rig->kernel);
	rig->vm_fd = gmem_sim_create_vm(rig->sim, mode->vm_type);
	assert_true(rig->vm_fd >= 0);
	assert_int_equal(gmem_vm_new(rig->ctx, rig->vm_fd, config ? config : own, &rig->vm), 0);
	gmem_vm_config_free(own);
	assert_int_equal(gmem_vm_get_info(rig->vm, &info), 0);
	assert_int_equal(info.tracking, mode->tracking);
	rig->page = info.page_size;
	rig->vcpu_fd = gmem_sim_create_vcpu(rig->sim, rig->vm_fd, &rig->kvm_run);
	assert_true(rig->vcpu_fd >= 0);
	assert_int_equal(gmem_sim_set_recorder(rig->sim, record, rig, NULL), 0);
}

void rig_open(struct rig *rig, const struct mode *mode)
{
	rig_open_with(rig, mode, NULL);
}

static void rig_close_fd(struct rig *rig, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };

	assert_int_equal(rig->kernel.call(GMEM_SYS_CLOSE, arg, rig->kernel.opaque), 0);
}

void rig_close(struct rig *rig)
{
	unsigned int i;

	gmem_vm_free(rig->vm);
	for (i = 0; i < rig->regions; i++)
		gmem_region_free(rig->region[i]);
	gmem_ctx_free(rig->ctx);
	rig_close_fd(rig, rig->vcpu_fd);
	rig_close_fd(rig, rig->vm_fd);
	gmem_sim_free(rig->sim);
	logs_free(rig->logs);
	free(rig->calls);
	assert_int_equal(rig_open_descriptors(), rig->descriptors);
}

static struct gmem_region *make_region(struct rig *rig, uint64_t pages, uint32_t state,
				       uint32_t backing)
{
	struct gmem_region_config *config;
	unsigned int index = rig->regions++;
	char name[8];

	assert_true(index < RIG_REGIONS);
	snprintf(name, sizeof(name), "ram%u", index);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, backing);
	gmem_region_config_set_state(config, state);
	gmem_region_config_set_tag(config, index + 1);
	gmem_region_config_set_name(config, name);
	assert_int_equal(gmem_region_new(rig->vm, pages * rig->page, config, &rig->region[index]),
			 0);
	gmem_region_config_free(config);
	return rig->region[index];
}

struct gmem_region *rig_region_in_state(struct rig *rig, uint64_t pages, uint32_t state)
{
	return make_region(rig, pages, state, rig->mode->backing);
}

struct gmem_region *rig_region(struct rig *rig, uint64_t pages)
{
	return rig_region_in_state(rig, pages, GMEM_SHARED);
}

struct gmem_region *rig_plain_region(struct rig *rig, uint64_t pages)
{
	return make_region(rig, pages, GMEM_SHARED, GMEM_BACKING_PLAIN);
}

int rig_file(struct rig *rig, unsigned int region)
{
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(rig->region[region], &info), 0);
	return info.guest_memfd;
}

void rig_map(struct rig *rig, uint64_t gpa_page, struct gmem_region *region, uint64_t offset,
	     uint64_t pages)
{
	assert_int_equal(gmem_vm_map(rig->vm, gpa_page * rig->page, region, offset * rig->page,
				     pages * rig->page, GMEM_SLOT_AUTO, 0),
			 0);
}

int rig_convert(struct rig *rig, uint64_t gpa_page, uint64_t pages, uint32_t to, uint32_t flags,
		struct gmem_report *report)
{
	return gmem_vm_convert(rig->vm, gpa_page * rig->page, pages * rig->page, to, flags, report);
}

int rig_convert_keeping(struct rig *rig, uint64_t gpa_page, uint64_t pages, uint32_t to,
			uint32_t flags, struct gmem_report *report)
{
	return rig_convert(rig, gpa_page, pages, to, flags | GMEM_CONVERT_KEEP, report);
}

void rig_forget_calls(struct rig *rig)
{
	atomic_store(&rig->call_count, 0);
	atomic_store(&rig->wait_calls, 0);
	atomic_store(&rig->other_calls, 0);
	logs_reset(rig->logs);
}

void rig_judge_call(struct rig *rig, uint32_t index, unsigned int region, uint64_t start,
		    uint64_t pages, uint32_t to, const char *file, int line)
{
	bool per_vm = rig->mode->tracking == GMEM_TRACKING_VM;
	int fd = per_vm ? rig->vm_fd : rig_file(rig, region);
	const struct attribute_call *call = &rig->calls[index];

	if (index >= rig->call_count) {
		print_error("only %u calls\n", rig->call_count);
		_fail(file, line);
	}
	if (call->fd == fd && call->start == start * rig->page && call->size == pages * rig->page &&
	    call->to_private == (to == GMEM_PRIVATE))
		return;
	print_error("call %u: descriptor %d instead of %d, %#llx + %#llx, to %s\n", index, call->fd,
		    fd, (unsigned long long)call->start, (unsigned long long)call->size,
		    call->to_private ? "private" : "shared");
	_fail(file, line);
}

void rig_fail_call(struct rig *rig, uint64_t nth, int error)
{
	uint32_t request = rig->mode->tracking == GMEM_TRACKING_VM
				   ? GMEM_KVM_SET_MEMORY_ATTRIBUTES
				   : GMEM_KVM_SET_MEMORY_ATTRIBUTES2;

	assert_int_equal(gmem_sim_fail(rig->sim, GMEM_SYS_IOCTL, request, nth, error, 0), 0);
}

/* What the kernel says of a page of a run. */
static uint32_t kernel_state(struct rig *rig, const struct gmem_run *run, uint64_t offset)
{
	struct gmem_sim_page page;

	if (rig->mode->tracking == GMEM_TRACKING_VM)
		assert_int_equal(gmem_sim_get_page(rig->sim, rig->vm_fd, run->gpa + offset, &page),
				 0);
	else if (run->guest_memfd < 0)
		return GMEM_SHARED;
	else
		assert_int_equal(gmem_sim_get_page(rig->sim, run->guest_memfd, run->offset + offset,
						   &page),
				 0);
	return page.state;
}

static void compare_run(struct rig *rig, const struct gmem_run *run)
{
	uint64_t offset;

	for (offset = 0; offset < run->size; offset += rig->page) {
		uint32_t state = kernel_state(rig, run, offset);

		if (state != run->state)
			fail_msg("%s: gpa %#llx is %u to the kernel and %u to the library",
				 rig->mode->name, (unsigned long long)(run->gpa + offset), state,
				 run->state);
	}
}

void rig_compare(struct rig *rig)
{
	struct gmem_run run;
	uint64_t gpa = 0;

	while (gmem_vm_next_run(rig->vm, gpa, &run) == 1) {
		if (run.state != GMEM_HOLE && run.state != GMEM_ABSENT)
			compare_run(rig, &run);
		gpa = run.gpa + run.size;
	}
}

static bool is_for(const struct mode *mode, uint32_t in)
{
	switch (in) {
	case IN_PLACE:
		return mode->backing == GMEM_BACKING_GUEST_MEMFD;
	case PER_FILE:
		return mode->tracking == GMEM_TRACKING_FILE;
	case PER_VM:
		return mode->tracking == GMEM_TRACKING_VM;
	case SMALL_PAGES:
		return !mode->page_size && mode->vm_type == GMEM_VM_TYPE_SW_PROTECTED;
	case SPLIT_SMALL:
		return is_for(mode, SMALL_PAGES) && mode->backing == GMEM_BACKING_SPLIT;
	case SPLIT_PER_FILE:
		return is_for(mode, SPLIT_SMALL) && is_for(mode, PER_FILE);
	default:
		return true;
	}
}

/* A conversion that never comes back must not hold up the suite for ever. */
#define SECONDS_A_CASE 1200u

static int start_clock(void **state)
{
	(void)state;
	alarm(SECONDS_A_CASE);
	return 0;
}

static int stop_clock(void **state)
{
	(void)state;
	alarm(0);
	return 0;
}

int rig_run(const char *group, const struct rig_case *cases, size_t count)
{
	struct CMUnitTest *tests = NULL;
	size_t made = 0, room = 0, i;
	const struct mode *mode;
	char name[128];
	int rc;

	for (i = 0; i < count; i++) {
		for (mode = modes; mode->name; mode++) {
			if (!is_for(mode, cases[i].in))
				continue;
			snprintf(name, sizeof(name), "%s, %s", cases[i].name, mode->name);
			tests = support_grow(tests, made, &room, sizeof(*tests));
			tests[made++] = (struct CMUnitTest){
				.name = strdup(name),
				.test_func = cases[i].function,
				.setup_func = start_clock,
				.teardown_func = stop_clock,
				.initial_state = (void *)(uintptr_t)mode,
			};
		}
	}
	rc = _cmocka_run_group_tests(group, tests, made, NULL, NULL);
	for (i = 0; i < made; i++)
		free((void *)(uintptr_t)tests[i].name);
	free(tests);
	return rc;
}
