/* ceiling - who gets what when all together wish for more instances than max_instances.
 * The rule: those in use come first.  What is needed (by who is asked, or by the word of the
 * operator: min_scale, schedule, leases) is given up to a common level, the highest at
 * which the sum fits (max-min fairness), so that nobody gets a second instance while
 * somebody who is asked has none.  What is left over there goes one each to those that
 * have most already, since taking away and giving back costs both; then to who has waited
 * longest.  Only what is left after that goes, likewise, to those that are idle and wish
 * to stay: who is idle gives way to who is asked, the longest idle first.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_BRAIN_CEILING_H
#define AUTOSCALER_BRAIN_CEILING_H

#include "common/base.h"

struct ceiling_item {
	void *owner;	  /* the caller's */
	uint32_t wish;	  /* what it would have, were there no ceiling */
	uint32_t need;	  /* of that, what it has to have: at most wish */
	uint32_t has;	  /* what it has now */
	int64_t since_ns; /* when it was asked for an instance first, or was used last */
	uint32_t share;	  /* set: what it gets, at most wish */
};

/* Share `most` instances out.  The items change places. */
void ceiling_share(struct ceiling_item *, size_t n, uint64_t most);

#endif
