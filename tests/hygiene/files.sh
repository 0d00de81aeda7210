#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every file of the project: licence, form, words, and that the build knows it.
#   tests/hygiene/files.sh DIRECTORY <LIST-OF-FILES
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

cd "$1"
here=$PWD
LC_ALL=C sort >"$scratch/files"
if ! grep -qx 'configure\.ac' "$scratch/files"; then
	fail "the list of files" "it has no configure.ac"
	finish
fi

# each <function>: its findings on every text file
each() {
	while read -r file; do
		[ ! -s "$file" ] || ! grep -Iq . "$file" || "$1" "$file"
	done <"$scratch/files"
}

licence() {
	case $1 in
	COPYING | *.abi | *.tsv | debian/*) return 0 ;;
	esac
	head -n 5 "$1" | grep -q 'SPDX-License-Identifier: LGPL-2\.1-or-later' || echo "$1"
}
each licence >"$scratch/out"
judge "every file has its SPDX line" "$scratch/out"

# Patterns are written so that they do not find themselves.
marks() {
	[ "$1" = COPYING ] || grep -nHwE 'TOD[O]|FIXM[E]|XX[X]|HAC[K]' "$1" || true
	grep -nHE '^(<{7}|>{7}|={7})( |$)' "$1" || true
}
each marks >"$scratch/out"
judge "no left-over marks" "$scratch/out"

paths() {
	[ "$1" = .gitignore ] || grep -nHE '(^|[^[:alnum:]_.$}/*])/(hom[e]|roo[t]|wor[k]|User[s])/' "$1" ||
		true
}
each paths >"$scratch/out"
judge "no path of somebody's machine" "$scratch/out"

form() {
	[ "$1" = COPYING ] || grep -nHE '[[:blank:]]$' "$1" | cut -c 1-100 || true
	! grep -q "$(printf '\r')" "$1" || echo "$1: a carriage return"
	[ -z "$(tail -c 1 "$1")" ] || echo "$1: no newline at its end"
	[ "$(tail -c 2 "$1" | wc -l)" -lt 2 ] || [ "$(wc -c <"$1")" -lt 2 ] ||
		echo "$1: empty lines at its end"
}
each form >"$scratch/out"
judge "no blanks at line ends, every last line ended" "$scratch/out"

executable() {
	if head -n 1 "$1" | grep -q '^#!'; then
		[ -x "$1" ] || echo "$1: has an interpreter, but is not executable"
	elif [ -x "$1" ]; then
		echo "$1: is executable, but has no interpreter"
	fi
}
each executable >"$scratch/out"
judge "what can be run is executable, and nothing else" "$scratch/out"

# A source file that no Makefile fragment names is compiled by nobody and missing in the tarball.
cat Makefile.am ./*/Makemodule.am ./*/*/Makemodule.am | tr -s '[:blank:]' '\n' >"$scratch/am"
grep -E '^(include|libgmem|sim|tools|examples|tests)/.*\.([chS]|cc|sh)$' "$scratch/files" |
	while read -r file; do
		case $file in
		tests/fuzz/fuzz-*.c | tests/unit/test-*.c | tests/live/live-*.c | examples/[0-9]*.c | tools/*.c)
			name=${file%.c}
			;;
		*) name=$file ;;
		esac
		grep -qFx -e "$name" -e "$file" "$scratch/am" || echo "$file"
	done >"$scratch/out"
judge "the build knows every source file" "$scratch/out"

grep -E '^[a-z]+/[^$%*]*\.([chS]|cc|sh|scd|map)$' "$scratch/am" |
	while read -r file; do
		[ -f "$here/$file" ] || [ -f "$here/$file.in" ] || echo "$file"
	done >"$scratch/out"
judge "every source file that the build knows is there" "$scratch/out"

finish
