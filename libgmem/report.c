// SPDX-License-Identifier: LGPL-2.1-or-later
/* Reports as text for people. */
#include "log.h"

#include <errno.h>
#include <gmem/report.h>
#include <stdio.h>

static const char *stage_name(uint32_t stage)
{
	switch (stage) {
	case GMEM_STAGE_PLAN:
		return "planning";
	case GMEM_STAGE_PREPARE:
		return "preparing";
	case GMEM_STAGE_COMMIT:
		return "converting";
	case GMEM_STAGE_FINISH:
		return "telling listeners";
	case GMEM_STAGE_DONE:
		return "done";
	default:
		return "an unknown stage";
	}
}

static int format_success(const struct gmem_report *report, char *buf, size_t size)
{
	return snprintf(buf, size,
			"done: %#llx bytes converted, %#llx freed, %u ioctls, %u retries, %llu ns "
			"waited",
			(unsigned long long)report->converted, (unsigned long long)report->freed,
			report->ioctls, report->retries, (unsigned long long)report->waited_ns);
}

static int format_failure(const struct gmem_report *report, char *buf, size_t size)
{
	return snprintf(
		buf, size,
		"%s while %s at gpa %#llx (%#llx bytes, tag %#llx, offset %#llx; the kernel "
		"said %s): %#llx bytes converted, %#llx converted back, %#llx freed, "
		"%u pages passed over, %u ioctls, %u retries, %llu ns waited",
		gmem_error_name(report->error), stage_name(report->stage),
		(unsigned long long)report->gpa, (unsigned long long)report->size,
		(unsigned long long)report->tag, (unsigned long long)report->offset,
		report->kernel_error ? gmem_error_name(report->kernel_error) : "nothing",
		(unsigned long long)report->converted, (unsigned long long)report->restored,
		(unsigned long long)report->freed, report->skipped, report->ioctls, report->retries,
		(unsigned long long)report->waited_ns);
}

int gmem_report_format(const struct gmem_report *report, char *buf, size_t size)
{
	if (!report || (!buf && size)) {
		log_error(NULL, "gmem_report_format: %s is NULL, it must be an address",
			  report ? "buf" : "report");
		return -EINVAL;
	}
	return report->error ? format_failure(report, buf, size)
			     : format_success(report, buf, size);
}
