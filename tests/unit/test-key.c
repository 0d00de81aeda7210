// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of keys: what openssl writes is read, and all else is refused with a reason. */
#include "test-id-kit.h"

#include "snp/key_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A SEC 1 key up to its public part, and where its private number is in it. */
static const char sample_hex[] =
	"3081a402010104300102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728"
	"292a2b2c2d2e2f30a00706052b81040022a16403620004";
#define SAMPLE_SECRET 8u
#define SAMPLE_SIZE 167u

/* A way to write the key k.pem to the file x. */
struct form {
	const char *name;
	const char *command;
};

static const struct form forms[] = {
	{ "SEC 1, PEM", "cp k.pem x" },
	{ "SEC 1, PEM, parameters before it",
	  "{ openssl ecparam -name secp384r1; cat k.pem; } >x" },
	{ "SEC 1, DER", "openssl ec -in k.pem -outform DER -out x" },
	{ "SEC 1, PEM, no public part", "openssl ec -in k.pem -no_public -out x" },
	{ "SEC 1, DER, no public part", "openssl ec -in k.pem -no_public -outform DER -out x" },
	{ "SEC 1, PEM, compressed", "openssl ec -in k.pem -conv_form compressed -out x" },
	{ "SEC 1, DER, compressed",
	  "openssl ec -in k.pem -conv_form compressed -outform DER -out x" },
	{ "PKCS #8, PEM", "openssl pkcs8 -topk8 -nocrypt -in k.pem -out x" },
	{ "PKCS #8, DER", "openssl pkcs8 -topk8 -nocrypt -in k.pem -outform DER -out x" },
	{ "PKCS #8, PEM, no public part",
	  "openssl ec -in k.pem -no_public | openssl pkcs8 -topk8 -nocrypt -out x" },
	{ "PKCS #8, PEM, compressed",
	  "openssl ec -in k.pem -conv_form compressed | openssl pkcs8 -topk8 -nocrypt -out x" },
	{ "line ends of Windows", "sed 's/$/\\r/' k.pem >x" },
	{ "no newline at the end", "printf '%s' \"$(cat k.pem)\" >x" },
	{ "text around it", "{ echo 0 is no tag here; cat k.pem; echo the end; } >x" },
	{ "beside its public part", "cat k.pub k.pem >x" },
	{ "after a certificate",
	  "openssl req -x509 -key k.pem -subj /CN=x -out c.pem && cat c.pem k.pem >x" },
	{ "one long line",
	  "{ echo '-----BEGIN PRIVATE KEY-----'; openssl pkcs8 -topk8 -nocrypt -in k.pem -outform DER "
	  "| openssl base64 -A; echo; echo '-----END PRIVATE KEY-----'; } >x" },
};

static void every_form_of_a_key_is_read(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key;
	uint8_t expected[96], point[96];
	size_t i;

	kit_need_openssl();
	gmem_snp_key_free(kit_new_key(kit, "k"));
	kit_public(kit, "k", expected);
	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		struct file file;
		int ret;

		kit_run(kit, "%s", forms[i].command);
		file = kit_read(kit, "x");
		ret = gmem_snp_key_new(kit->ctx, file.bytes, file.size, &key);
		if (ret)
			fail_msg("%s: %d", forms[i].name, ret);
		expect_no_message(kit->logs);
		assert_int_equal(gmem_snp_key_get_public(key, point, point + 48), 0);
		assert_memory_equal(point, expected, sizeof(expected));
		gmem_snp_key_free(key);
		file_free(&file);
	}
}

struct refusal {
	const char *command; /* writes x */
	const char *words;
};

static const struct refusal refusals[] = {
	{ "openssl ecparam -name prime256v1 -genkey -noout -out x", "curve P-256; it must be" },
	{ "openssl ecparam -name secp521r1 -genkey -noout -out x", "curve P-521; it must be" },
	{ "openssl ecparam -name secp224r1 -genkey -noout -out x", "curve P-224; it must be" },
	{ "openssl ecparam -name prime192v1 -genkey -noout -out x", "curve P-192; it must be" },
	{ "openssl ecparam -name secp256k1 -genkey -noout -out x", "curve secp256k1; it must be" },
	{ "openssl ecparam -name brainpoolP384r1 -genkey -noout -out x",
	  "curve brainpoolP384r1; it must be" },
	{ "openssl ecparam -name brainpoolP256r1 -genkey -noout -out x", "on an unknown curve" },
	{ "openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out x",
	  "curve P-256; it must be" },
	{ "openssl ecparam -name prime256v1 -genkey -noout -outform DER -out x",
	  "curve P-256; it must be" },
	{ "openssl ecparam -name secp384r1 -param_enc explicit -genkey -noout -out x",
	  "spells out its curve's parameters; it must name" },
	{ "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out x", "is an RSA key" },
	{ "openssl genrsa -traditional -out x 1024", "is an RSA key" },
	{ "openssl genrsa -traditional 1024 | openssl rsa -outform DER -traditional -out x",
	  "is an RSA or DSA key" },
	{ "openssl genpkey -algorithm ED25519 -out x", "is an Ed25519 key" },
	{ "openssl genpkey -algorithm ED448 -out x", "is an Ed448 key" },
	{ "openssl genpkey -algorithm X25519 -out x", "is an X25519 key" },
	{ "openssl genpkey -algorithm X448 -out x", "is an X448 key" },
	{ "openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out p && "
	  "openssl genpkey -paramfile p -out x",
	  "for an unknown algorithm" },
	{ "openssl pkcs8 -topk8 -in k.pem -passout pass:x -out x",
	  "is encrypted; decrypt it first" },
	{ "openssl pkcs8 -topk8 -in k.pem -passout pass:x -outform DER -out x",
	  "is encrypted; decrypt it first" },
	{ "openssl ec -in k.pem -aes256 -passout pass:x -out x", "is encrypted; decrypt it first" },
	{ "cp k.pub x", "is a public key; it must be the private one" },
	{ "openssl pkey -in k.pem -pubout -outform DER -out x",
	  "is a public key; it must be the private one" },
	{ "openssl req -x509 -key k.pem -subj /CN=x -out x", "it has no block \"PRIVATE KEY\"" },
	{ "openssl ecparam -name secp384r1 -out x", "it has no block \"PRIVATE KEY\"" },
	{ "sed 's/EC PRIVATE/OPENSSH PRIVATE/' k.pem >x", "OpenSSH's own format" },
	{ "sed 's/EC PRIVATE/DSA PRIVATE/' k.pem >x", "is a DSA key" },
	{ "cat k.pem k.pem >x", "one of several private keys" },
	{ "sed '$d' k.pem >x", "without its line -----END" },
	{ "sed '2d' k.pem >x", "not well-formed DER" },
	{ "sed '2s/^./?/' k.pem >x", "not valid base64" },
	{ "sed '3s/^.//' k.pem >x", "not valid base64" },
	{ "sed '3s/^./=/' k.pem >x", "not valid base64" },
	{ "sed '/^[^-]/d' k.pem >x", "not valid base64" },
	{ "openssl ec -in k.pem -outform DER | head -c 100 >x", "not well-formed DER" },
	{ "{ openssl ec -in k.pem -outform DER; echo; } >x", "not well-formed DER" },
	{ "echo hello >x", "neither PEM nor DER" },
	{ "echo 0 hello >x", "not well-formed DER" },
	{ "head -c 300 /dev/zero >x", "neither PEM nor DER" },
};

static void what_is_no_such_key_is_refused_by_name(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key;
	size_t i;

	kit_need_openssl();
	gmem_snp_key_free(kit_new_key(kit, "k"));
	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct file file;
		int ret;

		kit_run(kit, "%s", refusals[i].command);
		file = kit_read(kit, "x");
		key = (struct gmem_snp_key *)&key;
		ret = gmem_snp_key_new(kit->ctx, file.bytes, file.size, &key);
		if (ret != -EBADMSG)
			fail_msg("%s: %d", refusals[i].command, ret);
		assert_null(key);
		expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new: the key ",
				   refusals[i].words);
		file_free(&file);
	}
}

/* The sample with its public part, which the library computes for it. */
static void make_sample(struct kit *kit, uint8_t der[SAMPLE_SIZE])
{
	uint8_t bare[] = { 0x30, 0x3e, 0x02, 0x01, 0x01, 0x04, 0x30 };
	uint8_t whole[64];
	struct gmem_snp_key *key;

	kit_hex(sample_hex, der, (sizeof(sample_hex) - 1) / 2);
	memcpy(whole, bare, sizeof(bare));
	memcpy(whole + sizeof(bare), der + SAMPLE_SECRET, 48 + 9);
	assert_int_equal(gmem_snp_key_new(kit->ctx, whole, sizeof(whole), &key), 0);
	assert_int_equal(
		gmem_snp_key_get_public(key, der + SAMPLE_SIZE - 96, der + SAMPLE_SIZE - 48), 0);
	gmem_snp_key_free(key);
}

static void a_key_of_a_known_number(void **state)
{
	struct kit *kit = *state;
	uint8_t der[SAMPLE_SIZE];

	make_sample(kit, der);
	kit_need_openssl();
	kit_write(kit, "x", der, sizeof(der));
	kit_run(kit, "openssl ec -inform DER -in x -check -noout 2>&1 | grep -q 'EC Key valid'");
}

static void expect_refused(struct kit *kit, const void *bytes, size_t size, const char *words)
{
	struct gmem_snp_key *key;

	assert_int_equal(gmem_snp_key_new(kit->ctx, bytes, size, &key), -EBADMSG);
	assert_null(key);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new: the key", words);
}

/* Every byte of it counts. */
static void a_changed_byte_is_never_accepted(void **state)
{
	struct kit *kit = *state;
	uint8_t der[SAMPLE_SIZE];
	size_t stride = kit_stride(7);
	size_t i;

	make_sample(kit, der);
	for (i = 0; i < sizeof(der); i += stride) {
		der[i] ^= (uint8_t)(1u << i % 8);
		expect_refused(kit, der, sizeof(der), "");
		der[i] ^= (uint8_t)(1u << i % 8);
	}
}

static void a_part_of_a_key_is_never_accepted(void **state)
{
	struct kit *kit = *state;
	uint8_t der[SAMPLE_SIZE];
	struct file file;
	size_t size;

	make_sample(kit, der);
	for (size = 1; size < sizeof(der); size++)
		expect_refused(kit, der, size, "not well-formed DER");
	kit_need_openssl();
	kit_write(kit, "x", der, sizeof(der));
	kit_run(kit, "openssl ec -inform DER -in x -out x.pem");
	file = kit_read(kit, "x.pem");
	/* All but the last newline. */
	for (size = 1; size < file.size - 1; size++)
		expect_refused(kit, file.bytes, size, "");
	file_free(&file);
}

static void replace_secret(struct kit *kit, const char *hex, const char *words)
{
	uint8_t der[SAMPLE_SIZE];
	uint8_t whole[64] = { 0x30, 0x3e, 0x02, 0x01, 0x01, 0x04, 0x30 };
	struct gmem_snp_key *key;

	kit_hex(sample_hex, der, (sizeof(sample_hex) - 1) / 2);
	kit_hex(hex, whole + 7, 48);
	memcpy(whole + 7 + 48, der + SAMPLE_SECRET + 48, 9);
	if (words) {
		expect_refused(kit, whole, sizeof(whole), words);
		return;
	}
	assert_int_equal(gmem_snp_key_new(kit->ctx, whole, sizeof(whole), &key), 0);
	expect_no_message(kit->logs);
	gmem_snp_key_free(key);
}

#define ORDER_START                                                                                \
	"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc529"
#define ZEROS                                                                                      \
	"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

static void private_numbers_are_in_range(void **state)
{
	struct kit *kit = *state;

	replace_secret(kit, ZEROS "00", "private number is out of range; it must be from 1 to");
	replace_secret(kit, ZEROS "01", NULL);
	replace_secret(kit, ORDER_START "72", NULL);
	replace_secret(kit, ORDER_START "73",
		       "private number is out of range; it must be from 1 to");
	replace_secret(kit, ORDER_START "74",
		       "private number is out of range; it must be from 1 to");
	replace_secret(
		kit,
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
		"ffffffffffffffffffff",
		"private number is out of range; it must be from 1 to");
}

/* 1 times the base point: FIPS 186-4, D.1.2.4. */
static void the_public_part_of_one(void **state)
{
	static const char base_hex[] =
		"aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e38"
		"72760ab7"
		"3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c"
		"90ea0e5f";
	struct kit *kit = *state;
	uint8_t whole[64] = { 0x30, 0x3e, 0x02, 0x01, 0x01, 0x04, 0x30 };
	uint8_t der[SAMPLE_SIZE], base[96], point[96];
	struct gmem_snp_key *key;

	kit_hex(base_hex, base, sizeof(base));
	kit_hex(sample_hex, der, (sizeof(sample_hex) - 1) / 2);
	whole[7 + 47] = 1;
	memcpy(whole + 7 + 48, der + SAMPLE_SECRET + 48, 9);
	assert_int_equal(gmem_snp_key_new(kit->ctx, whole, sizeof(whole), &key), 0);
	assert_int_equal(gmem_snp_key_get_public(key, point, NULL), 0);
	assert_int_equal(gmem_snp_key_get_public(key, NULL, point + 48), 0);
	assert_memory_equal(point, base, sizeof(base));
	gmem_snp_key_free(key);
}

static void wrap(struct file *file, uint8_t tag, const void *bytes, size_t size)
{
	uint8_t *at;

	file->bytes = realloc(file->bytes, file->size + size + 3);
	assert_non_null(file->bytes);
	at = file->bytes + file->size;
	*at++ = tag;
	if (size >= 128)
		*at++ = 0x81;
	*at++ = (uint8_t)size;
	memcpy(at, bytes, size);
	file->size = (size_t)(at - file->bytes) + size;
}

/* OneAsymmetricKey with a public part of its own; what stands in the key may be another. */
static void pkcs8_with_two_public_parts(struct kit *kit, const uint8_t der[SAMPLE_SIZE],
					const uint8_t *bits, size_t size, const char *words)
{
	static const uint8_t algorithm[] = { 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
					     0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 };
	struct file body = { NULL, 0 }, whole = { NULL, 0 };
	struct gmem_snp_key *key;

	wrap(&body, 0x02, "\1", 1);
	wrap(&body, 0x30, algorithm, sizeof(algorithm));
	wrap(&body, 0x04, der, SAMPLE_SIZE);
	wrap(&body, 0xa0, "", 0);
	wrap(&body, 0x81, bits, size);
	/* Of 256 bytes and more. */
	whole.size = body.size + 4;
	whole.bytes = malloc(whole.size);
	assert_non_null(whole.bytes);
	memcpy(whole.bytes,
	       (uint8_t[]){ 0x30, 0x82, (uint8_t)(body.size >> 8), (uint8_t)body.size }, 4);
	memcpy(whole.bytes + 4, body.bytes, body.size);
	if (words) {
		expect_refused(kit, whole.bytes, whole.size, words);
	} else {
		assert_int_equal(gmem_snp_key_new(kit->ctx, whole.bytes, whole.size, &key), 0);
		gmem_snp_key_free(key);
	}
	file_free(&whole);
	file_free(&body);
}

static void two_public_parts_must_agree(void **state)
{
	struct kit *kit = *state;
	uint8_t der[SAMPLE_SIZE], bits[98];

	make_sample(kit, der);
	memcpy(bits, der + SAMPLE_SIZE - sizeof(bits), sizeof(bits));
	pkcs8_with_two_public_parts(kit, der, bits, sizeof(bits), NULL);
	bits[20] ^= 1;
	pkcs8_with_two_public_parts(kit, der, bits, sizeof(bits), "two public parts that differ");
	pkcs8_with_two_public_parts(kit, der, bits, sizeof(bits) - 1, "that is no point of P-384");
}

static void a_public_part_must_belong(void **state)
{
	struct kit *kit = *state;
	uint8_t der[SAMPLE_SIZE];

	make_sample(kit, der);
	der[SAMPLE_SIZE - 1] ^= 1;
	expect_refused(kit, der, sizeof(der), "public part does not belong to its private part");
}

/* Lengths that are not the shortest, indefinite, or longer than what is there. */
static void der_is_strict(void **state)
{
	struct kit *kit = *state;
	uint8_t sample[SAMPLE_SIZE], der[SAMPLE_SIZE + 2];

	make_sample(kit, sample);
	memcpy(der, (uint8_t[]){ 0x30, 0x82, 0x00, 0xa4 }, 4);
	memcpy(der + 4, sample + 3, SAMPLE_SIZE - 3);
	expect_refused(kit, der, SAMPLE_SIZE + 1, "not well-formed DER");
	memcpy(der, (uint8_t[]){ 0x30, 0x83, 0x00, 0x00, 0xa4 }, 5);
	memcpy(der + 5, sample + 3, SAMPLE_SIZE - 3);
	expect_refused(kit, der, SAMPLE_SIZE + 2, "not well-formed DER");
	memcpy(der, sample, SAMPLE_SIZE);
	memset(der + SAMPLE_SIZE, 0, 2);
	der[1] = 0x80;
	expect_refused(kit, der, SAMPLE_SIZE + 2, "not well-formed DER");
	der[1] = 0xff;
	expect_refused(kit, der, SAMPLE_SIZE + 2, "not well-formed DER");
	expect_refused(kit, "\x30\x84\xff\xff\xff\xff", 6, "not well-formed DER");
	expect_refused(kit, "\x30\x03\x02\x01\x80", 5, "not well-formed DER");
	expect_refused(kit, "\x30\x00", 2, "not well-formed DER");
	expect_refused(kit, "0", 1, "not well-formed DER");
	/* A SEC 1 key that does not name its curve. */
	memcpy(der, (uint8_t[]){ 0x30, 0x35 }, 2);
	memcpy(der + 2, sample + 3, 0x35);
	expect_refused(kit, der, 0x37, "does not say which curve it is on");
}

static void digests_of_keys(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key;
	uint8_t digest[48];
	struct file file;

	kit_need_openssl();
	key = kit_new_key(kit, "d");
	/* Curve 2; both numbers turned around and filled up to 72 bytes; zeros up to 0x404. */
	kit_run(kit, "openssl pkey -pubin -in d.pub -outform DER -out d.der && "
		     "python3 -c \"import sys; p = open('d.der', 'rb').read()[-96:]; "
		     "o = b'\\2\\0\\0\\0' + p[47::-1] + bytes(24) + p[:47:-1] + bytes(24); "
		     "open('d.bin', 'wb').write(o + bytes(0x404 - len(o)))\" && "
		     "openssl dgst -sha384 -binary -out d.sum d.bin");
	file = kit_read(kit, "d.sum");
	assert_int_equal(file.size, sizeof(digest));
	assert_int_equal(gmem_snp_key_get_digest(key, digest), 0);
	assert_memory_equal(digest, file.bytes, sizeof(digest));
	file_free(&file);
	gmem_snp_key_free(key);
}

/* Arguments. */

static void gmem_snp_key_new_EINVAL(void **state)
{
	struct kit *kit = *state;
	struct gmem_snp_key *key = (struct gmem_snp_key *)&key;
	static uint8_t bytes[GMEM_SNP_KEY_FILE_SIZE + 1];

	assert_int_equal(gmem_snp_key_new(kit->ctx, bytes, 1, NULL), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new: key is NULL");
	assert_int_equal(gmem_snp_key_new(kit->ctx, NULL, 1, &key), -EINVAL);
	assert_null(key);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new: data is NULL");
	assert_int_equal(gmem_snp_key_new(kit->ctx, bytes, 0, &key), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "size 0; it must be from 1 to 65536");
	assert_int_equal(gmem_snp_key_new(kit->ctx, bytes, sizeof(bytes), &key), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "size 65537; it must be from 1 to 65536");
	assert_int_equal(gmem_snp_key_new(kit->ctx, bytes, sizeof(bytes) - 1, &key), -EBADMSG);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "neither PEM nor DER");
}

static void getters_EINVAL(void **state)
{
	struct kit *kit = *state;
	uint8_t sample[SAMPLE_SIZE], digest[48];
	struct gmem_snp_key *key;

	make_sample(kit, sample);
	assert_int_equal(gmem_snp_key_new(kit->ctx, sample, sizeof(sample), &key), 0);
	assert_int_equal(gmem_snp_key_get_digest(key, NULL), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_get_digest: digest is NULL");
	assert_int_equal(gmem_snp_key_get_digest(NULL, digest), -EINVAL);
	assert_int_equal(gmem_snp_key_get_public(NULL, NULL, NULL), -EINVAL);
	assert_int_equal(gmem_snp_key_get_public(key, NULL, NULL), 0);
	expect_no_message(kit->logs);
	gmem_snp_key_free(key);
	gmem_snp_key_free(NULL);
}

static void gmem_snp_key_new_ENOMEM(void **state)
{
	struct kit *kit = *state;
	uint8_t sample[SAMPLE_SIZE];
	struct gmem_snp_key *key;
	uint64_t count, nth;
	struct file file;

	kit_need_openssl();
	make_sample(kit, sample);
	kit_write(kit, "x", sample, sizeof(sample));
	kit_run(kit, "openssl ec -inform DER -in x -out x.pem");
	file = kit_read(kit, "x.pem");
	allocations_count_only();
	assert_int_equal(gmem_snp_key_new(kit->ctx, file.bytes, file.size, &key), 0);
	count = allocations_off();
	assert_true(count >= 2);
	gmem_snp_key_free(key);
	for (nth = 1; nth <= count; nth++) {
		key = (struct gmem_snp_key *)&key;
		allocations_fail(nth);
		assert_int_equal(gmem_snp_key_new(kit->ctx, file.bytes, file.size, &key), -ENOMEM);
		assert_int_equal(allocations_failed(), 1);
		allocations_off();
		assert_null(key);
		expect_one_message(kit->logs, GMEM_LOG_ERROR, "gmem_snp_key_new: no memory");
	}
	/* The default context is an allocation of its own. */
	allocations_fail(2);
	assert_int_equal(gmem_snp_key_new(NULL, file.bytes, file.size, &key), -ENOMEM);
	allocations_off();
	file_free(&file);
}

/* A key outlives its context's handle. */
static void a_key_goes_on_with_its_log(void **state)
{
	struct kit *kit = *state;
	struct gmem_ctx *ctx = logs_new_ctx(kit->logs, NULL);
	uint8_t sample[SAMPLE_SIZE];
	struct gmem_snp_key *key;

	make_sample(kit, sample);
	assert_int_equal(gmem_snp_key_new(ctx, sample, sizeof(sample), &key), 0);
	gmem_ctx_free(ctx);
	assert_int_equal(gmem_snp_key_get_digest(key, NULL), -EINVAL);
	expect_one_message(kit->logs, GMEM_LOG_ERROR, "digest is NULL");
	gmem_snp_key_free(key);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_key_is_read),
		cmocka_unit_test(what_is_no_such_key_is_refused_by_name),
		cmocka_unit_test(a_key_of_a_known_number),
		cmocka_unit_test(a_changed_byte_is_never_accepted),
		cmocka_unit_test(a_part_of_a_key_is_never_accepted),
		cmocka_unit_test(private_numbers_are_in_range),
		cmocka_unit_test(the_public_part_of_one),
		cmocka_unit_test(two_public_parts_must_agree),
		cmocka_unit_test(a_public_part_must_belong),
		cmocka_unit_test(der_is_strict),
		cmocka_unit_test(digests_of_keys),
		cmocka_unit_test(gmem_snp_key_new_EINVAL),
		cmocka_unit_test(getters_EINVAL),
		cmocka_unit_test(gmem_snp_key_new_ENOMEM),
		cmocka_unit_test(a_key_goes_on_with_its_log),
	};

	return cmocka_run_group_tests(tests, kit_open, kit_close);
}
