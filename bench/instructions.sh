#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Counts the instructions of one gmem_vm_get_state() of memory that is never
# private, and holds them to the goal. Counts do not depend on how busy the
# machine is; they do depend on the compiler, so only a plain build is judged.
. "${top_srcdir:-.}/tests/lib.sh"

goal=60
queries=10000

[ "${GMEM_INSTRUMENTED:-no}" = no ] || skip_all "instructions of an instrumented build say nothing"
command -v valgrind >/dev/null 2>&1 || skip_all "valgrind is not installed"
# And its reader of debug information gives up on that of clang 14.
if ${CC:-cc} --version | grep -q clang; then
	skip_all "the goal is for gcc, and valgrind cannot read every build of clang"
fi

for sections in 8 256 4096; do
	total=$(valgrind --tool=callgrind --toggle-collect=gmem_vm_get_state \
		--callgrind-out-file=/dev/null "$top_builddir/bench/queries" "$sections" 2>&1 |
		sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
	each=$((${total:-0} / queries))
	case="a query with $sections sections takes $each instructions, at most $goal"
	if [ "$each" -gt 0 ] && [ "$each" -le "$goal" ]; then
		pass "$case"
	else
		fail "$case" "it does not"
	fi
done
finish
