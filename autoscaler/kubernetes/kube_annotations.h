/* kube_annotations - a service out of an object's annotations: `activator.dev/host`, and
 * one of the same name for each key that may stand in a service or revision of the conf
 * file; those of its rules and schedules as `activator.dev/rule.NAME.KEY`.  The table of
 * keys says which there are, and the check is that of the conf file.  Not by annotations:
 * what runs, and `traffic`, since one Deployment is one revision and has all of it.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_ANNOTATIONS_H
#define AUTOSCALER_KUBERNETES_KUBE_ANNOTATIONS_H

#include "common/settings.h"

struct strbuf;

#define KUBE_ANNOTATION_PREFIX "activator.dev/"
#define KUBE_ANNOTATION_REVISION "v1" /* what its only revision is called */

/* One of those with the prefix. */
struct kube_annotation {
	char *name; /* without the prefix */
	char *value;
};

/* Whether they name a host: only then there is to be a service. */
bool kube_annotations_claim(const struct kube_annotation *, size_t n);

/* What the service of an object is called: "namespace.name", shortened where it is too
 * long for a service.  The caller's. */
NODISCARD char *kube_annotations_name(const char *ns, const char *name);

/* The service: what its annotations leave open is as in base.  deployment: what is scaled,
 * "namespace/name"; port: where no annotation says it, or NULL.
 * NULL: what is wrong was added to why, each mistake with the key that has it. */
NODISCARD struct service_conf *kube_annotations_service(const struct settings *base,
							const char *name, const char *deployment,
							const char *port,
							const struct kube_annotation *, size_t n,
							struct strbuf *why);

/* The first of its hosts that an object of that namespace may not claim, by allow_hosts;
 * NULL: it may claim all of them. */
const char *kube_annotations_denied(const struct settings *, const char *ns,
				    const struct service_conf *);

#endif
