/* route_audit - the routes of services that the platform's objects describe (annotations), in the
 * audit: an intent before a changed route is put in effect, and an outcome after it.  The routes of
 * the store are commit.h's, those of the conf file are in its reload.
 * What the platform shows first is no change.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_ROUTE_AUDIT_H
#define AUTOSCALER_ROUTE_AUDIT_H

#include "common/audit.h"

struct route_audit; /* opaque */
struct service_conf;

NODISCARD struct route_audit *route_audit_new(struct audit *); /* borrowed; NULL: off */
void route_audit_free(struct route_audit **);

/* These are the services from now on.  Write an intent for each route that differs; is_foreign: an
 * object has changed, else the conf file. */
void route_audit_begin(struct route_audit *, const struct service_conf *, size_t n,
		       bool is_foreign);
/* They are in effect. */
void route_audit_end(struct route_audit *);

#endif
