/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM with nothing but what waiting, claims and pins look at, behind a door whose clock is the
 * test's and whose futex either is the test's too, or is real but never ends by itself; and
 * threads that do what they are told.
 */
#ifndef TESTS_UNIT_BARE_H
#define TESTS_UNIT_BARE_H

#include "logs.h"
#include "vm.h"
#include "wait.h"

#include <stdbool.h>

/* A sleep that was asked for. */
struct nap {
	uint64_t timeout_ns;
	uint64_t word; /* address */
	uint32_t value;
};

#define BARE_NAPS 4096u

struct bare {
	struct gmem_vm vm;
	struct logs *logs;
	uint64_t now; /* of the clock */
	int clock_error;
	int mmap_error;
	/*
	 * Sleeps are real, and only a wake-up or a signal ends them: what depends on the end of a
	 * sleep oversleeps instead of being slow.
	 */
	bool real;
	/* What a sleep that is not real returns, at once; after -ETIMEDOUT its time has passed. */
	int nap_result;
	void (*during_nap)(struct bare *bare);
	struct nap naps[BARE_NAPS];
	_Atomic uint32_t nap_count; /* may be more than are kept */
	_Atomic uint32_t overslept;
	_Atomic uint32_t wakes;
	_Atomic uint32_t clock_calls;
};

/* Pages of 4 KiB. fn may be NULL. */
void bare_open(struct bare *bare, uint64_t deadline_ns, gmem_retry_fn fn, void *opaque);
/* Fails the test if a message is left. */
void bare_close(struct bare *bare);

/* A thread. */
struct worker;
struct worker *worker_new(void);
/* Ends it; what it was told last must be done. */
void worker_free(struct worker *worker);
/* Starts it on a job, one at a time. */
void worker_start(struct worker *worker, int (*job)(void *opaque), void *opaque);
/* Waits for the job, and returns what it returned. */
int worker_finish(struct worker *worker);
/* Sends it signals until the job is done. */
int worker_finish_by_signals(struct worker *worker);
bool worker_is_done(struct worker *worker);

static inline int worker_do(struct worker *worker, int (*job)(void *opaque), void *opaque)
{
	worker_start(worker, job, opaque);
	return worker_finish(worker);
}

#endif /* TESTS_UNIT_BARE_H */
