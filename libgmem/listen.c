// SPDX-License-Identifier: LGPL-2.1-or-later
/* Listeners: made, told, told back, and let go. */
#include "listen.h"

#include "claim.h"
#include "exits.h"
#include "layout.h"
#include "log.h"
#include "range.h"
#include "shadow.h"

#include <errno.h>
#include <stdlib.h>

struct gmem_listener {
	struct gmem_vm *vm;
	struct gmem_listener *next;
	struct gmem_listener *previous;
	uint32_t events;
	uint32_t kinds;
	uint64_t granularity;
	gmem_listener_fn fn;
	struct closure *closure;
};

/* What comes of a listener's refusal. */
enum refusal {
	REFUSAL_ENDS,    /* nobody is to be told after all */
	REFUSAL_LEAVES,  /* it does without this, and hears of the rest */
	REFUSAL_IGNORED, /* it counts as told */
};

/* What one listener is told of at a time. */
struct telling {
	struct gmem_listener *listener;
	uint32_t event;
	const struct section_view *view;
	enum refusal refusal;
	bool guest; /* of a struct listen_part */
	bool refused;
};

static uint32_t opposite(uint32_t event)
{
	return event == GMEM_EVENT_ADD ? GMEM_EVENT_REMOVE : GMEM_EVENT_ADD;
}

static const char *event_name(uint32_t event)
{
	return event == GMEM_EVENT_ADD ? "add" : "remove";
}

static const char *what_comes_of_it(enum refusal refusal)
{
	switch (refusal) {
	case REFUSAL_LEAVES:
		return "; it stays shared, and the listener does without";
	case REFUSAL_IGNORED:
		return ", which is ignored";
	default:
		return "";
	}
}

static void log_refusal(const struct telling *telling, uint64_t gpa, uint64_t size, int error)
{
	struct gmem_vm *vm = telling->listener->vm;

	if (telling->guest && !gmem_exit_guard_may_log(vm, GMEM_LOG_ERROR))
		return;
	log_error(vm->ctx,
		  "VM descriptor %d: a listener answered %s of gpa %#llx, %#llx bytes, with %s%s",
		  vm->fd, event_name(telling->event), (unsigned long long)gpa,
		  (unsigned long long)size, gmem_error_name(error),
		  what_comes_of_it(telling->refusal));
}

static int call(struct telling *telling, uint64_t gpa, uint64_t size)
{
	const struct gmem_listener *listener = telling->listener;
	struct gmem_run run;
	int rc;

	gmem_view_run(telling->view, gpa, size, &run);
	count(&listener->vm->counters.listener_calls, 1);
	rc = listener->fn(telling->event, &run, listener->closure->opaque);
	if (!rc)
		return 0;
	log_refusal(telling, gpa, size, rc);
	telling->refused = true;
	return telling->refusal == REFUSAL_ENDS ? -ECANCELED : 0;
}

/* All of an aligned block that is there: in one section, and shared. */
static bool block_is_there(const struct gmem_listener *listener, const struct section_view *view,
			   uint64_t gpa)
{
	unsigned int shift = listener->vm->caps.page_shift;
	uint64_t size = listener->granularity;

	if (gpa < view->gpa || view->size < size || gpa - view->gpa > view->size - size)
		return false;
	if (!view->shadow)
		return true;
	return gmem_shadow_query(view->shadow, (view->offset + (gpa - view->gpa)) >> shift,
				 size >> shift) == GMEM_SHARED;
}

/* Block by block, up to `end`, which on failure becomes how far it came. */
static int call_in_blocks(struct telling *telling, const struct listen_part *part, uint64_t *end)
{
	uint64_t size = telling->listener->granularity, gpa = part->gpa & ~(size - 1);
	int rc = 0;

	for (; gpa < *end; gpa += size) {
		if (gpa >= part->from && block_is_there(telling->listener, part->view, gpa))
			rc = call(telling, gpa, size);
		if (rc)
			*end = gpa;
		/* The last block of all addresses. */
		if (gpa > UINT64_MAX - size)
			break;
	}
	return rc;
}

static bool wants(const struct gmem_listener *listener, uint32_t about,
		  const struct section_view *view)
{
	return listener->events & about && listener->kinds & (1u << view->kind);
}

/*
 * Tells one listener of a part. 0, or -ECANCELED: it refused, and was told of nothing, or
 * (REFUSAL_LEAVES) of all but what it refused. Where its answer is ignored always 0.
 */
static int tell_one(struct gmem_listener *listener, uint32_t event, const struct listen_part *part,
		    enum refusal refusal)
{
	struct telling telling = {
		.listener = listener,
		.event = event,
		.view = part->view,
		.refusal = refusal,
		.guest = part->guest,
	};
	uint64_t end = part->gpa + part->size;

	if (!listener->granularity)
		(void)call(&telling, part->gpa, part->size);
	else if (call_in_blocks(&telling, part, &end)) {
		telling.event = opposite(event);
		telling.refusal = REFUSAL_IGNORED;
		(void)call_in_blocks(&telling, part, &end);
	}
	return telling.refused && refusal != REFUSAL_IGNORED ? -ECANCELED : 0;
}

static struct gmem_listener *first_to_tell(const struct gmem_vm *vm, uint32_t event)
{
	return event == GMEM_EVENT_ADD ? vm->first_listener : vm->last_listener;
}

static struct gmem_listener *next_to_tell(const struct gmem_listener *listener, uint32_t event)
{
	return event == GMEM_EVENT_ADD ? listener->next : listener->previous;
}

bool gmem_listen_is_on(const struct gmem_vm *vm, uint32_t about)
{
	const struct gmem_listener *listener = vm->first_listener;

	while (listener && !(listener->events & about))
		listener = listener->next;
	return listener != NULL;
}

void gmem_listen_tell_anyway(struct gmem_vm *vm, uint32_t about, uint32_t event,
			     const struct listen_part *part)
{
	struct gmem_listener *listener = first_to_tell(vm, event);

	for (; listener; listener = next_to_tell(listener, event)) {
		if (wants(listener, about, part->view))
			(void)tell_one(listener, event, part, REFUSAL_IGNORED);
	}
}

int gmem_listen_tell_all(struct gmem_vm *vm, uint32_t about, uint32_t event,
			 const struct listen_part *part)
{
	struct gmem_listener *listener = first_to_tell(vm, event);
	int rc = 0;

	for (; listener; listener = next_to_tell(listener, event)) {
		if (wants(listener, about, part->view) &&
		    tell_one(listener, event, part, REFUSAL_LEAVES))
			rc = -ECANCELED;
	}
	return rc;
}

/* Those who were told before one who refused, the last of them first. */
static void take_back(struct gmem_listener *refuser, uint32_t about, uint32_t event,
		      const struct listen_part *part)
{
	struct gmem_listener *listener = next_to_tell(refuser, opposite(event));

	for (; listener; listener = next_to_tell(listener, opposite(event))) {
		if (wants(listener, about, part->view))
			(void)tell_one(listener, opposite(event), part, REFUSAL_IGNORED);
	}
}

int gmem_listen_tell(struct gmem_vm *vm, uint32_t about, uint32_t event,
		     const struct listen_part *part)
{
	struct gmem_listener *listener = first_to_tell(vm, event);
	int rc = 0;

	for (; listener; listener = next_to_tell(listener, event)) {
		if (!wants(listener, about, part->view))
			continue;
		rc = tell_one(listener, event, part, REFUSAL_ENDS);
		if (!rc)
			continue;
		take_back(listener, about, event, part);
		break;
	}
	return rc;
}

/* The shared part of a section from an address on; false when there is none. */
static bool next_shared(const struct gmem_vm *vm, const struct section_view *view, uint64_t gpa,
			uint64_t end, struct listen_part *part)
{
	unsigned int shift = vm->caps.page_shift;
	uint32_t state = GMEM_SHARED;
	uint64_t size;

	for (; gpa < end; gpa += size) {
		size = end - gpa;
		if (view->shadow)
			size = gmem_shadow_run(view->shadow,
					       (view->offset + (gpa - view->gpa)) >> shift,
					       size >> shift, &state)
			       << shift;
		if (state != GMEM_SHARED)
			continue;
		*part = (struct listen_part){ .view = view, .gpa = gpa, .size = size };
		return true;
	}
	return false;
}

static bool is_memory(const struct section_view *view)
{
	return view->kind != GMEM_KIND_RESERVED;
}

int gmem_listen_tell_section(struct gmem_vm *vm, uint32_t about, uint32_t event,
			     const struct section_view *view, uint64_t gpa, uint64_t size)
{
	struct listen_part part = { .gpa = gpa };
	int rc = 0;

	while (is_memory(view) && !rc &&
	       next_shared(vm, view, part.gpa + part.size, gpa + size, &part))
		rc = gmem_listen_tell(vm, about, event, &part);
	if (rc)
		gmem_listen_tell_section_anyway(vm, about, opposite(event), view, gpa,
						part.gpa - gpa);
	return rc;
}

void gmem_listen_tell_section_anyway(struct gmem_vm *vm, uint32_t about, uint32_t event,
				     const struct section_view *view, uint64_t gpa, uint64_t size)
{
	struct listen_part part = { .gpa = gpa };

	while (is_memory(view) && next_shared(vm, view, part.gpa + part.size, gpa + size, &part))
		gmem_listen_tell_anyway(vm, about, event, &part);
}

/* A listener alone: all there is up to an address, which on failure becomes how far it came. */
static int replay(struct gmem_listener *listener, uint32_t event, enum refusal refusal,
		  uint64_t *end)
{
	const struct layout_table *table = &listener->vm->layout->table;
	struct section_view view;
	struct listen_part part;
	uint64_t gpa = 0;
	int rc = 0;

	while (gpa < *end && gmem_layout_look(table, gpa, &view) && view.gpa < *end) {
		uint64_t stop = view.gpa + view.size < *end ? view.gpa + view.size : *end;

		part = (struct listen_part){ .gpa = view.gpa };
		while (is_memory(&view) && listener->kinds & (1u << view.kind) &&
		       next_shared(listener->vm, &view, part.gpa + part.size, stop, &part)) {
			rc = tell_one(listener, event, &part, refusal);
			if (rc) {
				*end = part.gpa;
				return rc;
			}
		}
		gpa = view.gpa + view.size;
	}
	return 0;
}

static int check_listener(const struct gmem_vm *vm, uint32_t events, uint32_t kinds,
			  uint64_t granularity, gmem_listener_fn fn)
{
	const uint32_t all_kinds = GMEM_LISTEN_RAM | GMEM_LISTEN_ROM | GMEM_LISTEN_DEVICE;

	if (!(events & (GMEM_LISTEN_CONVERT | GMEM_LISTEN_LAYOUT)) || events & ~GMEM_LISTEN_ALL) {
		log_error(vm->ctx,
			  "gmem_listener_new: events are %#x; they must be GMEM_LISTEN_CONVERT, "
			  "LAYOUT or both, and REPLAY or not",
			  events);
		return -EINVAL;
	}
	if (!kinds || kinds & ~all_kinds) {
		log_error(vm->ctx,
			  "gmem_listener_new: kinds are %#x; they must be some of GMEM_LISTEN_RAM, "
			  "ROM and DEVICE",
			  kinds);
		return -EINVAL;
	}
	if (granularity && (!is_power_of_two(granularity) || granularity < vm->caps.page_size)) {
		log_error(
			vm->ctx,
			"gmem_listener_new: granularity is %#llx; it must be 0, or a power of two "
			"and at least the page size %#llx",
			(unsigned long long)granularity, (unsigned long long)vm->caps.page_size);
		return -EINVAL;
	}
	if (!fn) {
		log_error(vm->ctx, "gmem_listener_new: fn is NULL, it must be a function");
		return -EINVAL;
	}
	return 0;
}

/* Blocks are powers of two, so the largest has all others whole. */
static void set_block(struct gmem_vm *vm)
{
	const struct gmem_listener *listener;
	uint64_t largest = 0;

	for (listener = vm->first_listener; listener; listener = listener->next) {
		if (listener->granularity > largest)
			largest = listener->granularity;
	}
	gmem_claims_set_block(vm, largest);
}

static void append(struct gmem_listener *listener)
{
	struct gmem_vm *vm = listener->vm;

	listener->previous = vm->last_listener;
	if (vm->last_listener)
		vm->last_listener->next = listener;
	else
		vm->first_listener = listener;
	vm->last_listener = listener;
	set_block(vm);
}

static void unlink_listener(struct gmem_listener *listener)
{
	struct gmem_vm *vm = listener->vm;

	if (listener->previous)
		listener->previous->next = listener->next;
	else
		vm->first_listener = listener->next;
	if (listener->next)
		listener->next->previous = listener->previous;
	else
		vm->last_listener = listener->previous;
	set_block(vm);
}

static void destroy(struct gmem_listener *listener)
{
	struct gmem_vm *vm = listener->vm;

	gmem_closure_put(listener->closure);
	free(listener);
	gmem_vm_put(vm);
}

/* All there is: nobody else is at work then. */
static const struct gmem_range all_addresses = { .gpa = 0, .size = UINT64_MAX };

static int start(struct gmem_listener *listener)
{
	struct gmem_report report = { .stage = GMEM_STAGE_PREPARE };
	struct gmem_vm *vm = listener->vm;
	uint64_t end = UINT64_MAX;
	struct claim claim;
	struct wait wait;
	int rc;

	wait_init(&wait, vm, &report, GMEM_OPERATION_LISTENER, false);
	rc = gmem_claim_take_quietly(vm, &claim, &all_addresses, 1, &wait);
	if (rc) {
		log_error(vm->ctx, "gmem_listener_new: VM descriptor %d: %s", vm->fd,
			  rc == -EDEADLK ? "this is a callback of an operation on it"
					 : "an operation is at work");
		return rc;
	}
	if (listener->events & GMEM_LISTEN_REPLAY)
		rc = replay(listener, GMEM_EVENT_ADD, REFUSAL_ENDS, &end);
	if (rc)
		(void)replay(listener, GMEM_EVENT_REMOVE, REFUSAL_IGNORED, &end);
	else
		append(listener);
	gmem_claim_release(vm, &claim);
	return rc;
}

static struct gmem_listener *create(struct gmem_vm *vm, struct closure *closure)
{
	struct gmem_listener *listener = closure ? calloc(1, sizeof(*listener)) : NULL;

	if (!listener) {
		log_error(vm->ctx, "gmem_listener_new: no memory for %zu bytes", sizeof(*listener));
		return NULL;
	}
	listener->vm = gmem_vm_get(vm);
	listener->closure = gmem_closure_get(closure);
	return listener;
}

static int make_listener(struct gmem_vm *vm, const struct gmem_listener *wanted,
			 struct closure *closure, struct gmem_listener **listener)
{
	struct gmem_listener *made;
	int rc = check_listener(vm, wanted->events, wanted->kinds, wanted->granularity, wanted->fn);

	if (rc)
		return rc;
	made = create(vm, closure);
	if (!made)
		return -ENOMEM;
	made->events = wanted->events;
	made->kinds = wanted->kinds;
	made->granularity = wanted->granularity;
	made->fn = wanted->fn;
	rc = start(made);
	if (rc)
		destroy(made);
	else
		*listener = made;
	return rc;
}

int gmem_listener_new(struct gmem_vm *vm, uint32_t events, uint32_t kinds, uint64_t granularity,
		      gmem_listener_fn fn, void *opaque, gmem_free_fn free_fn,
		      struct gmem_listener **listener)
{
	const struct gmem_listener wanted = {
		.events = events,
		.kinds = kinds,
		.granularity = granularity,
		.fn = fn,
	};
	struct closure *closure = gmem_closure_new(opaque, free_fn);
	int rc = gmem_vm_check(vm, "gmem_listener_new");

	if (listener)
		*listener = NULL;
	if (!rc && !listener) {
		log_error(vm->ctx, "gmem_listener_new: listener is NULL, it must be an address");
		rc = -EINVAL;
	}
	if (!rc)
		rc = make_listener(vm, &wanted, closure, listener);
	gmem_closure_put(closure);
	return rc;
}

/* Waits for as long as it takes: there is no way to say that it did not work. */
static int stop(struct gmem_listener *listener)
{
	struct gmem_report report = { .stage = GMEM_STAGE_PREPARE };
	struct gmem_vm *vm = listener->vm;
	uint64_t end = UINT64_MAX;
	struct claim claim;
	struct wait wait;
	int rc;

	wait_init(&wait, vm, &report, GMEM_OPERATION_LISTENER, false);
	wait.patient = true;
	rc = gmem_claim_take_quietly(vm, &claim, &all_addresses, 1, &wait);
	if (rc) {
		log_error(
			vm->ctx,
			"gmem_listener_free: VM descriptor %d: this is a callback of an operation "
			"on it, where no listener can be freed",
			vm->fd);
		return rc;
	}
	unlink_listener(listener);
	if (listener->events & GMEM_LISTEN_REPLAY)
		(void)replay(listener, GMEM_EVENT_REMOVE, REFUSAL_IGNORED, &end);
	gmem_claim_release(vm, &claim);
	return 0;
}

int gmem_listener_free(struct gmem_listener *listener)
{
	int rc = 0;

	if (!listener)
		return 0;
	/*
	 * Of a VM that has ended nobody is told, and in a child there is nothing to wait for. The
	 * list, which has no lock then, is left as it is: nobody walks it any more.
	 */
	if (!vm_is_forked(listener->vm) && !atomic_load(&listener->vm->ended))
		rc = stop(listener);
	if (!rc)
		destroy(listener);
	return rc;
}
