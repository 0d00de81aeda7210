// SPDX-License-Identifier: LGPL-2.1-or-later
/* A launch as it is described on the command line: its files, and its digest. */
#include "gmem-measure.h"

#include <string.h>

/* Of a kernel and of an initrd. */
#define BOOT_FILE_SIZE (UINT64_C(1) << 30)

const struct cpu_model cpu_models[CPU_MODELS] = {
	{ "EPYC", 0x800f12 },       { "EPYC-Rome", 0x830f10 },  { "EPYC-Milan", 0xa00f11 },
	{ "EPYC-Genoa", 0xa10f10 }, { "EPYC-Turin", 0xb00f00 }, { "EPYC-IBPB", 0x800f12 },
};

const char *const vmm_names[VMMS] = {
	[GMEM_SNP_VMM_KVM] = "kvm",
	[GMEM_SNP_VMM_QEMU] = "qemu",
	[GMEM_SNP_VMM_EC2] = "ec2",
	[GMEM_SNP_VMM_GCE] = "gce",
};

const char *const vmm_titles[VMMS] = {
	[GMEM_SNP_VMM_KVM] = "KVM's own reset state",
	[GMEM_SNP_VMM_QEMU] = "QEMU",
	[GMEM_SNP_VMM_EC2] = "Amazon EC2",
	[GMEM_SNP_VMM_GCE] = "Google Compute Engine",
};

const char *cpu_name(uint32_t signature)
{
	size_t i;

	for (i = 0; i < CPU_MODELS; i++) {
		if (cpu_models[i].signature == signature)
			return cpu_models[i].name;
	}
	return "";
}

const char *page_type_name(uint32_t type)
{
	static const char *const names[] = {
		[GMEM_SNP_PAGE_NORMAL] = "normal",   [GMEM_SNP_PAGE_VMSA] = "vmsa",
		[GMEM_SNP_PAGE_ZERO] = "zero",       [GMEM_SNP_PAGE_UNMEASURED] = "unmeasured",
		[GMEM_SNP_PAGE_SECRETS] = "secrets", [GMEM_SNP_PAGE_CPUID] = "cpuid",
	};

	return type < ARRAY_SIZE(names) && names[type] ? names[type] : "unknown";
}

const char *section_name(uint32_t type)
{
	switch (type) {
	case GMEM_OVMF_SEC_MEM:
		return "SEC_MEM";
	case GMEM_OVMF_SECRETS:
		return "SECRETS";
	case GMEM_OVMF_CPUID:
		return "CPUID";
	case GMEM_OVMF_SVSM_CAA:
		return "SVSM_CAA";
	case GMEM_OVMF_KERNEL_HASHES:
		return "KERNEL_HASHES";
	default:
		return "unknown";
	}
}

static enum exit_code load_image(struct launch *launch, const struct options *options)
{
	struct bytes image;
	int ret;

	if (!file_read(options->image, GMEM_OVMF_SIZE_MAX, &image))
		return EXIT_INPUT;
	ret = gmem_ovmf_new(launch->ctx, image.data, image.size, &launch->ovmf);
	bytes_free(&image);
	if (!ret)
		ret = gmem_ovmf_get_info(launch->ovmf, &launch->info);
	if (ret)
		return report_failure(options->image, ret);
	if (!launch->info.sections)
		fprintf(stderr,
			"gmem-measure: warning: %s has no SEV metadata; firmware for SNP guests has "
			"(Debian: OVMF.fd of the package ovmf)\n",
			options->image);
	return EXIT_FINE;
}

static enum exit_code load_kernel(struct launch *launch, const struct options *options)
{
	int ret;

	if (!options->kernel)
		return EXIT_FINE;
	if (!file_read(options->kernel, BOOT_FILE_SIZE, &launch->kernel) ||
	    (options->initrd && !file_read(options->initrd, BOOT_FILE_SIZE, &launch->initrd)))
		return EXIT_INPUT;
	if (launch->kernel.size == 0) {
		complain("%s is empty; it must be a kernel", options->kernel);
		return EXIT_INPUT;
	}
	ret = gmem_snp_hashes_compute(launch->ctx, launch->kernel.data, launch->kernel.size,
				      launch->initrd.size ? launch->initrd.data : NULL,
				      launch->initrd.size, options->append, &launch->hashes);
	launch->has_hashes = !ret;
	return ret ? report_failure(options->kernel, ret) : EXIT_FINE;
}

static enum exit_code load_vmsas(struct launch *launch, const struct options *options)
{
	if (!options->vmsa)
		return EXIT_FINE;
	if (!file_read(options->vmsa, (size_t)VCPUS_MAX * GMEM_SNP_PAGE_SIZE, &launch->vmsas))
		return EXIT_INPUT;
	if (launch->vmsas.size == 0 || launch->vmsas.size % GMEM_SNP_PAGE_SIZE) {
		complain("%s has %zu bytes; VMSAs are pages of %u", options->vmsa,
			 launch->vmsas.size, GMEM_SNP_PAGE_SIZE);
		return EXIT_INPUT;
	}
	return EXIT_FINE;
}

enum exit_code launch_load(struct launch *launch, const struct options *options)
{
	enum exit_code code;

	*launch = (struct launch){ .ctx = context_new() };
	if (!launch->ctx)
		return EXIT_UNEXPECTED;
	code = load_image(launch, options);
	if (code == EXIT_FINE)
		code = load_kernel(launch, options);
	if (code == EXIT_FINE)
		code = load_vmsas(launch, options);
	if (code != EXIT_FINE)
		launch_unload(launch);
	return code;
}

void launch_unload(struct launch *launch)
{
	bytes_free(&launch->vmsas);
	bytes_free(&launch->initrd);
	bytes_free(&launch->kernel);
	gmem_ovmf_free(launch->ovmf);
	context_free(launch->ctx);
	*launch = (struct launch){ .ctx = NULL };
}

int launch_add_firmware(const struct launch *launch, struct gmem_snp_measure *measure, uint32_t vmm,
			const struct gmem_snp_hashes *hashes)
{
	return gmem_snp_measure_add_ovmf(measure, launch->ovmf, vmm, hashes);
}

/* The caller's own, of which the last is that of all vCPUs that have none. */
static int add_own_vcpus(struct gmem_snp_measure *measure, const struct bytes *vmsas,
			 uint32_t first, uint32_t count)
{
	size_t last = vmsas->size / GMEM_SNP_PAGE_SIZE - 1;
	size_t page;
	uint32_t i;
	int ret = 0;

	for (i = first; i < first + count && !ret; i++) {
		page = i < last ? i : last;
		ret = gmem_snp_measure_add(measure, GMEM_SNP_VMSA_GPA,
					   vmsas->data + page * GMEM_SNP_PAGE_SIZE,
					   GMEM_SNP_PAGE_SIZE, GMEM_SNP_PAGE_VMSA);
	}
	return ret;
}

int launch_add_vcpus(const struct launch *launch, struct gmem_snp_measure *measure,
		     const struct vcpu_state *state, uint32_t first, uint32_t count)
{
	if (state->vmsas)
		return add_own_vcpus(measure, state->vmsas, first, count);
	return gmem_snp_measure_add_vcpus(measure, state->vmm, first, count, launch->info.ap_reset,
					  state->signature, state->features);
}

void launch_get_state(const struct launch *launch, const struct options *options,
		      struct vcpu_state *state)
{
	*state = (struct vcpu_state){
		.vmm = options->vmm,
		.signature = options->signature,
		.features = options->features,
		.vmsas = options->vmsa ? &launch->vmsas : NULL,
	};
}

uint32_t options_first_count(const struct options *options)
{
	uint32_t count;

	for (count = 1; count <= VCPUS_MAX; count++) {
		if (options->vcpus[count])
			return count;
	}
	return 0;
}

enum exit_code launch_digest(const struct launch *launch, const struct options *options,
			     uint8_t digest[DIGEST_SIZE])
{
	struct gmem_snp_measure *measure = NULL;
	struct vcpu_state state;
	int ret;

	launch_get_state(launch, options, &state);
	ret = gmem_snp_measure_new(launch->ctx, NULL, &measure);
	if (!ret)
		ret = launch_add_firmware(launch, measure, options->vmm,
					  launch->has_hashes ? &launch->hashes : NULL);
	if (!ret)
		ret = launch_add_vcpus(launch, measure, &state, 0, options_first_count(options));
	if (!ret)
		ret = gmem_snp_measure_get_digest(measure, digest);
	gmem_snp_measure_free(measure);
	return ret ? report_failure(options->image, ret) : EXIT_FINE;
}

void launch_put_json(struct json *json, const struct options *options)
{
	json_begin(json, "launch", '{');
	json_string(json, "image", options->image);
	json_string(json, "vmm", vmm_names[options->vmm]);
	if (options->vmm == GMEM_SNP_VMM_QEMU && options->has_signature)
		json_number(json, "signature", options->signature);
	else
		json_null(json, "signature");
	json_number(json, "features", options->features);
	json_word(json, "kernel", options->kernel ? options->kernel : "");
	json_word(json, "initrd", options->initrd ? options->initrd : "");
	if (options->append)
		json_string(json, "append", options->append);
	else
		json_null(json, "append");
	json_word(json, "vmsa", options->vmsa ? options->vmsa : "");
	json_end(json, '}');
}
