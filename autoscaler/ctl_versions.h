/* ctl_versions - the commands of activatorctl that change the services of the store: deploy,
 * traffic, rollback, delete and apply; and export, which shows them.  A change is checked as a
 * whole before anything is written. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_VERSIONS_H
#define AUTOSCALER_CTL_VERSIONS_H

#include "autoscaler/ctl_server.h"

struct facts;

/* Carry out the command of the request, and end it.  True: the store has changed. */
NODISCARD bool ctl_versions_change(struct ctl_request *, const struct facts *);
void ctl_versions_export(struct ctl_request *, const struct facts *);

#endif
