// SPDX-License-Identifier: LGPL-2.1-or-later
/* gmem-probe: what this host, its kernel and each VM type can do with guest_memfd. */
#include "gmem-probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void report_missing(const struct probe *probe)
{
	uint32_t type;
	uint32_t id;

	for (type = 0; type < VM_TYPES; type++) {
		if (!probe->requirement.missing[type])
			continue;
		fprintf(stderr, "gmem-probe: VM type %s lacks:", vm_type_names[type]);
		for (id = 0; id < FEATURES; id++) {
			if (probe->requirement.missing[type] >> id & 1)
				fprintf(stderr, " %s", features[id].name);
		}
		fputc('\n', stderr);
	}
}

/* Whether libgmem failed on a VM of a type that is looked at. */
static bool report_failures(const struct probe *probe)
{
	const struct vm_type *type;
	bool failed = false;
	uint32_t number;

	for (number = 0; number < VM_TYPES; number++) {
		type = &probe->kvm.types[number];
		if (!type->probe_error || !probe_shows_type(probe, number))
			continue;
		fprintf(stderr, "gmem-probe: VM type %s: %s\n", vm_type_names[number],
			type->message[0] ? type->message : strerror(type->probe_error));
		failed = true;
	}
	return failed;
}

static enum exit_code judge(const struct probe *probe)
{
	if (probe->kvm.state != KVM_USABLE) {
		fprintf(stderr, "gmem-probe: KVM cannot be used: %s: %s\n", probe->kvm.path,
			probe->kvm.error ? strerror(probe->kvm.error)
					 : "unknown version of its interface");
		return EXIT_NO_KVM;
	}
	if (report_failures(probe))
		return EXIT_UNEXPECTED;
	if (probe->options.required && !probe->requirement.satisfied) {
		report_missing(probe);
		return EXIT_MISSING;
	}
	return EXIT_FINE;
}

static void print(FILE *out, const struct probe *probe)
{
	if (probe->options.json)
		json_print(out, probe);
	else
		table_print(out, probe);
}

static enum exit_code run(struct probe *probe)
{
	int result;

	host_read(&probe->host, probe->options.root);
	result = kvm_probe(&probe->kvm, &probe->options);
	if (result < 0) {
		fprintf(stderr, "gmem-probe: %s\n", strerror(-result));
		return EXIT_UNEXPECTED;
	}
	requirement_check(&probe->requirement, &probe->options, &probe->kvm);
	advice_make(&probe->advice, &probe->host, &probe->kvm);
	if (!probe->options.quiet)
		print(stdout, probe);
	return judge(probe);
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
	fprintf(stderr, "gmem-probe: cannot write the output%s%s\n", error ? ": " : "",
		error ? strerror(error) : "");
	return false;
}

int main(int argc, char **argv)
{
	static struct probe probe;
	enum exit_code code = EXIT_FINE;

	switch (options_parse(&probe.options, argc, argv)) {
	case OPTIONS_RUN:
		code = run(&probe);
		break;
	case OPTIONS_DONE:
		break;
	case OPTIONS_WRONG:
		return EXIT_USAGE;
	}
	/* Who wants nothing written may have closed it. */
	if (!probe.options.quiet && !close_stdout())
		code = EXIT_UNEXPECTED;
	return (int)code;
}
