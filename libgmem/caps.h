/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel can do for one VM, asked once. */
#ifndef GMEM_CAPS_H
#define GMEM_CAPS_H

#include <gmem/ctx.h>
#include <stdbool.h>
#include <stdint.h>

struct caps {
	uint64_t page_size;
	unsigned int page_shift;    /* its logarithm */
	uint64_t attributes;        /* KVM_SET_MEMORY_ATTRIBUTES takes these */
	uint64_t guest_memfd_flags; /* KVM_CREATE_GUEST_MEMFD takes these */
	uint64_t vm_types;
	uint64_t hypercall_exits;
	uint64_t snp_features;
	uint64_t snp_policy;
	uint64_t max_section;
	uint32_t tracking; /* GMEM_TRACKING_*, what the kernel does for this VM */
	uint32_t slots;
	uint32_t address_spaces;
	bool have_kvm;
	bool guest_memfd;
	bool prefault;
	bool memory_fault_exit;
	bool region2;
	bool readonly;
	bool in_place_ioctl; /* KVM_SET_MEMORY_ATTRIBUTES2 exists, if not for this VM's type */
};

/*
 * Asks all of it. vm_fd is -1 for no KVM. 0; -EBADF (not a KVM VM), -EMFILE, -ENOMEM, -EIO.
 */
int gmem_caps_probe(struct caps *caps, struct gmem_ctx *ctx, const struct gmem_kernel *kernel,
		    int vm_fd);

/* A guest_memfd can hold pages that the host maps. */
bool gmem_caps_have_mmap(const struct caps *caps);

/* "per VM", for messages. */
const char *gmem_caps_tracking_name(uint32_t tracking);

#endif /* GMEM_CAPS_H */
