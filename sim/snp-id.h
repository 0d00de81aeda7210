/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the simulated firmware makes of an ID block. */
#ifndef SIM_SNP_ID_H
#define SIM_SNP_ID_H

#include <stdbool.h>

#include "sim/snp-abi.h"

/*
 * Judges the signatures first, then what the block says of the guest. 0, a SNP_FW_* that says why
 * the firmware refuses, or -ENOMEM.
 */
int gmem_sim_snp_id_check(const struct snp_id_block *block, const struct snp_id_auth *auth,
			  bool author_key, const uint8_t digest[SNP_DIGEST_SIZE], uint64_t policy);

#endif /* SIM_SNP_ID_H */
