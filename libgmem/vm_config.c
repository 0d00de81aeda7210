// SPDX-License-Identifier: LGPL-2.1-or-later
/* Configuration of a VM: setters store, gmem_vm_new() judges. */
#include "log.h"
#include "vm.h"

#include <errno.h>
#include <stdlib.h>

int gmem_vm_config_new(struct gmem_vm_config **config)
{
	if (!config) {
		log_error(NULL, "gmem_vm_config_new: config is NULL, it must be an address");
		return -EINVAL;
	}
	*config = calloc(1, sizeof(**config));
	if (!*config) {
		log_error(NULL, "gmem_vm_config_new: no memory for %zu bytes", sizeof(**config));
		return -ENOMEM;
	}
	return 0;
}

void gmem_vm_config_free(struct gmem_vm_config *config)
{
	if (!config)
		return;
	gmem_closure_put(config->closure);
	free(config);
}

void gmem_vm_config_set_tracking(struct gmem_vm_config *config, uint32_t tracking)
{
	if (config)
		config->tracking = tracking;
}

void gmem_vm_config_set_slots(struct gmem_vm_config *config, uint32_t first, uint32_t count)
{
	if (!config)
		return;
	config->first_slot = first;
	config->slot_count = count;
}

void gmem_vm_config_set_pause(struct gmem_vm_config *config, gmem_pause_fn pause,
			      gmem_resume_fn resume, void *opaque, gmem_free_fn free_fn)
{
	if (!config) {
		if (free_fn)
			free_fn(opaque);
		return;
	}
	gmem_closure_put(config->closure);
	config->pause = pause;
	config->resume = resume;
	config->closure = gmem_closure_new(opaque, free_fn);
	config->out_of_memory = !config->closure;
}
