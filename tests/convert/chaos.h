/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the chaos test is made of: a run, its threads, and the door in front of the simulator that
 * fails calls at random, but only in ways in which a kernel can.
 */
#ifndef TESTS_CONVERT_CHAOS_H
#define TESTS_CONVERT_CHAOS_H

#include "rig.h"

#include "tests/support/leaks.h"
#include "tests/support/random.h"

#include <pthread.h>

#define CHAOS_THREADS 4u
#define CHAOS_PINS 4u
#define CHAOS_OPERATIONS 18u

struct chaos;

/* What a thread is in, for its callbacks. */
enum doing {
	DOING_NOTHING,
	DOING_CONVERSION,
	DOING_LAYOUT,
	DOING_ACCESS,
};

struct chaos_thread {
	struct chaos *chaos;
	unsigned int index;
	pthread_t handle;
	uint64_t seed;
	enum doing doing;
	bool in_callback;
	int vcpu_fd;
	void *kvm_run;
	struct gmem_pin pins[CHAOS_PINS];
	uint64_t pin_gpa[CHAOS_PINS];
};

struct chaos {
	struct rig rig; /* made here, not by rig_open(): there is a door in front of its kernel */
	struct gmem_kernel below;
	struct leaks *leaks;
	struct leaks_snapshot *snapshot;
	struct gmem_region *plain;
	struct chaos_thread thread[CHAOS_THREADS];
	pthread_barrier_t start;
	pthread_barrier_t end;
	uint64_t base; /* guest address of the first section */
	bool writes_private;
	atomic_bool calm;                   /* nothing fails, and callbacks are patient */
	atomic_uint done[CHAOS_OPERATIONS]; /* successes of each */
	atomic_uint callbacks;              /* that called back */
	pthread_mutex_t lock;               /* of wrong */
	char wrong[256];                    /* the first thing that was */
};

/* The thread that is running, NULL for the one that runs the test. */
extern _Thread_local struct chaos_thread *chaos_self;

/* The door: opaque is a struct chaos. */
int64_t chaos_call(uint32_t nr, const uint64_t *arg, void *opaque);

#endif /* TESTS_CONVERT_CHAOS_H */
