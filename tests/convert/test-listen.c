// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Listeners and conversions: who is told what in which order, and what a refusal leaves behind.
 * Layout changes are test-listen-layout.c's.
 */
#include "ears.h"

#include "libgmem/uapi/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADD GMEM_EVENT_ADD
#define REMOVE GMEM_EVENT_REMOVE
#define EVERYTHING (GMEM_LISTEN_RAM | GMEM_LISTEN_ROM | GMEM_LISTEN_DEVICE)

/*
 * Two sections that follow each other in the guest and in the region, and a third after a hole;
 * pages 4 to 7 and 20 to 23 are private, so that runs to private are 0-4, 8-16, 16-20, 24-32 and
 * 40-48, of which 8-16 and 16-20 are two only because sections are.
 */
static void open_mixed(struct rig *rig, struct ears *ears, const struct mode *mode)
{
	rig_open(rig, mode);
	rig_region(rig, 64);
	rig_map(rig, 0, rig->region[0], 0, 16);
	rig_map(rig, 16, rig->region[0], 16, 16);
	rig_map(rig, 40, rig->region[0], 40, 8);
	assert_int_equal(rig_convert(rig, 4, 4, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(rig, 20, 4, GMEM_PRIVATE, 0, NULL), 0);
	ears_open(ears, rig);
}

static void close_all(struct rig *rig, struct ears *ears)
{
	ears_close(ears);
	rig_close(rig);
}

static void listen_three(struct ears *ears)
{
	uint32_t i;

	for (i = 0; i < 3; i++)
		ears_listen_all(ears, i, 0);
	ears_forget(ears);
	rig_forget_calls(ears->rig);
}

static const struct gmem_range *all_ranges(const struct rig *rig, struct gmem_range ranges[2])
{
	ranges[0] = (struct gmem_range){ .gpa = 0, .size = 32 * rig->page };
	ranges[1] = (struct gmem_range){ .gpa = 40 * rig->page, .size = 8 * rig->page };
	return ranges;
}

static int convert_all(struct rig *rig, uint32_t to, uint32_t flags, struct gmem_report *report)
{
	struct gmem_range ranges[2];

	return gmem_vm_convert_ranges(rig->vm, all_ranges(rig, ranges), 2, to, flags, report);
}

struct span_of_pages {
	uint64_t page;
	uint64_t pages;
};

/* What open_mixed() has shared, run by run; and what it has private. */
static const struct span_of_pages shared_runs[] = {
	{ 0, 4 }, { 8, 8 }, { 16, 4 }, { 24, 8 }, { 40, 8 },
};

static void told_in_order_and_in_the_opposite_one(void **state)
{
	struct gmem_vm_stats before, after;
	struct ears ears;
	struct rig rig;
	uint32_t i;

	open_mixed(&rig, &ears, *state);
	listen_three(&ears);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &before), 0);
	assert_int_equal(convert_all(&rig, GMEM_PRIVATE, 0, NULL), 0);
	for (i = 0; i < 15; i++)
		ears_expect(&ears, i, 2 - i % 3, REMOVE, shared_runs[i / 3].page,
			    shared_runs[i / 3].pages);
	ears_expect_count(&ears, 15);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &after), 0);
	assert_int_equal(after.listener_calls - before.listener_calls, 15);
	ears_compare(&ears, "conversion to private");
	ears_forget(&ears);
	assert_int_equal(rig_convert(&rig, 10, 12, GMEM_SHARED, 0, NULL), 0);
	for (i = 0; i < 6; i++)
		ears_expect(&ears, i, i % 3, ADD, i < 3 ? 10 : 16, 6);
	ears_expect_count(&ears, 6);
	/* Of what is so already nobody is told. */
	assert_int_equal(rig_convert(&rig, 10, 12, GMEM_SHARED, 0, NULL), 0);
	ears_expect_count(&ears, 6);
	ears_compare(&ears, "conversion to shared");
	rig_compare(&rig);
	close_all(&rig, &ears);
}

/* All states, to be compared with later ones. */
static void save_states(struct rig *rig, uint32_t states[64])
{
	uint32_t i;

	for (i = 0; i < 64; i++)
		states[i] = (uint32_t)gmem_vm_get_state(rig->vm, i * rig->page, rig->page);
}

/*
 * The sequence of calls up to a refusal of remove and all that is taken back: of the run refused
 * those above, the last first; of the runs before all, in order.
 */
static void expect_refused_remove(struct ears *ears, uint32_t refuser, uint32_t run)
{
	uint32_t call = 0, i, k;

	for (i = 0; i < run; i++) {
		for (k = 3; k-- > 0;)
			ears_expect(ears, call++, k, REMOVE, shared_runs[i].page,
				    shared_runs[i].pages);
	}
	for (k = 3; k-- > refuser;)
		ears_expect(ears, call++, k, REMOVE, shared_runs[run].page, shared_runs[run].pages);
	for (k = refuser + 1; k < 3; k++)
		ears_expect(ears, call++, k, ADD, shared_runs[run].page, shared_runs[run].pages);
	for (i = 0; i < run; i++) {
		for (k = 0; k < 3; k++)
			ears_expect(ears, call++, k, ADD, shared_runs[i].page,
				    shared_runs[i].pages);
	}
	ears_expect_count(ears, call);
}

/* Each of three, at each of five runs: everybody and everything is as before. */
static void a_refused_remove_touches_nothing(void **state)
{
	uint32_t before[64], after[64], refuser, run;
	struct gmem_report report;
	struct ears ears;
	struct rig rig;

	open_mixed(&rig, &ears, *state);
	listen_three(&ears);
	save_states(&rig, before);
	for (refuser = 0; refuser < 3; refuser++) {
		for (run = 0; run < 5; run++) {
			ears_refuse(&ears, refuser, REMOVE, run + 1);
			assert_int_equal(convert_all(&rig, GMEM_PRIVATE, 0, &report), -ECANCELED);
			expect_refused_remove(&ears, refuser, run);
			assert_int_equal(report.error, -ECANCELED);
			assert_int_equal(report.stage, GMEM_STAGE_PREPARE);
			assert_int_equal(report.gpa, shared_runs[run].page * rig.page);
			assert_int_equal(report.size, shared_runs[run].pages * rig.page);
			assert_int_equal(report.converted, 0);
			assert_int_equal(report.restored, 0);
			assert_int_equal(report.ioctls, 0);
			/* No call to the kernel at all. */
			assert_int_equal(rig.call_count, 0);
			assert_int_equal(rig.other_calls, 0);
			save_states(&rig, after);
			assert_memory_equal(before, after, sizeof(before));
			ears_compare(&ears, "a refused remove");
			rig_compare(&rig);
			ears_forget(&ears);
		}
	}
	assert_int_equal(convert_all(&rig, GMEM_PRIVATE, 0, &report), 0);
	close_all(&rig, &ears);
}

/* What must show: the second of three, by itself. */
static void the_second_of_three_refuses(void **state)
{
	struct gmem_report report;
	struct ears ears;
	struct rig rig;
	char byte = 'x', read = 0;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 32), 0, 32);
	ears_open(&ears, &rig);
	listen_three(&ears);
	assert_int_equal(gmem_vm_write(rig.vm, 9 * rig.page, &byte, 1, 0), 0);
	ears_refuse(&ears, 1, REMOVE, 1);
	assert_int_equal(rig_convert(&rig, 8, 8, GMEM_PRIVATE, 0, &report), -ECANCELED);
	ears_expect(&ears, 0, 2, REMOVE, 8, 8);
	ears_expect(&ears, 1, 1, REMOVE, 8, 8);
	ears_expect(&ears, 2, 2, ADD, 8, 8);
	ears_expect_count(&ears, 3);
	assert_int_equal(rig.call_count + rig.other_calls, 0);
	assert_int_equal(gmem_vm_get_state(rig.vm, 0, 32 * rig.page), GMEM_SHARED);
	assert_int_equal(gmem_vm_read(rig.vm, 9 * rig.page, &read, 1, 0), 0);
	assert_int_equal(read, 'x');
	ears_compare(&ears, "a refusal");
	rig_compare(&rig);
	close_all(&rig, &ears);
}

static bool keeps_contents(const struct mode *mode)
{
	return mode->vm_type == GMEM_VM_TYPE_SW_PROTECTED;
}

/*
 * Each of three, at each of five runs that become shared: what precedes the refused run stays
 * shared, the rest is private again; where that would destroy contents all of a call's run stays
 * shared, who refused does without, and what comes after that call is not begun.
 */
static void a_refused_add_is_converted_back(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct ears ears;
	struct rig rig;
	uint32_t refuser, run, i;

	open_mixed(&rig, &ears, mode);
	listen_three(&ears);
	for (refuser = 0; refuser < 3; refuser++) {
		for (run = 0; run < 5; run++) {
			uint64_t page = shared_runs[run].page, pages = shared_runs[run].pages;
			uint64_t shared = 0;

			/* The runs alone are private. */
			assert_int_equal(convert_all(&rig, GMEM_SHARED, 0, NULL), 0);
			for (i = 0; i < 5; i++)
				assert_int_equal(rig_convert(&rig, shared_runs[i].page,
							     shared_runs[i].pages, GMEM_PRIVATE, 0,
							     NULL),
						 0);
			ears_compare(&ears, "the start");
			ears_forget(&ears);
			ears_refuse(&ears, refuser, ADD, run + 1);
			logs_reset(rig.logs);
			assert_int_equal(convert_all(&rig, GMEM_SHARED, 0, &report), -ECANCELED);
			assert_int_equal(report.stage, GMEM_STAGE_FINISH);
			for (i = 0; i < run; i++)
				shared += shared_runs[i].pages;
			if (keeps_contents(mode)) {
				assert_int_equal(report.converted, shared * rig.page);
				assert_int_equal(report.gpa, page * rig.page);
				assert_int_equal(gmem_vm_get_state(rig.vm, page * rig.page,
								   pages * rig.page),
						 GMEM_PRIVATE);
				expect_one_message(rig.logs, GMEM_LOG_ERROR, "a listener answered",
						   "add", "EPERM");
			} else {
				assert_true(report.converted >= (shared + pages) * rig.page);
				assert_int_equal(gmem_vm_get_state(rig.vm, page * rig.page,
								   pages * rig.page),
						 GMEM_SHARED);
				expect_one_message(rig.logs, GMEM_LOG_ERROR, "a listener answered",
						   "add", "EPERM", "does without");
			}
			ears_compare(&ears, "a refused add");
			rig_compare(&rig);
		}
	}
	close_all(&rig, &ears);
}

/* In the middle of a range the kernel fails: told is what is really so. */
static void a_kernel_failure_half_way_is_told(void **state)
{
	const struct mode *mode = *state;
	uint64_t request = mode->tracking == GMEM_TRACKING_VM ? GMEM_KVM_SET_MEMORY_ATTRIBUTES
							      : GMEM_KVM_SET_MEMORY_ATTRIBUTES2;
	struct gmem_report report;
	struct ears ears;
	struct rig rig;
	uint32_t i;

	open_mixed(&rig, &ears, mode);
	listen_three(&ears);
	ears_listen_all(&ears, 3, 4);
	for (i = 0; i < 4; i++) {
		uint32_t to = i % 2 ? GMEM_SHARED : GMEM_PRIVATE;
		int error = i < 2 ? -ENOMEM : -EIO;

		/* Under per-VM tracking and in the file the last range is a call of its own. */
		assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_IOCTL, request, 2, error, 0), 0);
		assert_int_equal(convert_all(&rig, to, 0, &report), error);
		assert_int_equal(report.kernel_error, error);
		assert_int_equal(report.gpa, 40 * rig.page);
		assert_int_equal(gmem_vm_get_state(rig.vm, 0, 32 * rig.page), to);
		ears_compare(&ears, "a failure of the kernel");
		rig_compare(&rig);
		assert_int_equal(convert_all(&rig, to, 0, &report), 0);
		ears_compare(&ears, "another try");
	}
	if (keeps_contents(mode)) {
		assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_IOCTL, request, 2, -EIO, 0), 0);
		assert_int_equal(convert_all(&rig, GMEM_PRIVATE, GMEM_CONVERT_ROLLBACK, &report),
				 -EIO);
		assert_int_equal(report.restored, 32 * rig.page);
		assert_int_equal(gmem_vm_get_state(rig.vm, 0, 32 * rig.page), GMEM_SHARED);
		ears_compare(&ears, "a rollback");
		rig_compare(&rig);
	}
	close_all(&rig, &ears);
}

/* To shared, taken back by the rollback flag: listeners are told remove of what was told add. */
static void rollback_takes_an_add_back(void **state)
{
	struct gmem_report report;
	struct ears ears;
	struct rig rig;
	uint32_t i, run;

	open_mixed(&rig, &ears, *state);
	listen_three(&ears);
	ears_listen_all(&ears, 3, 4);
	for (run = 1; run <= 5; run++) {
		assert_int_equal(convert_all(&rig, GMEM_SHARED, 0, NULL), 0);
		for (i = 0; i < 5; i++)
			assert_int_equal(rig_convert(&rig, shared_runs[i].page,
						     shared_runs[i].pages, GMEM_PRIVATE, 0, NULL),
					 0);
		ears_refuse(&ears, 1, ADD, run);
		assert_int_equal(convert_all(&rig, GMEM_SHARED, GMEM_CONVERT_ROLLBACK, &report),
				 -ECANCELED);
		assert_int_equal(report.converted, 0);
		for (i = 0; i < 5; i++)
			assert_int_equal(gmem_vm_get_state(rig.vm, shared_runs[i].page * rig.page,
							   shared_runs[i].pages * rig.page),
					 GMEM_PRIVATE);
		ears_compare(&ears, "a rollback");
		rig_compare(&rig);
	}
	close_all(&rig, &ears);
}

static void a_busy_page_is_told_back(void **state)
{
	struct gmem_region_info info;
	struct gmem_report report;
	struct ears ears;
	struct rig rig;

	open_mixed(&rig, &ears, *state);
	listen_three(&ears);
	assert_int_equal(gmem_region_get_info(rig.region[0], &info), 0);
	assert_int_equal(gmem_sim_pin(rig.sim, info.guest_memfd, 10 * rig.page, rig.page, 0), 0);
	assert_int_equal(convert_all(&rig, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report), -EAGAIN);
	/* Remove of five runs, and add of the page that stayed. */
	ears_expect(&ears, 15, 0, ADD, 10, 1);
	ears_expect(&ears, 16, 1, ADD, 10, 1);
	ears_expect(&ears, 17, 2, ADD, 10, 1);
	ears_expect_count(&ears, 18);
	ears_compare(&ears, "a page in use");
	rig_compare(&rig);
	close_all(&rig, &ears);
}

/* Blocks of four pages: those wholly shared in one section, once each. */
static void blocks_are_told_as_wholes(void **state)
{
	struct ears ears;
	struct rig rig;

	rig_open(&rig, *state);
	rig_region(&rig, 64);
	/* The section begins and ends in the middle of a block. */
	rig_map(&rig, 2, rig.region[0], 2, 28);
	rig_map(&rig, 30, rig.region[0], 30, 10);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 4);
	/* Not 0-4, and not 28-32, which is in two sections. */
	ears_expect(&ears, 0, 0, ADD, 4, 4);
	ears_expect(&ears, 5, 0, ADD, 24, 4);
	ears_expect(&ears, 6, 0, ADD, 32, 4);
	ears_expect_count(&ears, 8);
	ears_forget(&ears);
	/* One page takes the block away, the next page of it nothing more. */
	assert_int_equal(rig_convert(&rig, 5, 1, GMEM_PRIVATE, 0, NULL), 0);
	ears_expect(&ears, 0, 0, REMOVE, 4, 4);
	assert_int_equal(rig_convert(&rig, 7, 1, GMEM_PRIVATE, 0, NULL), 0);
	ears_expect_count(&ears, 1);
	/* Back when the last page is. */
	assert_int_equal(rig_convert(&rig, 5, 1, GMEM_SHARED, 0, NULL), 0);
	ears_expect_count(&ears, 1);
	assert_int_equal(rig_convert(&rig, 4, 4, GMEM_SHARED, 0, NULL), 0);
	ears_expect(&ears, 1, 0, ADD, 4, 4);
	ears_expect_count(&ears, 2);
	ears_forget(&ears);
	/* Two ranges of one operation in one block. */
	{
		const struct gmem_range ranges[] = { { 12 * rig.page, rig.page },
						     { 14 * rig.page, 4 * rig.page } };

		assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_PRIVATE, 0, NULL),
				 0);
		ears_expect(&ears, 0, 0, REMOVE, 12, 4);
		ears_expect(&ears, 1, 0, REMOVE, 16, 4);
		assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_SHARED, 0, NULL),
				 0);
		ears_expect(&ears, 2, 0, ADD, 12, 4);
		ears_expect(&ears, 3, 0, ADD, 16, 4);
		ears_expect_count(&ears, 4);
	}
	/* The block of two sections is never there. */
	assert_int_equal(rig_convert(&rig, 28, 4, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&rig, 28, 4, GMEM_SHARED, 0, NULL), 0);
	ears_expect_count(&ears, 4);
	ears_compare(&ears, "blocks");
	close_all(&rig, &ears);
}

/* A refusal at a block in the middle of a run: the listener's own blocks are taken back too. */
static void a_refused_block_takes_its_run_back(void **state)
{
	struct gmem_report report;
	struct ears ears;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 64), 0, 64);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	ears_listen_all(&ears, 1, 4);
	ears_forget(&ears);
	ears_refuse(&ears, 1, REMOVE, 3);
	assert_int_equal(rig_convert(&rig, 6, 20, GMEM_PRIVATE, 0, &report), -ECANCELED);
	ears_expect(&ears, 0, 1, REMOVE, 4, 4);
	ears_expect(&ears, 1, 1, REMOVE, 8, 4);
	ears_expect(&ears, 2, 1, REMOVE, 12, 4);
	ears_expect(&ears, 3, 1, ADD, 4, 4);
	ears_expect(&ears, 4, 1, ADD, 8, 4);
	ears_expect_count(&ears, 5);
	ears_compare(&ears, "a refused block");
	close_all(&rig, &ears);
}

/* 2 MiB, for those who map with huge pages. */
static void huge_blocks(void **state)
{
	uint64_t block = 512;
	struct ears ears;
	struct rig rig;
	uint32_t i;

	rig_open(&rig, *state);
	rig_map(&rig, 256, rig_region(&rig, 2048), 0, 2048);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, block);
	for (i = 0; i < 3; i++)
		ears_expect(&ears, i, 0, ADD, (1 + i) * block, block);
	ears_expect_count(&ears, 3);
	ears_forget(&ears);
	assert_int_equal(rig_convert(&rig, 1023, 2, GMEM_PRIVATE, 0, NULL), 0);
	ears_expect(&ears, 0, 0, REMOVE, block, block);
	ears_expect(&ears, 1, 0, REMOVE, 2 * block, block);
	assert_int_equal(rig_convert(&rig, 256, 2048, GMEM_SHARED, 0, NULL), 0);
	ears_expect(&ears, 2, 0, ADD, block, block);
	ears_expect(&ears, 3, 0, ADD, 2 * block, block);
	ears_expect_count(&ears, 4);
	ears_compare(&ears, "huge blocks");
	close_all(&rig, &ears);
}

/* Everything that is -EDEADLK inside; what gmem/access.h declares works. */
static void inside(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct rig *rig = ear->ears->rig;
	struct gmem_listener *listener;
	struct gmem_pin pin;
	char byte = 0;

	(void)event;
	assert_int_equal(gmem_vm_convert(rig->vm, 0, rig->page, GMEM_PRIVATE, 0, NULL), -EDEADLK);
	assert_int_equal(gmem_vm_discard(rig->vm, 0, rig->page, 0, NULL), -EDEADLK);
	assert_int_equal(gmem_vm_populate(rig->vm, 0, rig->page, 0, NULL), -EDEADLK);
	assert_int_equal(gmem_vm_flush(rig->vm, 0, NULL), -EDEADLK);
	assert_int_equal(gmem_vm_unmap(rig->vm, 0, rig->page), -EDEADLK);
	assert_int_equal(gmem_vm_map(rig->vm, 0, NULL, 0, rig->page, GMEM_SLOT_AUTO, 0), -EDEADLK);
	assert_int_equal(gmem_listener_new(rig->vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0,
					   (gmem_listener_fn)abort, NULL, NULL, &listener),
			 -EDEADLK);
	assert_null(listener);
	logs_reset(rig->logs);
	assert_int_equal(gmem_listener_free(ear->listener), -EDEADLK);
	expect_one_message(rig->logs, GMEM_LOG_ERROR, "gmem_listener_free", "callback");
	/* Its own run is at work; another page is free to be pinned. */
	assert_int_equal(gmem_vm_pin(rig->vm, run->gpa, 1, 0, &pin), -EAGAIN);
	assert_int_equal(gmem_vm_pin(rig->vm, run->gpa, 1, GMEM_ACCESS_WAIT, &pin), -EDEADLK);
	assert_int_equal(gmem_vm_read(rig->vm, 63 * rig->page, &byte, 1, GMEM_ACCESS_WAIT), 0);
	assert_int_equal(gmem_vm_get_state(rig->vm, run->gpa, run->size), GMEM_SHARED);
}

static void callbacks_may_ask_and_not_act(void **state)
{
	struct ears ears;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 64), 0, 64);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	ears.ear[0].inside = inside;
	assert_int_equal(rig_convert(&rig, 8, 8, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&rig, 8, 8, GMEM_SHARED, 0, NULL), 0);
	assert_int_equal(gmem_vm_discard(rig.vm, 8 * rig.page, rig.page, 0, NULL), 0);
	ears.ear[0].inside = NULL;
	ears_compare(&ears, "calls from inside");
	close_all(&rig, &ears);
}

static void kinds_and_events_are_heeded(void **state)
{
	struct gmem_region_config *config;
	struct ears ears;
	struct rig rig;

	rig_open(&rig, *state);
	ears_open(&ears, &rig);
	assert_int_equal(ears_listen(&ears, 0, GMEM_LISTEN_ALL, GMEM_LISTEN_ROM, 0), 0);
	assert_int_equal(ears_listen(&ears, 1, GMEM_LISTEN_ALL, GMEM_LISTEN_DEVICE, 0), 0);
	assert_int_equal(ears_listen(&ears, 2, GMEM_LISTEN_CONVERT, EVERYTHING, 0), 0);
	assert_int_equal(ears_listen(&ears, 3, GMEM_LISTEN_LAYOUT, EVERYTHING, 0), 0);
	rig_map(&rig, 0, rig_region(&rig, 16), 0, 16);
	ears_expect(&ears, 0, 3, ADD, 0, 16);
	ears_expect_count(&ears, 1);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(rig.vm, 32 * rig.page, config, &rig.region[1]), 0);
	rig.regions = 2;
	gmem_region_config_free(config);
	assert_int_equal(gmem_vm_map(rig.vm, 32 * rig.page, rig.region[1], 0, 16 * rig.page,
				     GMEM_SLOT_AUTO, GMEM_MAP_READONLY),
			 0);
	ears_expect(&ears, 1, 0, ADD, 32, 16);
	ears_expect(&ears, 2, 3, ADD, 32, 16);
	assert_int_equal(gmem_vm_map(rig.vm, 48 * rig.page, rig.region[1], 16 * rig.page,
				     16 * rig.page, GMEM_SLOT_AUTO, GMEM_MAP_DEVICE),
			 0);
	ears_expect(&ears, 3, 1, ADD, 48, 16);
	ears_expect(&ears, 4, 3, ADD, 48, 16);
	assert_int_equal(
		gmem_vm_map(rig.vm, 64 * rig.page, NULL, 0, 16 * rig.page, GMEM_SLOT_AUTO, 0), 0);
	ears_expect_count(&ears, 5);
	/* It has not heard of what was mapped, and hears of it all the same. */
	memset(ears.ear[2].unsure, true, sizeof(ears.ear[2].unsure));
	assert_int_equal(rig_convert(&rig, 0, 4, GMEM_PRIVATE, 0, NULL), 0);
	ears_expect(&ears, 5, 2, REMOVE, 0, 4);
	ears_expect_count(&ears, 6);
	ears.ear[2].listener = (gmem_listener_free(ears.ear[2].listener), NULL);
	ears.ear[3].listener = (gmem_listener_free(ears.ear[3].listener), NULL);
	ears_compare(&ears, "kinds");
	close_all(&rig, &ears);
}

/* Late, it is told of what there is; when it goes, of remove of what it has then. */
static void replay_when_made_and_freed(void **state)
{
	struct ears ears;
	struct rig rig;
	uint32_t i;

	open_mixed(&rig, &ears, *state);
	ears_listen_all(&ears, 0, 0);
	for (i = 0; i < 5; i++)
		ears_expect(&ears, i, 0, ADD, shared_runs[i].page, shared_runs[i].pages);
	ears_expect_count(&ears, 5);
	assert_int_equal(rig_convert(&rig, 40, 8, GMEM_PRIVATE, 0, NULL), 0);
	ears_forget(&ears);
	ears_free(&ears, 0);
	for (i = 0; i < 4; i++)
		ears_expect(&ears, i, 0, REMOVE, shared_runs[i].page, shared_runs[i].pages);
	ears_expect_count(&ears, 4);
	/* A remove that is refused when one goes is ignored. */
	ears_listen_all(&ears, 0, 4);
	logs_reset(rig.logs);
	ears_refuse(&ears, 0, REMOVE, 1);
	ears_free(&ears, 0);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "remove", "ignored");
	/* What one refuses of its replay: it is not made, and has nothing. */
	for (i = 1; i <= 4; i++) {
		ears_forget(&ears);
		ears_refuse(&ears, 1, ADD, i);
		assert_int_equal(ears_listen(&ears, 1, GMEM_LISTEN_ALL, EVERYTHING, 0), -ECANCELED);
		assert_null(ears.ear[1].listener);
		ears_expect_count(&ears, 2 * i - 1);
	}
	ears_forget(&ears);
	assert_int_equal(rig_convert(&rig, 0, 4, GMEM_PRIVATE, 0, NULL), 0);
	ears_expect_count(&ears, 0);
	/* Without replay nobody is told of what there is. */
	assert_int_equal(
		ears_listen(&ears, 2, GMEM_LISTEN_CONVERT | GMEM_LISTEN_LAYOUT, EVERYTHING, 0), 0);
	ears_free(&ears, 2);
	ears_expect_count(&ears, 0);
	close_all(&rig, &ears);
}

static int never(uint32_t event, const struct gmem_run *run, void *opaque)
{
	(void)event;
	(void)run;
	(void)opaque;
	return 0;
}

static void count_free(void *opaque)
{
	++*(unsigned int *)opaque;
}

static void bad_arguments_are_refused(void **state)
{
	const uint32_t both = GMEM_LISTEN_CONVERT | GMEM_LISTEN_LAYOUT, ram = GMEM_LISTEN_RAM;
	struct gmem_listener *listener;
	unsigned int freed = 0;
	struct rig rig;

	rig_open(&rig, *state);
	const struct {
		uint32_t events;
		uint32_t kinds;
		uint64_t granularity;
		gmem_listener_fn fn;
		const char *what;
	} bad[] = {
		{ 0, ram, 0, never, "events are 0" },
		{ GMEM_LISTEN_REPLAY, ram, 0, never, "events are 0x4" },
		{ both | 8, ram, 0, never, "events are 0xb" },
		{ both, 0, 0, never, "kinds are 0" },
		{ both, 1, 0, never, "kinds are 0x1" },
		{ both, ram | 1u << GMEM_KIND_RESERVED, 0, never, "kinds are 0x12" },
		{ both, ram, rig.page / 2, never, "granularity" },
		{ both, ram, 3 * rig.page, never, "granularity" },
		{ both, ram, 0, NULL, "fn is NULL" },
	};
	size_t count = sizeof(bad) / sizeof(bad[0]), i;

	logs_reset(rig.logs);
	for (i = 0; i < count; i++) {
		listener = (void *)&rig;
		assert_int_equal(gmem_listener_new(rig.vm, bad[i].events, bad[i].kinds,
						   bad[i].granularity, bad[i].fn, &freed,
						   count_free, &listener),
				 -EINVAL);
		assert_null(listener);
		assert_int_equal(freed, i + 1);
		expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_listener_new", bad[i].what);
	}
	assert_int_equal(gmem_listener_new(rig.vm, both, ram, 0, never, &freed, count_free, NULL),
			 -EINVAL);
	assert_int_equal(freed, count + 1);
	assert_int_equal(gmem_listener_new(NULL, both, ram, 0, never, &freed, count_free,
					   &listener),
			 -EINVAL);
	assert_int_equal(freed, count + 2);
	/* The largest block there is; and one free, when it goes. */
	assert_int_equal(gmem_listener_new(rig.vm, both, ram, UINT64_C(1) << 63, never, &freed,
					   count_free, &listener),
			 0);
	gmem_listener_free(listener);
	assert_int_equal(freed, count + 3);
	gmem_listener_free(NULL);
	rig_close(&rig);
}

static int count_calls(uint32_t event, const struct gmem_run *run, void *opaque)
{
	(void)event;
	(void)run;
	(*(uint32_t *)opaque)++;
	return 0;
}

/* Who listens to less than all is told just what gmem/listener.h says, and holds no map with it. */
static void who_listens_to_less_is_told_less(void **state)
{
	static const uint32_t events[] = { GMEM_LISTEN_CONVERT, GMEM_LISTEN_LAYOUT };
	uint32_t calls[2] = { 0, 0 }, i;
	struct gmem_listener *listener[2];
	struct rig rig;

	rig_open(&rig, *state);
	rig_region(&rig, 8);
	for (i = 0; i < 2; i++)
		assert_int_equal(gmem_listener_new(rig.vm, events[i], GMEM_LISTEN_RAM, 0,
						   count_calls, &calls[i], NULL, &listener[i]),
				 0);
	rig_map(&rig, 0, rig.region[0], 0, 8);
	assert_int_equal(calls[0], 0);
	assert_int_equal(calls[1], 1);
	/* A hole in what was added, which parts it in two. */
	assert_int_equal(rig_convert_keeping(&rig, 2, 2, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 1);
	assert_int_equal(gmem_vm_unmap(rig.vm, 0, 8 * rig.page), 0);
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 3);
	for (i = 0; i < 2; i++)
		assert_int_equal(gmem_listener_free(listener[i]), 0);
	rig_close(&rig);
}

/* Neither when the VM goes nor when they go after it. */
static void a_vm_that_is_freed_tells_nobody(void **state)
{
	struct gmem_listener *listener;
	uint32_t calls = 0;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 8), 0, 8);
	assert_int_equal(gmem_listener_new(rig.vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0, count_calls,
					   &calls, NULL, &listener),
			 0);
	assert_int_equal(calls, 1);
	gmem_vm_free(rig.vm);
	rig.vm = NULL;
	assert_int_equal(gmem_listener_free(listener), 0);
	assert_int_equal(calls, 1);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(who_listens_to_less_is_told_less, IN_ALL_MODES),
		RIG_CASE(a_vm_that_is_freed_tells_nobody, IN_ALL_MODES),
		RIG_CASE(told_in_order_and_in_the_opposite_one, IN_ALL_MODES),
		RIG_CASE(a_refused_remove_touches_nothing, IN_ALL_MODES),
		RIG_CASE(the_second_of_three_refuses, IN_ALL_MODES),
		RIG_CASE(a_refused_add_is_converted_back, IN_ALL_MODES),
		RIG_CASE(a_kernel_failure_half_way_is_told, IN_ALL_MODES),
		RIG_CASE(rollback_takes_an_add_back, SMALL_PAGES),
		RIG_CASE(a_busy_page_is_told_back, IN_PLACE),
		RIG_CASE(blocks_are_told_as_wholes, IN_ALL_MODES),
		RIG_CASE(a_refused_block_takes_its_run_back, IN_ALL_MODES),
		RIG_CASE(huge_blocks, SMALL_PAGES),
		RIG_CASE(callbacks_may_ask_and_not_act, SMALL_PAGES),
		RIG_CASE(kinds_and_events_are_heeded, SMALL_PAGES),
		RIG_CASE(replay_when_made_and_freed, IN_ALL_MODES),
		RIG_CASE(bad_arguments_are_refused, SMALL_PAGES),
	};

	return rig_run("listeners", cases, sizeof(cases) / sizeof(cases[0]));
}
