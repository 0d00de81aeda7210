// SPDX-License-Identifier: LGPL-2.1-or-later
/* The stand-in for KVM: memslots (facts S1 to S5). */
#include "fake-internal.h"
#include "support.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <string.h>

static uint32_t address_space(uint32_t slot)
{
	return slot >> GMEM_KVM_SLOT_BITS;
}

static struct fake_binding *find(const struct fake_vm *vm, uint32_t slot)
{
	size_t i;

	for (i = 0; i < vm->slot_count; i++)
		if (vm->slots[i].slot.slot == slot)
			return &vm->slots[i];
	return NULL;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int check_flags(const struct fake_kvm *fake, uint32_t flags)
{
	uint32_t valid = GMEM_KVM_MEM_LOG_DIRTY_PAGES;

	if (fake->config.cap.readonly_mem)
		valid |= GMEM_KVM_MEM_READONLY;
	/* S2 */
	if (flags & GMEM_KVM_MEM_GUEST_MEMFD)
		valid = fake->config.cap.guest_memfd ? GMEM_KVM_MEM_GUEST_MEMFD : 0;
	return flags & ~valid ? -EINVAL : 0;
}

static int check_number(const struct fake_kvm *fake, uint32_t slot)
{
	uint32_t spaces = 1;

	if (fake->config.cap.multi_address_space > 1)
		spaces = (uint32_t)fake->config.cap.multi_address_space;
	if (address_space(slot) >= spaces)
		return -EINVAL;
	if ((slot & 0xffff) >= (uint32_t)fake->config.cap.nr_memslots)
		return -EINVAL;
	return 0;
}

static int check_range(const struct fake_kvm *fake, const struct fake_slot *slot)
{
	uint64_t page = fake->config.page_size;
	uint64_t end;

	if (!is_aligned(slot->gpa, page) || !is_aligned(slot->size, page) ||
	    !is_aligned(slot->userspace_addr, page) || !is_aligned(slot->guest_memfd_offset, page))
		return -EINVAL;
	if (__builtin_add_overflow(slot->gpa, slot->size, &end) ||
	    __builtin_add_overflow(slot->guest_memfd_offset, slot->size, &end) ||
	    __builtin_add_overflow(slot->userspace_addr, slot->size, &end))
		return -EINVAL;
	if (end > INT64_MAX)
		return -EINVAL;
	return slot->size / page > GMEM_KVM_MEM_MAX_NR_PAGES ? -EINVAL : 0;
}

/* Another slot of the address space at the same addresses; not the slot itself, which may move. */
static int check_addresses(const struct fake_kvm *fake, const struct fake_vm *vm,
			   const struct fake_slot *slot)
{
	size_t i;

	for (i = 0; i < vm->slot_count; i++) {
		const struct fake_slot *other = &vm->slots[i].slot;

		if (other->slot != slot->slot &&
		    address_space(other->slot) == address_space(slot->slot) &&
		    overlap(other->gpa, other->size, slot->gpa, slot->size))
			return -EEXIST;
	}
	if ((slot->gpa + slot->size - 1) >> fake->config.gpa_bits)
		return -EINVAL;
	return 0;
}

/* S1, F12 */
static int check_binding(struct fake_kvm *fake, const struct fake_vm *vm,
			 const struct fake_slot *slot, struct file_id *id)
{
	const struct fake_file *file;
	size_t i;

	if (fake_identify(fake, slot->guest_memfd, id) < 0)
		return -EBADF;
	file = fake_file_by_id(fake, *id);
	if (!file || file->vm != vm)
		return -EINVAL;
	if (slot->size > file->size || slot->guest_memfd_offset > file->size - slot->size)
		return -EINVAL;
	for (i = 0; i < vm->slot_count; i++) {
		const struct fake_binding *other = &vm->slots[i];

		if (other->slot.guest_memfd >= 0 && same_file(other->file, *id) &&
		    overlap(other->slot.guest_memfd_offset, other->slot.size,
			    slot->guest_memfd_offset, slot->size))
			return -fake->config.binding_errno;
	}
	return 0;
}

static int delete_slot(struct fake_vm *vm, uint32_t number)
{
	struct fake_binding *old = find(vm, number);

	if (!old)
		return -EINVAL;
	*old = vm->slots[--vm->slot_count];
	return 0;
}

static int change_slot(struct fake_kvm *fake, struct fake_vm *vm, const struct fake_slot *slot,
		       struct fake_binding *old)
{
	int err;

	/* S2: such a slot cannot change in any way, nor can a plain one become such. */
	if ((old->slot.flags | slot->flags) & GMEM_KVM_MEM_GUEST_MEMFD)
		return -EINVAL;
	if (slot->userspace_addr != old->slot.userspace_addr || slot->size != old->slot.size ||
	    (slot->flags ^ old->slot.flags) & GMEM_KVM_MEM_READONLY)
		return -EINVAL;
	err = check_addresses(fake, vm, slot);
	if (err < 0)
		return err;
	old->slot = *slot;
	return 0;
}

static int add_slot(struct fake_kvm *fake, struct fake_vm *vm, const struct fake_slot *slot)
{
	struct fake_binding new_slot = { .slot = *slot };
	int err = check_addresses(fake, vm, slot);

	if (err < 0)
		return err;
	if (slot->flags & GMEM_KVM_MEM_GUEST_MEMFD) {
		err = check_binding(fake, vm, slot, &new_slot.file);
		if (err < 0)
			return err;
	}
	vm->slots = support_grow(vm->slots, vm->slot_count, &vm->slot_room, sizeof(vm->slots[0]));
	vm->slots[vm->slot_count++] = new_slot;
	return 0;
}

int fake_set_slot(struct fake_kvm *fake, struct fake_vm *vm, const struct fake_slot *slot)
{
	struct fake_binding *old;
	int err = check_flags(fake, slot->flags);

	if (err == 0)
		err = check_range(fake, slot);
	if (err == 0)
		err = check_number(fake, slot->slot);
	if (err < 0)
		return err;
	if (slot->size == 0)
		return delete_slot(vm, slot->slot);
	old = find(vm, slot->slot);
	if (old)
		return change_slot(fake, vm, slot, old);
	return add_slot(fake, vm, slot);
}

unsigned int fake_kvm_slot_count(struct fake_kvm *fake, int vm_fd)
{
	const struct fake_vm *vm;
	unsigned int count;

	pthread_mutex_lock(&fake->mutex);
	vm = fake_find_vm(fake, vm_fd);
	count = vm ? (unsigned int)vm->slot_count : 0;
	pthread_mutex_unlock(&fake->mutex);
	return count;
}

bool fake_kvm_find_slot(struct fake_kvm *fake, int vm_fd, uint32_t slot, struct fake_slot *out)
{
	const struct fake_binding *found;
	const struct fake_vm *vm;

	pthread_mutex_lock(&fake->mutex);
	vm = fake_find_vm(fake, vm_fd);
	found = vm ? find(vm, slot) : NULL;
	if (found && out)
		*out = found->slot;
	pthread_mutex_unlock(&fake->mutex);
	return found != NULL;
}

bool fake_kvm_slot_at(struct fake_kvm *fake, int vm_fd, uint32_t space, uint64_t gpa,
		      struct fake_slot *out)
{
	const struct fake_vm *vm;
	bool found = false;
	size_t i;

	pthread_mutex_lock(&fake->mutex);
	vm = fake_find_vm(fake, vm_fd);
	for (i = 0; vm && !found && i < vm->slot_count; i++) {
		const struct fake_slot *slot = &vm->slots[i].slot;

		found = address_space(slot->slot) == space && gpa >= slot->gpa &&
			gpa - slot->gpa < slot->size;
		if (found && out)
			*out = *slot;
	}
	pthread_mutex_unlock(&fake->mutex);
	return found;
}

bool fake_kvm_slot_is_bound_to(struct fake_kvm *fake, int vm_fd, uint32_t slot, int fd)
{
	const struct fake_binding *found;
	const struct fake_vm *vm;
	struct file_id id;
	bool bound;

	pthread_mutex_lock(&fake->mutex);
	vm = fake_find_vm(fake, vm_fd);
	found = vm ? find(vm, slot) : NULL;
	bound = found && found->slot.guest_memfd >= 0 && fake_identify(fake, fd, &id) == 0 &&
		same_file(found->file, id);
	pthread_mutex_unlock(&fake->mutex);
	return bound;
}

uint64_t fake_kvm_gpa_attributes(struct fake_kvm *fake, int vm_fd, uint64_t gpa)
{
	const struct fake_vm *vm;
	uint64_t attributes = 0;

	pthread_mutex_lock(&fake->mutex);
	vm = fake_find_vm(fake, vm_fd);
	if (vm && spans_has(&vm->private_addresses, gpa))
		attributes = GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE;
	pthread_mutex_unlock(&fake->mutex);
	return attributes;
}

uint64_t fake_kvm_gpa_private_bytes(struct fake_kvm *fake, int vm_fd)
{
	const struct fake_vm *vm;
	uint64_t bytes = 0;

	pthread_mutex_lock(&fake->mutex);
	vm = fake_find_vm(fake, vm_fd);
	if (vm)
		bytes = spans_total(&vm->private_addresses, 0, UINT64_MAX);
	pthread_mutex_unlock(&fake->mutex);
	return bytes;
}
