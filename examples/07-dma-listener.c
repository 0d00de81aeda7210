/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A DMA user as a listener: an IOMMU that may reach just the memory which host and guest share.
 *
 * The IOMMU is a model, but what it does to the kernel is not: as VFIO does, it holds a reference
 * on each page it has mapped, and a page with a reference cannot turn private. So it has to be told
 * before a page turns private, when it unmaps and lets go, and after it has become shared, when it
 * takes hold again. That is one function, for conversions, hot-plug, unmapping and balloons alike.
 */
#include "sim-machine.h"

#include <stdbool.h>
#include <stdlib.h>

#define PAGES 12u

/* What of the guest's memory devices can reach, page by page. */
struct iommu {
	struct gmem_sim *sim; /* the kernel, for references on pages */
	uint64_t page;
	char *host[PAGES]; /* NULL: not mapped */
	bool busy[PAGES];  /* a device is in the middle of a transfer */
	unsigned int maps;
	unsigned int unmaps;
};

static int iommu_map(struct iommu *iommu, const struct gmem_run *run)
{
	uint64_t first = run->gpa / iommu->page, i;
	int rc = gmem_sim_pin(iommu->sim, run->guest_memfd, run->offset, run->size, 0);

	if (rc < 0)
		return rc;
	for (i = 0; i < run->size / iommu->page; i++)
		iommu->host[first + i] = (char *)run->host + i * iommu->page;
	iommu->maps++;
	return 0;
}

/* Refuses while a device is at it: better the guest's request fails than its data. */
static int iommu_unmap(struct iommu *iommu, const struct gmem_run *run)
{
	uint64_t first = run->gpa / iommu->page, i;

	for (i = 0; i < run->size / iommu->page; i++) {
		if (iommu->busy[first + i])
			return -EBUSY;
	}
	for (i = 0; i < run->size / iommu->page; i++)
		iommu->host[first + i] = NULL;
	iommu->unmaps++;
	return gmem_sim_unpin(iommu->sim, run->guest_memfd, run->offset, run->size);
}

/* The listener. A run is as long as it can be, and an unmap may be any part of what was mapped. */
static int on_event(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct iommu *iommu = opaque;
	const char *what = event == GMEM_EVENT_ADD ? "map" : "unmap";
	int rc = event == GMEM_EVENT_ADD ? iommu_map(iommu, run) : iommu_unmap(iommu, run);

	printf("    IOMMU: %s pages %" PRIu64 " to %" PRIu64 "%s\n", what, run->gpa / iommu->page,
	       (run->gpa + run->size) / iommu->page - 1,
	       rc == -EBUSY ? ": no, a transfer is going on" : "");
	return rc;
}

/* A device writes to guest memory. */
static int dma_write(struct iommu *iommu, uint64_t page, const char *what)
{
	if (!iommu->host[page]) {
		printf("  a device writes to page %" PRIu64 ": blocked by the IOMMU\n", page);
		return -EFAULT;
	}
	snprintf(iommu->host[page], iommu->page, "%s", what);
	printf("  a device writes \"%s\" to page %" PRIu64 "\n", what, page);
	return 0;
}

/* Two rows: the pages' states, and what of them the IOMMU has. */
static void show(const struct sim_machine *machine, const struct iommu *iommu)
{
	char states[PAGES + 1] = "";
	char mapped[PAGES + 1] = "";
	uint64_t i;

	for (i = 0; i < PAGES; i++) {
		int state = gmem_vm_get_state(machine->vm, i * machine->page, machine->page);

		states[i] = '-';
		if (state == GMEM_PRIVATE)
			states[i] = 'P';
		else if (state == GMEM_SHARED)
			states[i] = 'S';
		mapped[i] = '.';
		if (iommu->host[i])
			mapped[i] = '#';
	}
	printf("  memory %s\n  IOMMU  %s\n", states, mapped);
}

static int convert(const struct sim_machine *machine, uint64_t first, uint64_t count, uint32_t to,
		   uint32_t flags)
{
	struct gmem_report report;
	char line[400];
	int rc;

	printf("The guest wants pages %" PRIu64 " to %" PRIu64 " %s\n", first, first + count - 1,
	       to == GMEM_PRIVATE ? "private" : "shared");
	rc = gmem_vm_convert(machine->vm, first * machine->page, count * machine->page, to, flags,
			     &report);
	gmem_report_format(&report, line, sizeof(line));
	printf("  %s\n", line);
	return rc;
}

static int expect(const char *what, int rc, int expected)
{
	if (rc == expected)
		return 0;
	fprintf(stderr, "%s gave %d, not %d\n", what, rc, expected);
	return -EIO;
}

/* What it is like where nobody tells the IOMMU. */
static int without_a_listener(struct sim_machine *machine, struct iommu *iommu)
{
	struct gmem_region_info info;
	int rc = gmem_region_get_info(machine->ram, &info);

	if (rc < 0)
		return example_failed("gmem_region_get_info", rc);
	printf("An IOMMU that nobody tells anything holds all pages\n");
	rc = gmem_sim_pin(machine->sim, info.guest_memfd, 0, PAGES * machine->page, 0);
	if (rc < 0)
		return example_failed("gmem_sim_pin", rc);
	rc = expect("the conversion", convert(machine, 4, 4, GMEM_PRIVATE, GMEM_CONVERT_NOWAIT),
		    -EAGAIN);
	gmem_sim_unpin(machine->sim, info.guest_memfd, 0, PAGES * machine->page);
	show(machine, iommu);
	return rc;
}

static int conversions(struct sim_machine *machine, struct iommu *iommu)
{
	int rc = dma_write(iommu, 5, "a packet");

	if (rc == 0)
		rc = expect("the conversion", convert(machine, 4, 4, GMEM_PRIVATE, 0), 0);
	show(machine, iommu);
	if (rc == 0)
		rc = expect("the write", dma_write(iommu, 5, "another packet"), -EFAULT);
	if (rc == 0)
		rc = expect("the conversion", convert(machine, 5, 2, GMEM_SHARED, 0), 0);
	show(machine, iommu);
	return rc == 0 ? dma_write(iommu, 5, "another packet") : rc;
}

/* It says no: then nothing has happened, neither to the memory nor to the IOMMU. */
static int a_refusal(struct sim_machine *machine, struct iommu *iommu)
{
	int rc;

	iommu->busy[2] = true;
	rc = expect("the conversion", convert(machine, 0, 8, GMEM_PRIVATE, 0), -ECANCELED);
	show(machine, iommu);
	iommu->busy[2] = false;
	if (rc == 0)
		rc = expect("the conversion", convert(machine, 0, 8, GMEM_PRIVATE, 0), 0);
	show(machine, iommu);
	return rc;
}

static int unplug(struct sim_machine *machine, struct iommu *iommu)
{
	int rc;

	printf("The memory is unplugged\n");
	rc = gmem_vm_unmap(machine->vm, 0, PAGES * machine->page);
	show(machine, iommu);
	return rc < 0 ? example_failed("gmem_vm_unmap", rc) : 0;
}

static int with_a_listener(struct sim_machine *machine, struct iommu *iommu)
{
	struct gmem_listener *listener = NULL;
	int rc;

	printf("It becomes a listener, and is told of what there is\n");
	rc = gmem_listener_new(machine->vm, GMEM_LISTEN_ALL, GMEM_LISTEN_RAM, 0, on_event, iommu,
			       NULL, &listener);
	if (rc < 0)
		return example_failed("gmem_listener_new", rc);
	show(machine, iommu);
	rc = conversions(machine, iommu);
	if (rc == 0)
		rc = a_refusal(machine, iommu);
	if (rc == 0)
		rc = unplug(machine, iommu);
	gmem_listener_free(listener);
	printf("In all %u maps and %u unmaps\n", iommu->maps, iommu->unmaps);
	return rc;
}

int main(void)
{
	struct sim_machine machine;
	struct iommu iommu = { 0 };
	int rc = sim_machine_open(&machine, GMEM_SIM_IN_PLACE, GMEM_VM_TYPE_SW_PROTECTED, NULL);

	if (rc == 0)
		rc = sim_machine_add_ram(&machine, PAGES);
	iommu.sim = machine.sim;
	iommu.page = machine.page;
	if (rc == 0)
		rc = without_a_listener(&machine, &iommu);
	if (rc == 0)
		rc = with_a_listener(&machine, &iommu);
	sim_machine_close(&machine);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
