// SPDX-License-Identifier: LGPL-2.1-or-later
/* GMEM_CONVERT_ROLLBACK: what is to be changed is written down first, and changed back at the end. */
#include "convert.h"
#include "log.h"

#include <errno.h>
#include <gmem/listener.h>

int gmem_convert_prepare_rollback(const struct conversion *conversion, struct rollback *rollback)
{
	const struct gmem_vm *vm = conversion->vm;
	struct plan_position position = { 0 };
	struct plan_run run;

	rollback->count = 0;
	if (gmem_convert_destroys(vm)) {
		log_error(vm->ctx,
			  "%s: GMEM_CONVERT_ROLLBACK: converting back would destroy what the pages "
			  "hold; a VM of which that is not so says its type with "
			  "gmem_vm_config_set_type()",
			  conversion->function);
		return -EOPNOTSUPP;
	}
	while (gmem_plan_next(&conversion->plan, PLAN_WRONG, &position, &run)) {
		if (rollback->count == GMEM_ROLLBACK_RUNS) {
			log_debug(vm->ctx,
				  "%s: GMEM_CONVERT_ROLLBACK: more than %u runs of pages are to be "
				  "made %s; convert them in parts",
				  conversion->function, GMEM_ROLLBACK_RUNS,
				  state_name(conversion->plan.to));
			return -EOPNOTSUPP;
		}
		rollback->runs[rollback->count++] = run;
	}
	return 0;
}

/* Of a part that was to be private again, and of which listeners let go: what is shared still. */
static void tell_what_stays(struct conversion *conversion, const struct plan *back,
			    const struct plan_run *part)
{
	const struct gmem_range range = { .gpa = part->gpa, .size = part->size };
	struct plan_position position = { 0 };
	struct plan plan = *back;
	struct plan_run left;

	plan.ranges = &range;
	while (gmem_plan_next(&plan, PLAN_WRONG, &position, &left))
		gmem_convert_tell_run(conversion, &left, GMEM_EVENT_ADD);
}

/* Converts those pages of a run back that were converted. */
static int roll_back_run(struct conversion *conversion, const struct plan_run *run)
{
	const struct gmem_range range = { .gpa = run->gpa, .size = run->size };
	struct plan_position position = { 0 };
	struct plan plan = conversion->plan;
	struct plan_run part;
	int rc = 0;

	plan.ranges = &range;
	plan.count = 1;
	plan.to = opposite_state(plan.to);
	while (!rc && gmem_plan_next(&plan, PLAN_WRONG, &position, &part)) {
		if (conversion->heard && plan.to == GMEM_PRIVATE)
			gmem_convert_tell_run(conversion, &part, GMEM_EVENT_REMOVE);
		rc = gmem_convert_back(conversion, &part);
		if (rc && conversion->heard && plan.to == GMEM_PRIVATE)
			tell_what_stays(conversion, &plan, &part);
	}
	return rc;
}

void gmem_convert_roll_back(struct conversion *conversion, const struct rollback *rollback)
{
	uint32_t i;
	int rc;

	for (i = rollback->count; i-- > 0;) {
		rc = roll_back_run(conversion, &rollback->runs[i]);
		if (rc)
			log_error(
				conversion->vm->ctx,
				"%s: a part of gpa %#llx, %#llx bytes, could not be converted back "
				"(%s), and stays %s",
				conversion->function, (unsigned long long)rollback->runs[i].gpa,
				(unsigned long long)rollback->runs[i].size, gmem_error_name(rc),
				state_name(conversion->plan.to));
	}
}
