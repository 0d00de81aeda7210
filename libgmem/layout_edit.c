// SPDX-License-Identifier: LGPL-2.1-or-later
/* Judges a step of a change against a list of sections, and does it there. */
#include "layout_edit.h"

#include "log.h"
#include "range.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ALL_FLAGS (GMEM_MAP_READONLY | GMEM_MAP_DIRTY_LOG | GMEM_MAP_DEVICE)
/* KVM does these on plain slots alone, over memory that stays where it is (kernel fact S2). */
#define PLAIN_FLAGS (GMEM_MAP_READONLY | GMEM_MAP_DIRTY_LOG)
/* Slot numbers are 16 bits: api.rst 4.35. */
#define SLOTS_MAX (1u << GMEM_KVM_SLOT_BITS)

struct edit {
	const struct gmem_vm *vm;
	const struct section_list *before;
	struct section_list *next;
	const struct step *step;
	uint32_t number;
};

static const char *step_name(enum step_kind kind)
{
	switch (kind) {
	case STEP_MAP:
		return "map";
	case STEP_MAP_ALIAS:
		return "map alias";
	case STEP_UNMAP:
		return "unmap";
	case STEP_UNMAP_ALIAS:
		return "unmap alias";
	default:
		return "set flags";
	}
}

/* One message: which VM, which step, which range, then what is wrong with it. */
__attribute__((format(printf, 3, 4))) static int refuse(const struct edit *edit, int error,
							const char *format, ...)
{
	const struct step *step = edit->step;
	char what[LOG_LENGTH / 2], number[24] = "";
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	if (edit->number)
		(void)snprintf(number, sizeof(number), "step %u, ", edit->number);
	log_error(edit->vm->ctx, "VM descriptor %d: %s%s %s%s%sgpa %#llx, %#llx bytes: %s",
		  edit->vm->fd, number, step_name(step->kind), step->region ? "region \"" : "",
		  step->region ? region_name(step->region) : "", step->region ? "\" at " : "",
		  (unsigned long long)step->gpa, (unsigned long long)step->size, what);
	return error;
}

static int check_range(const struct edit *edit)
{
	const struct step *step = edit->step;
	uint64_t page_size = edit->vm->caps.page_size;

	if (!range_is_valid(step->gpa, step->size))
		return refuse(edit, -EINVAL, "it must not be empty, and must end below 2^64");
	if (!range_is_aligned(step->gpa, step->size, page_size))
		return refuse(edit, -EINVAL, "both must be multiples of the page size %#llx",
			      (unsigned long long)page_size);
	if (step->address_space >= edit->vm->caps.address_spaces)
		return refuse(edit, -EINVAL, "address space %u; this VM has %u",
			      step->address_space, edit->vm->caps.address_spaces);
	return 0;
}

static int check_flags(const struct edit *edit)
{
	uint32_t flags = edit->step->flags;

	if (flags & ~ALL_FLAGS)
		return refuse(edit, -EINVAL,
			      "flags %#x are none of GMEM_MAP_READONLY, DIRTY_LOG, DEVICE",
			      flags & ~ALL_FLAGS);
	return 0;
}

static int check_reserve(const struct edit *edit)
{
	const struct step *step = edit->step;

	if (step->offset || step->flags)
		return refuse(edit, -EINVAL,
			      "offset %#llx and flags %#x must be 0 without a region",
			      (unsigned long long)step->offset, step->flags);
	if (step->slot != GMEM_SLOT_AUTO && step->slot != GMEM_SLOT_NONE)
		return refuse(edit, -EINVAL, "memslot %u without a region; use GMEM_SLOT_AUTO",
			      step->slot);
	return 0;
}

static int check_window(const struct edit *edit)
{
	const struct step *step = edit->step;
	const struct gmem_region *region = step->region;
	uint64_t end;

	if (region->vm != edit->vm)
		return refuse(edit, -EINVAL, "the region is another VM's");
	if (__builtin_add_overflow(step->offset, step->size, &end) || end > region->size ||
	    step->offset & (edit->vm->caps.page_size - 1))
		return refuse(edit, -EINVAL,
			      "offset %#llx must be a multiple of the page size %#llx, and the "
			      "range must end within the region's %#llx bytes",
			      (unsigned long long)step->offset,
			      (unsigned long long)edit->vm->caps.page_size,
			      (unsigned long long)region->size);
	return 0;
}

static int check_plain_flags(const struct edit *edit, const struct gmem_region *region,
			     uint32_t flags, uint32_t slot)
{
	if (flags & PLAIN_FLAGS && region_can_be_private(region))
		return refuse(edit, -EOPNOTSUPP,
			      "flags %#x on region \"%s\", whose pages can be private; use "
			      "GMEM_BACKING_PLAIN",
			      flags & PLAIN_FLAGS, region->config.name);
	if (flags & GMEM_MAP_READONLY && edit->vm->caps.have_kvm && slot != GMEM_SLOT_NONE &&
	    !edit->vm->caps.readonly)
		return refuse(edit, -EOPNOTSUPP, "KVM_CAP_READONLY_MEM is missing");
	return 0;
}

static int check_slot(const struct edit *edit)
{
	const struct step *step = edit->step;
	const struct gmem_vm *vm = edit->vm;

	if (step->slot == GMEM_SLOT_NONE)
		return 0;
	if (vm->caps.have_kvm && step->size > vm->caps.max_section)
		return refuse(edit, -EINVAL, "a memslot has %#llx bytes at most",
			      (unsigned long long)vm->caps.max_section);
	if (step->slot == GMEM_SLOT_AUTO)
		return 0;
	if (!vm->caps.have_kvm)
		return refuse(edit, -EINVAL, "memslot %u without KVM; use GMEM_SLOT_AUTO",
			      step->slot);
	if (step->slot >= vm->caps.slots || step->slot >= SLOTS_MAX)
		return refuse(edit, -EINVAL, "memslot %u is out of range; KVM has %u", step->slot,
			      vm->caps.slots);
	return 0;
}

/* A section that a step adds, but for its slot. */
static struct section section_of(const struct step *step)
{
	struct section section = {
		.gpa = step->gpa,
		.size = step->size,
		.offset = step->offset,
		.region = step->region,
		.address_space = step->address_space,
		.slot = GMEM_SLOT_NONE,
		.flags = step->flags,
	};

	if (step->kind == STEP_MAP_ALIAS)
		section.flags |= GMEM_MAP_ALIAS;
	section.plain = !step->region || step->region->guest.fd < 0 ||
			section.flags & (PLAIN_FLAGS | GMEM_MAP_ALIAS);
	return section;
}

static int check_overlap(const struct edit *edit, const struct section *section)
{
	uint32_t i;

	for (i = 0; i < edit->next->count; i++) {
		const struct section *other = &edit->next->items[i];

		if (other->address_space != section->address_space ||
		    !ranges_overlap(other->gpa, other->size, section->gpa, section->size) ||
		    (section_is_reserved(other) && section_is_reserved(section)))
			continue;
		return refuse(edit, -EEXIST, "it overlaps region \"%s\" at gpa %#llx, %#llx bytes",
			      region_name(other->region), (unsigned long long)other->gpa,
			      (unsigned long long)other->size);
	}
	return 0;
}

/* KVM binds each page of a guest_memfd once (kernel fact S1). */
static int check_pages(const struct edit *edit, const struct section *section)
{
	uint32_t i;

	for (i = 0; i < edit->next->count && !section->plain; i++) {
		const struct section *other = &edit->next->items[i];

		if (other->plain || other->region != section->region ||
		    !ranges_overlap(other->offset, other->size, section->offset, section->size))
			continue;
		return refuse(edit, -EEXIST,
			      "offset %#llx: pages of this guest_memfd are mapped at gpa %#llx "
			      "already; use gmem_vm_map_alias()",
			      (unsigned long long)section->offset, (unsigned long long)other->gpa);
	}
	return 0;
}

static bool slot_is_taken(const struct section_list *list, uint32_t address_space, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < list->count; i++) {
		if (list->items[i].address_space == address_space && list->items[i].slot == slot)
			return true;
	}
	return false;
}

/* The slot that the very same section had before the change, or GMEM_SLOT_NONE. */
static uint32_t slot_before(const struct edit *edit, const struct section *section)
{
	uint32_t i;

	for (i = 0; i < edit->before->count; i++) {
		const struct section *old = &edit->before->items[i];

		if (sections_are_same_window(old, section) &&
		    !slot_is_taken(edit->next, old->address_space, old->slot))
			return old->slot;
	}
	return GMEM_SLOT_NONE;
}

static uint32_t lowest_free_slot(const struct edit *edit, uint32_t address_space)
{
	uint32_t first = edit->vm->config.first_slot;
	uint32_t end = first + edit->vm->config.slot_count;
	uint64_t used[SLOTS_MAX / 64];
	uint32_t i;

	memset(used, 0, sizeof(used));
	for (i = 0; i < edit->next->count; i++) {
		const struct section *other = &edit->next->items[i];

		if (other->address_space == address_space && other->slot < SLOTS_MAX)
			used[other->slot / 64] |= UINT64_C(1) << other->slot % 64;
	}
	for (i = first; i < end && i < SLOTS_MAX; i++) {
		if (!(used[i / 64] & UINT64_C(1) << i % 64))
			return i;
	}
	return GMEM_SLOT_NONE;
}

static int assign_slot(const struct edit *edit, struct section *section)
{
	const struct step *step = edit->step;

	if (step->slot == GMEM_SLOT_NONE || !edit->vm->caps.have_kvm ||
	    section_is_reserved(section))
		return 0;
	if (step->slot != GMEM_SLOT_AUTO) {
		if (slot_is_taken(edit->next, section->address_space, step->slot))
			return refuse(edit, -EEXIST,
				      "memslot %u of address space %u is in use; use "
				      "GMEM_SLOT_AUTO or another number",
				      step->slot, section->address_space);
		section->slot = step->slot;
		return 0;
	}
	section->slot = slot_before(edit, section);
	if (section->slot == GMEM_SLOT_NONE)
		section->slot = lowest_free_slot(edit, section->address_space);
	if (section->slot == GMEM_SLOT_NONE)
		return refuse(edit, -ENOSPC,
			      "memslots %u to %u are all in use; the kernel has %u, see "
			      "gmem_vm_config_set_slots()",
			      edit->vm->config.first_slot,
			      edit->vm->config.first_slot + edit->vm->config.slot_count - 1,
			      edit->vm->caps.slots);
	return 0;
}

/* Whether some byte that a section is to show has another address in a list. */
static bool is_shown_elsewhere(const struct section_list *list, const struct section *section)
{
	uint32_t i;

	/* Address space 0 comes first. */
	for (i = 0; i < list->count && !list->items[i].address_space; i++) {
		const struct section *other = &list->items[i];

		if (other->region == section->region &&
		    other->gpa - other->offset != section->gpa - section->offset &&
		    ranges_overlap(other->offset, other->size, section->offset, section->size))
			return true;
	}
	return false;
}

/*
 * Before readers see the section: windows.h. Where it had its bytes from counts too, for there they
 * may stay, or come back, when the kernel fails half-way.
 */
static void note_windows(const struct edit *edit, const struct section *section)
{
	if (section->address_space || section_is_reserved(section))
		return;
	if (is_shown_elsewhere(edit->next, section) || is_shown_elsewhere(edit->before, section))
		atomic_store_explicit(&section->region->shown_twice, true, memory_order_relaxed);
}

static int add_section(const struct edit *edit)
{
	struct section section = section_of(edit->step);
	int rc = check_overlap(edit, &section);

	if (!rc)
		rc = check_pages(edit, &section);
	if (!rc && edit->next->count >= GMEM_SECTIONS_MAX)
		rc = refuse(edit, -ENOSPC, "this VM has %u sections already", edit->next->count);
	if (!rc)
		rc = assign_slot(edit, &section);
	if (rc)
		return rc;
	note_windows(edit, &section);
	gmem_section_list_insert(edit->next, &section);
	return 0;
}

static int do_map(const struct edit *edit)
{
	const struct step *step = edit->step;
	int rc;

	if (!step->region) {
		rc = check_reserve(edit);
		return rc ? rc : add_section(edit);
	}
	rc = check_flags(edit);
	if (!rc)
		rc = check_window(edit);
	if (!rc)
		rc = check_plain_flags(edit, step->region, step->flags, step->slot);
	if (!rc)
		rc = check_slot(edit);
	return rc ? rc : add_section(edit);
}

static int do_map_alias(const struct edit *edit)
{
	const struct gmem_region *region = edit->step->region;

	if (!region)
		return refuse(edit, -EINVAL, "region is NULL, an alias needs one");
	if (region_can_be_private(region))
		return refuse(edit, -EOPNOTSUPP,
			      "its pages can be private, and an alias would show others; use "
			      "GMEM_BACKING_PLAIN");
	return do_map(edit);
}

/* Of the sections in the range, those that a step is about. */
static bool is_concerned(const struct step *step, const struct section *section)
{
	if (section->address_space != step->address_space ||
	    !ranges_overlap(section->gpa, section->size, step->gpa, step->size))
		return false;
	return step->kind != STEP_UNMAP_ALIAS || section->flags & GMEM_MAP_ALIAS;
}

static int check_covers(const struct edit *edit)
{
	const struct step *step = edit->step;
	uint32_t found = 0, i;

	for (i = 0; i < edit->next->count; i++) {
		const struct section *section = &edit->next->items[i];

		if (!is_concerned(step, section))
			continue;
		if (!range_covers(step->gpa, step->size, section->gpa, section->size))
			return refuse(edit, -EINVAL,
				      "it would cut region \"%s\" at gpa %#llx, %#llx bytes; only "
				      "whole sections",
				      region_name(section->region),
				      (unsigned long long)section->gpa,
				      (unsigned long long)section->size);
		found++;
	}
	return found ? 0 : refuse(edit, -ENOENT, "nothing is mapped there");
}

/* Reserved ranges may overlap, so one can also be named by its exact bounds. */
static bool remove_reserved(const struct edit *edit)
{
	const struct step *step = edit->step;
	uint32_t i;

	for (i = 0; i < edit->next->count; i++) {
		const struct section *section = &edit->next->items[i];

		if (step->kind != STEP_UNMAP || !section_is_reserved(section) ||
		    section->gpa != step->gpa || section->size != step->size)
			continue;
		gmem_section_list_remove(edit->next, i);
		return true;
	}
	return false;
}

static int do_unmap(const struct edit *edit)
{
	uint32_t i;
	int rc;

	if (remove_reserved(edit))
		return 0;
	rc = check_covers(edit);
	for (i = edit->next->count; !rc && i-- > 0;) {
		if (is_concerned(edit->step, &edit->next->items[i]))
			gmem_section_list_remove(edit->next, i);
	}
	return rc;
}

static int check_new_flags(const struct edit *edit)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < edit->next->count && !rc; i++) {
		const struct section *section = &edit->next->items[i];

		if (!is_concerned(edit->step, section))
			continue;
		if (section_is_reserved(section))
			rc = refuse(edit, -EINVAL, "gpa %#llx is reserved, and has no flags",
				    (unsigned long long)section->gpa);
		else
			rc = check_plain_flags(edit, section->region, edit->step->flags,
					       section->slot);
	}
	return rc;
}

static int do_set_flags(const struct edit *edit)
{
	uint32_t flags = edit->step->flags, i;
	int rc = check_flags(edit);

	if (!rc)
		rc = check_covers(edit);
	if (!rc)
		rc = check_new_flags(edit);
	for (i = 0; i < edit->next->count && !rc; i++) {
		struct section *section = &edit->next->items[i];

		if (!is_concerned(edit->step, section))
			continue;
		section->flags = (section->flags & GMEM_MAP_ALIAS) | flags;
		/* Once plain, it stays so: slot changes are the dearest calls of all. */
		section->plain |= (flags & PLAIN_FLAGS) != 0;
	}
	return rc;
}

int gmem_layout_edit(const struct gmem_vm *vm, const struct section_list *before,
		     struct section_list *next, const struct step *step, uint32_t number)
{
	const struct edit edit = { vm, before, next, step, number };
	int rc = check_range(&edit);

	if (rc)
		return rc;
	switch (step->kind) {
	case STEP_MAP:
		return do_map(&edit);
	case STEP_MAP_ALIAS:
		return do_map_alias(&edit);
	case STEP_UNMAP:
	case STEP_UNMAP_ALIAS:
		return do_unmap(&edit);
	default:
		return do_set_flags(&edit);
	}
}
