// SPDX-License-Identifier: LGPL-2.1-or-later
/* What listeners hear of a conversion: before pages turn private, after they turned shared. */
#include "convert.h"
#include "listen.h"
#include "log.h"
#include "range.h"
#include "shadow.h"

#include <errno.h>

/* The part of a run from an address on that is in one section. */
static void part_of_run(const struct conversion *conversion, const struct plan_run *run,
			uint64_t gpa, struct section_view *view, struct listen_part *part)
{
	*view = run->first;
	if (gpa - view->gpa >= view->size)
		gmem_layout_look(conversion->plan.table, gpa, view);
	part->view = view;
	part->guest = conversion->flags & CONVERT_QUIETLY;
	part->gpa = gpa;
	part->size = lower(run->gpa + run->size, view->gpa + view->size) - gpa;
}

/*
 * Walks what differs from what is asked for, section by section, in ascending order up to an
 * address, and tells listeners of one event. 0, or -ECANCELED and where.
 */
static int walk(struct conversion *conversion, uint32_t event, bool anyway, uint64_t end,
		uint64_t *refused)
{
	struct plan_position position = { 0 };
	struct listen_part part = { 0 };
	struct section_view view;
	struct plan_run run;
	uint64_t gpa;
	int rc = 0;

	while (gmem_plan_next(&conversion->plan, PLAN_WRONG, &position, &run)) {
		for (gpa = run.gpa; gpa < run.gpa + run.size; gpa += part.size) {
			if (gpa >= end)
				return 0;
			part_of_run(conversion, &run, gpa, &view, &part);
			if (anyway)
				gmem_listen_tell_anyway(conversion->vm, GMEM_LISTEN_CONVERT, event,
							&part);
			else
				rc = gmem_listen_tell(conversion->vm, GMEM_LISTEN_CONVERT, event,
						      &part);
			if (rc) {
				gmem_convert_report_place(conversion, &view, gpa, part.size);
				conversion->said = true;
				*refused = gpa;
				return rc;
			}
			part.from = gpa + part.size;
		}
	}
	return 0;
}

int gmem_convert_tell_before(struct conversion *conversion)
{
	uint64_t refused = 0;
	int rc = walk(conversion, GMEM_EVENT_REMOVE, false, UINT64_MAX, &refused);

	if (rc)
		(void)walk(conversion, GMEM_EVENT_ADD, true, refused, &refused);
	return rc;
}

void gmem_convert_tell_back(struct conversion *conversion)
{
	(void)walk(conversion, GMEM_EVENT_ADD, true, UINT64_MAX, &(uint64_t){ 0 });
}

void gmem_convert_tell_run(struct conversion *conversion, const struct plan_run *run,
			   uint32_t event)
{
	struct section_view view;
	struct listen_part part;
	uint64_t gpa;

	for (gpa = run->gpa; gpa < run->gpa + run->size; gpa += part.size) {
		part = (struct listen_part){ 0 };
		part_of_run(conversion, run, gpa, &view, &part);
		gmem_listen_tell_anyway(conversion->vm, GMEM_LISTEN_CONVERT, event, &part);
	}
}

/* A part of a section whose pages the shadow has as private; false when there is none up to end. */
static bool next_private(const struct conversion *conversion, const struct section_view *view,
			 uint64_t end, struct listen_part *part)
{
	unsigned int shift = conversion->plan.page_shift;
	uint64_t gpa = part->gpa + part->size;
	bool private;

	for (; gpa < end; gpa += part->size) {
		uint64_t page = (view->offset + (gpa - view->gpa)) >> shift;

		part->gpa = gpa;
		part->size =
			gmem_state_run(&view->shadow->state, page, (end - gpa) >> shift, &private)
			<< shift;
		if (private)
			return true;
	}
	return false;
}

/* The kernel has a part as shared, and it is to be private again. What cannot be stays shared. */
static void make_private_again(struct conversion *conversion, const struct plan_run *run,
			       const struct listen_part *part)
{
	struct gmem_report *report = &conversion->report, before = *report;
	uint32_t times = 0;
	uint64_t stuck;
	int rc;

	/* Under per-guest_memfd tracking the run is one piece of one file, also over sections. */
	do {
		rc = gmem_convert_call(conversion, run, part->gpa, part->size, GMEM_PRIVATE,
				       &stuck);
	} while (rc == -EINTR &&
		 gmem_convert_again(conversion, part->view, part->gpa, part->size, rc, ++times));
	report->retries += rc == -EAGAIN;
	/* It is about what the listener refused, and no obstacle, whatever was asked meanwhile. */
	report->obstacle = GMEM_OBSTACLE_NONE;
	report->gpa = before.gpa;
	report->size = before.size;
	report->tag = before.tag;
	report->offset = before.offset;
	if (!rc) {
		gmem_convert_set(conversion, part->view, part->gpa, part->size, GMEM_PRIVATE);
		return;
	}
	report->kernel_error = rc;
	if (gmem_convert_may_log(conversion))
		log_error(conversion->vm->ctx,
			  "%s: gpa %#llx, %#llx bytes, which a listener refused, could not be made "
			  "private again (%s), and stays shared",
			  conversion->function, (unsigned long long)part->gpa,
			  (unsigned long long)part->size, gmem_error_name(rc));
	report->converted +=
		gmem_convert_set(conversion, part->view, part->gpa, part->size, GMEM_SHARED);
	gmem_listen_tell_anyway(conversion->vm, GMEM_LISTEN_CONVERT, GMEM_EVENT_ADD, part);
}

/* From the part that was refused to the end of what the kernel was told of. */
static void take_back(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
		      uint64_t end)
{
	struct plan_run rest = { .gpa = gpa, .size = end - gpa, .first = run->first };
	struct section_view view;
	struct listen_part section, part;

	for (; gpa < end; gpa = section.gpa + section.size) {
		part_of_run(conversion, &rest, gpa, &view, &section);
		part = (struct listen_part){
			.view = &view,
			.gpa = section.gpa,
			.guest = section.guest,
		};
		while (next_private(conversion, &view, section.gpa + section.size, &part))
			make_private_again(conversion, run, &part);
	}
}

/* Of several that are refused the first is reported; of each was logged who refused it. */
static int refused(struct conversion *conversion, const struct listen_part *part)
{
	conversion->said = true;
	if (conversion->report.stage == GMEM_STAGE_FINISH)
		return -ECANCELED;
	conversion->report.stage = GMEM_STAGE_FINISH;
	gmem_convert_report_place(conversion, part->view, part->gpa, part->size);
	return -ECANCELED;
}

/* One part of one section that has just become shared. */
static int share_part(struct conversion *conversion, const struct listen_part *part)
{
	struct gmem_report *report = &conversion->report;
	uint64_t changed =
		gmem_convert_set(conversion, part->view, part->gpa, part->size, GMEM_SHARED);
	int rc;

	report->converted += changed;
	if (gmem_convert_destroys(conversion->vm))
		return gmem_listen_tell_all(conversion->vm, GMEM_LISTEN_CONVERT, GMEM_EVENT_ADD,
					    part);
	rc = gmem_listen_tell(conversion->vm, GMEM_LISTEN_CONVERT, GMEM_EVENT_ADD, part);
	if (!rc)
		return 0;
	/* For take_back(), which looks for what is to be private again. */
	gmem_convert_set(conversion, part->view, part->gpa, part->size, GMEM_PRIVATE);
	report->converted -= changed;
	return rc;
}

int gmem_convert_tell_after(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
			    uint64_t size)
{
	struct plan_run told = { .gpa = gpa, .size = size, .first = run->first };
	bool keep = gmem_convert_destroys(conversion->vm);
	struct section_view view;
	struct listen_part section, part;
	int rc = 0;

	for (; gpa < told.gpa + size; gpa = section.gpa + section.size) {
		part_of_run(conversion, &told, gpa, &view, &section);
		part = (struct listen_part){
			.view = &view,
			.gpa = section.gpa,
			.guest = section.guest,
		};
		while (next_private(conversion, &view, section.gpa + section.size, &part)) {
			if (!share_part(conversion, &part))
				continue;
			rc = refused(conversion, &part);
			if (keep)
				continue;
			take_back(conversion, run, part.gpa, told.gpa + size);
			return rc;
		}
	}
	return rc;
}
