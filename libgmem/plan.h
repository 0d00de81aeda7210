/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a conversion comes to: guest ranges and the layout in, runs for the kernel out. No system
 * call, no lock, no memory; a position is all there is to go on from, so a plan can be walked as
 * often as one likes, and looks at the states as they are then.
 *
 * Whoever has claimed the ranges finds the layout of them the same each time.
 */
#ifndef GMEM_PLAN_H
#define GMEM_PLAN_H

#include "compiler.h"
#include "layout_table.h"

struct plan {
	const struct layout_table *table;
	const struct gmem_range *ranges; /* ascending, not overlapping, page-aligned */
	uint64_t count;
	uint32_t to;       /* GMEM_PRIVATE or GMEM_SHARED */
	uint32_t tracking; /* GMEM_TRACKING_* */
	uint32_t gaps;     /* GMEM_VM_GAPS_* */
	unsigned int page_shift;
};

/* Which pages are part of a run. */
enum plan_pages {
	PLAN_ALL,   /* of the ranges */
	PLAN_CALLS, /* that differ from what is asked for, and few others between them */
	PLAN_WRONG, /* that differ */
};

/* Where to go on: all zeros is the start. */
struct plan_position {
	uint64_t range; /* index */
	uint64_t gpa;   /* in that range; below its start: at its start */
};

/*
 * A run that one call to the kernel converts: neighbours in the guest (tracked per VM), or in one
 * guest_memfd too.
 */
struct plan_run {
	uint64_t gpa;
	uint64_t size;
	struct section_view first; /* the section of gpa */
};

/* Why a plan is refused. */
struct plan_obstacle {
	uint64_t gpa;
	const char *reason;
	struct section_view view; /* region NULL: none */
};

/* Pages of one section that have states, of which none is absent: their region, and where in it. */
struct plan_place {
	struct gmem_region *region;
	uint64_t offset;
};

/*
 * The rule made short: one range that is all in such a place is one run, and there is nothing to
 * refuse. False where it is not so simple.
 */
static ALWAYS_INLINE bool plan_find_place(const struct layout_table *table,
					  const struct gmem_range *range, struct plan_place *place)
{
	uint64_t sequence = layout_table_begin(table);
	const struct layout_entry *entry = layout_table_guess(table, sequence, range->gpa);

	if (!entry)
		return false;
	place->region = layout_load(&entry->region);
	place->offset = layout_load(&entry->delta) + range->gpa;
	return range->gpa >= layout_load(&entry->gpa) &&
	       range->gpa + (range->size - 1) <= layout_load(&entry->last) &&
	       layout_load(&entry->can_be_private) && layout_table_is_current(table, sequence) &&
	       !shadow_has_absent(region_shadow(place->region));
}

/* The same as a run, which is filled in whatever the answer. */
bool gmem_plan_is_one_run(const struct plan *plan, struct plan_run *run);

/* 0; -ENOENT, -EACCES, and where and why. */
int gmem_plan_check(const struct plan *plan, struct plan_obstacle *obstacle);

/* The next run from a position on, which moves behind it. False at the end. */
bool gmem_plan_next(const struct plan *plan, enum plan_pages pages, struct plan_position *position,
		    struct plan_run *run);

/* Moves a position back to an address of the ranges, below where it is. */
void gmem_plan_rewind(const struct plan *plan, struct plan_position *position, uint64_t gpa);

#endif /* GMEM_PLAN_H */
