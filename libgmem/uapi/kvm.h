/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private definitions of the parts of KVM's interface that libgmem uses, so that it builds with
 * headers older than guest_memfd. Names are the kernel's with a GMEM_ or gmem_ prefix, numbers
 * and layouts those of include/uapi/linux/kvm.h and Documentation/virt/kvm/api.rst, by the
 * section or definition named beside each.
 */
#ifndef GMEM_UAPI_KVM_H
#define GMEM_UAPI_KVM_H

#include <assert.h>
#include <linux/ioctl.h>
#include <stddef.h>
#include <stdint.h>

/* KVMIO of linux/kvm.h. */
#define GMEM_KVMIO 0xae

/* Capabilities: the KVM_CAP_* list of linux/kvm.h. */
#define GMEM_KVM_CAP_USER_MEMORY 3u
#define GMEM_KVM_CAP_NR_MEMSLOTS 10u
#define GMEM_KVM_CAP_READONLY_MEM 81u
#define GMEM_KVM_CAP_MULTI_ADDRESS_SPACE 118u
#define GMEM_KVM_CAP_EXIT_HYPERCALL 201u
#define GMEM_KVM_CAP_USER_MEMORY2 231u
#define GMEM_KVM_CAP_MEMORY_FAULT_INFO 232u
#define GMEM_KVM_CAP_MEMORY_ATTRIBUTES 233u
#define GMEM_KVM_CAP_GUEST_MEMFD 234u
#define GMEM_KVM_CAP_VM_TYPES 235u
#define GMEM_KVM_CAP_PRE_FAULT_MEMORY 236u
#define GMEM_KVM_CAP_GUEST_MEMFD_FLAGS 244u

/* VM types: KVM_X86_*_VM in asm/kvm.h. */
#define GMEM_KVM_VM_TYPE_DEFAULT 0u
#define GMEM_KVM_VM_TYPE_SW_PROTECTED 1u
#define GMEM_KVM_VM_TYPE_SEV 2u
#define GMEM_KVM_VM_TYPE_SEV_ES 3u
#define GMEM_KVM_VM_TYPE_SNP 4u
#define GMEM_KVM_VM_TYPE_TDX 5u

/* KVM_MEM_*: flags of a memslot, api.rst 4.35 and 4.140. */
#define GMEM_KVM_MEM_LOG_DIRTY_PAGES (1u << 0)
#define GMEM_KVM_MEM_READONLY (1u << 1)
#define GMEM_KVM_MEM_GUEST_MEMFD (1u << 2)

/* KVM_MEM_MAX_NR_PAGES of linux/kvm_host.h: a memslot's limit. */
#define GMEM_KVM_MEM_MAX_NR_PAGES ((UINT64_C(1) << 31) - 1)

/* Slot numbers are 16 bits, the address space is in bits 31:16; api.rst 4.35. */
#define GMEM_KVM_SLOT_BITS 16u

/* KVM_MEMORY_ATTRIBUTE_PRIVATE, api.rst 4.141. */
#define GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE (UINT64_C(1) << 3)

/* GUEST_MEMFD_FLAG_*: api.rst 4.142. */
#define GMEM_KVM_GUEST_MEMFD_FLAG_MMAP (UINT64_C(1) << 0)
#define GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED (UINT64_C(1) << 1)

/*
 * KVM_HC_MAP_GPA_RANGE of linux/kvm_para.h, its attributes (KVM_MAP_GPA_RANGE_*) and the errors it
 * can be answered with (KVM_EINVAL, KVM_EAGAIN, Documentation/virt/kvm/x86/hypercalls.rst).
 */
#define GMEM_KVM_HC_MAP_GPA_RANGE 12u
#define GMEM_KVM_MAP_GPA_RANGE_PAGE_SHIFT 12u
#define GMEM_KVM_MAP_GPA_RANGE_SIZE_HINT UINT64_C(0xf)
#define GMEM_KVM_MAP_GPA_RANGE_ENCRYPTED (UINT64_C(1) << 4)
#define GMEM_KVM_HYPERCALL_EINVAL 22u
#define GMEM_KVM_HYPERCALL_EAGAIN 11u

/* Exits: api.rst 5, exit_reason of struct kvm_run. */
#define GMEM_KVM_EXIT_HYPERCALL 3u
#define GMEM_KVM_EXIT_MEMORY_FAULT 39u
#define GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE (UINT64_C(1) << 3)

/* KVM_X86_GRP_SEV and its attributes, asm/kvm.h. */
#define GMEM_KVM_X86_GROUP_SEV 1u
#define GMEM_KVM_X86_SEV_VMSA_FEATURES 0u
#define GMEM_KVM_X86_SNP_POLICY_BITS 1u

/* The beginning of struct kvm_run, and of its union what is of interest; api.rst 5. */
struct gmem_kvm_run {
	uint8_t in[8];
	uint32_t exit_reason;
	uint32_t out;
	uint64_t cr8;
	uint64_t apic_base;
	union {
		struct {
			uint64_t nr;
			uint64_t args[6];
			uint64_t ret;
		} hypercall;
		struct {
			uint64_t flags;
			uint64_t gpa;
			uint64_t size;
		} memory_fault;
	};
};

struct gmem_kvm_pre_fault_memory {
	uint64_t gpa;
	uint64_t size;
	uint64_t flags;
	uint64_t padding[5];
};

struct gmem_kvm_enable_cap {
	uint32_t cap;
	uint32_t flags;
	uint64_t args[4];
	uint8_t pad[64];
};

struct gmem_kvm_dirty_log {
	uint32_t slot;
	uint32_t padding;
	uint64_t dirty_bitmap;
};

struct gmem_kvm_userspace_memory_region {
	uint32_t slot;
	uint32_t flags;
	uint64_t guest_phys_addr;
	uint64_t memory_size;
	uint64_t userspace_addr;
};

struct gmem_kvm_userspace_memory_region2 {
	uint32_t slot;
	uint32_t flags;
	uint64_t guest_phys_addr;
	uint64_t memory_size;
	uint64_t userspace_addr;
	uint64_t guest_memfd_offset;
	uint32_t guest_memfd;
	uint32_t pad1;
	uint64_t pad2[14];
};

struct gmem_kvm_memory_attributes {
	uint64_t address;
	uint64_t size;
	uint64_t attributes;
	uint64_t flags;
};

struct gmem_kvm_memory_attributes2 {
	uint64_t offset;
	uint64_t size;
	uint64_t attributes;
	uint64_t flags;
	uint64_t error_offset;
	uint64_t reserved[11];
};

struct gmem_kvm_create_guest_memfd {
	uint64_t size;
	uint64_t flags;
	uint64_t reserved[6];
};

struct gmem_kvm_device_attr {
	uint32_t flags;
	uint32_t group;
	uint64_t attr;
	uint64_t addr;
};

static_assert(offsetof(struct gmem_kvm_run, exit_reason) == 8, "api.rst 5");
static_assert(offsetof(struct gmem_kvm_run, hypercall.args) == 40, "api.rst 5");
static_assert(offsetof(struct gmem_kvm_run, hypercall.ret) == 88, "api.rst 5");
static_assert(offsetof(struct gmem_kvm_run, memory_fault.gpa) == 40, "api.rst 5");
static_assert(sizeof(struct gmem_kvm_pre_fault_memory) == 64, "api.rst 4.143");
static_assert(sizeof(struct gmem_kvm_enable_cap) == 104, "api.rst 4.37");
static_assert(sizeof(struct gmem_kvm_userspace_memory_region) == 32, "api.rst 4.35");
static_assert(sizeof(struct gmem_kvm_userspace_memory_region2) == 160, "api.rst 4.140");
static_assert(offsetof(struct gmem_kvm_userspace_memory_region2, guest_memfd_offset) == 32,
	      "api.rst 4.140");
static_assert(offsetof(struct gmem_kvm_userspace_memory_region2, guest_memfd) == 40,
	      "api.rst 4.140");
static_assert(sizeof(struct gmem_kvm_memory_attributes) == 32, "api.rst 4.141");
static_assert(sizeof(struct gmem_kvm_memory_attributes2) == 128, "in-place series");
static_assert(offsetof(struct gmem_kvm_memory_attributes2, error_offset) == 32, "in-place series");
static_assert(sizeof(struct gmem_kvm_create_guest_memfd) == 64, "api.rst 4.142");
static_assert(sizeof(struct gmem_kvm_device_attr) == 24, "api.rst 4.80");

/* Requests, with the sections of api.rst. */
#define GMEM_KVM_GET_API_VERSION _IO(GMEM_KVMIO, 0x00)    /* 4.1; on /dev/kvm only */
#define GMEM_KVM_CREATE_VM _IO(GMEM_KVMIO, 0x01)          /* 4.2 */
#define GMEM_KVM_CHECK_EXTENSION _IO(GMEM_KVMIO, 0x03)    /* 4.4 */
#define GMEM_KVM_GET_VCPU_MMAP_SIZE _IO(GMEM_KVMIO, 0x04) /* 4.5 */
#define GMEM_KVM_CREATE_VCPU _IO(GMEM_KVMIO, 0x41)        /* 4.7 */
#define GMEM_KVM_RUN _IO(GMEM_KVMIO, 0x80)                /* 4.10 */
/* 4.8; the struct is 16 bytes: slot and padding, then the bitmap's address */
#define GMEM_KVM_GET_DIRTY_LOG _IOW(GMEM_KVMIO, 0x42, struct gmem_kvm_dirty_log)
/* 4.35 */
#define GMEM_KVM_SET_USER_MEMORY_REGION                                                            \
	_IOW(GMEM_KVMIO, 0x46, struct gmem_kvm_userspace_memory_region)
/* 4.140 */
#define GMEM_KVM_SET_USER_MEMORY_REGION2                                                           \
	_IOW(GMEM_KVMIO, 0x49, struct gmem_kvm_userspace_memory_region2)
/* 4.141; on the VM */
#define GMEM_KVM_SET_MEMORY_ATTRIBUTES _IOW(GMEM_KVMIO, 0xd2, struct gmem_kvm_memory_attributes)
/* In-place series; on a guest_memfd */
#define GMEM_KVM_SET_MEMORY_ATTRIBUTES2 _IOWR(GMEM_KVMIO, 0xd2, struct gmem_kvm_memory_attributes2)
/* 4.142 */
#define GMEM_KVM_CREATE_GUEST_MEMFD _IOWR(GMEM_KVMIO, 0xd4, struct gmem_kvm_create_guest_memfd)
/* 4.143; on a vCPU */
#define GMEM_KVM_PRE_FAULT_MEMORY _IOWR(GMEM_KVMIO, 0xd5, struct gmem_kvm_pre_fault_memory)
/* 4.37 */
#define GMEM_KVM_ENABLE_CAP _IOW(GMEM_KVMIO, 0xa3, struct gmem_kvm_enable_cap)
/* 4.80, 4.81 */
#define GMEM_KVM_GET_DEVICE_ATTR _IOW(GMEM_KVMIO, 0xe2, struct gmem_kvm_device_attr)
#define GMEM_KVM_HAS_DEVICE_ATTR _IOW(GMEM_KVMIO, 0xe3, struct gmem_kvm_device_attr)

/* What these come to where requests are encoded as asm-generic/ioctl.h does. */
#if defined(__x86_64__) || defined(__aarch64__) || defined(__riscv)
static_assert(GMEM_KVM_GET_DIRTY_LOG == 0x4010ae42, "linux/kvm.h");
static_assert(GMEM_KVM_SET_USER_MEMORY_REGION == 0x4020ae46, "linux/kvm.h");
static_assert(GMEM_KVM_SET_USER_MEMORY_REGION2 == 0x40a0ae49, "linux/kvm.h");
static_assert(GMEM_KVM_SET_MEMORY_ATTRIBUTES == 0x4020aed2, "linux/kvm.h");
static_assert(GMEM_KVM_SET_MEMORY_ATTRIBUTES2 == 0xc080aed2, "in-place series");
static_assert(GMEM_KVM_CREATE_GUEST_MEMFD == 0xc040aed4, "linux/kvm.h");
static_assert(GMEM_KVM_PRE_FAULT_MEMORY == 0xc040aed5, "linux/kvm.h");
static_assert(GMEM_KVM_ENABLE_CAP == 0x4068aea3, "linux/kvm.h");
static_assert(GMEM_KVM_GET_DEVICE_ATTR == 0x4018aee2, "linux/kvm.h");
static_assert(GMEM_KVM_HAS_DEVICE_ATTR == 0x4018aee3, "linux/kvm.h");
#endif

#endif /* GMEM_UAPI_KVM_H */
