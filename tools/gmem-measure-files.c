// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files, texts and messages of gmem-measure. */
#include "gmem-measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As long as libgmem's messages are. */
#define MESSAGE 512

static char message[MESSAGE];

void complain(const char *format, ...)
{
	va_list arguments;

	fputs("gmem-measure: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void keep_message(uint32_t level, const char *text, void *opaque)
{
	(void)level;
	(void)opaque;
	snprintf(message, sizeof(message), "%s", text);
}

struct gmem_ctx *context_new(void)
{
	struct gmem_ctx *ctx;

	if (gmem_ctx_new(&ctx)) {
		complain("no memory");
		return NULL;
	}
	gmem_ctx_set_log(ctx, GMEM_LOG_ERROR, keep_message, NULL, NULL);
	return ctx;
}

void context_free(struct gmem_ctx *ctx)
{
	gmem_ctx_free(ctx);
}

const char *last_message(void)
{
	const char *end = strstr(message, ": ");

	return !strncmp(message, "gmem_", 5) && end ? end + 2 : message;
}

enum exit_code report_failure(const char *what, int error)
{
	complain("%s%s%s", what ? what : "", what ? ": " : "",
		 message[0] ? last_message() : strerror(-error));
	return error == -ENOMEM || error == -EOPNOTSUPP || error == -EIO ? EXIT_UNEXPECTED
									 : EXIT_INPUT;
}

/* So much at first; what is secret is never larger, and so never moved. */
#define ROOM_AT_FIRST (GMEM_SNP_KEY_FILE_SIZE + 1)

/* By read(2) alone: what stdio would have in between cannot be wiped. */
static bool read_all(int fd, const char *path, size_t most, size_t room, struct bytes *bytes)
{
	uint8_t *moved;
	ssize_t count;

	for (;;) {
		if (bytes->size == room) {
			room *= 2;
			moved = realloc(bytes->data, room);
			if (!moved) {
				complain("%s: no memory", path);
				return false;
			}
			bytes->data = moved;
		}
		count = read(fd, bytes->data + bytes->size, room - bytes->size);
		if (count == 0)
			return true;
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {
			complain("%s: %s", path, strerror(errno));
			return false;
		}
		bytes->size += (size_t)count;
		if (bytes->size > most) {
			complain("%s has more than %zu bytes", path, most);
			return false;
		}
	}
}

/* Of a file that says how large it is, that is enough. */
static size_t room_for(int fd)
{
	struct stat status;

	if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size < ROOM_AT_FIRST)
		return ROOM_AT_FIRST;
	return (size_t)status.st_size + 1;
}

bool file_read(const char *path, size_t most, struct bytes *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room;
	bool good;

	*bytes = (struct bytes){ NULL, 0 };
	if (fd < 0) {
		complain("%s: %s", path, strerror(errno));
		return false;
	}
	room = room_for(fd);
	/* Somebody's disk, by mistake. */
	if (room > most + ROOM_AT_FIRST)
		room = most + ROOM_AT_FIRST;
	bytes->data = malloc(room);
	if (!bytes->data)
		complain("%s: no memory", path);
	good = bytes->data && read_all(fd, path, most, room, bytes);
	close(fd);
	if (!good)
		bytes_wipe(bytes);
	return good;
}

void bytes_free(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){ NULL, 0 };
}

void bytes_wipe(struct bytes *bytes)
{
	if (bytes->data)
		explicit_bzero(bytes->data, bytes->size);
	bytes_free(bytes);
}

bool file_write(const char *path, const void *data, size_t size)
{
	FILE *file = fopen(path, "we");
	bool good;

	good = file && fwrite(data, 1, size, file) == size;
	if (file && fclose(file) != 0)
		good = false;
	if (!good)
		complain("%s: cannot be written: %s", path, strerror(errno));
	return good;
}

static int base64_value(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Of nothing secret. False where it is no base64, or of another size. */
static bool base64_parse(const struct bytes *text, uint8_t *data, size_t size)
{
	size_t digits = 0, padding = 0, written = 0, i;
	uint32_t bits = 0;
	int value;

	for (i = 0; i < text->size; i++) {
		char c = (char)text->data[i];

		if (strchr(" \t\r\n", c) && c)
			continue;
		value = base64_value(c);
		if (c == '=')
			padding++;
		if ((value < 0 && c != '=') || (c != '=' && padding))
			return false;
		bits = bits << 6 | (c == '=' ? 0 : (uint32_t)value);
		if (++digits % 4 != 0)
			continue;
		for (int shift = 16; shift >= (int)(8 * padding); shift -= 8) {
			if (written == size)
				return false;
			data[written++] = (uint8_t)(bits >> shift);
		}
	}
	return digits % 4 == 0 && padding <= 2 && written == size;
}

bool file_read_exactly(const char *path, const char *what, void *data, size_t size)
{
	struct bytes bytes;
	bool good = true;

	if (!file_read(path, 4 * size + 64, &bytes))
		return false;
	if (bytes.size == size) {
		memcpy(data, bytes.data, size);
	} else if (!base64_parse(&bytes, data, size)) {
		complain("%s: not %s: it has %zu bytes; it must have %zu, or these in base64", path,
			 what, bytes.size, size);
		good = false;
	}
	bytes_free(&bytes);
	return good;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_parse(const char *text, uint8_t *bytes, size_t size)
{
	size_t digits = 0;
	int value;

	for (; *text; text++) {
		if (*text == '-')
			continue;
		value = hex_value(*text);
		if (value < 0 || digits == 2 * size)
			return false;
		bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 | value);
		digits++;
	}
	return digits == 2 * size;
}

void hex_format(const uint8_t *bytes, size_t size, char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < size; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * size] = '\0';
}

void base64_format(const uint8_t *bytes, size_t size, char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	uint32_t bits;
	size_t i, j;

	for (i = 0; i < size; i += 3) {
		bits = 0;
		for (j = 0; j < 3; j++)
			bits = bits << 8 | (i + j < size ? bytes[i + j] : 0u);
		for (j = 0; j < 4; j++)
			*text++ = digits[i + j <= size ? bits >> (18 - 6 * j) & 63 : 64];
	}
	*text = '\0';
}

void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t size)
{
	char text[DIGEST_TEXT];

	hex_format(bytes, size, text);
	json_string(json, key, text);
}
