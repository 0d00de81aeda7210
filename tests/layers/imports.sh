#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the library's objects ask of others: of the C library only what
# tests/layers/allowed lists, of each other only what stands in their own layer
# or below. And they have no variables but where that table says ".bss", no
# constructors and no destructors.
#
# A function stands where the private header stands that declares it, a public
# one where its code is.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

: "${NM:=nm}"
[ "${GMEM_INSTRUMENTED:-no}" = no ] ||
	skip_all "a build with sanitizers or coverage calls functions that are not ours"

sed -n 's/.*\t\(libgmem\/.*\)\.c$/\1/p' "$top_srcdir/tests/layers/layers" >"$scratch/modules"
while read -r module; do
	directory=$top_builddir/$(dirname "$module")
	object=$directory/.libs/$(basename "$module").o
	[ -f "$object" ] || object=$directory/$(basename "$module").o
	echo "$module $object"
done <"$scratch/modules" >"$scratch/objects"

while read -r module object; do
	objdump -h "$object" >"$scratch/sections" || fail "$module" "it has no object"
	! grep -q ' \.gnu\.lto_' "$scratch/sections" ||
		skip_all "objects of link-time optimisation cannot be looked into"
	awk -v module="$module" -v may="$(grep -cx "\.bss	$module\.c" "$top_srcdir/tests/layers/allowed")" '
	$2 == ".bss" && may { next }
	$2 ~ /^\.(data|bss|tdata|tbss)/ && $2 !~ /^\.data\.rel\.ro/ && $3 !~ /^0+$/ {
		print module ".c: a variable: section " $2
	}
	$2 ~ /^\.(init_array|fini_array|ctors|dtors|init|fini|preinit_array)/ {
		print module ".c: runs before or after main(): section " $2
	}' "$scratch/sections" >>"$scratch/state"
	$NM "$object" | awk -v module="$module" '
		$1 == "U" { print "uses", $2, module; next }
		$2 ~ /^[A-TV-Z]$/ { print "has", $3, module }' >>"$scratch/symbols"
done <"$scratch/objects"

judge "no object has variables or constructors" "$scratch/state"

# Who declares what: words before a parenthesis, outside of comments.
(cd "$top_srcdir" && find libgmem -name '*.h') | while read -r header; do
	sed 's|/\*.*\*/||; /^[[:blank:]]*\/\*/,/\*\//d' "$top_srcdir/$header" |
		grep -o '[a-z_0-9]*(' | sed "s|($| $header|; s|^|declares |"
done >>"$scratch/symbols"

grep -v '^#' "$top_srcdir/tests/layers/layers" | grep . >"$scratch/layers"
grep -v '^#' "$top_srcdir/tests/layers/allowed" | grep . >"$scratch/allowed"
awk -v layers="$scratch/layers" -v allowed="$scratch/allowed" '
function height_of(name,    headers, i, count, best) {
	best = height[layer[owner[name]]]
	count = split(declarations[name], headers, " ")
	for (i = 1; i <= count; i++)
		if (height[layer[headers[i]]] < best)
			best = height[layer[headers[i]]]
	return best
}
BEGIN {
	FS = "\t"
	while ((getline < layers) > 0) {
		if (!($1 in height))
			height[$1] = ++top
		layer[$2] = $1
	}
	while ((getline < allowed) > 0)
		may[$1, $2] = 1
	FS = " "
}
$1 == "has" { owner[$2] = $3 ".c" }
$1 == "declares" { declarations[$2] = declarations[$2] " " $3 }
$1 == "uses" { user[++count] = $3 ".c"; used[count] = $2 }
END {
	for (i = 1; i <= count; i++) {
		name = used[i]
		file = user[i]
		if (name in owner) {
			if (height_of(name) > height[layer[file]])
				print file " (" layer[file] ") uses " name " of " owner[name] \
					" (" layer[owner[name]] ")"
			continue
		}
		# The forms in which a compiler puts hardened calls.
		if (name == "_GLOBAL_OFFSET_TABLE_" || name == "__stack_chk_fail")
			continue
		if (name ~ /^__.*_chk$/) {
			sub(/^__/, "", name)
			sub(/_chk$/, "", name)
		}
		if (!((name, file) in may) && !((name, "any") in may))
			print file ": calls " name
	}
}' "$scratch/symbols" | LC_ALL=C sort >"$scratch/out"
judge "$(wc -l <"$scratch/objects") objects call only what they may" "$scratch/out"

finish
