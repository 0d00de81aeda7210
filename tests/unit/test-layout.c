// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of the layout through the public functions: which memslots the kernel gets, and by which
 * calls.
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

static struct fake_slot slot_number(struct world *world, uint32_t number)
{
	struct fake_slot slot;

	assert_true(fake_kvm_find_slot(world->fake, world->vm_fd, number, &slot));
	return slot;
}

static struct gmem_run section_at(struct world *world, uint64_t gpa)
{
	struct gmem_run run;

	assert_int_equal(gmem_vm_next_section(world->vm, gpa, &run), 1);
	assert_int_equal(run.gpa, gpa);
	return run;
}

static void check_window(const struct fake_kvm_config *kvm, uint32_t backing, uint32_t state,
			 bool guest_memfd)
{
	struct gmem_region_info info;
	struct gmem_region *region;
	struct fake_slot slot;
	struct world world;

	open_on(&world, kvm);
	region = world_region(&world, "ram0", 16, backing, state);
	info = world_region_info(region);
	assert_int_equal(gmem_vm_map(world.vm, AT(256), region, AT(4), AT(8), AUTO, 0), 0);
	slot = slot_number(&world, 0);
	assert_int_equal(slot.gpa, AT(256));
	assert_int_equal(slot.size, AT(8));
	assert_int_equal(slot.userspace_addr, (uintptr_t)info.host + AT(4));
	assert_int_equal(slot.flags, guest_memfd ? GMEM_KVM_MEM_GUEST_MEMFD : 0);
	assert_int_equal(slot.guest_memfd, guest_memfd ? info.guest_memfd : -1);
	assert_int_equal(slot.guest_memfd_offset, guest_memfd ? AT(4) : 0);
	if (guest_memfd)
		assert_true(
			fake_kvm_slot_is_bound_to(world.fake, world.vm_fd, 0, info.guest_memfd));
	assert_int_equal(world_slot_calls(&world), 1);
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	world_close(&world);
}

static void test_map_programs_the_window(void **unused)
{
	check_window(&fake_kvm_in_place, GMEM_BACKING_GUEST_MEMFD, GMEM_PRIVATE, true);
	check_window(&fake_kvm_in_place, GMEM_BACKING_GUEST_MEMFD, GMEM_SHARED, true);
	check_window(&fake_kvm_in_place, GMEM_BACKING_SPLIT, GMEM_PRIVATE, true);
	check_window(&fake_kvm_in_place_default, GMEM_BACKING_GUEST_MEMFD, 0, true);
	check_window(&fake_kvm_linux_6_18, GMEM_BACKING_GUEST_MEMFD, 0, true);
	check_window(&fake_kvm_linux_6_18_sw, GMEM_BACKING_SPLIT, GMEM_PRIVATE, true);
	check_window(&fake_kvm_linux_6_8, GMEM_BACKING_SPLIT, GMEM_SHARED, true);
	check_window(&fake_kvm_linux_6_8, GMEM_BACKING_PLAIN, 0, false);
	check_window(&fake_kvm_in_place, GMEM_BACKING_PLAIN, 0, false);
	check_window(&fake_kvm_old, GMEM_BACKING_PLAIN, 0, false);
}

/* Kernel fact S4: what KVM itself touches there is what the host sees. */
static void test_userspace_address_is_live(void **unused)
{
	struct gmem_region *region;
	struct gmem_region_info info;
	struct world world;
	char *host;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 4, GMEM_BACKING_GUEST_MEMFD, 0);
	info = world_region_info(region);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, AT(1), AT(2), AUTO, 0), 0);
	host = info.host;
	host[AT(1) + 5] = 'x';
	assert_int_equal(*(char *)(uintptr_t)(slot_number(&world, 0).userspace_addr + 5), 'x');
	gmem_region_free(region);
	/* The slot keeps the mapping, too. */
	assert_int_equal(*(char *)(uintptr_t)(slot_number(&world, 0).userspace_addr + 5), 'x');
	world_close(&world);
}

static void test_other_page_sizes(void **unused)
{
	static const uint64_t sizes[] = { 16384, 65536 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct fake_kvm_config kvm = fake_kvm_in_place;

		kvm.page_size = sizes[i];
		check_window(&kvm, GMEM_BACKING_GUEST_MEMFD, GMEM_PRIVATE, true);
		check_window(&kvm, GMEM_BACKING_PLAIN, 0, false);
	}
}

static void test_old_kernel_gets_the_old_call(void **unused)
{
	struct gmem_region *region;
	struct world world;

	open_on(&world, &fake_kvm_old);
	region = world_region(&world, "ram0", 4, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_set_map_flags(world.vm, 0, AT(4), GMEM_MAP_DIRTY_LOG), 0);
	assert_kernel_agrees(&world);
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(4)), 0);
	assert_int_equal(fake_kvm_count_ioctl(world.fake, GMEM_KVM_SET_USER_MEMORY_REGION), 3);
	assert_int_equal(fake_kvm_count_ioctl(world.fake, GMEM_KVM_SET_USER_MEMORY_REGION2), 0);
	gmem_region_free(region);
	world_close(&world);

	open_on(&world, &fake_kvm_linux_6_8);
	region = world_region(&world, "ram0", 4, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(fake_kvm_count_ioctl(world.fake, GMEM_KVM_SET_USER_MEMORY_REGION), 0);
	assert_int_equal(fake_kvm_count_ioctl(world.fake, GMEM_KVM_SET_USER_MEMORY_REGION2), 1);
	gmem_region_free(region);
	world_close(&world);
}

static void test_slot_numbers(void **unused)
{
	struct gmem_region *region;
	struct world world;
	uint64_t i;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_PLAIN, 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(gmem_vm_map(world.vm, AT(i), region, AT(i), AT(1), AUTO, 0), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(section_at(&world, AT(i)).slot, i);
	/* The lowest free one, again and again. */
	assert_int_equal(gmem_vm_unmap(world.vm, AT(1), AT(1)), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(9), region, AT(9), AT(1), AUTO, 0), 0);
	assert_int_equal(section_at(&world, AT(9)).slot, 1);
	assert_int_equal(gmem_vm_map(world.vm, AT(10), region, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(section_at(&world, AT(10)).slot, 3);
	/* One of the caller's choice is passed over by those that come next. */
	assert_int_equal(gmem_vm_map(world.vm, AT(11), region, 0, AT(1), 4, 0), 0);
	assert_int_equal(section_at(&world, AT(11)).slot, 4);
	assert_int_equal(gmem_vm_map(world.vm, AT(12), region, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(section_at(&world, AT(12)).slot, 5);
	/* The last one that the kernel has. */
	assert_int_equal(gmem_vm_map(world.vm, AT(13), region, 0, AT(1), 32763, 0), 0);
	assert_int_equal(slot_number(&world, 32763).gpa, AT(13));
	assert_int_equal(world_slots_used(&world), 7);
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	world_close(&world);
}

static void test_slot_range_of_the_config(void **unused)
{
	struct gmem_region *region;
	struct world world;

	world_open(&world, &(struct world_config){
				   .kvm = &fake_kvm_linux_6_18, .first_slot = 5, .slot_count = 2 });
	region = world_region(&world, "ram0", 16, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(0), region, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(1), region, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(section_at(&world, 0).slot, 5);
	assert_int_equal(section_at(&world, AT(1)).slot, 6);
	/* In every address space; and a number of the caller's may lie outside. */
	assert_int_equal(gmem_vm_map_alias(world.vm, 1, 0, region, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(slot_number(&world, 1u << 16 | 5).gpa, 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(2), region, 0, AT(1), 2, 0), 0);
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	world_close(&world);
}

static void test_slot_none_makes_no_call(void **unused)
{
	struct gmem_region *region;
	struct gmem_run run;
	struct world world;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(16), GMEM_SLOT_NONE, 0), 0);
	run = section_at(&world, 0);
	assert_int_equal(run.slot, GMEM_SLOT_NONE);
	assert_int_equal(run.kind, GMEM_KIND_RAM);
	assert_int_equal(world_slots_used(&world), 0);
	assert_int_equal(gmem_vm_set_map_flags(world.vm, 0, AT(16), GMEM_MAP_READONLY), 0);
	assert_int_equal(section_at(&world, 0).kind, GMEM_KIND_ROM);
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(16)), 0);
	assert_int_equal(fake_kvm_slot_count(world.fake, world.vm_fd), 0);
	assert_int_equal(world_slot_calls(&world), 0);
	gmem_region_free(region);
	world_close(&world);
}

static void test_without_kvm_there_is_no_ioctl(void **unused)
{
	struct gmem_region *region;
	struct world world;

	world_open(&world, &(struct world_config){ .kvm = &fake_kvm_linux_6_18,
						   .without_kvm = true,
						   .pausing = true });
	region = world_region(&world, "ram0", 16, GMEM_BACKING_AUTO, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(8), region, AT(8), AT(8), GMEM_SLOT_NONE, 0), 0);
	assert_int_equal(section_at(&world, 0).slot, GMEM_SLOT_NONE);
	assert_int_equal(section_at(&world, AT(8)).slot, GMEM_SLOT_NONE);
	assert_int_equal(gmem_vm_map_alias(world.vm, 0, AT(16), region, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_set_map_flags(world.vm, 0, AT(24), GMEM_MAP_READONLY), 0);
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(24)), 0);
	assert_int_equal(fake_kvm_count(world.fake, GMEM_SYS_IOCTL), 0);
	assert_int_equal(world.pauses, 0);
	assert_int_equal(world_slots_used(&world), 0);
	gmem_region_free(region);
	world_close(&world);
}

static void test_alias_in_another_address_space(void **unused)
{
	struct gmem_region *region;
	struct picture before;
	struct gmem_run run;
	struct world world;

	open_on(&world, &fake_kvm_in_place_default);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(16), AUTO, 0), 0);
	picture_take(&world, &before);
	assert_int_equal(gmem_vm_map_alias(world.vm, 1, 0, region, 0, AT(16), AUTO, 0), 0);
	/* Its own numbers, from 0, in bits 15:0; and the same addresses as in space 0. */
	assert_int_equal(slot_number(&world, 1u << 16).gpa, 0);
	assert_int_equal(slot_number(&world, 1u << 16).flags, 0);
	assert_int_equal(slot_number(&world, 1u << 16).guest_memfd, -1);
	assert_int_equal(world_slots_used(&world), 2);
	assert_kernel_agrees(&world);
	/* No function looks it up. */
	assert_int_equal(gmem_vm_next_section(world.vm, 0, &run), 1);
	assert_int_equal(run.flags, 0);
	assert_int_equal(gmem_vm_next_section(world.vm, AT(16), &run), 0);
	assert_int_equal(gmem_vm_unmap_alias(world.vm, 1, 0, AT(16)), 0);
	assert_same_picture(&world, &before);
	gmem_region_free(region);
	world_close(&world);
}

static void test_alias_in_address_space_0(void **unused)
{
	struct gmem_region *region;
	struct gmem_run run;
	struct world world;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(16), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map_alias(world.vm, 0, AT(64), region, AT(4), AT(4), AUTO,
					   GMEM_MAP_READONLY),
			 0);
	run = section_at(&world, AT(64));
	assert_int_equal(run.flags, GMEM_MAP_ALIAS | GMEM_MAP_READONLY);
	assert_int_equal(run.slot, 1);
	assert_ptr_equal(run.host, (char *)section_at(&world, 0).host + AT(4));
	assert_int_equal(slot_number(&world, 1).flags, GMEM_KVM_MEM_READONLY);
	assert_kernel_agrees(&world);
	/* unmap_alias leaves the section below it alone, set_map_flags keeps ALIAS. */
	assert_int_equal(gmem_vm_set_map_flags(world.vm, AT(64), AT(4), 0), 0);
	assert_int_equal(section_at(&world, AT(64)).flags, GMEM_MAP_ALIAS);
	assert_int_equal(gmem_vm_unmap_alias(world.vm, 0, 0, AT(128)), 0);
	assert_int_equal(gmem_vm_next_section(world.vm, AT(16), &run), 0);
	assert_int_equal(section_at(&world, 0).size, AT(16));
	/* unmap takes both. */
	assert_int_equal(gmem_vm_map_alias(world.vm, 0, AT(64), region, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(128)), 0);
	assert_int_equal(gmem_vm_next_section(world.vm, 0, &run), 0);
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	world_close(&world);
}

static void test_flags_take_a_plain_slot(void **unused)
{
	static const struct {
		uint32_t flags;
		uint32_t kernel_flags;
		uint32_t kind;
	} cases[] = {
		{ GMEM_MAP_READONLY, GMEM_KVM_MEM_READONLY, GMEM_KIND_ROM },
		{ GMEM_MAP_DIRTY_LOG, GMEM_KVM_MEM_LOG_DIRTY_PAGES, GMEM_KIND_RAM },
		{ GMEM_MAP_READONLY | GMEM_MAP_DIRTY_LOG,
		  GMEM_KVM_MEM_READONLY | GMEM_KVM_MEM_LOG_DIRTY_PAGES, GMEM_KIND_ROM },
		{ GMEM_MAP_DEVICE, GMEM_KVM_MEM_GUEST_MEMFD, GMEM_KIND_DEVICE },
		{ GMEM_MAP_DEVICE | GMEM_MAP_READONLY, GMEM_KVM_MEM_READONLY, GMEM_KIND_DEVICE },
	};
	struct gmem_region *region;
	struct world world;
	size_t i;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(16), AUTO, cases[i].flags),
				 0);
		assert_int_equal(slot_number(&world, 0).flags, cases[i].kernel_flags);
		assert_int_equal(section_at(&world, 0).kind, cases[i].kind);
		assert_int_equal(section_at(&world, 0).flags, cases[i].flags);
		assert_kernel_agrees(&world);
		assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(16)), 0);
	}
	gmem_region_free(region);
	world_close(&world);
}

/* One change of flags, and what it costs. */
static void check_flags(struct world *world, uint32_t flags, size_t calls, uint32_t kernel_flags)
{
	fake_kvm_reset_calls(world->fake);
	assert_int_equal(gmem_vm_set_map_flags(world->vm, 0, 16 * world->page, flags), 0);
	assert_int_equal(world_slot_calls(world), calls);
	assert_int_equal(slot_number(world, 3).flags, kernel_flags);
	assert_int_equal(section_at(world, 0).flags, flags);
	assert_kernel_agrees(world);
	if (calls == 2) {
		assert_int_equal(world_slot_call(world, 0).size, 0);
		assert_int_equal(world_slot_call(world, 1).size, 16 * world->page);
	} else if (calls == 1) {
		assert_int_equal(world_slot_call(world, 0).size, 16 * world->page);
	}
}

static void test_set_map_flags_of_a_plain_slot(void **unused)
{
	const uint32_t dirty = GMEM_KVM_MEM_LOG_DIRTY_PAGES, readonly = GMEM_KVM_MEM_READONLY;
	struct gmem_region *region;
	struct world world;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(16), 3, 0), 0);
	check_flags(&world, 0, 0, 0);
	check_flags(&world, GMEM_MAP_DIRTY_LOG, 1, dirty);
	check_flags(&world, GMEM_MAP_DIRTY_LOG, 0, dirty);
	check_flags(&world, 0, 1, 0);
	check_flags(&world, GMEM_MAP_READONLY, 2, readonly);
	check_flags(&world, GMEM_MAP_READONLY, 0, readonly);
	check_flags(&world, GMEM_MAP_READONLY | GMEM_MAP_DIRTY_LOG, 1, readonly | dirty);
	check_flags(&world, GMEM_MAP_DIRTY_LOG, 2, dirty);
	/* A device's is a matter of this library alone. */
	check_flags(&world, GMEM_MAP_DEVICE | GMEM_MAP_DIRTY_LOG, 0, dirty);
	assert_int_equal(section_at(&world, 0).kind, GMEM_KIND_DEVICE);
	check_flags(&world, 0, 1, 0);
	gmem_region_free(region);
	world_close(&world);
}

static void test_set_map_flags_of_a_guest_memfd(void **unused)
{
	const uint32_t dirty = GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	struct gmem_region *region;
	struct world world;
	char *host;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, 0);
	host = world_region_info(region).host;
	memcpy(host, "kept", 5);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(16), 3, 0), 0);
	check_flags(&world, 0, 0, GMEM_KVM_MEM_GUEST_MEMFD);
	check_flags(&world, GMEM_MAP_DEVICE, 0, GMEM_KVM_MEM_GUEST_MEMFD);
	check_flags(&world, GMEM_MAP_DIRTY_LOG, 2, dirty);
	/* Plain from now on: in place. */
	check_flags(&world, 0, 1, 0);
	check_flags(&world, GMEM_MAP_DIRTY_LOG, 1, dirty);
	assert_string_equal((char *)(uintptr_t)slot_number(&world, 3).userspace_addr, "kept");
	/* Until it is mapped anew. */
	assert_int_equal(gmem_vm_unmap(world.vm, 0, AT(16)), 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(16), 3, 0), 0);
	check_flags(&world, 0, 0, GMEM_KVM_MEM_GUEST_MEMFD);
	gmem_region_free(region);
	world_close(&world);
}

/* Only sections that differ are touched. */
static void test_set_map_flags_of_several_sections(void **unused)
{
	struct gmem_region *region;
	struct world world;
	uint64_t i;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_PLAIN, 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(gmem_vm_map(world.vm, AT(2 * i), region, AT(i), AT(1), AUTO,
					     i == 2 ? GMEM_MAP_DIRTY_LOG : 0),
				 0);
	fake_kvm_reset_calls(world.fake);
	assert_int_equal(gmem_vm_set_map_flags(world.vm, AT(1), AT(6), GMEM_MAP_DIRTY_LOG), 0);
	assert_int_equal(world_slot_calls(&world), 2);
	for (i = 0; i < 4; i++)
		assert_int_equal(section_at(&world, AT(2 * i)).flags, i ? GMEM_MAP_DIRTY_LOG : 0);
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	world_close(&world);
}

static void test_unmap_takes_whole_sections(void **unused)
{
	struct gmem_region *region;
	struct gmem_run run;
	struct world world;
	uint64_t i;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 16, GMEM_BACKING_GUEST_MEMFD, 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(
			gmem_vm_map(world.vm, AT(4 * i), region, AT(2 * i), AT(2), AUTO, 0), 0);
	fake_kvm_reset_calls(world.fake);
	/* Holes before, between and after do not matter. */
	assert_int_equal(gmem_vm_unmap(world.vm, AT(3), AT(12)), 0);
	assert_int_equal(world_slot_calls(&world), 3);
	for (i = 0; i < 3; i++)
		assert_int_equal(world_slot_call(&world, i).size, 0);
	assert_int_equal(gmem_vm_next_section(world.vm, AT(2), &run), 1);
	assert_int_equal(run.gpa, AT(16));
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	world_close(&world);
}

static void test_reserved_ranges(void **unused)
{
	struct gmem_region *region;
	struct gmem_run run;
	struct world world;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 8, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(4), NULL, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(6), NULL, 0, AT(4), GMEM_SLOT_NONE, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(10), NULL, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(5), NULL, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(20), NULL, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(world_slot_calls(&world), 0);
	assert_int_equal(world_slots_used(&world), 0);
	/* Those that overlap or touch are shown as one. */
	run = section_at(&world, AT(4));
	assert_int_equal(run.size, AT(7));
	assert_int_equal(run.kind, GMEM_KIND_RESERVED);
	assert_int_equal(run.state, GMEM_HOLE);
	assert_int_equal(run.slot, GMEM_SLOT_NONE);
	assert_int_equal(run.fd, -1);
	assert_null(run.host);
	assert_int_equal(section_at(&world, AT(20)).size, AT(1));
	/* But unmapped one by one. */
	assert_int_equal(gmem_vm_unmap(world.vm, AT(10), AT(1)), 0);
	assert_int_equal(section_at(&world, AT(4)).size, AT(6));
	/* Exact bounds name one, whatever overlaps it; one only where there are two of them. */
	assert_int_equal(gmem_vm_map(world.vm, AT(4), NULL, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_unmap(world.vm, AT(4), AT(4)), 0);
	assert_int_equal(section_at(&world, AT(4)).size, AT(6));
	assert_int_equal(gmem_vm_unmap(world.vm, AT(4), AT(4)), 0);
	assert_int_equal(section_at(&world, AT(5)).size, AT(5));
	/* Others must cover whole ones. */
	assert_int_equal(gmem_vm_unmap(world.vm, AT(5), AT(3)), -EINVAL);
	expect_one_message(world.logs, GMEM_LOG_ERROR, "gpa 0x5", "cut");
	assert_int_equal(gmem_vm_unmap(world.vm, AT(4), AT(6)), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(4), region, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(section_at(&world, AT(4)).kind, GMEM_KIND_RAM);
	assert_kernel_agrees(&world);
	gmem_region_free(region);
	world_close(&world);
}

/* Plain memory may be mapped often, each page of a guest_memfd once (kernel fact S1). */
static void test_pages_mapped_twice(void **unused)
{
	struct gmem_region *plain, *file;
	struct world world;

	open_on(&world, &fake_kvm_linux_6_18);
	plain = world_region(&world, "plain", 8, GMEM_BACKING_PLAIN, 0);
	file = world_region(&world, "file", 8, GMEM_BACKING_GUEST_MEMFD, 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(0), plain, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(8), plain, AT(2), AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(16), file, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, AT(24), file, AT(4), AT(4), AUTO, 0), 0);
	/* A slot that is plain for its flags is no second binding. */
	assert_int_equal(gmem_vm_map(world.vm, AT(32), file, 0, AT(8), AUTO, GMEM_MAP_READONLY), 0);
	assert_kernel_agrees(&world);
	gmem_region_free(plain);
	gmem_region_free(file);
	world_close(&world);
}

static void test_a_region_larger_than_a_slot(void **unused)
{
	struct gmem_region *region;
	struct gmem_vm_info info;
	struct gmem_run run;
	struct world world;
	uint64_t size;
	void *host;

	open_on(&world, &fake_kvm_linux_6_18);
	assert_int_equal(gmem_vm_get_info(world.vm, &info), 0);
	assert_int_equal(info.max_section, (UINT64_C(1) << 31) * world.page - world.page);
	size = info.max_section + AT(3);
	region = world_large_region(&world, "huge", size / world.page);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, info.max_section, AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(world.vm, info.max_section, region, info.max_section, AT(3),
				     AUTO, 0),
			 0);
	assert_kernel_agrees(&world);
	/* Over both: they follow each other in host memory, too. */
	assert_int_equal(gmem_vm_translate(world.vm, 0, size, GMEM_ACCESS_WRITE, &host), 0);
	assert_ptr_equal(host, world_region_info(region).host);
	assert_int_equal(gmem_vm_unmap(world.vm, 0, size), 0);
	/* Without a memslot there is no limit. */
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, size, GMEM_SLOT_NONE, 0), 0);
	run = section_at(&world, 0);
	assert_int_equal(run.size, size);
	gmem_region_free(region);
	world_close(&world);
}

static void test_top_of_the_address_space(void **unused)
{
	struct gmem_region *region;
	struct gmem_run run;
	struct world world;
	uint64_t top;
	void *host;

	open_on(&world, &fake_kvm_linux_6_18);
	region = world_region(&world, "ram0", 8, GMEM_BACKING_PLAIN, 0);
	top = 0 - AT(1);
	assert_int_equal(gmem_vm_map(world.vm, top - AT(2), region, 0, AT(2), GMEM_SLOT_NONE, 0),
			 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, AT(2), AT(2), AUTO, 0), 0);
	assert_int_equal(gmem_vm_translate(world.vm, top - AT(2), AT(2), 0, &host), 0);
	assert_ptr_equal(host, world_region_info(region).host);
	assert_int_equal(gmem_vm_next_run(world.vm, AT(2), &run), 1);
	assert_int_equal(run.state, GMEM_HOLE);
	assert_int_equal(run.gpa + run.size, top - AT(2));
	assert_int_equal(gmem_vm_next_run(world.vm, top, &run), 0);
	assert_int_equal(gmem_vm_next_section(world.vm, UINT64_MAX, &run), 0);
	assert_int_equal(gmem_vm_get_state(world.vm, top - 1, 1), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(world.vm, top, world.page - 1), GMEM_HOLE);
	assert_int_equal(gmem_vm_get_state(world.vm, 0, UINT64_MAX), GMEM_SHARED | GMEM_HOLE);
	assert_int_equal(gmem_vm_unmap(world.vm, 0, top), 0);
	assert_int_equal(gmem_vm_next_section(world.vm, 0, &run), 0);
	gmem_region_free(region);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_programs_the_window),
		cmocka_unit_test(test_userspace_address_is_live),
		cmocka_unit_test(test_other_page_sizes),
		cmocka_unit_test(test_old_kernel_gets_the_old_call),
		cmocka_unit_test(test_slot_numbers),
		cmocka_unit_test(test_slot_range_of_the_config),
		cmocka_unit_test(test_slot_none_makes_no_call),
		cmocka_unit_test(test_without_kvm_there_is_no_ioctl),
		cmocka_unit_test(test_alias_in_another_address_space),
		cmocka_unit_test(test_alias_in_address_space_0),
		cmocka_unit_test(test_flags_take_a_plain_slot),
		cmocka_unit_test(test_set_map_flags_of_a_plain_slot),
		cmocka_unit_test(test_set_map_flags_of_a_guest_memfd),
		cmocka_unit_test(test_set_map_flags_of_several_sections),
		cmocka_unit_test(test_unmap_takes_whole_sections),
		cmocka_unit_test(test_reserved_ranges),
		cmocka_unit_test(test_pages_mapped_twice),
		cmocka_unit_test(test_a_region_larger_than_a_slot),
		cmocka_unit_test(test_top_of_the_address_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
