// SPDX-License-Identifier: LGPL-2.1-or-later
/* gmem-measure id-block and verify: what binds a launch to its owner. */
#include "gmem-measure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE GMEM_SNP_ID_BLOCK_SIZE
#define AUTH_SIZE GMEM_SNP_ID_AUTH_SIZE

struct id {
	struct gmem_ctx *ctx;
	uint8_t block[BLOCK_SIZE];
	uint8_t auth[AUTH_SIZE];
	struct gmem_snp_id_info info;
	uint8_t id_key[DIGEST_SIZE];
	uint8_t author_key[DIGEST_SIZE]; /* zeros: none */
};

static bool has_author(const struct id *id)
{
	static const uint8_t zeros[DIGEST_SIZE];

	return memcmp(id->author_key, zeros, sizeof(zeros)) != 0;
}

static void print_hex(const char *name, const uint8_t *bytes, size_t size)
{
	char text[DIGEST_TEXT];

	hex_format(bytes, size, text);
	printf("%-20s %s\n", name, text);
}

static void print_id(const struct id *id)
{
	print_hex("launch digest", id->info.digest, DIGEST_SIZE);
	print_hex("family ID", id->info.family_id, GMEM_SNP_ID_SIZE);
	print_hex("image ID", id->info.image_id, GMEM_SNP_ID_SIZE);
	printf("%-20s %" PRIu32 "\n", "guest SVN", id->info.svn);
	printf("%-20s 0x%" PRIx64 "\n", "policy", id->info.policy);
	print_hex("ID key digest", id->id_key, DIGEST_SIZE);
	if (has_author(id))
		print_hex("author key digest", id->author_key, DIGEST_SIZE);
	else
		printf("%-20s %s\n", "author key", "none");
}

static void put_id(struct json *json, const struct id *id)
{
	json_hex(json, "digest", id->info.digest, DIGEST_SIZE);
	json_hex(json, "family_id", id->info.family_id, GMEM_SNP_ID_SIZE);
	json_hex(json, "image_id", id->info.image_id, GMEM_SNP_ID_SIZE);
	json_number(json, "svn", id->info.svn);
	json_number(json, "policy", id->info.policy);
	json_hex(json, "id_key_digest", id->id_key, DIGEST_SIZE);
	if (has_author(id))
		json_hex(json, "author_key_digest", id->author_key, DIGEST_SIZE);
	else
		json_null(json, "author_key_digest");
}

/* What block and authentication say; they are known to be good. */
static int read_id(struct id *id)
{
	int ret;

	ret = gmem_snp_id_block_get_info(id->ctx, id->block, &id->info);
	if (ret)
		return ret;
	return gmem_snp_id_auth_get_digests(id->ctx, id->auth, id->id_key, id->author_key);
}

static enum exit_code load_key(struct gmem_ctx *ctx, const char *path, struct gmem_snp_key **key)
{
	struct bytes bytes;
	int ret;

	*key = NULL;
	if (!path)
		return EXIT_FINE;
	if (!file_read(path, GMEM_SNP_KEY_FILE_SIZE, &bytes))
		return EXIT_INPUT;
	if (bytes.size == 0) {
		complain("%s is empty; it must be a private key", path);
		bytes_free(&bytes);
		return EXIT_INPUT;
	}
	ret = gmem_snp_key_new(ctx, bytes.data, bytes.size, key);
	bytes_wipe(&bytes);
	return ret ? report_failure(path, ret) : EXIT_FINE;
}

static enum exit_code write_one(const char *path, const uint8_t *data, size_t size, bool base64)
{
	/* A newline, and the NUL that is not written. */
	char text[BASE64_SIZE(AUTH_SIZE) + 1];
	size_t length;

	if (!base64)
		return file_write(path, data, size) ? EXIT_FINE : EXIT_UNEXPECTED;
	base64_format(data, size, text);
	length = strlen(text);
	text[length++] = '\n';
	return file_write(path, text, length) ? EXIT_FINE : EXIT_UNEXPECTED;
}

static enum exit_code write_id(const struct id *id, const struct options *options)
{
	enum exit_code code;

	code = write_one(options->block, id->block, BLOCK_SIZE, options->base64);
	if (code == EXIT_FINE)
		code = write_one(options->auth, id->auth, AUTH_SIZE, options->base64);
	return code;
}

/* The digest of the command line, or that of the launch. */
static enum exit_code get_digest(const struct options *options, uint8_t digest[DIGEST_SIZE])
{
	struct launch launch;
	enum exit_code code;

	if (options->has_digest) {
		memcpy(digest, options->digest, DIGEST_SIZE);
		return EXIT_FINE;
	}
	code = launch_load(&launch, options);
	if (code != EXIT_FINE)
		return code;
	code = launch_digest(&launch, options, digest);
	launch_unload(&launch);
	return code;
}

static enum exit_code make_id(struct id *id, const struct options *options,
			      const struct gmem_snp_key *key, const struct gmem_snp_key *author_key)
{
	uint8_t digest[DIGEST_SIZE];
	enum exit_code code;
	int ret;

	code = get_digest(options, digest);
	if (code != EXIT_FINE)
		return code;
	ret = gmem_snp_id_block_build(id->ctx, digest, options->family_id, options->image_id,
				      options->svn, options->policy, id->block);
	if (ret) {
		report_failure(NULL, ret);
		return EXIT_USAGE;
	}
	ret = gmem_snp_id_auth_sign(id->block, key, author_key, id->auth);
	if (!ret)
		ret = read_id(id);
	return ret ? report_failure(NULL, ret) : write_id(id, options);
}

static void show_made(const struct id *id, const struct options *options)
{
	struct json json;

	if (options->quiet)
		return;
	if (!options->json) {
		printf("%-20s %s\n%-20s %s\n", "ID block", options->block, "ID authentication",
		       options->auth);
		print_id(id);
		return;
	}
	output_begin(&json, "id-block");
	json_string(&json, "block", options->block);
	json_string(&json, "auth", options->auth);
	put_id(&json, id);
	output_end(&json);
}

enum exit_code command_id_block(const struct options *options)
{
	struct gmem_snp_key *key = NULL, *author_key = NULL;
	struct id id = { .ctx = context_new() };
	enum exit_code code;

	if (!id.ctx)
		return EXIT_UNEXPECTED;
	code = load_key(id.ctx, options->key, &key);
	if (code == EXIT_FINE)
		code = load_key(id.ctx, options->author_key, &author_key);
	if (code == EXIT_FINE)
		code = make_id(&id, options, key, author_key);
	gmem_snp_key_free(author_key);
	gmem_snp_key_free(key);
	if (code == EXIT_FINE)
		show_made(&id, options);
	context_free(id.ctx);
	return code;
}

/* Verify. */

/* What does not hold, or NULL; *code is more than EXIT_DIFFERS where that is not known. */
static const char *find_fault(struct id *id, const struct options *options, enum exit_code *code)
{
	uint8_t digest[DIGEST_SIZE];
	int ret;

	*code = EXIT_DIFFERS;
	ret = gmem_snp_id_auth_verify(id->ctx, id->block, id->auth);
	if (!ret)
		ret = read_id(id);
	if (ret == -EBADMSG)
		return last_message();
	if (ret) {
		*code = report_failure(NULL, ret);
		return NULL;
	}
	if (options->has_policy && options->policy != id->info.policy)
		return "the signatures hold, but the ID block is for another policy";
	if (options->has_digest || options->image) {
		*code = get_digest(options, digest);
		if (*code != EXIT_FINE)
			return NULL;
		*code = EXIT_DIFFERS;
		if (memcmp(digest, id->info.digest, DIGEST_SIZE) != 0)
			return "the signatures hold, but the ID block is for another launch digest";
	}
	*code = EXIT_FINE;
	return NULL;
}

static void show_verified(const struct id *id, const struct options *options, const char *fault)
{
	struct json json;

	if (options->quiet)
		return;
	if (options->json) {
		output_begin(&json, "verify");
		json_bool(&json, "valid", !fault);
		json_word(&json, "reason", fault ? fault : "");
		if (!fault)
			put_id(&json, id);
		output_end(&json);
		return;
	}
	if (fault) {
		printf("does not hold: %s\n", fault);
		return;
	}
	puts("all signatures hold");
	print_id(id);
}

enum exit_code command_verify(const struct options *options)
{
	struct id id = { .ctx = context_new() };
	enum exit_code code = EXIT_INPUT;
	const char *fault;

	if (!id.ctx)
		return EXIT_UNEXPECTED;
	if (file_read_exactly(options->block, "an ID block", id.block, BLOCK_SIZE) &&
	    file_read_exactly(options->auth, "an ID authentication", id.auth, AUTH_SIZE)) {
		fault = find_fault(&id, options, &code);
		if (code <= EXIT_DIFFERS)
			show_verified(&id, options, fault);
	}
	context_free(id.ctx);
	return code;
}
