// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Guests that ask for what makes no sense, without end: each gets an answer that KVM takes, nothing
 * is changed that should not be, and the log stays short.
 */
#include "exits-kit.h"

#include "tests/support/random.h"

#include <string.h>

#define SECOND UINT64_C(1000000000)
#define MESSAGES 10u /* in a second */
#define RANDOM_EXITS 3000u

/* What there is, in pages. */
#define HOLE_PAGE (RAM_PAGE + RAM_PAGES)
#define ROM_PAGE (HOLE_PAGE + 4)
#define PLAIN_PAGE (ROM_PAGE + 4)
#define DEVICE_PAGE (PLAIN_PAGE + 4)
#define RESERVED_PAGE (DEVICE_PAGE + 4)
#define MORE_PAGE (RESERVED_PAGE + 4)
#define MORE_PAGES 16u
#define END_PAGE (MORE_PAGE + MORE_PAGES)

/* As high up as a section can be. */
static uint64_t top_page(const struct stand *stand)
{
	return UINT64_MAX / stand->rig.page - 1;
}

static struct gmem_region *plain_region(struct stand *stand, uint64_t pages)
{
	struct gmem_region_config *config;
	struct gmem_region *region;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(stand->rig.vm, pages * stand->rig.page, config, &region),
			 0);
	gmem_region_config_free(config);
	return region;
}

static void map_plain(struct stand *stand, uint64_t gpa_page, uint32_t flags)
{
	struct gmem_region *region = plain_region(stand, 4);

	assert_int_equal(gmem_vm_map(stand->rig.vm, gpa_page * stand->rig.page, region, 0,
				     4 * stand->rig.page, GMEM_SLOT_AUTO, flags),
			 0);
	gmem_region_free(region);
}

static void open_with_all(struct stand *stand, const struct mode *mode)
{
	stand_open_with_ram(stand, mode, NULL);
	map_plain(stand, ROM_PAGE, GMEM_MAP_READONLY);
	map_plain(stand, PLAIN_PAGE, 0);
	map_plain(stand, DEVICE_PAGE, GMEM_MAP_DEVICE);
	assert_int_equal(gmem_vm_map(stand->rig.vm, RESERVED_PAGE * stand->rig.page, NULL, 0,
				     4 * stand->rig.page, GMEM_SLOT_NONE, 0),
			 0);
	rig_map(&stand->rig, MORE_PAGE, rig_region(&stand->rig, MORE_PAGES), 0, MORE_PAGES);
	/* Above what a memslot can be at. */
	assert_int_equal(gmem_vm_map(stand->rig.vm, top_page(stand) * stand->rig.page,
				     rig_region(&stand->rig, 1), 0, stand->rig.page, GMEM_SLOT_NONE,
				     0),
			 0);
	stand->attribute_calls = 0;
	logs_reset(stand->rig.logs);
}

/* Pages that can be private, by number from 0 on; UINT64_MAX: another. */
static uint64_t page_index(const struct stand *stand, uint64_t page)
{
	if (page >= RAM_PAGE && page < RAM_PAGE + RAM_PAGES)
		return page - RAM_PAGE;
	if (page >= MORE_PAGE && page < MORE_PAGE + MORE_PAGES)
		return RAM_PAGES + page - MORE_PAGE;
	return page == top_page(stand) ? RAM_PAGES + MORE_PAGES : UINT64_MAX;
}

#define MODEL_PAGES (RAM_PAGES + MORE_PAGES + 1)

struct model {
	bool private[MODEL_PAGES];
};

static uint64_t model_page(const struct stand *stand, unsigned int index)
{
	if (index < RAM_PAGES)
		return RAM_PAGE + index;
	return index < RAM_PAGES + MORE_PAGES ? MORE_PAGE + index - RAM_PAGES : top_page(stand);
}

/* What the guest is told, worked out page by page, with 128 bits to be sure. */
static uint64_t model_call(struct model *model, const struct stand *stand, uint64_t gpa,
			   uint64_t pages, uint64_t attributes)
{
	const unsigned __int128 size = (unsigned __int128)pages << 12;
	const unsigned __int128 end = gpa + size;
	uint64_t page = stand->rig.page, at, left, most = 0;
	bool private = attributes & 16;
	unsigned int i;

	if (attributes > 31 || !pages || end > UINT64_MAX || gpa % page || (uint64_t)size % page)
		return EINVAL;
	for (i = 0; i < MODEL_PAGES; i++) {
		at = model_page(stand, i) * page;
		most += at >= gpa && at < (uint64_t)end;
	}
	left = (uint64_t)size / page;
	if (private && left != most)
		return EINVAL;
	for (i = 0; i < MODEL_PAGES; i++) {
		at = model_page(stand, i) * page;
		if (at >= gpa && at < (uint64_t)end)
			model->private[i] = private;
	}
	return 0;
}

static void compare(struct stand *stand, const struct model *model)
{
	unsigned int i;

	for (i = 0; i < MODEL_PAGES; i++)
		assert_int_equal(state_of(stand, model_page(stand, i), 1),
				 model->private[i] ? GMEM_PRIVATE : GMEM_SHARED);
	rig_compare(&stand->rig);
}

/* What nobody but the kernel has written. */
static void make_call(struct stand *stand, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	struct sim_kvm_run *run = stand->run[0];

	memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->exit_reason = GMEM_KVM_EXIT_HYPERCALL;
	run->hypercall.nr = GMEM_KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = gpa;
	run->hypercall.args[1] = pages;
	run->hypercall.args[2] = attributes;
	run->hypercall.ret = UINT64_MAX;
}

struct request {
	uint64_t gpa;
	uint64_t pages; /* of 4 KiB */
	uint64_t attributes;
	uint64_t answer;
};

/* A guest of its own for each, for one that is refused may end. */
static void expect_answer(const struct mode *mode, const struct request *request)
{
	struct model model = { 0 };
	struct gmem_report report;
	struct stand stand;

	open_with_all(&stand, mode);
	guest_asks_for(&stand, 0, request->gpa, request->pages, request->attributes);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(stand.run[0]->hypercall.ret, request->answer);
	assert_int_equal(guest_is_told(&stand, 0), request->answer);
	assert_int_equal(!report.error, !request->answer);
	assert_int_equal(stats_of(&stand).exits_refused, request->answer != 0);
	if (request->answer) {
		assert_int_equal(stand.attribute_calls, 0);
		assert_int_equal(report.converted, 0);
		expect_one_message(stand.rig.logs, GMEM_LOG_DEBUG, "the guest's MAP_GPA_RANGE");
	} else {
		expect_no_message(stand.rig.logs);
	}
	assert_int_equal(model_call(&model, &stand, request->gpa, request->pages,
				    request->attributes),
			 request->answer);
	compare(&stand, &model);
	stand_close(&stand);
}

static void expect_answers(const struct mode *mode, const struct request *requests, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		expect_answer(mode, &requests[i]);
}

#define EXPECT_ANSWERS(mode, requests)                                                             \
	expect_answers(mode, requests, sizeof(requests) / sizeof((requests)[0]))

static uint64_t page_of(const struct mode *mode)
{
	return mode->page_size ? mode->page_size : 4096;
}

static void sizes_that_overflow(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode), ram = RAM_PAGE * page, own = page / 4096;
	const struct request requests[] = {
		{ ram, 0, TO_PRIVATE, EINVAL },
		{ ram, 0, TO_SHARED, EINVAL },
		/* What is left of these in 64 bits is nothing, a page, and all but a page. */
		{ ram, UINT64_C(1) << 52, TO_PRIVATE, EINVAL },
		{ ram, (UINT64_C(1) << 52) + own, TO_PRIVATE, EINVAL },
		{ ram, (UINT64_C(1) << 63) + own, TO_SHARED, EINVAL },
		{ ram, UINT64_MAX, TO_PRIVATE, EINVAL },
		{ ram, UINT64_MAX, TO_SHARED, EINVAL },
		/* Pages in bounds, that end beyond. */
		{ ram, (UINT64_C(1) << 52) - own, TO_PRIVATE, EINVAL },
		{ ram, (UINT64_C(1) << 52) - own, TO_SHARED, EINVAL },
		{ UINT64_MAX - page + 1, own, TO_SHARED, EINVAL },
		{ UINT64_MAX - page + 1, 2 * own, TO_PRIVATE, EINVAL },
	};

	EXPECT_ANSWERS(mode, requests);
}

static void the_top_of_the_address_space(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode), own = page / 4096;
	const uint64_t top = UINT64_MAX - 2 * page + 1;
	const struct request requests[] = {
		{ top, own, TO_PRIVATE, 0 },
		{ top, own, TO_SHARED, 0 },
		{ top, 2 * own, TO_PRIVATE, EINVAL },
		{ top - page, 2 * own, TO_PRIVATE, EINVAL },
		{ top - page, 2 * own, TO_SHARED, 0 },
		{ 0, (UINT64_C(1) << 52) - own, TO_SHARED, 0 },
		{ 0, (UINT64_C(1) << 52) - own, TO_PRIVATE, EINVAL },
		{ 0, UINT64_C(1) << 52, TO_SHARED, EINVAL },
		{ UINT64_C(1) << 52, own, TO_PRIVATE, EINVAL },
	};

	EXPECT_ANSWERS(mode, requests);
}

static void addresses_that_are_not_aligned(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode), ram = RAM_PAGE * page, own = page / 4096;
	const struct request requests[] = {
		{ ram + 1, own, TO_PRIVATE, EINVAL },
		{ ram + page - 1, own, TO_SHARED, EINVAL },
		{ ram + 2048, own, TO_PRIVATE, EINVAL },
		{ ram | 1, 0, TO_PRIVATE, EINVAL },
	};

	EXPECT_ANSWERS(mode, requests);
}

/* What is a page to the guest is a part of one to the host. */
static void pages_smaller_than_the_host_s(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode), ram = RAM_PAGE * page, own = page / 4096;
	const struct request requests[] = {
		{ ram, own > 1 ? own - 1 : own, TO_PRIVATE, own > 1 ? EINVAL : 0 },
		{ ram + 4096, own, TO_PRIVATE, own > 1 ? EINVAL : 0 },
		{ ram, own + 1, TO_SHARED, own > 1 ? EINVAL : 0 },
	};

	EXPECT_ANSWERS(mode, requests);
}

static void attributes_that_nobody_knows(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode);
	struct model model = { 0 };
	struct stand stand;
	unsigned int bit;
	uint64_t hint;

	open_with_all(&stand, mode);
	for (bit = 5; bit < 64; bit++) {
		make_call(&stand, RAM_PAGE * page, page / 4096, UINT64_C(1) << bit | TO_PRIVATE);
		assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
		assert_int_equal(stand.run[0]->hypercall.ret, EINVAL);
		make_call(&stand, RAM_PAGE * page, page / 4096, UINT64_C(1) << bit);
		assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
		assert_int_equal(stand.run[0]->hypercall.ret, EINVAL);
	}
	assert_int_equal(stand.attribute_calls, 0);
	compare(&stand, &model);
	/* Bit 4 alone says to private, whatever the hint. */
	for (hint = 0; hint < 16; hint++) {
		make_call(&stand, RAM_PAGE * page, page / 4096, hint | TO_PRIVATE);
		assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
		assert_int_equal(stand.run[0]->hypercall.ret, 0);
		assert_int_equal(state_of(&stand, RAM_PAGE, 1), GMEM_PRIVATE);
		make_call(&stand, RAM_PAGE * page, page / 4096, hint);
		assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
		assert_int_equal(stand.run[0]->hypercall.ret, 0);
		assert_int_equal(state_of(&stand, RAM_PAGE, 1), GMEM_SHARED);
	}
	compare(&stand, &model);
	stand_close(&stand);
}

static void what_is_no_memory_or_not_the_guests(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode), own = page / 4096;
	const uint64_t where[] = { 0, HOLE_PAGE, ROM_PAGE, PLAIN_PAGE, DEVICE_PAGE, RESERVED_PAGE };
	unsigned int i;

	for (i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		const struct request requests[] = {
			{ where[i] * page, own, TO_PRIVATE, EINVAL },
			{ where[i] * page, own, TO_SHARED, 0 },
		};

		EXPECT_ANSWERS(mode, requests);
	}
}

/* All or nothing, however much of it is there. */
static void ranges_over_everything(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode), own = page / 4096;
	const struct request requests[] = {
		{ RAM_PAGE * page, RAM_PAGES * own, TO_PRIVATE, 0 },
		{ RAM_PAGE * page, (RAM_PAGES + 1) * own, TO_PRIVATE, EINVAL },
		{ RAM_PAGE * page, (END_PAGE - RAM_PAGE) * own, TO_PRIVATE, EINVAL },
		{ RAM_PAGE * page, (END_PAGE - RAM_PAGE) * own, TO_SHARED, 0 },
		{ (MORE_PAGE - 1) * page, 2 * own, TO_PRIVATE, EINVAL },
		{ MORE_PAGE * page, MORE_PAGES * own, TO_PRIVATE, 0 },
		{ 0, END_PAGE * own, TO_SHARED, 0 },
	};

	EXPECT_ANSWERS(mode, requests);
}

/* Whatever the size: a call for each run of memory, of which there are three. */
static void a_huge_range_is_a_few_calls(void **state)
{
	const struct mode *mode = *state;
	const uint64_t page = page_of(mode);
	struct model model = { 0 };
	struct stand stand;

	open_with_all(&stand, mode);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 7, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&stand.rig, top_page(&stand), 1, GMEM_PRIVATE, 0, NULL), 0);
	stand.attribute_calls = 0;
	make_call(&stand, 0, (UINT64_C(1) << 52) - page / 4096, TO_SHARED);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand.run[0]->hypercall.ret, 0);
	assert_int_equal(stand.attribute_calls, 3);
	compare(&stand, &model);
	stand_close(&stand);
}

static uint64_t random_value(uint64_t *seed, const struct stand *stand)
{
	const uint64_t page = stand->rig.page;
	const uint64_t odd[] = {
		0,
		1,
		UINT64_MAX,
		UINT64_MAX - page + 1,
		top_page(stand) * page,
		4096,
		page,
		UINT64_C(1) << 52,
		UINT64_C(1) << 63,
		(UINT64_C(1) << 52) - 1,
		END_PAGE,
		RAM_PAGES,
		HOLE_PAGE * page,
		MORE_PAGE * page,
		RAM_PAGE * page,
		page / 4096,
		page - 1,
		random_next(seed),
	};
	uint64_t some = random_below(seed, END_PAGE + 2);

	switch (random_below(seed, 8)) {
	case 0:
		return odd[random_below(seed, sizeof(odd) / sizeof(odd[0]))];
	case 1:
		return some * page + odd[random_below(seed, sizeof(odd) / sizeof(odd[0]))];
	default:
		return some * page;
	}
}

static uint64_t random_pages(uint64_t *seed, const struct stand *stand)
{
	if (!random_below(seed, 6))
		return random_value(seed, stand);
	return random_below(seed, random_below(seed, 2) ? 8 : END_PAGE) * (stand->rig.page / 4096);
}

static void any_values_against_a_model(void **state)
{
	const struct mode *mode = *state;
	uint64_t seed = random_seed(mode->name), refused = 0, done = 0;
	struct model model = { 0 };
	struct stand stand;
	unsigned int i;

	open_with_all(&stand, mode);
	for (i = 0; i < RANDOM_EXITS; i++) {
		uint64_t gpa = random_value(&seed, &stand), pages = random_pages(&seed, &stand);
		uint64_t attributes = random_below(&seed, 32), wanted;

		if (!random_below(&seed, 20))
			attributes = random_next(&seed);
		make_call(&stand, gpa, pages, attributes);
		assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
		wanted = model_call(&model, &stand, gpa, pages, attributes);
		if (stand.run[0]->hypercall.ret != wanted)
			fail_msg("%#llx, %#llx pages, attributes %#llx: %llu instead of %llu",
				 (unsigned long long)gpa, (unsigned long long)pages,
				 (unsigned long long)attributes,
				 (unsigned long long)stand.run[0]->hypercall.ret,
				 (unsigned long long)wanted);
		refused += wanted != 0;
		done += !wanted;
		if (i % 100 == 0)
			compare(&stand, &model);
	}
	compare(&stand, &model);
	assert_int_equal(stats_of(&stand).exits, RANDOM_EXITS);
	assert_int_equal(stats_of(&stand).exits_refused, refused);
	assert_true(refused && done);
	stand_close(&stand);
}

/* A page is as the last fault wanted it, or the fault was refused and changed nothing. */
static void any_faults(void **state)
{
	const struct mode *mode = *state;
	uint64_t seed = random_seed(mode->name);
	struct model model = { 0 };
	struct stand stand;
	unsigned int i;
	int rc;

	open_with_all(&stand, mode);
	for (i = 0; i < RANDOM_EXITS; i++) {
		bool private = random_below(&seed, 2);
		uint64_t page = random_value(&seed, &stand) / stand.rig.page, index;

		make_fault(&stand, 0, private ? GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE : 0,
			   page * stand.rig.page, stand.rig.page);
		rc = handle_fault(&stand, 0, NULL);
		index = page_index(&stand, page);
		if (index != UINT64_MAX) {
			model.private[index] = private;
			assert_int_equal(rc, GMEM_EXIT_RESUME);
		} else if (private) {
			assert_true(rc == -ENOENT || rc == -EACCES || rc == -EINVAL);
		} else {
			assert_true(rc == GMEM_EXIT_RESUME || rc == -EINVAL);
		}
		if (i % 100 == 0)
			compare(&stand, &model);
	}
	compare(&stand, &model);
	stand_close(&stand);
}

/* Ten in a second of the clock, whatever the guest does. */
static void refuse_often(struct stand *stand, unsigned int times)
{
	while (times--) {
		make_call(stand, 1, 1, TO_PRIVATE);
		assert_int_equal(handle_call(stand, 0, NULL), GMEM_EXIT_RESUME);
		assert_int_equal(stand->run[0]->hypercall.ret, EINVAL);
	}
}

static void expect_messages(struct stand *stand, uint32_t level, unsigned int count)
{
	char text[512];
	size_t i;

	assert_int_equal(logs_count(stand->rig.logs), count);
	for (i = 0; i < count; i++)
		assert_int_equal(logs_get(stand->rig.logs, i, text, sizeof(text)), level);
	logs_reset(stand->rig.logs);
}

static void messages_have_a_limit(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 1;
	refuse_often(&stand, 25);
	expect_messages(&stand, GMEM_LOG_DEBUG, MESSAGES);
	assert_int_equal(stats_of(&stand).messages_dropped, 15);
	stand.now = SECOND - 1;
	refuse_often(&stand, 5);
	expect_messages(&stand, GMEM_LOG_DEBUG, 0);
	assert_int_equal(stats_of(&stand).messages_dropped, 20);
	stand.now = SECOND;
	refuse_often(&stand, 4);
	expect_messages(&stand, GMEM_LOG_DEBUG, 4);
	stand.now = 2 * SECOND - 1;
	refuse_often(&stand, 10);
	expect_messages(&stand, GMEM_LOG_DEBUG, 6);
	stand.now = 1000 * SECOND;
	refuse_often(&stand, 1000);
	expect_messages(&stand, GMEM_LOG_DEBUG, MESSAGES);
	assert_int_equal(stats_of(&stand).messages_dropped, 24 + 990);
	assert_int_equal(stats_of(&stand).exits_refused, 25 + 5 + 4 + 10 + 1000);
	assert_int_equal(stats_of(&stand).exits, 25 + 5 + 4 + 10 + 1000);
	stand_close(&stand);
}

/* Never many, and never none for good; seconds count again when there are any. */
static void messages_have_a_limit_without_a_clock(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	assert_int_equal(gmem_sim_fail(stand.rig.sim, GMEM_SYS_CLOCK_GETTIME, 0, 0, -EPERM, 0), 0);
	refuse_often(&stand, 1);
	expect_messages(&stand, GMEM_LOG_DEBUG, 1);
	refuse_often(&stand, 1);
	expect_messages(&stand, GMEM_LOG_DEBUG, 1);
	refuse_often(&stand, 1);
	expect_messages(&stand, GMEM_LOG_DEBUG, 0);
	refuse_often(&stand, 1021);
	expect_messages(&stand, GMEM_LOG_DEBUG, 9);
	refuse_often(&stand, 1023);
	expect_messages(&stand, GMEM_LOG_DEBUG, 0);
	refuse_often(&stand, 1);
	expect_messages(&stand, GMEM_LOG_DEBUG, 1);
	assert_int_equal(stats_of(&stand).messages_dropped, 2048 - 12);
	stand.now = 7 * SECOND;
	refuse_often(&stand, 50);
	expect_messages(&stand, GMEM_LOG_DEBUG, MESSAGES);
	assert_int_equal(gmem_sim_clear_failures(stand.rig.sim), 0);
	stand_close(&stand);
}

/* Whatever a guest asks for wrongly, what the host fails at is heard. */
static void what_is_wrong_with_requests_drowns_no_error(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 5 * SECOND;
	refuse_often(&stand, 25);
	expect_messages(&stand, GMEM_LOG_DEBUG, MESSAGES);
	fail_attributes(&stand, 1, -EFAULT);
	guest_asks(&stand, 0, RAM_PAGE, 1, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, NULL), GMEM_EXIT_RESUME);
	expect_messages(&stand, GMEM_LOG_ERROR, 1);
	assert_int_equal(stats_of(&stand).messages_dropped, 15);
	/* What nobody would hear counts for nothing. */
	gmem_ctx_set_log(stand.rig.ctx, GMEM_LOG_ERROR, logs_collect, stand.rig.logs, NULL);
	refuse_often(&stand, 25);
	assert_int_equal(stats_of(&stand).messages_dropped, 15);
	stand_close(&stand);
}

static void faults_have_the_same_limit(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 5 * SECOND;
	refuse_often(&stand, 7);
	make_fault(&stand, 0, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, 0, stand.rig.page);
	for (i = 0; i < 7; i++)
		assert_int_equal(handle_fault(&stand, 0, NULL), -ENOENT);
	expect_messages(&stand, GMEM_LOG_DEBUG, MESSAGES);
	assert_int_equal(stats_of(&stand).messages_dropped, 4);
	stand_close(&stand);
}

/* For the first page of RAM, by a hypercall. */
static void ask(struct stand *stand, uint64_t attributes, uint64_t answer)
{
	make_call(stand, RAM_PAGE * stand->rig.page, stand->rig.page / 4096, attributes);
	assert_int_equal(handle_call(stand, 0, NULL), GMEM_EXIT_RESUME);
	assert_int_equal(stand->run[0]->hypercall.ret, answer);
}

/* The host's misfortune is an error, but who asks for it all the time is the guest. */
static void failures_of_the_kernel_have_it_too(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 5 * SECOND;
	fail_attributes(&stand, 0, -ENOMEM);
	ask(&stand, TO_PRIVATE, EAGAIN);
	expect_one_message(stand.rig.logs, GMEM_LOG_ERROR, "\"ram0\"", "ENOMEM");
	for (i = 1; i < 50; i++)
		ask(&stand, TO_PRIVATE, EAGAIN);
	expect_messages(&stand, GMEM_LOG_ERROR, MESSAGES - 1);
	assert_int_equal(stats_of(&stand).messages_dropped, 50 - MESSAGES);
	/* A caller of the program's own is told each time. */
	for (i = 0; i < 20; i++)
		assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL),
				 -ENOMEM);
	expect_messages(&stand, GMEM_LOG_ERROR, 20);
	stand_close(&stand);
}

/* A listener that wants none of these, and has what follows fail. */
struct refuser {
	struct stand *stand;
	uint32_t event;
	int then_fails; /* the next call that changes attributes; 0: it does not */
	bool willing;
};

static int refuse(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct refuser *refuser = opaque;

	(void)run;
	if (event != refuser->event || refuser->willing)
		return 0;
	if (refuser->then_fails)
		fail_attributes(refuser->stand, 1, refuser->then_fails);
	/* Of what stays shared all the same it is told again, and has nothing to say. */
	refuser->willing = refuser->then_fails;
	return -EBUSY;
}

static struct gmem_listener *listen_with(struct refuser *refuser)
{
	struct gmem_listener *listener;

	assert_int_equal(gmem_listener_new(refuser->stand->rig.vm, GMEM_LISTEN_CONVERT,
					   GMEM_LISTEN_RAM, 0, refuse, refuser, NULL, &listener),
			 0);
	return listener;
}

static void refusals_of_listeners_have_it_too(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	struct refuser refuser = { .stand = &stand, .event = GMEM_EVENT_REMOVE };
	struct gmem_listener *listener;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 5 * SECOND;
	listener = listen_with(&refuser);
	logs_reset(stand.rig.logs);
	ask(&stand, TO_PRIVATE, EINVAL);
	expect_one_message(stand.rig.logs, GMEM_LOG_ERROR, "listener answered remove", "EBUSY");
	for (i = 1; i < 50; i++)
		ask(&stand, TO_PRIVATE, EINVAL);
	expect_messages(&stand, GMEM_LOG_ERROR, MESSAGES - 1);
	assert_int_equal(stats_of(&stand).messages_dropped, 50 - MESSAGES);
	assert_int_equal(stats_of(&stand).exits_refused, 50);
	for (i = 0; i < 20; i++)
		assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL),
				 -ECANCELED);
	expect_messages(&stand, GMEM_LOG_ERROR, 20);
	gmem_listener_free(listener);
	stand_close(&stand);
}

/*
 * Memory that has become shared, which a listener refuses: it turns private again, or stays where
 * that would destroy it, or where the kernel fails then, which is a failure of its own.
 */
static void refused_adds(struct stand *stand, struct refuser *refuser, int error, unsigned int each)
{
	unsigned int i;

	refuser->then_fails = error;
	for (i = 0; i < 30; i++) {
		refuser->willing = true;
		assert_int_equal(rig_convert(&stand->rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL), 0);
		refuser->willing = false;
		ask(stand, TO_SHARED, EINVAL);
		gmem_sim_clear_failures(stand->rig.sim);
		if (i)
			continue;
		expect_messages(stand, GMEM_LOG_ERROR, each);
	}
	expect_messages(stand, GMEM_LOG_ERROR, MESSAGES - each);
}

static void refusals_of_shared_memory_have_it_too(void **state)
{
	const struct mode *mode = *state;
	const bool stays = mode->vm_type != GMEM_VM_TYPE_SW_PROTECTED;
	struct stand stand;
	struct refuser refuser = { .stand = &stand, .event = GMEM_EVENT_ADD };
	struct gmem_listener *listener;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 5 * SECOND;
	listener = listen_with(&refuser);
	logs_reset(stand.rig.logs);
	refused_adds(&stand, &refuser, 0, 1);
	assert_int_equal(stats_of(&stand).messages_dropped, 30 - MESSAGES);
	stand.now = 6 * SECOND;
	refused_adds(&stand, &refuser, -EIO, stays ? 1 : 2);
	assert_int_equal(stats_of(&stand).messages_dropped, (stays ? 60 : 90) - 2 * MESSAGES);
	rig_compare(&stand.rig);
	gmem_listener_free(listener);
	stand_close(&stand);
}

/* From inside a callback: the program's mistake, which the guest can have it make again. */
static int handle_inside(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct stand *stand = opaque;

	(void)event;
	(void)run;
	ask(stand, TO_PRIVATE, EINVAL);
	return 0;
}

static void exits_inside_of_callbacks_have_it_too(void **state)
{
	const struct mode *mode = *state;
	struct gmem_listener *listener;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	stand.now = 5 * SECOND;
	assert_int_equal(gmem_listener_new(stand.rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   handle_inside, &stand, NULL, &listener),
			 0);
	logs_reset(stand.rig.logs);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE + 1, 1, GMEM_PRIVATE, 0, NULL), 0);
	expect_one_message(stand.rig.logs, GMEM_LOG_ERROR, "callback");
	for (i = 1; i < 40; i++)
		assert_int_equal(rig_convert(&stand.rig, RAM_PAGE + 1, 1,
					     i % 2 ? GMEM_SHARED : GMEM_PRIVATE, 0, NULL),
				 0);
	expect_messages(&stand, GMEM_LOG_ERROR, MESSAGES - 1);
	assert_int_equal(stats_of(&stand).messages_dropped, 40 - MESSAGES);
	gmem_listener_free(listener);
	stand_close(&stand);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(sizes_that_overflow, IN_ALL_MODES),
		RIG_CASE(the_top_of_the_address_space, IN_ALL_MODES),
		RIG_CASE(addresses_that_are_not_aligned, IN_ALL_MODES),
		RIG_CASE(pages_smaller_than_the_host_s, IN_ALL_MODES),
		RIG_CASE(attributes_that_nobody_knows, IN_ALL_MODES),
		RIG_CASE(what_is_no_memory_or_not_the_guests, IN_ALL_MODES),
		RIG_CASE(ranges_over_everything, IN_ALL_MODES),
		RIG_CASE(a_huge_range_is_a_few_calls, IN_ALL_MODES),
		RIG_CASE(any_values_against_a_model, IN_ALL_MODES),
		RIG_CASE(any_faults, IN_ALL_MODES),
		RIG_CASE(messages_have_a_limit, IN_ALL_MODES),
		RIG_CASE(messages_have_a_limit_without_a_clock, SMALL_PAGES),
		RIG_CASE(what_is_wrong_with_requests_drowns_no_error, SMALL_PAGES),
		RIG_CASE(faults_have_the_same_limit, IN_ALL_MODES),
		RIG_CASE(failures_of_the_kernel_have_it_too, IN_ALL_MODES),
		RIG_CASE(refusals_of_listeners_have_it_too, IN_ALL_MODES),
		RIG_CASE(refusals_of_shared_memory_have_it_too, IN_ALL_MODES),
		RIG_CASE(exits_inside_of_callbacks_have_it_too, IN_ALL_MODES),
	};

	return rig_run("hostile exits", cases, sizeof(cases) / sizeof(cases[0]));
}
