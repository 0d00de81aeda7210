// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of reports as text. */
#include "stage.h"

#include <errno.h>
#include <gmem/report.h>
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
};

static const char failure_text[] =
	"EAGAIN while converting at gpa 0x3000 (0x4000 bytes, tag 0x5, offset 0x6000; the kernel "
	"said EINTR): 0x1000 bytes converted, 0x2000 converted back, 0xb000 freed, "
	"10 pages passed over, 8 ioctls, 9 retries, 7 ns waited";

static const struct gmem_report success = {
	.stage = GMEM_STAGE_DONE,
	.converted = 0x200000,
	.waited_ns = UINT64_MAX,
	.ioctls = 3,
	.retries = 2,
	.freed = 0x3000,
};

static const char success_text[] =
	"done: 0x200000 bytes converted, 0x3000 freed, 3 ioctls, 2 retries, 18446744073709551615 ns "
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
		{ GMEM_STAGE_PLAN, "EAGAIN while planning at" },
		{ GMEM_STAGE_PREPARE, "EAGAIN while preparing at" },
		{ GMEM_STAGE_COMMIT, "EAGAIN while converting at" },
		{ GMEM_STAGE_DONE, "EAGAIN while done at" },
		{ 0, "EAGAIN while an unknown stage at" },
		{ UINT32_MAX, "EAGAIN while an unknown stage at" },
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
		cmocka_unit_test(what_the_kernel_did_not_say_is_nothing),
		cmocka_unit_test(every_stage_has_a_name),
		cmocka_unit_test(texts_are_cut_to_fit),
		cmocka_unit_test(gmem_report_format_EINVAL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
