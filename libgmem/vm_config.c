// SPDX-License-Identifier: LGPL-2.1-or-later
/* Configuration of a VM: setters store, gmem_vm_new() judges. */
#include "log.h"
#include "vm.h"

#include <errno.h>
#include <stdlib.h>

/* Longer than any reference that goes by itself, shorter than a guest's own timeouts. */
#define DEFAULT_DEADLINE_NS UINT64_C(1000000000)

void gmem_vm_config_init(struct gmem_vm_config *config)
{
	*config = (struct gmem_vm_config){
		.type = GMEM_VM_TYPE_UNKNOWN,
		.deadline_ns = DEFAULT_DEADLINE_NS,
	};
}

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
	gmem_vm_config_init(*config);
	return 0;
}

void gmem_vm_config_free(struct gmem_vm_config *config)
{
	if (!config)
		return;
	gmem_closure_put(config->closure);
	gmem_closure_put(config->retry_closure);
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
	config->no_memory_for_pause = !config->closure;
}

void gmem_vm_config_set_flags(struct gmem_vm_config *config, uint32_t flags)
{
	if (config)
		config->flags = flags;
}

void gmem_vm_config_set_type(struct gmem_vm_config *config, uint32_t type)
{
	if (config)
		config->type = type;
}

void gmem_vm_config_set_prefault(struct gmem_vm_config *config, uint64_t limit)
{
	if (config)
		config->prefault_limit = limit;
}

void gmem_vm_config_set_discard_limit(struct gmem_vm_config *config, uint64_t limit)
{
	if (config)
		config->discard_limit = limit;
}

void gmem_vm_config_set_retry(struct gmem_vm_config *config, uint64_t deadline_ns, gmem_retry_fn fn,
			      void *opaque, gmem_free_fn free_fn)
{
	if (!config) {
		if (free_fn)
			free_fn(opaque);
		return;
	}
	gmem_closure_put(config->retry_closure);
	config->deadline_ns = deadline_ns;
	config->retry = fn;
	config->retry_closure = gmem_closure_new(opaque, free_fn);
	config->no_memory_for_retry = !config->retry_closure;
}
