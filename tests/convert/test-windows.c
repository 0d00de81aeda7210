// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that is seen at several addresses is discarded and populated at all of them: listeners
 * hear of each, pins and operations at each are in the way, and it is freed once.
 */
#include "ears.h"

#include "tests/support/faults.h"
#include "tests/support/random.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define ADD GMEM_EVENT_ADD
#define REMOVE GMEM_EVENT_REMOVE

#define PAGES 32u

/*
 * Windows of one region of 32 pages, and where they are:
 *
 *   A       RAM, all of it
 *   ROM     from page 2 on, 8 pages
 *   B       RAM, from page 8 on, 16 pages: an alias
 *   DEVICE  from page 12 on, 8 pages
 */
#define A 16u
#define ROM 64u
#define B 128u
#define B_OFFSET 8u
#define DEVICE 192u

struct scene {
	struct rig rig;
	struct ears ears;
	struct gmem_report report;
	char *host;
};

static void alias(struct rig *rig, uint64_t page, uint64_t offset, uint64_t pages, uint32_t flags)
{
	assert_int_equal(gmem_vm_map_alias(rig->vm, 0, page * rig->page, rig->region[0],
					   offset * rig->page, pages * rig->page, GMEM_SLOT_AUTO,
					   flags),
			 0);
}

/* The config is taken. One listener of all kinds, and one of ROM and devices. */
static void scene_open_with(struct scene *scene, const struct mode *mode,
			    struct gmem_vm_config *config)
{
	struct gmem_region_info info;
	struct rig *rig = &scene->rig;

	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	if (mode->tracking == GMEM_TRACKING_NONE)
		rig_region(rig, PAGES);
	else
		rig_plain_region(rig, PAGES);
	rig_map(rig, A, rig->region[0], 0, PAGES);
	alias(rig, ROM, 2, 8, GMEM_MAP_READONLY);
	alias(rig, B, B_OFFSET, 16, 0);
	alias(rig, DEVICE, 12, 8, GMEM_MAP_DEVICE);
	assert_int_equal(gmem_region_get_info(rig->region[0], &info), 0);
	scene->host = info.host;
	memset(scene->host, 'x', PAGES * rig->page);
	ears_open(&scene->ears, rig);
	ears_listen_all(&scene->ears, 0, 0);
	assert_int_equal(ears_listen(&scene->ears, 1, GMEM_LISTEN_ALL,
				     GMEM_LISTEN_ROM | GMEM_LISTEN_DEVICE, 0),
			 0);
	ears_forget(&scene->ears);
	logs_reset(rig->logs);
}

static void scene_open(struct scene *scene, const struct mode *mode)
{
	scene_open_with(scene, mode, NULL);
}

static void scene_close(struct scene *scene)
{
	ears_compare(&scene->ears, "the end");
	ears_close(&scene->ears);
	rig_close(&scene->rig);
}

static int discard(struct scene *scene, uint64_t page, uint64_t pages, uint32_t flags)
{
	struct rig *rig = &scene->rig;

	memset(&scene->report, 0xa5, sizeof(scene->report));
	return gmem_vm_discard(rig->vm, page * rig->page, pages * rig->page, flags, &scene->report);
}

static int populate(struct scene *scene, uint64_t page, uint64_t pages, uint32_t flags)
{
	struct rig *rig = &scene->rig;

	memset(&scene->report, 0xa5, sizeof(scene->report));
	return gmem_vm_populate(rig->vm, page * rig->page, pages * rig->page, flags,
				&scene->report);
}

static void expect_stop(struct scene *scene, int error, uint32_t stage, uint64_t page,
			uint64_t pages, uint64_t offset)
{
	const struct gmem_report *report = &scene->report;
	uint64_t size = scene->rig.page;

	assert_int_equal(report->error, error);
	assert_int_equal(report->stage, stage);
	assert_int_equal(report->gpa, page * size);
	assert_int_equal(report->size, pages * size);
	assert_int_equal(report->tag, 1);
	assert_int_equal(report->offset, offset * size);
	assert_int_equal(report->freed, 0);
}

static void expect_success(const struct scene *scene, uint64_t freed, uint64_t converted)
{
	const struct gmem_report expected = {
		.stage = GMEM_STAGE_DONE,
		.operation = scene->report.operation,
		.freed = freed * scene->rig.page,
		.converted = converted * scene->rig.page,
	};

	assert_memory_equal(&scene->report, &expected, sizeof(expected));
}

/* Pages of the region that hold what was written, from one on, and zeros around them. */
static void expect_kept(struct scene *scene, uint64_t first, uint64_t pages)
{
	uint64_t i;

	for (i = 0; i < PAGES; i++)
		assert_int_equal(scene->host[i * scene->rig.page],
				 i >= first && i < first + pages ? 'x' : 0);
}

static uint32_t state_at(struct scene *scene, uint64_t page, uint64_t pages)
{
	struct rig *rig = &scene->rig;

	return (uint32_t)gmem_vm_get_state(rig->vm, page * rig->page, pages * rig->page);
}

static void expect_states(struct scene *scene, uint32_t state)
{
	assert_int_equal(state_at(scene, A, PAGES), state);
	assert_int_equal(state_at(scene, ROM, 8), state);
	assert_int_equal(state_at(scene, B, 16), state);
	assert_int_equal(state_at(scene, DEVICE, 8), state);
}

static void expect_calls(struct scene *scene, const struct heard *calls, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		ears_expect(&scene->ears, i, calls[i].ear, calls[i].event, calls[i].page,
			    calls[i].pages);
	ears_expect_count(&scene->ears, count);
	ears_forget(&scene->ears);
}

static void listeners_hear_of_all_addresses(void **state)
{
	static const struct heard from_a[] = {
		/* Pages 4 to 20. */
		{ 0, REMOVE, A + 4, 16, false },  { 1, REMOVE, ROM + 2, 6, false },
		{ 0, REMOVE, ROM + 2, 6, false }, { 0, REMOVE, B, 12, false },
		{ 1, REMOVE, DEVICE, 8, false },  { 0, REMOVE, DEVICE, 8, false },
		{ 0, ADD, A + 4, 16, false },     { 0, ADD, ROM + 2, 6, false },
		{ 1, ADD, ROM + 2, 6, false },    { 0, ADD, B, 12, false },
		{ 0, ADD, DEVICE, 8, false },     { 1, ADD, DEVICE, 8, false },
	};
	static const struct heard from_b[] = {
		/* Pages 20 to 24. */
		{ 0, REMOVE, A + 20, 4, false },
		{ 0, REMOVE, B + 12, 4, false },
		{ 0, ADD, A + 20, 4, false },
		{ 0, ADD, B + 12, 4, false },
	};
	struct gmem_vm_stats before, after;
	struct scene scene;

	scene_open(&scene, *state);
	assert_int_equal(gmem_vm_get_stats(scene.rig.vm, &before), 0);
	assert_int_equal(discard(&scene, A + 4, 16, 0), 0);
	expect_success(&scene, 16, 0);
	expect_calls(&scene, from_a, sizeof(from_a) / sizeof(from_a[0]));
	ears_compare(&scene.ears, "a discard");
	assert_int_equal(discard(&scene, B + 12, 4, GMEM_DISCARD_NOWAIT), 0);
	expect_success(&scene, 4, 0);
	expect_calls(&scene, from_b, sizeof(from_b) / sizeof(from_b[0]));
	assert_int_equal(gmem_vm_get_stats(scene.rig.vm, &after), 0);
	assert_int_equal(after.discards - before.discards, 2);
	assert_int_equal(after.bytes_discarded - before.bytes_discarded, 20 * scene.rig.page);
	assert_int_equal(scene.host[3 * scene.rig.page], 'x');
	assert_int_equal(scene.host[4 * scene.rig.page], 0);
	assert_int_equal(scene.host[23 * scene.rig.page], 0);
	assert_int_equal(scene.host[24 * scene.rig.page], 'x');
	/* Of an address where it cannot be freed: nothing. */
	assert_int_equal(discard(&scene, ROM, 8, 0), 0);
	assert_int_equal(discard(&scene, DEVICE, 8, GMEM_DISCARD_ABSENT), 0);
	expect_success(&scene, 0, 0);
	ears_expect_count(&scene.ears, 0);
	expect_states(&scene, GMEM_SHARED);
	scene_close(&scene);
}

/* All windows of it in one range: each byte is freed once, and counted once. */
static void each_byte_is_freed_once(void **state)
{
	struct gmem_vm_stats before, after;
	struct scene scene;

	scene_open(&scene, *state);
	/* Bytes of B that no other window of the range has, before and after those that A has. */
	assert_int_equal(gmem_vm_unmap(scene.rig.vm, A * scene.rig.page, PAGES * scene.rig.page),
			 0);
	rig_map(&scene.rig, A, scene.rig.region[0], 12, 4);
	rig_map(&scene.rig, A + 4, scene.rig.region[0], 18, 2);
	assert_int_equal(gmem_vm_get_stats(scene.rig.vm, &before), 0);
	assert_int_equal(discard(&scene, 0, 256, 0), 0);
	expect_success(&scene, 16, 0);
	assert_int_equal(gmem_vm_get_stats(scene.rig.vm, &after), 0);
	/* 12 to 16 and 18 to 20 of A; 8 to 12, 16 to 18 and 20 to 24 of B. */
	assert_int_equal(after.discards - before.discards, 5);
	ears_compare(&scene.ears, "a discard of all windows");
	memset(scene.host, 'x', PAGES * scene.rig.page);
	assert_int_equal(discard(&scene, 0, 256, GMEM_DISCARD_ABSENT), 0);
	expect_success(&scene, 16, 16);
	assert_int_equal(scene.host[7 * scene.rig.page], 'x');
	assert_int_equal(scene.host[8 * scene.rig.page], 0);
	assert_int_equal(scene.host[23 * scene.rig.page], 0);
	assert_int_equal(scene.host[24 * scene.rig.page], 'x');
	ears_compare(&scene.ears, "all windows absent");
	assert_int_equal(populate(&scene, 0, 256, 0), 0);
	expect_success(&scene, 0, 16);
	scene_close(&scene);
}

static void absence_is_seen_at_all_addresses(void **state)
{
	static const struct heard populated[] = {
		/* Run by run, as they are in the range; pages 8 to 10 at first. */
		{ 0, ADD, A + 8, 2, false },   { 0, ADD, ROM + 6, 2, false },
		{ 1, ADD, ROM + 6, 2, false }, { 0, ADD, B, 2, false },
		{ 0, ADD, A + 12, 2, false },  { 0, ADD, B + 4, 2, false },
		{ 0, ADD, DEVICE, 2, false },  { 1, ADD, DEVICE, 2, false },
	};
	struct scene scene;
	struct rig *rig = &scene.rig;
	struct gmem_pin pin;
	void *host;

	scene_open(&scene, *state);
	assert_int_equal(discard(&scene, A, PAGES, GMEM_DISCARD_ABSENT), 0);
	expect_success(&scene, PAGES, PAGES);
	expect_states(&scene, GMEM_ABSENT);
	ears_compare(&scene.ears, "all of it absent");
	expect_kept(&scene, 0, 0);
	assert_int_equal(gmem_vm_translate(rig->vm, ROM * rig->page, 1, 0, &host), -EACCES);
	assert_int_equal(gmem_vm_pin(rig->vm, B * rig->page, 1, 0, &pin), -EACCES);
	/* At an address where it cannot be discarded it cannot be populated. */
	assert_int_equal(populate(&scene, ROM, 8, 0), 0);
	expect_success(&scene, 0, 0);
	expect_states(&scene, GMEM_ABSENT);
	/* From the other address. */
	assert_int_equal(populate(&scene, B, 16, GMEM_POPULATE_NOWAIT), 0);
	expect_success(&scene, 0, 16);
	assert_int_equal(state_at(&scene, A, 8), GMEM_ABSENT);
	assert_int_equal(state_at(&scene, A + 8, 16), GMEM_SHARED);
	assert_int_equal(state_at(&scene, A + 24, 8), GMEM_ABSENT);
	assert_int_equal(state_at(&scene, ROM, 6), GMEM_ABSENT);
	assert_int_equal(state_at(&scene, ROM + 6, 2), GMEM_SHARED);
	ears_compare(&scene.ears, "a part plugged in");
	assert_int_equal(discard(&scene, A + 10, 2, GMEM_DISCARD_ABSENT), 0);
	assert_int_equal(discard(&scene, B, 16, GMEM_DISCARD_ABSENT), 0);
	expect_success(&scene, 16, 14);
	ears_compare(&scene.ears, "all of it absent again");
	/* Two runs. */
	assert_int_equal(populate(&scene, A, PAGES, 0), 0);
	assert_int_equal(discard(&scene, A + 8, 2, GMEM_DISCARD_ABSENT), 0);
	assert_int_equal(discard(&scene, B + 4, 2, GMEM_DISCARD_ABSENT), 0);
	ears_forget(&scene.ears);
	assert_int_equal(populate(&scene, A, PAGES, 0), 0);
	expect_success(&scene, 0, 4);
	expect_calls(&scene, populated, sizeof(populated) / sizeof(populated[0]));
	expect_states(&scene, GMEM_SHARED);
	scene_close(&scene);
}

/* Whoever refuses at whichever address. */
static void a_refusal_at_any_address_is_one(void **state)
{
	static const struct {
		uint64_t page, pages, offset;
	} parts[] = { { A + 4, 16, 4 }, { ROM + 2, 6, 4 }, { B, 12, 8 }, { DEVICE, 8, 12 } };
	struct scene scene;
	uint32_t nth;

	scene_open(&scene, *state);
	for (nth = 1; nth <= 4; nth++) {
		ears_refuse(&scene.ears, 0, REMOVE, nth);
		rig_forget_calls(&scene.rig);
		assert_int_equal(discard(&scene, A + 4, 16, 0), -ECANCELED);
		assert_int_equal(scene.rig.other_calls, 0);
		expect_stop(&scene, -ECANCELED, GMEM_STAGE_PREPARE, parts[nth - 1].page,
			    parts[nth - 1].pages, parts[nth - 1].offset);
		ears_compare(&scene.ears, "a refused discard");
		ears_forget(&scene.ears);
		ears_refuse(&scene.ears, 0, REMOVE, nth);
		assert_int_equal(discard(&scene, A + 4, 16, GMEM_DISCARD_ABSENT), -ECANCELED);
		expect_states(&scene, GMEM_SHARED);
		expect_kept(&scene, 0, PAGES);
		ears_compare(&scene.ears, "a refused absence");
		ears_forget(&scene.ears);
	}
	assert_int_equal(discard(&scene, A + 4, 16, GMEM_DISCARD_ABSENT), 0);
	for (nth = 1; nth <= 4; nth++) {
		ears_refuse(&scene.ears, 0, ADD, nth);
		assert_int_equal(populate(&scene, A, PAGES, 0), -ECANCELED);
		expect_stop(&scene, -ECANCELED, GMEM_STAGE_FINISH, parts[nth - 1].page,
			    parts[nth - 1].pages, parts[nth - 1].offset);
		assert_int_equal(scene.report.restored, 16 * scene.rig.page);
		assert_int_equal(scene.report.converted, 0);
		assert_int_equal(state_at(&scene, A + 4, 16), GMEM_ABSENT);
		assert_int_equal(state_at(&scene, B, 12), GMEM_ABSENT);
		ears_compare(&scene.ears, "a refused populate");
		ears_forget(&scene.ears);
	}
	scene_close(&scene);
}

/* Lets go of a pin once the discard that waits for it asks how to go on. */
struct patience {
	struct rig *rig;
	struct gmem_pin pin;
	struct gmem_report seen;
	unsigned int calls;
};

static int let_go(const struct gmem_report *so_far, void *opaque)
{
	struct patience *patience = opaque;

	patience->seen = *so_far;
	if (++patience->calls == 2)
		gmem_vm_unpin(patience->rig->vm, &patience->pin);
	return GMEM_RETRY_AGAIN;
}

static void a_pin_at_any_address_is_in_the_way(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct patience patience = { 0 };
	struct scene scene;
	struct rig *rig = &scene.rig;
	uint64_t page;

	gmem_vm_config_set_retry(config, UINT64_MAX, let_go, &patience, NULL);
	scene_open_with(&scene, *state, config);
	patience.rig = rig;
	for (page = ROM + 5; page <= B + 3; page += B + 3 - (ROM + 5)) {
		uint64_t offset = page < B ? page - ROM + 2 : page - B + B_OFFSET;

		assert_int_equal(gmem_vm_pin(rig->vm, page * rig->page, 1, 0, &patience.pin), 0);
		assert_int_equal(discard(&scene, A, PAGES, GMEM_DISCARD_NOWAIT), -EAGAIN);
		expect_stop(&scene, -EAGAIN, GMEM_STAGE_COMMIT, page, 1, offset);
		assert_int_equal(patience.calls, 0);
		ears_compare(&scene.ears, "a pin in the way");
		expect_kept(&scene, 0, PAGES);
		/* Whose page is not in the range is not in the way. */
		assert_int_equal(discard(&scene, A + 30, 2, GMEM_DISCARD_NOWAIT), 0);
		memset(scene.host, 'x', PAGES * rig->page);
		assert_int_equal(discard(&scene, A, PAGES, 0), 0);
		assert_int_equal(patience.calls, 2);
		assert_int_equal(patience.seen.gpa, page * rig->page);
		assert_int_equal(patience.seen.size, rig->page);
		assert_int_equal(patience.seen.tag, 1);
		assert_int_equal(patience.seen.offset, offset * rig->page);
		assert_true(scene.report.waited_ns > 0);
		expect_kept(&scene, 0, 0);
		memset(scene.host, 'x', PAGES * rig->page);
		patience.calls = 0;
	}
	scene_close(&scene);
}

/* A change of the layout at one address, and another thread's discard at another beside it. */
struct beside {
	struct scene *scene;
	pthread_t thread;
	uint32_t flags;
	bool done;
	int discarded;
	int populated;
	_Atomic bool waits;
};

static void *discard_beside(void *opaque)
{
	struct beside *beside = opaque;

	beside->discarded = discard(beside->scene, A, PAGES, beside->flags);
	if (beside->flags & GMEM_DISCARD_NOWAIT)
		beside->populated = populate(beside->scene, A, PAGES, GMEM_POPULATE_NOWAIT);
	return NULL;
}

static void try_beside(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct beside *beside = ear->opaque;

	(void)event;
	(void)run;
	if (beside->done || pthread_create(&beside->thread, NULL, discard_beside, beside))
		return;
	beside->done = true;
	if (beside->flags & GMEM_DISCARD_NOWAIT) {
		pthread_join(beside->thread, NULL);
		return;
	}
	/* It has given up its first claim, and waits for one that this change has a part of. */
	while (!atomic_load(&beside->waits))
		sched_yield();
	atomic_store(&beside->scene->rig.futex_error, 0);
}

static void who_is_at_work_at_any_address_is_in_the_way(void **state)
{
	struct beside beside = { .flags = GMEM_DISCARD_NOWAIT };
	struct scene scene;

	scene_open(&scene, *state);
	beside.scene = &scene;
	scene.ears.ear[0].opaque = &beside;
	scene.ears.ear[0].inside = try_beside;
	assert_int_equal(gmem_vm_unmap(scene.rig.vm, B * scene.rig.page, 16 * scene.rig.page), 0);
	scene.ears.ear[0].inside = NULL;
	assert_true(beside.done);
	assert_int_equal(beside.discarded, -EAGAIN);
	assert_int_equal(beside.populated, -EAGAIN);
	assert_int_equal(scene.report.stage, GMEM_STAGE_PREPARE);
	expect_kept(&scene, 0, PAGES);
	/* What has one address at last has still been at several. */
	assert_int_equal(gmem_vm_unmap(scene.rig.vm, ROM * scene.rig.page, 8 * scene.rig.page), 0);
	assert_int_equal(gmem_vm_unmap(scene.rig.vm, DEVICE * scene.rig.page, 8 * scene.rig.page),
			 0);
	assert_int_equal(discard(&scene, A, PAGES, GMEM_DISCARD_NOWAIT), 0);
	expect_success(&scene, PAGES, 0);
	scene_close(&scene);
}

static int say_that_it_waits(const struct gmem_report *so_far, void *opaque)
{
	struct beside *beside = opaque;

	(void)so_far;
	atomic_store(&beside->waits, true);
	return GMEM_RETRY_AGAIN;
}

#define MOVED 512u

/* While it waits a window goes elsewhere: it looks again, and claims that. */
static void a_window_that_moves_is_followed(void **state)
{
	static const struct heard calls[] = {
		{ 0, REMOVE, B, 16, false },                                     /* the change */
		{ 0, ADD, MOVED, 16, false },    { 0, REMOVE, A, PAGES, false }, /* the discard */
		{ 1, REMOVE, ROM, 8, false },    { 0, REMOVE, ROM, 8, false },
		{ 1, REMOVE, DEVICE, 8, false }, { 0, REMOVE, DEVICE, 8, false },
		{ 0, REMOVE, MOVED, 16, false },
	};
	struct gmem_vm_config *config = rig_config(*state);
	struct beside beside = { .flags = GMEM_DISCARD_ABSENT };
	struct gmem_change *change;
	struct scene scene;
	struct rig *rig = &scene.rig;

	gmem_vm_config_set_retry(config, UINT64_MAX, say_that_it_waits, &beside, NULL);
	scene_open_with(&scene, *state, config);
	beside.scene = &scene;
	scene.ears.ear[0].opaque = &beside;
	scene.ears.ear[0].inside = try_beside;
	assert_int_equal(gmem_change_new(rig->vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, B * rig->page, 16 * rig->page), 0);
	assert_int_equal(gmem_change_map_alias(change, 0, MOVED * rig->page, rig->region[0],
					       B_OFFSET * rig->page, 16 * rig->page, GMEM_SLOT_AUTO,
					       0),
			 0);
	/* Who sleeps is asked at once. */
	atomic_store(&rig->futex_error, -EINTR);
	assert_int_equal(gmem_change_commit(change), 0);
	pthread_join(beside.thread, NULL);
	scene.ears.ear[0].inside = NULL;
	gmem_change_free(change);
	assert_int_equal(beside.discarded, 0);
	assert_int_equal(scene.report.converted, PAGES * rig->page);
	expect_calls(&scene, calls, sizeof(calls) / sizeof(calls[0]));
	assert_int_equal(state_at(&scene, MOVED, 16), GMEM_ABSENT);
	scene_close(&scene);
}

/* Two sections with bytes of one block of a listener's at another address. */
static void a_block_is_told_once(void **state)
{
	struct scene scene;
	struct rig *rig = &scene.rig;

	scene_open(&scene, *state);
	/* Sections of pages 8 and 9, and 12 and 13; B has them in one block of 8 pages. */
	assert_int_equal(gmem_vm_unmap(rig->vm, A * rig->page, PAGES * rig->page), 0);
	rig_map(rig, A, rig->region[0], 8, 2);
	rig_map(rig, A + 4, rig->region[0], 12, 2);
	ears_listen_all(&scene.ears, 2, 8);
	ears_forget(&scene.ears);
	assert_int_equal(discard(&scene, A, 8, 0), 0);
	expect_success(&scene, 4, 0);
	ears_compare(&scene.ears, "a discard of parts of a block");
	assert_int_equal(discard(&scene, A, 8, GMEM_DISCARD_ABSENT), 0);
	ears_compare(&scene.ears, "parts of a block absent");
	assert_int_equal(populate(&scene, A, 2, 0), 0);
	ears_compare(&scene.ears, "a part of a block plugged in");
	assert_int_equal(populate(&scene, A, 8, 0), 0);
	ears_compare(&scene.ears, "a block plugged in");
	scene_close(&scene);
}

/* Another region beside it, of which the same pages are there. */
static void other_regions_are_told_of_as_such(void **state)
{
	static const struct heard populated[] = {
		{ 0, ADD, 2, 4, false },
		{ 0, ADD, A + 2, 2, false },
		{ 0, ADD, ROM, 2, false },
		{ 1, ADD, ROM, 2, false },
	};
	struct scene scene;

	scene_open(&scene, *state);
	rig_map(&scene.rig, 0, rig_plain_region(&scene.rig, 16), 0, 8);
	assert_int_equal(discard(&scene, 0, A + 8, 0), 0);
	expect_success(&scene, 8 + 8, 0);
	ears_compare(&scene.ears, "a discard of two regions");
	assert_int_equal(discard(&scene, 2, 4, GMEM_DISCARD_ABSENT), 0);
	assert_int_equal(discard(&scene, A + 2, 2, GMEM_DISCARD_ABSENT), 0);
	ears_forget(&scene.ears);
	assert_int_equal(populate(&scene, 0, A + 8, 0), 0);
	expect_success(&scene, 0, 6);
	expect_calls(&scene, populated, sizeof(populated) / sizeof(populated[0]));
	scene_close(&scene);
}

/* Nothing is touched where there is no memory for the list; one message says so. */
static void whatever_allocation_fails(void **state)
{
	uint64_t nth, failed;
	struct scene scene;
	uint64_t i;

	scene_open(&scene, *state);
	/* So many that the list grows. */
	for (i = 0; i < 20; i++)
		alias(&scene.rig, 1024 + 2 * i, 10, 1, 0);
	ears_forget(&scene.ears);
	for (nth = 1, failed = 1; failed; nth++) {
		rig_forget_calls(&scene.rig);
		allocations_fail(nth);
		(void)discard(&scene, A, PAGES, GMEM_DISCARD_NOWAIT);
		failed = allocations_failed();
		allocations_off();
		if (!failed)
			break;
		assert_int_equal(scene.report.error, -ENOMEM);
		assert_int_equal(scene.report.stage, GMEM_STAGE_PLAN);
		assert_int_equal(scene.report.gpa, A * scene.rig.page);
		assert_int_equal(scene.report.size, PAGES * scene.rig.page);
		expect_one_message(scene.rig.logs, GMEM_LOG_ERROR, "gmem_vm_discard: gpa 0x",
				   "no memory", "addresses");
		assert_int_equal(scene.rig.other_calls, 0);
		ears_expect_count(&scene.ears, 0);
		expect_kept(&scene, 0, PAGES);
	}
	/* Of either list, when it is made and when it grows. */
	assert_true(nth > 4);
	expect_success(&scene, PAGES, 0);
	assert_int_equal(discard(&scene, A, PAGES, GMEM_DISCARD_ABSENT), 0);
	ears_forget(&scene.ears);
	for (nth = 1, failed = 1; failed; nth++) {
		logs_reset(scene.rig.logs);
		allocations_fail(nth);
		(void)populate(&scene, A, PAGES, 0);
		failed = allocations_failed();
		allocations_off();
		if (!failed)
			break;
		assert_int_equal(scene.report.error, -ENOMEM);
		assert_int_equal(scene.report.stage, GMEM_STAGE_PLAN);
		expect_one_message(scene.rig.logs, GMEM_LOG_ERROR, "gmem_vm_populate: gpa 0x",
				   "no memory");
		ears_expect_count(&scene.ears, 0);
		expect_states(&scene, GMEM_ABSENT);
	}
	assert_true(nth > 4);
	expect_success(&scene, 0, PAGES);
	scene_close(&scene);
}

/* The list is for memory that has several addresses alone. */
static void one_address_takes_no_allocation(void **state)
{
	struct scene scene;

	scene_open(&scene, *state);
	rig_map(&scene.rig, 256, rig_plain_region(&scene.rig, 16), 0, 8);
	rig_map(&scene.rig, 300, scene.rig.region[1], 8, 8);
	rig_map(&scene.rig, 320, rig_region(&scene.rig, 16), 0, 16);
	assert_int_equal(discard(&scene, 256, 100, GMEM_DISCARD_ABSENT), 0);
	allocations_count_only();
	assert_int_equal(discard(&scene, 256, 100, GMEM_DISCARD_ABSENT), 0);
	assert_int_equal(populate(&scene, 256, 100, 0), 0);
	assert_int_equal(discard(&scene, 256, 100, 0), 0);
	assert_int_equal(allocations_off(), 0);
	scene_close(&scene);
}

/* A guest_memfd that can never be private has aliases too. */
static void a_guest_memfd_may_have_windows(void **state)
{
	struct mode ordinary = *(const struct mode *)*state;
	struct scene scene;

	ordinary.vm_type = GMEM_VM_TYPE_DEFAULT;
	ordinary.backing = GMEM_BACKING_GUEST_MEMFD;
	ordinary.tracking = GMEM_TRACKING_NONE;
	scene_open(&scene, &ordinary);
	assert_int_equal(discard(&scene, B, 16, GMEM_DISCARD_ABSENT), 0);
	expect_success(&scene, 16, 16);
	assert_int_equal(state_at(&scene, A + 8, 16), GMEM_ABSENT);
	ears_compare(&scene.ears, "a guest_memfd's pages absent");
	assert_int_equal(populate(&scene, A, PAGES, 0), 0);
	expect_success(&scene, 0, 16);
	scene_close(&scene);
}

#define ROUNDS 400u
#define WINDOWS 12u

/* At random: windows, ranges over them, listeners that refuse, pins. Pages know what they are. */
static void random_windows_agree(void **state)
{
	static const uint32_t kinds[] = { 0, 0, GMEM_MAP_READONLY, GMEM_MAP_DEVICE };
	uint64_t random = random_seed("windows"), i, k, start[WINDOWS], offset[WINDOWS];
	uint64_t pages[WINDOWS], page, size;
	bool absent[PAGES] = { false }, wanted[PAGES];
	struct gmem_pin pin;
	struct scene scene;
	struct rig *rig = &scene.rig;
	uint32_t flags, kind[WINDOWS];
	int rc;

	scene_open(&scene, *state);
	ears_listen_all(&scene.ears, 2, 4);
	for (i = 0; i < WINDOWS; i++) {
		start[i] = 1024 + 40 * i + random_below(&random, 4);
		offset[i] = random_below(&random, PAGES);
		pages[i] = 1 + random_below(&random, PAGES - offset[i]);
		kind[i] = kinds[random_below(&random, 4)];
		alias(rig, start[i], offset[i], pages[i], kind[i]);
	}
	for (i = 0; i < ROUNDS; i++) {
		bool plug = random_below(&random, 2), held;

		page = 1020 + random_below(&random, 40 * WINDOWS);
		size = 1 + random_below(&random, 90);
		flags = random_below(&random, 3) ? GMEM_DISCARD_ABSENT : 0;
		memcpy(wanted, absent, sizeof(wanted));
		for (k = 0; k < WINDOWS; k++) {
			uint64_t at;

			for (at = start[k]; !kind[k] && at < start[k] + pages[k]; at++) {
				if (at >= page && at < page + size && (plug || flags))
					wanted[at - start[k] + offset[k]] = !plug;
			}
		}
		if (!random_below(&random, 3))
			ears_refuse(&scene.ears, (uint32_t)random_below(&random, 3),
				    plug ? ADD : REMOVE, 1 + (uint32_t)random_below(&random, 9));
		k = random_below(&random, WINDOWS);
		held = !random_below(&random, 3) &&
		       !gmem_vm_pin(rig->vm, start[k] * rig->page, 1, 0, &pin);
		rc = plug ? populate(&scene, page, size, GMEM_POPULATE_NOWAIT)
			  : discard(&scene, page, size, flags | GMEM_DISCARD_NOWAIT);
		if (held)
			gmem_vm_unpin(rig->vm, &pin);
		assert_true(!rc || rc == -ECANCELED || (rc == -EAGAIN && held && !plug));
		for (k = 0; !rc && k < PAGES; k++)
			absent[k] = wanted[k];
		/* A populate that was refused is done up to there. */
		for (k = 0; rc && plug && k < PAGES; k++) {
			bool is = state_at(&scene, A + k, 1) == GMEM_ABSENT;

			assert_true(is == absent[k] || is == wanted[k]);
			absent[k] = is;
		}
		for (k = 0; k < PAGES; k++)
			assert_int_equal(state_at(&scene, A + k, 1),
					 absent[k] ? GMEM_ABSENT : GMEM_SHARED);
		ears_compare(&scene.ears, plug ? "populate" : "discard");
		ears_forget(&scene.ears);
		logs_reset(rig->logs);
	}
	scene_close(&scene);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(listeners_hear_of_all_addresses, SMALL_PAGES),
		RIG_CASE(each_byte_is_freed_once, SMALL_PAGES),
		RIG_CASE(absence_is_seen_at_all_addresses, SMALL_PAGES),
		RIG_CASE(a_refusal_at_any_address_is_one, SMALL_PAGES),
		RIG_CASE(a_pin_at_any_address_is_in_the_way, SMALL_PAGES),
		RIG_CASE(who_is_at_work_at_any_address_is_in_the_way, SMALL_PAGES),
		RIG_CASE(a_window_that_moves_is_followed, SMALL_PAGES),
		RIG_CASE(a_block_is_told_once, SMALL_PAGES),
		RIG_CASE(other_regions_are_told_of_as_such, SMALL_PAGES),
		RIG_CASE(whatever_allocation_fails, SMALL_PAGES),
		RIG_CASE(one_address_takes_no_allocation, SMALL_PAGES),
		RIG_CASE(a_guest_memfd_may_have_windows, PER_VM),
		RIG_CASE(random_windows_agree, SMALL_PAGES),
	};

	return rig_run("windows of memory", cases, sizeof(cases) / sizeof(cases[0]));
}
