// SPDX-License-Identifier: LGPL-2.1-or-later
/* Locks that somebody else holds. */
#include "lock.h"

/* About as long as whoever has the lock keeps it, unless it was interrupted. */
#define EAGER_LOOKS 100u

/* Sleeps have an end for signals' sake (gmem_kernel_futex_wait()), not for their own. */
#define SLEEP_NS UINT64_C(1000000000)

/*
 * Whoever has slept takes the lock as LOCK_SOUGHT: others may still be asleep, and it is the only
 * one that was woken.
 */
void gmem_lock_wait(struct lock *lock, const struct gmem_kernel *kernel)
{
	unsigned int looks;

	for (looks = 0; looks < EAGER_LOOKS; looks++) {
		if (atomic_load_explicit(&lock->word, memory_order_relaxed) == LOCK_FREE &&
		    lock_try(lock))
			return;
		pause_cpu();
	}
	/* A sleep that fails, for whatever reason, is one that was short. */
	while (atomic_exchange_explicit(&lock->word, LOCK_SOUGHT, memory_order_acquire) !=
	       LOCK_FREE)
		(void)gmem_kernel_futex_wait(kernel, &lock->word, LOCK_SOUGHT, SLEEP_NS);
}

void gmem_lock_wake(struct lock *lock, const struct gmem_kernel *kernel)
{
	(void)gmem_kernel_futex_wake(kernel, &lock->word, 1);
}
