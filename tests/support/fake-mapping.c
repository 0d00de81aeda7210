// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The stand-in for KVM: mappings. They are the host's, with three things added: alignment to a
 * page size above the host's, SIGBUS on pages that are private in place (F5), NUMA policies (F10).
 */
#include "fake-internal.h"
#include "support.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>

/* The C library's headers may be older. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* maxnode is in bits, and the mask of a test is small. */
#define MASK_BITS_MAX 4096u

static const struct file_id no_file;

static int64_t pass(struct fake_kvm *fake, uint32_t nr, const uint64_t *arg)
{
	return fake->host.call(nr, arg, fake->host.opaque);
}

static int64_t host_mmap(struct fake_kvm *fake, uint64_t address, uint64_t length, int protection,
			 int flags, int fd, uint64_t offset)
{
	return fake_host(fake, GMEM_SYS_MMAP, address, length, (uint64_t)(int64_t)protection,
			 (uint64_t)(int64_t)flags, (uint64_t)(int64_t)fd, offset);
}

static void host_munmap(struct fake_kvm *fake, uint64_t address, uint64_t length)
{
	if (length)
		fake_host(fake, GMEM_SYS_MUNMAP, address, length, 0, 0, 0, 0);
}

static bool round_up(uint64_t value, uint64_t page_size, uint64_t *out)
{
	if (__builtin_add_overflow(value, page_size - 1, out))
		return false;
	*out -= *out % page_size;
	return true;
}

static struct fake_mapping *append(struct fake_kvm *fake, const struct fake_mapping *mapping)
{
	fake->mappings = support_grow(fake->mappings, fake->mapping_count, &fake->mapping_room,
				      sizeof(fake->mappings[0]));
	fake->mappings[fake->mapping_count] = *mapping;
	return &fake->mappings[fake->mapping_count++];
}

/* Splits the mapping that spans address, so that none does. */
static void split_at(struct fake_kvm *fake, uint64_t address)
{
	size_t i;

	for (i = 0; i < fake->mapping_count; i++) {
		struct fake_mapping upper = fake->mappings[i];

		if (upper.start >= address || upper.end <= address)
			continue;
		fake->mappings[i].end = address;
		upper.offset += address - upper.start;
		upper.start = address;
		append(fake, &upper);
		return;
	}
}

static void forget(struct fake_kvm *fake, uint64_t start, uint64_t end)
{
	size_t i = 0;

	split_at(fake, start);
	split_at(fake, end);
	while (i < fake->mapping_count) {
		if (fake->mappings[i].start >= start && fake->mappings[i].end <= end)
			fake->mappings[i] = fake->mappings[--fake->mapping_count];
		else
			i++;
	}
}

static struct fake_mapping *find(struct fake_kvm *fake, uint64_t address)
{
	size_t i;

	for (i = 0; i < fake->mapping_count; i++)
		if (address >= fake->mappings[i].start && address < fake->mappings[i].end)
			return &fake->mappings[i];
	return NULL;
}

/* F4, in the kernel's order */
static int check_file(const struct fake_file *file, int protection, int flags)
{
	if (flags & MAP_HUGETLB)
		return -EINVAL;
	if (protection & PROT_EXEC)
		return -EPERM;
	if (!(file->flags & GMEM_KVM_GUEST_MEMFD_FLAG_MMAP))
		return -ENODEV;
	return (flags & MAP_TYPE) == MAP_PRIVATE ? -EINVAL : 0;
}

/* Maps at a multiple of a page size that the host does not know. */
static int64_t map_aligned(struct fake_kvm *fake, uint64_t length, uint64_t page_size,
			   int protection, int flags, int fd, uint64_t offset)
{
	int64_t reserved = host_mmap(fake, 0, length + page_size, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t start, aligned = 0;
	int64_t result;

	if (reserved < 0)
		return reserved;
	start = (uint64_t)reserved;
	round_up(start, page_size, &aligned);
	result = host_mmap(fake, aligned, length, protection, flags | MAP_FIXED, fd, offset);
	if (result < 0) {
		host_munmap(fake, start, length + page_size);
		return result;
	}
	host_munmap(fake, start, aligned - start);
	host_munmap(fake, aligned + length, start + page_size - aligned);
	return result;
}

/* Shows what is private now, and what is not, in a part of a mapping of the file. */
static int show(struct fake_kvm *fake, const struct fake_file *file,
		const struct fake_mapping *mapping, int fd, uint64_t start, uint64_t end)
{
	while (start < end) {
		uint64_t offset = mapping->offset + (start - mapping->start);
		bool is_private;
		uint64_t run = spans_run(&file->private_offsets, offset, offset + (end - start),
					 &is_private) -
			       offset;
		int64_t result = host_mmap(fake, start, run, mapping->protection,
					   MAP_SHARED | MAP_FIXED,
					   is_private ? fake->sigbus_fd : fd, offset);

		if (result < 0)
			return (int)result;
		if (mapping->dont_fork)
			madvise((void *)(uintptr_t)start, run, MADV_DONTFORK);
		if (mapping->dont_dump)
			madvise((void *)(uintptr_t)start, run, MADV_DONTDUMP);
		start += run;
	}
	return 0;
}

int fake_remap_file(struct fake_kvm *fake, const struct fake_file *file, int fd, uint64_t start,
		    uint64_t end)
{
	size_t i;

	for (i = 0; i < fake->mapping_count; i++) {
		const struct fake_mapping *mapping = &fake->mappings[i];
		uint64_t from = start > mapping->offset ? start : mapping->offset;
		uint64_t to = mapping->offset + (mapping->end - mapping->start);
		int err;

		if (to > end)
			to = end;
		if (!same_file(mapping->file, file->id) || from >= to)
			continue;
		err = show(fake, file, mapping, fd, mapping->start + (from - mapping->offset),
			   mapping->start + (to - mapping->offset));
		if (err < 0)
			return err;
	}
	return 0;
}

struct map_request {
	uint64_t address;
	uint64_t length;
	int protection;
	int flags;
	int fd;
	uint64_t offset;
	uint64_t page_size;
	struct file_id file;
};

/* What is mapped: its identity, its rules and its page size. */
static int judge_map(struct fake_kvm *fake, struct map_request *request)
{
	const struct fake_file *file;
	int err;

	request->page_size = fake->config.page_size;
	if (request->flags & MAP_ANONYMOUS) {
		request->file = no_file;
		if (request->flags & MAP_HUGETLB)
			request->page_size = fake_decode_huge_size(fake, (uint32_t)request->flags);
		return request->page_size ? 0 : -EINVAL;
	}
	err = fake_identify(fake, request->fd, &request->file);
	if (err < 0)
		return err;
	if (fake_is_system(fake, request->fd) || fake_find_vm(fake, request->fd))
		return -ENODEV;
	file = fake_file_by_id(fake, request->file);
	if (file)
		return check_file(file, request->protection, request->flags);
	if (fake_huge_page_size(fake, request->file))
		request->page_size = fake_huge_page_size(fake, request->file);
	else if (request->flags & MAP_HUGETLB)
		return -EINVAL;
	return 0;
}

static int64_t place(struct fake_kvm *fake, const struct map_request *request, int flags)
{
	const int fixed = MAP_FIXED | MAP_FIXED_NOREPLACE;

	if (request->page_size == fake->host_page_size || flags & fixed)
		return host_mmap(fake, request->address, request->length, request->protection,
				 flags, request->fd, request->offset);
	return map_aligned(fake, request->length, request->page_size, request->protection, flags,
			   request->fd, request->offset);
}

/* The mapping is there: remembers it, and hides what is private. */
static int64_t keep(struct fake_kvm *fake, const struct map_request *request, int64_t address)
{
	const struct fake_file *file = fake_file_by_id(fake, request->file);
	struct fake_mapping mapping = {
		.start = (uint64_t)address,
		.end = (uint64_t)address + request->length,
		.page_size = request->page_size,
		.file = request->file,
		.offset = request->offset,
		.protection = request->protection,
	};
	int err = 0;

	forget(fake, mapping.start, mapping.end);
	append(fake, &mapping);
	if (file && spans_total(&file->private_offsets, 0, UINT64_MAX))
		err = show(fake, file, &mapping, request->fd, mapping.start, mapping.end);
	if (err == 0)
		return address;
	forget(fake, mapping.start, mapping.end);
	host_munmap(fake, mapping.start, request->length);
	return err;
}

int64_t fake_mmap(struct fake_kvm *fake, const uint64_t *arg)
{
	struct map_request request = {
		.address = arg[0],
		.protection = (int)arg[2],
		.flags = (int)arg[3],
		.fd = (int)arg[4],
		.offset = arg[5],
	};
	const struct fake_file *file;
	int64_t result = judge_map(fake, &request);
	int flags = request.flags & ~MAP_HUGETLB;

	if (result < 0)
		return result;
	if (arg[1] == 0 || !is_aligned(request.offset, request.page_size) ||
	    (request.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) &&
	     !is_aligned(request.address, request.page_size)))
		return -EINVAL;
	if (!round_up(arg[1], request.page_size, &request.length) || request.length > INT64_MAX)
		return -ENOMEM;
	if (request.flags & MAP_HUGETLB)
		flags &= (1 << MAP_HUGE_SHIFT) - 1;
	/* F4: populating passes over private pages, and nothing tells whether it came this far. */
	file = fake_file_by_id(fake, request.file);
	if (file && spans_total(&file->private_offsets, 0, UINT64_MAX))
		flags &= ~MAP_POPULATE;
	result = place(fake, &request, flags);
	return result < 0 ? result : keep(fake, &request, result);
}

int64_t fake_munmap(struct fake_kvm *fake, const uint64_t *arg)
{
	const struct fake_mapping *mapping = find(fake, arg[0]);
	uint64_t page = mapping ? mapping->page_size : fake->config.page_size;
	uint64_t length;
	int64_t result;

	if (arg[1] == 0 || !is_aligned(arg[0], page) ||
	    !round_up(arg[1], fake->config.page_size, &length))
		return -EINVAL;
	/* Huge pages are not rounded up to. */
	if (page > fake->config.page_size && !is_aligned(length, page))
		return -EINVAL;
	result = fake_host(fake, GMEM_SYS_MUNMAP, arg[0], length, 0, 0, 0, 0);
	if (result == 0)
		forget(fake, arg[0], arg[0] + length);
	return result;
}

/* F9 */
static int check_advice(struct fake_kvm *fake, const struct fake_mapping *mapping, int advice)
{
	if (!mapping || !fake_file_by_id(fake, mapping->file))
		return 0;
	switch (advice) {
	case MADV_FREE:
	case MADV_MERGEABLE:
	case MADV_COLLAPSE:
	case MADV_WIPEONFORK:
		return -EINVAL;
	default:
		return 0;
	}
}

static void note_advice(struct fake_kvm *fake, uint64_t start, uint64_t end, int advice)
{
	size_t i;

	if (advice != MADV_DONTFORK && advice != MADV_DOFORK && advice != MADV_DONTDUMP &&
	    advice != MADV_DODUMP)
		return;
	split_at(fake, start);
	split_at(fake, end);
	for (i = 0; i < fake->mapping_count; i++) {
		struct fake_mapping *mapping = &fake->mappings[i];

		if (mapping->start < start || mapping->end > end)
			continue;
		if (advice == MADV_DONTFORK || advice == MADV_DOFORK)
			mapping->dont_fork = advice == MADV_DONTFORK;
		else
			mapping->dont_dump = advice == MADV_DONTDUMP;
	}
}

int64_t fake_madvise(struct fake_kvm *fake, const uint64_t *arg)
{
	const struct fake_mapping *mapping = find(fake, arg[0]);
	const struct fake_file *file = mapping ? fake_file_by_id(fake, mapping->file) : NULL;
	int advice = (int)arg[2];
	uint64_t length;
	int64_t result;

	if (!is_aligned(arg[0], fake->config.page_size) ||
	    !round_up(arg[1], fake->config.page_size, &length))
		return -EINVAL;
	result = check_advice(fake, mapping, advice);
	if (result < 0)
		return result;
	/* F9: private pages too, which the host's mapping does not show. */
	if (file && advice == MADV_REMOVE && arg[0] + length <= mapping->end)
		return fake_punch(fake, file, mapping->offset + (arg[0] - mapping->start), length);
	result = fake_host(fake, GMEM_SYS_MADVISE, arg[0], length, arg[2], 0, 0, 0);
	if (result == 0)
		note_advice(fake, arg[0], arg[0] + length, advice);
	return result;
}

static struct policy *find_file_policy(struct fake_kvm *fake, struct file_id id, uint64_t offset)
{
	size_t i;

	/* The last that was set counts. */
	for (i = fake->policy_count; i-- > 0;) {
		struct fake_file_policy *found = &fake->policies[i];

		if (same_file(found->file, id) && offset >= found->start && offset < found->end)
			return &found->policy;
	}
	return NULL;
}

/* Whether a policy set on a mapping of the file is the file's. */
static bool keeps_policy(struct fake_kvm *fake, struct file_id id)
{
	if (same_file(id, no_file))
		return false;
	return fake->config.numa == FAKE_NUMA_HONOURED || !fake_file_by_id(fake, id);
}

static void set_policy(struct fake_kvm *fake, struct fake_mapping *mapping, struct policy policy)
{
	mapping->policy = policy;
	if (!keeps_policy(fake, mapping->file))
		return;
	fake->policies = support_grow(fake->policies, fake->policy_count, &fake->policy_room,
				      sizeof(fake->policies[0]));
	fake->policies[fake->policy_count++] = (struct fake_file_policy){
		.file = mapping->file,
		.start = mapping->offset,
		.end = mapping->offset + (mapping->end - mapping->start),
		.policy = policy,
	};
}

/* As the kernel reads it: maxnode counts one more than there are bits. */
static int read_policy(const struct fake_kvm *fake, const uint64_t *arg, struct policy *policy)
{
	const uint64_t *mask = (const uint64_t *)(uintptr_t)arg[3];
	uint64_t bits = arg[4] ? arg[4] - 1 : 0;
	uint64_t given = 0;
	uint64_t i;

	policy->mode = (int)arg[2];
	policy->nodes = 0;
	if (bits > MASK_BITS_MAX)
		return -EINVAL;
	for (i = 0; mask && i < bits; i++) {
		if (!(mask[i / 64] >> i % 64 & 1))
			continue;
		given++;
		if (i < 64)
			policy->nodes |= fake->config.numa_nodes & UINT64_C(1) << i;
	}
	switch (policy->mode & ~(int)MPOL_MODE_FLAGS) {
	case MPOL_DEFAULT:
	case MPOL_LOCAL:
		return given ? -EINVAL : 0;
	case MPOL_PREFERRED:
		return given && !policy->nodes ? -EINVAL : 0;
	case MPOL_BIND:
	case MPOL_INTERLEAVE:
		return policy->nodes ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

int64_t fake_mbind(struct fake_kvm *fake, const uint64_t *arg)
{
	struct policy policy;
	uint64_t length, covered = 0;
	size_t i;
	int err;

	if (fake->config.numa == FAKE_NUMA_ABSENT)
		return -ENOSYS;
	if (!find(fake, arg[0]))
		return pass(fake, GMEM_SYS_MBIND, arg);
	if (!is_aligned(arg[0], fake->config.page_size) || arg[5] & ~(uint64_t)MPOL_MF_VALID ||
	    !round_up(arg[1], fake->config.page_size, &length))
		return -EINVAL;
	err = read_policy(fake, arg, &policy);
	if (err < 0)
		return err;
	split_at(fake, arg[0]);
	split_at(fake, arg[0] + length);
	for (i = 0; i < fake->mapping_count; i++)
		if (fake->mappings[i].start >= arg[0] && fake->mappings[i].end <= arg[0] + length)
			covered += fake->mappings[i].end - fake->mappings[i].start;
	if (covered != length)
		return -EFAULT;
	for (i = 0; i < fake->mapping_count; i++)
		if (fake->mappings[i].start >= arg[0] && fake->mappings[i].end <= arg[0] + length)
			set_policy(fake, &fake->mappings[i], policy);
	return 0;
}

/* Writes a mask of one word, and zeros behind it up to the size that was asked for. */
static int write_nodes(const struct fake_kvm *fake, uint64_t *mask, uint64_t maxnode,
		       uint64_t nodes)
{
	uint64_t words = maxnode ? (maxnode - 1 + 63) / 64 : 0;
	uint64_t i;

	if (!mask)
		return 0;
	if (fake->config.numa_nodes >> 1 && maxnode < 2)
		return -EINVAL;
	for (i = 0; i < words; i++)
		mask[i] = i ? 0 : nodes;
	return 0;
}

int64_t fake_get_mempolicy(struct fake_kvm *fake, const uint64_t *arg)
{
	int *mode = (int *)(uintptr_t)arg[0];
	const struct fake_mapping *mapping = find(fake, arg[3]);
	struct policy policy;

	if (fake->config.numa == FAKE_NUMA_ABSENT)
		return -ENOSYS;
	if (arg[4] != MPOL_F_ADDR || !mapping)
		return pass(fake, GMEM_SYS_GET_MEMPOLICY, arg);
	policy = mapping->policy;
	if (keeps_policy(fake, mapping->file)) {
		const struct policy *found = find_file_policy(
			fake, mapping->file, mapping->offset + (arg[3] - mapping->start));

		policy = found ? *found : (struct policy){ MPOL_DEFAULT, 0 };
	}
	if (mode)
		*mode = policy.mode;
	return write_nodes(fake, (uint64_t *)(uintptr_t)arg[1], arg[2], policy.nodes);
}
