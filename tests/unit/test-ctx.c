// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tests of contexts: their log's free function, their kernel, and how long they live. */
#include "stage.h"

#include <errno.h>
#include <string.h>

static void count_free(void *opaque)
{
	++*(unsigned int *)opaque;
}

static void ignore_message(uint32_t level, const char *text, void *opaque)
{
	(void)level;
	(void)text;
	(void)opaque;
}

static void gmem_ctx_new_EINVAL_null(void **state)
{
	struct capture capture;
	char text[256];
	int rc;

	(void)state;
	capture_begin(&capture, "error");
	rc = gmem_ctx_new(NULL);
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc, -EINVAL);
	assert_string_equal(text,
			    "libgmem: error: gmem_ctx_new: ctx is NULL, it must be an address\n");
}

static void gmem_ctx_new_ENOMEM(void **state)
{
	struct gmem_ctx *ctx = (struct gmem_ctx *)&ctx;
	struct capture capture;
	char text[256];
	int rc;

	(void)state;
	capture_begin(&capture, "error");
	allocations_fail(1);
	rc = gmem_ctx_new(&ctx);
	assert_int_equal(allocations_off(), 1);
	capture_end(&capture, text, sizeof(text));
	assert_int_equal(rc, -ENOMEM);
	assert_null(ctx);
	assert_non_null(strstr(text, "libgmem: error: gmem_ctx_new: no memory"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_int_equal(gmem_ctx_new(&ctx), 0);
	gmem_ctx_free(ctx);
}

static void null_is_ignored(void **state)
{
	struct gmem_kernel kernel;
	unsigned int freed = 0;

	(void)state;
	gmem_kernel_get_host(&kernel);
	gmem_ctx_free(NULL);
	gmem_ctx_set_kernel(NULL, &kernel);
	gmem_ctx_set_kernel(NULL, NULL);
	gmem_ctx_set_log(NULL, GMEM_LOG_DEBUG, NULL, NULL, NULL);
	gmem_ctx_set_log(NULL, GMEM_LOG_DEBUG, ignore_message, &freed, count_free);
	assert_int_equal(freed, 1);
}

static void log_is_freed_with_the_context(void **state)
{
	unsigned int freed = 0;
	struct gmem_ctx *ctx;

	(void)state;
	assert_int_equal(gmem_ctx_new(&ctx), 0);
	gmem_ctx_set_log(ctx, GMEM_LOG_DEBUG, ignore_message, &freed, count_free);
	assert_int_equal(freed, 0);
	gmem_ctx_free(ctx);
	assert_int_equal(freed, 1);
}

static void log_is_freed_when_set_again(void **state)
{
	unsigned int first = 0, second = 0;
	struct gmem_ctx *ctx;

	(void)state;
	assert_int_equal(gmem_ctx_new(&ctx), 0);
	gmem_ctx_set_log(ctx, GMEM_LOG_DEBUG, ignore_message, &first, count_free);
	gmem_ctx_set_log(ctx, GMEM_LOG_DEBUG, ignore_message, &second, count_free);
	assert_int_equal(first, 1);
	assert_int_equal(second, 0);
	/* For silence too: a NULL function has an opaque pointer all the same. */
	gmem_ctx_set_log(ctx, GMEM_LOG_NONE, NULL, &first, count_free);
	assert_int_equal(first, 1);
	assert_int_equal(second, 1);
	gmem_ctx_free(ctx);
	assert_int_equal(first, 2);
	assert_int_equal(second, 1);
}

/* Handles are given back in every order; the log lives until the last. */
static void log_outlives_the_last_object(void **state)
{
	static const char orders[][4] = { "cvr", "crv", "vcr", "vrc", "rcv", "rvc" };
	size_t i;
	unsigned int step;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(orders); i++) {
		struct gmem_region *region;
		unsigned int freed = 0;
		struct stage stage;

		stage_open(&stage, &fake_kvm_in_place);
		gmem_ctx_set_log(stage.ctx, GMEM_LOG_ERROR, ignore_message, &freed, count_free);
		assert_int_equal(
			gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), NULL, &stage.vm), 0);
		region = stage_region(&stage, MIB, &(struct wish){ 0 });
		for (step = 0; step < 3; step++) {
			assert_int_equal(freed, 0);
			switch (orders[i][step]) {
			case 'c':
				gmem_ctx_free(stage.ctx);
				stage.ctx = NULL;
				break;
			case 'v':
				gmem_vm_free(stage.vm);
				stage.vm = NULL;
				break;
			default:
				gmem_region_free(region);
			}
		}
		assert_int_equal(freed, 1);
		stage_close(&stage);
	}
}

static void objects_go_on_with_log_and_kernel_of_a_freed_context(void **state)
{
	struct gmem_region *region;
	struct stage stage;
	size_t calls;

	(void)state;
	stage_open_vm(&stage, &fake_kvm_linux_6_8);
	gmem_ctx_free(stage.ctx);
	stage.ctx = NULL;
	calls = fake_kvm_call_count(stage.fake);
	region = stage_region(&stage, MIB, &(struct wish){ 0 });
	assert_true(fake_kvm_call_count(stage.fake) > calls);
	assert_int_equal(gmem_region_prefault(region, 0, MIB, 0), -EINVAL);
	expect_one_message(stage.logs, GMEM_LOG_ERROR, "region \"region\"", "0 threads");
	gmem_region_free(region);
	stage_close(&stage);
}

static void kernel_is_chosen_for_vms_made_from_then_on(void **state)
{
	struct stage first, second;
	struct gmem_vm *vm;
	size_t calls;

	(void)state;
	stage_open_vm(&first, &fake_kvm_linux_6_8);
	stage_open(&second, &fake_kvm_in_place);
	gmem_ctx_set_kernel(first.ctx, &second.kernel);
	/* The VM that is there keeps its own. */
	calls = fake_kvm_call_count(second.fake);
	stage_expect_works(&first);
	assert_int_equal(fake_kvm_call_count(second.fake), calls);
	calls = fake_kvm_call_count(first.fake);
	assert_int_equal(gmem_vm_new(first.ctx, fake_kvm_vm_fd(second.fake), NULL, &vm), 0);
	assert_int_equal(fake_kvm_call_count(first.fake), calls);
	gmem_vm_free(vm);
	stage_close(&second);
	stage_close(&first);
}

static void kernel_is_copied_and_null_is_the_hosts(void **state)
{
	struct gmem_kernel kernel;
	struct stage stage;
	struct gmem_vm *vm;
	size_t calls;

	(void)state;
	stage_open(&stage, &fake_kvm_old);
	kernel = stage.kernel;
	gmem_ctx_set_kernel(stage.ctx, &kernel);
	memset(&kernel, 0, sizeof(kernel));
	assert_int_equal(gmem_vm_new(stage.ctx, -1, NULL, &vm), 0);
	calls = fake_kvm_call_count(stage.fake);
	assert_true(calls > 0);
	gmem_vm_free(vm);
	calls = fake_kvm_call_count(stage.fake);
	gmem_ctx_set_kernel(stage.ctx, NULL);
	assert_int_equal(gmem_vm_new(stage.ctx, -1, NULL, &vm), 0);
	gmem_vm_free(vm);
	assert_int_equal(fake_kvm_call_count(stage.fake), calls);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gmem_ctx_new_EINVAL_null),
		cmocka_unit_test(gmem_ctx_new_ENOMEM),
		cmocka_unit_test(null_is_ignored),
		cmocka_unit_test(log_is_freed_with_the_context),
		cmocka_unit_test(log_is_freed_when_set_again),
		cmocka_unit_test(log_outlives_the_last_object),
		cmocka_unit_test(objects_go_on_with_log_and_kernel_of_a_freed_context),
		cmocka_unit_test(kernel_is_chosen_for_vms_made_from_then_on),
		cmocka_unit_test(kernel_is_copied_and_null_is_the_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
