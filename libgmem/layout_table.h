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
 * as the VM too.
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
	const struct shadow *shadow; /* NULL: always shared */
	int32_t fd;
	uint32_t flags;
	uint32_t slot;
	uint32_t kind;
};

struct layout_copy;

struct layout_table {
	_Atomic uint64_t sequence;
	struct layout_copy *copies; /* two */
	uint64_t length;            /* of the mapping, in bytes */
};

/* 0 or -ENOMEM, without a message. */
int layout_table_init(struct layout_table *table, const struct gmem_kernel *kernel);
void layout_table_release(struct layout_table *table, const struct gmem_kernel *kernel);

/*
 * Makes a list the current table: its sections of address space 0, of which there must be
 * GMEM_SECTIONS_MAX at most. One writer at a time. It cannot fail.
 */
void layout_table_publish(struct layout_table *table, const struct section_list *list);

/* A look at the table, for layout_table_find() and layout_table_is_current(). */
static inline uint64_t layout_table_begin(const struct layout_table *table)
{
	return atomic_load_explicit(&table->sequence, memory_order_acquire);
}

/* Whether all that was read since layout_table_begin() belongs together. */
static inline bool layout_table_is_current(const struct layout_table *table, uint64_t sequence)
{
	/* Pairs with the release fence in layout_table_publish(). */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&table->sequence, memory_order_relaxed) == sequence;
}

/*
 * The section at an address, or else the next one above. False when there is none, and when the
 * look is no longer current: the caller asks layout_table_is_current() last of all anyway.
 */
bool layout_table_find(const struct layout_table *table, uint64_t sequence, uint64_t gpa,
		       struct section_view *view);

#endif /* GMEM_LAYOUT_TABLE_H */
