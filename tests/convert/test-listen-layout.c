// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Listeners and changes of the layout: memory that goes is told remove before KVM hears of it,
 * memory that comes is told add afterwards, and whatever is refused or fails in between, listeners
 * have what is there in the end.
 */
#include "ears.h"

#include "libgmem/uapi/kvm.h"
#include "tests/support/faults.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ADD GMEM_EVENT_ADD
#define REMOVE GMEM_EVENT_REMOVE

/* Says no from the nth call on; 0: never. */
struct pause {
	uint32_t calls;
	uint32_t refuse_from;
};

static int keep_out(void *opaque)
{
	struct pause *pause = opaque;

	pause->calls++;
	return pause->refuse_from && pause->calls >= pause->refuse_from ? -EPERM : 0;
}

static void let_in(void *opaque)
{
	(void)opaque;
}

struct stage {
	struct rig rig;
	struct ears ears;
	struct pause pause;
};

/*
 * Pages 0-16 and 16-32 are ram0, of which 20-24 private; 48-64 ram1; 80-96 plain memory. Three
 * listeners without granularity, and one with blocks of 8 pages.
 */
static void stage_open(struct stage *stage, const struct mode *mode)
{
	struct gmem_region_config *region_config;
	struct gmem_vm_config *config;
	struct rig *rig = &stage->rig;
	uint32_t i;

	memset(&stage->pause, 0, sizeof(stage->pause));
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_pause(config, keep_out, let_in, &stage->pause, NULL);
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	rig_region(rig, 64);
	rig_region(rig, 64);
	assert_int_equal(gmem_region_config_new(&region_config), 0);
	gmem_region_config_set_backing(region_config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(rig->vm, 64 * rig->page, region_config, &rig->region[2]),
			 0);
	rig->regions = 3;
	gmem_region_config_free(region_config);
	rig_map(rig, 0, rig->region[0], 0, 16);
	rig_map(rig, 16, rig->region[0], 16, 16);
	rig_map(rig, 48, rig->region[1], 0, 16);
	rig_map(rig, 80, rig->region[2], 0, 16);
	assert_int_equal(rig_convert(rig, 20, 4, GMEM_PRIVATE, 0, NULL), 0);
	ears_open(&stage->ears, rig);
	for (i = 0; i < 3; i++)
		ears_listen_all(&stage->ears, i, 0);
	ears_listen_all(&stage->ears, 3, 8);
	ears_forget(&stage->ears);
	logs_reset(rig->logs);
}

static void stage_close(struct stage *stage)
{
	ears_close(&stage->ears);
	rig_close(&stage->rig);
}

/*
 * 0-16 goes, 16-32 goes and comes back in its place with another memslot (which 128-144 has taken),
 * 48-64 goes and comes back as it was, 80-96 becomes read-only.
 */
static struct gmem_change *much_to_change(struct stage *stage)
{
	struct gmem_region **region = stage->rig.region;
	uint64_t page = stage->rig.page;
	struct gmem_change *change;

	assert_int_equal(gmem_change_new(stage->rig.vm, &change), 0);
	gmem_change_unmap(change, 0, 32 * page);
	gmem_change_map(change, 128 * page, region[0], 32 * page, 16 * page, 1, 0);
	gmem_change_map(change, 16 * page, region[0], 16 * page, 16 * page, GMEM_SLOT_AUTO, 0);
	gmem_change_unmap(change, 48 * page, 16 * page);
	gmem_change_map(change, 48 * page, region[1], 0, 16 * page, GMEM_SLOT_AUTO, 0);
	gmem_change_set_map_flags(change, 80 * page, 16 * page, GMEM_MAP_READONLY);
	return change;
}

static int change_much(struct stage *stage)
{
	struct gmem_change *change = much_to_change(stage);
	int rc = gmem_change_commit(change);

	gmem_change_free(change);
	return rc;
}

/* What that comes to, page and event; 16-32 and 48-64 are there before and after. */
static const struct {
	uint64_t page;
	uint32_t event;
} much[] = { { 0, REMOVE }, { 80, REMOVE }, { 80, ADD }, { 128, ADD } };

static void a_change_is_told_as_one(void **state)
{
	struct stage stage;
	uint32_t call = 0, i, k;

	stage_open(&stage, *state);
	assert_int_equal(change_much(&stage), 0);
	for (i = 0; i < 4; i++) {
		for (k = 0; k < 4; k++) {
			uint32_t ear = much[i].event == ADD ? k : 3 - k;

			ears_expect(&stage.ears, call++, ear, much[i].event, much[i].page,
				    ear == 3 ? 8 : 16);
			if (ear == 3)
				ears_expect(&stage.ears, call++, ear, much[i].event,
					    much[i].page + 8, 8);
		}
	}
	ears_expect_count(&stage.ears, call);
	ears_compare(&stage.ears, "a change");
	rig_compare(&stage.rig);
	/* Runs of a section are told one by one. */
	ears_forget(&stage.ears);
	assert_int_equal(gmem_vm_unmap(stage.rig.vm, 16 * stage.rig.page, 16 * stage.rig.page), 0);
	for (i = 0; i < 3; i++)
		ears_expect(&stage.ears, i, 2 - i, REMOVE, 16, 4);
	ears_expect(&stage.ears, 3, 3, REMOVE, 24, 8);
	for (i = 0; i < 3; i++)
		ears_expect(&stage.ears, 4 + i, 2 - i, REMOVE, 24, 8);
	ears_expect_count(&stage.ears, 7);
	ears_compare(&stage.ears, "unmap");
	stage_close(&stage);
}

/* Which calls had been made to KVM when listeners heard of it. */
static void look_at_calls(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct rig *rig = ear->ears->rig;

	(void)run;
	if ((event == REMOVE) == (atomic_load(&rig->other_calls) != 0))
		snprintf(ear->ears->fault, sizeof(ear->ears->fault), "told at the wrong time");
}

static void told_before_memory_goes_and_after_it_came(void **state)
{
	struct stage stage;
	uint32_t i;

	stage_open(&stage, *state);
	for (i = 0; i < 4; i++)
		stage.ears.ear[i].inside = look_at_calls;
	rig_forget_calls(&stage.rig);
	assert_int_equal(change_much(&stage), 0);
	for (i = 0; i < 4; i++)
		stage.ears.ear[i].inside = NULL;
	ears_compare(&stage.ears, "a change");
	stage_close(&stage);
}

static void expect_as_before(struct stage *stage, const char *what)
{
	uint64_t page = stage->rig.page;
	struct gmem_run run;

	ears_compare(&stage->ears, what);
	rig_compare(&stage->rig);
	assert_int_equal(gmem_vm_next_section(stage->rig.vm, 0, &run), 1);
	assert_true(run.gpa == 0 && run.size == 16 * page && run.slot == 0);
	assert_int_equal(gmem_vm_next_section(stage->rig.vm, 16 * page, &run), 1);
	assert_true(run.gpa == 16 * page && run.slot == 1);
	assert_int_equal(gmem_vm_next_section(stage->rig.vm, 64 * page, &run), 1);
	assert_true(run.gpa == 80 * page && run.kind == GMEM_KIND_RAM);
	assert_int_equal(gmem_vm_next_section(stage->rig.vm, 96 * page, &run), 0);
}

/* Each listener, at each of its calls. */
static void whoever_refuses_the_layout_is_as_before(void **state)
{
	struct stage stage;
	uint32_t ear, nth, event;

	stage_open(&stage, *state);
	for (ear = 0; ear < 4; ear++) {
		for (event = ADD; event <= REMOVE; event++) {
			for (nth = 1; nth <= (ear == 3 ? 4u : 2u); nth++) {
				ears_forget(&stage.ears);
				rig_forget_calls(&stage.rig);
				ears_refuse(&stage.ears, ear, event, nth);
				assert_int_equal(change_much(&stage), -ECANCELED);
				/* A remove that is refused: KVM hears nothing at all. */
				if (event == REMOVE)
					assert_int_equal(
						stage.rig.call_count + stage.rig.other_calls, 0);
				expect_as_before(&stage, "a refusal");
			}
		}
	}
	assert_int_equal(change_much(&stage), 0);
	ears_compare(&stage.ears, "a change");
	stage_close(&stage);
}

static void a_refused_pause_is_told_back(void **state)
{
	struct stage stage;

	stage_open(&stage, *state);
	stage.pause.refuse_from = 1;
	assert_int_equal(change_much(&stage), -ECANCELED);
	expect_as_before(&stage, "a refused pause");
	/* A listener refuses, and then there is no way back: what came stays, and is told. */
	stage.pause = (struct pause){ .refuse_from = 2 };
	ears_refuse(&stage.ears, 1, ADD, 1);
	assert_int_equal(change_much(&stage), -ECANCELED);
	assert_int_equal(stage.pause.calls, 2);
	ears_compare(&stage.ears, "no way back");
	assert_int_equal(gmem_vm_get_state(stage.rig.vm, 128 * stage.rig.page, stage.rig.page),
			 GMEM_SHARED);
	stage_close(&stage);
}

static void fail_slot_calls(struct stage *stage, uint64_t first, uint64_t count)
{
	uint64_t nth;

	for (nth = first; nth < first + count; nth++)
		assert_int_equal(gmem_sim_fail(stage->rig.sim, GMEM_SYS_IOCTL,
					       GMEM_KVM_SET_USER_MEMORY_REGION2, nth, -ENOMEM, 0),
				 0);
}

/* Each memslot call fails, alone and with those that would put things back. */
static void whatever_memslot_call_fails(void **state)
{
	struct stage stage;
	uint64_t first, count;

	for (first = 1; first <= 8; first++) {
		for (count = 1; count <= 4; count++) {
			int rc;

			stage_open(&stage, *state);
			stage.ears.slots_fail = true;
			fail_slot_calls(&stage, first, count);
			rc = change_much(&stage);
			gmem_sim_clear_failures(stage.rig.sim);
			assert_true(rc == 0 || rc == -ENOMEM);
			if (count == 1 && rc)
				expect_as_before(&stage, "a memslot call that failed");
			ears_compare(&stage.ears, "memslot calls that failed");
			rig_compare(&stage.rig);
			stage_close(&stage);
		}
	}
}

/* The same where a listener refuses, and the way back fails. */
static void whatever_memslot_call_back_fails(void **state)
{
	struct stage stage;
	uint64_t first, count;

	for (first = 7; first <= 12; first++) {
		for (count = 1; count <= 3; count++) {
			stage_open(&stage, *state);
			stage.ears.slots_fail = true;
			ears_refuse(&stage.ears, 2, ADD, 2);
			fail_slot_calls(&stage, first, count);
			assert_int_equal(change_much(&stage), -ECANCELED);
			gmem_sim_clear_failures(stage.rig.sim);
			ears_compare(&stage.ears, "a way back that failed");
			rig_compare(&stage.rig);
			stage_close(&stage);
		}
	}
}

/* More came than there was: what stays of it all has to find room in the layout. */
static void what_came_stays_where_no_call_back_works(void **state)
{
	struct gmem_change *change;
	struct stage stage;
	uint64_t page, i;

	for (i = 0; i < 12; i++) {
		uint64_t k;

		stage_open(&stage, *state);
		stage.ears.slots_fail = true;
		page = stage.rig.page;
		assert_int_equal(gmem_change_new(stage.rig.vm, &change), 0);
		for (k = 0; k < 12; k++)
			gmem_change_map(change, (128 + 2 * k) * page, stage.rig.region[1],
					(16 + 2 * k) * page, 2 * page, GMEM_SLOT_AUTO, 0);
		ears_refuse(&stage.ears, 2, ADD, 12);
		/* Calls 1 to 12 add; of those that take away again the last fail. */
		fail_slot_calls(&stage, 13 + i, 30);
		assert_int_equal(gmem_change_commit(change), -ECANCELED);
		gmem_sim_clear_failures(stage.rig.sim);
		gmem_change_free(change);
		ears_compare(&stage.ears, "what came stays");
		rig_compare(&stage.rig);
		stage_close(&stage);
	}
}

/* No memory for the change, or only for the way back. */
static void whatever_allocation_fails(void **state)
{
	uint64_t nth = 0, failed = 1;
	struct gmem_change *change;
	struct stage stage;
	int rc;

	while (failed) {
		stage_open(&stage, *state);
		change = much_to_change(&stage);
		ears_refuse(&stage.ears, 1, ADD, 1);
		allocations_fail_from(++nth);
		rc = gmem_change_commit(change);
		failed = allocations_failed();
		allocations_off();
		gmem_change_free(change);
		assert_true(rc == -ECANCELED || (failed && rc == -ENOMEM));
		ears_compare(&stage.ears, "no memory");
		rig_compare(&stage.rig);
		stage_close(&stage);
	}
	/* Of ranges, sections twice, calls; and back: sections, calls. */
	assert_true(nth > 6);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(a_change_is_told_as_one, IN_ALL_MODES),
		RIG_CASE(told_before_memory_goes_and_after_it_came, PER_FILE),
		RIG_CASE(whoever_refuses_the_layout_is_as_before, IN_ALL_MODES),
		RIG_CASE(a_refused_pause_is_told_back, SMALL_PAGES),
		RIG_CASE(whatever_memslot_call_fails, SMALL_PAGES),
		RIG_CASE(whatever_memslot_call_back_fails, SMALL_PAGES),
		RIG_CASE(what_came_stays_where_no_call_back_works, SMALL_PAGES),
		RIG_CASE(whatever_allocation_fails, SMALL_PAGES),
	};

	return rig_run("listeners and the layout", cases, sizeof(cases) / sizeof(cases[0]));
}
