/* wanted - the number of instances that is wanted of one revision, on its way from decide() to
 * the driver.  It is bounded here and nowhere else, in this order:
 *
 *  decided.wanted	what decide() wants (decide.h); never changed afterwards
 *    1. no data	decide() has no answer: the number that there is
 *    2. leaving	the conf file does not name the revision any more: no more than there is,
 *			and 0 once nothing is in flight or parked
 *    3. activation	an activator asks for an instance: at least 1
 *	  woken		an operator asks for one: at least 1
 *	  rollout	a rollout keeps so many: at least these
 *	  asleep	an operator has put it to sleep, and it is idle: 0
 *    4. unheard	an activator does not report: no fewer than there are
 *    5. held		another client has set the scale, and foreign_scale says to respect it
 *			(hold.h): no fewer, and no more until requests wait
 *    6. dry run	0; the number so far is that of the virtual instances (dryrun.h)
 *  claim		what the revision claims of max_instances
 *    7. max_instances	if the claims of all, or of its owner, do not fit: no more than is
 *			allotted (quota.h)
 *    8. unheard, held	as 4 and 5, whatever is allotted
 *  n			the number that is wanted: in the log and /why, and sent to activators
 *    9. surge		more, while instances are replaced (renewal.h)
 *   10. headroom		under max_instances: more only as other revisions have fewer
 *   11. drain		fewer only as instances are drained (scaledown.h)
 *  scale_sent		what the driver was asked for last (scaled.h)
 *
 * The rule of the number is that of the last bound of 1 to 8 that applied.  9 to 11 change nothing
 * that is wanted, only what the driver is asked for.  "What there is" means scale_sent without the
 * surge, or in a dry run the virtual instances.  Pure.  Thread: the owner. */
#ifndef AUTOSCALER_RECONCILE_WANTED_H
#define AUTOSCALER_RECONCILE_WANTED_H

#include "autoscaler/brain/decide.h"

#define WANTED_ALL UINT32_MAX /* allotted: the claims of all revisions fit */

struct wanted {
	uint32_t claim;
	uint32_t need; /* the part of the claim that is not given up for others (ceiling.h) */
	enum decide_rule claim_rule; /* that made the claim */
	uint32_t allotted;	     /* of max_instances; or WANTED_ALL */
	bool is_owner_bound;	     /* it is less than the claim because of its owner's bound */
	uint32_t n;
	enum decide_rule rule; /* that made n */
};

/* What bounds 1 to 8 depend on. */
struct wanted_facts {
	const struct scaling *scaling;
	const struct decide_view *view; /* what decide() saw */
	uint32_t has;			/* what there is */
	bool is_leaving;
	bool is_activation_pending; /* an activator has sent `activate` and not reported since */
	bool is_woken;		    /* an operator waits for an instance (scaled.h) */
	uint32_t warm;		    /* instances that a rollout keeps (scaled.h) */
	bool is_asleep;		    /* an operator has put it to sleep (scaled.h) */
	bool is_heard;		    /* every activator reports (peers.h) */
	bool is_dry;
	bool is_held;	  /* no fewer than `held` … */
	bool is_held_low; /* … and no more */
	uint32_t held;
};

/* Bounds 1 to 6.  Returns the number before the sixth; n stays until wanted_allot(). */
uint32_t wanted_claim(struct wanted *, const struct decide_out *decided,
		      const struct wanted_facts *);
/* Bounds 7 and 8.  True: n has changed. */
bool wanted_allot(struct wanted *, uint32_t allotted, const struct wanted_facts *);

/* Bounds 9 and 10: the scale to aim for now, if headroom is the most that the driver may be asked
 * for under max_instances.  If it is less than scale_sent, scaledown.h leads there. */
uint32_t wanted_scale(const struct wanted *, uint32_t scale_sent, uint32_t surge,
		      uint32_t headroom);

#endif
