/* quota - max_instances, the bound over all revisions, and that of each owner over the revisions of
 * its services: what they claim of it, what the drivers were asked for, and which revisions it
 * holds back.
 *
 * While all claims fit, each revision is allotted its claim.  If they do not, they are shared out
 * at the end of the round (brain/ceiling.h): first what an owner may have over its own revisions,
 * then max_instances over what all owners are left with.  A driver is asked for more only within
 * both, that is, after other drivers were asked for less. Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_QUOTA_H
#define AUTOSCALER_RECONCILE_QUOTA_H

#include "autoscaler/reconcile/peers.h"
#include "autoscaler/reconcile/scaled_set.h"

/* An owner with a bound of its own. */
struct quota_owner {
	const char *name; /* borrowed from the settings */
	uint32_t max_instances;
	uint64_t claimed, sent; /* as in struct quota, of its revisions */
	bool is_tight;
};

struct quota {
	uint32_t max_instances; /* 0: no bound */
	uint64_t claimed;	/* wanted.claim of all revisions */
	uint64_t sent;		/* scale_sent of all revisions */
	bool is_tight;		/* the claims did not fit when last shared out */
	bool is_due;		/* a claim or a bound has changed since */
	struct quota_owner *owners;
	size_t owners_n;
};

void quota_fini(struct quota *);
/* These bounds hold from now on; owners without a bound are left out.  quota_join() follows for
 * each revision that stays. */
void quota_set(struct quota *, uint32_t max_instances, const struct owner_conf *, size_t owners_n,
	       struct scaled_set *);
/* The revision is the owner's; NULL: it has none. */
void quota_join(struct quota *, struct scaled_revision *, const char *owner);

/* The revision's claim has changed; `before` has the old one. */
void quota_claim(struct quota *, const struct scaled_revision *, const struct wanted *before);
/* What the revision may have until quota_share(): all, or no more than before. */
uint32_t quota_allotted(const struct quota *, const struct scaled_revision *);
/* The scale_sent of one revision has changed. */
void quota_sent(struct quota *, const struct scaled_revision *, uint32_t before, uint32_t now);

/* At the end of the round: if a claim or a bound has changed, share the bounds out over all active
 * revisions, and mark those of which another number is wanted then. */
void quota_share(struct quota *, struct scaled_set *, const struct peers *, int64_t now_ns);

/* The most that the revision's driver may be asked for now. */
uint32_t quota_headroom(const struct quota *, const struct scaled_revision *);
/* There is more room than before: mark the revisions that have less than is wanted. */
void quota_mark_waiting(const struct quota *, struct scaled_set *);
/* Note in the revision, and in the log, whether a bound lets nothing be started for requests that
 * wait. */
void quota_note_held_back(const struct quota *, struct scaled_revision *);

#endif
