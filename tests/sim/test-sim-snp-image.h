/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VMM of the tests' own: loads an OVMF image as one of several VMMs does, and sets vCPUs up as
 * that one does, so that a launch has the digest which measuring tools predict.
 */
#ifndef TESTS_SIM_SNP_IMAGE_H
#define TESTS_SIM_SNP_IMAGE_H

#include "test-sim-snp-guest.h"

enum image_vmm { IMAGE_QEMU, IMAGE_EC2, IMAGE_GCE };

struct image {
	uint8_t *bytes;
	size_t size;
	enum image_vmm vmm;
	const uint8_t *hashes; /* a page of kernel hashes; NULL: none */
};

/* Where the image's hash table is, as OVMF says; within a page. */
uint32_t image_hashes_offset(const struct image *image);

/* Slots for everything, then all pages, in the order of this VMM. */
void image_load(const struct image *image, struct guest *guest);

/* Registers of the vCPU with this number; signature as CPUID has it. */
void image_set_vcpu(const struct image *image, struct guest *guest, int vcpu_fd, uint32_t number,
		    uint32_t signature);

#endif /* TESTS_SIM_SNP_IMAGE_H */
