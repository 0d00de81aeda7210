// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM: made, counted, asked, and let go. */
#include "vm.h"

#include "exits.h"
#include "layout.h"
#include "log.h"
#include "pin_table.h"
#include "region.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int gmem_vm_check(const struct gmem_vm *vm, const char *function)
{
	if (!vm) {
		log_error(NULL, "%s: vm is NULL, it must be a VM", function);
		return -EINVAL;
	}
	if (vm_is_forked(vm)) {
		log_error(vm->ctx,
			  "%s: VM descriptor %d is the parent's; a child made by fork() cannot "
			  "use it",
			  function, vm->fd);
		return -EIO;
	}
	return 0;
}

struct gmem_vm *gmem_vm_get(struct gmem_vm *vm)
{
	atomic_fetch_add_explicit(&vm->references, 1, memory_order_relaxed);
	return vm;
}

static int mark_process(struct gmem_vm *vm)
{
	int64_t address = gmem_kernel_mmap(&vm->kernel, 0, vm->caps.page_size,
					   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					   0);
	int rc;

	if (address < 0) {
		log_error(vm->ctx, "VM descriptor %d: no page to mark this process with: %s",
			  vm->fd, gmem_error_name((int)address));
		return -ENOMEM;
	}
	vm->mark = (_Atomic uint32_t *)(uintptr_t)address;
	rc = gmem_kernel_madvise(&vm->kernel, (uint64_t)address, vm->caps.page_size,
				 MADV_WIPEONFORK);
	if (rc) {
		log_error(vm->ctx, "VM descriptor %d: MADV_WIPEONFORK gives %s, Linux 4.14 has it",
			  vm->fd, gmem_error_name(rc));
		return -EIO;
	}
	atomic_store(vm->mark, 1);
	return 0;
}

static int check_tracking(const struct gmem_vm *vm)
{
	const struct caps *caps = &vm->caps;
	uint32_t wanted = vm->config.tracking;

	if (wanted > GMEM_TRACKING_FILE) {
		log_error(vm->ctx, "VM descriptor %d: tracking %u is none of GMEM_TRACKING_*",
			  vm->fd, wanted);
		return -EINVAL;
	}
	if (wanted == GMEM_TRACKING_AUTO || wanted == GMEM_TRACKING_NONE ||
	    wanted == caps->tracking)
		return 0;
	if (!caps->have_kvm)
		log_error(vm->ctx,
			  "no VM descriptor: tracking %s was asked for, and takes one of a VM with "
			  "private memory",
			  gmem_caps_tracking_name(wanted));
	else if (!caps->guest_memfd)
		log_error(vm->ctx,
			  "VM descriptor %d: tracking %s was asked for, but this kernel has no "
			  "guest_memfd for this VM; Linux 6.8 with CONFIG_KVM_GUEST_MEMFD has it",
			  vm->fd, gmem_caps_tracking_name(wanted));
	else if (wanted == GMEM_TRACKING_VM)
		log_error(vm->ctx,
			  "VM descriptor %d: tracking per VM was asked for, but "
			  "KVM_CAP_MEMORY_ATTRIBUTES is %#llx, without PRIVATE; it takes a VM type "
			  "with private memory, and a KVM that does not track per guest_memfd",
			  vm->fd, (unsigned long long)caps->attributes);
	else
		log_error(vm->ctx,
			  "VM descriptor %d: tracking per guest_memfd was asked for, but %s; it "
			  "takes a VM type with private memory, and a KVM with in-place conversion "
			  "(parameter gmem_in_place_conversion)",
			  vm->fd,
			  caps->in_place_ioctl ? "this VM has no private memory"
					       : "KVM_SET_MEMORY_ATTRIBUTES2 is missing");
	return -EOPNOTSUPP;
}

static int check_config(struct gmem_vm *vm)
{
	struct gmem_vm_config *config = &vm->config;
	uint32_t last;

	if (config->no_memory_for_pause || config->no_memory_for_retry) {
		log_error(vm->ctx, "VM descriptor %d: no memory for the %s callback", vm->fd,
			  config->no_memory_for_pause ? "pause" : "retry");
		return -ENOMEM;
	}
	if (config->flags & ~(GMEM_VM_GAPS_REFUSE | GMEM_VM_GAPS_SKIP) ||
	    config->flags == (GMEM_VM_GAPS_REFUSE | GMEM_VM_GAPS_SKIP)) {
		log_error(vm->ctx,
			  "VM descriptor %d: flags are %#x; they must be GMEM_VM_GAPS_REFUSE, "
			  "GMEM_VM_GAPS_SKIP or 0",
			  vm->fd, config->flags);
		return -EINVAL;
	}
	if (!config->pause != !config->resume) {
		log_error(vm->ctx, "VM descriptor %d: the %s callback is NULL, the other is not",
			  vm->fd, config->pause ? "resume" : "pause");
		return -EINVAL;
	}
	if (vm->caps.have_kvm &&
	    (config->first_slot >= vm->caps.slots ||
	     __builtin_add_overflow(config->first_slot, config->slot_count, &last) ||
	     last > vm->caps.slots)) {
		log_error(vm->ctx,
			  "VM descriptor %d: %u memslots (0: all) from number %u on are not to be "
			  "had; the kernel has %u, from 0 on",
			  vm->fd, config->slot_count, config->first_slot, vm->caps.slots);
		return -EINVAL;
	}
	if (!config->slot_count && vm->caps.have_kvm)
		config->slot_count = vm->caps.slots - config->first_slot;
	return check_tracking(vm);
}

static void copy_config(struct gmem_vm *vm, const struct gmem_vm_config *config)
{
	gmem_vm_config_init(&vm->config);
	if (!config)
		return;
	vm->config = *config;
	gmem_closure_get(vm->config.closure);
	gmem_closure_get(vm->config.retry_closure);
}

/* Gives back what vm_create() and gmem_vm_new() had made when the last reference goes. */
static void vm_destroy(struct gmem_vm *vm)
{
	gmem_layout_free(vm->layout);
	gmem_shadows_free(vm);
	if (vm->mark)
		gmem_kernel_munmap(&vm->kernel, address_of(vm->mark), vm->caps.page_size);
	gmem_closure_put(vm->config.closure);
	gmem_closure_put(vm->config.retry_closure);
	gmem_pin_table_release(vm);
	gmem_exit_guard_free(vm);
	pthread_mutex_destroy(&vm->shadows_lock);
	gmem_ctx_put(vm->ctx);
	free(vm);
}

static struct gmem_vm *vm_create(struct gmem_ctx *ctx, int vm_fd,
				 const struct gmem_vm_config *config)
{
	struct gmem_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->ctx = gmem_ctx_get(ctx);
	if (!vm->ctx) {
		free(vm);
		return NULL;
	}
	atomic_init(&vm->references, 1);
	pthread_mutex_init(&vm->shadows_lock, NULL);
	vm->kernel = vm->ctx->kernel;
	vm->fd = vm_fd;
	copy_config(vm, config);
	return vm;
}

static int vm_setup(struct gmem_vm *vm)
{
	int rc = gmem_caps_probe(&vm->caps, vm->ctx, &vm->kernel, vm->fd);

	if (!rc)
		rc = check_config(vm);
	if (rc)
		return rc;
	vm->tracking = vm->config.tracking == GMEM_TRACKING_NONE ? GMEM_TRACKING_NONE
								 : vm->caps.tracking;
	rc = mark_process(vm);
	if (!rc && gmem_pin_table_init(vm)) {
		log_error(vm->ctx, "VM descriptor %d: no memory for its table of pins", vm->fd);
		rc = -ENOMEM;
	}
	if (!rc && gmem_exit_guard_new(vm)) {
		log_error(vm->ctx, "VM descriptor %d: no memory for what it keeps of exits",
			  vm->fd);
		rc = -ENOMEM;
	}
	vm->place = gmem_layout_place;
	return rc ? rc : gmem_layout_new(vm, &vm->layout);
}

int gmem_vm_new(struct gmem_ctx *ctx, int vm_fd, const struct gmem_vm_config *config,
		struct gmem_vm **vm)
{
	struct gmem_vm *made;
	int rc;

	if (!vm) {
		log_error(ctx, "gmem_vm_new: vm is NULL, it must be an address");
		return -EINVAL;
	}
	*vm = NULL;
	if (vm_fd < -1) {
		log_error(ctx, "gmem_vm_new: VM descriptor %d; it must be -1 or more", vm_fd);
		return -EINVAL;
	}
	if (ctx && !ctx->kernel.call) {
		log_error(ctx, "gmem_vm_new: the context's kernel has no function to call");
		return -EINVAL;
	}
	made = vm_create(ctx, vm_fd, config);
	if (!made) {
		log_error(ctx, "VM descriptor %d: no memory for its gmem_vm of %zu bytes", vm_fd,
			  sizeof(*made));
		return -ENOMEM;
	}
	rc = vm_setup(made);
	if (rc)
		gmem_vm_put(made);
	else
		*vm = made;
	return rc;
}

void gmem_vm_put(struct gmem_vm *vm)
{
	if (atomic_fetch_sub_explicit(&vm->references, 1, memory_order_acq_rel) == 1)
		vm_destroy(vm);
}

void gmem_vm_free(struct gmem_vm *vm)
{
	if (!vm)
		return;
	atomic_store(&vm->ended, true);
	gmem_layout_clear(vm->layout);
	gmem_vm_put(vm);
}

int gmem_vm_get_info(struct gmem_vm *vm, struct gmem_vm_info *info)
{
	const struct caps *caps;
	int rc = gmem_vm_check(vm, "gmem_vm_get_info");

	if (rc)
		return rc;
	if (!info) {
		log_error(vm->ctx, "gmem_vm_get_info: info is NULL, it must be an address");
		return -EINVAL;
	}
	caps = &vm->caps;
	*info = (struct gmem_vm_info){
		.page_size = caps->page_size,
		.attributes = caps->attributes,
		.guest_memfd_flags = caps->guest_memfd_flags,
		.vm_types = caps->vm_types,
		.hypercall_exits = caps->hypercall_exits,
		.snp_features = caps->snp_features,
		.snp_policy = caps->snp_policy,
		.max_section = caps->max_section,
		.tracking = vm->tracking,
		.guest_memfd = caps->guest_memfd,
		.mmap = gmem_caps_have_mmap(caps),
		.private_memory = vm_has_private(vm),
		.prefault = caps->prefault,
		.memory_fault_exit = caps->memory_fault_exit,
		.region2 = caps->region2,
		.address_spaces = caps->address_spaces,
		.slots = caps->slots,
		.slots_used = gmem_layout_slots_used(vm->layout),
	};
	if (caps->tracking == GMEM_TRACKING_FILE)
		info->attributes |= GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE;
	return 0;
}
