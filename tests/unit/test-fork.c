// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of handles in a child made by fork(): every function refuses, and freeing leaves alone
 * what is not the child's. What the child sees is written to memory it shares with the parent.
 */
#include "stage.h"

#include <gmem/access.h>
#include <gmem/convert.h>
#include <gmem/layout.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* So large that what a sanitizer's runtime maps in a child does not fill its place. */
#define SIZE (64 * MIB)
#define GPA UINT64_C(0x100000)
#define PAGE 65536 /* a multiple of any host's */

struct family {
	struct stage stage;
	struct gmem_region *region;
	struct gmem_region_info info;
	struct gmem_change *change; /* with one step */
	char *report;               /* shared with the child: why it failed */
};

#define REPORT_SIZE 4096

/* In the child: cmocka's assertions would run the parent's tests on. */
#define CHECK(family, condition)                                                                   \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			snprintf((family)->report, REPORT_SIZE, "line %d: %s", __LINE__,           \
				 #condition);                                                      \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void family_open(struct family *family, const struct fake_kvm_config *config,
			const struct wish *wish)
{
	memset(family, 0, sizeof(*family));
	family->report =
		mmap(NULL, REPORT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(family->report, MAP_FAILED);
	stage_open_vm(&family->stage, config);
	family->region = stage_region(&family->stage, SIZE, wish);
	family->info = region_info(family->region);
	assert_int_equal(gmem_change_new(family->stage.vm, &family->change), 0);
	assert_int_equal(gmem_change_map(family->change, GPA, family->region, 0, SIZE,
					 GMEM_SLOT_AUTO, 0),
			 0);
}

static void family_close(struct family *family)
{
	gmem_change_free(family->change);
	gmem_region_free(family->region);
	stage_close(&family->stage);
	munmap(family->report, REPORT_SIZE);
}

/* The region's ends, which is all that is touched of it. */
static void mark(unsigned char *host)
{
	host[0] = host[SIZE - 1] = 0x5a;
}

static void run_in_child(struct family *family, void (*child)(struct family *family))
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		child(family);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (family->report[0])
		print_error("child: %s\n", family->report);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* One refusal, one message that names function and reason. */
static bool is_refused(struct family *family, int rc, const char *function)
{
	const char *words[] = { function, "VM descriptor ", "child made by fork()", NULL };

	return rc == -EIO && logs_check(family->stage.logs, GMEM_LOG_ERROR, words,
					family->report + REPORT_SIZE / 2, REPORT_SIZE / 2);
}

#define REFUSED(family, call, function) CHECK(family, is_refused(family, call, function))

/* One that the parent began, and a new one. */
static void use_changes(struct family *family)
{
	struct gmem_change *change = (struct gmem_change *)family;

	REFUSED(family, gmem_change_new(family->stage.vm, &change), "gmem_change_new");
	CHECK(family, !change);
	/* A step is only noted down; the change it makes is refused. */
	CHECK(family, gmem_change_unmap(family->change, GPA, SIZE) == 0);
	REFUSED(family, gmem_change_commit(family->change), "gmem_change_commit");
}

static void use_everything(struct family *family)
{
	struct gmem_region *region = (struct gmem_region *)family;
	struct gmem_vm *vm = family->stage.vm;
	struct gmem_region_info region_info;
	struct gmem_vm_info vm_info;
	const struct gmem_range range = { GPA, SIZE };
	struct gmem_pin pin = { .host = family, .size = 1 };
	struct gmem_run run;
	void *host = family;
	size_t calls = fake_kvm_call_count(family->stage.fake);
	char text[64];

	REFUSED(family, gmem_vm_get_info(vm, &vm_info), "gmem_vm_get_info");
	REFUSED(family, gmem_region_new(vm, SIZE, NULL, &region), "gmem_region_new");
	CHECK(family, !region);
	REFUSED(family, gmem_region_get_info(family->region, &region_info), "gmem_region_get_info");
	REFUSED(family, gmem_region_describe(family->region, text, sizeof(text)),
		"gmem_region_describe");
	REFUSED(family, gmem_region_prefault(family->region, 0, SIZE, 1), "gmem_region_prefault");
	REFUSED(family, gmem_vm_map(vm, GPA, family->region, 0, SIZE, GMEM_SLOT_AUTO, 0),
		"gmem_vm_map");
	REFUSED(family, gmem_vm_unmap(vm, GPA, SIZE), "gmem_vm_unmap");
	REFUSED(family, gmem_vm_map_alias(vm, 0, GPA, family->region, 0, SIZE, GMEM_SLOT_AUTO, 0),
		"gmem_vm_map_alias");
	REFUSED(family, gmem_vm_unmap_alias(vm, 0, GPA, SIZE), "gmem_vm_unmap_alias");
	REFUSED(family, gmem_vm_set_map_flags(vm, GPA, SIZE, 0), "gmem_vm_set_map_flags");
	use_changes(family);
	REFUSED(family, gmem_vm_next_section(vm, 0, &run), "gmem_vm_next_section");
	REFUSED(family, gmem_vm_next_run(vm, 0, &run), "gmem_vm_next_run");
	REFUSED(family, gmem_vm_get_state(vm, GPA, SIZE), "gmem_vm_get_state");
	REFUSED(family, gmem_vm_translate(vm, GPA, SIZE, 0, &host), "gmem_vm_translate");
	CHECK(family, !host);
	REFUSED(family, gmem_vm_pin(vm, GPA, SIZE, 0, &pin), "gmem_vm_pin");
	CHECK(family, !pin.host && !pin.size);
	REFUSED(family, gmem_vm_read(vm, GPA, text, sizeof(text), 0), "gmem_vm_read");
	REFUSED(family, gmem_vm_write(vm, GPA, text, sizeof(text), GMEM_ACCESS_CHECKED),
		"gmem_vm_write");
	REFUSED(family, gmem_vm_convert(vm, GPA, SIZE, GMEM_SHARED, 0, NULL), "gmem_vm_convert");
	REFUSED(family, gmem_vm_convert_ranges(vm, &range, 1, GMEM_PRIVATE, 0, NULL),
		"gmem_vm_convert_ranges");
	/* And no call reached the kernel. */
	CHECK(family, fake_kvm_call_count(family->stage.fake) == calls);
}

static void every_function_EIO_in_a_child(void **state)
{
	struct family family;
	size_t i;

	(void)state;
	for (i = 0; i < PRESETS; i++) {
		family_open(&family, presets[i].config, &(struct wish){ 0 });
		run_in_child(&family, use_everything);
		/* The parent goes on. */
		assert_int_equal(gmem_region_prefault(family.region, 0, PAGE, 1), 0);
		stage_expect_works(&family.stage);
		family_close(&family);
	}
}

/* What has a place in the readers' table is found there by nobody but the parent. */
static void ask_for_what_is_mapped(struct family *family)
{
	struct gmem_vm *vm = family->stage.vm;
	struct gmem_pin pin;
	struct gmem_run run;
	void *host;

	REFUSED(family, gmem_vm_get_state(vm, GPA, SIZE), "gmem_vm_get_state");
	REFUSED(family, gmem_vm_get_state(vm, GPA + PAGE, 1), "gmem_vm_get_state");
	REFUSED(family, gmem_vm_get_state(vm, GPA + SIZE, 1), "gmem_vm_get_state");
	REFUSED(family, gmem_vm_next_run(vm, GPA, &run), "gmem_vm_next_run");
	REFUSED(family, gmem_vm_translate(vm, GPA, 1, 0, &host), "gmem_vm_translate");
	REFUSED(family, gmem_vm_pin(vm, GPA, 1, 0, &pin), "gmem_vm_pin");
	REFUSED(family, gmem_vm_convert(vm, GPA, PAGE, GMEM_SHARED, 0, NULL), "gmem_vm_convert");
	REFUSED(family, gmem_vm_convert(vm, GPA, PAGE, GMEM_SHARED, GMEM_CONVERT_TRUST_STATE, NULL),
		"gmem_vm_convert");
}

static void questions_about_mapped_memory_EIO_in_a_child(void **state)
{
	struct family family;
	size_t i;

	(void)state;
	for (i = 0; i < PRESETS; i++) {
		family_open(&family, presets[i].config, &(struct wish){ 0 });
		assert_int_equal(gmem_change_commit(family.change), 0);
		run_in_child(&family, ask_for_what_is_mapped);
		assert_int_not_equal(gmem_vm_get_state(family.stage.vm, GPA, 1), GMEM_HOLE);
		family_close(&family);
	}
}

/* Where the region is in the parent, page by page: what the child could map there. */
struct place {
	unsigned char *pages[SIZE / PAGE];
	unsigned int count;
};

/*
 * Takes what is free. That need not be all of it: a sanitizer's runtime maps memory of its own in
 * a child, and may have been there first.
 */
static void take_place(const struct family *family, struct place *place)
{
	unsigned char *at = family->info.host;
	size_t i;

	place->count = 0;
	for (i = 0; i < SIZE / PAGE; i++, at += PAGE) {
		void *page = mmap(at, PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (page == at)
			place->pages[place->count++] = page;
	}
}

static void fill_place(const struct place *place)
{
	unsigned int i;

	for (i = 0; i < place->count; i++)
		place->pages[i][0] = place->pages[i][PAGE - 1] = 0x77;
}

static void check_place(struct family *family, const struct place *place)
{
	unsigned int i;

	for (i = 0; i < place->count; i++)
		CHECK(family, place->pages[i][0] == 0x77 && place->pages[i][PAGE - 1] == 0x77);
}

static void free_region_first(struct family *family)
{
	gmem_region_free(family->region);
	gmem_change_free(family->change);
	gmem_vm_free(family->stage.vm);
	gmem_ctx_free(family->stage.ctx);
}

static void free_vm_first(struct family *family)
{
	gmem_ctx_free(family->stage.ctx);
	gmem_vm_free(family->stage.vm);
	gmem_change_free(family->change);
	gmem_region_free(family->region);
}

static void free_beside_own_memory(struct family *family, void (*free_all)(struct family *family))
{
	int fd = family->info.fd, guest_memfd = family->info.guest_memfd;
	struct place place;

	/* MADV_DONTFORK: the place is free. */
	take_place(family, &place);
	CHECK(family, place.count);
	fill_place(&place);
	free_all(family);
	check_place(family, &place);
	/* All else that the child had of it is given back. */
	CHECK(family, leaks_mapped(family->stage.leaks) == SIZE);
	CHECK(family, leaks_descriptors(family->stage.leaks) == 0);
	/* The child's copies of the descriptors are given back. */
	CHECK(family, fd < 0 || (fcntl(fd, F_GETFD) < 0 && errno == EBADF));
	CHECK(family, guest_memfd < 0 || (fcntl(guest_memfd, F_GETFD) < 0 && errno == EBADF));
	CHECK(family, logs_count(family->stage.logs) == 0);
}

static void free_region_first_in_child(struct family *family)
{
	free_beside_own_memory(family, free_region_first);
}

static void free_vm_first_in_child(struct family *family)
{
	free_beside_own_memory(family, free_vm_first);
}

static const struct {
	const struct fake_kvm_config *config;
	struct wish wish;
} kinds[] = {
	{ &fake_kvm_old, { 0 } },
	{ &fake_kvm_old, { .source = WISH_MEMORY, .memory = GMEM_MEMORY_ANON } },
	{ &fake_kvm_linux_6_8, { 0 } },
	{ &fake_kvm_linux_6_18, { .backing = GMEM_BACKING_GUEST_MEMFD } },
	{ &fake_kvm_in_place, { .state = GMEM_SHARED } },
	{ &fake_kvm_in_place, { .source = WISH_MEMORY, .memory = GMEM_MEMORY_GUEST_MEMFD } },
};

static void freeing_in_a_child_leaves_others_memory_alone(void **state)
{
	static void (*const children[])(struct family *) = {
		free_region_first_in_child,
		free_vm_first_in_child,
	};
	struct family family;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(kinds) * ARRAY_SIZE(children); i++) {
		family_open(&family, kinds[i / 2].config, &kinds[i / 2].wish);
		mark(family.info.host);
		run_in_child(&family, children[i % 2]);
		assert_int_equal(((unsigned char *)family.info.host)[SIZE - 1], 0x5a);
		if (family.info.fd >= 0)
			assert_true(fcntl(family.info.fd, F_GETFD) >= 0);
		assert_int_equal(gmem_region_prefault(family.region, 0, PAGE, 2), 0);
		family_close(&family);
	}
}

/* A mapped region is held by its section as well. */
static void freeing_in_a_child_with_a_section(void **state)
{
	struct family family;

	(void)state;
	family_open(&family, &fake_kvm_linux_6_8, &(struct wish){ 0 });
	assert_int_equal(
		gmem_vm_map(family.stage.vm, GPA, family.region, 0, SIZE, GMEM_SLOT_AUTO, 0), 0);
	run_in_child(&family, free_vm_first_in_child);
	run_in_child(&family, free_region_first_in_child);
	assert_int_equal(fake_kvm_slot_count(family.stage.fake, fake_kvm_vm_fd(family.stage.fake)),
			 1);
	assert_int_equal(gmem_vm_unmap(family.stage.vm, GPA, SIZE), 0);
	family_close(&family);
}

static void see_and_free_in_child(struct family *family)
{
	unsigned char *host = family->info.host;
	struct place place;

	take_place(family, &place);
	CHECK(family, !place.count);
	CHECK(family, host[0] == 0x5a && host[SIZE - 1] == 0x5a);
	free_vm_first(family);
	/* It was the child's to give back. */
	CHECK(family, leaks_mapped(family->stage.leaks) == 0);
	take_place(family, &place);
	CHECK(family, place.count);
}

static void FORK_lets_children_have_it(void **state)
{
	struct family family;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct wish wish = kinds[i].wish;

		wish.flags |= GMEM_REGION_FORK;
		family_open(&family, kinds[i].config, &wish);
		mark(family.info.host);
		run_in_child(&family, see_and_free_in_child);
		assert_int_equal(((unsigned char *)family.info.host)[0], 0x5a);
		family_close(&family);
	}
}

/* Not ours to unmap, in a child neither. */
static void free_and_see_callers_mapping(struct family *family)
{
	unsigned char *host = family->info.host;

	free_region_first(family);
	CHECK(family, host[0] == 0x5a && host[SIZE - 1] == 0x5a);
	host[0] = 1;
}

static void mapping_of_the_caller_stays_in_a_child(void **state)
{
	unsigned char *callers =
		mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct wish wish = {
		.source = WISH_MAPPING,
		.mapping = callers,
		.memory = GMEM_MEMORY_ANON,
	};
	struct family family;

	(void)state;
	assert_ptr_not_equal(callers, MAP_FAILED);
	mark(callers);
	family_open(&family, &fake_kvm_linux_6_8, &wish);
	run_in_child(&family, free_and_see_callers_mapping);
	family_close(&family);
	assert_int_equal(callers[0], 0x5a);
	munmap(callers, SIZE);
}

/* A grandchild is a child too. */
static void fork_again(struct family *family)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		use_everything(family);
		_exit(0);
	}
	CHECK(family, waitpid(pid, &status, 0) == pid && status == 0);
	use_everything(family);
}

static void every_function_EIO_in_a_grandchild(void **state)
{
	struct family family;

	(void)state;
	family_open(&family, &fake_kvm_in_place, &(struct wish){ 0 });
	run_in_child(&family, fork_again);
	family_close(&family);
}

static void make_own(struct family *family)
{
	struct gmem_region_info info;
	struct gmem_region *region;
	struct gmem_vm *vm;

	/* The parent's VM is not to be had anew, but one without KVM is. */
	CHECK(family, gmem_vm_new(family->stage.ctx, -1, NULL, &vm) == 0);
	CHECK(family, gmem_region_new(vm, SIZE, NULL, &region) == 0);
	CHECK(family, gmem_region_get_info(region, &info) == 0);
	mark(info.host);
	gmem_region_free(region);
	gmem_vm_free(vm);
	CHECK(family, logs_count(family->stage.logs) == 0);
}

static void a_child_can_make_its_own(void **state)
{
	struct family family;

	(void)state;
	family_open(&family, &fake_kvm_in_place, &(struct wish){ 0 });
	run_in_child(&family, make_own);
	family_close(&family);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_function_EIO_in_a_child),
		cmocka_unit_test(questions_about_mapped_memory_EIO_in_a_child),
		cmocka_unit_test(every_function_EIO_in_a_grandchild),
		cmocka_unit_test(freeing_in_a_child_leaves_others_memory_alone),
		cmocka_unit_test(freeing_in_a_child_with_a_section),
		cmocka_unit_test(FORK_lets_children_have_it),
		cmocka_unit_test(mapping_of_the_caller_stays_in_a_child),
		cmocka_unit_test(a_child_can_make_its_own),
	};

	/* Its leak check of a child reads memory that the child does not have, word by word. */
	if (getenv("GMEM_TEST_VALGRIND")) {
		puts("valgrind does not know memory that is not inherited");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
