// SPDX-License-Identifier: LGPL-2.1-or-later
/* Whose memory an access reaches, KVM's own and the guest's, and what keeps it. */
#include <string.h>

#include "kit.h"

#define SHARED_FILE (FLAG_MMAP | FLAG_INIT_SHARED)
#define SHARED_GUEST (NEED_SHARED_FILE | NEED_GUEST)

static void contents_survive_going_plain_and_back(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA + 12, 0xbeef, 0);
	expect_value(delete_slot(world, 0), 0);
	expect_value(set_slot(world, 0, 0, GPA, world->page, memory.host, -1, 0), 0);
	expect_value(guest_must_load(&vcpu, GPA + 12, 0), 0xbeef);
	guest_must_store(&vcpu, GPA + 16, 0xfeed, 0);
	expect_value(delete_slot(world, 0), 0);
	expect_value(set_slot(world, 0, 0, GPA, world->page, memory.host, memory.fd, 0), 0);
	expect_value(guest_must_load(&vcpu, GPA + 16, 0), 0xfeed);
	destroy_vcpu(&vcpu);
}

/* KVM_RUN fails, and the exit says nothing of memory: not a request to convert. */
static void private_pages_fault_in_a_plain_slot(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;
	uint32_t value;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	expect_value(set_slot(world, 1, 0, OTHER_GPA, 2 * world->page, memory.host, -1, 0), 0);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, world->page, true);
	expect_value(guest_load(&vcpu, OTHER_GPA, &value, 0), GUEST_EXIT);
	expect_value(vcpu.exit.error, EFAULT);
	expect(vcpu.exit.reason != EXIT_MEMORY_FAULT);
	guest_must_store(&vcpu, OTHER_GPA + world->page, 1, 0);
	convert(&memory, 0, world->page, false);
	guest_must_store(&vcpu, OTHER_GPA, 2, 0);
	expect_value(byte_at(memory.host), 2);
	destroy_vcpu(&vcpu);
}

static void any_userspace_address(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_any_file(world, 4 * page);
	void *gone = map_anonymous(world, 64 * 1024);

	unmap(world, world->kept_mappings[world->kept_mapping_count - 1].host);
	expect_value(set_slot(world, 0, 0, GPA, page, NULL, fd, 0), 0);
	expect_value(set_slot(world, 1, 0, GPA + page, page, gone, fd, page), 0);
	expect_value(set_slot(world, 2, 0, GPA + 2 * page, page, map_anonymous(world, page), fd,
			      2 * page),
		     0);
	/* What no process could have is refused. */
	expect_value(set_slot(world, 3, 0, GPA + 3 * page, page,
			      (void *)(uintptr_t)(UINT64_C(1) << 62), fd, 3 * page),
		     -EINVAL);
}

static void accesses_go_to_the_file(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 2 * page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, 2 * page);
	uint8_t *unrelated = map_anonymous(world, page);
	struct vcpu vcpu;

	put_byte(unrelated, 0x99);
	expect_value(set_slot(world, 0, 0, GPA, page, unrelated, fd, 0), 0);
	expect_value(set_slot(world, 1, 0, OTHER_GPA, page, NULL, fd, page), 0);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	guest_must_store(&vcpu, GPA, 0x31, 0);
	guest_must_store(&vcpu, OTHER_GPA, 0x32, 0);
	expect_value(byte_at(host), 0x31);
	expect_value(byte_at(host + page), 0x32);
	expect_value(byte_at(unrelated), 0x99);
	put_byte(host, 0x33);
	expect_value(guest_must_load(&vcpu, GPA, 0), 0x33);
	destroy_vcpu(&vcpu);
}

/* Those of an emulated guest are KVM's own, all of them. */
static void kvms_own_accesses_go_to_the_address(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 2 * page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, 2 * page);
	uint8_t *unrelated = map_anonymous(world, page);
	struct vcpu vcpu;
	uint32_t own = 0;
	uint32_t value;

	put_byte(host, 1);
	put_byte(unrelated, 2);
	expect_value(set_slot(world, 0, 0, GPA, page, unrelated, fd, 0), 0);
	expect_value(set_slot(world, 1, 0, OTHER_GPA, page, NULL, fd, page), 0);
	make_vcpu(world, &vcpu);
	if (!world->driver->real)
		own = GUEST_EMULATE;
	else if (!guest_is_emulated(&vcpu))
		case_skipped("needs a guest that KVM emulates; here the processor runs it");
	expect_value(guest_must_load(&vcpu, GPA, own), 2);
	guest_must_store(&vcpu, GPA, 3, own);
	expect_value(byte_at(unrelated), 3);
	expect_value(byte_at(host), 1);
	/* No memory there: an internal error, or taken for a device's. */
	expect_value(guest_load(&vcpu, OTHER_GPA, &value, own), GUEST_EXIT);
	expect_either(vcpu.exit.reason, EXIT_INTERNAL_ERROR, EXIT_MMIO);
	destroy_vcpu(&vcpu);
}

/* movl %eax, (%edi); hlt */
static const uint8_t store_code[] = { 0x89, 0x07, 0xf4 };
/* movl %ecx, (%edi); hlt */
static const uint8_t other_code[] = { 0x89, 0x0f, 0xf4 };

/* An instruction that KVM has to emulate, since it reaches for a device. */
static void emulation_reads_code_at_the_address(struct world *world)
{
	const uint64_t page = world->page;
	int fd = make_file(world, 2 * page, SHARED_FILE);
	uint8_t *host = map_file(world, fd, 0, 2 * page);
	uint8_t *unrelated = map_anonymous(world, page);
	struct vcpu vcpu;

	memcpy(host, store_code, sizeof(store_code));
	memcpy(host + page, store_code, sizeof(store_code));
	memcpy(unrelated, other_code, sizeof(other_code));
	make_vcpu(world, &vcpu);
	/* The right address: the device is asked. */
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, fd, 0), 0);
	expect_value(world->driver->execute(&vcpu, GPA, HOLE_GPA, 5), GUEST_EXIT);
	expect_value(vcpu.exit.reason, EXIT_MMIO);
	expect(vcpu.exit.mmio.write && vcpu.exit.mmio.gpa == HOLE_GPA);
	expect_value(delete_slot(world, 0), 0);
	/* No memory there: the instruction cannot be read. */
	expect_value(set_slot(world, 0, 0, GPA, 2 * page, NULL, fd, 0), 0);
	expect_value(world->driver->execute(&vcpu, GPA + page, HOLE_GPA, 5), GUEST_EXIT);
	expect(vcpu.exit.reason != EXIT_MMIO);
	destroy_vcpu(&vcpu);
}

static void the_last_reference_goes(struct world *world, struct memory *memory)
{
	if (memory->single)
		unmap(world, memory->host);
	close_fd(world, memory->fd);
}

static void without_the_file_private_accesses_exit(struct world *world)
{
	const uint32_t access = private_access(world);
	struct memory memory;
	struct vcpu vcpu;
	uint32_t value;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, world->page, true);
	guest_must_store(&vcpu, GPA, 1, access);
	the_last_reference_goes(world, &memory);
	expect_value(guest_load(&vcpu, GPA, &value, access), GUEST_EXIT);
	expect_value(vcpu.exit.reason, EXIT_MEMORY_FAULT);
	expect_value(vcpu.exit.error, EFAULT);
	expect_value(vcpu.exit.fault.gpa, GPA);
	/* Where the file tracked, nobody knows any more that the page was private. */
	if (world->traits.tracking == TRACKED_BY_VM)
		expect_value(vcpu.exit.fault.flags, FAULT_PRIVATE);
	/* The slot is still there, and goes as any. */
	expect_value(set_slot(world, 1, 0, GPA, world->page, map_anonymous(world, world->page), -1,
			      0),
		     -EEXIST);
	expect_value(delete_slot(world, 0), 0);
	destroy_vcpu(&vcpu);
}

/* One mapping of it, or one descriptor, is enough. */
static void a_mapping_keeps_the_slots_memory(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	close_fd(world, memory.fd);
	guest_must_store(&vcpu, GPA, 0x61, 0);
	expect_value(byte_at(memory.host), 0x61);
	destroy_vcpu(&vcpu);
}

static void without_the_file_nothing_is_there(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	guest_must_store(&vcpu, GPA, 1, 0);
	the_last_reference_goes(world, &memory);
	expect_memory_fault(&vcpu, GPA, 0, 0);
	expect_value(delete_slot(world, 0), 0);
	destroy_vcpu(&vcpu);
}

/* The danger in it: a guest that takes the page for private gets the host's. */
static void without_an_unmapped_file_the_page_turns_shared(struct world *world)
{
	uint8_t *shared = map_anonymous(world, world->page);
	int fd = make_file(world, world->page, 0);
	struct vcpu vcpu;

	put_byte(shared, 0x21);
	expect_value(set_slot(world, 0, 0, GPA, world->page, shared, fd, 0), 0);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 0x99, 0);
	expect_value(byte_at(shared), 0x21);
	close_fd(world, fd);
	expect_value(guest_must_load(&vcpu, GPA, 0), 0x21);
	guest_must_store(&vcpu, GPA, 0x22, 0);
	expect_value(byte_at(shared), 0x22);
	destroy_vcpu(&vcpu);
}

static void a_deleted_slot_in_place_is_mmio(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, world->page, true);
	guest_must_store(&vcpu, GPA, 1, 0);
	expect_value(delete_slot(world, 0), 0);
	expect_mmio(&vcpu, GPA, 0);
	destroy_vcpu(&vcpu);
}

static void a_guest_that_says_private_faults_without_a_slot(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	expect_value(delete_slot(world, 0), 0);
	expect_memory_fault(&vcpu, GPA, GUEST_PRIVATE, FAULT_PRIVATE);
	expect_mmio(&vcpu, GPA, 0);
	destroy_vcpu(&vcpu);
}

/* The same access, private or shared, as the tracking says and not as the guest does. */
static void tracking_says_what_the_access_is(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 1, GUEST_PRIVATE);
	expect_value(byte_at(memory.host), 1);
	convert(&memory, world->page, world->page, true);
	guest_must_store(&vcpu, GPA + world->page, 2, 0);
	expect_value(guest_must_load(&vcpu, GPA + world->page, 0), 2);
	convert(&memory, world->page, world->page, false);
	/* In place it is the same page, per VM the other side's. */
	expect_value(byte_at(memory.host + world->page), memory.single ? 2 : 0);
	destroy_vcpu(&vcpu);
}

static void attributes_outlive_the_slot(struct world *world)
{
	const uint32_t access = private_access(world);
	const uint64_t page = world->page;
	struct memory memory;
	struct memory next;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, page, true);
	expect_value(delete_slot(world, 0), 0);
	/* The address is still private: an access there is no device's. */
	expect_memory_fault(&vcpu, GPA, access, FAULT_PRIVATE);
	/* What is mapped there next is private from the start. */
	make_memory(world, &next, 1, GPA, 2 * page);
	put_byte(next.host, 0x44);
	guest_must_store(&vcpu, GPA, 0x55, access);
	expect_value(byte_at(next.host), 0x44);
	expect_value(guest_must_load(&vcpu, GPA, access), 0x55);
	guest_must_store(&vcpu, GPA + page, 0x66, 0);
	expect_value(byte_at(next.host + page), 0x66);
	destroy_vcpu(&vcpu);
}

const struct conformance_case access_cases[] = {
	{ "contents survive going plain and back", "S3", SHARED_GUEST,
	  contents_survive_going_plain_and_back },
	{ "private pages fault in a plain slot", "S3 E2", NEED_IN_PLACE | NEED_GUEST,
	  private_pages_fault_in_a_plain_slot },
	{ "userspace_addr may be anything", "S4", NEED_GUEST_MEMFD, any_userspace_address },
	{ "the guest's accesses go to a file with MMAP", "S4", SHARED_GUEST,
	  accesses_go_to_the_file },
	{ "KVM's own accesses go through userspace_addr", "S4", SHARED_GUEST,
	  kvms_own_accesses_go_to_the_address },
	{ "emulation reads code through userspace_addr", "S4", SHARED_GUEST | NEED_INSTRUCTIONS,
	  emulation_reads_code_at_the_address },
	{ "without the file, private accesses exit", "S5", NEED_PRIVATE | NEED_GUEST,
	  without_the_file_private_accesses_exit },
	{ "a mapping keeps the slot's memory", "S5", SHARED_GUEST,
	  a_mapping_keeps_the_slots_memory },
	{ "without the file, an ordinary VM's accesses exit", "S5", SHARED_GUEST | NEED_ORDINARY,
	  without_the_file_nothing_is_there },
	{ "in place, without a file that had no MMAP the page turns shared", "S5",
	  NEED_IN_PLACE | NEED_TRACKED_ACCESS | NEED_GUEST,
	  without_an_unmapped_file_the_page_turns_shared },
	{ "in place, an access without a slot is MMIO", "S6",
	  NEED_IN_PLACE | NEED_TRACKED_ACCESS | NEED_GUEST, a_deleted_slot_in_place_is_mmio },
	{ "a guest that says private faults without a slot", "S6 E2",
	  NEED_GUEST_MEMFD | NEED_OWN_ACCESS | NEED_GUEST,
	  a_guest_that_says_private_faults_without_a_slot },
	{ "tracking says what the access is", "S6", NEED_TRACKED_ACCESS | NEED_GUEST,
	  tracking_says_what_the_access_is },
	{ "per VM, attributes outlive the slot", "S6", NEED_PER_VM | NEED_GUEST,
	  attributes_outlive_the_slot },
	{ NULL, NULL, 0, NULL },
};
