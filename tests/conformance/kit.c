// SPDX-License-Identifier: LGPL-2.1-or-later
/* What cases are written with. */
#include "kit.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target.h"

/* Where the runner hears from a case. */
static _Noreturn void say_and_end(const char *text, int status)
{
	_exit(write(RUNNER_FD, text, strlen(text)) < 0 ? RUNNER_LOST : status);
}

_Noreturn void case_failed(const char *file, int line, const char *format, ...)
{
	const char *name = strrchr(file, '/');
	char what[384];
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(text, sizeof(text), "%.48s:%d: %s", name ? name + 1 : file, line, what);
	say_and_end(text, RUNNER_FAILED);
}

_Noreturn void case_skipped(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_and_end(text, RUNNER_SKIPPED);
}

static const char *outcome(int64_t value, char *text, size_t size)
{
	const char *name = value < 0 && value > -4096 ? strerrorname_np((int)-value) : NULL;

	if (name)
		snprintf(text, size, "-%s", name);
	else
		snprintf(text, size, "%lld", (long long)value);
	return text;
}

void expect_value_at(const char *file, int line, const char *what, int64_t got, int64_t wanted)
{
	char a[32];
	char b[32];

	if (got != wanted)
		case_failed(file, line, "%s is %s, not %s", what, outcome(got, a, sizeof(a)),
			    outcome(wanted, b, sizeof(b)));
}

void expect_either_at(const char *file, int line, const char *what, int64_t got, int64_t first,
		      int64_t second)
{
	char a[32];
	char b[32];
	char c[32];

	if (got != first && got != second)
		case_failed(file, line, "%s is %s, not %s or %s", what, outcome(got, a, sizeof(a)),
			    outcome(first, b, sizeof(b)), outcome(second, c, sizeof(c)));
}

int64_t expect_success_at(const char *file, int line, const char *what, int64_t got)
{
	char a[32];

	if (got < 0)
		case_failed(file, line, "%s failed: %s", what, outcome(got, a, sizeof(a)));
	return got;
}

int64_t door(struct world *world, uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
	     uint64_t e, uint64_t f)
{
	const uint64_t arg[GMEM_SYS_ARGUMENTS] = { a, b, c, d, e, f };

	return world->kernel.call(nr, arg, world->kernel.opaque);
}

int64_t kvm_ioctl(struct world *world, int fd, uint32_t request, uint64_t argument)
{
	return door(world, GMEM_SYS_IOCTL, (uint64_t)(int64_t)fd, request, argument, 0, 0, 0);
}

int64_t kvm_ioctl_at(struct world *world, int fd, uint32_t request, void *argument)
{
	return kvm_ioctl(world, fd, request, (uintptr_t)argument);
}

int64_t capability(struct world *world, int vm_fd, uint32_t number)
{
	return kvm_ioctl(world, vm_fd, GMEM_KVM_CHECK_EXTENSION, number);
}

int keep_fd(struct world *world, int64_t fd)
{
	expect(world->kept_fd_count < KEPT_MAX);
	expect(fd >= 0);
	world->kept_fds[world->kept_fd_count++] = (int)fd;
	return (int)fd;
}

void *keep_mapping(struct world *world, void *host, uint64_t size)
{
	expect(world->kept_mapping_count < KEPT_MAX);
	world->kept_mappings[world->kept_mapping_count++] = (struct mapping){ host, size };
	return host;
}

void close_fd(struct world *world, int fd)
{
	unsigned int i;

	expect_value(door(world, GMEM_SYS_CLOSE, (uint64_t)fd, 0, 0, 0, 0, 0), 0);
	for (i = 0; i < world->kept_fd_count; i++)
		if (world->kept_fds[i] == fd)
			break;
	if (i < world->kept_fd_count)
		world->kept_fds[i] = world->kept_fds[--world->kept_fd_count];
}

void unmap(struct world *world, void *host)
{
	struct mapping *last = &world->kept_mappings[world->kept_mapping_count - 1];
	struct mapping *mapping = world->kept_mappings;

	while (mapping < last && mapping->host != host)
		mapping++;
	expect(world->kept_mapping_count > 0 && mapping->host == host);
	expect_value(door(world, GMEM_SYS_MUNMAP, (uintptr_t)mapping->host, mapping->size, 0, 0, 0,
			  0),
		     0);
	*mapping = *last;
	world->kept_mapping_count--;
}

int make_vm(struct world *world)
{
	return keep_fd(world, expect_success(world->driver->create_vm(
				      world, target_vm_type(world->target))));
}

int64_t create_file(struct world *world, uint64_t size, uint64_t flags)
{
	struct gmem_kvm_create_guest_memfd create = { .size = size, .flags = flags };

	return kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_CREATE_GUEST_MEMFD, &create);
}

int make_file(struct world *world, uint64_t size, uint64_t flags)
{
	return keep_fd(world, expect_success(create_file(world, size, flags)));
}

int make_any_file(struct world *world, uint64_t size)
{
	const uint64_t flags = world->traits.flags & FLAG_INIT_SHARED ? FLAG_MMAP | FLAG_INIT_SHARED
								      : 0;

	return make_file(world, size, flags);
}

int64_t try_map(struct world *world, int fd, uint64_t offset, uint64_t size, int prot, int flags)
{
	return door(world, GMEM_SYS_MMAP, 0, size, (uint64_t)prot, (uint64_t)flags,
		    (uint64_t)(int64_t)fd, offset);
}

void *map_file(struct world *world, int fd, uint64_t offset, uint64_t size)
{
	int64_t at = try_map(world, fd, offset, size, PROT_READ | PROT_WRITE, MAP_SHARED);

	return keep_mapping(world, (void *)(uintptr_t)expect_success(at), size);
}

void *map_anonymous(struct world *world, uint64_t size)
{
	uint64_t whole = size + world->page;
	int64_t at = try_map(world, -1, 0, whole, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	uintptr_t start;

	start = (uintptr_t)keep_mapping(world, (void *)(uintptr_t)expect_success(at), whole);
	return (void *)((start + world->page - 1) / world->page * world->page);
}

int64_t fallocate_file(struct world *world, int fd, int mode, uint64_t offset, uint64_t size)
{
	return door(world, GMEM_SYS_FALLOCATE, (uint64_t)fd, (uint64_t)mode, offset, size, 0, 0);
}

int64_t punch(struct world *world, int fd, uint64_t offset, uint64_t size)
{
	return fallocate_file(world, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

int64_t advise(struct world *world, void *host, uint64_t size, int advice)
{
	return door(world, GMEM_SYS_MADVISE, (uintptr_t)host, size, (uint64_t)advice, 0, 0, 0);
}

int64_t set_slot(struct world *world, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		 const void *host, int fd, uint64_t offset)
{
	struct gmem_kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = flags | (fd < 0 ? 0 : GMEM_KVM_MEM_GUEST_MEMFD),
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
		.guest_memfd_offset = offset,
		.guest_memfd = fd < 0 ? 0 : (uint32_t)fd,
	};

	return kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_SET_USER_MEMORY_REGION2, &region);
}

int64_t delete_slot(struct world *world, uint32_t slot)
{
	return set_slot(world, slot, 0, 0, 0, NULL, -1, 0);
}

int64_t set_vm_attributes(struct world *world, uint64_t gpa, uint64_t size, uint64_t attributes)
{
	struct gmem_kvm_memory_attributes set = {
		.address = gpa,
		.size = size,
		.attributes = attributes,
	};

	return kvm_ioctl_at(world, world->vm_fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES, &set);
}

int64_t set_file_attributes(struct world *world, int fd, uint64_t offset, uint64_t size,
			    uint64_t attributes, uint64_t *error_offset)
{
	struct gmem_kvm_memory_attributes2 set = {
		.offset = offset,
		.size = size,
		.attributes = attributes,
		.error_offset = error_offset ? *error_offset : 0,
	};
	int64_t result = kvm_ioctl_at(world, fd, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, &set);

	if (error_offset)
		*error_offset = set.error_offset;
	return result;
}

int lock_memory(const void *host, uint64_t size)
{
	return (int)syscall(SYS_mlock, host, size);
}

int unlock_memory(const void *host, uint64_t size)
{
	return (int)syscall(SYS_munlock, host, size);
}

/* Of the thread that touches. */
static _Thread_local sigjmp_buf touch_return;
static _Thread_local volatile sig_atomic_t touching;
static _Thread_local siginfo_t touch_signal;

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (!touching)
		say_and_end("SIGBUS outside of a touch", RUNNER_FAILED);
	touch_signal = *info;
	siglongjmp(touch_return, 1);
}

static void catch_sigbus(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
}

static bool touch(volatile uint8_t *at, uint8_t *value, bool write)
{
	volatile bool good = false;

	catch_sigbus();
	if (sigsetjmp(touch_return, 1) == 0) {
		touching = 1;
		if (write)
			*at = *value;
		else
			*value = *at;
		good = true;
	}
	touching = 0;
	return good;
}

bool can_read(const void *host, uint8_t *value)
{
	return touch((volatile uint8_t *)(uintptr_t)host, value, false);
}

bool can_write(void *host, uint8_t value)
{
	return touch(host, &value, true);
}

bool read_or_signal(const void *host, uint8_t *value, int *code, void **address)
{
	bool good = can_read(host, value);

	if (!good) {
		*code = touch_signal.si_code;
		*address = touch_signal.si_addr;
	}
	return good;
}

uint8_t byte_at(const void *host)
{
	uint8_t value = 0;

	expect(can_read(host, &value));
	return value;
}

void put_byte(void *host, uint8_t value)
{
	expect(can_write(host, value));
}

void make_vcpu(struct world *world, struct vcpu *vcpu)
{
	*vcpu = (struct vcpu){ .world = world, .fd = -1 };
	expect_success(world->driver->create_vcpu(vcpu));
}

void destroy_vcpu(struct vcpu *vcpu)
{
	vcpu->world->driver->destroy_vcpu(vcpu);
}

int guest_store(struct vcpu *vcpu, uint64_t gpa, uint32_t value, uint32_t flags)
{
	return (int)expect_success(
		vcpu->world->driver->access(vcpu, gpa, &value, sizeof(value), flags | GUEST_WRITE));
}

int guest_load(struct vcpu *vcpu, uint64_t gpa, uint32_t *value, uint32_t flags)
{
	*value = 0;
	return (int)expect_success(
		vcpu->world->driver->access(vcpu, gpa, value, sizeof(*value), flags));
}

static void expect_done(struct vcpu *vcpu, uint64_t gpa, int result)
{
	if (result != GUEST_DONE)
		case_failed(__FILE__, __LINE__,
			    "the access at 0x%llx left the guest: exit %u, errno %d",
			    (unsigned long long)gpa, vcpu->exit.reason, vcpu->exit.error);
}

void guest_must_store(struct vcpu *vcpu, uint64_t gpa, uint32_t value, uint32_t flags)
{
	expect_done(vcpu, gpa, guest_store(vcpu, gpa, value, flags));
}

uint32_t guest_must_load(struct vcpu *vcpu, uint64_t gpa, uint32_t flags)
{
	uint32_t value;

	expect_done(vcpu, gpa, guest_load(vcpu, gpa, &value, flags));
	return value;
}

#define PROBE_SLOT 30u
#define PROBE_GPA (128 * MIB)

bool guest_is_emulated(struct vcpu *vcpu)
{
	struct world *world = vcpu->world;
	uint8_t *unrelated;
	bool emulated;
	int fd;

	if (!world->driver->real || !(world->traits.flags & FLAG_INIT_SHARED))
		return false;
	unrelated = map_anonymous(world, world->page);
	fd = make_file(world, world->page, FLAG_MMAP | FLAG_INIT_SHARED);
	expect_value(set_slot(world, PROBE_SLOT, 0, PROBE_GPA, world->page, unrelated, fd, 0), 0);
	guest_must_store(vcpu, PROBE_GPA, 1, 0);
	emulated = byte_at(unrelated) == 1;
	expect_value(delete_slot(world, PROBE_SLOT), 0);
	return emulated;
}

void need_guest_of_its_own(struct vcpu *vcpu)
{
	if (guest_is_emulated(vcpu))
		case_skipped("needs a guest that the processor runs; here KVM emulates it");
}

static void access_must_exit(struct vcpu *vcpu, uint64_t gpa, uint32_t access, uint32_t reason)
{
	uint32_t value;

	expect_value(access & GUEST_WRITE ? guest_store(vcpu, gpa, 1, access)
					  : guest_load(vcpu, gpa, &value, access),
		     GUEST_EXIT);
	expect_value(vcpu->exit.reason, reason);
}

void expect_memory_fault(struct vcpu *vcpu, uint64_t gpa, uint32_t access, uint64_t flags)
{
	uint64_t page = vcpu->world->page;

	access_must_exit(vcpu, gpa, access, EXIT_MEMORY_FAULT);
	expect_value(vcpu->exit.error, EFAULT);
	expect_value(vcpu->exit.fault.flags, flags);
	expect_value(vcpu->exit.fault.gpa, gpa / page * page);
	expect_value(vcpu->exit.fault.size, page);
}

void expect_mmio(struct vcpu *vcpu, uint64_t gpa, uint32_t access)
{
	access_must_exit(vcpu, gpa, access, EXIT_MMIO);
	expect_value(vcpu->exit.error, 0);
	expect_value(vcpu->exit.mmio.gpa, gpa);
	expect_value(vcpu->exit.mmio.length, 4);
	expect_value(vcpu->exit.mmio.write, (access & GUEST_WRITE) != 0);
}

void make_memory(struct world *world, struct memory *memory, uint32_t slot, uint64_t gpa,
		 uint64_t size)
{
	*memory = (struct memory){ .world = world, .gpa = gpa, .size = size, .slot = slot };
	memory->single = world->traits.tracking != TRACKED_BY_VM;
	memory->fd =
		make_file(world, size, memory->single ? FLAG_MMAP | FLAG_INIT_SHARED : UINT64_C(0));
	memory->host = memory->single ? map_file(world, memory->fd, 0, size)
				      : map_anonymous(world, size);
	expect_value(set_slot(world, slot, 0, gpa, size, memory->host, memory->fd, 0), 0);
}

int64_t try_convert(struct memory *memory, uint64_t offset, uint64_t size, bool private)
{
	uint64_t attributes = private ? PRIVATE : 0;

	if (memory->world->traits.tracking == TRACKED_BY_VM)
		return set_vm_attributes(memory->world, memory->gpa + offset, size, attributes);
	return set_file_attributes(memory->world, memory->fd, offset, size, attributes, NULL);
}

void convert(struct memory *memory, uint64_t offset, uint64_t size, bool private)
{
	expect_value(try_convert(memory, offset, size, private), 0);
}

uint32_t private_access(const struct world *world)
{
	return world->traits.access == ACCESS_FROM_GUEST ? GUEST_PRIVATE : 0;
}

int in_child(int (*fn)(struct world *world, void *opaque), struct world *world, void *opaque)
{
	pid_t child = fork();
	int status;

	expect(child >= 0);
	if (child == 0)
		_exit(fn(world, opaque));
	expect(waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status))
		case_failed(__FILE__, __LINE__, "the child ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}
