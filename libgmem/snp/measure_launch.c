// SPDX-License-Identifier: LGPL-2.1-or-later
/* What VMMs launch: a firmware image with its metadata sections, and vCPUs. */
#include "snp/measure.h"

#include "log.h"
#include "range.h"
#include "snp/hashes.h"
#include "snp/ovmf.h"
#include "snp/vmsa.h"

#include <errno.h>
#include <stdlib.h>

/* The firmware part of a launch. */
struct plan {
	struct gmem_snp_measure *measure;
	const struct gmem_ovmf *ovmf;
	uint32_t vmm;
	const struct gmem_snp_hashes *hashes;
	bool has_hashes; /* the section for them was met */
	uint8_t page[SNP_PAGE_SIZE];
	uint32_t count;
	struct group groups[]; /* room for the image and all sections */
};

static const char add_ovmf[] = "gmem_snp_measure_add_ovmf";

static int report_no_hashes(const struct plan *plan)
{
	log_error(
		plan->measure->ctx,
		"%s: there are kernel hashes, but the image has no %s for them; it must have a table "
		"and a section of type 0x10, or there must be none",
		add_ovmf, plan->ovmf->info.hashes_size ? "section" : "table");
	return -ENOENT;
}

/* The table of hashes lies in the section's one page. */
static int check_hashes_section(const struct plan *plan, const struct gmem_ovmf_section *section)
{
	const struct gmem_ovmf_info *info = &plan->ovmf->info;

	if (info->hashes_size >= sizeof(struct kernel_hash_table) &&
	    section->size == SNP_PAGE_SIZE &&
	    range_covers(section->gpa, section->size, info->hashes_gpa,
			 sizeof(struct kernel_hash_table)))
		return 0;
	log_error(plan->measure->ctx,
		  "%s: the image's kernel hash table has %#x bytes at %#x, and the section for it "
		  "%#llx bytes at %#llx; the table must have at least %zu, and the section be a "
		  "page with these in it",
		  add_ovmf, info->hashes_size, info->hashes_gpa, (unsigned long long)section->size,
		  (unsigned long long)section->gpa, sizeof(struct kernel_hash_table));
	return -EBADMSG;
}

/* Gives the page of hashes its contents, which makes it a normal page. */
static int plan_hashes(struct plan *plan, const struct gmem_ovmf_section *section,
		       struct group *group)
{
	int rc;

	group->step.type = GMEM_SNP_PAGE_ZERO;
	if (!plan->hashes || !plan->ovmf->info.hashes_size)
		return 0;
	rc = check_hashes_section(plan, section);
	if (rc)
		return rc;
	gmem_hashes_fill_page(plan->hashes, plan->ovmf->info.hashes_gpa - (uint32_t)section->gpa,
			      plan->page);
	group->step.type = GMEM_SNP_PAGE_NORMAL;
	group->data = plan->page;
	plan->has_hashes = true;
	return 0;
}

static int plan_section(struct plan *plan, uint32_t index)
{
	const struct gmem_ovmf_section *section = &plan->ovmf->sections[index];
	struct group *group = &plan->groups[plan->count];

	*group = (struct group){
		.step = {
			.gpa = section->gpa,
			.pages = section->size / SNP_PAGE_SIZE,
			.section = index + 1,
			.section_type = section->type,
		},
	};
	plan->count++;
	switch (section->type) {
	case GMEM_OVMF_SEC_MEM:
		group->step.type = plan->vmm == GMEM_SNP_VMM_GCE ? GMEM_SNP_PAGE_UNMEASURED
								 : GMEM_SNP_PAGE_ZERO;
		return 0;
	case GMEM_OVMF_SECRETS:
		group->step.type = GMEM_SNP_PAGE_SECRETS;
		return 0;
	case GMEM_OVMF_CPUID:
		group->step.type = GMEM_SNP_PAGE_CPUID;
		return 0;
	case GMEM_OVMF_SVSM_CAA:
		group->step.type = GMEM_SNP_PAGE_ZERO;
		return 0;
	case GMEM_OVMF_KERNEL_HASHES:
		return plan_hashes(plan, section, group);
	default:
		log_error(
			plan->measure->ctx,
			"%s: metadata section %u of the image is of type %#x; it must be of type 1 "
			"to 4 or 0x10, for VMMs differ in what they do with others",
			add_ovmf, index + 1, section->type);
		return -EBADMSG;
	}
}

/* The sections that come at their turn, or those that come last. */
static int plan_sections(struct plan *plan, bool last)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < plan->ovmf->info.sections && !rc; i++) {
		const struct gmem_ovmf_section *section = &plan->ovmf->sections[i];
		bool comes_last = plan->vmm == GMEM_SNP_VMM_EC2 && section->type == GMEM_OVMF_CPUID;

		if (section->size && comes_last == last)
			rc = plan_section(plan, i);
	}
	return rc;
}

static int plan_launch(struct plan *plan)
{
	int rc;

	plan->groups[0] = (struct group){
		.step = {
			.gpa = plan->ovmf->info.gpa,
			.pages = plan->ovmf->size / SNP_PAGE_SIZE,
			.type = GMEM_SNP_PAGE_NORMAL,
		},
		.data = plan->ovmf->image,
	};
	plan->count = 1;
	rc = plan_sections(plan, false);
	if (!rc)
		rc = plan_sections(plan, true);
	if (!rc && plan->hashes && !plan->has_hashes)
		rc = report_no_hashes(plan);
	return rc;
}

static int check_ovmf(const struct gmem_snp_measure *measure, const struct gmem_ovmf *ovmf,
		      uint32_t vmm)
{
	if (ovmf && gmem_vmm_is_known(vmm))
		return 0;
	log_error(measure->ctx,
		  "%s: ovmf is %p and vmm is %u; ovmf must not be NULL, and vmm be "
		  "GMEM_SNP_VMM_*, 0 to %u",
		  add_ovmf, (const void *)ovmf, vmm, GMEM_SNP_VMM_GCE);
	return -EINVAL;
}

int gmem_snp_measure_add_ovmf(struct gmem_snp_measure *measure, const struct gmem_ovmf *ovmf,
			      uint32_t vmm, const struct gmem_snp_hashes *hashes)
{
	struct plan *plan;
	int rc = gmem_measure_check(measure, add_ovmf);

	if (!rc)
		rc = check_ovmf(measure, ovmf, vmm);
	if (rc)
		return rc;
	plan = calloc(1, sizeof(*plan) + (ovmf->info.sections + 1) * sizeof(plan->groups[0]));
	if (!plan) {
		log_error(measure->ctx, "%s: no memory for %u sections", add_ovmf,
			  ovmf->info.sections);
		return -ENOMEM;
	}
	plan->measure = measure;
	plan->ovmf = ovmf;
	plan->vmm = vmm;
	plan->hashes = hashes;
	rc = plan_launch(plan);
	if (!rc)
		rc = gmem_measure_add_groups(measure, add_ovmf, plan->groups, plan->count);
	free(plan);
	return rc;
}

/* vCPUs from first on, of which those that are not the boot processor are alike. */
int gmem_snp_measure_add_vcpus(struct gmem_snp_measure *measure, uint32_t vmm, uint32_t first,
			       uint32_t count, uint32_t ap_reset, uint32_t signature,
			       uint64_t features)
{
	const struct vmsa_source source = {
		.vmm = vmm,
		.ap_reset = ap_reset,
		.signature = signature,
		.features = features,
	};
	struct vmsa vmsas[2];
	struct group groups[2];
	uint32_t done, used = 0, next;
	int rc = gmem_measure_check(measure, "gmem_snp_measure_add_vcpus");

	if (rc)
		return rc;
	if (!gmem_vmm_is_known(vmm) || !count || __builtin_add_overflow(first, count, &next)) {
		log_error(
			measure->ctx,
			"gmem_snp_measure_add_vcpus: %u vCPUs from index %u by VMM %u; there must "
			"be 1 or more, %u at most in all, and the VMM be GMEM_SNP_VMM_*, 0 to %u",
			count, first, vmm, UINT32_MAX, GMEM_SNP_VMM_GCE);
		return -EINVAL;
	}
	for (done = 0; done < count; done += (uint32_t)groups[used++].step.pages) {
		bool is_first = first + done == 0;

		gmem_vmsa_fill(&source, is_first, &vmsas[used]);
		groups[used] = (struct group){
			.step = {
				.gpa = GMEM_SNP_VMSA_GPA,
				.pages = is_first ? 1 : count - done,
				.type = GMEM_SNP_PAGE_VMSA,
				.vcpu = first + done,
			},
			.data = (const uint8_t *)&vmsas[used],
			.is_repeated = true,
		};
	}
	rc = gmem_measure_add_groups(measure, "gmem_snp_measure_add_vcpus", groups, used);
	if (!rc)
		measure->vcpus = next;
	return rc;
}
