/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the simulated firmware makes of a CPUID page. */
#ifndef SIM_SNP_CPUID_H
#define SIM_SNP_CPUID_H

#include <stdbool.h>

#include <gmem/sim.h>

#include "sim/snp-abi.h"

/*
 * Corrects a table in place: bits outside a leaf's limit are cleared, so are reserved fields, and
 * a count above 64 becomes 64. A leaf without limit stays as it is; unused entries are not looked
 * at. Returns whether anything had to be corrected.
 */
bool gmem_sim_snp_cpuid_correct(struct snp_cpuid_page *page, const struct gmem_sim_cpuid *limit,
				size_t limits);

#endif /* SIM_SNP_CPUID_H */
