// SPDX-License-Identifier: LGPL-2.1-or-later
/* What can be done to a mapping of a file: madvise, mremap, userfaultfd, mbind. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kit.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_READ
#endif

#define SHARED_FILE (FLAG_MMAP | FLAG_INIT_SHARED)

static void advice_that_is_refused(struct world *world)
{
	static const int refused[] = { MADV_FREE, MADV_COLLAPSE, MADV_WIPEONFORK };
	uint8_t *host = map_file(world, make_file(world, 4 * MIB, SHARED_FILE), 0, 4 * MIB);
	unsigned int i;

	put_byte(host, 1);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		expect_value(advise(world, host, 4 * MIB, refused[i]), -EINVAL);
	/* With KSM in the kernel it is accepted, and passed over. */
	expect_either(advise(world, host, 4 * MIB, MADV_MERGEABLE), -EINVAL, 0);
	expect_value(byte_at(host), 1);
}

static void advice_without_effect_on_contents(struct world *world)
{
	static const int accepted[] = { MADV_DONTNEED, MADV_HUGEPAGE, MADV_DONTDUMP,
					MADV_DONTFORK };
	uint8_t *host = map_file(world, make_file(world, 4 * MIB, SHARED_FILE), 0, 4 * MIB);
	unsigned int i;

	put_byte(host, 1);
	put_byte(host + 2 * MIB, 2);
	for (i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
		/* A kernel without huge pages has no advice about them. */
		if (accepted[i] == MADV_HUGEPAGE)
			expect_either(advise(world, host, 4 * MIB, accepted[i]), 0, -EINVAL);
		else
			expect_value(advise(world, host, 4 * MIB, accepted[i]), 0);
		expect_value(byte_at(host), 1);
		expect_value(byte_at(host + 2 * MIB), 2);
	}
}

static void remove_punches(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 3 * page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, 3 * page);
	uint8_t *other = map_file(world, fd, 0, 3 * page);
	unsigned int i;

	for (i = 0; i < 3; i++)
		put_byte(host + i * page, (uint8_t)(i + 1));
	expect_value(advise(world, host + page, page, MADV_REMOVE), 0);
	expect_value(byte_at(other), 1);
	expect_value(byte_at(other + page), 0);
	expect_value(byte_at(other + 2 * page), 3);
}

static void remove_punches_private_pages(struct world *world)
{
	const uint32_t access = private_access(world);
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, 2 * world->page, true);
	guest_must_store(&vcpu, GPA, 1, access);
	guest_must_store(&vcpu, GPA + world->page, 2, access);
	/* What drops page-table entries leaves them alone. */
	expect_value(advise(world, memory.host, 2 * world->page, MADV_DONTNEED), 0);
	expect_value(guest_must_load(&vcpu, GPA, access), 1);
	expect_value(advise(world, memory.host, world->page, MADV_REMOVE), 0);
	expect_value(guest_must_load(&vcpu, GPA, access), 0);
	expect_value(guest_must_load(&vcpu, GPA + world->page, access), 2);
	destroy_vcpu(&vcpu);
}

/* Linux 6.18 lets the mapping grow, later kernels do not; past the file's end it is of no use. */
static void mremap_moves_and_gives_no_more(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 2 * page, SHARED_FILE);
	uint8_t *target = map_anonymous(world, 4 * page);
	uint8_t *host = map_file(world, fd, 0, 2 * page);
	uint8_t *moved;
	uint8_t value;

	put_byte(host + page, 6);
	moved = mremap(host, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	expect(moved == target);
	/* What took another's place is unmapped with that. */
	world->kept_mapping_count--;
	expect_value(byte_at(moved + page), 6);
	moved = mremap(target, 2 * page, 3 * page, MREMAP_MAYMOVE);
	if (moved == MAP_FAILED) {
		expect_value(errno, EFAULT);
		return;
	}
	keep_mapping(world, moved, 3 * page);
	expect(world->linux_version <= LINUX(6, 18));
	expect_value(byte_at(moved + page), 6);
	expect(!can_read(moved + 2 * page, &value));
}

static void no_userfaultfd(struct world *world)
{
	uint8_t *host = map_file(world, make_file(world, world->page, SHARED_FILE), 0, world->page);
	struct uffdio_register range = { .range = { (uintptr_t)host, world->page },
					 .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		case_skipped("needs userfaultfd: %s", strerror(errno));
	keep_fd(world, fd);
	expect(ioctl(fd, UFFDIO_API, &api) == 0);
	expect(ioctl(fd, UFFDIO_REGISTER, &range) == -1 && errno == EINVAL);
}

#define POLICY_DEFAULT 0
#define POLICY_BIND 2
#define POLICY_OF_ADDRESS 2 /* MPOL_F_ADDR */

static int64_t policy_at(struct world *world, const void *host)
{
	uint64_t nodes[16];
	int mode = -1;

	expect_success(door(world, GMEM_SYS_GET_MEMPOLICY, (uintptr_t)&mode, (uintptr_t)nodes,
			    8 * sizeof(nodes), (uintptr_t)host, POLICY_OF_ADDRESS, 0));
	return mode;
}

static int64_t bind_memory(struct world *world, const void *host, uint64_t size)
{
	uint64_t node = 1;
	int64_t result = door(world, GMEM_SYS_MBIND, (uintptr_t)host, size, POLICY_BIND,
			      (uintptr_t)&node, 64, 0);

	if (result == -ENOSYS)
		case_skipped("needs a kernel with NUMA");
	return result;
}

static void mbind_sets_the_files_policy_or_nothing(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 4 * page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, 4 * page);
	uint8_t *other = map_file(world, fd, 0, 4 * page);

	put_byte(host, 1);
	expect_value(bind_memory(world, host, 4 * page), 0);
	expect_value(policy_at(world, host), POLICY_BIND);
	/* A second mapping tells the file's policy from the mapping's own. */
	expect_value(policy_at(world, other),
		     world->linux_version >= LINUX(6, 19) ? POLICY_BIND : POLICY_DEFAULT);
	expect_value(byte_at(host), 1);
}

static void expect_policies(struct world *world, uint8_t *host, const int *wanted)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		expect_value(policy_at(world, host + i * world->page), wanted[i]);
}

static void mbind_reaches_private_pages(struct world *world)
{
	static const int wanted[] = { POLICY_DEFAULT, POLICY_BIND, POLICY_BIND, POLICY_DEFAULT };
	static const int none[4] = { 0 };
	const uint64_t page = world->page;
	int fd = make_file(world, 4 * page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, 4 * page);
	uint8_t *other = map_file(world, fd, 0, 4 * page);
	int unrelated = make_file(world, 4 * page, FLAG_MMAP);
	uint8_t *stranger = map_file(world, unrelated, 0, 4 * page);

	expect_value(set_file_attributes(world, fd, page, 3 * page, PRIVATE, NULL), 0);
	expect_value(bind_memory(world, host + page, 2 * page), 0);
	expect_policies(world, host, wanted);
	expect_policies(world, other, wanted);
	expect_policies(world, stranger, none);
	expect_value(set_file_attributes(world, fd, 0, 4 * page, 0, NULL), 0);
	expect_policies(world, host, wanted);
	expect_policies(world, other, wanted);
	/* Of a mapping made since then too. */
	expect_policies(world, map_file(world, fd, 0, 4 * page), wanted);
	put_byte(host + page, 7);
	expect_value(byte_at(other + page), 7);
	expect_value(set_file_attributes(world, unrelated, 0, 4 * page, 0, NULL), 0);
	expect_policies(world, stranger, none);
}

const struct conformance_case advice_cases[] = {
	{ "madvise: what is refused", "F9", NEED_SHARED_FILE, advice_that_is_refused },
	{ "madvise: what leaves contents alone", "F9", NEED_SHARED_FILE,
	  advice_without_effect_on_contents },
	{ "MADV_REMOVE punches the file", "F9", NEED_SHARED_FILE, remove_punches },
	{ "MADV_REMOVE punches private pages too", "F9", NEED_IN_PLACE | NEED_GUEST,
	  remove_punches_private_pages },
	{ "mremap moves, and gives no more of the file", "F9", NEED_SHARED_FILE | NEED_REAL,
	  mremap_moves_and_gives_no_more },
	{ "no userfaultfd", "F9", NEED_SHARED_FILE | NEED_REAL, no_userfaultfd },
	{ "mbind sets the file's policy, or nothing before 6.19", "F10", NEED_SHARED_FILE,
	  mbind_sets_the_files_policy_or_nothing },
	{ "mbind on private pages, seen after conversion", "F10", NEED_IN_PLACE,
	  mbind_reaches_private_pages },
	{ NULL, NULL, 0, NULL },
};
