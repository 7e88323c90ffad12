/* ctl_audit - `activatorctl audit`: what has changed, by whom, and what came of it, from the files
 * of the autoscaler's audit and of that of the activators (common/audit.h).
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_AUDIT_H
#define AUTOSCALER_CTL_AUDIT_H

#include "common/base.h"

struct ctl_audits; /* opaque */
struct ctl_request;
struct facts;
struct loop;

NODISCARD struct ctl_audits *ctl_audits_new(struct loop *);
/* No request may be under way.  It waits a moment for threads whose request has gone. */
void ctl_audits_free(struct ctl_audits **);

/* Answer the request, later: a thread reads the files. */
void ctl_audit_begin(struct ctl_audits *, struct ctl_request *, const struct facts *);
/* As ctl_ops.on_gone.  False: the request is none of these. */
bool ctl_audit_gone(struct ctl_audits *, const struct ctl_request *);

#endif
