/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What unit tests of VMs and regions stand on: a context whose calls go through an account of
 * what is taken and given back to a stand-in for KVM, and operations that are run again and again
 * while each call, or each allocation, fails in turn.
 */
#ifndef TESTS_UNIT_STAGE_H
#define TESTS_UNIT_STAGE_H

#include "fake-kvm.h"
#include "faults.h"
#include "leaks.h"
#include "logs.h"

#include <gmem/region.h>
#include <setjmp.h>
#include <stdarg.h>

/* Needs what stands above. */
#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIB (UINT64_C(1) << 20)

/* The kernels that tests run on. */
struct preset {
	const char *name;
	const struct fake_kvm_config *config;
};

enum {
	PRESET_OLD,
	PRESET_6_8,
	PRESET_6_18,
	PRESET_6_18_SW,
	PRESET_IN_PLACE,
	PRESET_IN_PLACE_DEFAULT,
	PRESETS,
};
extern const struct preset presets[PRESETS];

struct stage_call {
	uint32_t nr;
	uint64_t arg[GMEM_SYS_ARGUMENTS];
};

/* From the outermost: note, faults, leaks, fake. */
struct stage {
	struct fake_kvm *fake;
	struct leaks *leaks;
	struct faults *faults;
	struct logs *logs;
	struct gmem_kernel kernel;
	struct gmem_ctx *ctx; /* hears all but debug */
	struct gmem_vm *vm;   /* NULL where the test makes its own */
	struct leaks_snapshot *before;
	bool note_failed;
	struct stage_call failed; /* the call that faults failed last, while note_failed */
};

void stage_open(struct stage *stage, const struct fake_kvm_config *config);
/* The same, and a VM with the default configuration. */
void stage_open_vm(struct stage *stage, const struct fake_kvm_config *config);
/* Frees VM and context; fails the test if a message is left, or anything else. */
void stage_close(struct stage *stage);

/* Fails the test unless a region can be made in the stage's VM, and freed. */
void stage_expect_works(struct stage *stage);

/* Settings of a region: what is zero is not set. */
enum wish_source { WISH_NOTHING, WISH_MEMORY, WISH_FD, WISH_MAPPING };
struct wish {
	const char *name;
	uint64_t tag;
	uint32_t backing;
	uint32_t needs;
	uint32_t state;
	uint32_t flags;
	uint32_t policy;
	uint64_t nodes;
	uint32_t bits;
	enum wish_source source;
	uint32_t memory;
	uint64_t page_size;
	int fd;
	uint64_t offset;
	void *mapping;
};

struct gmem_region_config *wish_config(const struct wish *wish);
/* gmem_region_new() with this configuration. */
int stage_try_region(struct stage *stage, uint64_t size, const struct wish *wish,
		     struct gmem_region **region);
/* The same; fails the test unless it succeeds, without a message. */
struct gmem_region *stage_region(struct stage *stage, uint64_t size, const struct wish *wish);
struct gmem_region_info region_info(const struct gmem_region *region);

/*
 * Fails the test unless the region is refused with this error, out pointer NULL, one message that
 * has all of these NULL-terminated words, nothing taken, and all else works as before.
 */
void stage_expect_refused(struct stage *stage, uint64_t size, const struct wish *wish, int error,
			  const char *const *words);

/* Something that is done over and over. */
struct operation {
	/* 0 or a negative errno; checks by itself that a failure left its out pointer NULL. */
	int (*run)(struct stage *stage, void *opaque);
	/* Takes back what a successful run did. NULL: nothing. */
	void (*undo)(struct stage *stage, void *opaque);
	void *opaque;
	/* The errors that the doc comment lists, ended by 0. */
	const int *errors;
	/*
	 * Whether the operation may succeed though this call failed so: not listed here, it must
	 * fail. NULL: none.
	 */
	bool (*tolerates)(const struct stage_call *call, int error);
};

/*
 * Fails each system call of the operation in turn, with each errno that could be: afterwards the
 * error is a documented one, with one message, nothing is left behind, and the same operation
 * then succeeds.
 */
void stage_sweep_calls(struct stage *stage, const struct operation *operation);
/* The same with allocations, where only -ENOMEM will do. */
void stage_sweep_allocations(struct stage *stage, const struct operation *operation);
/* Calls that may fail without a consequence, whatever makes them: giving back, naming. */
bool stage_tolerates(const struct stage_call *call, int error);

/* What a function without a context writes to the real stderr under GMEM_LOG=level (NULL: unset). */
struct capture {
	int saved;
	int file;
};
void capture_begin(struct capture *capture, const char *level);
void capture_end(struct capture *capture, char *text, size_t size);

/* A list of cases, some of them rows of a table. */
struct cases {
	struct CMUnitTest list[256];
	size_t count;
};
void cases_add(struct cases *cases, const char *name, CMUnitTestFunction function, void *state);
/* Runs them; returns the exit status. */
int cases_run(struct cases *cases, const char *group);

#endif /* TESTS_UNIT_STAGE_H */
