// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of a library that was built without libgcrypt: what hashes says so. */
#include "snp/crypto.h"

#include "logs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void starting_says_what_is_missing(void **state)
{
	struct logs *logs = logs_new();
	struct gmem_ctx *ctx = logs_new_ctx(logs, NULL);

	(void)state;
	assert_int_equal(gmem_crypto_start(ctx, "somebody"), -EOPNOTSUPP);
	expect_one_message(logs, GMEM_LOG_ERROR, "somebody", "built without libgcrypt");
	gmem_ctx_free(ctx);
	logs_free(logs);
}

static void nothing_is_hashed(void **state)
{
	uint8_t digest[SHA384_SIZE];

	(void)state;
	assert_int_equal(gmem_crypto_sha256("abc", 3, digest), -EOPNOTSUPP);
	assert_int_equal(gmem_crypto_sha384("abc", 3, digest), -EOPNOTSUPP);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(starting_says_what_is_missing),
		cmocka_unit_test(nothing_is_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
