/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM counts: fields of struct gmem_vm_stats, and how they are written. */
#ifndef GMEM_COUNTERS_H
#define GMEM_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

struct counters {
	_Atomic uint64_t conversions;
	_Atomic uint64_t conversions_failed;
	_Atomic uint64_t bytes_private;
	_Atomic uint64_t bytes_shared;
	_Atomic uint64_t ioctls;
	_Atomic uint64_t retries;
	_Atomic uint64_t discards;
	_Atomic uint64_t discards_failed;
	_Atomic uint64_t bytes_discarded;
	_Atomic uint64_t bytes_held_twice;
	_Atomic uint64_t waited_ns;
	_Atomic uint64_t listener_calls;
	_Atomic uint64_t exits;
	_Atomic uint64_t exits_refused;
	_Atomic uint64_t messages_dropped;
};

/* They order nothing. Most operations leave most counters alone, and then write to no line. */
static inline void count(_Atomic uint64_t *counter, uint64_t by)
{
	if (by)
		atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

#endif /* GMEM_COUNTERS_H */
