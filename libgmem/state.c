// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The shadow of a region: one atomic word per GiB, and below it a bitmap for the GiBs in which
 * both states occur.
 *
 * Why readers need no lock
 *
 * The state of a page follows from its word and its bit: it is what the word says if that is
 * uniform, else what the bit says. A reader loads first the one, then, if it must, the other.
 * Writers of a GiB exclude each other (by the lock bit; or, for a whole GiB, by an exchange that
 * only succeeds on an unlocked word), and keep to two rules:
 *
 *   1. From uniform to leaf, all bits are first brought to the state which the word still says,
 *      then the word is published, and only then do bits change that shall. So publishing the
 *      leaf changes the state of no page.
 *   2. From leaf to uniform, the word alone is published. The bits stay as they are.
 *
 * It follows that every bit is stored with the state that its page has at that moment: the uniform
 * one while the leaf is being filled, the new one while the word says leaf. A neighbour among the
 * 64 bits of one store is stored as it was, which is the same thing.
 *
 * A reader that finds a uniform word has the state of the page at that load. One that finds
 * "leaf" goes on to load the bit, and the word may be another by then, any number of times. If
 * the bit it gets was stored after it had loaded the word, then the page had that state when it
 * was stored, as just said. If the bit was stored before, then it was the bit when the word was
 * loaded; as the word said leaf, it was the state of the page. Either way the page had that state
 * during the call, and a page that stays as it is never looks changed.
 *
 * "Before" and "after" hold on processors that reorder, too. Words are only changed by atomic
 * read-modify-write operations, published with release and locked and read with acquire order.
 * So whoever reads a leaf sees no bits older than those it was published with; and whoever was
 * told that a page has been set finds that word or that bit, or a newer one. Bits are stored
 * with release and loaded with acquire order for the callers' sake: an answer also orders what
 * was done before the page was set, whichever of the two it came from.
 */
#include "state.h"

#include "kernel.h"
#include "lock.h"
#include "range.h"

#include <errno.h>
#include <gmem/base.h>
#include <sys/mman.h>

#define LOCKED (UINT64_C(1) << 2)

/*
 * Known contents of a leaf while the word is uniform. A page that goes back and forth in an else
 * uniform GiB finds the leaf as it left it, and saves filling it each time.
 */
#define LEAF_ZEROS (UINT64_C(0) << 3)
#define LEAF_ONES (UINT64_C(1) << 3)
#define LEAF_UNKNOWN (UINT64_C(2) << 3)
#define LEAF_MASK (UINT64_C(3) << 3)

#define COUNT_SHIFT 8
#define COUNT_MASK UINT64_C(0xffffff)

#define OWN_MASK ((UINT64_C(1) << STATE_OWN_BITS) - 1)

/* No supported host has larger pages; address space that is not touched costs nothing. */
#define MAPPING_ALIGN UINT64_C(0x10000)

static uint64_t count_gibs(const struct state *state)
{
	return ((state->pages - 1) >> state->gib_shift) + 1;
}

/* The last GiB of a region need not be whole. */
static uint64_t pages_in_gib(const struct state *state, uint64_t gib)
{
	return lower(UINT64_C(1) << state->gib_shift, state->pages - (gib << state->gib_shift));
}

/* How many of count pages from first lie in the GiB of the first one. */
static uint64_t piece_in_gib(const struct state *state, uint64_t first, uint64_t count)
{
	uint64_t size = UINT64_C(1) << state->gib_shift;

	return lower(count, size - (first & (size - 1)));
}

/* How many of count pages from first lie in the chunk of the first one. */
static uint64_t piece_in_chunk(uint64_t first, uint64_t count)
{
	return lower(count, STATE_CHUNK_PAGES - first % STATE_CHUNK_PAGES);
}

/* The bits of count pages from first in their chunk; count is 1 to 64 and does not leave it. */
static uint64_t chunk_mask(uint64_t first, uint64_t count)
{
	return (UINT64_MAX >> (STATE_CHUNK_PAGES - count)) << (first % STATE_CHUNK_PAGES);
}

static uint64_t uniform_kind(bool private)
{
	return private ? STATE_PRIVATE : STATE_SHARED;
}

static uint64_t uniform_word(bool private, uint64_t pages, uint64_t leaf)
{
	return uniform_kind(private) | leaf | (private ? pages << COUNT_SHIFT : 0);
}

static uint64_t word_count(uint64_t word)
{
	return (word >> COUNT_SHIFT) & COUNT_MASK;
}

static uint64_t load_word(const struct state *state, uint64_t gib)
{
	return atomic_load_explicit(&state->words[gib], memory_order_acquire);
}

static uint64_t load_chunk(const struct state *state, uint64_t page)
{
	return atomic_load_explicit(&state->bits[page / STATE_CHUNK_PAGES], memory_order_acquire);
}

/* Returns the word as it was, unlocked. */
static uint64_t lock_word(_Atomic uint64_t *word)
{
	uint64_t old;

	for (;;) {
		old = atomic_fetch_or_explicit(word, LOCKED, memory_order_acquire);
		if (!(old & LOCKED))
			return old;
		while (atomic_load_explicit(word, memory_order_relaxed) & LOCKED)
			pause_cpu();
	}
}

/*
 * Turns our half of a word that the caller has locked from one value into another. The caller
 * knows that half, but the other one may be changing: hence no store.
 */
static void publish_word(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
	atomic_fetch_xor_explicit(word, (from ^ to) & OWN_MASK, memory_order_release);
}

/*
 * Brings all bits of a GiB to one state. What is right already is not stored, so that a leaf
 * which nobody has written to yet takes no memory where it stays zero.
 */
static void fill_leaf(struct state *state, uint64_t gib, bool private)
{
	uint64_t first = (gib << state->gib_shift) / STATE_CHUNK_PAGES;
	uint64_t last = first + (pages_in_gib(state, gib) - 1) / STATE_CHUNK_PAGES;
	uint64_t wanted = private ? UINT64_MAX : 0;

	for (uint64_t i = first; i <= last; i++) {
		if (atomic_load_explicit(&state->bits[i], memory_order_relaxed) != wanted)
			atomic_store_explicit(&state->bits[i], wanted, memory_order_release);
	}
}

/* A uniform word that sends readers to its leaf instead, once that holds what the word says. */
static inline uint64_t word_with_leaf(uint64_t word)
{
	return (word & ~(STATE_MASK | LEAF_MASK)) | STATE_LEAF | LEAF_UNKNOWN;
}

/*
 * Makes the leaf of a locked, uniform GiB hold what the word says, and sends readers there.
 * Returns the word as it is then, still locked.
 */
static uint64_t switch_to_leaf(struct state *state, uint64_t gib, uint64_t word)
{
	bool private = (word & STATE_MASK) == STATE_PRIVATE;
	uint64_t leaf = word_with_leaf(word);

	if ((word & LEAF_MASK) != (private ? LEAF_ONES : LEAF_ZEROS))
		fill_leaf(state, gib, private);
	publish_word(&state->words[gib], word, leaf);
	return leaf;
}

/* Sets some bits of a chunk in a locked GiB; returns those that were not so before. */
static inline uint64_t set_in_chunk(_Atomic uint64_t *chunk, uint64_t mask, bool private)
{
	uint64_t from = atomic_load_explicit(chunk, memory_order_relaxed);
	uint64_t to = private ? from | mask : from & ~mask;

	if (to != from)
		atomic_store_explicit(chunk, to, memory_order_release);
	return from ^ to;
}

/* Sets bits in the leaf of a locked GiB; returns how many of the pages were not so before. */
static uint64_t set_bits(struct state *state, uint64_t first, uint64_t count, bool private)
{
	uint64_t changed = 0;

	while (count) {
		uint64_t piece = piece_in_chunk(first, count);
		uint64_t bits = set_in_chunk(&state->bits[first / STATE_CHUNK_PAGES],
					     chunk_mask(first, piece), private);

		if (bits)
			changed += (uint64_t)__builtin_popcountll(bits);
		first += piece;
		count -= piece;
	}
	return changed;
}

/* The word that fits a leaf with so many private pages: a uniform one where they are alike. */
static inline uint64_t word_for_count(uint64_t private_pages, uint64_t pages)
{
	if (private_pages == 0)
		return uniform_word(false, pages, LEAF_ZEROS);
	if (private_pages == pages)
		return uniform_word(true, pages, LEAF_ONES);
	return STATE_LEAF | LEAF_UNKNOWN | private_pages << COUNT_SHIFT;
}

/* Sets a part of one GiB. */
static uint64_t set_part(struct state *state, uint64_t first, uint64_t count, bool private)
{
	uint64_t gib = first >> state->gib_shift;
	uint64_t word = load_word(state, gib);
	uint64_t private_pages, changed;

	if ((word & STATE_MASK) == uniform_kind(private))
		return 0;

	word = lock_word(&state->words[gib]) | LOCKED;
	if ((word & STATE_MASK) == uniform_kind(private)) {
		publish_word(&state->words[gib], word, word & ~LOCKED);
		return 0;
	}
	if ((word & STATE_MASK) != STATE_LEAF)
		word = switch_to_leaf(state, gib, word);
	changed = set_bits(state, first, count, private);
	private_pages = word_count(word) + (private ? changed : -changed);
	publish_word(&state->words[gib], word,
		     word_for_count(private_pages, pages_in_gib(state, gib)));
	return changed;
}

/* Sets all of one GiB, which needs neither the lock nor the leaf. */
static uint64_t set_whole(struct state *state, uint64_t gib, bool private)
{
	_Atomic uint64_t *word = &state->words[gib];
	uint64_t pages = pages_in_gib(state, gib);
	uint64_t old = load_word(state, gib);
	uint64_t leaf;

	while ((old & STATE_MASK) != uniform_kind(private)) {
		if (old & LOCKED) {
			pause_cpu();
			old = load_word(state, gib);
			continue;
		}
		leaf = (old & STATE_MASK) == STATE_LEAF ? LEAF_UNKNOWN : old & LEAF_MASK;
		if (atomic_compare_exchange_weak_explicit(
			    word, &old, (old & ~OWN_MASK) | uniform_word(private, pages, leaf),
			    memory_order_acq_rel, memory_order_acquire))
			return private ? pages - word_count(old) : word_count(old);
	}
	return 0;
}

/* How many of count pages from first are in one state without a gap, looking at a leaf. */
static uint64_t run_in_leaf(const struct state *state, uint64_t first, uint64_t count, bool private)
{
	uint64_t same = private ? UINT64_MAX : 0;
	uint64_t done = 0;

	while (done < count) {
		uint64_t page = first + done;
		uint64_t piece = piece_in_chunk(page, count - done);
		uint64_t other = (load_chunk(state, page) ^ same) & chunk_mask(page, piece);

		if (other)
			return done + (uint64_t)__builtin_ctzll(other) - page % STATE_CHUNK_PAGES;
		done += piece;
	}
	return done;
}

/* The same for pages of one GiB, whatever kind it is. */
static uint64_t run_in_gib(const struct state *state, uint64_t first, uint64_t count, bool private)
{
	uint64_t kind = load_word(state, first >> state->gib_shift) & STATE_MASK;

	if (kind == STATE_LEAF)
		return run_in_leaf(state, first, count, private);
	return kind == uniform_kind(private) ? count : 0;
}

static uint32_t query_leaf(const struct state *state, uint64_t first, uint64_t count)
{
	uint32_t seen = 0;

	while (count && seen != (GMEM_SHARED | GMEM_PRIVATE)) {
		uint64_t piece = piece_in_chunk(first, count);
		uint64_t mask = chunk_mask(first, piece);
		uint64_t set = load_chunk(state, first) & mask;

		if (set)
			seen |= GMEM_PRIVATE;
		if (set != mask)
			seen |= GMEM_SHARED;
		first += piece;
		count -= piece;
	}
	return seen;
}

static uint32_t query_gib(const struct state *state, uint64_t first, uint64_t count)
{
	uint64_t kind = load_word(state, first >> state->gib_shift) & STATE_MASK;

	if (kind == STATE_LEAF)
		return query_leaf(state, first, count);
	return kind == STATE_PRIVATE ? GMEM_PRIVATE : GMEM_SHARED;
}

bool gmem_state_is_private(const struct state *state, uint64_t page)
{
	uint64_t kind = load_word(state, page >> state->gib_shift) & STATE_MASK;

	if (kind != STATE_LEAF)
		return kind == STATE_PRIVATE;
	return (load_chunk(state, page) >> (page % STATE_CHUNK_PAGES)) & 1;
}

static __attribute__((noinline)) uint64_t set_pages(struct state *state, uint64_t first,
						    uint64_t count, bool private)
{
	uint64_t changed = 0;

	while (count) {
		uint64_t gib = first >> state->gib_shift;
		uint64_t piece = piece_in_gib(state, first, count);

		if (piece == pages_in_gib(state, gib))
			changed += set_whole(state, gib, private);
		else
			changed += set_part(state, first, piece, private);
		first += piece;
		count -= piece;
	}
	return changed;
}

/* What a GiB of the other state looks like whose leaf is filled, and which nobody is at. */
static inline bool is_ready(uint64_t word, bool private)
{
	uint64_t ready = private ? STATE_SHARED | LEAF_ZEROS : STATE_PRIVATE | LEAF_ONES;

	return (word & (LOCKED | STATE_MASK | LEAF_MASK)) == ready;
}

/*
 * set_part() made short, for what guests ask for most: one page of a GiB that nobody else is at.
 * The leaf is in use, or filled already; then locking the word and sending readers to the leaf are
 * one exchange. And there are no bits to count.
 */
static inline bool set_page(struct state *state, uint64_t page, bool private, uint64_t *changed)
{
	uint64_t gib = page >> state->gib_shift, pages = pages_in_gib(state, gib), count;
	_Atomic uint64_t *word = &state->words[gib];
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed), leaf = old;

	if (is_ready(old, private))
		leaf = word_with_leaf(old);
	else if ((old & (LOCKED | STATE_MASK)) != STATE_LEAF)
		return false;
	leaf |= LOCKED;
	if (!atomic_compare_exchange_strong_explicit(word, &old, leaf, memory_order_acq_rel,
						     memory_order_relaxed))
		return false;
	*changed = set_in_chunk(&state->bits[page / STATE_CHUNK_PAGES],
				UINT64_C(1) << page % STATE_CHUNK_PAGES, private) != 0;
	count = word_count(leaf) + (private ? *changed : -*changed);
	publish_word(word, leaf, word_for_count(count, pages));
	return true;
}

uint64_t gmem_state_set(struct state *state, uint64_t first, uint64_t count, bool private)
{
	uint64_t changed;

	if (count == 1 && set_page(state, first, private, &changed))
		return changed;
	return set_pages(state, first, count, private);
}

uint32_t gmem_state_query(const struct state *state, uint64_t first, uint64_t count)
{
	uint32_t seen = 0;

	while (count && seen != (GMEM_SHARED | GMEM_PRIVATE)) {
		uint64_t piece = piece_in_gib(state, first, count);

		seen |= query_gib(state, first, piece);
		first += piece;
		count -= piece;
	}
	return seen;
}

uint64_t gmem_state_run(const struct state *state, uint64_t first, uint64_t limit, bool *private)
{
	uint64_t done = 1;

	/* The first page is asked for once only: asked again it might answer otherwise. */
	*private = gmem_state_is_private(state, first);
	while (done < limit) {
		uint64_t piece = piece_in_gib(state, first + done, limit - done);
		uint64_t run = run_in_gib(state, first + done, piece, *private);

		done += run;
		if (run < piece)
			break;
	}
	return done;
}

uint64_t gmem_state_count_private(const struct state *state)
{
	uint64_t gibs = count_gibs(state);
	uint64_t sum = 0;

	for (uint64_t gib = 0; gib < gibs; gib++)
		sum += word_count(load_word(state, gib));
	return sum;
}

static uint64_t length_of_words(const struct state *state)
{
	return round_up(count_gibs(state) * sizeof(*state->words), MAPPING_ALIGN);
}

static uint64_t length_of_bits(const struct state *state)
{
	return round_up(((state->pages - 1) / STATE_CHUNK_PAGES + 1) * sizeof(*state->bits),
			MAPPING_ALIGN);
}

int gmem_state_init(struct state *state, const struct gmem_kernel *kernel, uint64_t pages,
		    unsigned int page_shift, bool all_private)
{
	struct state made = { .pages = pages };
	int64_t base;

	*state = (struct state){ 0 };
	if (page_shift != 12 && page_shift != 14 && page_shift != 16)
		return -EINVAL;
	if (!pages || pages > UINT64_MAX >> page_shift)
		return -EINVAL;

	/* Fewer than 2^52 pages: none of these sums comes near overflowing. */
	made.gib_shift = STATE_GIB_SHIFT - page_shift;
	made.length = length_of_words(&made) + length_of_bits(&made);
	base = gmem_kernel_mmap(kernel, 0, made.length, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base < 0)
		return -ENOMEM;
	made.words = (_Atomic uint64_t *)(uintptr_t)base;
	made.bits = (_Atomic uint64_t *)(uintptr_t)(base + (int64_t)length_of_words(&made));

	/*
	 * A huge page would give 2 MiB to a leaf that needs 32 KiB. A kernel that does not know
	 * huge pages refuses this and is right.
	 */
	gmem_kernel_madvise(kernel, (uint64_t)base, made.length, MADV_NOHUGEPAGE);

	/* The mapping is zero, which is "all shared, leaf of zeros". */
	*state = made;
	if (all_private)
		gmem_state_set(state, 0, pages, true);
	return 0;
}

void gmem_state_release(struct state *state, const struct gmem_kernel *kernel)
{
	if (state->length)
		gmem_kernel_munmap(kernel, address_of(state->words), state->length);
	*state = (struct state){ 0 };
}

void gmem_state_reset(struct state *state, const struct gmem_kernel *kernel, bool all_private)
{
	uint64_t gibs = count_gibs(state);

	for (uint64_t gib = 0; gib < gibs; gib++) {
		uint64_t word = load_word(state, gib);

		publish_word(&state->words[gib], word,
			     uniform_word(all_private, pages_in_gib(state, gib), LEAF_UNKNOWN));
	}

	/*
	 * This makes the leaves zero unless the memory is locked. Either will do, as they are
	 * marked as unknown.
	 */
	gmem_kernel_madvise(kernel, address_of(state->bits), length_of_bits(state), MADV_DONTNEED);
}
