/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ID block and ID authentication as the firmware reads them, each field at the offset that it has
 * in AMD's SEV Secure Nested Paging Firmware ABI Specification, publication 56860: chapter
 * "SNP_LAUNCH_FINISH" (ID Block, ID Authentication Information Structure) and appendix "Digital
 * Signatures" (ECDSA public key, ECDSA signature). Numbers are little-endian.
 */
#ifndef GMEM_SNP_ID_H
#define GMEM_SNP_ID_H

#include <assert.h>
#include <gmem/id.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "guest_memfd has little-endian hosts");

#define SNP_ID_BLOCK_VERSION 1u
#define SNP_KEY_ALGORITHM_P384 1u /* ECDSA P-384 with SHA-384 */
#define SNP_CURVE_P384 2u
/* Of a number in a key or a signature; those of P-384 take the first 48, the rest are zero. */
#define SNP_NUMBER_SIZE 72u

struct snp_id_block {
	uint8_t launch_digest[48];
	uint8_t family_id[16];
	uint8_t image_id[16];
	uint32_t version;
	uint32_t guest_svn;
	uint64_t policy;
};

static_assert(sizeof(struct snp_id_block) == 0x60, "56860, ID Block");
static_assert(offsetof(struct snp_id_block, launch_digest) == 0x00, "56860, ID Block: LD");
static_assert(offsetof(struct snp_id_block, family_id) == 0x30, "56860, ID Block: FAMILY_ID");
static_assert(offsetof(struct snp_id_block, image_id) == 0x40, "56860, ID Block: IMAGE_ID");
static_assert(offsetof(struct snp_id_block, version) == 0x50, "56860, ID Block: VERSION");
static_assert(offsetof(struct snp_id_block, guest_svn) == 0x54, "56860, ID Block: GUEST_SVN");
static_assert(offsetof(struct snp_id_block, policy) == 0x58, "56860, ID Block: POLICY");
static_assert(sizeof(struct snp_id_block) == GMEM_SNP_ID_BLOCK_SIZE, "gmem/id.h");

struct snp_public_key {
	uint32_t curve;
	uint8_t qx[SNP_NUMBER_SIZE];
	uint8_t qy[SNP_NUMBER_SIZE];
	uint8_t reserved[0x370];
};

static_assert(sizeof(struct snp_public_key) == 0x404, "56860, ECDSA Public Key");
static_assert(offsetof(struct snp_public_key, curve) == 0x000, "56860, ECDSA Public Key: CURVE");
static_assert(offsetof(struct snp_public_key, qx) == 0x004, "56860, ECDSA Public Key: QX");
static_assert(offsetof(struct snp_public_key, qy) == 0x04c, "56860, ECDSA Public Key: QY");
static_assert(offsetof(struct snp_public_key, reserved) == 0x094, "56860, ECDSA Public Key");

struct snp_signature {
	uint8_t r[SNP_NUMBER_SIZE];
	uint8_t s[SNP_NUMBER_SIZE];
	uint8_t reserved[0x170];
};

static_assert(sizeof(struct snp_signature) == 0x200, "56860, ECDSA Signature");
static_assert(offsetof(struct snp_signature, r) == 0x000, "56860, ECDSA Signature: R");
static_assert(offsetof(struct snp_signature, s) == 0x048, "56860, ECDSA Signature: S");
static_assert(offsetof(struct snp_signature, reserved) == 0x090, "56860, ECDSA Signature");

struct snp_id_auth {
	uint32_t id_key_algorithm;
	uint32_t author_key_algorithm; /* 0 where there is no author key */
	uint8_t reserved1[0x38];
	struct snp_signature block_signature;
	struct snp_public_key id_key;
	uint8_t reserved2[0x3c];
	struct snp_signature id_key_signature;
	struct snp_public_key author_key;
	uint8_t reserved3[0x37c];
};

static_assert(sizeof(struct snp_id_auth) == 0x1000, "56860, ID Authentication Information");
static_assert(offsetof(struct snp_id_auth, id_key_algorithm) == 0x000,
	      "56860, ID Authentication Information: ID_KEY_ALGO");
static_assert(offsetof(struct snp_id_auth, author_key_algorithm) == 0x004,
	      "56860, ID Authentication Information: AUTHOR_KEY_ALGO");
static_assert(offsetof(struct snp_id_auth, reserved1) == 0x008,
	      "56860, ID Authentication Information");
static_assert(offsetof(struct snp_id_auth, block_signature) == 0x040,
	      "56860, ID Authentication Information: ID_BLOCK_SIG");
static_assert(offsetof(struct snp_id_auth, id_key) == 0x240,
	      "56860, ID Authentication Information: ID_KEY");
static_assert(offsetof(struct snp_id_auth, reserved2) == 0x644,
	      "56860, ID Authentication Information");
static_assert(offsetof(struct snp_id_auth, id_key_signature) == 0x680,
	      "56860, ID Authentication Information: ID_KEY_SIG");
static_assert(offsetof(struct snp_id_auth, author_key) == 0x880,
	      "56860, ID Authentication Information: AUTHOR_KEY");
static_assert(offsetof(struct snp_id_auth, reserved3) == 0xc84,
	      "56860, ID Authentication Information");
static_assert(sizeof(struct snp_id_auth) == GMEM_SNP_ID_AUTH_SIZE, "gmem/id.h");

/* -EBADMSG, and one message: the firmware would not take it. who: the public function. */
int gmem_snp_id_block_check(struct gmem_ctx *ctx, const char *who,
			    const struct snp_id_block *block);
/* -EINVAL, and one message: address is NULL; name is that of the parameter. */
int gmem_snp_id_check_address(struct gmem_ctx *ctx, const char *who, const char *name,
			      const void *address);

#endif /* GMEM_SNP_ID_H */
