/* past - what removed revisions have counted, for each service that has others: so the sums over a
 * service do not fall.  Pure.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_PAST_H
#define AUTOSCALER_RECONCILE_PAST_H

#include "autoscaler/reconcile/scaled_set.h"

struct past {
	struct hmap services; /* name → struct past_counts (past.c) */
};

void past_init(struct past *);
void past_fini(struct past *);

/* The revision is about to be removed. */
void past_keep(struct past *, const struct scaled_revision *);
/* Forget the services of which the set has no revision. */
void past_trim(struct past *, const struct scaled_set *);
const struct scaled_counts *past_find(const struct past *, const char *service); /* or NULL */

#endif
