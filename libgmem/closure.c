// SPDX-License-Identifier: LGPL-2.1-or-later
/* Counted opaque pointers of callbacks. */
#include "closure.h"

#include <stdlib.h>

struct closure *gmem_closure_new(void *opaque, gmem_free_fn free_fn)
{
	struct closure *closure = malloc(sizeof(*closure));

	if (!closure) {
		if (free_fn)
			free_fn(opaque);
		return NULL;
	}
	atomic_init(&closure->references, 1);
	closure->opaque = opaque;
	closure->free_fn = free_fn;
	return closure;
}

struct closure *gmem_closure_get(struct closure *closure)
{
	if (closure)
		atomic_fetch_add_explicit(&closure->references, 1, memory_order_relaxed);
	return closure;
}

void gmem_closure_put(struct closure *closure)
{
	if (!closure ||
	    atomic_fetch_sub_explicit(&closure->references, 1, memory_order_acq_rel) != 1)
		return;
	if (closure->free_fn)
		closure->free_fn(closure->opaque);
	free(closure);
}
