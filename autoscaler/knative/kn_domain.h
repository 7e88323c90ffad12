/* kn_domain - the names by which a Route is reached: domain and tag templates of config-network,
 * the domain that config-domain gives it, and where it is visible.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_DOMAIN_H
#define AUTOSCALER_KNATIVE_KN_DOMAIN_H

#include "autoscaler/knative/kn.h"

struct strbuf;

/* Can the template of hosts, or of tags, be evaluated?  -1: why says what of it cannot. */
NODISCARD int kn_domain_check(const char *template, bool is_of_tags, struct strbuf *why);

/* Is the Route with these labels (an object, or NULL) for clients in the cluster alone? */
bool kn_domain_is_local(const struct kn_config *, const struct json_t *labels);
/* Do the labels of a placeholder Service say so of its one name? */
bool kn_domain_labels_are_local(const struct json_t *labels);

/* The first label of the host of a Route or of one of its tags ("": of the Route itself), which
 * is the name of its placeholder Service, too.  The caller's.  NULL: why says what is wrong. */
NODISCARD char *kn_domain_name(const struct kn_config *, const char *route, const char *tag,
			       struct strbuf *why);

/* The host of that name, of a Route with this metadata.  The caller's.  NULL: likewise. */
NODISCARD char *kn_domain_host(const struct kn_config *, const struct json_t *metadata,
			       const char *name, bool is_local, struct strbuf *why);
/* The host by which clients in the cluster reach that name: NAME.NS.svc.CLUSTER.  The caller's. */
NODISCARD char *kn_domain_local_host(const struct kn_config *, const char *ns, const char *name);

/* "SCHEME://HOST"; the caller's. */
NODISCARD char *kn_domain_url(const struct kn_config *, const char *host, bool is_local);
/* The host of such a URL; borrowed from it. */
const char *kn_domain_url_host(const char *url);

/* Is it a host name: labels of a-z, 0-9 and "-", of at most 63 characters, with dots between? */
bool kn_domain_is_host(const char *);

#endif
