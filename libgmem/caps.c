// SPDX-License-Identifier: LGPL-2.1-or-later
/* Probes what the kernel can do for one VM. */
#include "caps.h"

#include "kernel.h"
#include "log.h"
#include "range.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <gmem/vm.h>
#include <string.h>

struct probe {
	struct caps *caps;
	struct gmem_ctx *ctx;
	const struct gmem_kernel *kernel;
	int vm_fd;
};

/* The value of a capability; one that this kernel does not know is 0. */
static uint64_t capability(const struct probe *probe, uint32_t number)
{
	int value = gmem_kernel_ioctl_value(probe->kernel, probe->vm_fd, GMEM_KVM_CHECK_EXTENSION,
					    number);

	return value > 0 ? (uint64_t)value : 0;
}

/*
 * A VM answers KVM_CHECK_EXTENSION. So does /dev/kvm, which alone knows KVM_GET_API_VERSION.
 */
static int check_is_vm(const struct probe *probe)
{
	int value = gmem_kernel_ioctl_value(probe->kernel, probe->vm_fd, GMEM_KVM_CHECK_EXTENSION,
					    GMEM_KVM_CAP_USER_MEMORY);

	if (value == -EIO) {
		log_error(probe->ctx,
			  "VM descriptor %d is that of another process, or its VM is dead",
			  probe->vm_fd);
		return -EIO;
	}
	if (value < 0) {
		log_error(probe->ctx,
			  "VM descriptor %d: KVM_CHECK_EXTENSION gives %s; it must be one that "
			  "KVM_CREATE_VM returned",
			  probe->vm_fd, gmem_error_name(value));
		return -EBADF;
	}
	value = gmem_kernel_ioctl_value(probe->kernel, probe->vm_fd, GMEM_KVM_GET_API_VERSION, 0);
	if (value >= 0) {
		log_error(probe->ctx,
			  "VM descriptor %d is /dev/kvm itself; it must be one that KVM_CREATE_VM "
			  "returned",
			  probe->vm_fd);
		return -EBADF;
	}
	return 0;
}

static int probe_page_size(const struct probe *probe)
{
	int64_t size = gmem_kernel_page_size(probe->kernel);

	if (size < 4096 || size > 65536 || !is_power_of_two((uint64_t)size)) {
		log_error(probe->ctx,
			  "the kernel's page size is %lld; it must be a power of two from 4096 to "
			  "65536",
			  (long long)size);
		return -EIO;
	}
	probe->caps->page_size = (uint64_t)size;
	probe->caps->page_shift = (unsigned int)__builtin_ctzll((uint64_t)size);
	probe->caps->max_section = GMEM_KVM_MEM_MAX_NR_PAGES * (uint64_t)size;
	return 0;
}

/* Features and policy bits of SNP: 0 where this VM's KVM does not say. */
static uint64_t sev_attribute(const struct probe *probe, uint64_t attribute)
{
	uint64_t value = 0;
	struct gmem_kvm_device_attr request = {
		.group = GMEM_KVM_X86_GROUP_SEV,
		.attr = attribute,
		.addr = address_of(&value),
	};

	if (gmem_kernel_ioctl(probe->kernel, probe->vm_fd, GMEM_KVM_HAS_DEVICE_ATTR, &request) <
		    0 ||
	    gmem_kernel_ioctl(probe->kernel, probe->vm_fd, GMEM_KVM_GET_DEVICE_ATTR, &request) < 0)
		return 0;
	return value;
}

static void probe_capabilities(const struct probe *probe)
{
	struct caps *caps = probe->caps;

	caps->slots = (uint32_t)capability(probe, GMEM_KVM_CAP_NR_MEMSLOTS);
	caps->address_spaces = (uint32_t)capability(probe, GMEM_KVM_CAP_MULTI_ADDRESS_SPACE);
	if (!caps->address_spaces)
		caps->address_spaces = 1;
	caps->hypercall_exits = capability(probe, GMEM_KVM_CAP_EXIT_HYPERCALL);
	caps->region2 = capability(probe, GMEM_KVM_CAP_USER_MEMORY2);
	caps->memory_fault_exit = capability(probe, GMEM_KVM_CAP_MEMORY_FAULT_INFO);
	caps->attributes = capability(probe, GMEM_KVM_CAP_MEMORY_ATTRIBUTES);
	/* Without the memslot call that takes a guest_memfd, none is of use. */
	caps->guest_memfd = caps->region2 && capability(probe, GMEM_KVM_CAP_GUEST_MEMFD);
	caps->vm_types = capability(probe, GMEM_KVM_CAP_VM_TYPES) | 1u << GMEM_KVM_VM_TYPE_DEFAULT;
	caps->prefault = capability(probe, GMEM_KVM_CAP_PRE_FAULT_MEMORY);
	caps->readonly = capability(probe, GMEM_KVM_CAP_READONLY_MEM);
	if (caps->guest_memfd)
		caps->guest_memfd_flags = capability(probe, GMEM_KVM_CAP_GUEST_MEMFD_FLAGS);
	if (caps->vm_types & 1u << GMEM_KVM_VM_TYPE_SNP) {
		caps->snp_features = sev_attribute(probe, GMEM_KVM_X86_SEV_VMSA_FEATURES);
		caps->snp_policy = sev_attribute(probe, GMEM_KVM_X86_SNP_POLICY_BITS);
	}
}

/*
 * The number of the in-place capability is not settled (kernel fact C1), so the ioctl itself is
 * asked: to make the one page of a new guest_memfd private, which it is already.
 */
static int probe_in_place(const struct probe *probe)
{
	struct gmem_kvm_create_guest_memfd create = { .size = probe->caps->page_size };
	struct gmem_kvm_memory_attributes2 attributes = {
		.size = probe->caps->page_size,
		.attributes = GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE,
	};
	int fd, rc;

	fd = gmem_kernel_ioctl(probe->kernel, probe->vm_fd, GMEM_KVM_CREATE_GUEST_MEMFD, &create);
	if (fd < 0) {
		log_error(probe->ctx,
			  "VM descriptor %d: no guest_memfd of one page to probe with: %s",
			  probe->vm_fd, gmem_error_name(fd));
		return fd == -ENFILE ? -EMFILE : fd == -EMFILE || fd == -ENOMEM ? fd : -EIO;
	}
	/* Not close-on-exec as it comes (kernel fact F2). */
	gmem_kernel_fcntl(probe->kernel, fd, F_SETFD, FD_CLOEXEC);
	rc = gmem_kernel_ioctl(probe->kernel, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &attributes);
	gmem_kernel_close(probe->kernel, fd);
	if (rc && rc != -ENOTTY && rc != -EINVAL) {
		log_error(probe->ctx,
			  "VM descriptor %d: probing in-place conversion gives %s; it must be 0, "
			  "ENOTTY or EINVAL",
			  probe->vm_fd, gmem_error_name(rc));
		return rc == -ENOMEM ? rc : -EIO;
	}
	probe->caps->in_place_ioctl = rc != -ENOTTY;
	if (!rc)
		probe->caps->tracking = GMEM_TRACKING_FILE;
	return 0;
}

static int probe_tracking(const struct probe *probe)
{
	struct caps *caps = probe->caps;

	caps->tracking = GMEM_TRACKING_NONE;
	if (!caps->guest_memfd)
		return 0;
	/* The two never mix: one loaded KVM does one or the other. */
	if (caps->attributes & GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE) {
		caps->tracking = GMEM_TRACKING_VM;
		return 0;
	}
	return probe_in_place(probe);
}

int gmem_caps_probe(struct caps *caps, struct gmem_ctx *ctx, const struct gmem_kernel *kernel,
		    int vm_fd)
{
	const struct probe probe = { caps, ctx, kernel, vm_fd };
	int rc;

	memset(caps, 0, sizeof(*caps));
	caps->tracking = GMEM_TRACKING_NONE;
	caps->address_spaces = 1;
	rc = probe_page_size(&probe);
	if (rc || vm_fd == -1)
		return rc;
	rc = check_is_vm(&probe);
	if (rc)
		return rc;
	caps->have_kvm = true;
	probe_capabilities(&probe);
	rc = probe_tracking(&probe);
	if (!rc)
		log_debug(ctx, "VM descriptor %d: private memory is tracked %s, %u memslots", vm_fd,
			  gmem_caps_tracking_name(caps->tracking), caps->slots);
	return rc;
}

/* Under per-VM tracking the host could not read such a file (kernel fact F6). */
bool gmem_caps_have_mmap(const struct caps *caps)
{
	uint64_t needed = GMEM_KVM_GUEST_MEMFD_FLAG_MMAP;

	if (caps->tracking == GMEM_TRACKING_NONE)
		needed |= GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED;
	return caps->guest_memfd && caps->tracking != GMEM_TRACKING_VM &&
	       (caps->guest_memfd_flags & needed) == needed;
}

const char *gmem_caps_tracking_name(uint32_t tracking)
{
	switch (tracking) {
	case GMEM_TRACKING_VM:
		return "per VM";
	case GMEM_TRACKING_FILE:
		return "per guest_memfd";
	default:
		return "by nobody";
	}
}
