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
 * come, first served; those of other ranges (and other blocks: gmem_listener_new()) run at the same
 * time. No memory is allocated, and no lock is held over a call to the kernel, a callback or a
 * wait.
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
 * the pages that differ from what is asked for lie in more than GMEM_ROLLBACK_RUNS runs. Nothing is
 * waited for on the way back: a run, or the rest of one, with a page that has come into use
 * meanwhile stays as asked for, as one that the kernel fails at does, or signals interrupt a
 * hundred times; an error message names it, and it is in report.converted.
 */
#define GMEM_CONVERT_ROLLBACK (1u << 0)
/**
 * Wait for nothing, as with a deadline of 0 (gmem_vm_config_set_retry()): -EAGAIN where a page is
 * in use or another operation at work.
 */
#define GMEM_CONVERT_NOWAIT (1u << 1)
/**
 * Make no call for pages that are as asked for by the library's own record. Right as long as
 * nobody else converts: whoever holds a guest_memfd can (gmem_region_get_info()).
 */
#define GMEM_CONVERT_TRUST_STATE (1u << 2)
/**
 * Split regions: keep the memory of the side that is no longer seen, whatever else is set; also
 * what an earlier conversion of these pages has put off freeing.
 */
#define GMEM_CONVERT_KEEP (1u << 3)
/**
 * Split regions: free huge pages of the shared side too, where they turn private as a whole. Their
 * reservation goes with them, so that a later touch may find none (SIGBUS): the default is to keep.
 */
#define GMEM_CONVERT_FREE_HUGETLB (1u << 4)
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
 * Listeners (gmem/listener.h) are told of shared memory that will be private before the kernel is,
 * and of memory that has become shared after it was. One that refuses the first stops the
 * conversion before anything is touched. One that refuses the second has these pages converted
 * back, or left shared where that would destroy contents.
 *
 * A split region's pages have two places, of which one is no longer seen. Its memory is freed after
 * the change, in as few calls as possible, or later (gmem_vm_config_set_discard_limit()), unless
 * there is GMEM_CONVERT_KEEP; if that fails a warning is logged, and memory stays held twice. The
 * report's freed counts what was freed before this returns, but for what had been put off earlier.
 * What is freed reads as zeros when it is seen again, where conversion keeps contents at all.
 *
 * Takes one system call for each run of addresses that is one to the kernel, as long as it can be:
 * under per-VM tracking over all sections that follow each other, in place over what follows each
 * other in the guest_memfd; fallocate or madvise for what is freed; and futex and clock_gettime
 * where it has to wait.
 *
 * @param vm           not NULL
 * @param gpa, size    in bytes, page-aligned; size not 0
 * @param to           GMEM_PRIVATE or GMEM_SHARED
 * @param flags        GMEM_CONVERT_*
 * @param[out] report  NULL or what happened
 * @return 0: the whole range is as asked for, but for holes passed over;
 *         -EINVAL (gpa, size, to, flags), -ENOENT (a hole), -EACCES (absent memory; a device, or
 *         memory whose pages can never be private, to private), -EOPNOTSUPP (to private on a VM
 *         without private memory; rollback), -EDEADLK (from inside a callback of an operation on
 *         this VM), -EAGAIN (a page was in use, or another operation at work, to the last; a page
 *         was passed over; the policy said stop or later), -ECANCELED (a listener refused),
 *         -ENOMEM (the kernel's), -EIO (the kernel failed in another way, or in a child after
 *         fork). What is wrong with addresses, and -EAGAIN, is logged at level debug.
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

/** @name Flags of a discard, of populating and of flushing
 * NOWAIT is the same bit in all of them, and of a conversion.
 * @{ */
/** The memory is unplugged: absent from now on, until gmem_vm_populate(). */
#define GMEM_DISCARD_ABSENT (1u << 0)
/** Wait for nothing: -EAGAIN where a page is pinned or another operation at work. */
#define GMEM_DISCARD_NOWAIT (1u << 1)
/** Wait for nothing: -EAGAIN where another operation is at work. */
#define GMEM_POPULATE_NOWAIT (1u << 1)
/** Wait for nothing: what another operation is at work on is passed over, and then -EAGAIN. */
#define GMEM_FLUSH_NOWAIT (1u << 1)
/** @} */

/**
 * @brief Frees the memory behind a range, of both sides: for balloons, free page reporting, and
 * memory that is unplugged (virtio-mem).
 *
 * States stay as they are, and the memory reads as zeros when it is next touched. (madvise() on a
 * guest_memfd's mapping frees nothing or private pages too, and on a split region one side only.)
 * Pages that gmem_vm_pin() holds are waited for, as the retry policy says. References that only the
 * kernel sees are not: who has one keeps the old page, and the guest gets another. Listeners are
 * told remove before, so that they let go, and add after; also where a pin then stops it, with
 * GMEM_DISCARD_NOWAIT too. Read-only memory, device memory and holes are passed over, and so are
 * huge pages of hugetlb memory that the range does not cover.
 *
 * Memory that is mapped more than once (gmem_vm_map() of plain memory, gmem_vm_map_alias()) is
 * gone at all its addresses in address space 0, of whatever kind they are: listeners are told of
 * each of them, the pins of each are waited for, and so are operations at work on any; it is freed
 * once. Only for such memory is a list allocated, before anything is touched.
 *
 * With GMEM_DISCARD_ABSENT nobody is to use the memory any more: listeners are not told add, and
 * gmem/access.h and conversions refuse it with -EACCES; questions answer GMEM_ABSENT. A guest that
 * touches it all the same gets new memory from KVM, which no function here can prevent; a second
 * discard frees that. It belongs to the region, and stays when this is mapped elsewhere.
 *
 * The report's freed counts the bytes that the kernel was told to free, whether there was memory
 * behind them or not, of both sides; converted those that were not absent before. On failure its
 * gpa, size, tag and offset are those of what is in the way: a pin, what a listener refused, what
 * could not be noted as absent, or the first that the kernel would not free, and kernel_error is
 * what that gave. They may be at another address of the memory than the range has.
 *
 * @param vm           not NULL
 * @param gpa, size    in bytes, page-aligned; size not 0
 * @param flags        GMEM_DISCARD_*
 * @param[out] report  NULL or what happened
 * @return 0; -EINVAL (gpa, size, flags), -EAGAIN (a page was pinned, or another operation at work,
 *         to the last), -ECANCELED (a listener refused), -ENOMEM (nowhere to note absent pages, or
 *         for the list of addresses), -EDEADLK (from inside a callback of an operation on this
 *         VM), -EIO (the kernel would not free a part, or in a child after fork). But for the
 *         kernel's failure nothing is freed then, and nothing absent; after that one the rest is
 *         freed, and all of it absent where asked for. What is wrong with addresses, and -EAGAIN,
 *         is logged at level debug; what the kernel or a listener refuses is an error, but some
 *         ten a second at most, for a guest's balloon can ask again and again. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_discard(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
			     struct gmem_report *report);

/**
 * @brief Plugs memory that is absent in again: it has the state it had, and reads as zeros.
 *
 * Listeners are told add of what is shared. One that refuses ends it there: what precedes the run
 * that it refused is plugged in, the rest is absent still. What is not absent, and all that a
 * discard passes over, is passed over. No memory is given to it: gmem_region_prefault() does that.
 *
 * Memory that is mapped more than once is there again at all its addresses, as in
 * gmem_vm_discard(): listeners are told of a run of absent pages at each of them, in ascending
 * order, and then of the next run; one that refuses the run at any address refuses it.
 *
 * The report's converted counts the bytes that are not absent any more; restored those of the run
 * that a listener refused, where gpa, size, tag and offset say what that was.
 *
 * @param vm           not NULL
 * @param gpa, size    in bytes, page-aligned; size not 0
 * @param flags        GMEM_POPULATE_NOWAIT or 0
 * @param[out] report  NULL or what happened
 * @return 0; -EINVAL (gpa, size, flags), -EAGAIN (another operation was at work to the last),
 *         -ECANCELED (a listener refused), -ENOMEM (for the list of addresses: nothing is touched),
 *         -EDEADLK (from inside a callback of an operation on this VM), -EIO (in a child after
 *         fork). What is wrong with addresses, and -EAGAIN, is logged at level debug.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_populate(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
			      struct gmem_report *report);

/**
 * @brief Frees what conversions have put off (gmem_vm_config_set_discard_limit()).
 *
 * The report's freed counts as a discard's does, on failure too; gpa, size, tag and offset are
 * those of the first that the kernel would not free, and kernel_error what that gave, or else of
 * what another operation was at work on.
 *
 * @param vm           not NULL
 * @param flags        GMEM_FLUSH_NOWAIT or 0
 * @param[out] report  NULL or what happened
 * @return 0; -EINVAL (flags), -EAGAIN (an operation was at work to the last: some of it is not
 *         freed, which is logged at level debug), -EDEADLK (from inside a callback of an operation
 *         on this VM), -EIO (the kernel would not free some of it, or in a child after fork).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_flush(struct gmem_vm *vm, uint32_t flags, struct gmem_report *report);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_CONVERT_H */
