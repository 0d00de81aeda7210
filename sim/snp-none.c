// SPDX-License-Identifier: LGPL-2.1-or-later
/* In the place of the SNP firmware, in a build --without-libgcrypt. */
#include "snp.h"

#include <errno.h>

int gmem_sim_snp_command(struct gmem_sim *sim, struct sim_vm *vm, uint64_t argument)
{
	(void)sim;
	(void)vm;
	(void)argument;
	return -EOPNOTSUPP;
}

bool gmem_sim_snp_is_launching(const struct sim_vm *vm)
{
	(void)vm;
	return true;
}

int gmem_sim_snp_get_digest(const struct sim_vm *vm, uint8_t digest[SIM_SNP_DIGEST_SIZE])
{
	(void)vm;
	(void)digest;
	return -EOPNOTSUPP;
}

int gmem_sim_snp_get_attribute(const struct gmem_sim *sim, uint64_t attribute, uint64_t *value)
{
	(void)sim;
	(void)attribute;
	(void)value;
	return -ENXIO;
}

void gmem_sim_snp_free(struct sim_snp *snp)
{
	(void)snp;
}
