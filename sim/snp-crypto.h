/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the simulated firmware needs of cryptography: SHA-384, and ECDSA on the curve P-384. */
#ifndef SIM_SNP_CRYPTO_H
#define SIM_SNP_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define SNP_SHA384_SIZE 48u
#define SNP_P384_SIZE 48u /* of a number modulo the curve's prime or order */

/* A point of the curve, and a signature; numbers are big-endian. */
struct snp_p384_key {
	uint8_t x[SNP_P384_SIZE];
	uint8_t y[SNP_P384_SIZE];
};

struct snp_p384_signature {
	uint8_t r[SNP_P384_SIZE];
	uint8_t s[SNP_P384_SIZE];
};

/*
 * To be called, and to have succeeded, before either of the others. A program that has initialised
 * the library of cryptography itself is not interfered with. -EOPNOTSUPP: the one that is
 * installed is older than the one that this was built with may be.
 */
int gmem_sim_snp_crypto_start(void);

void gmem_sim_snp_sha384(const void *data, size_t size, uint8_t digest[SNP_SHA384_SIZE]);

/*
 * 0: key signed what has this digest. -EBADMSG: it did not. -EINVAL: the key is no point of the
 * curve. -ENOMEM.
 */
int gmem_sim_snp_p384_verify(const struct snp_p384_key *key,
			     const struct snp_p384_signature *signature,
			     const uint8_t digest[SNP_SHA384_SIZE]);

#endif /* SIM_SNP_CRYPTO_H */
