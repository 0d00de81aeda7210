/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A region's state, in memory that lives as long as the VM: readers of the layout take no lock and
 * may still be loading from a state whose region died a moment ago. They notice, and look again
 * (layout_table.h), but until then the memory must be there. A dead region's shadow is kept and
 * serves the next region of the same size.
 */
#ifndef GMEM_SHADOW_H
#define GMEM_SHADOW_H

#include "state.h"

#include <stdatomic.h>

struct gmem_vm;

struct shadow {
	struct state state;
	/*
	 * Pages that were discarded and are to be populated before they are memory again: 1 is absent.
	 * Made when the first are, and from then on has_absent says so.
	 */
	struct state absent;
	_Atomic bool has_absent;
	/*
	 * Pages with two sides, of which the one that is not seen waits to be freed: 1 does
	 * (discard.h). Made with a region that may put that off, and from then on has_pending says so.
	 */
	struct state pending;
	_Atomic bool has_pending;
	struct shadow *next; /* in the VM's list of those that have no region */
};

/* A shadow of so many pages, all of one state. NULL when out of memory. */
struct shadow *gmem_shadow_get(struct gmem_vm *vm, uint64_t pages, bool all_private);
/* What waits to be freed goes with it, and is not held twice any more. NULL is ignored. */
void gmem_shadow_put(struct gmem_vm *vm, struct shadow *shadow);
/* The end of the VM, and of its readers. */
void gmem_shadows_free(struct gmem_vm *vm);

/* Makes room to note absent pages, if there is none yet. 0 or -ENOMEM, without a message. */
int gmem_shadow_need_absent(struct gmem_vm *vm, struct shadow *shadow);
/* The same for pages that wait to be freed. */
int gmem_shadow_need_pending(struct gmem_vm *vm, struct shadow *shadow);

static inline bool shadow_has_absent(const struct shadow *shadow)
{
	return atomic_load_explicit(&shadow->has_absent, memory_order_acquire);
}

static inline bool shadow_has_pending(const struct shadow *shadow)
{
	return atomic_load_explicit(&shadow->has_pending, memory_order_acquire);
}

/* What states a range has: the OR of GMEM_SHARED, PRIVATE and ABSENT, of which each page has one. */
uint32_t gmem_shadow_query(const struct shadow *shadow, uint64_t first, uint64_t count);

/*
 * The longest run of pages in one state that starts with the page first, looking at limit pages
 * (not 0). At least 1.
 */
uint64_t gmem_shadow_run(const struct shadow *shadow, uint64_t first, uint64_t limit,
			 uint32_t *state);

#endif /* GMEM_SHADOW_H */
