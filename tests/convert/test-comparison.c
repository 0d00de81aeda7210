// SPDX-License-Identifier: LGPL-2.1-or-later
/* What doc/qemu.md says of libgmem, where no other test shows it: a guest's requests, end to end. */
#include "exits-kit.h"

#include <string.h>

#define EVENTS 64u

/* What a listener was told, and how many attribute calls there were by then. */
struct ear {
	struct stand *stand;
	uint32_t refuses; /* GMEM_EVENT_*; 0: nothing */
	unsigned int count;
	struct {
		uint32_t event;
		uint64_t gpa;
		uint64_t size;
		uint32_t attribute_calls;
	} heard[EVENTS];
};

static int hear(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct ear *ear = opaque;

	assert_true(ear->count < EVENTS);
	ear->heard[ear->count].event = event;
	ear->heard[ear->count].gpa = run->gpa;
	ear->heard[ear->count].size = run->size;
	ear->heard[ear->count++].attribute_calls = ear->stand->attribute_calls;
	return event == ear->refuses ? -EBUSY : 0;
}

static struct gmem_listener *listen(struct stand *stand, struct ear *ear, uint32_t refuses)
{
	struct gmem_listener *listener;

	*ear = (struct ear){ .stand = stand, .refuses = refuses };
	assert_int_equal(gmem_listener_new(stand->rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   hear, ear, NULL, &listener),
			 0);
	stand->attribute_calls = 0;
	return listener;
}

/* The guest asks, and is told. */
static uint64_t ask(struct stand *stand, uint64_t gpa_page, uint64_t pages, uint64_t attributes,
		    struct gmem_report *report)
{
	guest_asks(stand, 0, gpa_page, pages, attributes);
	assert_int_equal(handle_call(stand, 0, report), GMEM_EXIT_RESUME);
	return guest_is_told(stand, 0);
}

static void a_request_over_two_regions(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	rig_map(&stand.rig, RAM_PAGE + RAM_PAGES, rig_region(&stand.rig, 8), 0, 8);
	stand.attribute_calls = 0;
	assert_int_equal(ask(&stand, RAM_PAGE + RAM_PAGES - 4, 12, TO_PRIVATE, &report), 0);
	assert_int_equal(report.converted, 12 * stand.rig.page);
	assert_int_equal(stand.attribute_calls, mode->tracking == GMEM_TRACKING_VM ? 1 : 2);
	assert_int_equal(state_of(&stand, RAM_PAGE + RAM_PAGES - 4, 12), GMEM_PRIVATE);
	assert_int_equal(state_of(&stand, RAM_PAGE, RAM_PAGES - 4), GMEM_SHARED);
	rig_compare(&stand.rig);
	assert_int_equal(ask(&stand, RAM_PAGE, RAM_PAGES + 8, TO_SHARED, &report), 0);
	assert_int_equal(report.converted, 12 * stand.rig.page);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void listeners_hear_before_private_and_after_shared(void **state)
{
	const struct mode *mode = *state;
	struct gmem_listener *listener;
	struct stand stand;
	struct ear ear;

	stand_open_with_ram(&stand, mode, NULL);
	listener = listen(&stand, &ear, 0);
	assert_int_equal(ask(&stand, RAM_PAGE, 4, TO_PRIVATE, NULL), 0);
	assert_int_equal(ask(&stand, RAM_PAGE + 1, 2, TO_SHARED, NULL), 0);
	assert_int_equal(ear.count, 2);
	assert_int_equal(ear.heard[0].event, GMEM_EVENT_REMOVE);
	assert_int_equal(ear.heard[0].size, 4 * stand.rig.page);
	assert_int_equal(ear.heard[0].attribute_calls, 0);
	assert_int_equal(ear.heard[1].event, GMEM_EVENT_ADD);
	assert_int_equal(ear.heard[1].gpa, (RAM_PAGE + 1) * stand.rig.page);
	assert_int_equal(ear.heard[1].attribute_calls, 2);
	gmem_listener_free(listener);
	stand_close(&stand);
}

static void who_refuses_a_removal_stops_it(void **state)
{
	const struct mode *mode = *state;
	struct gmem_listener *first, *second;
	struct gmem_report report;
	struct ear one, other;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	/* Of a removal the last is told first. */
	first = listen(&stand, &one, GMEM_EVENT_REMOVE);
	second = listen(&stand, &other, 0);
	assert_int_equal(ask(&stand, RAM_PAGE, 4, TO_PRIVATE, &report), EINVAL);
	assert_int_equal(report.error, -ECANCELED);
	assert_int_equal(report.converted, 0);
	assert_int_equal(stand.attribute_calls, 0);
	assert_int_equal(state_of(&stand, RAM_PAGE, RAM_PAGES), GMEM_SHARED);
	assert_int_equal(one.count, 1);
	assert_int_equal(other.count, 2);
	assert_int_equal(other.heard[1].event, GMEM_EVENT_ADD);
	rig_compare(&stand.rig);
	gmem_listener_free(second);
	gmem_listener_free(first);
	stand_close(&stand);
}

/* Back to private, unless that would destroy what the guest has there. */
static void who_refuses_an_addition_has_it_taken_back(void **state)
{
	const struct mode *mode = *state;
	struct gmem_listener *listener;
	struct gmem_report report;
	struct stand stand;
	struct ear ear;

	stand_open_with_ram(&stand, mode, NULL);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 8, GMEM_PRIVATE, 0, NULL), 0);
	listener = listen(&stand, &ear, GMEM_EVENT_ADD);
	assert_int_equal(ask(&stand, RAM_PAGE, 4, TO_SHARED, &report), EINVAL);
	assert_int_equal(report.error, -ECANCELED);
	assert_int_equal(report.stage, GMEM_STAGE_FINISH);
	assert_int_equal(state_of(&stand, RAM_PAGE, 4),
			 mode_has_faults(mode) ? GMEM_SHARED : GMEM_PRIVATE);
	assert_int_equal(state_of(&stand, RAM_PAGE + 4, 4), GMEM_PRIVATE);
	assert_int_equal(report.converted, mode_has_faults(mode) ? 4 * stand.rig.page : 0);
	rig_compare(&stand.rig);
	gmem_listener_free(listener);
	stand_close(&stand);
}

/* Two runs with right pages between them, of which the second fails. */
static void a_rollback_leaves_each_page_as_it_was(void **state)
{
	const struct mode *mode = *state;
	struct gmem_range ranges[2];
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE + 1, 1, GMEM_PRIVATE, 0, NULL), 0);
	ranges[0] = (struct gmem_range){ RAM_PAGE * stand.rig.page, 4 * stand.rig.page };
	ranges[1] = (struct gmem_range){ (RAM_PAGE + 8) * stand.rig.page, 4 * stand.rig.page };
	fail_attributes(&stand, 2, -ENOMEM);
	assert_int_equal(gmem_vm_convert_ranges(stand.rig.vm, ranges, 2, GMEM_PRIVATE,
						GMEM_CONVERT_ROLLBACK, &report),
			 -ENOMEM);
	assert_int_equal(report.restored, 3 * stand.rig.page);
	assert_int_equal(report.converted, 0);
	assert_int_equal(state_of(&stand, RAM_PAGE, 1), GMEM_SHARED);
	assert_int_equal(state_of(&stand, RAM_PAGE + 1, 1), GMEM_PRIVATE);
	assert_int_equal(state_of(&stand, RAM_PAGE + 2, RAM_PAGES - 2), GMEM_SHARED);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static struct gmem_vm_config *config_that_puts_off(const struct mode *mode, uint64_t pages)
{
	struct gmem_vm_config *config = stand_config(mode);

	gmem_vm_config_set_discard_limit(config,
					 pages * (mode->page_size ? mode->page_size : 4096));
	return config;
}

/* Requests page by page, and one call that frees them. */
static void discards_are_joined(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, config_that_puts_off(mode, RAM_PAGES));
	for (i = 0; i < 32; i++)
		assert_int_equal(ask(&stand, RAM_PAGE + i, 1, TO_PRIVATE, NULL), 0);
	assert_int_equal(stats_of(&stand).discards, 0);
	assert_int_equal(stats_of(&stand).bytes_held_twice, 32 * stand.rig.page);
	/* What is shared again is not freed at all. */
	assert_int_equal(ask(&stand, RAM_PAGE + 31, 1, TO_SHARED, NULL), 0);
	assert_int_equal(gmem_vm_flush(stand.rig.vm, 0, NULL), 0);
	assert_true(stats_of(&stand).discards <= 2);
	assert_int_equal(stats_of(&stand).bytes_held_twice, 0);
	stand_close(&stand);
	/* Without patience a call for each, as QEMU makes them. */
	stand_open_with_ram(&stand, mode, NULL);
	for (i = 0; i < 32; i++)
		assert_int_equal(ask(&stand, RAM_PAGE + i, 1, TO_PRIVATE, NULL), 0);
	assert_int_equal(stats_of(&stand).discards, 32);
	stand_close(&stand);
}

static void what_is_held_twice_has_a_bound(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, config_that_puts_off(mode, 8));
	for (i = 0; i < RAM_PAGES; i++) {
		/* From both ends, so that nothing joins for long. */
		uint64_t page = i % 2 ? RAM_PAGES - 1 - i / 2 : i / 2;

		assert_int_equal(ask(&stand, RAM_PAGE + page, 1, TO_PRIVATE, NULL), 0);
		assert_true(stats_of(&stand).bytes_held_twice <= 8 * stand.rig.page);
	}
	assert_true(stats_of(&stand).discards < RAM_PAGES / 2);
	stand_close(&stand);
}

/* The pages are converted, so the guest is told so; that memory stays allocated is a warning. */
static void a_discard_that_fails_is_no_failure(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	assert_int_equal(gmem_sim_fail(stand.rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EIO, 0), 0);
	assert_int_equal(ask(&stand, RAM_PAGE, 4, TO_PRIVATE, &report), 0);
	assert_int_equal(report.error, 0);
	assert_int_equal(stats_of(&stand).discards_failed, 1);
	expect_one_message(stand.rig.logs, GMEM_LOG_WARNING, "EIO");
	rig_compare(&stand.rig);
	/* However often a guest has it happen, the log has ten of a second of the clock. */
	assert_int_equal(gmem_sim_fail(stand.rig.sim, GMEM_SYS_FALLOCATE, 0, 0, -EIO, 0), 0);
	stand.now = UINT64_C(1000000000000);
	for (i = 0; i < 50; i++)
		assert_int_equal(ask(&stand, RAM_PAGE, 4, i % 2 ? TO_PRIVATE : TO_SHARED, NULL), 0);
	assert_int_equal(logs_count(stand.rig.logs), 10);
	assert_int_equal(stats_of(&stand).messages_dropped, 40);
	assert_int_equal(stats_of(&stand).discards_failed, 51);
	logs_reset(stand.rig.logs);
	stand_close(&stand);
}

struct dma {
	struct gmem_sim *sim;
	bool deaf;
};

/* As VFIO does: references on what it maps. */
static int dma_event(uint32_t event, const struct gmem_run *run, void *opaque)
{
	const struct dma *dma = opaque;

	if (event == GMEM_EVENT_ADD)
		return gmem_sim_pin(dma->sim, run->guest_memfd, run->offset, run->size, 0);
	return dma->deaf ? 0 : gmem_sim_unpin(dma->sim, run->guest_memfd, run->offset, run->size);
}

static void a_dma_user_lets_go_and_takes_hold(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config = stand_config(mode);
	struct gmem_listener *listener;
	struct gmem_report report;
	struct gmem_sim_page page;
	struct dma dma = { 0 };
	struct stand stand;

	gmem_vm_config_set_retry(config, 0, NULL, NULL, NULL);
	stand_open_with_ram(&stand, mode, config);
	dma.sim = stand.rig.sim;
	assert_int_equal(gmem_listener_new(stand.rig.vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM,
					   stand.rig.page, dma_event, &dma, NULL, &listener),
			 0);
	assert_int_equal(ask(&stand, RAM_PAGE, 4, TO_PRIVATE, NULL), 0);
	assert_int_equal(ask(&stand, RAM_PAGE + 1, 2, TO_SHARED, NULL), 0);
	assert_int_equal(gmem_sim_get_page(stand.rig.sim, guest_memfd_of(&stand), 0, &page), 0);
	assert_int_equal(page.pins, 0);
	assert_int_equal(
		gmem_sim_get_page(stand.rig.sim, guest_memfd_of(&stand), stand.rig.page, &page), 0);
	assert_int_equal(page.pins, 1);
	/* One that says it has let go, and has not, is found out by the kernel. */
	dma.deaf = true;
	guest_asks(&stand, 1, RAM_PAGE + 1, 2, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 1, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, -EAGAIN);
	assert_int_equal(report.kernel_error, -EAGAIN);
	assert_int_equal(report.gpa, (RAM_PAGE + 1) * stand.rig.page);
	rig_compare(&stand.rig);
	gmem_listener_free(listener);
	stand_close(&stand);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(a_request_over_two_regions, IN_ALL_MODES),
		RIG_CASE(listeners_hear_before_private_and_after_shared, IN_ALL_MODES),
		RIG_CASE(who_refuses_a_removal_stops_it, IN_ALL_MODES),
		RIG_CASE(who_refuses_an_addition_has_it_taken_back, IN_ALL_MODES),
		RIG_CASE(a_rollback_leaves_each_page_as_it_was, SMALL_PAGES),
		RIG_CASE(discards_are_joined, PER_VM),
		RIG_CASE(what_is_held_twice_has_a_bound, PER_VM),
		RIG_CASE(a_discard_that_fails_is_no_failure, PER_VM),
		RIG_CASE(a_dma_user_lets_go_and_takes_hold, IN_PLACE),
	};

	return rig_run("comparison", cases, sizeof(cases) / sizeof(cases[0]));
}
