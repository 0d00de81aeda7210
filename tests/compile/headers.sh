#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each public header by itself, twice over, as strict C and as C++, without warnings.
#
# INCLUDES, when set, says where the headers are (tests/install/installed.sh
# looks at the installed ones so); else they are those of the build.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

: "${CC:=cc}" "${CXX:=c++}"
if [ -z "${INCLUDES:-}" ]; then
	mkdir "$scratch/include"
	cp -R "$top_srcdir/include/." "$top_builddir/include/." "$scratch/include"
	INCLUDES=-I$scratch/include
fi
strict='-pedantic -Wall -Wextra -Wundef -Wshadow -Wpadded -Werror -fsyntax-only'

# compile <compiler> <language> <standard>
compile() {
	case $2 in
	c) more='-Wstrict-prototypes -Wc++-compat' ;;
	*) more='-Wzero-as-null-pointer-constant -Wold-style-cast' ;;
	esac
	for header in $headers; do
		printf '#include <%s>\n#include <%s>\nint gmem_test;\n' "$header" "$header" \
			>"$scratch/header.$2"
		# shellcheck disable=SC2086 # these are lists of words
		attempt "$header as $3" $1 -x "$2" "-std=$3" $strict $more $INCLUDES "$scratch/header.$2"
	done
	cat >"$scratch/ends.$2" <<-EOF
		#include <gmem.h>
		int gmem_test(void);
		int gmem_test(void) { return GMEM_CHECK_VERSION(0, 1, 0) ? 0 : 1; }
	EOF
	# shellcheck disable=SC2086
	attempt "a program as $3" $1 -x "$2" "-std=$3" $strict $INCLUDES "$scratch/ends.$2"
}

headers=$(cd "$top_srcdir/include" && find . -name '*.h' -o -name '*.h.in' |
	sed 's/^\.\///; s/\.in$//' | LC_ALL=C sort)

case $CC in
*clang*) strict="$strict -Wno-padded" ;;
esac

compile "$CC" c c99
compile "$CC" c c11
if command -v "${CXX%% *}" >/dev/null; then
	compile "$CXX" c++ c++11
	compile "$CXX" c++ c++20
else
	skip "each header as C++" "there is no C++ compiler \"$CXX\""
fi

finish
