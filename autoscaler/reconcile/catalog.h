/* catalog - the services that there are: those of the conf file and those that the
 * driver found by itself, and how they are described to activators.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_CATALOG_H
#define AUTOSCALER_RECONCILE_CATALOG_H

#include "autoscaler/reconcile/reconcile.h"

/* A revision that the conf file names no more, while its instances are emptied: still
 * described, but no request is routed to it. */
struct catalog_leaving {
	const struct service_conf *service; /* that it was part of */
	const struct revision_conf *revision;
};

struct catalog {
	const struct service_conf **services; /* borrowed from whoever found them */
	size_t n;
	struct catalog_leaving *leaving;
	size_t leaving_n;
};

/* Join two sets; of two services of one name the first holds, and the log says so. */
void catalog_init(struct catalog *, const struct service_conf *file, size_t file_n,
		  const struct service_conf *found, size_t found_n);
void catalog_fini(struct catalog *);

/* Keep describing what of `old` is not in the catalog and still has instances.  old is
 * borrowed until catalog_fini(). */
void catalog_keep_leaving(struct catalog *, const struct service_conf *old, size_t n,
			  const struct reconcile *);

/* Every revision, with the driver that is its own; the array is the caller's. */
NODISCARD struct reconcile_item *catalog_items(const struct catalog *, struct driver *platform,
					       struct driver *addresses, size_t *n);

/* Call line() for each line of the description: begin, service…, end. */
void catalog_describe(const struct catalog *, const struct reconcile *, int64_t generation,
		      void (*line)(const char *text, size_t n, void *arg), void *arg);

#endif
