// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory that is unplugged: freed, out of reach, and plugged in again, in every mode. */
#include "rig.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* What a listener was told: bytes added less bytes removed. */
struct ear {
	int64_t bytes;
	unsigned int calls;
	int answer;
};

static int hear(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct ear *ear = opaque;

	ear->calls++;
	if (ear->answer)
		return ear->answer;
	ear->bytes += event == GMEM_EVENT_ADD ? (int64_t)run->size : -(int64_t)run->size;
	return 0;
}

static struct gmem_listener *listen(struct rig *rig, struct ear *ear)
{
	struct gmem_listener *listener;

	memset(ear, 0, sizeof(*ear));
	assert_int_equal(gmem_listener_new(rig->vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0, hear, ear,
					   NULL, &listener),
			 0);
	return listener;
}

static void assert_pages(struct rig *rig, uint64_t first, uint64_t count, uint32_t state)
{
	assert_int_equal(gmem_vm_get_state(rig->vm, first * rig->page, count * rig->page), state);
}

static void absent_memory_is_out_of_reach(void **state)
{
	struct gmem_report report;
	struct gmem_pin pin;
	struct gmem_run run;
	struct rig rig;
	void *host;
	char byte = 1;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	assert_int_equal(gmem_vm_write(rig.vm, 20 * rig.page, &byte, 1, 0), 0);
	assert_int_equal(
		gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT, NULL), 0);
	assert_pages(&rig, 20, 4, GMEM_ABSENT);
	assert_pages(&rig, 20, 1, GMEM_ABSENT);
	assert_pages(&rig, 16, 64, GMEM_ABSENT | GMEM_SHARED);
	assert_int_equal(gmem_vm_next_run(rig.vm, 16 * rig.page, &run), 1);
	assert_int_equal(run.size, 4 * rig.page);
	assert_int_equal(run.state, GMEM_SHARED);
	assert_int_equal(gmem_vm_next_run(rig.vm, 20 * rig.page, &run), 1);
	assert_int_equal(run.size, 4 * rig.page);
	assert_int_equal(run.state, GMEM_ABSENT);
	assert_int_equal(gmem_vm_translate(rig.vm, 23 * rig.page, 1, 0, &host), -EACCES);
	assert_int_equal(gmem_vm_pin(rig.vm, 23 * rig.page, 1, 0, &pin), -EACCES);
	assert_int_equal(
		gmem_vm_pin(rig.vm, 19 * rig.page, 2 * rig.page, GMEM_ACCESS_PARTIAL, &pin), 0);
	assert_int_equal(pin.size, rig.page);
	gmem_vm_unpin(rig.vm, &pin);
	assert_int_equal(gmem_vm_read(rig.vm, 20 * rig.page, &byte, 1, 0), -EACCES);
	logs_reset(rig.logs);
	assert_int_equal(rig_convert(&rig, 16, 8, GMEM_PRIVATE, 0, &report), -EACCES);
	assert_int_equal(report.gpa, 20 * rig.page);
	assert_int_equal(report.stage, GMEM_STAGE_PLAN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "absent");
	assert_int_equal(rig_convert(&rig, 20, 1, GMEM_SHARED, 0, &report), -EACCES);
	assert_pages(&rig, 16, 4, GMEM_SHARED);

	assert_int_equal(gmem_vm_populate(rig.vm, 16 * rig.page, 64 * rig.page, 0, NULL), 0);
	assert_pages(&rig, 16, 64, GMEM_SHARED);
	assert_int_equal(gmem_vm_read(rig.vm, 20 * rig.page, &byte, 1, 0), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(rig_convert(&rig, 16, 8, GMEM_PRIVATE, 0, &report), 0);
	rig_compare(&rig);
	rig_close(&rig);
}

static void listeners_hear_of_plugging(void **state)
{
	struct gmem_listener *listener;
	struct ear ear;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	assert_int_equal(rig_convert(&rig, 22, 1, GMEM_PRIVATE, 0, NULL), 0);
	listener = listen(&rig, &ear);
	assert_int_equal(ear.bytes, 63 * rig.page);
	assert_int_equal(gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, 0, NULL), 0);
	assert_int_equal(ear.bytes, 63 * rig.page);
	assert_int_equal(
		gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT, NULL), 0);
	assert_int_equal(ear.bytes, 60 * rig.page);
	/* Again: nobody has it any more. */
	ear.calls = 0;
	assert_int_equal(
		gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT, NULL), 0);
	assert_int_equal(ear.calls, 0);
	ear.answer = -EBUSY;
	assert_int_equal(gmem_vm_populate(rig.vm, 20 * rig.page, 4 * rig.page, 0, NULL),
			 -ECANCELED);
	assert_pages(&rig, 20, 4, GMEM_ABSENT);
	ear.answer = 0;
	assert_int_equal(gmem_vm_populate(rig.vm, 20 * rig.page, 4 * rig.page, 0, NULL), 0);
	assert_int_equal(ear.bytes, 63 * rig.page);
	assert_pages(&rig, 22, 1, GMEM_PRIVATE);
	/* One who refuses to let go has it all as it was. */
	ear.answer = -EBUSY;
	assert_int_equal(gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT,
					 NULL),
			 -ECANCELED);
	ear.answer = 0;
	assert_pages(&rig, 20, 4, GMEM_SHARED | GMEM_PRIVATE);
	gmem_listener_free(listener);
	assert_int_equal(ear.bytes, 0);
	rig_close(&rig);
}

/* It belongs to the region: where this goes, it goes; and a new region has none. */
static void absence_follows_the_region(void **state)
{
	struct gmem_region *region;
	struct rig rig;

	rig_open(&rig, *state);
	region = rig_region(&rig, 64);
	rig_map(&rig, 16, region, 0, 64);
	assert_int_equal(
		gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT, NULL), 0);
	assert_int_equal(gmem_vm_unmap(rig.vm, 16 * rig.page, 64 * rig.page), 0);
	rig_map(&rig, 1024, region, 0, 64);
	assert_pages(&rig, 1028, 4, GMEM_ABSENT);
	assert_pages(&rig, 1024, 4, GMEM_SHARED);
	/* What is passed over when memory is allocated stays so. */
	assert_int_equal(gmem_region_prefault(region, 0, 64 * rig.page, 1), 0);
	assert_pages(&rig, 1028, 4, GMEM_ABSENT);
	assert_int_equal(gmem_vm_unmap(rig.vm, 1024 * rig.page, 64 * rig.page), 0);
	gmem_region_free(region);
	rig.regions = 0;
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	assert_pages(&rig, 16, 64, GMEM_SHARED);
	rig_close(&rig);
}

/* Memory that can never be private has no states to look at, until some of it is absent. */
static void memory_without_states_can_be_absent(void **state)
{
	struct gmem_region_config *config;
	struct gmem_region *region;
	struct rig rig;

	rig_open(&rig, *state);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(rig.vm, 64 * rig.page, config, &region), 0);
	gmem_region_config_free(config);
	rig_map(&rig, 16, region, 0, 64);
	assert_int_equal(
		gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT, NULL), 0);
	assert_pages(&rig, 20, 4, GMEM_ABSENT);
	assert_pages(&rig, 16, 4, GMEM_SHARED);
	/* It is still memory that cannot be private. */
	assert_int_equal(rig_convert(&rig, 16, 4, GMEM_PRIVATE, 0, NULL), -EACCES);
	assert_int_equal(rig_convert(&rig, 16, 4, GMEM_SHARED, 0, NULL), 0);
	assert_int_equal(gmem_vm_populate(rig.vm, 20 * rig.page, 4 * rig.page, 0, NULL), 0);
	assert_pages(&rig, 16, 64, GMEM_SHARED);
	gmem_region_free(region);
	rig_close(&rig);
}

/* What was made before memory ran out is no less there for readers the next time. */
static void absence_is_seen_after_a_failure(void **state)
{
	struct gmem_region *region;
	struct rig rig;

	rig_open(&rig, *state);
	region = rig_plain_region(&rig, 64);
	rig_map(&rig, 16, region, 0, 64);
	logs_reset(rig.logs);
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_MMAP, 0, 2, -ENOMEM, 0), 0);
	assert_int_equal(gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT,
					 NULL),
			 -ENOMEM);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "no memory");
	assert_pages(&rig, 16, 64, GMEM_SHARED);
	assert_int_equal(
		gmem_vm_discard(rig.vm, 20 * rig.page, 4 * rig.page, GMEM_DISCARD_ABSENT, NULL), 0);
	assert_pages(&rig, 20, 4, GMEM_ABSENT);
	assert_int_equal(gmem_vm_populate(rig.vm, 20 * rig.page, 4 * rig.page, 0, NULL), 0);
	assert_pages(&rig, 16, 64, GMEM_SHARED);
	rig_close(&rig);
}

/* A callback of a layout change, and another thread's first absent discard of a region. */
struct meeting {
	struct rig *rig;
	uint64_t page; /* of the region's first section */
	unsigned int calls;
	int discarded;
	uint32_t seen;
};

static void *discard_elsewhere(void *opaque)
{
	struct meeting *meeting = opaque;
	struct rig *rig = meeting->rig;

	meeting->discarded = gmem_vm_discard(rig->vm, meeting->page * rig->page, rig->page,
					     GMEM_DISCARD_ABSENT, NULL);
	return NULL;
}

/* Goes on when the discard has returned, as under a lock of the VMM's that both take. */
static int meet(struct meeting *meeting)
{
	struct rig *rig = meeting->rig;
	pthread_t thread;

	if (meeting->calls++)
		return 0;
	if (pthread_create(&thread, NULL, discard_elsewhere, meeting))
		return -EAGAIN;
	pthread_join(thread, NULL);
	meeting->seen = (uint32_t)gmem_vm_get_state(rig->vm, meeting->page * rig->page, rig->page);
	return 0;
}

static int meet_in_listener(uint32_t event, const struct gmem_run *run, void *opaque)
{
	(void)event;
	(void)run;
	return meet(opaque);
}

static int meet_in_pause(void *opaque)
{
	return meet(opaque);
}

static void resume(void *opaque)
{
	(void)opaque;
}

static void expect_meeting(struct meeting *meeting)
{
	assert_true(meeting->calls > 0);
	assert_int_equal(meeting->discarded, 0);
	assert_int_equal(meeting->seen, GMEM_ABSENT);
	assert_pages(meeting->rig, meeting->page, 1, GMEM_ABSENT);
	assert_pages(meeting->rig, meeting->page + 1, 15, GMEM_SHARED);
	meeting->calls = 0;
	meeting->discarded = -EINVAL;
	meeting->seen = 0;
	meeting->page += 16;
}

/* Whose lock is held over callbacks is not what the first absent page of a region waits for. */
static void absence_is_noted_while_the_layout_changes(void **state)
{
	struct gmem_vm_config *config = rig_config(*state);
	struct meeting meeting = { .discarded = -EINVAL };
	struct gmem_listener *listener;
	struct gmem_change *change;
	struct rig rig;
	uint64_t i;

	gmem_vm_config_set_pause(config, meet_in_pause, resume, &meeting, NULL);
	rig_open_with(&rig, *state, config);
	gmem_vm_config_free(config);
	meeting.rig = &rig;
	/* Three regions without states, and one whose sections come and go. */
	for (i = 0; i < 3; i++)
		rig_map(&rig, 16 * i, rig_plain_region(&rig, 16), 0, 16);
	rig_region(&rig, 16);
	assert_int_equal(gmem_listener_new(rig.vm, GMEM_LISTEN_LAYOUT, GMEM_LISTEN_RAM, 0,
					   meet_in_listener, &meeting, NULL, &listener),
			 0);
	/* Told after readers see the change. */
	rig_map(&rig, 256, rig.region[3], 0, 8);
	expect_meeting(&meeting);
	/* Told before. */
	assert_int_equal(gmem_vm_unmap(rig.vm, 256 * rig.page, 8 * rig.page), 0);
	expect_meeting(&meeting);
	assert_int_equal(gmem_listener_free(listener), 0);
	/* Between the two memslot calls of one change. */
	assert_int_equal(gmem_change_new(rig.vm, &change), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(gmem_change_map(change, (256 + 16 * i) * rig.page, rig.region[3],
						 8 * i * rig.page, 8 * rig.page, GMEM_SLOT_AUTO, 0),
				 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	expect_meeting(&meeting);
	rig_close(&rig);
}

static void bad_requests_are_refused(void **state)
{
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 16, rig_region(&rig, 64), 0, 64);
	logs_reset(rig.logs);
	assert_int_equal(gmem_vm_discard(rig.vm, 16 * rig.page, rig.page, 4, NULL), -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_discard", "flags");
	assert_int_equal(gmem_vm_populate(rig.vm, 16 * rig.page, rig.page, 1, NULL), -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_populate", "flags are 0x1",
			   "GMEM_POPULATE_*");
	assert_int_equal(gmem_vm_discard(rig.vm, 16 * rig.page + 1, rig.page, 0, NULL), -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_discard", "page size");
	assert_int_equal(gmem_vm_populate(rig.vm, 16 * rig.page, 0, 0, NULL), -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_populate", "page size");
	assert_int_equal(gmem_vm_populate(rig.vm, UINT64_MAX - rig.page + 1, rig.page, 0, NULL),
			 -EINVAL);
	logs_reset(rig.logs);
	/* Holes are passed over. */
	assert_int_equal(gmem_vm_discard(rig.vm, 0, 1024 * rig.page, GMEM_DISCARD_ABSENT, NULL), 0);
	assert_int_equal(gmem_vm_populate(rig.vm, 0, 1024 * rig.page, 0, NULL), 0);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(absent_memory_is_out_of_reach, IN_ALL_MODES),
		RIG_CASE(listeners_hear_of_plugging, IN_ALL_MODES),
		RIG_CASE(absence_follows_the_region, IN_ALL_MODES),
		RIG_CASE(memory_without_states_can_be_absent, IN_ALL_MODES),
		RIG_CASE(absence_is_seen_after_a_failure, IN_ALL_MODES),
		RIG_CASE(absence_is_noted_while_the_layout_changes, IN_ALL_MODES),
		RIG_CASE(bad_requests_are_refused, IN_ALL_MODES),
	};

	return rig_run("absent", cases, sizeof(cases) / sizeof(cases[0]));
}
