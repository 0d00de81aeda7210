// SPDX-License-Identifier: LGPL-2.1-or-later
/* The only file that knows libgcrypt. */
#include "sim/snp-crypto.h"

#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <string.h>

/* Oldest release that was tried. */
#define OLDEST_LIBGCRYPT "1.10.0"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int started = -EOPNOTSUPP;

static void start(void)
{
	if (!gcry_check_version(OLDEST_LIBGCRYPT))
		return;
	if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
		/* No secret ever passes through here, but libgmem may have some: leave it on. */
		gcry_control(GCRYCTL_DISABLE_SECMEM_WARN, 0);
		gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	}
	started = 0;
}

int gmem_sim_snp_crypto_start(void)
{
	pthread_once(&once, start);
	return started;
}

void gmem_sim_snp_sha384(const void *data, size_t size, uint8_t digest[SNP_SHA384_SIZE])
{
	gcry_md_hash_buffer(GCRY_MD_SHA384, digest, data, size);
}

static int error_of(gcry_error_t error)
{
	switch (gcry_err_code(error)) {
	case GPG_ERR_NO_ERROR:
		return 0;
	case GPG_ERR_ENOMEM:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

/* On the curve: libgcrypt's verification answers for any key that it is given, good or not. */
static int check_point(gcry_ctx_t curve, const struct snp_p384_key *key)
{
	gcry_mpi_t x = NULL, y = NULL, one = NULL;
	gcry_mpi_point_t point = NULL;
	int ret = -ENOMEM;

	if (gcry_mpi_scan(&x, GCRYMPI_FMT_USG, key->x, sizeof(key->x), NULL) ||
	    gcry_mpi_scan(&y, GCRYMPI_FMT_USG, key->y, sizeof(key->y), NULL))
		goto out;
	one = gcry_mpi_set_ui(NULL, 1);
	point = gcry_mpi_point_set(NULL, x, y, one);
	if (point)
		ret = gcry_mpi_ec_curve_point(point, curve) ? 0 : -EINVAL;
	gcry_mpi_point_release(point);
out:
	gcry_mpi_release(one);
	gcry_mpi_release(y);
	gcry_mpi_release(x);
	return ret;
}

static int build_key(const struct snp_p384_key *key, gcry_sexp_t *result)
{
	uint8_t point[1 + 2 * SNP_P384_SIZE] = { 4 }; /* not compressed */

	memcpy(point + 1, key->x, sizeof(key->x));
	memcpy(point + 1 + sizeof(key->x), key->y, sizeof(key->y));
	return error_of(gcry_sexp_build(result, NULL,
					"(public-key (ecc (curve \"NIST P-384\") (q %b)))",
					(int)sizeof(point), point));
}

static int build_signature(const struct snp_p384_signature *signature, gcry_sexp_t *result)
{
	return error_of(gcry_sexp_build(result, NULL, "(sig-val (ecdsa (r %b) (s %b)))",
					(int)sizeof(signature->r), signature->r,
					(int)sizeof(signature->s), signature->s));
}

static int build_data(const uint8_t digest[SNP_SHA384_SIZE], gcry_sexp_t *result)
{
	return error_of(gcry_sexp_build(result, NULL, "(data (flags raw) (value %b))",
					(int)SNP_SHA384_SIZE, digest));
}

int gmem_sim_snp_p384_verify(const struct snp_p384_key *key,
			     const struct snp_p384_signature *signature,
			     const uint8_t digest[SNP_SHA384_SIZE])
{
	gcry_sexp_t key_sexp = NULL, signature_sexp = NULL, data_sexp = NULL;
	gcry_ctx_t curve = NULL;
	int ret;

	if (gcry_mpi_ec_new(&curve, NULL, "NIST P-384"))
		return -ENOMEM;
	ret = check_point(curve, key);
	if (ret)
		goto out;
	ret = build_key(key, &key_sexp);
	if (ret)
		goto out;
	ret = build_signature(signature, &signature_sexp);
	if (ret)
		goto out;
	ret = build_data(digest, &data_sexp);
	if (ret)
		goto out;
	ret = error_of(gcry_pk_verify(signature_sexp, data_sexp, key_sexp));
out:
	gcry_sexp_release(data_sexp);
	gcry_sexp_release(signature_sexp);
	gcry_sexp_release(key_sexp);
	gcry_ctx_release(curve);
	return ret;
}
