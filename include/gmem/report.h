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

/**
 * @brief What an operation did, and what stopped it.
 *
 * The caller owns it. It may lie on the stack and needs no initialisation and no release: the
 * library writes all of it, on success and on failure. Every function that takes one takes NULL
 * too. Where a request is refused for its arguments, or for being made inside a callback, gpa,
 * size, tag and offset are 0.
 */
struct gmem_report {
	int32_t error;      /**< 0, or the negative errno that the function returned */
	uint32_t stage;     /**< GMEM_STAGE_*: where it was when it ended */
	uint64_t converted; /**< bytes whose state it changed, and that stayed so */
	uint64_t restored;  /**< bytes whose state it changed, and then changed back */
	uint64_t gpa;       /**< on error: first guest-physical address that is not as asked for */
	uint64_t size;      /**< on error: bytes from gpa on that are not; 0: not known */
	uint64_t tag;       /**< on error: the tag of gpa's region; 0: none */
	uint64_t offset;    /**< on error: of gpa in its region, and in its guest_memfd; 0: none */
	uint64_t waited_ns; /**< nanoseconds from its first obstacle to its last */
	int32_t kernel_error; /**< on error: what the kernel's call gave, negative; 0: no call failed */
	uint32_t ioctls;      /**< attribute calls made */
	uint32_t retries;     /**< of these, repeated ones */
	uint32_t skipped;     /**< pages in use that were passed over, GMEM_RETRY_SKIP */
	uint64_t freed;       /**< bytes of memory given back to the host: discards, flushes */
	uint64_t reserved[6];
};

/**
 * @brief Writes a report as one line of text for people.
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
