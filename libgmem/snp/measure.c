// SPDX-License-Identifier: LGPL-2.1-or-later
/* The launch digest: a chain of SHA-384 over pages. */
#include "snp/measure.h"

#include "ctx.h"
#include "log.h"
#include "range.h"
#include "snp/contents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(GMEM_SNP_DIGEST_SIZE == SHA384_SIZE, "56860: the launch digest is SHA-384");
static_assert(GMEM_SNP_PAGE_SIZE == SNP_PAGE_SIZE, "56860: pages have 4 KiB");

/* Guest-physical addresses of an SNP guest: 56860, PAGE_INFO. */
#define GPA_END (UINT64_C(1) << 52)

int gmem_snp_measure_new(struct gmem_ctx *ctx, const uint8_t *seed,
			 struct gmem_snp_measure **measure)
{
	int rc;

	if (!measure) {
		log_error(ctx, "gmem_snp_measure_new: measure is NULL, it must be an address");
		return -EINVAL;
	}
	*measure = NULL;
	rc = gmem_crypto_start(ctx, "gmem_snp_measure_new");
	if (rc)
		return rc;
	*measure = calloc(1, sizeof(**measure));
	if (*measure)
		(*measure)->ctx = gmem_ctx_get(ctx);
	if (!*measure || !(*measure)->ctx) {
		log_error(ctx, "gmem_snp_measure_new: no memory for %zu bytes", sizeof(**measure));
		free(*measure);
		*measure = NULL;
		return -ENOMEM;
	}
	(*measure)->threads = 1;
	if (seed)
		memcpy((*measure)->digest, seed, sizeof((*measure)->digest));
	return 0;
}

void gmem_snp_measure_free(struct gmem_snp_measure *measure)
{
	if (!measure)
		return;
	gmem_snp_measure_set_observer(measure, NULL, NULL, NULL);
	gmem_ctx_put(measure->ctx);
	free(measure);
}

void gmem_snp_measure_set_observer(struct gmem_snp_measure *measure, gmem_snp_step_fn fn,
				   void *opaque, gmem_free_fn free_fn)
{
	gmem_free_fn old_free = free_fn;
	void *old_opaque = opaque;

	if (measure) {
		old_free = measure->free_opaque;
		old_opaque = measure->opaque;
		measure->observe = fn;
		measure->opaque = opaque;
		measure->free_opaque = free_fn;
	}
	if (old_free)
		old_free(old_opaque);
}

void gmem_snp_measure_set_threads(struct gmem_snp_measure *measure, uint32_t threads)
{
	if (measure)
		measure->threads = threads;
}

int gmem_snp_measure_get_digest(const struct gmem_snp_measure *measure,
				uint8_t digest[GMEM_SNP_DIGEST_SIZE])
{
	if (!measure || !digest) {
		log_error(
			measure ? measure->ctx : NULL,
			"gmem_snp_measure_get_digest: measure is %p and digest is %p; neither may "
			"be NULL",
			(const void *)measure, (void *)digest);
		return -EINVAL;
	}
	memcpy(digest, measure->digest, sizeof(measure->digest));
	return 0;
}

int gmem_measure_check(struct gmem_snp_measure *measure, const char *who)
{
	if (!measure) {
		log_error(NULL, "%s: measure is NULL, it must be from gmem_snp_measure_new()", who);
		return -EINVAL;
	}
	if (measure->is_observed) {
		log_error(measure->ctx,
			  "%s: called by the observer of the same digest; it must be called after",
			  who);
		return -EDEADLK;
	}
	if (!measure->threads || measure->threads > GMEM_SNP_THREADS_MAX) {
		log_error(measure->ctx, "%s: by %u threads; it must be 1 to %u", who,
			  measure->threads, GMEM_SNP_THREADS_MAX);
		return -EINVAL;
	}
	return 0;
}

/* One link of the chain: 56860, 8.17.2. contents is NULL for a page whose contents do not count. */
static int extend(uint8_t digest[SHA384_SIZE], uint32_t type, uint64_t gpa, const uint8_t *contents)
{
	struct page_info info = {
		.length = sizeof(info),
		.page_type = (uint8_t)type,
		.gpa = gpa,
	};

	memcpy(info.digest, digest, sizeof(info.digest));
	if (contents)
		memcpy(info.contents, contents, sizeof(info.contents));
	return gmem_crypto_sha384(&info, sizeof(info), digest);
}

/* Pages of which contents do not count, or all have the same. */
static int extend_alike(uint8_t digest[SHA384_SIZE], const struct gmem_snp_step *step,
			const uint8_t *contents)
{
	uint64_t stride = step->type == GMEM_SNP_PAGE_VMSA ? 0 : SNP_PAGE_SIZE;
	uint64_t i;
	int rc = 0;

	for (i = 0; i < step->pages && !rc; i++)
		rc = extend(digest, step->type, step->gpa + i * stride, contents);
	return rc;
}

static int extend_vmsas(struct gmem_snp_measure *measure, uint8_t digest[SHA384_SIZE],
			const struct group *group)
{
	if (!measure->has_vmsa || memcmp(&measure->vmsa, group->data, sizeof(measure->vmsa)) != 0) {
		measure->has_vmsa = false;
		memcpy(&measure->vmsa, group->data, sizeof(measure->vmsa));
		if (gmem_crypto_sha384(group->data, SNP_PAGE_SIZE, measure->vmsa_digest))
			return -EOPNOTSUPP;
		measure->has_vmsa = true;
	}
	return extend_alike(digest, &group->step, measure->vmsa_digest);
}

static int extend_pages(struct gmem_snp_measure *measure, uint8_t digest[SHA384_SIZE],
			const struct group *group)
{
	const struct gmem_snp_step *step = &group->step;
	uint64_t stride = step->type == GMEM_SNP_PAGE_VMSA ? 0 : SNP_PAGE_SIZE;
	struct contents contents;
	uint32_t i;
	int rc;

	rc = gmem_contents_hash(&contents, group->data, (uint32_t)step->pages, measure->threads);
	if (rc)
		return rc;
	for (i = 0; i < step->pages && !rc; i++)
		rc = extend(digest, step->type, step->gpa + i * stride,
			    gmem_contents_get(&contents, i));
	gmem_contents_free(&contents);
	return rc;
}

static int extend_group(struct gmem_snp_measure *measure, uint8_t digest[SHA384_SIZE],
			const struct group *group)
{
	if (!group->data)
		return extend_alike(digest, &group->step, NULL);
	if (group->is_repeated)
		return extend_vmsas(measure, digest, group);
	return extend_pages(measure, digest, group);
}

static void tell(struct gmem_snp_measure *measure, const struct group *groups, uint32_t count)
{
	uint32_t i;

	if (!measure->observe)
		return;
	measure->is_observed = true;
	for (i = 0; i < count; i++)
		measure->observe(&groups[i].step, measure->opaque);
	measure->is_observed = false;
}

int gmem_measure_add_groups(struct gmem_snp_measure *measure, const char *who, struct group *groups,
			    uint32_t count)
{
	uint8_t digest[SHA384_SIZE];
	uint32_t i;
	int rc = 0;

	memcpy(digest, measure->digest, sizeof(digest));
	for (i = 0; i < count && !rc; i++) {
		rc = extend_group(measure, digest, &groups[i]);
		memcpy(groups[i].step.digest, digest, sizeof(digest));
	}
	if (rc == -ENOMEM) {
		log_error(measure->ctx, "%s: no memory to hash %llu pages", who,
			  (unsigned long long)groups[i - 1].step.pages);
		return rc;
	}
	if (rc)
		return gmem_crypto_report(measure->ctx, who);
	memcpy(measure->digest, digest, sizeof(digest));
	tell(measure, groups, count);
	return 0;
}

static bool has_contents(uint32_t type)
{
	return type == GMEM_SNP_PAGE_NORMAL || type == GMEM_SNP_PAGE_VMSA;
}

static int check_pages(const struct gmem_snp_measure *measure, uint64_t gpa, const void *data,
		       uint64_t size, uint32_t type)
{
	bool is_vmsa = type == GMEM_SNP_PAGE_VMSA;

	if (type < GMEM_SNP_PAGE_NORMAL || type > GMEM_SNP_PAGE_CPUID) {
		log_error(measure->ctx,
			  "gmem_snp_measure_add: type %u; it must be GMEM_SNP_PAGE_*, "
			  "%u to %u",
			  type, GMEM_SNP_PAGE_NORMAL, GMEM_SNP_PAGE_CPUID);
		return -EINVAL;
	}
	if (!range_is_valid(gpa, is_vmsa ? SNP_PAGE_SIZE : size) || !size ||
	    !range_is_aligned(gpa, size, SNP_PAGE_SIZE) ||
	    gpa + (is_vmsa ? SNP_PAGE_SIZE : size) > GPA_END) {
		log_error(measure->ctx,
			  "gmem_snp_measure_add: %#llx bytes at %#llx; both must be multiples of "
			  "%#x, not nothing, and end at %#llx or before",
			  (unsigned long long)size, (unsigned long long)gpa, SNP_PAGE_SIZE,
			  (unsigned long long)GPA_END);
		return -EINVAL;
	}
	if (has_contents(type) != !!data || (data && size / SNP_PAGE_SIZE > CONTENTS_PAGES_MAX)) {
		log_error(
			measure->ctx,
			"gmem_snp_measure_add: data of pages of type %u is %p with %#llx bytes; it "
			"must be given with types %u and %u, %u pages at most, and be NULL with "
			"all others",
			type, data, (unsigned long long)size, GMEM_SNP_PAGE_NORMAL,
			GMEM_SNP_PAGE_VMSA, CONTENTS_PAGES_MAX);
		return -EINVAL;
	}
	return 0;
}

/* The index after these VMSAs; false when there is none. */
static bool count_vcpus(uint32_t first, uint64_t count, uint32_t *next)
{
	return !__builtin_add_overflow(first, count, next);
}

int gmem_snp_measure_add(struct gmem_snp_measure *measure, uint64_t gpa, const void *data,
			 uint64_t size, uint32_t type)
{
	struct group group = {
		.step = { .gpa = gpa, .pages = size / SNP_PAGE_SIZE, .type = type },
		.data = data,
	};
	uint32_t next = 0;
	int rc = gmem_measure_check(measure, "gmem_snp_measure_add");

	if (!rc)
		rc = check_pages(measure, gpa, data, size, type);
	if (rc)
		return rc;
	next = measure->vcpus;
	if (type == GMEM_SNP_PAGE_VMSA) {
		group.step.vcpu = measure->vcpus;
		if (!count_vcpus(measure->vcpus, group.step.pages, &next)) {
			log_error(measure->ctx,
				  "gmem_snp_measure_add: %llu VMSAs from vCPU %u; there must be %u "
				  "vCPUs at most",
				  (unsigned long long)group.step.pages, measure->vcpus, UINT32_MAX);
			return -EINVAL;
		}
	}
	rc = gmem_measure_add_groups(measure, "gmem_snp_measure_add", &group, 1);
	if (!rc)
		measure->vcpus = next;
	return rc;
}
