// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of changes in several steps: how they are judged, which calls they come to and in which
 * order, when vCPUs are kept out, and how long what they name lives.
 */
#include "scene.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <gmem/access.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

/* Commits the steps as one change, after forgetting the calls made before. */
static int commit(struct scene *scene, const struct step *steps, size_t count)
{
	struct gmem_change *change;
	size_t i;
	int rc;

	assert_int_equal(gmem_change_new(scene->world.vm, &change), 0);
	for (i = 0; i < count; i++)
		assert_int_equal(world_add_step(change, &steps[i]), 0);
	fake_kvm_reset_calls(scene->world.fake);
	rc = gmem_change_commit(change);
	gmem_change_free(change);
	return rc;
}

#define COMMIT(scene, steps) commit(scene, steps, ARRAY_SIZE(steps))

static void end_changed(struct scene *scene)
{
	assert_kernel_agrees(&scene->world);
	picture_take(&scene->world, &scene->before);
	scene_close(scene);
}

static struct gmem_run section_at(struct scene *scene, uint64_t gpa)
{
	struct gmem_run run;

	assert_int_equal(gmem_vm_next_section(scene->world.vm, gpa, &run), 1);
	assert_int_equal(run.gpa, gpa);
	return run;
}

static void test_empty_change(void **unused)
{
	struct gmem_change *change;
	struct scene scene;

	scene_open(&scene);
	assert_int_equal(gmem_change_new(scene.world.vm, &change), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	assert_int_equal(fake_kvm_call_count(scene.world.fake), 0);
	assert_int_equal(scene.world.pauses, 0);
	scene_close(&scene);
}

/* Each step against the layout that those before it leave; what comes and goes makes no call. */
static void test_steps_are_judged_in_order(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct step come_and_go[] = {
			map(AT(0x500), scene.ram, 0, AT(8), AUTO, 0),
			set_flags(AT(0x500), AT(8), GMEM_MAP_READONLY),
			unmap(AT(0x500), AT(8)),
		};
		const struct step twice[] = {
			map(AT(0x500), scene.ram, 0, AT(8), AUTO, 0),
			map(AT(0x507), scene.ram, 0, AT(8), AUTO, 0),
		};
		const struct step slot_twice[] = {
			map(AT(0x500), scene.ram, 0, AT(8), 6, 0),
			alias(0, AT(0x600), scene.ram, 0, AT(8), 6, 0),
		};
		const struct step unmapped_twice[] = {
			unmap(AT(0x100), AT(8)),
			unmap(AT(0x100), AT(8)),
		};

		assert_int_equal(COMMIT(&scene, come_and_go), 0);
		assert_int_equal(fake_kvm_call_count(scene.world.fake), 0);
		expect_refusal(&scene.world, &scene.before, COMMIT(&scene, twice), -EEXIST,
			       "step 2", "overlaps");
		expect_refusal(&scene.world, &scene.before, COMMIT(&scene, slot_twice), -EEXIST,
			       "step 2", "memslot 6");
		expect_refusal(&scene.world, &scene.before, COMMIT(&scene, unmapped_twice), -ENOENT,
			       "step 2", "nothing is mapped");
		assert_int_equal(scene.world.pauses, 0);
	}
	scene_close(&scene);
}

/* What is taken away and mapped again as it was keeps its slot, and the kernel does not hear. */
static void test_unmap_and_map_again(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct step all[] = {
			unmap(0, AT(0x1000)),
			unmap_alias(1, 0, AT(0x1000)),
			alias(1, AT(0x100), scene.ram, 0, AT(8), AUTO, 0),
			alias(0, AT(0x400), scene.ram, 0, AT(4), AUTO, 0),
			map(AT(0x300), NULL, 0, AT(4), AUTO, 0),
			map(AT(0x200), scene.private, 0, AT(8), AUTO, 0),
			map(AT(0x110), scene.ram, AT(8), AT(8), 1, 0),
			map(AT(0x100), scene.ram, 0, AT(8), AUTO, 0),
		};
		const struct step one_more[] = {
			unmap(0, AT(0x300)),
			map(AT(0x100), scene.ram, 0, AT(8), AUTO, 0),
			map(AT(0x110), scene.ram, AT(8), AT(8), AUTO, 0),
			map(AT(0x200), scene.private, 0, AT(8), AUTO, 0),
			map(AT(0x208), scene.private, AT(8), AT(8), AUTO, 0),
		};
		const struct step with_flags[] = {
			unmap(AT(0x100), AT(8)),
			map(AT(0x100), scene.ram, 0, AT(8), AUTO, GMEM_MAP_DIRTY_LOG),
		};

		assert_int_equal(COMMIT(&scene, all), 0);
		assert_int_equal(fake_kvm_call_count(scene.world.fake), 0);
		assert_same_picture(&scene.world, &scene.before);
		assert_int_equal(COMMIT(&scene, one_more), 0);
		assert_int_equal(world_slot_calls(&scene.world), 1);
		assert_int_equal(world_slot_call(&scene.world, 0).gpa, AT(0x208));
		/* Other flags are changed in place, where they can be. */
		assert_int_equal(COMMIT(&scene, with_flags), 0);
		assert_int_equal(world_slot_calls(&scene.world), 1);
		assert_int_equal(world_slot_call(&scene.world, 0).flags,
				 GMEM_KVM_MEM_LOG_DIRTY_PAGES);
		assert_int_equal(section_at(&scene, AT(0x100)).slot, 0);
		assert_int_equal(scene.world.pauses, 0);
	}
	end_changed(&scene);
}

/* But for any difference that the kernel would see it is taken away and added. */
static void test_unmap_and_map_otherwise(void **unused)
{
	struct scene scene;
	size_t i;

	scene_open(&scene);
	{
		const struct step others[] = {
			map(AT(0x100), scene.ram, 0, AT(8), 6, 0),
			map(AT(0x100), scene.ram, AT(1), AT(8), AUTO, 0),
			map(AT(0x100), scene.ram, 0, AT(7), AUTO, 0),
			map(AT(0x100), scene.private, AT(8), AT(8), AUTO, 0),
			map(AT(0x101), scene.ram, 0, AT(7), AUTO, 0),
			map(AT(0x100), scene.ram, 0, AT(8), AUTO, GMEM_MAP_READONLY),
			alias(0, AT(0x100), scene.ram, 0, AT(8), AUTO, 0),
		};

		for (i = 0; i < ARRAY_SIZE(others); i++) {
			const struct step steps[] = { unmap(AT(0x100), AT(8)), others[i] };
			const struct step back[] = { unmap(AT(0x100), AT(8)),
						     map(AT(0x100), scene.ram, 0, AT(8), 0, 0) };

			assert_int_equal(COMMIT(&scene, steps), 0);
			assert_int_equal(world_slot_calls(&scene.world), 2);
			assert_int_equal(world_slot_call(&scene.world, 0).size, 0);
			assert_kernel_agrees(&scene.world);
			assert_int_equal(COMMIT(&scene, back), 0);
			assert_same_picture(&scene.world, &scene.before);
		}
	}
	scene_close(&scene);
}

static void test_removals_come_before_additions(void **unused)
{
	struct scene scene;
	size_t i;

	scene_open(&scene);
	{
		const struct step steps[] = {
			map(AT(0x500), scene.ram, AT(16), AT(8), AUTO, 0),
			set_flags(AT(0x110), AT(8), GMEM_MAP_DIRTY_LOG),
			unmap(AT(0x100), AT(8)),
			map(AT(0x600), scene.private, AT(8), AT(8), AUTO, 0),
			unmap(AT(0x400), AT(4)),
			map(AT(0x100), scene.ram, AT(24), AT(8), AUTO, 0),
			unmap_alias(1, AT(0x100), AT(8)),
		};
		const uint64_t sizes[] = { 0, 0, 0, AT(8), AT(8), AT(8), AT(8) };

		assert_int_equal(COMMIT(&scene, steps), 0);
		assert_int_equal(world_slot_calls(&scene.world), ARRAY_SIZE(sizes));
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			assert_int_equal(world_slot_call(&scene.world, i).size, sizes[i]);
		/* Flags change in between. */
		assert_int_equal(world_slot_call(&scene.world, 3).gpa, AT(0x110));
		assert_int_equal(scene.world.pauses, 1);
		assert_int_equal(scene.world.calls_at_pause, 0);
		assert_int_equal(scene.world.calls_at_resume, ARRAY_SIZE(sizes));
		assert_int_equal(scene.world.resumes, 1);
	}
	end_changed(&scene);
}

/* One memslot call leaves no gap that a guest could see. */
static void test_one_call_does_not_pause(void **unused)
{
	struct scene scene;
	size_t i;

	scene_open(&scene);
	{
		const struct step quick[] = {
			map(AT(0x500), scene.private, AT(16), AT(8), AUTO, 0),
			unmap(AT(0x500), AT(8)),
			set_flags(AT(0x100), AT(8), GMEM_MAP_DIRTY_LOG),
			alias(1, AT(0x500), scene.ram, 0, AT(8), AUTO, 0),
			unmap_alias(1, AT(0x500), AT(8)),
			map(AT(0x700), scene.ram, 0, AT(8), NONE, 0),
			map(AT(0x710), scene.ram, 0, AT(8), NONE, 0),
			unmap(AT(0x700), AT(0x18)),
		};
		const struct step slow[] = {
			unmap(AT(0x100), AT(0x18)),
			unmap_alias(1, AT(0x100), AT(8)),
		};

		for (i = 0; i < ARRAY_SIZE(quick); i++)
			assert_int_equal(world_do(&scene.world, &quick[i]), 0);
		assert_int_equal(scene.world.pauses, 0);
		assert_int_equal(world_do(&scene.world, &slow[0]), 0);
		assert_int_equal(scene.world.pauses, 1);
		assert_int_equal(world_do(&scene.world, &slow[1]), 0);
		assert_int_equal(scene.world.pauses, 1);
		assert_int_equal(scene.world.resumes, 1);
	}
	end_changed(&scene);
}

/* What readers find while vCPUs are kept out, and when they are let go. */
static int state_at_pause;
static int state_at_resume;

static void look_while_paused(struct world *world)
{
	state_at_pause = gmem_vm_get_state(world->vm, AT(0x500), AT(8));
}

static void look_when_resumed(struct world *world)
{
	state_at_resume = gmem_vm_get_state(world->vm, AT(0x500), AT(8));
}

/* A vCPU that goes on meets the new layout: in the kernel, and in whoever handles its exits. */
static void test_readers_see_it_before_vcpus_go_on(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	scene.world.while_paused = look_while_paused;
	scene.world.when_resumed = look_when_resumed;
	{
		const struct step steps[] = {
			unmap(AT(0x100), AT(8)),
			map(AT(0x500), scene.ram, 0, AT(8), AUTO, 0),
		};
		const struct step back[] = {
			unmap(AT(0x500), AT(8)),
			map(AT(0x100), scene.ram, 0, AT(8), AUTO, 0),
		};

		assert_int_equal(COMMIT(&scene, steps), 0);
		assert_int_equal(state_at_pause, GMEM_HOLE);
		assert_int_equal(state_at_resume, GMEM_SHARED);
		/* A failure shows nothing, and lets them go all the same. */
		scene.world.fail_mask = 2;
		scene.world.fail_error = EFAULT;
		assert_int_equal(COMMIT(&scene, back), -EIO);
		expect_one_message(scene.world.logs, GMEM_LOG_ERROR, "EFAULT");
		assert_int_equal(state_at_resume, GMEM_SHARED);
		assert_int_equal(scene.world.resumes, 2);
		assert_int_equal(scene.world.pauses, 2);
	}
	end_changed(&scene);
}

static void test_a_change_is_used_again(void **unused)
{
	struct gmem_change *change;
	struct scene scene;

	scene_open(&scene);
	assert_int_equal(gmem_change_new(scene.world.vm, &change), 0);
	assert_int_equal(gmem_change_map(change, AT(0x500), scene.ram, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	/* It is empty: the step is not done again. */
	assert_int_equal(gmem_change_commit(change), 0);
	assert_int_equal(gmem_change_unmap(change, AT(0x500), AT(8)), 0);
	assert_int_equal(gmem_change_map(change, AT(0x100), scene.ram, 0, AT(8), AUTO, 0), 0);
	/* Not empty: it can be tried again, when what was wrong is no longer. */
	assert_int_equal(gmem_change_commit(change), -EEXIST);
	expect_one_message(scene.world.logs, GMEM_LOG_ERROR, "step 2", "gpa 0x100000");
	assert_int_equal(gmem_vm_unmap(scene.world.vm, AT(0x100), AT(8)), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	assert_same_picture(&scene.world, &scene.before);
	gmem_change_free(change);
	scene_close(&scene);
}

/* Nothing is locked meanwhile: it is judged by what there is when it is committed. */
static void test_others_change_the_layout_meanwhile(void **unused)
{
	struct gmem_change *change, *other;
	struct scene scene;

	scene_open(&scene);
	assert_int_equal(gmem_change_new(scene.world.vm, &change), 0);
	assert_int_equal(gmem_change_new(scene.world.vm, &other), 0);
	assert_int_equal(gmem_change_map(change, AT(0x500), scene.ram, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_change_map(other, AT(0x504), scene.ram, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(scene.world.vm, AT(0x600), scene.ram, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_change_commit(other), 0);
	assert_int_equal(gmem_change_commit(change), -EEXIST);
	expect_one_message(scene.world.logs, GMEM_LOG_ERROR, "step 1", "overlaps", "0x504000");
	gmem_change_free(change);
	gmem_change_free(other);
	end_changed(&scene);
}

/* A region that only an uncommitted change names stays; forgotten, it goes. */
static void test_a_change_keeps_regions_alive(void **unused)
{
	struct gmem_change *change;
	struct gmem_region *region;
	unsigned int files;
	struct scene scene;
	int round;

	scene_open(&scene);
	files = fake_kvm_open_files(scene.world.fake);
	for (round = 0; round < 2; round++) {
		assert_int_equal(gmem_change_new(scene.world.vm, &change), 0);
		region = world_region(&scene.world, "passing", 8, GMEM_BACKING_SPLIT, GMEM_PRIVATE);
		assert_int_equal(gmem_change_map(change, AT(0x500), region, 0, AT(8), AUTO, 0), 0);
		gmem_region_free(region);
		assert_int_equal(fake_kvm_open_files(scene.world.fake), files + 1);
		if (round) {
			assert_int_equal(gmem_change_commit(change), 0);
			assert_kernel_agrees(&scene.world);
			gmem_change_free(change);
			assert_int_equal(fake_kvm_open_files(scene.world.fake), files + 1);
			assert_int_equal(gmem_vm_unmap(scene.world.vm, AT(0x500), AT(8)), 0);
		} else {
			gmem_change_free(change);
		}
		assert_int_equal(fake_kvm_open_files(scene.world.fake), files);
	}
	scene_close(&scene);
}

/* A region unmapped and mapped again by one change never goes in between. */
static void test_a_region_that_moves_stays(void **unused)
{
	struct gmem_region *region;
	unsigned int files;
	struct scene scene;

	scene_open(&scene);
	files = fake_kvm_open_files(scene.world.fake);
	region = world_region(&scene.world, "moving", 8, GMEM_BACKING_SPLIT, GMEM_PRIVATE);
	assert_int_equal(gmem_vm_map(scene.world.vm, AT(0x500), region, 0, AT(8), AUTO, 0), 0);
	{
		const struct step steps[] = {
			unmap(AT(0x500), AT(8)),
			map(AT(0x600), region, 0, AT(8), AUTO, 0),
		};

		gmem_region_free(region);
		assert_int_equal(COMMIT(&scene, steps), 0);
	}
	assert_int_equal(fake_kvm_open_files(scene.world.fake), files + 1);
	assert_kernel_agrees(&scene.world);
	assert_int_equal(gmem_vm_unmap(scene.world.vm, AT(0x600), AT(8)), 0);
	assert_int_equal(fake_kvm_open_files(scene.world.fake), files);
	scene_close(&scene);
}

static void test_a_change_outlives_its_vm(void **unused)
{
	struct gmem_change *change;
	struct gmem_region *region;
	struct world world;

	world_open(&world, &(struct world_config){ .kvm = &fake_kvm_in_place });
	region = world_region(&world, "ram0", 8, GMEM_BACKING_GUEST_MEMFD, 0);
	assert_int_equal(gmem_change_new(world.vm, &change), 0);
	assert_int_equal(gmem_change_map(change, 0, region, 0, world.page, AUTO, 0), 0);
	gmem_region_free(region);
	world_free_vm(&world);
	gmem_change_free(change);
	world_close(&world);
}

static void test_a_thousand_steps(void **unused)
{
	struct gmem_change *change;
	struct scene scene;
	uint64_t i;

	scene_open(&scene);
	assert_int_equal(gmem_change_new(scene.world.vm, &change), 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(gmem_change_map(change, AT(0x1000 + 2 * i),
						 i % 2 ? scene.ram : NULL, 0, AT(1), NONE, 0),
				 0);
	assert_int_equal(gmem_change_commit(change), 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(section_at(&scene, AT(0x1000 + 2 * i)).kind,
				 i % 2 ? GMEM_KIND_RAM : GMEM_KIND_RESERVED);
	assert_int_equal(gmem_change_unmap(change, AT(0x1000), AT(2000)), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	assert_same_picture(&scene.world, &scene.before);
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_change),
		cmocka_unit_test(test_steps_are_judged_in_order),
		cmocka_unit_test(test_unmap_and_map_again),
		cmocka_unit_test(test_unmap_and_map_otherwise),
		cmocka_unit_test(test_removals_come_before_additions),
		cmocka_unit_test(test_one_call_does_not_pause),
		cmocka_unit_test(test_readers_see_it_before_vcpus_go_on),
		cmocka_unit_test(test_a_change_is_used_again),
		cmocka_unit_test(test_others_change_the_layout_meanwhile),
		cmocka_unit_test(test_a_change_keeps_regions_alive),
		cmocka_unit_test(test_a_region_that_moves_stays),
		cmocka_unit_test(test_a_change_outlives_its_vm),
		cmocka_unit_test(test_a_thousand_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
