/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/access.h
 * @brief Reaching guest memory from the host, and asking for its state.
 *
 * Only shared pages can be reached. Everything here can be called from callbacks and allocates
 * nothing; translation and questions take no lock and write nothing that other threads read.
 * Nothing here makes a system call, but for waits (GMEM_ACCESS_WAIT), copies that are checked
 * (GMEM_ACCESS_CHECKED), letting go of what a conversion waits for, and a pin that meets an
 * operation which has been interrupted as it began or ended. Addresses are taken to come from the
 * guest: what is wrong with them is logged at level debug.
 */
#ifndef GMEM_ACCESS_H
#define GMEM_ACCESS_H

#include <gmem/base.h>
#include <gmem/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @name Flags of an access
 * @{ */
#define GMEM_ACCESS_WRITE (1u << 0) /**< it will be written: refused on read-only sections */
/** Take what there is in one piece from gpa on, at least a byte. Only gmem_vm_pin(). */
#define GMEM_ACCESS_PARTIAL (1u << 1)
/**
 * Where a conversion or a layout change is at work on the range, wait for its end, as the retry
 * policy says (gmem_vm_config_set_retry()); else that is -EAGAIN. Pins and copies.
 */
#define GMEM_ACCESS_WAIT (1u << 2)
/**
 * Copy by system call (process_vm_readv(2)), which fails where a plain copy raises SIGBUS: for
 * guest memory that others convert or punch too, behind this library's back. Only copies.
 */
#define GMEM_ACCESS_CHECKED (1u << 3)
/** @} */

/**
 * @brief Host address of a range, without any promise.
 *
 * The pages were shared, and mapped, a moment ago. Where the guest can convert them the address
 * may raise SIGBUS at the next touch. Right for VMs without private memory, and before the guest
 * runs. A range over several sections has one host address where they are windows of one region
 * that follow each other there too.
 *
 * @param vm         not NULL
 * @param gpa, size  in bytes, no alignment; size not 0
 * @param flags      GMEM_ACCESS_WRITE or 0
 * @param[out] host  not NULL; NULL on failure
 * @return 0: all of it is there; -EINVAL, -ENOENT (a hole), -EACCES (private, absent, a device's,
 *         or read-only and to be written), -EXDEV (not in one piece), -EIO (in a child after fork).
 *         The first obstacle from gpa on decides. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_translate(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
			       void **host);

/**
 * @brief What a range has: the OR of GMEM_SHARED, GMEM_PRIVATE, GMEM_HOLE, GMEM_ABSENT.
 *
 * @param vm         not NULL
 * @param gpa, size  in bytes, no alignment; size not 0
 * @return 1 to 15; -EINVAL, -EIO (in a child after fork). Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_get_state(struct gmem_vm *vm, uint64_t gpa, uint64_t size);

/**
 * @brief Finds the run of one state at an address, holes included. Start from 0, go on from
 * run->gpa + run->size, to see all addresses up to the end of the last section.
 *
 * @param vm        not NULL
 * @param gpa       in bytes, page-aligned
 * @param[out] run  starts at gpa; as long as state and section reach; all zeros when there is
 *                  nothing from gpa on
 * @return 1 found, 0 nothing from gpa on; -EINVAL, -EIO (in a child after fork).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_next_run(struct gmem_vm *vm, uint64_t gpa, struct gmem_run *run);

/** Pins that one VM can have at a time. */
#define GMEM_PINS_MAX 65536u

/**
 * @brief A pin: a range that stays shared and mapped while it is held.
 *
 * The caller owns it. It may be moved and copied as bytes; one of the copies is released. All
 * zeros is no pin.
 */
struct gmem_pin {
	void *host;         /**< the range in this process */
	uint64_t size;      /**< in bytes */
	uint64_t opaque[4]; /**< the library's */
};

/**
 * @brief Host address of a range that stays good until gmem_vm_unpin().
 *
 * Conversion to private and unmapping of these pages, and of no others, wait for it as the retry
 * policy says, and then fail with -EAGAIN: whoever holds a pin must not convert its pages. The
 * promise holds against this library; others that have the guest_memfd can break it.
 *
 * @param vm         not NULL
 * @param gpa, size  in bytes, no alignment; size not 0
 * @param flags      GMEM_ACCESS_WRITE, PARTIAL, WAIT
 * @param[out] pin   not NULL; all zeros on failure
 * @return 0; -EINVAL, -ENOENT, -EACCES, -EXDEV, as gmem_vm_translate(); -EAGAIN (an operation is
 *         at work on the range, or with GMEM_ACCESS_WAIT was to the last), -EDEADLK (WAIT, inside
 *         a callback of an operation), -ENOSPC (GMEM_PINS_MAX), -EIO (in a child after fork).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_pin(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
			 struct gmem_pin *pin);

/**
 * @brief Releases a pin, from any thread, and makes it all zeros.
 *
 * @param vm   NULL is ignored, as is a pin that is not one of this VM's, with an error message
 * @param pin  NULL and all zeros are ignored
 *
 * Threads: any. Since: 0.1
 */
GMEM_API void gmem_vm_unpin(struct gmem_vm *vm, struct gmem_pin *pin);

/**
 * @brief Copies out of guest memory, across sections.
 *
 * The range is pinned meanwhile, so no conversion or unmapping by this library can make it raise
 * SIGBUS; GMEM_ACCESS_CHECKED is for those by others. The guest may be writing: like any access to
 * its memory the copy is not atomic.
 *
 * @param vm         not NULL
 * @param gpa, size  in bytes, no alignment; size not 0
 * @param buf        size bytes, not guest memory
 * @param flags      GMEM_ACCESS_WAIT, CHECKED
 * @return 0: all of it; -EINVAL, -ENOENT, -EACCES, -EAGAIN, -EDEADLK, -ENOSPC, -EIO, as
 *         gmem_vm_pin(): nothing was copied. With GMEM_ACCESS_CHECKED -EACCES also where a page
 *         proved not to be there, and -EIO where the call failed in another way: then part of it
 *         may have been copied. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_read(struct gmem_vm *vm, uint64_t gpa, void *buf, uint64_t size,
			  uint32_t flags);

/**
 * @brief Copies into guest memory, across sections.
 *
 * @param vm         not NULL
 * @param gpa, size  in bytes, no alignment; size not 0
 * @param buf        size bytes, not guest memory
 * @param flags      GMEM_ACCESS_WAIT, CHECKED
 * @return as gmem_vm_read(); -EACCES also for read-only sections. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_write(struct gmem_vm *vm, uint64_t gpa, const void *buf, uint64_t size,
			   uint32_t flags);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_ACCESS_H */
