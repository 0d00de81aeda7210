// SPDX-License-Identifier: LGPL-2.1-or-later
/* Hashes of kernel, initrd and command line, and the page that they are measured in. */
#include "snp/hashes.h"

#include "log.h"
#include "snp/crypto.h"

#include <errno.h>
#include <string.h>

static_assert(sizeof(((struct gmem_snp_hashes *)NULL)->kernel) == SHA256_SIZE, "SHA-256");

/* 9438d606-4f22-4cc9-b479-a793d411fd21 */
static const uint8_t table_guid[16] = { 0x06, 0xd6, 0x38, 0x94, 0x22, 0x4f, 0xc9, 0x4c,
					0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21 };
/* 97d02dd8-bd20-4c94-aa78-e7714d36ab2a */
static const uint8_t cmdline_guid[16] = { 0xd8, 0x2d, 0xd0, 0x97, 0x20, 0xbd, 0x94, 0x4c,
					  0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a };
/* 44baf731-3a2f-4bd7-9af1-41e29169781d */
static const uint8_t initrd_guid[16] = { 0x31, 0xf7, 0xba, 0x44, 0x2f, 0x3a, 0xd7, 0x4b,
					 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d };
/* 4de79437-abd2-427f-b835-d5b172d2045b */
static const uint8_t kernel_guid[16] = { 0x37, 0x94, 0xe7, 0x4d, 0xd2, 0xab, 0x7f, 0x42,
					 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b };

static void fill_entry(struct kernel_hash *entry, const uint8_t guid[16],
		       const uint8_t hash[SHA256_SIZE])
{
	memcpy(entry->guid, guid, sizeof(entry->guid));
	entry->length[0] = sizeof(*entry);
	memcpy(entry->hash, hash, sizeof(entry->hash));
}

void gmem_hashes_fill_page(const struct gmem_snp_hashes *hashes, uint32_t offset,
			   uint8_t page[SNP_PAGE_SIZE])
{
	struct kernel_hash_table table = { 0 };

	memcpy(table.guid, table_guid, sizeof(table.guid));
	table.length[0] = offsetof(struct kernel_hash_table, padding);
	fill_entry(&table.cmdline, cmdline_guid, hashes->cmdline);
	fill_entry(&table.initrd, initrd_guid, hashes->initrd);
	fill_entry(&table.kernel, kernel_guid, hashes->kernel);
	memset(page, 0, SNP_PAGE_SIZE);
	memcpy(page + offset, &table, sizeof(table));
}

static int check_arguments(struct gmem_ctx *ctx, const void *kernel, size_t kernel_size,
			   const void *initrd, size_t initrd_size,
			   const struct gmem_snp_hashes *hashes)
{
	if (!kernel || !kernel_size || !hashes) {
		log_error(ctx,
			  "gmem_snp_hashes_compute: kernel is %p with %zu bytes and hashes is %p; "
			  "none may be NULL or 0",
			  kernel, kernel_size, (const void *)hashes);
		return -EINVAL;
	}
	if (!initrd != !initrd_size) {
		log_error(ctx,
			  "gmem_snp_hashes_compute: initrd is %p with %zu bytes; both must be "
			  "given, or NULL and 0",
			  initrd, initrd_size);
		return -EINVAL;
	}
	return 0;
}

int gmem_snp_hashes_compute(struct gmem_ctx *ctx, const void *kernel, size_t kernel_size,
			    const void *initrd, size_t initrd_size, const char *cmdline,
			    struct gmem_snp_hashes *hashes)
{
	struct gmem_snp_hashes computed;
	int rc;

	if (hashes)
		memset(hashes, 0, sizeof(*hashes));
	rc = check_arguments(ctx, kernel, kernel_size, initrd, initrd_size, hashes);
	if (!rc)
		rc = gmem_crypto_start(ctx, "gmem_snp_hashes_compute");
	if (rc)
		return rc;
	if (!cmdline)
		cmdline = "";
	if (gmem_crypto_sha256(kernel, kernel_size, computed.kernel) ||
	    gmem_crypto_sha256(initrd, initrd_size, computed.initrd) ||
	    gmem_crypto_sha256(cmdline, strlen(cmdline) + 1, computed.cmdline))
		return gmem_crypto_report(ctx, "gmem_snp_hashes_compute");
	*hashes = computed;
	return 0;
}
