// SPDX-License-Identifier: LGPL-2.1-or-later
/* Waiting with a deadline, a back-off and a callback that decides. */
#include "wait.h"

#include "log.h"
#include "probes.h"

#include <errno.h>

/*
 * Most references that stand in the way for a moment are gone in less time than a sleep takes, so
 * the first tries come at once. Then the wait doubles from the time a sleep costs anyway to one
 * at which another try every time costs nothing.
 */
#define EAGER_TRIES 8u
#define FIRST_SLEEP_NS UINT64_C(20000)
#define LONGEST_SLEEP_NS UINT64_C(1000000)

/* Of an interrupted call by who waits for nothing: more than signals that are there by chance. */
#define IMMEDIATE_REPEATS 8u

/* Sleeps have an end for signals' sake (gmem_kernel_futex_wait()), not for their own. */
#define TURN_SLEEP_NS UINT64_C(1000000000)

/* Of the sleeps there were before this one. */
static uint64_t back_off(uint32_t sleeps)
{
	uint64_t sleep = FIRST_SLEEP_NS;

	for (; sleeps && sleep < LONGEST_SLEEP_NS; sleeps--)
		sleep *= 2;
	return sleep < LONGEST_SLEEP_NS ? sleep : LONGEST_SLEEP_NS;
}

/* Said once for each VM: a guest may have it come to this again and again. */
static void clock_failed(struct gmem_vm *vm, int error)
{
	if (!atomic_exchange_explicit(&vm->no_clock, true, memory_order_relaxed))
		log_warning(vm->ctx,
			    "VM descriptor %d: the monotonic clock gives %s; operations that would "
			    "have to wait fail with EAGAIN",
			    vm->fd, gmem_error_name(error));
}

/* How long it has been since the first obstacle. False: there is no clock. */
static bool note_time(struct wait *wait)
{
	uint64_t now;
	int rc = gmem_kernel_clock(&wait->vm->kernel, &now);

	if (rc) {
		clock_failed(wait->vm, rc);
		return false;
	}
	if (!wait->start_ns)
		wait->start_ns = now;
	count(&wait->vm->counters.waited_ns, now - wait->start_ns - wait->report->waited_ns);
	wait->report->waited_ns = now - wait->start_ns;
	return true;
}

/* Nanoseconds left, 0 when there are none. Without a clock nothing is left. */
static uint64_t time_left(struct wait *wait)
{
	uint64_t deadline = wait->vm->config.deadline_ns;

	if (!note_time(wait))
		return 0;
	if (deadline == UINT64_MAX)
		return UINT64_MAX;
	return wait->report->waited_ns < deadline ? deadline - wait->report->waited_ns : 0;
}

static enum verdict ask(struct wait *wait)
{
	const struct gmem_vm_config *config = &wait->vm->config;
	struct gmem_report so_far = *wait->report;

	if (!config->retry)
		return VERDICT_AGAIN;
	switch (config->retry(&so_far, config->retry_closure->opaque)) {
	case GMEM_RETRY_AGAIN:
		return VERDICT_AGAIN;
	case GMEM_RETRY_SKIP:
		return VERDICT_SKIP;
	case GMEM_RETRY_LATER:
		wait->later = true;
		return VERDICT_STOP;
	default:
		return VERDICT_STOP;
	}
}

void gmem_wait_note(struct wait *wait, uint32_t obstacle, uint64_t gpa, uint64_t size)
{
	struct gmem_report *report = wait->report;

	report->obstacle = obstacle;
	report->gpa = gpa;
	report->size = size;
	report->tag = 0;
	report->offset = 0;
	if (wait->vm->place)
		wait->vm->place(wait->vm, report);
}

enum verdict gmem_wait_for_page(struct wait *wait, const _Atomic uint32_t *word, uint32_t seen)
{
	uint64_t left, sleep;

	if (wait->never)
		return VERDICT_STOP;
	left = time_left(wait);
	if (!left)
		return VERDICT_STOP;
	if (!word) {
		word = &wait->still;
		seen = 0;
	}
	PROBE4(wait, wait->vm->fd, wait->report->gpa, wait->tries, wait->report->waited_ns);
	if (wait->tries++ >= EAGER_TRIES) {
		sleep = back_off(wait->tries - 1 - EAGER_TRIES);
		gmem_kernel_futex_wait(&wait->vm->kernel, word, seen, sleep < left ? sleep : left);
		note_time(wait);
	}
	return ask(wait);
}

enum verdict gmem_wait_for_turn(struct wait *wait, const _Atomic uint32_t *word, uint32_t seen)
{
	enum verdict verdict = VERDICT_AGAIN;
	int rc;

	if (wait->never || (!note_time(wait) && !wait->patient))
		return VERDICT_STOP;
	rc = gmem_kernel_futex_wait(&wait->vm->kernel, word, seen, TURN_SLEEP_NS);
	note_time(wait);
	if (rc == -EINTR && !wait->patient)
		verdict = ask(wait);
	return verdict == VERDICT_AGAIN ? VERDICT_AGAIN : VERDICT_STOP;
}

enum verdict gmem_wait_interrupted(struct wait *wait, uint32_t times)
{
	if (wait->never || !wait->vm->config.deadline_ns)
		return times <= IMMEDIATE_REPEATS ? VERDICT_AGAIN : VERDICT_STOP;
	if (!time_left(wait))
		return VERDICT_STOP;
	return ask(wait);
}
