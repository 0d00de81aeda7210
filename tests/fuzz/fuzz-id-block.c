// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ID blocks and ID authentications. What comes in is taken for an ID block and an ID
 * authentication, as they would come from another tool: they hold or they do not. And what is
 * signed here holds, until the input has changed a byte of it.
 */
#include "fuzz.h"

#include <errno.h>
#include <gmem.h>
#include <string.h>

struct id {
	uint8_t block[GMEM_SNP_ID_BLOCK_SIZE];
	uint8_t auth[GMEM_SNP_ID_AUTH_SIZE];
};

static int verify(const struct id *id)
{
	int ret = gmem_snp_id_auth_verify(NULL, id->block, id->auth);

	promise(ret == 0 || ret == -EBADMSG);
	return ret;
}

/* Where signatures hold, keys have digests and the block can be read. */
static void take(const struct id *id)
{
	uint8_t id_key[GMEM_SNP_DIGEST_SIZE], author_key[GMEM_SNP_DIGEST_SIZE];
	struct gmem_snp_id_info info;
	int digests = gmem_snp_id_auth_get_digests(NULL, id->auth, id_key, author_key);

	promise(digests == 0 || digests == -EBADMSG);
	if (!verify(id))
		promise(!digests && !gmem_snp_id_block_get_info(NULL, id->block, &info));
}

/* SEC 1, of the private number 7 and on P-384. */
static struct gmem_snp_key *own_key(void)
{
	uint8_t der[64] = { 0x30, 0x3e, 0x02, 0x01, 0x01, 0x04, 0x30 };
	struct gmem_snp_key *key;

	der[54] = 7;
	memcpy(der + 55, "\xa0\x07\x06\x05\x2b\x81\x04\x00\x22", 9);
	promise(!gmem_snp_key_new(NULL, der, sizeof(der), &key));
	return key;
}

/* Two bytes say where, and a third how. */
static void change(struct id *id, const uint8_t how[3])
{
	uint8_t *bytes = (uint8_t *)id;
	size_t at = ((size_t)how[0] << 8 | how[1]) % sizeof(*id);

	bytes[at] ^= how[2];
	promise(!verify(id) == (how[2] == 0));
}

static void sign(const uint8_t *data, size_t size)
{
	struct gmem_snp_key *key = own_key();
	struct id id = { { 0 }, { 0 } };
	int ret;

	memcpy(id.block, data, size < sizeof(id.block) ? size : sizeof(id.block));
	ret = gmem_snp_id_auth_sign(id.block, key, key, id.auth);
	promise(ret == 0 || ret == -EBADMSG);
	if (!ret)
		promise(!verify(&id));
	if (!ret && size >= sizeof(id.block) + 3)
		change(&id, data + sizeof(id.block));
	gmem_snp_key_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct id id = { { 0 }, { 0 } };

	memcpy(&id, data, size < sizeof(id) ? size : sizeof(id));
	take(&id);
	/* Takes a hundred times as long. */
	if (size % 16 == 3)
		sign(data, size);
	return 0;
}
