// SPDX-License-Identifier: LGPL-2.1-or-later
/* Exits that come again: requests put off and resumed, faults that lead nowhere, vCPUs that race. */
#include "exits-kit.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

static int as_told(const struct gmem_report *so_far, void *opaque)
{
	(void)so_far;
	return *(int *)opaque;
}

static struct gmem_vm_config *config_that_answers(const struct mode *mode, int *answer)
{
	struct gmem_vm_config *config = stand_config(mode);

	gmem_vm_config_set_retry(config, UINT64_MAX, as_told, answer, NULL);
	return config;
}

static void later_is_repeated_and_goes_on(void **state)
{
	const struct mode *mode = *state;
	int answer = GMEM_RETRY_LATER, i;
	struct gmem_report report;
	struct gmem_pin pin;
	struct stand stand;

	stand_open_with_ram(&stand, mode, config_that_answers(mode, &answer));
	assert_int_equal(gmem_vm_pin(stand.rig.vm, (RAM_PAGE + 5) * stand.rig.page, 1, 0, &pin), 0);
	guest_asks(&stand, 0, RAM_PAGE, 16, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_REPEAT);
	assert_int_equal(report.error, -EAGAIN);
	assert_int_equal(report.gpa, (RAM_PAGE + 5) * stand.rig.page);
	assert_int_equal(report.size, stand.rig.page);
	assert_int_equal(report.converted, 15 * stand.rig.page);
	/* Whoever forgets to repeat does not tell the guest that all is well. */
	assert_int_equal(stand.run[0]->hypercall.ret, EAGAIN);
	for (i = 0; i < 3; i++) {
		assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_REPEAT);
		/* All of the request anew, of which what is done already changes nothing. */
		assert_int_equal(report.ioctls, 2);
		assert_int_equal(report.converted, 0);
	}
	assert_int_equal(stats_of(&stand).exits, 0);
	assert_int_equal(stats_of(&stand).exits_refused, 0);
	expect_no_message(stand.rig.logs);
	rig_compare(&stand.rig);
	gmem_vm_unpin(stand.rig.vm, &pin);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, 0);
	assert_int_equal(report.converted, stand.rig.page);
	assert_int_equal(guest_is_told(&stand, 0), 0);
	assert_int_equal(state_of(&stand, RAM_PAGE, 16), GMEM_PRIVATE);
	assert_int_equal(stats_of(&stand).exits, 1);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

static void a_fault_is_repeated_too(void **state)
{
	const struct mode *mode = *state;
	int answer = GMEM_RETRY_LATER, i;
	struct gmem_report report;
	struct gmem_pin pin;
	struct stand stand;

	stand_open_with_ram(&stand, mode, config_that_answers(mode, &answer));
	assert_int_equal(gmem_vm_pin(stand.rig.vm, RAM_PAGE * stand.rig.page, 1, 0, &pin), 0);
	guest_faults(&stand, 0, RAM_PAGE, GMEM_PRIVATE);
	for (i = 0; i < 3 + (int)GMEM_EXIT_FAULTS_MAX; i++)
		assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_REPEAT);
	assert_int_equal(stats_of(&stand).exits, 0);
	gmem_vm_unpin(stand.rig.vm, &pin);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(stats_of(&stand).exits, 1);
	assert_int_equal(guest_touches(&stand, 0, RAM_PAGE, GMEM_PRIVATE), 0);
	expect_no_message(stand.rig.logs);
	stand_close(&stand);
}

static void a_page_the_kernel_sees_in_use(void **state)
{
	const struct mode *mode = *state;
	int answer = GMEM_RETRY_LATER;
	struct gmem_report report;
	struct stand stand;
	int guest_memfd;

	stand_open_with_ram(&stand, mode, config_that_answers(mode, &answer));
	guest_memfd = guest_memfd_of(&stand);
	assert_int_equal(
		gmem_sim_pin(stand.rig.sim, guest_memfd, 7 * stand.rig.page, stand.rig.page, 0), 0);
	guest_asks(&stand, 0, RAM_PAGE, RAM_PAGES, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_REPEAT);
	assert_int_equal(report.converted, (RAM_PAGES - 1) * stand.rig.page);
	assert_int_equal(report.kernel_error, -EAGAIN);
	/* A page it does not need is not in its way. */
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_REPEAT);
	assert_int_equal(report.gpa, (RAM_PAGE + 7) * stand.rig.page);
	answer = GMEM_RETRY_STOP;
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(stand.run[0]->hypercall.ret, EAGAIN);
	assert_int_equal(
		gmem_sim_unpin(stand.rig.sim, guest_memfd, 7 * stand.rig.page, stand.rig.page), 0);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

/* A vCPU is kicked while KVM converts. */
static void a_signal_and_later(void **state)
{
	const struct mode *mode = *state;
	int answer = GMEM_RETRY_LATER;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, config_that_answers(mode, &answer));
	fail_attributes(&stand, 1, -EINTR);
	guest_asks(&stand, 0, RAM_PAGE, 4, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_REPEAT);
	assert_int_equal(report.kernel_error, -EINTR);
	assert_int_equal(state_of(&stand, RAM_PAGE, 4), GMEM_SHARED);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(guest_is_told(&stand, 0), 0);
	assert_int_equal(state_of(&stand, RAM_PAGE, 4), GMEM_PRIVATE);
	answer = GMEM_RETRY_AGAIN;
	fail_attributes(&stand, 1, -EINTR);
	guest_faults(&stand, 0, RAM_PAGE + 5, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.retries, 1);
	answer = GMEM_RETRY_STOP;
	fail_attributes(&stand, 1, -EINTR);
	guest_asks(&stand, 0, RAM_PAGE + 8, 4, TO_PRIVATE);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(stand.run[0]->hypercall.ret, EAGAIN);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

/* Refused by somebody else while the policy has said later: the guest is not made to wait. */
static int refuse_add(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct stand *stand = opaque;

	(void)run;
	if (event != GMEM_EVENT_ADD)
		return 0;
	fail_attributes(stand, 1, -EINTR);
	return -EBUSY;
}

static void later_is_not_said_of_a_refusal(void **state)
{
	const struct mode *mode = *state;
	int answer = GMEM_RETRY_LATER;
	struct gmem_listener *listener;
	struct gmem_report report;
	struct stand stand;

	stand_open_with_ram(&stand, mode, config_that_answers(mode, &answer));
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 4, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(gmem_listener_new(stand.rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   refuse_add, &stand, NULL, &listener),
			 0);
	guest_asks(&stand, 0, RAM_PAGE, 4, TO_SHARED);
	assert_int_equal(handle_call(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(report.error, -ECANCELED);
	assert_int_equal(stand.run[0]->hypercall.ret, EINVAL);
	gmem_sim_clear_failures(stand.rig.sim);
	gmem_listener_free(listener);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

struct busy {
	struct stand *stand;
	pthread_barrier_t barrier;
};

static int stay_inside(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct busy *busy = opaque;

	(void)run;
	if (event == GMEM_EVENT_REMOVE) {
		pthread_barrier_wait(&busy->barrier);
		pthread_barrier_wait(&busy->barrier);
	}
	return 0;
}

static void *convert_all(void *opaque)
{
	struct busy *busy = opaque;
	int rc = rig_convert(&busy->stand->rig, RAM_PAGE, RAM_PAGES, GMEM_PRIVATE, 0, NULL);

	return (void *)(intptr_t)rc;
}

/* A vCPU that waits for another operation can be called away as well. */
static void later_while_others_are_at_work(void **state)
{
	const struct mode *mode = *state;
	int answer = GMEM_RETRY_LATER;
	struct gmem_listener *listener;
	struct gmem_report report;
	struct stand stand;
	struct busy busy = { .stand = &stand };
	pthread_t thread;
	void *result;

	stand_open_with_ram(&stand, mode, config_that_answers(mode, &answer));
	pthread_barrier_init(&busy.barrier, NULL, 2);
	assert_int_equal(gmem_listener_new(stand.rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   stay_inside, &busy, NULL, &listener),
			 0);
	guest_faults(&stand, 0, RAM_PAGE + 1, GMEM_PRIVATE);
	guest_asks(&stand, 1, RAM_PAGE + 2, 1, TO_PRIVATE);
	assert_int_equal(pthread_create(&thread, NULL, convert_all, &busy), 0);
	pthread_barrier_wait(&busy.barrier);
	stand.interrupts = true;
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_REPEAT);
	assert_int_equal(report.stage, GMEM_STAGE_PREPARE);
	assert_int_equal(handle_call(&stand, 1, &report), GMEM_EXIT_REPEAT);
	stand.interrupts = false;
	pthread_barrier_wait(&busy.barrier);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	assert_int_equal(handle_call(&stand, 1, &report), GMEM_EXIT_RESUME);
	assert_int_equal(guest_is_told(&stand, 1), 0);
	assert_int_equal(stats_of(&stand).exits, 2);
	gmem_listener_free(listener);
	pthread_barrier_destroy(&busy.barrier);
	rig_compare(&stand.rig);
	stand_close(&stand);
}

/* With the vCPU that does not get anywhere. */
static void expect_useless_fault(struct stand *stand, unsigned int vcpu, uint64_t gpa_page,
				 uint32_t state, int result)
{
	struct gmem_report report;

	make_fault(stand, vcpu, state == GMEM_PRIVATE ? GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE : 0,
		   gpa_page * stand->rig.page, stand->rig.page);
	assert_int_equal(handle_fault(stand, vcpu, &report), result);
	assert_int_equal(report.error, result == -EIO ? -EIO : 0);
	assert_int_equal(report.converted, 0);
}

static void expect_useless_faults(struct stand *stand, unsigned int vcpu, uint64_t gpa_page,
				  uint32_t state, unsigned int times)
{
	while (times--)
		expect_useless_fault(stand, vcpu, gpa_page, state, GMEM_EXIT_RESUME);
}

static void a_fault_that_comes_again_ends(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 2, GMEM_PRIVATE, 0, NULL), 0);
	stand.attribute_calls = 0;
	expect_useless_faults(&stand, 0, RAM_PAGE, GMEM_PRIVATE, GMEM_EXIT_FAULTS_MAX);
	expect_no_message(stand.rig.logs);
	expect_useless_fault(&stand, 0, RAM_PAGE, GMEM_PRIVATE, -EIO);
	expect_one_message(stand.rig.logs, GMEM_LOG_DEBUG, "memslot", "EIO");
	expect_useless_fault(&stand, 0, RAM_PAGE, GMEM_PRIVATE, -EIO);
	assert_int_equal(stats_of(&stand).exits, GMEM_EXIT_FAULTS_MAX + 2);
	assert_int_equal(stats_of(&stand).exits_refused, 2);
	/* Without a call: it would be the same again. */
	assert_int_equal(stand.attribute_calls, 0);
	/* Each vCPU has its own count. */
	expect_useless_faults(&stand, 1, RAM_PAGE, GMEM_PRIVATE, GMEM_EXIT_FAULTS_MAX);
	expect_useless_fault(&stand, 1, RAM_PAGE, GMEM_PRIVATE, -EIO);
	/* Another page begins anew. */
	expect_useless_faults(&stand, 0, RAM_PAGE + 1, GMEM_PRIVATE, GMEM_EXIT_FAULTS_MAX);
	expect_useless_faults(&stand, 0, RAM_PAGE, GMEM_PRIVATE, 1);
	expect_useless_faults(&stand, 0, RAM_PAGE + 1, GMEM_PRIVATE, GMEM_EXIT_FAULTS_MAX);
	stand_close(&stand);
}

/* More than VMs can have vCPUs, and where the first of them share a place. */
#define ADDRESSES ((size_t)4099)
#define MANY (ADDRESSES + 200)
#define STRIDE ((size_t)4096)

static int fault_by(struct stand *stand, uint8_t *run)
{
	memcpy(run, stand->run[0], sizeof(*stand->run[0]));
	return gmem_vm_handle_exit(stand->rig.vm, -1, run, EFAULT, NULL);
}

static void vcpus_do_not_share_a_count(void **state)
{
	const struct mode *mode = *state;
	const size_t size = (2 * ADDRESSES + 1) * STRIDE;
	struct stand stand;
	unsigned int i, k;
	uint8_t *runs;

	stand_open_with_ram(&stand, mode, NULL);
	runs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	assert_true(runs != MAP_FAILED);
	make_fault(&stand, 0, 0, RAM_PAGE * stand.rig.page, stand.rig.page);
	for (i = 0; i < GMEM_EXIT_FAULTS_MAX; i++)
		for (k = 0; k < 3; k++)
			assert_int_equal(fault_by(&stand, runs + k * ADDRESSES * STRIDE),
					 GMEM_EXIT_RESUME);
	for (k = 0; k < 3; k++)
		assert_int_equal(fault_by(&stand, runs + k * ADDRESSES * STRIDE), -EIO);
	munmap(runs, size);
	stand_close(&stand);
}

/* Where there is no room left it ends all the same, if sooner. */
static void more_vcpus_than_there_can_be(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;
	uint8_t *runs;

	stand_open_with_ram(&stand, mode, NULL);
	runs = mmap(NULL, MANY * STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	assert_true(runs != MAP_FAILED);
	make_fault(&stand, 0, 0, RAM_PAGE * stand.rig.page, stand.rig.page);
	for (i = 0; i < MANY; i++)
		assert_int_equal(fault_by(&stand, runs + i * STRIDE), GMEM_EXIT_RESUME);
	for (i = 1; i <= GMEM_EXIT_FAULTS_MAX && fault_by(&stand, runs + (MANY - 1) * STRIDE) >= 0;)
		i++;
	assert_true(i <= GMEM_EXIT_FAULTS_MAX);
	munmap(runs, MANY * STRIDE);
	stand_close(&stand);
}

/* However often a vCPU finds that another was faster: something happens. */
static void a_race_that_is_always_lost(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	for (i = 0; i < 3 * GMEM_EXIT_FAULTS_MAX; i++) {
		assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL), 0);
		expect_useless_fault(&stand, 0, RAM_PAGE, GMEM_PRIVATE, GMEM_EXIT_RESUME);
		assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_SHARED, 0, NULL), 0);
	}
	for (i = 0; i < 3 * GMEM_EXIT_FAULTS_MAX; i++) {
		assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL), 0);
		assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_SHARED, 0, NULL), 0);
		expect_useless_fault(&stand, 0, RAM_PAGE, GMEM_SHARED, GMEM_EXIT_RESUME);
	}
	assert_int_equal(stats_of(&stand).exits_refused, 0);
	stand_close(&stand);
}

/* To shared a hole is passed over, so there is nothing to refuse, and nothing that would help. */
static void a_fault_on_a_hole_ends(void **state)
{
	const struct mode *mode = *state;
	struct stand stand;

	stand_open_with_ram(&stand, mode, NULL);
	expect_useless_faults(&stand, 0, RAM_PAGE - 1, GMEM_SHARED, GMEM_EXIT_FAULTS_MAX);
	expect_useless_fault(&stand, 0, RAM_PAGE - 1, GMEM_SHARED, -EIO);
	stand_close(&stand);
}

static void a_fault_on_a_hole_that_is_skipped_ends(void **state)
{
	const struct mode *mode = *state;
	struct gmem_vm_config *config = stand_config(mode);
	struct gmem_report report;
	struct stand stand;
	unsigned int i;

	gmem_vm_config_set_flags(config, GMEM_VM_GAPS_SKIP);
	stand_open_with_ram(&stand, mode, config);
	for (i = 0; i < GMEM_EXIT_FAULTS_MAX; i++) {
		guest_faults(&stand, 0, RAM_PAGE - 1, GMEM_PRIVATE);
		assert_int_equal(handle_fault(&stand, 0, &report), GMEM_EXIT_RESUME);
	}
	guest_faults(&stand, 0, RAM_PAGE - 1, GMEM_PRIVATE);
	assert_int_equal(handle_fault(&stand, 0, &report), -EIO);
	stand_close(&stand);
}

/* No memslot, but a section: the guest faults although its page is private. */
static void a_page_without_a_memslot_ends(void **state)
{
	const struct mode *mode = *state;
	struct gmem_report report;
	struct stand stand;
	unsigned int i;
	int rc = GMEM_EXIT_RESUME;

	stand_open(&stand, mode, NULL);
	assert_int_equal(gmem_vm_map(stand.rig.vm, 0, rig_region(&stand.rig, 4), 0,
				     4 * stand.rig.page, GMEM_SLOT_NONE, 0),
			 0);
	assert_int_equal(rig_convert(&stand.rig, 0, 4, GMEM_PRIVATE, 0, NULL), 0);
	for (i = 0; i < 100 && rc == GMEM_EXIT_RESUME; i++) {
		if (mode_has_faults(mode))
			guest_faults(&stand, 0, 1, GMEM_PRIVATE);
		else
			make_fault(&stand, 0, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, stand.rig.page,
				   stand.rig.page);
		rc = handle_fault(&stand, 0, &report);
	}
	assert_int_equal(rc, -EIO);
	assert_int_equal(i, GMEM_EXIT_FAULTS_MAX + 1);
	stand_close(&stand);
}

#define ROUNDS 300u

struct racer {
	struct stand *stand;
	pthread_barrier_t *barrier;
	unsigned int vcpu;
	int error;
	unsigned int faults;
};

/* The guest touches the page; where guests do not fault, as if this one did. */
static int touch_once(struct racer *racer, uint32_t state)
{
	struct stand *stand = racer->stand;

	if (mode_has_faults(stand->rig.mode))
		return guest_touches(stand, racer->vcpu, RAM_PAGE, state);
	if (state_of(stand, RAM_PAGE, 1) == state)
		return 0;
	guest_faults(stand, racer->vcpu, RAM_PAGE, state);
	return -EFAULT;
}

/* As a vCPU thread does: until the page is as wanted. */
static void touch(struct racer *racer, uint32_t state)
{
	int rc;

	while ((rc = touch_once(racer, state)) == -EFAULT) {
		racer->faults++;
		if (handle_fault(racer->stand, racer->vcpu, NULL) == GMEM_EXIT_RESUME)
			continue;
		racer->error = 1;
		return;
	}
	if (rc)
		racer->error = rc;
}

static void *race(void *opaque)
{
	struct racer *racer = opaque;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(racer->barrier);
		touch(racer, i % 2 ? GMEM_SHARED : GMEM_PRIVATE);
		pthread_barrier_wait(racer->barrier);
	}
	return NULL;
}

static void two_vcpus_race_on_one_page(void **state)
{
	const struct mode *mode = *state;
	pthread_barrier_t barrier;
	struct racer racers[VCPUS];
	pthread_t threads[VCPUS];
	struct stand stand;
	unsigned int i;

	stand_open_with_ram(&stand, mode, NULL);
	pthread_barrier_init(&barrier, NULL, VCPUS);
	for (i = 0; i < VCPUS; i++) {
		racers[i] = (struct racer){ &stand, &barrier, i, 0, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (i = 0; i < VCPUS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(racers[0].error, 0);
	assert_int_equal(racers[1].error, 0);
	/* In each round one at least had to convert. */
	assert_true(racers[0].faults + racers[1].faults >= ROUNDS);
	assert_int_equal(stats_of(&stand).exits, racers[0].faults + racers[1].faults);
	assert_int_equal(stats_of(&stand).exits_refused, 0);
	rig_compare(&stand.rig);
	pthread_barrier_destroy(&barrier);
	stand_close(&stand);
}

/* A vCPU that faults while another's conversion is between the kernel's call and its listeners. */
struct late {
	struct stand *stand;
	pthread_t thread;
	bool started;
	_Atomic bool done;
	int result;
	uint64_t converted;
};

static void *fault_until_answered(void *opaque)
{
	struct late *late = opaque;
	struct gmem_report report = { 0 };
	uint32_t i;

	for (i = 0; i < 2 * GMEM_EXIT_FAULTS_MAX && !report.converted; i++) {
		late->result = handle_fault(late->stand, 1, &report);
		if (late->result != GMEM_EXIT_RESUME)
			break;
	}
	late->converted = report.converted;
	atomic_store(&late->done, true);
	return NULL;
}

static int hear_late(uint32_t event, const struct gmem_run *run, void *opaque)
{
	struct late *late = opaque;

	(void)run;
	if (event != GMEM_EVENT_ADD || late->started)
		return 0;
	late->started = true;
	atomic_store(&late->stand->sleeps, 0);
	if (pthread_create(&late->thread, NULL, fault_until_answered, late))
		return -ENOMEM;
	while (!atomic_load(&late->done) && !atomic_load(&late->stand->sleeps))
		sched_yield();
	return 0;
}

static void a_fault_waits_for_who_is_at_work(void **state)
{
	struct gmem_listener *listener;
	struct stand stand;
	struct late late = { .stand = &stand };

	stand_open_with_ram(&stand, *state, NULL);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE + 2, 1, GMEM_PRIVATE, 0, NULL), 0);
	assert_int_equal(gmem_listener_new(stand.rig.vm, GMEM_LISTEN_CONVERT, GMEM_LISTEN_RAM, 0,
					   hear_late, &late, NULL, &listener),
			 0);
	/* Shared to the kernel already when listeners hear of the first of these pages. */
	make_fault(&stand, 1, GMEM_KVM_MEMORY_EXIT_FLAG_PRIVATE, (RAM_PAGE + 2) * stand.rig.page,
		   stand.rig.page);
	assert_int_equal(rig_convert(&stand.rig, RAM_PAGE, 3, GMEM_SHARED, 0, NULL), 0);
	assert_true(late.started);
	pthread_join(late.thread, NULL);
	assert_int_equal(late.result, GMEM_EXIT_RESUME);
	assert_int_equal(late.converted, stand.rig.page);
	assert_int_equal(state_of(&stand, RAM_PAGE + 2, 1), GMEM_PRIVATE);
	rig_compare(&stand.rig);
	gmem_listener_free(listener);
	stand_close(&stand);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(later_is_repeated_and_goes_on, IN_ALL_MODES),
		RIG_CASE(a_fault_is_repeated_too, IN_ALL_MODES),
		RIG_CASE(a_page_the_kernel_sees_in_use, IN_PLACE),
		RIG_CASE(a_signal_and_later, IN_ALL_MODES),
		RIG_CASE(later_is_not_said_of_a_refusal, SMALL_PAGES),
		RIG_CASE(later_while_others_are_at_work, IN_ALL_MODES),
		RIG_CASE(a_fault_that_comes_again_ends, IN_ALL_MODES),
		RIG_CASE(vcpus_do_not_share_a_count, SMALL_PAGES),
		RIG_CASE(more_vcpus_than_there_can_be, SMALL_PAGES),
		RIG_CASE(a_race_that_is_always_lost, IN_ALL_MODES),
		RIG_CASE(a_fault_on_a_hole_ends, IN_ALL_MODES),
		RIG_CASE(a_fault_on_a_hole_that_is_skipped_ends, IN_ALL_MODES),
		RIG_CASE(a_page_without_a_memslot_ends, IN_ALL_MODES),
		RIG_CASE(a_fault_waits_for_who_is_at_work, IN_ALL_MODES),
		RIG_CASE(two_vcpus_race_on_one_page, IN_ALL_MODES),
	};

	return rig_run("exits that come again", cases, sizeof(cases) / sizeof(cases[0]));
}
