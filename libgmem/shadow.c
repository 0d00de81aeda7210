// SPDX-License-Identifier: LGPL-2.1-or-later
/* The pool of shadows: address space that is handed on from a dead region to the next. */
#include "shadow.h"

#include "vm.h"

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
		free(shadow);
	}
}
