/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/vm.h
 * @brief One virtual machine's guest memory.
 *
 * A gmem_vm knows what the kernel can do for this VM, which regions exist, where they lie and
 * which pages are private. Order of use:
 *
 *   KVM_CREATE_VM, gmem_vm_new(), gmem_region_new(), gmem_vm_map(), vCPUs, run; then
 *   gmem_vm_free() and gmem_region_free() in any order.
 *
 * A child made by fork() inherits the handles but not the VM: every function that takes one
 * returns -EIO there, and the functions that free give back what the child has of it and leave
 * the parent's alone.
 */
#ifndef GMEM_VM_H
#define GMEM_VM_H

#include <gmem/base.h>
#include <gmem/ctx.h>
#include <gmem/report.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gmem_vm;
struct gmem_vm_config;

/** @name Who keeps the private/shared state
 * @{ */
#define GMEM_TRACKING_AUTO 0u /**< found out by a functional probe */
#define GMEM_TRACKING_NONE 1u /**< nobody: no page is ever private */
#define GMEM_TRACKING_VM 2u   /**< the VM: KVM_SET_MEMORY_ATTRIBUTES ("legacy") */
#define GMEM_TRACKING_FILE 3u /**< each guest_memfd: in-place conversion */
/** @} */

/** @name Flags of a VM: what conversions do about holes, reserved ranges and devices
 * @{ */
#define GMEM_VM_GAPS_REFUSE (1u << 0) /**< refuse them to shared too; default: pass over */
#define GMEM_VM_GAPS_SKIP (1u << 1)   /**< pass over them to private too; default: refuse */
/** @} */

/** @name Types of a VM: the numbers that KVM_CREATE_VM takes on x86
 * @{ */
#define GMEM_VM_TYPE_DEFAULT 0u
#define GMEM_VM_TYPE_SW_PROTECTED 1u
#define GMEM_VM_TYPE_SNP 4u
#define GMEM_VM_TYPE_TDX 5u
#define GMEM_VM_TYPE_UNKNOWN 0xffffffffu
/** @} */

/** @name What a gmem_retry_fn answers
 * @{ */
#define GMEM_RETRY_AGAIN 0 /**< go on trying, until the deadline */
/** Pass over this page, go on with others, then fail with -EAGAIN; gmem_retry_fn says where. */
#define GMEM_RETRY_SKIP 1
#define GMEM_RETRY_STOP 2  /**< fail now with -EAGAIN */
#define GMEM_RETRY_LATER 3 /**< as STOP; the caller will make the same request again */
/** @} */

/**
 * @brief Asked how to go on when an operation has to wait: because a page is in use, or because
 * another operation is at work on its range.
 *
 * Where a page is in the way asked before each new try; and where a signal interrupts any wait at
 * once, so that a vCPU thread that was kicked can answer GMEM_RETRY_LATER. While another operation
 * is waited for only a signal has it asked. Runs on the thread that waits, without any lock; it
 * may call what gmem/access.h declares, and for a pin or copy that waits everything that is not
 * gmem_vm_free().
 *
 * @param so_far  of the operation, which is so_far->operation: obstacle says what is waited for;
 *                gpa and size where that is, and of another operation the part that it has of the
 *                range; tag and offset are those of the region there, 0 where there is none;
 *                waited_ns and retries count up. Valid during the call
 * @return GMEM_RETRY_*; anything else counts as GMEM_RETRY_STOP. SKIP is for the pages in use of a
 *         conversion to private (GMEM_OBSTACLE_PAGE, GMEM_OBSTACLE_PIN), and counts as STOP
 *         everywhere else: for all who wait for another operation; for a conversion after a signal
 *         or an EAGAIN of the kernel's that names no page (GMEM_OBSTACLE_SIGNAL, KERNEL), also
 *         where it makes private again what a listener refused; and for discards and changes of
 *         the layout, which need every page.
 */
typedef int (*gmem_retry_fn)(const struct gmem_report *so_far, void *opaque);

/**
 * @brief Keeps vCPUs out of the guest while a change of the layout is half done.
 *
 * Called before the memslot calls of a change that needs more than one of them: taking a slot
 * away and putting another in its place leaves a gap that a running guest could see. It must
 * return when no vCPU is inside KVM_RUN, and keep it so until the gmem_resume_fn. It must not
 * wait for vCPU threads as such: one of them may be waiting for this very change in a layout call
 * of its own. Runs on the thread that changes the layout, which may be a vCPU's.
 *
 * @return 0, or a negative errno to refuse: the change fails with -ECANCELED
 */
typedef int (*gmem_pause_fn)(void *opaque);

/** Lets vCPUs go on. Called once for each gmem_pause_fn that returned 0. */
typedef void (*gmem_resume_fn)(void *opaque);

/**
 * @brief Makes a configuration with the defaults; one may serve many VMs.
 *
 * @param[out] config  owned by the caller: gmem_vm_config_free(); NULL on failure
 * @return 0; -EINVAL (config is NULL), -ENOMEM. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_config_new(struct gmem_vm_config **config);

/**
 * @brief Gives it back.
 *
 * @param config  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_vm_config_free(struct gmem_vm_config *config);

/**
 * @brief Forces a tracking mode; what the kernel lacks then fails in gmem_vm_new() with
 * -EOPNOTSUPP and a message that names it.
 *
 * @param config    NULL is ignored
 * @param tracking  GMEM_TRACKING_*, default GMEM_TRACKING_AUTO
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_tracking(struct gmem_vm_config *config, uint32_t tracking);

/**
 * @brief The memslots that GMEM_SLOT_AUTO may use, in every address space.
 *
 * A program that makes memslots of its own in the same VM must keep the two apart: KVM takes a
 * call for a number that is in use as a move of that slot, and it is gone from where it was.
 *
 * @param config  NULL is ignored
 * @param first   number of the first, default 0
 * @param count   how many; 0, the default, means all the kernel has from first on
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_slots(struct gmem_vm_config *config, uint32_t first,
				       uint32_t count);

/**
 * @brief Who keeps vCPUs out while the layout changes. Default: nobody.
 *
 * The configuration hands the callbacks on to each VM made with it; free_fn runs when the
 * configuration and all these VMs are gone, or when the callbacks are set anew.
 *
 * @param config   NULL: nothing happens, but opaque is freed
 * @param pause    NULL for none; resume must be NULL too then
 * @param resume   not NULL when pause is not
 * @param opaque   for both
 * @param free_fn  for opaque, may be NULL
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_pause(struct gmem_vm_config *config, gmem_pause_fn pause,
				       gmem_resume_fn resume, void *opaque, gmem_free_fn free_fn);

/**
 * @brief Sets flags, all at once.
 *
 * @param config  NULL is ignored
 * @param flags   GMEM_VM_GAPS_*, one of them at most; default 0
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_flags(struct gmem_vm_config *config, uint32_t flags);

/**
 * @brief Says what KVM_CREATE_VM was told; KVM has no way to ask.
 *
 * It decides whether bytes survive a conversion: those of SNP and TDX guests do not once these
 * run. A VM of unknown type counts as one of these, where memory can be private.
 *
 * @param config  NULL is ignored
 * @param type    GMEM_VM_TYPE_* or another of KVM's, default GMEM_VM_TYPE_UNKNOWN
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_type(struct gmem_vm_config *config, uint32_t type);

/**
 * @brief How long to wait for a page in use, and whom to ask.
 *
 * Between two tries of a page the wait grows from nothing to a millisecond. Unpinning ends it
 * (gmem_vm_unpin()); other references of the kernel's do not. Another operation is waited for as
 * long as it takes, for it has a deadline of its own; only a signal has fn asked then. That time
 * counts, and each page is tried once whatever has passed.
 *
 * @param config       NULL: nothing happens, but opaque is freed
 * @param deadline_ns  nanoseconds from an operation's first obstacle on; default a second;
 *                     UINT64_MAX: until fn says otherwise. 0: wait for nothing, and ask nobody.
 *                     Who meets a pin, a page in use or another operation fails with -EAGAIN at
 *                     once, and a call that signals interrupt is made again eight times.
 *                     gmem_listener_new() and gmem_listener_free() wait all the same, the former
 *                     with fn asked when a signal comes: they need all addresses, and whoever has
 *                     some ends by himself.
 * @param fn           NULL, the default, acts as one that answers GMEM_RETRY_AGAIN
 * @param opaque       for fn
 * @param free_fn      for opaque, may be NULL; runs when the configuration and all VMs made with
 *                     it are gone, or when this is set anew
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_retry(struct gmem_vm_config *config, uint64_t deadline_ns,
				       gmem_retry_fn fn, void *opaque, gmem_free_fn free_fn);

/**
 * @brief Lets gmem_vm_handle_exit() have memory allocated that it made private, by
 * KVM_PRE_FAULT_MEMORY, so that the guest's first touches do not exit one by one.
 *
 * @param config  NULL is ignored
 * @param limit   bytes for one exit at most; 0, the default, for none
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_prefault(struct gmem_vm_config *config, uint64_t limit);

/**
 * @brief Lets conversions of split regions put off freeing the side that is no longer seen, so that
 * what is converted bit by bit is freed in one call, and what is soon converted back not at all.
 *
 * A conversion that would exceed the limit frees what it leaves behind at once, and all that waits
 * but for what others are at work on. Each split region keeps a bit for each page then, in memory
 * that is reserved when the region is made.
 *
 * @param config  NULL is ignored
 * @param limit   bytes that may wait to be freed; 0, the default: none, all is freed at once
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_vm_config_set_discard_limit(struct gmem_vm_config *config, uint64_t limit);

/**
 * @brief Takes charge of a VM's guest memory.
 *
 * Asks the kernel what it has (KVM_CHECK_EXTENSION on the VM) and, where guest_memfd exists and
 * is not tracked per VM, tries in-place tracking on a one-page file, which is closed again. (What
 * another thread executes meanwhile may inherit it: KVM has no flag for close-on-exec.) Nothing of
 * the VM changes.
 *
 * @param ctx     NULL for the default
 * @param vm_fd   borrowed, and used until gmem_vm_free(). It may be closed before that, which
 *                makes no call on it; nothing else may be called then. -1 for no KVM at all:
 *                plain regions, no memslots.
 * @param config  copied; NULL for the defaults
 * @param[out] vm owned by the caller: gmem_vm_free(); NULL on failure
 * @return 0; -EINVAL (vm is NULL, vm_fd below -1, a setting out of range, a context whose kernel
 *         has no function), -EBADF (vm_fd is not open, or not a KVM VM), -ENOMEM, -EMFILE,
 *         -EOPNOTSUPP (a forced mode is missing; the message says what would provide it), -EIO.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_new(struct gmem_ctx *ctx, int vm_fd, const struct gmem_vm_config *config,
			 struct gmem_vm **vm);

/**
 * @brief Lets go of a VM.
 *
 * Its sections end, and what keeps their regions alive is then the caller's handles alone.
 * Listeners hear of no remove, now or when they are freed: free them first, or unmap. A change that
 * is left can only be freed. Memslots are left to die with the VM, which must not run any more: the
 * slots then point at memory that may be gone. Unmap first if it lives on.
 *
 * @param vm  NULL is ignored
 *
 * Threads: last (its regions and changes may still be freed). Since: 0.1
 */
GMEM_API void gmem_vm_free(struct gmem_vm *vm);

/** What this VM on this kernel has. Filled in by the library. */
struct gmem_vm_info {
	uint64_t page_size;         /**< of the host, in bytes */
	uint64_t attributes;        /**< kernel's memory attributes that can be tracked */
	uint64_t guest_memfd_flags; /**< kernel's creation flags accepted: 1 MMAP, 2 INIT_SHARED */
	uint64_t vm_types;          /**< bit n: KVM VM type n (0 default, 4 SNP, 5 TDX) */
	uint64_t hypercall_exits;   /**< bit n: hypercall n can exit; 12 is MAP_GPA_RANGE */
	uint64_t snp_features;      /**< VMSA features KVM can give; 0: none, or no SNP */
	uint64_t snp_policy;        /**< SNP policy bits KVM accepts; 0: none, or no SNP */
	uint64_t max_section;       /**< bytes, one memslot's limit */
	uint32_t tracking;          /**< GMEM_TRACKING_*, never AUTO */
	uint32_t guest_memfd;       /**< 1: can be created */
	uint32_t mmap;              /**< 1: and mapped, fully shared or in place */
	uint32_t private_memory;    /**< 1: pages can be private */
	uint32_t prefault;          /**< 1: KVM_PRE_FAULT_MEMORY */
	uint32_t memory_fault_exit; /**< 1: KVM_EXIT_MEMORY_FAULT is filled in */
	uint32_t region2;           /**< 1: KVM_SET_USER_MEMORY_REGION2 */
	uint32_t address_spaces;    /**< for gmem_vm_map_alias(); 2 with SMM */
	uint32_t slots;             /**< memslots the kernel has, in each address space */
	uint32_t slots_used;        /**< by this library, in all of them */
	uint64_t reserved[8];
};

/**
 * @brief Asks what was found out about this VM. No system call.
 *
 * @param vm         not NULL
 * @param[out] info  not NULL
 * @return 0; -EINVAL, -EIO (in a child after fork). Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_get_info(struct gmem_vm *vm, struct gmem_vm_info *info);

/** What was done since gmem_vm_new(). Counters only go up, but for bytes_held_twice. */
struct gmem_vm_stats {
	uint64_t conversions;        /**< operations that began, also by exits */
	uint64_t conversions_failed; /**< of these, with an error */
	uint64_t bytes_private;      /**< made private */
	uint64_t bytes_shared;       /**< made shared */
	uint64_t ioctls;             /**< attribute calls of conversions */
	uint64_t retries;            /**< of these, answered EAGAIN or EINTR */
	uint64_t discards;           /**< calls that freed memory */
	uint64_t discards_failed;    /**< of these, refused by the kernel */
	uint64_t bytes_discarded;    /**< by the others */
	/** Now: waiting to be freed, whether there is memory behind all of it or not. */
	uint64_t bytes_held_twice;
	uint64_t waited_ns;        /**< nanoseconds spent with pages in use and other operations */
	uint64_t listener_calls;   /**< of all listeners */
	uint64_t exits;            /**< that gmem_vm_handle_exit() handled */
	uint64_t exits_refused;    /**< of these, with an error for the guest or the caller */
	uint64_t messages_dropped; /**< that a guest can cause, for coming too fast */
	uint64_t reserved[9];
};

/**
 * @brief Reads the counters. Each is exact; together they are no snapshot.
 *
 * @param vm          not NULL
 * @param[out] stats  not NULL
 * @return 0; -EINVAL, -EIO (in a child after fork). Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_get_stats(struct gmem_vm *vm, struct gmem_vm_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_VM_H */
