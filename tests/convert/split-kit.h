/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rig with one split region, of which both sides' memory can be counted: a door between them sees
 * the calls that free it.
 */
#ifndef TESTS_CONVERT_SPLIT_KIT_H
#define TESTS_CONVERT_SPLIT_KIT_H

#include "rig.h"

#include "tests/support/support.h"

#define PAGES 64u
#define PAGE UINT64_C(4096) /* in the modes that these tests run in */

/* Calls that free, as the door saw them. */
struct freed {
	uint32_t nr;
	int fd;
	uint64_t offset; /* or address */
	uint64_t size;
	int advice;
};

#define FREED_MAX 1024u

struct stage {
	struct rig rig;
	struct gmem_region *region;
	void *mapping; /* the caller's */
	size_t mapping_size;
	int fd;
	struct freed freed[FREED_MAX];
	uint32_t freed_count; /* no more than there is room for */
};

typedef void (*configure_fn)(struct stage *stage, struct gmem_region_config *config);

/*
 * One split region at page 0, its sides as configure (may be NULL) says, all of it shared, and
 * nothing freed so far.
 */
void stage_open_size(struct stage *stage, const struct mode *mode, uint64_t limit, uint64_t pages,
		     configure_fn configure);
/* Of PAGES. */
void stage_open(struct stage *stage, const struct mode *mode, uint64_t limit);
void stage_close(struct stage *stage);

/* It must be done. */
void convert(struct stage *stage, uint64_t page, uint64_t pages, uint32_t to, uint32_t flags);

struct gmem_vm_stats stats_of(struct stage *stage);
struct gmem_region_info info_of(const struct stage *stage);

/* Memory of the private side, in pages. */
uint64_t private_memory(struct stage *stage);
/* Memory of the shared side: of its file, or what is there of its mapping. */
uint64_t shared_memory(struct stage *stage);

/* The host writes to what is shared, the guest to what is private. */
void fill(struct stage *stage, uint64_t page, uint64_t pages, char byte);
char guest_byte(struct stage *stage, uint64_t page);

#endif /* TESTS_CONVERT_SPLIT_KIT_H */
