// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a guest leaves to the host: hypercalls, memory faults, and prefaulting. */
#include <string.h>

#include "kit.h"

#define KVM_ENABLE_CAP 0x4068aea3u
#define KVM_PRE_FAULT_MEMORY 0xc040aed5u

#define TO_PRIVATE (UINT64_C(1) << 4)

struct enable_cap {
	uint32_t cap;
	uint32_t flags;
	uint64_t args[4];
	uint8_t pad[64];
};

static void enable_hypercall(struct world *world)
{
	struct enable_cap enable = {
		.cap = GMEM_KVM_CAP_EXIT_HYPERCALL,
		.args = { UINT64_C(1) << GMEM_KVM_HC_MAP_GPA_RANGE },
	};

	expect_value(kvm_ioctl_at(world, world->vm_fd, KVM_ENABLE_CAP, &enable), 0);
}

static void unknown_hypercalls_cannot_exit(struct world *world)
{
	struct enable_cap enable = { .cap = GMEM_KVM_CAP_EXIT_HYPERCALL };
	uint64_t known = (uint64_t)capability(world, world->vm_fd, GMEM_KVM_CAP_EXIT_HYPERCALL);
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		enable.args[0] = UINT64_C(1) << bit;
		expect_value(kvm_ioctl_at(world, world->vm_fd, KVM_ENABLE_CAP, &enable),
			     known >> bit & 1 ? 0 : -EINVAL);
	}
}

static void expect_hypercall(struct vcpu *vcpu, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	int rc = vcpu->world->driver->hypercall(vcpu, gpa, pages, attributes);

	if (rc != GUEST_EXIT)
		case_failed(__FILE__, __LINE__, "the hypercall is %d, and the exit %u", rc,
			    vcpu->exit.reason);
	expect_value(vcpu->exit.reason, EXIT_HYPERCALL);
	expect_value(vcpu->exit.error, 0);
	expect_value(vcpu->exit.hypercall.nr, GMEM_KVM_HC_MAP_GPA_RANGE);
	expect_value(vcpu->exit.hypercall.args[0], gpa);
	expect_value(vcpu->exit.hypercall.args[1], pages);
	expect_value(vcpu->exit.hypercall.args[2], attributes);
}

static void expect_answered(struct vcpu *vcpu, uint64_t value)
{
	uint64_t result = UINT64_MAX;

	expect_value(vcpu->world->driver->answer(vcpu, value, &result), GUEST_DONE);
	expect_value(result, value);
}

/* The guest is told that there is none; the simulator's has nothing to be told. */
static void a_hypercall_that_is_not_enabled(struct world *world)
{
	struct vcpu vcpu;
	int rc;

	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	rc = world->driver->hypercall(&vcpu, GPA, 1, TO_PRIVATE);
	expect_value(rc, world->driver->real ? GUEST_DONE : -EOPNOTSUPP);
	destroy_vcpu(&vcpu);
}

static void hypercall_brings_its_arguments(struct world *world)
{
	struct vcpu vcpu;

	enable_hypercall(world);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	expect_hypercall(&vcpu, GPA, 2, TO_PRIVATE);
	expect_answered(&vcpu, 0);
	expect_hypercall(&vcpu, GPA, 3, 1);
	expect_answered(&vcpu, 0);
	expect_hypercall(&vcpu, GPA + 4096, 512, 1 | TO_PRIVATE);
	expect_answered(&vcpu, 0);
	destroy_vcpu(&vcpu);
}

static void the_guest_gets_the_answer(struct world *world)
{
	struct vcpu vcpu;

	enable_hypercall(world);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	expect_hypercall(&vcpu, GPA, 1, TO_PRIVATE);
	expect_answered(&vcpu, EINVAL);
	expect_hypercall(&vcpu, GPA, 1, TO_PRIVATE);
	expect_answered(&vcpu, EAGAIN);
	destroy_vcpu(&vcpu);
}

static void an_snp_guest_ends_with_an_error(struct world *world)
{
	static const uint64_t errors[] = { EINVAL, EAGAIN };
	struct vcpu vcpu;
	uint64_t result;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		make_vcpu(world, &vcpu);
		expect_hypercall(&vcpu, GPA, 1, TO_PRIVATE);
		expect_value(world->driver->answer(&vcpu, errors[i], &result), GUEST_EXIT);
		expect_value(vcpu.exit.reason, EXIT_SYSTEM_EVENT);
		destroy_vcpu(&vcpu);
	}
}

/* KVM answers these itself. The simulator hands on whatever there is, to try its host with. */
static void hypercalls_that_kvm_refuses(struct world *world)
{
	struct vcpu vcpu;

	enable_hypercall(world);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	expect_value(world->driver->hypercall(&vcpu, GPA + 1, 1, TO_PRIVATE), GUEST_DONE);
	expect_value(world->driver->hypercall(&vcpu, GPA + 512, 1, 0), GUEST_DONE);
	expect_value(world->driver->hypercall(&vcpu, GPA, 0, TO_PRIVATE), GUEST_DONE);
	expect_hypercall(&vcpu, GPA, 1, TO_PRIVATE);
	expect_answered(&vcpu, 0);
	destroy_vcpu(&vcpu);
}

/* The host must look: KVM hands it on as it came. */
static void hypercall_brings_any_values(struct world *world)
{
	static const uint64_t pages[] = { UINT64_C(1) << 52, (UINT64_C(1) << 52) - 1, UINT64_MAX };
	struct vcpu vcpu;
	unsigned int i;

	enable_hypercall(world);
	make_vcpu(world, &vcpu);
	for (i = 0; i < 3; i++) {
		expect_hypercall(&vcpu, GPA, pages[i], TO_PRIVATE);
		expect_answered(&vcpu, 0);
	}
	destroy_vcpu(&vcpu);
}

static void illegal_answers_fail(struct world *world)
{
	static const uint64_t illegal[] = { 1, 5, (uint64_t)-EINVAL, (uint64_t)-EAGAIN,
					    UINT64_C(1) << 32 };
	struct vcpu vcpu;
	uint64_t result;
	unsigned int i;

	make_vcpu(world, &vcpu);
	for (i = 0; i < sizeof(illegal) / sizeof(illegal[0]); i++) {
		expect_hypercall(&vcpu, GPA, 1, TO_PRIVATE);
		expect(world->driver->answer(&vcpu, illegal[i], &result) < 0);
	}
	destroy_vcpu(&vcpu);
}

/* Nothing can be converted; the guest tells what it would not have encrypted. */
static void a_notice_without_private_memory(struct world *world)
{
	struct vcpu vcpu;
	uint64_t result;
	void *host = map_anonymous(world, world->page);

	enable_hypercall(world);
	expect_value(world->traits.region2 ? set_slot(world, 0, 0, GPA, world->page, host, -1, 0)
					   : 0,
		     0);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	if (world->traits.region2)
		guest_must_store(&vcpu, GPA, 0x77, 0);
	expect_hypercall(&vcpu, GPA, world->page / 4096, TO_PRIVATE);
	expect_value(world->driver->answer(&vcpu, 0, &result), GUEST_DONE);
	expect_value(result, 0);
	if (world->traits.region2)
		expect_value(guest_must_load(&vcpu, GPA, 0), 0x77);
	destroy_vcpu(&vcpu);
}

static void a_mismatch_exits_with_what_the_guest_wanted(struct world *world)
{
	const uint64_t page = world->page;
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 4 * page);
	make_vcpu(world, &vcpu);
	expect_memory_fault(&vcpu, GPA + page + 8, GUEST_PRIVATE, FAULT_PRIVATE);
	expect_memory_fault(&vcpu, GPA + page + 8, GUEST_PRIVATE | GUEST_WRITE, FAULT_PRIVATE);
	convert(&memory, page, page, true);
	guest_must_store(&vcpu, GPA + page + 8, 0x99, GUEST_PRIVATE);
	expect_value(guest_must_load(&vcpu, GPA + page + 8, GUEST_PRIVATE), 0x99);
	expect_memory_fault(&vcpu, GPA + page + 8, 0, 0);
	expect_memory_fault(&vcpu, GPA + page + 8, GUEST_WRITE, 0);
	/* Its neighbours are shared. */
	guest_must_store(&vcpu, GPA, 1, 0);
	guest_must_store(&vcpu, GPA + 2 * page, 2, 0);
	convert(&memory, page, page, false);
	guest_must_store(&vcpu, GPA + page + 8, 0x98, 0);
	destroy_vcpu(&vcpu);
}

/* The address is private, and no slot there has private memory. */
static void nothing_private_behind_a_private_page(struct world *world)
{
	const uint32_t access = private_access(world);
	const uint64_t page = world->page;
	void *host = map_anonymous(world, 2 * page);
	struct vcpu vcpu;

	expect_value(set_slot(world, 0, 0, GPA, 2 * page, host, -1, 0), 0);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA + 8, 0x19, 0);
	expect_value(set_vm_attributes(world, GPA, page, PRIVATE), 0);
	expect_memory_fault(&vcpu, GPA + 8, access, FAULT_PRIVATE);
	expect_memory_fault(&vcpu, GPA + 8, access | GUEST_WRITE, FAULT_PRIVATE);
	guest_must_store(&vcpu, GPA + page, 1, 0);
	expect_value(set_vm_attributes(world, GPA, page, 0), 0);
	expect_value(guest_must_load(&vcpu, GPA + 8, 0), 0x19);
	destroy_vcpu(&vcpu);
}

static void poisoned_memory_is_no_conversion(struct world *world)
{
	const uint32_t access = private_access(world);
	struct memory memory;
	struct vcpu vcpu;
	uint32_t value;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, world->page, true);
	guest_must_store(&vcpu, GPA, 1, access);
	expect_value(world->driver->poison(world, memory.fd, 0), 0);
	expect_value(guest_load(&vcpu, GPA, &value, access), GUEST_EXIT);
	expect_value(vcpu.exit.error, EHWPOISON);
	expect_value(vcpu.exit.reason, EXIT_MEMORY_FAULT);
	expect_value(vcpu.exit.fault.gpa, GPA);
	destroy_vcpu(&vcpu);
}

/* Whatever is converted under it, it goes on. */
static void software_protected_guests_never_fault(struct world *world)
{
	const uint64_t page = world->page;
	struct memory memory;
	struct vcpu vcpu;
	unsigned int i;

	make_memory(world, &memory, 0, GPA, 4 * page);
	make_vcpu(world, &vcpu);
	for (i = 0; i < 16; i++) {
		convert(&memory, i % 4 * page, page, i / 4 % 2 == 0);
		guest_must_store(&vcpu, GPA + i % 4 * page, i, i % 2 ? GUEST_PRIVATE : 0);
		expect_value(guest_must_load(&vcpu, GPA + i % 4 * page, 0), i);
	}
	destroy_vcpu(&vcpu);
}

/* It asks by the hypercall, and sees what came of it. */
static void software_protected_guests_ask_by_hypercall(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;
	uint64_t result = 1;

	make_memory(world, &memory, 0, GPA, world->page);
	enable_hypercall(world);
	make_vcpu(world, &vcpu);
	need_guest_of_its_own(&vcpu);
	guest_must_store(&vcpu, GPA, 0x31, 0);
	expect_hypercall(&vcpu, GPA, world->page / 4096, TO_PRIVATE);
	convert(&memory, 0, world->page, true);
	expect_value(world->driver->answer(&vcpu, 0, &result), GUEST_DONE);
	expect_value(result, 0);
	expect_value(guest_must_load(&vcpu, GPA, 0), memory.single ? 0x31 : 0);
	destroy_vcpu(&vcpu);
}

struct pre_fault {
	uint64_t gpa;
	uint64_t size;
	uint64_t flags;
	uint64_t padding[5];
};

static int64_t prefault(struct vcpu *vcpu, struct pre_fault *range)
{
	return kvm_ioctl_at(vcpu->world, vcpu->fd, KVM_PRE_FAULT_MEMORY, range);
}

static void prefault_writes_progress(struct world *world)
{
	const uint64_t page = world->page;
	struct pre_fault range = { .gpa = GPA, .size = 4 * page };
	struct memory memory;
	struct vcpu vcpu;

	if (world->traits.access == ACCESS_FROM_GUEST)
		case_skipped("needs a VM that is not to be launched");
	make_memory(world, &memory, 0, GPA, 4 * page);
	make_vcpu(world, &vcpu);
	put_byte(memory.host, 1);
	expect_value(prefault(&vcpu, &range), 0);
	expect_value(range.gpa, GPA + 4 * page);
	expect_value(range.size, 0);
	expect_value(guest_must_load(&vcpu, GPA, 0), 1);
	if (world->traits.private_memory) {
		convert(&memory, page, 2 * page, true);
		range = (struct pre_fault){ .gpa = GPA, .size = 4 * page };
		expect_value(prefault(&vcpu, &range), 0);
		expect_value(range.size, 0);
	}
	destroy_vcpu(&vcpu);
}

static void prefault_refusals(struct world *world)
{
	const uint64_t page = world->page;
	struct pre_fault range = { .gpa = HOLE_GPA, .size = page };
	struct memory memory;
	struct vcpu vcpu;

	if (world->traits.access == ACCESS_FROM_GUEST)
		case_skipped("needs a VM that is not to be launched");
	make_memory(world, &memory, 0, GPA, 2 * page);
	make_vcpu(world, &vcpu);
	expect_value(prefault(&vcpu, &range), -ENOENT);
	expect_value(range.size, page);
	range = (struct pre_fault){ .gpa = GPA, .size = 0 };
	expect_value(prefault(&vcpu, &range), -EINVAL);
	range = (struct pre_fault){ .gpa = GPA + 1, .size = page };
	expect_value(prefault(&vcpu, &range), -EINVAL);
	range = (struct pre_fault){ .gpa = GPA, .size = page, .flags = 1 };
	expect_value(prefault(&vcpu, &range), -EINVAL);
	/* What was done before the hole is done. */
	range = (struct pre_fault){ .gpa = GPA, .size = 4 * page };
	expect_either(prefault(&vcpu, &range), 0, -ENOENT);
	expect_value(range.gpa, GPA + 2 * page);
	expect_value(range.size, 2 * page);
	destroy_vcpu(&vcpu);
}

static void prefault_before_launch(struct world *world)
{
	struct pre_fault range = { .gpa = GPA, .size = world->page };
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	convert(&memory, 0, world->page, true);
	expect_value(prefault(&vcpu, &range), -EOPNOTSUPP);
	destroy_vcpu(&vcpu);
}

#define HYPERCALL_GUEST (NEED_HYPERCALL | NEED_GUEST)

const struct conformance_case exit_cases[] = {
	{ "only the hypercalls announced can exit", "CAP", NEED_HYPERCALL,
	  unknown_hypercalls_cannot_exit },
	{ "a hypercall that is not enabled does not exit", "E1", HYPERCALL_GUEST | NEED_NOT_SNP,
	  a_hypercall_that_is_not_enabled },
	{ "the hypercall brings its arguments", "E1", HYPERCALL_GUEST,
	  hypercall_brings_its_arguments },
	{ "a hypercall that is not aligned, or empty, does not exit", "E1",
	  HYPERCALL_GUEST | NEED_REAL, hypercalls_that_kvm_refuses },
	{ "the hypercall brings values that overflow", "E1", HYPERCALL_GUEST | NEED_SIMULATOR,
	  hypercall_brings_any_values },
	{ "the guest gets the answer", "E1", HYPERCALL_GUEST | NEED_NOT_SNP,
	  the_guest_gets_the_answer },
	{ "SNP: a guest that gets an error ends", "E1", HYPERCALL_GUEST | NEED_SNP,
	  an_snp_guest_ends_with_an_error },
	{ "SNP: KVM_RUN fails on an illegal answer", "E1", HYPERCALL_GUEST | NEED_SNP,
	  illegal_answers_fail },
	{ "without private memory the hypercall is a notice", "E1", HYPERCALL_GUEST | NEED_ORDINARY,
	  a_notice_without_private_memory },
	{ "a mismatch exits with what the guest wanted", "E2",
	  NEED_PRIVATE | NEED_OWN_ACCESS | NEED_GUEST,
	  a_mismatch_exits_with_what_the_guest_wanted },
	{ "private where no memory can be exits", "E2 S6", NEED_PER_VM | NEED_GUEST,
	  nothing_private_behind_a_private_page },
	{ "poisoned memory exits with EHWPOISON", "E2", NEED_PRIVATE | NEED_GUEST | NEED_SIMULATOR,
	  poisoned_memory_is_no_conversion },
	{ "software-protected guests never fault to convert", "E3",
	  NEED_TRACKED_ACCESS | NEED_GUEST, software_protected_guests_never_fault },
	{ "software-protected guests ask by the hypercall", "E3 E1",
	  NEED_TRACKED_ACCESS | HYPERCALL_GUEST, software_protected_guests_ask_by_hypercall },
	{ "KVM_PRE_FAULT_MEMORY writes its progress", "E4",
	  NEED_PREFAULT | NEED_GUEST_MEMFD | NEED_GUEST, prefault_writes_progress },
	{ "KVM_PRE_FAULT_MEMORY: what is refused", "E4",
	  NEED_PREFAULT | NEED_GUEST_MEMFD | NEED_GUEST, prefault_refusals },
	{ "KVM_PRE_FAULT_MEMORY before an SNP launch is over", "E4",
	  NEED_PREFAULT | NEED_SNP | NEED_GUEST, prefault_before_launch },
	{ NULL, NULL, 0, NULL },
};
