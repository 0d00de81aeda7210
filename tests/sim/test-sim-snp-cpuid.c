// SPDX-License-Identifier: LGPL-2.1-or-later
/* CPUID pages of an SNP launch: how the simulated firmware corrects them, and who is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "test-sim-snp-guest.h"

/* What the firmware allows of leaf 7, and a table that has more. */
static const struct gmem_sim_cpuid limit = {
	.leaf = 7,
	.subleaf = 0,
	.eax = 0xff,
	.ebx = 0xfffffffd,
	.ecx = 0,
	.edx = 0x80000000,
};

static struct snp_cpuid_page *fill_cpuid(uint8_t *page)
{
	struct snp_cpuid_page *cpuid = (struct snp_cpuid_page *)(void *)page;

	memset(page, 0, SNP_PAGE_SIZE);
	cpuid->count = 3;
	cpuid->entry[0] = (struct snp_cpuid_entry){ .eax_in = 7, .ecx_in = 1, .eax = ~0u };
	cpuid->entry[1] = (struct snp_cpuid_entry){
		.eax_in = 7, .eax = 0x101, .ebx = 0x3, .ecx = 1, .edx = 0x80000001
	};
	cpuid->entry[2] = (struct snp_cpuid_entry){
		.eax_in = 0xd, .xcr0_in = 1, .eax = 7, .ebx = 0x240, .ecx = 0x340
	};
	/* Past the last entry nobody looks. */
	cpuid->entry[3] = (struct snp_cpuid_entry){ .eax_in = 7, .ecx = ~0u };
	return cpuid;
}

static void expect_corrected(const struct snp_cpuid_page *cpuid)
{
	uint8_t wanted[SNP_PAGE_SIZE] __attribute__((aligned(8)));
	struct snp_cpuid_page *corrected = fill_cpuid(wanted);

	corrected->entry[1].eax = 0x01;
	corrected->entry[1].ebx = 0x1;
	corrected->entry[1].ecx = 0;
	corrected->entry[1].edx = 0x80000000;
	assert_memory_equal(cpuid, corrected, sizeof(*corrected));
}

static void check_cpuid_is_corrected(enum guest_mode mode)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_CPUID, GUEST_BASE, guest_source, 4096);
	struct guest guest;
	int vcpu;

	guest_launch_private(&guest, mode);
	assert_int_equal(gmem_sim_limit_cpuid(guest.sim, &limit), 0);
	fill_cpuid(guest_source);
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	expect_corrected((struct snp_cpuid_page *)(void *)guest_source);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	vcpu = guest_add_vcpu(&guest);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	guest_expect_reads(&guest, vcpu, GUEST_BASE, guest_source);
	guest_free(&guest);
}

static void cpuid_is_corrected(void **state)
{
	guest_for_each_mode(check_cpuid_is_corrected);
}

static void cpuid_is_corrected_in_place(void **state)
{
	struct snp_launch_update params = guest_update_of(SNP_PAGE_CPUID, GUEST_BASE, NULL, 4096);
	struct guest guest;

	guest_launch(&guest, GUEST_IN_PLACE);
	assert_int_equal(gmem_sim_limit_cpuid(guest.sim, &limit), 0);
	fill_cpuid(guest_host(&guest, GUEST_BASE));
	assert_int_equal(guest_convert(&guest, GUEST_BASE, SNP_PAGE_SIZE, true), 0);
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	assert_int_equal(guest_convert(&guest, GUEST_BASE, SNP_PAGE_SIZE, false), 0);
	expect_corrected((struct snp_cpuid_page *)(void *)guest_host(&guest, GUEST_BASE));
	assert_int_equal(guest_convert(&guest, GUEST_BASE, SNP_PAGE_SIZE, true), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	guest_free(&guest);
}

/* KVM cannot write the table back then, says nothing of it, and is refused the next time too. */
static void check_cpuid_read_only(enum guest_mode mode)
{
	uint8_t *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct snp_launch_update params = guest_update_of(SNP_PAGE_CPUID, GUEST_BASE, page, 4096);
	struct guest guest;

	assert_ptr_not_equal(page, MAP_FAILED);
	guest_launch_private(&guest, mode);
	assert_int_equal(gmem_sim_limit_cpuid(guest.sim, &limit), 0);
	fill_cpuid(page);
	assert_int_equal(mprotect(page, SNP_PAGE_SIZE, PROT_READ), 0);
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	guest_free(&guest);
	munmap(page, 4096);
}

static void cpuid_read_only(void **state)
{
	guest_for_each_mode(check_cpuid_read_only);
}

static void cpuid_reserved_fields(void **state)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_CPUID, GUEST_BASE, guest_source, 4096);
	struct snp_cpuid_page *cpuid = fill_cpuid(guest_source);
	struct guest guest;

	guest_launch_private(&guest, GUEST_LEGACY);
	cpuid->count = 65;
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	assert_int_equal(cpuid->count, 64);
	cpuid->reserved1 = 1;
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	assert_int_equal(cpuid->reserved1, 0);
	cpuid->reserved2 = 1;
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	assert_int_equal(cpuid->reserved2, 0);
	cpuid->entry[63].reserved = 1;
	guest_expect_refused(&guest, &params, -EIO, 0x16);
	assert_int_equal(cpuid->entry[63].reserved, 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	guest_free(&guest);
}

/* Its contents are not measured. */
static void cpuid_does_not_show_in_the_digest(void **state)
{
	uint8_t digest[2][SNP_DIGEST_SIZE];
	struct guest guest;

	for (size_t i = 0; i < 2; i++) {
		struct snp_cpuid_page *cpuid = fill_cpuid(guest_source);

		cpuid->entry[0].eax = (uint32_t)i;
		guest_launch(&guest, GUEST_LEGACY);
		guest_load(&guest, SNP_PAGE_CPUID, GUEST_BASE, guest_source, SNP_PAGE_SIZE);
		guest_get_digest(&guest, digest[i]);
		guest_free(&guest);
	}
	assert_memory_equal(digest[0], digest[1], sizeof(digest[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpuid_is_corrected),
		cmocka_unit_test(cpuid_is_corrected_in_place),
		cmocka_unit_test(cpuid_read_only),
		cmocka_unit_test(cpuid_reserved_fields),
		cmocka_unit_test(cpuid_does_not_show_in_the_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
