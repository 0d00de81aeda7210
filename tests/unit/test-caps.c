// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tests of what is found out about a VM: each capability, the functional probe of in-place
 * conversion (kernel fact C1) and what its outcomes mean, and which descriptors are a VM's.
 */
#include "caps.h"
#include "stage.h"

#include "uapi/kvm.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct gmem_vm_info info_of(struct stage *stage)
{
	struct gmem_vm_info info;

	memset(&info, 0xa5, sizeof(info));
	assert_int_equal(gmem_vm_get_info(stage->vm, &info), 0);
	return info;
}

static struct gmem_vm_info info_on(const struct fake_kvm_config *config)
{
	struct gmem_vm_info info;
	struct stage stage;

	stage_open_vm(&stage, config);
	info = info_of(&stage);
	stage_close(&stage);
	return info;
}

/* One capability of the kernel, and the field of gmem_vm_info in which it shows. */
struct capability {
	const char *name;
	size_t answer; /* in fake_kvm_config: an int */
	int value;
	size_t field; /* in gmem_vm_info */
	size_t size;  /* of the field */
	uint64_t expected;
};

#define CAPABILITY(name, answer, value, field, expected)                                           \
	{                                                                                          \
		name, offsetof(struct fake_kvm_config, cap.answer), value,                         \
			offsetof(struct gmem_vm_info, field),                                      \
			sizeof(((struct gmem_vm_info *)0)->field), expected                        \
	}

static const struct capability capabilities[] = {
	CAPABILITY("KVM_CAP_NR_MEMSLOTS_509", nr_memslots, 509, slots, 509),
	CAPABILITY("KVM_CAP_NR_MEMSLOTS_32764", nr_memslots, 32764, slots, 32764),
	CAPABILITY("KVM_CAP_MULTI_ADDRESS_SPACE_absent", multi_address_space, 0, address_spaces, 1),
	CAPABILITY("KVM_CAP_MULTI_ADDRESS_SPACE_1", multi_address_space, 1, address_spaces, 1),
	CAPABILITY("KVM_CAP_MULTI_ADDRESS_SPACE_2", multi_address_space, 2, address_spaces, 2),
	CAPABILITY("KVM_CAP_EXIT_HYPERCALL_absent", exit_hypercall, 0, hypercall_exits, 0),
	CAPABILITY("KVM_CAP_EXIT_HYPERCALL_12", exit_hypercall, 0x1000, hypercall_exits, 0x1000),
	CAPABILITY("KVM_CAP_USER_MEMORY2_absent", user_memory2, 0, region2, 0),
	CAPABILITY("KVM_CAP_USER_MEMORY2", user_memory2, 1, region2, 1),
	CAPABILITY("KVM_CAP_MEMORY_FAULT_INFO_absent", memory_fault_info, 0, memory_fault_exit, 0),
	CAPABILITY("KVM_CAP_MEMORY_FAULT_INFO", memory_fault_info, 1, memory_fault_exit, 1),
	CAPABILITY("KVM_CAP_MEMORY_ATTRIBUTES_absent", memory_attributes, 0, attributes, 0),
	CAPABILITY("KVM_CAP_MEMORY_ATTRIBUTES_PRIVATE", memory_attributes, 8, attributes, 8),
	CAPABILITY("KVM_CAP_MEMORY_ATTRIBUTES_others_too", memory_attributes, 0xf, attributes, 0xf),
	CAPABILITY("KVM_CAP_GUEST_MEMFD_absent", guest_memfd, 0, guest_memfd, 0),
	CAPABILITY("KVM_CAP_GUEST_MEMFD", guest_memfd, 1, guest_memfd, 1),
	CAPABILITY("KVM_CAP_GUEST_MEMFD_needs_USER_MEMORY2", user_memory2, 0, guest_memfd, 0),
	CAPABILITY("KVM_CAP_VM_TYPES_absent_is_the_default_type", vm_types, 0, vm_types, 1),
	CAPABILITY("KVM_CAP_VM_TYPES_all", vm_types, 0x3f, vm_types, 0x3f),
	CAPABILITY("KVM_CAP_PRE_FAULT_MEMORY_absent", pre_fault, 0, prefault, 0),
	CAPABILITY("KVM_CAP_PRE_FAULT_MEMORY", pre_fault, 1, prefault, 1),
	CAPABILITY("KVM_CAP_GUEST_MEMFD_FLAGS_absent", guest_memfd_flags, 0, guest_memfd_flags, 0),
	CAPABILITY("KVM_CAP_GUEST_MEMFD_FLAGS_MMAP", guest_memfd_flags, 1, guest_memfd_flags, 1),
	CAPABILITY("KVM_CAP_GUEST_MEMFD_FLAGS_later_ones", guest_memfd_flags, 0x1f,
		   guest_memfd_flags, 0x1f),
	CAPABILITY("KVM_CAP_GUEST_MEMFD_FLAGS_without_guest_memfd", guest_memfd, 0,
		   guest_memfd_flags, 0),
};

static void capability_shows(void **state)
{
	const struct capability *capability = *state;
	struct fake_kvm_config config = fake_kvm_linux_6_18_sw;
	struct gmem_vm_info info;
	uint64_t value = 0;
	uint32_t narrow;

	memcpy((char *)&config + capability->answer, &capability->value, sizeof(int));
	info = info_on(&config);
	if (capability->size == sizeof(value)) {
		memcpy(&value, (char *)&info + capability->field, sizeof(value));
	} else {
		memcpy(&narrow, (char *)&info + capability->field, sizeof(narrow));
		value = narrow;
	}
	assert_int_equal(value, capability->expected);
}

/* Not for the caller, so not in gmem_vm_info. */
static void KVM_CAP_READONLY_MEM_is_probed(void **state)
{
	struct fake_kvm_config config = fake_kvm_linux_6_18;
	int value;

	(void)state;
	for (value = 0; value <= 1; value++) {
		struct stage stage;
		struct caps caps;

		config.cap.readonly_mem = value;
		stage_open(&stage, &config);
		assert_int_equal(gmem_caps_probe(&caps, stage.ctx, &stage.kernel,
						 fake_kvm_vm_fd(stage.fake)),
				 0);
		assert_int_equal(caps.readonly, value);
		stage_close(&stage);
	}
}

static void page_sizes_show(void **state)
{
	static const uint64_t sizes[] = { 4096, 16384, 65536 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct fake_kvm_config config = fake_kvm_in_place;
		struct gmem_vm_info info;

		config.page_size = sizes[i];
		info = info_on(&config);
		assert_int_equal(info.page_size, sizes[i]);
		/* Kernel fact F1: 8 TiB less a page of 4K; the kernel counts pages. */
		assert_int_equal(info.max_section, ((UINT64_C(1) << 31) - 1) * sizes[i]);
		assert_int_equal(info.tracking, GMEM_TRACKING_FILE);
	}
}

static void snp_attributes_show(void **state)
{
	struct fake_kvm_config config = fake_kvm_in_place;
	struct gmem_vm_info info;

	(void)state;
	config.snp_features = 0x29;
	config.snp_policy = 0x3f0000;
	config.cap.vm_types = 0x1d;
	config.device_attributes = FAKE_ATTRIBUTES_VM;
	info = info_on(&config);
	assert_int_equal(info.snp_features, 0x29);
	assert_int_equal(info.snp_policy, 0x3f0000);
	/* A KVM whose VMs do not say, and a KVM without SNP. */
	config.device_attributes = FAKE_ATTRIBUTES_SYSTEM;
	info = info_on(&config);
	assert_int_equal(info.snp_features | info.snp_policy, 0);
	config.device_attributes = FAKE_ATTRIBUTES_VM;
	config.cap.vm_types = 0x0d;
	info = info_on(&config);
	assert_int_equal(info.snp_features | info.snp_policy, 0);
}

static void reserved_fields_are_zero(void **state)
{
	struct gmem_vm_info info = info_on(&fake_kvm_in_place);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(info.reserved); i++)
		assert_int_equal(info.reserved[i], 0);
}

/* What each preset comes to. */
struct outcome {
	uint32_t tracking;
	uint32_t guest_memfd;
	uint32_t mmap;
	uint32_t private_memory;
	uint64_t attributes;
	unsigned int probes; /* files made to probe with */
};

static const struct outcome outcomes[PRESETS] = {
	[PRESET_OLD] = { GMEM_TRACKING_NONE, 0, 0, 0, 0, 0 },
	[PRESET_6_8] = { GMEM_TRACKING_VM, 1, 0, 1, 8, 0 },
	[PRESET_6_18] = { GMEM_TRACKING_NONE, 1, 1, 0, 0, 1 },
	[PRESET_6_18_SW] = { GMEM_TRACKING_VM, 1, 0, 1, 8, 0 },
	[PRESET_IN_PLACE] = { GMEM_TRACKING_FILE, 1, 1, 1, 8, 1 },
	[PRESET_IN_PLACE_DEFAULT] = { GMEM_TRACKING_NONE, 1, 1, 0, 0, 1 },
};

static void presets_are_understood(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < PRESETS; i++) {
		struct gmem_vm_info info = info_on(presets[i].config);

		assert_int_equal(info.tracking, outcomes[i].tracking);
		assert_int_equal(info.guest_memfd, outcomes[i].guest_memfd);
		assert_int_equal(info.mmap, outcomes[i].mmap);
		assert_int_equal(info.private_memory, outcomes[i].private_memory);
		assert_int_equal(info.attributes, outcomes[i].attributes);
		assert_int_equal(info.slots_used, 0);
	}
}

static void assert_zeros(const uint64_t *words, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		assert_int_equal(words[i], 0);
}

/* Exactly C1: one page, flags 0; PRIVATE on it; closed. */
static void check_probe_calls(struct stage *stage)
{
	uint64_t page_size = fake_kvm_page_size(stage->fake);
	struct fake_call create, set, call;
	unsigned int closes = 0;
	size_t i;

	assert_true(fake_kvm_get_ioctl(stage->fake, GMEM_KVM_CREATE_GUEST_MEMFD, 0, &create));
	assert_int_equal(create.arg[0], fake_kvm_vm_fd(stage->fake));
	assert_int_equal(create.data[0], page_size);
	assert_zeros(create.data + 1, ARRAY_SIZE(create.data) - 1);
	assert_true(fake_kvm_get_ioctl(stage->fake, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, 0, &set));
	assert_int_equal(set.arg[0], create.result);
	assert_int_equal(set.data[0], 0);
	assert_int_equal(set.data[1], page_size);
	assert_int_equal(set.data[2], GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE);
	assert_zeros(set.data + 3, ARRAY_SIZE(set.data) - 3);
	for (i = 0; fake_kvm_get_call(stage->fake, i, &call); i++) {
		if (call.nr != GMEM_SYS_CLOSE)
			continue;
		assert_int_equal(call.arg[0], create.result);
		closes++;
	}
	assert_int_equal(closes, 1);
}

static void probe_is_functional(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < PRESETS; i++) {
		struct stage stage;

		stage_open_vm(&stage, presets[i].config);
		assert_int_equal(fake_kvm_count_ioctl(stage.fake, GMEM_KVM_CREATE_GUEST_MEMFD),
				 outcomes[i].probes);
		assert_int_equal(fake_kvm_count_ioctl(stage.fake, GMEM_KVM_SET_MEMORY_ATTRIBUTES2),
				 outcomes[i].probes);
		/* C2: success of the VM's ioctl would prove nothing. */
		assert_int_equal(fake_kvm_count_ioctl(stage.fake, GMEM_KVM_SET_MEMORY_ATTRIBUTES),
				 0);
		assert_int_equal(fake_kvm_open_files(stage.fake), 0);
		if (outcomes[i].probes)
			check_probe_calls(&stage);
		stage_close(&stage);
	}
}

/* Nothing of the VM changes: no slot, no attribute. */
static void probing_changes_nothing(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < PRESETS; i++) {
		struct stage stage;
		int vm_fd;

		stage_open_vm(&stage, presets[i].config);
		vm_fd = fake_kvm_vm_fd(stage.fake);
		assert_int_equal(fake_kvm_slot_count(stage.fake, vm_fd), 0);
		assert_int_equal(fake_kvm_gpa_private_bytes(stage.fake, vm_fd), 0);
		assert_int_equal(fake_kvm_count_ioctl(stage.fake, GMEM_KVM_SET_USER_MEMORY_REGION),
				 0);
		assert_int_equal(fake_kvm_count_ioctl(stage.fake, GMEM_KVM_SET_USER_MEMORY_REGION2),
				 0);
		stage_close(&stage);
	}
}

/* What the attribute ioctl on the probe's file says, and what comes of it. */
struct verdict {
	const char *name;
	int answer; /* 0: as the preset has it, success */
	int error;
	const char *missing; /* in the message when tracking per guest_memfd is forced */
};

static const struct verdict verdicts[] = {
	{ "in_place_probe_0", 0, 0, NULL },
	{ "in_place_probe_ENOTTY", ENOTTY, 0, "KVM_SET_MEMORY_ATTRIBUTES2 is missing" },
	{ "in_place_probe_EINVAL", EINVAL, 0, "this VM has no private memory" },
	{ "gmem_vm_new_ENOMEM_in_place_probe", ENOMEM, -ENOMEM, NULL },
	{ "gmem_vm_new_EIO_in_place_probe_EFAULT", EFAULT, -EIO, NULL },
	{ "gmem_vm_new_EIO_in_place_probe_EAGAIN", EAGAIN, -EIO, NULL },
	{ "gmem_vm_new_EIO_in_place_probe_EPERM", EPERM, -EIO, NULL },
};

static int new_vm_with_verdict(struct stage *stage, const struct verdict *verdict,
			       uint32_t tracking, struct gmem_vm **vm)
{
	struct gmem_vm_config *config;
	int rc;

	assert_int_equal(gmem_vm_config_new(&config), 0);
	gmem_vm_config_set_tracking(config, tracking);
	if (verdict->answer)
		faults_fail(stage->faults, GMEM_SYS_IOCTL, GMEM_KVM_SET_MEMORY_ATTRIBUTES2, 1,
			    verdict->answer);
	*vm = (struct gmem_vm *)stage;
	rc = gmem_vm_new(stage->ctx, fake_kvm_vm_fd(stage->fake), config, vm);
	faults_off(stage->faults);
	gmem_vm_config_free(config);
	return rc;
}

static void expect_probe_failed(struct stage *stage, const struct verdict *verdict)
{
	struct leaks_snapshot *before = leaks_take(stage->leaks);
	struct gmem_vm *vm;
	int rc = new_vm_with_verdict(stage, verdict, GMEM_TRACKING_AUTO, &vm);

	assert_int_equal(rc, verdict->error);
	assert_null(vm);
	expect_one_message(stage->logs, GMEM_LOG_ERROR, "VM descriptor ",
			   "probing in-place conversion", "must be 0, ENOTTY or EINVAL");
	assert_no_leaks(stage->leaks, before);
}

static void in_place_probe_is_judged(void **state)
{
	const struct verdict *verdict = *state;
	struct stage stage;

	stage_open(&stage, &fake_kvm_in_place);
	if (verdict->error) {
		expect_probe_failed(&stage, verdict);
	} else {
		assert_int_equal(
			new_vm_with_verdict(&stage, verdict, GMEM_TRACKING_AUTO, &stage.vm), 0);
		expect_no_message(stage.logs);
		assert_int_equal(info_of(&stage).tracking,
				 verdict->answer ? GMEM_TRACKING_NONE : GMEM_TRACKING_FILE);
	}
	if (verdict->missing) {
		struct gmem_vm *vm;

		assert_int_equal(new_vm_with_verdict(&stage, verdict, GMEM_TRACKING_FILE, &vm),
				 -EOPNOTSUPP);
		assert_null(vm);
		expect_one_message(stage.logs, GMEM_LOG_ERROR, "tracking per guest_memfd",
				   verdict->missing, "gmem_in_place_conversion");
	}
	assert_int_equal(fake_kvm_open_files(stage.fake), 0);
	stage_close(&stage);
}

/* Every mode that can be forced, on every kernel: the mode, or a refusal that names what lacks. */
static void forced_tracking(void **state)
{
	uint32_t tracking;
	size_t i;

	(void)state;
	for (i = 0; i < PRESETS; i++) {
		for (tracking = GMEM_TRACKING_AUTO; tracking <= GMEM_TRACKING_FILE; tracking++) {
			static const struct verdict none = { 0 };
			bool granted = tracking == GMEM_TRACKING_AUTO ||
				       tracking == GMEM_TRACKING_NONE ||
				       tracking == outcomes[i].tracking;
			struct stage stage;
			int rc;

			stage_open(&stage, presets[i].config);
			rc = new_vm_with_verdict(&stage, &none, tracking, &stage.vm);
			assert_int_equal(rc, granted ? 0 : -EOPNOTSUPP);
			if (granted && tracking != GMEM_TRACKING_AUTO)
				assert_int_equal(info_of(&stage).tracking, tracking);
			if (granted)
				assert_int_equal(info_of(&stage).private_memory,
						 info_of(&stage).tracking != GMEM_TRACKING_NONE);
			else
				expect_one_message(stage.logs, GMEM_LOG_ERROR, "VM descriptor ",
						   tracking == GMEM_TRACKING_VM ? "per VM"
										: "per guest_memfd",
						   i == PRESET_OLD ? "CONFIG_KVM_GUEST_MEMFD"
						   : tracking == GMEM_TRACKING_VM
							   ? "KVM_CAP_MEMORY_ATTRIBUTES is 0"
							   : "gmem_in_place_conversion");
			stage_close(&stage);
		}
	}
}

static void no_kvm_no_ioctl(void **state)
{
	struct gmem_vm_info info;
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	assert_int_equal(gmem_vm_new(stage.ctx, -1, NULL, &stage.vm), 0);
	info = info_of(&stage);
	assert_int_equal(info.page_size, fake_kvm_page_size(stage.fake));
	assert_int_equal(info.tracking, GMEM_TRACKING_NONE);
	assert_int_equal(info.guest_memfd | info.mmap | info.private_memory | info.prefault |
				 info.memory_fault_exit | info.region2 | info.slots,
			 0);
	stage_expect_works(&stage);
	assert_int_equal(fake_kvm_count(stage.fake, GMEM_SYS_IOCTL), 0);
	stage_close(&stage);
}

static void expect_not_a_vm(int fd, struct stage *stage, const char *text)
{
	struct leaks_snapshot *before = leaks_take(stage->leaks);
	struct gmem_vm *vm = (struct gmem_vm *)stage;
	char name[64];

	snprintf(name, sizeof(name), "VM descriptor %d", fd);
	assert_int_equal(gmem_vm_new(stage->ctx, fd, NULL, &vm), -EBADF);
	assert_null(vm);
	expect_one_message(stage->logs, GMEM_LOG_ERROR, name, text, "KVM_CREATE_VM returned");
	assert_no_leaks(stage->leaks, before);
}

static void gmem_vm_new_EBADF_dev_kvm(void **state)
{
	struct stage stage;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	expect_not_a_vm(fake_kvm_system_fd(stage.fake), &stage, "is /dev/kvm itself");
	stage_close(&stage);
}

static void gmem_vm_new_EBADF_another_file(void **state)
{
	struct stage stage;
	int fd;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	fd = memfd_create("other", MFD_CLOEXEC);
	expect_not_a_vm(fd, &stage, "KVM_CHECK_EXTENSION gives ENOTTY");
	close(fd);
	stage_close(&stage);
}

static void gmem_vm_new_EBADF_closed(void **state)
{
	struct stage stage;
	int fd;

	(void)state;
	stage_open(&stage, &fake_kvm_in_place);
	fd = memfd_create("other", MFD_CLOEXEC);
	close(fd);
	expect_not_a_vm(fd, &stage, "KVM_CHECK_EXTENSION gives EBADF");
	stage_close(&stage);
}

/* A door whose page size is nonsense. */
struct odd_pages {
	struct gmem_kernel below;
	int64_t answer;
};

static int64_t odd_pages_call(uint32_t nr, const uint64_t *arg, void *opaque)
{
	struct odd_pages *odd = opaque;

	return nr == GMEM_SYS_GETPAGESIZE ? odd->answer
					  : odd->below.call(nr, arg, odd->below.opaque);
}

static void gmem_vm_new_EIO_page_size(void **state)
{
	static const int64_t answers[] = { -ENOSYS, 0, 1, 2048, 4095, 4097, 12288, 131072 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		struct odd_pages odd = { .answer = answers[i] };
		struct gmem_kernel kernel = { odd_pages_call, &odd };
		struct gmem_vm *vm = (struct gmem_vm *)&odd;
		struct stage stage;

		stage_open(&stage, &fake_kvm_in_place);
		odd.below = stage.kernel;
		gmem_ctx_set_kernel(stage.ctx, &kernel);
		assert_int_equal(gmem_vm_new(stage.ctx, fake_kvm_vm_fd(stage.fake), NULL, &vm),
				 -EIO);
		assert_null(vm);
		expect_one_message(stage.logs, GMEM_LOG_ERROR, "page size is",
				   "must be a power of two from 4096 to 65536");
		stage_close(&stage);
	}
}

int main(void)
{
	static struct cases cases;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(capabilities); i++)
		cases_add(&cases, capabilities[i].name, capability_shows, (void *)&capabilities[i]);
	for (i = 0; i < ARRAY_SIZE(verdicts); i++)
		cases_add(&cases, verdicts[i].name, in_place_probe_is_judged, (void *)&verdicts[i]);
#define ADD(function) cases_add(&cases, #function, function, NULL)
	ADD(KVM_CAP_READONLY_MEM_is_probed);
	ADD(page_sizes_show);
	ADD(snp_attributes_show);
	ADD(reserved_fields_are_zero);
	ADD(presets_are_understood);
	ADD(probe_is_functional);
	ADD(probing_changes_nothing);
	ADD(forced_tracking);
	ADD(no_kvm_no_ioctl);
	ADD(gmem_vm_new_EBADF_dev_kvm);
	ADD(gmem_vm_new_EBADF_another_file);
	ADD(gmem_vm_new_EBADF_closed);
	ADD(gmem_vm_new_EIO_page_size);
	return cases_run(&cases, "caps");
}
