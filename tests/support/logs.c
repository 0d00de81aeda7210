// SPDX-License-Identifier: LGPL-2.1-or-later
/* Messages of a context, collected to be judged. */
#include "logs.h"
#include "faults.h"
#include "support.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
	uint32_t level;
	char *text;
};

struct logs {
	pthread_mutex_t mutex;
	struct message *messages;
	size_t count;
	size_t room;
};

struct logs *logs_new(void)
{
	struct logs *logs = support_new(sizeof(*logs));

	pthread_mutex_init(&logs->mutex, NULL);
	return logs;
}

static void forget(struct logs *logs)
{
	while (logs->count > 0)
		free(logs->messages[--logs->count].text);
}

void logs_free(struct logs *logs)
{
	if (!logs)
		return;
	forget(logs);
	free(logs->messages);
	pthread_mutex_destroy(&logs->mutex);
	free(logs);
}

void logs_collect(uint32_t level, const char *text, void *opaque)
{
	size_t size = strlen(text) + 1;
	char *copy = support_new(size);
	struct logs *logs = opaque;

	memcpy(copy, text, size);
	pthread_mutex_lock(&logs->mutex);
	logs->messages =
		support_grow(logs->messages, logs->count, &logs->room, sizeof(logs->messages[0]));
	logs->messages[logs->count++] = (struct message){ level, copy };
	pthread_mutex_unlock(&logs->mutex);
}

struct gmem_ctx *logs_new_ctx(struct logs *logs, const struct gmem_kernel *kernel)
{
	struct gmem_ctx *ctx;

	assert_int_equal(gmem_ctx_new(&ctx), 0);
	gmem_ctx_set_log(ctx, GMEM_LOG_DEBUG, logs_collect, logs, NULL);
	gmem_ctx_set_kernel(ctx, kernel);
	return ctx;
}

size_t logs_count(struct logs *logs)
{
	size_t count;

	pthread_mutex_lock(&logs->mutex);
	count = logs->count;
	pthread_mutex_unlock(&logs->mutex);
	return count;
}

uint32_t logs_get(struct logs *logs, size_t index, char *text, size_t size)
{
	uint32_t level = GMEM_LOG_NONE;

	pthread_mutex_lock(&logs->mutex);
	if (index < logs->count) {
		level = logs->messages[index].level;
		snprintf(text, size, "%s", logs->messages[index].text);
	}
	pthread_mutex_unlock(&logs->mutex);
	return level;
}

void logs_reset(struct logs *logs)
{
	pthread_mutex_lock(&logs->mutex);
	forget(logs);
	pthread_mutex_unlock(&logs->mutex);
}

static bool judge_message(const struct message *message, uint32_t level,
			  const char *const *substrings, char *why, size_t size)
{
	if (message->level != level) {
		snprintf(why, size, "level %u instead of %u: %s", message->level, level,
			 message->text);
		return false;
	}
	if (!message->text[0] || strchr(message->text, '\n')) {
		snprintf(why, size, "not one line: \"%s\"", message->text);
		return false;
	}
	for (; *substrings; substrings++) {
		if (!strstr(message->text, *substrings)) {
			snprintf(why, size, "no \"%s\" in: %s", *substrings, message->text);
			return false;
		}
	}
	return true;
}

static bool judge(const struct logs *logs, uint32_t level, const char *const *substrings, char *why,
		  size_t size)
{
	size_t wanted = level != GMEM_LOG_NONE;

	if (logs->count != wanted) {
		snprintf(why, size, "%zu messages instead of %zu%s%s", logs->count, wanted,
			 logs->count ? ", the last: " : "",
			 logs->count ? logs->messages[logs->count - 1].text : "");
		return false;
	}
	return !wanted || judge_message(&logs->messages[0], level, substrings, why, size);
}

bool logs_check(struct logs *logs, uint32_t level, const char *const *substrings, char *why,
		size_t size)
{
	bool right;

	pthread_mutex_lock(&logs->mutex);
	right = judge(logs, level, substrings, why, size);
	forget(logs);
	pthread_mutex_unlock(&logs->mutex);
	return right;
}

void logs_expect(struct logs *logs, uint32_t level, const char *const *substrings, const char *file,
		 int line)
{
	char why[1024];

	if (logs_check(logs, level, substrings, why, sizeof(why)))
		return;
	print_error("log: %s\n", why);
	_fail(file, line);
}
