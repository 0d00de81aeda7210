// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM with little in it, and threads that do what they are told. */
#include "bare.h"

#include "support.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Needs what stands above. */
#include <cmocka.h>

#define PAGE_SHIFT 12
#define NANOSECONDS UINT64_C(1000000000)
/* Nothing that works sleeps so long. */
#define OVERSLEPT_SECONDS 100

static int64_t host_call(uint32_t nr, const uint64_t *arg)
{
	struct gmem_kernel host;

	gmem_kernel_get_host(&host);
	return host.call(nr, arg, host.opaque);
}

static void note_nap(struct bare *bare, const uint64_t *arg)
{
	const struct timespec *timeout = (const struct timespec *)(uintptr_t)arg[3];
	uint32_t index = atomic_fetch_add(&bare->nap_count, 1);

	if (index >= BARE_NAPS)
		return;
	bare->naps[index] = (struct nap){
		.timeout_ns = (uint64_t)timeout->tv_sec * NANOSECONDS + (uint64_t)timeout->tv_nsec,
		.word = arg[0],
		.value = (uint32_t)arg[2],
	};
}

static int64_t real_nap(struct bare *bare, const uint64_t *arg)
{
	const struct timespec forever = { .tv_sec = OVERSLEPT_SECONDS };
	const uint64_t longer[GMEM_SYS_ARGUMENTS] = { arg[0], arg[1], arg[2],
						      (uint64_t)(uintptr_t)&forever };
	int64_t result = host_call(GMEM_SYS_FUTEX, longer);

	if (result == -ETIMEDOUT)
		atomic_fetch_add(&bare->overslept, 1);
	return result;
}

static int64_t nap(struct bare *bare, const uint64_t *arg)
{
	uint64_t start = bare->now;

	if (bare->real) {
		/* Noted only when it is about to begin: a test waits for that. */
		note_nap(bare, arg);
		return real_nap(bare, arg);
	}
	note_nap(bare, arg);
	if (bare->during_nap)
		bare->during_nap(bare);
	if (atomic_load((const _Atomic uint32_t *)(uintptr_t)arg[0]) != (uint32_t)arg[2])
		return -EAGAIN;
	if (bare->nap_result == -ETIMEDOUT) {
		const struct timespec *timeout = (const struct timespec *)(uintptr_t)arg[3];

		bare->now = start + (uint64_t)timeout->tv_sec * NANOSECONDS +
			    (uint64_t)timeout->tv_nsec;
	}
	return bare->nap_result;
}

static int64_t tell_time(struct bare *bare, const uint64_t *arg)
{
	struct timespec *time = (struct timespec *)(uintptr_t)arg[1];

	atomic_fetch_add(&bare->clock_calls, 1);
	if (arg[0] != CLOCK_MONOTONIC)
		return -EINVAL;
	if (bare->clock_error)
		return bare->clock_error;
	time->tv_sec = (time_t)(bare->now / NANOSECONDS);
	time->tv_nsec = (long)(bare->now % NANOSECONDS);
	return 0;
}

static int64_t bare_door(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct bare *bare = opaque;

	switch (nr) {
	case GMEM_SYS_CLOCK_GETTIME:
		return tell_time(bare, arg);
	case GMEM_SYS_FUTEX:
		/* The list of claims is somebody else's for a moment: not what tests speak of. */
		if (arg[0] == address_of(&bare->vm.claims.lock.word))
			return host_call(nr, arg);
		if (arg[1] == FUTEX_WAIT_PRIVATE)
			return nap(bare, arg);
		atomic_fetch_add(&bare->wakes, 1);
		return host_call(nr, arg);
	case GMEM_SYS_MMAP:
		return bare->mmap_error ? bare->mmap_error : host_call(nr, arg);
	default:
		return host_call(nr, arg);
	}
}

void bare_open(struct bare *bare, uint64_t deadline_ns, gmem_retry_fn fn, void *opaque)
{
	struct gmem_vm *vm = &bare->vm;

	memset(bare, 0, sizeof(*bare));
	bare->now = 12345 * NANOSECONDS;
	bare->nap_result = -ETIMEDOUT;
	bare->logs = logs_new();
	vm->kernel = (struct gmem_kernel){ bare_door, bare };
	vm->ctx = logs_new_ctx(bare->logs, &vm->kernel);
	vm->fd = 77;
	vm->caps.page_size = UINT64_C(1) << PAGE_SHIFT;
	vm->caps.page_shift = PAGE_SHIFT;
	gmem_vm_config_init(&vm->config);
	vm->config.deadline_ns = deadline_ns;
	vm->config.retry = fn;
	vm->config.retry_closure = gmem_closure_new(opaque, NULL);
	assert_non_null(vm->config.retry_closure);
}

void bare_close(struct bare *bare)
{
	struct gmem_vm *vm = &bare->vm;

	assert_int_equal(bare->overslept, 0);
	gmem_closure_put(vm->config.retry_closure);
	gmem_ctx_free(vm->ctx);
	expect_no_message(bare->logs);
	logs_free(bare->logs);
}

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int (*job)(void *opaque);
	void *opaque;
	int result;
	bool busy;
	bool ends;
};

static void *work(void *opaque)
{
	struct worker *worker = opaque;

	pthread_mutex_lock(&worker->lock);
	while (!worker->ends) {
		if (worker->busy) {
			pthread_mutex_unlock(&worker->lock);
			worker->result = worker->job(worker->opaque);
			pthread_mutex_lock(&worker->lock);
			worker->busy = false;
			pthread_cond_broadcast(&worker->changed);
		} else {
			pthread_cond_wait(&worker->changed, &worker->lock);
		}
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

static void only_interrupt(int number)
{
	(void)number;
}

struct worker *worker_new(void)
{
	struct sigaction action = { .sa_handler = only_interrupt, .sa_flags = SA_RESTART };
	struct worker *worker = support_new(sizeof(*worker));

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->changed, NULL);
	assert_int_equal(pthread_create(&worker->thread, NULL, work, worker), 0);
	return worker;
}

void worker_free(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->ends = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->changed);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

void worker_start(struct worker *worker, int (*job)(void *opaque), void *opaque)
{
	pthread_mutex_lock(&worker->lock);
	worker->job = job;
	worker->opaque = opaque;
	worker->busy = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
}

int worker_finish(struct worker *worker)
{
	int result;

	pthread_mutex_lock(&worker->lock);
	while (worker->busy)
		pthread_cond_wait(&worker->changed, &worker->lock);
	result = worker->result;
	pthread_mutex_unlock(&worker->lock);
	return result;
}

bool worker_is_done(struct worker *worker)
{
	bool done;

	pthread_mutex_lock(&worker->lock);
	done = !worker->busy;
	pthread_mutex_unlock(&worker->lock);
	return done;
}

int worker_finish_by_signals(struct worker *worker)
{
	/* One that comes between two sleeps is lost, so there are as many as it takes. */
	while (!worker_is_done(worker)) {
		pthread_kill(worker->thread, SIGUSR1);
		sched_yield();
	}
	return worker_finish(worker);
}
