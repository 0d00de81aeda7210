// SPDX-License-Identifier: LGPL-2.1-or-later
/* Listeners that keep account of what they were told. */
#include "ears.h"

#include "tests/support/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *event_name(uint32_t event)
{
	return event == GMEM_EVENT_ADD ? "add" : "remove";
}

/* Inside a callback no test may fail: it is said later. The first is what matters. */
static void broken(struct ear *ear, uint32_t event, const struct gmem_run *run, const char *rule)
{
	if (ear->ears->fault[0])
		return;
	snprintf(ear->ears->fault, sizeof(ear->ears->fault),
		 "listener %u, %s of gpa %#llx, %#llx bytes: %s", ear->index, event_name(event),
		 (unsigned long long)run->gpa, (unsigned long long)run->size, rule);
}

/* The memory is there when one is told of it, be it still or already. */
static void check_host(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	const volatile unsigned char *bytes = run->host;
	void *host = NULL;

	if (!bytes) {
		broken(ear, event, run, "no host address");
		return;
	}
	(void)bytes[0];
	(void)bytes[run->size - 1];
	if (run->kind == GMEM_KIND_DEVICE || (event == GMEM_EVENT_REMOVE && ear->ears->slots_fail))
		return;
	if (gmem_vm_translate(ear->ears->rig->vm, run->gpa, run->size, 0, &host) ||
	    host != run->host)
		broken(ear, event, run, "it is not what translation says");
}

static void check_run(struct ear *ear, uint32_t event, const struct gmem_run *run)
{
	uint64_t page = ear->ears->rig->page;

	if (event != GMEM_EVENT_ADD && event != GMEM_EVENT_REMOVE)
		broken(ear, event, run, "unknown event");
	if (!run->size || run->gpa % page || run->size % page)
		broken(ear, event, run, "not whole pages");
	if (ear->granularity && (run->size != ear->granularity || run->gpa % ear->granularity))
		broken(ear, event, run, "not a block of its granularity");
	if (run->state != GMEM_SHARED)
		broken(ear, event, run, "its state is not shared");
	if (!(ear->kinds & 1u << run->kind))
		broken(ear, event, run, "not a kind that it listens for");
	check_host(ear, event, run);
}

static void take(struct ear *ear, uint32_t event, const struct gmem_run *run, bool refused)
{
	uint64_t page = ear->ears->rig->page, i = run->gpa / page;
	uint64_t end = (run->gpa + run->size) / page;
	bool add = event == GMEM_EVENT_ADD;

	if (end > EARS_PAGES) {
		broken(ear, event, run, "above what is kept account of");
		return;
	}
	for (; i < end; i++) {
		if (!ear->unsure[i] && ear->has[i] == add)
			broken(ear, event, run, add ? "it has that" : "it has no such thing");
		if (refused)
			ear->unsure[i] = true;
		else
			ear->has[i] = add;
	}
}

static bool refuses(struct ear *ear, uint32_t event)
{
	if (!ear->refuse_nth || !(ear->refuse_events & 1u << event))
		return false;
	return !--ear->refuse_nth;
}

static int hear(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct ear *ear = opaque;
	struct ears *ears = ear->ears;
	bool refused = refuses(ear, event);

	ears->calls++;
	check_run(ear, event, run);
	take(ear, event, run, refused);
	if (ears->heard_count < EARS_HEARD)
		ears->heard[ears->heard_count++] = (struct heard){
			.ear = ear->index,
			.event = event,
			.page = run->gpa / ears->rig->page,
			.pages = run->size / ears->rig->page,
			.refused = refused,
		};
	if (ear->inside)
		ear->inside(ear, event, run);
	return refused ? -EPERM : 0;
}

void ears_open(struct ears *ears, struct rig *rig)
{
	uint32_t i;

	memset(ears, 0, sizeof(*ears));
	ears->rig = rig;
	ears->heard = support_new(EARS_HEARD * sizeof(*ears->heard));
	for (i = 0; i < EARS_MAX; i++) {
		ears->ear[i].ears = ears;
		ears->ear[i].index = i;
	}
}

static void show_heard(const struct ears *ears)
{
	uint32_t i;

	for (i = 0; i < ears->heard_count; i++)
		print_message("call %u: listener %u, %s of page %llu, %llu pages%s\n", i,
			      ears->heard[i].ear, event_name(ears->heard[i].event),
			      (unsigned long long)ears->heard[i].page,
			      (unsigned long long)ears->heard[i].pages,
			      ears->heard[i].refused ? ", refused" : "");
}

static void show_messages(const struct ears *ears)
{
	char text[512];
	size_t i;

	for (i = 0; logs_get(ears->rig->logs, i, text, sizeof(text)) != GMEM_LOG_NONE; i++)
		print_message("message: %s\n", text);
}

static void check_fault(const struct ears *ears, const char *what)
{
	if (!ears->fault[0])
		return;
	show_heard(ears);
	show_messages(ears);
	fail_msg("%s, after %s: %s", ears->rig->mode->name, what, ears->fault);
}

void ears_close(struct ears *ears)
{
	uint32_t i;

	ears_forget(ears);
	for (i = 0; i < EARS_MAX; i++)
		ears_free(ears, i);
	check_fault(ears, "the end");
	free(ears->heard);
}

int ears_listen(struct ears *ears, uint32_t index, uint32_t events, uint32_t kinds,
		uint64_t granularity)
{
	struct ear *ear = &ears->ear[index];

	ear->events = events;
	ear->kinds = kinds;
	ear->granularity = granularity * ears->rig->page;
	memset(ear->has, 0, sizeof(ear->has));
	memset(ear->unsure, 0, sizeof(ear->unsure));
	return gmem_listener_new(ears->rig->vm, events, kinds, ear->granularity, hear, ear, NULL,
				 &ear->listener);
}

void ears_listen_all(struct ears *ears, uint32_t index, uint64_t granularity)
{
	assert_int_equal(ears_listen(ears, index, GMEM_LISTEN_ALL,
				     GMEM_LISTEN_RAM | GMEM_LISTEN_ROM | GMEM_LISTEN_DEVICE,
				     granularity),
			 0);
}

void ears_free(struct ears *ears, uint32_t index)
{
	struct ear *ear = &ears->ear[index];
	uint32_t i;

	if (!ear->listener)
		return;
	gmem_listener_free(ear->listener);
	ear->listener = NULL;
	if (!(ear->events & GMEM_LISTEN_REPLAY))
		return;
	for (i = 0; i < EARS_PAGES; i++) {
		if (ear->has[i] && !ear->unsure[i])
			fail_msg("listener %u was freed, and not told of remove of page %u", index,
				 i);
	}
}

void ears_refuse(struct ears *ears, uint32_t index, uint32_t event, uint32_t nth)
{
	ears->ear[index].refuse_events = 1u << event;
	ears->ear[index].refuse_nth = nth;
}

void ears_forget(struct ears *ears)
{
	uint32_t i;

	for (i = 0; i < EARS_MAX; i++)
		ears->ear[i].refuse_nth = 0;
	ears->heard_count = 0;
}

/* What is there, page by page: GMEM_KIND_* where it is shared, and which section it is of. */
struct there {
	uint32_t kind[EARS_PAGES];
	uint32_t section[EARS_PAGES];
};

static void look_at_section(const struct rig *rig, const struct gmem_run *section, uint32_t number,
			    struct there *there)
{
	uint64_t i = section->gpa / rig->page, end = (section->gpa + section->size) / rig->page;

	assert_true(end <= EARS_PAGES);
	for (; i < end; i++) {
		there->section[i] = number;
		if (section->kind != GMEM_KIND_RESERVED &&
		    gmem_vm_get_state(rig->vm, i * rig->page, rig->page) == GMEM_SHARED)
			there->kind[i] = section->kind;
	}
}

static void look(const struct rig *rig, struct there *there)
{
	struct gmem_run section;
	uint32_t number = 0;
	uint64_t gpa = 0;

	memset(there, 0, sizeof(*there));
	while (gmem_vm_next_section(rig->vm, gpa, &section) == 1) {
		look_at_section(rig, &section, ++number, there);
		gpa = section.gpa + section.size;
	}
}

/* Whether a listener should have the block of a page. */
static bool is_there(const struct ear *ear, const struct there *there, uint64_t page)
{
	uint64_t pages = ear->granularity ? ear->granularity / ear->ears->rig->page : 1;
	uint64_t first = page / pages * pages, i;

	for (i = first; i < first + pages; i++) {
		if (i >= EARS_PAGES || there->section[i] != there->section[page] ||
		    !(ear->kinds & 1u << there->kind[i]) || !there->kind[i])
			return false;
	}
	return true;
}

static void compare_ear(struct ear *ear, const struct there *there, const char *what)
{
	uint64_t i;

	for (i = 0; i < EARS_PAGES; i++) {
		bool wanted = is_there(ear, there, i);

		if (ear->unsure[i])
			ear->has[i] = wanted;
		ear->unsure[i] = false;
		if (ear->has[i] == wanted)
			continue;
		show_heard(ear->ears);
		show_messages(ear->ears);
		fail_msg("%s, after %s: listener %u (granularity %#llx, kinds %#x) %s page "
			 "%#llx, which %s there",
			 ear->ears->rig->mode->name, what, ear->index,
			 (unsigned long long)ear->granularity, ear->kinds,
			 ear->has[i] ? "has" : "has not", (unsigned long long)i,
			 wanted ? "is" : "is not");
	}
}

void ears_compare(struct ears *ears, const char *what)
{
	struct there *there = support_new(sizeof(*there));
	uint32_t i;

	check_fault(ears, what);
	look(ears->rig, there);
	for (i = 0; i < EARS_MAX; i++) {
		if (ears->ear[i].listener)
			compare_ear(&ears->ear[i], there, what);
	}
	free(there);
}

void ears_expect(struct ears *ears, uint32_t i, uint32_t ear, uint32_t event, uint64_t page,
		 uint64_t pages)
{
	const struct heard *heard = &ears->heard[i];

	if (i >= ears->heard_count)
		fail_msg("there were %u calls, and no call %u: listener %u, %s of page %llu, %llu "
			 "pages",
			 ears->heard_count, i, ear, event_name(event), (unsigned long long)page,
			 (unsigned long long)pages);
	if (heard->ear != ear || heard->event != event || heard->page != page ||
	    heard->pages != pages)
		fail_msg("call %u was listener %u, %s of page %llu, %llu pages; it should have "
			 "been listener %u, %s of page %llu, %llu pages",
			 i, heard->ear, event_name(heard->event), (unsigned long long)heard->page,
			 (unsigned long long)heard->pages, ear, event_name(event),
			 (unsigned long long)page, (unsigned long long)pages);
}

void ears_expect_count(struct ears *ears, uint32_t count)
{
	check_fault(ears, "an operation");
	if (ears->heard_count == count)
		return;
	show_heard(ears);
	fail_msg("%u calls; there should have been %u", ears->heard_count, count);
}
