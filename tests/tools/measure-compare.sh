#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gmem-measure compare: equal, different and why, and attestation reports.

. "$(dirname "$0")/measure-lib.sh"
need_python

# given <digest> <arguments...>: compare with it
given() {
	given_digest=$1
	shift
	measure compare "$image_a" --digest "$given_digest" "$@"
}

digest=$(digest_of "$image_a" -n 4 -c EPYC-Milan)
given "$digest" -n 4 -c EPYC-Milan
check_code "equal: exit code" 0
check_says "equal: said" "$out" "equal: this launch gives that digest"
given "$digest" -n 4 -c EPYC-Milan --quiet
check_code "equal: quiet: exit code" 0
check_empty "equal: quiet" "$out"
# What was not said is found.
given "$digest"
check_code "count and processor left open: exit code" 0
check_says "count and processor left open: found" "$out" \
	"vCPUs 4 start as those of QEMU processor EPYC-Milan (0xa00f11) VMSA features 0x1"
given "$digest" -n 4
check_code "processor left open: exit code" 0
given "$digest" -c EPYC-Milan
check_code "count left open: exit code" 0
given "$(echo "$digest" | tr '[:lower:]' '[:upper:]')" -n 4 -c EPYC-Milan
check_code "digits in capitals: exit code" 0

# differs <case> <digest> <what it must say> <arguments...>
differs() {
	differs_case=$1
	differs_digest=$2
	differs_text=$3
	shift 3
	given "$differs_digest" "$@"
	check_code "$differs_case: exit code" 1
	check_says "$differs_case: said" "$out" "different: this launch does not give that digest"
	check_says "$differs_case: why" "$out" "The same launch gives that digest with: $differs_text"
	given "$differs_digest" --quiet "$@"
	check_code "$differs_case: quiet: exit code" 1
	check_empty "$differs_case: quiet" "$out"
}
kernel="-k $data/kernel-1 --initrd $data/initrd-1 --append console=ttyS0"
# shellcheck disable=SC2086 # several words
{
	differs "another count" "$digest" "vCPUs 4; here: 8" -n 8 -c EPYC-Milan
	differs "another processor" "$digest" \
		"processor EPYC-Milan (0xa00f11); here: EPYC-Genoa (0xa10f10)" -n 4 -c EPYC-Genoa
	differs "other features" "$(digest_of "$image_a" -n 4 -c EPYC-Milan --features 0x221)" \
		"VMSA features 0x221; here: 0x1" -n 4 -c EPYC-Milan
	for vmm in ec2:"Amazon EC2" gce:"Google Compute Engine" kvm:"KVM's own reset state"; do
		differs "by ${vmm%%:*}" "$(digest_of "$image_a" -n 4 -m "${vmm%%:*}")" \
			"vCPUs start as those of ${vmm#*:}; here: QEMU" -n 4 -c EPYC-Milan
	done
	differs "by QEMU" "$digest" "vCPUs start as those of QEMU; here: Google Compute Engine" -n 4 \
		-m gce
	differs "kernel hashes missing" "$digest" \
		"kernel not measured: no kernel hashes; here: as given" -n 4 -c EPYC-Milan $kernel
	differs "initrd missing" \
		"$(digest_of "$image_a" -n 4 -c EPYC -k "$data/kernel-1" --append console=ttyS0)" \
		"kernel measured without the initrd" -n 4 -c EPYC $kernel
	differs "command line missing" \
		"$(digest_of "$image_a" -n 4 -c EPYC -k "$data/kernel-1" --initrd "$data/initrd-1")" \
		"kernel measured without the command line" -n 4 -c EPYC $kernel
	differs "initrd and command line missing" \
		"$(digest_of "$image_a" -n 4 -c EPYC -k "$data/kernel-1")" \
		"kernel measured without initrd and command line" -n 4 -c EPYC $kernel
	differs "blanks" "$(digest_of "$image_a" -n 4 -c EPYC -k "$data/kernel-1" --append 'a b')" \
		"kernel measured without the blanks around the command line" -n 4 -c EPYC \
		-k "$data/kernel-1" --append ' a b '
	differs "newline" "$(digest_of "$image_a" -n 4 -c EPYC -k "$data/kernel-1" --append 'a
')" "kernel measured with a newline at the end of the command line" -n 4 -c EPYC \
		-k "$data/kernel-1" --append a
	differs "several things" "$(digest_of "$image_a" -n 9 -c EPYC-Rome --features 0x21)" \
		"vCPUs 9; here: 2 processor EPYC-Rome (0x830f10); here: EPYC (0x800f12) \
VMSA features 0x21; here: 0x1 kernel not measured" -n 2 -c EPYC $kernel
}

# The firmware alone, as explain has it before the first vCPU.
alone=$("$GMEM_MEASURE" explain "$image_a" -n 1 -c EPYC --full | awk '$4 == "vmsa" { print last } { last = $NF }')
differs "no vCPU" "$alone" "vCPUs none: the digest is that of the firmware alone; here: 2" -n 2 -c EPYC
given "$alone"
check_code "no vCPU, count left open: exit code" 1

# EC2 as some tools have it, with RDX 0: VMSAs that are made here, from AMD's layout.
# vmsas <RDX>: of the boot processor and of another, in $scratch/ec2
vmsas() {
	python3 -c '
import struct, sys
image = open(sys.argv[1], "rb").read()
rdx = int(sys.argv[2], 0)
# The reset block of the GUIDed table: where all but the first vCPU start.
guid = bytes.fromhex("de71f7007e1acb4f890e68c77e2fb44e")
reset, = struct.unpack_from("<I", image, image.index(guid) - 6)
def vmsa(start, attributes):
	page = bytearray(4096)
	def segment(at, selector, attributes, base):
		struct.pack_into("<HHIQ", page, at, selector, attributes, 0xffff, base)
	for at in (0x00, 0x30, 0x40, 0x50):
		segment(at, 0, 0x93, 0)
	segment(0x10, 0xf000, attributes, start & 0xffff0000)
	segment(0x20, 0, 0x92, 0)
	segment(0x60, 0, 0, 0)
	segment(0x70, 0, 0x82, 0)
	segment(0x80, 0, 0, 0)
	segment(0x90, 0, 0x83, 0)
	for at, value in ((0xd0, 0x1000), (0x148, 0x40), (0x158, 0x10), (0x160, 0x400),
			(0x168, 0xffff0ff0), (0x170, 2), (0x178, start & 0xffff),
			(0x268, 0x7040600070406), (0x310, rdx), (0x3b0, 1), (0x3e8, 1)):
		struct.pack_into("<Q", page, at, value)
	return page
open(sys.argv[3], "wb").write(vmsa(0xfffffff0, 0x9a) + vmsa(reset, 0x9b))
' "$image_a" "$1" "$scratch/ec2"
}
vmsas 0x600
attempt "EC2's VMSAs are those made here" test "$(digest_of "$image_a" -n 3 -m ec2)" = \
	"$(digest_of "$image_a" -n 3 -m ec2 --vmsa "$scratch/ec2")"
vmsas 0
differs "EC2 with RDX 0" "$(digest_of "$image_a" -n 3 -m ec2 --vmsa "$scratch/ec2")" \
	"vCPUs start as those of Amazon EC2 with RDX 0, as some tools have it; here: Amazon EC2" \
	-n 3 -m ec2

# An own VMSA.
head -c 8192 /dev/urandom >"$scratch/vmsas"
given "$(digest_of "$image_a" -n 3 --vmsa "$scratch/vmsas")" -n 3 --vmsa "$scratch/vmsas"
check_code "own VMSAs: equal: exit code" 0
differs "own VMSAs: another count" "$(digest_of "$image_a" -n 5 --vmsa "$scratch/vmsas")" \
	"vCPUs 5; here: 3" -n 3 --vmsa "$scratch/vmsas"
differs "own VMSAs are not what was launched" "$(digest_of "$image_a" -n 3 -m kvm)" \
	"vCPUs start as those of KVM's own reset state; here: $scratch/vmsas" -n 3 --vmsa "$scratch/vmsas"

# Nothing gives it.
none=$(printf '%096d' 1)
given "$none" -n 4 -c EPYC-Milan --max-vcpus 16
check_code "nothing found: exit code" 1
check_says "nothing found: said" "$out" "None of"
check_says "nothing found: what was tried" "$out" "launches that were tried gives that digest: 1 to 16 vCPUs"
check_says "nothing found: this launch" "$out" "this launch $digest"
check_empty "nothing found: no progress where nobody looks on" "$err"
given "$digest" -c EPYC-Milan --max-vcpus 3
check_code "too many vCPUs to be tried: exit code" 1
given "$digest" -c EPYC-Milan --max-vcpus 4
check_code "just enough vCPUs are tried: exit code" 0
given "$(digest_of "$image_a" -n 600 -c EPYC)" -n 600 -c EPYC --max-vcpus 2
check_code "as many vCPUs as were described are tried in any case: exit code" 0
if command -v script >/dev/null; then
	script -qec "'$GMEM_MEASURE' compare '$image_a' --digest $none --max-vcpus 2" /dev/null \
		>"$out" 2>/dev/null </dev/null || true
	check_says "progress on a terminal" "$out" "kinds of launch, 2 vCPU counts each"
	script -qec "'$GMEM_MEASURE' compare '$image_a' --digest $none --max-vcpus 2 -q" /dev/null \
		>"$out" 2>/dev/null </dev/null || true
	check_empty "no progress with --quiet" "$out"
else
	skip "progress on a terminal" "there is no script(1) to make one"
fi

# An image that cannot have been launched as described, but in another way.
measure compare "$image_b" --digest "$(digest_of "$image_b" -n 2 -c EPYC)" -n 2 -c EPYC \
	-k "$data/kernel-1"
check_code "no place for a kernel: exit code" 1
check_says "no place for a kernel: said" "$err" "kernel hashes"
check_says "no place for a kernel: why" "$out" "kernel not measured: no kernel hashes; here: as given"

# Reports.

# report <version> <digest> <size> [header]: in $scratch/report
report() {
	python3 -c '
import struct, sys
version, digest, size = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
r = bytearray(0x4a0)
r[0:16] = struct.pack("<IIQ", version, 9, 0x30000)
r[0x10:0x20] = bytes(range(16))
r[0x20:0x30] = bytes(range(16, 32))
r[0x90:0xc0] = digest
r[0xc0:0xe0] = bytes([0xd] * 32)
r[0xe0:0x110] = bytes([0xe] * 48)
r[0x110:0x140] = bytes([0xf] * 48)
r[0x188:0x18b] = bytes([0x19, 0x11, 0x3])
if len(sys.argv) > 5:
	r = struct.pack("<II24x", 0, 0x4a0) + r
open(sys.argv[4], "wb").write(bytes(r)[:size].ljust(size, b"\0"))
' "$1" "$2" "$3" "$scratch/report" ${4:+"$4"}
}
reported() {
	measure compare "$image_a" --report "$scratch/report" "$@"
}
report 2 "$digest" 1184
reported -n 4 -c EPYC-Milan
check_code "report: equal: exit code" 0
check_says "report: its digest" "$out" "launch digest $digest"
check_says "report: its policy" "$out" "policy 0x30000"
check_says "report: its ID key" "$out" "ID key digest $(printf '0e%.0s' $(seq 48))"
check_says "report: unchecked" "$out" "its signature is not checked here"
check_silent_on "report: version 2 has no processor" "$out" "processor 0xa10f13"
for form in "5 1184" "3 4096" "5 1216 header" "5 4000 header"; do
	# shellcheck disable=SC2086 # version, size, header
	set -- $form
	report "$1" "$digest" "$2" ${3:+"$3"}
	reported -n 4 -c EPYC-Milan --json
	check_code "report: $form: exit code" 0
	check_python "report: $form: JSON" '
import json, sys
o = json.load(open(sys.argv[1]))
r = o["report"]
assert o["equal"] is True and o["expected"] == o["computed"] == r["digest"] == sys.argv[2], o
assert o["found"]["differences"] == [], o
assert r["version"] == int(sys.argv[3]) and r["svn"] == 9 and r["policy"] == 0x30000, r
assert r["family_id"] == bytes(range(16)).hex(), r
assert r["image_id"] == bytes(range(16, 32)).hex(), r
assert r["host_data"] == "0d" * 32 and r["id_key_digest"] == "0e" * 48, r
assert r["author_key_digest"] == "0f" * 48, r
assert r["signature"] == (0xa10f13 if r["version"] >= 3 else None), r
' "$out" "$digest" "$1"
done
# The host's processor is one that no model has, in any stepping.
report 5 "$(digest_of "$image_a" -n 6 --signature 0xa10f13)" 1184
reported
check_code "report: the processor of the host: exit code" 0
check_says "report: the processor of the host" "$out" "vCPUs 6 start as those of QEMU processor 0xa10f13"
report 5 "$(digest_of "$image_a" -n 6 --signature 0xa10f1a)" 1184
reported -n 6 -c EPYC-Genoa --json
check_code "report: another stepping: exit code" 1
check_python "report: another stepping: JSON" '
import json, sys
o = json.load(open(sys.argv[1]))
assert o["equal"] is False and o["vcpus"] == 6 and o["found"]["vcpus"] == 6, o
assert o["found"]["signature"] == 0xa10f1a and o["tried"] > 10, o
assert o["found"]["differences"] == [{"what": "processor", "here": "EPYC-Genoa (0xa10f10)",
	"there": "0xa10f1a"}], o
' "$out"
report 0 "$digest" 1184
reported
check_code "report: version 0: exit code" 3
report 300 "$digest" 1184
reported
check_code "report: version 300: exit code" 3
report 2 "$digest" 1183
reported
check_code "report: cut: exit code" 3
report 2 "$digest" 1215 header
reported
check_code "report: cut, with a header: exit code" 3
measure compare "$image_a" --digest "$none" --max-vcpus 2 --json
check_python "JSON: nothing found" '
import json, sys
o = json.load(open(sys.argv[1]))
assert o["found"] is None and o["report"] is None and o["computed"] is None, o
assert o["equal"] is False and o["vcpus"] is None, o
' "$out"

finish
