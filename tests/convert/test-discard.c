// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Split regions hold no memory twice: what conversions free, in how many calls, at once or put off
 * up to a limit, of each kind of memory. What is freed is seen in the memory itself.
 */
#include "split-kit.h"

#include "tests/support/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The rules that hold for every kind of memory: each side is freed by one call when the other is
 * seen, of just those pages, and reads as zeros when it is seen again.
 */
static void frees_what_is_not_seen(struct stage *stage)
{
	struct gmem_vm_stats stats;

	fill(stage, 0, PAGES, 'a');
	assert_int_equal(shared_memory(stage), PAGES);
	convert(stage, 8, 16, GMEM_PRIVATE, 0);
	assert_int_equal(shared_memory(stage), PAGES - 16);
	assert_int_equal(stage->freed_count, 1);
	fill(stage, 8, 16, 'b');
	assert_int_equal(private_memory(stage), 16);
	convert(stage, 10, 4, GMEM_SHARED, 0);
	assert_int_equal(private_memory(stage), 12);
	assert_int_equal(stage->freed_count, 2);
	stats = stats_of(stage);
	assert_int_equal(stats.discards, 2);
	assert_int_equal(stats.discards_failed, 0);
	assert_int_equal(stats.bytes_discarded, 20 * stage->rig.page);
	assert_int_equal(stats.bytes_held_twice, 0);
	assert_int_equal(guest_byte(stage, 10), 0);
	assert_int_equal(guest_byte(stage, 8), 'b');
	assert_int_equal(guest_byte(stage, 7), 'a');
	/* To keep it: nothing is freed, and what was there is there again. */
	fill(stage, 30, 2, 'c');
	convert(stage, 30, 2, GMEM_PRIVATE, GMEM_CONVERT_KEEP);
	convert(stage, 30, 2, GMEM_SHARED, GMEM_CONVERT_KEEP);
	assert_int_equal(guest_byte(stage, 30), 'c');
	assert_int_equal(stage->freed_count, 2);
	rig_compare(&stage->rig);
}

static void expect_call(const struct stage *stage, uint32_t i, uint32_t nr, int advice)
{
	assert_true(i < stage->freed_count);
	assert_int_equal(stage->freed[i].nr, nr);
	assert_int_equal(stage->freed[i].advice, advice);
}

static void a_memfd_is_punched(void **state)
{
	struct stage stage;

	stage_open(&stage, *state, 0);
	frees_what_is_not_seen(&stage);
	expect_call(&stage, 0, GMEM_SYS_FALLOCATE, 0);
	assert_int_equal(stage.freed[0].fd, info_of(&stage).fd);
	assert_int_equal(stage.freed[0].offset, 8 * stage.rig.page);
	assert_int_equal(stage.freed[0].size, 16 * stage.rig.page);
	expect_call(&stage, 1, GMEM_SYS_FALLOCATE, 0);
	assert_int_equal(stage.freed[1].fd, info_of(&stage).guest_memfd);
	stage_close(&stage);
}

static void want_anonymous(struct stage *stage, struct gmem_region_config *config)
{
	(void)stage;
	gmem_region_config_set_memory(config, GMEM_MEMORY_ANON, 0);
}

static void anonymous_memory_is_dropped(void **state)
{
	struct stage stage;

	stage_open_size(&stage, *state, 0, PAGES, want_anonymous);
	frees_what_is_not_seen(&stage);
	expect_call(&stage, 0, GMEM_SYS_MADVISE, MADV_DONTNEED);
	stage_close(&stage);
}

static void want_guest_memfd(struct stage *stage, struct gmem_region_config *config)
{
	(void)stage;
	gmem_region_config_set_memory(config, GMEM_MEMORY_GUEST_MEMFD, 0);
}

static void a_second_guest_memfd_is_punched(void **state)
{
	struct stage stage;

	stage_open_size(&stage, *state, 0, PAGES, want_guest_memfd);
	frees_what_is_not_seen(&stage);
	expect_call(&stage, 0, GMEM_SYS_FALLOCATE, 0);
	assert_int_equal(stage.freed[0].fd, info_of(&stage).fd);
	stage_close(&stage);
}

/* Twice as long as need be, and the region begins in the middle. */
static void want_own_file(struct stage *stage, struct gmem_region_config *config)
{
	uint64_t size = PAGES * stage->rig.page;
	char byte = 'z';

	stage->fd = memfd_create("file", MFD_CLOEXEC);
	assert_true(stage->fd >= 0);
	assert_int_equal(ftruncate(stage->fd, (off_t)(2 * size)), 0);
	assert_int_equal(pwrite(stage->fd, &byte, 1, 8 * (off_t)stage->rig.page), 1);
	gmem_region_config_set_fd(config, stage->fd, size);
}

static void a_file_of_the_callers_is_punched_where_the_region_is(void **state)
{
	struct stage stage;
	char byte = 0;

	stage_open_size(&stage, *state, 0, PAGES, want_own_file);
	fill(&stage, 0, PAGES, 'a');
	convert(&stage, 8, 16, GMEM_PRIVATE, 0);
	assert_int_equal(stage.freed_count, 1);
	assert_int_equal(stage.freed[0].offset, (PAGES + 8) * stage.rig.page);
	/* The other half of the file is as it was. */
	assert_int_equal(pread(stage.fd, &byte, 1, 8 * (off_t)stage.rig.page), 1);
	assert_int_equal(byte, 'z');
	assert_int_equal(shared_memory(&stage), PAGES - 16 + 1);
	stage_close(&stage);
}

static void want_shared_mapping(struct stage *stage, struct gmem_region_config *config)
{
	uint64_t size = PAGES * stage->rig.page;

	stage->fd = memfd_create("mapping", MFD_CLOEXEC);
	assert_true(stage->fd >= 0);
	assert_int_equal(ftruncate(stage->fd, (off_t)size), 0);
	stage->mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, stage->fd, 0);
	assert_true(stage->mapping != MAP_FAILED);
	stage->mapping_size = size;
	gmem_region_config_set_mapping(config, stage->mapping, GMEM_MEMORY_SHMEM, 0);
}

static void a_shared_mapping_of_the_callers_is_removed(void **state)
{
	struct stage stage;

	stage_open_size(&stage, *state, 0, PAGES, want_shared_mapping);
	frees_what_is_not_seen(&stage);
	expect_call(&stage, 0, GMEM_SYS_MADVISE, MADV_REMOVE);
	stage_close(&stage);
}

static void want_private_mapping(struct stage *stage, struct gmem_region_config *config)
{
	uint64_t size = PAGES * stage->rig.page;

	stage->mapping =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(stage->mapping != MAP_FAILED);
	stage->mapping_size = size;
	gmem_region_config_set_mapping(config, stage->mapping, GMEM_MEMORY_ANON, 0);
}

static void an_anonymous_mapping_of_the_callers_is_dropped(void **state)
{
	struct stage stage;

	stage_open_size(&stage, *state, 0, PAGES, want_private_mapping);
	frees_what_is_not_seen(&stage);
	expect_call(&stage, 0, GMEM_SYS_MADVISE, MADV_DONTNEED);
	stage_close(&stage);
}

/* Huge pages that nobody has to have: nothing is touched, and none is reserved. */
static void want_huge_pages(struct stage *stage, struct gmem_region_config *config)
{
	(void)stage;
	gmem_region_config_set_memory(config, GMEM_MEMORY_HUGETLB, 2 * MIB);
	gmem_region_config_set_flags(config, GMEM_REGION_NO_RESERVE);
}

static bool has_huge_pages(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Only whole huge pages, only if asked to, and private pages as ever. */
static void huge_pages_are_freed_as_wholes_where_asked(void **state)
{
	uint64_t huge = 512;
	struct stage stage;

	if (!has_huge_pages()) {
		print_message("this host has no huge pages of 2 MiB\n");
		skip();
	}
	stage_open_size(&stage, *state, 0, 4 * huge, want_huge_pages);
	convert(&stage, 0, 4 * huge, GMEM_PRIVATE, 0);
	assert_int_equal(stage.freed_count, 0);
	convert(&stage, 0, 4 * huge, GMEM_SHARED, 0);
	assert_int_equal(stage.freed_count, 1);
	assert_int_equal(stage.freed[0].fd, info_of(&stage).guest_memfd);
	/* From the middle of the first to the middle of the last: two are whole. */
	convert(&stage, 100, 3 * huge, GMEM_PRIVATE, GMEM_CONVERT_FREE_HUGETLB);
	assert_int_equal(stage.freed_count, 2);
	assert_int_equal(stage.freed[1].fd, info_of(&stage).fd);
	assert_int_equal(stage.freed[1].offset, 2 * MIB);
	assert_int_equal(stage.freed[1].size, 4 * MIB);
	/* Less than one: no call. */
	convert(&stage, 0, 100, GMEM_PRIVATE, GMEM_CONVERT_FREE_HUGETLB);
	assert_int_equal(stage.freed_count, 2);
	assert_int_equal(stats_of(&stage).discards, 2);
	stage_close(&stage);
	/* Put off, pieces come together. */
	stage_open_size(&stage, *state, 16 * MIB, 4 * huge, want_huge_pages);
	convert(&stage, 600, 424, GMEM_PRIVATE, GMEM_CONVERT_FREE_HUGETLB);
	convert(&stage, 500, 100, GMEM_PRIVATE, GMEM_CONVERT_FREE_HUGETLB);
	assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, NULL), 0);
	assert_int_equal(stage.freed_count, 1);
	assert_int_equal(stage.freed[0].offset, 2 * MIB);
	assert_int_equal(stage.freed[0].size, 2 * MIB);
	stage_close(&stage);
}

static void want_private_huge_pages(struct stage *stage, struct gmem_region_config *config)
{
	stage->mapping_size = 4 * MIB;
	stage->mapping = mmap(NULL, stage->mapping_size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE | 21 << 26,
			      -1, 0);
	assert_true(stage->mapping != MAP_FAILED);
	gmem_region_config_set_mapping(config, stage->mapping, GMEM_MEMORY_HUGETLB, 2 * MIB);
}

/* A file cannot be punched where there is none. */
static void private_huge_pages_of_the_callers_are_dropped(void **state)
{
	struct stage stage;

	if (!has_huge_pages()) {
		print_message("this host has no huge pages of 2 MiB\n");
		skip();
	}
	stage_open_size(&stage, *state, 0, 1024, want_private_huge_pages);
	convert(&stage, 0, 1024, GMEM_PRIVATE, GMEM_CONVERT_FREE_HUGETLB);
	expect_no_message(stage.rig.logs);
	expect_call(&stage, stage.freed_count - 1, GMEM_SYS_MADVISE, MADV_DONTNEED);
	assert_int_equal(stats_of(&stage).discards, 1);
	assert_int_equal(stats_of(&stage).discards_failed, 0);
	stage_close(&stage);
}

static void a_failure_is_a_warning(void **state)
{
	struct gmem_vm_stats stats;
	struct gmem_report report;
	struct stage stage;

	stage_open(&stage, *state, 0);
	fill(&stage, 0, PAGES, 'a');
	assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -ENOMEM, 0), 0);
	assert_int_equal(rig_convert(&stage.rig, 0, 8, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.error, 0);
	expect_one_message(stage.rig.logs, GMEM_LOG_WARNING, "region \"ram\"", "memfd", "ENOMEM",
			   "stay allocated");
	stats = stats_of(&stage);
	assert_int_equal(stats.discards, 1);
	assert_int_equal(stats.discards_failed, 1);
	assert_int_equal(stats.bytes_discarded, 0);
	assert_int_equal(stats.conversions_failed, 0);
	assert_int_equal(shared_memory(&stage), PAGES);
	/* A signal is none. */
	assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EINTR, 0), 0);
	convert(&stage, 8, 8, GMEM_PRIVATE, 0);
	assert_int_equal(shared_memory(&stage), PAGES - 8);
	assert_int_equal(stats_of(&stage).discards, 2);
	/* Put off: it is not tried again for ever. */
	stage_close(&stage);
	stage_open(&stage, *state, PAGES * 65536);
	convert(&stage, 0, 8, GMEM_PRIVATE, 0);
	assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EIO, 0), 0);
	assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, NULL), -EIO);
	expect_one_message(stage.rig.logs, GMEM_LOG_ERROR, "gmem_vm_flush", "stay allocated",
			   "EIO");
	assert_int_equal(stats_of(&stage).bytes_held_twice, 0);
	assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, NULL), 0);
	stage_close(&stage);
}

/* A conversion that fails half-way frees what it converted, and nothing else. */
static void half_a_conversion_frees_its_half(void **state)
{
	struct gmem_pin pin;
	struct stage stage;

	stage_open(&stage, *state, 0);
	fill(&stage, 0, PAGES, 'a');
	assert_int_equal(gmem_vm_pin(stage.rig.vm, 4 * stage.rig.page, 1, 0, &pin), 0);
	assert_int_equal(rig_convert(&stage.rig, 0, 8, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, NULL),
			 -EAGAIN);
	assert_int_equal(shared_memory(&stage), PAGES - 7);
	assert_int_equal(stage.freed_count, 2);
	assert_int_equal(*(char *)pin.host, 'a');
	gmem_vm_unpin(stage.rig.vm, &pin);
	/* Taken back: it is as it was, and nothing was freed. */
	convert(&stage, 0, 8, GMEM_SHARED, 0);
	fill(&stage, 0, 8, 'a');
	stage.freed_count = 0;
	assert_int_equal(gmem_vm_pin(stage.rig.vm, 4 * stage.rig.page, 1, 0, &pin), 0);
	assert_int_equal(rig_convert(&stage.rig, 0, 8, GMEM_PRIVATE,
				     GMEM_CONVERT_NOWAIT | GMEM_CONVERT_ROLLBACK, NULL),
			 -EAGAIN);
	assert_int_equal(stage.freed_count, 0);
	assert_int_equal(shared_memory(&stage), PAGES);
	gmem_vm_unpin(stage.rig.vm, &pin);
	stage_close(&stage);
}

static void neighbours_become_one_call(void **state)
{
	static const uint64_t orders[][4] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 0, 2, 3, 1 } };
	struct stage stage;
	uint32_t order, i;

	for (order = 0; order < 3; order++) {
		stage_open(&stage, *state, 4 * MIB);
		fill(&stage, 0, PAGES, 'a');
		for (i = 0; i < 4; i++)
			convert(&stage, 8 + 4 * orders[order][i], 4, GMEM_PRIVATE, 0);
		assert_int_equal(stage.freed_count, 0);
		assert_int_equal(stats_of(&stage).bytes_held_twice, 16 * stage.rig.page);
		/* Asked to be what they are: no more of it. */
		convert(&stage, 8, 16, GMEM_PRIVATE, 0);
		assert_int_equal(stats_of(&stage).bytes_held_twice, 16 * stage.rig.page);
		convert(&stage, 10, 2, GMEM_PRIVATE, 0);
		assert_int_equal(stats_of(&stage).bytes_held_twice, 16 * stage.rig.page);
		assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, NULL), 0);
		assert_int_equal(stage.freed_count, 1);
		assert_int_equal(stage.freed[0].offset, 8 * stage.rig.page);
		assert_int_equal(stage.freed[0].size, 16 * stage.rig.page);
		assert_int_equal(shared_memory(&stage), PAGES - 16);
		assert_int_equal(stats_of(&stage).bytes_held_twice, 0);
		assert_int_equal(stats_of(&stage).bytes_discarded, 16 * stage.rig.page);
		stage_close(&stage);
	}
}

static void never_more_than_the_limit_is_held_twice(void **state)
{
	const uint64_t limit = 8 * PAGE;
	struct stage stage;
	uint32_t i;

	stage_open(&stage, *state, limit);
	fill(&stage, 0, PAGES, 'a');
	for (i = 0; i < PAGES; i += 2) {
		uint64_t private = i / 2 + 1;

		convert(&stage, i, 1, GMEM_PRIVATE, 0);
		fill(&stage, i, 1, 'b');
		assert_true(stats_of(&stage).bytes_held_twice <= limit);
		/* What is there is what the guest sees, and what waits. */
		assert_int_equal(private_memory(&stage), private);
		assert_int_equal((shared_memory(&stage) + private) * stage.rig.page,
				 PAGES * stage.rig.page + stats_of(&stage).bytes_held_twice);
	}
	/* Larger than the limit: at once. */
	convert(&stage, 0, PAGES, GMEM_PRIVATE, 0);
	assert_int_equal(shared_memory(&stage), 0);
	stage_close(&stage);
}

static void what_is_seen_again_is_not_freed(void **state)
{
	struct stage stage;

	stage_open(&stage, *state, 4 * MIB);
	fill(&stage, 0, PAGES, 'a');
	convert(&stage, 0, 32, GMEM_PRIVATE, 0);
	fill(&stage, 0, 32, 'b');
	/* The middle is seen again, and holds what it held. */
	convert(&stage, 8, 8, GMEM_SHARED, 0);
	assert_int_equal(guest_byte(&stage, 8), 'a');
	assert_int_equal(guest_byte(&stage, 15), 'a');
	assert_int_equal(stats_of(&stage).bytes_held_twice, 32 * stage.rig.page);
	/* And of that again a part. */
	convert(&stage, 10, 2, GMEM_PRIVATE, 0);
	assert_int_equal(guest_byte(&stage, 10), 'b');
	assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, NULL), 0);
	assert_int_equal(guest_byte(&stage, 10), 'b');
	assert_int_equal(guest_byte(&stage, 9), 'a');
	assert_int_equal(guest_byte(&stage, 0), 'b');
	assert_int_equal(shared_memory(&stage), PAGES - 32 + 6);
	assert_int_equal(private_memory(&stage), 32 - 6);
	rig_compare(&stage.rig);
	stage_close(&stage);
}

static void unmap_and_free_take_what_waits_along(void **state)
{
	struct gmem_vm *vm;
	struct stage stage;

	stage_open(&stage, *state, 4 * MIB);
	fill(&stage, 0, PAGES, 'a');
	convert(&stage, 8, 8, GMEM_PRIVATE, 0);
	assert_int_equal(gmem_vm_unmap(stage.rig.vm, 0, PAGES * stage.rig.page), 0);
	assert_int_equal(stage.freed_count, 1);
	assert_int_equal(stats_of(&stage).bytes_held_twice, 0);
	assert_int_equal(shared_memory(&stage), PAGES - 8);
	rig_map(&stage.rig, 0, stage.region, 0, PAGES);
	convert(&stage, 16, 8, GMEM_PRIVATE, 0);
	assert_int_equal(stats_of(&stage).bytes_held_twice, 8 * stage.rig.page);
	/* The VM ends, and the region before or after it: for leaks to be seen. */
	vm = stage.rig.vm;
	stage.rig.vm = NULL;
	gmem_vm_free(vm);
	stage_close(&stage);
}

/* Sections that follow each other: a call for each region, since that is what a file is. */
static void a_conversion_over_sections_frees_each(void **state)
{
	struct stage stage;

	stage_open(&stage, *state, 4 * MIB);
	rig_region(&stage.rig, PAGES);
	rig_map(&stage.rig, PAGES, stage.rig.region[1], 0, PAGES / 2);
	rig_map(&stage.rig, PAGES + PAGES / 2, stage.rig.region[1], PAGES / 2, PAGES / 2);
	stage.freed_count = 0;
	convert(&stage, PAGES / 2, PAGES, GMEM_PRIVATE, 0);
	convert(&stage, PAGES + PAGES / 2, PAGES / 4, GMEM_PRIVATE, 0);
	assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, NULL), 0);
	/* Two windows of one file that follow each other in it and in the guest are one. */
	assert_int_equal(stage.freed_count, 2);
	assert_int_equal(stage.freed[0].size + stage.freed[1].size,
			 (PAGES + PAGES / 4) * stage.rig.page);
	stage_close(&stage);
}

/* A model of both sides: what the guest sees is never lost, and the bound is kept. */
static void random_conversions_lose_nothing(void **state)
{
	uint64_t random = random_seed("discards"), i, k, limit;
	char shown[PAGES], other;
	bool private[PAGES] = { false };
	struct stage stage;

	limit = (1 + random_below(&random, PAGES)) * PAGE;
	stage_open(&stage, *state, limit);
	fill(&stage, 0, PAGES, 'a');
	memset(shown, 'a', sizeof(shown));
	for (i = 0; i < 600; i++) {
		uint64_t page = random_below(&random, PAGES);
		uint64_t pages = 1 + random_below(&random, PAGES - page);
		uint32_t to = random_below(&random, 2) ? GMEM_PRIVATE : GMEM_SHARED;

		convert(&stage, page, pages, to, random_below(&random, 4) ? 0 : GMEM_CONVERT_KEEP);
		for (k = page; k < page + pages; k++) {
			if (private[k] == (to == GMEM_PRIVATE))
				continue;
			private[k] = !private[k];
			shown[k] = (char)('a' + random_below(&random, 26));
			fill(&stage, k, 1, shown[k]);
		}
		if (!random_below(&random, 10))
			assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, NULL), 0);
		for (k = 0; k < PAGES; k++) {
			other = guest_byte(&stage, k);
			assert_int_equal(other, shown[k]);
		}
		assert_true(stats_of(&stage).bytes_held_twice <= limit);
		stage.freed_count = 0;
	}
	rig_compare(&stage.rig);
	stage_close(&stage);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(a_memfd_is_punched, SPLIT_SMALL),
		RIG_CASE(anonymous_memory_is_dropped, SPLIT_SMALL),
		RIG_CASE(a_second_guest_memfd_is_punched, SPLIT_PER_FILE),
		RIG_CASE(a_file_of_the_callers_is_punched_where_the_region_is, SPLIT_SMALL),
		RIG_CASE(a_shared_mapping_of_the_callers_is_removed, SPLIT_SMALL),
		RIG_CASE(an_anonymous_mapping_of_the_callers_is_dropped, SPLIT_SMALL),
		RIG_CASE(huge_pages_are_freed_as_wholes_where_asked, SPLIT_SMALL),
		RIG_CASE(private_huge_pages_of_the_callers_are_dropped, SPLIT_SMALL),
		RIG_CASE(a_failure_is_a_warning, SPLIT_SMALL),
		RIG_CASE(half_a_conversion_frees_its_half, SPLIT_SMALL),
		RIG_CASE(neighbours_become_one_call, SPLIT_SMALL),
		RIG_CASE(never_more_than_the_limit_is_held_twice, SPLIT_SMALL),
		RIG_CASE(what_is_seen_again_is_not_freed, SPLIT_SMALL),
		RIG_CASE(unmap_and_free_take_what_waits_along, SPLIT_SMALL),
		RIG_CASE(a_conversion_over_sections_frees_each, SPLIT_SMALL),
		RIG_CASE(random_conversions_lose_nothing, SPLIT_SMALL),
	};

	return rig_run("discards", cases, sizeof(cases) / sizeof(cases[0]));
}
