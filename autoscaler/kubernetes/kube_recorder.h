/* kube_recorder - creates Event objects, by which the author of an object learns of a mistake in
 * it where kubectl shows it (`kubectl describe`).  Best effort: while the server does not answer
 * a few tries follow, after a refusal none.
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
void kube_recorder_free(struct kube_recorder **); /* drops Events that are not created yet */

/* Create an Event of type Warning about the object.  All is copied. */
void kube_recorder_warn(struct kube_recorder *, const struct kube_object *, const char *reason,
			const char *message);

#endif
