// SPDX-License-Identifier: LGPL-2.1-or-later
/* Conversions by both ioctls: arguments, contents, references, all or nothing. */
#include "sim-kit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGES 16

static int start(struct kit *kit, uint32_t type, uint64_t flags)
{
	const uint64_t settings[] = { GMEM_SIM_VM_TYPES, 1 | 1 << SW | 1 << SNP | 1 << TDX, 0 };
	int fd;

	kit_new_with(kit, GMEM_SIM_IN_PLACE, type, settings);
	fd = kit_create(kit, PAGES * PAGE, flags);
	assert_true(fd >= 0);
	return fd;
}

static void end(struct kit *kit, int fd)
{
	kit_close(kit, fd);
	kit_free(kit);
}

static void expect(struct kit *kit, int fd, const char *states)
{
	unsigned int i;

	for (i = 0; states[i]; i++)
		assert_int_equal(kit_page(kit, fd, i * PAGE).state,
				 states[i] == 'p' ? GMEM_PRIVATE : GMEM_SHARED);
}

/* P5: none of these changes anything, or writes error_offset. */
static void bad_arguments(void **state)
{
	static const struct gmem_kvm_memory_attributes2 all[] = {
		{ .offset = 1, .size = PAGE },
		{ .offset = 0, .size = 1 },
		{ .offset = 0, .size = 0 },
		{ .offset = PAGE, .size = UINT64_MAX - PAGE + 1 },
		{ .offset = 0, .size = (PAGES + 1) * PAGE },
		{ .offset = PAGES * PAGE, .size = PAGE },
		{ .offset = 0, .size = PAGE, .attributes = 1 },
		{ .offset = 0, .size = PAGE, .flags = 1 },
		{ .offset = 0, .size = PAGE, .reserved = { 1 } },
		{ .offset = 0, .size = PAGE, .reserved = { [10] = 1 } },
	};
	struct gmem_kvm_memory_attributes2 one;
	struct kit kit;
	size_t i;
	int fd;

	(void)state;
	fd = start(&kit, SW, 0);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		one = all[i];
		one.error_offset = 77;
		assert_int_equal(kit_ioctl(&kit, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &one),
				 -EINVAL);
		assert_int_equal(one.error_offset, 77);
	}
	assert_int_equal(kit_ioctl(&kit, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, NULL), -EFAULT);
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &one), -ENOTTY);
	expect(&kit, fd, "pppppppppppppppp");
	end(&kit, fd);
}

/* C1, as three kinds of VM answer the probe */
static void probe(void **state)
{
	struct kit kit;
	int fd;

	(void)state;
	fd = start(&kit, SW, 0);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, true, NULL), 0);
	end(&kit, fd);
	fd = start(&kit, 0, 0);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, true, NULL), -EINVAL);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, false, NULL), -EINVAL);
	end(&kit, fd);
	kit_new(&kit, GMEM_SIM_LINUX_6_18, SW);
	fd = kit_create(&kit, PAGE, 0);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, true, NULL), -ENOTTY);
	end(&kit, fd);
}

static void mixed_ranges(void **state)
{
	struct kit kit;
	int fd;

	(void)state;
	fd = start(&kit, SW, MMAP_FLAG);
	assert_int_equal(kit_convert(&kit, fd, 2 * PAGE, 3 * PAGE, false, NULL), 0);
	expect(&kit, fd, "ppsssppppppppppp");
	assert_int_equal(kit_convert(&kit, fd, 3 * PAGE, PAGE, true, NULL), 0);
	expect(&kit, fd, "ppspsppppppppppp");
	assert_int_equal(kit_convert(&kit, fd, 0, 6 * PAGE, false, NULL), 0);
	expect(&kit, fd, "sssssspppppppppp");
	assert_int_equal(kit_convert(&kit, fd, 0, 6 * PAGE, false, NULL), 0);
	assert_int_equal(kit_convert(&kit, fd, PAGE, 15 * PAGE, true, NULL), 0);
	expect(&kit, fd, "sppppppppppppppp");
	end(&kit, fd);
}

/* P7: the guest's bytes come to the host, and the host's to the guest. */
static void contents_are_kept(void **state)
{
	uint8_t *map, value = 0;
	struct kit kit;
	int fd;

	(void)state;
	fd = start(&kit, SW, MMAP_FLAG);
	map = kit_map(&kit, fd, PAGES * PAGE);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGES * PAGE, map, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, PAGE + 3, 42, 0), 0);
	assert_private(map + PAGE + 3);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, false, NULL), 0);
	assert_byte(map + PAGE + 3, 42);
	map[PAGE + 4] = 43;
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, NULL), 0);
	assert_int_equal(kit_guest_read(&kit, PAGE + 4, &value, 0), 0);
	assert_int_equal(value, 43);
	kit_unmap(&kit, map, PAGES * PAGE);
	end(&kit, fd);
}

static bool is_destroyed(struct kit *kit, int fd)
{
	uint8_t *map = kit_map(kit, fd, PAGES * PAGE);
	unsigned int i, same = 0, zero = 0;

	assert_int_equal(kit_convert(kit, fd, 0, PAGE, false, NULL), 0);
	memset(map, 0x5a, PAGE);
	assert_int_equal(kit_convert(kit, fd, 0, PAGE, true, NULL), 0);
	assert_int_equal(kit_convert(kit, fd, 0, PAGE, false, NULL), 0);
	for (i = 0; i < PAGE; i++) {
		same += map[i] == 0x5a;
		zero += map[i] == 0;
	}
	kit_unmap(kit, map, PAGES * PAGE);
	assert_true(same == PAGE || (same < PAGE / 4 && zero < PAGE / 4));
	return same < PAGE;
}

static void contents_are_destroyed(void **state)
{
	static const uint64_t choices[] = { GMEM_SIM_CONTENTS_BY_TYPE, GMEM_SIM_CONTENTS_KEPT,
					    GMEM_SIM_CONTENTS_DESTROYED };
	struct kit kit;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < 3; i++) {
		const uint64_t settings[] = { GMEM_SIM_CONTENTS, choices[i], 0 };

		kit_new_with(&kit, GMEM_SIM_IN_PLACE, SW, settings);
		fd = kit_create(&kit, PAGES * PAGE, MMAP_FLAG);
		assert_int_equal(is_destroyed(&kit, fd), i == 2);
		end(&kit, fd);
	}
	fd = start(&kit, TDX, MMAP_FLAG);
	assert_false(is_destroyed(&kit, fd));
	assert_int_equal(gmem_sim_finish_launch(kit.sim, kit.vm), 0);
	assert_true(is_destroyed(&kit, fd));
	end(&kit, fd);
}

/* P2 to P4 */
static void pins_refuse(void **state)
{
	uint64_t offset;
	struct kit kit;
	uint8_t *map;
	int fd;

	(void)state;
	fd = start(&kit, SW, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, PAGES * PAGE);
	map[4 * PAGE] = 9;
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 4 * PAGE, 2 * PAGE, 0), 0);
	assert_int_equal(kit_page(&kit, fd, 4 * PAGE).pins, 1);
	assert_int_equal(kit_page(&kit, fd, 5 * PAGE).allocated, 1);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset), -EAGAIN);
	assert_int_equal(offset, 4 * PAGE);
	expect(&kit, fd, "ssssssssssssssss");
	assert_byte(map + 4 * PAGE, 9);
	assert_int_equal(kit_convert(&kit, fd, 0, 4 * PAGE, true, &offset), 0);
	assert_int_equal(offset, UINT64_MAX);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset), -EAGAIN);
	expect(&kit, fd, "ppppssssssssssss");
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, false, NULL), 0);
	assert_int_equal(gmem_sim_unpin(kit.sim, fd, 4 * PAGE, PAGE), 0);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset), -EAGAIN);
	assert_int_equal(offset, 5 * PAGE);
	/* Punching frees it. */
	assert_int_equal(kit_punch(&kit, fd, 5 * PAGE, PAGE), 0);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset), 0);
	assert_private(map + 4 * PAGE);
	kit_unmap(&kit, map, PAGES * PAGE);
	end(&kit, fd);
}

static void pins_that_go(void **state)
{
	uint64_t offset;
	struct kit kit;
	int fd, i;

	(void)state;
	fd = start(&kit, SW, SHARED_FLAG);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, PAGE, PAGE, 3), 0);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, PAGE, PAGE, 1), 0);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 7 * PAGE, PAGE, 2), 0);
	assert_int_equal(kit_page(&kit, fd, PAGE).pins, 2);
	for (i = 0; i < 3; i++) {
		assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset), -EAGAIN);
		assert_int_equal(offset, PAGE);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset), -EAGAIN);
		assert_int_equal(offset, 7 * PAGE);
	}
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset), 0);
	assert_int_equal(kit_page(&kit, fd, PAGE).pins, 0);
	end(&kit, fd);
}

static void pin_arguments(void **state)
{
	struct kit kit;
	int fd;

	(void)state;
	fd = start(&kit, SW, SHARED_FLAG);
	assert_int_equal(gmem_sim_pin(NULL, fd, 0, PAGE, 0), -EINVAL);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 1, PAGE, 0), -EINVAL);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 0, 0, 0), -EINVAL);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 0, (PAGES + 1) * PAGE, 0), -EINVAL);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, UINT64_MAX - PAGE + 1, PAGE, 0), -EINVAL);
	assert_int_equal(gmem_sim_pin(kit.sim, kit.vm, 0, PAGE, 0), -EBADF);
	assert_int_equal(gmem_sim_pin(kit.sim, -1, 0, PAGE, 0), -EBADF);
	assert_int_equal(kit_convert(&kit, fd, PAGE, PAGE, true, NULL), 0);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 0, 2 * PAGE, 0), -EACCES);
	assert_int_equal(kit_page(&kit, fd, 0).pins, 0);
	assert_int_equal(gmem_sim_unpin(NULL, fd, 0, PAGE), -EINVAL);
	assert_int_equal(gmem_sim_unpin(kit.sim, fd, 0, PAGE + 1), -EINVAL);
	assert_int_equal(gmem_sim_unpin(kit.sim, -1, 0, PAGE), -EBADF);
	assert_int_equal(gmem_sim_unpin(kit.sim, fd, 0, PAGE), -ENOENT);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 0, PAGE, 0), 0);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 2 * PAGE, PAGE, 5), 0);
	assert_int_equal(gmem_sim_pin(kit.sim, fd, 2 * PAGE, PAGE, 0), 0);
	assert_int_equal(gmem_sim_unpin(kit.sim, fd, 0, 3 * PAGE), -ENOENT);
	assert_int_equal(kit_page(&kit, fd, 0).pins, 1);
	assert_int_equal(gmem_sim_unpin(kit.sim, fd, 2 * PAGE, PAGE), 0);
	assert_int_equal(kit_page(&kit, fd, 2 * PAGE).pins, 1);
	assert_int_equal(gmem_sim_unpin(kit.sim, fd, 2 * PAGE, PAGE), 0);
	assert_int_equal(gmem_sim_unpin(kit.sim, fd, 2 * PAGE, PAGE), -ENOENT);
	end(&kit, fd);
}

static void get_page(void **state)
{
	struct gmem_sim_page page;
	struct kit kit;
	int fd;

	(void)state;
	fd = start(&kit, SW, MMAP_FLAG);
	assert_int_equal(gmem_sim_get_page(NULL, fd, 0, &page), -EINVAL);
	assert_int_equal(gmem_sim_get_page(kit.sim, fd, 0, NULL), -EINVAL);
	assert_int_equal(gmem_sim_get_page(kit.sim, kit.vcpu, 0, &page), -EBADF);
	assert_int_equal(gmem_sim_get_page(kit.sim, fd, PAGES * PAGE, &page), -ENOENT);
	assert_int_equal(gmem_sim_get_page(kit.sim, kit.vm, 0, &page), -ENOENT);
	assert_int_equal(kit_page(&kit, fd, 5).slot, GMEM_SIM_NO_SLOT);
	assert_int_equal(kit_set_slot(&kit, 7, 0, MIB, 4 * PAGE, NULL, fd, 2 * PAGE), 0);
	assert_int_equal(kit_page(&kit, fd, 3 * PAGE + 5).slot, 7);
	assert_int_equal(kit_page(&kit, fd, 3 * PAGE + 5).gpa, MIB + PAGE);
	assert_int_equal(kit_page(&kit, fd, PAGE).slot, GMEM_SIM_NO_SLOT);
	assert_int_equal(kit_page(&kit, fd, PAGE).gpa, 0);
	assert_int_equal(gmem_sim_poison(NULL, fd, 0), -EINVAL);
	assert_int_equal(gmem_sim_poison(kit.sim, kit.vm, 0), -EBADF);
	assert_int_equal(gmem_sim_poison(kit.sim, fd, PAGES * PAGE), -EINVAL);
	assert_int_equal(gmem_sim_poison(kit.sim, fd, PAGE + 1), 0);
	assert_int_equal(kit_page(&kit, fd, PAGE).poisoned, 1);
	assert_int_equal(kit_page(&kit, fd, 2 * PAGE).poisoned, 0);
	assert_int_equal(kit_punch(&kit, fd, PAGE, PAGE), 0);
	assert_int_equal(kit_page(&kit, fd, PAGE).poisoned, 0);
	end(&kit, fd);
}

/* V1, C2 */
static void per_vm(void **state)
{
	static const struct gmem_kvm_memory_attributes bad[] = {
		{ 1, PAGE, 0, 0 }, { 0, 1, 0, 0 },
		{ 0, 0, 0, 0 },    { UINT64_MAX - PAGE + 1, PAGE, 0, 0 },
		{ 0, PAGE, 1, 0 }, { 0, PAGE, PRIVATE_BIT | 1, 0 },
		{ 0, PAGE, 0, 1 },
	};
	struct kit kit;
	size_t i;

	(void)state;
	kit_new(&kit, GMEM_SIM_LINUX_6_18, SW);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES, &bad[i]),
				 -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES, NULL), -EFAULT);
	/* Over slots and holes alike. */
	assert_int_equal(kit_set_slot(&kit, 3, 0, MIB, PAGE, NULL, -1, 0), 0);
	assert_int_equal(kit_set_attributes(&kit, MIB - PAGE, 4 * PAGE, PRIVATE_BIT), 0);
	assert_int_equal(kit_set_attributes(&kit, MIB + PAGE, PAGE, 0), 0);
	assert_int_equal(kit_page(&kit, kit.vm, MIB - PAGE).state, GMEM_PRIVATE);
	assert_int_equal(kit_page(&kit, kit.vm, MIB).state, GMEM_PRIVATE);
	assert_int_equal(kit_page(&kit, kit.vm, MIB).slot, 3);
	assert_int_equal(kit_page(&kit, kit.vm, MIB + PAGE).state, GMEM_SHARED);
	assert_int_equal(kit_page(&kit, kit.vm, MIB + 2 * PAGE).state, GMEM_PRIVATE);
	assert_int_equal(kit_page(&kit, kit.vm, MIB + 3 * PAGE).slot, GMEM_SIM_NO_SLOT);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_LINUX_6_18, 0);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, PRIVATE_BIT), -EINVAL);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, 0), 0);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, PRIVATE_BIT), -EINVAL);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, 0), 0);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_OLD, 0);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, 0), -ENOTTY);
	kit_free(&kit);
}

/* An untouched GiB is not made, kept, or copied. */
static void untouched_memory_is_cheap(void **state)
{
	struct kit kit;
	uint8_t *map;
	uint64_t i;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, 64 * GIB, MMAP_FLAG);
	map = kit_map(&kit, fd, 64 * GIB);
	for (i = 0; i < 10; i++) {
		assert_int_equal(kit_convert(&kit, fd, 0, 64 * GIB, false, NULL), 0);
		assert_int_equal(kit_convert(&kit, fd, 0, 64 * GIB, true, NULL), 0);
	}
	for (i = 0; i < 64; i++)
		assert_int_equal(kit_page(&kit, fd, i * GIB).allocated, 0);
	kit_unmap(&kit, map, 64 * GIB);
	end(&kit, fd);
}

/* Memory that cannot be had: nothing happened. */
static void no_memory(void **state)
{
	struct rlimit limit, small;
	uint64_t offset = 0;
	struct kit kit;
	uint8_t *map;
	int fd, err;

	(void)state;
	fd = start(&kit, SW, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, PAGES * PAGE);
	memset(map, 7, PAGES * PAGE);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 4 * PAGE;
	/* A write past this limit fails, and no signal comes for one that is not of ours. */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = kit_convert(&kit, fd, 0, PAGES * PAGE, true, &offset);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(offset, 0);
	expect(&kit, fd, "ssssssssssssssss");
	assert_byte(map, 7);
	assert_byte(map + PAGES * PAGE - 1, 7);
	assert_int_equal(kit_write(map + PAGE, 8), TOUCH_DONE);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, true, NULL), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = kit_convert(&kit, fd, 0, PAGES * PAGE, false, &offset);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(err, -ENOMEM);
	expect(&kit, fd, "pppppppppppppppp");
	assert_private(map);
	assert_private(map + 5 * PAGE);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGES * PAGE, false, NULL), 0);
	assert_byte(map + PAGE, 8);
	assert_byte(map + 9 * PAGE, 7);
	kit_unmap(&kit, map, PAGES * PAGE);
	end(&kit, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(probe),
		cmocka_unit_test(mixed_ranges),
		cmocka_unit_test(contents_are_kept),
		cmocka_unit_test(contents_are_destroyed),
		cmocka_unit_test(pins_refuse),
		cmocka_unit_test(pins_that_go),
		cmocka_unit_test(pin_arguments),
		cmocka_unit_test(get_page),
		cmocka_unit_test(per_vm),
		cmocka_unit_test(untouched_memory_is_cheap),
		cmocka_unit_test(no_memory),
	};

	/* RLIMIT_FSIZE */
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
