/* peers - the activators that are connected, and those that vanished a short time ago.
 *
 * Missing data is not idleness (promise 6, README): as long as an activator may have requests
 * that it does not report, nothing is scaled down.  That is the case
 *  - while no activator is connected,
 *  - while one is connected and reports nothing,
 *  - for a stable window after one has vanished, and for PEERS_PATIENCE at least, unless it comes
 *    back by its id.
 * The last reports of a vanished activator count until then, too.  The caller has them, and
 * peers_take_forgotten() says when to forget them.
 * Pure but for the log: the time is an argument.  Knows no revision.  Thread: the owner. */
#ifndef AUTOSCALER_RECONCILE_PEERS_H
#define AUTOSCALER_RECONCILE_PEERS_H

#include "common/base.h"

struct peer {
	uint64_t serial; /* of its link */
	char *id;	 /* of the activator's process: the same on its next link */
	uint64_t report; /* number of the report that it is sending, from 1 */
	int64_t since_ns;
	int64_t reported_ns; /* when the last report was complete; 0: none was */
	bool is_silence_logged;
	bool has_spans; /* the caller's: it makes a span of `scaling` */
};

struct vanished; /* peers.c */

/* An activator that has lost its link tries again after 1 s at the latest; a loaded machine may
 * need some more. */
#define PEERS_PATIENCE (INT64_C(5) * 1000000000)

struct peers {
	struct peer *v; /* connected; the fields are for reading */
	size_t n;
	struct vanished *vanished;
	size_t vanished_n;
};

void peers_init(struct peers *);
void peers_fini(struct peers *);

struct peer *peers_find(const struct peers *, uint64_t serial); /* may be NULL */

/* A link is up.  If that activator had vanished, it is back. */
void peers_up(struct peers *, uint64_t serial, const char *id, int64_t now_ns);
/* A link is down.  True: the activator has vanished; false: it has another link already. */
bool peers_down(struct peers *, uint64_t serial, int64_t now_ns);
/* The peer's report is complete. */
void peers_reported(struct peer *, int64_t now_ns);

/* True: each activator that may have requests reports.  window_ns: how long one that vanished
 * counts. */
bool peers_all_heard(const struct peers *, int64_t window_ns, int64_t now_ns);

/* Is the activator connected, and reports nothing? */
bool peers_is_silent(const struct peers *, const char *id, int64_t now_ns);

/* Each second: forget activators that vanished window_ns ago or earlier; log silent ones. */
void peers_tick(struct peers *, int64_t window_ns, int64_t now_ns);

/* To be called after peers_up(), peers_down() and peers_tick(), until it returns false: the
 * serial of a link whose reports are to be forgotten.  is_back: the activator reports by another
 * link now. */
bool peers_take_forgotten(struct peers *, uint64_t *serial, bool *is_back);

#endif
