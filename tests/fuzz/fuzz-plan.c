// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fuzzes the plan of a conversion: layouts, states, ranges and walks made from any bytes, against
 * a model that looks at one page after the other.
 */
#include "plan-model.h"

#include <stdio.h>
#include <stdlib.h>

/* What libFuzzer calls. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct plan_model *model;
	char why[256];

	/* One for all inputs: what an input needs of it, it sets. */
	if (!model)
		model = plan_model_new();
	if (!model)
		abort();
	if (plan_model_check(model, data, size, why, sizeof(why)))
		return 0;
	fprintf(stderr, "%s\n", why);
	abort();
}
