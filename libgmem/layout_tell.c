// SPDX-License-Identifier: LGPL-2.1-or-later
/* Differences between two layouts, told to listeners. */
#include "layout_tell.h"

#include "listen.h"

#include <errno.h>

/* Whether a list has a section that is the same to a listener: memory, place and kind. */
static bool has(const struct section_list *list, const struct section *section)
{
	uint32_t i = gmem_section_list_find(list, section->address_space, section->gpa);

	for (; i < list->count && list->items[i].gpa == section->gpa; i++) {
		if (sections_are_same_window(&list->items[i], section) &&
		    section_kind(&list->items[i]) == section_kind(section))
			return true;
	}
	return false;
}

/* Sections of address space 0 come first. */
static bool is_heard_of(const struct section_list *list, uint32_t i)
{
	return i < list->count && !list->items[i].address_space;
}

static void tell_anyway(struct gmem_vm *vm, uint32_t event, const struct section *section)
{
	struct section_view view;

	gmem_section_view(section, &view);
	gmem_listen_tell_section_anyway(vm, GMEM_LISTEN_LAYOUT, event, &view, view.gpa, view.size);
}

static int tell(struct gmem_vm *vm, uint32_t event, const struct section *section)
{
	struct section_view view;

	gmem_section_view(section, &view);
	return gmem_listen_tell_section(vm, GMEM_LISTEN_LAYOUT, event, &view, view.gpa, view.size);
}

/* What is in one list and not in the other. */
static int tell_difference(struct gmem_vm *vm, uint32_t event, const struct section_list *list,
			   const struct section_list *other)
{
	uint32_t opposite = event == GMEM_EVENT_ADD ? GMEM_EVENT_REMOVE : GMEM_EVENT_ADD;
	uint32_t i, k;
	int rc = 0;

	if (!gmem_listen_is_on(vm, GMEM_LISTEN_LAYOUT))
		return 0;
	for (i = 0; is_heard_of(list, i) && !rc; i++) {
		if (!has(other, &list->items[i]))
			rc = tell(vm, event, &list->items[i]);
	}
	if (!rc)
		return 0;
	for (k = 0; k + 1 < i; k++) {
		if (!has(other, &list->items[k]))
			tell_anyway(vm, opposite, &list->items[k]);
	}
	return rc;
}

static uint32_t count_going(const struct section_list *before, const struct section_list *next)
{
	uint32_t count = 0, i;

	for (i = 0; is_heard_of(before, i); i++)
		count += !has(next, &before->items[i]);
	return count;
}

int gmem_layout_going(const struct section_list *before, const struct section_list *next,
		      struct section_list *going)
{
	uint32_t i;

	if (gmem_section_list_reserve(going, count_going(before, next)))
		return -ENOMEM;
	for (i = 0; is_heard_of(before, i); i++) {
		if (!has(next, &before->items[i]))
			going->items[going->count++] = before->items[i];
	}
	return 0;
}

static const struct section_list nothing;

int gmem_layout_tell_going(struct gmem_vm *vm, const struct section_list *going)
{
	return tell_difference(vm, GMEM_EVENT_REMOVE, going, &nothing);
}

void gmem_layout_tell_stays(struct gmem_vm *vm, const struct section_list *going)
{
	uint32_t i;

	for (i = 0; i < going->count; i++)
		tell_anyway(vm, GMEM_EVENT_ADD, &going->items[i]);
}

int gmem_layout_tell_coming(struct gmem_vm *vm, const struct section_list *before,
			    const struct section_list *next)
{
	return tell_difference(vm, GMEM_EVENT_ADD, next, before);
}

void gmem_layout_tell_back(struct gmem_vm *vm, const struct section_list *before,
			   const struct section_list *next, const struct section_list *now)
{
	uint32_t i;

	if (!gmem_listen_is_on(vm, GMEM_LISTEN_LAYOUT))
		return;
	for (i = 0; is_heard_of(before, i); i++) {
		if (has(next, &before->items[i]) && !has(now, &before->items[i]))
			tell_anyway(vm, GMEM_EVENT_REMOVE, &before->items[i]);
	}
	for (i = 0; is_heard_of(now, i); i++) {
		if (!has(before, &now->items[i]) || !has(next, &now->items[i]))
			tell_anyway(vm, GMEM_EVENT_ADD, &now->items[i]);
	}
}
