// SPDX-License-Identifier: LGPL-2.1-or-later
/* Keys and ID blocks in a library without libgcrypt: blocks are built, all else says why not. */
#include "test-id-kit.h"

#include <errno.h>
#include <string.h>

static int sign(const uint8_t hash[48], uint8_t r[48], uint8_t s[48], void *opaque)
{
	(void)hash;
	(void)r;
	(void)s;
	(void)opaque;
	return -EIO;
}

static void count_free(void *opaque)
{
	++*(unsigned int *)opaque;
}

static void blocks_are_built_and_read(void **state)
{
	struct kit *kit = *state;
	uint8_t digest[48] = { 1, 2, 3 }, block[GMEM_SNP_ID_BLOCK_SIZE];
	struct gmem_snp_id_info info;

	assert_int_equal(gmem_snp_id_block_build(kit->ctx, digest, NULL, NULL, 7, 0x30000, block),
			 0);
	assert_int_equal(gmem_snp_id_block_get_info(kit->ctx, block, &info), 0);
	assert_memory_equal(info.digest, digest, sizeof(digest));
	assert_int_equal(info.svn, 7);
	expect_no_message(kit->logs);
}

static void keys_are_not_supported(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key = (struct gmem_snp_key *)&key;
	uint8_t number[48] = { 0 };
	unsigned int freed = 0;

	assert_int_equal(gmem_snp_key_new(kit->ctx, "x", 1, &key), -EOPNOTSUPP);
	assert_null(key);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new",
			   "built without libgcrypt");
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, number, number, sign, &freed,
						   count_free, &key),
			 -EOPNOTSUPP);
	assert_int_equal(freed, 1);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new_external",
			   "built without libgcrypt");
	gmem_snp_key_free(NULL);
}

static void authentications_are_not_supported(void **state)
{
	uint8_t block[GMEM_SNP_ID_BLOCK_SIZE] = { 0 }, auth[GMEM_SNP_ID_AUTH_SIZE] = { 0 };
	struct kit *kit = *state;

	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), -EOPNOTSUPP);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_auth_verify",
			   "built without libgcrypt");
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, auth, NULL, NULL), -EOPNOTSUPP);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_auth_get_digests",
			   "built without libgcrypt");
	/* There can be no key. */
	assert_int_equal(gmem_snp_id_auth_sign(block, NULL, NULL, auth), -EINVAL);
	assert_int_equal(gmem_snp_key_get_digest(NULL, block), -EINVAL);
	assert_int_equal(gmem_snp_key_get_public(NULL, NULL, NULL), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_built_and_read),
		cmocka_unit_test(keys_are_not_supported),
		cmocka_unit_test(authentications_are_not_supported),
	};

	return cmocka_run_group_tests(tests, kit_open, kit_close);
}
