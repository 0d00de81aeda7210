// SPDX-License-Identifier: LGPL-2.1-or-later
/* The side that is not seen any more: freed at once, or put off. */
#include "discard.h"

#include "claim.h"
#include "exits.h"
#include "layout.h"
#include "log.h"
#include "probes.h"
#include "range.h"
#include "section.h"

#include <errno.h>

static void warn(struct gmem_vm *vm, const struct discard *discard, const struct backing *backing,
		 int error)
{
	/* A guest may convert again and again what the kernel cannot free. */
	if (discard->quietly || !gmem_exit_guard_may_log(vm, GMEM_LOG_WARNING))
		return;
	log_warning(vm->ctx,
		    "region \"%s\": freeing %#llx bytes at offset %#llx of its %s gives %s; they "
		    "stay allocated",
		    region_name(discard->region), (unsigned long long)discard->size,
		    (unsigned long long)discard->offset, gmem_backing_name(backing),
		    gmem_error_name(error));
}

int gmem_discard_now(struct gmem_vm *vm, const struct discard *discard, uint64_t *freed)
{
	const struct gmem_region *region = discard->region;
	const struct backing *backing = discard->private_side ? &region->guest : &region->shared;
	uint64_t bytes;
	int rc = gmem_backing_discard(backing, &vm->kernel, discard->offset, discard->size, &bytes);

	PROBE5(discard, vm->fd, discard->private_side, discard->offset, discard->size, rc);
	count(&vm->counters.discards, rc || bytes);
	count(&vm->counters.discards_failed, rc != 0);
	count(&vm->counters.bytes_discarded, bytes);
	if (rc)
		warn(vm, discard, backing, rc);
	if (freed)
		*freed = bytes;
	return rc;
}

/* NULL: nothing of a region may be put off. */
static struct state *pending_of(const struct gmem_region *region)
{
	struct shadow *shadow = region_shadow(region);

	return shadow && shadow_has_pending(shadow) ? &shadow->pending : NULL;
}

/* Bytes of a discard that do not wait to be freed yet: pages can be asked to be what they are. */
static uint64_t bytes_to_add(const struct gmem_vm *vm, const struct state *pending,
			     const struct discard *discard)
{
	unsigned int shift = vm->caps.page_shift;
	uint64_t page = discard->offset >> shift, left = discard->size >> shift;
	uint64_t pages = 0, run;
	bool waits;

	for (; left; page += run, left -= run) {
		run = gmem_state_run(pending, page, left, &waits);
		pages += waits ? 0 : run;
	}
	return pages << shift;
}

/* False: it would be more than may wait. Until then nobody sees more than that, either. */
static bool reserve(struct gmem_vm *vm, uint64_t bytes)
{
	_Atomic uint64_t *held = &vm->counters.bytes_held_twice;
	uint64_t limit = vm->config.discard_limit;
	uint64_t before = atomic_load_explicit(held, memory_order_relaxed);

	do {
		if (bytes > limit || before > limit - bytes)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		held, &before, before + bytes, memory_order_relaxed, memory_order_relaxed));
	return true;
}

bool gmem_discard_later(struct gmem_vm *vm, const struct discard *discard, uint64_t *freed)
{
	struct state *pending = pending_of(discard->region);
	unsigned int shift = vm->caps.page_shift;

	*freed = 0;
	if (!pending) {
		gmem_discard_now(vm, discard, freed);
		return false;
	}
	if (reserve(vm, bytes_to_add(vm, pending, discard))) {
		gmem_state_set(pending, discard->offset >> shift, discard->size >> shift, true);
		return false;
	}
	gmem_discard_now(vm, discard, freed);
	gmem_discard_cancel(vm, discard);
	return true;
}

void gmem_discard_cancel(struct gmem_vm *vm, const struct discard *discard)
{
	struct state *pending = pending_of(discard->region);
	unsigned int shift = vm->caps.page_shift;
	uint64_t pages;

	if (!pending)
		return;
	pages = gmem_state_set(pending, discard->offset >> shift, discard->size >> shift, false);
	count(&vm->counters.bytes_held_twice, -(pages << shift));
}

/*
 * A walk over the pages that wait to be freed, by address. Without a claim it may meet sections
 * that are gone: their shadows are still there, their regions need not be.
 */
struct pending_walk {
	const struct gmem_vm *vm;
	uint64_t gpa; /* where to go on */
	uint64_t end;
	/* Pages of one section that wait, up to stop; none below gpa. */
	struct section_view view;
	uint64_t stop;
};

/* Neighbours in one section that wait, and are seen on the same side. */
struct piece {
	uint64_t gpa;
	struct discard discard; /* of the other side */
};

static uint64_t page_at(const struct pending_walk *walk, uint64_t gpa)
{
	return (walk->view.offset + (gpa - walk->view.gpa)) >> walk->vm->caps.page_shift;
}

/* Looks for pages that wait between two addresses of the section. */
static bool find_in_section(struct pending_walk *walk, uint64_t gpa, uint64_t end)
{
	const struct shadow *shadow = walk->view.shadow;
	unsigned int shift = walk->vm->caps.page_shift;
	bool waits = false;

	if (!shadow || !shadow_has_pending(shadow))
		return false;
	for (; gpa < end && !waits; gpa = walk->stop) {
		walk->gpa = gpa;
		walk->stop = gpa + (gmem_state_run(&shadow->pending, page_at(walk, gpa),
						   (end - gpa) >> shift, &waits)
				    << shift);
	}
	return waits;
}

/* Whole pages only: a range may be of anything. */
static bool find(struct pending_walk *walk)
{
	const struct section_view *view = &walk->view;
	uint64_t page = walk->vm->caps.page_size, gpa, end;

	while (walk->gpa < walk->end &&
	       gmem_layout_look(&walk->vm->layout->table, walk->gpa, &walk->view)) {
		gpa = walk->gpa > view->gpa ? round_up(walk->gpa, page) : view->gpa;
		end = lower(walk->end, view->gpa + view->size) & ~(page - 1);
		if (find_in_section(walk, gpa, end))
			return true;
		walk->gpa = view->gpa + view->size;
	}
	return false;
}

static bool next_piece(struct pending_walk *walk, struct piece *piece)
{
	const struct section_view *view = &walk->view;
	unsigned int shift = walk->vm->caps.page_shift;
	uint64_t size;
	bool private;

	if (walk->gpa >= walk->stop && !find(walk))
		return false;
	size = gmem_state_run(&view->shadow->state, page_at(walk, walk->gpa),
			      (walk->stop - walk->gpa) >> shift, &private)
	       << shift;
	*piece = (struct piece){
		.gpa = walk->gpa,
		.discard = {
			.region = view->region,
			.offset = view->offset + (walk->gpa - view->gpa),
			.size = size,
			.private_side = !private,
		},
	};
	walk->gpa += size;
	return true;
}

/* Whether one call can free both. */
static bool continues(const struct discard *one, const struct discard *next)
{
	return one->region == next->region && one->private_side == next->private_side &&
	       one->offset + one->size == next->offset;
}

/* What waits in ranges that are claimed is freed: what continues, over sections too, in one call. */
struct freeing {
	struct gmem_vm *vm;
	bool quietly; /* as in struct discard */
	/* Found and not freed yet, of which the first is at gpa. */
	struct discard joined;
	uint64_t gpa;
	uint64_t freed;
	/* The first that the kernel refused, if kernel_error is not 0. */
	struct gmem_report refused;
};

static void note_refused(struct freeing *freeing, int error)
{
	const struct discard *discard = &freeing->joined;

	if (freeing->refused.kernel_error)
		return;
	freeing->refused = (struct gmem_report){
		.gpa = freeing->gpa,
		.size = discard->size,
		.tag = discard->region->config.tag,
		.offset = discard->offset,
		.kernel_error = error,
	};
}

static void free_joined(struct freeing *freeing)
{
	uint64_t freed;
	int rc;

	if (!freeing->joined.size)
		return;
	freeing->joined.quietly = freeing->quietly;
	rc = gmem_discard_now(freeing->vm, &freeing->joined, &freed);
	freeing->freed += freed;
	if (rc)
		note_refused(freeing, rc);
	/* What the kernel refused does not wait either, to be refused again. */
	gmem_discard_cancel(freeing->vm, &freeing->joined);
	freeing->joined.size = 0;
}

static void free_range(struct freeing *freeing, uint64_t gpa, uint64_t size)
{
	struct pending_walk walk = { .vm = freeing->vm, .gpa = gpa, .end = gpa + size };
	struct piece piece;

	while (next_piece(&walk, &piece)) {
		if (freeing->joined.size && continues(&freeing->joined, &piece.discard)) {
			freeing->joined.size += piece.discard.size;
			continue;
		}
		free_joined(freeing);
		freeing->joined = piece.discard;
		freeing->gpa = piece.gpa;
	}
}

bool gmem_discard_range(struct gmem_vm *vm, uint64_t gpa, uint64_t size)
{
	struct freeing freeing = { .vm = vm };

	if (!vm->config.discard_limit)
		return true;
	free_range(&freeing, gpa, size);
	free_joined(&freeing);
	return !freeing.refused.kernel_error;
}

/*
 * What one claim of a flush takes: so many calls that the claim itself is a small part of what
 * they cost, and so few that whoever waits for it hardly notices. Either bound comes to a few
 * tenths of a millisecond in the kernel. What one call can free is not cut.
 */
#define BATCH_CALLS 64u
#define BATCH_BYTES (UINT64_C(2) << 20)

struct batch {
	struct gmem_range ranges[BATCH_CALLS];
	uint64_t count;
};

static void add_range(struct batch *batch, uint64_t gpa, uint64_t size)
{
	struct gmem_range *last = batch->count ? &batch->ranges[batch->count - 1] : NULL;

	if (last && last->gpa + last->size == gpa)
		last->size += size;
	else
		batch->ranges[batch->count++] = (struct gmem_range){ .gpa = gpa, .size = size };
}

/* Collects what waits from where the walk is, and not what is between. False: nothing does. */
static bool gather(struct pending_walk *walk, struct batch *batch)
{
	struct piece last = { 0 }, piece;
	uint64_t bytes = 0;
	uint32_t calls = 0;

	batch->count = 0;
	for (; next_piece(walk, &piece); last = piece) {
		if (last.gpa + last.discard.size != piece.gpa ||
		    !continues(&last.discard, &piece.discard)) {
			if (calls == BATCH_CALLS || bytes >= BATCH_BYTES) {
				walk->gpa = piece.gpa;
				break;
			}
			calls++;
		}
		add_range(batch, piece.gpa, piece.discard.size);
		bytes += piece.discard.size;
	}
	return calls;
}

/*
 * Claims as many of the ranges as nobody is at work on, of which *count tells. Only for one alone
 * is waited, and only that is reported: who waits for many keeps others from all of them.
 */
static int claim_some(struct gmem_vm *vm, struct claim *claim, const struct gmem_range *ranges,
		      uint64_t *count, struct wait *wait)
{
	const struct gmem_report before = *wait->report;
	bool never = wait->never;
	int rc;

	for (;; *count /= 2) {
		wait->never = never || *count > 1;
		rc = gmem_claim_take_quietly(vm, claim, ranges, *count, wait);
		wait->never = never;
		if (rc != -EAGAIN || *count == 1)
			return rc;
		*wait->report = before;
	}
}

static void free_claimed(struct freeing *freeing, const struct gmem_range *ranges, uint64_t count)
{
	uint64_t i;

	for (i = 0; i < count; i++)
		free_range(freeing, ranges[i].gpa, ranges[i].size);
	free_joined(freeing);
}

/* 0, or why the flush ends. What others are at work on is passed over by who waits for nobody. */
static int flush_batch(struct freeing *freeing, const struct batch *batch, struct wait *wait,
		       bool *busy)
{
	uint64_t done, some;
	struct claim claim;
	int rc;

	for (done = 0; done < batch->count; done += some) {
		some = batch->count - done;
		rc = claim_some(freeing->vm, &claim, &batch->ranges[done], &some, wait);
		if (rc == -EAGAIN && wait->never) {
			*busy = true;
			continue;
		}
		if (rc)
			return rc;
		free_claimed(freeing, &batch->ranges[done], some);
		gmem_claim_release(freeing->vm, &claim);
	}
	return 0;
}

static int flush_failed(struct gmem_report *report, const struct gmem_report *refused)
{
	report->stage = GMEM_STAGE_COMMIT;
	report->gpa = refused->gpa;
	report->size = refused->size;
	report->tag = refused->tag;
	report->offset = refused->offset;
	report->kernel_error = refused->kernel_error;
	return -EIO;
}

int gmem_discard_flush(struct gmem_vm *vm, struct wait *wait, bool quietly)
{
	/* Once from below: others may put off more meanwhile, for ever. */
	struct pending_walk walk = { .vm = vm, .end = UINT64_MAX };
	struct freeing freeing = { .vm = vm, .quietly = quietly };
	struct batch batch;
	bool busy = false;
	int rc = 0;

	while (!rc && gather(&walk, &batch))
		rc = flush_batch(&freeing, &batch, wait, &busy);
	wait->report->freed += freeing.freed;
	/* It does not wait any more, and nobody else will say so. */
	if (freeing.refused.kernel_error && (!rc || rc == -EAGAIN))
		return flush_failed(wait->report, &freeing.refused);
	if (rc)
		return rc;
	return busy ? -EAGAIN : 0;
}
