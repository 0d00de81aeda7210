/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for the test support itself: it runs below the library's calls, where a failure of its
 * own must never look like one of the library.
 */
#ifndef TESTS_SUPPORT_SUPPORT_H
#define TESTS_SUPPORT_SUPPORT_H

#include <stddef.h>

/* Zeroed memory; ends the program when there is none. */
void *support_new(size_t size);
/* An array with room for count + 1 entries of a size, moved when need be; room is updated. */
void *support_grow(void *array, size_t count, size_t *room, size_t size);

#endif /* TESTS_SUPPORT_SUPPORT_H */
