// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory that is freed, unplugged and plugged because somebody says so. */
#include "claim.h"
#include "discard.h"
#include "layout.h"
#include "listen.h"
#include "log.h"
#include "pin_table.h"
#include "range.h"
#include "shadow.h"

#include <errno.h>
#include <gmem/convert.h>

struct freeing {
	struct gmem_vm *vm;
	struct gmem_range range;
	struct gmem_report report;
	struct wait wait;
	struct claim claim;
};

static int check_flags(const struct gmem_vm *vm, uint32_t flags)
{
	if (!(flags & ~GMEM_DISCARD_ABSENT))
		return 0;
	log_error(vm->ctx, "gmem_vm_discard: flags are %#x, they must be GMEM_DISCARD_ABSENT or 0",
		  flags);
	return -EINVAL;
}

static int check_range(const struct gmem_vm *vm, const char *function, uint64_t gpa, uint64_t size)
{
	if (range_is_valid(gpa, size) && range_is_aligned(gpa, size, vm->caps.page_size))
		return 0;
	log_debug(vm->ctx,
		  "%s: gpa %#llx, %#llx bytes; both must be multiples of the page size "
		  "%#llx, and the range must not be empty and end below 2^64",
		  function, (unsigned long long)gpa, (unsigned long long)size,
		  (unsigned long long)vm->caps.page_size);
	return -EINVAL;
}

/* The part of the next section that is in the range and can be freed. */
static bool next_part(const struct freeing *freeing, uint64_t *gpa, struct section_view *view,
		      struct gmem_range *part)
{
	uint64_t end = freeing->range.gpa + freeing->range.size, stop;

	while (*gpa < end && gmem_layout_look(&freeing->vm->layout->table, *gpa, view) &&
	       view->gpa < end) {
		stop = view->gpa + view->size < end ? view->gpa + view->size : end;
		part->gpa = *gpa > view->gpa ? *gpa : view->gpa;
		part->size = stop - part->gpa;
		*gpa = stop;
		if (view->kind == GMEM_KIND_RAM)
			return true;
	}
	return false;
}

static int wait_for_pins(struct freeing *freeing)
{
	const struct gmem_range *range = &freeing->range;
	struct gmem_range pinned;

	while (gmem_pin_table_find(freeing->vm, range->gpa, range->size, &pinned)) {
		freeing->report.gpa = pinned.gpa;
		freeing->report.size = pinned.size;
		if (gmem_pin_table_wait(freeing->vm, range->gpa, range->size, &freeing->wait) ==
		    VERDICT_AGAIN)
			continue;
		log_debug(freeing->vm->ctx,
			  "gmem_vm_discard: gpa %#llx, %#llx bytes: gmem_vm_pin() holds them",
			  (unsigned long long)pinned.gpa, (unsigned long long)pinned.size);
		return -EAGAIN;
	}
	return 0;
}

/* Has listeners told add for what they were told remove for, up to an address. */
static void tell_add(struct freeing *freeing, uint64_t end)
{
	uint64_t gpa = freeing->range.gpa;
	struct section_view view;
	struct gmem_range part;

	while (next_part(freeing, &gpa, &view, &part) && part.gpa < end)
		gmem_listen_tell_section_anyway(freeing->vm, GMEM_LISTEN_CONVERT, GMEM_EVENT_ADD,
						&view, part.gpa, part.size);
}

static int tell_remove(struct freeing *freeing)
{
	uint64_t gpa = freeing->range.gpa;
	struct section_view view;
	struct gmem_range part;
	int rc = 0;

	while (!rc && next_part(freeing, &gpa, &view, &part))
		rc = gmem_listen_tell_section(freeing->vm, GMEM_LISTEN_CONVERT, GMEM_EVENT_REMOVE,
					      &view, part.gpa, part.size);
	if (rc)
		tell_add(freeing, part.gpa);
	return rc;
}

static bool discard_side(struct gmem_vm *vm, const struct section_view *view,
			 const struct gmem_range *part, bool private_side)
{
	const struct discard discard = {
		.region = view->region,
		.gpa = part->gpa,
		.offset = view->offset + (part->gpa - view->gpa),
		.size = part->size,
		.private_side = private_side,
	};

	(void)gmem_discard_cancel(vm, part->gpa, part->size, private_side);
	return gmem_discard_now(vm, &discard);
}

static int free_parts(struct freeing *freeing)
{
	uint64_t gpa = freeing->range.gpa;
	struct section_view view;
	struct gmem_range part;
	bool done = true;

	while (next_part(freeing, &gpa, &view, &part)) {
		if (view.region->config.backing != GMEM_BACKING_GUEST_MEMFD)
			done &= discard_side(freeing->vm, &view, &part, false);
		if (view.region->config.backing != GMEM_BACKING_PLAIN)
			done &= discard_side(freeing->vm, &view, &part, true);
	}
	return done ? 0 : -EIO;
}

/* Room to note absent pages, before anything is done: later nothing may fail for want of it. */
static int need_absent(struct freeing *freeing)
{
	uint64_t gpa = freeing->range.gpa;
	struct section_view view;
	struct gmem_range part;
	bool changed = false;
	int rc = 0;

	while (!rc && next_part(freeing, &gpa, &view, &part)) {
		rc = gmem_region_need_absent(view.region);
		/* Whoever made it may not have shown it yet, or have failed then. */
		changed |= view.shadow != region_shadow(view.region);
	}
	/* Readers know sections, not regions. */
	if (changed)
		gmem_layout_republish(freeing->vm->layout);
	return rc;
}

static uint64_t set_absent_part(const struct freeing *freeing, const struct section_view *view,
				const struct gmem_range *part, bool absent)
{
	unsigned int shift = freeing->vm->caps.page_shift;
	struct shadow *shadow = region_shadow(view->region);
	uint64_t offset = view->offset + (part->gpa - view->gpa);

	if (!shadow || !shadow_has_absent(shadow))
		return 0;
	return gmem_state_set(&shadow->absent, offset >> shift, part->size >> shift, absent);
}

static void set_absent(const struct freeing *freeing)
{
	uint64_t gpa = freeing->range.gpa;
	struct section_view view;
	struct gmem_range part;

	while (next_part(freeing, &gpa, &view, &part))
		set_absent_part(freeing, &view, &part, true);
}

static int discard_claimed(struct freeing *freeing, uint32_t flags)
{
	bool heard = gmem_listen_is_on(freeing->vm, GMEM_LISTEN_CONVERT);
	int rc = flags & GMEM_DISCARD_ABSENT ? need_absent(freeing) : 0;

	if (!rc && heard)
		rc = tell_remove(freeing);
	if (rc)
		return rc;
	/* Only now: what a listener has pinned it lets go of when it is told. */
	rc = wait_for_pins(freeing);
	if (!rc) {
		rc = free_parts(freeing);
		if (flags & GMEM_DISCARD_ABSENT)
			set_absent(freeing);
	}
	/* Of what is absent nobody is told. */
	if (heard)
		tell_add(freeing, UINT64_MAX);
	return rc;
}

/* One absent run of a part of a section, from an address on; false when there is none. */
static bool next_absent(const struct freeing *freeing, const struct section_view *view,
			const struct gmem_range *part, struct gmem_range *absent)
{
	unsigned int shift = freeing->vm->caps.page_shift;
	uint64_t gpa = absent->gpa + absent->size, end = part->gpa + part->size;
	uint32_t state = 0;

	for (; gpa < end; gpa += absent->size) {
		absent->gpa = gpa;
		absent->size = gmem_shadow_run(view->shadow,
					       (view->offset + (gpa - view->gpa)) >> shift,
					       (end - gpa) >> shift, &state)
			       << shift;
		if (state == GMEM_ABSENT)
			return true;
	}
	return false;
}

/* Memory is there again before listeners hear of it; what one refuses is not. */
static int populate_run(struct freeing *freeing, const struct section_view *view,
			const struct gmem_range *absent)
{
	int rc;

	set_absent_part(freeing, view, absent, false);
	rc = gmem_listen_tell_section(freeing->vm, GMEM_LISTEN_CONVERT, GMEM_EVENT_ADD, view,
				      absent->gpa, absent->size);
	if (rc)
		set_absent_part(freeing, view, absent, true);
	return rc;
}

static int populate_part(struct freeing *freeing, const struct section_view *view,
			 const struct gmem_range *part)
{
	struct gmem_range absent = { .gpa = part->gpa };
	int rc = 0;

	if (!view->shadow || !shadow_has_absent(view->shadow))
		return 0;
	while (!rc && next_absent(freeing, view, part, &absent))
		rc = populate_run(freeing, view, &absent);
	return rc;
}

static int populate_claimed(struct freeing *freeing)
{
	uint64_t gpa = freeing->range.gpa;
	struct section_view view;
	struct gmem_range part;
	int rc = 0;

	while (!rc && next_part(freeing, &gpa, &view, &part))
		rc = populate_part(freeing, &view, &part);
	return rc;
}

static int claim_failed(const struct gmem_vm *vm, const char *function, int error)
{
	if (error == -EDEADLK)
		log_error(vm->ctx,
			  "%s: this thread is inside a callback of an operation on this VM",
			  function);
	else
		log_debug(vm->ctx, "%s: another operation is at work on the range", function);
	return error;
}

static int freeing_begin(struct freeing *freeing, const char *function)
{
	struct gmem_vm *vm = freeing->vm;
	int rc = gmem_vm_check(vm, function);

	if (!rc)
		rc = check_range(vm, function, freeing->range.gpa, freeing->range.size);
	if (rc)
		return rc;
	wait_init(&freeing->wait, vm, &freeing->report, !vm->config.deadline_ns);
	rc = gmem_claim_take(vm, &freeing->claim, &freeing->range, 1, &freeing->wait);
	return rc ? claim_failed(vm, function, rc) : 0;
}

int gmem_vm_discard(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags)
{
	struct freeing freeing = {
		.vm = vm,
		.range = { .gpa = gpa, .size = size },
		.report = { .stage = GMEM_STAGE_PREPARE },
	};
	int rc = gmem_vm_check(vm, "gmem_vm_discard");

	if (!rc)
		rc = check_flags(vm, flags);
	if (!rc)
		rc = freeing_begin(&freeing, "gmem_vm_discard");
	if (rc)
		return rc;
	rc = discard_claimed(&freeing, flags);
	gmem_claim_release(vm, &freeing.claim);
	return rc;
}

int gmem_vm_populate(struct gmem_vm *vm, uint64_t gpa, uint64_t size)
{
	struct freeing freeing = {
		.vm = vm,
		.range = { .gpa = gpa, .size = size },
		.report = { .stage = GMEM_STAGE_PREPARE },
	};
	int rc = freeing_begin(&freeing, "gmem_vm_populate");

	if (rc)
		return rc;
	rc = populate_claimed(&freeing);
	gmem_claim_release(vm, &freeing.claim);
	return rc;
}

int gmem_vm_flush(struct gmem_vm *vm)
{
	struct gmem_report report = { .stage = GMEM_STAGE_PREPARE };
	struct wait wait;
	int rc = gmem_vm_check(vm, "gmem_vm_flush");

	if (rc)
		return rc;
	wait_init(&wait, vm, &report, !vm->config.deadline_ns);
	/* Also where nothing waits to be freed. */
	rc = gmem_claim_is_mine(vm) ? -EDEADLK : gmem_discard_flush(vm, &wait);
	/* What the kernel refused was said where it did. */
	return rc == -EAGAIN || rc == -EDEADLK ? claim_failed(vm, "gmem_vm_flush", rc) : rc;
}
