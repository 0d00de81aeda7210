// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SHA-384 of many pages. Firmware is full of pages that are the same (zeros, 0xff), so pages are
 * compared first, by way of a cheap sum; then threads share what is left.
 */
#include "snp/contents.h"

#include "snp/abi.h"
#include "thread.h"

#include <errno.h>
#include <gmem/measure.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Pages that a thread takes at a time. */
#define CHUNK 16u
/* Places that are looked at for a page: an image may be made so that all sums are equal. */
#define PROBES 16u

/* Odd numbers of no pattern: the golden ratio's and the square root of three's digits. */
#define MIX_A UINT64_C(0x9e3779b97f4a7c15)
#define MIX_B UINT64_C(0xbb67ae8584caa73b)

struct job {
	struct contents *contents;
	const uint8_t *data;
	uint32_t count;
	uint32_t *table; /* of pages that were compared, counted from 1; 0: a free place */
	uint64_t mask;   /* places of the table, less 1 */
	atomic_uint_fast64_t next; /* page that nobody has taken yet */
	atomic_int error;
};

/*
 * Four sums side by side, which a processor works on at once. A change of one bit always changes
 * the sum of its lane, and lanes are folded so that all of their bits count.
 */
static uint64_t sum_page(const uint8_t *page)
{
	uint64_t a = MIX_A, b = MIX_B, c = ~MIX_A, d = ~MIX_B;
	uint64_t word[4];
	size_t i;

	for (i = 0; i < SNP_PAGE_SIZE; i += sizeof(word)) {
		memcpy(word, page + i, sizeof(word));
		a = (a ^ word[0]) * MIX_A;
		b = (b ^ word[1]) * MIX_A;
		c = (c ^ word[2]) * MIX_A;
		d = (d ^ word[3]) * MIX_A;
	}
	a = (a ^ a >> 32 ^ b) * MIX_B;
	a = (a ^ a >> 32 ^ c) * MIX_B;
	a = (a ^ a >> 32 ^ d) * MIX_B;
	return a ^ a >> 32;
}

/* Finds the first page with the same contents, or gives this one a place. */
static uint32_t find_same(struct job *job, uint32_t page)
{
	const uint8_t *bytes = job->data + (size_t)page * SNP_PAGE_SIZE;
	uint64_t sum = sum_page(bytes);
	unsigned int i;

	for (i = 0; i < PROBES; i++) {
		uint32_t *place = &job->table[(sum + i) & job->mask];

		if (!*place) {
			*place = page + 1;
			return page;
		}
		if (!memcmp(job->data + (size_t)(*place - 1) * SNP_PAGE_SIZE, bytes, SNP_PAGE_SIZE))
			return *place - 1;
	}
	return page;
}

static void compare_pages(struct job *job, uint64_t first, uint64_t end)
{
	uint64_t i;

	for (i = first; i < end; i++)
		job->contents->pages[i].same_as = find_same(job, (uint32_t)i);
}

static uint64_t end_of_chunk(const struct job *job, uint64_t first)
{
	return first + CHUNK < job->count ? first + CHUNK : job->count;
}

static int hash_chunk(struct job *job, uint64_t first)
{
	uint64_t end = end_of_chunk(job, first), i;
	struct contents_page *page;
	int rc = 0;

	for (i = first; i < end && !rc; i++) {
		page = &job->contents->pages[i];
		if (page->same_as == i)
			rc = gmem_crypto_sha384(job->data + i * SNP_PAGE_SIZE, SNP_PAGE_SIZE,
						page->digest);
	}
	return rc;
}

static void *hash_chunks(void *argument)
{
	struct job *job = argument;
	uint64_t first;
	int rc;

	for (;;) {
		first = atomic_fetch_add_explicit(&job->next, CHUNK, memory_order_relaxed);
		if (first >= job->count)
			return NULL;
		rc = hash_chunk(job, first);
		if (rc)
			atomic_store_explicit(&job->error, rc, memory_order_relaxed);
	}
}

/* The calling thread works too, and does all of it where no other can be had. */
static int hash_by_threads(struct job *job, uint32_t threads)
{
	uint64_t chunks = ((uint64_t)job->count + CHUNK - 1) / CHUNK;
	pthread_t others[GMEM_SNP_THREADS_MAX - 1];
	uint32_t started = 0;

	compare_pages(job, 0, job->count);
	while (started + 1 < threads && started + 1 < chunks &&
	       !gmem_thread_start(&others[started], hash_chunks, job))
		started++;
	hash_chunks(job);
	while (started)
		pthread_join(others[--started], NULL);
	return atomic_load_explicit(&job->error, memory_order_relaxed);
}

/* Pages are hashed while the processor's cache still has them from being compared. */
static int hash_alone(struct job *job)
{
	uint64_t first;
	int rc = 0;

	for (first = 0; first < job->count && !rc; first += CHUNK) {
		compare_pages(job, first, end_of_chunk(job, first));
		rc = hash_chunk(job, first);
	}
	return rc;
}

int gmem_contents_hash(struct contents *contents, const uint8_t *data, uint32_t count,
		       uint32_t threads)
{
	struct job job = { .contents = contents, .data = data, .count = count };
	uint64_t places = 2;
	int rc = -ENOMEM;

	while (places < UINT64_C(2) * count)
		places *= 2;
	job.mask = places - 1;
	job.table = calloc(places, sizeof(*job.table));
	contents->pages = calloc(count, sizeof(contents->pages[0]));
	if (job.table && contents->pages)
		rc = threads > 1 ? hash_by_threads(&job, threads) : hash_alone(&job);
	if (rc)
		gmem_contents_free(contents);
	free(job.table);
	return rc;
}

void gmem_contents_free(struct contents *contents)
{
	free(contents->pages);
	contents->pages = NULL;
}

const uint8_t *gmem_contents_get(const struct contents *contents, uint32_t page)
{
	return contents->pages[contents->pages[page].same_as].digest;
}
