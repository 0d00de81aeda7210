// SPDX-License-Identifier: LGPL-2.1-or-later
/* A C program that has nothing but what make install put in place. */
#include <gmem.h>
#include <stdio.h>

int main(void)
{
	struct gmem_ctx *ctx;
	int rc;

	if (gmem_version() != GMEM_VERSION) {
		fprintf(stderr, "headers are %#x, the library is %#x\n", GMEM_VERSION,
			gmem_version());
		return 1;
	}
	rc = gmem_ctx_new(&ctx);
	if (rc < 0) {
		fprintf(stderr, "gmem_ctx_new: %d\n", rc);
		return 1;
	}
	gmem_ctx_free(ctx);
	gmem_ctx_free(NULL);
	return 0;
}
