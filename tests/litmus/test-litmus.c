// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Litmus tests: the library's own functions, by two threads at the same moment, again and again.
 * In each pattern both write one thing and then look at the other's; what the orders of their
 * accesses forbid, that neither sees the other, is counted.
 *
 *   a pin and a claim          slot of the pin | counts of the claims
 *   unpinning and a waiter     slot of the pin | number of those who wait
 *   a claim's end and a waiter turn            | number of those who wait
 *
 * What these can show depends on the machine. An x86-64 has a load overtake a store, but nothing
 * overtakes an atomic addition, whatever its order is said to be. So of the sequentially consistent
 * accesses only the store of the size in gmem_pin_table_add() can be seen to be missing there: as a
 * relaxed one (mov instead of xchg) it gave 26 forbidden ones in seven million rounds of the first
 * pattern. tests/model/pin.pml takes away all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libgmem/claim.h"
#include "libgmem/pin_table.h"
#include "tests/support/random.h"

#include <errno.h>
#include <gmem/ctx.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define GPA UINT64_C(0x5000)
#define SIZE UINT64_C(0x1000)

static unsigned int rounds = 500000;

struct litmus {
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	struct gmem_range range;
	struct claim claim;
	struct gmem_report report;
	struct wait wait;
	uint32_t slot;
	uint64_t seed;
	atomic_bool done; /* the second one is */
	_Atomic unsigned int first_rounds;
	/* Which of both holds the page. */
	atomic_bool inside[2];
	/* The second one's sleep, and how many waits it has left. */
	atomic_bool waits;
	atomic_bool asleep;
	_Atomic uint32_t slept_on;
	_Atomic uint32_t waits_left;
	/* What came of it. */
	atomic_uint met;
	atomic_uint forbidden;
};

static void pause_now_and_then(unsigned int *spins)
{
	if (++*spins % 1024 == 0)
		sched_yield();
}

/* Sleeping is spinning, and ends only where somebody counts the word. */
static int64_t futex_wait(struct litmus *litmus, const _Atomic uint32_t *word, uint32_t seen)
{
	unsigned int spins = 0;

	atomic_store(&litmus->slept_on, seen);
	atomic_store(&litmus->asleep, true);
	while (atomic_load(word) == seen)
		pause_now_and_then(&spins);
	atomic_store(&litmus->asleep, false);
	return spins ? 0 : -EAGAIN;
}

static int64_t call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct litmus *litmus = opaque;
	struct gmem_kernel host;
	bool is_turn = litmus->vm && arg[0] == address_of(&litmus->vm->claims.turn);

	if (nr == GMEM_SYS_FUTEX && is_turn && arg[1] == FUTEX_WAIT_PRIVATE)
		return futex_wait(litmus, (const void *)(uintptr_t)arg[0], (uint32_t)arg[2]);
	if ((nr == GMEM_SYS_FUTEX && is_turn) || nr == GMEM_SYS_CLOCK_GETTIME)
		return 0;
	gmem_kernel_get_host(&host);
	return host.call(nr, arg, host.opaque);
}

static void dawdle(unsigned int turns)
{
	volatile unsigned int left = turns;

	while (left)
		left--;
}

static void litmus_open(struct litmus *litmus)
{
	const struct gmem_kernel kernel = { call, litmus };
	struct gmem_vm_config *config;

	*litmus = (struct litmus){ .range = { .gpa = GPA, .size = SIZE }, .seed = 1 };
	assert_int_equal(gmem_ctx_new(&litmus->ctx), 0);
	gmem_ctx_set_kernel(litmus->ctx, &kernel);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_retry(config, UINT64_MAX, NULL, NULL, NULL);
	assert_int_equal(gmem_vm_new(litmus->ctx, -1, config, &litmus->vm), 0);
	gmem_vm_config_free(config);
}

static void prepare_wait(struct litmus *litmus)
{
	wait_init(&litmus->wait, litmus->vm, &litmus->report, GMEM_OPERATION_CONVERT, false);
	/* Past those that come at once. */
	litmus->wait.tries = 100;
}

/* Runs the first one on a thread of its own, and a step of the second so many times. */
static void run(struct litmus *litmus, void *(*first)(void *opaque),
		void (*second)(struct litmus *litmus))
{
	pthread_t thread;
	unsigned int i;

	assert_int_equal(pthread_create(&thread, NULL, first, litmus), 0);
	/* The first one may be late, or run little on a machine that is busy. */
	for (i = 0; i < rounds || atomic_load(&litmus->first_rounds) < rounds / 250; i++)
		second(litmus);
	atomic_store(&litmus->done, true);
	pthread_join(thread, NULL);
	print_message("%u rounds: they met %u times, %u were forbidden\n", i,
		      atomic_load(&litmus->met), atomic_load(&litmus->forbidden));
	assert_int_equal(litmus->forbidden, 0);
	gmem_vm_free(litmus->vm);
	gmem_ctx_free(litmus->ctx);
}

/* Holds the page for a moment, in which the other must not. */
static void hold(struct litmus *litmus, unsigned int me, unsigned int turns)
{
	atomic_exchange(&litmus->inside[me], true);
	if (atomic_load(&litmus->inside[!me]))
		atomic_fetch_add(&litmus->forbidden, 1);
	dawdle(turns);
	atomic_exchange(&litmus->inside[me], false);
}

static void *pin_and_unpin(void *opaque)
{
	struct litmus *litmus = opaque;
	uint64_t seed = 2;
	uint32_t seen;

	while (!atomic_load_explicit(&litmus->done, memory_order_relaxed)) {
		assert_int_equal(gmem_pin_table_add(litmus->vm, GPA, SIZE, &litmus->slot), 0);
		if (gmem_claim_covers(litmus->vm, GPA, SIZE, &seen))
			atomic_fetch_add_explicit(&litmus->met, 1, memory_order_relaxed);
		else
			hold(litmus, 0, 200);
		gmem_pin_table_drop(litmus->vm, litmus->slot);
		atomic_fetch_add_explicit(&litmus->first_rounds, 1, memory_order_relaxed);
		dawdle((unsigned int)random_below(&seed, 200));
	}
	return NULL;
}

static void take_claim(struct litmus *litmus)
{
	assert_int_equal(
		gmem_claim_take(litmus->vm, &litmus->claim, &litmus->range, 1, &litmus->wait), 0);
}

static void claim_and_release(struct litmus *litmus)
{
	struct gmem_range pinned;

	take_claim(litmus);
	if (gmem_pin_table_find(litmus->vm, GPA, SIZE, &pinned))
		atomic_fetch_add_explicit(&litmus->met, 1, memory_order_relaxed);
	else
		hold(litmus, 1, 200);
	gmem_claim_release(litmus->vm, &litmus->claim);
	dawdle((unsigned int)random_below(&litmus->seed, 200));
}

static void a_pin_and_a_claim(void **unused)
{
	struct litmus litmus;

	litmus_open(&litmus);
	prepare_wait(&litmus);
	run(&litmus, pin_and_unpin, claim_and_release);
}

/*
 * What was waited for is gone. Who is in a wait still leaves it, and is not asleep on a turn that
 * nobody has counted; if it is, it is woken here.
 */
static void look_for_sleeper(struct litmus *litmus)
{
	uint32_t before = atomic_load(&litmus->waits_left);
	_Atomic uint32_t *turn = &litmus->vm->claims.turn;
	unsigned int spins = 0;

	while (atomic_load(&litmus->waits) && atomic_load(&litmus->waits_left) == before) {
		if (atomic_load(&litmus->asleep) &&
		    atomic_load(turn) == atomic_load(&litmus->slept_on)) {
			atomic_fetch_add(&litmus->forbidden, 1);
			atomic_fetch_add(turn, 1);
		}
		pause_now_and_then(&spins);
	}
}

static void *pin_for_waiter(void *opaque)
{
	struct litmus *litmus = opaque;
	uint64_t seed = 2;

	while (!atomic_load_explicit(&litmus->done, memory_order_relaxed)) {
		assert_int_equal(gmem_pin_table_add(litmus->vm, GPA, SIZE, &litmus->slot), 0);
		dawdle((unsigned int)random_below(&seed, 200));
		gmem_pin_table_drop(litmus->vm, litmus->slot);
		look_for_sleeper(litmus);
		atomic_fetch_add_explicit(&litmus->first_rounds, 1, memory_order_relaxed);
	}
	return NULL;
}

/* The wait is another each time, for patience grows in one. */
static void in_a_wait(struct litmus *litmus, void (*wait)(struct litmus *litmus))
{
	uint32_t slept_on = atomic_load(&litmus->slept_on);

	prepare_wait(litmus);
	atomic_store(&litmus->waits, true);
	wait(litmus);
	atomic_fetch_add(&litmus->waits_left, 1);
	atomic_store(&litmus->waits, false);
	if (atomic_load(&litmus->slept_on) != slept_on)
		atomic_fetch_add(&litmus->met, 1);
	dawdle((unsigned int)random_below(&litmus->seed, 200));
}

static void wait_for_pin(struct litmus *litmus)
{
	gmem_pin_table_wait(litmus->vm, GPA, SIZE, &litmus->wait);
}

static void wait_for_pin_once(struct litmus *litmus)
{
	in_a_wait(litmus, wait_for_pin);
}

static void unpinning_and_a_waiter(void **unused)
{
	struct litmus litmus;

	litmus_open(&litmus);
	run(&litmus, pin_for_waiter, wait_for_pin_once);
}

static void *claim_for_waiter(void *opaque)
{
	struct litmus *litmus = opaque;
	struct gmem_report report;
	struct wait wait;
	uint64_t seed = 2;

	wait_init(&wait, litmus->vm, &report, GMEM_OPERATION_CONVERT, false);
	while (!atomic_load_explicit(&litmus->done, memory_order_relaxed)) {
		assert_int_equal(
			gmem_claim_take(litmus->vm, &litmus->claim, &litmus->range, 1, &wait), 0);
		dawdle((unsigned int)random_below(&seed, 200));
		gmem_claim_release(litmus->vm, &litmus->claim);
		look_for_sleeper(litmus);
		atomic_fetch_add_explicit(&litmus->first_rounds, 1, memory_order_relaxed);
	}
	return NULL;
}

static void wait_for_claim(struct litmus *litmus)
{
	uint32_t seen;

	if (gmem_claim_covers(litmus->vm, GPA, SIZE, &seen))
		gmem_claim_wait(litmus->vm, seen, &litmus->wait);
}

static void wait_for_claim_once(struct litmus *litmus)
{
	in_a_wait(litmus, wait_for_claim);
}

static void a_claims_end_and_a_waiter(void **unused)
{
	struct litmus litmus;

	litmus_open(&litmus);
	run(&litmus, claim_for_waiter, wait_for_claim_once);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pin_and_a_claim),
		cmocka_unit_test(unpinning_and_a_waiter),
		cmocka_unit_test(a_claims_end_and_a_waiter),
	};

	if (getenv("GMEM_TEST_VALGRIND"))
		rounds /= 100;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
