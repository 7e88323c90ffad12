/* ctl_versions - the commands of activatorctl that change the services of the store: deploy,
 * traffic, rollback, delete and apply.  A change is checked as a whole before anything is written.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CTL_VERSIONS_H
#define AUTOSCALER_CTL_VERSIONS_H

#include "autoscaler/ctl_server.h"

struct facts;
struct stored_service;

/* Carry out the command of the request, and end it.  True: the store has changed. */
NODISCARD bool ctl_versions_change(struct ctl_request *, const struct facts *);
/* What other commands of the store need.  A copy of a stored service, to change; NULL: there is
 * none that may be changed, and the request is done. */
NODISCARD struct stored_service *ctl_versions_copy(struct ctl_request *, const struct facts *,
						   const char *name);
/* Check the changed copy and commit it; it is taken over.  False: the request is done. */
NODISCARD bool ctl_versions_commit(struct ctl_request *, const struct facts *,
				   struct stored_service *);
/* End the request with an error. */
void ctl_versions_refuse(struct ctl_request *, const struct err *);

#endif
