// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lists of sections. Changes of the layout are rare: plain arrays do. */
#include "section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gmem_section_list_reserve(struct section_list *list, uint32_t more)
{
	uint64_t wanted = (uint64_t)list->count + more;
	struct section *items;

	if (wanted <= list->capacity)
		return 0;
	if (wanted > UINT32_MAX)
		return -ENOMEM;
	items = reallocarray(list->items, wanted, sizeof(*items));
	if (!items)
		return -ENOMEM;
	list->items = items;
	list->capacity = (uint32_t)wanted;
	return 0;
}

int gmem_section_list_copy(struct section_list *copy, const struct section_list *list,
			   uint32_t more)
{
	int rc;

	*copy = (struct section_list){ 0 };
	rc = gmem_section_list_reserve(copy, list->count);
	if (!rc) {
		if (list->count)
			memcpy(copy->items, list->items, list->count * sizeof(*list->items));
		copy->count = list->count;
		rc = gmem_section_list_reserve(copy, more);
	}
	if (rc)
		gmem_section_list_free(copy);
	return rc;
}

void gmem_section_list_free(struct section_list *list)
{
	free(list->items);
	*list = (struct section_list){ 0 };
}

uint32_t gmem_section_list_find(const struct section_list *list, uint32_t address_space,
				uint64_t gpa)
{
	uint32_t low = 0, high = list->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (section_is_before(&list->items[middle], address_space, gpa))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void gmem_section_list_insert(struct section_list *list, const struct section *section)
{
	uint32_t index = gmem_section_list_find(list, section->address_space, section->gpa);

	memmove(&list->items[index + 1], &list->items[index],
		(list->count - index) * sizeof(*list->items));
	list->items[index] = *section;
	list->count++;
}

void gmem_section_list_remove(struct section_list *list, uint32_t index)
{
	list->count--;
	memmove(&list->items[index], &list->items[index + 1],
		(list->count - index) * sizeof(*list->items));
}
