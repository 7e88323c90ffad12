/* kube_select - label selectors: parsed from text, matched against labels, and joined
 * into as few as cover many workloads, so that one watch brings the pods of all of them
 * and the server leaves out the rest.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_SELECT_H
#define AUTOSCALER_KUBERNETES_KUBE_SELECT_H

#include "common/err.h"

struct kube_select; /* opaque */

/* "app=web,tier in (a,b),!canary".  NULL with err; an empty text selects nothing and is a
 * mistake. */
NODISCARD struct kube_select *kube_select_parse(const char *text, struct err *);
void kube_select_free(struct kube_select **);
const char *kube_select_text(const struct kube_select *);
/* label(ctx, key): its value, or NULL. */
bool kube_select_matches(const struct kube_select *,
			 const char *(*label)(const void *ctx, const char *key), const void *ctx);

/* Selectors whose union holds whatever one of v selects (and perhaps more): those that
 * name a common key become one "key in (…)", or, where that would be longer than
 * `longest`, one "key".  The texts are the caller's, in a stable order; *n: how many. */
NODISCARD char **kube_select_cover(const struct kube_select *const *v, size_t v_n, size_t longest,
				   size_t *n);

#endif
