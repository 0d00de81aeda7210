/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A context whose messages are collected, to assert that each failure sent the one it owes.
 */
#ifndef TESTS_SUPPORT_LOGS_H
#define TESTS_SUPPORT_LOGS_H

#include <gmem/ctx.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logs;

/* Collects messages of all levels up to debug. */
struct logs *logs_new(void);
void logs_free(struct logs *logs);
/* A gmem_log_fn; opaque is a struct logs. */
void logs_collect(uint32_t level, const char *text, void *opaque);
/*
 * A new context that sends all levels to logs and talks to kernel (NULL: the host's). The
 * caller's: gmem_ctx_free(). logs must outlive every object made in it.
 */
struct gmem_ctx *logs_new_ctx(struct logs *logs, const struct gmem_kernel *kernel);

/* Messages since the last check or reset. */
size_t logs_count(struct logs *logs);
/* Copies message index of these, cut to size; its level, or GMEM_LOG_NONE past the end. */
uint32_t logs_get(struct logs *logs, size_t index, char *text, size_t size);
void logs_reset(struct logs *logs);

/*
 * True when exactly one message came since the last check, of this level, a single line without
 * newline that contains all of the NULL-terminated substrings; level GMEM_LOG_NONE and no
 * substrings: when none came. Else says why not. Forgets the messages in any case.
 */
bool logs_check(struct logs *logs, uint32_t level, const char *const *substrings, char *why,
		size_t size);

/*
 * Fail the cmocka test unless so:
 *   expect_one_message(logs, GMEM_LOG_ERROR, "region \"ram0\"", "0x1001");
 */
#define expect_one_message(logs, level, ...)                                                       \
	logs_expect(logs, level, (const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)
#define expect_no_message(logs)                                                                    \
	logs_expect(logs, GMEM_LOG_NONE, (const char *const[]){ NULL }, __FILE__, __LINE__)
void logs_expect(struct logs *logs, uint32_t level, const char *const *substrings, const char *file,
		 int line);

#endif /* TESTS_SUPPORT_LOGS_H */
