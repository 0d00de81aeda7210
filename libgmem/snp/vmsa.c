// SPDX-License-Identifier: LGPL-2.1-or-later
/* The first state of a vCPU, as VMMs and KVM make it. */
#include "snp/vmsa.h"

#include "log.h"

#include <errno.h>
#include <gmem/measure.h>
#include <string.h>

static_assert(GMEM_SNP_PAGE_SIZE == SNP_PAGE_SIZE, "a VMSA is a page");

/* Where the boot processor starts: 24593, 14.1.5, and all of them when nobody says otherwise. */
#define RESET_VECTOR UINT32_C(0xfffffff0)

/* State that all have: 24593, 14.1.3 (processor initialisation state), and what SVM adds. */
#define LIMIT UINT32_C(0xffff)
#define CS_SELECTOR UINT16_C(0xf000)
#define LDTR_ATTRIBUTES UINT16_C(0x82)
#define CR0_ET UINT64_C(0x10)
#define CR4_MCE UINT64_C(0x40) /* KVM keeps it set */
#define EFER_SVME UINT64_C(0x1000)
#define DR6_RESET UINT64_C(0xffff0ff0)
#define DR7_RESET UINT64_C(0x400)
#define RFLAGS_RESET UINT64_C(0x2)
#define XCR0_RESET UINT64_C(0x1)
#define PAT_RESET UINT64_C(0x0007040600070406)
#define MXCSR_RESET UINT32_C(0x1f80)
#define FCW_RESET UINT16_C(0x37f)
/* RDX holds the processor's signature; this is KVM's when nobody sets it. */
#define RDX_RESET UINT64_C(0x600)

#define FEATURE_SNP_ACTIVE UINT64_C(1)

/* What VMMs differ in. Attributes differ by bits that the guest cannot tell, but they are measured. */
struct flavour {
	uint16_t cs_first;
	uint16_t cs_others;
	uint16_t ss;
	uint16_t data; /* ds, es, fs, gs */
	uint16_t tr;
	uint16_t fcw;
	uint32_t mxcsr;
	uint64_t g_pat;
	bool has_signature;
	bool uses_ap_reset;
};

static const struct flavour flavours[] = {
	[GMEM_SNP_VMM_KVM] = {
		.cs_first = 0x9a,
		.cs_others = 0x9a,
		.ss = 0x92,
		.data = 0x92,
		.tr = 0x83,
		.fcw = FCW_RESET,
		.mxcsr = MXCSR_RESET,
		.g_pat = PAT_RESET,
	},
	[GMEM_SNP_VMM_QEMU] = {
		.cs_first = 0x9b,
		.cs_others = 0x9b,
		.ss = 0x93,
		.data = 0x93,
		.tr = 0x8b,
		.fcw = FCW_RESET,
		.mxcsr = MXCSR_RESET,
		.g_pat = PAT_RESET,
		.has_signature = true,
		.uses_ap_reset = true,
	},
	[GMEM_SNP_VMM_EC2] = {
		.cs_first = 0x9a,
		.cs_others = 0x9b,
		.ss = 0x92,
		.data = 0x93,
		.tr = 0x83,
		.g_pat = PAT_RESET,
		.uses_ap_reset = true,
	},
	[GMEM_SNP_VMM_GCE] = {
		.cs_first = 0x9b,
		.cs_others = 0x9b,
		.ss = 0x93,
		.data = 0x93,
		.tr = 0x8b,
		.g_pat = UINT64_C(0x70106),
		.uses_ap_reset = true,
	},
};

bool gmem_vmm_is_known(uint32_t vmm)
{
	return vmm < sizeof(flavours) / sizeof(flavours[0]);
}

static void fill_segments(const struct flavour *flavour, bool is_first, uint32_t start,
			  struct vmsa *vmsa)
{
	const struct vmsa_segment data = { .attributes = flavour->data, .limit = LIMIT };

	vmsa->cs = (struct vmsa_segment){
		.selector = CS_SELECTOR,
		.attributes = is_first ? flavour->cs_first : flavour->cs_others,
		.limit = LIMIT,
		.base = start & UINT32_C(0xffff0000),
	};
	vmsa->ss = (struct vmsa_segment){ .attributes = flavour->ss, .limit = LIMIT };
	vmsa->ds = data;
	vmsa->es = data;
	vmsa->fs = data;
	vmsa->gs = data;
	vmsa->gdtr.limit = LIMIT;
	vmsa->idtr.limit = LIMIT;
	vmsa->ldtr = (struct vmsa_segment){ .attributes = LDTR_ATTRIBUTES, .limit = LIMIT };
	vmsa->tr = (struct vmsa_segment){ .attributes = flavour->tr, .limit = LIMIT };
}

void gmem_vmsa_fill(const struct vmsa_source *source, bool is_first, struct vmsa *vmsa)
{
	const struct flavour *flavour = &flavours[source->vmm];
	uint32_t start = RESET_VECTOR;

	if (!is_first && flavour->uses_ap_reset)
		start = source->ap_reset;
	memset(vmsa, 0, sizeof(*vmsa));
	fill_segments(flavour, is_first, start, vmsa);
	vmsa->efer = EFER_SVME;
	vmsa->cr4 = CR4_MCE;
	vmsa->cr0 = CR0_ET;
	vmsa->dr7 = DR7_RESET;
	vmsa->dr6 = DR6_RESET;
	vmsa->rflags = RFLAGS_RESET;
	vmsa->rip = start & 0xffff;
	vmsa->g_pat = flavour->g_pat;
	vmsa->rdx = flavour->has_signature ? source->signature : RDX_RESET;
	vmsa->sev_features = source->features | FEATURE_SNP_ACTIVE;
	vmsa->xcr0 = XCR0_RESET;
	vmsa->mxcsr = flavour->mxcsr;
	vmsa->x87_fcw = flavour->fcw;
}

int gmem_snp_vmsa_build(struct gmem_ctx *ctx, uint32_t vmm, uint32_t index, uint32_t ap_reset,
			uint32_t signature, uint64_t features, uint8_t vmsa[GMEM_SNP_PAGE_SIZE])
{
	const struct vmsa_source source = {
		.vmm = vmm,
		.ap_reset = ap_reset,
		.signature = signature,
		.features = features,
	};
	struct vmsa filled;

	if (!gmem_vmm_is_known(vmm) || !vmsa) {
		log_error(ctx,
			  "gmem_snp_vmsa_build: vmm is %u and vmsa is %p; vmm must be "
			  "GMEM_SNP_VMM_*, 0 to %u, and vmsa not NULL",
			  vmm, (void *)vmsa, GMEM_SNP_VMM_GCE);
		return -EINVAL;
	}
	gmem_vmsa_fill(&source, index == 0, &filled);
	memcpy(vmsa, &filled, sizeof(filled));
	return 0;
}
