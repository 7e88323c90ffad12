/* quota - max_instances, the bound over all revisions: what they claim of it, what the drivers
 * were asked for, and which revisions it holds back.
 *
 * While all claims fit, each revision is allotted its claim.  If they do not, max_instances is
 * shared out at the end of the round (brain/ceiling.h).  A driver is asked for more only
 * within max_instances, that is, after other drivers were asked for less.
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
	bool is_due;		/* a claim or max_instances has changed since */
};

void quota_set(struct quota *, uint32_t max_instances);

/* The revision's claim has changed; `before` has the old one. */
void quota_claim(struct quota *, const struct scaled_revision *, const struct wanted *before);
/* What the revision may have until quota_share(): all, or no more than before. */
uint32_t quota_allotted(const struct quota *, const struct scaled_revision *);
/* The scale_sent of one revision has changed. */
void quota_sent(struct quota *, uint32_t before, uint32_t now);

/* At the end of the round: if a claim or max_instances has changed, share max_instances out over
 * all active revisions, and mark those of which another number is wanted then. */
void quota_share(struct quota *, struct scaled_set *, const struct peers *, int64_t now_ns);

/* The most that the revision's driver may be asked for now. */
uint32_t quota_headroom(const struct quota *, const struct scaled_revision *);
/* There is more room than before: mark the revisions that have less than is wanted. */
void quota_mark_waiting(const struct quota *, struct scaled_set *);
/* Note in the revision, and in the log, whether max_instances lets nothing be started for
 * requests that wait. */
void quota_note_held_back(const struct quota *, struct scaled_revision *);

#endif
