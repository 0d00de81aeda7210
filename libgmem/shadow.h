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

struct gmem_vm;

struct shadow {
	struct state state;
	struct shadow *next; /* in the VM's list of those that have no region */
};

/* A shadow of so many pages, all of one state. NULL when out of memory. */
struct shadow *gmem_shadow_get(struct gmem_vm *vm, uint64_t pages, bool all_private);
void gmem_shadow_put(struct gmem_vm *vm, struct shadow *shadow);
/* The end of the VM, and of its readers. */
void gmem_shadows_free(struct gmem_vm *vm);

#endif /* GMEM_SHADOW_H */
