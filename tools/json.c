// SPDX-License-Identifier: LGPL-2.1-or-later
/* JSON, written as it comes. */
#include "json.h"

#include <inttypes.h>
#include <string.h>

/*
 * The length of the well-formed UTF-8 sequence at text, 0 where there is none: what comes from
 * files and names may be anything, and JSON may not.
 */
static size_t utf8_length(const unsigned char *text)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	uint32_t code;
	size_t i;

	if (length == 1)
		return 1;
	if (text[0] < 0xc0 || text[0] > 0xf7)
		return 0;
	code = text[0] & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return length;
}

static void write_string(FILE *out, const char *text)
{
	const unsigned char *next = (const unsigned char *)text;
	size_t length;

	fputc('"', out);
	while (*next) {
		length = utf8_length(next);
		if (length == 0)
			fputs("\\ufffd", out);
		else if (*next == '"' || *next == '\\')
			fprintf(out, "\\%c", *next);
		else if (*next < 0x20 || *next == 0x7f)
			fprintf(out, "\\u%04x", *next);
		else
			fwrite(next, 1, length, out);
		next += length ? length : 1;
	}
	fputc('"', out);
}

static void member(struct json *json, const char *key)
{
	uint32_t i;

	if (json->has_member[json->depth])
		fputc(',', json->out);
	if (json->depth > 0)
		fputc('\n', json->out);
	json->has_member[json->depth] = true;
	for (i = 0; i < json->depth; i++)
		fputs("  ", json->out);
	if (key) {
		write_string(json->out, key);
		fputs(": ", json->out);
	}
}

void json_begin(struct json *json, const char *key, char bracket)
{
	member(json, key);
	fputc(bracket, json->out);
	json->depth++;
	json->has_member[json->depth] = false;
}

void json_end(struct json *json, char bracket)
{
	uint32_t i;

	json->depth--;
	if (json->has_member[json->depth + 1]) {
		fputc('\n', json->out);
		for (i = 0; i < json->depth; i++)
			fputs("  ", json->out);
	}
	fputc(bracket, json->out);
}

void json_null(struct json *json, const char *key)
{
	member(json, key);
	fputs("null", json->out);
}

void json_bool(struct json *json, const char *key, bool value)
{
	member(json, key);
	fputs(value ? "true" : "false", json->out);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
	member(json, key);
	fprintf(json->out, "%" PRIu64, value);
}

void json_string(struct json *json, const char *key, const char *value)
{
	member(json, key);
	write_string(json->out, value);
}

void json_word(struct json *json, const char *key, const char *value)
{
	if (value[0])
		json_string(json, key, value);
	else
		json_null(json, key);
}

void json_error(struct json *json, const char *key, int error)
{
	json_word(json, key, error ? strerror(error) : "");
}
