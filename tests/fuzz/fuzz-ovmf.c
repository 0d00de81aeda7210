// SPDX-License-Identifier: LGPL-2.1-or-later
/* Fuzzes the reading of firmware images, and the measuring of those that are taken. */
#include "fuzz.h"

#include <errno.h>
#include <gmem.h>
#include <stdbool.h>
#include <string.h>

#define PAGE 4096u
/* What is read lies at an image's end, so inputs are ends of images, and small. */
#define INPUT_MAX (4u * PAGE)
/* Pages of sections that are worth the time to measure. */
#define MEASURED_MAX 64u

/* The sections that were taken keep what the header promises. Returns how many pages they have. */
static uint64_t judge_sections(const struct gmem_ovmf *ovmf, const struct gmem_ovmf_info *info)
{
	struct gmem_ovmf_section a, b;
	uint64_t pages = 0;
	uint32_t i, j;

	for (i = 0; i < info->sections; i++) {
		promise(gmem_ovmf_get_section(ovmf, i, &a) == 0);
		if (!a.size)
			continue;
		promise(a.gpa % PAGE == 0 && a.size % PAGE == 0);
		promise(a.gpa + a.size <= info->gpa);
		for (j = 0; j < i; j++) {
			promise(gmem_ovmf_get_section(ovmf, j, &b) == 0);
			promise(!b.size || a.gpa + a.size <= b.gpa || b.gpa + b.size <= a.gpa);
		}
		pages += a.size / PAGE;
	}
	promise(gmem_ovmf_get_section(ovmf, info->sections, &a) == -ENOENT);
	return pages;
}

/* Every byte of an entry that is found can be read. */
static void judge_entries(const struct gmem_ovmf *ovmf, const uint8_t *image, size_t size)
{
	const void *data = NULL;
	uint8_t sum = 0;
	size_t at, length = 0;

	for (at = size - 512; at + 16 <= size; at++) {
		if (gmem_ovmf_find(ovmf, image + at, &data, &length))
			continue;
		promise(length <= size);
		for (size_t i = 0; i < length; i++)
			sum ^= ((const uint8_t *)data)[i];
	}
	*(volatile uint8_t *)&sum = sum;
}

static void measure(const struct gmem_ovmf *ovmf, uint32_t vmm, bool with_hashes)
{
	static const struct gmem_snp_hashes hashes;
	struct gmem_snp_measure *measure;
	int rc = gmem_snp_measure_new(NULL, NULL, &measure);

	if (rc == -EOPNOTSUPP)
		return;
	promise(rc == 0);
	rc = gmem_snp_measure_add_ovmf(measure, ovmf, vmm, with_hashes ? &hashes : NULL);
	promise(rc == 0 || rc == -EBADMSG || (with_hashes && rc == -ENOENT));
	gmem_snp_measure_free(measure);
}

static void judge(const struct gmem_ovmf *ovmf, const uint8_t *image, size_t size)
{
	struct gmem_ovmf_info info;

	promise(gmem_ovmf_get_info(ovmf, &info) == 0);
	promise(info.size == size && info.gpa == 0x100000000 - size);
	promise(info.sections <= GMEM_OVMF_SECTIONS_MAX);
	judge_entries(ovmf, image, size);
	if (judge_sections(ovmf, &info) > MEASURED_MAX)
		return;
	measure(ovmf, GMEM_SNP_VMM_EC2, true);
	measure(ovmf, GMEM_SNP_VMM_GCE, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = (size + PAGE - 1) / PAGE * PAGE;
	struct gmem_ovmf *ovmf;
	uint8_t *image;
	int rc;

	if (size > INPUT_MAX)
		return 0;
	if (!room)
		room = PAGE;
	image = calloc(1, room);
	promise(image);
	if (size)
		memcpy(image + room - size, data, size);
	rc = gmem_ovmf_new(NULL, image, room, &ovmf);
	promise(rc == 0 || (rc == -EBADMSG && !ovmf));
	if (!rc)
		judge(ovmf, image, room);
	gmem_ovmf_free(ovmf);
	free(image);
	return 0;
}
