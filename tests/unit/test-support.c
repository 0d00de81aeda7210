// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The test support itself: the stand-in for KVM against the kernel facts (their ids are in the
 * names: c1 is fact C1), the fault injector, the leak detector and the collector of messages.
 */
#include "fake-kvm.h"
#include "faults.h"
#include "kernel.h"
#include "leaks.h"
#include "logs.h"
#include "spans.h"
#include "uapi/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Needs what stands above. */
#include <cmocka.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PRIVATE GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE
#define FLAG_MMAP GMEM_KVM_GUEST_MEMFD_FLAG_MMAP
#define FLAG_INIT_SHARED GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* A fake, the door to it, its first VM, and one page. */
struct fixture {
	struct fake_kvm *fake;
	struct gmem_kernel kernel;
	int vm;
	uint64_t page;
};

static struct fixture start(const struct fake_kvm_config *config)
{
	struct fixture f = { .fake = fake_kvm_new(config) };

	assert_non_null(f.fake);
	f.kernel = fake_kvm_kernel(f.fake);
	f.vm = fake_kvm_vm_fd(f.fake);
	f.page = fake_kvm_page_size(f.fake);
	return f;
}

static void finish(struct fixture *f)
{
	fake_kvm_free(f->fake);
}

static int extension(const struct fixture *f, uint64_t number)
{
	return gmem_kernel_ioctl_value(&f->kernel, f->vm, GMEM_KVM_CHECK_EXTENSION, number);
}

static int create(const struct fixture *f, uint64_t size, uint64_t flags)
{
	struct gmem_kvm_create_guest_memfd create = { .size = size, .flags = flags };

	return gmem_kernel_ioctl(&f->kernel, f->vm, GMEM_KVM_CREATE_GUEST_MEMFD, &create);
}

/* One that must succeed. */
static int created(const struct fixture *f, uint64_t size, uint64_t flags)
{
	int fd = create(f, size, flags);

	assert_true(fd >= 0);
	return fd;
}

static int set_vm_attributes(const struct fixture *f, uint64_t address, uint64_t size,
			     uint64_t attributes, uint64_t flags)
{
	struct gmem_kvm_memory_attributes argument = { address, size, attributes, flags };

	return gmem_kernel_ioctl(&f->kernel, f->vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES, &argument);
}

static int set_file_attributes(const struct fixture *f, int fd, uint64_t offset, uint64_t size,
			       uint64_t attributes)
{
	struct gmem_kvm_memory_attributes2 argument = {
		.offset = offset,
		.size = size,
		.attributes = attributes,
	};

	return gmem_kernel_ioctl(&f->kernel, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &argument);
}

static struct gmem_kvm_userspace_memory_region2 region(const struct fixture *f, uint32_t slot,
						       uint64_t gpa_pages, uint64_t pages)
{
	return (struct gmem_kvm_userspace_memory_region2){
		.slot = slot,
		.guest_phys_addr = gpa_pages * f->page,
		.memory_size = pages * f->page,
	};
}

static struct gmem_kvm_userspace_memory_region2 bound(const struct fixture *f, uint32_t slot,
						      uint64_t gpa_pages, uint64_t pages, int fd,
						      uint64_t offset_pages)
{
	struct gmem_kvm_userspace_memory_region2 r = region(f, slot, gpa_pages, pages);

	r.flags = GMEM_KVM_MEM_GUEST_MEMFD;
	r.guest_memfd = (uint32_t)fd;
	r.guest_memfd_offset = offset_pages * f->page;
	return r;
}

static int set_region2(const struct fixture *f, struct gmem_kvm_userspace_memory_region2 r)
{
	return gmem_kernel_ioctl(&f->kernel, f->vm, GMEM_KVM_SET_USER_MEMORY_REGION2, &r);
}

static char *map_file(const struct fixture *f, int fd, uint64_t pages, uint64_t offset_pages)
{
	int64_t address = gmem_kernel_mmap(&f->kernel, 0, pages * f->page, READ_WRITE, MAP_SHARED,
					   fd, offset_pages * f->page);

	assert_true(address > 0);
	return (char *)(uintptr_t)address;
}

static int unmap(const struct fixture *f, const void *address, uint64_t pages)
{
	return gmem_kernel_munmap(&f->kernel, address_of(address), pages * f->page);
}

static int close_file(const struct fixture *f, int fd)
{
	return gmem_kernel_close(&f->kernel, fd);
}

/* SIGBUS: caught on the thread that touches. */
static sigjmp_buf bus_error;
static void *volatile bus_address;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	if (info->si_code == BUS_ADRERR)
		bus_address = info->si_addr;
	siglongjmp(bus_error, 1);
}

/* Whether a read of this byte raises SIGBUS at this very address. */
static bool faults_at(volatile const char *byte)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };
	struct sigaction old;
	volatile bool faulted = true;

	bus_address = NULL;
	assert_int_equal(sigaction(SIGBUS, &action, &old), 0);
	if (sigsetjmp(bus_error, 1) == 0) {
		(void)*byte;
		faulted = false;
	}
	assert_int_equal(sigaction(SIGBUS, &old, NULL), 0);
	if (faulted)
		assert_ptr_equal(bus_address, byte);
	return faulted;
}

/* Presets and descriptors. */

static void presets_answer_their_capabilities(void **state)
{
	static const struct {
		const struct fake_kvm_config *config;
		int user_memory2, guest_memfd, flags, attributes, spaces, types;
	} presets[] = {
		{ &fake_kvm_old, 0, 0, 0, 0, 2, 0 },
		{ &fake_kvm_linux_6_8, 1, 1, 0, 8, 1, 3 },
		{ &fake_kvm_linux_6_18, 1, 1, 3, 0, 2, 1 },
		{ &fake_kvm_linux_6_18_sw, 1, 1, 1, 8, 1, 3 },
		{ &fake_kvm_in_place, 1, 1, 3, 0, 1, 3 },
		{ &fake_kvm_in_place_default, 1, 1, 3, 0, 2, 3 },
	};
	size_t i;

	for (i = 0; i < LENGTH(presets); i++) {
		struct fixture f = start(presets[i].config);

		assert_int_equal(extension(&f, GMEM_KVM_CAP_USER_MEMORY), 1);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_NR_MEMSLOTS), 32764);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_READONLY_MEM), 1);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_EXIT_HYPERCALL), 1 << 12);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_USER_MEMORY2), presets[i].user_memory2);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_GUEST_MEMFD), presets[i].guest_memfd);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_GUEST_MEMFD_FLAGS), presets[i].flags);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_MEMORY_ATTRIBUTES),
				 presets[i].attributes);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_MULTI_ADDRESS_SPACE),
				 presets[i].spaces);
		assert_int_equal(extension(&f, GMEM_KVM_CAP_VM_TYPES), presets[i].types);
		/* The numbers that C1 warns of mean nothing here. */
		assert_int_equal(extension(&f, 246), 0);
		assert_int_equal(extension(&f, 250), 0);
		finish(&f);
	}
}

static void every_capability_can_be_set(void **state)
{
	struct fake_kvm_config config = fake_kvm_old;
	struct fixture f;

	config.cap.pre_fault = 5;
	config.cap.memory_fault_info = 6;
	config.cap.nr_memslots = 7;
	config.cap.user_memory = 8;
	f = start(&config);
	assert_int_equal(extension(&f, GMEM_KVM_CAP_PRE_FAULT_MEMORY), 5);
	assert_int_equal(extension(&f, GMEM_KVM_CAP_MEMORY_FAULT_INFO), 6);
	assert_int_equal(extension(&f, GMEM_KVM_CAP_NR_MEMSLOTS), 7);
	assert_int_equal(extension(&f, GMEM_KVM_CAP_USER_MEMORY), 8);
	finish(&f);
}

static void ioctls_know_their_descriptors(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int system = fake_kvm_system_fd(f.fake);
	int other = gmem_kernel_memfd_create(&f.kernel, "other", MFD_CLOEXEC);
	int file = created(&f, f.page, 0);
	int dup;

	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, system, GMEM_KVM_GET_API_VERSION, 0),
			 12);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, f.vm, GMEM_KVM_GET_API_VERSION, 0),
			 -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, file, GMEM_KVM_GET_API_VERSION, 0),
			 -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, other, GMEM_KVM_GET_API_VERSION, 0),
			 -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, other, GMEM_KVM_CHECK_EXTENSION, 10),
			 -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, file, GMEM_KVM_CHECK_EXTENSION, 10),
			 -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, f.vm, 0xae99u, 0), -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, system, 0xae99u, 0), -EINVAL);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, system, GMEM_KVM_CHECK_EXTENSION,
						 GMEM_KVM_CAP_NR_MEMSLOTS),
			 32764);

	/* A dup is as good; a closed one is not. */
	dup = gmem_kernel_fcntl(&f.kernel, f.vm, F_DUPFD_CLOEXEC, 0);
	assert_true(dup >= 0);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, dup, GMEM_KVM_CHECK_EXTENSION,
						 GMEM_KVM_CAP_GUEST_MEMFD),
			 1);
	close_file(&f, dup);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, dup, GMEM_KVM_CHECK_EXTENSION, 10),
			 -EBADF);

	close_file(&f, file);
	close_file(&f, other);
	finish(&f);
}

static void vm_descriptor_is_an_anonymous_inode(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	struct statfs file_system;
	struct stat status;

	assert_int_equal(gmem_kernel_fcntl(&f.kernel, f.vm, F_GETFD, 0), FD_CLOEXEC);
	assert_int_equal(gmem_kernel_fstat(&f.kernel, f.vm, &status), 0);
	assert_int_equal(status.st_mode & S_IFMT, 0);
	assert_int_equal(gmem_kernel_fstatfs(&f.kernel, f.vm, &file_system), 0);
	assert_int_equal(file_system.f_type, ANON_INODE_FS_MAGIC);
	assert_int_equal(gmem_kernel_mmap(&f.kernel, 0, f.page, PROT_READ, MAP_SHARED, f.vm, 0),
			 -ENODEV);
	assert_int_equal(gmem_kernel_ftruncate(&f.kernel, f.vm, f.page), -EINVAL);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, f.vm, 0, 0, f.page), -ENODEV);
	assert_int_equal(gmem_kernel_fcntl(&f.kernel, f.vm, F_GET_SEALS, 0), -EINVAL);
	finish(&f);
}

static void vm_may_be_closed_early_and_its_number_reused(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int reused;

	assert_int_equal(close_file(&f, f.vm), 0);
	reused = gmem_kernel_memfd_create(&f.kernel, "other", MFD_CLOEXEC);
	assert_int_equal(reused, f.vm);
	assert_int_equal(extension(&f, GMEM_KVM_CAP_GUEST_MEMFD), -ENOTTY);
	finish(&f);
	/* Not closed by the end of the fake. */
	assert_int_equal(close(reused), 0);
}

static void more_vms_have_their_own_slots(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_8);
	int second = fake_kvm_new_vm(f.fake);
	int third = gmem_kernel_ioctl_value(&f.kernel, fake_kvm_system_fd(f.fake),
					    GMEM_KVM_CREATE_VM, 1);
	struct gmem_kvm_memory_attributes attributes = { 0, f.page, PRIVATE, 0 };

	assert_true(second >= 0 && third >= 0);
	assert_int_equal(gmem_kernel_ioctl_value(&f.kernel, fake_kvm_system_fd(f.fake),
						 GMEM_KVM_CREATE_VM, 2),
			 -EINVAL);
	assert_int_equal(fake_kvm_vm_fd(f.fake), f.vm);
	assert_int_equal(set_region2(&f, region(&f, 0, 0, 1)), 0);
	assert_int_equal(fake_kvm_slot_count(f.fake, f.vm), 1);
	assert_int_equal(fake_kvm_slot_count(f.fake, second), 0);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, third, GMEM_KVM_SET_MEMORY_ATTRIBUTES,
					   &attributes),
			 0);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, third, 0), PRIVATE);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, f.vm, 0), 0);
	finish(&f);
}

static void device_attributes_are_where_they_are_set(void **state)
{
	struct fake_kvm_config config = fake_kvm_in_place;
	uint64_t value = 0;
	struct gmem_kvm_device_attr attribute = {
		.group = GMEM_KVM_X86_GROUP_SEV,
		.attr = GMEM_KVM_X86_SEV_VMSA_FEATURES,
		.addr = address_of(&value),
	};
	struct fixture f;
	int system;

	config.snp_features = 0x29;
	config.snp_policy = 0x1ff0000;
	f = start(&config);
	system = fake_kvm_system_fd(f.fake);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, system, GMEM_KVM_HAS_DEVICE_ATTR, &attribute),
			 0);
	assert_int_equal(value, 0);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, system, GMEM_KVM_GET_DEVICE_ATTR, &attribute),
			 0);
	assert_int_equal(value, 0x29);
	attribute.attr = GMEM_KVM_X86_SNP_POLICY_BITS;
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, system, GMEM_KVM_GET_DEVICE_ATTR, &attribute),
			 0);
	assert_int_equal(value, 0x1ff0000);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_GET_DEVICE_ATTR, &attribute),
			 -ENOTTY);
	attribute.attr = 2;
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, system, GMEM_KVM_HAS_DEVICE_ATTR, &attribute),
			 -ENXIO);
	attribute.group = 7;
	attribute.attr = 0;
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, system, GMEM_KVM_GET_DEVICE_ATTR, &attribute),
			 -ENXIO);
	finish(&f);

	config.device_attributes = FAKE_ATTRIBUTES_VM;
	config.snp_policy = 0;
	f = start(&config);
	attribute.group = GMEM_KVM_X86_GROUP_SEV;
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_GET_DEVICE_ATTR, &attribute),
			 0);
	assert_int_equal(value, 0x29);
	attribute.attr = GMEM_KVM_X86_SNP_POLICY_BITS;
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_HAS_DEVICE_ATTR, &attribute),
			 -ENXIO);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, fake_kvm_system_fd(f.fake),
					   GMEM_KVM_HAS_DEVICE_ATTR, &attribute),
			 -ENOTTY);
	finish(&f);
}

static void old_kernel_has_only_the_old_memslots(void **state)
{
	struct fixture f = start(&fake_kvm_old);
	struct gmem_kvm_userspace_memory_region old = { .slot = 3,
							.guest_phys_addr = f.page,
							.memory_size = f.page };
	struct fake_slot slot;

	assert_int_equal(set_region2(&f, region(&f, 0, 0, 1)), -ENOTTY);
	assert_int_equal(create(&f, f.page, 0), -ENOTTY);
	assert_int_equal(set_vm_attributes(&f, 0, f.page, 0, 0), -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_SET_USER_MEMORY_REGION, &old),
			 0);
	assert_true(fake_kvm_find_slot(f.fake, f.vm, 3, &slot));
	assert_int_equal(slot.gpa, f.page);
	assert_int_equal(slot.guest_memfd, -1);
	old.slot = 4;
	old.guest_phys_addr = 2 * f.page;
	old.flags = GMEM_KVM_MEM_GUEST_MEMFD;
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_SET_USER_MEMORY_REGION, &old),
			 -EINVAL);
	finish(&f);
}

/* Probing. */

static int probe_in_place(const struct fixture *f)
{
	int fd = created(f, f->page, 0);
	int result = set_file_attributes(f, fd, 0, f->page, PRIVATE);

	close_file(f, fd);
	return result;
}

static void c1_probe_tells_who_tracks(void **state)
{
	static const struct {
		const struct fake_kvm_config *config;
		int result;
	} presets[] = {
		{ &fake_kvm_linux_6_8, -ENOTTY },        { &fake_kvm_linux_6_18, -ENOTTY },
		{ &fake_kvm_linux_6_18_sw, -ENOTTY },    { &fake_kvm_in_place, 0 },
		{ &fake_kvm_in_place_default, -EINVAL },
	};
	size_t i;

	for (i = 0; i < LENGTH(presets); i++) {
		struct fixture f = start(presets[i].config);

		assert_int_equal(probe_in_place(&f), presets[i].result);
		assert_int_equal(fake_kvm_open_files(f.fake), 0);
		finish(&f);
	}
}

static void c2_vm_ioctl_does_nothing_where_files_track(void **state)
{
	const struct fake_kvm_config *presets[] = { &fake_kvm_in_place,
						    &fake_kvm_in_place_default };
	size_t i;

	for (i = 0; i < LENGTH(presets); i++) {
		struct fixture f = start(presets[i]);

		assert_int_equal(set_vm_attributes(&f, 0, f.page, PRIVATE, 0), -EINVAL);
		assert_int_equal(set_vm_attributes(&f, 0, f.page, 0, 0), 0);
		assert_int_equal(fake_kvm_gpa_private_bytes(f.fake, f.vm), 0);
		finish(&f);
	}
}

/* guest_memfd files. */

static void f1_size_is_pages_and_may_be_huge(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int fd;

	assert_int_equal(create(&f, 0, 0), -EINVAL);
	assert_int_equal(create(&f, f.page + 1, 0), -EINVAL);
	assert_int_equal(create(&f, f.page / 2, 0), -EINVAL);
	assert_int_equal(create(&f, UINT64_C(1) << 63, 0), -EINVAL);
	assert_int_equal(create(&f, -f.page, 0), -EINVAL);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_CREATE_GUEST_MEMFD, NULL),
			 -EFAULT);
	fd = created(&f, UINT64_C(1) << 50, 0);
	assert_int_equal(fake_kvm_file_allocated(f.fake, fd), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f1_page_size_can_be_any(void **state)
{
	static const uint64_t sizes[] = { 4096, 16384, 65536 };
	size_t i;

	for (i = 0; i < LENGTH(sizes); i++) {
		struct fake_kvm_config config = fake_kvm_linux_6_18;
		struct fixture f;

		config.page_size = sizes[i];
		if (sizes[i] < (uint64_t)sysconf(_SC_PAGESIZE)) {
			assert_null(fake_kvm_new(&config));
			continue;
		}
		f = start(&config);
		assert_int_equal(gmem_kernel_page_size(&f.kernel), sizes[i]);
		assert_int_equal(create(&f, sizes[i] / 2, 0), -EINVAL);
		close_file(&f, created(&f, sizes[i] * 3, 0));
		assert_int_equal(set_region2(&f, region(&f, 0, 1, 1)), 0);
		finish(&f);
	}
}

static void f2_new_file_is_not_close_on_exec(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, f.page, 0);

	assert_int_equal(gmem_kernel_fcntl(&f.kernel, fd, F_GETFD, 0), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f3_creation_flags_by_vm(void **state)
{
	static const struct {
		const struct fake_kvm_config *config;
		int with_mmap, with_init_shared, with_both;
	} presets[] = {
		{ &fake_kvm_linux_6_8, -EINVAL, -EINVAL, -EINVAL },
		{ &fake_kvm_linux_6_18, 0, 0, 0 },
		{ &fake_kvm_linux_6_18_sw, 0, -EINVAL, -EINVAL },
		{ &fake_kvm_in_place, 0, 0, 0 },
		{ &fake_kvm_in_place_default, 0, 0, 0 },
	};
	size_t i, flags;

	for (i = 0; i < LENGTH(presets); i++) {
		struct fixture f = start(presets[i].config);
		const int expected[] = { 0, presets[i].with_mmap, presets[i].with_init_shared,
					 presets[i].with_both, -EINVAL };

		for (flags = 0; flags < LENGTH(expected); flags++) {
			int fd = create(&f, f.page, flags);

			assert_int_equal(fd < 0 ? fd : 0, expected[flags]);
			if (fd < 0)
				continue;
			assert_true(fake_kvm_is_guest_memfd(f.fake, fd));
			assert_int_equal(fake_kvm_file_flags(f.fake, fd), flags);
			close_file(&f, fd);
		}
		finish(&f);
	}
}

static void f3_init_shared_is_refused_even_where_it_is_announced(void **state)
{
	struct fake_kvm_config config = fake_kvm_linux_6_18_sw;
	struct fixture f;

	config.cap.guest_memfd_flags = 3;
	f = start(&config);
	assert_int_equal(create(&f, f.page, FLAG_INIT_SHARED), -EINVAL);
	finish(&f);
}

static void f3_initial_state_by_tracking(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int all_private = created(&f, 4 * f.page, FLAG_MMAP);
	int all_shared = created(&f, 4 * f.page, FLAG_MMAP | FLAG_INIT_SHARED);

	assert_int_equal(fake_kvm_file_private_bytes(f.fake, all_private), 4 * f.page);
	assert_int_equal(fake_kvm_file_attributes(f.fake, all_private, 3 * f.page), PRIVATE);
	assert_int_equal(fake_kvm_file_attributes(f.fake, all_private, 4 * f.page), 0);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, all_shared), 0);
	close_file(&f, all_private);
	close_file(&f, all_shared);
	finish(&f);

	f = start(&fake_kvm_linux_6_18_sw);
	all_shared = created(&f, 4 * f.page, 0);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, all_shared), 0);
	assert_int_equal(fake_kvm_gpa_private_bytes(f.fake, f.vm), 0);
	close_file(&f, all_shared);
	finish(&f);
}

static int64_t try_map(const struct fixture *f, int fd, int protection, int flags)
{
	return gmem_kernel_mmap(&f->kernel, 0, f->page, protection, flags, fd, 0);
}

static void f4_mmap_rules(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int plain = created(&f, f.page, 0);
	int fd = created(&f, f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory;

	assert_int_equal(try_map(&f, plain, READ_WRITE, MAP_SHARED), -ENODEV);
	assert_int_equal(try_map(&f, plain, READ_WRITE, MAP_PRIVATE), -ENODEV);
	assert_int_equal(try_map(&f, plain, PROT_READ | PROT_EXEC, MAP_SHARED), -EPERM);
	assert_int_equal(try_map(&f, fd, READ_WRITE, MAP_PRIVATE), -EINVAL);
	assert_int_equal(try_map(&f, fd, READ_WRITE, MAP_SHARED | MAP_HUGETLB), -EINVAL);
	assert_int_equal(try_map(&f, fd, PROT_READ | PROT_EXEC, MAP_SHARED), -EPERM);
	assert_int_equal(gmem_kernel_mmap(&f.kernel, 0, 0, PROT_READ, MAP_SHARED, fd, 0), -EINVAL);
	assert_int_equal(gmem_kernel_mmap(&f.kernel, 0, f.page, PROT_READ, MAP_SHARED, fd, 1),
			 -EINVAL);
	assert_int_equal(gmem_kernel_mmap(&f.kernel, 0, f.page, PROT_READ, MAP_SHARED, -1, 0),
			 -EBADF);

	/* A mapping may exceed the file. */
	memory = map_file(&f, fd, 2, 0);
	memory[0] = 'm';
	assert_false(faults_at(&memory[f.page - 1]));
	assert_true(faults_at(&memory[f.page]));
	assert_int_equal(unmap(&f, memory, 2), 0);
	close_file(&f, plain);
	close_file(&f, fd);
	finish(&f);
}

static void f4_populate_passes_over_private_pages(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 2 * f.page, FLAG_MMAP);
	int64_t address = gmem_kernel_mmap(&f.kernel, 0, 2 * f.page, READ_WRITE,
					   MAP_SHARED | MAP_POPULATE, fd, 0);

	assert_true(address > 0);
	assert_int_equal(fake_kvm_file_allocated(f.fake, fd), 0);
	assert_int_equal(unmap(&f, (const void *)(uintptr_t)address, 2), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f5_private_page_raises_sigbus(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 4 * f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory = map_file(&f, fd, 4, 0);
	/* A second one, of the middle. */
	char *window = map_file(&f, fd, 2, 1);
	char *later;

	memory[0] = 'a';
	memory[f.page] = 'b';
	memory[2 * f.page] = 'c';
	assert_int_equal(set_file_attributes(&f, fd, f.page, f.page, PRIVATE), 0);
	assert_true(faults_at(&memory[f.page]));
	assert_true(faults_at(&memory[2 * f.page - 1]));
	assert_true(faults_at(&window[5]));
	assert_int_equal(memory[0], 'a');
	assert_int_equal(window[f.page], 'c');
	/* And in a mapping that is made afterwards. */
	later = map_file(&f, fd, 3, 1);
	assert_true(faults_at(&later[0]));
	assert_int_equal(later[f.page], 'c');
	/* System calls see it too. */
	assert_int_equal(gmem_kernel_madvise(&f.kernel, address_of(memory), 4 * f.page,
					     22 /* MADV_POPULATE_READ */),
			 -EFAULT);

	/* P7: the bytes are kept. */
	assert_int_equal(set_file_attributes(&f, fd, 0, 4 * f.page, 0), 0);
	assert_int_equal(memory[f.page], 'b');
	assert_int_equal(window[0], 'b');
	assert_int_equal(later[0], 'b');
	assert_int_equal(unmap(&f, memory, 4), 0);
	assert_int_equal(unmap(&f, window, 2), 0);
	assert_int_equal(unmap(&f, later, 3), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f8_fallocate_rules(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int fd = created(&f, 4 * f.page, FLAG_MMAP);
	const int keep = FALLOC_FL_KEEP_SIZE;
	const int punch = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
	char *memory = map_file(&f, fd, 4, 0);

	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, 0, 0, f.page), -EOPNOTSUPP);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, FALLOC_FL_PUNCH_HOLE, 0, f.page),
			 -EOPNOTSUPP);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, keep | FALLOC_FL_ZERO_RANGE, 0,
					       f.page),
			 -EOPNOTSUPP);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, FALLOC_FL_COLLAPSE_RANGE, 0, f.page),
			 -EOPNOTSUPP);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, keep, 0, 0), -EINVAL);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, keep, 1, f.page), -EINVAL);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, keep, 0, f.page - 1), -EINVAL);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, keep, 3 * f.page, 2 * f.page),
			 -EINVAL);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, punch, -f.page, f.page), -EINVAL);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, punch, UINT64_C(1) << 62,
					       UINT64_C(1) << 62),
			 -EFBIG);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, keep, 0, 4 * f.page), 0);
	assert_int_equal(fake_kvm_file_allocated(f.fake, fd), 4 * f.page);
	memory[0] = 'm';
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, punch, 0, f.page), 0);
	assert_int_equal(fake_kvm_file_allocated(f.fake, fd), 3 * f.page);
	assert_int_equal(memory[0], 0);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, punch, 100 * f.page, f.page), 0);
	assert_int_equal(unmap(&f, memory, 4), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f8_punching_changes_no_attribute(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 4 * f.page, FLAG_MMAP);

	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd, FALLOC_FL_KEEP_SIZE, 0, 4 * f.page),
			 0);
	assert_int_equal(gmem_kernel_fallocate(&f.kernel, fd,
					       FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0,
					       2 * f.page),
			 0);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, fd), 4 * f.page);
	assert_int_equal(fake_kvm_file_allocated(f.fake, fd), 2 * f.page);
	close_file(&f, fd);
	finish(&f);
}

static void f9_madvise_rules(void **state)
{
	static const int refused[] = { MADV_FREE, MADV_MERGEABLE, MADV_COLLAPSE, MADV_WIPEONFORK };
	static const int accepted[] = { MADV_DONTNEED, MADV_DONTDUMP, MADV_DONTFORK };
	struct fixture f = start(&fake_kvm_linux_6_18);
	int fd = created(&f, 4 * f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory = map_file(&f, fd, 4, 0);
	size_t i;

	memory[0] = 'm';
	for (i = 0; i < LENGTH(refused); i++)
		assert_int_equal(gmem_kernel_madvise(&f.kernel, address_of(memory), f.page,
						     refused[i]),
				 -EINVAL);
	for (i = 0; i < LENGTH(accepted); i++)
		assert_int_equal(
			gmem_kernel_madvise(&f.kernel, address_of(memory), f.page, accepted[i]), 0);
	assert_int_equal(gmem_kernel_madvise(&f.kernel, address_of(memory) + 1, f.page,
					     MADV_DONTNEED),
			 -EINVAL);
	/* DONTNEED dropped page-table entries alone. */
	assert_int_equal(memory[0], 'm');
	assert_int_equal(unmap(&f, memory, 4), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f9_remove_punches_private_pages_too(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 4 * f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory = map_file(&f, fd, 4, 0);

	memset(memory, 'm', 4 * f.page);
	assert_int_equal(set_file_attributes(&f, fd, 0, f.page, PRIVATE), 0);
	assert_int_equal(
		gmem_kernel_madvise(&f.kernel, address_of(memory), 2 * f.page, MADV_REMOVE), 0);
	assert_int_equal(fake_kvm_file_allocated(f.fake, fd), 2 * f.page);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, fd), f.page);
	assert_int_equal(set_file_attributes(&f, fd, 0, f.page, 0), 0);
	assert_int_equal(memory[0], 0);
	assert_int_equal(memory[f.page], 0);
	assert_int_equal(memory[2 * f.page], 'm');
	assert_int_equal(unmap(&f, memory, 4), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f9_dont_fork_outlives_conversions(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory = map_file(&f, fd, 1, 0);
	pid_t child;
	int status;

	memory[0] = 'm';
	assert_int_equal(gmem_kernel_madvise(&f.kernel, address_of(memory), f.page, MADV_DONTFORK),
			 0);
	assert_int_equal(set_file_attributes(&f, fd, 0, f.page, PRIVATE), 0);
	assert_int_equal(set_file_attributes(&f, fd, 0, f.page, 0), 0);
	child = fork();
	if (child == 0)
		_exit(madvise(memory, f.page, MADV_NORMAL) == 0 || errno != ENOMEM);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(unmap(&f, memory, 1), 0);
	close_file(&f, fd);
	finish(&f);
}

static int bind(const struct fixture *f, const void *address, uint64_t pages, int mode,
		uint64_t nodes)
{
	return gmem_kernel_mbind(&f->kernel, address_of(address), pages * f->page, mode, &nodes, 65,
				 0);
}

static int policy_of(const struct fixture *f, const void *address, uint64_t *nodes)
{
	uint64_t mask[16];
	int mode = -1;

	memset(mask, 0xff, sizeof(mask));
	assert_int_equal(
		gmem_kernel_get_mempolicy(&f->kernel, &mode, mask, 1024, address_of(address)), 0);
	assert_int_equal(mask[1], 0);
	assert_int_equal(mask[15], 0);
	*nodes = mask[0];
	return mode;
}

static void f10_file_keeps_the_policy_where_honoured(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 4 * f.page, FLAG_MMAP);
	char *first = map_file(&f, fd, 4, 0);
	char *second = map_file(&f, fd, 2, 1);
	uint64_t nodes;

	/* The third and fourth page, private ones. */
	assert_int_equal(bind(&f, first + 2 * f.page, 2, MPOL_BIND, 2), 0);
	assert_int_equal(policy_of(&f, second, &nodes), MPOL_DEFAULT);
	assert_int_equal(nodes, 0);
	assert_int_equal(policy_of(&f, second + f.page, &nodes), MPOL_BIND);
	assert_int_equal(nodes, 2);
	assert_int_equal(policy_of(&f, first + 3 * f.page, &nodes), MPOL_BIND);
	assert_int_equal(bind(&f, first, 4, MPOL_DEFAULT, 0), 0);
	assert_int_equal(policy_of(&f, second + f.page, &nodes), MPOL_DEFAULT);
	assert_int_equal(unmap(&f, first, 4), 0);
	assert_int_equal(unmap(&f, second, 2), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f10_mbind_without_effect_on_6_18(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int fd = created(&f, 2 * f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	int shmem = gmem_kernel_memfd_create(&f.kernel, "shmem", MFD_CLOEXEC);
	char *first = map_file(&f, fd, 2, 0);
	char *second = map_file(&f, fd, 2, 0);
	uint64_t nodes;

	assert_int_equal(bind(&f, first, 2, MPOL_INTERLEAVE, 3), 0);
	assert_int_equal(policy_of(&f, first, &nodes), MPOL_INTERLEAVE);
	assert_int_equal(nodes, 3);
	assert_int_equal(policy_of(&f, second, &nodes), MPOL_DEFAULT);
	assert_int_equal(unmap(&f, first, 2), 0);
	assert_int_equal(unmap(&f, second, 2), 0);

	/* Other files keep it there too. */
	assert_int_equal(gmem_kernel_ftruncate(&f.kernel, shmem, 2 * f.page), 0);
	first = map_file(&f, shmem, 2, 0);
	second = map_file(&f, shmem, 2, 0);
	assert_int_equal(bind(&f, first, 2, MPOL_PREFERRED, 1), 0);
	assert_int_equal(policy_of(&f, second, &nodes), MPOL_PREFERRED);
	assert_int_equal(unmap(&f, first, 2), 0);
	assert_int_equal(unmap(&f, second, 2), 0);
	close_file(&f, shmem);
	close_file(&f, fd);
	finish(&f);
}

static void f10_mbind_judges_its_arguments(void **state)
{
	struct fake_kvm_config config = fake_kvm_in_place;
	struct fixture f = start(&config);
	int64_t address = gmem_kernel_mmap(&f.kernel, 0, 2 * f.page, READ_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *memory = (char *)(uintptr_t)address;
	uint64_t nodes;

	assert_true(address > 0);
	/* Nodes 0 and 1 have memory. */
	assert_int_equal(bind(&f, memory, 1, MPOL_BIND, 4), -EINVAL);
	assert_int_equal(bind(&f, memory, 1, MPOL_BIND, 0), -EINVAL);
	assert_int_equal(bind(&f, memory, 1, MPOL_DEFAULT, 1), -EINVAL);
	assert_int_equal(bind(&f, memory, 1, 77, 1), -EINVAL);
	assert_int_equal(bind(&f, memory + 1, 1, MPOL_BIND, 1), -EINVAL);
	assert_int_equal(bind(&f, memory, 3, MPOL_BIND, 1), -EFAULT);
	assert_int_equal(policy_of(&f, memory, &nodes), MPOL_DEFAULT);
	assert_int_equal(bind(&f, memory, 1, MPOL_BIND, 6), 0);
	assert_int_equal(policy_of(&f, memory, &nodes), MPOL_BIND);
	assert_int_equal(nodes, 2);
	assert_int_equal(policy_of(&f, memory + f.page, &nodes), MPOL_DEFAULT);
	assert_int_equal(unmap(&f, memory, 2), 0);
	finish(&f);

	config.numa = FAKE_NUMA_ABSENT;
	f = start(&config);
	assert_int_equal(gmem_kernel_mbind(&f.kernel, 0, f.page, MPOL_BIND, &nodes, 65, 0),
			 -ENOSYS);
	assert_int_equal(gmem_kernel_get_mempolicy(&f.kernel, NULL, NULL, 0, 0), -ENOSYS);
	finish(&f);
}

static void f11_file_refuses_what_files_do(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int fd = created(&f, f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory = map_file(&f, fd, 1, 0);
	struct statfs file_system;
	struct stat status;

	memory[0] = 'm';
	assert_int_equal(gmem_kernel_ftruncate(&f.kernel, fd, 2 * f.page), -EINVAL);
	assert_int_equal(gmem_kernel_write(&f.kernel, fd, "x", 1), -EINVAL);
	assert_int_equal(gmem_kernel_fcntl(&f.kernel, fd, F_GET_SEALS, 0), -EINVAL);
	assert_int_equal(gmem_kernel_fcntl(&f.kernel, fd, F_ADD_SEALS, F_SEAL_SHRINK), -EINVAL);
	assert_int_equal(gmem_kernel_fcntl(&f.kernel, fd, F_GETFL, 0) & O_ACCMODE, O_RDWR);
	assert_int_equal(gmem_kernel_fstat(&f.kernel, fd, &status), 0);
	assert_int_equal(status.st_mode, S_IFREG | 0600);
	assert_int_equal(status.st_size, f.page);
	assert_int_equal(status.st_blocks, 0);
	assert_int_equal(fake_kvm_file_allocated(f.fake, fd), f.page);
	assert_int_equal(gmem_kernel_fstatfs(&f.kernel, fd, &file_system), 0);
	assert_int_equal(file_system.f_type, ANON_INODE_FS_MAGIC);
	assert_int_equal(unmap(&f, memory, 1), 0);
	close_file(&f, fd);
	finish(&f);

	f = start(&fake_kvm_in_place);
	fd = created(&f, f.page, 0);
	assert_int_equal(gmem_kernel_fstatfs(&f.kernel, fd, &file_system), 0);
	assert_int_equal(file_system.f_type, 0x474d454d);
	close_file(&f, fd);
	finish(&f);
}

static void f12_only_its_own_vm_binds_a_file(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct fixture other = f;
	int fd = created(&f, f.page, 0);

	other.vm = fake_kvm_new_vm(f.fake);
	assert_int_equal(set_region2(&other, bound(&f, 0, 0, 1, fd, 0)), -EINVAL);
	assert_int_equal(set_region2(&f, bound(&f, 0, 0, 1, fd, 0)), 0);
	close_file(&f, fd);
	finish(&f);
}

static void f12_child_cannot_call_the_vm(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, f.page, 0);
	pid_t child = fork();
	int status;

	/* But whoever holds a file can convert. */
	if (child == 0)
		_exit(extension(&f, GMEM_KVM_CAP_GUEST_MEMFD) != -EIO ||
		      set_file_attributes(&f, fd, 0, f.page, 0) != 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close_file(&f, fd);
	finish(&f);
}

/* Memslots. */

static void s1_each_page_of_a_file_is_bound_once(void **state)
{
	const struct fake_kvm_config *presets[] = { &fake_kvm_in_place, &fake_kvm_linux_6_18 };
	const int errors[] = { -EEXIST, -EINVAL };
	size_t i;

	for (i = 0; i < LENGTH(presets); i++) {
		struct fixture f = start(presets[i]);
		int fd = created(&f, 8 * f.page, 0);
		int dup = gmem_kernel_fcntl(&f.kernel, fd, F_DUPFD_CLOEXEC, 0);

		assert_int_equal(set_region2(&f, bound(&f, 1, 0x10, 2, fd, 0)), 0);
		assert_int_equal(set_region2(&f, bound(&f, 2, 0x20, 2, fd, 2)), 0);
		assert_int_equal(set_region2(&f, bound(&f, 3, 0x30, 2, fd, 1)), errors[i]);
		assert_int_equal(set_region2(&f, bound(&f, 3, 0x30, 2, dup, 3)), errors[i]);
		assert_int_equal(set_region2(&f, bound(&f, 3, 0x30, 2, dup, 4)), 0);
		assert_true(fake_kvm_slot_is_bound_to(f.fake, f.vm, 3, fd));
		/* Free again with its slot. */
		assert_int_equal(set_region2(&f, region(&f, 1, 0, 0)), 0);
		assert_int_equal(set_region2(&f, bound(&f, 4, 0x40, 2, fd, 0)), 0);
		assert_int_equal(fake_kvm_slot_count(f.fake, f.vm), 3);
		close_file(&f, dup);
		close_file(&f, fd);
		finish(&f);
	}
}

static void s1_binding_judges_file_and_range(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int fd = created(&f, 4 * f.page, 0);
	int shmem = gmem_kernel_memfd_create(&f.kernel, "shmem", MFD_CLOEXEC);
	struct gmem_kvm_userspace_memory_region2 r = bound(&f, 0, 0, 2, fd, 0);

	assert_int_equal(set_region2(&f, bound(&f, 0, 0, 2, fd, 3)), -EINVAL);
	assert_int_equal(set_region2(&f, bound(&f, 0, 0, 5, fd, 0)), -EINVAL);
	assert_int_equal(set_region2(&f, bound(&f, 0, 0, 2, shmem, 0)), -EINVAL);
	assert_int_equal(set_region2(&f, bound(&f, 0, 0, 2, 9999, 0)), -EBADF);
	r.guest_memfd_offset = 1;
	assert_int_equal(set_region2(&f, r), -EINVAL);
	r.guest_memfd_offset = -f.page;
	assert_int_equal(set_region2(&f, r), -EINVAL);
	assert_int_equal(fake_kvm_slot_count(f.fake, f.vm), 0);
	close_file(&f, shmem);
	close_file(&f, fd);
	finish(&f);
}

static void s2_guest_memfd_slot_cannot_change(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 4 * f.page, 0);
	struct gmem_kvm_userspace_memory_region2 r = bound(&f, 0, 0x10, 2, fd, 0);
	struct fake_slot slot;

	r.flags |= GMEM_KVM_MEM_READONLY;
	assert_int_equal(set_region2(&f, r), -EINVAL);
	r.flags = GMEM_KVM_MEM_GUEST_MEMFD | GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	assert_int_equal(set_region2(&f, r), -EINVAL);
	r.flags = GMEM_KVM_MEM_GUEST_MEMFD;
	assert_int_equal(set_region2(&f, r), 0);
	/* Not even to the same. */
	assert_int_equal(set_region2(&f, r), -EINVAL);
	r.flags = 0;
	assert_int_equal(set_region2(&f, r), -EINVAL);
	assert_int_equal(set_region2(&f, bound(&f, 0, 0x20, 2, fd, 0)), -EINVAL);
	assert_true(fake_kvm_find_slot(f.fake, f.vm, 0, &slot));
	assert_int_equal(slot.flags, GMEM_KVM_MEM_GUEST_MEMFD);
	assert_int_equal(slot.gpa, 0x10 * f.page);
	assert_int_equal(slot.guest_memfd, fd);
	/* Nor does a plain one become such. */
	assert_int_equal(set_region2(&f, region(&f, 1, 0x30, 2)), 0);
	assert_int_equal(set_region2(&f, bound(&f, 1, 0x30, 2, fd, 2)), -EINVAL);
	close_file(&f, fd);
	finish(&f);
}

static void s3_plain_slot_over_the_mapping(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	int fd = created(&f, 2 * f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory = map_file(&f, fd, 2, 0);
	struct gmem_kvm_userspace_memory_region2 alias = region(&f, 0x10000, 0x10, 2);
	struct fake_slot slot;

	assert_int_equal(set_region2(&f, bound(&f, 0, 0x10, 2, fd, 0)), 0);
	alias.userspace_addr = address_of(memory);
	alias.flags = GMEM_KVM_MEM_READONLY;
	assert_int_equal(set_region2(&f, alias), 0);
	alias.flags |= GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	assert_int_equal(set_region2(&f, alias), 0);
	assert_true(fake_kvm_slot_at(f.fake, f.vm, 1, 0x11 * f.page, &slot));
	assert_int_equal(slot.slot, 0x10000);
	assert_int_equal(slot.flags, alias.flags);
	assert_int_equal(slot.userspace_addr, address_of(memory));
	assert_true(fake_kvm_slot_at(f.fake, f.vm, 0, 0x11 * f.page, &slot));
	assert_int_equal(slot.slot, 0);
	assert_false(fake_kvm_slot_at(f.fake, f.vm, 0, 0x12 * f.page, &slot));
	assert_int_equal(unmap(&f, memory, 2), 0);
	close_file(&f, fd);
	finish(&f);
}

static void s3_plain_slot_changes_its_dirty_log_and_address_alone(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	struct gmem_kvm_userspace_memory_region2 r = region(&f, 5, 0x10, 2), changed = r;

	assert_int_equal(set_region2(&f, r), 0);
	assert_int_equal(set_region2(&f, r), 0);
	changed.flags = GMEM_KVM_MEM_READONLY;
	assert_int_equal(set_region2(&f, changed), -EINVAL);
	changed = r;
	changed.userspace_addr = f.page;
	assert_int_equal(set_region2(&f, changed), -EINVAL);
	changed = r;
	changed.memory_size = f.page;
	assert_int_equal(set_region2(&f, changed), -EINVAL);
	assert_int_equal(set_region2(&f, region(&f, 6, 0x20, 2)), 0);
	assert_int_equal(set_region2(&f, region(&f, 5, 0x1f, 2)), -EEXIST);
	/* Moving over its own old place is no overlap. */
	assert_int_equal(set_region2(&f, region(&f, 5, 0x11, 2)), 0);
	r = region(&f, 5, 0x11, 2);
	r.flags = GMEM_KVM_MEM_LOG_DIRTY_PAGES;
	assert_int_equal(set_region2(&f, r), 0);
	r.flags = 0;
	assert_int_equal(set_region2(&f, r), 0);
	finish(&f);
}

static void s4_any_userspace_address_is_accepted(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct gmem_kvm_userspace_memory_region2 r = region(&f, 0, 0, 1);

	assert_int_equal(set_region2(&f, r), 0);
	r.slot = 1;
	r.guest_phys_addr = f.page;
	r.userspace_addr = 1000 * f.page;
	assert_int_equal(set_region2(&f, r), 0);
	finish(&f);
}

static void s5_slot_holds_no_reference(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, f.page, 0);

	assert_int_equal(set_region2(&f, bound(&f, 0, 0, 1, fd, 0)), 0);
	assert_int_equal(fake_kvm_open_files(f.fake), 1);
	assert_int_equal(close_file(&f, fd), 0);
	assert_int_equal(fake_kvm_open_files(f.fake), 0);
	assert_true(fake_kvm_find_slot(f.fake, f.vm, 0, NULL));
	finish(&f);
}

static void slots_judge_ranges_and_numbers(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18);
	const struct gmem_kvm_userspace_memory_region2 good = region(&f, 0, 0x10, 2);
	struct gmem_kvm_userspace_memory_region2 r;

#define REFUSED(field, value, error)                                                               \
	do {                                                                                       \
		r = good;                                                                          \
		r.field = (value);                                                                 \
		assert_int_equal(set_region2(&f, r), error);                                       \
	} while (0)
	REFUSED(memory_size, 0, -EINVAL); /* nothing to delete */
	REFUSED(memory_size, f.page + 1, -EINVAL);
	REFUSED(memory_size, f.page << 31, -EINVAL);
	REFUSED(guest_phys_addr, 1, -EINVAL);
	REFUSED(guest_phys_addr, -f.page, -EINVAL);
	REFUSED(guest_phys_addr, (UINT64_C(1) << 52) - f.page, -EINVAL);
	REFUSED(userspace_addr, 1, -EINVAL);
	REFUSED(userspace_addr, UINT64_C(0xffff800000000000), -EINVAL);
	REFUSED(slot, 32764, -EINVAL);
	REFUSED(slot, 0x20000, -EINVAL);
	REFUSED(flags, 8, -EINVAL);
#undef REFUSED
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_SET_USER_MEMORY_REGION2, NULL),
			 -EFAULT);
	assert_int_equal(fake_kvm_slot_count(f.fake, f.vm), 0);
	assert_int_equal(set_region2(&f, good), 0);
	assert_int_equal(set_region2(&f, region(&f, 1, 0xf, 2)), -EEXIST);
	assert_int_equal(set_region2(&f, region(&f, 1, 0x11, 1)), -EEXIST);
	assert_int_equal(set_region2(&f, region(&f, 1, 0x0f, 1)), 0);
	assert_int_equal(set_region2(&f, region(&f, 32763, 0x12, 1)), 0);
	assert_int_equal(set_region2(&f, region(&f, 0x10000, 0x10, 2)), 0);
	r = region(&f, 2, 0, UINT64_C(0x7fffffff));
	r.guest_phys_addr = UINT64_C(1) << 45;
	assert_int_equal(set_region2(&f, r), 0);
	assert_int_equal(set_region2(&f, region(&f, 0, 0, 0)), 0);
	assert_int_equal(set_region2(&f, region(&f, 0, 0, 0)), -EINVAL);
	assert_int_equal(fake_kvm_slot_count(f.fake, f.vm), 4);
	finish(&f);
}

static void readonly_slots_need_their_capability(void **state)
{
	struct fake_kvm_config config = fake_kvm_linux_6_18;
	struct gmem_kvm_userspace_memory_region2 r;
	struct fixture f;

	config.cap.readonly_mem = 0;
	config.cap.multi_address_space = 0;
	f = start(&config);
	r = region(&f, 0, 0, 1);
	r.flags = GMEM_KVM_MEM_READONLY;
	assert_int_equal(set_region2(&f, r), -EINVAL);
	/* No capability: one address space. */
	assert_int_equal(set_region2(&f, region(&f, 0x10000, 0, 1)), -EINVAL);
	assert_int_equal(set_region2(&f, region(&f, 0, 0, 1)), 0);
	finish(&f);
}

/* Conversion. */

static void v1_vm_attributes(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_18_sw);

	/* Slots and holes alike. */
	assert_int_equal(set_vm_attributes(&f, f.page, 1000 * f.page, PRIVATE, 0), 0);
	assert_int_equal(set_vm_attributes(&f, 10 * f.page, f.page, 0, 0), 0);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, f.vm, 0), 0);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, f.vm, f.page), PRIVATE);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, f.vm, 10 * f.page), 0);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, f.vm, 11 * f.page - 1), 0);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, f.vm, 11 * f.page), PRIVATE);
	assert_int_equal(fake_kvm_gpa_private_bytes(f.fake, f.vm), 999 * f.page);

	assert_int_equal(set_vm_attributes(&f, 1, f.page, PRIVATE, 0), -EINVAL);
	assert_int_equal(set_vm_attributes(&f, 0, f.page + 1, PRIVATE, 0), -EINVAL);
	assert_int_equal(set_vm_attributes(&f, 0, 0, PRIVATE, 0), -EINVAL);
	assert_int_equal(set_vm_attributes(&f, -f.page, 2 * f.page, PRIVATE, 0), -EINVAL);
	assert_int_equal(set_vm_attributes(&f, 0, f.page, PRIVATE | 1, 0), -EINVAL);
	assert_int_equal(set_vm_attributes(&f, 0, f.page, PRIVATE, 1), -EINVAL);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, f.vm, GMEM_KVM_SET_MEMORY_ATTRIBUTES, NULL),
			 -EFAULT);
	assert_int_equal(fake_kvm_gpa_private_bytes(f.fake, f.vm), 999 * f.page);
	finish(&f);
}

static void v1_vm_without_private_memory(void **state)
{
	struct fake_kvm_config config = fake_kvm_linux_6_18_sw;
	struct fixture f;

	config.private_memory = false;
	f = start(&config);
	assert_int_equal(set_vm_attributes(&f, 0, f.page, PRIVATE, 0), -EINVAL);
	assert_int_equal(set_vm_attributes(&f, 0, f.page, 0, 0), 0);
	finish(&f);
	f = start(&fake_kvm_linux_6_18);
	assert_int_equal(set_vm_attributes(&f, 0, f.page, 0, 0), -ENOTTY);
	finish(&f);
}

static void s6_vm_attributes_outlive_the_slot(void **state)
{
	struct fixture f = start(&fake_kvm_linux_6_8);

	assert_int_equal(set_region2(&f, region(&f, 0, 0, 1)), 0);
	assert_int_equal(set_vm_attributes(&f, 0, f.page, PRIVATE, 0), 0);
	assert_int_equal(set_region2(&f, region(&f, 0, 0, 0)), 0);
	assert_int_equal(fake_kvm_gpa_attributes(f.fake, f.vm, 0), PRIVATE);
	finish(&f);
}

static void p2_p4_p5_busy_page_stops_all_of_it(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 8 * f.page, FLAG_INIT_SHARED);
	struct gmem_kvm_memory_attributes2 argument = {
		.offset = f.page,
		.size = 4 * f.page,
		.attributes = PRIVATE,
		.error_offset = 77,
	};

	fake_kvm_set_busy_page(f.fake, fd, 3 * f.page);
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2,
					   &argument),
			 -EAGAIN);
	assert_int_equal(argument.error_offset, 3 * f.page);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, fd), 0);
	/* What does not touch it goes through. */
	assert_int_equal(set_file_attributes(&f, fd, 0, 3 * f.page, PRIVATE), 0);
	assert_int_equal(set_file_attributes(&f, fd, 4 * f.page, 4 * f.page, PRIVATE), 0);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, fd), 7 * f.page);
	/* Private already but for the busy page: still fails. */
	assert_int_equal(set_file_attributes(&f, fd, 0, 8 * f.page, PRIVATE), -EAGAIN);
	assert_int_equal(set_file_attributes(&f, fd, 0, 8 * f.page, 0), 0);
	fake_kvm_set_busy_page(f.fake, fd, FAKE_NO_PAGE);
	assert_int_equal(set_file_attributes(&f, fd, 0, 8 * f.page, PRIVATE), 0);
	close_file(&f, fd);
	finish(&f);
}

static void p5_refusals_leave_the_error_offset_alone(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 4 * f.page, FLAG_INIT_SHARED);
	const struct gmem_kvm_memory_attributes2 good = { .size = f.page,
							  .attributes = PRIVATE,
							  .error_offset = 77 };
	struct gmem_kvm_memory_attributes2 argument;

#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		argument = good;                                                                   \
		argument.field = (value);                                                          \
		assert_int_equal(gmem_kernel_ioctl(&f.kernel, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, \
						   &argument),                                     \
				 -EINVAL);                                                         \
		assert_int_equal(argument.error_offset, 77);                                       \
	} while (0)
	REFUSED(offset, 1);
	REFUSED(offset, 4 * f.page);
	REFUSED(offset, -f.page);
	REFUSED(size, 0);
	REFUSED(size, f.page - 1);
	REFUSED(size, 5 * f.page);
	REFUSED(attributes, PRIVATE | 1);
	REFUSED(flags, 1);
	REFUSED(reserved[0], 1);
	REFUSED(reserved[10], 1);
#undef REFUSED
	assert_int_equal(gmem_kernel_ioctl(&f.kernel, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, NULL),
			 -EFAULT);
	assert_int_equal(set_file_attributes(&f, f.vm, 0, f.page, PRIVATE), -ENOTTY);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, fd), 0);
	close_file(&f, fd);
	finish(&f);

	/* A VM without private memory: even for attributes 0. */
	f = start(&fake_kvm_in_place_default);
	fd = created(&f, f.page, FLAG_INIT_SHARED);
	assert_int_equal(set_file_attributes(&f, fd, 0, f.page, 0), -EINVAL);
	close_file(&f, fd);
	finish(&f);
}

static void p6_already_right_is_success(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 4 * f.page, 0);

	/* Even of a page that is busy: it is looked at only when it is shared. */
	fake_kvm_set_busy_page(f.fake, fd, 0);
	assert_int_equal(set_file_attributes(&f, fd, 0, 4 * f.page, PRIVATE), 0);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, fd), 4 * f.page);
	assert_int_equal(set_file_attributes(&f, fd, 0, 4 * f.page, 0), 0);
	assert_int_equal(set_file_attributes(&f, fd, 0, 4 * f.page, 0), 0);
	assert_int_equal(fake_kvm_file_private_bytes(f.fake, fd), 0);
	close_file(&f, fd);
	finish(&f);
}

/* Mappings. */

static void large_pages_align_mappings(void **state)
{
	struct fake_kvm_config config = fake_kvm_in_place;
	struct statfs file_system;
	struct fixture f;
	char *memory;
	int fd, i;

	config.page_size = 65536;
	f = start(&config);
	fd = gmem_kernel_memfd_create(&f.kernel, "shmem", MFD_CLOEXEC);
	assert_int_equal(gmem_kernel_fstatfs(&f.kernel, fd, &file_system), 0);
	assert_int_equal(file_system.f_bsize, 65536);
	assert_int_equal(gmem_kernel_ftruncate(&f.kernel, fd, 2 * f.page), 0);
	for (i = 0; i < 8; i++) {
		int64_t address =
			gmem_kernel_mmap(&f.kernel, 0, f.page + 1, READ_WRITE, MAP_SHARED, fd, 0);

		assert_true(address > 0);
		assert_int_equal(address % 65536, 0);
		memory = (char *)(uintptr_t)address;
		memory[2 * f.page - 1] = 'm';
		assert_int_equal(gmem_kernel_munmap(&f.kernel, address_of(memory) + 4096, f.page),
				 -EINVAL);
		assert_int_equal(gmem_kernel_madvise(&f.kernel, address_of(memory) + 4096, f.page,
						     MADV_NORMAL),
				 -EINVAL);
		assert_int_equal(gmem_kernel_mmap(&f.kernel, address_of(memory) + 4096, f.page,
						  PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0),
				 -EINVAL);
		assert_int_equal(gmem_kernel_mmap(&f.kernel, 0, f.page, PROT_READ, MAP_SHARED, fd,
						  4096),
				 -EINVAL);
		/* Rounded up. */
		assert_int_equal(gmem_kernel_munmap(&f.kernel, address_of(memory), f.page + 1), 0);
		assert_int_equal(madvise(memory, 2 * f.page, MADV_NORMAL), -1);
	}
	close_file(&f, fd);
	finish(&f);
}

static void huge_pages_need_none_of_the_host(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	const uint64_t huge = 2u << 20;
	struct statfs file_system;
	struct stat status;
	int fd = gmem_kernel_memfd_create(&f.kernel, "huge", MFD_CLOEXEC | MFD_HUGETLB);
	int64_t address;

	assert_true(fd >= 0);
	assert_int_equal(gmem_kernel_memfd_create(&f.kernel, "huge", MFD_HUGETLB | 24u << 26),
			 -ENODEV);
	assert_int_equal(gmem_kernel_fstatfs(&f.kernel, fd, &file_system), 0);
	assert_int_equal(file_system.f_type, HUGETLBFS_MAGIC);
	assert_int_equal(file_system.f_bsize, huge);
	assert_int_equal(gmem_kernel_ftruncate(&f.kernel, fd, huge + f.page), -EINVAL);
	assert_int_equal(gmem_kernel_ftruncate(&f.kernel, fd, 2 * huge), 0);
	assert_int_equal(gmem_kernel_fstat(&f.kernel, fd, &status), 0);
	assert_int_equal(status.st_blksize, huge);
	assert_int_equal(gmem_kernel_mmap(&f.kernel, 0, huge, READ_WRITE, MAP_SHARED, fd, f.page),
			 -EINVAL);
	address = gmem_kernel_mmap(&f.kernel, 0, huge + 1, READ_WRITE, MAP_SHARED, fd, 0);
	assert_true(address > 0);
	assert_int_equal((uint64_t)address % huge, 0);
	((char *)(uintptr_t)address)[2 * huge - 1] = 'm';
	assert_int_equal(gmem_kernel_munmap(&f.kernel, (uint64_t)address, huge + f.page), -EINVAL);
	assert_int_equal(gmem_kernel_munmap(&f.kernel, (uint64_t)address, 2 * huge), 0);
	close_file(&f, fd);

	fd = gmem_kernel_memfd_create(&f.kernel, "huge", MFD_CLOEXEC | MFD_HUGETLB | 30u << 26);
	assert_int_equal(gmem_kernel_fstatfs(&f.kernel, fd, &file_system), 0);
	assert_int_equal(file_system.f_bsize, 1u << 30);
	close_file(&f, fd);
	address = gmem_kernel_mmap(&f.kernel, 0, 1, READ_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	assert_true(address > 0);
	assert_int_equal((uint64_t)address % huge, 0);
	assert_int_equal(gmem_kernel_munmap(&f.kernel, (uint64_t)address, huge), 0);
	finish(&f);
}

static void fixed_mapping_takes_the_place_of_another(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	int fd = created(&f, 3 * f.page, FLAG_MMAP | FLAG_INIT_SHARED);
	char *memory = map_file(&f, fd, 3, 0);

	assert_int_equal(gmem_kernel_mmap(&f.kernel, address_of(memory) + f.page, f.page,
					  READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
					  0),
			 address_of(memory) + f.page);
	memory[f.page] = 'm';
	/* The middle is not the file's any more: it stays when the file turns private. */
	assert_int_equal(set_file_attributes(&f, fd, 0, 3 * f.page, PRIVATE), 0);
	assert_true(faults_at(memory));
	assert_int_equal(memory[f.page], 'm');
	assert_true(faults_at(&memory[2 * f.page]));
	assert_int_equal(unmap(&f, memory, 3), 0);
	close_file(&f, fd);
	finish(&f);
}

/* The record. */

static void record_shows_what_came_through(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct fake_call call;
	int fd;

	fake_kvm_reset_calls(f.fake);
	assert_int_equal(gmem_kernel_close(&f.kernel, 9999), -EBADF);
	assert_int_equal(extension(&f, GMEM_KVM_CAP_NR_MEMSLOTS), 32764);
	fd = created(&f, f.page, FLAG_MMAP);
	assert_int_equal(set_region2(&f, bound(&f, 3, 1, 1, fd, 0)), 0);
	assert_int_equal(set_region2(&f, bound(&f, 4, 1, 1, fd, 0)), -EEXIST);

	assert_int_equal(fake_kvm_call_count(f.fake), 5);
	assert_int_equal(fake_kvm_count(f.fake, GMEM_SYS_IOCTL), 4);
	assert_int_equal(fake_kvm_count(f.fake, GMEM_SYS_CLOSE), 1);
	assert_int_equal(fake_kvm_count(f.fake, GMEM_SYS_MMAP), 0);
	assert_int_equal(fake_kvm_count_ioctl(f.fake, GMEM_KVM_SET_USER_MEMORY_REGION2), 2);
	assert_int_equal(fake_kvm_count_ioctl(f.fake, GMEM_KVM_SET_USER_MEMORY_REGION), 0);
	assert_true(fake_kvm_get_call(f.fake, 0, &call));
	assert_int_equal(call.nr, GMEM_SYS_CLOSE);
	assert_int_equal(call.arg[0], 9999);
	assert_int_equal(call.result, -EBADF);
	assert_true(fake_kvm_get_ioctl(f.fake, GMEM_KVM_CREATE_GUEST_MEMFD, 0, &call));
	assert_int_equal(call.result, fd);
	assert_int_equal(call.data[0], f.page);
	assert_int_equal(call.data[1], FLAG_MMAP);
	assert_true(fake_kvm_get_ioctl(f.fake, GMEM_KVM_SET_USER_MEMORY_REGION2, 1, &call));
	assert_int_equal((uint32_t)call.data[0], 4);
	assert_int_equal(call.result, -EEXIST);
	assert_false(fake_kvm_get_ioctl(f.fake, GMEM_KVM_SET_USER_MEMORY_REGION2, 2, &call));
	assert_false(fake_kvm_get_call(f.fake, 5, &call));
	fake_kvm_reset_calls(f.fake);
	assert_int_equal(fake_kvm_call_count(f.fake), 0);
	close_file(&f, fd);
	finish(&f);
}

static void door_leaves_errno_alone_and_knows_no_more_numbers(void **state)
{
	static const uint64_t none[GMEM_SYS_ARGUMENTS];
	struct fixture f = start(&fake_kvm_in_place);

	errno = ENOTBLK;
	assert_int_equal(gmem_kernel_close(&f.kernel, 9999), -EBADF);
	assert_int_equal(set_region2(&f, region(&f, 0, 1, 0)), -EINVAL);
	assert_int_equal(f.kernel.call(0, none, f.kernel.opaque), -ENOSYS);
	assert_int_equal(f.kernel.call(1000, none, f.kernel.opaque), -ENOSYS);
	assert_int_equal(errno, ENOTBLK);
	finish(&f);
}

#define THREADS 8u
#define ROUNDS 200u

struct worker {
	struct fixture *f;
	uint32_t number;
	int failures;
};

/* Each thread has a slot, a range and a file of its own. */
static void *work(void *opaque)
{
	struct worker *worker = opaque;
	const struct fixture *f = worker->f;
	uint32_t round;

	for (round = 0; round < ROUNDS; round++) {
		uint64_t gpa = 16u * worker->number;
		int fd = create(f, 2 * f->page, FLAG_MMAP | FLAG_INIT_SHARED);
		int64_t address =
			gmem_kernel_mmap(&f->kernel, 0, 2 * f->page, READ_WRITE, MAP_SHARED, fd, 0);

		worker->failures += fd < 0 || address < 0;
		worker->failures += set_region2(f, bound(f, worker->number, gpa, 2, fd, 0)) != 0;
		worker->failures += set_file_attributes(f, fd, 0, f->page, PRIVATE) != 0;
		worker->failures += set_region2(f, region(f, worker->number, 0, 0)) != 0;
		worker->failures +=
			gmem_kernel_munmap(&f->kernel, (uint64_t)address, 2 * f->page) != 0;
		worker->failures += gmem_kernel_close(&f->kernel, fd) != 0;
	}
	return NULL;
}

static void many_threads_may_call(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	uint32_t i;

	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ &f, i, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(workers[i].failures, 0);
	}
	assert_int_equal(fake_kvm_count(f.fake, GMEM_SYS_MMAP), THREADS * ROUNDS);
	assert_int_equal(fake_kvm_slot_count(f.fake, f.vm), 0);
	assert_int_equal(fake_kvm_open_files(f.fake), 0);
	finish(&f);
}

static void two_fakes_do_not_know_each_other(void **state)
{
	struct fixture a = start(&fake_kvm_in_place);
	struct fixture b = start(&fake_kvm_old);
	int fd = created(&a, a.page, 0);

	assert_int_equal(gmem_kernel_ioctl_value(&b.kernel, a.vm, GMEM_KVM_CHECK_EXTENSION, 10),
			 -ENOTTY);
	assert_false(fake_kvm_is_guest_memfd(b.fake, fd));
	close_file(&a, fd);
	finish(&a);
	finish(&b);
}

static void free_of_null_is_nothing(void **state)
{
	fake_kvm_free(NULL);
	faults_free(NULL);
	leaks_free(NULL);
	leaks_snapshot_free(NULL);
	logs_free(NULL);
}

/* Fault injection. */

static void faults_fail_the_nth_call_of_a_kind(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct faults *faults = faults_new(&f.kernel);
	struct gmem_kernel kernel = faults_kernel(faults);
	int i;

	/* Nothing is set: all passes, all is counted. */
	assert_int_equal(gmem_kernel_page_size(&kernel), f.page);
	assert_int_equal(faults_count(faults), 1);

	faults_fail(faults, GMEM_SYS_IOCTL, GMEM_KVM_CHECK_EXTENSION, 2, EPERM);
	fake_kvm_reset_calls(f.fake);
	for (i = 1; i <= 4; i++) {
		assert_int_equal(gmem_kernel_ioctl_value(&kernel, f.vm, GMEM_KVM_CHECK_EXTENSION,
							 GMEM_KVM_CAP_GUEST_MEMFD),
				 i == 2 ? -EPERM : 1);
		/* Another request, another number: not counted. */
		assert_int_equal(gmem_kernel_ioctl_value(&kernel, f.vm, GMEM_KVM_GET_API_VERSION,
							 0),
				 -ENOTTY);
		assert_int_equal(gmem_kernel_page_size(&kernel), f.page);
	}
	assert_int_equal(faults_count(faults), 4);
	assert_int_equal(faults_failed(faults), 1);
	/* It never reached the other side. */
	assert_int_equal(fake_kvm_count_ioctl(f.fake, GMEM_KVM_CHECK_EXTENSION), 3);
	faults_free(faults);
	finish(&f);
}

static void faults_of_any_kind_from_the_nth_on(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct faults *faults = faults_new(&f.kernel);
	struct gmem_kernel kernel = faults_kernel(faults);

	faults_fail(faults, FAULTS_ANY, FAULTS_ANY, 2, EMFILE);
	assert_int_equal(gmem_kernel_page_size(&kernel), f.page);
	assert_int_equal(gmem_kernel_fcntl(&kernel, f.vm, F_GETFD, 0), -EMFILE);
	assert_int_equal(gmem_kernel_fcntl(&kernel, f.vm, F_GETFD, 0), FD_CLOEXEC);

	faults_fail_from(faults, GMEM_SYS_IOCTL, FAULTS_ANY, 2, EMFILE);
	assert_int_equal(gmem_kernel_ioctl_value(&kernel, f.vm, GMEM_KVM_GET_API_VERSION, 0),
			 -ENOTTY);
	assert_int_equal(gmem_kernel_ioctl_value(&kernel, f.vm, GMEM_KVM_GET_API_VERSION, 0),
			 -EMFILE);
	assert_int_equal(gmem_kernel_ioctl_value(&kernel, f.vm, GMEM_KVM_CHECK_EXTENSION, 0),
			 -EMFILE);
	assert_int_equal(gmem_kernel_page_size(&kernel), f.page);
	assert_int_equal(faults_failed(faults), 2);
	faults_off(faults);
	assert_int_equal(gmem_kernel_ioctl_value(&kernel, f.vm, GMEM_KVM_GET_API_VERSION, 0),
			 -ENOTTY);
	assert_int_equal(faults_count(faults), 4);
	assert_int_equal(faults_failed(faults), 2);
	faults_free(faults);
	finish(&f);
}

static void failed_close_has_closed(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct faults *faults = faults_new(&f.kernel);
	struct gmem_kernel kernel = faults_kernel(faults);
	int fd = created(&f, f.page, 0);

	faults_fail(faults, GMEM_SYS_CLOSE, FAULTS_ANY, 1, EIO);
	assert_int_equal(gmem_kernel_close(&kernel, fd), -EIO);
	assert_int_equal(fake_kvm_open_files(f.fake), 0);
	faults_free(faults);
	finish(&f);
}

/* Kept from the optimiser, which may do without an allocation that nobody looks at. */
static void *volatile kept;

static bool allocates(void *memory)
{
	kept = memory;
	free(kept);
	return memory != NULL;
}

static bool allocate(int how)
{
	void *memory = NULL;

	switch (how) {
	case 0:
		return allocates(malloc(10));
	case 1:
		return allocates(calloc(2, 5));
	case 2:
		return allocates(realloc(NULL, 10));
	case 3:
		return allocates(reallocarray(NULL, 2, 5));
	case 4:
		return allocates(aligned_alloc(64, 64));
	case 5:
		return posix_memalign(&memory, 64, 64) == 0 && allocates(memory);
	case 6:
		return allocates(strdup("text"));
	default:
		return allocates(strndup("text", 2));
	}
}

#define WAYS_TO_ALLOCATE 8

static void allocations_of_every_kind_fail(void **state)
{
	int how;

	for (how = 0; how < WAYS_TO_ALLOCATE; how++) {
		allocations_fail(2);
		assert_true(allocate(how));
		assert_false(allocate(how));
		assert_true(allocate(how));
		assert_int_equal(allocations_off(), 3);
		assert_int_equal(allocations_failed(), 1);
		assert_true(allocate(how));
	}
}

static void allocations_fail_from_the_nth_on(void **state)
{
	allocations_fail_from(3);
	assert_true(allocate(0));
	assert_true(allocate(1));
	assert_false(allocate(0));
	assert_false(allocate(6));
	assert_int_equal(allocations_off(), 4);
	assert_int_equal(allocations_failed(), 2);

	allocations_count_only();
	assert_true(allocate(0));
	assert_int_equal(allocations_off(), 1);
	assert_int_equal(allocations_failed(), 0);
	/* Off: not counted. */
	assert_true(allocate(0));
	assert_int_equal(allocations_off(), 1);
}

static void allocations_of_the_support_do_not_count(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct leaks *leaks = leaks_new(&f.kernel);
	struct gmem_kernel kernel = leaks_kernel(leaks);
	struct logs *logs = logs_new();
	struct gmem_kvm_create_guest_memfd argument = { .size = f.page, .flags = FLAG_MMAP };
	int64_t address;
	int fd, i;

	allocations_fail_from(1);
	fd = gmem_kernel_ioctl(&kernel, f.vm, GMEM_KVM_CREATE_GUEST_MEMFD, &argument);
	address = gmem_kernel_mmap(&kernel, 0, f.page, READ_WRITE, MAP_SHARED, fd, 0);
	gmem_kernel_munmap(&kernel, (uint64_t)address, f.page);
	gmem_kernel_close(&kernel, fd);
	/* More than the record has room for at first. */
	for (i = 0; i < 100; i++)
		gmem_kernel_page_size(&kernel);
	logs_collect(GMEM_LOG_ERROR, "text", logs);
	assert_int_equal(allocations_off(), 0);
	assert_true(fd >= 0 && address > 0);
	assert_int_equal(logs_count(logs), 1);
	logs_free(logs);
	leaks_free(leaks);
	finish(&f);
}

static void allocations_of_the_library_count(void **state)
{
	struct gmem_ctx *ctx = NULL;

	allocations_fail(1);
	assert_int_equal(gmem_ctx_new(&ctx), -ENOMEM);
	assert_true(allocations_off() >= 1);
	assert_null(ctx);
	assert_int_equal(gmem_ctx_new(&ctx), 0);
	gmem_ctx_free(ctx);
}

/* Leaks. */

/* A fake behind a leak detector, and a snapshot. */
struct leak_fixture {
	struct fixture f;
	struct leaks *leaks;
	struct leaks_snapshot *snapshot;
};

static struct leak_fixture start_leaks(void)
{
	struct leak_fixture l = { .f = start(&fake_kvm_in_place) };

	l.leaks = leaks_new(&l.f.kernel);
	l.f.kernel = leaks_kernel(l.leaks);
	l.snapshot = leaks_take(l.leaks);
	return l;
}

static void finish_leaks(struct leak_fixture *l)
{
	leaks_snapshot_free(l->snapshot);
	leaks_free(l->leaks);
	finish(&l->f);
}

/* Whether the detector is content; else its words contain this. */
static void expect_leak(const struct leak_fixture *l, const char *words)
{
	char text[256] = "";
	bool same = leaks_compare(l->leaks, l->snapshot, text, sizeof(text));

	if (!words) {
		assert_string_equal(text, "");
		assert_true(same);
	} else {
		assert_false(same);
		assert_non_null(strstr(text, words));
	}
}

static void leaks_of_descriptors_are_seen(void **state)
{
	struct leak_fixture l = start_leaks();
	int file = created(&l.f, l.f.page, 0);
	int dup, shmem;

	expect_leak(&l, "left behind");
	assert_int_equal(leaks_descriptors(l.leaks), 1);
	dup = gmem_kernel_fcntl(&l.f.kernel, file, F_DUPFD_CLOEXEC, 0);
	shmem = gmem_kernel_memfd_create(&l.f.kernel, "shmem", MFD_CLOEXEC);
	assert_int_equal(leaks_descriptors(l.leaks), 3);
	assert_int_equal(gmem_kernel_fcntl(&l.f.kernel, shmem, F_GETFD, 0), FD_CLOEXEC);
	close_file(&l.f, shmem);
	close_file(&l.f, file);
	expect_leak(&l, "left behind");
	close_file(&l.f, dup);
	expect_leak(&l, NULL);
	/* One that went past the door. */
	dup = fcntl(l.f.vm, F_DUPFD_CLOEXEC, 0);
	expect_leak(&l, "of the process");
	close(dup);
	expect_leak(&l, NULL);
	finish_leaks(&l);
}

static void leaks_of_mappings_are_seen(void **state)
{
	struct leak_fixture l = start_leaks();
	uint64_t page = l.f.page;
	int64_t address = gmem_kernel_mmap(&l.f.kernel, 0, 4 * page - 1, PROT_READ,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(address > 0);
	assert_int_equal(leaks_mapped(l.leaks), 4 * page);
	/* Mapped over: the same bytes. */
	assert_int_equal(gmem_kernel_mmap(&l.f.kernel, (uint64_t)address + page, page, PROT_READ,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 address + (int64_t)page);
	assert_int_equal(leaks_mapped(l.leaks), 4 * page);
	assert_int_equal(gmem_kernel_munmap(&l.f.kernel, (uint64_t)address, 3 * page), 0);
	assert_int_equal(leaks_mapped(l.leaks), page);
	expect_leak(&l, "mapping");
	/* A call that fails changes nothing. */
	assert_int_equal(gmem_kernel_munmap(&l.f.kernel, (uint64_t)address + 3 * page + 1, page),
			 -EINVAL);
	assert_int_equal(leaks_mapped(l.leaks), page);
	assert_int_equal(gmem_kernel_munmap(&l.f.kernel, (uint64_t)address + 3 * page, page), 0);
	assert_int_equal(leaks_foreign_unmaps(l.leaks), 0);
	expect_leak(&l, NULL);
	finish_leaks(&l);
}

static void giving_back_what_is_not_ours_is_seen(void **state)
{
	struct leak_fixture l = start_leaks();
	char *memory = mmap(NULL, l.f.page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(gmem_kernel_munmap(&l.f.kernel, address_of(memory), l.f.page), 0);
	assert_int_equal(leaks_foreign_unmaps(l.leaks), l.f.page);
	expect_leak(&l, "unmapped");
	leaks_snapshot_free(l.snapshot);
	l.snapshot = leaks_take(l.leaks);
	expect_leak(&l, NULL);
	/* Twice. */
	assert_int_equal(gmem_kernel_close(&l.f.kernel, 9999), -EBADF);
	assert_int_equal(leaks_foreign_closes(l.leaks), 1);
	expect_leak(&l, "closed");
	finish_leaks(&l);
}

static void no_leak_passes_the_assertion(void **state)
{
	struct leak_fixture l = start_leaks();

	close_file(&l.f, created(&l.f, l.f.page, 0));
	assert_no_leaks(l.leaks, l.snapshot);
	l.snapshot = NULL;
	finish_leaks(&l);
}

/* Messages. */

static bool check_logs(struct logs *logs, uint32_t level, const char *first, const char *second)
{
	const char *const substrings[] = { first, second, NULL };
	char why[256] = "";
	bool right = logs_check(logs, level, substrings, why, sizeof(why));

	assert_int_equal(right, why[0] == 0);
	return right;
}

static void one_message_is_expected(void **state)
{
	struct logs *logs = logs_new();

	logs_collect(GMEM_LOG_ERROR, "region \"ram0\": size 0x1001 is odd", logs);
	expect_one_message(logs, GMEM_LOG_ERROR, "region \"ram0\"", "0x1001");
	expect_no_message(logs);
	assert_false(check_logs(logs, GMEM_LOG_ERROR, NULL, NULL));
	logs_collect(GMEM_LOG_DEBUG, "one", logs);
	assert_false(check_logs(logs, GMEM_LOG_ERROR, "one", NULL));
	logs_collect(GMEM_LOG_ERROR, "one", logs);
	assert_false(check_logs(logs, GMEM_LOG_ERROR, "one", "two"));
	logs_collect(GMEM_LOG_ERROR, "one\n", logs);
	assert_false(check_logs(logs, GMEM_LOG_ERROR, "one", NULL));
	logs_collect(GMEM_LOG_ERROR, "", logs);
	assert_false(check_logs(logs, GMEM_LOG_ERROR, "", NULL));
	logs_collect(GMEM_LOG_ERROR, "one", logs);
	logs_collect(GMEM_LOG_ERROR, "two", logs);
	assert_false(check_logs(logs, GMEM_LOG_ERROR, NULL, NULL));
	logs_collect(GMEM_LOG_INFO, "one", logs);
	assert_false(check_logs(logs, GMEM_LOG_NONE, NULL, NULL));
	/* A check forgets. */
	assert_int_equal(logs_count(logs), 0);
	assert_true(check_logs(logs, GMEM_LOG_NONE, NULL, NULL));
	logs_free(logs);
}

static void messages_can_be_looked_at(void **state)
{
	struct logs *logs = logs_new();
	char text[8];

	logs_collect(GMEM_LOG_WARNING, "one", logs);
	logs_collect(GMEM_LOG_INFO, "a letter", logs);
	assert_int_equal(logs_count(logs), 2);
	assert_int_equal(logs_get(logs, 0, text, sizeof(text)), GMEM_LOG_WARNING);
	assert_string_equal(text, "one");
	assert_int_equal(logs_get(logs, 1, text, sizeof(text)), GMEM_LOG_INFO);
	assert_string_equal(text, "a lette");
	assert_int_equal(logs_get(logs, 2, text, sizeof(text)), GMEM_LOG_NONE);
	logs_reset(logs);
	assert_int_equal(logs_count(logs), 0);
	logs_free(logs);
}

static void context_sends_its_messages_to_the_logs(void **state)
{
	struct fixture f = start(&fake_kvm_in_place);
	struct logs *logs = logs_new();
	struct gmem_ctx *ctx = logs_new_ctx(logs, &f.kernel);

	assert_non_null(ctx);
	expect_no_message(logs);
	gmem_ctx_free(ctx);
	logs_free(logs);
	finish(&f);
}

/* Spans, against a plain array. */

#define POINTS 64u

static void compare_spans(const struct spans *spans, const bool *model)
{
	uint64_t total = 0, i, at = 0;

	for (i = 0; i < POINTS; i++) {
		assert_int_equal(spans_has(spans, i), model[i]);
		total += model[i];
	}
	assert_int_equal(spans_total(spans, 0, UINT64_MAX), total);
	for (i = 1; i < spans->count; i++)
		assert_true(spans->at[i - 1].end < spans->at[i].start);
	while (at < POINTS) {
		bool in;
		uint64_t end = spans_run(spans, at, POINTS, &in);

		assert_true(end > at && end <= POINTS);
		for (i = at; i < end; i++)
			assert_int_equal(model[i], in);
		assert_true(end == POINTS || model[end] != in);
		at = end;
	}
}

static void spans_equal_a_plain_array(void **state)
{
	bool model[POINTS] = { false };
	struct spans spans = { 0 }, copy = { 0 };
	unsigned int seed = 20240611, round;

	for (round = 0; round < 5000; round++) {
		uint64_t start = (uint64_t)rand_r(&seed) % POINTS;
		uint64_t end = start + (uint64_t)rand_r(&seed) % (POINTS - start + 1);
		bool add = rand_r(&seed) % 2;
		uint64_t i;

		if (add)
			spans_add(&spans, start, end);
		else
			spans_remove(&spans, start, end);
		for (i = start; i < end; i++)
			model[i] = add;
		compare_spans(&spans, model);
		spans_copy(&copy, &spans);
		assert_true(spans_equal(&copy, &spans));
	}
	spans_clear(&spans);
	assert_int_equal(spans.count, 0);
	spans_clear(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(presets_answer_their_capabilities),
		cmocka_unit_test(every_capability_can_be_set),
		cmocka_unit_test(ioctls_know_their_descriptors),
		cmocka_unit_test(vm_descriptor_is_an_anonymous_inode),
		cmocka_unit_test(vm_may_be_closed_early_and_its_number_reused),
		cmocka_unit_test(more_vms_have_their_own_slots),
		cmocka_unit_test(device_attributes_are_where_they_are_set),
		cmocka_unit_test(old_kernel_has_only_the_old_memslots),
		cmocka_unit_test(c1_probe_tells_who_tracks),
		cmocka_unit_test(c2_vm_ioctl_does_nothing_where_files_track),
		cmocka_unit_test(f1_size_is_pages_and_may_be_huge),
		cmocka_unit_test(f1_page_size_can_be_any),
		cmocka_unit_test(f2_new_file_is_not_close_on_exec),
		cmocka_unit_test(f3_creation_flags_by_vm),
		cmocka_unit_test(f3_init_shared_is_refused_even_where_it_is_announced),
		cmocka_unit_test(f3_initial_state_by_tracking),
		cmocka_unit_test(f4_mmap_rules),
		cmocka_unit_test(f4_populate_passes_over_private_pages),
		cmocka_unit_test(f5_private_page_raises_sigbus),
		cmocka_unit_test(f8_fallocate_rules),
		cmocka_unit_test(f8_punching_changes_no_attribute),
		cmocka_unit_test(f9_madvise_rules),
		cmocka_unit_test(f9_remove_punches_private_pages_too),
		cmocka_unit_test(f9_dont_fork_outlives_conversions),
		cmocka_unit_test(f10_file_keeps_the_policy_where_honoured),
		cmocka_unit_test(f10_mbind_without_effect_on_6_18),
		cmocka_unit_test(f10_mbind_judges_its_arguments),
		cmocka_unit_test(f11_file_refuses_what_files_do),
		cmocka_unit_test(f12_only_its_own_vm_binds_a_file),
		cmocka_unit_test(f12_child_cannot_call_the_vm),
		cmocka_unit_test(s1_each_page_of_a_file_is_bound_once),
		cmocka_unit_test(s1_binding_judges_file_and_range),
		cmocka_unit_test(s2_guest_memfd_slot_cannot_change),
		cmocka_unit_test(s3_plain_slot_over_the_mapping),
		cmocka_unit_test(s3_plain_slot_changes_its_dirty_log_and_address_alone),
		cmocka_unit_test(s4_any_userspace_address_is_accepted),
		cmocka_unit_test(s5_slot_holds_no_reference),
		cmocka_unit_test(slots_judge_ranges_and_numbers),
		cmocka_unit_test(readonly_slots_need_their_capability),
		cmocka_unit_test(v1_vm_attributes),
		cmocka_unit_test(v1_vm_without_private_memory),
		cmocka_unit_test(s6_vm_attributes_outlive_the_slot),
		cmocka_unit_test(p2_p4_p5_busy_page_stops_all_of_it),
		cmocka_unit_test(p5_refusals_leave_the_error_offset_alone),
		cmocka_unit_test(p6_already_right_is_success),
		cmocka_unit_test(large_pages_align_mappings),
		cmocka_unit_test(huge_pages_need_none_of_the_host),
		cmocka_unit_test(fixed_mapping_takes_the_place_of_another),
		cmocka_unit_test(record_shows_what_came_through),
		cmocka_unit_test(door_leaves_errno_alone_and_knows_no_more_numbers),
		cmocka_unit_test(many_threads_may_call),
		cmocka_unit_test(two_fakes_do_not_know_each_other),
		cmocka_unit_test(free_of_null_is_nothing),
		cmocka_unit_test(faults_fail_the_nth_call_of_a_kind),
		cmocka_unit_test(faults_of_any_kind_from_the_nth_on),
		cmocka_unit_test(failed_close_has_closed),
		cmocka_unit_test(allocations_of_every_kind_fail),
		cmocka_unit_test(allocations_fail_from_the_nth_on),
		cmocka_unit_test(allocations_of_the_support_do_not_count),
		cmocka_unit_test(allocations_of_the_library_count),
		cmocka_unit_test(leaks_of_descriptors_are_seen),
		cmocka_unit_test(leaks_of_mappings_are_seen),
		cmocka_unit_test(giving_back_what_is_not_ours_is_seen),
		cmocka_unit_test(no_leak_passes_the_assertion),
		cmocka_unit_test(one_message_is_expected),
		cmocka_unit_test(messages_can_be_looked_at),
		cmocka_unit_test(context_sends_its_messages_to_the_logs),
		cmocka_unit_test(spans_equal_a_plain_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
