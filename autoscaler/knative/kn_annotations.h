/* kn_annotations - the annotations autoscaling.knative.dev/… and the spec of a Revision as keys of
 * the conf file, with Knative's defaults and bounds.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_ANNOTATIONS_H
#define AUTOSCALER_KNATIVE_KN_ANNOTATIONS_H

#include "autoscaler/knative/kn.h"

struct conf_section;
struct strbuf;

/* Are the annotations (an object, or NULL) of a template or a Revision within their bounds?  False:
 * why gets what Knative's webhook would say. */
bool kn_annotations_check(const struct kn_config *, const struct json_t *annotations,
			  struct strbuf *why);

/* Does another autoscaler scale the Revision, as the annotation `class` or the default class says?
 */
bool kn_annotations_is_foreign(const struct kn_config *, const struct json_t *annotations);

/* Set the keys of a Revision (its document), which is of kind IN_REVISION, unless it has them. */
void kn_annotations_fill(const struct kn_config *, const struct settings *,
			 const struct json_t *revision, struct conf_section *);

#endif
