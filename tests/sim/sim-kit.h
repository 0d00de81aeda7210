/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the simulator's unit tests share: calls through its door, touches that may raise SIGBUS. */
#ifndef TESTS_SIM_SIM_KIT_H
#define TESTS_SIM_SIM_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/kvm.h"

#include <gmem/sim.h>
#include <stdbool.h>

#define PAGE 4096u
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define SW GMEM_KVM_VM_TYPE_SW_PROTECTED
#define SNP GMEM_KVM_VM_TYPE_SNP
#define TDX GMEM_KVM_VM_TYPE_TDX

#define MMAP_FLAG GMEM_KVM_GUEST_MEMFD_FLAG_MMAP
#define SHARED_FLAG GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED
#define PRIVATE_BIT GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE

/* Also what happens with memory that is touched. */
enum outcome {
	TOUCH_DONE,
	TOUCH_SIGBUS,
	TOUCH_OTHER, /* SIGSEGV, or SIGBUS of another kind or address */
};

struct kit {
	struct gmem_sim *sim;
	struct gmem_kernel kernel;
	int vm;
	int vcpu;
	struct sim_kvm_run *run;
};

/* Simulators by preset; kit_new_with() takes settings first, ended by a 0. */
void kit_new(struct kit *kit, uint32_t preset, uint32_t vm_type);
void kit_new_with(struct kit *kit, uint32_t preset, uint32_t vm_type, const uint64_t *settings);
/* Closes and frees; fails the test unless as many descriptors are open as when it was made. */
void kit_free(struct kit *kit);

int64_t kit_call(struct kit *kit, uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		 uint64_t e, uint64_t f);
int kit_ioctl(struct kit *kit, int fd, uint32_t request, const void *argument);
int kit_close(struct kit *kit, int fd);

int kit_create(struct kit *kit, uint64_t size, uint64_t flags);
/* The whole file, for reading and writing; fails the test where it cannot. */
uint8_t *kit_map(struct kit *kit, int fd, uint64_t size);
/* Anonymous memory. */
uint8_t *kit_memory(uint64_t size);
void kit_unmap(struct kit *kit, void *address, uint64_t size);
/* Tracked per guest_memfd; error_offset may be NULL. */
int kit_convert(struct kit *kit, int fd, uint64_t offset, uint64_t size, bool to_private,
		uint64_t *error_offset);
int kit_set_attributes(struct kit *kit, uint64_t gpa, uint64_t size, uint64_t attributes);
int kit_punch(struct kit *kit, int fd, uint64_t offset, uint64_t size);
int kit_set_slot(struct kit *kit, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		 const void *address, int fd, uint64_t offset);
struct gmem_sim_page kit_page(struct kit *kit, int fd, uint64_t offset);

/* One byte of the host's; SIGBUS must be BUS_ADRERR at the very address. */
enum outcome kit_read(const volatile uint8_t *address, uint8_t *value);
enum outcome kit_write(volatile uint8_t *address, uint8_t value);
#define assert_byte(address, expected) assert_int_equal(kit_get(address), expected)
#define assert_private(address) assert_int_equal(kit_read(address, NULL), TOUCH_SIGBUS)
/* The byte, or -1 for SIGBUS, -2 for another signal. */
int kit_get(const volatile uint8_t *address);

/* A byte of the guest's, as the VM's kind of guest accesses it; results of the function. */
int kit_guest_read(struct kit *kit, uint64_t gpa, uint8_t *value, uint32_t flags);
int kit_guest_write(struct kit *kit, uint64_t gpa, uint8_t value, uint32_t flags);

/* SIGBUS and SIGSEGV; kit_new() does it, and cmocka undoes it after each case. */
void kit_catch_signals(void);

unsigned int kit_open_descriptors(void);

#endif /* TESTS_SIM_SIM_KIT_H */
