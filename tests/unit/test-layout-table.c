// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of the readers' table: random layouts against a plain array that is searched from its
 * start. GMEM_TEST_SEED repeats a run.
 */
#include "layout_table.h"

#include "kernel.h"
#include "random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

/* Needs what stands above. */
#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE UINT64_C(4096)
#define REGIONS 3
#define SECTIONS_MOST 4096

struct fixture {
	struct layout_table table;
	struct section_list list;
	struct section_view expected[SECTIONS_MOST];
	uint32_t count;
	uint64_t seed;
};

/* Regions that are no more than what the table shows of them. */
static struct backing backings[REGIONS] = {
	{ .fd = 7, .host = 0x10000000, .fd_offset = 0 },
	{ .fd = 8, .host = 0x20000000, .fd_offset = 0x30000 },
	{ .fd = -1, .host = 0x30000000, .fd_offset = 0 },
};
static struct shadow shadow;
static struct gmem_region regions[REGIONS] = {
	{ .host = &backings[0], .config.tag = 100, .shadow = &shadow, .guest.fd = 17 },
	{ .host = &backings[1], .config.tag = 101, .guest.fd = -1 },
	{ .host = &backings[2], .config.tag = UINT64_MAX },
};

static struct fixture *fixture_new(const char *name)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct gmem_kernel kernel;

	assert_non_null(fixture);
	gmem_kernel_get_host(&kernel);
	assert_int_equal(gmem_layout_table_init(&fixture->table, &kernel), 0);
	fixture->seed = random_seed(name);
	return fixture;
}

static void fixture_free(struct fixture *fixture)
{
	struct gmem_kernel kernel;

	gmem_kernel_get_host(&kernel);
	gmem_layout_table_release(&fixture->table, &kernel);
	gmem_section_list_free(&fixture->list);
	free(fixture);
}

/* What the table should show of a section. */
static struct section_view view_of(const struct section *section)
{
	const struct gmem_region *region = section->region;
	struct section_view view = {
		.gpa = section->gpa,
		.size = section->size,
		.fd = -1,
		.guest_memfd = -1,
		.flags = section->flags,
		.slot = section->slot,
		.kind = GMEM_KIND_RESERVED,
	};

	if (!region)
		return view;
	view.offset = section->offset;
	view.host = region->host->host + section->offset;
	view.tag = region->config.tag;
	view.fd_offset = region->host->fd_offset + section->offset;
	view.fd = region->host->fd;
	view.guest_memfd = region->guest.fd;
	view.shadow = region->shadow;
	view.kind = section->flags & GMEM_MAP_DEVICE     ? GMEM_KIND_DEVICE
		    : section->flags & GMEM_MAP_READONLY ? GMEM_KIND_ROM
							 : GMEM_KIND_RAM;
	return view;
}

/* Reserved ranges are one where they overlap or touch. */
static void expect_section(struct fixture *fixture, const struct section *section)
{
	struct section_view view = view_of(section);
	struct section_view *last = fixture->expected;

	if (fixture->count)
		last += fixture->count - 1;
	if (fixture->count && view.kind == GMEM_KIND_RESERVED && last->kind == GMEM_KIND_RESERVED &&
	    last->gpa + last->size >= view.gpa) {
		if (view.gpa + view.size > last->gpa + last->size)
			last->size = view.gpa + view.size - last->gpa;
		return;
	}
	fixture->expected[fixture->count++] = view;
}

/* One more section behind the last; how far behind, and how large, depends on the layout. */
static struct section random_section(struct fixture *fixture, uint64_t end, unsigned int spread)
{
	uint64_t *seed = &fixture->seed;
	uint64_t gap = random_below(seed, 3) ? 0 : random_below(seed, UINT64_C(1) << spread);
	uint64_t size = 1 + random_below(seed, UINT64_C(1) << random_below(seed, spread + 1));
	struct section section = {
		.gpa = end + gap * PAGE,
		.size = size * PAGE,
		.offset = random_below(seed, 64) * PAGE,
		.slot = (uint32_t)random_below(seed, 512),
		.flags = (uint32_t)random_below(seed, 16),
		.region = &regions[random_below(seed, REGIONS)],
	};

	if (random_below(seed, 4))
		return section;
	section.region = NULL;
	section.slot = GMEM_SLOT_NONE;
	section.flags = 0;
	section.offset = 0;
	return section;
}

static void make_layout(struct fixture *fixture, uint32_t count, unsigned int spread)
{
	uint64_t end = random_below(&fixture->seed, 3) * PAGE << spread;
	struct section elsewhere = { .address_space = 1, .size = PAGE, .region = &regions[0] };
	uint32_t i;

	gmem_section_list_free(&fixture->list);
	fixture->count = 0;
	assert_int_equal(gmem_section_list_reserve(&fixture->list, count + 1), 0);
	for (i = 0; i < count; i++) {
		struct section section = random_section(fixture, end, spread);
		const struct section *last = &fixture->list.items[i ? i - 1 : 0];

		/* A reserved range may begin within another. */
		if (i && !section.region && !last->region && random_below(&fixture->seed, 2))
			section.gpa = last->gpa +
				      random_below(&fixture->seed, last->size / PAGE + 1) * PAGE;
		gmem_section_list_insert(&fixture->list, &section);
		expect_section(fixture, &section);
		if (section.gpa + section.size > end)
			end = section.gpa + section.size;
	}
	gmem_section_list_insert(&fixture->list, &elsewhere);
	gmem_layout_table_publish(&fixture->table, &fixture->list);
}

static bool same_view(const struct section_view *a, const struct section_view *b)
{
	return a->gpa == b->gpa && a->size == b->size && a->offset == b->offset &&
	       a->host == b->host && a->tag == b->tag && a->fd_offset == b->fd_offset &&
	       a->shadow == b->shadow && a->fd == b->fd && a->guest_memfd == b->guest_memfd &&
	       a->flags == b->flags && a->slot == b->slot && a->kind == b->kind;
}

/* from: no section before this one reaches as far as gpa. */
static void check_find(const struct fixture *fixture, uint32_t from, uint64_t gpa)
{
	uint64_t sequence = layout_table_begin(&fixture->table);
	const struct section_view *expected = NULL;
	struct section_view view;
	uint32_t i;

	for (i = from; i < fixture->count && !expected; i++) {
		if (fixture->expected[i].gpa + fixture->expected[i].size > gpa)
			expected = &fixture->expected[i];
	}
	if (gmem_layout_table_find(&fixture->table, sequence, gpa, &view) != (expected != NULL) ||
	    (expected && !same_view(&view, expected)))
		fail_msg("%u sections: wrong at gpa 0x%llx", fixture->count,
			 (unsigned long long)gpa);
	assert_true(layout_table_is_current(&fixture->table, sequence));
}

static void check_layout(struct fixture *fixture)
{
	uint32_t i, from;

	check_find(fixture, 0, 0);
	check_find(fixture, fixture->count, UINT64_MAX);
	for (i = 0; i < fixture->count; i++) {
		const struct section_view *view = &fixture->expected[i];
		const uint64_t edges[] = { view->gpa, view->gpa + view->size,
					   view->gpa + random_below(&fixture->seed, view->size) };
		size_t edge;

		from = i ? i - 1 : 0;
		for (edge = 0; edge < ARRAY_SIZE(edges); edge++) {
			if (edges[edge])
				check_find(fixture, from, edges[edge] - 1);
			check_find(fixture, from, edges[edge]);
			check_find(fixture, from, edges[edge] + 1);
		}
	}
}

static void check_random_layouts(const char *name, uint32_t most, unsigned int spread,
				 unsigned int rounds)
{
	struct fixture *fixture = fixture_new(name);

	while (rounds--) {
		make_layout(fixture, 1 + (uint32_t)random_below(&fixture->seed, most), spread);
		check_layout(fixture);
	}
	make_layout(fixture, most, spread);
	check_layout(fixture);
	fixture_free(fixture);
}

static void test_few_sections(void **unused)
{
	check_random_layouts("few, dense", 12, 2, 200);
	check_random_layouts("few, sparse", 12, 30, 200);
	check_random_layouts("few, far apart", 6, 44, 200);
}

static void test_hundreds_of_sections(void **unused)
{
	check_random_layouts("hundreds, dense", 300, 1, 20);
	check_random_layouts("hundreds, sparse", 300, 28, 20);
}

static void test_thousands_of_sections(void **unused)
{
	check_random_layouts("thousands, dense", SECTIONS_MOST, 0, 2);
	check_random_layouts("thousands, sparse", SECTIONS_MOST, 24, 2);
	check_random_layouts("thousands, far apart", SECTIONS_MOST, 38, 2);
}

/* Many in one place, and one far away: one bucket holds nearly all of them. */
static void test_one_bucket_holds_all(void **unused)
{
	struct fixture *fixture = fixture_new("one bucket");
	struct section far = {
		.gpa = UINT64_MAX - 2 * PAGE + 1, .size = PAGE, .region = &regions[1], .slot = 9
	};

	make_layout(fixture, 1000, 1);
	assert_int_equal(gmem_section_list_reserve(&fixture->list, 1), 0);
	gmem_section_list_insert(&fixture->list, &far);
	expect_section(fixture, &far);
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	check_layout(fixture);
	fixture_free(fixture);
}

static void test_empty(void **unused)
{
	struct fixture *fixture = fixture_new("empty");

	check_layout(fixture);
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	check_layout(fixture);
	make_layout(fixture, 5, 3);
	check_layout(fixture);
	gmem_section_list_free(&fixture->list);
	fixture->count = 0;
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	check_layout(fixture);
	fixture_free(fixture);
}

/* All that there can be, to the last of them. */
static void test_the_most_sections(void **unused)
{
	struct fixture *fixture = fixture_new("the most");
	struct section section = { .size = PAGE, .region = &regions[0] };
	struct section_view view;
	uint64_t sequence, i;

	assert_int_equal(gmem_section_list_reserve(&fixture->list, GMEM_SECTIONS_MAX), 0);
	for (i = 0; i < GMEM_SECTIONS_MAX; i++) {
		section.gpa = i * 3 * PAGE;
		section.slot = (uint32_t)i;
		gmem_section_list_insert(&fixture->list, &section);
	}
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	sequence = layout_table_begin(&fixture->table);
	for (i = 0; i < GMEM_SECTIONS_MAX; i++) {
		assert_true(gmem_layout_table_find(&fixture->table, sequence,
						   (i * 3 + 1) * PAGE - 1, &view));
		assert_int_equal(view.slot, i);
		assert_int_equal(gmem_layout_table_find(&fixture->table, sequence,
							(i * 3 + 1) * PAGE, &view),
				 i + 1 < GMEM_SECTIONS_MAX);
		assert_int_equal(view.slot, i + 1 < GMEM_SECTIONS_MAX ? i + 1 : i);
	}
	fixture_free(fixture);
}

/* A look that was begun before a change is no longer current, and finds nothing after two. */
static void test_an_old_look_is_not_current(void **unused)
{
	struct fixture *fixture = fixture_new("an old look");
	struct section_view view;
	uint64_t sequence;

	make_layout(fixture, 5, 3);
	sequence = layout_table_begin(&fixture->table);
	assert_true(gmem_layout_table_find(&fixture->table, sequence, 0, &view));
	assert_true(layout_table_is_current(&fixture->table, sequence));
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	assert_false(layout_table_is_current(&fixture->table, sequence));
	assert_false(gmem_layout_table_find(&fixture->table, sequence, 0, &view));
	gmem_layout_table_publish(&fixture->table, &fixture->list);
	assert_false(layout_table_is_current(&fixture->table, sequence));
	assert_false(gmem_layout_table_find(&fixture->table, sequence, 0, &view));
	sequence = layout_table_begin(&fixture->table);
	assert_true(gmem_layout_table_find(&fixture->table, sequence, 0, &view));
	fixture_free(fixture);
}

static int64_t refuse_mmap(uint32_t nr, const uint64_t *arg, void *opaque)
{
	assert_int_equal(nr, GMEM_SYS_MMAP);
	return -ENOMEM;
}

static void layout_table_init_ENOMEM(void **unused)
{
	const struct gmem_kernel kernel = { .call = refuse_mmap };
	struct layout_table table = { .sequence = 0 };

	assert_int_equal(gmem_layout_table_init(&table, &kernel), -ENOMEM);
	/* Nothing to give back: no call. */
	gmem_layout_table_release(&table, &kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_few_sections),
		cmocka_unit_test(test_hundreds_of_sections),
		cmocka_unit_test(test_thousands_of_sections),
		cmocka_unit_test(test_one_bucket_holds_all),
		cmocka_unit_test(test_the_most_sections),
		cmocka_unit_test(test_an_old_look_is_not_current),
		cmocka_unit_test(layout_table_init_ENOMEM),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
