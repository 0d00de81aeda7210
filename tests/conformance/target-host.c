// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The kernel of this machine: /dev/kvm, and a guest of a few instructions that does as it is told.
 */
#include "target.h"

#include "tests/live/guest.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

static int host_open(struct world *world)
{
	struct utsname name;
	unsigned int major;
	unsigned int minor;

	gmem_kernel_get_host(&world->kernel);
	world->system_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (world->system_fd < 0)
		return -errno;
	if (uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2)
		world->linux_version = LINUX(major, minor);
	return 0;
}

static void host_close(struct world *world)
{
	close(world->system_fd);
}

static int host_create_vm(struct world *world, uint32_t type)
{
	int fd = ioctl(world->system_fd, KVM_CREATE_VM, (unsigned long)type);

	return fd < 0 ? -errno : fd;
}

/* One reference that lasts: pages spliced into a pipe. */
static int host_pin(struct world *world, struct pin *pin, const void *host, uint32_t tries)
{
	struct iovec pages = { .iov_base = (void *)(uintptr_t)host, .iov_len = pin->size };
	ssize_t spliced;
	int rc = 0;

	if (tries)
		return -EOPNOTSUPP;
	if (pipe2(pin->pipe, O_CLOEXEC) < 0)
		return -errno;
	spliced = vmsplice(pin->pipe[1], &pages, 1, SPLICE_F_NONBLOCK);
	if (spliced != (ssize_t)pin->size) {
		rc = spliced < 0 ? -errno : -EIO;
		close(pin->pipe[0]);
		close(pin->pipe[1]);
	}
	return rc;
}

static int host_unpin(struct world *world, struct pin *pin)
{
	close(pin->pipe[0]);
	close(pin->pipe[1]);
	return 0;
}

#if defined(__x86_64__)

#define CODE_GPA UINT64_C(0x10000)

/* struct kvm_run of a new kernel: what the union holds for KVM_EXIT_MEMORY_FAULT. */
struct memory_fault {
	uint64_t flags;
	uint64_t gpa;
	uint64_t size;
};

struct host_vcpu {
	struct kvm_run *run;
	size_t run_size;
	void *code;
	uint32_t code_slot;
	bool unfinished; /* an exit whose instruction KVM has not completed */
};

/* The programs lie in ordinary memory, in a slot that no case uses: the last. */
static int map_code(struct world *world, struct host_vcpu *own)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = CODE_GPA };
	int slots = ioctl(world->vm_fd, KVM_CHECK_EXTENSION, (unsigned long)KVM_CAP_NR_MEMSLOTS);

	own->code_slot = slots > 0 ? (uint32_t)slots - 1 : 31;
	own->code =
		mmap(NULL, world->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (own->code == MAP_FAILED)
		return -errno;
	memcpy(own->code, guest_programs, guest_programs_size());
	region.slot = own->code_slot;
	region.memory_size = world->page;
	region.userspace_addr = (uintptr_t)own->code;
	return ioctl(world->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static void host_destroy_vcpu(struct vcpu *vcpu)
{
	struct host_vcpu *own = vcpu->driver;
	struct kvm_userspace_memory_region region = { .slot = own->code_slot };

	if (own->run && own->run != MAP_FAILED)
		munmap(own->run, own->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	ioctl(vcpu->world->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
	if (own->code && own->code != MAP_FAILED)
		munmap(own->code, vcpu->world->page);
	free(own);
	vcpu->driver = NULL;
}

static int host_create_vcpu(struct vcpu *vcpu)
{
	struct world *world = vcpu->world;
	struct host_vcpu *own = calloc(1, sizeof(*own));
	int size = ioctl(world->system_fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);
	int rc;

	if (!own || size < 0) {
		free(own);
		return -ENOMEM;
	}
	vcpu->driver = own;
	own->run_size = (size_t)size;
	rc = map_code(world, own);
	if (rc < 0)
		goto fail;
	vcpu->fd = ioctl(world->vm_fd, KVM_CREATE_VCPU, 0UL);
	if (vcpu->fd < 0) {
		rc = -errno;
		goto fail;
	}
	own->run = mmap(NULL, own->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (own->run == MAP_FAILED) {
		rc = -errno;
		goto fail;
	}
	vcpu->run = own->run;
	rc = guest_set_mode(vcpu->fd);
	if (rc == 0)
		return 0;
fail:
	host_destroy_vcpu(vcpu);
	return rc;
}

static void note_exit(struct vcpu *vcpu, int error)
{
	const struct kvm_run *run = vcpu->run;
	struct memory_fault fault;

	memset(&vcpu->exit, 0, sizeof(vcpu->exit));
	vcpu->exit.reason = run->exit_reason;
	vcpu->exit.error = error;
	if (run->exit_reason == EXIT_MMIO) {
		vcpu->exit.mmio.gpa = run->mmio.phys_addr;
		vcpu->exit.mmio.length = run->mmio.len;
		vcpu->exit.mmio.write = run->mmio.is_write;
	} else if (run->exit_reason == EXIT_HYPERCALL) {
		vcpu->exit.hypercall.nr = run->hypercall.nr;
		memcpy(vcpu->exit.hypercall.args, run->hypercall.args,
		       sizeof(vcpu->exit.hypercall.args));
	} else if (run->exit_reason == EXIT_MEMORY_FAULT) {
		memcpy(&fault, &run->hw, sizeof(fault));
		vcpu->exit.fault.flags = fault.flags;
		vcpu->exit.fault.gpa = fault.gpa;
		vcpu->exit.fault.size = fault.size;
	}
}

/* GUEST_DONE when the guest came to its HLT. */
static int run(struct vcpu *vcpu)
{
	struct host_vcpu *own = vcpu->driver;
	int rc;

	/* A stale reason must not be taken for a new one. */
	own->run->exit_reason = UINT32_MAX;
	do {
		rc = ioctl(vcpu->fd, KVM_RUN, 0UL);
	} while (rc < 0 && errno == EINTR);
	note_exit(vcpu, rc < 0 ? errno : 0);
	own->unfinished = rc == 0 && (own->run->exit_reason == EXIT_MMIO ||
				      own->run->exit_reason == EXIT_HYPERCALL);
	if (rc == 0 && own->run->exit_reason == KVM_EXIT_HLT)
		return GUEST_DONE;
	if (rc < 0 && errno != EFAULT)
		return -errno;
	return GUEST_EXIT;
}

/* Has KVM complete the instruction of the last exit, and go no further. */
static void finish_instruction(struct vcpu *vcpu)
{
	struct host_vcpu *own = vcpu->driver;

	if (!own->unfinished)
		return;
	own->run->immediate_exit = 1;
	ioctl(vcpu->fd, KVM_RUN, 0UL);
	own->run->immediate_exit = 0;
	own->unfinished = false;
}

static int run_at(struct vcpu *vcpu, uint64_t gpa, struct kvm_regs *regs)
{
	int rc;

	finish_instruction(vcpu);
	regs->rip = gpa;
	regs->rflags = 2;
	if (ioctl(vcpu->fd, KVM_SET_REGS, regs) < 0)
		return -errno;
	rc = run(vcpu);
	if (rc == GUEST_DONE && ioctl(vcpu->fd, KVM_GET_REGS, regs) < 0)
		return -errno;
	return rc;
}

static int access_word(struct vcpu *vcpu, uint64_t gpa, uint8_t *word, uint32_t flags)
{
	const uint8_t *program = flags & GUEST_WRITE ? guest_program_write : guest_program_read;
	struct kvm_regs regs = { .rsi = gpa, .rdi = gpa, .rcx = 1 };
	uint32_t value;
	int rc;

	memcpy(&value, word, sizeof(value));
	regs.rax = value;
	rc = run_at(vcpu, guest_program_at(CODE_GPA, program), &regs);
	if (rc == GUEST_DONE && !(flags & GUEST_WRITE)) {
		value = (uint32_t)regs.rax;
		memcpy(word, &value, sizeof(value));
	}
	return rc;
}

static int host_access(struct vcpu *vcpu, uint64_t gpa, void *buf, size_t size, uint32_t flags)
{
	uint8_t *bytes = buf;
	int rc = GUEST_DONE;
	size_t i;

	if (size % 4 || gpa + size > UINT32_MAX)
		return -EINVAL;
	for (i = 0; i < size && rc == GUEST_DONE; i += 4)
		rc = access_word(vcpu, gpa + i, bytes + i, flags);
	return rc;
}

static int host_hypercall(struct vcpu *vcpu, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	struct kvm_regs regs = {
		.rax = GMEM_KVM_HC_MAP_GPA_RANGE,
		.rbx = gpa,
		.rcx = pages,
		.rdx = attributes,
	};

	return run_at(vcpu, guest_program_at(CODE_GPA, guest_program_vmcall), &regs);
}

static int host_answer(struct vcpu *vcpu, uint64_t value, uint64_t *result)
{
	struct host_vcpu *own = vcpu->driver;
	struct kvm_regs regs;
	int rc;

	own->run->hypercall.ret = value;
	rc = run(vcpu);
	if (rc == GUEST_DONE && ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0)
		*result = regs.rax;
	return rc;
}

static int host_execute(struct vcpu *vcpu, uint64_t code_gpa, uint64_t gpa, uint32_t value)
{
	struct kvm_regs regs = { .rdi = gpa, .rax = value };

	return run_at(vcpu, code_gpa, &regs);
}

#else
#define host_create_vcpu NULL
#define host_destroy_vcpu NULL
#define host_access NULL
#define host_hypercall NULL
#define host_answer NULL
#define host_execute NULL
#endif

const struct driver host_driver = {
	.real = true,
	.open = host_open,
	.close = host_close,
	.create_vm = host_create_vm,
	.create_vcpu = host_create_vcpu,
	.destroy_vcpu = host_destroy_vcpu,
	.access = host_access,
	.hypercall = host_hypercall,
	.answer = host_answer,
	.execute = host_execute,
	.pin = host_pin,
	.unpin = host_unpin,
};
