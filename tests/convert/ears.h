/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listeners for tests: each keeps a map of the pages it was told of, holds every call to the rules
 * of gmem/listener.h, and can refuse. Compared with what is shared and mapped afterwards.
 */
#ifndef TESTS_CONVERT_EARS_H
#define TESTS_CONVERT_EARS_H

#include "rig.h"

#define EARS_MAX 8u
#define EARS_PAGES 4096u /* guest pages that are kept account of, from 0 on */
#define EARS_HEARD 65536u

/* One call of one listener. */
struct heard {
	uint32_t ear;
	uint32_t event;
	uint64_t page;
	uint64_t pages;
	bool refused;
};

struct ears;

struct ear {
	struct ears *ears;
	uint32_t index;
	struct gmem_listener *listener; /* NULL: none */
	uint32_t events;
	uint32_t kinds;
	uint64_t granularity; /* in bytes */
	/* Refuses the nth call of these events (a mask of 1 << GMEM_EVENT_*) from now on; 0: none. */
	uint32_t refuse_nth;
	uint32_t refuse_events;
	/* Called within the callback, last. */
	void (*inside)(struct ear *ear, uint32_t event, const struct gmem_run *run);
	void *opaque; /* for that */
	bool has[EARS_PAGES];
	/* It refused: whether it has the page is seen from what comes of the operation. */
	bool unsure[EARS_PAGES];
};

struct ears {
	struct rig *rig;
	struct ear ear[EARS_MAX];
	struct heard *heard;
	uint32_t heard_count;
	uint64_t calls;
	bool slots_fail; /* KVM may lose memory that nobody wanted to go */
	char fault[256]; /* the first rule that a call broke */
};

void ears_open(struct ears *ears, struct rig *rig);
/* Frees all listeners that are left, and fails the test on a broken rule. */
void ears_close(struct ears *ears);

/* Makes listener index; what gmem_listener_new() returned. Granularity in pages. */
int ears_listen(struct ears *ears, uint32_t index, uint32_t events, uint32_t kinds,
		uint64_t granularity);
/* One that hears of all kinds, in conversions and layout changes, with replay. */
void ears_listen_all(struct ears *ears, uint32_t index, uint64_t granularity);
void ears_free(struct ears *ears, uint32_t index);

void ears_refuse(struct ears *ears, uint32_t index, uint32_t event, uint32_t nth);
/* No refusal is left, and what was heard is forgotten. */
void ears_forget(struct ears *ears);

/*
 * Fails the test if a rule was broken, or if a listener has been told of other memory than what is
 * shared and mapped now. What one is unsure of it then has as it is.
 */
void ears_compare(struct ears *ears, const char *what);

/* Whether call number i was this; else fails the test and says what it was. */
void ears_expect(struct ears *ears, uint32_t i, uint32_t ear, uint32_t event, uint64_t page,
		 uint64_t pages);
void ears_expect_count(struct ears *ears, uint32_t count);

#endif /* TESTS_CONVERT_EARS_H */
