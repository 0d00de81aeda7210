// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of layout changes among pins and other operations: what waits, for how long, what does
 * not, and what is refused from inside callbacks. The clock is the test's.
 */
#include "guest.h"

#include <errno.h>
#include <gmem/access.h>
#include <gmem/convert.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define MS UINT64_C(1000000)

struct pinned {
	struct guest guest;
	struct gmem_pin pin; /* of the middle of "ram", at 0x14 */
};

static void open_pinned(struct pinned *pinned, uint64_t deadline_ns)
{
	const struct world_config config = { .retry = guest_retry,
					     .deadline_ns = deadline_ns,
					     .pausing = true };

	guest_open(&pinned->guest, &fake_kvm_linux_6_18_sw, &config);
	pinned->guest.own_clock = true;
	assert_int_equal(gmem_vm_pin(pinned->guest.vm, AT(0x14) + 9, 1, 0, &pinned->pin), 0);
}

static void close_pinned(struct pinned *pinned)
{
	gmem_vm_unpin(pinned->guest.vm, &pinned->pin);
	guest_close(&pinned->guest);
}

/* Refused for the pin's sake, and all is as it was. */
static void expect_pinned_refusal(struct pinned *pinned, int rc, const struct picture *before)
{
	assert_int_equal(rc, -EAGAIN);
	expect_one_message(pinned->guest.world.logs, GMEM_LOG_ERROR, "gpa 0x14000",
			   "gmem_vm_pin() holds it", "unpin it");
	assert_same_picture(&pinned->guest.world, before);
	assert_int_equal(pinned->guest.vm->claims.waiting, 0);
	assert_null(pinned->guest.vm->claims.oldest);
}

static void gmem_vm_unmap_EAGAIN_at_the_deadline(void **unused)
{
	struct picture before;
	struct pinned pinned;
	uint64_t start;

	open_pinned(&pinned, 50 * MS);
	picture_take(&pinned.guest.world, &before);
	start = pinned.guest.now;
	expect_pinned_refusal(&pinned, gmem_vm_unmap(pinned.guest.vm, AT(0x10), AT(8)), &before);
	assert_int_equal(pinned.guest.now - start, 50 * MS);
	assert_true(pinned.guest.asked > 50);
	assert_int_equal(pinned.guest.world.pauses, 0);
	close_pinned(&pinned);
}

static void gmem_vm_unmap_EAGAIN_with_a_deadline_of_0(void **unused)
{
	struct picture before;
	struct pinned pinned;

	open_pinned(&pinned, 0);
	picture_take(&pinned.guest.world, &before);
	expect_pinned_refusal(&pinned, gmem_vm_unmap(pinned.guest.vm, AT(0x10), AT(8)), &before);
	assert_int_equal(pinned.guest.asked, 0);
	assert_int_equal(pinned.guest.naps, 0);
	close_pinned(&pinned);
}

static int answer_with(struct guest *guest, const struct gmem_report *so_far)
{
	static const int answers[] = { GMEM_RETRY_AGAIN, GMEM_RETRY_AGAIN, GMEM_RETRY_STOP,
				       GMEM_RETRY_LATER, GMEM_RETRY_SKIP,  77 };

	assert_int_equal(so_far->gpa, AT(0x14));
	assert_int_equal(so_far->size, AT(1));
	assert_int_equal(so_far->stage, GMEM_STAGE_PREPARE);
	return answers[guest->asked - 1];
}

static void gmem_vm_unmap_EAGAIN_when_the_callback_says_so(void **unused)
{
	struct picture before;
	struct pinned pinned;
	unsigned int i;

	open_pinned(&pinned, UINT64_MAX);
	picture_take(&pinned.guest.world, &before);
	pinned.guest.retry = answer_with;
	for (i = 3; i <= 6; i++) {
		expect_pinned_refusal(&pinned, gmem_vm_unmap(pinned.guest.vm, AT(0x10), AT(8)),
				      &before);
		assert_int_equal(pinned.guest.asked, i);
	}
	close_pinned(&pinned);
}

static void gmem_change_commit_EAGAIN(void **unused)
{
	struct gmem_change *change;
	struct picture before;
	struct pinned pinned;

	open_pinned(&pinned, MS);
	picture_take(&pinned.guest.world, &before);
	assert_int_equal(gmem_change_new(pinned.guest.vm, &change), 0);
	assert_int_equal(gmem_change_map(change, AT(0x100), pinned.guest.other, 0, AT(8), AUTO, 0),
			 0);
	assert_int_equal(gmem_change_unmap(change, AT(0x20), AT(8)), 0);
	assert_int_equal(gmem_change_unmap(change, AT(0x10), AT(16)), 0);
	expect_pinned_refusal(&pinned, gmem_change_commit(change), &before);
	/* It is as it was, and can be tried again. */
	gmem_vm_unpin(pinned.guest.vm, &pinned.pin);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	close_pinned(&pinned);
}

static struct gmem_pin *pin_to_release;

static int release_at_the_third(struct guest *guest, const struct gmem_report *so_far)
{
	if (guest->asked == 3)
		gmem_vm_unpin(guest->vm, pin_to_release);
	return GMEM_RETRY_AGAIN;
}

static void unmapping_goes_on_when_the_pin_is_gone(void **unused)
{
	struct pinned pinned;

	open_pinned(&pinned, UINT64_MAX);
	pin_to_release = &pinned.pin;
	pinned.guest.retry = release_at_the_third;
	assert_int_equal(gmem_vm_unmap(pinned.guest.vm, AT(0x10), AT(8)), 0);
	assert_int_equal(pinned.guest.asked, 3);
	assert_int_equal(gmem_vm_get_state(pinned.guest.vm, AT(0x10), AT(8)), GMEM_HOLE);
	close_pinned(&pinned);
}

static int unmap_ram(void *opaque)
{
	struct guest *guest = opaque;

	return gmem_vm_unmap(guest->vm, AT(0x10), AT(8));
}

/* The same with a real sleep, ended by another thread's unpin. */
static void unpinning_wakes_who_unmaps(void **unused)
{
	struct pinned pinned;

	open_pinned(&pinned, UINT64_MAX);
	pinned.guest.own_clock = false;
	worker_start(pinned.guest.worker, unmap_ram, &pinned.guest);
	while (!atomic_load(&pinned.guest.vm->claims.waiting))
		sched_yield();
	/* Nobody can pin any more what is about to go, wherever in it. */
	assert_int_equal(gmem_vm_pin(pinned.guest.vm, AT(0x10), 1, 0, &(struct gmem_pin){ 0 }),
			 -EAGAIN);
	expect_one_message(pinned.guest.world.logs, GMEM_LOG_DEBUG, "at work");
	gmem_vm_unpin(pinned.guest.vm, &pinned.pin);
	assert_int_equal(worker_finish(pinned.guest.worker), 0);
	close_pinned(&pinned);
}

/* What keeps the pinned memory where it is does not wait for the pin. */
static void what_leaves_the_pin_alone_is_not_held_up(void **unused)
{
	struct gmem_vm *vm;
	struct pinned pinned;

	open_pinned(&pinned, UINT64_MAX);
	vm = pinned.guest.vm;
	assert_int_equal(gmem_vm_unmap(vm, AT(0x18), AT(8)), 0);
	assert_int_equal(gmem_vm_unmap(vm, AT(0x20), AT(8)), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x18), pinned.guest.other, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_unmap(vm, AT(RESERVED_PAGE), AT(4)), 0);
	/* The same addresses in another address space. */
	assert_int_equal(gmem_vm_unmap_alias(vm, 1, AT(0x10), AT(8)), 0);
	assert_int_equal(gmem_vm_set_map_flags(vm, AT(0x10), AT(8), GMEM_MAP_DIRTY_LOG), 0);
	assert_int_equal(pinned.guest.asked, 0);
	assert_int_equal(pinned.guest.naps, 0);
	assert_ptr_equal(pinned.pin.host, guest_host(pinned.guest.ram) + AT(4) + 9);
	close_pinned(&pinned);
}

static void bad_steps_are_refused_at_once_although_pinned(void **unused)
{
	struct gmem_change *change;
	struct picture before;
	struct gmem_vm *vm;
	struct pinned pinned;

	open_pinned(&pinned, UINT64_MAX);
	vm = pinned.guest.vm;
	picture_take(&pinned.guest.world, &before);
	expect_refusal(&pinned.guest.world, &before, gmem_vm_unmap(vm, AT(0x14), AT(4)), -EINVAL,
		       "cut");
	assert_int_equal(gmem_change_new(vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, AT(0x10), AT(8)), 0);
	assert_int_equal(gmem_change_map(change, AT(0x20), pinned.guest.other, 0, AT(1), AUTO, 0),
			 0);
	expect_refusal(&pinned.guest.world, &before, gmem_change_commit(change), -EEXIST, "step 2");
	gmem_change_free(change);
	assert_int_equal(gmem_change_new(vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, AT(0x10), AT(8)), 0);
	assert_int_equal(gmem_change_unmap(change, AT(0x10), AT(8)), 0);
	expect_refusal(&pinned.guest.world, &before, gmem_change_commit(change), -ENOENT, "step 2");
	gmem_change_free(change);
	assert_int_equal(pinned.guest.asked, 0);
	assert_int_equal(pinned.guest.naps, 0);
	close_pinned(&pinned);
}

static int stop_at_the_second(struct guest *guest, const struct gmem_report *so_far)
{
	return guest->asked == 2 ? GMEM_RETRY_LATER : GMEM_RETRY_AGAIN;
}

/* Another operation at work on any part of it: only a signal has the callback asked. */
static void changes_EAGAIN_while_others_are_at_work(void **unused)
{
	struct picture before;
	struct gmem_vm *vm;
	struct pinned pinned;

	open_pinned(&pinned, MS);
	vm = pinned.guest.vm;
	picture_take(&pinned.guest.world, &before);
	guest_begin_work(&pinned.guest, AT(0x27), AT(0x40));
	pinned.guest.nap_result = -EINTR;
	pinned.guest.retry = stop_at_the_second;
	expect_refusal(&pinned.guest.world, &before, gmem_vm_unmap(vm, AT(0x20), AT(8)), -EAGAIN,
		       "gmem_vm_unmap", "gpa 0x27000", "another operation is at work");
	assert_int_equal(pinned.guest.asked, 2);
	pinned.guest.asked = 0;
	expect_refusal(&pinned.guest.world, &before,
		       gmem_vm_map(vm, AT(0x60), pinned.guest.other, AT(8), AT(8), AUTO, 0),
		       -EAGAIN, "gmem_vm_map", "gpa 0x60000", "another operation is at work");
	pinned.guest.asked = 0;
	expect_refusal(&pinned.guest.world, &before,
		       gmem_vm_set_map_flags(vm, AT(ROM_PAGE), AT(4), 0), -EAGAIN,
		       "gmem_vm_set_map_flags", "gpa 0x40000", "another operation is at work");
	pinned.guest.asked = 0;
	expect_refusal(&pinned.guest.world, &before,
		       gmem_vm_map_alias(vm, 0, AT(0x50), pinned.guest.ram, 0, AT(1), AUTO, 0),
		       -EAGAIN, "gmem_vm_map_alias", "gpa 0x50000", "another operation is at work");
	pinned.guest.asked = 0;
	expect_refusal(&pinned.guest.world, &before, gmem_vm_unmap_alias(vm, 0, AT(0x50), AT(1)),
		       -EAGAIN, "gmem_vm_unmap_alias", "gpa 0x50000",
		       "another operation is at work");
	/* What others are not at work on goes at once. */
	pinned.guest.asked = 0;
	assert_int_equal(gmem_vm_unmap(vm, AT(0x18), AT(8)), 0);
	assert_int_equal(pinned.guest.asked, 0);
	pinned.guest.nap_result = 0;
	guest_end_work(&pinned.guest);
	close_pinned(&pinned);
}

/* From inside a callback: everything that changes something is refused, wherever it is. */
static void expect_deadlock(struct guest *guest, int rc, const char *function)
{
	assert_int_equal(rc, -EDEADLK);
	expect_one_message(guest->world.logs, GMEM_LOG_ERROR, function);
}

static void try_everything(struct guest *guest)
{
	const struct gmem_range range = { AT(0x200), AT(1) };
	struct gmem_report report;
	struct gmem_change *change;
	struct gmem_vm *vm = guest->vm;

	expect_deadlock(guest, gmem_vm_map(vm, AT(0x200), guest->other, AT(8), AT(1), AUTO, 0),
			"gmem_vm_map");
	expect_deadlock(guest, gmem_vm_unmap(vm, AT(0x20), AT(8)), "gmem_vm_unmap");
	expect_deadlock(guest, gmem_vm_map_alias(vm, 1, AT(0x200), guest->ram, 0, AT(1), AUTO, 0),
			"gmem_vm_map_alias");
	expect_deadlock(guest, gmem_vm_unmap_alias(vm, 1, AT(0x10), AT(8)), "gmem_vm_unmap_alias");
	expect_deadlock(guest, gmem_vm_set_map_flags(vm, AT(ROM_PAGE), AT(4), 0),
			"gmem_vm_set_map_flags");
	assert_int_equal(gmem_change_new(vm, &change), 0);
	expect_deadlock(guest, gmem_change_commit(change), "gmem_change_commit");
	gmem_change_free(change);
	expect_deadlock(guest, gmem_vm_convert(vm, AT(0x28), AT(1), GMEM_PRIVATE, 0, &report),
			"gmem_vm_convert");
	assert_int_equal(report.error, -EDEADLK);
	expect_deadlock(guest, gmem_vm_convert_ranges(vm, &range, 1, GMEM_SHARED, 0, NULL),
			"gmem_vm_convert_ranges");
	/* What access.h declares works. */
	assert_int_equal(gmem_vm_get_state(vm, AT(0x28), 1), GMEM_SHARED);
}

static int try_everything_and_stop(struct guest *guest, const struct gmem_report *so_far)
{
	try_everything(guest);
	return GMEM_RETRY_STOP;
}

static void everything_EDEADLK_in_the_retry_callback(void **unused)
{
	struct picture before;
	struct pinned pinned;

	open_pinned(&pinned, UINT64_MAX);
	picture_take(&pinned.guest.world, &before);
	pinned.guest.retry = try_everything_and_stop;
	expect_pinned_refusal(&pinned, gmem_vm_unmap(pinned.guest.vm, AT(0x10), AT(8)), &before);
	assert_int_equal(pinned.guest.asked, 1);
	close_pinned(&pinned);
}

static void try_everything_while_paused(struct world *world)
{
	try_everything(world->opaque);
}

static void everything_EDEADLK_in_the_pause_callbacks(void **unused)
{
	struct picture before;
	struct pinned pinned;

	open_pinned(&pinned, UINT64_MAX);
	picture_take(&pinned.guest.world, &before);
	pinned.guest.world.while_paused = try_everything_while_paused;
	pinned.guest.world.when_resumed = try_everything_while_paused;
	assert_int_equal(gmem_vm_unmap(pinned.guest.vm, AT(0x18), AT(16)), 0);
	assert_int_equal(pinned.guest.world.pauses, 1);
	assert_int_equal(pinned.guest.world.resumes, 1);
	close_pinned(&pinned);
}

/* A change of another address space has no addresses that others wait for, but is one too. */
static void everything_EDEADLK_while_another_address_space_changes(void **unused)
{
	struct gmem_vm *vm;
	struct pinned pinned;

	open_pinned(&pinned, UINT64_MAX);
	vm = pinned.guest.vm;
	assert_int_equal(gmem_vm_map_alias(vm, 1, AT(0x300), pinned.guest.ram, 0, AT(1), AUTO, 0),
			 0);
	pinned.guest.world.while_paused = try_everything_while_paused;
	assert_int_equal(gmem_vm_unmap_alias(vm, 1, 0, AT(0x400)), 0);
	assert_int_equal(pinned.guest.world.pauses, 1);
	close_pinned(&pinned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gmem_vm_unmap_EAGAIN_at_the_deadline),
		cmocka_unit_test(gmem_vm_unmap_EAGAIN_with_a_deadline_of_0),
		cmocka_unit_test(gmem_vm_unmap_EAGAIN_when_the_callback_says_so),
		cmocka_unit_test(gmem_change_commit_EAGAIN),
		cmocka_unit_test(unmapping_goes_on_when_the_pin_is_gone),
		cmocka_unit_test(unpinning_wakes_who_unmaps),
		cmocka_unit_test(what_leaves_the_pin_alone_is_not_held_up),
		cmocka_unit_test(bad_steps_are_refused_at_once_although_pinned),
		cmocka_unit_test(changes_EAGAIN_while_others_are_at_work),
		cmocka_unit_test(everything_EDEADLK_in_the_retry_callback),
		cmocka_unit_test(everything_EDEADLK_in_the_pause_callbacks),
		cmocka_unit_test(everything_EDEADLK_while_another_address_space_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
