/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pins of a VM: a table of guest-physical ranges in memory that is reserved with the VM, so
 * that pinning allocates nothing. claim.h says how pins and operations find each other.
 */
#ifndef GMEM_PIN_TABLE_H
#define GMEM_PIN_TABLE_H

#include "wait.h"

/* 0 or -ENOMEM, without a message. */
int gmem_pin_table_init(struct gmem_vm *vm);
void gmem_pin_table_release(struct gmem_vm *vm);

/* Stores a pin, visible to claims that are granted from then on. 0 or -ENOSPC. */
int gmem_pin_table_add(struct gmem_vm *vm, uint64_t gpa, uint64_t size, uint32_t *slot);
/* The same pin, of fewer bytes. */
void gmem_pin_table_shrink(struct gmem_vm *vm, uint32_t slot, uint64_t size);
/* Wakes whoever waits for it. */
void gmem_pin_table_drop(struct gmem_vm *vm, uint32_t slot);
/* Whether a slot is that of such a pin. */
bool gmem_pin_table_has(struct gmem_vm *vm, uint32_t slot, uint64_t gpa, uint64_t size);

/*
 * The lowest part of a range that some pin has, page-aligned at both ends: false when there is
 * none. Exact for a range that the caller has claimed.
 */
bool gmem_pin_table_find(struct gmem_vm *vm, uint64_t gpa, uint64_t size,
			 struct gmem_range *pinned);

/* Waits while some pin has a part of a range, once, as the policy says. */
enum verdict gmem_pin_table_wait(struct gmem_vm *vm, uint64_t gpa, uint64_t size,
				 struct wait *wait);

#endif /* GMEM_PIN_TABLE_H */
