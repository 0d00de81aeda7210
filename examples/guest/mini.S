/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest of 04-mini-vmm: 32-bit code for flat protected mode without paging. It is data of the
 * host program, between mini_guest_start and mini_guest_end; the host copies it to MINI_CODE_GPA.
 */
#include "mini.h"

	.section .note.GNU-stack, "", @progbits

#if defined(__x86_64__)

/* Where a label is when the guest runs. */
#define GPA(label) (label - mini_guest_start + MINI_CODE_GPA)

	.section .rodata
	.balign 16
	.globl mini_guest_start
	.globl mini_guest_end
	.hidden mini_guest_start
	.hidden mini_guest_end
	.type mini_guest_start, @object
	.code32

mini_guest_start:
	movl	$MINI_CODE_GPA, %esp
	cld

	/* Say hello, and repeat what the host left for us. */
	movl	$GPA(.Lhello), %esi
	call	.Lprint
	movl	$GPA(.Lecho_begin), %esi
	call	.Lprint
	movl	$MINI_MESSAGE_GPA, %esi
	call	.Lprint
	movl	$GPA(.Lecho_end), %esi
	call	.Lprint

	/* A number in low RAM, above the first MiB. */
	movl	$MINI_NUMBER, MINI_NUMBER_GPA

	/* Nothing is mapped there: KVM hands this read to the host. */
	movl	MINI_HOLE_GPA, %eax
	movl	%eax, MINI_PROBE_GPA

	/* The message in capitals, above the hole. */
	movl	$MINI_MESSAGE_GPA, %esi
	movl	$MINI_ANSWER_GPA, %edi
.Lcapital:
	lodsb
	cmpb	$'a', %al
	jb	.Lstore
	cmpb	$'z', %al
	ja	.Lstore
	subb	$('a' - 'A'), %al
.Lstore:
	stosb
	testb	%al, %al
	jnz	.Lcapital

	/* The last bytes of all RAM. */
	movl	$GPA(.Llast), %esi
	movl	$MINI_LAST_GPA, %edi
	movl	$(.Llast_end - .Llast), %ecx
	rep movsb

	movl	$GPA(.Lbye), %esi
	call	.Lprint
	hlt

/* Writes the text at %esi, up to its NUL, to the serial port. */
.Lprint:
	movl	$MINI_SERIAL_PORT, %edx
.Lnext:
	lodsb
	testb	%al, %al
	jz	.Lprinted
	outb	%al, %dx
	jmp	.Lnext
.Lprinted:
	ret

.Lhello:
	.asciz	"hello from the guest\n"
.Lecho_begin:
	.asciz	"the host told me: "
.Lecho_end:
	.asciz	"\n"
.Lbye:
	.asciz	"all written, halting\n"
.Llast:
	.asciz	MINI_LAST
.Llast_end:

mini_guest_end:
	.size mini_guest_start, mini_guest_end - mini_guest_start
	.code64

#endif
