/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What KVM and the firmware know of one SNP VM, and the commands that are a file of their own. */
#ifndef SIM_SNP_LAUNCH_H
#define SIM_SNP_LAUNCH_H

#include "sim/snp-abi.h"
#include "sim/snp.h"

/* The guest's states that matter here; in the firmware the last two are LAUNCH and RUNNING. */
enum sim_snp_state {
	SIM_SNP_INITIALISED, /* INIT2 was done: KVM's alone to know */
	SIM_SNP_LAUNCHING,   /* START was done */
	SIM_SNP_RUNNING,     /* FINISH was done */
};

struct sim_snp {
	enum sim_snp_state state;
	bool vmsas_measured; /* by a FINISH, whether it succeeded or not */
	uint32_t sev_fd;     /* the number that START was given */
	uint64_t vmsa_features;
	uint64_t policy;
	uint8_t gosvw[16];
	uint8_t digest[SNP_DIGEST_SIZE];
};

/*
 * Of KVM_MEMORY_ENCRYPT_OP, on a VM whose INIT2 was done; command is a copy in whose error the
 * firmware's code goes. 0 or what the ioctl returns.
 */
int gmem_sim_snp_update(struct gmem_sim *sim, struct sim_vm *vm, struct sim_kvm_sev_cmd *command);
int gmem_sim_snp_finish(struct gmem_sim *sim, struct sim_vm *vm, struct sim_kvm_sev_cmd *command);

/*
 * Any open descriptor passes for the firmware's device. KVM looks a number up with each command,
 * so one that was closed meanwhile fails.
 */
bool gmem_sim_snp_is_open(uint32_t sev_fd);

#endif /* SIM_SNP_LAUNCH_H */
