// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of a library that was built without libgcrypt: what needs no hashing works, the rest says so. */
#include "snp/crypto.h"

#include "logs.h"

#include <errno.h>
#include <gmem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static void nothing_is_hashed(void **state)
{
	uint8_t digest[SHA384_SIZE];

	(void)state;
	assert_int_equal(gmem_crypto_sha256("abc", 3, digest), -EOPNOTSUPP);
	assert_int_equal(gmem_crypto_sha384("abc", 3, digest), -EOPNOTSUPP);
}

static void public_functions_say_what_is_missing(void **state)
{
	struct gmem_snp_measure *measure = (struct gmem_snp_measure *)&measure;
	struct gmem_snp_hashes hashes, zeros = { 0 };
	struct logs *logs = logs_new();
	struct gmem_ctx *ctx = logs_new_ctx(logs, NULL);

	(void)state;
	assert_int_equal(gmem_snp_measure_new(ctx, NULL, &measure), -EOPNOTSUPP);
	assert_null(measure);
	expect_one_message(logs, GMEM_LOG_ERROR, "gmem_snp_measure_new", "built without libgcrypt");
	memset(&hashes, 1, sizeof(hashes));
	assert_int_equal(gmem_snp_hashes_compute(ctx, "kernel", 6, NULL, 0, NULL, &hashes),
			 -EOPNOTSUPP);
	assert_memory_equal(&hashes, &zeros, sizeof(hashes));
	expect_one_message(logs, GMEM_LOG_ERROR, "gmem_snp_hashes_compute",
			   "built without libgcrypt");
	gmem_ctx_free(ctx);
	logs_free(logs);
}

/* A handle that nobody could have made is refused before hashing is thought of. */
static void what_has_no_handle_is_refused(void **state)
{
	uint8_t digest[GMEM_SNP_DIGEST_SIZE];

	(void)state;
	assert_int_equal(gmem_snp_measure_add(NULL, 0, NULL, 4096, GMEM_SNP_PAGE_ZERO), -EINVAL);
	assert_int_equal(gmem_snp_measure_get_digest(NULL, digest), -EINVAL);
	gmem_snp_measure_free(NULL);
}

static void vmsas_and_images_need_no_hashing(void **state)
{
	uint8_t image[4096] = { 0 }, vmsa[GMEM_SNP_PAGE_SIZE];
	struct gmem_ovmf *ovmf;

	(void)state;
	assert_int_equal(gmem_snp_vmsa_build(NULL, GMEM_SNP_VMM_QEMU, 0, 0, 0x800f12, 1, vmsa), 0);
	assert_memory_equal(vmsa + 0x310, "\x12\x0f\x80\x00", 4);
	assert_int_equal(gmem_ovmf_new(NULL, image, sizeof(image), &ovmf), 0);
	gmem_ovmf_free(ovmf);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_hashed),
		cmocka_unit_test(public_functions_say_what_is_missing),
		cmocka_unit_test(what_has_no_handle_is_refused),
		cmocka_unit_test(vmsas_and_images_need_no_hashing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
