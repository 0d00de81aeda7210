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
	int64_t first; /* what is held, in pages of the region, and for which state */
	uint64_t pages;
	uint32_t to;
	int answer;
	uint32_t asked;
	struct gmem_report seen; /* the last */
	struct gmem_pin held;
	struct gmem_listener *other;
};

/* cmocka's assertions are for the first thread alone. */
static int stay_inside(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct scene *scene = opaque;

	(void)run;
	(void)event;
	if (atomic_exchange(&scene->holds, false)) {
		pthread_barrier_wait(&scene->barrier);
		pthread_barrier_wait(&scene->barrier);
	}
	return 0;
}

static void *hold(void *opaque)
{
	struct scene *scene = opaque;
	int rc = rig_convert_keeping(&scene->rig, FIRST + (uint64_t)scene->first, scene->pages,
				     scene->to, 0, NULL);

	return (void *)(intptr_t)rc;
}

/* When it returns these pages are claimed, by who converts them; one at least has to be. */
static void hold_range(struct scene *scene, int64_t first, uint64_t pages, uint32_t to)
{
	scene->first = first;
	scene->pages = pages;
	scene->to = to;
	atomic_store(&scene->holds, true);
	assert_int_equal(pthread_create(&scene->thread, NULL, hold, scene), 0);
	pthread_barrier_wait(&scene->barrier);
}

static void hold_begin(struct scene *scene)
{
	hold_range(scene, HELD, HELD_PAGES, GMEM_PRIVATE);
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

/* All zeros but for what the configuration knows, which ends here. */
static void open_scene_with(struct scene *scene, const struct mode *mode,
			    struct gmem_vm_config *config)
{
	rig_open_with(&scene->rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&scene->rig, FIRST, rig_region(&scene->rig, PAGES), 0, PAGES);
	pthread_barrier_init(&scene->barrier, NULL, 2);
	assert_int_equal(gmem_listener_new(scene->rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   stay_inside, scene, NULL, &scene->listener),
			 0);
	rig_forget_calls(&scene->rig);
}

static void open_scene(struct scene *scene, const struct mode *mode, uint64_t deadline_ns)
{
	struct gmem_vm_config *config = rig_config(mode);

	memset(scene, 0, sizeof(*scene));
	gmem_vm_config_set_retry(config, deadline_ns, answer, scene, NULL);
	open_scene_with(scene, mode, config);
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
	uint32_t operation;
	/* The first part of its range that is held, in pages of the region and bytes. */
	uint64_t page, pages;
	uint64_t byte, bytes;
};

static const struct waiter waiters[] = {
	{ "convert", convert, GMEM_OPERATION_CONVERT, 12, 4, 0, 0 },
	{ "discard", discard, GMEM_OPERATION_DISCARD, 12, 4, 0, 0 },
	{ "populate", populate, GMEM_OPERATION_POPULATE, 12, 4, 0, 0 },
	{ "map", map, GMEM_OPERATION_LAYOUT, 8, 4, 0, 0 },
	{ "unmap", unmap, GMEM_OPERATION_LAYOUT, 8, 8, 0, 0 },
	{ "set_map_flags", set_map_flags, GMEM_OPERATION_LAYOUT, 8, 8, 0, 0 },
	{ "pin", pin, GMEM_OPERATION_PIN, 12, 0, 5, 1 },
	{ "read", read_bytes, GMEM_OPERATION_PIN, 8, 0, 0, 4 },
	{ "listener_new", listen, GMEM_OPERATION_LISTENER, 8, 8, 0, 0 },
};

#define WAITERS (sizeof(waiters) / sizeof(waiters[0]))

static void expect_again(struct scene *scene, const struct waiter *waiter)
{
	int rc = waiter->run(scene);

	if (rc != -EAGAIN)
		fail_msg("%s, %s: %d instead of -EAGAIN", scene->rig.mode->name, waiter->name, rc);
}

/* What is no operation itself may start one while it waits, and what is may not. */
static int start_others(const struct gmem_report *so_far, void *opaque)
{
	struct scene *scene = opaque;
	bool may = so_far->operation == GMEM_OPERATION_PIN;
	struct gmem_vm *vm = scene->rig.vm;
	uint64_t hole = at(scene, PAGES), page = scene->rig.page;
	int wanted = may ? 0 : -EDEADLK;
	struct gmem_listener *listener;
	int futex_error = atomic_exchange(&scene->rig.futex_error, 0);

	(void)answer(so_far, opaque);
	assert_int_equal(rig_convert_keeping(&scene->rig, FIRST + 40, 4, GMEM_PRIVATE, 0, NULL),
			 wanted);
	assert_int_equal(rig_convert_keeping(&scene->rig, FIRST + 40, 4, GMEM_SHARED, 0, NULL),
			 wanted);
	assert_int_equal(gmem_vm_discard(vm, at(scene, 40), page, 0, NULL), wanted);
	assert_int_equal(gmem_vm_map(vm, hole, NULL, 0, page, GMEM_SLOT_NONE, 0), wanted);
	if (may) {
		assert_int_equal(gmem_vm_unmap(vm, hole, page), 0);
	} else {
		assert_int_equal(gmem_listener_new(vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0,
						   hear_nothing, NULL, NULL, &listener),
				 -EDEADLK);
		assert_int_equal(gmem_vm_flush(vm, 0, NULL), -EDEADLK);
	}
	assert_int_equal(gmem_vm_get_state(vm, at(scene, 40), page), GMEM_SHARED);
	atomic_store(&scene->rig.futex_error, futex_error);
	return GMEM_RETRY_STOP;
}

static void only_who_waits_with_a_pin_may_start_others(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct scene scene;
	size_t i;

	memset(&scene, 0, sizeof(scene));
	gmem_vm_config_set_retry(config, UINT64_MAX, start_others, &scene, NULL);
	open_scene_with(&scene, *state, config);
	hold_begin(&scene);
	atomic_store(&scene.rig.futex_error, -EINTR);
	for (i = 0; i < WAITERS; i++) {
		scene.asked = 0;
		expect_again(&scene, &waiters[i]);
		assert_int_equal(scene.asked, 1);
	}
	atomic_store(&scene.rig.futex_error, 0);
	hold_end(&scene);
	close_scene(&scene);
}

/* Only a listener waits: it needs all addresses at once. */
static void a_deadline_of_0_waits_for_nobody(void **state)
{
	struct scene scene;
	size_t i;

	open_scene(&scene, *state, 0);
	hold_begin(&scene);
	for (i = 0; i < WAITERS; i++) {
		if (waiters[i].run == listen)
			continue;
		rig_forget_calls(&scene.rig);
		expect_again(&scene, &waiters[i]);
		assert_int_equal(logs_count(scene.rig.logs), 1);
		assert_int_equal(scene.rig.wait_calls, 0);
	}
	hold_end(&scene);
	for (i = 0; i < WAITERS; i++) {
		if (waiters[i].operation == GMEM_OPERATION_DISCARD)
			assert_int_equal(waiters[i].run(&scene), 0);
	}
	assert_int_equal(scene.asked, 0);
	close_scene(&scene);
}

static void a_deadline_of_0_waits_for_no_pin(void **state)
{
	struct scene scene;

	open_scene(&scene, *state, 0);
	assert_int_equal(gmem_vm_pin(scene.rig.vm, at(&scene, 13), 1, 0, &scene.held), 0);
	rig_forget_calls(&scene.rig);
	assert_int_equal(convert(&scene), -EAGAIN);
	assert_int_equal(discard(&scene), -EAGAIN);
	assert_int_equal(unmap(&scene), -EAGAIN);
	assert_int_equal(scene.rig.futex_calls, 0);
	assert_int_equal(scene.asked, 0);
	gmem_vm_unpin(scene.rig.vm, &scene.held);
	close_scene(&scene);
}

static void *listen_in_thread(void *opaque)
{
	struct scene *scene = opaque;

	return (void *)(intptr_t)gmem_listener_new(scene->rig.vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM,
						   0, hear_nothing, NULL, NULL, &scene->other);
}

static void a_listener_waits_whatever_the_deadline(void **state)
{
	struct scene scene;
	pthread_t thread;
	void *result;

	open_scene(&scene, *state, 0);
	hold_begin(&scene);
	atomic_store(&scene.rig.futex_calls, 0);
	assert_int_equal(pthread_create(&thread, NULL, listen_in_thread, &scene), 0);
	while (!atomic_load(&scene.rig.futex_calls))
		sched_yield();
	hold_end(&scene);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_int_equal(gmem_listener_free(scene.other), 0);
	close_scene(&scene);
}

/* Two runs, of which each call gets so many signals. */
static int convert_with_signals(struct scene *scene, uint32_t flags, unsigned int signals,
				struct gmem_report *report)
{
	const uint64_t page = scene->rig.page;
	const struct gmem_range ranges[] = {
		{ at(scene, 0), 4 * page },
		{ at(scene, 8), 4 * page },
	};
	unsigned int i;

	for (i = 1; i <= 2 * signals + 1; i++) {
		if (i != signals + 1)
			rig_fail_call(&scene->rig, i, -EINTR);
	}
	rig_forget_calls(&scene->rig);
	return gmem_vm_convert_ranges(scene->rig.vm, ranges, 2, GMEM_PRIVATE,
				      flags | GMEM_CONVERT_KEEP, report);
}

#define REPEATS 8u /* of a call that is interrupted, by who waits for nothing */

/* A signal that waits to be handled is, when the call returns: that takes no waiting. */
static void signals_are_got_over(struct scene *scene, uint32_t flags)
{
	struct gmem_report report;

	assert_int_equal(convert_with_signals(scene, flags, REPEATS, &report), 0);
	assert_int_equal(report.ioctls, 2 * (REPEATS + 1));
	assert_int_equal(report.retries, 2 * REPEATS);
	assert_int_equal(rig_convert_keeping(&scene->rig, FIRST, PAGES, GMEM_SHARED, 0, NULL), 0);
	assert_int_equal(convert_with_signals(scene, flags, REPEATS + 1, &report), -EAGAIN);
	assert_int_equal(report.ioctls, REPEATS + 1);
	assert_int_equal(report.retries, REPEATS + 1);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_SIGNAL);
	assert_int_equal(report.kernel_error, -EINTR);
	assert_int_equal(scene->rig.wait_calls, 0);
	assert_int_equal(scene->asked, 0);
	assert_int_equal(gmem_sim_clear_failures(scene->rig.sim), REPEATS + 1);
}

static void who_waits_for_nothing_gets_over_signals(void **state)
{
	struct scene scene;

	open_scene(&scene, *state, 0);
	signals_are_got_over(&scene, 0);
	close_scene(&scene);
	/* Whatever the deadline. */
	open_scene(&scene, *state, UINT64_MAX);
	scene.answer = GMEM_RETRY_STOP;
	signals_are_got_over(&scene, GMEM_CONVERT_NOWAIT);
	close_scene(&scene);
}

static void fail_clock(struct scene *scene)
{
	assert_int_equal(gmem_sim_fail(scene->rig.sim, GMEM_SYS_CLOCK_GETTIME, 0, 0, -EPERM, 0), 0);
}

/* It was asked once, about this part of the only region. */
static void expect_asked(struct scene *scene, uint32_t operation, uint32_t obstacle, uint64_t page,
			 uint64_t pages)
{
	const struct gmem_report *seen = &scene->seen;

	assert_int_equal(scene->asked, 1);
	assert_int_equal(seen->operation, operation);
	assert_int_equal(seen->obstacle, obstacle);
	assert_int_equal(seen->gpa, at(scene, page));
	assert_int_equal(seen->size, pages * scene->rig.page);
	assert_int_equal(seen->tag, 1);
	assert_int_equal(seen->offset, page * scene->rig.page);
	scene->asked = 0;
}

/* What counts as STOP where there is nothing to pass over. */
static const int stops[] = { GMEM_RETRY_STOP, GMEM_RETRY_SKIP, GMEM_RETRY_LATER, 4, -1 };

#define STOPS (sizeof(stops) / sizeof(stops[0]))

/* A signal ends the sleep, and has the policy asked. */
static void who_waits_for_an_operation_says_for_which_part(void **state)
{
	struct scene scene;
	size_t i, k;

	open_scene(&scene, *state, UINT64_MAX);
	hold_begin(&scene);
	atomic_store(&scene.rig.futex_error, -EINTR);
	for (i = 0; i < WAITERS; i++) {
		const struct waiter *waiter = &waiters[i];
		uint64_t size = waiter->pages * scene.rig.page + waiter->bytes;

		for (k = 0; k < STOPS; k++) {
			scene.answer = stops[k];
			expect_again(&scene, waiter);
			assert_int_equal(scene.asked, 1);
			assert_int_equal(scene.seen.stage, GMEM_STAGE_PREPARE);
			assert_int_equal(scene.seen.operation, waiter->operation);
			assert_int_equal(scene.seen.obstacle, GMEM_OBSTACLE_OPERATION);
			assert_int_equal(scene.seen.gpa, at(&scene, waiter->page) + waiter->byte);
			assert_int_equal(scene.seen.size, size);
			assert_int_equal(scene.seen.tag, 1);
			assert_int_equal(scene.seen.offset,
					 waiter->page * scene.rig.page + waiter->byte);
			scene.asked = 0;
		}
	}
	atomic_store(&scene.rig.futex_error, 0);
	hold_end(&scene);
	close_scene(&scene);
}

/* Where nothing is mapped there is no tag. */
static void a_hole_in_the_way_has_no_tag(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct scene scene;

	open_scene(&scene, mode, UINT64_MAX);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, 2, GMEM_PRIVATE, 0, NULL), 0);
	hold_range(&scene, -4, 8, GMEM_SHARED);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST - 6, 20, GMEM_SHARED,
					     GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_OPERATION);
	assert_int_equal(report.gpa, (FIRST - 4) * scene.rig.page);
	assert_int_equal(report.size, 8 * scene.rig.page);
	assert_int_equal(report.tag | report.offset, 0);
	hold_end(&scene);
	close_scene(&scene);
}

/* A flush waits for who has what was put off. */
static void a_flush_says_for_which_part(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config = rig_config(mode);
	struct scene scene;
	size_t k;

	memset(&scene, 0, sizeof(scene));
	gmem_vm_config_set_retry(config, UINT64_MAX, answer, &scene, NULL);
	gmem_vm_config_set_discard_limit(config, 1 << 30);
	open_scene_with(&scene, mode, config);
	assert_int_equal(rig_convert(&scene.rig, FIRST + HELD + 2, 2, GMEM_PRIVATE, 0, NULL), 0);
	hold_begin(&scene);
	atomic_store(&scene.rig.futex_error, -EINTR);
	for (k = 0; k < STOPS; k++) {
		scene.answer = stops[k];
		assert_int_equal(gmem_vm_flush(scene.rig.vm, 0, NULL), -EAGAIN);
		assert_int_equal(scene.asked, 1);
		assert_int_equal(scene.seen.operation, GMEM_OPERATION_FLUSH);
		assert_int_equal(scene.seen.obstacle, GMEM_OBSTACLE_OPERATION);
		assert_true(scene.seen.gpa >= at(&scene, HELD) &&
			    scene.seen.gpa <= at(&scene, HELD + 2));
		assert_int_equal(scene.seen.tag, 1);
		scene.asked = 0;
	}
	atomic_store(&scene.rig.futex_error, 0);
	hold_end(&scene);
	close_scene(&scene);
}

/* What the kernel refused before the wait was given up does not wait any more: it is said. */
static void a_flush_that_gives_up_says_what_was_refused(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config = rig_config(mode);
	struct gmem_report report;
	struct scene scene;

	memset(&scene, 0, sizeof(scene));
	gmem_vm_config_set_retry(config, UINT64_MAX, answer, &scene, NULL);
	gmem_vm_config_set_discard_limit(config, 1 << 30);
	open_scene_with(&scene, mode, config);
	assert_int_equal(rig_convert(&scene.rig, FIRST, 2, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&scene.rig, FIRST + HELD + 2, 2, GMEM_PRIVATE, 0, NULL), 0);
	hold_begin(&scene);
	atomic_store(&scene.rig.futex_error, -EINTR);
	assert_int_equal(gmem_sim_fail(scene.rig.sim, GMEM_SYS_FALLOCATE, 0, 0, -EPERM, 0), 0);
	assert_int_equal(gmem_sim_fail(scene.rig.sim, GMEM_SYS_MADVISE, 0, 0, -EPERM, 0), 0);
	scene.answer = GMEM_RETRY_STOP;
	logs_reset(scene.rig.logs);
	assert_int_equal(gmem_vm_flush(scene.rig.vm, 0, &report), -EIO);
	assert_int_equal(scene.asked, 1);
	assert_int_equal(report.kernel_error, -EPERM);
	assert_int_equal(report.gpa, at(&scene, 0));
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_NONE);
	expect_one_message(scene.rig.logs, GMEM_LOG_ERROR, "gmem_vm_flush", "EPERM");
	gmem_sim_clear_failures(scene.rig.sim);
	atomic_store(&scene.rig.futex_error, 0);
	hold_end(&scene);
	close_scene(&scene);
}

/* Of memory that is to be freed or unmapped nothing is passed over. */
static void who_waits_for_a_pin_says_for_which(void **state)
{
	static const struct waiter pinned[] = {
		{ "discard", discard, GMEM_OPERATION_DISCARD, 0, 0, 0, 0 },
		{ "unmap", unmap, GMEM_OPERATION_LAYOUT, 0, 0, 0, 0 },
	};
	struct scene scene;
	size_t i, k;

	open_scene(&scene, *state, UINT64_MAX);
	assert_int_equal(
		gmem_vm_pin(scene.rig.vm, at(&scene, 13) + 9, scene.rig.page, 0, &scene.held), 0);
	for (i = 0; i < sizeof(pinned) / sizeof(pinned[0]); i++) {
		for (k = 0; k < STOPS; k++) {
			scene.answer = stops[k];
			expect_again(&scene, &pinned[i]);
			expect_asked(&scene, pinned[i].operation, GMEM_OBSTACLE_PIN, 13, 2);
		}
	}
	gmem_vm_unpin(scene.rig.vm, &scene.held);
	close_scene(&scene);
}

/* In a conversion SKIP is about each page. The report keeps what was in the way. */
static void a_conversion_passes_over_pages(void **state)
{
	struct gmem_report report;
	struct scene scene;
	size_t k;

	open_scene(&scene, *state, UINT64_MAX);
	assert_int_equal(gmem_vm_pin(scene.rig.vm, at(&scene, 13), 1, 0, &scene.held), 0);
	for (k = 0; k < STOPS; k++) {
		scene.answer = stops[k];
		assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE, 0,
						     &report),
				 -EAGAIN);
		expect_asked(&scene, GMEM_OPERATION_CONVERT, GMEM_OBSTACLE_PIN, 13, 1);
		assert_int_equal(report.skipped, stops[k] == GMEM_RETRY_SKIP);
		assert_int_equal(report.operation, GMEM_OPERATION_CONVERT);
		assert_int_equal(report.obstacle, GMEM_OBSTACLE_PIN);
		assert_int_equal(report.gpa, at(&scene, 13));
	}
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE,
					     GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_PIN);
	assert_int_equal(scene.asked, 0);
	gmem_vm_unpin(scene.rig.vm, &scene.held);
	close_scene(&scene);
}

/* A signal is about no page, and an EAGAIN about none is neither: SKIP is STOP. */
static void calls_that_get_nowhere_are_not_passed_over(void **state)
{
	static const struct {
		int error;
		uint32_t obstacle;
	} calls[] = {
		{ -EINTR, GMEM_OBSTACLE_SIGNAL },
		{ -EAGAIN, GMEM_OBSTACLE_KERNEL },
	};
	struct gmem_report report;
	struct scene scene;
	size_t i, k;

	open_scene(&scene, *state, UINT64_MAX);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, 8, GMEM_PRIVATE, 0, NULL), 0);
	for (i = 0; i < 2; i++) {
		for (k = 0; k < STOPS; k++) {
			scene.answer = stops[k];
			rig_fail_call(&scene.rig, 1, calls[i].error);
			assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, 8, GMEM_SHARED, 0,
							     &report),
					 -EAGAIN);
			expect_asked(&scene, GMEM_OPERATION_CONVERT, calls[i].obstacle, 0, 8);
			assert_int_equal(report.obstacle, calls[i].obstacle);
			assert_int_equal(report.kernel_error, calls[i].error);
			assert_int_equal(report.skipped, 0);
			assert_int_equal(report.ioctls, 1);
			assert_int_equal(report.retries, 1);
			rig_compare(&scene.rig);
		}
	}
	close_scene(&scene);
}

static int refuse_and_interrupt(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct scene *scene = opaque;

	(void)run;
	if (event != GMEM_EVENT_ADD || scene->to)
		return 0;
	/* Once: of what stays shared it is told again. */
	scene->to = 1;
	rig_fail_call(&scene->rig, 1, -EINTR);
	return -EBUSY;
}

/* Nor where a listener refused what has become shared: it stays so then. */
static void what_is_taken_back_is_not_passed_over(void **state)
{
	struct gmem_listener *listener;
	struct gmem_report report;
	struct scene scene;
	size_t k;

	open_scene(&scene, *state, UINT64_MAX);
	assert_int_equal(gmem_listener_new(scene.rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   refuse_and_interrupt, &scene, NULL, &listener),
			 0);
	for (k = 0; k < STOPS; k++) {
		assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, 8, GMEM_PRIVATE, 0, NULL),
				 0);
		scene.answer = stops[k];
		scene.to = 0;
		assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, 8, GMEM_SHARED, 0, &report),
				 -ECANCELED);
		expect_asked(&scene, GMEM_OPERATION_CONVERT, GMEM_OBSTACLE_SIGNAL, 0, 8);
		assert_int_equal(report.obstacle, GMEM_OBSTACLE_NONE);
		assert_int_equal(report.kernel_error, -EINTR);
		assert_int_equal(report.retries, 1);
		assert_int_equal(report.gpa, at(&scene, 0));
		assert_int_equal(report.size, 8 * scene.rig.page);
		assert_int_equal(report.converted, 8 * scene.rig.page);
		assert_int_equal(gmem_vm_get_state(scene.rig.vm, at(&scene, 0), 8 * scene.rig.page),
				 GMEM_SHARED);
		rig_compare(&scene.rig);
	}
	assert_int_equal(gmem_listener_free(listener), 0);
	close_scene(&scene);
}

static void use_page(struct scene *scene, uint64_t page)
{
	assert_int_equal(gmem_sim_pin(scene->rig.sim, rig_file(&scene->rig, 0),
				      page * scene->rig.page, scene->rig.page, 0),
			 0);
}

/* Of several pages that are passed over the first is reported, and what has it. */
static void the_first_obstacle_is_reported(void **state)
{
	struct gmem_report report;
	struct scene scene;

	open_scene(&scene, *state, UINT64_MAX);
	scene.answer = GMEM_RETRY_SKIP;
	assert_int_equal(gmem_vm_pin(scene.rig.vm, at(&scene, 5), 1, 0, &scene.held), 0);
	use_page(&scene, 9);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE, 0, &report),
			 -EAGAIN);
	assert_int_equal(scene.asked, 2);
	assert_int_equal(scene.seen.obstacle, GMEM_OBSTACLE_PAGE);
	assert_int_equal(report.skipped, 2);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_PIN);
	assert_int_equal(report.gpa, at(&scene, 5));
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE,
					     GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_PIN);
	gmem_vm_unpin(scene.rig.vm, &scene.held);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE,
					     GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_PAGE);
	assert_int_equal(report.gpa, at(&scene, 9));
	/* It is no reason why something else fails. */
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_SHARED, 0, NULL), 0);
	rig_fail_call(&scene.rig, 4, -EIO);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE, 0, &report),
			 -EIO);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_NONE);
	close_scene(&scene);
}

static int unpin_and_go_on(const struct gmem_report *so_far, void *opaque)
{
	struct scene *scene = opaque;

	(void)answer(so_far, opaque);
	gmem_vm_unpin(scene->rig.vm, &scene->held);
	return GMEM_RETRY_AGAIN;
}

/* What was got over is in no report. */
static void what_is_over_is_not_reported(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct gmem_report report;
	struct scene scene;
	int i;

	memset(&scene, 0, sizeof(scene));
	gmem_vm_config_set_retry(config, UINT64_MAX, unpin_and_go_on, &scene, NULL);
	open_scene_with(&scene, *state, config);
	for (i = 0; i < 2; i++) {
		scene.asked = 0;
		assert_int_equal(gmem_vm_pin(scene.rig.vm, at(&scene, 5), 1, 0, &scene.held), 0);
		if (i)
			rig_fail_call(&scene.rig, 1, -EINTR);
		assert_int_equal(
			rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_PRIVATE, 0, &report), 0);
		assert_true(scene.asked > 0);
		assert_int_equal(report.stage, GMEM_STAGE_DONE);
		assert_int_equal(report.operation, GMEM_OPERATION_CONVERT);
		assert_int_equal(report.obstacle, GMEM_OBSTACLE_NONE);
		assert_int_equal(report.gpa | report.size | report.tag | report.offset, 0);
		assert_int_equal(report.kernel_error, 0);
		assert_int_equal(report.retries, i);
		assert_int_equal(
			rig_convert_keeping(&scene.rig, FIRST, PAGES, GMEM_SHARED, 0, NULL), 0);
	}
	close_scene(&scene);
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
		RIG_CASE(who_waits_for_an_operation_says_for_which_part, IN_ALL_MODES),
		RIG_CASE(a_hole_in_the_way_has_no_tag, IN_ALL_MODES),
		RIG_CASE(a_flush_says_for_which_part, SPLIT_SMALL),
		RIG_CASE(a_flush_that_gives_up_says_what_was_refused, SPLIT_SMALL),
		RIG_CASE(who_waits_for_a_pin_says_for_which, IN_ALL_MODES),
		RIG_CASE(a_conversion_passes_over_pages, IN_ALL_MODES),
		RIG_CASE(calls_that_get_nowhere_are_not_passed_over, IN_ALL_MODES),
		RIG_CASE(what_is_taken_back_is_not_passed_over, SMALL_PAGES),
		RIG_CASE(the_first_obstacle_is_reported, PER_FILE),
		RIG_CASE(what_is_over_is_not_reported, IN_ALL_MODES),
		RIG_CASE(only_who_waits_with_a_pin_may_start_others, IN_ALL_MODES),
		RIG_CASE(a_deadline_of_0_waits_for_nobody, IN_ALL_MODES),
		RIG_CASE(a_deadline_of_0_waits_for_no_pin, IN_ALL_MODES),
		RIG_CASE(a_listener_waits_whatever_the_deadline, IN_ALL_MODES),
		RIG_CASE(who_waits_for_nothing_gets_over_signals, IN_ALL_MODES),
		RIG_CASE(without_a_clock_nobody_waits_for_others, IN_ALL_MODES),
		RIG_CASE(without_a_clock_nobody_waits_for_pins, IN_ALL_MODES),
		RIG_CASE(without_a_clock_a_signal_ends_it, IN_ALL_MODES),
		RIG_CASE(a_listener_that_is_freed_waits_all_the_same, IN_ALL_MODES),
	};

	return rig_run("waits", cases, sizeof(cases) / sizeof(cases[0]));
}
