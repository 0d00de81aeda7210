// SPDX-License-Identifier: LGPL-2.1-or-later
/* Configuration of a region: setters store, region_choose.c judges. */
#include "log.h"
#include "region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void gmem_region_config_init(struct gmem_region_config *config)
{
	memset(config, 0, sizeof(*config));
	strcpy(config->name, "region");
	config->fd = -1;
}

int gmem_region_config_new(struct gmem_region_config **config)
{
	if (!config) {
		log_error(NULL, "gmem_region_config_new: config is NULL, it must be an address");
		return -EINVAL;
	}
	*config = malloc(sizeof(**config));
	if (!*config) {
		log_error(NULL, "gmem_region_config_new: no memory for %zu bytes",
			  sizeof(**config));
		return -ENOMEM;
	}
	gmem_region_config_init(*config);
	return 0;
}

void gmem_region_config_free(struct gmem_region_config *config)
{
	free(config);
}

void gmem_region_config_set_name(struct gmem_region_config *config, const char *name)
{
	size_t length;

	if (!config)
		return;
	if (!name)
		name = "region";
	length = strnlen(name, sizeof(config->name) - 1);
	memcpy(config->name, name, length);
	config->name[length] = '\0';
}

void gmem_region_config_set_tag(struct gmem_region_config *config, uint64_t tag)
{
	if (config)
		config->tag = tag;
}

void gmem_region_config_set_backing(struct gmem_region_config *config, uint32_t backing)
{
	if (config)
		config->backing = backing;
}

void gmem_region_config_set_needs(struct gmem_region_config *config, uint32_t needs)
{
	if (config)
		config->needs = needs;
}

void gmem_region_config_set_state(struct gmem_region_config *config, uint32_t state)
{
	if (config)
		config->state = state;
}

void gmem_region_config_set_flags(struct gmem_region_config *config, uint32_t flags)
{
	if (config)
		config->flags = flags;
}

void gmem_region_config_set_numa(struct gmem_region_config *config, uint32_t policy,
				 const uint64_t *nodes, uint32_t bits)
{
	uint32_t words = bits / 64 + (bits % 64 != 0);

	if (!config)
		return;
	config->policy = policy;
	config->node_bits = bits;
	memset(config->nodes, 0, sizeof(config->nodes));
	if (!nodes || bits > GMEM_NUMA_BITS)
		return;
	memcpy(config->nodes, nodes, words * sizeof(*nodes));
	if (bits % 64)
		config->nodes[words - 1] &= (UINT64_C(1) << bits % 64) - 1;
}

/* The shared side has one source: the last that was set. */
static void set_source(struct gmem_region_config *config, enum source source, uint32_t memory,
		       uint64_t page_size)
{
	config->source = source;
	config->memory = memory;
	config->page_size = page_size;
	config->fd = -1;
	config->fd_offset = 0;
	config->mapping = NULL;
}

void gmem_region_config_set_memory(struct gmem_region_config *config, uint32_t memory,
				   uint64_t page_size)
{
	if (config)
		set_source(config, SOURCE_MEMORY, memory, page_size);
}

void gmem_region_config_set_fd(struct gmem_region_config *config, int fd, uint64_t offset)
{
	if (!config)
		return;
	set_source(config, SOURCE_FD, GMEM_MEMORY_SHMEM, 0);
	config->fd = fd;
	config->fd_offset = offset;
}

void gmem_region_config_set_mapping(struct gmem_region_config *config, void *addr, uint32_t memory,
				    uint64_t page_size)
{
	if (!config)
		return;
	set_source(config, SOURCE_MAPPING, memory, page_size);
	config->mapping = addr;
}
