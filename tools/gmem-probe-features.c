// SPDX-License-Identifier: LGPL-2.1-or-later
/* The words for what was found, the list of what a VM type can have, and --require. */
#include "gmem-probe.h"

#include <string.h>

#include "libgmem/uapi/kvm.h"

const char *const vm_type_names[VM_TYPES] = {
	[VM_TYPE_DEFAULT] = "default", [VM_TYPE_SW_PROTECTED] = "sw_protected",
	[VM_TYPE_SEV] = "sev",         [VM_TYPE_SEV_ES] = "sev_es",
	[VM_TYPE_SNP] = "snp",         [VM_TYPE_TDX] = "tdx",
};

const char *const kvm_state_names[] = {
	[KVM_USABLE] = "usable",         [KVM_ABSENT] = "absent",   [KVM_DENIED] = "denied",
	[KVM_NO_DRIVER] = "no_driver",   [KVM_NOT_KVM] = "not_kvm", [KVM_NO_VM] = "no_vm",
	[KVM_UNREADABLE] = "unreadable",
};

/* VMSA features, as KVM_SEV_INIT2 takes them. */
static const struct bit_name snp_feature_bits[] = {
	{ 0, "SNP active" },
	{ 5, "debug swap" },
	{ 9, "secure TSC" },
	{ 0, NULL },
};

/* Guest policy, as KVM_SEV_SNP_LAUNCH_START takes it; 15:0 are the least ABI version. */
static const struct bit_name snp_policy_bits[] = {
	{ 16, "SMT" },
	{ 18, "migration agent" },
	{ 19, "debug" },
	{ 20, "single socket" },
	{ 21, "CXL" },
	{ 22, "AES-256-XTS" },
	{ 23, "RAPL disabled" },
	{ 24, "ciphertext hiding" },
	{ 25, "page swap disabled" },
	{ 0, NULL },
};

bool vm_type_made(const struct vm_type *type)
{
	return type->offered && type->create_error == 0;
}

int kvm_probe_error(const struct kvm *kvm)
{
	uint32_t type;

	for (type = 0; type < VM_TYPES; type++) {
		if (kvm->types[type].probe_error)
			return kvm->types[type].probe_error;
	}
	return 0;
}

bool probe_shows_type(const struct probe *probe, uint32_t type)
{
	if (probe->options.types)
		return probe->options.types >> type & 1;
	return true;
}

static uint64_t get_vm(const struct vm_type *type)
{
	return vm_type_made(type);
}

static uint64_t get_guest_memfd(const struct vm_type *type)
{
	return type->info.guest_memfd;
}

static uint64_t get_mmap(const struct vm_type *type)
{
	return type->info.mmap;
}

static uint64_t get_init_shared(const struct vm_type *type)
{
	return (type->info.guest_memfd_flags & GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED) != 0;
}

static uint64_t get_private_memory(const struct vm_type *type)
{
	return type->info.private_memory;
}

static uint64_t get_tracking(const struct vm_type *type)
{
	return type->info.tracking;
}

static uint64_t get_per_vm(const struct vm_type *type)
{
	return type->info.tracking == GMEM_TRACKING_VM;
}

static uint64_t get_in_place(const struct vm_type *type)
{
	return type->info.tracking == GMEM_TRACKING_FILE;
}

static uint64_t get_prefault(const struct vm_type *type)
{
	return type->info.prefault;
}

static uint64_t get_memory_fault_exit(const struct vm_type *type)
{
	return type->info.memory_fault_exit;
}

static uint64_t get_map_gpa_range_exit(const struct vm_type *type)
{
	return type->info.hypercall_exits >> GMEM_KVM_HC_MAP_GPA_RANGE & 1;
}

static uint64_t get_region2(const struct vm_type *type)
{
	return type->info.region2;
}

static uint64_t get_slots(const struct vm_type *type)
{
	return type->info.slots;
}

static uint64_t get_address_spaces(const struct vm_type *type)
{
	return type->info.address_spaces;
}

static uint64_t get_max_section(const struct vm_type *type)
{
	return type->info.max_section;
}

static uint64_t get_snp_features(const struct vm_type *type)
{
	return type->info.snp_features;
}

static uint64_t get_snp_policy(const struct vm_type *type)
{
	return type->info.snp_policy;
}

static const char *tracking_word(uint64_t value, bool for_people)
{
	switch (value) {
	case GMEM_TRACKING_VM:
		return for_people ? "per VM" : "vm";
	case GMEM_TRACKING_FILE:
		return for_people ? "in place" : "guest_memfd";
	default:
		return "none";
	}
}

const struct feature features[FEATURES] = {
	[FEATURE_VM] = { .name = "vm",
			 .title = "VM can be created",
			 .summary = "a VM of this type can be created",
			 .get = get_vm },
	[FEATURE_GUEST_MEMFD] = { .name = "guest_memfd",
				  .title = "guest_memfd",
				  .summary = "KVM_CREATE_GUEST_MEMFD works",
				  .get = get_guest_memfd },
	[FEATURE_MMAP] = { .name = "mmap",
			   .title = "guest_memfd: mmap by the host",
			   .summary = "a guest_memfd can be mapped by the host",
			   .get = get_mmap },
	[FEATURE_INIT_SHARED] = { .name = "init_shared",
				  .title = "guest_memfd: can start shared",
				  .summary = "a guest_memfd can start with all its pages shared",
				  .get = get_init_shared },
	[FEATURE_PRIVATE_MEMORY] = { .name = "private_memory",
				     .title = "private memory",
				     .summary = "pages can be private to the guest",
				     .get = get_private_memory },
	[FEATURE_TRACKING] = { .name = "tracking",
			       .title = "private/shared is tracked",
			       .kind = KIND_WORD,
			       .get = get_tracking,
			       .word = tracking_word },
	[FEATURE_PER_VM] = { .name = "per_vm_tracking",
			     .title = "private/shared is tracked per VM",
			     .summary = "the VM keeps track of which pages are private",
			     .json_only = true,
			     .get = get_per_vm },
	[FEATURE_IN_PLACE] = { .name = "in_place",
			       .title = "private/shared is tracked in place",
			       .summary = "each guest_memfd keeps track, and converts in place",
			       .json_only = true,
			       .get = get_in_place },
	[FEATURE_PREFAULT] = { .name = "prefault",
			       .title = "prefault of guest memory",
			       .summary = "KVM_PRE_FAULT_MEMORY works",
			       .get = get_prefault },
	[FEATURE_MEMORY_FAULT_EXIT] = { .name = "memory_fault_exit",
					.title = "memory-fault exit",
					.summary =
						"KVM_EXIT_MEMORY_FAULT says where an access failed",
					.get = get_memory_fault_exit },
	[FEATURE_MAP_GPA_RANGE_EXIT] = { .name = "map_gpa_range_exit",
					 .title = "map-gpa-range exit",
					 .summary =
						 "the guest's KVM_HC_MAP_GPA_RANGE exits to the VMM",
					 .get = get_map_gpa_range_exit },
	[FEATURE_REGION2] = { .name = "region2",
			      .title = "KVM_SET_USER_MEMORY_REGION2",
			      .summary = "KVM_SET_USER_MEMORY_REGION2, for guest_memfd memslots",
			      .get = get_region2 },
	[FEATURE_SLOTS] = { .name = "slots",
			    .title = "memslots",
			    .kind = KIND_NUMBER,
			    .get = get_slots },
	[FEATURE_ADDRESS_SPACES] = { .name = "address_spaces",
				     .title = "address spaces (2: with SMM)",
				     .kind = KIND_NUMBER,
				     .get = get_address_spaces },
	[FEATURE_MAX_SECTION] = { .name = "max_section",
				  .title = "largest memslot",
				  .kind = KIND_BYTES,
				  .get = get_max_section },
	[FEATURE_SNP_FEATURES] = { .name = "snp_features",
				   .title = "SNP: VMSA features",
				   .kind = KIND_BITS,
				   .get = get_snp_features,
				   .bits = snp_feature_bits },
	[FEATURE_SNP_POLICY] = { .name = "snp_policy",
				 .title = "SNP: policy bits",
				 .kind = KIND_BITS,
				 .get = get_snp_policy,
				 .bits = snp_policy_bits },
};

bool feature_present(const struct vm_type *type, enum feature_id id)
{
	return features[id].get(type) != 0;
}

enum feature_id feature_find(const char *name, size_t length)
{
	uint32_t id;

	for (id = 0; id < FEATURES; id++) {
		if (features[id].kind != KIND_YES_NO)
			continue;
		if (strlen(features[id].name) == length && !memcmp(features[id].name, name, length))
			break;
	}
	return id;
}

static uint32_t missing_from(const struct vm_type *type, uint32_t required)
{
	uint32_t missing = 0;
	uint32_t id;

	for (id = 0; id < FEATURES; id++) {
		if ((required >> id & 1) && !feature_present(type, id))
			missing |= UINT32_C(1) << id;
	}
	return missing;
}

static void check_chosen(struct requirement *requirement, const struct options *options,
			 const struct kvm *kvm)
{
	uint32_t type;

	requirement->satisfied = true;
	for (type = 0; type < VM_TYPES; type++) {
		if (!(options->types >> type & 1))
			continue;
		requirement->missing[type] = missing_from(&kvm->types[type], options->required);
		if (requirement->missing[type])
			requirement->satisfied = false;
	}
}

/* One type must have all; what the closest one lacks is what is worth telling. */
static void check_any(struct requirement *requirement, const struct options *options,
		      const struct kvm *kvm)
{
	uint32_t best = options->required;
	uint32_t best_type = VM_TYPE_DEFAULT;
	uint32_t missing;
	uint32_t type;

	for (type = 0; type < VM_TYPES; type++) {
		missing = missing_from(&kvm->types[type], options->required);
		if (__builtin_popcount(missing) < __builtin_popcount(best)) {
			best = missing;
			best_type = type;
		}
	}
	requirement->missing[best_type] = best;
	requirement->satisfied = best == 0;
}

void requirement_check(struct requirement *requirement, const struct options *options,
		       const struct kvm *kvm)
{
	*requirement = (struct requirement){ 0 };
	if (options->types)
		check_chosen(requirement, options, kvm);
	else
		check_any(requirement, options, kvm);
}
