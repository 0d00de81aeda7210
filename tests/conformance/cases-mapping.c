// SPDX-License-Identifier: LGPL-2.1-or-later
/* Mappings of guest_memfd files: mmap, and what a private page does. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kit.h"

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define SHARED_FILE (FLAG_MMAP | FLAG_INIT_SHARED)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static void refused_mappings(struct world *world)
{
	const uint64_t page = world->page;
	int plain = make_file(world, page, 0);
	int fd = make_file(world, page, world->traits.flags & SHARED_FILE);

	expect_value(try_map(world, plain, 0, page, READ_WRITE, MAP_SHARED), -ENODEV);
	expect_value(try_map(world, plain, 0, page, PROT_READ, MAP_SHARED), -ENODEV);
	expect_value(try_map(world, fd, 0, page, READ_WRITE, MAP_PRIVATE), -EINVAL);
	expect_value(try_map(world, fd, 0, 2 * MIB, READ_WRITE, MAP_SHARED | MAP_HUGETLB), -EINVAL);
	expect_value(try_map(world, fd, 0, page, READ_WRITE | PROT_EXEC, MAP_SHARED), -EPERM);
	expect_value(try_map(world, fd, 0, page, PROT_READ | PROT_EXEC, MAP_SHARED), -EPERM);
	expect_success(map_file(world, fd, 0, page) ? 0 : -1);
}

/*
 * Kernel fact F4: EPERM comes before what the file itself would say. A kernel that cannot map any
 * guest_memfd says ENODEV, or EPERM where it keeps such files from being executed.
 */
static int64_t exec_refusal(const struct world *world)
{
	return world->traits.flags ? -EPERM : -ENODEV;
}

/* What mmap refuses of any file comes before what guest_memfd refuses. */
static void arguments_are_judged_first(struct world *world)
{
	const uint64_t page = world->page;
	const struct {
		int flags;
		uint64_t size;
		uint64_t offset;
		int64_t result;
	} refused[] = {
		{ MAP_SHARED, 0, 0, -EINVAL },
		{ MAP_PRIVATE, 0, 0, -EINVAL },
		{ MAP_SHARED, page, 1, -EINVAL },
		{ MAP_PRIVATE, page, page / 2, -EINVAL },
		{ 0, page, 0, -EINVAL },
		{ MAP_TYPE, page, 0, -EINVAL },
		{ MAP_SHARED | MAP_HUGETLB, page, 0, -EINVAL },
		{ MAP_SHARED, page, 0 - page, -EOVERFLOW },
		{ MAP_PRIVATE, page, 0 - page, -EOVERFLOW },
		{ MAP_SHARED_VALIDATE, page, 0 - page, -EOVERFLOW },
		{ MAP_SHARED, UINT64_MAX, 0, -ENOMEM },
		{ MAP_SHARED, UINT64_MAX / 2 + 1, 0, -ENOMEM },
		{ MAP_SHARED_VALIDATE | MAP_SYNC, page, 0, -EOPNOTSUPP },
	};
	static const int protections[] = { PROT_NONE, PROT_READ, READ_WRITE, PROT_EXEC,
					   READ_WRITE | PROT_EXEC };
	const int fds[] = { make_file(world, page, 0),
			    make_file(world, page, world->traits.flags & SHARED_FILE) };
	unsigned int i;
	unsigned int k;
	unsigned int n;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		for (k = 0; k < sizeof(protections) / sizeof(protections[0]); k++)
			for (n = 0; n < 2; n++)
				expect_value(try_map(world, fds[n], refused[i].offset,
						     refused[i].size, protections[k],
						     refused[i].flags),
					     refused[i].result);
	for (n = 0; n < 2; n++) {
		expect_either(try_map(world, fds[n], 0, page, PROT_EXEC, MAP_PRIVATE), -EPERM,
			      exec_refusal(world));
		expect_either(try_map(world, fds[n], 0, page, PROT_EXEC, MAP_SHARED_VALIDATE),
			      -EPERM, exec_refusal(world));
	}
	expect_value(try_map(world, fds[0], 0, page, PROT_READ, MAP_PRIVATE), -ENODEV);
}

static int64_t map_over(struct world *world, uint8_t *host, int protection, int flags, int fd,
			uint64_t offset)
{
	return door(world, GMEM_SYS_MMAP, (uintptr_t)host, world->page, (uint64_t)protection,
		    (uint64_t)(MAP_SHARED | flags), (uint64_t)fd, offset);
}

static void refused_arguments_replace_nothing(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, page, world->traits.flags & SHARED_FILE);
	uint8_t *host = map_anonymous(world, page);

	put_byte(host, 5);
	expect_value(map_over(world, host, PROT_READ, MAP_FIXED_NOREPLACE, fd, 0), -EEXIST);
	expect_value(map_over(world, host, PROT_EXEC, MAP_FIXED_NOREPLACE, fd, 0), -EEXIST);
	expect_either(map_over(world, host, PROT_EXEC, MAP_FIXED, fd, 0), -EPERM,
		      exec_refusal(world));
	expect_value(map_over(world, host, PROT_READ, MAP_FIXED, fd, 0 - page), -EOVERFLOW);
	expect_value(map_over(world, host, PROT_READ, MAP_FIXED, fd, page / 2), -EINVAL);
	expect_value(map_over(world, host + page / 2, PROT_READ, MAP_FIXED, fd, 0), -EINVAL);
	expect_value(byte_at(host), 5);
}

static bool is_mapped(const struct world *world, void *host)
{
	unsigned char resident[64];

	return mincore(host, world->page, resident) == 0;
}

static void what_the_file_refuses_is_replaced_already(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *host = map_anonymous(world, 3 * page);
	int plain = make_file(world, page, 0);

	put_byte(host, 5);
	put_byte(host + 2 * page, 6);
	expect_value(map_over(world, host + page, PROT_READ, MAP_FIXED, plain, 0), -ENODEV);
	/* Where no file can be mapped none is asked, and nothing cleared for it. */
	expect_value(is_mapped(world, host + page), !world->traits.flags);
	expect_value(byte_at(host), 5);
	expect_value(byte_at(host + 2 * page), 6);
}

static void no_mmap_without_the_flag(struct world *world)
{
	int fd = make_file(world, world->page, 0);

	expect_value(try_map(world, fd, 0, world->page, READ_WRITE, MAP_SHARED), -ENODEV);
}

static void touching_past_the_end(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *host = map_file(world, make_file(world, 2 * page, SHARED_FILE), 0, 4 * page);
	uint8_t value;

	put_byte(host + 2 * page - 1, 1);
	expect(!can_read(host + 2 * page, &value));
	expect(!can_write(host + 4 * page - 1, 1));
	expect_value(byte_at(host + 2 * page - 1), 1);
}

static void windows_of_a_file(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 4 * page, SHARED_FILE);
	uint8_t *whole = map_file(world, fd, 0, 4 * page);
	uint8_t *window = map_file(world, fd, 2 * page, 2 * page);

	put_byte(whole + 2 * page + 7, 1);
	put_byte(window + page, 2);
	expect_value(byte_at(window + 7), 1);
	expect_value(byte_at(whole + 3 * page), 2);
	unmap(world, whole);
	expect_value(byte_at(window + 7), 1);
}

static void populate_passes_over_private_pages(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 3 * page, SHARED_FILE);
	uint8_t *host;
	uint8_t value;

	expect_value(set_file_attributes(world, fd, page, page, PRIVATE, NULL), 0);
	host = keep_mapping(world,
			    (void *)(uintptr_t)expect_success(try_map(
				    world, fd, 0, 3 * page, READ_WRITE, MAP_SHARED | MAP_POPULATE)),
			    3 * page);
	expect_value(byte_at(host), 0);
	expect(!can_read(host + page, &value));
	expect_value(byte_at(host + 2 * page), 0);
}

/* A file with a private page in the middle, turned so before or after it was touched. */
static uint8_t *one_private_page(struct world *world, bool touched, int *fd)
{
	const uint64_t page = world->page;
	uint8_t *host;
	unsigned int i;

	*fd = make_file(world, 3 * page, SHARED_FILE);
	host = map_file(world, *fd, 0, 3 * page);
	for (i = 0; touched && i < 3; i++)
		put_byte(host + i * page, (uint8_t)(i + 1));
	expect_value(set_file_attributes(world, *fd, page, page, PRIVATE, NULL), 0);
	return host;
}

static void signal_names_the_address(struct world *world)
{
	const uint64_t page = world->page;
	void *address = NULL;
	unsigned int touched;
	uint8_t *host;
	uint8_t value;
	int code = 0;
	int fd;

	for (touched = 0; touched < 2; touched++) {
		host = one_private_page(world, touched, &fd);
		expect(!read_or_signal(host + page + 123, &value, &code, &address));
		expect_value(code, BUS_ADRERR);
		expect(address == host + page + 123);
		expect(!can_write(host + 2 * page - 1, 1));
		/* Its neighbours are as they were. */
		expect_value(byte_at(host + page - 1), 0);
		expect_value(byte_at(host + 2 * page), touched ? 3 : 0);
	}
}

static void a_private_page_comes_back(struct world *world)
{
	uint8_t *host;
	int fd;

	host = one_private_page(world, true, &fd);
	expect_value(set_file_attributes(world, fd, 0, 3 * world->page, 0, NULL), 0);
	expect_value(byte_at(host), 1);
	put_byte(host + world->page, 9);
	expect_value(byte_at(host + world->page), 9);
	expect_value(byte_at(host + 2 * world->page), 3);
}

static void every_mapping_loses_the_page(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *host;
	uint8_t *old;
	uint8_t *late;
	uint8_t value;
	int fd;

	host = one_private_page(world, true, &fd);
	late = map_file(world, fd, page, 2 * page);
	expect(!can_read(late, &value));
	expect_value(byte_at(late + page), 3);
	expect_value(set_file_attributes(world, fd, page, page, 0, NULL), 0);
	put_byte(late, 5);
	old = map_file(world, fd, page, page);
	expect_value(byte_at(old), 5);
	expect_value(set_file_attributes(world, fd, page, page, PRIVATE, NULL), 0);
	expect(!can_read(host + page, &value));
	expect(!can_read(late, &value));
	expect(!can_read(old, &value));
}

struct toucher {
	uint8_t *at;
	int code;
	void *address;
	bool good;
	pthread_t self;
};

static void *touch_in_thread(void *opaque)
{
	struct toucher *toucher = opaque;
	uint8_t value;

	toucher->good = read_or_signal(toucher->at, &value, &toucher->code, &toucher->address);
	return NULL;
}

/* The handler jumps back in the thread it runs in: another's would not come back here. */
static void signal_comes_to_the_toucher(struct world *world)
{
	struct toucher toucher[4];
	unsigned int i;
	uint8_t *host;
	int fd;

	host = one_private_page(world, true, &fd);
	memset(toucher, 0, sizeof(toucher));
	for (i = 0; i < 4; i++) {
		toucher[i].at = host + world->page + i * 64;
		expect_value(pthread_create(&toucher[i].self, NULL, touch_in_thread, &toucher[i]),
			     0);
	}
	for (i = 0; i < 4; i++) {
		expect_value(pthread_join(toucher[i].self, NULL), 0);
		expect(!toucher[i].good);
		expect_value(toucher[i].code, BUS_ADRERR);
		expect(toucher[i].address == toucher[i].at);
	}
}

static void system_calls_fail(struct world *world)
{
	struct iovec here;
	struct iovec there;
	char copy[16];
	uint8_t *host;
	int pipes[2];
	int fd;

	host = one_private_page(world, true, &fd);
	expect(pipe(pipes) == 0);
	expect(write(pipes[1], host + world->page, 16) == -1 && errno == EFAULT);
	expect(write(pipes[1], host, 1) == 1);
	expect(read(pipes[0], host + world->page, 1) == -1 && errno == EFAULT);
	here = (struct iovec){ copy, sizeof(copy) };
	there = (struct iovec){ host + world->page, sizeof(copy) };
	expect(process_vm_readv(getpid(), &here, 1, &there, 1, 0) == -1 && errno == EFAULT);
	expect(process_vm_writev(getpid(), &here, 1, &there, 1, 0) == -1 && errno == EFAULT);
	there.iov_base = host + 2 * world->page;
	expect(process_vm_readv(getpid(), &here, 1, &there, 1, 0) == sizeof(copy) && copy[0] == 3);
	close(pipes[0]);
	close(pipes[1]);
}

static void populating_fails(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *host;
	int fd;

	host = one_private_page(world, true, &fd);
	expect_value(advise(world, host + page, page, MADV_POPULATE_READ), -EFAULT);
	expect_value(advise(world, host, 3 * page, MADV_POPULATE_WRITE), -EFAULT);
	expect_value(advise(world, host + 2 * page, page, MADV_POPULATE_WRITE), 0);
}

static void memory_file_and_mlock_fail(struct world *world)
{
	char byte = 0;
	uint8_t *host;
	int memory;
	int fd;

	host = one_private_page(world, true, &fd);
	memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	expect(memory >= 0);
	expect(pread(memory, &byte, 1, (off_t)(uintptr_t)(host + world->page)) == -1 &&
	       errno == EIO);
	expect(pread(memory, &byte, 1, (off_t)(uintptr_t)host) == 1 && byte == 1);
	close(memory);
	expect(lock_memory(host + world->page, world->page) == -1 && errno == ENOMEM);
}

static void mlock_works_on_shared_pages(struct world *world)
{
	uint8_t *host = map_file(world, make_file(world, world->page, SHARED_FILE), 0, world->page);

	put_byte(host, 1);
	expect(lock_memory(host, world->page) == 0);
	expect_value(byte_at(host), 1);
	expect(unlock_memory(host, world->page) == 0);
}

/* Kernel fact F6: why libgmem never passes MMAP there. */
static void per_vm_a_mapped_file_is_nobodys(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 2 * page, FLAG_MMAP);
	uint8_t *host = map_file(world, fd, 0, 2 * page);
	uint8_t *shared = map_anonymous(world, 2 * page);
	struct vcpu vcpu;
	unsigned int private;
	uint8_t value;

	expect_value(set_slot(world, 0, 0, GPA, 2 * page, shared, fd, 0), 0);
	make_vcpu(world, &vcpu);
	put_byte(shared, 0x11);
	for (private = 0; private < 2; private ++) {
		uint32_t access = private ? private_access(world) : 0;

		expect_value(set_vm_attributes(world, GPA, page, private ? PRIVATE : 0), 0);
		guest_must_store(&vcpu, GPA, 0x70 + private, access);
		expect_value(guest_must_load(&vcpu, GPA, access), 0x70 + private);
		/* Not in the shared side, and out of reach in the file. */
		expect_value(byte_at(shared), 0x11);
		expect(!can_read(host, &value));
	}
	destroy_vcpu(&vcpu);
}

static void in_place_without_init_shared_is_useless(struct world *world)
{
	static const uint64_t flags[] = { 0, FLAG_MMAP };
	struct vcpu vcpu;
	unsigned int i;

	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	for (i = 0; i < 2; i++) {
		int fd = make_file(world, world->page, flags[i]);
		void *other = map_anonymous(world, world->page);

		expect_value(set_slot(world, 0, 0, GPA, world->page, other, fd, 0), 0);
		expect_memory_fault(&vcpu, GPA, 0, 0);
		expect_memory_fault(&vcpu, GPA, GUEST_WRITE, 0);
		expect_value(delete_slot(world, 0), 0);
	}
	destroy_vcpu(&vcpu);
}

static void before_in_place_it_works_without_init_shared(struct world *world)
{
	static const uint64_t flags[] = { 0, FLAG_MMAP };
	struct vcpu vcpu;
	unsigned int i;

	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	for (i = 0; i < 2; i++) {
		int fd = make_file(world, world->page, flags[i]);
		void *other = map_anonymous(world, world->page);

		expect_value(set_slot(world, 0, 0, GPA, world->page, other, fd, 0), 0);
		guest_must_store(&vcpu, GPA + 8, 0xabc + i, 0);
		expect_value(guest_must_load(&vcpu, GPA + 8, 0), 0xabc + i);
		expect_value(delete_slot(world, 0), 0);
	}
	destroy_vcpu(&vcpu);
}

const struct conformance_case mapping_cases[] = {
	{ "mmap without MMAP is ENODEV", "F4", NEED_GUEST_MEMFD, no_mmap_without_the_flag },
	{ "mappings that are refused", "F4", NEED_FLAGS, refused_mappings },
	{ "what mmap refuses of any file comes first", "F4", NEED_GUEST_MEMFD,
	  arguments_are_judged_first },
	{ "what mmap refuses of any file replaces nothing", "F4", NEED_GUEST_MEMFD,
	  refused_arguments_replace_nothing },
	{ "what guest_memfd refuses is replaced already", "F4", NEED_GUEST_MEMFD,
	  what_the_file_refuses_is_replaced_already },
	{ "a mapping may exceed the file, touching may not", "F4", NEED_SHARED_FILE,
	  touching_past_the_end },
	{ "two mappings of a file are the same memory", "F4", NEED_SHARED_FILE, windows_of_a_file },
	{ "MAP_POPULATE passes over private pages", "F4", NEED_IN_PLACE,
	  populate_passes_over_private_pages },
	{ "a private page raises SIGBUS with its address", "F5", NEED_IN_PLACE,
	  signal_names_the_address },
	{ "a private page comes back", "F5", NEED_IN_PLACE, a_private_page_comes_back },
	{ "every mapping loses the page, old and new", "F5", NEED_IN_PLACE,
	  every_mapping_loses_the_page },
	{ "SIGBUS comes to the thread that touches", "F5", NEED_IN_PLACE,
	  signal_comes_to_the_toucher },
	{ "system calls given a private page fail with EFAULT", "F5", NEED_IN_PLACE,
	  system_calls_fail },
	{ "MADV_POPULATE_* of a private page fails with EFAULT", "F5", NEED_IN_PLACE,
	  populating_fails },
	{ "/proc/self/mem fails with EIO, mlock with ENOMEM", "F5", NEED_IN_PLACE,
	  memory_file_and_mlock_fail },
	{ "mlock works on shared pages", "F9", NEED_SHARED_FILE, mlock_works_on_shared_pages },
	{ "per VM, a file with MMAP takes the guest's shared accesses too", "F6",
	  NEED_PER_VM | NEED_FLAGS | NEED_GUEST, per_vm_a_mapped_file_is_nobodys },
	{ "in-place kernel, ordinary VM: without INIT_SHARED a file is useless", "F7",
	  NEED_ORDINARY | NEED_IN_PLACE_KERNEL | NEED_GUEST,
	  in_place_without_init_shared_is_useless },
	{ "ordinary VM before in-place: a file without INIT_SHARED works", "F7",
	  NEED_ORDINARY | NEED_FLAGS | NEED_GUEST | NEED_NOT_IN_PLACE_KERNEL,
	  before_in_place_it_works_without_init_shared },
	{ NULL, NULL, 0, NULL },
};
