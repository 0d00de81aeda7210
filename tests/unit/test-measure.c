// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Launch digests against those of measuring tools (vectors.tsv) and of another implementation
 * (launches.tsv), and the promises of the functions that make them.
 */
#include "stage.h"

#include "measured.h"
#include "world.h"
#include "tests/sim/test-sim-snp-table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[48];

/* ---- Tables. ---- */

static uint32_t vmm_of(const char *name)
{
	if (strcmp(name, "ec2") == 0)
		return GMEM_SNP_VMM_EC2;
	if (strcmp(name, "gce") == 0)
		return GMEM_SNP_VMM_GCE;
	assert_string_equal(name, "QEMU");
	return GMEM_SNP_VMM_QEMU;
}

/* A row of vectors.tsv, read. */
struct vector {
	uint32_t vmm;
	uint32_t vcpus;
	uint32_t signature;
	uint64_t features;
	struct gmem_ovmf *ovmf;
	struct gmem_ovmf_info info;
	bool has_hashes;
	struct gmem_snp_hashes hashes;
	uint8_t digest[48];
};

static void read_hashes(struct vector *vector, const struct table_row *row)
{
	size_t kernel_size, initrd_size = 0;
	uint8_t *kernel = data_read(row->field[7], &kernel_size), *initrd = NULL;
	char *line = NULL;

	if (strcmp(row->field[8], "-") != 0)
		initrd = data_read(row->field[8], &initrd_size);
	/* Between quotes. */
	if (strcmp(row->field[9], "-") != 0)
		line = strndup(row->field[9] + 1, strlen(row->field[9]) - 2);
	assert_int_equal(gmem_snp_hashes_compute(NULL, kernel, kernel_size, initrd, initrd_size,
						 line, &vector->hashes),
			 0);
	vector->has_hashes = true;
	free(line);
	free(initrd);
	free(kernel);
}

static void read_vector(struct vector *vector, const struct table_row *row)
{
	size_t size;
	uint8_t *image = data_read(row->field[0], &size);

	*vector = (struct vector){
		.vmm = vmm_of(row->field[2]),
		.vcpus = (uint32_t)number_read(row->field[3], 10),
		.signature = (uint32_t)number_read(row->field[5], 16),
		.features = number_read(row->field[6], 16),
	};
	hex_read(row->field[10], vector->digest, sizeof(vector->digest));
	assert_int_equal(gmem_ovmf_new(NULL, image, size, &vector->ovmf), 0);
	assert_int_equal(gmem_ovmf_get_info(vector->ovmf, &vector->info), 0);
	free(image);
	if (strcmp(row->field[7], "-") != 0)
		read_hashes(vector, row);
}

static void add_firmware(struct gmem_snp_measure *measure, const struct vector *vector)
{
	assert_int_equal(gmem_snp_measure_add_ovmf(measure, vector->ovmf, vector->vmm,
						   vector->has_hashes ? &vector->hashes : NULL),
			 0);
}

static void add_vcpus(struct gmem_snp_measure *measure, const struct vector *vector, uint32_t first,
		      uint32_t count)
{
	assert_int_equal(gmem_snp_measure_add_vcpus(measure, vector->vmm, first, count,
						    vector->info.ap_reset, vector->signature,
						    vector->features),
			 0);
}

static void for_each_vector(void (*check)(const struct vector *vector))
{
	struct vector vector;
	struct table table;
	size_t i;

	table_read(&table, "vectors.tsv");
	assert_true(table.rows >= 13);
	for (i = 0; i < table.rows; i++) {
		read_vector(&vector, &table.row[i]);
		check(&vector);
		gmem_ovmf_free(vector.ovmf);
	}
	table_free(&table);
}

static void check_at_once(const struct vector *vector)
{
	static const uint32_t threads[] = { 1, 2, 3, GMEM_SNP_THREADS_MAX };
	struct gmem_snp_measure *measure;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		assert_int_equal(gmem_snp_measure_new(NULL, NULL, &measure), 0);
		gmem_snp_measure_set_threads(measure, threads[i]);
		add_firmware(measure, vector);
		add_vcpus(measure, vector, 0, vector->vcpus);
		expect_digest(measure, vector->digest);
		gmem_snp_measure_free(measure);
	}
}

static void vectors_of_measuring_tools(void **state)
{
	(void)state;
	for_each_vector(check_at_once);
}

/* The firmware once; from there to every vCPU count up to that of the vector, and one by one. */
static void check_seeds(const struct vector *vector)
{
	struct gmem_snp_measure *firmware, *seeded, *steps;
	uint8_t seed[48], digest[48];
	uint32_t count;

	assert_int_equal(gmem_snp_measure_new(NULL, NULL, &firmware), 0);
	add_firmware(firmware, vector);
	assert_int_equal(gmem_snp_measure_get_digest(firmware, seed), 0);
	assert_int_equal(gmem_snp_measure_new(NULL, seed, &steps), 0);
	for (count = 1; count <= vector->vcpus; count++) {
		assert_int_equal(gmem_snp_measure_new(NULL, seed, &seeded), 0);
		expect_digest(seeded, seed);
		add_vcpus(seeded, vector, 0, count);
		add_vcpus(steps, vector, count - 1, 1);
		assert_int_equal(gmem_snp_measure_get_digest(seeded, digest), 0);
		expect_digest(steps, digest);
		gmem_snp_measure_free(seeded);
	}
	expect_digest(steps, vector->digest);
	expect_digest(firmware, seed);
	gmem_snp_measure_free(steps);
	gmem_snp_measure_free(firmware);
}

static void vectors_by_seeds(void **state)
{
	(void)state;
	for_each_vector(check_seeds);
}

/* As generate.py fills pages. */
static void add_step(struct gmem_snp_measure *measure, const char *step)
{
	static const struct {
		const char *name;
		uint32_t type;
	} types[] = {
		{ "normal", GMEM_SNP_PAGE_NORMAL },         { "zero", GMEM_SNP_PAGE_ZERO },
		{ "unmeasured", GMEM_SNP_PAGE_UNMEASURED }, { "secrets", GMEM_SNP_PAGE_SECRETS },
		{ "cpuid", GMEM_SNP_PAGE_CPUID },
	};
	unsigned long long gpa, pages, i;
	uint8_t *data = NULL;
	uint32_t type = 0;
	char name[16];
	size_t n;

	assert_int_equal(sscanf(step, "%15[a-z]:%llx:%llu", name, &gpa, &pages), 3);
	for (n = 0; n < ARRAY_SIZE(types); n++)
		type = strcmp(types[n].name, name) == 0 ? types[n].type : type;
	assert_int_not_equal(type, 0);
	if (type == GMEM_SNP_PAGE_NORMAL) {
		data = calloc(pages, PAGE);
		for (i = 0; i < pages * PAGE; i++)
			data[i] =
				(uint8_t)(i % PAGE * 31 + (gpa + i) / PAGE * 17 + (i % PAGE >> 8));
	}
	assert_int_equal(gmem_snp_measure_add(measure, gpa, data, pages * PAGE, type), 0);
	free(data);
}

static void put(uint8_t *page, size_t offset, uint64_t value, size_t size)
{
	memcpy(page + offset, &value, size);
}

/* The vCPU of the launch called "registers": a page of the caller's own. */
static void add_own_vmsa(struct gmem_snp_measure *measure)
{
	static const size_t registers[] = { 0x1f8, 0x318, 0x308, 0x310, 0x330, 0x338,
					    0x1d8, 0x328, 0x340, 0x348, 0x350, 0x358,
					    0x360, 0x368, 0x370, 0x378, 0x178 };
	static const size_t segments[] = { 0x10, 0x30, 0x00, 0x40, 0x50, 0x20, 0x90, 0x70 };
	uint8_t page[PAGE];
	size_t i;

	assert_int_equal(gmem_snp_vmsa_build(NULL, GMEM_SNP_VMM_KVM, 0, 0, 0, 0, page), 0);
	for (i = 0; i < ARRAY_SIZE(registers); i++)
		put(page, registers[i], (i + 1) * UINT64_C(0x0101010101010101), 8);
	for (i = 0; i < ARRAY_SIZE(segments); i++) {
		put(page, segments[i], 8 * (i + 1), 2);
		put(page, segments[i] + 2, (i * 0x123 + 0x195) & (i == 3 || i == 7 ? 0xf7f : 0xfff),
		    2);
		put(page, segments[i] + 4, 0xfffff - i, 4);
		put(page, segments[i] + 8, 0x1000 * (i + 1), 8);
	}
	put(page, 0x64, 0x7f, 4);
	put(page, 0x68, 0x17000, 8);
	put(page, 0x84, 0xff, 4);
	put(page, 0x88, 0x18000, 8);
	put(page, 0xd0, 0x1500, 8);
	put(page, 0x148, 0x60, 8);
	put(page, 0x150, 0x5000, 8);
	put(page, 0x158, 0x31, 8);
	put(page, 0x170, 0x42, 8);
	put(page, 0x240, 0x1234, 8);
	put(page, 0x268, 0x0007040600070405, 8);
	put(page, 0x3e8, 7, 8);
	put(page, 0x408, 0x1fa0, 4);
	put(page, 0x40c, 0xa5, 2);
	put(page, 0x40e, 0x1234, 2);
	put(page, 0x410, 0x27f, 2);
	assert_int_equal(gmem_snp_measure_add(measure, GMEM_SNP_VMSA_GPA, page, PAGE,
					      GMEM_SNP_PAGE_VMSA),
			 0);
}

static void check_launch(const struct table_row *row)
{
	uint32_t vcpus = (uint32_t)number_read(row->field[1], 10);
	struct gmem_snp_measure *measure;
	uint8_t digest[48];
	char *rest = row->field[3], *step;

	assert_int_equal(gmem_snp_measure_new(NULL, NULL, &measure), 0);
	if (strcmp(rest, "-") == 0)
		rest = NULL;
	while ((step = strsep(&rest, " ")))
		add_step(measure, step);
	hex_read(row->field[4], digest, sizeof(digest));
	expect_digest(measure, digest);
	if (strcmp(row->field[0], "registers") == 0)
		add_own_vmsa(measure);
	else if (vcpus)
		assert_int_equal(gmem_snp_measure_add_vcpus(measure, GMEM_SNP_VMM_KVM, 0, vcpus,
							    0x80b004, 0x800f12,
							    number_read(row->field[2], 16)),
				 0);
	hex_read(row->field[5], digest, sizeof(digest));
	expect_digest(measure, digest);
	gmem_snp_measure_free(measure);
}

static void launches_by_another_implementation(void **state)
{
	struct table table;
	size_t i;

	(void)state;
	table_read(&table, "launches.tsv");
	for (i = 0; i < table.rows; i++)
		check_launch(&table.row[i]);
	table_free(&table);
}

/* ---- Images. ---- */

static struct gmem_ovmf *make_image(struct firmware *firmware)
{
	struct gmem_ovmf *ovmf;

	firmware_make(firmware);
	assert_int_equal(gmem_ovmf_new(NULL, firmware->bytes, firmware->size, &ovmf), 0);
	return ovmf;
}

/* Each way of launching, with and without hashes, empty sections and all. */
static void images_as_each_vmm_launches_them(void **state)
{
	struct gmem_snp_hashes hashes;
	struct gmem_snp_measure *measure;
	uint8_t digest[48], page[PAGE] = { 0 };
	struct firmware firmware;
	struct gmem_ovmf *ovmf;
	uint32_t vmm;
	int with;

	(void)state;
	firmware_init(&firmware, 0x8000);
	firmware_add_section(&firmware, 0x123, 0, GMEM_OVMF_CPUID);
	firmware_add_section(&firmware, 0x900000, 0x1000, GMEM_OVMF_CPUID);
	firmware_add_section(&firmware, 0x1000, 0, 0x99);
	firmware.fill = 1;
	ovmf = make_image(&firmware);
	memset(&hashes, 0x5a, sizeof(hashes));
	/* Where the vectors hold the page to be right, this needs only the bytes. */
	memcpy(page + 0xc00,
	       "\x06\xd6\x38\x94\x22\x4f\xc9\x4c\xb4\x79\xa7\x93\xd4\x11\xfd\x21\xa8\x00"
	       "\xd8\x2d\xd0\x97\x20\xbd\x94\x4c\xaa\x78\xe7\x71\x4d\x36\xab\x2a\x32\x00",
	       36);
	memset(page + 0xc00 + 36, 0x5a, 32);
	memcpy(page + 0xc00 + 68,
	       "\x31\xf7\xba\x44\x2f\x3a\xd7\x4b\x9a\xf1\x41\xe2\x91\x69\x78\x1d\x32\x00", 18);
	memset(page + 0xc00 + 86, 0x5a, 32);
	memcpy(page + 0xc00 + 118,
	       "\x37\x94\xe7\x4d\xd2\xab\x7f\x42\xb8\x35\xd5\xb1\x72\xd2\x04\x5b\x32\x00", 18);
	memset(page + 0xc00 + 136, 0x5a, 32);
	for (vmm = GMEM_SNP_VMM_KVM; vmm <= GMEM_SNP_VMM_GCE; vmm++) {
		for (with = 0; with < 2; with++) {
			memset(digest, 0, sizeof(digest));
			model_image(digest, &firmware, vmm, with ? page : NULL);
			assert_int_equal(gmem_snp_measure_new(NULL, NULL, &measure), 0);
			assert_int_equal(gmem_snp_measure_add_ovmf(measure, ovmf, vmm,
								   with ? &hashes : NULL),
					 0);
			expect_digest(measure, digest);
			gmem_snp_measure_free(measure);
		}
	}
	gmem_ovmf_free(ovmf);
	firmware_free(&firmware);
}

static void an_unknown_section_is_refused(void **state)
{
	static const uint32_t types[] = { 0, 5, 0xf, 0x11, UINT32_MAX };
	struct measured *measured = *state;
	struct firmware firmware;
	struct gmem_ovmf *ovmf;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		char text[32];

		firmware_init(&firmware, 0x4000);
		firmware_add_section(&firmware, 0x900000, 0x1000, types[i]);
		ovmf = make_image(&firmware);
		assert_int_equal(gmem_snp_measure_add_ovmf(measured->measure, ovmf,
							   GMEM_SNP_VMM_QEMU, NULL),
				 -EBADMSG);
		snprintf(text, sizeof(text), "of type %#x; it must", types[i]);
		expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_measure_add_ovmf",
				   "metadata section 7", text);
		expect_digest(measured->measure, zeros);
		gmem_ovmf_free(ovmf);
		firmware_free(&firmware);
	}
}

static int add_with_hashes(struct measured *measured, struct firmware *firmware)
{
	struct gmem_snp_hashes hashes = { .kernel = { 1 } };
	struct gmem_ovmf *ovmf = make_image(firmware);
	int rc = gmem_snp_measure_add_ovmf(measured->measure, ovmf, GMEM_SNP_VMM_QEMU, &hashes);

	gmem_ovmf_free(ovmf);
	firmware_free(firmware);
	return rc;
}

static void hashes_without_a_place_are_refused(void **state)
{
	struct measured *measured = *state;
	struct firmware firmware;

	/* A table, and no section. */
	firmware_init(&firmware, 0x4000);
	firmware.sections[4].type = GMEM_OVMF_SEC_MEM;
	assert_int_equal(add_with_hashes(measured, &firmware), -ENOENT);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "no section for them");
	/* An empty one is none. */
	firmware_init(&firmware, 0x4000);
	firmware.sections[4].size = 0;
	assert_int_equal(add_with_hashes(measured, &firmware), -ENOENT);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "no section for them");
	/* A section, and no table. */
	firmware_init(&firmware, 0x4000);
	memset(firmware.entry[1].guid, 0xee, 16);
	assert_int_equal(add_with_hashes(measured, &firmware), -ENOENT);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "no table for them");
	expect_digest(measured->measure, zeros);
}

static void a_hash_table_that_does_not_fit_is_refused(void **state)
{
	static const struct {
		uint32_t base;
		uint32_t size;
		uint32_t section;
		int rc;
	} tables[] = {
		{ 0x810000, 176, 0x1000, 0 },
		{ 0x810f50, 176, 0x1000, 0 },
		{ 0x810f51, 176, 0x1000, -EBADMSG },
		{ 0x810fff, 176, 0x1000, -EBADMSG },
		{ 0x811000, 176, 0x1000, -EBADMSG },
		{ 0x80ffff, 176, 0x1000, -EBADMSG },
		{ 0xffffffff, UINT32_MAX, 0x1000, -EBADMSG },
		{ 0, 176, 0x1000, -EBADMSG },
		{ 0x810000, 175, 0x1000, -EBADMSG },
		{ 0x810000, 1, 0x1000, -EBADMSG },
		{ 0x810000, 176, 0x2000, -EBADMSG },
	};
	struct measured *measured = *state;
	struct firmware firmware;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		firmware_init(&firmware, 0x4000);
		memcpy(firmware.entry[1].data, &tables[i].base, 4);
		memcpy(firmware.entry[1].data + 4, &tables[i].size, 4);
		firmware.sections[4].size = tables[i].section;
		assert_int_equal(add_with_hashes(measured, &firmware), tables[i].rc);
		if (tables[i].rc)
			expect_one_message(measured->logs, GMEM_LOG_ERROR, "kernel hash table",
					   "at least 176");
	}
}

/* ---- Hashes of what is booted. ---- */

static void hashes_are_sha256(void **state)
{
	struct measured *measured = *state;
	struct gmem_snp_hashes hashes;

	assert_int_equal(gmem_snp_hashes_compute(measured->ctx, "abc", 3, "abc", 3, NULL, &hashes),
			 0);
	assert_memory_equal(hashes.kernel, "\xba\x78\x16\xbf\x8f\x01\xcf\xea", 8);
	assert_memory_equal(hashes.initrd, "\xba\x78\x16\xbf\x8f\x01\xcf\xea", 8);
	/* One zero byte. */
	assert_memory_equal(hashes.cmdline, "\x6e\x34\x0b\x9c\xff\xb3\x7a\x98", 8);
	assert_int_equal(gmem_snp_hashes_compute(measured->ctx, "abc", 3, NULL, 0, "", &hashes), 0);
	assert_memory_equal(hashes.initrd, "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14", 8);
	assert_memory_equal(hashes.cmdline, "\x6e\x34\x0b\x9c\xff\xb3\x7a\x98", 8);
}

static void gmem_snp_hashes_compute_EINVAL(void **state)
{
	static const struct gmem_snp_hashes nothing;
	struct measured *measured = *state;
	struct gmem_snp_hashes hashes;
	size_t i;
	const struct {
		const void *kernel;
		size_t kernel_size;
		const void *initrd;
		size_t initrd_size;
		struct gmem_snp_hashes *hashes;
	} wrong[] = {
		{ NULL, 3, NULL, 0, &hashes },   { "abc", 0, NULL, 0, &hashes },
		{ "abc", 3, "abc", 0, &hashes }, { "abc", 3, NULL, 3, &hashes },
		{ "abc", 3, NULL, 0, NULL },
	};

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		memset(&hashes, 1, sizeof(hashes));
		assert_int_equal(gmem_snp_hashes_compute(measured->ctx, wrong[i].kernel,
							 wrong[i].kernel_size, wrong[i].initrd,
							 wrong[i].initrd_size, "", wrong[i].hashes),
				 -EINVAL);
		expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_hashes_compute",
				   "NULL");
		if (wrong[i].hashes)
			assert_memory_equal(&hashes, &nothing, sizeof(hashes));
	}
}

/* ---- VMSAs. ---- */

struct expected_vmsa {
	uint32_t vmm;
	uint32_t index;
	uint16_t cs;
	uint16_t ss;
	uint16_t data;
	uint16_t tr;
	uint64_t rdx;
	uint64_t pat;
	uint32_t mxcsr;
	uint16_t fcw;
	uint32_t base;
	uint16_t rip;
};

static void put_segment(uint8_t *page, size_t offset, uint16_t selector, uint16_t attributes,
			uint32_t base)
{
	put(page, offset, selector, 2);
	put(page, offset + 2, attributes, 2);
	put(page, offset + 4, 0xffff, 4);
	put(page, offset + 8, base, 8);
}

static void fill_expected(uint8_t *page, const struct expected_vmsa *expected, uint64_t features)
{
	memset(page, 0, PAGE);
	put_segment(page, 0x00, 0, expected->data, 0);
	put_segment(page, 0x10, 0xf000, expected->cs, expected->base);
	put_segment(page, 0x20, 0, expected->ss, 0);
	put_segment(page, 0x30, 0, expected->data, 0);
	put_segment(page, 0x40, 0, expected->data, 0);
	put_segment(page, 0x50, 0, expected->data, 0);
	put_segment(page, 0x60, 0, 0, 0);
	put_segment(page, 0x70, 0, 0x82, 0);
	put_segment(page, 0x80, 0, 0, 0);
	put_segment(page, 0x90, 0, expected->tr, 0);
	put(page, 0xd0, 0x1000, 8);
	put(page, 0x148, 0x40, 8);
	put(page, 0x158, 0x10, 8);
	put(page, 0x160, 0x400, 8);
	put(page, 0x168, 0xffff0ff0, 8);
	put(page, 0x170, 2, 8);
	put(page, 0x178, expected->rip, 8);
	put(page, 0x268, expected->pat, 8);
	put(page, 0x310, expected->rdx, 8);
	put(page, 0x3b0, features, 8);
	put(page, 0x3e8, 1, 8);
	put(page, 0x408, expected->mxcsr, 4);
	put(page, 0x410, expected->fcw, 2);
}

static void vmsas_byte_by_byte(void **state)
{
	static const uint64_t pat = 0x0007040600070406;
	static const struct expected_vmsa vmsas[] = {
		{ GMEM_SNP_VMM_KVM, 0, 0x9a, 0x92, 0x92, 0x83, 0x600, pat, 0x1f80, 0x37f,
		  0xffff0000, 0xfff0 },
		{ GMEM_SNP_VMM_KVM, 1, 0x9a, 0x92, 0x92, 0x83, 0x600, pat, 0x1f80, 0x37f,
		  0xffff0000, 0xfff0 },
		{ GMEM_SNP_VMM_QEMU, 0, 0x9b, 0x93, 0x93, 0x8b, 0xa00f11, pat, 0x1f80, 0x37f,
		  0xffff0000, 0xfff0 },
		{ GMEM_SNP_VMM_QEMU, 1, 0x9b, 0x93, 0x93, 0x8b, 0xa00f11, pat, 0x1f80, 0x37f,
		  0x12340000, 0x5678 },
		{ GMEM_SNP_VMM_EC2, 0, 0x9a, 0x92, 0x93, 0x83, 0x600, pat, 0, 0, 0xffff0000,
		  0xfff0 },
		{ GMEM_SNP_VMM_EC2, UINT32_MAX, 0x9b, 0x92, 0x93, 0x83, 0x600, pat, 0, 0,
		  0x12340000, 0x5678 },
		{ GMEM_SNP_VMM_GCE, 0, 0x9b, 0x93, 0x93, 0x8b, 0x600, 0x70106, 0, 0, 0xffff0000,
		  0xfff0 },
		{ GMEM_SNP_VMM_GCE, 7, 0x9b, 0x93, 0x93, 0x8b, 0x600, 0x70106, 0, 0, 0x12340000,
		  0x5678 },
	};
	uint8_t page[PAGE], expected[PAGE];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(vmsas); i++) {
		memset(page, 0xee, sizeof(page));
		fill_expected(expected, &vmsas[i], 0x8000000000000221);
		assert_int_equal(gmem_snp_vmsa_build(NULL, vmsas[i].vmm, vmsas[i].index, 0x12345678,
						     0xa00f11, 0x8000000000000220, page),
				 0);
		assert_memory_equal(page, expected, PAGE);
	}
}

static void gmem_snp_vmsa_build_EINVAL(void **state)
{
	struct measured *measured = *state;
	uint8_t page[PAGE];

	assert_int_equal(gmem_snp_vmsa_build(measured->ctx, GMEM_SNP_VMM_GCE + 1, 0, 0, 0, 0, page),
			 -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_vmsa_build: vmm is 4",
			   "0 to 3");
	assert_int_equal(gmem_snp_vmsa_build(measured->ctx, GMEM_SNP_VMM_GCE, 0, 0, 0, 0, NULL),
			 -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_vmsa_build", "not NULL");
}

/* ---- Arguments. ---- */

static void gmem_snp_measure_add_EINVAL(void **state)
{
	static const uint8_t data[2 * PAGE];
	static const struct {
		uint64_t gpa;
		const void *data;
		uint64_t size;
		uint32_t type;
		const char *text;
	} wrong[] = {
		{ 0, NULL, PAGE, 0, "type 0;" },
		{ 0, NULL, PAGE, 7, "type 7;" },
		{ 0, NULL, PAGE, UINT32_MAX, "type 4294967295;" },
		{ 1, data, PAGE, GMEM_SNP_PAGE_NORMAL, "0x1000 bytes at 0x1;" },
		{ 0, data, PAGE + 1, GMEM_SNP_PAGE_NORMAL, "0x1001 bytes at 0;" },
		{ 0, data, 0, GMEM_SNP_PAGE_NORMAL, "0 bytes at 0;" },
		{ 0, NULL, 0, GMEM_SNP_PAGE_ZERO, "0 bytes at 0;" },
		{ 0, data, 0, GMEM_SNP_PAGE_VMSA, "0 bytes at 0;" },
		{ UINT64_C(1) << 52, NULL, PAGE, GMEM_SNP_PAGE_ZERO, "end at 0x10000000000000" },
		{ UINT64_C(1) << 52, data, PAGE, GMEM_SNP_PAGE_VMSA, "end at 0x10000000000000" },
		{ (UINT64_C(1) << 52) - PAGE, NULL, 2 * PAGE, GMEM_SNP_PAGE_ZERO, "end at" },
		{ UINT64_MAX - PAGE + 1, NULL, PAGE, GMEM_SNP_PAGE_ZERO, "end at" },
		{ PAGE, NULL, UINT64_MAX - PAGE + 1, GMEM_SNP_PAGE_ZERO, "end at" },
		{ 0, NULL, PAGE, GMEM_SNP_PAGE_NORMAL, "data of pages of type 1 is" },
		{ 0, NULL, PAGE, GMEM_SNP_PAGE_VMSA, "data of pages of type 2 is" },
		{ 0, data, PAGE, GMEM_SNP_PAGE_ZERO, "data of pages of type 3 is" },
		{ 0, data, PAGE, GMEM_SNP_PAGE_UNMEASURED, "data of pages of type 4 is" },
		{ 0, data, PAGE, GMEM_SNP_PAGE_SECRETS, "data of pages of type 5 is" },
		{ 0, data, PAGE, GMEM_SNP_PAGE_CPUID, "data of pages of type 6 is" },
		{ 0, data, UINT64_C(0xfffffffe) * PAGE + PAGE, GMEM_SNP_PAGE_NORMAL,
		  "4294967294 pages at most" },
		{ 0, data, UINT64_C(0xfffffffe) * PAGE + PAGE, GMEM_SNP_PAGE_VMSA,
		  "4294967294 pages at most" },
	};
	struct measured *measured = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(gmem_snp_measure_add(measured->measure, wrong[i].gpa,
						      wrong[i].data, wrong[i].size, wrong[i].type),
				 -EINVAL);
		expect_one_message(measured->logs, GMEM_LOG_ERROR,
				   "gmem_snp_measure_add: ", wrong[i].text);
	}
	expect_digest(measured->measure, zeros);
	/* The last page there is. */
	assert_int_equal(gmem_snp_measure_add(measured->measure, (UINT64_C(1) << 52) - PAGE, NULL,
					      PAGE, GMEM_SNP_PAGE_ZERO),
			 0);
}

static void gmem_snp_measure_add_vcpus_EINVAL(void **state)
{
	static const struct {
		uint32_t vmm;
		uint32_t first;
		uint32_t count;
	} wrong[] = {
		{ GMEM_SNP_VMM_GCE + 1, 0, 1 },       { UINT32_MAX, 0, 1 },
		{ GMEM_SNP_VMM_QEMU, 0, 0 },          { GMEM_SNP_VMM_QEMU, 1, UINT32_MAX },
		{ GMEM_SNP_VMM_QEMU, UINT32_MAX, 1 },
	};
	struct measured *measured = *state;
	uint8_t page[PAGE] = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(gmem_snp_measure_add_vcpus(measured->measure, wrong[i].vmm,
							    wrong[i].first, wrong[i].count, 0, 0,
							    0),
				 -EINVAL);
		expect_one_message(measured->logs, GMEM_LOG_ERROR,
				   "gmem_snp_measure_add_vcpus: ", "4294967295 at most");
	}
	expect_digest(measured->measure, zeros);
	/* The last index there is, and then a page of the caller's own. */
	assert_int_equal(gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_QEMU,
						    UINT32_MAX - 1, 1, 0, 0, 0),
			 0);
	assert_int_equal(gmem_snp_measure_add(measured->measure, GMEM_SNP_VMSA_GPA, page, PAGE,
					      GMEM_SNP_PAGE_VMSA),
			 -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "1 VMSAs from vCPU 4294967295");
}

static void gmem_snp_measure_add_ovmf_EINVAL(void **state)
{
	struct measured *measured = *state;
	struct firmware firmware;
	struct gmem_ovmf *ovmf;

	firmware_init(&firmware, 0x4000);
	ovmf = make_image(&firmware);
	assert_int_equal(gmem_snp_measure_add_ovmf(measured->measure, NULL, GMEM_SNP_VMM_QEMU,
						   NULL),
			 -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_measure_add_ovmf: ovmf is");
	assert_int_equal(gmem_snp_measure_add_ovmf(measured->measure, ovmf, GMEM_SNP_VMM_GCE + 1,
						   NULL),
			 -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR,
			   "gmem_snp_measure_add_ovmf:", "vmm is 4; ");
	expect_digest(measured->measure, zeros);
	gmem_ovmf_free(ovmf);
	firmware_free(&firmware);
}

static void threads_are_judged_by_what_hashes(void **state)
{
	static const uint32_t wrong[] = { 0, GMEM_SNP_THREADS_MAX + 1, UINT32_MAX };
	struct measured *measured = *state;
	size_t i;

	gmem_snp_measure_set_threads(NULL, 3);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		gmem_snp_measure_set_threads(measured->measure, wrong[i]);
		expect_no_message(measured->logs);
		assert_int_equal(gmem_snp_measure_add(measured->measure, 0, NULL, PAGE,
						      GMEM_SNP_PAGE_ZERO),
				 -EINVAL);
		expect_one_message(measured->logs, GMEM_LOG_ERROR, "threads; it must be 1 to 256");
	}
}

static void null_is_refused_or_ignored(void **state)
{
	struct measured *measured = *state;
	uint8_t digest[48];

	expect_null_refusal(gmem_snp_measure_add(NULL, 0, NULL, PAGE, GMEM_SNP_PAGE_ZERO),
			    "gmem_snp_measure_add: measure is NULL");
	expect_null_refusal(gmem_snp_measure_add_ovmf(NULL, NULL, 0, NULL),
			    "gmem_snp_measure_add_ovmf: measure is NULL");
	expect_null_refusal(gmem_snp_measure_add_vcpus(NULL, 0, 0, 1, 0, 0, 0),
			    "gmem_snp_measure_add_vcpus: measure is NULL");
	expect_null_refusal(gmem_snp_measure_get_digest(NULL, digest),
			    "gmem_snp_measure_get_digest: measure is");
	assert_int_equal(gmem_snp_measure_get_digest(measured->measure, NULL), -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_measure_get_digest", "NULL");
	assert_int_equal(gmem_snp_measure_new(measured->ctx, NULL, NULL), -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_measure_new", "NULL");
	gmem_snp_measure_free(NULL);
}

/* ---- The observer. ---- */

struct steps {
	struct gmem_snp_measure *measure;
	struct gmem_snp_step step[32];
	uint32_t count;
	unsigned int freed;
	unsigned int refused;
};

static void free_steps(void *opaque)
{
	((struct steps *)opaque)->freed++;
}

static void keep_step(const struct gmem_snp_step *step, void *opaque)
{
	struct steps *steps = opaque;

	assert_in_range(steps->count, 0, ARRAY_SIZE(steps->step) - 1);
	steps->step[steps->count++] = *step;
}

static void expect_step(const struct steps *steps, uint32_t index, uint32_t type, uint64_t gpa,
			uint64_t pages, uint32_t vcpu, uint32_t section, uint32_t section_type)
{
	static const uint64_t reserved[6];
	const struct gmem_snp_step *step = &steps->step[index];

	assert_in_range(index, 0, steps->count - 1);
	assert_int_equal(step->type, type);
	assert_int_equal(step->gpa, gpa);
	assert_int_equal(step->pages, pages);
	assert_int_equal(step->vcpu, vcpu);
	assert_int_equal(step->section, section);
	assert_int_equal(step->section_type, section_type);
	assert_memory_equal(step->reserved, reserved, sizeof(reserved));
}

/* Going on from one step's digest gives the next one's. */
static void expect_running_digests(const struct steps *steps, const struct firmware *firmware)
{
	uint8_t digest[48] = { 0 };
	size_t i;

	for (i = 0; i < firmware->size; i += PAGE)
		model_extend(digest, GMEM_SNP_PAGE_NORMAL, 0x100000000 - firmware->size + i,
			     firmware->bytes + i);
	assert_memory_equal(steps->step[0].digest, digest, 48);
	for (i = 0; i < 9; i++)
		model_extend(digest, GMEM_SNP_PAGE_ZERO, 0x800000 + i * PAGE, NULL);
	assert_memory_equal(steps->step[1].digest, digest, 48);
	model_extend(digest, GMEM_SNP_PAGE_SECRETS, 0x80d000, NULL);
	assert_memory_equal(steps->step[2].digest, digest, 48);
}

static void the_observer_is_told_of_every_group(void **state)
{
	struct measured *measured = *state;
	struct steps steps = { 0 };
	struct gmem_snp_hashes hashes = { .kernel = { 1 } };
	uint8_t pages[3 * PAGE] = { 0 };
	struct firmware firmware;
	struct gmem_ovmf *ovmf;

	firmware_init(&firmware, 0x4000);
	firmware_add_section(&firmware, 0x900000, 0, GMEM_OVMF_SEC_MEM);
	ovmf = make_image(&firmware);
	gmem_snp_measure_set_observer(measured->measure, keep_step, &steps, free_steps);
	assert_int_equal(
		gmem_snp_measure_add_ovmf(measured->measure, ovmf, GMEM_SNP_VMM_EC2, &hashes), 0);
	assert_int_equal(steps.count, 7);
	expect_step(&steps, 0, GMEM_SNP_PAGE_NORMAL, 0xffffc000, 4, 0, 0, 0);
	expect_step(&steps, 1, GMEM_SNP_PAGE_ZERO, 0x800000, 9, 0, 1, GMEM_OVMF_SEC_MEM);
	expect_step(&steps, 2, GMEM_SNP_PAGE_SECRETS, 0x80d000, 1, 0, 2, GMEM_OVMF_SECRETS);
	expect_step(&steps, 3, GMEM_SNP_PAGE_ZERO, 0x80f000, 1, 0, 4, GMEM_OVMF_SVSM_CAA);
	expect_step(&steps, 4, GMEM_SNP_PAGE_NORMAL, 0x810000, 1, 0, 5, GMEM_OVMF_KERNEL_HASHES);
	expect_step(&steps, 5, GMEM_SNP_PAGE_ZERO, 0x80a000, 3, 0, 6, GMEM_OVMF_SEC_MEM);
	expect_step(&steps, 6, GMEM_SNP_PAGE_CPUID, 0x80e000, 1, 0, 3, GMEM_OVMF_CPUID);
	expect_running_digests(&steps, &firmware);
	expect_digest(measured->measure, steps.step[6].digest);

	assert_int_equal(gmem_snp_measure_add(measured->measure, 0x5000, pages, 2 * PAGE,
					      GMEM_SNP_PAGE_NORMAL),
			 0);
	assert_int_equal(
		gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_EC2, 0, 5, 0, 0, 0), 0);
	assert_int_equal(gmem_snp_measure_add(measured->measure, 0x7000, pages, 3 * PAGE,
					      GMEM_SNP_PAGE_VMSA),
			 0);
	assert_int_equal(gmem_snp_measure_add(measured->measure, 0x7000, pages, PAGE,
					      GMEM_SNP_PAGE_VMSA),
			 0);
	assert_int_equal(
		gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_EC2, 9, 2, 0, 0, 0), 0);
	assert_int_equal(steps.count, 13);
	expect_step(&steps, 7, GMEM_SNP_PAGE_NORMAL, 0x5000, 2, 0, 0, 0);
	expect_step(&steps, 8, GMEM_SNP_PAGE_VMSA, GMEM_SNP_VMSA_GPA, 1, 0, 0, 0);
	expect_step(&steps, 9, GMEM_SNP_PAGE_VMSA, GMEM_SNP_VMSA_GPA, 4, 1, 0, 0);
	expect_step(&steps, 10, GMEM_SNP_PAGE_VMSA, 0x7000, 3, 5, 0, 0);
	expect_step(&steps, 11, GMEM_SNP_PAGE_VMSA, 0x7000, 1, 8, 0, 0);
	expect_step(&steps, 12, GMEM_SNP_PAGE_VMSA, GMEM_SNP_VMSA_GPA, 2, 9, 0, 0);
	expect_digest(measured->measure, steps.step[12].digest);

	gmem_snp_measure_set_observer(measured->measure, NULL, NULL, NULL);
	assert_int_equal(steps.freed, 1);
	assert_int_equal(gmem_snp_measure_add(measured->measure, 0, NULL, PAGE, GMEM_SNP_PAGE_ZERO),
			 0);
	assert_int_equal(steps.count, 13);
	gmem_ovmf_free(ovmf);
	firmware_free(&firmware);
}

static void the_opaque_pointer_is_freed_once(void **state)
{
	struct measured *measured = *state;
	struct steps steps = { 0 }, other = { 0 }, nobody = { 0 };
	struct gmem_snp_measure *measure;

	gmem_snp_measure_set_observer(NULL, keep_step, &nobody, free_steps);
	assert_int_equal(nobody.freed, 1);
	gmem_snp_measure_set_observer(NULL, keep_step, &nobody, NULL);
	assert_int_equal(gmem_snp_measure_new(measured->ctx, NULL, &measure), 0);
	gmem_snp_measure_set_observer(measure, keep_step, &steps, free_steps);
	assert_int_equal(steps.freed, 0);
	gmem_snp_measure_set_observer(measure, keep_step, &other, free_steps);
	assert_int_equal(steps.freed, 1);
	gmem_snp_measure_free(measure);
	assert_int_equal(steps.freed, 1);
	assert_int_equal(other.freed, 1);
	assert_int_equal(nobody.freed, 1);
}

static void add_from_observer(const struct gmem_snp_step *step, void *opaque)
{
	struct steps *steps = opaque;
	uint8_t digest[48];

	/* Looking is permitted. */
	assert_int_equal(gmem_snp_measure_get_digest(steps->measure, digest), 0);
	assert_memory_equal(digest, step->digest, 48);
	steps->refused += gmem_snp_measure_add(steps->measure, 0, NULL, PAGE, GMEM_SNP_PAGE_ZERO) ==
			  -EDEADLK;
	steps->refused += gmem_snp_measure_add_ovmf(steps->measure, NULL, 0, NULL) == -EDEADLK;
	steps->refused += gmem_snp_measure_add_vcpus(steps->measure, 0, 0, 1, 0, 0, 0) == -EDEADLK;
}

static void the_observer_may_not_add(void **state)
{
	struct measured *measured = *state;
	struct steps steps = { .measure = measured->measure };
	uint8_t digest[48] = { 0 };
	char text[128];
	size_t i;

	gmem_snp_measure_set_observer(measured->measure, add_from_observer, &steps, NULL);
	assert_int_equal(
		gmem_snp_measure_add(measured->measure, 0x1000, NULL, PAGE, GMEM_SNP_PAGE_ZERO), 0);
	assert_int_equal(steps.refused, 3);
	assert_int_equal(logs_count(measured->logs), 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(logs_get(measured->logs, i, text, sizeof(text)), GMEM_LOG_ERROR);
		assert_non_null(strstr(text, "called by the observer"));
	}
	logs_reset(measured->logs);
	model_extend(digest, GMEM_SNP_PAGE_ZERO, 0x1000, NULL);
	expect_digest(measured->measure, digest);
	gmem_snp_measure_set_observer(measured->measure, NULL, NULL, NULL);
	assert_int_equal(
		gmem_snp_measure_add(measured->measure, 0x2000, NULL, PAGE, GMEM_SNP_PAGE_ZERO), 0);
}

static void objects_outlive_their_context(void **state)
{
	struct measured *measured = *state;

	gmem_ctx_free(measured->ctx);
	measured->ctx = NULL;
	assert_int_equal(gmem_snp_measure_add(measured->measure, 0, NULL, 0, GMEM_SNP_PAGE_ZERO),
			 -EINVAL);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_measure_add");
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, measured_setup, measured_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STAGED(vectors_of_measuring_tools),
		STAGED(vectors_by_seeds),
		STAGED(launches_by_another_implementation),
		STAGED(images_as_each_vmm_launches_them),
		STAGED(an_unknown_section_is_refused),
		STAGED(hashes_without_a_place_are_refused),
		STAGED(a_hash_table_that_does_not_fit_is_refused),
		STAGED(hashes_are_sha256),
		STAGED(gmem_snp_hashes_compute_EINVAL),
		STAGED(vmsas_byte_by_byte),
		STAGED(gmem_snp_vmsa_build_EINVAL),
		STAGED(gmem_snp_measure_add_EINVAL),
		STAGED(gmem_snp_measure_add_vcpus_EINVAL),
		STAGED(gmem_snp_measure_add_ovmf_EINVAL),
		STAGED(threads_are_judged_by_what_hashes),
		STAGED(null_is_refused_or_ignored),
		STAGED(the_observer_is_told_of_every_group),
		STAGED(the_opaque_pointer_is_freed_once),
		STAGED(the_observer_may_not_add),
		STAGED(objects_outlive_their_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
