/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private definitions of what the simulator has of KVM's interface besides libgmem/uapi/kvm.h:
 * vCPUs, exits, SEV. Numbers and layouts are those of linux/kvm.h and asm/kvm.h of x86.
 */
#ifndef SIM_KVM_H
#define SIM_KVM_H

#include "libgmem/uapi/kvm.h"

#define SIM_KVM_API_VERSION 12
#define SIM_KVM_RUN_SIZE 12288u /* KVM_GET_VCPU_MMAP_SIZE on x86 */

/* ioctls, api.rst */
#define SIM_KVM_ENABLE_CAP 0x4068aea3u
#define SIM_KVM_GET_SUPPORTED_CPUID 0xc008ae05u
#define SIM_KVM_GET_REGS 0x8090ae81u
#define SIM_KVM_SET_REGS 0x4090ae82u
#define SIM_KVM_GET_SREGS 0x8138ae83u
#define SIM_KVM_SET_SREGS 0x4138ae84u
#define SIM_KVM_GET_FPU 0x81a0ae8cu
#define SIM_KVM_SET_FPU 0x41a0ae8du
#define SIM_KVM_GET_MSRS 0xc008ae88u
#define SIM_KVM_SET_MSRS 0x4008ae89u
#define SIM_KVM_SET_CPUID2 0x4008ae90u
#define SIM_KVM_GET_CPUID2 0xc008ae91u
#define SIM_KVM_GET_XCRS 0x8188aea6u
#define SIM_KVM_SET_XCRS 0x4188aea7u
#define SIM_KVM_MEMORY_ENCRYPT_OP 0xc008aebau
#define SIM_KVM_PRE_FAULT_MEMORY 0xc040aed5u

/* Capabilities */
#define SIM_KVM_CAP_NR_VCPUS 9u
#define SIM_KVM_CAP_MAX_VCPUS 66u
#define SIM_KVM_CAP_ENABLE_CAP_VM 98u
#define SIM_KVM_CAP_CHECK_EXTENSION_VM 105u
#define SIM_KVM_CAP_MAX_VCPU_ID 128u
#define SIM_KVM_CAP_IMMEDIATE_EXIT 136u

/* Exits */
#define SIM_KVM_EXIT_UNKNOWN 0u
#define SIM_KVM_EXIT_HYPERCALL 3u
#define SIM_KVM_EXIT_HLT 5u
#define SIM_KVM_EXIT_MMIO 6u
#define SIM_KVM_EXIT_INTERNAL_ERROR 17u
#define SIM_KVM_EXIT_SYSTEM_EVENT 24u
#define SIM_KVM_EXIT_MEMORY_FAULT 39u
#define SIM_KVM_EXIT_SNP_REQ_CERTS 43u
#define SIM_KVM_INTERNAL_ERROR_EMULATION 1u
#define SIM_KVM_SYSTEM_EVENT_SEV_TERM 4u
#define SIM_KVM_MEMORY_EXIT_FLAG_PRIVATE (UINT64_C(1) << 3)

/* struct kvm_run, with the exits that the simulator makes. */
struct sim_kvm_run {
	uint8_t request_interrupt_window;
	uint8_t immediate_exit;
	uint8_t padding1[6];
	uint32_t exit_reason;
	uint8_t ready_for_interrupt_injection;
	uint8_t if_flag;
	uint16_t flags;
	uint64_t cr8;
	uint64_t apic_base;
	union {
		struct {
			uint64_t nr;
			uint64_t args[6];
			uint64_t ret;
			uint64_t flags;
		} hypercall;
		struct {
			uint64_t phys_addr;
			uint8_t data[8];
			uint32_t len;
			uint8_t is_write;
		} mmio;
		struct {
			uint32_t suberror;
			uint32_t ndata;
			uint64_t data[16];
		} internal;
		struct {
			uint32_t type;
			uint32_t ndata;
			uint64_t data[16];
		} system_event;
		struct {
			uint64_t flags;
			uint64_t gpa;
			uint64_t size;
		} memory_fault;
		struct {
			uint64_t gpa;
			uint64_t npages;
			uint64_t ret;
		} snp_req_certs;
		uint8_t padding[256];
	};
};

static_assert(offsetof(struct sim_kvm_run, immediate_exit) == 1, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, exit_reason) == 8, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, hypercall.nr) == 32, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, hypercall.ret) == 88, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, mmio.data) == 40, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, mmio.len) == 48, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, mmio.is_write) == 52, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, memory_fault.gpa) == 40, "linux/kvm.h");
static_assert(offsetof(struct sim_kvm_run, memory_fault.size) == 48, "linux/kvm.h");

struct sim_kvm_pre_fault_memory {
	uint64_t gpa;
	uint64_t size;
	uint64_t flags;
	uint64_t padding[5];
};

struct sim_kvm_enable_cap {
	uint32_t cap;
	uint32_t flags;
	uint64_t args[4];
	uint8_t pad[64];
};

struct sim_kvm_regs {
	uint64_t rax, rbx, rcx, rdx;
	uint64_t rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11;
	uint64_t r12, r13, r14, r15;
	uint64_t rip, rflags;
};

struct sim_kvm_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint8_t type;
	uint8_t present, dpl, db, s, l, g, avl;
	uint8_t unusable;
	uint8_t padding;
};

struct sim_kvm_dtable {
	uint64_t base;
	uint16_t limit;
	uint16_t padding[3];
};

struct sim_kvm_sregs {
	struct sim_kvm_segment cs, ds, es, fs, gs, ss;
	struct sim_kvm_segment tr, ldt;
	struct sim_kvm_dtable gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t efer;
	uint64_t apic_base;
	uint64_t interrupt_bitmap[4];
};

struct sim_kvm_fpu {
	uint8_t registers[8][16];
	uint16_t fcw;
	uint16_t fsw;
	uint8_t ftwx;
	uint8_t pad1;
	uint16_t last_opcode;
	uint64_t last_ip;
	uint64_t last_dp;
	uint8_t xmm[16][16];
	uint32_t mxcsr;
	uint32_t pad2;
};

struct sim_kvm_xcr {
	uint32_t xcr;
	uint32_t reserved;
	uint64_t value;
};

struct sim_kvm_xcrs {
	uint32_t nr_xcrs;
	uint32_t flags;
	struct sim_kvm_xcr xcrs[16];
	uint64_t padding[16];
};

struct sim_kvm_msrs {
	uint32_t nmsrs;
	uint32_t pad;
};

struct sim_kvm_msr_entry {
	uint32_t index;
	uint32_t reserved;
	uint64_t data;
};

struct sim_kvm_cpuid2 {
	uint32_t nent;
	uint32_t padding;
};

struct sim_kvm_cpuid_entry2 {
	uint32_t function;
	uint32_t index;
	uint32_t flags;
	uint32_t eax;
	uint32_t ebx;
	uint32_t ecx;
	uint32_t edx;
	uint32_t padding[3];
};

struct sim_kvm_sev_cmd {
	uint32_t id;
	uint32_t pad0;
	uint64_t data;
	uint32_t error;
	uint32_t sev_fd;
};

static_assert(sizeof(struct sim_kvm_pre_fault_memory) == 64, "api.rst");
static_assert(sizeof(struct sim_kvm_enable_cap) == 104, "api.rst");
static_assert(sizeof(struct sim_kvm_regs) == 0x90, "asm/kvm.h");
static_assert(sizeof(struct sim_kvm_segment) == 24, "asm/kvm.h");
static_assert(sizeof(struct sim_kvm_sregs) == 0x138, "asm/kvm.h");
static_assert(sizeof(struct sim_kvm_fpu) == 0x1a0, "asm/kvm.h");
static_assert(sizeof(struct sim_kvm_xcrs) == 0x188, "asm/kvm.h");
static_assert(sizeof(struct sim_kvm_cpuid_entry2) == 40, "asm/kvm.h");
static_assert(sizeof(struct sim_kvm_sev_cmd) == 24, "asm/kvm.h");

#endif /* SIM_KVM_H */
