// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the VM has, the ioctls' reserved fields, and flags of memslots. */
#include <string.h>

#include "kit.h"
#include "target.h"

static void has_what_its_kernel_has(struct world *world)
{
	const struct traits *want = &world->traits;
	struct traits got;

	target_probe(world, &got);
	expect_value(got.region2, want->region2);
	expect_value(got.guest_memfd, want->guest_memfd);
	expect_value(got.in_place_kernel, want->in_place_kernel);
	expect_value(got.private_memory, want->private_memory);
	expect_value(got.tracking, want->tracking);
	expect_value(got.flags, want->flags);
	expect_value(got.attributes, want->attributes);
	expect_value(got.prefault, want->prefault);
	expect_value(got.memory_fault_info, want->memory_fault_info);
	expect_value(got.hypercall, want->hypercall);
	expect_value(got.access, want->access);
}

static void answers_agree_with_each_other(struct world *world)
{
	const struct traits *traits = &world->traits;
	int64_t types = capability(world, world->vm_fd, GMEM_KVM_CAP_VM_TYPES);
	int64_t spaces = capability(world, world->vm_fd, GMEM_KVM_CAP_MULTI_ADDRESS_SPACE);

	expect_value(kvm_ioctl(world, world->system_fd, GMEM_KVM_GET_API_VERSION, 0), 12);
	expect_value(kvm_ioctl(world, world->system_fd, GMEM_KVM_GET_API_VERSION, 1), -EINVAL);
	expect(capability(world, world->vm_fd, GMEM_KVM_CAP_USER_MEMORY) == 1);
	expect(capability(world, world->vm_fd, GMEM_KVM_CAP_NR_MEMSLOTS) > 0);
	expect(capability(world, world->vm_fd, 0x7fffffff) == 0);
	expect(types == 0 || (types >> target_vm_type(world->target) & 1));
	expect(spaces >= 0 && spaces <= 2);
	/* Memory that can be private has one address space. */
	expect(!traits->private_memory || spaces <= 1);
	/* One of the two tracks, never both. */
	expect(traits->tracking != TRACKED_BY_FILE || !(traits->attributes & PRIVATE));
	expect(!(traits->attributes & ~PRIVATE));
	expect(!traits->flags || traits->guest_memfd);
	expect(!traits->guest_memfd || traits->region2);
	expect(!(traits->flags & FLAG_INIT_SHARED) || traits->tracking != TRACKED_BY_VM);
}

static void types_that_are_not_announced_are_refused(struct world *world)
{
	int64_t types = capability(world, world->vm_fd, GMEM_KVM_CAP_VM_TYPES);
	uint32_t type;
	int64_t fd;

	for (type = 0; type < 8; type++) {
		fd = kvm_ioctl(world, world->system_fd, GMEM_KVM_CREATE_VM, type);
		if (type == 0 || types >> type & 1)
			close_fd(world, (int)expect_success(fd));
		else
			expect_value(fd, -EINVAL);
	}
}

static void functional_probe(struct world *world)
{
	const struct traits *traits = &world->traits;
	int fd = make_file(world, world->page, 0);
	int64_t result = set_file_attributes(world, fd, 0, world->page, PRIVATE, NULL);

	if (traits->tracking == TRACKED_BY_FILE)
		expect_value(result, 0);
	else if (traits->in_place_kernel)
		expect_value(result, -EINVAL);
	else
		expect_value(result, -ENOTTY);
	close_fd(world, fd);
}

/* The number belongs to a guest_memfd, and to nothing else. */
static void attributes2_is_a_guest_memfd_ioctl(struct world *world)
{
	expect_value(set_file_attributes(world, world->vm_fd, 0, world->page, PRIVATE, NULL),
		     -ENOTTY);
	expect_value(set_file_attributes(world, world->system_fd, 0, world->page, PRIVATE, NULL),
		     -EINVAL);
}

static void vm_ioctl_proves_nothing_in_place(struct world *world)
{
	struct memory memory;
	uint8_t value;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	convert(&memory, 0, world->page, true);
	expect_value(set_vm_attributes(world, GPA, world->page, PRIVATE), -EINVAL);
	expect_value(set_vm_attributes(world, GPA + world->page, world->page, PRIVATE), -EINVAL);
	expect(!can_read(memory.host, &value));
	expect(can_read(memory.host + world->page, &value));
	/* It succeeds, and the page is still private. */
	expect_value(set_vm_attributes(world, GPA, world->page, 0), 0);
	expect(!can_read(memory.host, &value));
	expect(can_read(memory.host + world->page, &value));
}

static void no_ioctl_without_vm_tracking(struct world *world)
{
	int64_t result = set_vm_attributes(world, GPA, world->page, PRIVATE);

	if (world->traits.in_place_kernel)
		expect_value(result, -EINVAL);
	else if (world->traits.tracking == TRACKED_BY_NOBODY)
		expect_either(result, -ENOTTY, -EINVAL);
	else
		expect_value(result, 0);
}

static void creation_ignores_reserved(struct world *world)
{
	struct gmem_kvm_create_guest_memfd create = { .size = world->page };

	memset(create.reserved, 0xa5, sizeof(create.reserved));
	keep_fd(world, expect_success(kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_CREATE_GUEST_MEMFD,
						   &create)));
}

static void region2_ignores_pads(struct world *world)
{
	struct gmem_kvm_userspace_memory_region2 region = {
		.guest_phys_addr = GPA,
		.memory_size = world->page,
		.userspace_addr = (uintptr_t)map_anonymous(world, world->page),
		.pad1 = UINT32_MAX,
	};

	memset(region.pad2, 0xa5, sizeof(region.pad2));
	expect_value(kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_SET_USER_MEMORY_REGION2, &region),
		     0);
	/* It is there: another cannot be. */
	expect_value(set_slot(world, 1, 0, GPA, world->page,
			      (void *)(uintptr_t)region.userspace_addr, -1, 0),
		     -EEXIST);
	expect_value(delete_slot(world, 0), 0);
}

static void vm_attributes_refuse_flags(struct world *world)
{
	struct gmem_kvm_memory_attributes set = { .address = GPA, .size = world->page };
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		set.flags = UINT64_C(1) << bit;
		expect_value(kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES,
					  &set),
			     -EINVAL);
	}
}

static void file_attributes_refuse_flags_and_reserved(struct world *world)
{
	int fd = make_file(world, world->page, 0);
	struct gmem_kvm_memory_attributes2 good = { .size = world->page, .attributes = PRIVATE };
	struct gmem_kvm_memory_attributes2 set;
	unsigned int i;

	for (i = 0; i < 64; i++) {
		set = good;
		set.flags = UINT64_C(1) << i;
		expect_value(kvm_ioctl_at(world, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &set),
			     -EINVAL);
	}
	for (i = 0; i < sizeof(set.reserved) / sizeof(set.reserved[0]); i++) {
		set = good;
		set.reserved[i] = 1;
		expect_value(kvm_ioctl_at(world, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &set),
			     -EINVAL);
	}
	expect_value(kvm_ioctl_at(world, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &good), 0);
}

static int64_t set_old_slot(struct world *world, uint32_t slot, uint32_t flags, uint64_t gpa,
			    uint64_t size, void *host)
{
	struct gmem_kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_SET_USER_MEMORY_REGION, &region);
}

static void predecessor_still_works(struct world *world)
{
	void *host = map_anonymous(world, 2 * world->page);

	expect_value(set_old_slot(world, 0, 0, GPA, world->page, host), 0);
	expect_value(set_old_slot(world, 1, 0, GPA, world->page, host), -EEXIST);
	/* Its struct has no place for a file. */
	expect_value(set_old_slot(world, 1, GMEM_KVM_MEM_GUEST_MEMFD, OTHER_GPA, world->page, host),
		     -EINVAL);
	expect_value(set_old_slot(world, 0, 0, GPA, 0, host), 0);
	expect_value(set_old_slot(world, 1, 0, GPA, world->page, host), 0);
	expect_value(set_old_slot(world, 1, 0, GPA, 0, host), 0);
}

static void nothing_of_guest_memfd(struct world *world)
{
	void *host = map_anonymous(world, world->page);
	int64_t result;

	if (world->traits.region2) {
		expect_value(set_slot(world, 0, GMEM_KVM_MEM_GUEST_MEMFD, GPA, world->page, host,
				      -1, 0),
			     -EINVAL);
		expect_value(set_slot(world, 0, 0, GPA, world->page, host, -1, 0), 0);
		return;
	}
	result = set_slot(world, 0, 0, GPA, world->page, host, -1, 0);
	expect_value(result, -ENOTTY);
	expect_value(create_file(world, world->page, 0), -ENOTTY);
	expect_value(set_vm_attributes(world, GPA, world->page, 0), -ENOTTY);
}

static void slot_flags(struct world *world)
{
	void *host = map_anonymous(world, world->page);
	unsigned int bit;

	expect_value(
		set_slot(world, 0, GMEM_KVM_MEM_LOG_DIRTY_PAGES, GPA, world->page, host, -1, 0), 0);
	expect_value(delete_slot(world, 0), 0);
	expect(capability(world, world->vm_fd, GMEM_KVM_CAP_READONLY_MEM) == 1 ||
	       world->traits.private_memory);
	for (bit = 3; bit < 32; bit++)
		expect_value(set_slot(world, 0, 1u << bit, GPA, world->page, host, -1, 0), -EINVAL);
}

static void the_flag_binds_a_file(struct world *world)
{
	void *host = map_anonymous(world, world->page);
	int fd = make_file(world, world->page,
			   world->traits.flags & FLAG_INIT_SHARED ? FLAG_MMAP | FLAG_INIT_SHARED
								  : 0);

	expect_value(set_slot(world, 0, 0, GPA, world->page, host, fd, 0), 0);
	expect_value(delete_slot(world, 0), 0);
	/* What is no guest_memfd, and what is no descriptor. */
	expect_value(set_slot(world, 0, 0, GPA, world->page, host, world->vm_fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, world->page, host, 0x7ffffffe, 0), -EBADF);
}

static void readonly_stops_the_guests_writes(struct world *world)
{
	uint32_t *host = map_anonymous(world, world->page);
	struct vcpu vcpu;

	if (capability(world, world->vm_fd, GMEM_KVM_CAP_READONLY_MEM) != 1)
		case_skipped("needs KVM_CAP_READONLY_MEM");
	host[1] = 0x11223344;
	make_vcpu(world, &vcpu);
	expect_value(set_slot(world, 0, GMEM_KVM_MEM_READONLY, GPA, world->page, host, -1, 0), 0);
	expect_value(guest_must_load(&vcpu, GPA + 4, 0), 0x11223344);
	expect_mmio(&vcpu, GPA + 4, GUEST_WRITE);
	expect_value(host[1], 0x11223344);
	destroy_vcpu(&vcpu);
}

const struct conformance_case capability_cases[] = {
	{ "the VM has what its kernel and type have", "CAP C1", 0, has_what_its_kernel_has },
	{ "capabilities agree with each other", "CAP", 0, answers_agree_with_each_other },
	{ "VM types that are not announced are refused", "CAP", 0,
	  types_that_are_not_announced_are_refused },
	{ "the functional probe for in-place tracking", "C1", NEED_GUEST_MEMFD, functional_probe },
	{ "KVM_SET_MEMORY_ATTRIBUTES2 is a guest_memfd's", "C1", 0,
	  attributes2_is_a_guest_memfd_ioctl },
	{ "in place, success of the VM's ioctl proves nothing", "C2", NEED_IN_PLACE,
	  vm_ioctl_proves_nothing_in_place },
	{ "the VM's ioctl takes PRIVATE only where the VM tracks", "CAP", NEED_REGION2,
	  no_ioctl_without_vm_tracking },
	{ "creation ignores reserved fields", "I1", NEED_GUEST_MEMFD, creation_ignores_reserved },
	{ "KVM_SET_USER_MEMORY_REGION2 ignores its pads", "I1", NEED_REGION2,
	  region2_ignores_pads },
	{ "KVM_SET_MEMORY_ATTRIBUTES refuses flags", "I1 V1", NEED_PER_VM,
	  vm_attributes_refuse_flags },
	{ "KVM_SET_MEMORY_ATTRIBUTES2 refuses flags and reserved fields", "I1 P5", NEED_IN_PLACE,
	  file_attributes_refuse_flags_and_reserved },
	{ "KVM_SET_USER_MEMORY_REGION still works, without files", "I2", 0,
	  predecessor_still_works },
	{ "without guest_memfd its ioctls and flags are refused", "CAP I2", NEED_NO_GUEST_MEMFD,
	  nothing_of_guest_memfd },
	{ "unknown flags of a slot are refused", "I2", NEED_REGION2, slot_flags },
	{ "GUEST_MEMFD binds a file", "I2", NEED_GUEST_MEMFD, the_flag_binds_a_file },
	{ "READONLY stops the guest's writes", "I2", NEED_GUEST | NEED_REGION2 | NEED_ORDINARY,
	  readonly_stops_the_guests_writes },
	{ NULL, NULL, 0, NULL },
};
