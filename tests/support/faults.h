/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failures on demand: a door in front of another that fails the nth call of a kind, and
 * allocations that fail at the nth (see allocations.c for the linker flags that needs).
 */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include <gmem/kernel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any call, and any request of GMEM_SYS_IOCTL. */
#define FAULTS_ANY 0u

struct faults;

/* kernel is copied. */
struct faults *faults_new(const struct gmem_kernel *kernel);
void faults_free(struct faults *faults);
struct gmem_kernel faults_kernel(struct faults *faults);

/*
 * Fails the nth call from now on, counted from 1, of kind nr (and of request, where nr is
 * GMEM_SYS_IOCTL) with -error, once: the wrapped kernel does not see that call (but of a close, which
 * Linux carries out whatever it returns). Takes the place of what was set before, and starts
 * counting anew.
 */
void faults_fail(struct faults *faults, uint32_t nr, uint32_t request, uint64_t nth, int error);
/* Fails that call and every later one of the kind. */
void faults_fail_from(struct faults *faults, uint32_t nr, uint32_t request, uint64_t nth,
		      int error);
/* Nothing fails any more; goes on counting. */
void faults_off(struct faults *faults);

/* Calls of the kind that faults_fail() named, since then; of all kinds where it was not called. */
uint64_t faults_count(struct faults *faults);
/* How many calls were failed since then. */
uint64_t faults_failed(struct faults *faults);

/*
 * Allocations. Only those that code under test makes are counted: the doors and the log of
 * tests/support take theirs out, and a test arms the fault around the call it is about.
 */
void allocations_fail(uint64_t nth);      /* the nth from now, counted from 1, once */
void allocations_fail_from(uint64_t nth); /* that and all later ones */
void allocations_count_only(void);        /* count, fail none */
/* Stops; returns how many were counted. */
uint64_t allocations_off(void);
/* How many were failed since the fault was armed. */
uint64_t allocations_failed(void);

/* Support code that runs inside a call under test allocates between these two; they nest. */
void allocations_pause(void);
void allocations_resume(void);
bool allocations_are_paused(void);

#endif /* TESTS_SUPPORT_FAULTS_H */
