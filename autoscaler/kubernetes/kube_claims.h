/* kube_claims - which service has claimed which host and path, workload and name, so that the
 * next one that wants the same is refused with the name of the one that has it.
 * Pure.  Thread: the owner's. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_CLAIMS_H
#define AUTOSCALER_KUBERNETES_KUBE_CLAIMS_H

#include "common/hmap.h"
#include "common/settings.h"

struct strbuf;

struct kube_claims {
	struct hmap by_key; /* claim to the text that names its owner */
	char **owners;
	size_t owners_n;
};

/* The n services of the conf file have theirs already. */
void kube_claims_init(struct kube_claims *, const struct service_conf *file, size_t n);
void kube_claims_fini(struct kube_claims *);

/* Whether one of the claims of svc is taken; if so, why (unless NULL) gets that claim and its
 * owner. */
bool kube_claims_taken(const struct kube_claims *, const struct service_conf *, struct strbuf *why);

/* All claims of svc are taken from now on; owner: how messages call it. */
void kube_claims_put(struct kube_claims *, const struct service_conf *, const char *owner);

#endif
