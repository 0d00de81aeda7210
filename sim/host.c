// SPDX-License-Identifier: LGPL-2.1-or-later
/* System calls: descriptors and files, and the door's way to the host. */
#include "host.h"
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_MAP_LIMIT 65530u

/*
 * By syscall() and not by the C library's function of the name, also because a sanitizer watches
 * those and would take the guest's accesses, which are racy by nature, for the host's.
 */
int64_t gmem_sim_raw(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
		     uint64_t f)
{
	int saved = errno;
	long result = syscall(number, a, b, c, d, e, f);

	if (result == -1) {
		result = -errno;
		errno = saved;
	}
	return result;
}

static long number_of(uint32_t nr)
{
	static const long number[] = {
		[GMEM_SYS_CLOSE] = SYS_close,
		[GMEM_SYS_IOCTL] = SYS_ioctl,
		[GMEM_SYS_FCNTL] = SYS_fcntl,
		[GMEM_SYS_FSTAT] = SYS_fstat,
		[GMEM_SYS_FSTATFS] = SYS_fstatfs,
		[GMEM_SYS_FTRUNCATE] = SYS_ftruncate,
		[GMEM_SYS_FALLOCATE] = SYS_fallocate,
		[GMEM_SYS_MEMFD_CREATE] = SYS_memfd_create,
		[GMEM_SYS_MMAP] = SYS_mmap,
		[GMEM_SYS_MUNMAP] = SYS_munmap,
		[GMEM_SYS_MADVISE] = SYS_madvise,
		[GMEM_SYS_MBIND] = SYS_mbind,
		[GMEM_SYS_GET_MEMPOLICY] = SYS_get_mempolicy,
		[GMEM_SYS_PRCTL] = SYS_prctl,
		[GMEM_SYS_WRITE] = SYS_write,
		[GMEM_SYS_FUTEX] = SYS_futex,
		[GMEM_SYS_CLOCK_GETTIME] = SYS_clock_gettime,
		[GMEM_SYS_GETPID] = SYS_getpid,
		[GMEM_SYS_PROCESS_VM_READV] = SYS_process_vm_readv,
		[GMEM_SYS_PROCESS_VM_WRITEV] = SYS_process_vm_writev,
	};

	return nr < sizeof(number) / sizeof(number[0]) && nr > 0 ? number[nr] : -1;
}

int64_t gmem_sim_host_call(uint32_t nr, const uint64_t *arg)
{
	long number = number_of(nr);

	if (nr == GMEM_SYS_GETPAGESIZE)
		return (int64_t)getauxval(AT_PAGESZ);
	if (number < 0)
		return -ENOSYS;
	return gmem_sim_raw(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

int gmem_sim_host_close(int fd)
{
	return (int)gmem_sim_raw(SYS_close, sim_argument(fd), 0, 0, 0, 0, 0);
}

int gmem_sim_host_memfd(const char *name, uint64_t size)
{
	int fd = (int)gmem_sim_raw(SYS_memfd_create, sim_address(name), MFD_CLOEXEC, 0, 0, 0, 0);
	int err;

	if (fd < 0)
		return fd;
	err = (int)gmem_sim_raw(SYS_ftruncate, sim_argument(fd), size, 0, 0, 0, 0);
	if (err == 0)
		return fd;
	gmem_sim_host_close(fd);
	return err;
}

int gmem_sim_host_reopen(int fd, int flags)
{
	char path[sizeof("/proc/self/fd/-2147483648")];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return (int)gmem_sim_raw(SYS_openat, sim_argument(AT_FDCWD), sim_address(path),
				 sim_argument(O_RDWR | flags), 0, 0, 0);
}

int gmem_sim_host_identify(int fd, dev_t *device, ino_t *inode)
{
	struct stat status;

	if (gmem_sim_raw(SYS_fstat, sim_argument(fd), sim_address(&status), 0, 0, 0, 0) < 0)
		return -EBADF;
	*device = status.st_dev;
	*inode = status.st_ino;
	return 0;
}

/*
 * A write lease is granted on a file that nobody else has open: the one thing that counts what
 * other processes, dups, mappings and messages in flight keep alive. Not where leases are switched
 * off, or where we have become another user since the file was made.
 */
int gmem_sim_host_is_shared(int fd)
{
	int64_t result = gmem_sim_raw(SYS_fcntl, sim_argument(fd), F_SETLEASE, F_WRLCK, 0, 0, 0);

	if (result == -EINVAL || result == -EACCES || result == -EPERM)
		return -EPERM;
	if (result < 0)
		return 1;
	gmem_sim_raw(SYS_fcntl, sim_argument(fd), F_SETLEASE, F_UNLCK, 0, 0, 0);
	return 0;
}

static int is_out_of_memory(int64_t result)
{
	return result == -ENOSPC || result == -ENOMEM || result == -EDQUOT || result == -EFBIG;
}

int gmem_sim_host_allocate(int fd, uint64_t start, uint64_t end)
{
	int64_t result;

	do
		result = gmem_sim_raw(SYS_fallocate, sim_argument(fd), FALLOC_FL_KEEP_SIZE, start,
				      end - start, 0, 0);
	while (result == -EINTR);
	return is_out_of_memory(result) ? -ENOMEM : (int)result;
}

int gmem_sim_host_punch(int fd, uint64_t start, uint64_t end)
{
	int64_t result;

	do
		result = gmem_sim_raw(SYS_fallocate, sim_argument(fd),
				      FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, start,
				      end - start, 0, 0);
	while (result == -EINTR);
	return (int)result;
}

static int transfer(long number, int fd, uint64_t buffer, size_t size, uint64_t offset)
{
	while (size > 0) {
		int64_t result = gmem_sim_raw(number, sim_argument(fd), buffer, size, offset, 0, 0);

		if (result == -EINTR)
			continue;
		if (is_out_of_memory(result))
			return -ENOMEM;
		if (result < 0)
			return result == -EFAULT ? -EFAULT : -EIO;
		if (result == 0)
			return -EIO;
		buffer += (uint64_t)result;
		offset += (uint64_t)result;
		size -= (size_t)result;
	}
	return 0;
}

int gmem_sim_host_pread(int fd, uint64_t buffer, size_t size, uint64_t offset)
{
	return transfer(SYS_pread64, fd, buffer, size, offset);
}

int gmem_sim_host_pwrite(int fd, uint64_t buffer, size_t size, uint64_t offset)
{
	return transfer(SYS_pwrite64, fd, buffer, size, offset);
}

uint64_t gmem_sim_host_map_limit(void)
{
	char text[32] = "";
	uint64_t limit = 0;
	int fd = (int)gmem_sim_raw(SYS_openat, sim_argument(AT_FDCWD),
				   sim_address("/proc/sys/vm/max_map_count"), O_RDONLY | O_CLOEXEC,
				   0, 0, 0);

	if (fd >= 0) {
		gmem_sim_raw(SYS_read, sim_argument(fd), sim_address(text), sizeof(text) - 1, 0, 0,
			     0);
		gmem_sim_host_close(fd);
		limit = strtoull(text, NULL, 10);
	}
	return limit ? limit : DEFAULT_MAP_LIMIT;
}

static uint64_t seek_data(int fd, uint64_t offset)
{
	int64_t found = gmem_sim_raw(SYS_lseek, sim_argument(fd), offset, SEEK_DATA, 0, 0, 0);

	return found < 0 ? UINT64_MAX : (uint64_t)found;
}

/* SEEK_HOLE would look at all that follows, of which there may be a lot. */
bool gmem_sim_host_next_data(int fd, uint64_t start, uint64_t end, struct sim_span *piece)
{
	uint64_t page_size = getauxval(AT_PAGESZ);
	uint64_t first = seek_data(fd, start);
	uint64_t last = first;

	if (first >= end)
		return false;
	do
		last = (last | (page_size - 1)) + 1;
	while (last < end && last - first < SIM_SCRATCH_SIZE && seek_data(fd, last) == last);
	piece->start = first;
	piece->end = last < end ? last : end;
	return true;
}
