/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The windows of memory: all guest-physical addresses at which the same bytes of a region are seen.
 * Memory that can never be private may have several in address space 0: it is mapped twice, or has
 * an alias.
 *
 * Whether memory is there belongs to the bytes, but claims, listeners and pins know addresses. So
 *
 *   who works on whether bytes are there   has one claim with all their windows
 *   who adds a window of bytes             has a claim with a window of these bytes, if there is one
 *
 * and claims of the same address exclude each other. The former claims, then looks, and claims more
 * if there is more, until what it finds is all in its claim. What it finds is what there was at one
 * moment; and since that moment no window can have come, for whoever adds the first must have had a
 * claim with one of those that were found. Windows that are claimed do not go either.
 *
 * Most regions have one window of each byte. Whoever adds the first that is not the only one sets
 * region->shown_twice, with a claim of the window that there was: whoever has that one claimed sees
 * it set, or no other window comes for as long.
 */
#ifndef GMEM_WINDOWS_H
#define GMEM_WINDOWS_H

#include "range_list.h"
#include "region.h"

static inline bool region_is_shown_twice(const struct gmem_region *region)
{
	return atomic_load_explicit(&region->shown_twice, memory_order_relaxed);
}

/*
 * Appends the addresses of all windows of some bytes of a region, as they are at one moment: of each
 * section the part that shows any of them. 0; -ENOMEM, without a message: the list is as it was.
 */
int gmem_windows_add(struct gmem_vm *vm, const struct gmem_region *region, uint64_t offset,
		     uint64_t size, struct range_list *list);

#endif /* GMEM_WINDOWS_H */
