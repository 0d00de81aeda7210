// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of reading firmware images: good ones, and each way in which one can be bad. */
#include "stage.h"

#include "firmware.h"
#include "random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 0x10000u

struct scene {
	struct logs *logs;
	struct gmem_ctx *ctx;
	struct firmware firmware; /* the usual one, not made yet */
	struct gmem_ovmf *ovmf;
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	scene->logs = logs_new();
	scene->ctx = logs_new_ctx(scene->logs, NULL);
	firmware_init(&scene->firmware, SIZE);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	expect_no_message(scene->logs);
	gmem_ovmf_free(scene->ovmf);
	gmem_ctx_free(scene->ctx);
	firmware_free(&scene->firmware);
	logs_free(scene->logs);
	free(scene);
	return 0;
}

static int read_image(struct scene *scene)
{
	gmem_ovmf_free(scene->ovmf);
	scene->ovmf = (struct gmem_ovmf *)&scene;
	return gmem_ovmf_new(scene->ctx, scene->firmware.bytes, scene->firmware.size, &scene->ovmf);
}

static void expect_image(struct scene *scene)
{
	assert_int_equal(read_image(scene), 0);
	assert_non_null(scene->ovmf);
	expect_no_message(scene->logs);
}

/* The image is refused, by one message with all these words. */
#define expect_bad(scene, ...)                                                                     \
	do {                                                                                       \
		assert_int_equal(read_image(scene), -EBADMSG);                                     \
		assert_null((scene)->ovmf);                                                        \
		expect_one_message((scene)->logs, GMEM_LOG_ERROR, "firmware image", __VA_ARGS__);  \
	} while (0)

static struct gmem_ovmf_info info_of(struct scene *scene)
{
	struct gmem_ovmf_info info;

	memset(&info, 0xff, sizeof(info));
	assert_int_equal(gmem_ovmf_get_info(scene->ovmf, &info), 0);
	return info;
}

static void expect_sections(struct scene *scene)
{
	const struct firmware *firmware = &scene->firmware;
	struct gmem_ovmf_section section;
	uint32_t i;

	assert_int_equal(info_of(scene).sections, firmware->count);
	for (i = 0; i < firmware->count; i++) {
		memset(&section, 0xff, sizeof(section));
		assert_int_equal(gmem_ovmf_get_section(scene->ovmf, i, &section), 0);
		assert_int_equal(section.gpa, firmware->sections[i].gpa);
		assert_int_equal(section.size, firmware->sections[i].size);
		assert_int_equal(section.type, firmware->sections[i].type);
		assert_int_equal(section.pad, 0);
	}
}

static void an_image_says_what_it_has(void **state)
{
	const struct gmem_ovmf_info expected = {
		.gpa = 0x100000000 - SIZE,
		.size = SIZE,
		.sections = 6,
		.ap_reset = 0x80b004,
		.hashes_gpa = 0x810c00,
		.hashes_size = 0x400,
		.svsm = 1,
		.svsm_offset = 0x1234,
	};
	struct scene *scene = *state;
	struct gmem_ovmf_info info;

	firmware_make(&scene->firmware);
	expect_image(scene);
	info = info_of(scene);
	assert_memory_equal(&info, &expected, sizeof(info));
	expect_sections(scene);
}

static void the_image_is_copied(void **state)
{
	struct scene *scene = *state;

	firmware_make(&scene->firmware);
	expect_image(scene);
	memset(scene->firmware.bytes, 0xee, SIZE);
	assert_int_equal(info_of(scene).ap_reset, 0x80b004);
	expect_sections(scene);
}

static void an_image_without_a_table_says_nothing(void **state)
{
	const struct gmem_ovmf_info expected = { .gpa = 0x100000000 - SIZE, .size = SIZE };
	struct scene *scene = *state;
	struct gmem_ovmf_info info;
	const void *data;
	size_t size;

	firmware_make(&scene->firmware);
	scene->firmware.bytes[scene->firmware.footer + 2] ^= 1;
	expect_image(scene);
	info = info_of(scene);
	assert_memory_equal(&info, &expected, sizeof(info));
	assert_int_equal(gmem_ovmf_find(scene->ovmf, firmware_reset_guid, &data, &size), -ENOENT);
	expect_one_message(scene->logs, GMEM_LOG_DEBUG, "gmem_ovmf_find",
			   "00f771de-1a7e-4fcb-890e-68c77e2fb44e");
}

static void a_table_may_be_empty(void **state)
{
	struct scene *scene = *state;

	scene->firmware = (struct firmware){ .size = GMEM_OVMF_SIZE_MIN };
	firmware_make(&scene->firmware);
	expect_image(scene);
	assert_int_equal(info_of(scene).sections, 0);
	assert_int_equal(info_of(scene).gpa, 0xfffff000);
}

static void metadata_may_have_no_sections(void **state)
{
	struct scene *scene = *state;

	scene->firmware.count = 0;
	firmware_make(&scene->firmware);
	expect_image(scene);
	assert_int_equal(info_of(scene).sections, 0);
}

static void a_hash_table_of_nothing_is_none(void **state)
{
	struct scene *scene = *state;

	scene->firmware.entries = 0;
	firmware_add_numbers(&scene->firmware, firmware_hashes_guid, 0x810c00, 0, 8);
	firmware_make(&scene->firmware);
	expect_image(scene);
	assert_int_equal(info_of(scene).hashes_gpa, 0);
	assert_int_equal(info_of(scene).hashes_size, 0);
}

static void entries_are_found_by_guid(void **state)
{
	static const uint8_t own[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	static const uint8_t empty[16] = { 9 };
	struct scene *scene = *state;
	const void *data = NULL;
	size_t size = 99;

	firmware_add_entry(&scene->firmware, own, "seven b", 7);
	firmware_add_entry(&scene->firmware, empty, NULL, 0);
	firmware_make(&scene->firmware);
	expect_image(scene);
	assert_int_equal(gmem_ovmf_find(scene->ovmf, own, &data, &size), 0);
	assert_int_equal(size, 7);
	assert_memory_equal(data, "seven b", 7);
	assert_int_equal(gmem_ovmf_find(scene->ovmf, empty, &data, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(gmem_ovmf_find(scene->ovmf, firmware_reset_guid, &data, &size), 0);
	assert_int_equal(size, 4);
	assert_memory_equal(data, "\x04\xb0\x80\x00", 4);
}

static void all_sizes_up_to_the_greatest(void **state)
{
	struct scene *scene = *state;
	uint8_t *bytes = calloc(1, GMEM_OVMF_SIZE_MAX + 4096);
	static const size_t wrong[] = { 0,
					1,
					GMEM_OVMF_SIZE_MIN - 1,
					GMEM_OVMF_SIZE_MIN + 1,
					SIZE + 2048,
					GMEM_OVMF_SIZE_MAX + 4096,
					SIZE_MAX };
	struct gmem_ovmf *ovmf;
	size_t i;

	assert_int_equal(gmem_ovmf_new(scene->ctx, bytes, GMEM_OVMF_SIZE_MAX, &ovmf), 0);
	gmem_ovmf_free(ovmf);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		ovmf = (struct gmem_ovmf *)&ovmf;
		assert_int_equal(gmem_ovmf_new(scene->ctx, bytes, wrong[i], &ovmf), -EINVAL);
		assert_null(ovmf);
		expect_one_message(scene->logs, GMEM_LOG_ERROR, "firmware image",
				   "4096 to 67108864");
	}
	free(bytes);
}

static void gmem_ovmf_new_EINVAL_null(void **state)
{
	struct scene *scene = *state;
	struct gmem_ovmf *ovmf = (struct gmem_ovmf *)&ovmf;

	assert_int_equal(gmem_ovmf_new(scene->ctx, NULL, SIZE, &ovmf), -EINVAL);
	assert_null(ovmf);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "gmem_ovmf_new", "NULL");
	firmware_make(&scene->firmware);
	assert_int_equal(gmem_ovmf_new(scene->ctx, scene->firmware.bytes, SIZE, NULL), -EINVAL);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "gmem_ovmf_new", "NULL");
}

static void null_is_refused_or_ignored(void **state)
{
	struct scene *scene = *state;
	struct gmem_ovmf_section section;
	struct gmem_ovmf_info info;
	const void *data;
	size_t size;

	firmware_make(&scene->firmware);
	expect_image(scene);
	assert_int_equal(gmem_ovmf_get_info(NULL, &info), -EINVAL);
	assert_int_equal(gmem_ovmf_get_section(NULL, 0, &section), -EINVAL);
	assert_int_equal(gmem_ovmf_find(NULL, firmware_reset_guid, &data, &size), -EINVAL);
	assert_int_equal(gmem_ovmf_get_info(scene->ovmf, NULL), -EINVAL);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "gmem_ovmf_get_info", "NULL");
	assert_int_equal(gmem_ovmf_get_section(scene->ovmf, 0, NULL), -EINVAL);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "gmem_ovmf_get_section", "NULL");
	assert_int_equal(gmem_ovmf_find(scene->ovmf, NULL, &data, &size), -EINVAL);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "gmem_ovmf_find", "NULL");
	assert_int_equal(gmem_ovmf_find(scene->ovmf, firmware_reset_guid, NULL, &size), -EINVAL);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "gmem_ovmf_find", "NULL");
	assert_int_equal(gmem_ovmf_find(scene->ovmf, firmware_reset_guid, &data, NULL), -EINVAL);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "gmem_ovmf_find", "NULL");
	gmem_ovmf_free(NULL);
}

static void sections_end_with_ENOENT(void **state)
{
	struct scene *scene = *state;
	struct gmem_ovmf_section section;

	firmware_make(&scene->firmware);
	expect_image(scene);
	assert_int_equal(gmem_ovmf_get_section(scene->ovmf, 6, &section), -ENOENT);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "index 6", "has 6 metadata sections");
	assert_int_equal(gmem_ovmf_get_section(scene->ovmf, UINT32_MAX, &section), -ENOENT);
	expect_one_message(scene->logs, GMEM_LOG_ERROR, "index 4294967295");
}

/* One allocation after the other fails; then all goes well. */
static void gmem_ovmf_new_ENOMEM(void **state)
{
	struct scene *scene = *state;
	uint64_t nth, counted;

	firmware_make(&scene->firmware);
	allocations_count_only();
	expect_image(scene);
	counted = allocations_off();
	assert_in_range(counted, 3, 10);
	gmem_ovmf_free(scene->ovmf);
	scene->ovmf = NULL;
	for (nth = 1; nth <= counted; nth++) {
		allocations_fail(nth);
		assert_int_equal(read_image(scene), -ENOMEM);
		assert_int_equal(allocations_failed(), 1);
		allocations_off();
		assert_null(scene->ovmf);
		expect_one_message(scene->logs, GMEM_LOG_ERROR, "firmware image: no memory");
	}
	expect_image(scene);
}

/* The default context: one more allocation. */
static void gmem_ovmf_new_ENOMEM_default_context(void **state)
{
	struct scene *scene = *state;
	uint64_t nth;
	int rc = -ENOMEM;

	firmware_make(&scene->firmware);
	for (nth = 1; rc == -ENOMEM; nth++) {
		allocations_fail(nth);
		rc = gmem_ovmf_new(NULL, scene->firmware.bytes, SIZE, &scene->ovmf);
		allocations_off();
	}
	assert_int_equal(rc, 0);
	assert_int_equal(nth - 1, 5);
}

/* ---- The table. ---- */

static void bad_table_shorter_than_its_footer(void **state)
{
	struct scene *scene = *state;
	uint16_t length;

	firmware_make(&scene->firmware);
	for (length = 0; length < 18; length++) {
		firmware_put_u16(&scene->firmware, scene->firmware.footer, length);
		expect_bad(scene, "footer of the GUIDed table", "must be 18");
	}
	firmware_put_u16(&scene->firmware, scene->firmware.footer, 18);
	expect_image(scene);
}

static void bad_table_longer_than_the_image(void **state)
{
	struct scene *scene = *state;

	scene->firmware = (struct firmware){ .size = 4096 };
	firmware_make(&scene->firmware);
	firmware_put_u16(&scene->firmware, scene->firmware.footer, 4096 - 32 + 1);
	expect_bad(scene, "footer of the GUIDed table", "4065 bytes", "to 4064");
	firmware_put_u16(&scene->firmware, scene->firmware.footer, 0xffff);
	expect_bad(scene, "footer of the GUIDed table", "65535 bytes");
	/* All of the image is the table, and its first entry has length 0. */
	firmware_put_u16(&scene->firmware, scene->firmware.footer, 4096 - 32);
	expect_bad(scene, "entry that ends at offset 0xfce", "0 bytes", "to 4046");
}

static void bad_entry_shorter_than_its_end(void **state)
{
	struct scene *scene = *state;
	size_t end;
	uint16_t length;

	firmware_make(&scene->firmware);
	end = scene->firmware.entry[1].offset;
	for (length = 0; length < 18; length++) {
		firmware_put_u16(&scene->firmware, end - 18, length);
		expect_bad(scene, "GUIDed table's entry that ends at offset", "must be 18");
	}
}

static void bad_entry_longer_than_the_table(void **state)
{
	struct scene *scene = *state;
	size_t end;

	firmware_make(&scene->firmware);
	end = scene->firmware.entry[0].offset;
	firmware_put_u16(&scene->firmware, end - 18, 23);
	expect_bad(scene, "GUIDed table's entry that ends at offset", "has 23 bytes", "to 22");
	firmware_put_u16(&scene->firmware, end - 18, 0xffff);
	expect_bad(scene, "GUIDed table's entry that ends at offset", "has 65535 bytes");
	/* What is left of the table is not enough for an entry. */
	firmware_put_u16(&scene->firmware, end - 18, 21);
	expect_bad(scene, "GUIDed table's entry that ends at offset", "has 0 bytes", "to 1");
}

static void bad_entry_there_twice(void **state)
{
	struct scene *scene = *state;

	firmware_add_numbers(&scene->firmware, firmware_reset_guid, 0x80b004, 0, 4);
	firmware_make(&scene->firmware);
	expect_bad(scene, "00f771de-1a7e-4fcb-890e-68c77e2fb44e", "twice");
}

static void bad_entry_with_too_little_data(void **state)
{
	static const struct {
		const uint8_t *guid;
		const char *text;
		const char *what;
		size_t size;
	} entries[] = {
		{ firmware_reset_guid, "00f771de-1a7e-4fcb-890e-68c77e2fb44e", "the reset vector",
		  4 },
		{ firmware_hashes_guid, "7255371f-3a3b-4b04-927b-1da6efa8d454",
		  "the kernel hash table", 8 },
		{ firmware_svsm_guid, "a789a612-0597-4c4b-a49f-cbb1fe9d1ddd",
		  "the SVSM information", 4 },
		{ firmware_metadata_guid, "dc886566-984a-4798-a75e-5585a7bf67cc",
		  "the SEV metadata", 4 },
	};
	struct scene *scene = *state;
	size_t i, size;

	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		for (size = 0; size < entries[i].size; size++) {
			scene->firmware = (struct firmware){ .size = SIZE };
			firmware_add_numbers(&scene->firmware, entries[i].guid, 16, 16, size);
			firmware_make(&scene->firmware);
			expect_bad(scene, entries[i].text, entries[i].what, "must have at least");
			firmware_free(&scene->firmware);
		}
	}
}

/* ---- The metadata. ---- */

static void bad_metadata_outside_of_the_image(void **state)
{
	static const uint32_t offsets[] = { 0, 1, 15, SIZE + 1, 0x80000000, UINT32_MAX };
	struct scene *scene = *state;
	size_t i, at;

	firmware_make(&scene->firmware);
	at = scene->firmware.entry[3].offset - 22;
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		firmware_put_u32(&scene->firmware, at, offsets[i]);
		expect_bad(scene, "the SEV metadata are", "must be 16", "65536 (the image)");
	}
}

static void metadata_may_be_the_first_of_the_image(void **state)
{
	struct scene *scene = *state;

	scene->firmware.metadata_back = SIZE;
	scene->firmware.entry[3].data[1] = 0;
	scene->firmware.entry[3].data[2] = 1;
	firmware_make(&scene->firmware);
	expect_image(scene);
	expect_sections(scene);
}

static void bad_metadata_of_another_kind(void **state)
{
	struct scene *scene = *state;

	firmware_make(&scene->firmware);
	firmware_put_u32(&scene->firmware, scene->firmware.metadata + 8, 2);
	expect_bad(scene, "of version 2", "of version 1");
	firmware_put_u32(&scene->firmware, scene->firmware.metadata + 8, 0);
	expect_bad(scene, "of version 0");
	firmware_put_u32(&scene->firmware, scene->firmware.metadata + 8, 1);
	scene->firmware.bytes[scene->firmware.metadata + 3] = 'W';
	expect_bad(scene, "begin with 41 53 45 57");
}

static void bad_metadata_shorter_than_their_sections(void **state)
{
	struct scene *scene = *state;
	uint32_t length;

	firmware_make(&scene->firmware);
	for (length = 0; length < 16 + 6 * 12; length++) {
		firmware_put_u32(&scene->firmware, scene->firmware.metadata + 4, length);
		expect_bad(scene, "6 sections", "88 (for these)");
	}
	/* Longer, there may be more to come that nobody knows of. */
	firmware_put_u32(&scene->firmware, scene->firmware.metadata + 4, length + 100);
	expect_image(scene);
	firmware_put_u32(&scene->firmware, scene->firmware.metadata + 4, 0x501);
	expect_bad(scene, "1281 bytes", "to 1280 bytes (the image's end)");
}

static void bad_metadata_with_too_many_sections(void **state)
{
	static const uint32_t counts[] = { 7, GMEM_OVMF_SECTIONS_MAX + 1, 0x15555555, 0x15555556,
					   UINT32_MAX };
	struct scene *scene = *state;
	size_t i;

	firmware_make(&scene->firmware);
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		firmware_put_u32(&scene->firmware, scene->firmware.metadata + 12, counts[i]);
		expect_bad(scene, "1024 sections at most");
	}
	firmware_put_u32(&scene->firmware, scene->firmware.metadata + 12, 5);
	scene->firmware.count = 5;
	expect_image(scene);
	expect_sections(scene);
}

/* ---- Sections. ---- */

static void bad_section_not_of_whole_pages(void **state)
{
	struct scene *scene = *state;

	scene->firmware.sections[1].gpa = 0x80d001;
	firmware_make(&scene->firmware);
	expect_bad(scene, "metadata section 2 has 0x1000 bytes at 0x80d001", "multiples of 0x1000");
	firmware_free(&scene->firmware);
	scene->firmware.sections[1].gpa = 0x80d000;
	scene->firmware.sections[1].size = 0x1001;
	firmware_make(&scene->firmware);
	expect_bad(scene, "metadata section 2 has 0x1001 bytes at 0x80d000");
}

static void bad_section_beyond_its_room(void **state)
{
	struct scene *scene = *state;

	scene->firmware.sections[0].gpa = 0xfffff000;
	scene->firmware.sections[0].size = 0xfffff000;
	firmware_make(&scene->firmware);
	expect_bad(scene, "metadata section 1 has 0xfffff000 bytes at 0xfffff000",
		   "end before the image, at 0xffff0000");
	firmware_free(&scene->firmware);
	scene->firmware.sections[0].gpa = 0xfffef000;
	scene->firmware.sections[0].size = 0x2000;
	firmware_make(&scene->firmware);
	expect_bad(scene, "metadata section 1 has 0x2000 bytes at 0xfffef000",
		   "end before the image");
	firmware_free(&scene->firmware);
	scene->firmware.sections[0].size = 0x1000;
	firmware_make(&scene->firmware);
	expect_image(scene);
	expect_sections(scene);
}

static void bad_sections_that_overlap(void **state)
{
	static const struct {
		uint32_t gpa;
		uint32_t size;
	} over[] = {
		{ 0x800000, 0x9000 }, { 0x808000, 0x1000 }, { 0x800000, 0x1000 },
		{ 0x7ff000, 0x2000 }, { 0x7ff000, 0xb000 }, { 0, 0xfff00000 },
	};
	struct scene *scene = *state;
	size_t i;

	scene->firmware.count = 1;
	firmware_add_section(&scene->firmware, 0, 0, GMEM_OVMF_SEC_MEM);
	for (i = 0; i < ARRAY_SIZE(over); i++) {
		scene->firmware.sections[1].gpa = over[i].gpa;
		scene->firmware.sections[1].size = over[i].size;
		firmware_make(&scene->firmware);
		expect_bad(scene,
			   "metadata section 1 (0x9000 bytes at 0x800000) overlaps section 2");
		firmware_free(&scene->firmware);
	}
	scene->firmware.sections[1].gpa = 0x7ff000;
	scene->firmware.sections[1].size = 0x1000;
	firmware_make(&scene->firmware);
	expect_image(scene);
}

static void bad_second_section_for_hashes(void **state)
{
	struct scene *scene = *state;

	firmware_add_section(&scene->firmware, 0x900000, 0x1000, GMEM_OVMF_KERNEL_HASHES);
	firmware_make(&scene->firmware);
	expect_bad(scene, "metadata sections 5 and 7 are both for kernel hashes");
	firmware_free(&scene->firmware);
	scene->firmware.sections[6].size = 0;
	firmware_make(&scene->firmware);
	expect_image(scene);
}

/* They are no pages, wherever they are. */
static void sections_of_nothing_are_kept(void **state)
{
	struct scene *scene = *state;

	firmware_add_section(&scene->firmware, 0x800001, 0, GMEM_OVMF_SEC_MEM);
	firmware_add_section(&scene->firmware, 0xffffffff, 0, GMEM_OVMF_CPUID);
	firmware_add_section(&scene->firmware, 0, 0, 0x77);
	/* One within a section that comes later. */
	scene->firmware.sections[1].gpa = 0x80e001;
	scene->firmware.sections[1].size = 0;
	firmware_make(&scene->firmware);
	expect_image(scene);
	expect_sections(scene);
}

static void unknown_types_and_repeated_ones_are_kept(void **state)
{
	struct scene *scene = *state;

	firmware_add_section(&scene->firmware, 0x900000, 0x1000, 0);
	firmware_add_section(&scene->firmware, 0x901000, 0x1000, UINT32_MAX);
	firmware_add_section(&scene->firmware, 0x902000, 0x1000, GMEM_OVMF_CPUID);
	firmware_add_section(&scene->firmware, 0x903000, 0x1000, GMEM_OVMF_SECRETS);
	firmware_make(&scene->firmware);
	expect_image(scene);
	expect_sections(scene);
}

static void as_many_sections_as_there_may_be(void **state)
{
	struct scene *scene = *state;
	struct firmware *firmware = &scene->firmware;
	struct gmem_ovmf_section section;
	uint32_t i;

	firmware->metadata_back = SIZE;
	firmware->entry[3].data[1] = 0;
	firmware->entry[3].data[2] = 1;
	firmware_make(firmware);
	firmware_put_u32(firmware, 4, 16 + 12 * GMEM_OVMF_SECTIONS_MAX);
	firmware_put_u32(firmware, 12, GMEM_OVMF_SECTIONS_MAX);
	for (i = 0; i < GMEM_OVMF_SECTIONS_MAX; i++) {
		firmware_put_u32(firmware, 16 + 12 * i, 0x1000 * (GMEM_OVMF_SECTIONS_MAX - i));
		firmware_put_u32(firmware, 20 + 12 * i, 0x1000);
		firmware_put_u32(firmware, 24 + 12 * i, 1);
	}
	expect_image(scene);
	assert_int_equal(info_of(scene).sections, GMEM_OVMF_SECTIONS_MAX);
	assert_int_equal(gmem_ovmf_get_section(scene->ovmf, GMEM_OVMF_SECTIONS_MAX - 1, &section),
			 0);
	assert_int_equal(section.gpa, 0x1000);
	/* One more, which has its room in the image, and is good but for the number. */
	firmware_put_u32(firmware, 4, 16 + 12 * (GMEM_OVMF_SECTIONS_MAX + 1));
	firmware_put_u32(firmware, 12, GMEM_OVMF_SECTIONS_MAX + 1);
	expect_bad(scene, "1025 sections", "1024 sections at most");
	firmware_put_u32(firmware, 12, GMEM_OVMF_SECTIONS_MAX);
	/* The last overlaps the first. */
	firmware_put_u32(firmware, 16 + 12 * (GMEM_OVMF_SECTIONS_MAX - 1),
			 0x1000 * GMEM_OVMF_SECTIONS_MAX);
	expect_bad(scene, "metadata section 1 ", "overlaps section 1024 ");
}

/* ---- Any bytes at all. ---- */

/* What was accepted keeps the promises of the header. */
static void judge_accepted(const struct gmem_ovmf *ovmf)
{
	struct gmem_ovmf_section a, b;
	struct gmem_ovmf_info info;
	uint32_t i, j;

	assert_int_equal(gmem_ovmf_get_info(ovmf, &info), 0);
	assert_in_range(info.sections, 0, GMEM_OVMF_SECTIONS_MAX);
	for (i = 0; i < info.sections; i++) {
		assert_int_equal(gmem_ovmf_get_section(ovmf, i, &a), 0);
		if (!a.size)
			continue;
		assert_int_equal((a.gpa | a.size) & 0xfff, 0);
		assert_in_range(a.gpa + a.size, 0x1000, info.gpa);
		for (j = 0; j < i; j++) {
			assert_int_equal(gmem_ovmf_get_section(ovmf, j, &b), 0);
			assert_true(!b.size || a.gpa + a.size <= b.gpa || b.gpa + b.size <= a.gpa);
		}
	}
}

/* Half of the changes hit lengths, offsets and counts. */
static void change_image(struct firmware *firmware, uint64_t *seed)
{
	static const uint8_t bytes[] = { 0, 1, 0x11, 0x12, 0x7f, 0x80, 0xff };
	size_t at = firmware->size - 1 - random_below(seed, 0x100);

	if (random_below(seed, 2))
		at = firmware->metadata + random_below(seed, 16 + 12 * firmware->count);
	if (random_below(seed, 2))
		firmware->bytes[at] = bytes[random_below(seed, sizeof(bytes))];
	else
		firmware->bytes[at] = (uint8_t)random_next(seed);
}

static void changed_images_are_refused_or_right(void **state)
{
	uint64_t seed = random_seed("test-ovmf");
	struct scene *scene = *state;
	unsigned int good = 0, bad = 0, round;
	uint64_t changes;

	for (round = 0; round < 20000; round++) {
		firmware_init(&scene->firmware, 4096);
		scene->firmware.fill = random_next(&seed);
		firmware_make(&scene->firmware);
		for (changes = 1 + random_below(&seed, 4); changes; changes--)
			change_image(&scene->firmware, &seed);
		if (read_image(scene) == 0) {
			good++;
			judge_accepted(scene->ovmf);
		} else {
			bad++;
			assert_int_equal(logs_count(scene->logs), 1);
			expect_one_message(scene->logs, GMEM_LOG_ERROR, "firmware image: ", "must");
		}
		firmware_free(&scene->firmware);
	}
	assert_true(good > 100 && bad > 100);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STAGED(an_image_says_what_it_has),
		STAGED(the_image_is_copied),
		STAGED(an_image_without_a_table_says_nothing),
		STAGED(a_table_may_be_empty),
		STAGED(metadata_may_have_no_sections),
		STAGED(a_hash_table_of_nothing_is_none),
		STAGED(entries_are_found_by_guid),
		STAGED(all_sizes_up_to_the_greatest),
		STAGED(gmem_ovmf_new_EINVAL_null),
		STAGED(null_is_refused_or_ignored),
		STAGED(sections_end_with_ENOENT),
		STAGED(gmem_ovmf_new_ENOMEM),
		STAGED(gmem_ovmf_new_ENOMEM_default_context),
		STAGED(bad_table_shorter_than_its_footer),
		STAGED(bad_table_longer_than_the_image),
		STAGED(bad_entry_shorter_than_its_end),
		STAGED(bad_entry_longer_than_the_table),
		STAGED(bad_entry_there_twice),
		STAGED(bad_entry_with_too_little_data),
		STAGED(bad_metadata_outside_of_the_image),
		STAGED(metadata_may_be_the_first_of_the_image),
		STAGED(bad_metadata_of_another_kind),
		STAGED(bad_metadata_shorter_than_their_sections),
		STAGED(bad_metadata_with_too_many_sections),
		STAGED(bad_section_not_of_whole_pages),
		STAGED(bad_section_beyond_its_room),
		STAGED(bad_sections_that_overlap),
		STAGED(bad_second_section_for_hashes),
		STAGED(sections_of_nothing_are_kept),
		STAGED(unknown_types_and_repeated_ones_are_kept),
		STAGED(as_many_sections_as_there_may_be),
		STAGED(changed_images_are_refused_or_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
