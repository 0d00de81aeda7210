// SPDX-License-Identifier: LGPL-2.1-or-later
/* The processor mode that the guest's programs are for. */
#include "guest.h"

#if defined(__x86_64__)

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

int guest_set_mode(int vcpu_fd)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = 0x08,
		.type = 11, /* execute, read, accessed */
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_segment data = code;
	struct kvm_sregs sregs;

	data.selector = 0x10;
	data.type = 3; /* read, write, accessed */
	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	sregs.cr0 |= 1; /* protection enabled */
	return ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 ? -errno : 0;
}

#endif
