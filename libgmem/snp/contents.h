/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-384 of many pages, each of different contents hashed once. */
#ifndef GMEM_SNP_CONTENTS_H
#define GMEM_SNP_CONTENTS_H

#include "snp/crypto.h"

#include <stddef.h>
#include <stdint.h>

/* More than these no index here can name; 16 TiB of pages. */
#define CONTENTS_PAGES_MAX (UINT32_MAX - 1u)

struct contents_page {
	uint32_t same_as; /* first page with the same contents: this one, or one before */
	uint8_t digest[SHA384_SIZE]; /* of the first such page alone */
};

struct contents {
	struct contents_page *pages;
};

/*
 * Hashes count pages of 4 KiB, 1 to CONTENTS_PAGES_MAX, by as many threads as can be had up to
 * threads. 0: gmem_contents_free() has to follow; -ENOMEM, -EOPNOTSUPP (libgcrypt has stopped).
 */
int gmem_contents_hash(struct contents *contents, const uint8_t *data, uint32_t count,
		       uint32_t threads);
void gmem_contents_free(struct contents *contents);
const uint8_t *gmem_contents_get(const struct contents *contents, uint32_t page);

#endif /* GMEM_SNP_CONTENTS_H */
