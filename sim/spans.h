/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of numbers kept as sorted, disjoint spans [start, end) that do not touch. */
#ifndef SIM_SPANS_H
#define SIM_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_span {
	uint64_t start;
	uint64_t end;
};

struct sim_spans {
	struct sim_span *span;
	size_t count;
	size_t room;
};

void gmem_sim_spans_free(struct sim_spans *spans);

/* Makes the next gmem_sim_spans_add() or gmem_sim_spans_remove() one that cannot fail. 0, -ENOMEM. */
int gmem_sim_spans_reserve(struct sim_spans *spans);

/* 0, -ENOMEM; unchanged on failure. */
int gmem_sim_spans_add(struct sim_spans *spans, uint64_t start, uint64_t end);
int gmem_sim_spans_remove(struct sim_spans *spans, uint64_t start, uint64_t end);

bool gmem_sim_spans_has(const struct sim_spans *spans, uint64_t value);

/* How many spans have something of [start, end). */
size_t gmem_sim_spans_count(const struct sim_spans *spans, uint64_t start, uint64_t end);

/* How much all of it is. */
uint64_t gmem_sim_spans_total(const struct sim_spans *spans);

/*
 * The first piece of the set in [start, end): true and the piece, cut to it; false when there is
 * none. The gap version gives the first piece of [start, end) that is not in the set.
 */
bool gmem_sim_spans_next(const struct sim_spans *spans, uint64_t start, uint64_t end,
			 struct sim_span *piece);
bool gmem_sim_spans_next_gap(const struct sim_spans *spans, uint64_t start, uint64_t end,
			     struct sim_span *gap);

#endif /* SIM_SPANS_H */
