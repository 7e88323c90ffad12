/* commit - changes of the store, each with an intent in the audit before it and an outcome after it
 * (common/audit.h).
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_COMMIT_H
#define AUTOSCALER_COMMIT_H

#include "common/audit.h"

struct ctl_request;
struct facts;
struct stored_service;

/* As version_store_put(), by whom it was asked for. */
NODISCARD int commit_put(const struct facts *, enum audit_kind, const struct audit_by *,
			 struct stored_service **, struct err *);
/* As version_store_put() and version_store_remove(), as the request has asked. */
NODISCARD int commit_asked(const struct ctl_request *, const struct facts *,
			   struct stored_service **, struct err *);
NODISCARD int commit_remove(const struct ctl_request *, const struct facts *, const char *name,
			    struct err *);

#endif
