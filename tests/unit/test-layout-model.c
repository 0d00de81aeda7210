// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Random changes of the layout, on several kernels, against a model that is slow and obvious: a
 * list of sections in no order, asked page by page. After each operation the library's sections,
 * runs, states and host addresses and the kernel's memslots are what the model says.
 * GMEM_TEST_SEED repeats a run.
 */
#include "world.h"

#include "random.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <gmem/access.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define PAGES 48u        /* of guest-physical addresses in use */
#define REGION_PAGES 12u /* of each region */
#define REGIONS 4u
#define MODEL_SECTIONS 64u
#define SLOTS 6u
#define FIRST_SLOT 2u
#define OPERATIONS 500u
#define STEPS_MAX 6u
#define PLAIN_FLAGS (GMEM_MAP_READONLY | GMEM_MAP_DIRTY_LOG)

struct model_section {
	uint32_t space;
	uint64_t first; /* in pages, as all that follows */
	uint64_t pages;
	int region; /* -1: reserved */
	uint64_t offset;
	uint32_t slot;
	uint32_t flags;
	bool plain;
};

struct model {
	struct model_section sections[MODEL_SECTIONS];
	unsigned int count;
};

struct preset {
	const char *name;
	const struct fake_kvm_config *kvm;
	bool without_kvm;
	uint32_t backings[REGIONS];
};

struct play {
	struct world world;
	uint64_t seed;
	const struct preset *preset;
	struct gmem_region *regions[REGIONS];
	struct gmem_region_info info[REGIONS];
	bool private[REGIONS][REGION_PAGES];
	struct model model;
	unsigned int done; /* operations that changed something */
	unsigned int failed;
};

/* One step, in pages; as struct step otherwise. */
struct move {
	enum step_kind kind;
	uint32_t space;
	uint64_t first;
	uint64_t pages;
	int region;
	uint64_t offset;
	uint32_t slot;
	uint32_t flags;
};

static bool overlap(uint64_t a, uint64_t a_pages, uint64_t b, uint64_t b_pages)
{
	return a < b + b_pages && b < a + a_pages;
}

static bool slot_is_used(const struct model *model, uint32_t space, uint32_t slot)
{
	unsigned int i;

	for (i = 0; i < model->count; i++) {
		if (model->sections[i].space == space && model->sections[i].slot == slot)
			return true;
	}
	return false;
}

static bool is_same_memory(const struct model_section *a, const struct model_section *b)
{
	return a->space == b->space && a->first == b->first && a->pages == b->pages &&
	       a->region == b->region && a->offset == b->offset &&
	       !((a->flags ^ b->flags) & GMEM_MAP_ALIAS);
}

static int model_choose_slot(const struct model *before, const struct model *model,
			     struct model_section *section)
{
	unsigned int i;

	for (i = 0; i < before->count; i++) {
		const struct model_section *old = &before->sections[i];

		if (is_same_memory(old, section) && old->slot != GMEM_SLOT_NONE &&
		    !slot_is_used(model, section->space, old->slot)) {
			section->slot = old->slot;
			return 0;
		}
	}
	for (i = FIRST_SLOT; i < FIRST_SLOT + SLOTS; i++) {
		if (slot_is_used(model, section->space, i))
			continue;
		section->slot = i;
		return 0;
	}
	return -ENOSPC;
}

static bool can_be_private(const struct play *play, int region)
{
	return region >= 0 && play->info[region].can_be_private;
}

static int model_map(const struct play *play, const struct model *before, struct model *model,
		     const struct move *move)
{
	struct model_section section = { move->space,  move->first,    move->pages, move->region,
					 move->offset, GMEM_SLOT_NONE, move->flags, true };
	bool is_alias = move->kind == STEP_MAP_ALIAS;
	unsigned int i;

	if (can_be_private(play, move->region) && (is_alias || move->flags & PLAIN_FLAGS))
		return -EOPNOTSUPP;
	if (is_alias)
		section.flags |= GMEM_MAP_ALIAS;
	section.plain = move->region < 0 || play->info[move->region].guest_memfd < 0 ||
			section.flags & (PLAIN_FLAGS | GMEM_MAP_ALIAS);
	for (i = 0; i < model->count; i++) {
		const struct model_section *other = &model->sections[i];

		if (other->space == section.space &&
		    overlap(other->first, other->pages, section.first, section.pages) &&
		    (other->region >= 0 || section.region >= 0))
			return -EEXIST;
		if (!other->plain && !section.plain && other->region == section.region &&
		    overlap(other->offset, other->pages, section.offset, section.pages))
			return -EEXIST;
	}
	if (move->slot != GMEM_SLOT_NONE && !play->preset->without_kvm && move->region >= 0) {
		if (move->slot != GMEM_SLOT_AUTO) {
			if (slot_is_used(model, section.space, move->slot))
				return -EEXIST;
			section.slot = move->slot;
		} else if (model_choose_slot(before, model, &section)) {
			return -ENOSPC;
		}
	}
	model->sections[model->count++] = section;
	return 0;
}

static bool is_meant(const struct move *move, const struct model_section *section)
{
	return section->space == move->space &&
	       overlap(section->first, section->pages, move->first, move->pages) &&
	       (move->kind != STEP_UNMAP_ALIAS || section->flags & GMEM_MAP_ALIAS);
}

/* How many sections a move is about; -EINVAL when it would cut one. */
static int model_count(const struct model *model, const struct move *move)
{
	unsigned int i;
	int count = 0;

	for (i = 0; i < model->count; i++) {
		const struct model_section *section = &model->sections[i];

		if (!is_meant(move, section))
			continue;
		if (section->first < move->first ||
		    section->first + section->pages > move->first + move->pages)
			return -EINVAL;
		count++;
	}
	return count ? count : -ENOENT;
}

static void model_unmap(struct model *model, const struct move *move)
{
	unsigned int i, kept = 0;

	for (i = 0; i < model->count; i++) {
		if (!is_meant(move, &model->sections[i]))
			model->sections[kept++] = model->sections[i];
	}
	model->count = kept;
}

/* Exactly the bounds of a reserved range: one such goes, and nothing else. */
static bool model_unmap_reserved(struct model *model, const struct move *move)
{
	unsigned int i;

	for (i = 0; i < model->count && move->kind == STEP_UNMAP; i++) {
		const struct model_section *section = &model->sections[i];

		if (section->region >= 0 || section->first != move->first ||
		    section->pages != move->pages)
			continue;
		model->sections[i] = model->sections[--model->count];
		return true;
	}
	return false;
}

static int model_set_flags(const struct play *play, struct model *model, const struct move *move)
{
	bool is_reserved = false, is_private = false;
	unsigned int i;

	for (i = 0; i < model->count; i++) {
		const struct model_section *section = &model->sections[i];

		is_reserved |= is_meant(move, section) && section->region < 0;
		is_private |= is_meant(move, section) && can_be_private(play, section->region);
	}
	/* Random moves never meet both: which comes first would decide. */
	if (is_reserved)
		return -EINVAL;
	if (is_private && move->flags & PLAIN_FLAGS)
		return -EOPNOTSUPP;
	for (i = 0; i < model->count; i++) {
		struct model_section *section = &model->sections[i];

		if (!is_meant(move, section))
			continue;
		section->flags = (section->flags & GMEM_MAP_ALIAS) | move->flags;
		section->plain |= (move->flags & PLAIN_FLAGS) != 0;
	}
	return 0;
}

static int model_do(const struct play *play, const struct model *before, struct model *model,
		    const struct move *move)
{
	int rc;

	if (move->kind == STEP_MAP || move->kind == STEP_MAP_ALIAS)
		return model_map(play, before, model, move);
	if (model_unmap_reserved(model, move))
		return 0;
	rc = model_count(model, move);
	if (rc < 0)
		return rc;
	if (move->kind == STEP_SET_FLAGS)
		return model_set_flags(play, model, move);
	model_unmap(model, move);
	return 0;
}

static struct step step_of(const struct play *play, const struct move *move)
{
	uint64_t page = play->world.page;

	return (struct step){
		.kind = move->kind,
		.address_space = move->space,
		.gpa = move->first * page,
		.size = move->pages * page,
		.region = move->region < 0 ? NULL : play->regions[move->region],
		.offset = move->offset * page,
		.slot = move->slot,
		.flags = move->flags,
	};
}

static uint64_t below(struct play *play, uint64_t limit)
{
	return random_below(&play->seed, limit);
}

static uint32_t random_flags(struct play *play)
{
	static const uint32_t flags[] = {
		0, 0, GMEM_MAP_READONLY, GMEM_MAP_DIRTY_LOG, PLAIN_FLAGS, GMEM_MAP_DEVICE
	};

	return flags[below(play, ARRAY_SIZE(flags))];
}

static uint32_t random_slot(struct play *play)
{
	switch (below(play, 8)) {
	case 0:
		return GMEM_SLOT_NONE;
	case 1:
		return play->preset->without_kvm ? GMEM_SLOT_AUTO : (uint32_t)below(play, 10);
	default:
		return GMEM_SLOT_AUTO;
	}
}

static uint32_t random_space(struct play *play)
{
	return play->preset->without_kvm ? 0 : (uint32_t)below(play, 2);
}

static void random_map(struct play *play, struct move *move)
{
	bool is_alias = !below(play, 5);

	move->kind = is_alias ? STEP_MAP_ALIAS : STEP_MAP;
	move->space = is_alias ? random_space(play) : 0;
	move->region = (int)below(play, REGIONS + !is_alias) - !is_alias;
	move->pages = 1 + below(play, REGION_PAGES - 1);
	move->first = below(play, PAGES - move->pages);
	if (move->region < 0)
		return;
	move->offset = below(play, REGION_PAGES - move->pages + 1);
	move->slot = random_slot(play);
	move->flags = below(play, 3) ? 0 : random_flags(play);
}

/* Most often exactly the range of some section, or of two; of what is mapped when it begins. */
static void random_range(struct play *play, const struct model *model, struct move *move)
{
	const struct model_section *section = &model->sections[below(play, model->count)];

	move->first = section->first;
	move->pages = section->pages;
	if (move->kind != STEP_SET_FLAGS && below(play, 2))
		move->space = move->kind == STEP_UNMAP_ALIAS ? section->space : 0;
	switch (below(play, 10)) {
	case 0:
		move->pages = 1 + below(play, PAGES);
		break;
	case 1:
		move->first = below(play, PAGES);
		break;
	default:
		break;
	}
}

static struct move random_move(struct play *play, const struct model *model)
{
	static const enum step_kind kinds[] = { STEP_UNMAP, STEP_UNMAP_ALIAS, STEP_SET_FLAGS };
	struct move move = { .region = -1, .slot = GMEM_SLOT_AUTO };

	if (!model->count || (model->count < MODEL_SECTIONS / 2 && below(play, 2))) {
		random_map(play, &move);
		return move;
	}
	move.kind = kinds[below(play, ARRAY_SIZE(kinds))];
	if (move.kind == STEP_UNMAP_ALIAS)
		move.space = random_space(play);
	if (move.kind == STEP_SET_FLAGS)
		move.flags = random_flags(play);
	random_range(play, model, &move);
	return move;
}

/* Whether a move could fail for two reasons, between which only the order of sections decides. */
static bool is_ambiguous(const struct play *play, const struct model *model,
			 const struct move *move)
{
	bool is_reserved = false, is_private = false;
	unsigned int i;

	for (i = 0; i < model->count && move->kind == STEP_SET_FLAGS; i++) {
		const struct model_section *section = &model->sections[i];

		is_reserved |= is_meant(move, section) && section->region < 0;
		is_private |= is_meant(move, section) && can_be_private(play, section->region);
	}
	return is_reserved && is_private;
}

static struct move next_move(struct play *play, const struct model *model)
{
	struct move move;

	do {
		move = random_move(play, model);
	} while (is_ambiguous(play, model, &move));
	return move;
}

/* The section of address space 0 that a page is in, reserved ones last; NULL for a hole. */
static const struct model_section *section_of_page(const struct model *model, uint64_t page)
{
	unsigned int i;

	for (i = 0; i < model->count; i++) {
		const struct model_section *section = &model->sections[i];

		if (!section->space && page >= section->first &&
		    page < section->first + section->pages)
			return section;
	}
	return NULL;
}

static uint32_t state_of_page(const struct play *play, uint64_t page)
{
	const struct model_section *section = section_of_page(&play->model, page);

	if (!section || section->region < 0)
		return GMEM_HOLE;
	return play->private[section->region][section->offset + page - section->first]
		       ? GMEM_PRIVATE
		       : GMEM_SHARED;
}

/* One thing for readers: the same section, or two reserved ranges, which are shown as one. */
static bool is_one_section(const struct play *play, uint64_t a, uint64_t b)
{
	const struct model_section *first = section_of_page(&play->model, a);
	const struct model_section *second = section_of_page(&play->model, b);

	return first == second || (first && second && first->region < 0 && second->region < 0);
}

static void compare_section_fields(const struct play *play, const struct model_section *section,
				   const struct gmem_run *run)
{
	const struct gmem_region_info *info;
	uint64_t skipped = run->gpa - section->first * play->world.page;

	if (section->region < 0) {
		assert_int_equal(run->kind, GMEM_KIND_RESERVED);
		return;
	}
	info = &play->info[section->region];
	assert_int_equal(run->tag, info->tag);
	assert_int_equal(run->offset, section->offset * play->world.page + skipped);
	assert_ptr_equal(run->host, (char *)info->host + run->offset);
	assert_int_equal(run->fd, info->fd);
	assert_int_equal(run->guest_memfd, info->guest_memfd);
	assert_int_equal(run->flags, section->flags);
	assert_int_equal(run->slot, section->slot);
}

/* By pages: a run or section goes on for as long as the next page belongs to it. */
static uint64_t end_of(const struct play *play, uint64_t page, bool by_state)
{
	uint64_t end = page + 1;

	while (end < 2 * PAGES && is_one_section(play, page, end) &&
	       (!by_state || state_of_page(play, page) == state_of_page(play, end)))
		end++;
	return end;
}

static void compare_sections(struct play *play)
{
	uint64_t page = 0, i, end;
	struct gmem_run run;

	while (page < 2 * PAGES) {
		uint32_t state = 0;

		if (!section_of_page(&play->model, page)) {
			page++;
			continue;
		}
		end = end_of(play, page, false);
		assert_int_equal(
			gmem_vm_next_section(play->world.vm, page * play->world.page, &run), 1);
		assert_int_equal(run.gpa, page * play->world.page);
		assert_int_equal(run.size, (end - page) * play->world.page);
		for (i = page; i < end; i++)
			state |= state_of_page(play, i);
		assert_int_equal(run.state, state);
		compare_section_fields(play, section_of_page(&play->model, page), &run);
		page = end;
	}
}

static void compare_runs(struct play *play)
{
	uint64_t page = 0, end;
	struct gmem_run run;

	while (gmem_vm_next_run(play->world.vm, page * play->world.page, &run) == 1) {
		const struct model_section *section = section_of_page(&play->model, page);

		end = end_of(play, page, true);
		assert_int_equal(run.gpa, page * play->world.page);
		assert_int_equal(run.size, (end - page) * play->world.page);
		assert_int_equal(run.state, state_of_page(play, page));
		if (section)
			compare_section_fields(play, section, &run);
		else
			assert_int_equal(run.kind, GMEM_KIND_HOLE);
		page = end;
	}
	for (; page < 2 * PAGES; page++)
		assert_null(section_of_page(&play->model, page));
}

/* What translating a range of pages should give. */
static int model_translate(const struct play *play, uint64_t first, uint64_t pages, bool write,
			   char **host)
{
	const struct model_section *before = NULL;
	uint64_t page;

	for (page = first; page < first + pages; page++) {
		const struct model_section *section = section_of_page(&play->model, page);

		if (!section || section->region < 0)
			return -ENOENT;
		if (section->flags & GMEM_MAP_DEVICE ||
		    (write && section->flags & GMEM_MAP_READONLY))
			return -EACCES;
		if (before && before != section &&
		    (before->region != section->region ||
		     before->offset + before->pages != section->offset))
			return -EXDEV;
		if (state_of_page(play, page) == GMEM_PRIVATE)
			return -EACCES;
		before = section;
	}
	before = section_of_page(&play->model, first);
	*host = (char *)play->info[before->region].host +
		(before->offset + first - before->first) * play->world.page;
	return 0;
}

static void compare_random_ranges(struct play *play)
{
	unsigned int round;

	for (round = 0; round < 8; round++) {
		uint64_t page = play->world.page, first = below(play, PAGES), i;
		uint64_t pages = 1 + below(play, below(play, 2) ? 4 : PAGES);
		uint64_t cut = below(play, page), less = below(play, page - cut);
		char *expected = NULL;
		uint32_t state = 0;
		bool write = below(play, 2);
		void *host;
		int rc;

		for (i = first; i < first + pages; i++)
			state |= state_of_page(play, i);
		assert_int_equal(gmem_vm_get_state(play->world.vm, first * page + cut,
						   pages * page - cut - less),
				 state);
		rc = model_translate(play, first, pages, write, &expected);
		assert_int_equal(gmem_vm_translate(play->world.vm, first * page + cut,
						   pages * page - cut - less,
						   write ? GMEM_ACCESS_WRITE : 0, &host),
				 rc);
		assert_ptr_equal(host, rc ? NULL : expected + cut);
		if (rc)
			expect_one_message(play->world.logs, GMEM_LOG_DEBUG, "gpa");
	}
}

static void compare_slots(struct play *play)
{
	unsigned int used = 0, i;
	struct fake_slot slot;

	for (i = 0; i < play->model.count; i++) {
		const struct model_section *section = &play->model.sections[i];

		if (section->slot == GMEM_SLOT_NONE)
			continue;
		used++;
		assert_true(fake_kvm_find_slot(play->world.fake, play->world.vm_fd,
					       section->space << GMEM_KVM_SLOT_BITS | section->slot,
					       &slot));
		assert_int_equal(slot.gpa, section->first * play->world.page);
		assert_int_equal(slot.flags & GMEM_KVM_MEM_GUEST_MEMFD,
				 section->plain ? 0 : GMEM_KVM_MEM_GUEST_MEMFD);
	}
	assert_int_equal(world_slots_used(&play->world), used);
	assert_kernel_agrees(&play->world);
}

static void compare(struct play *play)
{
	compare_sections(play);
	compare_runs(play);
	compare_random_ranges(play);
	compare_slots(play);
}

/* What the library makes of the moves: one by its function, several in a change. */
static int play_moves(struct play *play, const struct move *moves, unsigned int count)
{
	struct gmem_change *change;
	struct step step;
	unsigned int i;
	int rc;

	if (count == 1) {
		step = step_of(play, &moves[0]);
		return world_do(&play->world, &step);
	}
	assert_int_equal(gmem_change_new(play->world.vm, &change), 0);
	for (i = 0; i < count; i++) {
		step = step_of(play, &moves[i]);
		assert_int_equal(world_add_step(change, &step), 0);
	}
	rc = gmem_change_commit(change);
	gmem_change_free(change);
	return rc;
}

static void play_operation(struct play *play)
{
	unsigned int count = below(play, 2) ? 1 : 2 + (unsigned int)below(play, STEPS_MAX - 1), i;
	struct model next = play->model;
	struct move moves[STEPS_MAX];
	int expected = 0, rc;
	bool faulty;

	for (i = 0; i < count && !expected; i++) {
		moves[i] = next_move(play, &next);
		expected = model_do(play, &play->model, &next, &moves[i]);
	}
	count = i;
	play->world.fail_error = EFAULT;
	play->world.fail_mask = below(play, 4) ? 0 : UINT64_C(1) << below(play, 8);
	faulty = play->world.fail_mask != 0;
	rc = play_moves(play, moves, count);
	/* The failure was met, and so all is as it was. */
	if (!expected && faulty && !play->world.fail_mask)
		expected = -EIO;
	play->world.fail_mask = 0;
	assert_int_equal(rc, expected);
	if (expected) {
		expect_one_message(play->world.logs, GMEM_LOG_ERROR, "VM descriptor");
		play->failed++;
	} else {
		play->model = next;
		play->done++;
	}
	expect_no_message(play->world.logs);
}

/* As a conversion would; of regions that are not mapped, so that the kernel need not hear. */
static void change_states(struct play *play)
{
	unsigned int region = (unsigned int)below(play, REGIONS), i;
	uint64_t first = below(play, REGION_PAGES), pages;
	bool private = below(play, 2);

	for (i = 0; i < play->model.count; i++) {
		if (play->model.sections[i].region == (int)region)
			return;
	}
	if (!play->info[region].can_be_private)
		return;
	pages = 1 + below(play, REGION_PAGES - first);
	world_set_private(play->regions[region], first, pages, private);
	memset(&play->private[region][first], private, pages);
}

static void open_play(struct play *play, const struct preset *preset)
{
	static const char *const names[REGIONS] = { "zero", "one", "two", "three" };
	struct fake_kvm_config kvm = *preset->kvm;
	unsigned int i;

	kvm.cap.multi_address_space = 2;
	kvm.cap.nr_memslots = 64;
	memset(play, 0, sizeof(*play));
	play->preset = preset;
	play->seed = random_seed(preset->name);
	world_open(&play->world, &(struct world_config){ .kvm = &kvm,
							 .without_kvm = preset->without_kvm,
							 .pausing = true,
							 .first_slot = FIRST_SLOT,
							 .slot_count = SLOTS });
	for (i = 0; i < REGIONS; i++) {
		play->regions[i] =
			world_region(&play->world, names[i], REGION_PAGES, preset->backings[i], 0);
		play->info[i] = world_region_info(play->regions[i]);
		memset(play->private[i], play -> info[i].can_be_private, REGION_PAGES);
	}
}

static void play_preset(const struct preset *preset)
{
	struct play *play = calloc(1, sizeof(*play));
	unsigned int i;

	assert_non_null(play);
	open_play(play, preset);
	for (i = 0; i < OPERATIONS; i++) {
		change_states(play);
		play_operation(play);
		compare(play);
		fake_kvm_reset_calls(play->world.fake);
	}
	assert_int_equal(play->world.pauses, play->world.resumes);
	/* Neither kind may have become rare. */
	assert_true(play->done > OPERATIONS / 10);
	assert_true(play->failed > OPERATIONS / 20);
	for (i = 0; i < REGIONS; i++)
		gmem_region_free(play->regions[i]);
	world_close(&play->world);
	free(play);
}

#define PLAIN GMEM_BACKING_PLAIN
#define SPLIT GMEM_BACKING_SPLIT
#define FILE GMEM_BACKING_GUEST_MEMFD

static void play_on(void **state)
{
	play_preset(*state);
}

int main(void)
{
	static struct preset presets[] = {
		{ "an old kernel", &fake_kvm_old, false, { PLAIN, PLAIN, PLAIN, PLAIN } },
		{ "Linux 6.8", &fake_kvm_linux_6_8, false, { PLAIN, SPLIT, SPLIT, PLAIN } },
		{ "Linux 6.18", &fake_kvm_linux_6_18, false, { FILE, FILE, PLAIN, FILE } },
		{ "tracking per VM",
		  &fake_kvm_linux_6_18_sw,
		  false,
		  { SPLIT, PLAIN, SPLIT, SPLIT } },
		{ "in place", &fake_kvm_in_place, false, { FILE, SPLIT, PLAIN, FILE } },
		{ "in place, never private",
		  &fake_kvm_in_place_default,
		  false,
		  { FILE, PLAIN, FILE, FILE } },
		{ "without KVM", &fake_kvm_linux_6_18, true, { PLAIN, PLAIN, PLAIN, PLAIN } },
	};
	struct CMUnitTest tests[ARRAY_SIZE(presets)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(presets); i++)
		tests[i] = (struct CMUnitTest){ presets[i].name, play_on, NULL, NULL, &presets[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
