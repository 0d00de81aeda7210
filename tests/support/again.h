/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This very program once more, in a process of its own: for what can be had once in a process. */
#ifndef TESTS_SUPPORT_AGAIN_H
#define TESTS_SUPPORT_AGAIN_H

/*
 * Runs /proc/self/exe with one argument. What it prints is not this program's report: it is shown,
 * each line behind a "# ", only where it fails. The status of waitpid(), or -1.
 */
int run_again(const char *argument);

#endif /* TESTS_SUPPORT_AGAIN_H */
