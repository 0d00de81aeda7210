// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Private keys in PEM. The base64 of a key is decoded without branches or look-ups that depend on
 * it, and its copy is wiped.
 */
#include "snp/key_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DASHES "-----"
#define BEGIN DASHES "BEGIN "
#define END DASHES "END "

struct text {
	const uint8_t *at;
	size_t left;
};

enum block_kind {
	BLOCK_OTHER, /* certificates, parameters: stands beside keys */
	BLOCK_PRIVATE,
	BLOCK_UNUSABLE,
};

/* What stands between two lines of dashes. */
struct block {
	enum block_kind kind;
	const char *why; /* of BLOCK_UNUSABLE */
	struct text label;
	struct text body;
};

struct label {
	const char *text;
	enum block_kind kind;
	const char *why;
};

static const struct label labels[] = {
	{ "EC PRIVATE KEY", BLOCK_PRIVATE, NULL },
	{ "PRIVATE KEY", BLOCK_PRIVATE, NULL },
	{ "ENCRYPTED PRIVATE KEY", BLOCK_UNUSABLE,
	  "is encrypted; decrypt it first (openssl pkey -in FILE -out FILE)" },
	{ "PUBLIC KEY", BLOCK_UNUSABLE, "is a public key; it must be the private one" },
	{ "RSA PRIVATE KEY", BLOCK_UNUSABLE,
	  "is an RSA key; it must be an ECDSA key on P-384 (secp384r1)" },
	{ "DSA PRIVATE KEY", BLOCK_UNUSABLE,
	  "is a DSA key; it must be an ECDSA key on P-384 (secp384r1)" },
	{ "OPENSSH PRIVATE KEY", BLOCK_UNUSABLE,
	  "is in OpenSSH's own format; make it PKCS #8 (ssh-keygen -p -m PKCS8 -f FILE)" },
};

static const char unterminated[] = "has a line " BEGIN "... without its line " END "...";
static const char bad_base64[] = "is PEM, but not valid base64";

static bool text_starts(const struct text *text, const char *start)
{
	size_t length = strlen(start);

	return text->left >= length && !memcmp(text->at, start, length);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next line, without what is blank at its end. */
static bool take_line(struct text *text, struct text *line)
{
	const uint8_t *end;
	size_t length;

	if (text->left == 0)
		return false;
	end = memchr(text->at, '\n', text->left);
	length = end ? (size_t)(end - text->at) + 1 : text->left;
	line->at = text->at;
	line->left = length;
	text->at += length;
	text->left -= length;
	while (line->left > 0 && is_blank(line->at[line->left - 1]))
		line->left--;
	return true;
}

/* The label in a line that starts so and ends in dashes. */
static bool read_label(const struct text *line, const char *start, struct text *label)
{
	size_t before = strlen(start);
	size_t after = strlen(DASHES);

	if (!text_starts(line, start) || line->left < before + after ||
	    memcmp(line->at + line->left - after, DASHES, after) != 0)
		return false;
	label->at = line->at + before;
	label->left = line->left - before - after;
	return true;
}

static void name_block(struct block *block)
{
	size_t i;

	block->kind = BLOCK_OTHER;
	block->why = NULL;
	for (i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		if (block->label.left == strlen(labels[i].text) &&
		    !memcmp(block->label.at, labels[i].text, block->label.left)) {
			block->kind = labels[i].kind;
			block->why = labels[i].why;
		}
	}
}

/* The next block. 0; -ENOENT: there is none; -EBADMSG: it does not end. */
static int take_block(struct text *text, struct block *block)
{
	struct text line, label;

	do {
		if (!take_line(text, &line))
			return -ENOENT;
	} while (!read_label(&line, BEGIN, &block->label));
	name_block(block);
	block->body = *text;
	for (;;) {
		block->body.left = (size_t)(text->at - block->body.at);
		if (!take_line(text, &line) || text_starts(&line, BEGIN))
			return -EBADMSG;
		if (read_label(&line, END, &label) && label.left == block->label.left &&
		    !memcmp(label.at, block->label.at, label.left))
			return 0;
	}
}

/* All ones where least <= c <= most, else 0. */
static uint32_t mask_of_range(uint32_t c, uint32_t least, uint32_t most)
{
	return 0 - ((((least - 1) - c) & (c - (most + 1))) >> 31);
}

/* The six bits that a character stands for; 64 for one that stands for none. */
static uint32_t value_of(uint8_t c)
{
	uint32_t upper = mask_of_range(c, 'A', 'Z');
	uint32_t lower = mask_of_range(c, 'a', 'z');
	uint32_t digit = mask_of_range(c, '0', '9');
	uint32_t plus = mask_of_range(c, '+', '+');
	uint32_t slash = mask_of_range(c, '/', '/');
	uint32_t none = ~(upper | lower | digit | plus | slash);

	return (upper & (c - 'A')) | (lower & (c - 'a' + 26u)) | (digit & (c - '0' + 52u)) |
	       (plus & 62u) | (slash & 63u) | (none & 64u);
}

/* Four characters, of which the last ones may be padding; gives the number of bytes, 0 if bad. */
static size_t decode_four(const uint8_t four[4], uint8_t *out)
{
	size_t padding = four[3] != '=' ? 0 : four[2] != '=' ? 1 : 2;
	uint32_t all = 0;
	uint32_t bad = 0;
	uint32_t value;
	size_t i;

	for (i = 0; i < 4; i++) {
		value = i < 4 - padding ? value_of(four[i]) : 0;
		bad |= value & 64u;
		all = all << 6 | (value & 63u);
	}
	/* Bits that no byte takes are zero. */
	bad |= all & ((1u << 8 * padding) - 1);
	for (i = 0; i < 3 - padding; i++)
		out[i] = (uint8_t)(all >> (16 - 8 * i));
	return bad ? 0 : 3 - padding;
}

/* Decodes into out, which has room for three bytes of four; false where it is no base64. */
static bool decode(struct text body, uint8_t *out, size_t *size)
{
	uint8_t four[4];
	size_t have = 0;
	size_t bytes = 3;
	bool good = true;

	*size = 0;
	for (; good && body.left > 0; body.at++, body.left--) {
		if (is_blank(*body.at))
			continue;
		four[have++] = *body.at;
		if (have < 4)
			continue;
		/* Padding ends it. */
		good = bytes == 3;
		bytes = good ? decode_four(four, out + *size) : 0;
		good = bytes > 0;
		*size += bytes;
		have = 0;
	}
	explicit_bzero(four, sizeof(four));
	return good && have == 0;
}

static int read_block(const struct block *block, struct key_numbers *numbers, const char **why)
{
	size_t room = block->body.left / 4 * 3;
	size_t size;
	uint8_t *der;
	int ret;

	*why = bad_base64;
	/* Old encryption of PEM: lines "Proc-Type: 4,ENCRYPTED" and "DEK-Info: ..." before the key. */
	if (text_starts(&block->body, "Proc-Type:"))
		*why = labels[2].why;
	if (room == 0 || *why != bad_base64)
		return -EBADMSG;
	der = malloc(room);
	if (!der)
		return -ENOMEM;
	ret = -EBADMSG;
	if (decode(block->body, der, &size))
		ret = gmem_key_der_read(der, size, numbers, why);
	explicit_bzero(der, room);
	free(der);
	return ret;
}

/* The one private key of a text. */
static int find_key(struct text text, struct block *key, const char **why)
{
	const char *unusable = NULL;
	bool any = false;
	struct block block;
	int ret;

	key->kind = BLOCK_OTHER;
	for (ret = take_block(&text, &block); !ret; ret = take_block(&text, &block)) {
		any = true;
		if (block.kind == BLOCK_UNUSABLE && !unusable)
			unusable = block.why;
		if (block.kind != BLOCK_PRIVATE)
			continue;
		if (key->kind == BLOCK_PRIVATE) {
			*why = "is one of several private keys in the same text; there must be one";
			return -EBADMSG;
		}
		*key = block;
	}
	if (ret == -ENOENT && key->kind == BLOCK_PRIVATE)
		return 0;
	*why = ret == -EBADMSG ? unterminated
	       : unusable      ? unusable
	       : any           ? "is not in this PEM text: it has no block \"PRIVATE KEY\""
			       : "is neither PEM nor DER";
	return -EBADMSG;
}

int gmem_key_file_read(const void *data, size_t size, struct key_numbers *numbers, const char **why)
{
	struct text text = { data, size };
	struct block block;
	int ret;

	memset(numbers, 0, sizeof(*numbers));
	/* A SEQUENCE starts with a character that text can start with as well: '0'. */
	if (size > 0 && text.at[0] == '0') {
		ret = gmem_key_der_read(data, size, numbers, why);
		if (!ret || !memmem(data, size, BEGIN, strlen(BEGIN)))
			return ret;
	}
	ret = find_key(text, &block, why);
	return ret ? ret : read_block(&block, numbers, why);
}
