// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The same as JSON. Keys are promised by the manual page: one may be added, none changes its
 * meaning or goes without a new number in "schema".
 */
#include "gmem-probe.h"
#include "json.h"

#include <string.h>

#define JSON_SCHEMA 1

/* The host. */

static void put_cpu(struct json *json, const struct host *host)
{
	uint32_t i;

	json_begin(json, "cpu", '{');
	json_word(json, "vendor", host->vendor);
	json_begin(json, "flags", '{');
	for (i = 0; i < CPU_FLAGS; i++)
		json_bool(json, cpu_flag_names[i], host_has_flag(host, i));
	json_end(json, '}');
	json_end(json, '}');
}

static void put_modules(struct json *json, const struct host *host)
{
	char key[HOST_WORD];
	size_t i;

	json_begin(json, "modules", '[');
	for (i = 0; i < host->module_count; i++)
		json_string(json, NULL, host->modules[i]);
	json_end(json, ']');
	json_begin(json, "parameters", '{');
	for (i = 0; i < PARAMETERS; i++) {
		snprintf(key, sizeof(key), "%s.%s", parameter_names[i].module,
			 parameter_names[i].name);
		json_word(json, key, host->parameters[i]);
	}
	json_end(json, '}');
}

static void put_config(struct json *json, const struct host *host)
{
	char value[2] = "";
	uint32_t i;

	json_begin(json, "config", '{');
	json_word(json, "path", host->config_path);
	for (i = 0; i < CONFIG_OPTIONS; i++) {
		value[0] = host->config[i];
		json_word(json, config_names[i], value);
	}
	json_end(json, '}');
}

static void put_huge_pages(struct json *json, const struct host *host)
{
	size_t i;

	json_begin(json, "huge_pages", '[');
	for (i = 0; i < host->huge_page_count; i++) {
		json_begin(json, NULL, '{');
		json_number(json, "size", host->huge_pages[i].size);
		json_number(json, "total", host->huge_pages[i].total);
		json_number(json, "free", host->huge_pages[i].free);
		json_end(json, '}');
	}
	json_end(json, ']');
}

static void put_host(struct json *json, const struct host *host)
{
	json_begin(json, "host", '{');
	json_word(json, "kernel", host->release);
	json_word(json, "architecture", host->machine);
	json_number(json, "page_size", host->page_size);
	put_cpu(json, host);
	put_modules(json, host);
	put_config(json, host);
	json_number(json, "numa_nodes", host->numa_nodes);
	put_huge_pages(json, host);
	json_bool(json, "memfd", host->memfd);
	json_string(json, "userfaultfd", userfaultfd_names[host->userfaultfd]);
	json_end(json, '}');
}

/* KVM. */

static void put_kvm(struct json *json, const struct kvm *kvm)
{
	json_begin(json, "kvm", '{');
	json_string(json, "device", kvm->path);
	json_bool(json, "usable", kvm->state == KVM_USABLE);
	json_string(json, "state", kvm_state_names[kvm->state]);
	json_error(json, "error", kvm->error);
	if (kvm->state == KVM_USABLE)
		json_number(json, "api_version", (uint64_t)kvm->api_version);
	else
		json_null(json, "api_version");
	json_number(json, "vm_type_mask", kvm->vm_types);
	json_end(json, '}');
}

static void put_feature(struct json *json, const struct feature *feature,
			const struct vm_type *type)
{
	uint64_t value = feature->get(type);

	if (feature->kind == KIND_YES_NO)
		json_bool(json, feature->name, value);
	else if (feature->kind == KIND_WORD)
		json_string(json, feature->name, feature->word(value, false));
	else
		json_number(json, feature->name, value);
}

static void put_type(struct json *json, const struct vm_type *type, uint32_t number)
{
	uint32_t id;

	json_begin(json, NULL, '{');
	json_string(json, "name", vm_type_names[number]);
	json_number(json, "number", number);
	json_bool(json, "offered", type->offered);
	json_error(json, "error", type->create_error ? type->create_error : type->probe_error);
	json_word(json, "message", type->message);
	if (vm_type_made(type) && !type->probe_error) {
		json_begin(json, "features", '{');
		for (id = 0; id < FEATURES; id++)
			put_feature(json, &features[id], type);
		json_end(json, '}');
	} else {
		json_null(json, "features");
	}
	json_end(json, '}');
}

static void put_types(struct json *json, const struct probe *probe)
{
	uint32_t type;

	json_begin(json, "vm_types", '[');
	for (type = 0; type < VM_TYPES; type++) {
		if (probe_shows_type(probe, type))
			put_type(json, &probe->kvm.types[type], type);
	}
	json_end(json, ']');
}

/* What was required, and advice. */

static void put_feature_names(struct json *json, const char *key, uint32_t set)
{
	uint32_t id;

	json_begin(json, key, '[');
	for (id = 0; id < FEATURES; id++) {
		if (set >> id & 1)
			json_string(json, NULL, features[id].name);
	}
	json_end(json, ']');
}

static void put_required(struct json *json, const struct probe *probe)
{
	const struct requirement *requirement = &probe->requirement;
	uint32_t type;

	if (!probe->options.required) {
		json_null(json, "required");
		return;
	}
	json_begin(json, "required", '{');
	put_feature_names(json, "features", probe->options.required);
	json_bool(json, "satisfied", requirement->satisfied);
	json_begin(json, "missing", '{');
	for (type = 0; type < VM_TYPES; type++) {
		if (requirement->missing[type])
			put_feature_names(json, vm_type_names[type], requirement->missing[type]);
	}
	json_end(json, '}');
	json_end(json, '}');
}

static void put_advice(struct json *json, const struct advice *advice)
{
	const struct advice_entry *entry;
	size_t i;

	json_begin(json, "advice", '[');
	for (i = 0; i < advice->count; i++) {
		entry = &advice->entries[i];
		json_begin(json, NULL, '{');
		json_string(json, "id", entry->id);
		json_string(json, "level", advice_level_names[entry->level]);
		json_string(json, "missing", entry->missing);
		json_string(json, "remedy", entry->remedy);
		json_end(json, '}');
	}
	json_end(json, ']');
}

void json_print(FILE *out, const struct probe *probe)
{
	struct json json = { .out = out };
	char version[HOST_WORD];

	snprintf(version, sizeof(version), "%u.%u.%u", GMEM_VERSION_MAJOR, GMEM_VERSION_MINOR,
		 GMEM_VERSION_PATCH);
	json_begin(&json, NULL, '{');
	json_number(&json, "schema", JSON_SCHEMA);
	json_string(&json, "version", version);
	put_host(&json, &probe->host);
	put_kvm(&json, &probe->kvm);
	put_types(&json, probe);
	put_required(&json, probe);
	put_advice(&json, &probe->advice);
	json_end(&json, '}');
	fputc('\n', out);
}
