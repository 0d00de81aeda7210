# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of gmem-measure: runs it on the images and tables of tests/data/snp.

: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/tools/probe-lib.sh
. "$top_srcdir/tests/tools/probe-lib.sh"

: "${GMEM_MEASURE:=$top_builddir/tools/gmem-measure}"
data=$top_srcdir/tests/data/snp
# shellcheck disable=SC2034 # what sources this uses them
image_a=$data/image-a.fd
# shellcheck disable=SC2034
image_b=$data/image-b.fd

# measure <arguments...>: as run, of probe-lib.sh
measure() {
	run "$GMEM_MEASURE" "$@"
}

# digest_of <arguments...>: of a launch that can be measured
digest_of() {
	"$GMEM_MEASURE" digest "$@"
}

need_python() {
	command -v python3 >/dev/null || skip_all "there is no python3, the second opinion here"
}

# check_python <case> <program> <arguments...>: passes when the program does, without a word
check_python() {
	check_python_case=$1
	check_python_program=$2
	shift 2
	if python3 -c "$check_python_program" "$@" >"$scratch/python" 2>&1; then
		pass "$check_python_case"
	else
		sed 's/^/    /' "$scratch/python"
		fail "$check_python_case" "python does not agree"
	fi
}
