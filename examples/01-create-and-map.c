/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The smallest use of libgmem: make a piece of guest memory, reach it from the host, ask what it
 * is.
 *
 * The memory is a guest_memfd that is fully shared: RAM of an ordinary VM, held by KVM's own file
 * and not by anonymous memory or a memfd.
 */
#include "example.h"

#include <gmem.h>

#define REGION_SIZE (UINT64_C(64) << 20)

/* Takes libgmem's messages. Each failure sends exactly one, which says what would be right. */
static void print_message(uint32_t level, const char *text, void *opaque)
{
	static const char *const name[] = { "", "error", "warning", "info", "debug" };

	(void)opaque;
	printf("libgmem %s: %s\n", name[level], text);
}

/* What the kernel can do for this VM: libgmem found out in gmem_vm_new(). */
static int print_vm(struct gmem_vm *vm)
{
	struct gmem_vm_info info;
	int rc = gmem_vm_get_info(vm, &info);

	if (rc < 0)
		return example_failed("gmem_vm_get_info", rc);
	printf("This VM\n");
	printf("  guest_memfd      %s\n", info.guest_memfd ? "yes" : "no");
	printf("  mapped by host   %s\n", info.mmap ? "yes" : "no");
	printf("  private memory   %s\n", info.private_memory ? "yes" : "no");
	printf("  memslots         %" PRIu32 "\n", info.slots);
	if (info.mmap)
		return 0;
	printf("This kernel's guest_memfd cannot be mapped by the host: that came with Linux 6.18\n");
	return EXAMPLE_SKIP;
}

static int make_region(struct gmem_vm *vm, struct gmem_region **region)
{
	struct gmem_region_config *config = NULL;
	int rc = gmem_region_config_new(&config);

	if (rc < 0)
		return example_failed("gmem_region_config_new", rc);
	/* Setters only store. gmem_region_new() judges the whole, and says what is wrong with it. */
	gmem_region_config_set_name(config, "ram");
	gmem_region_config_set_backing(config, GMEM_BACKING_GUEST_MEMFD);
	gmem_region_config_set_state(config, GMEM_SHARED);
	rc = gmem_region_new(vm, REGION_SIZE, config, region);
	gmem_region_config_free(config);
	return rc < 0 ? example_failed("gmem_region_new", rc) : 0;
}

/* The line of /proc/self/maps that the host mapping of the region has. */
static void print_mapping(const void *host)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned long start;
	unsigned long end;

	if (!maps) {
		printf("  mapping      /proc/self/maps: %s\n", strerror(errno));
		return;
	}
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && (uintptr_t)host >= start &&
		    (uintptr_t)host < end)
			printf("  mapping      %s", line);
	}
	fclose(maps);
}

static int print_region(struct gmem_region *region)
{
	struct gmem_region_info info;
	char text[256];
	char size[32];
	int rc = gmem_region_get_info(region, &info);

	if (rc < 0)
		return example_failed("gmem_region_get_info", rc);
	rc = gmem_region_describe(region, text, sizeof(text));
	if (rc < 0)
		return example_failed("gmem_region_describe", rc);
	printf("\nThe region\n");
	printf("  what it is   %s\n", text);
	printf("  size         %s\n", example_size(info.size, size));
	printf("  page size    %s\n", example_size(info.page_size, size));
	printf("  at           %p\n", info.host);
	print_mapping(info.host);
	/* Every descriptor that libgmem makes is closed when this process becomes another program. */
	printf("  descriptor   %" PRId32 ", close-on-exec %s\n", info.guest_memfd,
	       fcntl(info.guest_memfd, F_GETFD) & FD_CLOEXEC ? "set" : "NOT set");
	return 0;
}

/* Memory comes with the first touch, and is zero then. */
static int use_memory(struct gmem_region *region)
{
	static const char greeting[] = "written through the host mapping";
	struct gmem_region_info info;
	int rc = gmem_region_get_info(region, &info);
	char *last_page;

	if (rc < 0)
		return example_failed("gmem_region_get_info", rc);
	last_page = (char *)info.host + info.size - info.page_size;
	printf("\nThe last page\n");
	printf("  first byte before  %d\n", last_page[0]);
	memcpy(last_page, greeting, sizeof(greeting));
	printf("  text after         \"%s\"\n", last_page);
	return 0;
}

int main(void)
{
	struct example_vm kvm;
	struct gmem_ctx *ctx = NULL;
	struct gmem_vm *vm = NULL;
	struct gmem_region *region = NULL;
	int rc;

	if (example_vm_open(&kvm) < 0)
		return EXAMPLE_SKIP;
	rc = gmem_ctx_new(&ctx);
	if (rc < 0) {
		example_failed("gmem_ctx_new", rc);
		goto out;
	}
	gmem_ctx_set_log(ctx, GMEM_LOG_ERROR, print_message, NULL, NULL);
	/* The VM fd stays ours: libgmem uses it, and never closes it. */
	rc = gmem_vm_new(ctx, kvm.vm_fd, NULL, &vm);
	if (rc < 0) {
		example_failed("gmem_vm_new", rc);
		goto out;
	}
	rc = print_vm(vm);
	if (rc)
		goto out;
	rc = make_region(vm, &region);
	if (rc < 0)
		goto out;
	rc = print_region(region);
	if (rc < 0)
		goto out;
	rc = use_memory(region);
out:
	/* In any order: objects hold on to what they need of one another. NULL is fine. */
	gmem_ctx_free(ctx);
	gmem_vm_free(vm);
	gmem_region_free(region);
	example_vm_close(&kvm);
	return rc < 0 ? 1 : rc;
}
