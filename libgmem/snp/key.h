/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys from inside, and how their numbers stand in the firmware's structures. */
#ifndef GMEM_SNP_KEY_H
#define GMEM_SNP_KEY_H

#include "snp/ecdsa.h"
#include "snp/id.h"

#include <gmem/id.h>
#include <stdbool.h>

struct gmem_snp_key {
	struct gmem_ctx *ctx;
	struct ecdsa_point point;
	uint8_t digest[GMEM_SNP_DIGEST_SIZE];
	uint8_t *secret;       /* NULL: sign has it */
	gmem_snp_sign_fn sign; /* NULL: secret */
	void *opaque;
	gmem_free_fn free_fn;
};

/*
 * Signs a digest, and verifies the signature. who is the public function and what the signature is
 * of, for the message.
 */
int gmem_snp_key_sign(const struct gmem_snp_key *key, const char *who, const char *what,
		      const uint8_t digest[GMEM_SNP_DIGEST_SIZE],
		      struct ecdsa_signature *signature);

/* Sends the message for what ecdsa.h or crypto.h returned: any but -EBADMSG. Returns error. */
int gmem_snp_report(struct gmem_ctx *ctx, const char *who, int error);

void gmem_snp_put_number(uint8_t to[SNP_NUMBER_SIZE], const uint8_t from[ECDSA_SIZE]);
/* False where it has more than 48 bytes. */
bool gmem_snp_get_number(uint8_t to[ECDSA_SIZE], const uint8_t from[SNP_NUMBER_SIZE]);
void gmem_snp_put_key(struct snp_public_key *to, const struct ecdsa_point *from);

#endif /* GMEM_SNP_KEY_H */
