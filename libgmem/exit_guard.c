// SPDX-License-Identifier: LGPL-2.1-or-later
/* Bounds to what a guest can do with its exits: repeats of one fault, and messages. */
#include "exits.h"

#include "log.h"
#include "range.h"

#include <errno.h>
#include <stdlib.h>

/* As many vCPUs as KVM can have (KVM_MAX_VCPUS of asm/kvm_host.h); a prime, for the steps. */
#define VCPUS 4099u

#define MESSAGES_A_SECOND 10u
#define NANOSECONDS UINT64_C(1000000000)

/* A vCPU's last fault that needed nothing. Only its own thread writes but for the first field. */
struct last_fault {
	_Atomic uintptr_t vcpu;
	_Atomic uint64_t gpa;
	_Atomic uint64_t converted; /* in the VM by then */
	_Atomic uint32_t times;
};

struct messages {
	_Atomic uint64_t second;   /* in which they are counted */
	_Atomic uint32_t sent;     /* in it */
	_Atomic uint64_t timeless; /* for which there was no clock */
};

struct exit_guard {
	/* What the host fails at, and what is wrong with requests: the one never drowns the other. */
	struct messages messages[2];
	struct last_fault faults[VCPUS];
};

int gmem_exit_guard_new(struct gmem_vm *vm)
{
	vm->exits = calloc(1, sizeof(*vm->exits));
	return vm->exits ? 0 : -ENOMEM;
}

void gmem_exit_guard_free(struct gmem_vm *vm)
{
	free(vm->exits);
}

/* The entry of a vCPU; that of somebody else when the table is full, which shares its count. */
static struct last_fault *find(struct exit_guard *guard, const void *vcpu)
{
	uintptr_t key = (uintptr_t)vcpu;
	uint32_t first = (uint32_t)((key >> 12) % VCPUS), i;

	for (i = 0; i < VCPUS; i++) {
		struct last_fault *fault = &guard->faults[(first + i) % VCPUS];
		uintptr_t found = atomic_load_explicit(&fault->vcpu, memory_order_relaxed);

		if (found == key)
			return fault;
		if (!found && atomic_compare_exchange_strong(&fault->vcpu, &found, key))
			return fault;
	}
	return &guard->faults[first];
}

/* In this VM so far, by whomever. */
static uint64_t bytes_converted(const struct gmem_vm *vm)
{
	return atomic_load_explicit(&vm->counters.bytes_private, memory_order_relaxed) +
	       atomic_load_explicit(&vm->counters.bytes_shared, memory_order_relaxed);
}

/*
 * Who lost a race to another vCPU finds that something was converted since the last time. That is
 * no reason to stop, however often it happens: only a guest that gets nowhere is one.
 */
uint32_t gmem_exit_guard_repeat(struct gmem_vm *vm, const void *vcpu, uint64_t gpa)
{
	struct last_fault *fault = find(vm->exits, vcpu);
	uint64_t converted = bytes_converted(vm);
	bool again = atomic_exchange_explicit(&fault->gpa, gpa, memory_order_relaxed) == gpa;

	again &= atomic_exchange_explicit(&fault->converted, converted, memory_order_relaxed) ==
		 converted;
	if (!again)
		atomic_store_explicit(&fault->times, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&fault->times, 1, memory_order_relaxed) + 1;
}

/*
 * Without a clock there are no seconds. Then the first message is sent, the second, the fourth and
 * so on: few however many there are, and never none for good.
 */
static bool is_rare_enough(struct messages *messages)
{
	return is_power_of_two(
		atomic_fetch_add_explicit(&messages->timeless, 1, memory_order_relaxed) + 1);
}

static bool is_in_time(struct messages *messages, uint64_t now)
{
	uint64_t second = atomic_load_explicit(&messages->second, memory_order_relaxed);

	/* One more than it was, so that the first second is another than none. */
	if (second != now / NANOSECONDS + 1 &&
	    atomic_compare_exchange_strong(&messages->second, &second, now / NANOSECONDS + 1))
		atomic_store_explicit(&messages->sent, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&messages->sent, 1, memory_order_relaxed) <
	       MESSAGES_A_SECOND;
}

bool gmem_exit_guard_may_log(struct gmem_vm *vm, uint32_t level)
{
	struct messages *messages = &vm->exits->messages[level == GMEM_LOG_DEBUG];
	uint64_t now;

	/* What nobody hears takes nothing from what somebody would. */
	if (!gmem_log_is_heard(vm->ctx, level))
		return false;
	if (gmem_kernel_clock(&vm->kernel, &now) ? is_rare_enough(messages)
						 : is_in_time(messages, now))
		return true;
	count(&vm->counters.messages_dropped, 1);
	return false;
}
