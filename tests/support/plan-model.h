/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plan of a conversion against a model that looks at one page after the other. A layout, the
 * states of its pages, ranges and a walk are all made from bytes, whatever they are: random ones
 * in a unit test, and a fuzzer's.
 */
#ifndef TESTS_SUPPORT_PLAN_MODEL_H
#define TESTS_SUPPORT_PLAN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan_model;

/* NULL when there is no memory. */
struct plan_model *plan_model_new(void);
void plan_model_free(struct plan_model *model);
/* False where plan and model differ; why says in what. */
bool plan_model_check(struct plan_model *model, const uint8_t *data, size_t size, char *why,
		      size_t why_size);

#endif /* TESTS_SUPPORT_PLAN_MODEL_H */
