/* kn_defaults - what Knative's admission webhook fills in where a user leaves a field of a revision
 * out.  There is no webhook here: the values are filled in when a Revision is made of a
 * Configuration's template, which itself stays as the user wrote it.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_DEFAULTS_H
#define AUTOSCALER_KNATIVE_KN_DEFAULTS_H

#include <jansson.h>

#include "common/base.h"

#define KN_USER_PORT 8080 /* where the serving container names none */

struct kn_config;

/* Whom the revision is of: the template of container names may name them. */
struct kn_parent {
	const char *ns, *name;
};

/* Fill in what is absent from the spec of a revision, a document that is changed. */
void kn_defaults_apply(json_t *spec, const struct kn_config *, const struct kn_parent *);

/* Has kn_defaults_apply() been at this spec?  It is not to be again: other defaults by then would
 * change what runs. */
bool kn_defaults_are_applied(const json_t *spec);

/* Are the templates of two objects the same, once what is absent from their specs is filled in? */
bool kn_defaults_same_template(const json_t *a, const json_t *b, const struct kn_config *,
			       const struct kn_parent *);

/* The container that serves requests: the only one, or the one with ports; borrowed.  NULL: there
 * is none. */
json_t *kn_serving_container(const json_t *spec);
/* The port that it serves at. */
int64_t kn_user_port(const json_t *spec);

#endif
