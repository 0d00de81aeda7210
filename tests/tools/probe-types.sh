#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gmem-probe on made-up VM types: the table, colours, --type, --require, JSON, failures.

. "$(dirname "$0")/probe-lib.sh"

all="default:mmap sw_protected:vm sev:busy sev_es:old snp:file,bits tdx:vm"
new_host 7.4.0 AuthenticAMD "svm sev sev_es sev_snp"
on_host() {
	on_host_types=$1
	shift
	made_up "$on_host_types" --root "$host" "$@"
}

# The table.

on_host "$all"
check_code "table: exit code" 0
check_empty "table: nothing on stderr" "$err"
check_says "table: columns" "$out" "have default sw_protected sev_es snp tdx VM can be created yes"
check_says "table: tracking" "$out" "tracked none per VM none in place per VM"
check_says "table: who has private memory" "$out" "sw_protected, tracked per VM snp, tracked in place"
check_says "table: a type that cannot be created" "$out" "cannot be created (Device or resource busy)"
check_says "table: policy bits" "$out" "snp, SNP: policy bits: SMT, migration agent, debug,"
check_says "table: VMSA features" "$out" "VMSA features: SNP active, debug swap, secure TSC"
check_says "table: largest memslot" "$out" "< 8 TiB"
if grep -q ' $' "$out"; then
	fail "table: no spaces at the end of a line" "$(grep -c ' $' "$out") lines have some"
else
	pass "table: no spaces at the end of a line"
fi
on_host default:old
check_says "table: a kernel that says no limit" "$out" "largest memslot 0 bytes"
on_host "default:mmap kvm:new"
check_code "table: a type without a name: exit code" 0
check_says "table: a type without a name" "$out" "type 9, unknown to this version"
COLUMNS=60
export COLUMNS
on_host default:mmap
longest=$(sed -n '/^What is missing/,$p' "$out" | awk 'length > n { n = length } END { print n }')
attempt "table: advice keeps to the width" test "$longest" -le 60
unset COLUMNS

# Colours.

escape=$(printf '\033')
on_host "$all"
check_silent_on "colour: auto, no terminal" "$out" "$escape"
on_host "$all" --color always
check_says "colour: always" "$out" "${escape}[32myes"
NO_COLOR=1
export NO_COLOR
on_host "$all" --color always
check_says "colour: always, though NO_COLOR is set" "$out" "${escape}[32myes"
unset NO_COLOR
# What is on a terminal: script(1) makes one.
if command -v script >/dev/null; then
	# on_terminal <environment...>
	on_terminal() {
		GMEM_PROBE_MADE_UP=default:mmap
		export GMEM_PROBE_MADE_UP
		run env "$@" script -qec "$GMEM_PROBE_MADE_UP_PROGRAM --root $host" /dev/null
	}
	on_terminal TERM=xterm
	check_says "colour: auto, on a terminal" "$out" "${escape}[32myes"
	on_terminal TERM=xterm NO_COLOR=1
	check_silent_on "colour: auto, NO_COLOR is set" "$out" "$escape"
	on_terminal TERM=xterm NO_COLOR=
	check_says "colour: auto, NO_COLOR is empty" "$out" "${escape}[32myes"
	on_terminal TERM=dumb
	check_silent_on "colour: auto, dumb terminal" "$out" "$escape"
else
	skip "colour: auto, on a terminal" "there is no script(1)"
fi
on_host "$all" --color never
check_silent_on "colour: never" "$out" "$escape"

# Chosen types.

on_host "$all" --type snp -t tdx
check_code "--type: exit code" 0
check_says "--type: only these" "$out" "have snp tdx VM"
check_silent_on "--type: no other" "$out" "sev_es: AMD"
on_host default:mmap --type snp
check_code "--type that is not offered: exit code" 0
check_says "--type that is not offered" "$out" "snp: AMD SEV-SNP not offered"

# Requirements.

# requires <code> <types> <options...>
requires() {
	requires_code=$1
	requires_case="$2 $3 $4 ${5-} ${6-}"
	shift
	requires_types=$1
	shift
	on_host "$requires_types" --quiet "$@"
	check_code "--require: $requires_case" "$requires_code"
	check_empty "--require: $requires_case: no output" "$out"
}
requires 0 "$all" --require vm
requires 0 "$all" --require mmap,in_place
requires 0 "$all" --require mmap --require private_memory
requires 0 "$all" --require vm,guest_memfd,per_vm_tracking,prefault,memory_fault_exit,region2
requires 1 "$all" --require mmap,per_vm_tracking
check_says "--require: what the closest type lacks" "$err" "VM type default lacks: per_vm_tracking"
requires 1 default:mmap --require in_place
requires 1 default:old --require vm,guest_memfd
check_says "--require: not vm, which is there" "$err" "VM type default lacks: guest_memfd"
requires 0 "$all" --type snp --require in_place
requires 1 "$all" --type tdx --require in_place
check_says "--require: names the type" "$err" "VM type tdx lacks: in_place"
requires 1 "$all" --type snp --type=tdx --require=in_place
check_says "--require: each type given" "$err" "VM type tdx lacks: in_place"
check_silent_on "--require: not the type that has it" "$err" "snp"
requires 1 default:mmap --type snp --require vm
requires 1 "$all" --type sev --require vm
requires 3 "default:busy sev:busy" --require vm -t default

for feature in $("$GMEM_PROBE" --help | sed -n '/^Features:/,/^$/p' | awk '/^  / { print $1 }'); do
	requires 1 "snp:busy default:mmap" --type snp --require "$feature"
done

# Failures.

on_host "default:mmap sw_protected:broken" --require mmap
check_code "libgmem fails on a type: exit code" 4
check_says "libgmem fails on a type: named" "$err" "VM type sw_protected: VM: \"quoted\""
on_host "default:mmap sw_protected:broken" --type default
check_code "libgmem fails on a type that was not asked for: exit code" 0
on_host "default:mmap sw_protected:broken"
check_says "libgmem fails on a type: in the table" "$out" "libgmem failed: VM:"

# JSON.

json_keys="schema version host kernel architecture page_size cpu vendor flags svm vmx sev sev_es
	sev_snp tdx_host_platform hypervisor modules parameters config path numa_nodes huge_pages
	size total free memfd userfaultfd kvm device usable state error api_version vm_type_mask
	vm_types name number offered message features tracking slots address_spaces max_section
	snp_features snp_policy required satisfied missing advice id level remedy vm guest_memfd
	mmap init_shared private_memory per_vm_tracking in_place prefault memory_fault_exit
	map_gpa_range_exit region2"
mkdir -p "$host/sys/kernel/mm/hugepages/hugepages-2048kB"
on_host "default:mmap sw_protected:broken sev:busy snp:file,bits" --json --require vm
check_code "JSON: exit code" 4
cp "$out" "$scratch/json"
for key in $json_keys; do
	attempt "JSON: key $key" grep -q "\"$key\": " "$scratch/json"
	attempt "JSON: key $key is in the manual page" grep -q "\*$key\*" \
		"$top_srcdir/doc/man/gmem-probe.1.scd"
done
on_host default:mmap --json --quiet
check_empty "JSON: --quiet wins" "$out"

cat >"$scratch/look.py" <<'PYTHON'
import json, sys
probe = json.load(open(sys.argv[1], encoding="utf-8"))
types = {entry["name"]: entry for entry in probe["vm_types"]}
assert probe["schema"] == 1
assert list(types) == ["default", "sw_protected", "sev", "sev_es", "snp", "tdx"]
assert [types[name]["number"] for name in types] == [0, 1, 2, 3, 4, 5]
assert probe["kvm"]["usable"] is True and probe["kvm"]["state"] == "usable"
assert probe["kvm"]["api_version"] == 12 and probe["kvm"]["vm_type_mask"] == 0x17
assert probe["host"]["kernel"] == "7.4.0"
assert probe["host"]["cpu"]["flags"]["sev_snp"] and not probe["host"]["cpu"]["flags"]["vmx"]
assert probe["host"]["parameters"]["kvm_amd.sev_snp"] is None
assert probe["host"]["huge_pages"] == [{"size": 2 << 20, "total": 0, "free": 0}]
assert types["default"]["features"]["tracking"] == "none"
assert types["default"]["features"]["mmap"] is True
assert types["snp"]["features"]["tracking"] == "guest_memfd"
assert types["snp"]["features"]["snp_policy"] == 0x3fdffff
assert types["snp"]["features"]["max_section"] == (8 << 40) - 4096
assert types["sev"]["error"] == "Device or resource busy" and types["sev"]["features"] is None
assert types["tdx"]["offered"] is False and types["tdx"]["error"] is None
broken = 'VM: "quoted" \\ back\ttab \x01 \ufffd \xe4 \ufffd\ufffd\ufffd \ufffd\ufffd end'
assert types["sw_protected"]["message"] == broken, types["sw_protected"]["message"]
assert probe["required"] == {"features": ["vm"], "satisfied": True, "missing": {}}
assert {entry["level"] for entry in probe["advice"]} <= {"error", "hint", "note"}
assert "tdx" in {entry["id"] for entry in probe["advice"]}
PYTHON
cat >"$scratch/look-missing.py" <<'PYTHON'
import json, sys
probe = json.load(open(sys.argv[1], encoding="utf-8"))
assert [entry["name"] for entry in probe["vm_types"]] == ["sev", "tdx"]
assert probe["kvm"]["usable"] is False and probe["kvm"]["state"] == "no_vm"
assert probe["kvm"]["error"] == "Device or resource busy" and probe["kvm"]["api_version"] is None
assert probe["required"]["satisfied"] is False
assert probe["required"]["missing"] == {"sev": ["vm", "mmap"], "tdx": ["vm", "mmap"]}
assert probe["advice"][0]["id"] == "kvm_no_vm" and probe["advice"][0]["level"] == "error"
PYTHON
if command -v python3 >/dev/null; then
	attempt "JSON: what it says" python3 "$scratch/look.py" "$scratch/json"
	on_host "default:busy sev:busy" --json -t sev -t tdx -r mmap,vm
	attempt "JSON: nothing usable" python3 "$scratch/look-missing.py" "$out"
else
	skip "JSON: what it says" "there is no python3"
fi

finish
