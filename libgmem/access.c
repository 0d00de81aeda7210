// SPDX-License-Identifier: LGPL-2.1-or-later
/* Questions about guest memory: where a range is, and in which state. Readers only. */
#include "access.h"

#include "compiler.h"
#include "log.h"
#include "range.h"

#include <errno.h>
#include <gmem/access.h>
#include <string.h>

/* One look at the layout and the states, repeated until it was whole. */
struct look {
	const struct gmem_vm *vm;
	const struct layout_table *table;
	uint64_t sequence;
};

static struct look look_begin(const struct gmem_vm *vm)
{
	struct look look = { .vm = vm, .table = &vm->layout->table };

	look.sequence = layout_table_begin(look.table);
	return look;
}

static bool look_is_current(const struct look *look)
{
	return layout_table_is_current(look->table, look->sequence);
}

/* What most questions need of a section: where it is. The rest is loaded from its entry. */
struct place {
	const struct layout_entry *entry;
	uint64_t gpa;
	uint64_t size;
};

/*
 * The section at an address, or else the next one above. False when there is none, and when the
 * look is no longer current, so that callers never count with values that do not fit together.
 */
static bool look_for(const struct look *look, uint64_t gpa, struct place *place)
{
	place->entry = layout_table_lookup(look->table, look->sequence, gpa);
	if (!place->entry)
		return false;
	place->gpa = layout_load(&place->entry->gpa);
	place->size = layout_load(&place->entry->last) + 1 - place->gpa;
	return look_is_current(look);
}

/* How much of a range that starts in a section is in it. */
static uint64_t size_within(const struct place *place, uint64_t gpa, uint64_t size)
{
	uint64_t rest = place->gpa + place->size - gpa;

	return size < rest ? size : rest;
}

/* States of the pages that a byte range within one section touches. */
static uint32_t query_states(const struct look *look, const struct place *place, uint64_t gpa,
			     uint64_t size)
{
	const struct shadow *shadow = layout_load(&place->entry->shadow);
	uint64_t offset = layout_load(&place->entry->delta) + gpa;
	unsigned int shift = look->vm->caps.page_shift;
	uint64_t first = offset >> shift, last = (offset + size - 1) >> shift;

	/* An entry that is not whole must not be followed; the look will be repeated anyway. */
	if (!shadow || !look_is_current(look))
		return GMEM_SHARED;
	return gmem_shadow_query(shadow, first, last - first + 1);
}

/* How much of it is shared, from its start on. */
static uint64_t size_shared(const struct look *look, const struct place *place, uint64_t gpa,
			    uint64_t size)
{
	const struct shadow *shadow = layout_load(&place->entry->shadow);
	uint64_t offset = layout_load(&place->entry->delta) + gpa;
	unsigned int shift = look->vm->caps.page_shift;
	uint64_t first = offset >> shift, last = (offset + size - 1) >> shift, pages;
	uint32_t state;

	if (!shadow || !look_is_current(look))
		return size;
	pages = gmem_shadow_run(shadow, first, last - first + 1, &state);
	if (state != GMEM_SHARED)
		return 0;
	return pages > last - first ? size : ((first + pages) << shift) - offset;
}

/*
 * The state of a range in a section that can be private, STATE_*, where it is in one page. False
 * where it is not, or where something has changed meanwhile.
 */
static ALWAYS_INLINE bool look_at_page(const struct layout_table *table, uint64_t sequence,
				       const struct layout_entry *entry,
				       const struct shadow *shadow, uint64_t gpa, uint64_t size,
				       uint64_t *kind)
{
	uint64_t offset = layout_load(&entry->delta) + gpa;

	/* A size of 0 is as if it were too large. */
	if (unlikely(size - 1 > (~gpa & table->page_mask)) ||
	    unlikely(!layout_table_is_current(table, sequence)) ||
	    unlikely(shadow_has_absent(shadow)))
		return false;
	*kind = state_at(&shadow->state, offset);
	return likely(layout_table_is_current(table, sequence));
}

static int check_range(const struct gmem_vm *vm, const char *function, uint64_t gpa, uint64_t size)
{
	if (range_is_valid(gpa, size))
		return 0;
	log_debug(vm->ctx,
		  "%s: gpa %#llx, %#llx bytes; it must not be empty, and must end below "
		  "2^64",
		  function, (unsigned long long)gpa, (unsigned long long)size);
	return -EINVAL;
}

static int stop(struct translation *translation, int error, const char *obstacle)
{
	translation->obstacle = obstacle;
	return error;
}

/* Takes as much as one section has; 0 or what is in the way. */
static int translate_section(const struct look *look, struct translation *translation)
{
	struct place place;
	uint64_t size, host, region;
	uint32_t kind;

	if (!look_for(look, translation->gpa, &place) || place.gpa > translation->gpa)
		return stop(translation, -ENOENT, "nothing is mapped there");
	kind = layout_load(&place.entry->kind);
	if (kind == GMEM_KIND_RESERVED)
		return stop(translation, -ENOENT, "nothing is mapped there, it is reserved");
	if (kind == GMEM_KIND_DEVICE)
		return stop(translation, -EACCES, "it is a device's memory");
	if (translation->flags & GMEM_ACCESS_WRITE &&
	    layout_load(&place.entry->flags) & GMEM_MAP_READONLY)
		return stop(translation, -EACCES, "it is read-only, and to be written");
	host = layout_load(&place.entry->host);
	region = host - (layout_load(&place.entry->delta) + place.gpa);
	host += translation->gpa - place.gpa;
	/* Two regions' memory may follow each other by chance. */
	if (translation->host && (host != translation->next || region != translation->region)) {
		if (!translation->scattered)
			return stop(translation, -EXDEV,
				    "it goes on elsewhere in host memory; translate it in parts");
		translation->in_pieces = true;
	}
	size = size_within(&place, translation->gpa, translation->size);
	if (translation->flags & GMEM_ACCESS_PARTIAL)
		size = size_shared(look, &place, translation->gpa, size);
	if (!size || query_states(look, &place, translation->gpa, size) != GMEM_SHARED)
		return stop(translation, -EACCES,
			    "or above, a page is private or absent; gmem_vm_next_run() says which");
	if (!translation->host)
		translation->host = host;
	translation->region = region;
	translation->next = host + size;
	translation->gpa += size;
	translation->size -= size;
	return 0;
}

/* gmem_translate() made short: all of it in RAM of one section, and where that has states one page. */
static inline bool translate_at_once(const struct gmem_vm *vm, struct translation *translation)
{
	uint64_t gpa = translation->gpa, size = translation->size, host, kind = STATE_SHARED;
	const struct layout_table *table = &vm->layout->table;
	uint64_t sequence = layout_table_begin(table);
	const struct layout_entry *entry = layout_table_guess(table, sequence, gpa);
	const struct shadow *shadow;

	if (unlikely(!entry) || unlikely(gpa < layout_load(&entry->gpa)) ||
	    unlikely(gpa + (size - 1) > layout_load(&entry->last)) ||
	    unlikely(layout_load(&entry->kind) != GMEM_KIND_RAM))
		return false;
	host = layout_load(&entry->host) + (gpa - layout_load(&entry->gpa));
	shadow = layout_load(&entry->shadow);
	if (shadow ? !look_at_page(table, sequence, entry, shadow, gpa, size, &kind)
		   : !layout_table_is_current(table, sequence))
		return false;
	if (kind != STATE_SHARED)
		return false;
	translation->host = host;
	translation->gpa += size;
	translation->size = 0;
	return true;
}

static __attribute__((noinline)) int translate_in_parts(const struct gmem_vm *vm,
							struct translation *translation)
{
	const struct translation start = *translation;
	struct look look;
	int rc;

	do {
		*translation = start;
		look = look_begin(vm);
		do {
			rc = translate_section(&look, translation);
		} while (!rc && translation->size);
	} while (!look_is_current(&look));
	return translation->flags & GMEM_ACCESS_PARTIAL && translation->host ? 0 : rc;
}

int gmem_translate(const struct gmem_vm *vm, struct translation *translation)
{
	return translate_at_once(vm, translation) ? 0 : translate_in_parts(vm, translation);
}

int gmem_access_check(const struct gmem_vm *vm, const char *function, uint64_t gpa, uint64_t size,
		      uint32_t flags, uint32_t known_flags)
{
	if (flags & ~known_flags) {
		log_error(vm->ctx, "%s: flags are %#x, they must be some of %#x", function, flags,
			  known_flags);
		return -EINVAL;
	}
	return check_range(vm, function, gpa, size);
}

int gmem_access_refused(const struct gmem_vm *vm, const struct translation *translation,
			uint64_t gpa, uint64_t size, int error)
{
	log_debug(vm->ctx, "VM descriptor %d: gpa %#llx, %#llx bytes: at gpa %#llx %s", vm->fd,
		  (unsigned long long)gpa, (unsigned long long)size,
		  (unsigned long long)translation->gpa, translation->obstacle);
	return error;
}

int gmem_vm_translate(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags, void **host)
{
	struct translation translation = { .gpa = gpa, .size = size, .flags = flags };
	int rc;

	if (host)
		*host = NULL;
	rc = gmem_vm_check(vm, "gmem_vm_translate");
	if (rc)
		return rc;
	if (!host) {
		log_error(vm->ctx, "gmem_vm_translate: host is NULL, it must be an address");
		return -EINVAL;
	}
	rc = gmem_access_check(vm, "gmem_vm_translate", gpa, size, flags, GMEM_ACCESS_WRITE);
	if (rc)
		return rc;
	rc = gmem_translate(vm, &translation);
	if (rc)
		return gmem_access_refused(vm, &translation, gpa, size, rc);
	*host = (void *)(uintptr_t)translation.host;
	return 0;
}

/* Stops when it has seen all there can be. */
static uint32_t range_state(const struct look *look, uint64_t gpa, uint64_t size)
{
	uint64_t end = gpa + size, part;
	uint32_t state = 0;

	while (gpa < end && state != (GMEM_SHARED | GMEM_PRIVATE | GMEM_HOLE | GMEM_ABSENT)) {
		struct place place;

		if (!look_for(look, gpa, &place) || place.gpa >= end)
			return state | GMEM_HOLE;
		if (place.gpa > gpa) {
			state |= GMEM_HOLE;
			gpa = place.gpa;
		}
		part = size_within(&place, gpa, end - gpa);
		if (layout_load(&place.entry->kind) == GMEM_KIND_RESERVED)
			state |= GMEM_HOLE;
		else
			state |= query_states(look, &place, gpa, part);
		gpa += part;
	}
	return state;
}

static __attribute__((noinline)) int state_of_range(struct gmem_vm *vm, uint64_t gpa, uint64_t size)
{
	struct look look;
	uint32_t state;
	int rc = gmem_vm_check(vm, "gmem_vm_get_state");

	/* Of no VM it is never 0, which analyzers cannot see. */
	if (!rc && vm)
		rc = check_range(vm, "gmem_vm_get_state", gpa, size);
	if (rc || !vm)
		return rc;
	do {
		look = look_begin(vm);
		state = range_state(&look, gpa, size);
	} while (!look_is_current(&look));
	return (int)state;
}

/*
 * A range in one section; of memory that can be private, in one page. What is not so simple is for
 * state_of_range().
 */
static ALWAYS_INLINE int state_in_entry(struct gmem_vm *vm, uint64_t gpa, uint64_t size,
					const struct layout_table *table,
					const struct layout_entry *entry, uint64_t sequence)
{
	const struct shadow *shadow;
	uint64_t last, kind;

	if (unlikely(gpa < layout_load(&entry->gpa)))
		return state_of_range(vm, gpa, size);
	last = layout_load(&entry->last);
	if (unlikely(gpa > last))
		return state_of_range(vm, gpa, size);
	/* A size of 0 is as if it were too large. */
	shadow = layout_load(&entry->shadow);
	if (!shadow) {
		if (unlikely(size - 1 > last - gpa) ||
		    layout_load(&entry->kind) == GMEM_KIND_RESERVED ||
		    !layout_table_is_current(table, sequence))
			return state_of_range(vm, gpa, size);
		return GMEM_SHARED;
	}
	if (unlikely(!look_at_page(table, sequence, entry, shadow, gpa, size, &kind)))
		return state_of_range(vm, gpa, size);
	_Static_assert(STATE_SHARED + 1 == GMEM_SHARED && STATE_PRIVATE + 1 == GMEM_PRIVATE,
		       "one follows from the other");
	return (int)kind + 1;
}

/* Where there is more than one section to look at. */
static __attribute__((noinline)) int state_after_search(struct gmem_vm *vm, uint64_t gpa,
							uint64_t size, uint64_t sequence)
{
	const struct layout_table *table = &vm->layout->table;
	const struct layout_entry *entry = layout_table_guess(table, sequence, gpa);

	return entry ? state_in_entry(vm, gpa, size, table, entry, sequence)
		     : state_of_range(vm, gpa, size);
}

/*
 * On the path of every access of every device, so what most of them ask for comes first and is
 * short, and all else comes last, so that there are no registers to save.
 */
int gmem_vm_get_state(struct gmem_vm *vm, uint64_t gpa, uint64_t size)
{
	const struct layout_table *table;
	const struct layout_copy *copy;
	uint64_t sequence;
	uint32_t low, high;

	/* In a child of fork() the table is empty. */
	if (unlikely(!vm))
		return state_of_range(vm, gpa, size);
	table = &vm->layout->table;
	sequence = layout_table_begin(table);
	copy = table->copies[sequence & 1];
	if (unlikely(!layout_copy_narrow(copy, gpa, &low, &high)))
		return state_of_range(vm, gpa, size);
	if (unlikely(low < high))
		return state_after_search(vm, gpa, size, sequence);
	return state_in_entry(vm, gpa, size, table, &copy->entries[low], sequence);
}

/* The part of a section from gpa on, all but its state. */
static void fill_run(const struct section_view *view, uint64_t gpa, struct gmem_run *run)
{
	gmem_view_run(view, gpa, view->size - (gpa - view->gpa), run);
	if (view->kind == GMEM_KIND_RESERVED) {
		run->offset = 0;
		run->fd_offset = 0;
		run->state = GMEM_HOLE;
	}
}

static void fill_hole(uint64_t gpa, uint64_t end, struct gmem_run *run)
{
	*run = (struct gmem_run){
		.gpa = gpa,
		.size = end - gpa,
		.fd = -1,
		.guest_memfd = -1,
		.state = GMEM_HOLE,
		.slot = GMEM_SLOT_NONE,
		.kind = GMEM_KIND_HOLE,
	};
}

/* Cuts a run where its state changes. */
static void limit_to_state(const struct look *look, const struct section_view *view,
			   struct gmem_run *run)
{
	unsigned int shift = look->vm->caps.page_shift;

	if (view->shadow)
		run->size = gmem_shadow_run(view->shadow, run->offset >> shift, run->size >> shift,
					    &run->state)
			    << shift;
}

static int look_at_run(const struct look *look, uint64_t gpa, struct gmem_run *run)
{
	struct section_view view;

	/* Nothing of an earlier look, which was not current, may stay. */
	memset(run, 0, sizeof(*run));
	if (!gmem_layout_table_find(look->table, look->sequence, gpa, &view))
		return 0;
	if (view.gpa > gpa) {
		fill_hole(gpa, view.gpa, run);
		return 1;
	}
	fill_run(&view, gpa, run);
	limit_to_state(look, &view, run);
	return 1;
}

static int check_run(struct gmem_vm *vm, const char *function, struct gmem_run *run)
{
	int rc = gmem_vm_check(vm, function);

	if (!rc && !run) {
		log_error(vm->ctx, "%s: run is NULL, it must be an address", function);
		rc = -EINVAL;
	}
	if (run)
		memset(run, 0, sizeof(*run));
	return rc;
}

int gmem_vm_next_run(struct gmem_vm *vm, uint64_t gpa, struct gmem_run *run)
{
	int rc = check_run(vm, "gmem_vm_next_run", run);
	struct look look;

	if (rc)
		return rc;
	if (gpa & (vm->caps.page_size - 1)) {
		log_debug(vm->ctx,
			  "gmem_vm_next_run: gpa %#llx is not a multiple of the page size "
			  "%#llx",
			  (unsigned long long)gpa, (unsigned long long)vm->caps.page_size);
		return -EINVAL;
	}
	do {
		look = look_begin(vm);
		rc = look_at_run(&look, gpa, run);
	} while (!look_is_current(&look));
	return rc;
}

int gmem_vm_next_section(struct gmem_vm *vm, uint64_t gpa, struct gmem_run *run)
{
	int rc = check_run(vm, "gmem_vm_next_section", run);
	struct section_view view;
	struct look look;

	if (rc)
		return rc;
	do {
		look = look_begin(vm);
		memset(run, 0, sizeof(*run));
		rc = gmem_layout_table_find(look.table, look.sequence, gpa, &view);
		if (!rc)
			continue;
		fill_run(&view, view.gpa, run);
		if (view.shadow)
			run->state = gmem_shadow_query(view.shadow,
						       view.offset >> vm->caps.page_shift,
						       view.size >> vm->caps.page_shift);
	} while (!look_is_current(&look));
	return rc;
}
