// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every operation that waits, for another one and for pins: what ends its waiting, and what it does
 * where it can or may not wait at all.
 */
#include "rig.h"

#include <errno.h>
#include <gmem/kernel.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define FIRST 16u /* where memory begins, in pages */
#define PAGES 64u
#define HELD 8u /* where somebody is at work, in pages of the region */
#define HELD_PAGES 8u

/* A rig, somebody who is at work for as long as the test wants, and what the callback is asked. */
struct scene {
	struct rig rig;
	struct gmem_listener *listener;
	pthread_barrier_t barrier;
	pthread_t thread;
	_Atomic bool holds;
	int answer;
	uint32_t asked;
	struct gmem_report seen; /* the last */
};

/* cmocka's assertions are for the first thread alone. */
static int stay_inside(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct scene *scene = opaque;

	(void)run;
	if (event == GMEM_EVENT_REMOVE && atomic_exchange(&scene->holds, false)) {
		pthread_barrier_wait(&scene->barrier);
		pthread_barrier_wait(&scene->barrier);
	}
	return 0;
}

static void *hold(void *opaque)
{
	struct scene *scene = opaque;
	int rc = rig_convert_keeping(&scene->rig, FIRST + HELD, HELD_PAGES, GMEM_PRIVATE, 0, NULL);

	return (void *)(intptr_t)rc;
}

/* When it returns the pages are claimed. */
static void hold_begin(struct scene *scene)
{
	atomic_store(&scene->holds, true);
	assert_int_equal(pthread_create(&scene->thread, NULL, hold, scene), 0);
	pthread_barrier_wait(&scene->barrier);
}

static void hold_end(struct scene *scene)
{
	void *result;

	pthread_barrier_wait(&scene->barrier);
	assert_int_equal(pthread_join(scene->thread, &result), 0);
	assert_null(result);
}

static int answer(const struct gmem_report *so_far, void *opaque)
{
	struct scene *scene = opaque;

	scene->asked++;
	scene->seen = *so_far;
	return scene->answer;
}

static void open_scene(struct scene *scene, const struct mode *mode, uint64_t deadline_ns)
{
	struct gmem_vm_config *config = rig_config(mode);

	memset(scene, 0, sizeof(*scene));
	gmem_vm_config_set_retry(config, deadline_ns, answer, scene, NULL);
	rig_open_with(&scene->rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&scene->rig, FIRST, rig_region(&scene->rig, PAGES), 0, PAGES);
	pthread_barrier_init(&scene->barrier, NULL, 2);
	assert_int_equal(gmem_listener_new(scene->rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   stay_inside, scene, NULL, &scene->listener),
			 0);
	rig_forget_calls(&scene->rig);
}

static void close_scene(struct scene *scene)
{
	assert_int_equal(gmem_listener_free(scene->listener), 0);
	pthread_barrier_destroy(&scene->barrier);
	rig_compare(&scene->rig);
	rig_close(&scene->rig);
}

/* What can wait for another operation, each over a part of what is held. */
static uint64_t at(const struct scene *scene, uint64_t page)
{
	return (FIRST + page) * scene->rig.page;
}

static int convert(struct scene *scene)
{
	return rig_convert_keeping(&scene->rig, FIRST + 12, 8, GMEM_PRIVATE, 0, NULL);
}

static int discard(struct scene *scene)
{
	return gmem_vm_discard(scene->rig.vm, at(scene, 12), 8 * scene->rig.page, 0, NULL);
}

static int populate(struct scene *scene)
{
	return gmem_vm_populate(scene->rig.vm, at(scene, 12), 8 * scene->rig.page, 0, NULL);
}

static int map(struct scene *scene)
{
	return gmem_vm_map(scene->rig.vm, at(scene, 4), NULL, 0, 8 * scene->rig.page,
			   GMEM_SLOT_NONE, 0);
}

static int unmap(struct scene *scene)
{
	return gmem_vm_unmap(scene->rig.vm, at(scene, 0), PAGES * scene->rig.page);
}

static int set_map_flags(struct scene *scene)
{
	return gmem_vm_set_map_flags(scene->rig.vm, at(scene, 0), PAGES * scene->rig.page, 0);
}

static int pin(struct scene *scene)
{
	struct gmem_pin pin;

	return gmem_vm_pin(scene->rig.vm, at(scene, 12) + 5, 1, GMEM_ACCESS_WAIT, &pin);
}

static int read_bytes(struct scene *scene)
{
	char bytes[8];

	return gmem_vm_read(scene->rig.vm, at(scene, 8) - 4, bytes, 8, GMEM_ACCESS_WAIT);
}

static int hear_nothing(uint32_t event, const struct gmem_run *run, void *opaque)
{
	(void)event;
	(void)run;
	(void)opaque;
	return 0;
}

static int listen(struct scene *scene)
{
	struct gmem_listener *listener;

	return gmem_listener_new(scene->rig.vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0, hear_nothing,
				 NULL, NULL, &listener);
}

struct waiter {
	const char *name;
	int (*run)(struct scene *scene);
};

static const struct waiter waiters[] = {
	{ "convert", convert }, { "discard", discard }, { "populate", populate },
	{ "map", map },         { "unmap", unmap },     { "set_map_flags", set_map_flags },
	{ "pin", pin },         { "read", read_bytes }, { "listener_new", listen },
};

#define WAITERS (sizeof(waiters) / sizeof(waiters[0]))

static void expect_again(struct scene *scene, const struct waiter *waiter)
{
	int rc = waiter->run(scene);

	if (rc != -EAGAIN)
		fail_msg("%s, %s: %d instead of -EAGAIN", scene->rig.mode->name, waiter->name, rc);
}

static void fail_clock(struct scene *scene)
{
	assert_int_equal(gmem_sim_fail(scene->rig.sim, GMEM_SYS_CLOCK_GETTIME, 0, 0, -EPERM, 0), 0);
}

/* Of the messages there are, how many are of this level. */
static unsigned int count_messages(struct scene *scene, uint32_t level)
{
	unsigned int count = 0;
	char text[512];
	size_t i;

	for (i = 0; i < logs_count(scene->rig.logs); i++)
		count += logs_get(scene->rig.logs, i, text, sizeof(text)) == level;
	return count;
}

/* There is no telling how long it would be. It is said once, and each has its own message. */
static void without_a_clock_nobody_waits_for_others(void **state)
{
	struct scene scene;
	size_t i;

	open_scene(&scene, *state, UINT64_MAX);
	fail_clock(&scene);
	hold_begin(&scene);
	for (i = 0; i < WAITERS; i++)
		expect_again(&scene, &waiters[i]);
	assert_int_equal(count_messages(&scene, GMEM_LOG_WARNING), 1);
	assert_int_equal(logs_count(scene.rig.logs), 1 + WAITERS);
	assert_int_equal(scene.asked, 0);
	assert_int_equal(scene.rig.futex_calls, 0);
	hold_end(&scene);
	assert_int_equal(gmem_sim_clear_failures(scene.rig.sim), 0);
	close_scene(&scene);
}

static void without_a_clock_nobody_waits_for_pins(void **state)
{
	struct gmem_pin pins[2];
	struct scene scene;

	open_scene(&scene, *state, UINT64_MAX);
	assert_int_equal(gmem_vm_pin(scene.rig.vm, at(&scene, 13), 1, 0, &pins[0]), 0);
	assert_int_equal(gmem_vm_pin(scene.rig.vm, at(&scene, 14), 1, 0, &pins[1]), 0);
	fail_clock(&scene);
	rig_forget_calls(&scene.rig);
	assert_int_equal(convert(&scene), -EAGAIN);
	assert_int_equal(discard(&scene), -EAGAIN);
	assert_int_equal(unmap(&scene), -EAGAIN);
	assert_int_equal(count_messages(&scene, GMEM_LOG_WARNING), 1);
	assert_int_equal(logs_count(scene.rig.logs), 1 + 3);
	assert_int_equal(scene.asked, 0);
	assert_int_equal(scene.rig.futex_calls, 0);
	gmem_vm_unpin(scene.rig.vm, &pins[0]);
	gmem_vm_unpin(scene.rig.vm, &pins[1]);
	/* And what need not wait needs no clock. */
	assert_int_equal(convert(&scene), 0);
	assert_int_equal(gmem_sim_clear_failures(scene.rig.sim), 0);
	close_scene(&scene);
}

/* A signal is no reason to look how late it is, but then it is for how long to go on. */
static void without_a_clock_a_signal_ends_it(void **state)
{
	struct gmem_report report;
	struct scene scene;

	open_scene(&scene, *state, UINT64_MAX);
	fail_clock(&scene);
	rig_fail_call(&scene.rig, 1, -EINTR);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE, 0, &report),
			 -EAGAIN);
	assert_int_equal(report.kernel_error, -EINTR);
	assert_int_equal(report.waited_ns, 0);
	assert_int_equal(count_messages(&scene, GMEM_LOG_WARNING), 1);
	assert_int_equal(logs_count(scene.rig.logs), 2);
	assert_int_equal(gmem_sim_clear_failures(scene.rig.sim), 0);
	close_scene(&scene);
}

static void *free_listener(void *opaque)
{
	return (void *)(intptr_t)gmem_listener_free(opaque);
}

/* It has no way to say that it did not work: it sleeps until it does, and asks nobody. */
static void a_listener_that_is_freed_waits_all_the_same(void **state)
{
	struct gmem_listener *listener;
	struct scene scene;
	pthread_t thread;
	void *result;

	open_scene(&scene, *state, UINT64_MAX);
	assert_int_equal(gmem_listener_new(scene.rig.vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0,
					   hear_nothing, NULL, NULL, &listener),
			 0);
	scene.answer = GMEM_RETRY_STOP;
	fail_clock(&scene);
	hold_begin(&scene);
	atomic_store(&scene.rig.futex_calls, 0);
	assert_int_equal(pthread_create(&thread, NULL, free_listener, listener), 0);
	while (!atomic_load(&scene.rig.futex_calls))
		sched_yield();
	hold_end(&scene);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_int_equal(scene.asked, 0);
	expect_one_message(scene.rig.logs, GMEM_LOG_WARNING, "clock");
	assert_int_equal(gmem_sim_clear_failures(scene.rig.sim), 0);
	close_scene(&scene);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(without_a_clock_nobody_waits_for_others, IN_ALL_MODES),
		RIG_CASE(without_a_clock_nobody_waits_for_pins, IN_ALL_MODES),
		RIG_CASE(without_a_clock_a_signal_ends_it, IN_ALL_MODES),
		RIG_CASE(a_listener_that_is_freed_waits_all_the_same, IN_ALL_MODES),
	};

	return rig_run("waits", cases, sizeof(cases) / sizeof(cases[0]));
}
