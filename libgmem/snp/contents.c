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
	atomic_uint_fast64_t next; /* page that nobody has taken yet */
	atomic_int error;
};

/* Four sums side by side, which a processor can work on at once. */
static uint64_t sum_page(const uint8_t *page)
{
	uint64_t sums[4] = { MIX_A, MIX_B, ~MIX_A, ~MIX_B };
	uint64_t word;
	size_t i;

	for (i = 0; i < SNP_PAGE_SIZE; i += sizeof(word)) {
		uint64_t *sum = &sums[i / sizeof(word) % 4];

		memcpy(&word, page + i, sizeof(word));
		*sum = (*sum ^ word ^ *sum >> 32) * MIX_A;
	}
	sums[0] = (sums[0] ^ sums[1] >> 32) * MIX_B + sums[2];
	sums[0] = (sums[0] ^ sums[3] >> 32) * MIX_B;
	return sums[0] ^ sums[0] >> 32;
}

/* Finds the first page with the same contents. table has mask + 1 places for numbers from 1. */
static uint32_t find_same(const uint8_t *data, uint32_t page, uint32_t *table, uint64_t mask)
{
	const uint8_t *bytes = data + (size_t)page * SNP_PAGE_SIZE;
	uint64_t sum = sum_page(bytes);
	unsigned int i;

	for (i = 0; i < PROBES; i++) {
		uint32_t *place = &table[(sum + i) & mask];

		if (!*place) {
			*place = page + 1;
			return page;
		}
		if (!memcmp(data + (size_t)(*place - 1) * SNP_PAGE_SIZE, bytes, SNP_PAGE_SIZE))
			return *place - 1;
	}
	return page;
}

static int compare_pages(struct contents *contents, const uint8_t *data, uint32_t count)
{
	uint64_t places = 2;
	uint32_t *table;
	uint32_t i;

	while (places < UINT64_C(2) * count)
		places *= 2;
	table = calloc(places, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		contents->pages[i].same_as = find_same(data, i, table, places - 1);
	free(table);
	return 0;
}

static int hash_chunk(struct job *job, uint64_t first)
{
	uint64_t end = first + CHUNK < job->count ? first + CHUNK : job->count;
	struct contents_page *page;
	uint64_t i;
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
static int hash_pages(struct job *job, uint32_t threads)
{
	uint64_t chunks = ((uint64_t)job->count + CHUNK - 1) / CHUNK;
	pthread_t others[GMEM_SNP_THREADS_MAX - 1];
	uint32_t started = 0;

	while (started + 1 < threads && started + 1 < chunks &&
	       !gmem_thread_start(&others[started], hash_chunks, job))
		started++;
	hash_chunks(job);
	while (started)
		pthread_join(others[--started], NULL);
	return atomic_load_explicit(&job->error, memory_order_relaxed);
}

int gmem_contents_hash(struct contents *contents, const uint8_t *data, uint32_t count,
		       uint32_t threads)
{
	struct job job = { .contents = contents, .data = data, .count = count };
	int rc;

	contents->pages = calloc(count, sizeof(contents->pages[0]));
	if (!contents->pages)
		return -ENOMEM;
	rc = compare_pages(contents, data, count);
	if (!rc)
		rc = hash_pages(&job, threads);
	if (rc)
		gmem_contents_free(contents);
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
