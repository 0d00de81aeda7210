// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sets of numbers as sorted spans. */
#include "spans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void gmem_sim_spans_free(struct sim_spans *spans)
{
	free(spans->span);
	*spans = (struct sim_spans){ 0 };
}

int gmem_sim_spans_reserve(struct sim_spans *spans)
{
	size_t room = spans->room ? spans->room * 2 : 8;
	struct sim_span *span;

	if (spans->count < spans->room)
		return 0;
	span = reallocarray(spans->span, room, sizeof(*span));
	if (!span)
		return -ENOMEM;
	spans->span = span;
	spans->room = room;
	return 0;
}

/* The first span that ends after value. */
static size_t find(const struct sim_spans *spans, uint64_t value)
{
	size_t low = 0;
	size_t high = spans->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spans->span[middle].end > value)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Puts count (0 to 2) spans in the place of those from first to (not including) last. */
static void replace(struct sim_spans *spans, size_t first, size_t last, const struct sim_span *with,
		    size_t count)
{
	memmove(spans->span + first + count, spans->span + last,
		(spans->count - last) * sizeof(*with));
	memcpy(spans->span + first, with, count * sizeof(*with));
	spans->count = spans->count - (last - first) + count;
}

int gmem_sim_spans_add(struct sim_spans *spans, uint64_t start, uint64_t end)
{
	struct sim_span joined = { start, end };
	size_t first, last;
	int err;

	if (start >= end)
		return 0;
	err = gmem_sim_spans_reserve(spans);
	if (err < 0)
		return err;
	/* One that ends where we start is joined as well. */
	first = start ? find(spans, start - 1) : 0;
	for (last = first; last < spans->count && spans->span[last].start <= end; last++) {
		if (spans->span[last].start < joined.start)
			joined.start = spans->span[last].start;
		if (spans->span[last].end > joined.end)
			joined.end = spans->span[last].end;
	}
	replace(spans, first, last, &joined, 1);
	return 0;
}

int gmem_sim_spans_remove(struct sim_spans *spans, uint64_t start, uint64_t end)
{
	struct sim_span rest[2];
	size_t count = 0;
	size_t first, last;
	int err;

	if (start >= end || spans->count == 0)
		return 0;
	err = gmem_sim_spans_reserve(spans);
	if (err < 0)
		return err;
	first = find(spans, start);
	for (last = first; last < spans->count && spans->span[last].start < end; last++)
		;
	if (first == last)
		return 0;
	if (spans->span[first].start < start)
		rest[count++] = (struct sim_span){ spans->span[first].start, start };
	if (spans->span[last - 1].end > end)
		rest[count++] = (struct sim_span){ end, spans->span[last - 1].end };
	replace(spans, first, last, rest, count);
	return 0;
}

bool gmem_sim_spans_has(const struct sim_spans *spans, uint64_t value)
{
	size_t i = find(spans, value);

	return i < spans->count && spans->span[i].start <= value;
}

size_t gmem_sim_spans_count(const struct sim_spans *spans, uint64_t start, uint64_t end)
{
	size_t first = find(spans, start);
	size_t last = find(spans, end);

	if (start >= end)
		return 0;
	if (last < spans->count && spans->span[last].start < end)
		last++;
	return last - first;
}

uint64_t gmem_sim_spans_total(const struct sim_spans *spans)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < spans->count; i++)
		total += spans->span[i].end - spans->span[i].start;
	return total;
}

bool gmem_sim_spans_next(const struct sim_spans *spans, uint64_t start, uint64_t end,
			 struct sim_span *piece)
{
	size_t i = find(spans, start);

	if (start >= end || i >= spans->count || spans->span[i].start >= end)
		return false;
	piece->start = spans->span[i].start > start ? spans->span[i].start : start;
	piece->end = spans->span[i].end < end ? spans->span[i].end : end;
	return true;
}

bool gmem_sim_spans_next_gap(const struct sim_spans *spans, uint64_t start, uint64_t end,
			     struct sim_span *gap)
{
	size_t i = find(spans, start);

	if (i < spans->count && spans->span[i].start <= start)
		start = spans->span[i++].end;
	if (start >= end)
		return false;
	gap->start = start;
	gap->end = i < spans->count && spans->span[i].start < end ? spans->span[i].start : end;
	return true;
}
