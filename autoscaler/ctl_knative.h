/* ctl_knative - traffic, rollout, rollback, deploy and delete of a service of Knative's objects.
 * The autoscaler does not write what users have written there: it checks what is asked for, and
 * answers with the `kn` command that does it. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_KNATIVE_H
#define AUTOSCALER_CTL_KNATIVE_H

#include "autoscaler/ctl_annotated.h"

/* End the request: say which command makes the traffic and the tags what `change` makes of them. It
 * gets the revisions in the order of their names. */
void ctl_knative_change(struct ctl_request *, const struct service_conf *, ctl_change_fn *);

/* End the request, whose command is another one. */
void ctl_knative_refuse(struct ctl_request *, const struct service_conf *);

/* Its revisions as the store would have them, by name; the caller's. */
NODISCARD struct stored_service *ctl_knative_view(const struct service_conf *);
/* The command that makes percents and tags those of a view that was changed; the caller's. */
NODISCARD char *ctl_knative_command(const struct service_conf *, const struct stored_service *);

/* What changes the service: a text for people; the caller's. */
NODISCARD char *ctl_knative_where(const struct service_conf *);

#endif
