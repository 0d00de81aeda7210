// SPDX-License-Identifier: LGPL-2.1-or-later
/* The guest's requests: what an exit asks for, done, and answered. */
#include "exits.h"

#include "claim.h"
#include "convert.h"
#include "log.h"
#include "probes.h"
#include "range.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <gmem/access.h>
#include <gmem/exits.h>

#define MESSAGE_LENGTH 400u

/* One exit at work. */
struct exit {
	struct gmem_vm *vm;
	int vcpu_fd;
	volatile struct gmem_kvm_run *run;
	struct gmem_range range;
	uint32_t to;
	struct gmem_report report;
	struct convert_end end;
};

int gmem_vm_enable_exits(struct gmem_vm *vm)
{
	struct gmem_kvm_enable_cap request = {
		.cap = GMEM_KVM_CAP_EXIT_HYPERCALL,
		.args = { UINT64_C(1) << GMEM_KVM_HC_MAP_GPA_RANGE },
	};
	int rc = gmem_vm_check(vm, "gmem_vm_enable_exits");

	if (rc)
		return rc;
	if (!(vm->caps.hypercall_exits >> GMEM_KVM_HC_MAP_GPA_RANGE & 1)) {
		log_error(
			vm->ctx,
			"gmem_vm_enable_exits: VM descriptor %d: KVM_CAP_EXIT_HYPERCALL is %#llx, "
			"without MAP_GPA_RANGE (bit 12)",
			vm->fd, (unsigned long long)vm->caps.hypercall_exits);
		return -EOPNOTSUPP;
	}
	rc = gmem_kernel_ioctl(&vm->kernel, vm->fd, GMEM_KVM_ENABLE_CAP, &request);
	if (!rc)
		return 0;
	log_error(
		vm->ctx,
		"gmem_vm_enable_exits: VM descriptor %d: KVM_ENABLE_CAP of KVM_CAP_EXIT_HYPERCALL "
		"gives %s",
		vm->fd, gmem_error_name(rc));
	return -EIO;
}

/* The guest caused it, and may do so again and again. Of what the host failed at was said where. */
static void log_refusal(const struct exit *exit, const char *what, int error)
{
	char text[MESSAGE_LENGTH];

	count(&exit->vm->counters.exits_refused, 1);
	if (exit->end.said || !gmem_exit_guard_may_log(exit->vm, GMEM_LOG_DEBUG))
		return;
	gmem_report_format(&exit->report, text, sizeof(text));
	log_debug(
		exit->vm->ctx,
		"VM descriptor %d: the guest's %s, gpa %#llx, %#llx bytes to %s, is refused: %s (%s)",
		exit->vm->fd, what, (unsigned long long)exit->range.gpa,
		(unsigned long long)exit->range.size,
		exit->to == GMEM_PRIVATE ? "private" : "shared", gmem_error_name(error), text);
}

/* A convenience for the guest, which faults page by page where it is not done. */
static void prefault(const struct exit *exit)
{
	const struct gmem_vm *vm = exit->vm;
	uint64_t limit = vm->config.prefault_limit & ~(vm->caps.page_size - 1);
	struct gmem_kvm_pre_fault_memory request = { .gpa = exit->range.gpa,
						     .size = exit->range.size };
	uint64_t before = 0;
	int rc = 0;

	if (request.size > limit)
		request.size = limit;
	if (exit->vcpu_fd < 0 || !vm->caps.prefault || exit->to != GMEM_PRIVATE)
		return;
	/* It says how far it came; a call that gets nowhere, or a signal, ends it. */
	while (!rc && request.size && request.size != before) {
		before = request.size;
		rc = gmem_kernel_ioctl(&vm->kernel, exit->vcpu_fd, GMEM_KVM_PRE_FAULT_MEMORY,
				       &request);
	}
}

/* Refused for what it is, before there is a conversion. */
static int refuse(struct exit *exit, int error)
{
	exit->report.error = error;
	exit->report.stage = GMEM_STAGE_PLAN;
	exit->report.gpa = exit->range.gpa;
	exit->report.size = exit->range.size;
	return error;
}

/* Only what was waited for can come later: nothing is answered yet. */
static int convert(struct exit *exit, const char *what)
{
	int rc = gmem_convert(exit->vm, what, &exit->range, 1, exit->to, CONVERT_QUIETLY,
			      &exit->report, &exit->end);

	exit->end.later = exit->end.later && rc == -EAGAIN;
	if (!rc)
		prefault(exit);
	/* Whatever is wrong with it: what the guest asked for. */
	if (rc == -EINVAL || rc == -EDEADLK)
		refuse(exit, rc);
	PROBE5(exit, exit->vm->fd, exit->range.gpa, exit->range.size, exit->to, rc);
	return rc;
}

/* Of what KVM passes on: for SNP and TDX guests nothing else is legal (kernel fact E1). */
static uint64_t answer_for(int error)
{
	switch (error) {
	case 0:
		return 0;
	case -EAGAIN:
	case -ENOMEM:
		return GMEM_KVM_HYPERCALL_EAGAIN;
	default:
		return GMEM_KVM_HYPERCALL_EINVAL;
	}
}

/* What the guest asks for. 0 or -EINVAL. */
static int decode_hypercall(struct exit *exit)
{
	uint64_t gpa = exit->run->hypercall.args[0];
	uint64_t pages = exit->run->hypercall.args[1];
	uint64_t attributes = exit->run->hypercall.args[2];
	uint64_t size;

	exit->to = attributes & GMEM_KVM_MAP_GPA_RANGE_ENCRYPTED ? GMEM_PRIVATE : GMEM_SHARED;
	exit->range = (struct gmem_range){ .gpa = gpa };
	/* The size hint is about how KVM may map it, which is KVM's to decide. */
	if (attributes & ~(GMEM_KVM_MAP_GPA_RANGE_SIZE_HINT | GMEM_KVM_MAP_GPA_RANGE_ENCRYPTED))
		return -EINVAL;
	if (__builtin_mul_overflow(pages, UINT64_C(1) << GMEM_KVM_MAP_GPA_RANGE_PAGE_SHIFT, &size))
		return -EINVAL;
	exit->range.size = size;
	return range_is_valid(gpa, size) ? 0 : -EINVAL;
}

static int handle_hypercall(struct exit *exit)
{
	int rc = decode_hypercall(exit);

	if (rc)
		refuse(exit, rc);
	else
		rc = convert(exit, "the guest's MAP_GPA_RANGE");
	/* Also for who runs the vCPU without asking again: KVM left 0 here, which is success. */
	exit->run->hypercall.ret = answer_for(rc);
	if (exit->end.later)
		return GMEM_EXIT_REPEAT;
	count(&exit->vm->counters.exits, 1);
	if (rc)
		log_refusal(exit, "MAP_GPA_RANGE", rc);
	return GMEM_EXIT_RESUME;
}

/* The whole pages of a fault. 0 or -EINVAL. */
static int decode_fault(struct exit *exit)
{
	uint64_t page = exit->vm->caps.page_size;
	uint64_t gpa = exit->run->memory_fault.gpa;
	uint64_t size = exit->run->memory_fault.size;

	exit->to = exit->run->memory_fault.flags & GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE ? GMEM_PRIVATE
										     : GMEM_SHARED;
	exit->range = (struct gmem_range){ .gpa = gpa, .size = size };
	if (!range_is_valid(gpa, size) || gpa + size > UINT64_MAX - (page - 1))
		return -EINVAL;
	exit->range.gpa = gpa & ~(page - 1);
	exit->range.size = round_up(gpa + size, page) - exit->range.gpa;
	return 0;
}

/*
 * Somebody is at work on these pages: until the end the kernel may be ahead of the states, and a
 * vCPU fault on what looks right, again and again.
 */
static bool is_at_work(const struct exit *exit)
{
	uint32_t seen;

	return gmem_claim_covers(exit->vm, exit->range.gpa, exit->range.size, &seen);
}

/* Whether there is something to convert, or, where waiting is allowed, somebody to wait for. */
static bool is_to_be_converted(const struct exit *exit)
{
	struct gmem_vm *vm = exit->vm;

	return gmem_vm_get_state(vm, exit->range.gpa, exit->range.size) != (int)exit->to ||
	       (vm->config.deadline_ns && is_at_work(exit));
}

/* Nothing was to be changed, or could be: the vCPU will fault again, unless somebody was faster. */
static int fault_is_pointless(struct exit *exit)
{
	uint32_t times;

	if (is_at_work(exit))
		return GMEM_EXIT_RESUME;
	times = gmem_exit_guard_repeat(exit->vm, (const void *)(uintptr_t)exit->run,
				       exit->range.gpa);
	if (times <= GMEM_EXIT_FAULTS_MAX)
		return GMEM_EXIT_RESUME;
	refuse(exit, -EIO);
	log_refusal(exit, "fault, which comes again with nothing to change; is there a memslot?",
		    -EIO);
	return -EIO;
}

static int handle_fault(struct exit *exit)
{
	int rc = decode_fault(exit);

	if (rc)
		refuse(exit, rc);
	else if (is_to_be_converted(exit))
		rc = convert(exit, "the guest's fault");
	if (exit->end.later)
		return GMEM_EXIT_REPEAT;
	count(&exit->vm->counters.exits, 1);
	if (!rc)
		return exit->report.converted ? GMEM_EXIT_RESUME : fault_is_pointless(exit);
	log_refusal(exit, "fault", rc);
	return rc;
}

static int handle(struct exit *exit, int run_error)
{
	uint32_t reason = exit->run->exit_reason;

	if (!vm_has_private(exit->vm))
		return GMEM_EXIT_NOT_MINE;
	if (!run_error && reason == GMEM_KVM_EXIT_HYPERCALL &&
	    exit->run->hypercall.nr == GMEM_KVM_HC_MAP_GPA_RANGE)
		return handle_hypercall(exit);
	/* EHWPOISON comes with it too, and is nothing that a conversion mends. */
	if (run_error == EFAULT && reason == GMEM_KVM_EXIT_MEMORY_FAULT &&
	    !(exit->run->memory_fault.flags & ~GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE))
		return handle_fault(exit);
	return GMEM_EXIT_NOT_MINE;
}

static int check_arguments(const struct exit *exit, int run_error)
{
	struct gmem_vm *vm = exit->vm;

	if (!exit->run) {
		log_error(vm->ctx, "gmem_vm_handle_exit: kvm_run is NULL, it must be an address");
		return -EINVAL;
	}
	if (run_error >= 0)
		return 0;
	/* With each of the guest's exits anew. */
	if (gmem_exit_guard_may_log(vm, GMEM_LOG_ERROR))
		log_error(
			vm->ctx,
			"gmem_vm_handle_exit: run_error is %d; it must be 0, or the positive errno "
			"that KVM_RUN set",
			run_error);
	return -EINVAL;
}

int gmem_vm_handle_exit(struct gmem_vm *vm, int vcpu_fd, void *kvm_run, int run_error,
			struct gmem_report *report)
{
	struct exit exit = {
		.vm = vm,
		.vcpu_fd = vcpu_fd,
		.run = kvm_run,
		.report = { .stage = GMEM_STAGE_DONE, .operation = GMEM_OPERATION_CONVERT },
	};
	int rc = gmem_vm_check(vm, "gmem_vm_handle_exit");

	if (!rc)
		rc = check_arguments(&exit, run_error);
	rc = rc ? refuse(&exit, rc) : handle(&exit, run_error);
	if (report)
		*report = exit.report;
	return rc;
}
