// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the simulator's unit tests share. */
#include "sim-kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

/* Each thread catches its own. */
static _Thread_local sigjmp_buf back;
static _Thread_local const volatile uint8_t *expected;
static _Thread_local volatile enum outcome outcome;
static unsigned int descriptors;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	outcome = TOUCH_OTHER;
	if (number == SIGBUS && info->si_code == BUS_ADRERR && info->si_addr == expected)
		outcome = TOUCH_SIGBUS;
	siglongjmp(back, 1);
}

void kit_catch_signals(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
}

unsigned int kit_open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

void kit_new_with(struct kit *kit, uint32_t preset, uint32_t vm_type, const uint64_t *settings)
{
	void *run;

	kit_catch_signals();
	memset(kit, 0, sizeof(*kit));
	descriptors = kit_open_descriptors();
	assert_int_equal(gmem_sim_new(preset, &kit->sim), 0);
	for (; settings && settings[0]; settings += 2)
		assert_int_equal(gmem_sim_set(kit->sim, (uint32_t)settings[0], settings[1]), 0);
	assert_int_equal(gmem_sim_get_kernel(kit->sim, &kit->kernel), 0);
	kit->vm = gmem_sim_create_vm(kit->sim, vm_type);
	assert_true(kit->vm >= 0);
	kit->vcpu = gmem_sim_create_vcpu(kit->sim, kit->vm, &run);
	assert_true(kit->vcpu >= 0);
	kit->run = run;
}

void kit_new(struct kit *kit, uint32_t preset, uint32_t vm_type)
{
	kit_new_with(kit, preset, vm_type, NULL);
}

void kit_free(struct kit *kit)
{
	assert_int_equal(kit_close(kit, kit->vcpu), 0);
	assert_int_equal(kit_close(kit, kit->vm), 0);
	gmem_sim_free(kit->sim);
	assert_int_equal(kit_open_descriptors(), descriptors);
}

int64_t kit_call(struct kit *kit, uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		 uint64_t e, uint64_t f)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { a, b, c, d, e, f };

	return kit->kernel.call(nr, arg, kit->kernel.opaque);
}

int kit_ioctl(struct kit *kit, int fd, uint32_t request, const void *argument)
{
	return (int)kit_call(kit, GMEM_SYS_IOCTL, (uint64_t)(int64_t)fd, request,
			     (uint64_t)(uintptr_t)argument, 0, 0, 0);
}

int kit_close(struct kit *kit, int fd)
{
	return (int)kit_call(kit, GMEM_SYS_CLOSE, (uint64_t)(int64_t)fd, 0, 0, 0, 0, 0);
}

int kit_create(struct kit *kit, uint64_t size, uint64_t flags)
{
	struct gmem_kvm_create_guest_memfd arguments = { .size = size, .flags = flags };

	return kit_ioctl(kit, kit->vm, GMEM_KVM_CREATE_GUEST_MEMFD, &arguments);
}

uint8_t *kit_map(struct kit *kit, int fd, uint64_t size)
{
	int64_t address = kit_call(kit, GMEM_SYS_MMAP, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				   (uint64_t)fd, 0);

	assert_true(address > 0);
	return (uint8_t *)(uintptr_t)address;
}

uint8_t *kit_memory(uint64_t size)
{
	uint8_t *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

void kit_unmap(struct kit *kit, void *address, uint64_t size)
{
	assert_int_equal(
		kit_call(kit, GMEM_SYS_MUNMAP, (uint64_t)(uintptr_t)address, size, 0, 0, 0, 0), 0);
}

int kit_convert(struct kit *kit, int fd, uint64_t offset, uint64_t size, bool to_private,
		uint64_t *error_offset)
{
	struct gmem_kvm_memory_attributes2 attributes = {
		.offset = offset,
		.size = size,
		.attributes = to_private ? PRIVATE_BIT : 0,
		.error_offset = UINT64_MAX,
	};
	int result = kit_ioctl(kit, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &attributes);

	if (error_offset)
		*error_offset = attributes.error_offset;
	return result;
}

int kit_set_attributes(struct kit *kit, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct gmem_kvm_memory_attributes arguments = { gpa, size, attributes, 0 };

	return kit_ioctl(kit, kit->vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES, &arguments);
}

int kit_punch(struct kit *kit, int fd, uint64_t offset, uint64_t size)
{
	return (int)kit_call(kit, GMEM_SYS_FALLOCATE, (uint64_t)fd,
			     FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, size, 0, 0);
}

int kit_set_slot(struct kit *kit, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		 const void *address, int fd, uint64_t offset)
{
	struct gmem_kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = flags | (fd >= 0 ? GMEM_KVM_MEM_GUEST_MEMFD : 0),
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)(uintptr_t)address,
		.guest_memfd_offset = offset,
		.guest_memfd = fd >= 0 ? (uint32_t)fd : 0,
	};

	return kit_ioctl(kit, kit->vm, GMEM_KVM_SET_USER_MEMORY_REGION2, &region);
}

struct gmem_sim_page kit_page(struct kit *kit, int fd, uint64_t offset)
{
	struct gmem_sim_page page;

	assert_int_equal(gmem_sim_get_page(kit->sim, fd, offset, &page), 0);
	return page;
}

enum outcome kit_read(const volatile uint8_t *address, uint8_t *value)
{
	outcome = TOUCH_DONE;
	expected = address;
	if (sigsetjmp(back, 1) == 0) {
		uint8_t byte = *address;

		if (value)
			*value = byte;
	}
	return outcome;
}

enum outcome kit_write(volatile uint8_t *address, uint8_t value)
{
	outcome = TOUCH_DONE;
	expected = address;
	if (sigsetjmp(back, 1) == 0)
		*address = value;
	return outcome;
}

int kit_get(const volatile uint8_t *address)
{
	uint8_t value = 0;

	switch (kit_read(address, &value)) {
	case TOUCH_DONE:
		return value;
	case TOUCH_SIGBUS:
		return -1;
	default:
		return -2;
	}
}

int kit_guest_read(struct kit *kit, uint64_t gpa, uint8_t *value, uint32_t flags)
{
	return gmem_sim_guest_access(kit->sim, kit->vcpu, gpa, value, 1, flags);
}

int kit_guest_write(struct kit *kit, uint64_t gpa, uint8_t value, uint32_t flags)
{
	return gmem_sim_guest_access(kit->sim, kit->vcpu, gpa, &value, 1, flags | GMEM_SIM_WRITE);
}
