// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The suite's runner.
 *
 *   conformance TARGET    runs all cases on it: a line "PASS: ", "FAIL: " or "SKIP: " for each
 *   conformance --table   runs them on all targets: a table of facts by target, and what no case
 *                         shows, with the reason
 *   conformance --table TARGET...   the table of these alone
 *   conformance --list    names the targets
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"
#include "target.h"

/* A guest that never comes back must not hold the suite for ever. */
#define SECONDS_A_CASE 120u

static const struct conformance_case *const case_files[] = {
	capability_cases, file_cases,     mapping_cases, advice_cases, slot_cases,    access_cases,
	per_vm_cases,     in_place_cases, exit_cases,    snp_cases,    library_cases, convert_cases,
};

#define CASE_FILES (sizeof(case_files) / sizeof(case_files[0]))

/* PART is of a fact: some of its cases passed, some were skipped. */
enum outcome { NONE, SKIPPED, PART, PASSED, FAILED, OUTCOMES };

static const char *const outcome_name[] = { "none", "skip", "part", "pass", "FAIL" };

/* All cases in a row; NULL past the last. */
static const struct conformance_case *case_at(unsigned int index)
{
	const struct conformance_case *test;
	unsigned int i;

	for (i = 0; i < CASE_FILES; i++)
		for (test = case_files[i]; test->name; test++)
			if (index-- == 0)
				return test;
	return NULL;
}

static const char *unmet_need(const struct world *world, uint32_t need)
{
	const struct traits *traits = &world->traits;
	const struct driver *driver = world->driver;

	switch (need) {
	case NEED_REGION2:
		return traits->region2 ? NULL : "KVM_SET_USER_MEMORY_REGION2";
	case NEED_GUEST_MEMFD:
		return traits->guest_memfd ? NULL : "guest_memfd on this VM";
	case NEED_NO_GUEST_MEMFD:
		return traits->guest_memfd ? "a VM without guest_memfd" : NULL;
	case NEED_FLAGS:
		return traits->flags & FLAG_MMAP ? NULL : "guest_memfd with MMAP";
	case NEED_ORDINARY:
		return traits->private_memory ? "a VM without private memory" : NULL;
	case NEED_PRIVATE:
		return traits->private_memory ? NULL : "a VM with private memory";
	case NEED_PER_VM:
		return traits->tracking == TRACKED_BY_VM ? NULL : "tracking per VM";
	case NEED_IN_PLACE:
		return traits->tracking == TRACKED_BY_FILE ? NULL : "tracking per guest_memfd";
	case NEED_IN_PLACE_KERNEL:
		return traits->in_place_kernel ? NULL : "a kernel that can track per guest_memfd";
	case NEED_NOT_IN_PLACE_KERNEL:
		return traits->in_place_kernel ? "a kernel that does not track per guest_memfd"
					       : NULL;
	case NEED_SHARED_FILE:
		return traits->flags & FLAG_INIT_SHARED ? NULL : "guest_memfd with INIT_SHARED";
	case NEED_GUEST:
		return driver->access ? NULL : "a guest driver";
	case NEED_TRACKED_ACCESS:
		return traits->access == ACCESS_FROM_TRACKING ? NULL : "a software-protected VM";
	case NEED_OWN_ACCESS:
		return traits->access == ACCESS_FROM_GUEST
			       ? NULL
			       : "a guest that says itself what is private";
	case NEED_HYPERCALL:
		return traits->hypercall ? NULL : "KVM_CAP_EXIT_HYPERCALL";
	case NEED_PREFAULT:
		return traits->prefault ? NULL : "KVM_PRE_FAULT_MEMORY";
	case NEED_REAL:
		return driver->real ? NULL : "a kernel whose system calls need no door";
	case NEED_SIMULATOR:
		return driver->poison ? NULL : "the simulator's hand on pages";
	case NEED_SNP:
		return target_vm_type(world->target) == GMEM_KVM_VM_TYPE_SNP ? NULL : "an SNP VM";
	case NEED_TDX:
		return target_vm_type(world->target) == GMEM_KVM_VM_TYPE_TDX ? NULL : "a TDX VM";
	case NEED_NOT_SNP:
		return target_vm_type(world->target) < GMEM_KVM_VM_TYPE_SEV ? NULL : "another VM";
	case NEED_INSTRUCTIONS:
		return driver->execute ? NULL : "a guest that runs instructions";
	default:
		return "something that the runner does not know";
	}
}

static void skip_where_unmet(const struct world *world, const struct conformance_case *test)
{
	unsigned int i;

	for (i = 0; i < 32; i++) {
		const char *unmet = test->needs >> i & 1 ? unmet_need(world, 1u << i) : NULL;

		if (unmet)
			case_skipped("needs %s", unmet);
	}
}

static unsigned int open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	if (!directory)
		return 0;
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* In a process of its own. Ends by exit(), so that leak checkers have their say. */
static _Noreturn void run_alone(const struct target *target, const struct conformance_case *test)
{
	unsigned int before = open_descriptors();
	unsigned int after;
	struct world world;
	char text[256];

	alarm(SECONDS_A_CASE);
	if (target_open(target, &world, text, sizeof(text)) < 0)
		case_failed(__FILE__, __LINE__, "%s", text);
	skip_where_unmet(&world, test);
	test->run(&world);
	target_close(&world);
	after = open_descriptors();
	if (before != after)
		case_failed(__FILE__, __LINE__, "%d descriptors left open", (int)(after - before));
	exit(0);
}

/* Runs fn in a child that can say something; its exit status, or the negative of a signal. */
static int heed(void (*fn)(const void *first, const void *second), const void *first,
		const void *second, char *said, size_t size)
{
	size_t length = 0;
	int ends[2];
	ssize_t got;
	int status;
	pid_t child;

	if (pipe(ends) < 0)
		exit(2);
	fflush(NULL);
	child = fork();
	if (child < 0)
		exit(2);
	if (child == 0) {
		int from = fcntl(ends[1], F_DUPFD, 10);

		close(ends[0]);
		close(ends[1]);
		if (from < 0 || dup2(from, RUNNER_FD) < 0)
			_exit(RUNNER_LOST);
		close(from);
		fcntl(RUNNER_FD, F_SETFD, FD_CLOEXEC);
		fn(first, second);
		_exit(0);
	}
	close(ends[1]);
	while (length + 1 < size && (got = read(ends[0], said + length, size - 1 - length)) > 0)
		length += (size_t)got;
	said[length] = 0;
	close(ends[0]);
	if (waitpid(child, &status, 0) != child)
		exit(2);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void run_case_in_child(const void *target, const void *test)
{
	run_alone(target, test);
}

static enum outcome run_case(const struct target *target, const struct conformance_case *test,
			     char *said, size_t size)
{
	int status = heed(run_case_in_child, target, test, said, size);

	if (status == 0)
		return PASSED;
	if (status == RUNNER_SKIPPED && said[0])
		return SKIPPED;
	if (status < 0)
		snprintf(said, size, "it ended by signal %d (%s)", -status, strsignal(-status));
	else if (!said[0])
		snprintf(said, size, "it ended with status %d", status);
	return FAILED;
}

static void open_in_child(const void *first, const void *second)
{
	const struct target *target = first;
	struct world world;
	char text[256];

	if (target_open(target, &world, text, sizeof(text)) < 0)
		case_skipped("%s", text);
	target_close(&world);
}

/* Why the target is not to be had; NULL where it is. Only a real kernel may be missing. */
static const char *unserved(const struct target *target)
{
	static char text[256];
	int status = heed(open_in_child, target, NULL, text, sizeof(text));

	return status == RUNNER_SKIPPED && target->driver->real ? text : NULL;
}

static bool names_fact(const char *list, const char *id)
{
	size_t length = strlen(id);

	for (; list; list = strchr(list, ' ')) {
		list += *list == ' ';
		if (strncmp(list, id, length) == 0 && (list[length] == ' ' || !list[length]))
			return true;
	}
	return false;
}

/* What the cases showed on a target. */
struct column {
	const struct target *target;
	const char *reason;           /* why the target is not to be had; NULL where it is */
	enum outcome *result;         /* of each case; NULL where the target is not to be had */
	unsigned int count[OUTCOMES]; /* of cases, by outcome */
};

static enum outcome joined(enum outcome first, enum outcome second)
{
	if (first == NONE || first == second)
		return second;
	return first == FAILED || second == FAILED ? FAILED : PART;
}

static enum outcome outcome_of_fact(const struct column *column, const char *id)
{
	const struct conformance_case *test;
	enum outcome outcome = NONE;
	unsigned int i;

	for (i = 0; column->result && (test = case_at(i)); i++)
		if (names_fact(test->facts, id))
			outcome = joined(outcome, column->result[i]);
	return outcome;
}

static void print_case(const char *target, const struct conformance_case *test,
		       enum outcome outcome, const char *said)
{
	if (outcome == PASSED)
		printf("PASS: %s (%s)\n", test->name, test->facts);
	else
		printf("%s: %s%s%s (%s): %s\n", outcome == SKIPPED ? "SKIP" : "FAIL", target,
		       target[0] ? ": " : "", test->name, test->facts, said);
}

/* Runs all; prints each case's result, or with quiet only those that failed. */
static void run_target(const struct target *target, struct column *column, bool quiet)
{
	const struct conformance_case *test;
	char said[1024];
	unsigned int i;

	for (i = 0; (test = case_at(i)); i++) {
		enum outcome outcome = run_case(target, test, said, sizeof(said));

		column->result[i] = outcome;
		column->count[outcome]++;
		if (!quiet || outcome == FAILED)
			print_case(quiet ? target->name : "", test, outcome, said);
	}
}

static struct column new_column(void)
{
	struct column column = { 0 };
	unsigned int count = 0;

	while (case_at(count))
		count++;
	column.result = calloc(count, sizeof(enum outcome));
	if (!column.result)
		exit(2);
	return column;
}

static bool is_fact(const char *id, size_t length)
{
	unsigned int i;

	for (i = 0; i < fact_count; i++)
		if (strlen(facts[i].id) == length && strncmp(facts[i].id, id, length) == 0)
			return true;
	return false;
}

/* What is wrong with the tables themselves; the number of findings. */
static unsigned int judge_tables(void)
{
	const struct conformance_case *test;
	unsigned int findings = 0;
	unsigned int i;

	for (i = 0; (test = case_at(i)); i++) {
		const char *id = test->facts;

		while (*id) {
			size_t length = strcspn(id, " ");

			if (!is_fact(id, length)) {
				printf("FAIL: %s: there is no fact \"%.*s\"\n", test->name,
				       (int)length, id);
				findings++;
			}
			id += length + (id[length] == ' ');
		}
		if (!test->facts[0]) {
			printf("FAIL: %s: it shows no fact\n", test->name);
			findings++;
		}
	}
	return findings;
}

static int run_one(const char *name)
{
	const struct target *target = target_find(name);
	struct column column;
	const char *reason;
	unsigned int failed;

	if (!target) {
		fprintf(stderr, "conformance: no target \"%s\"\n", name);
		return 2;
	}
	reason = unserved(target);
	if (reason) {
		printf("%s\n", reason);
		return 77;
	}
	column = new_column();
	failed = judge_tables();
	run_target(target, &column, false);
	failed += column.count[FAILED];
	printf("%s: %u passed, %u failed, %u skipped\n", target->text, column.count[PASSED],
	       column.count[FAILED], column.count[SKIPPED]);
	free(column.result);
	return failed > 0;
}

static void print_columns(const struct column *columns, unsigned int count)
{
	unsigned int k;

	printf("Facts of doc/kernel-support.md by target\n\n");
	for (k = 0; k < count; k++) {
		const struct column *column = &columns[k];

		printf("%4u  %-24s %s", k + 1, column->target->name, column->target->text);
		if (column->reason)
			printf("; not run: %s\n", column->reason);
		else
			printf("; %u passed, %u failed, %u skipped\n", column->count[PASSED],
			       column->count[FAILED], column->count[SKIPPED]);
	}
	printf("\npass: all of the fact's cases; part: some passed, some were skipped; skip: all "
	       "skipped\n\n    ");
	for (k = 0; k < count; k++)
		printf("%5u", k + 1);
	printf("\n");
}

static void print_table(const struct column *columns, unsigned int count)
{
	unsigned int i;
	unsigned int k;

	print_columns(columns, count);
	for (i = 0; i < fact_count; i++) {
		printf("%-4s", facts[i].id);
		for (k = 0; k < count; k++)
			printf(" %4s",
			       columns[k].reason
				       ? "-"
				       : outcome_name[outcome_of_fact(&columns[k], facts[i].id)]);
		printf("  %s\n", facts[i].text);
	}
}

static void print_unshown(void)
{
	unsigned int i;

	printf("\nWhat no case shows, and why\n\n");
	for (i = 0; i < fact_count; i++)
		if (facts[i].unshown)
			printf("%-4s %s: %s\n", facts[i].id,
			       facts[i].without_case ? "without case" : "in part",
			       facts[i].unshown);
	printf("\n");
}

/* How many of a fact's cases there are, and how many of them passed on any target of a kind. */
struct showing {
	unsigned int cases;
	unsigned int real;
	unsigned int simulated;
	bool failed;
};

static struct showing showing_of(const struct column *columns, const char *id)
{
	const struct conformance_case *test;
	struct showing showing = { 0 };
	unsigned int i;
	unsigned int k;

	for (i = 0; (test = case_at(i)); i++) {
		bool passed[2] = { false, false };

		if (!names_fact(test->facts, id))
			continue;
		for (k = 0; k < target_count; k++) {
			if (!columns[k].result)
				continue;
			passed[targets[k].driver->real] |= columns[k].result[i] == PASSED;
			showing.failed |= columns[k].result[i] == FAILED;
		}
		showing.cases++;
		showing.real += passed[true];
		showing.simulated += passed[false];
	}
	return showing;
}

static void print_showing(const char *id, const struct showing *showing)
{
	const char *plural = showing->cases == 1 ? "" : "s";

	if (!showing->real)
		printf("PASS: fact %s: on the simulator only: %u of %u case%s\n", id,
		       showing->simulated, showing->cases, plural);
	else if (!showing->simulated)
		printf("PASS: fact %s: on a real kernel only: %u of %u case%s\n", id, showing->real,
		       showing->cases, plural);
	else
		printf("PASS: fact %s: of %u case%s %u on a real kernel, %u on the simulator\n", id,
		       showing->cases, plural, showing->real, showing->simulated);
}

/* Each fact is shown somewhere, or has a reason why it is not. */
static unsigned int judge_facts(const struct column *columns)
{
	unsigned int findings = 0;
	unsigned int i;

	for (i = 0; i < fact_count; i++) {
		struct showing showing = showing_of(columns, facts[i].id);

		if (showing.failed) {
			printf("FAIL: fact %s: a case failed\n", facts[i].id);
		} else if (facts[i].without_case && facts[i].unshown && !showing.cases) {
			printf("PASS: fact %s: a reason is stated\n", facts[i].id);
			continue;
		} else if (facts[i].without_case || !showing.cases) {
			printf("FAIL: fact %s: neither shown by a case nor explained\n",
			       facts[i].id);
		} else if (showing.real || showing.simulated) {
			print_showing(facts[i].id, &showing);
			continue;
		} else {
			printf("SKIP: fact %s: none of the kernels here can show it\n",
			       facts[i].id);
			continue;
		}
		findings++;
	}
	return findings;
}

/* The column of a target that is run, or is found not to be had. */
static struct column fill_column(const struct target *target)
{
	const char *reason = unserved(target);
	struct column column = { .target = target, .reason = reason ? strdup(reason) : NULL };

	if (reason)
		return column;
	column = new_column();
	column.target = target;
	run_target(target, &column, true);
	return column;
}

static void free_columns(struct column *columns, unsigned int count)
{
	unsigned int k;

	for (k = 0; k < count; k++) {
		free(columns[k].result);
		free((void *)(uintptr_t)columns[k].reason);
	}
	free(columns);
}

static int run_all(void)
{
	struct column *columns = calloc(target_count, sizeof(*columns));
	unsigned int findings = judge_tables();
	unsigned int k;

	if (!columns)
		return 2;
	for (k = 0; k < target_count; k++) {
		columns[k] = fill_column(&targets[k]);
		findings += columns[k].count[FAILED];
	}
	print_table(columns, target_count);
	print_unshown();
	findings += judge_facts(columns);
	free_columns(columns, target_count);
	return findings > 0;
}

/* What these show, whatever no other has shown. */
static int run_some(char *const *names, unsigned int count)
{
	struct column *columns = calloc(count, sizeof(*columns));
	unsigned int findings = 0;
	unsigned int k;

	if (!columns)
		return 2;
	for (k = 0; k < count; k++) {
		const struct target *target = target_find(names[k]);

		if (!target) {
			fprintf(stderr, "conformance: no target \"%s\"\n", names[k]);
			free_columns(columns, k);
			return 2;
		}
		columns[k] = fill_column(target);
		findings += columns[k].count[FAILED];
	}
	print_table(columns, count);
	free_columns(columns, count);
	return findings > 0;
}

int main(int argc, char **argv)
{
	unsigned int k;

	if (argc > 2 && strcmp(argv[1], "--table") == 0)
		return run_some(argv + 2, (unsigned int)argc - 2);
	if (argc != 2) {
		fprintf(stderr, "usage: conformance TARGET | --table [TARGET...] | --list\n");
		return 2;
	}
	if (strcmp(argv[1], "--table") == 0)
		return run_all();
	if (strcmp(argv[1], "--list") == 0) {
		for (k = 0; k < target_count; k++)
			printf("%s\n", targets[k].name);
		return 0;
	}
	return run_one(argv[1]);
}
