// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * gmem_vm_discard(), in every mode: both sides are freed, read as zeros, and listeners, pins and
 * failures are heeded. Memory that is unplugged is test-absent.c's.
 */
#include "ears.h"

#include "libgmem/uapi/kvm.h"
#include "tests/support/support.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ADD GMEM_EVENT_ADD
#define REMOVE GMEM_EVENT_REMOVE

static int discard(struct rig *rig, uint64_t page, uint64_t pages)
{
	return gmem_vm_discard(rig->vm, page * rig->page, pages * rig->page, 0, NULL);
}

/* The guest's access, of the kind that the page is. */
static void guest_access(struct rig *rig, uint64_t page, char *byte, uint32_t flags)
{
	bool private = gmem_vm_get_state(rig->vm, page * rig->page, rig->page) == GMEM_PRIVATE;

	assert_int_equal(gmem_sim_guest_access(rig->sim, rig->vcpu_fd, page * rig->page, byte, 1,
					       flags | (private ? GMEM_SIM_PRIVATE : 0)),
			 0);
}

static void fill(struct rig *rig, uint64_t page, uint64_t pages, char byte)
{
	for (; pages; page++, pages--)
		guest_access(rig, page, &byte, GMEM_SIM_WRITE);
}

static void expect_bytes(struct rig *rig, uint64_t page, uint64_t pages, char byte)
{
	char read;

	for (; pages; page++, pages--) {
		read = 1;
		guest_access(rig, page, &read, 0);
		assert_int_equal(read, byte);
	}
}

/* Memory of both sides of a region, in pages. */
static uint64_t memory_of(struct rig *rig, struct gmem_region *region)
{
	struct gmem_region_info info;
	struct gmem_sim_page page;
	uint64_t pages = 0, i;
	struct stat status;

	assert_int_equal(gmem_region_get_info(region, &info), 0);
	for (i = 0; info.guest_memfd >= 0 && i < info.size; i += rig->page) {
		assert_int_equal(gmem_sim_get_page(rig->sim, info.guest_memfd, i, &page), 0);
		pages += page.allocated;
	}
	if (info.fd < 0 || info.fd == info.guest_memfd)
		return pages;
	assert_int_equal(fstat(info.fd, &status), 0);
	return pages + (uint64_t)status.st_blocks * 512 / rig->page;
}

static void both_sides_are_freed_and_read_zeros(void **state)
{
	uint64_t both = ((const struct mode *)*state)->backing == GMEM_BACKING_SPLIT;
	struct gmem_vm_stats before, after;
	struct rig rig;
	char byte = 1;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 32), 0, 32);
	fill(&rig, 0, 32, 'a');
	/* The other side is kept, and holds memory as well. */
	assert_int_equal(rig_convert(&rig, 8, 8, GMEM_PRIVATE, GMEM_CONVERT_KEEP, NULL), 0);
	fill(&rig, 8, 8, 'b');
	assert_int_equal(memory_of(&rig, rig.region[0]), 32 + 8 * both);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &before), 0);
	assert_int_equal(discard(&rig, 4, 16), 0);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &after), 0);
	assert_int_equal(memory_of(&rig, rig.region[0]), 16);
	assert_int_equal(after.discards - before.discards, 1 + both);
	assert_int_equal(after.bytes_discarded - before.bytes_discarded,
			 (1 + both) * 16 * rig.page);
	/* No state changes. */
	assert_int_equal(gmem_vm_get_state(rig.vm, 4 * rig.page, 4 * rig.page), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(rig.vm, 8 * rig.page, 8 * rig.page), GMEM_PRIVATE);
	rig_compare(&rig);
	expect_bytes(&rig, 0, 4, 'a');
	expect_bytes(&rig, 4, 16, 0);
	expect_bytes(&rig, 20, 12, 'a');
	assert_int_equal(gmem_vm_read(rig.vm, 5 * rig.page, &byte, 1, 0), 0);
	assert_int_equal(byte, 0);
	rig_close(&rig);
}

static struct gmem_region *new_plain(struct rig *rig, uint64_t pages)
{
	struct gmem_region_config *config;
	struct gmem_region *region;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(rig->vm, pages * rig->page, config, &region), 0);
	gmem_region_config_free(config);
	rig->region[rig->regions++] = region;
	return region;
}

/* RAM at 0, a hole, ROM at 32, a device at 48, plain RAM at 64, reserved at 80. */
static void open_mixed(struct rig *rig, const struct mode *mode)
{
	rig_open(rig, mode);
	rig_map(rig, 0, rig_region(rig, 16), 0, 16);
	new_plain(rig, 48);
	assert_int_equal(gmem_vm_map(rig->vm, 32 * rig->page, rig->region[1], 0, 16 * rig->page,
				     GMEM_SLOT_AUTO, GMEM_MAP_READONLY),
			 0);
	assert_int_equal(gmem_vm_map(rig->vm, 48 * rig->page, rig->region[1], 16 * rig->page,
				     16 * rig->page, GMEM_SLOT_AUTO, GMEM_MAP_DEVICE),
			 0);
	rig_map(rig, 64, rig->region[1], 32, 16);
	assert_int_equal(
		gmem_vm_map(rig->vm, 80 * rig->page, NULL, 0, 8 * rig->page, GMEM_SLOT_AUTO, 0), 0);
}

static void what_is_not_ram_is_passed_over(void **state)
{
	struct gmem_region_info info;
	struct ears ears;
	struct rig rig;
	char *plain;

	open_mixed(&rig, *state);
	assert_int_equal(gmem_region_get_info(rig.region[1], &info), 0);
	plain = info.host;
	memset(plain, 'p', 48 * rig.page);
	fill(&rig, 0, 16, 'a');
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	ears_forget(&ears);
	assert_int_equal(discard(&rig, 8, 120), 0);
	ears_expect(&ears, 0, 0, REMOVE, 8, 8);
	ears_expect(&ears, 1, 0, REMOVE, 64, 16);
	ears_expect(&ears, 2, 0, ADD, 8, 8);
	ears_expect(&ears, 3, 0, ADD, 64, 16);
	ears_expect_count(&ears, 4);
	expect_bytes(&rig, 0, 8, 'a');
	expect_bytes(&rig, 8, 8, 0);
	assert_int_equal(plain[0], 'p');
	assert_int_equal(plain[32 * rig.page - 1], 'p');
	assert_int_equal(plain[32 * rig.page], 0);
	/* Of nothing at all: nothing. */
	ears_forget(&ears);
	assert_int_equal(discard(&rig, 200, 8), 0);
	ears_expect_count(&ears, 0);
	ears_compare(&ears, "discard");
	ears_close(&ears);
	rig_close(&rig);
}

/* Whoever refuses, wherever: nothing is freed, and all is told back. */
static void a_refused_discard_frees_nothing(void **state)
{
	struct ears ears;
	struct rig rig;
	uint32_t ear, nth;

	open_mixed(&rig, *state);
	assert_int_equal(rig_convert(&rig, 4, 2, GMEM_PRIVATE, 0, NULL), 0);
	fill(&rig, 0, 16, 'a');
	ears_open(&ears, &rig);
	for (ear = 0; ear < 3; ear++)
		ears_listen_all(&ears, ear, ear == 2 ? 2 : 0);
	for (ear = 0; ear < 3; ear++) {
		for (nth = 1; nth <= 3; nth++) {
			ears_refuse(&ears, ear, REMOVE, nth);
			rig_forget_calls(&rig);
			assert_int_equal(discard(&rig, 0, 88), -ECANCELED);
			assert_int_equal(rig.other_calls, 0);
			ears_compare(&ears, "a refused discard");
			ears_forget(&ears);
		}
	}
	expect_bytes(&rig, 0, 16, 'a');
	/* Add is nothing that can be refused here. */
	logs_reset(rig.logs);
	ears_refuse(&ears, 1, ADD, 1);
	assert_int_equal(discard(&rig, 0, 88), 0);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "add", "ignored");
	ears_compare(&ears, "a refused add");
	expect_bytes(&rig, 0, 16, 0);
	ears_close(&ears);
	rig_close(&rig);
}

/* One call fails, others are made; what was told is told back. */
static void a_failure_frees_the_rest(void **state)
{
	uint64_t both = ((const struct mode *)*state)->backing == GMEM_BACKING_SPLIT;
	struct gmem_vm_stats before, after;
	struct ears ears;
	struct rig rig;
	char text[512];

	open_mixed(&rig, *state);
	fill(&rig, 0, 16, 'a');
	fill(&rig, 64, 16, 'a');
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &before), 0);
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EPERM, 0), 0);
	logs_reset(rig.logs);
	assert_int_equal(discard(&rig, 0, 88), -EIO);
	assert_int_equal(logs_count(rig.logs), 1);
	assert_int_equal(logs_get(rig.logs, 0, text, sizeof(text)), GMEM_LOG_ERROR);
	assert_non_null(strstr(text, "gmem_vm_discard: gpa 0, 0x58000 bytes: "));
	assert_non_null(strstr(text, "0x10000 stay allocated, the first of them at gpa 0, "));
	assert_non_null(strstr(text, "EPERM"));
	assert_int_equal(gmem_vm_get_stats(rig.vm, &after), 0);
	assert_int_equal(after.discards - before.discards, 2 + both);
	assert_int_equal(after.discards_failed - before.discards_failed, 1);
	expect_bytes(&rig, 0, 16, 'a');
	expect_bytes(&rig, 64, 16, 0);
	ears_compare(&ears, "a failure");
	ears_close(&ears);
	rig_close(&rig);
}

static void bad_arguments_are_refused(void **state)
{
	struct rig rig;

	rig_open(&rig, *state);
	assert_int_equal(gmem_vm_discard(NULL, 0, rig.page, 0, NULL), -EINVAL);
	logs_reset(rig.logs);
	assert_int_equal(gmem_vm_discard(rig.vm, 0, rig.page, 5, NULL), -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_ERROR, "gmem_vm_discard", "flags are 0x5", "0x4",
			   "GMEM_DISCARD_*");
	assert_int_equal(gmem_vm_discard(rig.vm, 1, rig.page, 0, NULL), -EINVAL);
	expect_one_message(rig.logs, GMEM_LOG_DEBUG, "gmem_vm_discard: gpa 0x1");
	assert_int_equal(gmem_vm_discard(rig.vm, 0, 0, 0, NULL), -EINVAL);
	assert_int_equal(gmem_vm_discard(rig.vm, -rig.page, 2 * rig.page, 0, NULL), -EINVAL);
	assert_int_equal(gmem_vm_flush(NULL, 0, NULL), -EINVAL);
	rig_close(&rig);
}

struct holder {
	struct rig *rig;
	struct gmem_pin pin;
	_Atomic bool told;
};

/* A DMA user lets go when it is told. */
static void let_go(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	struct rig *rig = ear->ears->rig;

	(void)run;
	if (event == REMOVE)
		gmem_vm_unpin(rig->vm, ear->opaque);
}

static void a_listener_lets_go_of_its_pin_in_time(void **state)
{
	struct gmem_vm_config *config;
	const struct mode *mode = *state;
	struct gmem_pin pin;
	struct ears ears;
	struct rig rig;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	/* Waits for nothing. */
	gmem_vm_config_set_retry(config, 0, NULL, NULL, NULL);
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, 0, rig_region(&rig, 32), 0, 32);
	fill(&rig, 0, 32, 'a');
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	/* Somebody else's pin is in the way, of its page and no other. */
	assert_int_equal(gmem_vm_pin(rig.vm, 8 * rig.page, 1, 0, &pin), 0);
	assert_int_equal(discard(&rig, 0, 16), -EAGAIN);
	ears_compare(&ears, "a pin in the way");
	expect_bytes(&rig, 0, 32, 'a');
	assert_int_equal(discard(&rig, 16, 16), 0);
	expect_bytes(&rig, 0, 16, 'a');
	expect_bytes(&rig, 16, 16, 0);
	gmem_vm_unpin(rig.vm, &pin);
	/* The listener's own is not. */
	ears.ear[0].inside = let_go;
	ears.ear[0].opaque = &pin;
	assert_int_equal(gmem_vm_pin(rig.vm, 8 * rig.page, 1, 0, &pin), 0);
	assert_int_equal(discard(&rig, 0, 32), 0);
	assert_int_equal(pin.size, 0);
	expect_bytes(&rig, 0, 32, 0);
	ears.ear[0].inside = NULL;
	ears_close(&ears);
	rig_close(&rig);
}

static void *unpin_soon(void *opaque)
{
	struct holder *holder = opaque;
	int i;

	while (!atomic_load(&holder->told))
		sched_yield();
	for (i = 0; i < 100; i++)
		sched_yield();
	((char *)holder->pin.host)[0] = 'z';
	gmem_vm_unpin(holder->rig->vm, &holder->pin);
	return NULL;
}

static void tell_holder(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	(void)event;
	(void)run;
	atomic_store((_Atomic bool *)&((struct holder *)ear->opaque)->told, true);
}

/* What is written through a pin is written before the memory is freed. */
static void pins_are_waited_for(void **state)
{
	struct holder holder = { 0 };
	struct gmem_vm_stats stats;
	pthread_t thread;
	struct ears ears;
	struct rig rig;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 32), 0, 32);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	holder.rig = &rig;
	ears.ear[0].inside = tell_holder;
	ears.ear[0].opaque = &holder;
	assert_int_equal(gmem_vm_pin(rig.vm, 8 * rig.page, 1, 0, &holder.pin), 0);
	assert_int_equal(pthread_create(&thread, NULL, unpin_soon, &holder), 0);
	assert_int_equal(discard(&rig, 0, 32), 0);
	pthread_join(thread, NULL);
	expect_bytes(&rig, 8, 1, 0);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_true(stats.waited_ns > 0);
	ears_compare(&ears, "a wait for a pin");
	ears_close(&ears);
	rig_close(&rig);
}

/* A guest's balloon can ask again and again. */
static void messages_of_discards_have_a_limit(void **state)
{
	struct gmem_vm_stats stats;
	struct ears ears;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, *state);
	rig_map(&rig, 0, rig_region(&rig, 16), 0, 16);
	ears_open(&ears, &rig);
	ears_listen_all(&ears, 0, 0);
	logs_reset(rig.logs);
	/* Without a clock: the first, the second, the fourth and so on. */
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_CLOCK_GETTIME, 0, 0, -EPERM, 0), 0);
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_FALLOCATE, 0, 0, -EPERM, 0), 0);
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_MADVISE, 0, 0, -EPERM, 0), 0);
	for (i = 0; i < 512; i++)
		assert_int_equal(gmem_vm_discard(rig.vm, 0, rig.page, 0, NULL), -EIO);
	assert_int_equal(logs_count(rig.logs), 10);
	for (i = 0; i < 512; i++) {
		ears_refuse(&ears, 0, GMEM_EVENT_REMOVE, 1);
		assert_int_equal(gmem_vm_discard(rig.vm, 0, rig.page, 0, NULL), -ECANCELED);
	}
	assert_int_equal(logs_count(rig.logs), 11);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_int_equal(stats.messages_dropped, 1024 - 11);
	gmem_sim_clear_failures(rig.sim);
	ears_compare(&ears, "refusals");
	ears_close(&ears);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(messages_of_discards_have_a_limit, SMALL_PAGES),
		RIG_CASE(both_sides_are_freed_and_read_zeros, SMALL_PAGES),
		RIG_CASE(what_is_not_ram_is_passed_over, SMALL_PAGES),
		RIG_CASE(a_refused_discard_frees_nothing, SMALL_PAGES),
		RIG_CASE(a_failure_frees_the_rest, SMALL_PAGES),
		RIG_CASE(bad_arguments_are_refused, IN_ALL_MODES),
		RIG_CASE(a_listener_lets_go_of_its_pin_in_time, SMALL_PAGES),
		RIG_CASE(pins_are_waited_for, SMALL_PAGES),
	};

	return rig_run("gmem_vm_discard()", cases, sizeof(cases) / sizeof(cases[0]));
}
