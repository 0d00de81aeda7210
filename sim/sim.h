/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the simulator know of each other.
 *
 * One lock a simulator, sim->mutex, guards all of it. Functions declared here are called with it
 * held unless they say otherwise; no callback of the caller's runs under it, and no call that is
 * passed to the host and can wait for somebody. Memory of the caller is only touched by the
 * kernel on our behalf (gmem_sim_copy_in() and its like), which fails where we would crash.
 *
 * Such memory may wait for somebody as well, say for the caller's own userfaultfd. So calls that
 * are not for us get by without that lock: what they need is under a second one, sim->inner, that
 * is taken last and never held over a system call.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "kvm.h"
#include "snp.h"
#include "spans.h"

#include <gmem/sim.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#define SIM_MAX_CAPABILITIES 64u
#define SIM_MAX_CPUID_LIMITS 64u
#define SIM_MAX_VCPUS 1024u
#define SIM_GPA_BITS 52u
#define SIM_BUCKETS 64u
#define SIM_SCRATCH_SIZE 65536u

enum sim_kind {
	SIM_SYSTEM,
	SIM_VM,
	SIM_VCPU,
	SIM_FILE,
};

/*
 * What a descriptor of the simulator's stands for: a memfd, known by its inode whatever the
 * number or the process. The caller has one open file of it, we another, own_fd, which keeps the
 * inode's number from coming back as something else, and can tell whether any other is left.
 */
struct sim_object {
	struct sim_object *next;
	enum sim_kind kind;
	dev_t device;
	ino_t inode;
	int own_fd; /* -1 once nobody else has it open */
	/* The caller's descriptors as far as the door knows, for where the host does not tell. */
	unsigned int handles;
};

struct sim_config {
	uint64_t page_size;
	uint64_t vm_types;
	uint64_t slots;
	uint64_t prefault;
	uint64_t contents;
	uint64_t tracking;
	uint64_t create_flags;
	uint64_t guest_memfd;
	uint64_t numa;
	uint64_t bind_error;
	uint64_t sigbus;
	uint64_t mappings;
	uint64_t snp_policy;
	uint64_t snp_features;
	uint64_t snp_pages;
	uint64_t snp_certs;
	/* Not settings, but of the preset. */
	bool has_flags;      /* KVM_CAP_GUEST_MEMFD_FLAGS is there */
	bool has_types;      /* KVM_CAP_VM_TYPES is there */
	bool only_private;   /* guest_memfd for VMs with private memory alone */
	uint32_t file_magic; /* f_type of a guest_memfd */
	struct {
		uint32_t number;
		uint32_t value;
	} capability[SIM_MAX_CAPABILITIES];
	size_t capability_count;
};

struct sim_slot {
	uint32_t number; /* address space in bits 31:16 */
	uint32_t flags;
	uint64_t gpa;
	uint64_t size;
	uint64_t userspace_addr;
	struct sim_file *file; /* NULL: plain, or gone; S5 */
	uint64_t file_offset;
	uint64_t file_flags;
	struct sim_spans dirty; /* as offsets in the slot; LOG_DIRTY_PAGES */
};

struct sim_vm {
	struct sim_object object;
	struct sim_vm *next;
	struct gmem_sim *sim;
	uint32_t type;
	unsigned int holds; /* calls that have it in hand: it stays, whoever closes what meanwhile */
	bool is_launched;
	bool exits_on_map_gpa_range;
	bool exits_on_req_certs;
	struct sim_slot *slots; /* sorted by address space and gpa */
	size_t slot_count;
	size_t slot_room;
	struct sim_spans private_addresses; /* per-VM tracking */
	struct sim_vcpu **vcpus;
	size_t vcpu_count;
	size_t vcpu_room;
	struct sim_snp *snp;
};

/* One gmem_sim_pin() of a page; of the same page there may be several. */
struct sim_pin {
	uint64_t offset;
	uint32_t tries; /* left; 0: permanent */
};

/* A guest_memfd. */
struct sim_file {
	struct sim_object object;
	struct sim_file *next;
	struct sim_vm *vm;
	uint64_t size;
	uint64_t flags;
	/*
	 * Bytes of private pages; those of shared pages are in the file that object.own_fd is
	 * open on, which has no memory where a page is private.
	 */
	int store_fd;
	struct sim_spans private_pages; /* what the host cannot touch */
	struct sim_spans assigned;      /* SNP: in the firmware's table */
	struct sim_spans poisoned;
	/* Shared pages that have memory and, while they hold zeros, would have none in a kernel. */
	struct sim_spans zeroed;
	struct sim_spans guarded; /* windows; see guard.c */
	uint64_t chunk;           /* what their ends are multiples of */
	struct sim_pin *pins;     /* sorted by offset */
	size_t pin_count;
	size_t pin_room;
};

struct sim_vcpu {
	struct sim_object object;
	struct sim_vm *vm;
	uint32_t id;
	struct sim_kvm_run *run;
	struct sim_vcpu_state state;
	struct sim_kvm_cpuid_entry2 *cpuid;
	size_t cpuid_count;
	/* An exit whose ret the next entry looks at. */
	bool has_hypercall;
	bool has_certs;
	bool has_result;
	uint64_t result;
	bool is_terminated;
	bool is_protected; /* its registers are the guest's alone */
	/* The access that left for MMIO, to be recognised when it comes again. */
	struct {
		bool is_valid;
		uint64_t gpa;
		uint64_t size;
		uint32_t flags;
		uint64_t done;  /* bytes before the exit */
		uint32_t bytes; /* of the exit */
	} mmio;
};

struct sim_host_vma {
	uint64_t start;
	uint64_t end;
	dev_t device;
	ino_t inode;
	int protection;
};

/* /proc/self/maps, and how far its text was read where the kernel knows no better way. */
struct sim_maps {
	int fd; /* -1: not to be had */
	bool is_text;
	uint64_t asked; /* what the last answer was for; UINT64_MAX: none */
	struct sim_host_vma last;
	char text[8192]; /* a line is shorter than a path and 100 characters */
	size_t have;
	size_t at;
};

struct sim_mapping {
	uint64_t start;
	uint64_t end;
	struct sim_file *file;
	uint64_t offset;
	int protection;
	bool dont_fork;
	bool dont_dump;
	/* mbind() where it has no effect on the file: the mapping's own policy. */
	bool has_policy;
	int policy_mode;
	unsigned long policy_nodes[16];
};

struct sim_failure {
	uint32_t nr;
	uint64_t request;
	uint64_t nth; /* still to come; 0: every one */
	int error;
	uint32_t fw_error;
};

struct gmem_sim {
	pthread_mutex_t mutex;
	pthread_mutex_t inner; /* of failures, recorder and, with the other to change it, bucket */
	pid_t owner;
	struct sim_config config;
	bool is_used;
	uint64_t host_page_size;

	struct sim_object *bucket[SIM_BUCKETS];
	struct sim_vm *vms;
	struct sim_file *files;
	/* vCPUs nobody has open any more; their kvm_run stays mapped. */
	struct sim_vcpu **ended;
	size_t ended_count;
	size_t ended_room;

	struct sim_mapping *mappings; /* sorted by start */
	size_t mapping_count;
	size_t mapping_room;
	int uffd;     /* -1: private pages are mappings of empty_fd */
	int empty_fd; /* -1 with userfaultfd */
	struct sim_maps maps;

	struct sim_failure *failures;
	size_t failure_count;
	size_t failure_room;
	struct gmem_sim_cpuid limits[SIM_MAX_CPUID_LIMITS];
	size_t limit_count;

	uint8_t scratch[SIM_SCRATCH_SIZE]; /* bytes on their way between files */
	uint64_t destroyed;                /* pages so far */

	gmem_sim_record_fn record;
	void *record_opaque;
	gmem_free_fn record_free;
};

/* The child of a fork() has no simulator; needs no lock. */
bool gmem_sim_is_child(const struct gmem_sim *sim);

/* Grows an array to have room for one more; 0, -ENOMEM. */
int gmem_sim_grow(void **array, size_t count, size_t *room, size_t size);

/*
 * ---- host.c, host-memory.c: the only files that make system calls. None needs the lock; all
 * leave errno as it was. ----
 */

/* A call of the door, as the host does it. */
int64_t gmem_sim_host_call(uint32_t nr, const uint64_t *arg);
int gmem_sim_host_close(int fd);
int gmem_sim_host_memfd(const char *name, uint64_t size);
/* A second open file of what fd is open on; flags: O_CLOEXEC or 0. */
int gmem_sim_host_reopen(int fd, int flags);
/* 0, -EBADF */
int gmem_sim_host_identify(int fd, dev_t *device, ino_t *inode);
/*
 * Whether another open file of the same inode exists than the one of fd: 1, 0, or -EPERM when the
 * host does not tell us.
 */
int gmem_sim_host_is_shared(int fd);
int gmem_sim_host_allocate(int fd, uint64_t start, uint64_t end);
int gmem_sim_host_punch(int fd, uint64_t start, uint64_t end);
/* As if somebody had read the pages through a mapping of his. 0, -ENOMEM */
int gmem_sim_host_touch(int fd, uint64_t start, uint64_t end);
/* 0, or -ENOMEM, -EIO, -EFAULT (buffer); nothing short of size. */
int gmem_sim_host_pread(int fd, uint64_t buffer, size_t size, uint64_t offset);
int gmem_sim_host_pwrite(int fd, uint64_t buffer, size_t size, uint64_t offset);
/*
 * The first piece of [start, end) of the file that holds bytes somebody touched, as far as one
 * scratch goes: what follows may be such a piece as well.
 */
bool gmem_sim_host_next_data(int fd, uint64_t start, uint64_t end, struct sim_span *piece);
int64_t gmem_sim_host_mmap(uint64_t address, uint64_t length, int protection, int flags, int fd,
			   uint64_t offset);
int gmem_sim_host_munmap(uint64_t address, uint64_t length);
int gmem_sim_host_mprotect(uint64_t address, uint64_t length, int protection);
int gmem_sim_host_madvise(uint64_t address, uint64_t length, int advice);
int gmem_sim_host_mlock(uint64_t address, uint64_t length);
/* Pages into and out of page tables, the second also where they are locked. */
int gmem_sim_host_populate(uint64_t start, uint64_t end);
int gmem_sim_host_drop(uint64_t start, uint64_t end);
/* vm.max_map_count */
uint64_t gmem_sim_host_map_limit(void);
/*
 * A userfaultfd that raises SIGBUS for pages of a memfd, missing or in no page table; or a
 * negative errno.
 */
int gmem_sim_host_userfaultfd(void);
int gmem_sim_host_uffd_register(int uffd, uint64_t start, uint64_t end);
int gmem_sim_host_uffd_unregister(int uffd, uint64_t start, uint64_t end);
/* Pages of the range that have memory into page tables; passes over others. */
int gmem_sim_host_uffd_continue(int uffd, uint64_t start, uint64_t end, uint64_t page_size);

/* Of the maps, which are open all the time, lest there be no descriptor for them. 0, -errno */
int gmem_sim_host_open_maps(struct sim_maps *maps);
void gmem_sim_host_close_maps(struct sim_maps *maps);
/* What was read may be old. */
void gmem_sim_host_refresh_maps(struct sim_maps *maps);
/*
 * What is mapped at or after address: 1, its bounds and its file (zeros for none); 0 when nothing
 * is, or a negative errno. Cheapest with addresses that grow.
 */
int gmem_sim_host_next_vma(struct sim_maps *maps, uint64_t address, struct sim_host_vma *vma);

/* ---- object.c ---- */

/*
 * Makes the memfd, and fills in the object: the caller's descriptor, or a negative errno.
 * flags: O_CLOEXEC or 0.
 */
int gmem_sim_object_create(struct gmem_sim *sim, struct sim_object *object, enum sim_kind kind,
			   const char *name, uint64_t size, int flags);
/* Whether any descriptor or mapping but ours is left. */
bool gmem_sim_object_is_open(const struct sim_object *object);
/* The opposite of create, for our part. */
void gmem_sim_object_close(struct gmem_sim *sim, struct sim_object *object);
/* NULL when fd is none of ours, which needs no lock to know. */
struct sim_object *gmem_sim_find_object(struct gmem_sim *sim, int fd);
/* The same in the child of a fork(), where any lock may be somebody's who is not there. */
struct sim_object *gmem_sim_find_inherited(struct gmem_sim *sim, int fd);
struct sim_vm *gmem_sim_find_vm(struct gmem_sim *sim, int fd);
struct sim_vcpu *gmem_sim_find_vcpu(struct gmem_sim *sim, int fd);
struct sim_file *gmem_sim_find_file(struct gmem_sim *sim, int fd);

/* Frees what nobody has open any more, but for VMs that are held. */
void gmem_sim_sweep(struct gmem_sim *sim);
/* Around whatever sweeps, or lets go of the lock, with a VM in hand. */
void gmem_sim_vm_hold(struct sim_vm *vm);
void gmem_sim_vm_release(struct sim_vm *vm);

/* ---- vm.c ---- */
int gmem_sim_vm_create(struct gmem_sim *sim, uint32_t type);
bool gmem_sim_vm_has_private_memory(const struct sim_vm *vm);
void gmem_sim_vm_free(struct sim_vm *vm);
int64_t gmem_sim_system_ioctl(struct gmem_sim *sim, uint32_t request, uint64_t argument);
int64_t gmem_sim_vm_ioctl(struct sim_vm *vm, uint32_t request, uint64_t argument);

/* ---- caps.c; vm may be NULL: the system's ---- */
int gmem_sim_check_extension(const struct gmem_sim *sim, const struct sim_vm *vm, uint64_t number);
uint64_t gmem_sim_creation_flags(const struct gmem_sim *sim, const struct sim_vm *vm);
uint64_t gmem_sim_vm_attributes(const struct gmem_sim *sim, const struct sim_vm *vm);
unsigned int gmem_sim_address_spaces(const struct sim_vm *vm);

/* ---- slot.c ---- */
int gmem_sim_set_slot(struct sim_vm *vm, uint64_t argument, bool is_second);
struct sim_slot *gmem_sim_slot_at(const struct sim_vm *vm, uint32_t address_space, uint64_t gpa);
/* The slot that a page of the file is bound to, or NULL. */
const struct sim_slot *gmem_sim_slot_of_page(const struct sim_file *file, uint64_t offset);
/* The guest has written to the page. 0, -ENOMEM */
int gmem_sim_slot_mark_dirty(struct sim_vm *vm, uint32_t address_space, uint64_t gpa);
int gmem_sim_get_dirty_log(struct sim_vm *vm, uint64_t argument);
void gmem_sim_slots_free(struct sim_vm *vm);
void gmem_sim_slots_forget_file(struct sim_vm *vm, const struct sim_file *file);

/* ---- file.c: guest_memfd ---- */
int gmem_sim_file_create(struct sim_vm *vm, uint64_t argument);
/* Whether anybody has the file open or mapped. */
bool gmem_sim_file_is_open(const struct sim_file *file);
void gmem_sim_file_free(struct sim_file *file);
int gmem_sim_file_fallocate(struct sim_file *file, int mode, uint64_t offset, uint64_t length);
/* In a child of a fork(), where memory is the parent's to give; needs no lock. */
int gmem_sim_file_fallocate_in_child(const struct sim_file *file, int mode, uint64_t offset,
				     uint64_t length);
/* Page-aligned, within the file; all of it reads as zeros afterwards. */
int gmem_sim_file_punch(struct sim_file *file, uint64_t start, uint64_t end);
/* Bytes of one page, from wherever its state has them; 0, -ENOMEM, -EIO. */
int gmem_sim_file_read(const struct sim_file *file, uint64_t offset, void *bytes, size_t size);
int gmem_sim_file_write(struct sim_file *file, uint64_t offset, const void *bytes, size_t size);
/* Gives a page memory, as a touch does. */
int gmem_sim_file_touch(struct sim_file *file, uint64_t start, uint64_t end);
bool gmem_sim_file_is_allocated(const struct sim_file *file, uint64_t offset);
/* What is done to the bytes of a page that is converted; P7 */
bool gmem_sim_file_destroys_contents(const struct sim_file *file);

/* ---- convert.c ---- */
int gmem_sim_file_set_attributes(struct sim_file *file, uint64_t argument);
int gmem_sim_vm_set_attributes(struct sim_vm *vm, uint64_t argument);

/* ---- pins.c ---- */
/* The first page with a reference in the range: true and its offset; counts a try of each on it. */
bool gmem_sim_pins_refuse(struct sim_file *file, uint64_t start, uint64_t end, uint64_t *offset);
void gmem_sim_pins_drop(struct sim_file *file, uint64_t start, uint64_t end);
uint32_t gmem_sim_pins_count(const struct sim_file *file, uint64_t start, uint64_t end);

/* ---- mapping.c ---- */
int64_t gmem_sim_map_file(struct gmem_sim *sim, struct sim_file *file, const uint64_t *arg);
/*
 * mmap() of anything else, and munmap(); of the page size that is simulated. The first takes the
 * lock itself.
 */
int64_t gmem_sim_mmap(struct gmem_sim *sim, const uint64_t *arg);
int64_t gmem_sim_munmap(struct gmem_sim *sim, const uint64_t *arg);
/*
 * Of the table alone. Cuts mappings so that none crosses start or end: 0, -ENOMEM. The first one
 * that has something of [start, end); NULL for none.
 */
int gmem_sim_mappings_cut(struct gmem_sim *sim, uint64_t start, uint64_t end);
struct sim_mapping *gmem_sim_mappings_first(struct gmem_sim *sim, uint64_t start, uint64_t end);
/*
 * Forgets those parts of mappings that show [start, end) of the file and were replaced without
 * our knowing, before something is done to what is there now: 0, or -ENOMEM when it cannot tell.
 */
int gmem_sim_mappings_check(struct sim_file *file, uint64_t start, uint64_t end);
void gmem_sim_mappings_forget_file(struct gmem_sim *sim, const struct sim_file *file);
bool gmem_sim_mappings_have_file(const struct gmem_sim *sim, const struct sim_file *file);

/* ---- advice.c; these take the lock themselves, because some wait. ---- */
int64_t gmem_sim_madvise(struct gmem_sim *sim, const uint64_t *arg);
int64_t gmem_sim_mbind(struct gmem_sim *sim, const uint64_t *arg);
int64_t gmem_sim_get_mempolicy(struct gmem_sim *sim, const uint64_t *arg);

/* ---- guard.c: keeping the host off private pages of mapped files ---- */

/*
 * To private: begin (nobody gets at the range any more), then the caller takes the bytes and the
 * memory away. On failure of that: cancel.
 */
int gmem_sim_guard_begin(struct sim_file *file, uint64_t start, uint64_t end);
void gmem_sim_guard_cancel(struct sim_file *file, uint64_t start, uint64_t end);
/*
 * To shared: prepare, then the caller brings the bytes, then lift, and then the state is set. When
 * lift fails the guard is as it was, and the caller takes the bytes away again.
 */
int gmem_sim_guard_prepare_lift(struct sim_file *file, uint64_t start, uint64_t end);
int gmem_sim_guard_lift(struct sim_file *file, uint64_t start, uint64_t end);
/* All of a new file, before it can be mapped. */
int gmem_sim_guard_new_file(struct sim_file *file);
/* A mapping that is not in the table yet, and mapped with no access so far. */
int gmem_sim_guard_mapping(struct sim_mapping *mapping);

/* ---- vcpu.c, guest.c ---- */
int gmem_sim_vcpu_create(struct sim_vm *vm, uint64_t id, struct sim_vcpu **vcpu);
void gmem_sim_vcpu_free(struct sim_vcpu *vcpu);
int64_t gmem_sim_vcpu_ioctl(struct sim_vcpu *vcpu, uint32_t request, uint64_t argument);
void gmem_sim_vcpu_reset(struct sim_vcpu *vcpu);
int gmem_sim_vcpu_run(struct sim_vcpu *vcpu);
int gmem_sim_vcpu_pre_fault(struct sim_vcpu *vcpu, uint64_t argument);
/* Whether KVM takes an access of the page for private. */
bool gmem_sim_vm_page_is_private(const struct sim_vm *vm, const struct sim_slot *slot,
				 uint64_t gpa);

/* ---- failures.c; none needs the lock. ---- */
bool gmem_sim_has_failures(struct gmem_sim *sim);
/*
 * Whether a call of this kind fails on purpose: false, or true with what it gives. command is that
 * of KVM_MEMORY_ENCRYPT_OP, else 0.
 */
bool gmem_sim_next_failure(struct gmem_sim *sim, uint32_t nr, uint32_t request, uint32_t command,
			   struct sim_failure *failure);

static inline bool sim_is_aligned(const struct gmem_sim *sim, uint64_t value)
{
	return (value & (sim->config.page_size - 1)) == 0;
}

static inline uint64_t sim_page_floor(const struct gmem_sim *sim, uint64_t value)
{
	return value & ~(sim->config.page_size - 1);
}

#endif /* SIM_SIM_H */
