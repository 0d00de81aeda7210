// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Prints what libgmem makes of a firmware image, as tests/data/snp/measure.py does:
 *   measure-image IMAGE VMM VCPUS SIGNATURE FEATURES
 */
#include <gmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
	fprintf(stderr, "measure-image: %s\n", what);
	exit(1);
}

static struct gmem_ovmf *read_image(const char *path)
{
	static uint8_t bytes[GMEM_OVMF_SIZE_MAX];
	FILE *file = fopen(path, "rb");
	struct gmem_ovmf *ovmf;
	size_t size;

	if (!file)
		die("the image cannot be opened");
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	if (gmem_ovmf_new(NULL, bytes, size, &ovmf))
		die("the image is refused");
	return ovmf;
}

static uint32_t vmm_of(const char *name)
{
	if (strcmp(name, "ec2") == 0)
		return GMEM_SNP_VMM_EC2;
	return strcmp(name, "gce") == 0 ? GMEM_SNP_VMM_GCE : GMEM_SNP_VMM_QEMU;
}

static uint64_t number(const char *text, int base)
{
	return strtoull(text, NULL, base);
}

int main(int argc, char **argv)
{
	uint8_t digest[GMEM_SNP_DIGEST_SIZE];
	struct gmem_snp_measure *measure;
	struct gmem_ovmf_info info;
	struct gmem_ovmf *ovmf;
	uint32_t vmm;
	size_t i;

	if (argc != 6)
		die("needs IMAGE VMM VCPUS SIGNATURE FEATURES");
	ovmf = read_image(argv[1]);
	vmm = vmm_of(argv[2]);
	if (gmem_ovmf_get_info(ovmf, &info) || gmem_snp_measure_new(NULL, NULL, &measure) ||
	    gmem_snp_measure_add_ovmf(measure, ovmf, vmm, NULL) ||
	    gmem_snp_measure_add_vcpus(measure, vmm, 0, (uint32_t)number(argv[3], 10),
				       info.ap_reset, (uint32_t)number(argv[4], 16),
				       number(argv[5], 16)) ||
	    gmem_snp_measure_get_digest(measure, digest))
		die("the image cannot be measured");
	for (i = 0; i < sizeof(digest); i++)
		printf("%02x", digest[i]);
	printf(" %u\n", info.sections);
	gmem_snp_measure_free(measure);
	gmem_ovmf_free(ovmf);
	return 0;
}
