// SPDX-License-Identifier: LGPL-2.1-or-later
/* gmem-measure: launch digests, ID blocks, and why a digest is not the one that was expected. */
#include "gmem-measure.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static enum exit_code (*const commands[COMMANDS])(const struct options *) = {
	[COMMAND_DIGEST] = command_digest,     [COMMAND_EXPLAIN] = command_explain,
	[COMMAND_ID_BLOCK] = command_id_block, [COMMAND_VERIFY] = command_verify,
	[COMMAND_COMPARE] = command_compare,
};

void output_begin(struct json *json, const char *command)
{
	char version[64];

	*json = (struct json){ .out = stdout };
	snprintf(version, sizeof(version), "%u.%u.%u", GMEM_VERSION_MAJOR, GMEM_VERSION_MINOR,
		 GMEM_VERSION_PATCH);
	json_begin(json, NULL, '{');
	json_number(json, "schema", MEASURE_SCHEMA);
	json_string(json, "version", version);
	json_string(json, "command", command);
}

void output_end(struct json *json)
{
	json_end(json, '}');
	fputc('\n', json->out);
}

/* A full disk shows only when the last of the output is written. */
static bool close_stdout(void)
{
	bool failed = ferror(stdout);
	int error;

	errno = 0;
	if (fclose(stdout) != 0)
		failed = true;
	if (!failed)
		return true;
	error = errno;
	complain("cannot write the output%s%s", error ? ": " : "", error ? strerror(error) : "");
	return false;
}

int main(int argc, char **argv)
{
	static struct options options;
	enum exit_code code = EXIT_FINE;

	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_RUN:
		code = commands[options.command](&options);
		break;
	case OPTIONS_DONE:
		break;
	case OPTIONS_WRONG:
		return EXIT_USAGE;
	}
	/* Who wants nothing written may have closed it. */
	if (!options.quiet && !close_stdout() && code <= EXIT_DIFFERS)
		code = EXIT_UNEXPECTED;
	return (int)code;
}
