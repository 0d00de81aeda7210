// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Chaos: threads that convert, pin, copy, map, unmap, look and interrupt each other, on a kernel
 * that fails at random, in every mode; 1000 runs, or as many as GMEM_TEST_RUNS says. Each run ends
 * with the library's states those of the kernel, no claim and no pin left, all pages convertible,
 * and nothing leaked.
 *
 * What threads write into guest memory says at which address it was written. Each block of pages
 * has one thread that touches its bytes, so that a sanitizer sees which access was before which;
 * all threads convert, pin and map all of them.
 */
#include "chaos.h"

#include "libgmem/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS 1000u
#define ROUNDS 60u

/* In pages: the layout that a run begins and ends with. Between 56 and 64 is a hole. */
struct window {
	unsigned int region; /* 2: the plain one */
	uint64_t page;
	uint64_t offset;
	uint64_t pages;
};

static const struct window windows[] = {
	{ 0, 0, 0, 16 }, { 0, 16, 16, 24 }, { 1, 40, 0, 16 }, { 1, 64, 16, 16 }, { 2, 80, 0, 8 },
};

#define WINDOWS (sizeof(windows) / sizeof(windows[0]))
#define ALL_PAGES 88u
#define BLOCK_PAGES 4u
#define WORDS_MAX 96u

/* The upper bits of what is written into shared, and into private memory. */
#define SHARED_MARK UINT64_C(0x5ba2ed5ba2)
#define PRIVATE_MARK UINT64_C(0x9121fa7e91)
#define MARK_SHIFT 24

static uint64_t pick(uint64_t limit)
{
	return random_below(&chaos_self->seed, limit);
}

static void blame(struct chaos *chaos, const char *what, uint64_t value)
{
	pthread_mutex_lock(&chaos->lock);
	if (!chaos->wrong[0])
		snprintf(chaos->wrong, sizeof(chaos->wrong), "%s: %#llx (%lld)", what,
			 (unsigned long long)value, (long long)value);
	pthread_mutex_unlock(&chaos->lock);
}

/* Blames a result that is none of a list that ends in 1. */
static void expect_one_of(struct chaos *chaos, const char *what, int result, const int *list)
{
	for (; *list != 1; list++) {
		if (result == *list)
			return;
	}
	blame(chaos, what, (uint64_t)(int64_t)result);
}

#define expect(chaos, what, result, ...)                                                           \
	expect_one_of(chaos, what, result, (const int[]){ __VA_ARGS__, 1 })

static struct gmem_vm *vm_of(const struct chaos *chaos)
{
	return chaos->rig.vm;
}

/* What is written at a guest address. */
static uint64_t word_at(const struct chaos *chaos, uint64_t mark, uint64_t gpa)
{
	return mark << MARK_SHIFT | (gpa - chaos->base) / sizeof(uint64_t);
}

static void check_words(struct chaos *chaos, uint64_t gpa, const uint64_t *words, uint64_t count)
{
	uint64_t i;

	for (i = 0; i < count; i++) {
		uint64_t mark = words[i] >> MARK_SHIFT;

		if (mark == PRIVATE_MARK)
			blame(chaos, "private data is read at gpa", gpa + i * sizeof(*words));
		else if (chaos->writes_private)
			continue; /* where conversion destroys, anything else may be there */
		else if (words[i] &&
			 words[i] != word_at(chaos, SHARED_MARK, gpa + i * sizeof(*words)))
			blame(chaos, "what nobody wrote is read at gpa", gpa + i * sizeof(*words));
	}
}

static void fill_words(const struct chaos *chaos, uint64_t mark, uint64_t gpa, uint64_t *words,
		       uint64_t count)
{
	uint64_t i;

	for (i = 0; i < count; i++)
		words[i] = word_at(chaos, mark, gpa + i * sizeof(*words));
}

/* A place in a block of this thread's own, where it may touch bytes; words up to the block's end. */
static uint64_t own_place(const struct chaos *chaos, uint64_t *words)
{
	uint64_t blocks = ALL_PAGES / BLOCK_PAGES / CHAOS_THREADS;
	uint64_t block = pick(blocks) * CHAOS_THREADS + chaos_self->index;
	uint64_t bytes = BLOCK_PAGES * chaos->rig.page, offset;

	/* Half of them near the end of a page, to reach over it. */
	offset = pick(2) ? pick(bytes / 8) * 8
			 : (1 + pick(BLOCK_PAGES - 1)) * chaos->rig.page - 8 * (1 + pick(8));
	*words = 1 + pick((bytes - offset) / 8 < WORDS_MAX ? (bytes - offset) / 8 : WORDS_MAX);
	return chaos->base + block * bytes + offset;
}

static bool is_own(const struct chaos *chaos, uint64_t gpa, uint64_t size)
{
	uint64_t bytes = BLOCK_PAGES * chaos->rig.page;
	uint64_t first = (gpa - chaos->base) / bytes, last = (gpa + size - 1 - chaos->base) / bytes;

	return first == last && first % CHAOS_THREADS == chaos_self->index;
}

static void random_range(const struct chaos *chaos, struct gmem_range *range)
{
	uint64_t first = pick(ALL_PAGES), room = ALL_PAGES - first;
	uint64_t pages = pick(4) ? 1 + pick(6) : 1 + pick(60);

	range->gpa = chaos->base + first * chaos->rig.page;
	range->size = (pages < room ? pages : room) * chaos->rig.page;
}

static bool overlaps(const struct gmem_range *range, uint64_t gpa, uint64_t size)
{
	return gpa < range->gpa + range->size && range->gpa < gpa + size;
}

/* Whether this thread has a pin of a part of a range. */
static bool have_pinned(const struct gmem_range *range)
{
	unsigned int i;

	for (i = 0; i < CHAOS_PINS; i++) {
		if (chaos_self->pins[i].size &&
		    overlaps(range, chaos_self->pin_gpa[i], chaos_self->pins[i].size))
			return true;
	}
	return false;
}

static void check_report(struct chaos *chaos, const struct gmem_report *report, int rc,
			 uint64_t total)
{
	if (report->error != rc)
		blame(chaos, "a report has another error", (uint64_t)(int64_t)report->error);
	if (report->converted > total || report->restored > total)
		blame(chaos, "more was converted than asked for", report->converted);
	if (!rc != (report->stage == GMEM_STAGE_DONE))
		blame(chaos, "a report has the wrong stage", report->stage);
	if (!rc && (report->skipped || report->gpa || report->kernel_error))
		blame(chaos, "a report of success names an obstacle", report->gpa);
}

/* Up to four ranges in ascending order. */
static size_t random_ranges(const struct chaos *chaos, struct gmem_range *ranges)
{
	uint64_t page = pick(ALL_PAGES), pages;
	size_t count = 0;

	while (count < 4 && page < ALL_PAGES) {
		pages = 1 + pick(8);
		if (pages > ALL_PAGES - page)
			pages = ALL_PAGES - page;
		ranges[count++] = (struct gmem_range){
			.gpa = chaos->base + page * chaos->rig.page,
			.size = pages * chaos->rig.page,
		};
		page += pages + pick(3);
	}
	return count;
}

static bool convert(struct chaos *chaos)
{
	uint32_t to = pick(2) ? GMEM_PRIVATE : GMEM_SHARED;
	uint32_t flags = (uint32_t)pick(8);
	struct gmem_report report;
	struct gmem_range ranges[4];
	uint64_t total = 0;
	size_t count = 1, i;
	bool pinned = false;
	int rc;

	random_range(chaos, &ranges[0]);
	if (pick(3) == 0)
		count = random_ranges(chaos, ranges);
	for (i = 0; i < count; i++) {
		pinned |= have_pinned(&ranges[i]);
		total += ranges[i].size;
	}
	chaos_self->doing = DOING_CONVERSION;
	rc = count == 1 ? gmem_vm_convert(vm_of(chaos), ranges[0].gpa, ranges[0].size, to, flags,
					  &report)
			: gmem_vm_convert_ranges(vm_of(chaos), ranges, count, to, flags, &report);
	chaos_self->doing = DOING_NOTHING;
	expect(chaos, "gmem_vm_convert", rc, 0, -EAGAIN, -ENOMEM, -EIO, -ENOENT, -EACCES,
	       -EOPNOTSUPP);
	check_report(chaos, &report, rc, total);
	if (!rc && pinned && to == GMEM_PRIVATE)
		blame(chaos, "a pinned page was made private, from gpa", ranges[0].gpa);
	return !rc;
}

static void check_pin(struct chaos *chaos, unsigned int index)
{
	const struct gmem_pin *pin = &chaos_self->pins[index];
	uint64_t gpa = chaos_self->pin_gpa[index];
	volatile uint64_t *word = pin->host;
	int state = gmem_vm_get_state(vm_of(chaos), gpa, pin->size);

	if (state != GMEM_SHARED)
		blame(chaos, "a pinned page is not shared", (uint64_t)(int64_t)state);
	if (!is_own(chaos, gpa, pin->size) || gpa % 8 || pin->size < 8)
		return;
	*word = 0;
	sched_yield();
	if (*word)
		blame(chaos, "a pinned page lost what was written at gpa", gpa);
	*word = word_at(chaos, SHARED_MARK, gpa);
	sched_yield();
	if (*word != word_at(chaos, SHARED_MARK, gpa))
		blame(chaos, "a pinned page lost what was written at gpa", gpa);
}

static void unpin_one(struct chaos *chaos, unsigned int index)
{
	if (!chaos_self->pins[index].size)
		return;
	check_pin(chaos, index);
	gmem_vm_unpin(vm_of(chaos), &chaos_self->pins[index]);
	if (chaos_self->pins[index].size)
		blame(chaos, "a pin stays", chaos_self->pin_gpa[index]);
}

static bool pin_something(struct chaos *chaos)
{
	static const uint32_t flags[] = { 0, GMEM_ACCESS_WRITE, GMEM_ACCESS_PARTIAL,
					  GMEM_ACCESS_WAIT,
					  GMEM_ACCESS_WAIT | GMEM_ACCESS_PARTIAL };
	unsigned int index = (unsigned int)pick(CHAOS_PINS);
	struct gmem_range range;
	uint64_t words;
	int rc;

	if (chaos_self->pins[index].size) {
		unpin_one(chaos, index);
		return false;
	}
	if (pick(2)) {
		range.gpa = own_place(chaos, &words);
		range.size = words * 8;
	} else {
		random_range(chaos, &range);
		range.gpa += pick(chaos->rig.page);
		range.size = 1 + pick(range.size);
	}
	chaos_self->doing = DOING_ACCESS;
	rc = gmem_vm_pin(vm_of(chaos), range.gpa, range.size, flags[pick(5)],
			 &chaos_self->pins[index]);
	chaos_self->doing = DOING_NOTHING;
	chaos_self->pin_gpa[index] = range.gpa;
	expect(chaos, "gmem_vm_pin", rc, 0, -ENOENT, -EACCES, -EXDEV, -EAGAIN);
	if (!rc)
		check_pin(chaos, index);
	return !rc;
}

static bool copy(struct chaos *chaos)
{
	static const uint32_t flags[] = { 0, GMEM_ACCESS_WAIT, GMEM_ACCESS_CHECKED,
					  GMEM_ACCESS_WAIT | GMEM_ACCESS_CHECKED };
	uint64_t buf[WORDS_MAX] = { 0 }, words, gpa = own_place(chaos, &words);
	uint32_t how = flags[pick(4)];
	int rc;

	chaos_self->doing = DOING_ACCESS;
	if (pick(2)) {
		rc = gmem_vm_read(vm_of(chaos), gpa, buf, words * 8, how);
		/* A checked copy that fails may have read a part. */
		check_words(chaos, gpa, buf, words);
	} else {
		fill_words(chaos, SHARED_MARK, gpa, buf, words);
		rc = gmem_vm_write(vm_of(chaos), gpa, buf, words * 8, how);
	}
	chaos_self->doing = DOING_NOTHING;
	expect(chaos, "a copy", rc, 0, -ENOENT, -EACCES, -EAGAIN,
	       how & GMEM_ACCESS_CHECKED ? -EIO : 0);
	return !rc;
}

static int map_window(struct chaos *chaos, unsigned int index)
{
	const struct window *window = &windows[index];
	struct gmem_region *region = window->region == 2 ? chaos->plain
							 : chaos->rig.region[window->region];
	uint64_t page = chaos->rig.page;

	return gmem_vm_map(vm_of(chaos), chaos->base + window->page * page, region,
			   window->offset * page, window->pages * page, GMEM_SLOT_AUTO, 0);
}

static bool change_layout(struct chaos *chaos)
{
	unsigned int index = (unsigned int)pick(WINDOWS);
	const struct gmem_range range = {
		.gpa = chaos->base + windows[index].page * chaos->rig.page,
		.size = windows[index].pages * chaos->rig.page,
	};
	bool pinned = have_pinned(&range);
	int rc;

	chaos_self->doing = DOING_LAYOUT;
	rc = pick(2) ? map_window(chaos, index)
		     : gmem_vm_unmap(vm_of(chaos), range.gpa, range.size);
	chaos_self->doing = DOING_NOTHING;
	expect(chaos, "a change of the layout", rc, 0, -EEXIST, -ENOENT, -ENOMEM, -EIO, -EAGAIN);
	/* It is mapped for as long as it is pinned. */
	if (pinned && rc != -EEXIST && rc != -EAGAIN)
		blame(chaos, "a pinned section is mapped or unmapped", (uint64_t)(int64_t)rc);
	return !rc;
}

/* Takes two windows away and puts one back, as one: with a callback that may refuse. */
static bool change_two(struct chaos *chaos)
{
	unsigned int index = (unsigned int)pick(WINDOWS - 1);
	const struct window *window = &windows[index];
	uint64_t page = chaos->rig.page;
	struct gmem_change *change;
	int rc;

	if (gmem_change_new(vm_of(chaos), &change)) {
		blame(chaos, "gmem_change_new", index);
		return false;
	}
	gmem_change_unmap(change, chaos->base + window[0].page * page, window[0].pages * page);
	gmem_change_unmap(change, chaos->base + window[1].page * page, window[1].pages * page);
	if (window->region != 2)
		gmem_change_map(change, chaos->base + window->page * page,
				chaos->rig.region[window->region], window->offset * page,
				window->pages * page, GMEM_SLOT_AUTO, 0);
	chaos_self->doing = DOING_LAYOUT;
	rc = gmem_change_commit(change);
	chaos_self->doing = DOING_NOTHING;
	expect(chaos, "gmem_change_commit", rc, 0, -EEXIST, -ENOENT, -ENOMEM, -EIO, -EAGAIN,
	       -ECANCELED);
	gmem_change_free(change);
	return !rc;
}

static bool look(struct chaos *chaos)
{
	uint64_t gpa = 0, limit = chaos->base + (ALL_PAGES + 1) * chaos->rig.page;
	struct gmem_range range;
	struct gmem_run run;
	void *host;
	int rc;

	while (gmem_vm_next_run(vm_of(chaos), gpa, &run) == 1) {
		if (run.gpa != gpa || !run.size || run.gpa + run.size > limit)
			blame(chaos, "a run of no window, at gpa", gpa);
		if ((run.state == GMEM_HOLE) != !run.host)
			blame(chaos, "a run whose address does not fit its state", run.state);
		gpa = run.gpa + run.size;
	}
	random_range(chaos, &range);
	rc = gmem_vm_get_state(vm_of(chaos), range.gpa, range.size);
	if (rc < 1 || rc > 7)
		blame(chaos, "gmem_vm_get_state", (uint64_t)(int64_t)rc);
	rc = gmem_vm_translate(vm_of(chaos), range.gpa, range.size, 0, &host);
	expect(chaos, "gmem_vm_translate", rc, 0, -ENOENT, -EACCES, -EXDEV);
	return !rc;
}

/* Somebody whom only the kernel sees, who lets go after some tries. */
static bool take_reference(struct chaos *chaos)
{
	const struct window *window = &windows[pick(4)];
	uint64_t offset = (window->offset + pick(window->pages)) * chaos->rig.page;
	struct gmem_region_info info;
	int rc;

	if (chaos->rig.mode->tracking != GMEM_TRACKING_FILE)
		return true;
	rc = gmem_region_get_info(chaos->rig.region[window->region], &info);
	if (!rc)
		rc = gmem_sim_pin(chaos->rig.sim, info.guest_memfd, offset, chaos->rig.page,
				  1 + (uint32_t)pick(20));
	expect(chaos, "gmem_sim_pin", rc, 0, -EACCES);
	return !rc;
}

static bool interrupt(struct chaos *chaos)
{
	return !pthread_kill(chaos->thread[pick(CHAOS_THREADS)].handle, SIGUSR1);
}

/* Only private pages take it: the kind of access is the guest's to choose. */
static bool guest_writes_private(struct chaos *chaos)
{
	uint64_t buf[WORDS_MAX], words, gpa = own_place(chaos, &words);
	int rc;

	if (!chaos->writes_private)
		return true;
	fill_words(chaos, PRIVATE_MARK, gpa, buf, words);
	rc = gmem_sim_guest_access(chaos->rig.sim, chaos_self->vcpu_fd, gpa, buf, words * 8,
				   GMEM_SIM_WRITE | GMEM_SIM_PRIVATE);
	expect(chaos, "gmem_sim_guest_access", rc, 0, -EFAULT);
	return !rc;
}

/* A row for each thing that is done; those that are to be done more often stand there twice. */
static bool (*const operations[])(struct chaos *chaos) = {
	convert,        convert,       convert,    convert, pin_something,
	pin_something,  pin_something, copy,       copy,    copy,
	copy,           change_layout, change_two, look,    guest_writes_private,
	take_reference, interrupt,     interrupt,
};

_Static_assert(sizeof(operations) / sizeof(operations[0]) == CHAOS_OPERATIONS, "their number");

/* From inside an operation nothing may be started that could wait for it. */
static void call_back_in(struct chaos *chaos)
{
	struct gmem_report report;
	struct gmem_range range;
	uint64_t words, gpa, word;
	int rc;

	random_range(chaos, &range);
	rc = gmem_vm_convert(vm_of(chaos), range.gpa, range.size, GMEM_SHARED, 0, &report);
	expect(chaos, "gmem_vm_convert in a callback", rc, -EDEADLK);
	rc = map_window(chaos, (unsigned int)pick(WINDOWS));
	expect(chaos, "gmem_vm_map in a callback", rc, -EDEADLK);
	gpa = own_place(chaos, &words);
	rc = gmem_vm_read(vm_of(chaos), gpa, &word, sizeof(word), pick(2) ? GMEM_ACCESS_WAIT : 0);
	expect(chaos, "gmem_vm_read in a callback", rc, 0, -ENOENT, -EACCES, -EAGAIN, -EDEADLK);
	if (!rc)
		check_words(chaos, gpa, &word, 1);
	look(chaos);
	atomic_fetch_add(&chaos->callbacks, 1);
}

static void in_callback(struct chaos *chaos)
{
	if (chaos_self->in_callback || chaos_self->doing == DOING_ACCESS || pick(3))
		return;
	chaos_self->in_callback = true;
	call_back_in(chaos);
	chaos_self->in_callback = false;
}

static int decide(const struct gmem_report *so_far, void *opaque)
{
	static const int answers[] = { GMEM_RETRY_AGAIN, GMEM_RETRY_AGAIN, GMEM_RETRY_AGAIN,
				       GMEM_RETRY_SKIP,  GMEM_RETRY_STOP,  GMEM_RETRY_LATER };
	struct chaos *chaos = opaque;

	if (!chaos_self || atomic_load(&chaos->calm))
		return GMEM_RETRY_AGAIN;
	if (so_far->stage == GMEM_STAGE_DONE || so_far->error)
		blame(chaos, "a callback of an operation that has ended", so_far->stage);
	in_callback(chaos);
	/* What this thread has pinned goes on being pinned while it waits. */
	return answers[pick(6)];
}

static int pause_guest(void *opaque)
{
	struct chaos *chaos = opaque;

	if (!chaos_self)
		return 0;
	in_callback(chaos);
	return pick(6) ? 0 : -EBUSY;
}

static void resume_guest(void *opaque)
{
	if (chaos_self)
		in_callback(opaque);
}

static void *run_thread(void *opaque)
{
	struct chaos_thread *self = opaque;
	struct chaos *chaos = self->chaos;
	unsigned int i, which;

	chaos_self = self;
	pthread_barrier_wait(&chaos->start);
	for (i = 0; i < ROUNDS; i++) {
		which = (unsigned int)pick(CHAOS_OPERATIONS);
		if (operations[which](chaos))
			atomic_fetch_add_explicit(&chaos->done[which], 1, memory_order_relaxed);
	}
	for (i = 0; i < CHAOS_PINS; i++)
		unpin_one(chaos, i);
	/* Nobody is gone as long as somebody may send signals. */
	pthread_barrier_wait(&chaos->end);
	return NULL;
}

static void discard_message(uint32_t level, const char *text, void *opaque)
{
	struct chaos *chaos = opaque;

	if (level > GMEM_LOG_DEBUG || !text[0])
		blame(chaos, "a message without a level or a text", level);
}

static void make_kernel(struct chaos *chaos, const struct mode *mode)
{
	struct rig *rig = &chaos->rig;
	uint32_t contents = chaos->writes_private ? GMEM_SIM_CONTENTS_DESTROYED
						  : GMEM_SIM_CONTENTS_KEPT;
	unsigned int i;

	assert_int_equal(gmem_sim_new(mode->preset, &rig->sim), 0);
	if (mode->page_size)
		assert_int_equal(gmem_sim_set(rig->sim, GMEM_SIM_PAGE_SIZE, mode->page_size), 0);
	assert_int_equal(gmem_sim_set(rig->sim, GMEM_SIM_CONTENTS, contents), 0);
	if (mode->vm_type == GMEM_VM_TYPE_TDX)
		assert_int_equal(gmem_sim_set(rig->sim, GMEM_SIM_VM_TYPES,
					      1u << GMEM_VM_TYPE_DEFAULT | 1u << GMEM_VM_TYPE_TDX),
				 0);
	assert_int_equal(gmem_sim_get_kernel(rig->sim, &rig->kernel), 0);
	rig->vm_fd = gmem_sim_create_vm(rig->sim, mode->vm_type);
	assert_true(rig->vm_fd >= 0);
	for (i = 0; i < CHAOS_THREADS; i++) {
		struct chaos_thread *thread = &chaos->thread[i];

		thread->vcpu_fd = gmem_sim_create_vcpu(rig->sim, rig->vm_fd, &thread->kvm_run);
		assert_true(thread->vcpu_fd >= 0);
	}
	chaos->leaks = leaks_new(&rig->kernel);
	chaos->below = leaks_kernel(chaos->leaks);
	chaos->snapshot = leaks_take(chaos->leaks);
}

static void make_vm(struct chaos *chaos, uint64_t *seed)
{
	static const uint32_t gaps[] = { 0, GMEM_VM_GAPS_REFUSE, GMEM_VM_GAPS_SKIP };
	const struct gmem_kernel kernel = { chaos_call, chaos };
	struct gmem_vm_config *config;
	struct rig *rig = &chaos->rig;
	struct gmem_vm_info info;

	assert_int_equal(gmem_ctx_new(&rig->ctx), 0);
	gmem_ctx_set_log(rig->ctx, GMEM_LOG_DEBUG, discard_message, chaos, NULL);
	gmem_ctx_set_kernel(rig->ctx, &kernel);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	/* A type that says contents are kept lets ROLLBACK do its work; another refuses it. */
	gmem_vm_config_set_type(config, rig->mode->vm_type);
	gmem_vm_config_set_flags(config, gaps[random_below(seed, 3)]);
	gmem_vm_config_set_pause(config, pause_guest, resume_guest, chaos, NULL);
	gmem_vm_config_set_retry(config, UINT64_MAX, decide, chaos, NULL);
	assert_int_equal(gmem_vm_new(rig->ctx, rig->vm_fd, config, &rig->vm), 0);
	gmem_vm_config_free(config);
	assert_int_equal(gmem_vm_get_info(rig->vm, &info), 0);
	assert_int_equal(info.tracking, rig->mode->tracking);
	rig->page = info.page_size;
}

static void make_memory(struct chaos *chaos, uint64_t *seed)
{
	struct gmem_region_config *config;
	unsigned int i;

	/* Some sections begin in one count of claims and end in the next. */
	chaos->base = ((1 + random_below(seed, 100)) << 21) - 20 * chaos->rig.page;
	rig_region(&chaos->rig, 40);
	rig_region_in_state(&chaos->rig, 32, random_below(seed, 2) ? GMEM_PRIVATE : GMEM_SHARED);
	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	assert_int_equal(gmem_region_new(chaos->rig.vm, 8 * chaos->rig.page, config, &chaos->plain),
			 0);
	gmem_region_config_free(config);
	for (i = 0; i < WINDOWS; i++)
		assert_int_equal(map_window(chaos, i), 0);
}

static void begin(struct chaos *chaos, const struct mode *mode, uint64_t seed)
{
	unsigned int i;

	memset(chaos, 0, sizeof(*chaos));
	chaos->rig.mode = mode;
	chaos->writes_private = mode->vm_type != GMEM_VM_TYPE_SW_PROTECTED;
	make_kernel(chaos, mode);
	make_vm(chaos, &seed);
	make_memory(chaos, &seed);
	pthread_mutex_init(&chaos->lock, NULL);
	pthread_barrier_init(&chaos->start, NULL, CHAOS_THREADS);
	pthread_barrier_init(&chaos->end, NULL, CHAOS_THREADS);
	for (i = 0; i < CHAOS_THREADS; i++) {
		chaos->thread[i].chaos = chaos;
		chaos->thread[i].index = i;
		chaos->thread[i].seed = random_next(&seed);
	}
}

static void let_loose(struct chaos *chaos)
{
	pthread_attr_t attributes;
	unsigned int i;

	pthread_attr_init(&attributes);
	for (i = 0; i < CHAOS_THREADS; i++)
		assert_int_equal(pthread_create(&chaos->thread[i].handle, &attributes, run_thread,
						&chaos->thread[i]),
				 0);
	for (i = 0; i < CHAOS_THREADS; i++)
		pthread_join(chaos->thread[i].handle, NULL);
	pthread_attr_destroy(&attributes);
	atomic_store(&chaos->calm, true);
}

static void check_nothing_is_at_work(const struct chaos *chaos)
{
	const struct gmem_vm *vm = vm_of(chaos);
	unsigned int i;

	assert_null(vm->claims.oldest);
	assert_null(vm->claims.newest);
	assert_int_equal(vm->claims.waiting, 0);
	for (i = 0; i < CLAIM_COUNTS; i++)
		assert_int_equal(vm->claims.counts[i], 0);
	for (i = 0; i < vm->pins.groups; i++)
		assert_int_equal(vm->pins.memory->groups[i].taken, 0);
}

/* All of it can still be converted, both ways. */
static void convert_all(struct chaos *chaos, uint32_t to)
{
	uint64_t page = chaos->rig.page, gpa, size;
	struct gmem_report report;
	unsigned int i;

	for (i = 0; i < WINDOWS; i++) {
		gpa = chaos->base + windows[i].page * page;
		size = windows[i].pages * page;
		if (windows[i].region == 2)
			continue;
		assert_int_equal(gmem_vm_convert(vm_of(chaos), gpa, size, to, 0, &report), 0);
		assert_int_equal(gmem_vm_get_state(vm_of(chaos), gpa, size), to);
	}
	rig_compare(&chaos->rig);
}

static void close_through(struct chaos *chaos, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };

	assert_int_equal(chaos->rig.kernel.call(GMEM_SYS_CLOSE, arg, chaos->rig.kernel.opaque), 0);
}

static void end(struct chaos *chaos)
{
	unsigned int i;

	gmem_region_free(chaos->plain);
	for (i = 0; i < chaos->rig.regions; i++)
		gmem_region_free(chaos->rig.region[i]);
	gmem_vm_free(chaos->rig.vm);
	gmem_ctx_free(chaos->rig.ctx);
	assert_no_leaks(chaos->leaks, chaos->snapshot);
	assert_int_equal(leaks_mapped(chaos->leaks), 0);
	leaks_free(chaos->leaks);
	for (i = 0; i < CHAOS_THREADS; i++)
		close_through(chaos, chaos->thread[i].vcpu_fd);
	close_through(chaos, chaos->rig.vm_fd);
	gmem_sim_free(chaos->rig.sim);
	pthread_barrier_destroy(&chaos->start);
	pthread_barrier_destroy(&chaos->end);
	pthread_mutex_destroy(&chaos->lock);
}

static void judge(struct chaos *chaos, uint64_t seed)
{
	unsigned int i;

	if (chaos->wrong[0])
		fail_msg("%s, run of seed %#llx: %s", chaos->rig.mode->name,
			 (unsigned long long)seed, chaos->wrong);
	check_nothing_is_at_work(chaos);
	rig_compare(&chaos->rig);
	for (i = 0; i < WINDOWS; i++) {
		int rc = map_window(chaos, i);

		assert_true(!rc || rc == -EEXIST);
	}
	rig_compare(&chaos->rig);
	convert_all(chaos, GMEM_SHARED);
	convert_all(chaos, GMEM_PRIVATE);
	convert_all(chaos, GMEM_SHARED);
}

static uint64_t first_seed;
static unsigned int runs = RUNS;

static unsigned int modes_count(void)
{
	unsigned int count = 0;

	while (modes[count].name)
		count++;
	return count;
}

static void ends_in_order(void **state)
{
	const struct mode *mode = *state;
	unsigned int index = (unsigned int)(mode - modes), count = modes_count(), run, i;
	unsigned int done[CHAOS_OPERATIONS] = { 0 }, callbacks = 0;
	struct chaos chaos;

	for (run = index; run < runs; run += count) {
		/* Multiplied: neighbouring seeds begin alike. */
		uint64_t seed = (first_seed + run) * UINT64_C(0x9e3779b97f4a7c15);

		begin(&chaos, mode, seed ? seed : 1);
		let_loose(&chaos);
		judge(&chaos, first_seed + run);
		for (i = 0; i < CHAOS_OPERATIONS; i++)
			done[i] += chaos.done[i];
		callbacks += chaos.callbacks;
		end(&chaos);
	}
	/* In many runs each kind of operation succeeds, and some have had to wait. */
	for (i = 0; i < CHAOS_OPERATIONS && runs >= 40 * count; i++)
		assert_true(done[i]);
	assert_true(callbacks || runs < 40 * count);
}

static void ignore(int number)
{
	(void)number;
}

int main(void)
{
	static const struct rig_case cases[] = { RIG_CASE(ends_in_order, IN_ALL_MODES) };
	/* Not restarted: it is to end waits. */
	const struct sigaction action = { .sa_handler = ignore };
	const char *given = getenv("GMEM_TEST_RUNS");

	sigaction(SIGUSR1, &action, NULL);
	if (given)
		runs = (unsigned int)strtoul(given, NULL, 0);
	first_seed = random_seed("chaos");
	return rig_run("chaos", cases, sizeof(cases) / sizeof(cases[0]));
}
