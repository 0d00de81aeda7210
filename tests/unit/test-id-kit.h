/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests of keys and ID blocks share: a directory to work in, and openssl as a second opinion. */
#ifndef TESTS_UNIT_TEST_ID_KIT_H
#define TESTS_UNIT_TEST_ID_KIT_H

#include <gmem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "faults.h"
#include "logs.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* A file as read. */
struct file {
	uint8_t *bytes;
	size_t size;
};

struct kit {
	struct logs *logs;
	struct gmem_ctx *ctx;
	char directory[64];
};

/* cmocka's setup and teardown of a group: a fresh directory, gone at the end. */
int kit_open(void **state);
int kit_close(void **state);

/* Skips the test where there is no openssl. */
void kit_need_openssl(void);
/* Runs a shell command in the kit's directory; fails the test where it does not succeed. */
void kit_run(struct kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct file kit_read(struct kit *kit, const char *name);
void kit_write(struct kit *kit, const char *name, const void *bytes, size_t size);
void file_free(struct file *file);

/* A key that openssl made, in the file NAME.pem (and its public part in NAME.pub). */
struct gmem_snp_key *kit_new_key(struct kit *kit, const char *name);
/* The public point as openssl gives it. */
void kit_public(struct kit *kit, const char *name, uint8_t point[96]);

void kit_hex(const char *text, uint8_t *bytes, size_t size);

/* Tests that do something for every byte do it for every nth under valgrind. */
size_t kit_stride(size_t under_valgrind);

#endif /* TESTS_UNIT_TEST_ID_KIT_H */
