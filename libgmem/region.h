/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A region from inside: its memory objects, its shadow, and what it was asked to be. Counted: the
 * caller's handle, each section, and each step of a change that is not committed hold a reference.
 */
#ifndef GMEM_REGION_PRIVATE_H
#define GMEM_REGION_PRIVATE_H

#include "backing.h"
#include "shadow.h"
#include "vm.h"

#include <gmem/region.h>

/* Where the caller says the shared side comes from. */
enum source {
	SOURCE_UNSET, /* GMEM_MEMORY_SHMEM, but free to be a guest_memfd */
	SOURCE_MEMORY,
	SOURCE_FD,
	SOURCE_MAPPING,
};

struct gmem_region_config {
	char name[GMEM_NAME_LENGTH + 2]; /* one longer than it may be, so that it is noticed */
	uint64_t tag;
	uint32_t backing;
	uint32_t needs;
	uint32_t state;
	uint32_t flags;
	uint32_t policy;
	uint32_t node_bits;
	uint64_t nodes[GMEM_NUMA_BITS / 64];
	enum source source;
	uint32_t memory;
	uint64_t page_size;
	int fd;
	uint64_t fd_offset;
	void *mapping;
};

struct gmem_region {
	atomic_uint references;
	struct gmem_vm *vm;
	struct gmem_region_config config; /* as it was resolved: no AUTO, no default left */
	uint64_t size;
	const char *reason;    /* why this backing */
	struct backing guest;  /* the guest_memfd, where it has one */
	struct backing shared; /* split and plain */
	struct backing *host;  /* of these two, the one that the host sees */
	/* NULL: no page can ever be private, nor has any been absent. */
	_Atomic(struct shadow *) shadow;
	bool can_be_private;
	/* Some page has, or had, two addresses in address space 0: windows.h. Never unset. */
	_Atomic bool shown_twice;
};

struct gmem_region *gmem_region_get(struct gmem_region *region);
void gmem_region_put(struct gmem_region *region);

/* Every public function's first look at its region: 0; -EINVAL (NULL), -EIO (in a child). */
int gmem_region_check(const struct gmem_region *region, const char *function);

static inline bool region_can_be_private(const struct gmem_region *region)
{
	return region->can_be_private;
}

static inline struct shadow *region_shadow(const struct gmem_region *region)
{
	return atomic_load_explicit(&region->shadow, memory_order_acquire);
}

/* Room to note absent pages; region_shadow() may be another then. 0; -ENOMEM, with its message. */
int gmem_region_need_absent(struct gmem_region *region);

void gmem_region_config_init(struct gmem_region_config *config);

/*
 * Judges a configuration, with no system call, and fills in what it left open. size is that of the
 * region to be. 0; -EINVAL, -EOPNOTSUPP.
 */
int gmem_region_config_resolve(struct gmem_region_config *config, struct gmem_vm *vm, uint64_t size,
			       const char **reason);

#endif /* GMEM_REGION_PRIVATE_H */
