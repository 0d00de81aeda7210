// SPDX-License-Identifier: LGPL-2.1-or-later
/* guest_memfd files: size, flags, allocation, what is refused, who may do what. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"
#include "target.h"

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SEAL 1
#endif

#define SHARED_FILE (FLAG_MMAP | FLAG_INIT_SHARED)
#define ALL_SIZE_BITS (UINT64_C(1) << 63)

static void size_is_pages(struct world *world)
{
	const uint64_t page = world->page;
	const uint64_t bad[] = { 0,
				 1,
				 page - 1,
				 page + 1,
				 page / 2,
				 3 * page + 512,
				 ALL_SIZE_BITS,
				 UINT64_MAX,
				 UINT64_MAX - page + 1 };
	struct stat status;
	unsigned int i;
	int fd;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_value(create_file(world, bad[i], 0), -EINVAL);
	fd = make_file(world, 3 * page, 0);
	expect_value(door(world, GMEM_SYS_FSTAT, (uint64_t)fd, (uintptr_t)&status, 0, 0, 0, 0), 0);
	expect_value(status.st_size, 3 * page);
}

static void size_below_a_page(struct world *world)
{
	if (world->page == 4096)
		case_skipped("needs pages above 4 KiB");
	expect_value(create_file(world, 4096, 0), -EINVAL);
	expect_value(create_file(world, world->page + 4096, 0), -EINVAL);
}

static void huge_sizes_succeed(struct world *world)
{
	uint64_t page = world->page;
	uint64_t size = UINT64_C(1) << 43;
	int fd = make_file(world, size, world->traits.flags & FLAG_INIT_SHARED ? SHARED_FILE : 0);
	uint8_t *last;

	expect_value(fallocate_file(world, fd, FALLOC_FL_KEEP_SIZE, size - page, page), 0);
	if (!(world->traits.flags & FLAG_INIT_SHARED))
		return;
	last = map_file(world, fd, size - page, page);
	put_byte(last, 7);
	expect_value(byte_at(last), 7);
}

static void slot_size_is_limited(struct world *world)
{
	uint64_t limit = GMEM_KVM_MEM_MAX_NR_PAGES * world->page;
	int fd = make_file(world, limit + 2 * world->page, 0);

	expect_value(set_slot(world, 0, 0, 1024 * GIB, limit + world->page, NULL, fd, 0), -EINVAL);
	expect_value(set_slot(world, 0, 0, 1024 * GIB, limit + 2 * world->page, NULL, fd, 0),
		     -EINVAL);
}

static void largest_slot(struct world *world)
{
	uint64_t limit = GMEM_KVM_MEM_MAX_NR_PAGES * world->page;
	int fd = make_file(world, limit, 0);

	if (world->page == 4096)
		expect_value(limit, (UINT64_C(1) << 43) - 4096);
	expect_value(set_slot(world, 0, 0, 1024 * GIB, limit, NULL, fd, 0), 0);
	expect_value(delete_slot(world, 0), 0);
}

static void descriptor_is_not_close_on_exec(struct world *world)
{
	int fd = make_file(world, world->page, 0);

	expect_value(door(world, GMEM_SYS_FCNTL, (uint64_t)fd, F_GETFD, 0, 0, 0, 0), 0);
	expect_value(door(world, GMEM_SYS_FCNTL, (uint64_t)fd, F_SETFD, FD_CLOEXEC, 0, 0, 0), 0);
	expect_value(door(world, GMEM_SYS_FCNTL, (uint64_t)fd, F_GETFD, 0, 0, 0, 0), FD_CLOEXEC);
}

/* Among them the one that would make it close-on-exec, were there one. */
static void flags_are_those_announced(struct world *world)
{
	unsigned int bit;
	uint64_t flags;

	for (bit = 0; bit < 64; bit++) {
		flags = UINT64_C(1) << bit;
		if (flags & world->traits.flags)
			make_file(world, world->page, flags);
		else
			expect_value(create_file(world, world->page, flags), -EINVAL);
	}
	if ((world->traits.flags & SHARED_FILE) == SHARED_FILE)
		make_file(world, world->page, SHARED_FILE);
	else
		expect_value(create_file(world, world->page, SHARED_FILE), -EINVAL);
}

static void init_shared_by_tracking(struct world *world)
{
	if (world->traits.tracking == TRACKED_BY_VM)
		expect_value(create_file(world, world->page, FLAG_INIT_SHARED), -EINVAL);
	else if (world->traits.flags)
		make_file(world, world->page, FLAG_INIT_SHARED);
}

static void in_place_starts_as_created(struct world *world)
{
	uint8_t *private =
		map_file(world, make_file(world, 3 * world->page, FLAG_MMAP), 0, 3 * world->page);
	uint8_t *shared =
		map_file(world, make_file(world, 3 * world->page, SHARED_FILE), 0, 3 * world->page);
	uint8_t value;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		expect(!can_read(private + i * world->page, &value));
		expect(!can_write(private + i * world->page, 1));
		expect_value(byte_at(shared + i * world->page), 0);
		put_byte(shared + i * world->page, 1);
	}
}

/* The host writes to the shared side, and the guest sees it without any conversion. */
static void per_vm_starts_shared(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	make_vcpu(world, &vcpu);
	put_byte(memory.host + world->page, 0x5a);
	expect_value(guest_must_load(&vcpu, GPA + world->page, 0), 0x5a);
	guest_must_store(&vcpu, GPA, 0x77, 0);
	expect_value(byte_at(memory.host), 0x77);
	destroy_vcpu(&vcpu);
}

static void ordinary_file_is_shared(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	make_vcpu(world, &vcpu);
	put_byte(memory.host + world->page, 0x5a);
	expect_value(guest_must_load(&vcpu, GPA + world->page, 0), 0x5a);
	guest_must_store(&vcpu, GPA, 0x77, 0);
	expect_value(byte_at(memory.host), 0x77);
	destroy_vcpu(&vcpu);
}

static void allocation_modes(struct world *world)
{
	static const int refused[] = {
		0,
		FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_INSERT_RANGE,
		FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	const uint64_t page = world->page;
	int fd = make_file(world, 4 * page, 0);
	unsigned int i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		expect_value(fallocate_file(world, fd, refused[i], 0, page), -EOPNOTSUPP);
	expect_value(fallocate_file(world, fd, FALLOC_FL_KEEP_SIZE, page, 2 * page), 0);
	expect_value(fallocate_file(world, fd, FALLOC_FL_KEEP_SIZE, 0, 4 * page), 0);
}

/* A mode that no file system knows is refused before the range is looked at, others after it. */
static void allocation_past_all_files(struct world *world)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_INSERT_RANGE,
		FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	const uint64_t page = world->page;
	const uint64_t half = UINT64_C(1) << 62;
	int fd = make_file(world, 4 * page, 0);
	unsigned int i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		expect_value(fallocate_file(world, fd, modes[i], half, half), -EFBIG);
		expect_value(fallocate_file(world, fd, modes[i], 2 * half - page, page), -EFBIG);
		expect_value(fallocate_file(world, fd, modes[i], 2 * half, page), -EINVAL);
		expect_value(fallocate_file(world, fd, modes[i], half, 0), -EINVAL);
	}
	expect_value(fallocate_file(world, fd, FALLOC_FL_PUNCH_HOLE, half, half), -EOPNOTSUPP);
	expect_value(fallocate_file(world, fd, 0x8000, half, half), -EOPNOTSUPP);
}

static void allocation_ranges(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 4 * page, 0);
	const int plain = FALLOC_FL_KEEP_SIZE;
	const int hole = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

	expect_value(fallocate_file(world, fd, plain, 4 * page, page), -EINVAL);
	expect_value(fallocate_file(world, fd, plain, 3 * page, 2 * page), -EINVAL);
	expect_value(fallocate_file(world, fd, plain, 0, 0), -EINVAL);
	expect_value(fallocate_file(world, fd, hole, 4 * page, page), 0);
	expect_value(fallocate_file(world, fd, hole, 3 * page, 2 * page), 0);
	expect_value(fallocate_file(world, fd, hole, 0, 1024 * page), 0);
	expect_value(fallocate_file(world, fd, hole, 1, page), -EINVAL);
	expect_value(fallocate_file(world, fd, hole, page / 2, page), -EINVAL);
	expect_value(fallocate_file(world, fd, hole, 0, page - 1), -EINVAL);
	expect_value(fallocate_file(world, fd, hole, 0, page + 512), -EINVAL);
	expect_value(fallocate_file(world, fd, hole, 0, 0), -EINVAL);
	expect_value(fallocate_file(world, fd, hole, -(int64_t)page, page), -EINVAL);
}

static void punched_pages_read_zero(struct world *world)
{
	const uint64_t page = world->page;
	struct memory memory;

	make_memory(world, &memory, 0, GPA, 3 * page);
	put_byte(memory.host, 1);
	put_byte(memory.host + page, 2);
	put_byte(memory.host + 2 * page, 3);
	expect_value(punch(world, memory.fd, page, page), 0);
	expect_value(byte_at(memory.host), 1);
	expect_value(byte_at(memory.host + page), 0);
	expect_value(byte_at(memory.host + 2 * page), 3);
	put_byte(memory.host + page, 4);
	expect_value(byte_at(memory.host + page), 4);
}

static void allocation_keeps_contents(struct world *world)
{
	struct memory memory;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	put_byte(memory.host + 5, 1);
	expect_value(fallocate_file(world, memory.fd, FALLOC_FL_KEEP_SIZE, 0, 2 * world->page), 0);
	expect_value(byte_at(memory.host + 5), 1);
	expect_value(byte_at(memory.host + world->page), 0);
}

static void punched_pages_are_zero_to_the_guest(struct world *world)
{
	const uint64_t page = world->page;
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * page);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 1, 0);
	guest_must_store(&vcpu, GPA + page, 2, 0);
	expect_value(punch(world, memory.fd, page, page), 0);
	expect_value(guest_must_load(&vcpu, GPA, 0), 1);
	expect_value(guest_must_load(&vcpu, GPA + page, 0), 0);
	guest_must_store(&vcpu, GPA + page, 3, 0);
	expect_value(byte_at(memory.host + page), 3);
	destroy_vcpu(&vcpu);
}

static void punching_keeps_the_page_private(struct world *world)
{
	const uint64_t page = world->page;
	const uint32_t access = private_access(world);
	struct memory memory;
	struct vcpu vcpu;
	uint8_t value;

	make_memory(world, &memory, 0, GPA, 2 * page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, 2 * page, true);
	guest_must_store(&vcpu, GPA, 1, access);
	guest_must_store(&vcpu, GPA + page, 2, access);
	expect_value(punch(world, memory.fd, 0, page), 0);
	expect_value(guest_must_load(&vcpu, GPA, access), 0);
	expect_value(guest_must_load(&vcpu, GPA + page, access), 2);
	guest_must_store(&vcpu, GPA, 3, access);
	/* Still not the host's: the mapping shows nothing of it, or another page. */
	if (memory.single)
		expect(!can_read(memory.host, &value));
	else
		expect_value(byte_at(memory.host), 0);
	destroy_vcpu(&vcpu);
}

static void size_and_seals_are_fixed(struct world *world)
{
	int fd = make_file(world, 2 * world->page, 0);
	struct stat status;

	expect_value(door(world, GMEM_SYS_FTRUNCATE, (uint64_t)fd, 0, 0, 0, 0, 0), -EINVAL);
	expect_value(door(world, GMEM_SYS_FTRUNCATE, (uint64_t)fd, 4 * world->page, 0, 0, 0, 0),
		     -EINVAL);
	expect_value(door(world, GMEM_SYS_FCNTL, (uint64_t)fd, F_GET_SEALS, 0, 0, 0, 0), -EINVAL);
	expect_value(door(world, GMEM_SYS_FCNTL, (uint64_t)fd, F_ADD_SEALS, F_SEAL_SEAL, 0, 0, 0),
		     -EINVAL);
	expect_value(door(world, GMEM_SYS_WRITE, (uint64_t)fd, (uintptr_t) "x", 1, 0, 0, 0),
		     -EINVAL);
	expect_value(fallocate_file(world, fd, FALLOC_FL_KEEP_SIZE, 0, 2 * world->page), 0);
	expect_value(door(world, GMEM_SYS_FSTAT, (uint64_t)fd, (uintptr_t)&status, 0, 0, 0, 0), 0);
	expect_value(status.st_blocks, 0);
	expect_value(status.st_size, 2 * world->page);
}

static void no_stream_of_bytes(struct world *world)
{
	int fd = make_file(world, 2 * world->page, world->traits.flags & FLAG_MMAP);
	char path[64];
	char byte = 0;

	expect(read(fd, &byte, 1) == -1 && errno == EINVAL);
	expect(write(fd, &byte, 1) == -1 && errno == EINVAL);
	expect(pread(fd, &byte, 1, 0) == -1 && errno == ESPIPE);
	expect(lseek(fd, (off_t)world->page, SEEK_SET) == -1 && errno == ESPIPE);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	expect(open(path, O_RDWR | O_CLOEXEC) == -1);
}

static void another_vm_may_not_bind(struct world *world)
{
	int fd = make_file(world, world->page, 0);
	int own = world->vm_fd;
	int other = make_vm(world);

	world->vm_fd = other;
	expect_value(set_slot(world, 0, 0, GPA, world->page, NULL, fd, 0), -EINVAL);
	world->vm_fd = own;
	expect_value(set_slot(world, 0, 0, GPA, world->page, NULL, fd, 0), 0);
}

static int duplicate(struct world *world, int fd)
{
	return keep_fd(world, expect_success(door(world, GMEM_SYS_FCNTL, (uint64_t)fd, F_DUPFD, 0,
						  0, 0, 0)));
}

static void a_duplicate_maps_and_punches(struct world *world)
{
	int fd = make_file(world, world->page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, world->page);
	int twin = duplicate(world, fd);
	uint8_t *other = map_file(world, twin, 0, world->page);

	put_byte(host, 9);
	expect_value(byte_at(other), 9);
	expect_value(punch(world, twin, 0, world->page), 0);
	expect_value(byte_at(host), 0);
	close_fd(world, fd);
	put_byte(other, 8);
	expect_value(byte_at(host), 8);
}

static void a_duplicate_converts(struct world *world)
{
	int fd = make_file(world, world->page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, world->page);
	int twin = duplicate(world, fd);
	uint8_t value;

	expect_value(set_file_attributes(world, twin, 0, world->page, PRIVATE, NULL), 0);
	expect(!can_read(host, &value));
	expect_value(set_file_attributes(world, fd, 0, world->page, 0, NULL), 0);
	expect(can_read(host, &value));
}

static int try_vm_in_child(struct world *world, void *opaque)
{
	void *host = opaque;

	if (set_slot(world, 1, 0, OTHER_GPA, world->page, host, -1, 0) != -EIO)
		return 1;
	return create_file(world, world->page, 0) == -EIO ? 0 : 2;
}

static void a_child_has_no_vm(struct world *world)
{
	void *host = map_anonymous(world, world->page);

	expect_value(in_child(try_vm_in_child, world, host), 0);
	expect_value(set_slot(world, 1, 0, OTHER_GPA, world->page, host, -1, 0), 0);
}

static int write_in_child(struct world *world, void *opaque)
{
	put_byte(opaque, 0x42);
	return 0;
}

static int look_in_child(struct world *world, void *opaque)
{
	unsigned char resident[64];

	/* Not mapped: there is nothing to be resident. */
	return mincore(opaque, world->page, resident) == -1 && errno == ENOMEM ? 0 : 1;
}

static void a_child_shares_the_mapping(struct world *world)
{
	uint8_t *host = map_file(world, make_file(world, world->page, SHARED_FILE), 0, world->page);

	expect_value(in_child(write_in_child, world, host), 0);
	expect_value(byte_at(host), 0x42);
	expect_value(advise(world, host, world->page, MADV_DONTFORK), 0);
	expect_value(in_child(look_in_child, world, host), 0);
	expect_value(byte_at(host), 0x42);
}

struct childs_file {
	int fd;
};

static int punch_in_child(struct world *world, void *opaque)
{
	const struct childs_file *file = opaque;

	return punch(world, file->fd, 0, world->page) == 0 ? 0 : 1;
}

static int convert_in_child(struct world *world, void *opaque)
{
	const struct childs_file *file = opaque;

	return set_file_attributes(world, file->fd, 0, world->page, PRIVATE, NULL) == 0 ? 0 : 1;
}

static void a_child_punches(struct world *world)
{
	struct childs_file file = { make_file(world, world->page, SHARED_FILE) };
	uint8_t *host = map_file(world, file.fd, 0, world->page);

	put_byte(host, 3);
	expect_value(in_child(punch_in_child, world, &file), 0);
	expect_value(byte_at(host), 0);
}

static void a_child_converts(struct world *world)
{
	struct childs_file file = { make_file(world, world->page, SHARED_FILE) };
	uint8_t *host = map_file(world, file.fd, 0, world->page);
	uint8_t value;

	expect_value(in_child(convert_in_child, world, &file), 0);
	expect(!can_read(host, &value));
}

static void close_vm(struct world *world)
{
	expect_value(door(world, GMEM_SYS_CLOSE, (uint64_t)world->vm_fd, 0, 0, 0, 0, 0), 0);
	world->vm_fd = -1;
}

static void a_file_outlives_the_vms_descriptor(struct world *world)
{
	int fd = make_file(world, 2 * world->page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, 2 * world->page);

	expect_value(set_slot(world, 0, 0, GPA, 2 * world->page, host, fd, 0), 0);
	put_byte(host, 11);
	close_vm(world);
	expect_value(byte_at(host), 11);
	put_byte(host + world->page, 12);
	expect_value(byte_at((uint8_t *)map_file(world, fd, 0, 2 * world->page) + world->page), 12);
	expect_value(punch(world, fd, 0, world->page), 0);
	expect_value(byte_at(host), 0);
	/* A mapping alone is enough. */
	close_fd(world, fd);
	expect_value(byte_at(host + world->page), 12);
}

/* What asks the VM for its type still can. */
static void a_file_converts_without_the_vms_descriptor(struct world *world)
{
	int fd = make_file(world, world->page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, world->page);
	uint8_t value;

	close_vm(world);
	expect_value(set_file_attributes(world, fd, 0, world->page, PRIVATE, NULL), 0);
	expect(!can_read(host, &value));
	expect_value(set_file_attributes(world, fd, 0, world->page, 0, NULL), 0);
	expect(can_read(host, &value));
}

const struct conformance_case file_cases[] = {
	{ "a file's size is a number of pages", "F1", NEED_GUEST_MEMFD, size_is_pages },
	{ "a file's size in large pages", "F1", NEED_GUEST_MEMFD, size_below_a_page },
	{ "huge files succeed, and memory comes on touch", "F1", NEED_GUEST_MEMFD,
	  huge_sizes_succeed },
	{ "a slot above the limit is refused", "F1", NEED_GUEST_MEMFD, slot_size_is_limited },
	{ "a slot of the limit is accepted", "F1", NEED_GUEST_MEMFD | NEED_SIMULATOR,
	  largest_slot },
	{ "the descriptor is not close-on-exec", "F2", NEED_GUEST_MEMFD,
	  descriptor_is_not_close_on_exec },
	{ "creation accepts the flags announced, and no other", "F2 F3 CAP", NEED_GUEST_MEMFD,
	  flags_are_those_announced },
	{ "INIT_SHARED by who tracks", "F3", NEED_GUEST_MEMFD, init_shared_by_tracking },
	{ "in place, a file starts as it was created", "F3", NEED_IN_PLACE,
	  in_place_starts_as_created },
	{ "per VM, memory starts shared", "F3", NEED_PER_VM | NEED_GUEST, per_vm_starts_shared },
	{ "a file of a VM without private memory is shared", "F3",
	  NEED_ORDINARY | NEED_SHARED_FILE | NEED_GUEST, ordinary_file_is_shared },
	{ "fallocate: modes", "F8", NEED_GUEST_MEMFD, allocation_modes },
	{ "fallocate: ranges", "F8", NEED_GUEST_MEMFD, allocation_ranges },
	{ "fallocate: past what any file can have", "F8", NEED_GUEST_MEMFD,
	  allocation_past_all_files },
	{ "punched pages read zero", "F8", NEED_SHARED_FILE, punched_pages_read_zero },
	{ "allocating keeps contents", "F8", NEED_SHARED_FILE, allocation_keeps_contents },
	{ "punched pages are zero to the guest", "F8", NEED_SHARED_FILE | NEED_GUEST,
	  punched_pages_are_zero_to_the_guest },
	{ "punching private pages leaves them private", "F8", NEED_PRIVATE | NEED_GUEST,
	  punching_keeps_the_page_private },
	{ "ftruncate, seals and writing are refused, st_blocks stays 0", "F11", NEED_GUEST_MEMFD,
	  size_and_seals_are_fixed },
	{ "read, write, lseek and reopening are refused", "F11", NEED_GUEST_MEMFD | NEED_REAL,
	  no_stream_of_bytes },
	{ "only the VM that made it may bind it", "F12", NEED_GUEST_MEMFD,
	  another_vm_may_not_bind },
	{ "whoever has a duplicate can map and punch", "F12", NEED_SHARED_FILE,
	  a_duplicate_maps_and_punches },
	{ "whoever has a duplicate can convert", "F12", NEED_IN_PLACE, a_duplicate_converts },
	{ "a child's VM ioctls fail", "F12", NEED_REGION2, a_child_has_no_vm },
	{ "a child shares the mapping, unless DONTFORK", "F12 F9", NEED_SHARED_FILE,
	  a_child_shares_the_mapping },
	{ "a child can punch", "F12", NEED_SHARED_FILE | NEED_REAL, a_child_punches },
	{ "a child can convert", "F12", NEED_IN_PLACE | NEED_REAL, a_child_converts },
	{ "a file outlives the VM's descriptor", "F13", NEED_SHARED_FILE,
	  a_file_outlives_the_vms_descriptor },
	{ "a file converts without the VM's descriptor", "F13", NEED_IN_PLACE,
	  a_file_converts_without_the_vms_descriptor },
	{ NULL, NULL, 0, NULL },
};
