// SPDX-License-Identifier: LGPL-2.1-or-later
/* A C program that finds libgmem and libgmem-sim as make install put them in place. */
#include <gmem.h>
#include <gmem/sim.h>
#include <stdio.h>

static int use(struct gmem_sim *sim)
{
	struct gmem_kernel kernel;
	struct gmem_ctx *ctx = NULL;
	struct gmem_vm *vm = NULL;
	struct gmem_vm_info info;
	int vm_fd, rc;

	rc = gmem_sim_get_kernel(sim, &kernel);
	vm_fd = gmem_sim_create_vm(sim, 1);
	if (!rc)
		rc = vm_fd < 0 ? vm_fd : gmem_ctx_new(&ctx);
	gmem_ctx_set_kernel(ctx, &kernel);
	if (!rc)
		rc = gmem_vm_new(ctx, vm_fd, NULL, &vm);
	if (!rc)
		rc = gmem_vm_get_info(vm, &info);
	if (!rc && info.tracking != GMEM_TRACKING_FILE)
		rc = 1;
	gmem_vm_free(vm);
	gmem_ctx_free(ctx);
	return rc;
}

int main(void)
{
	struct gmem_sim *sim;
	int rc = gmem_sim_new(GMEM_SIM_IN_PLACE, &sim);

	if (!rc)
		rc = use(sim);
	gmem_sim_free(sim);
	if (rc)
		fprintf(stderr, "the simulated VM is not in place: %d\n", rc);
	return rc != 0;
}
