// SPDX-License-Identifier: LGPL-2.1-or-later
/* A door that keeps account of descriptors and mappings. */
#include "leaks.h"
#include "faults.h"
#include "spans.h"
#include "support.h"

#include "uapi/kvm.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct leaks {
	pthread_mutex_t mutex;
	struct gmem_kernel kernel;
	uint64_t page_size;
	struct spans descriptors;
	struct spans mapped;
	uint64_t foreign_closes;
	uint64_t foreign_unmaps;
};

struct leaks_snapshot {
	struct spans open; /* in this process, whoever opened them */
	struct spans descriptors;
	struct spans mapped;
	uint64_t foreign_closes;
	uint64_t foreign_unmaps;
};

static bool makes_descriptor(uint32_t nr, const uint64_t *arg)
{
	int command = (int)arg[1];

	switch (nr) {
	case GMEM_SYS_MEMFD_CREATE:
		return true;
	case GMEM_SYS_FCNTL:
		return command == F_DUPFD || command == F_DUPFD_CLOEXEC;
	case GMEM_SYS_IOCTL:
		switch ((uint32_t)arg[1]) {
		case GMEM_KVM_CREATE_GUEST_MEMFD:
		case GMEM_KVM_CREATE_VM:
		case GMEM_KVM_CREATE_VCPU:
			return true;
		default:
			return false;
		}
	default:
		return false;
	}
}

/* Of the mapping as the kernel made it. */
static uint64_t end_of(const struct leaks *leaks, uint64_t start, uint64_t length)
{
	uint64_t rest = length % leaks->page_size;

	return start + length + (rest ? leaks->page_size - rest : 0);
}

/*
 * What goes is taken out of the account before the call, and put back when the call fails: at once
 * after it another thread may be given the same number.
 */
struct going {
	struct spans *from;
	uint64_t start;
	uint64_t end;
	struct spans had;
};

static void take_out(struct leaks *leaks, uint32_t nr, const uint64_t *arg, struct going *going)
{
	uint64_t at;

	memset(going, 0, sizeof(*going));
	if (nr == GMEM_SYS_CLOSE) {
		*going = (struct going){ &leaks->descriptors, arg[0], arg[0] + 1, { 0 } };
	} else if (nr == GMEM_SYS_MUNMAP || (nr == GMEM_SYS_MMAP && (int)arg[3] & MAP_FIXED)) {
		*going = (struct going){
			&leaks->mapped, arg[0], end_of(leaks, arg[0], arg[1]), { 0 }
		};
	} else {
		return;
	}
	for (at = going->start; at < going->end;) {
		bool in;
		uint64_t end = spans_run(going->from, at, going->end, &in);

		if (in)
			spans_add(&going->had, at, end);
		at = end;
	}
	spans_remove(going->from, going->start, going->end);
}

static void put_back(struct going *going)
{
	size_t i;

	for (i = 0; i < going->had.count; i++)
		spans_add(going->from, going->had.at[i].start, going->had.at[i].end);
}

static void settle(struct leaks *leaks, uint32_t nr, const uint64_t *arg, int64_t result,
		   struct going *going)
{
	/* A close that fails has closed all the same, or there was nothing to close. */
	if (result < 0 && going->from && nr != GMEM_SYS_CLOSE) {
		put_back(going);
	} else if (going->from) {
		uint64_t foreign = going->end - going->start -
				   spans_total(&going->had, going->start, going->end);

		if (nr == GMEM_SYS_CLOSE)
			leaks->foreign_closes += foreign;
		else
			leaks->foreign_unmaps += foreign;
	}
	if (result < 0)
		return;
	if (nr == GMEM_SYS_MMAP)
		spans_add(&leaks->mapped, (uint64_t)result,
			  end_of(leaks, (uint64_t)result, arg[1]));
	else if (makes_descriptor(nr, arg))
		spans_add(&leaks->descriptors, (uint64_t)result, (uint64_t)result + 1);
}

static int64_t leaks_door(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct leaks *leaks = opaque;
	struct going going;
	int64_t result;
	int saved = errno;

	allocations_pause();
	pthread_mutex_lock(&leaks->mutex);
	take_out(leaks, nr, arg, &going);
	pthread_mutex_unlock(&leaks->mutex);

	allocations_resume();
	result = leaks->kernel.call(nr, arg, leaks->kernel.opaque);
	allocations_pause();

	pthread_mutex_lock(&leaks->mutex);
	settle(leaks, nr, arg, result, &going);
	pthread_mutex_unlock(&leaks->mutex);
	spans_clear(&going.had);
	allocations_resume();
	errno = saved;
	return result;
}

struct leaks *leaks_new(const struct gmem_kernel *kernel)
{
	static const uint64_t none[GMEM_SYS_ARGUMENTS];
	struct leaks *leaks = support_new(sizeof(*leaks));

	pthread_mutex_init(&leaks->mutex, NULL);
	leaks->kernel = *kernel;
	leaks->page_size = (uint64_t)kernel->call(GMEM_SYS_GETPAGESIZE, none, kernel->opaque);
	return leaks;
}

void leaks_free(struct leaks *leaks)
{
	if (!leaks)
		return;
	spans_clear(&leaks->descriptors);
	spans_clear(&leaks->mapped);
	pthread_mutex_destroy(&leaks->mutex);
	free(leaks);
}

struct gmem_kernel leaks_kernel(struct leaks *leaks)
{
	return (struct gmem_kernel){ leaks_door, leaks };
}

size_t leaks_descriptors(struct leaks *leaks)
{
	size_t count;

	pthread_mutex_lock(&leaks->mutex);
	count = (size_t)spans_total(&leaks->descriptors, 0, UINT64_MAX);
	pthread_mutex_unlock(&leaks->mutex);
	return count;
}

uint64_t leaks_mapped(struct leaks *leaks)
{
	uint64_t bytes;

	pthread_mutex_lock(&leaks->mutex);
	bytes = spans_total(&leaks->mapped, 0, UINT64_MAX);
	pthread_mutex_unlock(&leaks->mutex);
	return bytes;
}

size_t leaks_foreign_closes(struct leaks *leaks)
{
	size_t count;

	pthread_mutex_lock(&leaks->mutex);
	count = (size_t)leaks->foreign_closes;
	pthread_mutex_unlock(&leaks->mutex);
	return count;
}

uint64_t leaks_foreign_unmaps(struct leaks *leaks)
{
	uint64_t bytes;

	pthread_mutex_lock(&leaks->mutex);
	bytes = leaks->foreign_unmaps;
	pthread_mutex_unlock(&leaks->mutex);
	return bytes;
}

/* All descriptors of this process but the one this is read through. */
static void list_open(struct spans *open)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!directory)
		abort();
	while ((entry = readdir(directory))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != dirfd(directory))
			spans_add(open, (uint64_t)fd, (uint64_t)fd + 1);
	}
	closedir(directory);
}

struct leaks_snapshot *leaks_take(struct leaks *leaks)
{
	struct leaks_snapshot *snapshot = support_new(sizeof(*snapshot));

	list_open(&snapshot->open);
	pthread_mutex_lock(&leaks->mutex);
	spans_copy(&snapshot->descriptors, &leaks->descriptors);
	spans_copy(&snapshot->mapped, &leaks->mapped);
	snapshot->foreign_closes = leaks->foreign_closes;
	snapshot->foreign_unmaps = leaks->foreign_unmaps;
	pthread_mutex_unlock(&leaks->mutex);
	return snapshot;
}

void leaks_snapshot_free(struct leaks_snapshot *snapshot)
{
	if (!snapshot)
		return;
	spans_clear(&snapshot->open);
	spans_clear(&snapshot->descriptors);
	spans_clear(&snapshot->mapped);
	free(snapshot);
}

/* Writes the first number that is in one set only; false when they are the same. */
static bool differ(const struct spans *before, const struct spans *now, const char *what,
		   char *text, size_t size)
{
	uint64_t at = 0;

	if (spans_equal(before, now))
		return false;
	for (;;) {
		bool was, is;
		uint64_t end = spans_run(before, at, UINT64_MAX, &was);
		uint64_t end_now = spans_run(now, at, UINT64_MAX, &is);

		end = end < end_now ? end : end_now;
		if (was != is) {
			snprintf(text, size, "%s 0x%jx to 0x%jx: %s", what, (uintmax_t)at,
				 (uintmax_t)end, is ? "left behind" : "gone");
			return true;
		}
		at = end;
	}
}

static bool compare(const struct leaks_snapshot *before, const struct leaks_snapshot *now,
		    char *text, size_t size)
{
	if (differ(&before->descriptors, &now->descriptors, "descriptors of the door", text,
		   size) ||
	    differ(&before->open, &now->open, "descriptors of the process", text, size) ||
	    differ(&before->mapped, &now->mapped, "mapping", text, size))
		return false;
	if (now->foreign_closes != before->foreign_closes) {
		snprintf(text, size, "%ju descriptors closed that did not come through the door",
			 (uintmax_t)(now->foreign_closes - before->foreign_closes));
		return false;
	}
	if (now->foreign_unmaps != before->foreign_unmaps) {
		snprintf(text, size, "0x%jx bytes unmapped that were not mapped through the door",
			 (uintmax_t)(now->foreign_unmaps - before->foreign_unmaps));
		return false;
	}
	return true;
}

bool leaks_compare(struct leaks *leaks, const struct leaks_snapshot *snapshot, char *text,
		   size_t size)
{
	struct leaks_snapshot *now = leaks_take(leaks);
	bool same = compare(snapshot, now, text, size);

	leaks_snapshot_free(now);
	return same;
}

void leaks_assert(struct leaks *leaks, struct leaks_snapshot *snapshot, const char *file, int line)
{
	char text[256];
	bool same = leaks_compare(leaks, snapshot, text, sizeof(text));

	leaks_snapshot_free(snapshot);
	if (same)
		return;
	print_error("leak: %s\n", text);
	_fail(file, line);
}
