// SPDX-License-Identifier: LGPL-2.1-or-later
/* Contexts: where messages go, and which kernel is talked to. */
#include "ctx.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>

static struct gmem_ctx *ctx_create(void)
{
	struct gmem_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	atomic_init(&ctx->references, 1);
	ctx->level = gmem_log_level_of_environment();
	ctx->to_stderr = true;
	gmem_kernel_get_host(&ctx->kernel);
	return ctx;
}

struct gmem_ctx *gmem_ctx_get(struct gmem_ctx *ctx)
{
	if (!ctx)
		return ctx_create();
	atomic_fetch_add_explicit(&ctx->references, 1, memory_order_relaxed);
	return ctx;
}

void gmem_ctx_put(struct gmem_ctx *ctx)
{
	if (atomic_fetch_sub_explicit(&ctx->references, 1, memory_order_acq_rel) != 1)
		return;
	if (ctx->log_free)
		ctx->log_free(ctx->log_opaque);
	free(ctx);
}

int gmem_ctx_new(struct gmem_ctx **ctx)
{
	if (!ctx) {
		log_error(NULL, "gmem_ctx_new: ctx is NULL, it must be an address");
		return -EINVAL;
	}
	*ctx = ctx_create();
	if (!*ctx) {
		log_error(NULL, "gmem_ctx_new: no memory for a context of %zu bytes",
			  sizeof(**ctx));
		return -ENOMEM;
	}
	return 0;
}

void gmem_ctx_free(struct gmem_ctx *ctx)
{
	if (ctx)
		gmem_ctx_put(ctx);
}

void gmem_ctx_set_log(struct gmem_ctx *ctx, uint32_t level, gmem_log_fn fn, void *opaque,
		      gmem_free_fn free_fn)
{
	gmem_free_fn old_free;
	void *old_opaque;

	if (!ctx) {
		if (free_fn)
			free_fn(opaque);
		return;
	}
	old_free = ctx->log_free;
	old_opaque = ctx->log_opaque;
	ctx->to_stderr = false;
	ctx->level = level;
	ctx->log = fn;
	ctx->log_opaque = opaque;
	ctx->log_free = free_fn;
	if (old_free)
		old_free(old_opaque);
}

void gmem_ctx_set_kernel(struct gmem_ctx *ctx, const struct gmem_kernel *kernel)
{
	if (!ctx)
		return;
	if (kernel)
		ctx->kernel = *kernel;
	else
		gmem_kernel_get_host(&ctx->kernel);
}
