// SPDX-License-Identifier: LGPL-2.1-or-later
/* A split region on the simulator, the calls that free memory of it, and the memory itself. */
#include "split-kit.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void note_freed(uint32_t nr, const uint64_t *arg, int64_t result, void *opaque)
{
	struct stage *stage = opaque;
	struct freed *freed = &stage->freed[stage->freed_count];

	(void)result;
	if (stage->freed_count == FREED_MAX)
		return;
	if (nr == GMEM_SYS_FALLOCATE)
		*freed = (struct freed){ nr, (int)arg[0], arg[2], arg[3], 0 };
	else if (nr == GMEM_SYS_MADVISE)
		*freed = (struct freed){ nr, -1, arg[0], arg[1], (int)arg[2] };
	else
		return;
	stage->freed_count++;
}

/* One split region at page 0, its sides as configure says, and nothing freed so far. */
void stage_open_size(struct stage *stage, const struct mode *mode, uint64_t limit, uint64_t pages,
		     configure_fn configure)
{
	struct gmem_region_config *region_config;
	struct gmem_vm_config *config;
	struct rig *rig = &stage->rig;

	memset(stage, 0, sizeof(*stage));
	stage->fd = -1;
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_type(config, mode->vm_type);
	gmem_vm_config_set_discard_limit(config, limit);
	rig_open_with(rig, mode, config);
	gmem_vm_config_free(config);
	assert_int_equal(gmem_region_config_new(&region_config), 0);
	gmem_region_config_set_backing(region_config, GMEM_BACKING_SPLIT);
	gmem_region_config_set_state(region_config, GMEM_SHARED);
	gmem_region_config_set_name(region_config, "ram");
	if (configure)
		configure(stage, region_config);
	assert_int_equal(gmem_region_new(rig->vm, pages * rig->page, region_config, &stage->region),
			 0);
	gmem_region_config_free(region_config);
	rig->region[0] = stage->region;
	rig->regions = 1;
	rig_map(rig, 0, stage->region, 0, pages);
	assert_int_equal(gmem_sim_set_recorder(rig->sim, note_freed, stage, NULL), 0);
	logs_reset(rig->logs);
}

void stage_open(struct stage *stage, const struct mode *mode, uint64_t limit)
{
	stage_open_size(stage, mode, limit, PAGES, NULL);
}

void stage_close(struct stage *stage)
{
	if (stage->fd >= 0)
		close(stage->fd);
	rig_close(&stage->rig);
	if (stage->mapping)
		munmap(stage->mapping, stage->mapping_size);
}

void convert(struct stage *stage, uint64_t page, uint64_t pages, uint32_t to, uint32_t flags)
{
	assert_int_equal(rig_convert(&stage->rig, page, pages, to, flags, NULL), 0);
}

struct gmem_vm_stats stats_of(struct stage *stage)
{
	struct gmem_vm_stats stats;

	assert_int_equal(gmem_vm_get_stats(stage->rig.vm, &stats), 0);
	return stats;
}

struct gmem_region_info info_of(const struct stage *stage)
{
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(stage->region, &info), 0);
	return info;
}

/* Memory of the private side, in pages. */
uint64_t private_memory(struct stage *stage)
{
	int fd = info_of(stage).guest_memfd;
	struct gmem_sim_page page;
	uint64_t pages = 0, i;

	for (i = 0; gmem_sim_get_page(stage->rig.sim, fd, i * stage->rig.page, &page) == 0; i++)
		pages += page.allocated;
	return pages;
}

/* Memory of the shared side: of its file, or what is there of its mapping. */
uint64_t shared_memory(struct stage *stage)
{
	struct gmem_region_info info = info_of(stage);
	struct gmem_sim_page page;
	unsigned char there[PAGES];
	uint64_t pages = 0, i;
	struct stat status;

	if (info.memory == GMEM_MEMORY_GUEST_MEMFD) {
		for (i = 0;
		     gmem_sim_get_page(stage->rig.sim, info.fd, i * stage->rig.page, &page) == 0;
		     i++)
			pages += page.allocated;
		return pages;
	}
	if (info.fd >= 0) {
		assert_int_equal(fstat(info.fd, &status), 0);
		return (uint64_t)status.st_blocks * 512 / stage->rig.page;
	}
	/* A file that the caller has mapped tells better: mincore() asks for the file's pages. */
	if (stage->fd >= 0) {
		assert_int_equal(fstat(stage->fd, &status), 0);
		return (uint64_t)status.st_blocks * 512 / stage->rig.page;
	}
	assert_int_equal(mincore(info.host, PAGES * stage->rig.page, there), 0);
	for (i = 0; i < PAGES; i++)
		pages += there[i] & 1;
	return pages;
}

/* The host writes to what is shared, the guest to what is private. */
void fill(struct stage *stage, uint64_t page, uint64_t pages, char byte)
{
	struct rig *rig = &stage->rig;
	uint64_t i;

	for (i = page; i < page + pages; i++)
		assert_int_equal(gmem_sim_guest_access(rig->sim, rig->vcpu_fd, i * rig->page, &byte,
						       1, GMEM_SIM_WRITE),
				 0);
}

char guest_byte(struct stage *stage, uint64_t page)
{
	struct rig *rig = &stage->rig;
	char byte = 0;

	assert_int_equal(
		gmem_sim_guest_access(rig->sim, rig->vcpu_fd, page * rig->page, &byte, 1, 0), 0);
	return byte;
}
