// SPDX-License-Identifier: LGPL-2.1-or-later
/* A door that fails calls at random. What it says of a page in use is what a kernel could say. */
#include "chaos.h"

#include "libgmem/uapi/kvm.h"

#include <errno.h>
#include <linux/futex.h>

_Thread_local struct chaos_thread *chaos_self;

/* True once in so many calls. */
static bool once_in(uint64_t number)
{
	return !random_below(&chaos_self->seed, number);
}

static int one_of(const int *errors, size_t count)
{
	return errors[random_below(&chaos_self->seed, count)];
}

/* Whether some page of a file's range is shared. */
static bool has_shared(const struct chaos *chaos, int fd, uint64_t offset, uint64_t size)
{
	struct gmem_sim_page page;
	uint64_t at;

	for (at = 0; at < size; at += chaos->rig.page) {
		if (!gmem_sim_get_page(chaos->rig.sim, fd, offset + at, &page) &&
		    page.state == GMEM_SHARED)
			return true;
	}
	return false;
}

/*
 * Any page may be in use for a moment, a private one too; but a range that is as asked for already
 * is not looked at (kernel facts P2, P6).
 */
static int64_t fail_file(const struct chaos *chaos, int fd,
			 struct gmem_kvm_memory_attributes2 *request)
{
	static const int errors[] = { -EINTR, -ENOMEM, -EFAULT, -EAGAIN, -EAGAIN, -EAGAIN };
	int error = one_of(errors, sizeof(errors) / sizeof(errors[0]));
	uint64_t pages = request->size / chaos->rig.page;

	if (error == -ENOMEM)
		request->error_offset = request->offset;
	if (error != -EAGAIN)
		return error;
	if (!request->attributes || !has_shared(chaos, fd, request->offset, request->size))
		return -EINTR;
	request->error_offset =
		request->offset + random_below(&chaos_self->seed, pages) * chaos->rig.page;
	return -EAGAIN;
}

static int64_t fail_ioctl(const struct chaos *chaos, const uint64_t *arg)
{
	static const int vm_errors[] = { -EINTR, -EINTR, -ENOMEM, -EFAULT, -EAGAIN };
	static const int slot_errors[] = { -EINTR, -ENOMEM, -EINVAL };

	switch ((uint32_t)arg[1]) {
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES:
		return once_in(6) ? one_of(vm_errors, sizeof(vm_errors) / sizeof(vm_errors[0])) : 0;
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES2:
		return once_in(5) ? fail_file(chaos, (int)arg[0], (void *)(uintptr_t)arg[2]) : 0;
	case GMEM_KVM_SET_USER_MEMORY_REGION2:
		return once_in(12)
			       ? one_of(slot_errors, sizeof(slot_errors) / sizeof(slot_errors[0]))
			       : 0;
	default:
		return 0;
	}
}

/* 0: the call is to be made. */
static int64_t fail_call(const struct chaos *chaos, uint32_t nr, const uint64_t *arg)
{
	static const int copy_errors[] = { -EFAULT, -EPERM };

	switch (nr) {
	case GMEM_SYS_IOCTL:
		return fail_ioctl(chaos, arg);
	case GMEM_SYS_FUTEX:
		/* A wait may end for nothing; a wake-up is never lost. */
		if (arg[1] != FUTEX_WAIT_PRIVATE || !once_in(6))
			return 0;
		return once_in(2) ? -EINTR : -EAGAIN;
	case GMEM_SYS_CLOCK_GETTIME:
		return once_in(50) ? -EINVAL : 0;
	case GMEM_SYS_PROCESS_VM_READV:
	case GMEM_SYS_PROCESS_VM_WRITEV:
		return once_in(10) ? one_of(copy_errors, 2) : 0;
	default:
		return 0;
	}
}

int64_t chaos_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct chaos *chaos = opaque;
	int64_t error = 0;

	if (chaos_self && !atomic_load_explicit(&chaos->calm, memory_order_relaxed))
		error = fail_call(chaos, nr, arg);
	return error ? error : chaos->below.call(nr, arg, chaos->below.opaque);
}
