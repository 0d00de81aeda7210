// SPDX-License-Identifier: LGPL-2.1-or-later
/* Guests that run on the simulator, for tests of exits. */
#include "exits-kit.h"

#include "tests/support/support.h"

#include <linux/futex.h>
#include <string.h>
#include <time.h>

#define NANOSECONDS UINT64_C(1000000000)

static int64_t pass(struct stand *stand, uint32_t nr, const uint64_t *arg)
{
	return stand->sim_kernel.call(nr, arg, stand->sim_kernel.opaque);
}

static int64_t prefault(struct stand *stand, const uint64_t *arg)
{
	struct gmem_kvm_pre_fault_memory *request =
		(struct gmem_kvm_pre_fault_memory *)(uintptr_t)arg[2];
	struct prefault_call *call = &stand->prefaults[stand->prefault_count++];
	uint64_t left = 0;

	assert_true(stand->prefault_count <= PREFAULTS);
	*call = (struct prefault_call){ .gpa = request->gpa, .size = request->size };
	call->result = stand->prefault_error;
	if (call->result || stand->prefault_stuck)
		return call->result;
	if (stand->prefault_most && request->size > stand->prefault_most) {
		left = request->size - stand->prefault_most;
		request->size = stand->prefault_most;
	}
	call->result = (int)pass(stand, GMEM_SYS_IOCTL, arg);
	request->size += left;
	return call->result;
}

static int64_t door_ioctl(struct stand *stand, const uint64_t *arg)
{
	const struct gmem_kvm_enable_cap *enable =
		(const struct gmem_kvm_enable_cap *)(uintptr_t)arg[2];

	switch ((uint32_t)arg[1]) {
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES:
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES2:
		atomic_fetch_add(&stand->attribute_calls, 1);
		break;
	case GMEM_KVM_ENABLE_CAP:
		atomic_fetch_add(&stand->enable_calls, 1);
		assert_int_equal(enable->cap, GMEM_KVM_CAP_EXIT_HYPERCALL);
		stand->enabled = enable->args[0];
		break;
	case GMEM_KVM_PRE_FAULT_MEMORY:
		return prefault(stand, arg);
	default:
		break;
	}
	return pass(stand, GMEM_SYS_IOCTL, arg);
}

static int64_t door_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct stand *stand = opaque;
	struct timespec *clock = (struct timespec *)(uintptr_t)arg[1];

	if (nr == GMEM_SYS_IOCTL)
		return door_ioctl(stand, arg);
	if (nr == GMEM_SYS_CLOCK_GETTIME && stand->now) {
		clock->tv_sec = (time_t)(stand->now / NANOSECONDS);
		clock->tv_nsec = (long)(stand->now % NANOSECONDS);
		return 0;
	}
	if (nr == GMEM_SYS_FUTEX && arg[1] == FUTEX_WAIT_PRIVATE) {
		atomic_fetch_add(&stand->sleeps, 1);
		if (atomic_load(&stand->interrupts))
			return -EINTR;
	}
	return pass(stand, nr, arg);
}

struct gmem_vm_config *stand_config(const struct mode *mode)
{
	struct gmem_vm_config *config;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	return config;
}

static void open_sim(struct stand *stand)
{
	const struct mode *mode = stand->rig.mode;
	struct gmem_sim *sim;

	stand->rig.descriptors = rig_open_descriptors();
	assert_int_equal(gmem_sim_new(mode->preset, &sim), 0);
	if (mode->page_size)
		assert_int_equal(gmem_sim_set(sim, GMEM_SIM_PAGE_SIZE, mode->page_size), 0);
	if (mode->vm_type == GMEM_VM_TYPE_TDX)
		assert_int_equal(gmem_sim_set(sim, GMEM_SIM_VM_TYPES,
					      1u << GMEM_VM_TYPE_DEFAULT | 1u << GMEM_VM_TYPE_TDX),
				 0);
	assert_int_equal(gmem_sim_get_kernel(sim, &stand->sim_kernel), 0);
	stand->rig.sim = sim;
}

static void open_vcpus(struct stand *stand)
{
	unsigned int i;

	for (i = 0; i < VCPUS; i++) {
		void *run;

		stand->vcpu_fd[i] = gmem_sim_create_vcpu(stand->rig.sim, stand->rig.vm_fd, &run);
		assert_true(stand->vcpu_fd[i] >= 0);
		stand->run[i] = run;
	}
	stand->rig.vcpu_fd = stand->vcpu_fd[0];
	stand->rig.kvm_run = stand->run[0];
}

void stand_open(struct stand *stand, const struct mode *mode, struct gmem_vm_config *config)
{
	struct rig *rig = &stand->rig;
	struct gmem_vm_info info;

	memset(stand, 0, sizeof(*stand));
	rig->mode = mode;
	if (!config)
		config = stand_config(mode);
	open_sim(stand);
	rig->kernel = (struct gmem_kernel){ .call = door_call, .opaque = stand };
	rig->logs = logs_new();
	rig->ctx = logs_new_ctx(rig->logs, &rig->kernel);
	rig->vm_fd = gmem_sim_create_vm(rig->sim, mode->vm_type);
	assert_true(rig->vm_fd >= 0);
	assert_int_equal(gmem_vm_new(rig->ctx, rig->vm_fd, config, &rig->vm), 0);
	gmem_vm_config_free(config);
	assert_int_equal(gmem_vm_get_info(rig->vm, &info), 0);
	rig->page = info.page_size;
	open_vcpus(stand);
}

void stand_open_with_ram(struct stand *stand, const struct mode *mode,
			 struct gmem_vm_config *config)
{
	stand_open(stand, mode, config);
	rig_map(&stand->rig, RAM_PAGE, rig_region(&stand->rig, RAM_PAGES), 0, RAM_PAGES);
	assert_int_equal(gmem_vm_enable_exits(stand->rig.vm), 0);
	stand->attribute_calls = 0;
	logs_reset(stand->rig.logs);
}

void stand_close(struct stand *stand)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)stand->vcpu_fd[1] };

	assert_int_equal(pass(stand, GMEM_SYS_CLOSE, arg), 0);
	rig_close(&stand->rig);
}

bool mode_has_faults(const struct mode *mode)
{
	return mode->vm_type == GMEM_VM_TYPE_SNP || mode->vm_type == GMEM_VM_TYPE_TDX;
}

void guest_asks_for(struct stand *stand, unsigned int vcpu, uint64_t gpa, uint64_t pages,
		    uint64_t attributes)
{
	assert_int_equal(gmem_sim_guest_map_gpa_range(stand->rig.sim, stand->vcpu_fd[vcpu], gpa,
						      pages, attributes),
			 1);
	/* What nobody has answered yet, KVM answers with success. */
	assert_int_equal(stand->run[vcpu]->hypercall.ret, 0);
	stand->run[vcpu]->hypercall.ret = UINT64_C(0x5a5a5a5a5a5a5a5a);
}

void guest_asks(struct stand *stand, unsigned int vcpu, uint64_t gpa_page, uint64_t pages,
		uint64_t attributes)
{
	uint64_t page = stand->rig.page;

	guest_asks_for(stand, vcpu, gpa_page * page, pages * (page / 4096), attributes);
}

uint64_t guest_is_told(struct stand *stand, unsigned int vcpu)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)stand->vcpu_fd[vcpu], GMEM_KVM_RUN };
	uint64_t result = UINT64_MAX;

	assert_int_equal(pass(stand, GMEM_SYS_IOCTL, arg), 0);
	assert_int_equal(gmem_sim_guest_get_result(stand->rig.sim, stand->vcpu_fd[vcpu], &result),
			 0);
	return result;
}

int guest_touches(struct stand *stand, unsigned int vcpu, uint64_t gpa_page, uint32_t state)
{
	uint8_t byte = 1;

	return gmem_sim_guest_access(
		stand->rig.sim, stand->vcpu_fd[vcpu], gpa_page * stand->rig.page, &byte, 1,
		GMEM_SIM_WRITE | (state == GMEM_PRIVATE ? GMEM_SIM_PRIVATE : 0));
}

void make_fault(struct stand *stand, unsigned int vcpu, uint64_t flags, uint64_t gpa, uint64_t size)
{
	struct sim_kvm_run *run = stand->run[vcpu];

	run->exit_reason = GMEM_KVM_EXIT_MEMORY_FAULT;
	run->memory_fault.flags = flags;
	run->memory_fault.gpa = gpa;
	run->memory_fault.size = size;
}

void guest_faults(struct stand *stand, unsigned int vcpu, uint64_t gpa_page, uint32_t state)
{
	uint64_t page = stand->rig.page;

	if (!mode_has_faults(stand->rig.mode)) {
		make_fault(stand, vcpu,
			   state == GMEM_PRIVATE ? GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE : 0,
			   gpa_page * page, page);
		return;
	}
	assert_int_equal(guest_touches(stand, vcpu, gpa_page, state), -EFAULT);
	assert_int_equal(stand->run[vcpu]->exit_reason, GMEM_KVM_EXIT_MEMORY_FAULT);
}

int handle_call(struct stand *stand, unsigned int vcpu, struct gmem_report *report)
{
	return gmem_vm_handle_exit(stand->rig.vm, stand->vcpu_fd[vcpu], stand->run[vcpu], 0,
				   report);
}

int handle_fault(struct stand *stand, unsigned int vcpu, struct gmem_report *report)
{
	return gmem_vm_handle_exit(stand->rig.vm, stand->vcpu_fd[vcpu], stand->run[vcpu], EFAULT,
				   report);
}

uint32_t state_of(struct stand *stand, uint64_t gpa_page, uint64_t pages)
{
	int state = gmem_vm_get_state(stand->rig.vm, gpa_page * stand->rig.page,
				      pages * stand->rig.page);

	assert_true(state > 0);
	return (uint32_t)state;
}

struct gmem_vm_stats stats_of(struct stand *stand)
{
	struct gmem_vm_stats stats;

	assert_int_equal(gmem_vm_get_stats(stand->rig.vm, &stats), 0);
	return stats;
}

int guest_memfd_of(struct stand *stand)
{
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(stand->rig.region[0], &info), 0);
	return info.guest_memfd;
}

void fail_attributes(struct stand *stand, uint64_t nth, int error)
{
	uint32_t request = stand->rig.mode->tracking == GMEM_TRACKING_VM
				   ? GMEM_KVM_SET_MEMORY_ATTRIBUTES
				   : GMEM_KVM_SET_MEMORY_ATTRIBUTES2;

	assert_int_equal(gmem_sim_fail(stand->rig.sim, GMEM_SYS_IOCTL, request, nth, error, 0), 0);
}
