// SPDX-License-Identifier: LGPL-2.1-or-later
/* The stand-in for KVM: presets, beginning and end, and the door that sorts calls. */
#include "fake-internal.h"
#include "faults.h"
#include "support.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* linux/magic.h; the second is newer than the headers this is built with. */
#define ANONYMOUS_INODE_MAGIC 0x09041934u
#define GUEST_MEMFD_FILE_SYSTEM_MAGIC 0x474d454du

#define ALL_CREATION_FLAGS                                                                         \
	(int)(GMEM_KVM_GUEST_MEMFD_FLAG_MMAP | GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED)
#define MAP_GPA_RANGE_EXIT (1 << GMEM_KVM_HC_MAP_GPA_RANGE)
#define DEFAULT_AND_SW_PROTECTED 3

/* What all presets have in common. */
#define COMMON .gpa_bits = 52, .numa_nodes = 3, .huge_page_sizes = (2u << 20) | (1u << 30)
/* What changed after 6.18. */
#define UP_TO_6_18                                                                                 \
	.numa = FAKE_NUMA_IGNORED, .binding_errno = EINVAL,                                        \
	.guest_memfd_magic = ANONYMOUS_INODE_MAGIC
#define AFTER_6_18                                                                                 \
	.numa = FAKE_NUMA_HONOURED, .binding_errno = EEXIST,                                       \
	.guest_memfd_magic = GUEST_MEMFD_FILE_SYSTEM_MAGIC

const struct fake_kvm_config fake_kvm_old = {
	COMMON,
	UP_TO_6_18,
	.tracking = FAKE_TRACKING_NONE,
	.cap =
		{
			.user_memory = 1,
			.nr_memslots = 32764,
			.multi_address_space = 2,
			.readonly_mem = 1,
			.exit_hypercall = MAP_GPA_RANGE_EXIT,
		},
};

const struct fake_kvm_config fake_kvm_linux_6_8 = {
	COMMON,
	UP_TO_6_18,
	.tracking = FAKE_TRACKING_VM,
	.private_memory = true,
	.cap =
		{
			.user_memory = 1,
			.user_memory2 = 1,
			.guest_memfd = 1,
			.memory_attributes = (int)GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE,
			.nr_memslots = 32764,
			.multi_address_space = 1,
			.vm_types = DEFAULT_AND_SW_PROTECTED,
			.readonly_mem = 1,
			.exit_hypercall = MAP_GPA_RANGE_EXIT,
			.memory_fault_info = 1,
		},
};

const struct fake_kvm_config fake_kvm_linux_6_18 = {
	COMMON,
	UP_TO_6_18,
	.tracking = FAKE_TRACKING_NONE,
	.device_attributes = FAKE_ATTRIBUTES_SYSTEM,
	.cap =
		{
			.user_memory = 1,
			.user_memory2 = 1,
			.guest_memfd = 1,
			.guest_memfd_flags = ALL_CREATION_FLAGS,
			.nr_memslots = 32764,
			.multi_address_space = 2,
			.vm_types = 1,
			.pre_fault = 1,
			.readonly_mem = 1,
			.exit_hypercall = MAP_GPA_RANGE_EXIT,
			.memory_fault_info = 1,
		},
};

const struct fake_kvm_config fake_kvm_linux_6_18_sw = {
	COMMON,
	UP_TO_6_18,
	.tracking = FAKE_TRACKING_VM,
	.private_memory = true,
	.device_attributes = FAKE_ATTRIBUTES_SYSTEM,
	.cap =
		{
			.user_memory = 1,
			.user_memory2 = 1,
			.guest_memfd = 1,
			.guest_memfd_flags = (int)GMEM_KVM_GUEST_MEMFD_FLAG_MMAP,
			.memory_attributes = (int)GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE,
			.nr_memslots = 32764,
			.multi_address_space = 1,
			.vm_types = DEFAULT_AND_SW_PROTECTED,
			.pre_fault = 1,
			.readonly_mem = 1,
			.exit_hypercall = MAP_GPA_RANGE_EXIT,
			.memory_fault_info = 1,
		},
};

const struct fake_kvm_config fake_kvm_in_place = {
	COMMON,
	AFTER_6_18,
	.tracking = FAKE_TRACKING_FILE,
	.private_memory = true,
	.device_attributes = FAKE_ATTRIBUTES_SYSTEM,
	.cap =
		{
			.user_memory = 1,
			.user_memory2 = 1,
			.guest_memfd = 1,
			.guest_memfd_flags = ALL_CREATION_FLAGS,
			.nr_memslots = 32764,
			.multi_address_space = 1,
			.vm_types = DEFAULT_AND_SW_PROTECTED,
			.pre_fault = 1,
			.readonly_mem = 1,
			.exit_hypercall = MAP_GPA_RANGE_EXIT,
			.memory_fault_info = 1,
		},
};

const struct fake_kvm_config fake_kvm_in_place_default = {
	COMMON,
	AFTER_6_18,
	.tracking = FAKE_TRACKING_FILE,
	.device_attributes = FAKE_ATTRIBUTES_SYSTEM,
	.cap =
		{
			.user_memory = 1,
			.user_memory2 = 1,
			.guest_memfd = 1,
			.guest_memfd_flags = ALL_CREATION_FLAGS,
			.nr_memslots = 32764,
			.multi_address_space = 2,
			.vm_types = DEFAULT_AND_SW_PROTECTED,
			.pre_fault = 1,
			.readonly_mem = 1,
			.exit_hypercall = MAP_GPA_RANGE_EXIT,
			.memory_fault_info = 1,
		},
};

int64_t fake_host(struct fake_kvm *fake, uint32_t nr, uint64_t a, uint64_t b, uint64_t c,
		  uint64_t d, uint64_t e, uint64_t f)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { a, b, c, d, e, f };

	return fake->host.call(nr, arg, fake->host.opaque);
}

int fake_identify(struct fake_kvm *fake, int fd, struct file_id *id)
{
	struct stat status;
	int err = (int)fake_host(fake, GMEM_SYS_FSTAT, (uint64_t)(int64_t)fd,
				 (uint64_t)(uintptr_t)&status, 0, 0, 0, 0);

	if (err < 0)
		return err;
	id->device = status.st_dev;
	id->inode = status.st_ino;
	return 0;
}

struct fake_vm *fake_find_vm(struct fake_kvm *fake, int fd)
{
	struct fake_vm *vm;
	struct file_id id;

	if (fake_identify(fake, fd, &id) < 0)
		return NULL;
	for (vm = fake->vms; vm; vm = vm->next)
		if (same_file(vm->id, id))
			return vm;
	return NULL;
}

struct fake_file *fake_file_by_id(struct fake_kvm *fake, struct file_id id)
{
	struct fake_file *file;

	for (file = fake->files; file; file = file->next)
		if (same_file(file->id, id))
			return file;
	return NULL;
}

struct fake_file *fake_find_file(struct fake_kvm *fake, int fd)
{
	struct file_id id;

	if (fake_identify(fake, fd, &id) < 0)
		return NULL;
	return fake_file_by_id(fake, id);
}

uint64_t fake_huge_page_size(struct fake_kvm *fake, struct file_id id)
{
	const struct fake_huge_file *file;

	for (file = fake->huge_files; file; file = file->next)
		if (same_file(file->id, id))
			return file->page_size;
	return 0;
}

bool fake_is_system(struct fake_kvm *fake, int fd)
{
	struct file_id id;

	return fake_identify(fake, fd, &id) == 0 && same_file(id, fake->system_id);
}

/* A memfd stands for an object of KVM's: it has an inode of its own, so that dups are known. */
static int new_object(struct fake_kvm *fake, const char *name, struct file_id *id)
{
	int fd = (int)fake_host(fake, GMEM_SYS_MEMFD_CREATE, (uint64_t)(uintptr_t)name, MFD_CLOEXEC,
				0, 0, 0, 0);

	if (fd >= 0)
		fake_identify(fake, fd, id);
	return fd;
}

int fake_add_vm(struct fake_kvm *fake)
{
	struct fake_vm *vm = support_new(sizeof(*vm));

	vm->fd = new_object(fake, "fake-kvm-vm", &vm->id);
	if (vm->fd < 0) {
		int err = vm->fd;

		free(vm);
		return err;
	}
	vm->next = fake->vms;
	fake->vms = vm;
	return vm->fd;
}

static int64_t close_descriptor(struct fake_kvm *fake, const uint64_t *arg)
{
	return fake_host(fake, GMEM_SYS_CLOSE, arg[0], 0, 0, 0, 0, 0);
}

static int64_t serve(struct fake_kvm *fake, uint32_t nr, const uint64_t *arg)
{
	switch (nr) {
	case GMEM_SYS_CLOSE:
		return close_descriptor(fake, arg);
	case GMEM_SYS_IOCTL:
		return fake_ioctl(fake, (int)arg[0], (uint32_t)arg[1], arg[2]);
	case GMEM_SYS_FCNTL:
		return fake_fcntl(fake, arg);
	case GMEM_SYS_FSTAT:
		return fake_fstat(fake, arg);
	case GMEM_SYS_FSTATFS:
		return fake_fstatfs(fake, arg);
	case GMEM_SYS_FTRUNCATE:
		return fake_ftruncate(fake, arg);
	case GMEM_SYS_FALLOCATE:
		return fake_fallocate(fake, arg);
	case GMEM_SYS_MEMFD_CREATE:
		return fake_memfd_create(fake, arg);
	case GMEM_SYS_MMAP:
		return fake_mmap(fake, arg);
	case GMEM_SYS_MUNMAP:
		return fake_munmap(fake, arg);
	case GMEM_SYS_MADVISE:
		return fake_madvise(fake, arg);
	case GMEM_SYS_MBIND:
		return fake_mbind(fake, arg);
	case GMEM_SYS_GET_MEMPOLICY:
		return fake_get_mempolicy(fake, arg);
	case GMEM_SYS_WRITE:
		return fake_write(fake, arg);
	case GMEM_SYS_GETPAGESIZE:
		return (int64_t)fake->config.page_size;
	default:
		return fake_host(fake, nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	}
}

static int64_t fake_door(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct fake_kvm *fake = opaque;
	struct fake_call call;
	int saved = errno;
	int64_t result;

	allocations_pause();
	pthread_mutex_lock(&fake->mutex);
	fake_record_before(fake, &call, nr, arg);
	/* Who sleeps holds up nobody. */
	if (nr == GMEM_SYS_FUTEX) {
		pthread_mutex_unlock(&fake->mutex);
		result = serve(fake, nr, arg);
		pthread_mutex_lock(&fake->mutex);
	} else {
		result = serve(fake, nr, arg);
	}
	fake_record_after(fake, &call, result);
	pthread_mutex_unlock(&fake->mutex);
	allocations_resume();
	errno = saved;
	return result;
}

struct fake_kvm *fake_kvm_new(const struct fake_kvm_config *config)
{
	struct fake_kvm *fake = support_new(sizeof(*fake));

	pthread_mutex_init(&fake->mutex, NULL);
	fake->config = *config;
	fake->owner = getpid();
	gmem_kernel_get_host(&fake->host);
	fake->host_page_size = (uint64_t)fake_host(fake, GMEM_SYS_GETPAGESIZE, 0, 0, 0, 0, 0, 0);
	if (fake->config.page_size == 0)
		fake->config.page_size = fake->host_page_size;
	fake->system_fd = fake->sigbus_fd = -1;
	if (fake->config.page_size < fake->host_page_size)
		goto fail;
	fake->system_fd = new_object(fake, "fake-kvm-system", &fake->system_id);
	fake->sigbus_fd = (int)fake_host(fake, GMEM_SYS_MEMFD_CREATE,
					 (uint64_t)(uintptr_t) "fake-kvm-private", MFD_CLOEXEC, 0,
					 0, 0, 0);
	fake->first_vm_fd = fake_add_vm(fake);
	if (fake->system_fd < 0 || fake->sigbus_fd < 0 || fake->first_vm_fd < 0)
		goto fail;
	return fake;
fail:
	fake_kvm_free(fake);
	return NULL;
}

/* Leaves alone what has taken the number of a descriptor that was closed early. */
static void close_own(struct fake_kvm *fake, int fd, struct file_id id)
{
	struct file_id now;

	if (fd >= 0 && fake_identify(fake, fd, &now) == 0 && same_file(id, now))
		fake_host(fake, GMEM_SYS_CLOSE, (uint64_t)fd, 0, 0, 0, 0, 0);
}

static void free_vms(struct fake_kvm *fake)
{
	struct fake_vm *vm, *next;

	for (vm = fake->vms; vm; vm = next) {
		next = vm->next;
		close_own(fake, vm->fd, vm->id);
		spans_clear(&vm->private_addresses);
		free(vm->slots);
		free(vm);
	}
}

static void free_files(struct fake_kvm *fake)
{
	struct fake_huge_file *huge, *next_huge;
	struct fake_file *file, *next;

	for (file = fake->files; file; file = next) {
		next = file->next;
		spans_clear(&file->private_offsets);
		free(file);
	}
	for (huge = fake->huge_files; huge; huge = next_huge) {
		next_huge = huge->next;
		free(huge);
	}
}

void fake_kvm_free(struct fake_kvm *fake)
{
	if (!fake)
		return;
	free_vms(fake);
	free_files(fake);
	close_own(fake, fake->system_fd, fake->system_id);
	if (fake->sigbus_fd >= 0)
		fake_host(fake, GMEM_SYS_CLOSE, (uint64_t)fake->sigbus_fd, 0, 0, 0, 0, 0);
	free(fake->mappings);
	free(fake->policies);
	free(fake->calls);
	pthread_mutex_destroy(&fake->mutex);
	free(fake);
}

struct gmem_kernel fake_kvm_kernel(struct fake_kvm *fake)
{
	return (struct gmem_kernel){ fake_door, fake };
}

int fake_kvm_vm_fd(const struct fake_kvm *fake)
{
	return fake->first_vm_fd;
}

int fake_kvm_system_fd(const struct fake_kvm *fake)
{
	return fake->system_fd;
}

int fake_kvm_new_vm(struct fake_kvm *fake)
{
	int fd;

	pthread_mutex_lock(&fake->mutex);
	fd = fake_add_vm(fake);
	pthread_mutex_unlock(&fake->mutex);
	return fd;
}

uint64_t fake_kvm_page_size(const struct fake_kvm *fake)
{
	return fake->config.page_size;
}
