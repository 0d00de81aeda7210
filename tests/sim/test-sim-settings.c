// SPDX-License-Identifier: LGPL-2.1-or-later
/* Beginning and end of a simulator, presets, settings, capabilities. */
#include "sim-kit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint32_t all_presets[] = { GMEM_SIM_OLD, GMEM_SIM_LINUX_6_8, GMEM_SIM_LINUX_6_18,
					GMEM_SIM_IN_PLACE };

static void new_and_free(void **state)
{
	unsigned int before = kit_open_descriptors();
	struct gmem_sim *sim;
	size_t i;

	(void)state;
	assert_int_equal(gmem_sim_new(GMEM_SIM_OLD, NULL), -EINVAL);
	sim = (struct gmem_sim *)&i;
	assert_int_equal(gmem_sim_new(0, &sim), -EINVAL);
	assert_null(sim);
	assert_int_equal(gmem_sim_new(5, &sim), -EINVAL);
	for (i = 0; i < 4; i++) {
		assert_int_equal(gmem_sim_new(all_presets[i], &sim), 0);
		assert_true(kit_open_descriptors() <= before + 3);
		gmem_sim_free(sim);
	}
	gmem_sim_free(NULL);
	assert_int_equal(kit_open_descriptors(), before);
}

/* Its memory and descriptors come back, however it was closed. */
static void system_again_and_again(void **state)
{
	unsigned int before, i;
	struct kit kit;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	before = kit_open_descriptors();
	for (i = 0; i < 20; i++) {
		fd = gmem_sim_open_system(kit.sim);
		assert_true(fd >= 0);
		assert_int_equal(kit_close(&kit, fd), 0);
		assert_int_equal(kit_open_descriptors(), before);
	}
	for (i = 0; i < 20; i++) {
		fd = gmem_sim_open_system(kit.sim);
		assert_true(fd >= 0);
		assert_true(kit_open_descriptors() <= before + 2);
		assert_int_equal(close(fd), 0);
	}
	kit_free(&kit);
}

static void no_descriptor_left(void **state)
{
	struct rlimit limit, none;
	struct gmem_sim *sim, *other;
	void *run;
	int vm;

	(void)state;
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	vm = gmem_sim_create_vm(sim, SW);
	assert_true(vm >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &other), -EMFILE);
	assert_int_equal(gmem_sim_open_system(sim), -EMFILE);
	assert_int_equal(gmem_sim_create_vm(sim, SW), -EMFILE);
	assert_int_equal(gmem_sim_create_vcpu(sim, vm, &run), -EMFILE);
	assert_null(run);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(vm);
	gmem_sim_free(sim);
}

/* Every number of descriptors that is too small, so that each step fails once. */
static void too_few_descriptors(void **state)
{
	struct rlimit limit, few;
	unsigned int before;
	struct kit kit;
	int fd = -EMFILE;
	void *run;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	before = kit_open_descriptors();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	for (few.rlim_cur = 0; fd == -EMFILE; few.rlim_cur++) {
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		fd = kit_create(&kit, PAGE, MMAP_FLAG);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (fd == -EMFILE)
			assert_int_equal(kit_open_descriptors(), before);
	}
	assert_true(fd >= 0);
	kit_close(&kit, fd);
	fd = -EMFILE;
	for (few.rlim_cur = 0; fd == -EMFILE; few.rlim_cur++) {
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		fd = gmem_sim_create_vcpu(kit.sim, kit.vm, &run);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (fd == -EMFILE)
			assert_int_equal(kit_open_descriptors(), before);
	}
	assert_true(fd >= 0);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void each_setting(void **state)
{
	static const struct {
		uint32_t setting;
		uint64_t good;
		uint64_t bad;
	} all[] = {
		{ GMEM_SIM_PAGE_SIZE, 65536, 8192 },
		{ GMEM_SIM_PAGE_SIZE, 16384, 0 },
		{ GMEM_SIM_VM_TYPES, 1 | 1 << SW | 1 << SNP | 1 << TDX, 1 << 2 },
		{ GMEM_SIM_SLOTS, 32767, 32768 },
		{ GMEM_SIM_SLOTS, 1, 0 },
		{ GMEM_SIM_PREFAULT, 0, 2 },
		{ GMEM_SIM_CONTENTS, GMEM_SIM_CONTENTS_DESTROYED, 3 },
		{ GMEM_SIM_TRACKING, GMEM_SIM_TRACKING_NONE, 3 },
		{ GMEM_SIM_CREATE_FLAGS, 1, 4 },
		{ GMEM_SIM_GUEST_MEMFD, 0, 2 },
		{ GMEM_SIM_NUMA, GMEM_SIM_NUMA_ABSENT, 3 },
		{ GMEM_SIM_BIND_ERROR, EINVAL, ENOENT },
		{ GMEM_SIM_SIGBUS, GMEM_SIM_SIGBUS_MAPPING, 3 },
		{ GMEM_SIM_SNP_CERTS, 0, 2 },
		{ GMEM_SIM_MAPPINGS, 0, UINT64_C(1) << 31 },
	};
	struct gmem_sim *sim;
	uint64_t value;
	size_t i;

	(void)state;
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(gmem_sim_set(sim, all[i].setting, all[i].good), 0);
		assert_int_equal(gmem_sim_set(sim, all[i].setting, all[i].bad), -EINVAL);
		assert_int_equal(gmem_sim_get(sim, all[i].setting, &value), 0);
		assert_int_equal(value, all[i].good);
	}
	for (i = GMEM_SIM_SNP_POLICY; i <= GMEM_SIM_SNP_PAGES; i++) {
		assert_int_equal(gmem_sim_set(sim, (uint32_t)i, 100 + i), 0);
		assert_int_equal(gmem_sim_get(sim, (uint32_t)i, &value), 0);
		assert_int_equal(value, 100 + i);
	}
	assert_int_equal(gmem_sim_set(sim, 0, 0), -EINVAL);
	assert_int_equal(gmem_sim_set(sim, 18, 0), -EINVAL);
	assert_int_equal(gmem_sim_set(NULL, GMEM_SIM_SLOTS, 1), -EINVAL);
	assert_int_equal(gmem_sim_get(sim, 0, &value), -EINVAL);
	assert_int_equal(gmem_sim_get(sim, GMEM_SIM_CAPABILITY, &value), -EINVAL);
	assert_int_equal(gmem_sim_get(sim, GMEM_SIM_SLOTS, NULL), -EINVAL);
	assert_int_equal(gmem_sim_get(NULL, GMEM_SIM_SLOTS, &value), -EINVAL);
	gmem_sim_free(sim);
}

static void sigbus_is_decided(void **state)
{
	struct gmem_sim *sim;
	uint64_t value;
	int err;

	(void)state;
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	err = gmem_sim_set(sim, GMEM_SIM_SIGBUS, GMEM_SIM_SIGBUS_USERFAULTFD);
	assert_true(err == 0 || err == -EOPNOTSUPP);
	assert_int_equal(gmem_sim_set(sim, GMEM_SIM_SIGBUS, GMEM_SIM_SIGBUS_AUTO), 0);
	assert_int_equal(gmem_sim_get(sim, GMEM_SIM_SIGBUS, &value), 0);
	assert_int_equal(value, err == 0 ? GMEM_SIM_SIGBUS_USERFAULTFD : GMEM_SIM_SIGBUS_MAPPING);
	gmem_sim_free(sim);
}

static void too_late(void **state)
{
	struct gmem_kernel kernel;
	struct gmem_sim *sim;
	int fd;

	(void)state;
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	assert_int_equal(gmem_sim_get_kernel(sim, &kernel), 0);
	assert_int_equal(gmem_sim_set(sim, GMEM_SIM_SLOTS, 10), -EPROTO);
	gmem_sim_free(sim);
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	fd = gmem_sim_create_vm(sim, SW);
	assert_true(fd >= 0);
	assert_int_equal(gmem_sim_set(sim, GMEM_SIM_SLOTS, 10), -EPROTO);
	close(fd);
	gmem_sim_free(sim);
}

static void get_kernel(void **state)
{
	struct gmem_kernel kernel = { NULL, &kernel };
	struct gmem_sim *sim;

	(void)state;
	assert_int_equal(gmem_sim_get_kernel(NULL, &kernel), -EINVAL);
	assert_null(kernel.opaque);
	assert_int_equal(gmem_sim_new(GMEM_SIM_OLD, &sim), 0);
	assert_int_equal(gmem_sim_get_kernel(sim, NULL), -EINVAL);
	assert_int_equal(gmem_sim_get_kernel(sim, &kernel), 0);
	assert_non_null(kernel.call);
	gmem_sim_free(sim);
}

static int check(struct kit *kit, int fd, uint32_t number)
{
	return kit_ioctl(kit, fd, GMEM_KVM_CHECK_EXTENSION, (void *)(uintptr_t)number);
}

static void chosen_capabilities(void **state)
{
	struct gmem_sim *sim;
	struct kit kit = { .sim = NULL };
	uint64_t i;
	int vm;

	(void)state;
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	for (i = 0; i < 64; i++)
		assert_int_equal(gmem_sim_set(sim, GMEM_SIM_CAPABILITY, (1000 + i) << 32 | i), 0);
	assert_int_equal(gmem_sim_set(sim, GMEM_SIM_CAPABILITY, UINT64_C(2000) << 32 | 1), -ENOSPC);
	assert_int_equal(gmem_sim_set(sim, GMEM_SIM_CAPABILITY, UINT64_C(1005) << 32 | 77), 0);
	assert_int_equal(gmem_sim_set(sim, GMEM_SIM_CAPABILITY, 0x80000000u), -EINVAL);
	assert_int_equal(gmem_sim_get_kernel(sim, &kit.kernel), 0);
	vm = gmem_sim_create_vm(sim, 0);
	assert_int_equal(check(&kit, vm, 1005), 77);
	assert_int_equal(check(&kit, vm, 1006), 6);
	assert_int_equal(check(&kit, vm, 2000), 0);
	close(vm);
	gmem_sim_free(sim);
}

/* What libgmem's probes see: by preset, by type; the system's, then the VM's. */
static void capabilities_of_presets(void **state)
{
	static const struct {
		uint32_t preset;
		uint32_t type;
		uint32_t number;
		int system;
		int vm;
	} all[] = {
		{ GMEM_SIM_OLD, 0, GMEM_KVM_CAP_USER_MEMORY, 1, 1 },
		{ GMEM_SIM_OLD, 0, GMEM_KVM_CAP_USER_MEMORY2, 0, 0 },
		{ GMEM_SIM_OLD, 0, GMEM_KVM_CAP_GUEST_MEMFD, 0, 0 },
		{ GMEM_SIM_OLD, 0, GMEM_KVM_CAP_VM_TYPES, 0, 0 },
		{ GMEM_SIM_OLD, 0, GMEM_KVM_CAP_MEMORY_FAULT_INFO, 0, 0 },
		{ GMEM_SIM_LINUX_6_8, 0, GMEM_KVM_CAP_GUEST_MEMFD, 1, 0 },
		{ GMEM_SIM_LINUX_6_8, SW, GMEM_KVM_CAP_GUEST_MEMFD, 1, 1 },
		{ GMEM_SIM_LINUX_6_8, SW, GMEM_KVM_CAP_GUEST_MEMFD_FLAGS, 0, 0 },
		{ GMEM_SIM_LINUX_6_8, SW, GMEM_KVM_CAP_PRE_FAULT_MEMORY, 0, 0 },
		{ GMEM_SIM_LINUX_6_8, SW, GMEM_KVM_CAP_MEMORY_ATTRIBUTES, 8, 8 },
		{ GMEM_SIM_LINUX_6_8, 0, GMEM_KVM_CAP_MEMORY_ATTRIBUTES, 8, 0 },
		{ GMEM_SIM_LINUX_6_18, 0, GMEM_KVM_CAP_GUEST_MEMFD_FLAGS, 3, 3 },
		{ GMEM_SIM_LINUX_6_18, SW, GMEM_KVM_CAP_GUEST_MEMFD_FLAGS, 3, 1 },
		{ GMEM_SIM_LINUX_6_18, SW, GMEM_KVM_CAP_MEMORY_ATTRIBUTES, 8, 8 },
		{ GMEM_SIM_LINUX_6_18, SW, GMEM_KVM_CAP_VM_TYPES, 19, 19 },
		{ GMEM_SIM_LINUX_6_18, SW, GMEM_KVM_CAP_MULTI_ADDRESS_SPACE, 2, 1 },
		{ GMEM_SIM_LINUX_6_18, 0, GMEM_KVM_CAP_MULTI_ADDRESS_SPACE, 2, 2 },
		{ GMEM_SIM_IN_PLACE, SW, GMEM_KVM_CAP_GUEST_MEMFD_FLAGS, 3, 3 },
		{ GMEM_SIM_IN_PLACE, SW, GMEM_KVM_CAP_MEMORY_ATTRIBUTES, 0, 0 },
		{ GMEM_SIM_IN_PLACE, SW, GMEM_KVM_CAP_NR_MEMSLOTS, 32764, 32764 },
		{ GMEM_SIM_IN_PLACE, SW, GMEM_KVM_CAP_PRE_FAULT_MEMORY, 1, 1 },
		{ GMEM_SIM_IN_PLACE, SW, GMEM_KVM_CAP_EXIT_HYPERCALL, 4096, 4096 },
		{ GMEM_SIM_IN_PLACE, SW, GMEM_KVM_CAP_READONLY_MEM, 1, 1 },
		{ GMEM_SIM_IN_PLACE, SW, 12345, 0, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct kit kit;
		int system;

		kit_new(&kit, all[i].preset, all[i].type);
		system = gmem_sim_open_system(kit.sim);
		assert_true(system >= 0);
		assert_int_equal(check(&kit, system, all[i].number), all[i].system);
		assert_int_equal(check(&kit, kit.vm, all[i].number), all[i].vm);
		kit_close(&kit, system);
		kit_free(&kit);
	}
}

static void system_ioctls(void **state)
{
	struct gmem_kvm_device_attr attribute = { .group = 7 };
	struct kit kit;
	int system, vm;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_open_system(NULL), -EINVAL);
	system = gmem_sim_open_system(kit.sim);
	assert_int_equal(kit_ioctl(&kit, system, GMEM_KVM_GET_API_VERSION, NULL), 12);
	assert_int_equal(kit_ioctl(&kit, system, GMEM_KVM_GET_VCPU_MMAP_SIZE, NULL), 12288);
	vm = kit_ioctl(&kit, system, GMEM_KVM_CREATE_VM, (void *)(uintptr_t)SW);
	assert_true(vm >= 0);
	assert_true(fcntl(vm, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(kit_ioctl(&kit, system, GMEM_KVM_CREATE_VM, (void *)(uintptr_t)TDX),
			 -EINVAL);
	assert_int_equal(kit_ioctl(&kit, system, GMEM_KVM_CREATE_VM, (void *)99), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, system, 0xae99, NULL), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, vm, 0xae99, NULL), -ENOTTY);
	assert_int_equal(kit_ioctl(&kit, kit.vcpu, 0xae99, NULL), -EINVAL);
	assert_int_equal(kit_ioctl(&kit, system, GMEM_KVM_HAS_DEVICE_ATTR, &attribute), -ENXIO);
	assert_int_equal(kit_ioctl(&kit, system, GMEM_KVM_HAS_DEVICE_ATTR, NULL), -EFAULT);
	kit_close(&kit, vm);
	kit_close(&kit, system);
	kit_free(&kit);
}

static void create_vm(void **state)
{
	struct gmem_sim *sim;
	int fd;

	(void)state;
	assert_int_equal(gmem_sim_create_vm(NULL, 0), -EINVAL);
	assert_int_equal(gmem_sim_new(GMEM_SIM_OLD, &sim), 0);
	assert_int_equal(gmem_sim_create_vm(sim, 6), -EINVAL);
	assert_int_equal(gmem_sim_create_vm(sim, SW), -EOPNOTSUPP);
	fd = gmem_sim_create_vm(sim, 0);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	gmem_sim_free(sim);
}

static void create_vcpu(void **state)
{
	struct kit kit;
	void *run;
	void *mapped;
	int fd, file;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_create_vcpu(NULL, kit.vm, &run), -EINVAL);
	assert_int_equal(gmem_sim_create_vcpu(kit.sim, kit.vm, NULL), -EINVAL);
	assert_int_equal(gmem_sim_create_vcpu(kit.sim, kit.vcpu, &run), -EBADF);
	assert_null(run);
	assert_int_equal(gmem_sim_create_vcpu(kit.sim, -1, &run), -EBADF);
	file = kit_create(&kit, PAGE, 0);
	assert_int_equal(gmem_sim_create_vcpu(kit.sim, file, &run), -EBADF);
	kit_close(&kit, file);
	fd = gmem_sim_create_vcpu(kit.sim, kit.vm, &run);
	assert_true(fd >= 0);
	/* The same struct by mmap(), as from KVM. */
	mapped = (void *)(uintptr_t)kit_call(&kit, GMEM_SYS_MMAP, 0, 12288, PROT_READ | PROT_WRITE,
					     MAP_SHARED, (uint64_t)fd, 0);
	((struct sim_kvm_run *)mapped)->exit_reason = 99;
	assert_int_equal(((struct sim_kvm_run *)run)->exit_reason, 99);
	kit_unmap(&kit, mapped, 12288);
	kit_close(&kit, fd);
	/* Its memory outlives the descriptor. */
	((struct sim_kvm_run *)run)->exit_reason = 1;
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_CREATE_VCPU, (void *)1), -EEXIST);
	assert_int_equal(kit_ioctl(&kit, kit.vm, GMEM_KVM_CREATE_VCPU, (void *)1024), -EINVAL);
	fd = kit_ioctl(&kit, kit.vm, GMEM_KVM_CREATE_VCPU, (void *)7);
	assert_true(fd >= 0);
	kit_close(&kit, fd);
	kit_free(&kit);
}

static void all_vcpus(void **state)
{
	struct kit kit;
	unsigned int before;
	void *run;
	int i, fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	before = kit_open_descriptors();
	for (i = 1; i < 1024; i++) {
		fd = gmem_sim_create_vcpu(kit.sim, kit.vm, &run);
		assert_true(fd >= 0);
		kit_close(&kit, fd);
	}
	assert_int_equal(gmem_sim_create_vcpu(kit.sim, kit.vm, &run), -ENOSPC);
	assert_int_equal(kit_open_descriptors(), before);
	kit_free(&kit);
}

static void finish_launch(void **state)
{
	const uint64_t settings[] = { GMEM_SIM_VM_TYPES, 1 | 1 << SW | 1 << TDX, 0 };
	struct kit kit;
	int other;

	(void)state;
	kit_new_with(&kit, GMEM_SIM_IN_PLACE, TDX, settings);
	other = gmem_sim_create_vm(kit.sim, SW);
	assert_int_equal(gmem_sim_finish_launch(NULL, kit.vm), -EINVAL);
	assert_int_equal(gmem_sim_finish_launch(kit.sim, kit.vcpu), -EBADF);
	assert_int_equal(gmem_sim_finish_launch(kit.sim, other), -EOPNOTSUPP);
	assert_int_equal(gmem_sim_finish_launch(kit.sim, kit.vm), 0);
	assert_int_equal(gmem_sim_finish_launch(kit.sim, kit.vm), 0);
	kit_close(&kit, other);
	kit_free(&kit);
}

static void limit_cpuid(void **state)
{
	struct gmem_sim_cpuid limit = { .leaf = 1 };
	struct gmem_sim *sim;
	uint32_t i;

	(void)state;
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &sim), 0);
	assert_int_equal(gmem_sim_limit_cpuid(NULL, &limit), -EINVAL);
	assert_int_equal(gmem_sim_limit_cpuid(sim, NULL), -EINVAL);
	limit.reserved[1] = 1;
	assert_int_equal(gmem_sim_limit_cpuid(sim, &limit), -EINVAL);
	limit.reserved[1] = 0;
	for (i = 0; i < 64; i++) {
		limit.subleaf = i;
		assert_int_equal(gmem_sim_limit_cpuid(sim, &limit), 0);
	}
	assert_int_equal(gmem_sim_limit_cpuid(sim, &limit), 0);
	limit.subleaf = 64;
	assert_int_equal(gmem_sim_limit_cpuid(sim, &limit), -ENOSPC);
	gmem_sim_free(sim);
}

static void digest_of_no_launch(void **state)
{
	uint8_t digest[48];
	struct kit kit;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_get_snp_digest(NULL, kit.vm, digest), -EINVAL);
	assert_int_equal(gmem_sim_get_snp_digest(kit.sim, kit.vm, NULL), -EINVAL);
	assert_int_equal(gmem_sim_get_snp_digest(kit.sim, kit.vcpu, digest), -EBADF);
	memset(digest, 1, sizeof(digest));
	assert_int_equal(gmem_sim_get_snp_digest(kit.sim, kit.vm, digest), -EPROTO);
	assert_int_equal(digest[0] | digest[47], 0);
	kit_free(&kit);
}

/* F12: what a child inherits is dead, but for what the host does. */
static void child_of_fork(void **state)
{
	struct gmem_sim_page page;
	struct gmem_sim_cpuid limit = { 0 };
	struct kit kit;
	int status, fd;
	pid_t child;

	(void)state;
	(void)limit;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	fd = kit_create(&kit, PAGE, MMAP_FLAG);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		uint8_t byte, digest[48];
		uint64_t result;
		void *run;
		int bad = 0;

		bad |= check(&kit, kit.vm, 3) != -EIO;
		bad |= kit_ioctl(&kit, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, NULL) != -EIO;
		bad |= gmem_sim_open_system(kit.sim) != -EIO;
		bad |= gmem_sim_create_vm(kit.sim, 0) != -EIO;
		bad |= gmem_sim_create_vcpu(kit.sim, kit.vm, &run) != -EIO;
		bad |= gmem_sim_finish_launch(kit.sim, kit.vm) != -EIO;
		bad |= gmem_sim_get_snp_digest(kit.sim, kit.vm, digest) != -EIO;
		bad |= gmem_sim_get_page(kit.sim, fd, 0, &page) != -EIO;
		bad |= gmem_sim_pin(kit.sim, fd, 0, PAGE, 0) != -EIO;
		bad |= gmem_sim_unpin(kit.sim, fd, 0, PAGE) != -EIO;
		bad |= gmem_sim_poison(kit.sim, fd, 0) != -EIO;
		bad |= gmem_sim_guest_access(kit.sim, kit.vcpu, 0, &byte, 1, 0) != -EIO;
		bad |= gmem_sim_guest_map_gpa_range(kit.sim, kit.vcpu, 0, 1, 0) != -EIO;
		bad |= gmem_sim_guest_get_result(kit.sim, kit.vcpu, &result) != -EIO;
		bad |= kit_close(&kit, fd) != 0;
		bad |= kit_call(&kit, GMEM_SYS_GETPAGESIZE, 0, 0, 0, 0, 0, 0) != PAGE;
		_exit(bad);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(kit_convert(&kit, fd, 0, PAGE, false, NULL), 0);
	kit_close(&kit, fd);
	kit_free(&kit);
}

/* Two in one process know nothing of each other. */
static void two_simulators(void **state)
{
	struct gmem_sim *other;
	struct kit kit;
	void *run;
	int fd;

	(void)state;
	kit_new(&kit, GMEM_SIM_IN_PLACE, SW);
	assert_int_equal(gmem_sim_new(GMEM_SIM_IN_PLACE, &other), 0);
	fd = gmem_sim_create_vm(other, SW);
	assert_int_equal(gmem_sim_create_vcpu(kit.sim, fd, &run), -EBADF);
	assert_int_equal(check(&kit, fd, 3), -ENOTTY);
	kit_close(&kit, fd);
	gmem_sim_free(other);
	kit_free(&kit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_and_free),
		cmocka_unit_test(system_again_and_again),
		cmocka_unit_test(no_descriptor_left),
		cmocka_unit_test(too_few_descriptors),
		cmocka_unit_test(each_setting),
		cmocka_unit_test(sigbus_is_decided),
		cmocka_unit_test(too_late),
		cmocka_unit_test(get_kernel),
		cmocka_unit_test(chosen_capabilities),
		cmocka_unit_test(capabilities_of_presets),
		cmocka_unit_test(system_ioctls),
		cmocka_unit_test(create_vm),
		cmocka_unit_test(create_vcpu),
		cmocka_unit_test(all_vcpus),
		cmocka_unit_test(finish_launch),
		cmocka_unit_test(limit_cpuid),
		cmocka_unit_test(digest_of_no_launch),
		cmocka_unit_test(child_of_fork),
		cmocka_unit_test(two_simulators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
