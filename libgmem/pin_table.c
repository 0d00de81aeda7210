// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pins in a table of slots. A thread takes its slots from a group of its own, as far as a hash can
 * see to that, so that threads which pin at the same time do not write to the same cache line; only
 * when it is full does it go on to the next.
 */
#include "pin_table.h"

#include "compiler.h"
#include "range.h"
#include "thread.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>

/* Groups that threads start at; claims look at these, and at others once they have been used. */
#define FIRST_GROUPS 8u

int gmem_pin_table_init(struct gmem_vm *vm)
{
	int64_t address = gmem_kernel_mmap(&vm->kernel, 0, sizeof(struct pin_memory),
					   PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (address < 0)
		return -ENOMEM;
	/* Most slots are never used, which a huge page would give memory all the same. */
	gmem_kernel_madvise(&vm->kernel, (uint64_t)address, sizeof(struct pin_memory),
			    MADV_NOHUGEPAGE);
	vm->pins.memory = (struct pin_memory *)(uintptr_t)address;
	atomic_init(&vm->pins.groups, FIRST_GROUPS);
	return 0;
}

void gmem_pin_table_release(struct gmem_vm *vm)
{
	if (vm->pins.memory)
		gmem_kernel_munmap(&vm->kernel, address_of(vm->pins.memory),
				   sizeof(struct pin_memory));
	vm->pins.memory = NULL;
}

static uint32_t group_of_thread(void)
{
	/* Thread descriptors lie at regular distances: the upper bits of a product spread them. */
	uint64_t hash = (uint64_t)this_thread() * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(hash >> 32) % FIRST_GROUPS;
}

/* A free slot of a group, or -1. */
static int take_slot(struct pin_group *group)
{
	uint64_t taken = atomic_load_explicit(&group->taken, memory_order_relaxed);

	while (taken != UINT64_MAX) {
		int bit = __builtin_ctzll(~taken);
		uint64_t mask = UINT64_C(1) << bit;

		taken = atomic_fetch_or_explicit(&group->taken, mask, memory_order_seq_cst);
		if (!(taken & mask))
			return bit;
	}
	return -1;
}

/*
 * Has claims look at a group from now on. What another thread's pin has raised already counts as
 * well, so finding that takes part in the order that claim.h speaks of too.
 */
static void raise_groups(struct pin_table *table, uint32_t groups)
{
	uint32_t seen = atomic_load_explicit(&table->groups, memory_order_seq_cst);

	while (seen < groups &&
	       !atomic_compare_exchange_weak_explicit(&table->groups, &seen, groups,
						      memory_order_seq_cst, memory_order_seq_cst))
		;
}

static struct pin_slot *slot_at(struct gmem_vm *vm, uint32_t slot)
{
	return &vm->pins.memory->slots[slot];
}

static inline void fill_slot(struct gmem_vm *vm, uint32_t group, int bit, uint64_t gpa,
			     uint64_t size, uint32_t *slot)
{
	struct pin_slot *filled;

	*slot = group * PIN_GROUP_SLOTS + (uint32_t)bit;
	filled = slot_at(vm, *slot);
	atomic_store_explicit(&filled->gpa, gpa, memory_order_release);
	atomic_store_explicit(&filled->size, size, memory_order_seq_cst);
}

/* In any group but the first. */
static __attribute__((noinline)) int add_elsewhere(struct gmem_vm *vm, uint32_t first, uint64_t gpa,
						   uint64_t size, uint32_t *slot)
{
	uint32_t i;

	for (i = 1; i < PIN_GROUPS; i++) {
		uint32_t group = (first + i) % PIN_GROUPS;
		int bit = take_slot(&vm->pins.memory->groups[group]);

		if (bit < 0)
			continue;
		if (group >= FIRST_GROUPS)
			raise_groups(&vm->pins, group + 1);
		fill_slot(vm, group, bit, gpa, size, slot);
		return 0;
	}
	return -ENOSPC;
}

int gmem_pin_table_add(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t *slot)
{
	uint32_t group = group_of_thread();
	int bit = take_slot(&vm->pins.memory->groups[group]);

	if (unlikely(bit < 0))
		return add_elsewhere(vm, group, gpa, size, slot);
	fill_slot(vm, group, bit, gpa, size, slot);
	return 0;
}

void gmem_pin_table_shrink(struct gmem_vm *vm, uint32_t slot, uint64_t size)
{
	atomic_store_explicit(&slot_at(vm, slot)->size, size, memory_order_release);
}

void gmem_pin_table_drop(struct gmem_vm *vm, uint32_t slot)
{
	struct pin_group *group = &vm->pins.memory->groups[slot / PIN_GROUP_SLOTS];
	uint64_t mask = UINT64_C(1) << slot % PIN_GROUP_SLOTS;

	atomic_store_explicit(&slot_at(vm, slot)->size, 0, memory_order_seq_cst);
	atomic_fetch_and_explicit(&group->taken, ~mask, memory_order_release);
	if (!atomic_load_explicit(&vm->claims.waiting, memory_order_seq_cst))
		return;
	atomic_fetch_add_explicit(&vm->claims.turn, 1, memory_order_seq_cst);
	gmem_kernel_futex_wake(&vm->kernel, &vm->claims.turn, INT_MAX);
}

bool gmem_pin_table_has(struct gmem_vm *vm, uint32_t slot, uint64_t gpa, uint64_t size)
{
	return size && slot < PIN_GROUPS * PIN_GROUP_SLOTS &&
	       atomic_load_explicit(&slot_at(vm, slot)->size, memory_order_relaxed) == size &&
	       atomic_load_explicit(&slot_at(vm, slot)->gpa, memory_order_relaxed) == gpa;
}

/* Makes pinned lower by what one slot has of a range; true if it has any. */
static bool look_at_slot(const struct gmem_vm *vm, const struct pin_slot *slot, uint64_t gpa,
			 uint64_t size, struct gmem_range *pinned)
{
	uint64_t page = vm->caps.page_size;
	/*
	 * Its address belongs to this size, or to one that came later: then that one gives way, and
	 * what was done under the one before it is done.
	 */
	uint64_t bytes = atomic_load_explicit(&slot->size, memory_order_seq_cst);
	uint64_t start = atomic_load_explicit(&slot->gpa, memory_order_acquire);
	uint64_t end;

	if (!bytes || __builtin_add_overflow(start, bytes, &end) ||
	    !ranges_overlap(start, bytes, gpa, size))
		return false;
	start = start > gpa ? start & ~(page - 1) : gpa;
	end = end < gpa + size ? round_up(end, page) : gpa + size;
	if (pinned->size && pinned->gpa < start)
		return true;
	if (pinned->size && pinned->gpa == start && pinned->size >= end - start)
		return true;
	*pinned = (struct gmem_range){ .gpa = start, .size = end - start };
	return true;
}

static inline uint64_t load_taken(const struct pin_memory *memory, uint32_t group)
{
	return atomic_load_explicit(&memory->groups[group].taken, memory_order_seq_cst);
}

/* Most often there is no pin at all: these loads are all there is to do then. */
static inline bool has_none(const struct pin_memory *memory)
{
	_Static_assert(FIRST_GROUPS == 8, "each of them is here");
	return !(load_taken(memory, 0) | load_taken(memory, 1) | load_taken(memory, 2) |
		 load_taken(memory, 3) | load_taken(memory, 4) | load_taken(memory, 5) |
		 load_taken(memory, 6) | load_taken(memory, 7));
}

static __attribute__((noinline)) bool find_in_groups(struct gmem_vm *vm, uint32_t groups,
						     uint64_t gpa, uint64_t size,
						     struct gmem_range *pinned)
{
	bool found = false;
	uint64_t taken;
	uint32_t i;

	for (i = 0; i < groups; i++) {
		for (taken = load_taken(vm->pins.memory, i); taken; taken &= taken - 1) {
			uint32_t slot = i * PIN_GROUP_SLOTS + (uint32_t)__builtin_ctzll(taken);

			found |= look_at_slot(vm, slot_at(vm, slot), gpa, size, pinned);
		}
	}
	return found;
}

bool gmem_pin_table_find(struct gmem_vm *vm, uint64_t gpa, uint64_t size, struct gmem_range *pinned)
{
	uint32_t groups = atomic_load_explicit(&vm->pins.groups, memory_order_seq_cst);

	pinned->size = 0;
	if (groups == FIRST_GROUPS && has_none(vm->pins.memory))
		return false;
	return find_in_groups(vm, groups, gpa, size, pinned);
}

enum verdict gmem_pin_table_wait(struct gmem_vm *vm, uint64_t gpa, uint64_t size, struct wait *wait)
{
	struct claims *claims = &vm->claims;
	enum verdict verdict = VERDICT_AGAIN;
	struct gmem_range pinned;
	uint32_t turn;

	/* Whoever lets go of a pin after the look below sees that somebody is waiting. */
	atomic_fetch_add_explicit(&claims->waiting, 1, memory_order_seq_cst);
	turn = atomic_load_explicit(&claims->turn, memory_order_seq_cst);
	if (gmem_pin_table_find(vm, gpa, size, &pinned)) {
		gmem_wait_note(wait, GMEM_OBSTACLE_PIN, pinned.gpa, pinned.size);
		verdict = gmem_wait_for_page(wait, &claims->turn, turn);
	}
	if (verdict == VERDICT_AGAIN)
		wait->report->obstacle = GMEM_OBSTACLE_NONE;
	atomic_fetch_sub_explicit(&claims->waiting, 1, memory_order_relaxed);
	return verdict;
}
