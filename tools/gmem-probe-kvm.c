// SPDX-License-Identifier: LGPL-2.1-or-later
/* Opens the KVM device, makes one VM of each type it offers, and lets libgmem look at it. */
#include "gmem-probe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libgmem/uapi/kvm.h"

#define KVM_EXPECTED_API_VERSION 12

/* KVM_CAP_ARM_VM_IPA_SIZE: the most bits of guest-physical address that a VM can have. */
#define KVM_CAP_ARM_VM_IPA_SIZE 165u

/* Where libgmem's messages about one VM go. */
struct listener {
	char *message;
	bool verbose;
};

static void take_message(uint32_t level, const char *text, void *opaque)
{
	const struct listener *listener = opaque;

	if (level == GMEM_LOG_ERROR)
		snprintf(listener->message, KVM_MESSAGE, "%s", text);
	if (listener->verbose)
		fprintf(stderr, "gmem-probe: libgmem: %s\n", text);
}

static int probe_vm(struct vm_type *type, int vm_fd, bool verbose)
{
	struct listener listener = { .message = type->message, .verbose = verbose };
	struct gmem_ctx *ctx;
	struct gmem_vm *vm = NULL;
	int result;

	result = gmem_ctx_new(&ctx);
	if (result < 0)
		return result;
	gmem_ctx_set_log(ctx, GMEM_LOG_DEBUG, take_message, &listener, NULL);
	result = gmem_vm_new(ctx, vm_fd, NULL, &vm);
	if (result == 0)
		result = gmem_vm_get_info(vm, &type->info);
	gmem_vm_free(vm);
	gmem_ctx_free(ctx);
	return result;
}

/* What KVM_CREATE_VM takes: on arm64 not a type, but the size of the guest's address space. */
static unsigned long create_argument(int kvm_fd, uint32_t type)
{
#if defined(__aarch64__)
	int bits = ioctl(kvm_fd, GMEM_KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

	/* 0 stands for 40 bits, which some machines have not. */
	if (bits > 0 && bits < 40)
		return (unsigned long)bits;
#else
	(void)kvm_fd;
#endif
	return type;
}

static void probe_type(struct vm_type *type, int kvm_fd, uint32_t number, bool verbose)
{
	int vm_fd = ioctl(kvm_fd, GMEM_KVM_CREATE_VM, create_argument(kvm_fd, number));

	if (vm_fd < 0) {
		type->create_error = errno;
		return;
	}
	type->probe_error = -probe_vm(type, vm_fd, verbose);
	if (type->probe_error)
		memset(&type->info, 0, sizeof(type->info));
	close(vm_fd);
}

static void probe_types(struct kvm *kvm, int kvm_fd, bool verbose)
{
	bool made = false;
	uint32_t number;
	int error = 0;
	int types;

	types = ioctl(kvm_fd, GMEM_KVM_CHECK_EXTENSION, GMEM_KVM_CAP_VM_TYPES);
	/* Before Linux 6.8, and not on x86, there is one type and no such question. */
	kvm->vm_types = types > 0 ? (uint64_t)types : 1;
	for (number = 0; number < VM_TYPES; number++) {
		kvm->types[number].offered = kvm->vm_types >> number & 1;
		if (!kvm->types[number].offered)
			continue;
		probe_type(&kvm->types[number], kvm_fd, number, verbose);
		made = made || vm_type_made(&kvm->types[number]);
		if (!error)
			error = kvm->types[number].create_error;
	}
	if (!made) {
		kvm->state = KVM_NO_VM;
		kvm->error = error;
	}
}

static enum kvm_state state_of_open_error(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return KVM_ABSENT;
	case EACCES:
	case EPERM:
		return KVM_DENIED;
	case ENODEV:
	case ENXIO:
		return KVM_NO_DRIVER;
	default:
		return KVM_UNREADABLE;
	}
}

static void describe_node(struct kvm *kvm)
{
	const struct passwd *owner;
	const struct group *group;
	struct stat status;

	if (stat(kvm->path, &status) < 0)
		return;
	kvm->node_mode = status.st_mode & 07777;
	owner = getpwuid(status.st_uid);
	if (owner)
		snprintf(kvm->node_owner, HOST_WORD, "%s", owner->pw_name);
	else
		snprintf(kvm->node_owner, HOST_WORD, "%u", status.st_uid);
	group = getgrgid(status.st_gid);
	if (group)
		snprintf(kvm->node_group, HOST_WORD, "%s", group->gr_name);
	else
		snprintf(kvm->node_group, HOST_WORD, "%u", status.st_gid);
}

static int set_path(struct kvm *kvm, const struct options *options)
{
	int length;

	if (options->device)
		length = snprintf(kvm->path, sizeof(kvm->path), "%s", options->device);
	else
		length = snprintf(kvm->path, sizeof(kvm->path), "%s/dev/kvm", options->root);
	return length < (int)sizeof(kvm->path) ? 0 : -ENAMETOOLONG;
}

int kvm_probe(struct kvm *kvm, const struct options *options)
{
	int result;
	int fd;

	*kvm = (struct kvm){ 0 };
	result = set_path(kvm, options);
	if (result < 0)
		return result;
	fd = open(kvm->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		kvm->error = errno;
		kvm->state = state_of_open_error(kvm->error);
	}
	describe_node(kvm);
	if (fd < 0)
		return 0;

	kvm->api_version = ioctl(fd, GMEM_KVM_GET_API_VERSION, 0);
	if (kvm->api_version == KVM_EXPECTED_API_VERSION) {
		probe_types(kvm, fd, options->verbose);
	} else {
		kvm->error = kvm->api_version < 0 ? errno : 0;
		kvm->state = KVM_NOT_KVM;
	}
	close(fd);
	return 0;
}
