#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# scripts/vm-report on machines made up here: no way in which a machine comes to a bad end may
# count as passed.
# shellcheck source=../lib.sh disable=SC2016 # sed's dollar
. "$(dirname "$0")/../lib.sh"

# machine: a good one, of two tests, as tests/vm/init writes it
machine() {
	rm -rf "$scratch/vm"
	mkdir "$scratch/vm"
	printf '%s\n' 'tests/conformance/one.sh conformance one' 'tests/live/live-two live-two' \
		>"$scratch/vm/list"
	printf 'Linux version\r\nRun /init as init process\r\n' >"$scratch/vm/console"
	cat >"$scratch/vm/output" <<-'EOF'
		@@begin tests/conformance/one.sh
		PASS: a (F1)
		SKIP: b (F2): needs another VM

		@@end tests/conformance/one.sh 0
		@@begin tests/live/live-two
		[==========] Running 1 test(s).
		[ RUN      ] c
		[       OK ] c
		[==========] 1 test(s) run.
		[  PASSED  ] 1 test(s).

		@@end tests/live/live-two 0
		@@done
	EOF
}

# change <file> <sed script>
change() {
	sed -i "$2" "$scratch/vm/$1"
}

# expect <case> <passed> <failed> <skipped> [<how it ended>]
expect() {
	"$top_srcdir/scripts/vm-report" "$scratch/vm" "${5:-}" >"$scratch/out"
	found="$(grep -c '^PASS:' "$scratch/out" || true) $(grep -c '^FAIL:' "$scratch/out" || true)"
	found="$found $(grep -c '^SKIP:' "$scratch/out" || true)"
	if [ "$found" = "$2 $3 $4" ]; then
		pass "$1"
	else
		sed 's/^/    /' "$scratch/out"
		fail "$1" "wanted $2 $3 $4, counted $found"
	fi
	machine
}

command -v bash >/dev/null || skip_all "there is no bash"

machine
expect "a machine that ran to its end" 4 0 1

expect "a machine that was ended" 3 1 1 "it was ended after 5 seconds"

change output '$d'
expect "a machine that stopped after its last test" 3 1 1

change output '/@@end tests\/live/,$d'
change console '$a Kernel panic - not syncing: Attempted to kill init!'
expect "a kernel that panics in a test" 1 3 1

: >"$scratch/vm/output"
expect "a machine of which nothing was heard" 1 3 0

: >"$scratch/vm/console"
expect "a kernel that said nothing" 3 1 1

change console '$a WARNING: CPU: 0 PID: 70 at virt/kvm/kvm_main.c:1'
expect "a kernel that warns" 3 1 1

change output 's/^\(@@end .*live-two\) 0/\1 139/'
expect "a program that was ended by a signal" 4 1 1

change output 's/^PASS: a/FAIL: a/; s/^\(@@end .*one.sh\) 0/\1 1/'
expect "a case that failed" 3 1 1

change output 's/^\(@@end .*one.sh\) 0/\1 1/'
expect "a script that says nothing of why it failed" 4 1 1

change output '/RUN/,/PASSED/d; /==/d; s/^\(@@end .*live-two\) 0/\1 77/'
change output 's/^@@begin .*live-two/&\nthis kernel has none/'
expect "a program that cannot run there" 3 0 2

change list '$a examples/05-three 05-three'
expect "a test that was never begun" 4 1 1

change output 's/$/\r/'
expect "carriage returns do not matter" 4 0 1

if grep -q '^    .*Linux version' "$scratch/out"; then
	fail "the console of a good machine" "it is shown"
else
	pass "the console of a good machine is not shown"
fi
expect "a machine that was ended, once more" 3 1 1 "it was ended"
if grep -q '^    .*Run /init' "$scratch/out"; then
	pass "the console's end is shown of a bad one"
else
	fail "the console's end" "it is not shown"
fi

finish
