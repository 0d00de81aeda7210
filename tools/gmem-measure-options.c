// SPDX-License-Identifier: LGPL-2.1-or-later
/* The command line of gmem-measure, and its usage text. */
#include "gmem-measure.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_JSON = 256,
	OPTION_FULL,
	OPTION_SIGNATURE,
	OPTION_FEATURES,
	OPTION_APPEND,
	OPTION_INITRD,
	OPTION_VMSA,
	OPTION_KEY,
	OPTION_AUTHOR_KEY,
	OPTION_BLOCK,
	OPTION_AUTH,
	OPTION_FAMILY_ID,
	OPTION_IMAGE_ID,
	OPTION_SVN,
	OPTION_POLICY,
	OPTION_BASE64,
	OPTION_DIGEST,
	OPTION_REPORT,
	OPTION_MAX_VCPUS,
	OPTION_VERSION,
};

/* Bits of the commands that an option is for. */
#define D (1u << COMMAND_DIGEST)
#define E (1u << COMMAND_EXPLAIN)
#define I (1u << COMMAND_ID_BLOCK)
#define V (1u << COMMAND_VERIFY)
#define C (1u << COMMAND_COMPARE)
#define ALL (D | E | I | V | C)

static const char *const command_names[COMMANDS] = {
	[COMMAND_DIGEST] = "digest", [COMMAND_EXPLAIN] = "explain", [COMMAND_ID_BLOCK] = "id-block",
	[COMMAND_VERIFY] = "verify", [COMMAND_COMPARE] = "compare",
};

static const struct option long_options[] = {
	{ "vcpus", required_argument, NULL, 'n' },
	{ "cpu", required_argument, NULL, 'c' },
	{ "signature", required_argument, NULL, OPTION_SIGNATURE },
	{ "vmm", required_argument, NULL, 'm' },
	{ "features", required_argument, NULL, OPTION_FEATURES },
	{ "kernel", required_argument, NULL, 'k' },
	{ "initrd", required_argument, NULL, OPTION_INITRD },
	{ "append", required_argument, NULL, OPTION_APPEND },
	{ "vmsa", required_argument, NULL, OPTION_VMSA },
	{ "full", no_argument, NULL, OPTION_FULL },
	{ "digest", required_argument, NULL, OPTION_DIGEST },
	{ "report", required_argument, NULL, OPTION_REPORT },
	{ "max-vcpus", required_argument, NULL, OPTION_MAX_VCPUS },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "author-key", required_argument, NULL, OPTION_AUTHOR_KEY },
	{ "block", required_argument, NULL, OPTION_BLOCK },
	{ "auth", required_argument, NULL, OPTION_AUTH },
	{ "family-id", required_argument, NULL, OPTION_FAMILY_ID },
	{ "image-id", required_argument, NULL, OPTION_IMAGE_ID },
	{ "svn", required_argument, NULL, OPTION_SVN },
	{ "policy", required_argument, NULL, OPTION_POLICY },
	{ "base64", no_argument, NULL, OPTION_BASE64 },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

/* Of options that are not for every command. */
struct use {
	int option;
	unsigned int commands;
};

static const struct use uses[] = {
	{ OPTION_FULL, E },      { OPTION_DIGEST, I | V | C },
	{ OPTION_REPORT, C },    { OPTION_MAX_VCPUS, C },
	{ OPTION_KEY, I },       { OPTION_AUTHOR_KEY, I },
	{ OPTION_BLOCK, I | V }, { OPTION_AUTH, I | V },
	{ OPTION_FAMILY_ID, I }, { OPTION_IMAGE_ID, I },
	{ OPTION_SVN, I },       { OPTION_POLICY, I | V },
	{ OPTION_BASE64, I },
};

static const char usage_text[] =
	"Usage: gmem-measure digest IMAGE --vcpus LIST [LAUNCH]...\n"
	"       gmem-measure explain IMAGE --vcpus N [LAUNCH]... [--full]\n"
	"       gmem-measure id-block --key FILE --block FILE --auth FILE\n"
	"                    {--digest HEX | IMAGE --vcpus N [LAUNCH]...} [ID]...\n"
	"       gmem-measure verify --block FILE --auth FILE [--policy N]\n"
	"                    [--digest HEX | IMAGE --vcpus N [LAUNCH]...]\n"
	"       gmem-measure compare IMAGE {--digest HEX | --report FILE} [LAUNCH]...\n"
	"Launch digests of SEV-SNP guests, computed without a launch; ID blocks, and why\n"
	"a digest is not the expected one. IMAGE is the firmware (OVMF).\n"
	"\n"
	"The launch:\n"
	"  -n, --vcpus LIST       how many vCPUs; digest takes lists such as 1,2,4-8 too\n"
	"  -c, --cpu MODEL        QEMU's name of the processor; needed with --vmm qemu\n"
	"      --signature N      the same as a number: EAX of CPUID leaf 1\n"
	"  -m, --vmm NAME         who launches: qemu, ec2, gce or kvm [qemu]\n"
	"      --features N       VMSA features [0x1]\n"
	"  -k, --kernel FILE      a kernel that is measured, and what belongs to it:\n"
	"      --initrd FILE\n"
	"      --append TEXT      its command line\n"
	"      --vmsa FILE        first states of vCPUs instead of the VMM's: a page for\n"
	"                         each; the last one serves for all others\n"
	"\n"
	"explain:\n"
	"      --full             show digests in full length\n"
	"\n"
	"compare:\n"
	"      --digest HEX       the digest that was expected, or seen\n"
	"      --report FILE      an attestation report that has it\n"
	"      --max-vcpus N      try up to so many vCPUs [512]\n"
	"\n"
	"id-block and verify:\n"
	"      --key FILE         the ID key: ECDSA P-384, PEM or DER, not encrypted\n"
	"      --author-key FILE  the author key, which signs the ID key\n"
	"      --block FILE       the ID block, written or read\n"
	"      --auth FILE        the ID authentication, written or read\n"
	"      --family-id HEX, --image-id HEX\n"
	"                         16 bytes each [zeros]\n"
	"      --svn N            security version number [0]\n"
	"      --policy N         policy of the launch [0x30000]\n"
	"      --base64           write both files in base64, as QEMU takes them\n"
	"\n"
	"      --json             write JSON, not text for people\n"
	"  -q, --quiet            write nothing but errors; the exit code is the answer\n"
	"  -h, --help             show this text\n"
	"      --version          show the version\n";

static const char exit_text[] =
	"\nExit code: 0 fine, equal, or all signatures hold; 1 unequal, or something does\n"
	"not hold; 2 wrong usage; 3 a file cannot be read or is not what it should be;\n"
	"4 an unexpected failure, or a libgmem that was built without libgcrypt.\n";

static void print_usage(void)
{
	size_t i;

	fputs(usage_text, stdout);
	fputs("\nModels:", stdout);
	for (i = 0; i < CPU_MODELS; i++)
		printf("%s %s (0x%x)", i ? "," : "", cpu_models[i].name, cpu_models[i].signature);
	fputs("\n", stdout);
	fputs(exit_text, stdout);
}

static void print_version(void)
{
	uint32_t library = gmem_version();

	printf("gmem-measure %u.%u.%u (libgmem %u.%u.%u)\n", GMEM_VERSION_MAJOR, GMEM_VERSION_MINOR,
	       GMEM_VERSION_PATCH, library >> 16, library >> 8 & 0xff, library & 0xff);
}

static bool parse_number(const char *name, const char *text, uint64_t most, uint64_t *number)
{
	char *end;

	errno = 0;
	/* strtoull() would take a sign, and blanks before it. */
	*number = strtoull(text, &end, 0);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && !errno && *number <= most)
		return true;
	complain("--%s takes a number from 0 to 0x%llx, not \"%s\"", name, (unsigned long long)most,
		 text);
	return false;
}

static bool parse_u32(const char *name, const char *text, uint32_t *number)
{
	uint64_t wide;

	if (!parse_number(name, text, UINT32_MAX, &wide))
		return false;
	*number = (uint32_t)wide;
	return true;
}

/* A count, at text; *end is what follows. */
static bool parse_count(const char *text, const char **end, uint32_t *count)
{
	char *rest;
	unsigned long value;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtoul(text, &rest, 10);
	*end = rest;
	*count = (uint32_t)value;
	return !errno && value >= 1 && value <= VCPUS_MAX;
}

static bool parse_vcpus(struct options *options, const char *list)
{
	const char *at = list;
	uint32_t first, last;

	for (;;) {
		if (!parse_count(at, &at, &first))
			break;
		last = first;
		if (*at == '-' && (!parse_count(at + 1, &at, &last) || last < first))
			break;
		for (; first <= last; first++) {
			options->vcpu_counts += !options->vcpus[first];
			options->vcpus[first] = true;
		}
		if (*at == '\0')
			return true;
		if (*at++ != ',')
			break;
	}
	complain("--vcpus takes counts from 1 to %u, such as 4 or 1,2,8-16, not \"%s\"", VCPUS_MAX,
		 list);
	return false;
}

/* QEMU's models have versions ("EPYC-Rome-v2"), which have the same signature. */
static bool is_version(const char *text)
{
	return text[0] == '\0' || (text[0] == '-' && text[1] == 'v' && text[2] &&
				   text[2 + strspn(text + 2, "0123456789")] == '\0');
}

static bool parse_cpu(struct options *options, const char *name)
{
	size_t i, length;

	for (i = 0; i < CPU_MODELS; i++) {
		length = strlen(cpu_models[i].name);
		if (strncmp(name, cpu_models[i].name, length) != 0 || !is_version(name + length))
			continue;
		options->signature = cpu_models[i].signature;
		options->has_signature = true;
		return true;
	}
	complain("no processor \"%s\"; gmem-measure --help lists them, and --signature takes any",
		 name);
	return false;
}

static bool parse_vmm(struct options *options, const char *name)
{
	uint32_t vmm;

	for (vmm = 0; vmm < VMMS; vmm++) {
		if (!strcmp(name, vmm_names[vmm])) {
			options->vmm = vmm;
			return true;
		}
	}
	complain("--vmm takes qemu, ec2, gce or kvm, not \"%s\"", name);
	return false;
}

static bool parse_hex(const char *name, const char *text, uint8_t *bytes, size_t size)
{
	if (hex_parse(text, bytes, size))
		return true;
	complain("--%s takes %zu hexadecimal digits, not \"%s\"", name, 2 * size, text);
	return false;
}

static bool take_text(const char **where, const char *name, const char *value)
{
	if (value[0]) {
		*where = value;
		return true;
	}
	complain("--%s takes a path, not \"\"", name);
	return false;
}

static bool take_launch(struct options *options, int option, const char *value)
{
	switch (option) {
	case 'n':
		return parse_vcpus(options, value);
	case 'c':
		return parse_cpu(options, value);
	case OPTION_SIGNATURE:
		options->has_signature = true;
		return parse_u32("signature", value, &options->signature);
	case 'm':
		return parse_vmm(options, value);
	case OPTION_FEATURES:
		return parse_number("features", value, UINT64_MAX, &options->features);
	case 'k':
		return take_text(&options->kernel, "kernel", value);
	case OPTION_INITRD:
		return take_text(&options->initrd, "initrd", value);
	case OPTION_APPEND:
		options->append = value;
		return true;
	default:
		return take_text(&options->vmsa, "vmsa", value);
	}
}

static bool take_id(struct options *options, int option, const char *value)
{
	switch (option) {
	case OPTION_KEY:
		return take_text(&options->key, "key", value);
	case OPTION_AUTHOR_KEY:
		return take_text(&options->author_key, "author-key", value);
	case OPTION_BLOCK:
		return take_text(&options->block, "block", value);
	case OPTION_AUTH:
		return take_text(&options->auth, "auth", value);
	case OPTION_FAMILY_ID:
		return parse_hex("family-id", value, options->family_id, GMEM_SNP_ID_SIZE);
	case OPTION_IMAGE_ID:
		return parse_hex("image-id", value, options->image_id, GMEM_SNP_ID_SIZE);
	case OPTION_SVN:
		return parse_u32("svn", value, &options->svn);
	case OPTION_POLICY:
		options->has_policy = true;
		return parse_number("policy", value, UINT64_MAX, &options->policy);
	default:
		options->base64 = true;
		return true;
	}
}

static bool take_max_vcpus(struct options *options, const char *value)
{
	const char *end;

	if (parse_count(value, &end, &options->max_vcpus) && *end == '\0')
		return true;
	complain("--max-vcpus takes a count from 1 to %u, not \"%s\"", VCPUS_MAX, value);
	return false;
}

static enum options_result take_option(struct options *options, int option, const char *value)
{
	bool good = true;

	switch (option) {
	case OPTION_JSON:
		options->json = true;
		break;
	case OPTION_FULL:
		options->full = true;
		break;
	case OPTION_DIGEST:
		options->has_digest = true;
		good = parse_hex("digest", value, options->digest, DIGEST_SIZE);
		break;
	case OPTION_REPORT:
		good = take_text(&options->report, "report", value);
		break;
	case OPTION_MAX_VCPUS:
		good = take_max_vcpus(options, value);
		break;
	case 'q':
		options->quiet = true;
		break;
	case 'h':
		print_usage();
		return OPTIONS_DONE;
	case OPTION_VERSION:
		print_version();
		return OPTIONS_DONE;
	case '?':
		fputs("Try 'gmem-measure --help'.\n", stderr);
		good = false;
		break;
	default:
		good = option == 'n' || option == 'c' || option == 'm' || option == 'k' ||
				       option == OPTION_SIGNATURE || option == OPTION_FEATURES ||
				       option == OPTION_INITRD || option == OPTION_APPEND ||
				       option == OPTION_VMSA
			       ? take_launch(options, option, value)
			       : take_id(options, option, value);
	}
	return good ? OPTIONS_RUN : OPTIONS_WRONG;
}

static bool is_for_command(const struct options *options, int option)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(uses); i++) {
		if (uses[i].option != option || uses[i].commands >> options->command & 1)
			continue;
		for (i = 0; long_options[i].val != option; i++)
			;
		complain("--%s is not for %s", long_options[i].name,
			 command_names[options->command]);
		return false;
	}
	return true;
}

/* What was given together, of a launch that is measured. */
static bool check_launch(const struct options *options)
{
	if (options->vcpu_counts == 0 && options->command != COMMAND_COMPARE) {
		complain("--vcpus is missing: the digest depends on how many there are");
		return false;
	}
	if (options->vcpu_counts > 1 && options->command != COMMAND_DIGEST) {
		complain("--vcpus takes one count for %s", command_names[options->command]);
		return false;
	}
	if (options->vmm == GMEM_SNP_VMM_QEMU && !options->has_signature && !options->vmsa &&
	    options->command != COMMAND_COMPARE) {
		complain("--cpu or --signature is missing: under QEMU the digest depends on it");
		return false;
	}
	if (!options->kernel && (options->initrd || options->append)) {
		complain("--%s is measured with a kernel only: --kernel is missing",
			 options->initrd ? "initrd" : "append");
		return false;
	}
	return true;
}

static bool has_launch_options(const struct options *options)
{
	return options->vcpu_counts || options->has_signature || options->kernel ||
	       options->initrd || options->append || options->vmsa;
}

static bool check_needed(const char *value, const char *name)
{
	if (value)
		return true;
	complain("--%s is missing", name);
	return false;
}

static bool check_image(const struct options *options)
{
	if (options->image)
		return true;
	complain("IMAGE is missing: the firmware that is launched");
	return false;
}

/* An ID block has its digest from the command line or from a launch. */
static bool check_id(const struct options *options)
{
	if (!check_needed(options->block, "block") || !check_needed(options->auth, "auth"))
		return false;
	if (options->command == COMMAND_ID_BLOCK) {
		if (!check_needed(options->key, "key"))
			return false;
		if (!options->has_digest && !options->image) {
			complain("--digest or IMAGE is missing");
			return false;
		}
	}
	if (options->has_digest && options->image) {
		complain("--digest and IMAGE exclude each other: either gives the digest");
		return false;
	}
	if (options->image)
		return check_launch(options);
	if (has_launch_options(options)) {
		complain("IMAGE is missing: there are options of a launch");
		return false;
	}
	return true;
}

static bool check(const struct options *options)
{
	switch (options->command) {
	case COMMAND_ID_BLOCK:
	case COMMAND_VERIFY:
		return check_id(options);
	case COMMAND_COMPARE:
		if (options->has_digest == (options->report != NULL)) {
			complain("compare takes either --digest or --report");
			return false;
		}
		return check_image(options) && check_launch(options);
	default:
		return check_image(options) && check_launch(options);
	}
}

static bool find_command(struct options *options, const char *name)
{
	uint32_t command;

	for (command = 0; command < COMMANDS; command++) {
		if (!strcmp(name, command_names[command])) {
			options->command = command;
			return true;
		}
	}
	complain("no command \"%s\"; there are: digest explain id-block verify compare", name);
	return false;
}

/* --help and --version come without a command too. */
static enum options_result parse_first(struct options *options, int argc, char **argv)
{
	if (argc < 2) {
		complain("a command is missing; try 'gmem-measure --help'");
		return OPTIONS_WRONG;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_usage();
		return OPTIONS_DONE;
	}
	if (!strcmp(argv[1], "--version")) {
		print_version();
		return OPTIONS_DONE;
	}
	return find_command(options, argv[1]) ? OPTIONS_RUN : OPTIONS_WRONG;
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
	static char name[] = "gmem-measure";
	enum options_result result;
	int option;

	*options = (struct options){
		.vmm = GMEM_SNP_VMM_QEMU,
		.features = 1,
		.policy = 0x30000,
		.max_vcpus = VCPUS_TRIED,
	};
	result = parse_first(options, argc, argv);
	if (result != OPTIONS_RUN)
		return result;
	/* What getopt_long() starts its messages with: not the path, as in all others. */
	argv[1] = name;
	argc--;
	argv++;
	while ((option = getopt_long(argc, argv, "n:c:m:k:qh", long_options, NULL)) != -1) {
		if (option != '?' && !is_for_command(options, option))
			return OPTIONS_WRONG;
		result = take_option(options, option, optarg);
		if (result != OPTIONS_RUN)
			return result;
	}
	if (optind < argc)
		options->image = argv[optind++];
	if (optind < argc) {
		complain("\"%s\" is one image too many", argv[optind]);
		return OPTIONS_WRONG;
	}
	return check(options) ? OPTIONS_RUN : OPTIONS_WRONG;
}
