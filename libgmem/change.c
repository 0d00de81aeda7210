// SPDX-License-Identifier: LGPL-2.1-or-later
/* Changes of the layout as callers make them: one step at once, or several together. */
#include "layout.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>

struct gmem_change {
	struct gmem_vm *vm;
	struct step *steps;
	uint32_t count;
	uint32_t capacity;
};

static struct step map_step(enum step_kind kind, uint32_t address_space, uint64_t gpa,
			    struct gmem_region *region, uint64_t offset, uint64_t size,
			    uint32_t slot, uint32_t flags)
{
	return (struct step){
		.kind = kind,
		.address_space = address_space,
		.gpa = gpa,
		.size = size,
		.region = region,
		.offset = offset,
		.slot = slot,
		.flags = flags,
	};
}

/* A step about what is there already. */
static struct step range_step(enum step_kind kind, uint32_t address_space, uint64_t gpa,
			      uint64_t size, uint32_t flags)
{
	return (struct step){
		.kind = kind,
		.address_space = address_space,
		.gpa = gpa,
		.size = size,
		.flags = flags,
	};
}

static int commit_one(struct gmem_vm *vm, const char *function, struct step step)
{
	int rc = gmem_vm_check(vm, function);

	return rc ? rc : gmem_layout_commit(vm, function, &step, 1, false);
}

int gmem_vm_map(struct gmem_vm *vm, uint64_t gpa, struct gmem_region *region, uint64_t offset,
		uint64_t size, uint32_t slot, uint32_t flags)
{
	return commit_one(vm, "gmem_vm_map",
			  map_step(STEP_MAP, 0, gpa, region, offset, size, slot, flags));
}

int gmem_vm_map_alias(struct gmem_vm *vm, uint32_t address_space, uint64_t gpa,
		      struct gmem_region *region, uint64_t offset, uint64_t size, uint32_t slot,
		      uint32_t flags)
{
	return commit_one(vm, "gmem_vm_map_alias",
			  map_step(STEP_MAP_ALIAS, address_space, gpa, region, offset, size, slot,
				   flags));
}

int gmem_vm_unmap(struct gmem_vm *vm, uint64_t gpa, uint64_t size)
{
	return commit_one(vm, "gmem_vm_unmap", range_step(STEP_UNMAP, 0, gpa, size, 0));
}

int gmem_vm_unmap_alias(struct gmem_vm *vm, uint32_t address_space, uint64_t gpa, uint64_t size)
{
	return commit_one(vm, "gmem_vm_unmap_alias",
			  range_step(STEP_UNMAP_ALIAS, address_space, gpa, size, 0));
}

int gmem_vm_set_map_flags(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags)
{
	return commit_one(vm, "gmem_vm_set_map_flags",
			  range_step(STEP_SET_FLAGS, 0, gpa, size, flags));
}

int gmem_change_new(struct gmem_vm *vm, struct gmem_change **change)
{
	struct gmem_change *made;
	int rc;

	if (change)
		*change = NULL;
	rc = gmem_vm_check(vm, "gmem_change_new");
	if (rc)
		return rc;
	if (!change) {
		log_error(vm->ctx, "gmem_change_new: change is NULL, it must be an address");
		return -EINVAL;
	}
	made = calloc(1, sizeof(*made));
	if (!made) {
		log_error(vm->ctx, "gmem_change_new: no memory for %zu bytes", sizeof(*made));
		return -ENOMEM;
	}
	made->vm = gmem_vm_get(vm);
	*change = made;
	return 0;
}

static void forget_steps(struct gmem_change *change)
{
	while (change->count)
		gmem_region_put(change->steps[--change->count].region);
}

void gmem_change_free(struct gmem_change *change)
{
	if (!change)
		return;
	forget_steps(change);
	free(change->steps);
	gmem_vm_put(change->vm);
	free(change);
}

static int grow(struct gmem_change *change)
{
	uint32_t capacity = change->capacity ? change->capacity * 2 : 8;
	struct step *steps;

	if (change->count < change->capacity)
		return 0;
	steps = reallocarray(change->steps, capacity, sizeof(*steps));
	if (!steps || capacity < change->capacity)
		return -ENOMEM;
	change->steps = steps;
	change->capacity = capacity;
	return 0;
}

static int add_step(struct gmem_change *change, const char *function, struct step step)
{
	if (!change) {
		log_error(NULL, "%s: change is NULL, it must be a change", function);
		return -EINVAL;
	}
	if (grow(change)) {
		log_error(change->vm->ctx, "%s: no memory for step %u", function,
			  change->count + 1);
		return -ENOMEM;
	}
	gmem_region_get(step.region);
	change->steps[change->count++] = step;
	return 0;
}

int gmem_change_map(struct gmem_change *change, uint64_t gpa, struct gmem_region *region,
		    uint64_t offset, uint64_t size, uint32_t slot, uint32_t flags)
{
	return add_step(change, "gmem_change_map",
			map_step(STEP_MAP, 0, gpa, region, offset, size, slot, flags));
}

int gmem_change_map_alias(struct gmem_change *change, uint32_t address_space, uint64_t gpa,
			  struct gmem_region *region, uint64_t offset, uint64_t size, uint32_t slot,
			  uint32_t flags)
{
	return add_step(change, "gmem_change_map_alias",
			map_step(STEP_MAP_ALIAS, address_space, gpa, region, offset, size, slot,
				 flags));
}

int gmem_change_unmap(struct gmem_change *change, uint64_t gpa, uint64_t size)
{
	return add_step(change, "gmem_change_unmap", range_step(STEP_UNMAP, 0, gpa, size, 0));
}

int gmem_change_unmap_alias(struct gmem_change *change, uint32_t address_space, uint64_t gpa,
			    uint64_t size)
{
	return add_step(change, "gmem_change_unmap_alias",
			range_step(STEP_UNMAP_ALIAS, address_space, gpa, size, 0));
}

int gmem_change_set_map_flags(struct gmem_change *change, uint64_t gpa, uint64_t size,
			      uint32_t flags)
{
	return add_step(change, "gmem_change_set_map_flags",
			range_step(STEP_SET_FLAGS, 0, gpa, size, flags));
}

int gmem_change_commit(struct gmem_change *change)
{
	int rc;

	if (!change) {
		log_error(NULL, "gmem_change_commit: change is NULL, it must be a change");
		return -EINVAL;
	}
	rc = gmem_vm_check(change->vm, "gmem_change_commit");
	if (!rc && atomic_load(&change->vm->ended)) {
		log_error(change->vm->ctx,
			  "gmem_change_commit: VM descriptor %d was given to gmem_vm_free()",
			  change->vm->fd);
		return -EINVAL;
	}
	if (!rc)
		rc = gmem_layout_commit(change->vm, "gmem_change_commit", change->steps,
					change->count, true);
	if (!rc)
		forget_steps(change);
	return rc;
}
