/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM keeps of the operations at work on it; claim.h and pin_table.h say how it is used. */
#ifndef GMEM_CLAIMS_H
#define GMEM_CLAIMS_H

#include "lock.h"

#include <stdatomic.h>
#include <stdint.h>

struct claim;

/*
 * Claims are counted by address, 2 MiB in a count, in a table that wraps around: a pin whose
 * counts are zero need not look further. Others look at the list, under the lock.
 */
#define CLAIM_COUNTS 64u
#define CLAIM_COUNT_SHIFT 21

struct claims {
	struct lock lock; /* of the list; held for as long as it takes to walk it */
	struct claim *oldest;
	struct claim *newest;
	uint64_t block_mask; /* claims have whole blocks of this size less 1, against each other */
	_Atomic uint32_t waiting; /* who sleep on turn */
	_Atomic uint32_t turn;    /* counts what somebody may be waiting for; a futex */
	_Atomic uint32_t counts[CLAIM_COUNTS];
};

struct pin_slot {
	_Atomic uint64_t gpa;
	_Atomic uint64_t size; /* 0: not in use */
};

/* Which slots of 64 are taken; a cache line each, for threads go to groups of their own. */
struct pin_group {
	_Alignas(64) _Atomic uint64_t taken;
};

#define PIN_GROUP_SLOTS 64u
#define PIN_GROUPS 1024u

struct pin_memory {
	struct pin_group groups[PIN_GROUPS];
	struct pin_slot slots[PIN_GROUPS * PIN_GROUP_SLOTS];
};

struct pin_table {
	struct pin_memory *memory;
	_Atomic uint32_t groups; /* none above has ever been used */
};

#endif /* GMEM_CLAIMS_H */
