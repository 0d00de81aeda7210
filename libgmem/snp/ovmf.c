// SPDX-License-Identifier: LGPL-2.1-or-later
/* Reads what a firmware image says of itself, and refuses what does not add up. */
#include "snp/ovmf.h"

#include "ctx.h"
#include "log.h"
#include "range.h"
#include "snp/abi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOUR_GIB UINT64_C(0x100000000)
#define GUID_SIZE 16u
#define GUID_TEXT 37u

/* 96b582de-1fb2-45f7-baea-a366c55a082d */
static const uint8_t footer_guid[GUID_SIZE] = { 0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
						0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d };
/* dc886566-984a-4798-a75e-5585a7bf67cc */
static const uint8_t metadata_guid[GUID_SIZE] = { 0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
						  0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc };
/* 7255371f-3a3b-4b04-927b-1da6efa8d454 */
static const uint8_t hashes_guid[GUID_SIZE] = { 0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b,
						0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54 };
/* 00f771de-1a7e-4fcb-890e-68c77e2fb44e */
static const uint8_t reset_guid[GUID_SIZE] = { 0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
					       0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e };
/* a789a612-0597-4c4b-a49f-cbb1fe9d1ddd */
static const uint8_t svsm_guid[GUID_SIZE] = { 0x12, 0xa6, 0x89, 0xa7, 0x97, 0x05, 0x4b, 0x4c,
					      0xa4, 0x9f, 0xcb, 0xb1, 0xfe, 0x9d, 0x1d, 0xdd };

/* An entry of the GUIDed table. */
struct entry {
	const uint8_t *data;
	size_t size; /* of data */
	const uint8_t *guid;
	size_t length; /* of data, length and GUID */
};

/* As people write it: the first three fields are numbers, and so lie the other way round. */
static void guid_to_text(const uint8_t guid[GUID_SIZE], char text[GUID_TEXT])
{
	static const uint8_t order[GUID_SIZE] = { 3, 2, 1,  0,  5,  4,  7,  6,
						  8, 9, 10, 11, 12, 13, 14, 15 };
	size_t i;

	for (i = 0; i < GUID_SIZE; i++) {
		snprintf(text, 3, "%02x", guid[order[i]]);
		text += 2;
		if (i == 3 || i == 5 || i == 7 || i == 9)
			*text++ = '-';
	}
	*text = '\0';
}

/* The entry that ends at left; false when it does not fit. length is then what it says. */
static bool read_entry(const uint8_t *table, size_t left, struct entry *entry)
{
	struct ovmf_entry_end end;

	*entry = (struct entry){ 0 };
	if (left < sizeof(end))
		return false;
	memcpy(&end, table + left - sizeof(end), sizeof(end));
	entry->length = end.length;
	if (entry->length < sizeof(end) || entry->length > left)
		return false;
	entry->guid = table + left - sizeof(end) + offsetof(struct ovmf_entry_end, guid);
	entry->data = table + left - entry->length;
	entry->size = entry->length - sizeof(end);
	return true;
}

/* Looks among the entries that end at left or before. */
static bool find_entry(const uint8_t *table, size_t left, const uint8_t guid[GUID_SIZE],
		       struct entry *entry)
{
	for (; read_entry(table, left, entry); left -= entry->length) {
		if (!memcmp(entry->guid, guid, GUID_SIZE))
			return true;
	}
	return false;
}

/* The footer says how long the table is. Without one there is no table, which is no failure. */
static int find_table(struct gmem_ovmf *ovmf)
{
	size_t end = ovmf->size - OVMF_AFTER_TABLE;
	struct ovmf_entry_end footer;

	memcpy(&footer, ovmf->image + end - sizeof(footer), sizeof(footer));
	if (memcmp(footer.guid, footer_guid, GUID_SIZE) != 0)
		return 0;
	if (footer.length < sizeof(footer) || footer.length > end) {
		log_error(ovmf->ctx,
			  "firmware image: the footer of the GUIDed table says that the table has "
			  "%u bytes; it must be %zu, its own, to %zu, the image's up to its end",
			  footer.length, sizeof(footer), end);
		return -EBADMSG;
	}
	ovmf->table = ovmf->image + end - footer.length;
	ovmf->table_size = footer.length - sizeof(footer);
	return 0;
}

/* Every entry is whole, and none is there twice. */
static int check_table(const struct gmem_ovmf *ovmf)
{
	size_t left = ovmf->table_size;
	struct entry entry, other;
	char text[GUID_TEXT];

	for (; left; left -= entry.length) {
		if (!read_entry(ovmf->table, left, &entry)) {
			log_error(
				ovmf->ctx,
				"firmware image: the GUIDed table's entry that ends at offset "
				"%#zx has %zu bytes; it must be %zu, its own, to %zu, the table's",
				(size_t)(ovmf->table - ovmf->image) + left, entry.length,
				sizeof(struct ovmf_entry_end), left);
			return -EBADMSG;
		}
		if (find_entry(ovmf->table, left - entry.length, entry.guid, &other)) {
			guid_to_text(entry.guid, text);
			log_error(
				ovmf->ctx,
				"firmware image: entry %s is in the GUIDed table twice; it must be "
				"there once",
				text);
			return -EBADMSG;
		}
	}
	return 0;
}

/*
 * The data of an entry that this library understands: 1 with its first size bytes in data, 0 where
 * the image has no such entry.
 */
static int get_entry(const struct gmem_ovmf *ovmf, const char *what, const uint8_t guid[GUID_SIZE],
		     void *data, size_t size)
{
	char text[GUID_TEXT];
	struct entry entry;

	if (!find_entry(ovmf->table, ovmf->table_size, guid, &entry))
		return 0;
	if (entry.size < size) {
		guid_to_text(guid, text);
		log_error(
			ovmf->ctx,
			"firmware image: entry %s of the GUIDed table, %s, has %zu bytes of data; "
			"it must have at least %zu",
			text, what, entry.size, size);
		return -EBADMSG;
	}
	memcpy(data, entry.data, size);
	return 1;
}

static int read_entries(struct gmem_ovmf *ovmf)
{
	struct ovmf_reset_entry reset = { 0 };
	struct ovmf_hashes_entry hashes = { 0 };
	struct ovmf_svsm_entry svsm = { 0 };
	int rc;

	rc = get_entry(ovmf, "the reset vector", reset_guid, &reset, sizeof(reset));
	if (rc < 0)
		return rc;
	rc = get_entry(ovmf, "the kernel hash table", hashes_guid, &hashes, sizeof(hashes));
	if (rc < 0)
		return rc;
	rc = get_entry(ovmf, "the SVSM information", svsm_guid, &svsm, sizeof(svsm));
	if (rc < 0)
		return rc;
	ovmf->info.ap_reset = reset.address;
	if (hashes.size) {
		ovmf->info.hashes_gpa = hashes.base;
		ovmf->info.hashes_size = hashes.size;
	}
	ovmf->info.svsm = (uint32_t)rc;
	ovmf->info.svsm_offset = svsm.offset;
	return 0;
}

/* The header of the metadata, which ends offset bytes before the image's end. */
static int check_metadata(const struct gmem_ovmf *ovmf, const struct ovmf_metadata *metadata,
			  uint32_t offset)
{
	uint64_t needed;

	if (memcmp(metadata->signature, "ASEV", sizeof(metadata->signature)) != 0 ||
	    metadata->version != OVMF_METADATA_VERSION) {
		log_error(ovmf->ctx,
			  "firmware image: the SEV metadata begin with %02x %02x %02x %02x and are "
			  "of version %u; they must begin with 41 53 45 56 (\"ASEV\") and be of "
			  "version %u",
			  metadata->signature[0], metadata->signature[1], metadata->signature[2],
			  metadata->signature[3], metadata->version, OVMF_METADATA_VERSION);
		return -EBADMSG;
	}
	needed = sizeof(*metadata) +
		 (uint64_t)metadata->count * sizeof(struct ovmf_metadata_section);
	if (metadata->count > GMEM_OVMF_SECTIONS_MAX || metadata->length < needed ||
	    metadata->length > offset) {
		log_error(ovmf->ctx,
			  "firmware image: the SEV metadata say that they have %u sections and %u "
			  "bytes; there must be %u sections at most, and %llu (for these) to %u "
			  "bytes (the image's end)",
			  metadata->count, metadata->length, GMEM_OVMF_SECTIONS_MAX,
			  (unsigned long long)needed, offset);
		return -EBADMSG;
	}
	return 0;
}

static int read_sections(struct gmem_ovmf *ovmf, size_t at, uint32_t count)
{
	struct ovmf_metadata_section section;
	uint32_t i;

	ovmf->sections = calloc(count, sizeof(ovmf->sections[0]));
	if (!ovmf->sections) {
		log_error(ovmf->ctx, "firmware image: no memory for its %u metadata sections",
			  count);
		return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		memcpy(&section, ovmf->image + at + i * sizeof(section), sizeof(section));
		ovmf->sections[i] = (struct gmem_ovmf_section){
			.gpa = section.gpa,
			.size = section.size,
			.type = section.type,
		};
	}
	ovmf->info.sections = count;
	return 0;
}

static int read_metadata(struct gmem_ovmf *ovmf)
{
	struct ovmf_metadata_entry entry = { 0 };
	struct ovmf_metadata metadata;
	int rc = get_entry(ovmf, "the SEV metadata", metadata_guid, &entry, sizeof(entry));

	if (rc <= 0)
		return rc;
	if (entry.offset < sizeof(metadata) || entry.offset > ovmf->size) {
		log_error(ovmf->ctx,
			  "firmware image: the SEV metadata are %u bytes before its end; it must "
			  "be %zu (their header) to %zu (the image)",
			  entry.offset, sizeof(metadata), ovmf->size);
		return -EBADMSG;
	}
	memcpy(&metadata, ovmf->image + ovmf->size - entry.offset, sizeof(metadata));
	rc = check_metadata(ovmf, &metadata, entry.offset);
	if (rc || !metadata.count)
		return rc;
	return read_sections(ovmf, ovmf->size - entry.offset + sizeof(metadata), metadata.count);
}

static int check_section(const struct gmem_ovmf *ovmf, uint32_t index)
{
	const struct gmem_ovmf_section *section = &ovmf->sections[index];

	if (range_is_aligned(section->gpa, section->size, SNP_PAGE_SIZE) &&
	    section->gpa + section->size <= ovmf->info.gpa)
		return 0;
	log_error(ovmf->ctx,
		  "firmware image: metadata section %u has %#llx bytes at %#llx; both must be "
		  "multiples of %#x, and it must end before the image, at %#llx",
		  index + 1, (unsigned long long)section->size, (unsigned long long)section->gpa,
		  SNP_PAGE_SIZE, (unsigned long long)ovmf->info.gpa);
	return -EBADMSG;
}

/* Two sections that are not empty. */
static int check_pair(const struct gmem_ovmf *ovmf, uint32_t first, uint32_t second)
{
	const struct gmem_ovmf_section *a = &ovmf->sections[first];
	const struct gmem_ovmf_section *b = &ovmf->sections[second];

	if (ranges_overlap(a->gpa, a->size, b->gpa, b->size)) {
		log_error(ovmf->ctx,
			  "firmware image: metadata section %u (%#llx bytes at %#llx) overlaps "
			  "section %u (%#llx bytes at %#llx); each page must be in one",
			  first + 1, (unsigned long long)a->size, (unsigned long long)a->gpa,
			  second + 1, (unsigned long long)b->size, (unsigned long long)b->gpa);
		return -EBADMSG;
	}
	if (a->type == GMEM_OVMF_KERNEL_HASHES && b->type == GMEM_OVMF_KERNEL_HASHES) {
		log_error(ovmf->ctx,
			  "firmware image: metadata sections %u and %u are both for kernel hashes; "
			  "one must be",
			  first + 1, second + 1);
		return -EBADMSG;
	}
	return 0;
}

static int check_sections(const struct gmem_ovmf *ovmf)
{
	uint32_t i, j;
	int rc;

	for (i = 0; i < ovmf->info.sections; i++) {
		if (!ovmf->sections[i].size)
			continue;
		rc = check_section(ovmf, i);
		for (j = 0; j < i && !rc; j++) {
			if (ovmf->sections[j].size)
				rc = check_pair(ovmf, j, i);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int read_image(struct gmem_ovmf *ovmf)
{
	int rc = find_table(ovmf);

	if (!rc)
		rc = check_table(ovmf);
	if (!rc)
		rc = read_entries(ovmf);
	if (!rc)
		rc = read_metadata(ovmf);
	if (!rc)
		rc = check_sections(ovmf);
	return rc;
}

static struct gmem_ovmf *create(struct gmem_ctx *ctx, const void *image, size_t size)
{
	struct gmem_ovmf *ovmf = calloc(1, sizeof(*ovmf));

	if (!ovmf)
		return NULL;
	ovmf->ctx = gmem_ctx_get(ctx);
	ovmf->image = malloc(size);
	if (!ovmf->ctx || !ovmf->image) {
		gmem_ovmf_free(ovmf);
		return NULL;
	}
	memcpy(ovmf->image, image, size);
	ovmf->size = size;
	ovmf->info.gpa = FOUR_GIB - size;
	ovmf->info.size = size;
	return ovmf;
}

int gmem_ovmf_new(struct gmem_ctx *ctx, const void *image, size_t size, struct gmem_ovmf **ovmf)
{
	int rc;

	if (ovmf)
		*ovmf = NULL;
	if (!image || !ovmf) {
		log_error(ctx, "gmem_ovmf_new: image is %p and ovmf is %p; neither may be NULL",
			  image, (void *)ovmf);
		return -EINVAL;
	}
	if (size < GMEM_OVMF_SIZE_MIN || size > GMEM_OVMF_SIZE_MAX || size % SNP_PAGE_SIZE) {
		log_error(
			ctx,
			"firmware image: it has %zu bytes; it must be %u to %u, and a multiple of "
			"%u",
			size, GMEM_OVMF_SIZE_MIN, GMEM_OVMF_SIZE_MAX, SNP_PAGE_SIZE);
		return -EINVAL;
	}
	*ovmf = create(ctx, image, size);
	if (!*ovmf) {
		log_error(ctx, "firmware image: no memory for its %zu bytes", size);
		return -ENOMEM;
	}
	rc = read_image(*ovmf);
	if (rc) {
		gmem_ovmf_free(*ovmf);
		*ovmf = NULL;
	}
	return rc;
}

void gmem_ovmf_free(struct gmem_ovmf *ovmf)
{
	if (!ovmf)
		return;
	free(ovmf->sections);
	free(ovmf->image);
	if (ovmf->ctx)
		gmem_ctx_put(ovmf->ctx);
	free(ovmf);
}

int gmem_ovmf_get_info(const struct gmem_ovmf *ovmf, struct gmem_ovmf_info *info)
{
	if (!ovmf || !info) {
		log_error(ovmf ? ovmf->ctx : NULL,
			  "gmem_ovmf_get_info: ovmf is %p and info is %p; neither may be NULL",
			  (const void *)ovmf, (void *)info);
		return -EINVAL;
	}
	*info = ovmf->info;
	return 0;
}

int gmem_ovmf_get_section(const struct gmem_ovmf *ovmf, uint32_t index,
			  struct gmem_ovmf_section *section)
{
	if (!ovmf || !section) {
		log_error(
			ovmf ? ovmf->ctx : NULL,
			"gmem_ovmf_get_section: ovmf is %p and section is %p; neither may be NULL",
			(const void *)ovmf, (void *)section);
		return -EINVAL;
	}
	if (index >= ovmf->info.sections) {
		log_error(ovmf->ctx,
			  "gmem_ovmf_get_section: index %u; the image has %u metadata sections, "
			  "counted from 0",
			  index, ovmf->info.sections);
		return -ENOENT;
	}
	*section = ovmf->sections[index];
	return 0;
}

int gmem_ovmf_find(const struct gmem_ovmf *ovmf, const uint8_t guid[16], const void **data,
		   size_t *size)
{
	char text[GUID_TEXT];
	struct entry entry;

	if (!ovmf || !guid || !data || !size) {
		log_error(ovmf ? ovmf->ctx : NULL,
			  "gmem_ovmf_find: ovmf is %p, guid %p, data %p, size %p; none may be NULL",
			  (const void *)ovmf, (const void *)guid, (void *)data, (void *)size);
		return -EINVAL;
	}
	if (!find_entry(ovmf->table, ovmf->table_size, guid, &entry)) {
		guid_to_text(guid, text);
		log_debug(ovmf->ctx, "gmem_ovmf_find: the image has no entry %s", text);
		return -ENOENT;
	}
	*data = entry.data;
	*size = entry.size;
	return 0;
}
