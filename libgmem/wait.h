/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How an operation waits: for a page in use, or for another operation. The VM's retry policy
 * decides how long, and its callback how to go on.
 */
#ifndef GMEM_WAIT_H
#define GMEM_WAIT_H

#include "vm.h"

#include <gmem/report.h>
#include <stdatomic.h>

/* One operation's waiting; report and the VM's counter are told how long it has been. */
struct wait {
	struct gmem_vm *vm;
	struct gmem_report *report;
	uint64_t start_ns;      /* of the first obstacle; 0: none yet */
	uint32_t tries;         /* since the last progress */
	bool never;             /* the caller wants no waiting at all */
	bool later;             /* the callback has answered GMEM_RETRY_LATER */
	bool patient;           /* turns are waited for whatever clock and callback say */
	_Atomic uint32_t still; /* never changes: to sleep on for the sake of time alone */
};

enum verdict {
	VERDICT_AGAIN,
	VERDICT_SKIP,
	VERDICT_STOP,
};

/* operation: GMEM_OPERATION_*, for the report. */
static inline void wait_init(struct wait *wait, struct gmem_vm *vm, struct gmem_report *report,
			     uint32_t operation, bool never)
{
	report->operation = operation;
	wait->vm = vm;
	wait->report = report;
	wait->start_ns = 0;
	wait->tries = 0;
	wait->never = never;
	wait->later = false;
	wait->patient = false;
	atomic_init(&wait->still, 0);
}

/*
 * What was waited for has come: the next obstacle is met with patience again, and the report tells
 * of this one no more.
 */
static inline void wait_progress(struct wait *wait)
{
	struct gmem_report *report = wait->report;

	wait->tries = 0;
	report->obstacle = GMEM_OBSTACLE_NONE;
	report->gpa = 0;
	report->size = 0;
	report->tag = 0;
	report->offset = 0;
}

/*
 * Before waiting: what is in the way, and where, for the callback and the report. What lies there
 * is looked up, for which no claim is needed.
 */
void gmem_wait_note(struct wait *wait, uint32_t obstacle, uint64_t gpa, uint64_t size);

/*
 * Waits a little, longer each time, or until *word (may be NULL) is not seen any more, or a signal
 * comes; then asks the callback about what report->gpa, tag and offset name. A deadline that has
 * passed stops.
 */
enum verdict gmem_wait_for_page(struct wait *wait, const _Atomic uint32_t *word, uint32_t seen);

/*
 * Waits until *word is not seen any more, or a signal comes, which alone has the callback asked:
 * the deadline is about pages in use, and the operation that is waited for has one of its own.
 * Without a clock it stops, as all do: nobody could say how long it has been.
 */
enum verdict gmem_wait_for_turn(struct wait *wait, const _Atomic uint32_t *word, uint32_t seen);

/*
 * After a call to the kernel that was interrupted so many times in a row: only asks. Who waits for
 * nothing asks nobody, and makes it again a few times: a signal is handled when the call returns.
 */
enum verdict gmem_wait_interrupted(struct wait *wait, uint32_t times);

#endif /* GMEM_WAIT_H */
