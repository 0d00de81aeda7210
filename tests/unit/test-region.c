// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of regions that are made: every backing on every kernel, what AUTO chooses and says, the
 * flags of their files, their states, their info, and every call and allocation that fails.
 */
#include "stage.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (2 * MIB)
#define MMAP GMEM_KVM_GUEST_MEMFD_FLAG_MMAP
#define INIT_SHARED GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED
#define NO_FILE UINT64_MAX
#define NOEXEC_SEAL 8u /* MFD_NOEXEC_SEAL of linux/memfd.h */

/* A region that can be had: what it comes to. */
struct success {
	const char *name;
	unsigned int preset;
	struct wish wish;
	uint32_t backing;
	uint32_t memory;
	uint64_t creation_flags; /* NO_FILE: no guest_memfd */
	bool is_private;
	bool can_be_private;
	const char *description;
};

#define AUTO_SPLIT_PER_VM                                                                          \
	"split: guest_memfd for private pages, memfd for shared, because this VM tracks "          \
	"private memory per VM, where a guest_memfd cannot hold shared pages"
#define PLAIN_NO_PRIVATE "plain: memfd, because this VM has no private memory"
#define PLAIN_OR_GUEST_MEMFD                                                                       \
	PLAIN_NO_PRIVATE "; GMEM_BACKING_GUEST_MEMFD would be a guest_memfd all the same"
#define PLAIN_NEEDS "plain: memfd, because private memory has no dirty log and no alias"
#define PLAIN_NEEDS_ANON                                                                           \
	"plain: anonymous memory, because private memory has no dirty log and no alias"
#define SINGLE_IN_PLACE                                                                            \
	"one guest_memfd, private and shared in place, because this VM converts in place"
#define SPLIT_CHOSEN(memory)                                                                       \
	"split: guest_memfd for private pages, " memory                                            \
	" for shared, because the shared side was chosen"
#define SPLIT_LACKS                                                                                \
	"split: guest_memfd for private pages, memfd for shared, because a guest_memfd has "       \
	"no huge pages, KSM or userfaultfd"
#define SPLIT_LACKS_ANON                                                                                \
	"split: guest_memfd for private pages, anonymous memory for shared, because a guest_memfd has " \
	"no huge pages, KSM or userfaultfd"
#define SPLIT_ASKED "split: guest_memfd for private pages, memfd for shared, as was asked for"

#define SHMEM GMEM_MEMORY_SHMEM
#define ANON GMEM_MEMORY_ANON
#define FILE_MEMORY GMEM_MEMORY_GUEST_MEMFD
#define SPLIT GMEM_BACKING_SPLIT
#define SINGLE GMEM_BACKING_GUEST_MEMFD
#define PLAIN GMEM_BACKING_PLAIN

static const struct success successes[] = {
	{ "AUTO_old_kernel",
	  PRESET_OLD,
	  { 0 },
	  PLAIN,
	  SHMEM,
	  NO_FILE,
	  false,
	  false,
	  PLAIN_NO_PRIVATE },
	{ "AUTO_6_8", PRESET_6_8, { 0 }, SPLIT, SHMEM, 0, true, true, AUTO_SPLIT_PER_VM },
	{ "AUTO_6_18", PRESET_6_18, { 0 }, PLAIN, SHMEM, NO_FILE, false, false, PLAIN_OR_GUEST_MEMFD },
	{ "AUTO_6_18_what_a_guest_memfd_lacks",
	  PRESET_6_18,
	  { .needs = GMEM_NEED_USERFAULTFD },
	  PLAIN,
	  SHMEM,
	  NO_FILE,
	  false,
	  false,
	  PLAIN_NO_PRIVATE },
	{ "AUTO_6_18_SW", PRESET_6_18_SW, { 0 }, SPLIT, SHMEM, 0, true, true, AUTO_SPLIT_PER_VM },
	{ "AUTO_in_place",
	  PRESET_IN_PLACE,
	  { 0 },
	  SINGLE,
	  FILE_MEMORY,
	  MMAP,
	  true,
	  true,
	  SINGLE_IN_PLACE },
	{ "AUTO_in_place_default",
	  PRESET_IN_PLACE_DEFAULT,
	  { 0 },
	  PLAIN,
	  SHMEM,
	  NO_FILE,
	  false,
	  false,
	  PLAIN_OR_GUEST_MEMFD },
	{ "AUTO_shared_6_8",
	  PRESET_6_8,
	  { .state = GMEM_SHARED },
	  SPLIT,
	  SHMEM,
	  0,
	  false,
	  true,
	  AUTO_SPLIT_PER_VM },
	{ "AUTO_shared_6_18_SW_never_INIT_SHARED_F3",
	  PRESET_6_18_SW,
	  { .state = GMEM_SHARED },
	  SPLIT,
	  SHMEM,
	  0,
	  false,
	  true,
	  AUTO_SPLIT_PER_VM },
	{ "AUTO_shared_in_place_INIT_SHARED_F3",
	  PRESET_IN_PLACE,
	  { .state = GMEM_SHARED },
	  SINGLE,
	  FILE_MEMORY,
	  MMAP | INIT_SHARED,
	  false,
	  true,
	  SINGLE_IN_PLACE },
	{ "AUTO_private_in_place",
	  PRESET_IN_PLACE,
	  { .state = GMEM_PRIVATE },
	  SINGLE,
	  FILE_MEMORY,
	  MMAP,
	  true,
	  true,
	  SINGLE_IN_PLACE },
	{ "AUTO_needs_dirty_log",
	  PRESET_IN_PLACE,
	  { .needs = GMEM_NEED_DIRTY_LOG },
	  PLAIN,
	  SHMEM,
	  NO_FILE,
	  false,
	  false,
	  PLAIN_NEEDS },
	{ "AUTO_needs_alias",
	  PRESET_6_8,
	  { .needs = GMEM_NEED_ALIAS },
	  PLAIN,
	  SHMEM,
	  NO_FILE,
	  false,
	  false,
	  PLAIN_NEEDS },
	{ "AUTO_needs_alias_and_huge_pages",
	  PRESET_IN_PLACE,
	  { .needs = GMEM_NEED_ALIAS | GMEM_NEED_HUGE_PAGES },
	  PLAIN,
	  ANON,
	  NO_FILE,
	  false,
	  false,
	  PLAIN_NEEDS_ANON },
	{ "AUTO_needs_huge_pages",
	  PRESET_IN_PLACE,
	  { .needs = GMEM_NEED_HUGE_PAGES },
	  SPLIT,
	  ANON,
	  0,
	  true,
	  true,
	  SPLIT_LACKS_ANON },
	{ "AUTO_needs_userfaultfd",
	  PRESET_IN_PLACE,
	  { .needs = GMEM_NEED_USERFAULTFD },
	  SPLIT,
	  SHMEM,
	  0,
	  true,
	  true,
	  SPLIT_LACKS },
	{ "AUTO_huge",
	  PRESET_IN_PLACE,
	  { .flags = GMEM_REGION_HUGE },
	  SPLIT,
	  SHMEM,
	  0,
	  true,
	  true,
	  SPLIT_LACKS },
	{ "AUTO_chosen_shmem",
	  PRESET_IN_PLACE,
	  { .source = WISH_MEMORY, .memory = SHMEM },
	  SPLIT,
	  SHMEM,
	  0,
	  true,
	  true,
	  SPLIT_CHOSEN("memfd") },
	{ "AUTO_chosen_anonymous",
	  PRESET_IN_PLACE,
	  { .source = WISH_MEMORY, .memory = ANON },
	  SPLIT,
	  ANON,
	  0,
	  true,
	  true,
	  SPLIT_CHOSEN("anonymous memory") },
	{ "AUTO_chosen_huge_pages",
	  PRESET_IN_PLACE,
	  { .source = WISH_MEMORY, .memory = GMEM_MEMORY_HUGETLB },
	  SPLIT,
	  GMEM_MEMORY_HUGETLB,
	  0,
	  true,
	  true,
	  SPLIT_CHOSEN("huge pages") },
	{ "AUTO_chosen_second_guest_memfd",
	  PRESET_IN_PLACE,
	  { .source = WISH_MEMORY, .memory = FILE_MEMORY },
	  SPLIT,
	  FILE_MEMORY,
	  0,
	  true,
	  true,
	  SPLIT_CHOSEN("guest_memfd") },
	{ "SPLIT_6_8", PRESET_6_8, { .backing = SPLIT }, SPLIT, SHMEM, 0, true, true, SPLIT_ASKED },
	{ "SPLIT_6_18_SW_never_MMAP_F6",
	  PRESET_6_18_SW,
	  { .backing = SPLIT },
	  SPLIT,
	  SHMEM,
	  0,
	  true,
	  true,
	  SPLIT_ASKED },
	{ "SPLIT_in_place",
	  PRESET_IN_PLACE,
	  { .backing = SPLIT },
	  SPLIT,
	  SHMEM,
	  0,
	  true,
	  true,
	  SPLIT_ASKED },
	{ "SPLIT_in_place_shared",
	  PRESET_IN_PLACE,
	  { .backing = SPLIT, .state = GMEM_SHARED },
	  SPLIT,
	  SHMEM,
	  INIT_SHARED,
	  false,
	  true,
	  SPLIT_ASKED },
	{ "SPLIT_in_place_needs_huge_pages",
	  PRESET_IN_PLACE,
	  { .backing = SPLIT, .needs = GMEM_NEED_HUGE_PAGES },
	  SPLIT,
	  ANON,
	  0,
	  true,
	  true,
	  "split: guest_memfd for private pages, anonymous memory for shared, as was asked "
	  "for" },
	{ "SINGLE_6_18_always_INIT_SHARED",
	  PRESET_6_18,
	  { .backing = SINGLE },
	  SINGLE,
	  FILE_MEMORY,
	  MMAP | INIT_SHARED,
	  false,
	  false,
	  "one guest_memfd, always shared, as was asked for" },
	{ "SINGLE_in_place",
	  PRESET_IN_PLACE,
	  { .backing = SINGLE },
	  SINGLE,
	  FILE_MEMORY,
	  MMAP,
	  true,
	  true,
	  "one guest_memfd, private and shared in place, as was asked for" },
	{ "SINGLE_in_place_default_always_INIT_SHARED_F7",
	  PRESET_IN_PLACE_DEFAULT,
	  { .backing = SINGLE },
	  SINGLE,
	  FILE_MEMORY,
	  MMAP | INIT_SHARED,
	  false,
	  false,
	  "one guest_memfd, always shared, as was asked for" },
	{ "PLAIN_old_kernel",
	  PRESET_OLD,
	  { .backing = PLAIN },
	  PLAIN,
	  SHMEM,
	  NO_FILE,
	  false,
	  false,
	  "plain: memfd, as was asked for" },
	{ "PLAIN_6_8",
	  PRESET_6_8,
	  { .backing = PLAIN },
	  PLAIN,
	  SHMEM,
	  NO_FILE,
	  false,
	  false,
	  "plain: memfd, as was asked for" },
	{ "PLAIN_in_place_anonymous",
	  PRESET_IN_PLACE,
	  { .backing = PLAIN, .source = WISH_MEMORY, .memory = ANON },
	  PLAIN,
	  ANON,
	  NO_FILE,
	  false,
	  false,
	  "plain: anonymous memory, as was asked for" },
	{ "PLAIN_needs_everything",
	  PRESET_6_18,
	  { .backing = PLAIN,
	    .needs = GMEM_NEED_DIRTY_LOG | GMEM_NEED_HUGE_PAGES | GMEM_NEED_USERFAULTFD |
		     GMEM_NEED_ALIAS },
	  PLAIN,
	  ANON,
	  NO_FILE,
	  false,
	  false,
	  "plain: anonymous memory, as was asked for" },
};

static void check_close_on_exec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	assert_true(flags >= 0);
	assert_true(flags & FD_CLOEXEC);
}

static void check_info(const struct success *success, struct stage *stage,
		       const struct gmem_region_info *info)
{
	bool single = success->backing == SINGLE;
	size_t i;

	assert_int_equal(info->size, SIZE);
	assert_int_equal(info->page_size, success->memory == GMEM_MEMORY_HUGETLB
						  ? 2 * MIB
						  : fake_kvm_page_size(stage->fake));
	assert_int_equal(info->tag, 77);
	assert_int_equal(info->private_bytes, success->is_private ? SIZE : 0);
	assert_non_null(info->host);
	assert_int_equal((uintptr_t)info->host % info->page_size, 0);
	/* For KVM's huge pages: 2 MiB with pages of 4K, and a region of so much. */
	if (fake_kvm_page_size(stage->fake) == 4096)
		assert_int_equal((uintptr_t)info->host % (2 * MIB), 0);
	assert_int_equal(info->fd_offset, 0);
	assert_int_equal(info->backing, success->backing);
	assert_int_equal(info->memory, success->memory);
	assert_int_equal(info->can_be_private, success->can_be_private);
	assert_int_equal(info->fd >= 0, success->memory != ANON);
	assert_int_equal(info->guest_memfd >= 0, success->creation_flags != NO_FILE);
	assert_int_equal(info->guest_memfd >= 0 && info->guest_memfd == info->fd, single);
	if (info->fd >= 0)
		check_close_on_exec(info->fd);
	assert_int_equal(info->padding, 0);
	for (i = 0; i < ARRAY_SIZE(info->reserved); i++)
		assert_int_equal(info->reserved[i], 0);
}

/* What KVM_CREATE_GUEST_MEMFD was given, and what it made. */
static void check_guest_memfd(const struct success *success, struct stage *stage,
			      const struct gmem_region_info *info)
{
	struct fake_call call;
	size_t i;

	assert_true(fake_kvm_get_ioctl(stage->fake, GMEM_KVM_CREATE_GUEST_MEMFD, 0, &call));
	assert_int_equal(call.arg[0], fake_kvm_vm_fd(stage->fake));
	assert_int_equal(call.result, info->guest_memfd);
	assert_int_equal(call.data[0], SIZE);
	assert_int_equal(call.data[1], success->creation_flags);
	for (i = 2; i < ARRAY_SIZE(call.data); i++)
		assert_int_equal(call.data[i], 0);
	check_close_on_exec(info->guest_memfd);
	if (presets[success->preset].config->tracking == FAKE_TRACKING_FILE)
		assert_int_equal(fake_kvm_file_private_bytes(stage->fake, info->guest_memfd),
				 success->is_private ? SIZE : 0);
}

/* The second guest_memfd is there to be mapped, and never private. */
static void check_second_guest_memfd(struct stage *stage, const struct gmem_region_info *info)
{
	assert_true(fake_kvm_is_guest_memfd(stage->fake, info->fd));
	assert_int_equal(fake_kvm_file_flags(stage->fake, info->fd), MMAP | INIT_SHARED);
	assert_int_equal(fake_kvm_file_private_bytes(stage->fake, info->fd), 0);
}

static void check_description(const struct gmem_region *region, const char *expected)
{
	char text[256], cut[8];
	int length;

	length = gmem_region_describe(region, text, sizeof(text));
	assert_string_equal(text, expected);
	assert_int_equal(length, strlen(expected));
	assert_int_equal(gmem_region_describe(region, NULL, 0), length);
	assert_int_equal(gmem_region_describe(region, cut, sizeof(cut)), length);
	assert_int_equal(strlen(cut), sizeof(cut) - 1);
	assert_int_equal(strncmp(cut, expected, sizeof(cut) - 1), 0);
}

static void expect_success(const struct success *success, uint64_t page_size)
{
	struct fake_kvm_config config = *presets[success->preset].config;
	struct wish wish = success->wish;
	struct gmem_region_info info;
	struct gmem_region *region;
	struct stage stage;

	wish.tag = 77;
	config.page_size = page_size;
	stage_open_vm(&stage, &config);
	fake_kvm_reset_calls(stage.fake);
	region = stage_region(&stage, SIZE, &wish);
	info = region_info(region);
	check_info(success, &stage, &info);
	assert_int_equal(fake_kvm_count_ioctl(stage.fake, GMEM_KVM_CREATE_GUEST_MEMFD),
			 (success->creation_flags != NO_FILE) +
				 (success->backing == SPLIT && success->memory == FILE_MEMORY));
	if (success->creation_flags != NO_FILE)
		check_guest_memfd(success, &stage, &info);
	if (success->backing == SPLIT && success->memory == FILE_MEMORY)
		check_second_guest_memfd(&stage, &info);
	/* Memory that the host sees can be used, from end to end. */
	if (success->backing != SINGLE || !success->is_private)
		memset(info.host, 0x5a, SIZE);
	check_description(region, success->description);
	gmem_region_free(region);
	stage_close(&stage);
}

static void region_is_made(void **state)
{
	static const uint64_t page_sizes[] = { 4096, 16384, 65536 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(page_sizes); i++)
		expect_success(*state, page_sizes[i]);
}

struct making {
	struct wish wish;
	struct gmem_region *region;
};

static int make_region(struct stage *stage, void *opaque)
{
	struct making *making = opaque;
	int rc = stage_try_region(stage, SIZE, &making->wish, &making->region);

	if (rc)
		assert_null(making->region);
	else
		assert_non_null(making->region);
	return rc;
}

static void drop_region(struct stage *stage, void *opaque)
{
	struct making *making = opaque;

	(void)stage;
	gmem_region_free(making->region);
}

/* A kernel before 6.3 does not know the flag, and is asked again without it. */
static bool region_tolerates(const struct stage_call *call, int error)
{
	return call->nr == GMEM_SYS_MEMFD_CREATE && call->arg[1] & NOEXEC_SEAL && error == EINVAL;
}

static const int region_errors[] = { -EINVAL, -EBADF, -ENOMEM, -EMFILE, -EOPNOTSUPP, -EIO, 0 };

static void region_survives_every_failure(void **state)
{
	const struct success *success = *state;
	struct making making = { .wish = success->wish };
	struct operation operation = {
		.run = make_region,
		.undo = drop_region,
		.opaque = &making,
		.errors = region_errors,
		.tolerates = region_tolerates,
	};
	struct stage stage;

	stage_open_vm(&stage, presets[success->preset].config);
	stage_sweep_calls(&stage, &operation);
	stage_close(&stage);
}

/* A configuration is made beforehand: its allocation is another function's. */
static int make_region_of_config(struct stage *stage, const struct gmem_region_config *config,
				 uint64_t nth, struct gmem_region **region)
{
	int rc;

	*region = (struct gmem_region *)stage;
	allocations_fail(nth);
	rc = gmem_region_new(stage->vm, SIZE, config, region);
	allocations_off();
	return rc;
}

static void gmem_region_new_ENOMEM_every_allocation(void **state)
{
	const struct success *success = *state;
	struct gmem_region_config *config = wish_config(&success->wish);
	struct gmem_region *region;
	struct stage stage;
	uint64_t nth;
	int rc;

	stage_open_vm(&stage, presets[success->preset].config);
	for (nth = 1;; nth++) {
		struct leaks_snapshot *before = leaks_take(stage.leaks);

		rc = make_region_of_config(&stage, config, nth, &region);
		if (!allocations_failed()) {
			leaks_snapshot_free(before);
			break;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_null(region);
		expect_one_message(stage.logs, GMEM_LOG_ERROR, "region \"region\"", "no memory");
		assert_no_leaks(stage.leaks, before);
	}
	assert_int_equal(rc, 0);
	/* The region, and its shadow. */
	assert_int_equal(nth, success->can_be_private ? 3 : 2);
	gmem_region_free(region);
	gmem_region_config_free(config);
	stage_close(&stage);
}

static void add_success(struct cases *cases, const struct success *success)
{
	static char names[256][96];
	static size_t used;

	cases_add(cases, success->name, region_is_made, (void *)success);
	snprintf(names[used], sizeof(names[used]), "calls_fail_%s", success->name);
	cases_add(cases, names[used++], region_survives_every_failure, (void *)success);
	snprintf(names[used], sizeof(names[used]), "gmem_region_new_ENOMEM_%s", success->name);
	cases_add(cases, names[used++], gmem_region_new_ENOMEM_every_allocation, (void *)success);
}

int main(void)
{
	static struct cases cases;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(successes); i++)
		add_success(&cases, &successes[i]);
	return cases_run(&cases, "region");
}
