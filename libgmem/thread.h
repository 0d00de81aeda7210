/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads: which one this is, and those of the library's own. */
#ifndef GMEM_THREAD_H
#define GMEM_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* A number that no other thread of the process has while this one lives. */
static inline uintptr_t this_thread(void)
{
#ifdef __has_builtin
#if __has_builtin(__builtin_thread_pointer)
	/* Without a call. */
	return (uintptr_t)__builtin_thread_pointer();
#endif
#endif
	return (uintptr_t)pthread_self();
}

/* Starts a thread that takes none of the program's signals. 0 or a positive errno. */
int gmem_thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif /* GMEM_THREAD_H */
