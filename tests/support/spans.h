/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of numbers as sorted, disjoint spans [start, end): which addresses are private, mapped ...
 */
#ifndef TESTS_SUPPORT_SPANS_H
#define TESTS_SUPPORT_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	uint64_t start;
	uint64_t end;
};

/* All zeros is the empty set. */
struct spans {
	struct span *at;
	size_t count;
	size_t room;
};

void spans_clear(struct spans *spans);
void spans_add(struct spans *spans, uint64_t start, uint64_t end);
void spans_remove(struct spans *spans, uint64_t start, uint64_t end);
bool spans_has(const struct spans *spans, uint64_t point);
/* How many numbers of [start, end) are in the set. */
uint64_t spans_total(const struct spans *spans, uint64_t start, uint64_t end);
/*
 * The run from point on that is all in the set or all out of it: returns its end, at most limit.
 */
uint64_t spans_run(const struct spans *spans, uint64_t point, uint64_t limit, bool *in);
bool spans_equal(const struct spans *a, const struct spans *b);
void spans_copy(struct spans *to, const struct spans *from);

#endif /* TESTS_SUPPORT_SPANS_H */
