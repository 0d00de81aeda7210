#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The conformance suite on all kernels at once: a table of facts by kernel, and what no case shows.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

conformance=$top_builddir/tests/conformance/conformance

# Each kernel is a test of its own, and each such test has a kernel.
"$conformance" --list | LC_ALL=C sort >"$scratch/targets"
(cd "$(dirname "$0")" && ls ./*.sh) | sed 's|^\./||; s|\.sh$||; /^table$/d' | LC_ALL=C sort |
	diff "$scratch/targets" - >"$scratch/out" || true
judge "every target has its script" "$scratch/out"

status=0
"$conformance" --table >"$scratch/table" || status=$?
grep -v '^\(PASS\|FAIL\|SKIP\): ' "$scratch/table" || true
grep '^\(PASS\|FAIL\|SKIP\): ' "$scratch/table" >"$scratch/results" || true
while read -r line; do
	text=${line#*: }
	case $line in
	"PASS: "*) pass "$text" ;;
	"FAIL: "*) fail "${text%%: *}" "${text#*: }" ;;
	"SKIP: "*) skip "${text%%: *}" "${text#*: }" ;;
	esac
done <"$scratch/results"
[ -s "$scratch/results" ] || fail "the table" "it says nothing of the facts"
[ "$status" -eq 0 ] || [ "$lib_failed" -gt 0 ] || fail "the table" "exit status $status"

finish
