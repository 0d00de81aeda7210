/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the examples share, none of which is libgmem's: making a VM, telling why something failed,
 * printing a size.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Exit status of an example that needs what this machine lacks; make check reports it as skipped. */
#define EXAMPLE_SKIP 77

struct example_vm {
	int kvm_fd;
	int vm_fd;
};

static inline void example_vm_close(struct example_vm *vm)
{
	if (vm->vm_fd >= 0)
		close(vm->vm_fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	vm->kvm_fd = -1;
	vm->vm_fd = -1;
}

/* An ordinary VM of this machine's KVM. On failure it says on stdout what is missing. */
static inline int example_vm_open(struct example_vm *vm)
{
	vm->vm_fd = -1;
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0) {
		printf("/dev/kvm cannot be opened: %s\n", strerror(errno));
		return -1;
	}
	/* KVM gives up with EINTR where a signal comes meanwhile. */
	do {
		vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0UL);
	} while (vm->vm_fd < 0 && errno == EINTR);
	if (vm->vm_fd < 0) {
		printf("KVM_CREATE_VM failed: %s\n", strerror(errno));
		example_vm_close(vm);
		return -1;
	}
	return 0;
}

/*
 * libgmem returns a negative errno, and its log has the reason in words. It is silent unless it is
 * asked: run an example with GMEM_LOG=error in the environment, or see 01-create-and-map.c.
 */
static inline int example_failed(const char *what, int rc)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-rc));
	return rc;
}

/* "4 KiB", "3 GiB"; buf is returned. */
static inline const char *example_size(uint64_t bytes, char buf[static 32])
{
	static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;

	while (i < 4 && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, 32, "%" PRIu64 " %s", bytes, unit[i]);
	return buf;
}

#endif /* EXAMPLE_H */
