/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An operation on whether memory is there: a discard, or a populate, which undoes it. It claims all
 * addresses of the memory (windows.h), tells listeners, and writes down what it did and what stopped
 * it.
 */
#ifndef GMEM_PRESENCE_H
#define GMEM_PRESENCE_H

#include "claim.h"
#include "layout_table.h"
#include "range_list.h"

#include <gmem/listener.h>

struct presence {
	struct gmem_vm *vm;
	const char *function; /* for messages */
	struct gmem_range range;
	struct gmem_report report;
	struct wait wait;
	struct claim claim;
	struct range_list claimed; /* empty: the range alone */
	/* All addresses of what the operation is about. Empty: in the range, and each has one. */
	struct range_list windows;
	bool heard; /* listeners are to be told */
};

/* Of a range of no VM as well: what is refused has a report too. */
void gmem_presence_init(struct presence *presence, struct gmem_vm *vm, const char *function,
			uint32_t operation, uint64_t gpa, uint64_t size);

/* Whether there are others than allowed, whose names begin with prefix. 0; -EINVAL. */
int gmem_presence_check_flags(const struct gmem_vm *vm, const char *function, uint32_t flags,
			      uint32_t allowed, const char *prefix);

/*
 * Judges the range, and claims it, with all other addresses of the memory there. 0; -EINVAL,
 * -EAGAIN, -EDEADLK, -ENOMEM, with its message.
 */
int gmem_presence_begin(struct presence *presence, bool never_waits);
void gmem_presence_end(struct presence *presence);

/* For a claim that was not granted: returns error, after its message. */
int gmem_presence_claim_failed(const struct gmem_vm *vm, const char *function, int error);

/* Writes an operation's own report to its caller's, which may be NULL. Returns error. */
int gmem_presence_report(struct gmem_report *own, int error, struct gmem_report *report);

/* What is in the way, or was refused: a range in one section. */
void gmem_presence_report_place(struct presence *presence, const struct section_view *view,
				uint64_t gpa, uint64_t size);

/* A walk over the parts of sections that an operation is about, in ascending order. */
struct walk {
	const struct presence *presence;
	const struct gmem_range *ranges; /* what is left of them */
	uint64_t count;
	uint64_t gpa;    /* from here on */
	bool every_kind; /* else only memory that the guest can write */
	/* What it has come to: a part of a section, and a run of that. */
	struct section_view view;
	struct gmem_range part;
	struct gmem_range run;
};

/* Of what can be freed in the range: memory that the guest can write. */
struct walk gmem_walk_ram(const struct presence *presence);
/* The same, with all other addresses that it has, where it may be of another kind. */
struct walk gmem_walk_windows(const struct presence *presence);

/* The next part, with an empty run at its start; false when there is none. */
bool gmem_walk_next(struct walk *walk);
/* The part's next run in one state, GMEM_*; false when there is none. */
bool gmem_walk_next_run(struct walk *walk, uint32_t state);

/* Of an address of the walk's part, in its region. */
static inline uint64_t walk_offset(const struct walk *walk, uint64_t gpa)
{
	return walk->view.offset + (gpa - walk->view.gpa);
}

/* Notes a range of the walk's part as absent or not. Returns the bytes of which that was not so. */
uint64_t gmem_walk_set_absent(const struct walk *walk, const struct gmem_range *range, bool absent);

/*
 * Tells listeners of what is shared of a walk's run, or with NULL of all that the operation is
 * about: at all addresses. 0, or -ECANCELED, and the report says where: then all has been told back.
 */
int gmem_presence_tell(struct presence *presence, const struct walk *walk, uint32_t event);
/* The same, of all, but nobody is asked. */
void gmem_presence_tell_anyway(struct presence *presence, uint32_t event);

#endif /* GMEM_PRESENCE_H */
