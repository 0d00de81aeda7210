// SPDX-License-Identifier: LGPL-2.1-or-later
/* gmem-measure digest and explain: what a launch measures, as one digest or step by step. */
#include "gmem-measure.h"

#include <inttypes.h>
#include <string.h>

/* Told of the digest of each vCPU count that was asked for. */
struct sink {
	const struct options *options;
	bool begun; /* the first digest begins the output: there may be none */
	struct json json;
};

static void begin_digests(struct sink *sink)
{
	sink->begun = true;
	output_begin(&sink->json, "digest");
	launch_put_json(&sink->json, sink->options);
	json_begin(&sink->json, "digests", '[');
}

static void put_digest(struct sink *sink, uint32_t vcpus, const uint8_t *digest)
{
	char text[DIGEST_TEXT];

	if (sink->options->quiet)
		return;
	hex_format(digest, DIGEST_SIZE, text);
	if (sink->options->json) {
		if (!sink->begun)
			begin_digests(sink);
		json_begin(&sink->json, NULL, '{');
		json_number(&sink->json, "vcpus", vcpus);
		json_string(&sink->json, "digest", text);
		json_end(&sink->json, '}');
	} else if (sink->options->vcpu_counts > 1) {
		printf("%" PRIu32 " %s\n", vcpus, text);
	} else {
		puts(text);
	}
}

/* The firmware is measured once, and every count goes on from the one before it. */
static int measure_counts(const struct launch *launch, struct sink *sink)
{
	const struct options *options = sink->options;
	struct gmem_snp_measure *measure = NULL;
	uint8_t digest[DIGEST_SIZE];
	struct vcpu_state state;
	uint32_t have = 0, count;
	int ret;

	launch_get_state(launch, options, &state);
	ret = gmem_snp_measure_new(launch->ctx, NULL, &measure);
	if (!ret)
		ret = launch_add_firmware(launch, measure, options->vmm,
					  launch->has_hashes ? &launch->hashes : NULL);
	for (count = 1; count <= VCPUS_MAX && !ret; count++) {
		if (!options->vcpus[count])
			continue;
		ret = launch_add_vcpus(launch, measure, &state, have, count - have);
		if (!ret)
			ret = gmem_snp_measure_get_digest(measure, digest);
		if (!ret)
			put_digest(sink, count, digest);
		have = count;
	}
	gmem_snp_measure_free(measure);
	return ret;
}

enum exit_code command_digest(const struct options *options)
{
	struct sink sink = { .options = options };
	struct launch launch;
	enum exit_code code;
	int ret;

	code = launch_load(&launch, options);
	if (code != EXIT_FINE)
		return code;
	ret = measure_counts(&launch, &sink);
	if (sink.begun) {
		json_end(&sink.json, ']');
		output_end(&sink.json);
	}
	if (ret)
		code = report_failure(options->image, ret);
	launch_unload(&launch);
	return code;
}

/* Explain. */

struct explanation {
	const struct launch *launch;
	const struct options *options;
	struct json json;
	uint32_t steps; /* told so far; the first begins the output */
};

/* What a group is there for. */
static void name_step(const struct explanation *explanation, const struct gmem_snp_step *step,
		      char *text, size_t size)
{
	if (step->type == GMEM_SNP_PAGE_VMSA && step->pages == 1)
		snprintf(text, size, "vCPU %" PRIu32 "%s", step->vcpu,
			 step->vcpu ? "" : ", which boots");
	else if (step->type == GMEM_SNP_PAGE_VMSA)
		snprintf(text, size, "vCPUs %" PRIu32 " to %" PRIu64, step->vcpu,
			 step->vcpu + step->pages - 1);
	else if (step->section == 0)
		snprintf(text, size, "the firmware image");
	else if (step->section_type == GMEM_OVMF_KERNEL_HASHES)
		snprintf(text, size, "section %" PRIu32 ", KERNEL_HASHES %s", step->section,
			 explanation->launch->has_hashes ? "of the kernel" : "without kernel");
	else
		snprintf(text, size, "section %" PRIu32 ", %s", step->section,
			 section_name(step->section_type));
}

static void put_step(struct json *json, const struct gmem_snp_step *step, const char *what)
{
	json_begin(json, NULL, '{');
	json_number(json, "gpa", step->gpa);
	json_number(json, "pages", step->pages);
	json_string(json, "type", page_type_name(step->type));
	if (step->type == GMEM_SNP_PAGE_VMSA)
		json_number(json, "vcpu", step->vcpu);
	else
		json_null(json, "vcpu");
	json_word(json, "section", step->section ? section_name(step->section_type) : "");
	json_string(json, "what", what);
	json_hex(json, "digest", step->digest, DIGEST_SIZE);
	json_end(json, '}');
}

/* As much of a digest as people compare. */
#define SHORT_DIGEST 16

static void print_head(const struct options *options)
{
	const char *cpu = cpu_name(options->signature);

	printf("Launch of %s: %" PRIu32 " vCPU%s, ", options->image, options_first_count(options),
	       options_first_count(options) == 1 ? "" : "s");
	if (options->vmsa)
		printf("which start as %s says", options->vmsa);
	else if (options->vmm == GMEM_SNP_VMM_QEMU)
		printf("which start as QEMU's %s (signature 0x%" PRIx32 ")", cpu[0] ? cpu : "do",
		       options->signature);
	else
		printf("which start as those of %s", vmm_titles[options->vmm]);
	if (!options->vmsa)
		printf(", VMSA features 0x%" PRIx64, options->features | 1);
	printf("\n\n%4s  %-14s  %5s  %-10s  %-38s  %s\n", "step", "address", "pages", "type",
	       "what it is", "digest after it");
}

static void begin_steps(struct explanation *explanation)
{
	const struct options *options = explanation->options;

	if (!options->json) {
		print_head(options);
		return;
	}
	output_begin(&explanation->json, "explain");
	launch_put_json(&explanation->json, options);
	json_number(&explanation->json, "vcpus", options_first_count(options));
	json_begin(&explanation->json, "steps", '[');
}

static void explain_step(const struct gmem_snp_step *step, void *opaque)
{
	struct explanation *explanation = opaque;
	char digest[DIGEST_TEXT];
	char what[80];

	if (explanation->options->quiet)
		return;
	if (explanation->steps++ == 0)
		begin_steps(explanation);
	name_step(explanation, step, what, sizeof(what));
	if (explanation->options->json) {
		put_step(&explanation->json, step, what);
		return;
	}
	hex_format(step->digest, DIGEST_SIZE, digest);
	if (!explanation->options->full)
		memcpy(digest + SHORT_DIGEST, "...", sizeof("..."));
	printf("%4" PRIu32 "  0x%012" PRIx64 "  %5" PRIu64 "  %-10s  %-38s  %s\n",
	       explanation->steps, step->gpa, step->pages, page_type_name(step->type), what,
	       digest);
}

static int measure_steps(struct explanation *explanation, uint8_t digest[DIGEST_SIZE])
{
	const struct options *options = explanation->options;
	const struct launch *launch = explanation->launch;
	struct gmem_snp_measure *measure = NULL;
	struct vcpu_state state;
	int ret;

	launch_get_state(launch, options, &state);
	ret = gmem_snp_measure_new(launch->ctx, NULL, &measure);
	if (ret)
		return ret;
	gmem_snp_measure_set_observer(measure, explain_step, explanation, NULL);
	ret = launch_add_firmware(launch, measure, options->vmm,
				  launch->has_hashes ? &launch->hashes : NULL);
	if (!ret)
		ret = launch_add_vcpus(launch, measure, &state, 0, options_first_count(options));
	if (!ret)
		ret = gmem_snp_measure_get_digest(measure, digest);
	gmem_snp_measure_free(measure);
	return ret;
}

/* digest is NULL where it came to none. */
static void end_steps(struct explanation *explanation, const uint8_t *digest)
{
	char text[DIGEST_TEXT] = "";

	if (digest)
		hex_format(digest, DIGEST_SIZE, text);
	if (explanation->options->json) {
		json_end(&explanation->json, ']');
		json_word(&explanation->json, "digest", text);
		output_end(&explanation->json);
	} else if (digest) {
		printf("\nLaunch digest: %s\n", text);
	}
}

enum exit_code command_explain(const struct options *options)
{
	struct explanation explanation = { .options = options };
	uint8_t digest[DIGEST_SIZE];
	struct launch launch;
	enum exit_code code;
	int ret;

	code = launch_load(&launch, options);
	if (code != EXIT_FINE)
		return code;
	explanation.launch = &launch;
	ret = measure_steps(&explanation, digest);
	if (explanation.steps)
		end_steps(&explanation, ret ? NULL : digest);
	if (ret)
		code = report_failure(options->image, ret);
	launch_unload(&launch);
	return code;
}
