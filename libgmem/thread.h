/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads: which one this is, and those of the library's own. */
#ifndef GMEM_THREAD_H
#define GMEM_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* A number that no other thread of the process has while this one lives. */
static inline uintptr_t this_thread(void)
{
	/* Without a call, where it is known to work: __has_builtin() only says that there is the name. */
#if defined(__aarch64__) ||                                                                        \
	(defined(__x86_64__) &&                                                                    \
	 (__GNUC__ >= 11 || (defined(__clang_major__) && __clang_major__ >= 14)))
	return (uintptr_t)__builtin_thread_pointer();
#else
	return (uintptr_t)pthread_self();
#endif
}

/* Starts a thread that takes none of the program's signals. 0 or a positive errno. */
int gmem_thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif /* GMEM_THREAD_H */
