/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs of the guest on a real kernel: 32-bit code for flat protected mode, at any address.
 * Arguments come in registers, which guest.h names; all end with HLT.
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

	program	guest_programs

	program	guest_program_write
.Lwrite:
	movl	%eax, (%edi)
	addl	%edx, %edi
	decl	%ecx
	jnz	.Lwrite
	hlt

	program	guest_program_read
	movl	(%esi), %eax
	hlt

	program	guest_program_copy
	cld
	rep movsb
	hlt

	program	guest_program_sum
	xorl	%eax, %eax
.Lsum:
	addl	(%esi), %eax
	addl	%edx, %esi
	decl	%ecx
	jnz	.Lsum
	hlt

	program	guest_program_vmcall
	vmcall
	hlt

	program	guest_programs_end

	.code64

#endif
