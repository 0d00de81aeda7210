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

	program	guest_program_toggle
	movl	%edi, %ebx
	movl	%ecx, %ebp
.Ltoggle:
	movl	$12, %eax /* MAP_GPA_RANGE */
	movl	%ebp, %ecx
	movl	$0x10, %edx /* to private */
	vmcall
	testl	%eax, %eax
	jnz	.Ltoggled
	movl	%esi, (%edi)
	cmpl	%esi, (%edi)
	jne	.Llost
	movl	$12, %eax
	movl	%ebp, %ecx
	xorl	%edx, %edx /* to shared */
	vmcall
	testl	%eax, %eax
	jnz	.Ltoggled
	movl	%esi, 4(%edi)
	cmpl	%esi, 4(%edi)
	jne	.Llost
	decl	%esi
	jnz	.Ltoggle
.Ltoggled:
	hlt
.Llost:
	movl	$-1, %eax
	hlt

	program	guest_programs_end

	.code64

#endif
