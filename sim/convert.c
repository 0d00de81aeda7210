// SPDX-License-Identifier: LGPL-2.1-or-later
/* Both attribute ioctls: facts V1, C2, and P1 to P7. */
#include "host.h"
#include "sim.h"

#include <errno.h>

/*
 * What the other side sees of a page whose bytes are destroyed: neither zeros nor what was there,
 * and not the same twice.
 */
static void scramble(uint8_t *bytes, size_t size, uint64_t seed)
{
	uint64_t word = seed * 0x9e3779b97f4a7c15u | 1;
	size_t i;

	for (i = 0; i < size; i++) {
		if (i % 8 == 0) {
			word ^= word << 13;
			word ^= word >> 7;
			word ^= word << 17;
		}
		bytes[i] ^= (uint8_t)(word >> (i % 8 * 8));
	}
}

static bool is_destroyed(const struct sim_file *file, uint64_t offset)
{
	return gmem_sim_file_destroys_contents(file) || gmem_sim_spans_has(&file->assigned, offset);
}

/* The pages of [start, end) that have bytes, from one file to the other. */
static int move_bytes(struct sim_file *file, int from, int to, uint64_t start, uint64_t end)
{
	struct gmem_sim *sim = file->vm->sim;
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_host_next_data(from, start, end, &piece)) {
		uint64_t length = piece.end - piece.start;
		uint64_t at;

		if (length > sizeof(sim->scratch))
			length = sizeof(sim->scratch);
		err = gmem_sim_host_pread(from, sim_address(sim->scratch), (size_t)length,
					  piece.start);
		for (at = 0; at < length; at += SIM_SNP_PAGE_SIZE)
			if (is_destroyed(file, piece.start + at))
				scramble(sim->scratch + at, SIM_SNP_PAGE_SIZE, ++sim->destroyed);
		if (err == 0)
			err = gmem_sim_host_pwrite(to, sim_address(sim->scratch), (size_t)length,
						   piece.start);
		start = piece.start + length;
	}
	return err;
}

/* Memory that only we have given is none, and would be some in the store. */
static int bytes_to_private(struct sim_file *file, uint64_t start, uint64_t end)
{
	uint64_t page_size = file->vm->sim->config.page_size;
	int err = 0;

	while (err == 0 && start < end) {
		struct sim_span zeroed = { end, end };
		uint64_t at;

		gmem_sim_spans_next(&file->zeroed, start, end, &zeroed);
		err = move_bytes(file, file->object.own_fd, file->store_fd, start, zeroed.start);
		for (at = zeroed.start; err == 0 && at < zeroed.end; at += page_size)
			if (gmem_sim_file_is_allocated(file, at))
				err = move_bytes(file, file->object.own_fd, file->store_fd, at,
						 at + page_size);
		start = zeroed.end;
	}
	return err;
}

static int to_private(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span gap;
	uint64_t at = start;
	int err = gmem_sim_spans_reserve(&file->private_pages);

	if (err == 0)
		err = gmem_sim_guard_begin(file, start, end);
	if (err < 0)
		return err;
	while (err == 0 && gmem_sim_spans_next_gap(&file->private_pages, at, end, &gap)) {
		err = bytes_to_private(file, gap.start, gap.end);
		at = gap.end;
	}
	if (err < 0) {
		for (at = start; gmem_sim_spans_next_gap(&file->private_pages, at, end, &gap);
		     at = gap.end)
			gmem_sim_host_punch(file->store_fd, gap.start, gap.end);
		gmem_sim_guard_cancel(file, start, end);
		return err;
	}
	gmem_sim_host_punch(file->object.own_fd, start, end);
	gmem_sim_spans_remove(&file->zeroed, start, end);
	return gmem_sim_spans_add(&file->private_pages, start, end);
}

static int bytes_to_shared(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece;
	int err = 0;

	while (err == 0 && gmem_sim_spans_next(&file->private_pages, start, end, &piece)) {
		err = move_bytes(file, file->store_fd, file->object.own_fd, piece.start, piece.end);
		start = piece.end;
	}
	return err;
}

/* Private pages' memory in the file that is mapped, which is another process's work or our own. */
static void take_back_from_shared(struct sim_file *file, uint64_t start, uint64_t end)
{
	struct sim_span piece;

	for (; gmem_sim_spans_next(&file->private_pages, start, end, &piece); start = piece.end)
		gmem_sim_host_punch(file->object.own_fd, piece.start, piece.end);
}

/*
 * Nobody sees the bytes before all are there and the guard is lifted; the state changes last, so
 * that until then exactly the pages that were private are taken back, whatever others the range has.
 */
static int to_shared(struct sim_file *file, uint64_t start, uint64_t end)
{
	int err = gmem_sim_spans_reserve(&file->private_pages);

	take_back_from_shared(file, start, end);
	if (err == 0)
		err = gmem_sim_guard_prepare_lift(file, start, end);
	if (err == 0)
		err = bytes_to_shared(file, start, end);
	if (err == 0)
		err = gmem_sim_guard_lift(file, start, end);
	if (err < 0) {
		take_back_from_shared(file, start, end);
		return err;
	}
	gmem_sim_spans_remove(&file->private_pages, start, end);
	gmem_sim_host_punch(file->store_fd, start, end);
	gmem_sim_spans_remove(&file->assigned, start, end);
	return 0;
}

static bool has_reserved(const struct gmem_kvm_memory_attributes2 *attributes)
{
	size_t i;

	for (i = 0; i < sizeof(attributes->reserved) / sizeof(attributes->reserved[0]); i++)
		if (attributes->reserved[i])
			return true;
	return false;
}

/* P5 */
static int check_attributes(const struct sim_file *file,
			    const struct gmem_kvm_memory_attributes2 *attributes)
{
	uint64_t end;

	if (!gmem_sim_vm_has_private_memory(file->vm) || attributes->flags ||
	    has_reserved(attributes) || attributes->attributes & ~GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE)
		return -EINVAL;
	if (attributes->size == 0 ||
	    __builtin_add_overflow(attributes->offset, attributes->size, &end) ||
	    end > file->size || !sim_is_aligned(file->vm->sim, attributes->offset | end))
		return -EINVAL;
	return 0;
}

static int set_attributes(struct sim_file *file, struct gmem_kvm_memory_attributes2 *attributes)
{
	uint64_t start = attributes->offset;
	uint64_t end = start + attributes->size;
	struct sim_span other;

	attributes->error_offset = start;
	if (!attributes->attributes)
		return gmem_sim_spans_next(&file->private_pages, start, end, &other)
			       ? to_shared(file, start, end)
			       : 0;
	if (!gmem_sim_spans_next_gap(&file->private_pages, start, end, &other))
		return 0;
	if (gmem_sim_pins_refuse(file, start, end, &attributes->error_offset))
		return -EAGAIN;
	return to_private(file, start, end);
}

int gmem_sim_file_set_attributes(struct sim_file *file, uint64_t argument)
{
	struct gmem_kvm_memory_attributes2 attributes;
	struct gmem_sim *sim = file->vm->sim;
	int err;

	if (!gmem_sim_vm_tracks_per_file(file->vm))
		return -ENOTTY;
	if (gmem_sim_copy_in(sim, &attributes, argument, sizeof(attributes)) < 0)
		return -EFAULT;
	err = check_attributes(file, &attributes);
	if (err < 0)
		return err;
	err = set_attributes(file, &attributes);
	if (err < 0 &&
	    gmem_sim_copy_out(sim, argument + offsetof(__typeof__(attributes), error_offset),
			      &attributes.error_offset, sizeof(uint64_t)) < 0)
		return -EFAULT;
	return err;
}

/* V1 */
int gmem_sim_vm_set_attributes(struct sim_vm *vm, uint64_t argument)
{
	struct gmem_kvm_memory_attributes attributes;
	uint64_t end;

	if (vm->sim->config.tracking == GMEM_SIM_TRACKING_NONE)
		return -ENOTTY;
	if (gmem_sim_copy_in(vm->sim, &attributes, argument, sizeof(attributes)) < 0)
		return -EFAULT;
	if (attributes.flags || attributes.attributes & ~gmem_sim_vm_attributes(vm->sim, vm) ||
	    attributes.size == 0 ||
	    __builtin_add_overflow(attributes.address, attributes.size, &end) ||
	    !sim_is_aligned(vm->sim, attributes.address | attributes.size))
		return -EINVAL;
	/* C2 */
	if (gmem_sim_vm_tracks_per_file(vm))
		return 0;
	if (attributes.attributes)
		return gmem_sim_spans_add(&vm->private_addresses, attributes.address, end);
	return gmem_sim_spans_remove(&vm->private_addresses, attributes.address, end);
}
