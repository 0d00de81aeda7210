// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Judges a region's configuration and chooses its backing. No system call: what the kernel has is
 * known since gmem_vm_new().
 */
#include "log.h"
#include "range.h"
#include "region.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <string.h>

#define ALL_FLAGS                                                                                  \
	(GMEM_REGION_DUMP | GMEM_REGION_FORK | GMEM_REGION_HUGE | GMEM_REGION_NO_HUGE |            \
	 GMEM_REGION_MERGEABLE | GMEM_REGION_NO_RESERVE)
#define ALL_NEEDS                                                                                  \
	(GMEM_NEED_DIRTY_LOG | GMEM_NEED_HUGE_PAGES | GMEM_NEED_USERFAULTFD | GMEM_NEED_ALIAS)
#define NEEDS_NEVER_PRIVATE (GMEM_NEED_DIRTY_LOG | GMEM_NEED_ALIAS)
#define NEEDS_OTHER_THAN_GUEST_MEMFD (GMEM_NEED_HUGE_PAGES | GMEM_NEED_USERFAULTFD)
#define FLAGS_OTHER_THAN_GUEST_MEMFD (GMEM_REGION_HUGE | GMEM_REGION_MERGEABLE)

/* One configuration being judged; messages go to the VM's log and name the region. */
struct choice {
	struct gmem_region_config *config;
	const struct gmem_vm *vm;
	uint64_t size;
	const char *reason;
};

#define refuse(choice, error, format, ...)                                                         \
	(log_error((choice)->vm->ctx, "region \"%s\": " format, (choice)->config->name,            \
		   ##__VA_ARGS__),                                                                 \
	 (error))

static bool name_is_valid(const char *name)
{
	size_t length = strlen(name), i;

	if (!length || length > GMEM_NAME_LENGTH)
		return false;
	/* What PR_SET_VMA_ANON_NAME refuses (kernel/sys.c is_valid_name_char()). */
	for (i = 0; i < length; i++) {
		if (name[i] < ' ' || name[i] > '~' || strchr("\\`$[]", name[i]))
			return false;
	}
	return true;
}

static int check_name(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (name_is_valid(config->name))
		return 0;
	/* The name itself is not for a log: it may be anything. */
	log_error(choice->vm->ctx,
		  "a region's name of %zu bytes must be 1 to %u printable ASCII bytes without "
		  "\\ ` $ [ ]",
		  strlen(config->name), GMEM_NAME_LENGTH);
	return -EINVAL;
}

static int check_size(const struct choice *choice)
{
	uint64_t page_size = choice->vm->caps.page_size;

	if (!choice->size || choice->size > INT64_MAX || choice->size & (page_size - 1))
		return refuse(choice, -EINVAL,
			      "size %#llx is not a non-zero multiple of the page size %#llx below "
			      "2^63",
			      (unsigned long long)choice->size, (unsigned long long)page_size);
	return 0;
}

static int check_bits(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (config->backing > GMEM_BACKING_PLAIN)
		return refuse(choice, -EINVAL, "backing %u is none of GMEM_BACKING_*",
			      config->backing);
	if (config->flags & ~ALL_FLAGS)
		return refuse(choice, -EINVAL, "flags %#x are none of GMEM_REGION_*",
			      config->flags & ~ALL_FLAGS);
	if (config->needs & ~ALL_NEEDS)
		return refuse(choice, -EINVAL, "needs %#x are none of GMEM_NEED_*",
			      config->needs & ~ALL_NEEDS);
	if (config->state && config->state != GMEM_SHARED && config->state != GMEM_PRIVATE)
		return refuse(choice, -EINVAL,
			      "state %#x is neither GMEM_SHARED nor GMEM_PRIVATE nor 0",
			      config->state);
	if (config->flags & GMEM_REGION_NO_HUGE &&
	    (config->flags & GMEM_REGION_HUGE || config->needs & GMEM_NEED_HUGE_PAGES))
		return refuse(choice, -EINVAL,
			      "GMEM_REGION_NO_HUGE and a wish for huge pages exclude each other");
	return 0;
}

static bool nodes_are_empty(const struct gmem_region_config *config)
{
	uint32_t i;

	for (i = 0; i < GMEM_NUMA_BITS / 64; i++) {
		if (config->nodes[i])
			return false;
	}
	return true;
}

static int check_numa(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;
	bool empty = nodes_are_empty(config);

	if (config->policy > GMEM_NUMA_INTERLEAVE)
		return refuse(choice, -EINVAL, "NUMA policy %u is none of GMEM_NUMA_*",
			      config->policy);
	if (config->node_bits > GMEM_NUMA_BITS)
		return refuse(choice, -EINVAL, "a NUMA node mask of %u bits is longer than %u",
			      config->node_bits, GMEM_NUMA_BITS);
	if (empty != (config->policy == GMEM_NUMA_DEFAULT))
		return refuse(choice, -EINVAL, "NUMA policy %u with %s node; %s", config->policy,
			      empty ? "no" : "a",
			      empty ? "it needs at least one" : "the default takes none");
	return 0;
}

static int check_huge_page_size(const struct choice *choice)
{
	uint64_t page_size = choice->config->page_size;

	if (!page_size)
		return 0;
	if (choice->config->memory != GMEM_MEMORY_HUGETLB)
		return refuse(choice, -EINVAL, "a page size of %#llx is only for huge pages",
			      (unsigned long long)page_size);
	if (!is_power_of_two(page_size) || page_size <= choice->vm->caps.page_size ||
	    choice->size & (page_size - 1))
		return refuse(choice, -EINVAL,
			      "size %#llx with huge pages of %#llx bytes; these must be a power of "
			      "two above %#llx, and divide the size",
			      (unsigned long long)choice->size, (unsigned long long)page_size,
			      (unsigned long long)choice->vm->caps.page_size);
	return 0;
}

static int check_memory(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (config->source == SOURCE_MEMORY && config->memory >= GMEM_MEMORY_DEVICE)
		return refuse(choice, -EINVAL,
			      "memory %u cannot be made here; device memory comes as a mapping",
			      config->memory);
	if (config->source == SOURCE_MAPPING &&
	    (config->memory > GMEM_MEMORY_DEVICE || config->memory == GMEM_MEMORY_GUEST_MEMFD))
		return refuse(
			choice, -EINVAL,
			"memory %u cannot be a mapping of the caller's; a guest_memfd is made "
			"here",
			config->memory);
	if (config->source == SOURCE_FD && config->fd_offset & (choice->vm->caps.page_size - 1))
		return refuse(choice, -EINVAL,
			      "offset %#llx in descriptor %d is not a multiple of the page size "
			      "%#llx",
			      (unsigned long long)config->fd_offset, config->fd,
			      (unsigned long long)choice->vm->caps.page_size);
	return check_huge_page_size(choice);
}

/* A mapping of the caller's is his to advise. */
static int check_mapping(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (config->source != SOURCE_MAPPING)
		return 0;
	if (config->flags)
		return refuse(choice, -EINVAL,
			      "flags %#x on a mapping of the caller's; madvise() it before instead",
			      config->flags);
	if (config->policy != GMEM_NUMA_DEFAULT)
		return refuse(choice, -EINVAL,
			      "NUMA policy %u on a mapping of the caller's; mbind() it before "
			      "instead",
			      config->policy);
	if (config->needs & GMEM_NEED_HUGE_PAGES && config->memory != GMEM_MEMORY_HUGETLB)
		return refuse(choice, -EOPNOTSUPP,
			      "GMEM_NEED_HUGE_PAGES on a mapping of the caller's that is not "
			      "GMEM_MEMORY_HUGETLB; madvise() it before instead");
	if (config->needs & GMEM_NEED_USERFAULTFD && config->memory == GMEM_MEMORY_DEVICE)
		return refuse(choice, -EOPNOTSUPP,
			      "GMEM_NEED_USERFAULTFD on device memory, which cannot have it");
	return 0;
}

/* What choose_backing() says to who hoped for a guest_memfd, and would not be refused one. */
static const char *reason_without_private(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (!gmem_caps_have_mmap(&choice->vm->caps) || config->source != SOURCE_UNSET ||
	    config->needs & NEEDS_OTHER_THAN_GUEST_MEMFD ||
	    config->flags & FLAGS_OTHER_THAN_GUEST_MEMFD || config->policy != GMEM_NUMA_DEFAULT)
		return "because this VM has no private memory";
	return "because this VM has no private memory; GMEM_BACKING_GUEST_MEMFD would be a "
	       "guest_memfd all the same";
}

static void choose_backing(struct choice *choice)
{
	struct gmem_region_config *config = choice->config;
	const struct gmem_vm *vm = choice->vm;

	if (config->backing != GMEM_BACKING_AUTO) {
		choice->reason = "as was asked for";
	} else if (!vm_has_private(vm)) {
		config->backing = GMEM_BACKING_PLAIN;
		choice->reason = reason_without_private(choice);
	} else if (config->memory == GMEM_MEMORY_DEVICE) {
		config->backing = GMEM_BACKING_PLAIN;
		choice->reason = "because device memory is never private";
	} else if (config->needs & NEEDS_NEVER_PRIVATE) {
		config->backing = GMEM_BACKING_PLAIN;
		choice->reason = "because private memory has no dirty log and no alias";
	} else if (vm->tracking == GMEM_TRACKING_VM) {
		config->backing = GMEM_BACKING_SPLIT;
		choice->reason = "because this VM tracks private memory per VM, where a "
				 "guest_memfd cannot hold shared pages";
	} else if (!gmem_caps_have_mmap(&vm->caps)) {
		config->backing = GMEM_BACKING_SPLIT;
		choice->reason = "because a guest_memfd of this kernel cannot be mapped";
	} else if (config->source != SOURCE_UNSET) {
		config->backing = GMEM_BACKING_SPLIT;
		choice->reason = "because the shared side was chosen";
	} else if (config->needs & NEEDS_OTHER_THAN_GUEST_MEMFD ||
		   config->flags & FLAGS_OTHER_THAN_GUEST_MEMFD) {
		config->backing = GMEM_BACKING_SPLIT;
		choice->reason = "because a guest_memfd has no huge pages, KSM or userfaultfd";
	} else {
		config->backing = GMEM_BACKING_GUEST_MEMFD;
		choice->reason = "because this VM converts in place";
	}
}

static int check_guest_memfd_mmap(const struct choice *choice)
{
	const struct caps *caps = &choice->vm->caps;

	if (gmem_caps_have_mmap(caps))
		return 0;
	if (!caps->guest_memfd)
		return refuse(choice, -EOPNOTSUPP,
			      "this kernel has no guest_memfd for this VM; use GMEM_BACKING_PLAIN");
	if (caps->tracking == GMEM_TRACKING_VM)
		return refuse(choice, -EOPNOTSUPP,
			      "private memory is tracked per VM, where a guest_memfd cannot hold "
			      "shared pages; use GMEM_BACKING_%s",
			      vm_has_private(choice->vm) ? "SPLIT" : "PLAIN");
	return refuse(choice, -EOPNOTSUPP,
		      "a guest_memfd of this kernel cannot be mapped (creation flags %#llx, MMAP "
		      "and INIT_SHARED are needed: Linux 6.18); use GMEM_BACKING_%s",
		      (unsigned long long)caps->guest_memfd_flags,
		      vm_has_private(choice->vm) ? "SPLIT" : "PLAIN");
}

/* Starting shared where the kernel tracks per guest_memfd takes a creation flag of its own. */
static int check_init_shared(const struct choice *choice)
{
	const struct caps *caps = &choice->vm->caps;

	if (caps->tracking != GMEM_TRACKING_FILE || choice->config->backing == GMEM_BACKING_PLAIN ||
	    choice->config->state != GMEM_SHARED ||
	    caps->guest_memfd_flags & GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED)
		return 0;
	return refuse(choice, -EOPNOTSUPP,
		      "a guest_memfd of this kernel cannot start shared (creation flags %#llx "
		      "without INIT_SHARED); use GMEM_PRIVATE, or GMEM_BACKING_PLAIN",
		      (unsigned long long)caps->guest_memfd_flags);
}

static int check_single(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (config->source != SOURCE_UNSET)
		return refuse(
			choice, -EINVAL,
			"one guest_memfd holds private and shared pages, and no other memory; "
			"use GMEM_BACKING_SPLIT");
	if (config->needs & NEEDS_OTHER_THAN_GUEST_MEMFD)
		return refuse(choice, -EOPNOTSUPP,
			      "needs %#x: a guest_memfd has no huge pages or userfaultfd; use "
			      "GMEM_BACKING_%s",
			      config->needs & NEEDS_OTHER_THAN_GUEST_MEMFD,
			      vm_has_private(choice->vm) ? "SPLIT" : "PLAIN");
	if (config->flags & FLAGS_OTHER_THAN_GUEST_MEMFD)
		return refuse(choice, -EOPNOTSUPP,
			      "flags %#x: a guest_memfd has no huge pages or KSM; use "
			      "GMEM_BACKING_%s",
			      config->flags & FLAGS_OTHER_THAN_GUEST_MEMFD,
			      vm_has_private(choice->vm) ? "SPLIT" : "PLAIN");
	return check_guest_memfd_mmap(choice);
}

static int check_split(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;
	bool second = config->source == SOURCE_MEMORY && config->memory == GMEM_MEMORY_GUEST_MEMFD;

	if (!vm_has_private(choice->vm))
		return refuse(
			choice, -EOPNOTSUPP,
			"this VM has no private memory to split off; use GMEM_BACKING_PLAIN or "
			"GMEM_BACKING_GUEST_MEMFD");
	if (second && config->needs & NEEDS_OTHER_THAN_GUEST_MEMFD)
		return refuse(choice, -EOPNOTSUPP,
			      "needs %#x: a guest_memfd has no huge pages or userfaultfd; use "
			      "GMEM_MEMORY_SHMEM or GMEM_MEMORY_HUGETLB for the shared side",
			      config->needs & NEEDS_OTHER_THAN_GUEST_MEMFD);
	if (second && config->flags & FLAGS_OTHER_THAN_GUEST_MEMFD)
		return refuse(choice, -EOPNOTSUPP,
			      "flags %#x: a guest_memfd has no huge pages or KSM; use "
			      "GMEM_MEMORY_SHMEM or GMEM_MEMORY_HUGETLB for the shared side",
			      config->flags & FLAGS_OTHER_THAN_GUEST_MEMFD);
	if (second &&
	    (choice->vm->tracking == GMEM_TRACKING_VM || !gmem_caps_have_mmap(&choice->vm->caps) ||
	     !(choice->vm->caps.guest_memfd_flags & GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED)))
		return refuse(choice, -EOPNOTSUPP,
			      "a shared guest_memfd beside the private one takes tracking per "
			      "guest_memfd and creation flags MMAP and INIT_SHARED; use "
			      "GMEM_MEMORY_SHMEM");
	if (config->memory == GMEM_MEMORY_DEVICE)
		return refuse(choice, -EINVAL,
			      "device memory cannot be the shared side; use GMEM_BACKING_PLAIN");
	return 0;
}

static int check_plain(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (config->state == GMEM_PRIVATE && config->needs & NEEDS_NEVER_PRIVATE)
		return refuse(
			choice, -EINVAL,
			"needs %#x and GMEM_PRIVATE exclude each other: private memory has no "
			"dirty log and no alias",
			config->needs & NEEDS_NEVER_PRIVATE);
	if (config->state == GMEM_PRIVATE)
		return refuse(choice, -EINVAL,
			      "plain memory is never private; use GMEM_BACKING_SPLIT or "
			      "GMEM_BACKING_GUEST_MEMFD on a VM with private memory");
	if (config->memory == GMEM_MEMORY_GUEST_MEMFD)
		return refuse(choice, -EINVAL,
			      "plain memory has no guest_memfd; use GMEM_BACKING_GUEST_MEMFD");
	return 0;
}

static int check_private(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (config->state == GMEM_PRIVATE && !vm_has_private(choice->vm))
		return refuse(choice, -EOPNOTSUPP,
			      "this VM has no private memory to start with; use GMEM_SHARED");
	if (config->needs & NEEDS_NEVER_PRIVATE && vm_has_private(choice->vm) &&
	    config->backing != GMEM_BACKING_PLAIN)
		return refuse(
			choice, -EOPNOTSUPP,
			"needs %#x: memory that can be private has no dirty log and no alias; "
			"use GMEM_BACKING_PLAIN",
			config->needs & NEEDS_NEVER_PRIVATE);
	return 0;
}

static int check_backing(const struct choice *choice)
{
	int rc = check_private(choice);

	if (rc)
		return rc;
	switch (choice->config->backing) {
	case GMEM_BACKING_GUEST_MEMFD:
		return check_single(choice);
	case GMEM_BACKING_SPLIT:
		return check_split(choice);
	default:
		return check_plain(choice);
	}
}

/* Anonymous memory is the only kind that KSM looks at. */
static int check_mergeable(const struct choice *choice)
{
	const struct gmem_region_config *config = choice->config;

	if (config->flags & GMEM_REGION_MERGEABLE && config->memory != GMEM_MEMORY_ANON)
		return refuse(choice, -EINVAL,
			      "GMEM_REGION_MERGEABLE on a %s; only GMEM_MEMORY_ANON can be merged",
			      gmem_backing_memory_name(config->memory));
	return 0;
}

/* Transparent huge pages are sure on anonymous memory; on a memfd few hosts have them. */
static int resolve_huge_pages(const struct choice *choice)
{
	struct gmem_region_config *config = choice->config;

	if (!(config->needs & GMEM_NEED_HUGE_PAGES) || config->source == SOURCE_FD ||
	    config->source == SOURCE_MAPPING)
		return 0;
	if (config->source == SOURCE_UNSET) {
		config->source = SOURCE_MEMORY;
		config->memory = GMEM_MEMORY_ANON;
	}
	if (config->memory == GMEM_MEMORY_SHMEM)
		return refuse(choice, -EOPNOTSUPP,
			      "GMEM_NEED_HUGE_PAGES on a memfd, which has them on few hosts "
			      "(/sys/kernel/mm/transparent_hugepage/shmem_enabled); use "
			      "GMEM_MEMORY_ANON or GMEM_MEMORY_HUGETLB");
	return 0;
}

static void resolve_state(struct choice *choice)
{
	struct gmem_region_config *config = choice->config;

	if (!config->state)
		config->state = config->backing != GMEM_BACKING_PLAIN && vm_has_private(choice->vm)
					? GMEM_PRIVATE
					: GMEM_SHARED;
}

int gmem_region_config_resolve(struct gmem_region_config *config, struct gmem_vm *vm, uint64_t size,
			       const char **reason)
{
	static int (*const checks[])(const struct choice *) = {
		check_name,   check_size,    check_bits,      check_numa,
		check_memory, check_mapping, check_mergeable,
	};
	struct choice choice = { config, vm, size, NULL };
	size_t i;
	int rc;

	for (i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		rc = checks[i](&choice);
		if (rc)
			return rc;
	}
	choose_backing(&choice);
	rc = check_backing(&choice);
	if (rc)
		return rc;
	resolve_state(&choice);
	rc = resolve_huge_pages(&choice);
	if (!rc)
		rc = check_init_shared(&choice);
	*reason = choice.reason;
	return rc;
}
