/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A whole VMM, as small as it gets: a guest that runs from a fully shared guest_memfd.
 *
 * RAM is one region, mapped as two windows with a hole between them. The host puts the guest's
 * code and a message there; the guest (guest/mini.S) talks over the serial port and writes to both
 * windows; the host reads what it wrote and checks every byte.
 */
#include "example.h"

#include <gmem.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "guest/mini.h"

#if defined(__x86_64__)

/* The guest's code, linked in from guest/mini.S. */
extern const uint8_t mini_guest_start[];
extern const uint8_t mini_guest_end[];

#define MESSAGE "guest memory by way of libgmem"

/* The guest needs about a hundred exits: many more mean that it has lost its way. */
#define EXITS_MAX 10000u

struct machine {
	struct example_vm kvm;
	struct gmem_vm *vm;
	struct gmem_region *ram;
	int vcpu_fd;
	struct kvm_run *run;
	size_t run_size;
	unsigned int exits;
	char serial[512]; /* all that the guest sent, always ended by NUL */
	size_t serial_length;
};

/* Memory */

static int make_ram(struct machine *m)
{
	struct gmem_region_config *config = NULL;
	int rc = gmem_region_config_new(&config);

	if (rc < 0)
		return example_failed("gmem_region_config_new", rc);
	gmem_region_config_set_name(config, "ram");
	gmem_region_config_set_backing(config, GMEM_BACKING_GUEST_MEMFD);
	gmem_region_config_set_state(config, GMEM_SHARED);
	rc = gmem_region_new(m->vm, MINI_LOW_SIZE + MINI_HIGH_SIZE, config, &m->ram);
	gmem_region_config_free(config);
	return rc < 0 ? example_failed("gmem_region_new", rc) : 0;
}

/* Two windows, two memslots, one file: no byte is held twice. */
static int map_ram(struct machine *m)
{
	int rc = gmem_vm_map(m->vm, MINI_LOW_GPA, m->ram, 0, MINI_LOW_SIZE, GMEM_SLOT_AUTO, 0);

	if (rc == 0)
		rc = gmem_vm_map(m->vm, MINI_HIGH_GPA, m->ram, MINI_LOW_SIZE, MINI_HIGH_SIZE,
				 GMEM_SLOT_AUTO, 0);
	return rc < 0 ? example_failed("gmem_vm_map", rc) : 0;
}

/* Copies bytes to a guest address. No page here is ever private, so the pointer stays good. */
static int put(struct machine *m, uint64_t gpa, const void *bytes, size_t size)
{
	void *host;
	int rc = gmem_vm_translate(m->vm, gpa, size, GMEM_ACCESS_WRITE, &host);

	if (rc < 0)
		return example_failed("gmem_vm_translate", rc);
	memcpy(host, bytes, size);
	return 0;
}

static int load_guest(struct machine *m)
{
	int rc = put(m, MINI_CODE_GPA, mini_guest_start,
		     (uintptr_t)mini_guest_end - (uintptr_t)mini_guest_start);

	return rc < 0 ? rc : put(m, MINI_MESSAGE_GPA, MESSAGE, sizeof(MESSAGE));
}

/* The vCPU */

static int make_vcpu(struct machine *m)
{
	int size = ioctl(m->kvm.kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);
	void *run;

	if (size < 0)
		return example_failed("KVM_GET_VCPU_MMAP_SIZE", -errno);
	m->vcpu_fd = ioctl(m->kvm.vm_fd, KVM_CREATE_VCPU, 0UL);
	if (m->vcpu_fd < 0)
		return example_failed("KVM_CREATE_VCPU", -errno);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu_fd, 0);
	if (run == MAP_FAILED)
		return example_failed("mmap of the vCPU", -errno);
	m->run = run;
	m->run_size = (size_t)size;
	return 0;
}

/* Flat 32-bit protected mode: all segments from 0 to 4 GiB, no paging, no interrupts. */
static int set_registers(struct machine *m)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff,
		.selector = 0x08,
		.type = 11, /* execute, read, accessed */
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rip = MINI_CODE_GPA, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(m->vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return example_failed("KVM_GET_SREGS", -errno);
	data.selector = 0x10;
	data.type = 3; /* read, write, accessed */
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	sregs.cr0 |= 1; /* protection enabled */
	if (ioctl(m->vcpu_fd, KVM_SET_SREGS, &sregs) < 0)
		return example_failed("KVM_SET_SREGS", -errno);
	if (ioctl(m->vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return example_failed("KVM_SET_REGS", -errno);
	return 0;
}

/* Exits */

/* The serial port takes what the guest sends. All other ports float: reads give ones. */
static void handle_io(struct machine *m)
{
	uint8_t *data = (uint8_t *)m->run + m->run->io.data_offset;
	size_t size = (size_t)m->run->io.size * m->run->io.count;
	size_t i;

	if (m->run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, 0xff, size);
		return;
	}
	if (m->run->io.port != MINI_SERIAL_PORT)
		return;
	for (i = 0; i < size && m->serial_length < sizeof(m->serial) - 1; i++)
		m->serial[m->serial_length++] = (char)data[i];
}

/* Nothing is there: as on a PC's bus, reads give ones and writes are lost. */
static void handle_mmio(struct machine *m)
{
	printf("  the guest %s %" PRIu32 " bytes at 0x%08" PRIx64 ", where nothing is mapped\n",
	       m->run->mmio.is_write ? "wrote" : "read", (uint32_t)m->run->mmio.len,
	       (uint64_t)m->run->mmio.phys_addr);
	if (!m->run->mmio.is_write)
		memset(m->run->mmio.data, 0xff, sizeof(m->run->mmio.data));
}

/* 1: go on; 0: the guest has halted; below 0: it cannot go on. */
static int handle_exit(struct machine *m)
{
	switch (m->run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(m);
		return 1;
	case KVM_EXIT_MMIO:
		handle_mmio(m);
		return 1;
	case KVM_EXIT_INTR:
		return 1;
	case KVM_EXIT_HLT:
		return 0;
	case KVM_EXIT_SHUTDOWN:
		fprintf(stderr, "the guest shut down: a triple fault\n");
		return -EIO;
	case KVM_EXIT_FAIL_ENTRY:
		fprintf(stderr, "the processor refused to enter the guest: reason %#" PRIx64 "\n",
			(uint64_t)m->run->fail_entry.hardware_entry_failure_reason);
		return -EIO;
	case KVM_EXIT_INTERNAL_ERROR:
		fprintf(stderr, "KVM gave up: internal error %" PRIu32 "\n",
			(uint32_t)m->run->internal.suberror);
		return -EIO;
	default:
		fprintf(stderr, "an exit that was not expected: reason %" PRIu32 "\n",
			(uint32_t)m->run->exit_reason);
		return -EIO;
	}
}

static int run_guest(struct machine *m)
{
	int rc = 1;

	while (rc > 0 && m->exits < EXITS_MAX) {
		if (ioctl(m->vcpu_fd, KVM_RUN, 0UL) < 0) {
			/* A signal came. exit_reason is an old one then. */
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return example_failed("KVM_RUN", -errno);
		}
		m->exits++;
		rc = handle_exit(m);
	}
	if (rc > 0) {
		fprintf(stderr, "the guest did not halt within %u exits\n", EXITS_MAX);
		return -EIO;
	}
	return rc;
}

/* What the host shows */

static int print_memory(struct machine *m)
{
	static const char *const kind[] = { "hole", "RAM", "ROM", "device", "reserved" };
	struct gmem_run run;
	uint64_t gpa = 0;
	char text[256];
	char size[32];
	int rc = gmem_region_describe(m->ram, text, sizeof(text));

	if (rc < 0)
		return example_failed("gmem_region_describe", rc);
	printf("\nMemory: %s\n\n", text);
	printf("  guest address                size  slot  fd  offset in fd  kind\n");
	while ((rc = gmem_vm_next_section(m->vm, gpa, &run)) == 1) {
		printf("  0x%08" PRIx64 " - 0x%08" PRIx64 "  %6s  %4" PRIu32 "  %2" PRId32
		       "    0x%08" PRIx64 "  %s\n",
		       run.gpa, run.gpa + run.size - 1, example_size(run.size, size), run.slot,
		       run.fd, run.fd_offset, kind[run.kind]);
		gpa = run.gpa + run.size;
	}
	return rc < 0 ? example_failed("gmem_vm_next_section", rc) : 0;
}

/* The guest's words, marked line by line so that nobody takes them for the host's. */
static void print_serial(const struct machine *m)
{
	const char *line = m->serial;

	printf("\nSerial port of the guest\n\n");
	while (*line) {
		size_t length = strcspn(line, "\n");

		printf("  | %.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
}

static int print_bytes(struct machine *m, const char *what, uint64_t gpa, size_t size)
{
	void *host;
	const uint8_t *byte;
	size_t at;
	size_t i;
	int rc = gmem_vm_translate(m->vm, gpa, size, 0, &host);

	if (rc < 0)
		return example_failed("gmem_vm_translate", rc);
	byte = host;
	printf("  %s\n", what);
	for (at = 0; at < size; at += 16) {
		printf("  0x%08" PRIx64 " ", gpa + at);
		for (i = at; i < at + 16; i++)
			i < size ? printf(" %02x", byte[i]) : printf("   ");
		printf("  |");
		for (i = at; i < at + 16 && i < size; i++)
			putchar(byte[i] >= 0x20 && byte[i] < 0x7f ? byte[i] : '.');
		printf("|\n");
	}
	return 0;
}

static int print_written(struct machine *m)
{
	int rc;

	printf("\nWritten by the guest, read by the host\n\n");
	rc = print_bytes(m, "low RAM, above 1 MiB", MINI_NUMBER_GPA, 16);
	if (rc == 0)
		rc = print_bytes(m, "high RAM, its first bytes", MINI_ANSWER_GPA, 32);
	if (rc == 0)
		rc = print_bytes(m, "high RAM, its last bytes", MINI_LAST_GPA, sizeof(MINI_LAST));
	return rc;
}

/* Is this, byte for byte, at that guest address? */
static int check(struct machine *m, uint64_t gpa, const void *expected, size_t size)
{
	void *host;
	int rc = gmem_vm_translate(m->vm, gpa, size, 0, &host);

	if (rc < 0)
		return example_failed("gmem_vm_translate", rc);
	if (memcmp(host, expected, size) != 0) {
		fprintf(stderr,
			"not what the guest should have written: %zu bytes at 0x%08" PRIx64 "\n",
			size, gpa);
		return -EIO;
	}
	return 0;
}

static int check_all(struct machine *m)
{
	static const char said[] = "hello from the guest\n"
				   "the host told me: " MESSAGE "\n"
				   "all written, halting\n";
	const uint32_t number = MINI_NUMBER;
	const uint32_t probe = UINT32_MAX;
	char answer[sizeof(MESSAGE)] = MESSAGE;
	size_t i;
	int rc;

	for (i = 0; i < sizeof(answer); i++)
		answer[i] -= answer[i] >= 'a' && answer[i] <= 'z' ? 'a' - 'A' : 0;
	if (strcmp(m->serial, said) != 0) {
		fprintf(stderr, "not what the guest should have said\n");
		return -EIO;
	}
	rc = check(m, MINI_NUMBER_GPA, &number, sizeof(number));
	if (rc == 0)
		rc = check(m, MINI_PROBE_GPA, &probe, sizeof(probe));
	if (rc == 0)
		rc = check(m, MINI_ANSWER_GPA, answer, sizeof(answer));
	if (rc == 0)
		rc = check(m, MINI_LAST_GPA, MINI_LAST, sizeof(MINI_LAST));
	return rc;
}

/* The two lines to look at: what came over the serial port, and what lies in memory. */
static int print_result(struct machine *m)
{
	void *answer = NULL;
	void *last = NULL;
	int rc = gmem_vm_translate(m->vm, MINI_ANSWER_GPA, sizeof(MESSAGE), 0, &answer);

	if (rc == 0)
		rc = gmem_vm_translate(m->vm, MINI_LAST_GPA, sizeof(MINI_LAST), 0, &last);
	if (rc < 0)
		return example_failed("gmem_vm_translate", rc);
	printf("\ncheck: every byte is as the guest should have written it\n");
	printf("guest said: %.*s\n", (int)strcspn(m->serial, "\n"), m->serial);
	printf("memory has: \"%.*s\" at 0x%08x, \"%.*s\" at 0x%08x\n", (int)sizeof(MESSAGE) - 1,
	       (const char *)answer, MINI_ANSWER_GPA, (int)sizeof(MINI_LAST) - 1,
	       (const char *)last, MINI_LAST_GPA);
	return 0;
}

static int can_serve(struct machine *m)
{
	struct gmem_vm_info info;
	uint32_t version = gmem_version();
	int rc = gmem_vm_get_info(m->vm, &info);

	if (rc < 0)
		return example_failed("gmem_vm_get_info", rc);
	printf("libgmem %u.%u.%u found: guest_memfd %s, mapped by the host %s, private memory %s, "
	       "%" PRIu32 " memslots\n",
	       version >> 16, version >> 8 & 0xff, version & 0xff, info.guest_memfd ? "yes" : "no",
	       info.mmap ? "yes" : "no", info.private_memory ? "yes" : "no", info.slots);
	if (info.mmap)
		return 0;
	printf("This kernel's guest_memfd cannot be mapped by the host: that came with Linux 6.18\n");
	return EXAMPLE_SKIP;
}

static int prepare(struct machine *m)
{
	int rc = make_ram(m);

	if (rc == 0)
		rc = map_ram(m);
	if (rc == 0)
		rc = load_guest(m);
	if (rc == 0)
		rc = make_vcpu(m);
	if (rc == 0)
		rc = set_registers(m);
	return rc;
}

static int run_and_check(struct machine *m)
{
	int rc = print_memory(m);

	if (rc < 0)
		return rc;
	printf("\nRunning\n\n");
	rc = run_guest(m);
	if (rc == 0)
		printf("  the guest halted after %u exits\n", m->exits);
	print_serial(m);
	if (rc == 0)
		rc = print_written(m);
	if (rc == 0)
		rc = check_all(m);
	if (rc == 0)
		rc = print_result(m);
	return rc;
}

/* The vCPU goes first: nothing may run in memory that is being given back. */
static void tear_down(struct machine *m)
{
	if (m->run)
		munmap(m->run, m->run_size);
	if (m->vcpu_fd >= 0)
		close(m->vcpu_fd);
	gmem_vm_free(m->vm);
	gmem_region_free(m->ram);
	example_vm_close(&m->kvm);
}

int main(void)
{
	struct machine m = { .vcpu_fd = -1 };
	int rc;

	if (example_vm_open(&m.kvm) < 0)
		return EXAMPLE_SKIP;
	rc = gmem_vm_new(NULL, m.kvm.vm_fd, NULL, &m.vm);
	if (rc < 0)
		example_failed("gmem_vm_new", rc);
	if (rc == 0)
		rc = can_serve(&m);
	if (rc == 0)
		rc = prepare(&m);
	if (rc == 0)
		rc = run_and_check(&m);
	tear_down(&m);
	return rc < 0 ? 1 : rc;
}

#else

int main(void)
{
	printf("The guest of this example is x86 code, and this machine is not an x86 one\n");
	return EXAMPLE_SKIP;
}

#endif
