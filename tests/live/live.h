/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests on this machine's /dev/kvm share: a VM for each case with its log counted, raw
 * questions to the kernel that do not go through libgmem, and a guest that does as it is told.
 */
#ifndef LIVE_H
#define LIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"

#include <gmem.h>
#include <linux/kvm.h>

#define LIVE_SKIP 77

#define MIB (UINT64_C(1) << 20)

/* A case's VM. */
struct live {
	int kvm_fd;
	int vm_fd;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	uint64_t page;
	uint32_t type;       /* of the VM, GMEM_VM_TYPE_* */
	unsigned int errors; /* messages of level error so far */
	char last[512];      /* the last of them */
	unsigned int fds_before;
	unsigned int mappings_before;
};

/*
 * Why these tests cannot run here; NULL where they can. They want a default VM with a guest_memfd
 * that can be mapped; but a software-protected one will do, whose shared pages lie elsewhere.
 */
const char *live_unserved(void);
/* The same for tests that need a software-protected VM, whose memory can be private. */
const char *live_unserved_private(void);

/* Prints the reason and ends with 77 where unserved() has one, else runs the group. */
#define live_main_where(unserved, name, tests)                                                     \
	int main(void)                                                                             \
	{                                                                                          \
		const char *reason = unserved();                                                   \
                                                                                                   \
		if (reason) {                                                                      \
			print_message("%s\n", reason);                                             \
			return LIVE_SKIP;                                                          \
		}                                                                                  \
		return cmocka_run_group_tests_name(name, tests, NULL, NULL);                       \
	}

#define live_main(name, tests) live_main_where(live_unserved, name, tests)

#define live_case(function) cmocka_unit_test_setup_teardown(function, live_setup, live_teardown)
#define live_private_case(function)                                                                \
	cmocka_unit_test_setup_teardown(function, live_setup_private, live_teardown)

/* A VM with the defaults; the teardown fails where a descriptor or a mapping was left behind. */
int live_setup(void **state);
/* The same with a software-protected VM. */
int live_setup_private(void **state);
int live_teardown(void **state);

/* Takes the place of the case's VM. */
void live_set_vm(struct live *live, const struct gmem_vm_config *config);

/* Open descriptors, and mappings of guest memory or vCPUs, of this process. */
unsigned int live_count_fds(void);
unsigned int live_count_mappings(void);

/* Finds a mapping by an address in it; line is that of /proc/self/maps. */
bool live_find_mapping(const void *address, char *line, size_t size);

/*
 * A region with a guest_memfd, fully shared: in it, or beside it where it cannot be mapped; and a
 * plain region of the kind given. Both assert success.
 */
struct gmem_region *live_guest_memfd(struct live *live, uint64_t size);
struct gmem_region *live_plain(struct live *live, uint64_t size, uint32_t memory);
void *live_host(struct gmem_region *region);
/* Of the first. */
uint32_t live_guest_memfd_backing(const struct live *live);
/* Skips the case where shared pages are not in the guest_memfd, for VMs are software-protected. */
void live_need_mapped(const struct live *live);
/* The first, in a case that needs it so. */
struct gmem_region *live_mapped_guest_memfd(struct live *live, uint64_t size);

/* Copies a text with its NUL. */
void live_put_text(void *host, const char *text);

/* Does the kernel have a memslot that overlaps this range? Asked by trying to add one. */
bool live_kernel_has(struct live *live, uint32_t address_space, uint64_t gpa, uint64_t size);

/* Adds a memslot behind libgmem's back; 0 or a negative errno. */
int live_raw_slot(struct live *live, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		  void *host, int guest_memfd, uint64_t offset);

/* Asserts that rc is expected, and that exactly one message of level error came of it. */
#define live_assert_refused(live, expected, call)                                                  \
	do {                                                                                       \
		unsigned int errors_before = (live)->errors;                                       \
                                                                                                   \
		assert_int_equal((call), (expected));                                              \
		assert_int_equal((live)->errors, errors_before + 1);                               \
	} while (0)

#if defined(__x86_64__)

/* Where the guest's code is, below all that the cases map. */
#define LIVE_CODE_GPA UINT64_C(0x10000)

struct live_guest {
	struct live *live;
	struct gmem_region *code;
	int vcpu_fd;
	struct kvm_run *run;
	size_t run_size;
	struct kvm_regs regs; /* after the last run */
};

/*
 * Maps the code, in plain memory where memory can be private, and makes a vCPU in flat 32-bit
 * protected mode.
 */
void live_guest_new(struct live *live, struct live_guest *guest);
/* One more vCPU, for the code that is there. */
void live_guest_new_vcpu(struct live *live, struct live_guest *guest, uint32_t id);
void live_guest_free(struct live_guest *guest);

/* Sets the vCPU to a program, which is not run yet. */
void live_guest_set(struct live_guest *guest, const uint8_t *program, const struct kvm_regs *regs);
/* KVM_RUN, whatever comes of it: 0 or the errno. */
int live_guest_enter(struct live_guest *guest);

/* Runs a program with these registers until it exits; the reason, KVM_EXIT_*. */
uint32_t live_guest_run(struct live_guest *guest, const uint8_t *program,
			const struct kvm_regs *regs);

/* As live_guest_run(), from an address that is not in the code. */
uint32_t live_guest_run_at(struct live_guest *guest, uint64_t gpa, const struct kvm_regs *regs);

/* Goes on after an exit. */
uint32_t live_guest_continue(struct live_guest *guest);

/* One word, written or read by the guest; the exit must be HLT. */
void live_guest_poke(struct live_guest *guest, uint64_t gpa, uint32_t value);
uint32_t live_guest_peek(struct live_guest *guest, uint64_t gpa);

#endif

#endif /* LIVE_H */
