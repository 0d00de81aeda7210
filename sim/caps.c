// SPDX-License-Identifier: LGPL-2.1-or-later
/* What KVM_CHECK_EXTENSION says, and what a VM of a type may do. */
#include "sim.h"

#define SYSTEM_AND_SMM 2u

bool gmem_sim_vm_has_private_memory(const struct sim_vm *vm)
{
	return vm->type != GMEM_KVM_VM_TYPE_DEFAULT &&
	       vm->sim->config.tracking != GMEM_SIM_TRACKING_NONE;
}

bool gmem_sim_vm_tracks_per_file(const struct sim_vm *vm)
{
	return vm->sim->config.tracking == GMEM_SIM_TRACKING_GUEST_MEMFD;
}

static bool is_private_or_system(const struct sim_vm *vm)
{
	return !vm || gmem_sim_vm_has_private_memory(vm);
}

unsigned int gmem_sim_address_spaces(const struct sim_vm *vm)
{
	return vm && gmem_sim_vm_has_private_memory(vm) ? 1 : SYSTEM_AND_SMM;
}

/* F3 */
uint64_t gmem_sim_creation_flags(const struct gmem_sim *sim, const struct sim_vm *vm)
{
	uint64_t flags = sim->config.create_flags;

	if (vm && gmem_sim_vm_has_private_memory(vm) && !gmem_sim_vm_tracks_per_file(vm))
		flags &= ~GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED;
	return flags;
}

/* C2: none where each guest_memfd tracks, though the ioctl is there. */
uint64_t gmem_sim_vm_attributes(const struct gmem_sim *sim, const struct sim_vm *vm)
{
	if (sim->config.tracking != GMEM_SIM_TRACKING_VM || !is_private_or_system(vm))
		return 0;
	return GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE;
}

static bool has_guest_memfd(const struct gmem_sim *sim, const struct sim_vm *vm)
{
	return sim->config.guest_memfd && (!sim->config.only_private || is_private_or_system(vm));
}

static uint64_t answer(const struct gmem_sim *sim, const struct sim_vm *vm, uint64_t number)
{
	switch (number) {
	case GMEM_KVM_CAP_USER_MEMORY:
	case GMEM_KVM_CAP_READONLY_MEM:
	case SIM_KVM_CAP_ENABLE_CAP_VM:
	case SIM_KVM_CAP_CHECK_EXTENSION_VM:
	case SIM_KVM_CAP_IMMEDIATE_EXIT:
		return 1;
	case SIM_KVM_CAP_NR_VCPUS:
	case SIM_KVM_CAP_MAX_VCPUS:
	case SIM_KVM_CAP_MAX_VCPU_ID:
		return SIM_MAX_VCPUS;
	case GMEM_KVM_CAP_NR_MEMSLOTS:
		return sim->config.slots;
	case GMEM_KVM_CAP_MULTI_ADDRESS_SPACE:
		return gmem_sim_address_spaces(vm);
	case GMEM_KVM_CAP_EXIT_HYPERCALL:
		return 1u << GMEM_KVM_HC_MAP_GPA_RANGE;
	case GMEM_KVM_CAP_USER_MEMORY2:
	case GMEM_KVM_CAP_MEMORY_FAULT_INFO:
		return sim->config.guest_memfd;
	case GMEM_KVM_CAP_MEMORY_ATTRIBUTES:
		return gmem_sim_vm_attributes(sim, vm);
	case GMEM_KVM_CAP_GUEST_MEMFD:
		return has_guest_memfd(sim, vm);
	case GMEM_KVM_CAP_VM_TYPES:
		return sim->config.has_types ? sim->config.vm_types : 0;
	case GMEM_KVM_CAP_PRE_FAULT_MEMORY:
		return sim->config.prefault;
	case GMEM_KVM_CAP_GUEST_MEMFD_FLAGS:
		return sim->config.has_flags && has_guest_memfd(sim, vm)
			       ? gmem_sim_creation_flags(sim, vm)
			       : 0;
	default:
		return 0;
	}
}

int gmem_sim_check_extension(const struct gmem_sim *sim, const struct sim_vm *vm, uint64_t number)
{
	size_t i;

	for (i = 0; i < sim->config.capability_count; i++)
		if (sim->config.capability[i].number == number)
			return (int)sim->config.capability[i].value;
	return (int)answer(sim, vm, number);
}
