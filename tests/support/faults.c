// SPDX-License-Identifier: LGPL-2.1-or-later
/* A door that fails the nth call of a kind. */
#include "faults.h"
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

struct faults {
	pthread_mutex_t mutex;
	struct gmem_kernel kernel;
	uint32_t nr;
	uint32_t request;
	uint64_t first; /* 0: none fails */
	uint64_t last;
	int error;
	uint64_t counted;
	uint64_t failed;
};

static bool is_of_kind(const struct faults *faults, uint32_t nr, const uint64_t *arg)
{
	if (faults->nr == FAULTS_ANY)
		return true;
	if (faults->nr != nr)
		return false;
	return nr != GMEM_SYS_IOCTL || faults->request == FAULTS_ANY ||
	       faults->request == (uint32_t)arg[1];
}

/* The error to fail with; 0 to let it pass. */
static int judge(struct faults *faults, uint32_t nr, const uint64_t *arg)
{
	int error = 0;

	pthread_mutex_lock(&faults->mutex);
	if (is_of_kind(faults, nr, arg)) {
		faults->counted++;
		if (faults->first && faults->counted >= faults->first &&
		    faults->counted <= faults->last) {
			faults->failed++;
			error = faults->error;
		}
	}
	pthread_mutex_unlock(&faults->mutex);
	return error;
}

static int64_t faults_door(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct faults *faults = opaque;
	int error = judge(faults, nr, arg);

	/* Linux closes a descriptor whatever close() returns. */
	if (error && nr == GMEM_SYS_CLOSE)
		faults->kernel.call(nr, arg, faults->kernel.opaque);
	/* Outside of the mutex: the other side may block. */
	return error ? -error : faults->kernel.call(nr, arg, faults->kernel.opaque);
}

struct faults *faults_new(const struct gmem_kernel *kernel)
{
	struct faults *faults = support_new(sizeof(*faults));

	pthread_mutex_init(&faults->mutex, NULL);
	faults->kernel = *kernel;
	return faults;
}

void faults_free(struct faults *faults)
{
	if (!faults)
		return;
	pthread_mutex_destroy(&faults->mutex);
	free(faults);
}

struct gmem_kernel faults_kernel(struct faults *faults)
{
	return (struct gmem_kernel){ faults_door, faults };
}

static void arm(struct faults *faults, uint32_t nr, uint32_t request, uint64_t first, uint64_t last,
		int error)
{
	pthread_mutex_lock(&faults->mutex);
	faults->nr = nr;
	faults->request = request;
	faults->first = first;
	faults->last = last;
	faults->error = error;
	faults->counted = 0;
	faults->failed = 0;
	pthread_mutex_unlock(&faults->mutex);
}

void faults_fail(struct faults *faults, uint32_t nr, uint32_t request, uint64_t nth, int error)
{
	arm(faults, nr, request, nth, nth, error);
}

void faults_fail_from(struct faults *faults, uint32_t nr, uint32_t request, uint64_t nth, int error)
{
	arm(faults, nr, request, nth, UINT64_MAX, error);
}

void faults_off(struct faults *faults)
{
	pthread_mutex_lock(&faults->mutex);
	faults->first = 0;
	pthread_mutex_unlock(&faults->mutex);
}

uint64_t faults_count(struct faults *faults)
{
	uint64_t count;

	pthread_mutex_lock(&faults->mutex);
	count = faults->counted;
	pthread_mutex_unlock(&faults->mutex);
	return count;
}

uint64_t faults_failed(struct faults *faults)
{
	uint64_t count;

	pthread_mutex_lock(&faults->mutex);
	count = faults->failed;
	pthread_mutex_unlock(&faults->mutex);
	return count;
}
