/* scaledown - leads one revision to fewer instances: chooses the instances to stop, and asks the
 * driver to stop them only when the activators have drained them (promises 7 and 8, README;
 * activator-protocol(7), "Drains").
 *
 * To zero: one drain of the whole revision.  Each activator answers at once: if it has no
 * request it closes all instances and says `drained`, else it says `busy`.  When all have said
 * `drained`, the driver is asked for 0.  One `busy` ends the drain; another one begins a
 * little later.
 * To fewer: one drain for each of the instances that victims.h puts first.  Activators learn that
 * these are stopping, and send them no new requests.  The driver is asked to stop an instance
 * when all activators have said `drained`, or when drain_timeout is over.
 * If instances are wanted again before the driver was asked to stop them, their drains are
 * taken back, but not those of instances that are retired or ending.
 * It never decides how many instances are wanted.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SCALEDOWN_H
#define AUTOSCALER_RECONCILE_SCALEDOWN_H

#include "autoscaler/reconcile/drain.h"
#include "autoscaler/reconcile/peers.h"
#include "autoscaler/reconcile/scaled.h"

/* Sends to one activator, or (peer 0) to all. */
typedef void scaledown_send_fn(uint64_t peer, const struct msg *, void *arg);

struct scaledown {
	struct drain_table drains;
	const struct peers *peers; /* the activators that are asked */
	scaledown_send_fn *send;
	void *arg;
};

/* id: unique to this process, for the tokens.  All arguments are borrowed.  The caller sets
 * drain_timeout. */
void scaledown_init(struct scaledown *, const char *id, const struct peers *, scaledown_send_fn *,
		    void *arg);
void scaledown_fini(struct scaledown *); /* all drains must have ended */

/* Take the next steps towards n instances, n < scale_sent.  To be called whenever the revision
 * is acted on. */
void scaledown_to(struct scaledown *, struct scaled_revision *, uint32_t n);
/* Drain the instances that the driver shows as retired, and those that are ending (renewal.h), and
 * ask it to stop them.  Those that are retired do not count in the scale, which stays; for those
 * that are ending, it is lowered, until others are asked for in their place.  To be called whenever
 * the revision is acted on, before more is asked for. */
void scaledown_replace(struct scaledown *, struct scaled_revision *);
/* No fewer instances are wanted than the driver was asked for: take back all drains that can
 * be. */
void scaledown_cancel(struct scaledown *, struct scaled_revision *);
/* End all drains of a revision that is forgotten or is scaled no longer. */
void scaledown_end_all(struct scaledown *, struct scaled_revision *);

/* A peer answers `drained`, or (is_busy) `busy`.  Returns the revision if it has to be acted on
 * now; else NULL. */
NODISCARD struct scaled_revision *scaledown_answer(struct scaledown *, uint64_t peer,
						   const char *token, bool is_busy);
/* A new peer is sent the drains that are under way.  A peer that is gone owes no answers, but that
 * alone completes no drain: the drain waits for another answer, or for drain_timeout. */
void scaledown_peer_up(struct scaledown *, struct scaled_revision *, uint64_t peer);
void scaledown_peer_down(struct scaled_revision *, uint64_t peer);

/* Each second: check time limits; end each drain whose instances the driver was asked to stop, if
 * they are gone, or if the driver has kept them. */
void scaledown_tick(struct scaledown *, struct scaled_revision *);
/* After a new view: end the drains whose instances are gone, or are stopping although the driver
 * was not asked to stop them. */
void scaledown_view(struct scaledown *, struct scaled_revision *);

#endif
