// SPDX-License-Identifier: LGPL-2.1-or-later
/* Private keys in DER. What is none, but something that people have in files too, is named. */
#include "snp/key_file.h"

#include "snp/der.h"

#include <errno.h>
#include <string.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define ONLY "it must be an ECDSA key on P-384 (secp384r1)"

struct object {
	uint8_t size;
	uint8_t bytes[9];
	const char *why;
};

static const uint8_t object_p384[] = { 0x2b, 0x81, 0x04, 0x00, 0x22 };
static const uint8_t object_ec_key[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };

static const struct object other_curves[] = {
	{ 8, { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, "is on the curve P-256; " ONLY },
	{ 8, { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x01 }, "is on the curve P-192; " ONLY },
	{ 5, { 0x2b, 0x81, 0x04, 0x00, 0x21 }, "is on the curve P-224; " ONLY },
	{ 5, { 0x2b, 0x81, 0x04, 0x00, 0x23 }, "is on the curve P-521; " ONLY },
	{ 5, { 0x2b, 0x81, 0x04, 0x00, 0x0a }, "is on the curve secp256k1; " ONLY },
	{ 9,
	  { 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b },
	  "is on the curve brainpoolP384r1; " ONLY },
};

static const struct object other_algorithms[] = {
	{ 9, { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01 }, "is an RSA key; " ONLY },
	{ 9, { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a }, "is an RSA key; " ONLY },
	{ 7, { 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01 }, "is a DSA key; " ONLY },
	{ 3, { 0x2b, 0x65, 0x6e }, "is an X25519 key; " ONLY },
	{ 3, { 0x2b, 0x65, 0x6f }, "is an X448 key; " ONLY },
	{ 3, { 0x2b, 0x65, 0x70 }, "is an Ed25519 key; " ONLY },
	{ 3, { 0x2b, 0x65, 0x71 }, "is an Ed448 key; " ONLY },
};

static const char bad_form[] = "is not well-formed DER of a private key; " ONLY;

static const char *find_object(const struct object *objects, size_t count, const struct der *der,
			       const char *otherwise)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (gmem_der_is(der, objects[i].bytes, objects[i].size))
			return objects[i].why;
	}
	return otherwise;
}

/* ECParameters. These functions return NULL where all is well, else why not. */
static const char *take_curve(struct der *der)
{
	struct der object;

	if (gmem_der_next_is(der, DER_SEQUENCE))
		return "spells out its curve's parameters; it must name the curve P-384 (secp384r1)";
	if (!gmem_der_take(der, DER_OBJECT, &object))
		return bad_form;
	if (gmem_der_is(&object, object_p384, sizeof(object_p384)))
		return NULL;
	return find_object(other_curves, ARRAY_SIZE(other_curves), &object,
			   "is on an unknown curve; " ONLY);
}

static bool same_point(const struct key_numbers *numbers, enum key_point form,
		       const struct ecdsa_point *point)
{
	return numbers->form == form && !memcmp(&numbers->point, point, sizeof(*point));
}

/* What a BIT STRING holds: the number of unused bits, and the point as SEC 1, 2.3.3 writes it. */
static const char *read_point(const struct der *bits, struct key_numbers *numbers)
{
	struct ecdsa_point point = { { 0 }, { 0 } };
	enum key_point form;

	if (bits->left == 2 + 2 * ECDSA_SIZE && bits->at[0] == 0 && bits->at[1] == 4) {
		form = KEY_POINT_WHOLE;
		memcpy(point.y, bits->at + 2 + ECDSA_SIZE, ECDSA_SIZE);
	} else if (bits->left == 2 + ECDSA_SIZE && bits->at[0] == 0 && (bits->at[1] & 0xfe) == 2) {
		form = KEY_POINT_COMPRESSED;
		point.y[ECDSA_SIZE - 1] = bits->at[1] & 1;
	} else {
		return "has a public part that is no point of P-384";
	}
	memcpy(point.x, bits->at + 2, ECDSA_SIZE);
	if (numbers->form != KEY_POINT_NONE && !same_point(numbers, form, &point))
		return "has two public parts that differ";
	numbers->form = form;
	numbers->point = point;
	return NULL;
}

/* ECPrivateKey after its version; has_curve says that the curve is known already. */
static const char *read_sec1(struct der *der, bool has_curve, struct key_numbers *numbers)
{
	struct der secret, inner, bits;
	const char *why;

	if (!gmem_der_take(der, DER_OCTET_STRING, &secret))
		return bad_form;
	if (gmem_der_next_is(der, DER_CONTEXT_0)) {
		if (!gmem_der_take(der, DER_CONTEXT_0, &inner))
			return bad_form;
		why = take_curve(&inner);
		if (why)
			return why;
		if (inner.left)
			return bad_form;
		has_curve = true;
	}
	if (!has_curve)
		return "does not say which curve it is on; it must name P-384 (secp384r1)";
	if (secret.left != ECDSA_SIZE)
		return "has a private part that is not of 48 bytes, as P-384 needs it";
	memcpy(numbers->secret, secret.at, ECDSA_SIZE);
	if (gmem_der_next_is(der, DER_CONTEXT_1)) {
		if (!gmem_der_take(der, DER_CONTEXT_1, &inner) ||
		    !gmem_der_take(&inner, DER_BIT_STRING, &bits) || inner.left)
			return bad_form;
		why = read_point(&bits, numbers);
		if (why)
			return why;
	}
	return der->left ? bad_form : NULL;
}

/* AlgorithmIdentifier: of an EC key on P-384. */
static const char *read_algorithm(struct der *der)
{
	struct der object;
	const char *why;

	if (!gmem_der_take(der, DER_OBJECT, &object))
		return bad_form;
	if (!gmem_der_is(&object, object_ec_key, sizeof(object_ec_key)))
		return find_object(other_algorithms, ARRAY_SIZE(other_algorithms), &object,
				   "is for an unknown algorithm; " ONLY);
	why = take_curve(der);
	if (why)
		return why;
	return der->left ? bad_form : NULL;
}

/* PrivateKeyInfo or OneAsymmetricKey after its version. */
static const char *read_pkcs8(struct der *der, struct key_numbers *numbers)
{
	struct der algorithm, octets, sec1, other;
	const char *why;
	uint8_t version;

	if (!gmem_der_take(der, DER_SEQUENCE, &algorithm))
		return bad_form;
	why = read_algorithm(&algorithm);
	if (why)
		return why;
	if (!gmem_der_take(der, DER_OCTET_STRING, &octets) ||
	    !gmem_der_take(&octets, DER_SEQUENCE, &sec1) || octets.left ||
	    !gmem_der_take_small(&sec1, &version) || version != 1)
		return bad_form;
	why = read_sec1(&sec1, true, numbers);
	if (why)
		return why;
	/* Attributes say nothing about the key. */
	if (gmem_der_next_is(der, DER_CONTEXT_0) && !gmem_der_take(der, DER_CONTEXT_0, &other))
		return bad_form;
	if (gmem_der_next_is(der, DER_CONTEXT_1_PRIMITIVE)) {
		if (!gmem_der_take(der, DER_CONTEXT_1_PRIMITIVE, &other))
			return bad_form;
		why = read_point(&other, numbers);
		if (why)
			return why;
	}
	return der->left ? bad_form : NULL;
}

/* What begins with an AlgorithmIdentifier: no private key that could be read. */
static const char *name_unversioned(struct der *der)
{
	struct der algorithm;

	if (!gmem_der_take(der, DER_SEQUENCE, &algorithm))
		return bad_form;
	if (gmem_der_next_is(der, DER_BIT_STRING))
		return "is a public key; it must be the private one";
	if (gmem_der_next_is(der, DER_OCTET_STRING))
		return "is encrypted; decrypt it first (openssl pkey -in FILE -out FILE)";
	return bad_form;
}

static const char *read_key(struct der *der, struct key_numbers *numbers)
{
	struct der key;
	uint8_t version;

	if (!gmem_der_take(der, DER_SEQUENCE, &key) || der->left)
		return bad_form;
	if (gmem_der_next_is(&key, DER_SEQUENCE))
		return name_unversioned(&key);
	if (!gmem_der_take_small(&key, &version))
		return bad_form;
	if (gmem_der_next_is(&key, DER_INTEGER))
		return "is an RSA or DSA key; " ONLY;
	if (version <= 1 && gmem_der_next_is(&key, DER_SEQUENCE))
		return read_pkcs8(&key, numbers);
	if (version == 1)
		return read_sec1(&key, false, numbers);
	return bad_form;
}

int gmem_key_der_read(const uint8_t *data, size_t size, struct key_numbers *numbers,
		      const char **why)
{
	struct der der = { data, size };

	memset(numbers, 0, sizeof(*numbers));
	*why = read_key(&der, numbers);
	if (!*why)
		return 0;
	explicit_bzero(numbers, sizeof(*numbers));
	return -EBADMSG;
}
