/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shadow of a region: which of its pages are private and which are shared.
 *
 * Page numbers count from the start of the region. Every function that takes a range expects it
 * to lie inside the region: whoever turned guest addresses into pages has checked that.
 */
#ifndef GMEM_STATE_PRIVATE_H
#define GMEM_STATE_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gmem_kernel;

/*
 * One word per GiB says what the GiB is. From the lowest bit:
 *
 *   0-1    STATE_*: all shared, all private, see the leaf
 *   2      locked: a writer is at work on the leaf
 *   3-4    what is known of the leaf's contents while nobody looks at them
 *   8-31   number of private pages
 *   32-63  not in use; every update leaves them alone
 */
#define STATE_OWN_BITS 32

#define STATE_SHARED UINT64_C(0)
#define STATE_PRIVATE UINT64_C(1)
#define STATE_LEAF UINT64_C(2)
#define STATE_MASK UINT64_C(3)

#define STATE_GIB_SHIFT 30
#define STATE_CHUNK_PAGES 64 /* that have their bits in one load */

/*
 * Fixed once gmem_state_init() has returned; only what words and bits point to changes afterwards.
 * The leaves of all GiBs lie one behind the other, so bits is a flat bitmap of the region (1 is
 * private) of which only the parts that a word refers to mean anything.
 */
struct state {
	_Atomic uint64_t *words; /* one per GiB; also where the mapping starts */
	_Atomic uint64_t *bits;  /* one bit per page */
	uint64_t pages;
	uint64_t length;        /* of the mapping that holds words and bits, in bytes */
	unsigned int gib_shift; /* a GiB has 1 << gib_shift pages */
};

/*
 * Makes the shadow of a region of so many pages of 1 << page_shift bytes (12, 14 or 16), all of
 * them in one state. It reserves the address space for every leaf, so nothing is allocated and
 * no system call is made later on. Returns 0, -EINVAL for no pages, another page size or more
 * bytes than an address can count, or -ENOMEM; after a failure gmem_state_release() does nothing.
 * Nobody else may use the state meanwhile.
 */
int gmem_state_init(struct state *state, const struct gmem_kernel *kernel, uint64_t pages,
		    unsigned int page_shift, bool all_private);

/* Gives the mapping back. Nobody may be using the state, nor use it afterwards. */
void gmem_state_release(struct state *state, const struct gmem_kernel *kernel);

/*
 * Puts all pages in one state and gives the memory of the leaves back to the kernel, for a region
 * that is taken from a pool. No writer may be at work. Readers that have not noticed yet may
 * be: they get an answer that means nothing, but get one.
 */
void gmem_state_reset(struct state *state, const struct gmem_kernel *kernel, bool all_private);

/*
 * Says whether a page is private. Any number of threads, together with any number of writers; it
 * only loads. The answer is a state which the page had during the call, and what the thread that
 * set that state did before is visible to the caller.
 */
bool gmem_state_is_private(const struct state *state, uint64_t page);

/* The same of the page at an offset in bytes, in place: STATE_SHARED or STATE_PRIVATE. */
static inline uint64_t state_at(const struct state *state, uint64_t offset)
{
	uint64_t word = atomic_load_explicit(&state->words[offset >> STATE_GIB_SHIFT],
					     memory_order_acquire);
	uint64_t page, chunk;

	if ((word & STATE_MASK) != STATE_LEAF)
		return word & STATE_MASK;
	page = offset >> (STATE_GIB_SHIFT - state->gib_shift);
	chunk = atomic_load_explicit(&state->bits[page / STATE_CHUNK_PAGES], memory_order_acquire);
	return chunk >> page % STATE_CHUNK_PAGES & 1;
}

/*
 * Makes count pages private or shared. Any number of threads, on any ranges. Each page changes at
 * one moment of its own between call and return, or not at all if it is as wanted; the range as a
 * whole does not change at once. A GiB that is set as a whole takes the same time whatever was
 * in it. Returns how many pages were not as wanted.
 */
uint64_t gmem_state_set(struct state *state, uint64_t first, uint64_t count, bool private);

/*
 * Says what states a range has: GMEM_SHARED, GMEM_PRIVATE or both; 0 for no pages. Threads as
 * gmem_state_is_private(), which also says what the answer for each single page means.
 */
uint32_t gmem_state_query(const struct state *state, uint64_t first, uint64_t count);

/*
 * Finds the longest run of pages in one state that starts with the page first, looking at limit
 * pages (not 0). Returns its length, at least 1, and stores its state. Threads and meaning as
 * gmem_state_is_private().
 */
uint64_t gmem_state_run(const struct state *state, uint64_t first, uint64_t limit, bool *private);

/*
 * Counts the private pages. Any thread; a sum over GiBs that are looked at one after the other,
 * exact when no writer is at work. Pages that a writer is just changing count as they were.
 */
uint64_t gmem_state_count_private(const struct state *state);

#endif /* GMEM_STATE_PRIVATE_H */
