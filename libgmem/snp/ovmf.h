/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A firmware image that was found to be whole. Nothing of it changes after it was made. */
#ifndef GMEM_SNP_OVMF_H
#define GMEM_SNP_OVMF_H

#include <gmem/ovmf.h>
#include <stddef.h>
#include <stdint.h>

struct gmem_ovmf {
	struct gmem_ctx *ctx;
	uint8_t *image;
	size_t size;
	const uint8_t *table; /* entries of the GUIDed table, in image; its footer is none of them */
	size_t table_size;
	struct gmem_ovmf_section *sections;
	struct gmem_ovmf_info info;
};

#endif /* GMEM_SNP_OVMF_H */
