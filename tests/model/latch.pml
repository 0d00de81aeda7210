/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers against changes of the layout: the latch of libgmem/layout_table.[ch]. There are two
 * copies of two words, and a number whose lowest bit says which is current. The writer publishes
 * number after number, with words that are the number, and may stop for good between any two
 * stores; a reader looks until its look was current.
 *
 * Checked: a look that is current has the words of its number, and a reader comes to an end
 * whatever the writer does or leaves. Accesses that change places, which fences rule out:
 *
 *   -DWEAK_STORE   the number is counted up before the copy is filled (the release store)
 *   -DWEAK_FENCE   the next copy is begun before the number is counted up (the release fence)
 *   -DWEAK_LOAD    the number is loaded again before the words are (the acquire fence)
 *   -DWEAK_BEGIN   words are loaded before the number is the first time (the acquire load)
 *   -DONE_COPY     a sequence lock: one copy, odd while it is being filled
 */

#define LAST 4

byte number;

typedef copy {
	byte words[2]
};
copy copies[2];

#ifdef ONE_COPY
#define COPY(n) copies[0]
#else
#define COPY(n) copies[(n) & 1]
#endif

active proctype writer() {
	byte next = 1;

	do
	:: break /* here or later, and perhaps for good */
	:: next <= LAST ->
#if defined(ONE_COPY)
		number = 2 * next - 1;
		if
		:: goto stopped
		:: true
		fi;
		COPY(next).words[0] = 2 * next;
		COPY(next).words[1] = 2 * next;
		number = 2 * next;
#elif defined(WEAK_STORE)
		COPY(next).words[0] = next;
		number = next;
		COPY(next).words[1] = next;
#elif defined(WEAK_FENCE)
		COPY(next).words[1] = next;
		COPY(next + 1).words[0] = next + 1;
		number = next;
#else
		COPY(next).words[0] = next;
		if
		:: goto stopped
		:: true
		fi;
		COPY(next).words[1] = next;
		number = next;
#endif
		next++
	od;
stopped:
	skip
}

active proctype reader() {
	byte before, after, first, second;

	do
	:: true ->
#ifdef WEAK_BEGIN
		byte guess = number & 1;
		first = COPY(guess).words[0];
		before = number;
		if
		:: (before & 1) != guess -> first = COPY(before).words[0]
		:: else
		fi;
#else
		before = number;
		first = COPY(before).words[0];
#endif
#ifdef WEAK_LOAD
		after = number;
		second = COPY(before).words[1];
#else
		second = COPY(before).words[1];
		after = number;
#endif
#ifdef ONE_COPY
		if
		:: before & 1 -> after = before + 1
		:: else
		fi;
#endif
		if
		:: before == after -> break
		:: else
		fi
	od;
	assert(first == before && second == before);
progress:
	skip
}
