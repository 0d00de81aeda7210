// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Keeping the host off private pages, in mappings it already has. A private page's bytes are in
 * the store, and the file that is mapped has no memory there.
 *
 * With userfaultfd, what is private is a "window" of the file: registered in every mapping for
 * missing and for minor faults, so that a touch of any page that is in no page table raises
 * SIGBUS, whether the file has memory there (another process may have given it some) or not.
 * Nothing shared is in a window, so memory comes by touch everywhere else.
 *
 * To the kernel a window is a mapping of its own. When there are more than config.mappings allows,
 * windows join: their ends are rounded to a file's "chunk", which doubles until there is room.
 * Shared pages in a window must be in the page tables of every mapping, so they are given memory.
 *
 * One window over all of a mapping, for minor faults alone, would need neither; but of two threads
 * that touch a new page at once, the later one finds it in the file and not yet in the page table,
 * which is such a fault: of pages that two threads raced for, nearly all raised SIGBUS.
 *
 * Without userfaultfd, an empty file is mapped over private pages: a touch is past its end.
 */
#include "sim.h"

#include <errno.h>
#include <sys/mman.h>

#define SHARE 8u /* a file joins its windows if it has more than this part of all there may be */
#define LARGEST_FILL (UINT64_C(1) << 30)

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

typedef int (*act_fn)(struct gmem_sim *sim, const struct sim_mapping *mapping,
		      const struct sim_span *part);

/* Calls act on each mapping's part of [start, end), until one fails. */
static int for_each_part(struct sim_file *file, uint64_t start, uint64_t end, act_fn act)
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

/* Calls act on what mappings show of private pages, until one fails. */
static int for_each_private(struct sim_file *file, uint64_t start, uint64_t end, act_fn act)
{
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->private_pages, start, end, &piece)) {
		err = for_each_part(file, piece.start, piece.end, act);
		start = piece.end;
	}
	return err;
}

/* The same for shared pages. */
static int for_each_shared(struct sim_file *file, uint64_t start, uint64_t end, act_fn act)
{
	struct sim_span gap;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next_gap(&file->private_pages, start, end, &gap)) {
		err = for_each_part(file, gap.start, gap.end, act);
		start = gap.end;
	}
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

/* Into page tables, in a window. */
static int give_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
		     const struct sim_span *part)
{
	(void)mapping;
	return gmem_sim_host_uffd_continue(sim->uffd, part->start, part->end, sim->host_page_size) <
			       0
		       ? -ENOMEM
		       : 0;
}

/* Out of page tables. */
static int drop_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
		     const struct sim_span *part)
{
	(void)sim;
	(void)mapping;
	return gmem_sim_host_drop(part->start, part->end) < 0 ? -ENOMEM : 0;
}

/* Into page tables, where no window is yet. */
static int populate_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			 const struct sim_span *part)
{
	(void)sim;
	(void)mapping;
	return gmem_sim_host_populate(part->start, part->end);
}

/* What the caller has made of it since it was mapped, in one piece from start on. */
static void find_protection(struct gmem_sim *sim, const struct sim_mapping *mapping,
			    const struct sim_span *part, struct sim_span *piece, int *protection)
{
	struct sim_host_vma vma;

	*piece = *part;
	*protection = mapping->protection;
	if (gmem_sim_host_next_vma(&sim->maps, part->start, &vma) != 1 || vma.start > part->start)
		return;
	*protection = vma.protection;
	if (vma.end < part->end)
		piece->end = vma.end;
}

/* Another file in the place of a part, with the protection that is there. */
static int replace_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			const struct sim_span *part, int fd)
{
	struct sim_span rest = *part;

	while (rest.start < rest.end) {
		/* Offsets as in the file, so that neighbours join. */
		uint64_t offset = mapping->offset + (rest.start - mapping->start);
		struct sim_span piece;
		int protection;

		find_protection(sim, mapping, &rest, &piece, &protection);
		if (gmem_sim_host_mmap(piece.start, piece.end - piece.start, protection,
				       MAP_SHARED | MAP_FIXED, fd, offset) < 0)
			return -ENOMEM;
		rest.start = piece.end;
	}
	return 0;
}

static int cover_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
		      const struct sim_span *part)
{
	return replace_part(sim, mapping, part, sim->empty_fd);
}

static int uncover_part(struct gmem_sim *sim, const struct sim_mapping *mapping,
			const struct sim_span *part)
{
	uint64_t length = part->end - part->start;
	int err = replace_part(sim, mapping, part, mapping->file->object.own_fd);

	if (err < 0)
		return err;
	if (mapping->dont_fork)
		gmem_sim_host_madvise(part->start, length, MADV_DONTFORK);
	if (mapping->dont_dump)
		gmem_sim_host_madvise(part->start, length, MADV_DONTDUMP);
	return 0;
}

/* Memory for the pages of [start, end) that have none in fd; nobody has touched them. */
static int fill_holes(struct sim_file *file, int fd, uint64_t start, uint64_t end)
{
	int err = 0;

	while (err == 0 && start < end) {
		struct sim_span data = { end, end };

		gmem_sim_host_next_data(fd, start, end, &data);
		if (data.start > start)
			err = gmem_sim_spans_add(&file->zeroed, start, data.start);
		if (err == 0 && data.start > start)
			err = gmem_sim_host_allocate(file->object.own_fd, start, data.start);
		start = data.end;
	}
	return err;
}

/* Memory for the shared pages of [start, end). */
static int fill(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span gap;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next_gap(&file->private_pages, start, end, &gap)) {
		err = fill_holes(file, file->object.own_fd, gap.start, gap.end);
		start = gap.end;
	}
	return err;
}

/* Memory for private pages of [start, end) that have no bytes which would bring it. */
static int fill_empty(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->private_pages, start, end, &piece)) {
		err = fill_holes(file, file->store_fd, piece.start, piece.end);
		start = piece.end;
	}
	return err;
}

/*
 * Makes [start, end), where no window is, one; none of its pages turns private. They are in page
 * tables before a touch could miss them there. That fails where the mapping cannot be read, and
 * nobody touches it.
 */
static int open_window_of_shared(struct sim_file *file, uint64_t start, uint64_t end)
{
	int err, populated;

	if (start >= end)
		return 0;
	err = fill(file, start, end);
	if (err < 0)
		return err;
	populated = for_each_shared(file, start, end, populate_part);
	err = for_each_part(file, start, end, register_part);
	if (err == 0 && populated < 0)
		err = for_each_shared(file, start, end, give_part);
	return err;
}

/* Makes one window of all chunks of [start, end), the pages that turn private. */
static int open_windows(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span chunks = to_chunks(file, start, end);
	uint64_t at = chunks.start;
	struct sim_span gap;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next_gap(&file->guarded, at, chunks.end, &gap)) {
		uint64_t first = gap.start > start ? gap.start : start;
		uint64_t last = gap.end < end ? gap.end : end;

		if (first > last)
			first = last = gap.end;
		err = gmem_sim_spans_reserve(&file->guarded);
		if (err == 0)
			err = open_window_of_shared(file, gap.start, first);
		if (err == 0)
			err = open_window_of_shared(file, last, gap.end);
		if (err == 0 && first < last)
			err = for_each_part(file, first, last, register_part);
		if (err == 0)
			err = gmem_sim_spans_add(&file->guarded, gap.start, gap.end);
		else
			for_each_part(file, gap.start, gap.end, unregister_part);
		at = gap.end;
	}
	return err;
}

/* Mappings to the kernel that the windows in one of ours make. */
static uint64_t pieces_of(const struct sim_mapping *mapping)
{
	const struct sim_file *file = mapping->file;
	uint64_t last = mapping->offset + (mapping->end - mapping->start);
	uint64_t count = gmem_sim_spans_count(&file->guarded, mapping->offset, last);
	struct sim_span gap;

	if (last > file->size)
		last = file->size;
	if (count == 1 && !gmem_sim_spans_next_gap(&file->guarded, mapping->offset, last, &gap))
		return 0;
	return 2 * count;
}

/* Whether one more window of the file is too much for it; coming is a mapping of it, or NULL. */
static bool is_crowded(const struct sim_file *file, const struct sim_mapping *coming)
{
	const struct gmem_sim *sim = file->vm->sim;
	uint64_t all = coming ? pieces_of(coming) : 0;
	uint64_t own = all;
	size_t i;

	for (i = 0; i < sim->mapping_count; i++) {
		const struct sim_mapping *mapping = &sim->mappings[i];
		uint64_t pieces = pieces_of(mapping);

		if (mapping->file == file && !coming)
			pieces += 2;
		if (mapping->file == file)
			own += pieces;
		all += pieces;
	}
	return all > sim->config.mappings && own > sim->config.mappings / SHARE;
}

/* Joins windows until there is room for another. */
static int make_room(struct sim_file *file, const struct sim_mapping *coming)
{
	int err = 0;

	while (err == 0 && file->chunk < file->size && is_crowded(file, coming)) {
		struct sim_span piece;
		uint64_t at = 0;

		if (file->chunk > LARGEST_FILL / 2 / (file->guarded.count + 1))
			break;
		file->chunk *= 2;
		while (err == 0 && gmem_sim_spans_next(&file->guarded, at, file->size, &piece)) {
			err = open_windows(file, piece.start, piece.end);
			at = to_chunks(file, piece.start, piece.end).end;
		}
	}
	return err;
}

static void close_windows(struct sim_file *file, uint64_t start, uint64_t end)
{
	if (start < end && gmem_sim_spans_remove(&file->guarded, start, end) == 0)
		for_each_part(file, start, end, unregister_part);
	if (file->guarded.count == 0)
		file->chunk = file->vm->sim->config.page_size;
}

/* Pages of [start, end) that did not turn private after all: as far as it can. */
static void take_back(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span chunks = to_chunks(file, start, end);
	uint64_t at = chunks.start;

	while (at < chunks.end) {
		struct sim_span piece, mixed = { chunks.end, chunks.end };

		if (gmem_sim_spans_next(&file->private_pages, at, chunks.end, &piece))
			mixed = to_chunks(file, piece.start, piece.end);
		close_windows(file, at, mixed.start);
		if (fill(file, mixed.start, mixed.end) == 0)
			for_each_shared(file, mixed.start, mixed.end, give_part);
		at = mixed.end;
	}
}

/* Bytes in windows that are not private; all that is private is in one. */
static uint64_t bytes_shared_in_windows(const struct sim_file *file)
{
	return gmem_sim_spans_total(&file->guarded) - gmem_sim_spans_total(&file->private_pages);
}

/* Whether closing windows for [start, end) would leave one too many: then they are kept. */
static bool has_to_keep(const struct sim_file *file, const struct sim_span *closed)
{
	uint64_t bytes = closed->end - closed->start;

	return closed->start > 0 && gmem_sim_spans_has(&file->guarded, closed->start - 1) &&
	       gmem_sim_spans_has(&file->guarded, closed->end) && is_crowded(file, NULL) &&
	       bytes <= LARGEST_FILL && bytes_shared_in_windows(file) <= LARGEST_FILL - bytes;
}

/*
 * Windows to be closed once [start, end) is shared, as one range that may be empty: all if nothing
 * else is private, unless that would leave one window too many. Joined ones, which are dear to
 * open, are kept as long as pages outside the range are in them.
 */
static struct sim_span to_close(const struct sim_file *file, uint64_t start, uint64_t end)
{
	bool is_joined = file->chunk > file->vm->sim->config.page_size;
	struct sim_span closed = to_chunks(file, start, end);
	struct sim_span piece;

	if (!is_joined && !gmem_sim_spans_next(&file->private_pages, 0, start, &piece) &&
	    !gmem_sim_spans_next(&file->private_pages, end, file->size, &piece))
		return (struct sim_span){ 0, file->size };
	if (closed.start < start)
		closed.start += file->chunk;
	if (closed.end > end)
		closed.end = end & ~(file->chunk - 1);
	if (closed.start > closed.end || has_to_keep(file, &closed))
		closed.start = closed.end;
	return closed;
}

int gmem_sim_guard_begin(struct sim_file *file, uint64_t start, uint64_t end)
{
	int err;

	if (!can_be_mapped(file))
		return 0;
	err = gmem_sim_mappings_check(file, start, end);
	if (err < 0)
		return err;
	if (file->vm->sim->uffd < 0) {
		err = for_each_part(file, start, end, cover_part);
	} else {
		err = make_room(file, NULL);
		if (err == 0)
			err = open_windows(file, start, end);
		if (err == 0)
			err = for_each_part(file, start, end, drop_part);
	}
	if (err < 0)
		gmem_sim_guard_cancel(file, start, end);
	return err;
}

void gmem_sim_guard_cancel(struct sim_file *file, uint64_t start, uint64_t end)
{
	if (!can_be_mapped(file))
		return;
	/* Only what is still shared: the rest was private before. */
	if (file->vm->sim->uffd < 0)
		for_each_shared(file, start, end, uncover_part);
	else
		take_back(file, start, end);
}

int gmem_sim_guard_prepare_lift(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span closed;
	int err;

	if (!can_be_mapped(file))
		return 0;
	err = gmem_sim_mappings_check(file, start, end);
	if (err < 0 || file->vm->sim->uffd < 0)
		return err;
	err = gmem_sim_spans_reserve(&file->guarded);
	closed = to_close(file, start, end);
	if (closed.start == closed.end)
		return err < 0 ? err : fill_empty(file, start, end);
	if (err == 0 && start < closed.start)
		err = fill_empty(file, start, closed.start);
	if (err == 0 && closed.end < end)
		err = fill_empty(file, closed.end, end);
	return err;
}

/* After closing them has failed in some mapping; what was shown of private pages is hidden again. */
static void reopen(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece;

	for (; gmem_sim_spans_next(&file->guarded, start, end, &piece); start = piece.end)
		for_each_part(file, piece.start, piece.end, register_part);
}

static int give(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->guarded, start, end, &piece)) {
		err = for_each_part(file, piece.start, piece.end, give_part);
		start = piece.end;
	}
	return err;
}

int gmem_sim_guard_lift(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span closed;
	int err;

	if (!can_be_mapped(file))
		return 0;
	if (file->vm->sim->uffd < 0) {
		err = for_each_private(file, start, end, uncover_part);
		if (err < 0)
			for_each_private(file, start, end, cover_part);
		return err;
	}
	closed = to_close(file, start, end);
	if (closed.start == closed.end)
		return give(file, start, end);
	err = give(file, start, closed.start);
	if (err == 0)
		err = give(file, closed.end, end);
	if (err == 0)
		err = for_each_part(file, closed.start, closed.end, unregister_part);
	if (err == 0)
		close_windows(file, closed.start, closed.end);
	else
		reopen(file, closed.start, closed.end);
	return err;
}

int gmem_sim_guard_new_file(struct sim_file *file)
{
	file->chunk = file->vm->sim->config.page_size;
	if (!can_be_mapped(file) || file->private_pages.count == 0 || file->vm->sim->uffd < 0)
		return 0;
	return gmem_sim_spans_add(&file->guarded, 0, file->size);
}

/* Of a mapping that nobody can touch yet. */
static int open_windows_in(struct gmem_sim *sim, const struct sim_mapping *mapping)
{
	const struct sim_file *file = mapping->file;
	uint64_t last = mapping->offset + (mapping->end - mapping->start);
	uint64_t at = mapping->offset;
	struct sim_span piece, gap, part;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->guarded, at, last, &piece)) {
		if (part_of(mapping, piece.start, piece.end, &part))
			err = register_part(sim, mapping, &part);
		at = piece.start;
		while (err == 0 &&
		       gmem_sim_spans_next_gap(&file->private_pages, at, piece.end, &gap)) {
			if (part_of(mapping, gap.start, gap.end, &part))
				err = give_part(sim, mapping, &part);
			at = gap.end;
		}
		at = piece.end;
	}
	return err;
}

static int cover_private_in(struct gmem_sim *sim, const struct sim_mapping *mapping)
{
	uint64_t last = mapping->offset + (mapping->end - mapping->start);
	uint64_t at = mapping->offset;
	struct sim_span piece, part;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&mapping->file->private_pages, at, last, &piece)) {
		if (part_of(mapping, piece.start, piece.end, &part))
			err = cover_part(sim, mapping, &part);
		at = piece.end;
	}
	return err;
}

int gmem_sim_guard_mapping(struct sim_mapping *mapping)
{
	struct gmem_sim *sim = mapping->file->vm->sim;
	int err;

	if (sim->uffd < 0) {
		gmem_sim_host_refresh_maps(&sim->maps);
		return cover_private_in(sim, mapping);
	}
	err = make_room(mapping->file, mapping);
	return err < 0 ? err : open_windows_in(sim, mapping);
}
