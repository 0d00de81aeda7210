/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The door, from inside: one function for each call of include/gmem/kernel.h. All return what the
 * system call returns, or a negative errno. Nothing else in the library reaches the kernel.
 */
#ifndef GMEM_KERNEL_PRIVATE_H
#define GMEM_KERNEL_PRIVATE_H

#include <gmem/kernel.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int gmem_kernel_close(const struct gmem_kernel *kernel, int fd);
int gmem_kernel_ioctl(const struct gmem_kernel *kernel, int fd, uint32_t request, void *argument);
/* For requests whose argument is a number. */
int gmem_kernel_ioctl_value(const struct gmem_kernel *kernel, int fd, uint32_t request,
			    uint64_t argument);
int gmem_kernel_fcntl(const struct gmem_kernel *kernel, int fd, int command, uint64_t argument);
int gmem_kernel_fstat(const struct gmem_kernel *kernel, int fd, struct stat *status);
int gmem_kernel_fstatfs(const struct gmem_kernel *kernel, int fd, struct statfs *status);
int gmem_kernel_ftruncate(const struct gmem_kernel *kernel, int fd, uint64_t length);
int gmem_kernel_fallocate(const struct gmem_kernel *kernel, int fd, int mode, uint64_t offset,
			  uint64_t length);
int gmem_kernel_memfd_create(const struct gmem_kernel *kernel, const char *name,
			     unsigned int flags);
/* An address, or a negative errno. */
int64_t gmem_kernel_mmap(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
			 int protection, int flags, int fd, uint64_t offset);
int gmem_kernel_munmap(const struct gmem_kernel *kernel, uint64_t address, uint64_t length);
int gmem_kernel_madvise(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
			int advice);
int gmem_kernel_mbind(const struct gmem_kernel *kernel, uint64_t address, uint64_t length, int mode,
		      const uint64_t *nodes, uint64_t bits, unsigned int flags);
/* The policy of the page at address. */
int gmem_kernel_get_mempolicy(const struct gmem_kernel *kernel, int *mode, uint64_t *nodes,
			      uint64_t bits, uint64_t address);
/* PR_SET_VMA_ANON_NAME */
int gmem_kernel_name_mapping(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
			     const char *name);
int64_t gmem_kernel_write(const struct gmem_kernel *kernel, int fd, const void *buffer,
			  uint64_t length);
/*
 * Sleeps while *word is value, at most so long. It is a timed wait, which a signal handler always
 * ends (man 7 signal): 0, -EAGAIN (it was not value), -ETIMEDOUT, -EINTR.
 */
int gmem_kernel_futex_wait(const struct gmem_kernel *kernel, const _Atomic uint32_t *word,
			   uint32_t value, uint64_t timeout_ns);
/* Wakes so many of those who sleep there, INT_MAX for all: how many there were. */
int gmem_kernel_futex_wake(const struct gmem_kernel *kernel, const _Atomic uint32_t *word,
			   int count);
/* Time that never goes back. */
int gmem_kernel_clock(const struct gmem_kernel *kernel, uint64_t *nanoseconds);
/*
 * From an address of this process into a buffer, and back: bytes copied, which may be fewer, or
 * -EFAULT where a plain copy would have raised a signal.
 */
int64_t gmem_kernel_copy_in(const struct gmem_kernel *kernel, void *buffer, uint64_t address,
			    uint64_t size);
int64_t gmem_kernel_copy_out(const struct gmem_kernel *kernel, const void *buffer, uint64_t address,
			     uint64_t size);
int64_t gmem_kernel_page_size(const struct gmem_kernel *kernel);

static inline uint64_t address_of(const volatile void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

#endif /* GMEM_KERNEL_PRIVATE_H */
