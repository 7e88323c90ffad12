/* kn_names - the names that Knative gives to objects, and the keys of the labels and annotations
 * by which its controllers, its clients and ours find them.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_NAMES_H
#define AUTOSCALER_KNATIVE_KN_NAMES_H

#include "autoscaler/knative/kn.h"

#define KN_KEY(name) "serving.knative.dev/" name

/* Labels. */
#define KN_LABEL_SERVICE KN_KEY("service")
#define KN_LABEL_SERVICE_UID KN_KEY("serviceUID")
#define KN_LABEL_CONFIGURATION KN_KEY("configuration")
#define KN_LABEL_CONFIGURATION_UID KN_KEY("configurationUID")
#define KN_LABEL_GENERATION KN_KEY("configurationGeneration")
#define KN_LABEL_REVISION KN_KEY("revision")
#define KN_LABEL_REVISION_UID KN_KEY("revisionUID")
#define KN_LABEL_ROUTE KN_KEY("route")
#define KN_LABEL_ROUTING_STATE KN_KEY("routingState")
#define KN_LABEL_DEPLOYMENT_HASH KN_KEY("deployment-hash")
#define KN_LABEL_APP "app"
#define KN_LABEL_VISIBILITY "networking.knative.dev/visibility"

/* Annotations. */
#define KN_ANNOTATION_CREATOR KN_KEY("creator")
#define KN_ANNOTATION_MODIFIER KN_KEY("lastModifier")
#define KN_ANNOTATION_ROUTES KN_KEY("routes") /* names, sorted, with commas between them */
#define KN_ANNOTATION_STATE_MODIFIED KN_KEY("routingStateModified")
#define KN_ANNOTATION_LAST_PINNED KN_KEY("lastPinned")
#define KN_ANNOTATION_NO_GC KN_KEY("no-gc")
#define KN_ANNOTATION_PROGRESS_DEADLINE KN_KEY("progress-deadline")
#define KN_ANNOTATION_ROLLOUT_DURATION KN_KEY("rollout-duration")
#define KN_ANNOTATION_ROLLOUT_DURATION_OLD KN_KEY("rolloutDuration")
#define KN_ANNOTATION_LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define KN_ANNOTATION_DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

/* Of a Route, by its own handler: how far a gradual rollout is.  The Service that owns the Route
 * leaves it there. */
#define KN_ANNOTATION_ROLLOUT_STATE "activator.dev/rollout-state"
/* A rollout is judged by its requests: bounds, and how many it answers in each step. */
#define KN_ANNOTATION_ABORT_IF "activator.dev/abort_if"
#define KN_ANNOTATION_MIN_REQUESTS "activator.dev/min_requests"
/* Of a Revision's status: the first time of so many instances has been, or "true". */
#define KN_ANNOTATION_INITIALIZED "activator.dev/scale-target-initialized"

#define KN_AUTOSCALING "autoscaling.knative.dev/"
#define KN_OURS "activator.dev/"

/* Values of KN_LABEL_ROUTING_STATE. */
#define KN_PENDING "pending" /* no Route has been seen yet that names the Revision */
#define KN_ACTIVE "active"
#define KN_RESERVE "reserve"

/* parent and suffix, or where that is more than 63 characters, parent cut, an MD5 of it and
 * suffix.  The caller's. */
NODISCARD char *kn_child_name(const char *parent, const char *suffix);
/* The Deployment of a Revision.  The caller's. */
NODISCARD char *kn_deployment_name(const char *revision);
/* The Revision of a generation of a Configuration.  The caller's. */
NODISCARD char *kn_revision_name(const char *configuration, int64_t generation);

/* The generation of its Configuration that a Revision (a document) was made of; 0: it names none.
 */
int64_t kn_revision_generation(const struct json_t *revision);

/* ownerReferences with one entry: the object as the controller.  The caller's. */
NODISCARD struct json_t *kn_owner_references(const struct kn_object *controller);
/* Is this one the object's controller, by its ownerReferences? */
bool kn_is_owned(const struct kn_object *, const struct kn_object *controller);
/* Does the object go soon: is it being deleted, or was its controller an earlier one of the kind
 * and the name of this one?  Then wait for that, and make it anew. */
bool kn_is_leaving(const struct kn_object *, const struct kn_object *controller);

/* "There is an existing KIND "NAME" that we do not own."  The caller's. */
NODISCARD char *kn_not_owned_message(enum kn_kind, const char *name);

/* A list of names with commas between them, as in KN_ANNOTATION_ROUTES. */
bool kn_names_has(const char *list, const char *name);
/* The list, sorted, with or without the name.  The caller's; "": it is empty. */
NODISCARD char *kn_names_with(const char *list, const char *name);
NODISCARD char *kn_names_without(const char *list, const char *name);

#endif
