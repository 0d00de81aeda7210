#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# gmem-probe on this machine's own KVM, as a user would run it.

. "$(dirname "$0")/probe-lib.sh"

if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
	skip_all "/dev/kvm is not there, or may not be opened"
fi

probe
check_code "table: exit code" 0
check_empty "table: nothing on stderr" "$err"
check_says "table: this kernel" "$out" "Linux $(uname -r), $(uname -m)"
check_says "table: KVM is usable" "$out" "/dev/kvm: usable"
check_says "table: an ordinary VM" "$out" "default: ordinary VM yes"

probe --require vm --type default --quiet
check_code "an ordinary VM can be created" 0
check_empty "quiet: no output" "$out"

probe --device /dev/kvm --root "$scratch" --quiet
check_code "the device is not below the root" 0

mkdir "$scratch/dev"
ln -s /dev/kvm "$scratch/dev/kvm"
probe --root "$scratch" --quiet
check_code "unless it is not named" 0

probe --json
check_code "JSON: exit code" 0
check_says "JSON: usable" "$out" '"usable": true'
if command -v python3 >/dev/null; then
	attempt "JSON: well-formed" python3 -m json.tool "$out"
else
	skip "JSON: well-formed" "there is no python3"
fi

# Twice the same: probing leaves nothing behind. Huge pages come and go by themselves.
grep -v '"free"' "$out" >"$scratch/first"
probe --json
grep -v '"free"' "$out" >"$scratch/second"
attempt "a second time the same" diff "$scratch/first" "$scratch/second"

probe --verbose --quiet
check_code "verbose: exit code" 0
check_empty "verbose: messages go to stderr" "$out"
if grep -qv '^gmem-probe: libgmem: ' "$err"; then
	show_run
	fail "verbose: messages are libgmem's" "another line"
else
	pass "verbose: messages are libgmem's"
fi

finish
