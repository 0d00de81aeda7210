# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# For test scripts: cases are reported as lines that scripts/count-tests counts.
#
# A script calls pass, fail or skip for each case and finish at its end; one
# that ends otherwise, or that had no case, has failed.

set -eu

: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${top_builddir:=.}"

lib_cases=0
lib_failed=0
lib_finished=no
lib_directory=

# pass <case>
pass() {
	lib_cases=$((lib_cases + 1))
	echo "PASS: $1"
}

# fail <case> <reason>
fail() {
	lib_cases=$((lib_cases + 1))
	lib_failed=$((lib_failed + 1))
	echo "FAIL: $1: $2"
}

# skip <case> <reason>
skip() {
	lib_cases=$((lib_cases + 1))
	echo "SKIP: $1: $2"
}

# skip_all <reason>: the whole script cannot run here
skip_all() {
	lib_finished=yes
	echo "$1"
	exit 77
}

# judge <case> <file>: passes when the file is empty, else shows it and fails
judge() {
	if [ -s "$2" ]; then
		sed 's/^/    /' "$2"
		fail "$1" "$(wc -l <"$2") finding(s) above"
	else
		pass "$1"
	fi
}

# attempt <case> <command...>: passes when the command succeeds, else shows what it said
attempt() {
	lib_case=$1
	shift
	if "$@" >"$scratch/attempt" 2>&1; then
		pass "$lib_case"
	else
		echo "    $*"
		sed 's/^/    /' "$scratch/attempt"
		fail "$lib_case" "the command above failed"
	fi
}

finish() {
	lib_finished=yes
	[ "$lib_cases" -gt 0 ] && [ "$lib_failed" -eq 0 ]
	exit
}

lib_exit() {
	lib_status=$?
	[ -z "$lib_directory" ] || rm -rf "$lib_directory"
	if [ "$lib_finished" = no ]; then
		echo "FAIL: $(basename "$0"): stopped before its end"
		exit 1
	fi
	exit "$lib_status"
}
trap lib_exit EXIT

# A directory for the script's own files, gone when it ends.
lib_directory=$(mktemp -d "${TMPDIR:-/tmp}/gmem-test.XXXXXX")
scratch=$lib_directory

# public_headers: those of the source tree, version.h.in too, one in a line
public_headers() {
	find "$top_srcdir/include" -name '*.h' ! -name version.h -o -name '*.h.in' | LC_ALL=C sort
}

# header_functions: every function that a public header gives away, sorted
header_functions() {
	public_headers | tr '\n' '\0' | xargs -0 cat |
		awk '/^[ \t]*GMEM_API / { text = $0
			while (text !~ /\(/ && (getline line) > 0)
				text = text " " line
			sub(/\(.*/, "", text)
			sub(/.*[ \t*]/, "", text)
			print text }' | LC_ALL=C sort
}

# symbol_maps: those of all libraries, one in a line
symbol_maps() {
	find "$top_srcdir" -maxdepth 2 -name 'libgmem*.map' | LC_ALL=C sort
}

# map_functions [<library>]: every name in its symbol map, or in all of them, sorted
map_functions() {
	symbol_maps | grep "/${1:-libgmem.*}\.map\$" | tr '\n' '\0' |
		xargs -0 sed -n 's/^[[:blank:]]*\(gmem_[a-z0-9_]*\);.*/\1/p' | LC_ALL=C sort
}
