/* kube_recorder - Events on objects: what we have to say to whoever wrote them, where they
 * look for it (kubectl describe).  Best effort: a server that is away is told later, one
 * that refuses is not asked again.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_RECORDER_H
#define AUTOSCALER_KUBERNETES_KUBE_RECORDER_H

#include "common/base.h"

struct kube_http;
struct kube_recorder; /* opaque */
struct kube_object;
struct loop;

/* Both are borrowed. */
NODISCARD struct kube_recorder *kube_recorder_new(struct loop *, struct kube_http *);
void kube_recorder_free(struct kube_recorder **); /* what has not been told is not */

/* A Warning about the object; all is copied. */
void kube_recorder_warn(struct kube_recorder *, const struct kube_object *, const char *reason,
			const char *message);

#endif
