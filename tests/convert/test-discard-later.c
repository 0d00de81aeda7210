// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What conversions put off: in however many pieces it is, nothing of it is forgotten, no more than
 * the limit waits, and what is seen by then is not freed.
 */
#include "split-kit.h"

#include "libgmem/claim.h"
#include "libgmem/discard.h"
#include "libgmem/uapi/kvm.h"
#include "tests/support/faults.h"
#include "tests/support/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_LIMIT (UINT64_C(1) << 40)

static uint64_t pages_held(struct stage *stage)
{
	return stats_of(stage).bytes_held_twice / stage->rig.page;
}

static void flush(struct stage *stage)
{
	assert_int_equal(gmem_vm_flush(stage->rig.vm, 0, NULL), 0);
	assert_int_equal(pages_held(stage), 0);
}

static void fragments_wait_like_all_else(void **state)
{
	const uint64_t pages = 1024;
	struct stage stage;
	uint64_t i;

	stage_open_size(&stage, *state, NO_LIMIT, pages, NULL);
	fill(&stage, 0, pages, 'a');
	for (i = 0; i < pages; i += 2) {
		convert(&stage, i, 1, GMEM_PRIVATE, 0);
		assert_int_equal(pages_held(&stage), i / 2 + 1);
	}
	assert_int_equal(stage.freed_count, 0);
	flush(&stage);
	assert_int_equal(stage.freed_count, pages / 2);
	assert_int_equal(shared_memory(&stage), pages / 2);
	/* One large piece, cut again and again. */
	convert(&stage, 0, pages, GMEM_SHARED, 0);
	fill(&stage, 0, pages, 'b');
	flush(&stage);
	convert(&stage, 0, pages, GMEM_PRIVATE, 0);
	for (i = 0; i < pages; i += 2)
		convert(&stage, i, 1, GMEM_SHARED, GMEM_CONVERT_KEEP);
	assert_int_equal(pages_held(&stage), pages / 2);
	flush(&stage);
	assert_int_equal(shared_memory(&stage), pages / 2);
	stage_close(&stage);
}

/* All at once, so that nobody can flush in between. */
static void cut_in_one_batch(struct stage *stage, uint64_t pages, uint64_t count, uint32_t flags)
{
	struct gmem_range *ranges = support_new(count * sizeof(*ranges));
	uint64_t i;

	fill(stage, 0, pages, 'a');
	convert(stage, 0, pages, GMEM_PRIVATE, flags);
	fill(stage, 0, pages, 'b');
	for (i = 0; i < count; i++)
		ranges[i] = (struct gmem_range){ .gpa = 2 * i * stage->rig.page,
						 .size = stage->rig.page };
	assert_int_equal(
		gmem_vm_convert_ranges(stage->rig.vm, ranges, count, GMEM_SHARED, flags, NULL), 0);
	/* Of each page one side waits, whichever is not seen. */
	assert_int_equal(pages_held(stage), pages);
	for (i = 0; i < count; i++)
		assert_int_equal(guest_byte(stage, 2 * i), 'a');
	flush(stage);
	assert_int_equal(shared_memory(stage), count);
	assert_int_equal(private_memory(stage), pages - count);
	assert_int_equal(guest_byte(stage, 1), 'b');
	free(ranges);
}

static void a_batch_cuts_what_waits(void **state)
{
	static const uint32_t flags[] = { 0, GMEM_CONVERT_NOWAIT };
	const uint64_t pages = 2048;
	struct stage stage;
	uint32_t i;

	for (i = 0; i < 2; i++) {
		stage_open_size(&stage, *state, NO_LIMIT, pages, NULL);
		cut_in_one_batch(&stage, pages, 1000, flags[i]);
		rig_compare(&stage.rig);
		stage_close(&stage);
	}
}

/* It has no time to wait for others, but these calls have to be made by somebody. */
static void who_has_no_time_frees_too(void **state)
{
	struct stage stage;
	uint64_t i;

	stage_open(&stage, *state, 8 * PAGE);
	fill(&stage, 0, PAGES, 'a');
	for (i = 0; i < 8; i++)
		convert(&stage, 2 * i, 1, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT);
	assert_int_equal(pages_held(&stage), 8);
	assert_int_equal(stage.freed_count, 0);
	convert(&stage, 16, 1, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT);
	assert_int_equal(pages_held(&stage), 0);
	assert_int_equal(shared_memory(&stage), PAGES - 9);
	stage_close(&stage);
}

/* The turn counts up whenever a claim ends. */
static void a_flush_takes_few_claims(void **state)
{
	const uint64_t pages = 2048;
	struct stage stage;
	uint32_t before;
	uint64_t i;

	stage_open_size(&stage, *state, NO_LIMIT, pages, NULL);
	fill(&stage, 0, pages, 'a');
	for (i = 0; i < pages; i += 2)
		convert(&stage, i, 1, GMEM_PRIVATE, 0);
	before = atomic_load(&stage.rig.vm->claims.turn);
	flush(&stage);
	assert_int_equal(atomic_load(&stage.rig.vm->claims.turn) - before, pages / 2 / 64);
	assert_int_equal(shared_memory(&stage), pages / 2);
	/* Large ones come one at a time, and are not cut. */
	convert(&stage, 0, pages, GMEM_SHARED, 0);
	flush(&stage);
	convert(&stage, 0, pages / 2, GMEM_PRIVATE, 0);
	convert(&stage, pages / 2 + 1, pages / 2 - 1, GMEM_PRIVATE, 0);
	stage.freed_count = 0;
	before = atomic_load(&stage.rig.vm->claims.turn);
	flush(&stage);
	assert_int_equal(atomic_load(&stage.rig.vm->claims.turn) - before, 2);
	assert_int_equal(stage.freed_count, 2);
	assert_int_equal(stage.freed[0].size, pages / 2 * PAGE);
	stage_close(&stage);
}

/* As with memory below and above 4 GiB: far apart in the guest, neighbours in the file. */
static void what_continues_beyond_a_hole_is_one_call(void **state)
{
	const uint64_t far = 1 << 20;
	struct stage stage;

	stage_open(&stage, *state, NO_LIMIT);
	rig_region(&stage.rig, PAGES);
	rig_map(&stage.rig, PAGES, stage.rig.region[1], 0, PAGES / 2);
	rig_map(&stage.rig, far, stage.rig.region[1], PAGES / 2, PAGES / 2);
	stage.freed_count = 0;
	convert(&stage, PAGES + PAGES / 2 - 4, 4, GMEM_PRIVATE, 0);
	convert(&stage, far, 8, GMEM_PRIVATE, 0);
	flush(&stage);
	assert_int_equal(stage.freed_count, 1);
	assert_int_equal(stage.freed[0].offset, (PAGES / 2 - 4) * PAGE);
	assert_int_equal(stage.freed[0].size, 12 * PAGE);
	stage_close(&stage);
}

/* Also of pages that are as asked for already. */
static void who_asks_last_decides(void **state)
{
	struct stage stage;

	stage_open(&stage, *state, NO_LIMIT);
	fill(&stage, 0, PAGES, 'a');
	convert(&stage, 0, 8, GMEM_PRIVATE, 0);
	convert(&stage, 2, 4, GMEM_PRIVATE, GMEM_CONVERT_KEEP);
	assert_int_equal(pages_held(&stage), 4);
	flush(&stage);
	assert_int_equal(shared_memory(&stage), PAGES - 4);
	convert(&stage, 2, 4, GMEM_PRIVATE, 0);
	flush(&stage);
	assert_int_equal(shared_memory(&stage), PAGES - 8);
	stage_close(&stage);
}

/* Converts a page through the same guest_memfd, as somebody else can. */
static void share_behind_our_back(struct stage *stage, uint64_t page)
{
	int fd = info_of(stage).guest_memfd;
	struct gmem_kvm_memory_attributes2 request = {
		.offset = page * stage->rig.page,
		.size = stage->rig.page,
	};
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2,
						   (uint64_t)(uintptr_t)&request };

	assert_int_equal(stage->rig.kernel.call(GMEM_SYS_IOCTL, arg, stage->rig.kernel.opaque), 0);
	assert_int_equal(gmem_sim_pin(stage->rig.sim, fd, request.offset, request.size, 0), 0);
}

/*
 * A page that waits to be freed on the shared side, and is found to be shared after all: what the
 * host writes there from then on is not lost.
 */
static void what_is_seen_by_now_is_not_freed(void **state)
{
	char byte = 'z', read = 0;
	struct stage stage;

	stage_open(&stage, *state, NO_LIMIT);
	fill(&stage, 0, PAGES, 'a');
	convert(&stage, 0, 8, GMEM_PRIVATE, 0);
	share_behind_our_back(&stage, 4);
	assert_int_equal(rig_convert(&stage.rig, 4, 1, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, NULL),
			 -EAGAIN);
	assert_int_equal(gmem_vm_get_state(stage.rig.vm, 4 * PAGE, PAGE), GMEM_SHARED);
	assert_int_equal(gmem_vm_write(stage.rig.vm, 4 * PAGE, &byte, 1, 0), 0);
	flush(&stage);
	assert_int_equal(gmem_vm_read(stage.rig.vm, 4 * PAGE, &read, 1, 0), 0);
	assert_int_equal(read, 'z');
	assert_int_equal(shared_memory(&stage), PAGES - 7);
	stage_close(&stage);
}

static int new_split_region(struct stage *stage, struct gmem_region **region)
{
	struct gmem_region_config *config;
	int rc;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_SPLIT);
	gmem_region_config_set_state(config, GMEM_SHARED);
	gmem_region_config_set_name(config, "other");
	rc = gmem_region_new(stage->rig.vm, 2 * PAGES * PAGE, config, region);
	gmem_region_config_free(config);
	return rc;
}

/* Every mapping of a new region fails once; the last two are for states and for what waits. */
static void there_is_room_for_every_page_or_no_region(void **state)
{
	struct gmem_region *region = NULL;
	struct stage stage;
	uint64_t nth;
	int rc;

	stage_open(&stage, *state, NO_LIMIT);
	for (nth = 1;; nth++) {
		assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_MMAP, 0, nth, -ENOMEM, 0),
				 0);
		rc = new_split_region(&stage, &region);
		gmem_sim_clear_failures(stage.rig.sim);
		if (!rc)
			break;
		assert_int_equal(rc, -ENOMEM);
		assert_null(region);
		expect_one_message(stage.rig.logs, GMEM_LOG_ERROR, "region \"other\"");
	}
	assert_true(nth > 3);
	gmem_region_free(region);
	stage_close(&stage);
}

/* Without an address nobody else can be at work on it. */
static void put_off(struct stage *stage, struct gmem_region *region, uint64_t pages)
{
	const struct discard discard = { .region = region, .size = pages * PAGE };
	uint64_t freed;

	assert_false(gmem_discard_later(stage->rig.vm, &discard, &freed));
	assert_int_equal(freed, 0);
	assert_int_equal(pages_held(stage), pages);
}

static void what_waits_goes_with_its_region(void **state)
{
	struct gmem_region *region;
	struct stage stage;

	stage_open(&stage, *state, NO_LIMIT);
	assert_int_equal(new_split_region(&stage, &region), 0);
	put_off(&stage, region, 10);
	/* As where memory is locked. */
	assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_MADVISE, 0, 0, -EINVAL, 0), 0);
	gmem_region_free(region);
	gmem_sim_clear_failures(stage.rig.sim);
	assert_int_equal(pages_held(&stage), 0);
	/* The next of the same size, which gets its memory for states, has nothing that waits. */
	assert_int_equal(new_split_region(&stage, &region), 0);
	rig_map(&stage.rig, PAGES, region, 0, PAGES);
	stage.freed_count = 0;
	flush(&stage);
	assert_int_equal(stage.freed_count, 0);
	put_off(&stage, region, 10);
	/* Whatever put it off: it is freed when there is an address again. */
	flush(&stage);
	assert_int_equal(stage.freed_count, 1);
	gmem_region_free(region);
	stage_close(&stage);
}

/* Part of it waits already, and all of it is too much: then nothing of it waits. */
static void what_is_too_much_is_freed_at_once(void **state)
{
	struct gmem_region *region;
	struct discard discard;
	struct stage stage;
	uint64_t freed;

	stage_open(&stage, *state, 12 * PAGE);
	assert_int_equal(new_split_region(&stage, &region), 0);
	put_off(&stage, region, 10);
	discard = (struct discard){ .region = region, .offset = 8 * PAGE, .size = 5 * PAGE };
	stage.freed_count = 0;
	assert_true(gmem_discard_later(stage.rig.vm, &discard, &freed));
	assert_int_equal(freed, 5 * PAGE);
	assert_int_equal(stage.freed_count, 1);
	assert_int_equal(stage.freed[0].size, 5 * PAGE);
	assert_int_equal(pages_held(&stage), 8);
	discard.size = 4 * PAGE;
	assert_false(gmem_discard_later(stage.rig.vm, &discard, &freed));
	assert_int_equal(pages_held(&stage), 12);
	gmem_region_free(region);
	stage_close(&stage);
}

/* A change that is refused may have any range, and frees nothing but whole pages within it. */
static void odd_ranges_free_whole_pages(void **state)
{
	struct stage stage;
	struct gmem_vm *vm;

	stage_open(&stage, *state, NO_LIMIT);
	vm = stage.rig.vm;
	fill(&stage, 0, PAGES, 'a');
	convert(&stage, 0, PAGES, GMEM_PRIVATE, 0);
	assert_true(gmem_vm_unmap(vm, UINT64_MAX - 2, 1) < 0);
	assert_true(gmem_vm_unmap(vm, 0, 1) < 0);
	assert_true(gmem_vm_unmap(vm, PAGE + 1, PAGE) < 0);
	assert_int_equal(pages_held(&stage), PAGES);
	assert_true(gmem_vm_unmap(vm, PAGE + 1, 2 * PAGE) < 0);
	assert_true(pages_held(&stage) >= PAGES - 1);
	assert_true(gmem_discard_range(vm, 10 * PAGE - 1, PAGE + 2));
	assert_true(pages_held(&stage) >= PAGES - 2);
	assert_int_equal(shared_memory(&stage), pages_held(&stage));
	stage_close(&stage);
}

static void it_is_told_how_much_was_freed(void **state)
{
	struct discard discard;
	uint64_t freed = 1;
	struct stage stage;

	stage_open(&stage, *state, NO_LIMIT);
	discard = (struct discard){ .region = stage.region, .offset = 0, .size = 3 * PAGE };
	assert_int_equal(gmem_discard_now(stage.rig.vm, &discard, &freed), 0);
	assert_int_equal(freed, 3 * PAGE);
	assert_int_equal(gmem_discard_now(stage.rig.vm, &discard, NULL), 0);
	assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_FALLOCATE, 0, 1, -EIO, 0), 0);
	assert_int_equal(gmem_discard_now(stage.rig.vm, &discard, &freed), -EIO);
	assert_int_equal(freed, 0);
	stage_close(&stage);
}

/* A flush goes on after a refusal: of several the first is reported, and none waits any more. */
static void the_first_that_is_refused_is_reported(void **state)
{
	struct gmem_report report;
	struct stage stage;

	stage_open(&stage, *state, NO_LIMIT);
	fill(&stage, 0, PAGES, 'a');
	convert(&stage, 4, 4, GMEM_PRIVATE, 0);
	convert(&stage, 16, 2, GMEM_PRIVATE, 0);
	convert(&stage, 20, 3, GMEM_PRIVATE, 0);
	convert(&stage, 40, 1, GMEM_PRIVATE, 0);
	assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_FALLOCATE, 0, 2, -ENOMEM, 0), 0);
	assert_int_equal(gmem_sim_fail(stage.rig.sim, GMEM_SYS_FALLOCATE, 0, 3, -EIO, 0), 0);
	assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, &report), -EIO);
	assert_int_equal(report.freed, 5 * PAGE);
	assert_int_equal(report.gpa, 16 * PAGE);
	assert_int_equal(report.size, 2 * PAGE);
	assert_int_equal(report.offset, 16 * PAGE);
	assert_int_equal(report.kernel_error, -ENOMEM);
	assert_int_equal(pages_held(&stage), 0);
	assert_int_equal(gmem_vm_flush(stage.rig.vm, 0, &report), 0);
	assert_int_equal(report.freed, 0);
	stage_close(&stage);
}

/* Sections of the model, in pages: two that touch, and one beyond a hole. */
#define SECTIONS 3u
#define SPACE 400u
#define REGION_PAGES 320u
#define RANGES 12u

static const struct {
	uint64_t gpa;
	uint64_t offset;
	uint64_t pages;
} sections[SECTIONS] = { { 0, 0, 128 }, { 128, 128, 64 }, { 256, 192, 128 } };

struct model {
	struct stage stage;
	uint64_t random;
	uint64_t limit; /* pages */
	/* By page of the region. */
	bool private[REGION_PAGES];
	bool waits[REGION_PAGES];
	bool there[2][REGION_PAGES]; /* memory of the shared, and of the private side */
	/* One request, by page of guest addresses. */
	bool asked[SPACE];
};

static uint64_t below(struct model *model, uint64_t limit)
{
	return random_below(&model->random, limit);
}

static uint64_t count_pages(const bool *pages)
{
	uint64_t count = 0, i;

	for (i = 0; i < REGION_PAGES; i++)
		count += pages[i];
	return count;
}

static void model_open(struct model *model, const struct mode *mode)
{
	struct stage *stage = &model->stage;
	uint32_t i;

	model->limit = below(model, 3) ? 1 + below(model, 2 * REGION_PAGES) : 1 + below(model, 20);
	stage_open_size(stage, mode, model->limit * PAGE, REGION_PAGES, NULL);
	assert_int_equal(gmem_vm_unmap(stage->rig.vm, 0, REGION_PAGES * PAGE), 0);
	for (i = 0; i < SECTIONS; i++)
		rig_map(&stage->rig, sections[i].gpa, stage->region, sections[i].offset,
			sections[i].pages);
}

static void model_compare(struct model *model)
{
	const struct state *pending = &region_shadow(model->stage.region)->pending;
	uint64_t i;

	for (i = 0; i < REGION_PAGES; i++) {
		if (gmem_state_is_private(pending, i) != model->waits[i])
			fail_msg("page %llu of the region: waiting should be %d",
				 (unsigned long long)i, model->waits[i]);
	}
	assert_int_equal(pages_held(&model->stage), count_pages(model->waits));
	assert_true(count_pages(model->waits) <= model->limit);
	assert_int_equal(shared_memory(&model->stage), count_pages(model->there[0]));
	assert_int_equal(private_memory(&model->stage), count_pages(model->there[1]));
}

/* The side that is not seen is freed, if it waits or is to be freed anyway. */
static void model_free(struct model *model, uint64_t first, uint64_t count, bool all)
{
	uint64_t i;

	for (i = first; i < first + count; i++) {
		if (all || model->waits[i])
			model->there[!model->private[i]][i] = false;
		model->waits[i] = false;
	}
}

/* Pages of one section that were converted: true when that is too much. */
static bool model_put_off(struct model *model, uint64_t first, uint64_t count)
{
	uint64_t more = 0, i;

	for (i = first; i < first + count; i++)
		more += !model->waits[i];
	if (count_pages(model->waits) + more > model->limit) {
		model_free(model, first, count, true);
		return true;
	}
	memset(&model->waits[first], true, count);
	return false;
}

static void model_convert(struct model *model, bool to_private, uint32_t flags)
{
	bool full = false;
	uint64_t i, k;
	uint32_t s;

	for (s = 0; s < SECTIONS; s++) {
		const bool *asked = &model->asked[sections[s].gpa];
		uint64_t offset = sections[s].offset;

		for (i = 0; i < sections[s].pages; i = k + 1) {
			for (k = i; k < sections[s].pages && asked[k]; k++)
				model->private[offset + k] = to_private;
			if (k > i && flags & GMEM_CONVERT_KEEP)
				memset(&model->waits[offset + i], false, k - i);
			else if (k > i)
				full |= model_put_off(model, offset + i, k - i);
		}
	}
	if (full)
		model_free(model, 0, REGION_PAGES, false);
}

/* Ranges in order, each within a section; their pages are what is asked for. */
static uint64_t choose_ranges(struct model *model, struct gmem_range *ranges)
{
	uint64_t count = 0, longest = below(model, 3) ? 6 : 60, gpa, end;
	uint32_t s;

	memset(model->asked, false, sizeof(model->asked));
	for (s = 0; s < SECTIONS; s++) {
		gpa = sections[s].gpa + below(model, sections[s].pages);
		while (count < RANGES && gpa < sections[s].gpa + sections[s].pages) {
			end = gpa + 1 + below(model, longest);
			if (end > sections[s].gpa + sections[s].pages)
				end = sections[s].gpa + sections[s].pages;
			ranges[count++] = (struct gmem_range){ gpa * PAGE, (end - gpa) * PAGE };
			memset(&model->asked[gpa], true, end - gpa);
			gpa = end + below(model, 30);
		}
	}
	return count;
}

static void do_convert(struct model *model)
{
	uint32_t flags = (below(model, 4) ? 0 : GMEM_CONVERT_KEEP) |
			 (below(model, 2) ? 0 : GMEM_CONVERT_NOWAIT);
	bool to_private = below(model, 2);
	struct gmem_range ranges[RANGES] = { 0 };
	uint64_t count = choose_ranges(model, ranges);

	assert_int_equal(gmem_vm_convert_ranges(model->stage.rig.vm, ranges, count,
						to_private ? GMEM_PRIVATE : GMEM_SHARED, flags,
						NULL),
			 0);
	model_convert(model, to_private, flags);
}

/* The guest writes to some pages, on the side that it sees. */
static void do_touch(struct model *model)
{
	uint32_t s = (uint32_t)below(model, SECTIONS);
	uint64_t first = below(model, sections[s].pages), i;

	for (i = first; i < sections[s].pages && i < first + 40; i++) {
		fill(&model->stage, sections[s].gpa + i, 1, 'x');
		model->there[model->private[sections[s].offset + i]][sections[s].offset + i] = true;
	}
}

/* A section goes and comes back, or all memory of a part of it is freed. */
static void do_section(struct model *model)
{
	uint32_t s = (uint32_t)below(model, SECTIONS);
	uint64_t page = below(model, sections[s].pages), pages = sections[s].pages - page, first;
	struct rig *rig = &model->stage.rig;

	if (below(model, 2)) {
		assert_int_equal(gmem_vm_unmap(rig->vm, sections[s].gpa * PAGE,
					       sections[s].pages * PAGE),
				 0);
		rig_map(rig, sections[s].gpa, model->stage.region, sections[s].offset,
			sections[s].pages);
		model_free(model, sections[s].offset, sections[s].pages, false);
		return;
	}
	first = sections[s].offset + page;
	assert_int_equal(gmem_vm_discard(rig->vm, (sections[s].gpa + page) * PAGE, pages * PAGE, 0,
					 NULL),
			 0);
	memset(&model->there[0][first], false, pages);
	memset(&model->there[1][first], false, pages);
	memset(&model->waits[first], false, pages);
}

static void do_something(struct model *model)
{
	switch (below(model, 16)) {
	case 0:
		assert_int_equal(gmem_vm_flush(model->stage.rig.vm, 0, NULL), 0);
		model_free(model, 0, REGION_PAGES, false);
		break;
	case 1:
		do_section(model);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		do_touch(model);
		break;
	default:
		do_convert(model);
	}
}

static void what_waits_is_what_a_model_says(void **state)
{
	struct model *model = support_new(sizeof(*model));
	uint32_t round, i;

	model->random = random_seed("what waits to be freed");
	for (round = 0; round < 6; round++) {
		uint64_t random = model->random;

		*model = (struct model){ .random = random };
		model_open(model, *state);
		for (i = 0; i < 150; i++) {
			do_something(model);
			model_compare(model);
		}
		rig_compare(&model->stage.rig);
		stage_close(&model->stage);
	}
	free(model);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(fragments_wait_like_all_else, SPLIT_SMALL),
		RIG_CASE(a_batch_cuts_what_waits, SPLIT_SMALL),
		RIG_CASE(who_has_no_time_frees_too, SPLIT_SMALL),
		RIG_CASE(a_flush_takes_few_claims, SPLIT_SMALL),
		RIG_CASE(what_continues_beyond_a_hole_is_one_call, SPLIT_SMALL),
		RIG_CASE(who_asks_last_decides, SPLIT_SMALL),
		RIG_CASE(what_is_seen_by_now_is_not_freed, SPLIT_PER_FILE),
		RIG_CASE(there_is_room_for_every_page_or_no_region, SPLIT_SMALL),
		RIG_CASE(what_waits_goes_with_its_region, SPLIT_SMALL),
		RIG_CASE(what_is_too_much_is_freed_at_once, SPLIT_SMALL),
		RIG_CASE(odd_ranges_free_whole_pages, SPLIT_SMALL),
		RIG_CASE(it_is_told_how_much_was_freed, SPLIT_SMALL),
		RIG_CASE(the_first_that_is_refused_is_reported, SPLIT_SMALL),
		RIG_CASE(what_waits_is_what_a_model_says, SPLIT_SMALL),
	};

	return rig_run("what is put off", cases, sizeof(cases) / sizeof(cases[0]));
}
