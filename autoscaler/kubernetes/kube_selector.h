/* kube_selector - label selectors: parsed from text, matched against labels, and joined
 * into as few as cover many workloads, so that one watch brings the pods of all of them
 * and the server leaves out the rest.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SELECTOR_H
#define AUTOSCALER_KUBERNETES_KUBE_SELECTOR_H

#include "common/err.h"

struct kube_selector; /* opaque */

/* "app=web,tier in (a,b),!canary".  NULL with err; an empty text selects nothing and is a
 * mistake. */
NODISCARD struct kube_selector *kube_selector_parse(const char *text, struct err *);
void kube_selector_free(struct kube_selector **);
const char *kube_selector_text(const struct kube_selector *);
/* label(ctx, key): its value, or NULL. */
bool kube_selector_matches(const struct kube_selector *,
			   const char *(*label)(const void *ctx, const char *key), const void *ctx);

/* Selectors whose union holds whatever one of v selects (and perhaps more): those that
 * name a common key become one "key in (…)", or, where that would be longer than
 * `longest`, one "key".  The texts are the caller's, in a stable order; *n: how many. */
NODISCARD char **kube_selector_cover(const struct kube_selector *const *v, size_t v_n,
				     size_t longest, size_t *n);

#endif
