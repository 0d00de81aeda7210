/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layout of a VM: the writers' list of sections, the lock under which it changes, and the
 * readers' table, which follows it.
 */
#ifndef GMEM_LAYOUT_PRIVATE_H
#define GMEM_LAYOUT_PRIVATE_H

#include "layout_edit.h"
#include "layout_table.h"

struct layout {
	struct gmem_vm *vm;   /* not counted: it owns the layout */
	pthread_mutex_t lock; /* of writers, over all that a change takes: callbacks too */
	/*
	 * Taken last, to put another list in place of this one and to show it to readers: for whoever
	 * must show it again, and must not wait for a change that is at work.
	 */
	pthread_mutex_t show_lock;
	struct section_list sections; /* written with both locks, read with either */
	uint64_t generation;          /* counts changes of the list */
	_Atomic uint32_t slots_used;
	struct layout_table table;
};

/* 0; -ENOMEM, with its message. */
int gmem_layout_new(struct gmem_vm *vm, struct layout **layout);
/* Drops all sections, and with them their regions, without a call to the kernel's KVM. */
void gmem_layout_clear(struct layout *layout);
/* NULL is ignored. */
void gmem_layout_free(struct layout *layout);

/*
 * Shows readers the same layout again: something that they keep of regions has changed. Waits for
 * no change that is at work.
 */
void gmem_layout_republish(struct layout *layout);

/* Sets tag and offset of a report to those of the region at its gpa, if there is one. */
void gmem_layout_place(const struct gmem_vm *vm, struct gmem_report *report);

uint32_t gmem_layout_slots_used(const struct layout *layout);

/*
 * Does all steps or none: judges them, does to the kernel what they come to, shows readers the
 * result. function is for messages; numbered, if a message names the step it is about.
 */
int gmem_layout_commit(struct gmem_vm *vm, const char *function, const struct step *steps,
		       uint32_t count, bool numbered);

#endif /* GMEM_LAYOUT_PRIVATE_H */
