/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/measure.h
 * @brief The SNP launch digest without a launch.
 *
 * What is added here in the order of a launch gives the digest of that launch. A digest so far is
 * also a seed: measure the firmware once, and go on from there for each vCPU count. Needs no KVM.
 * In a library built without libgcrypt gmem_snp_measure_new() and gmem_snp_hashes_compute() return
 * -EOPNOTSUPP.
 *
 * Hashing is libgcrypt's. A program that uses libgcrypt itself initialises it before it first calls
 * a function of this header, or leaves it to the library, which does it once, without a pool of
 * locked memory.
 */
#ifndef GMEM_MEASURE_H
#define GMEM_MEASURE_H

#include <gmem/base.h>
#include <gmem/ctx.h>
#include <gmem/ovmf.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gmem_snp_measure;

/** Bytes of a launch digest: SHA-384. */
#define GMEM_SNP_DIGEST_SIZE 48u

/** Bytes of the firmware's pages, whatever the host's. */
#define GMEM_SNP_PAGE_SIZE 4096u

/** Guest-physical address that KVM measures every VMSA at. */
#define GMEM_SNP_VMSA_GPA UINT64_C(0xfffffffff000)

/** Threads that may hash at once. */
#define GMEM_SNP_THREADS_MAX 256u

/** @name Page types; the numbers are the firmware's
 * @{ */
#define GMEM_SNP_PAGE_NORMAL 1u     /**< contents are measured */
#define GMEM_SNP_PAGE_VMSA 2u       /**< contents are measured; in a launch KVM adds these */
#define GMEM_SNP_PAGE_ZERO 3u       /**< the guest finds zeros */
#define GMEM_SNP_PAGE_UNMEASURED 4u /**< the guest finds what the host has put there */
#define GMEM_SNP_PAGE_SECRETS 5u    /**< filled in by the firmware */
#define GMEM_SNP_PAGE_CPUID 6u      /**< checked by the firmware */
/** @} */

/** @name Whose way of launching, and of starting vCPUs
 * @{ */
#define GMEM_SNP_VMM_KVM 0u  /**< vCPUs as KVM makes them, whose registers nobody has set */
#define GMEM_SNP_VMM_QEMU 1u /**< QEMU */
#define GMEM_SNP_VMM_EC2 2u  /**< Amazon EC2: the CPUID page comes last */
#define GMEM_SNP_VMM_GCE 3u  /**< Google Compute Engine: SEC_MEM is not measured */
/** @} */

/** SHA-256 of what is booted, for the kernel hashes page. Frozen. */
struct gmem_snp_hashes {
	uint8_t kernel[32];
	uint8_t initrd[32];
	uint8_t cmdline[32];
};

/**
 * @brief Hashes kernel, initrd and command line. A caller that has the sums from elsewhere fills
 * the struct itself.
 *
 * @param ctx          NULL for the default
 * @param kernel       the whole file, not NULL
 * @param kernel_size  in bytes, not 0
 * @param initrd       NULL with size 0 for none
 * @param initrd_size  in bytes
 * @param cmdline      hashed with its NUL; NULL for ""
 * @param[out] hashes  all zeros on failure
 * @return 0; -EINVAL, -EOPNOTSUPP. Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_hashes_compute(struct gmem_ctx *ctx, const void *kernel, size_t kernel_size,
				     const void *initrd, size_t initrd_size, const char *cmdline,
				     struct gmem_snp_hashes *hashes);

/**
 * @brief Starts a digest.
 *
 * @param ctx           NULL for the default
 * @param seed          48 bytes: a digest to go on from; NULL to start
 * @param[out] measure  owned by the caller: gmem_snp_measure_free(); NULL on failure
 * @return 0; -EINVAL, -ENOMEM, -EOPNOTSUPP (this build has no libgcrypt, or the one installed may
 *         not hash). Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_measure_new(struct gmem_ctx *ctx, const uint8_t *seed,
				  struct gmem_snp_measure **measure);

/**
 * @brief Gives it back.
 *
 * @param measure  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_snp_measure_free(struct gmem_snp_measure *measure);

/**
 * One group of like pages at addresses that follow each other, or of VMSAs. Filled in by the
 * library.
 */
struct gmem_snp_step {
	uint64_t gpa;   /**< of the first page; of all of them where type is VMSA */
	uint64_t pages; /**< of 4 KiB, at least 1 */
	uint32_t type;  /**< GMEM_SNP_PAGE_* */
	uint32_t vcpu;  /**< VMSA: the index of the first vCPU; else 0 */
	/** Metadata section that it stands for, counted from 1; 0: none (the image, VMSAs, pages) */
	uint32_t section;
	uint32_t section_type;                /**< GMEM_OVMF_* of it; 0: none */
	uint8_t digest[GMEM_SNP_DIGEST_SIZE]; /**< after the group */
	uint64_t reserved[6];
};

/**
 * Told of one group. Runs on the thread that adds; it may not add to this measure (-EDEADLK), set
 * anything of it or free it.
 */
typedef void (*gmem_snp_step_fn)(const struct gmem_snp_step *step, void *opaque);

/**
 * @brief Has every group told with the digest after it, in the order of the digest. A call that
 * adds tells its groups when all of them are added; when it fails, it tells none.
 *
 * @param measure  NULL: nothing happens, but opaque is freed
 * @param fn       NULL for none
 * @param opaque   for fn
 * @param free_fn  for opaque, may be NULL
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_snp_measure_set_observer(struct gmem_snp_measure *measure, gmem_snp_step_fn fn,
					    void *opaque, gmem_free_fn free_fn);

/**
 * @brief Lets contents be hashed by several threads, which have ended when the call that hashes
 * returns. Where fewer can be had, these do the work. The digest is the same.
 *
 * @param measure  NULL is ignored
 * @param threads  1 (the default: the calling thread) to GMEM_SNP_THREADS_MAX; judged by what
 *                 hashes
 *
 * Threads: one. Since: 0.1
 */
GMEM_API void gmem_snp_measure_set_threads(struct gmem_snp_measure *measure, uint32_t threads);

/**
 * @brief Adds pages. Pages with the same contents are hashed once in a call.
 *
 * @param measure  not NULL
 * @param gpa      of the first page, aligned to 4 KiB. VMSA: each page is measured at this one
 *                 address (KVM: GMEM_SNP_VMSA_GPA), and counts as one more vCPU
 * @param data     NORMAL and VMSA: size bytes; else NULL
 * @param size     in bytes, a multiple of 4 KiB, not 0; gpa + size is at most 2^52. NORMAL and
 *                 VMSA take memory of 2% of it meanwhile
 * @param type     GMEM_SNP_PAGE_*
 * @return 0; -EINVAL, -ENOMEM, -EDEADLK (from the observer), -EOPNOTSUPP (libgcrypt has stopped
 *         hashing). Threads: one. Since: 0.1
 */
GMEM_API int gmem_snp_measure_add(struct gmem_snp_measure *measure, uint64_t gpa, const void *data,
				  uint64_t size, uint32_t type);

/**
 * @brief Adds a firmware image and its metadata sections: the image as NORMAL pages, then SEC_MEM
 * and SVSM_CAA as ZERO pages (GCE: SEC_MEM as UNMEASURED), SECRETS and CPUID as such, and the page
 * of KERNEL_HASHES as NORMAL, or as ZERO without hashes; in the image's order (EC2: CPUID last).
 *
 * @param measure  not NULL
 * @param ovmf     not NULL; not needed any more after the call
 * @param vmm      GMEM_SNP_VMM_*
 * @param hashes   for the kernel hashes page; NULL: none
 * @return 0; -EINVAL, -ENOMEM, -EBADMSG (a section of a type not known; hashes, but the image's
 *         table for them is too small or outside of its page), -ENOENT (hashes, but the image has
 *         no table or no page for them), -EDEADLK (from the observer), -EOPNOTSUPP (libgcrypt has
 *         stopped hashing). Threads: one; any for ovmf. Since: 0.1
 */
GMEM_API int gmem_snp_measure_add_ovmf(struct gmem_snp_measure *measure,
				       const struct gmem_ovmf *ovmf, uint32_t vmm,
				       const struct gmem_snp_hashes *hashes);

/**
 * @brief Adds the VMSAs of some vCPUs in their first state, as gmem_snp_vmsa_build() makes them.
 * Those with the same contents are hashed once.
 *
 * @param measure    not NULL
 * @param vmm        GMEM_SNP_VMM_*
 * @param first      index of the first; 0 is the boot processor
 * @param count      how many, not 0; in steps, or all at once. first + count is at most 2^32 - 1
 * @param ap_reset   gmem_ovmf_info.ap_reset
 * @param signature  CPUID leaf 1 EAX, counts with GMEM_SNP_VMM_QEMU
 * @param features   VMSA features, as KVM_SEV_INIT2 takes them; SNP active (bit 0) is added
 * @return 0; -EINVAL, -ENOMEM, -EDEADLK (from the observer), -EOPNOTSUPP (libgcrypt has stopped
 *         hashing). Threads: one. Since: 0.1
 */
GMEM_API int gmem_snp_measure_add_vcpus(struct gmem_snp_measure *measure, uint32_t vmm,
					uint32_t first, uint32_t count, uint32_t ap_reset,
					uint32_t signature, uint64_t features);

/**
 * @brief Makes the VMSA page of a vCPU in its first state: to look at, or to change and add with
 * GMEM_SNP_PAGE_VMSA for a VMM that starts vCPUs in a way of its own. Needs no libgcrypt.
 *
 * @param ctx        NULL for the default
 * @param vmm        GMEM_SNP_VMM_*
 * @param index      of the vCPU; 0, the boot processor, starts at 0xfffffff0
 * @param ap_reset   where the others start: the high half is the base of CS, the low half RIP. With
 *                   GMEM_SNP_VMM_KVM it does not count: all start as the first
 * @param signature  CPUID leaf 1 EAX, counts with GMEM_SNP_VMM_QEMU
 * @param features   VMSA features, as KVM_SEV_INIT2 takes them; SNP active (bit 0) is added
 * @param[out] vmsa  4096 bytes
 * @return 0; -EINVAL. Threads: any. Since: 0.1
 */
GMEM_API int gmem_snp_vmsa_build(struct gmem_ctx *ctx, uint32_t vmm, uint32_t index,
				 uint32_t ap_reset, uint32_t signature, uint64_t features,
				 uint8_t vmsa[GMEM_SNP_PAGE_SIZE]);

/**
 * @brief The digest of all that was added; more may be added after.
 *
 * @param measure      not NULL
 * @param[out] digest  48 bytes
 * @return 0; -EINVAL. Threads: one. Since: 0.1
 */
GMEM_API int gmem_snp_measure_get_digest(const struct gmem_snp_measure *measure,
					 uint8_t digest[GMEM_SNP_DIGEST_SIZE]);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_MEASURE_H */
