#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Static probes: those of the library are those of doc/tracing.md, with as many
# arguments, and each has a line of bpftrace there.
. "${top_srcdir:-.}/tests/lib.sh"

library=$top_builddir/libgmem/.libs/libgmem.so
[ -f "$library" ] || library=$top_builddir/libgmem/.libs/libgmem.a
command -v readelf >/dev/null 2>&1 || skip_all "readelf is not installed"
readelf -n "$library" 2>/dev/null >"$scratch/notes"
grep -q stapsdt "$scratch/notes" || skip_all "the library was configured without --enable-usdt"

# name and number of arguments, a line each
awk '/Provider: libgmem/ { ours = 1 }
	/Name: / { name = $2 }
	/Arguments:/ && ours { print name, NF - 1; ours = 0 }' "$scratch/notes" | sort -u >"$scratch/have"
# shellcheck disable=SC2016 # backquotes of the text
sed -n 's/^| `\([a-z_]*\)` | \([^|]*\) |.*/\1|\2/p' "$top_srcdir/doc/tracing.md" |
	awk -F '|' '{ gsub(/1: private side, 0: shared/, "side", $2)
		gsub(/GMEM_SHARED \(1\) or GMEM_PRIVATE \(2\)/, "state", $2)
		print $1, split($2, words, ", ") }' | sort -u >"$scratch/documented"
if diff "$scratch/documented" "$scratch/have" >"$scratch/diff"; then
	pass "the probes are those of doc/tracing.md, with their arguments"
else
	sed 's/^/    /' "$scratch/diff"
	fail "the probes are those of doc/tracing.md, with their arguments" "they are not"
fi
while read -r name rest; do
	if grep -q "bpftrace.*:$name \|usdt:.*:$name " "$top_srcdir/doc/tracing.md"; then
		pass "$name has a line of bpftrace"
	else
		fail "$name has a line of bpftrace" "$rest arguments and no example"
	fi
done <"$scratch/have"
finish
