// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The launch digest of 4 MiB of firmware and 64 vCPUs, timed beside the bare hashing of the same
 * bytes in the same run. Of each the fastest of many turns counts, taken in turns, so that what
 * else the machine does hits both alike.
 *
 *   bench/digest [--json]
 */
#include <gcrypt.h>
#include <gmem.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096u
#define IMAGE_PAGES 1024u
#define VCPUS 64u
#define TURNS 40
#define GOAL 1.2

struct run {
	const char *name;
	uint32_t threads;
	bool is_sparse; /* every other page is empty, as in real images */
	double library; /* seconds */
	double bare;
};

/* Takes what comes out, so that nothing can be left away. */
static volatile uint8_t sink;

static void die(const char *what)
{
	fprintf(stderr, "bench/digest: %s\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fill_image(uint8_t *image, bool is_sparse)
{
	uint64_t noise = 1;
	size_t i;

	for (i = 0; i < (size_t)IMAGE_PAGES * PAGE; i++) {
		noise = noise * UINT64_C(6364136223846793005) + 1442695040888963407;
		image[i] = is_sparse && i / PAGE % 2 ? 0 : (uint8_t)(noise >> 56);
	}
}

static void hash(const void *data, size_t size, uint8_t digest[48])
{
	gcry_buffer_t buffer = { .data = (void *)data, .len = size };

	if (gcry_md_hash_buffers(GCRY_MD_SHA384, 0, digest, &buffer, 1))
		die("libgcrypt does not hash");
}

/* Each page of different contents once, two VMSAs, and the chain. */
static uint8_t hash_barely(const uint8_t *image, bool is_sparse)
{
	uint8_t link[0x70] = { 0 }, vmsa[PAGE] = { 0 }, digest[48];
	uint32_t i;

	for (i = 0; i < IMAGE_PAGES; i += is_sparse ? 2 : 1)
		hash(image + (size_t)i * PAGE, PAGE, link + 48);
	if (is_sparse)
		hash(image + PAGE, PAGE, link + 48);
	hash(vmsa, PAGE, link + 48);
	hash(vmsa, PAGE, link + 48);
	for (i = 0; i < IMAGE_PAGES + VCPUS; i++) {
		hash(link, sizeof(link), digest);
		memcpy(link, digest, sizeof(digest));
	}
	return digest[0];
}

static uint8_t measure(const struct gmem_ovmf *ovmf, uint32_t threads)
{
	uint8_t digest[GMEM_SNP_DIGEST_SIZE];
	struct gmem_snp_measure *measure;

	if (gmem_snp_measure_new(NULL, NULL, &measure))
		die("no measure");
	gmem_snp_measure_set_threads(measure, threads);
	if (gmem_snp_measure_add_ovmf(measure, ovmf, GMEM_SNP_VMM_QEMU, NULL) ||
	    gmem_snp_measure_add_vcpus(measure, GMEM_SNP_VMM_QEMU, 0, VCPUS, 0x80b004, 0xa00f11,
				       1) ||
	    gmem_snp_measure_get_digest(measure, digest))
		die("no digest");
	gmem_snp_measure_free(measure);
	return digest[0];
}

static void run(struct run *run, uint8_t *image)
{
	struct gmem_ovmf *ovmf;
	double start, library, bare;
	int turn;

	fill_image(image, run->is_sparse);
	if (gmem_ovmf_new(NULL, image, (size_t)IMAGE_PAGES * PAGE, &ovmf))
		die("no image");
	for (turn = 0; turn < TURNS; turn++) {
		start = now();
		sink ^= measure(ovmf, run->threads);
		library = now() - start;
		start = now();
		sink ^= hash_barely(image, run->is_sparse);
		bare = now() - start;
		if (!turn || library < run->library)
			run->library = library;
		if (!turn || bare < run->bare)
			run->bare = bare;
	}
	gmem_ovmf_free(ovmf);
}

int main(int argc, char **argv)
{
	struct run runs[] = {
		{ .name = "one thread", .threads = 1 },
		{ .name = "two threads", .threads = 2 },
		{ .name = "one thread, half of the pages empty", .threads = 1, .is_sparse = true },
	};
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	uint8_t *image = malloc((size_t)IMAGE_PAGES * PAGE);
	const size_t count = sizeof(runs) / sizeof(runs[0]);
	size_t i;

	if (!image || !gcry_check_version(NULL))
		die("no memory, or no libgcrypt");
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	if (!json)
		printf("%-38s %10s %10s %6s\n", "launch digest, 4 MiB and 64 vCPUs", "libgmem ms",
		       "bare ms", "ratio");
	for (i = 0; i < count; i++) {
		run(&runs[i], image);
		if (json)
			printf("%s{\"name\": \"digest, %s\", \"ms\": %.3f, \"bare_ms\": %.3f, "
			       "\"ratio\": %.3f, \"goal\": %.1f}%s",
			       i ? " " : "[", runs[i].name, runs[i].library * 1e3,
			       runs[i].bare * 1e3, runs[i].library / runs[i].bare, GOAL,
			       i + 1 < count ? ",\n" : "]\n");
		else
			printf("%-38s %10.2f %10.2f %6.2f\n", runs[i].name, runs[i].library * 1e3,
			       runs[i].bare * 1e3, runs[i].library / runs[i].bare);
	}
	if (!json)
		printf("goal: a ratio of %.1f at most with one thread\n", GOAL);
	free(image);
	return 0;
}
