// SPDX-License-Identifier: LGPL-2.1-or-later
/* In the place of libFuzzer: runs the inputs of tests/fuzz/corpus/NAME, for the program fuzz-NAME. */
#include "fuzz.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "fuzz-"

static const char *name;

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	long size;

	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size = ftell(file);
	assert_true(size >= 0);
	rewind(file);
	/* Of just this size, so that a sanitizer sees what reads beyond. */
	data = malloc((size_t)size ? (size_t)size : 1);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, (size_t)size, file), size);
	fclose(file);
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
}

static void every_input_of_the_corpus(void **state)
{
	const char *source = getenv("top_srcdir");
	char directory[PATH_MAX], path[PATH_MAX + NAME_MAX + 2];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *files;

	(void)state;
	snprintf(directory, sizeof(directory), "%s/tests/fuzz/corpus/%s", source ? source : ".",
		 name);
	files = opendir(directory);
	assert_non_null(files);
	while ((entry = readdir(files))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		run_file(path);
		count++;
	}
	closedir(files);
	print_message("%u inputs\n", count);
	assert_true(count > 0);
}

static void an_empty_input(void **state)
{
	uint8_t nothing = 0;

	(void)state;
	LLVMFuzzerTestOneInput(&nothing, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_input_of_the_corpus),
		cmocka_unit_test(an_empty_input),
	};
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;

	name = strstr(slash ? slash : PREFIX, PREFIX);
	if (!name)
		return 1;
	name += strlen(PREFIX);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
