/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling listeners, from inside. Whoever tells has claimed the addresses. */
#ifndef GMEM_LISTEN_H
#define GMEM_LISTEN_H

#include "layout_table.h"

#include <gmem/listener.h>

/*
 * A part of a section that is shared, or about to be. Blocks of listeners with a granularity that
 * begin below `from` have been told already by an earlier part of the same operation.
 */
struct listen_part {
	const struct section_view *view;
	uint64_t gpa;
	uint64_t size;
	uint64_t from;
	bool guest; /* a guest may want it again and again: messages are few */
};

/* Whether somebody wants to hear of GMEM_LISTEN_CONVERT or LAYOUT at all. */
bool gmem_listen_is_on(const struct gmem_vm *vm, uint32_t about);

/*
 * Tells all of them of one event, GMEM_EVENT_*. 0, or -ECANCELED, with its message: then those who
 * had been told have heard the opposite.
 */
int gmem_listen_tell(struct gmem_vm *vm, uint32_t about, uint32_t event,
		     const struct listen_part *part);
/* The same, but all are told, and who refuses does without what it refused: 0 or -ECANCELED. */
int gmem_listen_tell_all(struct gmem_vm *vm, uint32_t about, uint32_t event,
			 const struct listen_part *part);
/* The same, but nobody is asked. */
void gmem_listen_tell_anyway(struct gmem_vm *vm, uint32_t about, uint32_t event,
			     const struct listen_part *part);

/*
 * The shared parts of a part of a section, one after the other; what is refused is taken back as a
 * whole.
 */
int gmem_listen_tell_section(struct gmem_vm *vm, uint32_t about, uint32_t event,
			     const struct section_view *view, uint64_t gpa, uint64_t size);
void gmem_listen_tell_section_anyway(struct gmem_vm *vm, uint32_t about, uint32_t event,
				     const struct section_view *view, uint64_t gpa, uint64_t size);

#endif /* GMEM_LISTEN_H */
