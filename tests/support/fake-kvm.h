/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for KVM behind the kernel door: VMs, memslots, guest_memfd files and memory
 * attributes, kept in this process. Every call that is not KVM's goes to the host, so that
 * descriptors and mappings are real; guest_memfd files are memfds with the rules of doc/'s kernel
 * facts put on them, and a page that is private in place raises SIGBUS when it is touched.
 *
 * No guest runs here. Calls may come from many threads; one mutex serialises them.
 */
#ifndef TESTS_SUPPORT_FAKE_KVM_H
#define TESTS_SUPPORT_FAKE_KVM_H

#include <gmem/kernel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who tracks private and shared pages in the KVM that is loaded. */
enum fake_tracking {
	FAKE_TRACKING_NONE, /* nobody: neither of the attribute ioctls exists */
	FAKE_TRACKING_VM,   /* each VM: KVM_SET_MEMORY_ATTRIBUTES */
	FAKE_TRACKING_FILE, /* each guest_memfd: KVM_SET_MEMORY_ATTRIBUTES2 */
};

/* What mbind() does; kernel fact F10. */
enum fake_numa {
	FAKE_NUMA_HONOURED, /* a guest_memfd keeps the policy, as shmem does */
	FAKE_NUMA_IGNORED,  /* on a guest_memfd only the mapping keeps it: no effect on the file */
	FAKE_NUMA_ABSENT,   /* a kernel without NUMA: ENOSYS */
};

/* Which descriptors answer KVM_HAS_DEVICE_ATTR and KVM_GET_DEVICE_ATTR; the others: ENOTTY. */
#define FAKE_ATTRIBUTES_SYSTEM (1u << 0)
#define FAKE_ATTRIBUTES_VM (1u << 1)

struct fake_kvm_config {
	enum fake_tracking tracking;
	/* The VM's type has private memory. Without it PRIVATE is EINVAL, whoever tracks. */
	bool private_memory;
	/* 4K, 16K or 64K, not below the host's; 0 for the host's. */
	uint64_t page_size;

	/*
	 * Answers of KVM_CHECK_EXTENSION. They also rule what they announce: an ioctl whose
	 * capability is 0 is ENOTTY, guest_memfd_flags are the creation flags accepted, and so on.
	 */
	struct {
		int user_memory;
		int user_memory2;
		int guest_memfd;
		int guest_memfd_flags;
		int memory_attributes;
		int nr_memslots;
		int multi_address_space; /* 0 counts as 1 */
		int vm_types;
		int pre_fault;
		int readonly_mem;
		int exit_hypercall;
		int memory_fault_info;
	} cap;

	/* Device attributes of the SEV group; an attribute that is 0 is ENXIO. */
	unsigned int device_attributes;
	uint64_t snp_features;
	uint64_t snp_policy;

	enum fake_numa numa;
	uint64_t numa_nodes; /* mask of nodes with memory */
	/* errno of a second binding of the same pages of a file: EEXIST, EINVAL on 6.18; S1 */
	int binding_errno;
	/* Bits of a guest-physical address; memslots above are EINVAL. */
	unsigned int gpa_bits;
	/* f_type of a guest_memfd: anonymous inodes until 6.18, a file system of its own later. */
	uint64_t guest_memfd_magic;
	/* OR of the huge page sizes that MFD_HUGETLB can have; the lowest is the default's. */
	uint64_t huge_page_sizes;
};

/* Presets, to copy and change. */
extern const struct fake_kvm_config fake_kvm_old;              /* before guest_memfd */
extern const struct fake_kvm_config fake_kvm_linux_6_8;        /* SW-protected, no creation flags */
extern const struct fake_kvm_config fake_kvm_linux_6_18;       /* default type: never private */
extern const struct fake_kvm_config fake_kvm_linux_6_18_sw;    /* SW-protected: per VM */
extern const struct fake_kvm_config fake_kvm_in_place;         /* SW-protected: per guest_memfd */
extern const struct fake_kvm_config fake_kvm_in_place_default; /* same KVM, default type */

struct fake_kvm;

/* NULL when the host cannot show the page size (it is below the host's own). */
struct fake_kvm *fake_kvm_new(const struct fake_kvm_config *config);
/* Closes its descriptors where they are still open. NULL is ignored. */
void fake_kvm_free(struct fake_kvm *fake);

/* The door. Valid until fake_kvm_free(). */
struct gmem_kernel fake_kvm_kernel(struct fake_kvm *fake);
/* Of the first VM, and of the stand-in for /dev/kvm. Owned by the fake, may be closed early. */
int fake_kvm_vm_fd(const struct fake_kvm *fake);
int fake_kvm_system_fd(const struct fake_kvm *fake);
/* One more VM of the same KVM and type; owned by the fake too. */
int fake_kvm_new_vm(struct fake_kvm *fake);
uint64_t fake_kvm_page_size(const struct fake_kvm *fake);

/*
 * The functions below that take a descriptor take any that is open on the file or VM: dups count
 * as well.
 */

struct fake_slot {
	uint32_t slot; /* number with the address space in bits 31:16 */
	uint32_t flags;
	uint64_t gpa;
	uint64_t size;
	uint64_t userspace_addr;
	/*
	 * As the ioctl had them; -1 and 0 for a plain slot. A slot holds no reference, so the
	 * descriptor can be closed, and its number something else's, by now.
	 */
	int guest_memfd;
	uint64_t guest_memfd_offset;
};

unsigned int fake_kvm_slot_count(struct fake_kvm *fake, int vm_fd);
/* The slot of this number (with its address space); false when there is none. */
bool fake_kvm_find_slot(struct fake_kvm *fake, int vm_fd, uint32_t slot, struct fake_slot *out);
/* The slot that covers gpa in an address space; false when there is none. */
bool fake_kvm_slot_at(struct fake_kvm *fake, int vm_fd, uint32_t address_space, uint64_t gpa,
		      struct fake_slot *out);
/* Whether the slot is bound to the file that fd is open on. */
bool fake_kvm_slot_is_bound_to(struct fake_kvm *fake, int vm_fd, uint32_t slot, int fd);

/* The VM's attributes of an address: 0 or GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE. */
uint64_t fake_kvm_gpa_attributes(struct fake_kvm *fake, int vm_fd, uint64_t gpa);
/* Bytes of the VM's address space with the attribute PRIVATE, in all. */
uint64_t fake_kvm_gpa_private_bytes(struct fake_kvm *fake, int vm_fd);

bool fake_kvm_is_guest_memfd(struct fake_kvm *fake, int fd);
/* Creation flags of a guest_memfd. */
uint64_t fake_kvm_file_flags(struct fake_kvm *fake, int fd);
/* A guest_memfd's attributes of the page at offset, under tracking per guest_memfd. */
uint64_t fake_kvm_file_attributes(struct fake_kvm *fake, int fd, uint64_t offset);
uint64_t fake_kvm_file_private_bytes(struct fake_kvm *fake, int fd);
/*
 * Bytes of the file that are allocated. (fstat() through the door says 0 of a guest_memfd, F11.)
 */
uint64_t fake_kvm_file_allocated(struct fake_kvm *fake, int fd);
/* guest_memfd files that somebody of this process has open. */
unsigned int fake_kvm_open_files(struct fake_kvm *fake);

/*
 * Somebody holds a reference on the page at offset: while it is shared, turning it private is
 * EAGAIN with error_offset (P2, P4). One page a file; FAKE_NO_PAGE ends it.
 */
#define FAKE_NO_PAGE UINT64_MAX
void fake_kvm_set_busy_page(struct fake_kvm *fake, int fd, uint64_t offset);

/* What came through the door, in the order in which it was served. */
struct fake_call {
	uint32_t nr;
	uint64_t arg[GMEM_SYS_ARGUMENTS];
	int64_t result;
	/* The struct that a KVM ioctl was given, as it was before the call; else zeros. */
	uint64_t data[20];
};

size_t fake_kvm_call_count(struct fake_kvm *fake);
/* Copies call number index; false past the end. */
bool fake_kvm_get_call(struct fake_kvm *fake, size_t index, struct fake_call *out);
/* Calls of a kind, successful or not. */
size_t fake_kvm_count(struct fake_kvm *fake, uint32_t nr);
size_t fake_kvm_count_ioctl(struct fake_kvm *fake, uint32_t request);
/* The nth (from 0) ioctl of a request; false when there were fewer. */
bool fake_kvm_get_ioctl(struct fake_kvm *fake, uint32_t request, size_t n, struct fake_call *out);
void fake_kvm_reset_calls(struct fake_kvm *fake);

#endif /* TESTS_SUPPORT_FAKE_KVM_H */
