/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Translation from inside: where a range is in this process, and what is in the way. */
#ifndef GMEM_ACCESS_PRIVATE_H
#define GMEM_ACCESS_PRIVATE_H

#include "layout.h"

/* A translation in progress. */
struct translation {
	uint64_t gpa; /* what comes next */
	uint64_t size;
	uint32_t flags;       /* GMEM_ACCESS_WRITE, PARTIAL */
	bool scattered;       /* it need not be in one piece: host is that of the start */
	bool in_pieces;       /* and it is not */
	uint64_t host;        /* of the start; 0: nothing found yet */
	uint64_t next;        /* host address at which the next section must go on */
	uint64_t region;      /* host address of the region's start */
	const char *obstacle; /* what is in the way at gpa */
};

/*
 * Translates a range, as a whole or, with PARTIAL, as far as it goes: size is what is left. Sends
 * no message. 0; -ENOENT, -EACCES, -EXDEV.
 */
int gmem_translate(const struct gmem_vm *vm, struct translation *translation);

/* 0 or -EINVAL, with its message. */
int gmem_access_check(const struct gmem_vm *vm, const char *function, uint64_t gpa, uint64_t size,
		      uint32_t flags, uint32_t known_flags);

/* The message about what is in the way. */
int gmem_access_refused(const struct gmem_vm *vm, const struct translation *translation,
			uint64_t gpa, uint64_t size, int error);

#endif /* GMEM_ACCESS_PRIVATE_H */
