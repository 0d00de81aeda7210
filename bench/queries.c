// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Asks 10,000 times for the state of a page, in a VM of so many sections, for bench/instructions.sh
 * to count. usage: queries SECTIONS
 */
#include <gmem.h>
#include <stdio.h>
#include <stdlib.h>

#define QUERIES 10000u
#define SECTION (UINT64_C(2) << 20)

/* Sections with holes as large between them, so that neither can be told from the address. */
static int map_sections(struct gmem_vm *vm, struct gmem_region *region, unsigned int sections)
{
	struct gmem_change *change;
	unsigned int i;
	int rc = gmem_change_new(vm, &change);

	for (i = 0; i < sections && !rc; i++)
		rc = gmem_change_map(change, i * 2 * SECTION, region, i * SECTION, SECTION,
				     GMEM_SLOT_AUTO, 0);
	if (!rc)
		rc = gmem_change_commit(change);
	gmem_change_free(change);
	return rc;
}

static int query(struct gmem_vm *vm, unsigned int sections)
{
	uint64_t random = 1;
	unsigned int i;

	for (i = 0; i < QUERIES; i++) {
		uint64_t section;

		random = random * UINT64_C(6364136223846793005) + 1;
		section = (random >> 33) % sections;
		if (gmem_vm_get_state(vm, section * 2 * SECTION + 0x1000, 4096) != GMEM_SHARED)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int sections = argc == 2 ? (unsigned int)strtoul(argv[1], NULL, 10) : 0;
	struct gmem_region *region = NULL;
	struct gmem_vm *vm = NULL;
	int rc;

	if (!sections || sections > GMEM_SECTIONS_MAX) {
		fprintf(stderr, "usage: queries SECTIONS, 1 to %u\n", GMEM_SECTIONS_MAX);
		return 2;
	}
	rc = gmem_vm_new(NULL, -1, NULL, &vm);
	if (!rc)
		rc = gmem_region_new(vm, sections * SECTION, NULL, &region);
	if (!rc)
		rc = map_sections(vm, region, sections);
	if (!rc)
		rc = query(vm, sections);
	gmem_region_free(region);
	gmem_vm_free(vm);
	return rc != 0;
}
