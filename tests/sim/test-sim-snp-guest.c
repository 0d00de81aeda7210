// SPDX-License-Identifier: LGPL-2.1-or-later
/* A simulated SNP VM with a file that holds its memory, for the tests of the firmware. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "test-sim-snp-guest.h"

static uint64_t address_of(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static int64_t guest_call(struct guest *guest, uint32_t nr, uint64_t a, uint64_t b, uint64_t c,
			  uint64_t d, uint64_t e)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { a, b, c, d, e };

	return guest->kernel.call(nr, arg, guest->kernel.opaque);
}

int64_t guest_ioctl(struct guest *guest, int fd, uint32_t request, void *argument)
{
	return guest_call(guest, GMEM_SYS_IOCTL, (uint64_t)fd, request, address_of(argument), 0, 0);
}

void guest_new_with(struct guest *guest, enum guest_mode mode, uint32_t setting, uint64_t value)
{
	uint32_t preset = mode == GUEST_LEGACY ? GMEM_SIM_LINUX_6_18 : GMEM_SIM_IN_PLACE;

	*guest = (struct guest){ .mode = mode };
	assert_int_equal(gmem_sim_new(preset, &guest->sim), 0);
	assert_int_equal(gmem_sim_set(guest->sim, GMEM_SIM_SNP_FEATURES, GUEST_FEATURES), 0);
	if (setting)
		assert_int_equal(gmem_sim_set(guest->sim, setting, value), 0);
	assert_int_equal(gmem_sim_get_kernel(guest->sim, &guest->kernel), 0);
	guest->vm = gmem_sim_create_vm(guest->sim, GMEM_KVM_VM_TYPE_SNP);
	assert_true(guest->vm >= 0);
	guest->sev_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(guest->sev_fd >= 0);
}

void guest_new(struct guest *guest, enum guest_mode mode)
{
	guest_new_with(guest, mode, 0, 0);
}

static void close_fd(struct guest *guest, int fd)
{
	assert_int_equal(guest_call(guest, GMEM_SYS_CLOSE, (uint64_t)fd, 0, 0, 0, 0), 0);
}

void guest_free(struct guest *guest)
{
	for (uint32_t i = 0; i < guest->slots; i++) {
		const struct guest_slot *slot = &guest->slot[i];

		assert_int_equal(guest_call(guest, GMEM_SYS_MUNMAP, address_of(slot->shared),
					    slot->size, 0, 0, 0),
				 0);
		close_fd(guest, slot->fd);
	}
	for (uint32_t i = 0; i < guest->vcpus; i++)
		close_fd(guest, guest->vcpu[i]);
	if (guest->sev_fd >= 0)
		close_fd(guest, guest->sev_fd);
	close_fd(guest, guest->vm);
	gmem_sim_free(guest->sim);
}

static int create_file(struct guest *guest, uint64_t size)
{
	struct gmem_kvm_create_guest_memfd create = { .size = size };
	int64_t fd;

	if (guest->mode == GUEST_IN_PLACE)
		create.flags = GMEM_KVM_GUEST_MEMFD_FLAG_MMAP |
			       GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED;
	fd = guest_ioctl(guest, guest->vm, GMEM_KVM_CREATE_GUEST_MEMFD, &create);
	assert_true(fd >= 0);
	return (int)fd;
}

static uint8_t *map_shared(struct guest *guest, int fd, uint64_t size)
{
	uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS;
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = {
		0, size, PROT_READ | PROT_WRITE, guest->mode == GUEST_IN_PLACE ? MAP_SHARED : flags,
		(uint64_t)(guest->mode == GUEST_IN_PLACE ? fd : -1)
	};
	int64_t address = guest->kernel.call(GMEM_SYS_MMAP, arg, guest->kernel.opaque);

	assert_true(address > 0);
	return (uint8_t *)(uintptr_t)address;
}

void guest_add_slot(struct guest *guest, uint64_t gpa, uint64_t size)
{
	struct guest_slot *slot = &guest->slot[guest->slots];
	struct gmem_kvm_userspace_memory_region2 region = {
		.slot = guest->slots,
		.flags = GMEM_KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = size,
	};

	assert_true(guest->slots < GUEST_SLOTS);
	slot->gpa = gpa;
	slot->size = size;
	slot->fd = create_file(guest, size);
	slot->shared = map_shared(guest, slot->fd, size);
	region.guest_memfd = (uint32_t)slot->fd;
	region.userspace_addr = address_of(slot->shared);
	guest->slots++;
	assert_int_equal(guest_ioctl(guest, guest->vm, GMEM_KVM_SET_USER_MEMORY_REGION2, &region),
			 0);
	if (guest->mode == GUEST_LEGACY)
		assert_int_equal(guest_convert(guest, gpa, size, true), 0);
}

static struct guest_slot *find_slot(struct guest *guest, uint64_t gpa)
{
	for (uint32_t i = 0; i < guest->slots; i++) {
		if (gpa >= guest->slot[i].gpa && gpa - guest->slot[i].gpa < guest->slot[i].size)
			return &guest->slot[i];
	}
	fail_msg("no slot at 0x%llx", (unsigned long long)gpa);
	return NULL;
}

int guest_convert(struct guest *guest, uint64_t gpa, uint64_t size, bool private)
{
	uint64_t attributes = private ? GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
	struct gmem_kvm_memory_attributes per_vm = { .address = gpa,
						     .size = size,
						     .attributes = attributes };
	struct gmem_kvm_memory_attributes2 per_file = { .size = size, .attributes = attributes };
	const struct guest_slot *slot;

	if (guest->mode == GUEST_LEGACY)
		return (int)guest_ioctl(guest, guest->vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES, &per_vm);
	slot = find_slot(guest, gpa);
	per_file.offset = gpa - slot->gpa;
	return (int)guest_ioctl(guest, slot->fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &per_file);
}

uint8_t *guest_host(struct guest *guest, uint64_t gpa)
{
	const struct guest_slot *slot = find_slot(guest, gpa);

	return slot->shared + (gpa - slot->gpa);
}

int guest_command(struct guest *guest, uint32_t id, void *data, uint32_t *error)
{
	struct sim_kvm_sev_cmd command = {
		.id = id,
		.data = address_of(data),
		.error = error ? *error : 0,
		.sev_fd = (uint32_t)guest->sev_fd,
	};
	int64_t ret = guest_ioctl(guest, guest->vm, SIM_KVM_MEMORY_ENCRYPT_OP, &command);

	if (error)
		*error = command.error;
	return (int)ret;
}

int guest_init2(struct guest *guest, uint64_t features)
{
	struct snp_init init = { .vmsa_features = features };

	return guest_command(guest, SNP_CMD_INIT2, &init, NULL);
}

int guest_start(struct guest *guest, uint64_t policy)
{
	struct snp_launch_start start = { .policy = policy };

	return guest_command(guest, SNP_CMD_LAUNCH_START, &start, NULL);
}

int guest_update(struct guest *guest, uint8_t type, uint64_t gpa, const void *contents,
		 uint64_t size, uint32_t *error)
{
	struct snp_launch_update update = {
		.gfn_start = gpa / SNP_PAGE_SIZE,
		.uaddr = address_of(contents),
		.len = size,
		.type = type,
	};

	return guest_command(guest, SNP_CMD_LAUNCH_UPDATE, &update, error);
}

int guest_finish(struct guest *guest, uint32_t *error)
{
	struct snp_launch_finish finish = { 0 };

	return guest_command(guest, SNP_CMD_LAUNCH_FINISH, &finish, error);
}

void guest_launch(struct guest *guest, enum guest_mode mode)
{
	guest_new(guest, mode);
	guest_add_slot(guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_init2(guest, 0), 0);
	assert_int_equal(guest_start(guest, GUEST_POLICY), 0);
}

/* UPDATE wants a source that is page-aligned. */
static uint8_t *aligned_copy(const void *contents, uint64_t size)
{
	uint8_t *copy =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(copy, MAP_FAILED);
	if (contents)
		memcpy(copy, contents, size);
	return copy;
}

static void update_all(struct guest *guest, struct snp_launch_update *update)
{
	while (update->len > 0) {
		uint64_t before = update->len;

		assert_int_equal(guest_command(guest, SNP_CMD_LAUNCH_UPDATE, update, NULL), 0);
		assert_true(update->len < before);
	}
}

void guest_load(struct guest *guest, uint8_t type, uint64_t gpa, const void *contents,
		uint64_t size)
{
	struct snp_launch_update update = {
		.gfn_start = gpa / SNP_PAGE_SIZE,
		.len = size,
		.type = type,
	};
	uint8_t *source;

	if (guest->mode == GUEST_IN_PLACE) {
		if (contents)
			memcpy(guest_host(guest, gpa), contents, size);
		assert_int_equal(guest_convert(guest, gpa, size, true), 0);
		update_all(guest, &update);
		return;
	}
	source = aligned_copy(contents, size);
	update.uaddr = address_of(source);
	update_all(guest, &update);
	munmap(source, size);
}

void guest_get_digest(struct guest *guest, uint8_t digest[SNP_DIGEST_SIZE])
{
	assert_int_equal(gmem_sim_get_snp_digest(guest->sim, guest->vm, digest), 0);
}

int guest_add_vcpu(struct guest *guest)
{
	void *run;
	int fd = gmem_sim_create_vcpu(guest->sim, guest->vm, &run);

	assert_true(fd >= 0);
	assert_true(guest->vcpus < GUEST_VCPUS);
	guest->vcpu[guest->vcpus++] = fd;
	return fd;
}

/* Pages that differ, aligned as UPDATE wants its source. */
uint8_t guest_source[GUEST_SOURCE_PAGES * SNP_PAGE_SIZE] __attribute__((aligned(SNP_PAGE_SIZE)));

void guest_fill_source(void)
{
	for (size_t i = 0; i < sizeof(guest_source); i++)
		guest_source[i] = (uint8_t)(i * 7 + i / SNP_PAGE_SIZE + 1);
}

struct snp_launch_update guest_update_of(uint8_t type, uint64_t gpa, const void *contents,
					 uint64_t size)
{
	return (struct snp_launch_update){
		.gfn_start = gpa / SNP_PAGE_SIZE,
		.uaddr = (uint64_t)(uintptr_t)contents,
		.len = size,
		.type = type,
	};
}

/* In place memory starts shared. */
void guest_launch_private(struct guest *guest, enum guest_mode mode)
{
	guest_launch(guest, mode);
	assert_int_equal(guest_convert(guest, GUEST_BASE, GUEST_SIZE, true), 0);
}

void guest_for_each_mode(void (*check)(enum guest_mode mode))
{
	guest_fill_source();
	for (int mode = 0; mode < GUEST_MODES; mode++)
		check((enum guest_mode)mode);
}

/* The command must fail, and nothing may have come of it. */
void guest_expect_refused(struct guest *guest, const struct snp_launch_update *params, int result,
			  uint32_t fw_error)
{
	uint8_t before[SNP_DIGEST_SIZE], after[SNP_DIGEST_SIZE];
	struct snp_launch_update copy = *params;
	uint32_t error = 0;

	guest_get_digest(guest, before);
	assert_int_equal(guest_command(guest, SNP_CMD_LAUNCH_UPDATE, &copy, &error), result);
	assert_int_equal(error, fw_error);
	assert_memory_equal(&copy, params, sizeof(copy));
	guest_get_digest(guest, after);
	assert_memory_equal(before, after, sizeof(before));
}

/* What the guest reads, once it runs. */
void guest_expect_reads(struct guest *guest, int vcpu, uint64_t gpa, const void *expected)
{
	uint8_t page[SNP_PAGE_SIZE];

	assert_int_equal(gmem_sim_guest_access(guest->sim, vcpu, gpa, page, sizeof(page),
					       GMEM_SIM_PRIVATE),
			 0);
	assert_memory_equal(page, expected, sizeof(page));
}
