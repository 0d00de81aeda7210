// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table for people: the host, a column for each VM type it offers, and the advice. */
#include "gmem-probe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LABEL_WIDTH 34
#define COLUMN_GAP 2
#define COLUMN_LEAST 9
#define CELL_SIZE 64
#define TEXT_BYTES 32
#define WIDTH_LEAST 40
#define WIDTH_MOST 100
#define WIDTH_DEFAULT 80

/* SGR parameters; "" for the terminal's own. */
#define STYLE_NONE ""
#define STYLE_HEADING "1"
#define STYLE_GOOD "32"
#define STYLE_BAD "31"
#define STYLE_HINT "33"
#define STYLE_FAINT "2"

struct text {
	FILE *out;
	bool color;
	int width;
};

static bool wants_color(const struct options *options)
{
	const char *terminal = getenv("TERM");
	const char *no_color = getenv("NO_COLOR");

	if (options->color != COLOR_AUTO)
		return options->color == COLOR_ALWAYS;
	if (no_color && no_color[0])
		return false;
	return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

static int text_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size = { 0 };
	long width = WIDTH_DEFAULT;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		width = size.ws_col;
	else if (columns && columns[0])
		width = strtol(columns, NULL, 10);
	if (width < WIDTH_LEAST)
		return WIDTH_LEAST;
	return width > WIDTH_MOST ? WIDTH_MOST : (int)width;
}

/* Text in a style, padded to a width outside of it. */
static void text_styled(const struct text *text, const char *style, const char *words, int width)
{
	int padding = width - (int)strlen(words);

	if (text->color && style[0])
		fprintf(text->out, "\033[%sm%s\033[0m", style, words);
	else
		fputs(words, text->out);
	if (padding > 0)
		fprintf(text->out, "%*s", padding, "");
}

static void text_heading(const struct text *text, const char *words)
{
	text_styled(text, STYLE_HEADING, words, 0);
	fputc('\n', text->out);
}

static void text_label(const struct text *text, const char *words)
{
	fprintf(text->out, "  %-*s", LABEL_WIDTH, words);
}

static void __attribute__((format(printf, 3, 4)))
text_row(const struct text *text, const char *name, const char *format, ...)
{
	va_list arguments;

	text_label(text, name);
	va_start(arguments, format);
	vfprintf(text->out, format, arguments);
	va_end(arguments);
	fputc('\n', text->out);
}

/* Words between left and the width; a word longer than that has a line of its own. */
static void text_wrapped(const struct text *text, const char *words, int left)
{
	int column = 0;
	int length;

	while (*words) {
		words += strspn(words, " ");
		length = (int)strcspn(words, " ");
		if (length == 0)
			break;
		if (column == 0 || column + 1 + length > text->width) {
			fprintf(text->out, "%s%*s", column ? "\n" : "", left, "");
			column = left;
		} else {
			fputc(' ', text->out);
			column++;
		}
		fwrite(words, 1, (size_t)length, text->out);
		column += length;
		words += length;
	}
	fputc('\n', text->out);
}

static void text_bytes(char *cell, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	uint64_t scaled = bytes;
	size_t unit = 0;

	while (scaled >= 1024 && scaled % 1024 == 0 && unit + 1 < ARRAY_SIZE(units)) {
		scaled /= 1024;
		unit++;
	}
	snprintf(cell, TEXT_BYTES, "%" PRIu64 " %s", scaled, units[unit]);
}

static const char *or_unknown(const char *word)
{
	return word[0] ? word : "unknown";
}

/* The host. */

static void print_flags(const struct text *text, const struct host *host)
{
	uint32_t i;

	text_label(text, "processor");
	fprintf(text->out, "%s, flags:", or_unknown(host->vendor));
	for (i = 0; i < CPU_FLAGS; i++) {
		if (host_has_flag(host, i))
			fprintf(text->out, " %s", cpu_flag_names[i]);
	}
	fputs(host->cpu_flags ? "\n" : " none that matters\n", text->out);
}

static void print_modules(const struct text *text, const struct host *host)
{
	size_t i;

	text_label(text, "KVM modules");
	for (i = 0; i < host->module_count; i++)
		fprintf(text->out, "%s%s", i ? ", " : "", host->modules[i]);
	fputs(host->module_count ? "\n" : "none\n", text->out);
}

static void print_parameters(const struct text *text, const struct host *host)
{
	bool first = true;
	uint32_t i;

	for (i = 0; i < PARAMETERS; i++) {
		if (!host->parameters[i][0])
			continue;
		text_label(text, first ? "their parameters" : "");
		fprintf(text->out, "%s.%s=%s\n", parameter_names[i].module, parameter_names[i].name,
			host->parameters[i]);
		first = false;
	}
}

/* A memslot's limit is a page short of a round number, which is what people remember. */
static void format_limit(char *cell, uint64_t bytes)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char limit[TEXT_BYTES];

	if (bytes <= page || __builtin_popcountll(bytes + page) != 1) {
		text_bytes(cell, bytes);
		return;
	}
	text_bytes(limit, bytes + page);
	snprintf(cell, CELL_SIZE, "< %s", limit);
}

static void print_huge_pages(const struct text *text, const struct host *host)
{
	char size[CELL_SIZE];
	size_t i;

	text_label(text, "huge pages (hugetlb)");
	for (i = 0; i < host->huge_page_count; i++) {
		text_bytes(size, host->huge_pages[i].size);
		fprintf(text->out, "%s%s: %" PRIu64 " free of %" PRIu64, i ? ", " : "", size,
			host->huge_pages[i].free, host->huge_pages[i].total);
	}
	fputs(host->huge_page_count ? "\n" : "none\n", text->out);
}

static void print_yes_no(const struct text *text, bool yes)
{
	text_styled(text, yes ? STYLE_GOOD : STYLE_BAD, yes ? "yes" : "no", 0);
}

static void print_userfaultfd(const struct text *text, const struct host *host)
{
	text_label(text, "userfaultfd");
	print_yes_no(text, host->userfaultfd != USERFAULTFD_ABSENT);
	if (host->userfaultfd == USERFAULTFD_PRIVILEGED)
		fputs(" (faults inside the kernel: with privilege only)", text->out);
	fputc('\n', text->out);
}

static void print_host(const struct text *text, const struct host *host)
{
	text_heading(text, "Host");
	text_row(text, "kernel", "Linux %s, %s", or_unknown(host->release),
		 or_unknown(host->machine));
	if (host->config_path[0])
		text_row(text, "its configuration", "%s", host->config_path);
	text_row(text, "page size", "%" PRIu64 " bytes", host->page_size);
	if (host_is_x86(host))
		print_flags(text, host);
	print_modules(text, host);
	print_parameters(text, host);
	text_row(text, "NUMA nodes", "%" PRIu32, host->numa_nodes);
	print_huge_pages(text, host);
	text_label(text, "memfd");
	print_yes_no(text, host->memfd);
	fputc('\n', text->out);
	print_userfaultfd(text, host);
}

static void print_device(const struct text *text, const struct kvm *kvm)
{
	text_label(text, "KVM device");
	fprintf(text->out, "%s: ", kvm->path);
	if (kvm->state == KVM_USABLE)
		text_styled(text, STYLE_GOOD, "usable", 0);
	else
		text_styled(text, STYLE_BAD, "cannot be used", 0);
	if (kvm->error)
		fprintf(text->out, " (%s)", strerror(kvm->error));
	fputc('\n', text->out);
}

/* What it comes to, before all the details. */

static const char *ordinary_memory(const struct vm_type *type)
{
	if (feature_present(type, FEATURE_MMAP))
		return "guest_memfd that the host can map";
	if (feature_present(type, FEATURE_GUEST_MEMFD))
		return "guest_memfd that the host cannot map";
	return "plain memory, no guest_memfd";
}

static void print_private_types(const struct text *text, const struct kvm *kvm)
{
	static const char title[] = "VMs with private memory";
	const struct feature *tracking = &features[FEATURE_TRACKING];
	bool first = true;
	uint32_t type;

	for (type = 0; type < VM_TYPES; type++) {
		if (!feature_present(&kvm->types[type], FEATURE_PRIVATE_MEMORY))
			continue;
		text_row(text, first ? title : "", "%s, tracked %s", vm_type_names[type],
			 tracking->word(tracking->get(&kvm->types[type]), true));
		first = false;
	}
	if (first)
		text_row(text, title, "none");
}

static void print_summary(const struct text *text, const struct kvm *kvm)
{
	text_heading(text, "In short");
	text_label(text, "KVM");
	if (kvm->state != KVM_USABLE) {
		text_styled(text, STYLE_BAD, "cannot be used", 0);
		fputs(", see the end\n", text->out);
	} else {
		text_styled(text, STYLE_GOOD, "works", 0);
		fputc('\n', text->out);
		text_row(text, "memory of ordinary VMs", "%s",
			 ordinary_memory(&kvm->types[VM_TYPE_DEFAULT]));
		print_private_types(text, kvm);
	}
	fputc('\n', text->out);
}

/* VM types. */

static void print_type(const struct text *text, const struct vm_type *type, const char *name)
{
	text_label(text, name);
	if (!type->offered) {
		text_styled(text, STYLE_FAINT, "not offered", 0);
	} else if (type->create_error) {
		text_styled(text, STYLE_BAD, "offered, but cannot be created", 0);
		fprintf(text->out, " (%s)", strerror(type->create_error));
	} else if (type->probe_error) {
		text_styled(text, STYLE_BAD, "libgmem failed", 0);
		fprintf(text->out, ": %s",
			type->message[0] ? type->message : strerror(type->probe_error));
	} else {
		text_styled(text, STYLE_GOOD, "yes", 0);
	}
	fputc('\n', text->out);
}

static const char *type_title(uint32_t type)
{
	static const char *const titles[VM_TYPES] = {
		[VM_TYPE_DEFAULT] = "default: ordinary VM",
		[VM_TYPE_SW_PROTECTED] = "sw_protected: software-protected",
		[VM_TYPE_SEV] = "sev: AMD SEV",
		[VM_TYPE_SEV_ES] = "sev_es: AMD SEV-ES",
		[VM_TYPE_SNP] = "snp: AMD SEV-SNP",
		[VM_TYPE_TDX] = "tdx: Intel TDX",
	};

	return titles[type];
}

static void print_types(const struct text *text, const struct probe *probe)
{
	const struct kvm *kvm = &probe->kvm;
	uint64_t unknown = kvm->vm_types >> VM_TYPES;
	uint32_t type;

	fputc('\n', text->out);
	text_heading(text, "VM types");
	for (type = 0; type < VM_TYPES; type++) {
		if (probe_shows_type(probe, type))
			print_type(text, &kvm->types[type], type_title(type));
	}
	for (type = VM_TYPES; unknown; unknown >>= 1, type++) {
		if (unknown & 1)
			text_row(text, "another", "type %" PRIu32 ", unknown to this version",
				 type);
	}
}

/* Features: a row each, a column for each type that was looked at. */

static const char *cell_style(const struct feature *feature, uint64_t value)
{
	/* No is not always a fault: an ordinary VM has no private memory. */
	if (feature->kind == KIND_YES_NO)
		return value ? STYLE_GOOD : STYLE_FAINT;
	if (feature->kind == KIND_WORD && value > GMEM_TRACKING_NONE)
		return STYLE_GOOD;
	return STYLE_NONE;
}

static void format_cell(char *cell, const struct feature *feature, uint64_t value)
{
	switch (feature->kind) {
	case KIND_YES_NO:
		snprintf(cell, CELL_SIZE, "%s", value ? "yes" : "no");
		break;
	case KIND_WORD:
		snprintf(cell, CELL_SIZE, "%s", feature->word(value, true));
		break;
	case KIND_NUMBER:
		snprintf(cell, CELL_SIZE, "%" PRIu64, value);
		break;
	case KIND_BYTES:
		format_limit(cell, value);
		break;
	case KIND_BITS:
		snprintf(cell, CELL_SIZE, "%#" PRIx64, value);
		break;
	}
}

static bool shows_column(const struct probe *probe, uint32_t type)
{
	const struct vm_type *column = &probe->kvm.types[type];

	return probe_shows_type(probe, type) && vm_type_made(column) && !column->probe_error;
}

/* VM_TYPES where no type is shown. */
static uint32_t last_column(const struct probe *probe)
{
	uint32_t type;

	for (type = VM_TYPES; type > 0; type--) {
		if (shows_column(probe, type - 1))
			return type - 1;
	}
	return VM_TYPES;
}

/* Nothing follows the last column, not even spaces. */
static int width_in_row(const struct probe *probe, uint32_t type)
{
	int name = (int)strlen(vm_type_names[type]);

	if (type == last_column(probe))
		return 0;
	return (name > COLUMN_LEAST ? name : COLUMN_LEAST) + COLUMN_GAP;
}

/* Bits are worth a row where a type has them. */
static bool row_is_empty(const struct probe *probe, const struct feature *feature)
{
	uint32_t type;

	if (feature->kind != KIND_BITS)
		return false;
	for (type = 0; type < VM_TYPES; type++) {
		if (shows_column(probe, type) && feature->get(&probe->kvm.types[type]))
			return false;
	}
	return true;
}

static void print_feature(const struct text *text, const struct probe *probe,
			  const struct feature *feature)
{
	char cell[CELL_SIZE];
	uint64_t value;
	uint32_t type;

	text_label(text, feature->title);
	for (type = 0; type < VM_TYPES; type++) {
		if (!shows_column(probe, type))
			continue;
		value = feature->get(&probe->kvm.types[type]);
		format_cell(cell, feature, value);
		text_styled(text, cell_style(feature, value), cell, width_in_row(probe, type));
	}
	fputc('\n', text->out);
}

/* What the bits mean, below the columns, where there is room. */
static void print_bits(const struct text *text, const struct vm_type *type, const char *name,
		       const struct feature *feature)
{
	uint64_t value = feature->get(type);
	const struct bit_name *bit;
	const char *separator = "";
	char words[512];
	int used;

	used = snprintf(words, sizeof(words), "%s, %s:", name, feature->title);
	for (bit = feature->bits; bit->name; bit++) {
		if (!(value >> bit->bit & 1) || used >= (int)sizeof(words))
			continue;
		used += snprintf(words + used, sizeof(words) - (size_t)used, "%s %s", separator,
				 bit->name);
		separator = ",";
	}
	text_wrapped(text, words, 2);
}

static void print_all_bits(const struct text *text, const struct probe *probe)
{
	uint32_t type;
	uint32_t id;

	for (id = 0; id < FEATURES; id++) {
		if (row_is_empty(probe, &features[id]) || features[id].kind != KIND_BITS)
			continue;
		for (type = 0; type < VM_TYPES; type++) {
			if (shows_column(probe, type) && features[id].get(&probe->kvm.types[type]))
				print_bits(text, &probe->kvm.types[type], vm_type_names[type],
					   &features[id]);
		}
	}
}

static void print_features(const struct text *text, const struct probe *probe)
{
	uint32_t type;
	uint32_t id;

	if (last_column(probe) == VM_TYPES)
		return;
	fputc('\n', text->out);
	text_styled(text, STYLE_HEADING, "What VMs of each type have", LABEL_WIDTH + 2);
	for (type = 0; type < VM_TYPES; type++) {
		if (shows_column(probe, type))
			text_styled(text, STYLE_HEADING, vm_type_names[type],
				    width_in_row(probe, type));
	}
	fputc('\n', text->out);
	for (id = 0; id < FEATURES; id++) {
		if (!features[id].json_only && !row_is_empty(probe, &features[id]))
			print_feature(text, probe, &features[id]);
	}
	print_all_bits(text, probe);
}

/* Advice. */

static void print_entry(const struct text *text, const struct advice_entry *entry)
{
	static const char *const styles[] = {
		[ADVICE_ERROR] = STYLE_BAD,
		[ADVICE_HINT] = STYLE_HINT,
		[ADVICE_NOTE] = STYLE_FAINT,
	};

	fputs("  ", text->out);
	text_styled(text, styles[entry->level], entry->missing, 0);
	fputc('\n', text->out);
	text_wrapped(text, entry->remedy, 6);
}

static void print_advice(const struct text *text, const struct advice *advice)
{
	uint32_t level;
	size_t i;

	if (advice->count == 0)
		return;
	fputc('\n', text->out);
	text_heading(text, "What is missing, and how to get it");
	for (level = ADVICE_ERROR; level <= ADVICE_NOTE; level++) {
		for (i = 0; i < advice->count; i++) {
			if (advice->entries[i].level == level)
				print_entry(text, &advice->entries[i]);
		}
	}
}

void table_print(FILE *out, const struct probe *probe)
{
	const struct text text = {
		.out = out,
		.color = wants_color(&probe->options),
		.width = text_width(),
	};

	print_summary(&text, &probe->kvm);
	print_host(&text, &probe->host);
	print_device(&text, &probe->kvm);
	if (probe->kvm.state == KVM_USABLE || probe->kvm.state == KVM_NO_VM)
		print_types(&text, probe);
	print_features(&text, probe);
	print_advice(&text, &probe->advice);
}
