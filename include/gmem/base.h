/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/base.h
 * @brief Words that every other header uses: errors, threads, states, runs.
 *
 * Errors. Every function that can fail returns a negative errno out of this closed list, always
 * with this meaning; each function names those it uses. errno itself is unspecified.
 *
 *   -EINVAL      malformed argument: NULL, zero, unaligned, overflowing, out of range, unknown
 *                flag bit (the caller's mistake)
 *   -EBADF       a descriptor that was passed in is not usable
 *   -ENOMEM      no memory
 *   -EMFILE      no descriptor left, in this process or on the host
 *   -ENOENT      nothing is mapped there; no such entry
 *   -EEXIST      it would overlap something that is there
 *   -EXDEV       the range is not contiguous in host memory
 *   -EACCES      a page is private, absent, read-only or a device's, and may not be touched so
 *   -EAGAIN      a page is in use (a pin, or a reference that the kernel sees), or in the middle of
 *                a conversion; later it may work
 *   -ECANCELED   a callback said no
 *   -EDEADLK     called from inside a callback that may not call this
 *   -ENOSPC      no memslot left, a table is full
 *   -EOPNOTSUPP  this kernel, this VM type or this build does not have it
 *   -EBADMSG     data that was passed in (an image, a key) is damaged, or not what it should be
 *   -EIO         the kernel, or libgcrypt, failed in another way (the log says how), or the handle
 *                is used in a child after fork()
 *
 * Each failure sends one message to the log (gmem/ctx.h), on the calling thread, before the
 * function returns; it names the object, the value and what would be right. It is of level error,
 * but of level debug where a guest can cause it (an address that a guest gave); and of what a
 * guest can have fail again and again some ten are sent in a second, and the others that would be
 * heard counted (gmem_vm_stats.messages_dropped). So a guest cannot fill the log. After a failure
 * every object is as it was, but for gmem/convert.h: a conversion may be half done, and says in a
 * gmem_report what was; so may a discard.
 *
 * Setters of a configuration or a context return nothing and cannot fail (NULL is ignored): the
 * function that uses the configuration judges it as a whole, and has a log to say what is wrong
 * with it.
 *
 * Threads. Each function says one of
 *   any    any number of threads at once, together with every other function on the same object
 *          that also says any; no lock is needed
 *   one    any thread, but nobody else may be using the object meanwhile
 *   last   as one, and nothing may use the object afterwards
 *
 * Callbacks get their opaque pointer last. The free function that comes with one is called
 * exactly once, when the library will not use it again, also when the call that hands it over
 * fails.
 *
 * What a callback may call. An operation on a VM is what converts, frees or plugs in memory,
 * changes the layout, or makes or frees a listener. A callback that it makes (gmem_retry_fn,
 * gmem_listener_fn, gmem_pause_fn, gmem_resume_fn) may call what gmem/access.h declares; what would
 * be another operation on this VM returns -EDEADLK, and so does GMEM_ACCESS_WAIT where that would
 * wait for any operation. The gmem_retry_fn of a pin or copy that waits
 * (gmem_report.operation is GMEM_OPERATION_PIN) is no part of an operation: it may start one.
 * gmem_log_fn and the function of a gmem_kernel must not call libgmem at all; free functions may,
 * but not about what is being freed. Others say it themselves.
 *
 * Ownership. What a function returns through an [out] handle is the caller's, who gives it back
 * once with the function named. Handles are counted inside and may be freed in any order.
 * Descriptors passed in are borrowed unless the function says that they are duplicated.
 *
 * Structs. Handles are opaque. What the library fills in for the caller (gmem_run, the info
 * structs) is a public struct of fixed size whose reserved tail the library sets to zero: new
 * fields come out of it. What never can grow (gmem_kernel) has no reserve.
 */
#ifndef GMEM_BASE_H
#define GMEM_BASE_H

#include <stddef.h>
#include <stdint.h>

#include <gmem/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @name States of guest memory
 * Bits, so that a question about a range can be answered with all it has.
 * @{ */
#define GMEM_SHARED 1u  /**< host and guest see the same page */
#define GMEM_PRIVATE 2u /**< the guest's alone */
#define GMEM_HOLE 4u    /**< nothing mapped, or reserved for a device */
#define GMEM_ABSENT 8u  /**< mapped, but unplugged: gmem_vm_discard() with GMEM_DISCARD_ABSENT */
/** @} */

/** @name Kinds of a section
 * @{ */
#define GMEM_KIND_HOLE 0u     /**< nothing is mapped there */
#define GMEM_KIND_RAM 1u      /**< memory the guest can write */
#define GMEM_KIND_ROM 2u      /**< GMEM_MAP_READONLY: the guest's writes exit to the host */
#define GMEM_KIND_DEVICE 3u   /**< GMEM_MAP_DEVICE: a device's memory */
#define GMEM_KIND_RESERVED 4u /**< a range kept free, gmem_vm_map() with no region */
/** @} */

/** Frees what a callback's opaque pointer points to. NULL where none. */
typedef void (*gmem_free_fn)(void *opaque);

/** A range of guest-physical addresses. Frozen: it will never have another field. */
struct gmem_range {
	uint64_t gpa;  /**< in bytes */
	uint64_t size; /**< in bytes */
};

/**
 * @brief A piece of guest memory: all of it in one section, one file, one host mapping and
 * (except from gmem_vm_next_section()) one state.
 *
 * Filled in by the library. Pointers and descriptors in it are borrowed: they are valid while the
 * section stays mapped. Of a hole (GMEM_KIND_HOLE) or a reserved range (GMEM_KIND_RESERVED) state
 * is GMEM_HOLE, host NULL, fd and guest_memfd -1, slot GMEM_SLOT_NONE; offset, tag, fd_offset and
 * flags are 0.
 */
struct gmem_run {
	uint64_t gpa;        /**< first guest-physical address */
	uint64_t size;       /**< in bytes; gpa + size never overflows */
	uint64_t offset;     /**< of gpa in its region */
	uint64_t tag;        /**< the region's, gmem_region_config_set_tag() */
	void *host;          /**< gpa in this process; NULL where it has none */
	uint64_t fd_offset;  /**< of gpa in fd */
	int32_t fd;          /**< file of the host's side; -1 where anonymous */
	uint32_t state;      /**< GMEM_SHARED, PRIVATE, ABSENT, some of them, or GMEM_HOLE */
	uint32_t flags;      /**< GMEM_MAP_* of the section */
	uint32_t slot;       /**< memslot, or GMEM_SLOT_NONE */
	uint32_t kind;       /**< GMEM_KIND_* */
	int32_t guest_memfd; /**< the region's, where gpa is at offset; -1: none */
	uint64_t reserved[7];
};

#ifdef __cplusplus
}
#endif

#endif /* GMEM_BASE_H */
