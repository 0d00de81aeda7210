/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What examples on the simulated kernel share: a VM of it whose RAM begins at 0, and a map of its
 * pages. From gmem_ctx_set_kernel() on, nothing here would be different on a real one.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "example.h"

#include <gmem.h>
#include <gmem/sim.h>

struct sim_machine {
	struct gmem_sim *sim;
	struct gmem_kernel kernel;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	struct gmem_region *ram;
	int vm_fd;
	int vcpu_fd;
	struct kvm_run *run;
	uint64_t page;
};

/* config may be NULL; it is freed, and told the type of the VM before. */
static inline int sim_machine_open(struct sim_machine *machine, uint32_t preset, uint32_t type,
				   struct gmem_vm_config *config)
{
	struct gmem_vm_info info;
	void *run = NULL;
	int rc = config ? 0 : gmem_vm_config_new(&config);

	*machine = (struct sim_machine){ .vm_fd = -1, .vcpu_fd = -1 };
	/* KVM has no way to ask; it decides whether bytes survive a conversion. */
	gmem_vm_config_set_type(config, type);
	if (rc == 0)
		rc = gmem_sim_new(preset, &machine->sim);
	if (rc == 0)
		rc = gmem_sim_get_kernel(machine->sim, &machine->kernel);
	if (rc == 0)
		rc = machine->vm_fd = gmem_sim_create_vm(machine->sim, type);
	if (rc >= 0)
		rc = machine->vcpu_fd = gmem_sim_create_vcpu(machine->sim, machine->vm_fd, &run);
	machine->run = run;
	if (rc >= 0)
		rc = gmem_ctx_new(&machine->ctx);
	gmem_ctx_set_kernel(machine->ctx, &machine->kernel);
	if (rc == 0)
		rc = gmem_vm_new(machine->ctx, machine->vm_fd, config, &machine->vm);
	if (rc == 0)
		rc = gmem_vm_get_info(machine->vm, &info);
	if (rc == 0)
		machine->page = info.page_size;
	gmem_vm_config_free(config);
	return rc < 0 ? example_failed("making a VM of the simulator's", rc) : 0;
}

/* Shared memory from 0 on, kept as this VM keeps private memory best. */
static inline int sim_machine_add_ram(struct sim_machine *machine, uint64_t pages)
{
	struct gmem_region_config *config = NULL;
	int rc = gmem_region_config_new(&config);

	gmem_region_config_set_name(config, "ram");
	gmem_region_config_set_state(config, GMEM_SHARED);
	if (rc == 0)
		rc = gmem_region_new(machine->vm, pages * machine->page, config, &machine->ram);
	gmem_region_config_free(config);
	if (rc == 0)
		rc = gmem_vm_map(machine->vm, 0, machine->ram, 0, pages * machine->page,
				 GMEM_SLOT_AUTO, 0);
	return rc < 0 ? example_failed("making RAM", rc) : 0;
}

static inline void sim_machine_close_fd(struct sim_machine *machine, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };

	if (fd >= 0 && machine->kernel.call)
		machine->kernel.call(GMEM_SYS_CLOSE, arg, machine->kernel.opaque);
}

/* The simulator is the kernel, and goes last. */
static inline void sim_machine_close(struct sim_machine *machine)
{
	gmem_region_free(machine->ram);
	gmem_vm_free(machine->vm);
	gmem_ctx_free(machine->ctx);
	sim_machine_close_fd(machine, machine->vcpu_fd);
	sim_machine_close_fd(machine, machine->vm_fd);
	gmem_sim_free(machine->sim);
}

#endif /* SIM_MACHINE_H */
