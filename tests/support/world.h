/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM on the stand-in for KVM, with fault injection, leak accounting and captured messages around
 * it, for tests of the layout. What they compare: the library's layout with the kernel's memslots
 * and attributes, and both with what they were.
 */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

#include "fake-kvm.h"
#include "faults.h"
#include "layout.h"
#include "leaks.h"
#include "logs.h"

#include <gmem.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct world_config {
	const struct fake_kvm_config *kvm;
	bool without_kvm; /* the VM descriptor is -1 */
	bool pausing;     /* with callbacks to pause and resume */
	uint32_t tracking;
	uint32_t first_slot;
	uint32_t slot_count;
	uint32_t flags; /* GMEM_VM_* */
	uint32_t type;  /* GMEM_VM_TYPE_*; 0 is the default VM's */
	/* How to wait; both zero: the library's default. The callback is given the world. */
	uint64_t deadline_ns;
	gmem_retry_fn retry;
};

struct world {
	struct fake_kvm *fake;
	struct leaks *leaks;
	struct faults *faults; /* outermost */
	struct logs *logs;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	int vm_fd;
	uint64_t page;
	/* The callbacks: how often they were called, and after how many memslot calls. */
	unsigned int pauses;
	unsigned int resumes;
	size_t calls_at_pause;
	size_t calls_at_resume;
	int pause_result;
	void (*while_paused)(struct world *world);
	void (*when_resumed)(struct world *world);
	/* Each bit fails an ioctl with fail_error: bit 0 the next one, and so on. */
	struct gmem_kernel inner;
	uint64_t fail_mask;
	int fail_error;
	/* Sees each call first; true: it was served, and *result is what it returns. */
	bool (*serve)(struct world *world, uint32_t nr, const uint64_t *arg, int64_t *result);
	void *opaque; /* for callbacks of a test's */
	struct leaks_snapshot *start;
};

void world_open(struct world *world, const struct world_config *config);
/* Frees the VM and all that belongs to it; fails when a message is left, or anything leaked. */
void world_close(struct world *world);
/* The same in two halves, to look at what is left when the VM is freed. */
void world_free_vm(struct world *world);

/* state 0: the default. The tag is the address of the name. */
struct gmem_region *world_region(struct world *world, const char *name, uint64_t pages,
				 uint32_t backing, uint32_t state);
/*
 * One that is larger than the host might map: a mapping of the caller's that is not there. It must
 * not be touched.
 */
struct gmem_region *world_large_region(struct world *world, const char *name, uint64_t pages);
struct gmem_region_info world_region_info(const struct gmem_region *region);

/* Makes pages of a region private or shared, as a conversion would, before it is mapped. */
void world_set_private(struct gmem_region *region, uint64_t first, uint64_t count, bool private);

/* Does a step at once, by the function of its kind; or adds it to a change. */
int world_do(struct world *world, const struct step *step);
int world_add_step(struct gmem_change *change, const struct step *step);
/* The name of that function of its own. */
const char *world_function(enum step_kind kind);

/* Field by field. */
bool world_same_section(const struct section *a, const struct section *b);

/* Memslot calls since the last reset of the fake's record, and attribute calls. */
size_t world_slot_calls(struct world *world);
size_t world_attribute_calls(struct world *world);
/* The nth memslot call of either kind. */
struct fake_slot world_slot_call(struct world *world, size_t n);
uint32_t world_slots_used(struct world *world);

/* All that can be seen of the layout and of the kernel's side of it. */
#define PICTURE_SIZE 128
struct picture {
	size_t section_count;
	struct gmem_run sections[PICTURE_SIZE];
	size_t run_count;
	struct gmem_run runs[4 * PICTURE_SIZE];
	size_t alias_count; /* of other address spaces */
	struct section aliases[PICTURE_SIZE];
	size_t slot_count;
	struct fake_slot slots[PICTURE_SIZE];
	uint64_t private_bytes;
	uint32_t slots_used;
};

void picture_take(struct world *world, struct picture *picture);
#define assert_same_picture(world, picture) picture_compare(world, picture, __FILE__, __LINE__)
void picture_compare(struct world *world, const struct picture *picture, const char *file,
		     int line);

/* Fails unless every section has the memslot and the attributes it should, and there are no more. */
#define assert_kernel_agrees(world) world_compare_kernel(world, __FILE__, __LINE__)
void world_compare_kernel(struct world *world, const char *file, int line);

/* The same where attributes may be left at addresses that no section has any more. */
#define assert_sections_agree(world) world_compare_sections(world, __FILE__, __LINE__)
void world_compare_sections(struct world *world, const char *file, int line);

/* A call failed as it should: this errno, one message with all that follows, nothing changed. */
#define expect_refusal(world, picture, result, error, ...)                                         \
	do {                                                                                       \
		assert_int_equal(result, error);                                                   \
		expect_one_message((world)->logs, GMEM_LOG_ERROR, __VA_ARGS__);                    \
		assert_same_picture(world, picture);                                               \
	} while (0)

/*
 * Runs a call whose object is NULL, which leaves no context to log to: what it writes to stderr
 * under GMEM_LOG=error must be one line that contains the text.
 */
#define expect_null_refusal(call, text)                                                            \
	do {                                                                                       \
		int captured = stderr_begin();                                                     \
		int result = (call);                                                               \
		stderr_end(captured, text, __FILE__, __LINE__);                                    \
		assert_int_equal(result, -EINVAL);                                                 \
	} while (0)
int stderr_begin(void);
void stderr_end(int captured, const char *text, const char *file, int line);

/*
 * In a child made by fork(): each of the functions must return -EIO and send one message that
 * names it. They are called with opaque.
 */
struct forked_call {
	const char *name;
	int (*call)(void *opaque);
};
void expect_eio_in_child(struct world *world, const struct forked_call *calls, size_t count,
			 void *opaque);

#endif /* TESTS_SUPPORT_WORLD_H */
