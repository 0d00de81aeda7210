// SPDX-License-Identifier: LGPL-2.1-or-later
/* All addresses of memory, looked up in the readers' table of the layout. */
#include "windows.h"

#include "layout.h"
#include "range.h"

/* What a section shows of some bytes of its region. */
static int add_section(const struct section_view *view, uint64_t offset, uint64_t size,
		       struct range_list *list)
{
	uint64_t from = view->offset > offset ? view->offset : offset;
	uint64_t to = lower(view->offset + view->size, offset + size);

	if (from >= to)
		return 0;
	return gmem_range_list_append(list, view->gpa + (from - view->offset), to - from);
}

/* Stops early where the table is no longer current. */
static int add_sections(const struct layout_table *table, uint64_t sequence,
			const struct gmem_region *region, uint64_t offset, uint64_t size,
			struct range_list *list)
{
	struct section_view view;
	uint64_t gpa = 0;
	int rc = 0;

	for (; !rc && gmem_layout_table_find(table, sequence, gpa, &view);
	     gpa = view.gpa + view.size) {
		if (view.region == region)
			rc = add_section(&view, offset, size, list);
	}
	return rc;
}

int gmem_windows_add(struct gmem_vm *vm, const struct gmem_region *region, uint64_t offset,
		     uint64_t size, struct range_list *list)
{
	const struct layout_table *table = &vm->layout->table;
	uint64_t before = list->count, sequence;
	int rc;

	/* A section that moves while one looks would be missed at both of its places. */
	do {
		list->count = before;
		sequence = layout_table_begin(table);
		rc = add_sections(table, sequence, region, offset, size, list);
	} while (!rc && !layout_table_is_current(table, sequence));
	if (rc)
		list->count = before;
	return rc;
}
