// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of single steps on a list of sections: what comes of it, which slot is chosen, and that a
 * step that is refused leaves the list as it was. No call reaches the kernel.
 */
#include "scene.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

struct fixture {
	struct scene scene;
	const struct section_list *before;
	struct section_list next;
};

static void open_fixture(struct fixture *fixture)
{
	scene_open(&fixture->scene);
	fixture->before = &fixture->scene.world.vm->layout->sections;
	assert_int_equal(gmem_section_list_copy(&fixture->next, fixture->before, 20), 0);
}

static void close_fixture(struct fixture *fixture)
{
	gmem_section_list_free(&fixture->next);
	assert_int_equal(fake_kvm_call_count(fixture->scene.world.fake), 0);
	scene_close(&fixture->scene);
}

static int edit(struct fixture *fixture, struct step step)
{
	return gmem_layout_edit(fixture->scene.world.vm, fixture->before, &fixture->next, &step, 0);
}

static const struct section *section_at(const struct fixture *fixture, uint32_t space, uint64_t gpa)
{
	uint32_t i = gmem_section_list_find(&fixture->next, space, gpa);

	assert_true(i < fixture->next.count);
	assert_int_equal(fixture->next.items[i].gpa, gpa);
	assert_int_equal(fixture->next.items[i].address_space, space);
	return &fixture->next.items[i];
}

static void test_refused_steps_change_nothing(void **unused)
{
	struct fixture fixture;
	struct section_list copy;
	size_t i, k;

	open_fixture(&fixture);
	assert_int_equal(gmem_section_list_copy(&copy, &fixture.next, 0), 0);
	{
		struct gmem_region *ram = fixture.scene.ram, *private = fixture.scene.private;
		const struct step steps[] = {
			map(AT(0x106), ram, 0, AT(4), AUTO, 0),
			map(AT(0x500), private, AT(7), AT(4), AUTO, 0),
			map(AT(0x500), ram, 0, AT(4), 1, 0),
			map(AT(0x500), private, AT(8), AT(4), AUTO, GMEM_MAP_READONLY),
			alias(0, AT(0x500), private, AT(8), AT(4), AUTO, 0),
			/* The first of several sections is fine, the last is not. */
			unmap(AT(0x100), AT(0x104)),
			unmap_alias(0, AT(0x100), AT(0x301)),
			set_flags(AT(0x100), AT(0x204), GMEM_MAP_DEVICE),
			set_flags(AT(0x100), AT(0x108), GMEM_MAP_DIRTY_LOG),
			unmap(AT(0x900), AT(1)),
		};

		for (i = 0; i < ARRAY_SIZE(steps); i++) {
			assert_true(edit(&fixture, steps[i]) < 0);
			expect_one_message(fixture.scene.world.logs, GMEM_LOG_ERROR,
					   "VM descriptor", "gpa 0x");
			assert_int_equal(fixture.next.count, copy.count);
			for (k = 0; k < copy.count; k++)
				assert_true(
					world_same_section(&fixture.next.items[k], &copy.items[k]));
		}
	}
	gmem_section_list_free(&copy);
	close_fixture(&fixture);
}

static void test_messages_name_the_step(void **unused)
{
	static const struct {
		enum step_kind kind;
		const char *text;
	} kinds[] = {
		{ STEP_MAP, "step 7, map gpa 0x1," },
		{ STEP_MAP_ALIAS, "step 7, map alias gpa 0x1," },
		{ STEP_UNMAP, "step 7, unmap gpa 0x1," },
		{ STEP_UNMAP_ALIAS, "step 7, unmap alias gpa 0x1," },
		{ STEP_SET_FLAGS, "step 7, set flags gpa 0x1," },
	};
	struct fixture fixture;
	size_t i;

	open_fixture(&fixture);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct step step = { .kind = kinds[i].kind, .gpa = 1, .size = AT(1) };

		assert_int_equal(gmem_layout_edit(fixture.scene.world.vm, fixture.before,
						  &fixture.next, &step, 7),
				 -EINVAL);
		expect_one_message(fixture.scene.world.logs, GMEM_LOG_ERROR, kinds[i].text);
		assert_int_equal(edit(&fixture, step), -EINVAL);
		expect_one_message(fixture.scene.world.logs, GMEM_LOG_ERROR, kinds[i].text + 8);
	}
	close_fixture(&fixture);
}

/* Whose slot has a guest_memfd. */
static void test_plain_sections(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture);
	assert_false(section_at(&fixture, 0, AT(0x200))->plain);
	assert_true(section_at(&fixture, 0, AT(0x100))->plain);
	assert_true(section_at(&fixture, 0, AT(0x400))->plain);
	assert_true(section_at(&fixture, 0, AT(0x300))->plain);
	/* A device's memory may be a guest_memfd. */
	assert_int_equal(edit(&fixture, set_flags(AT(0x200), AT(8), GMEM_MAP_DEVICE)), 0);
	assert_false(section_at(&fixture, 0, AT(0x200))->plain);
	/* An alias stays one, whatever its other flags. */
	assert_int_equal(edit(&fixture, set_flags(AT(0x400), AT(4), GMEM_MAP_READONLY)), 0);
	assert_int_equal(section_at(&fixture, 0, AT(0x400))->flags,
			 GMEM_MAP_ALIAS | GMEM_MAP_READONLY);
	close_fixture(&fixture);
}

static uint32_t slot_of_new(struct fixture *fixture, uint64_t gpa, uint32_t slot)
{
	assert_int_equal(edit(fixture, map(gpa, fixture->scene.ram, 0, AT(1), slot, 0)), 0);
	return section_at(fixture, 0, gpa)->slot;
}

/* The scene has slots 0 to 3 of address space 0, and 8 are free to choose. */
static void test_lowest_free_slot(void **unused)
{
	struct fixture fixture;

	open_fixture(&fixture);
	assert_int_equal(slot_of_new(&fixture, AT(1), AUTO), 4);
	assert_int_equal(slot_of_new(&fixture, AT(2), 6), 6);
	assert_int_equal(slot_of_new(&fixture, AT(3), AUTO), 5);
	assert_int_equal(slot_of_new(&fixture, AT(4), AUTO), 7);
	assert_int_equal(slot_of_new(&fixture, AT(5), NONE), NONE);
	assert_int_equal(edit(&fixture, map(AT(6), fixture.scene.ram, 0, AT(1), AUTO, 0)), -ENOSPC);
	expect_one_message(fixture.scene.world.logs, GMEM_LOG_ERROR, "memslots 0 to 7");
	/* Not those of the range alone: the caller's own may lie above it. */
	assert_int_equal(slot_of_new(&fixture, AT(6), 63), 63);
	assert_int_equal(edit(&fixture, unmap(AT(0x110), AT(8))), 0);
	assert_int_equal(slot_of_new(&fixture, AT(7), AUTO), 1);
	/* Each address space has numbers of its own. */
	assert_int_equal(edit(&fixture, alias(1, AT(0x500), fixture.scene.ram, 0, AT(1), AUTO, 0)),
			 0);
	assert_int_equal(section_at(&fixture, 1, AT(0x500))->slot, 1);
	close_fixture(&fixture);
}

static void test_slot_of_what_was_there_before(void **unused)
{
	struct gmem_region *ram;
	struct fixture fixture;

	open_fixture(&fixture);
	ram = fixture.scene.ram;
	assert_int_equal(edit(&fixture, unmap(AT(0x100), AT(0x304))), 0);
	/* The same section: the slot that it had, though lower ones are free. */
	assert_int_equal(edit(&fixture, alias(0, AT(0x400), ram, 0, AT(4), AUTO, 0)), 0);
	assert_int_equal(section_at(&fixture, 0, AT(0x400))->slot, 3);
	assert_int_equal(
		edit(&fixture, map(AT(0x110), ram, AT(8), AT(8), AUTO, GMEM_MAP_DIRTY_LOG)), 0);
	assert_int_equal(section_at(&fixture, 0, AT(0x110))->slot, 1);
	/* Another one there takes the lowest; and what was there finds its own taken. */
	assert_int_equal(edit(&fixture, map(AT(0x120), ram, 0, AT(8), AUTO, 0)), 0);
	assert_int_equal(section_at(&fixture, 0, AT(0x120))->slot, 0);
	assert_int_equal(edit(&fixture, map(AT(0x100), ram, 0, AT(8), AUTO, 0)), 0);
	assert_int_equal(section_at(&fixture, 0, AT(0x100))->slot, 2);
	/* A number of the caller's choice is what he gets. */
	assert_int_equal(edit(&fixture, map(AT(0x200), fixture.scene.private, 0, AT(8), 5, 0)), 0);
	assert_int_equal(section_at(&fixture, 0, AT(0x200))->slot, 5);
	close_fixture(&fixture);
}

static void test_the_most_sections(void **unused)
{
	struct section reserved = { .size = AT(1), .slot = NONE, .plain = true };
	struct fixture fixture;
	uint64_t i;

	open_fixture(&fixture);
	assert_int_equal(gmem_section_list_reserve(&fixture.next, GMEM_SECTIONS_MAX), 0);
	for (i = fixture.next.count; i < GMEM_SECTIONS_MAX - 1; i++) {
		reserved.gpa = AT(0x1000 + i);
		gmem_section_list_insert(&fixture.next, &reserved);
	}
	assert_int_equal(edit(&fixture, map(AT(1), NULL, 0, AT(1), AUTO, 0)), 0);
	assert_int_equal(fixture.next.count, GMEM_SECTIONS_MAX);
	assert_int_equal(edit(&fixture, map(AT(2), NULL, 0, AT(1), AUTO, 0)), -ENOSPC);
	expect_one_message(fixture.scene.world.logs, GMEM_LOG_ERROR, "gpa 0x2000",
			   "65536 sections");
	/* Those of other address spaces count as well. */
	assert_int_equal(edit(&fixture, alias(1, 0, fixture.scene.ram, 0, AT(1), AUTO, 0)),
			 -ENOSPC);
	expect_one_message(fixture.scene.world.logs, GMEM_LOG_ERROR, "65536 sections");
	assert_int_equal(fixture.next.count, GMEM_SECTIONS_MAX);
	assert_int_equal(edit(&fixture, unmap(AT(1), AT(1))), 0);
	assert_int_equal(edit(&fixture, alias(1, 0, fixture.scene.ram, 0, AT(1), AUTO, 0)), 0);
	close_fixture(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_steps_change_nothing),
		cmocka_unit_test(test_messages_name_the_step),
		cmocka_unit_test(test_plain_sections),
		cmocka_unit_test(test_lowest_free_slot),
		cmocka_unit_test(test_slot_of_what_was_there_before),
		cmocka_unit_test(test_the_most_sections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
