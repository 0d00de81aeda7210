// SPDX-License-Identifier: LGPL-2.1-or-later
/* vCPUs: made, ended, and the registers that user space gives them. */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MSR_PAT 0x277u
#define MOST_CPUID_ENTRIES 256u /* KVM_MAX_CPUID_ENTRIES */
#define MOST_MSRS 256u
#define SEGMENT_CODE 0xa /* type bits of the reset state: code, readable */
#define SEGMENT_DATA 0x2 /* data, writable */
#define SEGMENT_TSS 0x3  /* busy 16-bit TSS */
#define SEGMENT_LDT 0x2
#define ACCESSED 0x1
#define BUSY 0x2

static struct sim_kvm_segment reset_segment(uint8_t type, bool is_code_or_data)
{
	return (struct sim_kvm_segment){
		.limit = 0xffff, .type = type, .present = 1, .s = is_code_or_data
	};
}

void gmem_sim_vcpu_reset(struct sim_vcpu *vcpu)
{
	struct sim_vcpu_state *state = &vcpu->state;
	struct sim_kvm_segment data = reset_segment(SEGMENT_DATA, true);

	memset(state, 0, sizeof(*state));
	state->regs.rdx = 0x600;
	state->regs.rip = 0xfff0;
	state->regs.rflags = 2;
	state->sregs.cs = reset_segment(SEGMENT_CODE, true);
	state->sregs.cs.selector = 0xf000;
	state->sregs.cs.base = 0xffff0000;
	state->sregs.ds = data;
	state->sregs.es = data;
	state->sregs.fs = data;
	state->sregs.gs = data;
	state->sregs.ss = data;
	state->sregs.tr = reset_segment(SEGMENT_TSS, false);
	state->sregs.ldt = reset_segment(SEGMENT_LDT, false);
	state->sregs.gdt.limit = 0xffff;
	state->sregs.idt.limit = 0xffff;
	state->sregs.cr0 = 0x60000010;
	state->sregs.apic_base = 0xfee00000 | 0x800 | (vcpu->id == 0 ? 0x100 : 0);
	state->fpu.fcw = 0x37f;
	state->fpu.mxcsr = 0x1f80;
	state->xcr0 = 1;
	state->pat = UINT64_C(0x7040600070406);
	state->dr6 = 0xffff0ff0;
	state->dr7 = 0x400;
}

static int map_run(struct sim_vcpu *vcpu)
{
	int64_t address = gmem_sim_host_mmap(0, SIM_KVM_RUN_SIZE, PROT_READ | PROT_WRITE,
					     MAP_SHARED, vcpu->object.own_fd, 0);

	if (address < 0)
		return -ENOMEM;
	vcpu->run = (struct sim_kvm_run *)(uintptr_t)address;
	return 0;
}

void gmem_sim_vcpu_free(struct sim_vcpu *vcpu)
{
	if (vcpu->run)
		gmem_sim_host_munmap((uint64_t)(uintptr_t)vcpu->run, SIM_KVM_RUN_SIZE);
	free(vcpu->cpuid);
	free(vcpu);
}

static bool has_id(const struct sim_vm *vm, uint64_t id)
{
	size_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->id == id)
			return true;
	return false;
}

/* Room in the VM's table, and in that of ended ones for all that there are. */
static int reserve(struct sim_vm *vm)
{
	struct gmem_sim *sim = vm->sim;
	const struct sim_vm *other;
	size_t count = sim->ended_count + 1;
	int err = gmem_sim_grow((void **)&vm->vcpus, vm->vcpu_count, &vm->vcpu_room,
				sizeof(struct sim_vcpu *));

	for (other = sim->vms; other; other = other->next)
		count += other->vcpu_count;
	while (err == 0 && sim->ended_room < count)
		err = gmem_sim_grow((void **)&sim->ended, sim->ended_room, &sim->ended_room,
				    sizeof(struct sim_vcpu *));
	return err;
}

int gmem_sim_vcpu_create(struct sim_vm *vm, uint64_t id, struct sim_vcpu **out)
{
	struct sim_vcpu *vcpu;
	int fd, err;

	if (id >= SIM_MAX_VCPUS)
		return -EINVAL;
	if (has_id(vm, id))
		return -EEXIST;
	if (reserve(vm) < 0)
		return -ENOMEM;
	vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return -ENOMEM;
	vcpu->vm = vm;
	vcpu->id = (uint32_t)id;
	gmem_sim_vcpu_reset(vcpu);
	fd = gmem_sim_object_create(vm->sim, &vcpu->object, SIM_VCPU, "kvm-vcpu", SIM_KVM_RUN_SIZE,
				    O_CLOEXEC);
	err = fd < 0 ? fd : map_run(vcpu);
	if (err < 0) {
		if (fd >= 0) {
			gmem_sim_object_close(vm->sim, &vcpu->object);
			gmem_sim_host_close(fd);
		}
		gmem_sim_vcpu_free(vcpu);
		return err;
	}
	vm->vcpus[vm->vcpu_count++] = vcpu;
	*out = vcpu;
	return fd;
}

static int create_next(struct sim_vm *vm, struct sim_vcpu **vcpu)
{
	uint64_t id = 0;

	if (vm->vcpu_count == SIM_MAX_VCPUS)
		return -ENOSPC;
	while (has_id(vm, id))
		id++;
	return gmem_sim_vcpu_create(vm, id, vcpu);
}

int gmem_sim_create_vcpu(struct gmem_sim *sim, int vm_fd, void **kvm_run)
{
	struct sim_vcpu *vcpu = NULL;
	struct sim_vm *vm;
	int fd = -EBADF;

	if (!sim || !kvm_run)
		return -EINVAL;
	*kvm_run = NULL;
	if (gmem_sim_is_child(sim))
		return -EIO;
	pthread_mutex_lock(&sim->mutex);
	vm = gmem_sim_find_vm(sim, vm_fd);
	if (vm)
		fd = create_next(vm, &vcpu);
	if (vcpu && fd >= 0)
		*kvm_run = vcpu->run;
	pthread_mutex_unlock(&sim->mutex);
	return fd;
}

/* As SVM has it: KVM shows segments of the reset state as accessed, and the task as busy. */
static int get_sregs(struct sim_vcpu *vcpu, uint64_t argument)
{
	struct sim_kvm_sregs sregs = vcpu->state.sregs;
	struct sim_kvm_segment *data[] = { &sregs.ds, &sregs.es, &sregs.fs, &sregs.gs };
	size_t i;

	for (i = 0; i < sizeof(data) / sizeof(data[0]); i++)
		if (!data[i]->unusable)
			data[i]->type |= ACCESSED;
	sregs.tr.type |= BUSY;
	return gmem_sim_copy_out(vcpu->vm->sim, argument, &sregs, sizeof(sregs));
}

static int transfer(struct sim_vcpu *vcpu, void *ours, size_t size, uint64_t argument, bool is_set)
{
	return is_set ? gmem_sim_copy_in(vcpu->vm->sim, ours, argument, size)
		      : gmem_sim_copy_out(vcpu->vm->sim, argument, ours, size);
}

static int xcrs(struct sim_vcpu *vcpu, uint64_t argument, bool is_set)
{
	struct sim_kvm_xcrs all = { .nr_xcrs = 1, .xcrs = { { .value = vcpu->state.xcr0 } } };
	int err = transfer(vcpu, &all, sizeof(all), argument, is_set);
	uint32_t i;

	if (err < 0 || !is_set)
		return err;
	if (all.nr_xcrs > sizeof(all.xcrs) / sizeof(all.xcrs[0]) || all.flags)
		return -EINVAL;
	for (i = 0; i < all.nr_xcrs; i++)
		if (all.xcrs[i].xcr == 0)
			vcpu->state.xcr0 = all.xcrs[i].value;
	return 0;
}

/* The number of MSRs done: it ends at the first that is not known. */
static int64_t msrs(struct sim_vcpu *vcpu, uint64_t argument, bool is_set)
{
	struct sim_kvm_msrs head;
	struct sim_kvm_msr_entry entry;
	uint32_t i;

	if (gmem_sim_copy_in(vcpu->vm->sim, &head, argument, sizeof(head)) < 0)
		return -EFAULT;
	if (head.nmsrs >= MOST_MSRS)
		return -E2BIG;
	for (i = 0; i < head.nmsrs; i++) {
		uint64_t at = argument + sizeof(head) + i * sizeof(entry);

		if (gmem_sim_copy_in(vcpu->vm->sim, &entry, at, sizeof(entry)) < 0)
			return -EFAULT;
		if (entry.index != MSR_PAT)
			break;
		if (is_set)
			vcpu->state.pat = entry.data;
		entry.data = vcpu->state.pat;
		if (!is_set && gmem_sim_copy_out(vcpu->vm->sim, at, &entry, sizeof(entry)) < 0)
			return -EFAULT;
	}
	return i;
}

static int set_cpuid(struct sim_vcpu *vcpu, uint64_t argument)
{
	struct sim_kvm_cpuid_entry2 *entries = NULL;
	struct sim_kvm_cpuid2 head;
	size_t size;

	if (gmem_sim_copy_in(vcpu->vm->sim, &head, argument, sizeof(head)) < 0)
		return -EFAULT;
	if (head.nent > MOST_CPUID_ENTRIES)
		return -E2BIG;
	size = head.nent * sizeof(*entries);
	if (size) {
		entries = malloc(size);
		if (!entries)
			return -ENOMEM;
		if (gmem_sim_copy_in(vcpu->vm->sim, entries, argument + sizeof(head), size) < 0) {
			free(entries);
			return -EFAULT;
		}
	}
	free(vcpu->cpuid);
	vcpu->cpuid = entries;
	vcpu->cpuid_count = head.nent;
	return 0;
}

static int get_cpuid(struct sim_vcpu *vcpu, uint64_t argument)
{
	struct sim_kvm_cpuid2 head;
	size_t size = vcpu->cpuid_count * sizeof(*vcpu->cpuid);
	bool fits;

	if (gmem_sim_copy_in(vcpu->vm->sim, &head, argument, sizeof(head)) < 0)
		return -EFAULT;
	fits = head.nent >= vcpu->cpuid_count;
	head.nent = (uint32_t)vcpu->cpuid_count;
	if (gmem_sim_copy_out(vcpu->vm->sim, argument, &head, sizeof(head)) < 0)
		return -EFAULT;
	if (!fits)
		return -E2BIG;
	return gmem_sim_copy_out(vcpu->vm->sim, argument + sizeof(head), vcpu->cpuid, size);
}

/* What is the guest's alone once its state was encrypted. */
static int64_t state_ioctl(struct sim_vcpu *vcpu, uint32_t request, uint64_t argument)
{
	struct sim_vcpu_state *state = &vcpu->state;

	switch (request) {
	case SIM_KVM_GET_REGS:
	case SIM_KVM_SET_REGS:
		return transfer(vcpu, &state->regs, sizeof(state->regs), argument,
				request == SIM_KVM_SET_REGS);
	case SIM_KVM_GET_SREGS:
		return get_sregs(vcpu, argument);
	case SIM_KVM_SET_SREGS:
		return transfer(vcpu, &state->sregs, sizeof(state->sregs), argument, true);
	case SIM_KVM_GET_FPU:
	case SIM_KVM_SET_FPU:
		return transfer(vcpu, &state->fpu, sizeof(state->fpu), argument,
				request == SIM_KVM_SET_FPU);
	case SIM_KVM_GET_XCRS:
	case SIM_KVM_SET_XCRS:
		return xcrs(vcpu, argument, request == SIM_KVM_SET_XCRS);
	default:
		return -EINVAL; /* as x86 has it, unlike VMs */
	}
}

int64_t gmem_sim_vcpu_ioctl(struct sim_vcpu *vcpu, uint32_t request, uint64_t argument)
{
	switch (request) {
	case GMEM_KVM_RUN:
		return argument ? -EINVAL : gmem_sim_vcpu_run(vcpu);
	case SIM_KVM_PRE_FAULT_MEMORY:
		return vcpu->vm->sim->config.prefault ? gmem_sim_vcpu_pre_fault(vcpu, argument)
						      : -EINVAL;
	case SIM_KVM_SET_CPUID2:
		return set_cpuid(vcpu, argument);
	case SIM_KVM_GET_CPUID2:
		return get_cpuid(vcpu, argument);
	case SIM_KVM_GET_MSRS:
		return msrs(vcpu, argument, false);
	case SIM_KVM_SET_MSRS:
		return msrs(vcpu, argument, true);
	default:
		if (vcpu->is_protected)
			return -EINVAL;
		return state_ioctl(vcpu, request, argument);
	}
}

size_t gmem_sim_vm_vcpu_count(const struct sim_vm *vm)
{
	return vm->vcpu_count;
}

struct sim_vcpu *gmem_sim_vm_get_vcpu(const struct sim_vm *vm, size_t index)
{
	return index < vm->vcpu_count ? vm->vcpus[index] : NULL;
}

void gmem_sim_vcpu_set_protected(struct sim_vcpu *vcpu)
{
	vcpu->is_protected = true;
}

uint32_t gmem_sim_vcpu_get_id(const struct sim_vcpu *vcpu)
{
	return vcpu->id;
}

const struct sim_vcpu_state *gmem_sim_vcpu_get_state(const struct sim_vcpu *vcpu)
{
	return &vcpu->state;
}

size_t gmem_sim_vcpu_get_cpuid(const struct sim_vcpu *vcpu,
			       const struct sim_kvm_cpuid_entry2 **entries)
{
	*entries = vcpu->cpuid;
	return vcpu->cpuid_count;
}
