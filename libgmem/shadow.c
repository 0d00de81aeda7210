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

void gmem_shadow_put(struct gmem_vm *vm, struct shadow *shadow)
{
	if (!shadow)
		return;
	/* What waits in the pool holds address space alone; gmem_shadow_get() makes it good again. */
	gmem_kernel_madvise(&vm->kernel, address_of(shadow->state.words), shadow->state.length,
			    MADV_DONTNEED);
	if (shadow_has_absent(shadow))
		gmem_kernel_madvise(&vm->kernel, address_of(shadow->absent.words),
				    shadow->absent.length, MADV_DONTNEED);
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
		free(shadow);
	}
}

int gmem_shadow_need_absent(struct gmem_vm *vm, struct shadow *shadow)
{
	int rc = 0;

	lock(vm);
	if (!shadow_has_absent(shadow))
		rc = gmem_state_init(&shadow->absent, &vm->kernel, shadow->state.pages,
				     vm->caps.page_shift, false);
	if (!rc)
		atomic_store_explicit(&shadow->has_absent, true, memory_order_release);
	unlock(vm);
	return rc;
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
