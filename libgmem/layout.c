// SPDX-License-Identifier: LGPL-2.1-or-later
/* Layouts are made and end here; layout_commit.c changes them, access.c and others read them. */
#include "layout.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>

int gmem_layout_new(struct gmem_vm *vm, struct layout **layout)
{
	struct layout *made = calloc(1, sizeof(*made));
	int rc = made ? gmem_layout_table_init(&made->table, &vm->kernel) : -ENOMEM;

	if (rc) {
		log_error(vm->ctx, "VM descriptor %d: no memory for its layout (%s)", vm->fd,
			  gmem_error_name(rc));
		free(made);
		return rc == -ENOMEM ? -ENOMEM : -EIO;
	}
	made->vm = vm;
	made->table.page_mask = vm->caps.page_size - 1;
	pthread_mutex_init(&made->lock, NULL);
	pthread_mutex_init(&made->show_lock, NULL);
	atomic_init(&made->slots_used, 0);
	*layout = made;
	return 0;
}

void gmem_layout_clear(struct layout *layout)
{
	struct section_list sections = layout->sections;
	uint32_t i;

	layout->sections = (struct section_list){ 0 };
	for (i = 0; i < sections.count; i++)
		gmem_region_put(sections.items[i].region);
	gmem_section_list_free(&sections);
}

void gmem_layout_free(struct layout *layout)
{
	if (!layout)
		return;
	gmem_layout_table_release(&layout->table, &layout->vm->kernel);
	pthread_mutex_destroy(&layout->show_lock);
	pthread_mutex_destroy(&layout->lock);
	free(layout);
}

void gmem_layout_place(const struct gmem_vm *vm, struct gmem_report *report)
{
	struct section_view view;

	if (!gmem_layout_look(&vm->layout->table, report->gpa, &view) || view.gpa > report->gpa ||
	    view.kind == GMEM_KIND_RESERVED)
		return;
	report->tag = view.tag;
	report->offset = view.offset + (report->gpa - view.gpa);
}

uint32_t gmem_layout_slots_used(const struct layout *layout)
{
	return atomic_load_explicit(&layout->slots_used, memory_order_relaxed);
}
