// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The memory that a simulated guest's boot holds, tracked per VM with split regions: every page can
 * be there twice. For several limits of what may wait to be freed, how much there was at most, and
 * in how many calls it was freed. Ends with 1 where that is more than the guest and the limit.
 *
 * What is there is kept account of by what the guest touches and by the calls that free, after
 * each of them, and compared with the memory itself now and then.
 */
#include <gmem.h>
#include <gmem/sim.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE UINT64_C(4096)
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define REQUESTS 5000u
#define GUEST_PAGES (64 * MIB / PAGE)
#define BUFFERS 64u /* of the guest's drivers, at a time */

/* Two regions, three sections: two that follow each other, and one above a hole. */
#define LOW_SIZE (40 * MIB)
#define LOW_CUT (24 * MIB)
#define HIGH_GPA (1024 * MIB)
#define HIGH_SIZE (24 * MIB)

/* Which pages of one side of one region hold memory. */
struct side {
	int fd;
	uint64_t pages;
	bool *there;
};

struct guest {
	struct gmem_sim *sim;
	struct gmem_kernel kernel;
	struct gmem_ctx *ctx;
	struct gmem_vm *vm;
	struct gmem_region *low;
	struct gmem_region *high;
	struct side side[4]; /* shared and private, of low and of high */
	uint64_t held;       /* pages */
	uint64_t most;
	uint64_t random;
	uint64_t requests;
	void *bytes; /* that the guest writes */
	int vm_fd;
	int vcpu_fd;
	bool failed;
};

static void check(struct guest *guest, bool held, const char *what)
{
	if (!held)
		fprintf(stderr, "boot: %s\n", what);
	guest->failed |= !held;
}

static uint64_t below(struct guest *guest, uint64_t limit)
{
	guest->random = guest->random * UINT64_C(6364136223846793005) + 1;
	return (guest->random >> 33) % limit;
}

static void set_there(struct guest *guest, struct side *side, uint64_t first, uint64_t pages,
		      bool there)
{
	uint64_t i;

	for (i = first; i < first + pages && i < side->pages; i++) {
		guest->held += (uint64_t)there - side->there[i];
		side->there[i] = there;
	}
	if (guest->held > guest->most)
		guest->most = guest->held;
}

/* Every call that frees. */
static void note_call(uint32_t nr, const uint64_t *arg, int64_t result, void *opaque)
{
	struct guest *guest = opaque;
	unsigned int i;

	for (i = 0; nr == GMEM_SYS_FALLOCATE && !result && i < 4; i++) {
		if (guest->side[i].fd == (int)arg[0])
			set_there(guest, &guest->side[i], arg[2] / PAGE, arg[3] / PAGE, false);
	}
}

static void note_sides(struct guest *guest, struct gmem_region *region, struct side *side)
{
	struct gmem_region_info info;

	check(guest, !gmem_region_get_info(region, &info), "no region");
	side[0] = (struct side){ info.fd, info.size / PAGE, NULL };
	side[1] = (struct side){ info.guest_memfd, info.size / PAGE, NULL };
	side[0].there = calloc(side[0].pages, sizeof(bool));
	side[1].there = calloc(side[1].pages, sizeof(bool));
	check(guest, side[0].there && side[1].there, "no memory");
}

static int make_region(struct guest *guest, uint64_t size, struct gmem_region **region)
{
	struct gmem_region_config *config;
	int rc = gmem_region_config_new(&config);

	if (rc)
		return rc;
	gmem_region_config_set_state(config, GMEM_SHARED);
	rc = gmem_region_new(guest->vm, size, config, region);
	gmem_region_config_free(config);
	return rc;
}

static int make_vm(struct guest *guest, uint64_t limit)
{
	struct gmem_vm_config *config;
	int rc = gmem_vm_config_new(&config);

	if (rc)
		return rc;
	gmem_vm_config_set_type(config, GMEM_VM_TYPE_SW_PROTECTED);
	gmem_vm_config_set_discard_limit(config, limit);
	rc = gmem_vm_new(guest->ctx, guest->vm_fd, config, &guest->vm);
	gmem_vm_config_free(config);
	return rc;
}

static int map_all(struct guest *guest)
{
	int rc = gmem_vm_map(guest->vm, 0, guest->low, 0, LOW_CUT, GMEM_SLOT_AUTO, 0);

	if (!rc)
		rc = gmem_vm_map(guest->vm, LOW_CUT, guest->low, LOW_CUT, LOW_SIZE - LOW_CUT,
				 GMEM_SLOT_AUTO, 0);
	if (!rc)
		rc = gmem_vm_map(guest->vm, HIGH_GPA, guest->high, 0, HIGH_SIZE, GMEM_SLOT_AUTO, 0);
	return rc;
}

static int set_up(struct guest *guest, uint64_t limit)
{
	void *kvm_run;
	int rc = gmem_sim_new(GMEM_SIM_LINUX_6_18, &guest->sim);

	guest->bytes = malloc(2 * MIB);
	if (!rc && !guest->bytes)
		rc = -1;
	if (!rc)
		rc = gmem_sim_get_kernel(guest->sim, &guest->kernel);
	if (!rc)
		rc = gmem_ctx_new(&guest->ctx);
	if (rc)
		return rc;
	memset(guest->bytes, 0x5a, 2 * MIB);
	gmem_ctx_set_kernel(guest->ctx, &guest->kernel);
	guest->vm_fd = gmem_sim_create_vm(guest->sim, GMEM_VM_TYPE_SW_PROTECTED);
	guest->vcpu_fd = gmem_sim_create_vcpu(guest->sim, guest->vm_fd, &kvm_run);
	rc = make_vm(guest, limit);
	if (!rc)
		rc = make_region(guest, LOW_SIZE, &guest->low);
	if (!rc)
		rc = make_region(guest, HIGH_SIZE, &guest->high);
	if (!rc)
		rc = map_all(guest);
	if (rc)
		return rc;
	note_sides(guest, guest->low, &guest->side[0]);
	note_sides(guest, guest->high, &guest->side[2]);
	return gmem_sim_set_recorder(guest->sim, note_call, guest, NULL);
}

static void close_fd(struct guest *guest, int fd)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { (uint64_t)fd };

	if (guest->kernel.call)
		guest->kernel.call(GMEM_SYS_CLOSE, arg, guest->kernel.opaque);
}

static void tear_down(struct guest *guest)
{
	unsigned int i;

	gmem_vm_free(guest->vm);
	gmem_region_free(guest->low);
	gmem_region_free(guest->high);
	gmem_ctx_free(guest->ctx);
	close_fd(guest, guest->vcpu_fd);
	close_fd(guest, guest->vm_fd);
	gmem_sim_free(guest->sim);
	for (i = 0; i < 4; i++)
		free(guest->side[i].there);
	free(guest->bytes);
}

static uint64_t count_there(const struct side *side)
{
	uint64_t pages = 0, i;

	for (i = 0; i < side->pages; i++)
		pages += side->there[i];
	return pages;
}

/* The account of shared memory is right: its file's blocks. */
static void compare_shared(struct guest *guest)
{
	struct stat status;
	unsigned int i;

	for (i = 0; i < 4; i += 2) {
		check(guest, !fstat(guest->side[i].fd, &status), "no such file");
		check(guest,
		      (uint64_t)status.st_blocks * 512 / PAGE == count_there(&guest->side[i]),
		      "there is other shared memory than what is accounted for");
	}
}

/* That of private memory, page by page, which takes its time. */
static void compare_private(struct guest *guest)
{
	struct gmem_sim_page page;
	unsigned int i;
	uint64_t k;

	for (i = 1; i < 4; i += 2) {
		for (k = 0; k < guest->side[i].pages; k++) {
			check(guest,
			      !gmem_sim_get_page(guest->sim, guest->side[i].fd, k * PAGE, &page),
			      "no such page");
			check(guest, page.allocated == guest->side[i].there[k],
			      "there is other private memory than what is accounted for");
		}
	}
}

/* The guest writes all of a range, in the state that it has. */
static void touch(struct guest *guest, uint64_t gpa, uint64_t size)
{
	struct gmem_run run;
	uint64_t part;

	for (; size; gpa += part, size -= part) {
		check(guest, gmem_vm_next_run(guest->vm, gpa, &run) == 1, "nothing is mapped");
		part = run.size < size ? run.size : size;
		part = part < 2 * MIB ? part : 2 * MIB;
		set_there(guest, &guest->side[2 * (gpa >= HIGH_GPA) + (run.state == GMEM_PRIVATE)],
			  run.offset / PAGE, part / PAGE, true);
		check(guest,
		      !gmem_sim_guest_access(guest->sim, guest->vcpu_fd, gpa, guest->bytes, part,
					     GMEM_SIM_WRITE),
		      "the guest cannot write");
	}
}

static void request(struct guest *guest, uint64_t gpa, uint64_t size, uint32_t to)
{
	if (guest->requests++ % 100 == 0)
		compare_shared(guest);
	check(guest, !gmem_vm_convert(guest->vm, gpa, size, to, 0, NULL), "no conversion");
	touch(guest, gpa, size);
}

static void request_in_pieces(struct guest *guest, uint64_t gpa, uint64_t size, uint64_t piece,
			      uint32_t to)
{
	for (; size; gpa += piece, size -= piece)
		request(guest, gpa, piece, to);
}

/* Firmware takes memory as private: its first pages one by one, the rest in larger pieces. */
static void accept_memory(struct guest *guest)
{
	request_in_pieces(guest, 0, MIB, PAGE, GMEM_PRIVATE);
	request_in_pieces(guest, MIB, MIB, 64 * KIB, GMEM_PRIVATE);
	request_in_pieces(guest, 2 * MIB, LOW_SIZE - 2 * MIB, 2 * MIB, GMEM_PRIVATE);
	request_in_pieces(guest, HIGH_GPA, HIGH_SIZE, 2 * MIB, GMEM_PRIVATE);
}

struct buffer {
	uint64_t gpa;
	uint64_t size;
};

/*
 * Of 4 KiB to 512 KiB, small ones more often, aligned as it is large. Most come from memory that
 * was free a moment ago, some from anywhere, also from above the hole.
 */
static struct buffer choose_buffer(struct guest *guest)
{
	uint64_t one = below(guest, 8), other = below(guest, 8);
	uint64_t size = PAGE << (one < other ? one : other);
	uint64_t at = below(guest, HIGH_SIZE / size) * size;

	if (below(guest, 4))
		return (struct buffer){ LOW_CUT - 2 * MIB + at % (4 * MIB), size };
	return (struct buffer){ below(guest, 2) ? HIGH_GPA + at : at, size };
}

/* Drivers share buffers, and take them back; the bounce buffer stays shared. */
static void run_drivers(struct guest *guest)
{
	struct buffer buffers[BUFFERS] = { 0 };

	request_in_pieces(guest, 8 * MIB, 4 * MIB, 64 * KIB, GMEM_SHARED);
	while (guest->requests < REQUESTS) {
		struct buffer *buffer = &buffers[below(guest, BUFFERS)];

		if (buffer->size) {
			request(guest, buffer->gpa, buffer->size, GMEM_PRIVATE);
			*buffer = (struct buffer){ 0 };
		} else {
			*buffer = choose_buffer(guest);
			request(guest, buffer->gpa, buffer->size, GMEM_SHARED);
		}
	}
}

/* Returns the calls that freed memory. */
static uint64_t report(struct guest *guest, uint64_t limit)
{
	struct gmem_vm_stats stats;
	uint64_t bound = GUEST_PAGES + limit / PAGE;

	check(guest, !gmem_vm_get_stats(guest->vm, &stats), "no counters");
	printf("%8llu  %8llu  %9llu  %9llu  %8llu  %8llu  %8.2f\n",
	       (unsigned long long)(limit / KIB), (unsigned long long)(bound * PAGE / KIB),
	       (unsigned long long)(guest->most * PAGE / KIB),
	       (unsigned long long)((guest->most - GUEST_PAGES) * PAGE / KIB),
	       (unsigned long long)guest->requests, (unsigned long long)stats.discards,
	       (double)stats.discards / (double)guest->requests);
	check(guest, guest->most <= bound, "there was more memory than the guest and the limit");
	check(guest, stats.conversions == guest->requests && !stats.conversions_failed,
	      "not every request was a conversion");
	return stats.discards;
}

static bool boot(uint64_t limit, uint64_t *discards)
{
	struct guest guest = { .random = 1, .vm_fd = -1, .vcpu_fd = -1 };

	check(&guest, !set_up(&guest, limit), "no guest");
	if (!guest.failed) {
		/* The host had all of it: a guest's worst case. */
		touch(&guest, 0, LOW_SIZE);
		touch(&guest, HIGH_GPA, HIGH_SIZE);
		accept_memory(&guest);
		run_drivers(&guest);
		compare_shared(&guest);
		compare_private(&guest);
		*discards = report(&guest, limit);
	}
	tear_down(&guest);
	return !guest.failed;
}

int main(void)
{
	static const uint64_t limits[] = { 0, MIB, 4 * MIB, 16 * MIB };
	uint64_t discards = 0, before = UINT64_MAX;
	bool good = true;
	unsigned int i;

	printf("Boot of a guest of %llu MiB, tracked per VM, split regions, 3 sections. In KiB:\n"
	       "   limit     bound       most  over size  requests  discards  a request\n",
	       (unsigned long long)(GUEST_PAGES * PAGE / MIB));
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		good &= boot(limits[i], &discards);
		if (discards >= before) {
			fprintf(stderr, "boot: a higher limit saves no call\n");
			good = false;
		}
		before = discards;
	}
	return !good;
}
