// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Operations that meet: on one page, on neighbouring ones, with the guest and with the layout. A
 * thread is held where it is to be met by a retry callback, and others are known to wait from what
 * the VM counts; nothing here depends on time.
 */
#include "rig.h"

#include "libgmem/vm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 16u /* guest page of the first section */
#define PAGES 64u

/* How often threads meet by chance; less where each time takes long. */
static unsigned int rounds = 400;

/* What a thread's callback does; none: it says to go on. */
struct post {
	int (*ask)(struct post *post, const struct gmem_report *so_far);
	struct rig *rig;
	atomic_bool reached;
	atomic_bool open;
	atomic_uint asked;
	int answer;
	struct gmem_report so_far; /* when it was reached */
	struct gmem_pin pin;
};

static _Thread_local struct post *my_post;

static int ask(const struct gmem_report *so_far, void *opaque)
{
	(void)opaque;
	return my_post ? my_post->ask(my_post, so_far) : GMEM_RETRY_AGAIN;
}

static int stand_still(struct post *post, const struct gmem_report *so_far)
{
	if (!atomic_load(&post->reached))
		post->so_far = *so_far;
	atomic_store(&post->reached, true);
	while (!atomic_load(&post->open))
		sched_yield();
	return post->answer;
}

static int answer_only(struct post *post, const struct gmem_report *so_far)
{
	post->so_far = *so_far;
	atomic_fetch_add(&post->asked, 1);
	return post->answer;
}

/* One operation on a thread of its own. */
struct actor {
	struct rig *rig;
	struct post post;
	int (*act)(struct actor *actor);
	uint64_t page;
	uint64_t pages;
	uint32_t to;
	pthread_t handle;
	struct gmem_report report;
	int result;
	atomic_bool done;
};

static void *run_actor(void *opaque)
{
	struct actor *actor = opaque;

	my_post = actor->post.ask ? &actor->post : NULL;
	actor->result = actor->act(actor);
	atomic_store(&actor->done, true);
	return NULL;
}

static void start(struct actor *actor)
{
	actor->post.rig = actor->rig;
	assert_int_equal(pthread_create(&actor->handle, NULL, run_actor, actor), 0);
}

static int finish(struct actor *actor)
{
	pthread_join(actor->handle, NULL);
	return actor->result;
}

static int act_convert(struct actor *actor)
{
	return rig_convert(actor->rig, actor->page, actor->pages, actor->to, 0, &actor->report);
}

static int act_unmap(struct actor *actor)
{
	return gmem_vm_unmap(actor->rig->vm, actor->page * actor->rig->page,
			     actor->pages * actor->rig->page);
}

static int act_read(struct actor *actor)
{
	uint64_t word;

	return gmem_vm_read(actor->rig->vm, actor->page * actor->rig->page, &word, sizeof(word),
			    GMEM_ACCESS_WAIT);
}

static void open_rig(struct rig *rig, const struct mode *mode)
{
	struct gmem_vm_config *config;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_retry(config, UINT64_MAX, ask, NULL, NULL);
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	rig_region(rig, PAGES);
	rig_map(rig, FIRST, rig->region[0], 0, PAGES);
}

/* Until so many sleep, or stand in a callback of a wait. */
static void wait_for_waiting(struct rig *rig, uint32_t count)
{
	while (atomic_load(&rig->vm->claims.waiting) < count)
		sched_yield();
}

/* A conversion of pages of which the first is pinned, held in its callback. */
struct held {
	struct actor actor;
	struct gmem_pin pin;
};

static void hold(struct held *held, struct rig *rig, uint64_t page, uint64_t pages)
{
	memset(held, 0, sizeof(*held));
	assert_int_equal(gmem_vm_pin(rig->vm, page * rig->page, 1, 0, &held->pin), 0);
	held->actor.rig = rig;
	held->actor.act = act_convert;
	held->actor.page = page;
	held->actor.pages = pages;
	held->actor.to = GMEM_PRIVATE;
	held->actor.post.ask = stand_still;
	held->actor.post.answer = GMEM_RETRY_AGAIN;
	start(&held->actor);
	while (!atomic_load(&held->actor.post.reached))
		sched_yield();
	assert_int_equal(held->actor.post.so_far.gpa, page * rig->page);
}

static void let_go(struct held *held)
{
	gmem_vm_unpin(held->actor.rig->vm, &held->pin);
	atomic_store(&held->actor.post.open, true);
	assert_int_equal(finish(&held->actor), 0);
	assert_int_equal(held->actor.report.converted, held->actor.pages * held->actor.rig->page);
}

static void those_of_one_page_take_turns(void **state)
{
	struct actor second = {
		.act = act_convert, .page = FIRST + 5, .pages = 2, .to = GMEM_SHARED
	};
	struct gmem_report report;
	struct held held;
	struct rig rig;

	open_rig(&rig, *state);
	second.rig = &rig;
	hold(&held, &rig, FIRST + 4, 2);
	assert_int_equal(rig_convert(&rig, FIRST + 5, 1, GMEM_SHARED, GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	assert_int_equal(report.stage, GMEM_STAGE_PREPARE);
	assert_int_equal(report.ioctls, 0);
	start(&second);
	wait_for_waiting(&rig, 2);
	assert_false(atomic_load(&second.done));
	let_go(&held);
	assert_int_equal(finish(&second), 0);
	/* It came second, and found what the first had left. */
	assert_int_equal(second.report.converted, rig.page);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 4) * rig.page, rig.page), GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 5) * rig.page, rig.page), GMEM_SHARED);
	rig_compare(&rig);
	rig_close(&rig);
}

static void those_of_other_pages_run_meanwhile(void **state)
{
	struct gmem_range around[2];
	struct gmem_report report;
	struct held held;
	uint64_t word;
	struct rig rig;

	open_rig(&rig, *state);
	rig_region(&rig, 8);
	hold(&held, &rig, FIRST + 4, 1);
	around[0] = (struct gmem_range){ (FIRST + 3) * rig.page, rig.page };
	around[1] = (struct gmem_range){ (FIRST + 5) * rig.page, rig.page };
	assert_int_equal(gmem_vm_convert_ranges(rig.vm, around, 2, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(report.converted, 2 * rig.page);
	assert_int_equal(rig_convert(&rig, FIRST + 5, 1, GMEM_SHARED, 0, &report), 0);
	rig_map(&rig, 2 * PAGES, rig.region[1], 0, 8);
	assert_int_equal(rig_convert(&rig, 2 * PAGES, 8, GMEM_PRIVATE, 0, &report), 0);
	assert_int_equal(gmem_vm_unmap(rig.vm, 2 * PAGES * rig.page, 8 * rig.page), 0);
	assert_int_equal(gmem_vm_read(rig.vm, (FIRST + 5) * rig.page, &word, 8, GMEM_ACCESS_WAIT),
			 0);
	assert_int_equal(gmem_vm_read(rig.vm, (FIRST + 4) * rig.page, &word, 8, 0), -EAGAIN);
	assert_false(atomic_load(&held.actor.done));
	let_go(&held);
	rig_compare(&rig);
	rig_close(&rig);
}

static void who_waits_goes_before_who_comes_later(void **state)
{
	struct actor waits = {
		.act = act_convert, .page = FIRST + 4, .pages = 2, .to = GMEM_PRIVATE
	};
	struct gmem_report report;
	struct held held;
	struct rig rig;

	open_rig(&rig, *state);
	waits.rig = &rig;
	waits.post.ask = answer_only;
	waits.post.answer = GMEM_RETRY_LATER;
	hold(&held, &rig, FIRST + 4, 1);
	start(&waits);
	wait_for_waiting(&rig, 2);
	/* Nobody is at work on this page, but somebody came first. */
	assert_int_equal(rig_convert(&rig, FIRST + 5, 1, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
				     &report),
			 -EAGAIN);
	assert_int_equal(report.stage, GMEM_STAGE_PREPARE);
	/* Only a signal has it asked; one that comes before it sleeps does nothing. */
	assert_int_equal(atomic_load(&waits.post.asked), 0);
	while (!atomic_load(&waits.done)) {
		pthread_kill(waits.handle, SIGUSR1);
		sched_yield();
	}
	assert_int_equal(finish(&waits), -EAGAIN);
	assert_int_equal(waits.report.stage, GMEM_STAGE_PREPARE);
	assert_int_equal(waits.report.gpa, (FIRST + 4) * rig.page);
	assert_int_equal(waits.post.asked, 1);
	assert_int_equal(
		rig_convert(&rig, FIRST + 5, 1, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, &report), 0);
	let_go(&held);
	rig_compare(&rig);
	rig_close(&rig);
}

static void a_signal_ends_the_wait_of_a_copy(void **state)
{
	struct actor reads = { .act = act_read, .page = FIRST + 4 };
	struct held held;
	struct rig rig;

	open_rig(&rig, *state);
	reads.rig = &rig;
	reads.post.ask = answer_only;
	reads.post.answer = GMEM_RETRY_STOP;
	hold(&held, &rig, FIRST + 4, 1);
	start(&reads);
	wait_for_waiting(&rig, 2);
	while (!atomic_load(&reads.done)) {
		pthread_kill(reads.handle, SIGUSR1);
		sched_yield();
	}
	assert_int_equal(finish(&reads), -EAGAIN);
	assert_int_equal(reads.post.asked, 1);
	assert_int_equal(reads.post.so_far.gpa, (FIRST + 4) * rig.page);
	let_go(&held);
	rig_close(&rig);
}

static void a_copy_that_waits_sees_the_end(void **state)
{
	struct actor reads = { .act = act_read, .page = FIRST + 4 };
	struct held held;
	struct rig rig;

	open_rig(&rig, *state);
	reads.rig = &rig;
	hold(&held, &rig, FIRST + 4, 1);
	start(&reads);
	wait_for_waiting(&rig, 2);
	let_go(&held);
	assert_int_equal(finish(&reads), -EACCES);
	rig_close(&rig);
}

static int unpin_and_go_on(struct post *post, const struct gmem_report *so_far)
{
	post->so_far = *so_far;
	atomic_fetch_add(&post->asked, 1);
	gmem_vm_unpin(post->rig->vm, &post->pin);
	return GMEM_RETRY_AGAIN;
}

static void unmapping_waits_for_pins(void **state)
{
	struct post post = { .ask = answer_only, .answer = GMEM_RETRY_STOP };
	struct rig rig;
	uint64_t word;

	open_rig(&rig, *state);
	post.rig = &rig;
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 9) * rig.page + 5, 2, 0, &post.pin), 0);
	my_post = &post;
	assert_int_equal(gmem_vm_unmap(rig.vm, FIRST * rig.page, PAGES * rig.page), -EAGAIN);
	assert_int_equal(post.so_far.gpa, (FIRST + 9) * rig.page);
	assert_int_equal(gmem_vm_read(rig.vm, FIRST * rig.page, &word, sizeof(word), 0), 0);
	post.ask = unpin_and_go_on;
	assert_int_equal(gmem_vm_unmap(rig.vm, FIRST * rig.page, PAGES * rig.page), 0);
	my_post = NULL;
	assert_int_equal(post.asked, 2);
	assert_int_equal(gmem_vm_read(rig.vm, FIRST * rig.page, &word, sizeof(word), 0), -ENOENT);
	rig_close(&rig);
}

static void unmapping_waits_for_a_conversion(void **state)
{
	struct actor unmaps = { .act = act_unmap, .page = FIRST, .pages = PAGES };
	struct held held;
	struct rig rig;

	open_rig(&rig, *state);
	unmaps.rig = &rig;
	hold(&held, &rig, FIRST + 4, 3);
	start(&unmaps);
	wait_for_waiting(&rig, 2);
	/* It is there to the last. */
	assert_int_equal(gmem_vm_get_state(rig.vm, FIRST * rig.page, rig.page), GMEM_SHARED);
	let_go(&held);
	assert_int_equal(finish(&unmaps), 0);
	assert_int_equal(gmem_vm_get_state(rig.vm, FIRST * rig.page, rig.page), GMEM_HOLE);
	rig_map(&rig, FIRST, rig.region[0], 0, PAGES);
	assert_int_equal(gmem_vm_get_state(rig.vm, (FIRST + 6) * rig.page, rig.page), GMEM_PRIVATE);
	rig_compare(&rig);
	rig_close(&rig);
}

/* What would wait for the operation that the callback is of. */
static int call_back(struct post *post, const struct gmem_report *so_far)
{
	struct rig *rig = post->rig;
	struct gmem_report report;
	struct gmem_range range = { (FIRST + 20) * rig->page, rig->page };
	struct gmem_change *change;
	struct gmem_pin pin;
	uint64_t word;

	(void)so_far;
	assert_int_equal(rig_convert(rig, FIRST + 4, 1, GMEM_SHARED, 0, &report), -EDEADLK);
	assert_int_equal(report.error, -EDEADLK);
	assert_int_equal(rig_convert(rig, FIRST + 20, 1, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT, NULL),
			 -EDEADLK);
	assert_int_equal(gmem_vm_convert_ranges(rig->vm, &range, 1, GMEM_PRIVATE, 0, NULL),
			 -EDEADLK);
	assert_int_equal(gmem_vm_unmap(rig->vm, FIRST * rig->page, PAGES * rig->page), -EDEADLK);
	assert_int_equal(gmem_vm_map(rig->vm, 4 * PAGES * rig->page, NULL, 0, rig->page,
				     GMEM_SLOT_NONE, 0),
			 -EDEADLK);
	assert_int_equal(gmem_change_new(rig->vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, FIRST * rig->page, PAGES * rig->page), 0);
	assert_int_equal(gmem_change_commit(change), -EDEADLK);
	gmem_change_free(change);
	assert_int_equal(gmem_vm_read(rig->vm, (FIRST + 20) * rig->page, &word, 8, 0),
			 post->answer == GMEM_RETRY_STOP ? 0 : -EAGAIN);
	assert_int_equal(gmem_vm_pin(rig->vm, (FIRST + 4) * rig->page, 1, 0, &pin), -EAGAIN);
	assert_int_equal(gmem_vm_pin(rig->vm, (FIRST + 4) * rig->page, 1, GMEM_ACCESS_WAIT, &pin),
			 -EDEADLK);
	atomic_fetch_add(&post->asked, 1);
	return GMEM_RETRY_STOP;
}

static void callbacks_cannot_wait_for_themselves(void **state)
{
	/* The answer says whether page 20 is free. */
	struct post post = { .ask = call_back, .answer = GMEM_RETRY_STOP };
	struct gmem_pin pin;
	struct rig rig;

	open_rig(&rig, *state);
	post.rig = &rig;
	assert_int_equal(gmem_vm_pin(rig.vm, (FIRST + 4) * rig.page, 1, 0, &pin), 0);
	my_post = &post;
	assert_int_equal(rig_convert(&rig, FIRST + 4, 1, GMEM_PRIVATE, 0, NULL), -EAGAIN);
	assert_int_equal(post.asked, 1);
	post.answer = GMEM_RETRY_LATER;
	assert_int_equal(gmem_vm_unmap(rig.vm, FIRST * rig.page, PAGES * rig.page), -EAGAIN);
	assert_int_equal(post.asked, 2);
	my_post = NULL;
	gmem_vm_unpin(rig.vm, &pin);
	assert_int_equal(rig_convert(&rig, FIRST + 4, 1, GMEM_PRIVATE, 0, NULL), 0);
	rig_compare(&rig);
	rig_close(&rig);
}

/* A change of aliases alone, of which no conversion or pin has an address. */
struct pause {
	struct rig rig;
	struct actor unmaps;
	unsigned int calls;
};

/* Somebody has claimed the section, and waits for the change to end. */
static int call_back_from_pause(void *opaque)
{
	struct pause *pause = opaque;
	struct rig *rig = &pause->rig;
	struct gmem_pin pin;
	uint64_t page = rig->page;

	/* The pause of those that map nothing but the first section. */
	if (pause->calls++)
		return 0;
	start(&pause->unmaps);
	while (!atomic_load(&rig->vm->claims.counts[0]))
		sched_yield();
	assert_int_equal(rig_convert(rig, FIRST, 1, GMEM_SHARED, 0, NULL), -EDEADLK);
	assert_int_equal(gmem_vm_unmap(rig->vm, FIRST * page, PAGES * page), -EDEADLK);
	assert_int_equal(gmem_vm_pin(rig->vm, FIRST * page, 1, GMEM_ACCESS_WAIT, &pin), -EDEADLK);
	assert_int_equal(gmem_vm_pin(rig->vm, FIRST * page, 1, 0, &pin), -EAGAIN);
	return 0;
}

static void ignore_resume(void *opaque)
{
	(void)opaque;
}

static void pausing_cannot_wait_for_itself(void **state)
{
	/* VMs with private memory have one address space only. */
	static const struct mode mode = { .name = "default",
					  .preset = GMEM_SIM_LINUX_6_18,
					  .vm_type = GMEM_VM_TYPE_DEFAULT,
					  .backing = GMEM_BACKING_PLAIN,
					  .tracking = GMEM_TRACKING_NONE };
	struct pause pause = { .unmaps = { .act = act_unmap, .page = FIRST, .pages = PAGES } };
	struct gmem_vm_config *config;
	struct gmem_change *change;
	struct rig *rig = &pause.rig;
	uint64_t i;

	(void)state;
	pause.unmaps.rig = rig;
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode.vm_type);
	gmem_vm_config_set_pause(config, call_back_from_pause, ignore_resume, &pause, NULL);
	rig_open_with(rig, &mode, config);
	gmem_vm_config_free(config);
	rig_region(rig, PAGES);
	rig_map(rig, FIRST, rig->region[0], 0, PAGES);
	assert_int_equal(gmem_change_new(rig->vm, &change), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(gmem_change_map_alias(change, 1, i * rig->page, rig->region[0],
						       i * rig->page, rig->page, GMEM_SLOT_AUTO, 0),
				 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	assert_int_equal(pause.calls, 1);
	assert_int_equal(finish(&pause.unmaps), 0);
	rig_close(rig);
}

/* Two that convert the same pages back and forth, and count what they changed. */
struct toggler {
	struct rig *rig;
	uint32_t to;
	int64_t changed; /* bytes made private, less those made shared */
	bool failed;
};

static void *toggle(void *opaque)
{
	struct toggler *toggler = opaque;
	struct gmem_report report;
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		uint32_t to = (toggler->to + i) % 2 ? GMEM_PRIVATE : GMEM_SHARED;

		toggler->failed |= rig_convert(toggler->rig, FIRST + i % 2, 2, to, 0, &report) != 0;
		toggler->changed += to == GMEM_PRIVATE ? (int64_t)report.converted
						       : -(int64_t)report.converted;
	}
	return NULL;
}

static void counts_of_racing_conversions_add_up(void **state)
{
	struct toggler togglers[3] = { { .to = 0 }, { .to = 1 }, { .to = 0 } };
	pthread_t threads[3];
	int64_t changed = 0;
	struct rig rig;
	int i;

	open_rig(&rig, *state);
	for (i = 0; i < 3; i++) {
		togglers[i].rig = &rig;
		assert_int_equal(pthread_create(&threads[i], NULL, toggle, &togglers[i]), 0);
	}
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_false(togglers[i].failed);
		changed += togglers[i].changed;
	}
	for (i = 0; i < 3; i++) {
		if (gmem_vm_get_state(rig.vm, (FIRST + (unsigned int)i) * rig.page, rig.page) ==
		    GMEM_PRIVATE)
			changed -= (int64_t)rig.page;
	}
	assert_int_equal(changed, 0);
	rig_compare(&rig);
	rig_close(&rig);
}

/* A guest that toggles a page, and a device that copies from it. */

#define SHARED_WORD UINT64_C(0x5ba2ed0000000000)
#define PRIVATE_WORD UINT64_C(0x9121fa7e00000000)
#define WORD_MARK UINT64_C(0xffffffff00000000)
#define TOUCHED_WORDS 64u

struct device {
	struct rig *rig;
	uint64_t gpa; /* its last words are on the page before */
	bool destroys;
	atomic_bool done;
	atomic_uint copied;
	atomic_uint refused;
	atomic_uint wrong;
};

static void check_device_words(struct device *device, const volatile uint64_t *words)
{
	unsigned int i;

	for (i = 0; i < TOUCHED_WORDS; i++) {
		uint64_t word = words[i];

		if ((word & WORD_MARK) == PRIVATE_WORD ||
		    (!device->destroys && word && (word & WORD_MARK) != (SHARED_WORD & WORD_MARK)))
			atomic_fetch_add(&device->wrong, 1);
	}
}

static void note_result(struct device *device, int rc)
{
	if (!rc)
		atomic_fetch_add(&device->copied, 1);
	else if (rc == -EACCES || rc == -EAGAIN)
		atomic_fetch_add(&device->refused, 1);
	else
		atomic_fetch_add(&device->wrong, 1);
}

static void *run_device(void *opaque)
{
	static const uint32_t flags[] = { 0, GMEM_ACCESS_WAIT, GMEM_ACCESS_CHECKED };
	struct device *device = opaque;
	struct gmem_vm *vm = device->rig->vm;
	uint64_t words[TOUCHED_WORDS];
	struct gmem_pin pin;
	unsigned int i;
	int rc;

	for (i = 0; !atomic_load(&device->done); i++) {
		rc = gmem_vm_read(vm, device->gpa, words, sizeof(words), flags[i % 3]);
		if (!rc)
			check_device_words(device, words);
		note_result(device, rc);
		rc = gmem_vm_pin(vm, device->gpa, sizeof(words), flags[i % 2], &pin);
		if (!rc)
			check_device_words(device, pin.host);
		note_result(device, rc);
		gmem_vm_unpin(vm, &pin);
	}
	return NULL;
}

static void guest_writes(struct device *device, uint64_t word, uint32_t flags)
{
	struct rig *rig = device->rig;
	uint64_t words[TOUCHED_WORDS / 2];
	unsigned int i;

	/* Of the device's range only the second page is toggled. */
	for (i = 0; i < TOUCHED_WORDS / 2; i++)
		words[i] = word + i;
	assert_int_equal(gmem_sim_guest_access(rig->sim, rig->vcpu_fd, device->gpa + sizeof(words),
					       words, sizeof(words), GMEM_SIM_WRITE | flags),
			 0);
}

static void wait_to_pass(atomic_uint *count)
{
	unsigned int before = atomic_load(count);

	while (atomic_load(count) == before)
		sched_yield();
}

static void toggle_once(struct device *device, unsigned int round)
{
	struct rig *rig = device->rig;
	bool in_place = rig->mode->backing == GMEM_BACKING_GUEST_MEMFD;
	uint32_t private = rig->mode->vm_type == GMEM_VM_TYPE_SW_PROTECTED ? 0 : GMEM_SIM_PRIVATE;
	uint64_t page = FIRST + 1;

	guest_writes(device, SHARED_WORD, 0);
	if (round % 8 == 0)
		wait_to_pass(&device->copied);
	assert_int_equal(rig_convert(rig, page, 1, GMEM_PRIVATE, 0, NULL), 0);
	guest_writes(device, PRIVATE_WORD, private);
	if (round % 8 == 0)
		wait_to_pass(&device->refused);
	/* What it keeps there would be seen. */
	if (in_place && !device->destroys)
		guest_writes(device, SHARED_WORD, private);
	assert_int_equal(rig_convert(rig, page, 1, GMEM_SHARED, 0, NULL), 0);
}

static void a_device_never_sees_private_data(void **state)
{
	const struct mode *mode = *state;
	struct device device = { .gpa = 0 };
	pthread_t thread;
	unsigned int i;
	struct rig rig;

	open_rig(&rig, mode);
	device.rig = &rig;
	device.gpa = (FIRST + 1) * rig.page - TOUCHED_WORDS / 2 * sizeof(uint64_t);
	device.destroys = mode->backing == GMEM_BACKING_GUEST_MEMFD &&
			  mode->vm_type != GMEM_VM_TYPE_SW_PROTECTED;
	if (mode->vm_type == GMEM_VM_TYPE_TDX)
		assert_int_equal(gmem_sim_finish_launch(rig.sim, rig.vm_fd), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_device, &device), 0);
	for (i = 0; i < rounds; i++)
		toggle_once(&device, i);
	atomic_store(&device.done, true);
	pthread_join(thread, NULL);
	assert_int_equal(device.wrong, 0);
	rig_compare(&rig);
	rig_close(&rig);
}

/* Sections that come and go under a reader. */
struct reader {
	struct rig *rig;
	atomic_bool done;
	atomic_uint copied;
	atomic_uint refused;
	atomic_uint wrong;
};

static void *run_reader(void *opaque)
{
	struct reader *reader = opaque;
	struct gmem_vm *vm = reader->rig->vm;
	uint64_t gpa = (FIRST + PAGES) * reader->rig->page - 8, words[2];
	unsigned int i;
	int rc;

	for (i = 0; !atomic_load(&reader->done); i++) {
		rc = gmem_vm_read(vm, gpa, words, sizeof(words), i % 2 ? GMEM_ACCESS_WAIT : 0);
		if (!rc) {
			atomic_fetch_add(&reader->copied, 1);
			if (words[0] != SHARED_WORD || words[1] != SHARED_WORD + 1)
				atomic_fetch_add(&reader->wrong, 1);
		} else if (rc == -ENOENT || (rc == -EAGAIN && i % 2 == 0)) {
			atomic_fetch_add(&reader->refused, 1);
		} else {
			atomic_fetch_add(&reader->wrong, 1);
		}
	}
	return NULL;
}

static void copies_survive_unmapping(void **state)
{
	const uint64_t words[2] = { SHARED_WORD, SHARED_WORD + 1 };
	struct reader reader = { .rig = NULL };
	uint64_t gpa, size;
	pthread_t thread;
	unsigned int i;
	struct rig rig;

	open_rig(&rig, *state);
	rig_region(&rig, 8);
	rig_map(&rig, FIRST + PAGES, rig.region[1], 0, 8);
	gpa = (FIRST + PAGES) * rig.page;
	size = 8 * rig.page;
	assert_int_equal(gmem_vm_write(rig.vm, gpa - 8, words, sizeof(words), 0), 0);
	reader.rig = &rig;
	assert_int_equal(pthread_create(&thread, NULL, run_reader, &reader), 0);
	for (i = 0; i < rounds; i++) {
		if (i % 8 == 0)
			wait_to_pass(&reader.copied);
		assert_int_equal(gmem_vm_unmap(rig.vm, gpa, size), 0);
		if (i % 8 == 0)
			wait_to_pass(&reader.refused);
		rig_map(&rig, FIRST + PAGES, rig.region[1], 0, 8);
	}
	atomic_store(&reader.done, true);
	pthread_join(thread, NULL);
	assert_int_equal(reader.wrong, 0);
	rig_close(&rig);
}

static void ignore(int number)
{
	(void)number;
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(those_of_one_page_take_turns, IN_ALL_MODES),
		RIG_CASE(those_of_other_pages_run_meanwhile, IN_ALL_MODES),
		RIG_CASE(who_waits_goes_before_who_comes_later, IN_ALL_MODES),
		RIG_CASE(a_signal_ends_the_wait_of_a_copy, IN_ALL_MODES),
		RIG_CASE(a_copy_that_waits_sees_the_end, IN_ALL_MODES),
		RIG_CASE(unmapping_waits_for_pins, IN_ALL_MODES),
		RIG_CASE(unmapping_waits_for_a_conversion, IN_ALL_MODES),
		RIG_CASE(callbacks_cannot_wait_for_themselves, IN_ALL_MODES),
		RIG_CASE(counts_of_racing_conversions_add_up, IN_ALL_MODES),
		RIG_CASE(a_device_never_sees_private_data, IN_ALL_MODES),
		RIG_CASE(copies_survive_unmapping, IN_ALL_MODES),
	};
	const struct CMUnitTest alias_tests[] = {
		cmocka_unit_test(pausing_cannot_wait_for_itself),
	};
	/* Not restarted: it is to end waits. */
	const struct sigaction action = { .sa_handler = ignore };

	sigaction(SIGUSR1, &action, NULL);
	if (getenv("GMEM_TEST_VALGRIND"))
		rounds /= 10;
	return rig_run("race", cases, sizeof(cases) / sizeof(cases[0])) |
	       cmocka_run_group_tests_name("race of aliases", alias_tests, NULL, NULL);
}
