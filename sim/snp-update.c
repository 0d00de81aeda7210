// SPDX-License-Identifier: LGPL-2.1-or-later
/* SNP_LAUNCH_UPDATE: KVM's arguments and its walk over the pages, and the firmware's part of it. */
#include "sim/snp-launch.h"

#include <errno.h>
#include <string.h>

#include "sim/snp-cpuid.h"
#include "sim/snp-crypto.h"
#include "sim/snp-digest.h"

/* Version of the secrets page, and what it says of the processor: an EPYC of 2021. */
#define SECRETS_VERSION 3u
#define SECRETS_FMS 0x00a00f11u

/* One page on its way to the firmware. */
struct populate {
	struct gmem_sim *sim;
	struct sim_snp *snp;
	struct sim_guest_page page;
	uint64_t source; /* 0: in the page already, or nothing */
	uint8_t type;
	union {
		uint8_t byte[SNP_PAGE_SIZE];
		struct snp_cpuid_page cpuid;
		struct snp_secrets_page secrets;
	} contents;
	uint32_t fw_error;
};

static bool is_type(uint8_t type)
{
	switch (type) {
	case SNP_PAGE_NORMAL:
	case SNP_PAGE_ZERO:
	case SNP_PAGE_UNMEASURED:
	case SNP_PAGE_SECRETS:
	case SNP_PAGE_CPUID:
		return true;
	default:
		return false;
	}
}

static bool is_source(const struct sim_vm *vm, uint64_t address)
{
	if (address == 0)
		return gmem_sim_vm_tracks_per_file(vm);
	return address % SNP_PAGE_SIZE == 0;
}

static int check_arguments(const struct sim_vm *vm, const struct snp_launch_update *params)
{
	if (params->len == 0 || params->len % SNP_PAGE_SIZE || params->flags ||
	    !is_type(params->type))
		return -EINVAL;
	if (params->type != SNP_PAGE_ZERO && !is_source(vm, params->uaddr))
		return -EINVAL;
	return params->gfn_start > UINT64_MAX / SNP_PAGE_SIZE ? -EINVAL : 0;
}

/* The keys are no secret here, and the same in every run; the digest is another at every page. */
static void make_secrets(const struct sim_snp *snp, struct snp_secrets_page *page)
{
	struct {
		uint8_t digest[SNP_DIGEST_SIZE];
		uint64_t key;
	} seed = { 0 };
	uint8_t hash[SNP_SHA384_SIZE];

	*page = (struct snp_secrets_page){ .version = SECRETS_VERSION, .fms = SECRETS_FMS };
	memcpy(page->gosvw, snp->gosvw, sizeof(page->gosvw));
	memcpy(seed.digest, snp->digest, sizeof(seed.digest));
	for (size_t i = 0; i < sizeof(page->vmpck) / sizeof(page->vmpck[0]); i++) {
		seed.key = i;
		gmem_sim_snp_sha384(&seed, sizeof(seed), hash);
		memcpy(page->vmpck[i], hash, sizeof(page->vmpck[i]));
	}
}

/* What the firmware does to the contents; a SNP_FW_*. */
static uint32_t firmware_prepare(struct populate *populate)
{
	const struct gmem_sim_cpuid *limit;
	size_t limits;

	if (populate->snp->state != SIM_SNP_LAUNCHING)
		return SNP_FW_INVALID_GUEST_STATE;
	switch (populate->type) {
	case SNP_PAGE_ZERO:
		memset(&populate->contents, 0, sizeof(populate->contents));
		return SNP_FW_SUCCESS;
	case SNP_PAGE_SECRETS:
		make_secrets(populate->snp, &populate->contents.secrets);
		return SNP_FW_SUCCESS;
	case SNP_PAGE_CPUID:
		limits = gmem_sim_get_cpuid_limits(populate->sim, &limit);
		return gmem_sim_snp_cpuid_correct(&populate->contents.cpuid, limit, limits)
			       ? SNP_FW_INVALID_PARAMETER
			       : SNP_FW_SUCCESS;
	default:
		return SNP_FW_SUCCESS;
	}
}

/* KVM takes the page back, and passes on what the firmware made of a CPUID table. */
static int refuse(struct populate *populate)
{
	if (populate->type == SNP_PAGE_CPUID && populate->fw_error == SNP_FW_INVALID_PARAMETER) {
		/* In place the page is the source. That a source is read-only KVM passes over. */
		if (populate->source)
			(void)gmem_sim_copy_out(populate->sim, populate->source,
						populate->contents.byte, SNP_PAGE_SIZE);
		(void)gmem_sim_write_guest_page(&populate->page, populate->contents.byte);
	}
	return -EIO;
}

static int load_contents(struct populate *populate)
{
	if (populate->type == SNP_PAGE_ZERO)
		return 0;
	if (populate->source)
		return gmem_sim_copy_in(populate->sim, populate->contents.byte, populate->source,
					SNP_PAGE_SIZE);
	return gmem_sim_read_guest_page(&populate->page, populate->contents.byte);
}

/* 0; any error: it becomes the EIO of the whole command, with fw_error. */
static int populate_page(struct populate *populate)
{
	int ret;

	if (!populate->page.file || !populate->page.is_private || populate->page.is_assigned)
		return -EINVAL;
	ret = load_contents(populate);
	if (ret)
		return ret;
	populate->fw_error = firmware_prepare(populate);
	if (populate->fw_error)
		return refuse(populate);
	ret = gmem_sim_write_guest_page(&populate->page, populate->contents.byte);
	if (ret)
		return ret;
	ret = gmem_sim_assign_guest_page(&populate->page);
	if (ret)
		return ret;
	gmem_sim_snp_digest_extend(populate->snp->digest, populate->type, populate->page.gpa,
				   populate->contents.byte);
	return 0;
}

static uint64_t count_pages(const struct gmem_sim *sim, const struct snp_launch_update *params,
			    const struct sim_guest_page *first)
{
	uint64_t count = (first->slot_end - first->gpa) / SNP_PAGE_SIZE;
	uint64_t limit = gmem_sim_get_snp_pages(sim);

	if (count > params->len / SNP_PAGE_SIZE)
		count = params->len / SNP_PAGE_SIZE;
	return limit && count > limit ? limit : count;
}

/* How many pages were done. Fewer than count: the next one failed. */
static uint64_t populate_pages(struct sim_vm *vm, struct populate *populate,
			       const struct snp_launch_update *params, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t gpa = (params->gfn_start + i) * SNP_PAGE_SIZE;

		if (gmem_sim_find_guest_page(vm, gpa, &populate->page))
			return i;
		populate->source = 0;
		if (params->type != SNP_PAGE_ZERO && params->uaddr)
			populate->source = params->uaddr + i * SNP_PAGE_SIZE;
		if (populate_page(populate))
			return i;
	}
	return count;
}

int gmem_sim_snp_update(struct gmem_sim *sim, struct sim_vm *vm, struct sim_kvm_sev_cmd *command)
{
	struct populate populate = { .sim = sim, .snp = gmem_sim_vm_get_snp(vm) };
	struct snp_launch_update params;
	uint64_t done = 0;
	int ret;

	if (populate.snp->state == SIM_SNP_INITIALISED)
		return -EINVAL;
	if (gmem_sim_copy_in(sim, &params, command->data, sizeof(params)))
		return -EFAULT;
	ret = check_arguments(vm, &params);
	if (ret)
		return ret;
	if (gmem_sim_find_guest_page(vm, params.gfn_start * SNP_PAGE_SIZE, &populate.page))
		return -EINVAL;
	populate.type = params.type;
	/* Like every error of the walk this one comes out as EIO. */
	if (gmem_sim_snp_is_open(command->sev_fd))
		done = populate_pages(vm, &populate, &params,
				      count_pages(sim, &params, &populate.page));
	if (done == 0) {
		command->error = populate.fw_error;
		return -EIO;
	}
	params.gfn_start += done;
	params.len -= done * SNP_PAGE_SIZE;
	if (params.type != SNP_PAGE_ZERO && params.uaddr)
		params.uaddr += done * SNP_PAGE_SIZE;
	return gmem_sim_copy_out(sim, command->data, &params, sizeof(params));
}
