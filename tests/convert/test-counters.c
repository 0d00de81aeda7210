// SPDX-License-Identifier: LGPL-2.1-or-later
/* gmem_vm_get_stats(): every field is exact after operations that are known. */
#include "rig.h"

#include "libgmem/uapi/kvm.h"

#include <errno.h>
#include <string.h>

static int agree(uint32_t event, const struct gmem_run *run, void *opaque)
{
	(void)event;
	(void)run;
	(void)opaque;
	return 0;
}

static struct gmem_vm_stats expected;

static void expect(struct rig *rig)
{
	struct gmem_vm_stats stats;

	memset(&stats, 0xff, sizeof(stats));
	assert_int_equal(gmem_vm_get_stats(rig->vm, &stats), 0);
	assert_memory_equal(&stats, &expected, sizeof(stats));
}

static void each_field_is_exact(void **state)
{
	const struct mode *mode = *state;
	uint64_t split = mode->backing == GMEM_BACKING_SPLIT;
	uint64_t request = mode->tracking == GMEM_TRACKING_VM ? GMEM_KVM_SET_MEMORY_ATTRIBUTES
							      : GMEM_KVM_SET_MEMORY_ATTRIBUTES2;
	struct gmem_listener *listener;
	struct gmem_vm_config *config;
	struct rig rig;

	memset(&expected, 0, sizeof(expected));
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_discard_limit(config, UINT64_C(1) << 30);
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, 0, rig_region(&rig, 64), 0, 64);
	expect(&rig);
	/* 16 pages private: waiting to be freed on the other side. */
	assert_int_equal(rig_convert(&rig, 0, 16, GMEM_PRIVATE, 0, NULL), 0);
	expected.conversions = 1;
	expected.bytes_private = 16 * rig.page;
	expected.ioctls = 1;
	expected.bytes_held_twice = split * 16 * rig.page;
	expect(&rig);
	/* Half of them are so already. */
	assert_int_equal(rig_convert(&rig, 8, 16, GMEM_PRIVATE, 0, NULL), 0);
	expected.conversions++;
	expected.bytes_private += 8 * rig.page;
	expected.ioctls++;
	expected.bytes_held_twice += split * 8 * rig.page;
	expect(&rig);
	/* Back: of these nothing waits any more, but their other side does. */
	assert_int_equal(rig_convert(&rig, 0, 4, GMEM_SHARED, 0, NULL), 0);
	expected.conversions++;
	expected.bytes_shared += 4 * rig.page;
	expected.ioctls++;
	expect(&rig);
	/* Two sides, that is two calls. */
	assert_int_equal(gmem_vm_flush(rig.vm, 0, NULL), 0);
	expected.discards += 2 * split;
	expected.bytes_discarded += expected.bytes_held_twice;
	expected.bytes_held_twice = 0;
	expect(&rig);
	/* Nothing to do, and no call. */
	assert_int_equal(rig_convert(&rig, 0, 4, GMEM_SHARED, GMEM_CONVERT_TRUST_STATE, NULL), 0);
	expected.conversions++;
	expect(&rig);
	/* A conversion that the kernel refuses, and one that is judged to be none. */
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_IOCTL, request, 1, -EIO, 0), 0);
	assert_int_equal(rig_convert(&rig, 32, 4, GMEM_PRIVATE, 0, NULL), -EIO);
	expected.conversions++;
	expected.conversions_failed++;
	expected.ioctls++;
	expect(&rig);
	assert_int_equal(rig_convert(&rig, 100, 4, GMEM_PRIVATE, 0, NULL), -ENOENT);
	expected.conversions++;
	expected.conversions_failed++;
	expect(&rig);
	/* Discards: of both sides, and one that the kernel refuses. */
	assert_int_equal(gmem_vm_discard(rig.vm, 0, rig.page, 0, NULL), 0);
	expected.discards += 1 + split;
	expected.bytes_discarded += (1 + split) * rig.page;
	expect(&rig);
	assert_int_equal(gmem_sim_fail(rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EIO, 0), 0);
	assert_int_equal(gmem_vm_discard(rig.vm, 0, rig.page, 0, NULL), -EIO);
	expected.discards += 1 + split;
	expected.discards_failed++;
	expected.bytes_discarded += split * rig.page;
	expect(&rig);
	/* Replay of two runs, a remove and an add, and two removes. */
	assert_int_equal(gmem_listener_new(rig.vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0, agree, NULL,
					   NULL, &listener),
			 0);
	expected.listener_calls = 2;
	expect(&rig);
	assert_int_equal(gmem_vm_discard(rig.vm, 0, rig.page, 0, NULL), 0);
	expected.discards += 1 + split;
	expected.bytes_discarded += (1 + split) * rig.page;
	expected.listener_calls += 2;
	expect(&rig);
	gmem_listener_free(listener);
	expected.listener_calls += 2;
	expect(&rig);
	assert_int_equal(gmem_vm_get_stats(rig.vm, NULL), -EINVAL);
	assert_int_equal(gmem_vm_get_stats(NULL, &expected), -EINVAL);
	rig_close(&rig);
}

/* Tries again once, and then no more. */
static int once(const struct gmem_report *so_far, void *opaque)
{
	uint32_t *left = opaque;

	(void)so_far;
	return (*left)-- ? GMEM_RETRY_AGAIN : GMEM_RETRY_STOP;
}

static void retries_and_time_are_counted(void **state)
{
	struct gmem_region_info info;
	struct gmem_vm_config *config;
	const struct mode *mode = *state;
	struct gmem_vm_stats stats;
	struct gmem_report report;
	struct gmem_pin pin;
	uint64_t waited;
	uint32_t left = 1;
	struct rig rig;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_retry(config, UINT64_MAX, once, &left, NULL);
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, 0, rig_region(&rig, 64), 0, 64);
	assert_int_equal(gmem_region_get_info(rig.region[0], &info), 0);
	assert_int_equal(gmem_sim_pin(rig.sim, info.guest_memfd, 0, rig.page, 0), 0);
	assert_int_equal(rig_convert(&rig, 0, 4, GMEM_PRIVATE, 0, &report), -EAGAIN);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_int_equal(stats.ioctls, report.ioctls);
	assert_int_equal(stats.ioctls, rig.call_count);
	assert_int_equal(stats.retries, report.retries);
	assert_int_equal(stats.waited_ns, report.waited_ns);
	assert_true(stats.retries > 0);
	assert_true(stats.waited_ns > 0);
	assert_int_equal(stats.bytes_private, 3 * rig.page);
	assert_int_equal(stats.conversions_failed, 1);
	/* A discard waits for pins of the library's. */
	waited = stats.waited_ns;
	left = 2;
	assert_int_equal(gmem_vm_pin(rig.vm, 8 * rig.page, 1, 0, &pin), 0);
	assert_int_equal(gmem_vm_discard(rig.vm, 8 * rig.page, rig.page, 0, NULL), -EAGAIN);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_true(stats.waited_ns > waited);
	/* And so does a change of the layout. */
	waited = stats.waited_ns;
	left = 2;
	assert_int_equal(gmem_vm_unmap(rig.vm, 0, 64 * rig.page), -EAGAIN);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_true(stats.waited_ns > waited);
	gmem_vm_unpin(rig.vm, &pin);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(each_field_is_exact, SMALL_PAGES),
		RIG_CASE(retries_and_time_are_counted, IN_PLACE),
	};

	return rig_run("counters", cases, sizeof(cases) / sizeof(cases[0]));
}
