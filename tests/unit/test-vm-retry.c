// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of a VM configuration's flags, type and retry policy: what is refused, what they are used
 * for, and that the policy's free function runs exactly once, on every path.
 */
#include "stage.h"

#include "vm.h"

#include <errno.h>
#include <gmem/convert.h>
#include <gmem/layout.h>

#define GPA MIB

static int never_asked(const struct gmem_report *so_far, void *opaque)
{
	return GMEM_RETRY_STOP;
}

static void count_free(void *opaque)
{
	++*(unsigned int *)opaque;
}

static int try_flags(struct stage *stage, uint32_t flags)
{
	struct gmem_vm_config *config;
	int rc;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_flags(config, flags);
	stage->vm = (struct gmem_vm *)stage;
	rc = gmem_vm_new(stage->ctx, fake_kvm_vm_fd(stage->fake), config, &stage->vm);
	gmem_vm_config_free(config);
	return rc;
}

static void gmem_vm_new_EINVAL_flags(void **unused)
{
	static const struct {
		uint32_t flags;
		const char *word;
	} cases[] = {
		{ GMEM_VM_GAPS_REFUSE | GMEM_VM_GAPS_SKIP, "flags are 0x3" },
		{ 1u << 2, "flags are 0x4" },
		{ 1u << 31 | GMEM_VM_GAPS_SKIP, "flags are 0x80000002" },
		{ UINT32_MAX, "flags are 0xffffffff" },
	};
	struct leaks_snapshot *before;
	struct stage stage;
	size_t i;

	stage_open(&stage, &fake_kvm_in_place);
	before = leaks_take(stage.leaks);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(try_flags(&stage, cases[i].flags), -EINVAL);
		assert_null(stage.vm);
		expect_one_message(stage.logs, GMEM_LOG_ERROR, "VM descriptor ", cases[i].word,
				   "GMEM_VM_GAPS_REFUSE, GMEM_VM_GAPS_SKIP or 0");
	}
	assert_no_leaks(stage.leaks, before);
	stage_close(&stage);
}

/* What each of the flags has conversions of a hole return. */
static void flags_say_what_happens_to_gaps(void **unused)
{
	static const struct {
		uint32_t flags;
		int to_shared, to_private;
	} cases[] = {
		{ 0, 0, -ENOENT },
		{ GMEM_VM_GAPS_REFUSE, -ENOENT, -ENOENT },
		{ GMEM_VM_GAPS_SKIP, 0, 0 },
	};
	struct stage stage;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		stage_open(&stage, &fake_kvm_in_place);
		assert_int_equal(try_flags(&stage, cases[i].flags), 0);
		assert_int_equal(gmem_vm_convert(stage.vm, GPA, MIB, GMEM_SHARED, 0, NULL),
				 cases[i].to_shared);
		assert_int_equal(gmem_vm_convert(stage.vm, GPA, MIB, GMEM_PRIVATE, 0, NULL),
				 cases[i].to_private);
		stage_close(&stage);
	}
}

/* Whether bytes survive a conversion back, which is what a type is asked for. */
static void types_say_whether_contents_are_kept(void **unused)
{
	static const struct {
		uint32_t type;
		int error;
	} cases[] = {
		{ GMEM_VM_TYPE_DEFAULT, 0 },
		{ GMEM_VM_TYPE_SW_PROTECTED, 0 },
		{ 2, 0 },
		{ GMEM_VM_TYPE_SNP, -EOPNOTSUPP },
		{ GMEM_VM_TYPE_TDX, -EOPNOTSUPP },
		{ GMEM_VM_TYPE_UNKNOWN, -EOPNOTSUPP },
	};
	struct gmem_vm_config *config;
	struct gmem_region *region;
	struct stage stage;
	size_t i;

	for (i = 0; i <= ARRAY_SIZE(cases); i++) {
		bool is_default = i == ARRAY_SIZE(cases);

		stage_open(&stage, &fake_kvm_in_place);
		assert_int_equal(gmem_vm_config_new(&config), 0);
		if (!is_default)
			gmem_vm_config_set_type(config, cases[i].type);
		assert_int_equal(
			gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm), 0);
		/* Later changes are not the VM's. */
		gmem_vm_config_set_type(config, GMEM_VM_TYPE_SNP);
		region = stage_region(&stage, MIB, &(struct wish){ 0 });
		assert_int_equal(gmem_vm_map(stage.vm, GPA, region, 0, MIB, GMEM_SLOT_AUTO, 0), 0);
		assert_int_equal(gmem_vm_convert(stage.vm, GPA, MIB, GMEM_PRIVATE,
						 GMEM_CONVERT_ROLLBACK, NULL),
				 is_default ? -EOPNOTSUPP : cases[i].error);
		if (is_default || cases[i].error)
			expect_one_message(stage.logs, GMEM_LOG_ERROR, "GMEM_CONVERT_ROLLBACK",
					   "gmem_vm_config_set_type()");
		gmem_vm_config_free(config);
		gmem_region_free(region);
		stage_close(&stage);
	}
}

static void the_default_waits_a_second(void **unused)
{
	struct gmem_vm_config *config;
	struct stage stage;

	stage_open_vm(&stage, &fake_kvm_in_place);
	assert_int_equal(stage.vm->config.deadline_ns, 1000000000);
	assert_null(stage.vm->config.retry);
	stage_close(&stage);
	stage_open(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_retry(config, 77, never_asked, NULL, NULL);
	assert_int_equal(gmem_vm_new(stage.ctx, -1, config, &stage.vm), 0);
	gmem_vm_config_set_retry(config, 78, NULL, NULL, NULL);
	gmem_vm_config_free(config);
	assert_int_equal(stage.vm->config.deadline_ns, 77);
	assert_ptr_equal(stage.vm->config.retry, never_asked);
	stage_close(&stage);
}

static void null_is_ignored(void **unused)
{
	unsigned int freed = 0;

	gmem_vm_config_set_flags(NULL, GMEM_VM_GAPS_SKIP);
	gmem_vm_config_set_type(NULL, GMEM_VM_TYPE_SNP);
	gmem_vm_config_set_retry(NULL, 1, never_asked, NULL, NULL);
	gmem_vm_config_set_retry(NULL, 1, never_asked, &freed, count_free);
	assert_int_equal(freed, 1);
}

/* Each step: c frees the configuration, a and b the VMs made with it, r a region of a. */
static void retry_is_freed_once_in_every_order(void **unused)
{
	static const char orders[][5] = { "cabr", "abcr", "acrb", "rbac", "bcra", "rcba", "abrc" };
	size_t i;
	unsigned int step;

	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		struct gmem_vm_config *config;
		struct gmem_region *region;
		unsigned int freed = 0;
		struct stage stage;
		struct gmem_vm *other;

		stage_open(&stage, &fake_kvm_in_place);
		assert_int_equal(gmem_vm_config_new(&config), 0);
		gmem_vm_config_set_retry(config, 1, never_asked, &freed, count_free);
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

static void retry_set_anew_is_freed_with_its_vms(void **unused)
{
	unsigned int first = 0, second = 0;
	struct gmem_vm_config *config;
	struct stage stage;

	stage_open(&stage, &fake_kvm_old);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_retry(config, 1, never_asked, &first, count_free);
	/* Also without a callback, for the sake of the deadline. */
	gmem_vm_config_set_retry(config, 2, NULL, &second, count_free);
	assert_int_equal(first, 1);
	gmem_vm_config_set_retry(config, 1, never_asked, &first, count_free);
	assert_int_equal(second, 1);
	assert_int_equal(gmem_vm_new(stage.ctx, -1, config, &stage.vm), 0);
	gmem_vm_config_set_retry(config, 1, NULL, NULL, NULL);
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

static void retry_is_kept_by_the_config_when_gmem_vm_new_fails(void **unused)
{
	unsigned int freed = 0;
	struct gmem_vm_config *config;
	struct gmem_vm *vm;
	struct stage stage;

	stage_open(&stage, &fake_kvm_old);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_retry(config, 1, never_asked, &freed, count_free);
	gmem_vm_config_set_flags(config, 1u << 9);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &vm), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "VM descriptor ", "flags are 0x200");
	assert_int_equal(freed, 0);
	gmem_vm_config_free(config);
	assert_int_equal(freed, 1);
	stage_close(&stage);
}

static void gmem_vm_new_ENOMEM_in_the_setter(void **unused)
{
	unsigned int first = 0, second = 0;
	struct gmem_vm_config *config;
	struct stage stage;

	stage_open(&stage, &fake_kvm_old);
	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_retry(config, 1, never_asked, &first, count_free);
	allocations_fail(1);
	gmem_vm_config_set_retry(config, 1, never_asked, &second, count_free);
	allocations_off();
	assert_int_equal(first, 1);
	assert_int_equal(second, 1);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm),
			 -ENOMEM);
	assert_null(stage.vm);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "VM descriptor ", "no memory", "retry");
	/* Setting it again is enough. */
	gmem_vm_config_set_retry(config, 1, never_asked, &first, count_free);
	assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), config, &stage.vm), 0);
	gmem_vm_config_free(config);
	gmem_vm_free(stage.vm);
	stage.vm = NULL;
	assert_int_equal(first, 2);
	assert_int_equal(second, 1);
	stage_close(&stage);
}

static void retry_is_freed_with_pause(void **unused)
{
	unsigned int retry = 0, pause = 0;
	struct gmem_vm_config *config;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_retry(config, 1, never_asked, &retry, count_free);
	gmem_vm_config_set_pause(config, NULL, NULL, &pause, count_free);
	gmem_vm_config_free(config);
	assert_int_equal(retry, 1);
	assert_int_equal(pause, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gmem_vm_new_EINVAL_flags),
		cmocka_unit_test(flags_say_what_happens_to_gaps),
		cmocka_unit_test(types_say_whether_contents_are_kept),
		cmocka_unit_test(the_default_waits_a_second),
		cmocka_unit_test(null_is_ignored),
		cmocka_unit_test(retry_is_freed_once_in_every_order),
		cmocka_unit_test(retry_set_anew_is_freed_with_its_vms),
		cmocka_unit_test(retry_is_kept_by_the_config_when_gmem_vm_new_fails),
		cmocka_unit_test(gmem_vm_new_ENOMEM_in_the_setter),
		cmocka_unit_test(retry_is_freed_with_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
