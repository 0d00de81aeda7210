// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memslots, and what the guest sees through them: accesses, exits, hypercalls, prefault. */
#include "sim-kit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 16
#define SIZE (PAGES * PAGE)

static uint8_t *new_memory(uint64_t size)
{
	uint8_t *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

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
	uint8_t *memory = new_memory(SIZE);
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

static void access_arguments(void **state)
{
	uint8_t byte = 0;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_guest_access(NULL, kit.vcpu, 0, &byte, 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, NULL, 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 0, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, GIB + 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, UINT64_MAX, &byte, 1, 0),
			 -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 1, 16), -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 1, GMEM_SIM_SMM),
			 -EINVAL);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vm, 0, &byte, 1, 0), -EBADF);
	assert_int_equal(gmem_sim_guest_access(kit.sim, -1, 0, &byte, 1, 0), -EBADF);
	kit_free(&kit);
}

static void mmio(void **state)
{
	uint8_t bytes[13];
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	memcpy(bytes, "abcdefghijklm", 13);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, GMEM_SIM_WRITE),
			 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	assert_int_equal(kit.run->mmio.phys_addr, MIB);
	assert_int_equal(kit.run->mmio.len, 8);
	assert_int_equal(kit.run->mmio.is_write, 1);
	assert_memory_equal(kit.run->mmio.data, "abcdefgh", 8);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, GMEM_SIM_WRITE),
			 1);
	assert_int_equal(kit.run->mmio.phys_addr, MIB + 8);
	assert_int_equal(kit.run->mmio.len, 5);
	assert_memory_equal(kit.run->mmio.data, "ijklm", 5);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, GMEM_SIM_WRITE),
			 0);
	/* Again from the start. */
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 1);
	assert_int_equal(kit.run->mmio.is_write, 0);
	memcpy(kit.run->mmio.data, "ABCDEFGH", 8);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 1);
	memcpy(kit.run->mmio.data, "IJKLM", 5);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 0);
	assert_memory_equal(bytes, "ABCDEFGHIJKLM", 13);
	/* Another access does not take it up. */
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 13, 0), 1);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, MIB, bytes, 12, 0), 1);
	assert_int_equal(kit.run->mmio.phys_addr, MIB);
	kit_free(&kit);
}

static void readonly_slot(void **state)
{
	uint8_t *memory = new_memory(PAGE), value = 0;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	memory[1] = 6;
	assert_int_equal(kit_set_slot(&kit, 0, GMEM_KVM_MEM_READONLY, 0, PAGE, memory, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 1, &value, 0), 0);
	assert_int_equal(value, 6);
	assert_int_equal(kit_guest_write(&kit, 1, 7, 0), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	assert_int_equal(memory[1], 6);
	munmap(memory, PAGE);
	kit_free(&kit);
}

/* S4 */
static void unmapped_user_memory(void **state)
{
	uint8_t *memory = new_memory(PAGE), value = 0;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, PAGE, memory, -1, 0), 0);
	munmap(memory, PAGE);
	kit.run->exit_reason = 99;
	assert_int_equal(kit_guest_read(&kit, 0, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_UNKNOWN);
	assert_int_equal(kit_guest_read(&kit, 0, &value, GMEM_SIM_EMULATE), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(kit.run->internal.suberror, SIM_KVM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(kit_guest_read(&kit, PAGE, &value, GMEM_SIM_EMULATE), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	kit_free(&kit);
}

/* S3, S4: the file's pages by the file, KVM's accesses and plain slots by the mapping. */
static void in_place_sides(void **state)
{
	uint8_t *map, value = 0;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, SIZE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, SIZE);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, map, fd, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 1, 0, MIB, SIZE, map, -1, 0), 0);
	map[3] = 1;
	assert_int_equal(kit_guest_read(&kit, 3, &value, 0), 0);
	assert_int_equal(value, 1);
	assert_int_equal(kit_guest_write(&kit, MIB + 3, 2, 0), 0);
	assert_int_equal(map[3], 2);
	assert_int_equal(kit_guest_read(&kit, 3, &value, GMEM_SIM_EMULATE), 0);
	assert_int_equal(value, 2);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, true, NULL), 0);
	assert_int_equal(kit_guest_read(&kit, 3, &value, 0), 0);
	assert_int_equal(value, 2);
	assert_int_equal(kit_guest_read(&kit, 3, &value, GMEM_SIM_EMULATE), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_INTERNAL_ERROR);
	/* E2: not to be converted */
	assert_int_equal(kit_guest_read(&kit, MIB + 3, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_UNKNOWN);
	/* S6: gone for the guest */
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 3, &value, 0), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MMIO);
	kit_unmap(&kit, map, SIZE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* V2, S6: two pages at one address; attributes that outlive the slot */
static void per_vm_sides(void **state)
{
	uint8_t *memory = new_memory(SIZE), value = 0;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_LINUX_6_18, SW);
	fd = kit_create(&kit, SIZE, 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, 5, 1, 0), 0);
	assert_int_equal(memory[5], 1);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, PRIVATE_BIT), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 0);
	assert_int_equal(kit_guest_write(&kit, 5, 2, 0), 0);
	assert_int_equal(memory[5], 1);
	assert_int_equal(kit_page(&kit, fd, 0).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, PAGE).allocated, 0);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 1);
	assert_int_equal(kit_set_attributes(&kit, 0, PAGE, PRIVATE_BIT), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 2);
	assert_int_equal(kit_punch(&kit, fd, 0, PAGE), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
	assert_int_equal(value, 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.flags, 8);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 5, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.flags, 8);
	kit_close(&kit, fd);
	munmap(memory, SIZE);
	kit_free(&kit);
}

/* S5 */
static void lost_file(void **state)
{
	static const struct {
		uint32_t preset;
		uint64_t flags;
		bool is_shared_now;
	} all[] = {
		{ GMEM_SIM_LINUX_6_18, 0, false },
		{ GMEM_SIM_IN_PLACE, MMAP_FLAG, false },
		{ GMEM_SIM_IN_PLACE, 0, true },
	};
	size_t i;
	int through_door;

	(void)state;
	for (i = 0; i < 6; i++) {
		uint8_t *memory = new_memory(SIZE), value = 0;
		struct kit kit;
		int fd;

		through_door = i < 3;
		kit_new(&kit, all[i % 3].preset, SW);
		fd = kit_create(&kit, SIZE, all[i % 3].flags);
		assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, fd, 0), 0);
		kit_set_attributes(&kit, 0, SIZE, PRIVATE_BIT);
		assert_int_equal(kit_guest_write(&kit, 5, 1, 0), 0);
		memory[5] = 2;
		if (through_door)
			kit_close(&kit, fd);
		else
			close(fd);
		if (all[i % 3].is_shared_now) {
			assert_int_equal(kit_guest_read(&kit, 5, &value, 0), 0);
			assert_int_equal(value, 2);
		} else {
			assert_int_equal(kit_guest_read(&kit, 5, &value, 0), -EFAULT);
			assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
		}
		munmap(memory, SIZE);
		kit_free(&kit);
	}
}

/* F7 */
static void default_vm(void **state)
{
	uint8_t *map, value = 0;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, 0);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, NULL, fd, 0), 0);
	assert_int_equal(kit_guest_read(&kit, PAGE + 5, &value, 0), -EFAULT);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.flags, 0);
	assert_int_equal(kit.run->memory_fault.gpa, PAGE);
	assert_int_equal(kit.run->memory_fault.size, PAGE);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 0, NULL, -1, 0), 0);
	kit_close(&kit, fd);
	fd = kit_create(&kit, SIZE, MMAP_FLAG | SHARED_FLAG);
	map = kit_map(&kit, fd, SIZE);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, map, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, PAGE + 5, 3, 0), 0);
	assert_int_equal(map[PAGE + 5], 3);
	/* The second address space has its own slots. */
	assert_int_equal(kit_guest_read(&kit, PAGE + 6, &value, GMEM_SIM_SMM), 1);
	assert_int_equal(kit_set_slot(&kit, 1 << 16, 0, 0, SIZE, map, -1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, PAGE + 5, &value, GMEM_SIM_SMM), 0);
	assert_int_equal(value, 3);
	kit_unmap(&kit, map, SIZE);
	kit_close(&kit, fd);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_LINUX_6_18, 0);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, NULL, fd, 0), 0);
	assert_int_equal(kit_guest_write(&kit, 7, 1, 0), 0);
	assert_int_equal(kit_guest_read(&kit, 7, &value, 0), 0);
	assert_int_equal(value, 1);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* S6, E2: the guest's word against the tracking's */
static void snp_faults(void **state)
{
	static const uint32_t presets[] = { GMEM_SIM_LINUX_6_18, GMEM_SIM_IN_PLACE };
	uint8_t value = 0;
	struct kit kit;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint8_t *memory = new_memory(SIZE);

		kit_new(&kit, presets[i], SNP);
		fd = kit_create(&kit, SIZE, 0);
		assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, memory, fd, 0), 0);
		if (i == 0)
			assert_int_equal(kit_set_attributes(&kit, 0, SIZE, PRIVATE_BIT), 0);
		assert_int_equal(kit_guest_write(&kit, 9, 4, GMEM_SIM_PRIVATE), 0);
		assert_int_equal(kit_page(&kit, fd, 0).assigned, 1);
		assert_int_equal(kit_guest_read(&kit, 9, &value, 0), -EFAULT);
		assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
		assert_int_equal(kit.run->memory_fault.flags, 0);
		if (i == 0)
			assert_int_equal(kit_set_attributes(&kit, 0, SIZE, 0), 0);
		else
			assert_int_equal(kit_convert(&kit, fd, 0, SIZE, false, NULL), 0);
		memory[9] = 8;
		assert_int_equal(kit_guest_read(&kit, 9, &value, 0), 0);
		assert_int_equal(value, 8);
		assert_int_equal(kit_guest_read(&kit, 9, &value, GMEM_SIM_PRIVATE), -EFAULT);
		assert_int_equal(kit.run->memory_fault.flags, 8);
		assert_int_equal(kit_guest_read(&kit, MIB, &value, GMEM_SIM_PRIVATE), -EFAULT);
		assert_int_equal(kit.run->memory_fault.gpa, MIB);
		assert_int_equal(kit_guest_read(&kit, MIB, &value, 0), 1);
		kit_close(&kit, fd);
		munmap(memory, SIZE);
		kit_free(&kit);
	}
}

static void across_pages(void **state)
{
	uint8_t out[3 * PAGE], in[3 * PAGE];
	struct kit kit;
	unsigned int i;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_convert(&kit, fd, PAGE, PAGE, false, NULL), 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, 2 * PAGE, NULL, fd, 0), 0);
	assert_int_equal(kit_set_slot(&kit, 1, 0, 2 * PAGE, 2 * PAGE, NULL, fd, 4 * PAGE), 0);
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(
		gmem_sim_guest_access(kit.sim, kit.vcpu, 100, out, sizeof(out), GMEM_SIM_WRITE), 0);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 100, in, sizeof(in), 0), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(kit_page(&kit, fd, 2 * PAGE).allocated, 0);
	assert_int_equal(kit_page(&kit, fd, 4 * PAGE).allocated, 1);
	assert_int_equal(gmem_sim_poison(kit.sim, fd, 4 * PAGE), 0);
	assert_int_equal(gmem_sim_guest_access(kit.sim, kit.vcpu, 100, in, sizeof(in), 0),
			 -EHWPOISON);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(kit.run->memory_fault.gpa, 2 * PAGE);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void enable_hypercall(struct kit *kit)
{
	struct sim_kvm_enable_cap capability = { .cap = GMEM_KVM_CAP_EXIT_HYPERCALL,
						 .args = { 1 << GMEM_KVM_HC_MAP_GPA_RANGE } };

	assert_int_equal(kit_ioctl(kit, kit->vm, SIM_KVM_ENABLE_CAP, &capability), 0);
	capability.args[0] |= 1;
	assert_int_equal(kit_ioctl(kit, kit->vm, SIM_KVM_ENABLE_CAP, &capability), -EINVAL);
}

/* E1 */
static void hypercall(void **state)
{
	uint64_t result = 0;
	uint8_t value;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_guest_map_gpa_range(NULL, kit.vcpu, 0, 1, 0), -EINVAL);
	assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vm, 0, 1, 0), -EBADF);
	assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 0), -EOPNOTSUPP);
	enable_hypercall(&kit);
	assert_int_equal(gmem_sim_guest_get_result(NULL, kit.vcpu, &result), -EINVAL);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, NULL), -EINVAL);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vm, &result), -EBADF);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), -ENOENT);
	assert_int_equal(
		gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, UINT64_MAX, UINT64_MAX, 17), 1);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_HYPERCALL);
	assert_int_equal(kit.run->hypercall.nr, 12);
	assert_int_equal(kit.run->hypercall.args[0], UINT64_MAX);
	assert_int_equal(kit.run->hypercall.args[1], UINT64_MAX);
	assert_int_equal(kit.run->hypercall.args[2], 17);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), -ENOENT);
	kit.run->hypercall.ret = 5;
	kit.run->immediate_exit = 1;
	assert_int_equal(kit_guest_read(&kit, 0, &value, 0), -EINTR);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_HYPERCALL);
	assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), 0);
	assert_int_equal(result, 5);
	assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 0), -EINTR);
	kit.run->immediate_exit = 0;
	kit_free(&kit);
}

static void hypercall_of_snp(void **state)
{
	static const uint64_t results[] = { 0, EAGAIN, EINVAL, 1, (uint64_t)-EINVAL };
	uint64_t result;
	uint8_t value;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		struct kit kit;

		kit_new(&kit, GMEM_SIM_IN_PLACE, SNP);
		assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 16), 1);
		kit.run->hypercall.ret = results[i];
		if (i >= 3) {
			assert_int_equal(gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 16),
					 -EIO);
		} else {
			assert_int_equal(kit_guest_read(&kit, 0, &value, 0), 1);
			assert_int_equal(kit.run->exit_reason,
					 i == 0 ? SIM_KVM_EXIT_MMIO : SIM_KVM_EXIT_SYSTEM_EVENT);
			assert_int_equal(gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result), 0);
			assert_int_equal(result, results[i]);
		}
		kit_free(&kit);
	}
}

static void kvm_run(void **state)
{
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, GMEM_KVM_RUN, NULL), 0);
	assert_int_equal(kit.run->exit_reason, SIM_KVM_EXIT_HLT);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, GMEM_KVM_RUN, (void *)1), -EINVAL);
	kit.run->immediate_exit = 1;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, GMEM_KVM_RUN, NULL), -EINTR);
	kit_free(&kit);
}

static int pre_fault(struct kit *kit, uint64_t gpa, uint64_t size, uint64_t *left)
{
	struct sim_kvm_pre_fault_memory range = { .gpa = gpa, .size = size };
	int result = kit_ioctl(kit, kit->vcpu, SIM_KVM_PRE_FAULT_MEMORY, &range);

	*left = range.size;
	return result;
}

/* E4 */
static void pre_fault_memory(void **state)
{
	struct sim_kvm_pre_fault_memory flags = { .size = PAGE, .flags = 1 };
	struct kit kit;
	uint64_t left;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, SIZE, MMAP_FLAG);
	assert_int_equal(kit_convert(&kit, fd, PAGE, PAGE, false, NULL), 0);
	assert_int_equal(kit_set_slot(&kit, 0, 0, 0, SIZE, NULL, fd, 0), 0);
	assert_int_equal(pre_fault(&kit, 0, 4 * PAGE, &left), 0);
	assert_int_equal(left, 0);
	assert_int_equal(kit_page(&kit, fd, 0).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, PAGE).allocated, 1);
	assert_int_equal(kit_page(&kit, fd, 4 * PAGE).allocated, 0);
	assert_int_equal(pre_fault(&kit, SIZE - PAGE, 4 * PAGE, &left), 0);
	assert_int_equal(left, 3 * PAGE);
	assert_int_equal(pre_fault(&kit, SIZE, PAGE, &left), -ENOENT);
	assert_int_equal(pre_fault(&kit, 1, PAGE, &left), -EINVAL);
	assert_int_equal(pre_fault(&kit, 0, 1, &left), -EINVAL);
	assert_int_equal(pre_fault(&kit, 0, 0, &left), -EINVAL);
	assert_int_equal(pre_fault(&kit, UINT64_MAX - PAGE + 1, PAGE, &left), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_PRE_FAULT_MEMORY, &flags), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_PRE_FAULT_MEMORY, NULL), -EFAULT);
	kit_close(&kit, fd);
	kit_free(&kit);
	kit_new(&kit, GMEM_SIM_LINUX_6_8, SW);
	assert_int_equal(pre_fault(&kit, 0, PAGE, &left), -EINVAL);
	kit_free(&kit);
}

static void registers(void **state)
{
	struct {
		struct sim_kvm_msrs head;
		struct sim_kvm_msr_entry entry[2];
	} msrs = { { 2, 0 }, { { 0x277, 0, 5 }, { 0x10, 0, 0 } } };
	struct {
		struct sim_kvm_cpuid2 head;
		struct sim_kvm_cpuid_entry2 entry[2];
	} cpuid = { { 2, 0 }, { { .function = 1, .eax = 7 }, { .function = 2 } } };
	struct sim_kvm_sregs sregs;
	struct sim_kvm_regs regs;
	struct sim_kvm_xcrs xcrs;
	struct sim_kvm_fpu fpu;
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_REGS, &regs), 0);
	assert_int_equal(regs.rip, 0xfff0);
	regs.rax = 9;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_REGS, &regs), 0);
	regs.rax = 0;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_REGS, &regs), 0);
	assert_int_equal(regs.rax, 9);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cs.type, 0xa);
	assert_int_equal(sregs.ds.type, 3);
	assert_int_equal(sregs.tr.type, 3);
	sregs.cr3 = 0x1000;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cr3, 0x1000);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_FPU, &fpu), 0);
	assert_int_equal(fpu.mxcsr, 0x1f80);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_FPU, &fpu), 0);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_XCRS, &xcrs), 0);
	assert_int_equal(xcrs.xcrs[0].value, 1);
	xcrs.xcrs[0].value = 7;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_XCRS, &xcrs), 0);
	xcrs.nr_xcrs = 17;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_XCRS, &xcrs), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_MSRS, &msrs), 1);
	msrs.entry[0].data = 0;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_MSRS, &msrs), 1);
	assert_int_equal(msrs.entry[0].data, 5);
	msrs.head.nmsrs = 256;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_MSRS, &msrs), -E2BIG);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_CPUID2, &cpuid), 0);
	memset(&cpuid.entry, 0, sizeof(cpuid.entry));
	cpuid.head.nent = 1;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_CPUID2, &cpuid), -E2BIG);
	assert_int_equal(cpuid.head.nent, 2);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_GET_CPUID2, &cpuid), 0);
	assert_int_equal(cpuid.entry[0].eax, 7);
	cpuid.head.nent = 257;
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_CPUID2, &cpuid), -E2BIG);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_CPUID2, NULL), -EFAULT);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, SIM_KVM_SET_REGS, NULL), -EFAULT);
	kit_free(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slot_refusals),
		cmocka_unit_test(bind_error_of_6_18),
		cmocka_unit_test(plain_slots_change),
		cmocka_unit_test(dirty_log_is_told_once),
		cmocka_unit_test(access_arguments),
		cmocka_unit_test(mmio),
		cmocka_unit_test(readonly_slot),
		cmocka_unit_test(unmapped_user_memory),
		cmocka_unit_test(in_place_sides),
		cmocka_unit_test(per_vm_sides),
		cmocka_unit_test(lost_file),
		cmocka_unit_test(default_vm),
		cmocka_unit_test(snp_faults),
		cmocka_unit_test(across_pages),
		cmocka_unit_test(hypercall),
		cmocka_unit_test(hypercall_of_snp),
		cmocka_unit_test(kvm_run),
		cmocka_unit_test(pre_fault_memory),
		cmocka_unit_test(registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
