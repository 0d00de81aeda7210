// SPDX-License-Identifier: LGPL-2.1-or-later
/* ID authentications: signed, and checked as the firmware does it. */
#include "snp/id.h"

#include "log.h"
#include "snp/crypto.h"
#include "snp/key.h"

#include <errno.h>
#include <string.h>

/* For messages. */
#define BLOCK_SIGNATURE "the ID block's signature"
#define KEY_SIGNATURE "the ID key's signature"
#define ID_KEY "the ID key"
#define AUTHOR_KEY "the author key"

struct field {
	uint16_t offset;
	uint16_t size;
};

#define FIELD(name)                                                                                \
	{                                                                                          \
		offsetof(struct snp_id_auth, name), sizeof(((struct snp_id_auth *)NULL)->name)     \
	}

static const struct field reserved_fields[] = {
	FIELD(reserved1), FIELD(block_signature.reserved),  FIELD(id_key.reserved),
	FIELD(reserved2), FIELD(id_key_signature.reserved), FIELD(author_key.reserved),
	FIELD(reserved3),
};

static const struct field author_fields[] = {
	FIELD(id_key_signature),
	FIELD(author_key),
};

/* Looks for a byte that is not zero; -EBADMSG, and why says what it would have to be zero for. */
static int check_zero(struct gmem_ctx *ctx, const char *who, const struct snp_id_auth *auth,
		      const struct field *fields, size_t count, const char *why)
{
	const uint8_t *bytes = (const uint8_t *)auth;
	size_t i, at;

	for (i = 0; i < count; i++) {
		for (at = fields[i].offset; at < fields[i].offset + (size_t)fields[i].size; at++) {
			if (!bytes[at])
				continue;
			log_error(ctx,
				  "%s: byte 0x%zx of the ID authentication is 0x%x; it must be 0%s",
				  who, at, bytes[at], why);
			return -EBADMSG;
		}
	}
	return 0;
}

static int check_algorithms(struct gmem_ctx *ctx, const char *who, const struct snp_id_auth *auth)
{
	if (auth->id_key_algorithm != SNP_KEY_ALGORITHM_P384) {
		log_error(ctx,
			  "%s: the ID key's algorithm is %u; it must be %u (ECDSA P-384 with "
			  "SHA-384)",
			  who, auth->id_key_algorithm, SNP_KEY_ALGORITHM_P384);
		return -EBADMSG;
	}
	if (auth->author_key_algorithm == 0)
		return check_zero(ctx, who, auth, author_fields,
				  sizeof(author_fields) / sizeof(author_fields[0]),
				  ", as the author key's algorithm is 0 (no author key)");
	if (auth->author_key_algorithm != SNP_KEY_ALGORITHM_P384) {
		log_error(ctx,
			  "%s: the author key's algorithm is %u; it must be %u (ECDSA P-384 with "
			  "SHA-384), or 0 for no author key",
			  who, auth->author_key_algorithm, SNP_KEY_ALGORITHM_P384);
		return -EBADMSG;
	}
	return 0;
}

/* All but the numbers. */
static int check_form(struct gmem_ctx *ctx, const char *who, const struct snp_id_auth *auth)
{
	int ret;

	ret = check_algorithms(ctx, who, auth);
	return ret ? ret
		   : check_zero(ctx, who, auth, reserved_fields,
				sizeof(reserved_fields) / sizeof(reserved_fields[0]),
				" (reserved)");
}

static int read_key(struct gmem_ctx *ctx, const char *who, const char *what,
		    const struct snp_public_key *key, struct ecdsa_point *point)
{
	int ret = -EBADMSG;

	if (key->curve != SNP_CURVE_P384) {
		log_error(ctx, "%s: %s is on curve %u; it must be %u (P-384)", who, what,
			  key->curve, SNP_CURVE_P384);
		return -EBADMSG;
	}
	if (gmem_snp_get_number(point->x, key->qx) && gmem_snp_get_number(point->y, key->qy))
		ret = gmem_ecdsa_check_point(point);
	if (ret == -EBADMSG) {
		log_error(ctx, "%s: %s is no point of P-384; its QX and QY must be little-endian",
			  who, what);
		return ret;
	}
	return ret ? gmem_snp_report(ctx, who, ret) : 0;
}

/* What a signature is about, and whose it must be. */
struct signed_bytes {
	const char *what;
	const char *whose;
	const struct snp_public_key *key;
	const struct snp_signature *signature;
	const void *data;
	size_t size;
};

static int check_signature(struct gmem_ctx *ctx, const char *who, const struct signed_bytes *bytes)
{
	struct ecdsa_signature signature;
	uint8_t digest[SHA384_SIZE];
	struct ecdsa_point point;
	int ret;

	ret = read_key(ctx, who, bytes->whose, bytes->key, &point);
	if (ret)
		return ret;
	ret = gmem_crypto_sha384(bytes->data, bytes->size, digest);
	if (ret)
		return gmem_snp_report(ctx, who, ret);
	ret = -EBADMSG;
	if (gmem_snp_get_number(signature.r, bytes->signature->r) &&
	    gmem_snp_get_number(signature.s, bytes->signature->s))
		ret = gmem_ecdsa_verify(&point, digest, &signature);
	if (ret == -EBADMSG) {
		log_error(ctx, "%s: %s does not hold; it must be by %s", who, bytes->what,
			  bytes->whose);
		return ret;
	}
	return ret ? gmem_snp_report(ctx, who, ret) : 0;
}

static int check_signatures(struct gmem_ctx *ctx, const char *who, const struct snp_id_block *block,
			    const struct snp_id_auth *auth)
{
	const struct signed_bytes of_block = {
		BLOCK_SIGNATURE,        ID_KEY, &auth->id_key,
		&auth->block_signature, block,  sizeof(*block),
	};
	const struct signed_bytes of_key = {
		KEY_SIGNATURE,           AUTHOR_KEY,    &auth->author_key,
		&auth->id_key_signature, &auth->id_key, sizeof(auth->id_key),
	};
	int ret;

	ret = check_signature(ctx, who, &of_block);
	if (!ret && auth->author_key_algorithm)
		ret = check_signature(ctx, who, &of_key);
	return ret;
}

int gmem_snp_id_auth_verify(struct gmem_ctx *ctx, const uint8_t block[GMEM_SNP_ID_BLOCK_SIZE],
			    const uint8_t auth[GMEM_SNP_ID_AUTH_SIZE])
{
	static const char who[] = "gmem_snp_id_auth_verify";
	struct snp_id_block block_read;
	struct snp_id_auth auth_read;
	int ret;

	ret = gmem_snp_id_check_address(ctx, who, "block", block);
	if (!ret)
		ret = gmem_snp_id_check_address(ctx, who, "auth", auth);
	if (!ret)
		ret = gmem_crypto_start(ctx, who);
	if (ret)
		return ret;
	memcpy(&block_read, block, sizeof(block_read));
	memcpy(&auth_read, auth, sizeof(auth_read));
	ret = gmem_snp_id_block_check(ctx, who, &block_read);
	if (!ret)
		ret = check_form(ctx, who, &auth_read);
	return ret ? ret : check_signatures(ctx, who, &block_read, &auth_read);
}

static int sign(const struct gmem_snp_key *key, const char *what, const void *data, size_t size,
		struct snp_signature *result)
{
	static const char who[] = "gmem_snp_id_auth_sign";
	struct ecdsa_signature signature;
	uint8_t digest[SHA384_SIZE];
	int ret;

	ret = gmem_crypto_sha384(data, size, digest);
	if (ret)
		return gmem_snp_report(key->ctx, who, ret);
	ret = gmem_snp_key_sign(key, who, what, digest, &signature);
	if (ret)
		return ret;
	gmem_snp_put_number(result->r, signature.r);
	gmem_snp_put_number(result->s, signature.s);
	return 0;
}

static int check_sign_arguments(const uint8_t *block, const struct gmem_snp_key *id_key,
				const uint8_t *auth)
{
	static const char who[] = "gmem_snp_id_auth_sign";
	struct snp_id_block read;
	int ret;

	ret = gmem_snp_id_check_address(NULL, who, "id_key", id_key);
	if (!ret)
		ret = gmem_snp_id_check_address(id_key->ctx, who, "block", block);
	if (!ret)
		ret = gmem_snp_id_check_address(id_key->ctx, who, "auth", auth);
	if (ret)
		return ret;
	memcpy(&read, block, sizeof(read));
	return gmem_snp_id_block_check(id_key->ctx, who, &read);
}

int gmem_snp_id_auth_sign(const uint8_t block[GMEM_SNP_ID_BLOCK_SIZE],
			  const struct gmem_snp_key *id_key, const struct gmem_snp_key *author_key,
			  uint8_t auth[GMEM_SNP_ID_AUTH_SIZE])
{
	struct snp_id_auth made;
	int ret;

	ret = check_sign_arguments(block, id_key, auth);
	if (ret)
		return ret;
	memset(&made, 0, sizeof(made));
	made.id_key_algorithm = SNP_KEY_ALGORITHM_P384;
	gmem_snp_put_key(&made.id_key, &id_key->point);
	ret = sign(id_key, BLOCK_SIGNATURE, block, GMEM_SNP_ID_BLOCK_SIZE, &made.block_signature);
	if (ret)
		return ret;
	if (author_key) {
		made.author_key_algorithm = SNP_KEY_ALGORITHM_P384;
		gmem_snp_put_key(&made.author_key, &author_key->point);
		ret = sign(author_key, KEY_SIGNATURE, &made.id_key, sizeof(made.id_key),
			   &made.id_key_signature);
		if (ret)
			return ret;
	}
	memcpy(auth, &made, sizeof(made));
	return 0;
}

static int get_digest(struct gmem_ctx *ctx, const char *who, const char *what,
		      const struct snp_public_key *key, uint8_t digest[SHA384_SIZE])
{
	struct ecdsa_point point;
	int ret;

	ret = read_key(ctx, who, what, key, &point);
	if (ret)
		return ret;
	ret = gmem_crypto_sha384(key, sizeof(*key), digest);
	return ret ? gmem_snp_report(ctx, who, ret) : 0;
}

int gmem_snp_id_auth_get_digests(struct gmem_ctx *ctx, const uint8_t auth[GMEM_SNP_ID_AUTH_SIZE],
				 uint8_t *id_key, uint8_t *author_key)
{
	static const char who[] = "gmem_snp_id_auth_get_digests";
	uint8_t of_author_key[SHA384_SIZE] = { 0 };
	uint8_t of_id_key[SHA384_SIZE];
	struct snp_id_auth read;
	int ret;

	ret = gmem_snp_id_check_address(ctx, who, "auth", auth);
	if (!ret)
		ret = gmem_crypto_start(ctx, who);
	if (ret)
		return ret;
	memcpy(&read, auth, sizeof(read));
	ret = check_form(ctx, who, &read);
	if (!ret)
		ret = get_digest(ctx, who, ID_KEY, &read.id_key, of_id_key);
	if (!ret && read.author_key_algorithm)
		ret = get_digest(ctx, who, AUTHOR_KEY, &read.author_key, of_author_key);
	if (ret)
		return ret;
	if (id_key)
		memcpy(id_key, of_id_key, sizeof(of_id_key));
	if (author_key)
		memcpy(author_key, of_author_key, sizeof(of_author_key));
	return 0;
}
