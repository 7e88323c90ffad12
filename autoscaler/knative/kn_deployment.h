/* kn_deployment - the Deployment of a Revision, as Knative makes it but for the queue-proxy: the
 * user's containers are as they were given, with the environment and the port that the runtime
 * contract names.  Readiness probes stay on the containers, where Knative moves them to its proxy.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_DEPLOYMENT_H
#define AUTOSCALER_KNATIVE_KN_DEPLOYMENT_H

#include <jansson.h>

#include "autoscaler/knative/kn.h"

#define KN_USER_PORT_NAME "user-port"

/* The Deployment for a Revision (its document too), with so many replicas.  The caller's. */
NODISCARD json_t *kn_deployment_make(const struct kn_context *, const struct kn_object *revision,
				     const json_t *document, int64_t replicas);

/* The Deployment that is there (a document), changed to be as `wanted`, whoever has made it differ;
 * its replicas and its selector, and labels and annotations of others stay.  NULL: it is so already
 * (kn_spec.h).  Else the caller's. */
NODISCARD json_t *kn_deployment_change(const json_t *present, const json_t *wanted);

/* The time in which a new Revision has to reach its initial scale: an annotation or the config. */
int64_t kn_progress_deadline_s(const struct kn_context *, const json_t *revision);

#endif
