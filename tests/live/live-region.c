// SPDX-License-Identifier: LGPL-2.1-or-later
/* Regions on this machine's KVM: what a guest_memfd of libgmem's is like in this process. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KINDS 3

/* A region of each kind that a case looks at, by configuration. */
static struct gmem_region *make_kind(struct live *live, unsigned int kind, uint64_t size,
				     uint32_t flags, const char *name)
{
	const uint32_t backing[KINDS] = { live_guest_memfd_backing(live), GMEM_BACKING_PLAIN,
					  GMEM_BACKING_PLAIN };
	static const uint32_t memory[KINDS] = { 0, GMEM_MEMORY_SHMEM, GMEM_MEMORY_ANON };
	struct gmem_region_config *config = NULL;
	struct gmem_region *region = NULL;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, backing[kind]);
	if (backing[kind] == GMEM_BACKING_PLAIN)
		gmem_region_config_set_memory(config, memory[kind], 0);
	gmem_region_config_set_state(config, GMEM_SHARED);
	gmem_region_config_set_flags(config, flags);
	gmem_region_config_set_name(config, name);
	assert_int_equal(gmem_region_new(live->vm, size, config, &region), 0);
	gmem_region_config_free(config);
	return region;
}

static void assert_zero(const uint8_t *bytes, uint64_t size)
{
	uint64_t i;

	for (i = 0; i < size; i++)
		assert_int_equal(bytes[i], 0);
}

static void sizes_are_as_asked(void **state)
{
	struct live *live = *state;
	const uint64_t size[] = { live->page, 3 * live->page, 2 * MIB + live->page, 1024 * MIB };
	struct gmem_region_info info;
	struct gmem_region *region;
	uint8_t *host;
	size_t i;

	for (i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		region = live_guest_memfd(live, size[i]);
		assert_int_equal(gmem_region_get_info(region, &info), 0);
		assert_int_equal(info.size, size[i]);
		assert_int_equal(info.page_size, live->page);
		if (live->type == GMEM_VM_TYPE_DEFAULT)
			assert_int_equal(info.backing, GMEM_BACKING_GUEST_MEMFD);
		else
			assert_int_not_equal(info.backing, GMEM_BACKING_PLAIN);
		assert_int_equal(info.private_bytes, 0);
		assert_int_equal(info.can_be_private, live->type != GMEM_VM_TYPE_DEFAULT);
		assert_true(info.guest_memfd >= 0);
		host = info.host;
		host[0] = 1;
		host[size[i] - 1] = 2;
		gmem_region_free(region);
	}
	assert_int_equal(live->errors, 0);
}

static void bad_sizes_are_refused(void **state)
{
	struct live *live = *state;
	const uint64_t size[] = {
		0, 1, live->page - 1, live->page + 1, UINT64_MAX, UINT64_MAX - live->page + 1
	};
	struct gmem_region_config *config = NULL;
	struct gmem_region *region;
	size_t i;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_GUEST_MEMFD);
	for (i = 0; i < 5; i++) {
		live_assert_refused(live, -EINVAL,
				    gmem_region_new(live->vm, size[i], config, &region));
		assert_null(region);
	}
	assert_true(gmem_region_new(live->vm, size[5], config, &region) < 0);
	assert_null(region);
	gmem_region_config_free(config);
}

static void private_pages_are_refused(void **state)
{
	struct live *live = *state;
	struct gmem_region_config *config = NULL;
	struct gmem_region *region;
	struct gmem_vm_info info;

	live_need_mapped(live);
	assert_int_equal(gmem_vm_get_info(live->vm, &info), 0);
	assert_int_equal(info.private_memory, 0);
	assert_int_equal(info.tracking, GMEM_TRACKING_NONE);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_GUEST_MEMFD);
	gmem_region_config_set_state(config, GMEM_PRIVATE);
	live_assert_refused(live, -EOPNOTSUPP,
			    gmem_region_new(live->vm, live->page, config, &region));
	assert_null(region);
	gmem_region_config_free(config);
}

static void contents_start_as_zero(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);

	assert_zero(live_host(region), MIB);
	gmem_region_free(region);
}

static void two_mappings_show_the_same_bytes(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_mapped_guest_memfd(live, MIB);
	struct gmem_region_info info;
	char *second;

	assert_int_equal(gmem_region_get_info(region, &info), 0);
	assert_int_equal(info.fd, info.guest_memfd);
	assert_int_equal(info.fd_offset, 0);
	second = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, info.fd, 0);
	assert_ptr_not_equal(second, MAP_FAILED);
	live_put_text((char *)info.host + 5 * live->page, "by the first");
	assert_string_equal(second + 5 * live->page, "by the first");
	live_put_text(second + 6 * live->page, "by the second");
	assert_string_equal((char *)info.host + 6 * live->page, "by the second");
	munmap(second, MIB);
	gmem_region_free(region);
}

/* Pages of the range that have memory, asked through a mapping that nobody has touched. */
static uint64_t resident_pages(struct live *live, struct gmem_region *region)
{
	unsigned char *pages;
	struct gmem_region_info info;
	uint64_t resident = 0;
	uint64_t i;
	void *host;

	assert_int_equal(gmem_region_get_info(region, &info), 0);
	pages = malloc(info.size / live->page);
	assert_non_null(pages);
	host = mmap(NULL, info.size, PROT_READ, MAP_SHARED, info.fd, (off_t)info.fd_offset);
	assert_ptr_not_equal(host, MAP_FAILED);
	assert_int_equal(mincore(host, info.size, pages), 0);
	for (i = 0; i < info.size / live->page; i++)
		resident += pages[i] & 1;
	munmap(host, info.size);
	free(pages);
	return resident;
}

/* mincore() answers "yes" to whoever may not write the file's inode: then it says nothing. */
static void need_residency(struct live *live, struct gmem_region *region)
{
	if (resident_pages(live, region) == 0)
		return;
	gmem_region_free(region);
	print_message("this user may not ask the kernel which pages of a guest_memfd it has\n");
	skip();
}

static void prefault_by_one_thread(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, 8 * MIB);

	need_residency(live, region);
	assert_int_equal(gmem_region_prefault(region, MIB, 2 * MIB, 1), 0);
	assert_int_equal(resident_pages(live, region), 2 * MIB / live->page);
	assert_zero(live_host(region), 8 * MIB);
	gmem_region_free(region);
}

static void prefault_by_several_threads(void **state)
{
	static const uint32_t threads[] = { 2, 3, 7 };
	struct live *live = *state;
	struct gmem_region *region;
	size_t i;

	for (i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		/* An odd number of pages: the parts are not of one size. */
		region = live_guest_memfd(live, 8 * MIB + live->page);
		need_residency(live, region);
		assert_int_equal(gmem_region_prefault(region, 0, 8 * MIB + live->page, threads[i]),
				 0);
		assert_int_equal(resident_pages(live, region), 8 * MIB / live->page + 1);
		gmem_region_free(region);
	}
}

static void prefault_keeps_contents(void **state)
{
	struct live *live = *state;
	unsigned int kind;

	for (kind = 0; kind < KINDS; kind++) {
		struct gmem_region *region = make_kind(live, kind, MIB, 0, "kept");
		char *host = live_host(region);

		live_put_text(host + 3 * live->page, "was here before");
		assert_int_equal(gmem_region_prefault(region, 0, MIB, 4), 0);
		assert_string_equal(host + 3 * live->page, "was here before");
		assert_zero((uint8_t *)host, 3 * live->page);
		gmem_region_free(region);
	}
}

static void prefault_refuses_bad_ranges(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	const uint64_t page = live->page;

	live_assert_refused(live, -EINVAL, gmem_region_prefault(region, 0, 0, 1));
	live_assert_refused(live, -EINVAL, gmem_region_prefault(region, 1, page, 1));
	live_assert_refused(live, -EINVAL, gmem_region_prefault(region, 0, page + 1, 1));
	live_assert_refused(live, -EINVAL, gmem_region_prefault(region, 0, MIB + page, 1));
	live_assert_refused(live, -EINVAL, gmem_region_prefault(region, MIB, page, 1));
	live_assert_refused(live, -EINVAL,
			    gmem_region_prefault(region, page, UINT64_MAX - page + 1, 1));
	live_assert_refused(live, -EINVAL, gmem_region_prefault(region, 0, page, 0));
	live_assert_refused(live, -EINVAL,
			    gmem_region_prefault(region, 0, page, GMEM_PREFAULT_THREADS + 1));
	gmem_region_free(region);
}

static void punched_pages_read_as_zero(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_mapped_guest_memfd(live, MIB);
	struct gmem_region_info info;
	uint8_t *host;

	assert_int_equal(gmem_region_get_info(region, &info), 0);
	host = info.host;
	memset(host, 0xa5, MIB);
	assert_int_equal(fallocate(info.guest_memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(2 * live->page), (off_t)(3 * live->page)),
			 0);
	assert_int_equal(host[2 * live->page - 1], 0xa5);
	assert_zero(host + 2 * live->page, 3 * live->page);
	assert_int_equal(host[5 * live->page], 0xa5);
	gmem_region_free(region);
}

static void descriptors_are_close_on_exec(void **state)
{
	struct live *live = *state;
	unsigned int kind;

	for (kind = 0; kind < KINDS; kind++) {
		struct gmem_region *region = make_kind(live, kind, MIB, 0, "closed");
		struct gmem_region_info info;

		assert_int_equal(gmem_region_get_info(region, &info), 0);
		if (info.guest_memfd >= 0)
			assert_true(fcntl(info.guest_memfd, F_GETFD) & FD_CLOEXEC);
		if (info.fd >= 0)
			assert_true(fcntl(info.fd, F_GETFD) & FD_CLOEXEC);
		gmem_region_free(region);
	}
}

/* What a child made by fork() sees: bit 0: the mapping; bit 1: the handle answers -EIO. */
static int ask_child(struct gmem_region *region, const void *host)
{
	struct gmem_region_info info;
	char line[512];
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit((live_find_mapping(host, line, sizeof(line)) ? 1 : 0) |
		      (gmem_region_get_info(region, &info) == -EIO ? 2 : 0));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void children_do_not_get_the_memory(void **state)
{
	struct live *live = *state;
	unsigned int kind;

	for (kind = 0; kind < KINDS; kind++) {
		struct gmem_region *region = make_kind(live, kind, MIB, 0, "mine");
		char line[512];

		assert_true(live_find_mapping(live_host(region), line, sizeof(line)));
		assert_int_equal(ask_child(region, live_host(region)), 2);
		gmem_region_free(region);
	}
}

static void children_get_the_memory_when_asked(void **state)
{
	struct live *live = *state;
	unsigned int kind;

	for (kind = 0; kind < KINDS; kind++) {
		struct gmem_region *region = make_kind(live, kind, MIB, GMEM_REGION_FORK, "ours");

		assert_int_equal(ask_child(region, live_host(region)), 3);
		gmem_region_free(region);
	}
}

static void a_memfd_has_its_name_in_maps(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = make_kind(live, 1, MIB, 0, "low-ram");
	char line[512];

	assert_true(live_find_mapping(live_host(region), line, sizeof(line)));
	assert_non_null(strstr(line, "/memfd:gmem:low-ram"));
	gmem_region_free(region);
}

/* Is the flag ("dd", "dc") among the VmFlags of the mapping that has this address? */
static bool mapping_has_flag(FILE *smaps, const void *address, const char *flag)
{
	unsigned long start;
	unsigned long end;
	bool inside = false;
	char line[512];
	char wanted[8];

	snprintf(wanted, sizeof(wanted), " %s ", flag);
	rewind(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)address >= start && (uintptr_t)address < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			return strstr(line, wanted) != NULL;
	}
	fail_msg("no VmFlags for %p", address);
	return false;
}

static void core_dumps_leave_the_memory_out(void **state)
{
	struct live *live = *state;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned int kind;

	if (!smaps) {
		print_message("this kernel has no /proc/self/smaps\n");
		skip();
	}
	for (kind = 0; kind < KINDS; kind++) {
		struct gmem_region *out = make_kind(live, kind, MIB, 0, "out");
		struct gmem_region *in = make_kind(live, kind, MIB, GMEM_REGION_DUMP, "in");

		assert_true(mapping_has_flag(smaps, live_host(out), "dd"));
		assert_false(mapping_has_flag(smaps, live_host(in), "dd"));
		gmem_region_free(out);
		gmem_region_free(in);
	}
	fclose(smaps);
}

/*
 * Kernel fact F10: mbind on a guest_memfd's mapping succeeds without effect before 6.19. A policy
 * that is honoured is the file's, so a second mapping has it too.
 */
static bool kernel_honours_numa(struct live *live)
{
	struct gmem_region *region = live_guest_memfd(live, live->page);
	unsigned long nodes = 1;
	int mode = MPOL_DEFAULT;
	struct gmem_region_info info;
	bool honoured;
	void *second;

	assert_int_equal(gmem_region_get_info(region, &info), 0);
	second = mmap(NULL, live->page, PROT_READ, MAP_SHARED, info.fd, 0);
	assert_ptr_not_equal(second, MAP_FAILED);
	honoured = syscall(SYS_mbind, info.host, live->page, MPOL_BIND, &nodes, 64UL, 0U) == 0 &&
		   syscall(SYS_get_mempolicy, &mode, NULL, 0UL, second, MPOL_F_ADDR) == 0 &&
		   mode == MPOL_BIND;
	munmap(second, live->page);
	gmem_region_free(region);
	return honoured;
}

static int make_on_node_0(struct live *live, uint32_t backing, struct gmem_region **region)
{
	static const uint64_t nodes = 1;
	struct gmem_region_config *config = NULL;
	int rc;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, backing);
	gmem_region_config_set_numa(config, GMEM_NUMA_BIND, &nodes, 1);
	rc = gmem_region_new(live->vm, MIB, config, region);
	gmem_region_config_free(config);
	return rc;
}

static void numa_is_honoured_or_refused(void **state)
{
	struct live *live = *state;
	bool honoured;
	struct gmem_region *region = NULL;
	struct gmem_region_info info;
	int mode = MPOL_DEFAULT;
	void *second;

	live_need_mapped(live);
	honoured = kernel_honours_numa(live);
	if (!honoured) {
		live_assert_refused(live, -EOPNOTSUPP,
				    make_on_node_0(live, GMEM_BACKING_GUEST_MEMFD, &region));
		assert_null(region);
		return;
	}
	assert_int_equal(make_on_node_0(live, GMEM_BACKING_GUEST_MEMFD, &region), 0);
	assert_int_equal(gmem_region_get_info(region, &info), 0);
	second = mmap(NULL, MIB, PROT_READ, MAP_SHARED, info.fd, 0);
	assert_ptr_not_equal(second, MAP_FAILED);
	assert_int_equal(syscall(SYS_get_mempolicy, &mode, NULL, 0UL, second, MPOL_F_ADDR), 0);
	assert_int_equal(mode, MPOL_BIND);
	munmap(second, MIB);
	gmem_region_free(region);
}

static void numa_holds_for_a_memfd(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = NULL;
	int mode = MPOL_DEFAULT;

	if (syscall(SYS_get_mempolicy, &mode, NULL, 0UL, NULL, 0UL) < 0) {
		print_message("this kernel has no NUMA policies: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(make_on_node_0(live, GMEM_BACKING_PLAIN, &region), 0);
	assert_int_equal(
		syscall(SYS_get_mempolicy, &mode, NULL, 0UL, live_host(region), MPOL_F_ADDR), 0);
	assert_int_equal(mode, MPOL_BIND);
	gmem_region_free(region);
}

static void nothing_is_left_after_free(void **state)
{
	struct live *live = *state;
	unsigned int fds = live_count_fds();
	unsigned int mappings = live_count_mappings();
	unsigned int kind;
	char line[512];

	for (kind = 0; kind < KINDS; kind++) {
		struct gmem_region *region = make_kind(live, kind, MIB, 0, "gone");
		const void *host = live_host(region);

		assert_true(live_find_mapping(host, line, sizeof(line)));
		assert_int_equal(gmem_region_prefault(region, 0, MIB, 2), 0);
		gmem_region_free(region);
		assert_false(live_find_mapping(host, line, sizeof(line)));
		assert_int_equal(live_count_fds(), fds);
		assert_int_equal(live_count_mappings(), mappings);
	}
}

static void a_region_may_outlive_its_vm(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	char *host = live_host(region);

	gmem_vm_free(live->vm);
	live->vm = NULL;
	live_put_text(host, "still there");
	assert_string_equal(host, "still there");
	gmem_region_free(region);
}

/* File and offset of a region over the caller's memfd are the caller's. */
static void a_file_of_the_callers_is_used(void **state)
{
	struct live *live = *state;
	int fd = (int)syscall(SYS_memfd_create, "callers", 1U);
	struct gmem_region_config *config = NULL;
	struct gmem_region *region = NULL;
	char text[16] = "";

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)MIB), 0);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	gmem_region_config_set_fd(config, fd, 4 * live->page);
	assert_int_equal(gmem_region_new(live->vm, 8 * live->page, config, &region), 0);
	gmem_region_config_free(config);
	live_put_text((char *)live_host(region) + live->page, "in the file");
	assert_int_equal(pread(fd, text, sizeof(text), (off_t)(5 * live->page)), sizeof(text));
	assert_string_equal(text, "in the file");
	close(fd);
	live_put_text(live_host(region), "dup'ed: the caller's may be closed");
	gmem_region_free(region);
}

static const struct CMUnitTest tests[] = {
	live_case(sizes_are_as_asked),
	live_case(bad_sizes_are_refused),
	live_case(private_pages_are_refused),
	live_case(contents_start_as_zero),
	live_case(two_mappings_show_the_same_bytes),
	live_case(prefault_by_one_thread),
	live_case(prefault_by_several_threads),
	live_case(prefault_keeps_contents),
	live_case(prefault_refuses_bad_ranges),
	live_case(punched_pages_read_as_zero),
	live_case(descriptors_are_close_on_exec),
	live_case(children_do_not_get_the_memory),
	live_case(children_get_the_memory_when_asked),
	live_case(a_memfd_has_its_name_in_maps),
	live_case(core_dumps_leave_the_memory_out),
	live_case(numa_is_honoured_or_refused),
	live_case(numa_holds_for_a_memfd),
	live_case(nothing_is_left_after_free),
	live_case(a_region_may_outlive_its_vm),
	live_case(a_file_of_the_callers_is_used),
};

live_main("live-region", tests)
