// SPDX-License-Identifier: LGPL-2.1-or-later
/* Copies between guest memory and a buffer, under a pin of the library's own. */
#include "log.h"
#include "pin.h"
#include "pin_table.h"

#include <errno.h>
#include <gmem/access.h>
#include <string.h>

#define COPY_FLAGS (GMEM_ACCESS_WAIT | GMEM_ACCESS_CHECKED)

struct copy {
	struct gmem_vm *vm;
	const char *function;
	uint64_t gpa;
	uint64_t size;
	uint8_t *buf;
	bool to_guest;
	uint32_t flags;
};

static void copy_plain(const struct copy *copy, uint64_t host, uint64_t done, uint64_t size)
{
	void *guest = (void *)(uintptr_t)host;

	if (copy->to_guest)
		memcpy(guest, copy->buf + done, size);
	else
		memcpy(copy->buf + done, guest, size);
}

static int checked_copy_failed(const struct copy *copy, uint64_t gpa, int64_t error)
{
	if (error == -EFAULT) {
		log_debug(
			copy->vm->ctx,
			"%s: gpa %#llx is shared by what this library knows, but cannot be touched; "
			"somebody else converts or punches it",
			copy->function, (unsigned long long)gpa);
		return -EACCES;
	}
	log_error(copy->vm->ctx, "%s: gpa %#llx: process_vm_%s gives %s", copy->function,
		  (unsigned long long)gpa, copy->to_guest ? "writev" : "readv",
		  error < 0 ? gmem_error_name((int)error) : "nothing");
	return -EIO;
}

/* The call may do a part, and then says why when it is asked for the rest. */
static int copy_checked(const struct copy *copy, uint64_t host, uint64_t done, uint64_t size)
{
	const struct gmem_kernel *kernel = &copy->vm->kernel;
	int64_t part;

	while (size) {
		part = copy->to_guest ? gmem_kernel_copy_out(kernel, copy->buf + done, host, size)
				      : gmem_kernel_copy_in(kernel, copy->buf + done, host, size);
		if (part <= 0 || (uint64_t)part > size)
			return checked_copy_failed(copy, copy->gpa + done, part);
		host += (uint64_t)part;
		done += (uint64_t)part;
		size -= (uint64_t)part;
	}
	return 0;
}

static int copy_piece(const struct copy *copy, uint64_t host, uint64_t done, uint64_t size)
{
	if (copy->flags & GMEM_ACCESS_CHECKED)
		return copy_checked(copy, host, done, size);
	copy_plain(copy, host, done, size);
	return 0;
}

/* Piece by piece, where host memory is not in one. The pin keeps it all as it was found. */
static int copy_scattered(const struct copy *copy)
{
	uint64_t done = 0, size;
	int rc = 0;

	while (done < copy->size && !rc) {
		struct translation piece = {
			.gpa = copy->gpa + done,
			.size = copy->size - done,
			.flags = GMEM_ACCESS_PARTIAL,
		};

		rc = gmem_translate(copy->vm, &piece);
		if (rc)
			return gmem_access_refused(copy->vm, &piece, copy->gpa, copy->size, rc);
		size = copy->size - done - piece.size;
		rc = copy_piece(copy, piece.host, done, size);
		done += size;
	}
	return rc;
}

static int run_copy(const struct copy *copy)
{
	struct translation whole = {
		.gpa = copy->gpa,
		.size = copy->size,
		.flags = copy->to_guest ? GMEM_ACCESS_WRITE : 0,
		.scattered = true,
	};
	uint32_t slot = 0;
	int rc = gmem_vm_check(copy->vm, copy->function);

	if (rc)
		return rc;
	if (!copy->buf) {
		log_error(copy->vm->ctx, "%s: buf is NULL, it must be an address", copy->function);
		return -EINVAL;
	}
	rc = gmem_access_check(copy->vm, copy->function, copy->gpa, copy->size, copy->flags,
			       COPY_FLAGS);
	if (!rc)
		rc = gmem_pin_take(copy->vm, copy->function, &whole, copy->flags, &slot);
	if (rc)
		return rc;
	rc = whole.in_pieces ? copy_scattered(copy) : copy_piece(copy, whole.host, 0, copy->size);
	gmem_pin_table_drop(copy->vm, slot);
	return rc;
}

int gmem_vm_read(struct gmem_vm *vm, uint64_t gpa, void *buf, uint64_t size, uint32_t flags)
{
	const struct copy copy = {
		.vm = vm,
		.function = "gmem_vm_read",
		.gpa = gpa,
		.size = size,
		.buf = buf,
		.flags = flags,
	};

	return run_copy(&copy);
}

int gmem_vm_write(struct gmem_vm *vm, uint64_t gpa, const void *buf, uint64_t size, uint32_t flags)
{
	const struct copy copy = {
		.vm = vm,
		.function = "gmem_vm_write",
		.gpa = gpa,
		.size = size,
		.buf = (uint8_t *)buf,
		.to_guest = true,
		.flags = flags,
	};

	return run_copy(&copy);
}
