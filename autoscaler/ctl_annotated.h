/* ctl_annotated - traffic, rollout and rollback of a service that annotated Deployments make
 * together.  The autoscaler does not write percents there: it checks what is asked for, and answers
 * with the `kubectl annotate` commands that do it.
 *
 * All percents are named, and a tag leaves one Deployment before another gets it.  While the
 * Deployments are changed one after the other, the activators keep the split before, until the
 * percents sum to 100 again.  Where a Deployment without a percent gets what the others leave, each
 * command takes effect by itself: the oldest such Deployment comes last.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_ANNOTATED_H
#define AUTOSCALER_CTL_ANNOTATED_H

#include "autoscaler/versions/model.h"

struct ctl_request;
struct service_conf;

/* Changes a service as the request asks.  -1 with err. */
typedef int ctl_change_fn(struct ctl_request *, struct stored_service *, struct err *);

/* End the request: say what to annotate, so that the Deployments, taken for the revisions of a
 * stored service in the order of their creation, are as `change` makes them. */
void ctl_annotated_change(struct ctl_request *, const struct service_conf *, ctl_change_fn *);

/* Give all traffic to the Deployment that --to names; without it, to the other one of two.  -1 with
 * err. */
NODISCARD int ctl_annotated_roll_back(struct ctl_request *, struct stored_service *view,
				      struct err *);

/* End the request, whose command is another one: say where to change what it may not. */
void ctl_annotated_refuse(struct ctl_request *, const struct service_conf *);

#endif
