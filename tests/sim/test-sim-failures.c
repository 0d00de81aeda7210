// SPDX-License-Identifier: LGPL-2.1-or-later
/* Calls that fail on purpose, the recorder, allocations and calls of the host that fail. */
#include "sim-kit.h"

#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The simulator's system calls come here: one kind of them fails, after somebody has a look. */
static struct {
	long number;      /* -1: none */
	long second;      /* its second argument, or -1 for any */
	const char *path; /* the same, or NULL for any */
	int error;        /* 0: it is made all the same */
	unsigned int count;
	void (*look)(void *opaque);
	void *opaque;
} host_failure = { .number = -1 };

long syscall(long number, ...)
{
	static long (*real)(long number, ...);
	long argument[6];
	va_list list;
	size_t i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	if (number == host_failure.number &&
	    (host_failure.second < 0 || host_failure.second == argument[1]) &&
	    (!host_failure.path ||
	     strcmp(host_failure.path, (const char *)(uintptr_t)argument[1]) == 0)) {
		host_failure.count++;
		if (host_failure.look)
			host_failure.look(host_failure.opaque);
		errno = host_failure.error;
		if (errno)
			return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		    argument[5]);
}

static void host_fails(long number, long second, int error)
{
	memset(&host_failure, 0, sizeof(host_failure));
	host_failure.second = second;
	host_failure.error = error;
	host_failure.number = number;
}

/* How often it did. */
static unsigned int host_works(void)
{
	host_failure.number = -1;
	return host_failure.count;
}

static int ask(struct kit *kit)
{
	return kit_ioctl(kit, kit->vm, GMEM_KVM_CHECK_EXTENSION, (void *)3);
}

static void arguments(void **state)
{
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_fail(NULL, GMEM_SYS_CLOSE, 0, 1, -EIO, 0), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, 0, 0, 1, -EIO, 0), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_PROCESS_VM_WRITEV + 1, 0, 1, -EIO, 0),
			 -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_CLOSE, 0, 1, 0, 0), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_CLOSE, 0, 1, EIO, 0), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_CLOSE, 0, 1, -4096, 0), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_CLOSE, 1, 1, -EIO, 0), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_CLOSE, 0, 1, -EIO, 1), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, GMEM_KVM_RUN, 1, -EIO, 1), -EINVAL);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, UINT64_C(1) << 32 | GMEM_KVM_RUN, 1,
				       -EIO, 0),
			 -EINVAL);
	assert_int_equal(gmem_sim_clear_failures(NULL), -EINVAL);
	assert_int_equal(gmem_sim_clear_failures(kit.sim), 0);
	kit_free(&kit);
}

static void nth_call(void **state)
{
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(
		gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, GMEM_KVM_CHECK_EXTENSION, 2, -EIO, 0), 0);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, 0, 4, -EPERM, 0), 0);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_GETPAGESIZE, 0, 1, -ENOSYS, 0), 0);
	assert_int_equal(ask(&kit), 1);
	assert_int_equal(ask(&kit), -EIO);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, GMEM_KVM_RUN, NULL), 0);
	assert_int_equal(ask(&kit), -EPERM);
	assert_int_equal(ask(&kit), 1);
	assert_int_equal(gmem_sim_clear_failures(kit.sim), 1);
	assert_int_equal(kit_call(&kit, GMEM_SYS_GETPAGESIZE, 0, 0, 0, 0, 0, 0), PAGE);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_GETPID, 0, 1, -ENOSYS, 0), 0);
	assert_int_equal(kit_call(&kit, GMEM_SYS_GETPID, 0, 0, 0, 0, 0, 0), -ENOSYS);
	kit_free(&kit);
}

static void for_ever(void **state)
{
	struct kit kit;
	int i;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, 0, 0, -EIO, 0), 0);
	/* Counts on behind it, without effect of its own. */
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, 0, 3, -EPERM, 0), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(ask(&kit), -EIO);
	assert_int_equal(gmem_sim_clear_failures(kit.sim), 0);
	assert_int_equal(ask(&kit), 1);
	kit_free(&kit);
}

static void same_turn(void **state)
{
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, 0, 1, -EIO, 0), 0);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, 0, 1, -EPERM, 0), 0);
	assert_int_equal(ask(&kit), -EIO);
	assert_int_equal(ask(&kit), 1);
	kit_free(&kit);
}

static void what_the_kernel_writes(void **state)
{
	struct sim_kvm_sev_cmd command = { .id = 101 };
	uint64_t offset = 0;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SNP);
	fd = kit_create(&kit, 4 * PAGE, 0);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, 1,
				       -EAGAIN, 0),
			 0);
	assert_int_equal(kit_convert(&kit, fd, PAGE, PAGE, false, &offset), -EAGAIN);
	assert_int_equal(offset, PAGE);
	assert_int_equal(kit_page(&kit, fd, PAGE).state, GMEM_PRIVATE);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, 1,
				       -EFAULT, 0),
			 0);
	assert_int_equal(kit_convert(&kit, fd, PAGE, PAGE, false, &offset), -EFAULT);
	assert_int_equal(offset, UINT64_MAX);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL,
				       UINT64_C(101) << 32 | SIM_KVM_MEMORY_ENCRYPT_OP, 1, -EIO,
				       0x16),
			 0);
	command.id = 100;
	command.error = 7;
	kit_ioctl(&kit, kit.vm, SIM_KVM_MEMORY_ENCRYPT_OP, &command);
	command.id = 101;
	assert_int_equal(kit_ioctl(&kit, kit.vm, SIM_KVM_MEMORY_ENCRYPT_OP, &command), -EIO);
	assert_int_equal(command.error, 0x16);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void entries_count_as_runs(void **state)
{
	struct kit kit;
	uint8_t value;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SNP);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, GMEM_KVM_RUN, 2, -EHWPOISON, 0), 0);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, GMEM_KVM_RUN, 3, -EINTR, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 0, &value, 0), 1);
	assert_int_equal(kit_guest_read(&kit, 8, &value, 0), -EHWPOISON);
	assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 0), -EINTR);
	kit_free(&kit);
}

struct record {
	struct kit *kit;
	unsigned int count;
	unsigned int freed;
	uint32_t nr[8];
	uint64_t first[8];
	int64_t result[8];
	bool calls_back;
};

static void remember(uint32_t nr, const uint64_t *arg, int64_t result, void *opaque)
{
	struct record *record = opaque;
	unsigned int i = record->count++;

	assert_true(i < 8);
	record->nr[i] = nr;
	record->first[i] = arg[0];
	record->result[i] = result;
	if (record->calls_back && nr != GMEM_SYS_GETPAGESIZE)
		kit_call(record->kit, GMEM_SYS_GETPAGESIZE, 0, 0, 0, 0, 0, 0);
}

static void count_free(void *opaque)
{
	((struct record *)opaque)->freed++;
}

static void recorder(void **state)
{
	struct record record = { 0 }, second = { 0 };
	struct kit kit;

	(void)state;
	assert_int_equal(gmem_sim_set_recorder(NULL, remember, &record, count_free), -EINVAL);
	assert_int_equal(record.freed, 1);
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	record.kit = &kit;
	assert_int_equal(gmem_sim_set_recorder(kit.sim, remember, &record, count_free), 0);
	assert_int_equal(gmem_sim_fail(kit.sim, GMEM_SYS_IOCTL, 0, 2, -EIO, 0), 0);
	assert_int_equal(ask(&kit), 1);
	assert_int_equal(ask(&kit), -EIO);
	assert_int_equal(kit_close(&kit, -1), -EBADF);
	record.calls_back = true;
	assert_int_equal(kit_call(&kit, GMEM_SYS_FCNTL, (uint64_t)kit.vm, F_GETFD, 0, 0, 0, 0),
			 FD_CLOEXEC);
	assert_int_equal(record.count, 5);
	assert_int_equal(record.nr[0], GMEM_SYS_IOCTL);
	assert_int_equal(record.first[0], kit.vm);
	assert_int_equal(record.result[0], 1);
	assert_int_equal(record.result[1], -EIO);
	assert_int_equal(record.nr[2], GMEM_SYS_CLOSE);
	assert_int_equal(record.result[2], -EBADF);
	assert_int_equal(record.nr[3], GMEM_SYS_FCNTL);
	assert_int_equal(record.nr[4], GMEM_SYS_GETPAGESIZE);
	assert_int_equal(record.freed, 1);
	assert_int_equal(gmem_sim_set_recorder(kit.sim, NULL, &second, count_free), 0);
	assert_int_equal(record.freed, 2);
	assert_int_equal(ask(&kit), 1);
	assert_int_equal(record.count, 5);
	assert_int_equal(second.freed, 0);
	kit_free(&kit);
	assert_int_equal(second.freed, 1);
}

/*
 * Every allocation of what a simulator does fails once: each call that fails says -ENOMEM and has
 * done nothing, and in the end the work is done.
 */
#define PERSIST(result, call)                                                                      \
	do {                                                                                       \
		uint64_t nth = 0;                                                                  \
                                                                                                   \
		do {                                                                               \
			allocations_fail(++nth);                                                   \
			(result) = (call);                                                         \
			allocations_off();                                                         \
			assert_true((result) >= 0 || (result) == -ENOMEM);                         \
		} while ((result) < 0);                                                            \
	} while (0)

static void no_memory(void **state)
{
	struct kit kit = { .sim = NULL };
	unsigned int before = kit_open_descriptors();
	uint8_t value = 0;
	uint8_t *map;
	void *run;
	int64_t result;
	int fd, i;

	(void)state;
	kit_catch_signals();
	PERSIST(result, gmem_sim_new(GMEM_SIM_IN_PLACE, &kit.sim));
	assert_int_equal(gmem_sim_get_kernel(kit.sim, &kit.kernel), 0);
	PERSIST(kit.vm, gmem_sim_create_vm(kit.sim, SW));
	PERSIST(kit.vcpu, gmem_sim_create_vcpu(kit.sim, kit.vm, &run));
	PERSIST(result, gmem_sim_open_system(kit.sim));
	kit_close(&kit, (int)result);
	PERSIST(fd, kit_create(&kit, 64 * PAGE, MMAP_FLAG | SHARED_FLAG));
	PERSIST(result, kit_call(&kit, GMEM_SYS_MMAP, 0, 64 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED, (uint64_t)fd, 0));
	map = (uint8_t *)(uintptr_t)result;
	for (i = 0; i < 64; i++)
		map[(uint64_t)i * PAGE] = (uint8_t)(i + 1);
	PERSIST(result, kit_set_slot(&kit, 0, 0, 0, 64 * PAGE, map, fd, 0));
	PERSIST(result, gmem_sim_pin(kit.sim, fd, 9 * PAGE, PAGE, 1));
	for (i = 0; i < 64; i += 4)
		PERSIST(result,
			i == 8 ? 0 : kit_convert(&kit, fd, (uint64_t)i * PAGE, PAGE, true, NULL));
	for (i = 0; i < 64; i++)
		assert_int_equal(kit_get(map + (uint64_t)i * PAGE), i % 4 || i == 8 ? i + 1 : -1);
	PERSIST(result, kit_punch(&kit, fd, 4 * PAGE, 2 * PAGE));
	PERSIST(result, gmem_sim_guest_access(kit.sim, kit.vcpu, 12 * PAGE, &value, 1, 0));
	assert_int_equal(value, 13);
	PERSIST(result, gmem_sim_poison(kit.sim, fd, 63 * PAGE));
	PERSIST(result, gmem_sim_fail(kit.sim, GMEM_SYS_PRCTL, 0, 1, -EIO, 0));
	for (i = 60; i >= 0; i -= 8)
		PERSIST(result, kit_convert(&kit, fd, (uint64_t)i * PAGE, PAGE, false, NULL));
	PERSIST(result, kit_call(&kit, GMEM_SYS_MADVISE, (uint64_t)(uintptr_t)map + PAGE, PAGE,
				 MADV_DONTDUMP, 0, 0, 0));
	PERSIST(result, kit_call(&kit, GMEM_SYS_MUNMAP, (uint64_t)(uintptr_t)map + 32 * PAGE, PAGE,
				 0, 0, 0, 0));
	assert_byte(map + 60 * PAGE, 61);
	assert_byte(map + 4 * PAGE, 0);
	assert_private(map + 16 * PAGE);
	kit_unmap(&kit, map, 64 * PAGE);
	kit_close(&kit, fd);
	kit_close(&kit, kit.vcpu);
	kit_close(&kit, kit.vm);
	gmem_sim_free(kit.sim);
	assert_int_equal(kit_open_descriptors(), before);
}

struct variant {
	uint64_t sigbus;
	uint64_t mappings;
};

static void new_with_sigbus(struct kit *kit, void **state)
{
	const struct variant *variant = *state;
	const uint64_t settings[] = { GMEM_SIM_SIGBUS, variant->sigbus, GMEM_SIM_MAPPINGS,
				      variant->mappings, 0 };
	struct gmem_sim *sim;
	int err;

	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	err = gmem_sim_set(sim, GMEM_SIM_SIGBUS, settings[1]);
	gmem_sim_free(sim);
	if (err == -EOPNOTSUPP)
		skip();
	kit_new_with(kit, GMEM_SIM_IN_PLACE, SW, settings);
}

static void expect_private(void *opaque)
{
	uint8_t *map = opaque;

	assert_private(map + 2 * PAGE);
	assert_private(map + 3 * PAGE);
	assert_private(map + 5 * PAGE);
}

/*
 * P4: page 4 is shared, others of the range are private with bytes or (page 6) without. Whatever
 * the host refuses, all stay what they were, and nobody has seen a private byte.
 */
static void mixed_range_stays(struct kit *kit, long number, long second, int error)
{
	int fd = kit_create(kit, 32 * PAGE, MMAP_FLAG | SHARED_FLAG);
	uint8_t *map = kit_map(kit, fd, 32 * PAGE);
	unsigned int i;

	memset(map, 0x5a, 6 * PAGE);
	assert_int_equal(kit_convert(kit, fd, 0, 8 * PAGE, true, NULL), 0);
	assert_int_equal(kit_convert(kit, fd, 4 * PAGE, PAGE, false, NULL), 0);
	map[4 * PAGE] = 0x77;
	host_fails(number, second, error);
	host_failure.look = expect_private;
	host_failure.opaque = map;
	assert_int_equal(kit_convert(kit, fd, 2 * PAGE, 5 * PAGE, false, NULL), -ENOMEM);
	assert_int_not_equal(host_works(), 0);
	for (i = 0; i < 8; i++)
		assert_int_equal(kit_page(kit, fd, i * PAGE).state,
				 i == 4 ? GMEM_SHARED : GMEM_PRIVATE);
	expect_private(map);
	assert_private(map + 6 * PAGE);
	assert_byte(map + 4 * PAGE, 0x77);
	assert_int_equal(kit_convert(kit, fd, 2 * PAGE, 5 * PAGE, false, NULL), 0);
	assert_byte(map + 2 * PAGE, 0x5a);
	assert_byte(map + 3 * PAGE, 0x5a);
	assert_byte(map + 4 * PAGE, 0x77);
	assert_byte(map + 5 * PAGE, 0x5a);
	assert_byte(map + 6 * PAGE, 0);
	assert_private(map + 7 * PAGE);
	kit_unmap(kit, map, 32 * PAGE);
	kit_close(kit, fd);
}

static void host_out_of_memory(void **state)
{
	const struct variant *variant = *state;
	struct kit kit;

	new_with_sigbus(&kit, state);
	if (variant->sigbus == GMEM_SIM_SIGBUS_MAPPING)
		mixed_range_stays(&kit, SYS_mmap, -1, ENOMEM);
	else if (variant->mappings)
		mixed_range_stays(&kit, SYS_ioctl, (long)UFFDIO_UNREGISTER, ENOMEM);
	else
		mixed_range_stays(&kit, SYS_fallocate, FALLOC_FL_KEEP_SIZE, ENOSPC);
	if (variant->sigbus == GMEM_SIM_SIGBUS_USERFAULTFD && !variant->mappings)
		mixed_range_stays(&kit, SYS_ioctl, (long)UFFDIO_CONTINUE, ENOMEM);
	mixed_range_stays(&kit, SYS_pwrite64, -1, ENOSPC);
	kit_free(&kit);
}

static void close_behind_the_door(void *opaque)
{
	struct kit *kit = opaque;

	if (kit->vm >= 0) {
		close(kit->vm);
		close(kit->vcpu);
	}
	kit->vm = -1;
}

/* Everybody's last descriptor of a VM goes while a call has the VM in hand. */
static void closed_in_the_middle(void **state)
{
	static uint8_t byte = 1;
	unsigned int before;
	struct kit kit;
	int fd;

	(void)state;
	before = kit_open_descriptors();
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	host_fails(SYS_process_vm_readv, -1, 0);
	host_failure.look = close_behind_the_door;
	host_failure.opaque = &kit;
	fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG | SHARED_FLAG);
	assert_int_not_equal(host_works(), 0);
	assert_true(fd >= 0);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, true, NULL), 0);
	kit_close(&kit, fd);
	gmem_sim_free(kit.sim);
	assert_int_equal(kit_open_descriptors(), before);

	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, &byte - (uintptr_t)&byte % PAGE, -1, 0),
			 0);
	fd = gmem_sim_open_system(kit.sim);
	host_fails(SYS_process_vm_readv, -1, 0);
	host_failure.look = close_behind_the_door;
	host_failure.opaque = &kit;
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 1, 0), 0);
	assert_int_not_equal(host_works(), 0);
	assert_int_equal(kit_close(&kit, fd), 0);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 1, 0), -EBADF);
	gmem_sim_free(kit.sim);
	assert_int_equal(kit_open_descriptors(), before);
}

/* Memory of the caller's own, where a mapping was that he has replaced without the door. */
static uint8_t *replace(struct kit *kit, int fd)
{
	uint8_t *map = kit_map(kit, fd, 16 * PAGE);
	void *other = mmap(map, 16 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(other, map);
	memset(map, 7, 16 * PAGE);
	return map;
}

static void no_descriptor_is_left(void **state)
{
	struct rlimit limit, small;
	struct kit kit;
	uint8_t *map;
	int fd, err;

	new_with_sigbus(&kit, state);
	fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG | SHARED_FLAG);
	map = replace(&kit, fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	small = limit;
	small.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	err = kit_convert(&kit, fd, 0, 16 * PAGE, true, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(err, 0);
	assert_byte(map, 7);
	assert_byte(map + 15 * PAGE, 7);
	munmap(map, 16 * PAGE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* No look at what is mapped: nothing is done to what might be there. */
static void mappings_cannot_be_read(void **state)
{
	struct kit kit;
	uint8_t *map;
	int fd;

	host_fails(SYS_openat, -1, EACCES);
	host_failure.path = "/proc/self/maps";
	new_with_sigbus(&kit, state);
	assert_int_not_equal(host_works(), 0);
	fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG | SHARED_FLAG);
	map = replace(&kit, fd);
	assert_int_equal(kit_convert(&kit, fd, 0, 16 * PAGE, true, NULL), -ENOMEM);
	assert_byte(map, 7);
	assert_byte(map + 15 * PAGE, 7);
	assert_int_equal(kit_page(&kit, fd, 0).state, GMEM_SHARED);
	munmap(map, 16 * PAGE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

#define PROCMAP_QUERY 0xc0686611L

/* Linux before 6.11: the text of /proc/self/maps, of which there is more than one read's worth. */
static void mappings_as_text(void **state)
{
	struct kit kit;
	uint8_t *map;
	uint64_t i;
	int fd;

	host_fails(SYS_ioctl, PROCMAP_QUERY, ENOTTY);
	new_with_sigbus(&kit, state);
	fd = kit_create(&kit, 600 * PAGE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, 600 * PAGE);
	memset(map, 1, 600 * PAGE);
	for (i = 0; i < 600; i += 3)
		assert_int_equal(kit_convert(&kit, fd, i * PAGE, PAGE, true, NULL), 0);
	assert_int_equal(munmap(map + 300 * PAGE, 2 * PAGE), 0);
	assert_int_equal(kit_convert(&kit, fd, 200 * PAGE, 200 * PAGE, true, NULL), 0);
	for (i = 0; i < 600; i++) {
		bool is_private = i % 3 == 0 || (i >= 200 && i < 400);

		assert_int_equal(kit_get(map + i * PAGE), i == 300 || i == 301 ? -2
							  : is_private         ? -1
									       : 1);
	}
	assert_int_equal(kit_convert(&kit, fd, 0, 600 * PAGE, false, NULL), 0);
	for (i = 0; i < 600; i++)
		assert_int_equal(kit_get(map + i * PAGE), i == 300 || i == 301 ? -2 : 1);
	assert_int_not_equal(host_works(), 0);
	kit_unmap(&kit, map, 600 * PAGE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* Whether somebody still has the file is asked once an access, not for each of its pages. */
static void one_look_an_access(void **state)
{
	static uint8_t bytes[16 * PAGE];
	unsigned int few;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, 16 * PAGE, MMAP_FLAG | SHARED_FLAG);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 16 * PAGE, NULL, fd, 0), 0);
	host_fails(SYS_fcntl, F_SETLEASE, 0);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, bytes, PAGE, 0), 0);
	few = host_works();
	host_fails(SYS_fcntl, F_SETLEASE, 0);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, bytes, sizeof(bytes), 0), 0);
	assert_int_equal(host_works(), few);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* A host that does not say who has a file open: then closes and mappings are counted. */
static void leases_not_permitted(void **state, int error)
{
	unsigned int before;
	struct kit kit;
	uint8_t *map;
	int fd, copy;

	new_with_sigbus(&kit, state);
	before = kit_open_descriptors();
	host_fails(SYS_fcntl, F_SETLEASE, error);
	fd = gmem_sim_open_system(kit.sim);
	assert_int_equal(kit_close(&kit, fd), 0);
	assert_int_equal(kit_open_descriptors(), before);
	fd = kit_create(&kit, 4 * PAGE, MMAP_FLAG | SHARED_FLAG);
	copy = (int)kit_call(&kit, GMEM_SYS_FCNTL, (uint64_t)fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
	assert_true(copy >= 0);
	assert_int_equal(kit_close(&kit, fd), 0);
	map = kit_map(&kit, copy, 4 * PAGE);
	assert_int_equal(kit_convert(&kit, copy, PAGE, PAGE, true, NULL), 0);
	assert_int_equal(kit_close(&kit, copy), 0);
	assert_private(map + PAGE);
	assert_true(kit_open_descriptors() > before);
	kit_unmap(&kit, map, 4 * PAGE);
	assert_int_equal(kit_open_descriptors(), before);
	assert_int_not_equal(host_works(), 0);
	kit_free(&kit);
}

static void no_leases(void **state)
{
	leases_not_permitted(state, EACCES);
	leases_not_permitted(state, EINVAL);
}

int main(void)
{
	static struct variant uffd = { GMEM_SIM_SIGBUS_USERFAULTFD, 1000 };
	static struct variant joined = { GMEM_SIM_SIGBUS_USERFAULTFD, 0 };
	static struct variant mapping = { GMEM_SIM_SIGBUS_MAPPING, 0 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments),
		cmocka_unit_test(nth_call),
		cmocka_unit_test(for_ever),
		cmocka_unit_test(same_turn),
		cmocka_unit_test(what_the_kernel_writes),
		cmocka_unit_test(entries_count_as_runs),
		cmocka_unit_test(recorder),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(one_look_an_access),
		cmocka_unit_test(closed_in_the_middle),
		{ "no leases, userfaultfd", no_leases, NULL, NULL, &uffd },
		{ "no leases, mappings", no_leases, NULL, NULL, &mapping },
		{ "host out of memory, userfaultfd", host_out_of_memory, NULL, NULL, &uffd },
		{ "host out of memory, joined", host_out_of_memory, NULL, NULL, &joined },
		{ "host out of memory, mappings", host_out_of_memory, NULL, NULL, &mapping },
		{ "no descriptor is left, userfaultfd", no_descriptor_is_left, NULL, NULL, &uffd },
		{ "no descriptor is left, mappings", no_descriptor_is_left, NULL, NULL, &mapping },
		{ "mappings as text, userfaultfd", mappings_as_text, NULL, NULL, &uffd },
		{ "mappings as text, joined", mappings_as_text, NULL, NULL, &joined },
		{ "mappings as text, mappings", mappings_as_text, NULL, NULL, &mapping },
		{ "mappings cannot be read, userfaultfd", mappings_cannot_be_read, NULL, NULL,
		  &uffd },
		{ "mappings cannot be read, mappings", mappings_cannot_be_read, NULL, NULL,
		  &mapping },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
