/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A page that turns private, and comes back: on any machine, because the kernel is libgmem-sim.
 *
 * The guest's memory is one guest_memfd whose pages are private or shared in place. When a guest
 * makes a page private, the host's next touch of it raises SIGBUS, and a system call that is given
 * it fails. This program does the conversion itself, with the ioctl that a VMM's exit handler
 * leads to, and looks at the page before, meanwhile and after.
 */
#include "example.h"

#include <gmem.h>
#include <gmem/sim.h>

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#define PAGE UINT64_C(4096)
#define MEMORY_SIZE (UINT64_C(1) << 20)
#define SECRET_PAGE (16 * PAGE)
#define SOFTWARE_PROTECTED_VM 1

/* The in-place series' ioctl, newer than the kernel headers of today. */
#define SET_MEMORY_ATTRIBUTES2 0xc080aed2u
#define MEMORY_ATTRIBUTE_PRIVATE (UINT64_C(1) << 3)

struct memory_attributes2 {
	uint64_t offset;
	uint64_t size;
	uint64_t attributes;
	uint64_t flags;
	uint64_t error_offset;
	uint64_t reserved[11];
};

struct machine {
	struct gmem_sim *sim;
	struct gmem_kernel kernel;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	struct gmem_region *ram;
	int vm_fd;
	int vcpu_fd;
	int guest_memfd;
	char *host;
};

static sigjmp_buf before_the_touch;
static void *volatile fault_address;

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	fault_address = info->si_addr;
	siglongjmp(before_the_touch, 1);
}

/* What the host sees of a page: its text, or the signal. */
static bool host_looks(const char *page)
{
	char text[64];

	if (sigsetjmp(before_the_touch, 1)) {
		printf("  host   SIGBUS at %p, which is %s\n", fault_address,
		       fault_address == (const void *)page ? "the page" : "NOT the page");
		return false;
	}
	memcpy(text, page, sizeof(text));
	printf("  host   \"%.63s\"\n", text);
	return true;
}

static int guest_looks(struct machine *machine, char text[64])
{
	/* Whether it is private, the VM knows: this kind of guest does not say. */
	int rc = gmem_sim_guest_access(machine->sim, machine->vcpu_fd, SECRET_PAGE, text, 64, 0);

	if (rc)
		return example_failed("gmem_sim_guest_access", rc);
	text[63] = '\0';
	printf("  guest  \"%s\"\n", text);
	return 0;
}

static int guest_writes(struct machine *machine, const char *text)
{
	char buffer[64] = "";
	int rc;

	snprintf(buffer, sizeof(buffer), "%s", text);
	rc = gmem_sim_guest_access(machine->sim, machine->vcpu_fd, SECRET_PAGE, buffer,
				   sizeof(buffer), GMEM_SIM_WRITE);
	return rc ? example_failed("gmem_sim_guest_access", rc) : 0;
}

static int convert(struct machine *machine, bool to_private)
{
	struct memory_attributes2 attributes = {
		.offset = SECRET_PAGE,
		.size = PAGE,
		.attributes = to_private ? MEMORY_ATTRIBUTE_PRIVATE : 0,
	};
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)machine->guest_memfd,
						   SET_MEMORY_ATTRIBUTES2,
						   (uint64_t)(uintptr_t)&attributes };
	int rc = (int)machine->kernel.call(GMEM_SYS_IOCTL, arg, machine->kernel.opaque);

	return rc < 0 ? example_failed("KVM_SET_MEMORY_ATTRIBUTES2", rc) : 0;
}

static int make_machine(struct machine *machine)
{
	void *kvm_run;
	int rc = gmem_sim_new(GMEM_SIM_IN_PLACE, &machine->sim);

	if (rc < 0)
		return example_failed("gmem_sim_new", rc);
	gmem_sim_get_kernel(machine->sim, &machine->kernel);
	machine->vm_fd = gmem_sim_create_vm(machine->sim, SOFTWARE_PROTECTED_VM);
	if (machine->vm_fd < 0)
		return example_failed("gmem_sim_create_vm", machine->vm_fd);
	machine->vcpu_fd = gmem_sim_create_vcpu(machine->sim, machine->vm_fd, &kvm_run);
	if (machine->vcpu_fd < 0)
		return example_failed("gmem_sim_create_vcpu", machine->vcpu_fd);
	rc = gmem_ctx_new(&machine->ctx);
	if (rc < 0)
		return example_failed("gmem_ctx_new", rc);
	/* From here on libgmem has no idea that this is not a kernel. */
	gmem_ctx_set_kernel(machine->ctx, &machine->kernel);
	rc = gmem_vm_new(machine->ctx, machine->vm_fd, NULL, &machine->vm);
	return rc < 0 ? example_failed("gmem_vm_new", rc) : 0;
}

static int make_memory(struct machine *machine)
{
	struct gmem_region_config *config = NULL;
	struct gmem_region_info info;
	int rc = gmem_region_config_new(&config);

	if (rc < 0)
		return example_failed("gmem_region_config_new", rc);
	gmem_region_config_set_name(config, "ram");
	gmem_region_config_set_backing(config, GMEM_BACKING_GUEST_MEMFD);
	gmem_region_config_set_state(config, GMEM_SHARED);
	rc = gmem_region_new(machine->vm, MEMORY_SIZE, config, &machine->ram);
	gmem_region_config_free(config);
	if (rc < 0)
		return example_failed("gmem_region_new", rc);
	rc = gmem_vm_map(machine->vm, 0, machine->ram, 0, MEMORY_SIZE, GMEM_SLOT_AUTO, 0);
	if (rc < 0)
		return example_failed("gmem_vm_map", rc);
	rc = gmem_region_get_info(machine->ram, &info);
	if (rc < 0)
		return example_failed("gmem_region_get_info", rc);
	machine->host = info.host;
	machine->guest_memfd = info.guest_memfd;
	return 0;
}

static int show(struct machine *machine)
{
	char *page = machine->host + SECRET_PAGE;
	char text[64];

	printf("Shared: the host writes, the guest reads\n");
	snprintf(page, 64, "hello from the host");
	if (!host_looks(page) || guest_looks(machine, text) < 0)
		return -1;

	printf("Private: the guest has the page with what was in it, and writes to it\n");
	if (convert(machine, true) < 0 || guest_looks(machine, text) < 0 ||
	    guest_writes(machine, "nobody else can see this") < 0 || guest_looks(machine, text) < 0)
		return -1;
	if (host_looks(page)) {
		printf("the host could read a private page\n");
		return -1;
	}
	printf("  system call: %s\n",
	       write(STDERR_FILENO, page, 1) < 0 ? strerror(errno) : "it could read the page");
	printf("  the pages beside it:\n");
	if (!host_looks(page - PAGE) || !host_looks(page + PAGE))
		return -1;

	printf("Shared again: a software-protected guest's bytes stay\n");
	if (convert(machine, false) < 0 || guest_writes(machine, "and now you may") < 0)
		return -1;
	return host_looks(page) && strcmp(page, "and now you may") == 0 ? 0 : -1;
}

static void close_by_door(struct machine *machine, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };

	if (fd >= 0)
		machine->kernel.call(GMEM_SYS_CLOSE, arg, machine->kernel.opaque);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	struct machine machine = { .vm_fd = -1, .vcpu_fd = -1, .guest_memfd = -1 };
	int rc;

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
	rc = make_machine(&machine);
	if (rc == 0)
		rc = make_memory(&machine);
	if (rc == 0)
		rc = show(&machine);

	/* The simulator is the kernel, and goes last. */
	gmem_region_free(machine.ram);
	gmem_vm_free(machine.vm);
	gmem_ctx_free(machine.ctx);
	close_by_door(&machine, machine.vcpu_fd);
	close_by_door(&machine, machine.vm_fd);
	gmem_sim_free(machine.sim);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
