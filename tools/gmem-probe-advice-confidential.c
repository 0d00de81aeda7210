// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What stands in the way of private memory: software-protected VMs, SEV-SNP, TDX, in-place
 * conversion. Each rule names the first obstacle that can be seen, in the order in which firmware,
 * kernel and module would have to give way.
 */
#include "gmem-probe.h"

#include <string.h>

static bool is_off(const struct host *host, enum parameter_id id)
{
	const char *value = host->parameters[id];

	return !strcmp(value, "N") || !strcmp(value, "0");
}

static bool is_present(const struct host *host, enum parameter_id id)
{
	return host->parameters[id][0] != '\0';
}

/* True and said, where the kernel's configuration is known not to have the option. */
static bool say_not_built(struct advice *advice, const struct host *host, enum config_id id)
{
	if (host->config[id] != 'n')
		return false;
	advice_say(advice, "%s says that this kernel was built without %s.", host->config_path,
		   config_names[id]);
	return true;
}

/* Software-protected VMs. */

/* They run only on KVM's newer page-table code, which needs NPT or EPT. */
static void say_paging(struct advice *advice, const struct host *host)
{
	bool hardware = host_has_module(host, "kvm_amd") || host_has_module(host, "kvm_intel");

	if (!hardware && host_has_module(host, "kvm_pvm")) {
		advice_say(advice,
			   "They also need NPT or EPT, which KVM's pvm module goes without: "
			   "a machine with kvm_amd or kvm_intel is needed.");
		return;
	}
	advice_say(advice, "They also need NPT or EPT, and kvm.tdp_mmu=1.");
	if (is_off(host, PARAMETER_NPT))
		advice_say_parameter(advice, "kvm_amd", "npt", "1");
	if (is_off(host, PARAMETER_EPT))
		advice_say_parameter(advice, "kvm_intel", "ept", "1");
	if (is_off(host, PARAMETER_TDP_MMU))
		advice_say_parameter(advice, "kvm", "tdp_mmu", "1");
}

static void say_sw_protected(struct advice *advice, const struct host *host)
{
	if (host_is_older(host, 6, 8)) {
		advice_say(advice, "They need Linux 6.8 or later; this is %s.", host->release);
		return;
	}
	if (say_not_built(advice, host, CONFIG_OPTION_SW_PROTECTED)) {
		advice_say(advice, "It is an option for those who build a kernel themselves, below "
				   "CONFIG_EXPERT; distributions leave it out.");
		return;
	}
	if (host->config[CONFIG_OPTION_SW_PROTECTED] == 0)
		advice_say(advice,
			   "They need a kernel built with %s (below CONFIG_EXPERT; distributions "
			   "leave it out).",
			   config_names[CONFIG_OPTION_SW_PROTECTED]);
	say_paging(advice, host);
}

static void advise_sw_protected(struct advice *advice, const struct host *host,
				const struct kvm *kvm)
{
	if (kvm->state != KVM_USABLE || kvm->types[VM_TYPE_SW_PROTECTED].offered)
		return;
	advice_add(advice, ADVICE_HINT, "sw_protected", "No software-protected VMs");
	advice_say(advice, "They are for trying private memory out and for tests; they protect "
			   "nothing.");
	say_sw_protected(advice, host);
}

/* SEV-SNP. */

static bool is_amd(const struct host *host)
{
	return !strcmp(host->vendor, "AuthenticAMD");
}

/*
 * The kernel takes sev_snp out of /proc/cpuinfo when firmware has left no memory for the reverse
 * map table, and all of sev* when memory encryption is off.
 */
static void say_snp_firmware(struct advice *advice, const struct host *host)
{
	advice_say(advice, "The processor's flags do not show sev_snp%s.",
		   host_has_flag(host, CPU_SEV) ? ", though they show sev" : ", nor sev");
	advice_say(advice,
		   "It takes an AMD EPYC 7003 or later. In the firmware's setup: turn SMEE (SME) "
		   "and SEV-SNP support on, set SNP memory (RMP table) coverage to enabled, and "
		   "keep the IOMMU on.");
	advice_say(advice, "The kernel's log then shows \"SEV-SNP: RMP table\" (dmesg | grep -i "
			   "sev).");
}

static void say_snp_parameter(struct advice *advice)
{
	advice_say(advice,
		   "The parameter kvm_amd.sev_snp reads N: either it was switched off, or KVM "
		   "did not find all it needs.");
	advice_say_parameter(advice, "kvm_amd", "sev_snp", "1");
	advice_say(advice,
		   "If it still reads N: the IOMMU must be on and not in passthrough mode (no "
		   "iommu=pt, iommu=off or amd_iommu=off on the kernel's command line), and SNP "
		   "firmware must have API version 1.51 or later. The kernel's log says which "
		   "(dmesg | grep -iE \"sev|snp|ccp\").");
}

static void say_snp(struct advice *advice, const struct host *host)
{
	if (!host_has_flag(host, CPU_SEV_SNP)) {
		say_snp_firmware(advice, host);
	} else if (host_is_older(host, 6, 11)) {
		advice_say(advice,
			   "The processor and its firmware are ready. KVM needs Linux 6.11 "
			   "or later; this is %s.",
			   host->release);
	} else if (say_not_built(advice, host, CONFIG_OPTION_AMD_SEV)) {
		advice_say(advice, "Use a kernel that has it.");
	} else if (!host_has_module(host, "kvm_amd")) {
		advice_say(advice, "The processor and its firmware are ready, but kvm_amd is not "
				   "loaded: run \"modprobe kvm_amd\" as root.");
	} else if (!is_present(host, PARAMETER_SEV_SNP)) {
		advice_say(advice,
			   "kvm_amd is loaded but has no parameter sev_snp: it was built "
			   "without %s.",
			   config_names[CONFIG_OPTION_AMD_SEV]);
	} else if (is_off(host, PARAMETER_SEV_SNP)) {
		say_snp_parameter(advice);
	} else {
		advice_say(advice,
			   "kvm_amd.sev_snp is on, yet KVM does not offer the type: see "
			   "what the kernel's log says (dmesg | grep -iE \"sev|snp|ccp\").");
	}
}

static void advise_snp(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	bool possible = is_amd(host) &&
			(host_has_flag(host, CPU_SEV_SNP) || !host_has_flag(host, CPU_HYPERVISOR));

	if (kvm->types[VM_TYPE_SNP].offered)
		return;
	advice_add(advice, possible ? ADVICE_HINT : ADVICE_NOTE, "snp", "No SEV-SNP VMs");
	if (possible)
		say_snp(advice, host);
	else if (!is_amd(host))
		advice_say(advice, "They take an AMD EPYC processor, 7003 or later.");
	else
		advice_say(advice, "This machine is itself a VM: SEV-SNP VMs can be started only "
				   "from the physical host.");
}

/* TDX. */

static void say_tdx_firmware(struct advice *advice, const struct host *host)
{
	advice_say(advice, "The processor's flags do not show tdx_host_platform.");
	if (say_not_built(advice, host, CONFIG_OPTION_INTEL_TDX))
		return;
	advice_say(advice,
		   "It takes a Xeon processor with TDX (5th generation, or later) and, in the "
		   "firmware's setup, memory encryption (TME-MT) and TDX turned on with some key "
		   "IDs for TDX; and a kernel with CONFIG_INTEL_TDX_HOST.");
	advice_say(advice, "The kernel's log then shows \"virt/tdx: BIOS enabled\".");
}

static void say_tdx_parameter(struct advice *advice)
{
	advice_say(advice, "The parameter kvm_intel.tdx reads N.");
	advice_say_parameter(advice, "kvm_intel", "tdx", "1");
	advice_say(advice,
		   "If it still reads N, the kernel's log says why (dmesg | grep virt/tdx): "
		   "the TDX module was not loaded by the firmware, or the kernel supports "
		   "hibernation, which nohibernate on its command line turns off.");
}

static void say_tdx(struct advice *advice, const struct host *host)
{
	if (host_is_older(host, 6, 16)) {
		advice_say(advice, "KVM needs Linux 6.16 or later; this is %s.", host->release);
	} else if (!host_has_flag(host, CPU_TDX_HOST)) {
		say_tdx_firmware(advice, host);
	} else if (say_not_built(advice, host, CONFIG_OPTION_INTEL_TDX)) {
		advice_say(advice, "Use a kernel that has it.");
	} else if (!host_has_module(host, "kvm_intel")) {
		advice_say(advice, "The processor and its firmware are ready, but kvm_intel is not "
				   "loaded: run \"modprobe kvm_intel tdx=1\" as root.");
	} else if (!is_present(host, PARAMETER_TDX)) {
		advice_say(advice,
			   "kvm_intel is loaded but has no parameter tdx: it was built "
			   "without %s.",
			   config_names[CONFIG_OPTION_INTEL_TDX]);
	} else if (is_off(host, PARAMETER_TDX)) {
		say_tdx_parameter(advice);
	} else {
		advice_say(advice, "kvm_intel.tdx is on, yet KVM does not offer the type: see what "
				   "the kernel's log says (dmesg | grep virt/tdx).");
	}
}

static void advise_tdx(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	bool intel = !strcmp(host->vendor, "GenuineIntel");
	bool possible = intel &&
			(host_has_flag(host, CPU_TDX_HOST) || !host_has_flag(host, CPU_HYPERVISOR));

	if (kvm->types[VM_TYPE_TDX].offered)
		return;
	advice_add(advice, possible ? ADVICE_HINT : ADVICE_NOTE, "tdx", "No TDX VMs");
	if (possible)
		say_tdx(advice, host);
	else if (!intel)
		advice_say(advice, "They take an Intel Xeon processor with TDX.");
	else
		advice_say(advice, "This machine is itself a VM: TDX VMs can be started only from "
				   "the physical host.");
}

/* In-place conversion. */

static bool any_private_memory(const struct kvm *kvm, bool in_place)
{
	uint32_t type;

	for (type = 0; type < VM_TYPES; type++) {
		if (feature_present(&kvm->types[type], FEATURE_PRIVATE_MEMORY) &&
		    (!in_place || feature_present(&kvm->types[type], FEATURE_IN_PLACE)))
			return true;
	}
	return false;
}

static void advise_in_place(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	if (kvm->state != KVM_USABLE || kvm_probe_error(kvm) || any_private_memory(kvm, true))
		return;
	advice_add(advice, ADVICE_HINT, "in_place", "No in-place conversion");
	if (!is_present(host, PARAMETER_IN_PLACE)) {
		advice_say(advice,
			   "Private and shared pages cannot be the same pages of one guest_memfd. "
			   "This KVM has no parameter gmem_in_place_conversion; it is expected "
			   "with Linux 7.4%s%s.",
			   host->release[0] ? ", and this is " : "", host->release);
	} else if (is_off(host, PARAMETER_IN_PLACE)) {
		advice_say_parameter(advice, "kvm", "gmem_in_place_conversion", "1");
		advice_say(advice, "It holds for all VMs of the host: a VMM that knows only per-VM "
				   "tracking can then not start VMs with private memory.");
	} else {
		advice_say(advice, "kvm.gmem_in_place_conversion is on, but no VM type of this "
				   "host has private memory.");
	}
	if (!any_private_memory(kvm, false))
		advice_say(advice, "It also takes a VM type with private memory: software-"
				   "protected, SEV-SNP or TDX.");
}

void advice_confidential(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	advise_sw_protected(advice, host, kvm);
	advise_snp(advice, host, kvm);
	advise_tdx(advice, host, kvm);
	advise_in_place(advice, host, kvm);
}
