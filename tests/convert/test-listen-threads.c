// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Listeners while many threads convert, discard, change the layout, and make and free listeners:
 * calls for one address never come at once, whoever is told of what, and in the end each has what
 * is there. What a listener keeps is not atomic, so ThreadSanitizer sees calls that nothing orders.
 */
#include "rig.h"

#include "tests/support/random.h"
#include "tests/support/support.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 256u /* shared by all who convert */
#define OTHER 512u /* where the layout changes */
#define OTHER_PAGES 64u
#define ALL_PAGES (OTHER + OTHER_PAGES)
#define CONVERTERS 4u
#define ROUNDS 1500u

struct ear {
	struct rig *rig;
	struct gmem_listener *listener;
	uint64_t granularity; /* in pages */
	bool has[ALL_PAGES];
	_Atomic uint32_t inside[ALL_PAGES]; /* calls at work */
	_Atomic uint32_t broken;
};

struct work {
	struct rig *rig;
	uint64_t random;
	uint32_t number;
	_Atomic bool *over;
	struct ear *ear; /* of those who make and free one */
};

/* cmocka's assertions are for the first thread alone. */
static void must(bool held)
{
	if (!held)
		abort();
}

static int hear(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct ear *ear = opaque;
	uint64_t first = run->gpa / ear->rig->page, end = first + run->size / ear->rig->page, i;
	bool add = event == GMEM_EVENT_ADD;

	for (i = first; i < end; i++) {
		if (atomic_fetch_add_explicit(&ear->inside[i], 1, memory_order_relaxed) ||
		    ear->has[i] == add)
			atomic_fetch_add_explicit(&ear->broken, 1, memory_order_relaxed);
	}
	(void)*(const volatile char *)run->host;
	sched_yield();
	for (i = first; i < end; i++) {
		ear->has[i] = add;
		atomic_fetch_sub_explicit(&ear->inside[i], 1, memory_order_relaxed);
	}
	return 0;
}

static void listen(struct ear *ear, struct rig *rig, uint64_t granularity)
{
	memset(ear, 0, sizeof(*ear));
	ear->rig = rig;
	ear->granularity = granularity;
	assert_int_equal(gmem_listener_new(rig->vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM,
					   granularity * rig->page, hear, ear, NULL,
					   &ear->listener),
			 0);
}

/* Pages of blocks that the others convert pages of as well. */
static void *convert(void *opaque)
{
	struct work *work = opaque;
	struct rig *rig = work->rig;
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t page = random_below(&work->random, PAGES), pages = 1;
		uint32_t to = random_below(&work->random, 3) ? GMEM_SHARED : GMEM_PRIVATE;

		if (!random_below(&work->random, 4))
			pages = 1 + random_below(&work->random, PAGES - page);
		must(!rig_convert(rig, page, pages, to, 0, NULL));
		if (!random_below(&work->random, 16))
			must(!gmem_vm_discard(rig->vm, page * rig->page, rig->page, 0, NULL));
		if (!random_below(&work->random, 16))
			must(!gmem_vm_flush(rig->vm, 0, NULL));
	}
	return NULL;
}

static void *change_layout(void *opaque)
{
	struct work *work = opaque;
	struct rig *rig = work->rig;

	while (!atomic_load(work->over)) {
		must(!gmem_vm_map(rig->vm, OTHER * rig->page, rig->region[1], 0,
				  OTHER_PAGES * rig->page, GMEM_SLOT_AUTO, 0));
		must(!rig_convert(rig, OTHER + 3, 1, GMEM_PRIVATE, 0, NULL));
		must(!rig_convert(rig, OTHER, OTHER_PAGES, GMEM_SHARED, 0, NULL));
		must(!gmem_vm_unmap(rig->vm, OTHER * rig->page, OTHER_PAGES * rig->page));
	}
	return NULL;
}

/* Registered late, with what is there; gone while others are at work. */
static void *come_and_go(void *opaque)
{
	struct work *work = opaque;
	struct ear *ear = work->ear;
	uint32_t i;

	while (!atomic_load(work->over)) {
		struct gmem_listener *listener;

		must(!gmem_listener_new(work->rig->vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM,
					ear->granularity * work->rig->page, hear, ear, NULL,
					&listener));
		sched_yield();
		gmem_listener_free(listener);
		for (i = 0; i < ALL_PAGES; i++) {
			if (ear->has[i])
				atomic_fetch_add(&ear->broken, 1);
		}
	}
	return NULL;
}

static void check(struct ear *ear)
{
	uint64_t block = ear->granularity ? ear->granularity : 1, i;
	struct rig *rig = ear->rig;

	assert_int_equal(ear->broken, 0);
	for (i = 0; i < PAGES; i++) {
		uint64_t first = i / block * block;

		assert_int_equal(ear->has[i], gmem_vm_get_state(rig->vm, first * rig->page,
								block * rig->page) == GMEM_SHARED);
	}
}

static void calls_for_one_address_come_one_by_one(void **state)
{
	static const uint64_t granularities[] = { 0, 1, 8, 32 };
	uint64_t seed = random_seed("listeners and threads");
	struct ear *ears = support_new(5 * sizeof(*ears));
	struct work work[CONVERTERS + 3] = { 0 };
	pthread_t threads[CONVERTERS + 3];
	struct gmem_vm_config *config;
	const struct mode *mode = *state;
	_Atomic bool over = false;
	struct rig rig;
	uint32_t i;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_discard_limit(config, 64 * 4096);
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, 0, rig_region(&rig, PAGES), 0, PAGES);
	rig_region(&rig, OTHER_PAGES);
	for (i = 0; i < 4; i++)
		listen(&ears[i], &rig, granularities[i]);
	ears[4].rig = &rig;
	ears[4].granularity = 16;
	for (i = 0; i < CONVERTERS + 2; i++) {
		work[i] = (struct work){ .rig = &rig, .random = seed + i, .over = &over };
		work[i].ear = &ears[4];
		must(!pthread_create(&threads[i], NULL,
				     i < CONVERTERS    ? convert
				     : i == CONVERTERS ? change_layout
						       : come_and_go,
				     &work[i]));
	}
	for (i = 0; i < CONVERTERS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&over, true);
	for (; i < CONVERTERS + 2; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < 4; i++)
		check(&ears[i]);
	assert_int_equal(ears[4].broken, 0);
	rig_compare(&rig);
	for (i = 0; i < 4; i++)
		gmem_listener_free(ears[i].listener);
	rig_close(&rig);
	free(ears);
}

/* Of a VM that has ended, each of its own listener. */
static void *free_listener(void *opaque)
{
	gmem_listener_free(opaque);
	return NULL;
}

static void listeners_of_an_ended_vm_are_freed_by_many_threads(void **state)
{
	struct ear *ears = support_new(4 * sizeof(*ears));
	pthread_t threads[4];
	struct gmem_vm *vm;
	struct rig rig;
	uint32_t i;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 16), 0, 16);
	for (i = 0; i < 4; i++)
		listen(&ears[i], &rig, 0);
	vm = rig.vm;
	rig.vm = NULL;
	gmem_vm_free(vm);
	for (i = 0; i < 4; i++)
		must(!pthread_create(&threads[i], NULL, free_listener, ears[i].listener));
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* Nobody is told of a VM that has ended. */
	for (i = 0; i < 4; i++)
		assert_true(ears[i].has[0]);
	rig_close(&rig);
	free(ears);
}

/* Sections of other address spaces have no address that listeners or conversions know. */
static void *change_smm(void *opaque)
{
	struct work *work = opaque;
	struct rig *rig = work->rig;
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		must(!gmem_vm_map_alias(rig->vm, 1, 0, rig->region[0], 0, rig->page, GMEM_SLOT_AUTO,
					0));
		must(!gmem_vm_unmap_alias(rig->vm, 1, 0, rig->page));
	}
	atomic_store(work->over, true);
	return NULL;
}

static void listeners_come_while_other_address_spaces_change(void **state)
{
	static const struct mode mode = {
		"default", GMEM_SIM_LINUX_6_18, GMEM_VM_TYPE_DEFAULT, GMEM_BACKING_PLAIN,
		0,         GMEM_TRACKING_NONE
	};
	struct ear *ear = support_new(sizeof(*ear));
	_Atomic bool over = false;
	struct rig rig;
	struct work work = { .rig = &rig, .over = &over, .ear = ear };
	pthread_t thread;

	(void)state;
	rig_open(&rig, &mode);
	rig_map(&rig, 0, rig_region(&rig, PAGES), 0, PAGES);
	ear->rig = &rig;
	must(!pthread_create(&thread, NULL, change_smm, &work));
	come_and_go(&work);
	pthread_join(thread, NULL);
	assert_int_equal(ear->broken, 0);
	rig_close(&rig);
	free(ear);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(calls_for_one_address_come_one_by_one, SMALL_PAGES),
		RIG_CASE(listeners_of_an_ended_vm_are_freed_by_many_threads, SMALL_PAGES),
		RIG_CASE(listeners_come_while_other_address_spaces_change, SMALL_PAGES),
	};

	return rig_run("listeners and threads", cases, sizeof(cases) / sizeof(cases[0]));
}
