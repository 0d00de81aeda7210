#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# scripts/count-tests on results made up here: no way in which a test goes wrong
# may count as passed.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

# result <test> <PASS, FAIL, SKIP or ERROR>: its .trs; the log comes from stdin
result() {
	mkdir -p "$(dirname "$scratch/build/$1")"
	printf ':test-result: %s\n:global-test-result: %s\n' "$2" "$2" >"$scratch/build/${1%.sh}.trs"
	cat >"$scratch/build/${1%.sh}.log"
	echo "$2 $1 (exit status: n)" >>"$scratch/build/${1%.sh}.log"
	echo "$1" >>"$scratch/list"
}

# expect <case> <passed> <failed> <skipped>
expect() {
	"$top_srcdir/scripts/count-tests" "$scratch/build" <"$scratch/list" >"$scratch/out"
	found="$(grep -c '^PASS:' "$scratch/out" || true) $(grep -c '^FAIL:' "$scratch/out" || true)"
	found="$found $(grep -c '^SKIP:' "$scratch/out" || true)"
	if [ "$found" = "$2 $3 $4" ]; then
		pass "$1"
	else
		sed 's/^/    /' "$scratch/out"
		fail "$1" "wanted $2 $3 $4, counted $found"
	fi
	rm -rf "$scratch/build" "$scratch/list"
}

good() {
	cat <<-'EOF'
		[==========] Running 3 test(s).
		[ RUN      ] one
		[       OK ] one
		[ RUN      ] two
		this kernel has no guest_memfd
		[  SKIPPED ] two
		[ RUN      ] three
		[       OK ] three
		[==========] 3 test(s) run.
		[  PASSED  ] 2 test(s).
		[  SKIPPED ] 1 test(s), listed below:
		[  SKIPPED ] two

		 1 SKIPPED TEST(S)
	EOF
}

bad() {
	cat <<-'EOF'
		[==========] Running 3 test(s).
		[ RUN      ] one
		[       OK ] one
		[ RUN      ] two
		[  ERROR   ] --- 0x1 != 0x2
		[   LINE   ] --- a.c:8: error: Failure!
		[  FAILED  ] two
		[ RUN      ] three
		Could not run test: Test setup failed
		[  ERROR   ] three
		[==========] 3 test(s) run.
		[  PASSED  ] 1 test(s).
		[  FAILED  ] 1 test(s), listed below:
		[  FAILED  ] two

		 2 FAILED TEST(S)
	EOF
}

good | result tests/unit/test-good PASS
expect "passed and skipped cases are counted" 2 0 1

{ good; good; } | result tests/unit/test-groups PASS
expect "a program may have several groups" 4 0 2

bad | result tests/unit/test-bad FAIL
expect "failed cases are counted, those of a setup too" 1 2 0

bad | result tests/unit/test-bad PASS
expect "failed cases count whatever the exit status" 1 3 0

good | result tests/unit/test-exit FAIL
expect "a failing exit status counts whatever the cases" 2 1 1

good | sed -n '1,5p' | result tests/unit/test-crash FAIL
expect "a program that died in its second case" 1 1 0

good | sed -n '1,5p' | result tests/unit/test-crash PASS
expect "a program that ended in its second case with status 0" 1 1 0

good | sed '/this kernel/d' | result tests/unit/test-mute PASS
expect "a skipped case without a reason has failed" 2 1 0

good | sed '/ three/d' | result tests/unit/test-lost PASS
expect "a case that left no line" 1 1 1

good | sed 's/Running 3/Running 4/; s/3 test(s) run/4 test(s) run/' |
	result tests/unit/test-sum PASS
expect "cases that do not add up to what was announced" 2 1 1

printf '[==========] Running 2 test(s).\n[  FAILED  ] GROUP SETUP\n[  ERROR   ] g\n%s\n%s\n' \
	'[==========] 0 test(s) run.' '[  PASSED  ] 0 test(s).' | result tests/unit/test-setup FAIL
expect "a group whose setup failed" 0 1 0

printf '[==========] Running 0 test(s).\n[==========] 0 test(s) run.\n[  PASSED  ] 0 test(s).\n' |
	result tests/unit/test-none PASS
expect "a program without a case" 0 1 0

echo hello | result tests/live/live-none PASS
expect "a program that is none of cmocka" 0 1 0

echo "there is no /dev/kvm here" | result tests/live/live-skipped SKIP
expect "a program that cannot run here" 0 0 1

: | result tests/live/live-skipped SKIP
expect "a program that does not say why it cannot run" 0 1 0

printf 'PASS: a\nSKIP: b: no compiler\nFAIL: c: broken\n' | result tests/abi/x.sh FAIL
expect "a script's own cases are counted" 1 1 1

printf 'PASS: a\nFAIL: c: broken\n' | result tests/abi/x.sh PASS
expect "a script that fails with status 0" 1 2 0

printf 'PASS: a\n' | result tests/abi/x.sh FAIL
expect "a script that stops after a passed case" 1 1 0

printf 'PASS: a\nSKIP: b\n' | result tests/abi/x.sh PASS
expect "a script that skips without a reason" 1 2 0

echo "Hello from the guest" | result examples/01-x PASS
expect "an example is one case" 1 0 0

echo "exploded" | result examples/01-x ERROR
expect "a test with a hard error" 0 1 0

good | result tests/unit/test-good PASS
rm "$scratch/build/tests/unit/test-good.trs"
expect "a test without a result" 0 1 0

good | result tests/unit/test-good PASS
rm "$scratch/build/tests/unit/test-good.log"
expect "a test without a log" 0 1 0

good | result tests/unit/test-good PASS
good | result tests/unit/test-other PASS
echo tests/unit/test-good >"$scratch/list"
expect "a result that nobody asked for" 2 1 1

good | result tests/unit/test-good PASS
: >"$scratch/list"
expect "an empty list of tests" 0 1 0

finish
