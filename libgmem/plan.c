// SPDX-License-Identifier: LGPL-2.1-or-later
/* Splits guest ranges by section and state, and joins what is one run to the kernel. */
#include "plan.h"

#include "range.h"
#include "shadow.h"

#include <errno.h>

/*
 * Pages between two runs that are right already, and are told to the kernel again rather than
 * making another call: what a call costs is what some 80 pages cost more (kernel fact P8).
 */
#define FEW_PAGES UINT64_C(64)

/* A part of one section, and of one range. */
struct piece {
	uint64_t range;
	uint64_t gpa;
	uint64_t size;
	struct section_view view;
};

bool gmem_plan_is_one_run(const struct plan *plan, struct plan_run *run)
{
	struct plan_place place;

	run->gpa = plan->ranges[0].gpa;
	run->size = plan->ranges[0].size;
	return gmem_layout_look(plan->table, run->gpa, &run->first) && plan->count == 1 &&
	       plan_find_place(plan->table, plan->ranges, &place);
}

static int refuse(struct plan_obstacle *obstacle, uint64_t gpa, int error, const char *reason)
{
	obstacle->gpa = gpa;
	obstacle->reason = reason;
	return error;
}

static int judge_gap(const struct plan *plan, struct plan_obstacle *obstacle, uint64_t gpa,
		     int error, const char *reason)
{
	bool skip = plan->to == GMEM_SHARED ? !(plan->gaps & GMEM_VM_GAPS_REFUSE)
					    : plan->gaps & GMEM_VM_GAPS_SKIP;

	return skip ? 0 : refuse(obstacle, gpa, error, reason);
}

/* Memory that is unplugged has no state to change; it is populated first. */
static int judge_absent(const struct plan *plan, struct plan_obstacle *obstacle, uint64_t gpa,
			uint64_t end)
{
	const struct section_view *view = &obstacle->view;
	uint32_t state;

	if (!view->shadow || !shadow_has_absent(view->shadow))
		return 0;
	while (gpa < end) {
		uint64_t page = (view->offset + (gpa - view->gpa)) >> plan->page_shift;
		uint64_t pages = gmem_shadow_run(view->shadow, page,
						 (end - gpa) >> plan->page_shift, &state);

		if (state == GMEM_ABSENT)
			return refuse(obstacle, gpa, -EACCES,
				      "absent memory; gmem_vm_populate() it first");
		gpa += pages << plan->page_shift;
	}
	return 0;
}

static int judge_section(const struct plan *plan, struct plan_obstacle *obstacle, uint64_t gpa)
{
	const struct section_view *view = &obstacle->view;

	if (view->kind == GMEM_KIND_RESERVED)
		return judge_gap(plan, obstacle, gpa, -ENOENT, "a range reserved for a device");
	if (view->kind == GMEM_KIND_DEVICE)
		return judge_gap(plan, obstacle, gpa, -EACCES, "a device's memory");
	if (plan->to == GMEM_SHARED || view->can_be_private)
		return 0;
	return refuse(obstacle, gpa, -EACCES,
		      view->kind == GMEM_KIND_ROM ? "read-only memory, which cannot be private"
						  : "memory that cannot be private");
}

static int check_range(const struct plan *plan, const struct gmem_range *range,
		       struct plan_obstacle *obstacle)
{
	uint64_t gpa = range->gpa, end = gpa + range->size;
	struct section_view *view = &obstacle->view;
	int rc = 0;

	while (gpa < end && !rc) {
		if (!gmem_layout_look(plan->table, gpa, view) || view->gpa >= end) {
			*view = (struct section_view){ 0 };
			return judge_gap(plan, obstacle, gpa, -ENOENT, "nothing mapped");
		}
		if (view->gpa > gpa) {
			rc = judge_gap(plan, obstacle, gpa, -ENOENT, "nothing mapped");
			if (rc)
				*view = (struct section_view){ 0 };
			gpa = view->gpa;
			continue;
		}
		rc = judge_section(plan, obstacle, gpa);
		if (!rc && view->kind == GMEM_KIND_RAM)
			rc = judge_absent(plan, obstacle, gpa, lower(end, view->gpa + view->size));
		gpa = view->gpa + view->size;
	}
	return rc;
}

int gmem_plan_check(const struct plan *plan, struct plan_obstacle *obstacle)
{
	uint64_t i;
	int rc = 0;

	for (i = 0; i < plan->count && !rc; i++)
		rc = check_range(plan, &plan->ranges[i], obstacle);
	return rc;
}

/* The next part of a section whose pages have states, from a position on. */
static bool next_part(const struct plan *plan, struct plan_position *position, struct piece *piece)
{
	while (position->range < plan->count) {
		const struct gmem_range *range = &plan->ranges[position->range];
		uint64_t end = range->gpa + range->size;

		if (position->gpa < range->gpa)
			position->gpa = range->gpa;
		if (position->gpa >= end ||
		    !gmem_layout_look(plan->table, position->gpa, &piece->view) ||
		    piece->view.gpa >= end) {
			position->range++;
			position->gpa = 0;
			continue;
		}
		if (position->gpa < piece->view.gpa)
			position->gpa = piece->view.gpa;
		piece->range = position->range;
		piece->gpa = position->gpa;
		piece->size = lower(end, piece->view.gpa + piece->view.size) - piece->gpa;
		if (piece->view.can_be_private)
			return true;
		position->gpa = piece->gpa + piece->size;
	}
	return false;
}

/* Cuts a part down to its first pages that differ from what is asked for; false if none do. */
static bool cut_to_wrong(const struct plan *plan, struct piece *piece)
{
	const struct state *state = &piece->view.shadow->state;
	uint64_t page = (piece->view.offset + (piece->gpa - piece->view.gpa)) >> plan->page_shift;
	uint64_t left = piece->size >> plan->page_shift;
	bool private;

	while (left) {
		uint64_t run = gmem_state_run(state, page, left, &private);

		if (private != (plan->to == GMEM_PRIVATE)) {
			piece->gpa += piece->size - (left << plan->page_shift);
			piece->size = run << plan->page_shift;
			return true;
		}
		page += run;
		left -= run;
	}
	return false;
}

static bool next_piece(const struct plan *plan, enum plan_pages pages,
		       struct plan_position *position, struct piece *piece)
{
	while (next_part(plan, position, piece)) {
		position->gpa = piece->gpa + piece->size;
		if (pages == PLAN_ALL)
			return true;
		if (!cut_to_wrong(plan, piece))
			continue;
		position->gpa = piece->gpa + piece->size;
		return true;
	}
	return false;
}

/* One after the other, to the kernel that is asked. */
static bool follows(const struct plan *plan, const struct piece *last, const struct piece *next)
{
	const struct section_view *a = &last->view, *b = &next->view;

	if (last->gpa + last->size != next->gpa)
		return false;
	if (plan->tracking == GMEM_TRACKING_VM || a->gpa == b->gpa)
		return true;
	return a->region == b->region && a->offset + a->size == b->offset;
}

/* Few pages apart, all of which are asked for, and in one section. */
static bool is_near(const struct plan *plan, const struct piece *last, const struct piece *next)
{
	uint64_t between = next->gpa - (last->gpa + last->size);

	return last->range == next->range && last->view.gpa == next->view.gpa &&
	       between >> plan->page_shift <= FEW_PAGES;
}

bool gmem_plan_next(const struct plan *plan, enum plan_pages pages, struct plan_position *position,
		    struct plan_run *run)
{
	struct plan_position ahead;
	struct piece last, next;

	if (!next_piece(plan, pages, position, &last))
		return false;
	run->gpa = last.gpa;
	run->first = last.view;
	for (ahead = *position; next_piece(plan, pages, &ahead, &next); *position = ahead) {
		if (!follows(plan, &last, &next) &&
		    !(pages == PLAN_CALLS && is_near(plan, &last, &next)))
			break;
		last = next;
	}
	run->size = last.gpa + last.size - run->gpa;
	return true;
}

void gmem_plan_rewind(const struct plan *plan, struct plan_position *position, uint64_t gpa)
{
	while (position->range &&
	       (position->range >= plan->count || plan->ranges[position->range].gpa > gpa))
		position->range--;
	position->gpa = gpa;
}
