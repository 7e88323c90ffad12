/* kube_facts - what Knative's controllers hear of the pods of a Deployment.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_FACTS_H
#define AUTOSCALER_KUBERNETES_KUBE_FACTS_H

#include "common/base.h"

struct kn_revision_facts;
struct kube_workload;
struct kube_workloads;

/* As kn_facts.revision.  Strings are borrowed until the pods change. */
bool kube_facts_get(const struct kube_workloads *, const char *ns, const char *deployment,
		    struct kn_revision_facts *);
/* Do the facts of this workload differ from what they were at the last call?  Each description of
 * the services looks at every workload, and most have not changed. */
bool kube_facts_have_changed(struct kube_workload *);

#endif
