/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM on the simulator for tests of conversion: one for each way in which a kernel tracks what is
 * private and a region is backed, with its regions, its log, a record of the calls that change
 * attributes, and a comparison of what the library says with what the kernel has.
 */
#ifndef TESTS_CONVERT_RIG_H
#define TESTS_CONVERT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/logs.h"

#include <gmem.h>
#include <gmem/sim.h>
#include <stdatomic.h>
#include <stdbool.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* A kernel, a type of VM and a backing. */
struct mode {
	const char *name;
	uint32_t preset;
	uint32_t vm_type;
	uint32_t backing;
	uint64_t page_size; /* 0: the preset's */
	uint32_t tracking;  /* what is found */
};

/* All modes; the last has no name. */
extern const struct mode modes[];
/* The modes in which most tests run: per VM, in place, in place with a split backing. */
const struct mode *mode_called(const char *name);

/* One call that changed attributes, or was to. */
struct attribute_call {
	int fd; /* the VM's or a guest_memfd's */
	uint64_t start;
	uint64_t size;
	bool to_private;
	int result;
};

#define RIG_REGIONS 4u
#define RIG_CALLS 65536u

struct rig {
	const struct mode *mode;
	struct gmem_sim *sim;
	struct gmem_kernel kernel;    /* the simulator's, whose allocations never fail */
	struct gmem_kernel simulated; /* the simulator's own */
	struct logs *logs;
	struct gmem_ctx *ctx;
	int vm_fd;
	int vcpu_fd;
	void *kvm_run;
	struct gmem_vm *vm;
	uint64_t page;
	struct gmem_region *region[RIG_REGIONS];
	unsigned int regions;
	/* Attribute calls since rig_forget_calls(), from all threads. */
	struct attribute_call *calls;
	_Atomic uint32_t call_count;
	_Atomic uint64_t wait_calls;  /* futex and clock_gettime */
	_Atomic uint64_t other_calls; /* all others */
	_Atomic int futex_error;      /* what every futex call gives, without being made; 0: none */
	_Atomic uint32_t futex_failed;
	_Atomic uint32_t futex_calls; /* all of them */
	unsigned int descriptors;     /* of this process, before the rig was made */
};

/* With a configuration of one's own the type of VM is the caller's to set in it. */
void rig_open(struct rig *rig, const struct mode *mode);
void rig_open_with(struct rig *rig, const struct mode *mode, struct gmem_vm_config *config);
/* A configuration that says the mode's type of VM; the caller's, until gmem_vm_config_free(). */
struct gmem_vm_config *rig_config(const struct mode *mode);
/* Of this process. */
unsigned int rig_open_descriptors(void);
/* Frees all, and fails the test if a descriptor is left. */
void rig_close(struct rig *rig);

/* A region of the mode's backing, initially shared; pages in all. Its tag is its index + 1. */
struct gmem_region *rig_region(struct rig *rig, uint64_t pages);
struct gmem_region *rig_region_in_state(struct rig *rig, uint64_t pages, uint32_t state);
struct gmem_region *rig_plain_region(struct rig *rig, uint64_t pages);
/* The guest_memfd of a region. */
int rig_file(struct rig *rig, unsigned int region);
/* Maps a window; fails the test if it cannot. All in pages. */
void rig_map(struct rig *rig, uint64_t gpa_page, struct gmem_region *region, uint64_t offset,
	     uint64_t pages);

/* gmem_vm_convert() in pages. */
int rig_convert(struct rig *rig, uint64_t gpa_page, uint64_t pages, uint32_t to, uint32_t flags,
		struct gmem_report *report);
/* The same, without freeing what is no longer seen, which has tests of its own. */
int rig_convert_keeping(struct rig *rig, uint64_t gpa_page, uint64_t pages, uint32_t to,
			uint32_t flags, struct gmem_report *report);

/* And messages. */
void rig_forget_calls(struct rig *rig);
/*
 * Fails the test unless an attribute call was this one: index counts from the last
 * rig_forget_calls(). Per VM start counts from address 0 and the region does not matter, else it is
 * in that region's file. All in pages.
 */
#define rig_expect_call(rig, index, region, start, pages, to)                                      \
	rig_judge_call(rig, index, region, start, pages, to, __FILE__, __LINE__)
void rig_judge_call(struct rig *rig, uint32_t index, unsigned int region, uint64_t start,
		    uint64_t pages, uint32_t to, const char *file, int line);
/* Has an attribute ioctl fail, as gmem_sim_fail() does: whichever of the two the mode has. */
void rig_fail_call(struct rig *rig, uint64_t nth, int error);

/*
 * Compares states of all pages of all sections with the simulator's, and fails the test on the
 * first that differs.
 */
void rig_compare(struct rig *rig);

/* Which modes a case is for. */
#define IN_ALL_MODES 0u
#define IN_PLACE 1u       /* one guest_memfd for both sides */
#define PER_FILE 2u       /* tracked per guest_memfd */
#define PER_VM 3u         /* tracked per VM */
#define SMALL_PAGES 4u    /* of 4 KiB, software-protected: contents are kept */
#define SPLIT_SMALL 5u    /* the same, with a split backing */
#define SPLIT_PER_FILE 6u /* and tracked per guest_memfd */

/* A test, run once in each of its modes with a const struct mode as its state. */
struct rig_case {
	const char *name;
	void (*function)(void **state);
	uint32_t in;
};

/* Runs all of them as one cmocka group; the return value of main(). */
int rig_run(const char *group, const struct rig_case *cases, size_t count);
#define RIG_CASE(function, in)                                                                     \
	{                                                                                          \
#function, function, in                                                            \
	}

#endif /* TESTS_CONVERT_RIG_H */
