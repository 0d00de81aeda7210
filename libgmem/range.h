/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checked arithmetic on ranges. A range is a start and a size in bytes; size is never 0, and
 * start + size never overflows, once range_is_valid() has seen it.
 */
#ifndef GMEM_RANGE_H
#define GMEM_RANGE_H

#include <stdbool.h>
#include <stdint.h>

static inline bool range_is_valid(uint64_t start, uint64_t size)
{
	uint64_t end;

	return size && !__builtin_add_overflow(start, size, &end);
}

static inline bool range_is_aligned(uint64_t start, uint64_t size, uint64_t alignment)
{
	return !((start | size) & (alignment - 1));
}

static inline bool ranges_overlap(uint64_t start, uint64_t size, uint64_t other_start,
				  uint64_t other_size)
{
	return start < other_start + other_size && other_start < start + size;
}

/* Whether the first range holds all of the second. */
static inline bool range_covers(uint64_t start, uint64_t size, uint64_t other_start,
				uint64_t other_size)
{
	return start <= other_start && other_start + other_size <= start + size;
}

static inline uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static inline uint64_t round_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

#endif /* GMEM_RANGE_H */
