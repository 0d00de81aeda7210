// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of the table of pins: what is found, when it is full, many threads, and that the last
 * unpin wakes who waits for it. Sleeps are real and only end by being woken (bare.h).
 */
#include "pin_table.h"

#include "bare.h"
#include "random.h"

#include <errno.h>
#include <gmem/access.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define AT(pages) ((uint64_t)(pages)*PAGE)
#define WORKERS 4
#define SLOTS (PIN_GROUPS * PIN_GROUP_SLOTS)

static void open_table(struct bare *bare)
{
	bare_open(bare, UINT64_MAX, NULL, NULL);
	bare->real = true;
	assert_int_equal(gmem_pin_table_init(&bare->vm), 0);
}

static void close_table(struct bare *bare)
{
	struct gmem_range pinned;

	assert_false(gmem_pin_table_find(&bare->vm, 0, -PAGE, &pinned));
	gmem_pin_table_release(&bare->vm);
	assert_null(bare->vm.pins.memory);
	gmem_pin_table_release(&bare->vm);
	bare_close(bare);
}

static uint32_t add(struct bare *bare, uint64_t gpa, uint64_t size)
{
	uint32_t slot = UINT32_MAX;

	assert_int_equal(gmem_pin_table_add(&bare->vm, gpa, size, &slot), 0);
	assert_true(slot < SLOTS);
	assert_true(gmem_pin_table_has(&bare->vm, slot, gpa, size));
	return slot;
}

static void expect_found(struct bare *bare, uint64_t gpa, uint64_t size, uint64_t found_gpa,
			 uint64_t found_size)
{
	struct gmem_range pinned = { 1, 1 };

	assert_int_equal(gmem_pin_table_find(&bare->vm, gpa, size, &pinned), found_size != 0);
	if (found_size)
		assert_int_equal(pinned.gpa, found_gpa);
	assert_int_equal(pinned.size, found_size);
}

static void pins_are_found_by_the_page(void **unused)
{
	struct bare bare;
	uint32_t slot;

	open_table(&bare);
	expect_found(&bare, 0, AT(1000), 0, 0);
	slot = add(&bare, AT(10) + 5, 7);
	expect_found(&bare, 0, AT(1000), AT(10), PAGE);
	expect_found(&bare, AT(10), PAGE, AT(10), PAGE);
	expect_found(&bare, 0, AT(10), 0, 0);
	expect_found(&bare, AT(11), AT(10), 0, 0);
	gmem_pin_table_drop(&bare.vm, slot);
	/* Two bytes in two pages. */
	slot = add(&bare, AT(11) - 1, 2);
	expect_found(&bare, 0, AT(1000), AT(10), AT(2));
	expect_found(&bare, AT(11), AT(1), AT(11), AT(1));
	expect_found(&bare, AT(10), AT(1), AT(10), AT(1));
	/* No more than the range that was asked about. */
	gmem_pin_table_drop(&bare.vm, slot);
	slot = add(&bare, AT(4), AT(12));
	expect_found(&bare, AT(6), AT(2), AT(6), AT(2));
	gmem_pin_table_shrink(&bare.vm, slot, PAGE + 1);
	assert_true(gmem_pin_table_has(&bare.vm, slot, AT(4), PAGE + 1));
	expect_found(&bare, 0, AT(1000), AT(4), AT(2));
	expect_found(&bare, AT(6), AT(2), 0, 0);
	gmem_pin_table_drop(&bare.vm, slot);
	close_table(&bare);
}

static void the_lowest_pin_is_found_whole(void **unused)
{
	struct bare bare;
	uint32_t a, b, c;

	open_table(&bare);
	a = add(&bare, AT(20), 1);
	b = add(&bare, AT(10), 1);
	expect_found(&bare, 0, AT(1000), AT(10), AT(1));
	/* The same start: as far as the longest goes. */
	c = add(&bare, AT(10) + 8, AT(3));
	expect_found(&bare, 0, AT(1000), AT(10), AT(4));
	gmem_pin_table_drop(&bare.vm, c);
	expect_found(&bare, 0, AT(1000), AT(10), AT(1));
	gmem_pin_table_drop(&bare.vm, b);
	expect_found(&bare, 0, AT(1000), AT(20), AT(1));
	gmem_pin_table_drop(&bare.vm, a);
	close_table(&bare);
}

static void pins_at_the_top_of_the_address_space(void **unused)
{
	struct bare bare;
	uint32_t slot;

	open_table(&bare);
	slot = add(&bare, UINT64_MAX - 1, 1);
	expect_found(&bare, -AT(3), AT(2), 0, 0);
	gmem_pin_table_drop(&bare.vm, slot);
	slot = add(&bare, -AT(2) + 9, 1);
	expect_found(&bare, 0, -PAGE, -AT(2), PAGE);
	expect_found(&bare, -AT(2), PAGE, -AT(2), PAGE);
	expect_found(&bare, -AT(3), PAGE, 0, 0);
	gmem_pin_table_drop(&bare.vm, slot);
	slot = add(&bare, 0, UINT64_MAX);
	expect_found(&bare, AT(12345), AT(2), AT(12345), AT(2));
	gmem_pin_table_drop(&bare.vm, slot);
	close_table(&bare);
}

static void a_slot_is_that_of_one_pin(void **unused)
{
	struct bare bare;
	uint32_t a, b;

	open_table(&bare);
	a = add(&bare, AT(3), 100);
	b = add(&bare, AT(5), 200);
	assert_int_not_equal(a, b);
	assert_false(gmem_pin_table_has(&bare.vm, a, AT(5), 200));
	assert_false(gmem_pin_table_has(&bare.vm, a, AT(3), 200));
	assert_false(gmem_pin_table_has(&bare.vm, a, AT(3) + 1, 100));
	assert_false(gmem_pin_table_has(&bare.vm, SLOTS, AT(3), 100));
	assert_false(gmem_pin_table_has(&bare.vm, UINT32_MAX, AT(3), 100));
	gmem_pin_table_drop(&bare.vm, a);
	/* What is left there is no pin, of any size. */
	assert_false(gmem_pin_table_has(&bare.vm, a, AT(3), 100));
	assert_false(gmem_pin_table_has(&bare.vm, a, AT(3), 0));
	gmem_pin_table_drop(&bare.vm, b);
	close_table(&bare);
}

/* What the table should find, pin by pin. */
#define PINS 40
struct model {
	struct gmem_range pins[PINS];
	uint32_t slots[PINS];
};

static void expect_model(struct bare *bare, const struct model *model, uint64_t gpa, uint64_t size)
{
	uint64_t lowest = UINT64_MAX, longest = 0;
	unsigned int i;

	for (i = 0; i < PINS; i++) {
		uint64_t start = model->pins[i].gpa / PAGE * PAGE;
		uint64_t end = (model->pins[i].gpa + model->pins[i].size + PAGE - 1) / PAGE * PAGE;

		if (start < gpa)
			start = gpa;
		if (end > gpa + size)
			end = gpa + size;
		if (!model->pins[i].size || start >= end || start > lowest)
			continue;
		if (start < lowest)
			longest = 0;
		lowest = start;
		if (end - start > longest)
			longest = end - start;
	}
	expect_found(bare, gpa, size, lowest, longest);
}

static void finding_is_exact(void **unused)
{
	uint64_t seed = random_seed("finding");
	struct model model = { 0 };
	struct bare bare;
	unsigned int round, i;

	open_table(&bare);
	for (round = 0; round < 20000; round++) {
		struct gmem_range *pin;

		i = (unsigned int)random_below(&seed, PINS);
		pin = &model.pins[i];
		if (pin->size && random_below(&seed, 3)) {
			gmem_pin_table_drop(&bare.vm, model.slots[i]);
			pin->size = 0;
		} else if (pin->size) {
			pin->size = 1 + random_below(&seed, pin->size);
			gmem_pin_table_shrink(&bare.vm, model.slots[i], pin->size);
		} else if (random_below(&seed, 4) == 0) {
			*pin = (struct gmem_range){ random_below(&seed, AT(60)),
						    1 + random_below(&seed, AT(4)) };
			model.slots[i] = add(&bare, pin->gpa, pin->size);
		}
		expect_model(&bare, &model, AT(random_below(&seed, 40)),
			     AT(1 + random_below(&seed, 24)));
	}
	for (i = 0; i < PINS; i++) {
		if (model.pins[i].size)
			gmem_pin_table_drop(&bare.vm, model.slots[i]);
	}
	close_table(&bare);
}

static void pin_table_add_ENOSPC(void **unused)
{
	static uint8_t seen[SLOTS];
	static uint32_t slots[SLOTS];
	struct bare bare;
	uint32_t i, slot;

	assert_int_equal(SLOTS, GMEM_PINS_MAX);
	memset(seen, 0, sizeof(seen));
	open_table(&bare);
	for (i = 0; i < SLOTS; i++) {
		slots[i] = add(&bare, AT(2 * i), PAGE);
		assert_false(seen[slots[i]]++);
		/* The groups of this thread first, then all others: found wherever it is. */
		if (i % 1021 == 0 || i + 1 == SLOTS)
			expect_found(&bare, AT(2 * i), PAGE, AT(2 * i), PAGE);
	}
	for (i = 0; i < 3; i++)
		assert_int_equal(gmem_pin_table_add(&bare.vm, 0, 1, &slot), -ENOSPC);
	for (i = 0; i < SLOTS; i += 997) {
		gmem_pin_table_drop(&bare.vm, slots[i]);
		expect_found(&bare, AT(2 * i), PAGE, 0, 0);
		assert_int_equal(add(&bare, AT(2 * i) + 1, 3), slots[i]);
		expect_found(&bare, AT(2 * i), PAGE, AT(2 * i), PAGE);
		assert_int_equal(gmem_pin_table_add(&bare.vm, 0, 1, &slot), -ENOSPC);
	}
	for (i = 0; i < SLOTS; i++)
		gmem_pin_table_drop(&bare.vm, slots[i]);
	close_table(&bare);
}

static void pin_table_init_ENOMEM(void **unused)
{
	struct bare bare;

	bare_open(&bare, 0, NULL, NULL);
	bare.mmap_error = -ENOMEM;
	assert_int_equal(gmem_pin_table_init(&bare.vm), -ENOMEM);
	assert_null(bare.vm.pins.memory);
	gmem_pin_table_release(&bare.vm);
	bare_close(&bare);
}

/* What a thread pins, and what it found wrong. */
struct job {
	struct bare *bare;
	struct worker *worker;
	uint64_t gpa;
	uint64_t size;
	struct wait wait;
	struct gmem_report report;
};

static unsigned int crowd_rounds = 20000;
static _Atomic uint32_t crowd_owner[SLOTS];

/* Each thread has pages of its own, and finds exactly what it pinned there. */
static int pin_and_unpin(void *opaque)
{
	struct job *job = opaque;
	struct gmem_vm *vm = &job->bare->vm;
	uint32_t me = (uint32_t)(uintptr_t)job, slots[3];
	struct gmem_range pinned;
	unsigned int round, i;
	int wrong = 0;

	for (round = 0; round < crowd_rounds && !wrong; round++) {
		for (i = 0; i < 3; i++) {
			wrong |= gmem_pin_table_add(vm, job->gpa + AT(i), 1 + i, &slots[i]) != 0;
			wrong |= atomic_exchange(&crowd_owner[slots[i]], me) != 0;
		}
		wrong |= !gmem_pin_table_find(vm, job->gpa, AT(3), &pinned);
		wrong |= pinned.gpa != job->gpa || pinned.size != PAGE;
		for (i = 0; i < 3; i++) {
			wrong |= !gmem_pin_table_has(vm, slots[i], job->gpa + AT(i), 1 + i);
			wrong |= atomic_exchange(&crowd_owner[slots[i]], 0) != me;
			gmem_pin_table_drop(vm, slots[i]);
		}
		wrong |= gmem_pin_table_find(vm, job->gpa, AT(3), &pinned);
	}
	return wrong;
}

static void many_threads_pin_at_once(void **unused)
{
	struct job jobs[WORKERS];
	struct bare bare;
	unsigned int i;

	open_table(&bare);
	for (i = 0; i < WORKERS; i++) {
		jobs[i] = (struct job){ .bare = &bare, .worker = worker_new(), .gpa = AT(8 * i) };
		worker_start(jobs[i].worker, pin_and_unpin, &jobs[i]);
	}
	for (i = 0; i < WORKERS; i++) {
		assert_int_equal(worker_finish(jobs[i].worker), 0);
		worker_free(jobs[i].worker);
	}
	/* Nobody waited, so nobody was woken. */
	assert_int_equal(bare.wakes, 0);
	close_table(&bare);
}

static int wait_for_pins(void *opaque)
{
	struct job *job = opaque;
	struct gmem_vm *vm = &job->bare->vm;
	struct gmem_range pinned;

	wait_init(&job->wait, vm, &job->report, GMEM_OPERATION_CONVERT, false);
	while (gmem_pin_table_find(vm, job->gpa, job->size, &pinned)) {
		if (gmem_pin_table_wait(vm, job->gpa, job->size, &job->wait) != VERDICT_AGAIN)
			return -EAGAIN;
	}
	return 0;
}

/* The clock stands still, and sleeps do not end: only being woken can end the wait. */
static void the_last_unpin_ends_a_wait(void **unused)
{
	struct bare bare;
	struct job job = { .bare = &bare, .gpa = AT(4), .size = AT(4) };
	uint32_t slots[3], naps = 0, i;

	open_table(&bare);
	job.worker = worker_new();
	slots[0] = add(&bare, AT(4), 1);
	slots[1] = add(&bare, AT(8) - 1, 1);
	slots[2] = add(&bare, AT(8), 1);
	worker_start(job.worker, wait_for_pins, &job);
	for (i = 0; i < 2; i++) {
		while (atomic_load(&bare.nap_count) == naps)
			sched_yield();
		naps = bare.nap_count;
		assert_false(worker_is_done(job.worker));
		assert_int_equal(bare.wakes, i);
		gmem_pin_table_drop(&bare.vm, slots[i]);
	}
	assert_int_equal(worker_finish(job.worker), 0);
	assert_int_equal(bare.wakes, 2);
	assert_int_equal(bare.vm.claims.waiting, 0);
	/* Now that nobody waits. */
	gmem_pin_table_drop(&bare.vm, slots[2]);
	assert_int_equal(bare.wakes, 2);
	worker_free(job.worker);
	close_table(&bare);
}

static uint32_t slot_to_drop;

static void drop_before_the_sleep(struct bare *bare)
{
	gmem_pin_table_drop(&bare->vm, slot_to_drop);
}

/* A pin that goes between the look and the sleep: the sleep does not begin. */
static void an_unpin_just_before_the_sleep_is_noticed(void **unused)
{
	struct bare bare;
	struct job job = { .bare = &bare, .gpa = AT(4), .size = AT(4) };
	uint64_t start;

	open_table(&bare);
	bare.real = false;
	bare.during_nap = drop_before_the_sleep;
	start = bare.now;
	slot_to_drop = add(&bare, AT(5), 1);
	assert_int_equal(wait_for_pins(&job), 0);
	assert_int_equal(bare.nap_count, 1);
	assert_int_equal(bare.now, start);
	assert_int_equal(bare.wakes, 1);
	close_table(&bare);
}

static int stop(const struct gmem_report *so_far, void *opaque)
{
	return GMEM_RETRY_STOP;
}

static void waiting_ends_as_the_policy_says(void **unused)
{
	struct bare bare;
	struct job job = { .bare = &bare, .gpa = AT(4), .size = AT(4) };
	uint32_t slot;

	open_table(&bare);
	bare.real = false;
	/* Nothing is pinned: not even a look at the clock. */
	assert_int_equal(wait_for_pins(&job), 0);
	assert_int_equal(gmem_pin_table_wait(&bare.vm, AT(4), AT(4), &job.wait), VERDICT_AGAIN);
	assert_int_equal(bare.clock_calls, 0);
	slot = add(&bare, AT(5), 1);
	bare.vm.config.deadline_ns = 1000000;
	assert_int_equal(wait_for_pins(&job), -EAGAIN);
	assert_int_equal(job.report.waited_ns, 1000000);
	bare.vm.config.deadline_ns = UINT64_MAX;
	bare.vm.config.retry = stop;
	bare.nap_count = 0;
	assert_int_equal(wait_for_pins(&job), -EAGAIN);
	assert_int_equal(bare.nap_count, 0);
	gmem_pin_table_drop(&bare.vm, slot);
	assert_int_equal(bare.vm.claims.waiting, 0);
	close_table(&bare);
}

/* Pins come and go while somebody waits for each of them. */
static int pin_for_a_moment(void *opaque)
{
	struct job *job = opaque;
	struct gmem_vm *vm = &job->bare->vm;
	unsigned int round;
	uint32_t slot;

	for (round = 0; round < crowd_rounds; round++) {
		if (gmem_pin_table_add(vm, job->gpa, 1, &slot))
			return -1;
		sched_yield();
		gmem_pin_table_drop(vm, slot);
	}
	return 0;
}

static void no_wake_up_is_lost(void **unused)
{
	struct job jobs[2];
	struct bare bare;
	unsigned int i;

	open_table(&bare);
	for (i = 0; i < 2; i++) {
		jobs[i] = (struct job){ .bare = &bare, .worker = worker_new(), .gpa = AT(4 + i) };
		worker_start(jobs[i].worker, pin_for_a_moment, &jobs[i]);
	}
	while (!worker_is_done(jobs[0].worker) || !worker_is_done(jobs[1].worker)) {
		struct job job = { .bare = &bare, .gpa = AT(4), .size = AT(1) };

		assert_int_equal(wait_for_pins(&job), 0);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(worker_finish(jobs[i].worker), 0);
		worker_free(jobs[i].worker);
	}
	close_table(&bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pins_are_found_by_the_page),
		cmocka_unit_test(the_lowest_pin_is_found_whole),
		cmocka_unit_test(pins_at_the_top_of_the_address_space),
		cmocka_unit_test(a_slot_is_that_of_one_pin),
		cmocka_unit_test(finding_is_exact),
		cmocka_unit_test(pin_table_add_ENOSPC),
		cmocka_unit_test(pin_table_init_ENOMEM),
		cmocka_unit_test(many_threads_pin_at_once),
		cmocka_unit_test(the_last_unpin_ends_a_wait),
		cmocka_unit_test(an_unpin_just_before_the_sleep_is_noticed),
		cmocka_unit_test(waiting_ends_as_the_policy_says),
		cmocka_unit_test(no_wake_up_is_lost),
	};

	if (getenv("GMEM_TEST_VALGRIND"))
		crowd_rounds = 200;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
