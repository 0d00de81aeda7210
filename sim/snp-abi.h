/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What passes between a VMM, KVM and the SEV-SNP firmware: structs, numbers and layouts. "Linux"
 * is arch/x86/include/uapi/asm/kvm.h and include/uapi/linux/psp-sev.h, "56860" AMD's SEV Secure
 * Nested Paging Firmware ABI Specification, "APM" volume 2 of AMD's Programmer's Manual (24593).
 */
#ifndef SIM_SNP_ABI_H
#define SIM_SNP_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* These structs are hashed as they lie in memory. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "guest_memfd has little-endian hosts");

#define SNP_PAGE_SIZE 4096u
#define SNP_DIGEST_SIZE 48u

/* enum sev_cmd_id, Linux asm/kvm.h. */
#define SNP_CMD_INIT2 22u
#define SNP_CMD_LAUNCH_START 100u
#define SNP_CMD_LAUNCH_UPDATE 101u
#define SNP_CMD_LAUNCH_FINISH 102u
#define SNP_CMD_ENABLE_REQ_CERTS 103u

/* KVM_SEV_SNP_PAGE_TYPE_*, Linux asm/kvm.h; PAGE_TYPE of 56860, SNP_LAUNCH_UPDATE. */
#define SNP_PAGE_NORMAL 1u
#define SNP_PAGE_VMSA 2u
#define SNP_PAGE_ZERO 3u
#define SNP_PAGE_UNMEASURED 4u
#define SNP_PAGE_SECRETS 5u
#define SNP_PAGE_CPUID 6u

/* sev_ret_code, Linux psp-sev.h; status codes of 56860. */
#define SNP_FW_SUCCESS 0x0u
#define SNP_FW_INVALID_GUEST_STATE 0x3u
#define SNP_FW_POLICY_FAILURE 0x7u
#define SNP_FW_BAD_SIGNATURE 0xau
#define SNP_FW_BAD_MEASUREMENT 0xbu
#define SNP_FW_INVALID_PARAMETER 0x16u
#define SNP_FW_INVALID_KEY 0x27u

/* The guest policy: 56860, guest policy structure. */
#define SNP_POLICY_ABI UINT64_C(0xffff) /* least version: major in 15:8, minor in 7:0 */
#define SNP_POLICY_RESERVED_ONE (UINT64_C(1) << 17)

/* SEV_FEATURES of a VMSA: APM, appendix B. */
#define SNP_FEATURE_ACTIVE (UINT64_C(1) << 0)

/* The only GHCB version that an SNP guest can have; 0 stands for it. Linux arch/x86/kvm/svm/sev.c. */
#define SNP_GHCB_VERSION 2u

/* Attributes of KVM_X86_GRP_SEV, Linux asm/kvm.h. */
#define SNP_ATTRIBUTE_VMSA_FEATURES 0u
#define SNP_ATTRIBUTE_POLICY_BITS 1u
#define SNP_ATTRIBUTE_REQ_CERTS 2u

/* struct kvm_sev_init, Linux asm/kvm.h. */
struct snp_init {
	uint64_t vmsa_features;
	uint32_t flags;
	uint16_t ghcb_version;
	uint16_t pad1;
	uint32_t pad2[8];
};

static_assert(sizeof(struct snp_init) == 48, "Linux asm/kvm.h, kvm_sev_init");
static_assert(offsetof(struct snp_init, vmsa_features) == 0, "Linux asm/kvm.h, kvm_sev_init");
static_assert(offsetof(struct snp_init, flags) == 8, "Linux asm/kvm.h, kvm_sev_init");
static_assert(offsetof(struct snp_init, ghcb_version) == 12, "Linux asm/kvm.h, kvm_sev_init");

/* struct kvm_sev_snp_launch_start, Linux asm/kvm.h. */
struct snp_launch_start {
	uint64_t policy;
	uint8_t gosvw[16];
	uint16_t flags;
	uint8_t pad0[6];
	uint64_t pad1[4];
};

static_assert(sizeof(struct snp_launch_start) == 64, "Linux asm/kvm.h, kvm_sev_snp_launch_start");
static_assert(offsetof(struct snp_launch_start, policy) == 0,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_start");
static_assert(offsetof(struct snp_launch_start, gosvw) == 8,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_start");
static_assert(offsetof(struct snp_launch_start, flags) == 24,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_start");

/* struct kvm_sev_snp_launch_update, Linux asm/kvm.h. */
struct snp_launch_update {
	uint64_t gfn_start;
	uint64_t uaddr;
	uint64_t len;
	uint8_t type;
	uint8_t pad0;
	uint16_t flags;
	uint32_t pad1;
	uint64_t pad2[4];
};

static_assert(sizeof(struct snp_launch_update) == 64, "Linux asm/kvm.h, kvm_sev_snp_launch_update");
static_assert(offsetof(struct snp_launch_update, gfn_start) == 0,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_update");
static_assert(offsetof(struct snp_launch_update, uaddr) == 8,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_update");
static_assert(offsetof(struct snp_launch_update, len) == 16,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_update");
static_assert(offsetof(struct snp_launch_update, type) == 24,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_update");
static_assert(offsetof(struct snp_launch_update, flags) == 26,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_update");

/* struct kvm_sev_snp_launch_finish, Linux asm/kvm.h. */
struct snp_launch_finish {
	uint64_t id_block_uaddr;
	uint64_t id_auth_uaddr;
	uint8_t id_block_en;
	uint8_t auth_key_en;
	uint8_t vcek_disabled;
	uint8_t host_data[32];
	uint8_t pad0[3];
	uint16_t flags;
	uint64_t pad1[4];
};

static_assert(sizeof(struct snp_launch_finish) == 88, "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, id_block_uaddr) == 0,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, id_auth_uaddr) == 8,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, id_block_en) == 16,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, auth_key_en) == 17,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, vcek_disabled) == 18,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, host_data) == 19,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, pad0) == 51,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");
static_assert(offsetof(struct snp_launch_finish, flags) == 54,
	      "Linux asm/kvm.h, kvm_sev_snp_launch_finish");

/* PAGE_INFO, of which the launch digest is a chain: 56860, SNP_LAUNCH_UPDATE, measurement. */
struct snp_page_info {
	uint8_t digest[SNP_DIGEST_SIZE];
	uint8_t contents[SNP_DIGEST_SIZE];
	uint16_t length;
	uint8_t page_type;
	uint8_t imi_page;
	uint8_t vmpl3_permissions;
	uint8_t vmpl2_permissions;
	uint8_t vmpl1_permissions;
	uint8_t reserved;
	uint64_t gpa;
};

static_assert(sizeof(struct snp_page_info) == 0x70, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, digest) == 0, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, contents) == 0x30, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, length) == 0x60, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, page_type) == 0x62, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, imi_page) == 0x63, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, vmpl3_permissions) == 0x64, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, vmpl2_permissions) == 0x65, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, vmpl1_permissions) == 0x66, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, reserved) == 0x67, "56860, PAGE_INFO");
static_assert(offsetof(struct snp_page_info, gpa) == 0x68, "56860, PAGE_INFO");

/* One entry of a CPUID page: 56860, CPUID_FUNCTION. */
struct snp_cpuid_entry {
	uint32_t eax_in;
	uint32_t ecx_in;
	uint64_t xcr0_in;
	uint64_t xss_in;
	uint32_t eax;
	uint32_t ebx;
	uint32_t ecx;
	uint32_t edx;
	uint64_t reserved;
};

static_assert(sizeof(struct snp_cpuid_entry) == 48, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, eax_in) == 0, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, ecx_in) == 4, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, xcr0_in) == 8, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, xss_in) == 16, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, eax) == 24, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, ebx) == 28, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, ecx) == 32, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, edx) == 36, "56860, CPUID_FUNCTION");
static_assert(offsetof(struct snp_cpuid_entry, reserved) == 40, "56860, CPUID_FUNCTION");

#define SNP_CPUID_ENTRIES 64u

/* A CPUID page: 56860, CPUID page format. */
struct snp_cpuid_page {
	uint32_t count;
	uint32_t reserved1;
	uint64_t reserved2;
	struct snp_cpuid_entry entry[SNP_CPUID_ENTRIES];
	uint8_t unused[1008];
};

static_assert(sizeof(struct snp_cpuid_page) == SNP_PAGE_SIZE, "56860, CPUID page format");
static_assert(offsetof(struct snp_cpuid_page, entry) == 16, "56860, CPUID page format");

/* A secrets page, as far as the simulated firmware fills it in: 56860, secrets page format. */
struct snp_secrets_page {
	uint32_t version;
	uint32_t flags;
	uint32_t fms;
	uint32_t reserved;
	uint8_t gosvw[16];
	uint8_t vmpck[4][32];
	uint8_t unused[0xf60];
};

static_assert(sizeof(struct snp_secrets_page) == SNP_PAGE_SIZE, "56860, secrets page format");
static_assert(offsetof(struct snp_secrets_page, fms) == 8, "56860, secrets page format");
static_assert(offsetof(struct snp_secrets_page, gosvw) == 0x10, "56860, secrets page format");
static_assert(offsetof(struct snp_secrets_page, vmpck) == 0x20, "56860, secrets page format");
static_assert(offsetof(struct snp_secrets_page, unused) == 0xa0, "56860, secrets page format");

/* 56860, ID block structure. */
struct snp_id_block {
	uint8_t launch_digest[SNP_DIGEST_SIZE];
	uint8_t family_id[16];
	uint8_t image_id[16];
	uint32_t version;
	uint32_t guest_svn;
	uint64_t policy;
};

static_assert(sizeof(struct snp_id_block) == 96, "56860, ID block");
static_assert(offsetof(struct snp_id_block, family_id) == 48, "56860, ID block");
static_assert(offsetof(struct snp_id_block, image_id) == 64, "56860, ID block");
static_assert(offsetof(struct snp_id_block, version) == 80, "56860, ID block");
static_assert(offsetof(struct snp_id_block, guest_svn) == 84, "56860, ID block");
static_assert(offsetof(struct snp_id_block, policy) == 88, "56860, ID block");

#define SNP_ID_BLOCK_VERSION 1u
#define SNP_KEY_ALGORITHM_P384 1u /* ECDSA P-384 with SHA-384 */
#define SNP_CURVE_P384 2u
#define SNP_COMPONENT_SIZE 72u /* of a key or a signature, little-endian */

/* 56860, format of an ECDSA public key. */
struct snp_key {
	uint32_t curve;
	uint8_t qx[SNP_COMPONENT_SIZE];
	uint8_t qy[SNP_COMPONENT_SIZE];
	uint8_t reserved[0x370];
};

static_assert(sizeof(struct snp_key) == 0x404, "56860, ECDSA public key");
static_assert(offsetof(struct snp_key, qx) == 4, "56860, ECDSA public key");
static_assert(offsetof(struct snp_key, qy) == 76, "56860, ECDSA public key");

/* 56860, format of an ECDSA signature. */
struct snp_signature {
	uint8_t r[SNP_COMPONENT_SIZE];
	uint8_t s[SNP_COMPONENT_SIZE];
	uint8_t reserved[0x170];
};

static_assert(sizeof(struct snp_signature) == 0x200, "56860, ECDSA signature");
static_assert(offsetof(struct snp_signature, s) == 72, "56860, ECDSA signature");

/* 56860, ID authentication information structure. */
struct snp_id_auth {
	uint32_t id_key_algorithm;
	uint32_t author_key_algorithm;
	uint8_t reserved1[0x38];
	struct snp_signature block_signature;
	struct snp_key id_key;
	uint8_t reserved2[0x3c];
	struct snp_signature id_key_signature;
	struct snp_key author_key;
	uint8_t reserved3[0x37c];
};

static_assert(sizeof(struct snp_id_auth) == 4096, "56860, ID authentication information");
static_assert(offsetof(struct snp_id_auth, author_key_algorithm) == 4,
	      "56860, ID authentication information");
static_assert(offsetof(struct snp_id_auth, block_signature) == 0x40,
	      "56860, ID authentication information");
static_assert(offsetof(struct snp_id_auth, id_key) == 0x240,
	      "56860, ID authentication information");
static_assert(offsetof(struct snp_id_auth, id_key_signature) == 0x680,
	      "56860, ID authentication information");
static_assert(offsetof(struct snp_id_auth, author_key) == 0x880,
	      "56860, ID authentication information");

/* A segment register in a VMSA: APM, appendix B, table B-4. */
struct snp_segment {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit;
	uint64_t base;
};

static_assert(sizeof(struct snp_segment) == 16, "APM, table B-4");
static_assert(offsetof(struct snp_segment, attributes) == 2, "APM, table B-4");
static_assert(offsetof(struct snp_segment, limit) == 4, "APM, table B-4");
static_assert(offsetof(struct snp_segment, base) == 8, "APM, table B-4");

/* The page that holds a vCPU's state: APM, appendix B, table B-4. */
struct snp_vmsa {
	struct snp_segment es;
	struct snp_segment cs;
	struct snp_segment ss;
	struct snp_segment ds;
	struct snp_segment fs;
	struct snp_segment gs;
	struct snp_segment gdtr;
	struct snp_segment ldtr;
	struct snp_segment idtr;
	struct snp_segment tr;
	uint8_t unused0[0x30];
	uint64_t efer;
	uint8_t unused1[0x70];
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint8_t unused2[0x58];
	uint64_t rsp;
	uint8_t unused3[0x18];
	uint64_t rax;
	uint8_t unused4[0x40];
	uint64_t cr2;
	uint8_t unused5[0x20];
	uint64_t g_pat;
	uint8_t unused6[0x98];
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rbx;
	uint8_t unused7[8];
	uint64_t rbp;
	uint64_t rsi;
	uint64_t rdi;
	uint64_t r8;
	uint64_t r9;
	uint64_t r10;
	uint64_t r11;
	uint64_t r12;
	uint64_t r13;
	uint64_t r14;
	uint64_t r15;
	uint8_t unused8[0x30];
	uint64_t sev_features;
	uint8_t unused9[0x30];
	uint64_t xcr0;
	uint8_t unused10[0x18];
	uint32_t mxcsr;
	uint16_t x87_ftw;
	uint16_t x87_fsw;
	uint16_t x87_fcw;
	uint8_t unused11[0xbee];
};

static_assert(sizeof(struct snp_vmsa) == SNP_PAGE_SIZE, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, cs) == 0x10, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, ss) == 0x20, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, ds) == 0x30, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, fs) == 0x40, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, gs) == 0x50, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, gdtr) == 0x60, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, ldtr) == 0x70, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, idtr) == 0x80, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, tr) == 0x90, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, efer) == 0xd0, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, cr4) == 0x148, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, cr3) == 0x150, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, cr0) == 0x158, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, dr7) == 0x160, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, dr6) == 0x168, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rflags) == 0x170, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rip) == 0x178, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rsp) == 0x1d8, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rax) == 0x1f8, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, cr2) == 0x240, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, g_pat) == 0x268, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rcx) == 0x308, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rdx) == 0x310, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rbx) == 0x318, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rbp) == 0x328, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rsi) == 0x330, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, rdi) == 0x338, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, r8) == 0x340, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, r15) == 0x378, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, sev_features) == 0x3b0, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, xcr0) == 0x3e8, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, mxcsr) == 0x408, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, x87_ftw) == 0x40c, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, x87_fsw) == 0x40e, "APM, table B-4");
static_assert(offsetof(struct snp_vmsa, x87_fcw) == 0x410, "APM, table B-4");

#endif /* SIM_SNP_ABI_H */
