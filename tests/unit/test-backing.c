// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of memory objects: how they are named, advised and placed, the caller's descriptors and
 * mappings, and each way in which the kernel can refuse them.
 */
#include "stage.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (2 * MIB)
#define NOEXEC_SEAL 8u
#define PR_SET_VMA_OPTION 0x53564d41
#define NODES(mask) .nodes = (mask), .bits = 8

/* The nth (from 0) recorded call of a kind; false when there were fewer. */
static bool find_call(struct stage *stage, uint32_t nr, size_t n, struct fake_call *call)
{
	size_t i;

	for (i = 0; fake_kvm_get_call(stage->fake, i, call); i++) {
		if (call->nr == nr && n-- == 0)
			return true;
	}
	return false;
}

/* The last recorded mmap() that gave this address: before it, it may have been reserved. */
static struct fake_call mmap_of(struct stage *stage, const void *host)
{
	struct fake_call call, found = { 0 };
	size_t n;

	for (n = 0; find_call(stage, GMEM_SYS_MMAP, n, &call); n++) {
		if (call.result == (int64_t)(intptr_t)host)
			found = call;
	}
	assert_int_equal(found.nr, GMEM_SYS_MMAP);
	return found;
}

/* How often the whole of a region got this advice. */
static unsigned int advised(struct stage *stage, const struct gmem_region *region, int advice)
{
	struct gmem_region_info info = region_info(region);
	unsigned int count = 0;
	struct fake_call call;
	size_t n;

	for (n = 0; find_call(stage, GMEM_SYS_MADVISE, n, &call); n++)
		count += call.arg[0] == (uintptr_t)info.host && call.arg[1] == info.size &&
			 (int)call.arg[2] == advice;
	return count;
}

/* Flags and what they come to at madvise() and mmap(). */
struct advice {
	const char *name;
	struct wish wish;
	unsigned int dont_dump, dont_fork, huge, no_huge, mergeable;
	bool no_reserve;
};

static const struct advice advices[] = {
	{ "flags_none", { 0 }, 1, 1, 0, 0, 0, false },
	{ "flags_DUMP", { .flags = GMEM_REGION_DUMP }, 0, 1, 0, 0, 0, false },
	{ "flags_FORK", { .flags = GMEM_REGION_FORK }, 1, 0, 0, 0, 0, false },
	{ "flags_HUGE", { .flags = GMEM_REGION_HUGE }, 1, 1, 1, 0, 0, false },
	{ "flags_NO_HUGE", { .flags = GMEM_REGION_NO_HUGE }, 1, 1, 0, 1, 0, false },
	{ "flags_NO_RESERVE", { .flags = GMEM_REGION_NO_RESERVE }, 1, 1, 0, 0, 0, true },
	{ "flags_MERGEABLE",
	  { .flags = GMEM_REGION_MERGEABLE, .source = WISH_MEMORY, .memory = GMEM_MEMORY_ANON },
	  1,
	  1,
	  0,
	  0,
	  1,
	  false },
	{ "flags_all",
	  { .flags = GMEM_REGION_DUMP | GMEM_REGION_FORK | GMEM_REGION_HUGE |
		     GMEM_REGION_MERGEABLE | GMEM_REGION_NO_RESERVE,
	    .source = WISH_MEMORY,
	    .memory = GMEM_MEMORY_ANON },
	  0,
	  0,
	  1,
	  0,
	  1,
	  true },
	{ "needs_HUGE_PAGES", { .needs = GMEM_NEED_HUGE_PAGES }, 1, 1, 1, 0, 0, false },
	{ "needs_HUGE_PAGES_of_hugetlb",
	  { .needs = GMEM_NEED_HUGE_PAGES, .source = WISH_MEMORY, .memory = GMEM_MEMORY_HUGETLB },
	  1,
	  1,
	  0,
	  0,
	  0,
	  false },
	{ "flags_none_of_a_guest_memfd",
	  { .backing = GMEM_BACKING_GUEST_MEMFD },
	  1,
	  1,
	  0,
	  0,
	  0,
	  false },
};

static void flags_reach_the_kernel(void **state)
{
	const struct advice *advice = *state;
	struct gmem_region *region;
	struct fake_call call;
	struct stage stage;

	stage_open_vm(&stage, &fake_kvm_linux_6_18);
	region = stage_region(&stage, SIZE, &advice->wish);
	assert_int_equal(advised(&stage, region, MADV_DONTDUMP), advice->dont_dump);
	assert_int_equal(advised(&stage, region, MADV_DONTFORK), advice->dont_fork);
	assert_int_equal(advised(&stage, region, MADV_HUGEPAGE), advice->huge);
	assert_int_equal(advised(&stage, region, MADV_NOHUGEPAGE), advice->no_huge);
	assert_int_equal(advised(&stage, region, MADV_MERGEABLE), advice->mergeable);
	call = mmap_of(&stage, region_info(region).host);
	assert_int_equal(call.arg[2], PROT_READ | PROT_WRITE);
	assert_int_equal(!!(call.arg[3] & MAP_NORESERVE), advice->no_reserve);
	assert_int_equal(call.arg[3] & MAP_TYPE,
			 region_info(region).fd < 0 ? MAP_PRIVATE : MAP_SHARED);
	gmem_region_free(region);
	stage_close(&stage);
}

static void memfd_is_named_and_sealed(void **state)
{
	char path[64], target[128] = "";
	struct gmem_region *region;
	struct stage stage;
	int fd;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_old);
	region = stage_region(&stage, SIZE, &(struct wish){ .name = "ram0" });
	fd = region_info(region).fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/memfd:gmem:ram0 (deleted)");
	/* Who is handed it cannot cut it short under the guest. */
	assert_int_equal(ftruncate(fd, MIB), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, SIZE + MIB), -1);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	gmem_region_free(region);
	stage_close(&stage);
}

static void memfd_without_NOEXEC_SEAL_on_older_kernels(void **state)
{
	struct gmem_region *region;
	struct fake_call call;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_old);
	faults_fail(stage.faults, GMEM_SYS_MEMFD_CREATE, 0, 1, EINVAL);
	region = stage_region(&stage, SIZE, &(struct wish){ 0 });
	assert_int_equal(faults_count(stage.faults), 2);
	assert_true(find_call(&stage, GMEM_SYS_MEMFD_CREATE, 0, &call));
	assert_int_equal(call.arg[1] & NOEXEC_SEAL, 0);
	assert_true(call.arg[1] & MFD_CLOEXEC);
	gmem_region_free(region);
	stage_close(&stage);
}

/* What PR_SET_VMA was told, at the time: its string is gone when the call is over. */
struct name_door {
	struct gmem_kernel below;
	unsigned int calls;
	uint64_t address;
	uint64_t length;
	char name[128];
	int result;
};

static int64_t name_door_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct name_door *door = opaque;

	if (nr != GMEM_SYS_PRCTL || arg[0] != PR_SET_VMA_OPTION)
		return door->below.call(nr, arg, door->below.opaque);
	door->calls++;
	door->address = arg[2];
	door->length = arg[3];
	snprintf(door->name, sizeof(door->name), "%s", (const char *)(uintptr_t)arg[4]);
	return door->result;
}

static void anonymous_memory_is_named(void **state)
{
	const struct wish wish = {
		.name = "ram0",
		.source = WISH_MEMORY,
		.memory = GMEM_MEMORY_ANON,
	};
	static const int results[] = { 0, -EINVAL };
	size_t i;

	(void)state;
	/* Refused by a kernel without CONFIG_ANON_VMA_NAME, which is no failure. */
	for (i = 0; i < ARRAY_SIZE(results); i++) {
		struct name_door door = { .result = results[i] };
		struct gmem_kernel kernel = { name_door_call, &door };
		struct gmem_region *region;
		struct stage stage;

		stage_open(&stage, &fake_kvm_old);
		door.below = stage.kernel;
		gmem_ctx_set_kernel(stage.ctx, &kernel);
		assert_int_equal(gmem_vm_new(stage.ctx, -1, NULL, &stage.vm), 0);
		region = stage_region(&stage, SIZE, &wish);
		assert_int_equal(door.calls, 1);
		assert_int_equal(door.address, (uintptr_t)region_info(region).host);
		assert_int_equal(door.length, SIZE);
		assert_string_equal(door.name, "gmem:ram0");
		gmem_region_free(region);
		stage_close(&stage);
	}
}

/* A door whose reservations begin one page behind a huge page. */
static int64_t crooked_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	const struct gmem_kernel *below = opaque;
	uint64_t more[GMEM_SYS_ARGUMENTS], part[GMEM_SYS_ARGUMENTS] = { 0 };
	uint64_t start, end;

	if (nr != GMEM_SYS_MMAP || arg[2] != PROT_NONE)
		return below->call(nr, arg, below->opaque);
	memcpy(more, arg, sizeof(more));
	more[1] += 2 * MIB + 4096;
	part[0] = (uint64_t)below->call(nr, more, below->opaque);
	end = part[0] + more[1];
	start = ((part[0] + 2 * MIB - 1) & ~(2 * MIB - 1)) + 4096;
	part[1] = start - part[0];
	assert_int_equal(below->call(GMEM_SYS_MUNMAP, part, below->opaque), 0);
	part[0] = start + arg[1];
	part[1] = end - part[0];
	if (part[1])
		assert_int_equal(below->call(GMEM_SYS_MUNMAP, part, below->opaque), 0);
	return (int64_t)start;
}

static void mapping_starts_at_a_huge_page(void **state)
{
	static const uint64_t sizes[] = { 2 * MIB, 3 * MIB, 16 * MIB };
	struct gmem_kernel kernel;
	struct stage stage;
	size_t i;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	kernel = (struct gmem_kernel){ crooked_call, &stage.kernel };
	gmem_ctx_set_kernel(stage.ctx, &kernel);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), NULL, &stage.vm), 0);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct gmem_region *region = stage_region(&stage, sizes[i], &(struct wish){ 0 });

		assert_int_equal((uintptr_t)region_info(region).host % (2 * MIB), 0);
		gmem_region_free(region);
	}
	stage_close(&stage);
}

static void numa_policy_is_set(void **state)
{
	static const struct {
		uint32_t policy;
		int mode;
		uint64_t nodes;
	} policies[] = {
		{ GMEM_NUMA_PREFERRED, MPOL_PREFERRED, 2 },
		{ GMEM_NUMA_BIND, MPOL_BIND, 1 },
		{ GMEM_NUMA_INTERLEAVE, MPOL_INTERLEAVE, 3 },
	};
	static const uint32_t backings[] = { GMEM_BACKING_PLAIN, GMEM_BACKING_GUEST_MEMFD };
	size_t i, backing;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(policies) * ARRAY_SIZE(backings); i++) {
		struct gmem_region *region;
		struct gmem_kernel kernel;
		struct stage stage;
		uint64_t nodes = 0;
		int mode = -1;

		backing = i % ARRAY_SIZE(backings);
		stage_open_vm(&stage, &fake_kvm_in_place);
		region = stage_region(&stage, SIZE,
				      &(struct wish){ .backing = backings[backing],
						      .policy = policies[i / 2].policy,
						      .bits = 2, /* all it takes */
						      .nodes = policies[i / 2].nodes });
		kernel = stage.kernel;
		assert_int_equal(kernel.call(GMEM_SYS_GET_MEMPOLICY,
					     (uint64_t[GMEM_SYS_ARGUMENTS]){
						     (uintptr_t)&mode, (uintptr_t)&nodes, 64,
						     (uintptr_t)region_info(region).host,
						     MPOL_F_ADDR },
					     kernel.opaque),
				 0);
		assert_int_equal(mode, policies[i / 2].mode);
		assert_int_equal(nodes, policies[i / 2].nodes);
		gmem_region_free(region);
		stage_close(&stage);
	}
}

/* Only a guest_memfd needs to be asked whether it minded. */
static void numa_policy_is_checked_on_guest_memfd_alone(void **state)
{
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_18);
	region = stage_region(&stage, SIZE, &(struct wish){ .policy = GMEM_NUMA_BIND, NODES(1) });
	assert_int_equal(fake_kvm_count(stage.fake, GMEM_SYS_MBIND), 1);
	assert_int_equal(fake_kvm_count(stage.fake, GMEM_SYS_GET_MEMPOLICY), 0);
	gmem_region_free(region);
	stage_close(&stage);
}

/* The policy reaches shared pages alone, which a warning says. */
static void numa_of_a_split_region_warns(void **state)
{
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_8);
	assert_int_equal(stage_try_region(&stage, SIZE,
					  &(struct wish){ .name = "ram0",
							  .policy = GMEM_NUMA_BIND,
							  NODES(1) },
					  &region),
			 0);
	expect_one_message(stage.logs, GMEM_LOG_WARNING, "region \"ram0\"", "NUMA policy 2",
			   "shared pages");
	assert_int_equal(fake_kvm_count(stage.fake, GMEM_SYS_MBIND), 1);
	gmem_region_free(region);
	stage_close(&stage);
}

/* A region that the kernel refuses, at a call that is made to fail or by itself. */
struct refusal {
	const char *name;
	const struct fake_kvm_config *kernel; /* NULL: in-place */
	uint64_t size;                        /* 0: 2 MiB */
	struct wish wish;
	uint32_t fail_nr; /* 0: none */
	uint32_t fail_request;
	uint64_t fail_nth;
	int fail_error;
	int error;
	const char *words[4];
};

#define SINGLE .wish = { .name = "ram0" }
#define PLAIN .wish = { .name = "ram0", .backing = GMEM_BACKING_PLAIN }
#define PLAIN_ANON                                                                                 \
	.wish = { .name = "ram0",                                                                  \
		  .backing = GMEM_BACKING_PLAIN,                                                   \
		  .source = WISH_MEMORY,                                                           \
		  .memory = GMEM_MEMORY_ANON }
#define PLAIN_FLAGS(wanted)                                                                        \
	.wish = { .name = "ram0", .backing = GMEM_BACKING_PLAIN, .flags = (wanted) }
#define PLAIN_HUGE(bytes)                                                                          \
	.wish = { .name = "ram0",                                                                  \
		  .backing = GMEM_BACKING_PLAIN,                                                   \
		  .source = WISH_MEMORY,                                                           \
		  .memory = GMEM_MEMORY_HUGETLB,                                                   \
		  .page_size = (bytes) }
#define MAPPING(address, kind, bytes)                                                              \
	.wish = { .name = "ram0",                                                                  \
		  .backing = GMEM_BACKING_PLAIN,                                                   \
		  .source = WISH_MAPPING,                                                          \
		  .mapping = (void *)(uintptr_t)(address),                                         \
		  .memory = (kind),                                                                \
		  .page_size = (bytes) }
#define FAIL(call, nth, errno_value)                                                               \
	.fail_nr = GMEM_SYS_##call, .fail_nth = (nth), .fail_error = (errno_value)
#define FAIL_CREATE(errno_value)                                                                   \
	FAIL(IOCTL, 1, errno_value), .fail_request = GMEM_KVM_CREATE_GUEST_MEMFD

static const struct refusal refusals[] = {
	{ .name = "gmem_region_new_EMFILE_no_descriptor_left",
	  SINGLE,
	  FAIL_CREATE(EMFILE),
	  .error = -EMFILE,
	  .words = { "KVM_CREATE_GUEST_MEMFD of 0x200000 bytes", "EMFILE" } },
	{ .name = "gmem_region_new_EMFILE_no_descriptor_left_on_the_host",
	  SINGLE,
	  FAIL_CREATE(ENFILE),
	  .error = -EMFILE,
	  .words = { "KVM_CREATE_GUEST_MEMFD of 0x200000 bytes", "ENFILE" } },
	{ .name = "gmem_region_new_EMFILE_memfd",
	  PLAIN,
	  FAIL(MEMFD_CREATE, 1, EMFILE),
	  .error = -EMFILE,
	  .words = { "memfd_create()", "EMFILE" } },
	{ .name = "gmem_region_new_ENOMEM_guest_memfd",
	  SINGLE,
	  FAIL_CREATE(ENOMEM),
	  .error = -ENOMEM,
	  .words = { "KVM_CREATE_GUEST_MEMFD", "flags 0x1", "ENOMEM" } },
	{ .name = "gmem_region_new_EIO_guest_memfd",
	  SINGLE,
	  FAIL_CREATE(EINVAL),
	  .error = -EIO,
	  .words = { "KVM_CREATE_GUEST_MEMFD", "EINVAL" } },
	{ .name = "gmem_region_new_EIO_close_on_exec",
	  SINGLE,
	  FAIL(FCNTL, 1, EINVAL),
	  .error = -EIO,
	  .words = { "close-on-exec on guest_memfd", "EINVAL" } },
	{ .name = "gmem_region_new_ENOMEM_memfd",
	  PLAIN,
	  FAIL(MEMFD_CREATE, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "memfd_create()", "ENOMEM" } },
	{ .name = "gmem_region_new_ENOMEM_ftruncate",
	  PLAIN,
	  FAIL(FTRUNCATE, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "a memfd of 0x200000 bytes", "ENOMEM" } },
	{ .name = "gmem_region_new_EINVAL_ftruncate_too_large",
	  PLAIN,
	  FAIL(FTRUNCATE, 1, EFBIG),
	  .error = -EINVAL,
	  .words = { "a memfd of 0x200000 bytes", "EFBIG" } },
	{ .name = "gmem_region_new_EIO_seals",
	  PLAIN,
	  FAIL(FCNTL, 1, EPERM),
	  .error = -EIO,
	  .words = { "sealing the size of memfd", "EPERM" } },
	{ .name = "gmem_region_new_ENOMEM_mmap",
	  PLAIN,
	  FAIL(MMAP, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "mapping 0x200000 bytes of its memfd", "ENOMEM" } },
	{ .name = "gmem_region_new_ENOMEM_mmap_of_guest_memfd",
	  SINGLE,
	  FAIL(MMAP, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "mapping 0x200000 bytes of its guest_memfd", "ENOMEM" } },
	{ .name = "gmem_region_new_ENOMEM_mmap_anonymous",
	  PLAIN_ANON,
	  FAIL(MMAP, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "mapping 0x200000 bytes of its anonymous memory", "ENOMEM" } },
	{ .name = "gmem_region_new_EIO_mmap",
	  PLAIN,
	  FAIL(MMAP, 1, EPERM),
	  .error = -EIO,
	  .words = { "mapping 0x200000 bytes of its memfd", "EPERM" } },
	{ .name = "gmem_region_new_ENOMEM_mmap_in_its_place",
	  PLAIN,
	  FAIL(MMAP, 2, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "mapping 0x200000 bytes of its memfd", "ENOMEM" } },
	{ .name = "gmem_region_new_ENOMEM_mlockall",
	  PLAIN,
	  FAIL(MMAP, 2, EAGAIN),
	  .error = -ENOMEM,
	  .words = { "mapping 0x200000 bytes of its memfd gives EAGAIN", "RLIMIT_MEMLOCK" } },
	{ .name = "gmem_region_new_ENOMEM_shadow",
	  SINGLE,
	  FAIL(MMAP, 3, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "no memory to track the state of 512 pages" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_no_MADV_DONTDUMP",
	  PLAIN,
	  FAIL(MADVISE, 1, EINVAL),
	  .error = -EOPNOTSUPP,
	  .words = { "MADV_DONTDUMP on its memfd gives EINVAL", "this kernel lacks it" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_no_MADV_DONTFORK",
	  PLAIN,
	  FAIL(MADVISE, 2, EINVAL),
	  .error = -EOPNOTSUPP,
	  .words = { "MADV_DONTFORK on its memfd gives EINVAL", "this kernel lacks it" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_no_MADV_HUGEPAGE",
	  PLAIN_FLAGS(GMEM_REGION_HUGE),
	  FAIL(MADVISE, 3, EINVAL),
	  .error = -EOPNOTSUPP,
	  .words = { "MADV_HUGEPAGE on its memfd gives EINVAL" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_no_MADV_NOHUGEPAGE",
	  PLAIN_FLAGS(GMEM_REGION_NO_HUGE),
	  FAIL(MADVISE, 3, EINVAL),
	  .error = -EOPNOTSUPP,
	  .words = { "MADV_NOHUGEPAGE on its memfd gives EINVAL" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_no_MADV_MERGEABLE",
	  .wish = { .name = "ram0",
		    .backing = GMEM_BACKING_PLAIN,
		    .flags = GMEM_REGION_MERGEABLE,
		    .source = WISH_MEMORY,
		    .memory = GMEM_MEMORY_ANON },
	  FAIL(MADVISE, 3, EINVAL),
	  .error = -EOPNOTSUPP,
	  .words = { "MADV_MERGEABLE on its anonymous memory gives EINVAL" } },
	{ .name = "gmem_region_new_ENOMEM_madvise",
	  PLAIN,
	  FAIL(MADVISE, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "MADV_DONTDUMP", "ENOMEM" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_numa_has_no_effect",
	  .kernel = &fake_kvm_linux_6_18,
	  .wish = { .name = "ram0",
		    .backing = GMEM_BACKING_GUEST_MEMFD,
		    .policy = GMEM_NUMA_BIND,
		    NODES(1) },
	  .error = -EOPNOTSUPP,
	  .words = { "NUMA policy 2 has no effect", "6.19" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_numa_cannot_be_asked",
	  .wish = { .name = "ram0", .policy = GMEM_NUMA_BIND, NODES(1) },
	  FAIL(GET_MEMPOLICY, 1, ENOSYS),
	  .error = -EOPNOTSUPP,
	  .words = { "NUMA policy 2 has no effect" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_numa_no_mbind",
	  .wish = { .name = "ram0", .policy = GMEM_NUMA_BIND, NODES(1) },
	  FAIL(MBIND, 1, ENOSYS),
	  .error = -EOPNOTSUPP,
	  .words = { "NUMA policy 2 on nodes 0x1", "ENOSYS" } },
	{ .name = "gmem_region_new_EINVAL_numa_node_offline",
	  .wish = { .name = "ram0", .policy = GMEM_NUMA_BIND, NODES(0x40) },
	  .error = -EINVAL,
	  .words = { "NUMA policy 2 on nodes 0x40", "EINVAL", "online and allowed" } },
	{ .name = "gmem_region_new_ENOMEM_mbind",
	  .wish = { .name = "ram0", .policy = GMEM_NUMA_INTERLEAVE, NODES(3) },
	  FAIL(MBIND, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "NUMA policy 3 on nodes 0x3", "ENOMEM" } },
	{ .name = "gmem_region_new_ENOMEM_numa_second_mapping",
	  .wish = { .name = "ram0", .policy = GMEM_NUMA_BIND, NODES(1) },
	  FAIL(MMAP, 3, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "no second mapping to check mbind() with", "ENOMEM" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_huge_page_size",
	  .size = 64 * MIB,
	  PLAIN_HUGE(64 * MIB),
	  .error = -EOPNOTSUPP,
	  .words = { "huge pages of 0x4000000 bytes", "ENODEV", "/sys/kernel/mm/hugepages" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_no_hugetlb",
	  PLAIN_HUGE(0),
	  FAIL(MEMFD_CREATE, 1, ENOSYS),
	  .error = -EOPNOTSUPP,
	  .words = { "huge pages of 0 bytes", "ENOSYS", "/sys/kernel/mm/hugepages" } },
	{ .name = "gmem_region_new_ENOMEM_no_huge_page_free",
	  PLAIN_HUGE(2 * MIB),
	  FAIL(MMAP, 1, ENOMEM),
	  .error = -ENOMEM,
	  .words = { "of its huge pages gives ENOMEM", "enough huge pages free" } },
	{ .name = "gmem_region_new_EIO_hugetlb_fstatfs",
	  PLAIN_HUGE(2 * MIB),
	  FAIL(FSTATFS, 1, EIO),
	  .error = -EIO,
	  .words = { "fstatfs() of descriptor", "EIO" } },
	{ .name = "gmem_region_new_EINVAL_size_no_multiple_of_default_huge_page",
	  .size = 3 * MIB,
	  PLAIN_HUGE(0),
	  .error = -EINVAL,
	  .words = { "size 0x300000 is not a multiple of its huge page size 0x200000" } },
	{ .name = "gmem_region_new_EINVAL_hugetlb_advice",
	  .wish = { .name = "ram0",
		    .backing = GMEM_BACKING_PLAIN,
		    .flags = GMEM_REGION_HUGE,
		    .source = WISH_MEMORY,
		    .memory = GMEM_MEMORY_HUGETLB },
	  .error = -EINVAL,
	  .words = { "flags 0x4", "huge pages of its own" } },
	{ .name = "gmem_region_new_EINVAL_mapping_NULL",
	  MAPPING(0, GMEM_MEMORY_ANON, 0),
	  .error = -EINVAL,
	  .words = { "a mapping at", "must not be NULL" } },
	{ .name = "gmem_region_new_EINVAL_mapping_unaligned",
	  MAPPING(0x10000800, GMEM_MEMORY_ANON, 0),
	  .error = -EINVAL,
	  .words = { "a mapping at 0x10000800 of 0x200000 bytes", "aligned to 0x1000" } },
	{ .name = "gmem_region_new_EINVAL_mapping_overflows",
	  MAPPING(UINT64_MAX - 0xfff, GMEM_MEMORY_ANON, 0),
	  .error = -EINVAL,
	  .words = { "a mapping at 0xfffffffffffff000", "below 2^64" } },
	{ .name = "gmem_region_new_EINVAL_mapping_not_huge_aligned",
	  MAPPING(0x10001000, GMEM_MEMORY_HUGETLB, 2 * MIB),
	  .error = -EINVAL,
	  .words = { "a mapping at 0x10001000", "aligned to 0x200000" } },
	{ .name = "gmem_region_new_EINVAL_mapping_not_default_huge_aligned",
	  MAPPING(0x10001000, GMEM_MEMORY_HUGETLB, 0),
	  .error = -EINVAL,
	  .words = { "a mapping at 0x10001000", "aligned to 0x200000" } },
	{ .name = "gmem_region_new_EMFILE_mapping_default_huge_page",
	  MAPPING(0x10000000, GMEM_MEMORY_HUGETLB, 0),
	  FAIL(MEMFD_CREATE, 1, EMFILE),
	  .error = -EMFILE,
	  .words = { "huge pages of 0 bytes", "EMFILE" } },
};

static void gmem_region_new_refuses(void **state)
{
	const struct refusal *refusal = *state;
	const char *words[6] = { "region \"ram0\": " };
	struct stage stage;

	memcpy(words + 1, refusal->words, sizeof(refusal->words));
	stage_open_vm(&stage, refusal->kernel ? refusal->kernel : &fake_kvm_in_place);
	if (refusal->fail_nr)
		faults_fail(stage.faults, refusal->fail_nr, refusal->fail_request,
			    refusal->fail_nth, refusal->fail_error);
	stage_expect_refused(&stage, refusal->size ? refusal->size : SIZE, &refusal->wish,
			     refusal->error, words);
	stage_close(&stage);
}

static void hugetlb_page_sizes(void **state)
{
	static const uint64_t sizes[] = { 0, 2 * MIB, 1024 * MIB };
	struct gmem_region *region;
	struct stage stage;
	size_t i;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		region = stage_region(&stage, 1024 * MIB,
				      &(struct wish){ .backing = GMEM_BACKING_PLAIN,
						      .flags = GMEM_REGION_NO_RESERVE,
						      .source = WISH_MEMORY,
						      .memory = GMEM_MEMORY_HUGETLB,
						      .page_size = sizes[i] });
		assert_int_equal(region_info(region).page_size, sizes[i] ? sizes[i] : 2 * MIB);
		assert_int_equal(region_info(region).memory, GMEM_MEMORY_HUGETLB);
		gmem_region_free(region);
	}
	stage_close(&stage);
}

/* On the host's own kernel, where it has huge pages to give. */
static void hugetlb_of_the_host(void **state)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	struct wish wish = {
		.source = WISH_MEMORY,
		.memory = GMEM_MEMORY_HUGETLB,
		.page_size = 2 * MIB,
	};
	struct gmem_region_config *config = wish_config(&wish);
	struct gmem_region *region;
	struct gmem_vm *vm;
	unsigned int free_pages = 0;

	(void)state;
	if (file && fscanf(file, "%u", &free_pages) != 1)
		free_pages = 0;
	if (file)
		fclose(file);
	if (!free_pages) {
		gmem_region_config_free(config);
		print_message("this host has no free huge page of 2 MiB\n");
		skip();
	}
	assert_int_equal(gmem_vm_new(NULL, -1, NULL, &vm), 0);
	assert_int_equal(gmem_region_new(vm, SIZE, config, &region), 0);
	assert_int_equal(region_info(region).page_size, 2 * MIB);
	memset(region_info(region).host, 1, SIZE);
	assert_int_equal(gmem_region_prefault(region, 0, SIZE, 2), 0);
	gmem_region_free(region);
	gmem_vm_free(vm);
	gmem_region_config_free(config);
}

int main(void)
{
	static struct cases cases;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++)
		cases_add(&cases, advices[i].name, flags_reach_the_kernel, (void *)&advices[i]);
	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		cases_add(&cases, refusals[i].name, gmem_region_new_refuses, (void *)&refusals[i]);
#define ADD(function) cases_add(&cases, #function, function, NULL)
	ADD(memfd_is_named_and_sealed);
	ADD(memfd_without_NOEXEC_SEAL_on_older_kernels);
	ADD(anonymous_memory_is_named);
	ADD(mapping_starts_at_a_huge_page);
	ADD(numa_policy_is_set);
	ADD(numa_of_a_split_region_warns);
	ADD(numa_policy_is_checked_on_guest_memfd_alone);
	ADD(hugetlb_page_sizes);
	ADD(hugetlb_of_the_host);
	return cases_run(&cases, "backing");
}
