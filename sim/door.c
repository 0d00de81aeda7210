// SPDX-License-Identifier: LGPL-2.1-or-later
/* The door: sorts calls by what their descriptor or address is, and has them fail or be told. */
#include "host.h"
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define NOT_OURS INT64_MIN

static int64_t serve_vm_ioctl(struct sim_vm *vm, uint32_t request, uint64_t argument)
{
	int64_t result;

	gmem_sim_vm_hold(vm);
	result = gmem_sim_vm_ioctl(vm, request, argument);
	gmem_sim_vm_release(vm);
	return result;
}

static int64_t serve_vcpu_ioctl(struct sim_vcpu *vcpu, uint32_t request, uint64_t argument)
{
	struct sim_vm *vm = vcpu->vm;
	int64_t result;

	gmem_sim_vm_hold(vm);
	result = gmem_sim_vcpu_ioctl(vcpu, request, argument);
	gmem_sim_vm_release(vm);
	return result;
}

static int64_t serve_ioctl(struct gmem_sim *sim, struct sim_object *object, const uint64_t *arg)
{
	uint32_t request = (uint32_t)arg[1];

	switch (object->kind) {
	case SIM_SYSTEM:
		return gmem_sim_system_ioctl(sim, request, arg[2]);
	case SIM_VM:
		return serve_vm_ioctl((struct sim_vm *)(void *)object, request, arg[2]);
	case SIM_VCPU:
		return serve_vcpu_ioctl((struct sim_vcpu *)(void *)object, request, arg[2]);
	default:
		return request == GMEM_KVM_SET_MEMORY_ATTRIBUTES2
			       ? gmem_sim_file_set_attributes((struct sim_file *)(void *)object,
							      arg[2])
			       : -ENOTTY;
	}
}

/* Leases are how we see that a file is closed. */
static int64_t serve_fcntl(struct sim_object *object, const uint64_t *arg)
{
	int64_t result;

	switch ((int)arg[1]) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		result = gmem_sim_host_call(GMEM_SYS_FCNTL, arg);
		object->handles += result >= 0;
		return result;
	case F_ADD_SEALS:
	case F_GET_SEALS:
	case F_SETLEASE:
		return -EINVAL;
	default:
		return NOT_OURS;
	}
}

static int64_t serve_fstat(const struct gmem_sim *sim, const struct sim_object *object,
			   const uint64_t *arg)
{
	struct stat *status = (struct stat *)(uintptr_t)arg[1];
	int64_t result = gmem_sim_host_call(GMEM_SYS_FSTAT, arg);

	if (result < 0)
		return result;
	status->st_mode = object->kind == SIM_FILE ? S_IFREG | 0600 : 0600;
	status->st_nlink = 1;
	/* F11 */
	status->st_blocks = 0;
	status->st_blksize = (blksize_t)sim->config.page_size;
	return result;
}

static int64_t serve_fstatfs(const struct gmem_sim *sim, const struct sim_object *object,
			     const uint64_t *arg)
{
	struct statfs *status = (struct statfs *)(uintptr_t)arg[1];
	int64_t result = gmem_sim_host_call(GMEM_SYS_FSTATFS, arg);

	if (result < 0)
		return result;
	status->f_type = (__typeof__(status->f_type))(object->kind == SIM_FILE
							      ? sim->config.file_magic
							      : ANON_INODE_FS_MAGIC);
	status->f_bsize = (__typeof__(status->f_bsize))sim->config.page_size;
	return result;
}

/* Calls on descriptors that are not ours: no lock, some wait for as long as it takes. */
static int64_t serve_foreign(const struct gmem_sim *sim, uint32_t nr, const uint64_t *arg)
{
	struct statfs *status = (struct statfs *)(uintptr_t)arg[1];
	int64_t result = gmem_sim_host_call(nr, arg);

	if (nr == GMEM_SYS_FSTATFS && result >= 0 && status->f_type == TMPFS_MAGIC)
		status->f_bsize = (__typeof__(status->f_bsize))sim->config.page_size;
	return result;
}

static int64_t serve_mmap(struct gmem_sim *sim, const uint64_t *arg)
{
	struct sim_object *object = NULL;
	int64_t result = NOT_OURS;

	if (!(arg[3] & MAP_ANONYMOUS) && gmem_sim_find_object(sim, (int)arg[4])) {
		pthread_mutex_lock(&sim->mutex);
		object = gmem_sim_find_object(sim, (int)arg[4]);
		if (object && object->kind == SIM_FILE)
			result = gmem_sim_map_file(sim, (struct sim_file *)(void *)object, arg);
		else if (object && object->kind != SIM_VCPU)
			result = -ENODEV;
		pthread_mutex_unlock(&sim->mutex);
	}
	return result == NOT_OURS ? gmem_sim_mmap(sim, arg) : result;
}

static int64_t serve_munmap(struct gmem_sim *sim, const uint64_t *arg)
{
	int64_t result;

	pthread_mutex_lock(&sim->mutex);
	result = gmem_sim_munmap(sim, arg);
	pthread_mutex_unlock(&sim->mutex);
	return result;
}

/* Calls on a descriptor, with the lock held; NOT_OURS: the host's to make, without it. */
static int64_t serve_object(struct gmem_sim *sim, struct sim_object *object, uint32_t nr,
			    const uint64_t *arg)
{
	switch (nr) {
	case GMEM_SYS_IOCTL:
		return serve_ioctl(sim, object, arg);
	case GMEM_SYS_FCNTL:
		return serve_fcntl(object, arg);
	case GMEM_SYS_FSTAT:
		return serve_fstat(sim, object, arg);
	case GMEM_SYS_FSTATFS:
		return serve_fstatfs(sim, object, arg);
	case GMEM_SYS_FTRUNCATE:
	case GMEM_SYS_WRITE:
		/* F11 */
		return -EINVAL;
	case GMEM_SYS_FALLOCATE:
		return object->kind == SIM_FILE
			       ? gmem_sim_file_fallocate((struct sim_file *)(void *)object,
							 (int)arg[1], arg[2], arg[3])
			       : -ENODEV;
	default:
		return NOT_OURS;
	}
}

static int64_t serve_descriptor(struct gmem_sim *sim, uint32_t nr, const uint64_t *arg)
{
	struct sim_object *object;
	int64_t result = NOT_OURS;

	if (gmem_sim_find_object(sim, (int)arg[0])) {
		pthread_mutex_lock(&sim->mutex);
		/* Unless somebody was quicker and closed it. */
		object = gmem_sim_find_object(sim, (int)arg[0]);
		if (object)
			result = serve_object(sim, object, nr, arg);
		pthread_mutex_unlock(&sim->mutex);
	}
	return result == NOT_OURS ? serve_foreign(sim, nr, arg) : result;
}

static bool count_close(struct gmem_sim *sim, int fd)
{
	struct sim_object *object;

	if (!gmem_sim_find_object(sim, fd))
		return false;
	pthread_mutex_lock(&sim->mutex);
	object = gmem_sim_find_object(sim, fd);
	if (object && object->handles > 0)
		object->handles--;
	pthread_mutex_unlock(&sim->mutex);
	return object;
}

static int64_t serve_close(struct gmem_sim *sim, const uint64_t *arg)
{
	bool is_ours = count_close(sim, (int)arg[0]);
	int64_t result = gmem_sim_host_call(GMEM_SYS_CLOSE, arg);

	if (is_ours) {
		pthread_mutex_lock(&sim->mutex);
		gmem_sim_sweep(sim);
		pthread_mutex_unlock(&sim->mutex);
	}
	return result;
}

static int64_t serve(struct gmem_sim *sim, uint32_t nr, const uint64_t *arg)
{
	switch (nr) {
	case GMEM_SYS_CLOSE:
		return serve_close(sim, arg);
	case GMEM_SYS_IOCTL:
	case GMEM_SYS_FCNTL:
	case GMEM_SYS_FSTAT:
	case GMEM_SYS_FSTATFS:
	case GMEM_SYS_FTRUNCATE:
	case GMEM_SYS_FALLOCATE:
	case GMEM_SYS_WRITE:
		return serve_descriptor(sim, nr, arg);
	case GMEM_SYS_MMAP:
		return serve_mmap(sim, arg);
	case GMEM_SYS_MUNMAP:
		return serve_munmap(sim, arg);
	case GMEM_SYS_MADVISE:
		return gmem_sim_madvise(sim, arg);
	case GMEM_SYS_MBIND:
		return gmem_sim_mbind(sim, arg);
	case GMEM_SYS_GET_MEMPOLICY:
		return gmem_sim_get_mempolicy(sim, arg);
	case GMEM_SYS_GETPAGESIZE:
		return (int64_t)sim->config.page_size;
	default:
		return gmem_sim_host_call(nr, arg);
	}
}

/* What a call that fails in this way has written, had the kernel made it. */
static void write_failure(struct gmem_sim *sim, const uint64_t *arg,
			  const struct sim_failure *failure)
{
	struct gmem_kvm_memory_attributes2 attributes;
	uint64_t at = arg[2];

	if ((uint32_t)arg[1] == SIM_KVM_MEMORY_ENCRYPT_OP)
		gmem_sim_copy_out(sim, at + offsetof(struct sim_kvm_sev_cmd, error),
				  &failure->fw_error, sizeof(failure->fw_error));
	/* P5 */
	if ((uint32_t)arg[1] == GMEM_KVM_SET_MEMORY_ATTRIBUTES2 &&
	    (failure->error == -EAGAIN || failure->error == -ENOMEM) &&
	    gmem_sim_copy_in(sim, &attributes, at, sizeof(attributes)) == 0)
		gmem_sim_copy_out(sim, at + offsetof(__typeof__(attributes), error_offset),
				  &attributes.offset, sizeof(attributes.offset));
}

static bool fails(struct gmem_sim *sim, uint32_t nr, const uint64_t *arg, int64_t *result)
{
	uint32_t request = nr == GMEM_SYS_IOCTL ? (uint32_t)arg[1] : 0;
	struct sim_failure failure;
	uint32_t command = 0;
	bool found;

	if (request == SIM_KVM_MEMORY_ENCRYPT_OP && gmem_sim_has_failures(sim))
		gmem_sim_copy_in(sim, &command, arg[2], sizeof(command));
	found = gmem_sim_next_failure(sim, nr, request, command, &failure);
	if (found && nr == GMEM_SYS_IOCTL)
		write_failure(sim, arg, &failure);
	if (found)
		*result = failure.error;
	return found;
}

static void tell(struct gmem_sim *sim, uint32_t nr, const uint64_t *arg, int64_t result)
{
	gmem_sim_record_fn record;
	void *opaque;

	pthread_mutex_lock(&sim->inner);
	record = sim->record;
	opaque = sim->record_opaque;
	pthread_mutex_unlock(&sim->inner);
	if (record)
		record(nr, arg, result, opaque);
}

/* The lock may have been anybody's at the fork(), so none is taken. */
static int64_t call_in_child(struct gmem_sim *sim, uint32_t nr, const uint64_t *arg)
{
	const struct sim_object *object = NULL;

	if (nr == GMEM_SYS_IOCTL || nr == GMEM_SYS_FALLOCATE)
		object = gmem_sim_find_inherited(sim, (int)arg[0]);
	if (object && nr == GMEM_SYS_IOCTL)
		return -EIO;
	if (object && object->kind == SIM_FILE)
		return gmem_sim_file_fallocate_in_child(
			(const struct sim_file *)(const void *)object, (int)arg[1], arg[2], arg[3]);
	if (nr == GMEM_SYS_GETPAGESIZE)
		return (int64_t)sim->config.page_size;
	return gmem_sim_host_call(nr, arg);
}

static int64_t call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct gmem_sim *sim = opaque;
	int64_t result;

	if (gmem_sim_is_child(sim))
		return call_in_child(sim, nr, arg);
	if (!fails(sim, nr, arg, &result))
		result = serve(sim, nr, arg);
	tell(sim, nr, arg, result);
	return result;
}

int gmem_sim_get_kernel(struct gmem_sim *sim, struct gmem_kernel *kernel)
{
	if (kernel)
		*kernel = (struct gmem_kernel){ 0 };
	if (!sim || !kernel)
		return -EINVAL;
	pthread_mutex_lock(&sim->mutex);
	sim->is_used = true;
	pthread_mutex_unlock(&sim->mutex);
	kernel->call = call;
	kernel->opaque = sim;
	return 0;
}
