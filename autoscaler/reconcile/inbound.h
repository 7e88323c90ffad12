/* inbound - notes what activators and drivers report in the revisions that it concerns, and
 * marks those that have to be acted on.  It tells a driver which of its instances answer.  It
 * decides nothing, and sends nothing to activators.
 * The time is clk_now().  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_INBOUND_H
#define AUTOSCALER_RECONCILE_INBOUND_H

#include "autoscaler/reconcile/peers.h"
#include "autoscaler/reconcile/scaled_set.h"

/* `activate`: so many requests are parked, and no instance answers.  Returns the revision, for
 * the caller to decide on; NULL: it is not known. */
NODISCARD struct scaled_revision *inbound_activate(struct scaled_set *, uint64_t peer,
						   const char *name, uint32_t parked);
/* `stats`: the requests that the peer has of each revision. */
void inbound_stats(struct scaled_set *, struct peers *, uint64_t peer, const struct msg_stats *);
/* `instance`: whether it answers, as a probe or a request has shown, and whether it has answered
 * a request. */
void inbound_instance(struct scaled_set *, const char *id, enum instance_health, bool has_served,
		      uint32_t uses);

/* A driver's view of a revision.  Returns the revision if its state has changed; NULL: only what
 * its instances use has, or it is not known. */
NODISCARD struct scaled_revision *inbound_view(struct scaled_set *, const struct driver_view *);

#endif
