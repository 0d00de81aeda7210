// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory objects: named, mapped, placed, populated, and given back. */
#include "backing.h"

#include "log.h"
#include "range.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* linux/mman.h since 5.14 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Largest prefix "gmem:", the name, NUL. */
#define MAPPING_NAME_LENGTH (GMEM_NAME_LENGTH + 8u)

void gmem_backing_init(struct backing *backing)
{
	memset(backing, 0, sizeof(*backing));
	backing->fd = -1;
}

int gmem_backing_error(int error)
{
	switch (error) {
	case -ENFILE:
		return -EMFILE;
	case -ENOMEM:
	case -EMFILE:
	case -EBADF:
		return error;
	default:
		return -EIO;
	}
}

/* Advice that was asked for and that the kernel refuses is a failure: it would be missed later. */
static int advise(const struct backing *backing, const struct maker *maker, int advice,
		  const char *name)
{
	int rc = gmem_kernel_madvise(maker->kernel, backing->host, backing->size, advice);

	if (!rc)
		return 0;
	log_error(maker->ctx, "region \"%s\": %s on its %s gives %s%s", maker->name, name,
		  gmem_backing_name(backing), gmem_error_name(rc),
		  rc == -EINVAL ? "; this kernel lacks it" : "");
	return rc == -EINVAL ? -EOPNOTSUPP : gmem_backing_error(rc);
}

static int advise_all(const struct backing *backing, const struct maker *maker, uint32_t flags)
{
	int rc = 0;

	if (!(flags & GMEM_REGION_DUMP))
		rc = advise(backing, maker, MADV_DONTDUMP, "MADV_DONTDUMP");
	if (!rc && !(flags & GMEM_REGION_FORK))
		rc = advise(backing, maker, MADV_DONTFORK, "MADV_DONTFORK");
	if (!rc && flags & GMEM_REGION_HUGE)
		rc = advise(backing, maker, MADV_HUGEPAGE, "MADV_HUGEPAGE");
	if (!rc && flags & GMEM_REGION_NO_HUGE)
		rc = advise(backing, maker, MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE");
	if (!rc && flags & GMEM_REGION_MERGEABLE)
		rc = advise(backing, maker, MADV_MERGEABLE, "MADV_MERGEABLE");
	return rc;
}

/*
 * Linux 6.18 takes mbind() on a guest_memfd and forgets it (kernel fact F10). A policy of the
 * file shows in a second mapping, one of this mapping alone does not.
 */
static int check_policy_of_file(const struct backing *backing, const struct maker *maker,
				uint32_t policy)
{
	int mode = -1, rc;
	int64_t second = gmem_kernel_mmap(maker->kernel, 0, maker->page_size, PROT_READ, MAP_SHARED,
					  backing->fd, backing->fd_offset);

	if (second < 0) {
		log_error(maker->ctx, "region \"%s\": no second mapping to check mbind() with: %s",
			  maker->name, gmem_error_name((int)second));
		return gmem_backing_error((int)second);
	}
	rc = gmem_kernel_get_mempolicy(maker->kernel, &mode, NULL, 0, (uint64_t)second);
	gmem_kernel_munmap(maker->kernel, (uint64_t)second, maker->page_size);
	if (!rc && (uint32_t)mode == policy)
		return 0;
	log_error(maker->ctx,
		  "region \"%s\": NUMA policy %u has no effect on a guest_memfd of this kernel; "
		  "Linux 6.19 has it, and other backings",
		  maker->name, policy);
	return -EOPNOTSUPP;
}

static int bind_to_nodes(const struct backing *backing, const struct maker *maker,
			 const struct placement *placement)
{
	static const int mode[] = {
		[GMEM_NUMA_DEFAULT] = MPOL_DEFAULT,
		[GMEM_NUMA_PREFERRED] = MPOL_PREFERRED,
		[GMEM_NUMA_BIND] = MPOL_BIND,
		[GMEM_NUMA_INTERLEAVE] = MPOL_INTERLEAVE,
	};
	int rc;

	if (placement->policy == GMEM_NUMA_DEFAULT)
		return 0;
	/* The kernel takes one bit less than it is told of (mm/mempolicy.c get_nodes()). */
	rc = gmem_kernel_mbind(maker->kernel, backing->host, backing->size, mode[placement->policy],
			       placement->nodes, (uint64_t)placement->bits + 1, 0);
	if (rc) {
		log_error(maker->ctx,
			  "region \"%s\": NUMA policy %u on nodes %#llx... gives %s; nodes must be "
			  "online and allowed to this process",
			  maker->name, placement->policy, (unsigned long long)placement->nodes[0],
			  gmem_error_name(rc));
		if (rc == -EINVAL)
			return rc;
		return rc == -ENOSYS ? -EOPNOTSUPP : gmem_backing_error(rc);
	}
	if (backing->memory == GMEM_MEMORY_GUEST_MEMFD)
		return check_policy_of_file(backing, maker, (uint32_t)mode[placement->policy]);
	return 0;
}

/* Only for people who read /proc/self/maps: a kernel without it says EINVAL, and that is fine. */
static void name_anonymous(const struct backing *backing, const struct maker *maker)
{
	char name[MAPPING_NAME_LENGTH];

	(void)snprintf(name, sizeof(name), "gmem:%s", maker->name);
	gmem_kernel_name_mapping(maker->kernel, backing->host, backing->size, name);
}

static const char *map_hint(const struct backing *backing, int error)
{
	if (error == -EAGAIN)
		return "; more than RLIMIT_MEMLOCK would be locked";
	if (error == -ENOMEM && backing->memory == GMEM_MEMORY_HUGETLB)
		return "; are enough huge pages free (/sys/kernel/mm/hugepages)?";
	if (error != -ENOMEM && backing->fd_is_callers)
		return "; it must be a file that can be mapped shared, for reading and writing, "
		       "at this offset";
	return "";
}

static int map_failed(const struct backing *backing, const struct maker *maker, int error)
{
	log_error(maker->ctx, "region \"%s\": mapping %#llx bytes of its %s gives %s%s",
		  maker->name, (unsigned long long)backing->size, gmem_backing_name(backing),
		  gmem_error_name(error), map_hint(backing, error));
	if (backing->fd_is_callers) {
		if (error == -ENODEV || error == -EACCES || error == -EPERM)
			return -EBADF;
		if (error == -EINVAL)
			return -EINVAL;
	}
	return error == -EAGAIN ? -ENOMEM : gmem_backing_error(error);
}

/*
 * What KVM can map with one huge page must be at the same place in a huge page here as in the
 * guest: addresses of both start at a multiple of one. 2 MiB with pages of 4 KiB, where a page
 * table of one page has entries of 8 bytes.
 */
static uint64_t huge_page_size(const struct maker *maker)
{
	return maker->page_size * (maker->page_size / 8);
}

/*
 * Where so much would fit, aligned: 0 where it need not be, or a negative errno. Somebody else may
 * be faster to map something there; then the kernel goes elsewhere, and all that is lost is the
 * alignment.
 */
static int64_t find_aligned(const struct backing *backing, const struct maker *maker)
{
	uint64_t alignment = huge_page_size(maker), room;
	int64_t address;

	if (backing->size < alignment || backing->memory == GMEM_MEMORY_HUGETLB ||
	    __builtin_add_overflow(backing->size, alignment, &room))
		return 0;
	address = gmem_kernel_mmap(maker->kernel, 0, room, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (address < 0)
		return address;
	gmem_kernel_munmap(maker->kernel, (uint64_t)address, room);
	return (int64_t)round_up((uint64_t)address, alignment);
}

int gmem_backing_map(struct backing *backing, const struct maker *maker,
		     const struct placement *placement)
{
	int flags = backing->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	int64_t address;
	int rc;

	if (backing->host_is_callers)
		return 0;
	if (placement->flags & GMEM_REGION_NO_RESERVE)
		flags |= MAP_NORESERVE;
	address = find_aligned(backing, maker);
	if (address >= 0)
		address = gmem_kernel_mmap(maker->kernel, (uint64_t)address, backing->size,
					   PROT_READ | PROT_WRITE, flags, backing->fd,
					   backing->fd_offset);
	if (address < 0)
		return map_failed(backing, maker, (int)address);
	backing->host = (uint64_t)address;
	/* Inherited until the advice below has said otherwise. */
	backing->inherited = true;
	if (backing->fd < 0)
		name_anonymous(backing, maker);
	rc = advise_all(backing, maker, placement->flags);
	backing->inherited = placement->flags & GMEM_REGION_FORK;
	return rc ? rc : bind_to_nodes(backing, maker, placement);
}

/* Signals and pages that move away for a moment interrupt it; what is there stays there. */
static int until_done(int rc)
{
	return rc == -EINTR || rc == -EAGAIN;
}

int gmem_backing_populate(const struct backing *backing, const struct gmem_kernel *kernel,
			  uint64_t offset, uint64_t size)
{
	int rc;

	do {
		rc = gmem_kernel_madvise(kernel, backing->host + offset, size, MADV_POPULATE_WRITE);
	} while (until_done(rc));
	return rc;
}

int gmem_backing_allocate(const struct backing *backing, const struct gmem_kernel *kernel,
			  uint64_t offset, uint64_t size)
{
	/* FALLOC_FL_KEEP_SIZE: a guest_memfd takes nothing else (kernel fact F8) */
	const int keep_size = 1;
	int rc;

	do {
		rc = gmem_kernel_fallocate(kernel, backing->fd, keep_size,
					   backing->fd_offset + offset, size);
	} while (until_done(rc));
	return rc;
}

/* FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE, linux/falloc.h */
#define PUNCH_AND_KEEP_SIZE 3

static int discard_call(const struct backing *backing, const struct gmem_kernel *kernel,
			uint64_t offset, uint64_t size)
{
	uint64_t address = backing->host + offset;
	int rc;

	if (backing->fd >= 0)
		return gmem_kernel_fallocate(kernel, backing->fd, PUNCH_AND_KEEP_SIZE,
					     backing->fd_offset + offset, size);
	/* Kernel fact V3: DONTNEED frees nothing of a file, which REMOVE punches. */
	if (backing->memory == GMEM_MEMORY_ANON)
		return gmem_kernel_madvise(kernel, address, size, MADV_DONTNEED);
	rc = gmem_kernel_madvise(kernel, address, size, MADV_REMOVE);
	/* Huge pages of the caller's may be mapped private: then there is no file to punch. */
	if (rc == -EACCES && backing->memory == GMEM_MEMORY_HUGETLB)
		rc = gmem_kernel_madvise(kernel, address, size, MADV_DONTNEED);
	return rc;
}

int gmem_backing_discard(const struct backing *backing, const struct gmem_kernel *kernel,
			 uint64_t offset, uint64_t size, uint64_t *freed)
{
	uint64_t end = (offset + size) & ~(backing->page_size - 1);
	int rc;

	*freed = 0;
	offset = round_up(offset, backing->page_size);
	if (backing->memory == GMEM_MEMORY_DEVICE || offset >= end)
		return 0;
	do {
		rc = discard_call(backing, kernel, offset, end - offset);
	} while (rc == -EINTR);
	if (!rc)
		*freed = end - offset;
	return rc;
}

void gmem_backing_release(struct backing *backing, const struct gmem_kernel *kernel, bool forked)
{
	if (backing->host && !backing->host_is_callers && (!forked || backing->inherited))
		gmem_kernel_munmap(kernel, backing->host, backing->size);
	if (backing->fd >= 0)
		gmem_kernel_close(kernel, backing->fd);
	gmem_backing_init(backing);
}

const char *gmem_backing_name(const struct backing *backing)
{
	if (backing->host_is_callers)
		return backing->memory == GMEM_MEMORY_DEVICE ? "device memory"
							     : "mapping of the caller's";
	if (backing->fd_is_callers)
		return "file of the caller's";
	return gmem_backing_memory_name(backing->memory);
}

const char *gmem_backing_memory_name(uint32_t memory)
{
	switch (memory) {
	case GMEM_MEMORY_SHMEM:
		return "memfd";
	case GMEM_MEMORY_ANON:
		return "anonymous memory";
	case GMEM_MEMORY_HUGETLB:
		return "huge pages";
	case GMEM_MEMORY_GUEST_MEMFD:
		return "guest_memfd";
	case GMEM_MEMORY_DEVICE:
		return "device memory";
	default:
		return "unknown memory";
	}
}
