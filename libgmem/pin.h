/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pins from inside. */
#ifndef GMEM_PIN_PRIVATE_H
#define GMEM_PIN_PRIVATE_H

#include "access.h"

/*
 * Keeps a range of guest addresses as it is, and translates it: shared, and mapped, until the slot
 * is given back (gmem_pin_table_drop()). 0, or a negative errno with its message.
 */
int gmem_pin_take(struct gmem_vm *vm, const char *function, struct translation *translation,
		  uint32_t flags, uint32_t *slot);

#endif /* GMEM_PIN_PRIVATE_H */
