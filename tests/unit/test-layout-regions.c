// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of what a mapped region brings along: the attributes of its addresses under per-VM
 * tracking, and a life that lasts as long as it is mapped.
 */
#include "world.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define AT(pages) ((pages)*world.page)
#define AUTO GMEM_SLOT_AUTO

static void open_on(struct world *world, const struct fake_kvm_config *kvm)
{
	world_open(world, &(struct world_config){ .kvm = kvm });
}

/* Kernel fact S5: a slot holds no reference, so the section does. */
static void test_region_lives_while_it_is_mapped(void **unused)
{
	struct gmem_region *region;
	struct world world;
	unsigned int files;
	int fd;

	open_on(&world, &fake_kvm_in_place);
	files = fake_kvm_open_files(world.fake);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, GMEM_SHARED);
	fd = world_region_info(region).guest_memfd;
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(8), region, AT(8), AT(4), AUTO, 0), 0);
	gmem_region_free(region);
	assert_int_equal(fake_kvm_open_files(world.fake), files + 1);
	assert_true(fake_kvm_slot_is_bound_to(world.fake, world.vm_fd, 0, fd));
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(4)), 0);
	assert_int_equal(fake_kvm_open_files(world.fake), files + 1);
	assert_true(fake_kvm_slot_is_bound_to(world.fake, world.vm_fd, 1, fd));
	assert_kernel_agrees(&world);
	assert_int_equal(gmem_vm_unmap(world.vm, AT(8), AT(4)), 0);
	assert_int_equal(fake_kvm_open_files(world.fake), files);
	world_close(&world);
}

static void test_region_dies_with_the_vm_or_the_handle(void **unused)
{
	struct gmem_region *first, *second;
	struct world world;
	unsigned int files;

	open_on(&world, &fake_kvm_in_place);
	files = fake_kvm_open_files(world.fake);
	first = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, GMEM_SHARED);
	second = world_region(&world, "ram1", 16, GMEM_BACKING_GUEST_MEMFD, GMEM_SHARED);
	assert_int_equal(gmem_vm_map(world.vm, 0, first, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(8), second, 0, AT(4), AUTO, 0), 0);
	gmem_region_free(first);
	fake_kvm_reset_calls(world.fake);
	world_free_vm(&world);
	/* Memslots die with the VM, which may be closed already. */
	assert_int_equal(world_slot_calls(&world), 0);
	assert_int_equal(fake_kvm_open_files(world.fake), files + 1);
	gmem_region_free(second);
	assert_int_equal(fake_kvm_open_files(world.fake), files);
	world_close(&world);
}

static uint64_t attributes_at(struct world *world, uint64_t gpa)
{
	return fake_kvm_gpa_attributes(world->fake, world->vm_fd, gpa);
}

/* Kernel fact S6: attributes belong to the address, come before the slot and go after it. */
static void test_attributes_follow_the_region(void **unused)
{
	struct gmem_region *region, *other;
	struct fake_call call;
	struct world world;
	size_t count, i;
	uint64_t page;

	open_on(&world, &fake_kvm_linux_6_18_sw);
	region = world_region(&world, "ram0", 32, GMEM_BACKING_SPLIT, GMEM_SHARED);
	other = world_region(&world, "ram1", 32, GMEM_BACKING_SPLIT, GMEM_SHARED);
	world_set_private(region, 3, 2, true);
	world_set_private(region, 8, 1, true);
	world_set_private(region, 20, 12, true);
	fake_kvm_reset_calls(world.fake);
	assert_int_equal(gmem_vm_map(world.vm, AT(100), region, AT(4), AT(20), AUTO, 0), 0);
	assert_kernel_agrees(&world);
	for (page = 0; page < 20; page++)
		assert_int_equal(!!attributes_at(&world, AT(100 + page)),
				 page == 0 || page == 4 || page >= 16);
	/* One call for each run, then the slot. */
	count = fake_kvm_call_count(world.fake);
	assert_int_equal(count, 6);
	for (i = 0; i < count; i++) {
		assert_true(fake_kvm_get_call(world.fake, i, &call));
		assert_int_equal(call.arg[1], i < 5 ? GMEM_KVM_SET_MEMORY_ATTRIBUTES
						    : GMEM_KVM_SET_USER_MEMORY_REGION2);
	}
	fake_kvm_reset_calls(world.fake);
	assert_int_equal(gmem_vm_unmap(world.vm, AT(100), AT(20)), 0);
	assert_true(fake_kvm_get_call(world.fake, 0, &call));
	assert_int_equal(call.arg[1], GMEM_KVM_SET_USER_MEMORY_REGION2);
	assert_int_equal(world_attribute_calls(&world), 1);
	assert_int_equal(fake_kvm_gpa_private_bytes(world.fake, world.vm_fd), 0);
	/* What is mapped there next inherits nothing, and states survive. */
	assert_int_equal(gmem_vm_map(world.vm, AT(100), other, 0, AT(20), AUTO, 0), 0);
	assert_int_equal(fake_kvm_gpa_private_bytes(world.fake, world.vm_fd), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(200), region, AT(20), AT(12), AUTO, 0), 0);
	assert_int_equal(fake_kvm_gpa_private_bytes(world.fake, world.vm_fd), AT(12));
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	gmem_region_free(other);
	world_close(&world);
}

/* Attributes that somebody else left are not inherited; not by what is never private, either. */
static void test_attributes_of_others_are_cleared(void **unused)
{
	static const uint32_t backings[] = { GMEM_BACKING_SPLIT, GMEM_BACKING_PLAIN };
	struct gmem_kvm_memory_attributes left = { .attributes =
							   GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE };
	uint64_t arg[GMEM_SYS_ARGUMENTS] = { 0, GMEM_KVM_SET_MEMORY_ATTRIBUTES, (uintptr_t)&left };
	struct gmem_region *region;
	struct gmem_kernel kernel;
	struct world world;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(backings); i++) {
		open_on(&world, &fake_kvm_linux_6_18_sw);
		kernel = fake_kvm_kernel(world.fake);
		arg[0] = (uint64_t)world.vm_fd;
		left.address = AT(2);
		left.size = AT(12);
		assert_int_equal(kernel.call(GMEM_SYS_IOCTL, arg, kernel.opaque), 0);
		region = world_region(&world, "ram0", 8, backings[i], GMEM_SHARED);
		assert_int_equal(gmem_vm_map(world.vm, AT(4), region, 0, AT(8), AUTO, 0), 0);
		assert_int_equal(attributes_at(&world, AT(4)), 0);
		assert_int_equal(attributes_at(&world, AT(11)), 0);
		/* Others are not ours. */
		assert_int_equal(fake_kvm_gpa_private_bytes(world.fake, world.vm_fd), AT(4));
		gmem_region_free(region);
		world_close(&world);
	}
}

static void test_attributes_without_a_slot(void **unused)
{
	struct gmem_region *region;
	struct world world;

	open_on(&world, &fake_kvm_linux_6_18_sw);
	region = world_region(&world, "ram0", 8, GMEM_BACKING_SPLIT, GMEM_PRIVATE);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(8), GMEM_SLOT_NONE, 0), 0);
	assert_int_equal(world_slot_calls(&world), 0);
	assert_int_equal(fake_kvm_gpa_private_bytes(world.fake, world.vm_fd), AT(8));
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(8)), 0);
	assert_int_equal(fake_kvm_gpa_private_bytes(world.fake, world.vm_fd), 0);
	gmem_region_free(region);
	world_close(&world);
}

/* Who does not track per VM is not told. */
static void test_no_attributes_elsewhere(void **unused)
{
	static const struct fake_kvm_config *const kernels[] = {
		&fake_kvm_in_place,
		&fake_kvm_in_place_default,
		&fake_kvm_linux_6_18,
		&fake_kvm_linux_6_18_sw,
	};
	struct gmem_region *region;
	struct world world;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kernels); i++) {
		world_open(&world, &(struct world_config){ .kvm = kernels[i],
							   .tracking = GMEM_TRACKING_NONE });
		region = world_region(&world, "ram0", 8, GMEM_BACKING_AUTO, 0);
		assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(8), AUTO, 0), 0);
		assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(8)), 0);
		assert_int_equal(world_attribute_calls(&world), 0);
		gmem_region_free(region);
		world_close(&world);
	}
	open_on(&world, &fake_kvm_in_place);
	region = world_region(&world, "ram0", 8, GMEM_BACKING_AUTO, GMEM_PRIVATE);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(8)), 0);
	assert_int_equal(world_attribute_calls(&world), 0);
	gmem_region_free(region);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_region_lives_while_it_is_mapped),
		cmocka_unit_test(test_region_dies_with_the_vm_or_the_handle),
		cmocka_unit_test(test_attributes_follow_the_region),
		cmocka_unit_test(test_attributes_of_others_are_cleared),
		cmocka_unit_test(test_attributes_without_a_slot),
		cmocka_unit_test(test_no_attributes_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
