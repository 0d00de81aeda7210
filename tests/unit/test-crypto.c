// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of hashing, and of how libgcrypt is started: in a process of its own for each way in which
 * a program may have gone about it before.
 *
 * Linked with -Wl,--wrap for the functions of libgcrypt that are made to fail here.
 */
#include "snp/crypto.h"

#include "again.h"
#include "logs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 16u
#define SECURE_POOL 16384

/* What libgcrypt is made to say. */
static bool is_old;
static int forbidden;
static bool is_broken;

const char *__real_gcry_check_version(const char *wanted);
const char *__wrap_gcry_check_version(const char *wanted);
gcry_error_t __real_gcry_md_algo_info(int algorithm, int what, void *buffer, size_t *size);
gcry_error_t __wrap_gcry_md_algo_info(int algorithm, int what, void *buffer, size_t *size);
gcry_error_t __real_gcry_md_hash_buffers(int algorithm, unsigned int flags, void *digest,
					 const gcry_buffer_t *buffers, int count);
gcry_error_t __wrap_gcry_md_hash_buffers(int algorithm, unsigned int flags, void *digest,
					 const gcry_buffer_t *buffers, int count);

const char *__wrap_gcry_check_version(const char *wanted)
{
	if (is_old)
		return wanted ? NULL : "1.9.4";
	return __real_gcry_check_version(wanted);
}

gcry_error_t __wrap_gcry_md_algo_info(int algorithm, int what, void *buffer, size_t *size)
{
	if (algorithm == forbidden)
		return GPG_ERR_DIGEST_ALGO;
	return __real_gcry_md_algo_info(algorithm, what, buffer, size);
}

gcry_error_t __wrap_gcry_md_hash_buffers(int algorithm, unsigned int flags, void *digest,
					 const gcry_buffer_t *buffers, int count)
{
	if (is_broken)
		return GPG_ERR_NOT_OPERATIONAL;
	return __real_gcry_md_hash_buffers(algorithm, flags, digest, buffers, count);
}

struct stage {
	struct logs *logs;
	struct gmem_ctx *ctx;
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	is_old = is_broken = false;
	forbidden = 0;
	stage->logs = logs_new();
	stage->ctx = logs_new_ctx(stage->logs, NULL);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	expect_no_message(stage->logs);
	gmem_ctx_free(stage->ctx);
	logs_free(stage->logs);
	free(stage);
	return 0;
}

static void assert_hex(const uint8_t *bytes, size_t size, const char *wanted)
{
	char text[2 * SHA384_SIZE + 1];
	size_t i;

	for (i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	assert_string_equal(text, wanted);
}

/* FIPS 180-4, examples: nothing, and "abc". */
static void assert_hashing_is_right(void)
{
	uint8_t digest[SHA384_SIZE];

	assert_int_equal(gmem_crypto_sha256("abc", 3, digest), 0);
	assert_hex(digest, SHA256_SIZE,
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(gmem_crypto_sha256(NULL, 0, digest), 0);
	assert_hex(digest, SHA256_SIZE,
		   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(gmem_crypto_sha384("abc", 3, digest), 0);
	assert_hex(digest, SHA384_SIZE,
		   "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
		   "8086072ba1e7cc2358baeca134c825a7");
	assert_int_equal(gmem_crypto_sha384(NULL, 0, digest), 0);
	assert_hex(digest, SHA384_SIZE,
		   "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da"
		   "274edebfe76f65fbd51ad2f14898b95b");
}

static void hashes_are_those_of_the_standard(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(gmem_crypto_start(stage->ctx, "test"), 0);
	assert_hashing_is_right();
}

static void an_old_libgcrypt_is_refused(void **state)
{
	struct stage *stage = *state;

	is_old = true;
	assert_int_equal(gmem_crypto_start(stage->ctx, "somebody"), -EOPNOTSUPP);
	expect_one_message(stage->logs, GMEM_LOG_ERROR, "somebody: libgcrypt is version 1.9.4",
			   "1.10.0 or later");
	is_old = false;
	assert_int_equal(gmem_crypto_start(stage->ctx, "somebody"), 0);
}

static void forbidden_algorithms_are_refused(void **state)
{
	static const int algorithms[] = { GCRY_MD_SHA256, GCRY_MD_SHA384 };
	struct stage *stage = *state;
	size_t i;

	for (i = 0; i < 2; i++) {
		forbidden = algorithms[i];
		assert_int_equal(gmem_crypto_start(stage->ctx, "somebody"), -EOPNOTSUPP);
		expect_one_message(stage->logs, GMEM_LOG_ERROR, "somebody: libgcrypt",
				   "SHA-384 and SHA-256", "must be enabled");
	}
	forbidden = 0;
	assert_int_equal(gmem_crypto_start(stage->ctx, "somebody"), 0);
}

static void a_broken_libgcrypt_is_an_error(void **state)
{
	struct stage *stage = *state;
	uint8_t digest[SHA384_SIZE];

	assert_int_equal(gmem_crypto_start(stage->ctx, "somebody"), 0);
	is_broken = true;
	assert_int_equal(gmem_crypto_sha256("abc", 3, digest), -EOPNOTSUPP);
	assert_int_equal(gmem_crypto_sha384("abc", 3, digest), -EOPNOTSUPP);
	expect_no_message(stage->logs);
	assert_int_equal(gmem_crypto_report(stage->ctx, "somebody"), -EOPNOTSUPP);
	expect_one_message(stage->logs, GMEM_LOG_ERROR, "somebody: libgcrypt has stopped hashing",
			   "must be operational");
}

/* What a process that was started for it does. */

static bool is_finished(void)
{
	return gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P);
}

static bool has_secure_memory(void)
{
	void *memory = gcry_malloc_secure(16);
	bool is_secure = gcry_is_secure(memory);

	gcry_free(memory);
	return is_secure;
}

/* As the kernel counts them. */
static unsigned long locked_kilobytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long locked = ~0ul;
	char line[128];

	assert_non_null(status);
	while (fgets(line, sizeof(line), status)) {
		if (sscanf(line, "VmLck: %lu", &locked) == 1)
			break;
	}
	fclose(status);
	return locked;
}

static void begin_own_initialisation(void)
{
	assert_non_null(gcry_check_version(NULL));
	gcry_control(GCRYCTL_SUSPEND_SECMEM_WARN);
	gcry_control(GCRYCTL_INIT_SECMEM, SECURE_POOL, 0);
}

static pthread_barrier_t barrier;

static void *start_at_once(void *argument)
{
	int *result = argument;

	pthread_barrier_wait(&barrier);
	*result = gmem_crypto_start(NULL, "test");
	return NULL;
}

static void by_many_threads(void **state)
{
	pthread_t threads[THREADS];
	int results[THREADS];
	unsigned int i;

	(void)state;
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (i = 0; i < THREADS; i++) {
		results[i] = 1;
		assert_int_equal(pthread_create(&threads[i], NULL, start_at_once, &results[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], 0);
	}
	pthread_barrier_destroy(&barrier);
	assert_true(is_finished());
	assert_hashing_is_right();
	/* There is some for keys, but who only hashes locks none. */
	assert_int_equal(locked_kilobytes(), 0);
	assert_true(has_secure_memory());
}

static void after_the_program(void **state)
{
	(void)state;
	begin_own_initialisation();
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	assert_int_equal(gmem_crypto_start(NULL, "test"), 0);
	assert_true(has_secure_memory());
	assert_hashing_is_right();
}

static void after_a_program_without_secure_memory(void **state)
{
	(void)state;
	assert_non_null(gcry_check_version(NULL));
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	assert_int_equal(gmem_crypto_start(NULL, "test"), 0);
	assert_false(has_secure_memory());
	assert_hashing_is_right();
}

static void while_the_program_is_at_it(void **state)
{
	(void)state;
	begin_own_initialisation();
	assert_int_equal(gmem_crypto_start(NULL, "test"), 0);
	assert_hashing_is_right();
	assert_false(is_finished());
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	assert_true(is_finished());
	assert_true(has_secure_memory());
	assert_int_equal(gmem_crypto_start(NULL, "test"), 0);
	assert_hashing_is_right();
}

static const struct CMUnitTest starts[] = {
	cmocka_unit_test(by_many_threads),
	cmocka_unit_test(after_the_program),
	cmocka_unit_test(while_the_program_is_at_it),
	cmocka_unit_test(after_a_program_without_secure_memory),
};

/* libgcrypt is initialised once in a process, so each of these has one. */
static void expect_start(unsigned int number)
{
	char argument[] = { (char)('0' + number), '\0' };

	if (getenv("GMEM_TEST_VALGRIND")) {
		print_message("valgrind does not start a program again by /proc/self/exe\n");
		skip();
	}
	assert_int_equal(run_again(argument), 0);
}

static void started_by_many_threads_at_once(void **state)
{
	(void)state;
	expect_start(0);
}

static void a_program_that_has_initialised_is_left_alone(void **state)
{
	(void)state;
	expect_start(1);
}

static void a_program_that_is_initialising_is_left_alone(void **state)
{
	(void)state;
	expect_start(2);
}

static void a_program_without_secure_memory_is_left_alone(void **state)
{
	(void)state;
	expect_start(3);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		STAGED(hashes_are_those_of_the_standard),
		STAGED(an_old_libgcrypt_is_refused),
		STAGED(forbidden_algorithms_are_refused),
		STAGED(a_broken_libgcrypt_is_an_error),
		cmocka_unit_test(started_by_many_threads_at_once),
		cmocka_unit_test(a_program_that_has_initialised_is_left_alone),
		cmocka_unit_test(a_program_that_is_initialising_is_left_alone),
		cmocka_unit_test(a_program_without_secure_memory_is_left_alone),
	};

	if (argc > 1) {
		struct CMUnitTest one[] = { starts[argv[1][0] - '0'] };

		return cmocka_run_group_tests(one, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
