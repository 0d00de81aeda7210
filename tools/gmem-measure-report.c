// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Attestation reports, as files have them. What is read is what a report says: its signature is
 * the business of whoever has the certificates.
 */
#include "gmem-measure.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* AMD 56860, ATTESTATION_REPORT, up to what changes with its version. */
struct report_layout {
	uint32_t version;
	uint32_t guest_svn;
	uint64_t policy;
	uint8_t family_id[16];
	uint8_t image_id[16];
	uint32_t vmpl;
	uint32_t signature_algorithm;
	uint8_t current_tcb[8];
	uint8_t platform_info[8];
	uint32_t key_flags;
	uint32_t reserved1;
	uint8_t report_data[64];
	uint8_t measurement[48];
	uint8_t host_data[32];
	uint8_t id_key_digest[48];
	uint8_t author_key_digest[48];
	uint8_t report_id[32];
	uint8_t report_id_ma[32];
	uint8_t reported_tcb[8];
	uint8_t cpuid_family; /* these three since version 3 */
	uint8_t cpuid_model;
	uint8_t cpuid_stepping;
	uint8_t reserved2[21];
	uint8_t chip_id[64];
	uint8_t rest[0x2c0];
};

static_assert(offsetof(struct report_layout, guest_svn) == 0x004, "56860, GUEST_SVN");
static_assert(offsetof(struct report_layout, policy) == 0x008, "56860, POLICY");
static_assert(offsetof(struct report_layout, family_id) == 0x010, "56860, FAMILY_ID");
static_assert(offsetof(struct report_layout, image_id) == 0x020, "56860, IMAGE_ID");
static_assert(offsetof(struct report_layout, vmpl) == 0x030, "56860, VMPL");
static_assert(offsetof(struct report_layout, signature_algorithm) == 0x034,
	      "56860, SIGNATURE_ALGO");
static_assert(offsetof(struct report_layout, current_tcb) == 0x038, "56860, CURRENT_TCB");
static_assert(offsetof(struct report_layout, platform_info) == 0x040, "56860, PLATFORM_INFO");
static_assert(offsetof(struct report_layout, key_flags) == 0x048, "56860, SIGNING_KEY ...");
static_assert(offsetof(struct report_layout, report_data) == 0x050, "56860, REPORT_DATA");
static_assert(offsetof(struct report_layout, measurement) == 0x090, "56860, MEASUREMENT");
static_assert(offsetof(struct report_layout, host_data) == 0x0c0, "56860, HOST_DATA");
static_assert(offsetof(struct report_layout, id_key_digest) == 0x0e0, "56860, ID_KEY_DIGEST");
static_assert(offsetof(struct report_layout, author_key_digest) == 0x110,
	      "56860, AUTHOR_KEY_DIGEST");
static_assert(offsetof(struct report_layout, report_id) == 0x140, "56860, REPORT_ID");
static_assert(offsetof(struct report_layout, report_id_ma) == 0x160, "56860, REPORT_ID_MA");
static_assert(offsetof(struct report_layout, reported_tcb) == 0x180, "56860, REPORTED_TCB");
static_assert(offsetof(struct report_layout, cpuid_family) == 0x188, "56860, CPUID_FAM_ID");
static_assert(offsetof(struct report_layout, cpuid_model) == 0x189, "56860, CPUID_MOD_ID");
static_assert(offsetof(struct report_layout, cpuid_stepping) == 0x18a, "56860, CPUID_STEP");
static_assert(offsetof(struct report_layout, chip_id) == 0x1a0, "56860, CHIP_ID");
static_assert(sizeof(struct report_layout) == 0x4a0, "56860, ATTESTATION_REPORT");

/* What the guest's driver gives has this before it: 56860, MSG_REPORT_RSP. */
struct response_layout {
	uint32_t status;
	uint32_t report_size;
	uint8_t reserved[24];
};

static_assert(sizeof(struct response_layout) == 0x20, "56860, MSG_REPORT_RSP");

/* The first version that anybody has seen, and the one that brought the processor. */
#define VERSION_FIRST 2u
#define VERSION_CPU 3u
/* Larger than any: what is no report reads as such a number. */
#define VERSION_ABSURD 256u

/* A page, for what drivers and tools fill up to one. */
#define REPORT_FILE_SIZE 4096u

static bool is_version(uint32_t version)
{
	return version >= VERSION_FIRST && version < VERSION_ABSURD;
}

static bool find_report(const struct bytes *bytes, struct report_layout *layout)
{
	struct response_layout response;

	if (bytes->size < sizeof(*layout))
		return false;
	memcpy(layout, bytes->data, sizeof(*layout));
	if (is_version(layout->version))
		return true;
	if (bytes->size < sizeof(response) + sizeof(*layout))
		return false;
	memcpy(&response, bytes->data, sizeof(response));
	if (response.status != 0 || response.report_size != sizeof(*layout))
		return false;
	memcpy(layout, bytes->data + sizeof(response), sizeof(*layout));
	return is_version(layout->version);
}

/* EAX of CPUID leaf 1: AMD's APM, volume 3, CPUID Fn0000_0001_EAX. */
static uint32_t signature_of(uint8_t family, uint8_t model, uint8_t stepping)
{
	uint32_t base = family < 0xf ? family : 0xf;

	return (uint32_t)(family - base) << 20 | (uint32_t)(model >> 4) << 16 | base << 8 |
	       (model & 0xfu) << 4 | (stepping & 0xfu);
}

static void take_report(const struct report_layout *layout, struct report *report)
{
	*report = (struct report){
		.version = layout->version,
		.svn = layout->guest_svn,
		.policy = layout->policy,
		.has_cpu = layout->version >= VERSION_CPU && layout->cpuid_family,
		.signature = signature_of(layout->cpuid_family, layout->cpuid_model,
					  layout->cpuid_stepping),
	};
	memcpy(report->family_id, layout->family_id, sizeof(report->family_id));
	memcpy(report->image_id, layout->image_id, sizeof(report->image_id));
	memcpy(report->measurement, layout->measurement, sizeof(report->measurement));
	memcpy(report->host_data, layout->host_data, sizeof(report->host_data));
	memcpy(report->id_key_digest, layout->id_key_digest, sizeof(report->id_key_digest));
	memcpy(report->author_key_digest, layout->author_key_digest,
	       sizeof(report->author_key_digest));
}

bool report_read(const char *path, struct report *report)
{
	struct report_layout layout;
	struct bytes bytes;
	bool good;

	if (!file_read(path, REPORT_FILE_SIZE, &bytes))
		return false;
	good = find_report(&bytes, &layout);
	if (good)
		take_report(&layout, report);
	else
		complain("%s is no attestation report: it must have %zu bytes, the first of them a "
			 "version from %u on, or these after the driver's header",
			 path, sizeof(layout), VERSION_FIRST);
	bytes_free(&bytes);
	return good;
}

static void print_bytes(FILE *out, const char *name, const uint8_t *bytes, size_t size)
{
	char text[DIGEST_TEXT];

	hex_format(bytes, size, text);
	fprintf(out, "  %-18s %s\n", name, text);
}

void report_print(FILE *out, const struct report *report)
{
	fprintf(out, "The report (version %" PRIu32 "; its signature is not checked here):\n",
		report->version);
	print_bytes(out, "launch digest", report->measurement, DIGEST_SIZE);
	fprintf(out, "  %-18s 0x%" PRIx64 "\n", "policy", report->policy);
	fprintf(out, "  %-18s %" PRIu32 "\n", "guest SVN", report->svn);
	print_bytes(out, "family ID", report->family_id, sizeof(report->family_id));
	print_bytes(out, "image ID", report->image_id, sizeof(report->image_id));
	print_bytes(out, "host data", report->host_data, sizeof(report->host_data));
	print_bytes(out, "ID key digest", report->id_key_digest, DIGEST_SIZE);
	print_bytes(out, "author key digest", report->author_key_digest, DIGEST_SIZE);
	if (report->has_cpu)
		fprintf(out, "  %-18s 0x%" PRIx32 "\n", "processor", report->signature);
	fputc('\n', out);
}

void report_put_json(struct json *json, const struct report *report)
{
	json_begin(json, "report", '{');
	json_number(json, "version", report->version);
	json_hex(json, "digest", report->measurement, DIGEST_SIZE);
	json_number(json, "policy", report->policy);
	json_number(json, "svn", report->svn);
	json_hex(json, "family_id", report->family_id, sizeof(report->family_id));
	json_hex(json, "image_id", report->image_id, sizeof(report->image_id));
	json_hex(json, "host_data", report->host_data, sizeof(report->host_data));
	json_hex(json, "id_key_digest", report->id_key_digest, DIGEST_SIZE);
	json_hex(json, "author_key_digest", report->author_key_digest, DIGEST_SIZE);
	if (report->has_cpu)
		json_number(json, "signature", report->signature);
	else
		json_null(json, "signature");
	json_end(json, '}');
}
