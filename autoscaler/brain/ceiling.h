/* ceiling - who gets how many instances when all revisions together claim more than
 * max_instances.
 *
 * First the needs are met: what a revision needs since it is in use, or since its settings
 * (min_scale, a schedule, …) or a busy lease keep it.  All get up to a common level, the
 * highest at which the sum fits (max-min fairness), so that none gets a second instance while
 * another one that has requests has none.  What remains of the level goes, one instance each,
 * to the revisions that have most already, since stopping and starting both cost; then to
 * those that have waited longest.
 * Then, likewise, what remains is for idle revisions that would keep their instances: the one
 * that was used last gets it first.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_BRAIN_CEILING_H
#define AUTOSCALER_BRAIN_CEILING_H

#include "common/base.h"

struct ceiling_item {
	void *owner;	  /* the caller's */
	uint32_t claim;	  /* what it would have without a ceiling */
	uint32_t need;	  /* the part of the claim that it has to have */
	uint32_t has;	  /* what it has now */
	int64_t since_ns; /* has 0: when its requests began to wait; else when it was used last */
	uint32_t share;	  /* set: what it gets, at most its claim */
};

/* Share out `most` instances.  Changes the order of the items. */
void ceiling_share(struct ceiling_item *, size_t n, uint64_t most);

#endif
