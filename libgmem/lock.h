/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lock that is held for some loads and stores, and taken by every conversion: one word, which one
 * exchange takes and another gives back. Who finds it held tries again for a moment, then sleeps
 * on it (a futex, through the door). A lock of all zeros is free.
 */
#ifndef GMEM_LOCK_H
#define GMEM_LOCK_H

#include "kernel.h"

#include <stdatomic.h>
#include <stdbool.h>

enum {
	LOCK_FREE,
	LOCK_HELD,
	LOCK_SOUGHT, /* held, and somebody may be asleep */
};

struct lock {
	_Atomic uint32_t word; /* LOCK_* */
};

/* What lock_take() and lock_release() come to where there is more than one thread. */
void gmem_lock_wait(struct lock *lock, const struct gmem_kernel *kernel);
void gmem_lock_wake(struct lock *lock, const struct gmem_kernel *kernel);

static inline void lock_take(struct lock *lock, const struct gmem_kernel *kernel)
{
	uint32_t expected = LOCK_FREE;

	if (__builtin_expect(!atomic_compare_exchange_strong_explicit(
				     &lock->word, &expected, LOCK_HELD, memory_order_acquire,
				     memory_order_relaxed),
			     0))
		gmem_lock_wait(lock, kernel);
}

static inline void lock_release(struct lock *lock, const struct gmem_kernel *kernel)
{
	uint32_t was = atomic_exchange_explicit(&lock->word, LOCK_FREE, memory_order_release);

	if (__builtin_expect(was == LOCK_SOUGHT, 0))
		gmem_lock_wake(lock, kernel);
}

/* Between two looks at a word that another thread is about to change. */
static inline void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

#endif /* GMEM_LOCK_H */
