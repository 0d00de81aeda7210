// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Private pages in mappings: SIGBUS, EFAULT, contents. Each case runs with userfaultfd and with
 * mappings of an empty file, and with every page size that this host can show.
 */
#include "sim-kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

struct variant {
	uint64_t sigbus;
	uint64_t page_size;
	bool is_joined; /* shared pages are in windows as well: see sim/guard.c */
};

static uint64_t size_of_page;
static bool is_joined;

static void start(struct kit *kit, void **state, uint32_t preset, uint32_t type)
{
	const struct variant *variant = *state;
	const uint64_t settings[] = { GMEM_SIM_SIGBUS,
				      variant->sigbus,
				      GMEM_SIM_PAGE_SIZE,
				      variant->page_size,
				      variant->is_joined ? GMEM_SIM_MAPPINGS : 0,
				      0,
				      0 };
	struct gmem_sim *probe;
	int err;

	assert_int_equal(gmem_sim_new(preset, &probe), 0);
	err = gmem_sim_set(probe, GMEM_SIM_SIGBUS, variant->sigbus);
	gmem_sim_free(probe);
	if (err == -EOPNOTSUPP)
		skip();
	size_of_page = variant->page_size;
	is_joined = variant->is_joined;
	kit_new_with(kit, preset, type, settings);
}

#define P(n) ((n)*size_of_page)

static void one_page_and_back(void **state)
{
	struct kit kit;
	uint8_t *map;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(64), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(64));
	map[P(5)] = 1;
	map[P(6)] = 2;
	map[P(6) + 100] = 3;
	map[P(7)] = 4;
	assert_int_equal(kit_convert(&kit, fd, P(6), P(1), true, NULL), 0);
	assert_private(map + P(6));
	assert_private(map + P(6) + 100);
	assert_private(map + P(7) - 1);
	assert_int_equal(kit_write(map + P(6) + 17, 9), TOUCH_SIGBUS);
	assert_byte(map + P(5), 1);
	assert_byte(map + P(7), 4);
	assert_int_equal(kit_write(map + P(5), 5), TOUCH_DONE);
	assert_int_equal(kit_convert(&kit, fd, P(6), P(1), false, NULL), 0);
	assert_byte(map + P(6), 2);
	assert_byte(map + P(6) + 100, 3);
	assert_byte(map + P(6) + 17, 0);
	assert_byte(map + P(5), 5);
	assert_int_equal(kit_write(map + P(6), 7), TOUCH_DONE);
	kit_unmap(&kit, map, P(64));
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void untouched_neighbours_work(void **state)
{
	struct kit kit;
	uint8_t *map;
	unsigned int i;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(64), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(64));
	for (i = 1; i < 64; i += 2)
		assert_int_equal(kit_convert(&kit, fd, P(i), P(1), true, NULL), 0);
	for (i = 0; i < 64; i++) {
		assert_int_equal(kit_page(&kit, fd, P(i)).allocated, 0);
		if (i % 2)
			assert_private(map + P(i));
		else
			assert_byte(map + P(i), 0);
		/* A page of zeros in a window may be anybody's. */
		if (!is_joined)
			assert_int_equal(kit_page(&kit, fd, P(i)).allocated, i % 2 == 0);
	}
	assert_int_equal(kit_convert(&kit, fd, 0, P(64), false, NULL), 0);
	for (i = 0; i < 64; i++)
		assert_byte(map + P(i), 0);
	kit_unmap(&kit, map, P(64));
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void starts_private(void **state)
{
	struct kit kit;
	uint8_t *map;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, GIB, MMAP_FLAG);
	map = kit_map(&kit, fd, GIB);
	assert_private(map);
	assert_private(map + GIB / 2 + 1);
	assert_private(map + GIB - 1);
	assert_int_equal(kit_convert(&kit, fd, GIB / 2, P(3), false, NULL), 0);
	assert_private(map + GIB / 2 - 1);
	assert_int_equal(kit_write(map + GIB / 2 + P(2), 8), TOUCH_DONE);
	assert_byte(map + GIB / 2 + P(3) - 1, 0);
	assert_private(map + GIB / 2 + P(3));
	assert_int_equal(kit_convert(&kit, fd, 0, GIB, false, NULL), 0);
	assert_byte(map, 0);
	assert_byte(map + GIB - 1, 0);
	assert_byte(map + GIB / 2 + P(2), 8);
	assert_int_equal(kit_convert(&kit, fd, 0, GIB, true, NULL), 0);
	assert_private(map + GIB / 2 + P(2));
	assert_private(map + 12345);
	kit_unmap(&kit, map, GIB);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void several_mappings(void **state)
{
	struct kit kit;
	uint8_t *first, *second, *part;
	int64_t address;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(64), MMAP_FLAG | SHARED_FLAG);
	first = kit_map(&kit, fd, P(64));
	first[P(20)] = 3;
	address =
		kit_call(&kit, GMEM_SYS_MMAP, 0, P(4), PROT_READ, MAP_SHARED, (uint64_t)fd, P(18));
	assert_true(address > 0);
	part = (uint8_t *)(uintptr_t)address;
	assert_int_equal(kit_convert(&kit, fd, P(20), P(1), true, NULL), 0);
	second = kit_map(&kit, fd, P(64));
	assert_private(first + P(20));
	assert_private(second + P(20));
	assert_private(part + P(2));
	assert_byte(part + P(1), 0);
	assert_byte(second + P(21), 0);
	assert_int_equal(kit_convert(&kit, fd, P(20), P(1), false, NULL), 0);
	assert_byte(first + P(20), 3);
	assert_byte(second + P(20), 3);
	assert_byte(part + P(2), 3);
	kit_unmap(&kit, part, P(4));
	/* A hole in the middle of a mapping stays one. */
	kit_unmap(&kit, second + P(8), P(8));
	assert_int_equal(kit_convert(&kit, fd, 0, P(64), true, NULL), 0);
	assert_int_equal(kit_get(second + P(8)), -2);
	assert_private(second + P(7));
	assert_private(second + P(16));
	assert_int_equal(kit_convert(&kit, fd, 0, P(64), false, NULL), 0);
	assert_int_equal(kit_get(second + P(8)), -2);
	assert_byte(second + P(20), 3);
	kit_unmap(&kit, first, P(64));
	kit_unmap(&kit, second, P(64));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* F5 */
static void system_calls_fail(void **state)
{
	struct kit kit;
	struct iovec local, remote;
	uint8_t *map, byte;
	int pipes[2], fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(16), MMAP_FLAG);
	map = kit_map(&kit, fd, P(16));
	assert_int_equal(kit_convert(&kit, fd, 0, P(1), false, NULL), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], map, 1), 1);
	assert_int_equal(write(pipes[1], map + P(1), 1), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(read(pipes[0], map + P(1), 1), -1);
	assert_int_equal(errno, EFAULT);
	local = (struct iovec){ &byte, 1 };
	remote = (struct iovec){ map + P(1), 1 };
	assert_int_equal(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(kit_call(&kit, GMEM_SYS_MADVISE, (uint64_t)(uintptr_t)(map + P(1)), P(1),
				  22, 0, 0, 0),
			 -EFAULT);
	assert_int_equal(
		kit_call(&kit, GMEM_SYS_MADVISE, (uint64_t)(uintptr_t)map, P(1), 23, 0, 0, 0), 0);
	/* Sanitizers make mlock() do nothing. */
	assert_int_equal(syscall(SYS_mlock, map + P(1), P(1)), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(syscall(SYS_mlock, map, P(1)), 0);
	assert_private(map + P(1));
	close(pipes[0]);
	close(pipes[1]);
	kit_unmap(&kit, map, P(16));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* F4 */
static void populate_passes_over_private_pages(void **state)
{
	struct kit kit;
	int64_t address;
	uint8_t *map;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(16), MMAP_FLAG);
	assert_int_equal(kit_convert(&kit, fd, P(3), P(2), false, NULL), 0);
	address = kit_call(&kit, GMEM_SYS_MMAP, 0, P(20), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, (uint64_t)fd, 0);
	assert_true(address > 0);
	map = (uint8_t *)(uintptr_t)address;
	assert_int_equal(kit_page(&kit, fd, P(2)).allocated, 0);
	if (!is_joined) {
		assert_int_equal(kit_page(&kit, fd, P(3)).allocated, 1);
		assert_int_equal(kit_page(&kit, fd, P(4)).allocated, 1);
	}
	assert_int_equal(kit_page(&kit, fd, P(5)).allocated, 0);
	assert_private(map + P(5));
	assert_byte(map + P(4), 0);
	/* Past the end of the file. */
	assert_private(map + P(16));
	kit_unmap(&kit, map, P(20));
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void fixed_mappings(void **state)
{
	struct kit kit;
	int64_t place;
	uint8_t *map;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(8), MMAP_FLAG);
	place = kit_call(&kit, GMEM_SYS_MMAP, 0, P(32), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			 UINT64_MAX, 0);
	assert_true(place > 0);
	assert_int_equal((uint64_t)place % size_of_page, 0);
	map = (uint8_t *)(uintptr_t)place;
	assert_int_equal(kit_call(&kit, GMEM_SYS_MMAP, (uint64_t)place + P(8), P(8),
				  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (uint64_t)fd, 0),
			 place + (int64_t)P(8));
	assert_private(map + P(8));
	/* Something else in the middle of it is left alone from now on. */
	assert_int_equal(kit_call(&kit, GMEM_SYS_MMAP, (uint64_t)place + P(10), P(2),
				  PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				  UINT64_MAX, 0),
			 place + (int64_t)P(10));
	map[P(10)] = 42;
	assert_int_equal(kit_convert(&kit, fd, 0, P(8), false, NULL), 0);
	assert_byte(map + P(8), 0);
	assert_byte(map + P(10), 42);
	assert_int_equal(kit_convert(&kit, fd, 0, P(8), true, NULL), 0);
	assert_private(map + P(9));
	assert_byte(map + P(10), 42);
	assert_private(map + P(12));
	kit_unmap(&kit, map, P(32));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* A mapping that went past the door, and another one in its place. */
static void replaced_behind_the_door(void **state)
{
	struct kit kit;
	uint8_t *map, *other;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(16), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(16));
	other = mmap(map + P(4), P(4), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	assert_ptr_equal(other, map + P(4));
	other[0] = 7;
	assert_int_equal(munmap(map + P(12), P(4)), 0);
	assert_int_equal(kit_convert(&kit, fd, 0, P(16), true, NULL), 0);
	assert_byte(other, 7);
	assert_byte(other + P(3), 0);
	assert_private(map);
	assert_private(map + P(8));
	assert_int_equal(kit_get(map + P(12)), -2);
	assert_int_equal(kit_convert(&kit, fd, 0, P(16), false, NULL), 0);
	assert_byte(other, 7);
	assert_byte(map + P(8), 0);
	kit_unmap(&kit, map, P(16));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* F8, F9: whichever way it is punched, and on either side */
static void punching(void **state)
{
	struct kit kit;
	uint8_t *map;
	unsigned int i;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(64), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(64));
	memset(map, 0x55, P(64));
	assert_int_equal(kit_convert(&kit, fd, P(2), P(2), true, NULL), 0);
	assert_int_equal(kit_punch(&kit, fd, P(1), P(2)), 0);
	assert_int_equal(kit_page(&kit, fd, P(1)).allocated, 0);
	assert_int_equal(kit_page(&kit, fd, P(2)).allocated, 0);
	assert_int_equal(kit_page(&kit, fd, P(3)).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, P(2)).state, GMEM_PRIVATE);
	assert_byte(map, 0x55);
	assert_byte(map + P(1) + 9, 0);
	assert_private(map + P(2));
	assert_int_equal(kit_write(map + P(1), 3), TOUCH_DONE);
	assert_int_equal(kit_page(&kit, fd, P(1)).allocated, 1);
	assert_int_equal(kit_call(&kit, GMEM_SYS_MADVISE, (uint64_t)(uintptr_t)(map + P(3)), P(40),
				  MADV_REMOVE, 0, 0, 0),
			 0);
	assert_private(map + P(3));
	assert_byte(map + P(42), 0);
	assert_byte(map + P(43), 0x55);
	/* Only page tables: nothing is lost, and a private page stays one. */
	assert_int_equal(kit_call(&kit, GMEM_SYS_MADVISE, (uint64_t)(uintptr_t)map, P(64),
				  MADV_DONTNEED, 0, 0, 0),
			 0);
	assert_byte(map + P(1), 3);
	assert_private(map + P(2));
	assert_int_equal(kit_convert(&kit, fd, 0, P(64), false, NULL), 0);
	for (i = 2; i < 43; i++)
		assert_byte(map + P(i), 0);
	kit_unmap(&kit, map, P(64));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* The file lives as long as a mapping, and as a dup that another number has. */
static void last_reference(void **state)
{
	struct kit kit;
	unsigned int before;
	uint8_t *map;
	int fd, other;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	before = kit_open_descriptors();
	fd = kit_create(&kit, P(16), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(16));
	map[0] = 1;
	other = dup(fd);
	assert_int_equal(kit_convert(&kit, other, 0, P(1), true, NULL), 0);
	kit_close(&kit, fd);
	assert_private(map);
	assert_int_equal(kit_convert(&kit, other, 0, P(1), false, NULL), 0);
	kit_close(&kit, other);
	assert_byte(map, 1);
	assert_true(kit_open_descriptors() > before);
	kit_unmap(&kit, map, P(16));
	assert_int_equal(kit_open_descriptors(), before);
	kit_free(&kit);
}

/* F6, F7: without INIT_SHARED the host cannot touch any of it. */
static void host_cannot_touch_without_init_shared(void **state)
{
	struct kit kit;
	uint8_t *map, value = 0;
	int fd;

	start(&kit, state, GMEM_SIM_LINUX_6_18, SW);
	assert_int_equal(kit_create(&kit, P(16), MMAP_FLAG | SHARED_FLAG), -EINVAL);
	fd = kit_create(&kit, P(16), MMAP_FLAG);
	map = kit_map(&kit, fd, P(16));
	assert_private(map + P(3));
	assert_int_equal(kit_set_slot(&kit, 1, 0, 0, P(16), map, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, P(3), 9, 0), 0);
	assert_private(map + P(3));
	assert_int_equal(kit_set_attributes(&kit, 0, P(16), PRIVATE_BIT), 0);
	assert_int_equal(kit_guest_read(&kit, P(3), &value, 0), 0);
	assert_int_equal(value, 9);
	kit_unmap(&kit, map, P(16));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* F12: of either side, and nothing is converted by it. */
static void punched_by_a_child(void **state)
{
	struct kit kit;
	uint8_t *map;
	int fd, status;
	pid_t child;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(16), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(16));
	memset(map, 5, P(16));
	assert_int_equal(kit_convert(&kit, fd, P(2), P(4), true, NULL), 0);
	child = fork();
	if (child == 0) {
		bool is_right = kit_punch(&kit, fd, P(3), P(2)) == 0 &&
				(is_joined || kit_punch(&kit, fd, P(8), P(1)) == 0) &&
				kit_punch(&kit, fd, 1, P(1)) == -EINVAL &&
				kit_punch(&kit, fd, P(16), P(1)) == 0;

		_exit(is_right ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_private(map + P(3));
	assert_int_equal(kit_convert(&kit, fd, P(2), P(4), false, NULL), 0);
	assert_byte(map + P(2), 5);
	assert_byte(map + P(3), 0);
	assert_byte(map + P(4), 0);
	assert_byte(map + P(5), 5);
	/* A shared page in a window would raise SIGBUS now: see gmem-sim(7). */
	if (!is_joined)
		assert_byte(map + P(8), 0);
	kit_unmap(&kit, map, P(16));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* What the caller protects stays so, whatever turned private and back meanwhile. */
static void protected_by_the_caller(void **state)
{
	struct kit kit;
	uint8_t *map;
	int fd;

	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(16), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(16));
	memset(map, 5, P(16));
	assert_int_equal(mprotect(map + P(2), P(2), PROT_READ), 0);
	assert_int_equal(kit_convert(&kit, fd, P(1), P(8), true, NULL), 0);
	assert_private(map + P(2));
	assert_int_equal(mprotect(map + P(4), P(2), PROT_NONE), 0);
	assert_int_equal(kit_convert(&kit, fd, P(1), P(8), false, NULL), 0);
	assert_int_equal(kit_write(map + P(1), 6), TOUCH_DONE);
	assert_byte(map + P(2), 5);
	assert_int_equal(kit_write(map + P(3), 6), TOUCH_OTHER);
	assert_int_equal(kit_get(map + P(4)), -2);
	assert_int_equal(kit_get(map + P(5)), -2);
	assert_int_equal(kit_write(map + P(6), 6), TOUCH_DONE);
	assert_int_equal(mprotect(map, P(16), PROT_READ | PROT_WRITE), 0);
	assert_byte(map + P(5), 5);
	assert_int_equal(kit_write(map + P(3), 6), TOUCH_DONE);
	assert_byte(map + P(3), 6);
	kit_unmap(&kit, map, P(16));
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* The child has no guard: it sees none of the bytes, and leaves the parent's as it was. */
static void read_and_written_by_a_child(void **state)
{
	struct kit kit;
	uint8_t *map;
	int fd, status;
	pid_t child;

	/* It inherits what is mapped over. */
	if (((const struct variant *)*state)->sigbus == GMEM_SIM_SIGBUS_MAPPING) {
		print_message("a child of this variant gets SIGBUS\n");
		skip();
	}
	start(&kit, state, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, P(16), MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, P(16));
	map[P(1)] = 1;
	map[P(2)] = 2;
	assert_int_equal(kit_convert(&kit, fd, P(2), P(2), true, NULL), 0);
	child = fork();
	if (child == 0) {
		bool is_right = map[P(1)] == 1 && map[P(2)] == 0 && map[P(3)] == 0;

		map[P(1)] = 11;
		map[P(2)] = 12;
		map[P(3)] = 13;
		_exit(is_right ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_byte(map + P(1), 11);
	assert_private(map + P(2));
	assert_private(map + P(3));
	assert_int_equal(kit_convert(&kit, fd, P(2), P(2), false, NULL), 0);
	assert_byte(map + P(2), 2);
	assert_byte(map + P(3), 0);
	kit_unmap(&kit, map, P(16));
	kit_close(&kit, fd);
	kit_free(&kit);
}

#define CASE(test, variant)                                                                        \
	{                                                                                          \
#test " " #variant, test, NULL, NULL, &variant                                     \
	}
#define CASES(variant)                                                                             \
	CASE(one_page_and_back, variant), CASE(untouched_neighbours_work, variant),                \
		CASE(starts_private, variant), CASE(several_mappings, variant),                    \
		CASE(system_calls_fail, variant),                                                  \
		CASE(populate_passes_over_private_pages, variant), CASE(fixed_mappings, variant),  \
		CASE(replaced_behind_the_door, variant), CASE(punching, variant),                  \
		CASE(last_reference, variant), CASE(read_and_written_by_a_child, variant),         \
		CASE(punched_by_a_child, variant), CASE(protected_by_the_caller, variant),         \
		CASE(host_cannot_touch_without_init_shared, variant)

int main(void)
{
	static struct variant uffd_4k = { GMEM_SIM_SIGBUS_USERFAULTFD, 4096, false };
	static struct variant uffd_16k = { GMEM_SIM_SIGBUS_USERFAULTFD, 16384, false };
	static struct variant uffd_64k = { GMEM_SIM_SIGBUS_USERFAULTFD, 65536, false };
	static struct variant joined_4k = { GMEM_SIM_SIGBUS_USERFAULTFD, 4096, true };
	static struct variant joined_64k = { GMEM_SIM_SIGBUS_USERFAULTFD, 65536, true };
	static struct variant mapping_4k = { GMEM_SIM_SIGBUS_MAPPING, 4096, false };
	static struct variant mapping_16k = { GMEM_SIM_SIGBUS_MAPPING, 16384, false };
	static struct variant mapping_64k = { GMEM_SIM_SIGBUS_MAPPING, 65536, false };
	const struct CMUnitTest tests[] = {
		CASES(uffd_4k),  CASES(mapping_4k),  CASES(uffd_16k),  CASES(mapping_16k),
		CASES(uffd_64k), CASES(mapping_64k), CASES(joined_4k), CASES(joined_64k),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
