// SPDX-License-Identifier: LGPL-2.1-or-later
/* Counters of a VM, as the public struct. */
#include "log.h"
#include "vm.h"

#include <errno.h>

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

int gmem_vm_get_stats(struct gmem_vm *vm, struct gmem_vm_stats *stats)
{
	const struct counters *counters;
	int rc = gmem_vm_check(vm, "gmem_vm_get_stats");

	if (rc)
		return rc;
	if (!stats) {
		log_error(vm->ctx, "gmem_vm_get_stats: stats is NULL, it must be an address");
		return -EINVAL;
	}
	counters = &vm->counters;
	*stats = (struct gmem_vm_stats){
		.conversions = read_counter(&counters->conversions),
		.conversions_failed = read_counter(&counters->conversions_failed),
		.bytes_private = read_counter(&counters->bytes_private),
		.bytes_shared = read_counter(&counters->bytes_shared),
		.ioctls = read_counter(&counters->ioctls),
		.retries = read_counter(&counters->retries),
		.discards = read_counter(&counters->discards),
		.discards_failed = read_counter(&counters->discards_failed),
		.bytes_discarded = read_counter(&counters->bytes_discarded),
		.bytes_held_twice = read_counter(&counters->bytes_held_twice),
		.waited_ns = read_counter(&counters->waited_ns),
		.listener_calls = read_counter(&counters->listener_calls),
		.exits = read_counter(&counters->exits),
		.exits_refused = read_counter(&counters->exits_refused),
		.messages_dropped = read_counter(&counters->messages_dropped),
	};
	return 0;
}
