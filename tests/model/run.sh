#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks the models with spin: what is modelled holds in all orders of steps, and does not with
# an order taken away, which shows that the model could tell.
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

command -v spin >/dev/null || skip_all "there is no spin"
models=$(cd "$(dirname "$0")" && pwd)

# explore <model> <how: safety, progress or the name of a formula> <definitions...>: a verifier's
# findings, in $scratch/found; fails where the verifier did not see everything
explore() {
	model=$1
	how=$2
	shift 2
	case $how in
	safety) compile=-DSAFETY run='' formula='' ;;
	progress) compile=-DNP run='-l -f' formula='' ;;
	*) compile=-DNFAIR=3 run="-a -f -N $how" formula=$how ;;
	esac
	(
		cd "$scratch"
		rm -f pan*
		"${CC:-cc}" -E -P -x c "$@" "$models/$model.pml" >model.pml
		if [ -z "$formula" ]; then
			sed -i '/^ltl /d' model.pml
		fi
		spin -a model.pml >spin.out 2>&1
		"${CC:-cc}" -w -O2 -DVECTORSZ=2048 "$compile" -o pan pan.c
		# shellcheck disable=SC2086 # words
		./pan -m500000 -w20 $run
	) >"$scratch/found" 2>&1 || return 1
	grep -q 'errors: ' "$scratch/found" && ! grep -q 'max search depth too small\|out of memory' \
		"$scratch/found"
}

# holds <case> <model> <how> <definitions...>
holds() {
	what=$1
	shift
	if explore "$@" && grep -q 'errors: 0$' "$scratch/found"; then
		pass "$what"
	else
		sed 's/^/    /' "$scratch/found"
		fail "$what" "the model says otherwise"
	fi
}

# breaks <case> <what the verifier has to say> <model> <how> <definitions...>
breaks() {
	what=$1
	finding=$2
	shift 2
	if explore "$@" && grep -q "^pan:1: $finding" "$scratch/found"; then
		pass "$what"
	else
		sed 's/^/    /' "$scratch/found"
		fail "$what" "the model does not see it"
	fi
}

lost='invalid end state'
wrong='assertion violated'
spins='non-progress cycle'
starved='acceptance cycle'

holds "no page turns private under a pin, and every waiter is woken" pin safety
breaks "a pin that looks before it is seen" "$wrong" pin safety -DWEAK_PIN
breaks "a conversion that looks before it is seen" "$wrong" pin safety -DWEAK_CLAIM
breaks "unpinning that looks for waiters first" "$lost" pin safety -DWEAK_DROP
breaks "a waiter that looks for the pin first" "$lost" pin safety -DWEAK_WAIT
holds "whoever waits for a long pin sleeps" pin progress -DHOLD
breaks "a pin that comes and goes while it waits" "$spins" pin progress -DHOLD -DGIVES_WAY_ANEW

holds "claims exclude each other and end" claims safety
holds "the first claim gets its turn" claims first
holds "the claim between two others gets its turn" claims second
breaks "claims that pass by those that wait" "$starved" claims second -DBARGE
breaks "an end of a claim that looks for sleepers first" "$lost" claims safety -DWEAK_WAKE
breaks "claims that take what they can get" "$lost" claims safety -DGREEDY

holds "the lock has one holder, and whoever seeks it gets it" lock safety
breaks "a sleeper that takes the lock as if it were alone" "$lost" lock safety -DFORGETS
breaks "a lock that is looked at before it is free" "$lost" lock safety -DLOOKS_FIRST
breaks "a sleep that does not look at the word" "$lost" lock safety -DBLIND
breaks "a lock that is looked at, then taken" "$wrong" lock safety -DTWO_STEPS

holds "a look that is current is of one layout" latch safety
holds "a reader ends whatever the writer leaves" latch progress
breaks "a number stored before its copy" "$wrong" latch safety -DWEAK_STORE
breaks "a copy begun before the number of the other" "$wrong" latch safety -DWEAK_FENCE
breaks "a number loaded again before the words" "$wrong" latch safety -DWEAK_LOAD
breaks "words loaded before the number" "$wrong" latch safety -DWEAK_BEGIN
breaks "a reader of one copy waits for the writer" "$spins" latch progress -DONE_COPY

finish
