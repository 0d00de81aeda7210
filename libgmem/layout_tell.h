/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What listeners hear of a change of the layout: differences between two lists of sections. */
#ifndef GMEM_LAYOUT_TELL_H
#define GMEM_LAYOUT_TELL_H

#include "section.h"

/* What is in before and not in next, in address space 0. 0 or -ENOMEM. */
int gmem_layout_going(const struct section_list *before, const struct section_list *next,
		      struct section_list *going);
/* Remove, for these. 0, or -ECANCELED: then nobody has been told. */
int gmem_layout_tell_going(struct gmem_vm *vm, const struct section_list *going);
/* Add, for these, which stay after all. */
void gmem_layout_tell_stays(struct gmem_vm *vm, const struct section_list *going);
/* Add, for what is in next and was not in before. 0, or -ECANCELED: then nobody has been told. */
int gmem_layout_tell_coming(struct gmem_vm *vm, const struct section_list *before,
			    const struct section_list *next);
/*
 * After gmem_layout_tell_going(), when what came of it is now and not next: what is there all the
 * same has been told of remove, or not been told of at all; and what was to stay may be lost (a
 * section that only changes its memslot goes and comes back).
 */
void gmem_layout_tell_back(struct gmem_vm *vm, const struct section_list *before,
			   const struct section_list *next, const struct section_list *now);

#endif /* GMEM_LAYOUT_TELL_H */
