// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libgmem's conversion on each kernel, as guest and host see it. Only the public interface: what
 * tracks, and where pages live, the library finds out.
 */
#include <gmem.h>
#include <string.h>

#include "kit.h"
#include "target.h"

/* A VM of the library's, with memory that is all shared at first: two regions side by side. */
struct scene {
	struct world *world;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	struct gmem_region *first;
	struct gmem_region *second;
	uint64_t page;
};

#define PAGES UINT64_C(8) /* of a region */

static void ignore_message(uint32_t level, const char *text, void *opaque)
{
	(void)level;
	(void)text;
	(void)opaque;
}

static struct gmem_region *make_region(struct scene *scene)
{
	struct gmem_region_config *config = NULL;
	struct gmem_region *region = NULL;

	expect_value(gmem_region_config_new(&config), 0);
	gmem_region_config_set_state(config, GMEM_SHARED);
	expect_value(gmem_region_new(scene->vm, PAGES * scene->page, config, &region), 0);
	gmem_region_config_free(config);
	return region;
}

static void map_region(struct scene *scene, uint64_t gpa, struct gmem_region *region)
{
	expect_value(gmem_vm_map(scene->vm, gpa, region, 0, PAGES * scene->page, GMEM_SLOT_AUTO, 0),
		     0);
}

static void open_scene(struct scene *scene, struct world *world)
{
	struct gmem_vm_config *config = NULL;

	*scene = (struct scene){ .world = world, .page = world->page };
	expect_value(gmem_ctx_new(&scene->ctx), 0);
	gmem_ctx_set_log(scene->ctx, GMEM_LOG_DEBUG, ignore_message, NULL, NULL);
	gmem_ctx_set_kernel(scene->ctx, &world->kernel);
	expect_value(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, target_vm_type(world->target));
	expect_value(gmem_vm_new(scene->ctx, world->vm_fd, config, &scene->vm), 0);
	gmem_vm_config_free(config);
	scene->first = make_region(scene);
	scene->second = make_region(scene);
	map_region(scene, GPA, scene->first);
	map_region(scene, GPA + PAGES * scene->page, scene->second);
}

static void close_scene(struct scene *scene)
{
	expect_value(gmem_vm_unmap(scene->vm, GPA, 2 * PAGES * scene->page), 0);
	gmem_region_free(scene->first);
	gmem_region_free(scene->second);
	gmem_vm_free(scene->vm);
	gmem_ctx_free(scene->ctx);
}

static uint64_t at(const struct scene *scene, uint64_t page)
{
	return GPA + page * scene->page;
}

static int change(struct scene *scene, uint64_t page, uint64_t count, uint32_t to, uint32_t flags,
		  struct gmem_report *report)
{
	/* Kernel fact V2 is about what the other side holds, so that is not freed. */
	return gmem_vm_convert(scene->vm, at(scene, page), count * scene->page, to,
			       flags | GMEM_CONVERT_KEEP, report);
}

static void expect_state(struct scene *scene, uint64_t page, uint64_t count, uint32_t state)
{
	expect_value(gmem_vm_get_state(scene->vm, at(scene, page), count * scene->page), state);
}

static uint8_t *host_of(const struct gmem_region *region)
{
	struct gmem_region_info info;

	expect_value(gmem_region_get_info(region, &info), 0);
	return info.host;
}

static bool is_in_place(const struct scene *scene)
{
	return scene->world->traits.tracking == TRACKED_BY_FILE;
}

/* A conversion keeps bytes in place where it is the guest's memory in the clear (P7). */
static bool keeps_bytes(const struct scene *scene)
{
	return is_in_place(scene) && scene->world->traits.access == ACCESS_FROM_TRACKING;
}

/* Guest and host, on both sides of a conversion and back. */
static void both_see_the_page_change(struct world *world)
{
	const uint32_t access = private_access(world);
	struct gmem_report report;
	struct scene scene;
	struct vcpu vcpu;
	uint8_t *host, value;
	uint32_t word;

	open_scene(&scene, world);
	make_vcpu(world, &vcpu);
	host = host_of(scene.first) + 3 * scene.page;
	guest_must_store(&vcpu, at(&scene, 3), 0x11223344, 0);
	expect_value(change(&scene, 2, 4, GMEM_PRIVATE, 0, &report), 0);
	expect_value(report.converted, 4 * scene.page);
	expect_value(report.ioctls, 1);
	expect_state(&scene, 2, 4, GMEM_PRIVATE);
	expect_state(&scene, 0, 2, GMEM_SHARED);
	expect_state(&scene, 6, 10, GMEM_SHARED);
	if (keeps_bytes(&scene))
		expect_value(guest_must_load(&vcpu, at(&scene, 3), access), 0x11223344);
	guest_must_store(&vcpu, at(&scene, 3), 0x55667788, access);
	expect_value(guest_must_load(&vcpu, at(&scene, 3), access), 0x55667788);
	expect_value(gmem_vm_read(scene.vm, at(&scene, 3), &word, sizeof(word), 0), -EACCES);
	if (is_in_place(&scene))
		expect(!can_read(host, &value));
	else
		expect_value(byte_at(host), 0x44);
	expect_value(change(&scene, 2, 4, GMEM_SHARED, 0, &report), 0);
	expect_value(report.converted, 4 * scene.page);
	expect_state(&scene, 0, 16, GMEM_SHARED);
	expect_value(gmem_vm_read(scene.vm, at(&scene, 3), &word, sizeof(word), 0), 0);
	if (keeps_bytes(&scene))
		expect_value(word, 0x55667788);
	else if (!is_in_place(&scene))
		expect_value(word, 0x11223344);
	word = 0x99;
	expect_value(gmem_vm_write(scene.vm, at(&scene, 3), &word, sizeof(word),
				   GMEM_ACCESS_CHECKED),
		     0);
	expect_value(guest_must_load(&vcpu, at(&scene, 3), 0), 0x99);
	destroy_vcpu(&vcpu);
	close_scene(&scene);
}

/* Over two regions: one call per VM, one for each file. And as a list. */
static void a_range_over_two_regions(struct world *world)
{
	const uint32_t calls = world->traits.tracking == TRACKED_BY_VM ? 1 : 2;
	struct gmem_range ranges[8];
	struct gmem_report report;
	struct scene scene;
	struct vcpu vcpu;
	uint64_t i;

	open_scene(&scene, world);
	make_vcpu(world, &vcpu);
	expect_value(change(&scene, 4, 8, GMEM_PRIVATE, 0, &report), 0);
	expect_value(report.ioctls, calls);
	for (i = 4; i < 12; i++) {
		guest_must_store(&vcpu, at(&scene, i), (uint32_t)i + 1, private_access(world));
		expect_value(guest_must_load(&vcpu, at(&scene, i), private_access(world)), i + 1);
	}
	for (i = 0; i < 8; i++)
		ranges[i] = (struct gmem_range){ at(&scene, 4 + i), scene.page };
	expect_value(gmem_vm_convert_ranges(scene.vm, ranges, 8, GMEM_SHARED, 0, &report), 0);
	expect_value(report.ioctls, calls);
	expect_value(report.converted, 8 * scene.page);
	for (i = 0; i < 16; i++)
		guest_must_store(&vcpu, at(&scene, i), (uint32_t)i, 0);
	for (i = 0; i < 16; i++)
		expect_value(
			byte_at(host_of(i < 8 ? scene.first : scene.second) + i % 8 * scene.page),
			i);
	destroy_vcpu(&vcpu);
	close_scene(&scene);
}

static void what_is_right_already(struct world *world)
{
	struct gmem_report report;
	struct scene scene;

	open_scene(&scene, world);
	expect_value(change(&scene, 0, 4, GMEM_PRIVATE, 0, NULL), 0);
	expect_value(change(&scene, 0, 4, GMEM_PRIVATE, 0, &report), 0);
	expect_value(report.converted, 0);
	expect_value(report.ioctls, 1);
	expect_value(change(&scene, 0, 4, GMEM_PRIVATE, GMEM_CONVERT_TRUST_STATE, &report), 0);
	expect_value(report.ioctls, 0);
	expect_value(change(&scene, 0, 8, GMEM_PRIVATE, GMEM_CONVERT_TRUST_STATE, &report), 0);
	expect_value(report.converted, 4 * scene.page);
	expect_state(&scene, 0, 8, GMEM_PRIVATE);
	close_scene(&scene);
}

static void refusals_touch_nothing(struct world *world)
{
	struct gmem_report report;
	struct scene scene;
	struct vcpu vcpu;

	open_scene(&scene, world);
	make_vcpu(world, &vcpu);
	expect_value(change(&scene, 8, 9, GMEM_PRIVATE, 0, &report), -ENOENT);
	expect_value(report.gpa, at(&scene, 16));
	expect_value(report.ioctls, 0);
	expect_value(gmem_vm_convert(scene.vm, GPA, scene.page + 1, GMEM_PRIVATE, 0, &report),
		     -EINVAL);
	expect_value(gmem_vm_convert(scene.vm, GPA, 0, GMEM_PRIVATE, 0, &report), -EINVAL);
	expect_value(change(&scene, 0, 1, GMEM_PRIVATE | GMEM_SHARED, 0, &report), -EINVAL);
	expect_state(&scene, 0, 16, GMEM_SHARED);
	guest_must_store(&vcpu, at(&scene, 15), 0xab, 0);
	expect_value(byte_at(host_of(scene.second) + 7 * scene.page), 0xab);
	/* A hole is nothing to make shared. */
	expect_value(change(&scene, 8, 16, GMEM_SHARED, 0, &report), 0);
	destroy_vcpu(&vcpu);
	close_scene(&scene);
}

static void a_vm_without_private_memory(struct world *world)
{
	struct gmem_report report;
	struct scene scene;

	open_scene(&scene, world);
	expect_value(change(&scene, 0, 4, GMEM_PRIVATE, 0, &report), -EOPNOTSUPP);
	expect_value(report.error, -EOPNOTSUPP);
	expect_value(report.ioctls, 0);
	expect_state(&scene, 0, 16, GMEM_SHARED);
	expect_value(change(&scene, 0, 16, GMEM_SHARED, 0, &report), 0);
	expect_value(report.ioctls, 0);
	close_scene(&scene);
}

/* A page that the kernel sees in use stays, and no other. */
static void a_page_in_use_stays(struct world *world)
{
	struct gmem_region_info info;
	struct gmem_report report;
	struct scene scene;
	struct pin pin = { 0 };

	open_scene(&scene, world);
	expect_value(gmem_region_get_info(scene.second, &info), 0);
	pin = (struct pin){
		.fd = info.guest_memfd,
		.offset = 3 * scene.page,
		.size = scene.page,
	};
	put_byte((uint8_t *)info.host + 3 * scene.page, 0x42);
	expect_success(world->driver->pin(world, &pin, (uint8_t *)info.host + 3 * scene.page, 0));
	expect_value(change(&scene, 0, 16, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report), -EAGAIN);
	expect_value(report.kernel_error, -EAGAIN);
	expect_value(report.gpa, at(&scene, 11));
	expect_value(report.size, scene.page);
	expect_value(report.offset, 3 * scene.page);
	expect_value(report.converted, 15 * scene.page);
	expect_state(&scene, 0, 11, GMEM_PRIVATE);
	expect_state(&scene, 11, 1, GMEM_SHARED);
	expect_state(&scene, 12, 4, GMEM_PRIVATE);
	expect_value(byte_at((uint8_t *)info.host + 3 * scene.page), 0x42);
	expect_success(world->driver->unpin(world, &pin));
	/* Now it can; the library waits for what the kernel is slow to let go of. */
	expect_value(change(&scene, 0, 16, GMEM_PRIVATE, 0, &report), 0);
	expect_value(report.converted, scene.page);
	expect_value(change(&scene, 0, 16, GMEM_SHARED, 0, &report), 0);
	close_scene(&scene);
}

/* The library's own pins, on any kernel. */
static void a_pin_keeps_its_pages(struct world *world)
{
	struct gmem_report report;
	struct gmem_pin pin;
	struct scene scene;
	struct vcpu vcpu;

	open_scene(&scene, world);
	make_vcpu(world, &vcpu);
	expect_value(gmem_vm_pin(scene.vm, at(&scene, 6) - 1, 2, GMEM_ACCESS_WRITE, &pin), 0);
	expect_value(change(&scene, 0, 8, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report), -EAGAIN);
	expect_value(report.gpa, at(&scene, 5));
	expect_value(report.size, 2 * scene.page);
	expect_value(report.kernel_error, 0);
	expect_value(report.converted, 6 * scene.page);
	guest_must_store(&vcpu, at(&scene, 6), 0x77, 0);
	expect_value(byte_at((uint8_t *)pin.host + 1), 0x77);
	expect_value(gmem_vm_unmap(scene.vm, OTHER_GPA, scene.page), -ENOENT);
	gmem_vm_unpin(scene.vm, &pin);
	expect_value(change(&scene, 0, 8, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report), 0);
	expect_value(gmem_vm_pin(scene.vm, at(&scene, 6), 1, 0, &pin), -EACCES);
	destroy_vcpu(&vcpu);
	close_scene(&scene);
}

/* With rollback all is as it was, to the bytes; or it is refused where that cannot be. */
static void rollback_or_refusal(struct world *world)
{
	const bool harmless = world->traits.access == ACCESS_FROM_TRACKING;
	struct gmem_report report;
	struct gmem_pin pin;
	struct scene scene;
	struct vcpu vcpu;

	open_scene(&scene, world);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, at(&scene, 1), 0x12345678, 0);
	expect_value(gmem_vm_pin(scene.vm, at(&scene, 10), 1, 0, &pin), 0);
	expect_value(change(&scene, 0, 16, GMEM_PRIVATE,
			    GMEM_CONVERT_ROLLBACK | GMEM_CONVERT_NOWAIT, &report),
		     harmless ? -EAGAIN : -EOPNOTSUPP);
	expect_value(report.converted, 0);
	expect_value(report.restored, harmless ? 15 * scene.page : 0);
	expect_state(&scene, 0, 16, GMEM_SHARED);
	expect_value(guest_must_load(&vcpu, at(&scene, 1), 0), 0x12345678);
	gmem_vm_unpin(scene.vm, &pin);
	expect_value(change(&scene, 0, 16, GMEM_PRIVATE, 0, &report), 0);
	destroy_vcpu(&vcpu);
	close_scene(&scene);
}

/* Copies over pages of both regions; none of it where one is private. */
static void copies_over_sections(struct world *world)
{
	uint8_t out[64], in[64];
	struct scene scene;
	struct vcpu vcpu;
	uint64_t start;
	unsigned int i;

	open_scene(&scene, world);
	make_vcpu(world, &vcpu);
	start = at(&scene, PAGES) - 32;
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i + 1);
	expect_value(gmem_vm_write(scene.vm, start, out, sizeof(out), 0), 0);
	expect_value(gmem_vm_read(scene.vm, start, in, sizeof(in), GMEM_ACCESS_CHECKED), 0);
	expect(memcmp(in, out, sizeof(in)) == 0);
	expect_value(guest_must_load(&vcpu, at(&scene, PAGES), 0), 0x24232221);
	expect_value(change(&scene, PAGES, 1, GMEM_PRIVATE, 0, NULL), 0);
	memset(in, 0, sizeof(in));
	expect_value(gmem_vm_read(scene.vm, start, in, sizeof(in), 0), -EACCES);
	expect_value(in[0], 0);
	expect_value(gmem_vm_read(scene.vm, start, in, 32, GMEM_ACCESS_WAIT), 0);
	expect(memcmp(in, out, 32) == 0);
	destroy_vcpu(&vcpu);
	close_scene(&scene);
}

/* Kernel fact S6: taken away and mapped elsewhere, its states go along, and none are left. */
static void states_move_with_the_region(struct world *world)
{
	const uint32_t access = private_access(world);
	struct scene scene;
	struct vcpu vcpu;

	open_scene(&scene, world);
	make_vcpu(world, &vcpu);
	expect_value(change(&scene, 2, 3, GMEM_PRIVATE, 0, NULL), 0);
	guest_must_store(&vcpu, at(&scene, 3), 0x600d, access);
	expect_value(gmem_vm_unmap(scene.vm, GPA, PAGES * scene.page), 0);
	map_region(&scene, OTHER_GPA, scene.first);
	expect_value(gmem_vm_get_state(scene.vm, OTHER_GPA + 2 * scene.page, 3 * scene.page),
		     GMEM_PRIVATE);
	expect_value(guest_must_load(&vcpu, OTHER_GPA + 3 * scene.page, access), 0x600d);
	expect_value(gmem_vm_convert(scene.vm, OTHER_GPA, PAGES * scene.page, GMEM_SHARED, 0, NULL),
		     0);
	guest_must_store(&vcpu, OTHER_GPA + 3 * scene.page, 0x55, 0);
	expect_value(byte_at(host_of(scene.first) + 3 * scene.page), 0x55);
	/* Where it was comes another, all shared. */
	expect_value(gmem_vm_unmap(scene.vm, at(&scene, PAGES), PAGES * scene.page), 0);
	map_region(&scene, GPA, scene.second);
	guest_must_store(&vcpu, at(&scene, 3), 0x66, 0);
	expect_value(byte_at(host_of(scene.second) + 3 * scene.page), 0x66);
	expect_value(gmem_vm_unmap(scene.vm, OTHER_GPA, PAGES * scene.page), 0);
	map_region(&scene, at(&scene, PAGES), scene.first);
	destroy_vcpu(&vcpu);
	close_scene(&scene);
}

const struct conformance_case convert_cases[] = {
	{ "libgmem's conversion is seen by guest and host", "LIB V2 P7", NEED_PRIVATE | NEED_GUEST,
	  both_see_the_page_change },
	{ "libgmem converts over two regions", "LIB V1 P1", NEED_PRIVATE | NEED_GUEST,
	  a_range_over_two_regions },
	{ "libgmem's conversion of what is right already", "LIB P6", NEED_PRIVATE,
	  what_is_right_already },
	{ "libgmem's refused conversions touch nothing", "LIB", NEED_PRIVATE | NEED_GUEST,
	  refusals_touch_nothing },
	{ "libgmem makes nothing private on a VM without private memory", "LIB", NEED_ORDINARY,
	  a_vm_without_private_memory },
	{ "libgmem's conversion leaves a page in use", "LIB P2 P4", NEED_PRIVATE | NEED_IN_PLACE,
	  a_page_in_use_stays },
	{ "libgmem's pin keeps its pages shared", "LIB", NEED_PRIVATE | NEED_GUEST,
	  a_pin_keeps_its_pages },
	{ "libgmem's rollback, or its refusal", "LIB P7", NEED_PRIVATE | NEED_GUEST,
	  rollback_or_refusal },
	{ "libgmem copies over sections", "LIB", NEED_PRIVATE | NEED_GUEST, copies_over_sections },
	{ "libgmem's states move with their region", "LIB S6", NEED_PRIVATE | NEED_GUEST,
	  states_move_with_the_region },
	{ NULL, NULL, 0, NULL },
};
