// SPDX-License-Identifier: LGPL-2.1-or-later
/* The pool of shadows: address space that is handed on from a dead region to the next. */
#include "shadow.h"

#include "vm.h"

#include <gmem/base.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A child has one thread, and inherits the lock in whatever state it was. */
static void lock(struct gmem_vm *vm)
{
	if (!vm_is_forked(vm))
		pthread_mutex_lock(&vm->shadows_lock);
}

static void unlock(struct gmem_vm *vm)
{
	if (!vm_is_forked(vm))
		pthread_mutex_unlock(&vm->shadows_lock);
}

static struct shadow *take_from_pool(struct gmem_vm *vm, uint64_t pages)
{
	struct shadow **link, *found = NULL;

	lock(vm);
	for (link = &vm->shadows; *link && !found; link = &(*link)->next) {
		if ((*link)->state.pages != pages)
			continue;
		found = *link;
		*link = found->next;
		break;
	}
	unlock(vm);
	return found;
}

struct shadow *gmem_shadow_get(struct gmem_vm *vm, uint64_t pages, bool all_private)
{
	struct shadow *shadow = take_from_pool(vm, pages);

	if (shadow) {
		gmem_state_reset(&shadow->state, &vm->kernel, all_private);
		if (shadow_has_absent(shadow))
			gmem_state_reset(&shadow->absent, &vm->kernel, false);
		if (shadow_has_pending(shadow))
			gmem_state_reset(&shadow->pending, &vm->kernel, false);
		return shadow;
	}
	shadow = calloc(1, sizeof(*shadow));
	if (!shadow)
		return NULL;
	if (gmem_state_init(&shadow->state, &vm->kernel, pages, vm->caps.page_shift, all_private)) {
		free(shadow);
		return NULL;
	}
	return shadow;
}

/* What waits in the pool holds address space alone; gmem_shadow_get() makes it good again. */
static void drop(const struct gmem_vm *vm, const struct state *state)
{
	gmem_kernel_madvise(&vm->kernel, address_of(state->words), state->length, MADV_DONTNEED);
}

void gmem_shadow_put(struct gmem_vm *vm, struct shadow *shadow)
{
	if (!shadow)
		return;
	drop(vm, &shadow->state);
	if (shadow_has_absent(shadow))
		drop(vm, &shadow->absent);
	if (shadow_has_pending(shadow)) {
		count(&vm->counters.bytes_held_twice,
		      -(gmem_state_count_private(&shadow->pending) << vm->caps.page_shift));
		drop(vm, &shadow->pending);
	}
	lock(vm);
	shadow->next = vm->shadows;
	vm->shadows = shadow;
	unlock(vm);
}

void gmem_shadows_free(struct gmem_vm *vm)
{
	while (vm->shadows) {
		struct shadow *shadow = vm->shadows;

		vm->shadows = shadow->next;
		gmem_state_release(&shadow->state, &vm->kernel);
		gmem_state_release(&shadow->absent, &vm->kernel);
		gmem_state_release(&shadow->pending, &vm->kernel);
		free(shadow);
	}
}

/* A second bitmap of as many pages, all 0, unless there is one. */
static int need(struct gmem_vm *vm, const struct shadow *shadow, struct state *state,
		_Atomic bool *is_there)
{
	int rc = 0;

	lock(vm);
	if (!atomic_load_explicit(is_there, memory_order_relaxed))
		rc = gmem_state_init(state, &vm->kernel, shadow->state.pages, vm->caps.page_shift,
				     false);
	if (!rc)
		atomic_store_explicit(is_there, true, memory_order_release);
	unlock(vm);
	return rc;
}

int gmem_shadow_need_absent(struct gmem_vm *vm, struct shadow *shadow)
{
	return need(vm, shadow, &shadow->absent, &shadow->has_absent);
}

int gmem_shadow_need_pending(struct gmem_vm *vm, struct shadow *shadow)
{
	return need(vm, shadow, &shadow->pending, &shadow->has_pending);
}

/* One state of some pages, or several: of those that are not absent. */
static uint32_t query_present(const struct shadow *shadow, uint64_t first, uint64_t count)
{
	uint32_t seen = 0;
	bool absent;

	while (count) {
		uint64_t run = gmem_state_run(&shadow->absent, first, count, &absent);

		seen |= absent ? GMEM_ABSENT : gmem_state_query(&shadow->state, first, run);
		first += run;
		count -= run;
	}
	return seen;
}

uint32_t gmem_shadow_query(const struct shadow *shadow, uint64_t first, uint64_t count)
{
	if (shadow_has_absent(shadow))
		return query_present(shadow, first, count);
	if (count == 1)
		return gmem_state_is_private(&shadow->state, first) ? GMEM_PRIVATE : GMEM_SHARED;
	return gmem_state_query(&shadow->state, first, count);
}

uint64_t gmem_shadow_run(const struct shadow *shadow, uint64_t first, uint64_t limit,
			 uint32_t *state)
{
	bool absent = false, private;

	if (shadow_has_absent(shadow))
		limit = gmem_state_run(&shadow->absent, first, limit, &absent);
	*state = GMEM_ABSENT;
	if (absent)
		return limit;
	limit = gmem_state_run(&shadow->state, first, limit, &private);
	*state = private ? GMEM_PRIVATE : GMEM_SHARED;
	return limit;
}
