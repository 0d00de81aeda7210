// SPDX-License-Identifier: LGPL-2.1-or-later
/* The ways to come by a memory object: made here, or adopted from the caller. */
#include "backing.h"
#include "log.h"
#include "range.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* linux/memfd.h: log2 of the huge page size goes into the flags from this bit on. */
#define HUGE_PAGE_SIZE_SHIFT 26

/* linux/memfd.h since 6.3; hosts with vm.memfd_noexec=2 take no memfd without it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

/* F_DUPFD_CLOEXEC and FD_CLOEXEC are all that is needed of fcntl(). */
static int set_close_on_exec(const struct maker *maker, int fd)
{
	return gmem_kernel_fcntl(maker->kernel, fd, F_SETFD, FD_CLOEXEC);
}

int gmem_backing_create_guest_memfd(struct backing *backing, const struct maker *maker, int vm_fd,
				    uint64_t size, uint64_t flags)
{
	struct gmem_kvm_create_guest_memfd create = { .size = size, .flags = flags };
	int rc;

	rc = gmem_kernel_ioctl(maker->kernel, vm_fd, GMEM_KVM_CREATE_GUEST_MEMFD, &create);
	if (rc < 0) {
		log_error(maker->ctx,
			  "region \"%s\": KVM_CREATE_GUEST_MEMFD of %#llx bytes with flags %#llx "
			  "gives %s",
			  maker->name, (unsigned long long)size, (unsigned long long)flags,
			  gmem_error_name(rc));
		return gmem_backing_error(rc);
	}
	backing->memory = GMEM_MEMORY_GUEST_MEMFD;
	backing->fd = rc;
	backing->size = size;
	backing->page_size = maker->page_size;
	/* Not close-on-exec, and no flag makes it so (kernel fact F2). */
	rc = set_close_on_exec(maker, backing->fd);
	if (rc < 0) {
		log_error(maker->ctx, "region \"%s\": close-on-exec on guest_memfd %d gives %s",
			  maker->name, backing->fd, gmem_error_name(rc));
		return gmem_backing_error(rc);
	}
	return 0;
}

/* A memfd of this name; its size is still 0. Kernels before 6.3 do not know NOEXEC_SEAL. */
static int create_memfd(const struct maker *maker, unsigned int flags)
{
	char name[GMEM_NAME_LENGTH + 8];
	int fd;

	flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
	(void)snprintf(name, sizeof(name), "gmem:%s", maker->name);
	fd = gmem_kernel_memfd_create(maker->kernel, name, flags | MFD_NOEXEC_SEAL);
	if (fd == -EINVAL)
		fd = gmem_kernel_memfd_create(maker->kernel, name, flags);
	return fd;
}

/*
 * Whoever is handed the descriptor could cut the file short, and the next touch of the guest's
 * memory would be a SIGBUS: the size is sealed.
 */
static int set_file_size(const struct backing *backing, const struct maker *maker)
{
	int rc = gmem_kernel_ftruncate(maker->kernel, backing->fd, backing->size);

	if (rc) {
		log_error(maker->ctx, "region \"%s\": a memfd of %#llx bytes gives %s", maker->name,
			  (unsigned long long)backing->size, gmem_error_name(rc));
		return rc == -EFBIG || rc == -EINVAL ? -EINVAL : gmem_backing_error(rc);
	}
	rc = gmem_kernel_fcntl(maker->kernel, backing->fd, F_ADD_SEALS,
			       F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	if (rc < 0) {
		log_error(maker->ctx, "region \"%s\": sealing the size of memfd %d gives %s",
			  maker->name, backing->fd, gmem_error_name(rc));
		return gmem_backing_error(rc);
	}
	return 0;
}

int gmem_backing_create_shmem(struct backing *backing, const struct maker *maker, uint64_t size)
{
	int fd = create_memfd(maker, 0);

	if (fd < 0) {
		log_error(maker->ctx, "region \"%s\": memfd_create() gives %s", maker->name,
			  gmem_error_name(fd));
		return gmem_backing_error(fd);
	}
	backing->memory = GMEM_MEMORY_SHMEM;
	backing->fd = fd;
	backing->size = size;
	backing->page_size = maker->page_size;
	backing->has_userfaultfd = true;
	return set_file_size(backing, maker);
}

static int open_hugetlb(const struct maker *maker, uint64_t page_size)
{
	unsigned int flags = MFD_HUGETLB;
	int fd;

	if (page_size)
		flags |= (unsigned int)__builtin_ctzll(page_size) << HUGE_PAGE_SIZE_SHIFT;
	fd = create_memfd(maker, flags);
	if (fd >= 0)
		return fd;
	log_error(maker->ctx,
		  "region \"%s\": a memfd of huge pages of %#llx bytes (0: the default) gives %s; "
		  "/sys/kernel/mm/hugepages has the sizes of this host",
		  maker->name, (unsigned long long)page_size, gmem_error_name(fd));
	return fd == -ENODEV || fd == -EINVAL || fd == -ENOENT || fd == -ENOSYS
		       ? -EOPNOTSUPP
		       : gmem_backing_error(fd);
}

/* The page size of a file's memory: the block size of tmpfs and hugetlbfs. */
static int read_file_system(const struct maker *maker, int fd, struct statfs *status)
{
	int rc = gmem_kernel_fstatfs(maker->kernel, fd, status);

	if (rc)
		log_error(maker->ctx, "region \"%s\": fstatfs() of descriptor %d gives %s",
			  maker->name, fd, gmem_error_name(rc));
	return rc ? gmem_backing_error(rc) : 0;
}

static int check_huge_alignment(const struct backing *backing, const struct maker *maker,
				uint64_t start)
{
	if (is_power_of_two(backing->page_size) &&
	    range_is_aligned(start, backing->size, backing->page_size))
		return 0;
	log_error(
		maker->ctx,
		"region \"%s\": start %#llx or size %#llx is not a multiple of its huge page size "
		"%#llx",
		maker->name, (unsigned long long)start, (unsigned long long)backing->size,
		(unsigned long long)backing->page_size);
	return -EINVAL;
}

int gmem_backing_create_hugetlb(struct backing *backing, const struct maker *maker, uint64_t size,
				uint64_t page_size)
{
	struct statfs status;
	int rc = open_hugetlb(maker, page_size);

	if (rc < 0)
		return rc;
	backing->memory = GMEM_MEMORY_HUGETLB;
	backing->fd = rc;
	backing->size = size;
	backing->has_userfaultfd = true;
	rc = read_file_system(maker, backing->fd, &status);
	if (rc)
		return rc;
	backing->page_size = (uint64_t)status.f_bsize;
	rc = check_huge_alignment(backing, maker, 0);
	return rc ? rc : set_file_size(backing, maker);
}

int gmem_backing_create_anon(struct backing *backing, const struct maker *maker, uint64_t size)
{
	backing->memory = GMEM_MEMORY_ANON;
	backing->size = size;
	backing->page_size = maker->page_size;
	backing->has_userfaultfd = true;
	return 0;
}

/* Open for reading and writing, and long enough where it has a length. */
static int check_fd(const struct maker *maker, uint64_t size, int fd, uint64_t offset)
{
	int mode = gmem_kernel_fcntl(maker->kernel, fd, F_GETFL, 0);
	struct stat status;
	uint64_t end;
	int rc;

	if (mode < 0 || (mode & O_ACCMODE) != O_RDWR) {
		log_error(maker->ctx,
			  "region \"%s\": descriptor %d is %s; it must be open for reading and "
			  "writing",
			  maker->name, fd, mode < 0 ? "not open" : "not open for both");
		return -EBADF;
	}
	rc = gmem_kernel_fstat(maker->kernel, fd, &status);
	if (rc) {
		log_error(maker->ctx, "region \"%s\": fstat() of descriptor %d gives %s",
			  maker->name, fd, gmem_error_name(rc));
		return gmem_backing_error(rc);
	}
	if (__builtin_add_overflow(offset, size, &end) ||
	    (S_ISREG(status.st_mode) && end > (uint64_t)status.st_size)) {
		log_error(
			maker->ctx,
			"region \"%s\": %#llx bytes from offset %#llx on are not in descriptor %d, "
			"which has %#llx",
			maker->name, (unsigned long long)size, (unsigned long long)offset, fd,
			(unsigned long long)status.st_size);
		return -EINVAL;
	}
	return 0;
}

static int duplicate_fd(const struct maker *maker, int fd)
{
	int copy = gmem_kernel_fcntl(maker->kernel, fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		log_error(maker->ctx, "region \"%s\": no duplicate of descriptor %d: %s",
			  maker->name, fd, gmem_error_name(copy));
	return copy < 0 ? gmem_backing_error(copy) : copy;
}

int gmem_backing_adopt_fd(struct backing *backing, const struct maker *maker, uint64_t size, int fd,
			  uint64_t offset)
{
	struct statfs status;
	int rc = check_fd(maker, size, fd, offset);

	if (rc)
		return rc;
	rc = read_file_system(maker, fd, &status);
	if (rc)
		return rc;
	rc = duplicate_fd(maker, fd);
	if (rc < 0)
		return rc;
	backing->fd = rc;
	backing->fd_is_callers = true;
	backing->fd_offset = offset;
	backing->size = size;
	backing->memory = GMEM_MEMORY_SHMEM;
	backing->page_size = maker->page_size;
	backing->has_userfaultfd = status.f_type == TMPFS_MAGIC;
	if (status.f_type == HUGETLBFS_MAGIC) {
		backing->memory = GMEM_MEMORY_HUGETLB;
		backing->page_size = (uint64_t)status.f_bsize;
		backing->has_userfaultfd = true;
	}
	return check_huge_alignment(backing, maker, offset);
}

/* The host's default huge page size, or a negative errno. */
static int64_t default_huge_page_size(const struct maker *maker)
{
	struct statfs status;
	int fd = open_hugetlb(maker, 0);
	int rc;

	if (fd < 0)
		return fd;
	rc = read_file_system(maker, fd, &status);
	gmem_kernel_close(maker->kernel, fd);
	return rc ? rc : (int64_t)status.f_bsize;
}

int gmem_backing_adopt_mapping(struct backing *backing, const struct maker *maker, uint64_t size,
			       void *address, uint32_t memory, uint64_t page_size)
{
	backing->memory = memory;
	backing->host = address_of(address);
	backing->host_is_callers = true;
	backing->size = size;
	backing->page_size = maker->page_size;
	backing->has_userfaultfd = memory != GMEM_MEMORY_DEVICE;
	if (memory == GMEM_MEMORY_HUGETLB) {
		int64_t huge = page_size ? (int64_t)page_size : default_huge_page_size(maker);

		if (huge < 0)
			return (int)huge;
		backing->page_size = (uint64_t)huge;
	}
	if (backing->host && range_is_valid(backing->host, size) &&
	    range_is_aligned(backing->host, size, backing->page_size))
		return 0;
	log_error(maker->ctx,
		  "region \"%s\": a mapping at %p of %#llx bytes must not be NULL, must end below "
		  "2^64 and be aligned to %#llx",
		  maker->name, address, (unsigned long long)size,
		  (unsigned long long)backing->page_size);
	return -EINVAL;
}
