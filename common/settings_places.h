/* settings_places - what no two services may share: the hosts and paths where they are
 * found, and the workloads that they scale.  Pure.  Thread: any. */
#ifndef COMMON_SETTINGS_PLACES_H
#define COMMON_SETTINGS_PLACES_H

#include "common/settings.h"

/* One of a service's places, in the form in which two are the same if requests could not
 * tell them apart.  The caller's. */
NODISCARD char *settings_place_key(const struct service_conf *, const char *host, const char *path);

/* "apps/v1/Deployment/default/hello", however it was written; NULL: it scales none.  The
 * caller's. */
NODISCARD char *settings_workload_key(const struct launch *);

#endif
