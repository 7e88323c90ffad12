/* wanted - the number of instances that are wanted of one revision, on its way from decide()
 * to the driver.  This is the only place that bounds it.  In order:
 *
 *  decided.wanted	what decide() wants (decide.h); nothing below changes it
 *    1. no data	decide() has no answer: what there is
 *    2. leaving	the revision is no longer named: no more than there is, and 0 once
 *			nothing is in flight or parked
 *    3. activation	an activator asks for an instance: at least 1
 *    4. unheard	an activator is not heard: no fewer than there are
 *    5. dry run	0; the number so far goes into the book of the dry run (dryrun.h)
 *  claim		what the revision claims of max_instances
 *    6. max_instances	no more than is allotted, where the claims of all do not fit
 *    7. unheard	as 4, whatever is allotted
 *  n			what is wanted: the log, /why and the activators have this number
 *    8. held		another hand has set the scale: as it is, but for the ways to and from 0
 *    9. room		under max_instances: up only as the instances of others end
 *   10. drain		down only as instances are drained (scaledown.h)
 *  scale_sent		what the driver was asked for last (scaled.h)
 *
 * Of 1 to 7 the last that changed the number leaves its rule.  8 to 10 only put off what is
 * sent.  "What there is" is scale_sent, or in a dry run what its book has.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_RECONCILE_WANTED_H
#define AUTOSCALER_RECONCILE_WANTED_H

#include "autoscaler/brain/decide.h"

#define WANTED_ALL UINT32_MAX /* allotted: the claims of all revisions fit */

struct wanted {
	uint32_t claim;
	uint32_t need; /* the part of the claim that does not give way to others (ceiling.h) */
	enum decide_rule claim_rule; /* that made the claim */
	uint32_t allotted;	     /* of max_instances; or WANTED_ALL */
	uint32_t n;
	enum decide_rule rule; /* that made n */
};

/* What the bounds go by. */
struct wanted_facts {
	const struct scaling *scaling;
	const struct decide_view *view; /* that was decided on */
	uint32_t has;			/* what there is */
	bool is_leaving;
	bool is_activation_pending; /* an activator has sent `activate` and not reported since */
	bool is_heard;		    /* every activator reports: there may be fewer */
	bool is_dry;
};

/* Bounds 1 to 5.  Returns the number before the fifth; n stays until wanted_allot(). */
uint32_t wanted_claim(struct wanted *, const struct decide_out *decided,
		      const struct wanted_facts *);
/* Bounds 6 and 7.  True: n has changed. */
bool wanted_allot(struct wanted *, uint32_t allotted, const struct wanted_facts *);

/* What the last bounds go by. */
struct wanted_scale_facts {
	uint32_t scale_sent;
	uint32_t room; /* the most that the driver may be asked for under max_instances */
	bool is_held;  /* another hand has set the scale */
	bool is_activation_pending; /* as above */
	bool is_used;		    /* requests have come since it was set */
};

/* Bounds 8 and 9: the scale to go for now.  Less than scale_sent is for scaledown.h. */
uint32_t wanted_scale(const struct wanted *, const struct wanted_scale_facts *);

#endif
