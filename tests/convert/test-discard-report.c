// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What gmem_vm_discard(), gmem_vm_populate() and gmem_vm_flush() report of each outcome, and that
 * with NOWAIT they wait for nothing.
 */
#include "ears.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define ADD GMEM_EVENT_ADD
#define REMOVE GMEM_EVENT_REMOVE

/* The region's page 8 is at page 16, so that an offset is none of an address. */
#define FIRST 16u
#define SKIPPED 8u

static int discard(struct rig *rig, uint64_t page, uint64_t pages, uint32_t flags,
		   struct gmem_report *report)
{
	memset(report, 0xa5, sizeof(*report));
	return gmem_vm_discard(rig->vm, page * rig->page, pages * rig->page, flags, report);
}

static int populate(struct rig *rig, uint64_t page, uint64_t pages, uint32_t flags,
		    struct gmem_report *report)
{
	memset(report, 0xa5, sizeof(*report));
	return gmem_vm_populate(rig->vm, page * rig->page, pages * rig->page, flags, report);
}

static int flush(struct rig *rig, uint32_t flags, struct gmem_report *report)
{
	memset(report, 0xa5, sizeof(*report));
	return gmem_vm_flush(rig->vm, flags, report);
}

/*
 * All of it, but for the time, of which only is asked whether there was any, and whose it is and
 * what was waited for, which test-waits.c has.
 */
static void expect_report(const struct gmem_report *report, const struct gmem_report *expected)
{
	struct gmem_report wanted = *expected;

	assert_int_equal(report->waited_ns != 0, wanted.waited_ns != 0);
	wanted.waited_ns = report->waited_ns;
	assert_int_not_equal(report->operation, 0);
	wanted.operation = report->operation;
	assert_int_equal(report->obstacle != GMEM_OBSTACLE_NONE, wanted.error == -EAGAIN);
	wanted.obstacle = report->obstacle;
	assert_int_equal(report->error, wanted.error);
	assert_int_equal(report->stage, wanted.stage);
	assert_int_equal(report->gpa, wanted.gpa);
	assert_int_equal(report->size, wanted.size);
	assert_int_equal(report->converted, wanted.converted);
	assert_int_equal(report->restored, wanted.restored);
	assert_int_equal(report->freed, wanted.freed);
	assert_memory_equal(report, &wanted, sizeof(wanted));
}

static void expect_refusal(const struct gmem_report *report, int error, uint32_t stage)
{
	expect_report(report, &(struct gmem_report){ .error = error, .stage = stage });
}

/* One region, one section, and how many sides its memory has. */
static uint64_t open_one(struct rig *rig, const struct mode *mode, struct gmem_vm_config *config)
{
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(rig, FIRST, rig_region(rig, SKIPPED + 32), SKIPPED, 32);
	logs_reset(rig->logs);
	return mode->backing == GMEM_BACKING_SPLIT ? 2 : 1;
}

/* Of something in the way in that section, in pages. */
static struct gmem_report obstacle(const struct rig *rig, int error, uint32_t stage, uint64_t page,
				   uint64_t pages)
{
	return (struct gmem_report){
		.error = error,
		.stage = stage,
		.gpa = page * rig->page,
		.size = pages * rig->page,
		.tag = 1,
		.offset = (page - FIRST + SKIPPED) * rig->page,
	};
}

static void refused_arguments_are_reported(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_one(&rig, *state, NULL);
	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(gmem_vm_discard(NULL, 0, rig.page, 0, &report), -EINVAL);
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);
	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(gmem_vm_populate(NULL, 0, rig.page, 0, &report), -EINVAL);
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);
	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(gmem_vm_flush(NULL, 0, &report), -EINVAL);
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);

	assert_int_equal(discard(&rig, FIRST, 1, 4, &report), -EINVAL);
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);
	assert_int_equal(discard(&rig, FIRST, 0, 0, &report), -EINVAL);
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);
	assert_int_equal(populate(&rig, FIRST, 1, GMEM_DISCARD_ABSENT, &report), -EINVAL);
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);
	assert_int_equal(populate(&rig, FIRST, 0, 0, &report), -EINVAL);
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);
	logs_reset(rig.logs);
	assert_int_equal(flush(&rig, 1, &report), -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_flush: flags are 0x1",
			   "GMEM_FLUSH_*");
	expect_refusal(&report, -EINVAL, GMEM_STAGE_PLAN);
	/* The same bit in all of them. */
	assert_int_equal(GMEM_DISCARD_NOWAIT, GMEM_CONVERT_NOWAIT);
	assert_int_equal(GMEM_POPULATE_NOWAIT, GMEM_CONVERT_NOWAIT);
	assert_int_equal(GMEM_FLUSH_NOWAIT, GMEM_CONVERT_NOWAIT);
	rig_close(&rig);
}

struct inside {
	int result[3];
	struct gmem_report report[3];
};

static void try_all(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct inside *inside = ear->opaque;
	struct rig *rig = ear->ears->rig;

	(void)event;
	(void)run;
	inside->result[0] = discard(rig, FIRST, 1, 0, &inside->report[0]);
	inside->result[1] = populate(rig, FIRST, 1, 0, &inside->report[1]);
	inside->result[2] = flush(rig, 0, &inside->report[2]);
}

static void callbacks_get_a_report_too(void **state)
{
	struct gmem_report report;
	struct inside inside;
	struct ears ears;
	struct rig rig;
	int i;

	open_one(&rig, *state, NULL);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	ears.ear[0].inside = try_all;
	ears.ear[0].opaque = &inside;
	assert_int_equal(discard(&rig, FIRST, 1, 0, &report), 0);
	ears.ear[0].inside = NULL;
	for (i = 0; i < 3; i++) {
		assert_int_equal(inside.result[i], -EDEADLK);
		expect_refusal(&inside.report[i], -EDEADLK, GMEM_STAGE_PREPARE);
	}
	ears_close(&ears);
	rig_close(&rig);
}

static void success_is_counted(void **state)
{
	struct gmem_report report, done = { .stage = GMEM_STAGE_DONE };
	struct rig rig;
	uint64_t sides = open_one(&rig, *state, NULL);

	done.freed = sides * 8 * rig.page;
	assert_int_equal(discard(&rig, FIRST, 8, 0, &report), 0);
	expect_report(&report, &done);
	/* Only what was not absent before changes; all of it is freed. */
	done.converted = 8 * rig.page;
	assert_int_equal(discard(&rig, FIRST + 4, 8, GMEM_DISCARD_ABSENT, &report), 0);
	expect_report(&report, &done);
	done.converted = 4 * rig.page;
	assert_int_equal(
		discard(&rig, FIRST, 8, GMEM_DISCARD_ABSENT | GMEM_DISCARD_NOWAIT, &report), 0);
	expect_report(&report, &done);
	/* In 0 to 12 absent, in 16 to 20 as well. */
	assert_int_equal(discard(&rig, FIRST + 16, 4, GMEM_DISCARD_ABSENT, &report), 0);
	done.freed = 0;
	done.converted = 10 * rig.page;
	assert_int_equal(populate(&rig, FIRST + 4, 14, 0, &report), 0);
	expect_report(&report, &done);
	done.converted = 6 * rig.page;
	assert_int_equal(populate(&rig, 0, 200, GMEM_POPULATE_NOWAIT, &report), 0);
	expect_report(&report, &done);
	/* Nothing to do is success. */
	done.converted = 0;
	assert_int_equal(populate(&rig, 0, 200, 0, &report), 0);
	expect_report(&report, &done);
	assert_int_equal(discard(&rig, 200, 8, GMEM_DISCARD_ABSENT, &report), 0);
	expect_report(&report, &done);
	assert_int_equal(flush(&rig, GMEM_FLUSH_NOWAIT, &report), 0);
	expect_report(&report, &done);
	expect_no_message(rig.logs);
	rig_close(&rig);
}

static void a_listener_is_named_by_what_it_refused(void **state)
{
	struct gmem_report report, expected;
	struct ears ears;
	struct rig rig;

	open_one(&rig, *state, NULL);
	assert_int_equal(rig_convert(&rig, FIRST + 4, 2, GMEM_PRIVATE, 0, NULL), 0);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	ears_refuse(&ears, 0, REMOVE, 2);
	assert_int_equal(discard(&rig, FIRST, 16, GMEM_DISCARD_ABSENT, &report), -ECANCELED);
	expected = obstacle(&rig, -ECANCELED, GMEM_STAGE_PREPARE, FIRST + 6, 10);
	expect_report(&report, &expected);
	ears_compare(&ears, "a refused discard");
	/* Plugging in: what precedes stays, and that run alone is taken back. */
	assert_int_equal(discard(&rig, FIRST, 4, GMEM_DISCARD_ABSENT, &report), 0);
	assert_int_equal(discard(&rig, FIRST + 8, 4, GMEM_DISCARD_ABSENT, &report), 0);
	assert_int_equal(discard(&rig, FIRST + 16, 4, GMEM_DISCARD_ABSENT, &report), 0);
	ears_refuse(&ears, 0, ADD, 2);
	assert_int_equal(populate(&rig, FIRST, 32, 0, &report), -ECANCELED);
	expected = obstacle(&rig, -ECANCELED, GMEM_STAGE_FINISH, FIRST + 8, 4);
	expected.converted = 4 * rig.page;
	expected.restored = 4 * rig.page;
	expect_report(&report, &expected);
	assert_int_equal(gmem_vm_get_state(rig.vm, FIRST * rig.page, 4 * rig.page), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 8) * rig.page, 4 * rig.page),
			 GMEM_ABSENT);
	ears_compare(&ears, "a refused populate");
	ears_close(&ears);
	rig_close(&rig);
}

static void the_kernels_refusal_is_named(void **state)
{
	struct gmem_report report, expected;
	struct rig rig;
	uint64_t sides = open_one(&rig, *state, NULL);
	char text[512];

	/* The second of two sections. */
	rig_map(&rig, 4, rig_region(&rig, 4), 0, 4);
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_FALLOCATE, 0, 1 + sides, -ENOSPC, 0), 0);
	logs_reset(rig.logs);
	assert_int_equal(discard(&rig, 0, FIRST + 8, GMEM_DISCARD_ABSENT, &report), -EIO);
	expected = obstacle(&rig, -EIO, GMEM_STAGE_COMMIT, FIRST, 8);
	expected.kernel_error = -ENOSPC;
	expected.converted = 12 * rig.page;
	expected.freed = sides * 4 * rig.page + (sides - 1) * 8 * rig.page;
	expect_report(&report, &expected);
	assert_int_equal(logs_count(rig.logs), 1);
	assert_int_equal(logs_get(rig.logs, 0, text, sizeof(text)), GMEM_LOG_ERROR);
	assert_non_null(strstr(text, "gmem_vm_discard: gpa 0, 0x18000 bytes: "));
	assert_non_null(strstr(text, "0x8000 stay allocated"));
	assert_non_null(strstr(text, "at gpa 0x10000"));
	assert_non_null(strstr(text, "ENOSPC"));
	rig_close(&rig);
}

static void no_memory_is_named(void **state)
{
	struct gmem_report report, expected;
	struct rig rig;
	uint64_t nth;

	open_one(&rig, *state, NULL);
	rig_plain_region(&rig, 8);
	rig_map(&rig, 64, rig.region[1], 4, 4);
	for (nth = 1; nth <= 2; nth++) {
		assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_MMAP, 0, nth, -ENOMEM, 0), 0);
		assert_int_equal(discard(&rig, 60, 16, GMEM_DISCARD_ABSENT, &report), -ENOMEM);
		expected = (struct gmem_report){
			.error = -ENOMEM,
			.stage = GMEM_STAGE_PLAN,
			.gpa = 64 * rig.page,
			.size = 4 * rig.page,
			.tag = 2,
			.offset = 4 * rig.page,
		};
		expect_report(&report, &expected);
	}
	assert_int_equal(discard(&rig, 60, 16, GMEM_DISCARD_ABSENT, &report), 0);
	rig_close(&rig);
}

/* What the retry callback is shown. */
struct asked {
	struct gmem_report so_far;
	uint32_t calls;
};

static int ask_twice(const struct gmem_report *so_far, void *opaque)
{
	struct asked *asked = opaque;

	asked->so_far = *so_far;
	return ++asked->calls < 2 ? GMEM_RETRY_AGAIN : GMEM_RETRY_STOP;
}

static void a_pin_is_named(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct gmem_report report, expected;
	struct asked asked = { 0 };
	struct gmem_pin pin;
	struct ears ears;
	struct rig rig;

	gmem_vm_config_set_retry(config, UINT64_MAX, ask_twice, &asked, NULL);
	open_one(&rig, *state, config);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 8) * rig.page + 1, rig.page, 0, &pin), 0);
	/* Without waiting, whatever the policy says. */
	rig_forget_calls(&rig);
	assert_int_equal(discard(&rig, FIRST, 32, GMEM_DISCARD_NOWAIT, &report), -EAGAIN);
	expected = obstacle(&rig, -EAGAIN, GMEM_STAGE_COMMIT, FIRST + 8, 2);
	expect_report(&report, &expected);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_discard: gpa 0x18000, 0x2000 bytes",
			   "gmem_vm_pin()");
	assert_int_equal(rig.wait_calls, 0);
	assert_int_equal(rig.other_calls, 0);
	assert_int_equal(asked.calls, 0);
	ears_compare(&ears, "a pin in the way");
	/* As the policy says, which is asked about the very same. */
	assert_int_equal(discard(&rig, FIRST, 32, GMEM_DISCARD_ABSENT, &report), -EAGAIN);
	expected.waited_ns = 1;
	expect_report(&report, &expected);
	assert_int_equal(asked.calls, 2);
	assert_int_equal(asked.so_far.gpa, expected.gpa);
	assert_int_equal(asked.so_far.size, expected.size);
	assert_int_equal(asked.so_far.tag, expected.tag);
	assert_int_equal(asked.so_far.offset, expected.offset);
	ears_compare(&ears, "a pin in the way still");
	/* Others are not in the way. */
	assert_int_equal(discard(&rig, FIRST, 8, GMEM_DISCARD_NOWAIT, &report), 0);
	assert_int_equal(report.stage, GMEM_STAGE_DONE);
	assert_int_equal(report.gpa, 0);
	gmem_vm_unpin(rig.vm, &pin);
	ears_close(&ears);
	rig_close(&rig);
}

/* Read-only memory is passed over, and so are its pins. */
static void pins_of_what_is_passed_over_are_none(void **state)
{
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_one(&rig, *state, NULL);
	assert_int_equal(gmem_vm_map(rig.vm, 0, rig_plain_region(&rig, 4), 0, 4 * rig.page,
				     GMEM_SLOT_AUTO, GMEM_MAP_READONLY),
			 0);
	assert_int_equal(gmem_vm_pin(rig.vm, 0, 1, 0, &pin), 0);
	assert_int_equal(discard(&rig, 0, FIRST + 8, GMEM_DISCARD_NOWAIT, &report), 0);
	assert_true(report.freed > 0);
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

/* An operation at work, and another thread that asks for something beside it. */
struct beside {
	struct rig *rig;
	struct inside inside;
	bool tried;
};

static void *try_without_waiting(void *opaque)
{
	struct beside *beside = opaque;
	struct inside *inside = &beside->inside;

	inside->result[0] =
		discard(beside->rig, FIRST + 4, 4, GMEM_DISCARD_NOWAIT, &inside->report[0]);
	inside->result[1] =
		populate(beside->rig, FIRST + 4, 4, GMEM_POPULATE_NOWAIT, &inside->report[1]);
	inside->result[2] = flush(beside->rig, GMEM_FLUSH_NOWAIT, &inside->report[2]);
	return NULL;
}

static void try_beside(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct beside *beside = ear->opaque;
	pthread_t thread;

	(void)event;
	(void)run;
	if (beside->tried || pthread_create(&thread, NULL, try_without_waiting, beside))
		return;
	pthread_join(thread, NULL);
	beside->tried = true;
}

static void an_operation_at_work_is_not_waited_for(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct gmem_report report, expected;
	struct beside beside = { 0 };
	struct ears ears;
	struct rig rig;
	uint64_t sides;

	gmem_vm_config_set_retry(config, UINT64_MAX, NULL, NULL, NULL);
	gmem_vm_config_set_discard_limit(config, GIB);
	sides = open_one(&rig, *state, config);
	/* Two pages wait to be freed, where memory is in two places. */
	assert_int_equal(rig_convert(&rig, FIRST + 4, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&rig, FIRST + 30, 1, GMEM_PRIVATE, 0, NULL), 0);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	beside.rig = &rig;
	ears.ear[0].inside = try_beside;
	ears.ear[0].opaque = &beside;
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert(&rig, FIRST, 8, GMEM_PRIVATE, 0, NULL), 0);
	ears.ear[0].inside = NULL;
	assert_true(beside.tried);
	assert_int_equal(rig.wait_calls, 0);
	expected = obstacle(&rig, -EAGAIN, GMEM_STAGE_PREPARE, FIRST + 4, 4);
	assert_int_equal(beside.inside.result[0], -EAGAIN);
	expect_report(&beside.inside.report[0], &expected);
	assert_int_equal(beside.inside.result[1], -EAGAIN);
	expect_report(&beside.inside.report[1], &expected);
	/* A flush frees the rest. */
	if (sides == 2) {
		assert_int_equal(beside.inside.result[2], -EAGAIN);
		expected.size = rig.page;
		expected.freed = rig.page;
		expect_report(&beside.inside.report[2], &expected);
	} else {
		assert_int_equal(beside.inside.result[2], 0);
	}
	assert_int_equal(flush(&rig, 0, &report), 0);
	expect_report(&report, &(struct gmem_report){ .stage = GMEM_STAGE_DONE,
						      .freed = (sides - 1) * 8 * rig.page });
	ears_close(&ears);
	rig_close(&rig);
}

/* The side that is not seen any more, where that is freed at once. */
static void conversions_count_what_they_free(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct gmem_report report;
	struct rig rig;

	open_one(&rig, *state, NULL);
	assert_int_equal(rig_convert(&rig, FIRST, 8, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.freed, 8 * rig.page);
	assert_int_equal(report.converted, 8 * rig.page);
	assert_int_equal(rig_convert(&rig, FIRST, 2, GMEM_SHARED, GMEM_CONVERT_KEEP, &report), 0);
	assert_int_equal(report.freed, 0);
	/* One that the kernel would not free is not counted. */
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EPERM, 0), 0);
	assert_int_equal(rig_convert(&rig, FIRST + 4, 2, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.freed, 0);
	rig_close(&rig);
	/* Put off, up to a limit; what is above is freed at once. */
	gmem_vm_config_set_discard_limit(config, 4 * UINT64_C(4096));
	open_one(&rig, *state, config);
	assert_int_equal(rig_convert(&rig, FIRST, 4, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.freed, 0);
	assert_int_equal(rig_convert(&rig, FIRST + 8, 4, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.freed, 4 * rig.page);
	rig_close(&rig);
}

static void a_flush_names_the_first_refusal(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct gmem_report report, expected;
	struct rig rig;

	gmem_vm_config_set_discard_limit(config, GIB);
	open_one(&rig, *state, config);
	assert_int_equal(rig_convert(&rig, FIRST, 2, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&rig, FIRST + 16, 4, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&rig, FIRST + 24, 8, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EPERM, 0), 0);
	assert_int_equal(flush(&rig, 0, &report), -EIO);
	expected = obstacle(&rig, -EIO, GMEM_STAGE_COMMIT, FIRST, 2);
	expected.kernel_error = -EPERM;
	expected.freed = 12 * rig.page;
	expect_report(&report, &expected);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(refused_arguments_are_reported, SMALL_PAGES),
		RIG_CASE(callbacks_get_a_report_too, SMALL_PAGES),
		RIG_CASE(success_is_counted, SMALL_PAGES),
		RIG_CASE(a_listener_is_named_by_what_it_refused, SMALL_PAGES),
		RIG_CASE(the_kernels_refusal_is_named, SMALL_PAGES),
		RIG_CASE(no_memory_is_named, SMALL_PAGES),
		RIG_CASE(a_pin_is_named, SMALL_PAGES),
		RIG_CASE(pins_of_what_is_passed_over_are_none, SMALL_PAGES),
		RIG_CASE(an_operation_at_work_is_not_waited_for, SMALL_PAGES),
		RIG_CASE(conversions_count_what_they_free, SPLIT_SMALL),
		RIG_CASE(a_flush_names_the_first_refusal, SPLIT_SMALL),
	};

	return rig_run("reports of discards", cases, sizeof(cases) / sizeof(cases[0]));
}
