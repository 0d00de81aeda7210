// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What libgmem predicts is what the simulated firmware measures: the two have no code in common,
 * so each holds the other to its reading of the specification.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <gmem.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "snp/hashes.h"
#include "test-sim-snp-guest.h"
#include "test-sim-snp-image.h"
#include "test-sim-snp-table.h"

#define SIGNATURE 0xa00f11u

static void expect_same(struct guest *guest, const struct gmem_snp_measure *measure)
{
	uint8_t predicted[GMEM_SNP_DIGEST_SIZE], measured[SNP_DIGEST_SIZE];

	assert_int_equal(gmem_snp_measure_get_digest(measure, predicted), 0);
	guest_get_digest(guest, measured);
	assert_memory_equal(predicted, measured, sizeof(predicted));
}

static struct gmem_snp_measure *new_measure(void)
{
	struct gmem_snp_measure *measure;

	assert_int_equal(gmem_snp_measure_new(NULL, NULL, &measure), 0);
	return measure;
}

/* ---- Images, as VMMs launch them. ---- */

static uint32_t vmm_of(enum image_vmm vmm)
{
	static const uint32_t vmms[] = {
		[IMAGE_QEMU] = GMEM_SNP_VMM_QEMU,
		[IMAGE_EC2] = GMEM_SNP_VMM_EC2,
		[IMAGE_GCE] = GMEM_SNP_VMM_GCE,
	};

	return vmms[vmm];
}

static void launch_image(struct image *image, const struct gmem_ovmf *ovmf,
			 const struct gmem_snp_hashes *hashes, enum guest_mode mode, uint32_t vcpus)
{
	struct gmem_snp_measure *measure = new_measure();
	uint32_t vmm = vmm_of(image->vmm), i;
	struct gmem_ovmf_info info;
	struct guest guest;

	guest_new(&guest, mode);
	assert_int_equal(guest_init2(&guest, 0x20), 0);
	assert_int_equal(guest_start(&guest, GUEST_POLICY), 0);
	image_load(image, &guest);
	assert_int_equal(gmem_snp_measure_add_ovmf(measure, ovmf, vmm, hashes), 0);
	expect_same(&guest, measure);
	assert_int_equal(gmem_ovmf_get_info(ovmf, &info), 0);
	for (i = 0; i < vcpus; i++)
		image_set_vcpu(image, &guest, guest_add_vcpu(&guest), i, SIGNATURE);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	assert_int_equal(gmem_snp_measure_add_vcpus(measure, vmm, 0, vcpus, info.ap_reset,
						    SIGNATURE, 0x20),
			 0);
	expect_same(&guest, measure);
	gmem_snp_measure_free(measure);
	guest_free(&guest);
}

static void launch_in_all_ways(const char *name, bool with_hashes)
{
	struct gmem_snp_hashes hashes = { .kernel = { 1 }, .initrd = { 2 }, .cmdline = { 3 } };
	uint8_t page[SNP_PAGE_SIZE];
	struct image image = { 0 };
	struct gmem_ovmf *ovmf;
	int vmm, mode;

	image.bytes = data_read(name, &image.size);
	assert_int_equal(gmem_ovmf_new(NULL, image.bytes, image.size, &ovmf), 0);
	if (with_hashes) {
		gmem_hashes_fill_page(&hashes, image_hashes_offset(&image), page);
		image.hashes = page;
	}
	for (vmm = IMAGE_QEMU; vmm <= IMAGE_GCE; vmm++) {
		for (mode = 0; mode < GUEST_MODES; mode++) {
			image.vmm = (enum image_vmm)vmm;
			launch_image(&image, ovmf, with_hashes ? &hashes : NULL,
				     (enum guest_mode)mode, 1 + 2 * (uint32_t)mode);
		}
	}
	gmem_ovmf_free(ovmf);
	free(image.bytes);
}

static void images_as_vmms_launch_them(void **state)
{
	launch_in_all_ways("image-a.fd", false);
	launch_in_all_ways("image-a.fd", true);
	launch_in_all_ways("image-b.fd", false);
}

/* ---- Pages in any order, and vCPUs as KVM makes them. ---- */

#define GUEST_PAGES (GUEST_SIZE / SNP_PAGE_SIZE)

/* Pages that are free from first on, up to some. */
static uint64_t choose_run(const bool *used, uint64_t first, uint64_t *seed)
{
	uint64_t most = 1 + random_below(seed, 12), count = 0;

	while (count < most && first + count < GUEST_PAGES && !used[first + count])
		count++;
	return count;
}

static void load_pages(struct guest *guest, struct gmem_snp_measure *measure, uint64_t first,
		       uint64_t count, uint64_t *seed)
{
	static const uint8_t types[] = { SNP_PAGE_NORMAL, SNP_PAGE_NORMAL, SNP_PAGE_ZERO,
					 SNP_PAGE_UNMEASURED, SNP_PAGE_SECRETS };
	uint8_t type = types[random_below(seed, sizeof(types))];
	uint64_t gpa = GUEST_BASE + first * SNP_PAGE_SIZE, size = count * SNP_PAGE_SIZE, i;
	uint8_t *data = calloc(count, SNP_PAGE_SIZE);

	/* Some pages stay zeros. */
	for (i = 0; i < size; i++)
		data[i] = i / SNP_PAGE_SIZE % 3 ? (uint8_t)(random_next(seed) >> 40) : 0;
	guest_load(guest, type, gpa, data, size);
	assert_int_equal(gmem_snp_measure_add(measure, gpa, type == SNP_PAGE_NORMAL ? data : NULL,
					      size, type),
			 0);
	free(data);
}

static void launch_pages(enum guest_mode mode, uint64_t *seed)
{
	struct gmem_snp_measure *measure = new_measure();
	uint32_t vcpus = 1 + (uint32_t)random_below(seed, 5), i;
	bool used[GUEST_PAGES] = { false };
	uint64_t steps, first, count;
	struct guest guest;

	guest_launch(&guest, mode);
	gmem_snp_measure_set_threads(measure, 1 + (uint32_t)random_below(seed, 3));
	for (steps = random_below(seed, 8); steps; steps--) {
		first = random_below(seed, GUEST_PAGES);
		count = choose_run(used, first, seed);
		if (!count)
			continue;
		memset(used + first, true, count);
		load_pages(&guest, measure, first, count, seed);
		expect_same(&guest, measure);
	}
	for (i = 0; i < vcpus; i++)
		guest_add_vcpu(&guest);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	assert_int_equal(gmem_snp_measure_add_vcpus(measure, GMEM_SNP_VMM_KVM, 0, vcpus, 0x1234,
						    SIGNATURE, 0),
			 0);
	expect_same(&guest, measure);
	gmem_snp_measure_free(measure);
	guest_free(&guest);
}

static void pages_in_any_order(void **state)
{
	uint64_t seed = random_seed("test-sim-snp-measure");
	int mode, round;

	for (round = 0; round < 20; round++) {
		for (mode = 0; mode < GUEST_MODES; mode++)
			launch_pages((enum guest_mode)mode, &seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_as_vmms_launch_them),
		cmocka_unit_test(pages_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
