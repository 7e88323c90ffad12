/* demand - when to ask the autoscaler for an instance of one revision.
 *
 * Level-triggered: as long as somebody waits and nothing is coming, it is asked again,
 * whatever was lost on the way.  Unacknowledged: after 100 ms, doubling to 1 s; on a new
 * link at once.  Acknowledged: the periodic stats carry the demand, and what has grown
 * meanwhile is told every 100 ms, so that a burst is sized by what it is; only where the
 * autoscaler's own word is that it wants none is it asked once more each second.
 * A burst is there within some 10 ms: its growth is told after 20, 40 and 80 ms first, then
 * each 100.
 * While an instance is open, what waits nevertheless is told likewise, and in the first
 * second even if it has not grown: there is something to learn of how fast it goes down.
 * Pure: no clock, no I/O.  Thread: main. */
#ifndef ACTIVATOR_DEMAND_H
#define ACTIVATOR_DEMAND_H

#include "common/base.h"

struct demand {
	bool is_waking;	  /* somebody waits, no instance is open */
	bool is_acked;	  /* by the autoscaler that we are connected to */
	uint64_t seq;	  /* of the newest `activate`; 0: none yet */
	unsigned tries;	  /* since it was last acknowledged */
	uint32_t told;	  /* how many are parked, as it was last told */
	int64_t sent_ns;  /* when that `activate` was sent */
	int64_t tell_gap; /* between two looks at whether it has grown */
	bool is_telling;  /* somebody waits although an instance is open */
	int64_t open_ns;  /* since when one is, after a wake */
	int64_t next_ns;  /* when demand_step() has something to do; INT64_MAX: when a fact
			   * changes */
};

struct demand_facts {
	bool is_link_up;
	bool is_open;	/* an instance is open: a slot will come */
	bool is_wanted; /* the autoscaler's newest word wants one */
	uint32_t parked;
};

enum demand_act {
	DEMAND_NOTHING,
	DEMAND_ACTIVATE, /* send `activate` with d->seq */
	DEMAND_TELL	 /* send how many are parked by now */
};

/* What is to be done now.  To be called when a fact changed (the link's loss is one), and
 * while the link is up at d->next_ns. */
NODISCARD enum demand_act demand_step(struct demand *d, const struct demand_facts *, int64_t now);
/* The queue was empty and is not any more.  Meanwhile the autoscaler may have read that
 * nobody waits: what it acknowledged before no longer counts. */
void demand_anew(struct demand *d);
/* `activating` has come.  True: it answers the newest `activate`. */
bool demand_acked(struct demand *d, uint64_t seq, int64_t now);

#endif
