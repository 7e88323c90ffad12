/* kube_selector - label selectors: parsed from text, matched against labels, and joined into few
 * that together select the pods of many workloads.  So one watch serves many workloads, while
 * the server still leaves out pods that belong to none.
 * Pure.  Thread: the owner's. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SELECTOR_H
#define AUTOSCALER_KUBERNETES_KUBE_SELECTOR_H

#include "common/err.h"

struct kube_selector; /* opaque */

/* "app=web,tier in (a,b),!canary", as in a query's labelSelector.  NULL with err; an empty text
 * is a mistake. */
NODISCARD struct kube_selector *kube_selector_parse(const char *text, struct err *);
void kube_selector_free(struct kube_selector **);
const char *kube_selector_text(const struct kube_selector *);

/* label(ctx, key): the value of that label, or NULL. */
bool kube_selector_matches(const struct kube_selector *,
			   const char *(*label)(const void *ctx, const char *key), const void *ctx);

/* Selectors that together select all that those of v do, and perhaps more.  Those of v that
 * have a requirement on the same key become one "key in (…)", or, where that text would be
 * longer than `longest` bytes, one "key".  Returns *n texts in a stable order, the caller's to
 * free. */
NODISCARD char **kube_selector_cover(const struct kube_selector *const *v, size_t v_n,
				     size_t longest, size_t *n);

#endif
