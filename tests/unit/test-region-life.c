// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of how long regions live and what they give back, and of handles and addresses that are
 * NULL. test-region.c has what regions can be.
 */
#include "stage.h"

#include "kernel.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <gmem/layout.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (2 * MIB)
#define MMAP GMEM_KVM_GUEST_MEMFD_FLAG_MMAP
#define INIT_SHARED GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED
#define SPLIT GMEM_BACKING_SPLIT
#define SINGLE GMEM_BACKING_GUEST_MEMFD

static void default_config_is_AUTO(void **state)
{
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_region_new(stage.vm, SIZE, NULL, &region), 0);
	assert_int_equal(region_info(region).backing, SINGLE);
	assert_int_equal(region_info(region).tag, 0);
	gmem_region_free(region);
	stage_close(&stage);
}

/* Forced to track nothing, a VM in place has memory that is only ever shared (F7). */
static void in_place_without_tracking_is_always_shared(void **state)
{
	struct gmem_vm_config *config;
	struct gmem_region_info info;
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_tracking(config, GMEM_TRACKING_NONE);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm), 0);
	gmem_vm_config_free(config);
	region = stage_region(&stage, SIZE, &(struct wish){ .backing = SINGLE });
	info = region_info(region);
	assert_int_equal(info.can_be_private, 0);
	assert_int_equal(fake_kvm_file_flags(stage.fake, info.guest_memfd), MMAP | INIT_SHARED);
	gmem_region_free(region);
	stage_close(&stage);
}

/* AUTO where a guest_memfd of the kernel cannot be mapped, though each tracks its pages. */
static void in_place_without_MMAP_is_split(void **state)
{
	struct fake_kvm_config config = fake_kvm_in_place;
	struct gmem_region *region;
	char text[256];
	struct stage stage;

	(void)state;
	config.cap.guest_memfd_flags = 0;
	stage_open_vm(&stage, &config);
	region = stage_region(&stage, SIZE, &(struct wish){ 0 });
	assert_int_equal(region_info(region).backing, SPLIT);
	assert_true(gmem_region_describe(region, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "because a guest_memfd of this kernel cannot be mapped"));
	gmem_region_free(region);
	stage_close(&stage);
}

static void region_outlives_its_vm(void **state)
{
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_8);
	region = stage_region(&stage, SIZE, &(struct wish){ 0 });
	gmem_vm_free(stage.vm);
	stage.vm = NULL;
	memset(region_info(region).host, 1, SIZE);
	assert_int_equal(gmem_region_prefault(region, 0, SIZE, 1), 0);
	gmem_region_free(region);
	stage_close(&stage);
}

static void region_gives_everything_back(void **state)
{
	struct leaks_snapshot *before;
	struct stage stage;
	unsigned int i;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	/* The first leaves its shadow to the next of its size. */
	gmem_region_free(stage_region(&stage, SIZE, &(struct wish){ 0 }));
	before = leaks_take(stage.leaks);
	for (i = 0; i < 4; i++)
		gmem_region_free(stage_region(&stage, SIZE, &(struct wish){ 0 }));
	assert_int_equal(fake_kvm_open_files(stage.fake), 0);
	assert_no_leaks(stage.leaks, before);
	stage_close(&stage);
}

/* A shadow that had another region is as new. */
static void pool_starts_in_the_wanted_state(void **state)
{
	static const uint32_t states[] = { GMEM_PRIVATE, GMEM_SHARED, GMEM_PRIVATE, GMEM_PRIVATE };
	struct stage stage;
	size_t i;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_8);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		struct gmem_region *region =
			stage_region(&stage, SIZE, &(struct wish){ .state = states[i] });

		assert_int_equal(region_info(region).private_bytes,
				 states[i] == GMEM_PRIVATE ? SIZE : 0);
		gmem_region_free(region);
	}
	stage_close(&stage);
}

/* A shadow serves the next region of its own size alone. */
static void pool_keeps_sizes_apart(void **state)
{
	static const uint64_t sizes[] = { SIZE, 2 * SIZE, SIZE, 3 * SIZE, 2 * SIZE, SIZE };
	struct gmem_region *region;
	struct stage stage;
	uint64_t mapped;
	size_t i;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_8);
	for (i = 0; i < 4; i++) {
		region = stage_region(&stage, sizes[i], &(struct wish){ 0 });
		assert_int_equal(region_info(region).private_bytes, sizes[i]);
		gmem_region_free(region);
	}
	/* All three sizes are there now. */
	mapped = leaks_mapped(stage.leaks);
	for (; i < ARRAY_SIZE(sizes); i++) {
		region = stage_region(&stage, sizes[i], &(struct wish){ 0 });
		assert_int_equal(region_info(region).private_bytes, sizes[i]);
		gmem_region_free(region);
		assert_int_equal(leaks_mapped(stage.leaks), mapped);
	}
	stage_close(&stage);
}

static void gmem_region_free_ignores_null(void **state)
{
	(void)state;
	gmem_region_free(NULL);
}

static void null_handles(void **state)
{
	struct gmem_region *region = (struct gmem_region *)&region;
	struct gmem_region_info info;
	struct capture capture;
	char text[512], buf[8];
	int rc[4];

	(void)state;
	capture_begin(&capture, "error");
	rc[0] = gmem_region_new(NULL, SIZE, NULL, &region);
	rc[1] = gmem_region_get_info(NULL, &info);
	rc[2] = gmem_region_describe(NULL, buf, sizeof(buf));
	rc[3] = gmem_region_prefault(NULL, 0, SIZE, 1);
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc[0], -EINVAL);
	assert_null(region);
	assert_int_equal(rc[1], -EINVAL);
	assert_int_equal(rc[2], -EINVAL);
	assert_int_equal(rc[3], -EINVAL);
	assert_string_equal(
		text,
		"libgmem: error: gmem_region_new: vm is NULL, it must be a VM\n"
		"libgmem: error: gmem_region_get_info: region is NULL, it must be a region\n"
		"libgmem: error: gmem_region_describe: region is NULL, it must be a region\n"
		"libgmem: error: gmem_region_prefault: region is NULL, it must be a region\n");
}

static void gmem_region_new_EINVAL_null_region(void **state)
{
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	fake_kvm_reset_calls(stage.fake);
	assert_int_equal(gmem_region_new(stage.vm, SIZE, NULL, NULL), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "gmem_region_new", "region is NULL",
			   "must be an address");
	assert_int_equal(fake_kvm_call_count(stage.fake), 0);
	stage_close(&stage);
}

static void gmem_region_get_info_EINVAL_null_info(void **state)
{
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	region = stage_region(&stage, SIZE, &(struct wish){ 0 });
	assert_int_equal(gmem_region_get_info(region, NULL), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "gmem_region_get_info", "info is NULL",
			   "must be an address");
	gmem_region_free(region);
	stage_close(&stage);
}

static void gmem_region_describe_EINVAL_null_buf(void **state)
{
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	region = stage_region(&stage, SIZE, &(struct wish){ 0 });
	assert_int_equal(gmem_region_describe(region, NULL, 1), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "gmem_region_describe",
			   "buf is NULL with size 1");
	gmem_region_free(region);
	stage_close(&stage);
}

/* The descriptor may be closed by then, and its number be something else's. */
static void gmem_change_commit_EINVAL_after_gmem_vm_free(void **state)
{
	struct gmem_change *change;
	struct gmem_region *region;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	region = stage_region(&stage, MIB, &(struct wish){ 0 });
	assert_int_equal(gmem_change_new(stage.vm, &change), 0);
	assert_int_equal(gmem_change_map(change, 0, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	gmem_vm_free(stage.vm);
	stage.vm = NULL;
	fake_kvm_reset_calls(stage.fake);
	assert_int_equal(gmem_change_commit(change), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "VM descriptor ", "gmem_vm_free()");
	assert_int_equal(fake_kvm_call_count(stage.fake), 0);
	gmem_change_free(change);
	gmem_region_free(region);
	stage_close(&stage);
}

static void device_memory_needs_no_backing_on_a_private_vm(void **state)
{
	struct wish wish = { .source = WISH_MAPPING, .memory = GMEM_MEMORY_DEVICE };
	struct gmem_region *region;
	struct stage stage;
	char text[128];

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	wish.mapping = (void *)(uintptr_t)MIB;
	region = stage_region(&stage, MIB, &wish);
	assert_int_equal(region_info(region).backing, GMEM_BACKING_PLAIN);
	assert_true(gmem_region_describe(region, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "device memory is never private"));
	gmem_region_free(region);
	stage_close(&stage);
}

/* S6: also a section that is never private is not to inherit what was set before. */
static void plain_sections_clear_attributes(void **state)
{
	struct gmem_kvm_memory_attributes left = {
		.size = MIB,
		.attributes = GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE,
	};
	struct gmem_region *region;
	struct stage stage;
	int vm_fd;

	(void)state;
	stage_open_vm(&stage, presets[PRESET_6_18_SW].config);
	vm_fd = fake_kvm_vm_fd(stage.fake);
	assert_int_equal(
		gmem_kernel_ioctl(&stage.kernel, vm_fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES, &left), 0);
	assert_int_equal(fake_kvm_gpa_attributes(stage.fake, vm_fd, 0), left.attributes);
	region = stage_region(&stage, MIB, &(struct wish){ .backing = GMEM_BACKING_PLAIN });
	assert_int_equal(gmem_vm_map(stage.vm, 0, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	assert_int_equal(fake_kvm_gpa_attributes(stage.fake, vm_fd, 0), 0);
	gmem_region_free(region);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_config_is_AUTO),
		cmocka_unit_test(in_place_without_tracking_is_always_shared),
		cmocka_unit_test(in_place_without_MMAP_is_split),
		cmocka_unit_test(region_outlives_its_vm),
		cmocka_unit_test(region_gives_everything_back),
		cmocka_unit_test(pool_starts_in_the_wanted_state),
		cmocka_unit_test(pool_keeps_sizes_apart),
		cmocka_unit_test(gmem_region_free_ignores_null),
		cmocka_unit_test(null_handles),
		cmocka_unit_test(gmem_region_new_EINVAL_null_region),
		cmocka_unit_test(gmem_region_get_info_EINVAL_null_info),
		cmocka_unit_test(gmem_region_describe_EINVAL_null_buf),
		cmocka_unit_test(gmem_change_commit_EINVAL_after_gmem_vm_free),
		cmocka_unit_test(device_memory_needs_no_backing_on_a_private_vm),
		cmocka_unit_test(plain_sections_clear_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
