// SPDX-License-Identifier: LGPL-2.1-or-later
/* ECDSA by libgcrypt. What it would not look at (ranges, the curve) is looked at here. */
#include "snp/ecdsa.h"

#include <errno.h>

#ifdef HAVE_LIBGCRYPT

#include <gcrypt.h>
#include <stdbool.h>
#include <string.h>

#define CURVE "NIST P-384"

/* The field's prime and the order of the base point: FIPS 186-4, D.1.2.4. */
static const uint8_t prime[ECDSA_SIZE] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff,
};
static const uint8_t order[ECDSA_SIZE] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2,
	0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
};

/* Of a number that may be secret: takes as long whatever it is. */
static bool is_below(const uint8_t number[ECDSA_SIZE], const uint8_t limit[ECDSA_SIZE])
{
	uint32_t borrow = 0;
	size_t i;

	for (i = ECDSA_SIZE; i-- > 0;)
		borrow = ((uint32_t)number[i] - limit[i] - borrow) >> 31;
	return borrow;
}

static bool is_zero(const uint8_t number[ECDSA_SIZE])
{
	uint8_t all = 0;
	size_t i;

	for (i = 0; i < ECDSA_SIZE; i++)
		all |= number[i];
	return all == 0;
}

/* Of a private number, and of either half of a signature. */
static bool is_in_range(const uint8_t number[ECDSA_SIZE])
{
	return !is_zero(number) && is_below(number, order);
}

static int error_of(gcry_error_t error)
{
	switch (gcry_err_code(error)) {
	case GPG_ERR_NO_ERROR:
		return 0;
	case GPG_ERR_ENOMEM:
		return -ENOMEM;
	case GPG_ERR_BAD_SIGNATURE:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

/*
 * In FIPS mode libgcrypt's secure memory does not grow, and libgcrypt ends the program when it has
 * none left for itself: there it is for what lasts as long as a call.
 */
uint8_t *gmem_ecdsa_secret_new(const uint8_t value[ECDSA_SIZE])
{
	uint8_t *secret = gcry_fips_mode_active() ? gcry_malloc(ECDSA_SIZE)
						  : gcry_malloc_secure(ECDSA_SIZE);

	if (secret)
		memcpy(secret, value, ECDSA_SIZE);
	return secret;
}

void gmem_ecdsa_secret_free(uint8_t *secret)
{
	if (!secret)
		return;
	explicit_bzero(secret, ECDSA_SIZE);
	gcry_free(secret);
}

static int scan(gcry_mpi_t *number, const uint8_t bytes[ECDSA_SIZE])
{
	return error_of(gcry_mpi_scan(number, GCRYMPI_FMT_USG, bytes, ECDSA_SIZE, NULL));
}

static int print(uint8_t bytes[ECDSA_SIZE], gcry_mpi_t number)
{
	uint8_t digits[ECDSA_SIZE];
	size_t size;
	int ret;

	ret = error_of(gcry_mpi_print(GCRYMPI_FMT_USG, digits, sizeof(digits), &size, number));
	if (ret)
		return ret;
	memset(bytes, 0, ECDSA_SIZE - size);
	memcpy(bytes + ECDSA_SIZE - size, digits, size);
	return 0;
}

static int print_point(struct ecdsa_point *point, gcry_mpi_point_t from, gcry_ctx_t curve)
{
	gcry_mpi_t x = gcry_mpi_new(0);
	gcry_mpi_t y = gcry_mpi_new(0);
	int ret = -EIO;

	/* Infinity has none. */
	if (!gcry_mpi_ec_get_affine(x, y, from, curve))
		ret = print(point->x, x);
	if (!ret)
		ret = print(point->y, y);
	gcry_mpi_release(y);
	gcry_mpi_release(x);
	return ret;
}

int gmem_ecdsa_derive(const uint8_t *secret, struct ecdsa_point *point)
{
	gcry_mpi_point_t base = NULL, product = NULL;
	gcry_mpi_t number = NULL;
	gcry_ctx_t curve = NULL;
	int ret;

	if (!is_in_range(secret))
		return -EBADMSG;
	ret = error_of(gcry_mpi_ec_new(&curve, NULL, CURVE));
	if (ret)
		return ret;
	ret = scan(&number, secret);
	if (ret)
		goto out;
	/* So that the time that it takes does not depend on it, in whatever memory it is. */
	gcry_mpi_set_flag(number, GCRYMPI_FLAG_SECURE);
	base = gcry_mpi_ec_get_point("g", curve, 1);
	product = gcry_mpi_point_new(0);
	if (!base) {
		ret = -EIO;
		goto out;
	}
	gcry_mpi_ec_mul(product, number, base, curve);
	ret = print_point(point, product, curve);
out:
	gcry_mpi_point_release(product);
	gcry_mpi_point_release(base);
	gcry_mpi_release(number);
	gcry_ctx_release(curve);
	return ret;
}

int gmem_ecdsa_check_point(const struct ecdsa_point *point)
{
	gcry_mpi_t x = NULL, y = NULL, one = NULL;
	gcry_mpi_point_t affine = NULL;
	gcry_ctx_t curve = NULL;
	int ret;

	if (!is_below(point->x, prime) || !is_below(point->y, prime))
		return -EBADMSG;
	ret = error_of(gcry_mpi_ec_new(&curve, NULL, CURVE));
	if (ret)
		return ret;
	ret = scan(&x, point->x);
	if (!ret)
		ret = scan(&y, point->y);
	if (ret)
		goto out;
	one = gcry_mpi_set_ui(NULL, 1);
	affine = gcry_mpi_point_set(NULL, x, y, one);
	ret = gcry_mpi_ec_curve_point(affine, curve) ? 0 : -EBADMSG;
out:
	gcry_mpi_point_release(affine);
	gcry_mpi_release(one);
	gcry_mpi_release(y);
	gcry_mpi_release(x);
	gcry_ctx_release(curve);
	return ret;
}

/*
 * What is to be signed. A deterministic nonce has to be in secure memory, or else libgcrypt takes a
 * time to multiply by it that depends on it; a random one is treated so in any memory.
 */
static int build_data(gcry_sexp_t *data, const uint8_t digest[ECDSA_SIZE], bool deterministic)
{
	return error_of(gcry_sexp_build(data, NULL,
					deterministic ? "(data (flags rfc6979) (hash sha384 %b))"
						      : "(data (flags raw) (value %b))",
					(int)ECDSA_SIZE, digest));
}

static int read_signature(gcry_sexp_t from, struct ecdsa_signature *signature)
{
	gcry_mpi_t r = NULL, s = NULL;
	int ret;

	ret = error_of(gcry_sexp_extract_param(from, NULL, "rs", &r, &s, NULL));
	if (!ret)
		ret = print(signature->r, r);
	if (!ret)
		ret = print(signature->s, s);
	gcry_mpi_release(s);
	gcry_mpi_release(r);
	return ret;
}

int gmem_ecdsa_sign(const uint8_t *secret, const uint8_t digest[ECDSA_SIZE],
		    struct ecdsa_signature *signature)
{
	gcry_sexp_t key = NULL, data = NULL, result = NULL;
	uint8_t *copy;
	int ret;

	/* What is built from secure memory is in secure memory. */
	copy = gcry_malloc_secure(ECDSA_SIZE);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, secret, ECDSA_SIZE);
	ret = error_of(gcry_sexp_build(&key, NULL,
				       "(private-key (ecc (curve \"" CURVE "\") (d %b)))",
				       (int)ECDSA_SIZE, copy));
	if (!ret)
		ret = build_data(&data, digest, gcry_is_secure(copy));
	if (!ret)
		ret = error_of(gcry_pk_sign(&result, data, key));
	if (!ret)
		ret = read_signature(result, signature);
	gcry_sexp_release(result);
	gcry_sexp_release(data);
	gcry_sexp_release(key);
	gmem_ecdsa_secret_free(copy);
	return ret;
}

int gmem_ecdsa_verify(const struct ecdsa_point *point, const uint8_t digest[ECDSA_SIZE],
		      const struct ecdsa_signature *signature)
{
	uint8_t whole[1 + 2 * ECDSA_SIZE] = { 4 }; /* not compressed: SEC 1, 2.3.3 */
	gcry_sexp_t key = NULL, data = NULL, given = NULL;
	int ret;

	if (!is_in_range(signature->r) || !is_in_range(signature->s))
		return -EBADMSG;
	memcpy(whole + 1, point->x, ECDSA_SIZE);
	memcpy(whole + 1 + ECDSA_SIZE, point->y, ECDSA_SIZE);
	ret = error_of(gcry_sexp_build(&key, NULL,
				       "(public-key (ecc (curve \"" CURVE "\") (q %b)))",
				       (int)sizeof(whole), whole));
	if (!ret)
		ret = build_data(&data, digest, true);
	if (!ret)
		ret = error_of(gcry_sexp_build(&given, NULL, "(sig-val (ecdsa (r %b) (s %b)))",
					       (int)ECDSA_SIZE, signature->r, (int)ECDSA_SIZE,
					       signature->s));
	if (!ret)
		ret = error_of(gcry_pk_verify(given, data, key));
	gcry_sexp_release(given);
	gcry_sexp_release(data);
	gcry_sexp_release(key);
	return ret;
}

#else

#include <stddef.h>

/* Nobody comes here: gmem_crypto_start() has failed before. */

uint8_t *gmem_ecdsa_secret_new(const uint8_t value[ECDSA_SIZE])
{
	(void)value;
	return NULL;
}

void gmem_ecdsa_secret_free(uint8_t *secret)
{
	(void)secret;
}

int gmem_ecdsa_derive(const uint8_t *secret, struct ecdsa_point *point)
{
	(void)secret;
	(void)point;
	return -EOPNOTSUPP;
}

int gmem_ecdsa_check_point(const struct ecdsa_point *point)
{
	(void)point;
	return -EOPNOTSUPP;
}

int gmem_ecdsa_sign(const uint8_t *secret, const uint8_t digest[ECDSA_SIZE],
		    struct ecdsa_signature *signature)
{
	(void)secret;
	(void)digest;
	(void)signature;
	return -EOPNOTSUPP;
}

int gmem_ecdsa_verify(const struct ecdsa_point *point, const uint8_t digest[ECDSA_SIZE],
		      const struct ecdsa_signature *signature)
{
	(void)point;
	(void)digest;
	(void)signature;
	return -EOPNOTSUPP;
}

#endif /* HAVE_LIBGCRYPT */
