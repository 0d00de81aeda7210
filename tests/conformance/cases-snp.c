// SPDX-License-Identifier: LGPL-2.1-or-later
/* The commands of an SNP launch, and what a launch does to contents. */
#include <assert.h>
#include <string.h>

#include "kit.h"

#define ENCRYPT_OP 0xc008aebau
#define INIT2 22u
#define LAUNCH_START 100u
#define LAUNCH_UPDATE 101u
#define LAUNCH_FINISH 102u
#define ENABLE_REQ_CERTS 103u

#define ATTRIBUTE_REQ_CERTS 2u

#define PAGE_NORMAL 1
#define PAGE_VMSA 2
#define PAGE_ZERO 3
#define PAGE_UNMEASURED 4

#define POLICY UINT64_C(0x30000)
#define POLICY_RESERVED (UINT64_C(1) << 17)
#define POLICY_MIGRATE (UINT64_C(1) << 18)

/* Pages of the firmware, whatever the host's are. */
#define SNP_PAGE UINT64_C(4096)

/* Structs of asm/kvm.h. */
struct sev_cmd {
	uint32_t id;
	uint32_t pad0;
	uint64_t data;
	uint32_t error;
	uint32_t sev_fd;
};

struct sev_init {
	uint64_t vmsa_features;
	uint32_t flags;
	uint16_t ghcb_version;
	uint16_t pad1;
	uint32_t pad2[8];
};

struct launch_start {
	uint64_t policy;
	uint8_t gosvw[16];
	uint16_t flags;
	uint8_t pad0[6];
	uint64_t pad1[4];
};

struct launch_update {
	uint64_t gfn_start;
	uint64_t uaddr;
	uint64_t len;
	uint8_t type;
	uint8_t pad0;
	uint16_t flags;
	uint32_t pad1;
	uint64_t pad2[4];
};

struct launch_finish {
	uint64_t id_block;
	uint64_t id_auth;
	uint8_t id_block_en;
	uint8_t auth_key_en;
	uint8_t vcek_disabled;
	uint8_t host_data[32];
	uint8_t pad0[3];
	uint16_t flags;
	uint64_t pad1[4];
};

static_assert(sizeof(struct sev_cmd) == 24, "asm/kvm.h");
static_assert(sizeof(struct sev_init) == 48, "asm/kvm.h");
static_assert(sizeof(struct launch_start) == 64, "asm/kvm.h");
static_assert(sizeof(struct launch_update) == 64, "asm/kvm.h");
static_assert(sizeof(struct launch_finish) == 88, "asm/kvm.h");

static int64_t command(struct world *world, uint32_t id, void *data)
{
	struct sev_cmd cmd = {
		.id = id,
		.data = (uintptr_t)data,
		.sev_fd = (uint32_t)world->system_fd,
	};

	return kvm_ioctl_at(world, world->vm_fd, ENCRYPT_OP, &cmd);
}

static int64_t init2(struct world *world)
{
	struct sev_init init = { 0 };
	int64_t result = command(world, INIT2, &init);

	if (result == -EOPNOTSUPP)
		case_skipped("needs a firmware that can hash (a build with libgcrypt)");
	return result;
}

static int64_t start(struct world *world, uint64_t policy)
{
	struct launch_start params = { .policy = policy };

	return command(world, LAUNCH_START, &params);
}

static int64_t finish(struct world *world)
{
	struct launch_finish params = { 0 };

	return command(world, LAUNCH_FINISH, &params);
}

static int64_t update(struct world *world, uint64_t gpa, const void *source, uint64_t size,
		      uint8_t type)
{
	struct launch_update params = {
		.gfn_start = gpa / SNP_PAGE,
		.uaddr = (uintptr_t)source,
		.len = size,
		.type = type,
	};

	return command(world, LAUNCH_UPDATE, &params);
}

static void begin(struct world *world)
{
	expect_value(init2(world), 0);
	expect_value(start(world, POLICY), 0);
}

static void commands_in_order(struct world *world)
{
	struct memory memory;

	make_memory(world, &memory, 0, GPA, world->page);
	convert(&memory, 0, world->page, true);
	init2(world);
	expect_value(init2(world), -EPERM);
	expect_value(update(world, GPA, memory.host, SNP_PAGE, PAGE_ZERO), -EINVAL);
	expect_value(start(world, POLICY), 0);
	expect_value(start(world, POLICY), -EINVAL);
	expect_value(update(world, GPA, memory.host, SNP_PAGE, PAGE_ZERO), 0);
	expect_value(finish(world), 0);
	/* KVM asks the firmware, which refuses. */
	expect_value(update(world, GPA, memory.host, SNP_PAGE, PAGE_ZERO), -EIO);
	expect_value(start(world, POLICY), -EINVAL);
}

static void start_needs_init2(struct world *world)
{
	int64_t result = start(world, POLICY);

	if (result == -EOPNOTSUPP)
		case_skipped("needs a firmware that can hash (a build with libgcrypt)");
	expect_value(result, -ENOTTY);
}

static void init2_comes_before_vcpus(struct world *world)
{
	struct vcpu vcpu;
	int64_t result;

	make_vcpu(world, &vcpu);
	result = init2(world);
	expect_value(result, -EINVAL);
	destroy_vcpu(&vcpu);
}

static void init2_arguments(struct world *world)
{
	struct sev_init init = { .flags = 1 };
	int64_t result = command(world, INIT2, &init);

	if (result == -EOPNOTSUPP)
		case_skipped("needs a firmware that can hash (a build with libgcrypt)");
	expect_value(result, -EINVAL);
	init = (struct sev_init){ .vmsa_features = UINT64_C(1) << 63 };
	expect_value(command(world, INIT2, &init), -EINVAL);
	init = (struct sev_init){ .ghcb_version = 0xffff };
	expect_value(command(world, INIT2, &init), -EINVAL);
	init = (struct sev_init){ .ghcb_version = 2 };
	expect_value(command(world, INIT2, &init), 0);
}

static int64_t device_attribute(struct world *world, uint32_t request, uint32_t group,
				uint64_t attribute, uint64_t *value)
{
	struct gmem_kvm_device_attr attr = {
		.group = group,
		.attr = attribute,
		.addr = (uintptr_t)value,
	};

	return kvm_ioctl_at(world, world->system_fd, request, &attr);
}

/* A kernel that has the exit says so, and takes the command between INIT2 and the first vCPU. */
static void guests_ask_for_certificates(struct world *world)
{
	struct vcpu vcpu;
	uint64_t value;

	if (device_attribute(world, GMEM_KVM_HAS_DEVICE_ATTR, GMEM_KVM_X86_GROUP_SEV,
			     ATTRIBUTE_REQ_CERTS, NULL) < 0) {
		expect_value(init2(world), 0);
		expect_value(command(world, ENABLE_REQ_CERTS, NULL), -EINVAL);
		case_skipped("this kernel gives no certificates on demand");
	}
	expect_value(command(world, ENABLE_REQ_CERTS, NULL), -EINVAL);
	expect_value(init2(world), 0);
	expect_value(command(world, ENABLE_REQ_CERTS, NULL), 0);
	make_vcpu(world, &vcpu);
	expect_value(command(world, ENABLE_REQ_CERTS, NULL), -EINVAL);
	expect_value(world->driver->request_certs(&vcpu, GPA, 3), GUEST_EXIT);
	expect_value(vcpu.exit.reason, EXIT_SNP_REQ_CERTS);
	expect_value(vcpu.exit.certs.gpa, GPA);
	expect_value(vcpu.exit.certs.pages, 3);
	expect_value(vcpu.exit.certs.ret, 0);
	expect_value(world->driver->give_certs(&vcpu, ENOSPC, &value), GUEST_DONE);
	expect_value(value, ENOSPC);
	expect_value(world->driver->request_certs(&vcpu, GPA, 3), GUEST_EXIT);
	expect_value(world->driver->give_certs(&vcpu, EPERM, &value), -EINVAL);
	destroy_vcpu(&vcpu);
}

static void what_the_firmware_supports(struct world *world)
{
	const uint32_t group = GMEM_KVM_X86_GROUP_SEV;
	uint64_t value = 0;

	expect_value(init2(world), 0);
	expect_value(device_attribute(world, GMEM_KVM_HAS_DEVICE_ATTR, group,
				      GMEM_KVM_X86_SNP_POLICY_BITS, NULL),
		     0);
	expect_value(device_attribute(world, GMEM_KVM_GET_DEVICE_ATTR, group,
				      GMEM_KVM_X86_SNP_POLICY_BITS, &value),
		     0);
	expect((value & POLICY) == POLICY);
	expect(!(value & POLICY_MIGRATE));
	expect_value(device_attribute(world, GMEM_KVM_GET_DEVICE_ATTR, group,
				      GMEM_KVM_X86_SEV_VMSA_FEATURES, &value),
		     0);
	/* SNP itself is not among the features: KVM adds it. */
	expect(!(value & 1));
	expect_value(device_attribute(world, GMEM_KVM_GET_DEVICE_ATTR, group, 77, &value), -ENXIO);
	expect_value(device_attribute(world, GMEM_KVM_GET_DEVICE_ATTR, 77, 0, &value), -ENXIO);
}

static void policies_that_are_refused(struct world *world)
{
	expect_value(init2(world), 0);
	expect_value(start(world, POLICY & ~POLICY_RESERVED), -EINVAL);
	expect_value(start(world, POLICY | POLICY_MIGRATE), -EINVAL);
	expect_value(start(world, POLICY | UINT64_C(1) << 63), -EINVAL);
	expect_value(start(world, POLICY), 0);
}

static void update_arguments(struct world *world)
{
	struct launch_update params = {
		.gfn_start = GPA / SNP_PAGE, .len = SNP_PAGE, .type = PAGE_NORMAL, .flags = 1
	};
	struct memory memory;
	uint8_t *source = map_anonymous(world, 2 * world->page);

	make_memory(world, &memory, 0, GPA, world->page);
	convert(&memory, 0, world->page, true);
	begin(world);
	params.uaddr = (uintptr_t)source;
	expect_value(command(world, LAUNCH_UPDATE, &params), -EINVAL);
	expect_value(update(world, GPA, source, 0, PAGE_NORMAL), -EINVAL);
	expect_value(update(world, GPA, source, SNP_PAGE / 2, PAGE_NORMAL), -EINVAL);
	expect_value(update(world, GPA, source, SNP_PAGE + 1, PAGE_NORMAL), -EINVAL);
	expect_value(update(world, GPA, source + 1, SNP_PAGE, PAGE_NORMAL), -EINVAL);
	expect_value(update(world, GPA, source, SNP_PAGE, 0), -EINVAL);
	expect_value(update(world, GPA, source, SNP_PAGE, PAGE_VMSA), -EINVAL);
	expect_value(update(world, GPA, source, SNP_PAGE, 7), -EINVAL);
	expect_value(update(world, HOLE_GPA, source, SNP_PAGE, PAGE_NORMAL), -EINVAL);
	/* No source: only where the page can be in place already. */
	expect_value(update(world, GPA, NULL, SNP_PAGE, PAGE_NORMAL), memory.single ? 0 : -EINVAL);
}

static void a_plain_slot_is_no_place(struct world *world)
{
	uint8_t *host = map_anonymous(world, world->page);

	expect_value(set_slot(world, 0, 0, GPA, world->page, host, -1, 0), 0);
	begin(world);
	expect_value(update(world, GPA, host, SNP_PAGE, PAGE_NORMAL), -EINVAL);
}

static void update_needs_private_pages(struct world *world)
{
	uint8_t *source = map_anonymous(world, world->page);
	struct memory memory;

	make_memory(world, &memory, 0, GPA, world->page);
	begin(world);
	expect_value(update(world, GPA, source, SNP_PAGE, PAGE_NORMAL), -EIO);
	convert(&memory, 0, world->page, true);
	expect_value(update(world, GPA, source, SNP_PAGE, PAGE_NORMAL), 0);
	/* Populated already. */
	expect_value(update(world, GPA, source, SNP_PAGE, PAGE_NORMAL), -EIO);
}

static void progress_is_written_back(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *source = map_anonymous(world, 4 * page);
	struct launch_update params = { .gfn_start = GPA / SNP_PAGE,
					.uaddr = (uintptr_t)source,
					.len = 4 * page,
					.type = PAGE_UNMEASURED };
	struct memory low;
	struct memory high;

	make_memory(world, &low, 0, GPA, 3 * page);
	make_memory(world, &high, 1, GPA + 3 * page, page);
	convert(&low, 0, 3 * page, true);
	convert(&high, 0, page, true);
	begin(world);
	/* Success does not mean done: it stops at the slot's end. */
	expect_value(command(world, LAUNCH_UPDATE, &params), 0);
	expect_value(params.gfn_start, (GPA + 3 * page) / SNP_PAGE);
	expect_value(params.uaddr, (uintptr_t)source + 3 * page);
	expect_value(params.len, page);
	expect_value(command(world, LAUNCH_UPDATE, &params), 0);
	expect_value(params.len, 0);
}

/* What was done before the page that fails is done, and the rest says which page it is. */
static void a_failing_page_is_named(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *source = map_anonymous(world, 4 * page);
	struct launch_update params = { .gfn_start = GPA / SNP_PAGE,
					.uaddr = (uintptr_t)source,
					.len = 4 * page,
					.type = PAGE_NORMAL };
	struct memory memory;

	make_memory(world, &memory, 0, GPA, 4 * page);
	convert(&memory, 0, 2 * page, true);
	convert(&memory, 3 * page, page, true);
	begin(world);
	/* Part of it done may count as success; asked again, the page fails. */
	if (command(world, LAUNCH_UPDATE, &params) == 0)
		expect_value(command(world, LAUNCH_UPDATE, &params), -EIO);
	expect_value(params.gfn_start, (GPA + 2 * page) / SNP_PAGE);
	expect_value(params.len, 2 * page);
	convert(&memory, 2 * page, page, true);
	expect_value(command(world, LAUNCH_UPDATE, &params), 0);
	expect_value(params.len, 0);
}

static void the_guest_finds_what_was_loaded(struct world *world)
{
	const uint64_t page = world->page;
	uint8_t *source = map_anonymous(world, page);
	struct memory memory;
	struct vcpu vcpu;

	memset(source, 0x5a, page);
	make_memory(world, &memory, 0, GPA, 2 * page);
	convert(&memory, 0, 2 * page, true);
	begin(world);
	expect_value(update(world, GPA, source, page, PAGE_NORMAL), 0);
	expect_value(update(world, GPA + page, NULL, page, PAGE_ZERO), 0);
	expect_value(finish(world), 0);
	make_vcpu(world, &vcpu);
	expect_value(guest_must_load(&vcpu, GPA + 16, GUEST_PRIVATE), 0x5a5a5a5a);
	expect_value(guest_must_load(&vcpu, GPA + page, GUEST_PRIVATE), 0);
	destroy_vcpu(&vcpu);
}

/* Written through the mapping while shared, then turned private: initial contents. */
static void shared_bytes_become_initial_contents(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	memset(memory.host, 0x6b, world->page);
	convert(&memory, 0, world->page, true);
	begin(world);
	expect_value(update(world, GPA, NULL, world->page, PAGE_NORMAL), 0);
	expect_value(finish(world), 0);
	make_vcpu(world, &vcpu);
	expect_value(guest_must_load(&vcpu, GPA, GUEST_PRIVATE), 0x6b6b6b6b);
	destroy_vcpu(&vcpu);
}

static void after_launch_conversion_destroys(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, 2 * world->page);
	begin(world);
	expect_value(finish(world), 0);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 0x12345678, 0);
	convert(&memory, 0, world->page, true);
	expect(guest_must_load(&vcpu, GPA, GUEST_PRIVATE) != 0x12345678);
	guest_must_store(&vcpu, GPA, 0x12345678, GUEST_PRIVATE);
	convert(&memory, 0, world->page, false);
	expect(guest_must_load(&vcpu, GPA, 0) != 0x12345678);
	destroy_vcpu(&vcpu);
}

/* What a VMM tells KVM of TDX is no part of the model: its launch is over when we say so. */
static void after_a_tdx_launch_conversion_destroys(struct world *world)
{
	struct memory memory;
	struct vcpu vcpu;

	make_memory(world, &memory, 0, GPA, world->page);
	make_vcpu(world, &vcpu);
	guest_must_store(&vcpu, GPA, 0x12345678, 0);
	convert(&memory, 0, world->page, true);
	expect_value(guest_must_load(&vcpu, GPA, GUEST_PRIVATE), 0x12345678);
	expect_value(world->driver->finish_launch(world), 0);
	convert(&memory, 0, world->page, false);
	expect(guest_must_load(&vcpu, GPA, 0) != 0x12345678);
	guest_must_store(&vcpu, GPA, 0x12345678, 0);
	convert(&memory, 0, world->page, true);
	expect(guest_must_load(&vcpu, GPA, GUEST_PRIVATE) != 0x12345678);
	destroy_vcpu(&vcpu);
}

static void other_types_have_no_launch(struct world *world)
{
	struct sev_init init = { 0 };
	int64_t result = command(world, INIT2, &init);

	/* ENOTTY from KVM with SEV, and EINVAL from one without. */
	expect(result < 0);
}

#define LAUNCH (NEED_SNP | NEED_PRIVATE)

const struct conformance_case snp_cases[] = {
	{ "SNP: commands come in their order", "SNP", LAUNCH, commands_in_order },
	{ "SNP: START needs INIT2", "SNP", LAUNCH, start_needs_init2 },
	{ "SNP: INIT2 comes before vCPUs", "SNP", LAUNCH | NEED_GUEST, init2_comes_before_vcpus },
	{ "SNP: arguments of INIT2", "SNP", LAUNCH, init2_arguments },
	{ "SNP: what the firmware supports", "SNP", LAUNCH, what_the_firmware_supports },
	{ "SNP: guests ask for certificates", "E5", NEED_SNP | NEED_GUEST | NEED_SIMULATOR,
	  guests_ask_for_certificates },
	{ "SNP: policies that are refused", "SNP", LAUNCH, policies_that_are_refused },
	{ "SNP: arguments of UPDATE", "SNP", LAUNCH, update_arguments },
	{ "SNP: a plain slot takes no UPDATE", "SNP", LAUNCH, a_plain_slot_is_no_place },
	{ "SNP: UPDATE needs private pages, once", "SNP", LAUNCH, update_needs_private_pages },
	{ "SNP: UPDATE writes back what is left", "SNP", LAUNCH, progress_is_written_back },
	{ "SNP: UPDATE stops at the page that fails", "SNP", LAUNCH, a_failing_page_is_named },
	{ "SNP: the guest finds what was loaded", "SNP", LAUNCH | NEED_GUEST,
	  the_guest_finds_what_was_loaded },
	{ "SNP: in place, shared bytes become initial contents", "P7 SNP",
	  LAUNCH | NEED_IN_PLACE | NEED_GUEST, shared_bytes_become_initial_contents },
	{ "SNP: after launch, conversion destroys contents", "P7",
	  LAUNCH | NEED_IN_PLACE | NEED_GUEST, after_launch_conversion_destroys },
	{ "TDX: after launch, conversion destroys contents", "P7",
	  NEED_TDX | NEED_IN_PLACE | NEED_GUEST | NEED_SIMULATOR,
	  after_a_tdx_launch_conversion_destroys },
	{ "VMs that are no SEV guests have no launch", "CAP", NEED_NOT_SNP,
	  other_types_have_no_launch },
	{ NULL, NULL, 0, NULL },
};
