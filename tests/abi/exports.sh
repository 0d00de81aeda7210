#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The built shared library: what it exports, under which version, by what soname.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

[ "${GMEM_ENABLE_SHARED:-yes}" = yes ] || skip_all "no shared library was built (--disable-shared)"
library=$top_builddir/libgmem/.libs/libgmem.so
: "${NM:=nm}" "${GMEM_ABI_VERSION:?}"

$NM -D --defined-only "$library" >"$scratch/nm"
awk '$2 != "A" { print $3 }' "$scratch/nm" | LC_ALL=C sort >"$scratch/exports"
sed 's/@.*//' "$scratch/exports" | LC_ALL=C sort >"$scratch/names"
map_functions >"$scratch/map"

LC_ALL=C comm -13 "$scratch/map" "$scratch/names" >"$scratch/out"
judge "nothing is exported but what the map names" "$scratch/out"
LC_ALL=C comm -23 "$scratch/map" "$scratch/names" >"$scratch/out"
judge "all that the map names is exported" "$scratch/out"
grep -v '@@LIBGMEM_[0-9][0-9]*\.[0-9][0-9]*$' "$scratch/exports" >"$scratch/out" || true
judge "every function has a version LIBGMEM_x.y" "$scratch/out"
awk '$2 != "A" && $2 != "T" { print $2, $3 }' "$scratch/nm" >"$scratch/out"
judge "no variable is exported" "$scratch/out"

# current:revision:age of configure.ac gives the soname's number and the file's name.
IFS=: read -r current revision age <<EOF
$GMEM_ABI_VERSION
EOF
want=libgmem.so.$((current - age))
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

# Visibility does not reach into a static library: what links it must not clash.
static=$top_builddir/libgmem/.libs/libgmem.a
if [ -f "$static" ] && [ "${GMEM_INSTRUMENTED:-no}" = no ]; then
	$NM -g --defined-only "$static" | awk 'NF == 3 && $3 !~ /^gmem_/ { print $3 }' >"$scratch/out"
	judge "the static library defines only gmem_*" "$scratch/out"
else
	skip "the static library defines only gmem_*" "there is none, or it is instrumented"
fi

finish
