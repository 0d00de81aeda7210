/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A conversion at work: convert.c begins and ends it, convert_run.c does it to the kernel. */
#ifndef GMEM_CONVERT_PRIVATE_H
#define GMEM_CONVERT_PRIVATE_H

#include "claim.h"
#include "layout.h"
#include "plan.h"

#include <gmem/convert.h>

struct conversion {
	struct gmem_vm *vm;
	const char *function; /* for messages */
	struct plan plan;
	uint32_t flags;
	struct gmem_report report;
	struct wait wait;
	struct claim claim;
	bool in_use; /* some page was, and is for a second look */
};

/*
 * Does all runs of the plan: what is not in use first, then what is, for as long as the policy
 * says. 0; -EAGAIN, -ENOMEM, -EIO, with report.kernel_error and its message.
 */
int gmem_convert_commit(struct conversion *conversion);
/* The same of a plan that is one run. */
int gmem_convert_one_run(struct conversion *conversion, const struct plan_run *run);

/* Converts pages of one run that belong to this conversion alone back, without waiting. */
int gmem_convert_back(struct conversion *conversion, const struct plan_run *run);

#endif /* GMEM_CONVERT_PRIVATE_H */
