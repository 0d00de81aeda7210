// SPDX-License-Identifier: LGPL-2.1-or-later
/* guest_memfd files: their memory, and where its bytes are. */
#include "host.h"
#include "sim.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#define NO_FILE_SIZE (UINT64_C(1) << 63)

static int check_creation(const struct sim_vm *vm,
			  const struct gmem_kvm_create_guest_memfd *arguments)
{
	if (arguments->flags & ~gmem_sim_creation_flags(vm->sim, vm))
		return -EINVAL;
	/* F1 */
	if (arguments->size == 0 || arguments->size >= NO_FILE_SIZE ||
	    !sim_is_aligned(vm->sim, arguments->size))
		return -EINVAL;
	return 0;
}

/* Everything of the file but the caller's descriptor. */
static struct sim_file *new_file(struct sim_vm *vm, uint64_t size, uint64_t flags, int *err)
{
	struct sim_file *file = calloc(1, sizeof(*file));

	*err = -ENOMEM;
	if (!file)
		return NULL;
	file->vm = vm;
	file->size = size;
	file->flags = flags;
	file->object.own_fd = -1;
	file->store_fd = gmem_sim_host_memfd("gmem-sim-store", size);
	if (file->store_fd < 0) {
		*err = file->store_fd == -ENOMEM ? -ENOMEM : -EMFILE;
	} else {
		*err = 0;
		/* F3, F6, F7: what is not shared from the start the host cannot touch. */
		if (!(flags & GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED))
			*err = gmem_sim_spans_add(&file->private_pages, 0, size);
		if (*err == 0)
			*err = gmem_sim_guard_new_file(file);
	}
	if (*err == 0)
		return file;
	gmem_sim_file_free(file);
	return NULL;
}

int gmem_sim_file_create(struct sim_vm *vm, uint64_t argument)
{
	struct gmem_kvm_create_guest_memfd arguments;
	struct sim_file *file;
	int err, fd;

	if (!vm->sim->config.guest_memfd)
		return -ENOTTY;
	if (gmem_sim_copy_in(vm->sim, &arguments, argument, sizeof(arguments)) < 0)
		return -EFAULT;
	err = check_creation(vm, &arguments);
	if (err < 0)
		return err;
	gmem_sim_sweep(vm->sim);
	file = new_file(vm, arguments.size, arguments.flags, &err);
	if (!file)
		return err;
	/* F2: not close-on-exec */
	fd = gmem_sim_object_create(vm->sim, &file->object, SIM_FILE, "guest_memfd", file->size, 0);
	if (fd < 0) {
		gmem_sim_file_free(file);
		return fd;
	}
	file->next = vm->sim->files;
	vm->sim->files = file;
	return fd;
}

/* Not of the list of files any more, or not yet. */
void gmem_sim_file_free(struct sim_file *file)
{
	struct gmem_sim *sim = file->vm->sim;

	gmem_sim_slots_forget_file(file->vm, file);
	gmem_sim_mappings_forget_file(sim, file);
	gmem_sim_object_close(sim, &file->object);
	if (file->store_fd >= 0)
		gmem_sim_host_close(file->store_fd);
	gmem_sim_spans_free(&file->private_pages);
	gmem_sim_spans_free(&file->assigned);
	gmem_sim_spans_free(&file->poisoned);
	gmem_sim_spans_free(&file->zeroed);
	gmem_sim_spans_free(&file->guarded);
	free(file->pins);
	free(file);
}

bool gmem_sim_file_is_open(const struct sim_file *file)
{
	struct gmem_sim *sim = file->vm->sim;

	if (gmem_sim_object_is_open(&file->object))
		return true;
	/* Pages that were covered and uncovered are mapped from our own open file. */
	return gmem_sim_mappings_have_file(sim, file) &&
	       (sim->uffd < 0 || gmem_sim_host_is_shared(file->object.own_fd) < 0);
}

static int file_of(const struct sim_file *file, uint64_t offset)
{
	return gmem_sim_spans_has(&file->private_pages, offset) ? file->store_fd
								: file->object.own_fd;
}

int gmem_sim_file_read(const struct sim_file *file, uint64_t offset, void *bytes, size_t size)
{
	return gmem_sim_host_pread(file_of(file, offset), sim_address(bytes), size, offset);
}

int gmem_sim_file_write(struct sim_file *file, uint64_t offset, const void *bytes, size_t size)
{
	uint64_t page = sim_page_floor(file->vm->sim, offset);

	gmem_sim_spans_remove(&file->zeroed, page, page + file->vm->sim->config.page_size);
	return gmem_sim_host_pwrite(file_of(file, offset), sim_address(bytes), size, offset);
}

int gmem_sim_file_touch(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece;
	uint64_t at = start;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->private_pages, at, end, &piece)) {
		err = gmem_sim_host_touch(file->store_fd, piece.start, piece.end);
		at = piece.end;
	}
	at = start;
	while (err == 0 && gmem_sim_spans_next_gap(&file->private_pages, at, end, &piece)) {
		err = gmem_sim_host_touch(file->object.own_fd, piece.start, piece.end);
		at = piece.end;
	}
	if (err == 0)
		gmem_sim_spans_remove(&file->zeroed, start, end);
	return err;
}

static bool is_zero(int fd, uint64_t start, uint64_t end)
{
	uint8_t bytes[512];
	size_t i;

	for (; start < end; start += sizeof(bytes)) {
		if (gmem_sim_host_pread(fd, sim_address(bytes), sizeof(bytes), start) < 0)
			return false;
		for (i = 0; i < sizeof(bytes); i++)
			if (bytes[i])
				return false;
	}
	return true;
}

bool gmem_sim_file_is_allocated(const struct sim_file *file, uint64_t offset)
{
	uint64_t start = sim_page_floor(file->vm->sim, offset);
	uint64_t end = start + file->vm->sim->config.page_size;
	int fd = file_of(file, start);
	struct sim_span piece;

	if (!gmem_sim_host_next_data(fd, start, end, &piece))
		return false;
	return !gmem_sim_spans_has(&file->zeroed, start) || !is_zero(fd, start, end);
}

bool gmem_sim_file_destroys_contents(const struct sim_file *file)
{
	switch (file->vm->sim->config.contents) {
	case GMEM_SIM_CONTENTS_KEPT:
		return false;
	case GMEM_SIM_CONTENTS_DESTROYED:
		return true;
	default:
		return file->vm->is_launched;
	}
}

/* In a window a page keeps its memory, or the next touch would be taken for that of a private one. */
static int write_zeros(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct gmem_sim *sim = file->vm->sim;
	struct sim_span piece;
	int err = gmem_sim_spans_add(&file->zeroed, start, end);

	memset(sim->scratch, 0, sizeof(sim->scratch));
	while (err == 0 && gmem_sim_host_next_data(file->object.own_fd, start, end, &piece)) {
		uint64_t length = piece.end - piece.start;

		if (length > sizeof(sim->scratch))
			length = sizeof(sim->scratch);
		err = gmem_sim_host_pwrite(file->object.own_fd, sim_address(sim->scratch),
					   (size_t)length, piece.start);
		start = piece.start + length;
	}
	return err;
}

static int punch_shared(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece;
	uint64_t at = start;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next_gap(&file->guarded, at, end, &piece)) {
		err = gmem_sim_host_punch(file->object.own_fd, piece.start, piece.end);
		gmem_sim_spans_remove(&file->zeroed, piece.start, piece.end);
		at = piece.end;
	}
	at = start;
	while (err == 0 && gmem_sim_spans_next(&file->guarded, at, end, &piece)) {
		err = write_zeros(file, piece.start, piece.end);
		at = piece.end;
	}
	return err;
}

int gmem_sim_file_punch(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span gap;
	uint64_t at = start;
	int err = gmem_sim_host_punch(file->store_fd, start, end);

	while (err == 0 && gmem_sim_spans_next_gap(&file->private_pages, at, end, &gap)) {
		err = punch_shared(file, gap.start, gap.end);
		at = gap.end;
	}
	gmem_sim_pins_drop(file, start, end);
	gmem_sim_spans_remove(&file->assigned, start, end);
	gmem_sim_spans_remove(&file->poisoned, start, end);
	return err;
}

/* Whether a file system is asked at all. */
static bool is_mode_known(int mode)
{
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_UNSHARE_RANGE:
		return true;
	case FALLOC_FL_PUNCH_HOLE:
		return mode & FALLOC_FL_KEEP_SIZE;
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
		return !(mode & FALLOC_FL_KEEP_SIZE);
	default:
		return false;
	}
}

/* F8: 0 and where the range ends, or what the kernel says. */
static int check_range(const struct sim_file *file, int mode, uint64_t offset, uint64_t length,
		       uint64_t *end)
{
	const struct gmem_sim *sim = file->vm->sim;

	if (offset > INT64_MAX || length == 0 || length > INT64_MAX)
		return -EINVAL;
	if (!is_mode_known(mode))
		return -EOPNOTSUPP;
	if (__builtin_add_overflow(offset, length, end) || *end > INT64_MAX)
		return -EFBIG;
	if (mode != FALLOC_FL_KEEP_SIZE && mode != (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	if (!sim_is_aligned(sim, offset) || !sim_is_aligned(sim, length))
		return -EINVAL;
	if (mode == FALLOC_FL_KEEP_SIZE && *end > file->size)
		return -EINVAL;
	if (*end > file->size)
		*end = file->size;
	return 0;
}

int gmem_sim_file_fallocate(struct sim_file *file, int mode, uint64_t offset, uint64_t length)
{
	uint64_t end;
	int err = check_range(file, mode, offset, length, &end);

	if (err < 0 || offset >= end)
		return err;
	return mode == FALLOC_FL_KEEP_SIZE ? gmem_sim_file_touch(file, offset, end)
					   : gmem_sim_file_punch(file, offset, end);
}

/* What is private by now is not known there: a page without memory is the same in either file. */
int gmem_sim_file_fallocate_in_child(const struct sim_file *file, int mode, uint64_t offset,
				     uint64_t length)
{
	uint64_t end;
	int err = check_range(file, mode, offset, length, &end);

	if (err < 0 || offset >= end || mode == FALLOC_FL_KEEP_SIZE)
		return err;
	err = gmem_sim_host_punch(file->store_fd, offset, end);
	return err < 0 ? err : gmem_sim_host_punch(file->object.own_fd, offset, end);
}
