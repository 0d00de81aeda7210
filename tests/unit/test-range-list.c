// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of lists of ranges: merged and asked, against an array with one flag for each address. */
#include "range_list.h"

#include "faults.h"
#include "random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define ADDRESSES 64u

static void append(struct range_list *list, uint64_t gpa, uint64_t size)
{
	assert_int_equal(gmem_range_list_append(list, gpa, size), 0);
}

static void expect(const struct range_list *list, uint64_t index, uint64_t gpa, uint64_t size)
{
	assert_true(index < list->count);
	assert_int_equal(list->items[index].gpa, gpa);
	assert_int_equal(list->items[index].size, size);
}

static void an_empty_list_has_nothing(void **unused)
{
	struct range_list list = { 0 };

	gmem_range_list_merge(&list);
	assert_int_equal(list.count, 0);
	assert_false(gmem_range_list_covers(&list, 0, 1));
	gmem_range_list_free(&list);
}

static void what_touches_or_overlaps_becomes_one(void **unused)
{
	struct range_list list = { 0 };

	append(&list, 40, 8);
	append(&list, 8, 8);
	append(&list, 0, 8);
	append(&list, 20, 10);
	append(&list, 22, 2);
	append(&list, 25, 8);
	append(&list, 40, 8);
	gmem_range_list_merge(&list);
	assert_int_equal(list.count, 3);
	expect(&list, 0, 0, 16);
	expect(&list, 1, 20, 13);
	expect(&list, 2, 40, 8);
	assert_true(gmem_range_list_covers(&list, 0, 16));
	assert_true(gmem_range_list_covers(&list, 47, 1));
	assert_false(gmem_range_list_covers(&list, 15, 2));
	assert_false(gmem_range_list_covers(&list, 16, 1));
	assert_false(gmem_range_list_covers(&list, 30, 12));
	assert_false(gmem_range_list_covers(&list, 48, 1));
	gmem_range_list_free(&list);
	assert_null(list.items);
	assert_int_equal(list.count, 0);
	assert_int_equal(list.capacity, 0);
}

/* The highest addresses that a range can have. */
static void the_end_of_all_addresses_is_no_exception(void **unused)
{
	struct range_list list = { 0 };

	append(&list, UINT64_MAX - 16, 16);
	append(&list, UINT64_MAX - 1, 1);
	append(&list, 0, 1);
	gmem_range_list_merge(&list);
	assert_int_equal(list.count, 2);
	expect(&list, 1, UINT64_MAX - 16, 16);
	assert_true(gmem_range_list_covers(&list, UINT64_MAX - 1, 1));
	assert_false(gmem_range_list_covers(&list, UINT64_MAX - 17, 2));
	gmem_range_list_free(&list);
}

static bool has_all(const bool *there, uint64_t gpa, uint64_t size)
{
	while (size && there[gpa + size - 1])
		size--;
	return !size;
}

static void check(const struct range_list *list, const bool *there)
{
	uint64_t gpa, size;

	for (gpa = 0; gpa < ADDRESSES; gpa++) {
		for (size = 1; gpa + size <= ADDRESSES; size++)
			assert_int_equal(gmem_range_list_covers(list, gpa, size),
					 has_all(there, gpa, size));
	}
	for (gpa = 1; gpa < list->count; gpa++)
		assert_true(list->items[gpa].gpa >
			    list->items[gpa - 1].gpa + list->items[gpa - 1].size);
}

static void random_lists_have_what_was_appended(void **unused)
{
	uint64_t random = random_seed("lists of ranges"), i, k;
	struct range_list list = { 0 };
	bool there[ADDRESSES];

	for (i = 0; i < 300; i++) {
		uint64_t count = random_below(&random, 40);

		memset(there, 0, sizeof(there));
		for (k = 0; k < count; k++) {
			uint64_t gpa = random_below(&random, ADDRESSES);
			uint64_t size = 1 + random_below(&random, 5);

			if (size > ADDRESSES - gpa)
				size = ADDRESSES - gpa;
			append(&list, gpa, size);
			memset(&there[gpa], true, size);
		}
		gmem_range_list_merge(&list);
		check(&list, there);
		/* What is appended afterwards is merged with the rest. */
		append(&list, 0, ADDRESSES);
		gmem_range_list_merge(&list);
		assert_int_equal(list.count, 1);
		list.count = 0;
	}
	gmem_range_list_free(&list);
}

static void range_list_append_ENOMEM(void **unused)
{
	struct range_list list = { 0 };
	uint64_t i = 0;

	allocations_fail(1);
	assert_int_equal(gmem_range_list_append(&list, 0, 1), -ENOMEM);
	allocations_off();
	assert_int_equal(list.count, 0);
	append(&list, 0, 1);
	allocations_fail(1);
	while (!gmem_range_list_append(&list, 2 * ++i, 1))
		;
	assert_int_equal(allocations_failed(), 1);
	allocations_off();
	assert_int_equal(list.count, i);
	append(&list, 2 * i, 1);
	gmem_range_list_merge(&list);
	assert_int_equal(list.count, i + 1);
	expect(&list, i, 2 * i, 1);
	gmem_range_list_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_list_has_nothing),
		cmocka_unit_test(what_touches_or_overlaps_becomes_one),
		cmocka_unit_test(the_end_of_all_addresses_is_no_exception),
		cmocka_unit_test(random_lists_have_what_was_appended),
		cmocka_unit_test(range_list_append_ENOMEM),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
