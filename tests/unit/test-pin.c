// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of pins: what they give, how far a partial one goes, what is in their way, and what
 * happens to a pin that is released wrongly. A test is named after the function and the errno that
 * it provokes.
 */
#include "guest.h"

#include <errno.h>
#include <gmem/access.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define WRITE GMEM_ACCESS_WRITE
#define PARTIAL GMEM_ACCESS_PARTIAL
#define WAIT GMEM_ACCESS_WAIT

static const struct gmem_pin no_pin;

static void assert_no_pin(const struct gmem_pin *pin)
{
	assert_memory_equal(pin, &no_pin, sizeof(no_pin));
}

static void pins_give_the_host_address(void **unused)
{
	struct guest guest;
	const struct {
		uint64_t gpa, size;
		uint32_t flags;
		struct gmem_region *const *region;
		uint64_t offset;
	} cases[] = {
		{ AT(0x10), 1, WRITE, &guest.ram, 0 },
		{ AT(0x12) + 7, 11, 0, &guest.ram, AT(2) + 7 },
		{ AT(0x10), AT(16), WRITE | WAIT, &guest.ram, 0 },
		{ AT(0x18) - 1, 2, PARTIAL, &guest.ram, AT(8) - 1 },
		{ AT(0x20), AT(8), PARTIAL | WRITE, &guest.other, 0 },
		{ AT(0x2c) - 1, 1, WRITE, &guest.private, AT(4) - 1 },
		{ AT(0x30), AT(4), 0, &guest.private, AT(8) },
		{ AT(ROM_PAGE), AT(4), 0, &guest.rom, 0 },
	};
	struct gmem_pin pin;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(gmem_vm_pin(guest.vm, cases[i].gpa, cases[i].size, cases[i].flags,
					     &pin),
				 0);
		assert_ptr_equal(pin.host, guest_host(*cases[i].region) + cases[i].offset);
		assert_int_equal(pin.size, cases[i].size);
		assert_true(guest_is_pinned(&guest, cases[i].gpa, 1));
		assert_true(guest_is_pinned(&guest, cases[i].gpa + cases[i].size - 1, 1));
		gmem_vm_unpin(guest.vm, &pin);
		assert_no_pin(&pin);
		assert_false(guest_is_pinned(&guest, cases[i].gpa, cases[i].size));
	}
	assert_int_equal(fake_kvm_call_count(guest.world.fake), 0);
	guest_close(&guest);
}

/* Exactly what there is in one piece, and a pin of no page more. */
static void partial_pins_end_at_the_first_obstacle(void **unused)
{
	static const struct {
		uint64_t gpa, size;
		uint32_t flags;
		uint64_t expected;
	} cases[] = {
		/* A private page, in the middle of one section. */
		{ AT(0x28) + 5, AT(16), 0, AT(4) - 5 },
		{ AT(0x33) + 8, AT(3), WRITE, AT(1) - 8 },
		{ AT(0x35), AT(0x10), 0, AT(3) },
		/* Memory that goes on elsewhere; not where it is the same region. */
		{ AT(0x11), AT(0x20), 0, AT(15) },
		{ AT(0x27), AT(2), WRITE, AT(1) },
		/* A hole, reserved, a device's. */
		{ AT(0x37) + 1, UINT64_MAX / 2, 0, AT(1) - 1 },
		{ AT(0x43), AT(4), 0, AT(1) },
		{ AT(0x10), AT(4), 0, AT(4) },
	};
	struct gmem_pin pin;
	struct guest guest;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t end = (cases[i].gpa + cases[i].expected + AT(1) - 1) & ~(AT(1) - 1);

		assert_int_equal(gmem_vm_pin(guest.vm, cases[i].gpa, cases[i].size,
					     cases[i].flags | PARTIAL, &pin),
				 0);
		assert_int_equal(pin.size, cases[i].expected);
		assert_true(guest_is_pinned(&guest, end - AT(1), AT(1)));
		assert_false(guest_is_pinned(&guest, end, AT(0x100)));
		gmem_vm_unpin(guest.vm, &pin);
		assert_no_pin(&pin);
	}
	guest_close(&guest);
}

struct refusal {
	uint64_t gpa, size;
	uint32_t flags;
	const char *word;
};

static void check_refusals(struct guest *guest, int error, const struct refusal *cases,
			   size_t count)
{
	struct gmem_pin pin;
	size_t i;

	for (i = 0; i < count; i++) {
		memset(&pin, 0xa5, sizeof(pin));
		if (gmem_vm_pin(guest->vm, cases[i].gpa, cases[i].size, cases[i].flags, &pin) !=
		    error)
			fail_msg("case %zu is not refused with %d", i, error);
		assert_no_pin(&pin);
		expect_one_message(guest->world.logs, GMEM_LOG_DEBUG, cases[i].word);
		assert_false(guest_is_pinned(guest, 0, -AT(1)));
	}
}

#define CHECK_REFUSALS(guest, error, cases) check_refusals(guest, error, cases, ARRAY_SIZE(cases))

static void gmem_vm_pin_EINVAL(void **unused)
{
	static const uint32_t flags[] = { GMEM_ACCESS_CHECKED, 1u << 4, 1u << 31 };
	static const struct refusal cases[] = {
		{ AT(0x10), 0, 0, "gmem_vm_pin: gpa 0x10000, 0 bytes" },
		{ UINT64_MAX, 1, PARTIAL, "gpa 0xffffffffffffffff, 0x1 bytes" },
		{ AT(0x10), -AT(0x10), WAIT, "gpa 0x10000" },
	};
	struct gmem_pin pin;
	struct guest guest;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	CHECK_REFUSALS(&guest, -EINVAL, cases);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		memset(&pin, 0xa5, sizeof(pin));
		assert_int_equal(gmem_vm_pin(guest.vm, AT(0x10), 1, flags[i], &pin), -EINVAL);
		assert_no_pin(&pin);
		expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "gmem_vm_pin: flags are");
	}
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x10), 1, 0, NULL), -EINVAL);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "gmem_vm_pin: pin is NULL");
	guest_close(&guest);
	memset(&pin, 0xa5, sizeof(pin));
	expect_null_refusal(gmem_vm_pin(NULL, AT(0x10), 1, 0, &pin), "gmem_vm_pin: vm is NULL");
	assert_no_pin(&pin);
}

static void gmem_vm_pin_ENOENT(void **unused)
{
	static const struct refusal cases[] = {
		{ AT(HOLE_PAGE), 1, 0, "at gpa 0x38000 nothing is mapped" },
		{ AT(0x35), AT(4), 0, "at gpa 0x38000 nothing is mapped" },
		{ AT(HOLE_PAGE), AT(100), PARTIAL, "nothing is mapped" },
		{ AT(RESERVED_PAGE), 1, WRITE, "reserved" },
		{ 0, AT(0x20), PARTIAL | WAIT, "at gpa 0 nothing" },
		{ AT(0x10000), AT(1), 0, "nothing is mapped" },
	};
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	CHECK_REFUSALS(&guest, -ENOENT, cases);
	guest_close(&guest);
}

static void gmem_vm_pin_EACCES(void **unused)
{
	static const struct refusal cases[] = {
		{ AT(PRIVATE_PAGE), 1, 0, "private" },
		{ AT(PRIVATE_PAGE) + 77, 1, PARTIAL, "private" },
		{ AT(0x28), AT(5), WRITE, "private" },
		{ AT(0x33), AT(2), 0, "private" },
		{ AT(ROM_PAGE), 1, WRITE, "read-only" },
		{ AT(ROM_PAGE), AT(4), WRITE | PARTIAL, "read-only" },
		{ AT(DEVICE_PAGE), 1, 0, "device" },
		{ AT(0x43), AT(2), 0, "at gpa 0x44000 it is a device" },
	};
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	CHECK_REFUSALS(&guest, -EACCES, cases);
	guest_close(&guest);
}

static void gmem_vm_pin_EXDEV(void **unused)
{
	static const struct refusal cases[] = {
		{ AT(0x1f), AT(2), 0, "at gpa 0x20000 it goes on elsewhere" },
		{ AT(0x10), AT(0x1a), WRITE, "at gpa 0x20000" },
		{ AT(0x28) - 1, 2, 0, "at gpa 0x28000" },
	};
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	CHECK_REFUSALS(&guest, -EXDEV, cases);
	guest_close(&guest);
}

static void gmem_vm_pin_EAGAIN(void **unused)
{
	static const struct refusal cases[] = {
		{ AT(0x12), 1, 0, "gmem_vm_pin: gpa 0x12000, 0x1 bytes: a conversion or a layout" },
		{ AT(0x13), AT(1), WRITE, "is at work" },
		{ AT(0x10), AT(16), 0, "is at work" },
		{ AT(0x10), AT(16), PARTIAL, "is at work" },
	};
	struct gmem_pin pin;
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	guest_begin_work(&guest, AT(0x12), AT(2));
	CHECK_REFUSALS(&guest, -EAGAIN, cases);
	/* The page above and the page below are nobody's. */
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x11), AT(1), WAIT, &pin), 0);
	gmem_vm_unpin(guest.vm, &pin);
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x14), AT(1), 0, &pin), 0);
	gmem_vm_unpin(guest.vm, &pin);
	guest_end_work(&guest);
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x12), AT(2), 0, &pin), 0);
	gmem_vm_unpin(guest.vm, &pin);
	guest_close(&guest);
}

static int stop(struct guest *guest, const struct gmem_report *so_far)
{
	assert_int_equal(so_far->gpa, AT(0x12) + 4);
	assert_int_equal(so_far->size, 2);
	assert_int_equal(so_far->stage, GMEM_STAGE_PREPARE);
	return guest->asked < 3 ? GMEM_RETRY_AGAIN : GMEM_RETRY_STOP;
}

static void gmem_vm_pin_EAGAIN_to_the_last(void **unused)
{
	const struct world_config config = { .retry = guest_retry, .deadline_ns = 1000 };
	struct gmem_pin pin;
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, &config);
	guest_begin_work(&guest, AT(0x12), AT(2));
	guest.own_clock = true;
	guest.nap_result = -EINTR;
	guest.retry = stop;
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x12) + 4, 2, WAIT, &pin), -EAGAIN);
	assert_no_pin(&pin);
	assert_int_equal(guest.asked, 3);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "at work");
	guest.own_clock = false;
	guest_end_work(&guest);
	guest_close(&guest);
	/* A deadline of 0 waits for nothing, whatever the flag says. */
	guest_open(&guest, &fake_kvm_linux_6_18_sw, &(struct world_config){ .retry = guest_retry });
	guest_begin_work(&guest, AT(0x12), AT(2));
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x12) + 4, 2, WAIT, &pin), -EAGAIN);
	assert_int_equal(guest.asked, 0);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "at work");
	guest_end_work(&guest);
	guest_close(&guest);
}

struct waiter {
	struct guest *guest;
	struct gmem_pin pin;
};

static int pin_and_wait(void *opaque)
{
	struct waiter *waiter = opaque;

	return gmem_vm_pin(waiter->guest->vm, AT(0x12), AT(3), WAIT, &waiter->pin);
}

static void WAIT_goes_on_when_the_work_is_done(void **unused)
{
	struct worker *worker = worker_new();
	struct guest guest;
	struct waiter waiter = { .guest = &guest };

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	guest_begin_work(&guest, AT(0x14), AT(2));
	worker_start(worker, pin_and_wait, &waiter);
	while (!atomic_load(&guest.vm->claims.waiting))
		sched_yield();
	assert_false(worker_is_done(worker));
	/* Who waits holds nothing meanwhile. */
	assert_false(guest_is_pinned(&guest, 0, -AT(1)));
	guest_end_work(&guest);
	assert_int_equal(worker_finish(worker), 0);
	assert_true(guest_is_pinned(&guest, AT(0x14), AT(1)));
	gmem_vm_unpin(guest.vm, &waiter.pin);
	worker_free(worker);
	guest_close(&guest);
}

/* In a callback of the operation itself; without the flag it is only not now. */
static void pin_while_paused(struct world *world)
{
	struct guest *guest = world->opaque;
	struct gmem_pin pin;

	memset(&pin, 0xa5, sizeof(pin));
	assert_int_equal(gmem_vm_pin(guest->vm, AT(0x11), 1, WAIT, &pin), -EDEADLK);
	assert_no_pin(&pin);
	expect_one_message(world->logs, GMEM_LOG_DEBUG, "gmem_vm_pin", "this is a callback of it");
	assert_int_equal(gmem_vm_pin(guest->vm, AT(0x11), 1, 0, &pin), -EAGAIN);
	expect_one_message(world->logs, GMEM_LOG_DEBUG, "at work");
	assert_int_equal(gmem_vm_pin(guest->vm, AT(0x22), 1, WAIT, &pin), 0);
	gmem_vm_unpin(guest->vm, &pin);
}

static void gmem_vm_pin_EDEADLK(void **unused)
{
	const struct world_config config = { .pausing = true };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, &config);
	guest.world.while_paused = pin_while_paused;
	assert_int_equal(gmem_vm_unmap(guest.vm, AT(0x10), AT(16)), 0);
	assert_int_equal(guest.world.pauses, 1);
	guest_close(&guest);
}

static void gmem_vm_pin_ENOSPC(void **unused)
{
	struct gmem_pin *pins = calloc(GMEM_PINS_MAX, sizeof(*pins)), pin;
	struct guest guest;
	uint32_t i;

	assert_non_null(pins);
	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	for (i = 0; i < GMEM_PINS_MAX; i++)
		assert_int_equal(gmem_vm_pin(guest.vm, AT(0x10) + i, 1, 0, &pins[i]), 0);
	memset(&pin, 0xa5, sizeof(pin));
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x10), 1, WAIT, &pin), -ENOSPC);
	assert_no_pin(&pin);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_pin", "65536 pins");
	gmem_vm_unpin(guest.vm, &pins[4711]);
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x10), 1, 0, &pins[4711]), 0);
	for (i = 0; i < GMEM_PINS_MAX; i++)
		gmem_vm_unpin(guest.vm, &pins[i]);
	free(pins);
	guest_close(&guest);
}

static int pin_in_child(void *opaque)
{
	struct guest *guest = opaque;
	struct gmem_pin pin;
	int rc;

	memset(&pin, 0xa5, sizeof(pin));
	rc = gmem_vm_pin(guest->vm, AT(0x10), 1, 0, &pin);
	return memcmp(&pin, &no_pin, sizeof(pin)) ? 1 : rc;
}

static void gmem_vm_pin_EIO_in_a_child(void **unused)
{
	static const struct forked_call calls[] = { { "gmem_vm_pin:", pin_in_child } };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	expect_eio_in_child(&guest.world, calls, ARRAY_SIZE(calls), &guest);
	guest_close(&guest);
}

static void expect_ignored(struct guest *guest, const struct gmem_pin *wrong)
{
	struct gmem_pin pin = *wrong;

	gmem_vm_unpin(guest->vm, &pin);
	expect_one_message(guest->world.logs, GMEM_LOG_ERROR, "gmem_vm_unpin: VM descriptor",
			   "has no pin of gpa");
	assert_memory_equal(&pin, wrong, sizeof(pin));
	assert_true(guest_is_pinned(guest, AT(0x10), AT(1)));
}

static void pins_that_are_none_are_logged_and_ignored(void **unused)
{
	struct gmem_pin pin, copy, other, wrong;
	struct guest guest, second;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	guest_open(&second, &fake_kvm_linux_6_18_sw, NULL);
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x10), 5, 0, &pin), 0);
	/* Released already, by a copy of it. */
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x12), 7, 0, &other), 0);
	copy = other;
	gmem_vm_unpin(guest.vm, &other);
	expect_ignored(&guest, &copy);
	/* Another VM's. */
	assert_int_equal(gmem_vm_pin(second.vm, AT(0x10), 5, 0, &other), 0);
	expect_ignored(&guest, &other);
	gmem_vm_unpin(second.vm, &other);
	/* Bytes of any kind; the host address alone is the caller's. */
	for (i = 0; i < 4; i++) {
		wrong = pin;
		wrong.opaque[i % 3] += 1 + (i == 3 ? UINT64_C(1) << 32 : 0);
		expect_ignored(&guest, &wrong);
	}
	wrong = pin;
	wrong.opaque[1] += UINT64_C(1) << 32;
	expect_ignored(&guest, &wrong);
	wrong = pin;
	wrong.size--;
	expect_ignored(&guest, &wrong);
	wrong = copy;
	wrong.size = 0;
	expect_ignored(&guest, &wrong);
	memset(&wrong, 0xa5, sizeof(wrong));
	expect_ignored(&guest, &wrong);
	gmem_vm_unpin(guest.vm, &pin);
	assert_no_pin(&pin);
	guest_close(&second);
	guest_close(&guest);
}

static void nothing_is_unpinned_without_a_word(void **unused)
{
	struct gmem_pin pin = { 0 };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	gmem_vm_unpin(guest.vm, NULL);
	gmem_vm_unpin(guest.vm, &pin);
	gmem_vm_unpin(NULL, NULL);
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x10), 5, 0, &pin), 0);
	gmem_vm_unpin(NULL, &pin);
	assert_int_equal(pin.size, 5);
	gmem_vm_unpin(guest.vm, &pin);
	/* Twice: the first made it no pin. */
	gmem_vm_unpin(guest.vm, &pin);
	guest_close(&guest);
}

static int unpin(void *opaque)
{
	struct waiter *waiter = opaque;

	gmem_vm_unpin(waiter->guest->vm, &waiter->pin);
	return 0;
}

static void pins_can_be_moved_and_released_by_another_thread(void **unused)
{
	struct guest guest;
	struct waiter *moved = calloc(1, sizeof(*moved));
	struct gmem_pin pin;

	assert_non_null(moved);
	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x11), AT(2), 0, &pin), 0);
	moved->guest = &guest;
	memcpy(&moved->pin, &pin, sizeof(pin));
	memset(&pin, 0xa5, sizeof(pin));
	assert_int_equal(worker_do(guest.worker, unpin, moved), 0);
	assert_no_pin(&moved->pin);
	free(moved);
	guest_close(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pins_give_the_host_address),
		cmocka_unit_test(partial_pins_end_at_the_first_obstacle),
		cmocka_unit_test(gmem_vm_pin_EINVAL),
		cmocka_unit_test(gmem_vm_pin_ENOENT),
		cmocka_unit_test(gmem_vm_pin_EACCES),
		cmocka_unit_test(gmem_vm_pin_EXDEV),
		cmocka_unit_test(gmem_vm_pin_EAGAIN),
		cmocka_unit_test(gmem_vm_pin_EAGAIN_to_the_last),
		cmocka_unit_test(WAIT_goes_on_when_the_work_is_done),
		cmocka_unit_test(gmem_vm_pin_EDEADLK),
		cmocka_unit_test(gmem_vm_pin_ENOSPC),
		cmocka_unit_test(gmem_vm_pin_EIO_in_a_child),
		cmocka_unit_test(pins_that_are_none_are_logged_and_ignored),
		cmocka_unit_test(nothing_is_unpinned_without_a_word),
		cmocka_unit_test(pins_can_be_moved_and_released_by_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
