// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of claims: which run together, in which order they are granted, what ends their waiting,
 * and that no wake-up is lost. Sleeps are real and only end by being woken (bare.h).
 */
#include "claim.h"

#include "bare.h"
#include "random.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define WORKERS 5
#define RANGES 8
#define SECOND UINT64_C(1000000000)

/* What a worker claims. */
struct job {
	struct bare *bare;
	struct worker *worker;
	struct claim claim;
	struct gmem_range ranges[RANGES];
	uint64_t count;
	struct gmem_report report;
	struct wait wait;
	bool never;
};

struct scene {
	struct bare bare;
	struct job jobs[WORKERS];
	int answer;
	_Atomic unsigned int asked;
};

static int answer(const struct gmem_report *so_far, void *opaque)
{
	struct scene *scene = opaque;

	atomic_fetch_add(&scene->asked, 1);
	return scene->answer;
}

static void open_scene(struct scene *scene)
{
	unsigned int i;

	memset(scene, 0, sizeof(*scene));
	bare_open(&scene->bare, SECOND, answer, scene);
	scene->bare.real = true;
	for (i = 0; i < WORKERS; i++) {
		scene->jobs[i].bare = &scene->bare;
		scene->jobs[i].worker = worker_new();
	}
}

static void close_scene(struct scene *scene)
{
	unsigned int i;

	assert_null(scene->bare.vm.claims.oldest);
	assert_null(scene->bare.vm.claims.newest);
	assert_int_equal(scene->bare.vm.claims.waiting, 0);
	for (i = 0; i < CLAIM_COUNTS; i++)
		assert_int_equal(scene->bare.vm.claims.counts[i], 0);
	for (i = 0; i < WORKERS; i++)
		worker_free(scene->jobs[i].worker);
	bare_close(&scene->bare);
}

static int take(void *opaque)
{
	struct job *job = opaque;

	wait_init(&job->wait, &job->bare->vm, &job->report, GMEM_OPERATION_CONVERT, job->never);
	return gmem_claim_take(&job->bare->vm, &job->claim, job->ranges, job->count, &job->wait);
}

static int release(void *opaque)
{
	struct job *job = opaque;

	gmem_claim_release(&job->bare->vm, &job->claim);
	return 0;
}

/* In pages. */
static void set_range(struct job *job, uint64_t first, uint64_t pages)
{
	job->ranges[0] = (struct gmem_range){ first * PAGE, pages * PAGE };
	job->count = 1;
}

static void start_take(struct job *job, uint64_t first, uint64_t pages)
{
	set_range(job, first, pages);
	worker_start(job->worker, take, job);
}

static bool is_queued(struct job *job)
{
	struct gmem_vm *vm = &job->bare->vm;
	const struct claim *claim;
	bool found = false;

	lock_take(&vm->claims.lock, &vm->kernel);
	for (claim = vm->claims.oldest; claim && !found; claim = claim->next)
		found = claim == &job->claim;
	lock_release(&vm->claims.lock, &vm->kernel);
	return found;
}

static void start_and_queue(struct job *job, uint64_t first, uint64_t pages)
{
	start_take(job, first, pages);
	while (!is_queued(job))
		sched_yield();
}

static bool is_granted(struct job *job)
{
	struct gmem_vm *vm = &job->bare->vm;
	bool granted;

	lock_take(&vm->claims.lock, &vm->kernel);
	granted = job->claim.granted;
	lock_release(&vm->claims.lock, &vm->kernel);
	return granted;
}

static void take_now(struct job *job, uint64_t first, uint64_t pages)
{
	start_take(job, first, pages);
	assert_int_equal(worker_finish(job->worker), 0);
}

static void let_go(struct job *job)
{
	assert_int_equal(worker_do(job->worker, release, job), 0);
}

static int is_mine(void *opaque)
{
	struct job *job = opaque;

	return gmem_claim_is_mine(&job->bare->vm);
}

static void disjoint_claims_are_granted_at_once(void **unused)
{
	struct scene scene;
	unsigned int i;

	open_scene(&scene);
	for (i = 0; i < WORKERS; i++)
		take_now(&scene.jobs[i], 16 * i, 16);
	for (i = 0; i < WORKERS; i++)
		assert_true(worker_do(scene.jobs[i].worker, is_mine, &scene.jobs[i]));
	assert_false(gmem_claim_is_mine(&scene.bare.vm));
	for (i = 0; i < WORKERS; i++)
		let_go(&scene.jobs[i]);
	assert_false(worker_do(scene.jobs[0].worker, is_mine, &scene.jobs[0]));
	assert_int_equal(scene.bare.nap_count, 0);
	assert_int_equal(scene.bare.wakes, 0);
	close_scene(&scene);
}

static void claims_are_granted_in_the_order_in_which_they_came(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1], *c = &scene.jobs[2];
	struct job *d = &scene.jobs[3], *e = &scene.jobs[4];

	open_scene(&scene);
	take_now(a, 0, 10);
	start_and_queue(b, 0, 10);
	start_and_queue(c, 5, 10);
	/* Nobody has these pages, but somebody who came earlier waits for some of them. */
	start_and_queue(d, 12, 8);
	take_now(e, 30, 10);
	assert_false(is_granted(b) || is_granted(c) || is_granted(d));
	let_go(e);
	let_go(a);
	assert_int_equal(worker_finish(b->worker), 0);
	assert_false(is_granted(c) || is_granted(d));
	let_go(b);
	assert_int_equal(worker_finish(c->worker), 0);
	assert_false(is_granted(d));
	let_go(c);
	assert_int_equal(worker_finish(d->worker), 0);
	let_go(d);
	close_scene(&scene);
}

/* Who waits for the first of several that end at once goes on when nothing overlaps any more. */
static void a_claim_waits_for_all_that_overlap_it(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1], *c = &scene.jobs[2];

	open_scene(&scene);
	take_now(a, 0, 4);
	take_now(b, 8, 4);
	start_and_queue(c, 2, 8);
	let_go(a);
	assert_false(is_granted(c));
	let_go(b);
	assert_int_equal(worker_finish(c->worker), 0);
	/* What it waited for is not left in the report. */
	assert_int_equal(c->report.gpa | c->report.size | c->report.obstacle, 0);
	let_go(c);
	close_scene(&scene);
}

/* It only says that its thread is at work. */
static void a_claim_of_nothing_waits_for_nobody(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1], *c = &scene.jobs[2];
	struct gmem_vm *vm = &scene.bare.vm;
	uint32_t seen;

	open_scene(&scene);
	b->never = true;
	wait_init(&b->wait, vm, &b->report, GMEM_OPERATION_CONVERT, true);
	take_now(a, 0, 1000);
	assert_int_equal(gmem_claim_take(vm, &b->claim, NULL, 0, &b->wait), 0);
	assert_true(gmem_claim_is_mine(vm));
	take_now(c, 1000, 1000);
	assert_false(gmem_claim_covers(vm, 2000 * PAGE, PAGE, &seen));
	let_go(a);
	take_now(a, 0, 1000);
	gmem_claim_release(vm, &b->claim);
	assert_false(gmem_claim_is_mine(vm));
	let_go(a);
	let_go(c);
	assert_int_equal(scene.bare.nap_count, 0);
	close_scene(&scene);
}

/* Pages as bits; a batch of them as ranges. */
static uint64_t random_batch(struct job *job, uint64_t *seed)
{
	uint64_t pages = 0, page = random_below(seed, 8);
	unsigned int count = 1 + (unsigned int)random_below(seed, RANGES), i;

	for (i = 0; i < count && page < 60; i++) {
		uint64_t size = 1 + random_below(seed, 4);

		job->ranges[i] = (struct gmem_range){ page * PAGE, size * PAGE };
		pages |= ((UINT64_C(1) << size) - 1) << page;
		page += size + random_below(seed, 6);
	}
	job->count = i;
	return pages;
}

static void batches_exclude_each_other_where_they_overlap(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1];
	uint64_t seed = random_seed("batches"), first, second;
	unsigned int round, together = 0;

	open_scene(&scene);
	b->never = true;
	for (round = 0; round < 1000; round++) {
		first = random_batch(a, &seed);
		second = random_batch(b, &seed);
		assert_int_equal(worker_do(a->worker, take, a), 0);
		assert_int_equal(worker_do(b->worker, take, b), first & second ? -EAGAIN : 0);
		if (!(first & second)) {
			together++;
			let_go(b);
		}
		let_go(a);
	}
	assert_true(together > 10 && together < 990);
	assert_int_equal(scene.bare.nap_count, 0);
	close_scene(&scene);
}

static uint64_t pages_of(const struct gmem_range *range)
{
	return ((UINT64_C(1) << range->size / PAGE) - 1) << range->gpa / PAGE;
}

/* The lowest part that both have, and nothing that only one has. */
static void who_waits_is_told_what_is_in_the_way(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1];
	uint64_t seed = random_seed("in the way"), both;
	struct gmem_range part;
	unsigned int round;
	uint32_t seen;

	open_scene(&scene);
	b->never = true;
	for (round = 0; round < 1000; round++) {
		both = random_batch(a, &seed);
		both &= random_batch(b, &seed);
		if (!both)
			continue;
		assert_int_equal(worker_do(a->worker, take, a), 0);
		assert_int_equal(worker_do(b->worker, take, b), -EAGAIN);
		part = (struct gmem_range){ b->report.gpa, b->report.size };
		assert_int_equal(b->report.obstacle, GMEM_OBSTACLE_OPERATION);
		assert_int_equal(part.gpa / PAGE, __builtin_ctzll(both));
		assert_true(part.size && !(pages_of(&part) & ~both));
		/* To a pin as well. */
		assert_true(gmem_claim_find(&scene.bare.vm, part.gpa + 7, 64 * PAGE, &seen, &part));
		assert_int_equal(part.gpa, b->report.gpa + 7);
		let_go(a);
	}
	close_scene(&scene);
}

static void expect_part(struct job *job, uint64_t first, uint64_t pages, uint64_t part_first,
			uint64_t part_pages)
{
	set_range(job, first, pages);
	assert_int_equal(worker_do(job->worker, take, job), -EAGAIN);
	assert_int_equal(job->report.gpa, part_first * PAGE);
	assert_int_equal(job->report.size, part_pages * PAGE);
}

/* Neighbours in a block: of one's own the part that is in it. */
static void what_is_in_the_way_may_be_a_block(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1];

	open_scene(&scene);
	gmem_claims_set_block(&scene.bare.vm, 16 * PAGE);
	take_now(a, 20, 4);
	b->never = true;
	expect_part(b, 17, 1, 17, 1);
	expect_part(b, 30, 10, 30, 2);
	expect_part(b, 0, 18, 16, 2);
	expect_part(b, 22, 10, 22, 2);
	expect_part(b, 0, 100, 20, 4);
	let_go(a);
	gmem_claims_set_block(&scene.bare.vm, 0);
	close_scene(&scene);
}

static void covers_is_exact(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0];
	uint64_t seed = random_seed("covers"), pages;
	unsigned int round, page;
	uint32_t seen;

	open_scene(&scene);
	for (round = 0; round < 300; round++) {
		pages = random_batch(a, &seed);
		assert_int_equal(worker_do(a->worker, take, a), 0);
		for (page = 0; page < 64; page++) {
			bool claimed = pages >> page & 1;
			uint64_t gpa = page * PAGE;

			seen = ~scene.bare.vm.claims.turn;
			assert_int_equal(gmem_claim_covers(&scene.bare.vm, gpa, PAGE, &seen),
					 claimed);
			if (claimed)
				assert_int_equal(seen, scene.bare.vm.claims.turn);
			assert_int_equal(gmem_claim_covers(&scene.bare.vm, gpa + 5, 1, &seen),
					 claimed);
		}
		let_go(a);
		assert_false(gmem_claim_covers(&scene.bare.vm, 0, 64 * PAGE, &seen));
	}
	close_scene(&scene);
}

/* The table of counts wraps around: same count, other address. */
static void covers_finds_large_and_distant_claims(void **unused)
{
	const uint64_t wrap = (uint64_t)CLAIM_COUNTS << CLAIM_COUNT_SHIFT, top = -PAGE;
	struct scene scene;
	struct job *a = &scene.jobs[0];
	struct gmem_vm *vm = &scene.bare.vm;
	uint32_t seen;

	open_scene(&scene);
	take_now(a, 0, 1);
	assert_true(gmem_claim_covers(vm, 0, 1, &seen));
	assert_false(gmem_claim_covers(vm, wrap, PAGE, &seen));
	assert_true(gmem_claim_covers(vm, 0, top, &seen));
	assert_false(gmem_claim_covers(vm, PAGE, top - PAGE, &seen));
	let_go(a);
	/* All there is, and more than there are counts. */
	take_now(a, 0, top / PAGE);
	assert_true(gmem_claim_covers(vm, 12345 * wrap, 1, &seen));
	assert_true(gmem_claim_covers(vm, top - 1, 1, &seen));
	let_go(a);
	take_now(a, top / PAGE - 1, 1);
	assert_true(gmem_claim_covers(vm, top - PAGE, PAGE, &seen));
	assert_false(gmem_claim_covers(vm, 0, top - PAGE, &seen));
	let_go(a);
	close_scene(&scene);
}

static void who_only_waits_covers_nothing(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1];
	uint32_t seen;

	open_scene(&scene);
	take_now(a, 0, 4);
	start_and_queue(b, 3, 4);
	assert_true(gmem_claim_covers(&scene.bare.vm, 3 * PAGE, PAGE, &seen));
	assert_false(gmem_claim_covers(&scene.bare.vm, 4 * PAGE, PAGE, &seen));
	let_go(a);
	assert_int_equal(worker_finish(b->worker), 0);
	assert_true(gmem_claim_covers(&scene.bare.vm, 4 * PAGE, PAGE, &seen));
	assert_false(gmem_claim_covers(&scene.bare.vm, 2 * PAGE, PAGE, &seen));
	let_go(b);
	close_scene(&scene);
}

static void claim_take_EDEADLK(void **unused)
{
	struct scene scene;
	struct job other = { .bare = &scene.bare };
	struct job *a = &scene.jobs[0];
	uint32_t seen = 0;

	open_scene(&scene);
	take_now(a, 0, 4);
	/* The same thread, whatever it wants. */
	set_range(&other, 0, 1);
	assert_int_equal(worker_do(a->worker, take, &other), -EDEADLK);
	set_range(&other, 100, 1);
	assert_int_equal(worker_do(a->worker, take, &other), -EDEADLK);
	let_go(a);
	assert_int_equal(worker_do(a->worker, take, &other), 0);
	assert_int_equal(worker_do(a->worker, release, &other), 0);
	/* Waiting for a claim that may be one's own. */
	set_range(a, 0, 1);
	assert_int_equal(take(a), 0);
	assert_int_equal(gmem_claim_wait(&scene.bare.vm, seen, &a->wait), -EDEADLK);
	gmem_claim_release(&scene.bare.vm, &a->claim);
	close_scene(&scene);
}

/* In a callback of somebody who waits, too. */
static int take_in_callback(const struct gmem_report *so_far, void *opaque)
{
	struct scene *scene = opaque;
	struct job inner = { .bare = &scene->bare };

	set_range(&inner, 200, 1);
	scene->answer = take(&inner);
	atomic_fetch_add(&scene->asked, 1);
	return so_far->gpa == PAGE ? GMEM_RETRY_STOP : GMEM_RETRY_AGAIN;
}

static void claim_take_EDEADLK_in_a_callback(void **unused)
{
	struct scene scene;

	open_scene(&scene);
	scene.bare.vm.config.retry = take_in_callback;
	take_now(&scene.jobs[0], 0, 4);
	start_and_queue(&scene.jobs[1], 1, 4);
	assert_int_equal(worker_finish_by_signals(scene.jobs[1].worker), -EAGAIN);
	assert_int_equal(scene.asked, 1);
	assert_int_equal(scene.answer, -EDEADLK);
	let_go(&scene.jobs[0]);
	close_scene(&scene);
}

static void claim_take_EAGAIN_nowait(void **unused)
{
	struct scene scene;
	struct job *b = &scene.jobs[1];

	open_scene(&scene);
	take_now(&scene.jobs[0], 4, 4);
	b->never = true;
	start_take(b, 7, 4);
	assert_int_equal(worker_finish(b->worker), -EAGAIN);
	assert_int_equal(b->report.gpa, 7 * PAGE);
	assert_int_equal(scene.bare.nap_count, 0);
	assert_int_equal(scene.asked, 0);
	assert_false(is_queued(b));
	let_go(&scene.jobs[0]);
	close_scene(&scene);
}

/* A signal alone has the callback asked; what gave up is in nobody's way. */
static void claim_take_EAGAIN_by_signal(void **unused)
{
	static const int answers[] = { GMEM_RETRY_STOP, GMEM_RETRY_LATER, GMEM_RETRY_SKIP, 99 };
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1], *c = &scene.jobs[2];
	unsigned int i;

	open_scene(&scene);
	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		scene.asked = 0;
		scene.answer = answers[i];
		take_now(a, 0, 4);
		start_and_queue(b, 2, 4);
		start_and_queue(c, 5, 4);
		assert_int_equal(worker_finish_by_signals(b->worker), -EAGAIN);
		assert_int_equal(b->report.gpa, 2 * PAGE);
		assert_int_equal(b->wait.later, answers[i] == GMEM_RETRY_LATER);
		assert_int_equal(scene.asked, 1);
		/* It was what c waited for. */
		assert_int_equal(worker_finish(c->worker), 0);
		let_go(c);
		let_go(a);
	}
	close_scene(&scene);
}

static void a_signal_changes_nothing_when_the_callback_says_so(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1];

	open_scene(&scene);
	scene.answer = GMEM_RETRY_AGAIN;
	take_now(a, 0, 4);
	scene.bare.real = false;
	scene.bare.nap_result = -EINTR;
	start_and_queue(b, 2, 4);
	while (scene.asked < 100)
		sched_yield();
	assert_false(worker_is_done(b->worker));
	let_go(a);
	assert_int_equal(worker_finish(b->worker), 0);
	let_go(b);
	close_scene(&scene);
}

static int wait_for_end(void *opaque)
{
	struct job *job = opaque;
	struct gmem_vm *vm = &job->bare->vm;
	uint32_t seen;
	int rc = 0;

	wait_init(&job->wait, vm, &job->report, GMEM_OPERATION_CONVERT, job->never);
	while (!rc && gmem_claim_covers(vm, job->ranges[0].gpa, job->ranges[0].size, &seen))
		rc = gmem_claim_wait(vm, seen, &job->wait);
	return rc;
}

static void others_wait_for_a_claim_to_end(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1];

	open_scene(&scene);
	take_now(a, 0, 4);
	set_range(b, 2, 1);
	worker_start(b->worker, wait_for_end, b);
	while (!scene.bare.nap_count)
		sched_yield();
	let_go(a);
	assert_int_equal(worker_finish(b->worker), 0);
	/* Once it has ended there is nothing to wait for, and the number seen before says so. */
	assert_int_equal(worker_do(b->worker, wait_for_end, b), 0);
	take_now(a, 0, 4);
	scene.answer = GMEM_RETRY_STOP;
	worker_start(b->worker, wait_for_end, b);
	assert_int_equal(worker_finish_by_signals(b->worker), -EAGAIN);
	b->never = true;
	assert_int_equal(worker_do(b->worker, wait_for_end, b), -EAGAIN);
	let_go(a);
	close_scene(&scene);
}

static void release_first(struct bare *bare)
{
	struct scene *scene = (struct scene *)bare;

	gmem_claim_release(&bare->vm, &scene->jobs[0].claim);
	bare->during_nap = NULL;
}

/* A claim that ends between the look and the sleep: the sleep does not begin. */
static void a_claim_that_ends_just_before_the_sleep_is_noticed(void **unused)
{
	struct scene scene;
	struct job *a = &scene.jobs[0], *b = &scene.jobs[1];
	uint64_t start;
	uint32_t seen;

	open_scene(&scene);
	scene.bare.real = false;
	start = scene.bare.now;
	take_now(a, 0, 4);
	scene.bare.during_nap = release_first;
	set_range(b, 2, 4);
	assert_int_equal(take(b), 0);
	release(b);
	take_now(a, 0, 4);
	assert_true(gmem_claim_covers(&scene.bare.vm, 0, 1, &seen));
	let_go(a);
	assert_int_equal(gmem_claim_wait(&scene.bare.vm, seen, &b->wait), 0);
	assert_int_equal(scene.bare.nap_count, 2);
	assert_int_equal(scene.bare.now, start);
	close_scene(&scene);
}

/* Threads that claim, look whether they are alone, and go on, as fast as they can. */
#define CROWD_PAGES 32u
static unsigned int crowd_rounds = 2000;
static _Atomic uint32_t crowd_owner[CROWD_PAGES];
static _Atomic uint64_t crowd_seed;

/* False if somebody else has a page. */
static bool hand_over(const struct job *job, uint32_t from, uint32_t to)
{
	bool alone = true;
	uint64_t i, page;

	for (i = 0; i < job->count; i++) {
		for (page = job->ranges[i].gpa / PAGE;
		     page < (job->ranges[i].gpa + job->ranges[i].size) / PAGE; page++)
			alone &= atomic_exchange(&crowd_owner[page % CROWD_PAGES], to) == from;
	}
	return alone;
}

static void crowd_ranges(struct job *job, uint64_t *seed)
{
	uint64_t page = random_below(seed, 8);

	for (job->count = 0; job->count < 3 && page < CROWD_PAGES - 4; job->count++) {
		uint64_t size = 1 + random_below(seed, 4);

		job->ranges[job->count] = (struct gmem_range){ page * PAGE, size * PAGE };
		page += size + random_below(seed, 12);
	}
}

static int crowd(void *opaque)
{
	struct job *job = opaque;
	uint64_t seed = atomic_fetch_add(&crowd_seed, 0x9e3779b97f4a7c15);
	uint32_t me = (uint32_t)(uintptr_t)job;
	unsigned int round;
	bool alone = true;

	for (round = 0; round < crowd_rounds && alone; round++) {
		crowd_ranges(job, &seed);
		if (take(job))
			return -1;
		alone = hand_over(job, 0, me);
		if (round % 4 == 0)
			sched_yield();
		alone &= hand_over(job, me, 0);
		release(job);
	}
	return alone ? 0 : -2;
}

static void no_wake_up_is_lost_and_nobody_is_let_in_early(void **unused)
{
	struct scene scene;
	unsigned int i;

	open_scene(&scene);
	crowd_seed = random_seed("crowd");
	for (i = 0; i < WORKERS; i++)
		worker_start(scene.jobs[i].worker, crowd, &scene.jobs[i]);
	for (i = 0; i < WORKERS; i++)
		assert_int_equal(worker_finish(scene.jobs[i].worker), 0);
	assert_true(scene.bare.nap_count > 0);
	close_scene(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disjoint_claims_are_granted_at_once),
		cmocka_unit_test(claims_are_granted_in_the_order_in_which_they_came),
		cmocka_unit_test(a_claim_waits_for_all_that_overlap_it),
		cmocka_unit_test(a_claim_of_nothing_waits_for_nobody),
		cmocka_unit_test(batches_exclude_each_other_where_they_overlap),
		cmocka_unit_test(who_waits_is_told_what_is_in_the_way),
		cmocka_unit_test(what_is_in_the_way_may_be_a_block),
		cmocka_unit_test(covers_is_exact),
		cmocka_unit_test(covers_finds_large_and_distant_claims),
		cmocka_unit_test(who_only_waits_covers_nothing),
		cmocka_unit_test(claim_take_EDEADLK),
		cmocka_unit_test(claim_take_EDEADLK_in_a_callback),
		cmocka_unit_test(claim_take_EAGAIN_nowait),
		cmocka_unit_test(claim_take_EAGAIN_by_signal),
		cmocka_unit_test(a_signal_changes_nothing_when_the_callback_says_so),
		cmocka_unit_test(others_wait_for_a_claim_to_end),
		cmocka_unit_test(a_claim_that_ends_just_before_the_sleep_is_noticed),
		cmocka_unit_test(no_wake_up_is_lost_and_nobody_is_let_in_early),
	};

	if (getenv("GMEM_TEST_VALGRIND"))
		crowd_rounds = 50;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
