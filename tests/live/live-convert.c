// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Conversion on a real kernel: a guest that asks by hypercall for its memory to be private or
 * shared, and what guest, host, libgmem and kernel then make of it.
 */
#include "live.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)

#include "random.h"

#define GPA (16 * MIB)
#define OTHER_GPA (64 * MIB)
#define PAGES 16u
#define HYPERCALL 12u
#define TO_PRIVATE 16u
#define FAULT_EXIT 39u
#define FAULT_PRIVATE (UINT64_C(1) << 3)
#define SET_MEMORY_ATTRIBUTES _IOW(KVMIO, 0xd2, struct attributes)
#define ATTRIBUTE_PRIVATE (UINT64_C(1) << 3)
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* Of linux/kvm.h and linux/mman.h since 6.8 and 6.5; Debian 12's are of 6.1. */
struct attributes {
	uint64_t address;
	uint64_t size;
	uint64_t attributes;
	uint64_t flags;
};

struct memory_fault {
	uint64_t flags;
	uint64_t gpa;
	uint64_t size;
};

struct cache_range {
	uint64_t offset;
	uint64_t length;
};

struct cache_stat {
	uint64_t cached;
	uint64_t dirty;
	uint64_t writeback;
	uint64_t evicted;
	uint64_t recently_evicted;
};

/* Memory of a case, all shared at first. */
struct ram {
	struct gmem_region *region;
	struct gmem_region_info info;
	uint64_t gpa;
	bool single; /* one file for both sides: bytes stay where they are */
};

static void make_ram(struct live *live, struct ram *ram, uint64_t gpa, uint64_t pages,
		     uint32_t memory)
{
	struct gmem_region_config *config = NULL;
	uint64_t size = pages * live->page;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_state(config, GMEM_SHARED);
	gmem_region_config_set_tag(config, gpa);
	if (memory != GMEM_MEMORY_SHMEM)
		gmem_region_config_set_memory(config, memory, 0);
	assert_int_equal(gmem_region_new(live->vm, size, config, &ram->region), 0);
	gmem_region_config_free(config);
	assert_int_equal(gmem_region_get_info(ram->region, &ram->info), 0);
	assert_int_equal(ram->info.can_be_private, 1);
	assert_int_equal(gmem_vm_map(live->vm, gpa, ram->region, 0, size, GMEM_SLOT_AUTO, 0), 0);
	ram->gpa = gpa;
	ram->single = ram->info.backing == GMEM_BACKING_GUEST_MEMFD;
}

static void open_guest(struct live *live, struct live_guest *guest)
{
	assert_int_equal(gmem_vm_enable_exits(live->vm), 0);
	live_guest_new(live, guest);
}

/* What the guest is told, once the VMM has handled what it asked for. */
static uint32_t ask(struct live_guest *guest, uint64_t gpa, uint64_t pages, bool to_private,
		    struct gmem_report *report)
{
	const struct kvm_regs regs = {
		.rax = HYPERCALL,
		.rbx = gpa,
		.rcx = pages,
		.rdx = to_private ? TO_PRIVATE : 0,
	};

	live_guest_set(guest, guest_program_vmcall, &regs);
	assert_int_equal(live_guest_enter(guest), 0);
	assert_int_equal(guest->run->exit_reason, KVM_EXIT_HYPERCALL);
	assert_int_equal(gmem_vm_handle_exit(guest->live->vm, guest->vcpu_fd, guest->run, 0,
					     report),
			 GMEM_EXIT_RESUME);
	assert_int_equal(live_guest_continue(guest), KVM_EXIT_HLT);
	return (uint32_t)guest->regs.rax;
}

/* It gets what it asks for. */
static void must_ask(struct live_guest *guest, uint64_t gpa, uint64_t pages, bool to_private)
{
	struct gmem_report report;

	assert_int_equal(ask(guest, gpa, pages, to_private, &report), 0);
	assert_int_equal(report.error, 0);
	assert_int_equal(report.stage, GMEM_STAGE_DONE);
	assert_int_equal(gmem_vm_get_state(guest->live->vm, gpa, pages * guest->live->page),
			 to_private ? GMEM_PRIVATE : GMEM_SHARED);
}

static uint32_t host_reads(struct live *live, uint64_t gpa)
{
	uint32_t value = 0;

	assert_int_equal(gmem_vm_read(live->vm, gpa, &value, sizeof(value), 0), 0);
	return value;
}

/* The host's own memory there, whatever the state says: only of a split region. */
static uint32_t host_side(const struct ram *ram, uint64_t offset)
{
	uint32_t value;

	memcpy(&value, (const char *)ram->info.host + offset, sizeof(value));
	return value;
}

static void assert_host_refused(struct live *live, uint64_t gpa)
{
	uint32_t value = 0;
	void *host;

	assert_int_equal(gmem_vm_read(live->vm, gpa, &value, sizeof(value), 0), -EACCES);
	assert_int_equal(gmem_vm_read(live->vm, gpa, &value, sizeof(value), GMEM_ACCESS_CHECKED),
			 -EACCES);
	assert_int_equal(gmem_vm_write(live->vm, gpa, &value, sizeof(value), 0), -EACCES);
	assert_int_equal(gmem_vm_translate(live->vm, gpa, sizeof(value), 0, &host), -EACCES);
}

static void a_guest_turns_a_page_private_and_back(void **state)
{
	struct live *live = *state;
	const uint64_t page = live->page;
	struct live_guest guest;
	struct ram ram;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	live_guest_poke(&guest, GPA + page, 0x11);
	live_guest_poke(&guest, GPA + 2 * page, 0x33);
	assert_int_equal(host_reads(live, GPA + page), 0x11);

	must_ask(&guest, GPA + page, 1, true);
	assert_host_refused(live, GPA + page);
	/* Another page, zeros at first; or in place the same, which keeps its bytes (P7). */
	assert_int_equal(live_guest_peek(&guest, GPA + page), ram.single ? 0x11 : 0);
	live_guest_poke(&guest, GPA + page, 0x22);
	assert_int_equal(live_guest_peek(&guest, GPA + page), 0x22);
	if (!ram.single)
		assert_int_equal(host_side(&ram, page), 0);
	/* Its neighbours are as they were. */
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, page), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, 3 * page), GMEM_SHARED | GMEM_PRIVATE);
	assert_int_equal(host_reads(live, GPA + 2 * page), 0x33);
	assert_int_equal(live_guest_peek(&guest, GPA + 2 * page), 0x33);

	must_ask(&guest, GPA + page, 1, false);
	/* Of a split region both sides were freed when they were no longer seen (V2). */
	assert_int_equal(live_guest_peek(&guest, GPA + page), ram.single ? 0x22 : 0);
	assert_int_equal(host_reads(live, GPA + page), ram.single ? 0x22 : 0);
	live_guest_poke(&guest, GPA + page, 0x44);
	assert_int_equal(host_reads(live, GPA + page), 0x44);
	assert_int_equal(live->errors, 0);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* Whatever the shared side is made of. */
static void what_is_kept_comes_back(void **state)
{
	static const uint32_t memory[] = { GMEM_MEMORY_SHMEM, GMEM_MEMORY_ANON };
	struct live *live = *state;
	const uint64_t page = live->page;
	struct live_guest guest;
	struct ram ram;
	unsigned int i;

	open_guest(live, &guest);
	for (i = 0; i < 2; i++) {
		make_ram(live, &ram, GPA, PAGES, memory[i]);
		live_guest_poke(&guest, GPA, 0x51);
		assert_int_equal(gmem_vm_convert(live->vm, GPA, page, GMEM_PRIVATE,
						 GMEM_CONVERT_KEEP, NULL),
				 0);
		live_guest_poke(&guest, GPA, 0x52);
		if (!ram.single)
			assert_int_equal(host_side(&ram, 0), 0x51);
		assert_int_equal(gmem_vm_convert(live->vm, GPA, page, GMEM_SHARED,
						 GMEM_CONVERT_KEEP, NULL),
				 0);
		assert_int_equal(live_guest_peek(&guest, GPA), ram.single ? 0x52 : 0x51);
		assert_int_equal(host_reads(live, GPA), ram.single ? 0x52 : 0x51);
		assert_int_equal(gmem_vm_convert(live->vm, GPA, page, GMEM_PRIVATE,
						 GMEM_CONVERT_KEEP, NULL),
				 0);
		assert_int_equal(live_guest_peek(&guest, GPA), 0x52);
		assert_int_equal(gmem_vm_unmap(live->vm, GPA, PAGES * page), 0);
		gmem_region_free(ram.region);
	}
	live_guest_free(&guest);
}

static void a_request_over_two_sections(void **state)
{
	struct live *live = *state;
	const uint64_t page = live->page;
	const uint64_t border = GPA + PAGES * page;
	struct gmem_report report;
	struct live_guest guest;
	struct ram low;
	struct ram high;

	make_ram(live, &low, GPA, PAGES, GMEM_MEMORY_SHMEM);
	make_ram(live, &high, border, PAGES, GMEM_MEMORY_ANON);
	open_guest(live, &guest);
	live_guest_poke(&guest, border - page, 1);
	live_guest_poke(&guest, border, 2);
	assert_int_equal(ask(&guest, border - 2 * page, 4, true, &report), 0);
	assert_int_equal(report.converted, 4 * page);
	/* One run of addresses, where these are what the kernel tracks. */
	assert_int_equal(report.ioctls, low.single || high.single ? 2 : 1);
	assert_int_equal(gmem_vm_get_state(live->vm, border - 2 * page, 4 * page), GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, (PAGES - 2) * page), GMEM_SHARED);
	assert_int_equal(gmem_vm_get_state(live->vm, border + 2 * page, (PAGES - 2) * page),
			 GMEM_SHARED);
	live_guest_poke(&guest, border - page, 0x81);
	live_guest_poke(&guest, border, 0x82);
	assert_host_refused(live, border - page);
	assert_host_refused(live, border);
	assert_int_equal(live_guest_peek(&guest, border - page), 0x81);
	assert_int_equal(live_guest_peek(&guest, border), 0x82);
	must_ask(&guest, border - 2 * page, 4, false);
	assert_int_equal(host_reads(live, border - page), low.single ? 0x81 : 0);
	assert_int_equal(host_reads(live, border), high.single ? 0x82 : 0);
	live_guest_free(&guest);
	gmem_region_free(low.region);
	gmem_region_free(high.region);
}

/* What a listener has heard. */
struct heard {
	uint32_t event[8];
	uint64_t gpa[8];
	uint64_t size[8];
	unsigned int count;
	bool refuses;
};

static int hear(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct heard *heard = opaque;

	if (heard->count < 8) {
		heard->event[heard->count] = event;
		heard->gpa[heard->count] = run->gpa;
		heard->size[heard->count] = run->size;
	}
	heard->count++;
	return heard->refuses ? -EBUSY : 0;
}

static void assert_heard(const struct heard *heard, unsigned int i, uint32_t event, uint64_t gpa,
			 uint64_t size)
{
	assert_true(heard->count > i);
	assert_int_equal(heard->event[i], event);
	assert_int_equal(heard->gpa[i], gpa);
	assert_int_equal(heard->size[i], size);
}

static void listeners_are_told(void **state)
{
	struct live *live = *state;
	const uint64_t page = live->page;
	struct gmem_listener *listener = NULL;
	struct heard heard = { .count = 0 };
	struct live_guest guest;
	struct ram low;
	struct ram high;

	make_ram(live, &low, GPA, PAGES, GMEM_MEMORY_SHMEM);
	make_ram(live, &high, GPA + PAGES * page, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	assert_int_equal(gmem_listener_new(live->vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0, hear,
					   &heard, NULL, &listener),
			 0);
	must_ask(&guest, GPA + (PAGES - 1) * page, 3, true);
	assert_int_equal(heard.count, 2);
	assert_heard(&heard, 0, GMEM_EVENT_REMOVE, GPA + (PAGES - 1) * page, page);
	assert_heard(&heard, 1, GMEM_EVENT_REMOVE, GPA + PAGES * page, 2 * page);
	must_ask(&guest, GPA + PAGES * page, 1, false);
	assert_int_equal(heard.count, 3);
	assert_heard(&heard, 2, GMEM_EVENT_ADD, GPA + PAGES * page, page);
	/* What is right already is no news. */
	must_ask(&guest, GPA + PAGES * page, 1, false);
	assert_int_equal(heard.count, 3);
	assert_int_equal(gmem_listener_free(listener), 0);
	live_guest_free(&guest);
	gmem_region_free(low.region);
	gmem_region_free(high.region);
}

/* The guest is told, and the memory is what it was. */
static void a_listener_that_refuses(void **state)
{
	struct live *live = *state;
	struct gmem_listener *listener = NULL;
	struct heard heard = { .refuses = true };
	struct gmem_report report;
	struct live_guest guest;
	struct ram ram;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	live_guest_poke(&guest, GPA, 0x61);
	assert_int_equal(gmem_listener_new(live->vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0, hear,
					   &heard, NULL, &listener),
			 0);
	assert_int_equal(ask(&guest, GPA, 1, true, &report), EINVAL);
	assert_int_equal(report.error, -ECANCELED);
	assert_int_equal(heard.count, 1);
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, live->page), GMEM_SHARED);
	live_guest_poke(&guest, GPA + 4, 0x62);
	assert_int_equal(host_reads(live, GPA), 0x61);
	assert_int_equal(host_reads(live, GPA + 4), 0x62);
	assert_int_equal(gmem_listener_free(listener), 0);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

static void a_pinned_page_is_not_converted(void **state)
{
	struct live *live = *state;
	const uint64_t page = live->page;
	struct gmem_vm_config *config = NULL;
	struct gmem_report report;
	struct live_guest guest;
	struct gmem_pin pin;
	struct ram ram;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, live->type);
	gmem_vm_config_set_retry(config, 0, NULL, NULL, NULL);
	live_set_vm(live, config);
	gmem_vm_config_free(config);
	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	assert_int_equal(gmem_vm_pin(live->vm, GPA + 2 * page, page, GMEM_ACCESS_WRITE, &pin), 0);
	assert_int_equal(ask(&guest, GPA, 4, true, &report), EAGAIN);
	assert_int_equal(report.error, -EAGAIN);
	assert_int_equal(report.gpa, GPA + 2 * page);
	assert_int_equal(report.size, page);
	/* The rest is private, the page is guest's and host's. */
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, 2 * page), GMEM_PRIVATE);
	assert_int_equal(gmem_vm_get_state(live->vm, GPA + 3 * page, page), GMEM_PRIVATE);
	live_guest_poke(&guest, GPA + 2 * page, 0x71);
	assert_memory_equal(pin.host, "\x71\0\0\0", 4);
	gmem_vm_unpin(live->vm, &pin);
	must_ask(&guest, GPA, 4, true);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* Pages of a file that are there, by the kernel's own count; -1 where it does not count. */
static int64_t pages_of(int fd, uint64_t size)
{
	struct cache_range range = { .length = size };
	struct cache_stat stat;

	return syscall(SYS_cachestat, (long)fd, &range, &stat, 0L) < 0 ? -1 : (int64_t)stat.cached;
}

static void need_count(const struct ram *ram)
{
	if (pages_of(ram->info.guest_memfd, ram->info.size) >= 0)
		return;
	print_message("this kernel does not count the pages of a guest_memfd: cachestat: %s\n",
		      strerror(errno));
	skip();
}

static void assert_pages(const struct ram *ram, uint64_t in_guest_memfd, uint64_t in_shared_side)
{
	struct stat shared;

	assert_int_equal(pages_of(ram->info.guest_memfd, ram->info.size), in_guest_memfd);
	assert_int_equal(fstat(ram->info.fd, &shared), 0);
	assert_int_equal((uint64_t)shared.st_blocks * 512, in_shared_side * ram->info.page_size);
}

static void guest_fills(struct live_guest *guest, uint64_t gpa, uint64_t pages)
{
	const struct kvm_regs regs = {
		.rdi = gpa, .rax = 0xf111, .rcx = pages, .rdx = guest->live->page
	};

	assert_int_equal(live_guest_run(guest, guest_program_write, &regs), KVM_EXIT_HLT);
}

static void need_split(const struct ram *ram)
{
	if (!ram->single)
		return;
	print_message("in place nothing is held twice\n");
	skip();
}

/* Each page is held once, whichever way it goes. */
static void what_is_not_seen_is_freed(void **state)
{
	struct live *live = *state;
	const uint64_t page = live->page;
	struct live_guest guest;
	struct ram ram;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	need_split(&ram);
	need_count(&ram);
	open_guest(live, &guest);
	assert_pages(&ram, 0, 0);
	guest_fills(&guest, GPA, PAGES);
	assert_pages(&ram, 0, PAGES);
	must_ask(&guest, GPA, PAGES / 2, true);
	assert_pages(&ram, 0, PAGES / 2);
	guest_fills(&guest, GPA, PAGES);
	assert_pages(&ram, PAGES / 2, PAGES / 2);
	must_ask(&guest, GPA + page, 2, false);
	assert_pages(&ram, PAGES / 2 - 2, PAGES / 2);
	must_ask(&guest, GPA, PAGES, false);
	assert_pages(&ram, 0, PAGES / 2);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* Put off until there is enough of it, or somebody says now. */
static void what_is_put_off_is_freed_later(void **state)
{
	struct live *live = *state;
	struct gmem_vm_config *config = NULL;
	struct gmem_report report;
	struct gmem_vm_stats stats;
	struct live_guest guest;
	struct ram ram;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, live->type);
	gmem_vm_config_set_discard_limit(config, MIB);
	live_set_vm(live, config);
	gmem_vm_config_free(config);
	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	need_split(&ram);
	need_count(&ram);
	open_guest(live, &guest);
	guest_fills(&guest, GPA, PAGES);
	must_ask(&guest, GPA, PAGES, true);
	guest_fills(&guest, GPA, PAGES);
	assert_pages(&ram, PAGES, PAGES);
	assert_int_equal(gmem_vm_get_stats(live->vm, &stats), 0);
	assert_int_equal(stats.bytes_held_twice, PAGES * live->page);
	assert_int_equal(gmem_vm_flush(live->vm, 0, &report), 0);
	assert_int_equal(report.freed, PAGES * live->page);
	assert_pages(&ram, PAGES, 0);
	assert_int_equal(live_guest_peek(&guest, GPA), 0xf111);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* Of both sides; the states stay. */
static void a_discard_frees_what_the_guest_has(void **state)
{
	struct live *live = *state;
	const uint64_t page = live->page;
	const uint64_t size = (PAGES - 2) * page;
	struct gmem_report report;
	struct live_guest guest;
	struct ram ram;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	must_ask(&guest, GPA, PAGES / 2, true);
	guest_fills(&guest, GPA, PAGES);
	assert_int_equal(gmem_vm_discard(live->vm, GPA + page, size, 0, &report), 0);
	assert_int_equal(report.freed, ram.single ? size : 2 * size);
	if (!ram.single && pages_of(ram.info.guest_memfd, ram.info.size) >= 0)
		assert_pages(&ram, 1, 1);
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, PAGES / 2 * page), GMEM_PRIVATE);
	assert_int_equal(live_guest_peek(&guest, GPA), 0xf111);
	assert_int_equal(live_guest_peek(&guest, GPA + page), 0);
	assert_int_equal(live_guest_peek(&guest, GPA + (PAGES - 2) * page), 0);
	assert_int_equal(live_guest_peek(&guest, GPA + (PAGES - 1) * page), 0xf111);
	assert_int_equal(host_reads(live, GPA + (PAGES - 2) * page), 0);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* KVM allocates what the guest has asked for before the guest touches it. */
static void a_request_can_prefault(void **state)
{
	struct live *live = *state;
	struct gmem_vm_config *config = NULL;
	struct gmem_vm_info info;
	struct live_guest guest;
	struct ram ram;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, live->type);
	gmem_vm_config_set_prefault(config, 3 * live->page);
	live_set_vm(live, config);
	gmem_vm_config_free(config);
	assert_int_equal(gmem_vm_get_info(live->vm, &info), 0);
	if (!info.prefault) {
		print_message("this kernel has no KVM_PRE_FAULT_MEMORY\n");
		skip();
	}
	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	need_count(&ram);
	open_guest(live, &guest);
	must_ask(&guest, GPA, PAGES, true);
	assert_int_equal(pages_of(ram.info.guest_memfd, ram.info.size), 3);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* What KVM itself lets pass of what a guest may ask for, and libgmem does not. */
static void requests_that_are_wrong(void **state)
{
	struct live *live = *state;
	const uint64_t page = live->page;
	struct gmem_report report;
	struct live_guest guest;
	struct ram ram;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	guest_fills(&guest, GPA, PAGES);
	/* Past the end, in a hole, and as far as a 32-bit guest can count. */
	assert_int_equal(ask(&guest, GPA + (PAGES - 1) * page, 2, true, &report), EINVAL);
	assert_int_equal(report.error, -ENOENT);
	assert_int_equal(report.gpa, GPA + PAGES * page);
	assert_int_equal(ask(&guest, OTHER_GPA, 1, true, &report), EINVAL);
	assert_int_equal(ask(&guest, GPA, UINT32_MAX, true, &report), EINVAL);
	/* The guest's own code: memory that can never be private. */
	assert_int_equal(ask(&guest, LIVE_CODE_GPA, 1, true, &report), EINVAL);
	assert_int_equal(report.error, -EACCES);
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, PAGES * page), GMEM_SHARED);
	assert_int_equal(host_reads(live, GPA + (PAGES - 1) * page), 0xf111);
	assert_int_equal(live_guest_peek(&guest, GPA + (PAGES - 1) * page), 0xf111);
	assert_int_equal(live->errors, 0);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* One page at a time: its state, and the word that guest and host find in it. */
struct page_model {
	bool is_private;
	uint32_t value;
};

static void model_convert(struct page_model *model, uint64_t first, uint64_t count, bool to_private,
			  bool keeps)
{
	uint64_t i;

	for (i = first; i < first + count; i++) {
		if (model[i].is_private != to_private && !keeps)
			model[i].value = 0;
		model[i].is_private = to_private;
	}
}

static void compare_with_model(struct live_guest *guest, const struct page_model *model,
			       uint64_t pages)
{
	struct live *live = guest->live;
	struct gmem_run run;
	uint32_t value;
	uint64_t i;

	for (i = 0; i < pages; i++) {
		const uint64_t gpa = GPA + i * live->page;

		assert_int_equal(live_guest_peek(guest, gpa), model[i].value);
		assert_int_equal(gmem_vm_get_state(live->vm, gpa, live->page),
				 model[i].is_private ? GMEM_PRIVATE : GMEM_SHARED);
		assert_int_equal(gmem_vm_read(live->vm, gpa, &value, sizeof(value), 0),
				 model[i].is_private ? -EACCES : 0);
		if (!model[i].is_private)
			assert_int_equal(value, model[i].value);
	}
	for (i = 0; i < pages; i += run.size / live->page) {
		uint64_t next;

		assert_int_equal(gmem_vm_next_run(live->vm, GPA + i * live->page, &run), 1);
		for (next = i; next < i + run.size / live->page; next++)
			assert_int_equal(run.state,
					 model[next].is_private ? GMEM_PRIVATE : GMEM_SHARED);
	}
}

/* Random requests and writes, beside a model of single pages. */
static void states_are_what_the_guest_sees(void **state)
{
	struct live *live = *state;
	uint64_t seed = random_seed("live-convert");
	struct page_model model[2 * PAGES] = { { .value = 0 } };
	struct live_guest guest;
	struct ram low;
	struct ram high;
	unsigned int step;

	make_ram(live, &low, GPA, PAGES, GMEM_MEMORY_SHMEM);
	make_ram(live, &high, GPA + PAGES * live->page, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	for (step = 0; step < 200; step++) {
		uint64_t first = random_below(&seed, 2 * PAGES);
		uint64_t count = 1 + random_below(&seed, 2 * PAGES - first);
		bool to_private = random_below(&seed, 2);

		if (random_below(&seed, 2)) {
			must_ask(&guest, GPA + first * live->page, count, to_private);
			model_convert(model, first, count, to_private, low.single);
		} else {
			model[first].value = step + 1;
			live_guest_poke(&guest, GPA + first * live->page, step + 1);
		}
		if (step % 20 == 19)
			compare_with_model(&guest, model, (uint64_t)2 * PAGES);
	}
	live_guest_free(&guest);
	gmem_region_free(low.region);
	gmem_region_free(high.region);
}

/* A vCPU that converts by itself, in a thread; nothing here may be an assertion. */
struct toggler {
	struct live_guest guest;
	pthread_t thread;
	unsigned int requests;
	const char *failed; /* NULL: it came to its end */
};

static const char *answer(struct toggler *toggler)
{
	struct live_guest *guest = &toggler->guest;
	int error = ioctl(guest->vcpu_fd, KVM_RUN, 0UL) < 0 ? errno : 0;

	if (error == EINTR)
		return NULL;
	if (error == 0 && guest->run->exit_reason == KVM_EXIT_HLT)
		return "done";
	toggler->requests++;
	if (gmem_vm_handle_exit(guest->live->vm, guest->vcpu_fd, guest->run, error, NULL) !=
	    GMEM_EXIT_RESUME)
		return "an exit that was not resumed";
	return NULL;
}

static void *toggle(void *opaque)
{
	struct toggler *toggler = opaque;
	const char *end;

	while (!(end = answer(toggler)))
		;
	if (strcmp(end, "done") != 0)
		toggler->failed = end;
	return NULL;
}

#define ROUNDS 100u

/* Neighbours in one region, whose edges lie in the same megabytes. */
static void two_vcpus_convert_at_the_same_time(void **state)
{
	struct live *live = *state;
	struct toggler toggler[2] = { { .requests = 0 } };
	struct kvm_regs regs = { .rcx = PAGES / 2, .rsi = ROUNDS };
	struct ram ram;
	unsigned int i;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &toggler[0].guest);
	live_guest_new_vcpu(live, &toggler[1].guest, 1);
	for (i = 0; i < 2; i++) {
		regs.rdi = GPA + i * PAGES / 2 * live->page;
		live_guest_set(&toggler[i].guest, guest_program_toggle, &regs);
	}
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&toggler[i].thread, NULL, toggle, &toggler[i]), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(toggler[i].thread, NULL), 0);
	for (i = 0; i < 2; i++) {
		struct live_guest *guest = &toggler[i].guest;

		if (toggler[i].failed)
			print_error("vCPU %u: %s\n", i, toggler[i].failed);
		assert_null(toggler[i].failed);
		assert_int_equal(ioctl(guest->vcpu_fd, KVM_GET_REGS, &guest->regs), 0);
		assert_int_equal((uint32_t)guest->regs.rax, 0);
		assert_int_equal(toggler[i].requests, 2 * ROUNDS);
		/* What it wrote last, as shared. */
		assert_int_equal(host_reads(live, GPA + i * PAGES / 2 * live->page + 4), 1);
	}
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, PAGES * live->page), GMEM_SHARED);
	live_guest_free(&toggler[1].guest);
	live_guest_free(&toggler[0].guest);
	gmem_region_free(ram.region);
}

/* The guest's access has no private memory behind it: KVM_RUN fails, and says where. */
static int fault(struct live_guest *guest, uint64_t gpa, struct gmem_report *report)
{
	const struct kvm_regs regs = { .rsi = gpa };
	struct memory_fault exit;

	live_guest_set(guest, guest_program_read, &regs);
	assert_int_equal(live_guest_enter(guest), EFAULT);
	assert_int_equal(guest->run->exit_reason, FAULT_EXIT);
	memcpy(&exit, &guest->run->hw, sizeof(exit));
	assert_int_equal(exit.flags, FAULT_PRIVATE);
	assert_int_equal(exit.gpa, gpa & ~(guest->live->page - 1));
	return gmem_vm_handle_exit(guest->live->vm, guest->vcpu_fd, guest->run, EFAULT, report);
}

/* Behind libgmem's back; only where the VM tracks. */
static void set_attributes(struct live *live, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct attributes set = { .address = gpa, .size = size, .attributes = attributes };
	struct gmem_vm_info info;

	assert_int_equal(gmem_vm_get_info(live->vm, &info), 0);
	if (info.tracking != GMEM_TRACKING_VM) {
		print_message("the VM does not track what is private\n");
		skip();
	}
	assert_int_equal(ioctl(live->vm_fd, SET_MEMORY_ATTRIBUTES, &set), 0);
}

/* Kernel facts E2, S6: what can never be private, and an address with nothing there. */
static void faults_that_nothing_mends(void **state)
{
	struct live *live = *state;
	struct gmem_region *plain = live_plain(live, MIB, GMEM_MEMORY_SHMEM);
	struct gmem_report report;
	struct live_guest guest;

	assert_int_equal(gmem_vm_map(live->vm, GPA, plain, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	open_guest(live, &guest);
	set_attributes(live, GPA, live->page, ATTRIBUTE_PRIVATE);
	assert_int_equal(fault(&guest, GPA + 8, &report), -EACCES);
	assert_int_equal(report.gpa, GPA);
	set_attributes(live, GPA, live->page, 0);
	assert_int_equal(live_guest_peek(&guest, GPA + 8), 0);

	set_attributes(live, OTHER_GPA, live->page, ATTRIBUTE_PRIVATE);
	assert_int_equal(fault(&guest, OTHER_GPA, &report), -ENOENT);
	assert_int_equal(report.gpa, OTHER_GPA);
	live_guest_free(&guest);
	gmem_region_free(plain);
}

/* Kernel fact S5: somebody closes the file. The vCPU does not fault for ever. */
static void a_file_that_is_gone_ends_the_loop(void **state)
{
	struct live *live = *state;
	struct gmem_report report = { 0 };
	struct live_guest guest;
	unsigned int times = 0;
	struct ram ram;
	int other;
	int rc;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	must_ask(&guest, GPA, 1, true);
	live_guest_poke(&guest, GPA, 1);
	/* A mapping of it would keep it. */
	if (ram.single) {
		print_message("in place the host's mapping keeps the file\n");
		skip();
	}
	other = dup2(STDIN_FILENO, ram.info.guest_memfd);
	assert_int_equal(other, ram.info.guest_memfd);
	while ((rc = fault(&guest, GPA, &report)) == GMEM_EXIT_RESUME)
		assert_true(++times <= GMEM_EXIT_FAULTS_MAX);
	assert_int_equal(rc, -EIO);
	assert_int_equal(report.gpa, GPA);
	assert_int_equal(times, GMEM_EXIT_FAULTS_MAX);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
}

/* Kernel fact S6: attributes belong to the address; what comes there next is what libgmem says. */
static void what_is_mapped_next_does_not_inherit(void **state)
{
	struct live *live = *state;
	const uint64_t size = PAGES * live->page;
	struct gmem_region *plain = live_plain(live, size, GMEM_MEMORY_SHMEM);
	struct live_guest guest;
	struct ram ram;

	make_ram(live, &ram, GPA, PAGES, GMEM_MEMORY_SHMEM);
	open_guest(live, &guest);
	must_ask(&guest, GPA, PAGES, true);
	live_guest_poke(&guest, GPA, 0x91);
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, size), 0);
	assert_int_equal(gmem_vm_map(live->vm, GPA, plain, 0, size, GMEM_SLOT_AUTO, 0), 0);
	live_guest_poke(&guest, GPA, 0x92);
	assert_int_equal(host_reads(live, GPA), 0x92);
	/* States belong to the region: elsewhere it is as private as it was. */
	assert_int_equal(gmem_vm_map(live->vm, OTHER_GPA, ram.region, 0, size, GMEM_SLOT_AUTO, 0),
			 0);
	assert_int_equal(gmem_vm_get_state(live->vm, OTHER_GPA, size), GMEM_PRIVATE);
	assert_int_equal(live_guest_peek(&guest, OTHER_GPA), 0x91);
	assert_host_refused(live, OTHER_GPA);
	live_guest_free(&guest);
	gmem_region_free(ram.region);
	gmem_region_free(plain);
}

/* Without a word about its state memory starts private. */
static void memory_starts_private(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = NULL;
	struct live_guest guest;

	assert_int_equal(gmem_region_new(live->vm, MIB, NULL, &region), 0);
	assert_int_equal(gmem_vm_map(live->vm, GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	open_guest(live, &guest);
	assert_int_equal(gmem_vm_get_state(live->vm, GPA, MIB), GMEM_PRIVATE);
	live_guest_poke(&guest, GPA + 64, 0xa1);
	assert_int_equal(live_guest_peek(&guest, GPA + 64), 0xa1);
	assert_host_refused(live, GPA + 64);
	must_ask(&guest, GPA, 1, false);
	live_guest_poke(&guest, GPA + 64, 0xa2);
	assert_int_equal(host_reads(live, GPA + 64), 0xa2);
	live_guest_free(&guest);
	gmem_region_free(region);
}

static const struct CMUnitTest tests[] = {
	live_private_case(a_guest_turns_a_page_private_and_back),
	live_private_case(what_is_kept_comes_back),
	live_private_case(a_request_over_two_sections),
	live_private_case(listeners_are_told),
	live_private_case(a_listener_that_refuses),
	live_private_case(a_pinned_page_is_not_converted),
	live_private_case(what_is_not_seen_is_freed),
	live_private_case(what_is_put_off_is_freed_later),
	live_private_case(a_discard_frees_what_the_guest_has),
	live_private_case(a_request_can_prefault),
	live_private_case(requests_that_are_wrong),
	live_private_case(states_are_what_the_guest_sees),
	live_private_case(two_vcpus_convert_at_the_same_time),
	live_private_case(faults_that_nothing_mends),
	live_private_case(a_file_that_is_gone_ends_the_loop),
	live_private_case(what_is_mapped_next_does_not_inherit),
	live_private_case(memory_starts_private),
};

live_main_where(live_unserved_private, "live-convert", tests)

#else

int main(void)
{
	print_message("the guest of these tests is x86 code, and this machine is not an x86 one\n");
	return LIVE_SKIP;
}

#endif
