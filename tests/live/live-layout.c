// SPDX-License-Identifier: LGPL-2.1-or-later
/* The layout on this machine's KVM: the memslots that libgmem programs, changes and takes away. */
#include "live.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GPA (16 * MIB)
#define OTHER_GPA (32 * MIB)
#define ABOVE_4G (UINT64_C(5) << 30)

static struct gmem_run section_at(struct live *live, uint64_t gpa)
{
	struct gmem_run run;

	assert_int_equal(gmem_vm_next_section(live->vm, gpa, &run), 1);
	return run;
}

static void assert_mapped(struct live *live, uint64_t gpa, uint64_t size)
{
	struct gmem_run run = section_at(live, gpa);

	assert_int_equal(run.gpa, gpa);
	assert_int_equal(run.size, size);
	assert_true(live_kernel_has(live, 0, gpa, live->page));
	assert_true(live_kernel_has(live, 0, gpa + size - live->page, live->page));
	assert_false(live_kernel_has(live, 0, gpa + size, live->page));
}

static void assert_not_mapped(struct live *live, uint64_t gpa, uint64_t size)
{
	assert_int_equal(gmem_vm_get_state(live->vm, gpa, size), GMEM_HOLE);
	assert_false(live_kernel_has(live, 0, gpa, size));
}

static int map(struct live *live, uint64_t gpa, struct gmem_region *region, uint64_t offset,
	       uint64_t size)
{
	return gmem_vm_map(live->vm, gpa, region, offset, size, GMEM_SLOT_AUTO, 0);
}

static uint32_t slots_used(struct live *live)
{
	struct gmem_vm_info info;

	assert_int_equal(gmem_vm_get_info(live->vm, &info), 0);
	return info.slots_used;
}

static void map_and_unmap_reach_the_kernel(void **state)
{
	static const uint64_t gpa[] = { GPA, ABOVE_4G };
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	size_t i;

	for (i = 0; i < 2; i++) {
		assert_not_mapped(live, gpa[i], MIB);
		assert_int_equal(map(live, gpa[i], region, 0, MIB), 0);
		assert_mapped(live, gpa[i], MIB);
		assert_int_equal(slots_used(live), 1);
		assert_int_equal(gmem_vm_unmap(live->vm, gpa[i], MIB), 0);
		assert_not_mapped(live, gpa[i], MIB);
		assert_int_equal(slots_used(live), 0);
	}
	gmem_region_free(region);
}

static void a_reserved_range_has_no_memslot(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);

	assert_int_equal(map(live, GPA, NULL, 0, MIB), 0);
	assert_not_mapped(live, GPA, MIB);
	assert_int_equal(section_at(live, GPA).kind, GMEM_KIND_RESERVED);
	live_assert_refused(live, -EEXIST, map(live, GPA, region, 0, MIB));
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, MIB), 0);
	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	gmem_region_free(region);
}

static void overlap_is_refused(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	struct gmem_region *other = live_guest_memfd(live, MIB);
	const uint64_t page = live->page;

	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	live_assert_refused(live, -EEXIST, map(live, GPA, other, 0, MIB));
	live_assert_refused(live, -EEXIST, map(live, GPA + MIB - page, other, 0, MIB));
	live_assert_refused(live, -EEXIST, map(live, GPA - MIB + page, other, 0, MIB));
	live_assert_refused(live, -EEXIST, map(live, GPA + page, other, 0, page));
	assert_mapped(live, GPA, MIB);
	assert_false(live_kernel_has(live, 0, GPA - page, page));
	assert_int_equal(slots_used(live), 1);
	gmem_region_free(other);
	gmem_region_free(region);
}

/* Kernel fact S1: a page of a file is bound once. The answer here is ours, the same everywhere. */
static void a_page_is_mapped_once(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	const uint64_t half = MIB / 2;
	const uint64_t page = live->page;

	assert_int_equal(map(live, GPA, region, 0, half), 0);
	live_assert_refused(live, -EEXIST, map(live, OTHER_GPA, region, 0, half));
	live_assert_refused(live, -EEXIST, map(live, OTHER_GPA, region, half - page, 2 * page));
	assert_not_mapped(live, OTHER_GPA, MIB);
	assert_int_equal(map(live, OTHER_GPA, region, half, half), 0);
	assert_mapped(live, OTHER_GPA, half);
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, half), 0);
	assert_int_equal(map(live, ABOVE_4G, region, 0, half), 0);
	assert_mapped(live, ABOVE_4G, half);
	gmem_region_free(region);
}

static void an_alias_has_a_memslot_of_its_own(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_mapped_guest_memfd(live, MIB);
	const uint64_t page = live->page;
	void *first;
	void *second;

	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	assert_int_equal(gmem_vm_map_alias(live->vm, 0, OTHER_GPA, region, page, 4 * page,
					   GMEM_SLOT_AUTO, 0),
			 0);
	assert_mapped(live, OTHER_GPA, 4 * page);
	assert_true(section_at(live, OTHER_GPA).flags & GMEM_MAP_ALIAS);
	assert_int_equal(slots_used(live), 2);
	assert_int_equal(
		gmem_vm_translate(live->vm, GPA + page, 4 * page, GMEM_ACCESS_WRITE, &first), 0);
	assert_int_equal(
		gmem_vm_translate(live->vm, OTHER_GPA, 4 * page, GMEM_ACCESS_WRITE, &second), 0);
	assert_ptr_equal(first, second);
	assert_int_equal(gmem_vm_unmap_alias(live->vm, 0, OTHER_GPA, 4 * page), 0);
	assert_not_mapped(live, OTHER_GPA, 4 * page);
	assert_mapped(live, GPA, MIB);
	gmem_region_free(region);
}

static void an_alias_in_another_address_space(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	struct gmem_vm_info info;

	assert_int_equal(gmem_vm_get_info(live->vm, &info), 0);
	live_assert_refused(live, -EINVAL,
			    gmem_vm_map_alias(live->vm, info.address_spaces, GPA, region, 0, MIB,
					      GMEM_SLOT_AUTO, 0));
	if (info.address_spaces > 1) {
		assert_int_equal(
			gmem_vm_map_alias(live->vm, 1, GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
		assert_true(live_kernel_has(live, 1, GPA, MIB));
		assert_not_mapped(live, GPA, MIB);
		assert_int_equal(gmem_vm_unmap_alias(live->vm, 1, GPA, MIB), 0);
		assert_false(live_kernel_has(live, 1, GPA, MIB));
	}
	gmem_region_free(region);
}

static void a_slot_number_is_used_as_given(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	const uint64_t half = MIB / 2;

	assert_int_equal(gmem_vm_map(live->vm, GPA, region, 0, half, 77, 0), 0);
	assert_int_equal(section_at(live, GPA).slot, 77);
	live_assert_refused(live, -EEXIST,
			    gmem_vm_map(live->vm, OTHER_GPA, region, half, half, 77, 0));
	/* A plain slot with these values is what the kernel refuses for slot 77: it is in use. */
	assert_true(live_raw_slot(live, 77, 0, OTHER_GPA, half, live_host(region), -1, 0) < 0);
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, half), 0);
	assert_int_equal(live_raw_slot(live, 77, 0, OTHER_GPA, half, live_host(region), -1, 0), 0);
	assert_int_equal(live_raw_slot(live, 77, 0, OTHER_GPA, 0, live_host(region), -1, 0), 0);
	gmem_region_free(region);
}

/* What libgmem tells about a section is enough for a caller who programs KVM himself. */
static void without_slot_the_caller_programs_kvm(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	struct gmem_run run;

	assert_int_equal(gmem_vm_map(live->vm, GPA, region, MIB / 2, MIB / 2, GMEM_SLOT_NONE, 0),
			 0);
	assert_false(live_kernel_has(live, 0, GPA, MIB));
	assert_int_equal(slots_used(live), 0);
	run = section_at(live, GPA);
	assert_int_equal(run.slot, GMEM_SLOT_NONE);
	assert_int_equal(run.fd_offset, MIB / 2);
	assert_int_equal(live_raw_slot(live, 5, 1u << 2, run.gpa, run.size, run.host,
				       run.guest_memfd, run.offset),
			 0);
	assert_true(live_kernel_has(live, 0, GPA, MIB / 2));
	assert_int_equal(live_raw_slot(live, 5, 1u << 2, run.gpa, 0, run.host, run.guest_memfd,
				       run.offset),
			 0);
	gmem_region_free(region);
}

static void slots_run_out_and_come_back(void **state)
{
	struct live *live = *state;
	struct gmem_vm_config *config = NULL;
	struct gmem_region *region;
	const uint64_t page = live->page;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_slots(config, 10, 2);
	live_set_vm(live, config);
	gmem_vm_config_free(config);
	region = live_guest_memfd(live, MIB);
	assert_int_equal(map(live, GPA, region, 0, page), 0);
	assert_int_equal(map(live, GPA + 2 * page, region, page, page), 0);
	assert_int_equal(section_at(live, GPA).slot, 10);
	assert_int_equal(section_at(live, GPA + 2 * page).slot, 11);
	live_assert_refused(live, -ENOSPC, map(live, OTHER_GPA, region, 2 * page, page));
	assert_not_mapped(live, OTHER_GPA, MIB);
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, page), 0);
	assert_int_equal(map(live, OTHER_GPA, region, 2 * page, page), 0);
	assert_int_equal(section_at(live, OTHER_GPA).slot, 10);
	gmem_region_free(region);
}

static void a_section_keeps_its_region(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	void *host;

	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	gmem_region_free(region);
	assert_mapped(live, GPA, MIB);
	assert_int_equal(gmem_vm_translate(live->vm, GPA, MIB, GMEM_ACCESS_WRITE, &host), 0);
	memset(host, 0x5a, MIB);
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, MIB), 0);
	assert_int_equal(live_count_mappings(), live->mappings_before);
}

/* Changes */

/* Who is asked to hold the vCPUs, and what the kernel had then. */
struct pauses {
	struct live *live;
	int answer;
	unsigned int paused;
	unsigned int resumed;
	bool old_at_pause, new_at_pause;
	bool old_at_resume, new_at_resume;
};

static int pause_vcpus(void *opaque)
{
	struct pauses *pauses = opaque;

	pauses->paused++;
	pauses->old_at_pause = live_kernel_has(pauses->live, 0, GPA, MIB);
	pauses->new_at_pause = live_kernel_has(pauses->live, 0, OTHER_GPA, MIB);
	return pauses->answer;
}

static void resume_vcpus(void *opaque)
{
	struct pauses *pauses = opaque;

	pauses->resumed++;
	pauses->old_at_resume = live_kernel_has(pauses->live, 0, GPA, MIB);
	pauses->new_at_resume = live_kernel_has(pauses->live, 0, OTHER_GPA, MIB);
}

static void set_pauses(struct live *live, struct pauses *pauses)
{
	struct gmem_vm_config *config = NULL;

	pauses->live = live;
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_pause(config, pause_vcpus, resume_vcpus, pauses, NULL);
	live_set_vm(live, config);
	gmem_vm_config_free(config);
}

static struct gmem_change *move(struct live *live, struct gmem_region *region)
{
	struct gmem_change *change = NULL;

	assert_int_equal(gmem_change_new(live->vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, GPA, MIB), 0);
	assert_int_equal(gmem_change_map(change, OTHER_GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	return change;
}

static void a_change_happens_with_vcpus_held(void **state)
{
	struct live *live = *state;
	struct pauses pauses = { .answer = 0 };
	struct gmem_region *region;
	struct gmem_change *change;

	set_pauses(live, &pauses);
	region = live_guest_memfd(live, MIB);
	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	assert_int_equal(pauses.paused, 0);
	change = move(live, region);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	assert_int_equal(pauses.paused, 1);
	assert_int_equal(pauses.resumed, 1);
	assert_true(pauses.old_at_pause && !pauses.new_at_pause);
	assert_true(!pauses.old_at_resume && pauses.new_at_resume);
	assert_mapped(live, OTHER_GPA, MIB);
	assert_not_mapped(live, GPA, MIB);
	gmem_region_free(region);
}

static void a_refused_pause_changes_nothing(void **state)
{
	struct live *live = *state;
	struct pauses pauses = { .answer = -EBUSY };
	struct gmem_region *region;
	struct gmem_change *change;

	set_pauses(live, &pauses);
	region = live_guest_memfd(live, MIB);
	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	change = move(live, region);
	live_assert_refused(live, -ECANCELED, gmem_change_commit(change));
	assert_int_equal(pauses.paused, 1);
	assert_int_equal(pauses.resumed, 0);
	assert_mapped(live, GPA, MIB);
	assert_not_mapped(live, OTHER_GPA, MIB);
	/* The change is as it was: it can be tried again. */
	pauses.answer = 0;
	assert_int_equal(gmem_change_commit(change), 0);
	assert_int_equal(pauses.resumed, 1);
	assert_mapped(live, OTHER_GPA, MIB);
	gmem_change_free(change);
	gmem_region_free(region);
}

/* One memslot call leaves no gap that a guest could see; two do. */
static void the_pause_is_for_more_than_one_slot(void **state)
{
	struct live *live = *state;
	struct pauses pauses = { .answer = 0 };
	struct gmem_region *region;
	const uint64_t half = MIB / 2;

	set_pauses(live, &pauses);
	region = live_guest_memfd(live, MIB);
	assert_int_equal(map(live, GPA, region, 0, half), 0);
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, half), 0);
	assert_int_equal(pauses.paused, 0);
	assert_int_equal(map(live, GPA, region, 0, half), 0);
	assert_int_equal(map(live, GPA + half, region, half, half), 0);
	pauses.answer = -EBUSY;
	live_assert_refused(live, -ECANCELED, gmem_vm_unmap(live->vm, GPA, MIB));
	assert_true(live_kernel_has(live, 0, GPA, half));
	assert_true(live_kernel_has(live, 0, GPA + half, half));
	pauses.answer = 0;
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, MIB), 0);
	assert_int_equal(pauses.paused, 2);
	assert_int_equal(pauses.resumed, 1);
	assert_not_mapped(live, GPA, MIB);
	gmem_region_free(region);
}

static void a_change_with_a_bad_step_changes_nothing(void **state)
{
	struct live *live = *state;
	struct pauses pauses = { .answer = 0 };
	struct gmem_region *region;
	struct gmem_region *other;
	struct gmem_change *change;

	set_pauses(live, &pauses);
	region = live_guest_memfd(live, MIB);
	other = live_guest_memfd(live, MIB);
	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	change = move(live, region);
	assert_int_equal(gmem_change_map(change, OTHER_GPA, other, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	live_assert_refused(live, -EEXIST, gmem_change_commit(change));
	assert_non_null(strstr(live->last, "step 3"));
	assert_int_equal(pauses.paused, pauses.resumed);
	assert_mapped(live, GPA, MIB);
	assert_not_mapped(live, OTHER_GPA, MIB);
	gmem_change_free(change);
	gmem_region_free(other);
	gmem_region_free(region);
}

/* The kernel refuses the second slot, for somebody else put one there: the first comes back. */
static void a_change_that_the_kernel_refuses_is_undone(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	struct gmem_region *foreign = live_plain(live, MIB, GMEM_MEMORY_ANON);
	struct gmem_change *change;
	void *host;

	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	live_put_text(live_host(region), "kept");
	assert_int_equal(live_raw_slot(live, 999, 0, OTHER_GPA + MIB / 2, live->page,
				       live_host(foreign), -1, 0),
			 0);
	change = move(live, region);
	live_assert_refused(live, -EEXIST, gmem_change_commit(change));
	assert_mapped(live, GPA, MIB);
	assert_int_equal(gmem_vm_get_state(live->vm, OTHER_GPA, MIB), GMEM_HOLE);
	assert_int_equal(gmem_vm_translate(live->vm, GPA, MIB, GMEM_ACCESS_WRITE, &host), 0);
	assert_string_equal(host, "kept");
	assert_int_equal(
		live_raw_slot(live, 999, 0, OTHER_GPA + MIB / 2, 0, live_host(foreign), -1, 0), 0);
	assert_int_equal(gmem_change_commit(change), 0);
	assert_mapped(live, OTHER_GPA, MIB);
	gmem_change_free(change);
	gmem_region_free(foreign);
	gmem_region_free(region);
}

/* Flags, which need a guest to show what they do */

#if defined(__x86_64__)

/* Pages that KVM logged since it was last asked; bit n of the answer is page n. */
static uint64_t dirty_pages(struct live *live, uint64_t gpa)
{
	struct gmem_run run = section_at(live, gpa);
	uint64_t bitmap[64] = { 0 };
	struct kvm_dirty_log log = { .slot = run.slot, .dirty_bitmap = bitmap };
	size_t i;

	assert_true(run.size / live->page <= sizeof(bitmap) * 8);
	assert_int_equal(ioctl(live->vm_fd, KVM_GET_DIRTY_LOG, &log), 0);
	for (i = 1; i < 64; i++)
		assert_int_equal(bitmap[i], 0);
	return bitmap[0];
}

static void dirty_log_names_the_pages_written(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_mapped_guest_memfd(live, MIB);
	const uint64_t page = live->page;
	const struct kvm_regs write = { .rdi = GPA + 2 * page, .rax = 7, .rcx = 3, .rdx = 2 * page };
	const struct kvm_regs read = { .rsi = GPA, .rcx = 16, .rdx = page };
	struct live_guest guest;
	uint32_t slot;

	live_guest_new(live, &guest);
	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	live_guest_poke(&guest, GPA + 5 * page, 0x1234);
	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, GMEM_MAP_DIRTY_LOG), 0);
	assert_int_equal(section_at(live, GPA).flags, GMEM_MAP_DIRTY_LOG);
	assert_int_equal(dirty_pages(live, GPA), 0);

	/* The slot was taken away and added again: what was in it is kept. */
	assert_int_equal(live_guest_peek(&guest, GPA + 5 * page), 0x1234);
	assert_int_equal(live_guest_run(&guest, guest_program_write, &write), KVM_EXIT_HLT);
	assert_int_equal(dirty_pages(live, GPA), 1u << 2 | 1u << 4 | 1u << 6);
	assert_int_equal(dirty_pages(live, GPA), 0);
	assert_int_equal(live_guest_run(&guest, guest_program_sum, &read), KVM_EXIT_HLT);
	assert_int_equal(guest.regs.rax, 0x1234 + 3 * 7);
	assert_int_equal(dirty_pages(live, GPA), 0);

	/* From now on it is a plain slot, and the log is switched in place. */
	slot = section_at(live, GPA).slot;
	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, 0), 0);
	live_guest_poke(&guest, GPA + 9 * page, 9);
	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, GMEM_MAP_DIRTY_LOG), 0);
	assert_int_equal(section_at(live, GPA).slot, slot);
	assert_int_equal(dirty_pages(live, GPA), 0);
	live_guest_poke(&guest, GPA + 10 * page, 10);
	assert_int_equal(dirty_pages(live, GPA), 1u << 10);
	live_guest_free(&guest);
	gmem_region_free(region);
}

static void dirty_log_from_the_start(void **state)
{
	struct live *live = *state;
	struct gmem_region *region[2] = { live_mapped_guest_memfd(live, MIB) };
	struct live_guest guest;
	size_t i;

	region[1] = live_plain(live, MIB, GMEM_MEMORY_SHMEM);
	live_guest_new(live, &guest);
	for (i = 0; i < 2; i++) {
		assert_int_equal(gmem_vm_map(live->vm, GPA, region[i], 0, MIB, GMEM_SLOT_AUTO,
					     GMEM_MAP_DIRTY_LOG),
				 0);
		live_guest_poke(&guest, GPA + 3 * live->page, 3);
		assert_int_equal(dirty_pages(live, GPA), 1u << 3);
		assert_int_equal(gmem_vm_unmap(live->vm, GPA, MIB), 0);
		gmem_region_free(region[i]);
	}
	live_guest_free(&guest);
}

static void the_pause_covers_a_slot_put_back(void **state)
{
	struct live *live = *state;
	struct pauses pauses = { .answer = -EBUSY };
	struct gmem_region *region;

	set_pauses(live, &pauses);
	region = live_mapped_guest_memfd(live, MIB);
	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	live_assert_refused(live, -ECANCELED,
			    gmem_vm_set_map_flags(live->vm, GPA, MIB, GMEM_MAP_DIRTY_LOG));
	assert_int_equal(section_at(live, GPA).flags, 0);
	assert_mapped(live, GPA, MIB);
	pauses.answer = 0;
	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, GMEM_MAP_DIRTY_LOG), 0);
	assert_int_equal(pauses.paused, 2);
	assert_int_equal(pauses.resumed, 1);
	assert_true(pauses.old_at_pause && pauses.old_at_resume);
	/* A plain slot's log needs no second call to the kernel, so nobody has to wait. */
	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, 0), 0);
	assert_int_equal(pauses.paused, 2);
	/* It has these already. */
	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, 0), 0);
	assert_int_equal(pauses.paused, 2);
	gmem_region_free(region);
}

static void a_read_only_section_exits_on_write(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_mapped_guest_memfd(live, MIB);
	const struct kvm_regs write = { .rdi = GPA + 8, .rax = 0xabcd, .rcx = 1 };
	struct live_guest guest;
	uint32_t value;
	void *host;

	live_guest_new(live, &guest);
	assert_int_equal(map(live, GPA, region, 0, MIB), 0);
	live_guest_poke(&guest, GPA + 8, 0x1111);
	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, GMEM_MAP_READONLY), 0);
	assert_int_equal(section_at(live, GPA).kind, GMEM_KIND_ROM);
	assert_int_equal(live_guest_peek(&guest, GPA + 8), 0x1111);
	assert_int_equal(live_guest_run(&guest, guest_program_write, &write), KVM_EXIT_MMIO);
	assert_int_equal(guest.run->mmio.phys_addr, GPA + 8);
	assert_int_equal(guest.run->mmio.is_write, 1);
	assert_int_equal(guest.run->mmio.len, 4);
	memcpy(&value, guest.run->mmio.data, sizeof(value));
	assert_int_equal(value, 0xabcd);
	assert_int_equal(live_guest_continue(&guest), KVM_EXIT_HLT);
	assert_int_equal(live_guest_peek(&guest, GPA + 8), 0x1111);
	assert_int_equal(gmem_vm_translate(live->vm, GPA, 16, GMEM_ACCESS_WRITE, &host), -EACCES);
	assert_int_equal(gmem_vm_translate(live->vm, GPA, 16, 0, &host), 0);

	assert_int_equal(gmem_vm_set_map_flags(live->vm, GPA, MIB, 0), 0);
	live_guest_poke(&guest, GPA + 8, 0x2222);
	assert_int_equal(live_guest_peek(&guest, GPA + 8), 0x2222);
	live_guest_free(&guest);
	gmem_region_free(region);
}

/* Two windows change places at once; the guest sees each with its own contents. */
static void a_change_can_swap_windows(void **state)
{
	struct live *live = *state;
	struct gmem_region *region[2] = { live_guest_memfd(live, MIB),
					  live_guest_memfd(live, MIB) };
	struct gmem_change *change = NULL;
	struct live_guest guest;

	live_guest_new(live, &guest);
	assert_int_equal(map(live, GPA, region[0], 0, MIB), 0);
	assert_int_equal(map(live, OTHER_GPA, region[1], 0, MIB), 0);
	live_guest_poke(&guest, GPA, 100);
	live_guest_poke(&guest, OTHER_GPA, 101);
	assert_int_equal(gmem_change_new(live->vm, &change), 0);
	assert_int_equal(gmem_change_unmap(change, GPA, MIB), 0);
	assert_int_equal(gmem_change_unmap(change, OTHER_GPA, MIB), 0);
	assert_int_equal(gmem_change_map(change, GPA, region[1], 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	assert_int_equal(gmem_change_map(change, OTHER_GPA, region[0], 0, MIB, GMEM_SLOT_AUTO, 0),
			 0);
	assert_int_equal(gmem_change_commit(change), 0);
	gmem_change_free(change);
	assert_int_equal(live_guest_peek(&guest, GPA), 101);
	assert_int_equal(live_guest_peek(&guest, OTHER_GPA), 100);
	live_guest_free(&guest);
	gmem_region_free(region[1]);
	gmem_region_free(region[0]);
}

#endif

static const struct CMUnitTest tests[] = {
	live_case(map_and_unmap_reach_the_kernel),
	live_case(a_reserved_range_has_no_memslot),
	live_case(overlap_is_refused),
	live_case(a_page_is_mapped_once),
	live_case(an_alias_has_a_memslot_of_its_own),
	live_case(an_alias_in_another_address_space),
	live_case(a_slot_number_is_used_as_given),
	live_case(without_slot_the_caller_programs_kvm),
	live_case(slots_run_out_and_come_back),
	live_case(a_section_keeps_its_region),
	live_case(a_change_happens_with_vcpus_held),
	live_case(a_refused_pause_changes_nothing),
	live_case(the_pause_is_for_more_than_one_slot),
	live_case(a_change_with_a_bad_step_changes_nothing),
	live_case(a_change_that_the_kernel_refuses_is_undone),
#if defined(__x86_64__)
	live_case(dirty_log_names_the_pages_written),
	live_case(dirty_log_from_the_start),
	live_case(the_pause_covers_a_slot_put_back),
	live_case(a_read_only_section_exits_on_write),
	live_case(a_change_can_swap_windows),
#endif
};

live_main("live-layout", tests)
