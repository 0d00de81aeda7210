/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The launch digest: a chain of SHA-384 over the pages that the firmware was given. */
#ifndef SIM_SNP_DIGEST_H
#define SIM_SNP_DIGEST_H

#include "sim/snp-abi.h"

/* Guest-physical address at which the firmware measures every VMSA: 56860, SNP_LAUNCH_UPDATE. */
#define SNP_VMSA_GPA UINT64_C(0xfffffffff000)

/* One page more. contents is not looked at where the type is not measured. */
void gmem_sim_snp_digest_extend(uint8_t digest[SNP_DIGEST_SIZE], uint8_t type, uint64_t gpa,
				const void *contents);

#endif /* SIM_SNP_DIGEST_H */
