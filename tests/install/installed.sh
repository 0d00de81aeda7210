#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The library as it is installed: what is there, and programs that find it through
# pkg-config. make installcheck calls this with the directories in the environment.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

: "${CC:=cc}" "${CXX:=c++}" "${PKG_CONFIG:=pkg-config}" "${DESTDIR=}"
: "${bindir:?}" "${includedir:?}" "${libdir:?}" "${GMEM_VERSION:?}" "${GMEM_ABI_VERSION:?}"

[ "${GMEM_INSTRUMENTED:-no}" = no ] ||
	skip_all "a build with sanitizers or coverage is not for other programs"

here=$top_srcdir/tests/install
export PKG_CONFIG_LIBDIR="$DESTDIR$libdir/pkgconfig"
[ -z "$DESTDIR" ] || export PKG_CONFIG_SYSROOT_DIR="$DESTDIR"
# In a directory of the system flags would be left out, and then be those of another libgmem.
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
unset PKG_CONFIG_PATH

cflags=$($PKG_CONFIG --cflags libgmem)
libs=$($PKG_CONFIG --libs libgmem)
static_libs=$($PKG_CONFIG --static --libs libgmem)
sim_libs=$($PKG_CONFIG --libs libgmem libgmem-sim)
sim_static_libs=$($PKG_CONFIG --static --libs libgmem libgmem-sim 2>/dev/null) || sim_static_libs=
warnings='-Wall -Wextra -Wno-unused-parameter -Werror'

# run <program> [argument...]: with the installed library
run() {
	LD_LIBRARY_PATH=$DESTDIR$libdir "$@"
}

# is <case> <found> <wanted>
is() {
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1" "found \"$2\", wanted \"$3\""
	fi
}

# has <case> <text> <word>: the word is one of the text's
has() {
	case " $2 " in
	*" $3 "*) pass "$1" ;;
	*) fail "$1" "no $3 in \"$2\"" ;;
	esac
}

# build_and_run <case> <source> <compiler...>, flags of linking in $link
build_and_run() {
	name=$1
	file=$2
	shift 2
	# shellcheck disable=SC2086 # lists of words
	attempt "$name: build" "$@" $warnings $cflags "$file" $link -o "$scratch/program"
	attempt "$name: run" run "$scratch/program"
	rm -f "$scratch/program"
}

is "pkg-config has the version" "$($PKG_CONFIG --modversion libgmem)" "$GMEM_VERSION"
is "pkg-config asks for no more than the library" "$(echo "$libs" | sed 's/-L[^ ]* *//; s/ *$//')" \
	"-lgmem"
has "pkg-config has threads for a static program" "$static_libs" -pthread

(cd "$top_srcdir/include" && find . -name '*.h' -o -name '*.h.in') | sed 's/\.in$//' |
	LC_ALL=C sort -u >"$scratch/headers"
(cd "$DESTDIR$includedir" && find ./gmem.h ./gmem -type f) | LC_ALL=C sort >"$scratch/installed"
attempt "every public header is there, and no other" diff "$scratch/headers" "$scratch/installed"
INCLUDES=$cflags
export INCLUDES
attempt "each header compiles by itself" "$top_srcdir/tests/compile/headers.sh"

if [ "${GMEM_ENABLE_SHARED:-yes}" = yes ]; then
	link=$libs
	build_and_run "C, shared" "$here/use.c" "$CC"
	build_and_run "C99, shared" "$here/use.c" "$CC" -std=c99 -pedantic
	if command -v "${CXX%% *}" >/dev/null; then
		build_and_run "C++11, shared" "$here/use.cc" "$CXX" -std=c++11 -pedantic
	else
		skip "C++11, shared" "there is no C++ compiler \"$CXX\""
	fi
	IFS=: read -r current revision age <<-EOF
		$GMEM_ABI_VERSION
	EOF
	soname=libgmem.so.$((current - age))
	attempt "dlopen: build" "$CC" "$here/dlopen.c" -o "$scratch/program"
	attempt "dlopen: run (revision $revision)" run "$scratch/program" "$DESTDIR$libdir/$soname"
	link=$sim_libs
	build_and_run "C with the simulator, shared" "$here/use-sim.c" "$CC"
	# An example is what people copy: it has to do without the flags of our build.
	for example in "$top_srcdir"/examples/[0-9]*.c; do
		# shellcheck disable=SC2086
		attempt "$(basename "$example") compiles outside of the build" "$CC" -std=gnu11 \
			$warnings $cflags "$example" "$top_srcdir"/examples/guest/*.S -pthread \
			$sim_libs -o "$scratch/program"
	done
else
	skip "shared" "no shared library was built (--disable-shared)"
fi

if [ "${GMEM_ENABLE_STATIC:-yes}" = yes ]; then
	link="-static $static_libs"
	build_and_run "C, static" "$here/use.c" "$CC"
	if [ -n "$sim_static_libs" ]; then
		link="-static $sim_static_libs"
		build_and_run "C with the simulator, static" "$here/use-sim.c" "$CC"
		link="-static $static_libs"
	else
		skip "C with the simulator, static" "pkg-config does not find what it needs"
	fi
	if command -v "${CXX%% *}" >/dev/null; then
		build_and_run "C++11, static" "$here/use.cc" "$CXX" -std=c++11
	fi
else
	skip "static" "no static library was built (--disable-static)"
fi

for tool in gmem-measure gmem-probe; do
	attempt "$tool tells its version" sh -c \
		"LD_LIBRARY_PATH='$DESTDIR$libdir' '$DESTDIR$bindir/$tool' --version | grep -F '$GMEM_VERSION'"
done

finish
