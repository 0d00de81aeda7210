// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pages of the guest as the firmware gets at them. */
#include "host.h"
#include "sim.h"

#include <errno.h>

int gmem_sim_find_guest_page(struct sim_vm *vm, uint64_t gpa, struct sim_guest_page *page)
{
	const struct sim_slot *slot = gmem_sim_slot_at(vm, 0, gpa);

	if (!slot || !(slot->flags & GMEM_KVM_MEM_GUEST_MEMFD))
		return -ENOENT;
	if (slot->file && !gmem_sim_file_is_open(slot->file))
		gmem_sim_sweep(vm->sim);
	page->file = slot->file;
	page->offset = slot->file_offset + (gpa - slot->gpa);
	page->gpa = gpa;
	page->slot_end = slot->gpa + slot->size;
	page->is_private = gmem_sim_vm_page_is_private(vm, slot, gpa);
	page->is_assigned = slot->file && gmem_sim_spans_has(&slot->file->assigned, page->offset);
	return 0;
}

int gmem_sim_read_guest_page(const struct sim_guest_page *page, void *bytes)
{
	return page->file ? gmem_sim_file_read(page->file, page->offset, bytes, SIM_SNP_PAGE_SIZE)
			  : -EIO;
}

int gmem_sim_write_guest_page(const struct sim_guest_page *page, const void *bytes)
{
	return page->file ? gmem_sim_file_write(page->file, page->offset, bytes, SIM_SNP_PAGE_SIZE)
			  : -EIO;
}

int gmem_sim_assign_guest_page(const struct sim_guest_page *page)
{
	return page->file ? gmem_sim_spans_add(&page->file->assigned, page->offset,
					       page->offset + SIM_SNP_PAGE_SIZE)
			  : -EIO;
}

int gmem_sim_release_guest_page(const struct sim_guest_page *page)
{
	return page->file ? gmem_sim_spans_remove(&page->file->assigned, page->offset,
						  page->offset + SIM_SNP_PAGE_SIZE)
			  : -EIO;
}

static void look_at_file(const struct sim_file *file, uint64_t offset, struct gmem_sim_page *page)
{
	uint64_t start = sim_page_floor(file->vm->sim, offset);
	uint64_t end = start + file->vm->sim->config.page_size;
	const struct sim_slot *slot = gmem_sim_slot_of_page(file, start);
	struct sim_span piece;

	page->state = gmem_sim_spans_has(&file->private_pages, start) ? GMEM_PRIVATE : GMEM_SHARED;
	page->allocated = gmem_sim_file_is_allocated(file, start);
	page->pins = gmem_sim_pins_count(file, start, end);
	page->assigned = gmem_sim_spans_next(&file->assigned, start, end, &piece);
	page->poisoned = gmem_sim_spans_has(&file->poisoned, start);
	if (slot) {
		page->slot = slot->number;
		page->gpa = slot->gpa + (start - slot->file_offset);
	}
}

static void look_at_address(const struct sim_vm *vm, uint64_t gpa, struct gmem_sim_page *page)
{
	const struct sim_slot *slot = gmem_sim_slot_at(vm, 0, gpa);

	page->state = gmem_sim_spans_has(&vm->private_addresses, gpa) ? GMEM_PRIVATE : GMEM_SHARED;
	if (slot) {
		page->slot = slot->number;
		page->gpa = sim_page_floor(vm->sim, gpa);
	}
}

static int look(struct gmem_sim *sim, int fd, uint64_t offset, struct gmem_sim_page *page)
{
	const struct sim_file *file = gmem_sim_find_file(sim, fd);
	const struct sim_vm *vm = gmem_sim_find_vm(sim, fd);

	if (!file && !vm)
		return -EBADF;
	if (file ? offset >= file->size : sim->config.tracking != GMEM_SIM_TRACKING_VM)
		return -ENOENT;
	page->slot = GMEM_SIM_NO_SLOT;
	if (file)
		look_at_file(file, offset, page);
	else
		look_at_address(vm, offset, page);
	return 0;
}

int gmem_sim_get_page(struct gmem_sim *sim, int fd, uint64_t offset, struct gmem_sim_page *page)
{
	int err;

	if (page)
		*page = (struct gmem_sim_page){ 0 };
	if (!sim || !page)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	err = look(sim, fd, offset, page);
	pthread_mutex_unlock(&sim->mutex);
	return err;
}
