// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of the writers' lists of sections, and of what is said about a section. */
#include "section.h"

#include "faults.h"
#include "random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

static struct gmem_region a_region;

static void test_kinds(void **unused)
{
	static const struct {
		struct gmem_region *region;
		uint32_t flags;
		uint32_t kind;
	} cases[] = {
		{ NULL, 0, GMEM_KIND_RESERVED },
		{ &a_region, 0, GMEM_KIND_RAM },
		{ &a_region, GMEM_MAP_DIRTY_LOG, GMEM_KIND_RAM },
		{ &a_region, GMEM_MAP_ALIAS, GMEM_KIND_RAM },
		{ &a_region, GMEM_MAP_READONLY, GMEM_KIND_ROM },
		{ &a_region, GMEM_MAP_DEVICE, GMEM_KIND_DEVICE },
		{ &a_region, GMEM_MAP_DEVICE | GMEM_MAP_READONLY, GMEM_KIND_DEVICE },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct section section = { .region = cases[i].region,
						 .flags = cases[i].flags };

		assert_int_equal(section_kind(&section), cases[i].kind);
		assert_int_equal(section_is_reserved(&section), !cases[i].region);
	}
}

static void test_host(void **unused)
{
	struct backing host = { .host = 0x7000 };
	struct gmem_region region = { .host = &host };
	const struct section section = { .region = &region, .offset = 0x2000 };
	const struct section reserved = { .gpa = 0x1000 };

	assert_int_equal(section_host(&section), 0x9000);
	assert_int_equal(section_host(&reserved), 0);
}

static void test_same_window(void **unused)
{
	const struct section first = { .gpa = 0x1000, .size = 0x2000, .region = &a_region };
	struct section other = first;

	/* Slot, flags and what follows from them do not count. */
	other.slot = 5;
	other.flags = GMEM_MAP_READONLY | GMEM_MAP_DIRTY_LOG | GMEM_MAP_DEVICE;
	other.plain = true;
	assert_true(sections_are_same_window(&first, &other));
#define DIFFERS(field, value)                                                                      \
	do {                                                                                       \
		other = first;                                                                     \
		other.field = value;                                                               \
		assert_false(sections_are_same_window(&first, &other));                            \
	} while (0)
	DIFFERS(gpa, 0x2000);
	DIFFERS(size, 0x1000);
	DIFFERS(offset, 0x1000);
	DIFFERS(region, NULL);
	DIFFERS(address_space, 1);
	DIFFERS(flags, GMEM_MAP_ALIAS);
#undef DIFFERS
}

static bool is_in_order(const struct section_list *list)
{
	uint32_t i;

	for (i = 1; i < list->count; i++) {
		const struct section *a = &list->items[i - 1], *b = &list->items[i];

		if (a->address_space > b->address_space ||
		    (a->address_space == b->address_space && a->gpa > b->gpa))
			return false;
	}
	return true;
}

/* The first that is not before an address, looked for from the start. */
static uint32_t find_slowly(const struct section_list *list, uint32_t space, uint64_t gpa)
{
	uint32_t i;

	for (i = 0; i < list->count; i++) {
		const struct section *section = &list->items[i];

		if (section->address_space > space ||
		    (section->address_space == space && section->gpa >= gpa))
			break;
	}
	return i;
}

static void test_insert_find_and_remove(void **unused)
{
	struct section_list list = { 0 };
	uint64_t seed = random_seed("insert, find, remove");
	unsigned int round;

	assert_int_equal(gmem_section_list_reserve(&list, 100), 0);
	for (round = 0; round < 5000; round++) {
		struct section section = { .gpa = random_below(&seed, 40) << 12,
					   .size = 1 << 12,
					   .slot = round,
					   .address_space = (uint32_t)random_below(&seed, 3) };
		uint32_t index = (uint32_t)random_below(&seed, 100), count = list.count;

		assert_int_equal(gmem_section_list_find(&list, section.address_space, section.gpa),
				 find_slowly(&list, section.address_space, section.gpa));
		if (index < count) {
			struct section next = index + 1 < count ? list.items[index + 1] : section;

			gmem_section_list_remove(&list, index);
			assert_int_equal(list.count, count - 1);
			if (index + 1 < count)
				assert_int_equal(list.items[index].slot, next.slot);
		} else {
			gmem_section_list_insert(&list, &section);
			assert_int_equal(list.count, count + 1);
			index = find_slowly(&list, section.address_space, section.gpa);
			while (list.items[index].slot != round)
				index++;
			assert_int_equal(list.items[index].gpa, section.gpa);
		}
		assert_true(is_in_order(&list));
	}
	gmem_section_list_free(&list);
}

static void test_copy(void **unused)
{
	struct section_list list = { 0 }, copy;
	struct section section;
	uint32_t i;

	/* With its padding: it is compared as a whole. */
	memset(&section, 0, sizeof(section));
	/* Nothing, with room for nothing and for something. */
	assert_int_equal(gmem_section_list_copy(&copy, &list, 0), 0);
	gmem_section_list_free(&copy);
	assert_int_equal(gmem_section_list_copy(&copy, &list, 3), 0);
	assert_true(copy.capacity >= 3);
	gmem_section_list_free(&copy);
	assert_int_equal(gmem_section_list_reserve(&list, 10), 0);
	for (i = 0; i < 10; i++) {
		section.gpa = (10 - i) << 12;
		gmem_section_list_insert(&list, &section);
	}
	assert_int_equal(gmem_section_list_copy(&copy, &list, 5), 0);
	assert_int_equal(copy.count, 10);
	assert_true(copy.capacity >= 15);
	assert_memory_equal(copy.items, list.items, 10 * sizeof(section));
	gmem_section_list_remove(&copy, 0);
	assert_int_equal(list.count, 10);
	gmem_section_list_free(&copy);
	assert_null(copy.items);
	assert_int_equal(copy.count, 0);
	gmem_section_list_free(&list);
}

static void section_list_reserve_ENOMEM(void **unused)
{
	struct section_list list = { 0 };
	struct section section = { .gpa = 0x1000, .size = 0x1000 };

	assert_int_equal(gmem_section_list_reserve(&list, 1), 0);
	gmem_section_list_insert(&list, &section);
	allocations_fail(1);
	assert_int_equal(gmem_section_list_reserve(&list, 100), -ENOMEM);
	allocations_off();
	assert_int_equal(list.count, 1);
	assert_int_equal(list.items[0].gpa, 0x1000);
	/* More than can be counted; no allocation is tried. */
	allocations_count_only();
	assert_int_equal(gmem_section_list_reserve(&list, UINT32_MAX), -ENOMEM);
	assert_int_equal(allocations_off(), 0);
	gmem_section_list_free(&list);
}

static void section_list_copy_ENOMEM(void **unused)
{
	struct section_list list = { 0 }, copy;
	struct section section = { .gpa = 0x1000, .size = 0x1000 };
	uint64_t nth, count = 1;

	assert_int_equal(gmem_section_list_reserve(&list, 1), 0);
	gmem_section_list_insert(&list, &section);
	for (nth = 1; nth <= count; nth++) {
		allocations_fail(nth);
		assert_int_equal(gmem_section_list_copy(&copy, &list, 4), -ENOMEM);
		count = allocations_off();
		assert_null(copy.items);
		allocations_count_only();
		assert_int_equal(gmem_section_list_copy(&copy, &list, 4), 0);
		count = allocations_off();
		gmem_section_list_free(&copy);
	}
	gmem_section_list_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_same_window),
		cmocka_unit_test(test_insert_find_and_remove),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(section_list_reserve_ENOMEM),
		cmocka_unit_test(section_list_copy_ENOMEM),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
