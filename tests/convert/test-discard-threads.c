// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Discards that were put off, while others convert, flush and discard: whatever is freed, and by
 * whom, no byte of the side that is seen is ever lost.
 */
#include "rig.h"

#include "libgmem/discard.h"
#include "tests/support/random.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define THREADS 4u
#define PAGES 128u
#define ROUNDS 1500u

struct work {
	struct rig *rig;
	uint32_t number;
	uint64_t random;
	int vcpu_fd;
	_Atomic bool *over;
	char shown[PAGES];
	bool private[PAGES];
};

/* cmocka's assertions are for the first thread alone. */
static void must(bool held)
{
	if (!held)
		abort();
}

static void guest(struct work *work, uint64_t page, char *byte, uint32_t flags)
{
	must(!gmem_sim_guest_access(work->rig->sim, work->vcpu_fd, page * work->rig->page, byte, 1,
				    flags));
}

/* What a page holds is what its owner wrote last, on the side that it then had. */
static void check_page(struct work *work, uint64_t page)
{
	char byte = 0;

	if (work->private[page])
		guest(work, page, &byte, 0);
	else
		must(!gmem_vm_read(work->rig->vm, page * work->rig->page, &byte, 1,
				   GMEM_ACCESS_WAIT));
	must(byte == work->shown[page]);
}

static void write_page(struct work *work, uint64_t page, char byte)
{
	work->shown[page] = byte;
	if (work->private[page])
		guest(work, page, &byte, GMEM_SIM_WRITE);
	else
		must(!gmem_vm_write(work->rig->vm, page * work->rig->page, &byte, 1,
				    GMEM_ACCESS_WAIT));
}

/* Every fourth page is this thread's; what is put off of neighbours is joined. */
static void *convert(void *opaque)
{
	struct work *work = opaque;
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t page =
			random_below(&work->random, PAGES / THREADS) * THREADS + work->number;
		uint32_t to = work->private[page] ? GMEM_SHARED : GMEM_PRIVATE;
		uint32_t flags = random_below(&work->random, 4) ? 0 : GMEM_CONVERT_KEEP;

		check_page(work, page);
		must(!rig_convert(work->rig, page, 1, to, flags, NULL));
		work->private[page] = !work->private[page];
		write_page(work, page, (char)random_next(&work->random));
		if (!random_below(&work->random, 50)) {
			must(!gmem_vm_discard(work->rig->vm, page * work->rig->page,
					      work->rig->page, 0, NULL));
			work->shown[page] = 0;
		}
	}
	for (i = work->number; i < PAGES; i += THREADS)
		check_page(work, i);
	return NULL;
}

static void *flush(void *opaque)
{
	struct work *work = opaque;

	while (!atomic_load(work->over)) {
		must(!gmem_vm_flush(work->rig->vm, 0, NULL));
		sched_yield();
	}
	return NULL;
}

/* Who converts pages of which one is pinned, and the thread that has pinned it. */
struct stuck {
	struct rig rig;
	pthread_t first;
	_Atomic bool waits;
	_Atomic uint32_t asked; /* the first thread, which waits for nobody */
	int result;
};

static int ask(const struct gmem_report *so_far, void *opaque)
{
	struct stuck *stuck = opaque;

	(void)so_far;
	if (pthread_equal(pthread_self(), stuck->first)) {
		atomic_fetch_add(&stuck->asked, 1);
		return GMEM_RETRY_STOP;
	}
	atomic_store(&stuck->waits, true);
	return GMEM_RETRY_AGAIN;
}

static void *convert_pinned(void *opaque)
{
	struct stuck *stuck = opaque;

	stuck->result = rig_convert(&stuck->rig, 0, 4, GMEM_PRIVATE, 0, NULL);
	return NULL;
}

/*
 * What one conversion has to free may be at work elsewhere, and that may wait for a pin of the very
 * thread that frees: it frees the rest, and does not wait.
 */
static void who_frees_waits_for_nobody(void **state)
{
	const uint64_t pages = 512;
	const struct mode *mode = *state;
	struct gmem_vm_config *config;
	struct gmem_vm_stats stats;
	struct stuck stuck = { .first = pthread_self() };
	struct gmem_pin pin;
	pthread_t thread;
	uint64_t i;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_discard_limit(config, 64 * UINT64_C(4096));
	gmem_vm_config_set_retry(config, UINT64_MAX, ask, &stuck, NULL);
	rig_open_with(&stuck.rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&stuck.rig, 0, rig_region(&stuck.rig, pages), 0, pages);
	assert_int_equal(rig_convert(&stuck.rig, 0, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(gmem_vm_pin(stuck.rig.vm, 3 * stuck.rig.page, 1, 0, &pin), 0);
	must(!pthread_create(&thread, NULL, convert_pinned, &stuck));
	while (!atomic_load(&stuck.waits))
		sched_yield();
	/* Whoever sleeps all the same is asked at once. */
	atomic_store(&stuck.rig.futex_error, -EINTR);
	for (i = 8; i < 8 + 2 * 140; i += 2)
		assert_int_equal(rig_convert(&stuck.rig, i, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(gmem_vm_get_stats(stuck.rig.vm, &stats), 0);
	atomic_store(&stuck.rig.futex_error, 0);
	gmem_vm_unpin(stuck.rig.vm, &pin);
	pthread_join(thread, NULL);
	assert_int_equal(stuck.result, 0);
	assert_int_equal(atomic_load(&stuck.asked), 0);
	/* Twice too much waited: then all but the page at work was freed. Twelve have come since. */
	assert_int_equal(stats.bytes_held_twice, (1 + 140 - 2 * 64) * stuck.rig.page);
	assert_int_equal(gmem_vm_flush(stuck.rig.vm, 0, NULL), 0);
	rig_compare(&stuck.rig);
	rig_close(&stuck.rig);
}

static void no_byte_is_lost(void **state)
{
	uint64_t seed = random_seed("discards and threads");
	struct work work[THREADS + 1] = { 0 };
	pthread_t threads[THREADS + 1];
	const struct mode *mode = *state;
	struct gmem_vm_config *config;
	struct gmem_vm_stats stats;
	_Atomic bool over = false;
	void *kvm_run;
	struct rig rig;
	uint32_t i;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_discard_limit(config, PAGES / 2 * UINT64_C(4096));
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, 0, rig_region(&rig, PAGES), 0, PAGES);
	for (i = 0; i <= THREADS; i++) {
		work[i] = (struct work){ &rig, i, seed + i, -1, &over, { 0 }, { false } };
		work[i].vcpu_fd = gmem_sim_create_vcpu(rig.sim, rig.vm_fd, &kvm_run);
		must(!pthread_create(&threads[i], NULL, i < THREADS ? convert : flush, &work[i]));
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&over, true);
	pthread_join(threads[THREADS], NULL);
	rig_compare(&rig);
	assert_int_equal(gmem_vm_flush(rig.vm, 0, NULL), 0);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_int_equal(stats.bytes_held_twice, 0);
	for (i = 0; i <= THREADS; i++) {
		const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)work[i].vcpu_fd };

		rig.kernel.call(GMEM_SYS_CLOSE, arg, rig.kernel.opaque);
	}
	rig_close(&rig);
}

#define LIMIT_PAGES 8u

/* Pages of its own, in one piece, by pieces of up to half of what may wait. */
static void *convert_pieces(void *opaque)
{
	struct work *work = opaque;
	const uint64_t first = (uint64_t)work->number * PAGES / THREADS;
	const uint64_t limit = LIMIT_PAGES * work->rig->page;
	struct gmem_vm_stats stats;
	uint32_t i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t page = random_below(&work->random, PAGES / THREADS - LIMIT_PAGES / 2);
		uint64_t pages = 1 + random_below(&work->random, LIMIT_PAGES / 2);
		uint32_t to = random_below(&work->random, 2) ? GMEM_SHARED : GMEM_PRIVATE;
		uint32_t flags = random_below(&work->random, 2) ? 0 : GMEM_CONVERT_NOWAIT;
		int rc = rig_convert(work->rig, first + page, pages, to, flags, NULL);

		/* Somebody else may be freeing what waits of these very pages. */
		must(!rc || (flags && rc == -EAGAIN));
		must(!gmem_vm_get_stats(work->rig->vm, &stats));
		must(stats.bytes_held_twice <= limit);
	}
	return NULL;
}

static void *watch(void *opaque)
{
	struct work *work = opaque;
	struct gmem_vm_stats stats;

	while (!atomic_load(work->over)) {
		must(!gmem_vm_get_stats(work->rig->vm, &stats));
		must(stats.bytes_held_twice <= LIMIT_PAGES * work->rig->page);
		sched_yield();
	}
	return NULL;
}

#define RESERVATIONS 200000u

/* A page of its own, of a region without addresses: nothing but the count is shared. */
static void *reserve(void *opaque)
{
	struct work *work = opaque;
	const uint64_t page = work->rig->page;
	const struct discard discard = { .region = work->rig->region[0],
					 .offset = work->number * page,
					 .size = page };
	struct gmem_vm_stats stats;
	uint64_t freed;
	uint32_t i;

	/* Together, or the first is done before the last begins. */
	while (!atomic_load(work->over))
		sched_yield();
	for (i = 0; i < RESERVATIONS; i++) {
		(void)gmem_discard_later(work->rig->vm, &discard, &freed);
		must(!gmem_vm_get_stats(work->rig->vm, &stats));
		must(stats.bytes_held_twice <= page);
		gmem_discard_cancel(work->rig->vm, &discard);
	}
	return NULL;
}

/* There is room for one of them. */
static void only_one_gets_the_last_page(void **state)
{
	struct work work[THREADS] = { 0 };
	const struct mode *mode = *state;
	struct gmem_vm_config *config;
	struct gmem_vm_stats stats;
	_Atomic bool begun = false;
	pthread_t threads[THREADS];
	struct rig rig;
	uint32_t i;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_discard_limit(config, 4096);
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_region(&rig, PAGES);
	for (i = 0; i < THREADS; i++) {
		work[i] = (struct work){ .rig = &rig, .number = i, .over = &begun };
		must(!pthread_create(&threads[i], NULL, reserve, &work[i]));
	}
	atomic_store(&begun, true);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_int_equal(stats.bytes_held_twice, 0);
	rig_close(&rig);
}

/* Nobody ever sees more than may wait, and at the end it is as much as pages say that they do. */
static void the_limit_holds(void **state)
{
	uint64_t seed = random_seed("discards and their limit"), waiting;
	struct work work[THREADS + 1] = { 0 };
	pthread_t threads[THREADS + 1];
	const struct mode *mode = *state;
	struct gmem_vm_config *config;
	struct gmem_vm_stats stats;
	_Atomic bool over = false;
	struct rig rig;
	uint32_t i;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_discard_limit(config, LIMIT_PAGES * UINT64_C(4096));
	rig_open_with(&rig, mode, config);
	gmem_vm_config_free(config);
	rig_map(&rig, 0, rig_region(&rig, PAGES), 0, PAGES);
	for (i = 0; i <= THREADS; i++) {
		work[i] = (struct work){ &rig, i, seed + i, -1, &over, { 0 }, { false } };
		must(!pthread_create(&threads[i], NULL, i < THREADS ? convert_pieces : watch,
				     &work[i]));
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&over, true);
	pthread_join(threads[THREADS], NULL);
	waiting = gmem_state_count_private(&region_shadow(rig.region[0])->pending);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_int_equal(stats.bytes_held_twice, waiting * rig.page);
	assert_int_equal(gmem_vm_flush(rig.vm, 0, NULL), 0);
	assert_int_equal(gmem_vm_get_stats(rig.vm, &stats), 0);
	assert_int_equal(stats.bytes_held_twice, 0);
	rig_compare(&rig);
	rig_close(&rig);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(no_byte_is_lost, SMALL_PAGES),
		RIG_CASE(who_frees_waits_for_nobody, SPLIT_SMALL),
		RIG_CASE(the_limit_holds, SPLIT_SMALL),
		RIG_CASE(only_one_gets_the_last_page, SPLIT_SMALL),
	};

	return rig_run("discards and threads", cases, sizeof(cases) / sizeof(cases[0]));
}
