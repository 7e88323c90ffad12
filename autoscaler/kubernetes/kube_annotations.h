/* kube_annotations - makes a service of an object's annotations: `activator.dev/host`, an
 * annotation with the name of each key that may stand in a service or a revision of the conf
 * file, and `activator.dev/rule.NAME.KEY` (or `schedule`) for keys of sections.  The conf
 * file's own table of keys and its own checks are used.  Two things have no annotation: what is
 * run, which is the Deployment, and `traffic`, since one Deployment is one revision and gets all
 * of it.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBERNETES_KUBE_ANNOTATIONS_H
#define AUTOSCALER_KUBERNETES_KUBE_ANNOTATIONS_H

#include "common/settings.h"

struct strbuf;

#define KUBE_ANNOTATION_PREFIX "activator.dev/"
#define KUBE_ANNOTATION_REVISION "v1" /* name of the only revision */

/* An annotation that has the prefix. */
struct kube_annotation {
	char *name; /* without the prefix */
	char *value;
};

/* Whether they name a host.  An object without one has no service. */
bool kube_annotations_have_host(const struct kube_annotation *, size_t n);

/* The name of an object's service: "namespace.name", cut and with a hash at its end where that
 * is too long for a service.  The caller's. */
NODISCARD char *kube_annotations_name(const char *ns, const char *name);

/* The service; keys without an annotation are as in base.  deployment: what it scales,
 * "namespace/name"; port: where no annotation names it, or NULL.
 * NULL: all mistakes were added to why, each with its key. */
NODISCARD struct service_conf *kube_annotations_service(const struct settings *base,
							const char *name, const char *deployment,
							const char *port,
							const struct kube_annotation *, size_t n,
							struct strbuf *why);

/* The first host of a service that allow_hosts does not allow to an object of that namespace;
 * NULL: all are allowed. */
const char *kube_annotations_denied(const struct settings *, const char *ns,
				    const struct service_conf *);

#endif
