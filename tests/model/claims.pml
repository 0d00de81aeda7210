/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Claims on guest addresses: libgmem/claim.c. Three threads claim sets of three pages again and
 * again, all or none, in the order in which they come; the last may give up whenever it is woken.
 * What is done with the lock is one step.
 *
 * Checked: a page is worked on by one thread at a time; nobody sleeps for ever; whoever has queued
 * gets its turn. What must fail:
 *
 *   -DBARGE      a claim looks at those that are at work only, not at those that came before it
 *   -DWEAK_WAKE  whoever ends a claim looks for sleepers before it counts the turn
 *   -DGREEDY     a claim takes its pages one by one, each as it becomes free
 */

#define THREADS 3

#ifdef GREEDY
byte set[THREADS] = { 3, 6, 5 }; /* in a circle */
#else
byte set[THREADS] = { 1, 3, 6 }; /* pages of each claim, a bit each */
#endif
byte queue[THREADS]; /* threads in the order in which they came */
byte queued;
byte taken[THREADS]; /* what each has: all of its set once it is granted */
bool wants[THREADS];
byte at_work[THREADS];

byte waiting;
bool counted_on[THREADS];
bool asleep[THREADS];

hidden byte i, k, blocked;

#define granted(me) (taken[me] == set[me])

inline append(me) {
	queue[queued] = me;
	queued++
}

inline unlink(me) {
	k = 0;
	i = 0;
	do
	:: i < queued && queue[i] != me -> queue[k] = queue[i]; k++; i++
	:: i < queued && queue[i] == me -> i++
	:: else -> break
	od;
	queued--;
	queue[queued] = 0
}

/* Pages that this claim cannot have. */
inline look_for_others(me) {
	blocked = 0;
	i = 0;
	do
#if defined(BARGE) || defined(GREEDY)
	:: i < THREADS ->
		if
		:: i != me -> blocked = blocked | taken[i]
		:: else
		fi;
		i++
#else
	:: i < queued && queue[i] != me -> blocked = blocked | set[queue[i]]; i++
#endif
	:: else -> break
	od
}

/* The queue has the claim. */
inline try_grant(me) {
	counted_on[me] = 0;
	look_for_others(me);
#ifdef GREEDY
	taken[me] = set[me] & ~blocked
#else
	if
	:: set[me] & blocked -> taken[me] = 0
	:: else -> taken[me] = set[me]
	fi
#endif
}

inline give_up(me) {
#ifdef WEAK_WAKE
	any = (waiting > 0);
#endif
	d_step {
		unlink(me);
		taken[me] = 0;
		counted_on[0] = 1; counted_on[1] = 1; counted_on[2] = 1
	};
#ifndef WEAK_WAKE
	any = (waiting > 0);
#endif
	if
	:: any -> d_step { asleep[0] = 0; asleep[1] = 0; asleep[2] = 0 }
	:: else
	fi
}

inline sleep_on_turn(me) {
	waiting++;
	atomic { asleep[me] = !counted_on[me] };
	!asleep[me];
	waiting--
}

inline enter(me, page) {
	if
	:: set[me] & (1 << page) -> at_work[page]++; assert(at_work[page] == 1)
	:: else
	fi
}

inline leave(me, page) {
	if
	:: set[me] & (1 << page) -> at_work[page]--
	:: else
	fi
}

inline work(me) {
	enter(me, 0); enter(me, 1); enter(me, 2);
	leave(me, 0); leave(me, 1); leave(me, 2)
}

active [THREADS] proctype thread() {
	byte me = _pid;
	bool any;

	do
	:: break
	:: true ->
		d_step { append(me); wants[me] = 1; try_grant(me) };
		do
		:: granted(me) -> wants[me] = 0; work(me); break
		:: else ->
			sleep_on_turn(me);
			if
			:: me == 2 -> wants[me] = 0; break
			:: true -> d_step { try_grant(me) }
			fi
		od;
		give_up(me)
	od
}

ltl first { [] (wants[0] -> <> !wants[0]) }
ltl second { [] (wants[1] -> <> !wants[1]) }
