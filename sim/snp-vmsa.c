// SPDX-License-Identifier: LGPL-2.1-or-later
/* From a vCPU's registers to the page that the firmware measures, as KVM does it. */
#include "sim/snp-vmsa.h"

/* Bits of a segment's attributes in a VMSA: APM, 15.5, VMCB. */
#define TYPE 0x00fu
#define S_SHIFT 4u
#define DPL_SHIFT 5u
#define PRESENT_SHIFT 7u
#define AVL_SHIFT 8u
#define L_SHIFT 9u
#define DB_SHIFT 10u
#define G_SHIFT 11u

#define CR0_ET UINT64_C(0x10)
#define CR0_NW_CD UINT64_C(0x60000000)
#define CR4_MCE UINT64_C(0x40)
#define EFER_SVME UINT64_C(0x1000)
#define RFLAGS_ONE UINT64_C(0x2)

static struct snp_segment convert_segment(const struct sim_kvm_segment *from)
{
	unsigned int attributes = from->type & TYPE;

	attributes |= (from->s & 1u) << S_SHIFT;
	attributes |= (from->dpl & 3u) << DPL_SHIFT;
	attributes |= (from->present && !from->unusable ? 1u : 0u) << PRESENT_SHIFT;
	attributes |= (from->avl & 1u) << AVL_SHIFT;
	attributes |= (from->l & 1u) << L_SHIFT;
	attributes |= (from->db & 1u) << DB_SHIFT;
	attributes |= (from->g & 1u) << G_SHIFT;
	return (struct snp_segment){
		.selector = from->selector,
		.attributes = (uint16_t)attributes,
		.limit = from->limit,
		.base = from->base,
	};
}

static struct snp_segment convert_table(const struct sim_kvm_dtable *from)
{
	return (struct snp_segment){ .limit = from->limit, .base = from->base };
}

static void set_sregs(struct snp_vmsa *vmsa, const struct sim_kvm_sregs *sregs)
{
	vmsa->es = convert_segment(&sregs->es);
	vmsa->cs = convert_segment(&sregs->cs);
	vmsa->ss = convert_segment(&sregs->ss);
	vmsa->ds = convert_segment(&sregs->ds);
	vmsa->fs = convert_segment(&sregs->fs);
	vmsa->gs = convert_segment(&sregs->gs);
	vmsa->gdtr = convert_table(&sregs->gdt);
	vmsa->ldtr = convert_segment(&sregs->ldt);
	vmsa->idtr = convert_table(&sregs->idt);
	vmsa->tr = convert_segment(&sregs->tr);
	/* KVM runs a guest under SVM, with the cache on and with machine checks, whatever it set. */
	vmsa->efer = sregs->efer | EFER_SVME;
	vmsa->cr4 = sregs->cr4 | CR4_MCE;
	vmsa->cr3 = sregs->cr3;
	vmsa->cr2 = sregs->cr2;
	vmsa->cr0 = (sregs->cr0 | CR0_ET) & ~CR0_NW_CD;
}

static void set_regs(struct snp_vmsa *vmsa, const struct sim_kvm_regs *regs)
{
	vmsa->rflags = regs->rflags | RFLAGS_ONE;
	vmsa->rip = regs->rip;
	vmsa->rsp = regs->rsp;
	vmsa->rax = regs->rax;
	vmsa->rcx = regs->rcx;
	vmsa->rdx = regs->rdx;
	vmsa->rbx = regs->rbx;
	vmsa->rbp = regs->rbp;
	vmsa->rsi = regs->rsi;
	vmsa->rdi = regs->rdi;
	vmsa->r8 = regs->r8;
	vmsa->r9 = regs->r9;
	vmsa->r10 = regs->r10;
	vmsa->r11 = regs->r11;
	vmsa->r12 = regs->r12;
	vmsa->r13 = regs->r13;
	vmsa->r14 = regs->r14;
	vmsa->r15 = regs->r15;
}

static void set_fpu(struct snp_vmsa *vmsa, const struct sim_kvm_fpu *fpu)
{
	vmsa->mxcsr = fpu->mxcsr;
	vmsa->x87_ftw = fpu->ftwx;
	vmsa->x87_fsw = fpu->fsw;
	vmsa->x87_fcw = fpu->fcw;
}

void gmem_sim_snp_vmsa_build(const struct sim_vcpu_state *state, uint64_t features,
			     struct snp_vmsa *vmsa)
{
	*vmsa = (struct snp_vmsa){
		.dr7 = state->dr7,
		.dr6 = state->dr6,
		.g_pat = state->pat,
		.sev_features = features,
		.xcr0 = state->xcr0,
	};
	set_sregs(vmsa, &state->sregs);
	set_regs(vmsa, &state->regs);
	set_fpu(vmsa, &state->fpu);
}
