// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What conversion does to the bytes of pages, as host and guest see them: one memory for both
 * sides in place (kernel fact P7), two that know nothing of each other otherwise (V2).
 */
#include "rig.h"

#include "libgmem/uapi/kvm.h"
#include "tests/support/support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 16u /* where memory begins, in pages */
#define PAGES 96u
#define SECTION 32u

/* A scene, and what each page of it holds: a pattern's number on either side, 0 for zeros. */
struct scene {
	struct rig rig;
	bool joint;    /* one memory for both sides */
	bool destroys; /* what a conversion carries over is bytes that nobody knows */
	bool encrypts; /* of SNP: so it is with what the guest had as private, also before launch */
	uint8_t *bytes; /* two pages, to compare */
	uint32_t shared[PAGES];
	uint32_t private[PAGES];
	bool is_private[PAGES];
	uint32_t patterns; /* used so far */
};

#define UNKNOWN UINT32_MAX

/* Three sections; the third goes on with the first's region, behind a page that is left out. */
static void open_scene(struct scene *scene, const struct mode *mode)
{
	struct rig *rig = &scene->rig;

	memset(scene, 0, sizeof(*scene));
	rig_open(rig, mode);
	scene->joint = mode->backing == GMEM_BACKING_GUEST_MEMFD;
	scene->encrypts = mode->vm_type == GMEM_VM_TYPE_SNP;
	scene->bytes = support_new(2 * rig->page);
	rig_region(rig, 2 * SECTION + 1);
	rig_map(rig, FIRST, rig->region[0], 0, SECTION);
	rig_map(rig, FIRST + SECTION, rig_region(rig, SECTION), 0, SECTION);
	rig_map(rig, FIRST + 2 * SECTION, rig->region[0], SECTION + 1, SECTION);
	rig_forget_calls(rig);
}

static void close_scene(struct scene *scene)
{
	free(scene->bytes);
	rig_close(&scene->rig);
}

static uint64_t gpa_of(const struct scene *scene, uint64_t page)
{
	return (FIRST + page) * scene->rig.page;
}

static void fill(uint8_t *bytes, uint64_t size, uint32_t pattern)
{
	uint64_t i;

	for (i = 0; i < size; i++)
		bytes[i] = pattern ? (uint8_t)(pattern * 37 + i * (pattern | 1) + (i >> 8)) : 0;
}

static uint32_t *side_of(struct scene *scene, uint64_t page)
{
	return scene->is_private[page] ? &scene->private[page] : &scene->shared[page];
}

/* The pointer stays good: it is the mapping's, whatever the page's state. */
static uint8_t *host_of(struct scene *scene, uint64_t page)
{
	unsigned int region = page / SECTION == 1;
	uint64_t offset = page < 2 * SECTION ? page % SECTION : page - SECTION + 1;
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(scene->rig.region[region], &info), 0);
	return (uint8_t *)info.host + offset * scene->rig.page;
}

static int guest_access(struct scene *scene, uint64_t page, uint32_t flags)
{
	flags |= scene->is_private[page] ? GMEM_SIM_PRIVATE : 0;
	return gmem_sim_guest_access(scene->rig.sim, scene->rig.vcpu_fd, gpa_of(scene, page),
				     scene->bytes, scene->rig.page, flags);
}

static void guest_writes(struct scene *scene, uint64_t page)
{
	*side_of(scene, page) = ++scene->patterns;
	fill(scene->bytes, scene->rig.page, scene->patterns);
	assert_int_equal(guest_access(scene, page, GMEM_SIM_WRITE), 0);
}

static void host_writes(struct scene *scene, uint64_t page)
{
	assert_false(scene->is_private[page]);
	scene->shared[page] = ++scene->patterns;
	fill(scene->bytes, scene->rig.page, scene->patterns);
	assert_int_equal(gmem_vm_write(scene->rig.vm, gpa_of(scene, page), scene->bytes,
				       scene->rig.page, 0),
			 0);
}

/* Some pages are written by the guest, some by the host where it can, some by nobody. */
static void write_some(struct scene *scene, uint64_t first)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++) {
		if ((page + first) % 3 == 1)
			guest_writes(scene, page);
		else if ((page + first) % 3 == 2 && !scene->is_private[page])
			host_writes(scene, page);
	}
}

/* One page was converted. */
static void note_converted(struct scene *scene, uint64_t page, uint32_t to)
{
	bool private = to == GMEM_PRIVATE;
	uint32_t was = *side_of(scene, page);

	if (private == scene->is_private[page])
		return;
	scene->is_private[page] = private;
	if (!scene->joint)
		return;
	if ((was && scene->destroys) || (scene->encrypts && !private))
		was = UNKNOWN;
	*side_of(scene, page) = was;
}

static void convert(struct scene *scene, uint64_t first, uint64_t count, uint32_t to)
{
	uint64_t page;

	assert_int_equal(rig_convert_keeping(&scene->rig, FIRST + first, count, to, 0, NULL), 0);
	for (page = first; page < first + count; page++)
		note_converted(scene, page, to);
}

static sigjmp_buf bus_error;
static void *volatile bus_address;

static void on_bus_error(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	bus_address = info->si_addr;
	siglongjmp(bus_error, 1);
}

/* Whether a byte can be read; else there was a SIGBUS of that very address. */
static bool can_be_touched(const uint8_t *address)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };
	struct sigaction before;
	volatile bool touched = false;

	sigaction(SIGBUS, &action, &before);
	if (!sigsetjmp(bus_error, 1)) {
		(void)*(const volatile uint8_t *)address;
		touched = true;
	} else {
		assert_ptr_equal(bus_address, address);
	}
	sigaction(SIGBUS, &before, NULL);
	return touched;
}

static void expect_pattern(struct scene *scene, uint32_t pattern, const char *who, uint64_t page)
{
	uint64_t size = scene->rig.page;

	if (pattern == UNKNOWN)
		return;
	fill(scene->bytes + size, size, pattern);
	if (memcmp(scene->bytes, scene->bytes + size, size))
		fail_msg("%s: page %u: the %s does not see pattern %u", scene->rig.mode->name,
			 (unsigned int)page, who, pattern);
}

/* A private page: out of reach, and in place its mapping raises SIGBUS. */
static void check_private(struct scene *scene, uint64_t page)
{
	uint8_t *host = host_of(scene, page);

	assert_int_equal(gmem_vm_read(scene->rig.vm, gpa_of(scene, page) + 1, scene->bytes, 1, 0),
			 -EACCES);
	assert_int_equal(gmem_vm_write(scene->rig.vm, gpa_of(scene, page), scene->bytes, 1,
				       GMEM_ACCESS_CHECKED),
			 -EACCES);
	if (scene->joint) {
		assert_false(can_be_touched(host));
		assert_false(can_be_touched(host + scene->rig.page - 1));
		return;
	}
	/* What the shared side holds is left alone, and only out of sight. */
	memcpy(scene->bytes, host, scene->rig.page);
	expect_pattern(scene, scene->shared[page], "host, behind a private page,", page);
}

static void check_shared(struct scene *scene, uint64_t page)
{
	uint64_t size = scene->rig.page;
	uint32_t flags = page % 2 ? GMEM_ACCESS_CHECKED : 0;

	memset(scene->bytes, 0xa5, size);
	assert_int_equal(
		gmem_vm_read(scene->rig.vm, gpa_of(scene, page), scene->bytes, size, flags), 0);
	expect_pattern(scene, scene->shared[page], "host", page);
	memcpy(scene->bytes, host_of(scene, page), size);
	expect_pattern(scene, scene->shared[page], "host, by its mapping,", page);
}

static void check_all(struct scene *scene)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++) {
		if (scene->is_private[page])
			check_private(scene, page);
		else
			check_shared(scene, page);
		memset(scene->bytes, 0xa5, scene->rig.page);
		assert_int_equal(guest_access(scene, page, 0), 0);
		expect_pattern(scene, *side_of(scene, page), "guest", page);
	}
	rig_compare(&scene->rig);
}

static void there_and_back(void **state)
{
	struct scene scene;
	uint64_t i;

	for (i = 0; i < 3; i++) {
		open_scene(&scene, *state);
		write_some(&scene, i);
		convert(&scene, 0, PAGES, GMEM_PRIVATE);
		check_all(&scene);
		convert(&scene, 0, PAGES, GMEM_SHARED);
		check_all(&scene);
		close_scene(&scene);
	}
}

/* Both sides are written, then seen in turn: each combination of three writes on some page. */
static void written_on_both_sides(void **state)
{
	struct scene scene;
	uint64_t i;

	for (i = 0; i < 3; i++) {
		open_scene(&scene, *state);
		write_some(&scene, i);
		convert(&scene, 0, PAGES, GMEM_PRIVATE);
		write_some(&scene, 0);
		check_all(&scene);
		convert(&scene, 0, PAGES, GMEM_SHARED);
		check_all(&scene);
		write_some(&scene, 2 * i);
		convert(&scene, 0, PAGES, GMEM_PRIVATE);
		check_all(&scene);
		convert(&scene, 0, PAGES, GMEM_SHARED);
		check_all(&scene);
		close_scene(&scene);
	}
}

/* Ranges that overlap what is converted already, that cross sections, and single pages. */
static void in_parts(void **state)
{
	static const struct {
		uint64_t first, count;
		uint32_t to;
	} steps[] = {
		{ 10, 5, GMEM_PRIVATE },  { 12, 40, GMEM_PRIVATE }, { 31, 2, GMEM_SHARED },
		{ 0, 1, GMEM_PRIVATE },   { 95, 1, GMEM_PRIVATE },  { 60, 36, GMEM_PRIVATE },
		{ 63, 2, GMEM_SHARED },   { 0, 96, GMEM_PRIVATE },  { 40, 20, GMEM_SHARED },
		{ 30, 40, GMEM_PRIVATE }, { 1, 94, GMEM_SHARED },   { 0, 96, GMEM_SHARED },
	};
	struct scene scene;
	size_t i;

	open_scene(&scene, *state);
	write_some(&scene, 0);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		convert(&scene, steps[i].first, steps[i].count, steps[i].to);
		check_all(&scene);
		write_some(&scene, i);
		check_all(&scene);
	}
	close_scene(&scene);
}

/* Half done, by a page in use and by a failure: what was converted is, the rest is untouched. */
static void partly(void **state)
{
	struct gmem_report report;
	struct scene scene;
	struct gmem_pin pin;
	uint64_t page;

	open_scene(&scene, *state);
	write_some(&scene, 1);
	assert_int_equal(gmem_vm_pin(scene.rig.vm, gpa_of(&scene, 40), 1, 0, &pin), 0);
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST + 20, 60, GMEM_PRIVATE,
					     GMEM_CONVERT_NOWAIT, &report),
			 -EAGAIN);
	for (page = 20; page < 80; page++) {
		if (page != 40)
			note_converted(&scene, page, GMEM_PRIVATE);
	}
	check_all(&scene);
	gmem_vm_unpin(scene.rig.vm, &pin);
	write_some(&scene, 2);
	rig_fail_call(&scene.rig, 2, -EIO);
	assert_int_equal(gmem_vm_convert_ranges(scene.rig.vm,
						(struct gmem_range[]){
							{ gpa_of(&scene, 0), 10 * scene.rig.page },
							{ gpa_of(&scene, 50), 8 * scene.rig.page },
						},
						2, GMEM_SHARED, GMEM_CONVERT_KEEP, &report),
			 -EIO);
	for (page = 0; page < 10; page++)
		note_converted(&scene, page, GMEM_SHARED);
	check_all(&scene);
	close_scene(&scene);
}

/* A conversion of what is right already changes no byte. */
static void again(void **state)
{
	struct scene scene;

	open_scene(&scene, *state);
	write_some(&scene, 0);
	convert(&scene, 0, PAGES, GMEM_SHARED);
	check_all(&scene);
	convert(&scene, 8, 50, GMEM_PRIVATE);
	write_some(&scene, 1);
	convert(&scene, 8, 50, GMEM_PRIVATE);
	convert(&scene, 20, 30, GMEM_PRIVATE);
	check_all(&scene);
	close_scene(&scene);
}

/* TDX once its guest runs: neither zeros nor what was there. */
static void destroyed_after_launch(void **state)
{
	const struct mode *mode = *state;
	struct scene scene;
	uint64_t page;
	uint32_t to;

	if (mode->vm_type != GMEM_VM_TYPE_TDX)
		return;
	open_scene(&scene, mode);
	write_some(&scene, 0);
	assert_int_equal(gmem_sim_finish_launch(scene.rig.sim, scene.rig.vm_fd), 0);
	scene.destroys = true;
	for (to = GMEM_PRIVATE; to >= GMEM_SHARED; to--) {
		uint32_t before[PAGES];

		for (page = 0; page < PAGES; page++)
			before[page] = *side_of(&scene, page);
		convert(&scene, 0, PAGES, to);
		for (page = 0; page < PAGES; page++) {
			if (!before[page] || before[page] == UNKNOWN)
				continue;
			assert_int_equal(guest_access(&scene, page, 0), 0);
			fill(scene.bytes + scene.rig.page, scene.rig.page, before[page]);
			assert_memory_not_equal(scene.bytes, scene.bytes + scene.rig.page, 64);
		}
		check_all(&scene);
		write_some(&scene, 1);
	}
	close_scene(&scene);
}

/* A pattern over sections whose host memory is in pieces, from inside one page into another. */
static void copies_across_sections(void **state)
{
	static const uint32_t flags[] = { 0, GMEM_ACCESS_WAIT, GMEM_ACCESS_CHECKED };
	uint64_t size, start;
	struct scene scene;
	uint8_t *out, *in;
	size_t i;

	open_scene(&scene, *state);
	size = 70 * scene.rig.page;
	out = support_new(size);
	in = support_new(size);
	start = gpa_of(&scene, 10) + 123;
	for (i = 0; i < 3; i++) {
		fill(out, size, (uint32_t)(i + 1));
		memset(in, 0, size);
		assert_int_equal(gmem_vm_write(scene.rig.vm, start, out, size, flags[i]), 0);
		assert_int_equal(gmem_vm_read(scene.rig.vm, start, in, size, flags[2 - i]), 0);
		assert_memory_equal(in, out, size);
		/* So it is for the guest, page by page. */
		assert_int_equal(gmem_sim_guest_access(scene.rig.sim, scene.rig.vcpu_fd, start, in,
						       size, 0),
				 0);
		assert_memory_equal(in, out, size);
	}
	/* And what the guest wrote, for the host. */
	fill(out, size, 77);
	assert_int_equal(gmem_sim_guest_access(scene.rig.sim, scene.rig.vcpu_fd, start, out, size,
					       GMEM_SIM_WRITE),
			 0);
	assert_int_equal(gmem_vm_read(scene.rig.vm, start, in, size, GMEM_ACCESS_CHECKED), 0);
	assert_memory_equal(in, out, size);
	free(out);
	free(in);
	close_scene(&scene);
}

/* One page in the way, anywhere: nothing at all is copied. */
static void copies_are_whole_or_not_at_all(void **state)
{
	static const uint64_t places[] = { 10, 31, 32, 50, 64, 79 };
	static const uint32_t flags[] = { 0, GMEM_ACCESS_WAIT, GMEM_ACCESS_CHECKED };
	uint64_t size, start, k;
	struct scene scene;
	uint8_t *buffer;
	size_t i;

	open_scene(&scene, *state);
	size = 70 * scene.rig.page;
	start = gpa_of(&scene, 10);
	buffer = support_new(size);
	write_some(&scene, 0);
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		convert(&scene, places[i], 1, GMEM_PRIVATE);
		for (k = 0; k < 3; k++) {
			memset(buffer, 0x5a, size);
			rig_forget_calls(&scene.rig);
			assert_int_equal(gmem_vm_write(scene.rig.vm, start, buffer, size, flags[k]),
					 -EACCES);
			expect_one_message(scene.rig.logs, GMEM_LOG_DEBUG, "private");
			assert_int_equal(gmem_vm_read(scene.rig.vm, start, buffer, size, flags[k]),
					 -EACCES);
			assert_int_equal(buffer[0], 0x5a);
			assert_memory_equal(buffer, buffer + 1, size - 1);
			assert_int_equal(scene.rig.other_calls, 0);
		}
		check_all(&scene);
		convert(&scene, places[i], 1, GMEM_SHARED);
	}
	/* And into the hole behind. */
	memset(buffer, 0x5a, size);
	assert_int_equal(gmem_vm_write(scene.rig.vm, gpa_of(&scene, PAGES) - 5, buffer, 6, 0),
			 -ENOENT);
	assert_int_equal(gmem_vm_read(scene.rig.vm, gpa_of(&scene, 0) - 1, buffer, 6, 0), -ENOENT);
	assert_memory_equal(buffer, buffer + 1, size - 1);
	check_all(&scene);
	free(buffer);
	close_scene(&scene);
}

/* Somebody else converts a page behind the library's back: a checked copy fails, and no more. */
static void copies_that_are_checked(void **state)
{
	struct gmem_kvm_memory_attributes2 set = { .attributes =
							   GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE };
	struct scene scene;
	uint8_t *buffer;
	uint64_t size;

	open_scene(&scene, *state);
	size = 8 * scene.rig.page;
	buffer = support_new(size);
	host_writes(&scene, 2);
	set.offset = 5 * scene.rig.page;
	set.size = scene.rig.page;
	assert_int_equal(scene.rig.kernel.call(GMEM_SYS_IOCTL,
					       (const uint64_t[GMEM_SYS_ARGUMENTS]){
						       (uint64_t)rig_file(&scene.rig, 0),
						       GMEM_KVM_SET_MEMORY_ATTRIBUTES2,
						       (uintptr_t)&set,
					       },
					       scene.rig.kernel.opaque),
			 0);
	rig_forget_calls(&scene.rig);
	assert_int_equal(gmem_vm_read(scene.rig.vm, gpa_of(&scene, 0), buffer, size,
				      GMEM_ACCESS_CHECKED),
			 -EACCES);
	expect_one_message(scene.rig.logs, GMEM_LOG_DEBUG, "gmem_vm_read", "somebody else");
	assert_int_equal(gmem_vm_write(scene.rig.vm, gpa_of(&scene, 0), buffer, size,
				       GMEM_ACCESS_CHECKED),
			 -EACCES);
	expect_one_message(scene.rig.logs, GMEM_LOG_DEBUG, "gmem_vm_write", "somebody else");
	assert_int_equal(gmem_vm_read(scene.rig.vm, gpa_of(&scene, 0), buffer, 5 * scene.rig.page,
				      GMEM_ACCESS_CHECKED),
			 0);
	/* Asked to be shared it is put right. */
	assert_int_equal(rig_convert_keeping(&scene.rig, FIRST, 8, GMEM_SHARED, 0, NULL), 0);
	rig_compare(&scene.rig);
	assert_int_equal(gmem_vm_read(scene.rig.vm, gpa_of(&scene, 0), buffer, size,
				      GMEM_ACCESS_CHECKED),
			 0);
	free(buffer);
	close_scene(&scene);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(there_and_back, IN_ALL_MODES),
		RIG_CASE(written_on_both_sides, IN_ALL_MODES),
		RIG_CASE(in_parts, IN_ALL_MODES),
		RIG_CASE(partly, IN_ALL_MODES),
		RIG_CASE(again, IN_ALL_MODES),
		RIG_CASE(destroyed_after_launch, IN_PLACE),
		RIG_CASE(copies_across_sections, IN_ALL_MODES),
		RIG_CASE(copies_are_whole_or_not_at_all, IN_ALL_MODES),
		RIG_CASE(copies_that_are_checked, IN_PLACE),
	};

	return rig_run("convert-contents", cases, sizeof(cases) / sizeof(cases[0]));
}
