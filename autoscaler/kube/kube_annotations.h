/* kube_annotations - makes a service of an object's annotations: `activator.dev/host`, an
 * annotation with the name of each key that may stand in a service or a revision of the conf
 * file, and `activator.dev/rule.NAME.KEY` (or `schedule`) for keys of sections.  The conf
 * file's own table of keys and its own checks are used.  What is run has no annotation: that is the
 * Deployment.
 * A Deployment is a service of its own, whose only revision gets all traffic; or, with
 * `activator.dev/service: NAME`, one revision of the service of that name in its namespace, with
 * `activator.dev/percent` and `activator.dev/tag`.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KUBE_KUBE_ANNOTATIONS_H
#define AUTOSCALER_KUBE_KUBE_ANNOTATIONS_H

#include "common/settings.h"

struct conf_errors;
struct conf_section;
struct strbuf;

#define KUBE_ANNOTATION_PREFIX "activator.dev/"
#define KUBE_ANNOTATION_REVISION "v1" /* name of the only revision */

/* An annotation that has the prefix. */
struct kube_annotation {
	char *name; /* without the prefix */
	char *value;
};

bool kube_annotations_have_host(const struct kube_annotation *, size_t n);
/* Whether they name a host or a service.  An object without either has nothing to do with us. */
bool kube_annotations_are_ours(const struct kube_annotation *, size_t n);
/* The value of one; NULL: there is none. */
const char *kube_annotations_get(const struct kube_annotation *, size_t n, const char *name);

/* The name of a service: "namespace.name"; the name of the revision that a Deployment is in a joint
 * service.  Cut and with a hash at its end where that is too long.  The caller's. */
NODISCARD char *kube_annotations_name(const char *ns, const char *name);
NODISCARD char *kube_annotations_revision(const char *name);

/* The service; keys without an annotation are as in base.  deployment: what it scales,
 * "namespace/name"; port: where no annotation names it, or NULL.
 * NULL: all mistakes were added to why, each with its key. */
NODISCARD struct service_conf *kube_annotations_service(const struct settings *base,
							const char *name, const char *deployment,
							const char *port,
							const struct kube_annotation *, size_t n,
							struct strbuf *why);

/* Add to the section of a service what annotations set: is_of_revision: keys that may be a
 * revision's, to its section of that revision; else keys that are only a service's. Mistakes are
 * added to errors; kube_annotations_explain() adds them to why, by the names of these annotations.
 */
void kube_annotations_add(struct conf_section *service, const char *revision, bool is_of_revision,
			  const struct kube_annotation *, size_t n, struct conf_errors *);
void kube_annotations_explain(const struct conf_errors *, const struct kube_annotation *, size_t n,
			      struct strbuf *why);

/* A Deployment that is one revision of a joint service. */
struct kube_part {
	char *revision;		   /* kube_annotations_revision() */
	char *deployment;	   /* "namespace/name" */
	const char *percent, *tag; /* annotations; NULL: none */
	const struct kube_annotation *v;
	size_t n;
};

/* The joint service of the parts: keys that are a revision's come from the part, all others from
 * the annotations of the leader.  percents: of each part.  NULL: as above. */
NODISCARD struct service_conf *kube_annotations_joint(const struct settings *base, const char *name,
						      const struct kube_part *leader,
						      const struct kube_part *const *parts,
						      const uint32_t *percents, size_t n,
						      struct strbuf *why);
/* Are the keys of a part that are the service's those of the leader?  False: why says which are
 * not. leader_name: how messages call it. */
bool kube_annotations_agree(const struct kube_part *leader, const char *leader_name,
			    const struct kube_part *, struct strbuf *why);

/* What each of n parts gets.  given: their percents; -1: none was given: the first such part gets
 * what the others leave.  *sum: of those given.  False: that is not 100, and they share it in
 * proportion. */
bool kube_annotations_split(const int *given, size_t n, uint32_t *percents, uint32_t *sum);

/* Does allow_hosts let objects of that namespace claim the host? */
bool kube_annotations_may_claim(const struct settings *, const char *ns, const char *host);
/* The first host of a service that it does not allow; NULL: all are allowed. */
const char *kube_annotations_denied(const struct settings *, const char *ns,
				    const struct service_conf *);

#endif
