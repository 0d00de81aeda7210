/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM from inside. Counted: the caller's handle, regions and changes each hold a reference, so
 * that they can be given back in any order.
 */
#ifndef GMEM_VM_PRIVATE_H
#define GMEM_VM_PRIVATE_H

#include "caps.h"
#include "claims.h"
#include "closure.h"
#include "counters.h"
#include "ctx.h"
#include "kernel.h"

#include <gmem/vm.h>
#include <pthread.h>

struct exit_guard;
struct layout;
struct shadow;

struct gmem_vm_config {
	uint32_t tracking;
	uint32_t first_slot;
	uint32_t slot_count;
	gmem_pause_fn pause;
	gmem_resume_fn resume;
	struct closure *closure; /* of pause and resume */
	uint32_t flags;          /* GMEM_VM_* */
	uint32_t type;           /* GMEM_VM_TYPE_* */
	uint64_t deadline_ns;
	uint64_t prefault_limit;
	uint64_t discard_limit;
	gmem_retry_fn retry;
	struct closure *retry_closure;
	/* In a setter, which cannot say so. */
	bool no_memory_for_pause;
	bool no_memory_for_retry;
};

struct gmem_vm {
	atomic_uint references;
	struct gmem_ctx *ctx;
	struct gmem_kernel kernel;
	int fd; /* -1: no KVM */
	struct caps caps;
	uint32_t tracking; /* GMEM_TRACKING_*: the kernel's, or none by choice */
	struct gmem_vm_config config;
	/* One page that is wiped by fork(): 1 where the VM was made, 0 in a child. */
	_Atomic uint32_t *mark;
	struct layout *layout;
	/* Tag and offset of what is at a report's gpa; for those below the layout. */
	void (*place)(const struct gmem_vm *vm, struct gmem_report *report);
	_Atomic bool ended; /* the caller's handle is gone, and perhaps KVM's VM */
	/* Shadows of dead regions, kept because readers of the layout may still look at them. */
	pthread_mutex_t shadows_lock;
	struct shadow *shadows;
	struct claims claims;
	struct pin_table pins;
	/* In the order they were made. Changes only while a claim has all addresses. */
	struct gmem_listener *first_listener;
	struct gmem_listener *last_listener;
	_Atomic bool has_split; /* some region has two sides */
	_Atomic bool no_clock;  /* it failed, which was logged */
	struct exit_guard *exits;
	struct counters counters;
};

/* Every public function's first look at its VM: 0; -EINVAL (NULL), -EIO (in a child). */
int gmem_vm_check(const struct gmem_vm *vm, const char *function);

static inline bool vm_is_forked(const struct gmem_vm *vm)
{
	return !atomic_load_explicit(vm->mark, memory_order_relaxed);
}

/* Pages of this VM can be private. */
static inline bool vm_has_private(const struct gmem_vm *vm)
{
	return vm->tracking != GMEM_TRACKING_NONE;
}

void gmem_vm_config_init(struct gmem_vm_config *config);

struct gmem_vm *gmem_vm_get(struct gmem_vm *vm);
void gmem_vm_put(struct gmem_vm *vm);

#endif /* GMEM_VM_PRIVATE_H */
