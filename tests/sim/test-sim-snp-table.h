/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables of test data, tests/data/snp/(name).tsv: a line of names, then lines of fields. */
#ifndef TESTS_SIM_SNP_TABLE_H
#define TESTS_SIM_SNP_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define TABLE_COLUMNS 11u

struct table_row {
	char *field[TABLE_COLUMNS]; /* NULL past the last one */
};

struct table {
	char *text;
	struct table_row *row;
	size_t rows;
};

/* Failures are failed assertions, as in the rest. */
void table_read(struct table *table, const char *name);
void table_free(struct table *table);

/* A whole file of tests/data/snp; to be freed by the caller. */
uint8_t *data_read(const char *name, size_t *size);

/* Hexadecimal digits, exactly two a byte. */
void hex_read(const char *text, uint8_t *bytes, size_t size);
uint64_t number_read(const char *text, int base);

#endif /* TESTS_SIM_SNP_TABLE_H */
