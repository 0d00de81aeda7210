/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/id.h
 * @brief SNP ID block and ID authentication: building, signing, checking.
 *
 * An ID block says which launch digest and policy a guest must have, and carries names that its
 * attestation reports will show. The ID authentication has the ID block's signature by the ID key,
 * and, where there is an author key, the signature of the ID key by that. The firmware checks both
 * when the launch finishes, after which nothing can be tried again: gmem_snp_id_auth_verify() does
 * the same beforehand.
 *
 * Both are plain bytes in the firmware's layout (AMD 56860, SEV Secure Nested Paging Firmware ABI
 * Specification), owned by the caller, and may come from or go to any other tool. Keys are ECDSA
 * keys on the curve P-384 (secp384r1), and sign SHA-384 sums: the firmware takes no others.
 *
 * Nothing here needs KVM. In a library built without libgcrypt all functions return -EOPNOTSUPP
 * but gmem_snp_id_block_build() and gmem_snp_id_block_get_info().
 *
 * A program that initialises libgcrypt itself must do so before the first call. If it has turned
 * libgcrypt's secure memory off, private keys live in ordinary memory, and libgcrypt does not
 * wipe all of its copies. In FIPS mode that memory does not grow, and libgcrypt ends a program that
 * needs more of it: 32 KiB, which it makes unless told otherwise, are enough for some 60 threads
 * that sign at once.
 */
#ifndef GMEM_ID_H
#define GMEM_ID_H

#include <gmem/base.h>
#include <gmem/ctx.h>
#include <gmem/measure.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A key that can sign. It never changes, and may be used for any number of ID blocks. */
struct gmem_snp_key;

/** Bytes of an ID block. */
#define GMEM_SNP_ID_BLOCK_SIZE 96u
/** Bytes of an ID authentication. */
#define GMEM_SNP_ID_AUTH_SIZE 4096u
/** Bytes of a family ID, and of an image ID. */
#define GMEM_SNP_ID_SIZE 16u
/** Bytes of a coordinate of a public key, and of each half of a signature. */
#define GMEM_SNP_P384_SIZE 48u
/** Bytes of what gmem_snp_key_new() reads, at most. */
#define GMEM_SNP_KEY_FILE_SIZE 65536u

/**
 * @brief Reads a private key as openssl writes it.
 *
 * PEM ("EC PRIVATE KEY" or "PRIVATE KEY") or DER, in the form of SEC 1 or PKCS #8, on the named
 * curve secp384r1, not encrypted. PEM may have other text around the key, such as the block "EC
 * PARAMETERS", but no second private key. A public key that comes along must belong to the private
 * one. Nothing of the key ever goes to the log; the library's copies are wiped, those of a call
 * that fails too.
 *
 * @param ctx   NULL for the default
 * @param data  not NULL; it is not kept
 * @param size  in bytes, 1 to GMEM_SNP_KEY_FILE_SIZE
 * @param[out] key  owned by the caller: gmem_snp_key_free(); NULL on failure
 * @return 0; -EINVAL (NULL, size), -EBADMSG (not such a key: the message says what it is instead),
 *         -ENOMEM, -EIO (libgcrypt failed), -EOPNOTSUPP (no libgcrypt). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_key_new(struct gmem_ctx *ctx, const void *data, size_t size,
			      struct gmem_snp_key **key);

/**
 * @brief Signs a SHA-384 sum elsewhere, such as in an HSM. Runs on the thread that is in
 * gmem_snp_id_auth_sign(), without any lock held; it may call any function of libgmem but those
 * that free or use what is being signed. What it gives is verified before it is used.
 *
 * @param hash  48 bytes: the sum itself, not to be hashed again
 * @param[out] r, s  the two halves of the ECDSA signature, 48 bytes each, big-endian
 * @return 0 or a negative errno
 */
typedef int (*gmem_snp_sign_fn)(const uint8_t hash[GMEM_SNP_DIGEST_SIZE],
				uint8_t r[GMEM_SNP_P384_SIZE], uint8_t s[GMEM_SNP_P384_SIZE],
				void *opaque);

/**
 * @brief Makes a key whose private part is elsewhere.
 *
 * @param ctx      NULL for the default
 * @param qx, qy   the public point, 48 bytes each, big-endian; not NULL
 * @param sign     not NULL; called by as many threads at once as use the key
 * @param opaque   for sign
 * @param free_fn  for opaque, may be NULL; called when the key is freed, or when this fails
 * @param[out] key  owned by the caller: gmem_snp_key_free(); NULL on failure
 * @return 0; -EINVAL (NULL), -EBADMSG (qx, qy is no point of the curve), -ENOMEM, -EIO (libgcrypt
 *         failed), -EOPNOTSUPP (no libgcrypt). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_key_new_external(struct gmem_ctx *ctx, const uint8_t qx[GMEM_SNP_P384_SIZE],
				       const uint8_t qy[GMEM_SNP_P384_SIZE], gmem_snp_sign_fn sign,
				       void *opaque, gmem_free_fn free_fn,
				       struct gmem_snp_key **key);

/**
 * @brief Wipes the key and gives it back.
 *
 * @param key  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_snp_key_free(struct gmem_snp_key *key);

/**
 * @brief The public point of a key.
 *
 * @param key  not NULL
 * @param[out] qx, qy  48 bytes each, big-endian; NULL for what is not wanted
 * @return 0; -EINVAL (key is NULL). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_key_get_public(const struct gmem_snp_key *key, uint8_t *qx, uint8_t *qy);

/**
 * @brief The digest of a key's public part as attestation reports show it (ID_KEY_DIGEST,
 * AUTHOR_KEY_DIGEST): SHA-384 of the public key in the firmware's layout.
 *
 * @param key  not NULL
 * @param[out] digest  48 bytes
 * @return 0; -EINVAL (NULL). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_key_get_digest(const struct gmem_snp_key *key,
				     uint8_t digest[GMEM_SNP_DIGEST_SIZE]);

/**
 * @brief Builds an ID block.
 *
 * @param ctx        NULL for the default
 * @param digest     48 bytes: the launch digest that it demands
 * @param family_id  16 bytes of the guest owner's choice, or NULL for zeros
 * @param image_id   16 bytes of the guest owner's choice, or NULL for zeros
 * @param svn        security version number of the guest
 * @param policy     must equal the policy that the launch starts with; bit 17 must be 1
 * @param[out] block  96 bytes
 * @return 0; -EINVAL (digest or block is NULL, policy). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_id_block_build(struct gmem_ctx *ctx,
				     const uint8_t digest[GMEM_SNP_DIGEST_SIZE],
				     const uint8_t *family_id, const uint8_t *image_id,
				     uint32_t svn, uint64_t policy,
				     uint8_t block[GMEM_SNP_ID_BLOCK_SIZE]);

/** What an ID block says. Filled in by the library. */
struct gmem_snp_id_info {
	uint8_t digest[GMEM_SNP_DIGEST_SIZE]; /**< launch digest that it demands */
	uint8_t family_id[GMEM_SNP_ID_SIZE];
	uint8_t image_id[GMEM_SNP_ID_SIZE];
	uint64_t policy;  /**< that the launch must start with */
	uint32_t svn;     /**< security version number of the guest */
	uint32_t version; /**< of the ID block's layout: 1 */
	uint64_t reserved[4];
};

/**
 * @brief Reads an ID block.
 *
 * @param ctx    NULL for the default
 * @param block  96 bytes
 * @param[out] info  not NULL
 * @return 0; -EINVAL (NULL), -EBADMSG (its version is not 1, or its policy's bit 17 not set: no
 *         launch can succeed with it). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_id_block_get_info(struct gmem_ctx *ctx,
					const uint8_t block[GMEM_SNP_ID_BLOCK_SIZE],
					struct gmem_snp_id_info *info);

/**
 * @brief Signs an ID block, and the ID key with the author key.
 *
 * Signatures of gmem_snp_key_new()'s keys are deterministic (RFC 6979): the same keys and the same
 * block give the same bytes; unless the program has turned libgcrypt's secure memory off. Every
 * signature is verified before anything is written to auth. Messages about the author key go to its
 * context, all others to that of the ID key.
 *
 * @param block       96 bytes that gmem_snp_id_block_get_info() takes
 * @param id_key      not NULL
 * @param author_key  NULL for none; it may be the ID key
 * @param[out] auth   4096 bytes; untouched on failure
 * @return 0; -EINVAL (NULL), -EBADMSG (no valid ID block; or what an external key gave is no
 *         signature by it), -ECANCELED (an external key's function failed), -ENOMEM, -EIO
 *         (libgcrypt failed), -EOPNOTSUPP (no libgcrypt). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_id_auth_sign(const uint8_t block[GMEM_SNP_ID_BLOCK_SIZE],
				   const struct gmem_snp_key *id_key,
				   const struct gmem_snp_key *author_key,
				   uint8_t auth[GMEM_SNP_ID_AUTH_SIZE]);

/**
 * @brief Checks ID block and ID authentication as the firmware does when the launch finishes, but
 * for the launch digest and the policy, which are the launch's to know.
 *
 * Stricter than the firmware has to be in one thing: every reserved byte must be zero. There is an
 * author key where the author key's algorithm is not 0; where it is 0, all that belongs to the
 * author key must be zero.
 *
 * @param ctx    NULL for the default
 * @param block  96 bytes
 * @param auth   4096 bytes
 * @return 0: all signatures hold; -EINVAL (NULL), -EBADMSG (the message says what does not hold),
 *         -ENOMEM, -EIO (libgcrypt failed), -EOPNOTSUPP (no libgcrypt). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_id_auth_verify(struct gmem_ctx *ctx,
				     const uint8_t block[GMEM_SNP_ID_BLOCK_SIZE],
				     const uint8_t auth[GMEM_SNP_ID_AUTH_SIZE]);

/**
 * @brief The digests of the keys in an ID authentication, as attestation reports show them. Checks
 * the form of the keys, but no signature.
 *
 * @param ctx   NULL for the default
 * @param auth  4096 bytes
 * @param[out] id_key      48 bytes, or NULL
 * @param[out] author_key  48 bytes, zeros where there is no author key, or NULL
 * @return 0; -EINVAL (auth is NULL), -EBADMSG (a key that the firmware would not take), -ENOMEM,
 *         -EIO (libgcrypt failed), -EOPNOTSUPP (no libgcrypt). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_id_auth_get_digests(struct gmem_ctx *ctx,
					  const uint8_t auth[GMEM_SNP_ID_AUTH_SIZE],
					  uint8_t *id_key, uint8_t *author_key);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_ID_H */
