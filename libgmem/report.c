// SPDX-License-Identifier: LGPL-2.1-or-later
/* Reports as text for people. */
#include "log.h"

#include <errno.h>
#include <gmem/report.h>
#include <stdbool.h>
#include <stdio.h>

/* What the kernel's calls are for. */
static const char *work_name(uint32_t operation)
{
	switch (operation) {
	case GMEM_OPERATION_CONVERT:
		return "converting";
	case GMEM_OPERATION_DISCARD:
	case GMEM_OPERATION_FLUSH:
		return "freeing";
	default:
		return "at work";
	}
}

static const char *stage_name(const struct gmem_report *report)
{
	switch (report->stage) {
	case GMEM_STAGE_PLAN:
		return "planning";
	case GMEM_STAGE_PREPARE:
		return "preparing";
	case GMEM_STAGE_COMMIT:
		return work_name(report->operation);
	case GMEM_STAGE_FINISH:
		return "telling listeners";
	case GMEM_STAGE_DONE:
		return "done";
	default:
		return "an unknown stage";
	}
}

static const char *operation_name(uint32_t operation)
{
	static const char *const names[] = {
		[0] = "operation",
		[GMEM_OPERATION_CONVERT] = "conversion",
		[GMEM_OPERATION_DISCARD] = "discard",
		[GMEM_OPERATION_POPULATE] = "populate",
		[GMEM_OPERATION_FLUSH] = "flush",
		[GMEM_OPERATION_LAYOUT] = "layout change",
		[GMEM_OPERATION_PIN] = "pin",
		[GMEM_OPERATION_LISTENER] = "listener",
	};

	return names[operation < sizeof(names) / sizeof(names[0]) ? operation : 0];
}

static const char *obstacle_name(uint32_t obstacle)
{
	switch (obstacle) {
	case GMEM_OBSTACLE_NONE:
		return "none";
	case GMEM_OBSTACLE_PAGE:
		return "a page in use";
	case GMEM_OBSTACLE_PIN:
		return "a pin";
	case GMEM_OBSTACLE_OPERATION:
		return "another operation";
	case GMEM_OBSTACLE_SIGNAL:
		return "a signal";
	case GMEM_OBSTACLE_KERNEL:
		return "the kernel";
	default:
		return "an unknown obstacle";
	}
}

static int format_success(const struct gmem_report *report, char *buf, size_t size)
{
	return snprintf(
		buf, size,
		"%s done: %#llx bytes converted, %#llx freed, %u ioctls, %u retries, %llu ns "
		"waited",
		operation_name(report->operation), (unsigned long long)report->converted,
		(unsigned long long)report->freed, report->ioctls, report->retries,
		(unsigned long long)report->waited_ns);
}

/* For its arguments, or for being made inside a callback: there is no place to name. */
static bool is_refused(const struct gmem_report *report)
{
	return report->error && report->stage <= GMEM_STAGE_PREPARE && !report->gpa &&
	       !report->size && !report->tag && !report->offset;
}

static int format_refusal(const struct gmem_report *report, char *buf, size_t size)
{
	return snprintf(buf, size, "%s: %s, before anything was touched",
			operation_name(report->operation), gmem_error_name(report->error));
}

/* It failed, or it waits. */
static int format_obstacle(const struct gmem_report *report, char *buf, size_t size)
{
	return snprintf(
		buf, size,
		"%s%s%s while %s at gpa %#llx (%#llx bytes, tag %#llx, offset %#llx; obstacle: "
		"%s; the kernel said %s): %#llx bytes converted, %#llx converted back, %#llx freed, "
		"%u pages passed over, %u ioctls, %u retries, %llu ns waited",
		operation_name(report->operation), report->error ? ": " : " waits",
		report->error ? gmem_error_name(report->error) : "", stage_name(report),
		(unsigned long long)report->gpa, (unsigned long long)report->size,
		(unsigned long long)report->tag, (unsigned long long)report->offset,
		obstacle_name(report->obstacle),
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
	if (is_refused(report))
		return format_refusal(report, buf, size);
	if (report->error || report->stage != GMEM_STAGE_DONE)
		return format_obstacle(report, buf, size);
	return format_success(report, buf, size);
}
