// SPDX-License-Identifier: LGPL-2.1-or-later
/* What unit tests of VMs and regions stand on. */
#include "stage.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PR_SET_VMA_OPTION 0x53564d41

const struct preset presets[PRESETS] = {
	[PRESET_OLD] = { "old", &fake_kvm_old },
	[PRESET_6_8] = { "6.8", &fake_kvm_linux_6_8 },
	[PRESET_6_18] = { "6.18", &fake_kvm_linux_6_18 },
	[PRESET_6_18_SW] = { "6.18 software-protected", &fake_kvm_linux_6_18_sw },
	[PRESET_IN_PLACE] = { "in-place", &fake_kvm_in_place },
	[PRESET_IN_PLACE_DEFAULT] = { "in-place, default type", &fake_kvm_in_place_default },
};

static int64_t note_door(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct stage *stage = opaque;
	struct gmem_kernel faults = faults_kernel(stage->faults);
	uint64_t before;
	int64_t result;

	if (!stage->note_failed)
		return faults.call(nr, arg, faults.opaque);
	before = faults_failed(stage->faults);
	result = faults.call(nr, arg, faults.opaque);
	if (faults_failed(stage->faults) != before) {
		stage->failed.nr = nr;
		memcpy(stage->failed.arg, arg, sizeof(stage->failed.arg));
	}
	return result;
}

void stage_open(struct stage *stage, const struct fake_kvm_config *config)
{
	struct gmem_kernel kernel;

	memset(stage, 0, sizeof(*stage));
	stage->fake = fake_kvm_new(config);
	if (!stage->fake) {
		print_message("the host's page size is above %ju\n", (uintmax_t)config->page_size);
		skip();
	}
	kernel = fake_kvm_kernel(stage->fake);
	stage->leaks = leaks_new(&kernel);
	kernel = leaks_kernel(stage->leaks);
	stage->faults = faults_new(&kernel);
	stage->kernel = (struct gmem_kernel){ note_door, stage };
	stage->logs = logs_new();
	stage->ctx = logs_new_ctx(stage->logs, &stage->kernel);
	gmem_ctx_set_log(stage->ctx, GMEM_LOG_INFO, logs_collect, stage->logs, NULL);
	stage->before = leaks_take(stage->leaks);
}

void stage_open_vm(struct stage *stage, const struct fake_kvm_config *config)
{
	stage_open(stage, config);
	assert_int_equal(gmem_vm_new(stage->ctx, fake_kvm_vm_fd(stage->fake), NULL, &stage->vm), 0);
	expect_no_message(stage->logs);
}

void stage_close(struct stage *stage)
{
	gmem_vm_free(stage->vm);
	gmem_ctx_free(stage->ctx);
	expect_no_message(stage->logs);
	assert_no_leaks(stage->leaks, stage->before);
	logs_free(stage->logs);
	faults_free(stage->faults);
	leaks_free(stage->leaks);
	fake_kvm_free(stage->fake);
}

struct gmem_region_config *wish_config(const struct wish *wish)
{
	struct gmem_region_config *config;

	assert_int_equal(gmem_region_config_new(&config), 0);
	if (wish->name)
		gmem_region_config_set_name(config, wish->name);
	gmem_region_config_set_tag(config, wish->tag);
	gmem_region_config_set_backing(config, wish->backing);
	gmem_region_config_set_needs(config, wish->needs);
	gmem_region_config_set_state(config, wish->state);
	gmem_region_config_set_flags(config, wish->flags);
	if (wish->policy || wish->bits)
		gmem_region_config_set_numa(config, wish->policy, &wish->nodes, wish->bits);
	if (wish->source == WISH_MEMORY)
		gmem_region_config_set_memory(config, wish->memory, wish->page_size);
	else if (wish->source == WISH_FD)
		gmem_region_config_set_fd(config, wish->fd, wish->offset);
	else if (wish->source == WISH_MAPPING)
		gmem_region_config_set_mapping(config, wish->mapping, wish->memory,
					       wish->page_size);
	return config;
}

int stage_try_region(struct stage *stage, uint64_t size, const struct wish *wish,
		     struct gmem_region **region)
{
	struct gmem_region_config *config = wish_config(wish);
	int rc;

	*region = (struct gmem_region *)stage;
	rc = gmem_region_new(stage->vm, size, config, region);
	gmem_region_config_free(config);
	return rc;
}

struct gmem_region *stage_region(struct stage *stage, uint64_t size, const struct wish *wish)
{
	struct gmem_region *region;
	int rc = stage_try_region(stage, size, wish, &region);

	expect_no_message(stage->logs);
	assert_int_equal(rc, 0);
	assert_non_null(region);
	return region;
}

struct gmem_region_info region_info(const struct gmem_region *region)
{
	struct gmem_region_info info;

	memset(&info, 0xa5, sizeof(info));
	assert_int_equal(gmem_region_get_info(region, &info), 0);
	return info;
}

void stage_expect_works(struct stage *stage)
{
	uint64_t size = 4 * fake_kvm_page_size(stage->fake);
	struct leaks_snapshot *before = leaks_take(stage->leaks);
	struct gmem_region *region;

	region = stage_region(stage, size, &(struct wish){ .backing = GMEM_BACKING_PLAIN });
	memset(region_info(region).host, 0x5a, size);
	gmem_region_free(region);
	assert_no_leaks(stage->leaks, before);
}

void stage_expect_refused(struct stage *stage, uint64_t size, const struct wish *wish, int error,
			  const char *const *words)
{
	struct leaks_snapshot *before = leaks_take(stage->leaks);
	struct gmem_region *region;
	int rc = stage_try_region(stage, size, wish, &region);

	logs_expect(stage->logs, GMEM_LOG_ERROR, words, __FILE__, __LINE__);
	assert_int_equal(rc, error);
	assert_null(region);
	assert_no_leaks(stage->leaks, before);
	stage_expect_works(stage);
}

bool stage_tolerates(const struct stage_call *call, int error)
{
	(void)error;
	switch (call->nr) {
	case GMEM_SYS_CLOSE:
	case GMEM_SYS_MUNMAP:
		return true;
	case GMEM_SYS_PRCTL:
		return call->arg[0] == PR_SET_VMA_OPTION;
	case GMEM_SYS_MADVISE:
		/* Both only for the shadow's own memory, which does without. */
		return (int)call->arg[2] == MADV_NOHUGEPAGE || (int)call->arg[2] == MADV_DONTNEED;
	default:
		return false;
	}
}

/* What stays mapped because munmap() failed is given back in its stead. */
static void make_up_for(struct stage *stage)
{
	struct gmem_kernel kernel = leaks_kernel(stage->leaks);

	if (stage->failed.nr == GMEM_SYS_MUNMAP)
		kernel.call(stage->failed.nr, stage->failed.arg, kernel.opaque);
}

static bool is_documented(const struct operation *operation, int rc)
{
	const int *error;

	for (error = operation->errors; *error; error++) {
		if (*error == rc)
			return true;
	}
	return false;
}

static void undo(struct stage *stage, const struct operation *operation)
{
	if (operation->undo)
		operation->undo(stage, operation->opaque);
}

static void run_once_more(struct stage *stage, const struct operation *operation)
{
	assert_int_equal(operation->run(stage, operation->opaque), 0);
	expect_no_message(stage->logs);
	undo(stage, operation);
}

/* What the operation did with the failure it met. */
static void judge(struct stage *stage, const struct operation *operation, int rc, bool tolerated)
{
	if (rc == 0) {
		if (!tolerated)
			fail_msg("succeeds though call %u (%#jx, %#jx) failed", stage->failed.nr,
				 (uintmax_t)stage->failed.arg[0], (uintmax_t)stage->failed.arg[1]);
		expect_no_message(stage->logs);
		undo(stage, operation);
		return;
	}
	if (!is_documented(operation, rc))
		fail_msg("%d after call %u (%#jx, %#jx) failed is not documented", rc,
			 stage->failed.nr, (uintmax_t)stage->failed.arg[0],
			 (uintmax_t)stage->failed.arg[1]);
	expect_one_message(stage->logs, GMEM_LOG_ERROR, " ");
}

/* Whether there was an nth call. */
static bool sweep_call(struct stage *stage, const struct operation *operation, uint64_t nth,
		       int error)
{
	struct leaks_snapshot *before = leaks_take(stage->leaks);
	bool happened;
	int rc;

	faults_fail(stage->faults, FAULTS_ANY, FAULTS_ANY, nth, error);
	rc = operation->run(stage, operation->opaque);
	/* As part of it, so that what undoing does is swept too. */
	if (rc == 0 && !faults_failed(stage->faults)) {
		undo(stage, operation);
		happened = faults_failed(stage->faults);
		faults_off(stage->faults);
		expect_no_message(stage->logs);
	} else {
		faults_off(stage->faults);
		happened = true;
		judge(stage, operation, rc,
		      stage_tolerates(&stage->failed, error) ||
			      (operation->tolerates &&
			       operation->tolerates(&stage->failed, error)));
	}
	if (happened)
		make_up_for(stage);
	assert_no_leaks(stage->leaks, before);
	run_once_more(stage, operation);
	return happened;
}

void stage_sweep_calls(struct stage *stage, const struct operation *operation)
{
	static const int errors[] = {
		EPERM,  ENOENT, EINTR,  EIO,    EBADF,  EAGAIN,    ENOMEM,     EACCES, EFAULT,
		EEXIST, ENODEV, EINVAL, ENFILE, EMFILE, ENOTTY,    EFBIG,      ENOSPC, ENOSYS,
		EBUSY,  ENXIO,  ERANGE, E2BIG,  ESPIPE, EOVERFLOW, EOPNOTSUPP,
	};
	struct leaks_snapshot *before;
	uint64_t nth = 1;
	bool happened;
	size_t i;

	/* What the first run leaves in pools is there from then on. */
	run_once_more(stage, operation);
	before = leaks_take(stage->leaks);
	stage->note_failed = true;
	do {
		happened = false;
		for (i = 0; i < ARRAY_SIZE(errors); i++)
			happened |= sweep_call(stage, operation, nth, errors[i]);
		nth++;
	} while (happened);
	stage->note_failed = false;
	assert_true(nth > 2);
	assert_no_leaks(stage->leaks, before);
}

void stage_sweep_allocations(struct stage *stage, const struct operation *operation)
{
	uint64_t nth, failed;

	for (nth = 1;; nth++) {
		struct leaks_snapshot *before = leaks_take(stage->leaks);
		int rc;

		allocations_fail(nth);
		rc = operation->run(stage, operation->opaque);
		allocations_off();
		failed = allocations_failed();
		if (!failed) {
			leaks_snapshot_free(before);
			assert_int_equal(rc, 0);
			undo(stage, operation);
			break;
		}
		assert_int_equal(rc, -ENOMEM);
		expect_one_message(stage->logs, GMEM_LOG_ERROR, "no memory");
		assert_no_leaks(stage->leaks, before);
		run_once_more(stage, operation);
	}
	assert_true(nth > 1);
	expect_no_message(stage->logs);
}

void capture_begin(struct capture *capture, const char *level)
{
	fflush(stderr);
	capture->saved = dup(STDERR_FILENO);
	capture->file = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(capture->saved >= 0 && capture->file >= 0);
	dup2(capture->file, STDERR_FILENO);
	if (level)
		setenv("GMEM_LOG", level, 1);
	else
		unsetenv("GMEM_LOG");
}

void capture_end(struct capture *capture, char *text, size_t size)
{
	ssize_t length;

	unsetenv("GMEM_LOG");
	dup2(capture->saved, STDERR_FILENO);
	length = pread(capture->file, text, size - 1, 0);
	text[length > 0 ? length : 0] = '\0';
	close(capture->saved);
	close(capture->file);
}

void cases_add(struct cases *cases, const char *name, CMUnitTestFunction function, void *state)
{
	assert_true(cases->count < ARRAY_SIZE(cases->list));
	cases->list[cases->count++] = (struct CMUnitTest){
		.name = name,
		.test_func = function,
		.initial_state = state,
	};
}

int cases_run(struct cases *cases, const char *group)
{
	return _cmocka_run_group_tests(group, cases->list, cases->count, NULL, NULL);
}
