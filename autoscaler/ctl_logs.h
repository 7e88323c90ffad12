/* ctl_logs - `activatorctl logs`: the last lines that the instances of a service have written, and
 * (follow) those that they write from then on.
 * A request reads what is kept first, and drops the new lines that come meanwhile: they are among
 * those that it reads.  A peer that reads slowly loses lines, and hears how many.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_LOGS_H
#define AUTOSCALER_CTL_LOGS_H

#include "autoscaler/driver.h"

struct ctl_logs; /* opaque */
struct ctl_request;
struct facts;

NODISCARD struct ctl_logs *ctl_logs_new(void);
void ctl_logs_free(struct ctl_logs **);

/* Answer the request, now or over time. */
void ctl_logs_begin(struct ctl_logs *, struct ctl_request *, const struct facts *);
/* As ctl_ops.on_gone.  False: the request is none of these. */
bool ctl_logs_gone(struct ctl_logs *, const struct ctl_request *);

/* As driver_ops.on_output and on_output_end. */
void ctl_logs_output(struct ctl_logs *, const struct driver_output *);
void ctl_logs_end(struct ctl_logs *, struct driver *, uint64_t token);

#endif
