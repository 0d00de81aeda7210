/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One memory object: a guest_memfd, a memfd, a file or a mapping of the caller's, or anonymous
 * memory. It knows nothing of guests or states.
 */
#ifndef GMEM_BACKING_H
#define GMEM_BACKING_H

#include "kernel.h"

#include <gmem/region.h>
#include <stdbool.h>

struct gmem_ctx;

struct backing {
	uint32_t memory;    /* GMEM_MEMORY_* */
	int fd;             /* -1: no file */
	uint64_t fd_offset; /* of the start */
	uint64_t size;
	uint64_t page_size;
	uint64_t host;        /* address of the mapping; 0: not mapped */
	bool fd_is_callers;   /* a duplicate of it */
	bool host_is_callers; /* never unmapped, never advised */
	bool inherited;       /* children have the mapping too */
	bool has_userfaultfd; /* the kernel can serve faults of it through one */
};

/* What a memory object is made for: whose log and kernel, and the name for messages. */
struct maker {
	struct gmem_ctx *ctx;
	const struct gmem_kernel *kernel;
	const char *name;
	uint64_t page_size; /* the host's */
};

/* How it is to be placed, from the region's configuration. */
struct placement {
	uint32_t flags; /* GMEM_REGION_* */
	uint32_t policy;
	uint32_t bits;
	const uint64_t *nodes;
};

/* An object without file and mapping, which gmem_backing_release() takes too. */
void gmem_backing_init(struct backing *backing);

/*
 * Each fills in an object that gmem_backing_init() has seen, and that is to be released on failure
 * too. 0 or a negative errno, with its message.
 */
int gmem_backing_create_guest_memfd(struct backing *backing, const struct maker *maker, int vm_fd,
				    uint64_t size, uint64_t flags);
int gmem_backing_create_shmem(struct backing *backing, const struct maker *maker, uint64_t size);
int gmem_backing_create_hugetlb(struct backing *backing, const struct maker *maker, uint64_t size,
				uint64_t page_size);
int gmem_backing_create_anon(struct backing *backing, const struct maker *maker, uint64_t size);
int gmem_backing_adopt_fd(struct backing *backing, const struct maker *maker, uint64_t size, int fd,
			  uint64_t offset);
int gmem_backing_adopt_mapping(struct backing *backing, const struct maker *maker, uint64_t size,
			       void *address, uint32_t memory, uint64_t page_size);

/* Maps it into this process (not what was adopted as a mapping), and places it. */
int gmem_backing_map(struct backing *backing, const struct maker *maker,
		     const struct placement *placement);

/* Allocates a part through the mapping: pages that the host sees. */
int gmem_backing_populate(const struct backing *backing, const struct gmem_kernel *kernel,
			  uint64_t offset, uint64_t size);
/* Allocates a part of the file: private pages of a guest_memfd. */
int gmem_backing_allocate(const struct backing *backing, const struct gmem_kernel *kernel,
			  uint64_t offset, uint64_t size);

/*
 * Frees the memory of a part, which reads as zeros when it is next touched. Only whole pages of
 * its own are (huge ones, perhaps); *freed is how many bytes those are. 0, or a negative errno.
 */
int gmem_backing_discard(const struct backing *backing, const struct gmem_kernel *kernel,
			 uint64_t offset, uint64_t size, uint64_t *freed);

/* Gives back all of it. forked: in a child, which has only what is inherited. */
void gmem_backing_release(struct backing *backing, const struct gmem_kernel *kernel, bool forked);

/* What it is, for messages and descriptions: "memfd", "file of the caller's". */
const char *gmem_backing_name(const struct backing *backing);
/* A kind of memory: "memfd". */
const char *gmem_backing_memory_name(uint32_t memory);

/* The kernel's answer as one of the library's errnos. */
int gmem_backing_error(int error);

#endif /* GMEM_BACKING_H */
