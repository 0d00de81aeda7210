/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest of a few instructions, for tests that drive one on a real kernel. */
#ifndef LIVE_GUEST_H
#define LIVE_GUEST_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

/* Programs, in guest-programs.S. All end with HLT. */
extern const uint8_t guest_programs[];
extern const uint8_t guest_program_write[]; /* edi: to, eax: value, ecx: count, edx: stride */
extern const uint8_t guest_program_read[];  /* esi: address; eax: the value */
extern const uint8_t guest_program_copy[];  /* esi: from, edi: to, ecx: bytes */
extern const uint8_t guest_program_sum[]; /* esi: address, ecx: count, edx: stride; eax: the sum */
extern const uint8_t guest_program_vmcall[]; /* eax: number, ebx, ecx, edx: arguments; eax: result */
/*
 * edi: address, ecx: pages, esi: rounds. In each it turns the pages private and back by itself,
 * and writes to the first of them both times; eax: 0, what a hypercall said, or
 * GUEST_LOST_A_WORD where it did not find what it had written.
 */
extern const uint8_t guest_program_toggle[];
extern const uint8_t guest_programs_end[];

#define GUEST_LOST_A_WORD 0xffffffffu

/* Where a program is when guest_programs are at base. */
static inline uint64_t guest_program_at(uint64_t base, const uint8_t *program)
{
	return base + ((uintptr_t)program - (uintptr_t)guest_programs);
}

static inline size_t guest_programs_size(void)
{
	return (uintptr_t)guest_programs_end - (uintptr_t)guest_programs;
}

/* Flat 32-bit protected mode, without paging; 0 or a negative errno. */
int guest_set_mode(int vcpu_fd);

#endif

#endif /* LIVE_GUEST_H */
