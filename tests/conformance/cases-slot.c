// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memslots: binding, what does not change, plain slots over a file, dirty logs. */
#include <fcntl.h>

#include "kit.h"

/* 6.18 and before: EINVAL. */
static int64_t bound_already(const struct world *world)
{
	return world->linux_version > LINUX(6, 18) ? -EEXIST : -EINVAL;
}

static void each_page_is_bound_once(struct world *world)
{
	const uint64_t page = world->page;
	const int64_t refused = bound_already(world);
	int fd = make_any_file(world, 8 * page);
	int twin = keep_fd(world, expect_success(door(world, GMEM_SYS_FCNTL, (uint64_t)fd, F_DUPFD,
						      0, 0, 0, 0)));

	expect_value(set_slot(world, 0, 0, GPA, 2 * page, NULL, fd, 0), 0);
	expect_value(set_slot(world, 1, 0, OTHER_GPA, 3 * page, NULL, twin, 3 * page), 0);
	expect_value(set_slot(world, 2, 0, 2 * OTHER_GPA, page, NULL, fd, page), refused);
	expect_value(set_slot(world, 2, 0, 2 * OTHER_GPA, 2 * page, NULL, twin, page), refused);
	expect_value(set_slot(world, 2, 0, 2 * OTHER_GPA, 8 * page, NULL, twin, 0), refused);
	expect_value(set_slot(world, 2, 0, 2 * OTHER_GPA, page, NULL, twin, 2 * page), 0);
	expect_value(delete_slot(world, 0), 0);
	expect_value(set_slot(world, 3, 0, GPA, page, NULL, twin, page), 0);
}

static void slots_are_page_aligned(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *host = map_anonymous(world, 4 * page);
	int fd = make_any_file(world, 4 * page);

	expect_value(set_slot(world, 0, 0, GPA + 512, page, host, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, page + 512, host, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, page, host, fd, 512), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, page, host + 512, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, page, host, fd, 4 * page), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, fd, 3 * page), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, page, host, fd, -(uint64_t)page), -EINVAL);
	expect_value(set_slot(world, 0, 0, -(uint64_t)page, 2 * page, host, fd, 0), -EINVAL);
	/* Above what the processor can address. */
	expect_value(set_slot(world, 0, 0, UINT64_C(1) << 60, page, host, fd, 0), -EINVAL);
	/* No more alignment than that, nor between address and offset. */
	expect_value(set_slot(world, 0, 0, GPA + page, page, host, fd, 2 * page), 0);
	expect_value(set_slot(world, 1, 0, GPA + 2 * page, page, host, fd, 0), 0);
}

static void addresses_do_not_overlap(struct world *world)
{
	const uint64_t page = world->page;
	void *host = map_anonymous(world, 4 * page);
	int fd = make_any_file(world, 4 * page);
	int64_t slots = capability(world, world->vm_fd, GMEM_KVM_CAP_NR_MEMSLOTS);

	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, fd, 0), 0);
	expect_value(set_slot(world, 1, 0, GPA + page, page, host, fd, 2 * page), -EEXIST);
	expect_value(set_slot(world, 1, 0, GPA + page, page, host, -1, 0), -EEXIST);
	expect_value(set_slot(world, (uint32_t)slots, 0, OTHER_GPA, page, host, -1, 0), -EINVAL);
	expect_value(set_slot(world, (uint32_t)slots - 1, 0, OTHER_GPA, page, host, -1, 0), 0);
	expect_value(delete_slot(world, 7), -EINVAL);
}

static void no_flags_beside_a_file(struct world *world)
{
	void *host = map_anonymous(world, world->page);
	int fd = make_any_file(world, world->page);

	expect_value(set_slot(world, 0, GMEM_KVM_MEM_READONLY, GPA, world->page, host, fd, 0),
		     -EINVAL);
	expect_value(set_slot(world, 0, GMEM_KVM_MEM_LOG_DIRTY_PAGES, GPA, world->page, host, fd,
			      0),
		     -EINVAL);
}

static void a_slot_with_a_file_does_not_change(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *host = map_anonymous(world, 4 * page);
	int fd = make_any_file(world, 4 * page);
	int other = make_any_file(world, 4 * page);

	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, fd, 0), 0);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, OTHER_GPA, 2 * page, host, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, 3 * page, host, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host + page, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, fd, 2 * page), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, other, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, -1, 0), -EINVAL);
	expect_value(set_slot(world, 0, GMEM_KVM_MEM_LOG_DIRTY_PAGES, GPA, 2 * page, host, fd, 0),
		     -EINVAL);
	expect_value(delete_slot(world, 0), 0);
	expect_value(set_slot(world, 0, 0, OTHER_GPA, 2 * page, host, other, 0), 0);
}

/* A plain slot moves, and its flags change. */
static void a_plain_slot_changes(struct world *world)
{
	const uint64_t page = world->page;
	void *host = map_anonymous(world, 4 * page);

	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, -1, 0), 0);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, -1, 0), 0);
	expect_value(set_slot(world, 0, GMEM_KVM_MEM_LOG_DIRTY_PAGES, GPA, 2 * page, host, -1, 0),
		     0);
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, -1, 0), 0);
	expect_value(set_slot(world, 0, 0, OTHER_GPA, 2 * page, host, -1, 0), 0);
	expect_value(set_slot(world, 0, 0, OTHER_GPA, page, host, -1, 0), -EINVAL);
}

static void deleting_and_adding_shows_a_gap(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA + 4, 0x1234, 0);
	expect_value(delete_slot(world, 0), 0);
	expect_mmio(&vcpu, GPA + 4, 0);
	expect_mmio(&vcpu, GPA + 8, GUEST_WRITE);
	expect_value(set_slot(world, 0, 0, OTHER_GPA, world->page, memory.host, memory.fd, 0), 0);
	expect_value(guest_must_load(&vcpu, OTHER_GPA + 4, 0), 0x1234);
	destroy_vcpu(&vcpu);
}

static void an_alias_beside_the_slot(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	expect_value(set_slot(world, 1, 0, OTHER_GPA, 2 * world->page, memory.host, -1, 0), 0);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA + 16, 0xa11a5, 0);
	expect_value(guest_must_load(&vcpu, OTHER_GPA + 16, 0), 0xa11a5);
	guest_must_store(&vcpu, OTHER_GPA + world->page, 7, 0);
	expect_value(guest_must_load(&vcpu, GPA + world->page, 0), 7);
	expect_value(byte_at(memory.host + world->page), 7);
	destroy_vcpu(&vcpu);
}

static void a_readonly_alias(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	if (capability(world, world->vm_fd, GMEM_KVM_CAP_READONLY_MEM) != 1)
		case_skipped("needs KVM_CAP_READONLY_MEM");
	make_memory(world, &memory, 0, GPA, world->page);
	expect_value(set_slot(world, 1, GMEM_KVM_MEM_READONLY, OTHER_GPA, world->page, memory.host,
			      -1, 0),
		     0);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 5, 0);
	expect_value(guest_must_load(&vcpu, OTHER_GPA, 0), 5);
	expect_mmio(&vcpu, OTHER_GPA, GUEST_WRITE);
	expect_value(byte_at(memory.host), 5);
	destroy_vcpu(&vcpu);
}

static void an_alias_in_the_other_address_space(struct world *world)
{
	struct memory memory;

	make_memory(world, &memory, 0, GPA, world->page);
	if (capability(world, world->vm_fd, GMEM_KVM_CAP_MULTI_ADDRESS_SPACE) == 2) {
		expect_value(set_slot(world, 1u << GMEM_KVM_SLOT_BITS, 0, GPA, world->page,
				      memory.host, -1, 0),
			     0);
		expect_value(set_slot(world, 2u << GMEM_KVM_SLOT_BITS, 0, GPA, world->page,
				      memory.host, -1, 0),
			     -EINVAL);
	} else {
		expect_value(set_slot(world, 1u << GMEM_KVM_SLOT_BITS, 0, GPA, world->page,
				      memory.host, -1, 0),
			     -EINVAL);
	}
}

static void dirty_log_is_switched_live(struct world *world)
{
	const uint64_t page = world->page;
	const uint32_t log = GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 4 * page);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 1, 0);
	expect_value(delete_slot(world, 0), 0);
	expect_value(set_slot(world, 0, 0, GPA, 4 * page, memory.host, -1, 0), 0);
	expect_value(guest_must_load(&vcpu, GPA, 0), 1);
	expect_value(set_slot(world, 0, log, GPA, 4 * page, memory.host, -1, 0), 0);
	guest_must_store(&vcpu, GPA + 2 * page, 3, 0);
	expect_value(set_slot(world, 0, 0, GPA, 4 * page, memory.host, -1, 0), 0);
	expect_value(guest_must_load(&vcpu, GPA, 0), 1);
	expect_value(guest_must_load(&vcpu, GPA + 2 * page, 0), 3);
	expect_value(byte_at(memory.host + 2 * page), 3);
	destroy_vcpu(&vcpu);
}

static uint64_t dirty_pages(struct world *world, uint32_t slot)
{
	uint64_t bitmap[8] = { 0 };
	struct gmem_kvm_dirty_log log = { .slot = slot, .dirty_bitmap = (uintptr_t)bitmap };

	expect_value(kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_GET_DIRTY_LOG, &log), 0);
	return bitmap[0];
}

static void dirty_log_says_what_the_guest_wrote(struct world *world)
{
	const uint64_t page = world->page;
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 4 * page);
	expect_value(set_slot(world, 1, GMEM_KVM_MEM_LOG_DIRTY_PAGES, OTHER_GPA, 4 * page,
			      memory.host, -1, 0),
		     0);
	make_vcpu(world, &vcpu);
	dirty_pages(world, 1);
	guest_must_store(&vcpu, OTHER_GPA + 2 * page, 3, 0);
	expect_value(guest_must_load(&vcpu, OTHER_GPA + page, 0), 0);
	expect_value(dirty_pages(world, 1), 1u << 2);
	expect_value(dirty_pages(world, 1), 0);
	destroy_vcpu(&vcpu);
}

#define SHARED_GUEST (NEED_SHARED_FILE | NEED_GUEST)

const struct conformance_case slot_cases[] = {
	{ "each page of a file is bound once", "S1", NEED_GUEST_MEMFD, each_page_is_bound_once },
	{ "slots are page-aligned, and no more", "S1", NEED_GUEST_MEMFD, slots_are_page_aligned },
	{ "slots do not overlap", "S1", NEED_GUEST_MEMFD, addresses_do_not_overlap },
	{ "no READONLY or LOG_DIRTY_PAGES beside a file", "S2 I2", NEED_GUEST_MEMFD,
	  no_flags_beside_a_file },
	{ "a slot with a file does not change", "S2", NEED_GUEST_MEMFD,
	  a_slot_with_a_file_does_not_change },
	{ "a plain slot changes", "I2", NEED_REGION2, a_plain_slot_changes },
	{ "deleting and adding again shows a gap", "S2", NEED_GUEST_MEMFD | NEED_GUEST,
	  deleting_and_adding_shows_a_gap },
	{ "an alias beside the slot", "S3", SHARED_GUEST, an_alias_beside_the_slot },
	{ "a read-only alias", "S3", SHARED_GUEST, a_readonly_alias },
	{ "an alias in the SMM address space", "S3 CAP", NEED_SHARED_FILE,
	  an_alias_in_the_other_address_space },
	{ "the dirty log of a plain slot over a file is switched live", "S3", SHARED_GUEST,
	  dirty_log_is_switched_live },
	{ "the dirty log of a plain slot over a file says what was written", "S3 I2", SHARED_GUEST,
	  dirty_log_says_what_the_guest_wrote },
	{ NULL, NULL, 0, NULL },
};
