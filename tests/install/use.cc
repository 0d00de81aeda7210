// SPDX-License-Identifier: LGPL-2.1-or-later
/* A C++ program that has nothing but what make install put in place. */
#include <gmem.h>
#include <iostream>

int main()
{
	struct gmem_ctx *ctx = nullptr;
	int rc;

	if (gmem_version() != GMEM_VERSION) {
		std::cerr << "headers are " << GMEM_VERSION << ", the library is " << gmem_version()
			  << std::endl;
		return 1;
	}
	rc = gmem_ctx_new(&ctx);
	if (rc < 0) {
		std::cerr << "gmem_ctx_new: " << rc << std::endl;
		return 1;
	}
	gmem_ctx_free(ctx);
	gmem_ctx_free(nullptr);
	return 0;
}
