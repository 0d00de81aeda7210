// SPDX-License-Identifier: LGPL-2.1-or-later
/* The kernel door: the host's, and the wrappers through which the library calls any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* One call by number, past the wrappers. errno must come out as it went in. */
static int64_t host(uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
		    uint64_t f)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { a, b, c, d, e, f };
	struct gmem_kernel kernel = { NULL, NULL };
	int64_t result;

	gmem_kernel_get_host(&kernel);
	errno = ENOTBLK;
	result = kernel.call(nr, arg, kernel.opaque);
	assert_int_equal(errno, ENOTBLK);
	return result;
}

static uint64_t from_pointer(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static void *to_pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static bool is_open(uint64_t fd)
{
	return fcntl((int)fd, F_GETFD) >= 0;
}

static uint64_t host_memfd(uint64_t size)
{
	int64_t fd = host(GMEM_SYS_MEMFD_CREATE, from_pointer("test"), MFD_CLOEXEC, 0, 0, 0, 0);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate((int)fd, (off_t)size), 0);
	return (uint64_t)fd;
}

static void get_host_ignores_null(void **state)
{
	gmem_kernel_get_host(NULL);
}

static void get_host_fills_in_the_door(void **state)
{
	struct gmem_kernel kernel = { NULL, NULL };

	gmem_kernel_get_host(&kernel);
	assert_non_null(kernel.call);
}

static void host_close(void **state)
{
	uint64_t fd = host_memfd(0);

	assert_int_equal(host(GMEM_SYS_CLOSE, fd, 0, 0, 0, 0, 0), 0);
	assert_false(is_open(fd));
	assert_int_equal(host(GMEM_SYS_CLOSE, fd, 0, 0, 0, 0, 0), -EBADF);
}

static void host_ioctl(void **state)
{
	int pipes[2], available = 0;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "four", 4), 4);
	assert_int_equal(host(GMEM_SYS_IOCTL, (uint64_t)pipes[0], FIONREAD,
			      from_pointer(&available), 0, 0, 0),
			 0);
	assert_int_equal(available, 4);
	assert_int_equal(host(GMEM_SYS_IOCTL, UINT64_MAX, FIONREAD, from_pointer(&available), 0, 0,
			      0),
			 -EBADF);
	close(pipes[0]);
	close(pipes[1]);
}

static void host_fcntl(void **state)
{
	uint64_t fd = host_memfd(0);
	int64_t dup = host(GMEM_SYS_FCNTL, fd, F_DUPFD_CLOEXEC, fd + 1, 0, 0, 0);

	assert_true(dup > (int64_t)fd);
	assert_int_equal(host(GMEM_SYS_FCNTL, (uint64_t)dup, F_GETFD, 0, 0, 0, 0), FD_CLOEXEC);
	close((int)dup);
	assert_int_equal(host(GMEM_SYS_FCNTL, (uint64_t)dup, F_GETFD, 0, 0, 0, 0), -EBADF);
	close((int)fd);
}

static void host_fstat(void **state)
{
	uint64_t fd = host_memfd(12345);
	struct stat status, expected;

	memset(&status, 0, sizeof(status));
	assert_int_equal(host(GMEM_SYS_FSTAT, fd, from_pointer(&status), 0, 0, 0, 0), 0);
	assert_int_equal(fstat((int)fd, &expected), 0);
	assert_int_equal(status.st_size, 12345);
	assert_int_equal(status.st_ino, expected.st_ino);
	assert_int_equal(status.st_mode, expected.st_mode);
	assert_int_equal(status.st_blksize, expected.st_blksize);
	close((int)fd);
	assert_int_equal(host(GMEM_SYS_FSTAT, fd, from_pointer(&status), 0, 0, 0, 0), -EBADF);
}

static void host_fstatfs(void **state)
{
	uint64_t fd = host_memfd(0);
	struct statfs status;

	memset(&status, 0, sizeof(status));
	assert_int_equal(host(GMEM_SYS_FSTATFS, fd, from_pointer(&status), 0, 0, 0, 0), 0);
	assert_int_equal(status.f_type, TMPFS_MAGIC);
	assert_int_equal(status.f_bsize, page_size());
	close((int)fd);
	assert_int_equal(host(GMEM_SYS_FSTATFS, fd, from_pointer(&status), 0, 0, 0, 0), -EBADF);
}

static void host_ftruncate(void **state)
{
	uint64_t fd = host_memfd(0);
	/* Beyond 32 bits: the length comes through whole. */
	uint64_t size = UINT64_C(0x123456000);
	struct stat status;

	assert_int_equal(host(GMEM_SYS_FTRUNCATE, fd, size, 0, 0, 0, 0), 0);
	assert_int_equal(fstat((int)fd, &status), 0);
	assert_int_equal(status.st_size, size);
	assert_int_equal(host(GMEM_SYS_FTRUNCATE, fd, UINT64_MAX, 0, 0, 0, 0), -EINVAL);
	close((int)fd);
}

static void host_fallocate(void **state)
{
	uint64_t page = page_size();
	uint64_t fd = host_memfd(4 * page);
	struct stat status;

	assert_int_equal(host(GMEM_SYS_FALLOCATE, fd, FALLOC_FL_KEEP_SIZE, page, 2 * page, 0, 0),
			 0);
	assert_int_equal(fstat((int)fd, &status), 0);
	assert_int_equal((uint64_t)status.st_blocks * 512, 2 * page);
	assert_int_equal(host(GMEM_SYS_FALLOCATE, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      page, page, 0, 0),
			 0);
	assert_int_equal(fstat((int)fd, &status), 0);
	assert_int_equal((uint64_t)status.st_blocks * 512, page);
	assert_int_equal(host(GMEM_SYS_FALLOCATE, fd, FALLOC_FL_KEEP_SIZE, 0, 0, 0, 0), -EINVAL);
	close((int)fd);
}

static void host_memfd_create(void **state)
{
	int64_t fd =
		host(GMEM_SYS_MEMFD_CREATE, from_pointer("name-of-it"), MFD_CLOEXEC, 0, 0, 0, 0);
	char link[64], target[64] = "";

	assert_true(fd >= 0);
	assert_int_equal(fcntl((int)fd, F_GETFD), FD_CLOEXEC);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", (int)fd);
	assert_true(readlink(link, target, sizeof(target) - 1) > 0);
	assert_non_null(strstr(target, "memfd:name-of-it"));
	close((int)fd);
	assert_int_equal(host(GMEM_SYS_MEMFD_CREATE, from_pointer("x"), 0x80000000u, 0, 0, 0, 0),
			 -EINVAL);
}

static void host_mmap_and_munmap(void **state)
{
	uint64_t page = page_size();
	uint64_t fd = host_memfd(2 * page);
	int64_t address;
	char byte = 'm';

	/* The second page: the offset comes through. */
	assert_int_equal(pwrite((int)fd, &byte, 1, (off_t)page), 1);
	address = host(GMEM_SYS_MMAP, 0, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page);
	assert_true(address > 0);
	assert_int_equal(*(char *)to_pointer((uint64_t)address), 'm');
	assert_int_equal(host(GMEM_SYS_MUNMAP, (uint64_t)address, page, 0, 0, 0, 0), 0);
	/* Valgrind takes MAP_FIXED_NOREPLACE for an address it may choose. */
	if (getenv("GMEM_TEST_VALGRIND")) {
		close((int)fd);
		print_message("valgrind does not do MAP_FIXED_NOREPLACE\n");
		skip();
	}
	/* Gone: another can be put there without taking anything's place. */
	assert_int_equal(host(GMEM_SYS_MMAP, (uint64_t)address, page, PROT_READ,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, UINT64_MAX, 0),
			 address);
	assert_int_equal(host(GMEM_SYS_MMAP, (uint64_t)address, page, PROT_READ,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, UINT64_MAX, 0),
			 -EEXIST);
	assert_int_equal(host(GMEM_SYS_MUNMAP, (uint64_t)address, page, 0, 0, 0, 0), 0);
	assert_int_equal(host(GMEM_SYS_MUNMAP, (uint64_t)address + 1, page, 0, 0, 0, 0), -EINVAL);
	close((int)fd);
}

static void host_madvise(void **state)
{
	uint64_t page = page_size();
	char *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	memory[0] = 'm';
	assert_int_equal(host(GMEM_SYS_MADVISE, from_pointer(memory), page, MADV_DONTNEED, 0, 0, 0),
			 0);
	assert_int_equal(memory[0], 0);
	assert_int_equal(host(GMEM_SYS_MADVISE, from_pointer(memory), page, 9999, 0, 0, 0),
			 -EINVAL);
	munmap(memory, page);
}

static void host_mbind_and_get_mempolicy(void **state)
{
	uint64_t page = page_size();
	char *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t nodes[16] = { 1 };
	int mode = -1;
	int64_t result;

	assert_ptr_not_equal(memory, MAP_FAILED);
	result = host(GMEM_SYS_MBIND, from_pointer(memory), page, MPOL_BIND, from_pointer(nodes),
		      65, 0);
	if (result == -ENOSYS || result == -EPERM) {
		munmap(memory, page);
		print_message("this host has no mbind() to offer: %d\n", (int)result);
		skip();
	}
	assert_int_equal(result, 0);
	nodes[0] = 0;
	assert_int_equal(host(GMEM_SYS_GET_MEMPOLICY, from_pointer(&mode), from_pointer(nodes),
			      1024, from_pointer(memory), MPOL_F_ADDR, 0),
			 0);
	assert_int_equal(mode, MPOL_BIND);
	assert_int_equal(nodes[0], 1);
	assert_int_equal(host(GMEM_SYS_MBIND, from_pointer(memory), page, 9999, 0, 0, 0), -EINVAL);
	assert_int_equal(host(GMEM_SYS_GET_MEMPOLICY, from_pointer(&mode), 0, 0,
			      from_pointer(memory), 9999, 0),
			 -EINVAL);
	munmap(memory, page);
}

static void host_prctl(void **state)
{
	char before[16] = "", after[16] = "";

	assert_int_equal(prctl(PR_GET_NAME, before), 0);
	assert_int_equal(host(GMEM_SYS_PRCTL, PR_SET_NAME, from_pointer("by-the-door"), 0, 0, 0, 0),
			 0);
	assert_int_equal(prctl(PR_GET_NAME, after), 0);
	assert_string_equal(after, "by-the-door");
	prctl(PR_SET_NAME, before);
	assert_int_equal(host(GMEM_SYS_PRCTL, 0x7fffffff, 0, 0, 0, 0, 0), -EINVAL);
}

static void host_write(void **state)
{
	char buffer[8] = "";
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(
		host(GMEM_SYS_WRITE, (uint64_t)pipes[1], from_pointer("words"), 5, 0, 0, 0), 5);
	assert_int_equal(read(pipes[0], buffer, sizeof(buffer)), 5);
	assert_string_equal(buffer, "words");
	close(pipes[1]);
	assert_int_equal(host(GMEM_SYS_WRITE, (uint64_t)pipes[1], from_pointer("words"), 5, 0, 0,
			      0),
			 -EBADF);
	close(pipes[0]);
}

static void host_getpagesize(void **state)
{
	assert_int_equal(host(GMEM_SYS_GETPAGESIZE, 0, 0, 0, 0, 0, 0), page_size());
}

static void host_getpid(void **state)
{
	assert_int_equal(host(GMEM_SYS_GETPID, 0, 0, 0, 0, 0, 0), getpid());
}

static void host_clock_gettime(void **state)
{
	struct timespec before, now = { 0 }, after;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &before), 0);
	assert_int_equal(
		host(GMEM_SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, from_pointer(&now), 0, 0, 0, 0), 0);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &after), 0);
	assert_true(now.tv_sec > before.tv_sec ||
		    (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec));
	assert_true(now.tv_sec < after.tv_sec ||
		    (now.tv_sec == after.tv_sec && now.tv_nsec <= after.tv_nsec));
	assert_int_equal(host(GMEM_SYS_CLOCK_GETTIME, 9999, from_pointer(&now), 0, 0, 0, 0),
			 -EINVAL);
}

static void host_futex(void **state)
{
	const struct timespec moment = { .tv_nsec = 1 };
	uint32_t word = 5;

	assert_int_equal(host(GMEM_SYS_FUTEX, from_pointer(&word), FUTEX_WAIT_PRIVATE, 4,
			      from_pointer(&moment), 0, 0),
			 -EAGAIN);
	assert_int_equal(host(GMEM_SYS_FUTEX, from_pointer(&word), FUTEX_WAIT_PRIVATE, 5,
			      from_pointer(&moment), 0, 0),
			 -ETIMEDOUT);
	assert_int_equal(
		host(GMEM_SYS_FUTEX, from_pointer(&word), FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0), 0);
	assert_int_equal(host(GMEM_SYS_FUTEX, from_pointer(&word), 9999, 0, 0, 0, 0), -ENOSYS);
}

/* A thread that sleeps for as long as the word is 1, or until a signal comes. */
struct sleeper {
	_Atomic uint32_t word;
	_Atomic bool started;
	_Atomic bool ended;
	int result;
};

#define LONG_NS UINT64_C(100000000000)

static void *sleep_on_word(void *opaque)
{
	struct sleeper *sleeper = opaque;
	struct gmem_kernel kernel;

	gmem_kernel_get_host(&kernel);
	sleeper->started = true;
	sleeper->result = gmem_kernel_futex_wait(&kernel, &sleeper->word, 1, LONG_NS);
	sleeper->ended = true;
	return NULL;
}

static pthread_t start_sleeper(struct sleeper *sleeper)
{
	pthread_t thread;

	*sleeper = (struct sleeper){ .word = 1 };
	assert_int_equal(pthread_create(&thread, NULL, sleep_on_word, sleeper), 0);
	while (!sleeper->started)
		sched_yield();
	return thread;
}

static void futex_wait_ends_by_being_woken(void **state)
{
	struct gmem_kernel kernel;
	struct sleeper sleeper;
	pthread_t thread;
	int woken = 0;

	gmem_kernel_get_host(&kernel);
	thread = start_sleeper(&sleeper);
	/* The word stays as it is: it is the wake-up that ends the sleep. */
	while (!woken && !sleeper.ended) {
		woken = gmem_kernel_futex_wake(&kernel, &sleeper.word, INT_MAX);
		sched_yield();
	}
	pthread_join(thread, NULL);
	assert_int_equal(woken, 1);
	assert_int_equal(sleeper.result, 0);
}

static void do_nothing(int number)
{
}

static void futex_wait_ends_by_a_signal_though_calls_are_restarted(void **state)
{
	struct sigaction action = { .sa_handler = do_nothing, .sa_flags = SA_RESTART }, old;
	struct sleeper sleeper;
	pthread_t thread;

	assert_int_equal(sigaction(SIGUSR2, &action, &old), 0);
	thread = start_sleeper(&sleeper);
	/* One that comes before it sleeps is lost, so there are as many as it takes. */
	while (!sleeper.ended) {
		pthread_kill(thread, SIGUSR2);
		sched_yield();
	}
	pthread_join(thread, NULL);
	assert_int_equal(sleeper.result, -EINTR);
	assert_int_equal(sigaction(SIGUSR2, &old, NULL), 0);
}

static void host_process_vm_readv_and_writev(void **state)
{
	char here[8] = "........", there[] = "elsewhere";
	struct iovec local = { here, 4 }, remote = { there + 1, 4 };
	uint64_t pid = (uint64_t)getpid();

	assert_int_equal(host(GMEM_SYS_PROCESS_VM_READV, pid, from_pointer(&local), 1,
			      from_pointer(&remote), 1, 0),
			 4);
	assert_memory_equal(here, "lsew....", 8);
	memcpy(here, "LSEW", 4);
	assert_int_equal(host(GMEM_SYS_PROCESS_VM_WRITEV, pid, from_pointer(&local), 1,
			      from_pointer(&remote), 1, 0),
			 4);
	assert_string_equal(there, "eLSEWhere");
	assert_int_equal(host(GMEM_SYS_PROCESS_VM_READV, pid, from_pointer(&local), 1,
			      from_pointer(&remote), 1, 1),
			 -EINVAL);
}

/* Two pages of a file of one, which raise SIGBUS from the second on. */
static void copies_meet_a_page_that_is_not_there(void **state)
{
	uint64_t page = page_size(), fd = host_memfd(page), i;
	char *guest = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	char *buffer = calloc(2, page);
	struct gmem_kernel kernel;

	assert_ptr_not_equal(guest, MAP_FAILED);
	assert_non_null(buffer);
	gmem_kernel_get_host(&kernel);
	memset(guest, 'g', page);
	assert_int_equal(gmem_kernel_copy_in(&kernel, buffer, from_pointer(guest), page), page);
	for (i = 0; i < page; i++)
		assert_int_equal(buffer[i], 'g');
	buffer[0] = 'b';
	assert_int_equal(gmem_kernel_copy_out(&kernel, buffer, from_pointer(guest) + 5, 1), 1);
	assert_int_equal(guest[5], 'b');
	assert_int_equal(gmem_kernel_copy_in(&kernel, buffer, from_pointer(guest) + page, 1),
			 -EFAULT);
	assert_int_equal(gmem_kernel_copy_out(&kernel, buffer, from_pointer(guest) + page, 1),
			 -EFAULT);
	/* A part is done, at most as far as there is something. */
	assert_in_range(gmem_kernel_copy_in(&kernel, buffer, from_pointer(guest), 2 * page), 1,
			page);
	munmap(guest, 2 * page);
	close((int)fd);
	free(buffer);
}

static void host_refuses_unknown_numbers(void **state)
{
	static const uint32_t unknown[] = { 0, GMEM_SYS_PROCESS_VM_WRITEV + 1, 0x1000, UINT32_MAX };
	size_t i;

	for (i = 0; i < LENGTH(unknown); i++)
		assert_int_equal(host(unknown[i], 0, 0, 0, 0, 0, 0), -ENOSYS);
}

/* What the wrappers pass. */

struct recorder {
	unsigned int calls;
	uint32_t nr;
	uint64_t arg[GMEM_SYS_ARGUMENTS];
	int64_t result; /* to return */
};

static int64_t record(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct recorder *recorder = opaque;

	recorder->calls++;
	recorder->nr = nr;
	memcpy(recorder->arg, arg, sizeof(recorder->arg));
	return recorder->result;
}

#define EXPECT_CALL(recorder, number, ...)                                                         \
	expect_call(recorder, number, (const uint64_t[GMEM_SYS_ARGUMENTS]){ __VA_ARGS__ })

/* Exactly one call was made, of this number, with these arguments and zeros behind them. */
static void expect_call(struct recorder *recorder, uint32_t nr, const uint64_t *arg)
{
	size_t i;

	assert_int_equal(recorder->calls, 1);
	assert_int_equal(recorder->nr, nr);
	for (i = 0; i < GMEM_SYS_ARGUMENTS; i++)
		assert_int_equal(recorder->arg[i], arg[i]);
	recorder->calls = 0;
}

/* Above 32 bits, so that a cut would show. */
#define BIG UINT64_C(0x1122334455667000)
#define MINUS_ONE UINT64_MAX

static void wrappers_of_descriptors_pass_arguments(void **state)
{
	struct recorder recorder = { .result = 3 };
	const struct gmem_kernel kernel = { record, &recorder };
	struct stat status;
	struct statfs file_system;
	char buffer[4];

	assert_int_equal(gmem_kernel_close(&kernel, 7), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_CLOSE, 7);
	assert_int_equal(gmem_kernel_close(&kernel, -1), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_CLOSE, MINUS_ONE);
	/* A request with the top bit set is not sign-extended. */
	assert_int_equal(gmem_kernel_ioctl(&kernel, 7, 0xc080aed2u, buffer), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_IOCTL, 7, 0xc080aed2u, from_pointer(buffer));
	assert_int_equal(gmem_kernel_ioctl_value(&kernel, 7, 0xae03u, BIG), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_IOCTL, 7, 0xae03u, BIG);
	assert_int_equal(gmem_kernel_fcntl(&kernel, 7, F_DUPFD_CLOEXEC, 5), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_FCNTL, 7, F_DUPFD_CLOEXEC, 5);
	assert_int_equal(gmem_kernel_fstat(&kernel, 7, &status), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_FSTAT, 7, from_pointer(&status));
	assert_int_equal(gmem_kernel_fstatfs(&kernel, 7, &file_system), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_FSTATFS, 7, from_pointer(&file_system));
	assert_int_equal(gmem_kernel_ftruncate(&kernel, 7, BIG), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_FTRUNCATE, 7, BIG);
	assert_int_equal(gmem_kernel_fallocate(&kernel, 7, 3, BIG, BIG + 1), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_FALLOCATE, 7, 3, BIG, BIG + 1);
	assert_int_equal(gmem_kernel_memfd_create(&kernel, "name", 0x80000001u), 3);
	assert_string_equal(to_pointer(recorder.arg[0]), "name");
	EXPECT_CALL(&recorder, GMEM_SYS_MEMFD_CREATE, recorder.arg[0], 0x80000001u);
	assert_int_equal(gmem_kernel_write(&kernel, 2, buffer, BIG), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_WRITE, 2, from_pointer(buffer), BIG);
}

static void wrappers_of_mappings_pass_arguments(void **state)
{
	struct recorder recorder = { .result = 3 };
	const struct gmem_kernel kernel = { record, &recorder };
	uint64_t nodes[2];
	int mode;

	assert_int_equal(gmem_kernel_mmap(&kernel, BIG, BIG + 1, 3, 17, -1, BIG + 2), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_MMAP, BIG, BIG + 1, 3, 17, MINUS_ONE, BIG + 2);
	assert_int_equal(gmem_kernel_munmap(&kernel, BIG, BIG + 1), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_MUNMAP, BIG, BIG + 1);
	assert_int_equal(gmem_kernel_madvise(&kernel, BIG, BIG + 1, 9), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_MADVISE, BIG, BIG + 1, 9);
	assert_int_equal(gmem_kernel_mbind(&kernel, BIG, BIG + 1, 2, nodes, 129, 1), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_MBIND, BIG, BIG + 1, 2, from_pointer(nodes), 129, 1);
	assert_int_equal(gmem_kernel_get_mempolicy(&kernel, &mode, nodes, 129, BIG), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_GET_MEMPOLICY, from_pointer(&mode), from_pointer(nodes),
		    129, BIG, MPOL_F_ADDR);
	assert_int_equal(gmem_kernel_name_mapping(&kernel, BIG, BIG + 1, "name"), 3);
	assert_string_equal(to_pointer(recorder.arg[4]), "name");
	/* PR_SET_VMA, PR_SET_VMA_ANON_NAME */
	EXPECT_CALL(&recorder, GMEM_SYS_PRCTL, 0x53564d41, 0, BIG, BIG + 1, recorder.arg[4]);
	assert_int_equal(gmem_kernel_page_size(&kernel), 3);
	EXPECT_CALL(&recorder, GMEM_SYS_GETPAGESIZE, 0);
}

/* Those whose arguments are on the wrapper's stack are looked at during the call. */
struct waits {
	struct recorder recorder;
	struct timespec time;
	struct iovec local, remote;
	int64_t pid;
	int64_t result;
};

static int64_t record_pointers(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct waits *waits = opaque;

	if (nr == GMEM_SYS_GETPID)
		return waits->pid;
	record(nr, arg, &waits->recorder);
	if (nr == GMEM_SYS_FUTEX && arg[3])
		waits->time = *(const struct timespec *)to_pointer(arg[3]);
	if (nr == GMEM_SYS_CLOCK_GETTIME)
		*(struct timespec *)to_pointer(arg[1]) = waits->time;
	if (nr == GMEM_SYS_PROCESS_VM_READV || nr == GMEM_SYS_PROCESS_VM_WRITEV) {
		waits->local = *(const struct iovec *)to_pointer(arg[1]);
		waits->remote = *(const struct iovec *)to_pointer(arg[3]);
	}
	return waits->result;
}

static void wrappers_of_waits_pass_arguments(void **state)
{
	struct waits waits = { .result = -EINTR };
	const struct gmem_kernel kernel = { record_pointers, &waits };
	const uint64_t *arg = waits.recorder.arg;
	_Atomic uint32_t word = 0;
	uint64_t now;

	assert_int_equal(gmem_kernel_futex_wait(&kernel, &word, 0x80000001u, 3000000007u), -EINTR);
	assert_int_equal(waits.time.tv_sec, 3);
	assert_int_equal(waits.time.tv_nsec, 7);
	EXPECT_CALL(&waits.recorder, GMEM_SYS_FUTEX, from_pointer((void *)&word),
		    FUTEX_WAIT_PRIVATE, 0x80000001u, arg[3]);
	waits.result = 3;
	assert_int_equal(gmem_kernel_futex_wake(&kernel, &word, INT_MAX), 3);
	EXPECT_CALL(&waits.recorder, GMEM_SYS_FUTEX, from_pointer((void *)&word),
		    FUTEX_WAKE_PRIVATE, INT_MAX);
	assert_int_equal(gmem_kernel_futex_wake(&kernel, &word, 1), 3);
	EXPECT_CALL(&waits.recorder, GMEM_SYS_FUTEX, from_pointer((void *)&word),
		    FUTEX_WAKE_PRIVATE, 1);
	waits.result = 0;
	waits.time = (struct timespec){ 10000000000, 999999999 };
	assert_int_equal(gmem_kernel_clock(&kernel, &now), 0);
	assert_int_equal(now, UINT64_C(10000000000999999999));
	EXPECT_CALL(&waits.recorder, GMEM_SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, arg[1]);
	waits.result = -EPERM;
	assert_int_equal(gmem_kernel_clock(&kernel, &now), -EPERM);
}

static void wrappers_of_copies_pass_arguments(void **state)
{
	struct waits waits = { .result = (int64_t)BIG, .pid = 0x12345 };
	const struct gmem_kernel kernel = { record_pointers, &waits };
	const uint64_t *arg = waits.recorder.arg;
	char buffer[4];

	assert_int_equal(gmem_kernel_copy_in(&kernel, buffer, BIG + 1, BIG + 2), BIG);
	EXPECT_CALL(&waits.recorder, GMEM_SYS_PROCESS_VM_READV, 0x12345, arg[1], 1, arg[3], 1);
	assert_ptr_equal(waits.local.iov_base, buffer);
	assert_int_equal(waits.local.iov_len, BIG + 2);
	assert_ptr_equal(waits.remote.iov_base, to_pointer(BIG + 1));
	assert_int_equal(waits.remote.iov_len, BIG + 2);
	assert_int_equal(gmem_kernel_copy_out(&kernel, buffer, BIG + 1, BIG + 2), BIG);
	EXPECT_CALL(&waits.recorder, GMEM_SYS_PROCESS_VM_WRITEV, 0x12345, arg[1], 1, arg[3], 1);
	assert_ptr_equal(waits.local.iov_base, buffer);
	assert_ptr_equal(waits.remote.iov_base, to_pointer(BIG + 1));
	waits.result = -EFAULT;
	assert_int_equal(gmem_kernel_copy_in(&kernel, buffer, BIG, 1), -EFAULT);
	/* A process that has no number makes no further call. */
	waits.recorder.calls = 0;
	waits.pid = -ENOSYS;
	assert_int_equal(gmem_kernel_copy_out(&kernel, buffer, BIG, 1), -ENOSYS);
	assert_int_equal(waits.recorder.calls, 0);
}

static void wrappers_return_errors_and_large_results(void **state)
{
	struct recorder recorder = { .result = -EXDEV };
	const struct gmem_kernel kernel = { record, &recorder };

	assert_int_equal(gmem_kernel_close(&kernel, 7), -EXDEV);
	assert_int_equal(gmem_kernel_ioctl(&kernel, 7, 1, NULL), -EXDEV);
	assert_int_equal(gmem_kernel_mmap(&kernel, 0, 1, 0, 0, 7, 0), -EXDEV);
	assert_int_equal(gmem_kernel_page_size(&kernel), -EXDEV);
	recorder.result = (int64_t)BIG;
	assert_int_equal(gmem_kernel_mmap(&kernel, 0, 1, 0, 0, 7, 0), BIG);
	assert_int_equal(gmem_kernel_write(&kernel, 2, NULL, 0), BIG);
}

static void address_of_is_the_address(void **state)
{
	int object;

	assert_int_equal(address_of(&object), from_pointer(&object));
	assert_int_equal(address_of(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_host_ignores_null),
		cmocka_unit_test(get_host_fills_in_the_door),
		cmocka_unit_test(host_close),
		cmocka_unit_test(host_ioctl),
		cmocka_unit_test(host_fcntl),
		cmocka_unit_test(host_fstat),
		cmocka_unit_test(host_fstatfs),
		cmocka_unit_test(host_ftruncate),
		cmocka_unit_test(host_fallocate),
		cmocka_unit_test(host_memfd_create),
		cmocka_unit_test(host_mmap_and_munmap),
		cmocka_unit_test(host_madvise),
		cmocka_unit_test(host_mbind_and_get_mempolicy),
		cmocka_unit_test(host_prctl),
		cmocka_unit_test(host_write),
		cmocka_unit_test(host_getpagesize),
		cmocka_unit_test(host_getpid),
		cmocka_unit_test(host_clock_gettime),
		cmocka_unit_test(host_futex),
		cmocka_unit_test(futex_wait_ends_by_being_woken),
		cmocka_unit_test(futex_wait_ends_by_a_signal_though_calls_are_restarted),
		cmocka_unit_test(host_process_vm_readv_and_writev),
		cmocka_unit_test(copies_meet_a_page_that_is_not_there),
		cmocka_unit_test(host_refuses_unknown_numbers),
		cmocka_unit_test(wrappers_of_descriptors_pass_arguments),
		cmocka_unit_test(wrappers_of_mappings_pass_arguments),
		cmocka_unit_test(wrappers_of_waits_pass_arguments),
		cmocka_unit_test(wrappers_of_copies_pass_arguments),
		cmocka_unit_test(wrappers_return_errors_and_large_results),
		cmocka_unit_test(address_of_is_the_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
