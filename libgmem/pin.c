// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pins: ranges that stay shared and mapped. claim.h says why none is ever overlooked. */
#include "pin.h"

#include "claim.h"
#include "compiler.h"
#include "log.h"
#include "pin_table.h"
#include "range.h"

#include <errno.h>
#include <gmem/access.h>
#include <string.h>

#define PIN_FLAGS (GMEM_ACCESS_WRITE | GMEM_ACCESS_PARTIAL | GMEM_ACCESS_WAIT)

/* What opaque[] of a pin holds. */
enum {
	PIN_VM,
	PIN_SLOT,
	PIN_GPA,
};

static __attribute__((noinline)) int no_slot(const struct gmem_vm *vm, const char *function)
{
	/* Whoever has a device pin what the guest says has as many as the guest likes. */
	log_debug(vm->ctx, "%s: VM descriptor %d has %u pins, which is all it can have", function,
		  vm->fd, GMEM_PINS_MAX);
	return -ENOSPC;
}

static __attribute__((noinline)) int at_work(const struct gmem_vm *vm, const char *function,
					     uint64_t gpa, uint64_t size, int error)
{
	log_debug(
		vm->ctx,
		"%s: gpa %#llx, %#llx bytes: a conversion or a layout change of them is at work%s",
		function, (unsigned long long)gpa, (unsigned long long)size,
		error == -EDEADLK ? ", and this is a callback of it" : "");
	return error;
}

/* Once: 0, -EAGAIN, or -ENOSPC. */
static ALWAYS_INLINE int try_to_pin(struct gmem_vm *vm, const char *function, uint64_t gpa,
				    uint64_t size, uint32_t *slot)
{
	uint32_t seen;

	if (unlikely(gmem_pin_table_add(vm, gpa, size, slot)))
		return no_slot(vm, function);
	if (likely(!gmem_claim_covers(vm, gpa, size, &seen)))
		return 0;
	/* It came first, or at the same time. It must not wait for what waits for it. */
	gmem_pin_table_drop(vm, *slot);
	return -EAGAIN;
}

/*
 * Until nothing is at work on the range. Giving way wakes whoever waits, so it is done once, and
 * what there is to wait for is asked for afterwards: a pin that came and went at each waking would
 * wake the next, and itself, and nobody would ever sleep.
 */
static __attribute__((noinline)) int wait_and_pin(struct gmem_vm *vm, const char *function,
						  uint64_t gpa, uint64_t size, uint32_t *slot)
{
	struct gmem_report report = { .stage = GMEM_STAGE_PREPARE };
	struct gmem_range part;
	struct wait wait;
	uint32_t seen;
	int rc;

	wait_init(&wait, vm, &report, GMEM_OPERATION_PIN, !vm->config.deadline_ns);
	do {
		while (gmem_claim_find(vm, gpa, size, &seen, &part)) {
			gmem_wait_note(&wait, GMEM_OBSTACLE_OPERATION, part.gpa, part.size);
			rc = gmem_claim_wait(vm, seen, &wait);
			if (rc)
				return at_work(vm, function, gpa, size, rc);
		}
		rc = try_to_pin(vm, function, gpa, size, slot);
	} while (rc == -EAGAIN);
	return rc;
}

int gmem_pin_take(struct gmem_vm *vm, const char *function, struct translation *translation,
		  uint32_t flags, uint32_t *slot)
{
	uint64_t gpa = translation->gpa, size = translation->size;
	int rc = try_to_pin(vm, function, gpa, size, slot);

	if (rc == -EAGAIN)
		rc = flags & GMEM_ACCESS_WAIT ? wait_and_pin(vm, function, gpa, size, slot)
					      : at_work(vm, function, gpa, size, rc);
	if (rc)
		return rc;
	rc = gmem_translate(vm, translation);
	if (!rc)
		return 0;
	gmem_pin_table_drop(vm, *slot);
	return gmem_access_refused(vm, translation, gpa, size, rc);
}

static __attribute__((noinline)) int check_pin(struct gmem_vm *vm, uint64_t gpa, uint64_t size,
					       uint32_t flags, const struct gmem_pin *pin)
{
	int rc = gmem_vm_check(vm, "gmem_vm_pin");

	/* Of no VM it is never 0, which analyzers cannot see. */
	if (rc || !vm)
		return rc;
	if (!pin) {
		log_error(vm->ctx, "gmem_vm_pin: pin is NULL, it must be an address");
		return -EINVAL;
	}
	return gmem_access_check(vm, "gmem_vm_pin", gpa, size, flags, PIN_FLAGS);
}

int gmem_vm_pin(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t flags,
		struct gmem_pin *pin)
{
	struct translation translation = { .gpa = gpa, .size = size, .flags = flags };
	uint32_t slot = 0;
	int rc;

	if (pin)
		memset(pin, 0, sizeof(*pin));
	if (!vm || vm_is_forked(vm) || !pin || flags & ~PIN_FLAGS || !range_is_valid(gpa, size))
		return check_pin(vm, gpa, size, flags, pin);
	rc = gmem_pin_take(vm, "gmem_vm_pin", &translation, flags, &slot);
	if (rc)
		return rc;
	if (translation.size)
		gmem_pin_table_shrink(vm, slot, size - translation.size);
	pin->host = (void *)(uintptr_t)translation.host;
	pin->size = size - translation.size;
	pin->opaque[PIN_VM] = address_of(vm);
	pin->opaque[PIN_SLOT] = slot;
	pin->opaque[PIN_GPA] = gpa;
	return 0;
}

static bool is_zero(const struct gmem_pin *pin)
{
	static const struct gmem_pin none;

	return !memcmp(pin, &none, sizeof(none));
}

static bool is_pin_of(struct gmem_vm *vm, const struct gmem_pin *pin)
{
	return pin->opaque[PIN_VM] == address_of(vm) && pin->opaque[PIN_SLOT] <= UINT32_MAX &&
	       gmem_pin_table_has(vm, (uint32_t)pin->opaque[PIN_SLOT], pin->opaque[PIN_GPA],
				  pin->size);
}

void gmem_vm_unpin(struct gmem_vm *vm, struct gmem_pin *pin)
{
	if (!vm || !pin || vm_is_forked(vm))
		return;
	if (is_pin_of(vm, pin)) {
		gmem_pin_table_drop(vm, (uint32_t)pin->opaque[PIN_SLOT]);
		memset(pin, 0, sizeof(*pin));
	} else if (!is_zero(pin)) {
		log_error(
			vm->ctx,
			"gmem_vm_unpin: VM descriptor %d has no pin of gpa %#llx, %#llx bytes; was "
			"it released already, or is it another VM's?",
			vm->fd, (unsigned long long)pin->opaque[PIN_GPA],
			(unsigned long long)pin->size);
	}
}
