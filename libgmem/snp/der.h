/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A reader of DER (ITU-T X.690): of the few forms that keys come in, and strict about these. A
 * length must be definite and in its shortest form, and nothing is read past the end of what an
 * element says it holds.
 */
#ifndef GMEM_SNP_DER_H
#define GMEM_SNP_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum der_tag {
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_OBJECT = 0x06, /* OBJECT IDENTIFIER */
	DER_SEQUENCE = 0x30,
	/* Constructed, of the context. */
	DER_CONTEXT_0 = 0xa0,
	DER_CONTEXT_1 = 0xa1,
	/* The same, where it stands for a primitive type. */
	DER_CONTEXT_1_PRIMITIVE = 0x81,
};

/* Bytes that are still to be read; borrowed. */
struct der {
	const uint8_t *at;
	size_t left;
};

/* Whether an element with this tag comes next. */
bool gmem_der_next_is(const struct der *der, enum der_tag tag);
/*
 * Reads the next element, which must have this tag, and leaves what it holds in contents. False,
 * with nothing read, where it is not so or not DER.
 */
bool gmem_der_take(struct der *der, enum der_tag tag, struct der *contents);
/* The same for an INTEGER from 0 to 127. */
bool gmem_der_take_small(struct der *der, uint8_t *value);
bool gmem_der_is(const struct der *der, const void *bytes, size_t size);

#endif /* GMEM_SNP_DER_H */
