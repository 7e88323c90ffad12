/* kube_namespaces - the namespaces that the conf file admits: those that it names (`namespaces`),
 * and those whose labels it selects (`namespace_selector`), which a watch shows.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBE_KUBE_NAMESPACES_H
#define AUTOSCALER_KUBE_KUBE_NAMESPACES_H

#include "common/base.h"

struct kube_namespaces; /* opaque */
struct kube_watch_shared;
struct settings;
struct str_list;

/* The settings are read, and not kept.  on_change: what kube_namespaces_get() returns may have
 * changed, or what the other two say; it is called from the loop, never from within a call. */
NODISCARD struct kube_namespaces *kube_namespaces_new(struct kube_watch_shared *,
						      const struct settings *,
						      void (*on_change)(void *), void *arg);
void kube_namespaces_free(struct kube_namespaces **);

/* Other settings are in effect, at once.  Where the selector is another one, what the one before
 * has selected stays until the new list is there; on_change is called then. */
void kube_namespaces_use(struct kube_namespaces *, const struct settings *);

/* The names, each once, in no order; borrowed until the next call.  NULL: the conf file neither
 * names nor selects any. */
const struct str_list *kube_namespaces_get(struct kube_namespaces *);

/* Are they complete?  They are not while those that are selected have never been listed. */
bool kube_namespaces_are_listed(const struct kube_namespaces *);
/* Why they cannot be listed; borrowed.  NULL: they are, or there was no answer yet. */
const char *kube_namespaces_error(const struct kube_namespaces *);

/* As kube_watch_reconnect(). */
void kube_namespaces_reconnect(struct kube_namespaces *, int64_t since_ns);

#endif
