/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzers: each is one function, given any bytes. With --enable-fuzzers it becomes a program of
 * libFuzzer, else a test that runs the inputs kept in tests/fuzz/corpus.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* What libFuzzer calls. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise that does not hold ends the program, which is how libFuzzer learns of it. */
#define promise(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

#endif /* TESTS_FUZZ_H */
