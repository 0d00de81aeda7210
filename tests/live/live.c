// SPDX-License-Identifier: LGPL-2.1-or-later
/* A VM for each case on /dev/kvm, questions to the kernel, and the guest's vCPU. */
#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of linux/kvm.h since 6.18; Debian 12's is of 6.1. */
#define LIVE_CAP_USER_MEMORY2 231UL
#define LIVE_CAP_GUEST_MEMFD_FLAGS 244UL
#define LIVE_FLAGS_NEEDED 3 /* MMAP and INIT_SHARED */
#define LIVE_HC_MAP_GPA_RANGE 12
#define LIVE_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct live_memory_region2)

struct live_memory_region2 {
	uint32_t slot;
	uint32_t flags;
	uint64_t guest_phys_addr;
	uint64_t memory_size;
	uint64_t userspace_addr;
	uint64_t guest_memfd_offset;
	uint32_t guest_memfd;
	uint32_t pad1;
	uint64_t pad2[14];
};

static const char *judge_vm(int vm_fd)
{
	int flags = ioctl(vm_fd, KVM_CHECK_EXTENSION, LIVE_CAP_GUEST_MEMFD_FLAGS);

	if (ioctl(vm_fd, KVM_CHECK_EXTENSION, LIVE_CAP_USER_MEMORY2) <= 0)
		return "this kernel's KVM has no guest_memfd: that came with Linux 6.8";
	if (flags < 0 || (flags & LIVE_FLAGS_NEEDED) != LIVE_FLAGS_NEEDED)
		return "this kernel's guest_memfd cannot be mapped: that came with Linux 6.18";
	return NULL;
}

static const char *judge_private_vm(int vm_fd)
{
	struct gmem_vm_info info = { 0 };
	struct gmem_vm *vm = NULL;
	int rc = gmem_vm_new(NULL, vm_fd, NULL, &vm);

	if (rc == 0)
		rc = gmem_vm_get_info(vm, &info);
	gmem_vm_free(vm);
	if (rc < 0)
		return "libgmem makes nothing of a software-protected VM";
	if (!info.private_memory)
		return "this kernel's software-protected VMs have no private memory";
	if (!(info.hypercall_exits >> LIVE_HC_MAP_GPA_RANGE & 1))
		return "guests of this kernel cannot ask for memory to be converted";
	return NULL;
}

/* Of a VM of some type. */
static const char *unserved(uint32_t type, const char *(*judge)(int vm_fd))
{
	static char texts[2][128];
	char *text = texts[type != GMEM_VM_TYPE_DEFAULT];
	const char *reason = NULL;
	int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm_fd;

	if (kvm_fd < 0) {
		snprintf(text, sizeof(texts[0]), "/dev/kvm cannot be opened: %s", strerror(errno));
		return text;
	}
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, (unsigned long)type);
	if (vm_fd < 0) {
		snprintf(text, sizeof(texts[0]), "this kernel makes no VM of type %u: %s", type,
			 strerror(errno));
		reason = text;
	} else {
		reason = judge(vm_fd);
		close(vm_fd);
	}
	close(kvm_fd);
	return reason;
}

const char *live_unserved_private(void)
{
	return unserved(GMEM_VM_TYPE_SW_PROTECTED, judge_private_vm);
}

/* Of the VMs that live_setup() makes. */
static uint32_t served_type = GMEM_VM_TYPE_DEFAULT;

const char *live_unserved(void)
{
	const char *reason = unserved(GMEM_VM_TYPE_DEFAULT, judge_vm);

	if (!reason || live_unserved_private())
		return reason;
	served_type = GMEM_VM_TYPE_SW_PROTECTED;
	return NULL;
}

static void count_message(uint32_t level, const char *text, void *opaque)
{
	struct live *live = opaque;

	if (level != GMEM_LOG_ERROR)
		return;
	live->errors++;
	snprintf(live->last, sizeof(live->last), "%s", text);
}

void live_set_vm(struct live *live, const struct gmem_vm_config *config)
{
	gmem_vm_free(live->vm);
	live->vm = NULL;
	assert_int_equal(gmem_vm_new(live->ctx, live->vm_fd, config, &live->vm), 0);
}

static int make_vm(struct live *live)
{
	struct gmem_vm_config *config = NULL;
	int rc;

	live->vm_fd = ioctl(live->kvm_fd, KVM_CREATE_VM, (unsigned long)live->type);
	if (live->vm_fd < 0 || gmem_vm_config_new(&config) < 0)
		return -1;
	gmem_vm_config_set_type(config, live->type);
	rc = gmem_vm_new(live->ctx, live->vm_fd, config, &live->vm);
	gmem_vm_config_free(config);
	return rc;
}

static int set_up(void **state, uint32_t type)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live)
		return -1;
	*state = live;
	live->type = type;
	live->fds_before = live_count_fds();
	live->mappings_before = live_count_mappings();
	live->page = (uint64_t)sysconf(_SC_PAGESIZE);
	live->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (live->kvm_fd < 0)
		return -1;
	if (gmem_ctx_new(&live->ctx) < 0)
		return -1;
	gmem_ctx_set_log(live->ctx, GMEM_LOG_ERROR, count_message, live, NULL);
	return make_vm(live);
}

int live_setup(void **state)
{
	return set_up(state, served_type);
}

int live_setup_private(void **state)
{
	return set_up(state, GMEM_VM_TYPE_SW_PROTECTED);
}

int live_teardown(void **state)
{
	struct live *live = *state;
	unsigned int fds;
	unsigned int mappings;
	int result = 0;

	gmem_vm_free(live->vm);
	gmem_ctx_free(live->ctx);
	close(live->vm_fd);
	close(live->kvm_fd);
	fds = live_count_fds();
	mappings = live_count_mappings();
	if (fds != live->fds_before || mappings != live->mappings_before) {
		print_error("left behind: %d descriptors, %d mappings\n",
			    (int)(fds - live->fds_before), (int)(mappings - live->mappings_before));
		result = -1;
	}
	free(live);
	return result;
}

unsigned int live_count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;
	const struct dirent *entry;

	assert_non_null(directory);
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

/* guest_memfd was called kvm-gmem at first. */
static bool is_guest_mapping(const char *line)
{
	return strstr(line, "kvm-gmem") || strstr(line, "[guest_memfd]") ||
	       strstr(line, "/memfd:") || strstr(line, "[anon:gmem:") ||
	       strstr(line, "anon_inode:kvm-");
}

unsigned int live_count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += is_guest_mapping(line);
	fclose(maps);
	return count;
}

bool live_find_mapping(const void *address, char *line, size_t size)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	bool found = false;
	unsigned long start;
	unsigned long end;

	assert_non_null(maps);
	while (!found && fgets(line, (int)size, maps))
		found = sscanf(line, "%lx-%lx", &start, &end) == 2 && (uintptr_t)address >= start &&
			(uintptr_t)address < end;
	fclose(maps);
	return found;
}

static struct gmem_region *make_region(struct live *live, uint64_t size, uint32_t backing,
				       uint32_t memory)
{
	struct gmem_region_config *config = NULL;
	struct gmem_region *region = NULL;
	int rc;

	assert_int_equal(gmem_region_config_new(&config), 0);
	gmem_region_config_set_backing(config, backing);
	if (backing != GMEM_BACKING_PLAIN)
		gmem_region_config_set_state(config, GMEM_SHARED);
	if (backing == GMEM_BACKING_PLAIN)
		gmem_region_config_set_memory(config, memory, 0);
	rc = gmem_region_new(live->vm, size, config, &region);
	gmem_region_config_free(config);
	if (rc < 0)
		print_error("%s\n", live->last);
	assert_int_equal(rc, 0);
	return region;
}

uint32_t live_guest_memfd_backing(const struct live *live)
{
	return live->type == GMEM_VM_TYPE_DEFAULT ? GMEM_BACKING_GUEST_MEMFD : GMEM_BACKING_AUTO;
}

void live_need_mapped(const struct live *live)
{
	if (live->type == GMEM_VM_TYPE_DEFAULT)
		return;
	print_message("this kernel's guest_memfd cannot be mapped: that came with Linux 6.18\n");
	skip();
}

struct gmem_region *live_guest_memfd(struct live *live, uint64_t size)
{
	return make_region(live, size, live_guest_memfd_backing(live), 0);
}

struct gmem_region *live_mapped_guest_memfd(struct live *live, uint64_t size)
{
	live_need_mapped(live);
	return live_guest_memfd(live, size);
}

struct gmem_region *live_plain(struct live *live, uint64_t size, uint32_t memory)
{
	return make_region(live, size, GMEM_BACKING_PLAIN, memory);
}

void *live_host(struct gmem_region *region)
{
	struct gmem_region_info info;

	assert_int_equal(gmem_region_get_info(region, &info), 0);
	assert_non_null(info.host);
	return info.host;
}

void live_put_text(void *host, const char *text)
{
	memcpy(host, text, strlen(text) + 1);
}

int live_raw_slot(struct live *live, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		  void *host, int guest_memfd, uint64_t offset)
{
	struct live_memory_region2 region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
		.guest_memfd_offset = offset,
		.guest_memfd = guest_memfd < 0 ? 0 : (uint32_t)guest_memfd,
	};

	return ioctl(live->vm_fd, LIVE_SET_USER_MEMORY_REGION2, &region) < 0 ? -errno : 0;
}

bool live_kernel_has(struct live *live, uint32_t address_space, uint64_t gpa, uint64_t size)
{
	int slots = ioctl(live->vm_fd, KVM_CHECK_EXTENSION, (unsigned long)KVM_CAP_NR_MEMSLOTS);
	uint32_t slot = address_space << 16 | (uint32_t)(slots - 1);
	void *host = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	assert_true(slots > 0);
	assert_ptr_not_equal(host, MAP_FAILED);
	rc = live_raw_slot(live, slot, 0, gpa, size, host, -1, 0);
	assert_true(rc == 0 || rc == -EEXIST);
	if (rc == 0)
		assert_int_equal(live_raw_slot(live, slot, 0, gpa, 0, host, -1, 0), 0);
	munmap(host, size);
	return rc == -EEXIST;
}

#if defined(__x86_64__)

static void map_code(struct live *live, struct live_guest *guest)
{
	size_t code_size = guest_programs_size();
	uint64_t size = (code_size + live->page - 1) / live->page * live->page;

	if (live->type == GMEM_VM_TYPE_DEFAULT)
		guest->code = live_guest_memfd(live, size);
	else
		guest->code = live_plain(live, size, GMEM_MEMORY_SHMEM);
	memcpy(live_host(guest->code), guest_programs, code_size);
	assert_int_equal(
		gmem_vm_map(live->vm, LIVE_CODE_GPA, guest->code, 0, size, GMEM_SLOT_AUTO, 0), 0);
}

void live_guest_new_vcpu(struct live *live, struct live_guest *guest, uint32_t id)
{
	int run_size = ioctl(live->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);

	memset(guest, 0, sizeof(*guest));
	guest->live = live;
	assert_true(run_size > 0);
	guest->run_size = (size_t)run_size;
	guest->vcpu_fd = ioctl(live->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	assert_true(guest->vcpu_fd >= 0);
	guest->run =
		mmap(NULL, guest->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu_fd, 0);
	assert_ptr_not_equal(guest->run, MAP_FAILED);
	assert_int_equal(guest_set_mode(guest->vcpu_fd), 0);
}

void live_guest_new(struct live *live, struct live_guest *guest)
{
	live_guest_new_vcpu(live, guest, 0);
	map_code(live, guest);
}

void live_guest_free(struct live_guest *guest)
{
	munmap(guest->run, guest->run_size);
	close(guest->vcpu_fd);
	gmem_region_free(guest->code);
}

int live_guest_enter(struct live_guest *guest)
{
	int rc;

	do {
		rc = ioctl(guest->vcpu_fd, KVM_RUN, 0UL);
	} while (rc < 0 && errno == EINTR);
	rc = rc < 0 ? errno : 0;
	assert_int_equal(ioctl(guest->vcpu_fd, KVM_GET_REGS, &guest->regs), 0);
	return rc;
}

uint32_t live_guest_continue(struct live_guest *guest)
{
	int error = live_guest_enter(guest);

	if (error)
		print_error("KVM_RUN: %s\n", strerror(error));
	assert_int_equal(error, 0);
	return guest->run->exit_reason;
}

static void set_at(struct live_guest *guest, uint64_t gpa, const struct kvm_regs *regs)
{
	struct kvm_regs start = *regs;

	start.rip = gpa;
	start.rflags = 2;
	assert_int_equal(ioctl(guest->vcpu_fd, KVM_SET_REGS, &start), 0);
}

void live_guest_set(struct live_guest *guest, const uint8_t *program, const struct kvm_regs *regs)
{
	set_at(guest, guest_program_at(LIVE_CODE_GPA, program), regs);
}

uint32_t live_guest_run_at(struct live_guest *guest, uint64_t gpa, const struct kvm_regs *regs)
{
	set_at(guest, gpa, regs);
	return live_guest_continue(guest);
}

uint32_t live_guest_run(struct live_guest *guest, const uint8_t *program,
			const struct kvm_regs *regs)
{
	return live_guest_run_at(guest, guest_program_at(LIVE_CODE_GPA, program), regs);
}

void live_guest_poke(struct live_guest *guest, uint64_t gpa, uint32_t value)
{
	const struct kvm_regs regs = { .rdi = gpa, .rax = value, .rcx = 1 };

	assert_int_equal(live_guest_run(guest, guest_program_write, &regs), KVM_EXIT_HLT);
}

uint32_t live_guest_peek(struct live_guest *guest, uint64_t gpa)
{
	const struct kvm_regs regs = { .rsi = gpa };

	assert_int_equal(live_guest_run(guest, guest_program_read, &regs), KVM_EXIT_HLT);
	return (uint32_t)guest->regs.rax;
}

#endif
