// SPDX-License-Identifier: LGPL-2.1-or-later
/* SNP_LAUNCH_UPDATE of the simulator: arguments, progress, and what fails; in every mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "faults.h"
#include "test-sim-snp-guest.h"

/* Nothing is mapped there, though it is aligned. */
#define UNMAPPED ((void *)(uintptr_t)SNP_PAGE_SIZE)
#define PAGES GUEST_SOURCE_PAGES

static void add_plain_slot(struct guest *guest, uint64_t gpa, uint64_t size)
{
	struct gmem_kvm_userspace_memory_region2 region = {
		.slot = 100,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)(uintptr_t)guest_source,
	};

	assert_int_equal(guest_ioctl(guest, guest->vm, GMEM_KVM_SET_USER_MEMORY_REGION2, &region),
			 0);
}

static void check_arguments(enum guest_mode mode)
{
	const struct snp_launch_update good =
		guest_update_of(SNP_PAGE_NORMAL, GUEST_BASE, guest_source, 4096);
	static const uint8_t unknown_type[] = { 0, 2, 7, 0xff };
	struct snp_launch_update bad;
	struct guest guest;

	guest_launch_private(&guest, mode);
	add_plain_slot(&guest, 0x400000, sizeof(guest_source));
	bad = good, bad.len = 0;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	bad = good, bad.len = 4095;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	bad = good, bad.flags = 1;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	bad = good, bad.uaddr += 8;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	for (size_t i = 0; i < sizeof(unknown_type); i++) {
		bad = good, bad.type = unknown_type[i];
		guest_expect_refused(&guest, &bad, -EINVAL, 0);
	}
	bad = good, bad.gfn_start = (GUEST_BASE + GUEST_SIZE) / SNP_PAGE_SIZE;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	bad = good, bad.gfn_start = UINT64_MAX;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	/* Times the page size it is GUEST_BASE again. */
	bad = good, bad.gfn_start |= UINT64_C(1) << 60;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	bad = good, bad.gfn_start = 0x400000 / SNP_PAGE_SIZE;
	guest_expect_refused(&guest, &bad, -EINVAL, 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, UNMAPPED, NULL), -EFAULT);
	bad = good;
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &bad, NULL), 0);
	guest_free(&guest);
}

static void arguments(void **state)
{
	guest_for_each_mode(check_arguments);
}

/* No source: in place already where that is possible, else refused. */
static void no_source(void **state)
{
	struct snp_launch_update params = guest_update_of(SNP_PAGE_NORMAL, GUEST_BASE, NULL, 8192);
	struct guest guest;

	guest_fill_source();
	guest_launch_private(&guest, GUEST_LEGACY);
	guest_expect_refused(&guest, &params, -EINVAL, 0);
	guest_free(&guest);
	guest_launch_private(&guest, GUEST_IN_PLACE);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	assert_int_equal(params.len, 0);
	assert_int_equal(params.uaddr, 0);
	assert_int_equal(params.gfn_start, GUEST_BASE / SNP_PAGE_SIZE + 2);
	guest_free(&guest);
}

static void check_zero_ignores_source(enum guest_mode mode)
{
	static const uint64_t address[] = { 0, 1, 4096, UINT64_MAX };
	struct guest guest;

	guest_launch_private(&guest, mode);
	for (size_t i = 0; i < sizeof(address) / sizeof(address[0]); i++) {
		struct snp_launch_update params =
			guest_update_of(SNP_PAGE_ZERO, GUEST_BASE + i * 8192, NULL, 8192);

		params.uaddr = address[i];
		assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
		assert_int_equal(params.len, 0);
		assert_int_equal(params.uaddr, address[i]);
	}
	guest_free(&guest);
}

static void zero_ignores_source(void **state)
{
	guest_for_each_mode(check_zero_ignores_source);
}

static void check_progress_written_back(enum guest_mode mode)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_NORMAL, GUEST_BASE, guest_source, 3 * SNP_PAGE_SIZE);
	struct guest guest;
	uint32_t error = 0x55;

	guest_launch_private(&guest, mode);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, &error), 0);
	assert_int_equal(params.gfn_start, GUEST_BASE / SNP_PAGE_SIZE + 3);
	assert_int_equal(params.uaddr, (uintptr_t)guest_source + 3 * SNP_PAGE_SIZE);
	assert_int_equal(params.len, 0);
	assert_int_equal(error, 0x55);
	guest_free(&guest);
}

static void progress_written_back(void **state)
{
	guest_for_each_mode(check_progress_written_back);
}

static void check_stops_at_the_slots_end(enum guest_mode mode)
{
	uint64_t last = GUEST_BASE + GUEST_SIZE - SNP_PAGE_SIZE;
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_NORMAL, last, guest_source, 8192);
	struct guest guest;

	guest_launch_private(&guest, mode);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	assert_int_equal(params.len, SNP_PAGE_SIZE);
	assert_int_equal(params.gfn_start, last / SNP_PAGE_SIZE + 1);
	/* Nothing is there. */
	guest_expect_refused(&guest, &params, -EINVAL, 0);
	guest_add_slot(&guest, GUEST_BASE + GUEST_SIZE, SNP_PAGE_SIZE);
	assert_int_equal(guest_convert(&guest, GUEST_BASE + GUEST_SIZE, SNP_PAGE_SIZE, true), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	assert_int_equal(params.len, 0);
	guest_free(&guest);
}

static void stops_at_the_slots_end(void **state)
{
	guest_for_each_mode(check_stops_at_the_slots_end);
}

static void stops_after_some_pages(void **state)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_ZERO, GUEST_BASE, NULL, 5 * SNP_PAGE_SIZE);
	struct guest guest;

	guest_new_with(&guest, GUEST_LEGACY, GMEM_SIM_SNP_PAGES, 2);
	guest_add_slot(&guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	for (uint64_t left = 5; left > 0; left = left > 2 ? left - 2 : 0) {
		assert_int_equal(params.len, left * SNP_PAGE_SIZE);
		assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	}
	assert_int_equal(params.len, 0);
	guest_free(&guest);
}

/* Success up to the page, and EIO when called again with what is left. */
static void check_stops_at_a_shared_page(enum guest_mode mode)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_NORMAL, GUEST_BASE, guest_source, PAGES * SNP_PAGE_SIZE);
	uint64_t shared = GUEST_BASE + 3 * SNP_PAGE_SIZE;
	struct guest guest;

	guest_launch_private(&guest, mode);
	assert_int_equal(guest_convert(&guest, shared, SNP_PAGE_SIZE, false), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	assert_int_equal(params.gfn_start, shared / SNP_PAGE_SIZE);
	assert_int_equal(params.uaddr, (uintptr_t)guest_source + 3 * SNP_PAGE_SIZE);
	assert_int_equal(params.len, (PAGES - 3) * SNP_PAGE_SIZE);
	guest_expect_refused(&guest, &params, -EIO, 0);
	assert_int_equal(guest_convert(&guest, shared, SNP_PAGE_SIZE, true), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	assert_int_equal(params.len, 0);
	guest_free(&guest);
}

static void stops_at_a_shared_page(void **state)
{
	guest_for_each_mode(check_stops_at_a_shared_page);
}

static void check_populated_once(enum guest_mode mode)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_UNMEASURED, GUEST_BASE, guest_source, 4 * SNP_PAGE_SIZE);
	struct snp_launch_update third =
		guest_update_of(SNP_PAGE_ZERO, GUEST_BASE + 2 * SNP_PAGE_SIZE, NULL, SNP_PAGE_SIZE);
	struct guest guest;

	guest_launch_private(&guest, mode);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &third, NULL), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	assert_int_equal(params.len, 2 * SNP_PAGE_SIZE);
	guest_expect_refused(&guest, &params, -EIO, 0);
	guest_free(&guest);
}

static void populated_once(void **state)
{
	guest_for_each_mode(check_populated_once);
}

static void check_source_faults(enum guest_mode mode)
{
	uint8_t *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct snp_launch_update params = guest_update_of(SNP_PAGE_NORMAL, GUEST_BASE, two, 8192);
	struct guest guest;

	assert_ptr_not_equal(two, MAP_FAILED);
	assert_int_equal(mprotect(two + SNP_PAGE_SIZE, SNP_PAGE_SIZE, PROT_NONE), 0);
	guest_launch_private(&guest, mode);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	assert_int_equal(params.len, SNP_PAGE_SIZE);
	guest_expect_refused(&guest, &params, -EIO, 0);
	assert_int_equal(mprotect(two + SNP_PAGE_SIZE, SNP_PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	guest_free(&guest);
	munmap(two, 8192);
}

static void source_faults(void **state)
{
	guest_for_each_mode(check_source_faults);
}

static void check_without_the_device(enum guest_mode mode)
{
	struct snp_launch_update params = guest_update_of(SNP_PAGE_ZERO, GUEST_BASE, NULL, 4096);
	struct guest guest;
	int sev_fd;

	guest_launch_private(&guest, mode);
	sev_fd = guest.sev_fd;
	guest.sev_fd = -1;
	guest_expect_refused(&guest, &params, -EIO, 0);
	guest.sev_fd = sev_fd;
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	guest_free(&guest);
}

static void without_the_device(void **state)
{
	guest_for_each_mode(check_without_the_device);
}

static void check_after_finish(enum guest_mode mode)
{
	struct snp_launch_update params = guest_update_of(SNP_PAGE_ZERO, GUEST_BASE, NULL, 4096);
	struct guest guest;

	guest_launch_private(&guest, mode);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	guest_expect_refused(&guest, &params, -EIO, 0x3);
	guest_free(&guest);
}

static void after_finish(void **state)
{
	guest_for_each_mode(check_after_finish);
}

/* Whatever the firmware says, and the same command works the next time. */
static void firmware_refuses(void **state)
{
	struct snp_launch_update params = guest_update_of(SNP_PAGE_ZERO, GUEST_BASE, NULL, 4096);
	struct guest guest;

	guest_launch_private(&guest, GUEST_LEGACY);
	assert_int_equal(gmem_sim_fail(guest.sim, GMEM_SYS_IOCTL,
				       (uint64_t)SNP_CMD_LAUNCH_UPDATE << 32 |
					       SIM_KVM_MEMORY_ENCRYPT_OP,
				       1, -EIO, 0x19),
			 0);
	guest_expect_refused(&guest, &params, -EIO, 0x19);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	guest_free(&guest);
}

/* The slot outlives its file's last descriptor and mapping; the memory does not. */
static void file_is_gone(void **state)
{
	struct snp_launch_update params = guest_update_of(SNP_PAGE_ZERO, GUEST_BASE, NULL, 4096);
	struct guest guest;

	guest_launch_private(&guest, GUEST_SPLIT);
	assert_int_equal(
		guest.kernel.call(GMEM_SYS_CLOSE,
				  (uint64_t[GMEM_SYS_ARGUMENTS]){ (uint64_t)guest.slot[0].fd },
				  guest.kernel.opaque),
		0);
	guest.slots = 0;
	munmap(guest.slot[0].shared, guest.slot[0].size);
	guest_expect_refused(&guest, &params, -EIO, 0);
	guest_free(&guest);
}

/* Each thread has its own pages, and all want those at the end. */
struct thread {
	pthread_t thread;
	struct guest *guest;
	uint64_t gpa;
	int result;
	int result_of_last;
};

#define THREADS 4u

static void *update_from_a_thread(void *opaque)
{
	struct thread *thread = opaque;

	thread->result = guest_update(thread->guest, SNP_PAGE_NORMAL, thread->gpa, guest_source,
				      sizeof(guest_source), NULL);
	thread->result_of_last = guest_update(thread->guest, SNP_PAGE_NORMAL,
					      GUEST_BASE + GUEST_SIZE - SNP_PAGE_SIZE, guest_source,
					      SNP_PAGE_SIZE, NULL);
	return NULL;
}

static void check_threads(enum guest_mode mode)
{
	struct thread thread[THREADS];
	struct guest guest;
	unsigned int winners = 0;

	guest_launch_private(&guest, mode);
	for (size_t i = 0; i < THREADS; i++) {
		thread[i] = (struct thread){ .guest = &guest,
					     .gpa = GUEST_BASE + i * sizeof(guest_source) };
		assert_int_equal(pthread_create(&thread[i].thread, NULL, update_from_a_thread,
						&thread[i]),
				 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(thread[i].thread, NULL), 0);
		assert_int_equal(thread[i].result, 0);
		winners += thread[i].result_of_last == 0;
	}
	assert_int_equal(winners, 1);
	guest_free(&guest);
}

static void threads(void **state)
{
	guest_for_each_mode(check_threads);
}

/* Every allocation of an UPDATE fails once: EIO, nothing measured, and it works the next time. */
static void check_out_of_memory(enum guest_mode mode)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_NORMAL, GUEST_BASE, guest_source, 4096);
	uint64_t failed = 0;

	for (uint64_t nth = 1;; nth++) {
		struct snp_launch_update copy = params;
		uint8_t digest[2][SNP_DIGEST_SIZE];
		struct guest guest;
		int result;

		guest_launch_private(&guest, mode);
		guest_get_digest(&guest, digest[0]);
		allocations_fail(nth);
		result = guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &copy, NULL);
		failed = allocations_failed();
		allocations_off();
		if (result) {
			assert_int_equal(result, -EIO);
			assert_memory_equal(&copy, &params, sizeof(copy));
			guest_get_digest(&guest, digest[1]);
			assert_memory_equal(digest[0], digest[1], sizeof(digest[0]));
			assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &copy, NULL),
					 0);
		}
		guest_free(&guest);
		if (!failed) {
			assert_true(nth > 1);
			break;
		}
	}
}

static void out_of_memory(void **state)
{
	guest_for_each_mode(check_out_of_memory);
}

static void init2_out_of_memory(void **state)
{
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	allocations_fail(1);
	assert_int_equal(guest_init2(&guest, 0), -ENOMEM);
	allocations_off();
	assert_int_equal(guest_init2(&guest, 0), 0);
	guest_free(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments),
		cmocka_unit_test(no_source),
		cmocka_unit_test(zero_ignores_source),
		cmocka_unit_test(progress_written_back),
		cmocka_unit_test(stops_at_the_slots_end),
		cmocka_unit_test(stops_after_some_pages),
		cmocka_unit_test(stops_at_a_shared_page),
		cmocka_unit_test(populated_once),
		cmocka_unit_test(source_faults),
		cmocka_unit_test(without_the_device),
		cmocka_unit_test(after_finish),
		cmocka_unit_test(firmware_refuses),
		cmocka_unit_test(file_is_gone),
		cmocka_unit_test(threads),
		cmocka_unit_test(out_of_memory),
		cmocka_unit_test(init2_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
