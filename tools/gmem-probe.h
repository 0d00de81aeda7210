/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of gmem-probe: what is asked of the host and of KVM, and what is made of the answers.
 * Probing fills in plain structs; the table, the JSON and the advice only read them.
 */
#ifndef GMEM_PROBE_H
#define GMEM_PROBE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <gmem.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* What the program exits with; the manual page promises these. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_MISSING = 1,
	EXIT_USAGE = 2,
	EXIT_NO_KVM = 3,
	EXIT_UNEXPECTED = 4,
};

/* Options. */

enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct options {
	bool json;
	bool quiet;
	bool verbose;
	enum color_when color;
	const char *device; /* NULL: /dev/kvm below root */
	const char *root;   /* "" for the host itself */
	uint32_t types;     /* bit n: VM type n was chosen; 0: none, so all are looked at */
	uint32_t required;  /* bit n: enum feature_id n */
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

enum options_result options_parse(struct options *options, int argc, char **argv);

/* The host: what can be read without KVM. */

#define CPU_FLAGS 7u
extern const char *const cpu_flag_names[CPU_FLAGS];

enum cpu_flag {
	CPU_SVM,
	CPU_VMX,
	CPU_SEV,
	CPU_SEV_ES,
	CPU_SEV_SNP,
	CPU_TDX_HOST,
	CPU_HYPERVISOR,
};

enum parameter_id {
	PARAMETER_IN_PLACE,
	PARAMETER_TDP_MMU,
	PARAMETER_NPT,
	PARAMETER_SEV,
	PARAMETER_SEV_ES,
	PARAMETER_SEV_SNP,
	PARAMETER_EPT,
	PARAMETER_TDX,
	PARAMETERS,
};

struct parameter_name {
	const char *module;
	const char *name;
};
extern const struct parameter_name parameter_names[PARAMETERS];

enum config_id {
	CONFIG_OPTION_GUEST_MEMFD,
	CONFIG_OPTION_SW_PROTECTED,
	CONFIG_OPTION_AMD_SEV,
	CONFIG_OPTION_INTEL_TDX,
	CONFIG_OPTIONS,
};
extern const char *const config_names[CONFIG_OPTIONS];

enum userfaultfd { USERFAULTFD_ABSENT, USERFAULTFD_PRIVILEGED, USERFAULTFD_EVERYONE };
extern const char *const userfaultfd_names[3];

#define HOST_WORD 64
#define HOST_MODULES 16
#define HOST_HUGE_PAGES 8

struct huge_page {
	uint64_t size; /* bytes */
	uint64_t total;
	uint64_t free;
};

struct host {
	char release[HOST_WORD]; /* "" where it could not be read, as are all the words */
	char machine[HOST_WORD];
	char vendor[HOST_WORD];
	uint64_t page_size;
	uint32_t cpu_flags; /* bit n: enum cpu_flag n */
	char modules[HOST_MODULES][HOST_WORD];
	size_t module_count;
	char parameters[PARAMETERS][HOST_WORD];
	char config[CONFIG_OPTIONS]; /* 'y', 'm', 'n', or 0 where the configuration is not there */
	char config_path[PATH_MAX];  /* without the root; "" where it is not there */
	uint32_t numa_nodes;
	struct huge_page huge_pages[HOST_HUGE_PAGES];
	size_t huge_page_count;
	bool memfd;
	enum userfaultfd userfaultfd;
};

void host_read(struct host *host, const char *root);
bool host_has_flag(const struct host *host, enum cpu_flag flag);
bool host_has_module(const struct host *host, const char *name);
bool host_is_x86(const struct host *host);
/* False too where the release is not known. */
bool host_is_older(const struct host *host, unsigned int major, unsigned int minor);

/* KVM: whether it can be used, and what each type of VM has. */

#define VM_TYPES 6u
#define VM_TYPE_DEFAULT 0u
#define VM_TYPE_SW_PROTECTED 1u
#define VM_TYPE_SEV 2u
#define VM_TYPE_SEV_ES 3u
#define VM_TYPE_SNP 4u
#define VM_TYPE_TDX 5u

#define KVM_MESSAGE 256

struct vm_type {
	bool offered;              /* by KVM_CAP_VM_TYPES */
	int create_error;          /* errno of KVM_CREATE_VM, 0 where a VM was made */
	int probe_error;           /* errno of gmem_vm_new() */
	char message[KVM_MESSAGE]; /* what libgmem said about it */
	struct gmem_vm_info info;  /* all zero unless both errors are 0 and it is offered */
};

enum kvm_state {
	KVM_USABLE,
	KVM_ABSENT,     /* no such node */
	KVM_DENIED,     /* no permission to open it */
	KVM_NO_DRIVER,  /* a node with nothing behind it */
	KVM_NOT_KVM,    /* something else is behind it */
	KVM_NO_VM,      /* opened, but no VM can be made */
	KVM_UNREADABLE, /* open() failed in another way */
};
extern const char *const kvm_state_names[];

struct kvm {
	char path[PATH_MAX];
	enum kvm_state state;
	int error; /* errno that says why it is not usable */
	int api_version;
	uint32_t node_mode; /* permission bits; 0 where there is no node */
	char node_owner[HOST_WORD];
	char node_group[HOST_WORD];
	uint64_t vm_types; /* KVM_CAP_VM_TYPES, with bits that have no name yet */
	struct vm_type types[VM_TYPES];
};

extern const char *const vm_type_names[VM_TYPES];

/* A negative errno where something failed that has nothing to do with the host: no memory. */
int kvm_probe(struct kvm *kvm, const struct options *options);
bool vm_type_made(const struct vm_type *type);
/* errno where libgmem failed on a VM that could be made. */
int kvm_probe_error(const struct kvm *kvm);

/* Features: one list for the table, the JSON and --require. */

enum feature_id {
	FEATURE_VM,
	FEATURE_GUEST_MEMFD,
	FEATURE_MMAP,
	FEATURE_INIT_SHARED,
	FEATURE_PRIVATE_MEMORY,
	FEATURE_TRACKING,
	FEATURE_PER_VM,
	FEATURE_IN_PLACE,
	FEATURE_PREFAULT,
	FEATURE_MEMORY_FAULT_EXIT,
	FEATURE_MAP_GPA_RANGE_EXIT,
	FEATURE_REGION2,
	FEATURE_SLOTS,
	FEATURE_ADDRESS_SPACES,
	FEATURE_MAX_SECTION,
	FEATURE_SNP_FEATURES,
	FEATURE_SNP_POLICY,
	FEATURES,
};

enum feature_kind {
	KIND_YES_NO, /* what --require takes */
	KIND_WORD,
	KIND_NUMBER,
	KIND_BYTES,
	KIND_BITS,
};

struct bit_name {
	uint32_t bit;
	const char *name;
};

struct feature {
	const char *name;    /* in JSON and for --require */
	const char *title;   /* in the table */
	const char *summary; /* in --help, of those that --require takes */
	enum feature_kind kind;
	bool json_only; /* the table says it in another row */
	uint64_t (*get)(const struct vm_type *type);
	const char *(*word)(uint64_t value, bool for_people);
	const struct bit_name *bits; /* ends with a NULL name */
};
extern const struct feature features[FEATURES];

bool feature_present(const struct vm_type *type, enum feature_id id);
/* FEATURES where there is none of that name that --require takes. */
enum feature_id feature_find(const char *name, size_t length);

/*
 * What is required and not there: one list of bits for each VM type that should have it. Without
 * chosen types it is enough that one type has all; then *any tells so, and missing[] of the type
 * that comes closest is filled in.
 */
struct requirement {
	bool satisfied;
	uint32_t missing[VM_TYPES];
};

void requirement_check(struct requirement *requirement, const struct options *options,
		       const struct kvm *kvm);

/* Advice. */

#define ADVICE_ENTRIES 16
#define ADVICE_TEXT 1024

enum advice_level {
	ADVICE_ERROR, /* KVM cannot be used before this is done */
	ADVICE_HINT,  /* this host can have it */
	ADVICE_NOTE,  /* this host cannot have it, or it need not */
};
extern const char *const advice_level_names[3];

struct advice_entry {
	const char *id;
	enum advice_level level;
	char missing[160];
	char remedy[ADVICE_TEXT];
};

struct advice {
	struct advice_entry entries[ADVICE_ENTRIES];
	size_t count;
};

void advice_make(struct advice *advice, const struct host *host, const struct kvm *kvm);
/* What stands in the way of confidential VMs; a part of advice_make(). */
void advice_confidential(struct advice *advice, const struct host *host, const struct kvm *kvm);
/* Starts an entry, and adds a sentence to the last one. */
void advice_add(struct advice *advice, enum advice_level level, const char *id, const char *format,
		...) __attribute__((format(printf, 4, 5)));
void advice_say(struct advice *advice, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* How a module's parameter is set so that it stays. */
void advice_say_parameter(struct advice *advice, const char *module, const char *name,
			  const char *value);

/* Output. */

struct probe {
	struct options options;
	struct host host;
	struct kvm kvm;
	struct requirement requirement;
	struct advice advice;
};

void table_print(FILE *out, const struct probe *probe);
void json_print(FILE *out, const struct probe *probe);

/* The types that the output is about. */
bool probe_shows_type(const struct probe *probe, uint32_t type);

#endif /* GMEM_PROBE_H */
