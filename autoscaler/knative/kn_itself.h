/* kn_itself - whether Knative Serving itself is in the cluster, by a watch on its webhook: two that
 * control the same objects would fight over them.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_ITSELF_H
#define AUTOSCALER_KNATIVE_KN_ITSELF_H

#include "common/base.h"

#define KN_ITSELF_WEBHOOK "validation.webhook.serving.knative.dev"

struct kn_itself; /* opaque */
struct kube_watch_shared;

/* on_change: it is known, or has come or gone; called from the loop. */
NODISCARD struct kn_itself *kn_itself_new(struct kube_watch_shared *, void (*on_change)(void *),
					  void *arg);
void kn_itself_free(struct kn_itself **);

/* Has it been found out?  Before that is_there says nothing. */
bool kn_itself_is_known(const struct kn_itself *);
bool kn_itself_is_there(const struct kn_itself *);
/* Why the server refuses to say so; borrowed.  NULL: it does not refuse. */
const char *kn_itself_refusal(const struct kn_itself *);

/* As kube_watch_reconnect(). */
void kn_itself_reconnect(struct kn_itself *, int64_t since_ns);

#endif
