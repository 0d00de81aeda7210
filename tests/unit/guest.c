// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM with a little of everything that pins, copies and conversions can meet. */
#include "guest.h"

#include "pin_table.h"

#include <errno.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

/* Needs what stands above. */
#include <cmocka.h>

#define NANOSECONDS UINT64_C(1000000000)

static void tell_time(const struct guest *guest, struct timespec *time)
{
	time->tv_sec = (time_t)(guest->now / NANOSECONDS);
	time->tv_nsec = (long)(guest->now % NANOSECONDS);
}

static int64_t sleep_on(struct guest *guest, const struct timespec *timeout)
{
	guest->naps++;
	if (guest->nap_result)
		return guest->nap_result;
	guest->now += (uint64_t)timeout->tv_sec * NANOSECONDS + (uint64_t)timeout->tv_nsec;
	return -ETIMEDOUT;
}

static bool serve(struct world *world, uint32_t nr, const uint64_t *arg, int64_t *result)
{
	struct guest *guest = world->opaque;

	if (!guest->own_clock)
		return false;
	if (nr == GMEM_SYS_CLOCK_GETTIME) {
		tell_time(guest, (struct timespec *)(uintptr_t)arg[1]);
		*result = 0;
		return true;
	}
	if (nr == GMEM_SYS_FUTEX && arg[1] == FUTEX_WAIT_PRIVATE) {
		*result = sleep_on(guest, (const struct timespec *)(uintptr_t)arg[3]);
		return true;
	}
	return false;
}

int guest_retry(const struct gmem_report *so_far, void *opaque)
{
	struct world *world = opaque;
	struct guest *guest = world->opaque;

	guest->asked++;
	return guest->retry ? guest->retry(guest, so_far) : GMEM_RETRY_AGAIN;
}

static void map_all(struct guest *guest)
{
	struct gmem_vm *vm = guest->vm;

	assert_int_equal(gmem_vm_map(vm, AT(0x10), guest->ram, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x18), guest->ram, AT(8), AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x20), guest->other, 0, AT(8), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map(vm, AT(0x28), guest->private, 0, AT(16), AUTO, 0), 0);
	assert_int_equal(
		gmem_vm_map(vm, AT(ROM_PAGE), guest->rom, 0, AT(4), AUTO, GMEM_MAP_READONLY), 0);
	assert_int_equal(gmem_vm_map(vm, AT(DEVICE_PAGE), guest->rom, AT(4), AT(4), AUTO,
				     GMEM_MAP_DEVICE),
			 0);
	assert_int_equal(gmem_vm_map(vm, AT(RESERVED_PAGE), NULL, 0, AT(4), AUTO, 0), 0);
	assert_int_equal(gmem_vm_map_alias(vm, 1, AT(0x10), guest->ram, 0, AT(8), AUTO, 0), 0);
}

void guest_open(struct guest *guest, const struct fake_kvm_config *kvm,
		const struct world_config *config)
{
	struct world_config wanted = config ? *config : (struct world_config){ 0 };
	struct fake_kvm_config own = *kvm;
	struct world *world = &guest->world;

	memset(guest, 0, sizeof(*guest));
	own.page_size = AT(1);
	own.cap.multi_address_space = 2;
	wanted.kvm = &own;
	world_open(world, &wanted);
	world->opaque = guest;
	world->serve = serve;
	guest->now = 1000 * NANOSECONDS;
	guest->vm = world->vm;
	guest->ram = world_region(world, "ram", 16, GMEM_BACKING_PLAIN, 0);
	guest->other = world_region(world, "other", 16, GMEM_BACKING_PLAIN, 0);
	guest->private = world_region(world, "private0", 32, GMEM_BACKING_SPLIT, GMEM_SHARED);
	guest->rom = world_region(world, "rom", 8, GMEM_BACKING_PLAIN, 0);
	map_all(guest);
	assert_int_equal(gmem_vm_convert(guest->vm, AT(0x2c), AT(4), GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(gmem_vm_convert(guest->vm, AT(0x34), AT(1), GMEM_PRIVATE, 0, NULL), 0);
	guest->worker = worker_new();
	fake_kvm_reset_calls(world->fake);
	expect_no_message(world->logs);
}

void guest_close(struct guest *guest)
{
	assert_false(guest_is_pinned(guest, 0, -AT(1)));
	assert_null(guest->vm->claims.oldest);
	assert_int_equal(guest->vm->claims.waiting, 0);
	worker_free(guest->worker);
	gmem_region_free(guest->ram);
	gmem_region_free(guest->other);
	gmem_region_free(guest->private);
	gmem_region_free(guest->rom);
	world_close(&guest->world);
}

static int begin(void *opaque)
{
	struct guest *guest = opaque;

	wait_init(&guest->wait, guest->vm, &guest->report, GMEM_OPERATION_CONVERT, false);
	return gmem_claim_take(guest->vm, &guest->claim, &guest->range, 1, &guest->wait);
}

static int end(void *opaque)
{
	struct guest *guest = opaque;

	gmem_claim_release(guest->vm, &guest->claim);
	return 0;
}

void guest_begin_work(struct guest *guest, uint64_t gpa, uint64_t size)
{
	guest->range = (struct gmem_range){ gpa, size };
	assert_int_equal(worker_do(guest->worker, begin, guest), 0);
}

void guest_end_work(struct guest *guest)
{
	assert_int_equal(worker_do(guest->worker, end, guest), 0);
}

bool guest_is_pinned(struct guest *guest, uint64_t gpa, uint64_t size)
{
	struct gmem_range pinned;

	return gmem_pin_table_find(guest->vm, gpa, size, &pinned);
}

char *guest_host(const struct gmem_region *region)
{
	return world_region_info(region).host;
}
