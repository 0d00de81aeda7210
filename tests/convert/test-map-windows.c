// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that comes to a second address while somebody is at work on the first: whoever frees pages
 * and whoever maps them again are never at it at the same time.
 */
#include "ears.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define ADD GMEM_EVENT_ADD
#define REMOVE GMEM_EVENT_REMOVE

struct stage;

/* What another thread does from within the first call of a listener. */
struct other {
	struct stage *stage;
	uint32_t on; /* GMEM_EVENT_* of that call */
	int (*act)(struct stage *stage);
	bool wait_for_end; /* else until it waits for somebody */
	pthread_t thread;
	bool started;
	_Atomic bool ended;
	int result;
};

/* Pages 0-16 are plain memory; 32-48 other memory. */
struct stage {
	struct rig rig;
	struct ears ears;
	struct other other;
};

static void *act(void *opaque)
{
	struct other *other = opaque;

	other->result = other->act(other->stage);
	atomic_store(&other->ended, true);
	return NULL;
}

static void start_other(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct other *other = ear->opaque;
	struct rig *rig = &other->stage->rig;
	uint32_t futexes = atomic_load(&rig->futex_calls);

	(void)run;
	if (event != other->on || other->started)
		return;
	other->started = true;
	if (pthread_create(&other->thread, NULL, act, other))
		abort();
	while (!atomic_load(&other->ended) &&
	       (other->wait_for_end || atomic_load(&rig->futex_calls) == futexes))
		sched_yield();
}

static void stage_open(struct stage *stage, const struct mode *mode, uint32_t on,
		       int (*what)(struct stage *stage))
{
	struct rig *rig = &stage->rig;

	memset(&stage->other, 0, sizeof(stage->other));
	rig_open(rig, mode);
	rig_plain_region(rig, 64);
	rig_region(rig, 16);
	rig_map(rig, 0, rig->region[0], 0, 16);
	rig_map(rig, 32, rig->region[1], 0, 16);
	ears_open(&stage->ears, rig);
	ears_listen_all(&stage->ears, 0, 0);
	ears_listen_all(&stage->ears, 1, 0);
	ears_forget(&stage->ears);
	stage->other.stage = stage;
	stage->other.on = on;
	stage->other.act = what;
	stage->ears.ear[0].inside = start_other;
	stage->ears.ear[0].opaque = &stage->other;
}

static void join_other(struct stage *stage)
{
	assert_true(stage->other.started);
	pthread_join(stage->other.thread, NULL);
	assert_int_equal(stage->other.result, 0);
	stage->ears.ear[0].inside = NULL;
	ears_compare(&stage->ears, "both");
	rig_compare(&stage->rig);
}

static void stage_close(struct stage *stage)
{
	ears_close(&stage->ears);
	rig_close(&stage->rig);
}

static int map_again(struct stage *stage)
{
	struct rig *rig = &stage->rig;

	return gmem_vm_map(rig->vm, 64 * rig->page, rig->region[0], 0, 16 * rig->page,
			   GMEM_SLOT_AUTO, 0);
}

static int unplug(struct stage *stage)
{
	struct rig *rig = &stage->rig;

	return gmem_vm_discard(rig->vm, 4 * rig->page, 4 * rig->page, GMEM_DISCARD_ABSENT, NULL);
}

static void expect_absent(struct stage *stage, uint64_t page)
{
	struct rig *rig = &stage->rig;

	assert_int_equal(gmem_vm_get_state(rig->vm, page * rig->page, 4 * rig->page), GMEM_ABSENT);
}

static void what_is_being_unplugged_is_mapped_again(void **state)
{
	struct stage stage;

	stage_open(&stage, *state, REMOVE, map_again);
	assert_int_equal(unplug(&stage), 0);
	join_other(&stage);
	expect_absent(&stage, 4);
	expect_absent(&stage, 68);
	stage_close(&stage);
}

static void what_is_being_mapped_again_is_unplugged(void **state)
{
	struct stage stage;

	stage_open(&stage, *state, ADD, unplug);
	assert_int_equal(map_again(&stage), 0);
	join_other(&stage);
	expect_absent(&stage, 4);
	expect_absent(&stage, 68);
	stage_close(&stage);
}

/* Neither finds the other's at first: the second to come has to begin again. */
static void two_addresses_come_at_the_same_time(void **state)
{
	struct gmem_change *change;
	struct stage stage;
	struct rig *rig = &stage.rig;
	uint64_t page;

	stage_open(&stage, *state, 0, map_again);
	page = rig->page;
	assert_int_equal(gmem_vm_unmap(rig->vm, 0, 16 * page), 0);
	ears_forget(&stage.ears);
	stage.other.on = REMOVE;
	stage.other.wait_for_end = true;
	assert_int_equal(gmem_change_new(rig->vm, &change), 0);
	gmem_change_unmap(change, 32 * page, 16 * page);
	gmem_change_map(change, 128 * page, rig->region[0], 8 * page, 16 * page, GMEM_SLOT_AUTO, 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	ears_expect(&stage.ears, 0, 1, REMOVE, 32, 16);
	ears_expect(&stage.ears, 1, 0, REMOVE, 32, 16);
	ears_expect(&stage.ears, 2, 0, ADD, 64, 16);
	ears_expect(&stage.ears, 3, 1, ADD, 64, 16);
	ears_expect(&stage.ears, 4, 0, ADD, 32, 16);
	ears_expect(&stage.ears, 5, 1, ADD, 32, 16);
	ears_expect(&stage.ears, 6, 1, REMOVE, 32, 16);
	ears_expect(&stage.ears, 7, 0, REMOVE, 32, 16);
	ears_expect(&stage.ears, 8, 0, ADD, 128, 16);
	ears_expect(&stage.ears, 9, 1, ADD, 128, 16);
	ears_expect_count(&stage.ears, 10);
	join_other(&stage);
	stage_close(&stage);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(what_is_being_unplugged_is_mapped_again, IN_ALL_MODES),
		RIG_CASE(what_is_being_mapped_again_is_unplugged, IN_ALL_MODES),
		RIG_CASE(two_addresses_come_at_the_same_time, IN_ALL_MODES),
	};

	return rig_run("memory at two addresses", cases, sizeof(cases) / sizeof(cases[0]));
}
