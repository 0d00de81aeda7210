// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of the shadow of private and shared pages: against a plain array, for its cost, for what
 * readers may see while writers are at work, and for its failures.
 *
 * GMEM_TEST_SEED repeats a run of the random ones.
 */
#include "state.h"

#include <errno.h>
#include <gmem/base.h>
#include <gmem/kernel.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Needs what stands above. */
#include <cmocka.h>

#define BOTH (GMEM_SHARED | GMEM_PRIVATE)
#define IN_FLIGHT(n) ((uint64_t)(n) << STATE_OWN_BITS)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define TIB_PAGES (UINT64_C(1) << 28)

static const unsigned int page_shifts[] = { 12, 14, 16 };

/* A door to the host that counts, and fails what it is told to. */
struct door {
	struct gmem_kernel kernel;
	uint64_t calls;
	uint64_t mapped;
	uint64_t unmapped;
	uint64_t small_pages; /* bytes with advice against huge pages */
	int mmap_error;
	int madvise_error;
};

static int64_t result_of(int64_t result)
{
	return result < 0 ? -errno : result;
}

static int64_t door_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct door *door = opaque;
	void *address = (void *)(uintptr_t)arg[0];
	int64_t result;

	door->calls++;
	switch (nr) {
	case GMEM_SYS_MMAP:
		if (door->mmap_error)
			return -door->mmap_error;
		result = result_of((int64_t)(intptr_t)mmap(
			address, arg[1], (int)arg[2], (int)arg[3], (int)arg[4], (off_t)arg[5]));
		if (result >= 0)
			door->mapped += arg[1];
		return result;
	case GMEM_SYS_MUNMAP:
		door->unmapped += arg[1];
		return result_of(munmap(address, arg[1]));
	case GMEM_SYS_MADVISE:
		if (door->madvise_error)
			return -door->madvise_error;
		if (arg[2] == MADV_NOHUGEPAGE)
			door->small_pages += arg[1];
		return result_of(madvise(address, arg[1], (int)arg[2]));
	default:
		return -ENOSYS;
	}
}

static void door_open(struct door *door)
{
	*door = (struct door){ .kernel = { .call = door_call } };
	door->kernel.opaque = door;
}

static void door_assert_balanced(const struct door *door)
{
	assert_true(door->mapped > 0);
	assert_int_equal(door->mapped, door->unmapped);
}

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	return (random_next(seed) >> 11) % limit;
}

static uint64_t random_seed(const char *what)
{
	const char *given = getenv("GMEM_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0)
		     : (uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec;
	if (!seed)
		seed = 1;
	print_message("# %s: GMEM_TEST_SEED=0x%llx\n", what, (unsigned long long)seed);
	return seed;
}

/* The model: one byte per page, 1 is private. */
struct model {
	unsigned char *private;
	uint64_t pages;
	uint64_t gib;
};

static void model_set(struct model *model, uint64_t first, uint64_t count, bool private)
{
	memset(model->private + first, private, count);
}

static uint64_t model_run(const struct model *model, uint64_t first, uint64_t limit)
{
	const unsigned char *start = model->private + first;
	const unsigned char *end = memchr(start, *start ? 0 : 1, limit);

	return end ? (uint64_t)(end - start) : limit;
}

static uint32_t model_query(const struct model *model, uint64_t first, uint64_t count)
{
	if (!count)
		return 0;
	if (model_run(model, first, count) < count)
		return BOTH;
	return model->private[first] ? GMEM_PRIVATE : GMEM_SHARED;
}

/* Walks all of it by runs, so that every page is compared. */
static void assert_same(const struct state *state, const struct model *model)
{
	uint64_t page = 0, count = 0;

	while (page < model->pages) {
		uint64_t wanted = model_run(model, page, model->pages - page);
		bool private = !model->private[page];

		assert_int_equal(gmem_state_run(state, page, model->pages - page, &private),
				 wanted);
		assert_int_equal(private, model->private[page]);
		assert_int_equal(gmem_state_query(state, page, wanted),
				 private ? GMEM_PRIVATE : GMEM_SHARED);
		if (private)
			count += wanted;
		page += wanted;
	}
	assert_int_equal(gmem_state_count_private(state), count);
}

static void assert_same_at(const struct state *state, const struct model *model, uint64_t first,
			   uint64_t count)
{
	bool private = false;

	assert_int_equal(gmem_state_query(state, first, count), model_query(model, first, count));
	if (first >= model->pages)
		return;
	assert_int_equal(gmem_state_is_private(state, first), model->private[first]);
	if (!count)
		return;
	assert_int_equal(gmem_state_run(state, first, count, &private),
			 model_run(model, first, count));
	assert_int_equal(private, model->private[first]);
}

/* A page: often just at, before or after an edge of a GiB or of 64 pages. */
static uint64_t random_page(uint64_t *seed, const struct model *model)
{
	static const uint64_t edges[] = { 1, 64, 512 };
	uint64_t which = random_below(seed, ARRAY_SIZE(edges) + 1);
	uint64_t edge = which ? edges[which - 1] : model->gib;
	uint64_t page = random_below(seed, model->pages + 1) / edge * edge;
	uint64_t nudge = random_below(seed, 4);

	if (nudge == 0 && page > 0)
		page--;
	if (nudge == 1)
		page++;
	return page < model->pages ? page : model->pages;
}

static void random_range(uint64_t *seed, const struct model *model, uint64_t *first,
			 uint64_t *count)
{
	uint64_t a = random_page(seed, model);
	uint64_t b = random_page(seed, model);

	*first = a < b ? a : b;
	*count = a < b ? b - a : a - b;
	if (*count && random_below(seed, 2))
		*count = 1 + random_below(seed, *count < 130 ? *count : 130);
}

static void run_against_model(uint64_t *seed, uint64_t pages, unsigned int page_shift,
			      unsigned int steps)
{
	struct model model = { .pages = pages, .gib = UINT64_C(1) << (30 - page_shift) };
	bool all_private = random_below(seed, 2);
	struct state state;
	struct door door;

	model.private = malloc(pages);
	assert_non_null(model.private);
	model_set(&model, 0, pages, all_private);
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, pages, page_shift, all_private), 0);
	assert_same(&state, &model);

	for (unsigned int step = 0; step < steps; step++) {
		bool private = random_below(seed, 2);
		uint64_t first, count;

		random_range(seed, &model, &first, &count);
		gmem_state_set(&state, first, count, private);
		model_set(&model, first, count, private);
		assert_same_at(&state, &model, first, count);
		assert_same_at(&state, &model, 0, pages);
		random_range(seed, &model, &first, &count);
		assert_same_at(&state, &model, first, count);
		if (step % 16 == 0)
			assert_same(&state, &model);
		if (step % 128 == 127) {
			gmem_state_reset(&state, &door.kernel, private);
			model_set(&model, 0, pages, private);
		}
	}
	assert_same(&state, &model);

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
	free(model.private);
}

static void test_model(void **unused)
{
	uint64_t seed = random_seed("model");

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(page_shifts); i++) {
		uint64_t gib = UINT64_C(1) << (30 - page_shifts[i]);
		const uint64_t sizes[] = {
			1,       2,   63,      64,      65,           1000,
			gib - 1, gib, gib + 1, gib * 2, gib * 3 + 77, gib * 4 + 64,
		};

		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++)
			run_against_model(&seed, sizes[j], page_shifts[i], 300);
		run_against_model(&seed, 1 + random_below(&seed, gib * 3), page_shifts[i], 300);
	}
}

/* Every pair of edges within three GiBs, from each of the uniform states and back. */
static void test_edges(void **unused)
{
	const uint64_t gib = UINT64_C(1) << 14;
	const uint64_t pages = gib * 2 + 100;
	const uint64_t edges[] = {
		0,           1,       63,          64,        65,       127,
		gib - 64,    gib - 1, gib,         gib + 1,   gib + 63, gib + 64,
		2 * gib - 1, 2 * gib, 2 * gib + 1, pages - 1, pages,
	};
	struct model model = { .pages = pages, .gib = gib };
	struct state state;
	struct door door;

	(void)unused;
	model.private = malloc(pages);
	assert_non_null(model.private);
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, pages, 16, false), 0);

	for (size_t i = 0; i < ARRAY_SIZE(edges) * ARRAY_SIZE(edges) * 2; i++) {
		uint64_t first = edges[i / 2 % ARRAY_SIZE(edges)];
		uint64_t last = edges[i / 2 / ARRAY_SIZE(edges)];
		bool private = i % 2;

		if (first > last)
			continue;
		gmem_state_set(&state, 0, pages, !private);
		model_set(&model, 0, pages, !private);
		gmem_state_set(&state, first, last - first, private);
		model_set(&model, first, last - first, private);
		assert_same(&state, &model);
		assert_same_at(&state, &model, first, last - first);
		assert_same_at(&state, &model, first, pages - first);
		assert_same_at(&state, &model, 0, last);
		gmem_state_set(&state, first, last - first, !private);
		assert_int_equal(gmem_state_query(&state, 0, pages),
				 private ? GMEM_SHARED : GMEM_PRIVATE);
		assert_int_equal(gmem_state_count_private(&state), private ? 0 : pages);
	}

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
	free(model.private);
}

/* A GiB that has become uniform page by page is as cheap as one that was set at once. */
static void test_collapse(void **unused)
{
	const uint64_t gib = UINT64_C(1) << 14;
	struct state state;
	struct door door;
	uint64_t shared, private;

	(void)unused;
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, gib, 16, false), 0);
	shared = atomic_load(&state.words[0]);
	assert_int_equal(shared & 3, 0);

	for (uint64_t i = 0; i < gib; i++) {
		/* An order that leaves gaps until the end. */
		gmem_state_set(&state, i * 5 % gib, 1, true);
		assert_int_equal(gmem_state_count_private(&state), i + 1);
		assert_int_equal(atomic_load(&state.words[0]) & 3, i + 1 < gib ? 2 : 1);
	}
	private = atomic_load(&state.words[0]);
	assert_int_equal(private >> 8, gib);

	for (uint64_t i = 0; i < gib; i++) {
		assert_int_equal(gmem_state_query(&state, 0, gib), i ? BOTH : GMEM_PRIVATE);
		gmem_state_set(&state, i * 3 % gib, 1, false);
		assert_int_equal(gmem_state_count_private(&state), gib - i - 1);
	}
	assert_int_equal(atomic_load(&state.words[0]), shared);

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/* The upper half of a word belongs to others. */
static void test_in_flight_kept(void **unused)
{
	const uint64_t gib = UINT64_C(1) << 14;
	struct state state;
	struct door door;

	(void)unused;
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, gib, 16, false), 0);
	atomic_fetch_add(&state.words[0], IN_FLIGHT(0x89abcdef));

	gmem_state_set(&state, 100, 1, true);
	assert_int_equal(atomic_load(&state.words[0]) >> STATE_OWN_BITS, 0x89abcdef);
	assert_int_equal(gmem_state_count_private(&state), 1);
	assert_int_equal(gmem_state_query(&state, 100, 1), GMEM_PRIVATE);
	gmem_state_set(&state, 0, gib, true);
	assert_int_equal(atomic_load(&state.words[0]) >> STATE_OWN_BITS, 0x89abcdef);
	assert_int_equal(gmem_state_count_private(&state), gib);
	gmem_state_set(&state, 0, gib / 2, false);
	gmem_state_set(&state, gib / 2, gib / 2, false);
	assert_int_equal(atomic_load(&state.words[0]) >> STATE_OWN_BITS, 0x89abcdef);
	assert_int_equal(gmem_state_count_private(&state), 0);
	assert_int_equal(gmem_state_query(&state, 0, gib), GMEM_SHARED);
	gmem_state_reset(&state, &door.kernel, true);
	assert_int_equal(atomic_load(&state.words[0]) >> STATE_OWN_BITS, 0x89abcdef);

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/*
 * All memory comes through the door (the module calls no allocator: it has no undefined symbol
 * but the door's), so no call means no allocation.
 */
static void test_no_call_after_init(void **unused)
{
	uint64_t seed = random_seed("no call after init");
	const uint64_t pages = UINT64_C(5) << 18;
	struct state state;
	struct door door;
	uint64_t calls;
	bool private;

	(void)unused;
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, pages, 12, false), 0);
	calls = door.calls;
	for (unsigned int i = 0; i < 1000; i++) {
		uint64_t first = random_below(&seed, pages);
		uint64_t count = 1 + random_below(&seed, pages - first);

		gmem_state_set(&state, first, count, i % 2);
		gmem_state_is_private(&state, first);
		gmem_state_query(&state, first, count);
		gmem_state_run(&state, first, count, &private);
		gmem_state_count_private(&state);
	}
	assert_int_equal(door.calls, calls);

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/* Bytes of [from, from + length) that are in memory. */
static uint64_t resident(const void *from, uint64_t length)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t pages = (length + page - 1) / page;
	unsigned char *in_memory = malloc(pages);
	uint64_t sum = 0;

	assert_non_null(in_memory);
	assert_int_equal(mincore((void *)(uintptr_t)from, length, in_memory), 0);
	for (uint64_t i = 0; i < pages; i++)
		sum += (in_memory[i] & 1) * page;
	free(in_memory);
	return sum;
}

static uint64_t rounded_to_pages(uint64_t length)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (length + page - 1) / page * page;
}

static void test_memory_cost(void **unused)
{
	const uint64_t leaf = 32 << 10;
	const uint64_t uniform = rounded_to_pages(8 << 10);
	struct state state;
	struct door door;

	(void)unused;
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, TIB_PAGES, 12, true), 0);
	/* All of the address space, of which only what is touched counts. */
	assert_true(state.length <= (UINT64_C(33) << 20));
	assert_int_equal(resident(state.words, state.length), uniform);
	/* Where the host uses huge pages unasked, a leaf would take one. */
	assert_int_equal(door.small_pages, state.length);

	gmem_state_set(&state, 0, TIB_PAGES, false);
	assert_int_equal(gmem_state_query(&state, 0, TIB_PAGES), GMEM_SHARED);
	assert_int_equal(resident(state.words, state.length), uniform);

	gmem_state_set(&state, UINT64_C(700) << 18, 1, true);
	assert_true(resident(state.words, state.length) > uniform);
	assert_true(resident(state.words, state.length) <= uniform + rounded_to_pages(leaf));
	for (uint64_t i = 0; i < UINT64_C(1) << 18; i += 2)
		gmem_state_set(&state, (UINT64_C(700) << 18) + i, 1, true);
	assert_int_equal(resident(state.words, state.length), uniform + rounded_to_pages(leaf));

	gmem_state_reset(&state, &door.kernel, false);
	assert_int_equal(resident(state.words, state.length), uniform);

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/* More than one GiB's worth of words: 16 TiB and a bit, at the far end of it. */
static void test_very_large(void **unused)
{
	const uint64_t pages = 16 * TIB_PAGES + 5;
	struct state state;
	struct door door;
	bool private = false;

	(void)unused;
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, pages, 12, false), 0);
	gmem_state_set(&state, 0, pages, true);
	assert_int_equal(gmem_state_count_private(&state), pages);
	assert_int_equal(gmem_state_query(&state, 0, pages), GMEM_PRIVATE);
	gmem_state_set(&state, pages - 2, 1, false);
	assert_int_equal(gmem_state_query(&state, 0, pages), BOTH);
	assert_int_equal(gmem_state_query(&state, 0, pages - 2), GMEM_PRIVATE);
	assert_int_equal(gmem_state_run(&state, 0, pages, &private), pages - 2);
	assert_true(private);
	assert_int_equal(gmem_state_run(&state, pages - 2, 2, &private), 1);
	assert_false(private);
	assert_true(gmem_state_is_private(&state, pages - 1));
	assert_int_equal(gmem_state_count_private(&state), pages - 1);

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

static void test_arguments(void **unused)
{
	static const struct {
		uint64_t pages;
		unsigned int page_shift;
	} wrong[] = {
		{ 0, 12 },
		{ 1, 0 },
		{ 1, 11 },
		{ 1, 13 },
		{ 1, 15 },
		{ 1, 21 },
		{ 1, 64 },
		{ UINT64_MAX, 12 },
		{ UINT64_C(1) << 52, 12 },
		{ UINT64_C(1) << 50, 14 },
		{ UINT64_C(1) << 48, 16 },
	};
	struct state state;
	struct door door;

	(void)unused;
	door_open(&door);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		memset(&state, 0x5a, sizeof(state));
		assert_int_equal(gmem_state_init(&state, &door.kernel, wrong[i].pages,
						 wrong[i].page_shift, false),
				 -EINVAL);
		gmem_state_release(&state, &door.kernel);
	}
	assert_int_equal(door.calls, 0);
}

static void test_no_memory(void **unused)
{
	static const int errors[] = { ENOMEM, EAGAIN, EINVAL, EPERM };
	struct state state;
	struct door door;

	(void)unused;
	door_open(&door);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		door.mmap_error = errors[i];
		memset(&state, 0x5a, sizeof(state));
		assert_int_equal(gmem_state_init(&state, &door.kernel, 1000, 12, true), -ENOMEM);
		gmem_state_release(&state, &door.kernel);
	}
	assert_int_equal(door.calls, ARRAY_SIZE(errors));

	/* The largest size there is: not wrong, only larger than any address space. */
	door.mmap_error = 0;
	assert_int_equal(gmem_state_init(&state, &door.kernel, (UINT64_C(1) << 52) - 1, 12, false),
			 -ENOMEM);
	gmem_state_release(&state, &door.kernel);
	assert_int_equal(door.mapped, 0);
	assert_int_equal(door.unmapped, 0);

	/* The same once more without the failure. */
	assert_int_equal(gmem_state_init(&state, &door.kernel, 1000, 12, true), 0);
	assert_int_equal(gmem_state_count_private(&state), 1000);
	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
	/* A second time does nothing. */
	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/* Advice may be refused (no huge pages, locked memory): that costs memory and changes no answer. */
static void test_advice_refused(void **unused)
{
	const uint64_t gib = UINT64_C(1) << 18;
	const uint64_t pages = gib * 2 + 100;
	struct state state;
	struct door door;

	(void)unused;
	door_open(&door);
	door.madvise_error = EINVAL;
	assert_int_equal(gmem_state_init(&state, &door.kernel, pages, 12, false), 0);
	for (unsigned int i = 0; i < 4; i++) {
		bool private = i / 2;

		gmem_state_set(&state, 10, pages - 20, i % 2);
		gmem_state_set(&state, gib + 700, 1, !(i % 2));
		gmem_state_reset(&state, &door.kernel, private);
		assert_int_equal(gmem_state_query(&state, 0, pages),
				 private ? GMEM_PRIVATE : GMEM_SHARED);
		assert_int_equal(gmem_state_count_private(&state), private ? pages : 0);
		gmem_state_set(&state, gib + 5, 1, !private);
		assert_int_equal(gmem_state_query(&state, 0, gib + 5),
				 private ? GMEM_PRIVATE : GMEM_SHARED);
		assert_int_equal(gmem_state_query(&state, gib + 6, pages - gib - 6),
				 private ? GMEM_PRIVATE : GMEM_SHARED);
		assert_int_equal(gmem_state_count_private(&state), private ? pages - 1 : 1);
	}

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/* The leaf is what the kernel gave back, not what it held: whatever it was known to hold. */
static void test_reset(void **unused)
{
	const uint64_t gib = UINT64_C(1) << 14;
	const uint64_t pages = gib * 2 + 100;
	struct state state;
	struct door door;

	(void)unused;
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, pages, 16, false), 0);
	for (unsigned int i = 0; i < 16; i++) {
		bool before = i & 1, whole = i & 2, first = i & 4, after = i & 8;
		uint64_t calls;

		gmem_state_set(&state, 0, pages, first);
		/* Uniform through its bits or without them, or not uniform. */
		gmem_state_set(&state, 5, gib - 5, before);
		if (whole)
			gmem_state_set(&state, 0, 5, before);
		gmem_state_set(&state, gib, 1, before);
		calls = door.calls;
		gmem_state_reset(&state, &door.kernel, after);
		assert_int_equal(door.calls, calls + 1);
		assert_int_equal(gmem_state_query(&state, 0, pages),
				 after ? GMEM_PRIVATE : GMEM_SHARED);
		assert_int_equal(gmem_state_count_private(&state), after ? pages : 0);
		for (uint64_t page = 70; page < pages; page += gib) {
			gmem_state_set(&state, page, 1, !after);
			assert_int_equal(gmem_state_query(&state, page / gib * gib, 70),
					 after ? GMEM_PRIVATE : GMEM_SHARED);
			assert_int_equal(gmem_state_is_private(&state, page), !after);
		}
		assert_int_equal(gmem_state_count_private(&state), after ? pages - 3 : 3);
	}

	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/*
 * From here on: readers and writers at once. cmocka's assertions are for its own thread, so the
 * others count what is wrong. Writers do a fixed number of rounds, readers go on until the last
 * writer is done, and at least once.
 */
struct race {
	struct state state;
	uint64_t gib;
	uint64_t seed;
	unsigned int rounds;
	bool kept;
	bool whole;
	_Atomic unsigned int next_writer;
	_Atomic unsigned int writers_left;
	_Atomic uint64_t failures;
	/* How often the watched page was, or is being, made private and shared again. */
	_Atomic uint64_t private_begun, private_done;
	_Atomic uint64_t shared_begun, shared_done;
};

static void race_expect(struct race *race, bool truth)
{
	if (!truth)
		atomic_fetch_add(&race->failures, 1);
}

static uint64_t race_writer_seed(struct race *race, unsigned int *number)
{
	*number = atomic_fetch_add(&race->next_writer, 1);
	return race->seed + *number + 1;
}

static void *race_writer_done(struct race *race)
{
	atomic_fetch_sub(&race->writers_left, 1);
	return NULL;
}

static bool race_goes_on(struct race *race)
{
	return atomic_load(&race->writers_left) > 0;
}

static void race_open(struct race *race, struct door *door, uint64_t gibs, const char *what)
{
	const unsigned int page_shift = 16;

	*race = (struct race){ .gib = UINT64_C(1) << (30 - page_shift), .seed = random_seed(what) };
	door_open(door);
	assert_int_equal(gmem_state_init(&race->state, &door->kernel, gibs * race->gib, page_shift,
					 false),
			 0);
}

static void race_run(struct race *race, void *(*writer)(void *), unsigned int writers,
		     void *(*reader)(void *), unsigned int readers)
{
	pthread_t threads[8];
	unsigned int count = writers + readers;

	assert_true(count <= ARRAY_SIZE(threads));
	atomic_store(&race->writers_left, writers);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, i < readers ? reader : writer, race), 0);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&race->failures), 0);
}

static void race_close(struct race *race, struct door *door)
{
	gmem_state_release(&race->state, &door->kernel);
	door_assert_balanced(door);
}

/*
 * While one writer has a GiB locked, others do not touch it, and readers neither wait nor mind.
 * The test is the first writer: with the lock held, the others' thread is given many chances to
 * go wrong.
 */
#define LOCK_BIT UINT64_C(4)

struct waiting_writer {
	struct state *state;
	uint64_t first, count;
	_Atomic bool begun, done;
};

static void *waiting_writer(void *opaque)
{
	struct waiting_writer *writer = opaque;

	atomic_store(&writer->begun, true);
	gmem_state_set(writer->state, writer->first, writer->count, true);
	atomic_store(&writer->done, true);
	return NULL;
}

static void assert_waits(struct state *state, uint64_t first, uint64_t count)
{
	struct waiting_writer writer = { .state = state, .first = first, .count = count };
	uint64_t locked = atomic_fetch_or(&state->words[0], LOCK_BIT) | LOCK_BIT;
	bool held = true, private = true;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, waiting_writer, &writer), 0);
	while (!atomic_load(&writer.begun))
		sched_yield();
	for (unsigned int i = 0; i < 1000; i++) {
		sched_yield();
		held = held && atomic_load(&state->words[0]) == locked;
		held = held && !atomic_load(&writer.done);
		held = held && !gmem_state_is_private(state, first) &&
		       gmem_state_is_private(state, 5);
		held = held && gmem_state_query(state, 0, state->pages) == BOTH;
		held = held && gmem_state_run(state, 0, state->pages, &private) == 5 && !private;
		held = held && gmem_state_count_private(state) == 1;
	}
	atomic_fetch_and(&state->words[0], ~LOCK_BIT);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(held);
	assert_int_equal(gmem_state_query(state, first, count), GMEM_PRIVATE);
}

static void test_locked(void **unused)
{
	const uint64_t gib = UINT64_C(1) << 14;
	struct state state;
	struct door door;

	(void)unused;
	door_open(&door);
	assert_int_equal(gmem_state_init(&state, &door.kernel, gib, 16, false), 0);
	gmem_state_set(&state, 5, 1, true);
	assert_waits(&state, 100, 1);
	assert_int_equal(gmem_state_count_private(&state), 2);
	gmem_state_set(&state, 100, 1, false);
	assert_waits(&state, 0, gib);
	assert_int_equal(gmem_state_count_private(&state), gib);
	gmem_state_release(&state, &door.kernel);
	door_assert_balanced(&door);
}

/*
 * Every eighth page keeps its state (shared in GiB 0, private in GiB 1) while four writers, each
 * with the other seven of some groups of eight, drive both GiBs from uniform to leaf and back.
 */
#define KEPT_STEP UINT64_C(8)
#define KEPT_WRITERS 4
#define KEPT_GROUPS UINT64_C(4)

static void *kept_writer(void *opaque)
{
	struct race *race = opaque;
	unsigned int number;
	uint64_t seed = race_writer_seed(race, &number);
	uint64_t quarter = race->gib / KEPT_WRITERS;

	for (unsigned int round = 0; round < race->rounds; round++) {
		uint64_t gib = random_below(&seed, 2);
		uint64_t start = gib * race->gib + number * quarter +
				 random_below(&seed, KEPT_GROUPS) * KEPT_STEP;

		gmem_state_set(&race->state, start + 1, KEPT_STEP - 1, !gib);
		race_expect(race, gmem_state_is_private(&race->state, start + 1) == !gib);
		race_expect(race, gmem_state_query(&race->state, start, KEPT_STEP) == BOTH);
		gmem_state_set(&race->state, start + 1, KEPT_STEP - 1, gib);
		race_expect(race, gmem_state_is_private(&race->state, start + 1) == (bool)gib);
	}
	return race_writer_done(race);
}

static void kept_check_page(struct race *race, uint64_t page, bool kept)
{
	uint32_t wanted = kept ? GMEM_PRIVATE : GMEM_SHARED;
	bool private = !kept;

	race_expect(race, gmem_state_is_private(&race->state, page) == kept);
	race_expect(race, gmem_state_query(&race->state, page, 1) == wanted);
	race_expect(race, gmem_state_query(&race->state, page, KEPT_STEP) & wanted);
	race_expect(race, gmem_state_run(&race->state, page, KEPT_STEP, &private) >= 1);
	race_expect(race, private == kept);
}

static void *kept_reader(void *opaque)
{
	const uint64_t used = KEPT_GROUPS * KEPT_STEP;
	struct race *race = opaque;
	uint64_t quarter = race->gib / KEPT_WRITERS;

	do {
		for (unsigned int i = 0; i < 2 * KEPT_WRITERS; i++) {
			bool kept = i >= KEPT_WRITERS;

			for (unsigned int group = 0; group < KEPT_GROUPS; group++)
				kept_check_page(race, i * quarter + group * KEPT_STEP, kept);
			race_expect(race, gmem_state_query(&race->state, i * quarter + used,
							   quarter - used) ==
						  (kept ? GMEM_PRIVATE : GMEM_SHARED));
		}
	} while (race_goes_on(race));
	return NULL;
}

static void test_race_kept_pages(void **unused)
{
	struct race race;
	struct door door;

	(void)unused;
	race_open(&race, &door, 2, "kept pages");
	race.rounds = 4000;
	gmem_state_set(&race.state, race.gib, race.gib, true);
	race_run(&race, kept_writer, KEPT_WRITERS, kept_reader, 2);
	assert_int_equal(gmem_state_query(&race.state, 0, race.gib), GMEM_SHARED);
	assert_int_equal(gmem_state_query(&race.state, race.gib, race.gib), GMEM_PRIVATE);
	assert_int_equal(gmem_state_count_private(&race.state), race.gib);
	race_close(&race, &door);
}

/*
 * A reader may have loaded "leaf" long ago and look at the bits only now, whatever the word says
 * meanwhile. Here such readers look at nothing but the bits: those of pages that keep their
 * state must not even flicker while the leaf is left with the bits as they were, filled anew
 * and published again.
 */
static void *stale_writer(void *opaque)
{
	struct race *race = opaque;
	unsigned int number;
	uint64_t seed = race_writer_seed(race, &number);
	uint64_t groups = race->gib / KEPT_STEP;

	for (unsigned int round = 0; round < race->rounds; round++) {
		for (unsigned int i = 0; i < 4; i++) {
			uint64_t group = random_below(&seed, groups) * KEPT_STEP;

			gmem_state_set(&race->state, group + 1, KEPT_STEP - 1, !race->kept);
		}
		gmem_state_set(&race->state, 0, race->gib, race->kept);
	}
	return race_writer_done(race);
}

static void *stale_reader(void *opaque)
{
	const uint64_t every_eighth = UINT64_C(0x0101010101010101);
	struct race *race = opaque;
	uint64_t wanted = race->kept ? every_eighth : 0;

	do {
		for (uint64_t i = 0; i < race->gib / 64; i++)
			race_expect(race,
				    (atomic_load(&race->state.bits[i]) & every_eighth) == wanted);
		for (uint64_t page = 0; page < race->gib; page += 32 * KEPT_STEP)
			kept_check_page(race, page, race->kept);
	} while (race_goes_on(race));
	return NULL;
}

static void test_race_stale_leaf(void **unused)
{
	struct race race;
	struct door door;

	(void)unused;
	for (unsigned int kept = 0; kept < 2; kept++) {
		race_open(&race, &door, 1, "stale leaf");
		race.rounds = 3000;
		race.kept = kept;
		/* All in the kept state, by their bits. */
		gmem_state_set(&race.state, 0, race.gib / 2, true);
		gmem_state_set(&race.state, race.gib / 2, race.gib / 2, true);
		gmem_state_set(&race.state, 0, race.gib / 2, kept);
		gmem_state_set(&race.state, race.gib / 2, race.gib / 2, kept);
		race_run(&race, stale_writer, 1, stale_reader, 2);
		race_close(&race, &door);
	}
}

/*
 * One page goes back and forth. Between the end of a change and the beginning of the next its
 * state is known, so whoever reads it then must find that. The page shares its changes with more
 * or fewer neighbours, with race->whole also with all of its GiB; then a page at the other end of
 * the GiB changes alone in between, so that leaves full of old bits are taken into use. The
 * watched page is the one whose bit is brought up to date last.
 */
#define WATCHED_PAGE ((UINT64_C(1) << 14) - 100)

static void watched_set(struct race *race, uint64_t *seed, bool private)
{
	switch (race->whole ? random_below(seed, 3) : 1) {
	case 0:
		gmem_state_set(&race->state, WATCHED_PAGE, 1, private);
		break;
	case 1:
		gmem_state_set(&race->state, 64, race->gib - 128, private);
		break;
	default:
		gmem_state_set(&race->state, 0, race->gib, private);
		break;
	}
}

static void neighbour_set(struct race *race, bool private)
{
	if (race->whole)
		gmem_state_set(&race->state, 0, 1, private);
}

static void *watched_writer(void *opaque)
{
	struct race *race = opaque;
	unsigned int number;
	uint64_t seed = race_writer_seed(race, &number);

	for (unsigned int round = 0; round < race->rounds; round++) {
		atomic_fetch_add(&race->private_begun, 1);
		watched_set(race, &seed, true);
		atomic_fetch_add(&race->private_done, 1);
		neighbour_set(race, false);
		atomic_fetch_add(&race->shared_begun, 1);
		watched_set(race, &seed, false);
		atomic_fetch_add(&race->shared_done, 1);
		neighbour_set(race, true);
	}
	return race_writer_done(race);
}

static bool watched_read(struct race *race, unsigned int how)
{
	bool private = false;

	switch (how % 3) {
	case 0:
		return gmem_state_is_private(&race->state, WATCHED_PAGE);
	case 1:
		return gmem_state_query(&race->state, WATCHED_PAGE, 1) == GMEM_PRIVATE;
	default:
		gmem_state_run(&race->state, WATCHED_PAGE, 2, &private);
		return private;
	}
}

static void *watched_reader(void *opaque)
{
	struct race *race = opaque;
	unsigned int how = 0;

	do {
		uint64_t private_done = atomic_load(&race->private_done);
		uint64_t shared_done = atomic_load(&race->shared_done);
		uint64_t chunk = atomic_load(&race->state.bits[WATCHED_PAGE / 64]);
		bool private = watched_read(race, how++);
		uint64_t private_begun = atomic_load(&race->private_begun);
		uint64_t shared_begun = atomic_load(&race->shared_begun);

		if (private_done > shared_begun)
			race_expect(race, private);
		if (shared_done == private_begun)
			race_expect(race, !private);
		/*
		 * Where the GiB always becomes uniform by its bits, no bit is set before its page is
		 * private, for those who read bits only, and then nobody may see it shared any more.
		 */
		if (!race->whole && shared_done == shared_begun && (chunk >> WATCHED_PAGE % 64 & 1))
			race_expect(race, private);
	} while (race_goes_on(race));
	return NULL;
}

static void test_race_moment_of_change(void **unused)
{
	struct race race;
	struct door door;

	(void)unused;
	for (unsigned int whole = 0; whole < 2; whole++) {
		race_open(&race, &door, 1, "moment of change");
		race.rounds = 10000;
		race.whole = whole;
		race_run(&race, watched_writer, 1, watched_reader, 2);
		assert_false(gmem_state_is_private(&race.state, WATCHED_PAGE));
		race_close(&race, &door);
	}
}

/*
 * Writers that share 64 pages lose nothing of each other's, nor of what others add to the upper
 * half of the word meanwhile; and the last four pages, which nobody changes, stay as they are.
 */
#define CHUNK_WRITERS 4
#define CHUNK_CHANGING 60

static void *chunk_writer(void *opaque)
{
	struct race *race = opaque;
	unsigned int number;
	uint64_t seed = race_writer_seed(race, &number);
	bool mine[CHUNK_CHANGING] = { false };

	for (unsigned int round = 0; round < race->rounds; round++) {
		uint64_t page =
			random_below(&seed, CHUNK_CHANGING / CHUNK_WRITERS) * CHUNK_WRITERS +
			number;
		uint64_t other =
			random_below(&seed, CHUNK_CHANGING / CHUNK_WRITERS) * CHUNK_WRITERS +
			number;

		atomic_fetch_add(&race->state.words[0], IN_FLIGHT(1));
		mine[page] = random_below(&seed, 2);
		gmem_state_set(&race->state, page, 1, mine[page]);
		race_expect(race, gmem_state_is_private(&race->state, page) == mine[page]);
		race_expect(race, gmem_state_is_private(&race->state, other) == mine[other]);
		if (round % 2)
			atomic_fetch_sub(&race->state.words[0], IN_FLIGHT(1));
	}
	/* Odd ones stay private. */
	for (uint64_t page = number; page < CHUNK_CHANGING; page += CHUNK_WRITERS)
		gmem_state_set(&race->state, page, 1, page % 2);
	return race_writer_done(race);
}

static void *chunk_reader(void *opaque)
{
	struct race *race = opaque;

	do {
		for (unsigned int i = 0; i < 100; i++)
			for (uint64_t page = CHUNK_CHANGING; page < 64; page++)
				race_expect(race, gmem_state_is_private(&race->state, page) ==
							  (page % 2 == 1));
		race_expect(race, gmem_state_count_private(&race->state) <= CHUNK_CHANGING);
		race_expect(race,
			    gmem_state_query(&race->state, 64, race->gib - 64) == GMEM_SHARED);
	} while (race_goes_on(race));
	return NULL;
}

static void test_race_same_chunk(void **unused)
{
	struct race race;
	struct door door;

	(void)unused;
	race_open(&race, &door, 1, "same chunk");
	race.rounds = 20000;
	gmem_state_set(&race.state, 61, 1, true);
	gmem_state_set(&race.state, 63, 1, true);
	race_run(&race, chunk_writer, CHUNK_WRITERS, chunk_reader, 1);
	for (uint64_t page = 0; page < 64; page++)
		assert_int_equal(gmem_state_is_private(&race.state, page), page % 2);
	assert_int_equal(gmem_state_count_private(&race.state), 32);
	assert_int_equal(atomic_load(&race.state.words[0]) >> STATE_OWN_BITS,
			 (uint64_t)race.rounds * CHUNK_WRITERS / 2);
	race_close(&race, &door);
}

/* Anything over anything: afterwards counts and bits must agree, and nobody has crashed. */
static void *wild_writer(void *opaque)
{
	struct race *race = opaque;
	unsigned int number;
	uint64_t seed = race_writer_seed(race, &number);

	for (unsigned int round = 0; round < race->rounds; round++) {
		struct model model = { .pages = race->state.pages, .gib = race->gib };
		uint64_t first, count;

		random_range(&seed, &model, &first, &count);
		gmem_state_set(&race->state, first, count, random_below(&seed, 2));
		if (round % 2)
			gmem_state_set(&race->state, race->gib * random_below(&seed, 2), race->gib,
				       random_below(&seed, 2));
	}
	return race_writer_done(race);
}

static void *wild_reader(void *opaque)
{
	struct race *race = opaque;
	uint64_t seed = race->seed;

	do {
		struct model model = { .pages = race->state.pages, .gib = race->gib };
		uint64_t first, count, run;
		uint32_t seen;
		bool private;

		random_range(&seed, &model, &first, &count);
		if (!count)
			continue;
		seen = gmem_state_query(&race->state, first, count);
		race_expect(race, seen && !(seen & ~BOTH));
		run = gmem_state_run(&race->state, first, count, &private);
		race_expect(race, run >= 1 && run <= count);
		gmem_state_is_private(&race->state, first);
		race_expect(race, gmem_state_count_private(&race->state) <= race->state.pages);
	} while (race_goes_on(race));
	return NULL;
}

static void test_race_overlapping(void **unused)
{
	struct race race;
	struct door door;
	uint64_t count = 0;

	(void)unused;
	race_open(&race, &door, 2, "overlapping");
	race.rounds = 4000;
	race_run(&race, wild_writer, 4, wild_reader, 2);
	for (uint64_t page = 0; page < race.state.pages; page++)
		count += gmem_state_is_private(&race.state, page);
	assert_int_equal(gmem_state_count_private(&race.state), count);
	/* The counts are right in the way that matters: a GiB still becomes uniform by them. */
	for (uint64_t page = 0; page < race.state.pages; page++)
		gmem_state_set(&race.state, page, 1, true);
	assert_int_equal(atomic_load(&race.state.words[0]) & 7, 1);
	assert_int_equal(atomic_load(&race.state.words[1]) & 7, 1);
	race_close(&race, &door);
}

/* A region goes back to its pool and into use again under readers that have not noticed. */
static void *pool_writer(void *opaque)
{
	struct race *race = opaque;
	unsigned int number;
	uint64_t seed = race_writer_seed(race, &number);
	struct door door;

	door_open(&door);
	for (unsigned int round = 0; round < race->rounds; round++) {
		bool private = random_below(&seed, 2);

		gmem_state_set(&race->state, random_below(&seed, race->gib), race->gib, !private);
		gmem_state_reset(&race->state, &door.kernel, private);
		race_expect(race, gmem_state_query(&race->state, 0, race->state.pages) ==
					  (private ? GMEM_PRIVATE : GMEM_SHARED));
	}
	return race_writer_done(race);
}

static void test_race_reset(void **unused)
{
	struct race race;
	struct door door;

	(void)unused;
	race_open(&race, &door, 2, "reset");
	race.rounds = 500;
	race_run(&race, pool_writer, 1, wild_reader, 2);
	race_close(&race, &door);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_collapse),
		cmocka_unit_test(test_in_flight_kept),
		cmocka_unit_test(test_no_call_after_init),
		cmocka_unit_test(test_memory_cost),
		cmocka_unit_test(test_very_large),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_advice_refused),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_race_kept_pages),
		cmocka_unit_test(test_race_stale_leaf),
		cmocka_unit_test(test_race_moment_of_change),
		cmocka_unit_test(test_race_same_chunk),
		cmocka_unit_test(test_race_overlapping),
		cmocka_unit_test(test_race_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
