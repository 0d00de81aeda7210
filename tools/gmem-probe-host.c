// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The host, as its files tell it: nothing here needs KVM or a privilege. All paths are below a
 * root, so that tests can make up a host.
 */
#include "gmem-probe.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

const char *const cpu_flag_names[CPU_FLAGS] = {
	[CPU_SVM] = "svm",
	[CPU_VMX] = "vmx",
	[CPU_SEV] = "sev",
	[CPU_SEV_ES] = "sev_es",
	[CPU_SEV_SNP] = "sev_snp",
	[CPU_TDX_HOST] = "tdx_host_platform",
	[CPU_HYPERVISOR] = "hypervisor",
};

const struct parameter_name parameter_names[PARAMETERS] = {
	[PARAMETER_IN_PLACE] = { "kvm", "gmem_in_place_conversion" },
	[PARAMETER_TDP_MMU] = { "kvm", "tdp_mmu" },
	[PARAMETER_NPT] = { "kvm_amd", "npt" },
	[PARAMETER_SEV] = { "kvm_amd", "sev" },
	[PARAMETER_SEV_ES] = { "kvm_amd", "sev_es" },
	[PARAMETER_SEV_SNP] = { "kvm_amd", "sev_snp" },
	[PARAMETER_EPT] = { "kvm_intel", "ept" },
	[PARAMETER_TDX] = { "kvm_intel", "tdx" },
};

const char *const config_names[CONFIG_OPTIONS] = {
	[CONFIG_OPTION_GUEST_MEMFD] = "CONFIG_KVM_GUEST_MEMFD",
	[CONFIG_OPTION_SW_PROTECTED] = "CONFIG_KVM_SW_PROTECTED_VM",
	[CONFIG_OPTION_AMD_SEV] = "CONFIG_KVM_AMD_SEV",
	[CONFIG_OPTION_INTEL_TDX] = "CONFIG_KVM_INTEL_TDX",
};

const char *const userfaultfd_names[3] = {
	[USERFAULTFD_ABSENT] = "absent",
	[USERFAULTFD_PRIVILEGED] = "privileged",
	[USERFAULTFD_EVERYONE] = "everyone",
};

/* False where root and path together are too long, which no host's paths are. */
static bool path_below(char *full, const char *root, const char *path)
{
	int length = snprintf(full, PATH_MAX, "%s%s", root, path);

	return length >= 0 && length < PATH_MAX;
}

static FILE *open_below(const char *root, const char *path)
{
	char full[PATH_MAX];

	return path_below(full, root, path) ? fopen(full, "re") : NULL;
}

static DIR *open_directory_below(const char *root, const char *path)
{
	char full[PATH_MAX];

	return path_below(full, root, path) ? opendir(full) : NULL;
}

static void copy_word(char *word, const char *text)
{
	size_t length = strnlen(text, HOST_WORD - 1);

	while (length > 0 && isspace((unsigned char)text[length - 1]))
		length--;
	memcpy(word, text, length);
	word[length] = '\0';
}

/* The first line of a file, without its end; "" where there is none. */
static void read_word(char *word, const char *root, const char *path)
{
	FILE *file = open_below(root, path);
	char line[HOST_WORD];

	word[0] = '\0';
	if (!file)
		return;
	if (fgets(line, sizeof(line), file))
		copy_word(word, line);
	fclose(file);
}

static uint64_t read_number(const char *root, const char *path)
{
	char word[HOST_WORD];

	read_word(word, root, path);
	return strtoull(word, NULL, 10);
}

static void read_kernel(struct host *host, const char *root)
{
	struct utsname name;

	read_word(host->release, root, "/proc/sys/kernel/osrelease");
	read_word(host->machine, root, "/proc/sys/kernel/arch");
	if (uname(&name) == 0) {
		if (!host->release[0] && !root[0])
			copy_word(host->release, name.release);
		/* The file came with Linux 6.1. */
		if (!host->machine[0])
			copy_word(host->machine, name.machine);
	}
	host->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What follows "key<tab>: ", or NULL where the line has another key. */
static char *cpuinfo_value(char *line, const char *key)
{
	size_t length = strlen(key);
	char *colon;

	if (strncmp(line, key, length) != 0)
		return NULL;
	colon = line + length + strspn(line + length, "\t ");
	if (*colon != ':')
		return NULL;
	return colon + 1 + strspn(colon + 1, " ");
}

static uint32_t flags_in(char *list)
{
	uint32_t flags = 0;
	char *state = NULL;
	char *word;
	uint32_t i;

	for (word = strtok_r(list, " \n", &state); word; word = strtok_r(NULL, " \n", &state)) {
		for (i = 0; i < CPU_FLAGS; i++) {
			if (!strcmp(word, cpu_flag_names[i]))
				flags |= UINT32_C(1) << i;
		}
	}
	return flags;
}

/* The first processor speaks for all. */
static void read_cpuinfo(struct host *host, const char *root)
{
	FILE *file = open_below(root, "/proc/cpuinfo");
	char *line = NULL;
	char *value;
	size_t size = 0;

	if (!file)
		return;
	while (getline(&line, &size, file) > 0 && line[0] != '\n') {
		value = cpuinfo_value(line, "vendor_id");
		if (value)
			copy_word(host->vendor, value);
		value = cpuinfo_value(line, "flags");
		if (value)
			host->cpu_flags = flags_in(value);
	}
	free(line);
	fclose(file);
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool is_kvm_module(const char *name)
{
	return !strcmp(name, "kvm") || !strncmp(name, "kvm_", 4);
}

/* /sys/module also has what is built into the kernel, if it has parameters. */
static void read_modules(struct host *host, const char *root)
{
	DIR *directory = open_directory_below(root, "/sys/module");
	struct dirent *entry;

	if (!directory)
		return;
	while (host->module_count < HOST_MODULES && (entry = readdir(directory)) != NULL) {
		if (is_kvm_module(entry->d_name))
			copy_word(host->modules[host->module_count++], entry->d_name);
	}
	closedir(directory);
	qsort(host->modules, host->module_count, sizeof(host->modules[0]), compare_words);
}

static void read_parameters(struct host *host, const char *root)
{
	char path[128];
	uint32_t i;

	for (i = 0; i < PARAMETERS; i++) {
		snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s",
			 parameter_names[i].module, parameter_names[i].name);
		read_word(host->parameters[i], root, path);
	}
}

/* 'y' or 'm' of "NAME=y"; 0 where the line is about something else. */
static char config_value(const char *line, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(line, name, length) != 0 || line[length] != '=')
		return 0;
	return line[length + 1] == 'm' ? 'm' : 'y';
}

static void read_config_file(struct host *host, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	uint32_t i;
	char value;

	memset(host->config, 'n', sizeof(host->config));
	while (getline(&line, &size, file) > 0) {
		for (i = 0; i < CONFIG_OPTIONS; i++) {
			value = config_value(line, config_names[i]);
			if (value)
				host->config[i] = value;
		}
	}
	free(line);
}

static bool try_config(struct host *host, const char *root, const char *before, const char *after)
{
	FILE *file;

	snprintf(host->config_path, sizeof(host->config_path), "%s%s%s", before, host->release,
		 after);
	file = open_below(root, host->config_path);
	if (!file) {
		host->config_path[0] = '\0';
		return false;
	}
	read_config_file(host, file);
	fclose(file);
	return true;
}

static void read_config(struct host *host, const char *root)
{
	if (!host->release[0] || strchr(host->release, '/'))
		return;
	if (!try_config(host, root, "/boot/config-", ""))
		try_config(host, root, "/lib/modules/", "/config");
}

static bool is_node(const char *name)
{
	return !strncmp(name, "node", 4) && isdigit((unsigned char)name[4]);
}

static void read_numa(struct host *host, const char *root)
{
	DIR *directory = open_directory_below(root, "/sys/devices/system/node");
	struct dirent *entry;

	/* A kernel without NUMA has no such directory, and one node. */
	if (!directory) {
		host->numa_nodes = 1;
		return;
	}
	while ((entry = readdir(directory)) != NULL) {
		if (is_node(entry->d_name))
			host->numa_nodes++;
	}
	closedir(directory);
}

static int compare_huge_pages(const void *a, const void *b)
{
	const struct huge_page *first = a;
	const struct huge_page *second = b;

	return (first->size > second->size) - (first->size < second->size);
}

static void read_huge_page(struct huge_page *page, const char *root, uint64_t kib)
{
	static const char directory[] = "/sys/kernel/mm/hugepages/hugepages";
	char path[128];

	page->size = kib * 1024;
	snprintf(path, sizeof(path), "%s-%" PRIu64 "kB/nr_hugepages", directory, kib);
	page->total = read_number(root, path);
	snprintf(path, sizeof(path), "%s-%" PRIu64 "kB/free_hugepages", directory, kib);
	page->free = read_number(root, path);
}

static void read_huge_pages(struct host *host, const char *root)
{
	DIR *directory = open_directory_below(root, "/sys/kernel/mm/hugepages");
	struct dirent *entry;
	uint64_t kib;

	if (!directory)
		return;
	while (host->huge_page_count < HOST_HUGE_PAGES && (entry = readdir(directory)) != NULL) {
		if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &kib) == 1)
			read_huge_page(&host->huge_pages[host->huge_page_count++], root, kib);
	}
	closedir(directory);
	qsort(host->huge_pages, host->huge_page_count, sizeof(host->huge_pages[0]),
	      compare_huge_pages);
}

static bool memfd_works(void)
{
	int fd = memfd_create("gmem-probe", MFD_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static enum userfaultfd read_userfaultfd(const char *root)
{
	char word[HOST_WORD];

	/* The file is there exactly when the kernel has the system call. */
	read_word(word, root, "/proc/sys/vm/unprivileged_userfaultfd");
	if (!word[0])
		return USERFAULTFD_ABSENT;
	return strcmp(word, "0") ? USERFAULTFD_EVERYONE : USERFAULTFD_PRIVILEGED;
}

void host_read(struct host *host, const char *root)
{
	*host = (struct host){ 0 };
	read_kernel(host, root);
	read_cpuinfo(host, root);
	read_modules(host, root);
	read_parameters(host, root);
	read_config(host, root);
	read_numa(host, root);
	read_huge_pages(host, root);
	host->memfd = memfd_works();
	host->userfaultfd = read_userfaultfd(root);
}

bool host_has_flag(const struct host *host, enum cpu_flag flag)
{
	return host->cpu_flags >> flag & 1;
}

bool host_has_module(const struct host *host, const char *name)
{
	size_t i;

	for (i = 0; i < host->module_count; i++) {
		if (!strcmp(host->modules[i], name))
			return true;
	}
	return false;
}

bool host_is_x86(const struct host *host)
{
	return !strcmp(host->machine, "x86_64");
}

bool host_is_older(const struct host *host, unsigned int major, unsigned int minor)
{
	unsigned int host_major;
	unsigned int host_minor;

	if (sscanf(host->release, "%u.%u", &host_major, &host_minor) != 2)
		return false;
	return host_major < major || (host_major == major && host_minor < minor);
}
