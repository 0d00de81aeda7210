// SPDX-License-Identifier: LGPL-2.1-or-later
/* Plans against a model that knows nothing but single pages. */
#include "plan-model.h"

#include "plan.h"
#include "shadow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guest pages that there is anything at, or that ranges reach; pages of a region that are mapped. */
#define PAGES 640u
#define WINDOW 512u
#define SECTIONS 24u
#define RANGES 6u
#define REGIONS 4u
#define SHIFTS 3u
#define NO_SECTION UINT32_MAX
#define FEW_PAGES 64u

/* Region 3 can never be private; region 2's window has the end of a GiB in its middle. */
#define PLAIN_REGION 3u
#define LARGE_REGION 2u

struct plan_model {
	struct gmem_kernel kernel;
	struct layout_table table;
	struct shadow shadows[SHIFTS][REGIONS];
	struct backing backing;
	struct gmem_region regions[REGIONS];
	/* Of this input. */
	const uint8_t *data;
	size_t left;
	unsigned int shift;
	uint64_t base; /* address of page 0 */
	struct section sections[SECTIONS];
	uint32_t section_count;
	uint32_t section_of[PAGES]; /* or NO_SECTION */
	bool private[REGIONS][WINDOW];
	struct gmem_range ranges[RANGES];
	uint32_t range_of[PAGES]; /* or RANGES */
	struct plan plan;
	char *why;
	size_t why_size;
};

static const unsigned int shifts[SHIFTS] = { 12, 14, 16 };

static uint64_t window_start(const struct plan_model *model, uint32_t region)
{
	return region == LARGE_REGION ? (UINT64_C(1) << (30 - model->shift)) - WINDOW / 2 : 0;
}

static bool init_shadows(struct plan_model *model)
{
	uint32_t i, region;

	for (i = 0; i < SHIFTS; i++) {
		model->shift = shifts[i];
		for (region = 0; region < PLAIN_REGION; region++) {
			uint64_t pages = window_start(model, region) + WINDOW;

			if (gmem_state_init(&model->shadows[i][region].state, &model->kernel, pages,
					    shifts[i], false))
				return false;
		}
	}
	return true;
}

struct plan_model *plan_model_new(void)
{
	struct plan_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	gmem_kernel_get_host(&model->kernel);
	model->backing = (struct backing){ .fd = 7, .host = UINT64_C(1) << 40 };
	if (!gmem_layout_table_init(&model->table, &model->kernel) && init_shadows(model))
		return model;
	plan_model_free(model);
	return NULL;
}

void plan_model_free(struct plan_model *model)
{
	uint32_t i, region;

	if (!model)
		return;
	for (i = 0; i < SHIFTS; i++) {
		for (region = 0; region < PLAIN_REGION; region++)
			gmem_state_release(&model->shadows[i][region].state, &model->kernel);
	}
	gmem_layout_table_release(&model->table, &model->kernel);
	free(model);
}

/* The next byte of the input; zeros when there are none left. */
static uint32_t next_byte(struct plan_model *model)
{
	if (!model->left)
		return 0;
	model->left--;
	return *model->data++;
}

static uint64_t address(const struct plan_model *model, uint64_t page)
{
	return model->base + (page << model->shift);
}

static void make_frame(struct plan_model *model)
{
	static const uint32_t gaps[] = { 0, GMEM_VM_GAPS_REFUSE, GMEM_VM_GAPS_SKIP, 0 };
	uint32_t byte = next_byte(model), i, scale = byte % SHIFTS;

	model->shift = shifts[scale];
	model->plan = (struct plan){
		.table = &model->table,
		.ranges = model->ranges,
		.to = byte & 4 ? GMEM_PRIVATE : GMEM_SHARED,
		.tracking = byte & 8 ? GMEM_TRACKING_VM : GMEM_TRACKING_FILE,
		.gaps = gaps[byte >> 4 & 3],
		.page_shift = model->shift,
	};
	/* From 0, around 4 GiB, or up to the last page that a range can have. */
	model->base = byte >> 6 == 3   ? -((uint64_t)(PAGES + 1) << model->shift)
		      : byte >> 6 == 2 ? (UINT64_C(1) << 32) - ((uint64_t)100 << model->shift)
				       : 0;
	for (i = 0; i < REGIONS; i++)
		model->regions[i] = (struct gmem_region){
			.host = &model->backing,
			.config.tag = i + 1,
			.guest.fd = (int)(100 + i),
			.shadow = i < PLAIN_REGION ? &model->shadows[scale][i] : NULL,
			.can_be_private = i < PLAIN_REGION,
		};
}

/* Where a section begins in its region: anywhere, or where one of the same region ended. */
static uint64_t window_offset(struct plan_model *model, const struct section *section,
			      uint64_t pages)
{
	uint64_t start = window_start(model, (uint32_t)(section->region - model->regions));
	uint64_t offset = next_byte(model) * 2;
	uint32_t i;

	for (i = model->section_count; i-- > 0 && offset & 4;) {
		const struct section *other = &model->sections[i];

		if (other->region != section->region)
			continue;
		offset = ((other->offset + other->size) >> model->shift) - start;
		break;
	}
	if (offset + pages > WINDOW)
		offset = WINDOW - pages;
	return (start + offset) << model->shift;
}

static void make_section(struct plan_model *model, uint64_t page, uint64_t pages)
{
	struct section *section = &model->sections[model->section_count];
	uint32_t kind = next_byte(model), i;

	*section = (struct section){
		.gpa = address(model, page),
		.size = pages << model->shift,
		.slot = model->section_count,
	};
	if (kind % 8) {
		section->region = &model->regions[kind % 8 == 1   ? PLAIN_REGION
						  : kind % 8 == 2 ? PLAIN_REGION
								  : (kind >> 3) % PLAIN_REGION];
		section->flags = kind % 8 == 2   ? GMEM_MAP_READONLY
				 : kind % 8 == 3 ? GMEM_MAP_DEVICE
						 : 0;
		section->offset = window_offset(model, section, pages);
	}
	for (i = 0; i < pages; i++)
		model->section_of[page + i] = model->section_count;
	model->section_count++;
}

static void make_sections(struct plan_model *model)
{
	uint64_t page = 0;
	uint32_t i;

	for (i = 0; i < PAGES; i++)
		model->section_of[i] = NO_SECTION;
	model->section_count = 0;
	while (model->section_count < SECTIONS) {
		uint32_t byte = next_byte(model);
		uint64_t pages = 1 + byte % 32;

		if (byte & 64)
			page += byte % 7;
		if (byte & 128)
			pages = 1 + next_byte(model);
		if (page + pages > PAGES || (!byte && !model->left))
			break;
		make_section(model, page, pages);
		page += pages;
	}
}

/* Reserved ranges that touch are one to readers, and so to the model. */
static void join_reserved(struct plan_model *model)
{
	uint32_t i;

	for (i = 1; i < model->section_count; i++) {
		struct section *last = &model->sections[i - 1], *next = &model->sections[i];
		uint32_t page;

		if (last->region || next->region || last->gpa + last->size != next->gpa)
			continue;
		next->gpa = last->gpa;
		next->size += last->size;
		for (page = 0; page < PAGES; page++) {
			if (model->section_of[page] == i - 1)
				model->section_of[page] = i;
		}
	}
}

static void publish(struct plan_model *model)
{
	const struct section_list list = { model->sections, model->section_count, SECTIONS };

	gmem_layout_table_publish(&model->table, &list);
}

static void set_private(struct plan_model *model, uint32_t region, uint64_t first, uint64_t count,
			bool private)
{
	struct shadow *shadow = model->regions[region].shadow;
	uint64_t i;

	for (i = 0; i < count; i++)
		model->private[region][first + i] = private;
	gmem_state_set(&shadow->state, window_start(model, region) + first, count, private);
}

static void make_states(struct plan_model *model)
{
	uint32_t byte, region, runs;

	for (region = 0; region < PLAIN_REGION; region++)
		set_private(model, region, 0, WINDOW, next_byte(model) & 1);
	for (runs = next_byte(model) % 64; runs; runs--) {
		uint64_t first, count;

		byte = next_byte(model);
		first = next_byte(model) * 2 + (byte & 1);
		count = 1 + (byte & 128 ? next_byte(model) : next_byte(model) % 4);
		if (first + count > WINDOW)
			count = WINDOW - first;
		set_private(model, (byte >> 2) % PLAIN_REGION, first, count, byte & 2);
	}
}

static void make_ranges(struct plan_model *model)
{
	uint64_t page = next_byte(model);
	uint32_t wanted = 1 + next_byte(model) % RANGES, i;

	for (i = 0; i < PAGES; i++)
		model->range_of[i] = RANGES;
	model->plan.count = 0;
	while (model->plan.count < wanted) {
		uint32_t byte = next_byte(model);
		uint64_t pages = 1 + (byte & 128 ? next_byte(model) * 2 : byte % 32);

		if (byte & 64)
			page += byte % 5;
		if (page >= PAGES)
			break;
		if (page + pages > PAGES)
			pages = PAGES - page;
		model->ranges[model->plan.count] =
			(struct gmem_range){ address(model, page), pages << model->shift };
		for (i = 0; i < pages; i++)
			model->range_of[page + i] = (uint32_t)model->plan.count;
		model->plan.count++;
		page += pages;
	}
}

static const struct section *section_at(const struct plan_model *model, uint64_t page)
{
	uint32_t index = model->section_of[page];

	return index == NO_SECTION ? NULL : &model->sections[index];
}

static uint64_t region_page(const struct plan_model *model, uint64_t page)
{
	const struct section *section = section_at(model, page);

	return (section->offset + (address(model, page) - section->gpa)) >> model->shift;
}

static uint32_t region_of(const struct plan_model *model, uint64_t page)
{
	return (uint32_t)(section_at(model, page)->region - model->regions);
}

/* RAM whose pages have states. */
static bool has_state(const struct plan_model *model, uint64_t page)
{
	const struct section *section = section_at(model, page);

	return section && section->region && section->region->shadow && !section->flags;
}

static bool is_wrong(const struct plan_model *model, uint64_t page)
{
	uint32_t region = region_of(model, page);
	uint64_t index = region_page(model, page) - window_start(model, region);

	return model->private[region][index] != (model->plan.to == GMEM_PRIVATE);
}

static bool is_selected(const struct plan_model *model, enum plan_pages pages, uint64_t page)
{
	return model->range_of[page] != RANGES && has_state(model, page) &&
	       (pages == PLAN_ALL || is_wrong(model, page));
}

/* Whether a call can go from one selected page to the next. */
static bool joins(const struct plan_model *model, enum plan_pages pages, uint64_t last,
		  uint64_t next)
{
	if (next == last + 1)
		return model->plan.tracking == GMEM_TRACKING_VM ||
		       (region_of(model, last) == region_of(model, next) &&
			region_page(model, last) + 1 == region_page(model, next));
	return pages == PLAN_CALLS && model->range_of[last] == model->range_of[next] &&
	       model->section_of[last] == model->section_of[next] && next - last - 1 <= FEW_PAGES;
}

static uint64_t next_selected(const struct plan_model *model, enum plan_pages pages, uint64_t page)
{
	while (page < PAGES && !is_selected(model, pages, page))
		page++;
	return page;
}

/* The run that is next from a page on; false when there is none. */
static bool expected_run(const struct plan_model *model, enum plan_pages pages, uint64_t from,
			 uint64_t *first, uint64_t *end)
{
	uint64_t last, next;

	*first = next_selected(model, pages, from);
	if (*first == PAGES)
		return false;
	for (last = *first;; last = next) {
		next = next_selected(model, pages, last + 1);
		if (next == PAGES || !joins(model, pages, last, next))
			break;
	}
	*end = last + 1;
	return true;
}

/* What is wrong with one page: the error, or 0. */
static int obstacle_at(const struct plan_model *model, uint64_t page)
{
	const struct section *section = section_at(model, page);
	bool skip = model->plan.to == GMEM_SHARED ? !(model->plan.gaps & GMEM_VM_GAPS_REFUSE)
						  : model->plan.gaps & GMEM_VM_GAPS_SKIP;

	if (!section || !section->region)
		return skip ? 0 : -ENOENT;
	if (section->flags & GMEM_MAP_DEVICE)
		return skip ? 0 : -EACCES;
	return model->plan.to == GMEM_SHARED || has_state(model, page) ? 0 : -EACCES;
}

static __attribute__((format(printf, 2, 3))) bool differ(struct plan_model *model,
							 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(model->why, model->why_size, format, arguments);
	va_end(arguments);
	return false;
}

static bool check_obstacle(struct plan_model *model)
{
	struct plan_obstacle obstacle = { 0 };
	const struct section *section;
	int error = 0, rc = gmem_plan_check(&model->plan, &obstacle);
	uint64_t page;

	for (page = 0; page < PAGES && !error; page++) {
		if (model->range_of[page] != RANGES)
			error = obstacle_at(model, page);
	}
	if (rc != error)
		return differ(model, "the plan is judged %d instead of %d", rc, error);
	if (!rc)
		return true;
	page--;
	section = section_at(model, page);
	if (obstacle.gpa != address(model, page) || !obstacle.reason)
		return differ(model, "the obstacle is at %#jx instead of page %ju",
			      (uintmax_t)obstacle.gpa, (uintmax_t)page);
	if (obstacle.view.region != (section ? section->region : NULL) ||
	    (section && obstacle.view.gpa != section->gpa))
		return differ(model, "the obstacle's section is at %#jx",
			      (uintmax_t)obstacle.view.gpa);
	return true;
}

static bool same_view(const struct section_view *view, const struct section *section)
{
	return view->gpa == section->gpa && view->size == section->size &&
	       view->offset == section->offset && view->region == section->region &&
	       view->kind == section_kind(section);
}

static bool check_looks(struct plan_model *model)
{
	struct section_view view;
	uint64_t page, above = PAGES;

	for (page = PAGES; page-- > 0;) {
		bool found = gmem_layout_look(&model->table, address(model, page), &view);

		if (section_at(model, page))
			above = page;
		if (found != (above != PAGES) ||
		    (found && !same_view(&view, section_at(model, above))))
			return differ(model, "at page %ju another section is found",
				      (uintmax_t)page);
	}
	return true;
}

static bool check_run(struct plan_model *model, const struct plan_run *run, uint64_t first,
		      uint64_t end)
{
	if (run->gpa != address(model, first) || run->size != (end - first) << model->shift)
		return differ(model, "a run of %#jx bytes at %#jx instead of pages %ju to %ju",
			      (uintmax_t)run->size, (uintmax_t)run->gpa, (uintmax_t)first,
			      (uintmax_t)end);
	if (!same_view(&run->first, section_at(model, first)))
		return differ(model, "the run at %#jx has another section", (uintmax_t)run->gpa);
	return true;
}

/* As a conversion would, so that the rest of the walk sees other states. */
static void convert(struct plan_model *model, uint64_t first, uint64_t end)
{
	uint64_t page;

	for (page = first; page < end; page++)
		set_private(model, region_of(model, page),
			    region_page(model, page) - window_start(model, region_of(model, page)),
			    1, model->plan.to == GMEM_PRIVATE);
}

/* Somewhere below an address, within the ranges. */
static uint64_t back_from(struct plan_model *model, uint64_t from)
{
	uint64_t page = next_byte(model) * 3 % (from + 1);

	while (page < from && model->range_of[page] == RANGES)
		page++;
	return page;
}

/* From start to end, with a few steps back, and conversions of what was found. */
static bool check_walk(struct plan_model *model, enum plan_pages pages)
{
	struct plan_position position = { 0 };
	uint64_t from = 0, first = 0, end = 0;
	unsigned int backs = 0;
	struct plan_run run;
	uint32_t byte;
	bool more;

	for (;;) {
		more = gmem_plan_next(&model->plan, pages, &position, &run);
		if (more != expected_run(model, pages, from, &first, &end))
			return differ(model, "from page %ju on there is %s run", (uintmax_t)from,
				      more ? "a" : "no");
		if (more && !check_run(model, &run, first, end))
			return false;
		from = more ? end : from;
		byte = next_byte(model);
		if (more && byte & 1)
			convert(model, first, end);
		if (byte & 2 && from && backs++ < 8) {
			/* One page on from the run's start is where a page was tried by itself. */
			from = more && byte & 4 ? first + 1 : back_from(model, from);
			gmem_plan_rewind(&model->plan, &position, address(model, from));
		} else if (!more) {
			return true;
		}
	}
}

bool plan_model_check(struct plan_model *model, const uint8_t *data, size_t size, char *why,
		      size_t why_size)
{
	model->data = data;
	model->left = size;
	model->why = why;
	model->why_size = why_size;
	make_frame(model);
	make_sections(model);
	publish(model);
	join_reserved(model);
	make_states(model);
	make_ranges(model);
	return check_looks(model) && check_obstacle(model) && check_walk(model, PLAN_ALL) &&
	       check_walk(model, PLAN_CALLS) && check_walk(model, PLAN_WRONG);
}
