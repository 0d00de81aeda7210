// SPDX-License-Identifier: LGPL-2.1-or-later
/* Conversions as callers make them: judged, claimed, done, taken back, and reported. */
#include "convert.h"

#include "discard.h"
#include "exits.h"
#include "listen.h"
#include "log.h"
#include "probes.h"
#include "range.h"

#include <errno.h>
#include <gmem/access.h>

#define ALL_FLAGS                                                                                  \
	(GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_NOWAIT | GMEM_CONVERT_TRUST_STATE |                  \
	 GMEM_CONVERT_KEEP | GMEM_CONVERT_FREE_HUGETLB)

static const char *state_name(uint32_t state)
{
	return state == GMEM_PRIVATE ? "private" : "shared";
}

static int check_flags(const struct gmem_vm *vm, const char *function, uint32_t flags)
{
	if (!(flags & ~ALL_FLAGS))
		return 0;
	log_error(vm->ctx, "%s: flags are %#x, of which %#x are none of GMEM_CONVERT_*", function,
		  flags, flags & ~ALL_FLAGS);
	return -EINVAL;
}

static int check_request(const struct gmem_vm *vm, const char *function, uint32_t to)
{
	if (to != GMEM_PRIVATE && to != GMEM_SHARED) {
		log_error(vm->ctx, "%s: to is %u; it must be GMEM_PRIVATE or GMEM_SHARED", function,
			  to);
		return -EINVAL;
	}
	if (to == GMEM_PRIVATE && !vm_has_private(vm)) {
		log_debug(vm->ctx, "%s: VM descriptor %d has no private memory", function, vm->fd);
		return -EOPNOTSUPP;
	}
	return 0;
}

static bool is_quiet(const struct conversion *conversion)
{
	return conversion->flags & CONVERT_QUIETLY;
}

static int check_range(const struct conversion *conversion, uint64_t index, uint64_t *end)
{
	const struct gmem_vm *vm = conversion->vm;
	const struct gmem_range *range = &conversion->plan.ranges[index];

	if (!range_is_valid(range->gpa, range->size) ||
	    !range_is_aligned(range->gpa, range->size, vm->caps.page_size)) {
		if (is_quiet(conversion))
			return -EINVAL;
		log_debug(vm->ctx,
			  "%s: gpa %#llx, %#llx bytes; both must be multiples of the page size "
			  "%#llx, and the range must not be empty and end below 2^64",
			  conversion->function, (unsigned long long)range->gpa,
			  (unsigned long long)range->size, (unsigned long long)vm->caps.page_size);
		return -EINVAL;
	}
	if (range->gpa < *end) {
		log_debug(vm->ctx,
			  "%s: range %llu begins at gpa %#llx, below the end of the one before it, "
			  "%#llx; they must be in ascending order",
			  conversion->function, (unsigned long long)index,
			  (unsigned long long)range->gpa, (unsigned long long)*end);
		return -EINVAL;
	}
	*end = range->gpa + range->size;
	return 0;
}

static int check_ranges(const struct conversion *conversion)
{
	uint64_t end = 0, i;
	int rc = 0;

	for (i = 0; i < conversion->plan.count && !rc; i++)
		rc = check_range(conversion, i, &end);
	return rc;
}

/* Conversion of what can no longer be read makes other bytes of it: SNP and TDX guests' do. */
bool gmem_convert_destroys(const struct gmem_vm *vm)
{
	if (!vm_has_private(vm))
		return false;
	switch (vm->config.type) {
	case GMEM_VM_TYPE_UNKNOWN:
	case GMEM_VM_TYPE_SNP:
	case GMEM_VM_TYPE_TDX:
		return true;
	default:
		return false;
	}
}

/* The runs that are to be changed, and to be changed back. */
struct rollback {
	struct plan_run runs[GMEM_ROLLBACK_RUNS];
	uint32_t count;
};

static int prepare_rollback(const struct conversion *conversion, struct rollback *rollback)
{
	const struct gmem_vm *vm = conversion->vm;
	struct plan_position position = { 0 };
	struct plan_run run;

	rollback->count = 0;
	if (gmem_convert_destroys(vm)) {
		log_error(vm->ctx,
			  "%s: GMEM_CONVERT_ROLLBACK: converting back would destroy what the pages "
			  "hold; a VM of which that is not so says its type with "
			  "gmem_vm_config_set_type()",
			  conversion->function);
		return -EOPNOTSUPP;
	}
	while (gmem_plan_next(&conversion->plan, PLAN_WRONG, &position, &run)) {
		if (rollback->count == GMEM_ROLLBACK_RUNS) {
			log_debug(vm->ctx,
				  "%s: GMEM_CONVERT_ROLLBACK: more than %u runs of pages are to be "
				  "made %s; convert them in parts",
				  conversion->function, GMEM_ROLLBACK_RUNS,
				  state_name(conversion->plan.to));
			return -EOPNOTSUPP;
		}
		rollback->runs[rollback->count++] = run;
	}
	return 0;
}

/* Converts those pages of a run back that were converted. */
static int roll_back_run(struct conversion *conversion, const struct plan_run *run)
{
	const struct gmem_range range = { .gpa = run->gpa, .size = run->size };
	struct plan_position position = { 0 };
	struct plan plan = conversion->plan;
	struct plan_run part;
	int rc = 0;

	plan.ranges = &range;
	plan.count = 1;
	plan.to = opposite_state(plan.to);
	while (!rc && gmem_plan_next(&plan, PLAN_WRONG, &position, &part)) {
		if (conversion->heard && plan.to == GMEM_PRIVATE)
			gmem_convert_tell_run(conversion, &part, GMEM_EVENT_REMOVE);
		rc = gmem_convert_back(conversion, &part);
		if (rc && conversion->heard && plan.to == GMEM_PRIVATE)
			gmem_convert_tell_run(conversion, &part, GMEM_EVENT_ADD);
	}
	return rc;
}

static void roll_back(struct conversion *conversion, const struct rollback *rollback)
{
	uint32_t i;
	int rc;

	for (i = rollback->count; i-- > 0;) {
		rc = roll_back_run(conversion, &rollback->runs[i]);
		if (rc)
			log_error(
				conversion->vm->ctx,
				"%s: a part of gpa %#llx, %#llx bytes, could not be converted back "
				"(%s), and stays %s",
				conversion->function, (unsigned long long)rollback->runs[i].gpa,
				(unsigned long long)rollback->runs[i].size, gmem_error_name(rc),
				state_name(conversion->plan.to));
	}
}

/* Listeners first: they let go of what is to be private. */
static int begin_commit(struct conversion *conversion)
{
	int rc = 0;

	conversion->report.stage = GMEM_STAGE_PREPARE;
	if (conversion->heard && conversion->plan.to == GMEM_PRIVATE)
		rc = gmem_convert_tell_before(conversion);
	if (!rc)
		conversion->report.stage = GMEM_STAGE_COMMIT;
	return rc;
}

/* And they get back what is not private after all. */
static int end_commit(struct conversion *conversion, int error)
{
	if (error && conversion->heard && conversion->plan.to == GMEM_PRIVATE)
		gmem_convert_tell_back(conversion);
	return error;
}

/* With rollback; apart from the rest for what it takes of the stack. */
static __attribute__((noinline)) int commit_or_roll_back(struct conversion *conversion)
{
	struct rollback rollback;
	int rc = prepare_rollback(conversion, &rollback);

	if (!rc)
		rc = begin_commit(conversion);
	if (rc)
		return rc;
	rc = gmem_convert_commit(conversion);
	if (rc)
		roll_back(conversion, &rollback);
	return end_commit(conversion, rc);
}

static int refused(struct conversion *conversion, const struct plan_obstacle *obstacle, int error)
{
	const struct section_view *view = &obstacle->view;
	struct gmem_report *report = &conversion->report;

	report->gpa = obstacle->gpa;
	if (view->region) {
		report->tag = view->tag;
		report->offset = view->offset + (obstacle->gpa - view->gpa);
	}
	if (is_quiet(conversion))
		return error;
	log_debug(conversion->vm->ctx, "%s: gpa %#llx cannot be made %s: there is %s%s%s",
		  conversion->function, (unsigned long long)obstacle->gpa,
		  state_name(conversion->plan.to), obstacle->reason,
		  view->region ? ", region " : "", view->region ? view->region->config.name : "");
	return error;
}

/* Apart from convert_claimed(), which most often needs none of it. */
static __attribute__((noinline)) int check_and_commit(struct conversion *conversion)
{
	struct plan_obstacle obstacle = { 0 };
	int rc = gmem_plan_check(&conversion->plan, &obstacle);

	if (rc)
		return refused(conversion, &obstacle, rc);
	if (conversion->flags & GMEM_CONVERT_ROLLBACK)
		return commit_or_roll_back(conversion);
	rc = begin_commit(conversion);
	if (rc)
		return rc;
	return end_commit(conversion, gmem_convert_commit(conversion));
}

static int convert_claimed(struct conversion *conversion)
{
	struct plan_run run;

	conversion->heard = gmem_listen_is_on(conversion->vm, GMEM_LISTEN_CONVERT);
	if (conversion->heard ||
	    conversion->flags & (GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_TRUST_STATE) ||
	    !gmem_plan_is_one_run(&conversion->plan, &run))
		return check_and_commit(conversion);
	conversion->report.stage = GMEM_STAGE_COMMIT;
	return gmem_convert_one_run(conversion, &run);
}

/* On failure half-way: the first page that is not as asked for. */
static void report_first_wrong(struct conversion *conversion)
{
	struct gmem_report *report = &conversion->report;
	struct plan_position position = { 0 };
	struct plan_run run;

	if (!gmem_plan_next(&conversion->plan, PLAN_WRONG, &position, &run))
		return;
	report->gpa = run.gpa;
	report->size = run.size;
	report->tag = run.first.tag;
	report->offset = run.first.offset + (run.gpa - run.first.gpa);
}

static const char *what_is_in_the_way(uint32_t obstacle)
{
	switch (obstacle) {
	case GMEM_OBSTACLE_OPERATION:
		return "another operation is at work on the range";
	case GMEM_OBSTACLE_SIGNAL:
		return "a signal interrupted the kernel's call, and the retry policy said to stop";
	case GMEM_OBSTACLE_PIN:
		return "gmem_vm_pin() holds a page";
	case GMEM_OBSTACLE_KERNEL:
		return "the kernel's call is to be made again, and names no page";
	default:
		return "the kernel sees a page in use";
	}
}

bool gmem_convert_may_log(struct conversion *conversion)
{
	conversion->said = true;
	return !is_quiet(conversion) || gmem_exit_guard_may_log(conversion->vm);
}

static int claim_failed(struct conversion *conversion, int error)
{
	if (error == -EDEADLK && gmem_convert_may_log(conversion))
		log_error(conversion->vm->ctx,
			  "%s: this thread is inside a callback of an operation on this VM, which "
			  "may not convert",
			  conversion->function);
	return error;
}

static int run_conversion(struct conversion *conversion, bool *full)
{
	struct gmem_report *report = &conversion->report;
	int rc;

	report->stage = GMEM_STAGE_PREPARE;
	rc = gmem_claim_take(conversion->vm, &conversion->claim, conversion->plan.ranges,
			     conversion->plan.count, &conversion->wait);
	if (rc)
		return claim_failed(conversion, rc);
	report->stage = GMEM_STAGE_PLAN;
	rc = convert_claimed(conversion);
	if (rc && report->stage >= GMEM_STAGE_COMMIT)
		report_first_wrong(conversion);
	if (report->stage >= GMEM_STAGE_COMMIT)
		*full = gmem_convert_discard(conversion);
	gmem_claim_release(conversion->vm, &conversion->claim);
	return rc;
}

/* Devices have states too, and are refused all the same where the plan says so. */
static bool may_be_refused(const struct conversion *conversion)
{
	struct plan_obstacle obstacle = { 0 };

	return (conversion->plan.to == GMEM_PRIVATE ||
		conversion->plan.gaps & GMEM_VM_GAPS_REFUSE) &&
	       gmem_plan_check(&conversion->plan, &obstacle);
}

/* Nothing to do, by our own record, without so much as a claim. */
static bool is_done_already(const struct conversion *conversion)
{
	const struct gmem_range *range = conversion->plan.ranges;

	return conversion->flags & GMEM_CONVERT_TRUST_STATE && conversion->plan.count == 1 &&
	       gmem_vm_get_state(conversion->vm, range->gpa, range->size) ==
		       (int)conversion->plan.to &&
	       !may_be_refused(conversion);
}

static void finish(struct conversion *conversion, int error, struct gmem_report *report)
{
	struct gmem_report *own = &conversion->report;

	own->error = error;
	if (!error) {
		own->stage = GMEM_STAGE_DONE;
		own->kernel_error = 0;
	} else if (error != -EAGAIN) {
		own->obstacle = GMEM_OBSTACLE_NONE;
	} else if (!is_quiet(conversion)) {
		log_debug(
			conversion->vm->ctx,
			"%s: gpa %#llx, %#llx bytes (tag %#llx, offset %#llx) could not be made %s: %s; "
			"%u pages passed over",
			conversion->function, (unsigned long long)own->gpa,
			(unsigned long long)own->size, (unsigned long long)own->tag,
			(unsigned long long)own->offset, state_name(conversion->plan.to),
			what_is_in_the_way(own->obstacle), own->skipped);
	}
	if (report)
		*report = *own;
}

static void conversion_init(struct conversion *conversion, struct gmem_vm *vm, const char *function,
			    const struct gmem_range *ranges, uint64_t count, uint32_t to,
			    uint32_t flags)
{
	conversion->vm = vm;
	conversion->function = function;
	conversion->plan = (struct plan){
		.table = &vm->layout->table,
		.ranges = ranges,
		.count = count,
		.to = to,
		.tracking = vm->tracking,
		.gaps = vm->config.flags,
		.page_shift = vm->caps.page_shift,
	};
	conversion->flags = flags;
	conversion->report = (struct gmem_report){ .stage = GMEM_STAGE_PLAN };
	wait_init(&conversion->wait, vm, &conversion->report, GMEM_OPERATION_CONVERT,
		  flags & GMEM_CONVERT_NOWAIT || !vm->config.deadline_ns);
	conversion->in_use = false;
	conversion->said = false;
}

/*
 * What conversions have put off is too much. Where others are at work it stays: they may be waiting
 * for a pin that this very thread holds.
 */
static void flush(struct conversion *conversion)
{
	conversion->wait.never = true;
	(void)gmem_discard_flush(conversion->vm, &conversion->wait);
}

static void count_conversion(struct conversion *conversion, int error)
{
	struct counters *counters = &conversion->vm->counters;
	const struct gmem_report *report = &conversion->report;

	count(&counters->conversions, 1);
	count(&counters->conversions_failed, error != 0);
	count(conversion->plan.to == GMEM_PRIVATE ? &counters->bytes_private
						  : &counters->bytes_shared,
	      report->converted);
	count(&counters->ioctls, report->ioctls);
	count(&counters->retries, report->retries);
}

int gmem_convert(struct gmem_vm *vm, const char *function, const struct gmem_range *ranges,
		 uint64_t count, uint32_t to, uint32_t flags, struct gmem_report *report,
		 struct convert_end *end)
{
	struct conversion conversion;
	bool full = false;
	int rc;

	conversion_init(&conversion, vm, function, ranges, count, to, flags);
	PROBE4(convert_start, vm->fd, ranges->gpa, ranges->size, to);
	rc = check_request(vm, function, to);
	if (!rc)
		rc = check_ranges(&conversion);
	if (!rc && !is_done_already(&conversion))
		rc = run_conversion(&conversion, &full);
	finish(&conversion, rc, report);
	count_conversion(&conversion, rc);
	PROBE5(convert_done, vm->fd, rc, conversion.report.converted, conversion.report.ioctls,
	       conversion.report.waited_ns);
	if (end)
		*end = (struct convert_end){ conversion.wait.later, conversion.said };
	if (full)
		flush(&conversion);
	return rc;
}

/* For what is refused before there is a conversion. */
static int refuse(struct gmem_report *report, int error)
{
	if (report)
		*report = (struct gmem_report){
			.error = error,
			.stage = GMEM_STAGE_PLAN,
			.operation = GMEM_OPERATION_CONVERT,
		};
	return error;
}

int gmem_vm_convert(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t to, uint32_t flags,
		    struct gmem_report *report)
{
	const struct gmem_range range = { .gpa = gpa, .size = size };
	int rc = gmem_vm_check(vm, "gmem_vm_convert");

	if (!rc)
		rc = check_flags(vm, "gmem_vm_convert", flags);
	if (rc)
		return refuse(report, rc);
	return gmem_convert(vm, "gmem_vm_convert", &range, 1, to, flags, report, NULL);
}

int gmem_vm_convert_ranges(struct gmem_vm *vm, const struct gmem_range *ranges, size_t count,
			   uint32_t to, uint32_t flags, struct gmem_report *report)
{
	int rc = gmem_vm_check(vm, "gmem_vm_convert_ranges");

	if (!rc)
		rc = check_flags(vm, "gmem_vm_convert_ranges", flags);
	if (rc)
		return refuse(report, rc);
	if (!ranges || !count) {
		log_error(vm->ctx, "gmem_vm_convert_ranges: %s",
			  ranges ? "count is 0; there must be a range" : "ranges is NULL");
		return refuse(report, -EINVAL);
	}
	return gmem_convert(vm, "gmem_vm_convert_ranges", ranges, count, to, flags, report, NULL);
}
