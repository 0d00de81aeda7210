// SPDX-License-Identifier: LGPL-2.1-or-later
/* References on pages, as get_user_pages() takes them: facts P2 and P3. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_RANGE (UINT64_C(1) << 30)

/* The first pin at or after offset. */
static size_t find(const struct sim_file *file, uint64_t offset)
{
	size_t low = 0;
	size_t high = file->pin_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (file->pins[middle].offset >= offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void remove_pins(struct sim_file *file, size_t first, size_t last)
{
	if (first == last)
		return;
	memmove(file->pins + first, file->pins + last,
		(file->pin_count - last) * sizeof(*file->pins));
	file->pin_count -= last - first;
}

uint32_t gmem_sim_pins_count(const struct sim_file *file, uint64_t start, uint64_t end)
{
	return (uint32_t)(find(file, end) - find(file, start));
}

void gmem_sim_pins_drop(struct sim_file *file, uint64_t start, uint64_t end)
{
	remove_pins(file, find(file, start), find(file, end));
}

bool gmem_sim_pins_refuse(struct sim_file *file, uint64_t start, uint64_t end, uint64_t *offset)
{
	size_t i = find(file, start);

	if (i == file->pin_count || file->pins[i].offset >= end)
		return false;
	*offset = file->pins[i].offset;
	while (i < file->pin_count && file->pins[i].offset == *offset)
		if (file->pins[i].tries > 0 && --file->pins[i].tries == 0)
			remove_pins(file, i, i + 1);
		else
			i++;
	return true;
}

/* By page, and of a page's the permanent first. */
static int compare(const void *left, const void *right)
{
	const struct sim_pin *a = left;
	const struct sim_pin *b = right;

	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	if (a->tries != b->tries)
		return a->tries < b->tries ? -1 : 1;
	return 0;
}

static int check_range(const struct sim_file *file, uint64_t offset, uint64_t size)
{
	uint64_t end;

	if (size == 0 || size > LARGEST_RANGE || __builtin_add_overflow(offset, size, &end) ||
	    end > file->size || !sim_is_aligned(file->vm->sim, offset | size))
		return -EINVAL;
	return 0;
}

static int add_pins(struct sim_file *file, uint64_t start, uint64_t end, uint32_t tries)
{
	uint64_t page_size = file->vm->sim->config.page_size;
	size_t count = file->pin_count + (size_t)((end - start) / page_size);
	struct sim_pin *pins = reallocarray(file->pins, count, sizeof(*pins));
	uint64_t offset;
	int err;

	if (!pins)
		return -ENOMEM;
	file->pins = pins;
	err = gmem_sim_file_touch(file, start, end);
	if (err < 0)
		return err;
	for (offset = start; offset < end; offset += page_size)
		pins[file->pin_count++] = (struct sim_pin){ offset, tries };
	qsort(pins, file->pin_count, sizeof(*pins), compare);
	return 0;
}

/* Finds the file of a public function's arguments; the lock is taken on success. */
static int begin(struct gmem_sim *sim, int fd, struct sim_file **file)
{
	if (!sim)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	*file = gmem_sim_find_file(sim, fd);
	if (*file)
		return 0;
	pthread_mutex_unlock(&sim->mutex);
	return -EBADF;
}

int gmem_sim_pin(struct gmem_sim *sim, int fd, uint64_t offset, uint64_t size, uint32_t tries)
{
	struct sim_span piece;
	struct sim_file *file;
	int err = begin(sim, fd, &file);

	if (err < 0)
		return err;
	err = check_range(file, offset, size);
	if (err == 0 && gmem_sim_spans_next(&file->private_pages, offset, offset + size, &piece))
		err = -EACCES;
	if (err == 0)
		err = add_pins(file, offset, offset + size, tries);
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

static int remove_one_each(struct sim_file *file, uint64_t start, uint64_t end)
{
	uint64_t page_size = file->vm->sim->config.page_size;
	size_t first = find(file, start);
	size_t last = find(file, end);
	size_t kept = first;
	uint64_t offset = start;
	size_t i;

	for (i = first; i < last; i++)
		if (file->pins[i].offset == offset)
			offset += page_size;
	if (offset != end)
		return -ENOENT;
	/* Those of a page may be out of order by the tries that went. */
	qsort(file->pins + first, last - first, sizeof(*file->pins), compare);
	for (offset = start, i = first; i < last; i++)
		if (file->pins[i].offset == offset)
			offset += page_size;
		else
			file->pins[kept++] = file->pins[i];
	remove_pins(file, kept, last);
	return 0;
}

int gmem_sim_unpin(struct gmem_sim *sim, int fd, uint64_t offset, uint64_t size)
{
	struct sim_file *file;
	int err = begin(sim, fd, &file);

	if (err < 0)
		return err;
	err = check_range(file, offset, size);
	if (err == 0)
		err = remove_one_each(file, offset, offset + size);
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

int gmem_sim_poison(struct gmem_sim *sim, int fd, uint64_t offset)
{
	struct sim_file *file;
	int err = begin(sim, fd, &file);
	uint64_t start;

	if (err < 0)
		return err;
	start = sim_page_floor(sim, offset);
	if (offset >= file->size)
		err = -EINVAL;
	else
		err = gmem_sim_spans_add(&file->poisoned, start, start + sim->config.page_size);
	pthread_mutex_unlock(&sim->mutex);
	return err;
}
