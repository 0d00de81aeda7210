/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A callback's opaque pointer, counted, so that its free function runs exactly once, when the
 * last object that could call the callback is gone.
 */
#ifndef GMEM_CLOSURE_H
#define GMEM_CLOSURE_H

#include <gmem/base.h>
#include <stdatomic.h>

struct closure {
	atomic_uint references;
	void *opaque;
	gmem_free_fn free_fn;
};

/* Takes charge of opaque, with one reference. NULL when out of memory: opaque is freed then. */
struct closure *gmem_closure_new(void *opaque, gmem_free_fn free_fn);
struct closure *gmem_closure_get(struct closure *closure);
/* NULL is ignored. */
void gmem_closure_put(struct closure *closure);

#endif /* GMEM_CLOSURE_H */
