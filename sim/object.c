// SPDX-License-Identifier: LGPL-2.1-or-later
/* The simulator's descriptors: made, found by inode, and given back when nobody has them open. */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

bool gmem_sim_is_child(const struct gmem_sim *sim)
{
	return getpid() != sim->owner;
}

int gmem_sim_grow(void **array, size_t count, size_t *room, size_t size)
{
	size_t wanted = *room ? *room * 2 : 4;
	void *grown;

	if (count < *room)
		return 0;
	grown = reallocarray(*array, wanted, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = wanted;
	return 0;
}

static struct sim_object **bucket_of(struct gmem_sim *sim, ino_t inode)
{
	return &sim->bucket[inode % SIM_BUCKETS];
}

/* Both open files come from open(): that of memfd_create() itself is not counted by a lease. */
int gmem_sim_object_create(struct gmem_sim *sim, struct sim_object *object, enum sim_kind kind,
			   const char *name, uint64_t size, int flags)
{
	struct sim_object **bucket;
	int memfd = gmem_sim_host_memfd(name, size);
	int fd;

	if (memfd < 0)
		return memfd == -ENFILE ? -EMFILE : memfd;
	object->own_fd = gmem_sim_host_reopen(memfd, O_CLOEXEC);
	fd = object->own_fd < 0 ? object->own_fd : gmem_sim_host_reopen(memfd, flags);
	if (fd >= 0 && gmem_sim_host_identify(fd, &object->device, &object->inode) < 0) {
		gmem_sim_host_close(fd);
		fd = -EMFILE;
	}
	if (fd < 0 && object->own_fd >= 0)
		gmem_sim_host_close(object->own_fd);
	gmem_sim_host_close(memfd);
	if (fd < 0) {
		object->own_fd = -1;
		return fd == -ENOMEM ? -ENOMEM : -EMFILE;
	}
	object->kind = kind;
	object->handles = 1;
	bucket = bucket_of(sim, object->inode);
	pthread_mutex_lock(&sim->inner);
	object->next = *bucket;
	*bucket = object;
	pthread_mutex_unlock(&sim->inner);
	sim->is_used = true;
	return fd;
}

bool gmem_sim_object_is_open(const struct sim_object *object)
{
	int is_shared;

	if (object->own_fd < 0)
		return false;
	is_shared = gmem_sim_host_is_shared(object->own_fd);
	return is_shared < 0 ? object->handles > 0 : is_shared;
}

void gmem_sim_object_close(struct gmem_sim *sim, struct sim_object *object)
{
	struct sim_object **link = bucket_of(sim, object->inode);

	if (object->own_fd < 0)
		return;
	pthread_mutex_lock(&sim->inner);
	while (*link != object)
		link = &(*link)->next;
	*link = object->next;
	pthread_mutex_unlock(&sim->inner);
	gmem_sim_host_close(object->own_fd);
	object->own_fd = -1;
}

static struct sim_object *find(struct gmem_sim *sim, dev_t device, ino_t inode)
{
	struct sim_object *object = *bucket_of(sim, inode);

	while (object && (object->inode != inode || object->device != device))
		object = object->next;
	return object;
}

struct sim_object *gmem_sim_find_object(struct gmem_sim *sim, int fd)
{
	struct sim_object *object;
	dev_t device;
	ino_t inode;

	if (gmem_sim_host_identify(fd, &device, &inode) < 0)
		return NULL;
	pthread_mutex_lock(&sim->inner);
	object = find(sim, device, inode);
	pthread_mutex_unlock(&sim->inner);
	return object;
}

struct sim_object *gmem_sim_find_inherited(struct gmem_sim *sim, int fd)
{
	dev_t device;
	ino_t inode;

	if (gmem_sim_host_identify(fd, &device, &inode) < 0)
		return NULL;
	return find(sim, device, inode);
}

static struct sim_object *find_kind(struct gmem_sim *sim, int fd, enum sim_kind kind)
{
	struct sim_object *object = gmem_sim_find_object(sim, fd);

	return object && object->kind == kind ? object : NULL;
}

/* The object is the first member of each. */
struct sim_vm *gmem_sim_find_vm(struct gmem_sim *sim, int fd)
{
	return (struct sim_vm *)(void *)find_kind(sim, fd, SIM_VM);
}

struct sim_vcpu *gmem_sim_find_vcpu(struct gmem_sim *sim, int fd)
{
	return (struct sim_vcpu *)(void *)find_kind(sim, fd, SIM_VCPU);
}

struct sim_file *gmem_sim_find_file(struct gmem_sim *sim, int fd)
{
	return (struct sim_file *)(void *)find_kind(sim, fd, SIM_FILE);
}

static void sweep_files(struct gmem_sim *sim)
{
	struct sim_file **link = &sim->files;

	while (*link) {
		struct sim_file *file = *link;

		if (gmem_sim_file_is_open(file)) {
			link = &file->next;
			continue;
		}
		*link = file->next;
		gmem_sim_file_free(file);
	}
}

/* The kernel keeps a vCPU while its VM lives, and so do we; only its descriptor goes. */
static void sweep_vcpus(struct sim_vm *vm)
{
	size_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->object.own_fd >= 0 &&
		    !gmem_sim_object_is_open(&vm->vcpus[i]->object))
			gmem_sim_object_close(vm->sim, &vm->vcpus[i]->object);
}

/* F13: open files of it keep it, as its vCPUs do. */
static bool vm_is_kept(const struct sim_vm *vm)
{
	const struct sim_file *file;
	size_t i;

	if (vm->holds > 0)
		return true;
	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->object.own_fd >= 0)
			return true;
	for (file = vm->sim->files; file; file = file->next)
		if (file->vm == vm)
			return true;
	return false;
}

/* Of the table alone: nothing else knows them. */
static void sweep_systems(struct gmem_sim *sim)
{
	struct sim_object *object, *next;
	size_t i;

	for (i = 0; i < SIM_BUCKETS; i++)
		for (object = sim->bucket[i]; object; object = next) {
			next = object->next;
			if (object->kind != SIM_SYSTEM || gmem_sim_object_is_open(object))
				continue;
			gmem_sim_object_close(sim, object);
			free(object);
		}
}

void gmem_sim_sweep(struct gmem_sim *sim)
{
	struct sim_vm **link = &sim->vms;

	sweep_systems(sim);
	sweep_files(sim);
	while (*link) {
		struct sim_vm *vm = *link;

		sweep_vcpus(vm);
		if (vm->object.own_fd >= 0 && !gmem_sim_object_is_open(&vm->object))
			gmem_sim_object_close(sim, &vm->object);
		if (vm->object.own_fd >= 0 || vm_is_kept(vm)) {
			link = &vm->next;
			continue;
		}
		*link = vm->next;
		gmem_sim_vm_free(vm);
	}
}

void gmem_sim_vm_hold(struct sim_vm *vm)
{
	vm->holds++;
}

void gmem_sim_vm_release(struct sim_vm *vm)
{
	/* Its last descriptor may have gone meanwhile, and a sweep have passed over it. */
	if (--vm->holds == 0 && vm->object.own_fd < 0)
		gmem_sim_sweep(vm->sim);
}
