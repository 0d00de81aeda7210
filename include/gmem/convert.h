/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/convert.h
 * @brief Making guest memory private or shared.
 *
 * One function for both of KVM's interfaces: attributes of the VM's addresses
 * (KVM_SET_MEMORY_ATTRIBUTES) and of the guest_memfd's pages, in place
 * (KVM_SET_MEMORY_ATTRIBUTES2); gmem_vm_info.tracking says which.
 *
 * State and kernel agree: what gmem/access.h says of a page changes after the kernel did, never
 * before, and not where the kernel refused. While a conversion is at work, pins of its range are
 * refused or wait, and other conversions and layout changes of any part of it wait for it, first
 * come, first served; those of other ranges run at the same time. No memory is allocated, and no
 * lock is held over a call to the kernel, a callback or a wait.
 *
 * Pages in use. A page that is pinned, by gmem_vm_pin() or by something that the kernel sees
 * (direct I/O, io_uring, VFIO), cannot turn private. The rest of the range is converted first;
 * then each of those pages is tried again by itself, for as long as the retry policy says
 * (gmem_vm_config_set_retry()).
 */
#ifndef GMEM_CONVERT_H
#define GMEM_CONVERT_H

#include <gmem/base.h>
#include <gmem/report.h>
#include <gmem/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @name Flags of a conversion
 * @{ */
/**
 * On failure convert back what was converted, so that each page is as it was. -EOPNOTSUPP, before
 * anything is touched, where this would destroy contents (gmem_vm_config_set_type()), and where
 * the pages that differ from what is asked for lie in more than GMEM_ROLLBACK_RUNS runs.
 */
#define GMEM_CONVERT_ROLLBACK (1u << 0)
/** Wait for nothing: -EAGAIN where a page is in use or another operation at work. */
#define GMEM_CONVERT_NOWAIT (1u << 1)
/**
 * Make no call for pages that are as asked for by the library's own record. Right as long as
 * nobody else converts: whoever holds a guest_memfd can (gmem_region_get_info()).
 */
#define GMEM_CONVERT_TRUST_STATE (1u << 2)
/** @} */

/** Runs of pages that GMEM_CONVERT_ROLLBACK can convert back. */
#define GMEM_ROLLBACK_RUNS 128u

/**
 * @brief Makes a range of guest memory private or shared.
 *
 * It may cover several sections, and pages that are right already. To shared, holes, reserved
 * ranges and devices are passed over; to private they are refused (gmem_vm_config_set_flags()
 * changes either). What can be refused is refused before anything is touched. Where something
 * fails half-way, what was converted stays so unless there is GMEM_CONVERT_ROLLBACK; the report
 * says what.
 *
 * Takes one system call for each run of addresses that is one to the kernel, as long as it can be:
 * under per-VM tracking over all sections that follow each other, in place over what follows each
 * other in the guest_memfd. And futex and clock_gettime where it has to wait.
 *
 * @param vm           not NULL
 * @param gpa, size    in bytes, page-aligned; size not 0
 * @param to           GMEM_PRIVATE or GMEM_SHARED
 * @param flags        GMEM_CONVERT_*
 * @param[out] report  NULL or what happened
 * @return 0: the whole range is as asked for, but for holes passed over;
 *         -EINVAL (gpa, size, to, flags), -ENOENT (a hole), -EACCES (a device, or memory whose
 *         pages can never be private, to private), -EOPNOTSUPP (to private on a VM without
 *         private memory; rollback), -EDEADLK (from inside a callback of an operation on this VM),
 *         -EAGAIN (a page was in use to the last, or was passed over; the policy said stop or
 *         later), -ENOMEM, -EIO (the kernel failed in another way, or in a child after fork).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_convert(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t to,
			     uint32_t flags, struct gmem_report *report);

/**
 * @brief The same for many ranges as one operation: those that follow each other become one call
 * to the kernel.
 *
 * @param vm      not NULL
 * @param ranges  each page-aligned and not empty; in ascending order, not overlapping; read only,
 *                and not changed by anybody until this returns
 * @param count   at least 1
 * @param to, flags, report  as in gmem_vm_convert()
 * @return as gmem_vm_convert(); -EINVAL also for ranges that are out of order.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_convert_ranges(struct gmem_vm *vm, const struct gmem_range *ranges,
				    size_t count, uint32_t to, uint32_t flags,
				    struct gmem_report *report);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_CONVERT_H */
