// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sets of numbers as sorted, disjoint spans. */
#include "spans.h"
#include "faults.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

void spans_clear(struct spans *spans)
{
	free(spans->at);
	memset(spans, 0, sizeof(*spans));
}

static void insert(struct spans *spans, size_t index, uint64_t start, uint64_t end)
{
	spans->at = support_grow(spans->at, spans->count, &spans->room, sizeof(spans->at[0]));
	memmove(&spans->at[index + 1], &spans->at[index],
		(spans->count - index) * sizeof(spans->at[0]));
	spans->at[index] = (struct span){ start, end };
	spans->count++;
}

static void take_out(struct spans *spans, size_t index, size_t count)
{
	if (count == 0)
		return;
	memmove(&spans->at[index], &spans->at[index + count],
		(spans->count - index - count) * sizeof(spans->at[0]));
	spans->count -= count;
}

/* The first span that ends at point or later. */
static size_t first_ending_at(const struct spans *spans, uint64_t point)
{
	size_t low = 0, high = spans->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spans->at[middle].end < point)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void spans_add(struct spans *spans, uint64_t start, uint64_t end)
{
	size_t first, last;

	if (start >= end)
		return;
	first = first_ending_at(spans, start);
	for (last = first; last < spans->count && spans->at[last].start <= end; last++) {
		if (spans->at[last].start < start)
			start = spans->at[last].start;
		if (spans->at[last].end > end)
			end = spans->at[last].end;
	}
	take_out(spans, first, last - first);
	insert(spans, first, start, end);
}

void spans_remove(struct spans *spans, uint64_t start, uint64_t end)
{
	size_t i;

	if (start >= end)
		return;
	i = first_ending_at(spans, start);
	while (i < spans->count && spans->at[i].start < end) {
		struct span old = spans->at[i];

		take_out(spans, i, 1);
		if (old.start < start)
			insert(spans, i++, old.start, old.end < start ? old.end : start);
		if (old.end > end)
			insert(spans, i++, end, old.end);
	}
}

bool spans_has(const struct spans *spans, uint64_t point)
{
	bool in;

	spans_run(spans, point, point + 1, &in);
	return in;
}

uint64_t spans_total(const struct spans *spans, uint64_t start, uint64_t end)
{
	uint64_t total = 0;
	size_t i;

	for (i = first_ending_at(spans, start); i < spans->count && spans->at[i].start < end; i++) {
		uint64_t from = spans->at[i].start > start ? spans->at[i].start : start;
		uint64_t to = spans->at[i].end < end ? spans->at[i].end : end;

		total += to - from;
	}
	return total;
}

uint64_t spans_run(const struct spans *spans, uint64_t point, uint64_t limit, bool *in)
{
	size_t i = first_ending_at(spans, point);
	uint64_t end = limit;

	if (i < spans->count && spans->at[i].end == point)
		i++;
	*in = i < spans->count && spans->at[i].start <= point;
	if (i < spans->count)
		end = *in ? spans->at[i].end : spans->at[i].start;
	return end < limit ? end : limit;
}

bool spans_equal(const struct spans *a, const struct spans *b)
{
	return a->count == b->count &&
	       (a->count == 0 || memcmp(a->at, b->at, a->count * sizeof(a->at[0])) == 0);
}

void spans_copy(struct spans *to, const struct spans *from)
{
	size_t i;

	to->count = 0;
	for (i = 0; i < from->count; i++)
		insert(to, i, from->at[i].start, from->at[i].end);
}
