// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memslots: facts S1 to S5, with the refusals in the kernel's order. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_MASK ((UINT32_C(1) << GMEM_KVM_SLOT_BITS) - 1)
/* x86-64 keeps the last page from everybody; another host may have memory further up. */
#ifdef __x86_64__
#define USER_ADDRESS_END ((UINT64_C(1) << 47) - 4096)
#else
#define USER_ADDRESS_END (UINT64_C(1) << 52)
#endif

enum change {
	CHANGE_NONE,
	CHANGE_ADD,
	CHANGE_DELETE,
	CHANGE_MOVE,
	CHANGE_FLAGS,
};

static uint32_t address_space_of(uint32_t number)
{
	return number >> GMEM_KVM_SLOT_BITS;
}

struct sim_slot *gmem_sim_slot_at(const struct sim_vm *vm, uint32_t address_space, uint64_t gpa)
{
	size_t low = 0;
	size_t high = vm->slot_count;
	struct sim_slot *slot;

	/* The first that ends after gpa. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t its_space;

		slot = &vm->slots[middle];
		its_space = address_space_of(slot->number);
		if (its_space > address_space ||
		    (its_space == address_space && slot->gpa + slot->size > gpa))
			high = middle;
		else
			low = middle + 1;
	}
	slot = low < vm->slot_count ? &vm->slots[low] : NULL;
	return slot && address_space_of(slot->number) == address_space && slot->gpa <= gpa ? slot
											   : NULL;
}

static struct sim_slot *find_number(const struct sim_vm *vm, uint32_t number)
{
	size_t i;

	for (i = 0; i < vm->slot_count; i++)
		if (vm->slots[i].number == number)
			return &vm->slots[i];
	return NULL;
}

static bool shows(const struct sim_slot *slot, const struct sim_file *file, uint64_t start,
		  uint64_t end)
{
	return slot->file == file && slot->file_offset < end &&
	       slot->file_offset + slot->size > start;
}

const struct sim_slot *gmem_sim_slot_of_page(const struct sim_file *file, uint64_t offset)
{
	const struct sim_vm *vm = file->vm;
	size_t i;

	for (i = 0; i < vm->slot_count; i++)
		if (shows(&vm->slots[i], file, offset, offset + 1))
			return &vm->slots[i];
	return NULL;
}

void gmem_sim_slots_forget_file(struct sim_vm *vm, const struct sim_file *file)
{
	size_t i;

	for (i = 0; i < vm->slot_count; i++)
		if (vm->slots[i].file == file)
			vm->slots[i].file = NULL;
}

/* I2, S2 */
static int check_flags(const struct sim_vm *vm, uint32_t flags)
{
	uint32_t legal = GMEM_KVM_MEM_LOG_DIRTY_PAGES | GMEM_KVM_MEM_READONLY;
	bool can_bind = vm->sim->config.guest_memfd &&
			(!vm->sim->config.only_private || gmem_sim_vm_has_private_memory(vm));

	if (flags & GMEM_KVM_MEM_GUEST_MEMFD)
		legal = can_bind ? GMEM_KVM_MEM_GUEST_MEMFD : 0;
	return flags & ~legal ? -EINVAL : 0;
}

static int check_arguments(const struct sim_vm *vm,
			   const struct gmem_kvm_userspace_memory_region2 *region)
{
	const struct gmem_sim *sim = vm->sim;
	uint64_t end;

	if (check_flags(vm, region->flags) < 0 || (region->slot & SLOT_MASK) >= sim->config.slots ||
	    !sim_is_aligned(sim, region->memory_size) ||
	    !sim_is_aligned(sim, region->guest_phys_addr) ||
	    !sim_is_aligned(sim, region->userspace_addr))
		return -EINVAL;
	if (__builtin_add_overflow(region->userspace_addr, region->memory_size, &end) ||
	    end > USER_ADDRESS_END)
		return -EINVAL;
	if (region->flags & GMEM_KVM_MEM_GUEST_MEMFD &&
	    (!sim_is_aligned(sim, region->guest_memfd_offset) ||
	     __builtin_add_overflow(region->guest_memfd_offset, region->memory_size, &end)))
		return -EINVAL;
	if (address_space_of(region->slot) >= gmem_sim_address_spaces(vm) ||
	    __builtin_add_overflow(region->guest_phys_addr, region->memory_size, &end))
		return -EINVAL;
	return region->memory_size / sim->config.page_size > GMEM_KVM_MEM_MAX_NR_PAGES ? -EINVAL
										       : 0;
}

/* An enum change, or a negative errno. */
static int find_change(const struct sim_slot *old,
		       const struct gmem_kvm_userspace_memory_region2 *region)
{
	const uint32_t fixed = GMEM_KVM_MEM_READONLY | GMEM_KVM_MEM_GUEST_MEMFD;

	if (region->memory_size == 0)
		return old ? CHANGE_DELETE : -EINVAL;
	if (!old)
		return CHANGE_ADD;
	if (region->flags & GMEM_KVM_MEM_GUEST_MEMFD ||
	    region->userspace_addr != old->userspace_addr || region->memory_size != old->size ||
	    (region->flags ^ old->flags) & fixed)
		return -EINVAL;
	if (region->guest_phys_addr != old->gpa)
		return CHANGE_MOVE;
	return region->flags != old->flags ? CHANGE_FLAGS : CHANGE_NONE;
}

static int check_place(const struct sim_vm *vm, const struct sim_slot *old,
		       const struct gmem_kvm_userspace_memory_region2 *region)
{
	uint64_t end = region->guest_phys_addr + region->memory_size;
	size_t i;

	if (end > UINT64_C(1) << SIM_GPA_BITS)
		return -EINVAL;
	for (i = 0; i < vm->slot_count; i++) {
		const struct sim_slot *slot = &vm->slots[i];

		if (slot != old &&
		    address_space_of(slot->number) == address_space_of(region->slot) &&
		    slot->gpa < end && slot->gpa + slot->size > region->guest_phys_addr)
			return -EEXIST;
	}
	return 0;
}

/* F12, S1; the reference is not kept, S5. */
static int bind_file(struct sim_vm *vm, const struct gmem_kvm_userspace_memory_region2 *region,
		     struct sim_file **out)
{
	uint64_t start = region->guest_memfd_offset;
	uint64_t end = start + region->memory_size;
	struct sim_file *file = gmem_sim_find_file(vm->sim, (int)region->guest_memfd);
	dev_t device;
	ino_t inode;
	size_t i;

	if (!file)
		return gmem_sim_host_identify((int)region->guest_memfd, &device, &inode) < 0
			       ? -EBADF
			       : -EINVAL;
	if (file->vm != vm || end > file->size)
		return -EINVAL;
	for (i = 0; i < vm->slot_count; i++)
		if (shows(&vm->slots[i], file, start, end))
			return -(int)vm->sim->config.bind_error;
	*out = file;
	return 0;
}

/* Slots are copied and moved as they are: this is for one that goes. */
static void stop_log(struct sim_slot *slot)
{
	gmem_sim_spans_free(&slot->dirty);
}

int gmem_sim_slot_mark_dirty(struct sim_vm *vm, uint32_t address_space, uint64_t gpa)
{
	struct sim_slot *slot = gmem_sim_slot_at(vm, address_space, gpa);
	uint64_t offset;

	if (!slot || !(slot->flags & GMEM_KVM_MEM_LOG_DIRTY_PAGES))
		return 0;
	offset = sim_page_floor(vm->sim, gpa) - slot->gpa;
	return gmem_sim_spans_add(&slot->dirty, offset, offset + vm->sim->config.page_size);
}

/* 64 pages of the slot, the first of which is at offset. */
static uint64_t dirty_word(const struct sim_slot *slot, uint64_t offset, uint64_t page_size)
{
	uint64_t end = offset + 64 * page_size;
	uint64_t word = 0;
	struct sim_span piece;
	uint64_t at;

	for (at = offset; gmem_sim_spans_next(&slot->dirty, at, end, &piece); at = piece.end)
		for (at = piece.start; at < piece.end; at += page_size)
			word |= UINT64_C(1) << (at - offset) / page_size;
	return word;
}

static int copy_log(struct gmem_sim *sim, const struct sim_slot *slot, uint64_t bitmap)
{
	uint64_t page_size = sim->config.page_size;
	uint64_t words[512];
	size_t count = 0;
	uint64_t offset;

	for (offset = 0; offset < slot->size; offset += 64 * page_size) {
		words[count++] = dirty_word(slot, offset, page_size);
		if (count < sizeof(words) / sizeof(words[0]) &&
		    slot->size - offset > 64 * page_size)
			continue;
		if (gmem_sim_copy_out(sim, bitmap, words, count * sizeof(words[0])) < 0)
			return -EFAULT;
		bitmap += count * sizeof(words[0]);
		count = 0;
	}
	return 0;
}

/* What is told is forgotten, also where it could not be told. */
int gmem_sim_get_dirty_log(struct sim_vm *vm, uint64_t argument)
{
	struct gmem_kvm_dirty_log log;
	struct sim_slot *slot;
	int err;

	if (gmem_sim_copy_in(vm->sim, &log, argument, sizeof(log)) < 0)
		return -EFAULT;
	if (address_space_of(log.slot) >= gmem_sim_address_spaces(vm) ||
	    (log.slot & SLOT_MASK) >= vm->sim->config.slots)
		return -EINVAL;
	slot = find_number(vm, log.slot);
	if (!slot || !(slot->flags & GMEM_KVM_MEM_LOG_DIRTY_PAGES))
		return -ENOENT;
	err = copy_log(vm->sim, slot, log.dirty_bitmap);
	gmem_sim_spans_free(&slot->dirty);
	return err;
}

void gmem_sim_slots_free(struct sim_vm *vm)
{
	size_t i;

	for (i = 0; i < vm->slot_count; i++)
		stop_log(&vm->slots[i]);
	free(vm->slots);
}

static void remove_slot(struct sim_vm *vm, const struct sim_slot *slot)
{
	size_t i = (size_t)(slot - vm->slots);

	memmove(vm->slots + i, vm->slots + i + 1, (vm->slot_count - i - 1) * sizeof(*slot));
	vm->slot_count--;
}

static bool is_before(const struct sim_slot *left, const struct sim_slot *right)
{
	uint32_t a = address_space_of(left->number);
	uint32_t b = address_space_of(right->number);

	return a != b ? a < b : left->gpa < right->gpa;
}

/* There is room. */
static void insert_slot(struct sim_vm *vm, const struct sim_slot *slot)
{
	size_t i = 0;

	while (i < vm->slot_count && is_before(&vm->slots[i], slot))
		i++;
	memmove(vm->slots + i + 1, vm->slots + i, (vm->slot_count - i) * sizeof(*slot));
	vm->slots[i] = *slot;
	vm->slot_count++;
}

static int add_slot(struct sim_vm *vm, const struct gmem_kvm_userspace_memory_region2 *region)
{
	struct sim_slot slot = {
		.number = region->slot,
		.flags = region->flags,
		.gpa = region->guest_phys_addr,
		.size = region->memory_size,
		.userspace_addr = region->userspace_addr,
	};
	int err = gmem_sim_grow((void **)&vm->slots, vm->slot_count, &vm->slot_room, sizeof(slot));

	if (err == 0 && region->flags & GMEM_KVM_MEM_GUEST_MEMFD) {
		err = bind_file(vm, region, &slot.file);
		if (err == 0) {
			slot.file_offset = region->guest_memfd_offset;
			slot.file_flags = slot.file->flags;
		}
	}
	if (err == 0)
		insert_slot(vm, &slot);
	return err;
}

static void move_slot(struct sim_vm *vm, const struct sim_slot *old,
		      const struct gmem_kvm_userspace_memory_region2 *region)
{
	struct sim_slot moved = *old;

	remove_slot(vm, old);
	moved.gpa = region->guest_phys_addr;
	moved.flags = region->flags;
	if (!(moved.flags & GMEM_KVM_MEM_LOG_DIRTY_PAGES))
		stop_log(&moved);
	insert_slot(vm, &moved);
}

static int set_slot(struct sim_vm *vm, const struct gmem_kvm_userspace_memory_region2 *region)
{
	struct sim_slot *old;
	int change;
	int err = check_arguments(vm, region);

	if (err < 0)
		return err;
	old = find_number(vm, region->slot);
	change = find_change(old, region);
	if (change == CHANGE_ADD || change == CHANGE_MOVE) {
		err = check_place(vm, old, region);
		if (err < 0)
			return err;
	}
	switch (change) {
	case CHANGE_ADD:
		return add_slot(vm, region);
	case CHANGE_DELETE:
		stop_log(old);
		remove_slot(vm, old);
		return 0;
	case CHANGE_MOVE:
		move_slot(vm, old, region);
		return 0;
	case CHANGE_FLAGS:
		stop_log(old);
		old->flags = region->flags;
		return 0;
	default:
		return change;
	}
}

int gmem_sim_set_slot(struct sim_vm *vm, uint64_t argument, bool is_second)
{
	struct gmem_kvm_userspace_memory_region2 region = { 0 };
	size_t size = is_second ? sizeof(region) : sizeof(struct gmem_kvm_userspace_memory_region);

	if (is_second && !vm->sim->config.guest_memfd)
		return -ENOTTY;
	/* The second begins with the first. */
	if (gmem_sim_copy_in(vm->sim, &region, argument, size) < 0)
		return -EFAULT;
	if (!is_second && region.flags & GMEM_KVM_MEM_GUEST_MEMFD)
		return -EINVAL;
	return set_slot(vm, &region);
}
