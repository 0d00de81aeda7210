/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/ctx.h
 * @brief Where messages go, and which kernel is talked to.
 *
 * Every object is made in a context. NULL stands for the default one: the host's kernel, and
 * silence (or stderr, when the environment has GMEM_LOG=error, warning, info or debug, in any case
 * of letters; another value is silence too, and it is not looked at in programs that run with
 * privileges of their file).
 */
#ifndef GMEM_CTX_H
#define GMEM_CTX_H

#include <gmem/base.h>
#include <gmem/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gmem_ctx;

/** @name Levels of messages
 * @{ */
#define GMEM_LOG_NONE 0u
#define GMEM_LOG_ERROR 1u
#define GMEM_LOG_WARNING 2u
#define GMEM_LOG_INFO 3u
#define GMEM_LOG_DEBUG 4u
/** @} */

/**
 * @brief Takes one message: a line of UTF-8 without newline, valid during the call. Runs on the
 * thread that is in libgmem, perhaps with its locks held: it must not call libgmem. It never sees
 * guest contents or secrets.
 */
typedef void (*gmem_log_fn)(uint32_t level, const char *text, void *opaque);

/**
 * @brief Makes a context with the defaults.
 *
 * @param[out] ctx  owned by the caller: gmem_ctx_free(); NULL on failure
 * @return 0; -EINVAL (ctx is NULL), -ENOMEM. Threads: any. Since: 0.1
 */
GMEM_API int gmem_ctx_new(struct gmem_ctx **ctx);

/**
 * @brief Gives the context back.
 *
 * Objects made in it go on with its log and its kernel; the free function of the log's opaque
 * pointer runs when the last of them is gone.
 *
 * @param ctx  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_ctx_free(struct gmem_ctx *ctx);

/**
 * @brief Sends messages up to and including a level to a function.
 *
 * @param ctx      NULL: nothing happens, but opaque is freed
 * @param level    GMEM_LOG_*; overrides the environment
 * @param fn       NULL for silence
 * @param opaque   for fn
 * @param free_fn  for opaque, may be NULL
 *
 * Threads: one, and no object of this context may be in use. Since: 0.1
 */
GMEM_API void gmem_ctx_set_log(struct gmem_ctx *ctx, uint32_t level, gmem_log_fn fn, void *opaque,
			       gmem_free_fn free_fn);

/**
 * @brief Chooses the kernel for VMs made from now on.
 *
 * @param ctx     NULL is ignored
 * @param kernel  copied; NULL for the host's
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_ctx_set_kernel(struct gmem_ctx *ctx, const struct gmem_kernel *kernel);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_CTX_H */
