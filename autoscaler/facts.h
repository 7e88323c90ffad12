/* facts - what the pages of the admin endpoint (metrics, status, explain) show of the
 * autoscaler: control.c fills it in for each request.  Pointers are borrowed for the call.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_FACTS_H
#define AUTOSCALER_FACTS_H

#include "autoscaler/reconcile/reconcile.h"
#include "common/reload.h"

struct audit;
struct hub;
struct ledger;
struct rollouts;
struct services;
struct swaps;
struct version_store;

struct facts {
	const char *id; /* of this process */
	int64_t started_ns, generation;
	struct reload_counts reloads;
	uint64_t upgrade_failures;
	uint64_t control_requests; /* at the control socket */
	bool has_lease, is_leader; /* lease_name; does it hold the Lease, and may decide? */
	uint64_t term;		   /* of this leader; 0: none */
	uint32_t max_instances;	   /* over all revisions; 0: no ceiling */
	const char *driver;	   /* name of the platform's driver */
	struct driver *platform;   /* NULL: closed */
	const struct services *services;
	struct version_store *store; /* NULL: it cannot be read */
	const struct reconcile *reconcile;
	struct hub *hub;
	const struct swaps *swaps;
	struct ledger *ledger;
	struct audit *audit; /* NULL: there is none yet */
	const struct rollouts *rollouts;
	size_t watchers;	      /* of the status page */
	bool is_by_service, has_idle; /* /metrics: metrics_by, metrics_idle */
	bool is_stopping;
};

#endif
