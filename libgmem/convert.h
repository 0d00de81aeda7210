/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A conversion at work: convert.c begins and ends it, convert_run.c does it to the kernel. */
#ifndef GMEM_CONVERT_PRIVATE_H
#define GMEM_CONVERT_PRIVATE_H

#include "claim.h"
#include "layout.h"
#include "plan.h"

#include <gmem/convert.h>

/* Of GMEM_PRIVATE and GMEM_SHARED. */
static inline uint32_t opposite_state(uint32_t state)
{
	return state == GMEM_PRIVATE ? GMEM_SHARED : GMEM_PRIVATE;
}

/* The kernel's answer to a call for all of a conversion that was made before anything else. */
struct first_call {
	bool made;
	int rc;
	uint64_t stuck;
};

static inline const char *state_name(uint32_t state)
{
	return state == GMEM_PRIVATE ? "private" : "shared";
}

struct conversion {
	struct gmem_vm *vm;
	const char *function; /* for messages */
	struct plan plan;
	uint32_t flags;
	struct gmem_report report;
	struct wait wait;
	struct claim claim;
	struct first_call first;
	struct plan_run run; /* all of it, if that is one */
	bool is_one_run;
	bool is_placed; /* the report has the first page that is not as asked for */
	bool in_use;    /* some page was, and is for a second look */
	bool said;      /* what failed was logged, or was not for want of a right to */
	bool heard;     /* listeners are to be told; known once it has its claim */
};

/*
 * Does all runs of the plan: what is not in use first, then what is, for as long as the policy
 * says. 0; -EAGAIN, -ENOMEM, -EIO, with report.kernel_error and its message.
 */
int gmem_convert_commit(struct conversion *conversion);
/* The same of a plan that is one run. */
int gmem_convert_one_run(struct conversion *conversion);

/* Tells listeners that pages will be private. 0, or -ECANCELED: then nobody has been told. */
int gmem_convert_tell_before(struct conversion *conversion);
/* Tells them of the pages that did not turn private after all. */
void gmem_convert_tell_back(struct conversion *conversion);
/* Tells them anyway of a run that is to turn private again, or to stay shared after all. */
void gmem_convert_tell_run(struct conversion *conversion, const struct plan_run *run,
			   uint32_t event);
/*
 * The kernel made a part of a run shared: the shadow follows, and listeners are told page run by
 * page run. 0, or -ECANCELED: from the run that was refused on pages are private again, or shared
 * where contents would have been destroyed.
 */
int gmem_convert_tell_after(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
			    uint64_t size);

/* What these take of each other. */
bool gmem_convert_destroys(const struct gmem_vm *vm);
/* Before a message about what fails: a guest's exit has not always a right to one. */
bool gmem_convert_may_log(struct conversion *conversion);
int gmem_convert_call(struct conversion *conversion, const struct plan_run *run, uint64_t gpa,
		      uint64_t size, uint32_t to, uint64_t *stuck);
/* In a section; returns the bytes whose state it changed. */
uint64_t gmem_convert_set(const struct conversion *conversion, const struct section_view *view,
			  uint64_t gpa, uint64_t size, uint32_t to);
void gmem_convert_report_place(struct conversion *conversion, const struct section_view *view,
			       uint64_t gpa, uint64_t size);

/* Frees the side that is no longer seen of what was converted. True: flush what was put off. */
bool gmem_convert_discard(struct conversion *conversion);

/*
 * After a call about a part of a section that gave EINTR, or EAGAIN about no page, so many times in
 * a row: whether to make it again, as the policy says. What the report said before of an error it says again then.
 */
bool gmem_convert_again(struct conversion *conversion, const struct section_view *view,
			uint64_t gpa, uint64_t size, int error, uint32_t times);

/* The runs that are to be changed, and to be changed back. */
struct rollback {
	struct plan_run runs[GMEM_ROLLBACK_RUNS];
	uint32_t count;
};

/* 0; -EOPNOTSUPP, with its message. */
int gmem_convert_prepare_rollback(const struct conversion *conversion, struct rollback *rollback);
/* As far as the kernel lets it; what stays is logged, and told to listeners. */
void gmem_convert_roll_back(struct conversion *conversion, const struct rollback *rollback);

/* Converts pages of one run that belong to this conversion alone back, without waiting. */
int gmem_convert_back(struct conversion *conversion, const struct plan_run *run);

/*
 * Not for callers: a guest's exit, which may come again and again. What is wrong with the request
 * is not logged, because the exit does that; what else fails is, where gmem_exit_guard_may_log().
 */
#define CONVERT_QUIETLY (1u << 31)

/* What an exit needs to know besides. */
struct convert_end {
	bool later; /* the retry policy said GMEM_RETRY_LATER */
	bool said;  /* there is nothing more to say of what failed */
};

/* All of gmem_vm_convert() but its check of vm. end may be NULL. */
int gmem_convert(struct gmem_vm *vm, const char *function, const struct gmem_range *ranges,
		 uint64_t count, uint32_t to, uint32_t flags, struct gmem_report *report,
		 struct convert_end *end);

#endif /* GMEM_CONVERT_PRIVATE_H */
