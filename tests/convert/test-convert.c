// SPDX-License-Identifier: LGPL-2.1-or-later
/* Conversion on the simulator, in every mode: what is asked for is what is there afterwards. */
#include "rig.h"

#include <errno.h>
#include <string.h>

static void converts_there_and_back(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, mode);
	rig_map(&rig, 16, rig_region(&rig, 1024), 0, 1024);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert(&rig, 16, 512, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.error, 0);
	assert_int_equal(report.stage, GMEM_STAGE_DONE);
	assert_int_equal(report.converted, 512 * rig.page);
	assert_int_equal(report.ioctls, 1);
	assert_int_equal(rig.call_count, 1);
	/* A split region's shared side is freed. */
	assert_int_equal(rig.other_calls, mode->backing == GMEM_BACKING_SPLIT);
	assert_int_equal(gmem_vm_get_state(rig.vm, 16 * rig.page, 512 * rig.page), GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(rig.vm, 528 * rig.page, 512 * rig.page), GMEM_SHARED);
	rig_compare(&rig);
	assert_int_equal(rig_convert(&rig, 17, 1, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.converted, rig.page);
	rig_compare(&rig);
	assert_int_equal(rig_convert(&rig, 16, 1024, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.converted, 511 * rig.page);
	assert_int_equal(gmem_vm_get_state(rig.vm, 16 * rig.page, 1024 * rig.page), GMEM_SHARED);
	rig_compare(&rig);
	rig_close(&rig);
}

static void a_page_in_use_is_passed_over_and_reported(void **state)
{
	const struct mode *mode = *state;
	struct gmem_region_info info;
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, mode);
	rig_map(&rig, 16, rig_region(&rig, 1024), 0, 1024);
	assert_int_equal(gmem_region_get_info(rig.region[0], &info), 0);
	assert_int_equal(gmem_sim_pin(rig.sim, info.guest_memfd, 100 * rig.page, rig.page, 0), 0);
	assert_int_equal(rig_convert(&rig, 16, 1024, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	assert_int_equal(report.gpa, 116 * rig.page);
	assert_int_equal(report.size, rig.page);
	assert_int_equal(report.kernel_error, -EAGAIN);
	assert_int_equal(report.converted, 1023 * rig.page);
	rig_compare(&rig);
	assert_int_equal(gmem_sim_unpin(rig.sim, info.guest_memfd, 100 * rig.page, rig.page), 0);
	assert_int_equal(gmem_sim_pin(rig.sim, info.guest_memfd, 100 * rig.page, rig.page, 50), 0);
	assert_int_equal(rig_convert(&rig, 16, 1024, GMEM_PRIVATE, 0, &report), 0);
	assert_true(report.retries >= 50);
	rig_compare(&rig);
	rig_close(&rig);
}

static void a_pin_keeps_its_page_and_no_other(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct gmem_pin pin, none;
	char bytes[16] = "sixteen bytes..";
	struct rig rig;

	rig_open(&rig, mode);
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	assert_int_equal(gmem_vm_pin(rig.vm, 20 * rig.page + 8, 16, 0, &pin), 0);
	memcpy(pin.host, bytes, sizeof(bytes));
	assert_int_equal(rig_convert(&rig, 16, 64, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	assert_int_equal(report.gpa, 20 * rig.page);
	assert_int_equal(report.kernel_error, 0);
	assert_int_equal(report.converted, 63 * rig.page);
	rig_compare(&rig);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(gmem_vm_read(rig.vm, 20 * rig.page + 8, bytes, 16, 0), 0);
	assert_string_equal(bytes, "sixteen bytes..");
	assert_int_equal(gmem_vm_read(rig.vm, 19 * rig.page + 8, bytes, 16, 0), -EACCES);
	assert_int_equal(gmem_vm_read(rig.vm, 20 * rig.page, bytes, 16, GMEM_ACCESS_CHECKED), 0);
	gmem_vm_unpin(rig.vm, &pin);
	memset(&none, 0, sizeof(none));
	assert_memory_equal(&pin, &none, sizeof(pin));
	assert_int_equal(rig_convert(&rig, 16, 64, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report), 0);
	assert_int_equal(gmem_vm_pin(rig.vm, 20 * rig.page + 8, 16, 0, &pin), -EACCES);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(converts_there_and_back, IN_ALL_MODES),
		RIG_CASE(a_page_in_use_is_passed_over_and_reported, IN_PLACE),
		RIG_CASE(a_pin_keeps_its_page_and_no_other, IN_ALL_MODES),
	};

	return rig_run("convert", cases, sizeof(cases) / sizeof(cases[0]));
}
