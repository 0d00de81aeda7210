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

int kernel_close(const struct gmem_kernel *kernel, int fd);
int kernel_ioctl(const struct gmem_kernel *kernel, int fd, uint32_t request, void *argument);
/* For requests whose argument is a number. */
int kernel_ioctl_value(const struct gmem_kernel *kernel, int fd, uint32_t request,
		       uint64_t argument);
int kernel_fcntl(const struct gmem_kernel *kernel, int fd, int command, uint64_t argument);
int kernel_fstat(const struct gmem_kernel *kernel, int fd, struct stat *status);
int kernel_fstatfs(const struct gmem_kernel *kernel, int fd, struct statfs *status);
int kernel_ftruncate(const struct gmem_kernel *kernel, int fd, uint64_t length);
int kernel_fallocate(const struct gmem_kernel *kernel, int fd, int mode, uint64_t offset,
		     uint64_t length);
int kernel_memfd_create(const struct gmem_kernel *kernel, const char *name, unsigned int flags);
/* An address, or a negative errno. */
int64_t kernel_mmap(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
		    int protection, int flags, int fd, uint64_t offset);
int kernel_munmap(const struct gmem_kernel *kernel, uint64_t address, uint64_t length);
int kernel_madvise(const struct gmem_kernel *kernel, uint64_t address, uint64_t length, int advice);
int kernel_mbind(const struct gmem_kernel *kernel, uint64_t address, uint64_t length, int mode,
		 const uint64_t *nodes, uint64_t bits, unsigned int flags);
/* The policy of the page at address. */
int kernel_get_mempolicy(const struct gmem_kernel *kernel, int *mode, uint64_t *nodes,
			 uint64_t bits, uint64_t address);
/* PR_SET_VMA_ANON_NAME */
int kernel_name_mapping(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
			const char *name);
int64_t kernel_write(const struct gmem_kernel *kernel, int fd, const void *buffer, uint64_t length);
int64_t kernel_page_size(const struct gmem_kernel *kernel);

static inline uint64_t address_of(const volatile void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

#endif /* GMEM_KERNEL_PRIVATE_H */
