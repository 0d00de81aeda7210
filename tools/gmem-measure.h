/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of gmem-measure: what is asked for, files, a launch that is described and measured,
 * and the commands.
 */
#ifndef GMEM_MEASURE_TOOL_H
#define GMEM_MEASURE_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <gmem.h>

#include "json.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define DIGEST_SIZE GMEM_SNP_DIGEST_SIZE
#define MEASURE_SCHEMA 1

/* What the program exits with; the manual page promises these. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_DIFFERS = 1,    /* digests are unequal, a signature does not hold */
	EXIT_USAGE = 2,      /* the command line */
	EXIT_INPUT = 3,      /* a file cannot be read, or is not what it should be */
	EXIT_UNEXPECTED = 4, /* no memory, no libgcrypt, no room for the output */
};

/* Options. */

enum command {
	COMMAND_DIGEST,
	COMMAND_EXPLAIN,
	COMMAND_ID_BLOCK,
	COMMAND_VERIFY,
	COMMAND_COMPARE,
	COMMANDS,
};

/* As many vCPUs as KVM lets a VM have. */
#define VCPUS_MAX 4096u
#define VCPUS_TRIED 512u

struct options {
	enum command command;
	bool json;
	bool full;
	bool quiet;
	const char *image;

	/* The launch. */
	bool vcpus[VCPUS_MAX + 1]; /* counts that were asked for */
	uint32_t vcpu_counts;      /* how many of them */
	uint32_t vmm;              /* GMEM_SNP_VMM_* */
	bool has_signature;
	uint32_t signature; /* CPUID leaf 1 EAX */
	uint64_t features;
	const char *kernel;
	const char *initrd;
	const char *append;
	const char *vmsa;

	/* ID block and ID authentication. */
	const char *key;
	const char *author_key;
	const char *block;
	const char *auth;
	uint8_t family_id[GMEM_SNP_ID_SIZE];
	uint8_t image_id[GMEM_SNP_ID_SIZE];
	uint32_t svn;
	bool has_policy;
	uint64_t policy;
	bool base64;

	/* What to compare with. */
	bool has_digest;
	uint8_t digest[DIGEST_SIZE];
	const char *report;
	uint32_t max_vcpus;
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

enum options_result options_parse(struct options *options, int argc, char **argv);

/* Names of things. */

struct cpu_model {
	const char *name; /* QEMU's, without its version */
	uint32_t signature;
};
#define CPU_MODELS 6u
extern const struct cpu_model cpu_models[CPU_MODELS];
/* "" where no model has it. */
const char *cpu_name(uint32_t signature);

#define VMMS 4u
extern const char *const vmm_names[VMMS];
/* "QEMU" */
extern const char *const vmm_titles[VMMS];

const char *page_type_name(uint32_t type);
const char *section_name(uint32_t type);

/* Files and texts. Functions that fail have said why. */

struct bytes {
	uint8_t *data;
	size_t size;
};

__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

/* The whole file; a file of more than most bytes is an error. */
bool file_read(const char *path, size_t most, struct bytes *bytes);
bool file_write(const char *path, const void *data, size_t size);
void bytes_free(struct bytes *bytes);
/* The same, wiped. */
void bytes_wipe(struct bytes *bytes);
/* A file that has exactly so many bytes, as they are or in base64. what names it. */
bool file_read_exactly(const char *path, const char *what, void *data, size_t size);

/* Two digits a byte; dashes count for nothing. */
bool hex_parse(const char *text, uint8_t *bytes, size_t size);
#define DIGEST_TEXT (2 * DIGEST_SIZE + 1)
void hex_format(const uint8_t *bytes, size_t size, char *text);
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4 + 1)
void base64_format(const uint8_t *bytes, size_t size, char *text);
void json_hex(struct json *json, const char *key, const uint8_t *bytes, size_t size);

/* Where libgmem's messages go: the last is kept, to be said with what it is about. */
struct gmem_ctx *context_new(void);
void context_free(struct gmem_ctx *ctx);
/* Complains about a failure of libgmem. Of what: a file, or NULL. */
enum exit_code report_failure(const char *what, int error);
/* What libgmem said last, without the function's name. */
const char *last_message(void);

/* A launch, loaded. */

struct launch {
	struct gmem_ctx *ctx;
	struct gmem_ovmf *ovmf;
	struct gmem_ovmf_info info;
	bool has_hashes;
	struct gmem_snp_hashes hashes;
	struct bytes kernel;
	struct bytes initrd;
	struct bytes vmsas; /* the caller's: of one vCPU after the other */
};

enum exit_code launch_load(struct launch *launch, const struct options *options);
void launch_unload(struct launch *launch);

/* How vCPUs start. */
struct vcpu_state {
	uint32_t vmm;
	uint32_t signature;
	uint64_t features;
	const struct bytes *vmsas; /* NULL: as vmm has them */
};

/* 0 or a negative errno; libgmem has said why. */
int launch_add_firmware(const struct launch *launch, struct gmem_snp_measure *measure, uint32_t vmm,
			const struct gmem_snp_hashes *hashes);
int launch_add_vcpus(const struct launch *launch, struct gmem_snp_measure *measure,
		     const struct vcpu_state *state, uint32_t first, uint32_t count);
/* The digest for the one vCPU count of the options. */
enum exit_code launch_digest(const struct launch *launch, const struct options *options,
			     uint8_t digest[DIGEST_SIZE]);
void launch_get_state(const struct launch *launch, const struct options *options,
		      struct vcpu_state *state);
/* What is launched, as members of an object. */
void launch_put_json(struct json *json, const struct options *options);
uint32_t options_first_count(const struct options *options);

/* Attestation reports. */

struct report {
	uint32_t version;
	uint32_t svn;
	uint64_t policy;
	uint8_t family_id[16];
	uint8_t image_id[16];
	uint8_t measurement[DIGEST_SIZE];
	uint8_t host_data[32];
	uint8_t id_key_digest[DIGEST_SIZE];
	uint8_t author_key_digest[DIGEST_SIZE];
	bool has_cpu;
	uint32_t signature; /* of the host's processor: CPUID leaf 1 EAX */
};

bool report_read(const char *path, struct report *report);
void report_put_json(struct json *json, const struct report *report);
void report_print(FILE *out, const struct report *report);

/* Commands. */

enum exit_code command_digest(const struct options *options);
enum exit_code command_explain(const struct options *options);
enum exit_code command_id_block(const struct options *options);
enum exit_code command_verify(const struct options *options);
enum exit_code command_compare(const struct options *options);

/* The JSON that every command writes begins and ends so. */
void output_begin(struct json *json, const char *command);
void output_end(struct json *json);

#endif /* GMEM_MEASURE_TOOL_H */
