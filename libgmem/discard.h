/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freeing the side of a split region that is not seen any more: at once, or put off and joined
 * with its neighbours. What is put off is a bit of each page (shadow.h), which says that the side
 * waits to be freed which is not seen by then, as the page's state has it: what is seen is never
 * freed. Nothing is forgotten, for there is room for every page.
 *
 * A page's bit changes only under a claim of its address, of which it has one at most. How much
 * waits is counted as bytes_held_twice: raised before bits are set, so that it is never above the
 * limit, and lowered when memory has been freed, so that there is never more than it says.
 */
#ifndef GMEM_DISCARD_H
#define GMEM_DISCARD_H

#include "region.h"
#include "wait.h"

/* A part of one side of a region. */
struct discard {
	struct gmem_region *region;
	uint64_t offset;
	uint64_t size;
	bool private_side; /* else the shared one */
	bool quietly;      /* should it fail, whoever wants it freed says so */
};

/*
 * Frees it now; *freed (may be NULL) is how many bytes that gave back, of whole pages of its
 * memory. 0, or what the kernel said, which was logged.
 */
int gmem_discard_now(struct gmem_vm *vm, const struct discard *discard, uint64_t *freed);

/*
 * Of the pages that the caller has claimed, whose other side is seen now. Frees it, or puts it off;
 * *freed is how many bytes now. True: enough has been put off, gmem_discard_flush() it.
 */
bool gmem_discard_later(struct gmem_vm *vm, const struct discard *discard, uint64_t *freed);

/* Neither side of these pages, which the caller has claimed, waits to be freed any more. */
void gmem_discard_cancel(struct gmem_vm *vm, const struct discard *discard);

/* Frees all that was put off in a range that the caller has claimed. False: some was refused. */
bool gmem_discard_range(struct gmem_vm *vm, uint64_t gpa, uint64_t size);

/*
 * Frees all that was put off before; the caller has no claim. Who waits for nobody passes over
 * what others are at work on. 0; -EAGAIN (some was, or waiting was to end), -EDEADLK, -EIO (the
 * kernel refused some); no message of its own, but the wait's report says how much it freed, and
 * what stopped it.
 */
int gmem_discard_flush(struct gmem_vm *vm, struct wait *wait, bool quietly);

#endif /* GMEM_DISCARD_H */
