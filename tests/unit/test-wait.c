// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of waiting: the deadline, the back-off, signals and what the callback answers, on a clock
 * that moves only while something sleeps.
 */
#include "bare.h"

#include "random.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
#define EAGER 8u

/* A wait, and a callback that notes what it is told. */
struct scene {
	struct bare bare;
	struct gmem_report report;
	struct wait wait;
	unsigned int asked;
	int answer;
	struct gmem_report told;
};

static int answer(const struct gmem_report *so_far, void *opaque)
{
	struct scene *scene = opaque;

	scene->asked++;
	scene->told = *so_far;
	assert_ptr_not_equal(so_far, &scene->report);
	return scene->answer;
}

static void open_scene(struct scene *scene, uint64_t deadline_ns, bool never)
{
	memset(scene, 0, sizeof(*scene));
	bare_open(&scene->bare, deadline_ns, answer, scene);
	wait_init(&scene->wait, &scene->bare.vm, &scene->report, GMEM_OPERATION_CONVERT, never);
}

static enum verdict page(struct scene *scene)
{
	return gmem_wait_for_page(&scene->wait, NULL, 0);
}

static void the_first_tries_come_at_once_then_sleeps_double(void **unused)
{
	static const uint64_t naps[] = { 20 * US,  40 * US, 80 * US, 160 * US, 320 * US,
					 640 * US, 1 * MS,  1 * MS,  1 * MS };
	struct scene scene;
	unsigned int i;

	open_scene(&scene, UINT64_MAX, false);
	for (i = 0; i < EAGER; i++)
		assert_int_equal(page(&scene), VERDICT_AGAIN);
	assert_int_equal(scene.bare.nap_count, 0);
	assert_int_equal(scene.report.waited_ns, 0);
	for (i = 0; i < sizeof(naps) / sizeof(naps[0]); i++) {
		assert_int_equal(page(&scene), VERDICT_AGAIN);
		assert_int_equal(scene.bare.nap_count, i + 1);
		assert_int_equal(scene.bare.naps[i].timeout_ns, naps[i]);
	}
	assert_int_equal(scene.asked, EAGER + i);
	bare_close(&scene.bare);
}

/* Until it stops: all the sleeps together are the deadline, to the nanosecond. */
static void wait_out(struct scene *scene, uint64_t deadline)
{
	uint64_t start = scene->bare.now;
	unsigned int tries = 0;

	while (page(scene) == VERDICT_AGAIN) {
		assert_true(scene->bare.now - start <= deadline);
		assert_true(++tries < 100000);
	}
	assert_int_equal(scene->bare.now - start, deadline);
	assert_int_equal(scene->report.waited_ns, deadline);
	/* There is one more try after the last sleep, and the callback hears of it. */
	assert_int_equal(scene->asked, tries);
	assert_int_equal(scene->told.waited_ns, deadline);
}

static void the_deadline_is_exact(void **unused)
{
	static const uint64_t deadlines[] = {
		1, 20 * US - 1, 20 * US, 20 * US + 1, 60 * US, 1 * MS, 100 * MS, 1000 * MS + 7,
	};
	struct scene scene;
	uint64_t seed = random_seed("deadlines"), deadline;
	unsigned int i;

	for (i = 0; i < 200; i++) {
		deadline = i < sizeof(deadlines) / sizeof(deadlines[0])
				   ? deadlines[i]
				   : 1 + random_below(&seed, 200 * MS);
		open_scene(&scene, deadline, false);
		wait_out(&scene, deadline);
		bare_close(&scene.bare);
	}
}

static void progress_makes_it_eager_again_and_the_deadline_no_later(void **unused)
{
	struct scene scene;
	unsigned int i;

	open_scene(&scene, 10 * MS, false);
	for (i = 0; i < EAGER + 3; i++)
		assert_int_equal(page(&scene), VERDICT_AGAIN);
	assert_int_equal(scene.bare.nap_count, 3);
	wait_progress(&scene.wait);
	for (i = 0; i < EAGER; i++)
		assert_int_equal(page(&scene), VERDICT_AGAIN);
	assert_int_equal(scene.bare.nap_count, 3);
	assert_int_equal(page(&scene), VERDICT_AGAIN);
	assert_int_equal(scene.bare.naps[3].timeout_ns, 20 * US);
	while (page(&scene) == VERDICT_AGAIN)
		;
	assert_int_equal(scene.report.waited_ns, 10 * MS);
	bare_close(&scene.bare);
}

static void a_deadline_of_0_waits_for_nothing(void **unused)
{
	struct scene scene;

	open_scene(&scene, 0, false);
	assert_int_equal(page(&scene), VERDICT_STOP);
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 8), VERDICT_AGAIN);
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 9), VERDICT_STOP);
	assert_int_equal(scene.asked, 0);
	assert_int_equal(scene.bare.nap_count, 0);
	bare_close(&scene.bare);
}

static void who_never_waits_makes_no_call(void **unused)
{
	_Atomic uint32_t word = 3;
	struct scene scene;

	open_scene(&scene, UINT64_MAX, true);
	assert_int_equal(page(&scene), VERDICT_STOP);
	assert_int_equal(gmem_wait_for_page(&scene.wait, &word, 3), VERDICT_STOP);
	assert_int_equal(gmem_wait_for_turn(&scene.wait, &word, 3), VERDICT_STOP);
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 8), VERDICT_AGAIN);
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 9), VERDICT_STOP);
	assert_int_equal(scene.asked, 0);
	assert_int_equal(scene.bare.nap_count, 0);
	assert_int_equal(scene.bare.clock_calls, 0);
	bare_close(&scene.bare);
}

static void without_a_deadline_it_goes_on(void **unused)
{
	struct scene scene;
	unsigned int i;

	open_scene(&scene, UINT64_MAX, false);
	for (i = 0; i < 20000; i++)
		assert_int_equal(page(&scene), VERDICT_AGAIN);
	assert_true(scene.report.waited_ns > 10000 * MS);
	scene.answer = GMEM_RETRY_STOP;
	assert_int_equal(page(&scene), VERDICT_STOP);
	bare_close(&scene.bare);
}

static void without_a_callback_it_tries_again(void **unused)
{
	struct scene scene;

	open_scene(&scene, 5 * MS, false);
	scene.bare.vm.config.retry = NULL;
	while (page(&scene) == VERDICT_AGAIN)
		;
	assert_int_equal(scene.report.waited_ns, 5 * MS);
	assert_int_equal(scene.asked, 0);
	bare_close(&scene.bare);
}

static const struct {
	int answer;
	enum verdict verdict;
	bool later;
} answers[] = {
	{ GMEM_RETRY_AGAIN, VERDICT_AGAIN, false },
	{ GMEM_RETRY_SKIP, VERDICT_SKIP, false },
	{ GMEM_RETRY_STOP, VERDICT_STOP, false },
	{ GMEM_RETRY_LATER, VERDICT_STOP, true },
	{ 4, VERDICT_STOP, false },
	{ -1, VERDICT_STOP, false },
	{ INT_MAX, VERDICT_STOP, false },
	{ INT_MIN, VERDICT_STOP, false },
};

static void the_callback_decides_about_a_page(void **unused)
{
	struct scene scene;
	unsigned int i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		open_scene(&scene, MS, false);
		scene.answer = answers[i].answer;
		assert_int_equal(page(&scene), answers[i].verdict);
		assert_int_equal(scene.wait.later, answers[i].later);
		scene.wait.later = false;
		assert_int_equal(gmem_wait_interrupted(&scene.wait, 1), answers[i].verdict);
		assert_int_equal(scene.wait.later, answers[i].later);
		assert_int_equal(scene.asked, 2);
		bare_close(&scene.bare);
	}
}

/* Nothing is passed over where another operation is at work. */
static void the_callback_decides_about_a_turn_when_a_signal_comes(void **unused)
{
	_Atomic uint32_t word = 3;
	struct scene scene;
	unsigned int i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		open_scene(&scene, MS, false);
		scene.answer = answers[i].answer;
		scene.bare.nap_result = -EINTR;
		assert_int_equal(gmem_wait_for_turn(&scene.wait, &word, 3),
				 answers[i].verdict == VERDICT_AGAIN ? VERDICT_AGAIN
								     : VERDICT_STOP);
		assert_int_equal(scene.wait.later, answers[i].later);
		assert_int_equal(scene.asked, 1);
		bare_close(&scene.bare);
	}
}

static void a_turn_has_no_deadline_and_asks_nobody(void **unused)
{
	static const int results[] = { 0, -ETIMEDOUT, -EAGAIN };
	_Atomic uint32_t word = 3;
	struct scene scene;
	unsigned int i;

	open_scene(&scene, MS, false);
	scene.answer = GMEM_RETRY_STOP;
	for (i = 0; i < 30; i++) {
		scene.bare.nap_result = results[i % 3];
		assert_int_equal(gmem_wait_for_turn(&scene.wait, &word, 3), VERDICT_AGAIN);
		assert_ptr_equal(scene.bare.naps[i].word, &word);
		assert_int_equal(scene.bare.naps[i].value, 3);
	}
	assert_int_equal(scene.asked, 0);
	assert_true(scene.report.waited_ns > MS);
	assert_int_equal(scene.bare.nap_count, 30);
	/* The page that comes next has none of the time left. */
	assert_int_equal(page(&scene), VERDICT_STOP);
	bare_close(&scene.bare);
}

static void a_page_is_waited_for_on_its_word(void **unused)
{
	_Atomic uint32_t word = 8;
	struct scene scene;
	unsigned int i;

	open_scene(&scene, MS, false);
	for (i = 0; i < EAGER + 2; i++)
		assert_int_equal(gmem_wait_for_page(&scene.wait, &word, 8), VERDICT_AGAIN);
	assert_int_equal(scene.bare.nap_count, 2);
	assert_ptr_equal(scene.bare.naps[0].word, &word);
	assert_int_equal(scene.bare.naps[0].value, 8);
	/* Without one on something that nobody changes. */
	assert_int_equal(page(&scene), VERDICT_AGAIN);
	assert_ptr_equal(scene.bare.naps[2].word, &scene.wait.still);
	assert_int_equal(scene.bare.naps[2].value, 0);
	bare_close(&scene.bare);
}

static void a_signal_has_the_callback_asked_at_once(void **unused)
{
	struct scene scene;
	uint64_t start;
	unsigned int i;

	open_scene(&scene, MS, false);
	start = scene.bare.now;
	scene.bare.nap_result = -EINTR;
	for (i = 0; i < 50; i++) {
		assert_int_equal(page(&scene), VERDICT_AGAIN);
		assert_int_equal(scene.asked, i + 1);
	}
	scene.answer = GMEM_RETRY_LATER;
	assert_int_equal(page(&scene), VERDICT_STOP);
	assert_int_equal(scene.bare.now, start);
	assert_int_equal(scene.asked, 51);
	assert_true(scene.wait.later);
	bare_close(&scene.bare);
}

static void an_interrupted_call_sleeps_no_time(void **unused)
{
	struct scene scene;

	open_scene(&scene, MS, false);
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 1), VERDICT_AGAIN);
	assert_int_equal(scene.asked, 1);
	assert_int_equal(scene.bare.nap_count, 0);
	scene.bare.now += MS - 1;
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 1), VERDICT_AGAIN);
	assert_int_equal(scene.told.waited_ns, MS - 1);
	scene.bare.now += 1;
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 1), VERDICT_STOP);
	assert_int_equal(scene.asked, 2);
	bare_close(&scene.bare);
}

static void a_clock_that_fails_stops(void **unused)
{
	_Atomic uint32_t word = 3;
	struct scene scene;

	open_scene(&scene, UINT64_MAX, false);
	scene.bare.clock_error = -EPERM;
	assert_int_equal(page(&scene), VERDICT_STOP);
	expect_one_message(scene.bare.logs, GMEM_LOG_WARNING, "VM descriptor 77", "clock", "EPERM");
	assert_int_equal(gmem_wait_interrupted(&scene.wait, 1), VERDICT_STOP);
	assert_int_equal(gmem_wait_for_turn(&scene.wait, &word, 3), VERDICT_STOP);
	/* It was said, and a guest can have it come to this without end. */
	expect_no_message(scene.bare.logs);
	assert_int_equal(scene.asked, 0);
	assert_int_equal(scene.bare.nap_count, 0);
	bare_close(&scene.bare);
}

/* Whoever cannot say that it did not work sleeps on, and nobody is asked. */
static void patience_needs_no_clock(void **unused)
{
	_Atomic uint32_t word = 3;
	struct scene scene;
	unsigned int i;

	open_scene(&scene, UINT64_MAX, false);
	scene.wait.patient = true;
	scene.answer = GMEM_RETRY_STOP;
	scene.bare.clock_error = -EPERM;
	scene.bare.nap_result = -EINTR;
	for (i = 1; i <= 5; i++) {
		assert_int_equal(gmem_wait_for_turn(&scene.wait, &word, 3), VERDICT_AGAIN);
		assert_int_equal(scene.bare.nap_count, i);
	}
	expect_one_message(scene.bare.logs, GMEM_LOG_WARNING, "VM descriptor 77", "clock");
	assert_int_equal(scene.asked, 0);
	bare_close(&scene.bare);
}

static void the_callback_is_told_how_it_stands(void **unused)
{
	struct scene scene;
	unsigned int i;

	open_scene(&scene, UINT64_MAX, false);
	scene.report = (struct gmem_report){
		.stage = GMEM_STAGE_COMMIT,
		.converted = 0x5000,
		.gpa = 0x123000,
		.size = 0x1000,
		.tag = 42,
		.offset = 0x23000,
		.ioctls = 7,
		.retries = 5,
		.skipped = 1,
		.kernel_error = -EAGAIN,
	};
	for (i = 0; i < EAGER + 2; i++)
		assert_int_equal(page(&scene), VERDICT_AGAIN);
	assert_int_equal(scene.told.waited_ns, 60 * US);
	assert_memory_equal(&scene.told, &scene.report, sizeof(scene.told));
	assert_int_equal(scene.report.gpa, 0x123000);
	assert_int_equal(scene.report.retries, 5);
	bare_close(&scene.bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_tries_come_at_once_then_sleeps_double),
		cmocka_unit_test(the_deadline_is_exact),
		cmocka_unit_test(progress_makes_it_eager_again_and_the_deadline_no_later),
		cmocka_unit_test(a_deadline_of_0_waits_for_nothing),
		cmocka_unit_test(who_never_waits_makes_no_call),
		cmocka_unit_test(without_a_deadline_it_goes_on),
		cmocka_unit_test(without_a_callback_it_tries_again),
		cmocka_unit_test(the_callback_decides_about_a_page),
		cmocka_unit_test(the_callback_decides_about_a_turn_when_a_signal_comes),
		cmocka_unit_test(a_turn_has_no_deadline_and_asks_nobody),
		cmocka_unit_test(a_page_is_waited_for_on_its_word),
		cmocka_unit_test(a_signal_has_the_callback_asked_at_once),
		cmocka_unit_test(an_interrupted_call_sleeps_no_time),
		cmocka_unit_test(a_clock_that_fails_stops),
		cmocka_unit_test(patience_needs_no_clock),
		cmocka_unit_test(the_callback_is_told_how_it_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
