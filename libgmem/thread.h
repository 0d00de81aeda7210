/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads of the library's own. */
#ifndef GMEM_THREAD_H
#define GMEM_THREAD_H

#include <pthread.h>

/* Starts a thread that takes none of the program's signals. 0 or a positive errno. */
int gmem_thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif /* GMEM_THREAD_H */
