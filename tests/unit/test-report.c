// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of reports as text. */
#include "stage.h"

#include <errno.h>
#include <gmem/report.h>
#include <stdio.h>
#include <string.h>

static const struct gmem_report failure = {
	.error = -EAGAIN,
	.stage = GMEM_STAGE_COMMIT,
	.converted = 0x1000,
	.restored = 0x2000,
	.gpa = 0x3000,
	.size = 0x4000,
	.tag = 0x5,
	.offset = 0x6000,
	.waited_ns = 7,
	.kernel_error = -EINTR,
	.ioctls = 8,
	.retries = 9,
	.skipped = 10,
	.freed = 0xb000,
	.obstacle = GMEM_OBSTACLE_SIGNAL,
	.operation = GMEM_OPERATION_CONVERT,
};

static const char failure_text[] =
	"conversion: EAGAIN while converting at gpa 0x3000 (0x4000 bytes, tag 0x5, offset 0x6000; "
	"obstacle: a signal; the kernel said EINTR): 0x1000 bytes converted, 0x2000 converted "
	"back, 0xb000 freed, 10 pages passed over, 8 ioctls, 9 retries, 7 ns waited";

static const struct gmem_report success = {
	.stage = GMEM_STAGE_DONE,
	.converted = 0x200000,
	.waited_ns = UINT64_MAX,
	.ioctls = 3,
	.retries = 2,
	.freed = 0x3000,
	.operation = GMEM_OPERATION_CONVERT,
};

static const char success_text[] =
	"conversion done: 0x200000 bytes converted, 0x3000 freed, 3 ioctls, 2 retries, "
	"18446744073709551615 ns "
	"waited";

static void a_success_is_told(void **unused)
{
	char text[256];

	assert_int_equal(gmem_report_format(&success, text, sizeof(text)), strlen(success_text));
	assert_string_equal(text, success_text);
}

static void a_failure_is_told_whole(void **unused)
{
	char text[512];

	assert_int_equal(gmem_report_format(&failure, text, sizeof(text)), strlen(failure_text));
	assert_string_equal(text, failure_text);
}

/* As a gmem_retry_fn gets it. */
static void what_is_waited_for_is_told(void **unused)
{
	static const char start[] = "discard waits while freeing at gpa 0x3000 (0x4000 bytes, tag "
				    "0x5, offset 0x6000; obstacle: a pin; the kernel said nothing)";
	struct gmem_report report = failure;
	char text[512];

	report.error = report.kernel_error = 0;
	report.operation = GMEM_OPERATION_DISCARD;
	report.obstacle = GMEM_OBSTACLE_PIN;
	assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
	assert_memory_equal(text, start, strlen(start));
	report.operation = GMEM_OPERATION_LAYOUT;
	assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "layout change waits while at work at gpa 0x3000"));
}

static void a_refusal_names_no_place(void **unused)
{
	const struct gmem_report refused = {
		.error = -EINVAL,
		.stage = GMEM_STAGE_PLAN,
		.operation = GMEM_OPERATION_FLUSH,
	};
	struct gmem_report report = refused;
	char text[512];

	assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
	assert_string_equal(text, "flush: EINVAL, before anything was touched");
	report.size = 1;
	assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "at gpa 0 (0x1 bytes"));
}

static void what_the_kernel_did_not_say_is_nothing(void **unused)
{
	struct gmem_report report = failure;
	char text[512];

	report.kernel_error = 0;
	assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "the kernel said nothing)"));
}

static void every_stage_has_a_name(void **unused)
{
	static const struct {
		uint32_t stage;
		const char *name;
	} stages[] = {
		{ GMEM_STAGE_PLAN, "conversion: EAGAIN while planning at" },
		{ GMEM_STAGE_PREPARE, "conversion: EAGAIN while preparing at" },
		{ GMEM_STAGE_COMMIT, "conversion: EAGAIN while converting at" },
		{ GMEM_STAGE_FINISH, "conversion: EAGAIN while telling listeners at" },
		{ GMEM_STAGE_DONE, "conversion: EAGAIN while done at" },
		{ 0, "conversion: EAGAIN while an unknown stage at" },
		{ UINT32_MAX, "conversion: EAGAIN while an unknown stage at" },
	};
	struct gmem_report report = failure;
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(stages); i++) {
		report.stage = stages[i].stage;
		assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
		assert_memory_equal(text, stages[i].name, strlen(stages[i].name));
	}
}

static void every_obstacle_has_a_name(void **unused)
{
	static const struct {
		uint32_t obstacle;
		const char *name;
	} obstacles[] = {
		{ GMEM_OBSTACLE_NONE, "; obstacle: none;" },
		{ GMEM_OBSTACLE_PAGE, "; obstacle: a page in use;" },
		{ GMEM_OBSTACLE_PIN, "; obstacle: a pin;" },
		{ GMEM_OBSTACLE_OPERATION, "; obstacle: another operation;" },
		{ GMEM_OBSTACLE_SIGNAL, "; obstacle: a signal;" },
		{ GMEM_OBSTACLE_KERNEL, "; obstacle: the kernel;" },
		{ GMEM_OBSTACLE_KERNEL + 1, "; obstacle: an unknown obstacle;" },
		{ UINT32_MAX, "; obstacle: an unknown obstacle;" },
	};
	struct gmem_report report = failure;
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(obstacles); i++) {
		report.obstacle = obstacles[i].obstacle;
		assert_true(gmem_report_format(&report, text, sizeof(text)) > 0);
		assert_non_null(strstr(text, obstacles[i].name));
	}
}

static void every_operation_has_a_name(void **unused)
{
	static const struct {
		uint32_t operation;
		const char *name;
	} operations[] = {
		{ GMEM_OPERATION_CONVERT, "conversion" },
		{ GMEM_OPERATION_DISCARD, "discard" },
		{ GMEM_OPERATION_POPULATE, "populate" },
		{ GMEM_OPERATION_FLUSH, "flush" },
		{ GMEM_OPERATION_LAYOUT, "layout change" },
		{ GMEM_OPERATION_PIN, "pin" },
		{ GMEM_OPERATION_LISTENER, "listener" },
		{ GMEM_OPERATION_LISTENER + 1, "operation" },
		{ 0, "operation" },
		{ UINT32_MAX, "operation" },
	};
	struct gmem_report failed = failure, done = success;
	char text[512], start[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(operations); i++) {
		failed.operation = done.operation = operations[i].operation;
		assert_true(gmem_report_format(&failed, text, sizeof(text)) > 0);
		snprintf(start, sizeof(start), "%s: EAGAIN", operations[i].name);
		assert_memory_equal(text, start, strlen(start));
		assert_true(gmem_report_format(&done, text, sizeof(text)) > 0);
		snprintf(start, sizeof(start), "%s done", operations[i].name);
		assert_memory_equal(text, start, strlen(start));
	}
}

/* Cut anywhere: always ended, the length always that of all of it, nothing written behind. */
static void texts_are_cut_to_fit(void **unused)
{
	char text[sizeof(failure_text) + 8];
	size_t size, i;

	for (size = 0; size <= sizeof(failure_text); size++) {
		memset(text, 'x', sizeof(text));
		assert_int_equal(gmem_report_format(&failure, text, size), strlen(failure_text));
		if (size) {
			assert_memory_equal(text, failure_text, size - 1);
			assert_int_equal(text[size - 1], 0);
		}
		for (i = size; i < sizeof(text); i++)
			assert_int_equal(text[i], 'x');
	}
	assert_int_equal(gmem_report_format(&failure, NULL, 0), strlen(failure_text));
	assert_int_equal(gmem_report_format(&success, NULL, 0), strlen(success_text));
}

static void expect_einval(const struct gmem_report *report, char *text, size_t size,
			  const char *expected)
{
	struct capture capture;
	char log[256];
	int rc;

	capture_begin(&capture, "error");
	rc = gmem_report_format(report, text, size);
	capture_end(&capture, log, sizeof(log));
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(log, expected);
}

static void gmem_report_format_EINVAL(void **unused)
{
	char text[8] = "kept";

	expect_einval(NULL, text, sizeof(text),
		      "libgmem: error: gmem_report_format: report is NULL, it must be an "
		      "address\n");
	assert_string_equal(text, "kept");
	expect_einval(&failure, NULL, 1,
		      "libgmem: error: gmem_report_format: buf is NULL, it must be an address\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_success_is_told),
		cmocka_unit_test(a_failure_is_told_whole),
		cmocka_unit_test(what_is_waited_for_is_told),
		cmocka_unit_test(a_refusal_names_no_place),
		cmocka_unit_test(what_the_kernel_did_not_say_is_nothing),
		cmocka_unit_test(every_stage_has_a_name),
		cmocka_unit_test(every_obstacle_has_a_name),
		cmocka_unit_test(every_operation_has_a_name),
		cmocka_unit_test(texts_are_cut_to_fit),
		cmocka_unit_test(gmem_report_format_EINVAL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
