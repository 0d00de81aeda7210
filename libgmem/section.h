/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A section as the layout's writers know it, and lists of them. */
#ifndef GMEM_SECTION_H
#define GMEM_SECTION_H

#include "region.h"

#include <gmem/layout.h>

struct section {
	uint64_t gpa;
	uint64_t size;
	uint64_t offset;            /* in region */
	struct gmem_region *region; /* counted by whoever owns the list; NULL: a reserved range */
	uint32_t address_space;
	uint32_t slot;  /* number within its address space, or GMEM_SLOT_NONE */
	uint32_t flags; /* GMEM_MAP_* */
	bool plain;     /* its slot has no guest_memfd */
};

/* Sorted by address space, then address. Those of one space do not overlap, but reserved may. */
struct section_list {
	struct section *items;
	uint32_t count;
	uint32_t capacity;
};

static inline bool section_is_reserved(const struct section *section)
{
	return !section->region;
}

/* For messages. */
static inline const char *region_name(const struct gmem_region *region)
{
	return region ? region->config.name : "(reserved)";
}

static inline uint64_t section_host(const struct section *section)
{
	return section->region ? section->region->host->host + section->offset : 0;
}

static inline uint32_t section_kind(const struct section *section)
{
	if (section_is_reserved(section))
		return GMEM_KIND_RESERVED;
	if (section->flags & GMEM_MAP_DEVICE)
		return GMEM_KIND_DEVICE;
	return section->flags & GMEM_MAP_READONLY ? GMEM_KIND_ROM : GMEM_KIND_RAM;
}

/* The order of lists: by address space, then by where it starts. */
static inline bool section_is_before(const struct section *section, uint32_t address_space,
				     uint64_t gpa)
{
	if (section->address_space != address_space)
		return section->address_space < address_space;
	return section->gpa < gpa;
}

/* The same memory at the same place: all but slot, flags and what follows from them. */
static inline bool sections_are_same_window(const struct section *a, const struct section *b)
{
	return a->address_space == b->address_space && a->gpa == b->gpa && a->size == b->size &&
	       a->region == b->region && a->offset == b->offset &&
	       (a->flags & GMEM_MAP_ALIAS) == (b->flags & GMEM_MAP_ALIAS);
}

/* Room for so many more. 0 or -ENOMEM. */
int gmem_section_list_reserve(struct section_list *list, uint32_t more);
/* A list of the same sections, with room for so many more; no references are taken. */
int gmem_section_list_copy(struct section_list *copy, const struct section_list *list,
			   uint32_t more);
void gmem_section_list_free(struct section_list *list);
/* At its place in the order; there must be room. */
void gmem_section_list_insert(struct section_list *list, const struct section *section);
void gmem_section_list_remove(struct section_list *list, uint32_t index);
/* The first section that starts at or above an address, or in a later address space; or count. */
uint32_t gmem_section_list_find(const struct section_list *list, uint32_t address_space,
				uint64_t gpa);

#endif /* GMEM_SECTION_H */
