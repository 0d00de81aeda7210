// SPDX-License-Identifier: LGPL-2.1-or-later
/* Has a region's memory allocated ahead of use, by one thread or several. */
#include "log.h"
#include "range.h"
#include "region.h"
#include "thread.h"

#include <errno.h>
#include <stdlib.h>

/* One thread's share of the work. */
struct part {
	const struct gmem_region *region;
	uint64_t offset;
	uint64_t size;
	pthread_t thread;
	bool started;
	int error;
	uint64_t failed_offset;
	bool failed_private; /* in the guest_memfd, not on the side the host sees */
};

/* The pages of a run that was shared a moment ago have turned private: they cannot be touched. */
static bool has_turned_private(const struct gmem_region *region, uint64_t offset, uint64_t size)
{
	uint64_t page_size = region->vm->caps.page_size;

	return region_can_be_private(region) &&
	       gmem_state_query(&region_shadow(region)->state, offset / page_size,
				size / page_size) != GMEM_SHARED;
}

/*
 * Allocates a run of one state. Returns how much was dealt with: nothing where it must be looked
 * at again, for the guest converts while we are at it.
 */
static uint64_t prefault_run(struct part *part, uint64_t offset, uint64_t size, bool private)
{
	const struct gmem_region *region = part->region;
	const struct gmem_kernel *kernel = &region->vm->kernel;

	if (private)
		part->error = gmem_backing_allocate(&region->guest, kernel, offset, size);
	else
		part->error = gmem_backing_populate(region->host, kernel, offset, size);
	if (part->error == -EFAULT && !private && has_turned_private(region, offset, size)) {
		part->error = 0;
		return 0;
	}
	part->failed_offset = offset;
	part->failed_private = private;
	return size;
}

static void *prefault_part(void *argument)
{
	struct part *part = argument;
	const struct gmem_region *region = part->region;
	uint64_t page_size = region->vm->caps.page_size;
	uint64_t offset = part->offset, end = part->offset + part->size;
	uint32_t state = GMEM_SHARED;
	uint64_t size;

	while (offset < end && !part->error) {
		size = end - offset;
		if (region_shadow(region))
			size = page_size * gmem_shadow_run(region_shadow(region),
							   offset / page_size, size / page_size,
							   &state);
		/* What is unplugged stays so. */
		offset += state == GMEM_ABSENT
				  ? size
				  : prefault_run(part, offset, size, state == GMEM_PRIVATE);
	}
	return NULL;
}

static void divide(struct part *parts, uint32_t count, const struct gmem_region *region,
		   uint64_t offset, uint64_t size)
{
	uint64_t pages = size / region->host->page_size;
	uint32_t i;

	for (i = 0; i < count; i++) {
		uint64_t share = pages / count + (i < pages % count);

		parts[i] = (struct part){
			.region = region,
			.offset = offset,
			.size = share * region->host->page_size,
		};
		offset += parts[i].size;
	}
}

/* The calling thread takes the first part, and every part that no thread could be had for. */
static void run_parts(struct part *parts, uint32_t count)
{
	uint32_t i;

	for (i = 1; i < count; i++)
		parts[i].started = !gmem_thread_start(&parts[i].thread, prefault_part, &parts[i]);
	for (i = 0; i < count; i++) {
		if (!parts[i].started)
			prefault_part(&parts[i]);
	}
	for (i = 1; i < count; i++) {
		if (parts[i].started)
			pthread_join(parts[i].thread, NULL);
	}
}

static int report_failure(const struct part *part)
{
	const struct gmem_region *region = part->region;
	const struct backing *side = part->failed_private ? &region->guest : region->host;
	bool no_populate = part->error == -EINVAL && !part->failed_private;
	int error = part->error;

	log_error(region->vm->ctx, "region \"%s\": prefaulting its %s at offset %#llx gives %s%s",
		  region->config.name, gmem_backing_memory_name(side->memory),
		  (unsigned long long)part->failed_offset, gmem_error_name(error),
		  no_populate ? "; MADV_POPULATE_WRITE takes Linux 5.14" : "");
	if (no_populate)
		return -EOPNOTSUPP;
	/* hugetlb and tmpfs that are full */
	if (error == -ENOMEM || error == -EFAULT || error == -ENOSPC)
		return -ENOMEM;
	return -EIO;
}

static int check_arguments(const struct gmem_region *region, uint64_t offset, uint64_t size,
			   uint32_t threads)
{
	struct gmem_ctx *ctx = region->vm->ctx;

	if (!range_is_valid(offset, size) || offset + size > region->size ||
	    !range_is_aligned(offset, size, region->host->page_size)) {
		log_error(ctx,
			  "region \"%s\": prefaulting %#llx bytes from offset %#llx; both must be "
			  "multiples of %#llx, within its %#llx bytes, and not nothing",
			  region->config.name, (unsigned long long)size, (unsigned long long)offset,
			  (unsigned long long)region->host->page_size,
			  (unsigned long long)region->size);
		return -EINVAL;
	}
	if (!threads || threads > GMEM_PREFAULT_THREADS) {
		log_error(ctx, "region \"%s\": prefaulting by %u threads; it must be 1 to %u",
			  region->config.name, threads, GMEM_PREFAULT_THREADS);
		return -EINVAL;
	}
	if (region->host->memory == GMEM_MEMORY_DEVICE) {
		log_error(ctx, "region \"%s\": device memory cannot be prefaulted",
			  region->config.name);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int prefault(const struct gmem_region *region, uint64_t offset, uint64_t size,
		    uint32_t threads)
{
	struct part *parts = calloc(threads, sizeof(*parts));
	uint32_t i;
	int rc = 0;

	if (!parts) {
		log_error(region->vm->ctx, "region \"%s\": no memory for %u threads",
			  region->config.name, threads);
		return -ENOMEM;
	}
	divide(parts, threads, region, offset, size);
	run_parts(parts, threads);
	for (i = 0; i < threads && !rc; i++) {
		if (parts[i].error)
			rc = report_failure(&parts[i]);
	}
	free(parts);
	return rc;
}

int gmem_region_prefault(struct gmem_region *region, uint64_t offset, uint64_t size,
			 uint32_t threads)
{
	uint64_t pages;
	int rc = gmem_region_check(region, "gmem_region_prefault");

	if (!rc)
		rc = check_arguments(region, offset, size, threads);
	if (rc)
		return rc;
	pages = size / region->host->page_size;
	if (threads > pages)
		threads = (uint32_t)pages;
	return prefault(region, offset, size, threads);
}
