/* settings_claims - what only one service or revision may have: a host with a path, or a
 * workload.  A claim is a text; two services clash if one of their claims is the same.
 * Pure.  Thread: any. */
#ifndef COMMON_SETTINGS_CLAIMS_H
#define COMMON_SETTINGS_CLAIMS_H

#include "common/settings.h"

/* The claim of a service on one of its hosts with one of its paths (and, where it has
 * match_header, on requests that carry that field).  The caller's to free. */
NODISCARD char *settings_claim_path(const struct service_conf *, const char *host,
				    const char *path);

/* The i-th host of hosts and local_hosts. */
const char *settings_host_at(const struct service_conf *, size_t i);

/* By which hosts people know the service: local ones only where it has no others. */
const struct str_list *settings_hosts_shown(const struct service_conf *);

/* Call fn for each claim on a host with a path, until fn returns true.  Returns whether it did. */
bool settings_each_claim(const struct service_conf *, bool (*fn)(const char *claim, void *arg),
			 void *arg);

/* The claim of a revision on the workload that it scales, such as
 * "apps/v1/Deployment/default/hello", whichever key names it; NULL: it scales none.  The
 * caller's to free. */
NODISCARD char *settings_claim_workload(const struct launch *);

#endif
