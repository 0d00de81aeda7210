// SPDX-License-Identifier: LGPL-2.1-or-later
/* The simulated /dev/kvm, and VMs: made, ended, their ioctls. */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#define ALL_TYPES 6u /* types that KVM has had */

static int new_system(struct gmem_sim *sim)
{
	struct sim_object *object = calloc(1, sizeof(*object));
	int fd;

	if (!object)
		return -ENOMEM;
	fd = gmem_sim_object_create(sim, object, SIM_SYSTEM, "kvm", 0, O_CLOEXEC);
	if (fd < 0)
		free(object);
	return fd;
}

int gmem_sim_open_system(struct gmem_sim *sim)
{
	int fd;

	if (!sim)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	gmem_sim_sweep(sim);
	fd = new_system(sim);
	pthread_mutex_unlock(&sim->mutex);
	return fd;
}

int gmem_sim_vm_create(struct gmem_sim *sim, uint32_t type)
{
	struct sim_vm *vm = calloc(1, sizeof(*vm));
	int fd;

	if (!vm)
		return -ENOMEM;
	vm->sim = sim;
	vm->type = type;
	gmem_sim_sweep(sim);
	fd = gmem_sim_object_create(sim, &vm->object, SIM_VM, "kvm-vm", 0, O_CLOEXEC);
	if (fd < 0) {
		free(vm);
		return fd;
	}
	vm->next = sim->vms;
	sim->vms = vm;
	return fd;
}

/* Not of the list any more; its files are gone. */
void gmem_sim_vm_free(struct sim_vm *vm)
{
	struct gmem_sim *sim = vm->sim;
	size_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		struct sim_vcpu *vcpu = vm->vcpus[i];

		gmem_sim_object_close(sim, &vcpu->object);
		/* Room was made when the vCPU was. */
		vcpu->vm = NULL;
		sim->ended[sim->ended_count++] = vcpu;
	}
	gmem_sim_snp_free(vm->snp);
	gmem_sim_object_close(sim, &vm->object);
	gmem_sim_spans_free(&vm->private_addresses);
	free(vm->vcpus);
	gmem_sim_slots_free(vm);
	free(vm);
}

int gmem_sim_create_vm(struct gmem_sim *sim, uint32_t vm_type)
{
	int fd = -EOPNOTSUPP;

	if (!sim || vm_type >= ALL_TYPES)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	if (sim->config.vm_types & UINT64_C(1) << vm_type)
		fd = gmem_sim_vm_create(sim, vm_type);
	pthread_mutex_unlock(&sim->mutex);
	return fd;
}

int gmem_sim_finish_launch(struct gmem_sim *sim, int vm_fd)
{
	struct sim_vm *vm;
	int err = -EBADF;

	if (!sim)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	vm = gmem_sim_find_vm(sim, vm_fd);
	if (vm) {
		err = vm->type == GMEM_KVM_VM_TYPE_TDX ? 0 : -EOPNOTSUPP;
		if (err == 0)
			vm->is_launched = true;
	}
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

int gmem_sim_get_snp_digest(struct gmem_sim *sim, int vm_fd, uint8_t digest[48])
{
	struct sim_vm *vm;
	int err = -EBADF;
	size_t i;

	if (!sim || !digest)
		return -EINVAL;
	for (i = 0; i < SIM_SNP_DIGEST_SIZE; i++)
		digest[i] = 0;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	vm = gmem_sim_find_vm(sim, vm_fd);
	if (vm)
		err = vm->type == GMEM_KVM_VM_TYPE_SNP ? gmem_sim_snp_get_digest(vm, digest)
						       : -EPROTO;
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

/* KVM_HAS_DEVICE_ATTR and KVM_GET_DEVICE_ATTR: the SEV group, where SNP is there at all. */
static int device_attribute(struct gmem_sim *sim, const struct sim_vm *vm, uint64_t argument,
			    bool is_get)
{
	struct gmem_kvm_device_attr attribute;
	uint64_t value;
	int err;

	if (!(sim->config.vm_types & UINT64_C(1) << GMEM_KVM_VM_TYPE_SNP))
		return vm ? -ENOTTY : -ENXIO;
	if (gmem_sim_copy_in(sim, &attribute, argument, sizeof(attribute)) < 0)
		return -EFAULT;
	if (attribute.flags || attribute.group != GMEM_KVM_X86_GROUP_SEV)
		return -ENXIO;
	err = gmem_sim_snp_get_attribute(sim, attribute.attr, &value);
	if (err == 0 && is_get)
		err = gmem_sim_copy_out(sim, attribute.addr, &value, sizeof(value));
	return err;
}

int64_t gmem_sim_system_ioctl(struct gmem_sim *sim, uint32_t request, uint64_t argument)
{
	switch (request) {
	case GMEM_KVM_GET_API_VERSION:
		return argument ? -EINVAL : SIM_KVM_API_VERSION;
	case GMEM_KVM_GET_VCPU_MMAP_SIZE:
		return argument ? -EINVAL : (int64_t)SIM_KVM_RUN_SIZE;
	case GMEM_KVM_CHECK_EXTENSION:
		return gmem_sim_check_extension(sim, NULL, argument);
	case GMEM_KVM_CREATE_VM:
		if (argument >= ALL_TYPES || !(sim->config.vm_types & UINT64_C(1) << argument))
			return -EINVAL;
		return gmem_sim_vm_create(sim, (uint32_t)argument);
	case GMEM_KVM_HAS_DEVICE_ATTR:
		return device_attribute(sim, NULL, argument, false);
	case GMEM_KVM_GET_DEVICE_ATTR:
		return device_attribute(sim, NULL, argument, true);
	default:
		return -EINVAL; /* as x86 has it, unlike VMs */
	}
}

static int create_vcpu(struct sim_vm *vm, uint64_t id)
{
	struct sim_vcpu *vcpu;

	return gmem_sim_vcpu_create(vm, id, &vcpu);
}

/* E1: the one capability that changes what the simulator does. */
static int enable_capability(struct sim_vm *vm, uint64_t argument)
{
	const uint64_t bit = UINT64_C(1) << GMEM_KVM_HC_MAP_GPA_RANGE;
	struct sim_kvm_enable_cap capability;

	if (gmem_sim_copy_in(vm->sim, &capability, argument, sizeof(capability)) < 0)
		return -EFAULT;
	if (capability.flags || capability.cap != GMEM_KVM_CAP_EXIT_HYPERCALL ||
	    capability.args[0] & ~bit)
		return -EINVAL;
	vm->exits_on_map_gpa_range = capability.args[0] & bit;
	return 0;
}

int64_t gmem_sim_vm_ioctl(struct sim_vm *vm, uint32_t request, uint64_t argument)
{
	switch (request) {
	case GMEM_KVM_CHECK_EXTENSION:
		return gmem_sim_check_extension(vm->sim, vm, argument);
	case GMEM_KVM_CREATE_VCPU:
		return create_vcpu(vm, argument);
	case GMEM_KVM_SET_USER_MEMORY_REGION:
		return gmem_sim_set_slot(vm, argument, false);
	case GMEM_KVM_SET_USER_MEMORY_REGION2:
		return gmem_sim_set_slot(vm, argument, true);
	case GMEM_KVM_GET_DIRTY_LOG:
		return gmem_sim_get_dirty_log(vm, argument);
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES:
		return gmem_sim_vm_set_attributes(vm, argument);
	case GMEM_KVM_CREATE_GUEST_MEMFD:
		return gmem_sim_file_create(vm, argument);
	case SIM_KVM_ENABLE_CAP:
		return enable_capability(vm, argument);
	case SIM_KVM_MEMORY_ENCRYPT_OP:
		return vm->type == GMEM_KVM_VM_TYPE_SNP
			       ? gmem_sim_snp_command(vm->sim, vm, argument)
			       : -ENOTTY;
	case GMEM_KVM_HAS_DEVICE_ATTR:
		return device_attribute(vm->sim, vm, argument, false);
	case GMEM_KVM_GET_DEVICE_ATTR:
		return device_attribute(vm->sim, vm, argument, true);
	default:
		return -ENOTTY;
	}
}

struct sim_snp *gmem_sim_vm_get_snp(const struct sim_vm *vm)
{
	return vm->snp;
}

void gmem_sim_vm_set_snp(struct sim_vm *vm, struct sim_snp *snp)
{
	vm->snp = snp;
}

void gmem_sim_vm_set_certs(struct sim_vm *vm)
{
	vm->exits_on_req_certs = true;
}

void gmem_sim_vm_set_launched(struct sim_vm *vm)
{
	vm->is_launched = true;
}
