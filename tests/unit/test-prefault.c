// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of gmem_region_prefault(): which pages are allocated on which side, what happens to calls
 * that are interrupted or overtaken by a conversion, and its threads.
 *
 * Linked with -Wl,--wrap=pthread_create, so that threads can be refused.
 */
#include "region.h"
#include "stage.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define KEEP_SIZE 1
#define PAGE UINT64_C(4096)
#define PAGES 64
#define SIZE (PAGES * PAGE)

/* Threads that may be started from now on; the others are refused. */
static atomic_uint threads_left;
static atomic_uint threads_started;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	if (!atomic_load(&threads_left))
		return EAGAIN;
	atomic_fetch_sub(&threads_left, 1);
	atomic_fetch_add(&threads_started, 1);
	return __real_pthread_create(thread, attributes, start, argument);
}

/* A door that looks at what prefaulting does, and can meddle with it. */
struct door {
	struct gmem_kernel below;
	struct gmem_region *region;
	pthread_t caller;
	pthread_mutex_t mutex;
	unsigned int populated[PAGES]; /* how often each page was, by calls that succeeded */
	unsigned int allocated[PAGES];
	unsigned int calls;
	unsigned int own_calls;    /* on the thread that called gmem_region_prefault() */
	unsigned int open_signals; /* calls on other threads with a signal not blocked */

	/* The next calls fail with this, so many of them. */
	int error;
	unsigned int errors;
	/* Before the populate that starts here fails with EFAULT, this page turns private. */
	uint64_t flip_at;
	uint64_t flip_page;
};

static bool is_open_to_signals(void)
{
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	return !sigismember(&now, SIGTERM) || !sigismember(&now, SIGUSR1) ||
	       !sigismember(&now, SIGINT);
}

static void count_pages(unsigned int *pages, uint64_t offset, uint64_t size)
{
	uint64_t page;

	for (page = offset / PAGE; page < (offset + size) / PAGE; page++)
		pages[page]++;
}

/* 0, or the error that the call has to end with; the mutex is held. */
static int meddle(struct door *door, bool populate, uint64_t offset)
{
	if (door->errors) {
		door->errors--;
		return door->error;
	}
	if (populate && door->flip_page && offset / PAGE == door->flip_at) {
		gmem_state_set(&door->region->shadow->state, door->flip_page, 1, true);
		door->flip_page = 0;
		return EFAULT;
	}
	return 0;
}

static int64_t door_prefault(struct door *door, uint32_t nr, const uint64_t *arg)
{
	bool populate = nr == GMEM_SYS_MADVISE;
	uint64_t host = (uintptr_t)door->region->host->host;
	uint64_t offset = populate ? arg[0] - host : arg[2];
	uint64_t size = populate ? arg[1] : arg[3];
	int64_t result;

	pthread_mutex_lock(&door->mutex);
	door->calls++;
	if (pthread_equal(pthread_self(), door->caller))
		door->own_calls++;
	else
		door->open_signals += is_open_to_signals();
	result = -meddle(door, populate, offset);
	pthread_mutex_unlock(&door->mutex);
	if (!result)
		result = door->below.call(nr, arg, door->below.opaque);
	if (result)
		return result;
	pthread_mutex_lock(&door->mutex);
	count_pages(populate ? door->populated : door->allocated, offset, size);
	pthread_mutex_unlock(&door->mutex);
	return 0;
}

static int64_t door_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct door *door = opaque;
	bool populate = nr == GMEM_SYS_MADVISE && (int)arg[2] == MADV_POPULATE_WRITE;

	if (!door->region || (!populate && nr != GMEM_SYS_FALLOCATE))
		return door->below.call(nr, arg, door->below.opaque);
	/* A guest_memfd takes no other mode (kernel fact F8). */
	if (nr == GMEM_SYS_FALLOCATE)
		assert_int_equal(arg[1], KEEP_SIZE);
	return door_prefault(door, nr, arg);
}

struct scene {
	struct stage stage;
	struct door door;
	struct gmem_region *region;
};

static void scene_open(struct scene *scene, const struct fake_kvm_config *config,
		       const struct wish *wish)
{
	struct gmem_kernel kernel = { door_call, &scene->door };
	struct stage *stage = &scene->stage;

	memset(&scene->door, 0, sizeof(scene->door));
	pthread_mutex_init(&scene->door.mutex, NULL);
	atomic_store(&threads_left, GMEM_PREFAULT_THREADS);
	atomic_store(&threads_started, 0);
	stage_open(stage, config);
	scene->door.below = stage->kernel;
	scene->door.caller = pthread_self();
	gmem_ctx_set_kernel(stage->ctx, &kernel);
	assert_int_equal(gmem_vm_new(stage->ctx, fake_kvm_vm_fd(stage->fake), NULL, &stage->vm), 0);
	scene->region = stage_region(stage, SIZE, wish);
	scene->door.region = scene->region;
}

static void scene_close(struct scene *scene)
{
	scene->door.region = NULL;
	gmem_region_free(scene->region);
	stage_close(&scene->stage);
	pthread_mutex_destroy(&scene->door.mutex);
}

/* Turns pages shared or private, in the shadow and where the kernel tracks each file there too. */
static void set_state(struct scene *scene, uint64_t page, uint64_t count, bool private)
{
	struct gmem_kvm_memory_attributes2 attributes = {
		.offset = page * PAGE,
		.size = count * PAGE,
		.attributes = private ? GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = {
		(uint64_t)scene->region->guest.fd,
		GMEM_KVM_SET_MEMORY_ATTRIBUTES2,
		(uintptr_t)&attributes,
	};
	struct gmem_kernel kernel = scene->stage.kernel;

	gmem_state_set(&scene->region->shadow->state, page, count, private);
	if (scene->region->config.backing == GMEM_BACKING_GUEST_MEMFD)
		assert_int_equal(kernel.call(GMEM_SYS_IOCTL, arg, kernel.opaque), 0);
}

/* Each page on the side that a map of 's' and 'p' says, once; '-' on neither. */
static void check_pages(const struct door *door, const char *map)
{
	size_t page;

	assert_int_equal(strlen(map), PAGES);
	for (page = 0; page < PAGES; page++) {
		assert_int_equal(door->populated[page], map[page] == 's');
		assert_int_equal(door->allocated[page], map[page] == 'p');
	}
}

#define S16 "ssssssssssssssss"
#define P16 "pppppppppppppppp"
#define N16 "----------------"
#define MIXED "spppppppppppppps" P16 S16 "spspspspspspspsp"

static void apply_map(struct scene *scene, const char *map)
{
	size_t page;

	for (page = 0; page < PAGES; page++)
		set_state(scene, page, 1, map[page] == 'p');
}

static unsigned int count_runs(const char *map)
{
	unsigned int runs = 1;

	for (; map[1]; map++)
		runs += map[0] != map[1];
	return runs;
}

static const struct fake_kvm_config *const with_private[] = {
	&fake_kvm_linux_6_8,
	&fake_kvm_linux_6_18_sw,
	&fake_kvm_in_place,
};

static void each_page_on_its_side(void **state)
{
	static const char *const maps[] = { S16 S16 S16 S16, P16 P16 P16 P16, MIXED };
	struct scene scene;
	size_t i, map;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(with_private); i++) {
		for (map = 0; map < ARRAY_SIZE(maps); map++) {
			scene_open(&scene, with_private[i], &(struct wish){ 0 });
			apply_map(&scene, maps[map]);
			assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), 0);
			check_pages(&scene.door, maps[map]);
			/* One call for each run of one state. */
			assert_int_equal(scene.door.calls, count_runs(maps[map]));
			scene_close(&scene);
		}
	}
}

static void a_part_is_a_part(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, &fake_kvm_in_place, &(struct wish){ 0 });
	apply_map(&scene, MIXED);
	assert_int_equal(gmem_region_prefault(scene.region, 14 * PAGE, 4 * PAGE, 1), 0);
	check_pages(&scene.door, "--------------pspp--------------" N16 N16);
	scene_close(&scene);
}

static void memory_is_there_afterwards(void **state)
{
	struct gmem_region_info info;
	struct scene scene;

	(void)state;
	scene_open(&scene, &fake_kvm_linux_6_8, &(struct wish){ 0 });
	set_state(&scene, 0, PAGES / 2, false);
	info = region_info(scene.region);
	assert_int_equal(fake_kvm_file_allocated(scene.stage.fake, info.fd), 0);
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), 0);
	assert_int_equal(fake_kvm_file_allocated(scene.stage.fake, info.fd), SIZE / 2);
	assert_int_equal(fake_kvm_file_allocated(scene.stage.fake, info.guest_memfd), SIZE / 2);
	scene_close(&scene);
}

static void contents_stay(void **state)
{
	struct scene scene;
	unsigned char *host;

	(void)state;
	scene_open(&scene, &fake_kvm_old, &(struct wish){ 0 });
	host = region_info(scene.region).host;
	memset(host + PAGE, 0x5a, PAGE);
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 2), 0);
	assert_int_equal(host[PAGE], 0x5a);
	assert_int_equal(host[2 * PAGE - 1], 0x5a);
	assert_int_equal(host[0] | host[2 * PAGE], 0);
	scene_close(&scene);
}

static void interrupted_calls_are_made_again(void **state)
{
	static const int errors[] = { EINTR, EAGAIN };
	struct scene scene;
	size_t i, side;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		for (side = 0; side < 2; side++) {
			scene_open(&scene, &fake_kvm_in_place, &(struct wish){ 0 });
			set_state(&scene, 0, PAGES, side);
			scene.door.error = errors[i];
			scene.door.errors = 5;
			assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), 0);
			assert_int_equal(scene.door.calls, 6);
			check_pages(&scene.door, side ? P16 P16 P16 P16 : S16 S16 S16 S16);
			scene_close(&scene);
		}
	}
}

/* The guest converts a page while its run is being populated. */
static void overtaken_by_a_conversion(void **state)
{
	static const struct {
		uint64_t page;
		const char *map;
	} flips[] = {
		{ 1, "spssssssssssssss" S16 S16 S16 },
		{ 40, S16 S16 "sssssssspsssssss" S16 },
		{ 63, S16 S16 S16 "sssssssssssssssp" },
	};
	struct scene scene;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(flips); i++) {
		scene_open(&scene, &fake_kvm_linux_6_8, &(struct wish){ 0 });
		set_state(&scene, 0, PAGES, false);
		scene.door.flip_page = flips[i].page;
		assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), 0);
		check_pages(&scene.door, flips[i].map);
		scene_close(&scene);
	}
}

/* What a failing call comes to. */
struct failure {
	const char *name;
	bool private;
	int kernel_error;
	int error;
	const char *words[4];
};

static const struct failure failures[] = {
	{ "gmem_region_prefault_ENOMEM_populate",
	  false,
	  ENOMEM,
	  -ENOMEM,
	  { "its memfd at offset 0 gives ENOMEM" } },
	{ "gmem_region_prefault_ENOMEM_populate_EFAULT",
	  false,
	  EFAULT,
	  -ENOMEM,
	  { "its memfd at offset 0 gives EFAULT" } },
	{ "gmem_region_prefault_EIO_poisoned",
	  false,
	  EHWPOISON,
	  -EIO,
	  { "its memfd at offset 0 gives EHWPOISON" } },
	{ "gmem_region_prefault_EOPNOTSUPP_no_MADV_POPULATE_WRITE",
	  false,
	  EINVAL,
	  -EOPNOTSUPP,
	  { "its memfd", "EINVAL", "MADV_POPULATE_WRITE takes Linux 5.14" } },
	{ "gmem_region_prefault_ENOMEM_fallocate",
	  true,
	  ENOMEM,
	  -ENOMEM,
	  { "its guest_memfd at offset 0 gives ENOMEM" } },
	{ "gmem_region_prefault_ENOMEM_fallocate_ENOSPC",
	  true,
	  ENOSPC,
	  -ENOMEM,
	  { "its guest_memfd at offset 0 gives ENOSPC" } },
	{ "gmem_region_prefault_EIO_fallocate",
	  true,
	  EOPNOTSUPP,
	  -EIO,
	  { "its guest_memfd at offset 0 gives EOPNOTSUPP" } },
	{ "gmem_region_prefault_EIO_fallocate_EINVAL",
	  true,
	  EINVAL,
	  -EIO,
	  { "its guest_memfd at offset 0 gives EINVAL" } },
};

static void failure_is_told(void **state)
{
	const struct failure *failure = *state;
	const char *words[6] = { "region \"ram0\": prefaulting " };
	struct leaks_snapshot *before;
	struct scene scene;

	memcpy(words + 1, failure->words, sizeof(failure->words));
	scene_open(&scene, &fake_kvm_linux_6_8, &(struct wish){ .name = "ram0" });
	set_state(&scene, 0, PAGES, failure->private);
	before = leaks_take(scene.stage.leaks);
	scene.door.error = failure->kernel_error;
	scene.door.errors = 1;
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), failure->error);
	logs_expect(scene.stage.logs, GMEM_LOG_ERROR, words, __FILE__, __LINE__);
	assert_no_leaks(scene.stage.leaks, before);
	/* It is over then, and can be asked for again. */
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), 0);
	scene_close(&scene);
}

/* Of memory that cannot turn private: a file cut short by its owner, a full hugetlbfs. */
static void gmem_region_prefault_ENOMEM_EFAULT_of_plain(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, &fake_kvm_old, &(struct wish){ .name = "rom0" });
	scene.door.error = EFAULT;
	scene.door.errors = 1;
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), -ENOMEM);
	expect_one_message(scene.stage.logs, GMEM_LOG_ERROR, "region \"rom0\"", "EFAULT");
	scene_close(&scene);
}

static void failures_of_threads_are_one_message(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, &fake_kvm_old, &(struct wish){ .name = "ram0" });
	scene.door.error = ENOMEM;
	scene.door.errors = 8;
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 8), -ENOMEM);
	expect_one_message(scene.stage.logs, GMEM_LOG_ERROR, "region \"ram0\"", "ENOMEM");
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 8), 0);
	check_pages(&scene.door, S16 S16 S16 S16);
	scene_close(&scene);
}

static void threads_share_the_work(void **state)
{
	static const uint32_t counts[] = { 1, 2, 3, 7, 63, 64, 65, 256 };
	struct scene scene;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		uint32_t expected = counts[i] < PAGES ? counts[i] : PAGES;

		scene_open(&scene, &fake_kvm_linux_6_18, &(struct wish){ 0 });
		assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, counts[i]), 0);
		check_pages(&scene.door, S16 S16 S16 S16);
		assert_int_equal(scene.door.calls, expected);
		assert_int_equal(scene.door.own_calls, 1);
		assert_int_equal(atomic_load(&threads_started), expected - 1);
		assert_int_equal(scene.door.open_signals, 0);
		scene_close(&scene);
	}
}

static void threads_take_no_signals_and_the_caller_its_own(void **state)
{
	sigset_t wanted, before, after;
	struct scene scene;

	(void)state;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &wanted, &before);
	scene_open(&scene, &fake_kvm_old, &(struct wish){ 0 });
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 8), 0);
	assert_int_equal(scene.door.open_signals, 0);
	pthread_sigmask(SIG_SETMASK, &before, &after);
	assert_true(sigismember(&after, SIGUSR2));
	assert_false(sigismember(&after, SIGTERM));
	assert_false(sigismember(&after, SIGUSR1));
	scene_close(&scene);
}

/* Fewer threads than wanted, down to none: the caller does the rest. */
static void caller_does_what_no_thread_is_had_for(void **state)
{
	unsigned int left;
	struct scene scene;

	(void)state;
	for (left = 0; left < 8; left++) {
		scene_open(&scene, &fake_kvm_linux_6_8, &(struct wish){ 0 });
		apply_map(&scene, MIXED);
		atomic_store(&threads_left, left);
		assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 8), 0);
		assert_int_equal(atomic_load(&threads_started), left < 7 ? left : 7);
		check_pages(&scene.door, MIXED);
		expect_no_message(scene.stage.logs);
		scene_close(&scene);
	}
}

static void huge_pages_are_not_divided(void **state)
{
	struct wish wish = {
		.name = "ram0",
		.backing = GMEM_BACKING_PLAIN,
		.source = WISH_MEMORY,
		.memory = GMEM_MEMORY_HUGETLB,
	};
	struct gmem_region *region;
	struct fake_call call;
	struct stage stage;
	unsigned int parts = 0;
	size_t i;

	(void)state;
	atomic_store(&threads_left, GMEM_PREFAULT_THREADS);
	stage_open_vm(&stage, &fake_kvm_in_place);
	region = stage_region(&stage, 6 * MIB, &wish);
	assert_int_equal(gmem_region_prefault(region, 4096, 2 * MIB, 1), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "region \"ram0\"", "from offset 0x1000",
			   "multiples of 0x200000");
	assert_int_equal(gmem_region_prefault(region, 0, 6 * MIB, 256), 0);
	for (i = 0; fake_kvm_get_call(stage.fake, i, &call); i++) {
		if (call.nr != GMEM_SYS_MADVISE || (int)call.arg[2] != MADV_POPULATE_WRITE)
			continue;
		assert_int_equal((call.arg[0] | call.arg[1]) % (2 * MIB), 0);
		parts++;
	}
	assert_int_equal(parts, 3);
	gmem_region_free(region);
	stage_close(&stage);
}

/* Arguments that make no sense. */
struct refusal {
	const char *name;
	uint64_t offset;
	uint64_t size;
	uint32_t threads;
	const char *words[4];
};

static const struct refusal refusals[] = {
	{ "gmem_region_prefault_EINVAL_offset_unaligned",
	  1,
	  PAGE,
	  1,
	  { "0x1000 bytes from offset 0x1", "multiples of 0x1000" } },
	{ "gmem_region_prefault_EINVAL_size_unaligned",
	  0,
	  PAGE + 1,
	  1,
	  { "0x1001 bytes from offset 0", "multiples of 0x1000" } },
	{ "gmem_region_prefault_EINVAL_size_zero",
	  0,
	  0,
	  1,
	  { "0 bytes from offset 0", "not nothing" } },
	{ "gmem_region_prefault_EINVAL_past_the_end",
	  SIZE - PAGE,
	  2 * PAGE,
	  1,
	  { "0x2000 bytes from offset 0x3f000", "within its 0x40000 bytes" } },
	{ "gmem_region_prefault_EINVAL_offset_at_the_end",
	  SIZE,
	  PAGE,
	  1,
	  { "from offset 0x40000", "within its 0x40000 bytes" } },
	{ "gmem_region_prefault_EINVAL_overflow",
	  UINT64_MAX - PAGE + 1,
	  2 * PAGE,
	  1,
	  { "from offset 0xfffffffffffff000", "within its 0x40000 bytes" } },
	{ "gmem_region_prefault_EINVAL_no_thread", 0, SIZE, 0, { "by 0 threads", "1 to 256" } },
	{ "gmem_region_prefault_EINVAL_threads", 0, SIZE, 257, { "by 257 threads", "1 to 256" } },
	{ "gmem_region_prefault_EINVAL_threads_largest",
	  0,
	  SIZE,
	  UINT32_MAX,
	  { "by 4294967295 threads", "1 to 256" } },
};

static void arguments_are_refused(void **state)
{
	const struct refusal *refusal = *state;
	const char *words[6] = { "region \"ram0\": prefaulting " };
	struct scene scene;

	memcpy(words + 1, refusal->words, sizeof(refusal->words));
	scene_open(&scene, &fake_kvm_in_place, &(struct wish){ .name = "ram0" });
	assert_int_equal(gmem_region_prefault(scene.region, refusal->offset, refusal->size,
					      refusal->threads),
			 -EINVAL);
	logs_expect(scene.stage.logs, GMEM_LOG_ERROR, words, __FILE__, __LINE__);
	assert_int_equal(scene.door.calls, 0);
	scene_close(&scene);
}

static void gmem_region_prefault_EOPNOTSUPP_device(void **state)
{
	void *device = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct wish wish = {
		.name = "bar0",
		.backing = GMEM_BACKING_PLAIN,
		.source = WISH_MAPPING,
		.mapping = device,
		.memory = GMEM_MEMORY_DEVICE,
	};
	struct scene scene;

	(void)state;
	assert_ptr_not_equal(device, MAP_FAILED);
	scene_open(&scene, &fake_kvm_old, &wish);
	assert_int_equal(gmem_region_prefault(scene.region, 0, SIZE, 1), -EOPNOTSUPP);
	expect_one_message(scene.stage.logs, GMEM_LOG_ERROR, "region \"bar0\"", "device memory");
	assert_int_equal(scene.door.calls, 0);
	scene_close(&scene);
	munmap(device, SIZE);
}

static int prefault_all(struct stage *stage, void *opaque)
{
	struct scene *scene = opaque;

	(void)stage;
	return gmem_region_prefault(scene->region, 0, SIZE, 1);
}

static bool prefault_tolerates(const struct stage_call *call, int error)
{
	(void)call;
	return error == EINTR || error == EAGAIN;
}

static void prefault_survives_every_failure(void **state)
{
	static const int errors[] = { -ENOMEM, -EOPNOTSUPP, -EIO, 0 };
	struct scene scene;
	const struct operation operation = {
		.run = prefault_all,
		.opaque = &scene,
		.errors = errors,
		.tolerates = prefault_tolerates,
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(with_private); i++) {
		scene_open(&scene, with_private[i], &(struct wish){ 0 });
		apply_map(&scene, "sppp"
				  "ssss"
				  "pppp"
				  "pppp" P16 S16 S16);
		stage_sweep_calls(&scene.stage, &operation);
		stage_sweep_allocations(&scene.stage, &operation);
		scene_close(&scene);
	}
}

int main(void)
{
	static struct cases cases;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		cases_add(&cases, refusals[i].name, arguments_are_refused, (void *)&refusals[i]);
	for (i = 0; i < ARRAY_SIZE(failures); i++)
		cases_add(&cases, failures[i].name, failure_is_told, (void *)&failures[i]);
#define ADD(function) cases_add(&cases, #function, function, NULL)
	ADD(gmem_region_prefault_EOPNOTSUPP_device);
	ADD(gmem_region_prefault_ENOMEM_EFAULT_of_plain);
	ADD(each_page_on_its_side);
	ADD(a_part_is_a_part);
	ADD(memory_is_there_afterwards);
	ADD(contents_stay);
	ADD(interrupted_calls_are_made_again);
	ADD(overtaken_by_a_conversion);
	ADD(failures_of_threads_are_one_message);
	ADD(threads_share_the_work);
	ADD(threads_take_no_signals_and_the_caller_its_own);
	ADD(caller_does_what_no_thread_is_had_for);
	ADD(huge_pages_are_not_divided);
	ADD(prefault_survives_every_failure);
	return cases_run(&cases, "prefault");
}
