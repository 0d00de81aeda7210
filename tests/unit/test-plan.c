// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of what a conversion comes to: refusals, runs, and how they are joined, on a table of
 * sections that no VM stands behind; and random plans against a model of single pages.
 * GMEM_TEST_SEED repeats a run.
 */
#include "plan.h"

#include "plan-model.h"
#include "random.h"
#include "shadow.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE UINT64_C(4096)
#define AT(pages) ((uint64_t)(pages)*PAGE)
#define NOTHING UINT64_MAX

/*
 * In pages: "a" (0 to 16) at 0x10, (16 to 32) right behind, at 0x20, and (64 to 80) behind that;
 * "b" (0 to 16) right behind, at 0x40; a hole; plain memory at 0x60 (4), right behind ROM (4),
 * reserved (4), a device's of "b" (64 to 68), and "b" (68 to 84) at 0x70; "a" (100 to 400) at
 * 0x100; "b" (400 to 404) up to the last page there is.
 */
struct fixture {
	struct gmem_kernel kernel;
	struct layout_table table;
	struct shadow shadows[2];
	struct backing backing;
	struct gmem_region a, b, plain;
	struct section_list list;
	struct plan plan;
	struct gmem_range ranges[8];
};

#define TOP (-AT(5))

static void add_section(struct fixture *fixture, uint64_t gpa, struct gmem_region *region,
			uint64_t offset, uint64_t pages, uint32_t flags)
{
	const struct section section = { .gpa = gpa,
					 .size = AT(pages),
					 .offset = AT(offset),
					 .region = region,
					 .slot = fixture->list.count,
					 .flags = flags };

	assert_int_equal(gmem_section_list_reserve(&fixture->list, 1), 0);
	gmem_section_list_insert(&fixture->list, &section);
}

static void open_fixture(struct fixture *fixture, uint32_t tracking, uint32_t to)
{
	unsigned int i;

	memset(fixture, 0, sizeof(*fixture));
	gmem_kernel_get_host(&fixture->kernel);
	assert_int_equal(gmem_layout_table_init(&fixture->table, &fixture->kernel), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(gmem_state_init(&fixture->shadows[i].state, &fixture->kernel, 1000,
						 12, to == GMEM_SHARED),
				 0);
	fixture->a = (struct gmem_region){ .host = &fixture->backing,
					   .shadow = &fixture->shadows[0],
					   .can_be_private = true,
					   .config.tag = 1,
					   .guest.fd = 10 };
	fixture->b = fixture->a;
	fixture->b.shadow = &fixture->shadows[1];
	fixture->b.can_be_private = true;
	fixture->b.config.tag = 2;
	fixture->b.guest.fd = 11;
	fixture->plain = (struct gmem_region){ .host = &fixture->backing, .guest.fd = -1 };
	add_section(fixture, AT(0x10), &fixture->a, 0, 16, 0);
	add_section(fixture, AT(0x20), &fixture->a, 16, 16, 0);
	add_section(fixture, AT(0x30), &fixture->a, 64, 16, 0);
	add_section(fixture, AT(0x40), &fixture->b, 0, 16, 0);
	add_section(fixture, AT(0x60), &fixture->plain, 0, 4, 0);
	add_section(fixture, AT(0x64), &fixture->plain, 4, 4, GMEM_MAP_READONLY);
	add_section(fixture, AT(0x68), NULL, 0, 4, 0);
	add_section(fixture, AT(0x6c), &fixture->b, 64, 4, GMEM_MAP_DEVICE);
	add_section(fixture, AT(0x70), &fixture->b, 68, 16, 0);
	add_section(fixture, AT(0x100), &fixture->a, 100, 300, 0);
	add_section(fixture, TOP, &fixture->b, 400, 4, 0);
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	fixture->plan = (struct plan){ .table = &fixture->table,
				       .ranges = fixture->ranges,
				       .to = to,
				       .tracking = tracking,
				       .page_shift = 12 };
}

static void close_fixture(struct fixture *fixture)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		gmem_state_release(&fixture->shadows[i].state, &fixture->kernel);
	gmem_layout_table_release(&fixture->table, &fixture->kernel);
	gmem_section_list_free(&fixture->list);
}

/* A range of the plan; the first of them with count 0. */
static void add_range(struct fixture *fixture, uint64_t gpa, uint64_t pages)
{
	fixture->ranges[fixture->plan.count++] = (struct gmem_range){ gpa, AT(pages) };
}

static void set_state(struct gmem_region *region, uint64_t first, uint64_t count, uint32_t state)
{
	gmem_state_set(&region->shadow->state, first, count, state == GMEM_PRIVATE);
}

/* All runs from a position on, as pairs of first page and pages, ended by NOTHING. */
static void expect_runs_from(struct fixture *fixture, enum plan_pages pages,
			     struct plan_position *position, const uint64_t *expected)
{
	struct plan_run run;

	for (; *expected != NOTHING; expected += 2) {
		assert_true(gmem_plan_next(&fixture->plan, pages, position, &run));
		assert_int_equal(run.gpa, AT(expected[0]));
		assert_int_equal(run.size, AT(expected[1]));
		assert_true(run.first.gpa <= run.gpa);
		assert_true(run.gpa - run.first.gpa < run.first.size);
	}
	assert_false(gmem_plan_next(&fixture->plan, pages, position, &run));
	assert_false(gmem_plan_next(&fixture->plan, pages, position, &run));
}

#define EXPECT_RUNS(fixture, pages, ...)                                                           \
	do {                                                                                       \
		struct plan_position start = { 0 };                                                \
		expect_runs_from(fixture, pages, &start, (const uint64_t[]){ __VA_ARGS__ });       \
	} while (0)

struct judgement {
	uint64_t first;
	uint64_t pages;
	int to_shared, to_private;
	uint64_t at;
	const char *reason;
};

static void refusals_say_where_and_why(void **unused)
{
	static const struct judgement cases[] = {
		{ 0x10, 0x40, 0, 0, 0, NULL },
		{ 0, 1, -ENOENT, -ENOENT, 0, "nothing mapped" },
		{ 0xc, 8, -ENOENT, -ENOENT, 0xc, "nothing mapped" },
		{ 0x40, 0x11, -ENOENT, -ENOENT, 0x50, "nothing mapped" },
		{ 0x60, 1, 0, -EACCES, 0x60, "cannot be private" },
		{ 0x67, 1, 0, -EACCES, 0x67, "read-only" },
		{ 0x6a, 2, -ENOENT, -ENOENT, 0x6a, "reserved" },
		{ 0x6c, 8, -EACCES, -EACCES, 0x6c, "a device's" },
		{ 0x70, 0x11, -ENOENT, -ENOENT, 0x80, "nothing mapped" },
		{ 0x22c, 0x10000, -ENOENT, -ENOENT, 0x22c, "nothing mapped" },
	};
	static const uint32_t refuse[] = { GMEM_VM_GAPS_REFUSE, 0 };
	struct plan_obstacle obstacle;
	struct fixture fixture;
	unsigned int i, to;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_PRIVATE);
	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const struct judgement *judgement = &cases[i / 2];
		int error;

		to = i % 2;
		error = to ? judgement->to_private : judgement->to_shared;
		fixture.plan.to = to ? GMEM_PRIVATE : GMEM_SHARED;
		fixture.plan.gaps = refuse[to];
		fixture.plan.count = 0;
		add_range(&fixture, AT(judgement->first), judgement->pages);
		memset(&obstacle, 0, sizeof(obstacle));
		assert_int_equal(gmem_plan_check(&fixture.plan, &obstacle), error);
		if (!error)
			continue;
		assert_int_equal(obstacle.gpa, AT(judgement->at));
		assert_non_null(strstr(obstacle.reason, judgement->reason));
	}
	close_fixture(&fixture);
}

/* To shared they are passed over unless asked otherwise, to private the other way round. */
static void gaps_are_passed_over_as_the_policy_says(void **unused)
{
	static const struct {
		uint32_t to, gaps;
		int error;
	} cases[] = {
		{ GMEM_SHARED, 0, 0 },
		{ GMEM_SHARED, GMEM_VM_GAPS_REFUSE, -ENOENT },
		{ GMEM_SHARED, GMEM_VM_GAPS_SKIP, 0 },
		{ GMEM_PRIVATE, 0, -ENOENT },
		{ GMEM_PRIVATE, GMEM_VM_GAPS_REFUSE, -ENOENT },
		{ GMEM_PRIVATE, GMEM_VM_GAPS_SKIP, 0 },
	};
	struct plan_obstacle obstacle = { 0 };
	struct fixture fixture;
	unsigned int i;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_PRIVATE);
	add_range(&fixture, 0, 0x40);
	add_range(&fixture, AT(0x48), 0x10);
	add_range(&fixture, AT(0x68), 0x30);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		fixture.plan.to = cases[i].to;
		fixture.plan.gaps = cases[i].gaps;
		assert_int_equal(gmem_plan_check(&fixture.plan, &obstacle), cases[i].error);
	}
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x10, 0x30, 0x48, 8, 0x70, 16, NOTHING);
	/* Memory that can never be private is no gap. */
	add_range(&fixture, AT(0x100), 1);
	fixture.ranges[2] = (struct gmem_range){ AT(0x60), AT(4) };
	assert_int_equal(gmem_plan_check(&fixture.plan, &obstacle), -EACCES);
	assert_ptr_equal(obstacle.view.region, &fixture.plain);
	close_fixture(&fixture);
}

static void runs_are_joined_over_sections_per_vm(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_PRIVATE);
	add_range(&fixture, AT(0x18), 0x30);
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x18, 0x30, NOTHING);
	EXPECT_RUNS(&fixture, PLAN_CALLS, 0x18, 0x30, NOTHING);
	EXPECT_RUNS(&fixture, PLAN_WRONG, 0x18, 0x30, NOTHING);
	close_fixture(&fixture);
}

static void runs_are_joined_per_file_where_the_file_goes_on(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_FILE, GMEM_PRIVATE);
	add_range(&fixture, AT(0x18), 0x30);
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x18, 0x18, 0x30, 0x10, 0x40, 8, NOTHING);
	EXPECT_RUNS(&fixture, PLAN_CALLS, 0x18, 0x18, 0x30, 0x10, 0x40, 8, NOTHING);
	EXPECT_RUNS(&fixture, PLAN_WRONG, 0x18, 0x18, 0x30, 0x10, 0x40, 8, NOTHING);
	close_fixture(&fixture);
}

static void what_has_no_state_is_left_out(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_SHARED);
	add_range(&fixture, AT(0x48), 0x30);
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x48, 8, 0x70, 8, NOTHING);
	fixture.plan.count = 0;
	add_range(&fixture, AT(0x50), 0x20);
	EXPECT_RUNS(&fixture, PLAN_ALL, NOTHING);
	fixture.plan.count = 0;
	add_range(&fixture, AT(0x10000), 4);
	EXPECT_RUNS(&fixture, PLAN_ALL, NOTHING);
	close_fixture(&fixture);
}

static void mixed_states_are_cut_into_runs(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_PRIVATE);
	set_state(&fixture.a, 100, 300, GMEM_PRIVATE);
	set_state(&fixture.a, 110, 2, GMEM_SHARED);
	set_state(&fixture.a, 112 + 64, 1, GMEM_SHARED);
	set_state(&fixture.a, 113 + 64 + 65, 1, GMEM_SHARED);
	add_range(&fixture, AT(0x100), 300);
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x100, 300, NOTHING);
	EXPECT_RUNS(&fixture, PLAN_WRONG, 0x10a, 2, 0x14c, 1, 0x18e, 1, NOTHING);
	/* 64 right pages between two wrong ones cost less than a call, 65 do not. */
	EXPECT_RUNS(&fixture, PLAN_CALLS, 0x10a, 0x43, 0x18e, 1, NOTHING);
	set_state(&fixture.a, 0, 1000, GMEM_PRIVATE);
	EXPECT_RUNS(&fixture, PLAN_CALLS, NOTHING);
	EXPECT_RUNS(&fixture, PLAN_WRONG, NOTHING);
	close_fixture(&fixture);
}

/* Nothing is told to the kernel that was not asked for, or that is another section's. */
static void few_pages_join_within_a_range_and_a_section(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_PRIVATE);
	set_state(&fixture.a, 0, 1000, GMEM_PRIVATE);
	set_state(&fixture.a, 104, 1, GMEM_SHARED);
	set_state(&fixture.a, 106, 1, GMEM_SHARED);
	add_range(&fixture, AT(0x100), 5);
	add_range(&fixture, AT(0x106), 4);
	EXPECT_RUNS(&fixture, PLAN_CALLS, 0x104, 1, 0x106, 1, NOTHING);
	/* Two ranges that touch are two, for the page between is not wrong. */
	fixture.ranges[0].size = AT(6);
	EXPECT_RUNS(&fixture, PLAN_CALLS, 0x104, 1, 0x106, 1, NOTHING);
	fixture.ranges[0].size = AT(300);
	fixture.plan.count = 1;
	EXPECT_RUNS(&fixture, PLAN_CALLS, 0x104, 3, NOTHING);
	set_state(&fixture.a, 15, 1, GMEM_SHARED);
	set_state(&fixture.a, 17, 1, GMEM_SHARED);
	fixture.ranges[0] = (struct gmem_range){ AT(0x10), AT(32) };
	EXPECT_RUNS(&fixture, PLAN_CALLS, 0x1f, 1, 0x21, 1, NOTHING);
	close_fixture(&fixture);
}

static void batches_are_joined_where_they_follow_each_other(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_FILE, GMEM_PRIVATE);
	add_range(&fixture, AT(0x12), 2);
	add_range(&fixture, AT(0x14), 12);
	add_range(&fixture, AT(0x20), 1);
	add_range(&fixture, AT(0x22), 14);
	add_range(&fixture, AT(0x30), 1);
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x12, 15, 0x22, 14, 0x30, 1, NOTHING);
	fixture.plan.tracking = GMEM_TRACKING_VM;
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x12, 15, 0x22, 15, NOTHING);
	close_fixture(&fixture);
}

static void positions_go_back(void **unused)
{
	struct plan_position position = { 0 };
	struct fixture fixture;
	struct plan_run run;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_PRIVATE);
	add_range(&fixture, AT(0x12), 2);
	add_range(&fixture, AT(0x14), 12);
	add_range(&fixture, AT(0x70), 4);
	assert_true(gmem_plan_next(&fixture.plan, PLAN_WRONG, &position, &run));
	assert_int_equal(run.size, AT(14));
	/* Into the first of the ranges that were one run, and into the second. */
	gmem_plan_rewind(&fixture.plan, &position, AT(0x13));
	expect_runs_from(&fixture, PLAN_WRONG, &position,
			 (const uint64_t[]){ 0x13, 13, 0x70, 4, NOTHING });
	gmem_plan_rewind(&fixture.plan, &position, AT(0x15));
	set_state(&fixture.a, 6, 1, GMEM_PRIVATE);
	expect_runs_from(&fixture, PLAN_WRONG, &position,
			 (const uint64_t[]){ 0x15, 1, 0x17, 9, 0x70, 4, NOTHING });
	/* To where a range ends. */
	gmem_plan_rewind(&fixture.plan, &position, AT(0x20));
	expect_runs_from(&fixture, PLAN_WRONG, &position, (const uint64_t[]){ 0x70, 4, NOTHING });
	gmem_plan_rewind(&fixture.plan, &position, AT(0x14));
	expect_runs_from(&fixture, PLAN_ALL, &position,
			 (const uint64_t[]){ 0x14, 12, 0x70, 4, NOTHING });
	close_fixture(&fixture);
}

static void plans_reach_the_top_of_the_address_space(void **unused)
{
	struct plan_obstacle obstacle = { 0 };
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_FILE, GMEM_PRIVATE);
	add_range(&fixture, TOP - AT(4), 4);
	add_range(&fixture, TOP, 4);
	assert_int_equal(gmem_plan_check(&fixture.plan, &obstacle), -ENOENT);
	assert_int_equal(obstacle.gpa, TOP - AT(4));
	EXPECT_RUNS(&fixture, PLAN_WRONG, TOP / PAGE, 4, NOTHING);
	fixture.ranges[0] = (struct gmem_range){ 0, -PAGE };
	fixture.plan.count = 1;
	EXPECT_RUNS(&fixture, PLAN_ALL, 0x10, 32, 0x30, 16, 0x40, 16, 0x70, 16, 0x100, 300,
		    TOP / PAGE, 4, NOTHING);
	fixture.plan.to = GMEM_SHARED;
	assert_int_equal(gmem_plan_check(&fixture.plan, &obstacle), 0);
	close_fixture(&fixture);
}

static void an_empty_layout_has_no_runs(void **unused)
{
	const struct section_list nothing = { 0 };
	struct plan_obstacle obstacle = { 0 };
	struct section_view view;
	struct fixture fixture;

	open_fixture(&fixture, GMEM_TRACKING_VM, GMEM_PRIVATE);
	gmem_layout_table_publish(&fixture.table, &nothing);
	add_range(&fixture, 0, 100);
	assert_int_equal(gmem_plan_check(&fixture.plan, &obstacle), -ENOENT);
	assert_null(obstacle.view.region);
	EXPECT_RUNS(&fixture, PLAN_ALL, NOTHING);
	assert_false(gmem_layout_look(&fixture.table, 0, &view));
	close_fixture(&fixture);
}

static unsigned int model_rounds = 20000;

static void plans_are_what_single_pages_come_to(void **unused)
{
	uint64_t seed = random_seed("plans");
	struct plan_model *model = plan_model_new();
	unsigned int round, i;
	uint8_t data[512];
	char why[256];

	assert_non_null(model);
	for (round = 0; round < model_rounds; round++) {
		size_t size = 64 + (size_t)random_below(&seed, sizeof(data) - 63);

		for (i = 0; i < size; i++)
			data[i] = (uint8_t)random_below(&seed, 256);
		if (!plan_model_check(model, data, size, why, sizeof(why)))
			fail_msg("round %u: %s", round, why);
	}
	plan_model_free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_say_where_and_why),
		cmocka_unit_test(gaps_are_passed_over_as_the_policy_says),
		cmocka_unit_test(runs_are_joined_over_sections_per_vm),
		cmocka_unit_test(runs_are_joined_per_file_where_the_file_goes_on),
		cmocka_unit_test(what_has_no_state_is_left_out),
		cmocka_unit_test(mixed_states_are_cut_into_runs),
		cmocka_unit_test(few_pages_join_within_a_range_and_a_section),
		cmocka_unit_test(batches_are_joined_where_they_follow_each_other),
		cmocka_unit_test(positions_go_back),
		cmocka_unit_test(plans_reach_the_top_of_the_address_space),
		cmocka_unit_test(an_empty_layout_has_no_runs),
		cmocka_unit_test(plans_are_what_single_pages_come_to),
	};

	if (getenv("GMEM_TEST_VALGRIND"))
		model_rounds = 200;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
