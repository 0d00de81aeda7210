/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of ranges of guest-physical addresses that grow, and what claims ask of them. */
#ifndef GMEM_RANGE_LIST_H
#define GMEM_RANGE_LIST_H

#include <gmem/base.h>
#include <stdbool.h>

struct range_list {
	struct gmem_range *items;
	uint64_t count;
	uint64_t capacity;
};

/* A range that is not empty and ends below 2^64. 0; -ENOMEM, without a message: as it was. */
int gmem_range_list_append(struct range_list *list, uint64_t gpa, uint64_t size);

/* Sorts them, and makes one of those that overlap or touch. */
void gmem_range_list_merge(struct range_list *list);

/* Whether a list that has been merged has all of a range. */
bool gmem_range_list_covers(const struct range_list *list, uint64_t gpa, uint64_t size);

/* It may be used again, as one that is empty. */
void gmem_range_list_free(struct range_list *list);

#endif /* GMEM_RANGE_LIST_H */
