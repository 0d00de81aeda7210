/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/kernel.h
 * @brief The door: the one way in which libgmem reaches the kernel.
 *
 * libgmem makes no system call except through a gmem_kernel. The default is the host's; a
 * simulator, a fault injector, a recorder or a broker process is a function that looks at the
 * number and passes the rest on. It is one function and not a table of functions, so that a call
 * added later changes no struct, and so that "fail the third ioctl" is one line.
 *
 * What the C library does on its own behalf does not go through here: malloc(), mutexes (futex(2)),
 * and the threads that gmem_region_prefault() starts when it is asked for more than one (clone(2),
 * rt_sigprocmask(2) and what else they take).
 */
#ifndef GMEM_KERNEL_H
#define GMEM_KERNEL_H

#include <gmem/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @name Calls, and what arg[] holds
 * Pointers travel as uint64_t. Arguments and results are those of the system call of the same
 * name, structs and constants those of this machine's C library; a number that is not known gets
 * -ENOSYS. arg[] always has GMEM_SYS_ARGUMENTS entries.
 * @{ */
#define GMEM_SYS_CLOSE 1u          /**< fd */
#define GMEM_SYS_IOCTL 2u          /**< fd, request, argument */
#define GMEM_SYS_FCNTL 3u          /**< fd, command, argument */
#define GMEM_SYS_FSTAT 4u          /**< fd, struct stat * */
#define GMEM_SYS_FSTATFS 5u        /**< fd, struct statfs * */
#define GMEM_SYS_FTRUNCATE 6u      /**< fd, length */
#define GMEM_SYS_FALLOCATE 7u      /**< fd, mode, offset, length */
#define GMEM_SYS_MEMFD_CREATE 8u   /**< name, flags */
#define GMEM_SYS_MMAP 9u           /**< addr, length, prot, flags, fd, offset */
#define GMEM_SYS_MUNMAP 10u        /**< addr, length */
#define GMEM_SYS_MADVISE 11u       /**< addr, length, advice */
#define GMEM_SYS_MBIND 12u         /**< addr, length, mode, mask, maxnode, flags */
#define GMEM_SYS_GET_MEMPOLICY 13u /**< int *mode, mask, maxnode, addr, flags */
#define GMEM_SYS_PRCTL 14u         /**< option and four more */
#define GMEM_SYS_WRITE 15u         /**< fd, buffer, length; only to stderr, for GMEM_LOG */
#define GMEM_SYS_GETPAGESIZE 16u   /**< nothing */
/** uint32_t *word, FUTEX_WAIT_PRIVATE or FUTEX_WAKE_PRIVATE, value, const struct timespec * */
#define GMEM_SYS_FUTEX 17u
#define GMEM_SYS_CLOCK_GETTIME 18u     /**< CLOCK_MONOTONIC, struct timespec * */
#define GMEM_SYS_GETPID 19u            /**< nothing */
#define GMEM_SYS_PROCESS_VM_READV 20u  /**< pid, iovec *, count, iovec *, count, flags */
#define GMEM_SYS_PROCESS_VM_WRITEV 21u /**< the same */
/** @} */

/** Entries in the arg[] of a call, whatever its number. */
#define GMEM_SYS_ARGUMENTS 6u

/**
 * @brief A kernel: one function and what it works on.
 *
 * Frozen: it will never have another field. A copy is as good as the original; opaque is borrowed
 * and must outlive every object made with it.
 */
struct gmem_kernel {
	/**
	 * Makes one call. nr is GMEM_SYS_*. Returns what the system call returns (an address for
	 * mmap), or a negative errno. Called from whatever thread is in libgmem, from several at
	 * once, and with locks of libgmem held: it must not call libgmem.
	 */
	int64_t (*call)(uint32_t nr, const uint64_t *arg, void *opaque);
	void *opaque;
};

/**
 * @brief Fills in the host's kernel, to use or to wrap.
 *
 * @param[out] kernel  NULL is ignored
 *
 * Threads: any. Since: 0.1
 */
GMEM_API void gmem_kernel_get_host(struct gmem_kernel *kernel);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_KERNEL_H */
