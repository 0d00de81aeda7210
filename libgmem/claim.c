// SPDX-License-Identifier: LGPL-2.1-or-later
/* Claims on guest-physical addresses: queued, granted, counted, and given up. */
#include "claim.h"

#include "range.h"
#include "thread.h"

#include <errno.h>
#include <limits.h>

static uint64_t claim_low(const struct claim *claim)
{
	return claim->ranges[0].gpa;
}

/* From the first address to the last, with what is between its ranges. */
static struct gmem_range claim_extent(const struct claim *claim)
{
	const struct gmem_range *last = &claim->ranges[claim->count - 1];
	uint64_t low = claim_low(claim);

	return (struct gmem_range){ .gpa = low, .size = last->gpa + last->size - low };
}

/* Whether they have a block in common; mask is its size less 1. */
static bool ranges_meet(const struct gmem_range *one, const struct gmem_range *other, uint64_t mask)
{
	return (one->gpa & ~mask) <= ((other->gpa + other->size - 1) | mask) &&
	       (other->gpa & ~mask) <= ((one->gpa + one->size - 1) | mask);
}

/* Of a range what another one has, which it meets; where they only have blocks in common, of these. */
static struct gmem_range common_part(const struct gmem_range *range, const struct gmem_range *other,
				     uint64_t mask)
{
	uint64_t first = other->gpa, last = other->gpa + other->size - 1;

	if (!ranges_meet(range, other, 0)) {
		first &= ~mask;
		last |= mask;
	}
	if (first < range->gpa)
		first = range->gpa;
	if (last > range->gpa + range->size - 1)
		last = range->gpa + range->size - 1;
	return (struct gmem_range){ .gpa = first, .size = last - first + 1 };
}

static bool lists_meet(const struct claim *a, const struct claim *b, uint64_t mask)
{
	uint64_t i = 0, k = 0;

	while (i < a->count && k < b->count) {
		const struct gmem_range *one = &a->ranges[i], *other = &b->ranges[k];

		if (ranges_meet(one, other, mask))
			return true;
		if (one->gpa < other->gpa)
			i++;
		else
			k++;
	}
	return false;
}

/* The first part of a claim's ranges that another one has, which it meets. */
static struct gmem_range first_common_part(const struct claim *claim, const struct claim *other,
					   uint64_t mask)
{
	uint64_t i = 0, k = 0;

	while (!ranges_meet(&claim->ranges[i], &other->ranges[k], mask)) {
		if (claim->ranges[i].gpa < other->ranges[k].gpa)
			i++;
		else
			k++;
	}
	return common_part(&claim->ranges[i], &other->ranges[k], mask);
}

static bool claims_meet(const struct claim *a, const struct claim *b, uint64_t mask)
{
	struct gmem_range one, other;

	if (!a->count || !b->count)
		return false;
	one = claim_extent(a);
	other = claim_extent(b);
	return ranges_meet(&one, &other, mask) && lists_meet(a, b, mask);
}

/* Somebody who came earlier, at work or waiting, has some of its blocks. */
static bool has_to_wait(const struct claims *claims, const struct claim *claim)
{
	const struct claim *earlier;

	for (earlier = claim->previous; earlier; earlier = earlier->previous) {
		if (claims_meet(earlier, claim, claims->block_mask))
			return true;
	}
	return false;
}

/* What the first who has to be waited for has of a claim; with the lock held. */
static struct gmem_range part_in_the_way(const struct claims *claims, const struct claim *claim)
{
	const struct claim *other = claims->oldest;

	while (!claims_meet(other, claim, claims->block_mask))
		other = other->next;
	return first_common_part(claim, other, claims->block_mask);
}

static inline _Atomic uint32_t *count_at(struct claims *claims, uint64_t index)
{
	return &claims->counts[index % CLAIM_COUNTS];
}

/* Those of a range, from the first to the last. */
static void find_counts(const struct gmem_range *range, uint64_t *first, uint64_t *last)
{
	*first = range->gpa >> CLAIM_COUNT_SHIFT;
	*last = (range->gpa + range->size - 1) >> CLAIM_COUNT_SHIFT;
}

static void count_claim(struct claims *claims, const struct claim *claim, uint32_t change)
{
	uint64_t first, last, i;

	for (i = 0; i < claim->count; i++) {
		find_counts(&claim->ranges[i], &first, &last);
		if (last - first >= CLAIM_COUNTS)
			last = first + CLAIM_COUNTS - 1;
		for (; first <= last; first++)
			atomic_fetch_add_explicit(count_at(claims, first), change,
						  memory_order_seq_cst);
	}
}

/* One range that one count is for. */
static inline bool has_one_count(const struct claim *claim, uint64_t *index)
{
	uint64_t last;

	if (claim->count != 1)
		return false;
	find_counts(claim->ranges, index, &last);
	return *index == last;
}

static bool thread_is_in(const struct claims *claims, uintptr_t thread)
{
	const struct claim *claim;

	for (claim = claims->newest; claim; claim = claim->previous) {
		if (claim->thread == thread)
			return true;
	}
	return false;
}

static void append(struct claims *claims, struct claim *claim)
{
	claim->next = NULL;
	claim->previous = claims->newest;
	if (claims->newest)
		claims->newest->next = claim;
	else
		claims->oldest = claim;
	claims->newest = claim;
}

static void unlink_claim(struct claims *claims, struct claim *claim)
{
	if (claim->previous)
		claim->previous->next = claim->next;
	else
		claims->oldest = claim->next;
	if (claim->next)
		claim->next->previous = claim->previous;
	else
		claims->newest = claim->previous;
}

void gmem_claims_set_block(struct gmem_vm *vm, uint64_t size)
{
	struct claims *claims = &vm->claims;

	lock_take(&claims->lock, &vm->kernel);
	claims->block_mask = size ? size - 1 : 0;
	lock_release(&claims->lock, &vm->kernel);
}

/* With the lock held. */
static bool try_grant(struct claims *claims, struct claim *claim)
{
	if (has_to_wait(claims, claim))
		return false;
	claim->granted = true;
	if (!claim->lets_pins)
		count_claim(claims, claim, 1);
	return true;
}

/* Of the turn, after the lock was given back; sought is what lock_drop() said. */
static __attribute__((noinline)) void wake_others(struct gmem_vm *vm, bool sought)
{
	struct claims *claims = &vm->claims;

	if (sought)
		gmem_lock_wake(&claims->lock, &vm->kernel);
	if (atomic_load_explicit(&claims->waiting, memory_order_seq_cst))
		gmem_kernel_futex_wake(&vm->kernel, &claims->turn, INT_MAX);
}

/* With the lock held, which is given back. */
static inline void end_claim(struct gmem_vm *vm, struct claim *claim)
{
	struct claims *claims = &vm->claims;
	bool sought;

	unlink_claim(claims, claim);
	atomic_fetch_add_explicit(&claims->turn, 1, memory_order_seq_cst);
	sought = lock_drop(&claims->lock);
	if (sought || atomic_load_explicit(&claims->waiting, memory_order_seq_cst))
		wake_others(vm, sought);
}

static __attribute__((noinline)) void give_up(struct gmem_vm *vm, struct claim *claim)
{
	lock_take(&vm->claims.lock, &vm->kernel);
	if (claim->granted && !claim->lets_pins)
		count_claim(&vm->claims, claim, -1u);
	end_claim(vm, claim);
}

/* Sleeps until turn counts on; whoever counts it looks for sleepers afterwards. */
static enum verdict sleep_on_turn(struct claims *claims, uint32_t turn, struct wait *wait)
{
	enum verdict verdict;

	atomic_fetch_add_explicit(&claims->waiting, 1, memory_order_seq_cst);
	verdict = gmem_wait_for_turn(wait, &claims->turn, turn);
	atomic_fetch_sub_explicit(&claims->waiting, 1, memory_order_relaxed);
	return verdict;
}

/* True: granted meanwhile. Else what is in the way is noted, for as long as turn does not change. */
static bool try_again(struct gmem_vm *vm, struct claim *claim, uint32_t *turn, struct wait *wait)
{
	struct claims *claims = &vm->claims;
	struct gmem_range part = { 0 };
	bool granted;

	lock_take(&claims->lock, &vm->kernel);
	*turn = atomic_load_explicit(&claims->turn, memory_order_relaxed);
	granted = try_grant(claims, claim);
	if (!granted)
		part = part_in_the_way(claims, claim);
	lock_release(&claims->lock, &vm->kernel);
	if (!granted)
		gmem_wait_note(wait, GMEM_OBSTACLE_OPERATION, part.gpa, part.size);
	return granted;
}

static __attribute__((noinline)) int wait_for_grant(struct gmem_vm *vm, struct claim *claim,
						    struct wait *wait)
{
	uint32_t turn;

	while (!try_again(vm, claim, &turn, wait)) {
		if (sleep_on_turn(&vm->claims, turn, wait) != VERDICT_AGAIN) {
			give_up(vm, claim);
			return -EAGAIN;
		}
	}
	wait_progress(wait);
	return 0;
}

static inline void prepare(struct claim *claim, const struct gmem_range *ranges, uint64_t count,
			   bool lets_pins)
{
	claim->ranges = ranges;
	claim->count = count;
	claim->thread = this_thread();
	claim->only_count = NULL;
	claim->granted = false;
	claim->lets_pins = lets_pins;
}

/*
 * With the lock held, which is given back. 0, -EDEADLK, or -EAGAIN: somebody who came earlier has
 * to end first. Then it is in the list.
 */
static __attribute__((noinline)) int enter(struct gmem_vm *vm, struct claim *claim)
{
	struct claims *claims = &vm->claims;
	bool mine = thread_is_in(claims, claim->thread), granted = false;

	if (!mine) {
		append(claims, claim);
		granted = try_grant(claims, claim);
	}
	lock_release(&claims->lock, &vm->kernel);
	if (mine)
		return -EDEADLK;
	return granted ? 0 : -EAGAIN;
}

static __attribute__((noinline)) int lock_and_enter(struct gmem_vm *vm, struct claim *claim)
{
	lock_take(&vm->claims.lock, &vm->kernel);
	return enter(vm, claim);
}

static __attribute__((noinline)) int wake_sleeper(struct gmem_vm *vm)
{
	gmem_lock_wake(&vm->claims.lock, &vm->kernel);
	return 0;
}

/*
 * This and gmem_claim_release() are enter() and give_up() made short, for what conversions find
 * most often: nobody else in the list, and one count. Whatever takes another function comes last
 * of all, so neither has registers to save.
 */
int gmem_claim_enter(struct gmem_vm *vm, struct claim *claim, const struct gmem_range *ranges,
		     uint64_t count)
{
	struct claims *claims = &vm->claims;
	uint64_t index;

	prepare(claim, ranges, count, false);
	if (!has_one_count(claim, &index) || !lock_try(&claims->lock))
		return lock_and_enter(vm, claim);
	if (claims->newest)
		return enter(vm, claim);
	append(claims, claim);
	claim->granted = true;
	claim->only_count = count_at(claims, index);
	atomic_fetch_add_explicit(claim->only_count, 1, memory_order_seq_cst);
	return lock_drop(&claims->lock) ? wake_sleeper(vm) : 0;
}

int gmem_claim_await(struct gmem_vm *vm, struct claim *claim, struct wait *wait)
{
	return wait_for_grant(vm, claim, wait);
}

int gmem_claim_take(struct gmem_vm *vm, struct claim *claim, const struct gmem_range *ranges,
		    uint64_t count, struct wait *wait)
{
	int rc = gmem_claim_enter(vm, claim, ranges, count);

	return rc == -EAGAIN ? gmem_claim_await(vm, claim, wait) : rc;
}

int gmem_claim_take_quietly(struct gmem_vm *vm, struct claim *claim,
			    const struct gmem_range *ranges, uint64_t count, struct wait *wait)
{
	int rc;

	prepare(claim, ranges, count, true);
	rc = lock_and_enter(vm, claim);
	return rc == -EAGAIN ? gmem_claim_await(vm, claim, wait) : rc;
}

void gmem_claim_release(struct gmem_vm *vm, struct claim *claim)
{
	if (!claim->only_count || !lock_try(&vm->claims.lock)) {
		give_up(vm, claim);
		return;
	}
	atomic_fetch_sub_explicit(claim->only_count, 1, memory_order_seq_cst);
	end_claim(vm, claim);
}

bool gmem_claim_is_mine(struct gmem_vm *vm)
{
	struct claims *claims = &vm->claims;
	bool mine;

	lock_take(&claims->lock, &vm->kernel);
	mine = thread_is_in(claims, this_thread());
	lock_release(&claims->lock, &vm->kernel);
	return mine;
}

static inline bool is_counted(struct claims *claims, const struct gmem_range *range)
{
	uint64_t first, last;

	find_counts(range, &first, &last);
	if (last - first >= CLAIM_COUNTS)
		last = first + CLAIM_COUNTS - 1;
	for (; first <= last; first++) {
		if (atomic_load_explicit(count_at(claims, first), memory_order_seq_cst))
			return true;
	}
	return false;
}

/* The look at the list, once the counts say that somebody may be there. */
static __attribute__((noinline)) bool find_granted(struct gmem_vm *vm,
						   const struct gmem_range *range, uint32_t *seen,
						   struct gmem_range *part)
{
	const struct claim wanted = { .ranges = range, .count = 1 };
	struct claims *claims = &vm->claims;
	const struct claim *claim;

	lock_take(&claims->lock, &vm->kernel);
	*seen = atomic_load_explicit(&claims->turn, memory_order_relaxed);
	claim = claims->oldest;
	while (claim && (!claim->granted || claim->lets_pins || !claims_meet(claim, &wanted, 0)))
		claim = claim->next;
	if (claim)
		*part = first_common_part(&wanted, claim, 0);
	lock_release(&claims->lock, &vm->kernel);
	return claim != NULL;
}

bool gmem_claim_find(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t *seen,
		     struct gmem_range *part)
{
	const struct gmem_range range = { .gpa = gpa, .size = size };

	return is_counted(&vm->claims, &range) && find_granted(vm, &range, seen, part);
}

bool gmem_claim_covers(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t *seen)
{
	const struct gmem_range range = { .gpa = gpa, .size = size };
	struct gmem_range part;

	return is_counted(&vm->claims, &range) && find_granted(vm, &range, seen, &part);
}

int gmem_claim_wait(struct gmem_vm *vm, uint32_t seen, struct wait *wait)
{
	if (gmem_claim_is_mine(vm))
		return -EDEADLK;
	return sleep_on_turn(&vm->claims, seen, wait) == VERDICT_AGAIN ? 0 : -EAGAIN;
}
