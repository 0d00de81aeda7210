// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory for the test support itself. */
#include "support.h"
#include "faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* This thread runs support code inside a call under test. */
static _Thread_local unsigned int paused;

void allocations_pause(void)
{
	paused++;
}

void allocations_resume(void)
{
	paused--;
}

bool allocations_are_paused(void)
{
	return paused > 0;
}

static void *not_null(void *memory)
{
	if (!memory) {
		fputs("test support: out of memory\n", stderr);
		abort();
	}
	return memory;
}

void *support_new(size_t size)
{
	void *memory;

	allocations_pause();
	memory = not_null(calloc(1, size));
	allocations_resume();
	return memory;
}

void *support_grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = *room ? *room * 2 : 16;
	allocations_pause();
	array = not_null(reallocarray(array, *room, size));
	allocations_resume();
	return array;
}
