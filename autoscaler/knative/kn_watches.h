/* kn_watches - watches on all kinds: one a kind for the whole cluster, or one a kind and namespace
 * where the conf file names namespaces.  What they show goes into the cache.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_WATCHES_H
#define AUTOSCALER_KNATIVE_KN_WATCHES_H

#include "autoscaler/knative/kn.h"

struct kn_watches; /* opaque */
struct kube_watch_shared;
struct str_list;

/* namespaces, which are copied: NULL: all.  on_listed: a watch has listed its objects for the first
 * time, or was refused for the first time; it is called from the loop. */
NODISCARD struct kn_watches *kn_watches_new(struct kube_watch_shared *, struct kn_cache *,
					    const struct str_list *namespaces,
					    void (*on_listed)(void *), void *arg);
void kn_watches_free(struct kn_watches **);

/* Other namespaces are watched from now on, or all (NULL).  The objects of those that are not go.
 */
void kn_watches_use(struct kn_watches *, const struct str_list *namespaces);

/* Has each listed its objects? */
bool kn_watches_are_listed(const struct kn_watches *);
/* What the server says of a kind that it has not got, as its definition is not installed, and of
 * one that it refuses to list; borrowed.  NULL: there is none. */
const char *kn_watches_missing(const struct kn_watches *);
const char *kn_watches_refusal(const struct kn_watches *);

/* As kube_watch_reconnect(), for all of them. */
void kn_watches_reconnect(struct kn_watches *, int64_t since_ns);

#endif
