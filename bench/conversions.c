// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Converts pages 10,000 times for bench/instructions.sh to count: everything that the library does
 * but the ioctl itself, which a door in front of the simulator answers with 0 at once.
 * usage: conversions convert|trusted|query|pin
 */
#include "libgmem/uapi/kvm.h"

#include <gmem.h>
#include <gmem/sim.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 10000u
#define PAGE UINT64_C(4096)
#define SECTION (UINT64_C(2) << 20)
#define SECTIONS 256u

static int64_t answer_at_once(uint32_t nr, const uint64_t *arg, void *opaque)
{
	const struct gmem_kernel *simulated = opaque;
	struct gmem_kvm_memory_attributes2 *request = (void *)(uintptr_t)arg[2];

	/* But for the library's first question, about one page of a file that is private. */
	if (nr == GMEM_SYS_IOCTL && (uint32_t)arg[1] == GMEM_KVM_SET_MEMORY_ATTRIBUTES2 &&
	    request->offset)
		return 0;
	return simulated->call(nr, arg, simulated->opaque);
}

struct setup {
	struct gmem_sim *sim;
	struct gmem_kernel simulated;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	struct gmem_region *region;
};

static int make_region(struct setup *setup)
{
	struct gmem_region_config *config;
	int rc = gmem_region_config_new(&config);

	if (rc)
		return rc;
	gmem_region_config_set_state(config, GMEM_SHARED);
	rc = gmem_region_new(setup->vm, SECTIONS * SECTION, config, &setup->region);
	gmem_region_config_free(config);
	return rc;
}

/* 256 sections, so that finding one costs what it costs. */
static int set_up(struct setup *setup)
{
	struct gmem_kernel kernel = { .call = answer_at_once, .opaque = &setup->simulated };
	unsigned int i;
	int rc;

	memset(setup, 0, sizeof(*setup));
	rc = gmem_sim_new(GMEM_SIM_IN_PLACE, &setup->sim);
	if (!rc)
		rc = gmem_sim_get_kernel(setup->sim, &setup->simulated);
	if (!rc)
		rc = gmem_ctx_new(&setup->ctx);
	if (rc)
		return rc;
	gmem_ctx_set_kernel(setup->ctx, &kernel);
	rc = gmem_vm_new(setup->ctx, gmem_sim_create_vm(setup->sim, GMEM_VM_TYPE_SW_PROTECTED),
			 NULL, &setup->vm);
	if (!rc)
		rc = make_region(setup);
	for (i = 0; i < SECTIONS && !rc; i++)
		rc = gmem_vm_map(setup->vm, i * 2 * SECTION, setup->region, i * SECTION, SECTION,
				 GMEM_SLOT_AUTO, 0);
	return rc;
}

static void tear_down(struct setup *setup)
{
	gmem_vm_free(setup->vm);
	gmem_region_free(setup->region);
	gmem_ctx_free(setup->ctx);
	gmem_sim_free(setup->sim);
}

/* A page of any section, never the first of the file. */
static uint64_t next_page(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + 1;
	return (*random >> 33) % SECTIONS * 2 * SECTION +
	       (1 + (*random >> 41) % (SECTION / PAGE - 1)) * PAGE;
}

static int round_of(const char *what, struct gmem_vm *vm, uint64_t gpa)
{
	struct gmem_report report;
	struct gmem_pin pin;
	int rc;

	if (!strcmp(what, "trusted"))
		return gmem_vm_convert(vm, gpa, PAGE, GMEM_SHARED, GMEM_CONVERT_TRUST_STATE,
				       &report);
	if (!strcmp(what, "query"))
		return gmem_vm_get_state(vm, gpa, PAGE) != GMEM_SHARED;
	if (!strcmp(what, "pin")) {
		rc = gmem_vm_pin(vm, gpa, PAGE, 0, &pin);
		gmem_vm_unpin(vm, &pin);
		return rc;
	}
	rc = gmem_vm_convert(vm, gpa, PAGE, GMEM_PRIVATE, 0, &report);
	return rc ? rc : gmem_vm_convert(vm, gpa, PAGE, GMEM_SHARED, 0, &report);
}

int main(int argc, char **argv)
{
	struct setup setup;
	uint64_t random = 1;
	unsigned int i;
	int rc;

	if (argc != 2) {
		fprintf(stderr, "usage: conversions convert|trusted|query|pin\n");
		return 2;
	}
	rc = set_up(&setup);
	for (i = 0; i < ROUNDS && !rc; i++)
		rc = round_of(argv[1], setup.vm, next_page(&random));
	tear_down(&setup);
	return rc != 0;
}
