// SPDX-License-Identifier: LGPL-2.1-or-later
/* SNP_LAUNCH_FINISH of the simulated firmware: VMSAs, ID blocks, and what cannot be tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test-sim-snp-guest.h"
#include "test-sim-snp-table.h"

/* Offsets in the ID authentication information: AMD 56860. */
#define AUTH_SIZE 4096u
#define AUTH_BLOCK_SIGNATURE 0x40u
#define AUTH_ID_KEY 0x240u
#define AUTH_KEY_SIGNATURE 0x680u
#define AUTH_AUTHOR_KEY 0x880u
#define NUMBER_SIZE 48u

struct id {
	uint8_t block[sizeof(struct snp_id_block)];
	uint8_t auth[AUTH_SIZE];
	uint8_t author_key;
};

/* The launch that id-blocks.tsv is about, up to FINISH. */
static void prepare(struct guest *guest, uint64_t policy)
{
	uint8_t page[SNP_PAGE_SIZE];

	for (uint64_t i = 0; i < SNP_PAGE_SIZE; i++)
		page[i] = (uint8_t)(i * 31 + GUEST_BASE / SNP_PAGE_SIZE * 17 + (i >> 8));
	guest_new(guest, GUEST_LEGACY);
	guest_add_slot(guest, GUEST_BASE, GUEST_SIZE);
	assert_int_equal(guest_init2(guest, 0), 0);
	assert_int_equal(guest_start(guest, policy), 0);
	guest_load(guest, SNP_PAGE_NORMAL, GUEST_BASE, page, sizeof(page));
	guest_add_vcpu(guest);
}

/* Little-endian in the structure, big-endian in the table. */
static void put_number(uint8_t *to, const char *text)
{
	uint8_t number[NUMBER_SIZE];

	hex_read(text, number, sizeof(number));
	for (size_t i = 0; i < sizeof(number); i++)
		to[i] = number[sizeof(number) - 1 - i];
}

static void put_pair(uint8_t *to, char *const *field)
{
	put_number(to, field[0]);
	put_number(to + SNP_COMPONENT_SIZE, field[1]);
}

static void read_id(struct id *id, const struct table_row *row)
{
	memset(id, 0, sizeof(*id));
	hex_read(row->field[2], id->block, sizeof(id->block));
	id->auth[0] = 1;
	id->auth[AUTH_ID_KEY] = 2;
	put_pair(id->auth + AUTH_ID_KEY + 4, &row->field[3]);
	put_pair(id->auth + AUTH_BLOCK_SIGNATURE, &row->field[5]);
	if (strcmp(row->field[7], "-") == 0)
		return;
	id->author_key = 1;
	id->auth[4] = 1;
	id->auth[AUTH_AUTHOR_KEY] = 2;
	put_pair(id->auth + AUTH_AUTHOR_KEY + 4, &row->field[7]);
	put_pair(id->auth + AUTH_KEY_SIGNATURE, &row->field[9]);
}

/* The row with this name. */
static void get_id(struct id *id, const char *name)
{
	struct table table;
	bool found = false;

	table_read(&table, "id-blocks.tsv");
	for (size_t i = 0; i < table.rows; i++) {
		if (strcmp(table.row[i].field[0], name) != 0)
			continue;
		read_id(id, &table.row[i]);
		found = true;
	}
	table_free(&table);
	assert_true(found);
}

static int finish(struct guest *guest, struct id *id, uint32_t *error)
{
	struct snp_launch_finish params = {
		.id_block_uaddr = (uint64_t)(uintptr_t)id->block,
		.id_auth_uaddr = (uint64_t)(uintptr_t)id->auth,
		.id_block_en = 1,
		.auth_key_en = id->author_key,
	};

	return guest_command(guest, SNP_CMD_LAUNCH_FINISH, &params, error);
}

static void expect_error(struct id *id, uint64_t policy, uint32_t expected, const char *name)
{
	struct guest guest;
	uint32_t error = 0xffff;
	int ret;

	prepare(&guest, policy);
	ret = finish(&guest, id, &error);
	if (ret != (expected ? -EIO : 0) || error != expected)
		fail_msg("%s: FINISH gave %d, error 0x%x instead of 0x%x", name, ret, error,
			 expected);
	guest_free(&guest);
}

static void id_blocks(void **state)
{
	struct table table;
	struct id id;

	table_read(&table, "id-blocks.tsv");
	for (size_t i = 0; i < table.rows; i++) {
		const struct table_row *row = &table.row[i];

		read_id(&id, row);
		expect_error(&id, GUEST_POLICY, (uint32_t)number_read(row->field[1], 16),
			     row->field[0]);
	}
	table_free(&table);
}

static void id_block_for_another_policy(void **state)
{
	struct id id;

	get_id(&id, "good-0");
	expect_error(&id, GUEST_POLICY | 1 << 19, 0x7, "policy");
}

/* Any byte that is signed, changed. */
static void id_block_changed(void **state)
{
	static const size_t at[] = { 0, 47, 48, 64, 80, 84, 88, 95 };
	struct id id;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		get_id(&id, "good-0");
		id.block[at[i]] ^= 0x10;
		expect_error(&id, GUEST_POLICY, 0xa, "changed block");
	}
}

static void author_signs_the_whole_key(void **state)
{
	struct id id;

	get_id(&id, "good-author-0");
	id.auth[AUTH_ID_KEY + 0x403] ^= 1;
	expect_error(&id, GUEST_POLICY, 0xa, "changed key");
	id.author_key = 0;
	expect_error(&id, GUEST_POLICY, 0, "author not looked at");
}

static void keys_of_an_unknown_kind(void **state)
{
	/* Algorithms, curves, and numbers longer than the curve's. */
	static const size_t id_key[] = { 0, AUTH_ID_KEY, AUTH_ID_KEY + 4 + 48,
					 AUTH_ID_KEY + 4 + 72 + 71 };
	static const size_t author[] = { 4, AUTH_AUTHOR_KEY, AUTH_AUTHOR_KEY + 4 + 71 };
	struct id id;

	for (size_t i = 0; i < sizeof(id_key) / sizeof(id_key[0]); i++) {
		get_id(&id, "good-0");
		id.auth[id_key[i]] ^= 4;
		expect_error(&id, GUEST_POLICY, 0x27, "key");
	}
	for (size_t i = 0; i < sizeof(author) / sizeof(author[0]); i++) {
		get_id(&id, "good-author-0");
		id.auth[author[i]] ^= 4;
		expect_error(&id, GUEST_POLICY, 0x27, "author key");
	}
}

static void signature_longer_than_the_curve(void **state)
{
	struct id id;

	get_id(&id, "good-0");
	id.auth[AUTH_BLOCK_SIGNATURE + 48] = 1;
	expect_error(&id, GUEST_POLICY, 0xa, "r");
	get_id(&id, "good-0");
	id.auth[AUTH_BLOCK_SIGNATURE + 72 + 71] = 1;
	expect_error(&id, GUEST_POLICY, 0xa, "s");
}

/* VMSAs are measured once: after that no FINISH is as good as the first would have been. */
static void finish_cannot_be_tried_again(void **state)
{
	uint8_t before[SNP_DIGEST_SIZE], after[SNP_DIGEST_SIZE];
	struct guest guest;
	uint32_t error = 0;
	struct id id;

	prepare(&guest, GUEST_POLICY);
	get_id(&id, "digest");
	guest_get_digest(&guest, before);
	assert_int_equal(finish(&guest, &id, &error), -EIO);
	assert_int_equal(error, 0xb);
	guest_get_digest(&guest, after);
	assert_memory_not_equal(before, after, sizeof(before));
	get_id(&id, "good-0");
	assert_int_equal(finish(&guest, &id, &error), -EIO);
	assert_int_equal(error, 0x3);
	guest_get_digest(&guest, before);
	assert_memory_equal(before, after, sizeof(before));
	guest_free(&guest);
}

static int try_registers(struct guest *guest, int vcpu)
{
	struct sim_kvm_regs regs;

	return (int)guest_ioctl(guest, vcpu, SIM_KVM_GET_REGS, &regs);
}

/* With its VMSA, and not with the launch, a vCPU's registers become the guest's alone. */
static void registers_are_locked_by_a_finish_that_fails(void **state)
{
	struct guest guest;
	uint32_t error;
	struct id id;
	int late;

	prepare(&guest, GUEST_POLICY);
	get_id(&id, "digest");
	assert_int_equal(try_registers(&guest, guest.vcpu[0]), 0);
	assert_int_equal(finish(&guest, &id, &error), -EIO);
	assert_int_equal(error, 0xb);
	assert_int_equal(try_registers(&guest, guest.vcpu[0]), -EINVAL);
	late = guest_add_vcpu(&guest);
	assert_int_equal(try_registers(&guest, late), 0);
	guest_free(&guest);
}

/* What KVM finds wrong before it touches a vCPU leaves all as it was. */
static void finish_refused_before_vmsas(void **state)
{
	struct snp_launch_finish params = { .flags = 1 };
	uint8_t before[SNP_DIGEST_SIZE], after[SNP_DIGEST_SIZE];
	struct guest guest;
	struct id id;

	prepare(&guest, GUEST_POLICY);
	guest_get_digest(&guest, before);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_FINISH, &params, NULL), -EINVAL);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_FINISH, NULL, NULL), -EFAULT);
	guest_get_digest(&guest, after);
	assert_memory_equal(before, after, sizeof(before));
	get_id(&id, "good-0");
	assert_int_equal(finish(&guest, &id, NULL), 0);
	guest_free(&guest);
}

static void finish_id_block_out_of_reach(void **state)
{
	struct snp_launch_finish params = { .id_block_en = 1 };
	uint8_t byte[AUTH_SIZE] = { 0 };
	struct guest guest;

	for (unsigned int i = 0; i < 4; i++) {
		params.id_block_uaddr = i == 0 ? 0 : i == 1 ? 8 : (uint64_t)(uintptr_t)byte;
		params.id_auth_uaddr = i == 2 ? 0 : 8;
		prepare(&guest, GUEST_POLICY);
		assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_FINISH, &params, NULL),
				 i % 2 == 0 ? -EINVAL : -EFAULT);
		guest_free(&guest);
	}
}

/* host_data and vcek_disabled are for the attestation report. */
static void finish_takes_what_it_does_not_measure(void **state)
{
	struct snp_launch_finish params = { .vcek_disabled = 1, .host_data = { 1, 2, 3 } };
	struct guest guest;

	prepare(&guest, GUEST_POLICY);
	assert_int_equal(guest_command(&guest, SNP_CMD_LAUNCH_FINISH, &params, NULL), 0);
	guest_free(&guest);
}

/* KVM uses the number that START was given, whatever has become of it. */
static void finish_by_the_number_of_start(void **state)
{
	struct guest guest;
	int started;

	prepare(&guest, GUEST_POLICY);
	started = guest.sev_fd;
	guest.sev_fd = fcntl(started, F_DUPFD_CLOEXEC, 0);
	assert_true(guest.sev_fd >= 0);
	close(started);
	assert_int_equal(guest_finish(&guest, NULL), -EBADF);
	guest_free(&guest);
}

static void finish_without_the_device(void **state)
{
	struct guest guest;
	int started;

	prepare(&guest, GUEST_POLICY);
	started = guest.sev_fd;
	guest.sev_fd = -1;
	assert_int_equal(guest_finish(&guest, NULL), -EBADF);
	guest.sev_fd = started;
	/* No VMSA was measured yet. */
	assert_int_equal(guest_finish(&guest, NULL), 0);
	guest_free(&guest);
}

static void finish_without_vcpus(void **state)
{
	uint8_t before[SNP_DIGEST_SIZE], after[SNP_DIGEST_SIZE];
	struct guest guest;

	guest_launch(&guest, GUEST_SPLIT);
	guest_get_digest(&guest, before);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	guest_get_digest(&guest, after);
	assert_memory_equal(before, after, sizeof(before));
	guest_free(&guest);
}

static void registers_change_the_digest(void **state)
{
	uint8_t plain[SNP_DIGEST_SIZE], changed[SNP_DIGEST_SIZE];
	struct sim_kvm_regs regs;
	struct guest guest;

	prepare(&guest, GUEST_POLICY);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	guest_get_digest(&guest, plain);
	guest_free(&guest);
	prepare(&guest, GUEST_POLICY);
	assert_int_equal(guest_ioctl(&guest, guest.vcpu[0], SIM_KVM_GET_REGS, &regs), 0);
	regs.r15 = 1;
	assert_int_equal(guest_ioctl(&guest, guest.vcpu[0], SIM_KVM_SET_REGS, &regs), 0);
	assert_int_equal(guest_finish(&guest, NULL), 0);
	guest_get_digest(&guest, changed);
	assert_memory_not_equal(plain, changed, sizeof(plain));
	guest_free(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(id_blocks),
		cmocka_unit_test(id_block_for_another_policy),
		cmocka_unit_test(id_block_changed),
		cmocka_unit_test(author_signs_the_whole_key),
		cmocka_unit_test(keys_of_an_unknown_kind),
		cmocka_unit_test(signature_longer_than_the_curve),
		cmocka_unit_test(finish_cannot_be_tried_again),
		cmocka_unit_test(registers_are_locked_by_a_finish_that_fails),
		cmocka_unit_test(finish_refused_before_vmsas),
		cmocka_unit_test(finish_id_block_out_of_reach),
		cmocka_unit_test(finish_takes_what_it_does_not_measure),
		cmocka_unit_test(finish_by_the_number_of_start),
		cmocka_unit_test(finish_without_the_device),
		cmocka_unit_test(finish_without_vcpus),
		cmocka_unit_test(registers_change_the_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
