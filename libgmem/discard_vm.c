// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory that is freed because somebody says so, and unplugged. */
#include "discard.h"
#include "exits.h"
#include "layout.h"
#include "log.h"
#include "pin_table.h"
#include "presence.h"

#include <errno.h>
#include <gmem/convert.h>

/* Nobody pins what is claimed, so a part that is not pinned stays so. */
static int wait_for_pins_of(struct presence *presence, const struct walk *walk)
{
	const struct gmem_range *part = &walk->part;
	struct gmem_vm *vm = presence->vm;
	struct gmem_range pinned;

	while (gmem_pin_table_find(vm, part->gpa, part->size, &pinned)) {
		gmem_presence_report_place(presence, &walk->view, pinned.gpa, pinned.size);
		if (gmem_pin_table_wait(vm, part->gpa, part->size, &presence->wait) ==
		    VERDICT_AGAIN)
			continue;
		log_debug(vm->ctx,
			  "gmem_vm_discard: gpa %#llx, %#llx bytes: gmem_vm_pin() holds them",
			  (unsigned long long)pinned.gpa, (unsigned long long)pinned.size);
		return -EAGAIN;
	}
	return 0;
}

static int wait_for_pins(struct presence *presence)
{
	struct walk walk = gmem_walk_windows(presence);
	int rc = 0;

	while (!rc && gmem_walk_next(&walk))
		rc = wait_for_pins_of(presence, &walk);
	return rc;
}

/*
 * Cuts the walk's run, from an address on, where other windows in the range show bytes of it that
 * were freed there. Returns where the first of these ends, if the run begins with them.
 */
static uint64_t cut_by_earlier(const struct presence *presence, struct walk *walk, uint64_t gpa)
{
	struct walk earlier = gmem_walk_ram(presence);
	uint64_t offset = walk_offset(walk, gpa), from, to;

	while (gmem_walk_next(&earlier) && earlier.part.gpa < walk->part.gpa) {
		from = walk_offset(&earlier, earlier.part.gpa);
		to = from + earlier.part.size;
		if (earlier.view.region != walk->view.region || to <= offset)
			continue;
		if (from <= offset)
			return gpa + (to - offset);
		if (from - offset < walk->run.size)
			walk->run.size = from - offset;
	}
	return gpa;
}

/* The part's next run of bytes that no earlier window in the range has shown. */
static bool next_unseen(const struct presence *presence, struct walk *walk)
{
	uint64_t end = walk->part.gpa + walk->part.size;
	uint64_t gpa = walk->run.gpa + walk->run.size, next = gpa;

	do {
		gpa = next;
		if (gpa >= end)
			return false;
		walk->run = (struct gmem_range){ .gpa = gpa, .size = end - gpa };
		if (presence->windows.count)
			next = cut_by_earlier(presence, walk, gpa);
	} while (next != gpa);
	return true;
}

/* Frees one side of a run. The first that the kernel refuses is reported; left counts up. */
static void free_side(struct presence *presence, const struct walk *walk, bool private_side,
		      uint64_t *left)
{
	const struct gmem_range *run = &walk->run;
	const struct discard discard = {
		.region = walk->view.region,
		.offset = walk_offset(walk, run->gpa),
		.size = run->size,
		.private_side = private_side,
		.quietly = true,
	};
	uint64_t freed;
	int rc;

	rc = gmem_discard_now(presence->vm, &discard, &freed);
	gmem_discard_cancel(presence->vm, &discard);
	presence->report.freed += freed;
	if (!rc)
		return;
	if (!*left) {
		gmem_presence_report_place(presence, &walk->view, run->gpa, run->size);
		presence->report.kernel_error = rc;
	}
	*left += run->size;
}

static void free_run(struct presence *presence, const struct walk *walk, uint64_t *left)
{
	uint32_t backing = walk->view.region->config.backing;

	if (backing != GMEM_BACKING_GUEST_MEMFD)
		free_side(presence, walk, false, left);
	if (backing != GMEM_BACKING_PLAIN)
		free_side(presence, walk, true, left);
}

static int free_failed(const struct presence *presence, uint64_t left)
{
	const struct gmem_report *report = &presence->report;

	/* A guest's balloon may ask again and again. */
	if (!gmem_exit_guard_may_log(presence->vm, GMEM_LOG_ERROR))
		return -EIO;
	log_error(presence->vm->ctx,
		  "gmem_vm_discard: gpa %#llx, %#llx bytes: %#llx bytes are freed, and %#llx stay "
		  "allocated, the first of them at gpa %#llx, where the kernel said %s",
		  (unsigned long long)presence->range.gpa, (unsigned long long)presence->range.size,
		  (unsigned long long)report->freed, (unsigned long long)left,
		  (unsigned long long)report->gpa, gmem_error_name(report->kernel_error));
	return -EIO;
}

/* Once, whatever addresses the range has of it. */
static int free_parts(struct presence *presence)
{
	struct walk walk = gmem_walk_ram(presence);
	uint64_t left = 0;

	while (gmem_walk_next(&walk)) {
		while (next_unseen(presence, &walk))
			free_run(presence, &walk, &left);
	}
	return left ? free_failed(presence, left) : 0;
}

/* Room to note absent pages, before anything is done: later nothing may fail for want of it. */
static int need_absent(struct presence *presence)
{
	struct walk walk = gmem_walk_ram(presence);
	bool changed = false;
	int rc = 0;

	while (!rc && gmem_walk_next(&walk)) {
		rc = gmem_region_need_absent(walk.view.region);
		if (rc)
			gmem_presence_report_place(presence, &walk.view, walk.part.gpa,
						   walk.part.size);
		/* Whoever made it may not have shown it yet, or have failed then. */
		changed |= walk.view.shadow != region_shadow(walk.view.region);
	}
	/* Readers know sections, not regions. */
	if (changed)
		gmem_layout_republish(presence->vm->layout);
	return rc;
}

static void set_absent(struct presence *presence)
{
	struct walk walk = gmem_walk_ram(presence);

	while (gmem_walk_next(&walk))
		presence->report.converted += gmem_walk_set_absent(&walk, &walk.part, true);
}

static int discard_claimed(struct presence *presence, uint32_t flags)
{
	int rc = flags & GMEM_DISCARD_ABSENT ? need_absent(presence) : 0;

	if (rc)
		return rc;
	presence->report.stage = GMEM_STAGE_PREPARE;
	rc = gmem_presence_tell(presence, NULL, GMEM_EVENT_REMOVE);
	if (rc)
		return rc;
	presence->report.stage = GMEM_STAGE_COMMIT;
	/* Only now: what a listener has pinned it lets go of when it is told. */
	rc = wait_for_pins(presence);
	if (!rc) {
		rc = free_parts(presence);
		if (flags & GMEM_DISCARD_ABSENT)
			set_absent(presence);
	}
	/* Of what is absent nobody is told. */
	gmem_presence_tell_anyway(presence, GMEM_EVENT_ADD);
	return rc;
}

int gmem_vm_discard(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
		    struct gmem_report *report)
{
	struct presence presence;
	int rc = gmem_vm_check(vm, "gmem_vm_discard");

	gmem_presence_init(&presence, vm, "gmem_vm_discard", GMEM_OPERATION_DISCARD, gpa, size);
	if (!rc)
		rc = gmem_presence_check_flags(vm, "gmem_vm_discard", flags,
					       GMEM_DISCARD_ABSENT | GMEM_DISCARD_NOWAIT,
					       "GMEM_DISCARD_");
	if (!rc)
		rc = gmem_presence_begin(&presence, flags & GMEM_DISCARD_NOWAIT);
	if (!rc) {
		rc = discard_claimed(&presence, flags);
		gmem_presence_end(&presence);
	}
	return gmem_presence_report(&presence.report, rc, report);
}

static int flush(struct gmem_vm *vm, bool never_waits, struct gmem_report *report)
{
	struct wait wait;
	int rc;

	report->stage = GMEM_STAGE_PREPARE;
	wait_init(&wait, vm, report, GMEM_OPERATION_FLUSH, never_waits || !vm->config.deadline_ns);
	/* Also where nothing waits to be freed. */
	rc = gmem_claim_is_mine(vm) ? -EDEADLK : gmem_discard_flush(vm, &wait, true);
	if (rc == -EAGAIN || rc == -EDEADLK)
		return gmem_presence_claim_failed(vm, "gmem_vm_flush", rc);
	if (rc == -EIO)
		log_error(
			vm->ctx,
			"gmem_vm_flush: %#llx bytes are freed, and others stay allocated, the first "
			"of them %#llx bytes at gpa %#llx, where the kernel said %s",
			(unsigned long long)report->freed, (unsigned long long)report->size,
			(unsigned long long)report->gpa, gmem_error_name(report->kernel_error));
	return rc;
}

int gmem_vm_flush(struct gmem_vm *vm, uint32_t flags, struct gmem_report *report)
{
	struct gmem_report own = { .stage = GMEM_STAGE_PLAN, .operation = GMEM_OPERATION_FLUSH };
	int rc = gmem_vm_check(vm, "gmem_vm_flush");

	if (!rc)
		rc = gmem_presence_check_flags(vm, "gmem_vm_flush", flags, GMEM_FLUSH_NOWAIT,
					       "GMEM_FLUSH_");
	if (!rc)
		rc = flush(vm, flags & GMEM_FLUSH_NOWAIT, &own);
	return gmem_presence_report(&own, rc, report);
}
