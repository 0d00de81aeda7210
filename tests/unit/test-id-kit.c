// SPDX-License-Identifier: LGPL-2.1-or-later
/* A directory, and openssl in it. */
#include "test-id-kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int kit_open(void **state)
{
	struct kit *kit = calloc(1, sizeof(*kit));
	const char *temporary = getenv("TMPDIR");

	assert_non_null(kit);
	assert_true(snprintf(kit->directory, sizeof(kit->directory), "%s/gmem-test.XXXXXX",
			     temporary ? temporary : "/tmp") < (int)sizeof(kit->directory));
	assert_non_null(mkdtemp(kit->directory));
	kit->logs = logs_new();
	kit->ctx = logs_new_ctx(kit->logs, NULL);
	*state = kit;
	return 0;
}

int kit_close(void **state)
{
	struct kit *kit = *state;

	kit_run(kit, "rm -f ./* && rmdir \"$PWD\"");
	gmem_ctx_free(kit->ctx);
	logs_free(kit->logs);
	free(kit);
	return 0;
}

void kit_need_openssl(void)
{
	int status = system("openssl version >/dev/null 2>&1");

	if (status == 0)
		return;
	print_message("there is no openssl (Debian: openssl)\n");
	skip();
}

void kit_run(struct kit *kit, const char *format, ...)
{
	char command[2048];
	va_list arguments;
	int length, more;

	length = snprintf(command, sizeof(command), "cd '%s' && { ", kit->directory);
	va_start(arguments, format);
	more = vsnprintf(command + length, sizeof(command) - (size_t)length, format, arguments);
	va_end(arguments);
	length += more;
	assert_true((size_t)length + 32 < sizeof(command));
	snprintf(command + length, sizeof(command) - (size_t)length, "; } 2>stderr");
	if (system(command) != 0)
		fail_msg("this failed: %s", command);
}

static FILE *open_file(struct kit *kit, const char *name, const char *mode)
{
	char path[256];
	FILE *stream;

	assert_true(snprintf(path, sizeof(path), "%s/%s", kit->directory, name) <
		    (int)sizeof(path));
	stream = fopen(path, mode);
	if (!stream)
		fail_msg("%s cannot be opened", path);
	return stream;
}

struct file kit_read(struct kit *kit, const char *name)
{
	FILE *stream = open_file(kit, name, "re");
	struct file file = { malloc(16384), 0 };

	assert_non_null(file.bytes);
	file.size = fread(file.bytes, 1, 16384, stream);
	assert_true(file.size < 16384);
	fclose(stream);
	return file;
}

void kit_write(struct kit *kit, const char *name, const void *bytes, size_t size)
{
	FILE *stream = open_file(kit, name, "we");

	assert_int_equal(fwrite(bytes, 1, size, stream), size);
	assert_int_equal(fclose(stream), 0);
}

void file_free(struct file *file)
{
	free(file->bytes);
	file->bytes = NULL;
}

struct gmem_snp_key *kit_new_key(struct kit *kit, const char *name)
{
	struct gmem_snp_key *key = NULL;
	char pem[64];
	struct file file;

	kit_run(kit, "openssl ecparam -name secp384r1 -genkey -noout -out %s.pem", name);
	kit_run(kit, "openssl pkey -in %s.pem -pubout -out %s.pub", name, name);
	snprintf(pem, sizeof(pem), "%s.pem", name);
	file = kit_read(kit, pem);
	assert_int_equal(gmem_snp_key_new(kit->ctx, file.bytes, file.size, &key), 0);
	assert_non_null(key);
	expect_no_message(kit->logs);
	file_free(&file);
	return key;
}

/* In DER the point comes last. */
void kit_public(struct kit *kit, const char *name, uint8_t point[96])
{
	struct file file;

	kit_run(kit, "openssl pkey -pubin -in %s.pub -pubout -outform DER -out public.der", name);
	file = kit_read(kit, "public.der");
	assert_int_equal(file.size, 120);
	memcpy(point, file.bytes + file.size - 96, 96);
	file_free(&file);
}

void kit_hex(const char *text, uint8_t *bytes, size_t size)
{
	unsigned int value;
	size_t i;

	assert_int_equal(strlen(text), 2 * size);
	for (i = 0; i < size; i++) {
		assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
}

size_t kit_stride(size_t under_valgrind)
{
	return getenv("GMEM_TEST_VALGRIND") ? under_valgrind : 1;
}
