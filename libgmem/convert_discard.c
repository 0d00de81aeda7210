// SPDX-License-Identifier: LGPL-2.1-or-later
/* The side of split regions that a conversion leaves behind. */
#include "convert.h"
#include "discard.h"

/* Whether there is another side, and it is to be freed. */
static bool is_to_be_freed(const struct conversion *conversion, const struct section_view *view)
{
	const struct gmem_region *region = view->region;

	if (region->config.backing != GMEM_BACKING_SPLIT)
		return false;
	return conversion->plan.to == GMEM_SHARED || region->shared.memory != GMEM_MEMORY_HUGETLB ||
	       conversion->flags & GMEM_CONVERT_FREE_HUGETLB;
}

/* Pages of one section that are as asked for. */
static bool discard_part(struct conversion *conversion, const struct section_view *view,
			 uint64_t gpa, uint64_t size)
{
	const struct discard discard = {
		.region = view->region,
		.offset = view->offset + (gpa - view->gpa),
		.size = size,
		.private_side = conversion->plan.to == GMEM_SHARED,
	};
	uint64_t freed;
	bool full;

	if (conversion->flags & GMEM_CONVERT_KEEP || !is_to_be_freed(conversion, view)) {
		/* What was put off was of the side that is seen now, or is to be kept now. */
		gmem_discard_cancel(conversion->vm, &discard);
		return false;
	}
	full = gmem_discard_later(conversion->vm, &discard, &freed);
	conversion->report.freed += freed;
	return full;
}

static bool discard_run(struct conversion *conversion, const struct plan_run *run)
{
	struct section_view view = run->first;
	uint64_t gpa = run->gpa, end = run->gpa + run->size, part;
	bool full = false;

	for (; gpa < end; gpa += part) {
		if (gpa - view.gpa >= view.size)
			gmem_layout_look(conversion->plan.table, gpa, &view);
		part = view.gpa + view.size < end ? view.gpa + view.size - gpa : end - gpa;
		full |= discard_part(conversion, &view, gpa, part);
	}
	return full;
}

bool gmem_convert_discard(struct conversion *conversion)
{
	struct plan plan = conversion->plan;
	struct plan_position position = { 0 };
	struct plan_run run;
	bool full = false;

	if (!atomic_load_explicit(&conversion->vm->has_split, memory_order_relaxed))
		return false;
	/* What is as asked for is what would differ if the opposite were. */
	plan.to = opposite_state(plan.to);
	while (gmem_plan_next(&plan, PLAN_WRONG, &position, &run))
		full |= discard_run(conversion, &run);
	return full;
}
