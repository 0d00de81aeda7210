// SPDX-License-Identifier: LGPL-2.1-or-later
/* What many private pages take: memory, and mappings of the kernel's. */
#include "sim-kit.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAPPINGS 20

static void start(struct kit *kit, uint64_t sigbus, const uint64_t *mappings)
{
	const uint64_t settings[] = { GMEM_SIM_SIGBUS, sigbus, mappings ? GMEM_SIM_MAPPINGS : 0,
				      mappings ? *mappings : 0, 0 };
	struct gmem_sim *probe;
	int err;

	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &probe), 0);
	err = gmem_sim_set(probe, GMEM_SIM_SIGBUS, sigbus);
	gmem_sim_free(probe);
	if (err < 0) {
		print_message("this host lets us have no userfaultfd\n");
		skip();
	}
	kit_new_with(kit, GMEM_SIM_IN_PLACE, SW, settings);
}

/* Bytes of all memfds that this process has open; each inode is another file. */
static uint64_t memory_of_files(void)
{
	static ino_t seen[4096];
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	size_t count = 0, i;
	uint64_t sum = 0;

	assert_non_null(directory);
	while ((entry = readdir(directory))) {
		struct stat status;
		char path[300], target[16] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		if (readlink(path, target, sizeof(target) - 1) < 0 ||
		    strncmp(target, "/memfd:", 7) != 0 || stat(path, &status) < 0)
			continue;
		for (i = 0; i < count && seen[i] != status.st_ino; i++)
			;
		if (i < count || count == sizeof(seen) / sizeof(seen[0]))
			continue;
		seen[count++] = status.st_ino;
		sum += (uint64_t)status.st_blocks * 512;
	}
	closedir(directory);
	return sum;
}

/* Mappings of guest_memfd files, the kernel's way of counting. */
static unsigned int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned int count = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "guest_memfd") != NULL;
	fclose(maps);
	return count;
}

/* Not in order, each page once. */
static uint64_t place(uint64_t i, uint64_t count, uint64_t distance)
{
	return i * 5003 % count * distance;
}

/* 8192 pages all over 4 GiB, and back: no more memory than what was touched. */
static void memory(void **state)
{
	const uint64_t count = 8192, distance = 512 << 10;
	uint64_t before, i;
	struct kit kit;
	uint8_t *map;
	int fd;

	(void)state;
	start(&kit, GMEM_SIM_SIGBUS_USERFAULTFD, NULL);
	fd = kit_create(&kit, count * distance, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, count * distance);
	before = memory_of_files();
	for (i = 0; i < count; i++) {
		uint64_t at = place(i, count, distance);

		map[at] = (uint8_t)(i | 1);
		assert_int_equal(kit_convert(&kit, fd, at, PAGE, true, NULL), 0);
	}
	assert_in_range(memory_of_files() - before, count * PAGE, (64 << 20) - 1);
	for (i = 0; i < count; i++) {
		uint64_t at = place(i, count, distance);

		assert_private(map + at);
		assert_byte(map + at + PAGE, 0);
		assert_int_equal(kit_convert(&kit, fd, at, PAGE, false, NULL), 0);
		assert_byte(map + at, (uint8_t)(i | 1));
	}
	assert_in_range(memory_of_files() - before, count * PAGE, 3 * count * PAGE);
	assert_int_equal(count_mappings(), 1);
	kit_unmap(&kit, map, count * distance);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* What turns private or shared in large pieces takes nothing, whatever the limit. */
static void untouched_memory(void **state)
{
	struct kit kit;
	uint8_t *map;
	int fd;

	start(&kit, GMEM_SIM_SIGBUS_USERFAULTFD, *state);
	fd = kit_create(&kit, 1024 * GIB, MMAP_FLAG);
	map = kit_map(&kit, fd, 1024 * GIB);
	assert_private(map + 7 * GIB);
	assert_int_equal(kit_convert(&kit, fd, GIB, 900 * GIB, false, NULL), 0);
	assert_private(map);
	assert_byte(map + 3 * GIB, 0);
	assert_int_equal(kit_convert(&kit, fd, 2 * GIB, 100 * GIB, true, NULL), 0);
	assert_private(map + 3 * GIB);
	assert_byte(map + 200 * GIB, 0);
	assert_in_range(memory_of_files(), PAGE, MIB);
	kit_unmap(&kit, map, 1024 * GIB);
	kit_close(&kit, fd);
	kit_free(&kit);
}

struct world {
	struct kit kit;
	uint8_t *map[MAPPINGS];
	uint64_t size;
	int fd;
};

/* Each page that is a multiple of three holds a byte; every other of these turns private. */
static void scatter(struct world *world, unsigned int mappings)
{
	uint64_t pages = world->size / PAGE, i;

	for (i = 0; i < pages; i += 3)
		world->map[0][i * PAGE] = (uint8_t)(i | 1);
	for (i = 0; i < pages; i += 3)
		assert_int_equal(kit_convert(&world->kit, world->fd, i * PAGE, PAGE, true, NULL),
				 0);
	for (i = 0; i < pages; i++)
		assert_int_equal(kit_get(world->map[i % mappings] + i * PAGE), i % 3 ? 0 : -1);
	for (i = 0; i < pages; i += 6)
		assert_int_equal(kit_convert(&world->kit, world->fd, i * PAGE, PAGE, false, NULL),
				 0);
}

static void check(struct world *world, const uint8_t *map)
{
	uint64_t pages = world->size / PAGE, i;

	for (i = 0; i < pages; i += 3)
		assert_int_equal(kit_get(map + i * PAGE), i % 6 ? -1 : (int)(uint8_t)(i | 1));
	for (i = 1; i < pages; i += 3)
		assert_byte(map + i * PAGE, 0);
}

static void start_world(struct world *world, uint64_t sigbus, const uint64_t *limit, uint64_t size,
			unsigned int mappings)
{
	unsigned int i;

	memset(world, 0, sizeof(*world));
	start(&world->kit, sigbus, limit);
	world->size = size;
	world->fd = kit_create(&world->kit, size, MMAP_FLAG | SHARED_FLAG);
	for (i = 0; i < mappings; i++)
		world->map[i] = kit_map(&world->kit, world->fd, size);
}

static void end_world(struct world *world)
{
	uint64_t pages = world->size / PAGE, i;
	unsigned int j;

	assert_int_equal(kit_convert(&world->kit, world->fd, 0, world->size, false, NULL), 0);
	for (i = 0; i < pages; i += 3)
		assert_byte(world->map[0] + i * PAGE, (uint8_t)(i | 1));
	for (j = 0; j < MAPPINGS && world->map[j]; j++)
		kit_unmap(&world->kit, world->map[j], world->size);
	kit_close(&world->kit, world->fd);
	kit_free(&world->kit);
}

/* Thousands of pages, whatever raises SIGBUS, and with windows joined in the middle of it. */
static void thousands(void **state)
{
	const uint64_t *variant = *state;
	struct world world;

	start_world(&world, variant[0], variant[0] == GMEM_SIM_SIGBUS_MAPPING ? NULL : &variant[1],
		    12000 * PAGE, 1);
	scatter(&world, 1);
	check(&world, world.map[0]);
	end_world(&world);
}

/* No mapping is cut, whatever is converted, and one that is new is whole as well. */
static void mappings_in_one_piece(void **state)
{
	const uint64_t none = 0;
	struct world world;

	(void)state;
	start_world(&world, GMEM_SIM_SIGBUS_USERFAULTFD, &none, 16 * MIB, 2);
	assert_int_equal(count_mappings(), 2);
	scatter(&world, 2);
	assert_int_equal(count_mappings(), 2);
	world.map[2] = kit_map(&world.kit, world.fd, world.size);
	assert_int_equal(count_mappings(), 3);
	check(&world, world.map[1]);
	check(&world, world.map[2]);
	end_world(&world);
}

/* The limit is one for all mappings of all files. */
static void many_mappings(void **state)
{
	const uint64_t limit = 3000;
	struct world world;
	uint8_t *other;
	int fd;

	(void)state;
	start_world(&world, GMEM_SIM_SIGBUS_USERFAULTFD, &limit, 8 * MIB, MAPPINGS);
	fd = kit_create(&world.kit, 1000 * PAGE, MMAP_FLAG | SHARED_FLAG);
	other = kit_map(&world.kit, fd, 1000 * PAGE);
	scatter(&world, MAPPINGS);
	check(&world, world.map[MAPPINGS - 1]);
	assert_int_equal(kit_convert(&world.kit, fd, PAGE, PAGE, true, NULL), 0);
	assert_private(other + PAGE);
	assert_byte(other, 0);
	assert_in_range(count_mappings(), MAPPINGS + 1, limit + limit / 8 + MAPPINGS + 1);
	kit_unmap(&world.kit, other, 1000 * PAGE);
	kit_close(&world.kit, fd);
	end_world(&world);
}

/* What joined stays right when new mappings come while windows are many. */
static void mapped_later(void **state)
{
	const uint64_t limit = 3000;
	struct world world;
	unsigned int i;

	(void)state;
	start_world(&world, GMEM_SIM_SIGBUS_USERFAULTFD, &limit, 8 * MIB, 1);
	scatter(&world, 1);
	for (i = 1; i < MAPPINGS; i++)
		world.map[i] = kit_map(&world.kit, world.fd, world.size);
	assert_in_range(count_mappings(), MAPPINGS, limit + MAPPINGS);
	check(&world, world.map[0]);
	check(&world, world.map[MAPPINGS - 1]);
	end_world(&world);
}

int main(void)
{
	static uint64_t none;
	static uint64_t uffd[] = { GMEM_SIM_SIGBUS_USERFAULTFD, 60000 };
	static uint64_t joining[] = { GMEM_SIM_SIGBUS_USERFAULTFD, 500 };
	static uint64_t mapping[] = { GMEM_SIM_SIGBUS_MAPPING };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory),
		cmocka_unit_test(untouched_memory),
		{ "untouched memory, no mapping to spare", untouched_memory, NULL, NULL, &none },
		{ "thousands, userfaultfd", thousands, NULL, NULL, uffd },
		{ "thousands, joining", thousands, NULL, NULL, joining },
		{ "thousands, mappings", thousands, NULL, NULL, mapping },
		cmocka_unit_test(mappings_in_one_piece),
		cmocka_unit_test(many_mappings),
		cmocka_unit_test(mapped_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
