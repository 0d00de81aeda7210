// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VMM of the tests' own that loads an OVMF image; see the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "test-sim-snp-image.h"

/* All sections of the images in tests/data lie here. */
#define SECTIONS_BASE UINT64_C(0x800000)
#define SECTIONS_SIZE UINT64_C(0x20000)
#define FIRMWARE_END (UINT64_C(1) << 32)

/* The table of GUIDs ends here, counted from the image's end; it is read backwards. */
#define TABLE_END 0x20u
#define ENTRY_TAIL 18u /* u16 length of the whole entry, then its GUID */

#define SECTION_SEC_MEM 1u
#define SECTION_SECRETS 2u
#define SECTION_CPUID 3u
#define SECTION_HASHES 0x10u
#define SECTIONS_MAX 16u

#define GUID_SIZE 16u

/* dc886566-984a-4798-a75e-5585a7bf67cc */
static const uint8_t metadata_guid[GUID_SIZE] = { 0x66, 0x65, 0x88, 0xdc, 0x4a, 0x98, 0x98, 0x47,
						  0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc };
/* 7255371f-3a3b-4b04-927b-1da6efa8d454 */
static const uint8_t hashes_guid[GUID_SIZE] = { 0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b,
						0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54 };
/* 00f771de-1a7e-4fcb-890e-68c77e2fb44e */
static const uint8_t reset_guid[GUID_SIZE] = { 0xde, 0x71, 0xf7, 0x00, 0x7e, 0x1a, 0xcb, 0x4f,
					       0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e };

struct section {
	uint32_t gpa;
	uint32_t size;
	uint32_t type;
};

static uint32_t read_u32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint16_t read_u16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* Data of the entry with this GUID. */
static const uint8_t *find_entry(const struct image *image, const uint8_t guid[GUID_SIZE])
{
	const uint8_t *end = image->bytes + image->size - TABLE_END;
	const uint8_t *start = end - read_u16(end - ENTRY_TAIL);

	end -= ENTRY_TAIL;
	while (end > start) {
		uint16_t length = read_u16(end - ENTRY_TAIL);

		assert_in_range(length, ENTRY_TAIL, (uintmax_t)(end - start));
		if (memcmp(end - GUID_SIZE, guid, GUID_SIZE) == 0)
			return end - length;
		end -= length;
	}
	fail_msg("the image has no such entry");
	return NULL;
}

uint32_t image_hashes_offset(const struct image *image)
{
	return read_u32(find_entry(image, hashes_guid)) % SNP_PAGE_SIZE;
}

static size_t read_sections(const struct image *image, struct section section[SECTIONS_MAX])
{
	uint32_t offset = read_u32(find_entry(image, metadata_guid));
	const uint8_t *metadata = image->bytes + image->size - offset;
	uint32_t count = read_u32(metadata + 12);

	assert_memory_equal(metadata, "ASEV", 4);
	assert_in_range(count, 1, SECTIONS_MAX);
	memcpy(section, metadata + 16, count * sizeof(*section));
	return count;
}

static uint8_t page_type(const struct image *image, uint32_t section_type)
{
	switch (section_type) {
	case SECTION_SECRETS:
		return SNP_PAGE_SECRETS;
	case SECTION_CPUID:
		return SNP_PAGE_CPUID;
	case SECTION_SEC_MEM:
		return image->vmm == IMAGE_GCE ? SNP_PAGE_UNMEASURED : SNP_PAGE_ZERO;
	case SECTION_HASHES:
		return image->hashes ? SNP_PAGE_NORMAL : SNP_PAGE_ZERO;
	default:
		return SNP_PAGE_ZERO;
	}
}

static void load_section(const struct image *image, struct guest *guest,
			 const struct section *section)
{
	const void *contents = section->type == SECTION_HASHES ? image->hashes : NULL;

	guest_load(guest, page_type(image, section->type), section->gpa, contents, section->size);
}

void image_load(const struct image *image, struct guest *guest)
{
	uint64_t firmware = FIRMWARE_END - image->size;
	struct section section[SECTIONS_MAX];
	size_t count = read_sections(image, section);
	bool cpuid_last = image->vmm == IMAGE_EC2;

	guest_add_slot(guest, SECTIONS_BASE, SECTIONS_SIZE);
	guest_add_slot(guest, firmware, image->size);
	guest_load(guest, SNP_PAGE_NORMAL, firmware, image->bytes, image->size);
	for (size_t i = 0; i < count; i++) {
		if (!cpuid_last || section[i].type != SECTION_CPUID)
			load_section(image, guest, &section[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (cpuid_last && section[i].type == SECTION_CPUID)
			load_section(image, guest, &section[i]);
	}
}

static struct sim_kvm_segment segment(uint16_t selector, uint64_t base, uint8_t attributes)
{
	return (struct sim_kvm_segment){
		.base = base,
		.limit = 0xffff,
		.selector = selector,
		.type = attributes & 0xf,
		.s = (attributes >> 4) & 1,
		.dpl = (attributes >> 5) & 3,
		.present = attributes >> 7,
	};
}

static void set_sregs(const struct image *image, struct guest *guest, int fd, uint32_t number,
		      uint32_t start)
{
	bool ec2 = image->vmm == IMAGE_EC2;
	struct sim_kvm_segment data = segment(0, 0, 0x93);
	struct sim_kvm_sregs sregs = {
		.cs = segment(0xf000, start & 0xffff0000, ec2 && number == 0 ? 0x9a : 0x9b),
		.ds = data,
		.es = data,
		.fs = data,
		.gs = data,
		.ss = segment(0, 0, ec2 ? 0x92 : 0x93),
		.tr = segment(0, 0, ec2 ? 0x83 : 0x8b),
		.ldt = segment(0, 0, 0x82),
		.gdt = { .limit = 0xffff },
		.idt = { .limit = 0xffff },
		.cr0 = 0x60000010, /* as processors come up: with the cache off */
		.apic_base = 0xfee00800,
	};

	assert_int_equal(guest_ioctl(guest, fd, SIM_KVM_SET_SREGS, &sregs), 0);
}

void image_set_vcpu(const struct image *image, struct guest *guest, int vcpu_fd, uint32_t number,
		    uint32_t signature)
{
	uint32_t start = number == 0 ? 0xfffffff0 : read_u32(find_entry(image, reset_guid));
	struct sim_kvm_regs regs = {
		.rdx = image->vmm == IMAGE_QEMU ? signature : 0x600,
		.rip = start & 0xffff,
		.rflags = 2,
	};
	struct sim_kvm_fpu fpu = { 0 };
	struct {
		struct sim_kvm_msrs head;
		struct sim_kvm_msr_entry entry;
	} pat = { { .nmsrs = 1 }, { .index = 0x277, .data = 0x70106 } };

	set_sregs(image, guest, vcpu_fd, number, start);
	assert_int_equal(guest_ioctl(guest, vcpu_fd, SIM_KVM_SET_REGS, &regs), 0);
	if (image->vmm != IMAGE_QEMU)
		assert_int_equal(guest_ioctl(guest, vcpu_fd, SIM_KVM_SET_FPU, &fpu), 0);
	if (image->vmm == IMAGE_GCE)
		assert_int_equal(guest_ioctl(guest, vcpu_fd, SIM_KVM_SET_MSRS, &pat), 1);
}
