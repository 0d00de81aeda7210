// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of ID blocks and ID authentications, with openssl as the second opinion on signatures. */
#include "test-id-kit.h"

#include "again.h"
#include "snp/crypto.h"
#include "snp/ecdsa.h"

#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK GMEM_SNP_ID_BLOCK_SIZE
#define AUTH GMEM_SNP_ID_AUTH_SIZE

/* Offsets in the ID authentication: AMD 56860. Not taken from the library on purpose. */
#define BLOCK_SIGNATURE 0x40u
#define ID_KEY 0x240u
#define KEY_SIGNATURE 0x680u
#define AUTHOR_KEY 0x880u
#define KEY_SIZE 0x404u
#define NUMBER 72u

#define POLICY UINT64_C(0x30000)

static void make_block(uint8_t block[BLOCK])
{
	uint8_t digest[48], family[16], image[16];
	size_t i;

	for (i = 0; i < 48; i++)
		digest[i] = (uint8_t)(i * 7 + 1);
	for (i = 0; i < 16; i++) {
		family[i] = (uint8_t)(0xa0 + i);
		image[i] = (uint8_t)(0xb0 + i);
	}
	assert_int_equal(gmem_snp_id_block_build(NULL, digest, family, image, 0x01020304,
						 UINT64_C(0x0807060504030201) | POLICY, block),
			 0);
}

static void a_block_has_the_layout_of_the_specification(void **state)
{
	uint8_t block[BLOCK], expected[BLOCK] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < 48; i++)
		expected[i] = (uint8_t)(i * 7 + 1);
	for (i = 0; i < 16; i++) {
		expected[48 + i] = (uint8_t)(0xa0 + i);
		expected[64 + i] = (uint8_t)(0xb0 + i);
	}
	memcpy(expected + 80, "\1\0\0\0\4\3\2\1", 8);
	memcpy(expected + 88, "\1\2\3\4\5\6\7\10", 8);
	make_block(block);
	assert_memory_equal(block, expected, sizeof(expected));
	/* No names are zeros. */
	memset(expected + 48, 0, 32);
	assert_int_equal(gmem_snp_id_block_build(NULL, expected, NULL, NULL, 0x01020304,
						 UINT64_C(0x0807060504030201) | POLICY, block),
			 0);
	assert_memory_equal(block, expected, sizeof(expected));
}

static void a_block_is_read_back(void **state)
{
	struct gmem_snp_id_info info, zero = { .policy = 0 };
	uint8_t block[BLOCK];

	(void)state;
	make_block(block);
	memset(&info, 0xff, sizeof(info));
	assert_int_equal(gmem_snp_id_block_get_info(NULL, block, &info), 0);
	assert_memory_equal(info.digest, block, 48);
	assert_memory_equal(info.family_id, block + 48, 16);
	assert_memory_equal(info.image_id, block + 64, 16);
	assert_int_equal(info.version, 1);
	assert_int_equal(info.svn, 0x01020304);
	assert_true(info.policy == (UINT64_C(0x0807060504030201) | POLICY));
	assert_memory_equal(info.reserved, zero.reserved, sizeof(zero.reserved));
}

static void block_arguments_EINVAL_EBADMSG(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_id_info info;
	uint8_t block[BLOCK], untouched[BLOCK];

	memset(untouched, 0x5a, sizeof(untouched));
	memcpy(block, untouched, sizeof(block));
	assert_int_equal(gmem_snp_id_block_build(kit->ctx, NULL, NULL, NULL, 0, POLICY, block),
			 -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_block_build: digest is NULL");
	assert_int_equal(gmem_snp_id_block_build(kit->ctx, block, NULL, NULL, 0, POLICY, NULL),
			 -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_block_build: block is NULL");
	assert_int_equal(gmem_snp_id_block_build(kit->ctx, block, NULL, NULL, 0, 0x10000, block),
			 -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "policy 0x10000; its bit 17 must be 1");
	assert_memory_equal(block, untouched, sizeof(block));

	make_block(block);
	assert_int_equal(gmem_snp_id_block_get_info(kit->ctx, NULL, &info), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_block_get_info: block is NULL");
	assert_int_equal(gmem_snp_id_block_get_info(kit->ctx, block, NULL), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_block_get_info: info is NULL");
	block[80] = 2;
	assert_int_equal(gmem_snp_id_block_get_info(kit->ctx, block, &info), -EBADMSG);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "the ID block's version is 2; it must be 1");
	block[80] = 1;
	block[90] &= 0xfd;
	assert_int_equal(gmem_snp_id_block_get_info(kit->ctx, block, &info), -EBADMSG);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "policy 0x80706", "its bit 17 must be 1");
}

/* RFC 6979, A.2.6: P-384, SHA-384, message "sample". */
static void signatures_are_those_of_rfc_6979(void **state)
{
	uint8_t number[48], r[48], s[48], digest[48];
	struct ecdsa_signature signature;
	struct ecdsa_point point;
	uint8_t *secret;

	(void)state;
	kit_hex("6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8"
		"96d5724e4c70a825f872c9ea60d2edf5",
		number, 48);
	kit_hex("94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c"
		"81a648152e44acf96e36dd1e80fabe46",
		r, 48);
	kit_hex("99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94f"
		"a329c145786e679e7b82c71a38628ac8",
		s, 48);
	assert_int_equal(gmem_crypto_start(NULL, "test"), 0);
	assert_int_equal(gmem_crypto_sha384("sample", 6, digest), 0);
	secret = gmem_ecdsa_secret_new(number);
	assert_non_null(secret);
	assert_int_equal(gmem_ecdsa_sign(secret, digest, &signature), 0);
	assert_memory_equal(signature.r, r, 48);
	assert_memory_equal(signature.s, s, 48);
	assert_int_equal(gmem_ecdsa_derive(secret, &point), 0);
	assert_int_equal(gmem_ecdsa_verify(&point, digest, &signature), 0);
	gmem_ecdsa_secret_free(secret);
	gmem_ecdsa_secret_free(NULL);
}

/* A number as openssl has it, from where the firmware has it. */
static void get_number(const uint8_t *from, uint8_t to[48])
{
	static const uint8_t zeros[NUMBER - 48];
	size_t i;

	for (i = 0; i < 48; i++)
		to[i] = from[47 - i];
	assert_memory_equal(from + 48, zeros, sizeof(zeros));
}

static void put_number(uint8_t *to, const uint8_t from[48])
{
	size_t i;

	memset(to, 0, NUMBER);
	for (i = 0; i < 48; i++)
		to[i] = from[47 - i];
}

static size_t put_integer(uint8_t *der, const uint8_t number[48])
{
	size_t skip = 0;
	size_t sign;

	while (skip < 47 && number[skip] == 0)
		skip++;
	sign = number[skip] >> 7;
	der[0] = 0x02;
	der[1] = (uint8_t)(48 - skip + sign);
	der[2] = 0;
	memcpy(der + 2 + sign, number + skip, 48 - skip);
	return 2 + der[1];
}

/* A signature out of an ID authentication, into a file as openssl has them. */
static void write_signature(struct kit *kit, const char *name, const uint8_t *signature)
{
	uint8_t r[48], s[48], der[128] = { 0x30 };
	size_t size = 2;

	get_number(signature, r);
	get_number(signature + NUMBER, s);
	size += put_integer(der + size, r);
	size += put_integer(der + size, s);
	der[1] = (uint8_t)(size - 2);
	kit_write(kit, name, der, size);
}

static const uint8_t *get_integer(const uint8_t *der, uint8_t number[48])
{
	size_t size = der[1];

	assert_int_equal(der[0], 0x02);
	der += 2;
	if (size > 48) {
		assert_int_equal(der[0], 0);
		der++;
		size--;
	}
	assert_true(size <= 48);
	memset(number, 0, 48);
	memcpy(number + 48 - size, der, size);
	return der + size;
}

static void read_signature(struct kit *kit, const char *name, uint8_t r[48], uint8_t s[48])
{
	struct file file = kit_read(kit, name);
	const uint8_t *at;

	assert_int_equal(file.bytes[0], 0x30);
	at = get_integer(file.bytes + 2, r);
	at = get_integer(at, s);
	assert_ptr_equal(at, file.bytes + file.size);
	file_free(&file);
}

static void openssl_takes_our_signatures(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *id_key, *author_key;
	uint8_t block[BLOCK], auth[AUTH];

	kit_need_openssl();
	id_key = kit_new_key(kit, "id");
	author_key = kit_new_key(kit, "author");
	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, id_key, author_key, auth), 0);
	kit_write(kit, "block", block, sizeof(block));
	kit_write(kit, "key", auth + ID_KEY, KEY_SIZE);
	write_signature(kit, "block.sig", auth + BLOCK_SIGNATURE);
	write_signature(kit, "key.sig", auth + KEY_SIGNATURE);
	kit_run(kit, "openssl dgst -sha384 -verify id.pub -signature block.sig block >out");
	kit_run(kit, "openssl dgst -sha384 -verify author.pub -signature key.sig key >out");
	kit_run(kit, "! openssl dgst -sha384 -verify id.pub -signature key.sig key >out");
	kit_run(kit,
		"openssl dgst -sha384 -binary -out sum block && "
		"openssl pkeyutl -verify -pubin -inkey id.pub -sigfile block.sig -in sum >out");
	gmem_snp_key_free(author_key);
	gmem_snp_key_free(id_key);
}

static void put_key(struct kit *kit, const char *name, uint8_t *to)
{
	uint8_t point[96];

	kit_public(kit, name, point);
	memset(to, 0, KEY_SIZE);
	to[0] = 2;
	put_number(to + 4, point);
	put_number(to + 4 + NUMBER, point + 48);
}

/* An ID authentication made by openssl and the functions here alone. */
static void make_auth_by_openssl(struct kit *kit, const uint8_t block[BLOCK], uint8_t auth[AUTH])
{
	uint8_t r[48], s[48];

	memset(auth, 0, AUTH);
	auth[0] = 1;
	auth[4] = 1;
	put_key(kit, "id", auth + ID_KEY);
	put_key(kit, "author", auth + AUTHOR_KEY);
	kit_write(kit, "block", block, BLOCK);
	kit_write(kit, "key", auth + ID_KEY, KEY_SIZE);
	kit_run(kit, "openssl dgst -sha384 -sign id.pem -out block.sig block");
	kit_run(kit, "openssl dgst -sha384 -sign author.pem -out key.sig key");
	read_signature(kit, "block.sig", r, s);
	put_number(auth + BLOCK_SIGNATURE, r);
	put_number(auth + BLOCK_SIGNATURE + NUMBER, s);
	read_signature(kit, "key.sig", r, s);
	put_number(auth + KEY_SIGNATURE, r);
	put_number(auth + KEY_SIGNATURE + NUMBER, s);
}

static void we_take_openssl_s_signatures(void **state)
{
	struct kit *kit = *state;
	uint8_t block[BLOCK], auth[AUTH], digest[48], expected[48];
	struct gmem_snp_key *id_key, *author_key;

	kit_need_openssl();
	id_key = kit_new_key(kit, "id");
	author_key = kit_new_key(kit, "author");
	make_block(block);
	make_auth_by_openssl(kit, block, auth);
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, auth, digest, NULL), 0);
	assert_int_equal(gmem_snp_key_get_digest(id_key, expected), 0);
	assert_memory_equal(digest, expected, sizeof(digest));
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, auth, NULL, digest), 0);
	assert_int_equal(gmem_snp_key_get_digest(author_key, expected), 0);
	assert_memory_equal(digest, expected, sizeof(digest));
	expect_no_message(kit->logs);
	gmem_snp_key_free(author_key);
	gmem_snp_key_free(id_key);
}

/* Keys that need no openssl: SEC 1 of a made-up number. */
static struct gmem_snp_key *made_up_key(struct kit *kit, uint8_t seed)
{
	uint8_t der[64] = { 0x30, 0x3e, 0x02, 0x01, 0x01, 0x04, 0x30 };
	struct gmem_snp_key *key = NULL;
	size_t i;

	for (i = 0; i < 48; i++)
		der[7 + i] = (uint8_t)(seed + 31 * i);
	memcpy(der + 55, "\xa0\x07\x06\x05\x2b\x81\x04\x00\x22", 9);
	assert_int_equal(gmem_snp_key_new(kit->ctx, der, sizeof(der), &key), 0);
	return key;
}

static void without_author_key(void **state)
{
	static const uint8_t zeros[AUTH];
	struct kit *kit = *state;
	struct gmem_snp_key *key = made_up_key(kit, 1);
	uint8_t block[BLOCK], auth[AUTH], again[AUTH], id_digest[48], author_digest[48];

	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, key, NULL, auth), 0);
	assert_memory_equal(auth, "\1\0\0\0\0\0\0\0", 8);
	assert_memory_equal(auth + 8, zeros, BLOCK_SIGNATURE - 8);
	assert_memory_equal(auth + BLOCK_SIGNATURE + 2 * NUMBER, zeros, 0x200 - 2 * NUMBER);
	assert_memory_equal(auth + ID_KEY, "\2\0\0\0", 4);
	assert_memory_equal(auth + ID_KEY + 4 + 2 * NUMBER, zeros, AUTH - ID_KEY - 4 - 2 * NUMBER);
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
	memset(author_digest, 0xff, sizeof(author_digest));
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, auth, id_digest, author_digest), 0);
	assert_memory_equal(author_digest, zeros, sizeof(author_digest));
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, auth, NULL, NULL), 0);
	/* The same bytes each time. */
	assert_int_equal(gmem_snp_id_auth_sign(block, key, NULL, again), 0);
	assert_memory_equal(auth, again, sizeof(auth));
	/* One key may be both. */
	assert_int_equal(gmem_snp_id_auth_sign(block, key, key, auth), 0);
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, auth, id_digest, author_digest), 0);
	assert_memory_equal(author_digest, id_digest, sizeof(id_digest));
	expect_no_message(kit->logs);
	gmem_snp_key_free(key);
}

/* One key, many threads, and all of them come to the same. */

#define THREADS 8u
#define SIGNATURES 10u

struct signer {
	pthread_t thread;
	const struct gmem_snp_key *key;
	const uint8_t *block;
	const uint8_t *expected;
	unsigned int good;
};

static void *sign_again_and_again(void *argument)
{
	struct signer *signer = argument;
	uint8_t auth[AUTH];
	unsigned int i;

	for (i = 0; i < SIGNATURES; i++) {
		if (!gmem_snp_id_auth_sign(signer->block, signer->key, signer->key, auth) &&
		    !memcmp(auth, signer->expected, AUTH) &&
		    !gmem_snp_id_auth_verify(NULL, signer->block, auth))
			signer->good++;
	}
	return NULL;
}

static void many_threads_sign_with_one_key(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key = made_up_key(kit, 7);
	struct signer signers[THREADS];
	uint8_t block[BLOCK], auth[AUTH];
	unsigned int i;

	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, key, key, auth), 0);
	for (i = 0; i < THREADS; i++) {
		signers[i] = (struct signer){ .key = key, .block = block, .expected = auth };
		assert_int_equal(pthread_create(&signers[i].thread, NULL, sign_again_and_again,
						&signers[i]),
				 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(signers[i].thread, NULL);
		assert_int_equal(signers[i].good, SIGNATURES);
	}
	gmem_snp_key_free(key);
}

/* libgcrypt's pool of locked memory has 32 KiB at first, and a key takes 64 bytes and more. */
static void more_keys_than_locked_memory_holds(void **state)
{
	struct kit *kit = *state;
	size_t count = kit_stride(100) == 1 ? 700 : 7;
	struct gmem_snp_key **keys = calloc(count, sizeof(struct gmem_snp_key *));
	uint8_t block[BLOCK], auth[AUTH];
	size_t i;

	assert_non_null(keys);
	for (i = 0; i < count; i++) {
		keys[i] = made_up_key(kit, (uint8_t)i);
		assert_non_null(keys[i]);
	}
	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, keys[0], keys[count - 1], auth), 0);
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
	for (i = 0; i < count; i++)
		gmem_snp_key_free(keys[i]);
	free(keys);
}

static void tamper(struct kit *kit, uint8_t *bytes, size_t size, const uint8_t block[BLOCK],
		   const uint8_t auth[AUTH])
{
	size_t stride = kit_stride(97);
	size_t at;

	for (at = 0; at < size; at += stride) {
		bytes[at] ^= (uint8_t)(1u << at % 8);
		if (gmem_snp_id_auth_verify(kit->ctx, block, auth) != -EBADMSG)
			fail_msg("byte 0x%zx can be changed", at);
		expect_one_message(kit->logs, GMEM_LOG_ERROR,
				   "gmem_snp_id_auth_verify: ", "must be ");
		bytes[at] ^= (uint8_t)(1u << at % 8);
	}
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
}

static void no_byte_can_be_changed(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *id_key = made_up_key(kit, 1), *author_key = made_up_key(kit, 2);
	uint8_t block[BLOCK], auth[AUTH];

	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, id_key, author_key, auth), 0);
	tamper(kit, block, sizeof(block), block, auth);
	tamper(kit, auth, sizeof(auth), block, auth);
	assert_int_equal(gmem_snp_id_auth_sign(block, id_key, NULL, auth), 0);
	tamper(kit, auth, sizeof(auth), block, auth);
	gmem_snp_key_free(author_key);
	gmem_snp_key_free(id_key);
}

struct wrong {
	size_t at;
	const char *bytes;
	size_t size;
	const char *words;
};

/* What the message says of each kind of damage. */
static const struct wrong wrongs[] = {
	{ 0, "\0", 1, "the ID key's algorithm is 0; it must be 1" },
	{ 4, "\2", 1, "the author key's algorithm is 2; it must be 1" },
	{ 4, "\0", 1, "as the author key's algorithm is 0 (no author key)" },
	{ 0x3f, "\1", 1, "byte 0x3f of the ID authentication is 0x1; it must be 0 (reserved)" },
	{ 0xfff, "\x80", 1,
	  "byte 0xfff of the ID authentication is 0x80; it must be 0 (reserved)" },
	{ BLOCK_SIGNATURE + 50, "\1", 1, "the ID block's signature does not hold" },
	{ KEY_SIGNATURE + 50, "\1", 1,
	  "the ID key's signature does not hold; it must be by the author" },
	{ ID_KEY, "\1", 1, "the ID key is on curve 1; it must be 2 (P-384)" },
	{ AUTHOR_KEY, "\3", 1, "the author key is on curve 3; it must be 2 (P-384)" },
	{ ID_KEY + 4 + 48, "\1", 1, "the ID key is no point of P-384" },
	{ AUTHOR_KEY + 4 + NUMBER, "\1\2", 2, "the author key is no point of P-384" },
	{ BLOCK_SIGNATURE, "\0", 0, "the ID block's signature does not hold" },
};

static void messages_say_what_is_wrong(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *id_key = made_up_key(kit, 1), *author_key = made_up_key(kit, 2);
	uint8_t block[BLOCK], auth[AUTH], bad[AUTH];
	size_t i;

	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, id_key, author_key, auth), 0);
	for (i = 0; i < ARRAY_SIZE(wrongs); i++) {
		memcpy(bad, auth, sizeof(bad));
		if (wrongs[i].size)
			memcpy(bad + wrongs[i].at, wrongs[i].bytes, wrongs[i].size);
		else
			memset(bad + wrongs[i].at, 0, NUMBER);
		assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, bad), -EBADMSG);
		expect_one_message(kit->logs, GMEM_LOG_ERROR, wrongs[i].words);
	}
	block[80] = 3;
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), -EBADMSG);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "the ID block's version is 3");
	assert_int_equal(gmem_snp_id_auth_sign(block, id_key, NULL, bad), -EBADMSG);
	expect_one_message(kit->logs, GMEM_LOG_ERROR,
			   "gmem_snp_id_auth_sign: the ID block's version is 3");
	memcpy(bad, auth, sizeof(bad));
	bad[ID_KEY] = 1;
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, bad, NULL, NULL), -EBADMSG);
	expect_one_message(kit->logs, GMEM_LOG_ERROR,
			   "gmem_snp_id_auth_get_digests: the ID key is on curve 1");
	bad[ID_KEY] = 2;
	bad[AUTHOR_KEY + 7] ^= 2;
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, bad, NULL, NULL), -EBADMSG);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "the author key is no point of P-384");
	gmem_snp_key_free(author_key);
	gmem_snp_key_free(id_key);
}

/* The order added to a half of a signature, or a half that is 0, is no signature. */
static void signatures_are_in_range(void **state)
{
	static const char order_hex[] =
		"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
	struct ecdsa_signature signature = { { 0 }, { 0 } };
	struct ecdsa_point point;
	uint8_t digest[48] = { 0 };
	uint8_t one[48] = { 0 };
	uint8_t *secret;

	(void)state;
	assert_int_equal(gmem_crypto_start(NULL, "test"), 0);
	one[47] = 1;
	secret = gmem_ecdsa_secret_new(one);
	assert_int_equal(gmem_ecdsa_derive(secret, &point), 0);
	gmem_ecdsa_secret_free(secret);
	assert_int_equal(gmem_ecdsa_verify(&point, digest, &signature), -EBADMSG);
	memcpy(signature.r, one, 48);
	assert_int_equal(gmem_ecdsa_verify(&point, digest, &signature), -EBADMSG);
	kit_hex(order_hex, signature.s, 48);
	assert_int_equal(gmem_ecdsa_verify(&point, digest, &signature), -EBADMSG);
}

static void points_are_on_the_curve(void **state)
{
	static const char prime_hex[] =
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff";
	struct ecdsa_point point, zero = { { 0 }, { 0 } };
	uint8_t one[48] = { 0 };
	uint8_t *secret;

	(void)state;
	assert_int_equal(gmem_crypto_start(NULL, "test"), 0);
	one[47] = 1;
	secret = gmem_ecdsa_secret_new(one);
	assert_int_equal(gmem_ecdsa_derive(secret, &point), 0);
	gmem_ecdsa_secret_free(secret);
	assert_int_equal(gmem_ecdsa_check_point(&point), 0);
	assert_int_equal(gmem_ecdsa_check_point(&zero), -EBADMSG);
	point.y[47] ^= 1;
	assert_int_equal(gmem_ecdsa_check_point(&point), -EBADMSG);
	point.y[47] ^= 1;
	kit_hex(prime_hex, point.x, 48);
	assert_int_equal(gmem_ecdsa_check_point(&point), -EBADMSG);
}

/* An HSM: openssl with the key hsm.pem; and what can be wrong with one. */

enum fault {
	FAULT_NONE,
	FAULT_REFUSES,
	FAULT_STRANGE,
	FAULT_NOTHING,
	FAULT_SWAPS,
	FAULT_BIT,
	FAULTS
};

struct hsm {
	struct kit *kit;
	enum fault fault;
	unsigned int calls;
	unsigned int freed;
};

static int hsm_sign(const uint8_t hash[48], uint8_t r[48], uint8_t s[48], void *opaque)
{
	struct hsm *hsm = opaque;

	hsm->calls++;
	if (hsm->fault == FAULT_REFUSES)
		return -EACCES;
	if (hsm->fault == FAULT_STRANGE)
		return 1;
	if (hsm->fault == FAULT_NOTHING)
		return 0;
	kit_write(hsm->kit, "hash", hash, 48);
	kit_run(hsm->kit, "openssl pkeyutl -sign -inkey hsm.pem -in hash -out hash.sig");
	if (hsm->fault == FAULT_SWAPS)
		read_signature(hsm->kit, "hash.sig", s, r);
	else
		read_signature(hsm->kit, "hash.sig", r, s);
	if (hsm->fault == FAULT_BIT)
		s[30] ^= 4;
	return 0;
}

static void hsm_free(void *opaque)
{
	((struct hsm *)opaque)->freed++;
}

static struct gmem_snp_key *open_hsm(struct hsm *hsm, struct kit *kit)
{
	struct gmem_snp_key *key = NULL;
	uint8_t point[96];

	*hsm = (struct hsm){ .kit = kit };
	gmem_snp_key_free(kit_new_key(kit, "hsm"));
	kit_public(kit, "hsm", point);
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, point, point + 48, hsm_sign, hsm,
						   hsm_free, &key),
			 0);
	return key;
}

static void external_keys_sign(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key, *own = made_up_key(kit, 3);
	uint8_t block[BLOCK], auth[AUTH], digest[48], expected[48];
	struct hsm hsm;

	kit_need_openssl();
	key = open_hsm(&hsm, kit);
	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, key, key, auth), 0);
	assert_int_equal(hsm.calls, 2);
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
	assert_int_equal(gmem_snp_id_auth_sign(block, own, key, auth), 0);
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, auth, NULL, digest), 0);
	assert_int_equal(gmem_snp_key_get_digest(key, expected), 0);
	assert_memory_equal(digest, expected, sizeof(digest));
	expect_no_message(kit->logs);
	assert_int_equal(hsm.freed, 0);
	gmem_snp_key_free(key);
	assert_int_equal(hsm.freed, 1);
	gmem_snp_key_free(own);
}

static void broken_external_keys_are_found_at_once(void **state)
{
	static const char *const words[FAULTS] = {
		[FAULT_REFUSES] = "the external key's function failed (EACCES)",
		[FAULT_STRANGE] = "the external key's function failed (",
		[FAULT_NOTHING] = "what the external key's function gave does not hold",
		[FAULT_SWAPS] = "what the external key's function gave does not hold",
		[FAULT_BIT] = "what the external key's function gave does not hold",
	};
	struct kit *kit = *state;
	struct gmem_snp_key *key, *own = made_up_key(kit, 3);
	uint8_t block[BLOCK], auth[AUTH], untouched[AUTH];
	struct hsm hsm;

	kit_need_openssl();
	key = open_hsm(&hsm, kit);
	make_block(block);
	memset(untouched, 0x5a, sizeof(untouched));
	memcpy(auth, untouched, sizeof(auth));
	for (hsm.fault = FAULT_REFUSES; hsm.fault < FAULTS; hsm.fault++) {
		int expected = hsm.fault <= FAULT_STRANGE ? -ECANCELED : -EBADMSG;

		assert_int_equal(gmem_snp_id_auth_sign(block, key, NULL, auth), expected);
		expect_one_message(
			kit->logs, GMEM_LOG_ERROR,
			"gmem_snp_id_auth_sign: the ID block's signature: ", words[hsm.fault]);
		assert_int_equal(gmem_snp_id_auth_sign(block, own, key, auth), expected);
		expect_one_message(
			kit->logs, GMEM_LOG_ERROR,
			"gmem_snp_id_auth_sign: the ID key's signature: ", words[hsm.fault]);
		assert_memory_equal(auth, untouched, sizeof(auth));
	}
	gmem_snp_key_free(key);
	gmem_snp_key_free(own);
}

static void external_key_arguments_EINVAL_EBADMSG(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key;
	struct hsm hsm = { .kit = kit };
	uint8_t x[48] = { 0 }, y[48] = { 0 };

	assert_int_equal(gmem_snp_key_new_external(kit->ctx, x, y, hsm_sign, &hsm, hsm_free, NULL),
			 -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new_external: key is NULL");
	assert_int_equal(hsm.freed, 1);
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, NULL, y, hsm_sign, &hsm, hsm_free,
						   &key),
			 -EINVAL);
	assert_null(key);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "qx is NULL");
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, x, NULL, hsm_sign, &hsm, hsm_free,
						   &key),
			 -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "qy is NULL");
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, x, y, NULL, &hsm, hsm_free, &key),
			 -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "sign is NULL");
	assert_int_equal(hsm.freed, 4);
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, x, y, hsm_sign, &hsm, hsm_free, &key),
			 -EBADMSG);
	assert_null(key);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "qx and qy are no point of P-384");
	assert_int_equal(hsm.freed, 5);
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, x, y, hsm_sign, &hsm, NULL, &key),
			 -EBADMSG);
	logs_reset(kit->logs);
}

static void gmem_snp_key_new_external_ENOMEM(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *own = made_up_key(kit, 4), *key;
	struct hsm hsm = { .kit = kit };
	uint8_t x[48], y[48];

	assert_int_equal(gmem_snp_key_get_public(own, x, y), 0);
	gmem_snp_key_free(own);
	key = (struct gmem_snp_key *)&key;
	allocations_fail(1);
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, x, y, hsm_sign, &hsm, hsm_free, &key),
			 -ENOMEM);
	allocations_off();
	assert_null(key);
	assert_int_equal(hsm.freed, 1);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new_external: no memory");
	assert_int_equal(gmem_snp_key_new_external(kit->ctx, x, y, hsm_sign, &hsm, hsm_free, &key),
			 0);
	gmem_snp_key_free(key);
	assert_int_equal(hsm.freed, 2);
}

static void auth_arguments_EINVAL(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key = made_up_key(kit, 5);
	uint8_t block[BLOCK], auth[AUTH];

	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, NULL, NULL, auth), -EINVAL);
	assert_int_equal(gmem_snp_id_auth_sign(NULL, key, NULL, auth), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_auth_sign: block is NULL");
	assert_int_equal(gmem_snp_id_auth_sign(block, key, NULL, NULL), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_auth_sign: auth is NULL");
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, NULL, auth), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_auth_verify: block is NULL");
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, NULL), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_auth_verify: auth is NULL");
	assert_int_equal(gmem_snp_id_auth_get_digests(kit->ctx, NULL, NULL, NULL), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_id_auth_get_digests: auth is NULL");
	gmem_snp_key_free(key);
}

/* The table of blocks that the simulated firmware is tested with; its signatures are python's. */

static bool split(char *line, char **fields, size_t count)
{
	size_t i;

	line[strcspn(line, "\n")] = '\0';
	for (i = 0; i < count; i++)
		fields[i] = strsep(&line, "\t");
	return fields[count - 1] && !line;
}

static void put_pair(uint8_t *to, char *const *fields)
{
	uint8_t number[48];

	kit_hex(fields[0], number, 48);
	put_number(to, number);
	kit_hex(fields[1], number, 48);
	put_number(to + NUMBER, number);
}

/* What the firmware says of a signature; what it says of digest and policy is not ours. */
static int expected_of(unsigned long error)
{
	switch (error) {
	case 0x0:
	case 0x7: /* policy */
	case 0xb: /* measurement */
		return 0;
	case 0xa:  /* signature */
	case 0x16: /* parameter */
	case 0x27: /* key */
		return -EBADMSG;
	default:
		fail_msg("error 0x%lx", error);
	}
	return 1;
}

static bool check_row(struct kit *kit, char **field)
{
	uint8_t block[BLOCK], auth[AUTH] = { 1 };
	int expected = expected_of(strtoul(field[1], NULL, 16));

	kit_hex(field[2], block, BLOCK);
	auth[ID_KEY] = 2;
	put_pair(auth + ID_KEY + 4, field + 3);
	put_pair(auth + BLOCK_SIGNATURE, field + 5);
	if (strcmp(field[7], "-") != 0) {
		auth[4] = 1;
		auth[AUTHOR_KEY] = 2;
		put_pair(auth + AUTHOR_KEY + 4, field + 7);
		put_pair(auth + KEY_SIGNATURE, field + 9);
	}
	if (gmem_snp_id_auth_verify(kit->ctx, block, auth) != expected)
		fail_msg("row %s: not %d", field[0], expected);
	logs_reset(kit->logs);
	return expected == 0;
}

static void a_table_of_blocks(void **state)
{
	const char *source = getenv("top_srcdir");
	unsigned int good = 0, bad = 0;
	struct kit *kit = *state;
	char path[4096], line[4096], *fields[11];
	FILE *table;

	snprintf(path, sizeof(path), "%s/tests/data/snp/id-blocks.tsv", source ? source : ".");
	table = fopen(path, "re");
	assert_non_null(table);
	assert_non_null(fgets(line, sizeof(line), table));
	while (fgets(line, sizeof(line), table)) {
		assert_true(split(line, fields, ARRAY_SIZE(fields)));
		if (check_row(kit, fields))
			good++;
		else
			bad++;
	}
	fclose(table);
	assert_true(good > 5 && bad > 5);
}

/* A program that does without libgcrypt's secure memory: a process of its own. */

static void signing_without_secure_memory(void **state)
{
	struct kit *kit = *state;
	uint8_t block[BLOCK], auth[AUTH], again[AUTH];
	struct gmem_snp_key *key;

	assert_non_null(gcry_check_version(NULL));
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	key = made_up_key(kit, 6);
	make_block(block);
	assert_int_equal(gmem_snp_id_auth_sign(block, key, key, auth), 0);
	assert_int_equal(gmem_snp_id_auth_verify(kit->ctx, block, auth), 0);
	/* Another nonce each time; but in FIPS mode secure memory cannot be turned off. */
	assert_int_equal(gmem_snp_id_auth_sign(block, key, key, again), 0);
	assert_int_equal(!memcmp(auth, again, sizeof(auth)), gcry_fips_mode_active());
	gmem_snp_key_free(key);
}

/* In FIPS mode secure memory does not grow, and libgcrypt ends a program that needs more. */
static void keys_in_fips_mode(void **state)
{
	gcry_control(GCRYCTL_FORCE_FIPS_MODE, 0);
	more_keys_than_locked_memory_holds(state);
	assert_true(gcry_fips_mode_active());
	many_threads_sign_with_one_key(state);
}

static const struct CMUnitTest children[] = {
	cmocka_unit_test(signing_without_secure_memory),
	cmocka_unit_test(keys_in_fips_mode),
};

/* libgcrypt is initialised once in a process, so each of these has one. */
static void expect_child(unsigned int number)
{
	char argument[] = { (char)('0' + number), '\0' };

	if (getenv("GMEM_TEST_VALGRIND")) {
		print_message("valgrind does not start a program again by /proc/self/exe\n");
		skip();
	}
	assert_int_equal(run_again(argument), 0);
}

static void without_secure_memory(void **state)
{
	(void)state;
	expect_child(0);
}

static void in_fips_mode(void **state)
{
	(void)state;
	expect_child(1);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_has_the_layout_of_the_specification),
		cmocka_unit_test(a_block_is_read_back),
		cmocka_unit_test(block_arguments_EINVAL_EBADMSG),
		cmocka_unit_test(signatures_are_those_of_rfc_6979),
		cmocka_unit_test(openssl_takes_our_signatures),
		cmocka_unit_test(we_take_openssl_s_signatures),
		cmocka_unit_test(without_author_key),
		cmocka_unit_test(many_threads_sign_with_one_key),
		cmocka_unit_test(more_keys_than_locked_memory_holds),
		cmocka_unit_test(no_byte_can_be_changed),
		cmocka_unit_test(messages_say_what_is_wrong),
		cmocka_unit_test(signatures_are_in_range),
		cmocka_unit_test(points_are_on_the_curve),
		cmocka_unit_test(external_keys_sign),
		cmocka_unit_test(broken_external_keys_are_found_at_once),
		cmocka_unit_test(external_key_arguments_EINVAL_EBADMSG),
		cmocka_unit_test(gmem_snp_key_new_external_ENOMEM),
		cmocka_unit_test(auth_arguments_EINVAL),
		cmocka_unit_test(a_table_of_blocks),
		cmocka_unit_test(without_secure_memory),
		cmocka_unit_test(in_fips_mode),
	};
	int failed;

	if (argc > 1) {
		failed = _cmocka_run_group_tests("child", &children[argv[1][0] - '0'], 1, kit_open,
						 kit_close);
		fflush(NULL);
		/*
		 * Past LeakSanitizer: what libgcrypt's random generator has in FIPS mode is known to
		 * its locked memory alone, where LeakSanitizer does not look.
		 */
		_exit(failed);
	}
	return cmocka_run_group_tests(tests, kit_open, kit_close);
}
