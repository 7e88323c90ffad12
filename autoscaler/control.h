/* control - the autoscaler put together: lock, drivers, hub, reconcile, admin endpoint,
 * the clock's tick, and signals.  SIGTERM or SIGINT: an orderly stop, which ends all
 * instances of driver process; a second one leaves at once.  SIGHUP: the conf file is
 * read again; with a mistake in it nothing changes.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CONTROL_H
#define AUTOSCALER_CONTROL_H

#include "autoscaler/reconcile/catalog.h"

struct admin;
struct hub;
struct loop;

struct control; /* opaque; control.c */

/* Take the lock, open everything, begin.  settings is taken over (also on failure). */
NODISCARD struct control *control_open(struct loop *, struct settings **, struct err *);
/* After the loop has stopped. */
void control_close(struct control **);

/* --- to be looked at (status.c, metrics.c) --- */
struct control_facts {
	const char *id;
	int64_t started_ns, generation;
	uint64_t reloads, reload_failures;
	uint32_t max_instances; /* over all revisions; 0: no ceiling */
	const char *driver;
	struct driver *platform; /* that one; NULL: closed */
	const struct reconcile *reconcile;
	struct hub *hub;
	bool is_stopping;
};
struct control_facts control_facts(const struct control *);

#endif
