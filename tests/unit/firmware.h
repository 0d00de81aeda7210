/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Firmware images made to measure, for tests of those who read them. */
#ifndef TESTS_UNIT_FIRMWARE_H
#define TESTS_UNIT_FIRMWARE_H

#include <gmem/ovmf.h>
#include <stddef.h>
#include <stdint.h>

#define FIRMWARE_ENTRIES 16u
#define FIRMWARE_SECTIONS 64u
/* Data of an entry, at most. */
#define FIRMWARE_DATA 64u

/* As they lie in an image. */
extern const uint8_t firmware_metadata_guid[16];
extern const uint8_t firmware_hashes_guid[16];
extern const uint8_t firmware_reset_guid[16];
extern const uint8_t firmware_svsm_guid[16];

struct firmware_entry {
	uint8_t guid[16];
	uint8_t data[FIRMWARE_DATA];
	size_t size;
	size_t offset; /* of its end, the byte after its GUID, in the image: set by firmware_make() */
};

/* What an image is made of. Zeroed, but size, is an image without anything. */
struct firmware {
	size_t size;
	size_t metadata_back; /* of the metadata, from the image's end; 0: none */
	uint32_t count;       /* of sections */
	struct gmem_ovmf_section sections[FIRMWARE_SECTIONS];
	uint32_t entries; /* the last is found first */
	struct firmware_entry entry[FIRMWARE_ENTRIES];
	uint64_t fill; /* seed of the bytes between; 0: zeros */
	/* Set by firmware_make(). */
	uint8_t *bytes;
	size_t footer;   /* offset of the footer */
	size_t table;    /* offset of the table */
	size_t metadata; /* offset of the metadata */
};

void firmware_add_entry(struct firmware *firmware, const uint8_t guid[16], const void *data,
			size_t size);
/* An entry with 32-bit numbers. */
void firmware_add_numbers(struct firmware *firmware, const uint8_t guid[16], uint32_t first,
			  uint32_t second, size_t size);
void firmware_add_section(struct firmware *firmware, uint32_t gpa, uint32_t size, uint32_t type);

/* The usual: all entries, and six sections that are fit for all measuring tools. */
void firmware_init(struct firmware *firmware, size_t size);

/* Writes the bytes, footer and all. An entry for the metadata is added by hand or by init. */
void firmware_make(struct firmware *firmware);
void firmware_free(struct firmware *firmware);

void firmware_put_u16(struct firmware *firmware, size_t offset, uint16_t value);
void firmware_put_u32(struct firmware *firmware, size_t offset, uint32_t value);

#endif /* TESTS_UNIT_FIRMWARE_H */
