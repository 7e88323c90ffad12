/* catalog - all services, those of the conf file and those that the driver has found
 * (annotations), and how they are described to activators.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_CATALOG_H
#define AUTOSCALER_RECONCILE_CATALOG_H

#include "autoscaler/reconcile/reconcile.h"

/* A revision that the conf file does not name any more, while its instances are drained and
 * stopped.  It is still described, but no traffic goes to it. */
struct catalog_leaving {
	const struct service_conf *service; /* its service in the old conf */
	const struct revision_conf *revision;
};

struct catalog {
	const struct service_conf **services; /* borrowed from settings and driver */
	size_t n;
	struct catalog_leaving *leaving;
	size_t leaving_n;
};

/* Join the services of the conf file, of the store and of the driver.  Of two of the same name the
 * first is used, and the log says so. */
void catalog_init(struct catalog *, const struct service_conf *file, size_t file_n,
		  struct service_conf *const *stored, size_t stored_n,
		  const struct service_conf *found, size_t found_n);
void catalog_fini(struct catalog *);

/* Add as leaving the revisions of `old` that are not in the catalog, leaving or not, and still have
 * instances and time to finish their requests; all of them where reconcile is NULL.
 * old is borrowed until catalog_fini(). */
void catalog_keep_leaving(struct catalog *, const struct service_conf *old, size_t n,
			  const struct reconcile *);

/* All revisions, each with its driver.  The array is the caller's. */
NODISCARD struct reconcile_item *catalog_items(const struct catalog *, struct driver *platform,
					       struct driver *addresses, size_t *n);

/* Call line() for each line of the description: `begin`, one `service` for each, `end`.
 * is_brief: limits at their defaults are left out. */
void catalog_describe(const struct catalog *, const struct reconcile *, int64_t generation,
		      bool is_brief, void (*line)(const char *text, size_t n, void *arg),
		      void *arg);

#endif
