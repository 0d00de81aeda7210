// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the simulated firmware makes of an ID block. */
#include "sim/snp-id.h"

#include <errno.h>
#include <string.h>

#include "sim/snp-crypto.h"

/* Little-endian and long to big-endian and of the curve's size; false: too great for the curve. */
static bool convert_number(const uint8_t from[SNP_COMPONENT_SIZE], uint8_t to[SNP_P384_SIZE])
{
	for (size_t i = SNP_P384_SIZE; i < SNP_COMPONENT_SIZE; i++) {
		if (from[i] != 0)
			return false;
	}
	for (size_t i = 0; i < SNP_P384_SIZE; i++)
		to[i] = from[SNP_P384_SIZE - 1 - i];
	return true;
}

static bool convert_key(const struct snp_key *from, struct snp_p384_key *to)
{
	return from->curve == SNP_CURVE_P384 && convert_number(from->qx, to->x) &&
	       convert_number(from->qy, to->y);
}

static bool convert_signature(const struct snp_signature *from, struct snp_p384_signature *to)
{
	return convert_number(from->r, to->r) && convert_number(from->s, to->s);
}

static int check_signature(uint32_t algorithm, const struct snp_key *from_key,
			   const struct snp_signature *from_signature, const void *data,
			   size_t size)
{
	struct snp_p384_signature signature;
	uint8_t digest[SNP_SHA384_SIZE];
	struct snp_p384_key key;

	if (algorithm != SNP_KEY_ALGORITHM_P384 || !convert_key(from_key, &key))
		return SNP_FW_INVALID_KEY;
	if (!convert_signature(from_signature, &signature))
		return SNP_FW_BAD_SIGNATURE;
	gmem_sim_snp_sha384(data, size, digest);
	switch (gmem_sim_snp_p384_verify(&key, &signature, digest)) {
	case 0:
		return 0;
	case -EINVAL:
		return SNP_FW_INVALID_KEY;
	case -ENOMEM:
		return -ENOMEM;
	default:
		return SNP_FW_BAD_SIGNATURE;
	}
}

static int check_block(const struct snp_id_block *block, const uint8_t digest[SNP_DIGEST_SIZE],
		       uint64_t policy)
{
	if (block->version != SNP_ID_BLOCK_VERSION)
		return SNP_FW_INVALID_PARAMETER;
	if (memcmp(block->launch_digest, digest, SNP_DIGEST_SIZE) != 0)
		return SNP_FW_BAD_MEASUREMENT;
	if (block->policy != policy)
		return SNP_FW_POLICY_FAILURE;
	return 0;
}

int gmem_sim_snp_id_check(const struct snp_id_block *block, const struct snp_id_auth *auth,
			  bool author_key, const uint8_t digest[SNP_DIGEST_SIZE], uint64_t policy)
{
	int ret;

	ret = check_signature(auth->id_key_algorithm, &auth->id_key, &auth->block_signature, block,
			      sizeof(*block));
	if (ret)
		return ret;
	if (author_key) {
		ret = check_signature(auth->author_key_algorithm, &auth->author_key,
				      &auth->id_key_signature, &auth->id_key, sizeof(auth->id_key));
		if (ret)
			return ret;
	}
	return check_block(block, digest, policy);
}
