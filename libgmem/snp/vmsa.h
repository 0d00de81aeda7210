/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first state of a vCPU, as VMMs and KVM make it. */
#ifndef GMEM_SNP_VMSA_H
#define GMEM_SNP_VMSA_H

#include "snp/abi.h"

#include <stdbool.h>

/* What a VMSA is made of; see gmem_snp_vmsa_build(). */
struct vmsa_source {
	uint32_t vmm;
	uint32_t ap_reset;
	uint32_t signature;
	uint64_t features;
};

/* Whether vmm is a GMEM_SNP_VMM_*. */
bool gmem_vmm_is_known(uint32_t vmm);
/* source->vmm is known. */
void gmem_vmsa_fill(const struct vmsa_source *source, bool is_first, struct vmsa *vmsa);

#endif /* GMEM_SNP_VMSA_H */
