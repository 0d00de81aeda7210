#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every row of the table of doc/qemu.md names tests, and each of them is there and runs.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

# findings <document>: "row: what is wrong"
findings() {
	sed -n '/^|---/,$p' "$1" | grep '^|' | sed 1d | while read -r row; do
		point=$(echo "$row" | cut -d '|' -f 2)
		echo "$row" | awk -F '|' '{ print $(NF - 1) }' | tr '`' '\n' | grep : \
			>"$scratch/named" || true
		[ -s "$scratch/named" ] || echo "$point: names no test"
		while IFS=: read -r file function; do
			grep -q "RIG_CASE($function," "$top_srcdir/tests/convert/$file.c" 2>/dev/null ||
				echo "$point: there is no $function in $file"
		done <"$scratch/named"
	done
}

findings "$top_srcdir/doc/qemu.md" >"$scratch/out"
judge "every test that the table names is there" "$scratch/out"

rows=$(sed -n '/^|---/,$p' "$top_srcdir/doc/qemu.md" | grep -c '^|')
if [ "$rows" -gt 10 ]; then
	pass "the table has rows"
else
	fail "the table has rows" "$rows, with the line above them"
fi

# The check itself finds what it is there to find.
cat >"$scratch/bad.md" <<-'EOF'
	| point | QEMU | libgmem | shown by |
	|---|---|---|---|
	| good | a | b | `test-convert:converts_there_and_back` |
	| none | a | `test-convert:converts_there_and_back` | by nothing |
	| gone | a | b | `test-convert:never_was`, `test-never:was` |
EOF
findings "$scratch/bad.md" | cut -d : -f 1 | tr -d '\n' >"$scratch/out"
if [ "$(cat "$scratch/out")" = " none  gone  gone " ]; then
	pass "a row without a test, and tests that are not there, are found"
else
	fail "a row without a test, and tests that are not there, are found" "$(cat "$scratch/out")"
fi

finish
