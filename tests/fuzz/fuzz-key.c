// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files that should be private keys. Whatever comes in is refused as such, or is a key: then it
 * signs, and the signature holds.
 */
#include "fuzz.h"

#include <errno.h>
#include <gmem.h>

static void use(struct gmem_snp_key *key)
{
	uint8_t digest[GMEM_SNP_DIGEST_SIZE], block[GMEM_SNP_ID_BLOCK_SIZE];
	static uint8_t auth[GMEM_SNP_ID_AUTH_SIZE];

	promise(!gmem_snp_key_get_digest(key, digest));
	promise(!gmem_snp_id_block_build(NULL, digest, NULL, NULL, 0, 0x30000, block));
	promise(!gmem_snp_id_auth_sign(block, key, key, auth));
	promise(!gmem_snp_id_auth_verify(NULL, block, auth));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gmem_snp_key *key = NULL;
	int ret;

	ret = gmem_snp_key_new(NULL, data, size, &key);
	if (size == 0 || size > GMEM_SNP_KEY_FILE_SIZE)
		promise(ret == -EINVAL);
	else
		promise(ret == 0 || ret == -EBADMSG);
	promise(!ret == (key != NULL));
	if (key)
		use(key);
	gmem_snp_key_free(key);
	return 0;
}
