// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Host threads that touch pages while others convert, punch, map and run the guest: each touch
 * gives the right byte or SIGBUS, and neighbours of what is converted never fault.
 */
#include "sim-kit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

struct variant {
	uint64_t sigbus;
	uint64_t mappings;
};

#define PAGES 64
#define ROUNDS 300

struct world {
	struct kit kit;
	uint8_t *map;
	int fd;
	bool is_over;
	/* The page at DIRTY: what its only writer was last able to write. */
	uint8_t written;
	unsigned int wrong;
};

/* Even pages are never converted; odd ones hold their number or are private. */
#define DIRTY 33

static bool is_over(struct world *world)
{
	return __atomic_load_n(&world->is_over, __ATOMIC_ACQUIRE);
}

static void note(struct world *world, bool is_right)
{
	if (!is_right)
		__atomic_add_fetch(&world->wrong, 1, __ATOMIC_RELAXED);
}

static void *touch(void *opaque)
{
	struct world *world = opaque;
	unsigned int i = 0;

	while (!is_over(world)) {
		int got;

		i = (i + 1) % PAGES;
		if (i == DIRTY)
			continue;
		got = kit_get(world->map + i * PAGE);
		note(world, got == (int)i || (i % 2 && got == -1));
	}
	return NULL;
}

static void *write_one(void *opaque)
{
	struct world *world = opaque;
	uint8_t next = 0;

	while (!is_over(world)) {
		int got = kit_get(world->map + DIRTY * PAGE);

		note(world, got == -1 || got == world->written);
		if (kit_write(world->map + DIRTY * PAGE, ++next) == TOUCH_DONE)
			world->written = next;
		else
			next--;
	}
	return NULL;
}

static void *convert(void *opaque)
{
	struct world *world = opaque;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		unsigned int i = (round * 7 % (PAGES / 2)) * 2 + 1;
		bool to_private = round / 32 % 2 == 0;

		note(world,
		     kit_convert(&world->kit, world->fd, i * PAGE, PAGE, to_private, NULL) == 0);
	}
	return NULL;
}

static void *run_guest(void *opaque)
{
	struct world *world = opaque;
	unsigned int i = 0;
	uint8_t value;

	while (!is_over(world)) {
		i = (i + 1) % PAGES;
		if (i == DIRTY)
			continue;
		note(world, kit_guest_read(&world->kit, i * PAGE, &value, 0) == 0 && value == i);
	}
	return NULL;
}

static void *map_and_unmap(void *opaque)
{
	struct world *world = opaque;

	while (!is_over(world)) {
		uint8_t *map = kit_map(&world->kit, world->fd, PAGES * PAGE);

		note(world, kit_get(map + 2 * PAGE) == 2);
		kit_unmap(&world->kit, map, PAGES * PAGE);
	}
	return NULL;
}

static void start(struct world *world, const struct variant *variant)
{
	const uint64_t settings[] = { GMEM_SIM_SIGBUS, variant->sigbus, GMEM_SIM_MAPPINGS,
				      variant->mappings, 0 };
	unsigned int i;

	memset(world, 0, sizeof(*world));
	kit_new_with(&world->kit, GMEM_SIM_IN_PLACE, SW, settings);
	world->fd = kit_create(&world->kit, PAGES * PAGE, MMAP_FLAG | SHARED_FLAG);
	world->map = kit_map(&world->kit, world->fd, PAGES * PAGE);
	assert_int_equal(kit_set_slot(&world->kit, 0, 0, 0, PAGES * PAGE, world->map, world->fd, 0),
			 0);
	for (i = 0; i < PAGES; i++)
		world->map[i * PAGE] = (uint8_t)i;
	world->map[DIRTY * PAGE] = 0;
}

static bool is_to_be_had(uint64_t sigbus)
{
	struct gmem_sim *sim;
	int err;

	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	err = gmem_sim_set(sim, GMEM_SIM_SIGBUS, sigbus);
	gmem_sim_free(sim);
	return err == 0;
}

static void all_at_once(void **state)
{
	static void *(*const others[])(void *) = { touch, touch, write_one, run_guest,
						   map_and_unmap };
	const struct variant *variant = *state;
	pthread_t thread[5], converter;
	struct world world;
	size_t i;

	if (!is_to_be_had(variant->sigbus))
		skip();
	start(&world, variant);
	for (i = 0; i < 5; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, others[i], &world), 0);
	assert_int_equal(pthread_create(&converter, NULL, convert, &world), 0);
	pthread_join(converter, NULL);
	__atomic_store_n(&world.is_over, true, __ATOMIC_RELEASE);
	for (i = 0; i < 5; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(world.wrong, 0);
	assert_int_equal(kit_convert(&world.kit, world.fd, 0, PAGES * PAGE, false, NULL), 0);
	for (i = 0; i < PAGES; i++)
		if (i != DIRTY)
			assert_byte(world.map + i * PAGE, (int)i);
	assert_byte(world.map + DIRTY * PAGE, world.written);
	kit_unmap(&world.kit, world.map, PAGES * PAGE);
	kit_close(&world.kit, world.fd);
	kit_free(&world.kit);
}

/* Pages nobody has touched, beside private ones: both threads are first at some of them. */
#define FRESH 4096

struct toucher {
	uint8_t *map;
	unsigned int *others; /* how far the other is */
	unsigned int at;
	unsigned int wrong;
};

static void *touch_first(void *opaque)
{
	struct toucher *toucher = opaque;
	unsigned int i;

	for (i = 0; i < FRESH; i++) {
		__atomic_store_n(&toucher->at, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(toucher->others, __ATOMIC_ACQUIRE) < i)
			sched_yield();
		toucher->wrong += kit_get(toucher->map + i * PAGE) != (i % 16 ? 0 : -1);
	}
	__atomic_store_n(&toucher->at, FRESH, __ATOMIC_RELEASE);
	return NULL;
}

static void first_touches(void **state)
{
	const struct variant *variant = *state;
	struct toucher toucher[2];
	struct world world;
	pthread_t thread;
	uint8_t *map;
	unsigned int i;
	int fd;

	if (!is_to_be_had(variant->sigbus))
		skip();
	start(&world, variant);
	fd = kit_create(&world.kit, FRESH * PAGE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&world.kit, fd, FRESH * PAGE);
	for (i = 0; i < FRESH; i += 16)
		assert_int_equal(kit_convert(&world.kit, fd, i * PAGE, PAGE, true, NULL), 0);
	for (i = 0; i < 2; i++)
		toucher[i] = (struct toucher){ map, &toucher[1 - i].at, 0, 0 };
	assert_int_equal(pthread_create(&thread, NULL, touch_first, &toucher[0]), 0);
	touch_first(&toucher[1]);
	pthread_join(thread, NULL);
	assert_int_equal(toucher[0].wrong + toucher[1].wrong, 0);
	kit_unmap(&world.kit, map, FRESH * PAGE);
	kit_close(&world.kit, fd);
	kit_unmap(&world.kit, world.map, PAGES * PAGE);
	kit_close(&world.kit, world.fd);
	kit_free(&world.kit);
}

/*
 * Converters that own every CONVERTERS-th page, devices that read all, references that come and go,
 * and conversions that fail on purpose: a page is always what its owner last made of it.
 */
#define CONVERTERS 3
#define TURNS 400

struct owner {
	struct world *world;
	unsigned int first;
	uint32_t seed;
};

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static bool is_as_made(struct world *world, unsigned int page, bool is_private)
{
	return kit_get(world->map + page * PAGE) == (is_private ? -1 : (int)page) &&
	       kit_page(&world->kit, world->fd, page * PAGE).state ==
		       (is_private ? GMEM_PRIVATE : GMEM_SHARED);
}

static void *convert_own(void *opaque)
{
	struct owner *owner = opaque;
	struct world *world = owner->world;
	bool is_private[PAGES] = { false };
	unsigned int turn, i;

	for (turn = 0; turn < TURNS; turn++) {
		unsigned int page = owner->first +
				    next_random(&owner->seed) % (PAGES / CONVERTERS) * CONVERTERS;
		bool to_private = next_random(&owner->seed) % 2;
		int result =
			kit_convert(&world->kit, world->fd, page * PAGE, PAGE, to_private, NULL);

		if (result == 0)
			is_private[page] = to_private;
		note(world,
		     result == 0 || result == -EAGAIN || result == -ENOMEM || result == -EINTR);
		note(world, is_as_made(world, page, is_private[page]));
	}
	for (i = owner->first; i < PAGES; i += CONVERTERS)
		note(world, is_as_made(world, i, is_private[i]));
	return NULL;
}

static void *read_as_a_device(void *opaque)
{
	struct world *world = opaque;
	unsigned int i = 0;

	while (!is_over(world)) {
		uint8_t byte = 0;
		struct iovec local = { &byte, 1 };
		struct iovec remote;
		long got;

		i = (i + 1) % PAGES;
		remote = (struct iovec){ world->map + i * PAGE, 1 };
		/* Not by the function of the name, which a sanitizer watches. */
		got = syscall(SYS_process_vm_readv, getpid(), &local, 1ul, &remote, 1ul, 0ul);
		note(world, got == 1 ? byte == i : errno == EFAULT);
	}
	return NULL;
}

static void *refer(void *opaque)
{
	struct world *world = opaque;
	uint32_t seed = 77;

	while (!is_over(world)) {
		uint64_t offset = next_random(&seed) % PAGES * PAGE;
		int result = gmem_sim_pin(world->kit.sim, world->fd, offset, PAGE, 1 + seed % 3);

		note(world, result == 0 || result == -EACCES);
		sched_yield();
	}
	return NULL;
}

static void *make_it_fail(void *opaque)
{
	static const int errors[] = { -EAGAIN, -ENOMEM, -EINTR };
	struct world *world = opaque;
	uint32_t seed = 99;

	while (!is_over(world)) {
		int error = errors[next_random(&seed) % 3];

		gmem_sim_clear_failures(world->kit.sim);
		note(world,
		     gmem_sim_fail(world->kit.sim, GMEM_SYS_IOCTL, GMEM_KVM_SET_MEMORY_ATTRIBUTES2,
				   1 + seed % 5, error, 0) == 0);
		sched_yield();
	}
	gmem_sim_clear_failures(world->kit.sim);
	return NULL;
}

static void chaos(void **state)
{
	static void *(*const others[])(void *) = { read_as_a_device, refer, make_it_fail };
	const struct variant *variant = *state;
	pthread_t thread[3], converter[CONVERTERS];
	struct owner owner[CONVERTERS];
	struct world world;
	unsigned int i;

	if (!is_to_be_had(variant->sigbus))
		skip();
	start(&world, variant);
	world.map[DIRTY * PAGE] = DIRTY;
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, others[i], &world), 0);
	for (i = 0; i < CONVERTERS; i++) {
		owner[i] = (struct owner){ &world, i, 1000 + i };
		assert_int_equal(pthread_create(&converter[i], NULL, convert_own, &owner[i]), 0);
	}
	for (i = 0; i < CONVERTERS; i++)
		pthread_join(converter[i], NULL);
	__atomic_store_n(&world.is_over, true, __ATOMIC_RELEASE);
	for (i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(world.wrong, 0);
	assert_int_equal(kit_convert(&world.kit, world.fd, 0, PAGES * PAGE, false, NULL), 0);
	for (i = 0; i < PAGES; i++)
		assert_byte(world.map + i * PAGE, (int)i);
	kit_unmap(&world.kit, world.map, PAGES * PAGE);
	kit_close(&world.kit, world.fd);
	kit_free(&world.kit);
}

struct maker {
	struct kit *kit;
	unsigned int wrong;
};

/* VMs, files and slots of several threads: each its own. */
static void *make(void *opaque)
{
	struct maker *maker = opaque;
	struct kit kit = *maker->kit;
	unsigned int i;
	uint8_t *map;
	void *run;

	for (i = 0; i < 30; i++) {
		int fd, vcpu;

		kit.vm = gmem_sim_create_vm(kit.sim, SW);
		vcpu = gmem_sim_create_vcpu(kit.sim, kit.vm, &run);
		fd = kit_create(&kit, PAGES * PAGE, MMAP_FLAG);
		map = kit_map(&kit, fd, PAGES * PAGE);
		maker->wrong += kit_set_slot(&kit, 0, 0, 0, PAGES * PAGE, map, fd, 0) != 0;
		maker->wrong += kit_convert(&kit, fd, PAGE, PAGE, false, NULL) != 0;
		maker->wrong += kit_get(map + PAGE) != 0;
		maker->wrong += kit_get(map) != -1;
		kit_unmap(&kit, map, PAGES * PAGE);
		kit_close(&kit, fd);
		kit_close(&kit, vcpu);
		kit_close(&kit, kit.vm);
	}
	return NULL;
}

static void makers(void **state)
{
	struct maker maker[4];
	pthread_t thread[4];
	struct kit kit;
	size_t i;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	for (i = 0; i < 4; i++) {
		maker[i] = (struct maker){ &kit, 0 };
		assert_int_equal(pthread_create(&thread[i], NULL, make, &maker[i]), 0);
	}
	for (i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(maker[i].wrong, 0);
	}
	kit_free(&kit);
}

/* Memory of the caller's own that comes by userfaultfd, from a thread that uses the door. */
struct pager {
	struct kit *kit;
	uint8_t *page;
	int uffd;
	int other_vcpu; /* -1: the simulator is busy with an ioctl's argument */
	unsigned int wrong;
	bool has_served;
};

static bool use_door(struct pager *pager)
{
	struct kit *kit = pager->kit;
	struct statfs status;
	bool is_right;
	int fd;

	is_right = kit_call(kit, GMEM_SYS_GETPAGESIZE, 0, 0, 0, 0, 0, 0) == PAGE;
	fd = (int)kit_call(kit, GMEM_SYS_MEMFD_CREATE, (uint64_t)(uintptr_t) "pager", 0, 0, 0, 0,
			   0);
	is_right &= fd >= 0;
	is_right &= kit_call(kit, GMEM_SYS_FSTATFS, (uint64_t)fd, (uint64_t)(uintptr_t)&status, 0,
			     0, 0, 0) == 0;
	is_right &= kit_call(kit, GMEM_SYS_FCNTL, (uint64_t)fd, F_GETFD, 0, 0, 0, 0) == 0;
	is_right &= kit_ioctl(kit, fd, GMEM_KVM_RUN, NULL) == -ENOTTY;
	return is_right & (kit_close(kit, fd) == 0);
}

static bool use_simulator(struct pager *pager)
{
	struct kit *kit = pager->kit;
	int64_t map = kit_call(kit, GMEM_SYS_MMAP, 0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			       (uint64_t)-1, 0);
	uint8_t byte;

	if (map < 0)
		return false;
	kit_unmap(kit, (void *)(uintptr_t)map, PAGE);
	return gmem_sim_guest_access(kit->sim, pager->other_vcpu, MIB, &byte, 1, 0) == 1;
}

static void *serve_fault(void *opaque)
{
	struct pager *pager = opaque;
	struct uffdio_zeropage zero = { .range = { (uintptr_t)pager->page, PAGE } };
	struct uffd_msg message;

	if (read(pager->uffd, &message, sizeof(message)) != sizeof(message))
		return NULL;
	pager->has_served = true;
	pager->wrong += !use_door(pager);
	if (pager->other_vcpu >= 0)
		pager->wrong += !use_simulator(pager);
	pager->wrong += ioctl(pager->uffd, UFFDIO_ZEROPAGE, &zero) != 0;
	return NULL;
}

static void start_pager(struct pager *pager, struct kit *kit, int other_vcpu, pthread_t *thread)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	memset(pager, 0, sizeof(*pager));
	pager->kit = kit;
	pager->other_vcpu = other_vcpu;
	pager->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	/* Not for the kernel's own accesses, without a privilege. */
	if (pager->uffd < 0)
		skip();
	pager->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pager->page, MAP_FAILED);
	range.range.start = (uintptr_t)pager->page;
	range.range.len = PAGE;
	assert_int_equal(ioctl(pager->uffd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(pager->uffd, UFFDIO_REGISTER, &range), 0);
	assert_int_equal(pthread_create(thread, NULL, serve_fault, pager), 0);
}

static void end_pager(struct pager *pager, pthread_t thread)
{
	pthread_join(thread, NULL);
	assert_true(pager->has_served);
	assert_int_equal(pager->wrong, 0);
	munmap(pager->page, PAGE);
	close(pager->uffd);
}

/* A deadlock would be for ever. */
static void memory_that_waits_for_the_door(void **state)
{
	struct pager pager;
	pthread_t thread;
	struct kit kit;
	uint8_t byte = 1;
	void *run;
	int vcpu;

	(void)state;
	alarm(100);
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	vcpu = gmem_sim_create_vcpu(kit.sim, kit.vm, &run);
	start_pager(&pager, &kit, vcpu, &thread);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, pager.page, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 0, &byte, 0), 0);
	assert_int_equal(byte, 0);
	end_pager(&pager, thread);
	start_pager(&pager, &kit, -1, &thread);
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES, pager.page),
			 -EINVAL);
	end_pager(&pager, thread);
	kit_close(&kit, vcpu);
	kit_free(&kit);
	alarm(0);
}

int main(void)
{
	static struct variant uffd = { GMEM_SIM_SIGBUS_USERFAULTFD, 1000 };
	static struct variant joining = { GMEM_SIM_SIGBUS_USERFAULTFD, 20 };
	static struct variant joined = { GMEM_SIM_SIGBUS_USERFAULTFD, 0 };
	static struct variant mapping = { GMEM_SIM_SIGBUS_MAPPING, 0 };
	const struct CMUnitTest tests[] = {
		{ "all at once, userfaultfd", all_at_once, NULL, NULL, &uffd },
		{ "all at once, joining", all_at_once, NULL, NULL, &joining },
		{ "all at once, joined", all_at_once, NULL, NULL, &joined },
		{ "all at once, mappings", all_at_once, NULL, NULL, &mapping },
		{ "first touches, userfaultfd", first_touches, NULL, NULL, &uffd },
		{ "first touches, joined", first_touches, NULL, NULL, &joined },
		{ "first touches, mappings", first_touches, NULL, NULL, &mapping },
		{ "chaos, userfaultfd", chaos, NULL, NULL, &uffd },
		{ "chaos, joined", chaos, NULL, NULL, &joined },
		{ "chaos, mappings", chaos, NULL, NULL, &mapping },
		cmocka_unit_test(makers),
		cmocka_unit_test(memory_that_waits_for_the_door),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
