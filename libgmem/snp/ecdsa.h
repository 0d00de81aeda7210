/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ECDSA on the curve P-384, of SHA-384 sums. All numbers are 48 bytes, big-endian.
 *
 * gmem_crypto_start() must have succeeded. Functions return 0, -EBADMSG where the numbers are
 * wrong, -ENOMEM, or -EIO where libgcrypt failed in another way; they send no message.
 */
#ifndef GMEM_SNP_ECDSA_H
#define GMEM_SNP_ECDSA_H

#include <stdint.h>

#define ECDSA_SIZE 48u

struct ecdsa_point {
	uint8_t x[ECDSA_SIZE];
	uint8_t y[ECDSA_SIZE];
};

struct ecdsa_signature {
	uint8_t r[ECDSA_SIZE];
	uint8_t s[ECDSA_SIZE];
};

/* A copy of a private number, in locked memory where that can be had. NULL: no memory. */
uint8_t *gmem_ecdsa_secret_new(const uint8_t value[ECDSA_SIZE]);
/* Wipes it. NULL is ignored. */
void gmem_ecdsa_secret_free(uint8_t *secret);

/* The public point; -EBADMSG: secret is not from 1 to the curve's order less 1. */
int gmem_ecdsa_derive(const uint8_t *secret, struct ecdsa_point *point);
/* -EBADMSG: it is no point of the curve. */
int gmem_ecdsa_check_point(const struct ecdsa_point *point);
/* Deterministic (RFC 6979) where libgcrypt has secure memory. */
int gmem_ecdsa_sign(const uint8_t *secret, const uint8_t digest[ECDSA_SIZE],
		    struct ecdsa_signature *signature);
/* point must have been checked. -EBADMSG: it did not sign this. */
int gmem_ecdsa_verify(const struct ecdsa_point *point, const uint8_t digest[ECDSA_SIZE],
		      const struct ecdsa_signature *signature);

#endif /* GMEM_SNP_ECDSA_H */
