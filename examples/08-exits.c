/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop of a vCPU thread in a VMM whose guests convert memory: after KVM_RUN comes one call,
 * gmem_vm_handle_exit(), and what it says to do next.
 *
 * There are two ways in which a guest can ask. It makes a hypercall (all kinds of guests), or it
 * touches a page in the other way and faults (SNP and TDX). Here simulated guests do both; one of
 * them asks while the VMM is about to pause, when waiting for a page in use would hold up the pause.
 * Last comes an ordinary VM on this machine's KVM, where the same loop finds that no exit is about
 * conversion.
 */
#include "sim-machine.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGES 10u
#define TO_PRIVATE (UINT64_C(1) << 4) /* attributes of the hypercall MAP_GPA_RANGE */

/* One thing that a simulated guest does when it runs. */
struct step {
	bool asks;       /* else it touches the first page */
	bool is_private; /* asks for, or accesses as */
	uint64_t first;
	uint64_t pages;
};

struct vmm {
	struct sim_machine machine;
	bool pausing;        /* somebody wants the vCPUs to stop */
	struct gmem_pin pin; /* a device's */
};

static void show_map(const struct vmm *vmm)
{
	char map[PAGES + 1] = "";
	uint64_t i;

	for (i = 0; i < PAGES; i++)
		map[i] = gmem_vm_get_state(vmm->machine.vm, i * vmm->machine.page,
					   vmm->machine.page) == GMEM_PRIVATE
				 ? 'P'
				 : 'S';
	printf("    %s\n", map);
}

/*
 * Asked whenever an operation would have to wait. A VMM that wants its vCPU back says later, and
 * the guest learns nothing of it; an error would end an SNP guest.
 */
static int on_retry(const struct gmem_report *so_far, void *opaque)
{
	const struct vmm *vmm = opaque;

	if (vmm->pausing)
		return GMEM_RETRY_LATER;
	return so_far->waited_ns > UINT64_C(5000000000) ? GMEM_RETRY_STOP : GMEM_RETRY_AGAIN;
}

/* KVM_RUN, with a guest that takes one step: 0, or the errno that it sets. */
static int run_step(struct vmm *vmm, const struct step *step, bool *done)
{
	struct sim_machine *machine = &vmm->machine;
	uint64_t gpa = step->first * machine->page;
	char byte = 1;
	int rc;

	*done = false;
	if (step->asks) {
		rc = gmem_sim_guest_map_gpa_range(machine->sim, machine->vcpu_fd, gpa,
						  step->pages * (machine->page / 4096),
						  step->is_private ? TO_PRIVATE : 0);
		return rc < 0 ? -rc : 0;
	}
	rc = gmem_sim_guest_access(machine->sim, machine->vcpu_fd, gpa, &byte, 1,
				   GMEM_SIM_WRITE | (step->is_private ? GMEM_SIM_PRIVATE : 0));
	*done = rc == 0;
	return rc < 0 ? -rc : 0;
}

static void pause_and_go_on(struct vmm *vmm)
{
	printf("    the vCPU is called away and pauses; meanwhile the device ends its work\n");
	gmem_vm_unpin(vmm->machine.vm, &vmm->pin);
	vmm->pausing = false;
}

/* What every vCPU thread does with every exit. 1: run again; 0: the exit is the VMM's own. */
static int handle_exit(struct vmm *vmm, int run_error)
{
	struct sim_machine *machine = &vmm->machine;
	struct gmem_report report;
	char line[400];
	int rc;

	while ((rc = gmem_vm_handle_exit(machine->vm, machine->vcpu_fd, machine->run, run_error,
					 &report)) == GMEM_EXIT_REPEAT)
		pause_and_go_on(vmm);
	if (rc == GMEM_EXIT_NOT_MINE)
		return 0;
	gmem_report_format(&report, line, sizeof(line));
	printf("    %s\n", line);
	return rc == GMEM_EXIT_RESUME ? 1 : example_failed("gmem_vm_handle_exit", rc);
}

/* The guest takes a step, however often it has to leave for it. */
static int run_guest(struct vmm *vmm, const struct step *step)
{
	bool done = false;
	int run_error, rc = 1;

	printf("  the guest %s page %" PRIu64 "%s %s\n", step->asks ? "asks for" : "touches",
	       step->first, step->pages > 1 ? " and on" : "",
	       step->is_private ? "private" : "shared");
	while (!done && rc == 1) {
		run_error = run_step(vmm, step, &done);
		if (done)
			break;
		rc = handle_exit(vmm, run_error);
		/* What comes after a hypercall is the next step. */
		if (rc == 1 && step->asks)
			break;
	}
	if (rc == 0) {
		fprintf(stderr, "an exit that was not expected: reason %" PRIu32 "\n",
			(uint32_t)vmm->machine.run->exit_reason);
		return -EIO;
	}
	show_map(vmm);
	return rc < 0 ? rc : 0;
}

static int run_all(struct vmm *vmm, const struct step *steps, size_t count)
{
	int rc = 0;
	size_t i;

	for (i = 0; i < count && rc == 0; i++)
		rc = run_guest(vmm, &steps[i]);
	return rc;
}

static int open_vmm(struct vmm *vmm, uint32_t preset, uint32_t type)
{
	struct gmem_vm_config *config = NULL;
	int rc = gmem_vm_config_new(&config);

	*vmm = (struct vmm){ .pausing = false };
	if (rc < 0)
		return example_failed("gmem_vm_config_new", rc);
	gmem_vm_config_set_retry(config, UINT64_MAX, on_retry, vmm, NULL);
	/* What turns private is allocated at once, up to so many bytes, and does not fault again. */
	gmem_vm_config_set_prefault(config, UINT64_C(16) << 20);
	rc = sim_machine_open(&vmm->machine, preset, type, config);
	if (rc == 0)
		rc = sim_machine_add_ram(&vmm->machine, PAGES);
	if (rc < 0)
		return rc;
	rc = gmem_vm_enable_exits(vmm->machine.vm);
	return rc < 0 ? example_failed("gmem_vm_enable_exits", rc) : 0;
}

static int show_counters(struct vmm *vmm)
{
	struct gmem_vm_stats stats;
	int rc = gmem_vm_get_stats(vmm->machine.vm, &stats);

	if (rc < 0)
		return example_failed("gmem_vm_get_stats", rc);
	printf("  %" PRIu64 " exits, %" PRIu64 " refused, %" PRIu64 " conversions, %" PRIu64
	       " calls to the kernel\n",
	       stats.exits, stats.exits_refused, stats.conversions, stats.ioctls);
	return 0;
}

static int a_guest_that_faults(void)
{
	static const struct step steps[] = {
		{ .is_private = true, .first = 2, .pages = 1 },
		{ .is_private = true, .first = 3, .pages = 1 },
		{ .is_private = true, .first = 3, .pages = 1 }, /* no exit any more */
		{ .is_private = false, .first = 2, .pages = 1 },
		{ .asks = true, .is_private = true, .first = 5, .pages = 4 },
	};
	struct vmm vmm;
	int rc;

	printf("A guest whose accesses say what they want, as on SNP\n");
	rc = open_vmm(&vmm, GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SNP);
	if (rc == 0)
		rc = run_all(&vmm, steps, sizeof(steps) / sizeof(steps[0]));
	if (rc == 0)
		rc = show_counters(&vmm);
	sim_machine_close(&vmm.machine);
	return rc;
}

static int a_guest_that_asks(void)
{
	static const struct step steps[] = {
		{ .asks = true, .is_private = true, .first = 0, .pages = 8 },
		{ .asks = true, .is_private = false, .first = 3, .pages = 2 },
		{ .asks = true, .is_private = true, .first = 8, .pages = 1000 }, /* not all there */
		{ .asks = true, .is_private = false, .first = 8, .pages = 1000 },
	};
	struct vmm vmm;
	int rc;

	printf("\nA guest that asks by hypercall\n");
	rc = open_vmm(&vmm, GMEM_SIM_LINUX_6_18, GMEM_VM_TYPE_SW_PROTECTED);
	if (rc == 0)
		rc = run_all(&vmm, steps, sizeof(steps) / sizeof(steps[0]));
	if (rc == 0)
		rc = show_counters(&vmm);
	sim_machine_close(&vmm.machine);
	return rc;
}

static int a_guest_that_has_to_wait(void)
{
	static const struct step step = {
		.asks = true, .is_private = true, .first = 0, .pages = 10
	};
	uint64_t told = UINT64_MAX;
	struct vmm vmm;
	int rc;

	printf("\nA guest that asks for a page in use, while the VMM wants to pause\n");
	rc = open_vmm(&vmm, GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SW_PROTECTED);
	if (rc == 0)
		rc = gmem_vm_pin(vmm.machine.vm, 4 * vmm.machine.page, 1, 0, &vmm.pin);
	vmm.pausing = true;
	if (rc == 0)
		rc = run_guest(&vmm, &step);
	/* Its next step, to see what it was told. */
	if (rc == 0)
		rc = run_guest(&vmm, &(struct step){ .first = 4, .pages = 1, .is_private = true });
	if (rc == 0)
		rc = gmem_sim_guest_get_result(vmm.machine.sim, vmm.machine.vcpu_fd, &told);
	if (rc == 0 && told != 0)
		rc = example_failed("the hypercall", -(int)told);
	sim_machine_close(&vmm.machine);
	return rc;
}

#if defined(__x86_64__)

#define CODE_GPA UINT64_C(0x1000)

/* 16-bit code: says "!" to the serial port, twice, and halts. */
static const uint8_t code[] = {
	0xba, 0xf8, 0x03, /* mov $0x3f8, %dx */
	0xb0, '!',        /* mov $'!', %al */
	0xee,             /* out %al, (%dx) */
	0xee,             /* out %al, (%dx) */
	0xf4,             /* hlt */
};

struct real {
	struct example_vm kvm;
	struct gmem_vm *vm;
	struct gmem_region *ram;
	int vcpu_fd;
	struct kvm_run *run;
	size_t run_size;
};

static int make_real_memory(struct real *real)
{
	struct gmem_region_config *config = NULL;
	int rc = gmem_region_config_new(&config);

	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	if (rc == 0)
		rc = gmem_vm_new(NULL, real->kvm.vm_fd, NULL, &real->vm);
	if (rc == 0)
		rc = gmem_region_new(real->vm, 16 * CODE_GPA, config, &real->ram);
	if (rc == 0)
		rc = gmem_vm_map(real->vm, 0, real->ram, 0, 16 * CODE_GPA, GMEM_SLOT_AUTO, 0);
	if (rc == 0)
		rc = gmem_vm_write(real->vm, CODE_GPA, code, sizeof(code), 0);
	gmem_region_config_free(config);
	return rc < 0 ? example_failed("making memory", rc) : 0;
}

static int make_real_vcpu(struct real *real)
{
	struct kvm_regs regs = { .rip = CODE_GPA, .rflags = 2 };
	struct kvm_sregs sregs;
	void *run = MAP_FAILED;
	int size = ioctl(real->kvm.kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);

	real->vcpu_fd = ioctl(real->kvm.vm_fd, KVM_CREATE_VCPU, 0UL);
	if (size > 0 && real->vcpu_fd >= 0)
		run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, real->vcpu_fd,
			   0);
	if (run == MAP_FAILED) {
		example_failed("making a vCPU", -errno);
		return -EIO;
	}
	real->run = run;
	real->run_size = (size_t)size;
	if (ioctl(real->vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return example_failed("KVM_GET_SREGS", -errno);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(real->vcpu_fd, KVM_SET_SREGS, &sregs) < 0 ||
	    ioctl(real->vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return example_failed("setting registers", -errno);
	return 0;
}

/* The loop of an ordinary VMM, with the call that a confidential guest would need. */
static int run_real(struct real *real)
{
	unsigned int exits = 0;
	int error, rc;

	for (;;) {
		error = ioctl(real->vcpu_fd, KVM_RUN, 0UL) < 0 ? errno : 0;
		rc = gmem_vm_handle_exit(real->vm, real->vcpu_fd, real->run, error, NULL);
		if (rc < 0)
			return example_failed("gmem_vm_handle_exit", rc);
		if (rc != GMEM_EXIT_NOT_MINE)
			return example_failed("an ordinary guest converts memory", -EIO);
		if (error == EINTR || error == EAGAIN)
			continue;
		if (error)
			return example_failed("KVM_RUN", -error);
		exits++;
		if (real->run->exit_reason == KVM_EXIT_HLT)
			break;
		if (real->run->exit_reason != KVM_EXIT_IO)
			return example_failed("an exit that was not expected", -EIO);
	}
	printf("  it left %u times, for the VMM to handle each time\n", exits);
	return exits == 3 ? 0 : example_failed("the guest ran astray", -EIO);
}

static int an_ordinary_guest(void)
{
	struct real real = { .vcpu_fd = -1 };
	int rc;

	printf("\nAn ordinary guest, on this machine's KVM\n");
	if (example_vm_open(&real.kvm) < 0)
		return 0;
	rc = make_real_memory(&real);
	if (rc == 0)
		rc = make_real_vcpu(&real);
	if (rc == 0)
		rc = run_real(&real);
	if (real.run)
		munmap(real.run, real.run_size);
	if (real.vcpu_fd >= 0)
		close(real.vcpu_fd);
	gmem_vm_free(real.vm);
	gmem_region_free(real.ram);
	example_vm_close(&real.kvm);
	return rc;
}

#else

static int an_ordinary_guest(void)
{
	printf("\nThe ordinary guest is x86 code, and this machine is not an x86 one\n");
	return 0;
}

#endif

int main(void)
{
	int rc = a_guest_that_faults();

	if (rc == 0)
		rc = a_guest_that_asks();
	if (rc == 0)
		rc = a_guest_that_has_to_wait();
	if (rc == 0)
		rc = an_ordinary_guest();
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
