// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table of mappings of guest_memfd files, mmap() (F4) and munmap(), with any page size. */
#include "sim.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SIM_MADV_POPULATE_READ 22
#define SIM_MADV_POPULATE_WRITE 23
#define SIM_MAP_FIXED_NOREPLACE 0x100000
/* To be seen to after the mapping is guarded. */
#define TOUCHING_FLAGS (MAP_POPULATE | MAP_LOCKED | MAP_NONBLOCK)

/* The first mapping that ends after address. */
static size_t find(const struct gmem_sim *sim, uint64_t address)
{
	size_t low = 0;
	size_t high = sim->mapping_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sim->mappings[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct sim_mapping *gmem_sim_mappings_first(struct gmem_sim *sim, uint64_t start, uint64_t end)
{
	size_t i = find(sim, start);

	if (start >= end || i == sim->mapping_count || sim->mappings[i].start >= end)
		return NULL;
	return &sim->mappings[i];
}

static int reserve(struct gmem_sim *sim, size_t count)
{
	int err = 0;

	while (err == 0 && sim->mapping_room - sim->mapping_count < count)
		err = gmem_sim_grow((void **)&sim->mappings, sim->mapping_room, &sim->mapping_room,
				    sizeof(*sim->mappings));
	return err;
}

/* There is room. */
static void insert(struct gmem_sim *sim, size_t at, const struct sim_mapping *mapping)
{
	memmove(sim->mappings + at + 1, sim->mappings + at,
		(sim->mapping_count - at) * sizeof(*mapping));
	sim->mappings[at] = *mapping;
	sim->mapping_count++;
}

static void cut_at(struct gmem_sim *sim, uint64_t address)
{
	size_t i = find(sim, address);
	struct sim_mapping rest;

	if (i == sim->mapping_count || sim->mappings[i].start >= address)
		return;
	rest = sim->mappings[i];
	rest.offset += address - rest.start;
	rest.start = address;
	sim->mappings[i].end = address;
	insert(sim, i + 1, &rest);
}

int gmem_sim_mappings_cut(struct gmem_sim *sim, uint64_t start, uint64_t end)
{
	int err = reserve(sim, 2);

	if (err < 0)
		return err;
	cut_at(sim, start);
	cut_at(sim, end);
	return 0;
}

/* After gmem_sim_mappings_cut(), or a reserve(). */
static void forget(struct gmem_sim *sim, uint64_t start, uint64_t end)
{
	size_t first, last;

	cut_at(sim, start);
	cut_at(sim, end);
	first = find(sim, start);
	for (last = first; last < sim->mapping_count && sim->mappings[last].start < end; last++)
		;
	memmove(sim->mappings + first, sim->mappings + last,
		(sim->mapping_count - last) * sizeof(*sim->mappings));
	sim->mapping_count -= last - first;
}

void gmem_sim_mappings_forget_file(struct gmem_sim *sim, const struct sim_file *file)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < sim->mapping_count; i++)
		if (sim->mappings[i].file != file)
			sim->mappings[kept++] = sim->mappings[i];
	sim->mapping_count = kept;
}

bool gmem_sim_mappings_have_file(const struct gmem_sim *sim, const struct sim_file *file)
{
	size_t i;

	for (i = 0; i < sim->mapping_count; i++)
		if (sim->mappings[i].file == file)
			return true;
	return false;
}

static bool is_still(const struct gmem_sim *sim, const struct sim_file *file,
		     const struct sim_host_vma *vma)
{
	dev_t device;
	ino_t inode;

	if (vma->inode == file->object.inode && vma->device == file->object.device)
		return true;
	return sim->empty_fd >= 0 && gmem_sim_host_identify(sim->empty_fd, &device, &inode) == 0 &&
	       vma->inode == inode && vma->device == device;
}

/* The first piece of [start, end) that is not the file any more: 1, 0 for none, -ENOMEM. */
static int find_replaced(struct gmem_sim *sim, const struct sim_file *file, uint64_t start,
			 uint64_t end, struct sim_span *piece)
{
	while (start < end) {
		struct sim_host_vma vma;
		int found = gmem_sim_host_next_vma(&sim->maps, start, &vma);

		if (found < 0)
			return -ENOMEM;
		if (found == 0 || vma.start > start) {
			*piece = (struct sim_span){ start,
						    found && vma.start < end ? vma.start : end };
			return 1;
		}
		if (!is_still(sim, file, &vma)) {
			*piece = (struct sim_span){ start, vma.end < end ? vma.end : end };
			return 1;
		}
		start = vma.end;
	}
	return 0;
}

/* 1: one was forgotten, and there may be more; 0, -ENOMEM */
static int forget_replaced(struct gmem_sim *sim, const struct sim_file *file, uint64_t start,
			   uint64_t end)
{
	size_t i;

	for (i = 0; i < sim->mapping_count; i++) {
		const struct sim_mapping *mapping = &sim->mappings[i];
		uint64_t last = mapping->offset + (mapping->end - mapping->start);
		uint64_t from = start > mapping->offset ? start : mapping->offset;
		uint64_t to = end < last ? end : last;
		struct sim_span piece;
		int found;

		if (mapping->file != file || from >= to)
			continue;
		found = find_replaced(sim, file, mapping->start + (from - mapping->offset),
				      mapping->start + (to - mapping->offset), &piece);
		if (found > 0 && reserve(sim, 2) < 0)
			return -ENOMEM;
		if (found > 0)
			forget(sim, piece.start, piece.end);
		if (found != 0)
			return found;
	}
	return 0;
}

int gmem_sim_mappings_check(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct gmem_sim *sim = file->vm->sim;
	int found;

	gmem_sim_host_refresh_maps(&sim->maps);
	do
		found = forget_replaced(sim, file, start, end);
	while (found > 0);
	return found;
}

static uint64_t rounded(const struct gmem_sim *sim, uint64_t length)
{
	return sim_page_floor(sim, length + sim->config.page_size - 1);
}

static bool is_fixed(uint64_t flags)
{
	return flags & (MAP_FIXED | SIM_MAP_FIXED_NOREPLACE);
}

/*
 * Anywhere that the larger page size allows, when the host's own choice is not such a place: where
 * there was room for it a moment ago, unless another thread has come first.
 */
static int64_t map_aligned(const struct gmem_sim *sim, uint64_t length, int protection, int flags,
			   int fd, uint64_t offset)
{
	uint64_t page_size = sim->config.page_size;
	int64_t result;

	/* The flags were judged already, and MAP_FIXED_NOREPLACE is none of those it validates. */
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
		flags = (flags & ~MAP_TYPE) | MAP_SHARED;
	do {
		int64_t place = gmem_sim_host_mmap(0, length + page_size, PROT_NONE,
						   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
						   0);
		uint64_t start;

		if (place < 0)
			return place;
		start = ((uint64_t)place + page_size - 1) & ~(page_size - 1);
		gmem_sim_host_munmap((uint64_t)place, length + page_size);
		result = gmem_sim_host_mmap(start, length, protection,
					    flags | SIM_MAP_FIXED_NOREPLACE, fd, offset);
	} while (result == -EEXIST);
	return result;
}

/* mmap() as a kernel with this page size does it. */
static int64_t map(const struct gmem_sim *sim, const uint64_t *arg, int protection, int flags)
{
	uint64_t page_size = sim->config.page_size;
	uint64_t length;
	int64_t result;

	if (page_size == sim->host_page_size)
		return gmem_sim_host_mmap(arg[0], arg[1], protection, flags, (int)arg[4], arg[5]);
	if (arg[1] == 0 || arg[5] & (page_size - 1) ||
	    (is_fixed(arg[3]) && arg[0] & (page_size - 1)))
		return -EINVAL;
	if (__builtin_add_overflow(arg[1], page_size - 1, &length))
		return -ENOMEM;
	length &= ~(page_size - 1);
	result = gmem_sim_host_mmap(arg[0], length, protection, flags, (int)arg[4], arg[5]);
	if (result < 0 || ((uint64_t)result & (page_size - 1)) == 0)
		return result;
	gmem_sim_host_munmap((uint64_t)result, length);
	return map_aligned(sim, length, protection, flags, (int)arg[4], arg[5]);
}

static bool replaces(uint64_t flags)
{
	return (flags & MAP_FIXED) && !(flags & SIM_MAP_FIXED_NOREPLACE);
}

/*
 * What the host refuses of any file: with our plain one, where nothing can touch it, and without
 * replacing what is mapped.
 */
static int check_arguments(const struct gmem_sim *sim, const struct sim_file *file,
			   const uint64_t *arg)
{
	int flags = (int)arg[3] & ~TOUCHING_FLAGS;
	uint64_t trial[GMEM_SYS_ARGUMENTS] = { arg[0], arg[1], PROT_NONE };
	int64_t address;

	if (replaces(arg[3]) && !sim_is_aligned(sim, arg[0]))
		return -EINVAL;
	if (replaces(arg[3])) {
		trial[0] = 0;
		flags &= ~MAP_FIXED;
	}
	/* Refused later than PROT_EXEC, which is not the trial's. */
	if (arg[2] & PROT_EXEC)
		flags &= ~MAP_GROWSDOWN;
	trial[3] = (uint64_t)flags;
	trial[4] = (uint64_t)file->store_fd;
	trial[5] = arg[5];
	address = map(sim, trial, PROT_NONE, flags);
	if (address < 0)
		return (int)address;
	gmem_sim_host_munmap((uint64_t)address, rounded(sim, arg[1]));
	return 0;
}

/* F4, in the kernel's order */
static int check_mapping(struct gmem_sim *sim, const struct sim_file *file, const uint64_t *arg)
{
	uint64_t type = arg[3] & MAP_TYPE;
	int err = check_arguments(sim, file, arg);

	if (err < 0)
		return err;
	/* No file could be mapped before Linux 6.18: there is nothing to ask. */
	if (!sim->config.has_flags)
		return -ENODEV;
	if (arg[2] & PROT_EXEC)
		return -EPERM;
	if (!(file->flags & GMEM_KVM_GUEST_MEMFD_FLAG_MMAP))
		err = -ENODEV;
	else if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
		err = -EINVAL;
	/* The file is asked when its place has been cleared. */
	if (err < 0 && replaces(arg[3]))
		gmem_sim_munmap(sim, arg);
	return err;
}

/* Passes over private pages in silence. */
static void populate(const struct sim_mapping *mapping, uint64_t flags)
{
	const struct sim_file *file = mapping->file;
	int advice = mapping->protection & PROT_WRITE ? SIM_MADV_POPULATE_WRITE
						      : SIM_MADV_POPULATE_READ;
	uint64_t last = mapping->offset + (mapping->end - mapping->start);
	uint64_t at = mapping->offset;
	struct sim_span gap;

	if (!(flags & (MAP_POPULATE | MAP_LOCKED)))
		return;
	if (last > file->size)
		last = file->size;
	for (; gmem_sim_spans_next_gap(&file->private_pages, at, last, &gap); at = gap.end) {
		uint64_t address = mapping->start + (gap.start - mapping->offset);

		gmem_sim_host_madvise(address, gap.end - gap.start, advice);
		if (flags & MAP_LOCKED)
			gmem_sim_host_mlock(address, gap.end - gap.start);
	}
}

int64_t gmem_sim_map_file(struct gmem_sim *sim, struct sim_file *file, const uint64_t *arg)
{
	int flags = (int)arg[3] & ~TOUCHING_FLAGS;
	bool is_guarded = file->private_pages.count > 0 || file->guarded.count > 0;
	int protection = (int)arg[2];
	struct sim_mapping mapping = { 0 };
	int64_t address;
	int err = check_mapping(sim, file, arg);

	if (err == 0)
		err = reserve(sim, 3);
	if (err < 0)
		return err;
	/* Nobody gets at it before it is guarded, also where threads touch what was there before. */
	address = map(sim, arg, is_guarded ? PROT_NONE : protection, flags);
	if (address < 0)
		return address;
	mapping.start = (uint64_t)address;
	mapping.end = mapping.start + rounded(sim, arg[1]);
	mapping.file = file;
	mapping.offset = arg[5];
	mapping.protection = protection;
	forget(sim, mapping.start, mapping.end);
	err = is_guarded ? gmem_sim_guard_mapping(&mapping) : 0;
	if (err == 0 && is_guarded)
		err = gmem_sim_host_mprotect(mapping.start, mapping.end - mapping.start,
					     protection);
	if (err < 0) {
		gmem_sim_host_munmap(mapping.start, mapping.end - mapping.start);
		return -ENOMEM;
	}
	insert(sim, find(sim, mapping.start), &mapping);
	populate(&mapping, arg[3]);
	return address;
}

/* Over a mapping of ours, with the lock held: nobody guards what is there in between. */
static int64_t replace_mapping(struct gmem_sim *sim, const uint64_t *arg)
{
	int err = reserve(sim, 2);
	int64_t address;

	if (err < 0)
		return err;
	address = map(sim, arg, (int)arg[2], (int)arg[3]);
	if (address >= 0)
		forget(sim, (uint64_t)address, (uint64_t)address + rounded(sim, arg[1]));
	return address;
}

/* What was there before has gone without our knowing. */
static int forget_stale(struct gmem_sim *sim, uint64_t start, uint64_t end)
{
	int err = 0;

	pthread_mutex_lock(&sim->mutex);
	if (gmem_sim_mappings_first(sim, start, end)) {
		err = reserve(sim, 2);
		if (err == 0)
			forget(sim, start, end);
	}
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

int64_t gmem_sim_mmap(struct gmem_sim *sim, const uint64_t *arg)
{
	uint64_t length = rounded(sim, arg[1]);
	bool replaces = false;
	int64_t address = 0;

	if (is_fixed(arg[3])) {
		pthread_mutex_lock(&sim->mutex);
		replaces = gmem_sim_mappings_first(sim, arg[0], arg[0] + length);
		if (replaces)
			address = replace_mapping(sim, arg);
		pthread_mutex_unlock(&sim->mutex);
	}
	if (replaces)
		return address;
	address = map(sim, arg, (int)arg[2], (int)arg[3]);
	if (address < 0)
		return address;
	if (forget_stale(sim, (uint64_t)address, (uint64_t)address + length) == 0)
		return address;
	gmem_sim_host_munmap((uint64_t)address, length);
	return -ENOMEM;
}

int64_t gmem_sim_munmap(struct gmem_sim *sim, const uint64_t *arg)
{
	uint64_t length = rounded(sim, arg[1]);
	bool is_ours;
	int err;

	if (!sim_is_aligned(sim, arg[0]) || length < arg[1])
		return -EINVAL;
	err = reserve(sim, 2);
	if (err == 0)
		err = gmem_sim_host_munmap(arg[0], length);
	if (err < 0)
		return err;
	is_ours = gmem_sim_mappings_first(sim, arg[0], arg[0] + length) != NULL;
	forget(sim, arg[0], arg[0] + length);
	if (is_ours)
		gmem_sim_sweep(sim);
	return 0;
}
