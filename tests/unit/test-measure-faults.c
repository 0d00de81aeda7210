// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every allocation and every hash of every call fails in turn: the digest stays, nobody is told,
 * one message says so, and the same call then succeeds.
 */
#include "stage.h"

#include "measured.h"
#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A call that is made again and again. */
struct scenario {
	const char *name; /* of the public function */
	int (*call)(struct gmem_snp_measure *measure, void *opaque);
	void *opaque;
	uint64_t allocations;
};

static void count_step(const struct gmem_snp_step *step, void *opaque)
{
	(void)step;
	++*(unsigned int *)opaque;
}

/* What it is without failures; the digest before is 48 zeros, as measured_setup() has it. */
static void play(const struct scenario *scenario, uint8_t digest[48], uint64_t *hashes,
		 uint64_t *allocations, unsigned int *steps)
{
	struct gmem_snp_measure *measure;

	assert_int_equal(gmem_snp_measure_new(NULL, NULL, &measure), 0);
	*steps = 0;
	gmem_snp_measure_set_observer(measure, count_step, steps, NULL);
	gmem_snp_measure_set_threads(measure, 3);
	meddling_reset();
	allocations_count_only();
	assert_int_equal(scenario->call(measure, scenario->opaque), 0);
	*allocations = allocations_off();
	*hashes = meddling()->hashes;
	assert_int_equal(gmem_snp_measure_get_digest(measure, digest), 0);
	gmem_snp_measure_free(measure);
}

static void fail_all(struct measured *measured, const struct scenario *scenario)
{
	static const uint8_t zeros[48];
	uint64_t hashes, allocations, nth;
	unsigned int expected_steps, steps = 0;
	uint8_t digest[48];

	play(scenario, digest, &hashes, &allocations, &expected_steps);
	assert_int_equal(allocations, scenario->allocations);
	gmem_snp_measure_set_observer(measured->measure, count_step, &steps, NULL);
	gmem_snp_measure_set_threads(measured->measure, 3);
	for (nth = 1; nth <= allocations; nth++) {
		allocations_fail(nth);
		assert_int_equal(scenario->call(measured->measure, scenario->opaque), -ENOMEM);
		allocations_off();
		expect_one_message(measured->logs, GMEM_LOG_ERROR, scenario->name, "no memory");
		expect_digest(measured->measure, zeros);
	}
	/* Each alone, and with all that come after it. */
	for (nth = 2; nth <= 2 * hashes + 1; nth++) {
		meddling_reset();
		meddling()->failing_hash = nth / 2;
		meddling()->fails_on = nth % 2;
		assert_int_equal(scenario->call(measured->measure, scenario->opaque), -EOPNOTSUPP);
		expect_one_message(measured->logs, GMEM_LOG_ERROR, scenario->name,
				   "libgcrypt has stopped hashing");
		expect_digest(measured->measure, zeros);
	}
	assert_int_equal(steps, 0);
	meddling_reset();
	assert_int_equal(scenario->call(measured->measure, scenario->opaque), 0);
	assert_int_equal(steps, expected_steps);
	expect_digest(measured->measure, digest);
}

static int call_add(struct gmem_snp_measure *measure, void *opaque)
{
	return gmem_snp_measure_add(measure, 0x1000, opaque, 40 * PAGE, GMEM_SNP_PAGE_NORMAL);
}

static void adding_pages(void **state)
{
	uint8_t *data = calloc(40, PAGE);
	const struct scenario scenario = { "gmem_snp_measure_add: ", call_add, data, 2 };

	data[20 * PAGE] = 1;
	fail_all(*state, &scenario);
	free(data);
}

static int call_add_zero(struct gmem_snp_measure *measure, void *opaque)
{
	(void)opaque;
	return gmem_snp_measure_add(measure, 0x1000, NULL, 40 * PAGE, GMEM_SNP_PAGE_ZERO);
}

static void adding_pages_without_contents(void **state)
{
	static const struct scenario scenario = { "gmem_snp_measure_add: ", call_add_zero, NULL,
						  0 };

	fail_all(*state, &scenario);
}

static int call_add_vcpus(struct gmem_snp_measure *measure, void *opaque)
{
	(void)opaque;
	return gmem_snp_measure_add_vcpus(measure, GMEM_SNP_VMM_QEMU, 0, 5, 0x80b004, 0, 0);
}

static void adding_vcpus(void **state)
{
	static const struct scenario scenario = { "gmem_snp_measure_add_vcpus: ", call_add_vcpus,
						  NULL, 0 };

	fail_all(*state, &scenario);
}

static int call_add_ovmf(struct gmem_snp_measure *measure, void *opaque)
{
	static const struct gmem_snp_hashes hashes;

	return gmem_snp_measure_add_ovmf(measure, opaque, GMEM_SNP_VMM_QEMU, &hashes);
}

static void adding_an_image(void **state)
{
	struct firmware firmware;
	struct scenario scenario = { "gmem_snp_measure_add_ovmf: ", call_add_ovmf, NULL, 5 };
	struct gmem_ovmf *ovmf;

	firmware_init(&firmware, 0x8000);
	firmware_make(&firmware);
	assert_int_equal(gmem_ovmf_new(NULL, firmware.bytes, firmware.size, &ovmf), 0);
	scenario.opaque = ovmf;
	fail_all(*state, &scenario);
	gmem_ovmf_free(ovmf);
	firmware_free(&firmware);
}

static void gmem_snp_measure_new_ENOMEM(void **state)
{
	struct measured *measured = *state;
	struct gmem_snp_measure *measure = (struct gmem_snp_measure *)&measure;

	allocations_fail(1);
	assert_int_equal(gmem_snp_measure_new(measured->ctx, NULL, &measure), -ENOMEM);
	allocations_off();
	assert_null(measure);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_measure_new: no memory");
	/* The default context is one more. */
	allocations_fail(2);
	assert_int_equal(gmem_snp_measure_new(NULL, NULL, &measure), -ENOMEM);
	assert_int_equal(allocations_off(), 2);
	assert_null(measure);
}

static void gmem_snp_hashes_compute_EOPNOTSUPP(void **state)
{
	static const struct gmem_snp_hashes nothing;
	struct measured *measured = *state;
	struct gmem_snp_hashes hashes;
	uint64_t nth;

	for (nth = 1; nth <= 3; nth++) {
		meddling_reset();
		meddling()->failing_hash = nth;
		memset(&hashes, 1, sizeof(hashes));
		assert_int_equal(gmem_snp_hashes_compute(measured->ctx, "abc", 3, "abc", 3, "",
							 &hashes),
				 -EOPNOTSUPP);
		assert_memory_equal(&hashes, &nothing, sizeof(hashes));
		expect_one_message(measured->logs, GMEM_LOG_ERROR, "gmem_snp_hashes_compute",
				   "has stopped hashing");
	}
}

/* A VMSA whose hash failed is not remembered as hashed. */
static void a_vmsa_that_failed_is_hashed_again(void **state)
{
	struct measured *measured = *state;
	uint8_t digest[48] = { 0 }, page[PAGE];

	/* Another was, so there is a hash to be mistaken for that of the second. */
	assert_int_equal(
		gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_EC2, 0, 1, 0, 0, 0), 0);
	assert_int_equal(gmem_snp_measure_get_digest(measured->measure, digest), 0);
	meddling_reset();
	meddling()->failing_hash = 1;
	assert_int_equal(call_add_vcpus(measured->measure, NULL), -EOPNOTSUPP);
	expect_one_message(measured->logs, GMEM_LOG_ERROR, "has stopped hashing");
	meddling_reset();
	assert_int_equal(gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_QEMU, 0, 1,
						    0x80b004, 0, 0),
			 0);
	assert_int_equal(gmem_snp_vmsa_build(NULL, GMEM_SNP_VMM_QEMU, 0, 0x80b004, 0, 0, page), 0);
	model_extend(digest, GMEM_SNP_PAGE_VMSA, GMEM_SNP_VMSA_GPA, page);
	expect_digest(measured->measure, digest);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, measured_setup, measured_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STAGED(adding_pages),
		STAGED(adding_pages_without_contents),
		STAGED(adding_vcpus),
		STAGED(adding_an_image),
		STAGED(gmem_snp_measure_new_ENOMEM),
		STAGED(gmem_snp_hashes_compute_EOPNOTSUPP),
		STAGED(a_vmsa_that_failed_is_hashed_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
