/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random numbers for tests: printed seeds, which GMEM_TEST_SEED repeats. */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Never 0. what says whose seed it is. */
static inline uint64_t random_seed(const char *what)
{
	const char *given = getenv("GMEM_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0)
		     : (uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec;
	if (!seed)
		seed = 1;
	printf("# %s: GMEM_TEST_SEED=0x%llx\n", what, (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/* xorshift64* */
static inline uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	return (random_next(seed) >> 11) % limit;
}

#endif /* TESTS_SUPPORT_RANDOM_H */
