// SPDX-License-Identifier: LGPL-2.1-or-later
/* The stand-in for KVM: ioctls by the kind of descriptor they are made on. */
#include "fake-internal.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define API_VERSION 12

size_t fake_ioctl_size(uint32_t request)
{
	switch (request) {
	case GMEM_KVM_SET_USER_MEMORY_REGION:
	case GMEM_KVM_SET_USER_MEMORY_REGION2:
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES:
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES2:
	case GMEM_KVM_CREATE_GUEST_MEMFD:
	case GMEM_KVM_HAS_DEVICE_ATTR:
	case GMEM_KVM_GET_DEVICE_ATTR:
		return request >> 16 & 0x3fff;
	default:
		return 0;
	}
}

static int check_extension(const struct fake_kvm *fake, uint64_t number)
{
	switch (number) {
	case GMEM_KVM_CAP_USER_MEMORY:
		return fake->config.cap.user_memory;
	case GMEM_KVM_CAP_NR_MEMSLOTS:
		return fake->config.cap.nr_memslots;
	case GMEM_KVM_CAP_READONLY_MEM:
		return fake->config.cap.readonly_mem;
	case GMEM_KVM_CAP_MULTI_ADDRESS_SPACE:
		return fake->config.cap.multi_address_space;
	case GMEM_KVM_CAP_EXIT_HYPERCALL:
		return fake->config.cap.exit_hypercall;
	case GMEM_KVM_CAP_USER_MEMORY2:
		return fake->config.cap.user_memory2;
	case GMEM_KVM_CAP_MEMORY_FAULT_INFO:
		return fake->config.cap.memory_fault_info;
	case GMEM_KVM_CAP_MEMORY_ATTRIBUTES:
		return fake->config.cap.memory_attributes;
	case GMEM_KVM_CAP_GUEST_MEMFD:
		return fake->config.cap.guest_memfd;
	case GMEM_KVM_CAP_VM_TYPES:
		return fake->config.cap.vm_types;
	case GMEM_KVM_CAP_PRE_FAULT_MEMORY:
		return fake->config.cap.pre_fault;
	case GMEM_KVM_CAP_GUEST_MEMFD_FLAGS:
		return fake->config.cap.guest_memfd_flags;
	default:
		return 0;
	}
}

static int device_attribute(const struct fake_kvm *fake, unsigned int where, uint32_t request,
			    const void *argument)
{
	const struct gmem_kvm_device_attr *attribute = argument;
	uint64_t value = 0;

	if (!(fake->config.device_attributes & where))
		return -ENOTTY;
	if (!attribute)
		return -EFAULT;
	if (attribute->flags)
		return -EINVAL;
	if (attribute->group == GMEM_KVM_X86_GROUP_SEV) {
		if (attribute->attr == GMEM_KVM_X86_SEV_VMSA_FEATURES)
			value = fake->config.snp_features;
		else if (attribute->attr == GMEM_KVM_X86_SNP_POLICY_BITS)
			value = fake->config.snp_policy;
	}
	if (!value)
		return -ENXIO;
	if (request == GMEM_KVM_HAS_DEVICE_ATTR)
		return 0;
	if (!attribute->addr)
		return -EFAULT;
	memcpy((void *)(uintptr_t)attribute->addr, &value, sizeof(value));
	return 0;
}

static int set_region(struct fake_kvm *fake, struct fake_vm *vm, const void *argument)
{
	const struct gmem_kvm_userspace_memory_region *region = argument;
	struct fake_slot slot;

	if (!region)
		return -EFAULT;
	if (region->flags & ~(GMEM_KVM_MEM_LOG_DIRTY_PAGES | GMEM_KVM_MEM_READONLY))
		return -EINVAL;
	slot = (struct fake_slot){
		.slot = region->slot,
		.flags = region->flags,
		.gpa = region->guest_phys_addr,
		.size = region->memory_size,
		.userspace_addr = region->userspace_addr,
		.guest_memfd = -1,
	};
	return fake_set_slot(fake, vm, &slot);
}

static int set_region2(struct fake_kvm *fake, struct fake_vm *vm, const void *argument)
{
	const struct gmem_kvm_userspace_memory_region2 *region = argument;
	struct fake_slot slot;

	if (!fake->config.cap.user_memory2)
		return -ENOTTY;
	if (!region)
		return -EFAULT;
	slot = (struct fake_slot){
		.slot = region->slot,
		.flags = region->flags,
		.gpa = region->guest_phys_addr,
		.size = region->memory_size,
		.userspace_addr = region->userspace_addr,
		.guest_memfd = -1,
	};
	if (region->flags & GMEM_KVM_MEM_GUEST_MEMFD) {
		slot.guest_memfd = (int)region->guest_memfd;
		slot.guest_memfd_offset = region->guest_memfd_offset;
	}
	return fake_set_slot(fake, vm, &slot);
}

/* V1, and C2 where each guest_memfd tracks. */
static int set_attributes(const struct fake_kvm *fake, struct fake_vm *vm, const void *argument)
{
	const struct gmem_kvm_memory_attributes *attributes = argument;
	uint64_t supported = 0;
	uint64_t end;

	if (fake->config.tracking == FAKE_TRACKING_NONE)
		return -ENOTTY;
	if (!attributes)
		return -EFAULT;
	if (fake->config.tracking == FAKE_TRACKING_VM && fake->config.private_memory)
		supported = (uint64_t)fake->config.cap.memory_attributes;
	if (attributes->flags || attributes->attributes & ~supported)
		return -EINVAL;
	if (attributes->size == 0 ||
	    __builtin_add_overflow(attributes->address, attributes->size, &end))
		return -EINVAL;
	if (!is_aligned(attributes->address, fake->config.page_size) ||
	    !is_aligned(attributes->size, fake->config.page_size))
		return -EINVAL;
	if (attributes->attributes)
		spans_add(&vm->private_addresses, attributes->address, end);
	else
		spans_remove(&vm->private_addresses, attributes->address, end);
	return 0;
}

static int create_guest_memfd(struct fake_kvm *fake, struct fake_vm *vm, const void *argument)
{
	const struct gmem_kvm_create_guest_memfd *create = argument;

	if (!fake->config.cap.guest_memfd)
		return -ENOTTY;
	if (!create)
		return -EFAULT;
	return fake_create_guest_memfd(fake, vm, create->size, create->flags);
}

static int vm_ioctl(struct fake_kvm *fake, struct fake_vm *vm, uint32_t request, uint64_t argument)
{
	void *pointer = (void *)(uintptr_t)argument;

	/* F12: a child made by fork() has the descriptor but not the VM. */
	if (getpid() != fake->owner)
		return -EIO;
	switch (request) {
	case GMEM_KVM_CHECK_EXTENSION:
		return check_extension(fake, argument);
	case GMEM_KVM_SET_USER_MEMORY_REGION:
		return set_region(fake, vm, pointer);
	case GMEM_KVM_SET_USER_MEMORY_REGION2:
		return set_region2(fake, vm, pointer);
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES:
		return set_attributes(fake, vm, pointer);
	case GMEM_KVM_CREATE_GUEST_MEMFD:
		return create_guest_memfd(fake, vm, pointer);
	case GMEM_KVM_HAS_DEVICE_ATTR:
	case GMEM_KVM_GET_DEVICE_ATTR:
		return device_attribute(fake, FAKE_ATTRIBUTES_VM, request, pointer);
	default:
		return -ENOTTY;
	}
}

static int create_vm(struct fake_kvm *fake, uint64_t type)
{
	/* Before KVM_CAP_VM_TYPES there was the default type alone. */
	uint64_t types = fake->config.cap.vm_types ? (uint64_t)fake->config.cap.vm_types : 1;

	if (type > 31 || !(types >> type & 1))
		return -EINVAL;
	return fake_add_vm(fake);
}

static int system_ioctl(struct fake_kvm *fake, uint32_t request, uint64_t argument)
{
	switch (request) {
	case GMEM_KVM_GET_API_VERSION:
		return argument ? -EINVAL : API_VERSION;
	case GMEM_KVM_CREATE_VM:
		return create_vm(fake, argument);
	case GMEM_KVM_CHECK_EXTENSION:
		return check_extension(fake, argument);
	case GMEM_KVM_HAS_DEVICE_ATTR:
	case GMEM_KVM_GET_DEVICE_ATTR:
		return device_attribute(fake, FAKE_ATTRIBUTES_SYSTEM, request,
					(const void *)(uintptr_t)argument);
	default:
		return -EINVAL;
	}
}

int64_t fake_ioctl(struct fake_kvm *fake, int fd, uint32_t request, uint64_t argument)
{
	struct fake_vm *vm = fake_find_vm(fake, fd);
	struct file_id id;
	int err;

	if (vm)
		return vm_ioctl(fake, vm, request, argument);
	if (fake_is_system(fake, fd))
		return system_ioctl(fake, request, argument);
	err = fake_identify(fake, fd, &id);
	if (err < 0)
		return err;
	if (fake_file_by_id(fake, id) && request == GMEM_KVM_SET_MEMORY_ATTRIBUTES2)
		return fake_set_file_attributes(fake, fd, (void *)(uintptr_t)argument);
	return -ENOTTY;
}
