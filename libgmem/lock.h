/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lock that is held for some loads and stores, and taken by every conversion: one word, which one
 * exchange takes and another gives back. Who finds it held tries again for a moment, then sleeps
 * on it (a futex, through the door; where that always fails it goes on trying). A lock of all zeros
 * is free.
 */
#ifndef GMEM_LOCK_H
#define GMEM_LOCK_H

#include "compiler.h"
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

/* What it comes to where there is more than one thread. */
void gmem_lock_wait(struct lock *lock, const struct gmem_kernel *kernel);
void gmem_lock_wake(struct lock *lock, const struct gmem_kernel *kernel);

/* False: somebody else has it, gmem_lock_wait() takes it. */
static inline bool lock_try(struct lock *lock)
{
	uint32_t expected = LOCK_FREE;
	bool taken = atomic_compare_exchange_strong_explicit(
		&lock->word, &expected, LOCK_HELD, memory_order_acquire, memory_order_relaxed);

	return likely(taken);
}

static inline void lock_take(struct lock *lock, const struct gmem_kernel *kernel)
{
	if (!lock_try(lock))
		gmem_lock_wait(lock, kernel);
}

/* True: somebody waits for it, gmem_lock_wake() is to be called. */
static inline bool lock_drop(struct lock *lock)
{
	uint32_t was = atomic_exchange_explicit(&lock->word, LOCK_FREE, memory_order_release);

	return unlikely(was == LOCK_SOUGHT);
}

static inline void lock_release(struct lock *lock, const struct gmem_kernel *kernel)
{
	if (lock_drop(lock))
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
