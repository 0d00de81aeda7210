/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lock of libgmem/lock.[ch]: one word, three threads that take it again and again, and a futex
 * that wakes one sleeper, whichever.
 *
 * Checked: one thread has it at a time; nobody sleeps for ever, for there are no timeouts here.
 * What must fail:
 *
 *   -DFORGETS      whoever was woken takes the lock as LOCK_HELD
 *   -DLOOKS_FIRST  releasing looks whether it is sought, and then makes it free
 *   -DBLIND        the kernel puts to sleep without looking at the word
 *   -DTWO_STEPS    taking is a look and then a store
 */

#define THREADS 3

#define FREE 0
#define HELD 1
#define SOUGHT 2

byte word;
byte holders;
bool asleep[THREADS];

inline take(me) {
#ifdef TWO_STEPS
	was = word;
	if
	:: was == FREE -> word = HELD
	:: else
	fi;
#else
	atomic {
		was = word;
		if
		:: was == FREE -> word = HELD
		:: else
		fi
	};
#endif
	do
	:: was == FREE -> break
	:: else ->
#ifdef FORGETS
		atomic {
			was = word;
			if
			:: was == FREE -> word = HELD
			:: else -> word = SOUGHT
			fi
		};
#else
		atomic { was = word; word = SOUGHT };
#endif
		if
		:: was == FREE
		:: else ->
#ifdef BLIND
			asleep[me] = 1;
#else
			atomic { asleep[me] = (word == SOUGHT) };
#endif
			!asleep[me]
		fi
	od
}

/* One of those who sleep, if any does. */
inline wake_one() {
	atomic {
		if
		:: asleep[0] -> asleep[0] = 0
		:: asleep[1] -> asleep[1] = 0
		:: asleep[2] -> asleep[2] = 0
		:: else
		fi
	}
}

inline release() {
#ifdef LOOKS_FIRST
	was = word;
	word = FREE;
#else
	atomic { was = word; word = FREE };
#endif
	if
	:: was == SOUGHT -> wake_one()
	:: else
	fi
}

active [THREADS] proctype thread() {
	byte me = _pid;
	byte was;

	do
	:: break
	:: true ->
		take(me);
		holders++;
		assert(holders == 1);
		holders--;
		release()
	od
}
