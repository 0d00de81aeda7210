// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory that was unplugged, and is plugged in again. */
#include "presence.h"

#include <errno.h>
#include <gmem/convert.h>

/* Memory is there again before listeners hear of it; what one refuses is not. */
static int populate_run(struct presence *presence, const struct walk *walk)
{
	uint64_t changed = gmem_walk_set_absent(walk, &walk->run, false);
	int rc = gmem_presence_tell(presence, walk, GMEM_EVENT_ADD);

	if (rc) {
		(void)gmem_walk_set_absent(walk, &walk->run, true);
		presence->report.restored += changed;
	} else {
		presence->report.converted += changed;
	}
	return rc;
}

static int populate_claimed(struct presence *presence)
{
	struct walk walk = gmem_walk_ram(presence);
	int rc = 0;

	presence->report.stage = GMEM_STAGE_FINISH;
	while (!rc && gmem_walk_next(&walk)) {
		while (!rc && gmem_walk_next_run(&walk, GMEM_ABSENT))
			rc = populate_run(presence, &walk);
	}
	return rc;
}

int gmem_vm_populate(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
		     struct gmem_report *report)
{
	struct presence presence;
	int rc = gmem_vm_check(vm, "gmem_vm_populate");

	gmem_presence_init(&presence, vm, "gmem_vm_populate", GMEM_OPERATION_POPULATE, gpa, size);
	if (!rc)
		rc = gmem_presence_check_flags(vm, "gmem_vm_populate", flags, GMEM_POPULATE_NOWAIT,
					       "GMEM_POPULATE_");
	if (!rc)
		rc = gmem_presence_begin(&presence, flags & GMEM_POPULATE_NOWAIT);
	if (!rc) {
		rc = populate_claimed(&presence);
		gmem_presence_end(&presence);
	}
	return gmem_presence_report(&presence.report, rc, report);
}
