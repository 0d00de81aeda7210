// SPDX-License-Identifier: LGPL-2.1-or-later
/* SNP_LAUNCH_FINISH: the vCPUs are measured, the ID block is judged, and the guest may run. */
#include "sim/snp-launch.h"

#include <errno.h>

#include "sim/snp-digest.h"
#include "sim/snp-id.h"
#include "sim/snp-vmsa.h"

static int measure_vcpus(struct sim_vm *vm, struct sim_snp *snp, uint32_t sev_fd)
{
	size_t count = gmem_sim_vm_vcpu_count(vm);
	struct snp_vmsa vmsa;

	if (count > 0 && !gmem_sim_snp_is_open(sev_fd))
		return -EBADF;
	for (size_t i = 0; i < count; i++) {
		struct sim_vcpu *vcpu = gmem_sim_vm_get_vcpu(vm, i);

		gmem_sim_snp_vmsa_build(gmem_sim_vcpu_get_state(vcpu), snp->vmsa_features, &vmsa);
		gmem_sim_snp_digest_extend(snp->digest, SNP_PAGE_VMSA, SNP_VMSA_GPA, &vmsa);
		snp->vmsas_measured = true;
		gmem_sim_vcpu_set_protected(vcpu);
	}
	return 0;
}

static int load_blob(struct gmem_sim *sim, void *blob, uint64_t address, size_t size)
{
	if (!address)
		return -EINVAL;
	return gmem_sim_copy_in(sim, blob, address, size);
}

static int load_id_block(struct gmem_sim *sim, const struct snp_launch_finish *params,
			 struct snp_id_block *block, struct snp_id_auth *auth)
{
	int ret;

	ret = load_blob(sim, block, params->id_block_uaddr, sizeof(*block));
	if (ret)
		return ret;
	return load_blob(sim, auth, params->id_auth_uaddr, sizeof(*auth));
}

/* What the firmware says of the guest as it was measured: 0, a SNP_FW_*, or a negative errno. */
static int judge(struct gmem_sim *sim, const struct sim_snp *snp,
		 const struct snp_launch_finish *params)
{
	struct snp_id_block block;
	struct snp_id_auth auth;
	int ret;

	if (params->id_block_en) {
		ret = load_id_block(sim, params, &block, &auth);
		if (ret)
			return ret;
	}
	/* Not the descriptor of this command but the number that START was given. */
	if (!gmem_sim_snp_is_open(snp->sev_fd))
		return -EBADF;
	if (!params->id_block_en)
		return 0;
	return gmem_sim_snp_id_check(&block, &auth, params->auth_key_en, snp->digest, snp->policy);
}

/*
 * KVM has nothing that keeps a second FINISH from handing over VMSAs that are the guest's already;
 * what comes of it is for the firmware, and none of it is a launch.
 */
static int refuse_again(struct sim_kvm_sev_cmd *command)
{
	command->error = SNP_FW_INVALID_GUEST_STATE;
	return -EIO;
}

int gmem_sim_snp_finish(struct gmem_sim *sim, struct sim_vm *vm, struct sim_kvm_sev_cmd *command)
{
	struct sim_snp *snp = gmem_sim_vm_get_snp(vm);
	struct snp_launch_finish params;
	int ret;

	if (snp->state == SIM_SNP_INITIALISED)
		return -EINVAL;
	if (gmem_sim_copy_in(sim, &params, command->data, sizeof(params)))
		return -EFAULT;
	if (params.flags)
		return -EINVAL;
	if (snp->state == SIM_SNP_RUNNING || snp->vmsas_measured)
		return refuse_again(command);
	ret = measure_vcpus(vm, snp, command->sev_fd);
	if (ret)
		return ret;
	ret = judge(sim, snp, &params);
	if (ret < 0)
		return ret;
	command->error = (uint32_t)ret;
	if (ret > 0)
		return -EIO;
	snp->state = SIM_SNP_RUNNING;
	gmem_sim_vm_set_launched(vm);
	return 0;
}
