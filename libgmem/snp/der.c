// SPDX-License-Identifier: LGPL-2.1-or-later
/* A strict reader of DER. */
#include "snp/der.h"

#include <string.h>

/* A length of more octets than this would be one of more than 65535 bytes, which no key has. */
#define MAX_LENGTH_OCTETS 2u

bool gmem_der_next_is(const struct der *der, enum der_tag tag)
{
	return der->left > 0 && der->at[0] == tag;
}

static bool take_length(struct der *der, size_t *length)
{
	size_t octets;
	size_t i;

	if (der->left == 0)
		return false;
	*length = der->at[0];
	der->at++;
	der->left--;
	if (*length < 0x80)
		return true;
	octets = *length & 0x7f;
	if (octets == 0 || octets > MAX_LENGTH_OCTETS || octets > der->left || der->at[0] == 0)
		return false;
	*length = 0;
	for (i = 0; i < octets; i++)
		*length = *length << 8 | der->at[i];
	der->at += octets;
	der->left -= octets;
	return *length >= 0x80;
}

bool gmem_der_take(struct der *der, enum der_tag tag, struct der *contents)
{
	struct der rest = *der;
	size_t length;

	if (!gmem_der_next_is(&rest, tag))
		return false;
	rest.at++;
	rest.left--;
	if (!take_length(&rest, &length) || length > rest.left)
		return false;
	contents->at = rest.at;
	contents->left = length;
	der->at = rest.at + length;
	der->left = rest.left - length;
	return true;
}

bool gmem_der_take_small(struct der *der, uint8_t *value)
{
	struct der rest = *der;
	struct der integer;

	if (!gmem_der_take(&rest, DER_INTEGER, &integer) || integer.left != 1 ||
	    integer.at[0] > 127)
		return false;
	*value = integer.at[0];
	*der = rest;
	return true;
}

bool gmem_der_is(const struct der *der, const void *bytes, size_t size)
{
	return der->left == size && !memcmp(der->at, bytes, size);
}
