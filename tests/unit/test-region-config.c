// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of a region's configuration: what is refused by looking at it alone, without a system
 * call, and what setters do.
 */
#include "stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST "0123456789012345678901234567890123456789012345678901234567890123"
#define ADDRESS ((void *)(uintptr_t)0x10000000)
#define HUGE_PAGE (2 * MIB)

struct refusal {
	const char *name;
	const struct fake_kvm_config *kernel; /* NULL: in-place */
	uint32_t tracking;                    /* forced */
	uint64_t size;                        /* 0: 2 MiB; NOTHING: 0 */
	struct wish wish;                     /* named "ram0" if it has no name */
	int error;
	const char *words[4];
};

#define NOTHING UINT64_MAX

static const struct refusal bad_names[] = {
	{ .name = "gmem_region_new_EINVAL_name_empty",
	  .wish = { .name = "" },
	  .words = { "name of 0 bytes", "1 to 63 printable ASCII" } },
	{ .name = "gmem_region_new_EINVAL_name_too_long",
	  .wish = { .name = LONGEST },
	  .words = { "name of 64 bytes", "1 to 63 printable ASCII" } },
	{ .name = "gmem_region_new_EINVAL_name_much_too_long",
	  .wish = { .name = LONGEST LONGEST },
	  .words = { "name of 64 bytes", "1 to 63 printable ASCII" } },
	{ .name = "gmem_region_new_EINVAL_name_control",
	  .wish = { .name = "a\nb" },
	  .words = { "name of 3 bytes", "printable ASCII" } },
	{ .name = "gmem_region_new_EINVAL_name_delete",
	  .wish = { .name = "a\177" },
	  .words = { "name of 2 bytes", "printable ASCII" } },
	{ .name = "gmem_region_new_EINVAL_name_not_ASCII",
	  .wish = { .name = "\303\244" },
	  .words = { "name of 2 bytes", "printable ASCII" } },
	{ .name = "gmem_region_new_EINVAL_name_backslash",
	  .wish = { .name = "a\\" },
	  .words = { "name of 2 bytes", "without \\ ` $ [ ]" } },
	{ .name = "gmem_region_new_EINVAL_name_backquote",
	  .wish = { .name = "`" },
	  .words = { "name of 1 bytes", "without \\ ` $ [ ]" } },
	{ .name = "gmem_region_new_EINVAL_name_dollar",
	  .wish = { .name = "a$b" },
	  .words = { "name of 3 bytes", "without \\ ` $ [ ]" } },
	{ .name = "gmem_region_new_EINVAL_name_bracket",
	  .wish = { .name = "[a" },
	  .words = { "name of 2 bytes", "without \\ ` $ [ ]" } },
	{ .name = "gmem_region_new_EINVAL_name_closing_bracket",
	  .wish = { .name = "a]" },
	  .words = { "name of 2 bytes", "without \\ ` $ [ ]" } },
};

static const struct refusal invalid[] = {
	{ .name = "gmem_region_new_EINVAL_size_zero",
	  .size = NOTHING,
	  .words = { "size 0 ", "multiple of the page size 0x1000" } },
	{ .name = "gmem_region_new_EINVAL_size_unaligned",
	  .size = 0x1001,
	  .words = { "size 0x1001 ", "multiple of the page size 0x1000" } },
	{ .name = "gmem_region_new_EINVAL_size_2_to_the_63",
	  .size = UINT64_C(1) << 63,
	  .words = { "size 0x8000000000000000 ", "below 2^63" } },
	{ .name = "gmem_region_new_EINVAL_size_largest_multiple",
	  .size = UINT64_MAX - 0xfff,
	  .words = { "size 0xfffffffffffff000 ", "below 2^63" } },
	{ .name = "gmem_region_new_EINVAL_backing",
	  .wish = { .backing = GMEM_BACKING_PLAIN + 1 },
	  .words = { "backing 4", "GMEM_BACKING_*" } },
	{ .name = "gmem_region_new_EINVAL_flags",
	  .wish = { .flags = GMEM_REGION_FORK | 1u << 6 | 1u << 31 },
	  .words = { "flags 0x80000040", "GMEM_REGION_*" } },
	{ .name = "gmem_region_new_EINVAL_needs",
	  .wish = { .needs = GMEM_NEED_ALIAS | 1u << 4 },
	  .words = { "needs 0x10", "GMEM_NEED_*" } },
	{ .name = "gmem_region_new_EINVAL_state_both",
	  .wish = { .state = GMEM_SHARED | GMEM_PRIVATE },
	  .words = { "state 0x3", "neither GMEM_SHARED nor GMEM_PRIVATE" } },
	{ .name = "gmem_region_new_EINVAL_state_hole",
	  .wish = { .state = GMEM_HOLE },
	  .words = { "state 0x4", "neither GMEM_SHARED nor GMEM_PRIVATE" } },
	{ .name = "gmem_region_new_EINVAL_huge_and_no_huge",
	  .wish = { .flags = GMEM_REGION_HUGE | GMEM_REGION_NO_HUGE },
	  .words = { "GMEM_REGION_NO_HUGE", "exclude" } },
	{ .name = "gmem_region_new_EINVAL_no_huge_needs_huge_pages",
	  .wish = { .flags = GMEM_REGION_NO_HUGE, .needs = GMEM_NEED_HUGE_PAGES },
	  .words = { "GMEM_REGION_NO_HUGE", "exclude" } },
	{ .name = "gmem_region_new_EINVAL_numa_policy",
	  .wish = { .policy = GMEM_NUMA_INTERLEAVE + 1, .nodes = 1, .bits = 1 },
	  .words = { "NUMA policy 4", "GMEM_NUMA_*" } },
	{ .name = "gmem_region_new_EINVAL_numa_bits",
	  .wish = { .policy = GMEM_NUMA_BIND, .nodes = 1, .bits = GMEM_NUMA_BITS + 1 },
	  .words = { "1025 bits", "longer than 1024" } },
	{ .name = "gmem_region_new_EINVAL_numa_bits_largest",
	  .wish = { .policy = GMEM_NUMA_BIND, .nodes = 1, .bits = UINT32_MAX },
	  .words = { "4294967295 bits", "longer than 1024" } },
	{ .name = "gmem_region_new_EINVAL_numa_no_node",
	  .wish = { .policy = GMEM_NUMA_BIND, .nodes = 0, .bits = 8 },
	  .words = { "NUMA policy 2 with no node", "at least one" } },
	{ .name = "gmem_region_new_EINVAL_numa_node_past_the_bits",
	  .wish = { .policy = GMEM_NUMA_BIND, .nodes = 4, .bits = 2 },
	  .words = { "NUMA policy 2 with no node", "at least one" } },
	{ .name = "gmem_region_new_EINVAL_numa_default_with_a_node",
	  .wish = { .policy = GMEM_NUMA_DEFAULT, .nodes = 1, .bits = 1 },
	  .words = { "NUMA policy 0 with a node", "the default takes none" } },
	{ .name = "gmem_region_new_EINVAL_memory_device",
	  .wish = { .source = WISH_MEMORY, .memory = GMEM_MEMORY_DEVICE },
	  .words = { "memory 4", "comes as a mapping" } },
	{ .name = "gmem_region_new_EINVAL_memory_unknown",
	  .wish = { .source = WISH_MEMORY, .memory = 5 },
	  .words = { "memory 5", "cannot be made here" } },
	{ .name = "gmem_region_new_EINVAL_mapping_guest_memfd",
	  .wish = { .source = WISH_MAPPING, .mapping = ADDRESS, .memory = GMEM_MEMORY_GUEST_MEMFD },
	  .words = { "memory 3", "mapping of the caller's" } },
	{ .name = "gmem_region_new_EINVAL_mapping_unknown",
	  .wish = { .source = WISH_MAPPING, .mapping = ADDRESS, .memory = 5 },
	  .words = { "memory 5", "mapping of the caller's" } },
	{ .name = "gmem_region_new_EINVAL_fd_offset",
	  .wish = { .source = WISH_FD, .fd = 17, .offset = 0x1800 },
	  .words = { "offset 0x1800 in descriptor 17", "page size 0x1000" } },
	{ .name = "gmem_region_new_EINVAL_page_size_of_shmem",
	  .wish = { .source = WISH_MEMORY, .page_size = HUGE_PAGE },
	  .words = { "page size of 0x200000", "only for huge pages" } },
	{ .name = "gmem_region_new_EINVAL_huge_page_size_odd",
	  .wish = { .source = WISH_MEMORY, .memory = GMEM_MEMORY_HUGETLB, .page_size = 3 * MIB },
	  .words = { "huge pages of 0x300000", "power of two above 0x1000" } },
	{ .name = "gmem_region_new_EINVAL_huge_page_size_small",
	  .wish = { .source = WISH_MEMORY, .memory = GMEM_MEMORY_HUGETLB, .page_size = 4096 },
	  .words = { "huge pages of 0x1000", "power of two above 0x1000" } },
	{ .name = "gmem_region_new_EINVAL_size_no_multiple_of_huge_page",
	  .size = 3 * MIB,
	  .wish = { .source = WISH_MEMORY, .memory = GMEM_MEMORY_HUGETLB, .page_size = HUGE_PAGE },
	  .words = { "size 0x300000 with huge pages of 0x200000", "divide the size" } },
	{ .name = "gmem_region_new_EINVAL_mapping_flags",
	  .wish = { .source = WISH_MAPPING, .mapping = ADDRESS, .flags = GMEM_REGION_DUMP },
	  .words = { "flags 0x1 on a mapping of the caller's", "madvise() it" } },
	{ .name = "gmem_region_new_EINVAL_mapping_numa",
	  .wish = { .source = WISH_MAPPING,
		    .mapping = ADDRESS,
		    .policy = GMEM_NUMA_BIND,
		    .nodes = 1,
		    .bits = 1 },
	  .words = { "NUMA policy 2 on a mapping of the caller's", "mbind() it" } },
	{ .name = "gmem_region_new_EINVAL_mergeable_shmem",
	  .wish = { .flags = GMEM_REGION_MERGEABLE },
	  .words = { "GMEM_REGION_MERGEABLE on a memfd", "GMEM_MEMORY_ANON" } },
	{ .name = "gmem_region_new_EINVAL_single_with_memory",
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .source = WISH_MEMORY },
	  .words = { "one guest_memfd", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EINVAL_single_with_fd",
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .source = WISH_FD, .fd = 0 },
	  .words = { "one guest_memfd", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EINVAL_split_with_device",
	  .wish = { .backing = GMEM_BACKING_SPLIT,
		    .source = WISH_MAPPING,
		    .mapping = ADDRESS,
		    .memory = GMEM_MEMORY_DEVICE },
	  .words = { "device memory", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EINVAL_plain_private",
	  .wish = { .backing = GMEM_BACKING_PLAIN, .state = GMEM_PRIVATE },
	  .words = { "plain memory is never private", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EINVAL_private_needs_alias",
	  .wish = { .state = GMEM_PRIVATE, .needs = GMEM_NEED_ALIAS },
	  .words = { "needs 0x8 and GMEM_PRIVATE exclude each other" } },
	{ .name = "gmem_region_new_EINVAL_plain_guest_memfd",
	  .wish = { .backing = GMEM_BACKING_PLAIN,
		    .source = WISH_MEMORY,
		    .memory = GMEM_MEMORY_GUEST_MEMFD },
	  .words = { "plain memory has no guest_memfd", "use GMEM_BACKING_GUEST_MEMFD" } },
};

/* In-place kernels that lack a creation flag, and a 6.18 that lacks INIT_SHARED. */
static struct fake_kvm_config in_place_without_flags;
static struct fake_kvm_config in_place_without_init_shared;
static struct fake_kvm_config default_without_init_shared;

static const struct refusal unsupported[] = {
	{ .name = "gmem_region_new_EOPNOTSUPP_single_needs_huge_pages",
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .needs = GMEM_NEED_HUGE_PAGES },
	  .words = { "needs 0x2", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_needs_userfaultfd",
	  .kernel = &fake_kvm_linux_6_18,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .needs = GMEM_NEED_USERFAULTFD },
	  .words = { "needs 0x4", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_huge",
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .flags = GMEM_REGION_HUGE },
	  .words = { "flags 0x4", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_huge_default_type",
	  .kernel = &fake_kvm_in_place_default,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .flags = GMEM_REGION_HUGE },
	  .words = { "flags 0x4", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_old_kernel",
	  .kernel = &fake_kvm_old,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD },
	  .words = { "no guest_memfd", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_per_VM",
	  .kernel = &fake_kvm_linux_6_8,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD },
	  .words = { "tracked per VM", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_per_VM_with_mmap",
	  .kernel = &fake_kvm_linux_6_18_sw,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .state = GMEM_SHARED },
	  .words = { "tracked per VM", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_per_VM_not_tracked",
	  .kernel = &fake_kvm_linux_6_18_sw,
	  .tracking = GMEM_TRACKING_NONE,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD },
	  .words = { "tracked per VM", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_cannot_be_mapped",
	  .kernel = &in_place_without_flags,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD },
	  .words = { "cannot be mapped", "flags 0,", "use GMEM_BACKING_SPLIT" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_without_INIT_SHARED",
	  .kernel = &default_without_init_shared,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD },
	  .words = { "cannot be mapped", "flags 0x1,", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_cannot_start_shared",
	  .kernel = &in_place_without_init_shared,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .state = GMEM_SHARED },
	  .words = { "cannot start shared", "flags 0x1 ", "use GMEM_PRIVATE" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_split_cannot_start_shared",
	  .kernel = &in_place_without_flags,
	  .wish = { .backing = GMEM_BACKING_SPLIT, .state = GMEM_SHARED },
	  .words = { "cannot start shared", "flags 0 ", "use GMEM_PRIVATE" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_split_old_kernel",
	  .kernel = &fake_kvm_old,
	  .wish = { .backing = GMEM_BACKING_SPLIT },
	  .words = { "no private memory to split off", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_split_default_type",
	  .kernel = &fake_kvm_linux_6_18,
	  .wish = { .backing = GMEM_BACKING_SPLIT },
	  .words = { "no private memory to split off", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_split_not_tracked",
	  .tracking = GMEM_TRACKING_NONE,
	  .wish = { .backing = GMEM_BACKING_SPLIT },
	  .words = { "no private memory to split off", "GMEM_BACKING_GUEST_MEMFD" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_second_guest_memfd_needs_huge_pages",
	  .wish = { .source = WISH_MEMORY,
		    .memory = GMEM_MEMORY_GUEST_MEMFD,
		    .needs = GMEM_NEED_HUGE_PAGES },
	  .words = { "needs 0x2", "use GMEM_MEMORY_SHMEM or GMEM_MEMORY_HUGETLB" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_second_guest_memfd_per_VM",
	  .kernel = &fake_kvm_linux_6_18_sw,
	  .wish = { .source = WISH_MEMORY, .memory = GMEM_MEMORY_GUEST_MEMFD },
	  .words = { "shared guest_memfd beside the private one", "use GMEM_MEMORY_SHMEM" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_second_guest_memfd_without_INIT_SHARED",
	  .kernel = &in_place_without_init_shared,
	  .wish = { .source = WISH_MEMORY, .memory = GMEM_MEMORY_GUEST_MEMFD },
	  .words = { "shared guest_memfd beside the private one", "use GMEM_MEMORY_SHMEM" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_second_guest_memfd_huge",
	  .wish = { .source = WISH_MEMORY,
		    .memory = GMEM_MEMORY_GUEST_MEMFD,
		    .flags = GMEM_REGION_HUGE },
	  .words = { "flags 0x4", "GMEM_MEMORY_SHMEM" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_private_old_kernel",
	  .kernel = &fake_kvm_old,
	  .wish = { .state = GMEM_PRIVATE },
	  .words = { "no private memory to start with", "use GMEM_SHARED" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_private_default_type",
	  .kernel = &fake_kvm_in_place_default,
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .state = GMEM_PRIVATE },
	  .words = { "no private memory to start with", "use GMEM_SHARED" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_single_needs_dirty_log",
	  .wish = { .backing = GMEM_BACKING_GUEST_MEMFD, .needs = GMEM_NEED_DIRTY_LOG },
	  .words = { "needs 0x1", "use GMEM_BACKING_PLAIN" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_mapping_needs_huge_pages",
	  .wish = { .source = WISH_MAPPING, .mapping = ADDRESS, .needs = GMEM_NEED_HUGE_PAGES },
	  .words = { "GMEM_NEED_HUGE_PAGES on a mapping", "GMEM_MEMORY_HUGETLB" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_device_needs_userfaultfd",
	  .wish = { .source = WISH_MAPPING,
		    .mapping = ADDRESS,
		    .memory = GMEM_MEMORY_DEVICE,
		    .needs = GMEM_NEED_USERFAULTFD },
	  .words = { "GMEM_NEED_USERFAULTFD on device memory" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_memfd_needs_huge_pages",
	  .wish = { .source = WISH_MEMORY, .needs = GMEM_NEED_HUGE_PAGES },
	  .words = { "GMEM_NEED_HUGE_PAGES on a memfd", "use GMEM_MEMORY_ANON" } },
	{ .name = "gmem_region_new_EOPNOTSUPP_split_needs_alias",
	  .kernel = &fake_kvm_linux_6_8,
	  .wish = { .backing = GMEM_BACKING_SPLIT, .needs = GMEM_NEED_ALIAS },
	  .words = { "needs 0x8", "use GMEM_BACKING_PLAIN" } },
};

static void open_with_tracking(struct stage *stage, const struct refusal *refusal)
{
	struct gmem_vm_config *config;

	stage_open(stage, refusal->kernel ? refusal->kernel : &fake_kvm_in_place);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_tracking(config, refusal->tracking);
	assert_int_equal(gmem_vm_new(stage->ctx, fake_kvm_vm_fd(stage->fake), config, &stage->vm),
			 0);
	gmem_vm_config_free(config);
}

static void expect_refusal(const struct refusal *refusal, int error, const char *first_word)
{
	const char *words[6] = { first_word };
	struct wish wish = refusal->wish;
	struct gmem_region *region;
	struct stage stage;
	uint64_t size = refusal->size ? refusal->size : HUGE_PAGE;

	memcpy(words + 1, refusal->words, sizeof(refusal->words));
	if (!wish.name)
		wish.name = "ram0";
	if (size == NOTHING)
		size = 0;
	open_with_tracking(&stage, refusal);
	stage_expect_refused(&stage, size, &wish, error, words);
	/* And all of this by looking. */
	fake_kvm_reset_calls(stage.fake);
	assert_int_equal(stage_try_region(&stage, size, &wish, &region), error);
	assert_int_equal(fake_kvm_call_count(stage.fake), 0);
	logs_reset(stage.logs);
	stage_close(&stage);
}

static void bad_name(void **state)
{
	/* A bad name is no text for a log. */
	expect_refusal(*state, -EINVAL, "a region's name");
}

static void invalid_config(void **state)
{
	expect_refusal(*state, -EINVAL, "region \"ram0\": ");
}

static void unsupported_config(void **state)
{
	expect_refusal(*state, -EOPNOTSUPP, "region \"ram0\": ");
}

/* Alignment is to the page size of the host, whatever it is. */
static void gmem_region_new_EINVAL_size_unaligned_64K(void **state)
{
	static const char *const words[] = { "size 0x1000 ", "page size 0x10000", NULL };
	struct fake_kvm_config config = fake_kvm_in_place;
	struct stage stage;

	(void)state;
	config.page_size = 65536;
	stage_open_vm(&stage, &config);
	stage_expect_refused(&stage, 4096, &(struct wish){ 0 }, -EINVAL, words);
	stage_close(&stage);
}

static void gmem_region_config_new_EINVAL_null(void **state)
{
	struct capture capture;
	char text[256];
	int rc;

	(void)state;
	capture_begin(&capture, "error");
	rc = gmem_region_config_new(NULL);
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(text, "libgmem: error: gmem_region_config_new: config is NULL, it must "
				  "be an address\n");
}

static void gmem_region_config_new_ENOMEM(void **state)
{
	struct gmem_region_config *config = (struct gmem_region_config *)&config;
	struct capture capture;
	char text[256];
	int rc;

	(void)state;
	capture_begin(&capture, "error");
	allocations_fail(1);
	rc = gmem_region_config_new(&config);
	allocations_off();
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc, -ENOMEM);
	assert_null(config);
	assert_non_null(strstr(text, "gmem_region_config_new: no memory"));
}

static void null_is_ignored(void **state)
{
	const uint64_t node = 1;

	(void)state;
	gmem_region_config_free(NULL);
	gmem_region_config_set_name(NULL, "a");
	gmem_region_config_set_tag(NULL, 1);
	gmem_region_config_set_backing(NULL, GMEM_BACKING_PLAIN);
	gmem_region_config_set_needs(NULL, GMEM_NEED_ALIAS);
	gmem_region_config_set_state(NULL, GMEM_SHARED);
	gmem_region_config_set_flags(NULL, GMEM_REGION_DUMP);
	gmem_region_config_set_numa(NULL, GMEM_NUMA_BIND, &node, 1);
	gmem_region_config_set_memory(NULL, GMEM_MEMORY_ANON, 0);
	gmem_region_config_set_fd(NULL, 0, 0);
	gmem_region_config_set_mapping(NULL, ADDRESS, GMEM_MEMORY_ANON, 0);
}

/* Names and masks are the caller's again as soon as a setter returns. */
static void setters_copy(void **state)
{
	static const char *const words[] = { "region \"ram1\"", NULL };
	struct gmem_region_config *config;
	struct gmem_region *region;
	char name[] = "ram1";
	uint64_t nodes[GMEM_NUMA_BITS / 64] = { [GMEM_NUMA_BITS / 64 - 1] = UINT64_C(1) << 63 };
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_old);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_name(config, name);
	gmem_region_config_set_numa(config, GMEM_NUMA_DEFAULT, nodes, GMEM_NUMA_BITS);
	memset(name, 'x', sizeof(name) - 1);
	memset(nodes, 0, sizeof(nodes));
	/* The copy of the mask still has its last node, which the default does not take. */
	assert_int_equal(gmem_region_new(stage.vm, MIB, config, &region), -EINVAL);
	logs_expect(stage.logs, GMEM_LOG_ERROR, words, __FILE__, __LINE__);
	gmem_region_config_set_numa(config, GMEM_NUMA_DEFAULT, NULL, 0);
	assert_int_equal(gmem_region_new(stage.vm, MIB, config, &region), 0);
	gmem_region_free(region);
	gmem_region_config_free(config);
	stage_close(&stage);
}

static void config_is_copied_and_serves_many_regions(void **state)
{
	struct gmem_region *first, *second;
	struct gmem_region_config *config;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_name(config, "first");
	gmem_region_config_set_tag(config, 1);
	gmem_region_config_set_backing(config, GMEM_BACKING_SPLIT);
	assert_int_equal(gmem_region_new(stage.vm, MIB, config, &first), 0);
	gmem_region_config_set_name(config, "second");
	gmem_region_config_set_tag(config, 2);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(stage.vm, MIB, config, &second), 0);
	gmem_region_config_free(config);
	assert_int_equal(region_info(first).tag, 1);
	assert_int_equal(region_info(first).backing, GMEM_BACKING_SPLIT);
	assert_int_equal(region_info(second).tag, 2);
	assert_int_equal(region_info(second).backing, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_prefault(first, 0, 0, 1), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "region \"first\"");
	gmem_region_free(first);
	gmem_region_free(second);
	stage_close(&stage);
}

/* Each setter of the shared side takes the place of the others. */
static void last_source_counts(void **state)
{
	struct gmem_region_config *config;
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_8);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_fd(config, -1, 0x800);
	gmem_region_config_set_mapping(config, NULL, GMEM_MEMORY_DEVICE, 1);
	gmem_region_config_set_memory(config, GMEM_MEMORY_ANON, 0);
	assert_int_equal(gmem_region_new(stage.vm, MIB, config, &region), 0);
	assert_int_equal(region_info(region).memory, GMEM_MEMORY_ANON);
	assert_int_equal(region_info(region).fd_offset, 0);
	gmem_region_free(region);
	gmem_region_config_set_fd(config, -1, 0);
	assert_int_equal(gmem_region_new(stage.vm, MIB, config, &region), -EBADF);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "descriptor -1");
	gmem_region_config_set_mapping(config, NULL, GMEM_MEMORY_ANON, 0);
	assert_int_equal(gmem_region_new(stage.vm, MIB, config, &region), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "mapping at");
	gmem_region_config_free(config);
	stage_close(&stage);
}

static void longest_name_is_fine(void **state)
{
	static const char name[] =
		"!012345678901234567890123456789012345678901234567890123456789 ~";
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	assert_int_equal(strlen(name), GMEM_NAME_LENGTH);
	stage_open_vm(&stage, &fake_kvm_in_place);
	region = stage_region(&stage, MIB, &(struct wish){ .name = name });
	gmem_region_free(region);
	stage_close(&stage);
}

static void default_name_is_region(void **state)
{
	static const char *const words[] = { "region \"region\": size 0x1 ", NULL };
	struct gmem_region_config *config;
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_region_new(stage.vm, 1, NULL, &region), -EINVAL);
	assert_null(region);
	logs_expect(stage.logs, GMEM_LOG_ERROR, words, __FILE__, __LINE__);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_name(config, "other");
	gmem_region_config_set_name(config, NULL);
	assert_int_equal(gmem_region_new(stage.vm, 1, config, &region), -EINVAL);
	logs_expect(stage.logs, GMEM_LOG_ERROR, words, __FILE__, __LINE__);
	gmem_region_config_free(config);
	stage_close(&stage);
}

static void add_table(struct cases *cases, const struct refusal *rows, size_t count,
		      CMUnitTestFunction function)
{
	size_t i;

	for (i = 0; i < count; i++)
		cases_add(cases, rows[i].name, function, (void *)&rows[i]);
}

int main(void)
{
	static struct cases cases;

	in_place_without_flags = fake_kvm_in_place;
	in_place_without_flags.cap.guest_memfd_flags = 0;
	in_place_without_init_shared = fake_kvm_in_place;
	in_place_without_init_shared.cap.guest_memfd_flags = 1;
	default_without_init_shared = fake_kvm_linux_6_18;
	default_without_init_shared.cap.guest_memfd_flags = 1;
	add_table(&cases, bad_names, ARRAY_SIZE(bad_names), bad_name);
	add_table(&cases, invalid, ARRAY_SIZE(invalid), invalid_config);
	add_table(&cases, unsupported, ARRAY_SIZE(unsupported), unsupported_config);
#define ADD(function) cases_add(&cases, #function, function, NULL)
	ADD(gmem_region_new_EINVAL_size_unaligned_64K);
	ADD(gmem_region_config_new_EINVAL_null);
	ADD(gmem_region_config_new_ENOMEM);
	ADD(null_is_ignored);
	ADD(setters_copy);
	ADD(config_is_copied_and_serves_many_regions);
	ADD(last_source_counts);
	ADD(longest_name_is_fine);
	ADD(default_name_is_region);
	return cases_run(&cases, "region-config");
}
