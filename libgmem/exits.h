/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM keeps of its guest's exits, made and freed with it. */
#ifndef GMEM_EXITS_PRIVATE_H
#define GMEM_EXITS_PRIVATE_H

#include "vm.h"

/* 0 or -ENOMEM, without a message. */
int gmem_exit_guard_new(struct gmem_vm *vm);
void gmem_exit_guard_free(struct gmem_vm *vm);

/*
 * Counts a fault of a vCPU (known by its kvm_run) for which nothing was to be changed: how many
 * times in a row that makes, of the same page, with nothing converted meanwhile.
 */
uint32_t gmem_exit_guard_repeat(struct gmem_vm *vm, const void *vcpu, uint64_t gpa);

/* Whether a message that a guest caused may be sent now; if not, and it were heard, it is counted. */
bool gmem_exit_guard_may_log(struct gmem_vm *vm, uint32_t level);

#endif /* GMEM_EXITS_PRIVATE_H */
