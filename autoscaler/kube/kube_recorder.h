/* kube_recorder - creates Event objects, by which the owner of an object learns what concerns it
 * where kubectl shows it (`kubectl describe`, `kubectl events`).  Best effort: while the server
 * does not answer a few tries follow, after a refusal none; the log has one line for refusals in
 * a row with the same cause.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBE_KUBE_RECORDER_H
#define AUTOSCALER_KUBE_KUBE_RECORDER_H

#include "common/base.h"

struct kube_http;
struct kube_recorder; /* opaque */
struct loop;

/* Both are borrowed. */
NODISCARD struct kube_recorder *kube_recorder_new(struct loop *, struct kube_http *);
void kube_recorder_free(struct kube_recorder **); /* drops Events that are not created yet */

struct kube_involved {
	const char *group, *version; /* "apps", "v1"; "": the core group */
	const char *kind, *ns, *name, *uid;
};

/* Create an Event about the object.  All is copied.  is_warning: its type is Warning, not
 * Normal. */
void kube_recorder_add(struct kube_recorder *, const struct kube_involved *, bool is_warning,
		       const char *reason, const char *message);

#endif
