/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A launch digest in the making, from inside. */
#ifndef GMEM_SNP_MEASURE_H
#define GMEM_SNP_MEASURE_H

#include "snp/abi.h"
#include "snp/crypto.h"

#include <gmem/measure.h>
#include <stdbool.h>

struct gmem_snp_measure {
	struct gmem_ctx *ctx;
	uint8_t digest[SHA384_SIZE];
	uint32_t threads;
	uint32_t vcpus; /* index of the next */
	gmem_snp_step_fn observe;
	void *opaque;
	gmem_free_fn free_opaque;
	bool is_observed; /* the observer is being told */
	/* The last VMSA that was hashed, for the next is most often the same. */
	bool has_vmsa;
	struct vmsa vmsa;
	uint8_t vmsa_digest[SHA384_SIZE];
};

/* Pages to be added, and how the observer will be told of them. */
struct group {
	struct gmem_snp_step step; /* all but digest */
	const uint8_t *data;       /* contents that count: of all pages, or of each */
	bool is_repeated;          /* data is one VMSA, which each of the pages has */
};

/*
 * Adds groups, and tells the observer; all of them, or after a failure none. who: the public
 * function, for messages. Errors are those of gmem_snp_measure_add() but -EINVAL.
 */
int gmem_measure_add_groups(struct gmem_snp_measure *measure, const char *who, struct group *groups,
			    uint32_t count);

/* What every function that adds looks at first. who: its name. 0, -EINVAL, -EDEADLK. */
int gmem_measure_check(struct gmem_snp_measure *measure, const char *who);

#endif /* GMEM_SNP_MEASURE_H */
