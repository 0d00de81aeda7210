// SPDX-License-Identifier: LGPL-2.1-or-later
/* The simulator as a target. */
#include "target.h"

#include <gmem/sim.h>
#include <string.h>
#include <unistd.h>

/* struct kvm_run as far as cases look into it; linux/kvm.h. */
#define RUN_EXIT_REASON 8
#define RUN_UNION 32
#define RUN_HYPERCALL_RET (RUN_UNION + 56)
#define RUN_CERTS_RET (RUN_UNION + 16)

/* Types 0, 1, 4 and 5: what no preset has. */
#define WITH_TDX 0x33u

static int sim_open(struct world *world)
{
	static const unsigned int version[] = {
		[GMEM_SIM_OLD] = LINUX(6, 1),
		[GMEM_SIM_LINUX_6_8] = LINUX(6, 8),
		[GMEM_SIM_LINUX_6_18] = LINUX(6, 18),
		[GMEM_SIM_IN_PLACE] = LINUX(7, 4),
	};
	const struct target *target = world->target;
	struct gmem_sim *sim = NULL;
	int rc = gmem_sim_new(target->preset, &sim);

	if (rc == 0 && target->page_size)
		rc = gmem_sim_set(sim, GMEM_SIM_PAGE_SIZE, target->page_size);
	if (rc == 0 && target->vm_type == GMEM_KVM_VM_TYPE_TDX)
		rc = gmem_sim_set(sim, GMEM_SIM_VM_TYPES, WITH_TDX);
	if (rc == 0 && target->sigbus)
		rc = gmem_sim_set(sim, GMEM_SIM_SIGBUS, target->sigbus);
	if (rc == 0)
		rc = gmem_sim_get_kernel(sim, &world->kernel);
	if (rc == 0)
		rc = gmem_sim_open_system(sim);
	if (rc < 0) {
		gmem_sim_free(sim);
		return rc;
	}
	world->own = sim;
	world->system_fd = rc;
	world->linux_version = version[target->preset];
	return 0;
}

static void sim_close(struct world *world)
{
	close(world->system_fd);
	gmem_sim_free(world->own);
}

static int sim_create_vm(struct world *world, uint32_t type)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)world->system_fd, GMEM_KVM_CREATE_VM,
						   type };

	return (int)world->kernel.call(GMEM_SYS_IOCTL, arg, world->kernel.opaque);
}

static int sim_create_vcpu(struct vcpu *vcpu)
{
	vcpu->fd = gmem_sim_create_vcpu(vcpu->world->own, vcpu->world->vm_fd, &vcpu->run);
	return vcpu->fd;
}

static void sim_destroy_vcpu(struct vcpu *vcpu)
{
	close(vcpu->fd);
}

static void note_mmio(struct vcpu *vcpu, const uint8_t *at)
{
	memcpy(&vcpu->exit.mmio.gpa, at, 8);
	memcpy(&vcpu->exit.mmio.length, at + 16, 4);
	vcpu->exit.mmio.write = at[20] != 0;
}

static void note_exit(struct vcpu *vcpu, int error)
{
	const uint8_t *run = vcpu->run;

	memset(&vcpu->exit, 0, sizeof(vcpu->exit));
	memcpy(&vcpu->exit.reason, run + RUN_EXIT_REASON, sizeof(vcpu->exit.reason));
	vcpu->exit.error = error;
	if (vcpu->exit.reason == EXIT_MMIO)
		note_mmio(vcpu, run + RUN_UNION);
	else if (vcpu->exit.reason == EXIT_HYPERCALL)
		memcpy(&vcpu->exit.hypercall, run + RUN_UNION, sizeof(vcpu->exit.hypercall));
	else if (vcpu->exit.reason == EXIT_SNP_REQ_CERTS)
		memcpy(&vcpu->exit.certs, run + RUN_UNION, sizeof(vcpu->exit.certs));
	else if (vcpu->exit.reason == EXIT_MEMORY_FAULT)
		memcpy(&vcpu->exit.fault, run + RUN_UNION, sizeof(vcpu->exit.fault));
}

static int left(struct vcpu *vcpu, int rc)
{
	if (rc != 0 && rc != 1 && rc != -EFAULT && rc != -EHWPOISON)
		return rc;
	note_exit(vcpu, rc < 0 ? -rc : 0);
	return rc == 0 ? GUEST_DONE : GUEST_EXIT;
}

static int sim_access(struct vcpu *vcpu, uint64_t gpa, void *buf, size_t size, uint32_t flags)
{
	uint32_t sim_flags = (flags & GUEST_WRITE ? GMEM_SIM_WRITE : 0) |
			     (flags & GUEST_PRIVATE ? GMEM_SIM_PRIVATE : 0) |
			     (flags & GUEST_EMULATE ? GMEM_SIM_EMULATE : 0);

	return left(vcpu,
		    gmem_sim_guest_access(vcpu->world->own, vcpu->fd, gpa, buf, size, sim_flags));
}

static int sim_hypercall(struct vcpu *vcpu, uint64_t gpa, uint64_t pages, uint64_t attributes)
{
	return left(vcpu, gmem_sim_guest_map_gpa_range(vcpu->world->own, vcpu->fd, gpa, pages,
						       attributes));
}

/* The guest goes on with an access where nothing is mapped; an SNP guest may end instead. */
static int go_on(struct vcpu *vcpu, size_t at, uint64_t value, uint64_t *result)
{
	struct gmem_sim *sim = vcpu->world->own;
	uint32_t word = 0;
	int rc;

	memcpy((uint8_t *)vcpu->run + at, &value, sizeof(value));
	rc = left(vcpu, gmem_sim_guest_access(sim, vcpu->fd, HOLE_GPA, &word, sizeof(word), 0));
	if (rc < 0)
		return rc;
	rc = gmem_sim_guest_get_result(sim, vcpu->fd, result);
	if (rc < 0)
		return rc;
	return vcpu->exit.reason == EXIT_SYSTEM_EVENT ? GUEST_EXIT : GUEST_DONE;
}

static int sim_answer(struct vcpu *vcpu, uint64_t value, uint64_t *result)
{
	return go_on(vcpu, RUN_HYPERCALL_RET, value, result);
}

static int sim_request_certs(struct vcpu *vcpu, uint64_t gpa, uint64_t pages)
{
	return left(vcpu, gmem_sim_guest_request_certs(vcpu->world->own, vcpu->fd, gpa, pages));
}

static int sim_give_certs(struct vcpu *vcpu, uint64_t value, uint64_t *result)
{
	return go_on(vcpu, RUN_CERTS_RET, value, result);
}

static int sim_pin(struct world *world, struct pin *pin, const void *host, uint32_t tries)
{
	return gmem_sim_pin(world->own, pin->fd, pin->offset, pin->size, tries);
}

static int sim_unpin(struct world *world, struct pin *pin)
{
	return gmem_sim_unpin(world->own, pin->fd, pin->offset, pin->size);
}

static int sim_poison(struct world *world, int fd, uint64_t offset)
{
	return gmem_sim_poison(world->own, fd, offset);
}

static int sim_finish_launch(struct world *world)
{
	return gmem_sim_finish_launch(world->own, world->vm_fd);
}

const struct driver simulator_driver = {
	.open = sim_open,
	.close = sim_close,
	.create_vm = sim_create_vm,
	.create_vcpu = sim_create_vcpu,
	.destroy_vcpu = sim_destroy_vcpu,
	.access = sim_access,
	.hypercall = sim_hypercall,
	.answer = sim_answer,
	.request_certs = sim_request_certs,
	.give_certs = sim_give_certs,
	.pin = sim_pin,
	.unpin = sim_unpin,
	.poison = sim_poison,
	.finish_launch = sim_finish_launch,
};
