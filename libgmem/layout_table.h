/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layout as its readers see it: which section is at a guest-physical address.
 *
 * Readers take no lock and write nothing. There are two copies of the table, and a sequence number
 * whose lowest bit says which of them is current. A writer fills in the other copy, then counts
 * the number up. A reader takes the number, reads the copy it names, and looks whether the number
 * is still the same; if not, the copy may have been overwritten meanwhile, and it starts over.
 * (The kernel calls this a latch: include/linux/seqlock.h.) A writer that stops half-way holds up
 * nobody, since the copy it is at is one that nobody is told to read.
 *
 * The memory of both copies stays as long as the VM, so a reader that is late reads old or mixed
 * values, but never faults: every index is bounded by the size of the reservation. What an entry
 * points to (a shadow) is only looked at after the entry was found to be whole, and stays as long
 * as the VM too. In a child made by fork() the kernel has wiped it, so that nothing is found there
 * and a look-up need not ask in which process it is.
 */
#ifndef GMEM_LAYOUT_TABLE_H
#define GMEM_LAYOUT_TABLE_H

#include "section.h"

#include <stdatomic.h>

/* What a reader is told of one section: a copy of its own. */
struct section_view {
	uint64_t gpa;
	uint64_t size;
	uint64_t offset;
	uint64_t host; /* of gpa; 0 where reserved */
	uint64_t tag;
	uint64_t fd_offset;          /* of gpa */
	const struct shadow *shadow; /* NULL: always shared, none absent */
	/* Alive while the section is mapped: for whoever has claimed a part of it. */
	struct gmem_region *region;
	int32_t fd;
	int32_t guest_memfd;
	uint32_t flags;
	uint32_t slot;
	uint32_t kind;
	bool can_be_private; /* RAM of a region whose pages have states */
};

/*
 * The guest-physical addresses up to the last section's end are cut into equal buckets, some four
 * for each section. For each the first section that ends in or above it is known, so a look-up has
 * only the sections left that end in its bucket: most often one.
 */
#define LAYOUT_BUCKETS_MAX 65536u

/* A section in the table. All that readers load is atomic: a writer may be storing. */
struct layout_entry {
	_Alignas(64) _Atomic uint64_t gpa;
	_Atomic uint64_t last;  /* address */
	_Atomic uint64_t delta; /* what makes an offset in the region of an address */
	_Atomic uint64_t host;
	_Atomic(const struct shadow *) shadow;
	_Atomic uint32_t flags;
	_Atomic uint32_t kind;
	_Atomic uint64_t tag;
	_Atomic uint64_t fd_offset;
	_Atomic int32_t fd;
	_Atomic int32_t guest_memfd;
	_Atomic uint32_t slot;
	_Atomic(struct gmem_region *) region;
	_Atomic bool can_be_private;
};

struct layout_copy {
	_Atomic uint32_t shift;   /* address to bucket */
	_Atomic uint32_t buckets; /* in use; 0 with no section */
	/* The section of a bucket, and of the one after the last. */
	_Atomic uint32_t first[LAYOUT_BUCKETS_MAX + 1];
	_Atomic uint64_t last[GMEM_SECTIONS_MAX]; /* address of each section, in order */
	struct layout_entry entries[GMEM_SECTIONS_MAX];
};

#define layout_load(object) atomic_load_explicit(object, memory_order_relaxed)

struct layout_table {
	_Atomic uint64_t sequence;
	uint64_t page_mask; /* the page size less 1 */
	struct layout_copy *copies[2];
	uint64_t length; /* of the mapping that has both, in bytes */
};

/* 0, -ENOMEM, or what MADV_WIPEONFORK gave; without a message. */
int gmem_layout_table_init(struct layout_table *table, const struct gmem_kernel *kernel);
void gmem_layout_table_release(struct layout_table *table, const struct gmem_kernel *kernel);

/*
 * Makes a list the current table: its sections of address space 0, of which there must be
 * GMEM_SECTIONS_MAX at most. One writer at a time. It cannot fail.
 */
void gmem_layout_table_publish(struct layout_table *table, const struct section_list *list);

/* A look at the table, for gmem_layout_table_find() and layout_table_is_current(). */
static inline uint64_t layout_table_begin(const struct layout_table *table)
{
	return atomic_load_explicit(&table->sequence, memory_order_acquire);
}

/* Whether all that was read since layout_table_begin() belongs together. */
static inline bool layout_table_is_current(const struct layout_table *table, uint64_t sequence)
{
	/* Pairs with the release fence in gmem_layout_table_publish(). */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&table->sequence, memory_order_relaxed) == sequence;
}

/*
 * Where the first section that ends at or above an address is looked for: among entries low to
 * high. False: above all of them. True and low == high: it is that one.
 */
static inline bool layout_copy_narrow(const struct layout_copy *copy, uint64_t gpa, uint32_t *low,
				      uint32_t *high)
{
	uint64_t bucket = gpa >> (layout_load(&copy->shift) & 63);
	const _Atomic uint32_t *first;

	if (bucket >= layout_load(&copy->buckets))
		return false;
	first = &copy->first[bucket];
	*low = layout_load(&first[0]);
	*high = layout_load(&first[1]);
	/* Most often one section ends in a bucket, if any does: then it is this one or the next. */
	if (*low < *high && layout_load(&copy->last[*low]) < gpa)
		++*low;
	else
		*high = *low;
	return true;
}

/*
 * The entry of the first section that ends at or above an address. Where none does it is the last
 * one, or NULL. What is loaded from it means something only if the look is still current
 * afterwards, and what it points to may only be followed then.
 */
static inline const struct layout_entry *layout_table_guess(const struct layout_table *table,
							    uint64_t sequence, uint64_t gpa)
{
	const struct layout_copy *copy = table->copies[sequence & 1];
	uint32_t low, high;

	if (!layout_copy_narrow(copy, gpa, &low, &high))
		return NULL;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (layout_load(&copy->last[middle]) < gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return &copy->entries[low];
}

/* The same, but NULL where no section ends at or above the address. */
static inline const struct layout_entry *layout_table_lookup(const struct layout_table *table,
							     uint64_t sequence, uint64_t gpa)
{
	const struct layout_entry *entry = layout_table_guess(table, sequence, gpa);

	if (entry && layout_load(&entry->last) < gpa)
		return NULL;
	return entry;
}

/*
 * The same, with a copy of all there is to know. False when there is none, and when the look is no
 * longer current: the caller asks layout_table_is_current() last of all anyway.
 */
bool gmem_layout_table_find(const struct layout_table *table, uint64_t sequence, uint64_t gpa,
			    struct section_view *view);

/* What there is at an address, whole; false when there is nothing there or above. */
bool gmem_layout_look(const struct layout_table *table, uint64_t gpa, struct section_view *view);

/* What there is to know of a section that its writer has at hand. */
void gmem_section_view(const struct section *section, struct section_view *view);

/* A part of a section as the public struct; its state is for the caller to fill in. */
void gmem_view_run(const struct section_view *view, uint64_t gpa, uint64_t size,
		   struct gmem_run *run);

#endif /* GMEM_LAYOUT_TABLE_H */
