/* kn_spec - whether the spec of an object that we have made is still as we want it.
 *
 * It is not enough to compare the two: the API server fills in defaults, leaves out what is empty,
 * and writes quantities in its own way.  So what we want has to be there, with lists of the same
 * length; and of what we leave out, the members that Kubernetes has no default for have to be
 * absent, and those with a known default have to have it.  Members that are not known here may be
 * there: a newer server may have filled them in.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_KNATIVE_KN_SPEC_H
#define AUTOSCALER_KNATIVE_KN_SPEC_H

#include <jansson.h>

#include "common/base.h"

/* Is the spec of a Deployment or a Service that is there what is wanted? */
bool kn_spec_holds(const json_t *present, const json_t *wanted);
/* Has the metadata all labels and annotations that are wanted? */
bool kn_spec_has_metadata(const json_t *present, const json_t *wanted);

#endif
