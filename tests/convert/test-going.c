// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that goes: listeners let go of it first, then its pins are waited for, while others are
 * free to change the layout elsewhere. What does not lose its memslot waits for nobody.
 */
#include "ears.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ADD GMEM_EVENT_ADD
#define REMOVE GMEM_EVENT_REMOVE

/* Pages 0-16 are of the mode's backing, 32-48 plain memory. Nobody waits for a page in use. */
struct stage {
	struct rig rig;
	struct ears ears;
	struct gmem_pin pin;
};

static void stage_open(struct stage *stage, const struct mode *mode)
{
	struct gmem_vm_config *config = rig_config(mode);
	struct rig *rig = &stage->rig;

	gmem_vm_config_set_retry(config, 1, NULL, NULL, NULL);
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	rig_region(rig, 16);
	rig_plain_region(rig, 64);
	rig_map(rig, 0, rig->region[0], 0, 16);
	rig_map(rig, 32, rig->region[1], 0, 16);
	memset(&stage->pin, 0, sizeof(stage->pin));
	ears_open(&stage->ears, rig);
	ears_listen_all(&stage->ears, 0, 0);
	ears_listen_all(&stage->ears, 1, 0);
	ears_forget(&stage->ears);
	logs_reset(rig->logs);
}

static void stage_close(struct stage *stage)
{
	gmem_vm_unpin(stage->rig.vm, &stage->pin);
	ears_close(&stage->ears);
	rig_close(&stage->rig);
}

static void stage_pin(struct stage *stage, uint64_t page)
{
	assert_int_equal(gmem_vm_pin(stage->rig.vm, page * stage->rig.page, stage->rig.page, 0,
				     &stage->pin),
			 0);
}

static int unmap(struct stage *stage, uint64_t page)
{
	return gmem_vm_unmap(stage->rig.vm, page * stage->rig.page, 16 * stage->rig.page);
}

static int set_flags(struct stage *stage, uint32_t flags)
{
	return gmem_vm_set_map_flags(stage->rig.vm, 32 * stage->rig.page, 16 * stage->rig.page,
				     flags);
}

static void let_go(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	(void)run;
	if (event == REMOVE)
		gmem_vm_unpin(ear->ears->rig->vm, ear->opaque);
}

static void a_listener_lets_go_of_its_pin(void **state)
{
	struct stage stage;

	stage_open(&stage, *state);
	stage.ears.ear[1].inside = let_go;
	stage.ears.ear[1].opaque = &stage.pin;
	stage_pin(&stage, 3);
	assert_int_equal(unmap(&stage, 0), 0);
	stage_pin(&stage, 33);
	assert_int_equal(set_flags(&stage, GMEM_MAP_READONLY), 0);
	ears_compare(&stage.ears, "a pin that was let go of");
	rig_compare(&stage.rig);
	stage_close(&stage);
}

/* Listeners get back what stays; KVM heard nothing. */
static void a_pin_that_stays_is_told_back(void **state)
{
	struct stage stage;

	stage_open(&stage, *state);
	stage_pin(&stage, 3);
	rig_forget_calls(&stage.rig);
	assert_int_equal(unmap(&stage, 0), -EAGAIN);
	ears_expect(&stage.ears, 0, 1, REMOVE, 0, 16);
	ears_expect(&stage.ears, 1, 0, REMOVE, 0, 16);
	ears_expect(&stage.ears, 2, 0, ADD, 0, 16);
	ears_expect(&stage.ears, 3, 1, ADD, 0, 16);
	ears_expect_count(&stage.ears, 4);
	assert_int_equal(stage.rig.call_count + stage.rig.other_calls, 0);
	expect_one_message(stage.rig.logs, GMEM_LOG_ERROR, "gpa 0x", "gmem_vm_pin() holds it");
	ears_compare(&stage.ears, "a pin that stays");
	rig_compare(&stage.rig);
	stage_close(&stage);
}

/* Should KVM refuse the slot when it is put back, the memory is gone: so it is waited for. */
static void a_slot_that_is_replaced_waits_for_pins(void **state)
{
	struct stage stage;

	stage_open(&stage, *state);
	stage_pin(&stage, 33);
	assert_int_equal(set_flags(&stage, GMEM_MAP_READONLY), -EAGAIN);
	ears_compare(&stage.ears, "a replaced slot");
	gmem_vm_unpin(stage.rig.vm, &stage.pin);
	assert_int_equal(set_flags(&stage, GMEM_MAP_READONLY), 0);
	ears_compare(&stage.ears, "a replaced slot");
	stage_close(&stage);
}

static void what_keeps_its_slot_waits_for_nobody(void **state)
{
	struct gmem_change *change;
	struct stage stage;
	uint64_t page;

	stage_open(&stage, *state);
	page = stage.rig.page;
	stage_pin(&stage, 33);
	/* In place. */
	assert_int_equal(set_flags(&stage, GMEM_MAP_DIRTY_LOG), 0);
	assert_int_equal(set_flags(&stage, 0), 0);
	/* As it was. */
	assert_int_equal(gmem_change_new(stage.rig.vm, &change), 0);
	gmem_change_unmap(change, 0, 48 * page);
	gmem_change_map(change, 32 * page, stage.rig.region[1], 0, 16 * page, GMEM_SLOT_AUTO, 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	ears_expect(&stage.ears, 0, 1, REMOVE, 0, 16);
	ears_expect(&stage.ears, 1, 0, REMOVE, 0, 16);
	ears_expect_count(&stage.ears, 2);
	ears_compare(&stage.ears, "what keeps its slot");
	stage_close(&stage);
}

static void bad_steps_are_refused_before_anybody_is_told(void **state)
{
	struct stage stage;

	stage_open(&stage, *state);
	stage_pin(&stage, 3);
	assert_int_equal(gmem_vm_unmap(stage.rig.vm, 0, 15 * stage.rig.page), -EINVAL);
	ears_expect_count(&stage.ears, 0);
	stage_close(&stage);
}

/* What another thread does to the layout while a listener is told that something goes. */
struct other {
	struct stage *stage;
	uint64_t gpa_page;
	uint32_t slot;
	int result;
	bool done;
};

static void *map_elsewhere(void *opaque)
{
	struct other *other = opaque;
	struct rig *rig = &other->stage->rig;

	other->result = gmem_vm_map(rig->vm, other->gpa_page * rig->page, rig->region[1],
				    16 * rig->page, 16 * rig->page, other->slot, 0);
	return NULL;
}

static void wait_for_another(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct other *other = ear->opaque;
	pthread_t thread;

	(void)run;
	if (event != REMOVE || other->done)
		return;
	other->done = true;
	if (pthread_create(&thread, NULL, map_elsewhere, other))
		abort();
	pthread_join(thread, NULL);
}

static void others_change_the_layout_while_listeners_let_go(void **state)
{
	struct other other = { .gpa_page = 64, .slot = GMEM_SLOT_AUTO, .result = 1 };
	struct stage stage;

	stage_open(&stage, *state);
	other.stage = &stage;
	stage.ears.ear[0].inside = wait_for_another;
	stage.ears.ear[0].opaque = &other;
	assert_int_equal(unmap(&stage, 0), 0);
	assert_int_equal(other.result, 0);
	stage.ears.ear[0].inside = NULL;
	ears_compare(&stage.ears, "two changes");
	rig_compare(&stage.rig);
	assert_int_equal(gmem_vm_get_state(stage.rig.vm, 0, stage.rig.page), GMEM_HOLE);
	assert_int_equal(gmem_vm_get_state(stage.rig.vm, 64 * stage.rig.page, stage.rig.page),
			 GMEM_SHARED);
	stage_close(&stage);
}

/* The change was all right when it was judged first, and is not any more. */
static void what_another_took_meanwhile_is_refused_and_told_back(void **state)
{
	struct other other = { .gpa_page = 64, .slot = 9, .result = 1 };
	struct gmem_change *change;
	struct stage stage;
	uint64_t page;

	stage_open(&stage, *state);
	page = stage.rig.page;
	other.stage = &stage;
	stage.ears.ear[0].inside = wait_for_another;
	stage.ears.ear[0].opaque = &other;
	assert_int_equal(gmem_change_new(stage.rig.vm, &change), 0);
	gmem_change_unmap(change, 0, 16 * page);
	gmem_change_map(change, 128 * page, stage.rig.region[0], 0, 16 * page, 9, 0);
	assert_int_equal(gmem_change_commit(change), -EEXIST);
	assert_int_equal(other.result, 0);
	expect_one_message(stage.rig.logs, GMEM_LOG_ERROR, "step 2", "slot");
	stage.ears.ear[0].inside = NULL;
	ears_compare(&stage.ears, "a slot that another took");
	rig_compare(&stage.rig);
	assert_int_equal(gmem_vm_get_state(stage.rig.vm, 0, page), GMEM_SHARED);
	gmem_change_free(change);
	stage_close(&stage);
}

/*
 * Slots 0 to 2, of which 0 is free: A (page 0) has 1 and stays what it was, pinned. While another
 * listener hears that D goes, somebody takes slot 0: then A would lose its slot to C.
 */
static void what_loses_its_slot_after_all_is_waited_for(void **state)
{
	struct other other = { .gpa_page = 64, .slot = 0, .result = 1 };
	struct gmem_change *change;
	struct stage stage;
	struct gmem_run run;
	uint64_t page;

	stage_open(&stage, *state);
	page = stage.rig.page;
	/* D in slot 2, A from slot 0 to slot 1. */
	assert_int_equal(unmap(&stage, 0), 0);
	assert_int_equal(gmem_vm_map(stage.rig.vm, 96 * page, stage.rig.region[1], 48 * page,
				     16 * page, 2, 0),
			 0);
	assert_int_equal(unmap(&stage, 32), 0);
	assert_int_equal(gmem_vm_map(stage.rig.vm, 0, stage.rig.region[0], 0, 16 * page, 1, 0), 0);
	stage_pin(&stage, 3);
	other.stage = &stage;
	stage.ears.ear[0].inside = wait_for_another;
	stage.ears.ear[0].opaque = &other;
	assert_int_equal(gmem_change_new(stage.rig.vm, &change), 0);
	gmem_change_unmap(change, 0, 16 * page);
	gmem_change_unmap(change, 96 * page, 16 * page);
	gmem_change_map(change, 128 * page, stage.rig.region[1], 0, 16 * page, GMEM_SLOT_AUTO, 0);
	gmem_change_map(change, 0, stage.rig.region[0], 0, 16 * page, GMEM_SLOT_AUTO, 0);
	logs_reset(stage.rig.logs);
	assert_int_equal(gmem_change_commit(change), -EAGAIN);
	assert_int_equal(other.result, 0);
	expect_one_message(stage.rig.logs, GMEM_LOG_ERROR, "gmem_vm_pin() holds it");
	stage.ears.ear[0].inside = NULL;
	ears_compare(&stage.ears, "a pin in the way after all");
	assert_int_equal(gmem_vm_next_section(stage.rig.vm, 0, &run), 1);
	assert_int_equal(run.slot, 1);
	gmem_vm_unpin(stage.rig.vm, &stage.pin);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	ears_compare(&stage.ears, "no pin in the way");
	rig_compare(&stage.rig);
	stage_close(&stage);
}

/* Several sections: what is taken back is told from below. */
static void what_stays_is_told_from_below(void **state)
{
	struct gmem_change *change;
	struct stage stage;
	uint64_t page;

	stage_open(&stage, *state);
	page = stage.rig.page;
	rig_map(&stage.rig, 64, stage.rig.region[1], 16, 16);
	ears_forget(&stage.ears);
	ears_refuse(&stage.ears, 0, REMOVE, 3);
	assert_int_equal(gmem_change_new(stage.rig.vm, &change), 0);
	gmem_change_unmap(change, 0, 80 * page);
	assert_int_equal(gmem_change_commit(change), -ECANCELED);
	gmem_change_free(change);
	/* 1 0, 1 0, 1 and the refusal; then its part, and those below. */
	ears_expect(&stage.ears, 5, 0, REMOVE, 64, 16);
	ears_expect(&stage.ears, 6, 1, ADD, 64, 16);
	ears_expect(&stage.ears, 7, 0, ADD, 0, 16);
	ears_expect(&stage.ears, 8, 1, ADD, 0, 16);
	ears_expect(&stage.ears, 9, 0, ADD, 32, 16);
	ears_expect(&stage.ears, 10, 1, ADD, 32, 16);
	ears_expect_count(&stage.ears, 11);
	ears_compare(&stage.ears, "a refusal");
	stage_close(&stage);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(a_listener_lets_go_of_its_pin, IN_ALL_MODES),
		RIG_CASE(a_pin_that_stays_is_told_back, IN_ALL_MODES),
		RIG_CASE(a_slot_that_is_replaced_waits_for_pins, SMALL_PAGES),
		RIG_CASE(what_keeps_its_slot_waits_for_nobody, SMALL_PAGES),
		RIG_CASE(bad_steps_are_refused_before_anybody_is_told, SMALL_PAGES),
		RIG_CASE(others_change_the_layout_while_listeners_let_go, IN_ALL_MODES),
		RIG_CASE(what_another_took_meanwhile_is_refused_and_told_back, SMALL_PAGES),
		RIG_CASE(what_loses_its_slot_after_all_is_waited_for, IN_ALL_MODES),
		RIG_CASE(what_stays_is_told_from_below, IN_ALL_MODES),
	};

	return rig_run("memory that goes", cases, sizeof(cases) / sizeof(cases[0]));
}
