/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A simulated SNP VM with a file that holds its memory, for the tests of the firmware. */
#ifndef TESTS_SIM_SNP_GUEST_H
#define TESTS_SIM_SNP_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gmem/sim.h>

#include "sim/kvm.h"
#include "sim/snp-abi.h"

/* Where the tests' memory is, unless they say otherwise: one slot. */
#define GUEST_BASE UINT64_C(0x100000)
#define GUEST_SIZE UINT64_C(0x40000)

/* How pages get their contents, and what tracks which are private. */
enum guest_mode {
	GUEST_LEGACY,   /* per VM; copied from elsewhere */
	GUEST_SPLIT,    /* per guest_memfd; copied from elsewhere */
	GUEST_IN_PLACE, /* per guest_memfd; written through the file's mapping */
	GUEST_MODES,
};

#define GUEST_SLOTS 4u
#define GUEST_VCPUS 64u

struct guest_slot {
	uint64_t gpa;
	uint64_t size;
	int fd;
	uint8_t *shared; /* the mapping of the file, or anonymous memory */
};

struct guest {
	enum guest_mode mode;
	struct gmem_sim *sim;
	struct gmem_kernel kernel;
	int vm;
	int sev_fd;
	struct guest_slot slot[GUEST_SLOTS];
	uint32_t slots;
	int vcpu[GUEST_VCPUS];
	uint32_t vcpus;
};

#define GUEST_POLICY UINT64_C(0x30000)
#define GUEST_FEATURES UINT64_C(0x221) /* what the simulated KVM offers: bits 0, 5 and 9 */

/* A VM without memory, on which nothing was done yet. Failures are failed assertions. */
void guest_new(struct guest *guest, enum guest_mode mode);
/* The same with a setting of gmem_sim_set(). */
void guest_new_with(struct guest *guest, enum guest_mode mode, uint32_t setting, uint64_t value);
void guest_free(struct guest *guest);

int64_t guest_ioctl(struct guest *guest, int fd, uint32_t request, void *argument);

/* Memory: all private but in place, where it starts shared. */
void guest_add_slot(struct guest *guest, uint64_t gpa, uint64_t size);
int guest_convert(struct guest *guest, uint64_t gpa, uint64_t size, bool private);
/* The host's side of a page that is shared. */
uint8_t *guest_host(struct guest *guest, uint64_t gpa);

/* One command. error goes in as it is and comes out as the kernel left it; NULL: not looked at. */
int guest_command(struct guest *guest, uint32_t id, void *data, uint32_t *error);
int guest_init2(struct guest *guest, uint64_t features);
int guest_start(struct guest *guest, uint64_t policy);
int guest_update(struct guest *guest, uint8_t type, uint64_t gpa, const void *contents,
		 uint64_t size, uint32_t *error);
int guest_finish(struct guest *guest, uint32_t *error);

/* INIT2 and START, with a slot at GUEST_BASE. */
void guest_launch(struct guest *guest, enum guest_mode mode);

/*
 * Hands pages over as the guest's mode does it, over as many commands as it takes. What is in
 * place must be shared before.
 */
void guest_load(struct guest *guest, uint8_t type, uint64_t gpa, const void *contents,
		uint64_t size);

void guest_get_digest(struct guest *guest, uint8_t digest[SNP_DIGEST_SIZE]);

/* Returns the vCPU's descriptor, which guest_free() closes. */
int guest_add_vcpu(struct guest *guest);

/* What most tests load: bytes that differ. */
#define GUEST_SOURCE_PAGES 8u
extern uint8_t guest_source[GUEST_SOURCE_PAGES * SNP_PAGE_SIZE];
void guest_fill_source(void);

/* Has them filled in before. */
void guest_for_each_mode(void (*check)(enum guest_mode mode));
struct snp_launch_update guest_update_of(uint8_t type, uint64_t gpa, const void *contents,
					 uint64_t size);
/* In place memory starts shared. */
void guest_launch_private(struct guest *guest, enum guest_mode mode);
/* The command must fail, and nothing may have come of it. */
void guest_expect_refused(struct guest *guest, const struct snp_launch_update *params, int result,
			  uint32_t fw_error);
/* What the guest reads, once it runs. */
void guest_expect_reads(struct guest *guest, int vcpu, uint64_t gpa, const void *expected);

#endif /* TESTS_SIM_SNP_GUEST_H */
