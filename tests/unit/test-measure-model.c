// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Launch digests against the most obvious way of making them, with random pages in random order;
 * and that what is the same is hashed once, by as many threads as there may be.
 */
#include "stage.h"

#include "measured.h"
#include "random.h"
#include "world.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 24u /* of page contents */
#define PAGES_MAX 96u

struct contents {
	uint8_t pages[KINDS][PAGE];
};

/* Zeros, ones, pages that differ in a bit at either end, and noise. */
static void make_contents(struct contents *contents, uint64_t *seed)
{
	size_t kind, i;

	memset(contents, 0, sizeof(*contents));
	memset(contents->pages[1], 0xff, PAGE);
	contents->pages[2][0] = 1;
	contents->pages[3][PAGE - 1] = 0x80;
	contents->pages[4][PAGE - 8] = 1;
	for (kind = 5; kind < KINDS; kind++) {
		for (i = 0; i < PAGE; i++)
			contents->pages[kind][i] = (uint8_t)(random_next(seed) >> 40);
	}
}

/* A call's pages, and how many kinds there are among them. */
static uint8_t *choose_pages(const struct contents *contents, uint64_t *seed, uint64_t count,
			     uint64_t *kinds)
{
	uint64_t choice = 1 + random_below(seed, KINDS);
	/* Data need no alignment. */
	uint8_t *data = (uint8_t *)malloc(count * PAGE + 1) + 1;
	bool used[KINDS] = { false };
	uint64_t i, kind;

	*kinds = 0;
	for (i = 0; i < count; i++) {
		kind = random_below(seed, choice);
		memcpy(data + i * PAGE, contents->pages[kind], PAGE);
		*kinds += !used[kind];
		used[kind] = true;
	}
	return data;
}

static void add_pages(struct gmem_snp_measure *measure, const struct contents *contents,
		      uint64_t *seed, uint8_t digest[48])
{
	uint32_t type = 1 + (uint32_t)random_below(seed, 6);
	uint64_t gpa = random_below(seed, UINT64_C(1) << 36) * PAGE;
	uint64_t count = 1 + random_below(seed, PAGES_MAX);
	bool counts = type == GMEM_SNP_PAGE_NORMAL || type == GMEM_SNP_PAGE_VMSA;
	uint64_t kinds = 0, i;
	uint8_t *data = counts ? choose_pages(contents, seed, count, &kinds) : NULL;

	gmem_snp_measure_set_threads(measure, 1 + (uint32_t)random_below(seed, 5));
	meddling_reset();
	assert_int_equal(gmem_snp_measure_add(measure, gpa, data, count * PAGE, type), 0);
	assert_int_equal(meddling()->page_hashes, kinds);
	assert_int_equal(meddling()->hashes, kinds + count);
	for (i = 0; i < count; i++)
		model_extend(digest, (uint8_t)type,
			     type == GMEM_SNP_PAGE_VMSA ? gpa : gpa + i * PAGE,
			     counts ? data + i * PAGE : NULL);
	if (counts)
		free(data - 1);
}

static void add_vcpus(struct gmem_snp_measure *measure, uint64_t *seed, uint8_t digest[48])
{
	uint32_t vmm = (uint32_t)random_below(seed, 4), first = (uint32_t)random_below(seed, 3);
	uint32_t count = 1 + (uint32_t)random_below(seed, 20);
	uint32_t reset = (uint32_t)random_next(seed), signature = (uint32_t)random_next(seed);
	uint64_t features = random_next(seed) & 0x3ff;
	uint8_t page[PAGE];
	uint32_t i;

	assert_int_equal(gmem_snp_measure_add_vcpus(measure, vmm, first, count, reset, signature,
						    features),
			 0);
	for (i = first; i < first + count; i++) {
		assert_int_equal(
			gmem_snp_vmsa_build(NULL, vmm, i, reset, signature, features, page), 0);
		model_extend(digest, GMEM_SNP_PAGE_VMSA, GMEM_SNP_VMSA_GPA, page);
	}
}

static void random_launches(void **state)
{
	struct measured *measured = *state;
	struct contents *contents = malloc(sizeof(*contents));
	uint64_t seed = random_seed("test-measure-model");
	uint8_t digest[48] = { 0 };
	unsigned int round;

	make_contents(contents, &seed);
	for (round = 0; round < 600; round++) {
		if (random_below(&seed, 4))
			add_pages(measured->measure, contents, &seed, digest);
		else
			add_vcpus(measured->measure, &seed, digest);
		expect_digest(measured->measure, digest);
		/* Somebody else goes on from here. */
		if (random_below(&seed, 8) == 0) {
			gmem_snp_measure_free(measured->measure);
			assert_int_equal(
				gmem_snp_measure_new(measured->ctx, digest, &measured->measure), 0);
		}
	}
	free(contents);
}

static void random_images(void **state)
{
	struct measured *measured = *state;
	uint64_t seed = random_seed("test-measure-model");
	struct firmware firmware;
	struct gmem_ovmf *ovmf;
	uint8_t digest[48] = { 0 };
	unsigned int round;
	uint32_t i, vmm;

	for (round = 0; round < 100; round++) {
		firmware_init(&firmware, PAGE * (1 + random_below(&seed, 30)));
		firmware.count = 0;
		for (i = 0; i < random_below(&seed, 20); i++)
			firmware_add_section(&firmware, 0x100000 * (1 + (i * 7 & 31)),
					     (uint32_t)(PAGE * random_below(&seed, 8)),
					     1 + (uint32_t)random_below(&seed, 4));
		firmware.fill = random_below(&seed, 3);
		firmware_make(&firmware);
		assert_int_equal(gmem_ovmf_new(measured->ctx, firmware.bytes, firmware.size, &ovmf),
				 0);
		vmm = (uint32_t)random_below(&seed, 4);
		assert_int_equal(gmem_snp_measure_add_ovmf(measured->measure, ovmf, vmm, NULL), 0);
		model_image(digest, &firmware, vmm, NULL);
		expect_digest(measured->measure, digest);
		gmem_ovmf_free(ovmf);
		firmware_free(&firmware);
	}
}

/* More pages than any of the others has, each of them twice and far apart. */
static void many_pages_are_compared(void **state)
{
	enum { HALF = 3000 };
	struct measured *measured = *state;
	uint8_t *data = calloc(2 * HALF, PAGE), digest[48] = { 0 };
	uint32_t i;

	for (i = 0; i < 2 * HALF; i++) {
		uint32_t number = i % HALF;

		memcpy(data + (size_t)i * PAGE + 4 * (i % HALF % 1024), &number, sizeof(number));
		model_extend(digest, GMEM_SNP_PAGE_NORMAL, (uint64_t)i * PAGE,
			     data + (size_t)i * PAGE);
	}
	gmem_snp_measure_set_threads(measured->measure, 4);
	meddling_reset();
	assert_int_equal(gmem_snp_measure_add(measured->measure, 0, data, (uint64_t)2 * HALF * PAGE,
					      GMEM_SNP_PAGE_NORMAL),
			 0);
	expect_digest(measured->measure, digest);
	/* Few are missed: where places of 16 others are taken. */
	assert_in_range(meddling()->page_hashes, HALF, HALF + HALF / 20);
	free(data);
}

static void vcpus_that_are_alike_are_hashed_once(void **state)
{
	struct measured *measured = *state;

	meddling_reset();
	assert_int_equal(gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_QEMU, 0, 64,
						    0x80b004, 0x800f12, 1),
			 0);
	assert_int_equal(meddling()->page_hashes, 2);
	assert_int_equal(meddling()->hashes, 2 + 64);
	/* Also in a later call. */
	assert_int_equal(gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_QEMU, 64, 64,
						    0x80b004, 0x800f12, 1),
			 0);
	assert_int_equal(meddling()->page_hashes, 2);
	assert_int_equal(
		gmem_snp_measure_add_vcpus(measured->measure, GMEM_SNP_VMM_KVM, 0, 64, 0, 0, 1), 0);
	assert_int_equal(meddling()->page_hashes, 3);
}

/* ---- Threads. ---- */

static unsigned int count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int count = 0;

	assert_non_null(tasks);
	while (readdir(tasks))
		count++;
	closedir(tasks);
	return count - 2; /* "." and ".." */
}

static void *random_data(uint64_t pages, uint8_t digest[48])
{
	uint8_t *data = malloc(pages * PAGE);
	uint64_t seed = 12345, i;

	for (i = 0; i < pages * PAGE; i++)
		data[i] = (uint8_t)(random_next(&seed) >> 40);
	memset(digest, 0, 48);
	for (i = 0; i < pages; i++)
		model_extend(digest, GMEM_SNP_PAGE_NORMAL, i * PAGE, data + i * PAGE);
	return data;
}

static void measure_by_threads(struct measured *measured, const void *data, uint64_t pages,
			       uint32_t threads, uint32_t available, const uint8_t digest[48])
{
	struct gmem_snp_measure *measure;

	assert_int_equal(gmem_snp_measure_new(measured->ctx, NULL, &measure), 0);
	gmem_snp_measure_set_threads(measure, threads);
	meddling_reset();
	meddling()->threads_left = available;
	assert_int_equal(gmem_snp_measure_add(measure, 0, data, pages * PAGE, GMEM_SNP_PAGE_NORMAL),
			 0);
	expect_digest(measure, digest);
	gmem_snp_measure_free(measure);
}

static void threads_are_those_asked_for(void **state)
{
	static const uint32_t threads[] = { 1, 2, 7, GMEM_SNP_THREADS_MAX };
	struct measured *measured = *state;
	unsigned int before = count_threads();
	uint8_t digest[48];
	void *data = random_data(500, digest);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		measure_by_threads(measured, data, 500, threads[i], UINT32_MAX, digest);
		/* The calling one works too; nobody is started for nothing: 16 pages each. */
		assert_int_equal(meddling()->threads_begun,
				 (threads[i] < 32 ? threads[i] : 32) - 1);
		assert_int_equal(count_threads(), before);
	}
	free(data);
}

static void threads_that_cannot_be_had_are_done_without(void **state)
{
	struct measured *measured = *state;
	uint32_t available;
	uint8_t digest[48];
	void *data = random_data(500, digest);

	for (available = 0; available < 8; available++) {
		measure_by_threads(measured, data, 500, 7, available, digest);
		assert_int_equal(meddling()->threads_begun, available < 6 ? available : 6);
	}
	free(data);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, measured_setup, measured_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STAGED(random_launches),
		STAGED(random_images),
		STAGED(many_pages_are_compared),
		STAGED(vcpus_that_are_alike_are_hashed_once),
		STAGED(threads_are_those_asked_for),
		STAGED(threads_that_cannot_be_had_are_done_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
