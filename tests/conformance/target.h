/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernels to run the suite on. */
#ifndef CONFORMANCE_TARGET_H
#define CONFORMANCE_TARGET_H

#include "conformance.h"

/* What a case's process says goes here, and its exit status is one of these. */
#define RUNNER_FD 3
#define RUNNER_FAILED 1
#define RUNNER_SKIPPED 77
#define RUNNER_LOST 78

struct target {
	const char *name;
	const char *text;
	const struct driver *driver;
	uint32_t vm_type;
	/* Of the simulator: */
	uint32_t preset;
	uint64_t page_size;
	uint32_t sigbus; /* GMEM_SIM_SIGBUS_* */
	/* What it must turn out to have; NULL where that is to be found out. */
	const struct traits *traits;
};

extern const struct target targets[];
extern const unsigned int target_count;

extern const struct driver host_driver;
extern const struct driver simulator_driver;

uint32_t target_vm_type(const struct target *target);
const struct target *target_find(const char *name);

/* Opens the kernel and a VM, and finds out what it has. 0; or why not, in text. */
int target_open(const struct target *target, struct world *world, char *text, size_t size);
/* Closes what the case kept, the VM and the kernel. */
void target_close(struct world *world);

/* What the VM turns out to have. */
void target_probe(struct world *world, struct traits *traits);

#endif /* CONFORMANCE_TARGET_H */
