/* scaledown - the way down: whom to take away, and never before the activators have
 * said that it is empty (promises 7 and 8; DESIGN 7, "Drain").
 *
 * To zero: one token for the revision, asked of every activator, test-and-close; the
 * stop is issued when all have said `drained`.  To fewer: one token for each of the
 * instances with the fewest requests in flight, which count as stopping from then on;
 * each is stopped when it is drained or `drain_timeout` has passed.
 * Whatever was not issued yet is taken back (`resume`) as soon as it is wanted again.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_SCALEDOWN_H
#define AUTOSCALER_RECONCILE_SCALEDOWN_H

#include "common/base.h"

struct drain_request;
struct reconcile;
struct scaled_revision;

/* Go on towards n instances, n <= what the driver was told; called as often as one
 * likes. */
void scaledown_to(struct reconcile *, struct scaled_revision *, uint32_t n);
/* The wish is what the driver was told, or more: take back what was not issued. */
void scaledown_cancel(struct reconcile *, struct scaled_revision *);
/* End all drains of a revision that is forgotten. */
void scaledown_end_all(struct reconcile *, struct scaled_revision *);

/* A peer answers: `drained`, or (is_busy) `busy`. */
void scaledown_answer(struct reconcile *, uint64_t peer, const char *token, bool is_busy);
/* A new peer is asked for what is under way; one that is gone is no longer waited for. */
void scaledown_peer_up(struct reconcile *, struct scaled_revision *, uint64_t peer);
void scaledown_peer_down(struct reconcile *, struct scaled_revision *, uint64_t peer);

/* Each second: time limits, and drains whose instances are gone or were spared. */
void scaledown_tick(struct reconcile *, struct scaled_revision *);
/* A new view: drains whose instances are gone end. */
void scaledown_view(struct reconcile *, struct scaled_revision *);

#endif
