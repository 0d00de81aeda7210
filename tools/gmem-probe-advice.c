// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is missing and how to get it. A rule looks at what was found and adds at most one entry;
 * what it says must be something that the reader can do, or the reason why there is nothing.
 */
#include "gmem-probe.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

const char *const advice_level_names[3] = {
	[ADVICE_ERROR] = "error",
	[ADVICE_HINT] = "hint",
	[ADVICE_NOTE] = "note",
};

void advice_add(struct advice *advice, enum advice_level level, const char *id, const char *format,
		...)
{
	struct advice_entry *entry;
	va_list arguments;

	/* There are fewer rules than entries. */
	if (advice->count == ADVICE_ENTRIES)
		return;
	entry = &advice->entries[advice->count++];
	entry->id = id;
	entry->level = level;
	entry->remedy[0] = '\0';
	va_start(arguments, format);
	vsnprintf(entry->missing, sizeof(entry->missing), format, arguments);
	va_end(arguments);
}

void advice_say(struct advice *advice, const char *format, ...)
{
	struct advice_entry *entry = &advice->entries[advice->count - 1];
	size_t used = strlen(entry->remedy);
	va_list arguments;

	if (used > 0 && used < sizeof(entry->remedy) - 1)
		entry->remedy[used++] = ' ';
	va_start(arguments, format);
	vsnprintf(entry->remedy + used, sizeof(entry->remedy) - used, format, arguments);
	va_end(arguments);
}

void advice_say_parameter(struct advice *advice, const char *module, const char *name,
			  const char *value)
{
	advice_say(advice,
		   "Boot with %s.%s=%s on the kernel's command line, or put the line "
		   "\"options %s %s=%s\" into /etc/modprobe.d/kvm.conf and load the module anew "
		   "(no VM may run meanwhile).",
		   module, name, value, module, name, value);
}

/* KVM itself. */

static bool has_vendor_module(const struct host *host)
{
	return host_has_module(host, "kvm_amd") || host_has_module(host, "kvm_intel") ||
	       host_has_module(host, "kvm_pvm");
}

static void say_no_virtualisation(struct advice *advice, const struct host *host)
{
	if (host_has_flag(host, CPU_HYPERVISOR))
		advice_say(advice,
			   "This machine is itself a VM, and its processor shows neither svm nor "
			   "vmx: turn nested virtualisation on at its host (kvm_amd.nested=1 or "
			   "kvm_intel.nested=1 where that is KVM) and give the VM a processor "
			   "model that has it, such as the host's own.");
	else
		advice_say(advice,
			   "The processor shows neither svm nor vmx in /proc/cpuinfo: turn "
			   "virtualisation on in the firmware's setup (named SVM or AMD-V, Intel "
			   "VT-x or VMX), then switch the machine off and on.");
}

static void say_load_module(struct advice *advice, const struct host *host)
{
	const char *module = host_has_flag(host, CPU_SVM) ? "kvm_amd" : "kvm_intel";

	advice_say(advice,
		   "The processor can do it (%s), but %s is not loaded: run \"modprobe %s\" as "
		   "root. If that is refused, the kernel's log says why (dmesg | grep -i kvm); "
		   "virtualisation switched off in the firmware's setup is the usual reason.",
		   host_has_flag(host, CPU_SVM) ? "svm" : "vmx", module, module);
}

/* Why there is no KVM behind the node, or no node. */
static void say_no_driver(struct advice *advice, const struct host *host)
{
	if (!host_is_x86(host))
		advice_say(advice,
			   "The kernel needs CONFIG_KVM and, on arm64, must be started in EL2 by "
			   "its boot loader (dmesg | grep -i kvm).");
	else if (has_vendor_module(host))
		advice_say(advice,
			   "KVM is loaded, so what is missing is the device: in a container, have "
			   "it passed in (--device /dev/kvm for docker and podman); elsewhere udev "
			   "makes it, or \"mknod /dev/kvm c 10 232\" as root.");
	else if (host_has_flag(host, CPU_SVM) || host_has_flag(host, CPU_VMX))
		say_load_module(advice, host);
	else
		say_no_virtualisation(advice, host);
}

static void say_denied(struct advice *advice, const struct kvm *kvm)
{
	bool for_group = (kvm->node_mode & 0060) == 0060 && strcmp(kvm->node_group, "root") != 0;

	if (kvm->node_owner[0])
		advice_say(advice, "It belongs to user %s and group %s, mode %04o.",
			   kvm->node_owner, kvm->node_group, kvm->node_mode);
	if (kvm->error == EPERM)
		advice_say(advice,
			   "The kernel refused for another reason than these: in a container, "
			   "have the device allowed (--device /dev/kvm for docker and podman).");
	else if (for_group)
		advice_say(advice,
			   "Add yourself to that group, \"sudo usermod -aG %s $USER\", and log in "
			   "anew.",
			   kvm->node_group);
	else
		advice_say(advice,
			   "Give it to a group: the udev rule KERNEL==\"kvm\", GROUP=\"kvm\", "
			   "MODE=\"0660\" in /etc/udev/rules.d/65-kvm.rules does (\"sudo chgrp kvm "
			   "%s && sudo chmod 0660 %s\" until the next boot). Then \"sudo usermod "
			   "-aG kvm $USER\", and log in anew.",
			   kvm->path, kvm->path);
}

static void say_no_vm(struct advice *advice, const struct kvm *kvm)
{
	if (kvm->error == EBUSY)
		advice_say(advice,
			   "Another hypervisor holds the processor's virtualisation: stop its VMs "
			   "or unload its module (VirtualBox, VMware).");
	else
		advice_say(advice,
			   "KVM_CREATE_VM says: %s. The kernel's log may say more (dmesg | grep "
			   "-i kvm).",
			   strerror(kvm->error));
}

static void advise_kvm(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	static const char *const ids[] = {
		[KVM_ABSENT] = "kvm_absent",       [KVM_DENIED] = "kvm_denied",
		[KVM_NO_DRIVER] = "kvm_no_driver", [KVM_NOT_KVM] = "kvm_not_kvm",
		[KVM_NO_VM] = "kvm_no_vm",         [KVM_UNREADABLE] = "kvm_unreadable",
	};
	static const char *const missing[] = {
		[KVM_ABSENT] = "does not exist",
		[KVM_DENIED] = "may not be opened by you",
		[KVM_NO_DRIVER] = "has no driver behind it",
		[KVM_NOT_KVM] = "is not a KVM device",
		[KVM_NO_VM] = "makes no VM",
		[KVM_UNREADABLE] = "cannot be opened",
	};

	if (kvm->state == KVM_USABLE)
		return;
	advice_add(advice, ADVICE_ERROR, ids[kvm->state], "%s %s", kvm->path, missing[kvm->state]);
	switch (kvm->state) {
	case KVM_ABSENT:
	case KVM_NO_DRIVER:
		say_no_driver(advice, host);
		break;
	case KVM_DENIED:
		say_denied(advice, kvm);
		break;
	case KVM_NOT_KVM:
		advice_say(advice,
			   "Name the device of KVM with --device, or leave the option out.");
		break;
	case KVM_NO_VM:
		say_no_vm(advice, kvm);
		break;
	default:
		advice_say(advice, "The kernel says: %s.", strerror(kvm->error));
	}
}

/* Features of ordinary VMs. */

static void advise_guest_memfd(struct advice *advice, const struct host *host,
			       const struct kvm *kvm)
{
	if (feature_present(&kvm->types[VM_TYPE_DEFAULT], FEATURE_GUEST_MEMFD))
		return;
	advice_add(advice, ADVICE_HINT, "guest_memfd", "No guest_memfd for ordinary VMs");
	if (host_is_older(host, 6, 18)) {
		advice_say(advice,
			   "It needs Linux 6.18 or later; this is %s. Linux 6.8 to 6.17 have "
			   "guest_memfd only for VMs with private memory.",
			   host->release);
		return;
	}
	if (host->config[CONFIG_OPTION_GUEST_MEMFD] == 'n')
		advice_say(advice, "%s says that this kernel was built without %s.",
			   host->config_path, config_names[CONFIG_OPTION_GUEST_MEMFD]);
	else
		advice_say(advice, "The kernel must be built with %s.",
			   config_names[CONFIG_OPTION_GUEST_MEMFD]);
	advice_say(advice, "KVM on x86_64 and arm64 selects that by itself from Linux 6.18 on.");
}

static void advise_mmap(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	const struct vm_type *type = &kvm->types[VM_TYPE_DEFAULT];

	if (!feature_present(type, FEATURE_GUEST_MEMFD))
		return;
	if (feature_present(type, FEATURE_MMAP) && feature_present(type, FEATURE_INIT_SHARED))
		return;
	advice_add(advice, ADVICE_HINT, "mmap",
		   "guest_memfd cannot be mapped, shared, by the host");
	advice_say(advice,
		   "It needs KVM_CAP_GUEST_MEMFD_FLAGS with MMAP and INIT_SHARED, which came with "
		   "Linux 6.18%s%s.",
		   host->release[0] ? "; this is " : "", host->release);
}

static bool any_type_has(const struct kvm *kvm, enum feature_id id)
{
	uint32_t type;

	for (type = 0; type < VM_TYPES; type++) {
		if (feature_present(&kvm->types[type], id))
			return true;
	}
	return false;
}

static void advise_prefault(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	if (any_type_has(kvm, FEATURE_PREFAULT))
		return;
	advice_add(advice, ADVICE_HINT, "prefault", "Guest memory cannot be prefaulted");
	if (host_is_older(host, 6, 11))
		advice_say(advice, "KVM_PRE_FAULT_MEMORY needs Linux 6.11 or later; this is %s.",
			   host->release);
	else if (host_has_module(host, "kvm_pvm"))
		advice_say(advice, "KVM_PRE_FAULT_MEMORY needs NPT or EPT, which KVM's pvm module "
				   "goes without: it takes a machine with kvm_amd or kvm_intel.");
	else if (host_is_x86(host))
		advice_say(advice, "KVM_PRE_FAULT_MEMORY needs NPT or EPT, not switched off by "
				   "kvm_amd.npt=0 or kvm_intel.ept=0.");
	else
		advice_say(advice, "KVM has KVM_PRE_FAULT_MEMORY on few architectures; first of "
				   "all on x86_64.");
}

static void advise_exits(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	if (any_type_has(kvm, FEATURE_REGION2) && any_type_has(kvm, FEATURE_MEMORY_FAULT_EXIT))
		return;
	advice_add(advice, ADVICE_HINT, "region2",
		   "No KVM_SET_USER_MEMORY_REGION2, or no memory-fault exit");
	advice_say(advice, "Both came with Linux 6.8%s%s.", host->release[0] ? "; this is " : "",
		   host->release);
}

/* What the host has beside KVM. */

static void advise_memfd(struct advice *advice, const struct host *host)
{
	if (host->memfd)
		return;
	advice_add(advice, ADVICE_HINT, "memfd", "No memfd for the shared side of split memory");
	advice_say(advice, "The kernel must be built with CONFIG_MEMFD_CREATE.");
}

static void advise_userfaultfd(struct advice *advice, const struct host *host)
{
	if (host->userfaultfd != USERFAULTFD_ABSENT)
		return;
	advice_add(advice, ADVICE_NOTE, "userfaultfd", "No userfaultfd (postcopy migration)");
	advice_say(advice, "The kernel must be built with CONFIG_USERFAULTFD.");
}

void advice_make(struct advice *advice, const struct host *host, const struct kvm *kvm)
{
	advice->count = 0;
	advise_kvm(advice, host, kvm);
	/* What VMs lack is not known where none could be looked at. */
	if (kvm->state == KVM_USABLE && !kvm_probe_error(kvm)) {
		advise_guest_memfd(advice, host, kvm);
		advise_mmap(advice, host, kvm);
		advise_prefault(advice, host, kvm);
		advise_exits(advice, host, kvm);
	}
	if (host_is_x86(host))
		advice_confidential(advice, host, kvm);
	advise_memfd(advice, host);
	advise_userfaultfd(advice, host);
}
