// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of gmem/access.h, and of what gmem_vm_next_section() shows: host addresses, states, runs,
 * and what is in the way. A test is named after the function and the errno that it provokes.
 */
#include "scene.h"

#include <errno.h>
#include <gmem/access.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Needs what stands above. */
#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)
#define WRITE GMEM_ACCESS_WRITE

/*
 * In pages: "ram0" (0 to 8) at 0x10 and (8 to 16) right behind, at 0x18; (0 to 4) again at 0x20;
 * "private0" (0 to 16) at 0x30, of which 4 to 8 and 12 are private; a ROM, (4 to 8) of "rom", at
 * 0x40; device memory, (8 to 12) of "rom", at 0x44; and reserved at 0x48 (4).
 */
struct fixture {
	struct world world;
	struct gmem_region *ram;
	struct gmem_region *private;
	struct gmem_region *rom;
};

static char *host_of(const struct gmem_region *region)
{
	return world_region_info(region).host;
}

static void open_fixture(struct fixture *fixture)
{
	struct fake_kvm_config kvm = fake_kvm_linux_6_18_sw;
	struct world *world = &fixture->world;
	struct gmem_vm *vm;

	kvm.page_size = AT(1);
	world_open(world, &(struct world_config){ .kvm = &kvm });
	vm = world->vm;
	fixture->ram = world_region(world, "ram0", 16, GMEM_BACKING_PLAIN, 0);
	fixture->rom = world_region(world, "rom", 16, GMEM_BACKING_PLAIN, 0);
	fixture->private = world_region(world, "private0", 16, GMEM_BACKING_SPLIT, GMEM_SHARED);
	world_set_private(fixture->private, 4, 4, true);
	world_set_private(fixture->private, 12, 1, true);
	assert_int_equal(gmem_vm_map(vm, AT(0x10), fixture->ram, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x18), fixture->ram, AT(8), AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x20), fixture->ram, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x30), fixture->private, 0, AT(16), AUTO, 0), 0);
	assert_int_equal(
		gmem_vm_map(vm, AT(0x40), fixture->rom, AT(4), AT(4), AUTO, GMEM_MAP_READONLY), 0);
	assert_int_equal(
		gmem_vm_map(vm, AT(0x44), fixture->rom, AT(8), AT(4), AUTO, GMEM_MAP_DEVICE), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x48), NULL, 0, AT(4), AUTO, 0), 0);
	fake_kvm_reset_calls(world->fake);
}

/* What is in access.h makes no call at all. */
static void close_fixture(struct fixture *fixture)
{
	assert_int_equal(fake_kvm_call_count(fixture->world.fake), 0);
	gmem_region_free(fixture->ram);
	gmem_region_free(fixture->private);
	gmem_region_free(fixture->rom);
	world_close(&fixture->world);
}

static void test_translate_gives_the_host_address(void **unused)
{
	struct fixture fixture;
	const struct {
		uint64_t gpa;
		uint64_t size;
		uint32_t flags;
		struct gmem_region *const *region;
		uint64_t offset;
	} cases[] = {
		{ AT(0x10), 1, WRITE, &fixture.ram, 0 },
		{ AT(0x10), AT(8), 0, &fixture.ram, 0 },
		{ AT(0x12) + 7, 11, WRITE, &fixture.ram, AT(2) + 7 },
		{ AT(0x18) - 1, 1, 0, &fixture.ram, AT(8) - 1 },
		{ AT(0x24) - 1, 1, 0, &fixture.ram, AT(4) - 1 },
		/* Over two sections that follow each other in the region, too. */
		{ AT(0x18) - 1, 2, WRITE, &fixture.ram, AT(8) - 1 },
		{ AT(0x10), AT(16), WRITE, &fixture.ram, 0 },
		/* Up to, between and after private pages. */
		{ AT(0x30), AT(4), WRITE, &fixture.private, 0 },
		{ AT(0x38), AT(4), 0, &fixture.private, AT(8) },
		{ AT(0x3d), AT(3), 0, &fixture.private, AT(13) },
		{ AT(0x40), AT(4), 0, &fixture.rom, AT(4) },
	};
	void *host;
	size_t i;

	open_fixture(&fixture);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(gmem_vm_translate(fixture.world.vm, cases[i].gpa, cases[i].size,
						   cases[i].flags, &host),
				 0);
		assert_ptr_equal(host, host_of(*cases[i].region) + cases[i].offset);
	}
	close_fixture(&fixture);
}

struct obstacle {
	uint64_t gpa;
	uint64_t size;
	uint32_t flags;
	const char *text;
};

static void check_obstacles(struct fixture *fixture, int error, const struct obstacle *cases,
			    size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		void *host = &host;
		int rc = gmem_vm_translate(fixture->world.vm, cases[i].gpa, cases[i].size,
					   cases[i].flags, &host);

		if (rc != error)
			fail_msg("case %zu gives %d instead of %d", i, rc, error);
		assert_null(host);
		expect_one_message(fixture->world.logs, GMEM_LOG_DEBUG, cases[i].text);
	}
}

#define CHECK_OBSTACLES(fixture, error, cases)                                                     \
	check_obstacles(fixture, error, cases, ARRAY_SIZE(cases))

static void gmem_vm_translate_EINVAL(void **unused)
{
	static const struct obstacle cases[] = {
		{ AT(0x10), 0, 0, "gpa 0x10000, 0 bytes" },
		{ UINT64_MAX, 1, 0, "gpa 0xffffffffffffffff, 0x1 bytes" },
		{ 0, 0, WRITE, "gpa 0, 0 bytes" },
		{ 1, UINT64_MAX, 0, "0xffffffffffffffff bytes" },
		{ AT(0x10), -AT(0x10), 0, "gpa 0x10000" },
	};
	struct fixture fixture;
	void *host = &fixture;

	open_fixture(&fixture);
	CHECK_OBSTACLES(&fixture, -EINVAL, cases);
	/* The caller's own mistakes are errors. */
	assert_int_equal(gmem_vm_translate(fixture.world.vm, AT(0x10), 1, 2, &host), -EINVAL);
	assert_null(host);
	expect_one_message(fixture.world.logs, GMEM_LOG_ERROR, "gmem_vm_translate",
			   "flags are 0x2");
	assert_int_equal(gmem_vm_translate(fixture.world.vm, AT(0x10), 1, 0, NULL), -EINVAL);
	expect_one_message(fixture.world.logs, GMEM_LOG_ERROR, "gmem_vm_translate", "host is NULL");
	close_fixture(&fixture);
	host = &fixture;
	expect_null_refusal(gmem_vm_translate(NULL, 0, 1, 0, &host),
			    "gmem_vm_translate: vm is NULL");
	assert_null(host);
}

static void gmem_vm_translate_ENOENT(void **unused)
{
	static const struct obstacle cases[] = {
		{ 0, 1, 0, "gpa 0, 0x1 bytes: at gpa 0 nothing" },
		{ AT(0x10) - 1, 2, 0, "at gpa 0xffff nothing" },
		{ AT(0x24) - 1, 2, WRITE, "at gpa 0x24000 nothing" },
		{ AT(0x20), AT(0x1000), 0, "at gpa 0x24000 nothing" },
		/* Reserved is a hole. */
		{ AT(0x48), 1, 0, "at gpa 0x48000 nothing is mapped there, it is reserved" },
		{ AT(0x4c), UINT64_MAX - AT(0x4c), 0, "at gpa 0x4c000 nothing" },
	};
	struct fixture fixture;

	open_fixture(&fixture);
	CHECK_OBSTACLES(&fixture, -ENOENT, cases);
	close_fixture(&fixture);
}

static void gmem_vm_translate_EACCES(void **unused)
{
	static const struct obstacle cases[] = {
		{ AT(0x34), 1, 0, "at gpa 0x34000 or above, a page is private" },
		{ AT(0x34) - 1, 2, WRITE, "a page is private" },
		{ AT(0x38) - 1, 2, 0, "a page is private" },
		{ AT(0x30), AT(16), 0, "at gpa 0x30000 or above, a page is private" },
		{ AT(0x3c), 1, 0, "a page is private" },
		{ AT(0x40), 1, WRITE, "at gpa 0x40000 it is read-only" },
		{ AT(0x44), 1, 0, "at gpa 0x44000 it is a device's" },
		{ AT(0x44), 1, WRITE, "at gpa 0x44000 it is a device's" },
		{ AT(0x47), AT(2), 0, "at gpa 0x47000 it is a device's" },
	};
	struct fixture fixture;

	open_fixture(&fixture);
	CHECK_OBSTACLES(&fixture, -EACCES, cases);
	close_fixture(&fixture);
}

static void gmem_vm_translate_EXDEV(void **unused)
{
	static const struct obstacle cases[] = {
		{ AT(0x20) - 1, 2, 0, "at gpa 0x20000 it goes on elsewhere" },
		{ AT(0x10), AT(0x14), WRITE, "at gpa 0x20000 it goes on elsewhere" },
		{ AT(0x40) - 1, 2, 0, "at gpa 0x40000 it goes on elsewhere" },
	};
	struct fixture fixture;

	open_fixture(&fixture);
	CHECK_OBSTACLES(&fixture, -EXDEV, cases);
	close_fixture(&fixture);
}

/* The first obstacle from gpa on decides. */
static void test_translate_meets_the_first_obstacle(void **unused)
{
	static const struct obstacle entered[] = {
		/* Elsewhere at 0x40 comes before the device at 0x44. */
		{ AT(0x3d), AT(0x10), 0, "at gpa 0x40000" },
	};
	static const struct obstacle hole[] = {
		/* The end at 0x24 comes before private pages at 0x34. */
		{ AT(0x20), AT(0x20), 0, "at gpa 0x24000" },
	};
	static const struct obstacle denied[] = {
		/* Private at 0x34 before elsewhere at 0x40; the device before the hole behind it. */
		{ AT(0x30), AT(0x20), 0, "private" },
		{ AT(0x44), AT(0x100), 0, "device" },
		/* At one address: a ROM to be written, though it lies elsewhere, too. */
		{ AT(0x3d), AT(0x10), WRITE, "read-only" },
	};
	struct fixture fixture;

	open_fixture(&fixture);
	CHECK_OBSTACLES(&fixture, -EXDEV, entered);
	CHECK_OBSTACLES(&fixture, -ENOENT, hole);
	CHECK_OBSTACLES(&fixture, -EACCES, denied);
	close_fixture(&fixture);
}

/* Two regions are two, even where their memory happens to follow each other. */
static void test_translate_keeps_regions_apart(void **unused)
{
	struct gmem_region_config *config;
	struct gmem_region *regions[2];
	struct world world;
	void *host;
	char *memory;
	size_t i;

	world_open(&world, &(struct world_config){ .kvm = &fake_kvm_linux_6_18 });
	memory = mmap(NULL, 8 * world.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(gmem_region_config_new(&config), 0);
	for (i = 0; i < 2; i++) {
		gmem_region_config_set_mapping(config, memory + i * 4 * world.page,
					       GMEM_MEMORY_ANON, 0);
		assert_int_equal(gmem_region_new(world.vm, 4 * world.page, config, &regions[i]), 0);
		assert_int_equal(gmem_vm_map(world.vm, i * 4 * world.page, regions[i], 0,
					     4 * world.page, AUTO, 0),
				 0);
	}
	gmem_region_config_free(config);
	assert_int_equal(gmem_vm_translate(world.vm, 0, 8 * world.page, 0, &host), -EXDEV);
	expect_one_message(world.logs, GMEM_LOG_DEBUG, "goes on elsewhere");
	gmem_region_free(regions[0]);
	gmem_region_free(regions[1]);
	world_free_vm(&world);
	munmap(memory, 8 * world.page);
	world_close(&world);
}

static void test_get_state(void **unused)
{
	static const struct {
		uint64_t gpa;
		uint64_t size;
		int state;
	} cases[] = {
		{ 0, 1, GMEM_HOLE },
		{ 0, AT(0x10), GMEM_HOLE },
		{ 0, AT(0x10) + 1, GMEM_HOLE | GMEM_SHARED },
		{ AT(0x10), AT(0x14), GMEM_SHARED },
		{ AT(0x10), AT(0x14) + 1, GMEM_HOLE | GMEM_SHARED },
		{ AT(0x30), AT(4), GMEM_SHARED },
		{ AT(0x34) - 1, 1, GMEM_SHARED },
		{ AT(0x34), 1, GMEM_PRIVATE },
		{ AT(0x34), AT(4), GMEM_PRIVATE },
		{ AT(0x34) - 1, 2, GMEM_SHARED | GMEM_PRIVATE },
		{ AT(0x38) - 1, 2, GMEM_SHARED | GMEM_PRIVATE },
		{ AT(0x3c) + 5, 1, GMEM_PRIVATE },
		/* A ROM and a device's memory are never private. */
		{ AT(0x40), AT(8), GMEM_SHARED },
		{ AT(0x48), AT(4), GMEM_HOLE },
		{ AT(0x47), AT(2), GMEM_SHARED | GMEM_HOLE },
		{ AT(0x3c), AT(0x10), GMEM_SHARED | GMEM_PRIVATE | GMEM_HOLE },
		{ 0, UINT64_MAX, GMEM_SHARED | GMEM_PRIVATE | GMEM_HOLE },
		{ AT(0x48), UINT64_MAX - AT(0x48), GMEM_HOLE },
		{ UINT64_MAX - 1, 1, GMEM_HOLE },
	};
	struct fixture fixture;
	size_t i;

	open_fixture(&fixture);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int state = gmem_vm_get_state(fixture.world.vm, cases[i].gpa, cases[i].size);

		if (state != cases[i].state)
			fail_msg("case %zu: %d instead of %d", i, state, cases[i].state);
	}
	close_fixture(&fixture);
}

static void gmem_vm_get_state_EINVAL(void **unused)
{
	struct fixture fixture;
	struct gmem_vm *vm;

	open_fixture(&fixture);
	vm = fixture.world.vm;
	assert_int_equal(gmem_vm_get_state(vm, AT(0x10), 0), -EINVAL);
	expect_one_message(fixture.world.logs, GMEM_LOG_DEBUG, "gmem_vm_get_state", "gpa 0x10000",
			   "0 bytes");
	assert_int_equal(gmem_vm_get_state(vm, 2, UINT64_MAX - 1), -EINVAL);
	expect_one_message(fixture.world.logs, GMEM_LOG_DEBUG, "gmem_vm_get_state", "gpa 0x2,",
			   "0xfffffffffffffffe bytes");
	close_fixture(&fixture);
	expect_null_refusal(gmem_vm_get_state(NULL, 0, 1), "gmem_vm_get_state: vm is NULL");
}

struct expected_run {
	uint64_t gpa;
	uint64_t end;
	uint32_t state;
	uint32_t kind;
	uint64_t offset;
};

static const struct expected_run expected_runs[] = {
	{ AT(0x00), AT(0x10), GMEM_HOLE, GMEM_KIND_HOLE, 0 },
	{ AT(0x10), AT(0x18), GMEM_SHARED, GMEM_KIND_RAM, 0 },
	{ AT(0x18), AT(0x20), GMEM_SHARED, GMEM_KIND_RAM, AT(8) },
	{ AT(0x20), AT(0x24), GMEM_SHARED, GMEM_KIND_RAM, 0 },
	{ AT(0x24), AT(0x30), GMEM_HOLE, GMEM_KIND_HOLE, 0 },
	{ AT(0x30), AT(0x34), GMEM_SHARED, GMEM_KIND_RAM, 0 },
	{ AT(0x34), AT(0x38), GMEM_PRIVATE, GMEM_KIND_RAM, AT(4) },
	{ AT(0x38), AT(0x3c), GMEM_SHARED, GMEM_KIND_RAM, AT(8) },
	{ AT(0x3c), AT(0x3d), GMEM_PRIVATE, GMEM_KIND_RAM, AT(12) },
	{ AT(0x3d), AT(0x40), GMEM_SHARED, GMEM_KIND_RAM, AT(13) },
	{ AT(0x40), AT(0x44), GMEM_SHARED, GMEM_KIND_ROM, AT(4) },
	{ AT(0x44), AT(0x48), GMEM_SHARED, GMEM_KIND_DEVICE, AT(8) },
	{ AT(0x48), AT(0x4c), GMEM_HOLE, GMEM_KIND_RESERVED, 0 },
};

/* From every page on, a run is what is left of the one that the page is in. */
static void test_next_run(void **unused)
{
	static const struct gmem_run zeros;
	struct fixture fixture;
	struct gmem_run run;
	uint64_t gpa;
	size_t i;

	open_fixture(&fixture);
	for (i = 0; i < ARRAY_SIZE(expected_runs); i++) {
		const struct expected_run *expected = &expected_runs[i];

		for (gpa = expected->gpa; gpa < expected->end; gpa += AT(1)) {
			bool mapped = expected->kind != GMEM_KIND_HOLE &&
				      expected->kind != GMEM_KIND_RESERVED;
			uint64_t skipped = mapped ? gpa - expected->gpa : 0;

			assert_int_equal(gmem_vm_next_run(fixture.world.vm, gpa, &run), 1);
			assert_int_equal(run.gpa, gpa);
			assert_int_equal(run.size, expected->end - gpa);
			assert_int_equal(run.state, expected->state);
			assert_int_equal(run.kind, expected->kind);
			assert_int_equal(run.offset, expected->offset + skipped);
			assert_int_equal(run.slot == GMEM_SLOT_NONE, !mapped);
			assert_int_equal(run.host != NULL, mapped);
			assert_int_equal(run.fd >= 0, mapped);
			assert_int_equal(run.guest_memfd >= 0,
					 run.tag == world_region_info(fixture.private).tag);
			assert_int_equal(run.tag != 0, mapped);
			assert_int_equal(run.fd_offset, run.offset);
			if (mapped)
				continue;
			assert_int_equal(run.fd, -1);
			assert_int_equal(run.guest_memfd, -1);
			assert_int_equal(run.flags, 0);
		}
	}
	memset(&run, 1, sizeof(run));
	assert_int_equal(gmem_vm_next_run(fixture.world.vm, gpa, &run), 0);
	assert_memory_equal(&run, &zeros, sizeof(run));
	close_fixture(&fixture);
}

static void test_next_section(void **unused)
{
	static const struct gmem_run zeros;
	struct fixture fixture;
	struct gmem_run run;
	uint64_t gpa;

	open_fixture(&fixture);
	/* From anywhere in it, or in the hole before it. */
	for (gpa = AT(0x24); gpa < AT(0x40); gpa += 1021) {
		assert_int_equal(gmem_vm_next_section(fixture.world.vm, gpa, &run), 1);
		assert_int_equal(run.gpa, AT(0x30));
		assert_int_equal(run.size, AT(16));
		assert_int_equal(run.state, GMEM_SHARED | GMEM_PRIVATE);
		assert_int_equal(run.tag, world_region_info(fixture.private).tag);
		assert_ptr_equal(run.host, host_of(fixture.private));
		assert_int_equal(run.fd, world_region_info(fixture.private).fd);
		assert_int_equal(run.slot, 3);
	}
	assert_int_equal(gmem_vm_next_section(fixture.world.vm, AT(0x4c) - 1, &run), 1);
	assert_int_equal(run.kind, GMEM_KIND_RESERVED);
	memset(&run, 1, sizeof(run));
	assert_int_equal(gmem_vm_next_section(fixture.world.vm, AT(0x4c), &run), 0);
	assert_memory_equal(&run, &zeros, sizeof(run));
	close_fixture(&fixture);
}

static void gmem_vm_next_run_EINVAL(void **unused)
{
	static const struct gmem_run zeros;
	struct fixture fixture;
	struct gmem_run run;

	open_fixture(&fixture);
	memset(&run, 1, sizeof(run));
	assert_int_equal(gmem_vm_next_run(fixture.world.vm, AT(0x10) + 1, &run), -EINVAL);
	assert_memory_equal(&run, &zeros, sizeof(run));
	expect_one_message(fixture.world.logs, GMEM_LOG_DEBUG, "gmem_vm_next_run", "gpa 0x10001",
			   "0x1000");
	assert_int_equal(gmem_vm_next_run(fixture.world.vm, 0, NULL), -EINVAL);
	expect_one_message(fixture.world.logs, GMEM_LOG_ERROR, "gmem_vm_next_run", "run is NULL");
	close_fixture(&fixture);
	memset(&run, 1, sizeof(run));
	expect_null_refusal(gmem_vm_next_run(NULL, 0, &run), "gmem_vm_next_run: vm is NULL");
	assert_memory_equal(&run, &zeros, sizeof(run));
}

/* States over the edges of the shadow's own pieces, in a window that begins somewhere. */
static void test_states_of_a_large_region(void **unused)
{
	const uint64_t gib_pages = GIB / AT(1);
	struct fake_kvm_config kvm = fake_kvm_linux_6_18_sw;
	struct gmem_region *region;
	struct gmem_run run;
	struct world world;
	uint64_t gpa = AT(5);

	kvm.page_size = AT(1);
	world_open(&world, &(struct world_config){ .kvm = &kvm });
	region = world_region(&world, "large", 4 * gib_pages, GMEM_BACKING_SPLIT, GMEM_SHARED);
	world_set_private(region, gib_pages - 1, gib_pages + 2, true);
	assert_int_equal(gmem_vm_map(world.vm, gpa, region, AT(7), 3 * GIB, AUTO, 0), 0);
	assert_int_equal(gmem_vm_next_run(world.vm, gpa, &run), 1);
	assert_int_equal(run.state, GMEM_SHARED);
	assert_int_equal(run.size, GIB - AT(8));
	assert_int_equal(gmem_vm_next_run(world.vm, run.gpa + run.size, &run), 1);
	assert_int_equal(run.state, GMEM_PRIVATE);
	assert_int_equal(run.size, GIB + AT(2));
	assert_int_equal(run.offset, GIB - AT(1));
	assert_int_equal(gmem_vm_get_state(world.vm, run.gpa, run.size), GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(world.vm, run.gpa - 1, run.size),
			 GMEM_PRIVATE | GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(world.vm, run.gpa + 1, run.size),
			 GMEM_PRIVATE | GMEM_SHARED);
	gmem_region_free(region);
	world_close(&world);
}

static int child_translate(void *opaque)
{
	struct fixture *fixture = opaque;
	void *host = &host;
	int rc = gmem_vm_translate(fixture->world.vm, AT(0x10), 1, 0, &host);

	return host ? 1 : rc;
}

static int child_get_state(void *opaque)
{
	return gmem_vm_get_state(((struct fixture *)opaque)->world.vm, AT(0x10), 1);
}

static int child_next_run(void *opaque)
{
	static const struct gmem_run zeros;
	struct gmem_run run;
	int rc;

	memset(&run, 1, sizeof(run));
	rc = gmem_vm_next_run(((struct fixture *)opaque)->world.vm, 0, &run);
	return memcmp(&run, &zeros, sizeof(run)) == 0 ? rc : 1;
}

static void access_functions_EIO_in_a_child(void **unused)
{
	static const struct forked_call calls[] = {
		{ "gmem_vm_translate:", child_translate },
		{ "gmem_vm_get_state:", child_get_state },
		{ "gmem_vm_next_run:", child_next_run },
	};
	struct fixture fixture;

	open_fixture(&fixture);
	expect_eio_in_child(&fixture.world, calls, ARRAY_SIZE(calls), &fixture);
	close_fixture(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_translate_gives_the_host_address),
		cmocka_unit_test(gmem_vm_translate_EINVAL),
		cmocka_unit_test(gmem_vm_translate_ENOENT),
		cmocka_unit_test(gmem_vm_translate_EACCES),
		cmocka_unit_test(gmem_vm_translate_EXDEV),
		cmocka_unit_test(test_translate_meets_the_first_obstacle),
		cmocka_unit_test(test_translate_keeps_regions_apart),
		cmocka_unit_test(test_get_state),
		cmocka_unit_test(gmem_vm_get_state_EINVAL),
		cmocka_unit_test(test_next_run),
		cmocka_unit_test(test_next_section),
		cmocka_unit_test(gmem_vm_next_run_EINVAL),
		cmocka_unit_test(test_states_of_a_large_region),
		cmocka_unit_test(access_functions_EIO_in_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
