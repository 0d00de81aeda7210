// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of the windows of memory: which there are of some bytes, as of one moment, and of which
 * regions it is known that they have several.
 */
#include "windows.h"

#include "world.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define AT(pages) ((pages)*world.page)
#define AUTO GMEM_SLOT_AUTO

/* With a second address space. */
static void open_world(struct world *world)
{
	world_open(world, &(struct world_config){ .kvm = &fake_kvm_in_place_default });
}

static void map(struct world *world, uint64_t page, struct gmem_region *region, uint64_t offset,
		uint64_t pages, uint32_t flags)
{
	assert_int_equal(gmem_vm_map(world->vm, page * world->page, region, offset * world->page,
				     pages * world->page, AUTO, flags),
			 0);
}

static void expect(const struct world *world, const struct range_list *list, uint64_t index,
		   uint64_t page, uint64_t pages)
{
	assert_true(index < list->count);
	assert_int_equal(list->items[index].gpa, page * world->page);
	assert_int_equal(list->items[index].size, pages * world->page);
}

static void open_windows(struct world *world, struct gmem_region **region)
{
	struct gmem_region *other;

	open_world(world);
	*region = world_region(world, "several", 32, GMEM_BACKING_PLAIN, 0);
	other = world_region(world, "other", 32, GMEM_BACKING_PLAIN, 0);
	map(world, 0x10, *region, 0, 16, 0);
	map(world, 0x30, other, 0, 32, 0);
	map(world, 0x60, *region, 8, 8, GMEM_MAP_READONLY);
	map(world, 0x70, NULL, 0, 8, 0);
	map(world, 0x80, *region, 12, 16, GMEM_MAP_DEVICE);
	assert_int_equal(gmem_vm_map_alias(world->vm, 0, 0xa0 * world->page, *region,
					   4 * world->page, 4 * world->page, AUTO, 0),
			 0);
	assert_int_equal(gmem_vm_map_alias(world->vm, 1, 0, *region, 0, 32 * world->page, AUTO, 0),
			 0);
	gmem_region_free(other);
}

static void each_section_has_its_part(void **unused)
{
	struct range_list list = { 0 };
	struct gmem_region *region;
	struct world world;

	open_windows(&world, &region);
	/* What the list has stays there. */
	assert_int_equal(gmem_range_list_append(&list, AT(1), AT(1)), 0);
	assert_int_equal(gmem_windows_add(world.vm, region, AT(6), AT(8), &list), 0);
	assert_int_equal(list.count, 5);
	expect(&world, &list, 0, 1, 1);
	expect(&world, &list, 1, 0x16, 8);
	expect(&world, &list, 2, 0x60, 6);
	expect(&world, &list, 3, 0x80, 2);
	expect(&world, &list, 4, 0xa2, 2);
	list.count = 0;
	assert_int_equal(gmem_windows_add(world.vm, region, AT(16), AT(12), &list), 0);
	assert_int_equal(list.count, 1);
	expect(&world, &list, 0, 0x84, 12);
	/* Bytes that nobody sees. */
	list.count = 0;
	assert_int_equal(gmem_windows_add(world.vm, region, AT(28), AT(4), &list), 0);
	assert_int_equal(list.count, 0);
	gmem_range_list_free(&list);
	gmem_region_free(region);
	world_close(&world);
}

static void gmem_windows_add_ENOMEM(void **unused)
{
	struct range_list list = { 0 };
	struct gmem_region *region;
	struct world world;
	uint64_t i;

	open_windows(&world, &region);
	allocations_fail(1);
	assert_int_equal(gmem_windows_add(world.vm, region, 0, AT(32), &list), -ENOMEM);
	allocations_off();
	assert_int_equal(list.count, 0);
	/* Half-way. */
	for (i = 0; i < list.capacity - 2 || i < 6; i++)
		assert_int_equal(gmem_range_list_append(&list, i, 1), 0);
	allocations_fail(1);
	assert_int_equal(gmem_windows_add(world.vm, region, 0, AT(32), &list), -ENOMEM);
	assert_int_equal(allocations_failed(), 1);
	allocations_off();
	assert_int_equal(list.count, i);
	assert_int_equal(gmem_windows_add(world.vm, region, 0, AT(32), &list), 0);
	assert_int_equal(list.count, i + 4);
	gmem_range_list_free(&list);
	gmem_region_free(region);
	world_close(&world);
}

static void one_window_of_each_byte_is_known_as_such(void **unused)
{
	struct gmem_region *plain, *other, *ram;
	struct gmem_change *change;
	struct world world;

	open_world(&world);
	plain = world_region(&world, "plain", 32, GMEM_BACKING_PLAIN, 0);
	other = world_region(&world, "other", 32, GMEM_BACKING_PLAIN, 0);
	ram = world_region(&world, "ram", 32, GMEM_BACKING_GUEST_MEMFD, GMEM_SHARED);
	map(&world, 0, plain, 0, 8, 0);
	map(&world, 0x20, plain, 8, 8, 0);
	map(&world, 0x30, plain, 24, 8, 0);
	map(&world, 0x40, other, 0, 32, 0);
	map(&world, 0x60, ram, 0, 32, 0);
	map(&world, 0x90, NULL, 0, 8, 0);
	map(&world, 0x94, NULL, 0, 8, 0);
	/* No listener and no pin knows other address spaces. */
	assert_int_equal(gmem_vm_map_alias(world.vm, 1, AT(0x100), plain, 0, AT(8), AUTO, 0), 0);
	/* Taken away, and mapped again in pieces where it was. */
	assert_int_equal(gmem_change_new(world.vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, 0, AT(8)), 0);
	assert_int_equal(gmem_change_map(change, 0, plain, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(
		gmem_change_map(change, AT(4), plain, AT(4), AT(4), AUTO, GMEM_MAP_READONLY), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	/* Elsewhere, once it has gone. */
	assert_int_equal(gmem_vm_unmap(world.vm, AT(0x20), AT(8)), 0);
	map(&world, 0x200, plain, 8, 8, 0);
	assert_false(region_is_shown_twice(plain));
	assert_false(region_is_shown_twice(other));
	assert_false(region_is_shown_twice(ram));

	map(&world, 0x300, plain, 31, 1, GMEM_MAP_DEVICE);
	assert_true(region_is_shown_twice(plain));
	assert_int_equal(gmem_vm_map_alias(world.vm, 0, AT(0x310), other, 0, AT(1), AUTO, 0), 0);
	assert_true(region_is_shown_twice(other));
	/* For good. */
	assert_int_equal(gmem_vm_unmap(world.vm, AT(0x310), AT(1)), 0);
	assert_true(region_is_shown_twice(other));
	gmem_region_free(plain);
	gmem_region_free(other);
	gmem_region_free(ram);
	world_close(&world);
}

/* Both windows are as new as the change that they come with. */
static void two_windows_of_one_change_are_known(void **unused)
{
	struct gmem_region *region;
	struct gmem_change *change;
	struct world world;

	open_world(&world);
	region = world_region(&world, "twice", 32, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_change_new(world.vm, &change), 0);
	assert_int_equal(gmem_change_map(change, AT(0x10), region, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_change_map(change, AT(0x20), region, AT(7), AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	assert_true(region_is_shown_twice(region));
	gmem_region_free(region);
	world_close(&world);
}

/* A move that fails half-way, and cannot be undone: the memory is at both places then. */
static void what_cannot_be_moved_back_is_known_too(void **unused)
{
	struct range_list list = { 0 };
	struct gmem_region *region;
	struct gmem_change *change;
	struct world world;

	open_world(&world);
	region = world_region(&world, "moved", 32, GMEM_BACKING_PLAIN, 0);
	map(&world, 0x10, region, 0, 8, 0);
	assert_int_equal(gmem_change_new(world.vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, AT(0x10), AT(8)), 0);
	assert_int_equal(gmem_change_map(change, AT(0x20), region, 0, AT(8), 5, 0), 0);
	assert_int_equal(gmem_change_map(change, AT(0x30), region, AT(16), AT(8), AUTO, 0), 0);
	/* The second addition, and the removal of the first, whose slot is not that of what went. */
	world.fail_mask = 1u << 2 | 1u << 3;
	world.fail_error = -EIO;
	assert_int_equal(gmem_change_commit(change), -EIO);
	gmem_change_free(change);
	assert_int_equal(world.fail_mask, 0);
	logs_reset(world.logs);
	assert_int_equal(gmem_windows_add(world.vm, region, 0, AT(32), &list), 0);
	assert_int_equal(list.count, 2);
	expect(&world, &list, 0, 0x10, 8);
	expect(&world, &list, 1, 0x20, 8);
	assert_true(region_is_shown_twice(region));
	gmem_range_list_free(&list);
	gmem_region_free(region);
	world_close(&world);
}

/* A section that is always at one of two addresses, and others between them. */
struct race {
	struct world world;
	struct gmem_region *region;
	atomic_bool over;
	unsigned int looks;
	unsigned int wrong;
};

#define LOW 0u
#define HIGH 1000u
#define BETWEEN 64u
#define MOVES 3000u

static void *look_for_it(void *opaque)
{
	struct race *race = opaque;
	struct range_list list = { 0 };
	uint64_t page = race->world.page;

	do {
		list.count = 0;
		if (gmem_windows_add(race->world.vm, race->region, 0, page, &list) ||
		    list.count != 1 || list.items[0].size != page ||
		    (list.items[0].gpa != LOW * page && list.items[0].gpa != HIGH * page))
			race->wrong++;
		race->looks++;
	} while (!atomic_load(&race->over));
	gmem_range_list_free(&list);
	return NULL;
}

static void move(struct world *world, struct gmem_region *region, uint64_t from, uint64_t to)
{
	struct gmem_change *change;

	assert_int_equal(gmem_change_new(world->vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, from * world->page, world->page), 0);
	assert_int_equal(gmem_change_map(change, to * world->page, region, 0, world->page, AUTO, 0),
			 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
}

static void what_moves_is_found_once(void **unused)
{
	struct race race = { .looks = 0 };
	struct world *world = &race.world;
	struct gmem_region *other;
	pthread_t thread;
	unsigned int i;

	world_open(world, &(struct world_config){ .kvm = &fake_kvm_in_place, .without_kvm = true });
	race.region = world_region(world, "moves", 1, GMEM_BACKING_PLAIN, 0);
	other = world_region(world, "stays", BETWEEN, GMEM_BACKING_PLAIN, 0);
	for (i = 0; i < BETWEEN; i++)
		map(world, 2 + 2 * i, other, i, 1, 0);
	map(world, LOW, race.region, 0, 1, 0);
	assert_int_equal(pthread_create(&thread, NULL, look_for_it, &race), 0);
	for (i = 0; i < MOVES; i++)
		move(world, race.region, i % 2 ? HIGH : LOW, i % 2 ? LOW : HIGH);
	atomic_store(&race.over, true);
	pthread_join(thread, NULL);
	assert_int_equal(race.wrong, 0);
	assert_true(race.looks > 0);
	gmem_region_free(race.region);
	gmem_region_free(other);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_section_has_its_part),
		cmocka_unit_test(gmem_windows_add_ENOMEM),
		cmocka_unit_test(one_window_of_each_byte_is_known_as_such),
		cmocka_unit_test(two_windows_of_one_change_are_known),
		cmocka_unit_test(what_cannot_be_moved_back_is_known_too),
		cmocka_unit_test(what_moves_is_found_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
