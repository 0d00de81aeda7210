// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Runs of pages and the kernel: the two ioctls, pages that are in use, and the shadow, which
 * follows what the kernel did.
 */
#include "convert.h"
#include "convert_call.h"
#include "log.h"
#include "pin_table.h"
#include "range.h"
#include "shadow.h"

#include <errno.h>
#include <gmem/access.h>

/* Of a call that converts back, one after the other. */
#define INTERRUPTIONS_MAX 100u

static bool to_private(const struct conversion *conversion)
{
	return conversion->plan.to == GMEM_PRIVATE;
}

static uint64_t page_size(const struct conversion *conversion)
{
	return conversion->vm->caps.page_size;
}

/* Tells the kernel of a part of a run, which is one piece of the file. stuck as in call_file(). */
int gmem_convert_call(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
		      uint64_t size, uint32_t to, uint64_t *stuck)
{
	const struct gmem_range range = { .gpa = gpa, .size = size };
	const struct gmem_vm *vm = conversion->vm;

	conversion->report.ioctls++;
	*stuck = gpa;
	if (conversion->plan.tracking == GMEM_TRACKING_VM)
		return call_vm(vm, &range, to);
	return call_file(vm, run->first.guest_memfd, run->first.offset + (gpa - run->first.gpa),
			 &range, to, stuck);
}

uint64_t gmem_convert_set(const struct conversion *conversion, const struct section_view *view,
			  uint64_t gpa, uint64_t size, uint32_t to)
{
	return set_state(conversion->vm, view->region, view->offset + (gpa - view->gpa), size, to);
}

/* What has an address of a run, which may be several sections; room is for another than the first. */
static const struct section_view *section_at(const struct conversion *conversion,
					     const struct plan_run *run, uint64_t gpa,
					     struct section_view *room)
{
	if (gpa - run->first.gpa < run->first.size)
		return &run->first;
	gmem_layout_look(conversion->plan.table, gpa, room);
	return room;
}

/* The kernel did it: the shadow follows. Returns the bytes whose state that changes. */
static uint64_t set_states(const struct conversion *conversion, const struct plan_run *run,
			   uint64_t gpa, uint64_t size, uint32_t to)
{
	const struct section_view *view;
	struct section_view room;
	uint64_t changed = 0, part;

	for (; size; gpa += part, size -= part) {
		view = section_at(conversion, run, gpa, &room);
		part = lower(view->gpa + view->size - gpa, size);
		changed += gmem_convert_set(conversion, view, gpa, part, to);
	}
	return changed;
}

static int kernel_failed(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
			 uint64_t size, int error)
{
	const struct gmem_vm *vm = conversion->vm;
	const struct section_view *view;
	struct section_view room;

	conversion->report.kernel_error = error;
	if (!gmem_convert_may_log(conversion))
		return error == -ENOMEM ? -ENOMEM : -EIO;
	view = section_at(conversion, run, gpa, &room);
	log_error(
		vm->ctx,
		"VM descriptor %d: making gpa %#llx, %#llx bytes (region \"%s\", offset %#llx) %s "
		"gives %s from %s",
		vm->fd, (unsigned long long)gpa, (unsigned long long)size,
		region_name(view->region), (unsigned long long)(view->offset + (gpa - view->gpa)),
		to_private(conversion) ? "private" : "shared", gmem_error_name(error),
		conversion->plan.tracking == GMEM_TRACKING_VM ? "KVM_SET_MEMORY_ATTRIBUTES"
							      : "KVM_SET_MEMORY_ATTRIBUTES2");
	return error == -ENOMEM ? -ENOMEM : -EIO;
}

/* The ioctl that can say so of a page: a private one has no references but the guest's. */
static bool can_be_in_use(const struct conversion *conversion)
{
	return to_private(conversion) && conversion->plan.tracking == GMEM_TRACKING_FILE;
}

/* How much of a run from gpa on no pin has; 0: the pages of *pinned come first. */
static uint64_t free_of_pins(const struct conversion *conversion, uint64_t gpa, uint64_t size,
			     struct gmem_range *pinned)
{
	uint64_t page = page_size(conversion);

	if (!to_private(conversion) || !gmem_pin_table_find(conversion->vm, gpa, size, pinned))
		return size;
	/* Nobody pins what is private: that pin is about to be refused. */
	if (pinned->gpa == gpa && gmem_vm_get_state(conversion->vm, gpa, page) == GMEM_PRIVATE)
		return page;
	return pinned->gpa - gpa;
}

/* What is reported, and shown to the retry callback, as in the way. */
void gmem_convert_report_place(struct conversion *conversion, const struct section_view *view,
			       uint64_t gpa, uint64_t size)
{
	struct gmem_report *report = &conversion->report;

	report->gpa = gpa;
	report->size = size;
	report->tag = view->tag;
	report->offset = view->offset + (gpa - view->gpa);
}

bool gmem_convert_again(struct conversion *conversion, const struct section_view *view,
			uint64_t gpa, uint64_t size, int error, uint32_t times)
{
	struct gmem_report *report = &conversion->report;
	const struct gmem_report before = *report;
	enum verdict verdict;

	report->retries++;
	report->kernel_error = error;
	report->obstacle = error == -EINTR ? GMEM_OBSTACLE_SIGNAL : GMEM_OBSTACLE_KERNEL;
	gmem_convert_report_place(conversion, view, gpa, size);
	verdict = error == -EINTR ? gmem_wait_interrupted(&conversion->wait, times)
				  : gmem_wait_for_page(&conversion->wait, NULL, 0);
	if (verdict != VERDICT_AGAIN)
		return false;
	/* What was got over is not what stops us later. */
	report->kernel_error = before.kernel_error;
	report->obstacle = before.obstacle;
	report->gpa = before.gpa;
	report->size = before.size;
	report->tag = before.tag;
	report->offset = before.offset;
	return true;
}

/* Whether a call says something about the pages: a signal does not, nor an EAGAIN of no page. */
static bool is_answer(const struct conversion *conversion, int error)
{
	return !error || (error != -EINTR && (error != -EAGAIN || can_be_in_use(conversion)));
}

/* Makes a call that was none until it is, or the policy says otherwise: -ECANCELED. */
static __attribute__((noinline)) int call_again(struct conversion *conversion,
						const struct plan_run *run, uint64_t gpa,
						uint64_t size, int error, uint64_t *stuck)
{
	struct section_view room;
	uint32_t times = 0;

	do {
		if (!gmem_convert_again(conversion, section_at(conversion, run, gpa, &room), gpa,
					size, error, ++times))
			return -ECANCELED;
		error = gmem_convert_call(conversion, run, gpa, size, conversion->plan.to, stuck);
	} while (!is_answer(conversion, error));
	return error;
}

/* The first time a run is called for, that may have been done already. */
static int call_or_answer(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
			  uint64_t size, uint64_t *stuck)
{
	struct first_call *first = &conversion->first;

	if (!first->made)
		return gmem_convert_call(conversion, run, gpa, size, conversion->plan.to, stuck);
	first->made = false;
	*stuck = first->stuck;
	return first->rc;
}

static int insist_on_call(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
			  uint64_t size, uint64_t *stuck)
{
	int rc = call_or_answer(conversion, run, gpa, size, stuck);

	return is_answer(conversion, rc) ? rc : call_again(conversion, run, gpa, size, rc, stuck);
}

/*
 * Converts a part of a run that no pin has: *stuck is its end, or else the first page in use, and
 * then nothing of it is converted.
 */
static int convert_part(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
			uint64_t size, uint64_t *stuck)
{
	int rc = insist_on_call(conversion, run, gpa, size, stuck);

	switch (rc) {
	case 0:
		*stuck = gpa + size;
		if (conversion->heard && !to_private(conversion))
			return gmem_convert_tell_after(conversion, run, gpa, size);
		conversion->report.converted +=
			set_states(conversion, run, gpa, size, conversion->plan.to);
		return 0;
	case -EAGAIN:
		conversion->report.kernel_error = rc;
		conversion->report.retries++;
		return 0;
	case -ECANCELED:
		return -EAGAIN;
	default:
		return kernel_failed(conversion, run, gpa, size, rc);
	}
}

/* The first page that is in use is the one that is reported. */
static void note_obstacle(struct conversion *conversion, uint32_t obstacle)
{
	if (!conversion->in_use)
		conversion->report.obstacle = obstacle;
	conversion->in_use = true;
}

/*
 * The kernel says of a page that it is in use. A private one can be so too, for a moment, to a call
 * that has shared pages besides; alone it is as asked for at once (kernel facts P2, P6). If it is
 * not even then, it is not private, whatever the shadow says: somebody else converts too.
 */
static int note_in_use(struct conversion *conversion, const struct plan_run *run, uint64_t gpa)
{
	uint64_t page = page_size(conversion), stuck = gpa;
	int rc = 0;

	if (gmem_vm_get_state(conversion->vm, gpa, page) == GMEM_PRIVATE)
		rc = convert_part(conversion, run, gpa, page, &stuck);
	if (rc || stuck > gpa)
		return rc;
	note_obstacle(conversion, GMEM_OBSTACLE_PAGE);
	set_states(conversion, run, gpa, page, GMEM_SHARED);
	return 0;
}

/*
 * Converts what it can of a run, and passes over pages in use. A call that fails has unmapped all
 * of its range, and looks at every page again the next time (kernel fact P4). So what precedes
 * such a page comes first; after it calls begin small again and double: a few busy pages cost a
 * few calls more, and a range full of them one call for each.
 */
static int convert_run(struct conversion *conversion, const struct plan_run *run)
{
	uint64_t page = page_size(conversion), gpa = run->gpa, end = run->gpa + run->size;
	uint64_t limit = run->size, busy = end, size, stuck;
	struct gmem_range pinned = { 0 };
	int rc = 0;

	while (gpa < end && !rc) {
		if (gpa == busy) {
			rc = note_in_use(conversion, run, gpa);
			gpa += page;
			limit = page;
		}
		if (gpa >= busy) {
			busy = end;
			continue;
		}
		size = conversion->first.made
			       ? run->size
			       : free_of_pins(conversion, gpa, lower(limit, busy - gpa), &pinned);
		if (!size) {
			note_obstacle(conversion, GMEM_OBSTACLE_PIN);
			gpa += pinned.size;
			continue;
		}
		rc = convert_part(conversion, run, gpa, size, &stuck);
		if (stuck < gpa + size) {
			busy = stuck;
			continue;
		}
		gpa = stuck;
		limit = limit > UINT64_MAX / 2 ? limit : limit * 2;
	}
	return rc;
}

/* Waits for what has a page: a pin of ours, or somebody whom only the kernel sees. */
static enum verdict wait_for_page(struct conversion *conversion, uint64_t gpa)
{
	uint64_t page = page_size(conversion);
	struct gmem_range pinned;

	if (gmem_pin_table_find(conversion->vm, gpa, page, &pinned)) {
		conversion->report.kernel_error = 0;
		return gmem_pin_table_wait(conversion->vm, gpa, page, &conversion->wait);
	}
	return gmem_wait_for_page(&conversion->wait, NULL, 0);
}

/* Tries one page until it is converted, or the policy says otherwise. */
static int insist_on_page(struct conversion *conversion, const struct plan_run *page)
{
	struct section_view room;
	int rc;

	for (;;) {
		conversion->in_use = false;
		rc = convert_run(conversion, page);
		if (rc || !conversion->in_use)
			break;
		gmem_convert_report_place(conversion,
					  section_at(conversion, page, page->gpa, &room), page->gpa,
					  page->size);
		switch (wait_for_page(conversion, page->gpa)) {
		case VERDICT_STOP:
			return -EAGAIN;
		case VERDICT_SKIP:
			conversion->report.skipped++;
			return 0;
		default:
			break;
		}
	}
	if (!rc)
		wait_progress(&conversion->wait);
	return rc;
}

/* Goes through the pages that were in use, which are those that still differ, one by one. */
static int insist(struct conversion *conversion)
{
	struct gmem_report *report = &conversion->report;
	struct plan_position position = { 0 };
	uint32_t skipped = GMEM_OBSTACLE_NONE;
	struct plan_run run;
	int rc = 0;

	while (!rc && gmem_plan_next(&conversion->plan, PLAN_WRONG, &position, &run)) {
		run.size = page_size(conversion);
		rc = insist_on_page(conversion, &run);
		if (report->skipped && !skipped)
			skipped = report->obstacle;
		gmem_plan_rewind(&conversion->plan, &position, run.gpa + run.size);
	}
	/* The first page that was passed over is the first that is not as asked for. */
	if (skipped)
		report->obstacle = skipped;
	return !rc && skipped ? -EAGAIN : rc;
}

static int second_look(struct conversion *conversion)
{
	return conversion->wait.never ? -EAGAIN : insist(conversion);
}

int gmem_convert_one_run(struct conversion *conversion)
{
	int rc = convert_run(conversion, &conversion->run);

	return rc || !conversion->in_use ? rc : second_look(conversion);
}

int gmem_convert_commit(struct conversion *conversion)
{
	enum plan_pages pages = conversion->flags & GMEM_CONVERT_TRUST_STATE ? PLAN_CALLS
									     : PLAN_ALL;
	struct plan_position position = { 0 };
	struct plan_run run;
	int rc = 0;

	while (!rc && gmem_plan_next(&conversion->plan, pages, &position, &run))
		rc = convert_run(conversion, &run);
	return rc || !conversion->in_use ? rc : second_look(conversion);
}

int gmem_convert_back(struct conversion *conversion, const struct plan_run *run)
{
	uint32_t from = opposite_state(conversion->plan.to), interrupted = 0;
	uint64_t gpa = run->gpa, left = run->size, size = left, stuck, restored;
	int rc;

	/*
	 * The policy has said its word; what was converted must not stay for a signal's sake. Where
	 * signals come faster than a call is made, a smaller one may do.
	 */
	while (left) {
		size = lower(size, left);
		rc = gmem_convert_call(conversion, run, gpa, size, from, &stuck);
		conversion->report.retries += rc == -EINTR || rc == -EAGAIN;
		if (rc == -EINTR && ++interrupted < INTERRUPTIONS_MAX) {
			size = round_up(size / 2, page_size(conversion));
			continue;
		}
		if (rc)
			return rc;
		restored = set_states(conversion, run, gpa, size, from);
		conversion->report.restored += restored;
		conversion->report.converted -= restored;
		gpa += size;
		left -= size;
		size = size > UINT64_MAX / 2 ? size : size * 2;
		interrupted = 0;
	}
	return 0;
}
