// SPDX-License-Identifier: LGPL-2.1-or-later
/* libgmem on top: what it finds, chooses and refuses on each kernel. Only its public interface. */
#include <gmem.h>
#include <stdio.h>
#include <string.h>

#include "kit.h"
#include "target.h"

/* A context with a log that counts. */
struct library {
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	unsigned int errors;
	char last[256];
};

static void count_message(uint32_t level, const char *text, void *opaque)
{
	struct library *library = opaque;

	library->errors += level == GMEM_LOG_ERROR;
	snprintf(library->last, sizeof(library->last), "%s", text);
}

static int open_library(struct world *world, struct library *library, uint32_t tracking)
{
	struct gmem_vm_config *config = NULL;
	int rc;

	memset(library, 0, sizeof(*library));
	expect_value(gmem_ctx_new(&library->ctx), 0);
	gmem_ctx_set_log(library->ctx, GMEM_LOG_ERROR, count_message, library, NULL);
	gmem_ctx_set_kernel(library->ctx, &world->kernel);
	expect_value(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_tracking(config, tracking);
	rc = gmem_vm_new(library->ctx, world->vm_fd, config, &library->vm);
	gmem_vm_config_free(config);
	return rc;
}

static void close_library(struct library *library)
{
	gmem_vm_free(library->vm);
	gmem_ctx_free(library->ctx);
}

static uint32_t tracking_of(const struct world *world)
{
	static const uint32_t tracking[] = {
		[TRACKED_BY_NOBODY] = GMEM_TRACKING_NONE,
		[TRACKED_BY_VM] = GMEM_TRACKING_VM,
		[TRACKED_BY_FILE] = GMEM_TRACKING_FILE,
	};

	return tracking[world->traits.tracking];
}

static void finds_what_the_vm_has(struct world *world)
{
	const struct traits *traits = &world->traits;
	struct library library;
	struct gmem_vm_info info;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	expect_value(gmem_vm_get_info(library.vm, &info), 0);
	expect_value(info.page_size, world->page);
	expect_value(info.tracking, tracking_of(world));
	expect_value(info.guest_memfd, traits->guest_memfd);
	expect_value(info.private_memory, traits->private_memory);
	expect_value(info.mmap, (traits->flags & FLAG_MMAP) && traits->tracking != TRACKED_BY_VM);
	expect_value(info.guest_memfd_flags, traits->flags);
	expect_value(info.region2, traits->region2);
	expect_value(info.prefault, traits->prefault);
	expect_value(info.memory_fault_exit, traits->memory_fault_info);
	expect_value(info.hypercall_exits >> GMEM_KVM_HC_MAP_GPA_RANGE & 1, traits->hypercall);
	expect_value(info.max_section, GMEM_KVM_MEM_MAX_NR_PAGES * world->page);
	expect(info.address_spaces >= 1 && info.slots > 0);
	close_library(&library);
}

static void a_forced_tracking_that_is_missing_is_refused(struct world *world)
{
	static const uint32_t forced[] = { GMEM_TRACKING_VM, GMEM_TRACKING_FILE };
	struct library library;
	unsigned int i;
	int rc;

	for (i = 0; i < 2; i++) {
		rc = open_library(world, &library, forced[i]);
		if (forced[i] == tracking_of(world)) {
			expect_value(rc, 0);
			expect_value(library.errors, 0);
		} else {
			expect_value(rc, -EOPNOTSUPP);
			expect_value(library.errors, 1);
			expect(!library.vm);
		}
		close_library(&library);
	}
}

static int make_region(struct library *library, uint64_t size, uint32_t backing, uint32_t needs,
		       struct gmem_region **region)
{
	struct gmem_region_config *config = NULL;
	int rc;

	expect_value(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, backing);
	gmem_region_config_set_needs(config, needs);
	rc = gmem_region_new(library->vm, size, config, region);
	gmem_region_config_free(config);
	return rc;
}

static uint32_t automatic_backing(const struct world *world)
{
	switch (world->traits.tracking) {
	case TRACKED_BY_VM:
		return GMEM_BACKING_SPLIT;
	case TRACKED_BY_FILE:
		return GMEM_BACKING_GUEST_MEMFD;
	default:
		return GMEM_BACKING_PLAIN;
	}
}

static void auto_chooses_by_tracking(struct world *world)
{
	struct gmem_region_info info;
	struct gmem_region *region;
	struct library library;
	char text[256];

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	expect_value(make_region(&library, 4 * MIB, GMEM_BACKING_AUTO, 0, &region), 0);
	expect_value(gmem_region_get_info(region, &info), 0);
	expect_value(info.backing, automatic_backing(world));
	expect_value(info.can_be_private, world->traits.private_memory);
	expect_value(info.private_bytes, world->traits.private_memory ? 4 * MIB : 0);
	expect_value(info.guest_memfd >= 0, info.backing != GMEM_BACKING_PLAIN);
	expect(gmem_region_describe(region, text, sizeof(text)) > 0);
	gmem_region_free(region);
	/* What private memory cannot have makes it plain. */
	expect_value(
		make_region(&library, 4 * MIB, GMEM_BACKING_AUTO, GMEM_NEED_DIRTY_LOG, &region), 0);
	expect_value(gmem_region_get_info(region, &info), 0);
	expect_value(info.backing, GMEM_BACKING_PLAIN);
	gmem_region_free(region);
	close_library(&library);
}

static bool backing_is_served(const struct world *world, uint32_t backing)
{
	const struct traits *traits = &world->traits;

	switch (backing) {
	case GMEM_BACKING_PLAIN:
		return true;
	case GMEM_BACKING_SPLIT:
		return traits->private_memory;
	default:
		return traits->tracking != TRACKED_BY_VM && (traits->flags & FLAG_INIT_SHARED);
	}
}

static void backings_by_what_the_kernel_serves(struct world *world)
{
	struct gmem_region *region;
	struct library library;
	uint32_t backing;
	int rc;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	for (backing = GMEM_BACKING_GUEST_MEMFD; backing <= GMEM_BACKING_PLAIN; backing++) {
		library.errors = 0;
		rc = make_region(&library, world->page, backing, 0, &region);
		if (backing_is_served(world, backing)) {
			expect_value(rc, 0);
			expect_value(library.errors, 0);
			gmem_region_free(region);
		} else {
			expect_value(rc, -EOPNOTSUPP);
			expect_value(library.errors, 1);
			expect(!region);
		}
	}
	close_library(&library);
}

static void sizes_in_the_kernels_pages(struct world *world)
{
	struct gmem_region *region;
	struct library library;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	expect_value(make_region(&library, world->page + 512, GMEM_BACKING_AUTO, 0, &region),
		     -EINVAL);
	if (world->page > 4096)
		expect_value(make_region(&library, 4096, GMEM_BACKING_AUTO, 0, &region), -EINVAL);
	expect_value(make_region(&library, world->page, GMEM_BACKING_AUTO, 0, &region), 0);
	expect_value(gmem_vm_map(library.vm, GPA + 512, region, 0, world->page, GMEM_SLOT_AUTO, 0),
		     -EINVAL);
	expect_value(gmem_vm_map(library.vm, GPA, region, 0, world->page, GMEM_SLOT_AUTO, 0), 0);
	/* The kernel has it: another slot cannot be there. */
	if (world->traits.region2)
		expect_value(set_slot(world, 9, 0, GPA, world->page,
				      map_anonymous(world, world->page), -1, 0),
			     -EEXIST);
	expect_value(gmem_vm_unmap(library.vm, GPA, world->page), 0);
	gmem_region_free(region);
	close_library(&library);
}

static void make_shared(struct library *library, uint64_t size, struct gmem_region **region)
{
	struct gmem_region_config *config = NULL;

	expect_value(gmem_region_config_new(&config), 0);
	gmem_region_config_set_state(config, GMEM_SHARED);
	expect_value(gmem_region_new(library->vm, size, config, region), 0);
	gmem_region_config_free(config);
}

static void the_guest_and_translation_agree(struct world *world)
{
	const uint64_t size = 4 * world->page;
	struct gmem_region *region;
	struct library library;
	struct vcpu vcpu;
	void *host;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	make_shared(&library, size, &region);
	expect_value(gmem_vm_map(library.vm, GPA, region, 0, size, GMEM_SLOT_AUTO, 0), 0);
	expect_value(gmem_vm_get_state(library.vm, GPA, size), GMEM_SHARED);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA + world->page + 4, 0x5eed, 0);
	expect_value(gmem_vm_translate(library.vm, GPA + world->page + 4, 4, GMEM_ACCESS_WRITE,
				       &host),
		     0);
	expect(memcmp(host, "\xed\x5e\0\0", 4) == 0);
	put_byte(host, 0xee);
	expect_value(guest_must_load(&vcpu, GPA + world->page + 4, 0), 0x5eee);
	expect_value(gmem_vm_unmap(library.vm, GPA, size), 0);
	expect_mmio(&vcpu, GPA, 0);
	destroy_vcpu(&vcpu);
	gmem_region_free(region);
	close_library(&library);
}

/* Private from the start, to the guest; and nothing for the host to reach. */
static void private_from_the_start(struct world *world)
{
	const uint64_t size = 4 * world->page;
	const uint32_t access = private_access(world);
	struct gmem_region_info info;
	struct gmem_region *region;
	struct library library;
	struct vcpu vcpu;
	uint8_t value;
	void *host;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	expect_value(make_region(&library, size, GMEM_BACKING_AUTO, 0, &region), 0);
	expect_value(gmem_region_get_info(region, &info), 0);
	expect_value(gmem_vm_map(library.vm, GPA, region, 0, size, GMEM_SLOT_AUTO, 0), 0);
	expect_value(gmem_vm_get_state(library.vm, GPA, size), GMEM_PRIVATE);
	expect_value(gmem_vm_translate(library.vm, GPA, 4, 0, &host), -EACCES);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 0x44332211, access);
	expect_value(guest_must_load(&vcpu, GPA, access), 0x44332211);
	/* In place the mapping raises SIGBUS; else it is another page. */
	if (world->traits.tracking == TRACKED_BY_FILE)
		expect(!can_read(info.host, &value));
	else
		expect_value(byte_at(info.host), 0);
	expect_value(gmem_vm_unmap(library.vm, GPA, size), 0);
	destroy_vcpu(&vcpu);
	gmem_region_free(region);
	close_library(&library);
}

/* Kernel fact S6: per VM the attributes would stay with the address. */
static void unmapping_leaves_nothing_private(struct world *world)
{
	const uint64_t size = 4 * world->page;
	uint8_t *plain = map_anonymous(world, size);
	struct gmem_region *region;
	struct library library;
	struct vcpu vcpu;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	expect_value(make_region(&library, size, GMEM_BACKING_AUTO, 0, &region), 0);
	expect_value(gmem_vm_map(library.vm, GPA, region, 0, size, GMEM_SLOT_AUTO, 0), 0);
	expect_value(gmem_vm_unmap(library.vm, GPA, size), 0);
	make_vcpu(world, &vcpu);
	expect_mmio(&vcpu, GPA, 0);
	expect_value(set_slot(world, 9, 0, GPA, size, plain, -1, 0), 0);
	guest_must_store(&vcpu, GPA, 0x77, 0);
	expect_value(byte_at(plain), 0x77);
	destroy_vcpu(&vcpu);
	gmem_region_free(region);
	close_library(&library);
}

static void flags_of_sections(struct world *world)
{
	const uint64_t size = 4 * world->page;
	const int refused = world->traits.private_memory ? -EOPNOTSUPP : 0;
	struct gmem_region *region;
	struct library library;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	expect_value(make_region(&library, size, GMEM_BACKING_AUTO, 0, &region), 0);
	expect_value(gmem_vm_map(library.vm, GPA, region, 0, size, GMEM_SLOT_AUTO,
				 GMEM_MAP_DIRTY_LOG),
		     refused);
	if (!refused)
		expect_value(gmem_vm_unmap(library.vm, GPA, size), 0);
	expect_value(gmem_vm_map(library.vm, GPA, region, 0, size, GMEM_SLOT_AUTO, 0), 0);
	expect_value(gmem_vm_map_alias(library.vm, 0, OTHER_GPA, region, 0, size, GMEM_SLOT_AUTO,
				       0),
		     refused);
	gmem_region_free(region);
	close_library(&library);
}

static void prefault_of_each_backing(struct world *world)
{
	const uint64_t size = 8 * world->page;
	struct gmem_region *region;
	struct library library;
	uint32_t backing;

	expect_value(open_library(world, &library, GMEM_TRACKING_AUTO), 0);
	for (backing = GMEM_BACKING_AUTO; backing <= GMEM_BACKING_PLAIN; backing++) {
		if (backing && !backing_is_served(world, backing))
			continue;
		expect_value(make_region(&library, size, backing, 0, &region), 0);
		expect_value(gmem_region_prefault(region, 0, size, 1), 0);
		expect_value(gmem_region_prefault(region, 0, size, 2), 0);
		gmem_region_free(region);
	}
	close_library(&library);
}

const struct conformance_case library_cases[] = {
	{ "libgmem finds what the VM has", "LIB C1", 0, finds_what_the_vm_has },
	{ "libgmem refuses a tracking that is missing", "LIB", 0,
	  a_forced_tracking_that_is_missing_is_refused },
	{ "libgmem's AUTO chooses by tracking", "LIB", 0, auto_chooses_by_tracking },
	{ "libgmem's backings are what the kernel serves", "LIB", 0,
	  backings_by_what_the_kernel_serves },
	{ "libgmem's sizes are in the kernel's pages", "LIB", 0, sizes_in_the_kernels_pages },
	{ "libgmem's translation and the guest agree", "LIB", NEED_GUEST,
	  the_guest_and_translation_agree },
	{ "libgmem's memory is private from the start", "LIB", NEED_PRIVATE | NEED_GUEST,
	  private_from_the_start },
	{ "libgmem's unmap leaves nothing private", "LIB S6", NEED_PRIVATE | NEED_GUEST,
	  unmapping_leaves_nothing_private },
	{ "libgmem's sections have the flags they can have", "LIB", 0, flags_of_sections },
	{ "libgmem prefaults each backing", "LIB", 0, prefault_of_each_backing },
	{ NULL, NULL, 0, NULL },
};
