/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which launch gives a digest: guesses that differ from the launch described in one thing or in
 * several are measured, the nearest first.
 */
#ifndef GMEM_MEASURE_SEARCH_H
#define GMEM_MEASURE_SEARCH_H

#include "gmem-measure.h"

/* What is taken for kernel, initrd and command line. */
enum boot {
	BOOT_AS_GIVEN,
	BOOT_NO_HASHES, /* a kernel is given, but its hashes are not measured */
	BOOT_NO_INITRD,
	BOOT_NO_APPEND,
	BOOT_NEITHER, /* no initrd, no command line */
	BOOT_TRIMMED, /* command line without blanks at its ends */
	BOOT_NEWLINE, /* command line with a newline at its end */
	BOOTS,
};

/* How vCPUs start. */
enum start {
	START_AS_GIVEN, /* --vmsa */
	START_QEMU,
	START_KVM,
	START_EC2,
	START_EC2_RDX_0, /* as some measuring tools have it */
	START_GCE,
	STARTS,
};

struct guess {
	enum boot boot;
	uint32_t vmm; /* whose order of the firmware's pages */
	enum start start;
	uint32_t signature; /* START_QEMU */
	uint64_t features;
	uint32_t distance; /* from the launch described, vCPUs aside */
};

struct search {
	const struct launch *launch;
	const struct options *options;
	const struct report *report; /* NULL: none */
	const uint8_t *target;
	uint32_t max_vcpus; /* set by search_run(), as all below */
	uint64_t tried;
	bool found;
	struct guess guess;
	uint32_t vcpus; /* 0: the firmware alone, without any */
	uint32_t distance;
};

/* 0, or a negative errno of which libgmem has said why. */
int search_run(struct search *search);
extern const char *const boot_names[BOOTS];
const char *start_name(const struct guess *guess);

#endif /* GMEM_MEASURE_SEARCH_H */
