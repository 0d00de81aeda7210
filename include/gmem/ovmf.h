/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * @file gmem/ovmf.h
 * @brief Reading a firmware image: OVMF's GUIDed table and SEV metadata.
 *
 * The image is not trusted: every offset and length in it is checked once, when the object is
 * made, and what is read later was found to be whole. Needs neither KVM nor libgcrypt.
 *
 * What an image may not have: entries that run out of the table or a table that runs out of the
 * image; two entries of one GUID; an entry that is shorter than what it must say; metadata of
 * another version; sections of the metadata that overlap each other or the image, run beyond
 * 4 GiB, or are not made of whole pages; a second section for kernel hashes. Measuring tools and
 * VMMs differ in what they make of such images, so none is taken.
 *
 * What it may have: no GUIDed table at all (then it says nothing of itself); entries and section
 * types that this library does not know; sections in any order; sections of 0 bytes, which count
 * for nothing, wherever they are; several sections of one type.
 */
#ifndef GMEM_OVMF_H
#define GMEM_OVMF_H

#include <gmem/base.h>
#include <gmem/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gmem_ovmf;

/** @name Sizes
 * @{ */
#define GMEM_OVMF_SIZE_MIN 4096u      /**< bytes of an image, at least */
#define GMEM_OVMF_SIZE_MAX 0x4000000u /**< at most: 64 MiB */
#define GMEM_OVMF_SECTIONS_MAX 1024u  /**< metadata sections of an image */
/** @} */

/** @name Types of metadata sections (others are passed through)
 * @{ */
#define GMEM_OVMF_SEC_MEM 1u          /**< memory the firmware uses before it accepts pages */
#define GMEM_OVMF_SECRETS 2u          /**< the secrets page */
#define GMEM_OVMF_CPUID 3u            /**< the CPUID page */
#define GMEM_OVMF_SVSM_CAA 4u         /**< calling area of an SVSM */
#define GMEM_OVMF_KERNEL_HASHES 0x10u /**< the page of kernel hashes */
/** @} */

/**
 * @brief Reads an image.
 *
 * @param ctx        NULL for the default
 * @param image      copied
 * @param size       in bytes: GMEM_OVMF_SIZE_MIN to GMEM_OVMF_SIZE_MAX, a multiple of 4 KiB
 * @param[out] ovmf  owned by the caller: gmem_ovmf_free(); NULL on failure
 * @return 0; -EINVAL, -ENOMEM, -EBADMSG (the image has what it may not have: the message says
 *         which entry or section, and what would be right). Threads: any. Since: 0.1
 */
GMEM_API int gmem_ovmf_new(struct gmem_ctx *ctx, const void *image, size_t size,
			   struct gmem_ovmf **ovmf);

/**
 * @brief Gives it back.
 *
 * @param ovmf  NULL is ignored
 *
 * Threads: last. Since: 0.1
 */
GMEM_API void gmem_ovmf_free(struct gmem_ovmf *ovmf);

/** What an image says of itself. Zero where it says nothing. Filled in by the library. */
struct gmem_ovmf_info {
	uint64_t gpa;      /**< where it belongs: its last byte is the last below 4 GiB */
	uint64_t size;     /**< in bytes */
	uint32_t sections; /**< SEV metadata sections, those of 0 bytes too */
	uint32_t ap_reset; /**< where vCPUs other than the first start: see gmem_snp_vmsa_build() */
	uint32_t hashes_gpa;  /**< kernel hash table */
	uint32_t hashes_size; /**< in bytes; 0: the image takes no hashes */
	uint32_t svsm;        /**< 1: it has SVSM information */
	uint32_t svsm_offset; /**< of the SVSM's entry point in the image, as the image says it */
	uint64_t reserved[8];
};

/**
 * @brief Asks what the image says of itself.
 *
 * @param ovmf       not NULL
 * @param[out] info  not NULL
 * @return 0; -EINVAL. Threads: any. Since: 0.1
 */
GMEM_API int gmem_ovmf_get_info(const struct gmem_ovmf *ovmf, struct gmem_ovmf_info *info);

/** One metadata section, as the image has it. Frozen. */
struct gmem_ovmf_section {
	uint64_t gpa;  /**< guest-physical address */
	uint64_t size; /**< in bytes; may be 0 */
	uint32_t type; /**< GMEM_OVMF_* or one not known */
	uint32_t pad;  /**< 0 */
};

/**
 * @brief Asks for one metadata section, in the image's order, which counts for the launch digest.
 *
 * @param ovmf          not NULL
 * @param index         0 to gmem_ovmf_info.sections - 1
 * @param[out] section  not NULL
 * @return 0; -EINVAL, -ENOENT (no such index). Threads: any. Since: 0.1
 */
GMEM_API int gmem_ovmf_get_section(const struct gmem_ovmf *ovmf, uint32_t index,
				   struct gmem_ovmf_section *section);

/**
 * @brief Looks an entry of the GUIDed table up.
 *
 * @param ovmf       not NULL
 * @param guid       its 16 bytes as they lie in the image: the first three fields little-endian
 * @param[out] data  into the object: valid until gmem_ovmf_free()
 * @param[out] size  in bytes, may be 0
 * @return 0; -EINVAL, -ENOENT (the image has no such entry; a message of level debug, for asking
 *         is no mistake). Threads: any. Since: 0.1
 */
GMEM_API int gmem_ovmf_find(const struct gmem_ovmf *ovmf, const uint8_t guid[16], const void **data,
			    size_t *size);

#ifdef __cplusplus
}
#endif

#endif /* GMEM_OVMF_H */
