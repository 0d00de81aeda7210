/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/sim.h
 * @brief libgmem-sim: a KVM with guest_memfd and an SNP firmware, in this process.
 *
 * A library of its own (pkg-config libgmem-sim) that knows nothing of the inside of libgmem: it
 * makes a gmem_kernel, whose ioctls on the simulator's descriptors it serves itself, and whose
 * every other call the host's kernel serves. It simulates KVM of x86-64, on any 64-bit host.
 * Not included by gmem.h.
 *
 * Descriptors are real ones, to be closed, duplicated and passed on as usual, and best closed
 * through the door (GMEM_SYS_CLOSE): then memory is given back at once, else at the next call
 * that looks. That is known from the host's leases (F_SETLEASE); where it permits none, with
 * fs.leases-enable off or after a change of user, calls through the door are counted instead: all
 * closes and duplicates (F_DUPFD) of such descriptors then have to go through it.
 *
 * Mappings of a guest_memfd made through the door are real memory in which a private page raises
 * SIGBUS (BUS_ADRERR, exact si_addr), and fails a system call that is given it with EFAULT. Bytes of
 * private pages are kept apart: no mapping shows them. A mapping made in another way, or in another
 * process (also a child after fork()), sees shared pages as they are, but zeros instead of private
 * ones, or what others like it have written there; that is gone when the page turns shared.
 *
 * Threads. Memory of plain slots may come by somebody who uses the door or the simulator meanwhile,
 * say a thread that serves a userfaultfd. Arguments of calls on the simulator's descriptors, and
 * pages that a firmware command is given, may not: of such a thread only calls on other
 * descriptors get through before they are there, but for mmap(), munmap(), madvise(), mbind() and
 * get_mempolicy().
 *
 * Return values. The functions below return 0, a descriptor or what they say, or a negative
 * errno out of their list. They write no log. Calls through the door give what the kernel gives.
 *
 * Fork. In a child every ioctl on the simulator's descriptors is -EIO, as KVM has it for a VM
 * (with a guest_memfd the kernel is more generous), and a guest_memfd can be punched; all other
 * calls are the host's. The child closes what it inherited with close(2), and does not call
 * gmem_sim_free().
 */
#ifndef GMEM_SIM_H
#define GMEM_SIM_H

#include <gmem/base.h>
#include <gmem/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A simulated host: one KVM, its VMs and their files. */
struct gmem_sim;

/** @name Kernels, for gmem_sim_new()
 * @{ */
#define GMEM_SIM_OLD 1u        /**< before guest_memfd; VM type 0 */
#define GMEM_SIM_LINUX_6_8 2u  /**< per-VM tracking, no creation flags; VM types 0 and 1 */
#define GMEM_SIM_LINUX_6_18 3u /**< per-VM tracking, MMAP, INIT_SHARED; VM types 0, 1 and 4 */
#define GMEM_SIM_IN_PLACE 4u   /**< per-guest_memfd tracking; VM types 0, 1 and 4 */
/** @} */

/** @name Single settings, for gmem_sim_set()
 * @{ */
#define GMEM_SIM_PAGE_SIZE 1u    /**< 4096, 16384 or 65536; not below the host's. Default: host's */
#define GMEM_SIM_VM_TYPES 2u     /**< mask of KVM VM types, of bits 0, 1, 4 and 5 */
#define GMEM_SIM_SLOTS 3u        /**< memslots of an address space, 1 to 32767. Default: 32764 */
#define GMEM_SIM_PREFAULT 4u     /**< KVM_PRE_FAULT_MEMORY: 0 or 1. Default: 1 from 6.18 on */
#define GMEM_SIM_CONTENTS 5u     /**< GMEM_SIM_CONTENTS_*. Default: by VM type */
#define GMEM_SIM_CAPABILITY 6u   /**< answer of KVM_CHECK_EXTENSION: number << 32 | value */
#define GMEM_SIM_TRACKING 7u     /**< GMEM_SIM_TRACKING_* */
#define GMEM_SIM_CREATE_FLAGS 8u /**< flags of KVM_CREATE_GUEST_MEMFD: mask of bits 0 and 1 */
#define GMEM_SIM_GUEST_MEMFD 9u  /**< guest_memfd and KVM_SET_USER_MEMORY_REGION2: 0 or 1 */
#define GMEM_SIM_NUMA 10u        /**< GMEM_SIM_NUMA_* */
#define GMEM_SIM_BIND_ERROR 11u  /**< errno (positive) of a second binding: EEXIST or EINVAL */
#define GMEM_SIM_SIGBUS 12u      /**< GMEM_SIM_SIGBUS_* */
#define GMEM_SIM_SNP_POLICY 13u  /**< policy bits that the firmware supports */
#define GMEM_SIM_SNP_FEATURES 14u /**< VMSA features that KVM supports (SEV_FEATURES bits) */
#define GMEM_SIM_SNP_PAGES 15u    /**< pages one LAUNCH_UPDATE does at most; 0: no limit */
#define GMEM_SIM_SNP_CERTS 17u /**< guests can ask for certificates: 0 or 1. Default: 1 in place */
#define GMEM_SIM_MAPPINGS 16u  /**< kernel mappings private pages may add: see GMEM_SIM_SIGBUS_* */
/** @} */

/** @name Values of GMEM_SIM_TRACKING
 * @{ */
#define GMEM_SIM_TRACKING_NONE 0u
#define GMEM_SIM_TRACKING_VM 1u          /**< KVM_SET_MEMORY_ATTRIBUTES, per VM */
#define GMEM_SIM_TRACKING_GUEST_MEMFD 2u /**< KVM_SET_MEMORY_ATTRIBUTES2, per guest_memfd */
/** @} */

/** @name Values of GMEM_SIM_CONTENTS: what a conversion of a page does to its bytes
 * @{ */
#define GMEM_SIM_CONTENTS_BY_TYPE 0u /**< SW keeps; SNP and TDX destroy after launch */
#define GMEM_SIM_CONTENTS_KEPT 1u
#define GMEM_SIM_CONTENTS_DESTROYED 2u
/** @} */

/** @name Values of GMEM_SIM_NUMA: mbind() on a mapping of a guest_memfd
 * @{ */
#define GMEM_SIM_NUMA_IGNORED 0u  /**< succeeds, the file's policy stays. Default up to 6.18 */
#define GMEM_SIM_NUMA_HONOURED 1u /**< sets the file's policy. Default in place */
#define GMEM_SIM_NUMA_ABSENT 2u   /**< a kernel without NUMA: ENOSYS, on any mapping */
/** @} */

/**
 * @name Values of GMEM_SIM_SIGBUS: how private pages raise it
 *
 * Either way neighbours that are private take one piece of the host's limit of mappings
 * (vm.max_map_count), and so does what is between. With userfaultfd(2), and more than
 * GMEM_SIM_MAPPINGS such pieces (half of that limit by default; 0 to 2147483647), neighbouring ones
 * join, and shared pages between them are given memory: up to 1 GiB of a file. With
 * GMEM_SIM_MAPPINGS of 0 no mapping of a file up to 1 GiB is ever cut, and all of it has memory.
 * @{ */
#define GMEM_SIM_SIGBUS_AUTO 0u        /**< the first of the two that this host has */
#define GMEM_SIM_SIGBUS_USERFAULTFD 1u /**< also in a way that a process without privilege may */
#define GMEM_SIM_SIGBUS_MAPPING 2u /**< an empty file mapped over them, as far as the limit goes */
/** @} */

/** @name Flags of a guest's access
 * @{ */
#define GMEM_SIM_WRITE (1u << 0)   /**< else it reads */
#define GMEM_SIM_PRIVATE (1u << 1) /**< the guest's C-bit; only SNP and TDX heed it */
#define GMEM_SIM_EMULATE (1u << 2) /**< KVM's own access: emulation, pvclock, APIC */
#define GMEM_SIM_SMM (1u << 3)     /**< in address space 1 */
/** @} */

/** In gmem_sim_page.slot: bound to none. */
#define GMEM_SIM_NO_SLOT UINT32_MAX

/**
 * @brief Makes a simulator.
 *
 * @param preset    GMEM_SIM_OLD ... GMEM_SIM_IN_PLACE
 * @param[out] sim  owned by the caller, who ends it with gmem_sim_free(); NULL on failure
 *
 * @return 0; -EINVAL (preset, NULL), -ENOMEM, -EMFILE (it needs three descriptors at most).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_new(uint32_t preset, struct gmem_sim **sim);

/**
 * @brief Ends it, with its VMs and files. NULL is ignored.
 *
 * Descriptors that the caller still has open stay open and are the caller's to close, and nothing
 * is simulated on them any more. Mappings stay as well; private pages go on raising SIGBUS or turn
 * into zeros.
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_sim_free(struct gmem_sim *sim);

/**
 * @brief Changes one thing, before the first descriptor is made and before the kernel is asked for.
 *
 * Values are judged one by one; a kernel that never was (in-place tracking without flags) is
 * allowed. GMEM_SIM_CAPABILITY changes only what KVM_CHECK_EXTENSION says, on every descriptor,
 * and nothing that KVM does; it may be set for many numbers.
 *
 * @param setting  GMEM_SIM_PAGE_SIZE ...
 *
 * @return 0; -EINVAL (setting, value, NULL), -EPROTO (too late), -EOPNOTSUPP
 *         (GMEM_SIM_SIGBUS_USERFAULTFD on a host that does not let us), -ENOSPC (more than 64
 *         capabilities). Threads: one. Since: 0.1
 */
GMEM_API int gmem_sim_set(struct gmem_sim *sim, uint32_t setting, uint64_t value);

/**
 * @brief What a setting is now, also with GMEM_SIM_SIGBUS_AUTO decided.
 *
 * @param[out] value  of GMEM_SIM_CAPABILITY: not available
 *
 * @return 0; -EINVAL (setting, NULL). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_get(struct gmem_sim *sim, uint32_t setting, uint64_t *value);

/**
 * @brief Fills in the simulated kernel, for gmem_ctx_set_kernel(). Good until gmem_sim_free().
 *
 * @param[out] kernel  zeros on failure
 *
 * @return 0; -EINVAL (NULL). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_get_kernel(struct gmem_sim *sim, struct gmem_kernel *kernel);

/**
 * @brief Opens the simulated /dev/kvm, for KVM_CREATE_VM and KVM_CHECK_EXTENSION.
 *
 * @return a descriptor of the caller's, close-on-exec; -EINVAL (NULL), -ENOMEM, -EMFILE, -EIO (in
 *         a child). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_open_system(struct gmem_sim *sim);

/**
 * @brief Makes a VM, as KVM_CREATE_VM.
 *
 * @param vm_type  0 default, 1 software-protected, 4 SNP, 5 TDX (whose launch is not simulated:
 *                 see gmem_sim_finish_launch())
 *
 * @return the VM's descriptor, owned by the caller, close-on-exec; -EINVAL (NULL, no type that
 *         KVM ever had), -EOPNOTSUPP (not in GMEM_SIM_VM_TYPES; KVM_CREATE_VM says EINVAL),
 *         -ENOMEM, -EMFILE, -EIO (in a child). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_create_vm(struct gmem_sim *sim, uint32_t vm_type);

/**
 * @brief Makes a vCPU, as KVM_CREATE_VCPU with the lowest number that is free, and maps its struct
 * kvm_run, of the kernel's layout.
 *
 * @param[out] kvm_run  12288 bytes; owned by the vCPU and good until gmem_sim_free(), whenever the
 *                      descriptor is closed; NULL on failure
 *
 * @return the vCPU's descriptor, owned by the caller, close-on-exec; -EINVAL (NULL), -EBADF (no
 *         VM), -ENOMEM, -EMFILE, -ENOSPC (1024 vCPUs), -EIO (in a child). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_create_vcpu(struct gmem_sim *sim, int vm_fd, void **kvm_run);

/**
 * @brief The guest reads or writes memory.
 *
 * It sees what a guest of the VM's type would see, at page granularity. An access that leaves to
 * the host has done what comes before the page (or, with MMIO, before the up to 8 bytes) that it
 * left for. Called again with the same gpa, size and flags after an MMIO exit it goes on after
 * those bytes (buf has the rest from before), with kvm_run's mmio.data as their value when it
 * reads; after any other exit it starts over.
 *
 * Every call is an entry of the guest: like KVM_RUN it clears exit_reason, honours
 * immediate_exit, and judges hypercall.ret or snp_req_certs.ret of an exit before it.
 *
 * @param buf    size bytes, read (GMEM_SIM_WRITE) or filled
 * @param size   1 to 1 GiB, gpa + size does not overflow
 * @param flags  GMEM_SIM_WRITE, GMEM_SIM_PRIVATE, GMEM_SIM_EMULATE, GMEM_SIM_SMM
 *
 * @return 0 done;
 *         1 it left to the host and KVM_RUN would return 0: see kvm_run (MMIO, SYSTEM_EVENT,
 *         INTERNAL_ERROR);
 *         -EFAULT it left and KVM_RUN would fail so: see kvm_run, whose exit_reason is
 *         KVM_EXIT_MEMORY_FAULT, or 0 (nothing to be read there);
 *         -EHWPOISON the same on a poisoned page;
 *         -EINTR immediate_exit is set;
 *         -EIO hypercall.ret was not a legal value (SNP, TDX), or in a child;
 *         -EINVAL (NULL, size, flags, SMM where there is one address space; snp_req_certs.ret was
 *         not a legal value), -EBADF (no vCPU),
 *         -ENOMEM (no memory for the page). Also the error of a failure set for KVM_RUN.
 *         Threads: any, one a vCPU. Since: 0.1
 */
GMEM_API int gmem_sim_guest_access(struct gmem_sim *sim, int vcpu_fd, uint64_t gpa, void *buf,
				   uint64_t size, uint32_t flags);

/**
 * @brief The guest asks for a conversion by KVM_HC_MAP_GPA_RANGE, with any values: the exit is in
 * kvm_run, none of the values was looked at. An entry, as gmem_sim_guest_access().
 *
 * @param pages       of 4 KiB
 * @param attributes  bits 0 to 3 size hint, bit 4 to private
 *
 * @return 1; -EINVAL (NULL), -EBADF, -EINTR, -EIO as above, -EOPNOTSUPP (this exit was not enabled by
 *         KVM_ENABLE_CAP of KVM_CAP_EXIT_HYPERCALL; on SNP and TDX it always is).
 *         Threads: any, one a vCPU. Since: 0.1
 */
GMEM_API int gmem_sim_guest_map_gpa_range(struct gmem_sim *sim, int vcpu_fd, uint64_t gpa,
					  uint64_t pages, uint64_t attributes);

/**
 * @brief An SNP guest asks for a report with certificates (KVM_EXIT_SNP_REQ_CERTS): the exit is in
 * kvm_run. An entry, as gmem_sim_guest_access(); the next one fails with -EINVAL unless
 * snp_req_certs.ret is 0, ENOSPC, EAGAIN or EIO.
 *
 * @param gpa    where the guest wants them, a multiple of 4096
 * @param pages  of 4 KiB there are
 *
 * @return 1; -EINVAL (NULL, gpa), -EBADF, -EINTR, -EIO as above, -EOPNOTSUPP (not enabled by
 *         KVM_SEV_SNP_ENABLE_REQ_CERTS: the guest gets a report without certificates).
 *         Threads: any, one a vCPU. Since: 0.1
 */
GMEM_API int gmem_sim_guest_request_certs(struct gmem_sim *sim, int vcpu_fd, uint64_t gpa,
					  uint64_t pages);

/**
 * @brief What the guest was told by the last hypercall, or request for certificates, that its next
 * entry has completed.
 *
 * @param[out] result  hypercall.ret, or snp_req_certs.ret
 *
 * @return 0; -EINVAL (NULL), -EBADF, -ENOENT (none completed yet), -EIO (in a child).
 *         Threads: any, one a vCPU. Since: 0.1
 */
GMEM_API int gmem_sim_guest_get_result(struct gmem_sim *sim, int vcpu_fd, uint64_t *result);

/**
 * @brief Says that a VM's launch is over, where the simulator has no launch (TDX).
 *
 * From now on conversions destroy contents. On SNP KVM_SEV_SNP_LAUNCH_FINISH says so.
 *
 * @return 0 (also when it was); -EINVAL (NULL), -EBADF (no VM), -EOPNOTSUPP (not a TDX VM), -EIO
 *         (in a child). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_finish_launch(struct gmem_sim *sim, int vm_fd);

/** The kernel's own view of one page. */
struct gmem_sim_page {
	uint32_t state;     /**< GMEM_SHARED or GMEM_PRIVATE */
	uint32_t allocated; /**< 1: holds memory; 0 from a VM */
	uint32_t pins;      /**< references besides the file's own */
	uint32_t slot; /**< memslot it is bound to, address space in bits 31:16; GMEM_SIM_NO_SLOT */
	uint64_t gpa;  /**< where slot has it; else 0 */
	uint32_t assigned; /**< 1: the firmware's, part of the launch */
	uint32_t poisoned; /**< 1: gmem_sim_poison() */
	uint64_t reserved[4];
};

/**
 * @brief Looks at a page behind everybody's back.
 *
 * @param fd      of a guest_memfd (page at offset; where it does not track, state says whether the
 *                host can touch it: private without INIT_SHARED), or of a VM with per-VM tracking
 *                (page at guest-physical offset)
 * @param offset  any byte of the page
 * @param[out] page  zeros on failure
 *
 * @return 0; -EINVAL (NULL), -EBADF, -ENOENT (past the end; a VM without per-VM tracking), -EIO
 *         (in a child). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_get_page(struct gmem_sim *sim, int fd, uint64_t offset,
			       struct gmem_sim_page *page);

/**
 * @brief Takes one reference on each page of a range, as get_user_pages() would.
 *
 * Such a page is allocated by it, and refuses to turn private (EAGAIN). References of several
 * calls add up, and each has its own tries. Only these count: real ones, as vmsplice() or io_uring
 * take them, are not seen, and such a page turns private.
 *
 * @param fd     of a guest_memfd
 * @param size   page-aligned as offset, not 0, at most 1 GiB
 * @param tries  refused conversions (of a page) after which this reference lets go by itself; 0:
 *               it holds until gmem_sim_unpin() or until the page is punched
 *
 * @return 0; -EINVAL (NULL, range, past the end), -EBADF, -EACCES (a page is private), -ENOMEM,
 *         -EIO (in a child). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_pin(struct gmem_sim *sim, int fd, uint64_t offset, uint64_t size,
			  uint32_t tries);

/**
 * @brief Lets go of one reference on each page of a range: permanent ones first.
 *
 * @return 0; -EINVAL (NULL, range, past the end), -EBADF, -ENOENT (a page has none: nothing is
 *         let go of), -EIO (in a child). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_unpin(struct gmem_sim *sim, int fd, uint64_t offset, uint64_t size);

/**
 * @brief A page's memory goes bad: the guest's accesses leave with EHWPOISON until it is punched.
 *
 * @param offset  any byte of the page
 *
 * @return 0; -EINVAL (NULL, past the end), -EBADF (no guest_memfd), -ENOMEM, -EIO (in a child).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_poison(struct gmem_sim *sim, int fd, uint64_t offset);

/**
 * @brief Has one call of a kind fail, without being made.
 *
 * Several may wait at once, of the same kind as well; each counts by itself. An entry by
 * gmem_sim_guest_access() or gmem_sim_guest_map_gpa_range() counts as an ioctl KVM_RUN (0xae80).
 * KVM_SET_MEMORY_ATTRIBUTES2 that fails with EAGAIN or ENOMEM names the first page of its range in
 * error_offset.
 *
 * @param nr        GMEM_SYS_*
 * @param request   with GMEM_SYS_IOCTL: the request in the low 32 bits, or 0 for any; for
 *                  KVM_MEMORY_ENCRYPT_OP the command in the high 32 bits, or 0 for any. Else 0
 * @param nth       counted from 1, from now on; 0: this one and all after it
 * @param error     negative errno, -4095 to -1
 * @param fw_error  of KVM_MEMORY_ENCRYPT_OP: stored in kvm_sev_cmd.error; else 0
 *
 * @return 0; -EINVAL (NULL, any value out of range), -ENOMEM. Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_fail(struct gmem_sim *sim, uint32_t nr, uint64_t request, uint64_t nth,
			   int error, uint32_t fw_error);

/**
 * @brief Forgets all failures that wait.
 *
 * @return how many had not happened yet; those of nth 0 never count; -EINVAL (NULL).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_clear_failures(struct gmem_sim *sim);

/**
 * Told of one call through the door after it was made or failed on purpose, on the thread that
 * made it, before that gets the result. What arg points to is as the call has left it. It may call
 * the simulator; such calls are told as well.
 *
 * @param arg     GMEM_SYS_ARGUMENTS entries
 * @param result  negative errno, or what the call returns
 */
typedef void (*gmem_sim_record_fn)(uint32_t nr, const uint64_t *arg, int64_t result, void *opaque);

/**
 * @brief Has every call through the door told.
 *
 * @param fn       NULL for none
 * @param free_fn  of opaque, or NULL: called once, when another recorder takes its place, by
 *                 gmem_sim_free(), or at once when this fails
 *
 * @return 0; -EINVAL (sim is NULL). Threads: one. Since: 0.1
 */
GMEM_API int gmem_sim_set_recorder(struct gmem_sim *sim, gmem_sim_record_fn fn, void *opaque,
				   gmem_free_fn free_fn);

/** What the firmware's CPUID policy allows in one leaf. */
struct gmem_sim_cpuid {
	uint32_t leaf;    /**< eax_in */
	uint32_t subleaf; /**< ecx_in */
	uint32_t eax;     /**< bits that may be set; the firmware clears others */
	uint32_t ebx;     /**< the same */
	uint32_t ecx;     /**< the same */
	uint32_t edx;     /**< the same */
	uint64_t reserved[2];
};

/**
 * @brief Narrows what the simulated SNP firmware accepts in a CPUID page. Without this it accepts
 * all. A leaf given again replaces what was said of it.
 *
 * @param limit  copied; reserved must be zero
 *
 * @return 0; -EINVAL (NULL, reserved), -ENOSPC (more than 64 leaves). Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_limit_cpuid(struct gmem_sim *sim, const struct gmem_sim_cpuid *limit);

/**
 * @brief The launch digest that the simulated firmware has of an SNP VM.
 *
 * @param[out] digest  48 bytes: what was measured so far; zeros on failure
 *
 * @return 0; -EINVAL (NULL), -EBADF (no VM), -EPROTO (no launch was started, not an SNP VM),
 *         -EOPNOTSUPP (built without a hash library), -EIO (in a child).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_sim_get_snp_digest(struct gmem_sim *sim, int vm_fd, uint8_t digest[48]);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_SIM_H */
