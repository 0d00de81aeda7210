// SPDX-License-Identifier: LGPL-2.1-or-later
/* Calls that fail on purpose, and the recorder of all calls. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_ERRNO 4095

static bool is_legal(uint32_t nr, uint64_t request, int error, uint32_t fw_error)
{
	uint32_t command = (uint32_t)(request >> 32);

	if (nr == 0 || nr > GMEM_SYS_PROCESS_VM_WRITEV || error >= 0 || error < -MAX_ERRNO)
		return false;
	if (nr != GMEM_SYS_IOCTL)
		return request == 0 && fw_error == 0;
	return (uint32_t)request == SIM_KVM_MEMORY_ENCRYPT_OP || (command == 0 && fw_error == 0);
}

int gmem_sim_fail(struct gmem_sim *sim, uint32_t nr, uint64_t request, uint64_t nth, int error,
		  uint32_t fw_error)
{
	int err;

	if (!sim || !is_legal(nr, request, error, fw_error))
		return -EINVAL;
	pthread_mutex_lock(&sim->inner);
	err = gmem_sim_grow((void **)&sim->failures, sim->failure_count, &sim->failure_room,
			    sizeof(*sim->failures));
	if (err == 0)
		sim->failures[sim->failure_count++] =
			(struct sim_failure){ nr, request, nth, error, fw_error };
	pthread_mutex_unlock(&sim->inner);
	return err;
}

int gmem_sim_clear_failures(struct gmem_sim *sim)
{
	int count = 0;
	size_t i;

	if (!sim)
		return -EINVAL;
	pthread_mutex_lock(&sim->inner);
	for (i = 0; i < sim->failure_count; i++)
		count += sim->failures[i].nth > 0;
	sim->failure_count = 0;
	pthread_mutex_unlock(&sim->inner);
	return count;
}

static bool matches(const struct sim_failure *failure, uint32_t nr, uint32_t request,
		    uint32_t command)
{
	uint32_t wanted = (uint32_t)failure->request;
	uint32_t wanted_command = (uint32_t)(failure->request >> 32);

	return failure->nr == nr && (wanted == 0 || wanted == request) &&
	       (wanted_command == 0 || wanted_command == command);
}

/* Counts the call; whether it is this one's turn. */
static bool is_due(struct sim_failure *failure)
{
	return failure->nth == 0 || --failure->nth == 0;
}

bool gmem_sim_has_failures(struct gmem_sim *sim)
{
	bool has_some;

	pthread_mutex_lock(&sim->inner);
	has_some = sim->failure_count > 0;
	pthread_mutex_unlock(&sim->inner);
	return has_some;
}

/* All that wait count the call; of those whose turn it is, the one set first has its way. */
bool gmem_sim_next_failure(struct gmem_sim *sim, uint32_t nr, uint32_t request, uint32_t command,
			   struct sim_failure *failure)
{
	bool found = false;
	size_t kept = 0;
	size_t i;

	pthread_mutex_lock(&sim->inner);
	for (i = 0; i < sim->failure_count; i++) {
		struct sim_failure one = sim->failures[i];
		bool is_for_ever = one.nth == 0;
		bool counts = matches(&one, nr, request, command);
		bool happens = counts && is_due(&one);

		if (happens && !found) {
			found = true;
			*failure = one;
		}
		if (!happens || is_for_ever)
			sim->failures[kept++] = one;
	}
	sim->failure_count = kept;
	pthread_mutex_unlock(&sim->inner);
	return found;
}

int gmem_sim_set_recorder(struct gmem_sim *sim, gmem_sim_record_fn fn, void *opaque,
			  gmem_free_fn free_fn)
{
	gmem_free_fn old_free;
	void *old_opaque;

	if (!sim) {
		if (free_fn)
			free_fn(opaque);
		return -EINVAL;
	}
	pthread_mutex_lock(&sim->inner);
	old_free = sim->record_free;
	old_opaque = sim->record_opaque;
	sim->record = fn;
	sim->record_opaque = opaque;
	sim->record_free = free_fn;
	pthread_mutex_unlock(&sim->inner);
	if (old_free)
		old_free(old_opaque);
	return 0;
}
