// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A change of the layout among other operations: it claims its addresses, as a conversion does,
 * has listeners let go of what it takes away, and waits for pins of it, before the layout's lock is
 * taken.
 */
#include "claim.h"
#include "discard.h"
#include "layout_commit.h"
#include "log.h"
#include "pin_table.h"
#include "range.h"
#include "range_list.h"

#include <errno.h>

/* What a change is at work on: a claim of all its addresses, until it is done. */
struct work {
	struct gmem_vm *vm;
	const char *function;
	struct gmem_report report;
	struct wait wait;
	struct claim claim;
	struct range_list ranges;
	bool claimed;
};

/*
 * Whether a step is about guest addresses that conversions and pins know. What is wrong with it is
 * said by whoever judges it.
 */
static bool has_addresses(const struct step *step)
{
	return !step->address_space && range_is_valid(step->gpa, step->size);
}

static int no_memory(const struct work *work)
{
	log_error(work->vm->ctx, "%s: VM descriptor %d: no memory for the ranges of a change",
		  work->function, work->vm->fd);
	return -ENOMEM;
}

/*
 * Where no section is: what a change without guest addresses claims, so that it too is an operation
 * at work, which listeners are not made or freed beside, and whose callbacks may start no other.
 */
static const struct gmem_range no_address = { .gpa = UINT64_MAX - 1, .size = 1 };

static int collect_ranges(struct work *work, const struct step *steps, uint32_t count)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < count && !rc; i++) {
		if (has_addresses(&steps[i]))
			rc = gmem_range_list_append(&work->ranges, steps[i].gpa, steps[i].size);
	}
	if (!rc && !work->ranges.count)
		rc = gmem_range_list_append(&work->ranges, no_address.gpa, no_address.size);
	if (rc)
		return no_memory(work);
	gmem_range_list_merge(&work->ranges);
	return 0;
}

static int work_failed(const struct work *work, int error, const char *what)
{
	if (error == -EDEADLK)
		log_error(work->vm->ctx,
			  "%s: VM descriptor %d: this thread is inside a callback of an operation "
			  "on this VM, which may not change the layout",
			  work->function, work->vm->fd);
	else
		log_error(work->vm->ctx, "%s: VM descriptor %d: gpa %#llx: %s", work->function,
			  work->vm->fd, (unsigned long long)work->report.gpa, what);
	return error;
}

static int work_begin(struct work *work)
{
	int rc;

	rc = gmem_claim_take(work->vm, &work->claim, work->ranges.items, work->ranges.count,
			     &work->wait);
	work->claimed = !rc;
	if (rc)
		return work_failed(work, rc,
				   "another operation is at work on it, and the retry policy said "
				   "to stop");
	return 0;
}

static void work_end(struct work *work)
{
	if (work->claimed)
		gmem_claim_release(work->vm, &work->claim);
	work->claimed = false;
}

static int wait_for_pins_of(struct work *work, const struct gmem_range *range)
{
	struct gmem_range pinned;

	while (gmem_pin_table_find(work->vm, range->gpa, range->size, &pinned)) {
		work->report.gpa = pinned.gpa;
		work->report.size = pinned.size;
		if (gmem_pin_table_wait(work->vm, range->gpa, range->size, &work->wait) !=
		    VERDICT_AGAIN)
			return work_failed(
				work, -EAGAIN,
				"gmem_vm_pin() holds it; unpin it before its memslot goes");
	}
	return 0;
}

/*
 * Memory whose memslot goes must be pinned by nobody, even if it is to come back at once: should
 * KVM refuse that, it is gone.
 */
static int wait_for_pins(struct work *work, const struct commit *commit)
{
	struct gmem_range range;
	uint32_t i = 0;
	int rc = 0;

	while (!rc && gmem_commit_next_removed(commit, &i, &range))
		rc = wait_for_pins_of(work, &range);
	return rc;
}

static bool takes_away(const struct step *step)
{
	return (step->kind == STEP_UNMAP || step->kind == STEP_UNMAP_ALIAS) && has_addresses(step);
}

/* What waits to be freed is freed before it has no address any more. */
static void flush_discards(const struct work *work, const struct step *steps, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (takes_away(&steps[i]))
			(void)gmem_discard_range(work->vm, steps[i].gpa, steps[i].size);
	}
}

/* Once, with what is claimed. */
static int try_commit(struct work *work, struct commit *commit)
{
	int rc = work_begin(work);

	/* Bad steps are refused at once, not after a wait for pins that are in their way. */
	if (!rc)
		rc = gmem_commit_prepare(commit);
	/* Listeners first: what one of them has pinned it lets go of when it is told. */
	if (!rc)
		rc = gmem_commit_tell_going(commit);
	if (!rc)
		rc = wait_for_pins(work, commit);
	if (!rc)
		flush_discards(work, commit->steps, commit->step_count);
	if (!rc)
		rc = gmem_commit_do(commit);
	gmem_commit_end(commit);
	work_end(work);
	return rc;
}

/* More addresses are to be claimed than was known at first. */
static int widen(struct work *work, struct range_list *missing)
{
	uint64_t i;
	int rc = 0;

	for (i = 0; i < missing->count && !rc; i++)
		rc = gmem_range_list_append(&work->ranges, missing->items[i].gpa,
					    missing->items[i].size);
	gmem_range_list_free(missing);
	if (rc)
		return no_memory(work);
	gmem_range_list_merge(&work->ranges);
	return 0;
}

int gmem_layout_commit(struct gmem_vm *vm, const char *function, const struct step *steps,
		       uint32_t count, bool numbered)
{
	struct work work = { .vm = vm, .function = function };
	struct commit commit = {
		.vm = vm,
		.layout = vm->layout,
		.steps = steps,
		.step_count = count,
		.numbered = numbered,
		.claimed = &work.ranges,
	};
	bool again = true;
	int rc = collect_ranges(&work, steps, count);

	work.report.stage = GMEM_STAGE_PREPARE;
	wait_init(&work.wait, vm, &work.report, GMEM_OPERATION_LAYOUT, !vm->config.deadline_ns);
	while (!rc && again) {
		rc = try_commit(&work, &commit);
		again = rc == -ESTALE;
		if (again)
			rc = widen(&work, &commit.missing);
	}
	gmem_range_list_free(&commit.missing);
	gmem_range_list_free(&work.ranges);
	return rc;
}
