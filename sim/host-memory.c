// SPDX-License-Identifier: LGPL-2.1-or-later
/* System calls: mappings, userfaultfd, and memory of the caller that may not be there. */
#include "host.h"
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* asm-generic/mman-common.h since 5.14 and 5.18, and PROCMAP_QUERY of linux/fs.h since 6.11 */
#define SIM_MADV_POPULATE_READ 22
#define SIM_MADV_DONTNEED_LOCKED 24
#define SIM_UFFD_USER_MODE_ONLY 1
#define SIM_USERFAULTFD_IOC_NEW 0xaa00u
#define SIM_PROCMAP_QUERY 0xc0686611u
#define SIM_PROCMAP_COVERING_OR_NEXT 0x10u
#define SIM_PROCMAP_READABLE 1u
#define SIM_PROCMAP_WRITABLE 2u
#define SIM_PROCMAP_EXECUTABLE 4u

struct procmap_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
static_assert(sizeof(struct procmap_query) == 0x68, "the size is part of the number");

int64_t gmem_sim_host_mmap(uint64_t address, uint64_t length, int protection, int flags, int fd,
			   uint64_t offset)
{
	return gmem_sim_raw(SYS_mmap, address, length, sim_argument(protection),
			    sim_argument(flags), sim_argument(fd), offset);
}

int gmem_sim_host_munmap(uint64_t address, uint64_t length)
{
	return (int)gmem_sim_raw(SYS_munmap, address, length, 0, 0, 0, 0);
}

int gmem_sim_host_mprotect(uint64_t address, uint64_t length, int protection)
{
	return (int)gmem_sim_raw(SYS_mprotect, address, length, sim_argument(protection), 0, 0, 0);
}

int gmem_sim_host_madvise(uint64_t address, uint64_t length, int advice)
{
	return (int)gmem_sim_raw(SYS_madvise, address, length, sim_argument(advice), 0, 0, 0);
}

int gmem_sim_host_mlock(uint64_t address, uint64_t length)
{
	return (int)gmem_sim_raw(SYS_mlock, address, length, 0, 0, 0, 0);
}

int gmem_sim_host_populate(uint64_t start, uint64_t end)
{
	int err;

	do
		err = gmem_sim_host_madvise(start, end - start, SIM_MADV_POPULATE_READ);
	while (err == -EINTR || err == -EAGAIN);
	return err;
}

int gmem_sim_host_drop(uint64_t start, uint64_t end)
{
	int err = gmem_sim_host_madvise(start, end - start, SIM_MADV_DONTNEED_LOCKED);

	/* Before 5.18 */
	if (err == -EINVAL)
		err = gmem_sim_host_madvise(start, end - start, MADV_DONTNEED);
	return err;
}

int gmem_sim_host_touch(int fd, uint64_t start, uint64_t end)
{
	int64_t address = gmem_sim_host_mmap(0, end - start, PROT_READ, MAP_SHARED, fd, start);
	int err;

	if (address < 0)
		return -ENOMEM;
	err = gmem_sim_host_populate((uint64_t)address, (uint64_t)address + (end - start));
	gmem_sim_host_munmap((uint64_t)address, end - start);
	return err < 0 ? -ENOMEM : 0;
}

static int open_uffd(void)
{
	int device, uffd;

	uffd = (int)gmem_sim_raw(SYS_userfaultfd, O_CLOEXEC, 0, 0, 0, 0, 0);
	if (uffd >= 0)
		return uffd;
	device = (int)gmem_sim_raw(SYS_openat, sim_argument(AT_FDCWD),
				   sim_address("/dev/userfaultfd"), O_RDWR | O_CLOEXEC, 0, 0, 0);
	if (device >= 0) {
		uffd = (int)gmem_sim_raw(SYS_ioctl, sim_argument(device), SIM_USERFAULTFD_IOC_NEW,
					 O_CLOEXEC, 0, 0, 0);
		gmem_sim_host_close(device);
	}
	if (uffd >= 0)
		return uffd;
	/* Nothing is lost: the kernel's own accesses of such a page fail as they should. */
	return (int)gmem_sim_raw(SYS_userfaultfd, O_CLOEXEC | SIM_UFFD_USER_MODE_ONLY, 0, 0, 0, 0,
				 0);
}

int gmem_sim_host_userfaultfd(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM |
			    UFFD_FEATURE_MINOR_SHMEM,
	};
	int uffd = open_uffd();
	int err;

	if (uffd < 0)
		return uffd;
	err = (int)gmem_sim_raw(SYS_ioctl, sim_argument(uffd), UFFDIO_API, sim_address(&api), 0, 0,
				0);
	if (err == 0)
		return uffd;
	gmem_sim_host_close(uffd);
	return err;
}

int gmem_sim_host_uffd_register(int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_register range = {
		.range = { start, end - start },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR,
	};

	return (int)gmem_sim_raw(SYS_ioctl, sim_argument(uffd), UFFDIO_REGISTER,
				 sim_address(&range), 0, 0, 0);
}

int gmem_sim_host_uffd_unregister(int uffd, uint64_t start, uint64_t end)
{
	struct uffdio_range range = { start, end - start };

	return (int)gmem_sim_raw(SYS_ioctl, sim_argument(uffd), UFFDIO_UNREGISTER,
				 sim_address(&range), 0, 0, 0);
}

static int continue_once(int uffd, uint64_t start, uint64_t length, uint64_t *done)
{
	struct uffdio_continue range = { .range = { start, length } };
	int64_t result = gmem_sim_raw(SYS_ioctl, sim_argument(uffd), UFFDIO_CONTINUE,
				      sim_address(&range), 0, 0, 0);

	*done = range.mapped > 0 ? (uint64_t)range.mapped : 0;
	return *done > 0 ? 0 : (int)result;
}

int gmem_sim_host_uffd_continue(int uffd, uint64_t start, uint64_t end, uint64_t page_size)
{
	uint64_t length = end - start;

	while (start < end) {
		uint64_t done;
		int err = continue_once(uffd, start, length, &done);

		if (err == -ENOMEM)
			return err;
		/* The address space was changing, which also interrupts. */
		if (err == -EAGAIN || err == -EINTR)
			continue;
		/* The kernel takes no range of several mappings, as the caller may have made it. */
		if (err == -ENOENT && length > page_size) {
			length = (length / 2 + page_size - 1) & ~(page_size - 1);
			continue;
		}
		start += err < 0 ? page_size : done;
		length = end - start;
	}
	return 0;
}

int gmem_sim_host_open_maps(struct sim_maps *maps)
{
	int fd = (int)gmem_sim_raw(SYS_openat, sim_argument(AT_FDCWD),
				   sim_address("/proc/self/maps"), O_RDONLY | O_CLOEXEC, 0, 0, 0);

	maps->fd = fd < 0 ? -1 : fd;
	gmem_sim_host_refresh_maps(maps);
	return fd < 0 ? fd : 0;
}

void gmem_sim_host_close_maps(struct sim_maps *maps)
{
	if (maps->fd >= 0)
		gmem_sim_host_close(maps->fd);
	maps->fd = -1;
}

void gmem_sim_host_refresh_maps(struct sim_maps *maps)
{
	maps->asked = UINT64_MAX;
}

/* "start-end perms offset major:minor inode ..." */
static bool parse_line(char *line, struct sim_host_vma *vma)
{
	char *at = line;
	unsigned int device_major, device_minor;

	vma->start = strtoull(at, &at, 16);
	if (*at++ != '-')
		return false;
	vma->end = strtoull(at, &at, 16);
	if (*at++ != ' ' || strlen(at) < 4)
		return false;
	vma->protection = *at++ == 'r' ? PROT_READ : 0;
	vma->protection |= *at++ == 'w' ? PROT_WRITE : 0;
	vma->protection |= *at++ == 'x' ? PROT_EXEC : 0;
	at = strchr(at, ' ');
	if (!at)
		return false;
	strtoull(at, &at, 16);
	device_major = (unsigned int)strtoul(at, &at, 16);
	if (*at++ != ':')
		return false;
	device_minor = (unsigned int)strtoul(at, &at, 16);
	vma->device = makedev(device_major, device_minor);
	vma->inode = strtoull(at, NULL, 10);
	return true;
}

/* 1, 0 at the end, or a negative errno. */
static int read_more(struct sim_maps *maps)
{
	int64_t got;

	maps->have -= maps->at;
	memmove(maps->text, maps->text + maps->at, maps->have);
	maps->at = 0;
	if (maps->have == sizeof(maps->text) - 1)
		return -EIO;
	got = gmem_sim_raw(SYS_read, sim_argument(maps->fd), sim_address(maps->text + maps->have),
			   sizeof(maps->text) - 1 - maps->have, 0, 0, 0);
	if (got <= 0)
		return (int)got;
	maps->have += (size_t)got;
	return 1;
}

/* The same, with the next line in maps->last. */
static int read_line(struct sim_maps *maps)
{
	char *end;
	char *line;

	while (!(end = memchr(maps->text + maps->at, '\n', maps->have - maps->at))) {
		int result = read_more(maps);

		if (result <= 0)
			return result;
	}
	line = maps->text + maps->at;
	*end = '\0';
	maps->at = (size_t)(end + 1 - maps->text);
	return parse_line(line, &maps->last) ? 1 : -EIO;
}

/* Kernels before 6.11: the text, from where it was read last if that will do. */
static int read_vma(struct sim_maps *maps, uint64_t address, struct sim_host_vma *vma)
{
	if (address < maps->asked) {
		gmem_sim_raw(SYS_lseek, sim_argument(maps->fd), 0, SEEK_SET, 0, 0, 0);
		maps->have = 0;
		maps->at = 0;
		maps->last.end = 0;
	}
	maps->asked = address;
	while (maps->last.end <= address) {
		int result = read_line(maps);

		if (result <= 0) {
			gmem_sim_host_refresh_maps(maps);
			return result;
		}
	}
	*vma = maps->last;
	return 1;
}

static void put_query(struct sim_host_vma *vma, const struct procmap_query *query)
{
	vma->start = query->vma_start;
	vma->end = query->vma_end;
	vma->device = makedev(query->dev_major, query->dev_minor);
	vma->inode = query->inode;
	vma->protection = query->vma_flags & SIM_PROCMAP_READABLE ? PROT_READ : 0;
	vma->protection |= query->vma_flags & SIM_PROCMAP_WRITABLE ? PROT_WRITE : 0;
	vma->protection |= query->vma_flags & SIM_PROCMAP_EXECUTABLE ? PROT_EXEC : 0;
}

int gmem_sim_host_next_vma(struct sim_maps *maps, uint64_t address, struct sim_host_vma *vma)
{
	struct procmap_query query = {
		.size = sizeof(query),
		.query_flags = SIM_PROCMAP_COVERING_OR_NEXT,
		.query_addr = address,
	};
	int64_t result;

	if (maps->is_text)
		return read_vma(maps, address, vma);
	result = gmem_sim_raw(SYS_ioctl, sim_argument(maps->fd), SIM_PROCMAP_QUERY,
			      sim_address(&query), 0, 0, 0);
	if (result == -ENOENT)
		return 0;
	if (result < 0) {
		maps->is_text = true;
		return read_vma(maps, address, vma);
	}
	put_query(vma, &query);
	return 1;
}

/*
 * Where process_vm_readv() is not allowed: a file's read() and write() reach the caller's memory
 * just as safely.
 */
static int copy_by_file(uint64_t to, uint64_t from, size_t size)
{
	int fd = gmem_sim_host_memfd("gmem-sim-copy", 0);
	int err;

	if (fd < 0)
		return -EFAULT;
	err = gmem_sim_host_pwrite(fd, from, size, 0);
	if (err == 0)
		err = gmem_sim_host_pread(fd, to, size, 0);
	gmem_sim_host_close(fd);
	return err < 0 ? -EFAULT : 0;
}

static int copy(long number, const void *ours, uint64_t theirs, size_t size)
{
	struct iovec local = { (void *)(uintptr_t)ours, size };
	struct iovec remote = { (void *)(uintptr_t)theirs, size };
	int64_t result;

	if (size == 0)
		return 0;
	result = gmem_sim_raw(number, (uint64_t)getpid(), sim_address(&local), 1,
			      sim_address(&remote), 1, 0);
	if (result == -EPERM || result == -ENOSYS)
		return number == SYS_process_vm_readv
			       ? copy_by_file(sim_address(ours), theirs, size)
			       : copy_by_file(theirs, sim_address(ours), size);
	return result == (int64_t)size ? 0 : -EFAULT;
}

int gmem_sim_copy_in(struct gmem_sim *sim, void *to, uint64_t from, size_t size)
{
	(void)sim;
	return copy(SYS_process_vm_readv, to, from, size);
}

int gmem_sim_copy_out(struct gmem_sim *sim, uint64_t to, const void *from, size_t size)
{
	(void)sim;
	return copy(SYS_process_vm_writev, from, to, size);
}
