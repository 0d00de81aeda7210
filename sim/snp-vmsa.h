/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a vCPU's registers to the page that the firmware measures, as KVM does it. */
#ifndef SIM_SNP_VMSA_H
#define SIM_SNP_VMSA_H

#include "sim/snp-abi.h"
#include "sim/snp.h"

/* features are those of the VM, with SNP active. */
void gmem_sim_snp_vmsa_build(const struct sim_vcpu_state *state, uint64_t features,
			     struct snp_vmsa *vmsa);

#endif /* SIM_SNP_VMSA_H */
