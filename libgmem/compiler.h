/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What compilers are told, and kept from, where a path is so short that it matters. */
#ifndef GMEM_COMPILER_H
#define GMEM_COMPILER_H

#include <stddef.h>
#include <string.h>

/* Also where there are several calls. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* What is laid out to be run straight on. */
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define CLEAR_PIECE 64u

/*
 * Zeroes a struct of a size that is known. Of one piece of more than some hundred bytes compilers
 * make a string instruction, which takes longer to begin than all of a short path.
 */
static ALWAYS_INLINE void clear(void *object, size_t size)
{
	size_t first = size < CLEAR_PIECE ? size : CLEAR_PIECE;
	size_t second = size - first < CLEAR_PIECE ? size - first : CLEAR_PIECE;
	char *bytes = object;

	memset(bytes, 0, first);
	memset(bytes + first, 0, second);
	memset(bytes + first + second, 0, size - first - second);
}

#endif /* GMEM_COMPILER_H */
