// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fuzzes exits: a VM of some kind with some layout, whose vCPU leaves again and again with any
 * contents of kvm_run, while pages are pinned, converted and unplugged, and the kernel fails.
 *
 * An input is a byte for the kind, one for the sections, one for how patient the VMM is, and then
 * operations, each a byte and what it takes.
 */
#include "fuzz.h"

#include "libgmem/uapi/kvm.h"

#include <errno.h>
#include <gmem.h>
#include <gmem/sim.h>
#include <stdbool.h>
#include <string.h>

#define INPUT_MAX 4096u
#define OPERATIONS_MAX 256u
#define PAGES 16u /* of a region */
#define SECTIONS 4u
#define PINS 8u
#define RUN_BYTES 128u /* of kvm_run: all that is looked at, and some more */

static const struct kind {
	uint32_t preset;
	uint32_t vm_type;
	uint32_t backing;
} kinds[] = {
	{ GMEM_SIM_LINUX_6_18, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_SPLIT },
	{ GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_GUEST_MEMFD },
	{ GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SW_PROTECTED, GMEM_BACKING_SPLIT },
	{ GMEM_SIM_LINUX_6_18, GMEM_VM_TYPE_SNP, GMEM_BACKING_SPLIT },
	{ GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SNP, GMEM_BACKING_GUEST_MEMFD },
	{ GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_DEFAULT, GMEM_BACKING_PLAIN },
};

/* What is left of the input; zeros when nothing is. */
struct input {
	const uint8_t *data;
	size_t size;
};

struct world {
	const struct kind *kind;
	struct gmem_sim *sim;
	struct gmem_kernel kernel;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	struct gmem_region *region[SECTIONS];
	struct gmem_pin pins[PINS];
	struct gmem_kvm_run *run;
	int vm_fd;
	int vcpu_fd;
	int answer; /* of the retry policy */
	uint64_t page;
};

static void take(struct input *input, void *to, size_t size)
{
	size_t left = size < input->size ? size : input->size;

	memset(to, 0, size);
	if (left)
		memcpy(to, input->data, left);
	input->data += left;
	input->size -= left;
}

static uint8_t take_byte(struct input *input)
{
	uint8_t byte;

	take(input, &byte, 1);
	return byte;
}

/* A page among those that may be there, or any address at all. */
static uint64_t take_gpa(struct input *input, const struct world *world)
{
	uint8_t byte = take_byte(input);
	uint64_t any;

	if (byte < 128)
		return byte * world->page;
	take(input, &any, sizeof(any));
	return any;
}

static uint64_t take_pages(struct input *input)
{
	uint8_t byte = take_byte(input);
	uint64_t any;

	if (byte < 128)
		return byte;
	take(input, &any, sizeof(any));
	return any;
}

static int retry(const struct gmem_report *so_far, void *opaque)
{
	const struct world *world = opaque;

	(void)so_far;
	return world->answer;
}

static void make_vm(struct world *world, uint8_t patience)
{
	struct gmem_vm_config *config;
	struct gmem_vm_info info;
	void *run;

	/* Never GMEM_RETRY_AGAIN: nobody would end the wait. */
	world->answer = GMEM_RETRY_SKIP + patience % 3;
	promise(gmem_vm_config_new(&config) == 0);
	gmem_vm_config_set_type(config, world->kind->vm_type);
	gmem_vm_config_set_flags(config, (patience >> 2 & 3) % 3);
	gmem_vm_config_set_retry(config, patience & 16 ? 0 : UINT64_MAX, retry, world, NULL);
	gmem_vm_config_set_prefault(config, patience & 32 ? 4 * 4096 : 0);
	gmem_vm_config_set_discard_limit(config, patience & 64 ? 8 * 4096 : 0);
	promise(gmem_sim_new(world->kind->preset, &world->sim) == 0);
	promise(gmem_sim_get_kernel(world->sim, &world->kernel) == 0);
	promise(gmem_ctx_new(&world->ctx) == 0);
	gmem_ctx_set_kernel(world->ctx, &world->kernel);
	world->vm_fd = gmem_sim_create_vm(world->sim, world->kind->vm_type);
	promise(world->vm_fd >= 0);
	promise(gmem_vm_new(world->ctx, world->vm_fd, config, &world->vm) == 0);
	gmem_vm_config_free(config);
	world->vcpu_fd = gmem_sim_create_vcpu(world->sim, world->vm_fd, &run);
	promise(world->vcpu_fd >= 0);
	world->run = run;
	promise(gmem_vm_get_info(world->vm, &info) == 0);
	world->page = info.page_size;
	promise(gmem_vm_enable_exits(world->vm) == 0);
}

/* Two bits for each: none, memory, plain or read-only memory, a device or a reserved range. */
static void make_section(struct world *world, unsigned int index, unsigned int what)
{
	uint64_t gpa = (uint64_t)(index * 2 + 1) * PAGES * world->page / 2;
	uint64_t size = PAGES / 2 * world->page;
	uint32_t flags = what == 3 ? GMEM_MAP_DEVICE : 0;
	struct gmem_region_config *config;

	if (!what)
		return;
	if (what == 2 && index % 2)
		flags = GMEM_MAP_READONLY;
	promise(gmem_region_config_new(&config) == 0);
	gmem_region_config_set_backing(config,
				       what == 1 ? world->kind->backing : GMEM_BACKING_PLAIN);
	gmem_region_config_set_state(config, GMEM_SHARED);
	promise(gmem_region_new(world->vm, PAGES * world->page, config, &world->region[index]) ==
		0);
	gmem_region_config_free(config);
	promise(gmem_vm_map(world->vm, gpa, world->region[index], 0, size, GMEM_SLOT_AUTO, flags) ==
		0);
	/* The other half beside it, in one file, or the far end. */
	if (what == 1)
		promise(gmem_vm_map(world->vm, index % 2 ? gpa + size : 100 * world->page,
				    world->region[index], size, size, GMEM_SLOT_AUTO, 0) != -EIO);
}

static void make_sections(struct world *world, uint8_t layout)
{
	unsigned int i;

	for (i = 0; i < SECTIONS; i++)
		make_section(world, i, layout >> 2 * i & 3);
	/* May overlap nothing but its like: whether it is there does not matter. */
	(void)gmem_vm_map(world->vm, 90 * world->page, NULL, 0, 4 * world->page, GMEM_SLOT_NONE, 0);
}

static void close_fd(struct world *world, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };

	promise(world->kernel.call(GMEM_SYS_CLOSE, arg, world->kernel.opaque) == 0);
}

static void free_world(struct world *world)
{
	unsigned int i;

	for (i = 0; i < PINS; i++)
		gmem_vm_unpin(world->vm, &world->pins[i]);
	gmem_vm_free(world->vm);
	for (i = 0; i < SECTIONS; i++)
		gmem_region_free(world->region[i]);
	gmem_ctx_free(world->ctx);
	close_fd(world, world->vcpu_fd);
	close_fd(world, world->vm_fd);
	gmem_sim_free(world->sim);
}

static void judge_answer(const struct world *world, int rc, const struct gmem_report *report)
{
	uint64_t answer = world->run->hypercall.ret;

	promise(rc == GMEM_EXIT_RESUME || rc == GMEM_EXIT_REPEAT);
	promise(answer == 0 || answer == EINVAL || answer == EAGAIN);
	promise(!answer == !report->error);
	promise(rc != GMEM_EXIT_REPEAT || answer == EAGAIN);
}

static void judge_fault(int rc, const struct gmem_report *report)
{
	switch (rc) {
	case GMEM_EXIT_RESUME:
		promise(!report->error);
		break;
	case GMEM_EXIT_REPEAT:
		promise(report->error == -EAGAIN);
		break;
	case -EINVAL:
	case -ENOENT:
	case -EACCES:
	case -EAGAIN:
	case -ENOMEM:
	case -EIO:
		promise(report->error == rc);
		break;
	default:
		promise(false);
	}
}

/* Whatever kvm_run holds. */
static void handle(struct world *world, int run_error)
{
	uint8_t before[RUN_BYTES];
	struct gmem_report report;
	const struct gmem_kvm_run *run = world->run;
	const void *bytes = run;
	uint32_t reason = run->exit_reason;
	int rc;

	memcpy(before, bytes, sizeof(before));
	memset(&report, 0xee, sizeof(report));
	rc = gmem_vm_handle_exit(world->vm, world->vcpu_fd, world->run, run_error, &report);
	promise(report.stage >= GMEM_STAGE_PLAN && report.stage <= GMEM_STAGE_DONE);
	promise(report.error <= 0 && (report.stage == GMEM_STAGE_DONE) == !report.error);
	if (rc == GMEM_EXIT_NOT_MINE) {
		promise(!memcmp(before, bytes, sizeof(before)) && !report.error);
		return;
	}
	promise(world->kind->vm_type != GMEM_VM_TYPE_DEFAULT);
	if (reason == GMEM_KVM_EXIT_HYPERCALL) {
		promise(!run_error && run->hypercall.nr == GMEM_KVM_HC_MAP_GPA_RANGE);
		judge_answer(world, rc, &report);
	} else {
		promise(reason == GMEM_KVM_EXIT_MEMORY_FAULT && run_error == EFAULT);
		promise(!memcmp(before, bytes, sizeof(before)));
		judge_fault(rc, &report);
	}
}

static int take_error(struct input *input)
{
	static const int errors[] = { 0, EFAULT, EINTR, EHWPOISON, EAGAIN };

	return errors[take_byte(input) % (sizeof(errors) / sizeof(errors[0]))];
}

static void any_exit(struct world *world, struct input *input)
{
	uint8_t *bytes = (uint8_t *)world->run;

	take(input, bytes + 8, RUN_BYTES - 8);
	handle(world, take_error(input));
}

static void hypercall(struct world *world, struct input *input)
{
	uint64_t gpa = take_gpa(input, world), pages = take_pages(input);
	uint64_t attributes = take_pages(input);

	world->run->exit_reason = GMEM_KVM_EXIT_HYPERCALL;
	world->run->hypercall.nr = GMEM_KVM_HC_MAP_GPA_RANGE;
	world->run->hypercall.args[0] = gpa;
	world->run->hypercall.args[1] = pages;
	world->run->hypercall.args[2] = attributes;
	world->run->hypercall.ret = 0;
	handle(world, 0);
}

static void fault(struct world *world, struct input *input)
{
	uint8_t flags = take_byte(input);

	world->run->exit_reason = GMEM_KVM_EXIT_MEMORY_FAULT;
	world->run->memory_fault.flags =
		flags % 4 < 2 ? flags % 4 * GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE : flags;
	world->run->memory_fault.gpa = take_gpa(input, world);
	world->run->memory_fault.size = flags & 64 ? take_gpa(input, world) : world->page;
	handle(world, EFAULT);
}

/* The guest itself, and what it left for. */
static void run_guest(struct world *world, struct input *input)
{
	uint64_t gpa = take_gpa(input, world);
	uint8_t byte = take_byte(input);
	int rc;

	if (byte & 8)
		rc = gmem_sim_guest_map_gpa_range(world->sim, world->vcpu_fd, gpa,
						  take_pages(input), take_pages(input));
	else
		rc = gmem_sim_guest_access(world->sim, world->vcpu_fd, gpa, &byte, 1,
					   byte & (GMEM_SIM_WRITE | GMEM_SIM_PRIVATE));
	if (rc == 1 || rc == -EFAULT || rc == -EHWPOISON)
		handle(world, rc == 1 ? 0 : -rc);
}

static void pin(struct world *world, struct input *input)
{
	struct gmem_pin *slot = &world->pins[take_byte(input) % PINS];
	uint64_t gpa = take_gpa(input, world);

	if (slot->host)
		gmem_vm_unpin(world->vm, slot);
	else
		(void)gmem_vm_pin(world->vm, gpa, 1 + take_byte(input), 0, slot);
}

static void convert(struct world *world, struct input *input)
{
	uint64_t gpa = take_gpa(input, world), size = take_pages(input) * world->page;
	uint32_t flags = take_byte(input) & 0x1f;

	(void)gmem_vm_convert(world->vm, gpa, size, flags & 1 ? GMEM_PRIVATE : GMEM_SHARED,
			      flags & ~1u, NULL);
}

static void plug(struct world *world, struct input *input)
{
	uint64_t gpa = take_gpa(input, world), size = take_pages(input) * world->page;
	uint8_t what = take_byte(input);

	if (what & 1)
		(void)gmem_vm_populate(world->vm, gpa, size, 0, NULL);
	else
		(void)gmem_vm_discard(world->vm, gpa, size, what & 2 ? GMEM_DISCARD_ABSENT : 0,
				      NULL);
}

/* A reference that the kernel sees, which goes after some tries, or stays. */
static void refer(struct world *world, struct input *input)
{
	const struct gmem_region *region = world->region[take_byte(input) % SECTIONS];
	uint64_t offset = take_byte(input) % PAGES * world->page;
	uint8_t tries = take_byte(input);
	struct gmem_region_info info;

	if (!region || gmem_region_get_info(region, &info) || info.guest_memfd < 0)
		return;
	if (tries & 128)
		(void)gmem_sim_unpin(world->sim, info.guest_memfd, offset, world->page);
	else
		(void)gmem_sim_pin(world->sim, info.guest_memfd, offset, world->page, tries);
}

/* EAGAIN is not among them: the kernel does not say it of a page that is private already. */
static void fail_next(struct world *world, struct input *input)
{
	static const int errors[] = { -EPERM, -ENOMEM, -EINTR, -EIO, -EINVAL };
	uint8_t byte = take_byte(input);
	uint32_t request = byte & 64 ? GMEM_KVM_PRE_FAULT_MEMORY : GMEM_KVM_SET_MEMORY_ATTRIBUTES2;

	if (!(byte & 64) && world->kind->preset == GMEM_SIM_LINUX_6_18)
		request = GMEM_KVM_SET_MEMORY_ATTRIBUTES;
	promise(gmem_sim_fail(world->sim, GMEM_SYS_IOCTL, request, 1 + (byte >> 3 & 7),
			      errors[byte % 8 % 5], 0) == 0);
}

static void operate(struct world *world, struct input *input)
{
	static void (*const operations[])(struct world *, struct input *) = {
		hypercall, fault, any_exit, run_guest, pin, convert, plug, fail_next, refer,
	};

	operations[take_byte(input) % (sizeof(operations) / sizeof(operations[0]))](world, input);
}

static uint32_t kernel_state(struct world *world, const struct gmem_run *run, uint64_t at)
{
	bool per_vm = world->kind->preset == GMEM_SIM_LINUX_6_18;
	struct gmem_sim_page page;

	if (world->kind->vm_type == GMEM_VM_TYPE_DEFAULT || (!per_vm && run->guest_memfd < 0))
		return GMEM_SHARED;
	promise(gmem_sim_get_page(world->sim, per_vm ? world->vm_fd : run->guest_memfd,
				  per_vm ? run->gpa + at : run->offset + at, &page) == 0);
	return page.state;
}

/* What the library says is what the simulator has. */
static void compare(struct world *world)
{
	struct gmem_run run;
	uint64_t gpa = 0, at;

	while (gmem_vm_next_run(world->vm, gpa, &run) == 1) {
		for (at = 0; at < run.size && run.state & (GMEM_SHARED | GMEM_PRIVATE);
		     at += world->page)
			promise(kernel_state(world, &run, at) == run.state);
		gpa = run.gpa + run.size;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { .data = data, .size = size };
	struct world world = { 0 };
	unsigned int i;

	if (size > INPUT_MAX)
		return 0;
	world.kind = &kinds[take_byte(&input) % (sizeof(kinds) / sizeof(kinds[0]))];
	i = take_byte(&input);
	make_vm(&world, take_byte(&input));
	make_sections(&world, (uint8_t)i);
	for (i = 0; i < OPERATIONS_MAX && input.size; i++) {
		operate(&world, &input);
		if (i % 16 == 0)
			compare(&world);
	}
	compare(&world);
	free_world(&world);
	return 0;
}
