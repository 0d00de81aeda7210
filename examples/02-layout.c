/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest-physical address space: sections, holes, reserved ranges, an alias, looking addresses
 * up, and moving a window while the VM could be running.
 *
 * Nothing here needs KVM. Where there is no /dev/kvm the layout is kept all the same, without
 * memslots.
 */
#include "example.h"

#include <gmem.h>

#define MIB (UINT64_C(1) << 20)

/* Guest-physical addresses. */
#define LOW_GPA UINT64_C(0)
#define LOW_SIZE (2 * MIB)
#define NEXT_GPA (LOW_GPA + LOW_SIZE) /* the other region, right after the first */
#define NEXT_SIZE (1 * MIB)
#define HOLE_GPA (NEXT_GPA + NEXT_SIZE)
#define RESERVED_GPA (16 * MIB)
#define RESERVED_SIZE (1 * MIB)
#define ALIAS_GPA (32 * MIB)
#define ALIAS_SIZE (1 * MIB)
#define MOVED_GPA (64 * MIB)

/* Tags come back in every gmem_run: a caller's own index, or a pointer. */
#define TAG_LOW 1
#define TAG_NEXT 2

/* What a VMM would have: the number of times its vCPUs were held. */
struct vcpus {
	unsigned int paused;
	unsigned int resumed;
};

/* Called before the memslots of a change are touched; returns when no vCPU is in KVM_RUN. */
static int pause_vcpus(void *opaque)
{
	struct vcpus *vcpus = opaque;

	vcpus->paused++;
	printf("  (pause: all vCPUs leave the guest)\n");
	return 0;
}

static void resume_vcpus(void *opaque)
{
	struct vcpus *vcpus = opaque;

	vcpus->resumed++;
	printf("  (resume: vCPUs go on)\n");
}

static int make_vm(int vm_fd, struct vcpus *vcpus, struct gmem_vm **vm)
{
	struct gmem_vm_config *config = NULL;
	int rc = gmem_vm_config_new(&config);

	if (rc < 0)
		return example_failed("gmem_vm_config_new", rc);
	gmem_vm_config_set_pause(config, pause_vcpus, resume_vcpus, vcpus, NULL);
	rc = gmem_vm_new(NULL, vm_fd, config, vm);
	gmem_vm_config_free(config);
	return rc < 0 ? example_failed("gmem_vm_new", rc) : 0;
}

/* Says what the region must be able to do, and lets libgmem choose how. */
static int make_region(struct gmem_vm *vm, const char *name, uint64_t tag, uint64_t size,
		       struct gmem_region **region)
{
	struct gmem_region_config *config = NULL;
	int rc = gmem_region_config_new(&config);

	if (rc < 0)
		return example_failed("gmem_region_config_new", rc);
	gmem_region_config_set_name(config, name);
	gmem_region_config_set_tag(config, tag);
	gmem_region_config_set_needs(config, GMEM_NEED_ALIAS);
	rc = gmem_region_new(vm, size, config, region);
	gmem_region_config_free(config);
	return rc < 0 ? example_failed("gmem_region_new", rc) : 0;
}

static int make_layout(struct gmem_vm *vm, struct gmem_region *low, struct gmem_region *next)
{
	int rc = gmem_vm_map(vm, LOW_GPA, low, 0, LOW_SIZE, GMEM_SLOT_AUTO, 0);

	if (rc < 0)
		return example_failed("gmem_vm_map low", rc);
	rc = gmem_vm_map(vm, NEXT_GPA, next, 0, NEXT_SIZE, GMEM_SLOT_AUTO, 0);
	if (rc < 0)
		return example_failed("gmem_vm_map next", rc);
	/* No region: nothing else will be put there, and the guest's accesses go to a device. */
	rc = gmem_vm_map(vm, RESERVED_GPA, NULL, 0, RESERVED_SIZE, GMEM_SLOT_AUTO, 0);
	if (rc < 0)
		return example_failed("gmem_vm_map reserved", rc);
	/* The first MiB of low memory once more, at a second address. */
	rc = gmem_vm_map_alias(vm, 0, ALIAS_GPA, low, 0, ALIAS_SIZE, GMEM_SLOT_AUTO, 0);
	return rc < 0 ? example_failed("gmem_vm_map_alias", rc) : 0;
}

static const char *kind_name(const struct gmem_run *run)
{
	static const char *const name[] = { "hole", "RAM", "ROM", "device", "reserved" };

	return run->flags & GMEM_MAP_ALIAS ? "alias" : name[run->kind];
}

/* Sections are what the caller mapped: one memslot each. */
static int print_sections(struct gmem_vm *vm)
{
	struct gmem_run run;
	char size[32];
	uint64_t gpa = 0;
	int rc;

	printf("Sections\n");
	while ((rc = gmem_vm_next_section(vm, gpa, &run)) == 1) {
		printf("  0x%07" PRIx64 "  %6s  %-8s  tag %" PRIu64 "  slot ", run.gpa,
		       example_size(run.size, size), kind_name(&run), run.tag);
		if (run.slot == GMEM_SLOT_NONE)
			printf("none\n");
		else
			printf("%" PRIu32 "\n", run.slot);
		gpa = run.gpa + run.size;
	}
	return rc < 0 ? example_failed("gmem_vm_next_section", rc) : 0;
}

/* Runs are what is there: each as long as its state, holes included, so no address is left out. */
static int print_runs(struct gmem_vm *vm)
{
	struct gmem_run run;
	char size[32];
	uint64_t gpa = 0;
	int rc;

	printf("\nRuns\n");
	while ((rc = gmem_vm_next_run(vm, gpa, &run)) == 1) {
		printf("  0x%07" PRIx64 "  %6s  %s%s\n", run.gpa, example_size(run.size, size),
		       run.state == GMEM_HOLE ? "hole" : "shared",
		       run.kind == GMEM_KIND_RESERVED ? ", reserved" : "");
		gpa = run.gpa + run.size;
	}
	return rc < 0 ? example_failed("gmem_vm_next_run", rc) : 0;
}

/* Looks a range up and compares with what the layout says must come out. */
static int look_up(struct gmem_vm *vm, const char *what, uint64_t gpa, uint64_t size, int expected)
{
	void *host;
	int rc = gmem_vm_translate(vm, gpa, size, GMEM_ACCESS_WRITE, &host);

	printf("  %-32s 0x%07" PRIx64 " + 0x%04" PRIx64 "  ", what, gpa, size);
	if (rc == 0)
		printf("found\n");
	else
		printf("%s\n", rc == -ENOENT ? "-ENOENT" : rc == -EXDEV ? "-EXDEV" : strerror(-rc));
	if (rc == expected)
		return 0;
	fprintf(stderr, "gmem_vm_translate returned %d, not %d\n", rc, expected);
	return -EIO;
}

static int look_up_all(struct gmem_vm *vm)
{
	int rc;

	printf("\nLooking addresses up\n");
	rc = look_up(vm, "in low memory", LOW_GPA + 0x1234, 0x2000, 0);
	if (rc == 0)
		rc = look_up(vm, "into the hole", HOLE_GPA - 0x10, 0x20, -ENOENT);
	if (rc == 0)
		rc = look_up(vm, "in the reserved range", RESERVED_GPA, 0x10, -ENOENT);
	/* Guest addresses that follow each other, but two regions: there is no one pointer. */
	if (rc == 0)
		rc = look_up(vm, "from one region into the other", NEXT_GPA - 0x10, 0x20, -EXDEV);
	return rc;
}

/* What is written at one address of an alias is there at the other. */
static int show_alias(struct gmem_vm *vm)
{
	void *low;
	void *alias;
	int rc = gmem_vm_translate(vm, LOW_GPA + 0x100, 8, GMEM_ACCESS_WRITE, &low);

	if (rc < 0)
		return example_failed("gmem_vm_translate", rc);
	rc = gmem_vm_translate(vm, ALIAS_GPA + 0x100, 8, 0, &alias);
	if (rc < 0)
		return example_failed("gmem_vm_translate alias", rc);
	memcpy(low, "sunrise", 8);
	printf("\nThe alias\n  written at 0x%07" PRIx64 ", read at 0x%07" PRIx64 ": \"%s\"\n",
	       LOW_GPA + 0x100, ALIAS_GPA + 0x100, (const char *)alias);
	return 0;
}

/*
 * Moves a window. Taking it away and mapping it elsewhere are two calls to KVM, and a guest that
 * ran between them would see neither: so they are one change, with the vCPUs held meanwhile.
 */
static int move_window(struct gmem_vm *vm, struct gmem_region *next)
{
	struct gmem_change *change = NULL;
	int rc = gmem_change_new(vm, &change);

	if (rc < 0)
		return example_failed("gmem_change_new", rc);
	printf("\nMoving a window from 0x%07" PRIx64 " to 0x%07" PRIx64 "\n", NEXT_GPA, MOVED_GPA);
	rc = gmem_change_unmap(change, NEXT_GPA, NEXT_SIZE);
	if (rc == 0)
		rc = gmem_change_map(change, MOVED_GPA, next, 0, NEXT_SIZE, GMEM_SLOT_AUTO, 0);
	/* All steps happen, or none does. */
	if (rc == 0)
		rc = gmem_change_commit(change);
	gmem_change_free(change);
	if (rc < 0)
		return example_failed("gmem_change", rc);
	rc = look_up(vm, "at the old address", NEXT_GPA, 0x10, -ENOENT);
	if (rc == 0)
		rc = look_up(vm, "at the new address", MOVED_GPA, 0x10, 0);
	return rc;
}

static int run(struct gmem_vm *vm, struct gmem_region *low, struct gmem_region *next)
{
	int rc = make_layout(vm, low, next);

	if (rc == 0)
		rc = print_sections(vm);
	if (rc == 0)
		rc = print_runs(vm);
	if (rc == 0)
		rc = look_up_all(vm);
	if (rc == 0)
		rc = show_alias(vm);
	if (rc == 0)
		rc = move_window(vm, next);
	return rc;
}

int main(void)
{
	struct example_vm kvm;
	struct vcpus vcpus = { 0, 0 };
	struct gmem_vm *vm = NULL;
	struct gmem_region *low = NULL;
	struct gmem_region *next = NULL;
	int rc;

	if (example_vm_open(&kvm) < 0)
		printf("Going on without KVM: a layout that has no memslots\n\n");
	rc = make_vm(kvm.vm_fd, &vcpus, &vm);
	if (rc == 0)
		rc = make_region(vm, "low", TAG_LOW, LOW_SIZE, &low);
	if (rc == 0)
		rc = make_region(vm, "next", TAG_NEXT, NEXT_SIZE, &next);
	if (rc == 0)
		rc = run(vm, low, next);
	if (rc == 0 && vcpus.paused != vcpus.resumed)
		rc = -EIO;
	/* The sections kept the regions alive; the handles are ours to give back. */
	gmem_region_free(next);
	gmem_region_free(low);
	gmem_vm_free(vm);
	example_vm_close(&kvm);
	return rc < 0 ? 1 : 0;
}
