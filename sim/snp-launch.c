// SPDX-License-Identifier: LGPL-2.1-or-later
/* KVM_MEMORY_ENCRYPT_OP on an SNP VM: from INIT2 to the start of the launch, and who does the rest. */
#include "sim/snp-launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sim/snp-crypto.h"

static_assert(SNP_DIGEST_SIZE == SIM_SNP_DIGEST_SIZE, "56860: the digest is SHA-384");
static_assert(SNP_PAGE_SIZE == SIM_SNP_PAGE_SIZE, "56860: pages are of 4 KiB");
static_assert(offsetof(struct sim_kvm_sev_cmd, id) == 0, "Linux asm/kvm.h, kvm_sev_cmd");
static_assert(offsetof(struct sim_kvm_sev_cmd, data) == 8, "Linux asm/kvm.h, kvm_sev_cmd");
static_assert(offsetof(struct sim_kvm_sev_cmd, error) == 16, "Linux asm/kvm.h, kvm_sev_cmd");
static_assert(offsetof(struct sim_kvm_sev_cmd, sev_fd) == 20, "Linux asm/kvm.h, kvm_sev_cmd");

/* Version of the firmware's interface: major in 15:8, minor in 7:0. A policy can ask for a least. */
#define FIRMWARE_ABI UINT64_C(0x0137)

bool gmem_sim_snp_is_open(uint32_t sev_fd)
{
	return fcntl((int)sev_fd, F_GETFD) >= 0;
}

static int init2(struct gmem_sim *sim, struct sim_vm *vm, const struct sim_kvm_sev_cmd *command)
{
	uint64_t features = gmem_sim_get_snp_features(sim) & ~SNP_FEATURE_ACTIVE;
	struct snp_init init;
	struct sim_snp *snp;

	if (gmem_sim_copy_in(sim, &init, command->data, sizeof(init)))
		return -EFAULT;
	if (gmem_sim_vm_vcpu_count(vm) > 0 || init.flags || (init.vmsa_features & ~features))
		return -EINVAL;
	if (init.ghcb_version && init.ghcb_version != SNP_GHCB_VERSION)
		return -EINVAL;
	snp = calloc(1, sizeof(*snp));
	if (!snp)
		return -ENOMEM;
	snp->state = SIM_SNP_INITIALISED;
	snp->vmsa_features = init.vmsa_features | SNP_FEATURE_ACTIVE;
	gmem_sim_vm_set_snp(vm, snp);
	return 0;
}

static bool is_policy_supported(const struct gmem_sim *sim, uint64_t policy)
{
	return (policy & SNP_POLICY_RESERVED_ONE) && !(policy & ~gmem_sim_get_snp_policy(sim));
}

static int start(struct gmem_sim *sim, struct sim_vm *vm, struct sim_kvm_sev_cmd *command)
{
	struct sim_snp *snp = gmem_sim_vm_get_snp(vm);
	struct snp_launch_start params;

	if (!snp)
		return -ENOTTY;
	if (gmem_sim_copy_in(sim, &params, command->data, sizeof(params)))
		return -EFAULT;
	if (snp->state != SIM_SNP_INITIALISED || params.flags)
		return -EINVAL;
	if (!is_policy_supported(sim, params.policy))
		return -EINVAL;
	if (!gmem_sim_snp_is_open(command->sev_fd))
		return -EBADF;
	if ((params.policy & SNP_POLICY_ABI) > FIRMWARE_ABI) {
		command->error = SNP_FW_POLICY_FAILURE;
		return -EIO;
	}
	snp->policy = params.policy;
	snp->sev_fd = command->sev_fd;
	memcpy(snp->gosvw, params.gosvw, sizeof(snp->gosvw));
	snp->state = SIM_SNP_LAUNCHING;
	command->error = SNP_FW_SUCCESS;
	return 0;
}

/* E5 */
static int enable_certs(const struct gmem_sim *sim, struct sim_vm *vm)
{
	if (!gmem_sim_has_snp_certs(sim) || !gmem_sim_vm_get_snp(vm) ||
	    gmem_sim_vm_vcpu_count(vm) > 0)
		return -EINVAL;
	gmem_sim_vm_set_certs(vm);
	return 0;
}

static int dispatch(struct gmem_sim *sim, struct sim_vm *vm, struct sim_kvm_sev_cmd *command)
{
	/* Commands below START are those of SEV and SEV-ES; an SNP VM has only the first of them. */
	if (gmem_sim_vm_get_snp(vm) && command->id < SNP_CMD_LAUNCH_START)
		return -EPERM;
	switch (command->id) {
	case SNP_CMD_INIT2:
		return init2(sim, vm, command);
	case SNP_CMD_LAUNCH_START:
		return start(sim, vm, command);
	case SNP_CMD_LAUNCH_UPDATE:
		return gmem_sim_vm_get_snp(vm) ? gmem_sim_snp_update(sim, vm, command) : -EINVAL;
	case SNP_CMD_LAUNCH_FINISH:
		return gmem_sim_vm_get_snp(vm) ? gmem_sim_snp_finish(sim, vm, command) : -ENOTTY;
	case SNP_CMD_ENABLE_REQ_CERTS:
		return enable_certs(sim, vm);
	default:
		return -EINVAL;
	}
}

int gmem_sim_snp_command(struct gmem_sim *sim, struct sim_vm *vm, uint64_t argument)
{
	struct sim_kvm_sev_cmd command;
	int ret = gmem_sim_snp_crypto_start();

	if (ret)
		return ret;
	/* Programs ask in this way whether SEV is there at all. */
	if (!argument)
		return 0;
	if (gmem_sim_copy_in(sim, &command, argument, sizeof(command)))
		return -EFAULT;
	ret = dispatch(sim, vm, &command);
	if (gmem_sim_copy_out(sim, argument, &command, sizeof(command)))
		return -EFAULT;
	return ret;
}

bool gmem_sim_snp_is_launching(const struct sim_vm *vm)
{
	const struct sim_snp *snp = gmem_sim_vm_get_snp(vm);

	return !snp || snp->state != SIM_SNP_RUNNING;
}

int gmem_sim_snp_get_digest(const struct sim_vm *vm, uint8_t digest[SIM_SNP_DIGEST_SIZE])
{
	const struct sim_snp *snp = gmem_sim_vm_get_snp(vm);
	int ret = gmem_sim_snp_crypto_start();

	if (ret)
		return ret;
	if (!snp || snp->state == SIM_SNP_INITIALISED)
		return -EPROTO;
	memcpy(digest, snp->digest, sizeof(snp->digest));
	return 0;
}

int gmem_sim_snp_get_attribute(const struct gmem_sim *sim, uint64_t attribute, uint64_t *value)
{
	switch (attribute) {
	case SNP_ATTRIBUTE_VMSA_FEATURES:
		*value = gmem_sim_get_snp_features(sim) & ~SNP_FEATURE_ACTIVE;
		return 0;
	case SNP_ATTRIBUTE_POLICY_BITS:
		*value = gmem_sim_get_snp_policy(sim);
		return 0;
	case SNP_ATTRIBUTE_REQ_CERTS:
		*value = 1;
		return gmem_sim_has_snp_certs(sim) ? 0 : -ENXIO;
	default:
		return -ENXIO;
	}
}

void gmem_sim_snp_free(struct sim_snp *snp)
{
	free(snp);
}
