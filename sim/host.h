/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the files that make system calls. */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include <stdint.h>

/* The system call of this number, with arguments that are not given being 0; negative errno. */
int64_t gmem_sim_raw(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
		     uint64_t f);

/* An int as the kernel's registers have it. */
static inline uint64_t sim_argument(int value)
{
	return (uint64_t)(int64_t)value;
}

static inline uint64_t sim_address(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

#endif /* SIM_HOST_H */
