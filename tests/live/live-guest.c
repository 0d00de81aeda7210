// SPDX-License-Identifier: LGPL-2.1-or-later
/* A guest that really runs: what it writes the host reads, and the other way round. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)

#define GPA (16 * MIB)
#define OTHER_GPA (32 * MIB)
#define PAGES 64u

/* A section of each kind, by how its region is made. */
enum kind {
	KIND_GUEST_MEMFD,
	KIND_SHMEM,
	KIND_ANON,
	KIND_CALLERS_FILE,
	KIND_CALLERS_MAPPING,
	KIND_DEVICE,
	KINDS
};

static const char *const kind_name[KINDS] = {
	"guest_memfd", "memfd", "anonymous", "caller's file", "caller's mapping", "device",
};

struct memory {
	struct gmem_region *region;
	void *mapping; /* the caller's own */
	uint64_t size;
	uint32_t flags; /* GMEM_MAP_* */
};

static void set_kind(const struct live *live, struct gmem_region_config *config, enum kind kind,
		     struct memory *memory, int fd)
{
	gmem_region_config_set_backing(config, kind == KIND_GUEST_MEMFD
						       ? live_guest_memfd_backing(live)
						       : GMEM_BACKING_PLAIN);
	gmem_region_config_set_state(config, GMEM_SHARED);
	if (kind == KIND_SHMEM)
		gmem_region_config_set_memory(config, GMEM_MEMORY_SHMEM, 0);
	if (kind == KIND_ANON)
		gmem_region_config_set_memory(config, GMEM_MEMORY_ANON, 0);
	if (kind == KIND_CALLERS_FILE)
		gmem_region_config_set_fd(config, fd, 0);
	if (kind == KIND_CALLERS_MAPPING)
		gmem_region_config_set_mapping(config, memory->mapping, GMEM_MEMORY_ANON, 0);
	if (kind == KIND_DEVICE)
		gmem_region_config_set_mapping(config, memory->mapping, GMEM_MEMORY_DEVICE, 0);
}

static void make_memory(struct live *live, enum kind kind, struct memory *memory)
{
	struct gmem_region_config *config = NULL;
	int fd = -1;

	memset(memory, 0, sizeof(*memory));
	memory->size = PAGES * live->page;
	memory->flags = kind == KIND_DEVICE ? GMEM_MAP_DEVICE : 0;
	if (kind == KIND_CALLERS_FILE) {
		fd = (int)syscall(SYS_memfd_create, "callers", 1U);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, (off_t)memory->size), 0);
	}
	if (kind == KIND_CALLERS_MAPPING || kind == KIND_DEVICE) {
		memory->mapping = mmap(NULL, memory->size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_ptr_not_equal(memory->mapping, MAP_FAILED);
	}
	assert_int_equal(gmem_region_config_new(&config), 0);
	set_kind(live, config, kind, memory, fd);
	assert_int_equal(gmem_region_new(live->vm, memory->size, config, &memory->region), 0);
	gmem_region_config_free(config);
	if (fd >= 0)
		close(fd);
}

static void free_memory(struct memory *memory)
{
	gmem_region_free(memory->region);
	if (memory->mapping)
		munmap(memory->mapping, memory->size);
}

static uint32_t word_at(const void *host, uint64_t offset)
{
	uint32_t value;

	memcpy(&value, (const char *)host + offset, sizeof(value));
	return value;
}

static void guest_writes(struct live *live, struct live_guest *guest, const void *host,
			 uint32_t value)
{
	const struct kvm_regs regs = {
		.rdi = GPA + 16, .rax = value, .rcx = PAGES, .rdx = live->page
	};
	unsigned int i;

	assert_int_equal(live_guest_run(guest, guest_program_write, &regs), KVM_EXIT_HLT);
	for (i = 0; i < PAGES; i++)
		assert_int_equal(word_at(host, i * live->page + 16), value);
}

static void guest_reads(struct live *live, struct live_guest *guest, void *host)
{
	const struct kvm_regs regs = { .rsi = GPA + 32, .rcx = PAGES, .rdx = live->page };
	uint32_t sum = 0;
	uint32_t i;

	for (i = 0; i < PAGES; i++) {
		memcpy((char *)host + i * live->page + 32, &i, sizeof(i));
		sum += i;
	}
	assert_int_equal(live_guest_run(guest, guest_program_sum, &regs), KVM_EXIT_HLT);
	assert_int_equal(guest->regs.rax, sum);
}

static void each_kind_is_the_same_memory_to_both(void **state)
{
	struct live *live = *state;
	struct live_guest guest;
	struct memory memory;
	unsigned int kind;

	live_guest_new(live, &guest);
	for (kind = 0; kind < KINDS; kind++) {
		print_message("%s\n", kind_name[kind]);
		make_memory(live, (enum kind)kind, &memory);
		assert_int_equal(gmem_vm_map(live->vm, GPA, memory.region, 0, memory.size,
					     GMEM_SLOT_AUTO, memory.flags),
				 0);
		guest_writes(live, &guest, live_host(memory.region), 0xc0ffee00 + kind);
		guest_reads(live, &guest, live_host(memory.region));
		assert_int_equal(gmem_vm_unmap(live->vm, GPA, memory.size), 0);
		free_memory(&memory);
	}
	live_guest_free(&guest);
}

static void translation_leads_to_what_the_guest_wrote(void **state)
{
	struct live *live = *state;
	struct live_guest guest;
	struct memory memory;
	unsigned int kind;
	void *host;

	live_guest_new(live, &guest);
	for (kind = 0; kind < KINDS; kind++) {
		print_message("%s\n", kind_name[kind]);
		make_memory(live, (enum kind)kind, &memory);
		assert_int_equal(gmem_vm_map(live->vm, GPA, memory.region, 0, memory.size,
					     GMEM_SLOT_AUTO, memory.flags),
				 0);
		live_guest_poke(&guest, GPA + 0x123, 0x01020304);
		if (kind == KIND_DEVICE) {
			assert_int_equal(gmem_vm_translate(live->vm, GPA + 0x123, 4, 0, &host),
					 -EACCES);
			assert_null(host);
		} else {
			assert_int_equal(gmem_vm_translate(live->vm, GPA + 0x123, 4,
							   GMEM_ACCESS_WRITE, &host),
					 0);
			assert_int_equal(word_at(host, 0), 0x01020304);
			memcpy(host, "\x0d\x0c\x0b\x0a", 4);
			assert_int_equal(live_guest_peek(&guest, GPA + 0x123), 0x0a0b0c0d);
		}
		assert_int_equal(gmem_vm_unmap(live->vm, GPA, memory.size), 0);
		free_memory(&memory);
	}
	live_guest_free(&guest);
}

/* Each page of the file is at the guest address that the windows say, and at no other. */
static void two_windows_of_one_region(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, 2 * MIB);
	const char *host = live_host(region);
	struct live_guest guest;
	void *at;

	live_guest_new(live, &guest);
	/* The upper half of the file below, the lower half above. */
	assert_int_equal(gmem_vm_map(live->vm, GPA, region, MIB, MIB, GMEM_SLOT_AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(live->vm, OTHER_GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	live_guest_poke(&guest, GPA + 0x1000, 0x11);
	live_guest_poke(&guest, OTHER_GPA + MIB - 4, 0x22);
	assert_int_equal(word_at(host, MIB + 0x1000), 0x11);
	assert_int_equal(word_at(host, MIB - 4), 0x22);
	assert_int_equal(gmem_vm_translate(live->vm, OTHER_GPA + MIB - 4, 4, 0, &at), 0);
	assert_ptr_equal(at, host + MIB - 4);
	assert_int_equal(word_at(host, 0x1000), 0);
	live_guest_free(&guest);
	gmem_region_free(region);
}

/* The guest copies from one file to another. */
static void the_guest_copies_between_sections(void **state)
{
	struct live *live = *state;
	struct gmem_region *from = live_guest_memfd(live, MIB);
	struct gmem_region *to = live_plain(live, MIB, GMEM_MEMORY_SHMEM);
	const struct kvm_regs regs = { .rsi = GPA, .rdi = OTHER_GPA, .rcx = MIB };
	uint8_t *bytes = live_host(from);
	struct live_guest guest;
	uint64_t i;

	live_guest_new(live, &guest);
	assert_int_equal(gmem_vm_map(live->vm, GPA, from, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(live->vm, OTHER_GPA, to, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	for (i = 0; i < MIB; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 12));
	assert_int_equal(live_guest_run(&guest, guest_program_copy, &regs), KVM_EXIT_HLT);
	assert_memory_equal(live_host(to), bytes, MIB);
	live_guest_free(&guest);
	gmem_region_free(to);
	gmem_region_free(from);
}

static void an_access_where_nothing_is_exits(void **state)
{
	struct live *live = *state;
	const struct kvm_regs write = { .rdi = GPA + 12, .rax = 0x87654321, .rcx = 1 };
	const struct kvm_regs read = { .rsi = GPA + 20 };
	struct live_guest guest;
	uint32_t value;

	live_guest_new(live, &guest);
	assert_int_equal(live_guest_run(&guest, guest_program_write, &write), KVM_EXIT_MMIO);
	assert_int_equal(guest.run->mmio.phys_addr, GPA + 12);
	assert_int_equal(guest.run->mmio.is_write, 1);
	memcpy(&value, guest.run->mmio.data, sizeof(value));
	assert_int_equal(value, 0x87654321);
	assert_int_equal(live_guest_continue(&guest), KVM_EXIT_HLT);

	assert_int_equal(live_guest_run(&guest, guest_program_read, &read), KVM_EXIT_MMIO);
	assert_int_equal(guest.run->mmio.phys_addr, GPA + 20);
	assert_int_equal(guest.run->mmio.is_write, 0);
	memcpy(guest.run->mmio.data, "\x78\x56\x34\x12", 4);
	assert_int_equal(live_guest_continue(&guest), KVM_EXIT_HLT);
	assert_int_equal(guest.regs.rax, 0x12345678);
	live_guest_free(&guest);
}

static void unmapped_memory_is_gone_and_kept(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	const struct kvm_regs read = { .rsi = GPA };
	struct live_guest guest;

	live_guest_new(live, &guest);
	assert_int_equal(gmem_vm_map(live->vm, GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	live_guest_poke(&guest, GPA, 0x5eed);
	assert_int_equal(gmem_vm_unmap(live->vm, GPA, MIB), 0);
	assert_int_equal(live_guest_run(&guest, guest_program_read, &read), KVM_EXIT_MMIO);
	assert_int_equal(live_guest_continue(&guest), KVM_EXIT_HLT);
	assert_int_equal(gmem_vm_map(live->vm, OTHER_GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	assert_int_equal(live_guest_peek(&guest, OTHER_GPA), 0x5eed);
	live_guest_free(&guest);
	gmem_region_free(region);
}

static void a_reserved_range_exits(void **state)
{
	struct live *live = *state;
	const struct kvm_regs read = { .rsi = GPA };
	struct live_guest guest;

	live_guest_new(live, &guest);
	assert_int_equal(gmem_vm_map(live->vm, GPA, NULL, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	assert_int_equal(live_guest_run(&guest, guest_program_read, &read), KVM_EXIT_MMIO);
	assert_int_equal(guest.run->mmio.phys_addr, GPA);
	assert_int_equal(live_guest_continue(&guest), KVM_EXIT_HLT);
	live_guest_free(&guest);
}

/* The guest reads and runs what is in ROM, and its writes are the host's business. */
static void rom_is_read_and_run_and_not_written(void **state)
{
	struct live *live = *state;
	struct gmem_region *region[2] = { live_mapped_guest_memfd(live, MIB) };
	const struct kvm_regs write = { .rdi = GPA, .rax = 1, .rcx = 1 };
	const struct kvm_regs sum = { .rsi = GPA + 0x800, .rcx = 2, .rdx = 4 };
	const uint32_t words[2] = { 40, 2 };
	struct live_guest guest;
	size_t i;

	region[1] = live_plain(live, MIB, GMEM_MEMORY_SHMEM);
	live_guest_new(live, &guest);
	for (i = 0; i < 2; i++) {
		char *host = live_host(region[i]);

		memcpy(host, guest_program_sum,
		       (uintptr_t)guest_programs_end - (uintptr_t)guest_program_sum);
		memcpy(host + 0x800, words, sizeof(words));
		assert_int_equal(gmem_vm_map(live->vm, GPA, region[i], 0, MIB, GMEM_SLOT_AUTO,
					     GMEM_MAP_READONLY),
				 0);
		assert_int_equal(live_guest_run_at(&guest, GPA, &sum), KVM_EXIT_HLT);
		assert_int_equal(guest.regs.rax, 42);
		assert_int_equal(live_guest_run(&guest, guest_program_write, &write),
				 KVM_EXIT_MMIO);
		assert_int_equal(guest.run->mmio.phys_addr, GPA);
		assert_int_equal(live_guest_continue(&guest), KVM_EXIT_HLT);
		assert_memory_equal(host, guest_program_sum, 4);
		assert_int_equal(gmem_vm_unmap(live->vm, GPA, MIB), 0);
		gmem_region_free(region[i]);
	}
	live_guest_free(&guest);
}

static void an_alias_is_the_same_memory(void **state)
{
	struct live *live = *state;
	struct gmem_region *region[2] = { live_mapped_guest_memfd(live, MIB) };
	const struct kvm_regs write = { .rdi = OTHER_GPA + 64, .rax = 1, .rcx = 1 };
	struct live_guest guest;
	size_t i;

	region[1] = live_plain(live, MIB, GMEM_MEMORY_SHMEM);
	live_guest_new(live, &guest);
	for (i = 0; i < 2; i++) {
		assert_int_equal(gmem_vm_map(live->vm, GPA, region[i], 0, MIB, GMEM_SLOT_AUTO, 0),
				 0);
		assert_int_equal(gmem_vm_map_alias(live->vm, 0, OTHER_GPA, region[i], 0, MIB,
						   GMEM_SLOT_AUTO, 0),
				 0);
		live_guest_poke(&guest, OTHER_GPA + 64, 0xa11a5);
		assert_int_equal(live_guest_peek(&guest, GPA + 64), 0xa11a5);
		assert_int_equal(word_at(live_host(region[i]), 64), 0xa11a5);
		assert_int_equal(gmem_vm_unmap_alias(live->vm, 0, OTHER_GPA, MIB), 0);

		assert_int_equal(gmem_vm_map_alias(live->vm, 0, OTHER_GPA, region[i], 0, MIB,
						   GMEM_SLOT_AUTO, GMEM_MAP_READONLY),
				 0);
		assert_int_equal(live_guest_peek(&guest, OTHER_GPA + 64), 0xa11a5);
		assert_int_equal(live_guest_run(&guest, guest_program_write, &write),
				 KVM_EXIT_MMIO);
		assert_int_equal(live_guest_continue(&guest), KVM_EXIT_HLT);
		assert_int_equal(live_guest_peek(&guest, GPA + 64), 0xa11a5);
		assert_int_equal(gmem_vm_unmap(live->vm, GPA, MIB), 0);
		assert_int_equal(gmem_vm_unmap(live->vm, OTHER_GPA, MIB), 0);
		gmem_region_free(region[i]);
	}
	live_guest_free(&guest);
}

static void prefaulted_memory_is_the_guests(void **state)
{
	struct live *live = *state;
	struct live_guest guest;
	struct memory memory;
	unsigned int kind;

	live_guest_new(live, &guest);
	for (kind = 0; kind < KIND_DEVICE; kind++) {
		print_message("%s\n", kind_name[kind]);
		make_memory(live, (enum kind)kind, &memory);
		assert_int_equal(gmem_region_prefault(memory.region, 0, memory.size, 2), 0);
		assert_int_equal(gmem_vm_map(live->vm, GPA, memory.region, 0, memory.size,
					     GMEM_SLOT_AUTO, 0),
				 0);
		guest_writes(live, &guest, live_host(memory.region), 0xfa017 + kind);
		/* What the guest has written stays when it is prefaulted again. */
		assert_int_equal(gmem_region_prefault(memory.region, 0, memory.size, 1), 0);
		assert_int_equal(live_guest_peek(&guest, GPA + 16), 0xfa017 + kind);
		assert_int_equal(gmem_vm_unmap(live->vm, GPA, memory.size), 0);
		free_memory(&memory);
	}
	live_guest_free(&guest);
}

/* Kernel fact F8: after punching, the next touch reads zeros, on either side. */
static void punched_pages_are_zero_to_the_guest(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_mapped_guest_memfd(live, MIB);
	struct gmem_region_info info;
	struct live_guest guest;

	live_guest_new(live, &guest);
	assert_int_equal(gmem_region_get_info(region, &info), 0);
	assert_int_equal(gmem_vm_map(live->vm, GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	live_guest_poke(&guest, GPA, 1);
	live_guest_poke(&guest, GPA + live->page, 2);
	assert_int_equal(fallocate(info.guest_memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)live->page, (off_t)live->page),
			 0);
	assert_int_equal(live_guest_peek(&guest, GPA), 1);
	assert_int_equal(live_guest_peek(&guest, GPA + live->page), 0);
	assert_int_equal(word_at(info.host, live->page), 0);
	live_guest_free(&guest);
	gmem_region_free(region);
}

/* The section keeps file and mapping: the guest goes on when the handle is gone. */
static void the_guest_needs_no_handle(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	struct live_guest guest;
	void *host;

	live_guest_new(live, &guest);
	assert_int_equal(gmem_vm_map(live->vm, GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	gmem_region_free(region);
	live_guest_poke(&guest, GPA + 0x2000, 0xbeef);
	assert_int_equal(gmem_vm_translate(live->vm, GPA + 0x2000, 4, 0, &host), 0);
	assert_int_equal(word_at(host, 0), 0xbeef);
	live_guest_free(&guest);
}

/* A child gives back what it has of a VM; the parent's guest does not notice. */
static void a_child_frees_only_what_is_its_own(void **state)
{
	struct live *live = *state;
	struct gmem_region *region = live_guest_memfd(live, MIB);
	struct live_guest guest;
	int status = 0;
	pid_t child;

	live_guest_new(live, &guest);
	assert_int_equal(gmem_vm_map(live->vm, GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
	live_guest_poke(&guest, GPA, 0x900d);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		bool refused = gmem_vm_unmap(live->vm, GPA, MIB) == -EIO;

		gmem_region_free(region);
		gmem_vm_free(live->vm);
		_exit(refused ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(live_guest_peek(&guest, GPA), 0x900d);
	live_guest_poke(&guest, GPA + MIB - 4, 0x600d);
	assert_int_equal(word_at(live_host(region), MIB - 4), 0x600d);
	live_guest_free(&guest);
	gmem_region_free(region);
}

static const struct CMUnitTest tests[] = {
	live_case(each_kind_is_the_same_memory_to_both),
	live_case(translation_leads_to_what_the_guest_wrote),
	live_case(two_windows_of_one_region),
	live_case(the_guest_copies_between_sections),
	live_case(an_access_where_nothing_is_exits),
	live_case(unmapped_memory_is_gone_and_kept),
	live_case(a_reserved_range_exits),
	live_case(rom_is_read_and_run_and_not_written),
	live_case(an_alias_is_the_same_memory),
	live_case(prefaulted_memory_is_the_guests),
	live_case(punched_pages_are_zero_to_the_guest),
	live_case(the_guest_needs_no_handle),
	live_case(a_child_frees_only_what_is_its_own),
};

live_main("live-guest", tests)

#else

int main(void)
{
	print_message("the guest of these tests is x86 code, and this machine is not an x86 one\n");
	return LIVE_SKIP;
}

#endif
