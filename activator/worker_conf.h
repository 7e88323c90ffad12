/* worker_conf - the settings that the workers use, as one reading of the conf file has them.
 * Immutable and counted: a reload makes another one, and the last worker that goes over to that
 * frees this one.
 * Thread: any. */
#ifndef ACTIVATOR_WORKER_CONF_H
#define ACTIVATOR_WORKER_CONF_H

#include "activator/access/access_conf.h"
#include "common/settings.h"

struct worker_conf {
	_Atomic uint32_t refs;
	struct settings *settings;
	struct addr_net *trusted; /* networks of proxies that are believed */
	size_t trusted_n;
	struct access_conf *access; /* for requests without a route; NULL: no access log */
};

/* Takes over the settings. */
NODISCARD struct worker_conf *worker_conf_new(struct settings **);
struct worker_conf *worker_conf_ref(struct worker_conf *);
void worker_conf_unref(struct worker_conf **); /* the last one frees; *conf may be NULL */

/* Is it the address of a trusted proxy? */
static inline bool
worker_conf_trusts(const struct worker_conf *c, const struct addr *a)
{
	size_t i;

	for (i = 0; i < c->trusted_n; i++)
		if (addr_net_contains(&c->trusted[i], a))
			return true;
	return false;
}

#endif
