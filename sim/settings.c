// SPDX-License-Identifier: LGPL-2.1-or-later
/* The simulator's beginning and end, its presets and its single settings. */
#include "sim.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* linux/magic.h; the second is newer than the headers this is built with. */
#define ANONYMOUS_INODE_MAGIC 0x09041934u
#define GUEST_MEMFD_MAGIC 0x474d454du

#define TYPE(number) (UINT64_C(1) << (number))
#define DEFAULT_TYPE TYPE(GMEM_KVM_VM_TYPE_DEFAULT)
#define SW_TYPE TYPE(GMEM_KVM_VM_TYPE_SW_PROTECTED)
#define SNP_TYPE TYPE(GMEM_KVM_VM_TYPE_SNP)
#define ALL_TYPES (DEFAULT_TYPE | SW_TYPE | SNP_TYPE | TYPE(GMEM_KVM_VM_TYPE_TDX))
#define ALL_FLAGS (GMEM_KVM_GUEST_MEMFD_FLAG_MMAP | GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED)

/* What all have in common; the policy bits and features are those of a current host. */
#define COMMON .slots = 32764, .snp_policy = UINT64_C(0x3fbffff), .snp_features = UINT64_C(0x221)

static const struct sim_config presets[] = {
	[GMEM_SIM_OLD] = {
		COMMON,
		.vm_types = DEFAULT_TYPE,
		.bind_error = EINVAL,
		.file_magic = ANONYMOUS_INODE_MAGIC,
	},
	[GMEM_SIM_LINUX_6_8] = {
		COMMON,
		.vm_types = DEFAULT_TYPE | SW_TYPE,
		.tracking = GMEM_SIM_TRACKING_VM,
		.guest_memfd = 1,
		.bind_error = EINVAL,
		.has_types = true,
		.only_private = true,
		.file_magic = ANONYMOUS_INODE_MAGIC,
	},
	[GMEM_SIM_LINUX_6_18] = {
		COMMON,
		.vm_types = DEFAULT_TYPE | SW_TYPE | SNP_TYPE,
		.prefault = 1,
		.tracking = GMEM_SIM_TRACKING_VM,
		.create_flags = ALL_FLAGS,
		.guest_memfd = 1,
		.bind_error = EINVAL,
		.has_types = true,
		.has_flags = true,
		.file_magic = ANONYMOUS_INODE_MAGIC,
	},
	[GMEM_SIM_IN_PLACE] = {
		COMMON,
		.vm_types = DEFAULT_TYPE | SW_TYPE | SNP_TYPE,
		.prefault = 1,
		.tracking = GMEM_SIM_TRACKING_GUEST_MEMFD,
		.create_flags = ALL_FLAGS,
		.guest_memfd = 1,
		.numa = GMEM_SIM_NUMA_HONOURED,
		.snp_certs = 1,
		.bind_error = EEXIST,
		.has_types = true,
		.has_flags = true,
		.file_magic = GUEST_MEMFD_MAGIC,
	},
};

static int start_mappings(struct gmem_sim *sim)
{
	int fd = gmem_sim_host_memfd("gmem-sim-private", 0);

	if (fd < 0)
		return fd;
	sim->empty_fd = fd;
	sim->config.sigbus = GMEM_SIM_SIGBUS_MAPPING;
	return 0;
}

static int start_userfaultfd(struct gmem_sim *sim)
{
	int fd = gmem_sim_host_userfaultfd();

	if (fd < 0)
		return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : -EOPNOTSUPP;
	sim->uffd = fd;
	sim->config.sigbus = GMEM_SIM_SIGBUS_USERFAULTFD;
	return 0;
}

static void stop_sigbus(struct gmem_sim *sim)
{
	if (sim->uffd >= 0)
		gmem_sim_host_close(sim->uffd);
	if (sim->empty_fd >= 0)
		gmem_sim_host_close(sim->empty_fd);
	sim->uffd = -1;
	sim->empty_fd = -1;
}

static void stop(struct gmem_sim *sim)
{
	stop_sigbus(sim);
	gmem_sim_host_close_maps(&sim->maps);
}

static int choose_sigbus(struct gmem_sim *sim, uint64_t value)
{
	struct gmem_sim chosen = { .uffd = -1, .empty_fd = -1 };
	int err = -EINVAL;

	if (value == GMEM_SIM_SIGBUS_AUTO || value == GMEM_SIM_SIGBUS_USERFAULTFD)
		err = start_userfaultfd(&chosen);
	if (value == GMEM_SIM_SIGBUS_MAPPING || (value == GMEM_SIM_SIGBUS_AUTO && err < 0))
		err = start_mappings(&chosen);
	if (err < 0)
		return err == -ENFILE ? -EMFILE : err;
	stop_sigbus(sim);
	sim->uffd = chosen.uffd;
	sim->empty_fd = chosen.empty_fd;
	sim->config.sigbus = chosen.config.sigbus;
	return 0;
}

static int start_locks(struct gmem_sim *sim)
{
	int err = -pthread_mutex_init(&sim->mutex, NULL);

	if (err < 0)
		return err;
	err = -pthread_mutex_init(&sim->inner, NULL);
	if (err < 0)
		pthread_mutex_destroy(&sim->mutex);
	return err;
}

int gmem_sim_new(uint32_t preset, struct gmem_sim **out)
{
	struct gmem_sim *sim;
	int err;

	if (!out)
		return -EINVAL;
	*out = NULL;
	if (preset == 0 || preset >= sizeof(presets) / sizeof(presets[0]))
		return -EINVAL;
	sim = calloc(1, sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	sim->config = presets[preset];
	sim->owner = getpid();
	sim->uffd = -1;
	sim->empty_fd = -1;
	err = gmem_sim_host_open_maps(&sim->maps);
	sim->host_page_size = (uint64_t)gmem_sim_host_call(GMEM_SYS_GETPAGESIZE, NULL);
	sim->config.page_size = sim->host_page_size;
	/* The caller has mappings as well. */
	sim->config.mappings = gmem_sim_host_map_limit() / 2;
	err = err == -EMFILE || err == -ENFILE ? -EMFILE : 0;
	if (err == 0)
		err = choose_sigbus(sim, GMEM_SIM_SIGBUS_AUTO);
	if (err == 0)
		err = start_locks(sim);
	if (err < 0) {
		stop(sim);
		free(sim);
		return err;
	}
	*out = sim;
	return 0;
}

static void free_objects(struct gmem_sim *sim)
{
	while (sim->files) {
		struct sim_file *file = sim->files;

		sim->files = file->next;
		gmem_sim_file_free(file);
	}
	while (sim->vms) {
		struct sim_vm *vm = sim->vms;

		sim->vms = vm->next;
		gmem_sim_vm_free(vm);
	}
}

static void free_system(struct gmem_sim *sim)
{
	size_t i;

	for (i = 0; i < SIM_BUCKETS; i++)
		while (sim->bucket[i]) {
			struct sim_object *object = sim->bucket[i];

			gmem_sim_object_close(sim, object);
			free(object);
		}
}

void gmem_sim_free(struct gmem_sim *sim)
{
	size_t i;

	if (!sim)
		return;
	free_objects(sim);
	free_system(sim);
	for (i = 0; i < sim->ended_count; i++)
		gmem_sim_vcpu_free(sim->ended[i]);
	stop(sim);
	if (sim->record_free)
		sim->record_free(sim->record_opaque);
	free(sim->ended);
	free(sim->mappings);
	free(sim->failures);
	pthread_mutex_destroy(&sim->inner);
	pthread_mutex_destroy(&sim->mutex);
	free(sim);
}

static bool is_page_size(const struct gmem_sim *sim, uint64_t value)
{
	return (value == 4096 || value == 16384 || value == 65536) && value >= sim->host_page_size;
}

static int set_capability(struct sim_config *config, uint64_t value)
{
	uint32_t number = (uint32_t)(value >> 32);
	size_t i;

	if ((uint32_t)value > INT_MAX)
		return -EINVAL;
	for (i = 0; i < config->capability_count; i++)
		if (config->capability[i].number == number)
			break;
	if (i == SIM_MAX_CAPABILITIES)
		return -ENOSPC;
	config->capability[i].number = number;
	config->capability[i].value = (uint32_t)value;
	if (i == config->capability_count)
		config->capability_count++;
	return 0;
}

/* Where a setting is kept; NULL for none. */
static uint64_t *field_of(struct sim_config *config, uint32_t setting)
{
	switch (setting) {
	case GMEM_SIM_PAGE_SIZE:
		return &config->page_size;
	case GMEM_SIM_VM_TYPES:
		return &config->vm_types;
	case GMEM_SIM_SLOTS:
		return &config->slots;
	case GMEM_SIM_PREFAULT:
		return &config->prefault;
	case GMEM_SIM_CONTENTS:
		return &config->contents;
	case GMEM_SIM_TRACKING:
		return &config->tracking;
	case GMEM_SIM_CREATE_FLAGS:
		return &config->create_flags;
	case GMEM_SIM_GUEST_MEMFD:
		return &config->guest_memfd;
	case GMEM_SIM_NUMA:
		return &config->numa;
	case GMEM_SIM_BIND_ERROR:
		return &config->bind_error;
	case GMEM_SIM_SIGBUS:
		return &config->sigbus;
	case GMEM_SIM_MAPPINGS:
		return &config->mappings;
	case GMEM_SIM_SNP_POLICY:
		return &config->snp_policy;
	case GMEM_SIM_SNP_FEATURES:
		return &config->snp_features;
	case GMEM_SIM_SNP_PAGES:
		return &config->snp_pages;
	case GMEM_SIM_SNP_CERTS:
		return &config->snp_certs;
	default:
		return NULL;
	}
}

static bool is_value(const struct gmem_sim *sim, uint32_t setting, uint64_t value)
{
	switch (setting) {
	case GMEM_SIM_PAGE_SIZE:
		return is_page_size(sim, value);
	case GMEM_SIM_VM_TYPES:
		return (value & ~ALL_TYPES) == 0;
	case GMEM_SIM_SLOTS:
		return value >= 1 && value <= 32767;
	case GMEM_SIM_PREFAULT:
	case GMEM_SIM_GUEST_MEMFD:
	case GMEM_SIM_SNP_CERTS:
		return value <= 1;
	case GMEM_SIM_CONTENTS:
	case GMEM_SIM_TRACKING:
	case GMEM_SIM_NUMA:
	case GMEM_SIM_SIGBUS:
		return value <= 2;
	case GMEM_SIM_MAPPINGS:
		return value <= INT_MAX;
	case GMEM_SIM_CREATE_FLAGS:
		return (value & ~ALL_FLAGS) == 0;
	case GMEM_SIM_BIND_ERROR:
		return value == EEXIST || value == EINVAL;
	default:
		return true;
	}
}

static int set(struct gmem_sim *sim, uint32_t setting, uint64_t value)
{
	uint64_t *field = field_of(&sim->config, setting);

	if (setting == GMEM_SIM_CAPABILITY)
		return set_capability(&sim->config, value);
	if (!field || !is_value(sim, setting, value))
		return -EINVAL;
	if (setting == GMEM_SIM_SIGBUS)
		return choose_sigbus(sim, value);
	*field = value;
	if (setting == GMEM_SIM_CREATE_FLAGS)
		sim->config.has_flags = value != 0;
	return 0;
}

int gmem_sim_set(struct gmem_sim *sim, uint32_t setting, uint64_t value)
{
	int err = -EPROTO;

	if (!sim)
		return -EINVAL;
	pthread_mutex_lock(&sim->mutex);
	if (!sim->is_used)
		err = set(sim, setting, value);
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

int gmem_sim_get(struct gmem_sim *sim, uint32_t setting, uint64_t *value)
{
	const uint64_t *field;

	if (!sim || !value)
		return -EINVAL;
	field = field_of(&sim->config, setting);
	if (!field)
		return -EINVAL;
	pthread_mutex_lock(&sim->mutex);
	*value = *field;
	pthread_mutex_unlock(&sim->mutex);
	return 0;
}

int gmem_sim_limit_cpuid(struct gmem_sim *sim, const struct gmem_sim_cpuid *limit)
{
	int err = 0;
	size_t i;

	if (!sim || !limit || limit->reserved[0] || limit->reserved[1])
		return -EINVAL;
	pthread_mutex_lock(&sim->mutex);
	for (i = 0; i < sim->limit_count; i++)
		if (sim->limits[i].leaf == limit->leaf && sim->limits[i].subleaf == limit->subleaf)
			break;
	if (i == SIM_MAX_CPUID_LIMITS) {
		err = -ENOSPC;
	} else {
		sim->limits[i] = *limit;
		if (i == sim->limit_count)
			sim->limit_count++;
	}
	pthread_mutex_unlock(&sim->mutex);
	return err;
}

uint64_t gmem_sim_get_snp_policy(const struct gmem_sim *sim)
{
	return sim->config.snp_policy;
}

uint64_t gmem_sim_get_snp_features(const struct gmem_sim *sim)
{
	return sim->config.snp_features;
}

uint64_t gmem_sim_get_snp_pages(const struct gmem_sim *sim)
{
	return sim->config.snp_pages;
}

bool gmem_sim_has_snp_certs(const struct gmem_sim *sim)
{
	return sim->config.snp_certs;
}

size_t gmem_sim_get_cpuid_limits(const struct gmem_sim *sim, const struct gmem_sim_cpuid **limits)
{
	*limits = sim->limits;
	return sim->limit_count;
}
