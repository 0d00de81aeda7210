// SPDX-License-Identifier: LGPL-2.1-or-later
/* What discards and their opposite have in common: claims, walks, listeners, reports. */
#include "presence.h"

#include "layout.h"
#include "listen.h"
#include "log.h"
#include "range.h"
#include "shadow.h"
#include "windows.h"

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
		log_debug(vm->ctx, "%s: another operation is at work on its addresses", function);
	return error;
}

/* The list that the claim has. */
static struct range_list what_is_claimed(struct presence *presence)
{
	if (presence->claimed.count)
		return presence->claimed;
	return (struct range_list){ .items = &presence->range, .count = 1 };
}

static int claim(struct presence *presence)
{
	const struct range_list claimed = what_is_claimed(presence);
	int rc;

	presence->report.stage = GMEM_STAGE_PREPARE;
	rc = gmem_claim_take(presence->vm, &presence->claim, claimed.items, claimed.count,
			     &presence->wait);
	if (rc)
		return gmem_presence_claim_failed(presence->vm, presence->function, rc);
	presence->report.stage = GMEM_STAGE_PLAN;
	return 0;
}

static bool has_other_windows(const struct presence *presence)
{
	struct walk walk = gmem_walk_ram(presence);

	while (gmem_walk_next(&walk)) {
		if (region_is_shown_twice(walk.view.region))
			return true;
	}
	return false;
}

/* 0 or -ENOMEM. */
static int find_windows(struct presence *presence)
{
	struct range_list *windows = &presence->windows;
	struct walk walk = gmem_walk_ram(presence);
	uint64_t merged = 0;
	int rc = 0;

	windows->count = 0;
	while (!rc && gmem_walk_next(&walk)) {
		/* Parts of the range may be windows of each other. */
		if (windows->count > 2 * merged) {
			gmem_range_list_merge(windows);
			merged = windows->count;
		}
		if (region_is_shown_twice(walk.view.region))
			rc = gmem_windows_add(presence->vm, walk.view.region,
					      walk_offset(&walk, walk.part.gpa), walk.part.size,
					      windows);
		else
			rc = gmem_range_list_append(windows, walk.part.gpa, walk.part.size);
	}
	gmem_range_list_merge(windows);
	return rc;
}

static bool all_are_claimed(struct presence *presence)
{
	const struct range_list claimed = what_is_claimed(presence);
	uint64_t i;

	for (i = 0; i < presence->windows.count; i++) {
		const struct gmem_range *window = &presence->windows.items[i];

		if (!gmem_range_list_covers(&claimed, window->gpa, window->size))
			return false;
	}
	return true;
}

/* What is to be claimed next: what was found, and what was asked for. 0 or -ENOMEM. */
static int widen(struct presence *presence)
{
	struct range_list *claimed = &presence->claimed;
	int rc = gmem_range_list_append(claimed, presence->range.gpa, presence->range.size);
	uint64_t i;

	for (i = 0; !rc && i < presence->windows.count; i++)
		rc = gmem_range_list_append(claimed, presence->windows.items[i].gpa,
					    presence->windows.items[i].size);
	gmem_range_list_merge(claimed);
	return rc;
}

static int no_memory(struct presence *presence)
{
	const struct gmem_range *range = &presence->range;

	log_error(presence->vm->ctx,
		  "%s: gpa %#llx, %#llx bytes: no memory for a list of all addresses that this "
		  "memory has",
		  presence->function, (unsigned long long)range->gpa,
		  (unsigned long long)range->size);
	presence->report.gpa = range->gpa;
	presence->report.size = range->size;
	return -ENOMEM;
}

/*
 * The claim has the range. Until it has all windows of what is there too it is given up for a
 * larger one: a claim waits for others, and nobody may wait for one with another.
 */
static int claim_windows(struct presence *presence)
{
	int rc;

	while (has_other_windows(presence)) {
		rc = find_windows(presence);
		if (!rc && all_are_claimed(presence))
			return 0;
		gmem_claim_release(presence->vm, &presence->claim);
		presence->claimed.count = 0;
		if (!rc)
			rc = widen(presence);
		if (rc)
			return no_memory(presence);
		rc = claim(presence);
		if (rc)
			return rc;
	}
	presence->windows.count = 0;
	return 0;
}

static void free_lists(struct presence *presence)
{
	gmem_range_list_free(&presence->claimed);
	gmem_range_list_free(&presence->windows);
}

int gmem_presence_begin(struct presence *presence, bool never_waits)
{
	struct gmem_vm *vm = presence->vm;
	int rc = check_range(presence);

	if (rc)
		return rc;
	wait_init(&presence->wait, vm, &presence->report, presence->report.operation,
		  never_waits || !vm->config.deadline_ns);
	rc = claim(presence);
	if (!rc)
		rc = claim_windows(presence);
	if (rc) {
		free_lists(presence);
		return rc;
	}
	presence->heard = gmem_listen_is_on(vm, GMEM_LISTEN_CONVERT);
	return 0;
}

void gmem_presence_end(struct presence *presence)
{
	gmem_claim_release(presence->vm, &presence->claim);
	free_lists(presence);
}

int gmem_presence_report(struct gmem_report *own, int error, struct gmem_report *report)
{
	own->error = error;
	if (error != -EAGAIN)
		own->obstacle = GMEM_OBSTACLE_NONE;
	if (!error) {
		own->stage = GMEM_STAGE_DONE;
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

struct walk gmem_walk_ram(const struct presence *presence)
{
	return (struct walk){
		.presence = presence,
		.ranges = &presence->range,
		.count = 1,
	};
}

struct walk gmem_walk_windows(const struct presence *presence)
{
	if (!presence->windows.count)
		return gmem_walk_ram(presence);
	return (struct walk){
		.presence = presence,
		.ranges = presence->windows.items,
		.count = presence->windows.count,
		.every_kind = true,
	};
}

/* The next part of the first range that is left. */
static bool next_in_range(struct walk *walk)
{
	const struct layout_table *table = &walk->presence->vm->layout->table;
	uint64_t end = walk->ranges->gpa + walk->ranges->size;
	struct section_view *view = &walk->view;

	if (walk->gpa < walk->ranges->gpa)
		walk->gpa = walk->ranges->gpa;
	while (walk->gpa < end && gmem_layout_look(table, walk->gpa, view) && view->gpa < end) {
		walk->part.gpa = walk->gpa > view->gpa ? walk->gpa : view->gpa;
		walk->part.size = lower(view->gpa + view->size, end) - walk->part.gpa;
		walk->gpa = walk->part.gpa + walk->part.size;
		if (walk->every_kind || view->kind == GMEM_KIND_RAM)
			return true;
	}
	return false;
}

bool gmem_walk_next(struct walk *walk)
{
	for (; walk->count; walk->ranges++, walk->count--) {
		if (!next_in_range(walk))
			continue;
		walk->run = (struct gmem_range){ .gpa = walk->part.gpa };
		return true;
	}
	return false;
}

bool gmem_walk_next_run(struct walk *walk, uint32_t state)
{
	unsigned int shift = walk->presence->vm->caps.page_shift;
	uint64_t gpa = walk->run.gpa + walk->run.size, end = walk->part.gpa + walk->part.size;
	uint32_t found = GMEM_SHARED;

	for (; gpa < end; gpa += walk->run.size) {
		walk->run.gpa = gpa;
		walk->run.size = end - gpa;
		if (walk->view.shadow)
			walk->run.size = gmem_shadow_run(walk->view.shadow,
							 walk_offset(walk, gpa) >> shift,
							 walk->run.size >> shift, &found)
					 << shift;
		if (found == state)
			return true;
	}
	return false;
}

uint64_t gmem_walk_set_absent(const struct walk *walk, const struct gmem_range *range, bool absent)
{
	unsigned int shift = walk->presence->vm->caps.page_shift;
	struct shadow *shadow = region_shadow(walk->view.region);

	if (!shadow || !shadow_has_absent(shadow))
		return 0;
	return gmem_state_set(&shadow->absent, walk_offset(walk, range->gpa) >> shift,
			      range->size >> shift, absent)
	       << shift;
}

/* What listeners are told of: all, or the bytes of one walk's run. */
struct telling {
	struct presence *presence;
	const struct walk *of; /* NULL: all */
	uint32_t event;
	bool anyway;
	uint64_t end; /* up to here */
};

/* Where the bytes may be. Without other windows the run has its own address alone. */
static struct walk walk_to_tell(const struct telling *telling)
{
	struct walk walk = gmem_walk_windows(telling->presence);

	if (telling->of && !telling->presence->windows.count)
		walk.ranges = &telling->of->run;
	return walk;
}

/* Makes the walk's part what it shows of the bytes; false: none of them. */
static bool narrow(const struct telling *telling, struct walk *walk)
{
	const struct walk *of = telling->of;
	uint64_t start, from, to;

	if (!of)
		return true;
	if (walk->view.region != of->view.region)
		return false;
	start = walk_offset(of, of->run.gpa);
	from = walk_offset(walk, walk->part.gpa);
	to = lower(from + walk->part.size, start + of->run.size);
	if (from < start)
		from = start;
	if (from >= to)
		return false;
	walk->part.gpa = walk->view.gpa + (from - walk->view.offset);
	walk->part.size = to - from;
	walk->run = (struct gmem_range){ .gpa = walk->part.gpa };
	return true;
}

static int tell_run(const struct telling *telling, const struct walk *walk, uint64_t from)
{
	const struct listen_part part = {
		.view = &walk->view,
		.gpa = walk->run.gpa,
		.size = walk->run.size,
		.from = from,
		/* A guest's balloon may ask again and again. */
		.guest = true,
	};
	struct presence *presence = telling->presence;

	if (telling->anyway) {
		gmem_listen_tell_anyway(presence->vm, GMEM_LISTEN_CONVERT, telling->event, &part);
		return 0;
	}
	return gmem_listen_tell(presence->vm, GMEM_LISTEN_CONVERT, telling->event, &part);
}

/* Two parts of a section may be parts of one block of a listener's: it hears of that once. */
static int tell(struct telling *telling, struct walk *walk)
{
	uint64_t from = 0;
	int rc;

	*walk = walk_to_tell(telling);
	while (gmem_walk_next(walk)) {
		if (!narrow(telling, walk))
			continue;
		while (gmem_walk_next_run(walk, GMEM_SHARED)) {
			if (walk->run.gpa >= telling->end)
				return 0;
			rc = tell_run(telling, walk, from);
			if (rc)
				return rc;
			from = walk->run.gpa + walk->run.size;
		}
	}
	return 0;
}

int gmem_presence_tell(struct presence *presence, const struct walk *of, uint32_t event)
{
	struct telling telling = {
		.presence = presence,
		.of = of,
		.event = event,
		.end = UINT64_MAX,
	};
	struct walk walk;
	int rc = presence->heard ? tell(&telling, &walk) : 0;

	if (!rc)
		return 0;
	gmem_presence_report_place(presence, &walk.view, walk.run.gpa, walk.run.size);
	telling.event = event == GMEM_EVENT_ADD ? GMEM_EVENT_REMOVE : GMEM_EVENT_ADD;
	telling.anyway = true;
	telling.end = walk.run.gpa;
	(void)tell(&telling, &walk);
	return rc;
}

void gmem_presence_tell_anyway(struct presence *presence, uint32_t event)
{
	struct telling telling = {
		.presence = presence,
		.event = event,
		.anyway = true,
		.end = UINT64_MAX,
	};
	struct walk walk;

	if (presence->heard)
		(void)tell(&telling, &walk);
}
