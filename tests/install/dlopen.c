// SPDX-License-Identifier: LGPL-2.1-or-later
/* Loads, uses and unloads the library that is named on the command line, three times over. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

struct gmem_ctx;

/* ISO C has no cast from an object pointer to a function pointer; POSIX has this. */
static int find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	if (!symbol) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	*(void **)function = symbol;
	return 0;
}

static int use(void *library)
{
	int (*ctx_new)(struct gmem_ctx * *ctx);
	void (*ctx_free)(struct gmem_ctx * ctx);
	uint32_t (*version)(void);
	struct gmem_ctx *ctx;

	if (find(library, "gmem_version", &version) || find(library, "gmem_ctx_new", &ctx_new) ||
	    find(library, "gmem_ctx_free", &ctx_free))
		return -1;
	if (version() == 0 || ctx_new(&ctx) != 0)
		return -1;
	ctx_free(ctx);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc == 2 ? argv[1] : "libgmem.so.0";
	void *library;
	int i;

	for (i = 0; i < 3; i++) {
		library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		if (use(library))
			return 1;
		if (dlclose(library)) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		/* It went: nothing of it keeps it in the process. */
		if (dlopen(name, RTLD_NOW | RTLD_NOLOAD)) {
			fprintf(stderr, "%s stays loaded\n", name);
			return 1;
		}
	}
	return 0;
}
