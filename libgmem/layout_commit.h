/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A change of the layout at work. layout_work.c, which has claimed its addresses, leads it through:
 * prepare, tell who listens what goes, do, end.
 */
#ifndef GMEM_LAYOUT_COMMIT_H
#define GMEM_LAYOUT_COMMIT_H

#include "layout.h"
#include "range_list.h"

enum action_kind {
	ACTION_REMOVE,
	ACTION_SET_FLAGS,
	ACTION_ADD,
};

/* One difference between the lists. */
struct action {
	enum action_kind kind;
	struct section old;   /* REMOVE, SET_FLAGS */
	struct section fresh; /* ADD, SET_FLAGS */
};

struct commit {
	struct gmem_vm *vm;
	struct layout *layout;
	const struct step *steps;
	uint32_t step_count;
	bool numbered; /* messages name the step they are about */
	bool told;     /* listeners have let go of what goes */
	const struct range_list *claimed;
	struct range_list missing; /* what is to be claimed besides: -ESTALE */
	/* Of the layout that next and actions are made from; sections in them have no reference. */
	uint64_t generation;
	struct section_list next;
	struct section_list old;   /* once next has taken its place */
	struct section_list going; /* which listeners are told of */
	struct action *actions;
	uint32_t count;
	uint32_t slot_calls;
};

/*
 * Judges the steps, and finds out what they come to: nothing is changed. 0; -ENOMEM; what
 * gmem_layout_edit() says; -ESTALE, without a message: memory that comes has other addresses
 * already, which are in missing, and are to be claimed first (windows.h).
 */
int gmem_commit_prepare(struct commit *commit);

/* The next range of address space 0 whose memslot goes; *i is 0 at first. */
bool gmem_commit_next_removed(const struct commit *commit, uint32_t *i, struct gmem_range *range);

/* Whether somebody pins what goes; nobody new can, for it is claimed. */
bool gmem_commit_is_pinned(const struct commit *commit);

/* Tells listeners what goes, without the layout's lock. 0 or -ECANCELED. */
int gmem_commit_tell_going(struct commit *commit);

/*
 * Does it, after another look should the layout have changed elsewhere meanwhile, which may find
 * what gmem_commit_prepare() does, or (-ESTALE too) that something else goes by now, and is pinned.
 * Does all or nothing, or what the kernel leaves.
 */
int gmem_commit_do(struct commit *commit);

/* Tells listeners that what they let go of stays, if it does; it may be prepared again then. */
void gmem_commit_end(struct commit *commit);

#endif /* GMEM_LAYOUT_COMMIT_H */
