// SPDX-License-Identifier: LGPL-2.1-or-later
/* The side that is not seen any more: freed at once, or put off. */
#include "discard.h"

#include "claim.h"
#include "log.h"
#include "probes.h"
#include "range.h"
#include "section.h"

#include <errno.h>
#include <stdlib.h>

/* Entries that conversions fill, and as many more for those that are cut in two. */
#define ENTRIES 128u
#define ENTRIES_MAX (2 * ENTRIES)

struct pending_discards {
	pthread_mutex_t lock; /* never held over a call to the kernel */
	uint32_t count;
	uint64_t bytes;
	struct discard entries[ENTRIES_MAX];
};

int gmem_discards_new(struct gmem_vm *vm)
{
	vm->discards = calloc(1, sizeof(*vm->discards));
	if (!vm->discards)
		return -ENOMEM;
	pthread_mutex_init(&vm->discards->lock, NULL);
	return 0;
}

void gmem_discards_free(struct gmem_vm *vm)
{
	if (!vm->discards)
		return;
	pthread_mutex_destroy(&vm->discards->lock);
	free(vm->discards);
}

int gmem_discard_side(struct gmem_vm *vm, const struct discard *discard, uint64_t *freed)
{
	const struct gmem_region *region = discard->region;
	const struct backing *backing = discard->private_side ? &region->guest : &region->shared;
	int rc = gmem_backing_discard(backing, &vm->kernel, discard->offset, discard->size, freed);

	PROBE5(discard, vm->fd, discard->private_side, discard->offset, discard->size, rc);
	count(&vm->counters.discards, rc || *freed);
	if (rc) {
		count(&vm->counters.discards_failed, 1);
		log_warning(
			vm->ctx,
			"region \"%s\": freeing %#llx bytes at offset %#llx of its %s gives %s; "
			"they stay allocated",
			region_name(region), (unsigned long long)discard->size,
			(unsigned long long)discard->offset, gmem_backing_name(backing),
			gmem_error_name(rc));
		return rc;
	}
	count(&vm->counters.bytes_discarded, *freed);
	return 0;
}

bool gmem_discard_now(struct gmem_vm *vm, const struct discard *discard)
{
	uint64_t freed;

	return !gmem_discard_side(vm, discard, &freed);
}

static void add_bytes(struct gmem_vm *vm, uint64_t bytes)
{
	vm->discards->bytes += bytes;
	atomic_store_explicit(&vm->counters.bytes_held_twice, vm->discards->bytes,
			      memory_order_relaxed);
}

static bool continues(const struct discard *a, const struct discard *b)
{
	return a->region == b->region && a->private_side == b->private_side &&
	       a->offset + a->size == b->offset && a->gpa + a->size == b->gpa;
}

static void remove_entry(struct pending_discards *pending, uint32_t index)
{
	pending->entries[index] = pending->entries[--pending->count];
}

/* Makes one of an entry and what has come before or after it. */
static bool join(struct pending_discards *pending, const struct discard *discard)
{
	struct discard *found = NULL;
	uint32_t i;

	for (i = 0; i < pending->count; i++) {
		struct discard *entry = &pending->entries[i];

		if (found && (continues(found, entry) || continues(entry, found))) {
			found->gpa = entry->gpa < found->gpa ? entry->gpa : found->gpa;
			found->offset = entry->offset < found->offset ? entry->offset
								      : found->offset;
			found->size += entry->size;
			remove_entry(pending, i);
			return true;
		}
		if (found)
			continue;
		if (continues(entry, discard)) {
			entry->size += discard->size;
			found = entry;
		} else if (continues(discard, entry)) {
			entry->gpa = discard->gpa;
			entry->offset = discard->offset;
			entry->size += discard->size;
			found = entry;
		}
	}
	return found != NULL;
}

/* False: there is no room, or it would be more than may wait. */
static bool put_off(struct gmem_vm *vm, const struct discard *discard)
{
	struct pending_discards *pending = vm->discards;
	uint64_t limit = vm->config.discard_limit;

	if (discard->size > limit || pending->bytes > limit - discard->size)
		return false;
	if (!join(pending, discard)) {
		if (pending->count >= ENTRIES)
			return false;
		pending->entries[pending->count++] = *discard;
	}
	add_bytes(vm, discard->size);
	return true;
}

/* The part of an entry from a guest-physical address on, of so many bytes. */
static struct discard part_of(const struct discard *entry, uint64_t gpa, uint64_t size)
{
	struct discard part = *entry;

	part.gpa = gpa;
	part.offset += gpa - entry->gpa;
	part.size = size;
	return part;
}

/*
 * Takes a range out of an entry that overlaps it, and returns what it took. What precedes it stays
 * in place, what follows it is a new entry. Should there be no room for one, which takes as many
 * cuts as there are entries before anybody could flush, that part is forgotten: it is not freed
 * until it is seen again.
 */
static struct discard cut(struct gmem_vm *vm, uint32_t index, uint64_t gpa, uint64_t size)
{
	struct pending_discards *pending = vm->discards;
	struct discard entry = pending->entries[index], taken;
	uint64_t end = entry.gpa + entry.size;
	uint64_t from = entry.gpa > gpa ? entry.gpa : gpa;
	uint64_t to = end < gpa + size ? end : gpa + size;

	taken = part_of(&entry, from, to - from);
	add_bytes(vm, -taken.size);
	if (from > entry.gpa)
		pending->entries[index].size = from - entry.gpa;
	else
		remove_entry(pending, index);
	if (to == end)
		return taken;
	if (pending->count < ENTRIES_MAX)
		pending->entries[pending->count++] = part_of(&entry, to, end - to);
	else
		add_bytes(vm, -(end - to));
	return taken;
}

static bool overlaps(const struct discard *entry, uint64_t gpa, uint64_t size)
{
	return ranges_overlap(entry->gpa, entry->size, gpa, size);
}

/*
 * Takes one side of a range out of the table. From the end: what a cut adds or moves there has been
 * looked at, or is beside the range.
 */
static void forget(struct gmem_vm *vm, uint64_t gpa, uint64_t size, bool private_side)
{
	struct pending_discards *pending = vm->discards;
	uint32_t i;

	for (i = pending->count; i-- > 0;) {
		const struct discard *entry = &pending->entries[i];

		if (entry->private_side == private_side && overlaps(entry, gpa, size))
			(void)cut(vm, i, gpa, size);
	}
}

bool gmem_discard_cancel(struct gmem_vm *vm, uint64_t gpa, uint64_t size, bool private_side)
{
	struct pending_discards *pending = vm->discards;
	bool full;

	if (!vm->config.discard_limit)
		return false;
	pthread_mutex_lock(&pending->lock);
	forget(vm, gpa, size, private_side);
	full = pending->count > ENTRIES;
	pthread_mutex_unlock(&pending->lock);
	return full;
}

bool gmem_discard_later(struct gmem_vm *vm, const struct discard *discard)
{
	bool done;

	if (!vm->config.discard_limit) {
		gmem_discard_now(vm, discard);
		return false;
	}
	pthread_mutex_lock(&vm->discards->lock);
	/* It may be waiting already: pages can be asked to be what they are. */
	forget(vm, discard->gpa, discard->size, discard->private_side);
	done = put_off(vm, discard);
	pthread_mutex_unlock(&vm->discards->lock);
	if (!done)
		gmem_discard_now(vm, discard);
	return !done;
}

/* Takes one thing to free out of a range; false when there is none. */
static bool take_from(struct gmem_vm *vm, uint64_t gpa, uint64_t size, struct discard *taken)
{
	struct pending_discards *pending = vm->discards;
	bool found = false;
	uint32_t i;

	pthread_mutex_lock(&pending->lock);
	for (i = 0; i < pending->count && !found; i++) {
		found = overlaps(&pending->entries[i], gpa, size);
		if (found)
			*taken = cut(vm, i, gpa, size);
	}
	pthread_mutex_unlock(&pending->lock);
	return found;
}

bool gmem_discard_range(struct gmem_vm *vm, uint64_t gpa, uint64_t size)
{
	struct discard taken;
	bool done = true;

	if (!vm->config.discard_limit)
		return true;
	while (take_from(vm, gpa, size, &taken))
		done &= gmem_discard_now(vm, &taken);
	return done;
}

/* Where something waits to be freed, to be claimed first; some of the entries are passed over. */
static bool find_one(struct gmem_vm *vm, uint32_t skip, struct gmem_range *range)
{
	struct pending_discards *pending = vm->discards;
	bool found;

	pthread_mutex_lock(&pending->lock);
	found = skip < pending->count;
	if (found)
		*range = (struct gmem_range){
			.gpa = pending->entries[skip].gpa,
			.size = pending->entries[skip].size,
		};
	pthread_mutex_unlock(&pending->lock);
	return found;
}

/* The first that the kernel refused is what a flush reports. */
static void note_refused(struct gmem_report *refused, const struct discard *discard, int error)
{
	if (refused->kernel_error)
		return;
	*refused = (struct gmem_report){
		.gpa = discard->gpa,
		.size = discard->size,
		.tag = discard->region->config.tag,
		.offset = discard->offset,
		.kernel_error = error,
	};
}

/* Frees what was put off in a claimed range, and counts how much. */
static void flush_range(struct gmem_vm *vm, const struct gmem_range *range, uint64_t *freed,
			struct gmem_report *refused)
{
	struct discard taken;
	uint64_t bytes;
	int rc;

	while (take_from(vm, range->gpa, range->size, &taken)) {
		rc = gmem_discard_side(vm, &taken, &bytes);
		*freed += bytes;
		if (rc)
			note_refused(refused, &taken, rc);
	}
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

int gmem_discard_flush(struct gmem_vm *vm, struct wait *wait)
{
	struct gmem_report refused = { 0 };
	struct gmem_range range;
	struct claim claim;
	/* Others may put off more meanwhile, for ever: what there was at first is enough. */
	uint32_t turns = ENTRIES_MAX, busy = 0;
	int rc;

	while (turns-- && find_one(vm, busy, &range)) {
		rc = gmem_claim_take_quietly(vm, &claim, &range, 1, wait);
		/* Who waits for nobody goes on with the rest. */
		if (rc == -EAGAIN && wait->never) {
			busy++;
			continue;
		}
		if (rc)
			return rc;
		flush_range(vm, &range, &wait->report->freed, &refused);
		gmem_claim_release(vm, &claim);
	}
	if (refused.kernel_error)
		return flush_failed(wait->report, &refused);
	return busy ? -EAGAIN : 0;
}
