// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lists of ranges of guest-physical addresses. */
#include "range_list.h"

#include "range.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAPACITY 8u

static int grow(struct range_list *list)
{
	uint64_t capacity = list->capacity ? 2 * list->capacity : FIRST_CAPACITY;
	struct gmem_range *items = reallocarray(list->items, capacity, sizeof(*items));

	if (!items)
		return -ENOMEM;
	list->items = items;
	list->capacity = capacity;
	return 0;
}

int gmem_range_list_append(struct range_list *list, uint64_t gpa, uint64_t size)
{
	if (list->count == list->capacity && grow(list))
		return -ENOMEM;
	list->items[list->count++] = (struct gmem_range){ .gpa = gpa, .size = size };
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct gmem_range *one = a, *other = b;

	return (one->gpa > other->gpa) - (one->gpa < other->gpa);
}

void gmem_range_list_merge(struct range_list *list)
{
	uint64_t i, kept = 0;

	if (!list->count)
		return;
	qsort(list->items, list->count, sizeof(*list->items), compare_ranges);
	for (i = 1; i < list->count; i++) {
		struct gmem_range *last = &list->items[kept];
		uint64_t end = last->gpa + last->size;
		uint64_t next_end = list->items[i].gpa + list->items[i].size;

		if (list->items[i].gpa > end)
			list->items[++kept] = list->items[i];
		else if (next_end > end)
			last->size = next_end - last->gpa;
	}
	list->count = kept + 1;
}

bool gmem_range_list_covers(const struct range_list *list, uint64_t gpa, uint64_t size)
{
	uint64_t low = 0, high = list->count;

	/* The first that begins above the address; the one before it may have it. */
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (list->items[middle].gpa <= gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low && range_covers(list->items[low - 1].gpa, list->items[low - 1].size, gpa, size);
}

void gmem_range_list_free(struct range_list *list)
{
	free(list->items);
	*list = (struct range_list){ 0 };
}
