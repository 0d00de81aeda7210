/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hashing, and the start of the library that does it. In a build without libgcrypt
 * gmem_crypto_start() says so, and nothing else here is reached.
 */
#ifndef GMEM_SNP_CRYPTO_H
#define GMEM_SNP_CRYPTO_H

#include <gmem/ctx.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32u
#define SHA384_SIZE 48u

/*
 * To be called, and to have succeeded, by every public function that comes to use libgcrypt; any
 * number of times, by any number of threads at once. A program that initialises libgcrypt itself
 * is not interfered with: what it has begun it also finishes.
 *
 * who: the public function, for the message. -EOPNOTSUPP, and one message: this build has no
 * libgcrypt, or the one that is installed is too old or may not hash (FIPS mode).
 */
int gmem_crypto_start(struct gmem_ctx *ctx, const char *who);

/*
 * 0, or -EOPNOTSUPP and no message: libgcrypt has stopped working since it was started, as it does
 * in FIPS mode after a failed self-test. data may be NULL when size is 0.
 */
int gmem_crypto_sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE]);
int gmem_crypto_sha384(const void *data, size_t size, uint8_t digest[SHA384_SIZE]);

/* The one message for such a failure of a hash. Returns -EOPNOTSUPP. */
int gmem_crypto_report(struct gmem_ctx *ctx, const char *who);

#endif /* GMEM_SNP_CRYPTO_H */
