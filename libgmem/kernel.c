// SPDX-License-Identifier: LGPL-2.1-or-later
/* The host's kernel, and the typed wrappers through which the rest of the library calls any. */
#include "kernel.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* linux/prctl.h since 5.17 */
#define GMEM_PR_SET_VMA 0x53564d41
#define GMEM_PR_SET_VMA_ANON_NAME 0

#define NANOSECONDS UINT64_C(1000000000)

/* System call numbers of this machine, or -1 for what host_call() does itself, or nobody knows. */
static long host_number(uint32_t nr)
{
	switch (nr) {
	case GMEM_SYS_CLOSE:
		return SYS_close;
	case GMEM_SYS_IOCTL:
		return SYS_ioctl;
	case GMEM_SYS_FCNTL:
		return SYS_fcntl;
	case GMEM_SYS_FTRUNCATE:
		return SYS_ftruncate;
	case GMEM_SYS_FALLOCATE:
		return SYS_fallocate;
	case GMEM_SYS_MEMFD_CREATE:
		return SYS_memfd_create;
	case GMEM_SYS_MMAP:
		return SYS_mmap;
	case GMEM_SYS_MUNMAP:
		return SYS_munmap;
	case GMEM_SYS_MADVISE:
		return SYS_madvise;
	case GMEM_SYS_MBIND:
		return SYS_mbind;
	case GMEM_SYS_GET_MEMPOLICY:
		return SYS_get_mempolicy;
	case GMEM_SYS_PRCTL:
		return SYS_prctl;
	case GMEM_SYS_WRITE:
		return SYS_write;
	case GMEM_SYS_FUTEX:
		return SYS_futex;
	case GMEM_SYS_GETPID:
		return SYS_getpid;
	case GMEM_SYS_PROCESS_VM_READV:
		return SYS_process_vm_readv;
	case GMEM_SYS_PROCESS_VM_WRITEV:
		return SYS_process_vm_writev;
	default:
		return -1;
	}
}

static int64_t host_syscall(uint32_t nr, const uint64_t *arg)
{
	long number = host_number(nr);

	if (number < 0)
		return -ENOSYS;
	return syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* The C library's structs are not the kernel's on every machine: it makes these calls itself. */
static int64_t host_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	int saved = errno;
	int64_t result;

	(void)opaque;
	switch (nr) {
	case GMEM_SYS_FSTAT:
		result = fstat((int)arg[0], (struct stat *)(uintptr_t)arg[1]);
		break;
	case GMEM_SYS_FSTATFS:
		result = fstatfs((int)arg[0], (struct statfs *)(uintptr_t)arg[1]);
		break;
	case GMEM_SYS_GETPAGESIZE:
		result = (int64_t)getauxval(AT_PAGESZ);
		break;
	case GMEM_SYS_CLOCK_GETTIME:
		/* Without entering the kernel, where the C library can. */
		result = clock_gettime((clockid_t)arg[0], (struct timespec *)(uintptr_t)arg[1]);
		break;
	default:
		result = host_syscall(nr, arg);
	}
	if (result == -1) {
		result = -errno;
		errno = saved;
	}
	return result;
}

void gmem_kernel_get_host(struct gmem_kernel *kernel)
{
	if (!kernel)
		return;
	kernel->call = host_call;
	kernel->opaque = NULL;
}

static int64_t call(const struct gmem_kernel *kernel, uint32_t nr,
		    const uint64_t arg[GMEM_SYS_ARGUMENTS])
{
	return kernel->call(nr, arg, kernel->opaque);
}

/* Sign-extended, as the kernel's int parameters are. */
static uint64_t as_argument(int value)
{
	return (uint64_t)(int64_t)value;
}

int gmem_kernel_close(const struct gmem_kernel *kernel, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd) };

	return (int)call(kernel, GMEM_SYS_CLOSE, arg);
}

int gmem_kernel_ioctl(const struct gmem_kernel *kernel, int fd, uint32_t request, void *argument)
{
	return gmem_kernel_ioctl_value(kernel, fd, request, address_of(argument));
}

int gmem_kernel_ioctl_value(const struct gmem_kernel *kernel, int fd, uint32_t request,
			    uint64_t argument)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd), request, argument };

	return (int)call(kernel, GMEM_SYS_IOCTL, arg);
}

int gmem_kernel_fcntl(const struct gmem_kernel *kernel, int fd, int command, uint64_t argument)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd), as_argument(command),
						   argument };

	return (int)call(kernel, GMEM_SYS_FCNTL, arg);
}

int gmem_kernel_fstat(const struct gmem_kernel *kernel, int fd, struct stat *status)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd), address_of(status) };

	return (int)call(kernel, GMEM_SYS_FSTAT, arg);
}

int gmem_kernel_fstatfs(const struct gmem_kernel *kernel, int fd, struct statfs *status)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd), address_of(status) };

	return (int)call(kernel, GMEM_SYS_FSTATFS, arg);
}

int gmem_kernel_ftruncate(const struct gmem_kernel *kernel, int fd, uint64_t length)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd), length };

	return (int)call(kernel, GMEM_SYS_FTRUNCATE, arg);
}

int gmem_kernel_fallocate(const struct gmem_kernel *kernel, int fd, int mode, uint64_t offset,
			  uint64_t length)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd), as_argument(mode), offset,
						   length };

	return (int)call(kernel, GMEM_SYS_FALLOCATE, arg);
}

int gmem_kernel_memfd_create(const struct gmem_kernel *kernel, const char *name, unsigned int flags)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { address_of(name), flags };

	return (int)call(kernel, GMEM_SYS_MEMFD_CREATE, arg);
}

int64_t gmem_kernel_mmap(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
			 int protection, int flags, int fd, uint64_t offset)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = {
		address,         length, as_argument(protection), as_argument(flags),
		as_argument(fd), offset
	};

	return call(kernel, GMEM_SYS_MMAP, arg);
}

int gmem_kernel_munmap(const struct gmem_kernel *kernel, uint64_t address, uint64_t length)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { address, length };

	return (int)call(kernel, GMEM_SYS_MUNMAP, arg);
}

int gmem_kernel_madvise(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
			int advice)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { address, length, as_argument(advice) };

	return (int)call(kernel, GMEM_SYS_MADVISE, arg);
}

int gmem_kernel_mbind(const struct gmem_kernel *kernel, uint64_t address, uint64_t length, int mode,
		      const uint64_t *nodes, uint64_t bits, unsigned int flags)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { address,           length, as_argument(mode),
						   address_of(nodes), bits,   flags };

	return (int)call(kernel, GMEM_SYS_MBIND, arg);
}

int gmem_kernel_get_mempolicy(const struct gmem_kernel *kernel, int *mode, uint64_t *nodes,
			      uint64_t bits, uint64_t address)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { address_of(mode), address_of(nodes), bits,
						   address, MPOL_F_ADDR };

	return (int)call(kernel, GMEM_SYS_GET_MEMPOLICY, arg);
}

int gmem_kernel_name_mapping(const struct gmem_kernel *kernel, uint64_t address, uint64_t length,
			     const char *name)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { GMEM_PR_SET_VMA, GMEM_PR_SET_VMA_ANON_NAME,
						   address, length, address_of(name) };

	return (int)call(kernel, GMEM_SYS_PRCTL, arg);
}

int64_t gmem_kernel_write(const struct gmem_kernel *kernel, int fd, const void *buffer,
			  uint64_t length)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { as_argument(fd), address_of(buffer), length };

	return call(kernel, GMEM_SYS_WRITE, arg);
}

int64_t gmem_kernel_page_size(const struct gmem_kernel *kernel)
{
	static const uint64_t none[GMEM_SYS_ARGUMENTS];

	return call(kernel, GMEM_SYS_GETPAGESIZE, none);
}

int gmem_kernel_futex_wait(const struct gmem_kernel *kernel, const _Atomic uint32_t *word,
			   uint32_t value, uint64_t timeout_ns)
{
	const struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NANOSECONDS),
		.tv_nsec = (long)(timeout_ns % NANOSECONDS),
	};
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { address_of(word), FUTEX_WAIT_PRIVATE, value,
						   address_of(&timeout) };

	return (int)call(kernel, GMEM_SYS_FUTEX, arg);
}

int gmem_kernel_futex_wake(const struct gmem_kernel *kernel, const _Atomic uint32_t *word,
			   int count)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { address_of(word), FUTEX_WAKE_PRIVATE,
						   as_argument(count) };

	return (int)call(kernel, GMEM_SYS_FUTEX, arg);
}

int gmem_kernel_clock(const struct gmem_kernel *kernel, uint64_t *nanoseconds)
{
	struct timespec now = { 0 };
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { CLOCK_MONOTONIC, address_of(&now) };
	int64_t rc = call(kernel, GMEM_SYS_CLOCK_GETTIME, arg);

	*nanoseconds = (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
	return (int)rc;
}

/* One piece of this process' memory to or from another, without ever raising a signal. */
static int64_t copy_call(const struct gmem_kernel *kernel, uint32_t nr, uint64_t near, uint64_t far,
			 uint64_t size)
{
	const struct iovec local = { (void *)(uintptr_t)near, size };
	const struct iovec remote = { (void *)(uintptr_t)far, size };
	const uint64_t none[GMEM_SYS_ARGUMENTS] = { 0 };
	int64_t pid = call(kernel, GMEM_SYS_GETPID, none);
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = {
		(uint64_t)pid, address_of(&local), 1, address_of(&remote), 1, 0
	};

	return pid < 0 ? pid : call(kernel, nr, arg);
}

int64_t gmem_kernel_copy_in(const struct gmem_kernel *kernel, void *buffer, uint64_t address,
			    uint64_t size)
{
	return copy_call(kernel, GMEM_SYS_PROCESS_VM_READV, address_of(buffer), address, size);
}

int64_t gmem_kernel_copy_out(const struct gmem_kernel *kernel, const void *buffer, uint64_t address,
			     uint64_t size)
{
	return copy_call(kernel, GMEM_SYS_PROCESS_VM_WRITEV, address_of(buffer), address, size);
}
