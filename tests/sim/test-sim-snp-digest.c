// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Launch digests of the simulated firmware: against what measuring tools say of OVMF images
 * (vectors.tsv), and against another implementation of the chain (launches.tsv, generate.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <gcrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-sim-snp-guest.h"
#include "test-sim-snp-image.h"
#include "test-sim-snp-table.h"

#define SHA256_SIZE 32u

/* The page of kernel hashes: a GUID, u16 length, then three entries of a GUID, u16 length, hash. */
static const uint8_t hash_table_guids[4][16] = {
	/* 9438d606-4f22-4cc9-b479-a793d411fd21 */
	{ 0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd,
	  0x21 },
	/* command line: 97d02dd8-bd20-4c94-aa78-e7714d36ab2a */
	{ 0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab,
	  0x2a },
	/* initrd: 44baf731-3a2f-4bd7-9af1-41e29169781d */
	{ 0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78,
	  0x1d },
	/* kernel: 4de79437-abd2-427f-b835-d5b172d2045b */
	{ 0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04,
	  0x5b },
};

static void sha256(const void *data, size_t size, uint8_t hash[SHA256_SIZE])
{
	gcry_md_hash_buffer(GCRY_MD_SHA256, hash, data, size);
}

static void hash_file(const char *name, uint8_t hash[SHA256_SIZE])
{
	size_t size = 0;
	uint8_t *bytes = strcmp(name, "-") == 0 ? NULL : data_read(name, &size);

	sha256(bytes ? bytes : (const uint8_t *)"", size, hash);
	free(bytes);
}

/* In the table a command line stands between quotes; it is hashed with its NUL. */
static void hash_command_line(const char *quoted, uint8_t hash[SHA256_SIZE])
{
	char *line;

	if (strcmp(quoted, "-") == 0) {
		sha256("", 1, hash);
		return;
	}
	line = strndup(quoted + 1, strlen(quoted) - 2);
	assert_non_null(line);
	sha256(line, strlen(line) + 1, hash);
	free(line);
}

static void fill_hashes(uint8_t *table, const char *kernel, const char *initrd, const char *line)
{
	uint8_t hash[3][SHA256_SIZE];

	hash_command_line(line, hash[0]);
	hash_file(initrd, hash[1]);
	hash_file(kernel, hash[2]);
	memcpy(table, hash_table_guids[0], 16);
	table[16] = 168;
	for (size_t i = 0; i < 3; i++) {
		uint8_t *entry = table + 18 + 50 * i;

		memcpy(entry, hash_table_guids[i + 1], 16);
		entry[16] = 50;
		memcpy(entry + 18, hash[i], SHA256_SIZE);
	}
}

static enum image_vmm vmm_of(const char *name)
{
	if (strcmp(name, "ec2") == 0)
		return IMAGE_EC2;
	if (strcmp(name, "gce") == 0)
		return IMAGE_GCE;
	assert_string_equal(name, "QEMU");
	return IMAGE_QEMU;
}

static void expect_digest(struct guest *guest, const char *expected, const char *what)
{
	uint8_t wanted[SNP_DIGEST_SIZE], digest[SNP_DIGEST_SIZE];

	hex_read(expected, wanted, sizeof(wanted));
	guest_get_digest(guest, digest);
	if (memcmp(digest, wanted, sizeof(digest)) != 0)
		fail_msg("%s: the digest is not %s", what, expected);
}

static void check_vector(const struct table_row *row, enum guest_mode mode)
{
	uint64_t vcpus = number_read(row->field[3], 10);
	struct image image = { .vmm = vmm_of(row->field[2]) };
	uint8_t hashes[SNP_PAGE_SIZE] = { 0 };
	struct guest guest;

	image.bytes = data_read(row->field[0], &image.size);
	if (strcmp(row->field[7], "-") != 0) {
		fill_hashes(hashes + image_hashes_offset(&image), row->field[7], row->field[8],
			    row->field[9]);
		image.hashes = hashes;
	}
	guest_new(&guest, mode);
	assert_int_equal(guest_init2(&guest, number_read(row->field[6], 16) & ~UINT64_C(1)), 0);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	image_load(&image, &guest);
	for (uint32_t i = 0; i < vcpus; i++) {
		int fd = guest_add_vcpu(&guest);

		image_set_vcpu(&image, &guest, fd, i, (uint32_t)number_read(row->field[5], 16));
	}
	assert_int_equal(guest_finish(&guest, NULL), 0);
	expect_digest(&guest, row->field[10], row->field[0]);
	guest_free(&guest);
	free(image.bytes);
}

static void check_vectors(enum guest_mode mode)
{
	struct table table;

	table_read(&table, "vectors.tsv");
	for (size_t i = 0; i < table.rows; i++)
		check_vector(&table.row[i], mode);
	table_free(&table);
}

static void vectors_legacy(void **state)
{
	check_vectors(GUEST_LEGACY);
}

static void vectors_split(void **state)
{
	check_vectors(GUEST_SPLIT);
}

static void vectors_in_place(void **state)
{
	check_vectors(GUEST_IN_PLACE);
}

/* As generate.py has it. */
static void fill(uint8_t *page, uint64_t gpa)
{
	for (uint64_t i = 0; i < SNP_PAGE_SIZE; i++)
		page[i] = (uint8_t)(i * 31 + gpa / SNP_PAGE_SIZE * 17 + (i >> 8));
}

static uint8_t type_of(const char *name)
{
	static const struct {
		const char *name;
		uint8_t type;
	} types[] = {
		{ "normal", SNP_PAGE_NORMAL },         { "zero", SNP_PAGE_ZERO },
		{ "unmeasured", SNP_PAGE_UNMEASURED }, { "secrets", SNP_PAGE_SECRETS },
		{ "cpuid", SNP_PAGE_CPUID },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].name, name) == 0)
			return types[i].type;
	}
	fail_msg("no page type is called %s", name);
	return 0;
}

static void run_step(struct guest *guest, const char *step)
{
	unsigned long long gpa, pages;
	uint8_t *contents;
	char name[16];
	uint8_t type;

	assert_int_equal(sscanf(step, "%15[a-z]:%llx:%llu", name, &gpa, &pages), 3);
	type = type_of(name);
	contents = calloc(pages, SNP_PAGE_SIZE);
	assert_non_null(contents);
	for (unsigned long long i = 0; type != SNP_PAGE_CPUID && i < pages; i++)
		fill(contents + i * SNP_PAGE_SIZE, gpa + i * SNP_PAGE_SIZE);
	guest_load(guest, type, gpa, contents, pages * SNP_PAGE_SIZE);
	free(contents);
}

/* The table's line stays as it is: it is used once for each mode. */
static void run_steps(struct guest *guest, const char *steps)
{
	char *copy = strdup(steps), *rest = copy;

	assert_non_null(copy);
	if (strcmp(steps, "-") == 0)
		rest = NULL;
	for (char *step = strsep(&rest, " "); step; step = strsep(&rest, " "))
		run_step(guest, step);
	free(copy);
}

static struct sim_kvm_segment made_up_segment(unsigned int i)
{
	unsigned int attributes = (i * 0x123 + 0x195) & 0xfff;

	return (struct sim_kvm_segment){
		.base = 0x1000 * (i + 1),
		.limit = 0xfffff - i,
		.selector = (uint16_t)(8 * (i + 1)),
		.type = attributes & 0xf,
		.s = (attributes >> 4) & 1,
		.dpl = (attributes >> 5) & 3,
		.present = (attributes >> 7) & 1,
		.avl = (attributes >> 8) & 1,
		.l = (attributes >> 9) & 1,
		.db = (attributes >> 10) & 1,
		.g = (attributes >> 11) & 1,
		.unusable = i == 3 || i == 7,
	};
}

static void set_made_up_sregs(struct guest *guest, int vcpu)
{
	struct sim_kvm_sregs sregs = {
		.cs = made_up_segment(0),
		.ds = made_up_segment(1),
		.es = made_up_segment(2),
		.fs = made_up_segment(3),
		.gs = made_up_segment(4),
		.ss = made_up_segment(5),
		.tr = made_up_segment(6),
		.ldt = made_up_segment(7),
		.gdt = { .base = 0x17000, .limit = 0x7f },
		.idt = { .base = 0x18000, .limit = 0xff },
		.cr0 = 0x60000021,
		.cr2 = 0x1234,
		.cr3 = 0x5000,
		.cr4 = 0x20,
		.efer = 0x500,
		.apic_base = 0xfee00800,
	};

	assert_int_equal(guest_ioctl(guest, vcpu, SIM_KVM_SET_SREGS, &sregs), 0);
}

/* As generate.py has it, where this launch is called "registers". */
static void set_made_up_registers(struct guest *guest, int vcpu)
{
	struct sim_kvm_fpu fpu = { .fcw = 0x27f, .fsw = 0x1234, .ftwx = 0xa5, .mxcsr = 0x1fa0 };
	struct sim_kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .value = 7 } } };
	uint64_t regs[sizeof(struct sim_kvm_regs) / sizeof(uint64_t)];
	struct {
		struct sim_kvm_msrs head;
		struct sim_kvm_msr_entry entry;
	} pat = { { .nmsrs = 1 }, { .index = 0x277, .data = 0x0007040600070405 } };

	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++)
		regs[i] = (i + 1) * UINT64_C(0x0101010101010101);
	regs[17] = 0x40; /* rflags */
	assert_int_equal(guest_ioctl(guest, vcpu, SIM_KVM_SET_REGS, regs), 0);
	set_made_up_sregs(guest, vcpu);
	assert_int_equal(guest_ioctl(guest, vcpu, SIM_KVM_SET_FPU, &fpu), 0);
	assert_int_equal(guest_ioctl(guest, vcpu, SIM_KVM_SET_XCRS, &xcrs), 0);
	assert_int_equal(guest_ioctl(guest, vcpu, SIM_KVM_SET_MSRS, &pat), 1);
}

static void add_vcpus(struct guest *guest, const struct table_row *row)
{
	uint64_t count = number_read(row->field[1], 10);

	for (uint64_t i = 0; i < count; i++) {
		int vcpu = guest_add_vcpu(guest);

		if (strcmp(row->field[0], "registers") == 0)
			set_made_up_registers(guest, vcpu);
	}
}

static void check_launch(const struct table_row *row, enum guest_mode mode, uint64_t pages)
{
	struct guest guest;

	guest_new_with(&guest, mode, GMEM_SIM_SNP_PAGES, pages);
	guest_add_slot(&guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_init2(&guest, number_read(row->field[2], 16) & ~UINT64_C(1)), 0);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	run_steps(&guest, row->field[3]);
	add_vcpus(&guest, row);
	expect_digest(&guest, row->field[4], row->field[0]);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	expect_digest(&guest, row->field[5], row->field[0]);
	guest_free(&guest);
}

/* In one command for each step, and again with commands that stop after a few pages. */
static void launches_by_another_implementation(void **state)
{
	struct table table;

	table_read(&table, "launches.tsv");
	for (size_t i = 0; i < table.rows; i++) {
		for (int mode = 0; mode < GUEST_MODES; mode++) {
			check_launch(&table.row[i], (enum guest_mode)mode, 0);
			check_launch(&table.row[i], (enum guest_mode)mode, 3);
		}
	}
	table_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_legacy),
		cmocka_unit_test(vectors_split),
		cmocka_unit_test(vectors_in_place),
		cmocka_unit_test(launches_by_another_implementation),
	};

	/* A program's own initialisation, which the simulator finds done. */
	if (!gcry_check_version(NULL))
		return 1;
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
