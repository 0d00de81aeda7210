/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM on the stand-in for KVM with a little of everything that pins, copies and conversions can
 * meet, a clock that only sleeping moves, and a thread that can be at work on a range.
 */
#ifndef TESTS_UNIT_GUEST_H
#define TESTS_UNIT_GUEST_H

#include "bare.h"
#include "claim.h"
#include "scene.h"

#define HOLE_PAGE 0x38
#define ROM_PAGE 0x40
#define DEVICE_PAGE 0x44
#define RESERVED_PAGE 0x48
#define PRIVATE_PAGE 0x2c

/*
 * In pages: "ram" (0 to 8) at 0x10 and (8 to 16) right behind, at 0x18; "other" (0 to 8) right
 * behind that, at 0x20; "private0" (0 to 16) right behind, at 0x28, of which 4 to 8 and 12 are
 * private; a ROM, (0 to 4) of "rom", at 0x40; a device's memory, (4 to 8) of "rom", at 0x44; and
 * reserved at 0x48 (4). In address space 1 an alias of "ram" (0 to 8) at 0x10.
 */
struct guest {
	struct world world;
	struct gmem_vm *vm;
	struct gmem_region *ram;
	struct gmem_region *other;
	struct gmem_region *private;
	struct gmem_region *rom;
	struct worker *worker;
	/* What the worker is at work on. */
	struct gmem_range range;
	struct claim claim;
	struct wait wait;
	struct gmem_report report;
	/* The clock, while it is not the host's. */
	bool own_clock;
	uint64_t now;
	unsigned int naps;
	int nap_result; /* 0: the time that was asked for has passed */
	/* Of the retry callback. */
	int (*retry)(struct guest *guest, const struct gmem_report *so_far);
	unsigned int asked;
};

/* On KVMs that track per VM or per file. config may be NULL; its kvm is not looked at. */
void guest_open(struct guest *guest, const struct fake_kvm_config *kvm,
		const struct world_config *config);
/* Fails the test if a pin or a claim is left. */
void guest_close(struct guest *guest);

/* A gmem_retry_fn for the configuration: counts, and asks guest->retry; without one it is AGAIN. */
int guest_retry(const struct gmem_report *so_far, void *opaque);

/* Has the worker be at work on a range, and end it. */
void guest_begin_work(struct guest *guest, uint64_t gpa, uint64_t size);
void guest_end_work(struct guest *guest);

/* Whether a pin has any page of a range. */
bool guest_is_pinned(struct guest *guest, uint64_t gpa, uint64_t size);
char *guest_host(const struct gmem_region *region);

#endif /* TESTS_UNIT_GUEST_H */
