/* kube_claims - who has which places, Deployments and names already, so that the next that
 * wants one can be told whose it is.  Pure.  Thread: the owner. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_CLAIMS_H
#define AUTOSCALER_KUBERNETES_KUBE_CLAIMS_H

#include "common/hmap.h"
#include "common/settings.h"

struct strbuf;

struct kube_claims {
	struct hmap by_key; /* to the text that says whose */
	char **texts;
	size_t texts_n;
};

/* Those of the conf file's services come first. */
void kube_claims_init(struct kube_claims *, const struct service_conf *file, size_t n);
void kube_claims_fini(struct kube_claims *);

/* Whether something that svc claims has been claimed; then why, unless NULL, gets what, and
 * by whom. */
bool kube_claims_taken(const struct kube_claims *, const struct service_conf *, struct strbuf *why);
/* All that svc claims is whose from now on. */
void kube_claims_put(struct kube_claims *, const struct service_conf *, const char *whose);

#endif
