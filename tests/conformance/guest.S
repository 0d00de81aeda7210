/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs of the guest on a real kernel: 32-bit code for flat protected mode, at any address.
 * Arguments come in registers; all end with HLT.
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

	/* edi: address, eax: value */
	program	guest_program_store
	movl	%eax, (%edi)
	hlt

	/* esi: address; eax: the value */
	program	guest_program_load
	movl	(%esi), %eax
	hlt

	/* eax: number, ebx, ecx, edx: arguments; eax: the result */
	program	guest_program_vmcall
	vmcall
	hlt

	program	guest_programs_end

	.code64

#endif
