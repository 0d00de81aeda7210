#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The symbol maps against the public headers: the same functions, each once.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

header_functions >"$scratch/headers"
map_functions >"$scratch/map"

if [ -s "$scratch/headers" ] && [ -s "$scratch/map" ]; then
	pass "functions were found in headers ($(wc -l <"$scratch/headers")) and map"
else
	fail "functions were found" "headers or map have none"
fi

# Counted in a second way, so that a declaration the first does not understand is missed by nobody.
declared=$(public_headers | tr '\n' '\0' | xargs -0 grep -hv '^#' | grep -cw GMEM_API || true)
if [ "$declared" -eq "$(wc -l <"$scratch/headers")" ]; then
	pass "every GMEM_API is understood"
else
	fail "every GMEM_API is understood" "$declared in the headers"
fi

uniq -d "$scratch/headers" >"$scratch/out"
judge "no function is declared twice" "$scratch/out"
uniq -d "$scratch/map" >"$scratch/out"
judge "no function is in the map twice" "$scratch/out"
LC_ALL=C comm -23 "$scratch/headers" "$scratch/map" >"$scratch/out"
judge "the map has every function of the headers" "$scratch/out"
LC_ALL=C comm -13 "$scratch/headers" "$scratch/map" >"$scratch/out"
judge "the headers have every function of the map" "$scratch/out"
grep -v '^gmem_' "$scratch/headers" >"$scratch/out" || true
judge "every function is called gmem_something" "$scratch/out"

# Each library has its own.
map_functions libgmem | grep '^gmem_sim_' >"$scratch/out" || true
judge "the simulator's functions are not libgmem's" "$scratch/out"
map_functions libgmem-sim | grep -v '^gmem_sim_' >"$scratch/out" || true
judge "the simulator's functions are called gmem_sim_something" "$scratch/out"

for map in $(symbol_maps); do
	name=$(basename "$map")
	# A name with a star exports what nobody looked at; all else stays local.
	sed 's/\/\*.*\*\///' "$map" | grep -n '[*?[]' |
		grep -v '^[0-9]*:[[:blank:]]*\(local:\)\?[[:blank:]]*\*;$' |
		grep -v '^[0-9]*:[[:blank:]]*\(/\*\| \*\)' >"$scratch/out" || true
	judge "$name has no wildcard but that of local" "$scratch/out"
	if tr -d ' \t\n' <"$map" | grep -q 'local:\*;'; then
		pass "$name: everything else is local"
	else
		fail "$name: everything else is local" "the map has no \"local: *;\""
	fi
done

finish
