#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The built shared libraries: what they export, under which version, by what soname.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

[ "${GMEM_ENABLE_SHARED:-yes}" = yes ] || skip_all "no shared library was built (--disable-shared)"
: "${NM:=nm}" "${GMEM_ABI_VERSION:?}" "${GMEM_SIM_ABI_VERSION:?}"

# check <name> <directory> <current:revision:age>: one library
check() {
	library=$top_builddir/$2/.libs/$1.so
	node=$(echo "$1" | tr '[:lower:]-' '[:upper:]_')
	$NM -D --defined-only "$library" >"$scratch/nm"
	awk '$2 != "A" { print $3 }' "$scratch/nm" | LC_ALL=C sort >"$scratch/exports"
	sed 's/@.*//' "$scratch/exports" | LC_ALL=C sort >"$scratch/names"
	map_functions "$1" >"$scratch/map"

	LC_ALL=C comm -13 "$scratch/map" "$scratch/names" >"$scratch/out"
	judge "$1: nothing is exported but what the map names" "$scratch/out"
	LC_ALL=C comm -23 "$scratch/map" "$scratch/names" >"$scratch/out"
	judge "$1: all that the map names is exported" "$scratch/out"
	grep -v "@@${node}_[0-9][0-9]*\\.[0-9][0-9]*\$" "$scratch/exports" >"$scratch/out" || true
	judge "$1: every function has a version ${node}_x.y" "$scratch/out"
	awk '$2 != "A" && $2 != "T" { print $2, $3 }' "$scratch/nm" >"$scratch/out"
	judge "$1: no variable is exported" "$scratch/out"

	# current:revision:age of configure.ac gives the soname's number and the file's name.
	IFS=: read -r current revision age <<-EOF
		$3
	EOF
	want=$1.so.$((current - age))
	found=$(objdump -p "$library" | awk '$1 == "SONAME" { print $2 }')
	if [ "$found" = "$want" ]; then
		pass "the soname is $want"
	else
		fail "the soname is $want" "it is \"$found\""
	fi
	file=$library.$((current - age)).$age.$revision
	if [ -f "$file" ]; then
		pass "the file is $(basename "$file")"
	else
		fail "the file is $(basename "$file")" "there is no such file"
	fi
}

check libgmem libgmem "$GMEM_ABI_VERSION"
check libgmem-sim sim "$GMEM_SIM_ABI_VERSION"

# Visibility does not reach into a static library: what links it must not clash. (Static probes
# share one symbol with those of every other program, which the linker merges: sys/sdt.h.)
for static in "$top_builddir/libgmem/.libs/libgmem.a" "$top_builddir/sim/.libs/libgmem-sim.a"; do
	case="$(basename "$static") defines only gmem_*"
	if [ -f "$static" ] && [ "${GMEM_INSTRUMENTED:-no}" = no ]; then
		$NM -g --defined-only "$static" |
			awk 'NF == 3 && $3 !~ /^gmem_|^_[.]stapsdt[.]base$/ { print $3 }' >"$scratch/out"
		judge "$case" "$scratch/out"
	else
		skip "$case" "there is none, or it is instrumented"
	fi
done

finish
