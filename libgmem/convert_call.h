/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two ioctls, and the state that follows them: what the short way of a conversion (convert.c)
 * and the long one (convert_run.c) have in common.
 */
#ifndef GMEM_CONVERT_CALL_H
#define GMEM_CONVERT_CALL_H

#include "compiler.h"
#include "region.h"
#include "uapi/kvm.h"

#include <errno.h>

/* error_offset before the call: what the kernel never writes. */
#define NO_OFFSET UINT64_MAX

static inline uint64_t attributes_of(uint32_t state)
{
	return state == GMEM_PRIVATE ? GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
}

static inline int call_vm(const struct gmem_vm *vm, const struct gmem_range *range, uint32_t to)
{
	struct gmem_kvm_memory_attributes request = {
		.address = range->gpa,
		.size = range->size,
		.attributes = attributes_of(to),
	};

	return gmem_kernel_ioctl(&vm->kernel, vm->fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES, &request);
}

/* For a range that is at an offset of a guest_memfd. stuck is where the kernel says EAGAIN for. */
static ALWAYS_INLINE int call_file(const struct gmem_vm *vm, int guest_memfd, uint64_t offset,
				   const struct gmem_range *range, uint32_t to, uint64_t *stuck)
{
	struct gmem_kvm_memory_attributes2 request;
	uint64_t skipped;
	int rc;

	clear(&request, sizeof(request));
	request.offset = offset;
	request.size = range->size;
	request.attributes = attributes_of(to);
	request.error_offset = NO_OFFSET;
	rc = gmem_kernel_ioctl(&vm->kernel, guest_memfd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &request);
	if (!rc)
		return 0;
	/* Only EAGAIN and ENOMEM say where (kernel fact P5). Anything odd means the first page. */
	*stuck = range->gpa;
	skipped = request.error_offset - offset;
	if (rc == -EAGAIN && request.error_offset >= offset && skipped < range->size)
		*stuck = range->gpa + (skipped & ~(vm->caps.page_size - 1));
	return rc;
}

/* Pages of a region, once the kernel has done it; returns the bytes whose state that changes. */
static inline uint64_t set_state(const struct gmem_vm *vm, const struct gmem_region *region,
				 uint64_t offset, uint64_t size, uint32_t to)
{
	unsigned int shift = vm->caps.page_shift;

	return gmem_state_set(&region_shadow(region)->state, offset >> shift, size >> shift,
			      to == GMEM_PRIVATE)
	       << shift;
}

#endif /* GMEM_CONVERT_CALL_H */
