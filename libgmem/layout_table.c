// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The readers' side of the layout. All that readers load is atomic: a late one may load while a
 * writer stores, and finds out afterwards.
 */
#include "layout_table.h"

#include <errno.h>
#include <sys/mman.h>

#define BUCKETS_MIN 64u
#define BUCKETS_PER_SECTION 4u

#define load(object) layout_load(object)
#define store(object, value) atomic_store_explicit(object, value, memory_order_relaxed)

int gmem_layout_table_init(struct layout_table *table, const struct gmem_kernel *kernel)
{
	int64_t address;
	int rc;

	table->length = 2 * sizeof(struct layout_copy);
	address = gmem_kernel_mmap(kernel, 0, table->length, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (address < 0)
		return -ENOMEM;
	rc = gmem_kernel_madvise(kernel, (uint64_t)address, table->length, MADV_WIPEONFORK);
	if (rc) {
		gmem_kernel_munmap(kernel, (uint64_t)address, table->length);
		return rc;
	}
	/* A huge page for each part that is touched would be most of it wasted; best effort. */
	gmem_kernel_madvise(kernel, (uint64_t)address, table->length, MADV_NOHUGEPAGE);
	table->copies[0] = (struct layout_copy *)(uintptr_t)address;
	table->copies[1] = table->copies[0] + 1;
	atomic_init(&table->sequence, 0);
	return 0;
}

void gmem_layout_table_release(struct layout_table *table, const struct gmem_kernel *kernel)
{
	if (table->copies[0])
		gmem_kernel_munmap(kernel, address_of(table->copies[0]), table->length);
	table->copies[0] = table->copies[1] = NULL;
}

void gmem_section_view(const struct section *section, struct section_view *view)
{
	struct gmem_region *region = section->region;

	*view = (struct section_view){
		.gpa = section->gpa,
		.size = section->size,
		.offset = section->offset,
		.host = section_host(section),
		.tag = region ? region->config.tag : 0,
		.fd_offset = region ? region->host->fd_offset + section->offset : 0,
		.shadow = region ? region_shadow(region) : NULL,
		.region = region,
		.fd = region ? region->host->fd : -1,
		.guest_memfd = region ? region->guest.fd : -1,
		.flags = section->flags,
		.slot = section->slot,
		.kind = section_kind(section),
		.can_be_private = section_kind(section) == GMEM_KIND_RAM &&
				  region_can_be_private(region),
	};
}

void gmem_view_run(const struct section_view *view, uint64_t gpa, uint64_t size,
		   struct gmem_run *run)
{
	uint64_t skipped = gpa - view->gpa;

	*run = (struct gmem_run){
		.gpa = gpa,
		.size = size,
		.offset = view->offset + skipped,
		.tag = view->tag,
		.host = view->host ? (void *)(uintptr_t)(view->host + skipped) : NULL,
		.fd_offset = view->fd_offset + skipped,
		.fd = view->fd,
		.guest_memfd = view->guest_memfd,
		.state = GMEM_SHARED,
		.flags = view->flags,
		.slot = view->slot,
		.kind = view->kind,
	};
}

static void store_entry(struct layout_entry *entry, const struct section *section)
{
	struct section_view view;

	gmem_section_view(section, &view);
	store(&entry->gpa, view.gpa);
	store(&entry->last, view.gpa + view.size - 1);
	store(&entry->delta, view.offset - view.gpa);
	store(&entry->host, view.host);
	store(&entry->shadow, view.shadow);
	store(&entry->flags, view.flags);
	store(&entry->kind, view.kind);
	store(&entry->tag, view.tag);
	store(&entry->fd_offset, view.fd_offset);
	store(&entry->fd, view.fd);
	store(&entry->guest_memfd, view.guest_memfd);
	store(&entry->slot, view.slot);
	store(&entry->region, view.region);
	store(&entry->can_be_private, view.can_be_private);
}

/* Reserved ranges that overlap or touch are one for readers. */
static bool joins_previous(const struct section *section, const struct layout_copy *copy,
			   uint32_t count)
{
	return count && section_is_reserved(section) &&
	       load(&copy->entries[count - 1].kind) == GMEM_KIND_RESERVED &&
	       load(&copy->last[count - 1]) + 1 >= section->gpa;
}

static void extend_previous(struct layout_copy *copy, uint32_t count, const struct section *section)
{
	uint64_t last = section->gpa + section->size - 1;

	if (last <= load(&copy->last[count - 1]))
		return;
	store(&copy->last[count - 1], last);
	store(&copy->entries[count - 1].last, last);
}

/* Returns how many entries they come to. */
static uint32_t store_sections(struct layout_copy *copy, const struct section_list *list)
{
	uint32_t count = 0, i;

	for (i = 0; i < list->count && !list->items[i].address_space; i++) {
		const struct section *section = &list->items[i];

		if (joins_previous(section, copy, count)) {
			extend_previous(copy, count, section);
			continue;
		}
		store_entry(&copy->entries[count], section);
		store(&copy->last[count], section->gpa + section->size - 1);
		count++;
	}
	return count;
}

static uint32_t wanted_buckets(uint32_t count)
{
	uint32_t buckets = BUCKETS_MIN;

	while (buckets < LAYOUT_BUCKETS_MAX && buckets < count * BUCKETS_PER_SECTION)
		buckets *= 2;
	return buckets;
}

static void store_buckets(struct layout_copy *copy, uint32_t count)
{
	uint32_t wanted = wanted_buckets(count);
	uint32_t shift = 0, section = 0, buckets, i;
	uint64_t top;

	if (!count) {
		store(&copy->buckets, 0);
		return;
	}
	top = load(&copy->last[count - 1]);
	while (top >> shift >= wanted)
		shift++;
	buckets = (uint32_t)(top >> shift) + 1;
	for (i = 0; i < buckets; i++) {
		while (load(&copy->last[section]) < (uint64_t)i << shift)
			section++;
		store(&copy->first[i], section);
	}
	/* Nothing ends above the last bucket; its own search must reach the last section. */
	store(&copy->first[buckets], count - 1);
	store(&copy->shift, shift);
	store(&copy->buckets, buckets);
}

void gmem_layout_table_publish(struct layout_table *table, const struct section_list *list)
{
	uint64_t next = load(&table->sequence) + 1;
	struct layout_copy *copy = table->copies[next & 1];

	/*
	 * This copy was current until the number was last counted up. Whoever sees one of the
	 * stores below must see that count too: pairs with the acquire fence of readers.
	 */
	atomic_thread_fence(memory_order_release);
	store_buckets(copy, store_sections(copy, list));
	atomic_store_explicit(&table->sequence, next, memory_order_release);
}

static void load_entry(const struct layout_entry *entry, struct section_view *view)
{
	view->gpa = load(&entry->gpa);
	view->size = load(&entry->last) + 1 - view->gpa;
	view->offset = load(&entry->delta) + view->gpa;
	view->host = load(&entry->host);
	view->shadow = load(&entry->shadow);
	view->flags = load(&entry->flags);
	view->kind = load(&entry->kind);
	view->tag = load(&entry->tag);
	view->fd_offset = load(&entry->fd_offset);
	view->fd = load(&entry->fd);
	view->guest_memfd = load(&entry->guest_memfd);
	view->slot = load(&entry->slot);
	view->region = load(&entry->region);
	view->can_be_private = load(&entry->can_be_private);
}

static inline bool find(const struct layout_table *table, uint64_t sequence, uint64_t gpa,
			struct section_view *view)
{
	const struct layout_entry *entry = layout_table_lookup(table, sequence, gpa);

	if (!entry)
		return false;
	load_entry(entry, view);
	return layout_table_is_current(table, sequence);
}

bool gmem_layout_table_find(const struct layout_table *table, uint64_t sequence, uint64_t gpa,
			    struct section_view *view)
{
	return find(table, sequence, gpa, view);
}

bool gmem_layout_look(const struct layout_table *table, uint64_t gpa, struct section_view *view)
{
	uint64_t sequence;
	bool found;

	do {
		sequence = layout_table_begin(table);
		found = find(table, sequence, gpa, view);
	} while (!layout_table_is_current(table, sequence));
	return found;
}
