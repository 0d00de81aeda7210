// SPDX-License-Identifier: LGPL-2.1-or-later
/* What discards and their opposite have in common: claims, walks, listeners, reports. */
#include "presence.h"

#include "layout.h"
#include "listen.h"
#include "log.h"
#include "range.h"
#include "shadow.h"

#include <errno.h>

void gmem_presence_init(struct presence *presence, struct gmem_vm *vm, const char *function,
			uint32_t operation, uint64_t gpa, uint64_t size)
{
	*presence = (struct presence){
		.vm = vm,
		.function = function,
		.range = { .gpa = gpa, .size = size },
		.report = { .stage = GMEM_STAGE_PLAN, .operation = operation },
	};
}

int gmem_presence_check_flags(const struct gmem_vm *vm, const char *function, uint32_t flags,
			      uint32_t allowed, const char *prefix)
{
	if (!(flags & ~allowed))
		return 0;
	log_error(vm->ctx, "%s: flags are %#x, of which %#x are none of %s*", function, flags,
		  flags & ~allowed, prefix);
	return -EINVAL;
}

static int check_range(const struct presence *presence)
{
	const struct gmem_range *range = &presence->range;
	uint64_t page_size = presence->vm->caps.page_size;

	if (range_is_valid(range->gpa, range->size) &&
	    range_is_aligned(range->gpa, range->size, page_size))
		return 0;
	log_debug(presence->vm->ctx,
		  "%s: gpa %#llx, %#llx bytes; both must be multiples of the page size "
		  "%#llx, and the range must not be empty and end below 2^64",
		  presence->function, (unsigned long long)range->gpa,
		  (unsigned long long)range->size, (unsigned long long)page_size);
	return -EINVAL;
}

int gmem_presence_claim_failed(const struct gmem_vm *vm, const char *function, int error)
{
	if (error == -EDEADLK)
		log_error(vm->ctx,
			  "%s: this thread is inside a callback of an operation on this VM",
			  function);
	else
		log_debug(vm->ctx, "%s: another operation is at work on the range", function);
	return error;
}

int gmem_presence_begin(struct presence *presence, bool never_waits)
{
	struct gmem_vm *vm = presence->vm;
	int rc = check_range(presence);

	if (rc)
		return rc;
	presence->report.stage = GMEM_STAGE_PREPARE;
	wait_init(&presence->wait, vm, &presence->report, presence->report.operation,
		  never_waits || !vm->config.deadline_ns);
	rc = gmem_claim_take(vm, &presence->claim, &presence->range, 1, &presence->wait);
	if (rc)
		return gmem_presence_claim_failed(vm, presence->function, rc);
	presence->report.stage = GMEM_STAGE_PLAN;
	presence->heard = gmem_listen_is_on(vm, GMEM_LISTEN_CONVERT);
	return 0;
}

void gmem_presence_end(struct presence *presence)
{
	gmem_claim_release(presence->vm, &presence->claim);
}

int gmem_presence_report(struct gmem_report *own, int error, struct gmem_report *report)
{
	own->error = error;
	if (!error) {
		own->stage = GMEM_STAGE_DONE;
		own->obstacle = GMEM_OBSTACLE_NONE;
		own->gpa = own->size = own->tag = own->offset = 0;
	}
	if (report)
		*report = *own;
	return error;
}

void gmem_presence_report_place(struct presence *presence, const struct section_view *view,
				uint64_t gpa, uint64_t size)
{
	struct gmem_report *report = &presence->report;

	report->gpa = gpa;
	report->size = size;
	report->tag = view->tag;
	report->offset = view->offset + (gpa - view->gpa);
}

static struct walk walk_range(const struct presence *presence, const struct gmem_range *range)
{
	return (struct walk){
		.presence = presence,
		.gpa = range->gpa,
		.end = range->gpa + range->size,
	};
}

struct walk gmem_walk_ram(const struct presence *presence)
{
	return walk_range(presence, &presence->range);
}

bool gmem_walk_next(struct walk *walk)
{
	const struct layout_table *table = &walk->presence->vm->layout->table;
	struct section_view *view = &walk->view;

	while (walk->gpa < walk->end && gmem_layout_look(table, walk->gpa, view) &&
	       view->gpa < walk->end) {
		walk->part.gpa = walk->gpa > view->gpa ? walk->gpa : view->gpa;
		walk->part.size = lower(view->gpa + view->size, walk->end) - walk->part.gpa;
		walk->gpa = walk->part.gpa + walk->part.size;
		if (view->kind == GMEM_KIND_RAM)
			return true;
	}
	return false;
}

bool gmem_walk_next_run(const struct walk *walk, uint32_t state, struct gmem_range *run)
{
	unsigned int shift = walk->presence->vm->caps.page_shift;
	uint64_t gpa = run->gpa + run->size, end = walk->part.gpa + walk->part.size;
	uint32_t found = GMEM_SHARED;

	for (; gpa < end; gpa += run->size) {
		run->gpa = gpa;
		run->size = end - gpa;
		if (walk->view.shadow)
			run->size = gmem_shadow_run(walk->view.shadow,
						    walk_offset(walk, gpa) >> shift,
						    run->size >> shift, &found)
				    << shift;
		if (found == state)
			return true;
	}
	return false;
}

uint64_t gmem_walk_set_absent(const struct walk *walk, const struct gmem_range *part, bool absent)
{
	unsigned int shift = walk->presence->vm->caps.page_shift;
	struct shadow *shadow = region_shadow(walk->view.region);

	if (!shadow || !shadow_has_absent(shadow))
		return 0;
	return gmem_state_set(&shadow->absent, walk_offset(walk, part->gpa) >> shift,
			      part->size >> shift, absent)
	       << shift;
}

/* Up to an address. On failure refused says where. */
static int tell(struct presence *presence, const struct gmem_range *range, uint32_t event,
		bool anyway, uint64_t end, uint64_t *refused)
{
	struct walk walk = walk_range(presence, range);
	struct listen_part part = { 0 };
	int rc;

	while (gmem_walk_next(&walk)) {
		struct gmem_range run = { .gpa = walk.part.gpa };

		while (gmem_walk_next_run(&walk, GMEM_SHARED, &run)) {
			if (run.gpa >= end)
				return 0;
			part.view = &walk.view;
			part.gpa = run.gpa;
			part.size = run.size;
			if (anyway) {
				gmem_listen_tell_anyway(presence->vm, GMEM_LISTEN_CONVERT, event,
							&part);
				continue;
			}
			rc = gmem_listen_tell(presence->vm, GMEM_LISTEN_CONVERT, event, &part);
			if (rc) {
				gmem_presence_report_place(presence, &walk.view, run.gpa, run.size);
				*refused = run.gpa;
				return rc;
			}
		}
	}
	return 0;
}

int gmem_presence_tell(struct presence *presence, const struct gmem_range *range, uint32_t event)
{
	uint32_t opposite = event == GMEM_EVENT_ADD ? GMEM_EVENT_REMOVE : GMEM_EVENT_ADD;
	uint64_t refused;
	int rc;

	if (!presence->heard)
		return 0;
	rc = tell(presence, range, event, false, UINT64_MAX, &refused);
	if (rc)
		(void)tell(presence, range, opposite, true, refused, &refused);
	return rc;
}

void gmem_presence_tell_anyway(struct presence *presence, const struct gmem_range *range,
			       uint32_t event)
{
	if (presence->heard)
		(void)tell(presence, range, event, true, UINT64_MAX, &(uint64_t){ 0 });
}
