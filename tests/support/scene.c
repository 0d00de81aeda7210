// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM with a little of everything mapped. */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>

/* Needs what stands above. */
#include <cmocka.h>

void scene_open(struct scene *scene)
{
	struct world *world = &scene->world;
	struct fake_kvm_config kvm = fake_kvm_linux_6_18_sw;
	struct gmem_vm *vm;

	kvm.page_size = AT(1);
	kvm.cap.multi_address_space = 2;
	kvm.cap.nr_memslots = 64;
	world_open(world, &(struct world_config){ .kvm = &kvm, .pausing = true, .slot_count = 8 });
	vm = world->vm;
	scene->ram = world_region(world, "ram0", 32, GMEM_BACKING_PLAIN, 0);
	scene->private = world_region(world, "private0", 32, GMEM_BACKING_SPLIT, GMEM_PRIVATE);
	world_set_private(scene->private, 2, 3, false);
	assert_int_equal(gmem_vm_map(vm, AT(0x100), scene->ram, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x110), scene->ram, AT(8), AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x200), scene->private, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x300), NULL, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map_alias(vm, 0, AT(0x400), scene->ram, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map_alias(vm, 1, AT(0x100), scene->ram, 0, AT(8), AUTO, 0), 0);
	fake_kvm_reset_calls(world->fake);
	picture_take(world, &scene->before);
}

void scene_close(struct scene *scene)
{
	struct world *world = &scene->world;

	assert_same_picture(world, &scene->before);
	assert_kernel_agrees(world);
	assert_int_equal(world->pauses, world->resumes);
	gmem_region_free(scene->ram);
	gmem_region_free(scene->private);
	world_close(world);
}
