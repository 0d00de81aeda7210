// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of regions whose shared side is the caller's: a descriptor, or a mapping. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (2 * MIB)
#define OFFSET UINT64_C(0x3000)
#define HUGE_2M (21u << 26)

/* A memfd of the caller's, not known to the door. */
static int make_memfd(uint64_t size)
{
	int fd = memfd_create("callers", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static int make_huge_memfd(struct stage *stage, uint64_t size)
{
	const uint64_t create[GMEM_SYS_ARGUMENTS] = { (uintptr_t) "callers",
						      MFD_CLOEXEC | MFD_HUGETLB | HUGE_2M };
	int fd = (int)stage->kernel.call(GMEM_SYS_MEMFD_CREATE, create, stage->kernel.opaque);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void close_at_door(struct stage *stage, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };

	assert_int_equal(stage->kernel.call(GMEM_SYS_CLOSE, arg, stage->kernel.opaque), 0);
}

static void fd_is_duplicated(void **state)
{
	struct gmem_region_info info;
	struct gmem_region *region;
	struct wish wish = { .source = WISH_FD, .offset = OFFSET };
	unsigned char byte = 0;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_8);
	wish.fd = make_memfd(OFFSET + SIZE);
	region = stage_region(&stage, SIZE, &wish);
	info = region_info(region);
	assert_int_equal(info.backing, GMEM_BACKING_SPLIT);
	assert_int_equal(info.memory, GMEM_MEMORY_SHMEM);
	assert_int_not_equal(info.fd, wish.fd);
	assert_int_equal(info.fd_offset, OFFSET);
	assert_true(fcntl(info.fd, F_GETFD) & FD_CLOEXEC);
	*(unsigned char *)info.host = 0x5a;
	((unsigned char *)info.host)[SIZE - 1] = 0xa5;
	assert_int_equal(pread(wish.fd, &byte, 1, (off_t)OFFSET), 1);
	assert_int_equal(byte, 0x5a);
	/* The caller's may go now. */
	close(wish.fd);
	assert_int_equal(pread(info.fd, &byte, 1, (off_t)(OFFSET + SIZE - 1)), 1);
	assert_int_equal(byte, 0xa5);
	assert_int_equal(gmem_region_prefault(region, 0, SIZE, 1), 0);
	gmem_region_free(region);
	stage_close(&stage);
}

static void fd_of_the_caller_stays_open(void **state)
{
	struct wish wish = { .backing = GMEM_BACKING_PLAIN, .source = WISH_FD };
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_old);
	wish.fd = make_memfd(SIZE);
	region = stage_region(&stage, SIZE, &wish);
	gmem_region_free(region);
	assert_true(fcntl(wish.fd, F_GETFD) >= 0);
	/* Its size is the caller's affair. */
	assert_int_equal(ftruncate(wish.fd, 0), 0);
	close(wish.fd);
	stage_close(&stage);
}

static void fd_on_hugetlbfs_is_known(void **state)
{
	struct wish wish = {
		.backing = GMEM_BACKING_PLAIN,
		.needs = GMEM_NEED_HUGE_PAGES | GMEM_NEED_USERFAULTFD,
		.source = WISH_FD,
		.offset = SIZE,
	};
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	wish.fd = make_huge_memfd(&stage, 2 * SIZE);
	region = stage_region(&stage, SIZE, &wish);
	assert_int_equal(region_info(region).memory, GMEM_MEMORY_HUGETLB);
	assert_int_equal(region_info(region).page_size, 2 * MIB);
	gmem_region_free(region);
	close_at_door(&stage, wish.fd);
	stage_close(&stage);
}

/* A descriptor that will not do, and the message that says why. */
struct refusal {
	const char *name;
	int (*make)(struct stage *stage);
	uint64_t offset;
	uint32_t needs;
	uint32_t flags;
	uint32_t fail_nr;
	uint64_t fail_nth;
	int fail_error;
	int error;
	const char *words[4];
};

static int make_closed(struct stage *stage)
{
	(void)stage;
	return -1;
}

static int make_read_only(struct stage *stage)
{
	char path[64];
	int fd = make_memfd(SIZE), again;

	(void)stage;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	close(fd);
	return again;
}

static int make_write_only(struct stage *stage)
{
	char path[64];
	int fd = make_memfd(SIZE), again;

	(void)stage;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_CLOEXEC);
	close(fd);
	return again;
}

static int make_socket(struct stage *stage)
{
	(void)stage;
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int make_write_sealed(struct stage *stage)
{
	int fd = make_memfd(SIZE);

	(void)stage;
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	return fd;
}

static int make_right(struct stage *stage)
{
	(void)stage;
	return make_memfd(SIZE);
}

static int make_short(struct stage *stage)
{
	(void)stage;
	return make_memfd(SIZE - 1);
}

static int make_huge(struct stage *stage)
{
	return make_huge_memfd(stage, 2 * SIZE);
}

static const struct refusal refusals[] = {
	{ "gmem_region_new_EBADF_closed",
	  make_closed,
	  0,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EBADF,
	  { "is not open; it must be open for reading and writing" } },
	{ "gmem_region_new_EBADF_read_only",
	  make_read_only,
	  0,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EBADF,
	  { "is not open for both" } },
	{ "gmem_region_new_EBADF_write_only",
	  make_write_only,
	  0,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EBADF,
	  { "is not open for both" } },
	{ "gmem_region_new_EBADF_cannot_be_mapped",
	  make_socket,
	  0,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EBADF,
	  { "mapping 0x200000 bytes of its file of the caller's",
	    "must be a file that can be mapped" } },
	{ "gmem_region_new_EBADF_sealed_against_writing",
	  make_write_sealed,
	  0,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EBADF,
	  { "mapping 0x200000 bytes of its file of the caller's", "EPERM",
	    "reading and writing" } },
	{ "gmem_region_new_EINVAL_too_short",
	  make_short,
	  0,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EINVAL,
	  { "0x200000 bytes from offset 0 on", "which has 0x1fffff" } },
	{ "gmem_region_new_EINVAL_too_short_behind_offset",
	  make_right,
	  0x1000,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EINVAL,
	  { "0x200000 bytes from offset 0x1000 on", "which has 0x200000" } },
	{ "gmem_region_new_EINVAL_offset_overflows",
	  make_right,
	  UINT64_MAX - 0xfff,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EINVAL,
	  { "from offset 0xfffffffffffff000 on" } },
	{ "gmem_region_new_EINVAL_offset_no_multiple_of_huge_page",
	  make_huge,
	  0x1000,
	  0,
	  0,
	  0,
	  0,
	  0,
	  -EINVAL,
	  { "start 0x1000", "huge page size 0x200000" } },
	{ "gmem_region_new_EINVAL_advice_on_hugetlbfs",
	  make_huge,
	  0,
	  0,
	  GMEM_REGION_NO_HUGE,
	  0,
	  0,
	  0,
	  -EINVAL,
	  { "flags 0x8", "huge pages of its own" } },
	{ "gmem_region_new_EOPNOTSUPP_file_system_without_userfaultfd",
	  make_socket,
	  0,
	  GMEM_NEED_USERFAULTFD,
	  0,
	  0,
	  0,
	  0,
	  -EOPNOTSUPP,
	  { "file system without userfaultfd", "tmpfs, hugetlbfs and memfds" } },
	{ "gmem_region_new_EOPNOTSUPP_file_needs_huge_pages",
	  make_right,
	  0,
	  GMEM_NEED_HUGE_PAGES,
	  0,
	  0,
	  0,
	  0,
	  -EOPNOTSUPP,
	  { "GMEM_NEED_HUGE_PAGES", "use a file on hugetlbfs" } },
	{ "gmem_region_new_EINVAL_cannot_be_mapped_there",
	  make_right,
	  0,
	  0,
	  0,
	  GMEM_SYS_MMAP,
	  2,
	  EINVAL,
	  -EINVAL,
	  { "file of the caller's gives EINVAL", "at this offset" } },
	{ "gmem_region_new_EMFILE_duplicate",
	  make_right,
	  0,
	  0,
	  0,
	  GMEM_SYS_FCNTL,
	  2,
	  EMFILE,
	  -EMFILE,
	  { "no duplicate of descriptor", "EMFILE" } },
	{ "gmem_region_new_EIO_fstat",
	  make_right,
	  0,
	  0,
	  0,
	  GMEM_SYS_FSTAT,
	  1,
	  EIO,
	  -EIO,
	  { "fstat() of descriptor", "EIO" } },
	{ "gmem_region_new_EIO_fstatfs",
	  make_right,
	  0,
	  0,
	  0,
	  GMEM_SYS_FSTATFS,
	  1,
	  EIO,
	  -EIO,
	  { "fstatfs() of descriptor", "EIO" } },
};

static void fd_is_refused(void **state)
{
	const struct refusal *refusal = *state;
	const char *words[6] = { "region \"ram0\": " };
	struct wish wish = {
		.name = "ram0",
		.backing = GMEM_BACKING_PLAIN,
		.needs = refusal->needs,
		.flags = refusal->flags,
		.source = WISH_FD,
		.offset = refusal->offset,
	};
	struct stage stage;

	memcpy(words + 1, refusal->words, sizeof(refusal->words));
	stage_open_vm(&stage, &fake_kvm_in_place);
	wish.fd = refusal->make(&stage);
	if (refusal->fail_nr)
		faults_fail(stage.faults, refusal->fail_nr, 0, refusal->fail_nth,
			    refusal->fail_error);
	stage_expect_refused(&stage, SIZE, &wish, refusal->error, words);
	/* Only the one of huge pages came through the door. */
	if (refusal->make == make_huge)
		close_at_door(&stage, wish.fd);
	else if (wish.fd >= 0)
		close(wish.fd);
	stage_close(&stage);
}

static void *map_callers(uint64_t size)
{
	void *address =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(address, MAP_FAILED);
	return address;
}

/* Calls at the door that have to do with a range of addresses. */
static unsigned int calls_about(struct stage *stage, const void *address, uint64_t size)
{
	uint64_t start = (uintptr_t)address;
	unsigned int count = 0;
	struct fake_call call;
	size_t i;

	for (i = 0; fake_kvm_get_call(stage->fake, i, &call); i++)
		count += (call.nr == GMEM_SYS_MMAP || call.nr == GMEM_SYS_MUNMAP ||
			  call.nr == GMEM_SYS_MADVISE || call.nr == GMEM_SYS_MBIND) &&
			 call.arg[0] >= start && call.arg[0] < start + size;
	return count;
}

/* Kinds of mappings, and where they can serve. */
static const struct {
	uint32_t backing;
	uint32_t memory;
	uint32_t needs;
	const char *description;
} mappings[] = {
	{ GMEM_BACKING_PLAIN, GMEM_MEMORY_ANON, GMEM_NEED_USERFAULTFD,
	  "plain: mapping of the caller's," },
	{ GMEM_BACKING_PLAIN, GMEM_MEMORY_SHMEM, 0, "plain: mapping of the caller's," },
	{ GMEM_BACKING_PLAIN, GMEM_MEMORY_DEVICE, 0, "plain: device memory," },
	{ GMEM_BACKING_PLAIN, GMEM_MEMORY_HUGETLB, GMEM_NEED_HUGE_PAGES,
	  "plain: mapping of the caller's," },
	{ GMEM_BACKING_SPLIT, GMEM_MEMORY_ANON, 0, "mapping of the caller's for shared," },
	{ GMEM_BACKING_SPLIT, GMEM_MEMORY_SHMEM, 0, "mapping of the caller's for shared," },
	{ GMEM_BACKING_SPLIT, GMEM_MEMORY_HUGETLB, 0, "mapping of the caller's for shared," },
};

static void mapping_is_left_alone(void **state)
{
	char *callers = map_callers(2 * SIZE);
	char *aligned = (char *)(((uintptr_t)callers + SIZE - 1) & ~(uintptr_t)(SIZE - 1));
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(mappings); i++) {
		struct wish wish = {
			.backing = mappings[i].backing,
			.needs = mappings[i].needs,
			.source = WISH_MAPPING,
			.memory = mappings[i].memory,
			.mapping = aligned,
		};
		struct gmem_region_info info;
		struct gmem_region *region;
		struct stage stage;
		char text[256];

		memset(aligned, (int)i, SIZE);
		stage_open_vm(&stage, &fake_kvm_in_place);
		region = stage_region(&stage, SIZE, &wish);
		info = region_info(region);
		assert_ptr_equal(info.host, aligned);
		assert_int_equal(info.fd, -1);
		assert_int_equal(info.memory, mappings[i].memory);
		assert_int_equal(info.page_size,
				 info.memory == GMEM_MEMORY_HUGETLB ? 2 * MIB : 4096);
		assert_true(gmem_region_describe(region, text, sizeof(text)) > 0);
		assert_non_null(strstr(text, mappings[i].description));
		gmem_region_free(region);
		assert_int_equal(calls_about(&stage, aligned, SIZE), 0);
		assert_int_equal(aligned[SIZE - 1], (char)i);
		stage_close(&stage);
	}
	munmap(callers, 2 * SIZE);
}

struct adoption {
	struct wish wish;
	struct gmem_region *region;
};

static int adopt(struct stage *stage, void *opaque)
{
	struct adoption *adoption = opaque;
	int rc = stage_try_region(stage, SIZE, &adoption->wish, &adoption->region);

	if (rc)
		assert_null(adoption->region);
	return rc;
}

static void drop(struct stage *stage, void *opaque)
{
	struct adoption *adoption = opaque;

	(void)stage;
	gmem_region_free(adoption->region);
}

static bool tolerates(const struct stage_call *call, int error)
{
	return call->nr == GMEM_SYS_MEMFD_CREATE && call->arg[1] & 8 && error == EINVAL;
}

static void sweep(struct stage *stage, const struct wish *wish)
{
	static const int errors[] = { -EINVAL, -EBADF, -ENOMEM, -EMFILE, -EOPNOTSUPP, -EIO, 0 };
	struct adoption adoption = { .wish = *wish };
	const struct operation operation = {
		.run = adopt,
		.undo = drop,
		.opaque = &adoption,
		.errors = errors,
		.tolerates = tolerates,
	};

	stage_sweep_calls(stage, &operation);
}

static void fd_survives_every_failure(void **state)
{
	struct wish wish = { .source = WISH_FD, .backing = GMEM_BACKING_SPLIT };
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	wish.fd = make_memfd(SIZE);
	sweep(&stage, &wish);
	close(wish.fd);
	stage_close(&stage);
}

static void mapping_survives_every_failure(void **state)
{
	char *callers = map_callers(2 * SIZE);
	struct wish wish = {
		.source = WISH_MAPPING,
		.backing = GMEM_BACKING_SPLIT,
		.memory = GMEM_MEMORY_HUGETLB,
		.mapping = (void *)(((uintptr_t)callers + SIZE - 1) & ~(uintptr_t)(SIZE - 1)),
	};
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	sweep(&stage, &wish);
	stage_close(&stage);
	munmap(callers, 2 * SIZE);
}

int main(void)
{
	static struct cases cases;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		cases_add(&cases, refusals[i].name, fd_is_refused, (void *)&refusals[i]);
#define ADD(function) cases_add(&cases, #function, function, NULL)
	ADD(fd_is_duplicated);
	ADD(fd_of_the_caller_stays_open);
	ADD(fd_on_hugetlbfs_is_known);
	ADD(mapping_is_left_alone);
	ADD(fd_survives_every_failure);
	ADD(mapping_survives_every_failure);
	return cases_run(&cases, "adopt");
}
