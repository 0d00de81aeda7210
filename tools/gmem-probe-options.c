// SPDX-License-Identifier: LGPL-2.1-or-later
/* The command line of gmem-probe, and its usage text. */
#include "gmem-probe.h"

#include <getopt.h>
#include <string.h>

enum {
	OPTION_JSON = 256,
	OPTION_COLOR,
	OPTION_DEVICE,
	OPTION_ROOT,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "type", required_argument, NULL, 't' },
	{ "require", required_argument, NULL, 'r' },
	{ "color", required_argument, NULL, OPTION_COLOR },
	{ "device", required_argument, NULL, OPTION_DEVICE },
	{ "root", required_argument, NULL, OPTION_ROOT },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char usage_text[] =
	"Usage: gmem-probe [OPTION]...\n"
	"Show what KVM's guest_memfd can do on this host, for each type of VM, what is\n"
	"missing and how to get it.\n"
	"\n"
	"  -t, --type TYPE        look at VMs of this type only; may be given again\n"
	"  -r, --require FEATURE[,FEATURE]...\n"
	"                         exit with 1 unless all of these are there: for each\n"
	"                         TYPE given, or else for at least one\n"
	"      --json             write JSON, not a table for people\n"
	"      --color WHEN       colour the table: auto, always or never [auto]\n"
	"  -q, --quiet            write nothing but errors; the exit code is the answer\n"
	"  -v, --verbose          show libgmem's messages on standard error\n"
	"      --device PATH      the KVM device [/dev/kvm]\n"
	"      --root DIR         read DIR/proc, DIR/sys, DIR/dev, DIR/boot and\n"
	"                         DIR/lib/modules instead of the host's; for tests\n"
	"  -h, --help             show this text\n"
	"      --version          show the version\n";

static const char exit_text[] =
	"\nExit code: 0 fine, 1 something required is missing, 2 wrong usage, 3 KVM cannot\n"
	"be used, 4 an unexpected failure.\n";

static void print_usage(FILE *out)
{
	uint32_t i;

	fputs(usage_text, out);
	fputs("\nTypes:", out);
	for (i = 0; i < VM_TYPES; i++)
		fprintf(out, " %s", vm_type_names[i]);
	fputs("\nFeatures:", out);
	for (i = 0; i < FEATURES; i++) {
		if (features[i].kind == KIND_YES_NO)
			fprintf(out, "\n  %-20s %s", features[i].name, features[i].summary);
	}
	fputs("\n", out);
	fputs(exit_text, out);
}

static void print_version(FILE *out)
{
	uint32_t library = gmem_version();

	fprintf(out, "gmem-probe %u.%u.%u (libgmem %u.%u.%u)\n", GMEM_VERSION_MAJOR,
		GMEM_VERSION_MINOR, GMEM_VERSION_PATCH, library >> 16, library >> 8 & 0xff,
		library & 0xff);
}

static bool add_type(struct options *options, const char *name)
{
	uint32_t type;

	for (type = 0; type < VM_TYPES; type++) {
		if (!strcmp(vm_type_names[type], name)) {
			options->types |= UINT32_C(1) << type;
			return true;
		}
	}
	fprintf(stderr, "gmem-probe: no VM type \"%s\"; there are:", name);
	for (type = 0; type < VM_TYPES; type++)
		fprintf(stderr, " %s", vm_type_names[type]);
	fputs("\n", stderr);
	return false;
}

static bool add_required(struct options *options, const char *list)
{
	size_t length;
	uint32_t id;

	for (;;) {
		length = strcspn(list, ",");
		if (length == 0) {
			fputs("gmem-probe: --require takes FEATURE[,FEATURE]..., and one is empty; "
			      "gmem-probe --help lists them\n",
			      stderr);
			return false;
		}
		id = feature_find(list, length);
		if (id == FEATURES) {
			fprintf(stderr,
				"gmem-probe: no feature \"%.*s\"; gmem-probe --help lists them\n",
				(int)length, list);
			return false;
		}
		options->required |= UINT32_C(1) << id;
		if (list[length] == '\0')
			return true;
		list += length + 1;
	}
}

static bool set_color(struct options *options, const char *when)
{
	if (!strcmp(when, "auto"))
		options->color = COLOR_AUTO;
	else if (!strcmp(when, "always"))
		options->color = COLOR_ALWAYS;
	else if (!strcmp(when, "never"))
		options->color = COLOR_NEVER;
	else {
		fprintf(stderr, "gmem-probe: --color takes auto, always or never, not \"%s\"\n",
			when);
		return false;
	}
	return true;
}

static bool set_path(const char **path, const char *name, const char *value)
{
	if (strlen(value) == 0 || strlen(value) >= PATH_MAX) {
		fprintf(stderr, "gmem-probe: --%s takes a path of 1 to %d bytes\n", name,
			PATH_MAX - 1);
		return false;
	}
	*path = value;
	return true;
}

static enum options_result take_option(struct options *options, int option, const char *value)
{
	bool good = true;

	switch (option) {
	case OPTION_JSON:
		options->json = true;
		break;
	case 't':
		good = add_type(options, value);
		break;
	case 'r':
		good = add_required(options, value);
		break;
	case OPTION_COLOR:
		good = set_color(options, value);
		break;
	case OPTION_DEVICE:
		good = set_path(&options->device, "device", value);
		break;
	case OPTION_ROOT:
		good = set_path(&options->root, "root", value);
		break;
	case 'q':
		options->quiet = true;
		break;
	case 'v':
		options->verbose = true;
		break;
	case 'h':
		print_usage(stdout);
		return OPTIONS_DONE;
	case OPTION_VERSION:
		print_version(stdout);
		return OPTIONS_DONE;
	default:
		fputs("Try 'gmem-probe --help'.\n", stderr);
		good = false;
	}
	return good ? OPTIONS_RUN : OPTIONS_WRONG;
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
	static char name[] = "gmem-probe";
	enum options_result result;
	int option;

	*options = (struct options){ .root = "" };
	/* What getopt_long() starts its messages with: not the path, as in all others. */
	if (argc > 0)
		argv[0] = name;
	while ((option = getopt_long(argc, argv, "t:r:qvh", long_options, NULL)) != -1) {
		result = take_option(options, option, optarg);
		if (result != OPTIONS_RUN)
			return result;
	}
	if (optind < argc) {
		fprintf(stderr, "gmem-probe: \"%s\" is not an option\nTry 'gmem-probe --help'.\n",
			argv[optind]);
		return OPTIONS_WRONG;
	}
	return OPTIONS_RUN;
}
