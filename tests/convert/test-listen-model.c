// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Random operations, refusals and failures of the kernel, in every mode: whatever happens, each
 * listener has been told of just what is shared and mapped, of its kinds and in its blocks, never
 * twice of the same, and never of what is not there.
 */
#include "ears.h"

#include "libgmem/uapi/kvm.h"
#include "tests/support/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 400u
#define RAM_PAGES 1024u
#define REGION_RAM0 0u
#define REGION_RAM1 1u
#define REGION_PLAIN 2u
#define RESERVED 3u

/* Where things can be mapped, in pages. They do not overlap. */
struct window {
	uint64_t page;
	uint64_t pages;
	uint32_t region;
	uint64_t offset;
	uint32_t flags;
	bool alias;
};

static const struct window windows[] = {
	{ 0, 192, REGION_RAM0, 0, 0, false },
	{ 192, 64, REGION_RAM0, 192, 0, false },
	{ 264, 120, REGION_RAM1, 0, 0, false },
	{ 384, 256, REGION_RAM0, 256, 0, false },
	{ 700, 64, REGION_PLAIN, 0, 0, false },
	{ 764, 32, REGION_PLAIN, 64, GMEM_MAP_READONLY, false },
	{ 800, 32, REGION_PLAIN, 96, GMEM_MAP_DEVICE, false },
	{ 840, 64, REGION_PLAIN, 0, 0, true },
	{ 910, 16, RESERVED, 0, 0, false },
	{ 930, 32, REGION_PLAIN, 48, GMEM_MAP_READONLY, true },
	{ 970, 24, REGION_PLAIN, 20, 0, true },
	{ 1024, 128, REGION_RAM0, 512, 0, false },
	{ 1536, 1024, REGION_RAM1, 120, 0, false },
};

#define WINDOWS (sizeof(windows) / sizeof(windows[0]))
#define PAGES 2600u
#define PINS 3u

struct model {
	struct rig rig;
	struct ears ears;
	uint64_t random;
	bool mapped[WINDOWS];
	struct gmem_pin pin[PINS];
	uint32_t tries;
	bool pause_refuses;
	/* The kernel's own pin, for one operation. */
	uint64_t busy_offset;
	bool busy;
};

static uint64_t below(struct model *model, uint64_t limit)
{
	return random_below(&model->random, limit);
}

static bool one_in(struct model *model, uint64_t of)
{
	return !below(model, of);
}

static int keep_out(void *opaque)
{
	const struct model *model = opaque;

	return model->pause_refuses ? -EPERM : 0;
}

static void let_in(void *opaque)
{
	(void)opaque;
}

/* Some tries, and then an end, so that nothing here depends on time. */
static int be_patient(const struct gmem_report *so_far, void *opaque)
{
	struct model *model = opaque;

	(void)so_far;
	if (model->tries--)
		return GMEM_RETRY_AGAIN;
	model->tries = 2;
	return one_in(model, 2) ? GMEM_RETRY_SKIP : GMEM_RETRY_STOP;
}

static struct gmem_region *new_plain(struct rig *rig, uint64_t pages)
{
	struct gmem_region_config *config;
	struct gmem_region *region;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(rig->vm, pages * rig->page, config, &region), 0);
	gmem_region_config_free(config);
	rig->region[rig->regions++] = region;
	return region;
}

static void model_open(struct model *model, const struct mode *mode)
{
	struct gmem_vm_config *config;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_retry(config, UINT64_MAX, be_patient, model, NULL);
	gmem_vm_config_set_pause(config, keep_out, let_in, model, NULL);
	gmem_vm_config_set_discard_limit(config, UINT64_C(64) << 12);
	gmem_vm_config_set_flags(config, one_in(model, 2) ? GMEM_VM_GAPS_SKIP : 0);
	rig_open_with(&model->rig, mode, config);
	gmem_vm_config_free(config);
	rig_region(&model->rig, RAM_PAGES);
	rig_region(&model->rig, 2 * (uint64_t)RAM_PAGES);
	new_plain(&model->rig, 128);
	ears_open(&model->ears, &model->rig);
	model->ears.slots_fail = true;
}

static void model_close(struct model *model)
{
	uint32_t i;

	for (i = 0; i < PINS; i++)
		gmem_vm_unpin(model->rig.vm, &model->pin[i]);
	ears_close(&model->ears);
	rig_close(&model->rig);
}

/* Somebody refuses a call of what comes, or nobody does. */
static void choose_refusal(struct model *model)
{
	uint32_t event = one_in(model, 2) ? GMEM_EVENT_ADD : GMEM_EVENT_REMOVE;

	if (one_in(model, 3))
		ears_refuse(&model->ears, (uint32_t)below(model, EARS_MAX), event,
			    1 + (uint32_t)below(model, 4));
	model->pause_refuses = one_in(model, 8);
}

/* Calls of one kind fail: one of the first few, or all from there on. */
static void choose_failure(struct model *model)
{
	static const uint64_t requests[] = { GMEM_KVM_SET_MEMORY_ATTRIBUTES,
					     GMEM_KVM_SET_MEMORY_ATTRIBUTES2,
					     GMEM_KVM_SET_USER_MEMORY_REGION2 };
	static const int errors[] = { -ENOMEM, -EIO, -EINTR, -EAGAIN };
	uint64_t request = requests[below(model, 3)];
	/* EAGAIN of the other says of a page that it is in use, and so not private: no such lies. */
	bool can_try_again = request == GMEM_KVM_SET_MEMORY_ATTRIBUTES;
	int error = errors[below(model, can_try_again ? 4 : 2)];
	uint64_t nth = 1 + below(model, 4);

	if (!one_in(model, 3))
		return;
	/* A few in a row: what is tried again, or put back, fails as well. */
	do
		assert_int_equal(
			gmem_sim_fail(model->rig.sim, GMEM_SYS_IOCTL, request, nth++, error, 0), 0);
	while (!one_in(model, 3));
	if (one_in(model, 4))
		assert_int_equal(gmem_sim_fail(model->rig.sim, GMEM_SYS_FALLOCATE, 0,
					       1 + below(model, 2), -EIO, 0),
				 0);
}

static int guest_memfd_of(const struct rig *rig, uint32_t region)
{
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(rig->region[region], &info), 0);
	return info.guest_memfd;
}

/* A page that the kernel sees in use, for a while or to the last. */
static void choose_busy_page(struct model *model)
{
	struct rig *rig = &model->rig;

	model->busy = false;
	if (rig->mode->backing != GMEM_BACKING_GUEST_MEMFD || !one_in(model, 3))
		return;
	model->busy_offset = below(model, RAM_PAGES) * rig->page;
	model->busy = !gmem_sim_pin(rig->sim, guest_memfd_of(rig, REGION_RAM0), model->busy_offset,
				    rig->page, (uint32_t)below(model, 4));
}

static void let_go_of_busy_page(struct model *model)
{
	if (model->busy)
		(void)gmem_sim_unpin(model->rig.sim, guest_memfd_of(&model->rig, REGION_RAM0),
				     model->busy_offset, model->rig.page);
}

/* Where a piece of some window is, or, rarely, anywhere. */
static struct gmem_range choose_range(struct model *model)
{
	const struct window *window = &windows[below(model, WINDOWS)];
	uint64_t page = window->page + below(model, window->pages), pages;

	pages = 1 + below(model, one_in(model, 3) ? 700 : 24);
	if (one_in(model, 8)) {
		page = window->page;
		pages = window->pages;
	}
	if (page + pages > PAGES)
		pages = PAGES - page;
	return (struct gmem_range){ .gpa = page * model->rig.page,
				    .size = pages * model->rig.page };
}

static uint32_t choose_convert_flags(struct model *model)
{
	static const uint32_t all[] = { GMEM_CONVERT_NOWAIT, GMEM_CONVERT_TRUST_STATE,
					GMEM_CONVERT_KEEP, GMEM_CONVERT_FREE_HUGETLB };
	uint32_t flags = 0, i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		flags |= one_in(model, 3) ? all[i] : 0;
	if (one_in(model, 3) && model->rig.mode->vm_type == GMEM_VM_TYPE_SW_PROTECTED)
		flags |= GMEM_CONVERT_ROLLBACK;
	return flags;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct gmem_range *one = a, *other = b;

	return (one->gpa > other->gpa) - (one->gpa < other->gpa);
}

/* Several, in order; those that overlap their predecessor are left out. */
static size_t choose_ranges(struct model *model, struct gmem_range *ranges, size_t count)
{
	size_t kept = 1, i;

	for (i = 0; i < count; i++)
		ranges[i] = choose_range(model);
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (i = 1; i < count; i++) {
		if (ranges[i].gpa >= ranges[kept - 1].gpa + ranges[kept - 1].size)
			ranges[kept++] = ranges[i];
	}
	return kept;
}

static const char *do_convert(struct model *model)
{
	uint32_t to = one_in(model, 2) ? GMEM_PRIVATE : GMEM_SHARED;
	struct gmem_range ranges[5] = { 0 };
	size_t count = choose_ranges(model, ranges, 1 + below(model, 5));

	(void)gmem_vm_convert_ranges(model->rig.vm, ranges, count, to, choose_convert_flags(model),
				     NULL);
	return "conversion";
}

static const char *do_discard(struct model *model)
{
	struct gmem_range range = choose_range(model);

	if (one_in(model, 3)) {
		(void)gmem_vm_populate(model->rig.vm, range.gpa, range.size, 0, NULL);
		return "populate";
	}
	(void)gmem_vm_discard(model->rig.vm, range.gpa, range.size,
			      one_in(model, 3) ? GMEM_DISCARD_ABSENT : 0, NULL);
	return "discard";
}

static void add_step(struct model *model, struct gmem_change *change, uint32_t index, bool map)
{
	const struct window *window = &windows[index];
	uint64_t page = model->rig.page, gpa = window->page * page, size = window->pages * page;
	struct gmem_region *region = window->region == RESERVED ? NULL
								: model->rig.region[window->region];

	if (!map)
		(void)gmem_change_unmap(change, gpa, size);
	else if (window->alias)
		(void)gmem_change_map_alias(change, 0, gpa, region, window->offset * page, size,
					    GMEM_SLOT_AUTO, window->flags);
	else
		(void)gmem_change_map(change, gpa, region, window->offset * page, size,
				      GMEM_SLOT_AUTO, window->flags);
}

static void see_what_is_mapped(struct model *model)
{
	struct gmem_run run;
	uint32_t i;

	for (i = 0; i < WINDOWS; i++)
		model->mapped[i] = gmem_vm_next_section(model->rig.vm,
							windows[i].page * model->rig.page,
							&run) == 1 &&
				   run.gpa == windows[i].page * model->rig.page;
}

/* Some go, some come, some go and come back, some change their flags: all at once. */
static const char *do_layout(struct model *model)
{
	uint32_t steps = 1 + (uint32_t)below(model, 5), index;
	struct gmem_change *change;
	const char *what;

	assert_int_equal(gmem_change_new(model->rig.vm, &change), 0);
	while (steps--) {
		index = (uint32_t)below(model, WINDOWS);
		if (model->mapped[index] && windows[index].region == REGION_PLAIN &&
		    one_in(model, 3)) {
			static const uint32_t flags[] = { 0, GMEM_MAP_READONLY, GMEM_MAP_DEVICE,
							  GMEM_MAP_DIRTY_LOG };

			(void)gmem_change_set_map_flags(change,
							windows[index].page * model->rig.page,
							windows[index].pages * model->rig.page,
							flags[below(model, 4)]);
			continue;
		}
		add_step(model, change, index, !model->mapped[index]);
		model->mapped[index] = !model->mapped[index];
	}
	what = gmem_change_commit(change) ? "layout change that failed" : "layout change";
	gmem_change_free(change);
	see_what_is_mapped(model);
	return what;
}

static const char *do_listener(struct model *model)
{
	static const uint32_t kinds[] = { GMEM_LISTEN_RAM, GMEM_LISTEN_ROM,
					  GMEM_LISTEN_RAM | GMEM_LISTEN_ROM | GMEM_LISTEN_DEVICE };
	static const uint64_t granularities[] = { 0, 0, 1, 4, 64, 512 };
	uint32_t index = (uint32_t)below(model, EARS_MAX);
	struct ear *ear = &model->ears.ear[index];

	if (ear->listener) {
		ears_free(&model->ears, index);
		return "removal of a listener";
	}
	(void)ears_listen(&model->ears, index, GMEM_LISTEN_ALL, kinds[below(model, 3)],
			  granularities[below(model, 6)]);
	return "a new listener";
}

static const char *do_pin(struct model *model)
{
	struct gmem_pin *pin = &model->pin[below(model, PINS)];
	struct gmem_range range = choose_range(model);

	if (pin->size)
		gmem_vm_unpin(model->rig.vm, pin);
	else
		(void)gmem_vm_pin(model->rig.vm, range.gpa, range.size, GMEM_ACCESS_PARTIAL, pin);
	return "pin";
}

static const char *do_something(struct model *model)
{
	switch (below(model, 12)) {
	case 0:
		return do_pin(model);
	case 1:
		return do_listener(model);
	case 2:
		return do_discard(model);
	case 3:
	case 4:
	case 5:
		return do_layout(model);
	default:
		return do_convert(model);
	}
}

static void listeners_know_what_is_there(void **state)
{
	struct model *model = calloc(1, sizeof(*model));
	uint32_t i, k;
	const char *what;

	assert_non_null(model);
	model->random = random_seed("listeners");
	model->tries = 2;
	model_open(model, *state);
	for (k = 0; k < EARS_MAX / 2; k++)
		do_listener(model);
	for (k = 0; k < EARS_MAX; k++)
		do_layout(model);
	for (i = 0; i < ROUNDS; i++) {
		choose_refusal(model);
		choose_failure(model);
		choose_busy_page(model);
		what = do_something(model);
		gmem_sim_clear_failures(model->rig.sim);
		let_go_of_busy_page(model);
		ears_compare(&model->ears, what);
		rig_compare(&model->rig);
		ears_forget(&model->ears);
		logs_reset(model->rig.logs);
	}
	model_close(model);
	free(model);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(listeners_know_what_is_there, IN_ALL_MODES),
	};

	return rig_run("listeners, model", cases, sizeof(cases) / sizeof(cases[0]));
}
