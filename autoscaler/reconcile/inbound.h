/* inbound - what activators and drivers report, noted in the revisions that it concerns.
 * Those that have to be looked at are marked; nothing is decided and nothing is sent here,
 * but that a driver hears which of its instances answer.
 * The time is clk_now().  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_INBOUND_H
#define AUTOSCALER_RECONCILE_INBOUND_H

#include "autoscaler/reconcile/peers.h"
#include "autoscaler/reconcile/scaled_set.h"

/* `activate`: requests are parked and no instance answers.  Returns the revision, which the
 * caller decides on at once; NULL: it is not known. */
NODISCARD struct scaled_revision *inbound_activate(struct scaled_set *, uint64_t peer,
						   const char *name, uint32_t parked);
/* `stats`: what an activator has of all revisions. */
void inbound_stats(struct scaled_set *, struct peers *, uint64_t peer, const struct msg_stats *);
/* `instance`: whether it answers, by a probe or a request. */
void inbound_instance(struct scaled_set *, const char *id, enum instance_health);

/* A driver's view.  Returns the revision if anything changed that activators or decisions go
 * by; NULL: nothing did, or the revision is not known. */
NODISCARD struct scaled_revision *inbound_view(struct scaled_set *, const struct driver_view *);

#endif
