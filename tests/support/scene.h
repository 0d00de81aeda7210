/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM with a little of everything mapped, for tests of what can go wrong with a layout. */
#ifndef TESTS_SUPPORT_SCENE_H
#define TESTS_SUPPORT_SCENE_H

#include "world.h"

/* The page size of a scene is 4K, whatever the host's. */
#define AT(pages) ((uint64_t)(pages)*4096)
#define AUTO GMEM_SLOT_AUTO
#define NONE GMEM_SLOT_NONE

/*
 * What all tests start with, in pages: "ram0" at 0x100 and 0x110 (8 each), "private0" at 0x200
 * (8), a reserved range at 0x300 (4), aliases of "ram0" at 0x400 (4) and in address space 1 at
 * 0x100 (8). That are memslots 0 to 3, and one of the other address space.
 */
struct scene {
	struct world world;
	struct gmem_region *ram;
	struct gmem_region *private;
	struct picture before;
};

void scene_open(struct scene *scene);
/* Fails when anything is not as it was in before. */
void scene_close(struct scene *scene);

/* Steps, in the order of the arguments of gmem_vm_map() and its like. */
static inline struct step map(uint64_t gpa, struct gmem_region *region, uint64_t offset,
			      uint64_t size, uint32_t slot, uint32_t flags)
{
	return (struct step){ STEP_MAP, 0, gpa, size, region, offset, slot, flags };
}

static inline struct step alias(uint32_t space, uint64_t gpa, struct gmem_region *region,
				uint64_t offset, uint64_t size, uint32_t slot, uint32_t flags)
{
	return (struct step){ STEP_MAP_ALIAS, space, gpa, size, region, offset, slot, flags };
}

static inline struct step unmap(uint64_t gpa, uint64_t size)
{
	return (struct step){ .kind = STEP_UNMAP, .gpa = gpa, .size = size };
}

static inline struct step unmap_alias(uint32_t space, uint64_t gpa, uint64_t size)
{
	return (struct step){
		.kind = STEP_UNMAP_ALIAS, .address_space = space, .gpa = gpa, .size = size
	};
}

static inline struct step set_flags(uint64_t gpa, uint64_t size, uint32_t flags)
{
	return (struct step){ .kind = STEP_SET_FLAGS, .gpa = gpa, .size = size, .flags = flags };
}

#endif /* TESTS_SUPPORT_SCENE_H */
