// SPDX-License-Identifier: LGPL-2.1-or-later
/* The launch digest: a chain of SHA-384 over the pages that the firmware was given. */
#include "sim/snp-digest.h"

#include <stdbool.h>
#include <string.h>

#include "sim/snp-crypto.h"

static_assert(SNP_DIGEST_SIZE == SNP_SHA384_SIZE, "56860: the digest is SHA-384");

static bool is_measured(uint8_t type)
{
	return type == SNP_PAGE_NORMAL || type == SNP_PAGE_VMSA;
}

void gmem_sim_snp_digest_extend(uint8_t digest[SNP_DIGEST_SIZE], uint8_t type, uint64_t gpa,
				const void *contents)
{
	struct snp_page_info info = {
		.length = sizeof(info),
		.page_type = type,
		.gpa = gpa,
	};

	memcpy(info.digest, digest, sizeof(info.digest));
	if (is_measured(type))
		gmem_sim_snp_sha384(contents, SNP_PAGE_SIZE, info.contents);
	gmem_sim_snp_sha384(&info, sizeof(info), digest);
}
