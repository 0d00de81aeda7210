// SPDX-License-Identifier: LGPL-2.1-or-later
/* The targets, and what they have. */
#include "target.h"

#include <gmem/sim.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOTH_FLAGS (FLAG_MMAP | FLAG_INIT_SHARED)

static const struct traits old_traits = { .hypercall = true };

static const struct traits linux_6_8_default = {
	.region2 = true,
	.memory_fault_info = true,
	.hypercall = true,
};

static const struct traits linux_6_8_sw = {
	.region2 = true,
	.guest_memfd = true,
	.private_memory = true,
	.tracking = TRACKED_BY_VM,
	.attributes = PRIVATE,
	.memory_fault_info = true,
	.hypercall = true,
	.access = ACCESS_FROM_TRACKING,
};

static const struct traits linux_6_18_default = {
	.region2 = true,
	.guest_memfd = true,
	.flags = BOTH_FLAGS,
	.prefault = true,
	.memory_fault_info = true,
	.hypercall = true,
};

static const struct traits linux_6_18_sw = {
	.region2 = true,
	.guest_memfd = true,
	.private_memory = true,
	.tracking = TRACKED_BY_VM,
	.flags = FLAG_MMAP,
	.attributes = PRIVATE,
	.prefault = true,
	.memory_fault_info = true,
	.hypercall = true,
	.access = ACCESS_FROM_TRACKING,
};

static const struct traits linux_6_18_snp = {
	.region2 = true,
	.guest_memfd = true,
	.private_memory = true,
	.tracking = TRACKED_BY_VM,
	.flags = FLAG_MMAP,
	.attributes = PRIVATE,
	.prefault = true,
	.memory_fault_info = true,
	.hypercall = true,
	.access = ACCESS_FROM_GUEST,
};

static const struct traits in_place_default = {
	.region2 = true,
	.guest_memfd = true,
	.in_place_kernel = true,
	.flags = BOTH_FLAGS,
	.prefault = true,
	.memory_fault_info = true,
	.hypercall = true,
};

static const struct traits in_place_sw = {
	.region2 = true,
	.guest_memfd = true,
	.in_place_kernel = true,
	.private_memory = true,
	.tracking = TRACKED_BY_FILE,
	.flags = BOTH_FLAGS,
	.prefault = true,
	.memory_fault_info = true,
	.hypercall = true,
	.access = ACCESS_FROM_TRACKING,
};

static const struct traits in_place_snp = {
	.region2 = true,
	.guest_memfd = true,
	.in_place_kernel = true,
	.private_memory = true,
	.tracking = TRACKED_BY_FILE,
	.flags = BOTH_FLAGS,
	.prefault = true,
	.memory_fault_info = true,
	.hypercall = true,
	.access = ACCESS_FROM_GUEST,
};

#define DEFAULT GMEM_KVM_VM_TYPE_DEFAULT
#define SW GMEM_KVM_VM_TYPE_SW_PROTECTED
#define SNP GMEM_KVM_VM_TYPE_SNP
#define KIB UINT64_C(1024)

const struct target targets[] = {
	{ "host-default", "/dev/kvm, default VM", &host_driver, DEFAULT, 0, 0, 0, NULL },
	{ "host-sw", "/dev/kvm, software-protected VM", &host_driver, SW, 0, 0, 0, NULL },
	{ "sim-old", "simulator, before guest_memfd", &simulator_driver, DEFAULT, GMEM_SIM_OLD, 0,
	  0, &old_traits },
	{ "sim-6.8-default", "simulator, 6.8, default VM", &simulator_driver, DEFAULT,
	  GMEM_SIM_LINUX_6_8, 0, 0, &linux_6_8_default },
	{ "sim-6.8-sw", "simulator, 6.8, software-protected VM", &simulator_driver, SW,
	  GMEM_SIM_LINUX_6_8, 0, 0, &linux_6_8_sw },
	{ "sim-6.18-default", "simulator, 6.18, default VM", &simulator_driver, DEFAULT,
	  GMEM_SIM_LINUX_6_18, 0, 0, &linux_6_18_default },
	{ "sim-6.18-default-16k", "the same, pages of 16 KiB", &simulator_driver, DEFAULT,
	  GMEM_SIM_LINUX_6_18, 16 * KIB, 0, &linux_6_18_default },
	{ "sim-6.18-default-64k", "the same, pages of 64 KiB", &simulator_driver, DEFAULT,
	  GMEM_SIM_LINUX_6_18, 64 * KIB, 0, &linux_6_18_default },
	{ "sim-6.18-sw", "simulator, 6.18, software-protected VM", &simulator_driver, SW,
	  GMEM_SIM_LINUX_6_18, 0, 0, &linux_6_18_sw },
	{ "sim-6.18-sw-64k", "the same, pages of 64 KiB", &simulator_driver, SW,
	  GMEM_SIM_LINUX_6_18, 64 * KIB, 0, &linux_6_18_sw },
	{ "sim-6.18-snp", "simulator, 6.18, SNP VM", &simulator_driver, SNP, GMEM_SIM_LINUX_6_18, 0,
	  0, &linux_6_18_snp },
	{ "sim-in-place-default", "simulator, in place, default VM", &simulator_driver, DEFAULT,
	  GMEM_SIM_IN_PLACE, 0, 0, &in_place_default },
	{ "sim-in-place-sw", "simulator, in place, software-protected VM", &simulator_driver, SW,
	  GMEM_SIM_IN_PLACE, 0, 0, &in_place_sw },
	{ "sim-in-place-sw-16k", "the same, pages of 16 KiB", &simulator_driver, SW,
	  GMEM_SIM_IN_PLACE, 16 * KIB, 0, &in_place_sw },
	{ "sim-in-place-sw-64k", "the same, pages of 64 KiB", &simulator_driver, SW,
	  GMEM_SIM_IN_PLACE, 64 * KIB, 0, &in_place_sw },
	{ "sim-in-place-sw-mapping", "in place, software-protected VM, without userfaultfd",
	  &simulator_driver, SW, GMEM_SIM_IN_PLACE, 0, GMEM_SIM_SIGBUS_MAPPING, &in_place_sw },
	{ "sim-in-place-snp", "simulator, in place, SNP VM", &simulator_driver, SNP,
	  GMEM_SIM_IN_PLACE, 0, 0, &in_place_snp },
	{ "sim-in-place-tdx", "simulator, in place, TDX VM", &simulator_driver,
	  GMEM_KVM_VM_TYPE_TDX, GMEM_SIM_IN_PLACE, 0, 0, &in_place_snp },
};

const unsigned int target_count = sizeof(targets) / sizeof(targets[0]);

uint32_t target_vm_type(const struct target *target)
{
	return target->vm_type;
}

const struct target *target_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < target_count; i++)
		if (strcmp(targets[i].name, name) == 0)
			return &targets[i];
	return NULL;
}

static int64_t ioctl_at(struct world *world, int fd, uint32_t request, void *argument)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd, request, (uintptr_t)argument };

	return world->kernel.call(GMEM_SYS_IOCTL, arg, world->kernel.opaque);
}

static uint64_t answer(struct world *world, uint32_t number)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)world->vm_fd, GMEM_KVM_CHECK_EXTENSION,
						   number };
	int64_t value = world->kernel.call(GMEM_SYS_IOCTL, arg, world->kernel.opaque);

	return value < 0 ? 0 : (uint64_t)value;
}

/* What KVM_SET_MEMORY_ATTRIBUTES2 says of a file that is all private: 0, -EINVAL, -ENOTTY. */
static int64_t probe_in_place(struct world *world)
{
	struct gmem_kvm_create_guest_memfd create = { .size = world->page };
	struct gmem_kvm_memory_attributes2 set = { .size = world->page, .attributes = PRIVATE };
	int64_t fd = ioctl_at(world, world->vm_fd, GMEM_KVM_CREATE_GUEST_MEMFD, &create);
	uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };
	int64_t result;

	if (fd < 0)
		return -ENOTTY;
	result = ioctl_at(world, (int)fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &set);
	world->kernel.call(GMEM_SYS_CLOSE, arg, world->kernel.opaque);
	return result;
}

void target_probe(struct world *world, struct traits *traits)
{
	int64_t in_place = probe_in_place(world);

	memset(traits, 0, sizeof(*traits));
	traits->region2 = answer(world, GMEM_KVM_CAP_USER_MEMORY2) > 0;
	traits->guest_memfd = answer(world, GMEM_KVM_CAP_GUEST_MEMFD) > 0;
	traits->flags = answer(world, GMEM_KVM_CAP_GUEST_MEMFD_FLAGS);
	traits->attributes = answer(world, GMEM_KVM_CAP_MEMORY_ATTRIBUTES);
	traits->prefault = answer(world, GMEM_KVM_CAP_PRE_FAULT_MEMORY) > 0;
	traits->memory_fault_info = answer(world, GMEM_KVM_CAP_MEMORY_FAULT_INFO) > 0;
	traits->hypercall =
		answer(world, GMEM_KVM_CAP_EXIT_HYPERCALL) >> GMEM_KVM_HC_MAP_GPA_RANGE & 1;
	traits->in_place_kernel = in_place == 0 || in_place == -EINVAL;
	if (in_place == 0)
		traits->tracking = TRACKED_BY_FILE;
	else if (traits->attributes & PRIVATE)
		traits->tracking = TRACKED_BY_VM;
	traits->private_memory = traits->tracking != TRACKED_BY_NOBODY;
	if (traits->private_memory)
		traits->access = world->target->vm_type == SW ? ACCESS_FROM_TRACKING
							      : ACCESS_FROM_GUEST;
}

int target_open(const struct target *target, struct world *world, char *text, size_t size)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { 0 };
	int rc;

	memset(world, 0, sizeof(*world));
	world->target = target;
	world->driver = target->driver;
	rc = world->driver->open(world);
	if (rc < 0) {
		snprintf(text, size, "%s cannot be opened: %s",
			 world->driver->real ? "/dev/kvm" : "the simulator", strerror(-rc));
		return rc;
	}
	world->vm_fd = world->driver->create_vm(world, target->vm_type);
	if (world->vm_fd < 0) {
		rc = world->vm_fd;
		snprintf(text, size, "VMs of type %u are not to be had: %s", target->vm_type,
			 strerror(-rc));
		world->driver->close(world);
		return rc;
	}
	world->page = (uint64_t)world->kernel.call(GMEM_SYS_GETPAGESIZE, arg, world->kernel.opaque);
	if (target->traits)
		world->traits = *target->traits;
	else
		target_probe(world, &world->traits);
	return 0;
}

static void release(struct world *world, uint32_t nr, uint64_t a, uint64_t b)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { a, b };

	world->kernel.call(nr, arg, world->kernel.opaque);
}

void target_close(struct world *world)
{
	while (world->kept_mapping_count > 0) {
		const struct mapping *mapping = &world->kept_mappings[--world->kept_mapping_count];

		release(world, GMEM_SYS_MUNMAP, (uintptr_t)mapping->host, mapping->size);
	}
	while (world->kept_fd_count > 0)
		release(world, GMEM_SYS_CLOSE, (uint64_t)world->kept_fds[--world->kept_fd_count],
			0);
	if (world->vm_fd >= 0)
		release(world, GMEM_SYS_CLOSE, (uint64_t)world->vm_fd, 0);
	world->driver->close(world);
}
