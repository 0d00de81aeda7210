/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The launch digest once more, in the most obvious way: page after page, byte after byte. And what
 * tests of it share.
 */
#ifndef TESTS_UNIT_MEASURED_H
#define TESTS_UNIT_MEASURED_H

#include "firmware.h"
#include "logs.h"

#include <gmem.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u

/* What the functions that the linker leads here (-Wl,--wrap) are to do, and what they did. */
struct meddling {
	uint64_t page_hashes;   /* of a whole page */
	uint64_t hashes;        /* of anything */
	uint64_t failing_hash;  /* this one fails, counted from 1; 0: none */
	bool fails_on;          /* and all later ones */
	uint32_t threads_left;  /* that may be started */
	uint32_t threads_begun; /* that were */
};

/* Forgets what was counted; nothing fails any more. */
void meddling_reset(void);
struct meddling *meddling(void);

void model_sha384(const void *data, size_t size, uint8_t digest[48]);
/* contents: a page, or NULL where it does not count. */
void model_extend(uint8_t digest[48], uint8_t type, uint64_t gpa, const uint8_t *contents);
/* The firmware part of a launch; hashes: a page, or NULL. */
void model_image(uint8_t digest[48], const struct firmware *firmware, uint32_t vmm,
		 const uint8_t *hashes);

/* A digest in the making, with a log of its own. */
struct measured {
	struct logs *logs;
	struct gmem_ctx *ctx;
	struct gmem_snp_measure *measure;
};

int measured_setup(void **state);
int measured_teardown(void **state);

/* Fails unless the digest is this one. */
#define expect_digest(measure, digest) measured_expect(measure, digest, __FILE__, __LINE__)
void measured_expect(const struct gmem_snp_measure *measure, const uint8_t digest[48],
		     const char *file, int line);

#endif /* TESTS_UNIT_MEASURED_H */
