// SPDX-License-Identifier: LGPL-2.1-or-later
/* Formats messages and hands them to the context's log, or writes them to stderr. */
#include "log.h"

#include "ctx.h"
#include "kernel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {
	[GMEM_LOG_NONE] = "none", [GMEM_LOG_ERROR] = "error", [GMEM_LOG_WARNING] = "warning",
	[GMEM_LOG_INFO] = "info", [GMEM_LOG_DEBUG] = "debug",
};

/* In any case of its ASCII letters, and whatever the locale. */
static bool is_name(const char *text, const char *name)
{
	for (; *name; text++, name++) {
		if ((*text | ('a' ^ 'A')) != *name)
			return false;
	}
	return !*text;
}

uint32_t gmem_log_level_of_environment(void)
{
	const char *wanted = secure_getenv("GMEM_LOG");
	uint32_t level;

	for (level = GMEM_LOG_ERROR; wanted && level <= GMEM_LOG_DEBUG; level++) {
		if (is_name(wanted, level_names[level]))
			return level;
	}
	return GMEM_LOG_NONE;
}

static void write_to_stderr(const struct gmem_kernel *kernel, uint32_t level, const char *text)
{
	char line[LOG_LENGTH + 32];
	int length = snprintf(line, sizeof(line), "libgmem: %s: %s\n", level_names[level], text);

	/* One write, so that lines of several threads do not mix; nobody to tell if it fails. */
	(void)gmem_kernel_write(kernel, STDERR_FILENO, line, (uint64_t)length);
}

bool gmem_log_is_heard(const struct gmem_ctx *ctx, uint32_t level)
{
	uint32_t wanted = ctx ? ctx->level : gmem_log_level_of_environment();

	return level <= wanted && (!ctx || ctx->to_stderr || ctx->log);
}

void gmem_log_message(struct gmem_ctx *ctx, uint32_t level, const char *format, ...)
{
	char text[LOG_LENGTH];
	va_list arguments;

	if (!gmem_log_is_heard(ctx, level))
		return;
	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (ctx && !ctx->to_stderr) {
		ctx->log(level, text, ctx->log_opaque);
	} else if (ctx) {
		write_to_stderr(&ctx->kernel, level, text);
	} else {
		struct gmem_kernel host;

		gmem_kernel_get_host(&host);
		write_to_stderr(&host, level, text);
	}
}

#define NAME(error)                                                                                \
	case error:                                                                                \
		return #error

/* The C library's strerrorname_np() is not everywhere. These are what the calls of libgmem give. */
const char *gmem_error_name(int error)
{
	switch (error < 0 ? -error : error) {
		NAME(E2BIG);
		NAME(EACCES);
		NAME(EAGAIN);
		NAME(EBADF);
		NAME(EBADMSG);
		NAME(EBUSY);
		NAME(ECANCELED);
		NAME(EDEADLK);
		NAME(EEXIST);
		NAME(EFAULT);
		NAME(EFBIG);
		NAME(EHWPOISON);
		NAME(EINTR);
		NAME(EINVAL);
		NAME(EIO);
		NAME(EMFILE);
		NAME(ENFILE);
		NAME(ENODEV);
		NAME(ENOENT);
		NAME(ENOMEM);
		NAME(ENOSPC);
		NAME(ENOSYS);
		NAME(ENOTTY);
		NAME(ENXIO);
		NAME(EOPNOTSUPP);
		NAME(EOVERFLOW);
		NAME(EPERM);
		NAME(ETXTBSY);
		NAME(EXDEV);
	default:
		return "an error without a name here";
	}
}
