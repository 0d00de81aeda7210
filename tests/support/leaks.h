/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was taken through the door and not given back: a door in front of another keeps account of
 * descriptors and mappings, and a snapshot of /proc/self/fd sees the descriptors that went past
 * it.
 */
#ifndef TESTS_SUPPORT_LEAKS_H
#define TESTS_SUPPORT_LEAKS_H

#include <gmem/kernel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct leaks;

/* kernel is copied. Put it outermost, or below a fault injector: failed calls take nothing. */
struct leaks *leaks_new(const struct gmem_kernel *kernel);
void leaks_free(struct leaks *leaks);
struct gmem_kernel leaks_kernel(struct leaks *leaks);

/* Descriptors made through the door and still open; bytes mapped through it and still mapped. */
size_t leaks_descriptors(struct leaks *leaks);
uint64_t leaks_mapped(struct leaks *leaks);
/*
 * Descriptors closed, and bytes unmapped or mapped over, that had not come through the door: the
 * caller's own, or given back twice.
 */
size_t leaks_foreign_closes(struct leaks *leaks);
uint64_t leaks_foreign_unmaps(struct leaks *leaks);

/* A point in time to come back to; the descriptors open in this process are part of it. */
struct leaks_snapshot;
struct leaks_snapshot *leaks_take(struct leaks *leaks);
void leaks_snapshot_free(struct leaks_snapshot *snapshot);
/*
 * True when all is as it was at the snapshot, and nothing foreign was closed or unmapped since;
 * else says in text what is not.
 */
bool leaks_compare(struct leaks *leaks, const struct leaks_snapshot *snapshot, char *text,
		   size_t size);

/* Fails the cmocka test unless leaks_compare(); frees the snapshot. */
#define assert_no_leaks(leaks, snapshot) leaks_assert(leaks, snapshot, __FILE__, __LINE__)
void leaks_assert(struct leaks *leaks, struct leaks_snapshot *snapshot, const char *file, int line);

#endif /* TESTS_SUPPORT_LEAKS_H */
