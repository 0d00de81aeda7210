#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every function of a public header is called by some test.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

find "$top_srcdir/tests" -name '*.c' -print0 | xargs -0 cat >"$scratch/tests"
header_functions | while read -r function; do
	grep -q "\<$function(" "$scratch/tests" || echo "$function"
done >"$scratch/out"
judge "every function is called by a test" "$scratch/out"

finish
