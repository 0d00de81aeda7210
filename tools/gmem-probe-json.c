// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The same as JSON. Keys are promised by the manual page: one may be added, none changes its
 * meaning or goes without a new number in "schema".
 */
#include "gmem-probe.h"

#include <inttypes.h>
#include <string.h>

#define JSON_SCHEMA 1
#define JSON_DEPTH 8

/* A writer that knows where commas go. Keys are NULL inside an array. */
struct json {
	FILE *out;
	uint32_t depth;
	bool has_member[JSON_DEPTH];
};

/*
 * The length of the well-formed UTF-8 sequence at text, 0 where there is none: what comes from
 * files and names may be anything, and JSON may not.
 */
static size_t utf8_length(const unsigned char *text)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	uint32_t code;
	size_t i;

	if (length == 1)
		return 1;
	if (text[0] < 0xc0 || text[0] > 0xf7)
		return 0;
	code = text[0] & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return length;
}

static void write_string(FILE *out, const char *text)
{
	const unsigned char *next = (const unsigned char *)text;
	size_t length;

	fputc('"', out);
	while (*next) {
		length = utf8_length(next);
		if (length == 0)
			fputs("\\ufffd", out);
		else if (*next == '"' || *next == '\\')
			fprintf(out, "\\%c", *next);
		else if (*next < 0x20 || *next == 0x7f)
			fprintf(out, "\\u%04x", *next);
		else
			fwrite(next, 1, length, out);
		next += length ? length : 1;
	}
	fputc('"', out);
}

static void member(struct json *json, const char *key)
{
	uint32_t i;

	if (json->has_member[json->depth])
		fputc(',', json->out);
	if (json->depth > 0)
		fputc('\n', json->out);
	json->has_member[json->depth] = true;
	for (i = 0; i < json->depth; i++)
		fputs("  ", json->out);
	if (key) {
		write_string(json->out, key);
		fputs(": ", json->out);
	}
}

static void begin(struct json *json, const char *key, char bracket)
{
	member(json, key);
	fputc(bracket, json->out);
	json->depth++;
	json->has_member[json->depth] = false;
}

static void end(struct json *json, char bracket)
{
	uint32_t i;

	json->depth--;
	if (json->has_member[json->depth + 1]) {
		fputc('\n', json->out);
		for (i = 0; i < json->depth; i++)
			fputs("  ", json->out);
	}
	fputc(bracket, json->out);
}

static void put_null(struct json *json, const char *key)
{
	member(json, key);
	fputs("null", json->out);
}

static void put_bool(struct json *json, const char *key, bool value)
{
	member(json, key);
	fputs(value ? "true" : "false", json->out);
}

static void put_number(struct json *json, const char *key, uint64_t value)
{
	member(json, key);
	fprintf(json->out, "%" PRIu64, value);
}

static void put_string(struct json *json, const char *key, const char *value)
{
	member(json, key);
	write_string(json->out, value);
}

static void put_word(struct json *json, const char *key, const char *value)
{
	if (value[0])
		put_string(json, key, value);
	else
		put_null(json, key);
}

static void put_error(struct json *json, const char *key, int error)
{
	put_word(json, key, error ? strerror(error) : "");
}

/* The host. */

static void put_cpu(struct json *json, const struct host *host)
{
	uint32_t i;

	begin(json, "cpu", '{');
	put_word(json, "vendor", host->vendor);
	begin(json, "flags", '{');
	for (i = 0; i < CPU_FLAGS; i++)
		put_bool(json, cpu_flag_names[i], host_has_flag(host, i));
	end(json, '}');
	end(json, '}');
}

static void put_modules(struct json *json, const struct host *host)
{
	char key[HOST_WORD];
	size_t i;

	begin(json, "modules", '[');
	for (i = 0; i < host->module_count; i++)
		put_string(json, NULL, host->modules[i]);
	end(json, ']');
	begin(json, "parameters", '{');
	for (i = 0; i < PARAMETERS; i++) {
		snprintf(key, sizeof(key), "%s.%s", parameter_names[i].module,
			 parameter_names[i].name);
		put_word(json, key, host->parameters[i]);
	}
	end(json, '}');
}

static void put_config(struct json *json, const struct host *host)
{
	char value[2] = "";
	uint32_t i;

	begin(json, "config", '{');
	put_word(json, "path", host->config_path);
	for (i = 0; i < CONFIG_OPTIONS; i++) {
		value[0] = host->config[i];
		put_word(json, config_names[i], value);
	}
	end(json, '}');
}

static void put_huge_pages(struct json *json, const struct host *host)
{
	size_t i;

	begin(json, "huge_pages", '[');
	for (i = 0; i < host->huge_page_count; i++) {
		begin(json, NULL, '{');
		put_number(json, "size", host->huge_pages[i].size);
		put_number(json, "total", host->huge_pages[i].total);
		put_number(json, "free", host->huge_pages[i].free);
		end(json, '}');
	}
	end(json, ']');
}

static void put_host(struct json *json, const struct host *host)
{
	begin(json, "host", '{');
	put_word(json, "kernel", host->release);
	put_word(json, "architecture", host->machine);
	put_number(json, "page_size", host->page_size);
	put_cpu(json, host);
	put_modules(json, host);
	put_config(json, host);
	put_number(json, "numa_nodes", host->numa_nodes);
	put_huge_pages(json, host);
	put_bool(json, "memfd", host->memfd);
	put_string(json, "userfaultfd", userfaultfd_names[host->userfaultfd]);
	end(json, '}');
}

/* KVM. */

static void put_kvm(struct json *json, const struct kvm *kvm)
{
	begin(json, "kvm", '{');
	put_string(json, "device", kvm->path);
	put_bool(json, "usable", kvm->state == KVM_USABLE);
	put_string(json, "state", kvm_state_names[kvm->state]);
	put_error(json, "error", kvm->error);
	if (kvm->state == KVM_USABLE)
		put_number(json, "api_version", (uint64_t)kvm->api_version);
	else
		put_null(json, "api_version");
	put_number(json, "vm_type_mask", kvm->vm_types);
	end(json, '}');
}

static void put_feature(struct json *json, const struct feature *feature,
			const struct vm_type *type)
{
	uint64_t value = feature->get(type);

	if (feature->kind == KIND_YES_NO)
		put_bool(json, feature->name, value);
	else if (feature->kind == KIND_WORD)
		put_string(json, feature->name, feature->word(value, false));
	else
		put_number(json, feature->name, value);
}

static void put_type(struct json *json, const struct vm_type *type, uint32_t number)
{
	uint32_t id;

	begin(json, NULL, '{');
	put_string(json, "name", vm_type_names[number]);
	put_number(json, "number", number);
	put_bool(json, "offered", type->offered);
	put_error(json, "error", type->create_error ? type->create_error : type->probe_error);
	put_word(json, "message", type->message);
	if (vm_type_made(type) && !type->probe_error) {
		begin(json, "features", '{');
		for (id = 0; id < FEATURES; id++)
			put_feature(json, &features[id], type);
		end(json, '}');
	} else {
		put_null(json, "features");
	}
	end(json, '}');
}

static void put_types(struct json *json, const struct probe *probe)
{
	uint32_t type;

	begin(json, "vm_types", '[');
	for (type = 0; type < VM_TYPES; type++) {
		if (probe_shows_type(probe, type))
			put_type(json, &probe->kvm.types[type], type);
	}
	end(json, ']');
}

/* What was required, and advice. */

static void put_feature_names(struct json *json, const char *key, uint32_t set)
{
	uint32_t id;

	begin(json, key, '[');
	for (id = 0; id < FEATURES; id++) {
		if (set >> id & 1)
			put_string(json, NULL, features[id].name);
	}
	end(json, ']');
}

static void put_required(struct json *json, const struct probe *probe)
{
	const struct requirement *requirement = &probe->requirement;
	uint32_t type;

	if (!probe->options.required) {
		put_null(json, "required");
		return;
	}
	begin(json, "required", '{');
	put_feature_names(json, "features", probe->options.required);
	put_bool(json, "satisfied", requirement->satisfied);
	begin(json, "missing", '{');
	for (type = 0; type < VM_TYPES; type++) {
		if (requirement->missing[type])
			put_feature_names(json, vm_type_names[type], requirement->missing[type]);
	}
	end(json, '}');
	end(json, '}');
}

static void put_advice(struct json *json, const struct advice *advice)
{
	const struct advice_entry *entry;
	size_t i;

	begin(json, "advice", '[');
	for (i = 0; i < advice->count; i++) {
		entry = &advice->entries[i];
		begin(json, NULL, '{');
		put_string(json, "id", entry->id);
		put_string(json, "level", advice_level_names[entry->level]);
		put_string(json, "missing", entry->missing);
		put_string(json, "remedy", entry->remedy);
		end(json, '}');
	}
	end(json, ']');
}

void json_print(FILE *out, const struct probe *probe)
{
	struct json json = { .out = out };
	char version[HOST_WORD];

	snprintf(version, sizeof(version), "%u.%u.%u", GMEM_VERSION_MAJOR, GMEM_VERSION_MINOR,
		 GMEM_VERSION_PATCH);
	begin(&json, NULL, '{');
	put_number(&json, "schema", JSON_SCHEMA);
	put_string(&json, "version", version);
	put_host(&json, &probe->host);
	put_kvm(&json, &probe->kvm);
	put_types(&json, probe);
	put_required(&json, probe);
	put_advice(&json, &probe->advice);
	end(&json, '}');
	fputc('\n', out);
}
