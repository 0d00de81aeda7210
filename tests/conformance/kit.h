/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What cases are written with: expectations, calls through the door, memory to work on. */
#ifndef CONFORMANCE_KIT_H
#define CONFORMANCE_KIT_H

#include "conformance.h"

/* Ends the case, which has failed. */
_Noreturn void case_failed(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends the case, which cannot be run here. */
_Noreturn void case_skipped(const char *format, ...) __attribute__((format(printf, 1, 2)));

void expect_value_at(const char *file, int line, const char *what, int64_t got, int64_t wanted);
void expect_either_at(const char *file, int line, const char *what, int64_t got, int64_t first,
		      int64_t second);
int64_t expect_success_at(const char *file, int line, const char *what, int64_t got);

#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			case_failed(__FILE__, __LINE__, "not so: %s", #condition);                 \
	} while (0)
#define expect_value(call, wanted)                                                                 \
	expect_value_at(__FILE__, __LINE__, #call, (int64_t)(call), (int64_t)(wanted))
#define expect_either(call, first, second)                                                         \
	expect_either_at(__FILE__, __LINE__, #call, (int64_t)(call), first, second)
/* 0 or more; what it was. */
#define expect_success(call) expect_success_at(__FILE__, __LINE__, #call, (int64_t)(call))

/* Any call through the door. */
int64_t door(struct world *world, uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
	     uint64_t e, uint64_t f);
int64_t kvm_ioctl(struct world *world, int fd, uint32_t request, uint64_t argument);
int64_t kvm_ioctl_at(struct world *world, int fd, uint32_t request, void *argument);
/* KVM_CHECK_EXTENSION on a VM. */
int64_t capability(struct world *world, int vm_fd, uint32_t number);

/* Has a descriptor closed, or a mapping unmapped, after the case. */
int keep_fd(struct world *world, int64_t fd);
void *keep_mapping(struct world *world, void *host, uint64_t size);
/* Does so now. */
void close_fd(struct world *world, int fd);
void unmap(struct world *world, void *host);

/* One more VM of the target's type; and of any. Kept. */
int make_vm(struct world *world);

/* KVM_CREATE_GUEST_MEMFD as it is; and one that must succeed, kept. */
int64_t create_file(struct world *world, uint64_t size, uint64_t flags);
int make_file(struct world *world, uint64_t size, uint64_t flags);
/* With flags that any of the VM's slots takes. */
int make_any_file(struct world *world, uint64_t size);

/* mmap, shared, for reading and writing: as it is; and one that must succeed, kept. */
int64_t try_map(struct world *world, int fd, uint64_t offset, uint64_t size, int prot, int flags);
void *map_file(struct world *world, int fd, uint64_t offset, uint64_t size);
/* Anonymous memory, aligned to the target's pages. Kept. */
void *map_anonymous(struct world *world, uint64_t size);

int64_t fallocate_file(struct world *world, int fd, int mode, uint64_t offset, uint64_t size);
int64_t punch(struct world *world, int fd, uint64_t offset, uint64_t size);
int64_t advise(struct world *world, void *host, uint64_t size, int advice);

/* KVM_SET_USER_MEMORY_REGION2 in the world's VM. fd -1: a plain slot. */
int64_t set_slot(struct world *world, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		 const void *host, int fd, uint64_t offset);
int64_t delete_slot(struct world *world, uint32_t slot);

/* The attribute ioctls. error_offset may be NULL. */
int64_t set_vm_attributes(struct world *world, uint64_t gpa, uint64_t size, uint64_t attributes);
int64_t set_file_attributes(struct world *world, int fd, uint64_t offset, uint64_t size,
			    uint64_t attributes, uint64_t *error_offset);

/* mlock and munlock, past the sanitizers, which make nothing of them. */
int lock_memory(const void *host, uint64_t size);
int unlock_memory(const void *host, uint64_t size);

/* One byte of a mapping: false where the touch raised SIGBUS. */
bool can_read(const void *host, uint8_t *value);
bool can_write(void *host, uint8_t value);
/* As can_read(); on SIGBUS code and address are those of the signal. */
bool read_or_signal(const void *host, uint8_t *value, int *code, void **address);
/* Both assert that there is no signal. */
uint8_t byte_at(const void *host);
void put_byte(void *host, uint8_t value);

/* A vCPU; only where a guest can be driven. */
void make_vcpu(struct world *world, struct vcpu *vcpu);
void destroy_vcpu(struct vcpu *vcpu);
/* A word, by an access of a kind; GUEST_DONE, GUEST_EXIT. */
int guest_store(struct vcpu *vcpu, uint64_t gpa, uint32_t value, uint32_t flags);
int guest_load(struct vcpu *vcpu, uint64_t gpa, uint32_t *value, uint32_t flags);
/* Must be done without an exit. */
void guest_must_store(struct vcpu *vcpu, uint64_t gpa, uint32_t value, uint32_t flags);
uint32_t guest_must_load(struct vcpu *vcpu, uint64_t gpa, uint32_t flags);
/*
 * Whether KVM emulates all that this guest does, as it must where the processor cannot run it: its
 * accesses are then KVM's own (kernel fact S4). The other ends the case where it is so.
 */
bool guest_is_emulated(struct vcpu *vcpu);
void need_guest_of_its_own(struct vcpu *vcpu);
/* The access must exit so. */
void expect_memory_fault(struct vcpu *vcpu, uint64_t gpa, uint32_t access, uint64_t flags);
void expect_mmio(struct vcpu *vcpu, uint64_t gpa, uint32_t access);

/*
 * Memory in a slot, all shared at first, in the way that the VM tracks: one file, or a file and
 * anonymous memory. Its private side is fd; host is the shared side.
 */
struct memory {
	struct world *world;
	uint64_t gpa;
	uint64_t size;
	uint32_t slot;
	int fd;
	uint8_t *host;
	bool single;
};

void make_memory(struct world *world, struct memory *memory, uint32_t slot, uint64_t gpa,
		 uint64_t size);
/* Turns a range of it private or shared; the ioctl's result. */
int64_t try_convert(struct memory *memory, uint64_t offset, uint64_t size, bool private);
void convert(struct memory *memory, uint64_t offset, uint64_t size, bool private);

/* The flags of an access to what is private, or shared, on this target. */
uint32_t private_access(const struct world *world);

/* Runs fn in a forked child; its result, 0 to 127. */
int in_child(int (*fn)(struct world *world, void *opaque), struct world *world, void *opaque);

#endif /* CONFORMANCE_KIT_H */
