/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the stand-in for KVM know of each other. All of it runs with the fake's mutex
 * held. Functions that serve a call return its result or a negative errno.
 */
#ifndef TESTS_SUPPORT_FAKE_INTERNAL_H
#define TESTS_SUPPORT_FAKE_INTERNAL_H

#include "fake-kvm.h"
#include "spans.h"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A file, whatever descriptor is open on it. */
struct file_id {
	dev_t device;
	ino_t inode;
};

struct policy {
	int mode;
	uint64_t nodes;
};

struct fake_binding {
	struct fake_slot slot;
	struct file_id file;
};

struct fake_vm {
	struct fake_vm *next;
	struct file_id id;
	int fd;
	struct fake_binding *slots;
	size_t slot_count;
	size_t slot_room;
	struct spans private_addresses;
};

/* A guest_memfd, from its creation to the end of the fake: slots may name it when it is gone. */
struct fake_file {
	struct fake_file *next;
	struct file_id id;
	const struct fake_vm *vm;
	uint64_t size;
	uint64_t flags;
	struct spans private_offsets;
	uint64_t busy_page;
	bool is_open; /* while fake_kvm_open_files() counts */
};

/* A memfd that shows as one on hugetlbfs. */
struct fake_huge_file {
	struct fake_huge_file *next;
	struct file_id id;
	uint64_t page_size;
};

struct fake_mapping {
	uint64_t start;
	uint64_t end;
	uint64_t page_size;
	struct file_id file; /* zeros for anonymous memory */
	uint64_t offset;
	int protection;
	bool dont_fork;
	bool dont_dump;
	struct policy policy;
};

struct fake_file_policy {
	struct file_id file;
	uint64_t start;
	uint64_t end;
	struct policy policy;
};

struct fake_kvm {
	pthread_mutex_t mutex;
	struct fake_kvm_config config;
	struct gmem_kernel host;
	uint64_t host_page_size;
	pid_t owner;

	int system_fd;
	struct file_id system_id;
	/* Empty: a mapping of it raises SIGBUS, as a private page does. */
	int sigbus_fd;
	struct fake_vm *vms;
	int first_vm_fd;
	struct fake_file *files;
	struct fake_huge_file *huge_files;

	struct fake_mapping *mappings;
	size_t mapping_count;
	size_t mapping_room;
	struct fake_file_policy *policies;
	size_t policy_count;
	size_t policy_room;

	struct fake_call *calls;
	size_t call_count;
	size_t call_room;
};

static inline bool same_file(struct file_id a, struct file_id b)
{
	return a.device == b.device && a.inode == b.inode;
}

/* Also of 0; not of a power of two alone. */
static inline bool is_aligned(uint64_t value, uint64_t page_size)
{
	return value % page_size == 0;
}

/* fake-kvm.c */
int64_t fake_host(struct fake_kvm *fake, uint32_t nr, uint64_t a, uint64_t b, uint64_t c,
		  uint64_t d, uint64_t e, uint64_t f);
/* 0, or -EBADF */
int fake_identify(struct fake_kvm *fake, int fd, struct file_id *id);
struct fake_vm *fake_find_vm(struct fake_kvm *fake, int fd);
struct fake_file *fake_find_file(struct fake_kvm *fake, int fd);
struct fake_file *fake_file_by_id(struct fake_kvm *fake, struct file_id id);
uint64_t fake_huge_page_size(struct fake_kvm *fake, struct file_id id);
bool fake_is_system(struct fake_kvm *fake, int fd);
int fake_add_vm(struct fake_kvm *fake);

/* fake-ioctl.c */
int64_t fake_ioctl(struct fake_kvm *fake, int fd, uint32_t request, uint64_t argument);
/* Bytes of the struct that a request takes; 0 for one with none, or not KVM's. */
size_t fake_ioctl_size(uint32_t request);

/* fake-slot.c; file_id zeros for the older ioctl */
int fake_set_slot(struct fake_kvm *fake, struct fake_vm *vm, const struct fake_slot *slot);

/* fake-file.c: guest_memfd and other files */
int fake_create_guest_memfd(struct fake_kvm *fake, struct fake_vm *vm, uint64_t size,
			    uint64_t flags);
int fake_set_file_attributes(struct fake_kvm *fake, int fd, void *argument);
int64_t fake_memfd_create(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_fallocate(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_ftruncate(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_fcntl(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_fstat(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_fstatfs(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_write(struct fake_kvm *fake, const uint64_t *arg);
/* Through whatever descriptor the process has open on it; -EIO when there is none. */
int64_t fake_punch(struct fake_kvm *fake, const struct fake_file *file, uint64_t offset,
		   uint64_t length);
/* Decodes MFD_HUGE_* or MAP_HUGE_* of flags; 0 where the host has no such size. */
uint64_t fake_decode_huge_size(const struct fake_kvm *fake, uint64_t flags);

/* fake-mapping.c */
int64_t fake_mmap(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_munmap(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_madvise(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_mbind(struct fake_kvm *fake, const uint64_t *arg);
int64_t fake_get_mempolicy(struct fake_kvm *fake, const uint64_t *arg);
/* Makes mappings of the file show what is private now and what is not. */
int fake_remap_file(struct fake_kvm *fake, const struct fake_file *file, int fd, uint64_t start,
		    uint64_t end);

/* fake-record.c */
void fake_record_before(struct fake_kvm *fake, struct fake_call *call, uint32_t nr,
			const uint64_t *arg);
void fake_record_after(struct fake_kvm *fake, struct fake_call *call, int64_t result);

#endif /* TESTS_SUPPORT_FAKE_INTERNAL_H */
