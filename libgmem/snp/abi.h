/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lies in memory where the SNP firmware, the processor, OVMF and measuring VMMs look at it,
 * each offset held to its source:
 *
 *   56860   AMD, SEV Secure Nested Paging Firmware ABI Specification
 *   24593   AMD64 Architecture Programmer's Manual, volume 2, appendix B: layout of the VMCB
 *   svm.h   Linux, arch/x86/include/asm/svm.h, struct sev_es_save_area
 *   OVMF    EDK II, OvmfPkg/ResetVector: Ia16/ResetVectorVtf0.asm, X64/OvmfSevMetadata.asm
 *   QEMU    target/i386/sev.c: the table of kernel hashes, which
 *           EDK II, OvmfPkg/AmdSev/BlobVerifierLibSevHashes reads
 *
 * All numbers are little-endian.
 */
#ifndef GMEM_SNP_ABI_H
#define GMEM_SNP_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs are used as they lie");

#define AT(type, member, offset)                                                                   \
	static_assert(offsetof(struct type, member) == (offset), #type "." #member)
#define SIZE(type, size) static_assert(sizeof(struct type) == (size), #type)

#define SNP_PAGE_SIZE 4096u

/* 56860, 8.17.2, table of PAGE_INFO: what is hashed for each page that is added in a launch. */
struct page_info {
	uint8_t digest[48];   /* DIGEST_CUR: the launch digest before the page */
	uint8_t contents[48]; /* SHA-384 of the page, or zeros */
	uint16_t length;      /* of this struct */
	uint8_t page_type;
	uint8_t imi_page;
	uint8_t vmpl3_perms;
	uint8_t vmpl2_perms;
	uint8_t vmpl1_perms;
	uint8_t reserved;
	uint64_t gpa;
};
SIZE(page_info, 0x70);
AT(page_info, digest, 0x00);
AT(page_info, contents, 0x30);
AT(page_info, length, 0x60);
AT(page_info, page_type, 0x62);
AT(page_info, imi_page, 0x63);
AT(page_info, vmpl3_perms, 0x64);
AT(page_info, vmpl2_perms, 0x65);
AT(page_info, vmpl1_perms, 0x66);
AT(page_info, reserved, 0x67);
AT(page_info, gpa, 0x68);

/* 24593, table B-2, and svm.h, struct vmcb_seg. */
struct vmsa_segment {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit;
	uint64_t base;
};
SIZE(vmsa_segment, 0x10);
AT(vmsa_segment, selector, 0x0);
AT(vmsa_segment, attributes, 0x2);
AT(vmsa_segment, limit, 0x4);
AT(vmsa_segment, base, 0x8);

/* 24593, table B-4 (state save area of SEV-ES guests), and svm.h. */
struct vmsa {
	struct vmsa_segment es;
	struct vmsa_segment cs;
	struct vmsa_segment ss;
	struct vmsa_segment ds;
	struct vmsa_segment fs;
	struct vmsa_segment gs;
	struct vmsa_segment gdtr;
	struct vmsa_segment ldtr;
	struct vmsa_segment idtr;
	struct vmsa_segment tr;
	uint64_t pl_ssp[4];
	uint64_t u_cet;
	uint8_t reserved_0c8[2];
	uint8_t vmpl;
	uint8_t cpl;
	uint8_t reserved_0cc[4];
	uint64_t efer;
	uint8_t reserved_0d8[104];
	uint64_t xss;
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint64_t dr[4];
	uint64_t dr_addr_mask[4];
	uint8_t reserved_1c0[24];
	uint64_t rsp;
	uint64_t s_cet;
	uint64_t ssp;
	uint64_t isst_addr;
	uint64_t rax;
	uint64_t star;
	uint64_t lstar;
	uint64_t cstar;
	uint64_t sfmask;
	uint64_t kernel_gs_base;
	uint64_t sysenter_cs;
	uint64_t sysenter_esp;
	uint64_t sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_248[32];
	uint64_t g_pat;
	uint64_t dbgctl;
	uint64_t br_from;
	uint64_t br_to;
	uint64_t last_excp_from;
	uint64_t last_excp_to;
	uint8_t reserved_298[80];
	uint32_t pkru;
	uint32_t tsc_aux;
	uint64_t tsc_scale;
	uint64_t tsc_offset;
	uint8_t reserved_300[8];
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rbx;
	uint8_t reserved_320[8];
	uint64_t rbp;
	uint64_t rsi;
	uint64_t rdi;
	uint64_t r8_r15[8];
	uint8_t reserved_380[16];
	uint64_t guest_exit_info_1;
	uint64_t guest_exit_info_2;
	uint64_t guest_exit_int_info;
	uint64_t guest_nrip;
	uint64_t sev_features;
	uint64_t vintr_ctrl;
	uint64_t guest_exit_code;
	uint64_t virtual_tom;
	uint64_t tlb_id;
	uint64_t pcpu_id;
	uint64_t event_inj;
	uint64_t xcr0;
	uint8_t reserved_3f0[16];
	uint64_t x87_dp;
	uint32_t mxcsr;
	uint16_t x87_ftw;
	uint16_t x87_fsw;
	uint16_t x87_fcw;
	uint16_t x87_fop;
	uint16_t x87_ds;
	uint16_t x87_cs;
	uint64_t x87_rip;
	uint8_t fpreg_x87[80];
	uint8_t fpreg_xmm[256];
	uint8_t fpreg_ymm[256];
	uint8_t reserved_670[SNP_PAGE_SIZE - 0x670]; /* the page that is measured */
};
SIZE(vmsa, SNP_PAGE_SIZE);
AT(vmsa, es, 0x000);
AT(vmsa, cs, 0x010);
AT(vmsa, ss, 0x020);
AT(vmsa, ds, 0x030);
AT(vmsa, fs, 0x040);
AT(vmsa, gs, 0x050);
AT(vmsa, gdtr, 0x060);
AT(vmsa, ldtr, 0x070);
AT(vmsa, idtr, 0x080);
AT(vmsa, tr, 0x090);
AT(vmsa, pl_ssp, 0x0a0);
AT(vmsa, u_cet, 0x0c0);
AT(vmsa, reserved_0c8, 0x0c8);
AT(vmsa, vmpl, 0x0ca);
AT(vmsa, cpl, 0x0cb);
AT(vmsa, reserved_0cc, 0x0cc);
AT(vmsa, efer, 0x0d0);
AT(vmsa, reserved_0d8, 0x0d8);
AT(vmsa, xss, 0x140);
AT(vmsa, cr4, 0x148);
AT(vmsa, cr3, 0x150);
AT(vmsa, cr0, 0x158);
AT(vmsa, dr7, 0x160);
AT(vmsa, dr6, 0x168);
AT(vmsa, rflags, 0x170);
AT(vmsa, rip, 0x178);
AT(vmsa, dr, 0x180);
AT(vmsa, dr_addr_mask, 0x1a0);
AT(vmsa, reserved_1c0, 0x1c0);
AT(vmsa, rsp, 0x1d8);
AT(vmsa, s_cet, 0x1e0);
AT(vmsa, ssp, 0x1e8);
AT(vmsa, isst_addr, 0x1f0);
AT(vmsa, rax, 0x1f8);
AT(vmsa, star, 0x200);
AT(vmsa, lstar, 0x208);
AT(vmsa, cstar, 0x210);
AT(vmsa, sfmask, 0x218);
AT(vmsa, kernel_gs_base, 0x220);
AT(vmsa, sysenter_cs, 0x228);
AT(vmsa, sysenter_esp, 0x230);
AT(vmsa, sysenter_eip, 0x238);
AT(vmsa, cr2, 0x240);
AT(vmsa, reserved_248, 0x248);
AT(vmsa, g_pat, 0x268);
AT(vmsa, dbgctl, 0x270);
AT(vmsa, br_from, 0x278);
AT(vmsa, br_to, 0x280);
AT(vmsa, last_excp_from, 0x288);
AT(vmsa, last_excp_to, 0x290);
AT(vmsa, reserved_298, 0x298);
AT(vmsa, pkru, 0x2e8);
AT(vmsa, tsc_aux, 0x2ec);
AT(vmsa, tsc_scale, 0x2f0);
AT(vmsa, tsc_offset, 0x2f8);
AT(vmsa, reserved_300, 0x300);
AT(vmsa, rcx, 0x308);
AT(vmsa, rdx, 0x310);
AT(vmsa, rbx, 0x318);
AT(vmsa, reserved_320, 0x320);
AT(vmsa, rbp, 0x328);
AT(vmsa, rsi, 0x330);
AT(vmsa, rdi, 0x338);
AT(vmsa, r8_r15, 0x340);
AT(vmsa, reserved_380, 0x380);
AT(vmsa, guest_exit_info_1, 0x390);
AT(vmsa, guest_exit_info_2, 0x398);
AT(vmsa, guest_exit_int_info, 0x3a0);
AT(vmsa, guest_nrip, 0x3a8);
AT(vmsa, sev_features, 0x3b0);
AT(vmsa, vintr_ctrl, 0x3b8);
AT(vmsa, guest_exit_code, 0x3c0);
AT(vmsa, virtual_tom, 0x3c8);
AT(vmsa, tlb_id, 0x3d0);
AT(vmsa, pcpu_id, 0x3d8);
AT(vmsa, event_inj, 0x3e0);
AT(vmsa, xcr0, 0x3e8);
AT(vmsa, reserved_3f0, 0x3f0);
AT(vmsa, x87_dp, 0x400);
AT(vmsa, mxcsr, 0x408);
AT(vmsa, x87_ftw, 0x40c);
AT(vmsa, x87_fsw, 0x40e);
AT(vmsa, x87_fcw, 0x410);
AT(vmsa, x87_fop, 0x412);
AT(vmsa, x87_ds, 0x414);
AT(vmsa, x87_cs, 0x416);
AT(vmsa, x87_rip, 0x418);
AT(vmsa, fpreg_x87, 0x420);
AT(vmsa, fpreg_xmm, 0x470);
AT(vmsa, fpreg_ymm, 0x570);
AT(vmsa, reserved_670, 0x670);

/* OVMF, ResetVectorVtf0.asm: the end of an entry of the GUIDed table, whose data come before it. */
struct ovmf_entry_end {
	uint16_t length; /* of the whole entry, this included */
	uint8_t guid[16];
};
SIZE(ovmf_entry_end, 18);
AT(ovmf_entry_end, length, 0);
AT(ovmf_entry_end, guid, 2);

/* OVMF, ResetVectorVtf0.asm: what comes after the GUIDed table: the reset vector. */
#define OVMF_AFTER_TABLE 32u

/* OVMF, ResetVectorVtf0.asm: data of entries. They may be longer. */
struct ovmf_metadata_entry {
	uint32_t offset; /* of the metadata, back from the image's end */
};
SIZE(ovmf_metadata_entry, 4);
AT(ovmf_metadata_entry, offset, 0);

struct ovmf_reset_entry {
	uint32_t address;
};
SIZE(ovmf_reset_entry, 4);
AT(ovmf_reset_entry, address, 0);

struct ovmf_hashes_entry {
	uint32_t base; /* guest-physical */
	uint32_t size;
};
SIZE(ovmf_hashes_entry, 8);
AT(ovmf_hashes_entry, base, 0);
AT(ovmf_hashes_entry, size, 4);

struct ovmf_svsm_entry {
	uint32_t offset; /* of the entry point, from the image's start */
};
SIZE(ovmf_svsm_entry, 4);
AT(ovmf_svsm_entry, offset, 0);

/* OVMF, OvmfSevMetadata.asm. */
#define OVMF_METADATA_VERSION 1u
struct ovmf_metadata {
	uint8_t signature[4]; /* "ASEV" */
	uint32_t length;      /* of this and the sections */
	uint32_t version;
	uint32_t count; /* of sections, which follow */
};
SIZE(ovmf_metadata, 16);
AT(ovmf_metadata, signature, 0);
AT(ovmf_metadata, length, 4);
AT(ovmf_metadata, version, 8);
AT(ovmf_metadata, count, 12);

struct ovmf_metadata_section {
	uint32_t gpa;
	uint32_t size;
	uint32_t type;
};
SIZE(ovmf_metadata_section, 12);
AT(ovmf_metadata_section, gpa, 0);
AT(ovmf_metadata_section, size, 4);
AT(ovmf_metadata_section, type, 8);

/* QEMU, SevHashTableEntry: one entry of the table of kernel hashes. */
struct kernel_hash {
	uint8_t guid[16];
	uint8_t length[2]; /* of the entry; here it has no alignment */
	uint8_t hash[32];
};
SIZE(kernel_hash, 50);
AT(kernel_hash, guid, 0);
AT(kernel_hash, length, 16);
AT(kernel_hash, hash, 18);

/* QEMU, PaddedSevHashTable: the table, and zeros up to a multiple of 16 bytes. */
struct kernel_hash_table {
	uint8_t guid[16];
	uint8_t length[2]; /* of the table without padding */
	struct kernel_hash cmdline;
	struct kernel_hash initrd;
	struct kernel_hash kernel;
	uint8_t padding[8];
};
SIZE(kernel_hash_table, 176);
AT(kernel_hash_table, guid, 0);
AT(kernel_hash_table, length, 16);
AT(kernel_hash_table, cmdline, 18);
AT(kernel_hash_table, initrd, 68);
AT(kernel_hash_table, kernel, 118);
AT(kernel_hash_table, padding, 168);

#undef AT
#undef SIZE

#endif /* GMEM_SNP_ABI_H */
