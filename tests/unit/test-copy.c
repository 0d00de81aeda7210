// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of copies to and from guest memory: byte by byte over sections, nothing done on failure,
 * and checked copies whose system call does less than it was asked for, or nothing.
 */
#include "guest.h"

#include "random.h"

#include <errno.h>
#include <gmem/access.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* Needs what stands above. */
#include <cmocka.h>

#define WAIT GMEM_ACCESS_WAIT
#define CHECKED GMEM_ACCESS_CHECKED

/* The pages from 0x10 to 0x2c: three regions in four sections, all shared. */
#define FIRST AT(0x10)
#define BYTES AT(0x1c)

static char *host_at(const struct guest *guest, uint64_t gpa)
{
	if (gpa < AT(0x20))
		return guest_host(guest->ram) + (gpa - AT(0x10));
	if (gpa < AT(0x28))
		return guest_host(guest->other) + (gpa - AT(0x20));
	return guest_host(guest->private) + (gpa - AT(0x28));
}

/* What the host sees, page by page; and sets it. */
static void load_all(const struct guest *guest, char *bytes)
{
	uint64_t at;

	for (at = 0; at < BYTES; at += AT(1))
		memcpy(bytes + at, host_at(guest, FIRST + at), AT(1));
}

static void fill_all(const struct guest *guest, char *bytes, uint64_t *seed)
{
	uint64_t at;

	for (at = 0; at < BYTES; at++)
		bytes[at] = (char)random_next(seed);
	for (at = 0; at < BYTES; at += AT(1))
		memcpy(host_at(guest, FIRST + at), bytes + at, AT(1));
}

static void assert_untouched(const struct guest *guest, const char *expected)
{
	static char now[BYTES];

	load_all(guest, now);
	assert_memory_equal(now, expected, BYTES);
}

/* One read or write of a random part, against a copy of all that is there. */
static void copy_once(struct guest *guest, char *expected, uint64_t *seed)
{
	static char buffer[BYTES + 16], before[BYTES + 16];
	uint64_t at = random_below(seed, BYTES);
	uint64_t size = 1 + random_below(seed, random_below(seed, 2) ? 100 : BYTES);
	uint32_t flags = (uint32_t)random_below(seed, 4) << 2;
	uint64_t i;

	if (size > BYTES - at)
		size = BYTES - at;
	for (i = 0; i < sizeof(buffer); i++)
		buffer[i] = (char)random_next(seed);
	memcpy(before, buffer, sizeof(buffer));
	if (random_below(seed, 2)) {
		assert_int_equal(gmem_vm_read(guest->vm, FIRST + at, buffer + 8, size, flags), 0);
		assert_memory_equal(buffer + 8, expected + at, size);
		assert_memory_equal(buffer, before, 8);
		assert_memory_equal(buffer + 8 + size, before + 8 + size,
				    sizeof(buffer) - 8 - size);
	} else {
		assert_int_equal(gmem_vm_write(guest->vm, FIRST + at, buffer + 8, size, flags), 0);
		memcpy(expected + at, buffer + 8, size);
		assert_memory_equal(buffer, before, sizeof(buffer));
	}
	assert_untouched(guest, expected);
	assert_false(guest_is_pinned(guest, 0, -AT(1)));
}

static void copies_are_exact_over_sections(void **unused)
{
	static char expected[BYTES];
	uint64_t seed = random_seed("copies");
	struct guest guest;
	unsigned int round;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	fill_all(&guest, expected, &seed);
	for (round = 0; round < 150; round++)
		copy_once(&guest, expected, &seed);
	guest_close(&guest);
}

static void copies_make_no_call_unless_they_are_checked(void **unused)
{
	struct guest guest;
	char byte;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x20) - 1, &byte, 1, WAIT), 0);
	assert_int_equal(gmem_vm_write(guest.vm, AT(0x20) - 1, &byte, 1, 0), 0);
	assert_int_equal(fake_kvm_call_count(guest.world.fake), 0);
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x20) - 1, &byte, 1, CHECKED), 0);
	assert_int_equal(fake_kvm_count(guest.world.fake, GMEM_SYS_PROCESS_VM_READV), 1);
	assert_int_equal(gmem_vm_write(guest.vm, AT(0x20) - 1, &byte, 1, CHECKED), 0);
	assert_int_equal(fake_kvm_count(guest.world.fake, GMEM_SYS_PROCESS_VM_WRITEV), 1);
	guest_close(&guest);
}

struct refusal {
	uint64_t gpa, size;
	uint32_t flags;
	int error;
	uint32_t level;
	const char *word;
	bool only_write;
};

static const struct refusal refusals[] = {
	{ FIRST, 0, 0, -EINVAL, GMEM_LOG_DEBUG, "gpa 0x10000, 0 bytes", false },
	{ UINT64_MAX, 1, 0, -EINVAL, GMEM_LOG_DEBUG, "end below 2^64", false },
	{ FIRST, 1, GMEM_ACCESS_WRITE, -EINVAL, GMEM_LOG_ERROR, "flags are 0x1,", false },
	{ FIRST, 1, GMEM_ACCESS_PARTIAL, -EINVAL, GMEM_LOG_ERROR, "flags are 0x2,", false },
	{ FIRST, 1, 1u << 4, -EINVAL, GMEM_LOG_ERROR, "flags are 0x10,", false },
	{ AT(0x35), AT(4), 0, -ENOENT, GMEM_LOG_DEBUG, "at gpa 0x38000 nothing", false },
	{ 0, BYTES, CHECKED, -ENOENT, GMEM_LOG_DEBUG, "at gpa 0 nothing", false },
	{ AT(RESERVED_PAGE), 1, 0, -ENOENT, GMEM_LOG_DEBUG, "reserved", false },
	/* After much that could be copied. */
	{ FIRST, BYTES + 1, 0, -EACCES, GMEM_LOG_DEBUG, "private", false },
	{ FIRST, BYTES + 1, CHECKED | WAIT, -EACCES, GMEM_LOG_DEBUG, "private", false },
	{ AT(0x2b), AT(6), 0, -EACCES, GMEM_LOG_DEBUG, "private", false },
	{ AT(DEVICE_PAGE), 1, CHECKED, -EACCES, GMEM_LOG_DEBUG, "a device's memory", false },
	{ AT(ROM_PAGE), 1, 0, -EACCES, GMEM_LOG_DEBUG, "read-only", true },
};

/* gmem_vm_read and gmem_vm_write EINVAL, ENOENT, EACCES */
static void refused_copies_do_nothing(void **unused)
{
	static char expected[BYTES], buffer[2 * BYTES], before[2 * BYTES];
	uint64_t seed = random_seed("refused");
	struct guest guest;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	fill_all(&guest, expected, &seed);
	for (i = 0; i < sizeof(buffer); i++)
		before[i] = buffer[i] = (char)random_next(&seed);
	for (i = 0; i < 2 * ARRAY_SIZE(refusals); i++) {
		const struct refusal *refusal = &refusals[i / 2];
		int rc;

		if (i % 2)
			rc = gmem_vm_write(guest.vm, refusal->gpa, buffer, refusal->size,
					   refusal->flags);
		else if (refusal->only_write)
			continue;
		else
			rc = gmem_vm_read(guest.vm, refusal->gpa, buffer, refusal->size,
					  refusal->flags);
		expect_one_message(guest.world.logs, refusal->level, refusal->word);
		assert_int_equal(rc, refusal->error);
		assert_memory_equal(buffer, before, sizeof(buffer));
		assert_untouched(&guest, expected);
		assert_false(guest_is_pinned(&guest, 0, -AT(1)));
	}
	guest_close(&guest);
}

static void copies_EINVAL_null(void **unused)
{
	struct guest guest;
	char byte;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	assert_int_equal(gmem_vm_read(guest.vm, FIRST, NULL, 1, 0), -EINVAL);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "gmem_vm_read: buf is NULL");
	assert_int_equal(gmem_vm_write(guest.vm, FIRST, NULL, 1, 0), -EINVAL);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "gmem_vm_write: buf is NULL");
	guest_close(&guest);
	expect_null_refusal(gmem_vm_read(NULL, FIRST, &byte, 1, 0), "gmem_vm_read: vm is NULL");
	expect_null_refusal(gmem_vm_write(NULL, FIRST, &byte, 1, 0), "gmem_vm_write: vm is NULL");
}

static void read_only_memory_can_be_read(void **unused)
{
	struct guest guest;
	char bytes[8];

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	memcpy(guest_host(guest.rom) + AT(1) + 3, "firmware", 8);
	assert_int_equal(gmem_vm_read(guest.vm, AT(ROM_PAGE) + AT(1) + 3, bytes, 8, 0), 0);
	assert_memory_equal(bytes, "firmware", 8);
	guest_close(&guest);
}

static void copies_EAGAIN(void **unused)
{
	char bytes[2] = "ab";
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	guest_begin_work(&guest, AT(0x20), AT(1));
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x20) - 1, bytes, 2, 0), -EAGAIN);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_read", "at work");
	assert_int_equal(gmem_vm_write(guest.vm, AT(0x20) - 1, bytes, 2, CHECKED), -EAGAIN);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_write", "at work");
	assert_memory_equal(bytes, "ab", 2);
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x20) - 1, bytes, 1, 0), 0);
	guest_end_work(&guest);
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x20) - 1, bytes, 2, 0), 0);
	guest_close(&guest);
}

static void copy_while_paused(struct world *world)
{
	struct guest *guest = world->opaque;
	char byte = 'x';

	assert_int_equal(gmem_vm_read(guest->vm, AT(0x11), &byte, 1, WAIT), -EDEADLK);
	expect_one_message(world->logs, GMEM_LOG_DEBUG, "gmem_vm_read", "this is a callback of it");
	assert_int_equal(gmem_vm_write(guest->vm, AT(0x11), &byte, 1, WAIT), -EDEADLK);
	expect_one_message(world->logs, GMEM_LOG_DEBUG, "gmem_vm_write", "a callback of it");
	assert_int_equal(gmem_vm_read(guest->vm, AT(0x22), &byte, 1, WAIT), 0);
}

static void copies_EDEADLK(void **unused)
{
	const struct world_config config = { .pausing = true };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, &config);
	guest.world.while_paused = copy_while_paused;
	assert_int_equal(gmem_vm_unmap(guest.vm, AT(0x10), AT(16)), 0);
	assert_int_equal(guest.world.pauses, 1);
	guest_close(&guest);
}

static void copies_ENOSPC(void **unused)
{
	struct gmem_pin *pins = calloc(GMEM_PINS_MAX, sizeof(*pins));
	struct guest guest;
	char byte = 'x';
	uint32_t i;

	assert_non_null(pins);
	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	for (i = 0; i < GMEM_PINS_MAX; i++)
		assert_int_equal(gmem_vm_pin(guest.vm, FIRST, 1, 0, &pins[i]), 0);
	assert_int_equal(gmem_vm_read(guest.vm, FIRST, &byte, 1, 0), -ENOSPC);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_read", "65536 pins");
	assert_int_equal(gmem_vm_write(guest.vm, FIRST, &byte, 1, 0), -ENOSPC);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gmem_vm_write", "65536 pins");
	for (i = 0; i < GMEM_PINS_MAX; i++)
		gmem_vm_unpin(guest.vm, &pins[i]);
	free(pins);
	guest_close(&guest);
}

static int read_in_child(void *opaque)
{
	char byte = 'x';
	int rc = gmem_vm_read(((struct guest *)opaque)->vm, FIRST, &byte, 1, 0);

	return byte == 'x' ? rc : 1;
}

static int write_in_child(void *opaque)
{
	return gmem_vm_write(((struct guest *)opaque)->vm, FIRST, "x", 1, 0);
}

static void copies_EIO_in_a_child(void **unused)
{
	static const struct forked_call calls[] = {
		{ "gmem_vm_read:", read_in_child },
		{ "gmem_vm_write:", write_in_child },
	};
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	expect_eio_in_child(&guest.world, calls, ARRAY_SIZE(calls), &guest);
	guest_close(&guest);
}

/* Checked copies. What the system call does with each try, in turn. */
static struct {
	const int64_t *results; /* bytes at most, or the result if not above 0 */
	unsigned int calls;
} script;
static bool (*next_serve)(struct world *world, uint32_t nr, const uint64_t *arg, int64_t *result);

static bool serve_by_script(struct world *world, uint32_t nr, const uint64_t *arg, int64_t *result)
{
	struct iovec *local = (struct iovec *)(uintptr_t)arg[1];
	struct iovec *remote = (struct iovec *)(uintptr_t)arg[3];
	int64_t limit;

	if (nr != GMEM_SYS_PROCESS_VM_READV && nr != GMEM_SYS_PROCESS_VM_WRITEV)
		return next_serve(world, nr, arg, result);
	assert_int_equal(arg[2], 1);
	assert_int_equal(arg[4], 1);
	assert_int_equal(local->iov_len, remote->iov_len);
	limit = script.results[script.calls++];
	if (limit <= 0 || (uint64_t)limit > local->iov_len) {
		*result = limit;
		return limit <= 0;
	}
	local->iov_len = remote->iov_len = (size_t)limit;
	return false;
}

static int run_script(struct guest *guest, bool to_guest, char *bytes, uint64_t size,
		      const int64_t *results)
{
	script.results = results;
	script.calls = 0;
	if (to_guest)
		return gmem_vm_write(guest->vm, AT(0x20) - 10, bytes, size, CHECKED);
	return gmem_vm_read(guest->vm, AT(0x20) - 10, bytes, size, CHECKED);
}

static void checked_copies_go_on_after_a_part(void **unused)
{
	static const int64_t bits[] = { 1, 7, 1, 1000, 3, 1000 };
	static const char text[] = "abcdefghijklmnopqrst";
	char bytes[20] = { 0 };
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	next_serve = guest.world.serve;
	guest.world.serve = serve_by_script;
	memcpy(bytes, text, 20);
	assert_int_equal(run_script(&guest, true, bytes, 20, bits), 0);
	assert_int_equal(script.calls, 6);
	assert_memory_equal(host_at(&guest, AT(0x20) - 10), text, 10);
	assert_memory_equal(host_at(&guest, AT(0x20)), text + 10, 10);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(run_script(&guest, false, bytes, 20, bits), 0);
	assert_memory_equal(bytes, text, 20);
	guest_close(&guest);
}

static void checked_copies_EACCES_and_EIO(void **unused)
{
	static const struct {
		int64_t results[3];
		int error;
		uint32_t level;
		const char *word, *gpa;
	} cases[] = {
		{ { -EFAULT }, -EACCES, GMEM_LOG_DEBUG, "cannot be touched", "gpa 0x1fff6 " },
		{ { 4, -EFAULT }, -EACCES, GMEM_LOG_DEBUG, "cannot be touched", "gpa 0x1fffa " },
		{ { 10, 3, -EFAULT }, -EACCES, GMEM_LOG_DEBUG, "be touched", "gpa 0x20003 " },
		{ { -EPERM }, -EIO, GMEM_LOG_ERROR, "gives EPERM", "gpa 0x1fff6:" },
		{ { 5, -ENOSYS }, -EIO, GMEM_LOG_ERROR, "gives ENOSYS", "gpa 0x1fffb:" },
		{ { -ENOMEM }, -EIO, GMEM_LOG_ERROR, "gives ENOMEM", "gpa 0x1fff6:" },
		{ { 0 }, -EIO, GMEM_LOG_ERROR, "gives nothing", "gpa 0x1fff6:" },
		{ { 10, 0 }, -EIO, GMEM_LOG_ERROR, "gives nothing", "gpa 0x20000:" },
	};
	char bytes[20] = { 0 };
	struct guest guest;
	size_t i;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	next_serve = guest.world.serve;
	guest.world.serve = serve_by_script;
	for (i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		bool to_guest = i % 2;

		assert_int_equal(run_script(&guest, to_guest, bytes, 20, cases[i / 2].results),
				 cases[i / 2].error);
		expect_one_message(guest.world.logs, cases[i / 2].level, cases[i / 2].word,
				   cases[i / 2].gpa, to_guest ? "gmem_vm_write" : "gmem_vm_read");
		assert_false(guest_is_pinned(&guest, 0, -AT(1)));
	}
	guest_close(&guest);
}

static bool too_much(struct world *world, uint32_t nr, const uint64_t *arg, int64_t *result)
{
	*result = 21;
	return nr == GMEM_SYS_PROCESS_VM_READV || next_serve(world, nr, arg, result);
}

static void a_call_that_claims_too_much_is_not_believed(void **unused)
{
	char bytes[20];
	struct guest guest;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	next_serve = guest.world.serve;
	guest.world.serve = too_much;
	assert_int_equal(gmem_vm_read(guest.vm, FIRST, bytes, 20, CHECKED), -EIO);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "gives nothing");
	guest_close(&guest);
}

static void a_process_without_a_number_cannot_copy(void **unused)
{
	struct guest guest;
	char byte;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	faults_fail(guest.world.faults, GMEM_SYS_GETPID, FAULTS_ANY, 1, ENOSYS);
	assert_int_equal(gmem_vm_read(guest.vm, FIRST, &byte, 1, CHECKED), -EIO);
	faults_off(guest.world.faults);
	expect_one_message(guest.world.logs, GMEM_LOG_ERROR, "gives ENOSYS");
	guest_close(&guest);
}

/* The real call on real memory that cannot be touched, as a page is that others have converted. */
static void checked_copies_meet_memory_that_is_not_there(void **unused)
{
	static char bytes[AT(4)];
	struct guest guest;
	char *host;

	guest_open(&guest, &fake_kvm_linux_6_18_sw, NULL);
	host = host_at(&guest, AT(0x12));
	memset(host - AT(2), 'g', AT(4));
	assert_int_equal(mprotect(host, AT(1), PROT_NONE), 0);
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x12), bytes, AT(1), CHECKED), -EACCES);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gpa 0x12000", "cannot be touched");
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x10), bytes, AT(4), CHECKED), -EACCES);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gpa 0x12000", "cannot be touched");
	assert_int_equal(gmem_vm_write(guest.vm, AT(0x10), bytes, AT(4), CHECKED), -EACCES);
	expect_one_message(guest.world.logs, GMEM_LOG_DEBUG, "gpa 0x12000", "cannot be touched");
	assert_int_equal(mprotect(host, AT(1), PROT_READ | PROT_WRITE), 0);
	assert_int_equal(gmem_vm_read(guest.vm, AT(0x10), bytes, AT(4), CHECKED), 0);
	guest_close(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_exact_over_sections),
		cmocka_unit_test(copies_make_no_call_unless_they_are_checked),
		cmocka_unit_test(refused_copies_do_nothing),
		cmocka_unit_test(copies_EINVAL_null),
		cmocka_unit_test(read_only_memory_can_be_read),
		cmocka_unit_test(copies_EAGAIN),
		cmocka_unit_test(copies_EDEADLK),
		cmocka_unit_test(copies_ENOSPC),
		cmocka_unit_test(copies_EIO_in_a_child),
		cmocka_unit_test(checked_copies_go_on_after_a_part),
		cmocka_unit_test(checked_copies_EACCES_and_EIO),
		cmocka_unit_test(a_call_that_claims_too_much_is_not_believed),
		cmocka_unit_test(a_process_without_a_number_cannot_copy),
		cmocka_unit_test(checked_copies_meet_memory_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
