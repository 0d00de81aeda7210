// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memslots of the simulator: what is refused, how they change, and their dirty logs. */
#include "sim-kit.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16
#define SIZE (PAGES * PAGE)

/* Where a process's memory ends: on x86-64 a page earlier than one might think. */
static uint8_t *host_end(void)
{
#ifdef __x86_64__
	return (uint8_t *)(uintptr_t)((UINT64_C(1) << 47) - PAGE);
#else
	return (uint8_t *)(uintptr_t)(UINT64_C(1) << 52);
#endif
}

/* S1, S2, I2: what is refused, and that nothing came of it. */
static void slot_refusals(void **state)
{
	struct kit kit;
	int fd, other_vm, foreign, copy;
	uint8_t *end;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 1, PAGE, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 1, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, (void *)1, -1, 0), -EINVAL);
	end = host_end();
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, end, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, end - PAGE, -1, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 0, 8, 0, PAGE, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 32764, 0, 0, PAGE, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 1 << 16, 0, 0, PAGE, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, UINT64_C(1) << 52, PAGE, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, UINT64_MAX - PAGE + 1, PAGE, NULL, -1, 0),
			 -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, UINT64_C(1) << 43, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, GMEM_KVM_MEM_READONLY, 0, PAGE, NULL, fd, 0),
			 -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, GMEM_KVM_MEM_LOG_DIRTY_PAGES, 0, PAGE, NULL, fd, 0),
			 -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, NULL, fd, 1), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, NULL, fd, SIZE), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, NULL, kit.vm, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, NULL, 999, 0), -EBADF);
	other_vm = gmem_sim_create_vm(kit.sim, SW);
	copy = kit.vm;
	kit.vm = other_vm;
	foreign = kit_create(&kit, PAGE, 0);
	kit.vm = copy;
	/* F12 */
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, NULL, foreign, 0), -EINVAL);
	kit_close(&kit, foreign);
	kit_close(&kit, other_vm);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 4 * PAGE, NULL, fd, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 1, 0, 3 * PAGE, PAGE, NULL, -1, 0), -EEXIST);
	copy = dup(fd);
	assert_int_equal(kit_set_slot(&kit, 1, 0, MIB, PAGE, NULL, copy, 3 * PAGE), -EEXIST);
	assert_int_equal(kit_set_slot(&kit, 1, 0, MIB, PAGE, NULL, copy, 4 * PAGE), 0);
	close(copy);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 4 * PAGE, NULL, fd, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 4 * PAGE, NULL, -1, 0), -EINVAL);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 4 * PAGE, NULL, fd, 0), 0);
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_USER_MEMORY_REGION2, NULL), -EFAULT);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void bind_error_of_6_18(void **state)
{
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_LINUX_6_18, SW);
	fd = kit_create(&kit, SIZE, 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, NULL, fd, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 1, 0, MIB, PAGE, NULL, fd, 0), -EINVAL);
	kit_close(&kit, fd);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_LINUX_6_8, 0);
	fd = kit_create(&kit, SIZE, 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, NULL, fd, 0), -EINVAL);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void plain_slots_change(void **state)
{
	struct gmem_kvm_userspace_memory_region old = { .slot = 9,
							.memory_size = PAGE,
							.guest_phys_addr = MIB };
	uint8_t *memory = kit_memory(SIZE);
	uint8_t value = 0;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_OLD, 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, memory, -1, 0), -ENOTTY);
	old.userspace_addr = (uint64_t)(uintptr_t)memory;
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_USER_MEMORY_REGION, &old), 0);
	memory[5] = 1;
	assert_int_equal(kit_guest_read(&kit, MIB + 5, &value, 0), 0);
	assert_int_equal(value, 1);
	old.flags = GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_USER_MEMORY_REGION, &old), 0);
	old.guest_phys_addr = 2 * MIB;
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_USER_MEMORY_REGION, &old), 0);
	assert_int_equal(kit_guest_read(&kit, MIB + 5, &value, 0), 1);
	assert_int_equal(kit_guest_write(&kit, 2 * MIB + 5, 2, 0), 0);
	assert_int_equal(memory[5], 2);
	old.flags |= GMEM_KVM_MEM_READONLY;
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_USER_MEMORY_REGION, &old), -EINVAL);
	old.flags = GMEM_KVM_MEM_GUEST_MEMFD;
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_SET_USER_MEMORY_REGION, &old), -EINVAL);
	munmap(memory, SIZE);
	kit_free(&kit);
}

static int dirty_log(struct kit *kit, uint32_t slot, uint64_t *bitmap)
{
	struct gmem_kvm_dirty_log log = { .slot = slot, .dirty_bitmap = (uintptr_t)bitmap };

	return kit_ioctl(kit, kit->vm, GMEM_KVM_GET_DIRTY_LOG, &log);
}

/* Of 70 pages: two words, and not more. */
static void dirty_log_is_told_once(void **state)
{
	const uint32_t log = GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	uint64_t bitmap[3] = { 1, 1, 7 };
	struct kit kit;
	uint8_t *map;

	(void)state;
	kit_new(&kit, GMEM_SIM_LINUX_6_18, 0);
	map = mmap(NULL, 70 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(kit_set_slot(&kit, 3, log, MIB, 70 * PAGE, map, -1, 0), 0);
	assert_int_equal(kit_guest_write(&kit, MIB + 5 * PAGE + 9, 1, 0), 0);
	assert_int_equal(kit_guest_write(&kit, MIB + 69 * PAGE, 1, GMEM_SIM_EMULATE), 0);
	map[6 * PAGE] = 1;
	assert_int_equal(dirty_log(&kit, 3, bitmap), 0);
	assert_int_equal(bitmap[0], 1 << 5);
	assert_int_equal(bitmap[1], 1 << 5);
	assert_int_equal(bitmap[2], 7);
	assert_int_equal(dirty_log(&kit, 3, bitmap), 0);
	assert_int_equal(bitmap[0] | bitmap[1], 0);
	/* A slot that moves takes it along, one that is switched off and on does not. */
	assert_int_equal(kit_guest_write(&kit, MIB, 1, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 3, log, 2 * MIB, 70 * PAGE, map, -1, 0), 0);
	assert_int_equal(dirty_log(&kit, 3, bitmap), 0);
	assert_int_equal(bitmap[0], 1);
	assert_int_equal(kit_guest_write(&kit, 2 * MIB, 1, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 3, 0, 2 * MIB, 70 * PAGE, map, -1, 0), 0);
	assert_int_equal(dirty_log(&kit, 3, bitmap), -ENOENT);
	assert_int_equal(kit_set_slot(&kit, 3, log, 2 * MIB, 70 * PAGE, map, -1, 0), 0);
	assert_int_equal(dirty_log(&kit, 3, bitmap), 0);
	assert_int_equal(bitmap[0], 0);
	assert_int_equal(dirty_log(&kit, 4, bitmap), -ENOENT);
	assert_int_equal(dirty_log(&kit, 32764, bitmap), -EINVAL);
	assert_int_equal(dirty_log(&kit, 2 << 16, bitmap), -EINVAL);
	assert_int_equal(dirty_log(&kit, 3, NULL), -EFAULT);
	assert_int_equal(kit_guest_write(&kit, 2 * MIB, 1, 0), 0);
	kit_free(&kit);
	munmap(map, 70 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slot_refusals),
		cmocka_unit_test(bind_error_of_6_18),
		cmocka_unit_test(plain_slots_change),
		cmocka_unit_test(dirty_log_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
