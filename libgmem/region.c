// SPDX-License-Identifier: LGPL-2.1-or-later
/* A region: its memory objects are made, placed, counted, described and given back. */
#include "region.h"

#include "log.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct gmem_region *gmem_region_get(struct gmem_region *region)
{
	if (region)
		atomic_fetch_add_explicit(&region->references, 1, memory_order_relaxed);
	return region;
}

static void region_destroy(struct gmem_region *region)
{
	struct gmem_vm *vm = region->vm;
	bool forked = vm_is_forked(vm);

	gmem_backing_release(&region->shared, &vm->kernel, forked);
	gmem_backing_release(&region->guest, &vm->kernel, forked);
	gmem_shadow_put(vm, region_shadow(region));
	free(region);
	gmem_vm_put(vm);
}

void gmem_region_put(struct gmem_region *region)
{
	if (!region || atomic_fetch_sub_explicit(&region->references, 1, memory_order_acq_rel) != 1)
		return;
	region_destroy(region);
}

void gmem_region_free(struct gmem_region *region)
{
	gmem_region_put(region);
}

static struct maker region_maker(const struct gmem_region *region)
{
	return (struct maker){
		.ctx = region->vm->ctx,
		.kernel = &region->vm->kernel,
		.name = region->config.name,
		.page_size = region->vm->caps.page_size,
	};
}

/* Flags of the region's own guest_memfd; kernel facts F3, F6 and F7 say why. */
static uint64_t creation_flags(const struct gmem_region *region)
{
	uint64_t flags = 0;

	if (region->config.backing == GMEM_BACKING_GUEST_MEMFD)
		flags |= GMEM_KVM_GUEST_MEMFD_FLAG_MMAP;
	/* Per-VM tracking refuses INIT_SHARED where memory can be private; there addresses count. */
	if (region->config.state == GMEM_SHARED && region->vm->tracking != GMEM_TRACKING_VM)
		flags |= GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED;
	return flags;
}

static int make_guest(struct gmem_region *region, const struct maker *maker)
{
	if (region->config.backing == GMEM_BACKING_PLAIN)
		return 0;
	return gmem_backing_create_guest_memfd(&region->guest, maker, region->vm->fd, region->size,
					       creation_flags(region));
}

static int make_shared_memory(struct gmem_region *region, const struct maker *maker)
{
	const uint64_t flags = GMEM_KVM_GUEST_MEMFD_FLAG_MMAP |
			       GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED;

	switch (region->config.memory) {
	case GMEM_MEMORY_ANON:
		return gmem_backing_create_anon(&region->shared, maker, region->size);
	case GMEM_MEMORY_HUGETLB:
		return gmem_backing_create_hugetlb(&region->shared, maker, region->size,
						   region->config.page_size);
	case GMEM_MEMORY_GUEST_MEMFD:
		return gmem_backing_create_guest_memfd(&region->shared, maker, region->vm->fd,
						       region->size, flags);
	default:
		return gmem_backing_create_shmem(&region->shared, maker, region->size);
	}
}

static int make_shared(struct gmem_region *region, const struct maker *maker)
{
	const struct gmem_region_config *config = &region->config;

	if (config->backing == GMEM_BACKING_GUEST_MEMFD)
		return 0;
	switch (config->source) {
	case SOURCE_FD:
		return gmem_backing_adopt_fd(&region->shared, maker, region->size, config->fd,
					     config->fd_offset);
	case SOURCE_MAPPING:
		return gmem_backing_adopt_mapping(&region->shared, maker, region->size,
						  config->mapping, config->memory,
						  config->page_size);
	default:
		return make_shared_memory(region, maker);
	}
}

/* What can be judged only now that it is known what kind of file the caller's is. */
static int check_host_side(const struct gmem_region *region)
{
	const struct gmem_region_config *config = &region->config;
	const struct backing *host = region->host;

	if (host->memory == GMEM_MEMORY_HUGETLB &&
	    config->flags & (GMEM_REGION_HUGE | GMEM_REGION_NO_HUGE)) {
		log_error(region->vm->ctx,
			  "region \"%s\": flags %#x advise on transparent huge pages, but it has "
			  "huge pages of its own",
			  config->name, config->flags);
		return -EINVAL;
	}
	if (config->needs & GMEM_NEED_HUGE_PAGES && host->memory == GMEM_MEMORY_SHMEM) {
		log_error(region->vm->ctx,
			  "region \"%s\": GMEM_NEED_HUGE_PAGES, but descriptor %d has none of its "
			  "own; use a file on hugetlbfs, or GMEM_MEMORY_ANON",
			  config->name, config->fd);
		return -EOPNOTSUPP;
	}
	if (config->needs & GMEM_NEED_USERFAULTFD && !host->has_userfaultfd) {
		log_error(region->vm->ctx,
			  "region \"%s\": descriptor %d is on a file system without userfaultfd; "
			  "tmpfs, hugetlbfs and memfds have it",
			  config->name, config->fd);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int map_host_side(struct gmem_region *region, const struct maker *maker)
{
	const struct gmem_region_config *config = &region->config;
	struct placement placement = {
		.flags = config->flags,
		.policy = config->policy,
		.bits = config->node_bits,
		.nodes = config->nodes,
	};

	if (config->needs & GMEM_NEED_HUGE_PAGES && region->host->memory == GMEM_MEMORY_ANON)
		placement.flags |= GMEM_REGION_HUGE;
	if (config->policy != GMEM_NUMA_DEFAULT && config->backing == GMEM_BACKING_SPLIT)
		log_warning(region->vm->ctx,
			    "region \"%s\": NUMA policy %u holds for shared pages; private ones "
			    "follow the policy of the thread that first touches or prefaults them",
			    config->name, config->policy);
	return gmem_backing_map(region->host, maker, &placement);
}

static int no_shadow(const struct gmem_region *region)
{
	log_error(region->vm->ctx, "region \"%s\": no memory to track the state of %llu pages",
		  region->config.name,
		  (unsigned long long)(region->size / region->vm->caps.page_size));
	return -ENOMEM;
}

static int make_shadow(struct gmem_region *region)
{
	uint64_t pages = region->size / region->vm->caps.page_size;
	struct shadow *shadow;

	if (region->config.backing == GMEM_BACKING_PLAIN || !vm_has_private(region->vm))
		return 0;
	shadow = gmem_shadow_get(region->vm, pages, region->config.state == GMEM_PRIVATE);
	if (!shadow)
		return no_shadow(region);
	region->can_be_private = true;
	atomic_store_explicit(&region->shadow, shadow, memory_order_release);
	if (region->config.backing == GMEM_BACKING_SPLIT && region->vm->config.discard_limit &&
	    gmem_shadow_need_pending(region->vm, shadow))
		return no_shadow(region);
	return 0;
}

int gmem_region_need_absent(struct gmem_region *region)
{
	uint64_t pages = region->size / region->vm->caps.page_size;
	struct shadow *shadow = region_shadow(region), *made;

	if (!shadow) {
		made = gmem_shadow_get(region->vm, pages, false);
		if (!made)
			return no_shadow(region);
		/* Somebody may be discarding another part of it at this moment. */
		if (atomic_compare_exchange_strong(&region->shadow, &shadow, made))
			shadow = made;
		else
			gmem_shadow_put(region->vm, made);
	}
	if (gmem_shadow_need_absent(region->vm, shadow))
		return no_shadow(region);
	return 0;
}

/* Each step leaves what it made to region_destroy(). */
static int region_setup(struct gmem_region *region)
{
	struct maker maker = region_maker(region);
	int rc = make_guest(region, &maker);

	if (!rc)
		rc = make_shared(region, &maker);
	if (!rc)
		rc = check_host_side(region);
	if (!rc)
		rc = map_host_side(region, &maker);
	return rc ? rc : make_shadow(region);
}

static struct gmem_region *region_create(struct gmem_vm *vm, uint64_t size,
					 const struct gmem_region_config *config,
					 const char *reason)
{
	struct gmem_region *region = calloc(1, sizeof(*region));

	if (!region)
		return NULL;
	atomic_init(&region->references, 1);
	atomic_init(&region->shown_twice, false);
	region->vm = gmem_vm_get(vm);
	region->config = *config;
	region->size = size;
	region->reason = reason;
	gmem_backing_init(&region->guest);
	gmem_backing_init(&region->shared);
	if (config->backing == GMEM_BACKING_SPLIT)
		atomic_store_explicit(&vm->has_split, true, memory_order_relaxed);
	region->host = config->backing == GMEM_BACKING_GUEST_MEMFD ? &region->guest
								   : &region->shared;
	return region;
}

int gmem_region_new(struct gmem_vm *vm, uint64_t size, const struct gmem_region_config *config,
		    struct gmem_region **region)
{
	struct gmem_region_config resolved;
	struct gmem_region *made;
	const char *reason;
	int rc;

	if (region)
		*region = NULL;
	rc = gmem_vm_check(vm, "gmem_region_new");
	if (rc)
		return rc;
	if (!region) {
		log_error(vm->ctx, "gmem_region_new: region is NULL, it must be an address");
		return -EINVAL;
	}
	if (config)
		resolved = *config;
	else
		gmem_region_config_init(&resolved);
	rc = gmem_region_config_resolve(&resolved, vm, size, &reason);
	if (rc)
		return rc;
	made = region_create(vm, size, &resolved, reason);
	if (!made) {
		log_error(vm->ctx, "region \"%s\": no memory for its %zu bytes", resolved.name,
			  sizeof(*made));
		return -ENOMEM;
	}
	rc = region_setup(made);
	if (rc)
		gmem_region_put(made);
	else
		*region = made;
	return rc;
}

int gmem_region_check(const struct gmem_region *region, const char *function)
{
	if (!region) {
		log_error(NULL, "%s: region is NULL, it must be a region", function);
		return -EINVAL;
	}
	return gmem_vm_check(region->vm, function);
}

int gmem_region_get_info(const struct gmem_region *region, struct gmem_region_info *info)
{
	int rc = gmem_region_check(region, "gmem_region_get_info");

	if (rc)
		return rc;
	if (!info) {
		log_error(region->vm->ctx,
			  "gmem_region_get_info: info is NULL, it must be an address");
		return -EINVAL;
	}
	*info = (struct gmem_region_info){
		.size = region->size,
		.page_size = region->host->page_size,
		.tag = region->config.tag,
		.host = (void *)(uintptr_t)region->host->host,
		.fd_offset = region->host->fd_offset,
		.guest_memfd = region->guest.fd,
		.fd = region->host->fd,
		.backing = region->config.backing,
		.memory = region->host->memory,
		.can_be_private = region_can_be_private(region),
	};
	if (region_can_be_private(region))
		info->private_bytes = gmem_state_count_private(&region_shadow(region)->state) *
				      region->vm->caps.page_size;
	return 0;
}

int gmem_region_describe(const struct gmem_region *region, char *buf, size_t size)
{
	int rc = gmem_region_check(region, "gmem_region_describe");
	const char *memory;

	if (rc)
		return rc;
	if (!buf && size) {
		log_error(region->vm->ctx, "gmem_region_describe: buf is NULL with size %zu", size);
		return -EINVAL;
	}
	memory = gmem_backing_name(region->host);
	switch (region->config.backing) {
	case GMEM_BACKING_GUEST_MEMFD:
		return snprintf(buf, size, "one guest_memfd, %s, %s",
				region->can_be_private ? "private and shared in place"
						       : "always shared",
				region->reason);
	case GMEM_BACKING_SPLIT:
		return snprintf(buf, size,
				"split: guest_memfd for private pages, %s for shared, %s", memory,
				region->reason);
	default:
		return snprintf(buf, size, "plain: %s, %s", memory, region->reason);
	}
}
