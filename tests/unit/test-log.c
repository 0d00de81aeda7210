// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of messages: who hears them, which, and how long they are. That GMEM_LOG is not looked at
 * in set-uid programs cannot be tested from here: it takes a file with such a bit, and root.
 */
#include "ctx.h"
#include "log.h"
#include "stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A door that keeps what is written, and knows nothing else. */
struct writer {
	struct gmem_kernel kernel;
	char text[4096];
	size_t length;
	unsigned int writes;
	int fd;
	int64_t result; /* other than 0: of the write */
};

static int64_t writer_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct writer *writer = opaque;

	if (nr != GMEM_SYS_WRITE)
		return -ENOSYS;
	writer->writes++;
	writer->fd = (int)arg[0];
	assert_true(writer->length + arg[2] < sizeof(writer->text));
	memcpy(writer->text + writer->length, (const void *)(uintptr_t)arg[1], arg[2]);
	writer->length += arg[2];
	return writer->result ? writer->result : (int64_t)arg[2];
}

static void writer_open(struct writer *writer)
{
	memset(writer, 0, sizeof(*writer));
	writer->kernel = (struct gmem_kernel){ writer_call, writer };
}

/* A context that was made under GMEM_LOG=level. */
static struct gmem_ctx *ctx_under(const char *level, const struct gmem_kernel *kernel)
{
	struct gmem_ctx *ctx;

	if (level)
		setenv("GMEM_LOG", level, 1);
	else
		unsetenv("GMEM_LOG");
	assert_int_equal(gmem_ctx_new(&ctx), 0);
	gmem_ctx_set_kernel(ctx, kernel);
	unsetenv("GMEM_LOG");
	return ctx;
}

static void send_all_levels(struct gmem_ctx *ctx)
{
	log_error(ctx, "one %d", 1);
	log_warning(ctx, "two %d", 2);
	log_info(ctx, "three %d", 3);
	log_debug(ctx, "four %d", 4);
}

static const char *const lines[] = {
	"",
	"libgmem: error: one 1\n",
	"libgmem: warning: two 2\n",
	"libgmem: info: three 3\n",
	"libgmem: debug: four 4\n",
};

static void expected_lines(char *text, size_t size, unsigned int level)
{
	unsigned int i;

	text[0] = '\0';
	for (i = 1; i <= level; i++)
		strncat(text, lines[i], size - strlen(text) - 1);
}

struct environment {
	const char *name;
	const char *value;
	unsigned int level;
};

static const struct environment environments[] = {
	{ "GMEM_LOG_unset_is_silence", NULL, GMEM_LOG_NONE },
	{ "GMEM_LOG_empty_is_silence", "", GMEM_LOG_NONE },
	{ "GMEM_LOG_none_is_silence", "none", GMEM_LOG_NONE },
	{ "GMEM_LOG_unknown_is_silence", "verbose", GMEM_LOG_NONE },
	{ "GMEM_LOG_prefix_is_silence", "err", GMEM_LOG_NONE },
	{ "GMEM_LOG_number_is_silence", "4", GMEM_LOG_NONE },
	{ "GMEM_LOG_longer_is_silence", "errors", GMEM_LOG_NONE },
	{ "GMEM_LOG_upper_case", "ERROR", GMEM_LOG_ERROR },
	{ "GMEM_LOG_mixed_case", "Debug", GMEM_LOG_DEBUG },
	{ "GMEM_LOG_error", "error", GMEM_LOG_ERROR },
	{ "GMEM_LOG_warning", "warning", GMEM_LOG_WARNING },
	{ "GMEM_LOG_info", "info", GMEM_LOG_INFO },
	{ "GMEM_LOG_debug", "debug", GMEM_LOG_DEBUG },
};

static void environment_decides(void **state)
{
	const struct environment *environment = *state;
	struct gmem_ctx *ctx;
	struct writer writer;
	char expected[256];

	writer_open(&writer);
	ctx = ctx_under(environment->value, &writer.kernel);
	send_all_levels(ctx);
	expected_lines(expected, sizeof(expected), environment->level);
	assert_string_equal(writer.text, expected);
	/* Each line in one call. */
	assert_int_equal(writer.writes, environment->level);
	if (writer.writes)
		assert_int_equal(writer.fd, STDERR_FILENO);
	gmem_ctx_free(ctx);
}

static void environment_decides_without_context(void **state)
{
	const struct environment *environment = *state;
	char expected[256], text[256];
	struct capture capture;

	capture_begin(&capture, environment->value);
	send_all_levels(NULL);
	capture_end(&capture, text, sizeof(text));
	expected_lines(expected, sizeof(expected), environment->level);
	assert_string_equal(text, expected);
}

static void environment_is_read_when_the_context_is_made(void **state)
{
	struct gmem_ctx *ctx;
	struct writer writer;

	(void)state;
	writer_open(&writer);
	ctx = ctx_under("error", &writer.kernel);
	setenv("GMEM_LOG", "debug", 1);
	send_all_levels(ctx);
	unsetenv("GMEM_LOG");
	assert_string_equal(writer.text, lines[GMEM_LOG_ERROR]);
	gmem_ctx_free(ctx);
}

static void failing_write_is_of_no_consequence(void **state)
{
	struct gmem_ctx *ctx;
	struct writer writer;

	(void)state;
	writer_open(&writer);
	writer.result = -EBADF;
	ctx = ctx_under("error", &writer.kernel);
	log_error(ctx, "lost");
	assert_int_equal(writer.writes, 1);
	gmem_ctx_free(ctx);
}

static void callback_gets_its_levels(void **state)
{
	uint32_t level, i;
	char text[64];

	(void)state;
	for (level = GMEM_LOG_NONE; level <= GMEM_LOG_DEBUG + 1; level++) {
		struct logs *logs = logs_new();
		size_t expected = level > GMEM_LOG_DEBUG ? GMEM_LOG_DEBUG : level;
		struct gmem_ctx *ctx = logs_new_ctx(logs, NULL);

		gmem_ctx_set_log(ctx, level, logs_collect, logs, NULL);
		send_all_levels(ctx);
		assert_int_equal(logs_count(logs), expected);
		for (i = 0; i < expected; i++)
			assert_int_equal(logs_get(logs, i, text, sizeof(text)), i + 1);
		gmem_ctx_free(ctx);
		logs_free(logs);
	}
}

static void callback_overrides_the_environment(void **state)
{
	struct logs *logs = logs_new();
	struct gmem_ctx *ctx;
	struct writer writer;

	(void)state;
	writer_open(&writer);
	ctx = ctx_under("debug", &writer.kernel);
	gmem_ctx_set_log(ctx, GMEM_LOG_ERROR, logs_collect, logs, NULL);
	send_all_levels(ctx);
	expect_one_message(logs, GMEM_LOG_ERROR, "one 1");
	assert_int_equal(writer.writes, 0);
	/* And no function is silence, not the environment again. */
	gmem_ctx_set_log(ctx, GMEM_LOG_DEBUG, NULL, NULL, NULL);
	send_all_levels(ctx);
	expect_no_message(logs);
	assert_int_equal(writer.writes, 0);
	gmem_ctx_free(ctx);
	logs_free(logs);
}

static void long_message_is_cut(void **state)
{
	char letters[LOG_LENGTH + 100], text[LOG_LENGTH + 100];
	struct logs *logs = logs_new();
	struct gmem_ctx *ctx = logs_new_ctx(logs, NULL);
	size_t length;

	(void)state;
	for (length = LOG_LENGTH - 3; length < LOG_LENGTH + 3; length++) {
		size_t expected = length < LOG_LENGTH ? length : LOG_LENGTH - 1;

		memset(letters, 'x', sizeof(letters));
		letters[length] = '\0';
		letters[length - 1] = 'z';
		log_error(ctx, "%s", letters);
		assert_int_equal(logs_get(logs, 0, text, sizeof(text)), GMEM_LOG_ERROR);
		assert_int_equal(strlen(text), expected);
		assert_int_equal(text[expected - 1], length < LOG_LENGTH ? 'z' : 'x');
		logs_reset(logs);
	}
	gmem_ctx_free(ctx);
	logs_free(logs);
}

static void long_message_is_cut_on_stderr(void **state)
{
	char letters[2 * LOG_LENGTH];
	struct gmem_ctx *ctx;
	struct writer writer;

	(void)state;
	writer_open(&writer);
	memset(letters, 'x', sizeof(letters));
	letters[sizeof(letters) - 1] = '\0';
	ctx = ctx_under("warning", &writer.kernel);
	log_warning(ctx, "%s", letters);
	assert_int_equal(writer.length, strlen("libgmem: warning: ") + LOG_LENGTH - 1 + 1);
	assert_int_equal(writer.text[writer.length - 1], '\n');
	assert_int_equal(writer.writes, 1);
	gmem_ctx_free(ctx);
}

static void error_names_are_right(void **state)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ E2BIG, "E2BIG" },         { EACCES, "EACCES" },
		{ EAGAIN, "EAGAIN" },       { EBADF, "EBADF" },
		{ EBUSY, "EBUSY" },         { EDEADLK, "EDEADLK" },
		{ EEXIST, "EEXIST" },       { EFAULT, "EFAULT" },
		{ EFBIG, "EFBIG" },         { EINTR, "EINTR" },
		{ EINVAL, "EINVAL" },       { EIO, "EIO" },
		{ EMFILE, "EMFILE" },       { ENFILE, "ENFILE" },
		{ ENODEV, "ENODEV" },       { ENOENT, "ENOENT" },
		{ ENOMEM, "ENOMEM" },       { ENOSPC, "ENOSPC" },
		{ ENOSYS, "ENOSYS" },       { ENOTTY, "ENOTTY" },
		{ ENXIO, "ENXIO" },         { EPERM, "EPERM" },
		{ ETXTBSY, "ETXTBSY" },     { EHWPOISON, "EHWPOISON" },
		{ EOVERFLOW, "EOVERFLOW" }, { EOPNOTSUPP, "EOPNOTSUPP" },
		{ ECANCELED, "ECANCELED" }, { EXDEV, "EXDEV" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(gmem_error_name(names[i].error), names[i].name);
		assert_string_equal(gmem_error_name(-names[i].error), names[i].name);
	}
	assert_string_equal(gmem_error_name(-EXFULL), "an error without a name here");
	assert_string_equal(gmem_error_name(0), "an error without a name here");
}

int main(void)
{
	static struct cases cases;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(environments); i++)
		cases_add(&cases, environments[i].name, environment_decides,
			  (void *)&environments[i]);
	for (i = 0; i < ARRAY_SIZE(environments); i++)
		cases_add(&cases, environments[i].name, environment_decides_without_context,
			  (void *)&environments[i]);
#define ADD(function) cases_add(&cases, #function, function, NULL)
	ADD(environment_is_read_when_the_context_is_made);
	ADD(failing_write_is_of_no_consequence);
	ADD(callback_gets_its_levels);
	ADD(callback_overrides_the_environment);
	ADD(long_message_is_cut);
	ADD(long_message_is_cut_on_stderr);
	ADD(error_names_are_right);
	return cases_run(&cases, "log");
}
