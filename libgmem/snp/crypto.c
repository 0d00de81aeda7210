// SPDX-License-Identifier: LGPL-2.1-or-later
/* Hashing by libgcrypt, whose start is the one thing that the whole process shares. */
#include "snp/crypto.h"

#include "log.h"

#include <errno.h>

int gmem_crypto_report(struct gmem_ctx *ctx, const char *who)
{
	log_error(ctx,
		  "%s: libgcrypt has stopped hashing; it must be operational (in FIPS mode: "
		  "all of its self-tests passed)",
		  who);
	return -EOPNOTSUPP;
}

#ifdef HAVE_LIBGCRYPT

#include <gcrypt.h>
#include <pthread.h>

/* Oldest release that was tried; configure asks for the same. */
#define OLDEST_LIBGCRYPT "1.10.0"
/* Bytes by which libgcrypt's pool of secure memory grows, when many keys are used at once. */
#define SECURE_POOL_STEP 16384u

/*
 * The library's only variable. libgcrypt is initialised once in a process, which its functions do
 * not make sure of when several threads come first at the same time.
 */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
	/* Asked first: looking at the version already counts as initialising. */
	int begun = gcry_control(GCRYCTL_ANY_INITIALIZATION_P) != 0;

	if (!gcry_check_version(OLDEST_LIBGCRYPT) || begun)
		return;
	/*
	 * Secure memory is left on: libgcrypt makes its pool (32 KiB, locked where the limit allows)
	 * when the first private key needs it, so that a program which only hashes locks nothing.
	 * Without it libgcrypt neither wipes its copies of a key nor takes the same time for every
	 * deterministic nonce. A library has no business with stderr and the process's user.
	 */
	gcry_control(GCRYCTL_DISABLE_SECMEM_WARN, 0);
	gcry_control(GCRYCTL_DISABLE_PRIV_DROP, 0);
	gcry_control(GCRYCTL_AUTO_EXPAND_SECMEM, SECURE_POOL_STEP);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

int gmem_crypto_start(struct gmem_ctx *ctx, const char *who)
{
	pthread_once(&once, start);
	if (!gcry_check_version(OLDEST_LIBGCRYPT)) {
		log_error(ctx, "%s: libgcrypt is version %s; it must be %s or later", who,
			  gcry_check_version(NULL), OLDEST_LIBGCRYPT);
		return -EOPNOTSUPP;
	}
	if (gcry_md_test_algo(GCRY_MD_SHA384) || gcry_md_test_algo(GCRY_MD_SHA256)) {
		log_error(ctx,
			  "%s: libgcrypt %s may not use SHA-384 and SHA-256 in this process; "
			  "both must be enabled",
			  who, gcry_check_version(NULL));
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Unlike gcry_md_hash_buffer() this one returns when something is wrong. */
static int hash(int algorithm, const void *data, size_t size, uint8_t *digest)
{
	gcry_buffer_t buffer = { .data = (void *)data, .len = size };

	return gcry_md_hash_buffers(algorithm, 0, digest, &buffer, 1) ? -EOPNOTSUPP : 0;
}

int gmem_crypto_sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
	return hash(GCRY_MD_SHA256, data, size, digest);
}

int gmem_crypto_sha384(const void *data, size_t size, uint8_t digest[SHA384_SIZE])
{
	return hash(GCRY_MD_SHA384, data, size, digest);
}

#else

int gmem_crypto_start(struct gmem_ctx *ctx, const char *who)
{
	log_error(ctx,
		  "%s: this libgmem was built without libgcrypt, which it must have to hash "
		  "and to sign",
		  who);
	return -EOPNOTSUPP;
}

int gmem_crypto_sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
	(void)data;
	(void)size;
	(void)digest;
	return -EOPNOTSUPP;
}

int gmem_crypto_sha384(const void *data, size_t size, uint8_t digest[SHA384_SIZE])
{
	(void)data;
	(void)size;
	(void)digest;
	return -EOPNOTSUPP;
}

#endif /* HAVE_LIBGCRYPT */
