/* ctl_usage - `activatorctl usage`: what services have used, as /usage has it.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_USAGE_H
#define AUTOSCALER_CTL_USAGE_H

#include "common/base.h"

struct ctl_request;
struct facts;

/* Answer the request, later. */
void ctl_usage_begin(struct ctl_request *, const struct facts *);
/* As ctl_ops.on_gone.  False: the request is none of these. */
bool ctl_usage_gone(const struct ctl_request *, const struct facts *);

#endif
