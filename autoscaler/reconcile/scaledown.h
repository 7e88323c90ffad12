/* scaledown - the way down of one revision: which instances to stop, and never before the
 * activators have said that they are empty (DESIGN 4, promises 7 and 8; 7, "Drain").
 *
 * To zero: one drain of the revision, which each activator answers at once: it closes all
 * instances and says `drained`, or has requests and says `busy`.  The driver is asked for 0
 * when all have said `drained`; one `busy` ends the drain, and it is tried again later.
 * To fewer: one drain for each of the instances with the fewest requests in flight.  They
 * count as stopping from then on, and the driver is asked to stop each when all activators
 * have said `drained`, or after drain_timeout.
 * A drain whose stop was not asked for yet is taken back (`resume`) when its instances are
 * wanted again.
 * It never decides how many instances are wanted.  Where revisions have to be acted on, it
 * says so by what it returns.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SCALEDOWN_H
#define AUTOSCALER_RECONCILE_SCALEDOWN_H

#include "autoscaler/reconcile/drain.h"
#include "autoscaler/reconcile/peers.h"
#include "autoscaler/reconcile/scaled.h"

/* To one activator, or, peer 0, to all of them. */
typedef void scaledown_send_fn(uint64_t peer, const struct msg *, void *arg);

struct scaledown {
	struct drain_table drains;
	const struct peers *peers; /* who is asked */
	scaledown_send_fn *send;
	void *arg;
	int64_t drain_timeout; /* set by the owner */
};

/* id: unique to this process, for the tokens.  All arguments are borrowed. */
void scaledown_init(struct scaledown *, const char *id, const struct peers *, scaledown_send_fn *,
		    void *arg);
void scaledown_fini(struct scaledown *); /* all drains must have ended */

/* Go on towards n instances, n < scale_sent; called as often as one likes. */
void scaledown_to(struct scaledown *, struct scaled_revision *, uint32_t n);
/* No fewer are wanted than the driver was asked for: take back what was not asked for. */
void scaledown_cancel(struct scaledown *, struct scaled_revision *);
/* End all drains of a revision that is forgotten, or not scaled any more. */
void scaledown_end_all(struct scaledown *, struct scaled_revision *);

/* A peer answers: `drained`, or (is_busy) `busy`.  Returns the revision that is to be acted
 * on now, or NULL. */
NODISCARD struct scaled_revision *scaledown_answer(struct scaledown *, uint64_t peer,
						   const char *token, bool is_busy);
/* A new peer is asked for the drains that are under way; for one that is gone none waits. */
void scaledown_peer_up(struct scaledown *, struct scaled_revision *, uint64_t peer);
void scaledown_peer_down(struct scaled_revision *, uint64_t peer);

/* Each second: time limits, and drains whose instances are gone or were spared. */
void scaledown_tick(struct scaledown *, struct scaled_revision *);
/* A new view: end the drains whose instances are gone. */
void scaledown_view(struct scaledown *, struct scaled_revision *);

#endif
