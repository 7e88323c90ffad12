/* ceiling - who gets what when all together wish for more instances than max_instances.
 * The rule: everybody gets what it wishes up to a common level, the highest at which
 * the sum fits (max-min fairness), so that nobody gets a second instance while somebody
 * who is asked has none.  What is left over goes one each to those that have most
 * already, since taking away and giving back costs both.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_CEILING_H
#define AUTOSCALER_CEILING_H

#include "common/base.h"

struct ceiling_item {
	void *owner;	/* the caller's */
	uint32_t wish;	/* what it would have, were there no ceiling */
	uint32_t has;	/* what it has now */
	uint32_t share; /* set: what it gets, at most wish */
};

/* Share `most` instances out.  The items change places. */
void ceiling_share(struct ceiling_item *, size_t n, uint64_t most);

#endif
