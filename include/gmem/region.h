/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/region.h
 * @brief A piece of memory: where its bytes live, and its pages' states.
 *
 * A region is made once and can be mapped to guest addresses as a whole or in parts
 * (gmem/layout.h). States belong to the region: they survive unmap and map.
 */
#ifndef GMEM_REGION_H
#define GMEM_REGION_H

#include <gmem/base.h>
#include <gmem/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gmem_region;
struct gmem_region_config;

/** @name Where a region's pages live
 * @{ */
/**
 * Let the library choose. PLAIN on a VM that has no private memory, or when the region needs what
 * private memory cannot have (GMEM_NEED_DIRTY_LOG, GMEM_NEED_ALIAS). Else GUEST_MEMFD where the
 * kernel tracks in place, unless the caller chose the memory of the shared side or needs what a
 * guest_memfd lacks; else SPLIT.
 */
#define GMEM_BACKING_AUTO 0u
/**
 * One guest_memfd for both private and shared pages (in place). On a VM without private memory
 * this is ordinary RAM, but without huge pages, swap, KSM and userfaultfd.
 */
#define GMEM_BACKING_GUEST_MEMFD 1u
/** Private pages in a guest_memfd, shared pages elsewhere. */
#define GMEM_BACKING_SPLIT 2u
/** No guest_memfd: ROM, device memory, ordinary RAM. Never private. */
#define GMEM_BACKING_PLAIN 3u
/** @} */

/** @name What kind of memory the shared (or plain) side is
 * @{ */
#define GMEM_MEMORY_SHMEM 0u       /**< memfd or other shared file, the default */
#define GMEM_MEMORY_ANON 1u        /**< private anonymous */
#define GMEM_MEMORY_HUGETLB 2u     /**< huge pages of the set page size */
#define GMEM_MEMORY_GUEST_MEMFD 3u /**< a second guest_memfd, all shared; only with SPLIT */
#define GMEM_MEMORY_DEVICE 4u      /**< a device's: only as a mapping, never freed or populated */
/** @} */

/** @name gmem_region_config_set_flags()
 * By default a region is left out of core dumps and of children after fork(). A mapping of the
 * caller's is not advised in any way; these flags are refused on it.
 * @{ */
#define GMEM_REGION_DUMP (1u << 0)      /**< put into core dumps */
#define GMEM_REGION_FORK (1u << 1)      /**< let children have it too */
#define GMEM_REGION_HUGE (1u << 2)      /**< advise transparent huge pages */
#define GMEM_REGION_NO_HUGE (1u << 3)   /**< advise against them */
#define GMEM_REGION_MERGEABLE (1u << 4) /**< let KSM merge it; only anonymous memory */
/** Do not reserve swap (of anonymous memory; a memfd never does) or huge pages. */
#define GMEM_REGION_NO_RESERVE (1u << 5)
/** @} */

/** @name What a region must be able to do, for gmem_region_config_set_needs()
 * @{ */
#define GMEM_NEED_DIRTY_LOG (1u << 0)   /**< dirty logging of its sections */
#define GMEM_NEED_HUGE_PAGES (1u << 1)  /**< huge pages on the side the host sees: not a memfd */
#define GMEM_NEED_USERFAULTFD (1u << 2) /**< userfaultfd on the side the host sees */
#define GMEM_NEED_ALIAS (1u << 3)       /**< a second address: gmem_vm_map_alias() */
/** @} */

/** @name Memory policies, for gmem_region_config_set_numa(): those of set_mempolicy(2)
 * @{ */
#define GMEM_NUMA_DEFAULT 0u
#define GMEM_NUMA_PREFERRED 1u
#define GMEM_NUMA_BIND 2u
#define GMEM_NUMA_INTERLEAVE 3u
/** @} */

/** Bits of a NUMA node mask, at most. */
#define GMEM_NUMA_BITS 1024u

/** Bytes of a region's name, at most, without NUL. */
#define GMEM_NAME_LENGTH 63u

/** Threads that gmem_region_prefault() may use, at most. */
#define GMEM_PREFAULT_THREADS 256u

/**
 * @brief Makes a configuration with the defaults; one may serve many regions.
 *
 * @param[out] config  owned by the caller: gmem_region_config_free(); NULL on failure
 * @return 0; -EINVAL (config is NULL), -ENOMEM. Threads: any. Since: 0.1
 */
GMEM_API int gmem_region_config_new(struct gmem_region_config **config);

/**
 * @brief Gives it back.
 *
 * @param config  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_region_config_free(struct gmem_region_config *config);

/**
 * @brief A name for messages, and for /proc/self/maps where the kernel allows (a memfd shows as
 * /memfd:gmem:NAME, anonymous memory as [anon:gmem:NAME] with CONFIG_ANON_VMA_NAME, a guest_memfd
 * has no name).
 *
 * @param config  NULL is ignored
 * @param name    copied; 1 to GMEM_NAME_LENGTH printable ASCII bytes, none of them a backslash,
 *                backquote, dollar or square bracket; NULL for the default, "region"
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_name(struct gmem_region_config *config, const char *name);

/**
 * @brief A number of the caller's that comes back in every gmem_run about this region: a pointer
 * of its own, or an index.
 *
 * @param config  NULL is ignored
 * @param tag     default 0
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_tag(struct gmem_region_config *config, uint64_t tag);

/**
 * @brief Chooses the backing.
 *
 * @param config   NULL is ignored
 * @param backing  GMEM_BACKING_*, default GMEM_BACKING_AUTO
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_backing(struct gmem_region_config *config, uint32_t backing);

/**
 * @brief What the region must be able to do. AUTO chooses so that it can; a backing that cannot
 * is refused with -EOPNOTSUPP and a message that says what to use.
 *
 * @param config  NULL is ignored
 * @param needs   GMEM_NEED_*, all at once; default 0
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_needs(struct gmem_region_config *config, uint32_t needs);

/**
 * @brief State of all pages at the start.
 *
 * @param config  NULL is ignored
 * @param state   GMEM_SHARED or GMEM_PRIVATE; 0, the default: private where the VM has private
 *                memory and the backing can hold it, else shared
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_state(struct gmem_region_config *config, uint32_t state);

/**
 * @brief Sets flags, all at once.
 *
 * @param config  NULL is ignored
 * @param flags   GMEM_REGION_*, default 0
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_flags(struct gmem_region_config *config, uint32_t flags);

/**
 * @brief NUMA policy of the side the host sees, for pages that come later: those that are there
 * stay where they are.
 *
 * On one guest_memfd it needs a kernel that honours it there (6.19 does), and then holds for
 * private pages too; elsewhere the region is refused with -EOPNOTSUPP, rather than placed anywhere
 * in silence. Private pages of a split region follow the policy of the thread that first touches
 * or prefaults them (set_mempolicy(2)); a warning says so.
 *
 * @param config  NULL is ignored
 * @param policy  GMEM_NUMA_*; with PREFERRED the kernel looks at the first node alone
 * @param nodes   bit mask, copied; NULL or empty with GMEM_NUMA_DEFAULT, else not empty
 * @param bits    bits in nodes, at most GMEM_NUMA_BITS
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_numa(struct gmem_region_config *config, uint32_t policy,
					  const uint64_t *nodes, uint32_t bits);

/**
 * @brief Kind of the shared (or plain) side that the library makes. Not with
 * GMEM_BACKING_GUEST_MEMFD. Takes the place of an fd or a mapping set before.
 *
 * @param config     NULL is ignored
 * @param memory     GMEM_MEMORY_*, not DEVICE; default GMEM_MEMORY_SHMEM
 * @param page_size  with HUGETLB: of a huge page in bytes, or 0 for the host's default; else 0
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_memory(struct gmem_region_config *config, uint32_t memory,
					    uint64_t page_size);

/**
 * @brief The shared (or plain) side is a file of the caller's: a memfd, a file on hugetlbfs or
 * tmpfs, or any other that can be mapped shared. Takes the place of what was set before.
 *
 * @param config  NULL is ignored
 * @param fd      dup'ed by gmem_region_new(), so the caller's may be closed after that; it must
 *                be open until then, for reading and writing, and long enough for the region
 * @param offset  in bytes, of the region's start; a multiple of the file's page size
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_fd(struct gmem_region_config *config, int fd, uint64_t offset);

/**
 * @brief The shared (or plain) side is a mapping of the caller's, who keeps it for as long as the
 * region lives, and unmaps it. Takes the place of what was set before.
 *
 * @param config     NULL is ignored
 * @param addr       aligned to its page size; as long as the region
 * @param memory     GMEM_MEMORY_*, not GUEST_MEMFD: says how it is populated, and how it is freed
 *                   when pages turn private; DEVICE never is
 * @param page_size  as in gmem_region_config_set_memory()
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_region_config_set_mapping(struct gmem_region_config *config, void *addr,
					     uint32_t memory, uint64_t page_size);

/**
 * @brief Makes a region. Every descriptor of it is close-on-exec (KVM has no flag for that: what
 * another thread executes during this call may still inherit a guest_memfd). The size of a memfd
 * is sealed. Host mappings begin at a multiple of a huge page, so that KVM can use these where
 * guest-physical address and offset do too. Shared memory that the library makes reads as zeros
 * until it is written.
 *
 * A process whose RLIMIT_FSIZE is below size gets SIGXFSZ for a memfd; where it ignores that, the
 * call fails with -EINVAL.
 *
 * @param vm      not NULL; it may be freed before the region
 * @param size    in bytes; a non-zero multiple of the page size in use (of a huge page with
 *                HUGETLB)
 * @param config  copied; NULL for the defaults
 * @param[out] region  owned by the caller: gmem_region_free(); NULL on failure
 * @return 0; -EINVAL (an argument or setting out of range or not aligned, or settings that
 *         exclude each other), -EBADF (the caller's fd is not open for reading and writing, or
 *         cannot be mapped), -ENOMEM, -EMFILE, -EOPNOTSUPP (this backing cannot be had on this VM
 *         or kernel; the message says what to use), -EIO. Threads: any. Since: 0.1
 */
GMEM_API int gmem_region_new(struct gmem_vm *vm, uint64_t size,
			     const struct gmem_region_config *config, struct gmem_region **region);

/**
 * @brief Lets go of a region. Its memory is freed when it is mapped nowhere.
 *
 * @param region  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_region_free(struct gmem_region *region);

/** What a region has. Filled in by the library. */
struct gmem_region_info {
	uint64_t size;           /**< in bytes */
	uint64_t page_size;      /**< of the side the host sees */
	uint64_t tag;            /**< gmem_region_config_set_tag() */
	uint64_t private_bytes;  /**< pages private now */
	void *host;              /**< its start in this process */
	uint64_t fd_offset;      /**< of its start in fd */
	int32_t guest_memfd;     /**< borrowed; -1 where it has none */
	int32_t fd;              /**< borrowed, of the side the host sees; -1: no file */
	uint32_t backing;        /**< GMEM_BACKING_*, never AUTO */
	uint32_t memory;         /**< GMEM_MEMORY_* of the side the host sees */
	uint32_t can_be_private; /**< 1: its pages can be made private */
	uint32_t padding;        /**< zero */
	uint64_t reserved[7];
};

/**
 * @brief Asks what a region has. Host address and descriptors hold until gmem_region_free().
 *
 * Touching a private page through the address raises SIGBUS where the backing is one guest_memfd,
 * and reads stale bytes where it is split. Whoever is handed the guest_memfd can convert and
 * punch the guest's private memory: give a process that needs only shared memory a split region's
 * fd instead.
 *
 * @param region     not NULL
 * @param[out] info  not NULL
 * @return 0; -EINVAL, -EIO (in a child after fork). Threads: any. Since: 0.1
 */
GMEM_API int gmem_region_get_info(const struct gmem_region *region, struct gmem_region_info *info);

/**
 * @brief Says in one line what a region got, and why: "split: guest_memfd for private pages, memfd
 * for shared, because this VM tracks private memory per VM, where a guest_memfd cannot hold shared
 * pages".
 *
 * @param region  not NULL
 * @param buf     may be NULL when size is 0
 * @param size    bytes at buf; the text is cut to fit and always ends in NUL
 * @return length of the whole text without NUL, as snprintf() does; -EINVAL, -EIO (in a child
 *         after fork). Threads: any. Since: 0.1
 */
GMEM_API int gmem_region_describe(const struct gmem_region *region, char *buf, size_t size);

/**
 * @brief Has memory allocated now, under the region's NUMA policy: of each page the side that its
 * state says is in use. What is there already stays as it is; absent pages are passed over.
 *
 * @param region   not NULL
 * @param offset   in bytes, a multiple of gmem_region_info.page_size
 * @param size     in bytes, as offset; not 0
 * @param threads  1 to GMEM_PREFAULT_THREADS. 1: the calling thread. More are started and have
 *                 ended when it returns; fewer if the host has no more. Callers with threads of
 *                 their own call it on parts.
 * @return 0; -EINVAL, -ENOMEM, -EOPNOTSUPP (a device's memory, a mapping of the caller's that is
 *         not writable, or Linux before 5.14), -EIO. On failure some pages are allocated.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_region_prefault(struct gmem_region *region, uint64_t offset, uint64_t size,
				  uint32_t threads);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_REGION_H */
