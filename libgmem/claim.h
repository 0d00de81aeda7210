/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is at work on which guest-physical addresses. An operation that changes pages (a conversion,
 * a change of the layout) claims its addresses first. Claims that overlap are granted one after
 * the other, in the order in which they came; others at once. A claim takes all its ranges or
 * none, so that waiting never goes in a circle, and a thread has one claim at most: a callback of
 * an operation that starts another gets -EDEADLK.
 *
 * Where listeners have a granularity, claims have whole blocks of it: whether such a listener has a
 * block depends on all its pages, so operations on two of them must not be at work at once. Pins
 * still look for the very addresses.
 *
 * A granted claim is also what pins look for (pin_table.h). A new pin and a new claim of the same
 * page never miss each other, because each writes first and looks afterwards:
 *
 *   pin      stores itself into the table, then loads the counts
 *   claim    adds to the counts, then loads the table
 *
 * All four accesses are sequentially consistent, so of two that do this at the same time at least
 * one sees the other. If both do, the pin gives way.
 */
#ifndef GMEM_CLAIM_H
#define GMEM_CLAIM_H

#include "wait.h"

#include <gmem/base.h>

struct claim {
	struct claim *next;
	struct claim *previous;
	const struct gmem_range *ranges; /* ascending, not overlapping */
	uint64_t count;                  /* of ranges; 0: at work, but nowhere */
	uintptr_t thread;
	_Atomic uint32_t *only_count; /* that it is in; NULL where that would have to be looked for */
	bool granted;
	bool lets_pins; /* pages stay as they are: only other claims are kept out */
};

/*
 * 0; -EDEADLK (this thread has one), -EAGAIN (waiting was to end; the wait's report then has what
 * was in the way, and where). No message is sent.
 */
int gmem_claim_take(struct gmem_vm *vm, struct claim *claim, const struct gmem_range *ranges,
		    uint64_t count, struct wait *wait);
/* The same in two halves, for who may not have to wait: -EAGAIN is that it has to. */
int gmem_claim_enter(struct gmem_vm *vm, struct claim *claim, const struct gmem_range *ranges,
		     uint64_t count);
int gmem_claim_await(struct gmem_vm *vm, struct claim *claim, struct wait *wait);
/* The same for an operation that changes no page. */
int gmem_claim_take_quietly(struct gmem_vm *vm, struct claim *claim,
			    const struct gmem_range *ranges, uint64_t count, struct wait *wait);
void gmem_claim_release(struct gmem_vm *vm, struct claim *claim);

/* The size of a block, a power of two or 0, from whoever has claimed all addresses. */
void gmem_claims_set_block(struct gmem_vm *vm, uint64_t size);

/* Whether this thread is at work. */
bool gmem_claim_is_mine(struct gmem_vm *vm);

/*
 * Whether a granted claim has any of these addresses; the load of counts that is meant above comes
 * first. seen is for gmem_claim_wait().
 */
bool gmem_claim_covers(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t *seen);

/* The same, and the first part of the range that it has. */
bool gmem_claim_find(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t *seen,
		     struct gmem_range *part);

/* Until some claim has ended since seen: 0, -EAGAIN, or -EDEADLK (it would be one's own). */
int gmem_claim_wait(struct gmem_vm *vm, uint32_t seen, struct wait *wait);

#endif /* GMEM_CLAIM_H */
