/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/report.h
 * @brief What an operation did, and what stopped it.
 */
#ifndef GMEM_REPORT_H
#define GMEM_REPORT_H

#include <gmem/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @name How far an operation came: gmem_report.stage
 * @{ */
#define GMEM_STAGE_PLAN 1u    /**< looking at what there is: nothing was touched */
#define GMEM_STAGE_PREPARE 2u /**< waiting for other operations, telling listeners beforehand */
#define GMEM_STAGE_COMMIT 3u  /**< the kernel's calls, and waiting for pages in use */
#define GMEM_STAGE_FINISH 4u  /**< telling listeners afterwards */
#define GMEM_STAGE_DONE 5u    /**< to the end */
/** @} */

/** @name What an operation waits for, or gave up for: gmem_report.obstacle
 * @{ */
#define GMEM_OBSTACLE_NONE 0u
#define GMEM_OBSTACLE_PAGE 1u      /**< a page in use: a reference that only the kernel sees */
#define GMEM_OBSTACLE_PIN 2u       /**< a pin, gmem_vm_pin(), or a copy at work */
#define GMEM_OBSTACLE_OPERATION 3u /**< another operation at work on the range */
#define GMEM_OBSTACLE_SIGNAL 4u    /**< signals, which interrupted the kernel's call */
#define GMEM_OBSTACLE_KERNEL 5u    /**< its call gave EAGAIN and named no page */
/** @} */

/** @name Who reports, and who waits: gmem_report.operation
 * @{ */
#define GMEM_OPERATION_CONVERT 1u  /**< conversions, by exits too */
#define GMEM_OPERATION_DISCARD 2u  /**< gmem_vm_discard() */
#define GMEM_OPERATION_POPULATE 3u /**< gmem_vm_populate() */
#define GMEM_OPERATION_FLUSH 4u    /**< gmem_vm_flush() */
#define GMEM_OPERATION_LAYOUT 5u   /**< changes of the layout */
#define GMEM_OPERATION_PIN 6u      /**< pins and copies, GMEM_ACCESS_WAIT */
#define GMEM_OPERATION_LISTENER 7u /**< gmem_listener_new() */
/** @} */

/**
 * @brief What an operation did, and what stopped it.
 *
 * The caller owns it. It may lie on the stack and needs no initialisation and no release: the
 * library writes all of it, on success and on failure. Every function that takes one takes NULL
 * too. Where a request is refused for its arguments, or for being made inside a callback, gpa,
 * size, tag and offset are 0; of a guest's exit gpa and size are what it asked for.
 */
struct gmem_report {
	/**
	 * 0, or the negative errno that the operation ended with. That is what the function returned,
	 * but for gmem_vm_handle_exit(), which says what to do next.
	 */
	int32_t error;
	uint32_t stage;     /**< GMEM_STAGE_*: where it was when it ended */
	uint64_t converted; /**< bytes whose state it changed, and that stayed so */
	uint64_t restored;  /**< bytes whose state it changed, and then changed back */
	/**
	 * On error: first guest-physical address that is not as asked for; where the obstacle is
	 * another operation, first that this has of the range; after a rollback for a page in use, that
	 * page.
	 */
	uint64_t gpa;
	uint64_t size;      /**< on error: bytes from gpa on of which that is so; 0: not known */
	uint64_t tag;       /**< on error: the tag of gpa's region; 0: none */
	uint64_t offset;    /**< on error: of gpa in its region, and in its guest_memfd; 0: none */
	uint64_t waited_ns; /**< nanoseconds from its first obstacle to its last */
	int32_t kernel_error; /**< on error: what the kernel's call gave, negative; 0: no call failed */
	uint32_t ioctls;      /**< attribute calls made */
	uint32_t retries;     /**< of these, answered EAGAIN or EINTR: repeated, or given up */
	uint32_t skipped;     /**< pages in use that were passed over, GMEM_RETRY_SKIP */
	/**
	 * Bytes that the kernel was told to free, whether there was memory behind them or not, so it
	 * can be more than what was converted; not what is put off until later.
	 */
	uint64_t freed;
	uint32_t obstacle;  /**< GMEM_OBSTACLE_*: what is waited for, or was to the last */
	uint32_t operation; /**< GMEM_OPERATION_* */
	uint64_t reserved[5];
};

/**
 * @brief Writes a report as one line of text for people: what was done, what was in the way, or, of
 * one that a gmem_retry_fn is given, what is waited for.
 *
 * @param report  not NULL
 * @param buf     may be NULL when size is 0
 * @param size    bytes at buf; the text is cut to fit and always ends in NUL
 * @return length of the whole text without NUL, as snprintf() does; -EINVAL.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_report_format(const struct gmem_report *report, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_REPORT_H */
