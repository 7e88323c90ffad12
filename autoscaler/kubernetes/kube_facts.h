/* kube_facts - what Knative's controllers hear of the pods of a Deployment.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_FACTS_H
#define AUTOSCALER_KUBERNETES_KUBE_FACTS_H

#include "common/base.h"

struct kn_revision_facts;
struct kube_workloads;

/* As kn_facts.revision.  Strings are borrowed until the pods change. */
bool kube_facts_get(const struct kube_workloads *, const char *ns, const char *deployment,
		    struct kn_revision_facts *);

#endif
