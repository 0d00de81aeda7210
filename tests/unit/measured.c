// SPDX-License-Identifier: LGPL-2.1-or-later
/* The launch digest in the most obvious way; see the header. */
#include "measured.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct meddling now;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

gcry_error_t __real_gcry_md_hash_buffers(int algorithm, unsigned int flags, void *digest,
					 const gcry_buffer_t *buffers, int count);
gcry_error_t __wrap_gcry_md_hash_buffers(int algorithm, unsigned int flags, void *digest,
					 const gcry_buffer_t *buffers, int count);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

gcry_error_t __wrap_gcry_md_hash_buffers(int algorithm, unsigned int flags, void *digest,
					 const gcry_buffer_t *buffers, int count)
{
	bool fails;

	pthread_mutex_lock(&mutex);
	now.hashes++;
	now.page_hashes += buffers[0].len == PAGE;
	fails = now.failing_hash &&
		(now.hashes == now.failing_hash || (now.fails_on && now.hashes > now.failing_hash));
	pthread_mutex_unlock(&mutex);
	return fails ? GPG_ERR_NOT_OPERATIONAL
		     : __real_gcry_md_hash_buffers(algorithm, flags, digest, buffers, count);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	if (!now.threads_left)
		return EAGAIN;
	now.threads_left--;
	now.threads_begun++;
	return __real_pthread_create(thread, attributes, start, argument);
}

void meddling_reset(void)
{
	now = (struct meddling){ .threads_left = UINT32_MAX };
}

struct meddling *meddling(void)
{
	return &now;
}

void model_sha384(const void *data, size_t size, uint8_t digest[48])
{
	gcry_md_hash_buffer(GCRY_MD_SHA384, digest, data, size);
}

void model_extend(uint8_t digest[48], uint8_t type, uint64_t gpa, const uint8_t *contents)
{
	uint8_t info[0x70] = { 0 };
	size_t i;

	memcpy(info, digest, 48);
	if (contents)
		model_sha384(contents, PAGE, info + 0x30);
	info[0x60] = 0x70;
	info[0x62] = type;
	for (i = 0; i < 8; i++)
		info[0x68 + i] = (uint8_t)(gpa >> 8 * i);
	model_sha384(info, sizeof(info), digest);
}

static void model_section(uint8_t digest[48], const struct gmem_ovmf_section *section, uint32_t vmm,
			  const uint8_t *hashes)
{
	const uint8_t *contents = NULL;
	uint8_t type = GMEM_SNP_PAGE_ZERO;
	uint64_t offset;

	if (section->type == GMEM_OVMF_SECRETS)
		type = GMEM_SNP_PAGE_SECRETS;
	if (section->type == GMEM_OVMF_CPUID)
		type = GMEM_SNP_PAGE_CPUID;
	if (section->type == GMEM_OVMF_SEC_MEM && vmm == GMEM_SNP_VMM_GCE)
		type = GMEM_SNP_PAGE_UNMEASURED;
	if (section->type == GMEM_OVMF_KERNEL_HASHES && hashes) {
		type = GMEM_SNP_PAGE_NORMAL;
		contents = hashes;
	}
	for (offset = 0; offset < section->size; offset += PAGE)
		model_extend(digest, type, section->gpa + offset, contents);
}

void model_image(uint8_t digest[48], const struct firmware *firmware, uint32_t vmm,
		 const uint8_t *hashes)
{
	uint64_t gpa = 0x100000000 - firmware->size;
	size_t offset;
	uint32_t i;

	for (offset = 0; offset < firmware->size; offset += PAGE)
		model_extend(digest, GMEM_SNP_PAGE_NORMAL, gpa + offset, firmware->bytes + offset);
	for (i = 0; i < firmware->count; i++) {
		if (vmm != GMEM_SNP_VMM_EC2 || firmware->sections[i].type != GMEM_OVMF_CPUID)
			model_section(digest, &firmware->sections[i], vmm, hashes);
	}
	for (i = 0; i < firmware->count; i++) {
		if (vmm == GMEM_SNP_VMM_EC2 && firmware->sections[i].type == GMEM_OVMF_CPUID)
			model_section(digest, &firmware->sections[i], vmm, hashes);
	}
}

int measured_setup(void **state)
{
	struct measured *measured = calloc(1, sizeof(*measured));

	meddling_reset();
	measured->logs = logs_new();
	measured->ctx = logs_new_ctx(measured->logs, NULL);
	assert_int_equal(gmem_snp_measure_new(measured->ctx, NULL, &measured->measure), 0);
	*state = measured;
	return 0;
}

int measured_teardown(void **state)
{
	struct measured *measured = *state;

	meddling_reset();
	expect_no_message(measured->logs);
	gmem_snp_measure_free(measured->measure);
	gmem_ctx_free(measured->ctx);
	logs_free(measured->logs);
	free(measured);
	return 0;
}

void measured_expect(const struct gmem_snp_measure *measure, const uint8_t digest[48],
		     const char *file, int line)
{
	uint8_t found[48];

	if (gmem_snp_measure_get_digest(measure, found))
		_fail(file, line);
	_assert_memory_equal(found, digest, sizeof(found), file, line);
}
