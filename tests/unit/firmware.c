// SPDX-License-Identifier: LGPL-2.1-or-later
/* Firmware images made to measure, for tests of those who read them. */
#include "firmware.h"

#include "random.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define AFTER_TABLE 32u
#define ENTRY_END 18u

const uint8_t firmware_metadata_guid[16] = { 0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
					     0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc };
const uint8_t firmware_hashes_guid[16] = { 0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b,
					   0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54 };
const uint8_t firmware_reset_guid[16] = { 0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
					  0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e };
const uint8_t firmware_svsm_guid[16] = { 0x12, 0xa6, 0x89, 0xa7, 0x97, 0x05, 0x4b, 0x4c,
					 0xa4, 0x9f, 0xcb, 0xb1, 0xfe, 0x9d, 0x1d, 0xdd };
static const uint8_t footer_guid[16] = { 0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
					 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d };

void firmware_add_entry(struct firmware *firmware, const uint8_t guid[16], const void *data,
			size_t size)
{
	struct firmware_entry *entry = &firmware->entry[firmware->entries++];

	assert_in_range(firmware->entries, 1, FIRMWARE_ENTRIES);
	assert_in_range(size, 0, FIRMWARE_DATA);
	memcpy(entry->guid, guid, sizeof(entry->guid));
	if (size)
		memcpy(entry->data, data, size);
	entry->size = size;
}

void firmware_add_numbers(struct firmware *firmware, const uint8_t guid[16], uint32_t first,
			  uint32_t second, size_t size)
{
	const uint32_t numbers[2] = { first, second };

	firmware_add_entry(firmware, guid, numbers, size);
}

void firmware_add_section(struct firmware *firmware, uint32_t gpa, uint32_t size, uint32_t type)
{
	assert_in_range(firmware->count, 0, FIRMWARE_SECTIONS - 1);
	firmware->sections[firmware->count++] =
		(struct gmem_ovmf_section){ .gpa = gpa, .size = size, .type = type };
}

void firmware_init(struct firmware *firmware, size_t size)
{
	*firmware = (struct firmware){ .size = size, .metadata_back = 0x500 };
	firmware_add_section(firmware, 0x800000, 0x9000, GMEM_OVMF_SEC_MEM);
	firmware_add_section(firmware, 0x80d000, 0x1000, GMEM_OVMF_SECRETS);
	firmware_add_section(firmware, 0x80e000, 0x1000, GMEM_OVMF_CPUID);
	firmware_add_section(firmware, 0x80f000, 0x1000, GMEM_OVMF_SVSM_CAA);
	firmware_add_section(firmware, 0x810000, 0x1000, GMEM_OVMF_KERNEL_HASHES);
	firmware_add_section(firmware, 0x80a000, 0x3000, GMEM_OVMF_SEC_MEM);
	firmware_add_numbers(firmware, firmware_svsm_guid, 0x1234, 0, 4);
	firmware_add_numbers(firmware, firmware_hashes_guid, 0x810c00, 0x400, 8);
	firmware_add_numbers(firmware, firmware_reset_guid, 0x80b004, 0, 4);
	firmware_add_numbers(firmware, firmware_metadata_guid, 0x500, 0, 4);
}

void firmware_put_u16(struct firmware *firmware, size_t offset, uint16_t value)
{
	assert_in_range(offset, 0, firmware->size - sizeof(value));
	memcpy(firmware->bytes + offset, &value, sizeof(value));
}

void firmware_put_u32(struct firmware *firmware, size_t offset, uint32_t value)
{
	assert_in_range(offset, 0, firmware->size - sizeof(value));
	memcpy(firmware->bytes + offset, &value, sizeof(value));
}

static void put_entry(struct firmware *firmware, struct firmware_entry *entry, size_t end)
{
	size_t start = end - ENTRY_END - entry->size;

	entry->offset = end;
	memcpy(firmware->bytes + start, entry->data, entry->size);
	firmware_put_u16(firmware, end - ENTRY_END, (uint16_t)(entry->size + ENTRY_END));
	memcpy(firmware->bytes + end - sizeof(entry->guid), entry->guid, sizeof(entry->guid));
}

static void put_table(struct firmware *firmware)
{
	size_t end = firmware->size - AFTER_TABLE - ENTRY_END;
	uint32_t i;

	firmware->footer = end;
	for (i = firmware->entries; i-- > 0;) {
		put_entry(firmware, &firmware->entry[i], end);
		end -= firmware->entry[i].size + ENTRY_END;
	}
	firmware->table = end;
	firmware_put_u16(firmware, firmware->footer,
			 (uint16_t)(firmware->size - AFTER_TABLE - end));
	memcpy(firmware->bytes + firmware->footer + 2, footer_guid, sizeof(footer_guid));
}

static void put_metadata(struct firmware *firmware)
{
	size_t at = firmware->size - firmware->metadata_back;
	uint32_t i;

	firmware->metadata = at;
	memcpy(firmware->bytes + at, "ASEV", 4);
	firmware_put_u32(firmware, at + 4, 16 + 12 * firmware->count);
	firmware_put_u32(firmware, at + 8, 1);
	firmware_put_u32(firmware, at + 12, firmware->count);
	for (i = 0; i < firmware->count; i++) {
		const struct gmem_ovmf_section *section = &firmware->sections[i];

		firmware_put_u32(firmware, at + 16 + 12 * i, (uint32_t)section->gpa);
		firmware_put_u32(firmware, at + 20 + 12 * i, (uint32_t)section->size);
		firmware_put_u32(firmware, at + 24 + 12 * i, section->type);
	}
}

void firmware_make(struct firmware *firmware)
{
	uint64_t seed = firmware->fill;
	size_t i;

	firmware->bytes = support_new(firmware->size);
	for (i = 0; seed && i < firmware->size; i++)
		firmware->bytes[i] = (uint8_t)(random_next(&seed) >> 32);
	if (firmware->metadata_back)
		put_metadata(firmware);
	put_table(firmware);
}

void firmware_free(struct firmware *firmware)
{
	free(firmware->bytes);
	firmware->bytes = NULL;
}
