// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of readers against changes of the layout. Writers only ever publish layouts in which
 * certain things hold; readers look at them all the time, and must never see anything else. All
 * loops are bounded; nothing is timed.
 */
#include "world.h"

#include <errno.h>
#include <gmem/access.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Needs what stands above. */
#include <cmocka.h>

#define READERS_MAX 4
#define AUTO GMEM_SLOT_AUTO

/* How often a writer changes the layout; fewer where each time takes a hundred times as long. */
static unsigned int rounds = 2000;

struct race;

/* One look at the layout; false when it is one that nobody ever published. */
typedef bool (*look_fn)(struct race *race);

struct race {
	struct world world;
	uint64_t page;
	struct gmem_region *regions[2];
	struct gmem_region_info info[2];
	look_fn looks[READERS_MAX];
	atomic_uint next_reader;
	atomic_bool writers_done;
	atomic_uint wrong; /* looks, plus the number of the look */
	atomic_uint looked;
};

static void *read_layouts(void *opaque)
{
	struct race *race = opaque;
	look_fn look = race->looks[atomic_fetch_add(&race->next_reader, 1)];

	do {
		if (!look(race))
			atomic_fetch_add(&race->wrong, 1);
		atomic_fetch_add_explicit(&race->looked, 1, memory_order_relaxed);
	} while (!atomic_load(&race->writers_done));
	return NULL;
}

/* Runs a writer on this thread, and a reader for each look. */
static void run_race(struct race *race, void (*write)(struct race *race), const look_fn *looks,
		     size_t count)
{
	pthread_t threads[READERS_MAX];
	size_t i;

	assert_true(count <= READERS_MAX);
	memcpy(race->looks, looks, count * sizeof(looks[0]));
	for (i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_layouts, race), 0);
	/* On one processor, too, they look before the first change. */
	while (atomic_load(&race->looked) < count)
		sched_yield();
	write(race);
	atomic_store(&race->writers_done, true);
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&race->wrong), 0);
	logs_reset(race->world.logs);
}

#define RUN_RACE(race, write, looks) run_race(race, write, looks, ARRAY_SIZE(looks))

static void open_race(struct race *race, const struct fake_kvm_config *kvm)
{
	memset(race, 0, sizeof(*race));
	world_open(&race->world, &(struct world_config){ .kvm = kvm });
	race->page = race->world.page;
}

static void close_race(struct race *race)
{
	world_close(&race->world);
}

/* Records of the fake's would grow for as long as the race goes on. */
static void forget_calls(struct race *race, unsigned int round)
{
	if (round % 64 == 0)
		fake_kvm_reset_calls(race->world.fake);
}

/*
 * Two windows, of one page and of two, that change places at once: region 0 has its page at 0 and
 * region 1 its two at 16, or region 1 at 0 and region 0 at 16. A section lies at 8 all the time.
 */
static void map_pair(struct race *race, bool swapped)
{
	struct gmem_change *change;
	unsigned int i;

	assert_int_equal(gmem_change_new(race->world.vm, &change), 0);
	for (i = 0; i < 2; i++)
		gmem_change_unmap(change, i * 16 * race->page, 8 * race->page);
	for (i = 0; i < 2; i++)
		gmem_change_map(change, (i ^ swapped) * 16 * race->page, race->regions[i],
				i * race->page, (i + 1) * race->page, AUTO, 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
}

static void swap_pairs(struct race *race)
{
	unsigned int round;

	for (round = 0; round < rounds; round++) {
		map_pair(race, round % 2 == 0);
		forget_calls(race, round);
	}
}

/* All that belongs to a window comes from one region, and all of the window is there. */
static bool is_whole(const struct race *race, const struct gmem_run *run)
{
	unsigned int i = run->tag == race->info[1].tag;

	return run->tag == race->info[i].tag && run->size == (i + 1) * race->page &&
	       run->offset == i * race->page &&
	       run->host == (char *)race->info[i].host + i * race->page &&
	       run->fd == race->info[i].fd && run->guest_memfd == -1 &&
	       run->fd_offset == run->offset && run->state == GMEM_SHARED &&
	       run->kind == GMEM_KIND_RAM && run->flags == 0;
}

static bool look_at_sections(struct race *race)
{
	struct gmem_run first, run;

	/* Below 16 there is one window, and another above 8; each look sees one layout. */
	if (gmem_vm_next_section(race->world.vm, 0, &first) != 1 || first.gpa != 0 ||
	    !is_whole(race, &first))
		return false;
	return gmem_vm_next_section(race->world.vm, 16 * race->page, &run) == 1 &&
	       run.gpa == 16 * race->page && is_whole(race, &run);
}

static bool look_at_runs(struct race *race)
{
	struct gmem_run run;

	if (gmem_vm_next_run(race->world.vm, 16 * race->page, &run) != 1)
		return false;
	return run.gpa == 16 * race->page && is_whole(race, &run);
}

static bool look_at_hosts(struct race *race)
{
	void *host;

	if (gmem_vm_translate(race->world.vm, 0, race->page, GMEM_ACCESS_WRITE, &host))
		return false;
	return host == race->info[0].host || host == (char *)race->info[1].host + race->page;
}

/* Whichever way round, one of the two windows has a second page. */
static bool look_at_states(struct race *race)
{
	int first = gmem_vm_get_state(race->world.vm, 0, race->page);
	int middle = gmem_vm_get_state(race->world.vm, 2 * race->page, 14 * race->page);
	int all = gmem_vm_get_state(race->world.vm, 0, 17 * race->page);

	return first == GMEM_SHARED && middle == (GMEM_HOLE | GMEM_SHARED) &&
	       all == (GMEM_HOLE | GMEM_SHARED);
}

static void test_readers_see_a_change_whole(void **unused)
{
	static const look_fn looks[] = { look_at_sections, look_at_runs, look_at_hosts,
					 look_at_states };
	struct gmem_region *middle;
	struct race race;
	unsigned int i;

	open_race(&race, &fake_kvm_linux_6_18);
	for (i = 0; i < 2; i++) {
		race.regions[i] =
			world_region(&race.world, i ? "one" : "zero", 8, GMEM_BACKING_PLAIN, 0);
		race.info[i] = world_region_info(race.regions[i]);
		assert_int_equal(gmem_vm_map(race.world.vm, i * 16 * race.page, race.regions[i],
					     i * race.page, (i + 1) * race.page, AUTO, 0),
				 0);
	}
	middle = world_region(&race.world, "middle", 1, GMEM_BACKING_PLAIN, 0);
	assert_int_equal(gmem_vm_map(race.world.vm, 8 * race.page, middle, 0, race.page, AUTO, 0),
			 0);
	RUN_RACE(&race, swap_pairs, looks);
	assert_kernel_agrees(&race.world);
	gmem_region_free(middle);
	for (i = 0; i < 2; i++)
		gmem_region_free(race.regions[i]);
	close_race(&race);
}

/*
 * Sections come and go while the region they show is made anew each time: its shadow is one that
 * another region had before. Of three regions in a row the outer two are private, that in the
 * middle is shared; all three are there, or none.
 */
static struct gmem_region *map_one(struct race *race, struct gmem_change *change, unsigned int i)
{
	struct gmem_region *region = world_region(&race->world, "passing", 64, GMEM_BACKING_SPLIT,
						  i == 1 ? GMEM_SHARED : GMEM_PRIVATE);

	assert_int_equal(gmem_change_map(change, i * 64 * race->page, region, 0, 64 * race->page,
					 AUTO, 0),
			 0);
	return region;
}

static void replace_regions(struct race *race)
{
	unsigned int round, i;

	for (round = 0; round < rounds / 4; round++) {
		struct gmem_change *change;

		assert_int_equal(gmem_change_new(race->world.vm, &change), 0);
		for (i = 0; i < 3; i++)
			gmem_region_free(map_one(race, change, i));
		assert_int_equal(gmem_change_commit(change), 0);
		gmem_change_free(change);
		assert_int_equal(gmem_vm_unmap(race->world.vm, 0, 192 * race->page), 0);
		forget_calls(race, round);
	}
}

static bool look_at_passing_states(struct race *race)
{
	int first = gmem_vm_get_state(race->world.vm, 60 * race->page, 2 * race->page);
	int middle = gmem_vm_get_state(race->world.vm, 70 * race->page, 1);
	int both = gmem_vm_get_state(race->world.vm, 64 * race->page - 1, 2);

	return (first == GMEM_PRIVATE || first == GMEM_HOLE) &&
	       (middle == GMEM_SHARED || middle == GMEM_HOLE) &&
	       (both == (GMEM_SHARED | GMEM_PRIVATE) || both == GMEM_HOLE);
}

static bool look_at_passing_runs(struct race *race)
{
	struct gmem_run run;
	int rc = gmem_vm_next_run(race->world.vm, 128 * race->page, &run);

	if (rc == 0)
		return run.size == 0 && run.state == 0;
	return rc == 1 && run.state == GMEM_PRIVATE && run.size == 64 * race->page;
}

static bool look_at_passing_sections(struct race *race)
{
	static const struct gmem_run zeros;
	struct gmem_run run;
	int rc = gmem_vm_next_section(race->world.vm, 64 * race->page, &run);

	/* When nothing is found, nothing of a look before shows either. */
	if (rc == 0)
		return memcmp(&run, &zeros, sizeof(run)) == 0;
	return rc == 1 && run.gpa == 64 * race->page && run.state == GMEM_SHARED &&
	       run.size == 64 * race->page;
}

static bool look_at_passing_hosts(struct race *race)
{
	void *host;
	int rc = gmem_vm_translate(race->world.vm, 0, race->page, 0, &host);

	if (rc != -EACCES && rc != -ENOENT)
		return false;
	rc = gmem_vm_translate(race->world.vm, 64 * race->page, 64 * race->page, 0, &host);
	return rc == -ENOENT || (rc == 0 && host);
}

static void test_readers_outlive_regions(void **unused)
{
	static const look_fn looks[] = { look_at_passing_states, look_at_passing_runs,
					 look_at_passing_sections, look_at_passing_hosts };
	struct race race;

	open_race(&race, &fake_kvm_linux_6_18_sw);
	RUN_RACE(&race, replace_regions, looks);
	assert_kernel_agrees(&race.world);
	close_race(&race);
}

/* The only section comes and goes: who finds nothing gets zeros, whatever a look before found. */
static void come_and_go(struct race *race)
{
	unsigned int round;

	for (round = 0; round < 8 * rounds; round++) {
		assert_int_equal(gmem_vm_map(race->world.vm, 0, race->regions[0], 0, race->page,
					     GMEM_SLOT_NONE, 0),
				 0);
		assert_int_equal(gmem_vm_unmap(race->world.vm, 0, race->page), 0);
	}
}

static bool is_all_or_nothing(const struct race *race, int found, const struct gmem_run *run)
{
	static const struct gmem_run zeros;

	if (!found)
		return memcmp(run, &zeros, sizeof(*run)) == 0;
	return found == 1 && run->gpa == 0 && run->size == race->page &&
	       run->host == race->info[0].host;
}

static bool look_at_run_or_none(struct race *race)
{
	struct gmem_run run;
	int found = gmem_vm_next_run(race->world.vm, 0, &run);

	return is_all_or_nothing(race, found, &run);
}

static bool look_at_section_or_none(struct race *race)
{
	struct gmem_run run;
	int found = gmem_vm_next_section(race->world.vm, 0, &run);

	return is_all_or_nothing(race, found, &run);
}

static void test_nothing_found_is_zeros(void **unused)
{
	static const look_fn looks[] = { look_at_run_or_none, look_at_section_or_none };
	struct race race;

	open_race(&race, &fake_kvm_linux_6_18);
	race.regions[0] = world_region(&race.world, "ram0", 1, GMEM_BACKING_PLAIN, 0);
	race.info[0] = world_region_info(race.regions[0]);
	RUN_RACE(&race, come_and_go, looks);
	gmem_region_free(race.regions[0]);
	close_race(&race);
}

/* Several writers, each with addresses of its own, and readers who look at them all. */
#define WRITERS 3u

struct writer {
	struct race *race;
	unsigned int number;
	unsigned int failed;
};

static void *write_own_addresses(void *opaque)
{
	struct writer *writer = opaque;
	struct race *race = writer->race;
	uint64_t gpa = writer->number * 16 * race->page, size = (writer->number + 1) * race->page;
	unsigned int round;

	for (round = 0; round < rounds / 4; round++) {
		writer->failed +=
			gmem_vm_map(race->world.vm, gpa, race->regions[0], 0, size, AUTO, 0) != 0;
		writer->failed +=
			gmem_vm_set_map_flags(race->world.vm, gpa, size, GMEM_MAP_DEVICE) != 0;
		writer->failed += gmem_vm_unmap(race->world.vm, gpa, size) != 0;
	}
	return NULL;
}

static void write_in_parallel(struct race *race)
{
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	unsigned int i;

	for (i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ race, i, 0 };
		assert_int_equal(
			pthread_create(&threads[i], NULL, write_own_addresses, &writers[i]), 0);
	}
	for (i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(writers[i].failed, 0);
	}
}

static bool look_at_all_sections(struct race *race)
{
	uint64_t gpa = 0;
	struct gmem_run run;

	while (gmem_vm_next_section(race->world.vm, gpa, &run) == 1) {
		uint64_t number = run.gpa / (16 * race->page);

		if (number >= WRITERS || run.gpa != number * 16 * race->page ||
		    run.size != (number + 1) * race->page || run.host != race->info[0].host ||
		    run.slot >= WRITERS || (run.flags && run.kind != GMEM_KIND_DEVICE))
			return false;
		gpa = run.gpa + run.size;
	}
	return true;
}

static bool look_at_slots_used(struct race *race)
{
	struct gmem_vm_info info;

	return gmem_vm_get_info(race->world.vm, &info) == 0 && info.slots_used <= WRITERS;
}

static void test_writers_take_turns(void **unused)
{
	static const look_fn looks[] = { look_at_all_sections, look_at_slots_used };
	struct race race;

	open_race(&race, &fake_kvm_linux_6_18);
	race.regions[0] = world_region(&race.world, "ram0", 8, GMEM_BACKING_PLAIN, 0);
	race.info[0] = world_region_info(race.regions[0]);
	RUN_RACE(&race, write_in_parallel, looks);
	assert_int_equal(world_slots_used(&race.world), 0);
	assert_kernel_agrees(&race.world);
	gmem_region_free(race.regions[0]);
	close_race(&race);
}

/*
 * The litmus test of the table itself: one reader, one writer that publishes layouts as fast as it
 * can, of which each is made of one number alone. Whoever mixes two of them finds two numbers.
 */
#define LITMUS_SECTIONS 8u

struct litmus {
	struct layout_table table;
	struct section_list lists[2];
	atomic_bool done;
	atomic_uint looked;
	unsigned int mixed;
	unsigned int current;
};

/* The numbers of a layout: all fields of all its sections follow from it. */
static void make_litmus_list(struct section_list *list, uint64_t number, struct gmem_region *region)
{
	unsigned int i;

	assert_int_equal(gmem_section_list_reserve(list, LITMUS_SECTIONS), 0);
	for (i = 0; i < LITMUS_SECTIONS; i++) {
		const struct section section = {
			.gpa = (UINT64_C(1) << 20) * i + (number << 12),
			.size = UINT64_C(4096) + (number << 12),
			.offset = number << 12,
			.region = region,
			.slot = (uint32_t)number,
			.flags = (uint32_t)number,
		};

		gmem_section_list_insert(list, &section);
	}
}

static bool is_of_number(const struct section_view *view, unsigned int i, uint64_t number)
{
	return view->gpa == (UINT64_C(1) << 20) * i + (number << 12) &&
	       view->size == UINT64_C(4096) + (number << 12) && view->offset == number << 12 &&
	       view->slot == number && view->flags == number && view->tag == number;
}

/* Looks at all sections: true when the look was current, and so may not be mixed. */
static bool look_once(const struct litmus *litmus, bool *mixed)
{
	uint64_t sequence = layout_table_begin(&litmus->table);
	struct section_view view;
	uint64_t number = UINT64_MAX;
	unsigned int i;

	*mixed = false;
	for (i = 0; i < LITMUS_SECTIONS; i++) {
		if (!gmem_layout_table_find(&litmus->table, sequence, (UINT64_C(1) << 20) * i,
					    &view))
			return false;
		if (number == UINT64_MAX)
			number = view.slot;
		*mixed |= !is_of_number(&view, i, number);
	}
	return layout_table_is_current(&litmus->table, sequence);
}

static void *read_litmus(void *opaque)
{
	struct litmus *litmus = opaque;
	bool mixed;

	do {
		if (look_once(litmus, &mixed)) {
			litmus->current++;
			litmus->mixed += mixed;
		}
		atomic_fetch_add_explicit(&litmus->looked, 1, memory_order_relaxed);
	} while (!atomic_load(&litmus->done));
	/* Nobody writes any more: it must be current. */
	assert_true(look_once(litmus, &mixed));
	litmus->mixed += mixed;
	return NULL;
}

static void test_litmus_of_reader_and_change(void **unused)
{
	struct backing host = { .fd = -1, .host = 4096 };
	struct gmem_region regions[2] = { { .host = &host, .config.tag = 3 },
					  { .host = &host, .config.tag = 100 } };
	struct litmus litmus = { .mixed = 0 };
	struct gmem_kernel kernel;
	pthread_t thread;
	unsigned int i;

	gmem_kernel_get_host(&kernel);
	assert_int_equal(gmem_layout_table_init(&litmus.table, &kernel), 0);
	for (i = 0; i < 2; i++)
		make_litmus_list(&litmus.lists[i], regions[i].config.tag, &regions[i]);
	gmem_layout_table_publish(&litmus.table, &litmus.lists[0]);
	assert_int_equal(pthread_create(&thread, NULL, read_litmus, &litmus), 0);
	while (!atomic_load(&litmus.looked))
		sched_yield();
	/*
	 * Not in turn: the same copy must come to hold another layout, too. Between bursts the
	 * reader gets a look at what stays a while.
	 */
	for (i = 0; i < 40 * rounds; i++) {
		gmem_layout_table_publish(&litmus.table, &litmus.lists[i / 3 % 2]);
		if (i % 1024 == 0)
			sched_yield();
	}
	atomic_store(&litmus.done, true);
	pthread_join(thread, NULL);
	assert_int_equal(litmus.mixed, 0);
	gmem_layout_table_release(&litmus.table, &kernel);
	for (i = 0; i < 2; i++)
		gmem_section_list_free(&litmus.lists[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readers_see_a_change_whole),
		cmocka_unit_test(test_readers_outlive_regions),
		cmocka_unit_test(test_nothing_found_is_zeros),
		cmocka_unit_test(test_writers_take_turns),
		cmocka_unit_test(test_litmus_of_reader_and_change),
	};

	if (getenv("GMEM_TEST_VALGRIND"))
		rounds /= 10;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
