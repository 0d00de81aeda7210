/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/listener.h
 * @brief Telling somebody which guest memory the host can see: an IOMMU, a vhost table, an
 * emulator's own map.
 *
 * A listener is told of memory that has become shared and mapped (add), and of memory that is
 * about to stop being so (remove). It is the same whether a page turned private, was discarded, or
 * its section was unmapped, so a DMA user needs one function. At any time who listens to
 * GMEM_LISTEN_ALL has been told of just the memory that is shared and mapped (of the kinds it asked
 * for), but for what an operation is at work on, and for what it refused where that could not be
 * taken back (gmem_listener_fn).
 *
 * Who listens to less is told less, and has to know the rest from elsewhere. Without
 * GMEM_LISTEN_REPLAY the first to be heard of a run can be remove. With GMEM_LISTEN_CONVERT alone
 * memory comes and goes with its section unheard of: what was added may be unmapped, and shared
 * memory may be mapped, without a call. With GMEM_LISTEN_LAYOUT alone a section is heard of by what
 * of it is shared when it is mapped, and when it is unmapped by what is shared then; what
 * conversions and discards do in between is not heard of, so removes need not match adds.
 *
 * gmem_vm_free() tells nobody, and nobody is told after it.
 */
#ifndef GMEM_LISTENER_H
#define GMEM_LISTENER_H

#include <gmem/base.h>
#include <gmem/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gmem_listener;

/** @name What a listener wants to hear of
 * @{ */
#define GMEM_LISTEN_CONVERT (1u << 0) /**< conversions, discards, gmem_vm_populate() */
#define GMEM_LISTEN_LAYOUT (1u << 1)  /**< changes of the layout */
#define GMEM_LISTEN_REPLAY (1u << 2)  /**< add for all there is when made, remove when freed */
#define GMEM_LISTEN_ALL 7u            /**< all of them */
/** @} */

/** @name Of what kinds of sections
 * @{ */
#define GMEM_LISTEN_RAM (1u << GMEM_KIND_RAM)       /**< memory the guest can write */
#define GMEM_LISTEN_ROM (1u << GMEM_KIND_ROM)       /**< read-only memory */
#define GMEM_LISTEN_DEVICE (1u << GMEM_KIND_DEVICE) /**< a device's memory */
/** @} */

/** @name Events
 * @{ */
#define GMEM_EVENT_ADD 1u /**< the run has become visible */
/**
 * The run is about to go: let go of it before returning 0. (Where KVM lost a memslot it is gone
 * already.) If it stays after all, an add of it follows.
 */
#define GMEM_EVENT_REMOVE 2u
/** @} */

/**
 * @brief Told of one run of shared memory, all of it in one section.
 *
 * Runs do not overlap, and those of one operation come in ascending order (for gmem_vm_populate() of
 * memory with several addresses gmem/convert.h says which). Of an add listeners are told in the
 * order in which they were made, of a remove in the opposite order, run by run. What is taken back
 * is told to those who had been told: first of the run that was refused, the last who had been told
 * first; then of the runs before it, as above. Calls for disjoint ranges may come from several
 * threads at once; calls for one address never do.
 *
 * It runs on the thread of the operation. It may call what gmem/access.h declares, where its own
 * run cannot be pinned; conversion and whatever changes the layout return -EDEADLK. Pins it holds
 * of a run it may release when told remove: they are waited for afterwards. A layout change holds
 * up other layout changes while listeners hear what came; nothing else holds up anybody.
 *
 * @param event  GMEM_EVENT_*
 * @param run    valid during the call; run->host is where the memory is in this process
 * @return 0, or a negative errno to refuse: the operation is then taken back as far as it has to
 *         be, and fails with -ECANCELED. Memory that has become shared stays so where turning it
 *         private again would destroy it (gmem_vm_config_set_type()): then all others are told,
 *         who refused does without this run, and hears of its remove like everybody else. When
 *         something is taken back, or the listener is being freed, the answer is logged and
 *         ignored.
 */
typedef int (*gmem_listener_fn)(uint32_t event, const struct gmem_run *run, void *opaque);

/**
 * @brief Makes a listener. It hears of every operation that begins after this returns; operations
 * at work are waited for, and the replay comes before any other call.
 *
 * @param vm           not NULL
 * @param events       GMEM_LISTEN_CONVERT, LAYOUT, REPLAY: at least one of the first two
 * @param kinds        GMEM_LISTEN_RAM, ROM, DEVICE: at least one
 * @param granularity  0: runs are as long as they can be, and a remove may be any part of what was
 *                     added, or several runs of it. Else a power of two, at least the page size:
 *                     each call is one aligned block of that size; a block that is not all in one
 *                     section, or has a page that is not shared, is not there. Whoever cannot
 *                     split what it has mapped takes the size in which memory turns private.
 *                     Operations on pages of one block then wait for each other.
 * @param fn           not NULL
 * @param opaque       for fn
 * @param free_fn      for opaque, may be NULL
 * @param[out] listener  owned by the caller: gmem_listener_free(); NULL on failure
 * @return 0; -EINVAL, -ENOMEM, -ECANCELED (it refused a part of the replay, and was told of
 *         removes for what it had taken), -EAGAIN (an operation was at work, and the retry policy
 *         said to stop; a deadline of 0 does not), -EDEADLK (from inside a callback), -EIO (in a
 *         child after fork).
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_listener_new(struct gmem_vm *vm, uint32_t events, uint32_t kinds,
			       uint64_t granularity, gmem_listener_fn fn, void *opaque,
			       gmem_free_fn free_fn, struct gmem_listener **listener);

/**
 * @brief Ends a listener: it is not called any more when this returns. With GMEM_LISTEN_REPLAY it
 * hears of a remove for all it has first.
 *
 * Waits for operations at work, however long that takes. Not from inside a callback: there it is
 * refused, the listener goes on, and what its opaque points to must stay. Free listeners before
 * gmem_vm_free(), after which they hear of nothing any more.
 *
 * @param listener  NULL is ignored; of a VM that is freed already too
 * @return 0: it is gone; -EDEADLK (from inside a callback): it is not. Threads: last. Since: 0.1
 */
GMEM_API int gmem_listener_free(struct gmem_listener *listener);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_LISTENER_H */
