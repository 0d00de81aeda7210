// SPDX-License-Identifier: LGPL-2.1-or-later
/* Conversion where the VM tracks, and how the shared side is discarded. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif

static void refused_ranges(struct world *world)
{
	const uint64_t page = world->page;
	unsigned int bit;

	expect_value(set_vm_attributes(world, GPA, page, PRIVATE), 0);
	expect_value(set_vm_attributes(world, GPA + 1, page, PRIVATE), -EINVAL);
	expect_value(set_vm_attributes(world, GPA + 512, page, PRIVATE), -EINVAL);
	expect_value(set_vm_attributes(world, GPA, page + 512, PRIVATE), -EINVAL);
	expect_value(set_vm_attributes(world, GPA, page - 1, PRIVATE), -EINVAL);
	expect_value(set_vm_attributes(world, GPA, 0, PRIVATE), -EINVAL);
	expect_value(set_vm_attributes(world, -(uint64_t)page, 2 * page, PRIVATE), -EINVAL);
	for (bit = 0; bit < 64; bit++)
		if (UINT64_C(1) << bit != PRIVATE)
			expect_value(set_vm_attributes(world, GPA, page, UINT64_C(1) << bit),
				     -EINVAL);
	expect_value(set_vm_attributes(world, GPA, page, PRIVATE | 1), -EINVAL);
}

/* Two slots, a hole between them, holes around: one call. */
static void one_call_over_slots_and_holes(struct world *world)
{
	const uint32_t access = private_access(world);
	const uint64_t page = world->page;
	struct memory low;
	struct memory high;
	struct vcpu vcpu;

	make_memory(world, &low, 0, GPA, 2 * page);
	make_memory(world, &high, 1, GPA + 4 * page, 2 * page);
	make_vcpu(world, &vcpu);
	put_byte(low.host + page, 0x10);
	put_byte(high.host, 0x20);
	expect_value(set_vm_attributes(world, GPA - 4 * page, 12 * page, PRIVATE), 0);
	guest_must_store(&vcpu, GPA + page, 0x11, access);
	guest_must_store(&vcpu, GPA + 4 * page, 0x21, access);
	expect_value(byte_at(low.host + page), 0x10);
	expect_value(byte_at(high.host), 0x20);
	expect_memory_fault(&vcpu, GPA + 2 * page, access, FAULT_PRIVATE);
	expect_value(set_vm_attributes(world, GPA - 4 * page, 12 * page, 0), 0);
	expect_value(guest_must_load(&vcpu, GPA + page, 0), 0x10);
	expect_mmio(&vcpu, GPA + 2 * page, 0);
	destroy_vcpu(&vcpu);
}

static void only_attributes_are_recorded(struct world *world)
{
	const uint64_t page = world->page;

	/* No slot, no file: nothing but the address. */
	expect_value(set_vm_attributes(world, HOLE_GPA, 1024 * page, PRIVATE), 0);
	expect_value(set_vm_attributes(world, HOLE_GPA, 1024 * page, PRIVATE), 0);
	expect_value(set_vm_attributes(world, HOLE_GPA + page, page, 0), 0);
	expect_value(set_vm_attributes(world, HOLE_GPA, 1024 * page, 0), 0);
}

static void contents_do_not_carry_over(struct world *world)
{
	const uint32_t access = private_access(world);
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 0x5a, 0);
	convert(&memory, 0, world->page, true);
	expect_value(guest_must_load(&vcpu, GPA, access), 0);
	guest_must_store(&vcpu, GPA, 0xc0, access);
	expect_value(byte_at(memory.host), 0x5a);
	convert(&memory, 0, world->page, false);
	expect_value(guest_must_load(&vcpu, GPA, 0), 0x5a);
	destroy_vcpu(&vcpu);
}

/* What is not seen stays, and comes back: on both sides. */
static void the_unseen_side_stays(struct world *world)
{
	const uint32_t access = private_access(world);
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, world->page, true);
	guest_must_store(&vcpu, GPA, 0x70, access);
	convert(&memory, 0, world->page, false);
	guest_must_store(&vcpu, GPA, 0x71, 0);
	convert(&memory, 0, world->page, true);
	expect_value(guest_must_load(&vcpu, GPA, access), 0x70);
	convert(&memory, 0, world->page, false);
	expect_value(guest_must_load(&vcpu, GPA, 0), 0x71);
	destroy_vcpu(&vcpu);
}

static void the_unseen_side_can_be_freed(struct world *world)
{
	const uint32_t access = private_access(world);
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, world->page, true);
	guest_must_store(&vcpu, GPA, 0x70, access);
	convert(&memory, 0, world->page, false);
	guest_must_store(&vcpu, GPA, 0x71, 0);
	expect_value(punch(world, memory.fd, 0, world->page), 0);
	convert(&memory, 0, world->page, true);
	expect_value(advise(world, memory.host, world->page, MADV_DONTNEED), 0);
	expect_value(guest_must_load(&vcpu, GPA, access), 0);
	convert(&memory, 0, world->page, false);
	expect_value(guest_must_load(&vcpu, GPA, 0), 0);
	destroy_vcpu(&vcpu);
}

static void anonymous_memory_is_freed_by_dontneed(struct world *world)
{
	uint8_t *host = map_anonymous(world, 2 * world->page);

	put_byte(host, 1);
	put_byte(host + world->page, 2);
	expect_value(advise(world, host, world->page, MADV_DONTNEED), 0);
	expect_value(byte_at(host), 0);
	expect_value(byte_at(host + world->page), 2);
}

static int make_memfd(struct world *world, uint64_t size, unsigned int flags)
{
	int64_t fd = door(world, GMEM_SYS_MEMFD_CREATE, (uintptr_t) "conformance",
			  MFD_CLOEXEC | flags, 0, 0, 0, 0);

	keep_fd(world, expect_success(fd));
	expect_value(door(world, GMEM_SYS_FTRUNCATE, (uint64_t)fd, size, 0, 0, 0, 0), 0);
	return (int)fd;
}

static int64_t blocks_of(struct world *world, int fd)
{
	struct stat status;

	expect_value(door(world, GMEM_SYS_FSTAT, (uint64_t)fd, (uintptr_t)&status, 0, 0, 0, 0), 0);
	return status.st_blocks;
}

static void shmem_is_freed_by_punching(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_memfd(world, 4 * page, 0);
	uint8_t *host = map_file(world, fd, 0, 4 * page);
	int64_t full;
	unsigned int i;

	for (i = 0; i < 4; i++)
		put_byte(host + i * page, (uint8_t)(i + 1));
	full = blocks_of(world, fd);
	expect(full > 0);
	/* DONTNEED frees nothing there. */
	expect_value(advise(world, host, 4 * page, MADV_DONTNEED), 0);
	expect_value(blocks_of(world, fd), full);
	expect_value(byte_at(host), 1);
	expect_value(punch(world, fd, 0, page), 0);
	expect(blocks_of(world, fd) < full);
	expect_value(advise(world, host + page, page, MADV_REMOVE), 0);
	expect_value(blocks_of(world, fd), full / 2);
	expect_value(byte_at(host + 2 * page), 3);
	expect_value(byte_at(host), 0);
	expect_value(byte_at(host + page), 0);
}

/* Kernel fact V3: part of a huge page is zeroed at most; the whole goes, and its reserve too. */
static void hugetlb_frees_whole_huge_pages(struct world *world)
{
	int64_t fd = door(world, GMEM_SYS_MEMFD_CREATE, (uintptr_t) "conformance",
			  MFD_CLOEXEC | MFD_HUGETLB, 0, 0, 0, 0);
	struct stat status;
	uint8_t *host;
	int64_t full;
	int64_t at;

	if (fd < 0)
		case_skipped("needs hugetlb: %s", strerror((int)-fd));
	keep_fd(world, fd);
	expect_value(door(world, GMEM_SYS_FSTAT, (uint64_t)fd, (uintptr_t)&status, 0, 0, 0, 0), 0);
	expect_value(door(world, GMEM_SYS_FTRUNCATE, (uint64_t)fd, (uint64_t)status.st_blksize, 0,
			  0, 0, 0),
		     0);
	at = try_map(world, (int)fd, 0, (uint64_t)status.st_blksize, PROT_READ | PROT_WRITE,
		     MAP_SHARED);
	if (at < 0)
		case_skipped("needs a huge page that is free (vm.nr_hugepages)");
	host = keep_mapping(world, (void *)(uintptr_t)at, (uint64_t)status.st_blksize);
	put_byte(host, 1);
	full = blocks_of(world, (int)fd);
	expect(full > 0);
	expect_value(punch(world, (int)fd, 0, 4096), 0);
	expect_value(blocks_of(world, (int)fd), full);
	expect_value(punch(world, (int)fd, 0, (uint64_t)status.st_blksize), 0);
	expect_value(blocks_of(world, (int)fd), 0);
}

const struct conformance_case per_vm_cases[] = {
	{ "KVM_SET_MEMORY_ATTRIBUTES: what is refused", "V1", NEED_PER_VM, refused_ranges },
	{ "one call spans slots and holes", "V1", NEED_PER_VM | NEED_GUEST,
	  one_call_over_slots_and_holes },
	{ "only attributes are recorded", "V1", NEED_PER_VM, only_attributes_are_recorded },
	{ "contents do not carry over", "V2", NEED_PER_VM | NEED_GUEST,
	  contents_do_not_carry_over },
	{ "the side not seen stays", "V2", NEED_PER_VM | NEED_GUEST, the_unseen_side_stays },
	{ "the side not seen can be freed", "V2 V3", NEED_PER_VM | NEED_GUEST,
	  the_unseen_side_can_be_freed },
	{ "anonymous memory is freed by DONTNEED", "V3", 0, anonymous_memory_is_freed_by_dontneed },
	{ "shmem is freed by punching, and not by DONTNEED", "V3", 0, shmem_is_freed_by_punching },
	{ "hugetlb is freed by whole huge pages", "V3", 0, hugetlb_frees_whole_huge_pages },
	{ NULL, NULL, 0, NULL },
};
