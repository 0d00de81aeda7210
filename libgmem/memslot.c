// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memslot calls, with either of the kernel's two structs, and attributes that go with them. */
#include "memslot.h"

#include "log.h"
#include "uapi/kvm.h"

#include <errno.h>

static uint32_t kernel_flags(const struct section *section)
{
	uint32_t flags = 0;

	if (section->flags & GMEM_MAP_DIRTY_LOG)
		flags |= GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	if (section->flags & GMEM_MAP_READONLY)
		flags |= GMEM_KVM_MEM_READONLY;
	if (!section->plain)
		flags |= GMEM_KVM_MEM_GUEST_MEMFD;
	return flags;
}

static int set_region2(const struct gmem_vm *vm, const struct section *section, uint64_t size)
{
	struct gmem_kvm_userspace_memory_region2 slot = {
		.slot = section->address_space << GMEM_KVM_SLOT_BITS | section->slot,
		.flags = kernel_flags(section),
		.guest_phys_addr = section->gpa,
		.memory_size = size,
		.userspace_addr = section_host(section),
	};

	if (!section->plain) {
		slot.guest_memfd = (uint32_t)section->region->guest.fd;
		slot.guest_memfd_offset = section->offset;
	}
	return gmem_kernel_ioctl(&vm->kernel, vm->fd, GMEM_KVM_SET_USER_MEMORY_REGION2, &slot);
}

static int set_region(const struct gmem_vm *vm, const struct section *section, uint64_t size)
{
	struct gmem_kvm_userspace_memory_region slot = {
		.slot = section->address_space << GMEM_KVM_SLOT_BITS | section->slot,
		.flags = kernel_flags(section),
		.guest_phys_addr = section->gpa,
		.memory_size = size,
		.userspace_addr = section_host(section),
	};

	return gmem_kernel_ioctl(&vm->kernel, vm->fd, GMEM_KVM_SET_USER_MEMORY_REGION, &slot);
}

/* A size of 0 deletes. Kernels before guest_memfd know the old struct alone. */
static int set_slot(const struct gmem_vm *vm, const struct section *section, uint64_t size)
{
	int rc;

	do {
		rc = vm->caps.region2 ? set_region2(vm, section, size)
				      : set_region(vm, section, size);
	} while (rc == -EINTR);
	return rc;
}

static const char *slot_hint(int error)
{
	if (error == -EEXIST)
		return "; a memslot that was not made here is in the way";
	if (error == -EINVAL)
		return "; has the program a memslot of this number of its own (keep them apart "
		       "with gmem_vm_config_set_slots()), or is the address beyond the guest's "
		       "physical address width?";
	return "";
}

static int slot_failed(const struct gmem_vm *vm, const struct section *section, const char *what,
		       int error)
{
	log_error(vm->ctx,
		  "VM descriptor %d: %s memslot %u of address space %u (region \"%s\", gpa %#llx, "
		  "%#llx bytes, flags %#x) gives %s%s",
		  vm->fd, what, section->slot, section->address_space, region_name(section->region),
		  (unsigned long long)section->gpa, (unsigned long long)section->size,
		  kernel_flags(section), gmem_error_name(error), slot_hint(error));
	return error == -ENOMEM || error == -EEXIST ? error : -EIO;
}

bool gmem_memslot_is_used(const struct gmem_vm *vm, const struct section *section)
{
	return vm->caps.have_kvm && !section_is_reserved(section) &&
	       section->slot != GMEM_SLOT_NONE;
}

static int set_range_attributes(const struct gmem_vm *vm, uint64_t gpa, uint64_t size,
				uint64_t attributes)
{
	struct gmem_kvm_memory_attributes request = {
		.address = gpa,
		.size = size,
		.attributes = attributes,
	};
	int rc;

	do {
		rc = gmem_kernel_ioctl(&vm->kernel, vm->fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES,
				       &request);
	} while (rc == -EINTR);
	return rc;
}

/*
 * Under per-VM tracking the attribute belongs to the address and outlives the slot (kernel fact
 * S6), so every section gets its own, also one that is never private: who was there before may
 * have left some.
 */
static bool has_attributes(const struct gmem_vm *vm, const struct section *section)
{
	return vm->tracking == GMEM_TRACKING_VM && section->region && !section->address_space;
}

/* From the states of the section's pages: a call for each run. */
static int set_attributes(const struct gmem_vm *vm, const struct section *section)
{
	unsigned int shift = vm->caps.page_shift;
	uint64_t done = 0, size;
	bool private = false;
	int rc = 0;

	if (!has_attributes(vm, section))
		return 0;
	for (; done < section->size && !rc; done += size) {
		size = section->size - done;
		if (region_can_be_private(section->region))
			size = gmem_state_run(&region_shadow(section->region)->state,
					      (section->offset + done) >> shift, size >> shift,
					      &private)
			       << shift;
		rc = set_range_attributes(vm, section->gpa + done, size,
					  private ? GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE : 0);
	}
	return rc;
}

/* Back to all shared, which costs the kernel nothing where it is so. */
static int clear_attributes(const struct gmem_vm *vm, const struct section *section)
{
	if (!has_attributes(vm, section))
		return 0;
	return set_range_attributes(vm, section->gpa, section->size, 0);
}

static int attributes_failed(const struct gmem_vm *vm, const struct section *section, int error)
{
	log_error(vm->ctx,
		  "VM descriptor %d: memory attributes of gpa %#llx (region \"%s\", %#llx bytes) "
		  "give %s",
		  vm->fd, (unsigned long long)section->gpa, region_name(section->region),
		  (unsigned long long)section->size, gmem_error_name(error));
	return error == -ENOMEM ? error : -EIO;
}

int gmem_memslot_add(struct gmem_vm *vm, const struct section *section)
{
	int rc = set_attributes(vm, section);

	if (rc) {
		clear_attributes(vm, section);
		return attributes_failed(vm, section, rc);
	}
	if (!gmem_memslot_is_used(vm, section))
		return 0;
	rc = set_slot(vm, section, section->size);
	if (rc) {
		clear_attributes(vm, section);
		return slot_failed(vm, section, "adding", rc);
	}
	return 0;
}

int gmem_memslot_remove(struct gmem_vm *vm, const struct section *section, bool *lost)
{
	int rc = 0;

	*lost = false;
	if (gmem_memslot_is_used(vm, section))
		rc = set_slot(vm, section, 0);
	if (rc)
		return slot_failed(vm, section, "deleting", rc);
	rc = clear_attributes(vm, section);
	if (!rc)
		return 0;
	*lost = gmem_memslot_add(vm, section) != 0;
	return attributes_failed(vm, section, rc);
}

int gmem_memslot_change_flags(struct gmem_vm *vm, const struct section *section)
{
	int rc;

	if (!gmem_memslot_is_used(vm, section))
		return 0;
	rc = set_slot(vm, section, section->size);
	return rc ? slot_failed(vm, section, "changing the flags of", rc) : 0;
}
