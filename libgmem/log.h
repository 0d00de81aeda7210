/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages. A failure that returns an error sends exactly one, where it is found: the object, the
 * value, and what would be right.
 */
#ifndef GMEM_LOG_PRIVATE_H
#define GMEM_LOG_PRIVATE_H

#include <gmem/ctx.h>
#include <stdbool.h>

#define LOG_LENGTH 512u

struct gmem_ctx;

/*
 * Formats and sends one message; longer ones than LOG_LENGTH are cut. ctx may be NULL: then the
 * environment decides, and the host's kernel writes. Level first, so that callers which are not
 * heard pay nothing for the formatting.
 */
void gmem_log_message(struct gmem_ctx *ctx, uint32_t level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Whether a message of a level would reach anybody. */
bool gmem_log_is_heard(const struct gmem_ctx *ctx, uint32_t level);

#define log_error(ctx, ...) gmem_log_message(ctx, GMEM_LOG_ERROR, __VA_ARGS__)
#define log_warning(ctx, ...) gmem_log_message(ctx, GMEM_LOG_WARNING, __VA_ARGS__)
#define log_info(ctx, ...) gmem_log_message(ctx, GMEM_LOG_INFO, __VA_ARGS__)
/* For what a guest can cause. */
#define log_debug(ctx, ...) gmem_log_message(ctx, GMEM_LOG_DEBUG, __VA_ARGS__)

/* The level that GMEM_LOG asks for. */
uint32_t gmem_log_level_of_environment(void);

/* The name of an errno ("EINVAL"), for messages; a negative one will do too. */
const char *gmem_error_name(int error);

#endif /* GMEM_LOG_PRIVATE_H */
