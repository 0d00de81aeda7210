// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Keeping the host off private pages, in mappings it already has.
 *
 * A private page has no memory in the file that is mapped; its bytes are in the store. With
 * userfaultfd, chunks of the file that hold a private page are "guarded" in every mapping: the
 * touch of a page without memory there raises SIGBUS. So in a guarded chunk shared pages must have
 * memory, and are given some ("filled") before the chunk is guarded; the kernel still tells such a
 * page from one that was touched. Chunks grow when there get to be many, since each run of them
 * is a mapping of its own to the kernel.
 *
 * Without userfaultfd, an empty file is mapped over private pages: a touch is past its end.
 */
#include "sim.h"

#include <errno.h>
#include <sys/mman.h>

#define MOST_RUNS 4096u
#define LARGEST_CHUNK (UINT64_C(64) << 20)

static bool can_be_mapped(const struct sim_file *file)
{
	return file->flags & GMEM_KVM_GUEST_MEMFD_FLAG_MMAP;
}

static struct sim_span to_chunks(const struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span span = { start & ~(file->chunk - 1),
				 (end + file->chunk - 1) & ~(file->chunk - 1) };

	if (span.end > file->size || span.end < end)
		span.end = file->size;
	return span;
}

/* The part of a mapping that shows [start, end) of the file, as addresses; false for none. */
static bool part_of(const struct sim_mapping *mapping, uint64_t start, uint64_t end,
		    struct sim_span *part)
{
	uint64_t length = mapping->end - mapping->start;
	uint64_t last = mapping->offset + length;

	if (start < mapping->offset)
		start = mapping->offset;
	if (end > last)
		end = last;
	if (start >= end)
		return false;
	part->start = mapping->start + (start - mapping->offset);
	part->end = mapping->start + (end - mapping->offset);
	return true;
}

/* Calls act on each mapping's part of [start, end), until one fails. */
static int for_each_part(struct sim_file *file, uint64_t start, uint64_t end,
			 int (*act)(struct gmem_sim *sim, const struct sim_mapping *mapping,
				    const struct sim_span *part))
{
	struct gmem_sim *sim = file->vm->sim;
	struct sim_span part;
	int err = 0;
	size_t i;

	for (i = 0; i < sim->mapping_count && err == 0; i++)
		if (sim->mappings[i].file == file && part_of(&sim->mappings[i], start, end, &part))
			err = act(sim, &sim->mappings[i], &part);
	return err;
}

static int register_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			 const struct sim_span *part)
{
	(void)mapping;
	return gmem_sim_host_uffd_register(sim->uffd, part->start, part->end) < 0 ? -ENOMEM : 0;
}

static int unregister_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			   const struct sim_span *part)
{
	(void)mapping;
	return gmem_sim_host_uffd_unregister(sim->uffd, part->start, part->end) < 0 ? -ENOMEM : 0;
}

static int protect_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			const struct sim_span *part)
{
	(void)mapping;
	return gmem_sim_host_uffd_protect(sim->uffd, part->start, part->end, true) < 0 ? -ENOMEM
										       : 0;
}

static int unprotect_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			  const struct sim_span *part)
{
	(void)mapping;
	gmem_sim_host_uffd_protect(sim->uffd, part->start, part->end, false);
	return 0;
}

static int cover_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
		      const struct sim_span *part)
{
	uint64_t offset = mapping->offset + (part->start - mapping->start);

	/* Offsets as in the file, so that neighbours join. */
	return gmem_sim_host_mmap(part->start, part->end - part->start, mapping->protection,
				  MAP_SHARED | MAP_FIXED, sim->empty_fd, offset) < 0
		       ? -ENOMEM
		       : 0;
}

static int uncover_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			const struct sim_span *part)
{
	uint64_t offset = mapping->offset + (part->start - mapping->start);
	uint64_t length = part->end - part->start;

	(void)sim;
	if (gmem_sim_host_mmap(part->start, length, mapping->protection, MAP_SHARED | MAP_FIXED,
			       mapping->file->object.own_fd, offset) < 0)
		return -ENOMEM;
	if (mapping->dont_fork)
		gmem_sim_host_madvise(part->start, length, MADV_DONTFORK);
	if (mapping->dont_dump)
		gmem_sim_host_madvise(part->start, length, MADV_DONTDUMP);
	return 0;
}

/* Memory for the pages of [start, end) that are shared and have none. */
static int fill(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span gap;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next_gap(&file->private_pages, start, end, &gap)) {
		err = gmem_sim_spans_add(&file->filled, gap.start, gap.end);
		if (err == 0)
			err = gmem_sim_host_allocate(file->object.own_fd, gap.start, gap.end);
		start = gap.end;
	}
	return err;
}

static void grow_chunk(struct sim_file *file)
{
	if (file->guarded.count > MOST_RUNS && file->chunk < LARGEST_CHUNK)
		file->chunk *= 2;
}

/* Guards what is not of the chunks of [start, end), which alone may be without memory. */
static int guard(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span chunks = to_chunks(file, start, end);
	uint64_t at = chunks.start;
	struct sim_span gap;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next_gap(&file->guarded, at, chunks.end, &gap)) {
		if (gap.start < start)
			err = fill(file, gap.start, gap.end < start ? gap.end : start);
		if (err == 0 && gap.end > end)
			err = fill(file, gap.start > end ? gap.start : end, gap.end);
		if (err == 0)
			err = gmem_sim_spans_reserve(&file->guarded);
		if (err == 0)
			err = for_each_part(file, gap.start, gap.end, register_part);
		if (err == 0)
			err = gmem_sim_spans_add(&file->guarded, gap.start, gap.end);
		else
			for_each_part(file, gap.start, gap.end, unregister_part);
		at = gap.end;
	}
	grow_chunk(file);
	return err;
}

/*
 * Takes the guard off chunks of [start, end) that have no private page, and sees to it that shared
 * pages of the others have memory: as far as it can.
 */
static void unguard(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span chunks = to_chunks(file, start, end);
	uint64_t at = chunks.start;

	while (at < chunks.end) {
		struct sim_span piece, mixed = { chunks.end, chunks.end };

		if (gmem_sim_spans_next(&file->private_pages, at, chunks.end, &piece))
			mixed = to_chunks(file, piece.start, piece.end);
		if (mixed.start > at && gmem_sim_spans_remove(&file->guarded, at, mixed.start) == 0)
			for_each_part(file, at, mixed.start, unregister_part);
		if (mixed.start < chunks.end) {
			uint64_t first = mixed.start > start ? mixed.start : start;
			uint64_t last = mixed.end < end ? mixed.end : end;

			if (first < last)
				fill(file, first, last);
		}
		at = mixed.end;
	}
}

/*
 * The chunks that have no private page left once [start, end) is shared, which may be none: all
 * but the first and the last, and those where nothing else of them is private.
 */
static struct sim_span without_private(const struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span chunks = to_chunks(file, start, end);
	struct sim_span piece;

	if (gmem_sim_spans_next(&file->private_pages, end, chunks.end, &piece))
		chunks.end = (end - 1) & ~(file->chunk - 1);
	if (gmem_sim_spans_next(&file->private_pages, chunks.start, start, &piece))
		chunks.start += file->chunk;
	if (chunks.start > chunks.end)
		chunks.start = chunks.end;
	return chunks;
}

/* Memory for private pages of [start, end) that have no bytes which would bring it. */
static int fill_empty(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece, data;
	int err = 0;

	for (; err == 0 && gmem_sim_spans_next(&file->private_pages, start, end, &piece);
	     start = piece.end) {
		err = gmem_sim_spans_add(&file->filled, piece.start, piece.end);
		while (err == 0 && piece.start < piece.end) {
			if (!gmem_sim_host_next_data(file->store_fd, piece.start, piece.end, &data))
				data = (struct sim_span){ piece.end, piece.end };
			if (data.start > piece.start)
				err = gmem_sim_host_allocate(file->object.own_fd, piece.start,
							     data.start);
			piece.start = data.end;
		}
	}
	return err;
}

/* Pages that may have memory: touched ones are found by the kernel, filled ones by us. */
static int for_each_present(struct sim_file *file, uint64_t start, uint64_t end,
			    int (*act)(struct gmem_sim *sim, const struct sim_mapping *mapping,
				       const struct sim_span *part))
{
	uint64_t at = start;
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->filled, at, end, &piece)) {
		err = for_each_part(file, piece.start, piece.end, act);
		at = piece.end;
	}
	at = start;
	while (err == 0 && gmem_sim_host_next_data(file->object.own_fd, at, end, &piece)) {
		err = for_each_part(file, piece.start, piece.end, act);
		at = piece.end;
	}
	return err;
}

int gmem_sim_guard_begin(struct sim_file *file, uint64_t start, uint64_t end)
{
	int err;

	if (!can_be_mapped(file))
		return 0;
	err = gmem_sim_mappings_check(file, start, end);
	if (err < 0)
		return err;
	if (file->vm->sim->uffd < 0)
		err = for_each_part(file, start, end, cover_part);
	else
		err = guard(file, start, end);
	/* From here on a page without memory gets none by a touch: what has some stays the same. */
	if (err == 0 && file->vm->sim->uffd >= 0)
		err = for_each_present(file, start, end, protect_part);
	if (err < 0)
		gmem_sim_guard_cancel(file, start, end);
	return err;
}

void gmem_sim_guard_end(struct sim_file *file, uint64_t start, uint64_t end)
{
	if (can_be_mapped(file) && file->vm->sim->uffd >= 0)
		for_each_part(file, start, end, unprotect_part);
	gmem_sim_spans_remove(&file->filled, start, end);
}

void gmem_sim_guard_cancel(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span gap;

	if (!can_be_mapped(file))
		return;
	if (file->vm->sim->uffd < 0) {
		/* Only what is still shared: the rest was covered before. */
		while (gmem_sim_spans_next_gap(&file->private_pages, start, end, &gap)) {
			for_each_part(file, gap.start, gap.end, uncover_part);
			start = gap.end;
		}
		return;
	}
	for_each_part(file, start, end, unprotect_part);
	unguard(file, start, end);
}

int gmem_sim_guard_prepare_lift(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span lifted;
	int err;

	if (!can_be_mapped(file))
		return 0;
	err = gmem_sim_mappings_check(file, start, end);
	if (err < 0 || file->vm->sim->uffd < 0)
		return err;
	err = gmem_sim_spans_reserve(&file->guarded);
	lifted = without_private(file, start, end);
	if (lifted.start == lifted.end)
		return err < 0 ? err : fill_empty(file, start, end);
	if (err == 0 && start < lifted.start)
		err = fill_empty(file, start, lifted.start);
	if (err == 0 && lifted.end < end)
		err = fill_empty(file, lifted.end, end);
	return err;
}

/* Calls act on what mappings show of private pages, until one fails. */
static int for_each_private(struct sim_file *file, uint64_t start, uint64_t end,
			    int (*act)(struct gmem_sim *sim, const struct sim_mapping *mapping,
				       const struct sim_span *part))
{
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->private_pages, start, end, &piece)) {
		err = for_each_part(file, piece.start, piece.end, act);
		start = piece.end;
	}
	return err;
}

int gmem_sim_guard_lift(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span lifted;
	int err;

	if (!can_be_mapped(file))
		return 0;
	if (file->vm->sim->uffd < 0) {
		err = for_each_private(file, start, end, uncover_part);
		if (err < 0)
			for_each_private(file, start, end, cover_part);
		return err;
	}
	lifted = without_private(file, start, end);
	err = for_each_part(file, lifted.start, lifted.end, unregister_part);
	if (err < 0)
		for_each_part(file, lifted.start, lifted.end, register_part);
	else
		gmem_sim_spans_remove(&file->guarded, lifted.start, lifted.end);
	return err;
}

int gmem_sim_guard_new_file(struct sim_file *file)
{
	file->chunk = file->vm->sim->config.page_size * 16;
	if (!can_be_mapped(file) || file->private_pages.count == 0 || file->vm->sim->uffd < 0)
		return 0;
	return gmem_sim_spans_add(&file->guarded, 0, file->size);
}

int gmem_sim_guard_mapping(struct sim_mapping *mapping)
{
	struct sim_file *file = mapping->file;
	struct gmem_sim *sim = file->vm->sim;
	const struct sim_spans *spans = sim->uffd < 0 ? &file->private_pages : &file->guarded;
	uint64_t last = mapping->offset + (mapping->end - mapping->start);
	uint64_t at = mapping->offset;
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(spans, at, last, &piece)) {
		struct sim_span part;

		if (part_of(mapping, piece.start, piece.end, &part))
			err = sim->uffd < 0 ? cover_part(sim, mapping, &part)
					    : register_part(sim, mapping, &part);
		at = piece.end;
	}
	return err;
}
