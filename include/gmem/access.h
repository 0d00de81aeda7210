/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/access.h
 * @brief Reaching guest memory from the host, and asking for its state.
 *
 * Only shared pages can be reached. Everything here can be called from callbacks, makes no system
 * call, takes no lock, writes nothing that other threads read, and allocates nothing. Addresses
 * are taken to come from the guest: what is wrong with them is logged at level debug.
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
 * @return 0: all of it is there; -EINVAL, -ENOENT (a hole), -EACCES (private, a device's, or
 *         read-only and to be written), -EXDEV (not in one piece), -EIO (in a child after fork).
 *         The first obstacle from gpa on decides. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_translate(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
			       void **host);

/**
 * @brief What a range has: the OR of GMEM_SHARED, GMEM_PRIVATE, GMEM_HOLE.
 *
 * @param vm         not NULL
 * @param gpa, size  in bytes, no alignment; size not 0
 * @return 1 to 7; -EINVAL, -EIO (in a child after fork). Threads: any. Since: 0.1
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

#ifdef __cplusplus
}
#endif

#endif /* GMEM_ACCESS_H */
