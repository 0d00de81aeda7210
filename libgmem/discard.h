/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freeing the side of a split region that is not seen any more: at once, or put off and joined
 * with its neighbours. What is put off stays in a table of the VM's, of fixed size. A page's entry
 * changes only under a claim of its address, so nothing is freed that has come into use again.
 */
#ifndef GMEM_DISCARD_H
#define GMEM_DISCARD_H

#include "region.h"
#include "wait.h"

/* 0 or -ENOMEM, without a message. */
int gmem_discards_new(struct gmem_vm *vm);
void gmem_discards_free(struct gmem_vm *vm);

/* A part of one side of a region, at a guest-physical address. */
struct discard {
	struct gmem_region *region;
	uint64_t gpa;
	uint64_t offset;
	uint64_t size;
	bool private_side; /* else the shared one */
};

/* Frees it now. 0, or what the kernel said, which was logged; freed is how many bytes. */
int gmem_discard_side(struct gmem_vm *vm, const struct discard *discard, uint64_t *freed);
/* The same. False: the kernel refused. */
bool gmem_discard_now(struct gmem_vm *vm, const struct discard *discard);

/* Frees it now, or puts it off. True: enough has been put off, gmem_discard_flush() it. */
bool gmem_discard_later(struct gmem_vm *vm, const struct discard *discard);

/*
 * These pages are to be seen from that side again: nothing of it may be freed any more. True: what
 * is put off is in too many pieces, gmem_discard_flush() it.
 */
bool gmem_discard_cancel(struct gmem_vm *vm, uint64_t gpa, uint64_t size, bool private_side);

/* Frees all that was put off in a range that the caller has claimed. False: some was refused. */
bool gmem_discard_range(struct gmem_vm *vm, uint64_t gpa, uint64_t size);

/*
 * Frees all that was put off; the caller has no claim. 0, -EAGAIN, -EDEADLK, -EIO; no message, but
 * the wait's report says how much it freed, and what stopped it.
 */
int gmem_discard_flush(struct gmem_vm *vm, struct wait *wait);

#endif /* GMEM_DISCARD_H */
