// SPDX-License-Identifier: LGPL-2.1-or-later
/* Conversions as callers make them: judged, claimed, done, taken back, and reported. */
#include "convert.h"

#include "compiler.h"
#include "convert_call.h"
#include "discard.h"
#include "exits.h"
#include "listen.h"
#include "log.h"
#include "pin_table.h"
#include "probes.h"
#include "range.h"

#include <errno.h>
#include <gmem/access.h>

#define ALL_FLAGS                                                                                  \
	(GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_NOWAIT | GMEM_CONVERT_TRUST_STATE |                  \
	 GMEM_CONVERT_KEEP | GMEM_CONVERT_FREE_HUGETLB)

static int check_flags(const struct gmem_vm *vm, const char *function, uint32_t flags)
{
	if (!(flags & ~ALL_FLAGS))
		return 0;
	log_error(vm->ctx, "%s: flags are %#x, of which %#x are none of GMEM_CONVERT_*", function,
		  flags, flags & ~ALL_FLAGS);
	return -EINVAL;
}

static inline bool is_possible(const struct gmem_vm *vm, uint32_t to)
{
	return to == GMEM_SHARED || (to == GMEM_PRIVATE && vm_has_private(vm));
}

static inline bool is_whole_pages(const struct gmem_vm *vm, const struct gmem_range *range)
{
	return range_is_valid(range->gpa, range->size) &&
	       range_is_aligned(range->gpa, range->size, vm->caps.page_size);
}

static int check_request(const struct gmem_vm *vm, const char *function, uint32_t to)
{
	if (is_possible(vm, to))
		return 0;
	if (to == GMEM_PRIVATE) {
		log_debug(vm->ctx, "%s: VM descriptor %d has no private memory", function, vm->fd);
		return -EOPNOTSUPP;
	}
	log_error(vm->ctx, "%s: to is %u; it must be GMEM_PRIVATE or GMEM_SHARED", function, to);
	return -EINVAL;
}

static bool is_quiet(const struct conversion *conversion)
{
	return conversion->flags & CONVERT_QUIETLY;
}

static int check_range(const struct conversion *conversion, uint64_t index, uint64_t *end)
{
	const struct gmem_vm *vm = conversion->vm;
	const struct gmem_range *range = &conversion->plan.ranges[index];

	if (!is_whole_pages(vm, range)) {
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
	conversion->is_placed = true;
}

/* With rollback; apart from the rest for what it takes of the stack. */
static __attribute__((noinline)) int commit_or_roll_back(struct conversion *conversion)
{
	struct rollback rollback;
	int rc = gmem_convert_prepare_rollback(conversion, &rollback);

	if (!rc)
		rc = begin_commit(conversion);
	if (rc)
		return rc;
	rc = gmem_convert_commit(conversion);
	/* While it can be told from the rest: afterwards none is as asked for. */
	if (rc == -EAGAIN)
		report_first_wrong(conversion);
	if (rc)
		gmem_convert_roll_back(conversion, &rollback);
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
	/* A first call was made where nobody listens, and is for this run alone. */
	if (!conversion->first.made && (conversion->heard || !conversion->is_one_run))
		return check_and_commit(conversion);
	conversion->report.stage = GMEM_STAGE_COMMIT;
	return gmem_convert_one_run(conversion);
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
	return !is_quiet(conversion) || gmem_exit_guard_may_log(conversion->vm, GMEM_LOG_ERROR);
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

/* What there is to know as soon as the addresses are claimed. A first call was for one run. */
static void look(struct conversion *conversion)
{
	uint32_t flags = conversion->flags & (GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_TRUST_STATE);

	conversion->heard = gmem_listen_is_on(conversion->vm, GMEM_LISTEN_CONVERT);
	conversion->is_one_run = !flags &&
				 gmem_plan_is_one_run(&conversion->plan, &conversion->run);
	conversion->is_one_run |= conversion->first.made;
}

/*
 * How far a conversion has come before convert_at_length(): what gmem_claim_enter() returned, or
 * one of these.
 */
enum {
	UNCLAIMED = 1,
	CALLED, /* claimed, and the kernel's answer to a first call is there */
	OVER,
};

static int claim(struct conversion *conversion, int so_far)
{
	int rc = so_far;

	if (rc == UNCLAIMED)
		rc = gmem_claim_enter(conversion->vm, &conversion->claim, conversion->plan.ranges,
				      conversion->plan.count);
	if (rc == -EAGAIN)
		rc = gmem_claim_await(conversion->vm, &conversion->claim, &conversion->wait);
	return rc < 0 ? claim_failed(conversion, rc) : 0;
}

static int run_conversion(struct conversion *conversion, int so_far, bool *full)
{
	struct gmem_report *report = &conversion->report;
	int rc;

	report->stage = GMEM_STAGE_PREPARE;
	rc = claim(conversion, so_far);
	if (rc)
		return rc;
	report->stage = GMEM_STAGE_PLAN;
	look(conversion);
	rc = convert_claimed(conversion);
	if (rc && report->stage >= GMEM_STAGE_COMMIT && !conversion->is_placed)
		report_first_wrong(conversion);
	if (report->stage >= GMEM_STAGE_COMMIT)
		*full = gmem_convert_discard(conversion);
	gmem_claim_release(conversion->vm, &conversion->claim);
	return rc;
}

static void finish(struct conversion *conversion, int error, struct gmem_report *report)
{
	struct gmem_report *own = &conversion->report;

	own->error = error;
	if (!error) {
		own->stage = GMEM_STAGE_DONE;
		own->kernel_error = 0;
		own->obstacle = GMEM_OBSTACLE_NONE;
		own->gpa = own->size = own->tag = own->offset = 0;
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

static void plan_init(struct plan *plan, struct gmem_vm *vm, const struct gmem_range *ranges,
		      uint64_t count, uint32_t to)
{
	*plan = (struct plan){
		.table = &vm->layout->table,
		.ranges = ranges,
		.count = count,
		.to = to,
		.tracking = vm->tracking,
		.gaps = vm->config.flags,
		.page_shift = vm->caps.page_shift,
	};
}

/* All but its claim and the answer to its first call, which may have been there before. */
static void conversion_init(struct conversion *conversion, struct gmem_vm *vm, const char *function,
			    uint32_t flags, bool called)
{
	conversion->vm = vm;
	conversion->function = function;
	conversion->flags = flags;
	conversion->report = (struct gmem_report){
		.stage = GMEM_STAGE_PLAN,
		.ioctls = called,
	};
	wait_init(&conversion->wait, vm, &conversion->report, GMEM_OPERATION_CONVERT,
		  flags & GMEM_CONVERT_NOWAIT || !vm->config.deadline_ns);
	conversion->first.made = called;
	conversion->in_use = false;
	conversion->is_placed = false;
	conversion->said = false;
}

/*
 * What conversions have put off is too much. Where others are at work it stays: they may be waiting
 * for a pin that this very thread holds.
 */
static void flush(struct conversion *conversion)
{
	conversion->wait.never = true;
	(void)gmem_discard_flush(conversion->vm, &conversion->wait, false);
}

static inline void count_conversion(struct gmem_vm *vm, uint32_t to, int error, uint64_t converted,
				    uint32_t ioctls, uint32_t retries)
{
	struct counters *counters = &vm->counters;

	count(&counters->conversions, 1);
	count(&counters->conversions_failed, error != 0);
	count(to == GMEM_PRIVATE ? &counters->bytes_private : &counters->bytes_shared, converted);
	count(&counters->ioctls, ioctls);
	count(&counters->retries, retries);
}

/* Whatever is not over at once, from where it has come to. */
static __attribute__((noinline)) int convert_at_length(struct conversion *conversion, int so_far,
						       struct gmem_vm *vm, const char *function,
						       const struct gmem_range *ranges,
						       uint64_t count, uint32_t to, uint32_t flags,
						       struct gmem_report *report,
						       struct convert_end *end)
{
	const struct gmem_report *own = &conversion->report;
	bool full = false;
	int rc = 0;

	conversion_init(conversion, vm, function, flags, so_far == CALLED);
	plan_init(&conversion->plan, vm, ranges, count, to);
	if (so_far == UNCLAIMED)
		rc = check_request(vm, function, to);
	if (!rc && so_far == UNCLAIMED)
		rc = check_ranges(conversion);
	if (!rc)
		rc = run_conversion(conversion, so_far, &full);
	finish(conversion, rc, report);
	count_conversion(vm, to, rc, own->converted, own->ioctls, own->retries);
	PROBE5(convert_done, vm->fd, rc, own->converted, own->ioctls, own->waited_ns);
	if (end)
		*end = (struct convert_end){ conversion->wait.later, conversion->said };
	if (full)
		flush(conversion);
	return rc;
}

/* Devices have states too, and are refused all the same where the plan says so. */
static __attribute__((noinline)) bool may_be_refused(struct gmem_vm *vm,
						     const struct gmem_range *range, uint32_t to)
{
	struct plan_obstacle obstacle = { 0 };
	struct plan plan;

	plan_init(&plan, vm, range, 1, to);
	return gmem_plan_check(&plan, &obstacle);
}

/* Nothing to do, by our own record, without so much as a claim. */
static inline bool is_done_already(struct gmem_vm *vm, const struct gmem_range *range, uint32_t to)
{
	if (gmem_vm_get_state(vm, range->gpa, range->size) != (int)to)
		return false;
	return (to == GMEM_SHARED && !(vm->config.flags & GMEM_VM_GAPS_REFUSE)) ||
	       !may_be_refused(vm, range, to);
}

/*
 * Of a claimed range: 0, CALLED or OVER. Under tracking per VM, as with all split memory, there
 * is a side to be freed as well.
 */
static ALWAYS_INLINE int make_first_call(struct gmem_vm *vm, const struct gmem_range *range,
					 uint32_t to, struct first_call *first, uint64_t *converted)
{
	struct plan_place place;
	struct gmem_range pinned;
	int rc;

	if (unlikely(vm->first_listener) || unlikely(vm->tracking != GMEM_TRACKING_FILE) ||
	    unlikely(atomic_load_explicit(&vm->has_split, memory_order_relaxed)) ||
	    unlikely(!plan_find_place(&vm->layout->table, range, &place)))
		return 0;
	if (to == GMEM_PRIVATE &&
	    unlikely(gmem_pin_table_find(vm, range->gpa, range->size, &pinned)))
		return 0;
	rc = call_file(vm, place.region->guest.fd, place.offset, range, to, &first->stuck);
	if (unlikely(rc)) {
		first->rc = rc;
		return CALLED;
	}
	*converted = set_state(vm, place.region, place.offset, range->size, to);
	return OVER;
}

/* Counts and reports what is over at once. */
static ALWAYS_INLINE int done(struct gmem_vm *vm, uint32_t to, uint64_t converted, uint32_t ioctls,
			      struct gmem_report *report)
{
	count_conversion(vm, to, 0, converted, ioctls, 0);
	PROBE5(convert_done, vm->fd, 0, converted, ioctls, 0);
	if (report) {
		clear(report, sizeof(*report));
		report->stage = GMEM_STAGE_DONE;
		report->operation = GMEM_OPERATION_CONVERT;
		report->converted = converted;
		report->ioctls = ioctls;
	}
	return OVER;
}

/*
 * What guests ask for most is one range that is all in one place, with nobody in the way: that
 * takes a claim, a call and a change of state, and no plan, no report to keep, no waiting. What
 * does not end here goes on in convert_at_length() from where it has come to.
 */
static ALWAYS_INLINE int convert_at_once(struct gmem_vm *vm, const struct gmem_range *range,
					 uint32_t to, uint32_t flags, struct conversion *conversion,
					 struct gmem_report *report)
{
	uint64_t converted = 0;
	int so_far;

	if (!is_possible(vm, to) || !is_whole_pages(vm, range))
		return UNCLAIMED;
	if (flags & GMEM_CONVERT_TRUST_STATE)
		return is_done_already(vm, range, to) ? done(vm, to, 0, 0, report) : UNCLAIMED;
	if (flags & GMEM_CONVERT_ROLLBACK)
		return UNCLAIMED;
	so_far = gmem_claim_enter(vm, &conversion->claim, range, 1);
	if (likely(!so_far))
		so_far = make_first_call(vm, range, to, &conversion->first, &converted);
	if (likely(so_far == OVER)) {
		gmem_claim_release(vm, &conversion->claim);
		done(vm, to, converted, 1, report);
	}
	return so_far;
}

int gmem_convert(struct gmem_vm *vm, const char *function, const struct gmem_range *ranges,
		 uint64_t count, uint32_t to, uint32_t flags, struct gmem_report *report,
		 struct convert_end *end)
{
	struct conversion conversion;
	int so_far = UNCLAIMED;

	PROBE4(convert_start, vm->fd, ranges->gpa, ranges->size, to);
	if (count == 1)
		so_far = convert_at_once(vm, ranges, to, flags, &conversion, report);
	if (so_far != OVER)
		return convert_at_length(&conversion, so_far, vm, function, ranges, count, to,
					 flags, report, end);
	if (end)
		*end = (struct convert_end){ 0 };
	return 0;
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

static int check_call(const struct gmem_vm *vm, const char *function, uint32_t flags)
{
	int rc = gmem_vm_check(vm, function);

	/* Of no VM it is never 0, which analyzers cannot see. */
	return rc || !vm ? rc : check_flags(vm, function, flags);
}

static __attribute__((noinline)) int refuse_call(const struct gmem_vm *vm, const char *function,
						 uint32_t flags, struct gmem_report *report)
{
	return refuse(report, check_call(vm, function, flags));
}

/* gmem_convert() again, for the sake of what it costs to call it. */
int gmem_vm_convert(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t to, uint32_t flags,
		    struct gmem_report *report)
{
	const struct gmem_range range = { .gpa = gpa, .size = size };
	struct conversion conversion;
	int so_far;

	if (!vm || vm_is_forked(vm) || flags & ~ALL_FLAGS)
		return refuse_call(vm, "gmem_vm_convert", flags, report);
	PROBE4(convert_start, vm->fd, gpa, size, to);
	so_far = convert_at_once(vm, &range, to, flags, &conversion, report);
	if (so_far != OVER)
		return convert_at_length(&conversion, so_far, vm, "gmem_vm_convert", &range, 1, to,
					 flags, report, NULL);
	return 0;
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
