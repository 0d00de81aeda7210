#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gmem-probe on made-up hosts: what it reads of them, and what it advises.

. "$(dirname "$0")/probe-lib.sh"

# advises <case> <text>; advises_not <case> <text>: of the last run
advises() {
	check_says "$1" "$out" "$2"
}
advises_not() {
	check_silent_on "$1" "$out" "$2"
}

# Hosts where KVM cannot be used: exit code 3, the host is shown all the same.

new_host 6.12.1 GenuineIntel "vme"
probe --root "$host"
check_code "no virtualisation: exit code" 3
check_says "no virtualisation: said on stderr" "$err" "KVM cannot be used: $host/dev/kvm: No such"
advises "no virtualisation: firmware" "turn virtualisation on in the firmware's setup"
advises "no virtualisation: the host is shown" "Linux 6.12.1, x86_64"
advises "no virtualisation: no flag" "GenuineIntel, flags: none that matters"
advises_not "no virtualisation: no table of VMs" "VM can be created"
probe --root "$host" --quiet
check_code "no virtualisation, quiet: exit code" 3
check_empty "no virtualisation, quiet: no output" "$out"
probe --root "$host" --require mmap
check_code "no virtualisation, --require: exit code" 3

new_host 6.12.1 GenuineIntel "hypervisor"
probe --root "$host"
advises "a VM without nesting" "turn nested virtualisation on at its host"

new_host 6.12.1 AuthenticAMD "svm"
probe --root "$host"
advises "kvm_amd is not loaded" "modprobe kvm_amd"
advises_not "kvm_amd is not loaded: no word of the firmware's other settings" "neither svm"

new_host 6.12.1 GenuineIntel "vmx"
host_module kvm
probe --root "$host"
advises "kvm_intel is not loaded" "modprobe kvm_intel"
advises "kvm_intel is not loaded: kvm is" "KVM modules kvm "

new_host 6.12.1 GenuineIntel "vmx"
host_module kvm
host_module kvm_intel
probe --root "$host"
check_code "no node though KVM is loaded: exit code" 3
advises "no node though KVM is loaded" "--device /dev/kvm for docker"

new_host 6.12.1 x ''
echo aarch64 >"$host/proc/sys/kernel/arch"
rm "$host/proc/cpuinfo"
probe --root "$host"
check_code "arm64: exit code" 3
advises "arm64: EL2" "started in EL2"
advises_not "arm64: no word of SNP" "SEV-SNP"

new_host 6.12.1 AuthenticAMD svm
: >"$host/dev/kvm"
probe --root "$host"
check_code "something else behind the node: exit code" 3
advises "something else behind the node" "is not a KVM device"
probe --device "$scratch"
check_code "a directory as device: exit code" 3
advises "a directory as device" "The kernel says: Is a directory"
probe --device /dev/null
check_code "a device that is not KVM: exit code" 3
for missing in "$scratch/none/kvm" "$out/kvm"; do
	probe --device "$missing"
	check_code "a device that is not there: exit code" 3
	advises "a device that is not there" "$missing does not exist"
done

# No permission. Root may open anything, and must become somebody else first.
as_nobody=
[ "$(id -u)" -ne 0 ] || as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
denied() {
	: >"$host/dev/kvm"
	chmod "$1" "$host/dev/kvm"
	# shellcheck disable=SC2086 # words of a command
	run $as_nobody "$GMEM_PROBE" --root "$host"
}
chmod 755 "$scratch"
new_host 6.12.1 AuthenticAMD svm
# shellcheck disable=SC2086
if $as_nobody "$GMEM_PROBE" --version >"$scratch/version" 2>&1 &&
	$as_nobody test -r "$host/proc/cpuinfo"; then
	denied 0000
	check_code "no permission: exit code" 3
	advises "no permission" "may not be opened by you"
	advises "no permission: how to get it" "usermod -aG kvm"
	advises "no permission: as it is" "mode 0000"
else
	skip "no permission" "root cannot run the program as another user here"
fi

made_up kvm:group --root "$host"
check_code "a group's device: exit code" 3
advises "a group's device" "Add yourself to that group, \"sudo usermod -aG virt \$USER\""
made_up kvm:refused --root "$host"
advises "a device refused in spite of its permissions" "refused for another reason than these"

# What is read of a host.

new_host 7.1.0-rc3+ AuthenticAMD "svm sev sev_es sev_snp"
host_module kvm tdp_mmu=Y gmem_in_place_conversion=N
host_module kvm_amd npt=1 sev=Y sev_es=Y sev_snp=Y
host_module kvmalloc
mkdir -p "$host/sys/devices/system/node/node1" "$host/sys/devices/system/node/power"
for size in 1048576 2048; do
	mkdir -p "$host/sys/kernel/mm/hugepages/hugepages-${size}kB"
	echo 7 >"$host/sys/kernel/mm/hugepages/hugepages-${size}kB/nr_hugepages"
	echo 3 >"$host/sys/kernel/mm/hugepages/hugepages-${size}kB/free_hugepages"
done
echo 1 >"$host/proc/sys/vm/unprivileged_userfaultfd"
made_up default:mmap --root "$host"
check_code "a large host: exit code" 0
advises "a large host: release" "Linux 7.1.0-rc3+, x86_64"
advises "a large host: flags" "AuthenticAMD, flags: svm sev sev_es sev_snp"
advises "a large host: modules" "KVM modules kvm, kvm_amd their"
advises "a large host: parameters" "kvm.gmem_in_place_conversion=N"
advises "a large host: NUMA" "NUMA nodes 2"
advises "a large host: huge pages, small ones first" \
	"2 MiB: 3 free of 7, 1 GiB: 3 free of 7"
advises "a large host: userfaultfd" "userfaultfd yes KVM"
echo 0 >"$host/proc/sys/vm/unprivileged_userfaultfd"
made_up default:mmap --root "$host"
advises "userfaultfd with privilege" "userfaultfd yes (faults inside the kernel"
rm "$host/proc/sys/vm/unprivileged_userfaultfd"
made_up default:mmap --root "$host"
advises "no userfaultfd" "CONFIG_USERFAULTFD"

# Files with anything in them.
head -c 70000 /dev/urandom >"$host/proc/cpuinfo"
head -c 5000 /dev/urandom >"$host/proc/sys/kernel/osrelease"
head -c 5000 /dev/urandom >"$host/sys/module/kvm_amd/parameters/sev"
: >"$host/proc/sys/kernel/arch"
made_up default:mmap --root "$host" --json
check_code "noise instead of a host: exit code" 0
if command -v python3 >/dev/null; then
	attempt "noise instead of a host: JSON" python3 -m json.tool "$out"
else
	skip "noise instead of a host: JSON" "there is no python3"
fi
made_up default:mmap --root "$scratch/nowhere"
check_code "no host at all: exit code" 0
advises "no host at all" "Linux unknown"

# guest_memfd of ordinary VMs.

new_host 6.7.9 AuthenticAMD svm
made_up default:old --root "$host"
check_code "Linux 6.7: exit code" 0
advises "Linux 6.7: guest_memfd" "It needs Linux 6.18 or later; this is 6.7.9."
advises "Linux 6.7: region2" "Both came with Linux 6.8; this is 6.7.9."
advises "Linux 6.7: prefault" "needs Linux 6.11 or later; this is 6.7.9."
advises "Linux 6.7: software-protected VMs" "need Linux 6.8 or later; this is 6.7.9."
advises "Linux 6.7: in short" "plain memory, no guest_memfd"

new_host 6.18.0 AuthenticAMD svm
host_config '# CONFIG_KVM_GUEST_MEMFD is not set' 'CONFIG_KVM_GUEST_MEMFD_MORE=y'
made_up default:old --root "$host"
advises "built without guest_memfd" \
	"/boot/config-6.18.0 says that this kernel was built without CONFIG_KVM_GUEST_MEMFD"
advises "Linux 6.18 with no prefault" "NPT or EPT, not switched off"

new_host 6.18.0 AuthenticAMD svm
made_up default:mmap --root "$host"
advises_not "guest_memfd is there" "No guest_memfd"
advises_not "mmap is there" "cannot be mapped"

# Software-protected VMs.

host_config CONFIG_KVM_GUEST_MEMFD=y
made_up default:mmap --root "$host"
advises "software-protected: not built" "built without CONFIG_KVM_SW_PROTECTED_VM"
host_config CONFIG_KVM_SW_PROTECTED_VM=y
host_module kvm tdp_mmu=N
host_module kvm_amd npt=0
made_up default:mmap --root "$host"
advises "software-protected: paging" "kvm_amd.npt=1"
advises "software-protected: tdp_mmu" "options kvm tdp_mmu=1"
advises_not "software-protected: built" "need a kernel built with CONFIG_KVM_SW_PROTECTED_VM"
made_up "default:mmap sw_protected:vm" --root "$host"
advises_not "software-protected: there" "No software-protected VMs"
new_host 6.18.0 AuthenticAMD hypervisor
host_module kvm_pvm
made_up default:mmap --root "$host"
advises "software-protected: pvm" "a machine with kvm_amd or kvm_intel"
advises_not "software-protected: pvm, no parameter" "options kvm"

# SEV-SNP: one obstacle after the other.

snp_host() {
	new_host "$1" AuthenticAMD "svm $2"
	host_module kvm
}
snp_host 6.12.0 ""
made_up default:mmap --root "$host"
advises "SNP: memory encryption is off" "do not show sev_snp, nor sev."
advises "SNP: the firmware's settings" "SNP memory (RMP table) coverage"
snp_host 6.12.0 "sev sev_es"
made_up default:mmap --root "$host"
advises "SNP: no reverse map table" "do not show sev_snp, though they show sev."
snp_host 6.10.2 "sev sev_es sev_snp"
made_up default:mmap --root "$host"
advises "SNP: an old kernel" "KVM needs Linux 6.11 or later; this is 6.10.2."
snp_host 6.12.0 "sev sev_es sev_snp"
made_up default:mmap --root "$host"
advises "SNP: kvm_amd is not loaded" "but kvm_amd is not loaded"
host_module kvm_amd
made_up default:mmap --root "$host"
advises "SNP: no parameter" "has no parameter sev_snp"
host_module kvm_amd sev_snp=N
made_up default:mmap --root "$host"
advises "SNP: switched off" "options kvm_amd sev_snp=1"
advises "SNP: the IOMMU" "not in passthrough mode"
host_module kvm_amd sev_snp=Y
made_up default:mmap --root "$host"
advises "SNP: on, but not offered" "yet KVM does not offer the type"
made_up "default:mmap snp:vm" --root "$host"
advises_not "SNP: there" "No SEV-SNP VMs"
host_config CONFIG_KVM=y
made_up default:mmap --root "$host"
advises "SNP: not built" "built without CONFIG_KVM_AMD_SEV"
snp_host 6.12.0 "hypervisor"
made_up default:mmap --root "$host"
advises "SNP: a VM" "SEV-SNP VMs can be started only from the physical host"

# TDX.

tdx_host() {
	new_host "$1" GenuineIntel "vmx $2"
	host_module kvm
	host_module kvm_intel
}
tdx_host 6.15.0 tdx_host_platform
made_up default:mmap --root "$host"
advises "TDX: an old kernel" "KVM needs Linux 6.16 or later; this is 6.15.0."
advises "SNP: on Intel" "They take an AMD EPYC processor"
tdx_host 6.18.0 ""
made_up default:mmap --root "$host"
advises "TDX: no flag" "do not show tdx_host_platform"
tdx_host 6.18.0 tdx_host_platform
made_up default:mmap --root "$host"
advises "TDX: no parameter" "has no parameter tdx"
host_module kvm_intel tdx=N
made_up default:mmap --root "$host"
advises "TDX: switched off" "options kvm_intel tdx=1"
host_module kvm_intel tdx=Y
made_up default:mmap --root "$host"
advises "TDX: on, but not offered" "kvm_intel.tdx is on, yet KVM does not offer the type"
made_up "default:mmap tdx:vm" --root "$host"
advises_not "TDX: there" "No TDX VMs"
tdx_host 6.18.0 hypervisor
made_up default:mmap --root "$host"
advises "TDX: a VM" "TDX VMs can be started only from the physical host"

# In-place conversion.

new_host 7.3.0 AuthenticAMD svm
host_module kvm
made_up "default:mmap sw_protected:vm" --root "$host"
advises "in place: no parameter" "expected with Linux 7.4, and this is 7.3.0"
advises_not "in place: private memory is there" "It also takes a VM type"
host_module kvm gmem_in_place_conversion=N
made_up "default:mmap sw_protected:vm" --root "$host"
advises "in place: switched off" "options kvm gmem_in_place_conversion=1"
host_module kvm gmem_in_place_conversion=Y
made_up "default:mmap" --root "$host"
advises "in place: no private memory" "but no VM type of this host has private memory"
made_up "default:mmap sw_protected:file" --root "$host"
advises_not "in place: there" "No in-place conversion"

# No VM can be made.

made_up "default:busy" --root "$host"
check_code "another hypervisor: exit code" 3
advises "another hypervisor" "Another hypervisor holds"

finish
