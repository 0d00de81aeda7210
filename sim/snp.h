/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the simulator's core and its SNP firmware: what the core calls (sim_snp_*, made by
 * snp-*.c, or by snp-none.c in a build without a hash library), and what the firmware may use of
 * the core (the rest).
 *
 * Lock rule: the core holds the simulator's lock around every sim_snp_*() call, and the firmware
 * needs no lock of its own. It calls nothing that takes the lock (no public function of
 * gmem/sim.h, no door). All that it keeps of a VM hangs on vm->snp.
 */
#ifndef SIM_SNP_H
#define SIM_SNP_H

#include "kvm.h"

#include <gmem/sim.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_SNP_PAGE_SIZE 4096u /* the firmware's, whatever the host's */
#define SIM_SNP_DIGEST_SIZE 48u

struct sim_file;
struct sim_snp; /* the firmware's own, one a VM: see gmem_sim_vm_set_snp() */
struct sim_vcpu;
struct sim_vm;

/* ---- What the firmware provides. ---- */

/*
 * KVM_MEMORY_ENCRYPT_OP on a VM of type SNP. argument is the caller's address of a struct
 * sim_kvm_sev_cmd, not looked at yet and possibly not readable. Returns the ioctl's result: 0 or
 * a negative errno; has written back what the kernel writes back. (Failures set by
 * gmem_sim_fail() have been dealt with before and do not come here.)
 */
int gmem_sim_snp_command(struct gmem_sim *sim, struct sim_vm *vm, uint64_t argument);

/* Whether the launch of this VM makes KVM_PRE_FAULT_MEMORY -EOPNOTSUPP still: until FINISH. */
bool gmem_sim_snp_is_launching(const struct sim_vm *vm);

/* gmem_sim_get_snp_digest(): 0, -EPROTO, -EOPNOTSUPP. */
int gmem_sim_snp_get_digest(const struct sim_vm *vm, uint8_t digest[SIM_SNP_DIGEST_SIZE]);

/*
 * KVM_HAS_DEVICE_ATTR and KVM_GET_DEVICE_ATTR of group 1, on the system or a VM: 0 and the value,
 * or -ENXIO.
 */
int gmem_sim_snp_get_attribute(const struct gmem_sim *sim, uint64_t attribute, uint64_t *value);

/* Frees what hangs on vm->snp; it may be NULL. The VM's files and vCPUs may be gone already. */
void gmem_sim_snp_free(struct sim_snp *snp);

/* ---- What the core provides: the VM. ---- */

struct sim_snp *gmem_sim_vm_get_snp(const struct sim_vm *vm);
void gmem_sim_vm_set_snp(struct sim_vm *vm, struct sim_snp *snp);
bool gmem_sim_vm_tracks_per_file(const struct sim_vm *vm);

/* FINISH succeeded: from now on conversions of this VM's pages destroy contents. */
void gmem_sim_vm_set_launched(struct sim_vm *vm);

/* A request for certificates exits from now on. */
void gmem_sim_vm_set_certs(struct sim_vm *vm);

/* ---- Settings: GMEM_SIM_SNP_*, and the limits of gmem_sim_limit_cpuid(). ---- */

uint64_t gmem_sim_get_snp_policy(const struct gmem_sim *sim);
uint64_t gmem_sim_get_snp_features(const struct gmem_sim *sim);
uint64_t gmem_sim_get_snp_pages(
	const struct gmem_sim *sim); /* one LAUNCH_UPDATE's at most; 0: all */
bool gmem_sim_has_snp_certs(const struct gmem_sim *sim);
size_t gmem_sim_get_cpuid_limits(const struct gmem_sim *sim, const struct gmem_sim_cpuid **limits);

/* ---- Memory of the process that makes the call; never raises a signal. ---- */

/* 0, or -EFAULT when not all of it could be copied. */
int gmem_sim_copy_in(struct gmem_sim *sim, void *to, uint64_t from, size_t size);
int gmem_sim_copy_out(struct gmem_sim *sim, uint64_t to, const void *from, size_t size);

/* ---- Pages of the guest, 4 KiB each. ---- */

struct sim_guest_page {
	struct sim_file *file; /* NULL: it is gone, though the slot is there; S5 */
	uint64_t offset;       /* in file, 4 KiB aligned */
	uint64_t gpa;
	uint64_t slot_end; /* first guest-physical address after the memslot */
	bool is_private;   /* by the tracking that this VM has */
	bool is_assigned;  /* belongs to the guest in the firmware's table (RMP) */
};

/*
 * Looks for the memslot with guest_memfd (address space 0) at gpa, 4 KiB aligned. 0; -ENOENT: no
 * memslot there, or one without guest_memfd.
 */
int gmem_sim_find_guest_page(struct sim_vm *vm, uint64_t gpa, struct sim_guest_page *page);

/*
 * Private bytes of a page, 4096 of them: what the guest has there. A page without memory reads as
 * zeros. 0, -ENOMEM, -EIO (the file is gone).
 */
int gmem_sim_read_guest_page(const struct sim_guest_page *page, void *bytes);
int gmem_sim_write_guest_page(const struct sim_guest_page *page, const void *bytes);

/*
 * Puts the page into the firmware's table, or takes it out; the bytes stay. The core takes it out
 * when the page is converted to shared or punched. What is not in it when a guest first accesses
 * it privately after launch the core puts in. 0, -ENOMEM.
 */
int gmem_sim_assign_guest_page(const struct sim_guest_page *page);
int gmem_sim_release_guest_page(const struct sim_guest_page *page);

/* ---- vCPUs, for the VMSAs. ---- */

/*
 * Set with the ioctls of the same names; before that KVM's reset state (segment attributes as in
 * the VMCB: cs 9a, ss to gs 92, tr 83, ldtr 82; rdx 0x600; mxcsr 1f80, fcw 37f).
 */
struct sim_vcpu_state {
	struct sim_kvm_regs regs;
	struct sim_kvm_sregs sregs;
	struct sim_kvm_fpu fpu;
	uint64_t xcr0;
	uint64_t pat; /* MSR 0x277 */
	uint64_t dr6;
	uint64_t dr7;
};

/* Number of vCPUs, and the one at index, in the order of their creation. */
size_t gmem_sim_vm_vcpu_count(const struct sim_vm *vm);
struct sim_vcpu *gmem_sim_vm_get_vcpu(const struct sim_vm *vm, size_t index);
/*
 * Its VMSA is encrypted, whatever comes of FINISH: from now on the registers are the guest's alone
 * (KVM_SET_REGS and its like fail).
 */
void gmem_sim_vcpu_set_protected(struct sim_vcpu *vcpu);
uint32_t gmem_sim_vcpu_get_id(const struct sim_vcpu *vcpu);
const struct sim_vcpu_state *gmem_sim_vcpu_get_state(const struct sim_vcpu *vcpu);

/* The table of KVM_SET_CPUID2; 0 entries when none was set. */
size_t gmem_sim_vcpu_get_cpuid(const struct sim_vcpu *vcpu,
			       const struct sim_kvm_cpuid_entry2 **entries);

#endif /* SIM_SNP_H */
