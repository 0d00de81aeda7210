// SPDX-License-Identifier: LGPL-2.1-or-later
/* A simulator that was built without a library of cryptography: it has no SNP firmware. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "test-sim-snp-guest.h"

static void no_command_works(void **state)
{
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	guest_add_slot(&guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_init2(&guest, 0), -EOPNOTSUPP);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), -EOPNOTSUPP);
	assert_int_equal(guest_update(&guest, SNP_PAGE_ZERO, GUEST_BASE, NULL, SNP_PAGE_SIZE, NULL),
			 -EOPNOTSUPP);
	assert_int_equal(guest_finish(&guest, NULL), -EOPNOTSUPP);
	guest_free(&guest);
}

static void no_digest(void **state)
{
	uint8_t digest[SNP_DIGEST_SIZE];
	struct guest guest;

	guest_new(&guest, GUEST_LEGACY);
	assert_int_equal(gmem_sim_get_snp_digest(guest.sim, guest.vm, digest), -EOPNOTSUPP);
	guest_free(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_command_works),
		cmocka_unit_test(no_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
