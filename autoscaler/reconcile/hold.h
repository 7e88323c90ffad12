/* hold - a scale that another client (a pod autoscaler, a person, GitOps) has set on the
 * platform, while foreign_scale says to respect it.
 *
 * There are no fewer instances than that number until foreign_hold has passed since it was changed
 * last and since the last request.  There are no more either, until requests wait: then more are
 * asked for.  If the other client takes that back, a back-off that grows each time comes before
 * more are asked for again: so two clients of which neither gives way do not start and stop
 * instances all the time.
 * Pure: the time and random numbers are arguments.  Thread: the owner. */
#ifndef AUTOSCALER_RECONCILE_HOLD_H
#define AUTOSCALER_RECONCILE_HOLD_H

#include "common/backoff.h"

struct hold {
	bool is_on;	  /* it is respected */
	bool is_current;  /* the scale is still what the other client has set */
	uint32_t n;	  /* what it has set */
	char *by;	  /* its name; NULL: the platform does not say */
	int64_t since_ns; /* when it was set */
	/* more was asked for, and taken back by the other client */
	bool is_raised;
	struct backoff raise;
	int64_t raise_at_ns, lowered_ns;
};

void hold_init(struct hold *);
void hold_fini(struct hold *);

/* What the driver shows: is_held as driver_view has it. */
void hold_take(struct hold *, bool is_held, uint32_t scale, const char *by, int64_t now_ns,
	       uint32_t random);
/* End it if it is over.  for_ns: foreign_hold; 0: for ever.  used_ns: when the last request was
 * there.  True: it has ended now. */
bool hold_expire(struct hold *, int64_t for_ns, int64_t used_ns, int64_t now_ns);
/* May more be asked for, as requests wait?  From zero: always. */
bool hold_may_raise(const struct hold *, int64_t now_ns);
/* More is asked for. */
void hold_raised(struct hold *);

/* Who has set the number, for people; NULL: it is not held. */
const char *hold_holder(const struct hold *);

#endif
