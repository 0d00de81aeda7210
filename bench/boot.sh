#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A simulated guest's boot holds no more memory than the guest's size and what
# may wait to be freed, and frees it in fewer calls than there are requests.
. "${top_srcdir:-.}/tests/lib.sh"

status=0
"$top_builddir/bench/boot" >"$scratch/out" 2>&1 || status=$?
cat "$scratch/out"
case="$(grep -c '^ *[0-9]' "$scratch/out") boots stay within their bounds"
if [ "$status" -eq 0 ] && [ "$(grep -c '^ *[0-9]' "$scratch/out")" -eq 4 ]; then
	pass "$case"
else
	fail "$case" "they do not"
fi
finish
