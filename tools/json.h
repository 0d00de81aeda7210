/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A writer of JSON that knows where commas go. Keys are NULL inside an array. */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH 8

struct json {
	FILE *out;
	uint32_t depth;
	bool has_member[JSON_DEPTH];
};

/* An object ('{', '}') or an array ('[', ']'). */
void json_begin(struct json *json, const char *key, char bracket);
void json_end(struct json *json, char bracket);
void json_null(struct json *json, const char *key);
void json_bool(struct json *json, const char *key, bool value);
void json_number(struct json *json, const char *key, uint64_t value);
/* Whatever is no UTF-8 becomes U+FFFD. */
void json_string(struct json *json, const char *key, const char *value);
/* The same, and null for "". */
void json_word(struct json *json, const char *key, const char *value);
/* The system's text for an errno, null for 0. */
void json_error(struct json *json, const char *key, int error);

#endif /* TOOLS_JSON_H */
