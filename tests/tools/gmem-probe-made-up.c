// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Stands in for the part of gmem-probe that asks KVM, so that the rest can be tested on VM types
 * that no machine has all of. What KVM is to look like is in the environment's
 * GMEM_PROBE_MADE_UP: words "TYPE:PROPERTY,PROPERTY...", with types by their names and properties
 *
 *   mmap     guest_memfd, mapped and shared from the start
 *   vm       private memory, tracked by the VM
 *   file     private memory, tracked by the guest_memfd, and mmap
 *   bits     every SNP feature and policy bit that has a name
 *   old      nothing at all, as before guest_memfd
 *   busy     KVM_CREATE_VM fails
 *   broken   libgmem fails on it, with a message that JSON must escape
 *
 * The word "kvm:PROPERTY" is about the device:
 *
 *   new      it also offers a VM type that has no name yet, 9
 *   group    it belongs to a group that the user is not in
 *   refused  its permissions are good, but the kernel refuses
 */
#include "tools/gmem-probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void have_common(struct gmem_vm_info *info)
{
	info->page_size = 4096;
	info->max_section = (UINT64_C(8) << 40) - 4096;
	info->slots = 32764;
	info->address_spaces = 1;
	info->region2 = 1;
	info->memory_fault_exit = 1;
	info->prefault = 1;
	info->tracking = GMEM_TRACKING_NONE;
}

static void have_private(struct gmem_vm_info *info, uint32_t tracking)
{
	info->guest_memfd = 1;
	info->private_memory = 1;
	info->tracking = tracking;
	info->hypercall_exits = UINT64_C(1) << 12;
}

static void have_mmap(struct gmem_vm_info *info)
{
	info->guest_memfd = 1;
	info->mmap = 1;
	info->guest_memfd_flags = 3;
}

static void set_property(struct vm_type *type, const char *property)
{
	if (!strcmp(property, "mmap")) {
		have_mmap(&type->info);
	} else if (!strcmp(property, "vm")) {
		have_private(&type->info, GMEM_TRACKING_VM);
	} else if (!strcmp(property, "file")) {
		have_private(&type->info, GMEM_TRACKING_FILE);
		have_mmap(&type->info);
	} else if (!strcmp(property, "bits")) {
		type->info.snp_features = 0x221;
		type->info.snp_policy = 0x3fdffff;
	} else if (!strcmp(property, "old")) {
		memset(&type->info, 0, sizeof(type->info));
		type->info.tracking = GMEM_TRACKING_NONE;
	} else if (!strcmp(property, "busy")) {
		memset(&type->info, 0, sizeof(type->info));
		type->create_error = EBUSY;
	} else if (!strcmp(property, "broken")) {
		memset(&type->info, 0, sizeof(type->info));
		type->probe_error = EIO;
		snprintf(
			type->message, sizeof(type->message),
			"VM: \"quoted\" \\ back\ttab \001 \xff \xc3\xa4 \xed\xa0\x80 \xc0\xaf end");
	} else {
		abort();
	}
}

static void deny(struct kvm *kvm, int error)
{
	kvm->state = KVM_DENIED;
	kvm->error = error;
	kvm->node_mode = 0660;
	snprintf(kvm->node_owner, HOST_WORD, "root");
	snprintf(kvm->node_group, HOST_WORD, "virt");
}

static void set_device(struct kvm *kvm, const char *property)
{
	if (!strcmp(property, "new"))
		kvm->vm_types |= UINT64_C(1) << 9;
	else if (!strcmp(property, "group"))
		deny(kvm, EACCES);
	else if (!strcmp(property, "refused"))
		deny(kvm, EPERM);
	else
		abort();
}

static void make_type(struct kvm *kvm, char *word)
{
	char *colon = strchr(word, ':');
	struct vm_type *type;
	char *state = NULL;
	char *property;
	uint32_t number;

	if (!colon)
		abort();
	*colon = '\0';
	if (!strcmp(word, "kvm")) {
		set_device(kvm, colon + 1);
		return;
	}
	for (number = 0; number < VM_TYPES; number++) {
		if (!strcmp(word, vm_type_names[number]))
			break;
	}
	if (number == VM_TYPES)
		abort();
	type = &kvm->types[number];
	type->offered = true;
	kvm->vm_types |= UINT64_C(1) << number;
	have_common(&type->info);
	for (property = strtok_r(colon + 1, ",", &state); property;
	     property = strtok_r(NULL, ",", &state))
		set_property(type, property);
}

int kvm_probe(struct kvm *kvm, const struct options *options)
{
	const char *text = getenv("GMEM_PROBE_MADE_UP");
	char *copy = strdup(text ? text : "");
	bool made = false;
	char *state = NULL;
	char *word;
	uint32_t number;

	if (!copy)
		return -ENOMEM;
	*kvm = (struct kvm){ .api_version = 12 };
	snprintf(kvm->path, sizeof(kvm->path), "%s/dev/kvm", options->root);
	for (word = strtok_r(copy, " ", &state); word; word = strtok_r(NULL, " ", &state))
		make_type(kvm, word);
	for (number = 0; number < VM_TYPES; number++)
		made = made || vm_type_made(&kvm->types[number]);
	if (!made && kvm->state == KVM_USABLE) {
		kvm->state = KVM_NO_VM;
		kvm->error = kvm->types[VM_TYPE_DEFAULT].create_error;
	}
	free(copy);
	return 0;
}
