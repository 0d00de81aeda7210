/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rig with vCPUs that run: guests of the simulator that ask and fault, a door between it and
 * the library that shows what passes and has a clock of its own, and exits made up by hand.
 */
#ifndef TESTS_CONVERT_EXITS_KIT_H
#define TESTS_CONVERT_EXITS_KIT_H

#include "rig.h"

#include "sim/kvm.h"

#include <errno.h>

#define TO_PRIVATE GMEM_KVM_MAP_GPA_RANGE_ENCRYPTED
#define TO_SHARED UINT64_C(0)
#define VCPUS 2u
#define PREFAULTS 64u

/* Where tests have their memory, in pages of the host. */
#define RAM_PAGE 16u
#define RAM_PAGES 64u

struct prefault_call {
	uint64_t gpa;
	uint64_t size;
	int result;
};

struct stand {
	struct rig rig; /* its kernel is the door */
	struct gmem_kernel sim_kernel;
	int vcpu_fd[VCPUS]; /* the first is the rig's */
	struct sim_kvm_run *run[VCPUS];
	/* What the door has seen. */
	_Atomic uint32_t attribute_calls;
	_Atomic uint32_t enable_calls;
	uint64_t enabled; /* args[0] of the last KVM_ENABLE_CAP */
	struct prefault_call prefaults[PREFAULTS];
	uint32_t prefault_count;
	/* What it does itself. */
	uint64_t now;            /* nanoseconds; 0: the host's clock */
	uint64_t prefault_most;  /* bytes that one KVM_PRE_FAULT_MEMORY does; 0: all */
	int prefault_error;      /* of every such call, which does nothing; 0: none */
	bool prefault_stuck;     /* every such call does nothing, and says it has */
	_Atomic bool interrupts; /* every sleep ends with EINTR */
	_Atomic uint32_t sleeps;
};

/* A configuration for a VM of this mode. */
struct gmem_vm_config *stand_config(const struct mode *mode);
/* config NULL: stand_config(); it is freed in any case. */
void stand_open(struct stand *stand, const struct mode *mode, struct gmem_vm_config *config);
/* The same, with RAM_PAGES of shared memory at RAM_PAGE, and hypercalls that exit. */
void stand_open_with_ram(struct stand *stand, const struct mode *mode,
			 struct gmem_vm_config *config);
void stand_close(struct stand *stand);

/* Whether guests of this mode say what they want by the access itself, and fault. */
bool mode_has_faults(const struct mode *mode);

/* The guest asks; in pages of the host. Fails the test unless it leaves to the host. */
void guest_asks(struct stand *stand, unsigned int vcpu, uint64_t gpa_page, uint64_t pages,
		uint64_t attributes);
/* The same with any values, in bytes and pages of 4 KiB. */
void guest_asks_for(struct stand *stand, unsigned int vcpu, uint64_t gpa, uint64_t pages,
		    uint64_t attributes);
/* It enters, and finds what it was told; fails the test where KVM_RUN would fail. */
uint64_t guest_is_told(struct stand *stand, unsigned int vcpu);
/* It writes a byte: what gmem_sim_guest_access() gives. state: GMEM_PRIVATE or GMEM_SHARED. */
int guest_touches(struct stand *stand, unsigned int vcpu, uint64_t gpa_page, uint32_t state);
/* It touches a page in another state than it has; made up where guests do not fault. */
void guest_faults(struct stand *stand, unsigned int vcpu, uint64_t gpa_page, uint32_t state);
/* Writes a memory fault into kvm_run. */
void make_fault(struct stand *stand, unsigned int vcpu, uint64_t flags, uint64_t gpa,
		uint64_t size);

/* gmem_vm_handle_exit() after KVM_RUN gave 0, and after it gave EFAULT. */
int handle_call(struct stand *stand, unsigned int vcpu, struct gmem_report *report);
int handle_fault(struct stand *stand, unsigned int vcpu, struct gmem_report *report);

uint32_t state_of(struct stand *stand, uint64_t gpa_page, uint64_t pages);
struct gmem_vm_stats stats_of(struct stand *stand);
/* The guest_memfd of the first region. */
int guest_memfd_of(struct stand *stand);
/* Has the mode's attribute ioctl fail. */
void fail_attributes(struct stand *stand, uint64_t nth, int error);

#endif /* TESTS_CONVERT_EXITS_KIT_H */
