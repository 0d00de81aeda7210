// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of the lock: that it excludes, that whoever finds it held sleeps and is woken, that it
 * makes no call where nobody else wants it, and that a kernel which refuses to put to sleep is no
 * way past it. tests/model/lock.pml goes through all orders of steps.
 */
#include "lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

/* Needs what stands above. */
#include <cmocka.h>

#define THREADS 4u
/* Nothing that works sleeps so long. */
#define OVERSLEPT_SECONDS 100

static unsigned int rounds = 20000;

struct scene {
	struct lock lock;
	struct gmem_kernel kernel;
	int refusal;      /* what sleeping gives instead */
	uint64_t counter; /* the lock's */
	_Atomic unsigned int sleeps;
	_Atomic unsigned int wakes;
	_Atomic unsigned int overslept;
};

/* Sleeps are real, and only a wake-up ends them. */
static int64_t sleep_for_long(const uint64_t *arg)
{
	const struct timespec forever = { .tv_sec = OVERSLEPT_SECONDS };
	const uint64_t longer[GMEM_SYS_ARGUMENTS] = { arg[0], arg[1], arg[2],
						      address_of(&forever) };
	struct gmem_kernel host;

	gmem_kernel_get_host(&host);
	return host.call(GMEM_SYS_FUTEX, longer, host.opaque);
}

static int64_t call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct scene *scene = opaque;
	struct gmem_kernel host;
	int64_t rc;

	assert_int_equal(nr, GMEM_SYS_FUTEX);
	assert_int_equal(arg[0], address_of(&scene->lock.word));
	if (arg[1] != FUTEX_WAIT_PRIVATE) {
		atomic_fetch_add(&scene->wakes, 1);
		assert_int_equal(arg[2], 1);
		gmem_kernel_get_host(&host);
		return host.call(nr, arg, host.opaque);
	}
	assert_int_equal(arg[2], LOCK_SOUGHT);
	atomic_fetch_add(&scene->sleeps, 1);
	if (scene->refusal)
		return scene->refusal;
	rc = sleep_for_long(arg);
	if (rc == -ETIMEDOUT)
		atomic_fetch_add(&scene->overslept, 1);
	return rc;
}

static void open_scene(struct scene *scene)
{
	*scene = (struct scene){ .kernel = { call, scene } };
}

static void nobody_else_means_no_call(void **unused)
{
	struct scene scene;
	unsigned int i;

	open_scene(&scene);
	for (i = 0; i < 10; i++) {
		lock_take(&scene.lock, &scene.kernel);
		assert_int_equal(scene.lock.word, LOCK_HELD);
		lock_release(&scene.lock, &scene.kernel);
		assert_int_equal(scene.lock.word, LOCK_FREE);
	}
	assert_int_equal(scene.sleeps, 0);
	assert_int_equal(scene.wakes, 0);
}

static void *take_once(void *opaque)
{
	struct scene *scene = opaque;

	lock_take(&scene->lock, &scene->kernel);
	scene->counter++;
	lock_release(&scene->lock, &scene->kernel);
	return NULL;
}

/* All of them are asleep when the lock is given back, and each wakes the next. */
static void sleepers_wake_one_after_the_other(void **unused)
{
	pthread_t threads[THREADS];
	struct scene scene;
	unsigned int i;

	open_scene(&scene);
	lock_take(&scene.lock, &scene.kernel);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_once, &scene), 0);
	while (scene.sleeps < THREADS)
		sched_yield();
	assert_int_equal(scene.counter, 0);
	lock_release(&scene.lock, &scene.kernel);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(scene.counter, THREADS);
	assert_int_equal(scene.lock.word, LOCK_FREE);
	assert_int_equal(scene.overslept, 0);
	/* The last one cannot know that it is the last. */
	assert_int_equal(scene.wakes, THREADS + 1);
}

static void *take_often(void *opaque)
{
	struct scene *scene = opaque;
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		lock_take(&scene->lock, &scene->kernel);
		scene->counter++;
		if (i % 64 == 0)
			sched_yield();
		lock_release(&scene->lock, &scene->kernel);
	}
	return NULL;
}

static void crowd(struct scene *scene)
{
	pthread_t threads[THREADS];
	unsigned int i;

	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_often, scene), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(scene->counter, (uint64_t)THREADS * rounds);
	assert_int_equal(scene->lock.word, LOCK_FREE);
	assert_int_equal(scene->overslept, 0);
}

static void one_thread_has_it_at_a_time(void **unused)
{
	struct scene scene;

	open_scene(&scene);
	crowd(&scene);
}

static void a_sleep_that_fails_is_a_short_one(void **unused)
{
	static const int refusals[] = { -EINTR, -ENOSYS, -EAGAIN };
	struct scene scene;
	unsigned int i;

	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		open_scene(&scene);
		scene.refusal = refusals[i];
		crowd(&scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_else_means_no_call),
		cmocka_unit_test(sleepers_wake_one_after_the_other),
		cmocka_unit_test(one_thread_has_it_at_a_time),
		cmocka_unit_test(a_sleep_that_fails_is_a_short_one),
	};

	if (getenv("GMEM_TEST_VALGRIND"))
		rounds = 200;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
