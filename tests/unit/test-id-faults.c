// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Keys and ID blocks while libgcrypt fails: each of its calls in turn. The linker sends the
 * library's calls here. And no memory that is given back still has a private number in it.
 */
#include "test-id-kit.h"

#include <errno.h>
#include <gcrypt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The call from now on, counted from 1, that fails, and how. */
static unsigned int fail_at;
static unsigned int calls;
static gpg_err_code_t failure;

static bool fails(void)
{
	return ++calls == fail_at;
}

#define WRAP_ERROR(name, parameters, arguments)                                                    \
	gcry_error_t __real_##name parameters;                                                     \
	gcry_error_t __wrap_##name parameters;                                                     \
	gcry_error_t __wrap_##name parameters                                                      \
	{                                                                                          \
		return fails() ? gcry_error(failure) : __real_##name arguments;                    \
	}

WRAP_ERROR(gcry_mpi_scan,
	   (gcry_mpi_t * number, enum gcry_mpi_format format, const void *bytes, size_t size,
	    size_t *scanned),
	   (number, format, bytes, size, scanned))
WRAP_ERROR(gcry_mpi_print,
	   (enum gcry_mpi_format format, unsigned char *bytes, size_t size, size_t *written,
	    const gcry_mpi_t number),
	   (format, bytes, size, written, number))
WRAP_ERROR(gcry_mpi_ec_new, (gcry_ctx_t * context, gcry_sexp_t parameters, const char *curve),
	   (context, parameters, curve))
WRAP_ERROR(gcry_pk_sign, (gcry_sexp_t * result, gcry_sexp_t data, gcry_sexp_t key),
	   (result, data, key))
WRAP_ERROR(gcry_pk_verify, (gcry_sexp_t signature, gcry_sexp_t data, gcry_sexp_t key),
	   (signature, data, key))
WRAP_ERROR(gcry_md_hash_buffers,
	   (int algorithm, unsigned int flags, void *digest, const gcry_buffer_t *buffers,
	    int count),
	   (algorithm, flags, digest, buffers, count))

/* All that the library builds is made of counted bytes. */
gcry_error_t __wrap_gcry_sexp_build(gcry_sexp_t *result, size_t *offset, const char *format, ...);
gcry_error_t __wrap_gcry_sexp_build(gcry_sexp_t *result, size_t *offset, const char *format, ...)
{
	void *first, *second = NULL;
	int sizes[2] = { 0 };
	va_list list;

	if (fails())
		return gcry_error(failure);
	va_start(list, format);
	sizes[0] = va_arg(list, int);
	first = va_arg(list, void *);
	if (strstr(format, "(s %b)")) {
		sizes[1] = va_arg(list, int);
		second = va_arg(list, void *);
	}
	va_end(list);
	return gcry_sexp_build_array(result, offset, format,
				     (void *[]){ &sizes[0], &first, &sizes[1], &second });
}

gcry_error_t __real_gcry_sexp_extract_param(gcry_sexp_t from, const char *path, const char *list,
					    ...);
gcry_error_t __wrap_gcry_sexp_extract_param(gcry_sexp_t from, const char *path, const char *list,
					    gcry_mpi_t *first, gcry_mpi_t *second, void *end);
gcry_error_t __wrap_gcry_sexp_extract_param(gcry_sexp_t from, const char *path, const char *list,
					    gcry_mpi_t *first, gcry_mpi_t *second, void *end)
{
	if (fails())
		return gcry_error(failure);
	return __real_gcry_sexp_extract_param(from, path, list, first, second, end);
}

void *__real_gcry_malloc_secure(size_t size);
void *__wrap_gcry_malloc_secure(size_t size);
void *__wrap_gcry_malloc_secure(size_t size)
{
	return fails() ? NULL : __real_gcry_malloc_secure(size);
}

/* What is given back. */

#define SECRET_SIZE 48u
/* Enough of it to be no accident. */
#define SECRET_PIECE 8u

static uint8_t secret[SECRET_SIZE];
static bool looking;
static unsigned int given_back;
static unsigned int with_secret;

static void look_at(const void *memory, size_t size)
{
	size_t at;

	if (!looking)
		return;
	given_back++;
	for (at = 0; at + SECRET_PIECE <= SECRET_SIZE; at++) {
		if (memmem(memory, size, secret + at, SECRET_PIECE)) {
			with_secret++;
			return;
		}
	}
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
	if (memory)
		look_at(memory, malloc_usable_size(memory));
	__real_free(memory);
}

void __real_gcry_free(void *memory);
void __wrap_gcry_free(void *memory);
void __wrap_gcry_free(void *memory)
{
	if (memory)
		look_at(memory, SECRET_SIZE);
	__real_gcry_free(memory);
}

/* A PEM key, so that there is a decoded copy of it. */
static const char head[] = "-----BEGIN EC PRIVATE KEY-----\n";
static const char tail[] = "\n-----END EC PRIVATE KEY-----\n";

static size_t make_pem(char *pem, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t der[66] = { 0x30, 0x3e, 0x02, 0x01, 0x01, 0x04, 0x30 };
	size_t length = strlen(head);
	size_t i;

	for (i = 0; i < SECRET_SIZE; i++)
		secret[i] = (uint8_t)(77 + 59 * i);
	memcpy(der + 7, secret, SECRET_SIZE);
	memcpy(der + 55, "\xa0\x07\x06\x05\x2b\x81\x04\x00\x22", 9);
	assert_true(size > sizeof(head) + sizeof(tail) + 88);
	memcpy(pem, head, length);
	for (i = 0; i < sizeof(der); i += 3) {
		unsigned int three = (unsigned int)der[i] << 16 | der[i + 1] << 8 | der[i + 2];

		pem[length++] = digits[three >> 18];
		pem[length++] = digits[three >> 12 & 63];
		pem[length++] = digits[three >> 6 & 63];
		pem[length++] = digits[three & 63];
	}
	/* 64 bytes: the last group has one. */
	pem[length - 1] = '=';
	pem[length - 2] = '=';
	memcpy(pem + length, tail, sizeof(tail));
	return length + sizeof(tail) - 1;
}

/* What runs while something fails. It gives 0 or an error, and leaves nothing behind. */

struct work {
	struct kit *kit;
	char pem[512];
	size_t pem_size;
	struct gmem_snp_key *key;
	uint8_t block[GMEM_SNP_ID_BLOCK_SIZE];
	uint8_t auth[GMEM_SNP_ID_AUTH_SIZE];
};

typedef int (*work_fn)(struct work *work);

static int make_key(struct work *work)
{
	struct gmem_snp_key *key = (struct gmem_snp_key *)&key;
	int ret;

	ret = gmem_snp_key_new(work->kit->ctx, work->pem, work->pem_size, &key);
	if (ret)
		assert_null(key);
	gmem_snp_key_free(key);
	return ret;
}

static int refuse(const uint8_t hash[48], uint8_t r[48], uint8_t s[48], void *opaque)
{
	(void)hash;
	(void)r;
	(void)s;
	(void)opaque;
	return -EIO;
}

static int make_external(struct work *work)
{
	struct gmem_snp_key *key = (struct gmem_snp_key *)&key;
	uint8_t x[48], y[48];
	int ret;

	assert_int_equal(gmem_snp_key_get_public(work->key, x, y), 0);
	ret = gmem_snp_key_new_external(work->kit->ctx, x, y, refuse, NULL, NULL, &key);
	if (ret)
		assert_null(key);
	gmem_snp_key_free(key);
	return ret;
}

static int sign(struct work *work)
{
	static const uint8_t untouched[GMEM_SNP_ID_AUTH_SIZE];
	uint8_t auth[GMEM_SNP_ID_AUTH_SIZE] = { 0 };
	int ret;

	ret = gmem_snp_id_auth_sign(work->block, work->key, work->key, auth);
	if (ret)
		assert_memory_equal(auth, untouched, sizeof(auth));
	return ret;
}

static int verify(struct work *work)
{
	return gmem_snp_id_auth_verify(work->kit->ctx, work->block, work->auth);
}

static int get_digests(struct work *work)
{
	uint8_t id[48], author[48];

	return gmem_snp_id_auth_get_digests(work->kit->ctx, work->auth, id, author);
}

static void prepare(struct work *work, struct kit *kit)
{
	uint8_t digest[48] = { 0 };

	memset(work, 0, sizeof(*work));
	fail_at = 0;
	work->kit = kit;
	work->pem_size = make_pem(work->pem, sizeof(work->pem));
	assert_int_equal(gmem_snp_key_new(kit->ctx, work->pem, work->pem_size, &work->key), 0);
	assert_int_equal(
		gmem_snp_id_block_build(kit->ctx, digest, NULL, NULL, 0, 0x30000, work->block), 0);
	assert_int_equal(gmem_snp_id_auth_sign(work->block, work->key, work->key, work->auth), 0);
}

/* A hash that fails has a word of its own; no memory is the only way to fail for some. */
static bool is_expected(int ret, gpg_err_code_t code)
{
	if (ret == -EOPNOTSUPP)
		return true;
	if (code == GPG_ERR_ENOMEM)
		return ret == -ENOMEM;
	return ret == -EIO || ret == -ENOMEM;
}

static void fail_each_call(struct kit *kit, work_fn fn, gpg_err_code_t code)
{
	unsigned int count, nth;
	struct work work;
	int ret;

	prepare(&work, kit);
	calls = 0;
	assert_int_equal(fn(&work), 0);
	count = calls;
	assert_true(count > 0);
	failure = code;
	for (nth = 1; nth <= count; nth++) {
		calls = 0;
		fail_at = nth;
		ret = fn(&work);
		fail_at = 0;
		if (!is_expected(ret, code))
			fail_msg("call %u of %u fails with %d: %d", nth, count, code, ret);
		expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_", "");
	}
	assert_int_equal(fn(&work), 0);
	expect_no_message(kit->logs);
	gmem_snp_key_free(work.key);
}

static void each_call_fails(void **state)
{
	static const work_fn works[] = { make_key, make_external, sign, verify, get_digests };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(works); i++) {
		fail_each_call(*state, works[i], GPG_ERR_ENOMEM);
		fail_each_call(*state, works[i], GPG_ERR_INTERNAL);
	}
}

/* Also where the making fails half-way: what was decoded till then is no less secret. */
static void private_numbers_are_wiped(void **state)
{
	struct kit *kit = *state;
	struct work work;
	uint64_t nth;

	if (getenv("GMEM_TEST_VALGRIND")) {
		print_message("valgrind has a say against looking at all of what is given back\n");
		skip();
	}
	prepare(&work, kit);
	looking = true;
	assert_int_equal(make_key(&work), 0);
	assert_true(given_back >= 3);
	for (nth = 1; nth <= 3; nth++) {
		fail_at = (unsigned int)nth;
		calls = 0;
		failure = GPG_ERR_INTERNAL;
		assert_int_not_equal(make_key(&work), 0);
		fail_at = 0;
	}
	/* The end of the text is not what it should be: all but the last group was decoded. */
	work.pem[work.pem_size - strlen(tail) - 5] = '?';
	assert_int_equal(make_key(&work), -EBADMSG);
	logs_reset(kit->logs);
	gmem_snp_key_free(work.key);
	looking = false;
	assert_int_equal(with_secret, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_fails),
		cmocka_unit_test(private_numbers_are_wiped),
	};

	return cmocka_run_group_tests(tests, kit_open, kit_close);
}
