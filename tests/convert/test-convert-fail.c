// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every attribute call of some conversions fails in turn, with every errno: afterwards the library
 * knows what the kernel has, the report says what changed, nothing is left behind, and the same
 * conversion then succeeds. With GMEM_CONVERT_ROLLBACK every page is as it was, to its bytes.
 */
#include "rig.h"

#include "tests/support/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 16u /* where memory begins, in pages */
#define PAGES 96u

/* Each class of errnos that the library tells from others; of the last one it takes its turn. */
#define CLASSES 4u

static const int others[] = { -EIO, -EINVAL, -ENOTTY, -EBADF, -EFAULT };

#define OTHERS (sizeof(others) / sizeof(others[0]))

static int error_of(uint32_t class, uint64_t turn)
{
	static const int errors[] = { -ENOMEM, -EAGAIN, -EINTR };

	return class < CLASSES - 1 ? errors[class] : others[turn % OTHERS];
}

/* What is asked for, of a layout of three regions of which some pages are private. */
struct scenario {
	uint32_t to;
	uint32_t flags;
	bool list; /* as many ranges, with gaps between; else all of it */
	bool busy; /* a page is in use, for three tries */
};

static const struct scenario scenarios[] = {
	{ GMEM_PRIVATE, 0, false, false },
	{ GMEM_PRIVATE, 0, false, true },
	{ GMEM_PRIVATE, GMEM_CONVERT_TRUST_STATE, false, true },
	{ GMEM_PRIVATE, 0, true, false },
	{ GMEM_SHARED, 0, false, false },
	{ GMEM_SHARED, GMEM_CONVERT_TRUST_STATE, false, false },
	{ GMEM_SHARED, 0, true, false },
};

#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* The guest-physical pages as they are, to compare with later. */
struct picture {
	uint8_t state[PAGES];
};

/*
 * Three sections of two regions: [0, 32) of ram0, [32, 64) of ram1, [64, 96) of ram0 again, where
 * it goes on after a page that nobody has. Every seventh page is private, and so are some in a row.
 */
static void open_scene(struct rig *rig, const struct mode *mode)
{
	uint64_t page;

	rig_open(rig, mode);
	rig_region(rig, 65);
	rig_map(rig, FIRST, rig->region[0], 0, 32);
	rig_map(rig, FIRST + 32, rig_region(rig, 32), 0, 32);
	rig_map(rig, FIRST + 64, rig->region[0], 33, 32);
	for (page = 3; page < PAGES; page += 7)
		assert_int_equal(rig_convert_keeping(rig, FIRST + page, 1, GMEM_PRIVATE, 0, NULL),
				 0);
	assert_int_equal(rig_convert_keeping(rig, FIRST + 50, 20, GMEM_PRIVATE, 0, NULL), 0);
}

static uint32_t state_of(struct rig *rig, uint64_t page)
{
	return (uint32_t)gmem_vm_get_state(rig->vm, (FIRST + page) * rig->page, rig->page);
}

/* A page's byte, by an access of the kind that its state asks for. */
static uint8_t guest_byte(struct rig *rig, uint64_t page, uint32_t write, uint8_t value)
{
	uint32_t flags = write | (state_of(rig, page) == GMEM_PRIVATE ? GMEM_SIM_PRIVATE : 0);

	assert_int_equal(gmem_sim_guest_access(rig->sim, rig->vcpu_fd, (FIRST + page) * rig->page,
					       &value, 1, flags),
			 0);
	return value;
}

static void write_all(struct rig *rig)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++)
		guest_byte(rig, page, GMEM_SIM_WRITE, (uint8_t)(page + 1));
}

static void take_picture(struct rig *rig, struct picture *picture)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++)
		picture->state[page] = (uint8_t)state_of(rig, page);
}

static void expect_bytes(struct rig *rig)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++)
		assert_int_equal(guest_byte(rig, page, 0, 0), (uint8_t)(page + 1));
}

#define LIST 12u

static void make_list(const struct rig *rig, struct gmem_range *list)
{
	uint32_t i;

	for (i = 0; i < LIST; i++)
		list[i] = (struct gmem_range){ (FIRST + 8 * i) * rig->page, 5 * rig->page };
}

static bool is_asked_for(const struct scenario *scenario, uint64_t page)
{
	return !scenario->list || page % 8 < 5;
}

static int run(struct rig *rig, const struct scenario *scenario, uint32_t flags,
	       struct gmem_report *report)
{
	struct gmem_range list[LIST];

	memset(report, 0xa5, sizeof(*report));
	if (!scenario->list)
		return rig_convert_keeping(rig, FIRST, PAGES, scenario->to, scenario->flags | flags,
					   report);
	make_list(rig, list);
	return gmem_vm_convert_ranges(rig->vm, list, LIST, scenario->to,
				      scenario->flags | flags | GMEM_CONVERT_KEEP, report);
}

static void make_busy(struct rig *rig, const struct scenario *scenario)
{
	if (scenario->busy && rig->mode->tracking == GMEM_TRACKING_FILE)
		assert_int_equal(
			gmem_sim_pin(rig->sim, rig_file(rig, 0), 18 * rig->page, rig->page, 3), 0);
}

static void drop_busy(struct rig *rig, const struct scenario *scenario)
{
	/* It may have gone by itself. */
	if (scenario->busy && rig->mode->tracking == GMEM_TRACKING_FILE)
		gmem_sim_unpin(rig->sim, rig_file(rig, 0), 18 * rig->page, rig->page);
}

/* What the library returns for an errno of the kernel's; 0: it goes on. */
static int wanted_error(int error)
{
	switch (error) {
	case -EAGAIN:
	case -EINTR:
		return 0;
	case -ENOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* Pages that differ now, and the first that is not as asked for. */
struct outcome {
	uint64_t changed;
	uint64_t first_wrong; /* PAGES: none */
};

static struct outcome compare(struct rig *rig, const struct scenario *scenario,
			      const struct picture *before)
{
	struct outcome outcome = { .first_wrong = PAGES };
	uint64_t page;

	for (page = 0; page < PAGES; page++) {
		uint32_t now = state_of(rig, page);

		if (now != before->state[page]) {
			assert_true(is_asked_for(scenario, page));
			assert_int_equal(now, scenario->to);
			outcome.changed++;
		}
		if (is_asked_for(scenario, page) && now != scenario->to &&
		    outcome.first_wrong == PAGES)
			outcome.first_wrong = page;
	}
	return outcome;
}

/* The run of pages not as asked for that begins at page. */
static uint64_t wrong_run(struct rig *rig, const struct scenario *scenario, uint64_t page)
{
	bool per_vm = rig->mode->tracking == GMEM_TRACKING_VM;
	uint64_t first = page;

	while (page < PAGES && is_asked_for(scenario, page) &&
	       state_of(rig, page) != scenario->to && (per_vm || page / 32 == first / 32))
		page++;
	return page - first;
}

static uint64_t offset_of(uint64_t page)
{
	return page < 32 ? page : page < 64 ? page - 32 : page - 64 + 33;
}

static void judge_report(struct rig *rig, const struct scenario *scenario,
			 const struct picture *before, const struct gmem_report *report, int error)
{
	struct outcome outcome = compare(rig, scenario, before);

	assert_int_equal(report->error, wanted_error(error));
	assert_int_equal(report->converted, outcome.changed * rig->page);
	assert_int_equal(report->ioctls, rig->call_count);
	assert_int_equal(report->skipped, 0);
	assert_int_equal(rig->other_calls, 0);
	if (!report->error) {
		assert_int_equal(outcome.first_wrong, PAGES);
		assert_int_equal(report->stage, GMEM_STAGE_DONE);
		assert_int_equal(report->kernel_error, 0);
		assert_int_equal(report->gpa | report->size | report->tag | report->offset, 0);
		expect_no_message(rig->logs);
		return;
	}
	assert_int_equal(report->stage, GMEM_STAGE_COMMIT);
	assert_int_equal(report->kernel_error, error);
	/* The call that failed was about such a page, or about pages that were right. */
	if (outcome.first_wrong < PAGES) {
		uint64_t page = outcome.first_wrong;

		assert_int_equal(report->gpa, (FIRST + page) * rig->page);
		assert_int_equal(report->size, wrong_run(rig, scenario, page) * rig->page);
		assert_int_equal(report->tag, page / 32 == 1 ? 2 : 1);
		assert_int_equal(report->offset, offset_of(page) * rig->page);
	}
}

/* Nothing is claimed, pinned or allocated any more. */
static void expect_free(struct rig *rig)
{
	struct gmem_report report;
	uint64_t page;
	struct gmem_pin pin;

	for (page = 0; page < PAGES; page++) {
		int rc = gmem_vm_pin(rig->vm, (FIRST + page) * rig->page, 1, 0, &pin);

		assert_int_equal(rc, state_of(rig, page) == GMEM_SHARED ? 0 : -EACCES);
		gmem_vm_unpin(rig->vm, &pin);
	}
	assert_int_equal(rig_convert_keeping(rig, FIRST, PAGES, GMEM_SHARED, GMEM_CONVERT_NOWAIT,
					     &report),
			 0);
	assert_int_equal(gmem_vm_unmap(rig->vm, FIRST * rig->page, PAGES * rig->page), 0);
}

/* One scenario with its nth call failing; false when it has no such call. */
static bool fail_one(const struct mode *mode, const struct scenario *scenario, uint64_t nth,
		     int error)
{
	struct gmem_report report;
	struct picture before;
	struct rig rig;
	bool happened;
	int rc;

	open_scene(&rig, mode);
	take_picture(&rig, &before);
	make_busy(&rig, scenario);
	rig_forget_calls(&rig);
	rig_fail_call(&rig, nth, error);
	rc = run(&rig, scenario, 0, &report);
	happened = gmem_sim_clear_failures(rig.sim) == 0;
	assert_int_equal(rc, happened ? wanted_error(error) : 0);
	if (happened)
		judge_report(&rig, scenario, &before, &report, error);
	if (rc)
		expect_one_message(rig.logs, GMEM_LOG_ERROR, "KVM_SET_MEMORY_ATTRIBUTES", "\"ram");
	rig_compare(&rig);
	assert_int_equal(run(&rig, scenario, 0, &report), 0);
	assert_int_equal(compare(&rig, scenario, &before).first_wrong, PAGES);
	rig_compare(&rig);
	drop_busy(&rig, scenario);
	expect_free(&rig);
	rig_close(&rig);
	return happened;
}

static void every_call_fails_in_turn(void **state)
{
	uint64_t nth, most = 0;
	uint32_t i, k;

	for (i = 0; i < SCENARIOS; i++) {
		for (k = 0; k < CLASSES; k++) {
			for (nth = 1; fail_one(*state, &scenarios[i], nth, error_of(k, nth + i));
			     nth++)
				;
			most = nth > most ? nth : most;
		}
	}
	/* It was more than one call. */
	assert_true(most > 3);
}

/* With rollback. */
static bool fail_and_roll_back(const struct mode *mode, const struct scenario *scenario,
			       uint64_t nth, int error)
{
	struct gmem_report report;
	struct picture before;
	uint64_t undone;
	struct rig rig;
	bool happened;
	int rc;

	open_scene(&rig, mode);
	write_all(&rig);
	take_picture(&rig, &before);
	make_busy(&rig, scenario);
	rig_forget_calls(&rig);
	rig_fail_call(&rig, nth, error);
	rc = run(&rig, scenario, GMEM_CONVERT_ROLLBACK, &report);
	happened = gmem_sim_clear_failures(rig.sim) == 0;
	assert_int_equal(rc, happened ? wanted_error(error) : 0);
	rig_compare(&rig);
	assert_int_equal(report.ioctls, rig.call_count);
	if (rc) {
		expect_one_message(rig.logs, GMEM_LOG_ERROR, "KVM_SET_MEMORY_ATTRIBUTES");
		assert_int_equal(report.converted, 0);
		undone = compare(&rig, scenario, &before).changed;
		assert_int_equal(undone, 0);
		if (nth > 1 && !(scenario->busy && nth == 2))
			assert_true(report.restored > 0 || scenario->list);
		expect_bytes(&rig);
		assert_int_equal(report.kernel_error, error);
		assert_int_equal(report.stage, GMEM_STAGE_COMMIT);
	} else {
		assert_int_equal(report.restored, 0);
	}
	assert_int_equal(run(&rig, scenario, GMEM_CONVERT_ROLLBACK, &report), 0);
	assert_int_equal(compare(&rig, scenario, &before).first_wrong, PAGES);
	rig_compare(&rig);
	drop_busy(&rig, scenario);
	expect_free(&rig);
	rig_close(&rig);
	return happened;
}

static void every_call_fails_and_is_taken_back(void **state)
{
	uint64_t nth;
	uint32_t i, k;

	for (i = 0; i < SCENARIOS; i++) {
		for (k = 0; k < CLASSES; k++) {
			for (nth = 1;
			     fail_and_roll_back(*state, &scenarios[i], nth, error_of(k, nth + i));
			     nth++)
				;
		}
	}
}

/* A page that stays busy: there is no error of the kernel's, and it is taken back all the same. */
static void a_busy_page_takes_all_back(void **state)
{
	struct gmem_report report;
	struct gmem_pin pin;
	struct picture before;
	struct rig rig;
	uint64_t page;

	open_scene(&rig, *state);
	write_all(&rig);
	take_picture(&rig, &before);
	for (page = 0; page < PAGES; page += 5) {
		if (before.state[page] == GMEM_PRIVATE)
			continue;
		assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + page) * rig.page, 8, 0, &pin), 0);
		rig_forget_calls(&rig);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, PAGES, GMEM_PRIVATE,
						     GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_NOWAIT,
						     &report),
				 -EAGAIN);
		expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_pin()");
		assert_int_equal(report.converted, 0);
		assert_true(report.restored > 0);
		assert_int_equal(compare(&rig, &scenarios[0], &before).changed, 0);
		expect_bytes(&rig);
		rig_compare(&rig);
		gmem_vm_unpin(rig.vm, &pin);
	}
	expect_free(&rig);
	rig_close(&rig);
}

static int stop(const struct gmem_report *so_far, void *opaque)
{
	(void)so_far;
	(void)opaque;
	return GMEM_RETRY_LATER;
}

/* A kicked thread ends the conversion; a second signal while it is taken back does not end that. */
static void signals_do_not_end_a_rollback(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config = rig_config(mode);
	struct gmem_report report;
	struct rig rig;
	int i;

	gmem_vm_config_set_retry(config, UINT64_MAX, stop, NULL, NULL);
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, FIRST, rig_region(&rig, 64), 0, 32);
	rig_map(&rig, FIRST + 64, rig_region(&rig, 64), 0, 32);
	/* The second call is told of a signal, and the two that come then. */
	for (i = 2; i <= 4; i++)
		rig_fail_call(&rig, (uint64_t)i, -EINTR);
	rig_forget_calls(&rig);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm,
						(struct gmem_range[]){
							{ FIRST * rig.page, 32 * rig.page },
							{ (FIRST + 64) * rig.page, 32 * rig.page },
						},
						2, GMEM_PRIVATE,
						GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_KEEP, &report),
			 -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "signal");
	assert_int_equal(report.converted, 0);
	assert_int_equal(report.restored, 32 * rig.page);
	assert_int_equal(gmem_vm_get_state(rig.vm, FIRST * rig.page, 32 * rig.page), GMEM_SHARED);
	rig_compare(&rig);
	rig_close(&rig);
}

/* Taking back fails too: the pages stay, and it is said of which. */
static void a_rollback_that_fails_says_so(void **state)
{
	const struct mode *mode = *state;
	struct gmem_range ranges[2];
	struct gmem_report report;
	char text[512];
	struct rig rig;
	size_t i;

	for (i = 0; i < OTHERS; i++) {
		rig_open(&rig, mode);
		rig_map(&rig, FIRST, rig_region(&rig, 64), 0, 32);
		rig_map(&rig, FIRST + 64, rig_region(&rig, 64), 0, 32);
		ranges[0] = (struct gmem_range){ FIRST * rig.page, 32 * rig.page };
		ranges[1] = (struct gmem_range){ (FIRST + 64) * rig.page, 32 * rig.page };
		rig_fail_call(&rig, 2, -EIO);
		rig_fail_call(&rig, 3, others[i]);
		rig_forget_calls(&rig);
		assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_PRIVATE,
							GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_KEEP,
							&report),
				 -EIO);
		assert_int_equal(report.converted, 32 * rig.page);
		assert_int_equal(report.restored, 0);
		assert_int_equal(report.kernel_error, -EIO);
		assert_int_equal(report.gpa, (FIRST + 64) * rig.page);
		assert_int_equal(report.size, 32 * rig.page);
		assert_int_equal(logs_count(rig.logs), 2);
		assert_int_equal(logs_get(rig.logs, 1, text, sizeof(text)), GMEM_LOG_ERROR);
		assert_non_null(strstr(text, "could not be converted back"));
		assert_non_null(strstr(text, "stays private"));
		assert_int_equal(gmem_vm_get_state(rig.vm, FIRST * rig.page, 32 * rig.page),
				 GMEM_PRIVATE);
		rig_compare(&rig);
		assert_int_equal(gmem_sim_clear_failures(rig.sim), 0);
		assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_PRIVATE,
							GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_KEEP,
							&report),
				 0);
		rig_close(&rig);
	}
}

/* Two regions, to private: the second range fails, and then some calls back meet a signal. */
static void roll_back_among_signals(const struct mode *mode, uint64_t signals)
{
	struct gmem_range ranges[2];
	struct gmem_report report;
	struct rig rig;
	uint64_t i;

	rig_open(&rig, mode);
	for (i = 0; i < 2; i++) {
		ranges[i] = (struct gmem_range){ (FIRST + 64 * i) * rig.page, 32 * rig.page };
		rig_map(&rig, FIRST + 64 * i, rig_region(&rig, 64), 0, 32);
	}
	rig_fail_call(&rig, 2, -EIO);
	for (i = 0; i < signals; i++)
		rig_fail_call(&rig, 3 + i, -EINTR);
	logs_reset(rig.logs);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_PRIVATE,
						GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_KEEP, &report),
			 -EIO);
	if (signals < 100) {
		assert_int_equal(report.restored, 32 * rig.page);
		assert_int_equal(report.retries, signals);
		assert_int_equal(logs_count(rig.logs), 1);
	} else {
		assert_int_equal(report.converted, 32 * rig.page);
		assert_int_equal(report.retries, 100);
		assert_int_equal(logs_count(rig.logs), 2);
	}
	gmem_sim_clear_failures(rig.sim);
	rig_compare(&rig);
	rig_close(&rig);
}

/* Smaller calls may do where signals come faster than a call; where none does, it ends. */
static void signals_end_a_rollback_at_last(void **state)
{
	roll_back_among_signals(*state, 1);
	roll_back_among_signals(*state, 4);
	roll_back_among_signals(*state, 99);
	roll_back_among_signals(*state, 500);
}

/* A device that takes what it is told of, and then the kernel fails. */
struct device {
	struct rig *rig;
	uint32_t adds;
	uint32_t removes;
	uint32_t asked;
};

static int use_what_is_added(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct device *device = opaque;
	struct rig *rig = device->rig;

	(void)run;
	device->removes += event == GMEM_EVENT_REMOVE;
	device->adds += event == GMEM_EVENT_ADD;
	if (event == GMEM_EVENT_REMOVE || device->adds > 1)
		return 0;
	/* Where the kernel knows of no page's references it may say so all the same. */
	if (rig->mode->tracking == GMEM_TRACKING_VM)
		rig_fail_call(rig, 2, -EAGAIN);
	else
		assert_int_equal(
			gmem_sim_pin(rig->sim, rig_file(rig, 0), 5 * rig->page, rig->page, 0), 0);
	rig_fail_call(rig, 1, -EIO);
	return 0;
}

static int count_asking(const struct gmem_report *so_far, void *opaque)
{
	struct device *device = opaque;

	(void)so_far;
	device->asked++;
	return GMEM_RETRY_AGAIN;
}

static void open_with_device(struct rig *rig, const struct mode *mode, struct device *device,
			     struct gmem_range *ranges, struct gmem_listener **listener)
{
	struct gmem_vm_config *config = rig_config(mode);
	uint32_t i;

	gmem_vm_config_set_retry(config, UINT64_MAX, count_asking, device, NULL);
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	device->rig = rig;
	for (i = 0; i < 2; i++) {
		ranges[i] = (struct gmem_range){ (FIRST + 64 * i) * rig->page, 32 * rig->page };
		rig_map(rig, FIRST + 64 * i, rig_region(rig, 64), 0, 32);
	}
	assert_int_equal(gmem_vm_convert_ranges(rig->vm, ranges, 2, GMEM_PRIVATE, GMEM_CONVERT_KEEP,
						NULL),
			 0);
	assert_int_equal(gmem_listener_new(rig->vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   use_what_is_added, device, NULL, listener),
			 0);
	rig_forget_calls(rig);
}

/* On the way back to private a page is in use, and nobody waits: its run stays, and it is said. */
static void a_rollback_waits_for_no_page(void **state)
{
	struct gmem_listener *listener;
	struct device device = { 0 };
	struct gmem_range ranges[2];
	struct gmem_report report;
	struct rig rig;
	char text[512];

	open_with_device(&rig, *state, &device, ranges, &listener);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_SHARED,
						GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_KEEP, &report),
			 -EIO);
	assert_int_equal(report.error, -EIO);
	assert_int_equal(report.stage, GMEM_STAGE_COMMIT);
	assert_int_equal(report.converted, 32 * rig.page);
	assert_int_equal(report.restored, 0);
	assert_int_equal(report.gpa, ranges[1].gpa);
	assert_int_equal(report.size, ranges[1].size);
	assert_int_equal(report.tag, 2);
	assert_int_equal(report.kernel_error, -EIO);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_NONE);
	assert_int_equal(report.waited_ns, 0);
	/* One back, which got nowhere. */
	assert_int_equal(report.ioctls, 3);
	assert_int_equal(report.retries, 1);
	assert_int_equal(rig.calls[2].result, -EAGAIN);
	assert_true(rig.calls[2].to_private);
	assert_int_equal(rig.wait_calls, 0);
	assert_int_equal(device.asked, 0);
	assert_int_equal(logs_count(rig.logs), 2);
	assert_int_equal(logs_get(rig.logs, 0, text, sizeof(text)), GMEM_LOG_ERROR);
	assert_non_null(strstr(text, "EIO"));
	assert_int_equal(logs_get(rig.logs, 1, text, sizeof(text)), GMEM_LOG_ERROR);
	assert_non_null(strstr(text, "could not be converted back (EAGAIN), and stays shared"));
	/* The device was told remove, and has it again. */
	assert_int_equal(device.removes, 1);
	assert_int_equal(device.adds, 2);
	assert_int_equal(gmem_vm_get_state(rig.vm, ranges[0].gpa, ranges[0].size), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(rig.vm, ranges[1].gpa, ranges[1].size), GMEM_PRIVATE);
	rig_compare(&rig);
	assert_int_equal(gmem_sim_clear_failures(rig.sim), 0);
	assert_int_equal(gmem_listener_free(listener), 0);
	rig_close(&rig);
}

/* Half of the first range is private again when a page of the rest is in use. */
struct mapper {
	struct rig *rig;
	uint32_t adds;
	struct gmem_range last_add;
};

static int fail_the_way_back(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct mapper *mapper = opaque;

	if (event == GMEM_EVENT_REMOVE)
		return 0;
	mapper->last_add = (struct gmem_range){ run->gpa, run->size };
	if (mapper->adds++)
		return 0;
	rig_fail_call(mapper->rig, 1, -EIO);
	rig_fail_call(mapper->rig, 2, -EINTR);
	rig_fail_call(mapper->rig, 4, -EAGAIN);
	return 0;
}

static void what_is_private_again_is_not_added(void **state)
{
	struct gmem_listener *listener;
	struct mapper mapper = { 0 };
	struct gmem_range ranges[2];
	struct gmem_report report;
	struct rig rig;
	uint32_t i;

	rig_open(&rig, *state);
	mapper.rig = &rig;
	for (i = 0; i < 2; i++) {
		ranges[i] = (struct gmem_range){ (FIRST + 64 * i) * rig.page, 32 * rig.page };
		rig_map(&rig, FIRST + 64 * i, rig_region(&rig, 64), 0, 32);
	}
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_PRIVATE, GMEM_CONVERT_KEEP,
						NULL),
			 0);
	assert_int_equal(gmem_listener_new(rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   fail_the_way_back, &mapper, NULL, &listener),
			 0);
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, ranges, 2, GMEM_SHARED,
						GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_KEEP, &report),
			 -EIO);
	assert_int_equal(report.restored, 16 * rig.page);
	assert_int_equal(report.converted, 16 * rig.page);
	assert_int_equal(mapper.adds, 2);
	assert_int_equal(mapper.last_add.gpa, ranges[0].gpa + 16 * rig.page);
	assert_int_equal(mapper.last_add.size, 16 * rig.page);
	assert_int_equal(gmem_sim_clear_failures(rig.sim), 0);
	rig_compare(&rig);
	assert_int_equal(gmem_listener_free(listener), 0);
	rig_close(&rig);
}

/* Every call that a wait makes fails: no clock, no futex. It ends, and nothing is lost. */
static void waits_that_fail(void **state)
{
	static const int futex_errors[] = { -EINTR, -EINVAL, -ENOSYS, -EFAULT, -ETIMEDOUT };
	struct gmem_vm_config *config;
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;
	size_t i;

	for (i = 0; i < sizeof(futex_errors) / sizeof(futex_errors[0]); i++) {
		config = rig_config(*state);
		gmem_vm_config_set_retry(config, 1000000, NULL, NULL, NULL);
		rig_open_with(&rig, *state, config);
		gmem_vm_config_free(config);
		rig_map(&rig, FIRST, rig_region(&rig, 64), 0, 64);
		assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 8) * rig.page, 8, 0, &pin), 0);
		atomic_store(&rig.futex_error, futex_errors[i]);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report),
				 -EAGAIN);
		assert_int_equal(report.gpa, (FIRST + 8) * rig.page);
		assert_int_equal(report.converted, 63 * rig.page);
		atomic_store(&rig.futex_error, 0);
		gmem_vm_unpin(rig.vm, &pin);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
		rig_compare(&rig);
		rig_close(&rig);
	}
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(what_is_private_again_is_not_added, SMALL_PAGES),
		RIG_CASE(signals_end_a_rollback_at_last, SMALL_PAGES),
		RIG_CASE(every_call_fails_in_turn, IN_ALL_MODES),
		RIG_CASE(every_call_fails_and_is_taken_back, SMALL_PAGES),
		RIG_CASE(a_busy_page_takes_all_back, SMALL_PAGES),
		RIG_CASE(signals_do_not_end_a_rollback, SMALL_PAGES),
		RIG_CASE(a_rollback_that_fails_says_so, SMALL_PAGES),
		RIG_CASE(a_rollback_waits_for_no_page, SMALL_PAGES),
		RIG_CASE(waits_that_fail, IN_ALL_MODES),
	};

	return rig_run("convert-fail", cases, sizeof(cases) / sizeof(cases[0]));
}
