// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every error of gmem_vm_convert() and gmem_vm_convert_ranges(): each is a documented one, has its
 * message and its report, and leaves the states as the report says. A test is named after the
 * errno that it provokes.
 */
#include "guest.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <gmem/access.h>
#include <gmem/convert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define MS UINT64_C(1000000)

/* What a failed call must have left in its report. */
static void expect_report(const struct gmem_report *report, int error, uint32_t stage, uint64_t gpa)
{
	static const uint64_t zeros[ARRAY_SIZE(((struct gmem_report *)0)->reserved)];

	assert_int_equal(report->error, error);
	assert_int_equal(report->stage, stage);
	assert_int_equal(report->gpa, gpa);
	assert_memory_equal(report->reserved, zeros, sizeof(zeros));
}

/* One range through both functions: refused, with one message, and nothing done. */
static void expect_refused(struct guest *guest, struct gmem_range range, uint32_t to,
			   uint32_t flags, int error, uint32_t level, const char *word,
			   uint64_t gpa)
{
	struct gmem_report report;
	struct picture before;

	picture_take(&guest->world, &before);
	fake_kvm_reset_calls(guest->world.fake);
	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(gmem_vm_convert(guest->vm, range.gpa, range.size, to, flags, &report),
			 error);
	expect_report(&report, error, GMEM_STAGE_PLAN, gpa);
	expect_one_message(guest->world.logs, level, "gmem_vm_convert:", word);
	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(gmem_vm_convert_ranges(guest->vm, &range, 1, to, flags, &report), error);
	expect_report(&report, error, GMEM_STAGE_PLAN, gpa);
	expect_one_message(guest->world.logs, level, "gmem_vm_convert_ranges:", word);
	assert_int_equal(gmem_vm_convert(guest->vm, range.gpa, range.size, to, flags, NULL), error);
	expect_one_message(guest->world.logs, level, word);
	assert_int_equal(fake_kvm_call_count(guest->world.fake), 0);
	assert_same_picture(&guest->world, &before);
}

static void gmem_vm_convert_EINVAL(void **unused)
{
	static const struct {
		struct gmem_range range;
		uint32_t to, flags, level;
		const char *word;
	} cases[] = {
		{ { AT(0x28), AT(1) }, 0, 0, GMEM_LOG_ERROR, "to is 0;" },
		{ { AT(0x28), AT(1) }, 3, 0, GMEM_LOG_ERROR, "to is 3;" },
		{ { AT(0x28), AT(1) }, GMEM_HOLE, 0, GMEM_LOG_ERROR, "to is 4;" },
		{ { AT(0x28), AT(1) }, GMEM_PRIVATE, 1u << 5, GMEM_LOG_ERROR, "flags are 0x20" },
		{ { AT(0x28), AT(1) }, GMEM_SHARED, 1u << 31, GMEM_LOG_ERROR, "0x80000000" },
		{ { AT(0x28), 0 }, GMEM_PRIVATE, 0, GMEM_LOG_DEBUG, "gpa 0x28000, 0 bytes" },
		{ { AT(0x28) + 1, AT(1) }, GMEM_PRIVATE, 0, GMEM_LOG_DEBUG, "gpa 0x28001" },
		{ { AT(0x28), 1 }, GMEM_SHARED, 0, GMEM_LOG_DEBUG, "gpa 0x28000, 0x1 bytes" },
		{ { -AT(1), AT(1) }, GMEM_SHARED, 0, GMEM_LOG_DEBUG, "0xfffffffffffff000" },
		{ { AT(1), -AT(1) }, GMEM_SHARED, 0, GMEM_LOG_DEBUG, "gpa 0x1000" },
	};
	struct guest guest;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		expect_refused(&guest, cases[i].range, cases[i].to, cases[i].flags, -EINVAL,
			       cases[i].level, cases[i].word, 0);
	guest_close(&guest);
	expect_null_refusal(gmem_vm_convert(NULL, 0, AT(1), GMEM_SHARED, 0, NULL),
			    "gmem_vm_convert: vm is NULL");
}

static void gmem_vm_convert_ranges_EINVAL(void **unused)
{
	static const struct gmem_range orders[][3] = {
		{ { AT(0x2a), AT(1) }, { AT(0x28), AT(1) }, { AT(0x30), AT(1) } },
		{ { AT(0x28), AT(1) }, { AT(0x30), AT(2) }, { AT(0x31), AT(1) } },
		{ { AT(0x28), AT(2) }, { AT(0x28), AT(2) }, { AT(0x31), AT(1) } },
		{ { AT(0x28), AT(1) }, { AT(0x2a), AT(1) }, { AT(0x2b), 0 } },
	};
	struct gmem_report report;
	struct guest guest;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		memset(&report, 0xa5, sizeof(report));
		assert_int_equal(gmem_vm_convert_ranges(guest.vm, orders[i], 3, GMEM_PRIVATE, 0,
							&report),
				 -EINVAL);
		expect_report(&report, -EINVAL, GMEM_STAGE_PLAN, 0);
		expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_convert_ranges",
				   i == 3 ? "must not be empty" : "ascending order");
	}
	assert_int_equal(gmem_vm_convert_ranges(guest.vm, NULL, 1, GMEM_PRIVATE, 0, &report),
			 -EINVAL);
	expect_report(&report, -EINVAL, GMEM_STAGE_PLAN, 0);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "ranges is NULL");
	assert_int_equal(gmem_vm_convert_ranges(guest.vm, orders[0], 0, GMEM_PRIVATE, 0, &report),
			 -EINVAL);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "count is 0");
	guest_close(&guest);
	expect_null_refusal(gmem_vm_convert_ranges(NULL, orders[0], 1, GMEM_SHARED, 0, NULL),
			    "gmem_vm_convert_ranges: vm is NULL");
}

static void gmem_vm_convert_ENOENT(void **unused)
{
	const struct world_config refuse = { .flags = GMEM_VM_GAPS_REFUSE };
	const struct gmem_range hole = { AT(0x36), AT(4) }, reserved = { AT(RESERVED_PAGE), AT(1) };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	expect_refused(&guest, hole, GMEM_PRIVATE, 0, -ENOENT, GMEM_LOG_DEBUG,
		       "gpa 0x38000 cannot be made private: there is nothing", AT(HOLE_PAGE));
	expect_refused(&guest, reserved, GMEM_PRIVATE, 0, -ENOENT, GMEM_LOG_DEBUG, "reserved",
		       AT(RESERVED_PAGE));
	assert_int_equal(gmem_vm_convert(guest.vm, AT(0x34), AT(0x20), GMEM_SHARED, 0, NULL), 0);
	guest_close(&guest);
	guest_open(&guest, &fake_kvm_linux_6_18_sw, &refuse);
	expect_refused(&guest, hole, GMEM_SHARED, 0, -ENOENT, GMEM_LOG_DEBUG, "gpa 0x38000",
		       AT(HOLE_PAGE));
	guest_close(&guest);
}

static void gmem_vm_convert_EACCES(void **unused)
{
	const struct world_config refuse = { .flags = GMEM_VM_GAPS_REFUSE };
	const struct world_config skip = { .flags = GMEM_VM_GAPS_SKIP };
	const struct gmem_range ram = { AT(0x26), AT(4) }, rom = { AT(ROM_PAGE), AT(1) };
	const struct gmem_range device = { AT(DEVICE_PAGE), AT(1) };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, &skip);
	expect_refused(&guest, ram, GMEM_PRIVATE, 0, -EACCES, GMEM_LOG_DEBUG,
		       "memory that cannot be private, region other", AT(0x26));
	expect_refused(&guest, rom, GMEM_PRIVATE, 0, -EACCES, GMEM_LOG_DEBUG, "read-only memory",
		       AT(ROM_PAGE));
	assert_int_equal(gmem_vm_convert(guest.vm, AT(DEVICE_PAGE), AT(8), GMEM_PRIVATE, 0, NULL),
			 0);
	guest_close(&guest);
	guest_open(&guest, &fake_kvm_linux_6_18_sw, &refuse);
	expect_refused(&guest, device, GMEM_PRIVATE, 0, -EACCES, GMEM_LOG_DEBUG, "a device's",
		       AT(DEVICE_PAGE));
	expect_refused(&guest, device, GMEM_SHARED, 0, -EACCES, GMEM_LOG_DEBUG, "a device's",
		       AT(DEVICE_PAGE));
	assert_int_equal(gmem_vm_convert(guest.vm, ram.gpa, ram.size, GMEM_SHARED, 0, NULL), 0);
	guest_close(&guest);
}

static void gmem_vm_convert_EOPNOTSUPP_without_private_memory(void **unused)
{
	static const struct fake_kvm_config *const kvms[] = { &fake_kvm_old, &fake_kvm_linux_6_18,
							      &fake_kvm_in_place_default };
	struct gmem_report report;
	struct gmem_region *region;
	struct world world;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kvms); i++) {
		world_open(&world, &(struct world_config){ .kvm = kvms[i] });
		region = world_region(&world, "ram", 4, GMEM_BACKING_PLAIN, 0);
		assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, 4 * world.page, AUTO, 0), 0);
		assert_int_equal(gmem_vm_convert(world.vm, 0, world.page, GMEM_PRIVATE, 0, &report),
				 -EOPNOTSUPP);
		expect_report(&report, -EOPNOTSUPP, GMEM_STAGE_PLAN, 0);
		expect_one_message(world.logs, GMEM_LOG_DEBUG, "gmem_vm_convert: VM descriptor",
				   "no private memory");
		assert_int_equal(gmem_vm_convert(world.vm, 0, world.page, GMEM_SHARED, 0, &report),
				 0);
		assert_int_equal(report.ioctls, 0);
		gmem_region_free(region);
		world_close(&world);
	}
}

/* Where converting back would destroy contents, which is so unless the VM's type says otherwise. */
static void gmem_vm_convert_EOPNOTSUPP_rollback(void **unused)
{
	static const uint32_t types[] = { GMEM_VM_TYPE_UNKNOWN, GMEM_VM_TYPE_SNP,
					  GMEM_VM_TYPE_TDX };
	const struct gmem_range range = { AT(0x28), AT(1) };
	struct guest guest;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		const struct world_config config = { .type = types[i] };

		guest_open(&guest, &fake_kvm_linux_6_18_sw, &config);
		expect_refused(&guest, range, GMEM_PRIVATE, GMEM_CONVERT_ROLLBACK, -EOPNOTSUPP,
			       GMEM_LOG_ERROR, "gmem_vm_config_set_type()", 0);
		guest_close(&guest);
	}
}

static void gmem_vm_convert_EOPNOTSUPP_rollback_of_too_many_runs(void **unused)
{
	const struct world_config config = { .type = GMEM_VM_TYPE_SW_PROTECTED };
	struct gmem_range range = { AT(0x1000), 0 };
	struct gmem_region *large;
	struct guest guest;
	uint64_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, &config);
	large = world_region(&guest.world, "large", 300, GMEM_BACKING_SPLIT, GMEM_SHARED);
	for (i = 1; i < 300; i += 2)
		world_set_private(large, i, 1, true);
	assert_int_equal(gmem_vm_map(guest.vm, AT(0x1000), large, 0, AT(300), AUTO, 0), 0);
	/* As many as there may be are fine. */
	range.size = AT(2 * GMEM_ROLLBACK_RUNS + 1);
	expect_refused(&guest, range, GMEM_PRIVATE, GMEM_CONVERT_ROLLBACK, -EOPNOTSUPP,
		       GMEM_LOG_DEBUG, "more than 128 runs", 0);
	range.size -= AT(1);
	assert_int_equal(gmem_vm_convert(guest.vm, range.gpa, range.size, GMEM_PRIVATE,
					 GMEM_CONVERT_ROLLBACK, NULL),
			 0);
	gmem_region_free(large);
	guest_close(&guest);
}

static void convert_while_paused(struct world *world)
{
	struct guest *guest = world->opaque;
	struct gmem_report report;

	/* Wherever it is, and with whatever flag. */
	assert_int_equal(gmem_vm_convert(guest->vm, AT(0x28), AT(1), GMEM_PRIVATE,
					 GMEM_CONVERT_NOWAIT, &report),
			 -EDEADLK);
	expect_report(&report, -EDEADLK, GMEM_STAGE_PREPARE, 0);
	expect_one_message(world->logs, GMEM_LOG_ERROR, "gmem_vm_convert:", "inside a callback");
}

static void gmem_vm_convert_EDEADLK(void **unused)
{
	const struct world_config config = { .pausing = true };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, &config);
	guest.world.while_paused = convert_while_paused;
	assert_int_equal(gmem_vm_unmap(guest.vm, AT(0x10), AT(16)), 0);
	assert_int_equal(guest.world.pauses, 1);
	guest_close(&guest);
}

static void gmem_vm_convert_EAGAIN_while_others_are_at_work(void **unused)
{
	struct gmem_report report;
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	guest_begin_work(&guest, AT(0x2a), AT(1));
	assert_int_equal(gmem_vm_convert(guest.vm, AT(0x28), AT(4), GMEM_PRIVATE,
					 GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	expect_report(&report, -EAGAIN, GMEM_STAGE_PREPARE, AT(0x2a));
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "another operation is at work");
	assert_int_equal(gmem_vm_convert(guest.vm, AT(0x28), AT(2), GMEM_PRIVATE,
					 GMEM_CONVERT_NOWAIT, &report),
			 0);
	guest_end_work(&guest);
	guest_close(&guest);
}

static int pass_over(struct guest *guest, const struct gmem_report *so_far)
{
	assert_int_equal(so_far->stage, GMEM_STAGE_COMMIT);
	return GMEM_RETRY_SKIP;
}

static int later(struct guest *guest, const struct gmem_report *so_far)
{
	return guest->asked == 5 ? GMEM_RETRY_LATER : GMEM_RETRY_AGAIN;
}

/* A pinned page, to the last: by the deadline, by LATER, passed over. All others are converted. */
static void gmem_vm_convert_EAGAIN_pinned(void **unused)
{
	static const struct {
		int (*retry)(struct guest *guest, const struct gmem_report *so_far);
		unsigned int asked;
		uint32_t skipped;
	} cases[] = { { NULL, 0, 0 }, { later, 5, 0 }, { pass_over, 1, 1 } };
	const struct world_config config = { .retry = guest_retry, .deadline_ns = 5 * MS };
	const struct fake_kvm_config *kvms[] = { &fake_kvm_linux_6_18_sw, &fake_kvm_in_place };
	struct gmem_report report;
	struct gmem_pin pin;
	struct guest guest;
	size_t i;

	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		guest_open(&guest, kvms[i % 2], &config);
		guest.own_clock = true;
		guest.retry = cases[i / 2].retry;
		assert_int_equal(gmem_vm_pin(guest.vm, AT(0x29) + 1, 1, 0, &pin), 0);
		assert_int_equal(gmem_vm_convert(guest.vm, AT(0x28), AT(4), GMEM_PRIVATE, 0,
						 &report),
				 -EAGAIN);
		expect_report(&report, -EAGAIN, GMEM_STAGE_COMMIT, AT(0x29));
		assert_int_equal(report.size, AT(1));
		assert_int_equal(report.offset, AT(1));
		assert_int_equal(report.kernel_error, 0);
		assert_int_equal(report.converted, AT(3));
		assert_int_equal(report.skipped, cases[i / 2].skipped);
		if (cases[i / 2].asked)
			assert_int_equal(guest.asked, cases[i / 2].asked);
		else
			assert_int_equal(report.waited_ns, 5 * MS);
		expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_pin() holds a page");
		assert_int_equal(gmem_vm_get_state(guest.vm, AT(0x29), AT(1)), GMEM_SHARED);
		assert_int_equal(gmem_vm_get_state(guest.vm, AT(0x2a), AT(2)), GMEM_PRIVATE);
		gmem_vm_unpin(guest.vm, &pin);
		guest_close(&guest);
	}
}

static void gmem_vm_convert_EAGAIN_in_use_by_others(void **unused)
{
	struct gmem_report report;
	struct guest guest;
	int fd;

	guest_open(&guest, &fake_kvm_in_place, NULL);
	fd = world_region_info(guest.private).guest_memfd;
	fake_kvm_set_busy_page(guest.world.fake, fd, AT(2));
	assert_int_equal(gmem_vm_convert(guest.vm, AT(0x28), AT(4), GMEM_PRIVATE,
					 GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	expect_report(&report, -EAGAIN, GMEM_STAGE_COMMIT, AT(0x2a));
	assert_int_equal(report.kernel_error, -EAGAIN);
	assert_int_equal(report.converted, AT(3));
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "the kernel sees a page in use");
	fake_kvm_set_busy_page(guest.world.fake, fd, FAKE_NO_PAGE);
	assert_int_equal(gmem_vm_convert(guest.vm, AT(0x28), AT(4), GMEM_PRIVATE, 0, NULL), 0);
	guest_close(&guest);
}

/* Of two pages in use the first is reported, with what is in the way of that one. */
static void gmem_vm_convert_EAGAIN_pinned_below_a_page_in_use(void **unused)
{
	const struct world_config config = { .retry = guest_retry, .deadline_ns = 5 * MS };
	struct gmem_report report;
	struct gmem_pin pin;
	struct guest guest;
	int fd;

	guest_open(&guest, &fake_kvm_in_place, &config);
	guest.own_clock = true;
	fd = world_region_info(guest.private).guest_memfd;
	fake_kvm_set_busy_page(guest.world.fake, fd, AT(2));
	assert_int_equal(gmem_vm_pin(guest.vm, AT(0x29), 1, 0, &pin), 0);
	assert_int_equal(gmem_vm_convert(guest.vm, AT(0x28), AT(4), GMEM_PRIVATE, 0, &report),
			 -EAGAIN);
	expect_report(&report, -EAGAIN, GMEM_STAGE_COMMIT, AT(0x29));
	assert_int_equal(report.kernel_error, 0);
	assert_int_equal(report.converted, AT(2));
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_pin() holds a page");
	gmem_vm_unpin(guest.vm, &pin);
	fake_kvm_set_busy_page(guest.world.fake, fd, FAKE_NO_PAGE);
	guest_close(&guest);
}

/* The kernel fails: its error, and what became of it. */
static void kernel_gives(const struct fake_kvm_config *kvm, uint32_t request, int kernel_error,
			 int error)
{
	struct gmem_report report;
	struct picture before;
	struct guest guest;

	guest_open(&guest, kvm, NULL);
	picture_take(&guest.world, &before);
	faults_fail(guest.world.faults, GMEM_SYS_IOCTL, request, 1, kernel_error);
	assert_int_equal(gmem_vm_convert(guest.vm, AT(0x28), AT(2), GMEM_PRIVATE, 0, &report),
			 error);
	assert_int_equal(faults_failed(guest.world.faults), 1);
	faults_off(guest.world.faults);
	expect_report(&report, error, GMEM_STAGE_COMMIT, AT(0x28));
	assert_int_equal(report.size, AT(2));
	assert_int_equal(report.kernel_error, -kernel_error);
	assert_int_equal(report.converted, 0);
	assert_int_equal(report.ioctls, 1);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "VM descriptor", "gpa 0x28000",
			   "private0", "KVM_SET_MEMORY_ATTRIBUTES");
	assert_same_picture(&guest.world, &before);
	guest_close(&guest);
}

static void gmem_vm_convert_ENOMEM(void **unused)
{
	kernel_gives(&fake_kvm_linux_6_18_sw, GMEM_KVM_SET_MEMORY_ATTRIBUTES, ENOMEM, -ENOMEM);
	kernel_gives(&fake_kvm_in_place, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, ENOMEM, -ENOMEM);
}

static void gmem_vm_convert_EIO(void **unused)
{
	static const int errors[] = { EINVAL, EIO, EBADF, ENOTTY, EPERM, EFAULT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		kernel_gives(&fake_kvm_linux_6_18_sw, GMEM_KVM_SET_MEMORY_ATTRIBUTES, errors[i],
			     -EIO);
		kernel_gives(&fake_kvm_in_place, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, errors[i], -EIO);
	}
}

static int convert_in_child(void *opaque)
{
	struct gmem_report report = { 0 };
	int rc = gmem_vm_convert(((struct guest *)opaque)->vm, AT(0x28), AT(1), GMEM_PRIVATE, 0,
				 &report);

	return report.error == rc && report.stage == GMEM_STAGE_PLAN ? rc : 1;
}

static int convert_ranges_in_child(void *opaque)
{
	const struct gmem_range range = { AT(0x28), AT(1) };

	return gmem_vm_convert_ranges(((struct guest *)opaque)->vm, &range, 1, GMEM_PRIVATE, 0,
				      NULL);
}

static void gmem_vm_convert_EIO_in_a_child(void **unused)
{
	static const struct forked_call calls[] = {
		{ "gmem_vm_convert:", convert_in_child },
		{ "gmem_vm_convert_ranges:", convert_ranges_in_child },
	};
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	expect_eio_in_child(&guest.world, calls, ARRAY_SIZE(calls), &guest);
	guest_close(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gmem_vm_convert_EINVAL),
		cmocka_unit_test(gmem_vm_convert_ranges_EINVAL),
		cmocka_unit_test(gmem_vm_convert_ENOENT),
		cmocka_unit_test(gmem_vm_convert_EACCES),
		cmocka_unit_test(gmem_vm_convert_EOPNOTSUPP_without_private_memory),
		cmocka_unit_test(gmem_vm_convert_EOPNOTSUPP_rollback),
		cmocka_unit_test(gmem_vm_convert_EOPNOTSUPP_rollback_of_too_many_runs),
		cmocka_unit_test(gmem_vm_convert_EDEADLK),
		cmocka_unit_test(gmem_vm_convert_EAGAIN_while_others_are_at_work),
		cmocka_unit_test(gmem_vm_convert_EAGAIN_pinned),
		cmocka_unit_test(gmem_vm_convert_EAGAIN_in_use_by_others),
		cmocka_unit_test(gmem_vm_convert_EAGAIN_pinned_below_a_page_in_use),
		cmocka_unit_test(gmem_vm_convert_ENOMEM),
		cmocka_unit_test(gmem_vm_convert_EIO),
		cmocka_unit_test(gmem_vm_convert_EIO_in_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
