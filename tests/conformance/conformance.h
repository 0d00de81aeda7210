/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite: observable behaviour of a KVM with guest_memfd, seen through the kernel
 * door, on the simulator and on real kernels alike.
 *
 * A case names the facts of doc/kernel-support.md that it shows and what it needs of a target. It
 * runs in a process of its own, with a world of its own: a kernel and one VM.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <errno.h>
#include <gmem/kernel.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libgmem/uapi/kvm.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Where cases put memory; the guest driver of a real kernel has its own below 1 MiB. */
#define GPA (16 * MIB)
#define OTHER_GPA (32 * MIB)
/* Never mapped by any case. */
#define HOLE_GPA (512 * MIB)

/* Exits, KVM_EXIT_* of linux/kvm.h: those of new kernels are not in every host's copy. */
#define EXIT_HYPERCALL 3u
#define EXIT_MMIO 6u
#define EXIT_INTERNAL_ERROR 17u
#define EXIT_SYSTEM_EVENT 24u
#define EXIT_SNP_REQ_CERTS 43u
#define EXIT_MEMORY_FAULT 39u

/* Of KVM_EXIT_MEMORY_FAULT: the access was private. */
#define FAULT_PRIVATE (UINT64_C(1) << 3)

#define PRIVATE GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE
#define FLAG_MMAP GMEM_KVM_GUEST_MEMFD_FLAG_MMAP
#define FLAG_INIT_SHARED GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED

/* Linux's version as one number, to compare. */
#define LINUX(major, minor) ((major)*1000u + (minor))

enum tracking { TRACKED_BY_NOBODY, TRACKED_BY_VM, TRACKED_BY_FILE };

/* Who says whether a guest's access is private. */
enum access_kind {
	ACCESS_SHARED,        /* no access is private */
	ACCESS_FROM_TRACKING, /* the attributes: software-protected VMs */
	ACCESS_FROM_GUEST,    /* the guest: SNP's C-bit */
};

/* What a VM of some type has on some kernel. */
struct traits {
	bool region2;
	bool guest_memfd;
	bool in_place_kernel; /* KVM_SET_MEMORY_ATTRIBUTES2 exists, whatever this VM's type */
	bool private_memory;
	enum tracking tracking;
	uint64_t flags; /* KVM_CAP_GUEST_MEMFD_FLAGS */
	uint64_t attributes;
	bool prefault;
	bool memory_fault_info;
	bool hypercall; /* KVM_HC_MAP_GPA_RANGE can exit */
	enum access_kind access;
};

struct world;
struct vcpu;
struct target;

/* What KVM_RUN left to the host. */
struct guest_exit {
	uint32_t reason;
	int error; /* of KVM_RUN: 0 or an errno */
	struct {
		uint64_t flags;
		uint64_t gpa;
		uint64_t size;
	} fault;
	struct {
		uint64_t gpa;
		uint32_t length;
		bool write;
	} mmio;
	struct {
		uint64_t nr;
		uint64_t args[6];
	} hypercall;
	struct {
		uint64_t gpa;
		uint64_t pages;
		uint64_t ret;
	} certs;
};

#define GUEST_DONE 0
#define GUEST_EXIT 1

#define GUEST_WRITE (1u << 0)
#define GUEST_PRIVATE (1u << 1) /* counts where the guest says so itself */
#define GUEST_EMULATE (1u << 2) /* KVM's own access; only where a driver has no instructions */

/* One vCPU, and what its last access or hypercall led to. */
struct vcpu {
	struct world *world;
	int fd;
	void *run; /* struct kvm_run */
	struct guest_exit exit;
	void *driver; /* the driver's own */
};

/* A reference to a page that is no mapping, as DMA has it. */
struct pin {
	int fd;
	uint64_t offset;
	uint64_t size;
	int pipe[2];
};

/* How a kind of target is reached. Functions return 0 or more, or a negative errno. */
struct driver {
	bool real; /* a kernel of its own, whose system calls need no door */
	int (*open)(struct world *world);
	void (*close)(struct world *world);
	int (*create_vm)(struct world *world, uint32_t type);
	/* NULL where no guest can be driven; so the others down to answer. */
	int (*create_vcpu)(struct vcpu *vcpu);
	void (*destroy_vcpu)(struct vcpu *vcpu);
	/* GUEST_DONE or GUEST_EXIT. Asked again after an exit, the guest tries again. */
	int (*access)(struct vcpu *vcpu, uint64_t gpa, void *buf, size_t size, uint32_t flags);
	int (*hypercall)(struct vcpu *vcpu, uint64_t gpa, uint64_t pages, uint64_t attributes);
	/* Goes on after the hypercall; the guest got what it left in *result. */
	int (*answer)(struct vcpu *vcpu, uint64_t value, uint64_t *result);
	/* NULL where no guest asks for certificates; and what it was told, after going on. */
	int (*request_certs)(struct vcpu *vcpu, uint64_t gpa, uint64_t pages);
	int (*give_certs)(struct vcpu *vcpu, uint64_t value, uint64_t *result);
	/*
	 * Runs the instruction at an address: it stores eax at (edi), on x86. NULL where there
	 * are no instructions.
	 */
	int (*execute)(struct vcpu *vcpu, uint64_t code_gpa, uint64_t gpa, uint32_t value);
	/* host is where the page of the file is mapped; let go after so many tries, 0: never. */
	int (*pin)(struct world *world, struct pin *pin, const void *host, uint32_t tries);
	int (*unpin)(struct world *world, struct pin *pin);
	/* NULL where it cannot be done: the memory of a page of a file goes bad. */
	int (*poison)(struct world *world, int fd, uint64_t offset);
	/* NULL where there is a launch with commands of its own. */
	int (*finish_launch)(struct world *world);
};

#define KEPT_MAX 64u

struct mapping {
	void *host;
	uint64_t size;
};

/* What a case works on. */
struct world {
	const struct target *target;
	const struct driver *driver;
	struct gmem_kernel kernel;
	void *own; /* the driver's */
	int system_fd;
	unsigned int linux_version; /* LINUX() */
	uint64_t page;
	struct traits traits;
	int vm_fd;
	/* Closed and unmapped after the case. */
	int kept_fds[KEPT_MAX];
	unsigned int kept_fd_count;
	struct mapping kept_mappings[KEPT_MAX];
	unsigned int kept_mapping_count;
};

/* What a case may need; conformance.c says what each is called. */
#define NEED_REGION2 (1u << 0)
#define NEED_GUEST_MEMFD (1u << 1)
#define NEED_FLAGS (1u << 2)    /* creation flags: MMAP */
#define NEED_ORDINARY (1u << 3) /* a VM without private memory */
#define NEED_PRIVATE (1u << 4)  /* a VM with private memory */
#define NEED_PER_VM (1u << 5)   /* tracked by the VM */
#define NEED_IN_PLACE (1u << 6) /* tracked by each file */
#define NEED_IN_PLACE_KERNEL (1u << 7)
#define NEED_SHARED_FILE (1u << 8) /* INIT_SHARED is accepted */
#define NEED_GUEST (1u << 9)       /* a guest can be driven */
#define NEED_TRACKED_ACCESS (1u << 10)
#define NEED_OWN_ACCESS (1u << 11)
#define NEED_HYPERCALL (1u << 12)
#define NEED_PREFAULT (1u << 13)
#define NEED_REAL (1u << 14) /* a kernel of its own */
#define NEED_SIMULATOR (1u << 15)
#define NEED_NO_GUEST_MEMFD (1u << 16)
#define NEED_SNP (1u << 17)
#define NEED_INSTRUCTIONS (1u << 18)
#define NEED_NOT_IN_PLACE_KERNEL (1u << 19)
#define NEED_NOT_SNP (1u << 20)
#define NEED_TDX (1u << 21)

struct conformance_case {
	const char *name;
	const char *facts; /* ids, a blank between */
	uint32_t needs;
	void (*run)(struct world *world);
};

/* One file of cases each; the last entry has no name. */
extern const struct conformance_case capability_cases[];
extern const struct conformance_case file_cases[];
extern const struct conformance_case mapping_cases[];
extern const struct conformance_case advice_cases[];
extern const struct conformance_case slot_cases[];
extern const struct conformance_case access_cases[];
extern const struct conformance_case per_vm_cases[];
extern const struct conformance_case in_place_cases[];
extern const struct conformance_case exit_cases[];
extern const struct conformance_case snp_cases[];
extern const struct conformance_case library_cases[];
extern const struct conformance_case convert_cases[];

/* A fact, and what of it no case shows, with the reason. */
struct fact {
	const char *id;
	const char *text;
	const char *unshown; /* NULL: the cases show all of it */
	bool without_case;   /* none can show it */
};

extern const struct fact facts[];
extern const unsigned int fact_count;

#endif /* CONFORMANCE_H */
