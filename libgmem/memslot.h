/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's side of sections: memslots, and under per-VM tracking the addresses' attributes. */
#ifndef GMEM_MEMSLOT_H
#define GMEM_MEMSLOT_H

#include "section.h"

/*
 * Each does to the kernel what it does to a section, whole or not at all, and sends a message when
 * it fails. A section with GMEM_SLOT_NONE has attributes only, a reserved range has nothing.
 * 0; -ENOMEM, -EEXIST, -EIO.
 */
int gmem_memslot_add(struct gmem_vm *vm, const struct section *section);
/* lost: it failed, and what was taken away already could not be put back. */
int gmem_memslot_remove(struct gmem_vm *vm, const struct section *section, bool *lost);
/* From the flags of one to those of the other, in place: dirty logging of plain slots. */
int gmem_memslot_change_flags(struct gmem_vm *vm, const struct section *section);

/* Whether the section takes a memslot call at all. */
bool gmem_memslot_is_used(const struct gmem_vm *vm, const struct section *section);

#endif /* GMEM_MEMSLOT_H */
