// SPDX-License-Identifier: LGPL-2.1-or-later
/* madvise(), mbind() and get_mempolicy() on mappings of guest_memfd files: facts F9 and F10. */
#include "host.h"
#include "sim.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>

/* asm-generic/mman-common.h; newer than some C libraries. */
#define SIM_MADV_COLD 20
#define SIM_MADV_PAGEOUT 21
#define SIM_MADV_DONTNEED_LOCKED 24
#define SIM_MADV_COLLAPSE 25
#define SIM_MADV_SOFT_OFFLINE 101

#define BITS_PER_WORD 64u

static bool is_all_mapped(struct gmem_sim *sim, uint64_t start, uint64_t end)
{
	while (start < end) {
		const struct sim_mapping *mapping = gmem_sim_mappings_first(sim, start, end);

		if (!mapping || mapping->start > start)
			return false;
		start = mapping->end;
	}
	return true;
}

/* Punches the file, whoever has the pages. */
static int remove_pages(struct gmem_sim *sim, uint64_t start, uint64_t end)
{
	const struct sim_mapping *mapping;
	int err = 0;

	if (!is_all_mapped(sim, start, end))
		return -ENOMEM;
	while (err == 0 && (mapping = gmem_sim_mappings_first(sim, start, end))) {
		uint64_t first = mapping->start > start ? mapping->start : start;
		uint64_t last = mapping->end < end ? mapping->end : end;
		uint64_t offset = mapping->offset + (first - mapping->start);
		uint64_t length = last - first;

		if (!(mapping->protection & PROT_WRITE))
			return -EACCES;
		start = last;
		if (offset >= mapping->file->size)
			continue;
		if (length > mapping->file->size - offset)
			length = mapping->file->size - offset;
		err = gmem_sim_file_punch(mapping->file, offset, offset + length);
	}
	return err;
}

/* Remembered, because a page that is mapped anew must get it again. */
static int mark(struct gmem_sim *sim, uint64_t start, uint64_t end, int advice)
{
	int err = gmem_sim_mappings_cut(sim, start, end);
	struct sim_mapping *mapping;

	if (err == 0)
		err = gmem_sim_host_madvise(start, end - start, advice);
	if (err < 0)
		return err;
	for (; (mapping = gmem_sim_mappings_first(sim, start, end)); start = mapping->end) {
		if (advice == MADV_DONTFORK || advice == MADV_DOFORK)
			mapping->dont_fork = advice == MADV_DONTFORK;
		else
			mapping->dont_dump = advice == MADV_DONTDUMP;
	}
	return 0;
}

/*
 * Page-table entries alone, which nobody misses: only where there may be none of a window's shared
 * pages (see guard.c) they stay, and other memory has to go.
 */
static int drop(struct gmem_sim *sim, uint64_t start, uint64_t end, int advice)
{
	int err = 0;

	while (start < end) {
		const struct sim_mapping *mapping = gmem_sim_mappings_first(sim, start, end);
		bool is_ours = mapping && mapping->start <= start;
		uint64_t last = end;
		int result = 0;

		if (mapping)
			last = is_ours ? mapping->end : mapping->start;
		if (last > end)
			last = end;
		if (!is_ours || mapping->file->guarded.count == 0)
			result = gmem_sim_host_madvise(start, last - start, advice);
		/* A hole, which the kernel tells of in the end. */
		if (result < 0 && result != -ENOMEM)
			return result;
		if (result < 0)
			err = result;
		start = last;
	}
	return err;
}

#define ASK_HOST 1

/* A result, or ASK_HOST. */
static int advise(struct gmem_sim *sim, uint64_t start, uint64_t end, int advice)
{
	switch (advice) {
	case MADV_FREE:
	case MADV_MERGEABLE:
	case MADV_WIPEONFORK:
	case SIM_MADV_COLLAPSE:
		return -EINVAL;
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_UNMERGEABLE:
	case SIM_MADV_COLD:
	case SIM_MADV_PAGEOUT:
		return is_all_mapped(sim, start, end) ? 0 : -ENOMEM;
	case MADV_DONTNEED:
	case SIM_MADV_DONTNEED_LOCKED:
		return drop(sim, start, end, advice);
	case MADV_HWPOISON:
	case SIM_MADV_SOFT_OFFLINE:
		return -EPERM; /* the host's memory is not to suffer: gmem_sim_poison() */
	case MADV_REMOVE:
		return remove_pages(sim, start, end);
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return mark(sim, start, end, advice);
	default:
		return ASK_HOST;
	}
}

int64_t gmem_sim_madvise(struct gmem_sim *sim, const uint64_t *arg)
{
	uint64_t length = sim_page_floor(sim, arg[1] + sim->config.page_size - 1);
	uint64_t end;
	int result = ASK_HOST;

	if (!sim_is_aligned(sim, arg[0]) || length < arg[1] ||
	    __builtin_add_overflow(arg[0], length, &end))
		return -EINVAL;
	pthread_mutex_lock(&sim->mutex);
	if (gmem_sim_mappings_first(sim, arg[0], end))
		result = advise(sim, arg[0], end, (int)arg[2]);
	pthread_mutex_unlock(&sim->mutex);
	/* Memory may have to be made for it, which takes its time. */
	if (result == ASK_HOST)
		result = gmem_sim_host_madvise(arg[0], length, (int)arg[2]);
	return result;
}

static int64_t call(uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
		    uint64_t f)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { a, b, c, d, e, f };

	return gmem_sim_host_call(nr, arg);
}

/* A page of nobody's, to have the host judge a policy and to ask it back. */
static int64_t new_page(const struct gmem_sim *sim)
{
	return gmem_sim_host_mmap(0, sim->host_page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);
}

static int keep_policy(struct gmem_sim *sim, uint64_t start, uint64_t end, const uint64_t *arg)
{
	unsigned long nodes[sizeof(((struct sim_mapping *)NULL)->policy_nodes) /
			    sizeof(unsigned long)] = { 0 };
	uint64_t bits = arg[4] > 0 ? arg[4] - 1 : 0;
	size_t words = (size_t)((bits + BITS_PER_WORD - 1) / BITS_PER_WORD);
	struct sim_mapping *mapping;
	int err;

	if (words > sizeof(nodes) / sizeof(nodes[0]))
		words = sizeof(nodes) / sizeof(nodes[0]);
	if (arg[3] && gmem_sim_copy_in(sim, nodes, arg[3], words * sizeof(nodes[0])) < 0)
		return -EFAULT;
	err = gmem_sim_mappings_cut(sim, start, end);
	if (err < 0)
		return err;
	for (; (mapping = gmem_sim_mappings_first(sim, start, end)); start = mapping->end) {
		mapping->has_policy = (int)arg[2] != MPOL_DEFAULT;
		mapping->policy_mode = (int)arg[2];
		memcpy(mapping->policy_nodes, nodes, sizeof(nodes));
	}
	return 0;
}

/* F10, 6.18: accepted as any, kept by the mapping, without effect on the file. */
static int64_t bind_in_vain(struct gmem_sim *sim, const uint64_t *arg, uint64_t end)
{
	int64_t page = new_page(sim);
	int64_t result;

	if (page < 0)
		return -ENOMEM;
	result = call(GMEM_SYS_MBIND, (uint64_t)page, sim->host_page_size, arg[2], arg[3], arg[4],
		      arg[5]);
	gmem_sim_host_munmap((uint64_t)page, sim->host_page_size);
	if (result < 0)
		return result;
	return is_all_mapped(sim, arg[0], end) ? keep_policy(sim, arg[0], end, arg) : -EFAULT;
}

/* A private page's own file, where another is mapped over it. */
static int64_t map_unseen(const struct sim_file *file, const struct sim_span *piece)
{
	return gmem_sim_host_mmap(0, piece->end - piece->start, PROT_READ, MAP_SHARED,
				  file->object.own_fd, piece->start);
}

static int64_t bind_host(const uint64_t *arg, uint64_t start, uint64_t end)
{
	return call(GMEM_SYS_MBIND, start, end - start, arg[2], arg[3], arg[4], arg[5]);
}

static int64_t bind_unseen(const struct sim_file *file, const struct sim_span *piece,
			   const uint64_t *arg)
{
	int64_t address = map_unseen(file, piece);
	uint64_t length = piece->end - piece->start;
	int64_t result;

	if (address < 0)
		return -ENOMEM;
	result = bind_host(arg, (uint64_t)address, (uint64_t)address + length);
	gmem_sim_host_munmap((uint64_t)address, length);
	return result;
}

/* As much from *start on as one call can bind; *start is what comes next. */
static int64_t bind_run(struct gmem_sim *sim, const uint64_t *arg, uint64_t *start, uint64_t end)
{
	const struct sim_mapping *mapping = gmem_sim_mappings_first(sim, *start, end);
	struct sim_span piece = { 0 };
	uint64_t at = *start;
	uint64_t offset;

	if (mapping && mapping->start > at) {
		end = mapping->start;
		mapping = NULL;
	}
	if (mapping && mapping->end < end)
		end = mapping->end;
	*start = end;
	if (!mapping)
		return bind_host(arg, at, end);
	offset = mapping->offset + (at - mapping->start);
	if (!gmem_sim_spans_next(&mapping->file->private_pages, offset, offset + (end - at),
				 &piece))
		return bind_host(arg, at, end);
	*start = at + ((piece.start > offset ? piece.start : piece.end) - offset);
	return piece.start > offset ? bind_host(arg, at, *start)
				    : bind_unseen(mapping->file, &piece, arg);
}

static int64_t bind_covered(struct gmem_sim *sim, const uint64_t *arg, uint64_t end)
{
	uint64_t start = arg[0];
	int64_t result = 0;

	while (result == 0 && start < end)
		result = bind_run(sim, arg, &start, end);
	return result;
}

int64_t gmem_sim_mbind(struct gmem_sim *sim, const uint64_t *arg)
{
	uint64_t length = sim_page_floor(sim, arg[1] + sim->config.page_size - 1);
	int64_t result = 0;
	bool is_done = false;
	uint64_t end;

	if (sim->config.numa == GMEM_SIM_NUMA_ABSENT)
		return -ENOSYS;
	if (!sim_is_aligned(sim, arg[0]) || length < arg[1] ||
	    __builtin_add_overflow(arg[0], length, &end))
		return -EINVAL;
	pthread_mutex_lock(&sim->mutex);
	if (gmem_sim_mappings_first(sim, arg[0], end)) {
		is_done = sim->config.numa == GMEM_SIM_NUMA_IGNORED || sim->uffd < 0;
		if (sim->config.numa == GMEM_SIM_NUMA_IGNORED)
			result = bind_in_vain(sim, arg, end);
		else if (is_done)
			result = bind_covered(sim, arg, end);
	}
	pthread_mutex_unlock(&sim->mutex);
	if (!is_done)
		result = call(GMEM_SYS_MBIND, arg[0], length, arg[2], arg[3], arg[4], arg[5]);
	return result;
}

/* The policy that only this mapping has. */
static int64_t get_vain_policy(struct gmem_sim *sim, const struct sim_mapping *mapping,
			       const uint64_t *arg)
{
	int64_t page = new_page(sim);
	int64_t result = 0;

	if (page < 0)
		return -ENOMEM;
	if (mapping->has_policy)
		result = call(GMEM_SYS_MBIND, (uint64_t)page, sim->host_page_size,
			      sim_argument(mapping->policy_mode),
			      sim_address(mapping->policy_nodes),
			      sizeof(mapping->policy_nodes) * 8 + 1, 0);
	if (result == 0)
		result = call(GMEM_SYS_GET_MEMPOLICY, arg[0], arg[1], arg[2], (uint64_t)page,
			      arg[4], 0);
	gmem_sim_host_munmap((uint64_t)page, sim->host_page_size);
	return result;
}

static int64_t get_file_policy(struct gmem_sim *sim, const struct sim_mapping *mapping,
			       const uint64_t *arg)
{
	uint64_t offset = sim_page_floor(sim, mapping->offset + (arg[3] - mapping->start));
	struct sim_span piece = { offset, offset + sim->config.page_size };
	bool is_unseen = sim->uffd < 0 && gmem_sim_spans_has(&mapping->file->private_pages, offset);
	int64_t address = is_unseen ? map_unseen(mapping->file, &piece) : (int64_t)arg[3];
	int64_t result;

	if (address < 0)
		return -ENOMEM;
	result = call(GMEM_SYS_GET_MEMPOLICY, arg[0], arg[1], arg[2], (uint64_t)address, arg[4], 0);
	if (is_unseen)
		gmem_sim_host_munmap((uint64_t)address, sim->config.page_size);
	return result;
}

int64_t gmem_sim_get_mempolicy(struct gmem_sim *sim, const uint64_t *arg)
{
	const struct sim_mapping *mapping = NULL;
	int64_t result = 0;

	if (sim->config.numa == GMEM_SIM_NUMA_ABSENT)
		return -ENOSYS;
	pthread_mutex_lock(&sim->mutex);
	if (arg[4] == MPOL_F_ADDR && arg[3] + 1 > 0)
		mapping = gmem_sim_mappings_first(sim, arg[3], arg[3] + 1);
	if (mapping && sim->config.numa == GMEM_SIM_NUMA_IGNORED)
		result = get_vain_policy(sim, mapping, arg);
	else if (mapping)
		result = get_file_policy(sim, mapping, arg);
	pthread_mutex_unlock(&sim->mutex);
	return mapping ? result : gmem_sim_host_call(GMEM_SYS_GET_MEMPOLICY, arg);
}
