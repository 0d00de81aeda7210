// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every errno that gmem/layout.h promises, by function: its result, its one message, and that
 * nothing changed. A test is named after the function and the errno.
 */
#include "scene.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

struct refusal {
	struct step step;
	int error;
	const char *texts[4]; /* in the message */
};

static void expect_message(struct world *world, const char *first, const struct refusal *refusal)
{
	const char *texts[ARRAY_SIZE(refusal->texts) + 3] = { first, "VM descriptor" };
	char gpa[32];
	size_t i;

	snprintf(gpa, sizeof(gpa), "gpa %#llx,", (unsigned long long)refusal->step.gpa);
	texts[2] = gpa;
	for (i = 0; i + 1 < ARRAY_SIZE(refusal->texts) && refusal->texts[i]; i++)
		texts[3 + i] = refusal->texts[i];
	logs_expect(world->logs, GMEM_LOG_ERROR, texts, __FILE__, __LINE__);
}

/* On its own, and as the second step of a change, whose first one must not stay. */
static void check_refusal(struct scene *scene, const struct refusal *refusal)
{
	struct world *world = &scene->world;
	struct gmem_change *change;

	assert_int_equal(world_do(world, &refusal->step), refusal->error);
	expect_message(world, "", refusal);
	assert_same_picture(world, &scene->before);

	assert_int_equal(gmem_change_new(world->vm, &change), 0);
	assert_int_equal(gmem_change_map(change, AT(0x900), NULL, 0, AT(1), NONE, 0), 0);
	assert_int_equal(world_add_step(change, &refusal->step), 0);
	assert_int_equal(gmem_change_commit(change), refusal->error);
	expect_message(world, "step 2,", refusal);
	assert_same_picture(world, &scene->before);
	gmem_change_free(change);
	assert_int_equal(fake_kvm_count(world->fake, GMEM_SYS_IOCTL), 0);
}

static void check_refusals(struct scene *scene, const struct refusal *refusals, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		check_refusal(scene, &refusals[i]);
	scene_close(scene);
}

#define CHECK(scene, refusals) check_refusals(scene, refusals, ARRAY_SIZE(refusals))

static void gmem_vm_map_EINVAL(void **unused)
{
	const uint64_t huge = UINT64_C(1) << 63;
	struct world other_world;
	struct gmem_region *other;
	struct scene scene;

	world_open(&other_world, &(struct world_config){ .kvm = &fake_kvm_linux_6_18 });
	other = world_region(&other_world, "other", 4, GMEM_BACKING_PLAIN, 0);
	scene_open(&scene);
	{
		struct gmem_region *ram = scene.ram;
		const struct refusal refusals[] = {
			{ map(0, ram, 0, 0, AUTO, 0), -EINVAL, { "0 bytes", "empty" } },
			{ map(0x10, ram, 0, AT(1), AUTO, 0), -EINVAL, { "ram0", "0x1000" } },
			{ map(0, ram, 0, 0x800, AUTO, 0), -EINVAL, { "0x800 bytes", "0x1000" } },
			{ map(0, ram, 0x800, AT(1), AUTO, 0), -EINVAL, { "offset 0x800" } },
			{ map(-AT(1), ram, 0, AT(2), AUTO, 0), -EINVAL, { "2^64" } },
			{ map(-AT(1), ram, 0, AT(1), AUTO, 0), -EINVAL, { "2^64" } },
			{ map(-AT(1), NULL, 0, AT(1), AUTO, 0), -EINVAL, { "2^64" } },
			{ map(0, ram, 0, AT(33), AUTO, 0), -EINVAL, { "ram0", "0x20000 bytes" } },
			{ map(0, ram, AT(32), AT(1), AUTO, 0), -EINVAL, { "offset 0x20000" } },
			{ map(0, ram, -AT(1), AT(2), AUTO, 0), -EINVAL, { "offset 0xf" } },
			{ map(0, ram, 0, huge, AUTO, 0), -EINVAL, { "0x8000000000000000 bytes" } },
			{ map(0, ram, 0, AT(1), AUTO, GMEM_MAP_ALIAS), -EINVAL, { "flags 0x8" } },
			{ map(0, ram, 0, AT(1), AUTO, 0x11), -EINVAL, { "flags 0x10" } },
			{ map(0, ram, 0, AT(1), 64, 0), -EINVAL, { "memslot 64", "has 64" } },
			{ map(0, ram, 0, AT(1), 0xfffffffd, 0), -EINVAL, { "memslot 4294967293" } },
			{ map(0, NULL, AT(1), AT(1), AUTO, 0), -EINVAL, { "offset 0x1000" } },
			{ map(0, NULL, 0, AT(1), AUTO, GMEM_MAP_DEVICE), -EINVAL, { "flags 0x4" } },
			{ map(0, NULL, 0, AT(1), 1, 0),
			  -EINVAL,
			  { "memslot 1 without", "SLOT_AUTO" } },
			{ map(0, other, 0, AT(1), AUTO, 0), -EINVAL, { "other", "another VM" } },
		};

		CHECK(&scene, refusals);
	}
	expect_null_refusal(gmem_vm_map(NULL, 0, NULL, 0, 4096, AUTO, 0),
			    "gmem_vm_map: vm is NULL");
	gmem_region_free(other);
	world_close(&other_world);
}

/* What can only be wrong with a memslot, or without KVM. */
static void gmem_vm_map_EINVAL_of_a_slot(void **unused)
{
	struct gmem_region *region;
	struct picture before;
	struct world world;
	uint64_t size;

	world_open(&world, &(struct world_config){ .kvm = &fake_kvm_linux_6_18 });
	size = world.vm->caps.max_section + AT(1);
	region = world_large_region(&world, "huge", size / world.page);
	picture_take(&world, &before);
	expect_refusal(&world, &before, gmem_vm_map(world.vm, 0, region, 0, size, AUTO, 0), -EINVAL,
		       "huge", "0x7fffffff000 bytes at most");
	expect_refusal(&world, &before, gmem_vm_map(world.vm, 0, region, 0, size, 3, 0), -EINVAL,
		       "huge", "0x7fffffff000 bytes at most");
	gmem_region_free(region);
	world_close(&world);

	world_open(&world,
		   &(struct world_config){ .kvm = &fake_kvm_linux_6_18, .without_kvm = true });
	region = world_region(&world, "ram0", 4, GMEM_BACKING_PLAIN, 0);
	picture_take(&world, &before);
	expect_refusal(&world, &before, gmem_vm_map(world.vm, 0, region, 0, AT(1), 3, 0), -EINVAL,
		       "ram0", "memslot 3 without KVM");
	gmem_region_free(region);
	world_close(&world);
}

static void gmem_vm_map_EEXIST(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		struct gmem_region *ram = scene.ram, *private = scene.private;
		const struct refusal refusals[] = {
			/* The address: its first page, its last, all, and more. */
			{ map(AT(0x0ff), ram, 0, AT(2), AUTO, 0),
			  -EEXIST,
			  { "overlaps", "\"ram0\"" } },
			{ map(AT(0x107), ram, 0, AT(1), AUTO, 0),
			  -EEXIST,
			  { "overlaps", "0x100000" } },
			{ map(AT(0x100), ram, 0, AT(8), AUTO, 0), -EEXIST, { "overlaps" } },
			{ map(AT(0x0f0), ram, 0, AT(32), AUTO, 0), -EEXIST, { "overlaps" } },
			{ map(AT(0x303), ram, 0, AT(1), NONE, 0), -EEXIST, { "reserved" } },
			{ map(AT(0x403), ram, 0, AT(1), NONE, 0), -EEXIST, { "overlaps" } },
			{ map(AT(0x207), NULL, 0, AT(1), AUTO, 0), -EEXIST, { "private0" } },
			/* The slot. */
			{ map(0, ram, 0, AT(1), 2, 0), -EEXIST, { "memslot 2", "SLOT_AUTO" } },
			/* Pages of a guest_memfd. */
			{ map(0, private, AT(7), AT(2), AUTO, 0),
			  -EEXIST,
			  { "0x7000", "gpa 0x200000", "gmem_vm_map_alias" } },
		};

		CHECK(&scene, refusals);
	}
}

/* A memslot that the library knows nothing of is in the way. */
static void gmem_vm_map_EEXIST_in_the_kernel(void **unused)
{
	struct gmem_kvm_userspace_memory_region2 foreign = { .slot = 9, .guest_phys_addr = AT(5) };
	uint64_t arg[GMEM_SYS_ARGUMENTS] = { 0, GMEM_KVM_SET_USER_MEMORY_REGION2,
					     (uintptr_t)&foreign };
	struct gmem_kernel kernel;
	struct scene scene;

	scene_open(&scene);
	kernel = fake_kvm_kernel(scene.world.fake);
	arg[0] = (uint64_t)scene.world.vm_fd;
	foreign.memory_size = AT(1);
	foreign.userspace_addr = (uintptr_t)world_region_info(scene.ram).host;
	assert_int_equal(kernel.call(GMEM_SYS_IOCTL, arg, kernel.opaque), 0);
	picture_take(&scene.world, &scene.before);
	expect_refusal(&scene.world, &scene.before,
		       gmem_vm_map(scene.world.vm, AT(4), scene.ram, 0, AT(4), AUTO, 0), -EEXIST,
		       "memslot 4", "ram0", "0x4000", "EEXIST", "in the way");
	foreign.memory_size = 0;
	assert_int_equal(kernel.call(GMEM_SYS_IOCTL, arg, kernel.opaque), 0);
	picture_take(&scene.world, &scene.before);
	scene_close(&scene);
}

static void gmem_vm_map_ENOSPC(void **unused)
{
	struct section_list *list;
	struct gmem_region *ram;
	struct scene scene;
	struct world *world = &scene.world;
	struct gmem_change *change;
	uint64_t i;

	scene_open(&scene);
	ram = scene.ram;
	/* Four of the eight slots are in use. */
	for (i = 0; i < 4; i++)
		assert_int_equal(gmem_vm_map(world->vm, AT(i), ram, AT(i), AT(1), AUTO, 0), 0);
	picture_take(world, &scene.before);
	expect_refusal(world, &scene.before, gmem_vm_map(world->vm, AT(9), ram, 0, AT(1), AUTO, 0),
		       -ENOSPC, "ram0", "gpa 0x9000", "memslots 0 to 7", "has 64",
		       "gmem_vm_config_set_slots()");
	/* A number of the caller's may lie above. */
	assert_int_equal(gmem_vm_map(world->vm, AT(9), ram, 0, AT(1), 8, 0), 0);
	assert_int_equal(gmem_vm_unmap(world->vm, AT(0), AT(10)), 0);

	/* Sections: 65536 of all kinds and address spaces. */
	assert_int_equal(gmem_change_new(world->vm, &change), 0);
	list = &world->vm->layout->sections;
	for (i = list->count; i < GMEM_SECTIONS_MAX; i++)
		assert_int_equal(
			gmem_change_map(change, AT(0x1000 + 2 * i), NULL, 0, AT(1), NONE, 0), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	assert_int_equal(list->count, GMEM_SECTIONS_MAX);
	assert_int_equal(gmem_vm_map(world->vm, 0, NULL, 0, AT(1), NONE, 0), -ENOSPC);
	expect_one_message(world->logs, GMEM_LOG_ERROR, "gpa 0,", "65536 sections");
	assert_int_equal(list->count, GMEM_SECTIONS_MAX);
	assert_int_equal(gmem_vm_get_state(world->vm, 0, AT(1)), GMEM_HOLE);
	/* One goes, one comes; and all of them go. */
	assert_int_equal(gmem_change_unmap(change, AT(0x1000 + 2 * (GMEM_SECTIONS_MAX - 1)), AT(1)),
			 0);
	assert_int_equal(gmem_change_map(change, 0, ram, 0, AT(1), AUTO, 0), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	assert_int_equal(gmem_vm_unmap(world->vm, 0, AT(1)), 0);
	assert_int_equal(gmem_vm_unmap(world->vm, AT(0x1000), AT(2 * GMEM_SECTIONS_MAX)), 0);
	gmem_change_free(change);
	picture_take(world, &scene.before);
	scene_close(&scene);
}

static void gmem_vm_map_EOPNOTSUPP(void **unused)
{
	struct fake_kvm_config kvm = fake_kvm_linux_6_18;
	struct gmem_region *region;
	struct picture before;
	struct scene scene;
	struct world world;

	scene_open(&scene);
	{
		struct gmem_region *private = scene.private;
		const struct refusal refusals[] = {
			{ map(0, private, AT(8), AT(1), AUTO, GMEM_MAP_READONLY),
			  -EOPNOTSUPP,
			  { "private0", "flags 0x1", "GMEM_BACKING_PLAIN" } },
			{ map(0, private, AT(8), AT(1), NONE, GMEM_MAP_DIRTY_LOG | GMEM_MAP_DEVICE),
			  -EOPNOTSUPP,
			  { "private0", "flags 0x2", "GMEM_BACKING_PLAIN" } },
		};

		CHECK(&scene, refusals);
	}
	kvm.cap.readonly_mem = 0;
	world_open(&world, &(struct world_config){ .kvm = &kvm });
	region = world_region(&world, "rom", 4, GMEM_BACKING_PLAIN, 0);
	picture_take(&world, &before);
	expect_refusal(&world, &before,
		       gmem_vm_map(world.vm, 0, region, 0, AT(1), AUTO, GMEM_MAP_READONLY),
		       -EOPNOTSUPP, "rom", "KVM_CAP_READONLY_MEM");
	/* A caller who programs KVM himself knows why. */
	assert_int_equal(
		gmem_vm_map(world.vm, 0, region, 0, AT(1), GMEM_SLOT_NONE, GMEM_MAP_READONLY), 0);
	gmem_region_free(region);
	world_close(&world);
}

static void gmem_vm_map_alias_EINVAL(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		struct gmem_region *ram = scene.ram;
		const struct refusal refusals[] = {
			{ alias(2, 0, ram, 0, AT(1), AUTO, 0),
			  -EINVAL,
			  { "address space 2", "has 2" } },
			{ alias(UINT32_MAX, 0, ram, 0, AT(1), AUTO, 0),
			  -EINVAL,
			  { "address space 42" } },
			{ alias(1, 0, NULL, 0, AT(1), AUTO, 0), -EINVAL, { "region is NULL" } },
			{ alias(1, 0, ram, 0, 0, AUTO, 0), -EINVAL, { "empty" } },
			{ alias(1, 8, ram, 0, AT(1), AUTO, 0), -EINVAL, { "0x1000" } },
			{ alias(1, 0, ram, AT(31), AT(2), AUTO, 0), -EINVAL, { "offset 0x1f000" } },
			{ alias(0, 0, ram, 0, AT(1), AUTO, GMEM_MAP_ALIAS),
			  -EINVAL,
			  { "flags 0x8" } },
			{ alias(1, 0, ram, 0, AT(1), 65536, 0), -EINVAL, { "memslot 65536" } },
		};

		CHECK(&scene, refusals);
	}
	expect_null_refusal(gmem_vm_map_alias(NULL, 0, 0, NULL, 0, 4096, AUTO, 0),
			    "gmem_vm_map_alias: vm is NULL");
}

static void gmem_vm_map_alias_EEXIST(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		struct gmem_region *ram = scene.ram;
		const struct refusal refusals[] = {
			{ alias(0, AT(0x107), ram, 0, AT(1), AUTO, 0), -EEXIST, { "overlaps" } },
			{ alias(1, AT(0x107), ram, 0, AT(1), AUTO, 0), -EEXIST, { "overlaps" } },
			{ alias(1, 0, ram, 0, AT(1), 0, 0), -EEXIST, { "memslot 0", "space 1" } },
			{ alias(0, 0, ram, 0, AT(1), 3, 0), -EEXIST, { "memslot 3", "space 0" } },
		};

		CHECK(&scene, refusals);
	}
}

static void gmem_vm_map_alias_ENOSPC(void **unused)
{
	struct scene scene;
	struct world *world = &scene.world;
	uint64_t i;

	scene_open(&scene);
	for (i = 0; i < 7; i++)
		assert_int_equal(
			gmem_vm_map_alias(world->vm, 1, AT(i), scene.ram, 0, AT(1), AUTO, 0), 0);
	picture_take(world, &scene.before);
	expect_refusal(world, &scene.before,
		       gmem_vm_map_alias(world->vm, 1, AT(9), scene.ram, 0, AT(1), AUTO, 0),
		       -ENOSPC, "ram0", "memslots 0 to 7");
	/* Numbers of the other address space are others. */
	assert_int_equal(gmem_vm_map(world->vm, AT(9), scene.ram, 0, AT(1), AUTO, 0), 0);
	picture_take(world, &scene.before);
	scene_close(&scene);
}

static void gmem_vm_map_alias_EOPNOTSUPP(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			{ alias(0, 0, scene.private, 0, AT(1), AUTO, 0),
			  -EOPNOTSUPP,
			  { "private0", "can be private", "GMEM_BACKING_PLAIN" } },
			{ alias(1, 0, scene.private, 0, AT(1), AUTO, 0),
			  -EOPNOTSUPP,
			  { "private0", "can be private" } },
		};

		CHECK(&scene, refusals);
	}
}

static void gmem_vm_unmap_EINVAL(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			{ unmap(AT(0x100), 0), -EINVAL, { "empty" } },
			{ unmap(-AT(1), AT(1)), -EINVAL, { "2^64" } },
			{ unmap(AT(0x100) + 8, AT(8)), -EINVAL, { "0x1000" } },
			{ unmap(AT(0x100), AT(8) + 8), -EINVAL, { "0x1000" } },
			{ unmap(AT(0x100), AT(7)), -EINVAL, { "cut", "ram0", "gpa 0x100000" } },
			{ unmap(AT(0x101), AT(7)), -EINVAL, { "cut", "ram0" } },
			{ unmap(AT(0x100), AT(0x17)), -EINVAL, { "cut", "gpa 0x110000" } },
			{ unmap(AT(0x301), AT(1)), -EINVAL, { "cut", "reserved" } },
		};

		CHECK(&scene, refusals);
	}
	expect_null_refusal(gmem_vm_unmap(NULL, 0, 4096), "gmem_vm_unmap: vm is NULL");
}

static void gmem_vm_unmap_ENOENT(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			{ unmap(0, AT(0x100)), -ENOENT, { "nothing is mapped" } },
			{ unmap(AT(0x108), AT(8)), -ENOENT, { "nothing is mapped" } },
			{ unmap(AT(0x404), AT(0x400)), -ENOENT, { "nothing is mapped" } },
		};

		CHECK(&scene, refusals);
	}
}

static void gmem_vm_unmap_alias_EINVAL(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			{ unmap_alias(2, AT(0x100), AT(8)), -EINVAL, { "address space 2" } },
			{ unmap_alias(1, AT(0x100), 0), -EINVAL, { "empty" } },
			{ unmap_alias(1, AT(0x100), 1), -EINVAL, { "0x1000" } },
			{ unmap_alias(1, AT(0x100), AT(7)), -EINVAL, { "cut", "ram0" } },
			{ unmap_alias(0, AT(0x401), AT(8)), -EINVAL, { "cut", "gpa 0x400000" } },
		};

		CHECK(&scene, refusals);
	}
	expect_null_refusal(gmem_vm_unmap_alias(NULL, 0, 0, 4096),
			    "gmem_vm_unmap_alias: vm is NULL");
}

static void gmem_vm_unmap_alias_ENOENT(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			/* There are sections, but none is an alias. */
			{ unmap_alias(0, AT(0x100), AT(0x300)), -ENOENT, { "nothing is mapped" } },
			{ unmap_alias(1, AT(0x108), AT(0x300)), -ENOENT, { "nothing is mapped" } },
		};

		CHECK(&scene, refusals);
	}
}

static void gmem_vm_set_map_flags_EINVAL(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			{ set_flags(AT(0x100), AT(8), GMEM_MAP_ALIAS), -EINVAL, { "flags 0x8" } },
			{ set_flags(AT(0x100), AT(8), 1u << 31), -EINVAL, { "flags 0x80000000" } },
			{ set_flags(AT(0x100), 0, 0), -EINVAL, { "empty" } },
			{ set_flags(AT(0x100), 1, 0), -EINVAL, { "0x1000" } },
			{ set_flags(AT(0x100), AT(7), 0), -EINVAL, { "cut", "ram0" } },
			{ set_flags(AT(0x300), AT(4), 0), -EINVAL, { "gpa 0x300000 is reserved" } },
			/* Nor are others in the range changed. */
			{ set_flags(AT(0x100), AT(0x304), GMEM_MAP_DEVICE),
			  -EINVAL,
			  { "reserved" } },
		};

		CHECK(&scene, refusals);
	}
	expect_null_refusal(gmem_vm_set_map_flags(NULL, 0, 4096, 0),
			    "gmem_vm_set_map_flags: vm is NULL");
}

static void gmem_vm_set_map_flags_ENOENT(void **unused)
{
	struct scene scene;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			{ set_flags(0, AT(0x100), 0), -ENOENT, { "nothing is mapped" } },
		};

		CHECK(&scene, refusals);
	}
}

static void gmem_vm_set_map_flags_EOPNOTSUPP(void **unused)
{
	struct fake_kvm_config kvm = fake_kvm_linux_6_18;
	struct gmem_region *region;
	struct picture before;
	struct scene scene;
	struct world world;

	scene_open(&scene);
	{
		const struct refusal refusals[] = {
			{ set_flags(AT(0x200), AT(8), GMEM_MAP_READONLY),
			  -EOPNOTSUPP,
			  { "private0", "flags 0x1" } },
			/* Nor are those before it changed. */
			{ set_flags(AT(0x100), AT(0x108), GMEM_MAP_DIRTY_LOG),
			  -EOPNOTSUPP,
			  { "private0", "flags 0x2" } },
		};

		CHECK(&scene, refusals);
	}
	kvm.cap.readonly_mem = 0;
	world_open(&world, &(struct world_config){ .kvm = &kvm });
	region = world_region(&world, "rom", 4, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_vm_map(world.vm, 0, region, 0, AT(4), AUTO, 0), 0);
	picture_take(&world, &before);
	expect_refusal(&world, &before,
		       gmem_vm_set_map_flags(world.vm, 0, AT(4), GMEM_MAP_READONLY), -EOPNOTSUPP,
		       "gpa 0,", "KVM_CAP_READONLY_MEM");
	gmem_region_free(region);
	world_close(&world);
}

static void gmem_vm_next_section_EINVAL(void **unused)
{
	struct scene scene;
	struct gmem_run run = { .gpa = 1 };

	scene_open(&scene);
	expect_refusal(&scene.world, &scene.before, gmem_vm_next_section(scene.world.vm, 0, NULL),
		       -EINVAL, "gmem_vm_next_section", "run is NULL");
	scene_close(&scene);
	expect_null_refusal(gmem_vm_next_section(NULL, 0, &run),
			    "gmem_vm_next_section: vm is NULL");
	assert_int_equal(run.gpa, 0);
}

static void gmem_change_new_EINVAL(void **unused)
{
	struct scene scene;
	struct gmem_change *change = (void *)&scene;

	scene_open(&scene);
	expect_refusal(&scene.world, &scene.before, gmem_change_new(scene.world.vm, NULL), -EINVAL,
		       "gmem_change_new", "change is NULL");
	scene_close(&scene);
	expect_null_refusal(gmem_change_new(NULL, &change), "gmem_change_new: vm is NULL");
	assert_null(change);
}

/* All that take a change. */
static void gmem_change_EINVAL(void **unused)
{
	expect_null_refusal(gmem_change_map(NULL, 0, NULL, 0, 4096, AUTO, 0),
			    "gmem_change_map: change is NULL");
	expect_null_refusal(gmem_change_map_alias(NULL, 0, 0, NULL, 0, 4096, AUTO, 0),
			    "gmem_change_map_alias: change is NULL");
	expect_null_refusal(gmem_change_unmap(NULL, 0, 4096), "gmem_change_unmap: change is NULL");
	expect_null_refusal(gmem_change_unmap_alias(NULL, 0, 0, 4096),
			    "gmem_change_unmap_alias: change is NULL");
	expect_null_refusal(gmem_change_set_map_flags(NULL, 0, 4096, 0),
			    "gmem_change_set_map_flags: change is NULL");
	expect_null_refusal(gmem_change_commit(NULL), "gmem_change_commit: change is NULL");
	gmem_change_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gmem_vm_map_EINVAL),
		cmocka_unit_test(gmem_vm_map_EINVAL_of_a_slot),
		cmocka_unit_test(gmem_vm_map_EEXIST),
		cmocka_unit_test(gmem_vm_map_EEXIST_in_the_kernel),
		cmocka_unit_test(gmem_vm_map_ENOSPC),
		cmocka_unit_test(gmem_vm_map_EOPNOTSUPP),
		cmocka_unit_test(gmem_vm_map_alias_EINVAL),
		cmocka_unit_test(gmem_vm_map_alias_EEXIST),
		cmocka_unit_test(gmem_vm_map_alias_ENOSPC),
		cmocka_unit_test(gmem_vm_map_alias_EOPNOTSUPP),
		cmocka_unit_test(gmem_vm_unmap_EINVAL),
		cmocka_unit_test(gmem_vm_unmap_ENOENT),
		cmocka_unit_test(gmem_vm_unmap_alias_EINVAL),
		cmocka_unit_test(gmem_vm_unmap_alias_ENOENT),
		cmocka_unit_test(gmem_vm_set_map_flags_EINVAL),
		cmocka_unit_test(gmem_vm_set_map_flags_ENOENT),
		cmocka_unit_test(gmem_vm_set_map_flags_EOPNOTSUPP),
		cmocka_unit_test(gmem_vm_next_section_EINVAL),
		cmocka_unit_test(gmem_change_new_EINVAL),
		cmocka_unit_test(gmem_change_EINVAL),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
