// SPDX-License-Identifier: LGPL-2.1-or-later
/* This very program once more, with its output kept apart. */
#include "again.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void become(int output, const char *argument)
{
	if (dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0)
		execl("/proc/self/exe", "again", argument, (char *)NULL);
	_exit(127);
}

static void show(FILE *output)
{
	char line[512];

	rewind(output);
	while (fgets(line, sizeof(line), output))
		fprintf(stderr, "# %s", line);
}

int run_again(const char *argument)
{
	FILE *output = tmpfile();
	int status = -1;
	pid_t child;

	if (!output)
		return -1;
	child = fork();
	if (child == 0)
		become(fileno(output), argument);
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = -1;
	if (status)
		show(output);
	(void)fclose(output);
	return status;
}
