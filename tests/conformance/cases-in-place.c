// SPDX-License-Identifier: LGPL-2.1-or-later
/* Conversion where each guest_memfd tracks. */
#include <string.h>
#include <sys/mman.h>

#include "kit.h"

#define SHARED_FILE (FLAG_MMAP | FLAG_INIT_SHARED)
#define UNTOUCHED UINT64_C(0x1234567890)

/* A file of eight pages, all shared and written. */
struct file {
	struct world *world;
	int fd;
	uint8_t *host;
	uint64_t page;
};

#define FILE_PAGES 8u

static void make_written(struct world *world, struct file *file)
{
	unsigned int i;

	*file = (struct file){ .world = world, .page = world->page };
	file->fd = make_file(world, FILE_PAGES * file->page, SHARED_FILE);
	file->host = map_file(world, file->fd, 0, FILE_PAGES * file->page);
	for (i = 0; i < FILE_PAGES; i++)
		put_byte(file->host + i * file->page, (uint8_t)(i + 1));
}

static int64_t convert_pages(struct file *file, uint64_t first, uint64_t count, uint64_t attributes,
			     uint64_t *error_offset)
{
	return set_file_attributes(file->world, file->fd, first * file->page, count * file->page,
				   attributes, error_offset);
}

static bool is_private(struct file *file, uint64_t page)
{
	uint8_t value;

	return !can_read(file->host + page * file->page, &value);
}

static void expect_private(struct file *file, const char *wanted)
{
	char got[FILE_PAGES + 1] = "";
	unsigned int i;

	for (i = 0; i < FILE_PAGES; i++)
		got[i] = is_private(file, i) ? 'p' : 's';
	if (strcmp(got, wanted) != 0)
		case_failed(__FILE__, __LINE__, "pages are %s, not %s", got, wanted);
}

static void expect_contents(struct file *file)
{
	unsigned int i;

	for (i = 0; i < FILE_PAGES; i++)
		expect_value(byte_at(file->host + i * file->page), i + 1);
}

static void pin_pages(struct file *file, struct pin *pin, uint64_t first, uint64_t count,
		      uint32_t tries)
{
	*pin = (struct pin){ .fd = file->fd,
			     .offset = first * file->page,
			     .size = count * file->page };
	expect_value(file->world->driver->pin(file->world, pin, file->host + pin->offset, tries),
		     0);
}

static void unpin_pages(struct file *file, struct pin *pin)
{
	expect_value(file->world->driver->unpin(file->world, pin), 0);
}

static void one_range_of_one_file(struct world *world)
{
	struct file one;
	struct file other;

	make_written(world, &one);
	make_written(world, &other);
	expect_value(convert_pages(&one, 2, 3, PRIVATE, NULL), 0);
	expect_private(&one, "sspppsss");
	expect_private(&other, "ssssssss");
	expect_value(convert_pages(&one, 3, 1, 0, NULL), 0);
	expect_private(&one, "sspspsss");
	expect_value(convert_pages(&other, 0, 8, PRIVATE, NULL), 0);
	expect_private(&one, "sspspsss");
	expect_private(&other, "pppppppp");
}

static void a_pinned_page_does_not_turn_private(struct world *world)
{
	uint64_t error_offset = UNTOUCHED;
	struct file file;
	struct pin pin;

	make_written(world, &file);
	pin_pages(&file, &pin, 5, 2, 0);
	expect_value(convert_pages(&file, 2, 6, PRIVATE, &error_offset), -EAGAIN);
	/* The first such page, in the file. */
	expect_value(error_offset, 5 * file.page);
	expect_private(&file, "ssssssss");
	expect_contents(&file);
	error_offset = UNTOUCHED;
	expect_value(convert_pages(&file, 6, 1, PRIVATE, &error_offset), -EAGAIN);
	expect_value(error_offset, 6 * file.page);
	/* Around it nothing is in the way. */
	expect_value(convert_pages(&file, 0, 5, PRIVATE, NULL), 0);
	expect_value(convert_pages(&file, 7, 1, PRIVATE, NULL), 0);
	expect_private(&file, "pppppssp");
	unpin_pages(&file, &pin);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, NULL), 0);
	expect_private(&file, "pppppppp");
}

static void mappings_and_mlock_do_not_count(struct world *world)
{
	struct file file;
	uint8_t *second;

	make_written(world, &file);
	second = map_file(world, file.fd, 0, FILE_PAGES * file.page);
	expect_value(byte_at(second), 1);
	expect(lock_memory(file.host, 4096) == 0);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, NULL), 0);
	expect_private(&file, "pppppppp");
}

static void to_shared_never_fails(struct world *world)
{
	struct file file;
	struct pin pin;

	make_written(world, &file);
	expect_value(convert_pages(&file, 0, 4, PRIVATE, NULL), 0);
	pin_pages(&file, &pin, 4, 4, 0);
	expect_value(convert_pages(&file, 0, 8, 0, NULL), 0);
	expect_private(&file, "ssssssss");
	unpin_pages(&file, &pin);
}

static void transient_references_go_by_themselves(struct world *world)
{
	uint64_t error_offset;
	struct file file;
	struct pin pin;
	unsigned int tries = 0;
	int64_t result;

	make_written(world, &file);
	pin_pages(&file, &pin, 3, 1, 500);
	do {
		error_offset = UNTOUCHED;
		result = convert_pages(&file, 0, 8, PRIVATE, &error_offset);
		expect_either(result, -EAGAIN, 0);
		expect_value(error_offset, result ? 3 * file.page : UNTOUCHED);
	} while (result && ++tries < 1000);
	expect_value(tries, 500);
	expect_private(&file, "pppppppp");
}

static void pins_stay_until_unpinned(struct world *world)
{
	struct file file;
	struct pin pin;
	unsigned int i;

	make_written(world, &file);
	pin_pages(&file, &pin, 3, 1, 0);
	for (i = 0; i < 1000; i++)
		expect_value(convert_pages(&file, 3, 1, PRIVATE, NULL), -EAGAIN);
	unpin_pages(&file, &pin);
	expect_value(convert_pages(&file, 3, 1, PRIVATE, NULL), 0);
}

/* The file gets another page; whoever has the reference keeps the old one. */
static void punching_gets_rid_of_a_pin(struct world *world)
{
	struct file file;
	struct pin pin;

	make_written(world, &file);
	pin_pages(&file, &pin, 3, 1, 0);
	expect_value(convert_pages(&file, 3, 1, PRIVATE, NULL), -EAGAIN);
	expect_value(punch(world, file.fd, 3 * file.page, file.page), 0);
	expect_value(convert_pages(&file, 3, 1, PRIVATE, NULL), 0);
	expect_private(&file, "sssp"
			      "ssss");
	if (world->driver->real)
		unpin_pages(&file, &pin);
}

static void all_or_nothing(struct world *world)
{
	uint64_t error_offset = UNTOUCHED;
	struct file file;
	struct pin pin;

	make_written(world, &file);
	expect_value(convert_pages(&file, 1, 2, PRIVATE, NULL), 0);
	pin_pages(&file, &pin, 7, 1, 0);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, &error_offset), -EAGAIN);
	expect_value(error_offset, 7 * file.page);
	expect_private(&file, "sppsssss");
	/* Private already but for the one that is stuck: fails as well. */
	expect_value(convert_pages(&file, 0, 7, PRIVATE, NULL), 0);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, NULL), -EAGAIN);
	expect_private(&file, "ppppppps");
	unpin_pages(&file, &pin);
	expect_value(byte_at(file.host + 7 * file.page), 8);
}

static void contents_survive_a_failed_call(struct world *world)
{
	struct file file;
	struct pin pin;

	make_written(world, &file);
	pin_pages(&file, &pin, 7, 1, 0);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, NULL), -EAGAIN);
	expect_contents(&file);
	put_byte(file.host, 1);
	unpin_pages(&file, &pin);
}

static void refused_ranges(struct world *world)
{
	uint64_t offset[][2] = {
		{ 1, 1 }, { 512, 8 }, { 0, 9 * 8 }, { 8 * 8, 8 }, { 7 * 8, 16 }, { 64 * 1024, 8 },
	};
	struct file file;
	uint64_t error_offset;
	unsigned int bit;
	unsigned int i;

	make_written(world, &file);
	for (i = 0; i < sizeof(offset) / sizeof(offset[0]); i++) {
		/* Eighths of a page, the first two not aligned. */
		error_offset = UNTOUCHED;
		expect_value(
			set_file_attributes(world, file.fd,
					    i < 2 ? offset[i][0] : offset[i][0] * file.page / 8,
					    offset[i][1] * file.page / 8, PRIVATE, &error_offset),
			-EINVAL);
		expect_value(error_offset, UNTOUCHED);
	}
	expect_value(set_file_attributes(world, file.fd, 0, file.page - 1, PRIVATE, NULL), -EINVAL);
	expect_value(set_file_attributes(world, file.fd, 0, 0, PRIVATE, NULL), -EINVAL);
	expect_value(set_file_attributes(world, file.fd, -(uint64_t)file.page, 2 * file.page,
					 PRIVATE, NULL),
		     -EINVAL);
	expect_value(set_file_attributes(world, file.fd, 0, -(uint64_t)file.page, PRIVATE, NULL),
		     -EINVAL);
	for (bit = 0; bit < 64; bit++)
		if (UINT64_C(1) << bit != PRIVATE)
			expect_value(convert_pages(&file, 0, 1, UINT64_C(1) << bit, NULL), -EINVAL);
	expect_private(&file, "ssssssss");
	expect_contents(&file);
}

static void error_offset_is_left_alone(struct world *world)
{
	uint64_t error_offset = UNTOUCHED;
	struct file file;

	make_written(world, &file);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, &error_offset), 0);
	expect_value(error_offset, UNTOUCHED);
	expect_value(convert_pages(&file, 0, 9, PRIVATE, &error_offset), -EINVAL);
	expect_value(error_offset, UNTOUCHED);
	expect_value(convert_pages(&file, 0, 8, 0, &error_offset), 0);
	expect_value(error_offset, UNTOUCHED);
}

static void a_bad_pointer(struct world *world)
{
	struct file file;

	make_written(world, &file);
	expect_value(kvm_ioctl(world, file.fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, 8), -EFAULT);
	expect_value(kvm_ioctl(world, file.fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2 + 1, 8), -ENOTTY);
}

static void a_vm_without_private_memory(struct world *world)
{
	int fd = make_file(world, world->page, SHARED_FILE);
	uint64_t error_offset = UNTOUCHED;

	expect_value(set_file_attributes(world, fd, 0, world->page, PRIVATE, &error_offset),
		     -EINVAL);
	expect_value(set_file_attributes(world, fd, 0, world->page, 0, &error_offset), -EINVAL);
	expect_value(error_offset, UNTOUCHED);
}

static void no_such_ioctl(struct world *world)
{
	int fd = make_file(world, world->page, 0);

	expect_value(set_file_attributes(world, fd, 0, world->page, PRIVATE, NULL), -ENOTTY);
	expect_value(set_file_attributes(world, fd, 0, world->page, 0, NULL), -ENOTTY);
}

static void right_already(struct world *world)
{
	struct file file;
	struct pin pin;

	make_written(world, &file);
	pin_pages(&file, &pin, 0, 8, 0);
	expect_value(convert_pages(&file, 0, 8, 0, NULL), 0);
	unpin_pages(&file, &pin);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, NULL), 0);
	expect_value(convert_pages(&file, 0, 8, PRIVATE, NULL), 0);
	expect_value(convert_pages(&file, 3, 2, PRIVATE, NULL), 0);
	expect_private(&file, "pppppppp");
}

static void software_protected_keeps_bytes(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	make_vcpu(world, &vcpu);
	memset(memory.host, 0x5a, 2 * world->page);
	convert(&memory, 0, 2 * world->page, true);
	expect_value(guest_must_load(&vcpu, GPA, 0), 0x5a5a5a5a);
	expect_value(guest_must_load(&vcpu, GPA + 2 * world->page - 4, 0), 0x5a5a5a5a);
	guest_must_store(&vcpu, GPA + 64, 0x12345678, 0);
	convert(&memory, 0, 2 * world->page, false);
	expect_value(byte_at(memory.host + 64), 0x78);
	expect_value(byte_at(memory.host), 0x5a);
	destroy_vcpu(&vcpu);
}

/* Fork and exec, threads, whatever: many small conversions end where one big one does. */
static void page_by_page(struct world *world)
{
	struct file file;
	unsigned int i;

	make_written(world, &file);
	for (i = 0; i < FILE_PAGES; i += 2)
		expect_value(convert_pages(&file, i, 1, PRIVATE, NULL), 0);
	expect_private(&file, "pspspsps");
	expect_value(convert_pages(&file, 1, 6, PRIVATE, NULL), 0);
	expect_private(&file, "ppppppps");
	for (i = 0; i < FILE_PAGES; i++)
		expect_value(convert_pages(&file, FILE_PAGES - 1 - i, 1, 0, NULL), 0);
	expect_private(&file, "ssssssss");
}

const struct conformance_case in_place_cases[] = {
	{ "one range of one file per call", "P1", NEED_IN_PLACE, one_range_of_one_file },
	{ "page by page as in one piece", "P1", NEED_IN_PLACE, page_by_page },
	{ "a page with references does not turn private", "P2 P5", NEED_IN_PLACE,
	  a_pinned_page_does_not_turn_private },
	{ "mappings and mlock do not count as references", "P2", NEED_IN_PLACE,
	  mappings_and_mlock_do_not_count },
	{ "to shared never fails for references", "P2", NEED_IN_PLACE, to_shared_never_fails },
	{ "transient references go by themselves", "P3", NEED_IN_PLACE | NEED_SIMULATOR,
	  transient_references_go_by_themselves },
	{ "pins stay until unpinned", "P3", NEED_IN_PLACE, pins_stay_until_unpinned },
	{ "punching a page gets rid of its pin", "P3", NEED_IN_PLACE, punching_gets_rid_of_a_pin },
	{ "all or nothing", "P4", NEED_IN_PLACE, all_or_nothing },
	{ "contents survive a failed call", "P4", NEED_IN_PLACE, contents_survive_a_failed_call },
	{ "KVM_SET_MEMORY_ATTRIBUTES2: what is refused", "P5", NEED_IN_PLACE, refused_ranges },
	{ "error_offset is written only with EAGAIN", "P5", NEED_IN_PLACE,
	  error_offset_is_left_alone },
	{ "KVM_SET_MEMORY_ATTRIBUTES2: a bad pointer", "P5", NEED_IN_PLACE, a_bad_pointer },
	{ "a VM without private memory refuses both attributes", "P5",
	  NEED_IN_PLACE_KERNEL | NEED_ORDINARY, a_vm_without_private_memory },
	{ "KVM_SET_MEMORY_ATTRIBUTES2 is ENOTTY elsewhere", "P5 C1",
	  NEED_GUEST_MEMFD | NEED_NOT_IN_PLACE_KERNEL, no_such_ioctl },
	{ "what is right already is 0", "P6", NEED_IN_PLACE, right_already },
	{ "a software-protected VM keeps the bytes", "P7",
	  NEED_IN_PLACE | NEED_TRACKED_ACCESS | NEED_GUEST, software_protected_keeps_bytes },
	{ NULL, NULL, 0, NULL },
};
