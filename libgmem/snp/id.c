// SPDX-License-Identifier: LGPL-2.1-or-later
/* ID blocks: built, and read. */
#include "snp/id.h"

#include "log.h"

#include <errno.h>
#include <string.h>

/* 56860, Guest Policy: bit 17 is reserved and must be one. */
#define POLICY_RESERVED_ONE (UINT64_C(1) << 17)

static int check_policy(struct gmem_ctx *ctx, const char *who, uint64_t policy, int error)
{
	if (policy & POLICY_RESERVED_ONE)
		return 0;
	log_error(ctx, "%s: policy 0x%llx; its bit 17 must be 1, or no launch can start with it",
		  who, (unsigned long long)policy);
	return error;
}

int gmem_snp_id_block_check(struct gmem_ctx *ctx, const char *who, const struct snp_id_block *block)
{
	if (block->version != SNP_ID_BLOCK_VERSION) {
		log_error(ctx, "%s: the ID block's version is %u; it must be %u", who,
			  block->version, SNP_ID_BLOCK_VERSION);
		return -EBADMSG;
	}
	return check_policy(ctx, who, block->policy, -EBADMSG);
}

int gmem_snp_id_check_address(struct gmem_ctx *ctx, const char *who, const char *name,
			      const void *address)
{
	if (address)
		return 0;
	log_error(ctx, "%s: %s is NULL, it must be an address", who, name);
	return -EINVAL;
}

int gmem_snp_id_block_build(struct gmem_ctx *ctx, const uint8_t digest[GMEM_SNP_DIGEST_SIZE],
			    const uint8_t *family_id, const uint8_t *image_id, uint32_t svn,
			    uint64_t policy, uint8_t block[GMEM_SNP_ID_BLOCK_SIZE])
{
	static const char who[] = "gmem_snp_id_block_build";
	struct snp_id_block made = {
		.version = SNP_ID_BLOCK_VERSION,
		.guest_svn = svn,
		.policy = policy,
	};
	int ret;

	ret = gmem_snp_id_check_address(ctx, who, "digest", digest);
	if (!ret)
		ret = gmem_snp_id_check_address(ctx, who, "block", block);
	if (!ret)
		ret = check_policy(ctx, who, policy, -EINVAL);
	if (ret)
		return ret;
	memcpy(made.launch_digest, digest, sizeof(made.launch_digest));
	if (family_id)
		memcpy(made.family_id, family_id, sizeof(made.family_id));
	if (image_id)
		memcpy(made.image_id, image_id, sizeof(made.image_id));
	memcpy(block, &made, sizeof(made));
	return 0;
}

int gmem_snp_id_block_get_info(struct gmem_ctx *ctx, const uint8_t block[GMEM_SNP_ID_BLOCK_SIZE],
			       struct gmem_snp_id_info *info)
{
	static const char who[] = "gmem_snp_id_block_get_info";
	struct snp_id_block read;
	int ret;

	ret = gmem_snp_id_check_address(ctx, who, "block", block);
	if (!ret)
		ret = gmem_snp_id_check_address(ctx, who, "info", info);
	if (ret)
		return ret;
	memcpy(&read, block, sizeof(read));
	ret = gmem_snp_id_block_check(ctx, who, &read);
	if (ret)
		return ret;
	memset(info, 0, sizeof(*info));
	memcpy(info->digest, read.launch_digest, sizeof(info->digest));
	memcpy(info->family_id, read.family_id, sizeof(info->family_id));
	memcpy(info->image_id, read.image_id, sizeof(info->image_id));
	info->policy = read.policy;
	info->svn = read.guest_svn;
	info->version = read.version;
	return 0;
}
