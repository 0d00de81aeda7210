/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page of kernel hashes, by which measured firmware knows what it is to boot. */
#ifndef GMEM_SNP_HASHES_H
#define GMEM_SNP_HASHES_H

#include "snp/abi.h"

#include <gmem/measure.h>

/* Fills a page: zeros, and the table at an offset that it fits at. */
void gmem_hashes_fill_page(const struct gmem_snp_hashes *hashes, uint32_t offset,
			   uint8_t page[SNP_PAGE_SIZE]);

#endif /* GMEM_SNP_HASHES_H */
