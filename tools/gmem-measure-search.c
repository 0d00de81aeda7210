// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which launch gives a digest: guesses, nearest first. */
#include "gmem-measure-search.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RDX in a VMSA: AMD's APM, volume 2, table B-4. */
#define VMSA_RDX 0x310u

/* VMSA features that KVM may offer and that leave a mark in the digest alone. */
#define FEATURE_ACTIVE UINT64_C(0x1)
#define FEATURE_RESTRICTED_INJECTION UINT64_C(0x8)
#define FEATURE_DEBUG_SWAP UINT64_C(0x20)
#define FEATURE_SECURE_TSC UINT64_C(0x200)

#define SIGNATURES_MAX 32
#define FEATURES_MAX 16
#define GUESSES_MAX ((size_t)BOOTS * STARTS * SIGNATURES_MAX * FEATURES_MAX)

const char *const boot_names[BOOTS] = {
	[BOOT_AS_GIVEN] = "as given",
	[BOOT_NO_HASHES] = "not measured: no kernel hashes",
	[BOOT_NO_INITRD] = "measured without the initrd",
	[BOOT_NO_APPEND] = "measured without the command line",
	[BOOT_NEITHER] = "measured without initrd and command line",
	[BOOT_TRIMMED] = "measured without the blanks around the command line",
	[BOOT_NEWLINE] = "measured with a newline at the end of the command line",
};

static const struct {
	uint32_t vmm;
	const char *name;
} starts[STARTS] = {
	[START_AS_GIVEN] = { 0, "as the VMSAs given" },
	[START_QEMU] = { GMEM_SNP_VMM_QEMU, "QEMU" },
	[START_KVM] = { GMEM_SNP_VMM_KVM, "KVM's own reset state" },
	[START_EC2] = { GMEM_SNP_VMM_EC2, "Amazon EC2" },
	[START_EC2_RDX_0] = { GMEM_SNP_VMM_EC2, "Amazon EC2 with RDX 0, as some tools have it" },
	[START_GCE] = { GMEM_SNP_VMM_GCE, "Google Compute Engine" },
};

const char *start_name(const struct guess *guess)
{
	return starts[guess->start].name;
}

static enum start start_of_options(const struct options *options)
{
	static const enum start of_vmm[VMMS] = {
		[GMEM_SNP_VMM_KVM] = START_KVM,
		[GMEM_SNP_VMM_QEMU] = START_QEMU,
		[GMEM_SNP_VMM_EC2] = START_EC2,
		[GMEM_SNP_VMM_GCE] = START_GCE,
	};

	return options->vmsa ? START_AS_GIVEN : of_vmm[options->vmm];
}

/* The lists that guesses are made of. Each begins with what was described. */

struct lists {
	enum boot boots[BOOTS];
	size_t boot_count;
	struct gmem_snp_hashes hashes[BOOTS];
	enum start starts[STARTS];
	size_t start_count;
	uint32_t signatures[SIGNATURES_MAX];
	size_t signature_count;
	uint64_t features[FEATURES_MAX];
	size_t feature_count;
};

static void add_signature(struct lists *lists, uint32_t signature)
{
	size_t i;

	for (i = 0; i < lists->signature_count; i++) {
		if (lists->signatures[i] == signature)
			return;
	}
	if (lists->signature_count < SIGNATURES_MAX)
		lists->signatures[lists->signature_count++] = signature;
}

/* QEMU's models, and what the report says of the host, whose stepping a model may not have. */
static void list_signatures(const struct search *search, struct lists *lists)
{
	uint32_t stepping;
	size_t i;

	if (search->options->has_signature)
		add_signature(lists, search->options->signature);
	if (search->report && search->report->has_cpu)
		add_signature(lists, search->report->signature);
	for (i = 0; i < CPU_MODELS; i++)
		add_signature(lists, cpu_models[i].signature);
	for (stepping = 0; search->report && search->report->has_cpu && stepping < 16; stepping++)
		add_signature(lists, (search->report->signature & ~UINT32_C(0xf)) | stepping);
}

static void add_features(struct lists *lists, uint64_t features)
{
	size_t i;

	for (i = 0; i < lists->feature_count; i++) {
		if (lists->features[i] == features)
			return;
	}
	lists->features[lists->feature_count++] = features;
}

static void list_features(const struct search *search, struct lists *lists)
{
	static const uint64_t bits[] = { FEATURE_DEBUG_SWAP, FEATURE_SECURE_TSC,
					 FEATURE_RESTRICTED_INJECTION };
	uint64_t features;
	uint32_t set;
	size_t i;

	add_features(lists, search->options->features | FEATURE_ACTIVE);
	for (set = 0; set < 1u << ARRAY_SIZE(bits); set++) {
		features = FEATURE_ACTIVE;
		for (i = 0; i < ARRAY_SIZE(bits); i++)
			features |= set >> i & 1 ? bits[i] : 0;
		add_features(lists, features);
	}
}

static void list_starts(const struct search *search, struct lists *lists)
{
	static const enum start all[] = { START_QEMU, START_KVM, START_EC2, START_EC2_RDX_0,
					  START_GCE };
	enum start given = start_of_options(search->options);
	size_t i;

	lists->starts[lists->start_count++] = given;
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i] != given)
			lists->starts[lists->start_count++] = all[i];
	}
}

/* The command line as a guess has it, to be freed; NULL: out of memory. */
static char *guess_append(const char *append, enum boot boot)
{
	const char *end = append + strlen(append);
	char *text;

	if (boot == BOOT_NO_APPEND || boot == BOOT_NEITHER)
		return strdup("");
	if (boot == BOOT_NEWLINE)
		return asprintf(&text, "%s\n", append) < 0 ? NULL : text;
	while (boot == BOOT_TRIMMED && end > append && strchr(" \t\n", end[-1]))
		end--;
	while (boot == BOOT_TRIMMED && append < end && strchr(" \t\n", *append))
		append++;
	return strndup(append, (size_t)(end - append));
}

/* Kernel and initrd may be large, and are hashed already: what differs is small. */
static int add_boot(const struct search *search, struct lists *lists, enum boot boot)
{
	bool initrd = boot != BOOT_NO_INITRD && boot != BOOT_NEITHER;
	const char *given = search->options->append;
	struct gmem_snp_hashes hashes;
	char *append;
	size_t i;
	int ret;

	append = guess_append(given ? given : "", boot);
	if (!append)
		return -ENOMEM;
	ret = gmem_snp_hashes_compute(search->launch->ctx, "", 1, NULL, 0, append, &hashes);
	free(append);
	if (ret)
		return ret;
	memcpy(hashes.kernel, search->launch->hashes.kernel, sizeof(hashes.kernel));
	if (initrd)
		memcpy(hashes.initrd, search->launch->hashes.initrd, sizeof(hashes.initrd));
	/* What comes to the same was tried before. */
	for (i = 0; i < lists->boot_count; i++) {
		if (lists->boots[i] != BOOT_NO_HASHES &&
		    !memcmp(&lists->hashes[lists->boots[i]], &hashes, sizeof(hashes)))
			return 0;
	}
	lists->hashes[boot] = hashes;
	lists->boots[lists->boot_count++] = boot;
	return 0;
}

static int list_boots(const struct search *search, struct lists *lists)
{
	enum boot boot;
	int ret = 0;

	lists->boots[lists->boot_count++] = BOOT_AS_GIVEN;
	if (!search->launch->has_hashes)
		return 0;
	lists->hashes[BOOT_AS_GIVEN] = search->launch->hashes;
	lists->boots[lists->boot_count++] = BOOT_NO_HASHES;
	for (boot = BOOT_NO_INITRD; boot < BOOTS && !ret; boot++)
		ret = add_boot(search, lists, boot);
	return ret;
}

/* Guesses. */

struct guesses {
	struct guess *list;
	size_t count;
};

/* Of what has no default and was not given nothing was said that a guess could differ from. */
static uint32_t distance_of(const struct search *search, const struct guess *guess)
{
	const struct options *options = search->options;
	enum start given = start_of_options(options);
	uint32_t distance = 0;

	distance += guess->boot != BOOT_AS_GIVEN;
	distance += guess->start != given;
	distance += guess->start == given && guess->start == START_QEMU && options->has_signature &&
		    guess->signature != options->signature;
	distance += guess->start != START_AS_GIVEN &&
		    guess->features != (options->features | FEATURE_ACTIVE);
	return distance;
}

static void add_guess(const struct search *search, struct guesses *guesses, struct guess guess)
{
	guess.distance = distance_of(search, &guess);
	guesses->list[guesses->count++] = guess;
}

/* All signatures and features, of which only QEMU's vCPUs and none of the caller's own show all. */
static void add_guesses(const struct search *search, const struct lists *lists,
			struct guesses *guesses, enum boot boot, enum start start)
{
	size_t signatures = start == START_QEMU ? lists->signature_count : 1;
	size_t features = start == START_AS_GIVEN ? 1 : lists->feature_count;
	uint32_t vmm = start == START_AS_GIVEN ? search->options->vmm : starts[start].vmm;
	size_t i, j;

	for (i = 0; i < signatures; i++) {
		for (j = 0; j < features; j++)
			add_guess(search, guesses,
				  (struct guess){ .boot = boot,
						  .vmm = vmm,
						  .start = start,
						  .signature = lists->signatures[i],
						  .features = lists->features[j] });
	}
}

static int by_distance(const void *first, const void *second)
{
	const struct guess *a = first, *b = second;

	return a->distance < b->distance ? -1 : a->distance > b->distance;
}

static int make_guesses(const struct search *search, const struct lists *lists,
			struct guesses *guesses)
{
	size_t i, j;

	guesses->count = 0;
	guesses->list = calloc(GUESSES_MAX, sizeof(*guesses->list));
	if (!guesses->list)
		return -ENOMEM;
	for (i = 0; i < lists->boot_count; i++) {
		for (j = 0; j < lists->start_count; j++)
			add_guesses(search, lists, guesses, lists->boots[i], lists->starts[j]);
	}
	qsort(guesses->list, guesses->count, sizeof(*guesses->list), by_distance);
	return 0;
}

/* Measuring. */

/* The digest of the firmware for every boot and order, once each. */
struct seeds {
	bool known[BOOTS][VMMS];
	bool impossible[BOOTS][VMMS];
	uint8_t digest[BOOTS][VMMS][DIGEST_SIZE];
};

static int measure_seed(const struct search *search, const struct lists *lists,
			const struct guess *guess, uint8_t digest[DIGEST_SIZE])
{
	bool hashes = search->launch->has_hashes && guess->boot != BOOT_NO_HASHES;
	struct gmem_snp_measure *measure;
	int ret;

	ret = gmem_snp_measure_new(search->launch->ctx, NULL, &measure);
	if (ret)
		return ret;
	ret = launch_add_firmware(search->launch, measure, guess->vmm,
				  hashes ? &lists->hashes[guess->boot] : NULL);
	if (!ret)
		ret = gmem_snp_measure_get_digest(measure, digest);
	gmem_snp_measure_free(measure);
	return ret;
}

static bool is_target(struct search *search, const struct guess *guess, const uint8_t *digest,
		      uint32_t vcpus)
{
	uint32_t given = options_first_count(search->options);

	search->tried++;
	if (memcmp(digest, search->target, DIGEST_SIZE) != 0)
		return false;
	search->found = true;
	search->guess = *guess;
	search->vcpus = vcpus;
	search->distance = guess->distance + ((given && vcpus != given) || vcpus == 0);
	return true;
}

/* The VMSAs that no VMM of libgmem's makes: two pages, the second for all but the first vCPU. */
static int make_vmsas(const struct search *search, const struct guess *guess, uint8_t *pages)
{
	uint32_t index;
	int ret = 0;

	for (index = 0; index < 2 && !ret; index++) {
		ret = gmem_snp_vmsa_build(search->launch->ctx, guess->vmm, index,
					  search->launch->info.ap_reset, 0, guess->features,
					  pages + (size_t)index * GMEM_SNP_PAGE_SIZE);
		memset(pages + (size_t)index * GMEM_SNP_PAGE_SIZE + VMSA_RDX, 0, 8);
	}
	return ret;
}

static int try_counts(struct search *search, const struct guess *guess, const uint8_t *seed,
		      const struct vcpu_state *state)
{
	struct gmem_snp_measure *measure;
	uint8_t digest[DIGEST_SIZE];
	uint32_t count;
	int ret;

	ret = gmem_snp_measure_new(search->launch->ctx, seed, &measure);
	for (count = 1; count <= search->max_vcpus && !ret; count++) {
		ret = launch_add_vcpus(search->launch, measure, state, count - 1, 1);
		if (!ret)
			ret = gmem_snp_measure_get_digest(measure, digest);
		if (!ret && is_target(search, guess, digest, count))
			break;
	}
	gmem_snp_measure_free(measure);
	return ret;
}

static int try_guess(struct search *search, const struct guess *guess, const uint8_t *seed)
{
	uint8_t pages[2 * GMEM_SNP_PAGE_SIZE];
	struct bytes made = { pages, sizeof(pages) };
	struct vcpu_state state = {
		.vmm = guess->vmm,
		.signature = guess->signature,
		.features = guess->features,
	};
	int ret;

	/* The firmware alone: some tools call this a launch digest. */
	if (is_target(search, guess, seed, 0))
		return 0;
	if (guess->start == START_AS_GIVEN)
		state.vmsas = &search->launch->vmsas;
	if (guess->start == START_EC2_RDX_0) {
		ret = make_vmsas(search, guess, pages);
		if (ret)
			return ret;
		state.vmsas = &made;
	}
	return try_counts(search, guess, seed, &state);
}

/* To who looks on; more often than this nobody can read. */
#define PROGRESS_STEPS 200

static void show_progress(const struct search *search, size_t done, size_t count)
{
	if (search->options->quiet || !isatty(STDERR_FILENO))
		return;
	if (done == count)
		fputs("\r\033[K", stderr);
	else if (done % (count / PROGRESS_STEPS + 1) == 0)
		fprintf(stderr, "\rtrying %zu of %zu kinds of launch, %" PRIu32 " vCPU counts each",
			done + 1, count, search->max_vcpus);
	fflush(stderr);
}

/* An image that has no place for hashes, say: then no such launch can be. */
static bool is_impossible(int error)
{
	return error == -ENOENT || error == -EBADMSG;
}

static int try_all(struct search *search, const struct lists *lists, const struct guesses *guesses,
		   struct seeds *seeds)
{
	const struct guess *guess;
	size_t i;
	int ret = 0;

	for (i = 0; i < guesses->count && !ret && !search->found; i++) {
		guess = &guesses->list[i];
		show_progress(search, i, guesses->count);
		if (!seeds->known[guess->boot][guess->vmm]) {
			ret = measure_seed(search, lists, guess,
					   seeds->digest[guess->boot][guess->vmm]);
			seeds->known[guess->boot][guess->vmm] = true;
			seeds->impossible[guess->boot][guess->vmm] = is_impossible(ret);
			if (is_impossible(ret))
				ret = 0;
		}
		if (!ret && !seeds->impossible[guess->boot][guess->vmm])
			ret = try_guess(search, guess, seeds->digest[guess->boot][guess->vmm]);
	}
	show_progress(search, guesses->count, guesses->count);
	return ret;
}

int search_run(struct search *search)
{
	struct lists lists = { .boot_count = 0 };
	struct seeds *seeds = NULL;
	struct guesses guesses;
	int ret;

	/* What was described is tried in any case. */
	search->max_vcpus = search->options->max_vcpus;
	if (search->max_vcpus < options_first_count(search->options))
		search->max_vcpus = options_first_count(search->options);
	ret = list_boots(search, &lists);
	if (ret)
		return ret;
	list_starts(search, &lists);
	list_signatures(search, &lists);
	list_features(search, &lists);
	ret = make_guesses(search, &lists, &guesses);
	if (ret)
		return ret;
	seeds = calloc(1, sizeof(*seeds));
	ret = seeds ? try_all(search, &lists, &guesses, seeds) : -ENOMEM;
	free(seeds);
	free(guesses.list);
	return ret;
}
