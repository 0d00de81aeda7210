/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private keys as they stand in files: PEM (RFC 7468) or DER, SEC 1 (RFC 5915) or PKCS #8 (RFC 5958). */
#ifndef GMEM_SNP_KEY_FILE_H
#define GMEM_SNP_KEY_FILE_H

#include "snp/ecdsa.h"

#include <stddef.h>
#include <stdint.h>

enum key_point {
	KEY_POINT_NONE,
	KEY_POINT_WHOLE,
	KEY_POINT_COMPRESSED, /* x, and whether y is odd */
};

/* What a file says, which need not be right. The caller wipes it. */
struct key_numbers {
	uint8_t secret[ECDSA_SIZE];
	enum key_point form;
	struct ecdsa_point point; /* compressed: y is 0 or 1 */
};

/*
 * 0; -EBADMSG: it is no private key on P-384, and why says what it is, in words that follow "the
 * key"; -ENOMEM. After a failure numbers holds nothing of the key.
 */
int gmem_key_file_read(const void *data, size_t size, struct key_numbers *numbers,
		       const char **why);

/* The same of DER alone: all of it is the key. */
int gmem_key_der_read(const uint8_t *data, size_t size, struct key_numbers *numbers,
		      const char **why);

#endif /* GMEM_SNP_KEY_FILE_H */
