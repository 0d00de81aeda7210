// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Allocations that fail at the nth. The linker sends every call that the program's own objects
 * make to the functions below, and leaves those of shared libraries (the C library, cmocka, a
 * sanitizer) alone. So the code under test must be linked in, not be a shared library. A program
 * that uses allocations_fail() and its like is linked with
 *
 *   -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray
 *   -Wl,--wrap=aligned_alloc,--wrap=posix_memalign,--wrap=strdup,--wrap=strndup
 */
#include "faults.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

static atomic_bool armed;
static _Atomic uint64_t first_to_fail;
static _Atomic uint64_t last_to_fail;
static _Atomic uint64_t counted;
static _Atomic uint64_t failed;

static bool must_fail(void)
{
	uint64_t number;

	if (!atomic_load(&armed) || allocations_are_paused())
		return false;
	number = atomic_fetch_add(&counted, 1) + 1;
	if (number < atomic_load(&first_to_fail) || number > atomic_load(&last_to_fail))
		return false;
	atomic_fetch_add(&failed, 1);
	errno = ENOMEM;
	return true;
}

static void arm(uint64_t first, uint64_t last)
{
	atomic_store(&armed, false);
	atomic_store(&first_to_fail, first);
	atomic_store(&last_to_fail, last);
	atomic_store(&counted, 0);
	atomic_store(&failed, 0);
	atomic_store(&armed, true);
}

void allocations_fail(uint64_t nth)
{
	arm(nth, nth);
}

void allocations_fail_from(uint64_t nth)
{
	arm(nth, UINT64_MAX);
}

void allocations_count_only(void)
{
	arm(UINT64_MAX, 0);
}

uint64_t allocations_off(void)
{
	atomic_store(&armed, false);
	return atomic_load(&counted);
}

uint64_t allocations_failed(void)
{
	return atomic_load(&failed);
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return must_fail() ? NULL : __real_realloc(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
	return must_fail() ? NULL : __real_reallocarray(memory, count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return must_fail() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
	return must_fail() ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

char *__wrap_strdup(const char *text)
{
	return must_fail() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
	return must_fail() ? NULL : __real_strndup(text, size);
}
