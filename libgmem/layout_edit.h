/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Steps of a change, judged and done on a list of sections. No system call, no lock: what comes
 * of it is another list.
 */
#ifndef GMEM_LAYOUT_EDIT_H
#define GMEM_LAYOUT_EDIT_H

#include "section.h"

enum step_kind {
	STEP_MAP,
	STEP_MAP_ALIAS,
	STEP_UNMAP,
	STEP_UNMAP_ALIAS,
	STEP_SET_FLAGS,
};

struct step {
	enum step_kind kind;
	uint32_t address_space;
	uint64_t gpa;
	uint64_t size;
	struct gmem_region *region;
	uint64_t offset;
	uint32_t slot;
	uint32_t flags;
};

/*
 * Does one step on next. before is the list that the change began with: a section that is taken
 * away and mapped again as it was keeps its slot. number is for messages, 0 for a step on its own.
 * next needs room for one section more. 0; -EINVAL, -ENOENT, -EEXIST, -ENOSPC, -EOPNOTSUPP: next
 * is as it was.
 */
int gmem_layout_edit(const struct gmem_vm *vm, const struct section_list *before,
		     struct section_list *next, const struct step *step, uint32_t number);

#endif /* GMEM_LAYOUT_EDIT_H */
