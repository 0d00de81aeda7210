/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conversion, step by step: a map of ten pages after each step, S for shared and P for private, and
 * what host and guest see of one of them.
 *
 * The same steps run on two simulated kernels, one that converts a guest_memfd's pages in place and
 * one where the VM keeps track and shared pages lie elsewhere, and on this machine's KVM where it
 * lets one make a VM with private memory. No line of the steps knows which it is.
 */
#include "sim-machine.h"

#include <stdlib.h>

#define PAGES 10u
#define WATCHED 4u /* the page that is looked at */
#define TEXT_SIZE 32u

/* A VM, simulated or real. */
struct stage {
	struct gmem_vm *vm;
	uint64_t page;
	struct sim_machine *machine; /* NULL: real, and no guest runs in it */
};

static int show_map(const struct stage *stage, const char expected[static PAGES + 1])
{
	char map[PAGES + 1] = "";
	uint64_t i;

	for (i = 0; i < PAGES; i++) {
		switch (gmem_vm_get_state(stage->vm, i * stage->page, stage->page)) {
		case GMEM_SHARED:
			map[i] = 'S';
			break;
		case GMEM_PRIVATE:
			map[i] = 'P';
			break;
		default:
			map[i] = '-';
		}
	}
	printf("  %s\n", map);
	if (strcmp(map, expected) == 0)
		return 0;
	fprintf(stderr, "it should be %s\n", expected);
	return -EIO;
}

/* gmem_vm_read() never raises SIGBUS: what cannot be read it says. */
static void show_host(const struct stage *stage)
{
	char text[TEXT_SIZE];
	int rc = gmem_vm_read(stage->vm, WATCHED * stage->page, text, sizeof(text), 0);

	if (rc < 0)
		printf("              host:  %s\n", strerror(-rc));
	else
		printf("              host:  \"%.*s\"\n", (int)sizeof(text), text);
}

static int host_writes(const struct stage *stage, const char *what)
{
	char text[TEXT_SIZE] = "";
	int rc;

	snprintf(text, sizeof(text), "%s", what);
	rc = gmem_vm_write(stage->vm, WATCHED * stage->page, text, sizeof(text), 0);
	return rc < 0 ? example_failed("gmem_vm_write", rc) : 0;
}

static int guest_accesses(const struct stage *stage, char text[static TEXT_SIZE], uint32_t flags)
{
	const struct sim_machine *machine = stage->machine;
	int rc = gmem_sim_guest_access(machine->sim, machine->vcpu_fd, WATCHED * stage->page, text,
				       TEXT_SIZE, flags);

	return rc ? example_failed("gmem_sim_guest_access", rc) : 0;
}

static int guest_writes(const struct stage *stage, const char *what)
{
	char text[TEXT_SIZE] = "";

	snprintf(text, sizeof(text), "%s", what);
	return stage->machine ? guest_accesses(stage, text, GMEM_SIM_WRITE) : 0;
}

static int show_guest(const struct stage *stage)
{
	char text[TEXT_SIZE] = "";

	if (!stage->machine)
		return 0;
	if (guest_accesses(stage, text, 0) < 0)
		return -EIO;
	printf("              guest: \"%.*s\"\n", (int)sizeof(text), text);
	return 0;
}

static int show(const struct stage *stage, const char expected[static PAGES + 1])
{
	if (show_map(stage, expected) < 0)
		return -EIO;
	show_host(stage);
	return show_guest(stage);
}

static void show_report(const struct gmem_report *report)
{
	char line[400];

	gmem_report_format(report, line, sizeof(line));
	printf("  %s\n", line);
}

static int convert(const struct stage *stage, uint64_t first, uint64_t count, uint32_t to)
{
	struct gmem_report report;
	int rc = gmem_vm_convert(stage->vm, first * stage->page, count * stage->page, to, 0,
				 &report);

	show_report(&report);
	return rc < 0 ? example_failed("gmem_vm_convert", rc) : 0;
}

static int one_range(const struct stage *stage)
{
	int rc;

	printf("All of it is shared\n");
	rc = host_writes(stage, "written by the host");
	if (rc == 0)
		rc = show(stage, "SSSSSSSSSS");
	if (rc == 0) {
		printf("Pages 3 to 6 turn private\n");
		rc = convert(stage, 3, 4, GMEM_PRIVATE);
	}
	if (rc == 0)
		rc = show(stage, "SSSPPPPSSS");
	if (rc == 0)
		rc = guest_writes(stage, "the guest's secret");
	if (rc == 0) {
		printf("The guest writes to page %u\n", WATCHED);
		rc = show(stage, "SSSPPPPSSS");
	}
	return rc;
}

/* As many calls to the kernel as there are ranges apart, and all of it one operation. */
static int several_ranges(const struct stage *stage)
{
	const struct gmem_range ranges[] = {
		{ .gpa = 0, .size = 2 * stage->page },
		{ .gpa = 8 * stage->page, .size = stage->page },
		{ .gpa = 9 * stage->page, .size = stage->page },
	};
	struct gmem_report report;
	int rc;

	printf("Two more pages at the start and two at the end, as one operation\n");
	rc = gmem_vm_convert_ranges(stage->vm, ranges, sizeof(ranges) / sizeof(ranges[0]),
				    GMEM_PRIVATE, 0, &report);
	if (rc < 0)
		return example_failed("gmem_vm_convert_ranges", rc);
	show_report(&report);
	return show_map(stage, "PPSPPPPSPP");
}

/* Somebody in this process uses a page, as a device's thread does: it stays, the rest goes. */
static int a_page_in_use(const struct stage *stage)
{
	struct gmem_report report;
	struct gmem_pin pin;
	int rc = gmem_vm_pin(stage->vm, 7 * stage->page, stage->page, GMEM_ACCESS_WRITE, &pin);

	if (rc < 0)
		return example_failed("gmem_vm_pin", rc);
	printf("All of it is to be private, but page 7 is pinned\n");
	rc = gmem_vm_convert(stage->vm, 0, PAGES * stage->page, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT,
			     &report);
	show_report(&report);
	if (show_map(stage, "PPPPPPPSPP") < 0 || rc != -EAGAIN || report.gpa != 7 * stage->page ||
	    report.size != stage->page) {
		fprintf(stderr, "the pinned page was not reported\n");
		rc = -EIO;
	} else {
		memcpy(pin.host, "still mine", sizeof("still mine"));
		rc = 0;
	}
	gmem_vm_unpin(stage->vm, &pin);
	if (rc == 0) {
		printf("It is unpinned, and the same is asked again\n");
		rc = convert(stage, 0, PAGES, GMEM_PRIVATE);
	}
	if (rc == 0)
		rc = show(stage, "PPPPPPPPPP");
	return rc;
}

static int back_again(const struct stage *stage)
{
	int rc;

	printf("The first half is shared again, then the rest\n");
	rc = convert(stage, 0, PAGES / 2, GMEM_SHARED);
	if (rc == 0)
		rc = show(stage, "SSSSSPPPPP");
	if (rc == 0)
		rc = convert(stage, 0, PAGES, GMEM_SHARED);
	if (rc == 0)
		rc = show_map(stage, "SSSSSSSSSS");
	return rc;
}

static int all_steps(const struct stage *stage)
{
	int rc = one_range(stage);

	if (rc == 0)
		rc = several_ranges(stage);
	if (rc == 0)
		rc = a_page_in_use(stage);
	if (rc == 0)
		rc = back_again(stage);
	return rc;
}

static int describe(struct gmem_region *ram)
{
	char text[256];
	int rc = gmem_region_describe(ram, text, sizeof(text));

	if (rc < 0)
		return example_failed("gmem_region_describe", rc);
	printf("RAM: %s\n", text);
	return 0;
}

static int on_the_simulator(const char *title, uint32_t preset)
{
	struct sim_machine machine;
	struct stage stage;
	int rc;

	printf("\n--- %s\n", title);
	rc = sim_machine_open(&machine, preset, GMEM_VM_TYPE_SW_PROTECTED, NULL);
	if (rc == 0)
		rc = sim_machine_add_ram(&machine, PAGES);
	if (rc == 0)
		rc = describe(machine.ram);
	stage = (struct stage){ .vm = machine.vm, .page = machine.page, .machine = &machine };
	if (rc == 0)
		rc = all_steps(&stage);
	sim_machine_close(&machine);
	return rc;
}

static int steps_in(struct gmem_vm *vm, uint64_t page)
{
	const struct stage stage = { .vm = vm, .page = page };
	struct gmem_region_config *config = NULL;
	struct gmem_region *ram = NULL;
	int rc = gmem_region_config_new(&config);

	gmem_region_config_set_name(config, "ram");
	gmem_region_config_set_state(config, GMEM_SHARED);
	if (rc == 0)
		rc = gmem_region_new(vm, PAGES * page, config, &ram);
	gmem_region_config_free(config);
	if (rc == 0)
		rc = gmem_vm_map(vm, 0, ram, 0, PAGES * page, GMEM_SLOT_AUTO, 0);
	if (rc < 0)
		example_failed("making RAM", rc);
	if (rc == 0)
		rc = describe(ram);
	if (rc == 0)
		rc = all_steps(&stage);
	gmem_region_free(ram);
	return rc;
}

/* A software-protected VM: nothing is encrypted, but pages can be private. Linux 6.8 and later. */
static int create_vm(int *vm_fd)
{
	int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm_fd < 0) {
		printf("/dev/kvm cannot be opened: %s\n", strerror(errno));
		return -1;
	}
	do {
		*vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, (unsigned long)GMEM_VM_TYPE_SW_PROTECTED);
	} while (*vm_fd < 0 && errno == EINTR);
	if (*vm_fd < 0)
		printf("It makes no software-protected VM: %s\n", strerror(errno));
	close(kvm_fd);
	return *vm_fd < 0 ? -1 : 0;
}

static int on_this_machine(void)
{
	struct gmem_vm_config *config = NULL;
	struct gmem_vm_info info = { 0 };
	struct gmem_vm *vm = NULL;
	int vm_fd = -1;
	int rc;

	printf("\n--- This machine's KVM, without a guest\n");
	if (create_vm(&vm_fd) < 0)
		return 0;
	rc = gmem_vm_config_new(&config);
	gmem_vm_config_set_type(config, GMEM_VM_TYPE_SW_PROTECTED);
	if (rc == 0)
		rc = gmem_vm_new(NULL, vm_fd, config, &vm);
	if (rc == 0)
		rc = gmem_vm_get_info(vm, &info);
	gmem_vm_config_free(config);
	if (rc < 0)
		example_failed("gmem_vm_new", rc);
	else if (info.private_memory)
		rc = steps_in(vm, info.page_size);
	else
		printf("Its VMs have no private memory\n");
	gmem_vm_free(vm);
	close(vm_fd);
	return rc;
}

int main(void)
{
	int rc = on_the_simulator("Simulated: pages are converted in place, and bytes stay",
				  GMEM_SIM_IN_PLACE);

	if (rc == 0)
		rc = on_the_simulator("Simulated: the VM keeps track, and each page has two places",
				      GMEM_SIM_LINUX_6_18);
	if (rc == 0)
		rc = on_this_machine();
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
