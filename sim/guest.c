// SPDX-License-Identifier: LGPL-2.1-or-later
/* The guest: its accesses and hypercalls, and the exits they make; facts E1 to E4, S3 to S6, F7. */
#include "sim.h"

#include <errno.h>
#include <string.h>

#define LARGEST_ACCESS (UINT64_C(1) << 30)
#define ALL_FLAGS (GMEM_SIM_WRITE | GMEM_SIM_PRIVATE | GMEM_SIM_EMULATE | GMEM_SIM_SMM)
#define MMIO_BYTES 8u
#define LEFT 1

/* Within one page. */
struct access {
	struct sim_vcpu *vcpu;
	struct sim_slot *slot; /* NULL: none */
	uint64_t gpa;
	uint8_t *bytes;
	size_t size;
	uint32_t flags;
	bool is_private;
};

static bool takes_guests_word(const struct sim_vm *vm)
{
	return vm->type == GMEM_KVM_VM_TYPE_SNP || vm->type == GMEM_KVM_VM_TYPE_TDX;
}

bool gmem_sim_vm_page_is_private(const struct sim_vm *vm, const struct sim_slot *slot, uint64_t gpa)
{
	/* F7: each file tracks for a VM without private memory as well. */
	if (!gmem_sim_vm_tracks_per_file(vm))
		return gmem_sim_spans_has(&vm->private_addresses, gpa);
	return slot && slot->file &&
	       gmem_sim_spans_has(&slot->file->private_pages,
				  slot->file_offset + (gpa - slot->gpa));
}

static int leave_memory_fault(const struct access *access, int error)
{
	const struct gmem_sim *sim = access->vcpu->vm->sim;
	struct sim_kvm_run *run = access->vcpu->run;

	run->exit_reason = SIM_KVM_EXIT_MEMORY_FAULT;
	run->memory_fault.flags = access->is_private ? SIM_KVM_MEMORY_EXIT_FLAG_PRIVATE : 0;
	run->memory_fault.gpa = sim_page_floor(sim, access->gpa);
	run->memory_fault.size = sim->config.page_size;
	return error;
}

static int leave_mmio(const struct access *access)
{
	struct sim_kvm_run *run = access->vcpu->run;
	bool is_write = access->flags & GMEM_SIM_WRITE;
	uint32_t size = access->size < MMIO_BYTES ? (uint32_t)access->size : MMIO_BYTES;

	run->exit_reason = SIM_KVM_EXIT_MMIO;
	run->mmio.phys_addr = access->gpa;
	run->mmio.len = size;
	run->mmio.is_write = is_write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (is_write)
		memcpy(run->mmio.data, access->bytes, size);
	return LEFT;
}

static int leave_emulation_failure(const struct access *access)
{
	struct sim_kvm_run *run = access->vcpu->run;

	run->exit_reason = SIM_KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = SIM_KVM_INTERNAL_ERROR_EMULATION;
	run->internal.ndata = 0;
	return LEFT;
}

/*
 * Through the caller's memory, which may not be there, or be brought by somebody who needs the
 * simulator for it: without the lock. The slot may be another afterwards.
 */
static int access_user(const struct access *access)
{
	struct gmem_sim *sim = access->vcpu->vm->sim;
	uint64_t address = access->slot->userspace_addr + (access->gpa - access->slot->gpa);
	bool is_write = access->flags & GMEM_SIM_WRITE;
	int err;

	pthread_mutex_unlock(&sim->mutex);
	err = is_write ? gmem_sim_copy_out(sim, address, access->bytes, access->size)
		       : gmem_sim_copy_in(sim, access->bytes, address, access->size);
	pthread_mutex_lock(&sim->mutex);
	/* After the bytes, or whoever asks between the two would never hear of them. */
	if (err == 0 && is_write)
		err = gmem_sim_slot_mark_dirty(access->vcpu->vm,
					       access->flags & GMEM_SIM_SMM ? 1 : 0, access->gpa);
	return err;
}

/* A private page that was not part of the launch becomes the guest's with its first access. */
static int assign(const struct access *access, struct sim_file *file, uint64_t offset)
{
	uint64_t start = offset & ~(uint64_t)(SIM_SNP_PAGE_SIZE - 1);

	if (access->vcpu->vm->type != GMEM_KVM_VM_TYPE_SNP || !access->is_private)
		return 0;
	return gmem_sim_spans_add(&file->assigned, start, start + SIM_SNP_PAGE_SIZE);
}

static int access_file(const struct access *access)
{
	const struct sim_slot *slot = access->slot;
	const struct sim_vm *vm = access->vcpu->vm;
	uint64_t offset = slot->file_offset + (access->gpa - slot->gpa);
	int err;

	/* S5 */
	if (!slot->file)
		return leave_memory_fault(access, -EFAULT);
	if (gmem_sim_spans_has(&slot->file->poisoned, offset))
		return leave_memory_fault(access, -EHWPOISON);
	err = assign(access, slot->file, offset);
	if (err == 0 && !gmem_sim_file_is_allocated(slot->file, offset))
		err = gmem_sim_file_touch(slot->file, sim_page_floor(vm->sim, offset),
					  sim_page_floor(vm->sim, offset) +
						  vm->sim->config.page_size);
	if (err == 0)
		err = access->flags & GMEM_SIM_WRITE
			      ? gmem_sim_file_write(slot->file, offset, access->bytes, access->size)
			      : gmem_sim_file_read(slot->file, offset, access->bytes, access->size);
	return err;
}

/* S4: KVM itself knows only the caller's memory. */
static int access_emulated(const struct access *access)
{
	if (!access->slot)
		return leave_mmio(access);
	if (access->slot->flags & GMEM_KVM_MEM_READONLY && access->flags & GMEM_SIM_WRITE)
		return leave_mmio(access);
	return access_user(access) < 0 ? leave_emulation_failure(access) : 0;
}

static int access_page(struct access *access)
{
	const struct sim_slot *slot = access->slot;
	const struct sim_vm *vm = access->vcpu->vm;
	bool is_private = gmem_sim_vm_page_is_private(vm, slot, access->gpa);

	/* S6 */
	if (takes_guests_word(vm))
		access->is_private = access->flags & GMEM_SIM_PRIVATE;
	else
		access->is_private = is_private && gmem_sim_vm_has_private_memory(vm);
	if (access->flags & GMEM_SIM_EMULATE)
		return access_emulated(access);
	if (access->is_private != is_private)
		return leave_memory_fault(access, -EFAULT);
	if (access->is_private && !(slot && slot->flags & GMEM_KVM_MEM_GUEST_MEMFD))
		return leave_memory_fault(access, -EFAULT);
	if (!slot)
		return leave_mmio(access);
	if (access->is_private || slot->file_flags & GMEM_KVM_GUEST_MEMFD_FLAG_MMAP)
		return access_file(access);
	if (slot->flags & GMEM_KVM_MEM_READONLY && access->flags & GMEM_SIM_WRITE)
		return leave_mmio(access);
	return access_user(access);
}

/* known: the file that was looked at last, NULL before; only to be compared. */
static struct sim_slot *find_slot(struct sim_vm *vm, uint32_t flags, uint64_t gpa,
				  const struct sim_file **known)
{
	uint32_t address_space = flags & GMEM_SIM_SMM ? 1 : 0;
	struct sim_slot *slot = gmem_sim_slot_at(vm, address_space, gpa);

	if (!slot || !slot->file || slot->file == *known)
		return slot;
	/* Closed behind the door's back. */
	if (!gmem_sim_file_is_open(slot->file))
		gmem_sim_sweep(vm->sim);
	*known = slot->file;
	return slot;
}

static int judge_hypercall(struct sim_vcpu *vcpu)
{
	uint64_t result = vcpu->run->hypercall.ret;

	if (!vcpu->has_hypercall)
		return 0;
	vcpu->has_hypercall = false;
	/* E1 */
	if (takes_guests_word(vcpu->vm) && result != 0 && result != EINVAL && result != EAGAIN)
		return -EIO;
	vcpu->has_result = true;
	vcpu->result = result;
	if (vcpu->vm->type == GMEM_KVM_VM_TYPE_SNP && result != 0)
		vcpu->is_terminated = true;
	return 0;
}

/* E5 */
static int judge_certs(struct sim_vcpu *vcpu)
{
	uint64_t result = vcpu->run->snp_req_certs.ret;

	if (!vcpu->has_certs)
		return 0;
	vcpu->has_certs = false;
	if (result != 0 && result != ENOSPC && result != EAGAIN && result != EIO)
		return -EINVAL;
	vcpu->has_result = true;
	vcpu->result = result;
	return 0;
}

/* What KVM_RUN does before the guest runs: 0, LEFT, or a negative errno. */
static int enter(struct sim_vcpu *vcpu)
{
	int err = judge_hypercall(vcpu);

	if (err == 0)
		err = judge_certs(vcpu);

	if (err < 0)
		return err;
	/* exit_reason stays that of the exit before. */
	if (__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_RELAXED))
		return -EINTR;
	vcpu->run->exit_reason = SIM_KVM_EXIT_UNKNOWN;
	if (!vcpu->is_terminated)
		return 0;
	vcpu->run->exit_reason = SIM_KVM_EXIT_SYSTEM_EVENT;
	vcpu->run->system_event.type = SIM_KVM_SYSTEM_EVENT_SEV_TERM;
	vcpu->run->system_event.ndata = 0;
	return LEFT;
}

/* Nobody has given the guest anything to do. */
int gmem_sim_vcpu_run(struct sim_vcpu *vcpu)
{
	int err = enter(vcpu);

	if (err != 0)
		return err == LEFT ? 0 : err;
	vcpu->run->exit_reason = SIM_KVM_EXIT_HLT;
	return 0;
}

/* Bytes of an access that were done before, its last exit's included. */
static uint64_t resume(struct sim_vcpu *vcpu, uint64_t gpa, uint8_t *bytes, uint64_t size,
		       uint32_t flags)
{
	uint64_t done = vcpu->mmio.done;
	uint32_t count = vcpu->mmio.bytes;

	if (!vcpu->mmio.is_valid)
		return 0;
	vcpu->mmio.is_valid = false;
	if (vcpu->mmio.gpa != gpa || vcpu->mmio.size != size || vcpu->mmio.flags != flags)
		return 0;
	if (!(flags & GMEM_SIM_WRITE))
		memcpy(bytes + done, vcpu->run->mmio.data, count);
	return done + count;
}

static void keep(struct sim_vcpu *vcpu, uint64_t gpa, uint64_t size, uint32_t flags, uint64_t done)
{
	vcpu->mmio.is_valid = true;
	vcpu->mmio.gpa = gpa;
	vcpu->mmio.size = size;
	vcpu->mmio.flags = flags;
	vcpu->mmio.done = done;
	vcpu->mmio.bytes = vcpu->run->mmio.len;
}

static int access_all(struct sim_vcpu *vcpu, uint64_t gpa, uint8_t *bytes, uint64_t size,
		      uint32_t flags, uint64_t done)
{
	const struct gmem_sim *sim = vcpu->vm->sim;
	const struct sim_file *known = NULL;
	int err = 0;

	while (err == 0 && done < size) {
		struct access access = { .vcpu = vcpu, .gpa = gpa + done, .flags = flags };
		uint64_t rest =
			sim->config.page_size - (access.gpa - sim_page_floor(sim, access.gpa));

		if (rest > size - done)
			rest = size - done;
		access.slot = find_slot(vcpu->vm, flags, access.gpa, &known);
		access.bytes = bytes + done;
		access.size = (size_t)rest;
		err = access_page(&access);
		if (err == LEFT && vcpu->run->exit_reason == SIM_KVM_EXIT_MMIO)
			keep(vcpu, gpa, size, flags, done);
		done += rest;
	}
	return err;
}

/*
 * Finds the vCPU of a public function's arguments, and has the entry fail where that was asked
 * for: 0, or what to return. On success its VM is held.
 */
static int begin(struct gmem_sim *sim, int vcpu_fd, struct sim_vcpu **vcpu)
{
	struct sim_failure failure;

	*vcpu = gmem_sim_find_vcpu(sim, vcpu_fd);
	if (!*vcpu)
		return -EBADF;
	if (gmem_sim_next_failure(sim, GMEM_SYS_IOCTL, GMEM_KVM_RUN, 0, &failure))
		return failure.error;
	gmem_sim_vm_hold((*vcpu)->vm);
	return 0;
}

static int access_guest(struct sim_vcpu *vcpu, uint64_t gpa, uint8_t *bytes, uint64_t size,
			uint32_t flags)
{
	int err;

	if (flags & GMEM_SIM_SMM && gmem_sim_address_spaces(vcpu->vm) == 1)
		return -EINVAL;
	err = enter(vcpu);
	if (err != 0)
		return err;
	return access_all(vcpu, gpa, bytes, size, flags, resume(vcpu, gpa, bytes, size, flags));
}

int gmem_sim_guest_access(struct gmem_sim *sim, int vcpu_fd, uint64_t gpa, void *buf, uint64_t size,
			  uint32_t flags)
{
	struct sim_vcpu *vcpu;
	uint64_t end;
	int err;

	if (!sim || !buf || size == 0 || size > LARGEST_ACCESS || flags & ~ALL_FLAGS ||
	    __builtin_add_overflow(gpa, size, &end))
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	err = begin(sim, vcpu_fd, &vcpu);
	if (err == 0) {
		err = access_guest(vcpu, gpa, buf, size, flags);
		gmem_sim_vm_release(vcpu->vm);
	}
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

static int leave_hypercall(struct sim_vcpu *vcpu, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	struct sim_kvm_run *run = vcpu->run;

	if (!takes_guests_word(vcpu->vm) && !vcpu->vm->exits_on_map_gpa_range)
		return -EOPNOTSUPP;
	run->exit_reason = SIM_KVM_EXIT_HYPERCALL;
	memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->hypercall.nr = GMEM_KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = gpa;
	run->hypercall.args[1] = pages;
	run->hypercall.args[2] = attributes;
	vcpu->has_hypercall = true;
	return LEFT;
}

int gmem_sim_guest_map_gpa_range(struct gmem_sim *sim, int vcpu_fd, uint64_t gpa, uint64_t pages,
				 uint64_t attributes)
{
	struct sim_vcpu *vcpu;
	int err;

	if (!sim)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	err = begin(sim, vcpu_fd, &vcpu);
	if (err == 0) {
		err = enter(vcpu);
		if (err == 0)
			err = leave_hypercall(vcpu, gpa, pages, attributes);
		gmem_sim_vm_release(vcpu->vm);
	}
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

static int leave_certs(struct sim_vcpu *vcpu, uint64_t gpa, uint64_t pages)
{
	struct sim_kvm_run *run = vcpu->run;

	if (!vcpu->vm->exits_on_req_certs)
		return -EOPNOTSUPP;
	run->exit_reason = SIM_KVM_EXIT_SNP_REQ_CERTS;
	run->snp_req_certs.gpa = gpa;
	run->snp_req_certs.npages = pages;
	run->snp_req_certs.ret = 0;
	vcpu->has_certs = true;
	return LEFT;
}

int gmem_sim_guest_request_certs(struct gmem_sim *sim, int vcpu_fd, uint64_t gpa, uint64_t pages)
{
	struct sim_vcpu *vcpu;
	int err;

	if (!sim || gpa % SIM_SNP_PAGE_SIZE)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	err = begin(sim, vcpu_fd, &vcpu);
	if (err == 0) {
		err = enter(vcpu);
		if (err == 0)
			err = leave_certs(vcpu, gpa, pages);
		gmem_sim_vm_release(vcpu->vm);
	}
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

int gmem_sim_guest_get_result(struct gmem_sim *sim, int vcpu_fd, uint64_t *result)
{
	const struct sim_vcpu *vcpu;
	int err = -EBADF;

	if (!sim || !result)
		return -EINVAL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	vcpu = gmem_sim_find_vcpu(sim, vcpu_fd);
	if (vcpu) {
		err = vcpu->has_result ? 0 : -ENOENT;
		if (err == 0)
			*result = vcpu->result;
	}
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

/* One page as the guest would touch it: 0, -ENOENT (no slot), -EFAULT, -EHWPOISON, -ENOMEM. */
static int pre_fault_page(struct sim_vcpu *vcpu, uint64_t gpa, const struct sim_file **known)
{
	uint8_t byte;
	struct access access = {
		.vcpu = vcpu,
		.slot = find_slot(vcpu->vm, 0, gpa, known),
		.gpa = gpa,
		.bytes = &byte,
		.size = 1,
	};

	if (!access.slot)
		return -ENOENT;
	if (gmem_sim_vm_page_is_private(vcpu->vm, access.slot, gpa))
		access.flags |= GMEM_SIM_PRIVATE;
	return access_page(&access);
}

/* E4: what was done is taken off the range, and only a first page that fails makes it fail. */
int gmem_sim_vcpu_pre_fault(struct sim_vcpu *vcpu, uint64_t argument)
{
	struct gmem_sim *sim = vcpu->vm->sim;
	struct sim_kvm_pre_fault_memory range;
	const struct sim_file *known = NULL;
	uint64_t end, done = 0;
	int err = 0;

	if (gmem_sim_copy_in(sim, &range, argument, sizeof(range)) < 0)
		return -EFAULT;
	if (range.flags || range.size == 0 || !sim_is_aligned(sim, range.gpa | range.size) ||
	    __builtin_add_overflow(range.gpa, range.size, &end))
		return -EINVAL;
	if (vcpu->vm->type == GMEM_KVM_VM_TYPE_SNP && gmem_sim_snp_is_launching(vcpu->vm))
		return -EOPNOTSUPP;
	while (err == 0 && done < range.size) {
		err = pre_fault_page(vcpu, range.gpa + done, &known);
		if (err == 0)
			done += sim->config.page_size;
	}
	range.gpa += done;
	range.size -= done;
	if (gmem_sim_copy_out(sim, argument, &range, sizeof(range)) < 0)
		return -EFAULT;
	return done ? 0 : err;
}
