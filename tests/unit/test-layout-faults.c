// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Failures of the layout's functions that are not their arguments' fault: every memslot and
 * attribute call and every allocation of every kind of change fails in turn, callbacks refuse or
 * call back, and a child made by fork() tries its luck.
 */
#include "scene.h"

#include <errno.h>
#include <gmem/access.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define STEPS_MAX 6

/* Steps that are done at once: by their function when there is one, else by a change. */
struct scenario {
	struct step steps[STEPS_MAX];
	size_t count;
};

static struct scenario make_scenario(const struct scene *scene, size_t which)
{
	struct gmem_region *ram = scene->ram, *private = scene->private;
	const struct scenario scenarios[] = {
		{ { map(AT(0x500), ram, AT(16), AT(8), AUTO, 0) }, 1 },
		/* Three private runs, two shared ones. */
		{ { map(AT(0x500), private, AT(16), AT(16), AUTO, 0) }, 1 },
		{ { map(AT(0x500), private, AT(16), AT(16), NONE, 0) }, 1 },
		{ { alias(1, AT(0x500), ram, 0, AT(8), AUTO, GMEM_MAP_READONLY) }, 1 },
		{ { unmap(AT(0x100), AT(0x108)) }, 1 },
		{ { unmap(AT(0), AT(0x500)) }, 1 },
		{ { unmap_alias(1, AT(0x100), AT(8)) }, 1 },
		{ { set_flags(AT(0x100), AT(24), GMEM_MAP_DIRTY_LOG) }, 1 },
		{ { set_flags(AT(0x100), AT(24), GMEM_MAP_READONLY) }, 1 },
		/* Replaced, by itself at another place and by others at its place. */
		{ { unmap(AT(0x200), AT(8)), map(AT(0x600), private, 0, AT(8), AUTO, 0),
		    map(AT(0x200), ram, AT(16), AT(8), AUTO, 0), unmap(AT(0x300), AT(4)),
		    map(AT(0x300), ram, AT(24), AT(4), AUTO, GMEM_MAP_READONLY) },
		  5 },
		/* A plain slot that moves, and keeps its number. */
		{ { unmap(AT(0x100), AT(8)), map(AT(0x180), ram, 0, AT(8), AUTO, 0),
		    map(AT(0x700), private, AT(8), AT(8), AUTO, 0) },
		  3 },
		/* A slot where there was none. */
		{ { unmap(AT(0x300), AT(4)), map(AT(0x2ff), ram, AT(16), AT(8), AUTO, 0),
		    map(AT(0x700), private, AT(8), AT(8), AUTO, 0) },
		  3 },
		{ { set_flags(AT(0x100), AT(8), GMEM_MAP_DIRTY_LOG),
		    unmap_alias(1, AT(0x100), AT(8)),
		    alias(1, AT(0x101), ram, AT(1), AT(7), AUTO, 0),
		    unmap_alias(0, AT(0x400), AT(4)), map(AT(0x400), ram, AT(16), AT(4), 7, 0),
		    unmap(AT(0x110), AT(8)) },
		  6 },
	};

	if (which < ARRAY_SIZE(scenarios))
		return scenarios[which];
	return (struct scenario){ .count = 0 };
}

static int play(struct scene *scene, const struct scenario *scenario)
{
	struct gmem_change *change;
	size_t i;
	int rc;

	if (scenario->count == 1)
		return world_do(&scene->world, &scenario->steps[0]);
	assert_int_equal(gmem_change_new(scene->world.vm, &change), 0);
	for (i = 0; i < scenario->count; i++)
		assert_int_equal(world_add_step(change, &scenario->steps[i]), 0);
	rc = gmem_change_commit(change);
	gmem_change_free(change);
	return rc;
}

/* The scene is open, and set up as scenarios expect it; false after the last of them. */
static bool begin(struct scene *scene, size_t which, struct scenario *scenario)
{
	scene_open(scene);
	world_set_private(scene->private, 18, 2, false);
	world_set_private(scene->private, 25, 3, false);
	*scenario = make_scenario(scene, which);
	if (scenario->count)
		return true;
	scene_close(scene);
	return false;
}

/* After a success the scene is another one. */
static void end_changed(struct scene *scene)
{
	picture_take(&scene->world, &scene->before);
	scene_close(scene);
}

/* How many ioctls a scenario makes when all goes well, and no other call; 0 after the last. */
static uint64_t count_calls(size_t which)
{
	struct scenario scenario;
	struct scene scene;
	uint64_t calls;

	if (!begin(&scene, which, &scenario))
		return 0;
	assert_int_equal(play(&scene, &scenario), 0);
	assert_kernel_agrees(&scene.world);
	calls = fake_kvm_count(scene.world.fake, GMEM_SYS_IOCTL);
	assert_true(calls > 0 && calls < 32);
	assert_int_equal(fake_kvm_call_count(scene.world.fake), calls);
	end_changed(&scene);
	return calls;
}

/* What a failed ioctl comes to; attributes know no EEXIST. */
static bool is_right_error(int result, int error)
{
	if (error == ENOMEM)
		return result == -ENOMEM;
	return result == -EIO || (error == EEXIST && result == -EEXIST);
}

static void fail_one_call(size_t which, uint64_t call, int error, const char *name)
{
	struct scenario scenario;
	struct scene scene;
	int rc;

	assert_true(begin(&scene, which, &scenario));
	faults_fail(scene.world.faults, GMEM_SYS_IOCTL, FAULTS_ANY, call, error);
	rc = play(&scene, &scenario);
	assert_int_equal(faults_failed(scene.world.faults), 1);
	if (!is_right_error(rc, error))
		fail_msg("scenario %zu, call %llu, %s: result %d", which, (unsigned long long)call,
			 name, rc);
	expect_one_message(scene.world.logs, GMEM_LOG_ERROR, "VM descriptor", "gpa 0x", name);
	assert_same_picture(&scene.world, &scene.before);
	assert_kernel_agrees(&scene.world);
	assert_int_equal(scene.world.pauses, scene.world.resumes);
	/* Nothing is in the way of trying again. */
	faults_off(scene.world.faults);
	assert_int_equal(play(&scene, &scenario), 0);
	assert_kernel_agrees(&scene.world);
	end_changed(&scene);
}

static void test_every_call_fails(void **unused)
{
	static const struct {
		int error;
		const char *name;
	} errors[] = {
		{ EINVAL, "EINVAL" }, { EEXIST, "EEXIST" }, { ENOMEM, "ENOMEM" },
		{ EFAULT, "EFAULT" }, { EBUSY, "EBUSY" },   { EIO, "EIO" },
		{ EBADF, "EBADF" },   { ENOTTY, "ENOTTY" },
	};
	uint64_t calls, call;
	size_t which, i;

	for (which = 0; (calls = count_calls(which)); which++) {
		for (call = 1; call <= calls; call++) {
			for (i = 0; i < ARRAY_SIZE(errors); i++)
				fail_one_call(which, call, errors[i].error, errors[i].name);
		}
	}
}

/* A signal is no failure. */
static void test_every_call_is_interrupted(void **unused)
{
	struct scenario scenario;
	struct scene scene;
	uint64_t calls, call;
	size_t which;

	for (which = 0; (calls = count_calls(which)); which++) {
		for (call = 1; call <= calls; call++) {
			assert_true(begin(&scene, which, &scenario));
			faults_fail(scene.world.faults, GMEM_SYS_IOCTL, FAULTS_ANY, call, EINTR);
			assert_int_equal(play(&scene, &scenario), 0);
			assert_int_equal(faults_failed(scene.world.faults), 1);
			assert_kernel_agrees(&scene.world);
			end_changed(&scene);
		}
	}
}

/* The layout is what the kernel has, whatever it is, and can be worked with. */
static void check_what_is_left(struct scene *scene, int rc)
{
	struct world *world = &scene->world;
	struct gmem_run run;

	assert_int_equal(rc, -EIO);
	assert_true(logs_count(world->logs) > 0);
	logs_reset(world->logs);
	world->fail_mask = 0;
	assert_sections_agree(world);
	assert_int_equal(world->pauses, world->resumes);
	while (gmem_vm_next_section(world->vm, 0, &run) == 1)
		assert_int_equal(gmem_vm_unmap(world->vm, run.gpa, run.size), 0);
	if (gmem_vm_unmap_alias(world->vm, 1, 0, AT(0x1000)))
		logs_reset(world->logs);
	assert_int_equal(fake_kvm_slot_count(world->fake, world->vm_fd), 0);
}

/* attributes: some of the failed calls may be about attributes, and then some may stay behind. */
static void fail_by_mask(size_t which, uint64_t mask, bool attributes)
{
	struct scenario scenario;
	struct scene scene;
	int rc;

	assert_true(begin(&scene, which, &scenario));
	scene.world.fail_mask = mask;
	scene.world.fail_error = EFAULT;
	rc = play(&scene, &scenario);
	if (!attributes)
		assert_kernel_agrees(&scene.world);
	check_what_is_left(&scene, rc);
	picture_take(&scene.world, &scene.before);
	gmem_region_free(scene.ram);
	gmem_region_free(scene.private);
	world_close(&scene.world);
}

static bool has_attribute_calls(size_t which)
{
	struct scenario scenario;
	struct scene scene;
	bool has;

	assert_true(begin(&scene, which, &scenario));
	assert_int_equal(play(&scene, &scenario), 0);
	has = world_attribute_calls(&scene.world) > 0;
	end_changed(&scene);
	return has;
}

/* A call fails, and one of those that take back what was done. */
static void test_undoing_fails_too(void **unused)
{
	uint64_t calls, call, second;
	size_t which;

	for (which = 0; (calls = count_calls(which)); which++) {
		bool attributes = has_attribute_calls(which);

		for (call = 0; call < calls; call++) {
			for (second = call + 1; second < call + 12; second++)
				fail_by_mask(which, UINT64_C(1) << call | UINT64_C(1) << second,
					     attributes);
			/* And all of them. */
			fail_by_mask(which, UINT64_MAX << call, attributes);
		}
	}
}

/* The scenario at once, or the change that was prepared for it, while an allocation fails. */
static int play_without_memory(struct scene *scene, const struct scenario *scenario,
			       struct gmem_change *change, uint64_t nth, uint64_t *count)
{
	int rc;

	allocations_fail(nth);
	rc = scenario->count == 1 ? world_do(&scene->world, &scenario->steps[0])
				  : gmem_change_commit(change);
	*count = allocations_off();
	return rc;
}

/* Of the functions that do a step at once, and of gmem_change_commit(). */
static void layout_functions_ENOMEM(void **unused)
{
	struct gmem_change *change;
	struct scenario scenario;
	uint64_t count, nth;
	struct scene scene;
	size_t which, i;
	int rc;

	for (which = 0; begin(&scene, which, &scenario); which++) {
		assert_int_equal(gmem_change_new(scene.world.vm, &change), 0);
		for (i = 0; i < scenario.count; i++)
			assert_int_equal(world_add_step(change, &scenario.steps[i]), 0);
		for (nth = 1;; nth++) {
			rc = play_without_memory(&scene, &scenario, change, nth, &count);
			if (nth > count)
				break;
			expect_refusal(&scene.world, &scene.before, rc, -ENOMEM, "VM descriptor",
				       "no memory");
			assert_int_equal(fake_kvm_call_count(scene.world.fake), 0);
		}
		assert_int_equal(rc, 0);
		assert_true(nth > 1);
		assert_kernel_agrees(&scene.world);
		gmem_change_free(change);
		end_changed(&scene);
	}
}

static void gmem_change_new_ENOMEM(void **unused)
{
	struct gmem_change *change = (void *)&change;
	struct scene scene;
	int rc;

	scene_open(&scene);
	allocations_fail(1);
	rc = gmem_change_new(scene.world.vm, &change);
	allocations_off();
	expect_refusal(&scene.world, &scene.before, rc, -ENOMEM, "gmem_change_new", "no memory");
	assert_null(change);
	scene_close(&scene);
}

/* The first step of a change, and those for which it must grow. */
static void check_steps_without_memory(struct scene *scene, const char *function,
				       const struct step *step)
{
	unsigned int references = scene->ram->references, done, failures = 0;
	struct gmem_change *change;
	char number[32];
	int rc;

	assert_int_equal(gmem_change_new(scene->world.vm, &change), 0);
	for (done = 0; done < 20; done++) {
		allocations_fail(1);
		rc = world_add_step(change, step);
		if (!allocations_off()) {
			assert_int_equal(rc, 0);
			continue;
		}
		snprintf(number, sizeof(number), "step %u", done + 1);
		expect_refusal(&scene->world, &scene->before, rc, -ENOMEM, function, "no memory",
			       number);
		failures++;
		assert_int_equal(world_add_step(change, step), 0);
	}
	assert_true(failures > 1);
	gmem_change_free(change);
	assert_int_equal(scene->ram->references, references);
}

static void gmem_change_map_ENOMEM(void **unused)
{
	struct scene scene;
	struct step step;

	scene_open(&scene);
	step = map(AT(0x500), scene.ram, 0, AT(1), AUTO, 0);
	check_steps_without_memory(&scene, "gmem_change_map:", &step);
	step = alias(1, AT(9), scene.ram, 0, AT(1), AUTO, 0);
	check_steps_without_memory(&scene, "gmem_change_map_alias:", &step);
	step = unmap(AT(0x100), AT(8));
	check_steps_without_memory(&scene, "gmem_change_unmap:", &step);
	step = unmap_alias(1, AT(0x100), AT(8));
	check_steps_without_memory(&scene, "gmem_change_unmap_alias:", &step);
	step = set_flags(AT(0x100), AT(8), 0);
	check_steps_without_memory(&scene, "gmem_change_set_map_flags:", &step);
	scene_close(&scene);
}

/* A step that takes several memslot calls, of each kind. */
static struct step slow_step(enum step_kind kind)
{
	switch (kind) {
	case STEP_UNMAP:
		return unmap(AT(0x100), AT(0x108));
	case STEP_UNMAP_ALIAS:
		return unmap_alias(1, 0, AT(0x1000));
	default:
		return set_flags(AT(0x100), AT(24), GMEM_MAP_READONLY);
	}
}

static void open_scene_for_slow_steps(struct scene *scene)
{
	scene_open(scene);
	assert_int_equal(
		gmem_vm_map_alias(scene->world.vm, 1, AT(0x200), scene->ram, 0, AT(8), AUTO, 0), 0);
	fake_kvm_reset_calls(scene->world.fake);
	picture_take(&scene->world, &scene->before);
}

static void check_canceled(enum step_kind kind, bool in_change)
{
	struct scenario scenario = { { slow_step(kind), map(AT(0x900), NULL, 0, AT(1), AUTO, 0) },
				     in_change ? 2 : 1 };
	struct scene scene;

	open_scene_for_slow_steps(&scene);
	scene.world.pause_result = -EBUSY;
	expect_refusal(&scene.world, &scene.before, play(&scene, &scenario), -ECANCELED,
		       "VM descriptor", "pause callback", "EBUSY");
	assert_int_equal(scene.world.pauses, 1);
	assert_int_equal(scene.world.resumes, 0);
	assert_int_equal(fake_kvm_call_count(scene.world.fake), 0);
	scene.world.pause_result = 0;
	assert_int_equal(play(&scene, &scenario), 0);
	assert_int_equal(scene.world.pauses, 2);
	assert_int_equal(scene.world.resumes, 1);
	scene.world.pauses = scene.world.resumes;
	end_changed(&scene);
}

static void gmem_vm_unmap_ECANCELED(void **unused)
{
	check_canceled(STEP_UNMAP, false);
}

static void gmem_vm_unmap_alias_ECANCELED(void **unused)
{
	check_canceled(STEP_UNMAP_ALIAS, false);
}

static void gmem_vm_set_map_flags_ECANCELED(void **unused)
{
	check_canceled(STEP_SET_FLAGS, false);
}

static void gmem_change_commit_ECANCELED(void **unused)
{
	check_canceled(STEP_UNMAP, true);
}

/* What a pause callback tries, and the scene it is in. */
static struct scene *paused_scene;
static struct gmem_change *paused_change;

static void expect_deadlock(struct world *world, int result, const char *function)
{
	assert_int_equal(result, -EDEADLK);
	expect_one_message(world->logs, GMEM_LOG_ERROR, function, "VM descriptor", "callback");
	assert_same_picture(world, &paused_scene->before);
}

static void change_while_paused(struct world *world)
{
	struct gmem_region *ram = paused_scene->ram;
	const struct step steps[] = {
		map(AT(0x900), ram, 0, AT(1), AUTO, 0),
		alias(1, AT(0x900), ram, 0, AT(1), AUTO, 0),
		unmap(AT(0x100), AT(8)),
		unmap_alias(1, AT(0x100), AT(8)),
		set_flags(AT(0x100), AT(8), 0),
	};
	struct gmem_region *region;
	struct gmem_change *change;
	void *host;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(steps); i++)
		expect_deadlock(world, world_do(world, &steps[i]), world_function(steps[i].kind));
	expect_deadlock(world, gmem_change_commit(paused_change), "gmem_change_commit");
	/* What changes no layout works. The comparison of pictures asks all the rest. */
	assert_int_equal(gmem_vm_translate(world->vm, AT(0x100), AT(8), 0, &host), 0);
	assert_ptr_equal(host, world_region_info(ram).host);
	assert_int_equal(gmem_vm_get_state(world->vm, AT(0x200), AT(8)),
			 GMEM_SHARED | GMEM_PRIVATE);
	assert_int_equal(gmem_change_new(world->vm, &change), 0);
	assert_int_equal(world_add_step(change, &steps[0]), 0);
	gmem_change_free(change);
	region = world_region(world, "made while paused", 4, GMEM_BACKING_PLAIN, 0);
	gmem_region_free(region);
	logs_reset(world->logs);
}

/* All functions that change the layout, called back from all that pause. */
static void layout_functions_EDEADLK(void **unused)
{
	struct scene scene;
	size_t kind;

	for (kind = STEP_UNMAP; kind <= STEP_SET_FLAGS; kind++) {
		const struct step step = slow_step((enum step_kind)kind);

		open_scene_for_slow_steps(&scene);
		paused_scene = &scene;
		assert_int_equal(gmem_change_new(scene.world.vm, &paused_change), 0);
		assert_int_equal(gmem_change_unmap(paused_change, AT(0x400), AT(4)), 0);
		scene.world.while_paused = change_while_paused;
		assert_int_equal(world_do(&scene.world, &step), 0);
		assert_int_equal(scene.world.pauses, 1);
		assert_int_equal(scene.world.resumes, 1);
		/* Afterwards it is as it was. */
		scene.world.while_paused = NULL;
		assert_int_equal(gmem_change_commit(paused_change), 0);
		gmem_change_free(paused_change);
		assert_kernel_agrees(&scene.world);
		end_changed(&scene);
	}
}

/* In a child made by fork(). */
static int child_map(void *opaque)
{
	struct scene *scene = opaque;

	return gmem_vm_map(scene->world.vm, AT(0x900), scene->ram, 0, AT(1), AUTO, 0);
}

static int child_map_alias(void *opaque)
{
	struct scene *scene = opaque;

	return gmem_vm_map_alias(scene->world.vm, 1, AT(0x900), scene->ram, 0, AT(1), AUTO, 0);
}

static int child_unmap(void *opaque)
{
	return gmem_vm_unmap(((struct scene *)opaque)->world.vm, AT(0x100), AT(8));
}

static int child_unmap_alias(void *opaque)
{
	return gmem_vm_unmap_alias(((struct scene *)opaque)->world.vm, 1, AT(0x100), AT(8));
}

static int child_set_map_flags(void *opaque)
{
	return gmem_vm_set_map_flags(((struct scene *)opaque)->world.vm, AT(0x100), AT(8), 0);
}

static int child_next_section(void *opaque)
{
	static const struct gmem_run zeros;
	struct gmem_run run;
	int rc;

	memset(&run, 1, sizeof(run));
	rc = gmem_vm_next_section(((struct scene *)opaque)->world.vm, 0, &run);
	return memcmp(&run, &zeros, sizeof(run)) == 0 ? rc : 1;
}

static int child_change_new(void *opaque)
{
	struct scene *scene = opaque;
	struct gmem_change *change = (struct gmem_change *)&scene;
	int rc = gmem_change_new(scene->world.vm, &change);

	return change ? 1 : rc;
}

static int child_change_commit(void *opaque)
{
	return gmem_change_commit(paused_change);
}

static void layout_functions_EIO_in_a_child(void **unused)
{
	static const struct forked_call calls[] = {
		{ "gmem_vm_map:", child_map },
		{ "gmem_vm_map_alias:", child_map_alias },
		{ "gmem_vm_unmap:", child_unmap },
		{ "gmem_vm_unmap_alias:", child_unmap_alias },
		{ "gmem_vm_set_map_flags:", child_set_map_flags },
		{ "gmem_vm_next_section:", child_next_section },
		{ "gmem_change_new:", child_change_new },
		{ "gmem_change_commit:", child_change_commit },
	};
	struct scene scene;

	scene_open(&scene);
	assert_int_equal(gmem_change_new(scene.world.vm, &paused_change), 0);
	assert_int_equal(gmem_change_unmap(paused_change, AT(0x400), AT(4)), 0);
	expect_eio_in_child(&scene.world, calls, ARRAY_SIZE(calls), &scene);
	gmem_change_free(paused_change);
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_fails),
		cmocka_unit_test(test_every_call_is_interrupted),
		cmocka_unit_test(test_undoing_fails_too),
		cmocka_unit_test(layout_functions_ENOMEM),
		cmocka_unit_test(gmem_change_new_ENOMEM),
		cmocka_unit_test(gmem_change_map_ENOMEM),
		cmocka_unit_test(gmem_vm_unmap_ECANCELED),
		cmocka_unit_test(gmem_vm_unmap_alias_ECANCELED),
		cmocka_unit_test(gmem_vm_set_map_flags_ECANCELED),
		cmocka_unit_test(gmem_change_commit_ECANCELED),
		cmocka_unit_test(layout_functions_EDEADLK),
		cmocka_unit_test(layout_functions_EIO_in_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
