// SPDX-License-Identifier: LGPL-2.1-or-later
/* Keys that sign: their making and unmaking, and a signature by one. */
#include "snp/key.h"

#include "ctx.h"
#include "log.h"
#include "snp/crypto.h"
#include "snp/key_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gmem_snp_report(struct gmem_ctx *ctx, const char *who, int error)
{
	switch (error) {
	case -ENOMEM:
		log_error(ctx, "%s: no memory", who);
		break;
	case -EOPNOTSUPP:
		gmem_crypto_report(ctx, who);
		break;
	default:
		log_error(ctx,
			  "%s: libgcrypt failed at ECDSA on P-384; it must be able to sign "
			  "and to verify in this process",
			  who);
	}
	return error;
}

void gmem_snp_put_number(uint8_t to[SNP_NUMBER_SIZE], const uint8_t from[ECDSA_SIZE])
{
	size_t i;

	memset(to, 0, SNP_NUMBER_SIZE);
	for (i = 0; i < ECDSA_SIZE; i++)
		to[i] = from[ECDSA_SIZE - 1 - i];
}

bool gmem_snp_get_number(uint8_t to[ECDSA_SIZE], const uint8_t from[SNP_NUMBER_SIZE])
{
	uint8_t more = 0;
	size_t i;

	for (i = 0; i < ECDSA_SIZE; i++)
		to[ECDSA_SIZE - 1 - i] = from[i];
	for (; i < SNP_NUMBER_SIZE; i++)
		more |= from[i];
	return more == 0;
}

void gmem_snp_put_key(struct snp_public_key *to, const struct ecdsa_point *from)
{
	memset(to, 0, sizeof(*to));
	to->curve = SNP_CURVE_P384;
	gmem_snp_put_number(to->qx, from->x);
	gmem_snp_put_number(to->qy, from->y);
}

static int key_create(struct gmem_ctx *ctx, const char *who, struct gmem_snp_key **result)
{
	struct gmem_snp_key *key;

	key = calloc(1, sizeof(*key));
	if (key)
		key->ctx = gmem_ctx_get(ctx);
	if (!key || !key->ctx) {
		free(key);
		return gmem_snp_report(ctx, who, -ENOMEM);
	}
	*result = key;
	return 0;
}

static int key_digest(struct gmem_snp_key *key, const char *who)
{
	struct snp_public_key layout;
	int ret;

	gmem_snp_put_key(&layout, &key->point);
	ret = gmem_crypto_sha384(&layout, sizeof(layout), key->digest);
	return ret ? gmem_snp_report(key->ctx, who, ret) : 0;
}

/* Whether the public part that a file gives belongs to the private one. */
static bool point_fits(const struct key_numbers *numbers, const struct ecdsa_point *point)
{
	const struct ecdsa_point *given = &numbers->point;

	if (numbers->form == KEY_POINT_NONE)
		return true;
	if (memcmp(given->x, point->x, ECDSA_SIZE) != 0)
		return false;
	if (numbers->form == KEY_POINT_COMPRESSED)
		return given->y[ECDSA_SIZE - 1] == (point->y[ECDSA_SIZE - 1] & 1);
	return !memcmp(given->y, point->y, ECDSA_SIZE);
}

static int key_fill(struct gmem_snp_key *key, const char *who, const struct key_numbers *numbers)
{
	int ret;

	key->secret = gmem_ecdsa_secret_new(numbers->secret);
	if (!key->secret)
		return gmem_snp_report(key->ctx, who, -ENOMEM);
	ret = gmem_ecdsa_derive(key->secret, &key->point);
	if (ret == -EBADMSG) {
		log_error(key->ctx,
			  "%s: the key's private number is out of range; it must be from 1 to "
			  "the order of P-384 less 1",
			  who);
		return ret;
	}
	if (ret)
		return gmem_snp_report(key->ctx, who, ret);
	if (!point_fits(numbers, &key->point)) {
		log_error(key->ctx, "%s: the key's public part does not belong to its private part",
			  who);
		return -EBADMSG;
	}
	return key_digest(key, who);
}

static int check_file(struct gmem_ctx *ctx, const void *data, size_t size)
{
	if (!data) {
		log_error(ctx, "gmem_snp_key_new: data is NULL, it must be an address");
		return -EINVAL;
	}
	if (size == 0 || size > GMEM_SNP_KEY_FILE_SIZE) {
		log_error(ctx, "gmem_snp_key_new: size %zu; it must be from 1 to %u", size,
			  GMEM_SNP_KEY_FILE_SIZE);
		return -EINVAL;
	}
	return 0;
}

static int check_result(struct gmem_ctx *ctx, const char *who, struct gmem_snp_key **key)
{
	if (!key) {
		log_error(ctx, "%s: key is NULL, it must be an address", who);
		return -EINVAL;
	}
	*key = NULL;
	return 0;
}

int gmem_snp_key_new(struct gmem_ctx *ctx, const void *data, size_t size, struct gmem_snp_key **key)
{
	static const char who[] = "gmem_snp_key_new";
	struct gmem_snp_key *made = NULL;
	struct key_numbers numbers;
	const char *why;
	int ret;

	ret = check_result(ctx, who, key);
	if (!ret)
		ret = check_file(ctx, data, size);
	if (!ret)
		ret = gmem_crypto_start(ctx, who);
	if (!ret)
		ret = key_create(ctx, who, &made);
	if (ret)
		return ret;
	ret = gmem_key_file_read(data, size, &numbers, &why);
	if (ret == -EBADMSG)
		log_error(ctx, "%s: the key %s", who, why);
	else if (ret)
		gmem_snp_report(ctx, who, ret);
	else
		ret = key_fill(made, who, &numbers);
	explicit_bzero(&numbers, sizeof(numbers));
	if (ret)
		gmem_snp_key_free(made);
	else
		*key = made;
	return ret;
}

static int check_external(struct gmem_ctx *ctx, const char *who, const uint8_t *qx,
			  const uint8_t *qy, gmem_snp_sign_fn sign)
{
	if (qx && qy && sign)
		return 0;
	log_error(ctx, "%s: %s is NULL, it must be an address", who,
		  !qx   ? "qx"
		  : !qy ? "qy"
			: "sign");
	return -EINVAL;
}

static int external_create(struct gmem_ctx *ctx, const char *who, const uint8_t *qx,
			   const uint8_t *qy, struct gmem_snp_key **key)
{
	struct ecdsa_point point;
	int ret;

	ret = gmem_crypto_start(ctx, who);
	if (ret)
		return ret;
	memcpy(point.x, qx, ECDSA_SIZE);
	memcpy(point.y, qy, ECDSA_SIZE);
	ret = gmem_ecdsa_check_point(&point);
	if (ret == -EBADMSG) {
		log_error(ctx, "%s: qx and qy are no point of P-384; they must be big-endian", who);
		return ret;
	}
	if (ret)
		return gmem_snp_report(ctx, who, ret);
	ret = key_create(ctx, who, key);
	if (ret)
		return ret;
	(*key)->point = point;
	ret = key_digest(*key, who);
	if (ret) {
		gmem_snp_key_free(*key);
		*key = NULL;
	}
	return ret;
}

int gmem_snp_key_new_external(struct gmem_ctx *ctx, const uint8_t qx[GMEM_SNP_P384_SIZE],
			      const uint8_t qy[GMEM_SNP_P384_SIZE], gmem_snp_sign_fn sign,
			      void *opaque, gmem_free_fn free_fn, struct gmem_snp_key **key)
{
	static const char who[] = "gmem_snp_key_new_external";
	int ret;

	ret = check_result(ctx, who, key);
	if (!ret)
		ret = check_external(ctx, who, qx, qy, sign);
	if (!ret)
		ret = external_create(ctx, who, qx, qy, key);
	if (ret) {
		if (free_fn)
			free_fn(opaque);
		return ret;
	}
	(*key)->sign = sign;
	(*key)->opaque = opaque;
	(*key)->free_fn = free_fn;
	return 0;
}

void gmem_snp_key_free(struct gmem_snp_key *key)
{
	if (!key)
		return;
	gmem_ecdsa_secret_free(key->secret);
	if (key->free_fn)
		key->free_fn(key->opaque);
	gmem_ctx_put(key->ctx);
	free(key);
}

int gmem_snp_key_get_public(const struct gmem_snp_key *key, uint8_t *qx, uint8_t *qy)
{
	if (!key) {
		log_error(NULL, "gmem_snp_key_get_public: key is NULL, it must be an address");
		return -EINVAL;
	}
	if (qx)
		memcpy(qx, key->point.x, ECDSA_SIZE);
	if (qy)
		memcpy(qy, key->point.y, ECDSA_SIZE);
	return 0;
}

int gmem_snp_key_get_digest(const struct gmem_snp_key *key, uint8_t digest[GMEM_SNP_DIGEST_SIZE])
{
	if (!key || !digest) {
		log_error(key ? key->ctx : NULL,
			  "gmem_snp_key_get_digest: %s is NULL, it must be an address",
			  key ? "digest" : "key");
		return -EINVAL;
	}
	memcpy(digest, key->digest, GMEM_SNP_DIGEST_SIZE);
	return 0;
}

static int sign_outside(const struct gmem_snp_key *key, const char *who, const char *what,
			const uint8_t digest[GMEM_SNP_DIGEST_SIZE],
			struct ecdsa_signature *signature)
{
	int ret;

	ret = key->sign(digest, signature->r, signature->s, key->opaque);
	if (!ret)
		return 0;
	log_error(key->ctx, "%s: %s: the external key's function failed (%s)", who, what,
		  gmem_error_name(ret));
	return -ECANCELED;
}

int gmem_snp_key_sign(const struct gmem_snp_key *key, const char *who, const char *what,
		      const uint8_t digest[GMEM_SNP_DIGEST_SIZE], struct ecdsa_signature *signature)
{
	int ret;

	memset(signature, 0, sizeof(*signature));
	if (key->sign) {
		ret = sign_outside(key, who, what, digest, signature);
		if (ret)
			return ret;
	} else {
		ret = gmem_ecdsa_sign(key->secret, digest, signature);
	}
	/* An HSM may be broken; and so may a sum in this machine, which could give the key away. */
	if (!ret)
		ret = gmem_ecdsa_verify(&key->point, digest, signature);
	if (ret == -EBADMSG) {
		log_error(key->ctx,
			  "%s: %s: what the %s gave does not hold; r and s must be a "
			  "signature, big-endian, of the digest itself",
			  who, what, key->sign ? "external key's function" : "key");
		return ret;
	}
	return ret ? gmem_snp_report(key->ctx, who, ret) : 0;
}
