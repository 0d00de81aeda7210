#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gmem-measure digest and explain: the table of launch digests, many counts at once, and every step.

. "$(dirname "$0")/measure-lib.sh"
need_python

# The table: digests of other tools.

tab=$(printf '\t')
tail -n +2 "$data/vectors.tsv" >"$scratch/rows"
while IFS=$tab read -r image _ vmm vcpus _ signature features kernel initrd cmdline digest; do
	set -- "$data/$image" --vcpus "$vcpus" --signature "$signature" --features "$features" \
		--vmm "$(echo "$vmm" | tr '[:upper:]' '[:lower:]')"
	[ "$kernel" = - ] || set -- "$@" --kernel "$data/$kernel"
	[ "$initrd" = - ] || set -- "$@" --initrd "$data/$initrd"
	if [ "$cmdline" != - ]; then
		cmdline=${cmdline#\'}
		set -- "$@" --append "${cmdline%\'}"
	fi
	measure digest "$@"
	if [ "$code" -eq 0 ] && [ "$(cat "$out")" = "$digest" ]; then
		pass "row: $image $vmm $vcpus $signature $features $kernel $initrd"
	else
		show_run
		fail "row: $image $vmm $vcpus $signature $features $kernel $initrd" "not $digest"
	fi
done <"$scratch/rows"
attempt "the table has rows" test "$(wc -l <"$scratch/rows")" -ge 13

# Many counts at once are those of one by one.

for list in 1,2,3,9,64 64,9,1-3,2 ; do
	measure digest "$image_a" -n "$list" --cpu EPYC-Rome-v3
	for count in 1 2 3 9 64; do
		echo "$count $(digest_of "$image_a" -n "$count" --signature 0x830f10)"
	done >"$scratch/one-by-one"
	attempt "counts $list at once" diff "$scratch/one-by-one" "$out"
done

# A name is a signature.
for pair in EPYC:0x800f12 EPYC-v4:0x800f12 EPYC-IBPB:0x800f12 EPYC-Rome:0x830f10 \
	EPYC-Milan:0xa00f11 EPYC-Milan-v2:0xa00f11 EPYC-Genoa:0xa10f10 EPYC-Turin:0xb00f00; do
	attempt "processor ${pair%:*}" test "$(digest_of "$image_a" -n 2 -c "${pair%:*}")" = \
		"$(digest_of "$image_a" -n 2 --signature "${pair#*:}")"
done
attempt "bit 0 of the features is always set" test \
	"$(digest_of "$image_a" -n 2 -m gce --features 0x20)" = \
	"$(digest_of "$image_a" -n 2 -m gce --features 0x21)"

# Quiet, JSON.

measure digest "$image_a" -n 1 -m ec2 --quiet
check_code "quiet: exit code" 0
check_empty "quiet: nothing" "$out"
measure digest "$image_a" -n 1,5 -c EPYC --kernel "$data/kernel-1" --append 'a "b"' --json
check_code "JSON: exit code" 0
check_python "JSON: what it says" '
import json, sys
o = json.load(open(sys.argv[1]))
assert o["schema"] == 1 and o["command"] == "digest", o
assert o["launch"] == {"image": sys.argv[2], "vmm": "qemu", "signature": 0x800f12, "features": 1,
	"kernel": sys.argv[3], "initrd": None, "append": "a \"b\"", "vmsa": None}, o
assert [d["vcpus"] for d in o["digests"]] == [1, 5], o
assert [d["digest"] for d in o["digests"]] == sys.argv[4:], o
' "$out" "$image_a" "$data/kernel-1" \
	"$(digest_of "$image_a" -n 1 -c EPYC -k "$data/kernel-1" --append 'a "b"')" \
	"$(digest_of "$image_a" -n 5 -c EPYC -k "$data/kernel-1" --append 'a "b"')"

# Explain: the chain as python sees it, from the files alone where contents are measured.

chain='
import hashlib, json, struct, sys
o = json.load(open(sys.argv[1]))
image = open(sys.argv[2], "rb").read()
vmsas = open(sys.argv[3], "rb").read() if len(sys.argv) > 3 else None
types = {"normal": 1, "vmsa": 2, "zero": 3, "unmeasured": 4, "secrets": 5, "cpuid": 6}
def page_info(ld, contents, kind, gpa):
	info = ld + contents + struct.pack("<HBBBBBBQ", 0x70, kind, 0, 0, 0, 0, 0, gpa)
	return hashlib.sha384(info).digest()
ld = bytes(48)
seen = 0
for step in o["steps"]:
	kind, gpa = types[step["type"]], step["gpa"]
	known = True
	for i in range(step["pages"]):
		contents = bytes(48)
		if kind == 1 and step["section"] is None:
			page = image[gpa - (1 << 32) + len(image):][i * 4096:][:4096]
			contents = hashlib.sha384(page).digest()
		elif kind == 2 and vmsas:
			index = min(step["vcpu"] + i, len(vmsas) // 4096 - 1)
			contents = hashlib.sha384(vmsas[index * 4096:][:4096]).digest()
		elif kind in (1, 2):
			known = False
			continue
		ld = page_info(ld, contents, kind, gpa + (0 if kind == 2 else i * 4096))
	if known:
		seen += 1
		assert ld.hex() == step["digest"], step
	ld = bytes.fromhex(step["digest"])
assert ld.hex() == o["digest"], o["digest"]
assert seen >= len(o["steps"]) - 3, seen
'
for image in "$image_a" "$image_b"; do
	for vmm in qemu ec2 gce kvm; do
		set -- "$image" --vcpus 3 --vmm "$vmm" --signature 0xa00f11
		measure explain "$@" --json
		check_code "explain: $(basename "$image") $vmm: exit code" 0
		check_python "explain: $(basename "$image") $vmm: the chain" "$chain" "$out" "$image"
		check_says "explain: $(basename "$image") $vmm: ends with the digest" "$out" \
			"$(digest_of "$@")"
	done
done
head -c 12288 /dev/urandom >"$scratch/vmsas"
for vcpus in 1 2 3 8; do
	set -- "$image_a" --vcpus "$vcpus" --vmsa "$scratch/vmsas"
	measure explain "$@" --json
	check_python "explain: own VMSAs, $vcpus vCPUs" "$chain" "$out" "$image_a" "$scratch/vmsas"
	check_says "digest: own VMSAs, $vcpus vCPUs" "$out" "$(digest_of "$@")"
done

measure explain "$image_a" -n 3 -c EPYC-Genoa -k "$data/kernel-1" --full
check_code "explain: text: exit code" 0
check_says "explain: text: head" "$out" \
	"3 vCPUs, which start as QEMU's EPYC-Genoa (signature 0xa10f10), VMSA features 0x1"
check_says "explain: text: image" "$out" "1 0x0000fffe0000 32 normal the firmware image"
check_says "explain: text: kernel" "$out" "1 normal section 6, KERNEL_HASHES of the kernel"
check_says "explain: text: first vCPU" "$out" "0xfffffffff000 1 vmsa vCPU 0, which boots"
check_says "explain: text: other vCPUs" "$out" "0xfffffffff000 2 vmsa vCPUs 1 to 2"
check_says "explain: text: the digest" "$out" \
	"Launch digest: $(digest_of "$image_a" -n 3 -c EPYC-Genoa -k "$data/kernel-1")"
attempt "explain: --full shows whole digests" test "$(grep -cE ' [0-9a-f]{96}$' "$out")" -eq 11
measure explain "$image_a" -n 3 -c EPYC-Genoa -k "$data/kernel-1"
attempt "explain: digests are cut short" test "$(grep -cE ' [0-9a-f]{16}\.\.\.$' "$out")" -eq 10
attempt "explain: no line is longer than 100" test "$(awk 'NR > 1 && length($0) > 100' "$out" | wc -l)" -eq 1
measure explain "$image_b" -n 3 -c EPYC-Genoa -k "$data/kernel-1"
check_code "explain: an image without a place for a kernel: exit code" 3
check_empty "explain: an image without a place for a kernel: no output" "$out"
check_says "explain: an image without a place for a kernel: reason" "$err" "kernel hashes"

if [ -c /dev/full ]; then
	code=0
	"$GMEM_MEASURE" digest "$image_a" -n 1 -m gce >/dev/full 2>"$err" || code=$?
	: >"$out"
	check_code "full disk: exit code" 4
	check_says "full disk: reason" "$err" "cannot write the output: No space left"
else
	skip "full disk" "there is no /dev/full"
fi

finish
