// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tables of test data, tests/data/snp/(name).tsv: a line of names, then lines of fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test-sim-snp-table.h"

uint8_t *data_read(const char *name, size_t *size)
{
	const char *source = getenv("top_srcdir");
	char path[PATH_MAX];
	uint8_t *bytes;
	FILE *file;
	long end;

	snprintf(path, sizeof(path), "%s/tests/data/snp/%s", source ? source : ".", name);
	file = fopen(path, "rb");
	if (!file) {
		print_error("%s: %s\n", path, strerror(errno));
		fail();
		return NULL;
	}
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	end = ftell(file);
	assert_true(end >= 0);
	rewind(file);
	*size = (size_t)end;
	bytes = calloc(1, *size + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, *size, file), *size);
	fclose(file);
	return bytes;
}

static void split(struct table_row *row, char *line)
{
	size_t column = 0;

	for (char *field = strsep(&line, "\t"); field; field = strsep(&line, "\t")) {
		assert_true(column < TABLE_COLUMNS);
		row->field[column++] = field;
	}
}

void table_read(struct table *table, const char *name)
{
	size_t size, lines = 0;
	char *rest;

	table->text = (char *)data_read(name, &size);
	for (size_t i = 0; i < size; i++)
		lines += table->text[i] == '\n';
	assert_true(lines > 1);
	table->rows = lines - 1;
	table->row = calloc(table->rows, sizeof(*table->row));
	assert_non_null(table->row);
	rest = table->text;
	strsep(&rest, "\n");
	for (size_t i = 0; i < table->rows; i++)
		split(&table->row[i], strsep(&rest, "\n"));
}

void table_free(struct table *table)
{
	free(table->row);
	free(table->text);
}

void hex_read(const char *text, uint8_t *bytes, size_t size)
{
	assert_int_equal(strlen(text), 2 * size);
	for (size_t i = 0; i < size; i++) {
		const char digits[3] = { text[2 * i], text[2 * i + 1] };

		bytes[i] = (uint8_t)number_read(digits, 16);
	}
}

uint64_t number_read(const char *text, int base)
{
	char *end;
	uint64_t number = strtoull(text, &end, base);

	assert_true(end != text && *end == '\0');
	return number;
}
