// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of making, asking and freeing VMs and their configurations: every error, every call and
 * allocation that fails, and the pause callbacks' free function.
 */
#include "stage.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int do_nothing(void *opaque)
{
	(void)opaque;
	return 0;
}

static void resume_nothing(void *opaque)
{
	(void)opaque;
}

static void count_free(void *opaque)
{
	++*(unsigned int *)opaque;
}

/* What gmem_vm_new() is given that it must refuse. */
struct refusal {
	const char *name;
	int vm_fd; /* 0: the VM's */
	uint32_t tracking;
	uint32_t first_slot;
	uint32_t slot_count;
	gmem_pause_fn pause;
	gmem_resume_fn resume;
	uint32_t fail_nr; /* a call that fails; 0: none */
	uint32_t fail_request;
	int fail_error;
	int error;
	const char *words[5];
};

static const struct refusal refusals[] = {
	{ .name = "gmem_vm_new_EINVAL_descriptor_below_minus_1",
	  .vm_fd = -2,
	  .error = -EINVAL,
	  .words = { "gmem_vm_new", "VM descriptor -2", "-1 or more" } },
	{ .name = "gmem_vm_new_EINVAL_descriptor_INT_MIN",
	  .vm_fd = INT32_MIN,
	  .error = -EINVAL,
	  .words = { "gmem_vm_new", "VM descriptor -2147483648", "-1 or more" } },
	{ .name = "gmem_vm_new_EINVAL_tracking",
	  .tracking = GMEM_TRACKING_FILE + 1,
	  .error = -EINVAL,
	  .words = { "VM descriptor ", "tracking 4", "GMEM_TRACKING_*" } },
	{ .name = "gmem_vm_new_EINVAL_first_slot",
	  .first_slot = 32764,
	  .error = -EINVAL,
	  .words = { "VM descriptor ", "0 memslots", "from number 32764 on", "kernel has 32764" } },
	{ .name = "gmem_vm_new_EINVAL_slot_count",
	  .first_slot = 1,
	  .slot_count = 32764,
	  .error = -EINVAL,
	  .words = { "VM descriptor ", "32764 memslots", "from number 1 on", "kernel has 32764" } },
	{ .name = "gmem_vm_new_EINVAL_slots_overflow",
	  .first_slot = 2,
	  .slot_count = UINT32_MAX,
	  .error = -EINVAL,
	  .words = { "VM descriptor ", "4294967295", "32764" } },
	{ .name = "gmem_vm_new_EINVAL_pause_without_resume",
	  .pause = do_nothing,
	  .error = -EINVAL,
	  .words = { "VM descriptor ", "resume callback is NULL" } },
	{ .name = "gmem_vm_new_EINVAL_resume_without_pause",
	  .resume = resume_nothing,
	  .error = -EINVAL,
	  .words = { "VM descriptor ", "pause callback is NULL" } },
	{ .name = "gmem_vm_new_EOPNOTSUPP_tracking_per_VM",
	  .tracking = GMEM_TRACKING_VM,
	  .error = -EOPNOTSUPP,
	  .words = { "VM descriptor ", "KVM_CAP_MEMORY_ATTRIBUTES is 0", "VM type" } },
	{ .name = "gmem_vm_new_EMFILE_no_descriptor_left",
	  .fail_nr = GMEM_SYS_IOCTL,
	  .fail_request = GMEM_KVM_CREATE_GUEST_MEMFD,
	  .fail_error = EMFILE,
	  .error = -EMFILE,
	  .words = { "VM descriptor ", "one page to probe with", "EMFILE" } },
	{ .name = "gmem_vm_new_EMFILE_no_descriptor_left_on_the_host",
	  .fail_nr = GMEM_SYS_IOCTL,
	  .fail_request = GMEM_KVM_CREATE_GUEST_MEMFD,
	  .fail_error = ENFILE,
	  .error = -EMFILE,
	  .words = { "VM descriptor ", "one page to probe with", "ENFILE" } },
	{ .name = "gmem_vm_new_ENOMEM_probe",
	  .fail_nr = GMEM_SYS_IOCTL,
	  .fail_request = GMEM_KVM_CREATE_GUEST_MEMFD,
	  .fail_error = ENOMEM,
	  .error = -ENOMEM,
	  .words = { "VM descriptor ", "one page to probe with", "ENOMEM" } },
	{ .name = "gmem_vm_new_EIO_probe",
	  .fail_nr = GMEM_SYS_IOCTL,
	  .fail_request = GMEM_KVM_CREATE_GUEST_MEMFD,
	  .fail_error = EINVAL,
	  .error = -EIO,
	  .words = { "VM descriptor ", "one page to probe with", "EINVAL" } },
	{ .name = "gmem_vm_new_EIO_of_another_process",
	  .fail_nr = GMEM_SYS_IOCTL,
	  .fail_request = GMEM_KVM_CHECK_EXTENSION,
	  .fail_error = EIO,
	  .error = -EIO,
	  .words = { "VM descriptor ", "another process" } },
	{ .name = "gmem_vm_new_ENOMEM_mapping",
	  .fail_nr = GMEM_SYS_MMAP,
	  .fail_error = ENOMEM,
	  .error = -ENOMEM,
	  .words = { "VM descriptor ", "mark this process", "ENOMEM" } },
	{ .name = "gmem_vm_new_EIO_no_MADV_WIPEONFORK",
	  .fail_nr = GMEM_SYS_MADVISE,
	  .fail_error = EINVAL,
	  .error = -EIO,
	  .words = { "VM descriptor ", "MADV_WIPEONFORK gives EINVAL", "4.14" } },
};

static struct gmem_vm_config *refusal_config(const struct refusal *refusal)
{
	struct gmem_vm_config *config;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_tracking(config, refusal->tracking);
	gmem_vm_config_set_slots(config, refusal->first_slot, refusal->slot_count);
	gmem_vm_config_set_pause(config, refusal->pause, refusal->resume, NULL, NULL);
	return config;
}

static void gmem_vm_new_refuses(void **state)
{
	const struct refusal *refusal = *state;
	struct gmem_vm_config *config = refusal_config(refusal);
	struct leaks_snapshot *before;
	struct stage stage;
	struct gmem_vm *vm;
	int vm_fd;

	stage_open_vm(&stage, &fake_kvm_in_place);
	vm = stage.vm;
	vm_fd = refusal->vm_fd ? refusal->vm_fd : fake_kvm_vm_fd(stage.fake);
	before = leaks_take(stage.leaks);
	if (refusal->fail_nr)
		faults_fail(stage.faults, refusal->fail_nr, refusal->fail_request, 1,
			    refusal->fail_error);
	assert_int_equal(gmem_vm_new(stage.ctx, vm_fd, config, &vm), refusal->error);
	faults_off(stage.faults);
	logs_expect(stage.logs, GMEM_LOG_ERROR, refusal->words, __FILE__, __LINE__);
	assert_null(vm);
	assert_no_leaks(stage.leaks, before);
	stage_expect_works(&stage);
	gmem_vm_config_free(config);
	stage_close(&stage);
}

static void gmem_vm_new_EINVAL_null(void **state)
{
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), NULL, NULL), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "gmem_vm_new", "vm is NULL",
			   "must be an address");
	stage_close(&stage);
}

static void gmem_vm_new_EINVAL_kernel_without_function(void **state)
{
	const struct gmem_kernel nothing = { NULL, NULL };
	struct gmem_vm *vm;
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	vm = (struct gmem_vm *)&stage;
	gmem_ctx_set_kernel(stage.ctx, &nothing);
	assert_int_equal(gmem_vm_new(stage.ctx, -1, NULL, &vm), -EINVAL);
	assert_null(vm);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "kernel", "function");
	stage_close(&stage);
}

static void gmem_vm_new_EOPNOTSUPP_tracking_without_kvm(void **state)
{
	struct gmem_vm_config *config;
	struct gmem_vm *vm;
	struct stage stage;
	uint32_t tracking;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	for (tracking = GMEM_TRACKING_VM; tracking <= GMEM_TRACKING_FILE; tracking++) {
		gmem_vm_config_set_tracking(config, tracking);
		vm = (struct gmem_vm *)&stage;
		assert_int_equal(gmem_vm_new(stage.ctx, -1, config, &vm), -EOPNOTSUPP);
		assert_null(vm);
		expect_one_message(stage.logs, GMEM_LOG_ERROR, "no VM descriptor",
				   tracking == GMEM_TRACKING_VM ? "per VM" : "per guest_memfd",
				   "takes one of a VM with private memory");
	}
	gmem_vm_config_free(config);
	stage_close(&stage);
}

static void gmem_vm_new_works_without_context(void **state)
{
	struct gmem_vm_info info;
	struct gmem_vm *vm;

	(void)state;
	assert_int_equal(gmem_vm_new(NULL, -1, NULL, &vm), 0);
	assert_int_equal(gmem_vm_get_info(vm, &info), 0);
	assert_int_equal(info.page_size, sysconf(_SC_PAGESIZE));
	gmem_vm_free(vm);
}

static void gmem_vm_new_ENOMEM_without_context(void **state)
{
	struct gmem_vm *vm = (struct gmem_vm *)&vm;
	struct capture capture;
	char text[256];
	uint64_t nth;
	int rc;

	(void)state;
	for (nth = 1; nth <= 2; nth++) {
		capture_begin(&capture, "error");
		allocations_fail(nth);
		rc = gmem_vm_new(NULL, -1, NULL, &vm);
		allocations_off();
		capture_end(&capture, text, sizeof(text));
		assert_int_equal(rc, -ENOMEM);
		assert_null(vm);
		assert_non_null(strstr(text, "VM descriptor -1: no memory"));
	}
}

static void slots_at_the_limit_are_fine(void **state)
{
	static const uint32_t limits[][2] = { { 0, 32764 }, { 32763, 1 }, { 32763, 0 }, { 7, 3 } };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		struct gmem_vm_config *config;
		struct stage stage;

		stage_open(&stage, &fake_kvm_in_place);
		assert_int_equal(gmem_vm_config_new(&config), 0);
		gmem_vm_config_set_slots(config, limits[i][0], limits[i][1]);
		assert_int_equal(
			gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm), 0);
		gmem_vm_config_free(config);
		stage_close(&stage);
	}
}

static void success_is_told_at_level_debug(void **state)
{
	char name[64];
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	gmem_ctx_set_log(stage.ctx, GMEM_LOG_DEBUG, logs_collect, stage.logs, NULL);
	snprintf(name, sizeof(name), "VM descriptor %d:", fake_kvm_vm_fd(stage.fake));
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), NULL, &stage.vm), 0);
	expect_one_message(stage.logs, GMEM_LOG_DEBUG, name, "per guest_memfd", "32764 memslots");
	stage_close(&stage);
}

static void gmem_vm_get_info_EINVAL_null_vm(void **state)
{
	struct gmem_vm_info info;
	struct capture capture;
	char text[256];
	int rc;

	(void)state;
	capture_begin(&capture, "error");
	rc = gmem_vm_get_info(NULL, &info);
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(text,
			    "libgmem: error: gmem_vm_get_info: vm is NULL, it must be a VM\n");
}

static void gmem_vm_get_info_EINVAL_null_info(void **state)
{
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_old);
	assert_int_equal(gmem_vm_get_info(stage.vm, NULL), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "gmem_vm_get_info", "info is NULL",
			   "must be an address");
	stage_close(&stage);
}

static void gmem_vm_get_info_makes_no_call(void **state)
{
	struct gmem_vm_info info;
	struct stage stage;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	fake_kvm_reset_calls(stage.fake);
	assert_int_equal(gmem_vm_get_info(stage.vm, &info), 0);
	assert_int_equal(fake_kvm_call_count(stage.fake), 0);
	stage_close(&stage);
}

static void gmem_vm_config_new_EINVAL_null(void **state)
{
	struct capture capture;
	char text[256];
	int rc;

	(void)state;
	capture_begin(&capture, "error");
	rc = gmem_vm_config_new(NULL);
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(text, "libgmem: error: gmem_vm_config_new: config is NULL, it must be "
				  "an address\n");
}

static void gmem_vm_config_new_ENOMEM(void **state)
{
	struct gmem_vm_config *config = (struct gmem_vm_config *)&config;
	struct capture capture;
	char text[256];
	int rc;

	(void)state;
	capture_begin(&capture, "error");
	allocations_fail(1);
	rc = gmem_vm_config_new(&config);
	allocations_off();
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc, -ENOMEM);
	assert_null(config);
	assert_non_null(strstr(text, "gmem_vm_config_new: no memory"));
}

static void null_is_ignored(void **state)
{
	unsigned int freed = 0;

	(void)state;
	gmem_vm_free(NULL);
	gmem_vm_config_free(NULL);
	gmem_vm_config_set_tracking(NULL, GMEM_TRACKING_VM);
	gmem_vm_config_set_slots(NULL, 1, 2);
	gmem_vm_config_set_pause(NULL, do_nothing, resume_nothing, NULL, NULL);
	gmem_vm_config_set_pause(NULL, do_nothing, resume_nothing, &freed, count_free);
	assert_int_equal(freed, 1);
}

static void config_is_copied(void **state)
{
	struct gmem_vm_config *config;
	struct gmem_vm_info info;
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_tracking(config, GMEM_TRACKING_NONE);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm), 0);
	gmem_vm_config_set_tracking(config, GMEM_TRACKING_VM);
	gmem_vm_config_free(config);
	assert_int_equal(gmem_vm_get_info(stage.vm, &info), 0);
	assert_int_equal(info.tracking, GMEM_TRACKING_NONE);
	stage_expect_works(&stage);
	stage_close(&stage);
}

/* The VM's descriptor may be closed, its number reused: freeing makes no call on it. */
static void freeing_makes_no_call_on_the_descriptor(void **state)
{
	struct fake_call call;
	struct stage stage;
	int vm_fd;
	size_t i;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_in_place);
	vm_fd = fake_kvm_vm_fd(stage.fake);
	fake_kvm_reset_calls(stage.fake);
	gmem_vm_free(stage.vm);
	stage.vm = NULL;
	assert_true(fake_kvm_call_count(stage.fake) > 0);
	for (i = 0; fake_kvm_get_call(stage.fake, i, &call); i++) {
		if (call.nr != GMEM_SYS_MUNMAP && call.nr != GMEM_SYS_MADVISE)
			assert_int_not_equal(call.arg[0], vm_fd);
		assert_int_not_equal(call.nr, GMEM_SYS_IOCTL);
	}
	stage_close(&stage);
}

/* Each step: c frees the configuration, a and b the VMs made with it, r a region of a. */
static void pause_is_freed_once_in_every_order(void **state)
{
	static const char orders[][5] = { "cabr", "abcr", "acrb", "rbac", "bcra", "rcba", "abrc" };
	size_t i;
	unsigned int step;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		struct gmem_vm_config *config;
		struct gmem_region *region;
		unsigned int freed = 0;
		struct stage stage;
		struct gmem_vm *other;

		stage_open(&stage, &fake_kvm_in_place);
		assert_int_equal(gmem_vm_config_new(&config), 0);
		gmem_vm_config_set_pause(config, do_nothing, resume_nothing, &freed, count_free);
		assert_int_equal(
			gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm), 0);
		assert_int_equal(gmem_vm_new(stage.ctx, -1, config, &other), 0);
		region = stage_region(&stage, MIB, &(struct wish){ 0 });
		for (step = 0; step < 4; step++) {
			assert_int_equal(freed, 0);
			switch (orders[i][step]) {
			case 'c':
				gmem_vm_config_free(config);
				break;
			case 'a':
				gmem_vm_free(stage.vm);
				stage.vm = NULL;
				break;
			case 'b':
				gmem_vm_free(other);
				break;
			default:
				gmem_region_free(region);
			}
		}
		assert_int_equal(freed, 1);
		stage_close(&stage);
	}
}

static void pause_set_anew_is_freed_with_its_vms(void **state)
{
	unsigned int first = 0, second = 0;
	struct gmem_vm_config *config;
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_old);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_pause(config, do_nothing, resume_nothing, &first, count_free);
	gmem_vm_config_set_pause(config, NULL, NULL, &second, count_free);
	assert_int_equal(first, 1);
	gmem_vm_config_set_pause(config, do_nothing, resume_nothing, &first, count_free);
	assert_int_equal(second, 1);
	assert_int_equal(gmem_vm_new(stage.ctx, -1, config, &stage.vm), 0);
	gmem_vm_config_set_pause(config, NULL, NULL, NULL, NULL);
	/* The VM made with it still has it. */
	assert_int_equal(first, 1);
	gmem_vm_free(stage.vm);
	stage.vm = NULL;
	assert_int_equal(first, 2);
	gmem_vm_config_free(config);
	assert_int_equal(first, 2);
	assert_int_equal(second, 1);
	stage_close(&stage);
}

static void pause_is_kept_by_the_config_when_gmem_vm_new_fails(void **state)
{
	unsigned int freed = 0;
	struct gmem_vm_config *config;
	struct gmem_vm *vm;
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_old);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_pause(config, do_nothing, resume_nothing, &freed, count_free);
	gmem_vm_config_set_tracking(config, GMEM_TRACKING_VM);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &vm),
			 -EOPNOTSUPP);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "VM descriptor ", "CONFIG_KVM_GUEST_MEMFD");
	assert_int_equal(freed, 0);
	gmem_vm_config_free(config);
	assert_int_equal(freed, 1);
	stage_close(&stage);
}

static void gmem_vm_new_ENOMEM_in_the_setter(void **state)
{
	unsigned int first = 0, second = 0;
	struct gmem_vm_config *config;
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_old);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_pause(config, do_nothing, resume_nothing, &first, count_free);
	allocations_fail(1);
	gmem_vm_config_set_pause(config, do_nothing, resume_nothing, &second, count_free);
	allocations_off();
	assert_int_equal(first, 1);
	assert_int_equal(second, 1);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm),
			 -ENOMEM);
	assert_null(stage.vm);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "VM descriptor ", "no memory", "pause");
	/* Setting it again is enough. */
	gmem_vm_config_set_pause(config, do_nothing, resume_nothing, &first, count_free);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm), 0);
	gmem_vm_config_free(config);
	gmem_vm_free(stage.vm);
	stage.vm = NULL;
	assert_int_equal(first, 2);
	assert_int_equal(second, 1);
	stage_close(&stage);
}

static int make_vm(struct stage *stage, void *opaque)
{
	const int *vm_fd = opaque;
	int rc;

	stage->vm = (struct gmem_vm *)stage;
	rc = gmem_vm_new(stage->ctx, *vm_fd, NULL, &stage->vm);
	if (rc)
		assert_null(stage->vm);
	else
		assert_non_null(stage->vm);
	return rc;
}

static void drop_vm(struct stage *stage, void *opaque)
{
	(void)opaque;
	gmem_vm_free(stage->vm);
	stage->vm = NULL;
}

/*
 * A capability whose question fails counts as absent. Only /dev/kvm has an API version, and only
 * some kernels the SEV attributes. ENOTTY and EINVAL are answers of the in-place probe.
 */
static bool vm_tolerates(const struct stage_call *call, int error)
{
	/* Close-on-exec of the probe's file, which is closed at once. */
	if (call->nr == GMEM_SYS_FCNTL)
		return true;
	if (call->nr != GMEM_SYS_IOCTL)
		return false;
	switch ((uint32_t)call->arg[1]) {
	case GMEM_KVM_CHECK_EXTENSION:
		return call->arg[2] != GMEM_KVM_CAP_USER_MEMORY;
	case GMEM_KVM_GET_API_VERSION:
	case GMEM_KVM_HAS_DEVICE_ATTR:
	case GMEM_KVM_GET_DEVICE_ATTR:
		return true;
	case GMEM_KVM_SET_MEMORY_ATTRIBUTES2:
		return error == ENOTTY || error == EINVAL;
	default:
		return false;
	}
}

static const int vm_errors[] = { -EINVAL, -EBADF, -ENOMEM, -EMFILE, -EOPNOTSUPP, -EIO, 0 };

static void sweep_vm(const struct fake_kvm_config *config, bool with_kvm)
{
	struct operation operation = {
		.run = make_vm,
		.undo = drop_vm,
		.errors = vm_errors,
		.tolerates = vm_tolerates,
	};
	struct stage stage;
	int vm_fd;

	stage_open(&stage, config);
	vm_fd = with_kvm ? fake_kvm_vm_fd(stage.fake) : -1;
	operation.opaque = &vm_fd;
	stage_sweep_calls(&stage, &operation);
	stage_sweep_allocations(&stage, &operation);
	stage_close(&stage);
}

static void gmem_vm_new_survives_every_failure(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < PRESETS; i++)
		sweep_vm(presets[i].config, true);
	sweep_vm(&fake_kvm_in_place, false);
}

static void gmem_vm_new_survives_every_failure_with_snp(void **state)
{
	struct fake_kvm_config config = fake_kvm_in_place;

	(void)state;
	config.snp_features = 1;
	config.snp_policy = 1;
	config.cap.vm_types |= 1 << GMEM_KVM_VM_TYPE_SNP;
	config.device_attributes = FAKE_ATTRIBUTES_VM;
	sweep_vm(&config, true);
}

int main(void)
{
	static struct cases cases;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++)
		cases_add(&cases, refusals[i].name, gmem_vm_new_refuses, (void *)&refusals[i]);
#define ADD(function) cases_add(&cases, #function, function, NULL)
	ADD(gmem_vm_new_EINVAL_null);
	ADD(gmem_vm_new_EINVAL_kernel_without_function);
	ADD(gmem_vm_new_EOPNOTSUPP_tracking_without_kvm);
	ADD(gmem_vm_new_works_without_context);
	ADD(gmem_vm_new_ENOMEM_without_context);
	ADD(slots_at_the_limit_are_fine);
	ADD(success_is_told_at_level_debug);
	ADD(gmem_vm_get_info_EINVAL_null_vm);
	ADD(gmem_vm_get_info_EINVAL_null_info);
	ADD(gmem_vm_get_info_makes_no_call);
	ADD(gmem_vm_config_new_EINVAL_null);
	ADD(gmem_vm_config_new_ENOMEM);
	ADD(null_is_ignored);
	ADD(config_is_copied);
	ADD(freeing_makes_no_call_on_the_descriptor);
	ADD(pause_is_freed_once_in_every_order);
	ADD(pause_set_anew_is_freed_with_its_vms);
	ADD(pause_is_kept_by_the_config_when_gmem_vm_new_fails);
	ADD(gmem_vm_new_ENOMEM_in_the_setter);
	ADD(gmem_vm_new_survives_every_failure);
	ADD(gmem_vm_new_survives_every_failure_with_snp);
	return cases_run(&cases, "vm");
}
