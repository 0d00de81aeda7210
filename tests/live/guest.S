/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs of the guest in the live tests: 32-bit code for flat protected mode, at any address.
 * Arguments come in registers, which live.h names; all end with HLT.
 */
	.section .note.GNU-stack, "", @progbits

#if defined(__x86_64__)

	.macro	program name
	.globl	\name
	.hidden	\name
	.type	\name, @object
\name:
	.endm

	.section .rodata
	.balign	16
	.code32

	program	live_guest_start

	program	live_guest_write
.Lwrite:
	movl	%eax, (%edi)
	addl	%edx, %edi
	decl	%ecx
	jnz	.Lwrite
	hlt

	program	live_guest_read
	movl	(%esi), %eax
	hlt

	program	live_guest_copy
	cld
	rep movsb
	hlt

	program	live_guest_sum
	xorl	%eax, %eax
.Lsum:
	addl	(%esi), %eax
	addl	%edx, %esi
	decl	%ecx
	jnz	.Lsum
	hlt

	program	live_guest_end

	.code64

#endif
