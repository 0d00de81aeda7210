// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pages in use: the rest is converted first, each of them is waited for as the policy says, and
 * what is left is reported exactly. And calls that are interrupted, or told to come again.
 */
#include "rig.h"

#include "libgmem/pin_table.h"
#include "libgmem/uapi/kvm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define FIRST 16u /* where memory begins, in pages */

/* Answers of a retry callback, and what it was told. */
struct policy {
	int answers[16]; /* in order; the last is repeated */
	uint32_t count;  /* of answers */
	uint32_t asked;
	struct gmem_report seen[64];
	uint32_t sleeps[64]; /* futex calls by then */
	struct rig *rig;
	void (*meanwhile)(struct policy *policy); /* before it answers */
	struct gmem_pin pin;
};

static int answer(const struct gmem_report *so_far, void *opaque)
{
	struct policy *policy = opaque;
	uint32_t index = policy->asked++;

	if (index < 64) {
		policy->seen[index] = *so_far;
		policy->sleeps[index] = atomic_load(&policy->rig->futex_calls);
	}
	if (policy->meanwhile)
		policy->meanwhile(policy);
	return policy->answers[index < policy->count ? index : policy->count - 1];
}

static void open_with_policy(struct rig *rig, const struct mode *mode, uint64_t deadline,
			     struct policy *policy, uint64_t pages)
{
	struct gmem_vm_config *config = rig_config(mode);

	gmem_vm_config_set_retry(config, deadline, policy ? answer : NULL, policy, NULL);
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	if (policy)
		policy->rig = rig;
	rig_map(rig, FIRST, rig_region(rig, pages), 0, pages);
	rig_forget_calls(rig);
}

static void pin_page(struct rig *rig, uint64_t page, uint32_t tries)
{
	assert_int_equal(
		gmem_sim_pin(rig->sim, rig_file(rig, 0), page * rig->page, rig->page, tries), 0);
}

static void unpin_page(struct rig *rig, uint64_t page)
{
	assert_int_equal(gmem_sim_unpin(rig->sim, rig_file(rig, 0), page * rig->page, rig->page),
			 0);
}

/* Of the only region, in pages of it. */
static void expect_stuck(struct rig *rig, const struct gmem_report *report, uint64_t page,
			 uint64_t pages)
{
	assert_int_equal(report->error, -EAGAIN);
	assert_int_equal(report->stage, GMEM_STAGE_COMMIT);
	assert_int_equal(report->gpa, (FIRST + page) * rig->page);
	assert_int_equal(report->size, pages * rig->page);
	assert_int_equal(report->tag, 1);
	assert_int_equal(report->offset, page * rig->page);
	assert_int_equal(report->restored, 0);
}

static uint64_t private_bytes(struct rig *rig)
{
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(rig->region[0], &info), 0);
	return info.private_bytes;
}

/* Nothing is claimed or pinned any more: the same range can be converted at once. */
static void expect_convertible(struct rig *rig, uint64_t pages)
{
	assert_int_equal(
		rig_convert_keeping(rig, FIRST, pages, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, NULL), 0);
	assert_int_equal(
		rig_convert_keeping(rig, FIRST, pages, GMEM_SHARED, GMEM_CONVERT_NOWAIT, NULL), 0);
	rig_compare(rig);
}

static unsigned int log2_of(uint64_t value)
{
	return 63u - (unsigned int)__builtin_clzll(value);
}

/*
 * What a first pass makes at most. From one busy page to the next calls double, the last of them
 * fails, and what it had before that page is one more. Never more than one for each page.
 */
static uint64_t most_calls(uint64_t pages, uint64_t busy)
{
	uint64_t some = (busy + 1) * (log2_of(pages) + 3);

	return some < pages ? some : pages;
}

static void what_precedes_comes_first(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 1024);
	pin_page(&rig, 300, 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 1024, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "the kernel sees");
	expect_stuck(&rig, &report, 300, 1);
	assert_int_equal(report.kernel_error, -EAGAIN);
	assert_int_equal(report.converted, 1023 * rig.page);
	assert_int_equal(report.converted, private_bytes(&rig));
	/* All of it, what precedes, and then calls that double from one page on. */
	rig_expect_call(&rig, 0, 0, 0, 1024, GMEM_PRIVATE);
	rig_expect_call(&rig, 1, 0, 0, 300, GMEM_PRIVATE);
	rig_expect_call(&rig, 2, 0, 301, 1, GMEM_PRIVATE);
	rig_expect_call(&rig, 3, 0, 302, 2, GMEM_PRIVATE);
	rig_expect_call(&rig, 4, 0, 304, 4, GMEM_PRIVATE);
	assert_int_equal(rig.calls[0].result, -EAGAIN);
	assert_int_equal(rig.calls[1].result, 0);
	assert_int_equal(report.ioctls, rig.call_count);
	assert_true(rig.call_count <= most_calls(1024, 1));
	rig_compare(&rig);
	unpin_page(&rig, 300);
	expect_convertible(&rig, 1024);
	rig_close(&rig);
}

/* Every stuck page alone: the first, the last, two in a row, in each place. */
static void a_stuck_page_anywhere(void **state)
{
	struct gmem_report report;
	struct rig rig;
	uint64_t page;

	open_with_policy(&rig, *state, 0, NULL, 24);
	for (page = 0; page < 24; page++) {
		pin_page(&rig, page, 0);
		rig_forget_calls(&rig);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 24, GMEM_PRIVATE, 0, &report),
				 -EAGAIN);
		expect_stuck(&rig, &report, page, 1);
		assert_int_equal(report.converted, 23 * rig.page);
		assert_true(rig.call_count <= most_calls(24, 1));
		rig_compare(&rig);
		if (page < 23) {
			assert_int_equal(rig_convert_keeping(&rig, FIRST, 24, GMEM_SHARED, 0, NULL),
					 0);
			pin_page(&rig, page + 1, 0);
			assert_int_equal(rig_convert_keeping(&rig, FIRST, 24, GMEM_PRIVATE, 0,
							     &report),
					 -EAGAIN);
			expect_stuck(&rig, &report, page, 2);
			assert_int_equal(report.converted, 22 * rig.page);
			rig_compare(&rig);
			unpin_page(&rig, page + 1);
		}
		unpin_page(&rig, page);
		expect_convertible(&rig, 24);
	}
	rig_close(&rig);
}

static void many_scattered_pages(void **state)
{
	static const uint64_t distances[] = { 2, 3, 5, 64, 200 };
	struct gmem_report report;
	uint64_t i, page, busy;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 1024);
	for (i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
		for (busy = 0, page = 1; page < 1024; page += distances[i], busy++)
			pin_page(&rig, page, 0);
		rig_forget_calls(&rig);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 1024, GMEM_PRIVATE, 0, &report),
				 -EAGAIN);
		expect_stuck(&rig, &report, 1, 1);
		assert_int_equal(report.converted, (1024 - busy) * rig.page);
		assert_int_equal(report.ioctls, rig.call_count);
		assert_true(rig.call_count <= most_calls(1024, busy));
		rig_compare(&rig);
		for (page = 1; page < 1024; page += distances[i])
			unpin_page(&rig, page);
		expect_convertible(&rig, 1024);
	}
	rig_close(&rig);
}

/* The worst there is: a call for each page, and no more. */
static void all_pages_busy(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 512);
	assert_int_equal(gmem_sim_pin(rig.sim, rig_file(&rig, 0), 0, 512 * rig.page, 0), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 512, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_stuck(&rig, &report, 0, 512);
	assert_int_equal(report.converted, 0);
	assert_int_equal(report.ioctls, 512);
	assert_int_equal(rig.call_count, 512);
	rig_compare(&rig);
	assert_int_equal(gmem_sim_unpin(rig.sim, rig_file(&rig, 0), 0, 512 * rig.page), 0);
	expect_convertible(&rig, 512);
	rig_close(&rig);
}

/* References that go by themselves, also at different times, and several on one page. */
static void transient_references_are_waited_for(void **state)
{
	struct gmem_report report;
	struct rig rig;
	uint64_t page;

	open_with_policy(&rig, *state, UINT64_MAX, NULL, 256);
	for (page = 3; page < 256; page += 17)
		pin_page(&rig, page, (uint32_t)(page % 12 + 1));
	pin_page(&rig, 3, 5);
	pin_page(&rig, 3, 30);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 256, GMEM_PRIVATE, 0, &report), 0);
	expect_no_message(rig.logs);
	assert_int_equal(report.error, 0);
	assert_int_equal(report.kernel_error, 0);
	assert_int_equal(report.gpa | report.size | report.tag | report.offset, 0);
	assert_int_equal(report.converted, 256 * rig.page);
	assert_true(report.retries >= 30);
	assert_int_equal(report.ioctls, rig.call_count);
	rig_compare(&rig);
	rig_close(&rig);
}

/* A page in use is nothing to a conversion to shared. */
static void to_shared_looks_at_no_reference(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 64);
	assert_int_equal(rig_convert_keeping(&rig, FIRST + 8, 8, GMEM_PRIVATE, 0, &report), 0);
	pin_page(&rig, 7, 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.ioctls, 1);
	assert_int_equal(report.converted, 8 * rig.page);
	rig_compare(&rig);
	rig_close(&rig);
}

/* A page of the second region: its own tag and offset. */
static void a_stuck_page_of_another_region(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 32);
	rig_map(&rig, FIRST + 32, rig_region(&rig, 64), 16, 32);
	assert_int_equal(gmem_sim_pin(rig.sim, rig_file(&rig, 1), 20 * rig.page, rig.page, 0), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	assert_int_equal(report.gpa, (FIRST + 36) * rig.page);
	assert_int_equal(report.size, rig.page);
	assert_int_equal(report.tag, 2);
	assert_int_equal(report.offset, 20 * rig.page);
	assert_int_equal(report.converted, 63 * rig.page);
	rig_compare(&rig);
	rig_close(&rig);
}

/* One's own pins, in every mode: no call is made for what they have. */
static void pins_of_the_library(void **state)
{
	struct gmem_pin low, middle, high;
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 128);
	/* A few bytes; over a page's end; three pages with both ends inside. */
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 10) * rig.page + 5, 1, 0, &low), 0);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 50) * rig.page - 1, 2, 0, &middle), 0);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 100) * rig.page + 1, 2 * rig.page, 0, &high),
			 0);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 128, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "gmem_vm_pin()");
	expect_stuck(&rig, &report, 10, 1);
	assert_int_equal(report.kernel_error, 0);
	assert_int_equal(report.converted, 122 * rig.page);
	assert_int_equal(report.retries, 0);
	assert_int_equal(rig.call_count, 4);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 49) * rig.page, 2 * rig.page),
			 GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 100) * rig.page, 3 * rig.page),
			 GMEM_SHARED);
	memset(high.host, 0x5a, high.size);
	rig_compare(&rig);
	/* To shared they are no obstacle. */
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 128, GMEM_SHARED, 0, &report), 0);
	gmem_vm_unpin(rig.vm, &low);
	gmem_vm_unpin(rig.vm, &high);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 128, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
					     &report),
			 -EAGAIN);
	expect_stuck(&rig, &report, 49, 2);
	gmem_vm_unpin(rig.vm, &middle);
	expect_convertible(&rig, 128);
	rig_close(&rig);
}

/* A page that the kernel had in use has gone private; what is left is a pin's doing alone. */
static void the_kernel_is_not_blamed_for_a_pin(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN, GMEM_RETRY_AGAIN, GMEM_RETRY_STOP },
				 .count = 3 };
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	pin_page(&rig, 10, 3);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 30) * rig.page, 1, 0, &pin), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "gmem_vm_pin()");
	assert_int_equal(policy.seen[0].kernel_error, -EAGAIN);
	assert_int_equal(policy.seen[policy.asked - 1].kernel_error, 0);
	expect_stuck(&rig, &report, 30, 1);
	assert_int_equal(report.kernel_error, 0);
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

static void all_pages_pinned_by_the_library(void **state)
{
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, 1, NULL, 128);
	assert_int_equal(gmem_vm_pin(rig.vm, FIRST * rig.page, 128 * rig.page, 0, &pin), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 128, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_stuck(&rig, &report, 0, 128);
	assert_int_equal(report.converted, 0);
	assert_int_equal(report.ioctls, 0);
	assert_int_equal(rig.call_count, 0);
	gmem_vm_unpin(rig.vm, &pin);
	expect_convertible(&rig, 128);
	rig_close(&rig);
}

static void the_callback_sees_what_is_in_the_way(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN }, .count = 1 };
	struct gmem_report report;
	struct rig rig;
	uint32_t i;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 256);
	pin_page(&rig, 40, 12);
	pin_page(&rig, 90, 4);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 256, GMEM_PRIVATE, 0, &report), 0);
	assert_true(policy.asked >= 10);
	for (i = 0; i < policy.asked && i < 64; i++) {
		const struct gmem_report *seen = &policy.seen[i];
		uint64_t page = seen->gpa / rig.page - FIRST;

		assert_true(page == 40 || page == 90);
		assert_int_equal(seen->size, rig.page);
		assert_int_equal(seen->offset, page * rig.page);
		assert_int_equal(seen->tag, 1);
		assert_int_equal(seen->error, 0);
		assert_int_equal(seen->stage, GMEM_STAGE_COMMIT);
		assert_int_equal(seen->kernel_error, -EAGAIN);
		/* The rest is converted before anybody waits, the lower page before the upper. */
		assert_int_equal(seen->converted, (page == 40 ? 254 : 255) * rig.page);
		assert_int_equal(seen->skipped, 0);
		if (i) {
			assert_true(seen->gpa >= policy.seen[i - 1].gpa);
			assert_true(seen->retries > policy.seen[i - 1].retries);
			assert_true(seen->waited_ns >= policy.seen[i - 1].waited_ns);
			assert_true(seen->ioctls > policy.seen[i - 1].ioctls);
		}
	}
	assert_true(report.waited_ns >=
		    policy.seen[policy.asked < 64 ? policy.asked - 1 : 63].waited_ns);
	rig_compare(&rig);
	rig_close(&rig);
}

/* Each page's first tries come at once, however long the one before it took. */
static void patience_begins_anew_with_each_page(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN }, .count = 1 };
	struct gmem_report report;
	uint32_t i, sleeps = 0;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	pin_page(&rig, 10, 20);
	pin_page(&rig, 50, 6);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
	for (i = 0; i < policy.asked; i++) {
		if (policy.seen[i].offset == 10 * rig.page)
			sleeps = policy.sleeps[i];
	}
	assert_true(sleeps > 0);
	assert_int_equal(policy.seen[policy.asked - 1].offset, 50 * rig.page);
	assert_int_equal(policy.sleeps[policy.asked - 1], sleeps);
	rig_close(&rig);
}

static void stop_and_later_end_it(void **state)
{
	/* Anything unknown counts as STOP. */
	static const int stops[] = { GMEM_RETRY_STOP, GMEM_RETRY_LATER, 4, -1, -EAGAIN };
	struct gmem_report report;
	struct rig rig;
	uint32_t i;

	for (i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		struct policy policy = {
			.answers = { GMEM_RETRY_AGAIN, GMEM_RETRY_AGAIN, stops[i] }, .count = 3
		};

		open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
		pin_page(&rig, 9, 0);
		pin_page(&rig, 19, 0);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report),
				 -EAGAIN);
		expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ");
		expect_stuck(&rig, &report, 9, 1);
		assert_int_equal(policy.asked, 3);
		assert_int_equal(report.skipped, 0);
		assert_int_equal(report.converted, 62 * rig.page);
		rig_compare(&rig);
		unpin_page(&rig, 9);
		unpin_page(&rig, 19);
		/* The same request again, as after LATER. */
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
		assert_int_equal(report.converted, 2 * rig.page);
		rig_compare(&rig);
		rig_close(&rig);
	}
}

static void skip_goes_on_with_others(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_SKIP, GMEM_RETRY_AGAIN, GMEM_RETRY_AGAIN,
					      GMEM_RETRY_AGAIN, GMEM_RETRY_AGAIN, GMEM_RETRY_SKIP },
				 .count = 6 };
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	pin_page(&rig, 9, 0);
	pin_page(&rig, 19, 4);
	pin_page(&rig, 29, 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "2 pages passed over");
	/* The first that is not as asked for; page 19 was waited for in between. */
	expect_stuck(&rig, &report, 9, 1);
	assert_int_equal(report.skipped, 2);
	assert_int_equal(report.converted, 62 * rig.page);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 19) * rig.page, rig.page),
			 GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 29) * rig.page, rig.page), GMEM_SHARED);
	rig_compare(&rig);
	rig_close(&rig);
}

/* Two pages of one range, skipped: nobody is asked twice about the same page. */
static void skip_every_page(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_SKIP }, .count = 1 };
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 32);
	assert_int_equal(gmem_sim_pin(rig.sim, rig_file(&rig, 0), 0, 32 * rig.page, 0), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 32, GMEM_PRIVATE, 0, &report), -EAGAIN);
	assert_int_equal(policy.asked, 32);
	assert_int_equal(report.skipped, 32);
	expect_stuck(&rig, &report, 0, 32);
	assert_int_equal(report.converted, 0);
	/* A first pass, and one try of each page. */
	assert_int_equal(report.ioctls, 64);
	rig_close(&rig);
}

static void unpin_now(struct policy *policy)
{
	if (policy->asked == 3)
		gmem_vm_unpin(policy->rig->vm, &policy->pin);
}

/* What gmem/access.h declares may be called: here, to let go of what is waited for. */
static void the_callback_unpins(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN },
				 .count = 1,
				 .meanwhile = unpin_now };
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 5) * rig.page, 1, 0, &policy.pin), 0);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(policy.asked, 3);
	assert_int_equal(policy.seen[0].gpa, (FIRST + 5) * rig.page);
	assert_int_equal(policy.seen[0].kernel_error, 0);
	assert_int_equal(policy.seen[0].converted, 63 * rig.page);
	assert_int_equal(report.converted, 64 * rig.page);
	assert_int_equal(rig.call_count, 3);
	rig_compare(&rig);
	rig_close(&rig);
}

/* What it may not do. */
static void try_all_things(struct policy *policy)
{
	struct gmem_vm *vm = policy->rig->vm;
	uint64_t page = policy->rig->page;
	struct gmem_report report;
	struct gmem_pin pin;
	char bytes[8];

	assert_int_equal(gmem_vm_convert(vm, (FIRST + 60) * page, page, GMEM_SHARED,
					 GMEM_CONVERT_KEEP, &report),
			 -EDEADLK);
	assert_int_equal(report.error, -EDEADLK);
	assert_int_equal(report.ioctls, 0);
	assert_int_equal(gmem_vm_convert(vm, (FIRST + 900) * page, page, GMEM_SHARED,
					 GMEM_CONVERT_KEEP, NULL),
			 -EDEADLK);
	assert_int_equal(gmem_vm_unmap(vm, FIRST * page, 64 * page), -EDEADLK);
	assert_int_equal(gmem_vm_map(vm, (FIRST + 64) * page, NULL, 0, page, GMEM_SLOT_AUTO, 0),
			 -EDEADLK);
	assert_int_equal(gmem_vm_pin(vm, (FIRST + 9) * page, 8, 0, &pin), -EAGAIN);
	assert_int_equal(gmem_vm_pin(vm, (FIRST + 9) * page, 8, GMEM_ACCESS_WAIT, &pin), -EDEADLK);
	assert_int_equal(gmem_vm_read(vm, (FIRST + 9) * page, bytes, 8, GMEM_ACCESS_WAIT),
			 -EDEADLK);
	assert_int_equal(gmem_vm_write(vm, (FIRST + 9) * page, bytes, 8, 0), -EAGAIN);
	assert_int_equal(gmem_vm_get_state(vm, (FIRST + 9) * page, page), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(vm, (FIRST + 10) * page, page), GMEM_PRIVATE);
}

static void the_callback_may_not_come_back(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_STOP },
				 .count = 1,
				 .meanwhile = try_all_things };
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 9) * rig.page, 1, 0, &pin), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, NULL), -EAGAIN);
	assert_int_equal(policy.asked, 1);
	gmem_vm_unpin(rig.vm, &pin);
	policy.meanwhile = NULL;
	expect_convertible(&rig, 64);
	rig_close(&rig);
}

/* NOWAIT asks nobody, and looks at no clock. */
static void nowait_neither_asks_nor_waits(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN }, .count = 1 };
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 9) * rig.page, 1, 0, &pin), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
					     &report),
			 -EAGAIN);
	assert_int_equal(policy.asked, 0);
	assert_int_equal(rig.wait_calls, 0);
	assert_int_equal(report.waited_ns, 0);
	expect_stuck(&rig, &report, 9, 1);
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

/* A deadline of a nanosecond has passed by the first look at the clock, or by the next. */
static void a_deadline_ends_it_without_asking_on(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN }, .count = 1 };
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, 1, &policy, 64);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 9) * rig.page, 1, 0, &pin), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_stuck(&rig, &report, 9, 1);
	assert_true(report.waited_ns >= 1);
	assert_true(policy.asked <= 2);
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

static void signals_during_the_call(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN }, .count = 1 };
	struct gmem_report report;
	struct rig rig;
	uint32_t to, i;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	for (to = GMEM_PRIVATE; to >= GMEM_SHARED; to--) {
		policy.asked = 0;
		for (i = 1; i <= 5; i++)
			rig_fail_call(&rig, i, -EINTR);
		rig_forget_calls(&rig);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, to, 0, &report), 0);
		assert_int_equal(rig.call_count, 6);
		assert_int_equal(report.ioctls, 6);
		assert_int_equal(report.retries, 5);
		assert_int_equal(policy.asked, 5);
		assert_int_equal(policy.seen[4].kernel_error, -EINTR);
		assert_int_equal(policy.seen[4].gpa, FIRST * rig.page);
		assert_int_equal(policy.seen[4].size, 64 * rig.page);
		assert_int_equal(policy.seen[4].tag, 1);
		assert_int_equal(report.converted, 64 * rig.page);
		assert_int_equal(report.kernel_error, 0);
		rig_compare(&rig);
	}
	rig_close(&rig);
}

/* A vCPU thread that was kicked answers LATER. */
static void a_signal_and_later(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_LATER }, .count = 1 };
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	rig_fail_call(&rig, 1, -EINTR);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "signal");
	expect_stuck(&rig, &report, 0, 64);
	assert_int_equal(report.kernel_error, -EINTR);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_SIGNAL);
	assert_int_equal(report.ioctls, 1);
	/* It was given up. */
	assert_int_equal(report.retries, 1);
	assert_int_equal(rig.call_count, 1);
	rig_compare(&rig);
	expect_convertible(&rig, 64);
	rig_close(&rig);
}

/* A signal that was got over is not what ends a conversion later on. */
static void a_signal_that_is_over_is_not_blamed(void **state)
{
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, NULL, 64);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 9) * rig.page, 1, 0, &pin), 0);
	rig_fail_call(&rig, 1, -EINTR);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
					     &report),
			 -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "gmem_vm_pin()");
	assert_int_equal(report.kernel_error, 0);
	expect_stuck(&rig, &report, 9, 1);
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

static void signals_during_the_wait(void **state)
{
	/* Tries come without a sleep at first. */
	struct policy policy = { .answers = { [14] = GMEM_RETRY_LATER }, .count = 15 };
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 64);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 9) * rig.page, 1, 0, &pin), 0);
	atomic_store(&rig.futex_error, -EINTR);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	assert_int_equal(policy.asked, 15);
	assert_true(rig.futex_failed > 0);
	expect_stuck(&rig, &report, 9, 1);
	atomic_store(&rig.futex_error, 0);
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

/* Of a call about the VM's addresses, or to shared, EAGAIN names no page. */
static void again_of_no_page(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_AGAIN }, .count = 1 };
	const struct mode *mode = *state;
	struct gmem_report report;
	struct rig rig;
	uint32_t i;

	open_with_policy(&rig, mode, UINT64_MAX, &policy, 64);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, NULL), 0);
	for (i = 1; i <= 20; i++)
		rig_fail_call(&rig, i, -EAGAIN);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_SHARED, 0, &report), 0);
	assert_int_equal(report.ioctls, 21);
	assert_int_equal(report.retries, 20);
	assert_int_equal(rig.call_count, 21);
	assert_int_equal(policy.asked, 20);
	assert_int_equal(policy.seen[19].gpa, FIRST * rig.page);
	assert_int_equal(policy.seen[19].size, 64 * rig.page);
	assert_int_equal(report.converted, 64 * rig.page);
	rig_compare(&rig);
	policy.answers[0] = GMEM_RETRY_STOP;
	rig_fail_call(&rig, 1, -EAGAIN);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_SHARED, 0, &report), -EAGAIN);
	assert_int_equal(report.kernel_error, -EAGAIN);
	rig_compare(&rig);
	rig_close(&rig);
}

/* The same to private, per VM: no page is tried by itself. */
static void again_of_a_vm(void **state)
{
	struct gmem_report report;
	struct rig rig;
	uint32_t i;

	open_with_policy(&rig, *state, UINT64_MAX, NULL, 64);
	for (i = 1; i <= 12; i++)
		rig_fail_call(&rig, i, -EAGAIN);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(rig.call_count, 13);
	for (i = 0; i <= 12; i++)
		rig_expect_call(&rig, i, 0, FIRST, 64, GMEM_PRIVATE);
	assert_int_equal(report.retries, 12);
	assert_int_equal(report.converted, 64 * rig.page);
	rig_compare(&rig);
	rig_fail_call(&rig, 1, -EAGAIN);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_SHARED, GMEM_CONVERT_NOWAIT,
					     &report),
			 -EAGAIN);
	expect_stuck(&rig, &report, 0, 64);
	assert_int_equal(report.ioctls, 1);
	rig_compare(&rig);
	rig_close(&rig);
}

/* In place, to private, with no page in use: the kernel may say so all the same. */
static void again_without_a_reference(void **state)
{
	struct gmem_report report;
	struct rig rig;
	uint32_t i;

	open_with_policy(&rig, *state, UINT64_MAX, NULL, 64);
	for (i = 1; i <= 6; i++)
		rig_fail_call(&rig, i, -EAGAIN);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.converted, 64 * rig.page);
	assert_int_equal(report.ioctls, rig.call_count);
	rig_compare(&rig);
	for (i = 1; i <= 6; i++)
		rig_fail_call(&rig, i, -EAGAIN);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_SHARED, 0, NULL), 0);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
					     &report),
			 0);
	rig_compare(&rig);
	rig_close(&rig);
}

/*
 * An EAGAIN that names a page which is private by the library's record (or that names none): it is
 * tried alone before it is taken for shared, for the host must never be told so of a private page.
 */
static void a_private_page_is_not_taken_for_one_in_use(void **state)
{
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 64);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 8, GMEM_PRIVATE, 0, NULL), 0);
	rig_fail_call(&rig, 1, -EAGAIN);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
	rig_expect_call(&rig, 0, 0, 0, 64, GMEM_PRIVATE);
	rig_expect_call(&rig, 1, 0, 0, 1, GMEM_PRIVATE);
	rig_expect_call(&rig, 2, 0, 1, 1, GMEM_PRIVATE);
	assert_int_equal(report.converted, 56 * rig.page);
	rig_compare(&rig);
	rig_close(&rig);
}

/* Somebody else made it shared, and uses it: then it is. */
static void a_page_that_others_made_shared_and_use(void **state)
{
	struct gmem_kvm_memory_attributes2 shared = { 0 };
	struct gmem_report report;
	struct rig rig;

	open_with_policy(&rig, *state, 0, NULL, 64);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, NULL), 0);
	shared.offset = 20 * rig.page;
	shared.size = rig.page;
	assert_int_equal(rig.kernel.call(GMEM_SYS_IOCTL,
					 (const uint64_t[GMEM_SYS_ARGUMENTS]){
						 (uint64_t)rig_file(&rig, 0),
						 GMEM_KVM_SET_MEMORY_ATTRIBUTES2,
						 (uintptr_t)&shared,
					 },
					 rig.kernel.opaque),
			 0);
	pin_page(&rig, 20, 0);
	assert_int_equal(gmem_vm_get_state(rig.vm, FIRST * rig.page, 64 * rig.page), GMEM_PRIVATE);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	expect_stuck(&rig, &report, 20, 1);
	rig_compare(&rig);
	unpin_page(&rig, 20);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.converted, rig.page);
	rig_compare(&rig);
	rig_close(&rig);
}

/*
 * Of what is asked about, tag and offset are those of its own section, also where a call has
 * several, and where a pin has parted them.
 */
static void the_place_is_that_of_its_own_section(void **state)
{
	struct policy policy = { .answers = { GMEM_RETRY_STOP }, .count = 1 };
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;

	open_with_policy(&rig, *state, UINT64_MAX, &policy, 32);
	rig_map(&rig, FIRST + 32, rig_region(&rig, 64), 16, 32);
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 32) * rig.page, 4 * rig.page, 0, &pin), 0);
	rig_fail_call(&rig, 2, -EINTR);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EAGAIN);
	assert_int_equal(policy.asked, 1);
	assert_int_equal(policy.seen[0].gpa, (FIRST + 36) * rig.page);
	assert_int_equal(policy.seen[0].size, 28 * rig.page);
	assert_int_equal(policy.seen[0].tag, 2);
	assert_int_equal(policy.seen[0].offset, 20 * rig.page);
	assert_int_equal(report.gpa, (FIRST + 32) * rig.page);
	assert_int_equal(report.size, 32 * rig.page);
	assert_int_equal(report.tag, 2);
	assert_int_equal(report.offset, 16 * rig.page);
	assert_int_equal(report.converted, 32 * rig.page);
	gmem_vm_unpin(rig.vm, &pin);
	/* And a failure names that region. */
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 32) * rig.page, 4 * rig.page, 0, &pin), 0);
	rig_fail_call(&rig, 2, -EIO);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), -EIO);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "\"ram1\"", "EIO");
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

struct holder {
	struct rig *rig;
	struct gmem_pin pin;
	_Atomic bool asked;
};

static int note_wait(const struct gmem_report *so_far, void *opaque)
{
	struct holder *holder = opaque;

	(void)so_far;
	atomic_store(&holder->asked, true);
	return GMEM_RETRY_AGAIN;
}

static void *let_go(void *opaque)
{
	struct holder *holder = opaque;

	while (!atomic_load(&holder->asked))
		sched_yield();
	gmem_vm_unpin(holder->rig->vm, &holder->pin);
	return NULL;
}

static void a_pin_that_another_thread_releases(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config;
	struct gmem_report report;
	struct holder holder = { 0 };
	pthread_t thread;
	struct rig rig;
	int i;

	config = rig_config(mode);
	gmem_vm_config_set_retry(config, UINT64_MAX, note_wait, &holder, NULL);
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, FIRST, rig_region(&rig, 64), 0, 64);
	holder.rig = &rig;
	for (i = 0; i < 50; i++) {
		atomic_store(&holder.asked, false);
		assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 9) * rig.page, 4 * rig.page, 0,
					     &holder.pin),
				 0);
		assert_int_equal(pthread_create(&thread, NULL, let_go, &holder), 0);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_PRIVATE, 0, &report), 0);
		pthread_join(thread, NULL);
		assert_int_equal(report.converted, 64 * rig.page);
		assert_int_equal(rig_convert_keeping(&rig, FIRST, 64, GMEM_SHARED, 0, NULL), 0);
	}
	rig_compare(&rig);
	rig_close(&rig);
}

/* Of a private page there can be none: the call is made, and nothing was in the way. */
static void a_pin_that_will_be_refused_is_none(void **state)
{
	struct gmem_report report;
	uint64_t pages = 0;
	struct rig rig;
	uint32_t slot, i;

	rig_open(&rig, *state);
	rig_map(&rig, FIRST, rig_region(&rig, 16), 0, 16);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 16, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(gmem_pin_table_add(rig.vm, (FIRST + 3) * rig.page, 2 * rig.page, &slot),
			 0);
	rig_forget_calls(&rig);
	assert_int_equal(rig_convert_keeping(&rig, FIRST, 16, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
					     &report),
			 0);
	assert_int_equal(report.obstacle, GMEM_OBSTACLE_NONE);
	for (i = 0; i < rig.call_count; i++)
		pages += rig.calls[i].size / rig.page;
	assert_int_equal(pages, 16);
	gmem_pin_table_drop(rig.vm, slot);
	rig_close(&rig);
}

/* Somebody who is at work on the range until he is told to stop, on a thread of his own. */
struct worker {
	struct rig *rig;
	pthread_t thread;
	_Atomic bool at_work;
	_Atomic bool stop;
	_Atomic int answer; /* for others */
	_Atomic uint32_t asked;
	struct gmem_report seen; /* by the last that was asked */
	int result;
};

static int keep_working(const struct gmem_report *so_far, void *opaque)
{
	struct worker *worker = opaque;

	if (so_far->stage == GMEM_STAGE_PREPARE) {
		worker->seen = *so_far;
		atomic_fetch_add(&worker->asked, 1);
		return atomic_load(&worker->answer);
	}
	atomic_store(&worker->at_work, true);
	sched_yield();
	return atomic_load(&worker->stop) ? GMEM_RETRY_STOP : GMEM_RETRY_AGAIN;
}

static void *work(void *opaque)
{
	struct worker *worker = opaque;

	worker->result = rig_convert_keeping(worker->rig, FIRST, 32, GMEM_PRIVATE, 0, NULL);
	return NULL;
}

static void expect_in_the_way(struct rig *rig, const struct gmem_report *report)
{
	assert_int_equal(report->error, -EAGAIN);
	assert_int_equal(report->stage, GMEM_STAGE_PREPARE);
	assert_int_equal(report->operation, GMEM_OPERATION_CONVERT);
	assert_int_equal(report->obstacle, GMEM_OBSTACLE_OPERATION);
	/* What the other has of it, not all that was asked for. */
	assert_int_equal(report->gpa, (FIRST + 30) * rig->page);
	assert_int_equal(report->size, 2 * rig->page);
	assert_int_equal(report->tag, 1);
	assert_int_equal(report->offset, 30 * rig->page);
	assert_int_equal(report->converted, 0);
	assert_int_equal(report->ioctls, 0);
}

/* Another operation on a part of the range: NOWAIT fails, and a signal has the policy asked. */
static void another_operation_is_at_work(void **state)
{
	static const int stops[] = { GMEM_RETRY_STOP, GMEM_RETRY_LATER, GMEM_RETRY_SKIP };
	struct gmem_vm_config *config = rig_config(*state);
	struct worker worker = { 0 };
	struct gmem_report report;
	struct gmem_pin pin;
	struct rig rig;
	uint32_t i;

	gmem_vm_config_set_retry(config, UINT64_MAX, keep_working, &worker, NULL);
	rig_open_with(&rig, *state, config);
	gmem_vm_config_free(config);
	rig_map(&rig, FIRST, rig_region(&rig, 64), 0, 64);
	worker.rig = &rig;
	assert_int_equal(gmem_vm_pin(rig.vm, FIRST * rig.page, 1, 0, &pin), 0);
	assert_int_equal(pthread_create(&worker.thread, NULL, work, &worker), 0);
	while (!atomic_load(&worker.at_work))
		sched_yield();
	logs_reset(rig.logs);
	assert_int_equal(rig_convert_keeping(&rig, FIRST + 30, 4, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
					     &report),
			 -EAGAIN);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: ", "another operation");
	expect_in_the_way(&rig, &report);
	assert_int_equal(worker.asked, 0);
	atomic_store(&rig.futex_error, -EINTR);
	for (i = 0; i < 3; i++) {
		atomic_store(&worker.answer, stops[i]);
		assert_int_equal(rig_convert_keeping(&rig, FIRST + 30, 4, GMEM_PRIVATE, 0, &report),
				 -EAGAIN);
		expect_one_message(rig.logs, GMEM_LOG_DEBUG,
				   "gmem_vm_convert: ", "another operation");
		expect_in_the_way(&rig, &report);
		assert_int_equal(worker.asked, i + 1);
		assert_int_equal(worker.seen.obstacle, GMEM_OBSTACLE_OPERATION);
		assert_int_equal(worker.seen.operation, GMEM_OPERATION_CONVERT);
		assert_int_equal(worker.seen.gpa, (FIRST + 30) * rig.page);
		assert_int_equal(worker.seen.size, 2 * rig.page);
		assert_int_equal(worker.seen.tag, 1);
		assert_int_equal(worker.seen.offset, 30 * rig.page);
		assert_int_equal(worker.seen.ioctls, 0);
	}
	atomic_store(&rig.futex_error, 0);
	/* What does not overlap waits for nobody. */
	assert_int_equal(rig_convert_keeping(&rig, FIRST + 32, 32, GMEM_PRIVATE,
					     GMEM_CONVERT_NOWAIT, &report),
			 0);
	atomic_store(&worker.stop, true);
	pthread_join(worker.thread, NULL);
	assert_int_equal(worker.result, -EAGAIN);
	gmem_vm_unpin(rig.vm, &pin);
	expect_convertible(&rig, 64);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(a_pin_that_will_be_refused_is_none, IN_ALL_MODES),
		RIG_CASE(what_precedes_comes_first, PER_FILE),
		RIG_CASE(a_stuck_page_anywhere, PER_FILE),
		RIG_CASE(many_scattered_pages, PER_FILE),
		RIG_CASE(all_pages_busy, PER_FILE),
		RIG_CASE(transient_references_are_waited_for, PER_FILE),
		RIG_CASE(to_shared_looks_at_no_reference, PER_FILE),
		RIG_CASE(a_stuck_page_of_another_region, PER_FILE),
		RIG_CASE(pins_of_the_library, IN_ALL_MODES),
		RIG_CASE(the_kernel_is_not_blamed_for_a_pin, PER_FILE),
		RIG_CASE(all_pages_pinned_by_the_library, IN_ALL_MODES),
		RIG_CASE(the_callback_sees_what_is_in_the_way, PER_FILE),
		RIG_CASE(patience_begins_anew_with_each_page, PER_FILE),
		RIG_CASE(stop_and_later_end_it, PER_FILE),
		RIG_CASE(skip_goes_on_with_others, PER_FILE),
		RIG_CASE(skip_every_page, PER_FILE),
		RIG_CASE(the_callback_unpins, IN_ALL_MODES),
		RIG_CASE(the_callback_may_not_come_back, IN_ALL_MODES),
		RIG_CASE(nowait_neither_asks_nor_waits, IN_ALL_MODES),
		RIG_CASE(a_deadline_ends_it_without_asking_on, IN_ALL_MODES),
		RIG_CASE(signals_during_the_call, IN_ALL_MODES),
		RIG_CASE(a_signal_and_later, IN_ALL_MODES),
		RIG_CASE(a_signal_that_is_over_is_not_blamed, IN_ALL_MODES),
		RIG_CASE(signals_during_the_wait, IN_ALL_MODES),
		RIG_CASE(again_of_no_page, IN_ALL_MODES),
		RIG_CASE(again_of_a_vm, PER_VM),
		RIG_CASE(again_without_a_reference, PER_FILE),
		RIG_CASE(a_private_page_is_not_taken_for_one_in_use, PER_FILE),
		RIG_CASE(a_page_that_others_made_shared_and_use, PER_FILE),
		RIG_CASE(the_place_is_that_of_its_own_section, IN_ALL_MODES),
		RIG_CASE(another_operation_is_at_work, IN_ALL_MODES),
		RIG_CASE(a_pin_that_another_thread_releases, IN_ALL_MODES),
	};

	return rig_run("convert-busy", cases, sizeof(cases) / sizeof(cases[0]));
}
