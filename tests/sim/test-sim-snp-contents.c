// SPDX-License-Identifier: LGPL-2.1-or-later
/* What an SNP guest of the simulator finds in its pages after launch, and after conversions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "test-sim-snp-guest.h"

static void check_contents(enum guest_mode mode)
{
	static const uint8_t zeros[SNP_PAGE_SIZE];
	struct guest guest;
	int vcpu;

	guest_launch(&guest, mode);
	guest_load(&guest, SNP_PAGE_NORMAL, GUEST_BASE, guest_source, 2 * SNP_PAGE_SIZE);
	guest_load(&guest, SNP_PAGE_UNMEASURED, GUEST_BASE + 2 * SNP_PAGE_SIZE,
		   guest_source + 2 * SNP_PAGE_SIZE, SNP_PAGE_SIZE);
	guest_load(&guest, SNP_PAGE_ZERO, GUEST_BASE + 3 * SNP_PAGE_SIZE, guest_source,
		   SNP_PAGE_SIZE);
	vcpu = guest_add_vcpu(&guest);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	for (uint64_t i = 0; i < 3; i++)
		guest_expect_reads(&guest, vcpu, GUEST_BASE + i * SNP_PAGE_SIZE,
				   guest_source + i * SNP_PAGE_SIZE);
	guest_expect_reads(&guest, vcpu, GUEST_BASE + 3 * SNP_PAGE_SIZE, zeros);
	guest_free(&guest);
}

static void contents(void **state)
{
	guest_for_each_mode(check_contents);
}

/* A source wins over what is in the page. */
static void in_place_with_a_source(void **state)
{
	struct snp_launch_update params =
		guest_update_of(SNP_PAGE_NORMAL, GUEST_BASE, guest_source, 4096);
	struct guest guest;
	int vcpu;

	guest_fill_source();
	guest_launch(&guest, GUEST_IN_PLACE);
	memset(guest_host(&guest, GUEST_BASE), 0x5a, SNP_PAGE_SIZE);
	assert_int_equal(guest_convert(&guest, GUEST_BASE, SNP_PAGE_SIZE, true), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_UPDATE, &params, NULL), 0);
	vcpu = guest_add_vcpu(&guest);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	guest_expect_reads(&guest, vcpu, GUEST_BASE, guest_source);
	guest_free(&guest);
}

/* The firmware writes its own, keys that differ from page to page among it. */
static void check_secrets(enum guest_mode mode)
{
	struct snp_launch_start start = { .policy = GUEST_POLICY, .gosvw = { 1, 2, 3, 4 } };
	struct snp_secrets_page page[2];
	struct guest guest;
	int vcpu;

	guest_new(&guest, mode);
	guest_add_slot(&guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_init2(&guest, 0), 0);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_START, &start, NULL), 0);
	guest_load(&guest, SNP_PAGE_SECRETS, GUEST_BASE, guest_source, sizeof(page));
	vcpu = guest_add_vcpu(&guest);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	assert_int_equal(gmem_sim_guest_access(guest.sim, vcpu, GUEST_BASE, page, sizeof(page),
					       GMEM_SIM_PRIVATE),
			 0);
	assert_int_equal(page[0].version, 3);
	assert_memory_equal(page[0].gosvw, start.gosvw, sizeof(start.gosvw));
	for (size_t i = 0; i < 4; i++) {
		assert_memory_not_equal(page[0].vmpck[i], page[0].vmpck[(i + 1) % 4], 32);
		assert_memory_not_equal(page[0].vmpck[i], page[1].vmpck[i], 32);
	}
	guest_free(&guest);
}

static void secrets(void **state)
{
	guest_for_each_mode(check_secrets);
}

/* Host and guest see a page that was converted after the launch with none of its old bytes. */
static void conversion_destroys_after_finish(void **state)
{
	struct guest guest;

	guest_fill_source();
	guest_launch(&guest, GUEST_IN_PLACE);
	guest_load(&guest, SNP_PAGE_NORMAL, GUEST_BASE, guest_source, SNP_PAGE_SIZE);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	assert_int_equal(guest_convert(&guest, GUEST_BASE, SNP_PAGE_SIZE, false), 0);
	assert_memory_not_equal(guest_host(&guest, GUEST_BASE), guest_source, SNP_PAGE_SIZE);
	guest_free(&guest);
}

/* A page taken back to shared and given again is measured again. */
static void converted_before_finish(void **state)
{
	uint8_t once[SNP_DIGEST_SIZE], twice[SNP_DIGEST_SIZE];
	struct guest guest;

	guest_fill_source();
	guest_launch(&guest, GUEST_IN_PLACE);
	guest_load(&guest, SNP_PAGE_NORMAL, GUEST_BASE, guest_source, SNP_PAGE_SIZE);
	guest_get_digest(&guest, once);
	assert_int_equal(guest_convert(&guest, GUEST_BASE, SNP_PAGE_SIZE, false), 0);
	guest_load(&guest, SNP_PAGE_NORMAL, GUEST_BASE, guest_source, SNP_PAGE_SIZE);
	guest_get_digest(&guest, twice);
	assert_memory_not_equal(once, twice, sizeof(once));
	guest_free(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents),
		cmocka_unit_test(in_place_with_a_source),
		cmocka_unit_test(secrets),
		cmocka_unit_test(conversion_destroys_after_finish),
		cmocka_unit_test(converted_before_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
