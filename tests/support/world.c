// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM on the stand-in for KVM, and comparisons of its layout. */
#include "world.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Needs what stands above. */
#include <cmocka.h>

#define SLOTS_LOOKED_AT 512u
#define SPACES_LOOKED_AT 2u
#define LARGE_REGION_ADDRESS (UINT64_C(1) << 44)

static int pause_vcpus(void *opaque)
{
	struct world *world = opaque;

	world->pauses++;
	world->calls_at_pause = world_slot_calls(world);
	if (world->while_paused)
		world->while_paused(world);
	return world->pause_result;
}

static void resume_vcpus(void *opaque)
{
	struct world *world = opaque;

	world->resumes++;
	world->calls_at_resume = world_slot_calls(world);
	if (world->when_resumed)
		world->when_resumed(world);
}

static int64_t fail_by_mask(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct world *world = opaque;
	uint64_t mask = world->fail_mask;
	int64_t result;

	if (world->serve && world->serve(world, nr, arg, &result))
		return result;
	if (nr != GMEM_SYS_IOCTL || !mask)
		return world->inner.call(nr, arg, world->inner.opaque);
	world->fail_mask = mask >> 1;
	return mask & 1 ? -world->fail_error : world->inner.call(nr, arg, world->inner.opaque);
}

static void make_vm(struct world *world, const struct world_config *wanted)
{
	struct gmem_vm_config *config;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_tracking(config, wanted->tracking);
	gmem_vm_config_set_slots(config, wanted->first_slot, wanted->slot_count);
	gmem_vm_config_set_flags(config, wanted->flags);
	gmem_vm_config_set_type(config, wanted->type);
	if (wanted->pausing)
		gmem_vm_config_set_pause(config, pause_vcpus, resume_vcpus, world, NULL);
	if (wanted->deadline_ns || wanted->retry)
		gmem_vm_config_set_retry(config, wanted->deadline_ns, wanted->retry, world, NULL);
	assert_int_equal(gmem_vm_new(world->ctx, world->vm_fd, config, &world->vm), 0);
	gmem_vm_config_free(config);
	logs_reset(world->logs);
}

void world_open(struct world *world, const struct world_config *config)
{
	struct gmem_kernel kernel;

	memset(world, 0, sizeof(*world));
	world->fake = fake_kvm_new(config->kvm);
	assert_non_null(world->fake);
	kernel = fake_kvm_kernel(world->fake);
	world->leaks = leaks_new(&kernel);
	kernel = leaks_kernel(world->leaks);
	world->faults = faults_new(&kernel);
	world->inner = faults_kernel(world->faults);
	kernel = (struct gmem_kernel){ fail_by_mask, world };
	world->logs = logs_new();
	world->ctx = logs_new_ctx(world->logs, &kernel);
	world->vm_fd = config->without_kvm ? -1 : fake_kvm_vm_fd(world->fake);
	world->page = fake_kvm_page_size(world->fake);
	world->start = leaks_take(world->leaks);
	make_vm(world, config);
	fake_kvm_reset_calls(world->fake);
}

void world_free_vm(struct world *world)
{
	gmem_vm_free(world->vm);
	world->vm = NULL;
	gmem_ctx_free(world->ctx);
	world->ctx = NULL;
}

void world_close(struct world *world)
{
	if (world->vm)
		world_free_vm(world);
	expect_no_message(world->logs);
	assert_no_leaks(world->leaks, world->start);
	logs_free(world->logs);
	faults_free(world->faults);
	leaks_free(world->leaks);
	fake_kvm_free(world->fake);
}

struct gmem_region *world_region(struct world *world, const char *name, uint64_t pages,
				 uint32_t backing, uint32_t state)
{
	struct gmem_region_config *config;
	struct gmem_region *region;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_name(config, name);
	gmem_region_config_set_tag(config, (uintptr_t)name);
	gmem_region_config_set_backing(config, backing);
	gmem_region_config_set_state(config, state);
	gmem_region_config_set_flags(config, GMEM_REGION_NO_RESERVE);
	assert_int_equal(gmem_region_new(world->vm, pages * world->page, config, &region), 0);
	gmem_region_config_free(config);
	return region;
}

struct gmem_region *world_large_region(struct world *world, const char *name, uint64_t pages)
{
	struct gmem_region_config *config;
	struct gmem_region *region;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_name(config, name);
	gmem_region_config_set_mapping(config, (void *)(uintptr_t)LARGE_REGION_ADDRESS,
				       GMEM_MEMORY_DEVICE, 0);
	assert_int_equal(gmem_region_new(world->vm, pages * world->page, config, &region), 0);
	gmem_region_config_free(config);
	return region;
}

struct gmem_region_info world_region_info(const struct gmem_region *region)
{
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(region, &info), 0);
	return info;
}

void world_set_private(struct gmem_region *region, uint64_t first, uint64_t count, bool private)
{
	assert_non_null(region->shadow);
	gmem_state_set(&region->shadow->state, first, count, private);
}

int world_do(struct world *world, const struct step *step)
{
	struct gmem_vm *vm = world->vm;

	switch (step->kind) {
	case STEP_MAP:
		return gmem_vm_map(vm, step->gpa, step->region, step->offset, step->size,
				   step->slot, step->flags);
	case STEP_MAP_ALIAS:
		return gmem_vm_map_alias(vm, step->address_space, step->gpa, step->region,
					 step->offset, step->size, step->slot, step->flags);
	case STEP_UNMAP:
		return gmem_vm_unmap(vm, step->gpa, step->size);
	case STEP_UNMAP_ALIAS:
		return gmem_vm_unmap_alias(vm, step->address_space, step->gpa, step->size);
	default:
		return gmem_vm_set_map_flags(vm, step->gpa, step->size, step->flags);
	}
}

int world_add_step(struct gmem_change *change, const struct step *step)
{
	switch (step->kind) {
	case STEP_MAP:
		return gmem_change_map(change, step->gpa, step->region, step->offset, step->size,
				       step->slot, step->flags);
	case STEP_MAP_ALIAS:
		return gmem_change_map_alias(change, step->address_space, step->gpa, step->region,
					     step->offset, step->size, step->slot, step->flags);
	case STEP_UNMAP:
		return gmem_change_unmap(change, step->gpa, step->size);
	case STEP_UNMAP_ALIAS:
		return gmem_change_unmap_alias(change, step->address_space, step->gpa, step->size);
	default:
		return gmem_change_set_map_flags(change, step->gpa, step->size, step->flags);
	}
}

const char *world_function(enum step_kind kind)
{
	switch (kind) {
	case STEP_MAP:
		return "gmem_vm_map";
	case STEP_MAP_ALIAS:
		return "gmem_vm_map_alias";
	case STEP_UNMAP:
		return "gmem_vm_unmap";
	case STEP_UNMAP_ALIAS:
		return "gmem_vm_unmap_alias";
	default:
		return "gmem_vm_set_map_flags";
	}
}

size_t world_slot_calls(struct world *world)
{
	return fake_kvm_count_ioctl(world->fake, GMEM_KVM_SET_USER_MEMORY_REGION) +
	       fake_kvm_count_ioctl(world->fake, GMEM_KVM_SET_USER_MEMORY_REGION2);
}

size_t world_attribute_calls(struct world *world)
{
	return fake_kvm_count_ioctl(world->fake, GMEM_KVM_SET_MEMORY_ATTRIBUTES);
}

struct fake_slot world_slot_call(struct world *world, size_t n)
{
	const struct gmem_kvm_userspace_memory_region2 *region;
	struct fake_call call;

	if (!fake_kvm_get_ioctl(world->fake, GMEM_KVM_SET_USER_MEMORY_REGION2, n, &call))
		assert_true(
			fake_kvm_get_ioctl(world->fake, GMEM_KVM_SET_USER_MEMORY_REGION, n, &call));
	region = (const void *)call.data;
	return (struct fake_slot){
		.slot = region->slot,
		.flags = region->flags,
		.gpa = region->guest_phys_addr,
		.size = region->memory_size,
		.userspace_addr = region->userspace_addr,
		.guest_memfd = (int)region->guest_memfd,
		.guest_memfd_offset = region->guest_memfd_offset,
	};
}

uint32_t world_slots_used(struct world *world)
{
	struct gmem_vm_info info;

	assert_int_equal(gmem_vm_get_info(world->vm, &info), 0);
	return info.slots_used;
}

static void take_sections(struct world *world, struct picture *picture)
{
	const struct section_list *list = &world->vm->layout->sections;
	struct gmem_run run;
	uint64_t gpa;
	uint32_t i;

	for (gpa = 0; gmem_vm_next_section(world->vm, gpa, &run) == 1; gpa = run.gpa + run.size) {
		assert_true(picture->section_count < ARRAY_SIZE(picture->sections));
		picture->sections[picture->section_count++] = run;
	}
	for (gpa = 0; gmem_vm_next_run(world->vm, gpa, &run) == 1; gpa = run.gpa + run.size) {
		assert_true(picture->run_count < ARRAY_SIZE(picture->runs));
		picture->runs[picture->run_count++] = run;
	}
	for (i = 0; i < list->count; i++) {
		if (!list->items[i].address_space)
			continue;
		assert_true(picture->alias_count < ARRAY_SIZE(picture->aliases));
		picture->aliases[picture->alias_count++] = list->items[i];
	}
}

static void take_slots(struct world *world, struct picture *picture)
{
	size_t wanted = fake_kvm_slot_count(world->fake, world->vm_fd);
	uint32_t i;

	assert_true(wanted <= ARRAY_SIZE(picture->slots));
	for (i = 0; i < SPACES_LOOKED_AT * SLOTS_LOOKED_AT && picture->slot_count < wanted; i++) {
		uint32_t number = i / SLOTS_LOOKED_AT << GMEM_KVM_SLOT_BITS | i % SLOTS_LOOKED_AT;

		picture->slot_count += fake_kvm_find_slot(world->fake, world->vm_fd, number,
							  &picture->slots[picture->slot_count]);
	}
	/* Or there are slots with higher numbers than this looks at. */
	assert_int_equal(picture->slot_count, wanted);
}

void picture_take(struct world *world, struct picture *picture)
{
	memset(picture, 0, sizeof(*picture));
	take_sections(world, picture);
	if (world->vm_fd >= 0) {
		take_slots(world, picture);
		picture->private_bytes = fake_kvm_gpa_private_bytes(world->fake, world->vm_fd);
	}
	picture->slots_used = world_slots_used(world);
}

static bool same_slot(const struct fake_slot *a, const struct fake_slot *b)
{
	return a->slot == b->slot && a->flags == b->flags && a->gpa == b->gpa &&
	       a->size == b->size && a->userspace_addr == b->userspace_addr &&
	       a->guest_memfd == b->guest_memfd && a->guest_memfd_offset == b->guest_memfd_offset;
}

bool world_same_section(const struct section *a, const struct section *b)
{
	return a->gpa == b->gpa && a->size == b->size && a->offset == b->offset &&
	       a->region == b->region && a->address_space == b->address_space &&
	       a->slot == b->slot && a->flags == b->flags && a->plain == b->plain;
}

static const char *difference(const struct picture *a, const struct picture *b)
{
	size_t i;

	if (a->section_count != b->section_count ||
	    memcmp(a->sections, b->sections, a->section_count * sizeof(a->sections[0])) != 0)
		return "sections";
	if (a->run_count != b->run_count ||
	    memcmp(a->runs, b->runs, a->run_count * sizeof(a->runs[0])) != 0)
		return "runs";
	if (a->alias_count != b->alias_count || a->slot_count != b->slot_count)
		return "number of slots or aliases";
	for (i = 0; i < a->alias_count; i++) {
		if (!world_same_section(&a->aliases[i], &b->aliases[i]))
			return "aliases";
	}
	for (i = 0; i < a->slot_count; i++) {
		if (!same_slot(&a->slots[i], &b->slots[i]))
			return "the kernel's memslots";
	}
	if (a->private_bytes != b->private_bytes)
		return "private bytes";
	return a->slots_used != b->slots_used ? "slots in use" : NULL;
}

void picture_compare(struct world *world, const struct picture *picture, const char *file, int line)
{
	struct picture *now = calloc(1, sizeof(*now));
	const char *what;

	assert_non_null(now);
	picture_take(world, now);
	what = difference(picture, now);
	free(now);
	if (!what)
		return;
	print_error("changed: %s\n", what);
	_fail(file, line);
}

static uint32_t wanted_flags(const struct section *section)
{
	uint32_t flags = 0;

	if (section->flags & GMEM_MAP_DIRTY_LOG)
		flags |= GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	if (section->flags & GMEM_MAP_READONLY)
		flags |= GMEM_KVM_MEM_READONLY;
	return section->plain ? flags : flags | GMEM_KVM_MEM_GUEST_MEMFD;
}

static const char *judge_slot(struct world *world, const struct section *section)
{
	uint32_t number = section->address_space << GMEM_KVM_SLOT_BITS | section->slot;
	struct gmem_region_info info = world_region_info(section->region);
	struct fake_slot slot;

	if (!fake_kvm_find_slot(world->fake, world->vm_fd, number, &slot))
		return "a section's slot is missing";
	if (slot.gpa != section->gpa || slot.size != section->size)
		return "a slot is elsewhere";
	if (slot.userspace_addr != (uintptr_t)info.host + section->offset)
		return "a slot's userspace address is not the section's";
	if (slot.flags != wanted_flags(section))
		return "a slot's flags";
	if (section->plain)
		return slot.guest_memfd == -1 ? NULL : "a plain slot has a guest_memfd";
	if (slot.guest_memfd != info.guest_memfd || slot.guest_memfd_offset != section->offset ||
	    !fake_kvm_slot_is_bound_to(world->fake, world->vm_fd, number, info.guest_memfd))
		return "a slot's guest_memfd";
	return NULL;
}

/* Under per-VM tracking; adds to the sum of what should be private. */
static const char *judge_attributes(struct world *world, const struct section *section,
				    uint64_t *private_bytes)
{
	const struct shadow *shadow = section->region ? section->region->shadow : NULL;
	uint64_t page;

	if (!shadow || world->vm->tracking != GMEM_TRACKING_VM)
		return NULL;
	for (page = 0; page < section->size / world->page; page++) {
		bool private =
			gmem_state_is_private(&shadow->state, section->offset / world->page + page);
		uint64_t attributes = fake_kvm_gpa_attributes(world->fake, world->vm_fd,
							      section->gpa + page * world->page);

		if (private != !!attributes)
			return "an address's attributes";
		*private_bytes += private ? world->page : 0;
	}
	return NULL;
}

/* Sections are in order and do not overlap, unless both are reserved ranges. */
static const char *judge_order(const struct section_list *list)
{
	uint32_t i, j;

	for (i = 0; i < list->count; i++) {
		const struct section *a = &list->items[i];

		for (j = i + 1; j < list->count; j++) {
			const struct section *b = &list->items[j];

			if (a->address_space != b->address_space) {
				if (a->address_space > b->address_space)
					return "address spaces are not in order";
				continue;
			}
			if (a->gpa > b->gpa)
				return "sections are not in order";
			if ((a->region || b->region) && b->gpa < a->gpa + a->size)
				return "sections overlap";
		}
	}
	return NULL;
}

static const char *judge_slots(struct world *world)
{
	const struct section_list *list = &world->vm->layout->sections;
	const char *what = judge_order(list);
	uint32_t slots = 0, i;

	for (i = 0; i < list->count && !what; i++) {
		if (world->vm_fd < 0 || list->items[i].slot == GMEM_SLOT_NONE)
			continue;
		what = judge_slot(world, &list->items[i]);
		slots++;
	}
	if (what)
		return what;
	if (world->vm_fd >= 0 && fake_kvm_slot_count(world->fake, world->vm_fd) != slots)
		return "there are slots without a section";
	return world_slots_used(world) != slots ? "slots_used" : NULL;
}

/* strays: what is private without a section is no matter. */
static const char *judge_all_attributes(struct world *world, bool strays)
{
	const struct section_list *list = &world->vm->layout->sections;
	uint64_t private_bytes = 0;
	const char *what = NULL;
	uint32_t i;

	for (i = 0; i < list->count && !what; i++)
		what = judge_attributes(world, &list->items[i], &private_bytes);
	if (!what && !strays && world->vm_fd >= 0 &&
	    fake_kvm_gpa_private_bytes(world->fake, world->vm_fd) != private_bytes)
		what = "addresses are private without a section";
	return what;
}

static void fail_if(const char *what, const char *file, int line)
{
	if (!what)
		return;
	print_error("kernel and layout differ: %s\n", what);
	_fail(file, line);
}

void world_compare_sections(struct world *world, const char *file, int line)
{
	fail_if(judge_slots(world), file, line);
	fail_if(judge_all_attributes(world, true), file, line);
}

void world_compare_kernel(struct world *world, const char *file, int line)
{
	fail_if(judge_slots(world), file, line);
	fail_if(judge_all_attributes(world, false), file, line);
}

/* Holds the real stderr while what is written goes to a memfd. */
static int real_stderr = -1;

int stderr_begin(void)
{
	int captured = memfd_create("stderr", MFD_CLOEXEC);

	assert_true(captured >= 0);
	fflush(stderr);
	real_stderr = dup(STDERR_FILENO);
	assert_true(real_stderr >= 0 && dup2(captured, STDERR_FILENO) >= 0);
	setenv("GMEM_LOG", "error", 1);
	return captured;
}

void stderr_end(int captured, const char *text, const char *file, int line)
{
	char buffer[2048] = "";
	const char *newline;
	ssize_t size;

	unsetenv("GMEM_LOG");
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	size = pread(captured, buffer, sizeof(buffer) - 1, 0);
	close(captured);
	newline = strchr(buffer, '\n');
	if (size > 0 && newline && !newline[1] && strstr(buffer, text) &&
	    strstr(buffer, "libgmem: error: ") == buffer)
		return;
	print_error("not one line with \"%s\" on stderr: %s\n", text, buffer);
	_fail(file, line);
}

static bool is_eio(struct world *world, const struct forked_call *call, void *opaque)
{
	const char *const wanted[] = { call->name, "fork()", NULL };
	char why[1024];

	if (call->call(opaque) != -EIO) {
		fprintf(stderr, "%s does not return -EIO\n", call->name);
		return false;
	}
	if (logs_check(world->logs, GMEM_LOG_ERROR, wanted, why, sizeof(why)))
		return true;
	fprintf(stderr, "%s: %s\n", call->name, why);
	return false;
}

void expect_eio_in_child(struct world *world, const struct forked_call *calls, size_t count,
			 void *opaque)
{
	bool right = true;
	int status;
	size_t i;
	pid_t child;

	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		for (i = 0; i < count; i++)
			right &= is_eio(world, &calls[i], opaque);
		_exit(!right);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}
