// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The system calls of a conversion, from the simulator's record: as few as the kernel allows, of
 * exactly the pages asked for, no others, and no memory allocated.
 */
#include "rig.h"

#include "tests/support/faults.h"
#include "tests/support/support.h"

#include <errno.h>
#include <stdlib.h>

static bool is_per_vm(const struct rig *rig)
{
	return rig->mode->tracking == GMEM_TRACKING_VM;
}

/* What rig_expect_call() counts from: an address, or an offset in the file of a region. */
static uint64_t start_of(const struct rig *rig, uint64_t gpa_page, uint64_t offset_page)
{
	return is_per_vm(rig) ? gpa_page : offset_page;
}

static void expect_calls_only(struct rig *rig, uint32_t count)
{
	assert_int_equal(rig->call_count, count);
	assert_int_equal(rig->wait_calls, 0);
	assert_int_equal(rig->other_calls, 0);
	expect_no_message(rig->logs);
	rig_compare(rig);
	rig_forget_calls(rig);
}

static struct gmem_range *ranges_of(struct rig *rig, uint64_t gpa_page, size_t count,
				    uint64_t pages, uint64_t distance)
{
	struct gmem_range *ranges = support_new(count * sizeof(*ranges));
	size_t i;

	for (i = 0; i < count; i++)
		ranges[i] = (struct gmem_range){
			.gpa = (gpa_page + i * distance) * rig->page,
			.size = pages * rig->page,
		};
	return ranges;
}

static void a_range_is_one_call(void **state)
{
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 1024), 0, 1024);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 20, 512, GMEM_PRIVATE, 0, &report), 0);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 20, 4), 512, GMEM_PRIVATE);
	expect_calls_only(&rig, 1);
	assert_int_equal(report.ioctls, 1);
	assert_int_equal(report.retries, 0);
	assert_int_equal(report.waited_ns, 0);
	assert_int_equal(rig_convert_keeping(&rig, 20, 512, GMEM_SHARED, 0, &report), 0);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 20, 4), 512, GMEM_SHARED);
	expect_calls_only(&rig, 1);
	rig_close(&rig);
}

static void a_batch_of_neighbours_is_one_call(void **state)
{
	struct gmem_report report;
	struct gmem_range *ranges;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 1024), 0, 1024);
	ranges = ranges_of(&rig, 20, 512, 1, 1);
	rig_forget_calls(&rig);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 512, GMEM_PRIVATE,
						GMEM_CONVERT_KEEP, &report),
			 0);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 20, 4), 512, GMEM_PRIVATE);
	expect_calls_only(&rig, 1);
	assert_int_equal(report.ioctls, 1);
	assert_int_equal(report.converted, 512 * rig.page);
	/* The same by the library's record alone: none of it is left to do. */
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 512, GMEM_PRIVATE,
						GMEM_CONVERT_TRUST_STATE | GMEM_CONVERT_KEEP,
						&report),
			 0);
	expect_calls_only(&rig, 0);
	free(ranges);
	rig_close(&rig);
}

/* What lies between the ranges of a batch was not asked for. */
static void ranges_apart_are_a_call_each(void **state)
{
	static const uint32_t flags[] = { 0, GMEM_CONVERT_TRUST_STATE };
	struct gmem_report report;
	struct gmem_range *ranges;
	struct rig rig;
	uint32_t i, k;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	ranges = ranges_of(&rig, 17, 20, 2, 3);
	for (k = 0; k < 2; k++) {
		rig_forget_calls(&rig);
		assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 20, GMEM_PRIVATE,
							flags[k] | GMEM_CONVERT_KEEP, &report),
				 0);
		assert_int_equal(report.ioctls, 20);
		assert_int_equal(report.converted, 40 * rig.page);
		for (i = 0; i < 20; i++)
			rig_expect_call(&rig, i, 0, start_of(&rig, 17 + 3 * i, 1 + 3 * i), 2,
					GMEM_PRIVATE);
		expect_calls_only(&rig, 20);
		assert_int_equal(gmem_vm_get_state(rig.vm, 19 * rig.page, rig.page), GMEM_SHARED);
		assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 20, GMEM_SHARED,
							GMEM_CONVERT_KEEP, NULL),
				 0);
	}
	free(ranges);
	rig_close(&rig);
}

/*
 * Sections that follow each other, of three regions: one call per VM, one per file, though offsets
 * go on as well.
 */
static void sections_of_several_regions(void **state)
{
	struct gmem_report report;
	uint32_t i, to;
	struct rig rig;

	rig_open(&rig, *state);
	for (i = 0; i < 3; i++)
		rig_map(&rig, 16 + 32 * i, rig_region(&rig, 128), 8 + 32 * i, 32);
	for (to = GMEM_SHARED; to <= GMEM_PRIVATE; to++) {
		rig_forget_calls(&rig);
		assert_int_equal(rig_convert_keeping(&rig, 20, 88, to, 0, &report), 0);
		assert_int_equal(report.converted, to == GMEM_PRIVATE ? 88 * rig.page : 0);
		if (is_per_vm(&rig)) {
			rig_expect_call(&rig, 0, 0, 20, 88, to);
			expect_calls_only(&rig, 1);
			continue;
		}
		rig_expect_call(&rig, 0, 0, 12, 28, to);
		rig_expect_call(&rig, 1, 1, 40, 32, to);
		rig_expect_call(&rig, 2, 2, 72, 28, to);
		expect_calls_only(&rig, 3);
	}
	rig_close(&rig);
}

static void sections_of_one_region_that_go_on(void **state)
{
	struct gmem_report report;
	struct gmem_range *ranges;
	struct rig rig;
	uint32_t i;

	rig_open(&rig, *state);
	rig_region(&rig, 128);
	for (i = 0; i < 4; i++)
		rig_map(&rig, 16 + 32 * i, rig.region[0], 32 * i, 32);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 17, 126, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.converted, 126 * rig.page);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 17, 1), 126, GMEM_PRIVATE);
	expect_calls_only(&rig, 1);
	/* By ranges that end where the sections do not. */
	ranges = ranges_of(&rig, 17, 14, 9, 9);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 14, GMEM_SHARED, GMEM_CONVERT_KEEP,
						&report),
			 0);
	assert_int_equal(report.converted, 126 * rig.page);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 17, 1), 126, GMEM_SHARED);
	expect_calls_only(&rig, 1);
	free(ranges);
	rig_close(&rig);
}

/* Neighbours in the guest, but not in the file. */
static void sections_of_one_region_out_of_order(void **state)
{
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, *state);
	rig_region(&rig, 96);
	rig_map(&rig, 16, rig.region[0], 64, 32);
	rig_map(&rig, 48, rig.region[0], 0, 32);
	/* And a page is missing in the file here. */
	rig_map(&rig, 80, rig.region[0], 33, 31);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 16, 95, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.converted, 95 * rig.page);
	if (is_per_vm(&rig)) {
		rig_expect_call(&rig, 0, 0, 16, 95, GMEM_PRIVATE);
		expect_calls_only(&rig, 1);
	} else {
		rig_expect_call(&rig, 0, 0, 64, 32, GMEM_PRIVATE);
		rig_expect_call(&rig, 1, 0, 0, 32, GMEM_PRIVATE);
		rig_expect_call(&rig, 2, 0, 33, 31, GMEM_PRIVATE);
		expect_calls_only(&rig, 3);
	}
	rig_close(&rig);
}

/* Neighbours in the file, but not in the guest; and what has no attributes is left out. */
static void holes_and_plain_memory_part_calls(void **state)
{
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, *state);
	rig_region(&rig, 64);
	rig_map(&rig, 16, rig.region[0], 0, 16);
	rig_map(&rig, 48, rig.region[0], 16, 16);
	rig_map(&rig, 64, rig_plain_region(&rig, 16), 0, 16);
	rig_map(&rig, 80, rig.region[0], 32, 16);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 0, 128, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.converted, 0);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 16, 0), 16, GMEM_SHARED);
	rig_expect_call(&rig, 1, 0, start_of(&rig, 48, 16), 16, GMEM_SHARED);
	rig_expect_call(&rig, 2, 0, start_of(&rig, 80, 32), 16, GMEM_SHARED);
	expect_calls_only(&rig, 3);
	rig_close(&rig);
}

static void what_is_right_is_told_again_unless_trusted(void **state)
{
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 16, 64, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.ioctls, 1);
	assert_int_equal(report.converted, 0);
	expect_calls_only(&rig, 1);
	assert_int_equal(rig_convert_keeping(&rig, 16, 64, GMEM_SHARED, GMEM_CONVERT_TRUST_STATE,
					     &report),
			 0);
	assert_int_equal(report.stage, GMEM_STAGE_DONE);
	assert_int_equal(report.ioctls, 0);
	assert_int_equal(report.converted, 0);
	expect_calls_only(&rig, 0);
	/* Also beside what some types of VM refuse: there is nothing to convert back. */
	assert_int_equal(rig_convert_keeping(&rig, 16, 64, GMEM_SHARED,
					     GMEM_CONVERT_TRUST_STATE | GMEM_CONVERT_ROLLBACK,
					     &report),
			 0);
	assert_int_equal(report.ioctls, 0);
	expect_calls_only(&rig, 0);
	/* The edges are right, and are left out. */
	assert_int_equal(rig_convert_keeping(&rig, 24, 8, GMEM_PRIVATE, 0, NULL), 0);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 16, 64, GMEM_SHARED, GMEM_CONVERT_TRUST_STATE,
					     &report),
			 0);
	assert_int_equal(report.converted, 8 * rig.page);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 24, 8), 8, GMEM_SHARED);
	expect_calls_only(&rig, 1);
	rig_close(&rig);
}

/* Up to 64 pages that are right already cost less than another call. */
static void few_pages_between_are_joined(void **state)
{
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 256), 0, 256);
	assert_int_equal(rig_convert_keeping(&rig, 20, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert_keeping(&rig, 85, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert_keeping(&rig, 151, 1, GMEM_PRIVATE, 0, NULL), 0);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 16, 256, GMEM_SHARED, GMEM_CONVERT_TRUST_STATE,
					     &report),
			 0);
	assert_int_equal(report.converted, 3 * rig.page);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 20, 4), 66, GMEM_SHARED);
	rig_expect_call(&rig, 1, 0, start_of(&rig, 151, 135), 1, GMEM_SHARED);
	expect_calls_only(&rig, 2);
	rig_close(&rig);
}

/* Not over what another section has in between, which may be another file. */
static void few_pages_are_not_joined_over_sections(void **state)
{
	struct gmem_report report;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 32), 0, 32);
	rig_map(&rig, 48, rig_region(&rig, 32), 0, 32);
	assert_int_equal(rig_convert_keeping(&rig, 46, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert_keeping(&rig, 49, 1, GMEM_PRIVATE, 0, NULL), 0);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 16, 64, GMEM_SHARED, GMEM_CONVERT_TRUST_STATE,
					     &report),
			 0);
	assert_int_equal(report.converted, 2 * rig.page);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 46, 30), 1, GMEM_SHARED);
	rig_expect_call(&rig, 1, 1, start_of(&rig, 49, 1), 1, GMEM_SHARED);
	expect_calls_only(&rig, 2);
	rig_close(&rig);
}

static void a_gibibyte_is_one_call(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	uint64_t pages;
	struct rig rig;

	rig_open(&rig, mode);
	pages = 2 * GIB / rig.page;
	rig_map(&rig, 16, rig_region(&rig, pages), 0, pages);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 17, pages - 2, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.converted, 2 * GIB - 2 * rig.page);
	rig_expect_call(&rig, 0, 0, start_of(&rig, 17, 1), pages - 2, GMEM_PRIVATE);
	assert_int_equal(rig.call_count, 1);
	assert_int_equal(rig.other_calls + rig.wait_calls, 0);
	assert_int_equal(gmem_vm_get_state(rig.vm, 17 * rig.page, 2 * GIB - 2 * rig.page),
			 GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(rig.vm, 16 * rig.page, rig.page), GMEM_SHARED);
	rig_close(&rig);
}

static void expect_no_allocation(int rc, int wanted)
{
	uint64_t count = allocations_off();

	assert_int_equal(rc, wanted);
	assert_int_equal(count, 0);
}

/* Memory there is none, and none is missed: also where it waits, fails, or is taken back. */
static void nothing_is_allocated(void **state)
{
	struct gmem_report report;
	struct gmem_range *ranges;
	struct gmem_pin pin;
	char bytes[64];
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 512), 0, 512);
	rig_map(&rig, 528, rig_region(&rig, 512), 0, 512);
	ranges = ranges_of(&rig, 17, 500, 1, 2);
	allocations_fail_from(1);
	expect_no_allocation(rig_convert_keeping(&rig, 16, 1024, GMEM_PRIVATE, 0, &report), 0);
	allocations_fail_from(1);
	expect_no_allocation(gmem_vm_convert_ranges(rig.vm, ranges, 500, GMEM_SHARED,
						    GMEM_CONVERT_KEEP, &report),
			     0);
	allocations_fail_from(1);
	expect_no_allocation(gmem_vm_pin(rig.vm, 17 * rig.page, 8, GMEM_ACCESS_WAIT, &pin), 0);
	allocations_fail_from(1);
	expect_no_allocation(rig_convert_keeping(&rig, 16, 1024, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
						 &report),
			     -EAGAIN);
	rig_fail_call(&rig, 2, -EIO);
	allocations_fail_from(1);
	expect_no_allocation(rig_convert_keeping(&rig, 16, 1024, GMEM_SHARED, 0, &report),
			     is_per_vm(&rig) ? 0 : -EIO);
	gmem_sim_clear_failures(rig.sim);
	allocations_fail_from(1);
	expect_no_allocation(gmem_vm_read(rig.vm, 17 * rig.page, bytes, 64, GMEM_ACCESS_CHECKED),
			     0);
	allocations_fail_from(1);
	expect_no_allocation(rig_convert_keeping(&rig, 0, 1, GMEM_PRIVATE, 0, &report), -ENOENT);
	gmem_vm_unpin(rig.vm, &pin);
	free(ranges);
	rig_compare(&rig);
	rig_close(&rig);
}

/* Waits are futex and clock_gettime; copies that are checked are two calls more. */
static void waits_make_the_calls_they_may(void **state)
{
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	rig_fail_call(&rig, 1, -EINTR);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, 16, 64, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(rig.call_count, 2);
	assert_int_equal(report.retries, 1);
	assert_true(rig.wait_calls > 0);
	assert_int_equal(rig.other_calls, 0);
	assert_int_equal(rig_convert_keeping(&rig, 16, 64, GMEM_SHARED, 0, NULL), 0);
	rig_forget_calls(&rig);
	assert_int_equal(gmem_vm_pin(rig.vm, 16 * rig.page, rig.page, 0, &pin), 0);
	assert_int_equal(rig_convert_keeping(&rig, 16, 1, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, NULL),
			 -EAGAIN);
	gmem_vm_unpin(rig.vm, &pin);
	assert_int_equal(rig.call_count, 0);
	assert_int_equal(rig.wait_calls, 0);
	assert_int_equal(rig.other_calls, 0);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(a_range_is_one_call, IN_ALL_MODES),
		RIG_CASE(a_batch_of_neighbours_is_one_call, IN_ALL_MODES),
		RIG_CASE(ranges_apart_are_a_call_each, IN_ALL_MODES),
		RIG_CASE(sections_of_several_regions, IN_ALL_MODES),
		RIG_CASE(sections_of_one_region_that_go_on, IN_ALL_MODES),
		RIG_CASE(sections_of_one_region_out_of_order, IN_ALL_MODES),
		RIG_CASE(holes_and_plain_memory_part_calls, IN_ALL_MODES),
		RIG_CASE(what_is_right_is_told_again_unless_trusted, IN_ALL_MODES),
		RIG_CASE(few_pages_between_are_joined, IN_ALL_MODES),
		RIG_CASE(few_pages_are_not_joined_over_sections, PER_FILE),
		RIG_CASE(a_gibibyte_is_one_call, IN_ALL_MODES),
		RIG_CASE(nothing_is_allocated, IN_ALL_MODES),
		RIG_CASE(waits_make_the_calls_they_may, IN_ALL_MODES),
	};

	return rig_run("convert-calls", cases, sizeof(cases) / sizeof(cases[0]));
}
