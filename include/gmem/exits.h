/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/exits.h
 * @brief Answering the exits in which a guest asks for memory to be converted.
 */
#ifndef GMEM_EXITS_H
#define GMEM_EXITS_H

#include <gmem/base.h>
#include <gmem/report.h>
#include <gmem/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @name What gmem_vm_handle_exit() says is to be done next
 * @{ */
#define GMEM_EXIT_NOT_MINE 0 /**< the exit is the caller's to handle */
#define GMEM_EXIT_RESUME 1   /**< it is handled: KVM_RUN again */
/**
 * The retry policy said GMEM_RETRY_LATER, and the guest has no answer yet: do what there is to do,
 * then call gmem_vm_handle_exit() again with the same arguments, before KVM_RUN. (An SNP guest that
 * were told to try again would end.) The request is then made anew, all of it: somebody else may
 * have converted what was done already. That changes nothing where nobody has, and listeners hear
 * of what still changes alone; but it makes the kernel's calls again, and the report is of this
 * time.
 */
#define GMEM_EXIT_REPEAT 2
/** @} */

/**
 * @brief Has KVM leave to the host for the guest's request to convert memory, the hypercall
 * MAP_GPA_RANGE (KVM_ENABLE_CAP of KVM_CAP_EXIT_HYPERCALL). Before the first vCPU runs.
 *
 * KVM sets the hypercalls that exit all at once: a program that wants others too makes the call
 * itself, with bit 12 (KVM_HC_MAP_GPA_RANGE) among them.
 *
 * @param vm  not NULL
 * @return 0; -EINVAL, -EOPNOTSUPP (this kernel, VM or architecture has no such exit), -EIO.
 *         Threads: any. Since: 0.1
 */
GMEM_API int gmem_vm_enable_exits(struct gmem_vm *vm);

/**
 * @brief Handles KVM_EXIT_HYPERCALL with MAP_GPA_RANGE, and KVM_EXIT_MEMORY_FAULT.
 *
 * To be called after every KVM_RUN, before anything else looks at exit_reason. The value says what
 * to do next, not whether the guest got what it wanted: a hypercall that was refused is answered in
 * hypercall.ret with an error that KVM can pass on (EAGAIN for -EAGAIN and -ENOMEM, EINVAL for all
 * others; positive), and the vCPU can go on; report->error says why. SNP guests end on EAGAIN: for
 * them a retry policy waits without end, or answers GMEM_RETRY_LATER.
 * On a VM without private memory neither exit is about conversion, and both are the caller's.
 *
 * Everything in the exit is the guest's, and not trusted. What is wrong with it is logged at level
 * debug; what the kernel fails at, and what a listener refuses, as an error, with no other message
 * for the exit. Of either some ten are sent in a second, for the guest can ask again and again; what
 * else would be heard is counted (gmem_vm_stats.messages_dropped), and all that is refused
 * (exits_refused).
 *
 * A fault on a page whose state is as the access wants it may come from another vCPU having been
 * faster: then the vCPU resumes. If it comes again and again though nothing was converted
 * meanwhile, something else is wrong (no memslot, somebody else who converts), and after
 * GMEM_EXIT_FAULTS_MAX times this is -EIO.
 *
 * @param vm         not NULL
 * @param vcpu_fd    of the vCPU that left, for prefaults (gmem_vm_config_set_prefault()); -1: none
 * @param kvm_run    not NULL: its struct kvm_run, as the kernel left it
 * @param run_error  0 when KVM_RUN returned 0, else the errno it set, positive (EFAULT with
 *                   KVM_EXIT_MEMORY_FAULT). With any other error exit_reason is not this exit's,
 *                   and the answer is GMEM_EXIT_NOT_MINE. A negative one is -EINVAL.
 * @param[out] report  NULL or what was done; error 0 and stage GMEM_STAGE_DONE when nothing was
 * @return GMEM_EXIT_*; or a negative errno where running the vCPU again would fault again: -EINVAL
 *         (also kvm_run is NULL, run_error negative), -ENOENT, -EACCES, -EAGAIN, -ECANCELED,
 *         -ENOMEM, -EDEADLK, -EIO, as gmem_vm_convert(). Threads: any; in general the vCPU's.
 *         Since: 0.1
 */
GMEM_API int gmem_vm_handle_exit(struct gmem_vm *vm, int vcpu_fd, void *kvm_run, int run_error,
				 struct gmem_report *report);

/** Times in a row that one vCPU may fault on one page for which there is nothing to change. */
#define GMEM_EXIT_FAULTS_MAX 16u

#ifdef __cplusplus
}
#endif

#endif /* GMEM_EXITS_H */
