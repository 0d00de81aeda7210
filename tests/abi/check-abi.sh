#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The library's ABI against that of the last release:
#   tests/abi/check-abi.sh LIBRARY INCLUDE-DIRECTORY
#   tests/abi/check-abi.sh --update LIBRARY INCLUDE-DIRECTORY (a step of a release)
# A baseline is tests/abi/<soname>.<machine>.abi. What differs from it on purpose
# is listed, with its reason, in tests/abi/suppressions.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

update=no
if [ "$1" = --update ]; then
	update=yes
	shift
fi
library=$1
include=$2
here=$top_srcdir/tests/abi
soname=$(objdump -p "$library" | awk '$1 == "SONAME" { print $2 }')
baseline=$here/$soname.$(uname -m).abi

abidw --headers-dir "$include" --drop-private-types --no-comp-dir-path --no-corpus-path \
	--out-file "$scratch/now.abi" "$library"

# abidw without debug information makes a file that agrees with everything.
if grep -q "<function-decl name='gmem_version'" "$scratch/now.abi"; then
	pass "abidw reads the types of $soname"
else
	fail "abidw reads the types of $soname" "gmem_version() is not in its output"
fi

if [ "$update" = yes ]; then
	cp "$scratch/now.abi" "$baseline"
	pass "wrote $baseline"
elif [ -f "$baseline" ]; then
	suppressions=
	[ ! -f "$here/suppressions" ] || suppressions="--suppressions $here/suppressions"
	# abidiff: 4 = the ABI changed, 8 = incompatibly, 1 and 2 = it could not tell.
	status=0
	# shellcheck disable=SC2086 # no argument or two
	abidiff --no-added-syms $suppressions "$baseline" "$scratch/now.abi" >"$scratch/out" ||
		status=$?
	sed 's/^/    /' "$scratch/out"
	if [ "$status" -eq 0 ]; then
		pass "the ABI is that of the last release, or more"
	else
		fail "the ABI is that of the last release, or more" "abidiff: $status"
	fi
else
	skip "the ABI against the last release" "no release yet, so no tests/abi/$(basename "$baseline")"
fi

finish
