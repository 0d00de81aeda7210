// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Random conversions, changes of the layout, pins, copies and failing calls, against a model that
 * knows one page at a time, in every mode. GMEM_TEST_SEED repeats a run.
 */
#include "rig.h"

#include "tests/support/random.h"
#include "tests/support/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS 1500u
#define INTERVAL 25u /* between comparisons with the kernel */

#define SPACE 160u /* pages of guest addresses */
#define REGIONS 3u /* the last is plain */
#define PLAIN (REGIONS - 1)
#define PAGES 48u /* of a region */
#define PINS 6u
#define RANGES 6u /* of a list */

struct page {
	bool is_private;
	uint32_t references; /* that the kernel sees */
};

/* A page of guest addresses. */
struct place {
	bool is_mapped;
	uint32_t region;
	uint64_t page;
	uint32_t section; /* number of the mapping that it came by */
};

struct held_pin {
	struct gmem_pin pin;
	uint64_t gpa; /* in bytes */
};

struct model {
	struct rig rig;
	uint64_t seed;
	bool refuses_gaps;
	struct page pages[REGIONS][PAGES];
	uint8_t *bytes[REGIONS]; /* of the shared side, or of the only one */
	struct place space[SPACE];
	uint32_t sections; /* ever made */
	struct held_pin pins[PINS];
	uint8_t *buffer;
	/* One request. */
	bool asked[SPACE];
	struct gmem_range ranges[RANGES];
	uint32_t count;
	uint32_t to;
};

static uint64_t below(struct model *model, uint64_t limit)
{
	return random_below(&model->seed, limit);
}

static bool one_in(struct model *model, uint64_t chance)
{
	return below(model, chance) == 0;
}

static void open_model(struct model *model, const struct mode *mode, uint64_t seed)
{
	struct gmem_vm_config *config = rig_config(mode);
	uint32_t i;

	memset(model, 0, sizeof(*model));
	model->seed = seed;
	model->refuses_gaps = one_in(model, 2);
	gmem_vm_config_set_flags(config, model->refuses_gaps ? GMEM_VM_GAPS_REFUSE : 0);
	gmem_vm_config_set_retry(config, 0, NULL, NULL, NULL);
	rig_open_with(&model->rig, mode, config);
	gmem_vm_config_free(config);
	for (i = 0; i < REGIONS; i++) {
		uint32_t state = i == 1 && !one_in(model, 3) ? GMEM_PRIVATE : GMEM_SHARED;
		uint64_t page;

		if (i == PLAIN)
			rig_plain_region(&model->rig, PAGES);
		else
			rig_region_in_state(&model->rig, PAGES, state);
		model->bytes[i] = support_new(PAGES * model->rig.page);
		for (page = 0; page < PAGES; page++)
			model->pages[i][page].is_private = i != PLAIN && state == GMEM_PRIVATE;
	}
	model->buffer = support_new(SPACE * model->rig.page);
}

static void close_model(struct model *model)
{
	uint32_t i;

	for (i = 0; i < REGIONS; i++)
		free(model->bytes[i]);
	free(model->buffer);
	rig_close(&model->rig);
}

static struct page *page_at(struct model *model, uint64_t gpa_page)
{
	const struct place *place = &model->space[gpa_page];

	return place->is_mapped ? &model->pages[place->region][place->page] : NULL;
}

static bool is_pinned(const struct model *model, uint64_t gpa_page)
{
	uint64_t start = gpa_page * model->rig.page, i;

	for (i = 0; i < PINS; i++) {
		const struct held_pin *held = &model->pins[i];

		if (held->pin.size && held->gpa < start + model->rig.page &&
		    held->gpa + held->pin.size > start)
			return true;
	}
	return false;
}

static bool is_stuck(struct model *model, uint64_t gpa_page)
{
	return is_pinned(model, gpa_page) || page_at(model, gpa_page)->references;
}

/* Two pages of addresses, the second after the first, are one piece of host memory. */
static bool goes_on(const struct model *model, uint64_t gpa_page)
{
	const struct place *a = &model->space[gpa_page], *b = a + 1;

	return a->is_mapped && b->is_mapped && a->region == b->region && a->page + 1 == b->page;
}

/* What is in the way of a request, from its first page on; 0: nothing. */
static int obstacle(struct model *model, uint64_t *where)
{
	uint64_t i;

	for (i = 0; i < SPACE; i++) {
		if (!model->asked[i])
			continue;
		*where = i;
		if (!model->space[i].is_mapped) {
			if (model->to == GMEM_PRIVATE || model->refuses_gaps)
				return -ENOENT;
		} else if (model->space[i].region == PLAIN && model->to == GMEM_PRIVATE) {
			return -EACCES;
		}
	}
	return 0;
}

static void make_request(struct model *model)
{
	uint64_t gpa = 0, size;
	uint32_t count = one_in(model, 2) ? 1 : 1 + (uint32_t)below(model, RANGES);

	memset(model->asked, 0, sizeof(model->asked));
	model->count = 0;
	model->to = one_in(model, 2) ? GMEM_PRIVATE : GMEM_SHARED;
	while (model->count < count && gpa < SPACE) {
		/* Often none between two, which makes one of them. */
		gpa += one_in(model, 3) ? 0 : below(model, SPACE / count);
		if (gpa >= SPACE)
			break;
		size = 1 + below(model, one_in(model, 4) ? SPACE - gpa : 24);
		if (size > SPACE - gpa)
			size = SPACE - gpa;
		memset(model->asked + gpa, true, size);
		model->ranges[model->count++] = (struct gmem_range){
			.gpa = gpa * model->rig.page,
			.size = size * model->rig.page,
		};
		gpa += size;
	}
	if (!model->count) {
		model->asked[0] = true;
		model->ranges[model->count++] = (struct gmem_range){ 0, model->rig.page };
	}
}

/* Does the request page by page. Returns how many changed; *stuck: some could not. */
static uint64_t apply_request(struct model *model, bool *stuck)
{
	uint64_t changed = 0, i;
	struct page *page;

	*stuck = false;
	for (i = 0; i < SPACE; i++) {
		page = page_at(model, i);
		if (!model->asked[i] || !page || model->space[i].region == PLAIN ||
		    page->is_private == (model->to == GMEM_PRIVATE))
			continue;
		if (model->to == GMEM_PRIVATE && is_stuck(model, i)) {
			*stuck = true;
			continue;
		}
		page->is_private = !page->is_private;
		changed++;
	}
	return changed;
}

static bool is_wrong(struct model *model, uint64_t gpa_page)
{
	const struct page *page = page_at(model, gpa_page);

	return model->asked[gpa_page] && page && model->space[gpa_page].region != PLAIN &&
	       page->is_private != (model->to == GMEM_PRIVATE);
}

/* The first pages that are not as asked for. */
static void judge_place(struct model *model, const struct gmem_report *report)
{
	bool per_vm = model->rig.mode->tracking == GMEM_TRACKING_VM;
	uint64_t size = model->rig.page, first = 0, last;

	while (first < SPACE && !is_wrong(model, first))
		first++;
	assert_true(first < SPACE);
	for (last = first;
	     last + 1 < SPACE && is_wrong(model, last + 1) && (per_vm || goes_on(model, last));
	     last++)
		;
	assert_int_equal(report->gpa, first * size);
	assert_int_equal(report->size, (last + 1 - first) * size);
	assert_int_equal(report->tag, model->space[first].region + 1);
	assert_int_equal(report->offset, model->space[first].page * size);
}

static int call_library(struct model *model, uint32_t flags, struct gmem_report *report)
{
	struct rig *rig = &model->rig;

	rig_forget_calls(rig);
	memset(report, 0xa5, sizeof(*report));
	if (model->count == 1)
		return gmem_vm_convert(rig->vm, model->ranges[0].gpa, model->ranges[0].size,
				       model->to, flags | GMEM_CONVERT_KEEP, report);
	return gmem_vm_convert_ranges(rig->vm, model->ranges, model->count, model->to,
				      flags | GMEM_CONVERT_KEEP, report);
}

static uint32_t some_flags(struct model *model)
{
	uint32_t flags = one_in(model, 3) ? GMEM_CONVERT_TRUST_STATE : 0;

	flags |= one_in(model, 2) ? GMEM_CONVERT_NOWAIT : 0;
	if (model->rig.mode->vm_type == GMEM_VM_TYPE_SW_PROTECTED && one_in(model, 3))
		flags |= GMEM_CONVERT_ROLLBACK;
	return flags;
}

static void convert(struct model *model)
{
	uint32_t flags = some_flags(model);
	struct page before[REGIONS][PAGES];
	struct gmem_report report;
	uint64_t where = 0, changed;
	int wanted, rc;
	bool stuck;

	make_request(model);
	memcpy(before, model->pages, sizeof(before));
	wanted = obstacle(model, &where);
	rc = call_library(model, flags, &report);
	assert_int_equal(report.ioctls, model->rig.call_count);
	assert_int_equal(report.error, rc);
	if (wanted) {
		assert_int_equal(rc, wanted);
		assert_int_equal(report.stage, GMEM_STAGE_PLAN);
		assert_int_equal(report.gpa, where * model->rig.page);
		assert_int_equal(report.ioctls, 0);
		return;
	}
	changed = apply_request(model, &stuck) * model->rig.page;
	assert_int_equal(rc, stuck ? -EAGAIN : 0);
	/* Of a rollback it is told before. */
	if (stuck)
		judge_place(model, &report);
	if (stuck && flags & GMEM_CONVERT_ROLLBACK) {
		memcpy(model->pages, before, sizeof(before));
		assert_int_equal(report.restored, changed);
		changed = 0;
	} else {
		assert_int_equal(report.restored, 0);
	}
	assert_int_equal(report.converted, changed);
}

/* A call fails: what then is there is the kernel's, and the model learns it from the library. */
static void convert_and_fail(struct model *model)
{
	static const int errors[] = { -EIO, -ENOMEM, -EINVAL };
	uint64_t page_size = model->rig.page, changed = 0, i;
	struct gmem_report report;
	uint32_t flags = some_flags(model);
	struct page *page;
	bool failed;

	make_request(model);
	rig_fail_call(&model->rig, 1 + below(model, 3), errors[below(model, 3)]);
	call_library(model, flags, &report);
	failed = !gmem_sim_clear_failures(model->rig.sim);
	for (i = 0; i < SPACE; i++) {
		bool is_private;

		page = page_at(model, i);
		if (!page || model->space[i].region == PLAIN)
			continue;
		is_private = gmem_vm_get_state(model->rig.vm, i * page_size, page_size) ==
			     GMEM_PRIVATE;
		if (page->is_private == is_private)
			continue;
		assert_true(model->asked[i]);
		assert_int_equal(is_private, model->to == GMEM_PRIVATE);
		page->is_private = is_private;
		changed++;
	}
	assert_int_equal(report.converted, changed * page_size);
	/* Else it may have been the way back that failed. */
	if (failed && flags & GMEM_CONVERT_ROLLBACK &&
	    (report.error == -EIO || report.error == -ENOMEM))
		assert_int_equal(changed, 0);
	rig_compare(&model->rig);
}

static bool is_free(const struct model *model, uint64_t gpa, uint64_t pages)
{
	uint64_t i;

	for (i = gpa; i < gpa + pages; i++) {
		if (model->space[i].is_mapped)
			return false;
	}
	return true;
}

static bool is_mapped_elsewhere(const struct model *model, uint32_t region, uint64_t first,
				uint64_t pages)
{
	uint64_t i;

	for (i = 0; i < SPACE; i++) {
		const struct place *place = &model->space[i];

		if (place->is_mapped && place->region == region && place->page >= first &&
		    place->page < first + pages)
			return region != PLAIN;
	}
	return false;
}

static void map(struct model *model)
{
	uint32_t region = (uint32_t)below(model, REGIONS);
	uint64_t pages = 1 + below(model, one_in(model, 3) ? PAGES : 12);
	uint64_t first = below(model, PAGES - pages + 1);
	uint64_t gpa = below(model, SPACE - pages + 1), i;
	uint64_t size = model->rig.page;
	int wanted = is_free(model, gpa, pages) && !is_mapped_elsewhere(model, region, first, pages)
			     ? 0
			     : -EEXIST;

	assert_int_equal(gmem_vm_map(model->rig.vm, gpa * size, model->rig.region[region],
				     first * size, pages * size, GMEM_SLOT_AUTO, 0),
			 wanted);
	if (wanted)
		return;
	model->sections++;
	for (i = 0; i < pages; i++)
		model->space[gpa + i] = (struct place){
			.is_mapped = true,
			.region = region,
			.page = first + i,
			.section = model->sections,
		};
}

static bool cuts(const struct model *model, uint64_t edge)
{
	return edge && edge < SPACE && model->space[edge].is_mapped &&
	       model->space[edge - 1].is_mapped &&
	       model->space[edge].section == model->space[edge - 1].section;
}

static void unmap(struct model *model)
{
	uint64_t gpa = below(model, SPACE), end, i;
	uint64_t size = model->rig.page;
	bool pinned = false;
	int wanted = 0;

	/* Most often whole sections. */
	while (!one_in(model, 8) && cuts(model, gpa))
		gpa--;
	end = gpa + 1 + below(model, one_in(model, 4) ? SPACE - gpa : 1);
	while (!one_in(model, 8) && cuts(model, end))
		end++;
	if (is_free(model, gpa, end - gpa))
		wanted = -ENOENT;
	else if (cuts(model, gpa) || cuts(model, end))
		wanted = -EINVAL;
	for (i = gpa; i < end; i++)
		pinned |= is_pinned(model, i);
	if (!wanted && pinned)
		wanted = -EAGAIN;
	assert_int_equal(gmem_vm_unmap(model->rig.vm, gpa * size, (end - gpa) * size), wanted);
	for (i = gpa; i < end && !wanted; i++)
		model->space[i].is_mapped = false;
}

/* A range of bytes, most often of a few pages. */
static void some_bytes(struct model *model, uint64_t *gpa, uint64_t *size)
{
	uint64_t all = SPACE * model->rig.page;

	*gpa = below(model, all);
	*size = 1 + below(model, one_in(model, 3) ? 16 : 8 * model->rig.page);
	if (*size > all - *gpa)
		*size = all - *gpa;
}

/* What an access finds, from its first page on; 0: all of it can be touched. */
static int judge_access(struct model *model, uint64_t gpa, uint64_t size, bool in_one_piece)
{
	uint64_t first = gpa / model->rig.page, last = (gpa + size - 1) / model->rig.page, i;

	for (i = first; i <= last; i++) {
		if (!model->space[i].is_mapped)
			return -ENOENT;
		if (i > first && in_one_piece && !goes_on(model, i - 1))
			return -EXDEV;
		if (page_at(model, i)->is_private)
			return -EACCES;
	}
	return 0;
}

static void pin(struct model *model)
{
	struct held_pin *held = &model->pins[below(model, PINS)];
	uint64_t gpa, size;
	int wanted;

	if (held->pin.size) {
		gmem_vm_unpin(model->rig.vm, &held->pin);
		assert_int_equal(held->pin.size, 0);
		return;
	}
	some_bytes(model, &gpa, &size);
	wanted = judge_access(model, gpa, size, true);
	assert_int_equal(gmem_vm_pin(model->rig.vm, gpa, size,
				     one_in(model, 2) ? GMEM_ACCESS_WRITE : 0, &held->pin),
			 wanted);
	held->gpa = gpa;
	assert_int_equal(held->pin.size, wanted ? 0 : size);
}

/* Of the region's file, as direct I/O would have it; only where the kernel looks at it. */
static void use_page(struct model *model)
{
	uint32_t region = (uint32_t)below(model, PLAIN);
	uint64_t page = below(model, PAGES), size = model->rig.page;
	struct page *model_page = &model->pages[region][page];
	int file = rig_file(&model->rig, region);

	if (model->rig.mode->tracking != GMEM_TRACKING_FILE)
		return;
	if (model_page->references) {
		assert_int_equal(gmem_sim_unpin(model->rig.sim, file, page * size, size), 0);
		model_page->references--;
		return;
	}
	assert_int_equal(gmem_sim_pin(model->rig.sim, file, page * size, size, 0),
			 model_page->is_private ? -EACCES : 0);
	model_page->references += !model_page->is_private;
}

static uint8_t *byte_at(struct model *model, uint64_t gpa)
{
	const struct place *place = &model->space[gpa / model->rig.page];

	return &model->bytes[place->region][place->page * model->rig.page + gpa % model->rig.page];
}

static void copy(struct model *model)
{
	static const uint32_t flags[] = { 0, GMEM_ACCESS_WAIT, GMEM_ACCESS_CHECKED };
	uint32_t flag = flags[below(model, 3)];
	bool writes = one_in(model, 2);
	uint64_t gpa, size, i;
	int wanted;

	some_bytes(model, &gpa, &size);
	wanted = judge_access(model, gpa, size, false);
	if (writes) {
		for (i = 0; i < size; i++)
			model->buffer[i] = (uint8_t)(model->seed + i);
		assert_int_equal(gmem_vm_write(model->rig.vm, gpa, model->buffer, size, flag),
				 wanted);
		for (i = 0; i < size && !wanted; i++)
			*byte_at(model, gpa + i) = model->buffer[i];
		return;
	}
	memset(model->buffer, 0xa5, size);
	assert_int_equal(gmem_vm_read(model->rig.vm, gpa, model->buffer, size, flag), wanted);
	for (i = 0; i < size; i++)
		assert_int_equal(model->buffer[i], wanted ? 0xa5 : *byte_at(model, gpa + i));
}

static void ask(struct model *model)
{
	uint32_t wanted = 0;
	uint64_t gpa, size, i;

	some_bytes(model, &gpa, &size);
	for (i = gpa / model->rig.page; i <= (gpa + size - 1) / model->rig.page; i++) {
		const struct page *page = page_at(model, i);

		wanted |= !page ? GMEM_HOLE : page->is_private ? GMEM_PRIVATE : GMEM_SHARED;
	}
	assert_int_equal(gmem_vm_get_state(model->rig.vm, gpa, size), wanted);
}

/* Library, kernel and model; where nothing is mapped the kernel has nothing private (S6). */
static void compare(struct model *model)
{
	struct gmem_sim_page page;
	uint64_t size = model->rig.page, i;

	rig_compare(&model->rig);
	for (i = 0; i < SPACE; i++) {
		const struct page *wanted = page_at(model, i);
		uint32_t state = !wanted              ? GMEM_HOLE
				 : wanted->is_private ? GMEM_PRIVATE
						      : GMEM_SHARED;

		assert_int_equal(gmem_vm_get_state(model->rig.vm, i * size, size), state);
		if (state != GMEM_HOLE || model->rig.mode->tracking != GMEM_TRACKING_VM)
			continue;
		assert_int_equal(
			gmem_sim_get_page(model->rig.sim, model->rig.vm_fd, i * size, &page), 0);
		assert_int_equal(page.state, GMEM_SHARED);
	}
}

/* Unmapped pages keep their state in their region's count, too. */
static void compare_regions(struct model *model)
{
	struct gmem_region_info info;
	uint64_t page, private;
	uint32_t i;

	for (i = 0; i < REGIONS; i++) {
		for (private = 0, page = 0; page < PAGES; page++)
		private += model->pages[i][page].is_private;
		assert_int_equal(gmem_region_get_info(model->rig.region[i], &info), 0);
		assert_int_equal(info.private_bytes, private * model->rig.page);
	}
}

static void do_something(struct model *model)
{
	switch (below(model, 16)) {
	case 0:
	case 1:
		map(model);
		break;
	case 2:
		unmap(model);
		break;
	case 3:
		pin(model);
		break;
	case 4:
		use_page(model);
		break;
	case 5:
	case 6:
		copy(model);
		break;
	case 7:
		ask(model);
		break;
	case 8:
		convert_and_fail(model);
		break;
	default:
		convert(model);
	}
}

static void let_go_of_all(struct model *model)
{
	uint64_t i, page, size = model->rig.page;

	for (i = 0; i < PINS; i++)
		gmem_vm_unpin(model->rig.vm, &model->pins[i].pin);
	for (i = 0; i < PLAIN; i++) {
		for (page = 0; page < PAGES; page++) {
			if (!model->pages[i][page].references)
				continue;
			assert_int_equal(gmem_sim_unpin(model->rig.sim,
							rig_file(&model->rig, (unsigned int)i),
							page * size, size),
					 0);
			model->pages[i][page].references = 0;
		}
	}
}

static void random_operations(void **state)
{
	const struct mode *mode = *state;
	struct model model;
	uint32_t i;

	open_model(&model, mode, random_seed(mode->name));
	for (i = 0; i < OPERATIONS; i++) {
		do_something(&model);
		if (i % INTERVAL == 0)
			compare(&model);
	}
	let_go_of_all(&model);
	compare(&model);
	compare_regions(&model);
	close_model(&model);
}

/* A region is taken away and put elsewhere: its pages' states go with it, and none stay. */
static void states_move_with_their_region(void **state)
{
	struct model model;
	uint64_t page, size, round;

	open_model(&model, *state, 7);
	size = model.rig.page;
	for (round = 0; round < 4; round++) {
		uint64_t gpa = 10 + 33 * round;

		rig_map(&model.rig, gpa, model.rig.region[0], 0, PAGES / 2);
		rig_map(&model.rig, gpa + PAGES / 2, model.rig.region[0], PAGES / 2, PAGES / 2);
		for (page = 0; page < PAGES; page++)
			model.space[gpa + page] = (struct place){ true, 0, page, 0 };
		compare(&model);
		for (page = round; page < PAGES; page += 3 + round) {
			bool private = model.pages[0][page].is_private;

			assert_int_equal(rig_convert_keeping(&model.rig, gpa + page, 1,
							     private ? GMEM_SHARED : GMEM_PRIVATE,
							     0, NULL),
					 0);
			model.pages[0][page].is_private = !private;
		}
		compare(&model);
		assert_int_equal(gmem_vm_unmap(model.rig.vm, gpa * size, PAGES * size), 0);
		memset(model.space, 0, sizeof(model.space));
		compare(&model);
		compare_regions(&model);
		/* What comes to those addresses next begins as it is itself. */
		rig_map(&model.rig, gpa, model.rig.region[PLAIN], 0, PAGES);
		for (page = 0; page < PAGES; page++)
			model.space[gpa + page] = (struct place){ true, PLAIN, page, 0 };
		compare(&model);
		assert_int_equal(gmem_vm_unmap(model.rig.vm, gpa * size, PAGES * size), 0);
		memset(model.space, 0, sizeof(model.space));
	}
	close_model(&model);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(random_operations, IN_ALL_MODES),
		RIG_CASE(states_move_with_their_region, IN_ALL_MODES),
	};

	return rig_run("convert-model", cases, sizeof(cases) / sizeof(cases[0]));
}
