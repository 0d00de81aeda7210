// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Makes a change of the layout: from steps to a list, from two lists to calls, and all of them or
 * none. What goes is taken away first, then flags change, then what comes is added.
 */
#include "layout_commit.h"

#include "layout_tell.h"
#include "listen.h"
#include "log.h"
#include "memslot.h"
#include "pin_table.h"
#include "range.h"
#include "windows.h"

#include <errno.h>
#include <stdlib.h>

static int no_memory(const struct gmem_vm *vm, const char *what)
{
	log_error(vm->ctx, "VM descriptor %d: no memory for %s", vm->fd, what);
	return -ENOMEM;
}

static int edit(struct commit *commit)
{
	const struct section_list *before = &commit->layout->sections;
	uint32_t i;
	int rc = 0;

	/* One more for each step, which is also what keep_what_is_stuck() takes. */
	if (gmem_section_list_copy(&commit->next, before, commit->step_count))
		return no_memory(commit->vm, "a list of sections");
	for (i = 0; i < commit->step_count && !rc; i++)
		rc = gmem_layout_edit(commit->vm, before, &commit->next, &commit->steps[i],
				      commit->numbered ? i + 1 : 0);
	return rc;
}

/* The kernel need not hear of it: nothing that it knows differs. */
static bool is_same_slot(const struct section *a, const struct section *b)
{
	return sections_are_same_window(a, b) && a->slot == b->slot && a->plain == b->plain;
}

static bool differs_in_readonly(const struct section *a, const struct section *b)
{
	return (a->flags ^ b->flags) & GMEM_MAP_READONLY;
}

static bool differs_in_dirty_log(const struct section *a, const struct section *b)
{
	return (a->flags ^ b->flags) & GMEM_MAP_DIRTY_LOG;
}

/* Counts a difference, and notes it once there is room for them all. */
static void note(struct commit *commit, enum action_kind kind, const struct section *old,
		 const struct section *fresh)
{
	struct action *action;

	commit->count++;
	if (!commit->actions)
		return;
	action = &commit->actions[commit->count - 1];
	action->kind = kind;
	if (old)
		action->old = *old;
	if (fresh)
		action->fresh = *fresh;
	commit->slot_calls += gmem_memslot_is_used(commit->vm, old ? old : fresh);
}

/* What one kind of action is to do about the sections at one address, of which one may be NULL. */
static void compare(struct commit *commit, enum action_kind kind, const struct section *old,
		    const struct section *fresh)
{
	bool same = old && fresh && is_same_slot(old, fresh) && !differs_in_readonly(old, fresh);

	if (kind == ACTION_REMOVE && old && !same)
		note(commit, kind, old, NULL);
	else if (kind == ACTION_ADD && fresh && !same)
		note(commit, kind, NULL, fresh);
	else if (kind == ACTION_SET_FLAGS && same && differs_in_dirty_log(old, fresh))
		note(commit, kind, old, fresh);
}

/* The kernel never hears of reserved ranges. */
static const struct section *skip_reserved(const struct section_list *list, uint32_t *index)
{
	while (*index < list->count && section_is_reserved(&list->items[*index]))
		++*index;
	return *index < list->count ? &list->items[*index] : NULL;
}

/* Walks both lists in step. Without reserved ranges no two sections of one begin together. */
static void compare_lists(struct commit *commit, enum action_kind kind)
{
	const struct section_list *before = &commit->layout->sections;
	const struct section_list *next = &commit->next;
	uint32_t i = 0, k = 0;

	for (;;) {
		const struct section *old = skip_reserved(before, &i);
		const struct section *fresh = skip_reserved(next, &k);

		if (!old && !fresh)
			break;
		if (old && fresh && section_is_before(old, fresh->address_space, fresh->gpa))
			fresh = NULL;
		else if (old && fresh && section_is_before(fresh, old->address_space, old->gpa))
			old = NULL;
		compare(commit, kind, old, fresh);
		i += old != NULL;
		k += fresh != NULL;
	}
}

static void collect(struct commit *commit)
{
	commit->count = 0;
	compare_lists(commit, ACTION_REMOVE);
	compare_lists(commit, ACTION_SET_FLAGS);
	compare_lists(commit, ACTION_ADD);
}

static int plan(struct commit *commit)
{
	collect(commit);
	if (!commit->count)
		return 0;
	commit->actions = calloc(commit->count, sizeof(*commit->actions));
	if (!commit->actions)
		return no_memory(commit->vm, "a list of memslot calls");
	collect(commit);
	return 0;
}

static int do_action(struct commit *commit, const struct action *action, bool *lost)
{
	*lost = false;
	switch (action->kind) {
	case ACTION_REMOVE:
		return gmem_memslot_remove(commit->vm, &action->old, lost);
	case ACTION_SET_FLAGS:
		return gmem_memslot_change_flags(commit->vm, &action->fresh);
	default:
		return gmem_memslot_add(commit->vm, &action->fresh);
	}
}

static int undo_action(struct commit *commit, const struct action *action)
{
	bool lost;
	int rc;

	switch (action->kind) {
	case ACTION_REMOVE:
		return gmem_memslot_add(commit->vm, &action->old);
	case ACTION_SET_FLAGS:
		return gmem_memslot_change_flags(commit->vm, &action->old);
	default:
		rc = gmem_memslot_remove(commit->vm, &action->fresh, &lost);
		return lost ? 0 : rc;
	}
}

/* Collects, from the end of the array on, what could not be undone. */
static void keep_stuck(struct commit *commit, const struct action *action, uint32_t *stuck)
{
	struct action copy = *action;

	commit->actions[commit->count - ++*stuck] = copy;
}

/* Sections that cannot both be: one place, or one slot (KVM takes the call for a move of it). */
static bool sections_collide(const struct gmem_vm *vm, const struct section *a,
			     const struct section *b)
{
	if (a->address_space != b->address_space)
		return false;
	return ranges_overlap(a->gpa, a->size, b->gpa, b->size) ||
	       (gmem_memslot_is_used(vm, a) && gmem_memslot_is_used(vm, b) && a->slot == b->slot);
}

/* Whether what came and could not be taken away again is where something would go back. */
static bool is_blocked(const struct commit *commit, const struct action *action, uint32_t stuck)
{
	uint32_t i;

	if (action->kind != ACTION_REMOVE)
		return false;
	for (i = commit->count - stuck; i < commit->count; i++) {
		const struct action *other = &commit->actions[i];

		if (other->kind == ACTION_ADD &&
		    sections_collide(commit->vm, &other->fresh, &action->old))
			return true;
	}
	return false;
}

/*
 * Stops at the first that fails, and undoes those before it in reverse. What is kept as stuck
 * never overwrites what is still to be undone: it is no more than what has been looked at.
 */
static int run_actions(struct commit *commit, uint32_t *stuck)
{
	bool lost = false;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < commit->count && !rc; i++)
		rc = do_action(commit, &commit->actions[i], &lost);
	if (!rc)
		return 0;
	if (lost)
		keep_stuck(commit, &commit->actions[i - 1], stuck);
	for (i--; i-- > 0;) {
		if (is_blocked(commit, &commit->actions[i], *stuck) ||
		    undo_action(commit, &commit->actions[i]))
			keep_stuck(commit, &commit->actions[i], stuck);
	}
	return rc;
}

static void list_drop(struct section_list *list, const struct section *section)
{
	uint32_t i;

	for (i = 0; i < list->count; i++) {
		if (!is_same_slot(&list->items[i], section))
			continue;
		gmem_section_list_remove(list, i);
		return;
	}
}

/* Reserved ranges, of which the kernel knows nothing, give way to what is there. */
static void list_make_way(struct section_list *list, const struct section *section)
{
	uint32_t i;

	for (i = list->count; i-- > 0;) {
		const struct section *other = &list->items[i];

		if (other->address_space == section->address_space &&
		    ranges_overlap(other->gpa, other->size, section->gpa, section->size))
			gmem_section_list_remove(list, i);
	}
}

/*
 * The kernel failed, and failed again when it was to go back. The layout then is what the kernel
 * has, not what anybody wanted: next becomes the old list with these actions done.
 */
static void keep_what_is_stuck(struct commit *commit, uint32_t stuck)
{
	const struct section_list *before = &commit->layout->sections;
	uint32_t i;

	/* There is room: whoever made next saw to it. */
	commit->next.count = 0;
	for (i = 0; i < before->count; i++)
		gmem_section_list_insert(&commit->next, &before->items[i]);
	for (i = commit->count - stuck; i < commit->count; i++) {
		const struct action *action = &commit->actions[i];

		if (action->kind != ACTION_ADD)
			list_drop(&commit->next, &action->old);
		if (action->kind == ACTION_ADD)
			list_make_way(&commit->next, &action->fresh);
		if (action->kind != ACTION_REMOVE)
			gmem_section_list_insert(&commit->next, &action->fresh);
		log_error(commit->vm->ctx,
			  "VM descriptor %d: gpa %#llx could not be put back; the layout is "
			  "without this, as KVM is",
			  commit->vm->fd,
			  (unsigned long long)(action->kind == ACTION_REMOVE ? action->old.gpa
									     : action->fresh.gpa));
	}
}

static int pause_vcpus(const struct commit *commit, bool *paused)
{
	const struct gmem_vm_config *config = &commit->vm->config;
	int rc = 0;

	*paused = false;
	if (!config->pause || commit->slot_calls <= 1)
		return 0;
	rc = config->pause(config->closure->opaque);
	if (rc) {
		log_error(commit->vm->ctx,
			  "VM descriptor %d: the pause callback refused with %s; %u memslot calls "
			  "are not made",
			  commit->vm->fd, gmem_error_name(rc), commit->slot_calls);
		return -ECANCELED;
	}
	*paused = true;
	return 0;
}

static uint32_t count_slots(const struct gmem_vm *vm, const struct section_list *list)
{
	uint32_t slots = 0, i;

	for (i = 0; i < list->count; i++)
		slots += gmem_memslot_is_used(vm, &list->items[i]);
	return slots;
}

void gmem_layout_republish(struct layout *layout)
{
	pthread_mutex_lock(&layout->show_lock);
	gmem_layout_table_publish(&layout->table, &layout->sections);
	pthread_mutex_unlock(&layout->show_lock);
}

/* Shows readers the new list. */
static void publish(struct commit *commit)
{
	struct layout *layout = commit->layout;
	uint32_t i;

	for (i = 0; i < commit->next.count; i++)
		gmem_region_get(commit->next.items[i].region);
	pthread_mutex_lock(&layout->show_lock);
	commit->old = layout->sections;
	layout->sections = commit->next;
	layout->generation++;
	gmem_layout_table_publish(&layout->table, &layout->sections);
	pthread_mutex_unlock(&layout->show_lock);
	commit->next = (struct section_list){ 0 };
	atomic_store_explicit(&layout->slots_used, count_slots(commit->vm, &layout->sections),
			      memory_order_relaxed);
}

/* What nobody sees any more, with the regions that no other list has. */
static void let_go_of_old(struct commit *commit)
{
	uint32_t i;

	for (i = 0; i < commit->old.count; i++)
		gmem_region_put(commit->old.items[i].region);
	gmem_section_list_free(&commit->old);
}

/*
 * The kernel's part. 0, or the layout is as it was; or it is what the kernel has, where that could
 * not go back, and *stuck says so.
 */
static int do_actions(struct commit *commit, uint32_t *stuck)
{
	bool paused;
	int rc = pause_vcpus(commit, &paused);

	if (rc)
		return rc;
	rc = run_actions(commit, stuck);
	if (rc && *stuck)
		keep_what_is_stuck(commit, *stuck);
	if (!rc || *stuck)
		publish(commit);
	/* Only now: whoever handles a vCPU's next exit must find the layout that it ran on. */
	if (paused)
		commit->vm->config.resume(commit->vm->config.closure->opaque);
	return rc;
}

/*
 * Makes the layout what it was before; -ECANCELED even if that fails, and then it is as it is.
 * wanted is what listeners would have heard of, had they not refused.
 */
static int revert(struct commit *commit, const struct section_list *wanted)
{
	struct commit back = { .vm = commit->vm, .layout = commit->layout };
	uint32_t stuck = 0;
	/* Room for all that could stay: what there is, and what had come back by then. */
	int rc = gmem_section_list_copy(&back.next, &commit->old, commit->layout->sections.count);

	if (!rc)
		rc = plan(&back);
	if (!rc)
		rc = do_actions(&back, &stuck);
	if (rc)
		log_error(
			commit->vm->ctx,
			"VM descriptor %d: a listener refused a change of the layout, which could "
			"not be taken back (%s) and stays",
			commit->vm->fd, gmem_error_name(rc));
	gmem_layout_tell_back(commit->vm, &commit->old, wanted, &commit->layout->sections);
	let_go_of_old(&back);
	gmem_section_list_free(&back.next);
	free(back.actions);
	return -ECANCELED;
}

/* What was made from a layout that is not there any more. */
static void forget(struct commit *commit)
{
	gmem_section_list_free(&commit->next);
	free(commit->actions);
	commit->actions = NULL;
	commit->count = commit->slot_calls = 0;
}

/* The addresses that a section has of bytes that a step maps, as far as they are not claimed. */
static int note_window(struct commit *commit, const struct section *section,
		       const struct step *step)
{
	uint64_t from = step->offset, to = step->offset + step->size, gpa;

	if (section->address_space || section->region != step->region ||
	    !ranges_overlap(section->offset, section->size, step->offset, step->size))
		return 0;
	from = from > section->offset ? from : section->offset;
	to = lower(to, section->offset + section->size);
	gpa = section->gpa + (from - section->offset);
	if (gmem_range_list_covers(commit->claimed, gpa, to - from))
		return 0;
	return gmem_range_list_append(&commit->missing, gpa, to - from);
}

static bool adds_a_window(const struct step *step)
{
	return (step->kind == STEP_MAP || step->kind == STEP_MAP_ALIAS) && !step->address_space &&
	       step->region && region_is_shown_twice(step->region);
}

static int check_windows(struct commit *commit)
{
	const struct section_list *sections = &commit->layout->sections;
	uint32_t i, k;

	for (i = 0; i < commit->step_count; i++) {
		if (!adds_a_window(&commit->steps[i]))
			continue;
		for (k = 0; k < sections->count; k++) {
			if (note_window(commit, &sections->items[k], &commit->steps[i]))
				return no_memory(commit->vm, "the addresses of a region");
		}
	}
	return commit->missing.count ? -ESTALE : 0;
}

static int prepare_locked(struct commit *commit)
{
	int rc = edit(commit);

	if (!rc)
		rc = check_windows(commit);
	if (!rc)
		rc = plan(commit);
	commit->generation = commit->layout->generation;
	return rc;
}

int gmem_commit_prepare(struct commit *commit)
{
	struct layout *layout = commit->layout;
	int rc;

	pthread_mutex_lock(&layout->lock);
	rc = prepare_locked(commit);
	if (!rc && gmem_listen_is_on(commit->vm, GMEM_LISTEN_LAYOUT) &&
	    gmem_layout_going(&layout->sections, &commit->next, &commit->going))
		rc = no_memory(commit->vm, "a list of sections");
	pthread_mutex_unlock(&layout->lock);
	return rc;
}

bool gmem_commit_next_removed(const struct commit *commit, uint32_t *i, struct gmem_range *range)
{
	while (*i < commit->count) {
		const struct action *action = &commit->actions[(*i)++];

		if (action->kind != ACTION_REMOVE || action->old.address_space)
			continue;
		*range = (struct gmem_range){ .gpa = action->old.gpa, .size = action->old.size };
		return true;
	}
	return false;
}

bool gmem_commit_is_pinned(const struct commit *commit)
{
	struct gmem_range range, pinned;
	uint32_t i = 0;

	while (gmem_commit_next_removed(commit, &i, &range)) {
		if (gmem_pin_table_find(commit->vm, range.gpa, range.size, &pinned))
			return true;
	}
	return false;
}

int gmem_commit_tell_going(struct commit *commit)
{
	int rc = gmem_layout_tell_going(commit->vm, &commit->going);

	commit->told = !rc && commit->going.count;
	return rc;
}

/* From the kernel's calls to the listeners of what came. */
static int finish_locked(struct commit *commit, const struct section_list *wanted)
{
	uint32_t stuck = 0;
	int rc = do_actions(commit, &stuck);

	if (rc && !stuck)
		return rc;
	/* From here on it is not as it was: what listeners are to hear is no longer just that. */
	commit->told = false;
	if (rc)
		gmem_layout_tell_back(commit->vm, &commit->old, wanted, &commit->layout->sections);
	else if (gmem_layout_tell_coming(commit->vm, &commit->old, wanted))
		rc = revert(commit, wanted);
	let_go_of_old(commit);
	return rc;
}

static int do_locked(struct commit *commit)
{
	struct section_list wanted = { 0 };
	int rc = 0;

	/* Others have changed other addresses meanwhile. */
	if (commit->generation != commit->layout->generation) {
		forget(commit);
		rc = prepare_locked(commit);
		/* With other numbers for memslots other slots may go than those that were waited for. */
		if (!rc && gmem_commit_is_pinned(commit))
			rc = -ESTALE;
	}
	/* For listeners, after the change, when next is gone. */
	if (!rc && gmem_listen_is_on(commit->vm, GMEM_LISTEN_LAYOUT) &&
	    gmem_section_list_copy(&wanted, &commit->next, 0))
		rc = no_memory(commit->vm, "a list of sections");
	if (!rc)
		rc = finish_locked(commit, &wanted);
	gmem_section_list_free(&wanted);
	return rc;
}

int gmem_commit_do(struct commit *commit)
{
	int rc;

	pthread_mutex_lock(&commit->layout->lock);
	rc = do_locked(commit);
	pthread_mutex_unlock(&commit->layout->lock);
	return rc;
}

void gmem_commit_end(struct commit *commit)
{
	if (commit->told)
		gmem_layout_tell_stays(commit->vm, &commit->going);
	commit->told = false;
	gmem_section_list_free(&commit->going);
	forget(commit);
}
