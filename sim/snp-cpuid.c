// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the simulated firmware makes of a CPUID page. */
#include "sim/snp-cpuid.h"

#include <string.h>

static void correct_entry(struct snp_cpuid_entry *entry, const struct gmem_sim_cpuid *limit,
			  size_t limits)
{
	entry->reserved = 0;
	for (size_t i = 0; i < limits; i++) {
		if (limit[i].leaf != entry->eax_in || limit[i].subleaf != entry->ecx_in)
			continue;
		entry->eax &= limit[i].eax;
		entry->ebx &= limit[i].ebx;
		entry->ecx &= limit[i].ecx;
		entry->edx &= limit[i].edx;
	}
}

bool gmem_sim_snp_cpuid_correct(struct snp_cpuid_page *page, const struct gmem_sim_cpuid *limit,
				size_t limits)
{
	struct snp_cpuid_page before = *page;

	if (page->count > SNP_CPUID_ENTRIES)
		page->count = SNP_CPUID_ENTRIES;
	page->reserved1 = 0;
	page->reserved2 = 0;
	for (uint32_t i = 0; i < page->count; i++)
		correct_entry(&page->entry[i], limit, limits);
	return memcmp(&before, page, sizeof(before)) != 0;
}
