// SPDX-License-Identifier: LGPL-2.1-or-later
/* guest_memfd files: creation, mmap(), fallocate(), advice, NUMA, what is refused. */
#include "sim-kit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static uint64_t arg_of(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

/* F1, F2 */
static void creation(void **state)
{
	struct gmem_kvm_create_guest_memfd reserved = { .size = PAGE, .reserved = { 1 } };
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_create(&kit, 0, 0), -EINVAL);
	assert_int_equal(kit_create(&kit, 100, 0), -EINVAL);
	assert_int_equal(kit_create(&kit, UINT64_C(1) << 63, 0), -EINVAL);
	assert_int_equal(kit_create(&kit, PAGE, 4), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_CREATE_GUEST_MEMFD, NULL), -EFAULT);
	fd = kit_create(&kit, INT64_MAX - PAGE + 1, 0);
	assert_true(fd >= 0);
	assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	kit_close(&kit, fd);
	/* I1 */
	fd = kit_ioctl(&kit, kit.vm, GMEM_KVM_CREATE_GUEST_MEMFD, &reserved);
	assert_true(fd >= 0);
	kit_close(&kit, fd);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_OLD, 0);
	assert_int_equal(kit_create(&kit, PAGE, 0), -ENOTTY);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_LINUX_6_8, SW);
	assert_int_equal(kit_create(&kit, PAGE, MMAP_FLAG), -EINVAL);
	fd = kit_create(&kit, PAGE, 0);
	assert_true(fd >= 0);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static int64_t try_map(struct kit *kit, int fd, int protection, int flags)
{
	return kit_call(kit, GMEM_SYS_MMAP, 0, PAGE, (uint64_t)protection, (uint64_t)flags,
			(uint64_t)fd, 0);
}

/* F4 */
static void mapping_rules(void **state)
{
	struct kit kit;
	int plain, fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	plain = kit_create(&kit, PAGE, 0);
	fd = kit_create(&kit, PAGE, MMAP_FLAG);
	assert_int_equal(try_map(&kit, plain, PROT_READ, MAP_SHARED), -ENODEV);
	assert_int_equal(try_map(&kit, plain, PROT_READ, MAP_PRIVATE), -ENODEV);
	assert_int_equal(try_map(&kit, fd, PROT_READ, MAP_PRIVATE), -EINVAL);
	assert_int_equal(try_map(&kit, fd, PROT_READ, MAP_SHARED | MAP_HUGETLB), -EINVAL);
	assert_int_equal(try_map(&kit, fd, PROT_READ | PROT_EXEC, MAP_SHARED), -EPERM);
	assert_int_equal(try_map(&kit, kit.vm, PROT_READ, MAP_SHARED), -ENODEV);
	assert_int_equal(try_map(&kit, -1, PROT_READ, MAP_SHARED), -EBADF);
	kit_close(&kit, plain);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static int64_t try_fallocate(struct kit *kit, int fd, int mode, uint64_t offset, uint64_t length)
{
	return kit_call(kit, GMEM_SYS_FALLOCATE, (uint64_t)fd, (uint64_t)mode, offset, length, 0,
			0);
}

/* F8 */
static void fallocate_rules(void **state)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG);
	assert_int_equal(try_fallocate(&kit, fd, 0, 0, PAGE), -EOPNOTSUPP);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE), -EOPNOTSUPP);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_ZERO_RANGE, 0, PAGE), -EOPNOTSUPP);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE), -EOPNOTSUPP);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_KEEP_SIZE, 0, 0), -EINVAL);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_KEEP_SIZE, UINT64_MAX, PAGE), -EINVAL);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_KEEP_SIZE, 1, PAGE), -EINVAL);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_KEEP_SIZE, 0, 1), -EINVAL);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_KEEP_SIZE, 0, 17 * PAGE), -EINVAL);
	assert_int_equal(try_fallocate(&kit, fd, punch, INT64_MAX & ~4095, PAGE), -EFBIG);
	assert_int_equal(try_fallocate(&kit, fd, punch, 0, 17 * PAGE), 0);
	assert_int_equal(try_fallocate(&kit, fd, punch, 32 * PAGE, PAGE), 0);
	assert_int_equal(try_fallocate(&kit, kit.vm, punch, 0, PAGE), -ENODEV);
	assert_int_equal(kit_convert(&kit, fd, 0, 4 * PAGE, false, NULL), 0);
	assert_int_equal(try_fallocate(&kit, fd, FALLOC_FL_KEEP_SIZE, 2 * PAGE, 4 * PAGE), 0);
	assert_int_equal(kit_page(&kit, fd, PAGE).allocated, 0);
	assert_int_equal(kit_page(&kit, fd, 3 * PAGE).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, 5 * PAGE).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, 6 * PAGE).allocated, 0);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* F11 */
static void refused(void **state)
{
	struct statfs statfs;
	struct stat stat;
	struct kit kit;
	uint8_t *map;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, 16 * PAGE);
	memset(map, 1, 16 * PAGE);
	assert_int_equal(kit_call(&kit, GMEM_SYS_FTRUNCATE, (uint64_t)fd, PAGE, 0, 0, 0, 0),
			 -EINVAL);
	assert_int_equal(kit_call(&kit, GMEM_SYS_WRITE, (uint64_t)fd, arg_of(map), 1, 0, 0, 0),
			 -EINVAL);
	assert_int_equal(kit_call(&kit, GMEM_SYS_FCNTL, (uint64_t)fd, F_ADD_SEALS, F_SEAL_SHRINK, 0,
				  0, 0),
			 -EINVAL);
	assert_int_equal(kit_call(&kit, GMEM_SYS_FCNTL, (uint64_t)fd, F_GET_SEALS, 0, 0, 0, 0),
			 -EINVAL);
	assert_int_equal(kit_call(&kit, GMEM_SYS_FCNTL, (uint64_t)fd, F_SETFD, FD_CLOEXEC, 0, 0, 0),
			 0);
	assert_int_equal(kit_call(&kit, GMEM_SYS_FSTAT, (uint64_t)fd, arg_of(&stat), 0, 0, 0, 0),
			 0);
	assert_int_equal(stat.st_size, 16 * PAGE);
	assert_int_equal(stat.st_blocks, 0);
	assert_int_equal(
		kit_call(&kit, GMEM_SYS_FSTATFS, (uint64_t)fd, arg_of(&statfs), 0, 0, 0, 0), 0);
	assert_int_equal(statfs.f_type, 0x474d454d);
	assert_int_equal(kit_ioctl(&kit, fd, GMEM_KVM_RUN, NULL), -ENOTTY);
	kit_unmap(&kit, map, 16 * PAGE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* F9 */
static void advice(void **state)
{
	static const struct {
		int advice;
		int result;
	} all[] = {
		{ MADV_FREE, -EINVAL },    { MADV_MERGEABLE, -EINVAL },
		{ 25, -EINVAL },           { MADV_WIPEONFORK, -EINVAL },
		{ MADV_HUGEPAGE, 0 },      { MADV_DONTDUMP, 0 },
		{ MADV_DODUMP, 0 },        { MADV_DONTFORK, 0 },
		{ MADV_DOFORK, 0 },        { MADV_DONTNEED, 0 },
		{ MADV_HWPOISON, -EPERM }, { MADV_COLD, 0 },
		{ 9999, -EINVAL },
	};
	struct kit kit;
	uint8_t *map;
	size_t i;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, 16 * PAGE);
	map[PAGE] = 5;
	assert_int_equal(kit_convert(&kit, fd, 2 * PAGE, PAGE, true, NULL), 0);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(kit_call(&kit, GMEM_SYS_MADVISE, arg_of(map), 4 * PAGE,
					  (uint64_t)all[i].advice, 0, 0, 0),
				 all[i].result);
		assert_byte(map + PAGE, 5);
		assert_private(map + 2 * PAGE);
	}
	assert_int_equal(kit_call(&kit, GMEM_SYS_MADVISE, arg_of(map) + 1, PAGE, MADV_DONTNEED, 0,
				  0, 0),
			 -EINVAL);
	assert_int_equal(kit_call(&kit, GMEM_SYS_MADVISE, arg_of(map), UINT64_MAX, MADV_DONTNEED, 0,
				  0, 0),
			 -EINVAL);
	kit_unmap(&kit, map + 8 * PAGE, PAGE);
	assert_int_equal(kit_call(&kit, GMEM_SYS_MADVISE, arg_of(map), 16 * PAGE, MADV_REMOVE, 0, 0,
				  0),
			 -ENOMEM);
	kit_unmap(&kit, map, 16 * PAGE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static int policy_of(struct kit *kit, const uint8_t *address)
{
	uint64_t nodes[16] = { 0 };
	int mode = -1;

	if (kit_call(kit, GMEM_SYS_GET_MEMPOLICY, arg_of(&mode), arg_of(nodes), 1024,
		     arg_of(address), MPOL_F_ADDR, 0) < 0)
		return -1;
	return mode;
}

/* F10 */
static void numa(void **state)
{
	const uint64_t absent[] = { GMEM_SIM_NUMA, GMEM_SIM_NUMA_ABSENT, 0 };
	static const uint32_t presets[] = { GMEM_SIM_LINUX_6_18, GMEM_SIM_IN_PLACE };
	uint64_t node = 1;
	uint8_t *map, *other;
	struct kit kit;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < 2; i++) {
		kit_new(&kit, presets[i], 0);
		fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG | SHARED_FLAG);
		map = kit_map(&kit, fd, 16 * PAGE);
		other = kit_map(&kit, fd, 16 * PAGE);
		if (policy_of(&kit, map) < 0) {
			kit_unmap(&kit, map, 16 * PAGE);
			kit_unmap(&kit, other, 16 * PAGE);
			kit_close(&kit, fd);
			kit_free(&kit);
			skip(); /* a host without NUMA */
		}
		assert_int_equal(kit_call(&kit, GMEM_SYS_MBIND, arg_of(map), 4 * PAGE, MPOL_BIND,
					  arg_of(&node), 64, 0),
				 0);
		assert_int_equal(policy_of(&kit, map), MPOL_BIND);
		assert_int_equal(policy_of(&kit, map + 8 * PAGE), MPOL_DEFAULT);
		assert_int_equal(policy_of(&kit, other), i == 0 ? MPOL_DEFAULT : MPOL_BIND);
		assert_int_equal(kit_call(&kit, GMEM_SYS_MBIND, arg_of(map), 4 * PAGE, 99,
					  arg_of(&node), 64, 0),
				 -EINVAL);
		assert_int_equal(kit_call(&kit, GMEM_SYS_MBIND, arg_of(map), PAGE, MPOL_DEFAULT, 0,
					  0, 0),
				 0);
		assert_int_equal(policy_of(&kit, map), MPOL_DEFAULT);
		kit_unmap(&kit, map, 16 * PAGE);
		kit_unmap(&kit, other, 16 * PAGE);
		kit_close(&kit, fd);
		kit_free(&kit);
	}
	kit_new_with(&kit, GMEM_SIM_IN_PLACE, 0, absent);
	assert_int_equal(kit_call(&kit, GMEM_SYS_MBIND, 0, PAGE, MPOL_BIND, 0, 0, 0), -ENOSYS);
	assert_int_equal(kit_call(&kit, GMEM_SYS_GET_MEMPOLICY, 0, 0, 0, 0, 0, 0), -ENOSYS);
	kit_free(&kit);
}

static void other_calls_are_the_hosts(void **state)
{
	uint8_t *anonymous;
	struct kit kit;
	int64_t fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_call(&kit, GMEM_SYS_MEMFD_CREATE, arg_of("x"), 0, 0, 0, 0, 0);
	assert_true(fd >= 0);
	assert_int_equal(kit_call(&kit, GMEM_SYS_FTRUNCATE, (uint64_t)fd, PAGE, 0, 0, 0, 0), 0);
	assert_int_equal(kit_call(&kit, GMEM_SYS_WRITE, (uint64_t)fd, arg_of("y"), 1, 0, 0, 0), 1);
	assert_int_equal(kit_ioctl(&kit, (int)fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, NULL), -ENOTTY);
	kit_close(&kit, (int)fd);
	anonymous = (uint8_t *)(uintptr_t)kit_call(&kit, GMEM_SYS_MMAP, 0, PAGE,
						   PROT_READ | PROT_WRITE,
						   MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX, 0);
	anonymous[0] = 1;
	kit_unmap(&kit, anonymous, PAGE);
	assert_int_equal(kit_call(&kit, GMEM_SYS_MMAP, 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
				  UINT64_MAX, 0),
			 -EINVAL);
	assert_int_equal(kit_call(&kit, GMEM_SYS_MUNMAP, 1, PAGE, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(kit_call(&kit, 0, 0, 0, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(kit_call(&kit, 1000, 0, 0, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(kit_close(&kit, -1), -EBADF);
	assert_int_equal(kit_ioctl(&kit, -1, 0, NULL), -EBADF);
	kit_free(&kit);
}

/* A kernel with larger pages than the host's. */
static void larger_pages(void **state)
{
	const uint64_t settings[] = { GMEM_SIM_PAGE_SIZE, 65536, 0 };
	struct kit kit;
	int64_t address;
	unsigned int i;
	int fd;

	(void)state;
	kit_new_with(&kit, GMEM_SIM_IN_PLACE, SW, settings);
	assert_int_equal(kit_call(&kit, GMEM_SYS_GETPAGESIZE, 0, 0, 0, 0, 0, 0), 65536);
	assert_int_equal(kit_create(&kit, 4096, 0), -EINVAL);
	fd = kit_create(&kit, 131072, MMAP_FLAG);
	assert_int_equal(kit_convert(&kit, fd, 4096, 65536, false, NULL), -EINVAL);
	for (i = 0; i < 20; i++) {
		address = kit_call(&kit, GMEM_SYS_MMAP, 0, 4096, PROT_READ | PROT_WRITE,
				   i % 2 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
				   i % 2 ? (uint64_t)fd : UINT64_MAX, 0);
		assert_true(address > 0);
		assert_int_equal(address % 65536, 0);
		if (i % 2 == 0)
			assert_int_equal(kit_write((uint8_t *)(uintptr_t)address + 65535, 1),
					 TOUCH_DONE);
		assert_int_equal(kit_call(&kit, GMEM_SYS_MUNMAP, (uint64_t)address + 4096, 4096, 0,
					  0, 0, 0),
				 -EINVAL);
		assert_int_equal(kit_call(&kit, GMEM_SYS_MUNMAP, (uint64_t)address, 1, 0, 0, 0, 0),
				 0);
		assert_int_equal(kit_get((uint8_t *)(uintptr_t)address + 65535), -2);
	}
	assert_int_equal(kit_call(&kit, GMEM_SYS_MMAP, 0, 4096, PROT_READ, MAP_SHARED, (uint64_t)fd,
				  4096),
			 -EINVAL);
	kit_close(&kit, fd);
	kit_free(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creation),
		cmocka_unit_test(mapping_rules),
		cmocka_unit_test(fallocate_rules),
		cmocka_unit_test(refused),
		cmocka_unit_test(advice),
		cmocka_unit_test(numa),
		cmocka_unit_test(other_calls_are_the_hosts),
		cmocka_unit_test(larger_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
