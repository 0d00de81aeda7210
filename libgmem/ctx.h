/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A context from inside: counted, so that objects made in it can outlive the caller's handle. */
#ifndef GMEM_CTX_PRIVATE_H
#define GMEM_CTX_PRIVATE_H

#include <gmem/ctx.h>
#include <stdatomic.h>
#include <stdbool.h>

struct gmem_ctx {
	atomic_uint references;
	uint32_t level;
	bool to_stderr; /* GMEM_LOG decides; else log does, and NULL is silence */
	gmem_log_fn log;
	void *log_opaque;
	gmem_free_fn log_free;
	struct gmem_kernel kernel;
};

/* A reference to ctx, or a new default context where it is NULL; NULL when out of memory. */
struct gmem_ctx *gmem_ctx_get(struct gmem_ctx *ctx);
void gmem_ctx_put(struct gmem_ctx *ctx);

#endif /* GMEM_CTX_PRIVATE_H */
