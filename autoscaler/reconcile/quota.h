/* quota - max_instances, which all revisions share: who claims how much of it, how much the
 * drivers were asked for, and who is held back by it.
 *
 * While the claims of all fit, each revision is allotted what it claims.  Else the ceiling
 * (brain/ceiling.h) shares max_instances out at the end of the round, and a driver is asked
 * for more only as far as others have been asked for less.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_QUOTA_H
#define AUTOSCALER_RECONCILE_QUOTA_H

#include "autoscaler/reconcile/peers.h"
#include "autoscaler/reconcile/scaled_set.h"

struct quota {
	uint32_t max_instances; /* 0: no bound */
	uint64_t claimed;	/* wanted.claim of all revisions */
	uint64_t sent;		/* scale_sent of all revisions */
	bool is_tight;		/* the claims did not fit when last shared out */
	bool is_due;		/* a claim or the bound has changed since */
};

void quota_set(struct quota *, uint32_t max_instances);

/* The claim of rev was `before` until now. */
void quota_claim(struct quota *, const struct scaled_revision *, const struct wanted *before);
/* What rev may have until quota_share(): what it claims, or no more than before. */
uint32_t quota_allotted(const struct quota *, const struct scaled_revision *);
/* scale_sent of one revision was `before` until now. */
void quota_sent(struct quota *, uint32_t before, uint32_t now);

/* At the end of the round: if it is due, share max_instances out over all active revisions.
 * Those that get another number than before are marked. */
void quota_share(struct quota *, struct scaled_set *, const struct peers *, int64_t now_ns);

/* The most that the driver of rev may be asked for now. */
uint32_t quota_room(const struct quota *, const struct scaled_revision *);
/* There is more room: mark the revisions that wait for it. */
void quota_mark_waiting(const struct quota *, struct scaled_set *);
/* Note in rev, and in the log, whether its requests wait and max_instances lets nothing be
 * started for them. */
void quota_note_held_back(const struct quota *, struct scaled_revision *);

#endif
