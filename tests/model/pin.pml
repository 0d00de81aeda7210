/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pins against conversion of one page: libgmem/pin.c, pin_table.c, claim.c and convert_run.c, with
 * a step for each access to what threads share. There are two pins, of which the first waits where
 * it has to and the second gives up, and a conversion back and forth whose policy may stop it
 * whenever it is asked; each of them goes on for as long as it likes, and then ends.
 *
 * Checked: no page turns private under a pin, and nobody sleeps without being woken: there are no
 * timeouts here, so whoever is overlooked never comes to its end. Loads that overtake the store
 * before them, which is what sequential consistency rules out, are these:
 *
 *   -DWEAK_PIN    the pin loads the counts before it is in the table
 *   -DWEAK_CLAIM  the conversion looks at the table before it has counted
 *   -DWEAK_DROP   unpinning asks who waits before the slot is empty
 *   -DWEAK_WAIT   whoever waits for a pin looks for it before it says that it waits
 *
 * With -DHOLD the second pin is there and never goes, and the policy never says stop: then all that
 * is left to do is to sleep, and nobody may keep the others awake, as they do with
 *
 *   -DGIVES_WAY_ANEW  a pin that waits comes and goes at every waking
 */

#define PINS 2
#define CONVERSION PINS
#define WAITERS 3

#ifdef HOLD
bool size[PINS] = { 0, 1 };
#else
bool size[PINS]; /* of each pin's slot; 0: empty */
#endif
byte counts;
bool granted; /* with the lock only, as turn in claim.c: what is done with it is one step */
bool private; /* to the kernel and to the shadow */
bool held[PINS];

byte waiting;
bool counted_on[WAITERS]; /* turn is not what this thread has seen any more */
bool asleep[WAITERS];

inline count_turn() {
	d_step { counted_on[0] = 1; counted_on[1] = 1; counted_on[2] = 1 }
}

inline futex_wake() {
	d_step { asleep[0] = 0; asleep[1] = 0; asleep[2] = 0 }
}

/* Some pin has the page. */
inline find(found) {
	found = size[0];
	if
	:: !found -> found = size[1]
	:: else
	fi
}

inline drop(me, any) {
#ifdef WEAK_DROP
	any = (waiting > 0);
	size[me] = 0;
#else
	size[me] = 0;
	any = (waiting > 0);
#endif
	if
	:: any -> count_turn(); futex_wake()
	:: else
	fi
}

/* The rest of gmem_claim_covers(), where the page is counted. */
inline look_at_claims(me, found) {
	if
	:: found -> atomic { counted_on[me] = 0; found = granted }
	:: else
	fi
}

inline try_to_pin(me, found, any) {
#ifdef WEAK_PIN
	found = (counts > 0);
	size[me] = 1;
#else
	size[me] = 1;
	found = (counts > 0);
#endif
	look_at_claims(me, found);
	if
	:: found -> drop(me, any)
	:: else
	fi
}

inline wait_for_claim(me, found) {
#ifdef GIVES_WAY_ANEW
	waiting++;
	atomic { asleep[me] = !counted_on[me] };
#ifdef HOLD
end_anew:
#endif
	!asleep[me];
	waiting--
#else
	do
	:: true ->
		found = (counts > 0);
		look_at_claims(me, found);
		if
		:: found ->
			waiting++;
			atomic { asleep[me] = !counted_on[me] };
#ifdef HOLD
end_wait:
#endif
			!asleep[me];
			waiting--
		:: else -> break
		fi
	od
#endif
}

inline use(me, any) {
	if
	:: private
	:: !private ->
		held[me] = 1;
		assert(!private);
		held[me] = 0
	fi;
	drop(me, any)
}

active [PINS] proctype pin() {
	byte me = _pid;
	bool found, any;

	do
	:: break
#ifdef HOLD
	:: me == 0 ->
#else
	:: true ->
#endif
		try_to_pin(me, found, any);
		do
		:: found && me == 0 ->
			wait_for_claim(me, found);
			try_to_pin(me, found, any)
		:: found && me != 0 -> break
		:: !found -> use(me, any); break
		od;
progress:
		skip
	od
}

inline wait_for_pin(pinned) {
#ifdef WEAK_WAIT
	counted_on[CONVERSION] = 0;
	find(pinned);
	waiting++;
#else
	waiting++;
	counted_on[CONVERSION] = 0;
	find(pinned);
#endif
	if
	:: pinned ->
		atomic { asleep[CONVERSION] = !counted_on[CONVERSION] };
#ifdef HOLD
end_pinned:
#endif
		!asleep[CONVERSION]
	:: else
	fi;
	waiting--
}

inline claim() {
	atomic { granted = 1; counts++ }
}

active proctype conversion() {
	bool pinned, any;

	do
	:: break
	:: true ->
#ifdef WEAK_CLAIM
		find(pinned);
		claim();
#else
		claim();
		find(pinned);
#endif
		do
		:: private -> private = 0; break
		:: !private && !pinned ->
			assert(!held[0] && !held[1]);
			private = 1;
			break
		:: !private && pinned ->
			wait_for_pin(pinned);
#ifndef HOLD
			if
			:: pinned -> break /* stop */
			:: true
			fi;
#endif
			find(pinned)
		od;
		atomic { granted = 0; counts--; count_turn() };
		any = (waiting > 0);
		if
		:: any -> futex_wake()
		:: else
		fi;
progress:
		skip
	od
}
