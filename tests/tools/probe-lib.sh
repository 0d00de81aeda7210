# shellcheck shell=sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of gmem-probe: runs it, looks at what it wrote, and makes up hosts.

: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/lib.sh
. "$top_srcdir/tests/lib.sh"

unset NO_COLOR COLUMNS GMEM_LOG
: "${GMEM_PROBE:=$top_builddir/tools/gmem-probe}"
# The same program, with KVM replaced by the words in GMEM_PROBE_MADE_UP.
: "${GMEM_PROBE_MADE_UP_PROGRAM:=$top_builddir/tests/tools/gmem-probe-made-up}"

# run <command...>: leaves what it wrote in $out and $err, and $code
out=$scratch/out
err=$scratch/err
run() {
	code=0
	"$@" >"$out" 2>"$err" || code=$?
}

# probe <options...>; made_up <VM types> <options...>
probe() {
	run "$GMEM_PROBE" "$@"
}
made_up() {
	GMEM_PROBE_MADE_UP=$1
	export GMEM_PROBE_MADE_UP
	shift
	run "$GMEM_PROBE_MADE_UP_PROGRAM" "$@"
}

show_run() {
	sed 's/^/    out: /' "$out"
	sed 's/^/    err: /' "$err"
}

# check_code <case> <code>: of the last run
check_code() {
	if [ "$code" -eq "$2" ]; then
		pass "$1"
	else
		show_run
		fail "$1" "exit code $code, not $2"
	fi
}

# One line, single spaces: the table wraps where the terminal ends.
flat() {
	tr -s ' \n\t' '   ' <"$1"
}

# check_says <case> <file> <text>
check_says() {
	if flat "$2" | grep -qF -e "$3"; then
		pass "$1"
	else
		show_run
		fail "$1" "\"$3\" is not there"
	fi
}

# check_silent_on <case> <file> <text>
check_silent_on() {
	if flat "$2" | grep -qF -e "$3"; then
		show_run
		fail "$1" "\"$3\" should not be there"
	else
		pass "$1"
	fi
}

# check_empty <case> <file>
check_empty() {
	if [ -s "$2" ]; then
		show_run
		fail "$1" "something was written"
	else
		pass "$1"
	fi
}

# new_host <release> <vendor> <flags>: an empty host in $host, without KVM
new_host() {
	host=$scratch/host
	rm -rf "$host"
	mkdir -p "$host/proc/sys/kernel" "$host/proc/sys/vm" "$host/sys/module" "$host/dev" \
		"$host/boot" "$host/sys/devices/system/node/node0"
	host_release=$1
	echo "$1" >"$host/proc/sys/kernel/osrelease"
	echo x86_64 >"$host/proc/sys/kernel/arch"
	printf 'processor\t: 0\nvendor_id\t: %s\nflags\t\t: fpu %s sse2\n\n' "$2" "$3" \
		>"$host/proc/cpuinfo"
	printf 'processor\t: 1\nvendor_id\t: Other\nflags\t\t: none\n\n' >>"$host/proc/cpuinfo"
}

# host_module <module> [<parameter>=<value>...]
host_module() {
	host_module=$1
	mkdir -p "$host/sys/module/$1/parameters"
	shift
	for host_setting; do
		echo "${host_setting#*=}" \
			>"$host/sys/module/$host_module/parameters/${host_setting%%=*}"
	done
}

# host_config <line...>
host_config() {
	printf '%s\n' "$@" >"$host/boot/config-$host_release"
}
