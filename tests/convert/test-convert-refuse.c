// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a conversion refuses, it refuses before anything is touched: no call is made, no state
 * changes, the report says what and where, and there is one message, of level debug where a guest
 * can cause it.
 */
#include "rig.h"

#include "tests/support/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In pages. */
#define RAM 16u
#define HOLE 80u
#define RESERVED 112u
#define DEVICE 128u
#define ROM 144u
#define PLAIN 160u
#define MORE_RAM 176u
#define END 192u

#define PLAIN_TAG 2u

/* Memory, and all that is none: 16 pages each but for the first. */
static void open_landscape(struct rig *rig, const struct mode *mode, uint32_t gaps)
{
	struct gmem_vm_config *config = rig_config(mode);
	struct gmem_region *ram, *plain;

	gmem_vm_config_set_flags(config, gaps);
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	ram = rig_region(rig, 96);
	plain = rig_plain_region(rig, 64);
	rig_map(rig, RAM, ram, 0, 64);
	rig_map(rig, 96, ram, 64, 16);
	assert_int_equal(gmem_vm_map(rig->vm, RESERVED * rig->page, NULL, 0, 16 * rig->page,
				     GMEM_SLOT_AUTO, 0),
			 0);
	assert_int_equal(gmem_vm_map(rig->vm, DEVICE * rig->page, plain, 16 * rig->page,
				     16 * rig->page, GMEM_SLOT_AUTO, GMEM_MAP_DEVICE),
			 0);
	assert_int_equal(gmem_vm_map(rig->vm, ROM * rig->page, plain, 32 * rig->page,
				     16 * rig->page, GMEM_SLOT_AUTO, GMEM_MAP_READONLY),
			 0);
	rig_map(rig, PLAIN, plain, 48, 16);
	rig_map(rig, MORE_RAM, ram, 80, 16);
	assert_int_equal(rig_convert(rig, RAM + 8, 8, GMEM_PRIVATE, 0, NULL), 0);
	rig_forget_calls(rig);
}

/* A report of what was refused: nothing happened. */
static void expect_refusal_report(const struct gmem_report *report, int error, uint64_t gpa,
				  uint64_t tag, uint64_t offset)
{
	const struct gmem_report wanted = {
		.error = error,
		.stage = GMEM_STAGE_PLAN,
		.gpa = gpa,
		.tag = tag,
		.offset = offset,
		.operation = GMEM_OPERATION_CONVERT,
	};

	assert_memory_equal(report, &wanted, sizeof(wanted));
}

static void expect_untouched(struct rig *rig)
{
	assert_int_equal(rig->call_count, 0);
	assert_int_equal(rig->wait_calls, 0);
	assert_int_equal(rig->other_calls, 0);
	assert_int_equal(gmem_vm_get_state(rig->vm, RAM * rig->page, 8 * rig->page), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(rig->vm, (RAM + 8) * rig->page, 8 * rig->page),
			 GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(rig->vm, (RAM + 16) * rig->page, 48 * rig->page),
			 GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(rig->vm, 96 * rig->page, 16 * rig->page), GMEM_SHARED);
	rig_compare(rig);
}

/* Bytes, not pages: most of these are no pages at all. */
static void malformed_ranges(void **state)
{
	struct gmem_report report;
	uint64_t page, i;
	struct rig rig;

	open_landscape(&rig, *state, 0);
	page = rig.page;
	{
		const struct gmem_range bad[] = {
			{ RAM * page + 1, page },
			{ RAM * page + page / 2, page },
			{ RAM * page, page + 1 },
			{ RAM * page, page - 1 },
			{ RAM * page, 0 },
			{ 0, 0 },
			{ 0, UINT64_MAX },
			{ page, -page },
			{ UINT64_MAX - page + 1, page },
			{ UINT64_MAX - page + 1, 2 * page },
			{ UINT64_MAX, UINT64_MAX },
		};
		char gpa[24];

		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			uint32_t to = i % 2 ? GMEM_PRIVATE : GMEM_SHARED;

			memset(&report, 0xa5, sizeof(report));
			assert_int_equal(gmem_vm_convert(rig.vm, bad[i].gpa, bad[i].size, to, 0,
							 &report),
					 -EINVAL);
			snprintf(gpa, sizeof(gpa), "gpa %#llx", (unsigned long long)bad[i].gpa);
			expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", gpa);
			expect_refusal_report(&report, -EINVAL, 0, 0, 0);
			assert_int_equal(gmem_vm_convert_ranges(rig.vm, &bad[i], 1, to, 0, NULL),
					 -EINVAL);
			expect_one_message(rig.logs, GMEM_LOG_DEBUG,
					   "gmem_vm_convert_ranges: ", gpa);
		}
	}
	expect_untouched(&rig);
	rig_close(&rig);
}

/* The good ranges of a bad list are not converted either. */
static void malformed_lists(void **state)
{
	struct gmem_report report;
	struct rig rig;
	uint64_t page;
	size_t i;

	open_landscape(&rig, *state, 0);
	page = rig.page;
	{
		const struct gmem_range first = { RAM * page, 2 * page };
		const struct gmem_range bad[] = {
			{ RAM * page, 2 * page },       /* the same again */
			{ (RAM + 1) * page, 2 * page }, /* overlaps */
			{ (RAM - 1) * page, page },     /* comes before */
			{ 0, (RAM + 4) * page },        /* holds it */
			{ (RAM + 4) * page, 0 },        { (RAM + 4) * page + 8, page },
		};

		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			const struct gmem_range list[] = { first, bad[i] };

			memset(&report, 0xa5, sizeof(report));
			assert_int_equal(gmem_vm_convert_ranges(rig.vm, list, 2, GMEM_PRIVATE, 0,
								&report),
					 -EINVAL);
			expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert_ranges: ");
			expect_refusal_report(&report, -EINVAL, 0, 0, 0);
		}
	}
	expect_untouched(&rig);
	rig_close(&rig);
}

static void wrong_arguments_of_the_program(void **state)
{
	static const uint32_t no_states[] = { 0, GMEM_HOLE, GMEM_SHARED | GMEM_PRIVATE, 8, ~0u };
	static const uint32_t no_flags[] = { 1u << 5, 1u << 31, GMEM_CONVERT_NOWAIT | 1u << 6 };
	struct gmem_report report;
	struct gmem_range range;
	struct rig rig;
	size_t i;

	open_landscape(&rig, *state, 0);
	for (i = 0; i < sizeof(no_states) / sizeof(no_states[0]); i++) {
		assert_int_equal(rig_convert(&rig, RAM, 1, no_states[i], 0, &report), -EINVAL);
		expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_convert: ", "GMEM_PRIVATE");
		expect_refusal_report(&report, -EINVAL, 0, 0, 0);
	}
	for (i = 0; i < sizeof(no_flags) / sizeof(no_flags[0]); i++) {
		assert_int_equal(rig_convert(&rig, RAM, 1, GMEM_PRIVATE, no_flags[i], &report),
				 -EINVAL);
		expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_convert: ", "GMEM_CONVERT_");
		expect_refusal_report(&report, -EINVAL, 0, 0, 0);
	}
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, NULL, 1, GMEM_PRIVATE, 0, &report),
			 -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_convert_ranges: ", "NULL");
	expect_refusal_report(&report, -EINVAL, 0, 0, 0);
	range = (struct gmem_range){ RAM * rig.page, rig.page };
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, &range, 0, GMEM_PRIVATE, 0, &report),
			 -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_convert_ranges: ", "count is 0");
	expect_refusal_report(&report, -EINVAL, 0, 0, 0);
	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(gmem_vm_convert(NULL, 0, rig.page, GMEM_PRIVATE, 0, &report), -EINVAL);
	expect_refusal_report(&report, -EINVAL, 0, 0, 0);
	expect_untouched(&rig);
	rig_close(&rig);
}

/* Something in the way of a conversion to private. Pages; first is what it begins with. */
struct obstacle {
	uint64_t gpa;
	uint64_t pages;
	uint64_t first; /* in the way */
	int error;
	uint64_t tag;
	uint64_t offset;
	const char *reason;
};

static const struct obstacle obstacles[] = {
	{ 0, 4, 0, -ENOENT, 0, 0, "nothing mapped" },
	{ 0, RAM + 4, 0, -ENOENT, 0, 0, "nothing mapped" },
	{ HOLE, 4, HOLE, -ENOENT, 0, 0, "nothing mapped" },
	{ RAM, 96, HOLE, -ENOENT, 0, 0, "nothing mapped" },
	{ END, 1, END, -ENOENT, 0, 0, "nothing mapped" },
	{ MORE_RAM, 17, END, -ENOENT, 0, 0, "nothing mapped" },
	{ MORE_RAM + 15, 1u << 20, END, -ENOENT, 0, 0, "nothing mapped" },
	{ RESERVED, 1, RESERVED, -ENOENT, 0, 0, "reserved" },
	{ RESERVED - 2, 4, RESERVED, -ENOENT, 0, 0, "reserved" },
	{ DEVICE + 3, 2, DEVICE + 3, -EACCES, PLAIN_TAG, 19, "a device's memory" },
	{ DEVICE, 16, DEVICE, -EACCES, PLAIN_TAG, 16, "a device's memory" },
	{ ROM + 1, 1, ROM + 1, -EACCES, PLAIN_TAG, 33, "read-only" },
	{ ROM, MORE_RAM - ROM, ROM, -EACCES, PLAIN_TAG, 32, "read-only" },
	{ PLAIN + 5, 20, PLAIN + 5, -EACCES, PLAIN_TAG, 53, "cannot be private" },
};

#define OBSTACLES (sizeof(obstacles) / sizeof(obstacles[0]))

static void expect_obstacle(struct rig *rig, const struct obstacle *obstacle, uint32_t to,
			    uint32_t flags)
{
	struct gmem_report report;
	char gpa[24];

	snprintf(gpa, sizeof(gpa), "gpa %#llx ", (unsigned long long)(obstacle->first * rig->page));
	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(rig_convert(rig, obstacle->gpa, obstacle->pages, to, flags, &report),
			 obstacle->error);
	expect_one_message(rig->logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", gpa, obstacle->reason);
	expect_refusal_report(&report, obstacle->error, obstacle->first * rig->page, obstacle->tag,
			      obstacle->offset * rig->page);
	expect_untouched(rig);
}

/* Flags that change nothing about it. ROLLBACK has refusals of its own. */
static const uint32_t harmless[] = {
	0,
	GMEM_CONVERT_NOWAIT,
	GMEM_CONVERT_TRUST_STATE,
	GMEM_CONVERT_NOWAIT | GMEM_CONVERT_TRUST_STATE,
};

static void obstacles_to_private(void **state)
{
	struct rig rig;
	size_t i, k;

	open_landscape(&rig, *state, 0);
	for (i = 0; i < OBSTACLES; i++) {
		for (k = 0; k < 4; k++)
			expect_obstacle(&rig, &obstacles[i], GMEM_PRIVATE, harmless[k]);
	}
	rig_close(&rig);
}

static void an_obstacle_in_the_last_range_of_a_list(void **state)
{
	struct gmem_report report;
	struct gmem_range list[3];
	struct rig rig;

	open_landscape(&rig, *state, 0);
	list[0] = (struct gmem_range){ RAM * rig.page, 4 * rig.page };
	list[1] = (struct gmem_range){ (RAM + 20) * rig.page, 4 * rig.page };
	list[2] = (struct gmem_range){ (DEVICE - 16) * rig.page, 4 * rig.page };
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, list, 3, GMEM_PRIVATE, 0, &report),
			 -ENOENT);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert_ranges: ", "reserved");
	expect_refusal_report(&report, -ENOENT, RESERVED * rig.page, 0, 0);
	expect_untouched(&rig);
	rig_close(&rig);
}

/* Only what is memory counts, and only what can be private is told to the kernel. */
static void to_shared_passes_over_all_of_it(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_landscape(&rig, *state, 0);
	assert_int_equal(rig_convert(&rig, HOLE, 16, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(rig_convert(&rig, RESERVED, MORE_RAM - RESERVED, GMEM_SHARED, 0, &report),
			 0);
	assert_int_equal(rig_convert(&rig, END, 1u << 20, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.stage, GMEM_STAGE_DONE);
	assert_int_equal(report.ioctls, 0);
	expect_no_message(rig.logs);
	expect_untouched(&rig);
	assert_int_equal(rig_convert(&rig, 0, 1u << 20, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.converted, 8 * rig.page);
	assert_int_equal(report.ioctls, 3);
	assert_int_equal(gmem_vm_get_state(rig.vm, 96 * rig.page, 16 * rig.page), GMEM_SHARED);
	rig_compare(&rig);
	rig_close(&rig);
}

/* GMEM_VM_GAPS_REFUSE: holes, reserved ranges and devices; not ROM or plain memory. */
static void to_shared_refuses_gaps_if_so_configured(void **state)
{
	struct gmem_report report;
	struct rig rig;
	size_t i, k;

	open_landscape(&rig, *state, GMEM_VM_GAPS_REFUSE);
	for (i = 0; i < OBSTACLES; i++) {
		if (obstacles[i].first >= ROM && obstacles[i].first < MORE_RAM)
			continue;
		for (k = 0; k < 4; k++) {
			expect_obstacle(&rig, &obstacles[i], GMEM_SHARED, harmless[k]);
			expect_obstacle(&rig, &obstacles[i], GMEM_PRIVATE, harmless[k]);
		}
	}
	assert_int_equal(rig_convert(&rig, ROM, 32, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.ioctls, 0);
	rig_close(&rig);
}

/* GMEM_VM_GAPS_SKIP: to private too, but what is memory and cannot be private stays refused. */
static void to_private_passes_over_gaps_if_so_configured(void **state)
{
	struct gmem_report report;
	struct rig rig;
	size_t i;

	open_landscape(&rig, *state, GMEM_VM_GAPS_SKIP);
	for (i = 0; i < OBSTACLES; i++) {
		if (obstacles[i].first >= ROM && obstacles[i].first < MORE_RAM)
			expect_obstacle(&rig, &obstacles[i], GMEM_PRIVATE, 0);
	}
	assert_int_equal(rig_convert(&rig, HOLE, 16, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(rig_convert(&rig, RESERVED, 32, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(rig_convert(&rig, END, 16, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.ioctls, 0);
	expect_untouched(&rig);
	assert_int_equal(rig_convert(&rig, 0, ROM, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.converted, 72 * rig.page);
	assert_int_equal(report.ioctls, 2);
	assert_int_equal(gmem_vm_get_state(rig.vm, RAM * rig.page, 64 * rig.page), GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(rig.vm, 96 * rig.page, 16 * rig.page), GMEM_PRIVATE);
	expect_no_message(rig.logs);
	rig_compare(&rig);
	rig_close(&rig);
}

/* A VM of a type that has no private memory, on the mode's kernel. */
static void no_private_memory(void **state)
{
	const struct mode *mode = *state;
	struct mode ordinary = *mode;
	struct gmem_report report;
	struct rig rig;
	uint32_t flags;

	ordinary.vm_type = GMEM_VM_TYPE_DEFAULT;
	ordinary.backing = GMEM_BACKING_AUTO;
	ordinary.tracking = GMEM_TRACKING_NONE;
	rig_open(&rig, &ordinary);
	rig_map(&rig, RAM, rig_region_in_state(&rig, 64, GMEM_SHARED), 0, 64);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert(&rig, RAM, 4, GMEM_PRIVATE, 0, &report), -EOPNOTSUPP);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "no private memory");
	expect_refusal_report(&report, -EOPNOTSUPP, 0, 0, 0);
	/* What is shared already may be asked to be, whatever the flags: no contents are at risk. */
	for (flags = 0; flags < 8; flags++) {
		assert_int_equal(rig_convert(&rig, RAM, 4, GMEM_SHARED, flags, &report), 0);
		assert_int_equal(report.ioctls, 0);
	}
	assert_int_equal(rig.call_count + rig.wait_calls + rig.other_calls, 0);
	expect_no_message(rig.logs);
	rig_close(&rig);
}

/* The same, for a program that has not said what type its VM is of. */
static void no_private_memory_of_a_vm_of_unknown_type(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config;
	struct mode ordinary = *mode;
	struct gmem_report report;
	struct rig rig;

	ordinary.vm_type = GMEM_VM_TYPE_DEFAULT;
	ordinary.tracking = GMEM_TRACKING_NONE;
	ordinary.backing = GMEM_BACKING_AUTO;
	assert_int_equal(gmem_vm_config_new(&config), 0);
	rig_open_with(&rig, &ordinary, config);
	gmem_vm_config_free(config);
	rig_map(&rig, RAM, rig_region_in_state(&rig, 64, GMEM_SHARED), 0, 64);
	assert_int_equal(rig_convert(&rig, RAM, 4, GMEM_SHARED, GMEM_CONVERT_ROLLBACK, &report), 0);
	rig_close(&rig);
}

static bool keeps_contents(uint32_t type)
{
	return type != GMEM_VM_TYPE_SNP && type != GMEM_VM_TYPE_TDX && type != GMEM_VM_TYPE_UNKNOWN;
}

static void rollback_that_would_destroy(void **state)
{
	static const uint32_t types[] = { GMEM_VM_TYPE_UNKNOWN, GMEM_VM_TYPE_SNP, GMEM_VM_TYPE_TDX,
					  GMEM_VM_TYPE_SW_PROTECTED };
	struct gmem_vm_config *config;
	struct gmem_report report;
	struct rig rig;
	uint32_t i, to;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(gmem_vm_config_new(&config), 0);
		if (types[i] != GMEM_VM_TYPE_UNKNOWN)
			gmem_vm_config_set_type(config, types[i]);
		rig_open_with(&rig, *state, config);
		gmem_vm_config_free(config);
		rig_map(&rig, RAM, rig_region(&rig, 64), 0, 64);
		for (to = GMEM_SHARED; to <= GMEM_PRIVATE; to++) {
			rig_forget_calls(&rig);
			if (keeps_contents(types[i])) {
				assert_int_equal(rig_convert(&rig, RAM, 4, to,
							     GMEM_CONVERT_ROLLBACK, &report),
						 0);
				expect_no_message(rig.logs);
				continue;
			}
			assert_int_equal(rig_convert(&rig, RAM, 4, to, GMEM_CONVERT_ROLLBACK,
						     &report),
					 -EOPNOTSUPP);
			expect_one_message(rig.logs, GMEM_LOG_ERROR,
					   "gmem_vm_convert: ", "GMEM_CONVERT_ROLLBACK",
					   "gmem_vm_config_set_type");
			expect_refusal_report(&report, -EOPNOTSUPP, 0, 0, 0);
			assert_int_equal(rig.call_count, 0);
			assert_int_equal(gmem_vm_get_state(rig.vm, RAM * rig.page, 4 * rig.page),
					 GMEM_SHARED);
		}
		rig_close(&rig);
	}
}

/* An obstacle comes first: it is there whatever the flags. */
static void rollback_behind_an_obstacle(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_landscape(&rig, *state, 0);
	assert_int_equal(rig_convert(&rig, HOLE, 4, GMEM_PRIVATE, GMEM_CONVERT_ROLLBACK, &report),
			 -ENOENT);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "nothing mapped");
	expect_refusal_report(&report, -ENOENT, HOLE * rig.page, 0, 0);
	expect_untouched(&rig);
	rig_close(&rig);
}

/* Runs of pages to be changed, every other page: exactly the limit is taken, one more is not. */
static void rollback_of_too_many_runs(void **state)
{
	const uint64_t runs = GMEM_ROLLBACK_RUNS;
	struct gmem_report report;
	struct gmem_range *ranges;
	struct rig rig;
	uint64_t i;

	rig_open(&rig, *state);
	rig_map(&rig, RAM, rig_region(&rig, 2 * runs + 16), 0, 2 * runs + 16);
	ranges = support_new((runs + 1) * sizeof(*ranges));
	for (i = 0; i <= runs; i++)
		ranges[i] = (struct gmem_range){ (RAM + 2 * i) * rig.page, rig.page };
	rig_forget_calls(&rig);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, runs + 1, GMEM_PRIVATE,
						GMEM_CONVERT_ROLLBACK, &report),
			 -EOPNOTSUPP);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "GMEM_CONVERT_ROLLBACK", "128");
	expect_refusal_report(&report, -EOPNOTSUPP, 0, 0, 0);
	assert_int_equal(rig.call_count, 0);
	assert_int_equal(gmem_vm_get_state(rig.vm, RAM * rig.page, 2 * runs * rig.page),
			 GMEM_SHARED);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, runs, GMEM_PRIVATE,
						GMEM_CONVERT_ROLLBACK, &report),
			 0);
	/* What is right already is no run: one range, with all those pages in it. */
	assert_int_equal(rig_convert(&rig, RAM, 2 * runs + 16, GMEM_SHARED, GMEM_CONVERT_ROLLBACK,
				     &report),
			 0);
	assert_int_equal(report.converted, runs * rig.page);
	/* Nor is a list of neighbours many. */
	for (i = 0; i <= runs; i++)
		ranges[i] = (struct gmem_range){ (RAM + i) * rig.page, rig.page };
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, runs + 1, GMEM_PRIVATE,
						GMEM_CONVERT_ROLLBACK, &report),
			 0);
	expect_no_message(rig.logs);
	rig_compare(&rig);
	free(ranges);
	rig_close(&rig);
}

/* Without a report all the same. */
static void without_a_report(void **state)
{
	struct rig rig;

	open_landscape(&rig, *state, 0);
	assert_int_equal(rig_convert(&rig, HOLE, 1, GMEM_PRIVATE, 0, NULL), -ENOENT);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "nothing mapped");
	assert_int_equal(rig_convert(&rig, RAM, 1, 7, 0, NULL), -EINVAL);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, NULL, 0, GMEM_SHARED, 0, NULL), -EINVAL);
	assert_int_equal(gmem_vm_convert(NULL, 0, rig.page, GMEM_PRIVATE, 0, NULL), -EINVAL);
	expect_untouched(&rig);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(malformed_ranges, IN_ALL_MODES),
		RIG_CASE(malformed_lists, IN_ALL_MODES),
		RIG_CASE(wrong_arguments_of_the_program, IN_ALL_MODES),
		RIG_CASE(obstacles_to_private, IN_ALL_MODES),
		RIG_CASE(an_obstacle_in_the_last_range_of_a_list, IN_ALL_MODES),
		RIG_CASE(to_shared_passes_over_all_of_it, IN_ALL_MODES),
		RIG_CASE(to_shared_refuses_gaps_if_so_configured, IN_ALL_MODES),
		RIG_CASE(to_private_passes_over_gaps_if_so_configured, IN_ALL_MODES),
		RIG_CASE(no_private_memory, SMALL_PAGES),
		RIG_CASE(no_private_memory_of_a_vm_of_unknown_type, SMALL_PAGES),
		RIG_CASE(rollback_that_would_destroy, SMALL_PAGES),
		RIG_CASE(rollback_behind_an_obstacle, SMALL_PAGES),
		RIG_CASE(rollback_of_too_many_runs, SMALL_PAGES),
		RIG_CASE(without_a_report, IN_ALL_MODES),
	};

	return rig_run("convert-refuse", cases, sizeof(cases) / sizeof(cases[0]));
}
