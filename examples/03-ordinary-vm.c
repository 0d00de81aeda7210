/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The memory of an ordinary PC, as a VMM sets it up: 5 GiB of RAM around the hole below 4 GiB, a
 * window that belongs to interrupt messages, a device's memory, a flash chip that comes and goes,
 * the table that vhost wants, and dirty logging for migration. No guest runs here; 04-mini-vmm.c
 * has one.
 */
#include "example.h"

#include <gmem.h>
#include <linux/vhost.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define RAM_SIZE (5 * GIB)
#define GAP_START (3 * GIB) /* RAM stops here ... */
#define GAP_END (4 * GIB)   /* ... and goes on here */
#define DEVICE_GPA UINT64_C(0xd0000000)
#define DEVICE_SIZE (2 * MIB)
#define MSI_GPA UINT64_C(0xfee00000)
#define MSI_SIZE (1 * MIB)
#define FLASH_GPA UINT64_C(0xffc00000)
#define FLASH_SIZE (4 * MIB)

enum tag { TAG_RAM = 1, TAG_DEVICE, TAG_FLASH };

struct machine {
	struct example_vm kvm;
	struct gmem_vm *vm;
	struct gmem_region *ram;
	struct gmem_region *flash;
	void *device; /* the VMM's own mapping, as VFIO gives it for a BAR */
};

/* All RAM is one region. Its memory is allocated as it is touched, so 5 GiB cost nothing yet. */
static int make_ram(struct machine *m)
{
	struct gmem_region_config *config = NULL;
	struct gmem_vm_info info;
	int rc = gmem_vm_get_info(m->vm, &info);

	if (rc == 0)
		rc = gmem_region_config_new(&config);
	if (rc < 0)
		return example_failed("gmem_region_config_new", rc);
	gmem_region_config_set_name(config, "ram");
	gmem_region_config_set_tag(config, TAG_RAM);
	/* An ordinary VM's RAM can live in a guest_memfd where the host can map that, or in a memfd. */
	gmem_region_config_set_backing(config,
				       info.mmap ? GMEM_BACKING_GUEST_MEMFD : GMEM_BACKING_PLAIN);
	gmem_region_config_set_state(config, GMEM_SHARED);
	rc = gmem_region_new(m->vm, RAM_SIZE, config, &m->ram);
	gmem_region_config_free(config);
	return rc < 0 ? example_failed("gmem_region_new ram", rc) : 0;
}

/* One region, two windows: what does not fit below the gap lies above it. */
static int map_ram(struct machine *m)
{
	int rc = gmem_vm_map(m->vm, 0, m->ram, 0, GAP_START, GMEM_SLOT_AUTO, 0);

	if (rc == 0)
		rc = gmem_vm_map(m->vm, GAP_END, m->ram, GAP_START, RAM_SIZE - GAP_START,
				 GMEM_SLOT_AUTO, 0);
	return rc < 0 ? example_failed("gmem_vm_map ram", rc) : 0;
}

/* Writes to these addresses are interrupts: nothing may ever be mapped over them. */
static int reserve_msi(struct machine *m)
{
	int rc = gmem_vm_map(m->vm, MSI_GPA, NULL, 0, MSI_SIZE, GMEM_SLOT_AUTO, 0);

	return rc < 0 ? example_failed("gmem_vm_map msi", rc) : 0;
}

/* The guest reaches it directly; host code that follows guest addresses does not. */
static int map_device(struct machine *m)
{
	struct gmem_region_config *config = NULL;
	struct gmem_region *region = NULL;
	int rc;

	m->device =
		mmap(NULL, DEVICE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->device == MAP_FAILED) {
		m->device = NULL;
		return example_failed("mmap device", -errno);
	}
	rc = gmem_region_config_new(&config);
	if (rc < 0)
		return example_failed("gmem_region_config_new", rc);
	gmem_region_config_set_name(config, "bar0");
	gmem_region_config_set_tag(config, TAG_DEVICE);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	gmem_region_config_set_mapping(config, m->device, GMEM_MEMORY_DEVICE, 0);
	rc = gmem_region_new(m->vm, DEVICE_SIZE, config, &region);
	if (rc == 0)
		rc = gmem_vm_map(m->vm, DEVICE_GPA, region, 0, DEVICE_SIZE, GMEM_SLOT_AUTO,
				 GMEM_MAP_DEVICE);
	/* The section keeps the region alive: the handle is not needed any more. */
	gmem_region_free(region);
	gmem_region_config_free(config);
	return rc < 0 ? example_failed("device", rc) : 0;
}

static int make_flash(struct machine *m)
{
	struct gmem_region_config *config = NULL;
	int rc = gmem_region_config_new(&config);

	if (rc < 0)
		return example_failed("gmem_region_config_new", rc);
	gmem_region_config_set_name(config, "flash");
	gmem_region_config_set_tag(config, TAG_FLASH);
	gmem_region_config_set_backing(config, GMEM_BACKING_PLAIN);
	rc = gmem_region_new(m->vm, FLASH_SIZE, config, &m->flash);
	gmem_region_config_free(config);
	return rc < 0 ? example_failed("gmem_region_new flash", rc) : 0;
}

/*
 * In array mode the guest reads flash as memory, and its writes (commands) exit to the VMM. While
 * a command is going on its reads must exit too: the section is taken away. The contents belong to
 * the region and stay.
 */
static int flash_array_mode(struct machine *m, bool array)
{
	int rc = array ? gmem_vm_map(m->vm, FLASH_GPA, m->flash, 0, FLASH_SIZE, GMEM_SLOT_AUTO,
				     GMEM_MAP_READONLY)
		       : gmem_vm_unmap(m->vm, FLASH_GPA, FLASH_SIZE);

	return rc < 0 ? example_failed("flash mode", rc) : 0;
}

static int print_layout(struct machine *m)
{
	static const char *const kind[] = { "hole", "RAM", "ROM", "device", "reserved" };
	struct gmem_run run;
	uint64_t gpa = 0;
	char size[32];
	char slot[16];
	int rc;

	while ((rc = gmem_vm_next_section(m->vm, gpa, &run)) == 1) {
		snprintf(slot, sizeof(slot), "%" PRIu32, run.slot);
		printf("  0x%09" PRIx64 " - 0x%09" PRIx64 "  %7s  %-8s  slot %s\n", run.gpa,
		       run.gpa + run.size - 1, example_size(run.size, size), kind[run.kind],
		       run.slot == GMEM_SLOT_NONE ? "none" : slot);
		gpa = run.gpa + run.size;
	}
	return rc < 0 ? example_failed("gmem_vm_next_section", rc) : 0;
}

/* What a device model does with an address out of a virtqueue. NULL: the guest's mistake. */
static void *guest_to_host(struct machine *m, uint64_t gpa, uint64_t size)
{
	void *host;

	return gmem_vm_translate(m->vm, gpa, size, GMEM_ACCESS_WRITE, &host) == 0 ? host : NULL;
}

/* The other way round is rare (a loader that placed something): walk the sections. */
static bool host_to_guest(struct machine *m, const void *host, uint64_t *gpa)
{
	struct gmem_run run;
	uint64_t at = 0;

	while (gmem_vm_next_section(m->vm, at, &run) == 1) {
		uintptr_t start = (uintptr_t)run.host;

		if (run.host && (uintptr_t)host >= start && (uintptr_t)host - start < run.size) {
			*gpa = run.gpa + ((uintptr_t)host - start);
			return true;
		}
		at = run.gpa + run.size;
	}
	return false;
}

static int show_addresses(struct machine *m)
{
	uint64_t wanted = GAP_END + 0x1000;
	uint64_t found = 0;
	void *host = guest_to_host(m, wanted, 4096);

	if (!host || !host_to_guest(m, host, &found) || found != wanted)
		return example_failed("address above the gap", -EIO);
	printf("\nAddresses\n");
	printf("  0x%09" PRIx64 "  there and back: 0x%09" PRIx64 "\n", wanted, found);
	printf("  0x%09" PRIx64 "  one byte, the last of low RAM: %s\n", GAP_START - 1,
	       guest_to_host(m, GAP_START - 1, 1) ? "found" : "refused");
	printf("  0x%09" PRIx64 "  two bytes, one of them in the gap: %s\n", GAP_START - 1,
	       guest_to_host(m, GAP_START - 1, 2) ? "found" : "refused");
	printf("  0x%09" PRIx64 "  device memory: %s\n", DEVICE_GPA,
	       guest_to_host(m, DEVICE_GPA, 4) ? "found" : "refused");
	printf("  0x%09" PRIx64 "  flash, to be written: %s\n", FLASH_GPA,
	       guest_to_host(m, FLASH_GPA, 4) ? "found" : "refused");
	return 0;
}

/* The argument of VHOST_SET_MEM_TABLE: all RAM, and nothing else. */
static struct vhost_memory *vhost_table(struct machine *m)
{
	struct vhost_memory *table;
	struct gmem_run run;
	uint64_t gpa;
	uint32_t ram = 0;

	for (gpa = 0; gmem_vm_next_section(m->vm, gpa, &run) == 1; gpa = run.gpa + run.size)
		ram += run.tag == TAG_RAM;
	table = calloc(1, sizeof(*table) + ram * sizeof(table->regions[0]));
	if (!table)
		return NULL;
	/* Another thread may map more RAM between the two walks: never write past the table. */
	for (gpa = 0; table->nregions < ram && gmem_vm_next_section(m->vm, gpa, &run) == 1;
	     gpa = run.gpa + run.size) {
		if (run.tag != TAG_RAM)
			continue;
		table->regions[table->nregions++] = (struct vhost_memory_region){
			.guest_phys_addr = run.gpa,
			.memory_size = run.size,
			.userspace_addr = (uintptr_t)run.host,
		};
	}
	return table;
}

static int show_vhost_table(struct machine *m)
{
	struct vhost_memory *table = vhost_table(m);
	uint32_t i;

	if (!table)
		return example_failed("vhost table", -ENOMEM);
	printf("\nTable for vhost\n");
	for (i = 0; i < table->nregions; i++)
		printf("  guest 0x%09" PRIx64 "  host 0x%012" PRIx64 "  size 0x%09" PRIx64 "\n",
		       (uint64_t)table->regions[i].guest_phys_addr,
		       (uint64_t)table->regions[i].userspace_addr,
		       (uint64_t)table->regions[i].memory_size);
	free(table);
	return 0;
}

/* Pages that KVM logged since it was asked last. The log is KVM's: libgmem says which slot. */
static int count_dirty_pages(struct machine *m, const struct gmem_run *run, uint64_t *pages)
{
	uint64_t words = run->size / (uint64_t)sysconf(_SC_PAGESIZE) / 64 + 1;
	uint64_t *bitmap = calloc(words, sizeof(*bitmap));
	struct kvm_dirty_log log = { .slot = run->slot, .dirty_bitmap = bitmap };
	uint64_t i;
	int rc = 0;

	if (!bitmap)
		return -ENOMEM;
	*pages = 0;
	if (ioctl(m->kvm.vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
		rc = -errno;
	for (i = 0; i < words; i++)
		*pages += (uint64_t)__builtin_popcountll(bitmap[i]);
	free(bitmap);
	return rc;
}

/* What migration does: logging on, ask which pages changed, off again. */
static int show_dirty_log(struct machine *m)
{
	struct gmem_run run;
	uint64_t pages;
	int rc = gmem_vm_set_map_flags(m->vm, 0, GAP_START, GMEM_MAP_DIRTY_LOG);

	if (rc < 0)
		return example_failed("gmem_vm_set_map_flags", rc);
	rc = gmem_vm_next_section(m->vm, 0, &run);
	if (rc != 1)
		return example_failed("gmem_vm_next_section", rc < 0 ? rc : -ENOENT);
	rc = count_dirty_pages(m, &run, &pages);
	if (rc < 0)
		return example_failed("KVM_GET_DIRTY_LOG", rc);
	printf("\nDirty log\n  on for low RAM, slot %" PRIu32 ": %" PRIu64
	       " pages written, for no guest has run\n",
	       run.slot, pages);
	rc = gmem_vm_set_map_flags(m->vm, 0, GAP_START, 0);
	return rc < 0 ? example_failed("gmem_vm_set_map_flags", rc) : 0;
}

static int set_up(struct machine *m)
{
	char text[256];
	int rc = make_ram(m);

	if (rc == 0)
		rc = map_ram(m);
	if (rc == 0)
		rc = reserve_msi(m);
	if (rc == 0)
		rc = map_device(m);
	if (rc == 0)
		rc = make_flash(m);
	if (rc == 0)
		rc = flash_array_mode(m, true);
	if (rc < 0)
		return rc;
	rc = gmem_region_describe(m->ram, text, sizeof(text));
	if (rc < 0)
		return example_failed("gmem_region_describe", rc);
	printf("RAM is %s\n\nLayout, flash in array mode\n", text);
	return print_layout(m);
}

static int use(struct machine *m)
{
	int rc = show_addresses(m);

	if (rc == 0)
		rc = show_vhost_table(m);
	if (rc == 0)
		rc = show_dirty_log(m);
	if (rc == 0)
		rc = flash_array_mode(m, false);
	if (rc < 0)
		return rc;
	printf("\nLayout, flash busy with a command\n");
	rc = print_layout(m);
	return rc < 0 ? rc : flash_array_mode(m, true);
}

int main(void)
{
	struct machine m = { .vm = NULL };
	int rc;

	if (example_vm_open(&m.kvm) < 0)
		return EXAMPLE_SKIP;
	rc = gmem_vm_new(NULL, m.kvm.vm_fd, NULL, &m.vm);
	if (rc < 0)
		example_failed("gmem_vm_new", rc);
	if (rc == 0)
		rc = set_up(&m);
	if (rc == 0)
		rc = use(&m);
	gmem_region_free(m.flash);
	gmem_region_free(m.ram);
	gmem_vm_free(m.vm);
	/* The device's mapping is ours: it must outlive the VM that has it in a memslot. */
	example_vm_close(&m.kvm);
	if (m.device)
		munmap(m.device, DEVICE_SIZE);
	return rc < 0 ? 1 : 0;
}
