/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/layout.h
 * @brief Which region lies at which guest-physical address.
 *
 * A section is a window of a region at a guest-physical address, and one memslot. Sections do not
 * overlap. Readers (gmem/access.h) never wait for a change of the layout, and see it whole or not
 * at all; a running guest sees it so too when gmem_vm_config_set_pause() says who keeps it out.
 *
 * A change waits for other operations on its range, and for pins of what it takes away, as the
 * retry policy says (gmem_vm_config_set_retry()); with a deadline of 0 for neither: -EAGAIN. There
 * is no report here: the policy's callback is told what is in the way, and the log says it.
 *
 * Where a section has a memslot, KVM gets as its userspace address the live host mapping of the
 * very same range, and the memory stays for as long as the slot, or until gmem_vm_free().
 */
#ifndef GMEM_LAYOUT_H
#define GMEM_LAYOUT_H

#include <gmem/base.h>
#include <gmem/region.h>
#include <gmem/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @name Flags of a section
 * READONLY and DIRTY_LOG need memory that can never be private; where that is a guest_memfd, KVM
 * gets a plain slot over its mapping.
 * @{ */
#define GMEM_MAP_READONLY (1u << 0)  /**< the guest may not write */
#define GMEM_MAP_DIRTY_LOG (1u << 1) /**< KVM logs dirty pages */
#define GMEM_MAP_DEVICE (1u << 2)    /**< a device's memory: cannot be reached by translation */
#define GMEM_MAP_ALIAS (1u << 3)     /**< only in gmem_run.flags: gmem_vm_map_alias() made it */
/** @} */

/** @name Memslot of a section
 * @{ */
#define GMEM_SLOT_AUTO 0xffffffffu /**< the library chooses the lowest free one */
/**
 * The caller programs KVM itself: adds a memslot after gmem_vm_map() with what the gmem_run of the
 * section says (host, and guest_memfd at offset where it is not -1), and deletes it before
 * gmem_vm_unmap(), after which memory and descriptors may be gone. Attributes of addresses (per-VM
 * tracking) are set by the library all the same.
 */
#define GMEM_SLOT_NONE 0xfffffffeu
/** @} */

/** Sections and reserved ranges that one VM can have. */
#define GMEM_SECTIONS_MAX 65536u

/**
 * @brief Maps a window of a region. Under per-VM tracking the range first gets the attributes that
 * its pages' states ask for.
 *
 * Plain memory may be mapped more than once; pages of a guest_memfd only with gmem_vm_map_alias().
 * While it gets another address in address space 0 it counts as being worked on at those it has.
 *
 * @param vm      not NULL
 * @param gpa     guest-physical address, page-aligned
 * @param region  of the same VM; it is kept alive while it is mapped. NULL reserves the range for
 *                a device: it counts as a hole, and may overlap other reserved ranges
 * @param offset  in the region, page-aligned; 0 without region
 * @param size    page-aligned, not 0; at most gmem_vm_info.max_section with a memslot
 * @param slot    a number that nobody else has in use (gmem_vm_config_set_slots()),
 *                GMEM_SLOT_AUTO or GMEM_SLOT_NONE; not a number without region or KVM
 * @param flags   GMEM_MAP_READONLY, DIRTY_LOG, DEVICE; 0 without region
 * @return 0; -EINVAL, -ENOMEM, -EEXIST (address, slot, or pages of a guest_memfd that are mapped
 *         elsewhere: use gmem_vm_map_alias()), -ENOSPC (no memslot or section left), -EOPNOTSUPP
 *         (flags that this region or kernel cannot have), -EAGAIN (another operation was at work
 *         to the last, on the range or where the memory is mapped already), -ECANCELED (a
 *         listener of GMEM_LISTEN_LAYOUT refused memory that is shared in it; guests may have
 *         seen the section by then. It is taken away again, or stays, where KVM fails at that,
 *         which an error message says), -EDEADLK, -EIO. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_map(struct gmem_vm *vm, uint64_t gpa, struct gmem_region *region,
			 uint64_t offset, uint64_t size, uint32_t slot, uint32_t flags);

/**
 * @brief Maps memory at a second address, or into another address space of KVM (SMM), as a plain
 * slot over the region's host mapping.
 *
 * An alias in address space 0 is a section like others, with GMEM_MAP_ALIAS; those of other
 * address spaces only have their slot, and no function looks them up.
 *
 * @param vm             not NULL
 * @param address_space  below gmem_vm_info.address_spaces
 * @param gpa, offset, size, slot, flags  as in gmem_vm_map()
 * @param region         not NULL; its pages can never be private (GMEM_NEED_ALIAS asks for such)
 * @return as gmem_vm_map(); -EOPNOTSUPP also where pages can be private. Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_map_alias(struct gmem_vm *vm, uint32_t address_space, uint64_t gpa,
			       struct gmem_region *region, uint64_t offset, uint64_t size,
			       uint32_t slot, uint32_t flags);

/**
 * @brief Takes sections (aliases of address space 0 too) or reserved ranges away.
 *
 * Under per-VM tracking the range is shared afterwards, so that what is mapped there next does
 * not inherit attributes.
 *
 * @param vm         not NULL
 * @param gpa, size  must cover whole sections, and at least one. Exactly those of a reserved range
 *                   take away that one alone, and one only, whatever overlaps it.
 * @return 0; -EINVAL (also: it would cut a section), -ENOENT, -ENOMEM, -ECANCELED (a listener
 *         refused; several slots, and the pause callback refused), -EAGAIN (a page was pinned, or
 *         another operation at work on the range, to the last: gmem_vm_config_set_retry()),
 *         -EDEADLK, -EIO.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_unmap(struct gmem_vm *vm, uint64_t gpa, uint64_t size);

/**
 * @brief Takes aliases of one address space away, and leaves other sections alone.
 *
 * @param vm             not NULL
 * @param address_space  below gmem_vm_info.address_spaces
 * @param gpa, size      must cover whole aliases, and at least one
 * @return as gmem_vm_unmap(). Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_unmap_alias(struct gmem_vm *vm, uint32_t address_space, uint64_t gpa,
				 uint64_t size);

/**
 * @brief Changes the flags of sections of address space 0.
 *
 * In place where KVM can: a plain slot's dirty log. Else the slot is taken away and put back: for
 * read-only, and for the first dirty log of a guest_memfd section, which stays a plain slot from
 * then on. Contents are kept. Sections that have the flags already are left alone.
 *
 * @param vm         not NULL
 * @param gpa, size  must cover whole sections, and at least one; no reserved range
 * @param flags      GMEM_MAP_READONLY, DIRTY_LOG, DEVICE: replaces those they have
 * @return 0; -EINVAL, -ENOENT, -ENOMEM, -EOPNOTSUPP (pages can be private), -ECANCELED (the pause
 *         callback or a listener refused), -EAGAIN (another operation was at work on the range to
 *         the last; a page was pinned where the slot is taken away), -EDEADLK, -EIO.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_set_map_flags(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags);

/**
 * @brief Finds the section or reserved range at an address, or else the next one above. Start
 * from 0, go on from run->gpa + run->size, to visit all. Reserved ranges that overlap or touch
 * are shown as one.
 *
 * @param vm        not NULL
 * @param gpa       where to start
 * @param[out] run  the whole section; state is the OR of its pages'; all zeros when nothing is
 *                  found
 * @return 1 found, 0 none above; -EINVAL, -EIO (in a child after fork). Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_next_section(struct gmem_vm *vm, uint64_t gpa, struct gmem_run *run);

/**
 * @brief A change of the layout in several steps that happens as one.
 *
 * Each step is judged in order against the layout that the steps before it leave. Committing
 * takes away all slots that go, then adds all that come, and leaves alone what is taken away and
 * mapped again as it was. Readers see all of it at once; on failure nothing has changed.
 */
struct gmem_change;

/**
 * @brief Starts an empty change. Nothing is locked: others may change the layout meanwhile.
 *
 * @param vm           not NULL
 * @param[out] change  owned by the caller: gmem_change_free(); NULL on failure
 * @return 0; -EINVAL, -ENOMEM, -EIO (in a child after fork). Threads: any. Since: 0.1
 */
GMEM_API int gmem_change_new(struct gmem_vm *vm, struct gmem_change **change);

/**
 * @brief Gives it back; steps that were not committed are forgotten.
 *
 * @param change  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_change_free(struct gmem_change *change);

/**
 * @brief Adds the step gmem_vm_map(). The region is kept alive by the change. The step's
 * arguments are judged by gmem_change_commit().
 *
 * @return 0; -EINVAL (change is NULL), -ENOMEM. Threads: one. Since: 0.1
 */
GMEM_API int gmem_change_map(struct gmem_change *change, uint64_t gpa, struct gmem_region *region,
			     uint64_t offset, uint64_t size, uint32_t slot, uint32_t flags);

/**
 * @brief Adds the step gmem_vm_map_alias(), as gmem_change_map() does.
 *
 * @return 0; -EINVAL (change is NULL), -ENOMEM. Threads: one. Since: 0.1
 */
GMEM_API int gmem_change_map_alias(struct gmem_change *change, uint32_t address_space, uint64_t gpa,
				   struct gmem_region *region, uint64_t offset, uint64_t size,
				   uint32_t slot, uint32_t flags);

/**
 * @brief Adds the step gmem_vm_unmap(), as gmem_change_map() does.
 *
 * @return 0; -EINVAL (change is NULL), -ENOMEM. Threads: one. Since: 0.1
 */
GMEM_API int gmem_change_unmap(struct gmem_change *change, uint64_t gpa, uint64_t size);

/**
 * @brief Adds the step gmem_vm_unmap_alias(), as gmem_change_map() does.
 *
 * @return 0; -EINVAL (change is NULL), -ENOMEM. Threads: one. Since: 0.1
 */
GMEM_API int gmem_change_unmap_alias(struct gmem_change *change, uint32_t address_space,
				     uint64_t gpa, uint64_t size);

/**
 * @brief Adds the step gmem_vm_set_map_flags(), as gmem_change_map() does.
 *
 * @return 0; -EINVAL (change is NULL), -ENOMEM. Threads: one. Since: 0.1
 */
GMEM_API int gmem_change_set_map_flags(struct gmem_change *change, uint64_t gpa, uint64_t size,
				       uint32_t flags);

/**
 * @brief Makes the change. The message of a failure says which step it was, counted from 1.
 *
 * @param change  not NULL. On success it is empty again and can be used for another; on failure
 *                it is as it was, and can be tried again.
 * @return 0 (also of an empty change); what the steps can return; -ECANCELED (the pause callback or
 *         a listener refused). Threads: one; any for the VM. Since: 0.1
 */
GMEM_API int gmem_change_commit(struct gmem_change *change);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_LAYOUT_H */
