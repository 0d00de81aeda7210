#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Counts the instructions of the calls that vCPU and device threads make most, and
# holds each to a bound: what it was last, and some 2 in 100 more.
# Counts do not depend on how busy the machine is; they do depend on the compiler,
# so only a plain build is judged.
. "${top_srcdir:-.}/tests/lib.sh"

[ "${GMEM_INSTRUMENTED:-no}" = no ] || skip_all "instructions of an instrumented build say nothing"
command -v valgrind >/dev/null 2>&1 || skip_all "valgrind is not installed"
# And its reader of debug information gives up on that of clang 14.
if ${CC:-cc} --version | grep -q clang; then
	skip_all "the goal is for gcc, and valgrind cannot read every build of clang"
fi

# count <function> <program> <argument>: instructions that the function took in all
count() {
	valgrind --tool=callgrind --toggle-collect="$1" --callgrind-out-file=/dev/null \
		"$top_builddir/bench/$2" "$3" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

# bound <what> <at most> <calls> <function> <program> <argument>
bound() {
	total=$(count "$4" "$5" "$6")
	each=$((${total:-0} / $3))
	case="$1 takes $each instructions, at most $2"
	if [ "$each" -gt 0 ] && [ "$each" -le "$2" ]; then
		pass "$case"
	else
		fail "$case" "it does not"
	fi
}

for sections in 8 256 4096; do
	bound "a query with $sections sections" 45 10000 gmem_vm_get_state queries "$sections"
done
bound "a query of memory that can be private" 60 10000 gmem_vm_get_state conversions query
bound "a conversion of one page, but for its ioctl," 389 20000 gmem_vm_convert conversions convert
bound "a conversion that there is nothing to do for" 136 10000 gmem_vm_convert conversions trusted
bound "a pin" 273 10000 gmem_vm_pin conversions pin
bound "an unpin" 68 10000 gmem_vm_unpin conversions pin
finish
