// SPDX-License-Identifier: LGPL-2.1-or-later
/* gmem-measure compare: whether a launch gives a digest, and which launch does if it is not this. */
#include "gmem-measure-search.h"

#include <inttypes.h>
#include <string.h>

#define WORDS 112

/* One thing in which the launch found is not the one described. */
struct difference {
	const char *what;
	char here[WORDS];
	char there[WORDS];
};

struct differences {
	struct difference list[8];
	size_t count;
};

static struct difference *add_difference(struct differences *differences, const char *what)
{
	struct difference *difference = &differences->list[differences->count++];

	difference->what = what;
	return difference;
}

static void name_cpu(uint32_t signature, char *text)
{
	const char *name = cpu_name(signature);

	snprintf(text, WORDS, "%s%s0x%" PRIx32 "%s", name, name[0] ? " (" : "", signature,
		 name[0] ? ")" : "");
}

static void add_vcpus(struct differences *differences, const struct search *search)
{
	uint32_t given = options_first_count(search->options);
	struct difference *difference;

	if (search->vcpus != 0 && (!given || search->vcpus == given))
		return;
	difference = add_difference(differences, "vCPUs");
	if (given)
		snprintf(difference->here, WORDS, "%" PRIu32, given);
	else
		snprintf(difference->here, WORDS, "at least 1");
	if (search->vcpus)
		snprintf(difference->there, WORDS, "%" PRIu32, search->vcpus);
	else
		snprintf(difference->there, WORDS,
			 "none: the digest is that of the firmware alone");
}

static void add_start(struct differences *differences, const struct search *search)
{
	const struct options *options = search->options;
	const struct guess *guess = &search->guess;
	bool qemu = guess->start == START_QEMU;
	struct difference *difference;

	/* Where there is no vCPU nothing is known of them. */
	if (search->vcpus == 0)
		return;
	if (options->vmsa ? guess->start != START_AS_GIVEN
			  : strcmp(start_name(guess), vmm_titles[options->vmm]) != 0) {
		difference = add_difference(differences, "vCPUs start as those of");
		snprintf(difference->here, WORDS, "%s",
			 options->vmsa ? options->vmsa : vmm_titles[options->vmm]);
		snprintf(difference->there, WORDS, "%s", start_name(guess));
		qemu = false;
	}
	if (qemu && options->has_signature && guess->signature != options->signature) {
		difference = add_difference(differences, "processor");
		name_cpu(options->signature, difference->here);
		name_cpu(guess->signature, difference->there);
	}
	if (guess->start != START_AS_GIVEN && guess->features != (options->features | 1)) {
		difference = add_difference(differences, "VMSA features");
		snprintf(difference->here, WORDS, "0x%" PRIx64, options->features | 1);
		snprintf(difference->there, WORDS, "0x%" PRIx64, guess->features);
	}
}

static void find_differences(struct differences *differences, const struct search *search)
{
	struct difference *difference;

	differences->count = 0;
	add_vcpus(differences, search);
	add_start(differences, search);
	if (search->guess.boot != BOOT_AS_GIVEN) {
		difference = add_difference(differences, "kernel");
		snprintf(difference->here, WORDS, "%s", boot_names[BOOT_AS_GIVEN]);
		snprintf(difference->there, WORDS, "%s", boot_names[search->guess.boot]);
	}
}

/* Text. */

static void print_digest(const char *what, const uint8_t *digest)
{
	char text[DIGEST_TEXT];

	hex_format(digest, DIGEST_SIZE, text);
	printf("  %-18s %s\n", what, text);
}

static void print_launch(const struct search *search)
{
	const struct guess *guess = &search->guess;
	char cpu[WORDS];

	printf("  %-18s %" PRIu32 "\n", "vCPUs", search->vcpus);
	printf("  %-18s %s\n", "start as those of", start_name(guess));
	if (guess->start == START_QEMU) {
		name_cpu(guess->signature, cpu);
		printf("  %-18s %s\n", "processor", cpu);
	}
	if (guess->start != START_AS_GIVEN)
		printf("  %-18s 0x%" PRIx64 "\n", "VMSA features", guess->features);
}

static void print_nothing_found(const struct search *search)
{
	printf("None of %" PRIu64 " launches that were tried gives that digest: 1 to %" PRIu32
	       " vCPUs, started as\nQEMU (with known processors), KVM, EC2 and GCE start them, with "
	       "the usual VMSA features%s.\n"
	       "So it may be another firmware image%s, or a processor or features that are not "
	       "known here\n(--signature, --features), or a VMM that does it in its own way "
	       "(--vmsa).\n",
	       search->tried, search->max_vcpus,
	       search->launch->has_hashes
		       ? ",\nwith and without the kernel, initrd and command line"
		       : "",
	       search->launch->has_hashes ? ", kernel, initrd or command line"
					  : ", or a kernel that is measured (--kernel)");
}

static void print_differences(const struct search *search)
{
	struct differences differences;
	size_t i;

	find_differences(&differences, search);
	printf("The same launch gives that digest with:\n");
	for (i = 0; i < differences.count; i++)
		printf("  %-24s %s; here: %s\n", differences.list[i].what,
		       differences.list[i].there, differences.list[i].here);
}

static void print_result(const struct search *search, bool equal, const uint8_t *computed)
{
	if (search->report)
		report_print(stdout, search->report);
	if (equal) {
		puts("equal: this launch gives that digest");
		print_launch(search);
		return;
	}
	puts("different: this launch does not give that digest");
	print_digest("expected", search->target);
	if (computed)
		print_digest("this launch", computed);
	putchar('\n');
	if (search->found)
		print_differences(search);
	else
		print_nothing_found(search);
}

/* JSON. */

static void put_found(struct json *json, const struct search *search)
{
	struct differences differences;
	size_t i;

	if (!search->found) {
		json_null(json, "found");
		return;
	}
	find_differences(&differences, search);
	json_begin(json, "found", '{');
	json_number(json, "vcpus", search->vcpus);
	json_string(json, "start", start_name(&search->guess));
	if (search->guess.start == START_QEMU)
		json_number(json, "signature", search->guess.signature);
	else
		json_null(json, "signature");
	json_number(json, "features", search->guess.features);
	json_string(json, "kernel", boot_names[search->guess.boot]);
	json_begin(json, "differences", '[');
	for (i = 0; i < differences.count; i++) {
		json_begin(json, NULL, '{');
		json_string(json, "what", differences.list[i].what);
		json_string(json, "here", differences.list[i].here);
		json_string(json, "there", differences.list[i].there);
		json_end(json, '}');
	}
	json_end(json, ']');
	json_end(json, '}');
}

static void put_result(const struct search *search, bool equal, const uint8_t *computed)
{
	struct json json;

	output_begin(&json, "compare");
	launch_put_json(&json, search->options);
	if (options_first_count(search->options))
		json_number(&json, "vcpus", options_first_count(search->options));
	else
		json_null(&json, "vcpus");
	json_bool(&json, "equal", equal);
	json_hex(&json, "expected", search->target, DIGEST_SIZE);
	if (computed)
		json_hex(&json, "computed", computed, DIGEST_SIZE);
	else
		json_null(&json, "computed");
	json_number(&json, "tried", search->tried);
	put_found(&json, search);
	if (search->report)
		report_put_json(&json, search->report);
	else
		json_null(&json, "report");
	output_end(&json);
}

/* A launch of which all is said that its digest depends on. */
static bool is_whole(const struct options *options)
{
	return options->vcpu_counts &&
	       (options->vmm != GMEM_SNP_VMM_QEMU || options->has_signature || options->vmsa);
}

static enum exit_code compare(struct search *search)
{
	const struct options *options = search->options;
	uint8_t computed[DIGEST_SIZE];
	enum exit_code code;
	bool whole = is_whole(options);
	bool equal;
	int ret;

	/* What cannot be launched so may have been launched in another way. */
	if (whole) {
		code = launch_digest(search->launch, options, computed);
		if (code == EXIT_INPUT)
			whole = false;
		else if (code != EXIT_FINE)
			return code;
	}
	ret = search_run(search);
	if (ret)
		return report_failure(options->image, ret);
	equal = search->found && search->distance == 0;
	if (options->quiet)
		return equal ? EXIT_FINE : EXIT_DIFFERS;
	if (options->json)
		put_result(search, equal, whole ? computed : NULL);
	else
		print_result(search, equal, whole ? computed : NULL);
	return equal ? EXIT_FINE : EXIT_DIFFERS;
}

enum exit_code command_compare(const struct options *options)
{
	struct search search = { .options = options, .target = options->digest };
	struct report report;
	struct launch launch;
	enum exit_code code;

	if (options->report) {
		if (!report_read(options->report, &report))
			return EXIT_INPUT;
		search.report = &report;
		search.target = report.measurement;
	}
	code = launch_load(&launch, options);
	if (code != EXIT_FINE)
		return code;
	search.launch = &launch;
	code = compare(&search);
	launch_unload(&launch);
	return code;
}
